/* SGD and Adam (AdamW, NAdam, RAdam) over a list of arrays: one call, one pass over memory (Adam moves 28 bytes a parameter).
 *
 * Idea: all updates of an element happen while it is in registers; see optim_step.h for how the arrays are shared out.
 */
#include "kernels/optim_step.h"

FD_INLINE void sgd(const fd_sgd_args *s, const fd_optim_array *t, long begin, int momentum) {
    const long n = FD_MIN(CHUNK, t->n - begin);
    float *p = t->p + begin, *m = momentum ? t->m + begin : NULL;
    const float *g = t->g + begin;
    const vf lr = vset1(-s->lr), decay = vset1(s->decay), sign = vset1(s->maximize ? -1.0f : 1.0f), mu = vset1(s->momentum),
             fresh = vset1(s->fresh);
    FOR_ROW(n, {
        vf x = ROW_LOAD(p), d = vfma(decay, x, ROW_LOAD(g) * sign);
        if (momentum) {
            vf moving = s->first ? d : vfma(mu, ROW_LOAD(m), fresh * d);
            ROW_STORE(m, moving);
            if (s->nesterov < 2) d = s->nesterov ? vfma(mu, moving, d) : moving;
        }
        ROW_STORE(p, vfma(lr, d, x));
    });
}

static void sgd_chunk(void *ctx, long chunk) {
    const fd_optim_job *t = ctx;
    long begin;
    const fd_optim_array *array = find(t, chunk, &begin);
    if (array->m)
        sgd(t->settings, array, begin, 1);
    else
        sgd(t->settings, array, begin, 0);
}

int FN(fd_sgd_f32)(const fd_sgd_args *s) { return run(sgd_chunk, s->arrays, s->count, s, 5); }

FD_INLINE void adam(const fd_adam_args *s, const fd_optim_array *t, long begin, int amsgrad, int denominator) {
    const long n = FD_MIN(CHUNK, t->n - begin);
    float *p = t->p + begin, *m = t->m + begin, *v = t->v + begin, *v_max = amsgrad ? t->w + begin : NULL;
    const float *g = t->g + begin;
    const vf b1 = vset1(s->beta1), b2 = vset1(s->beta2), a1 = vset1(s->one_minus_beta1), a2 = vset1(s->one_minus_beta2);
    const vf eps = vset1(s->eps), decay = vset1(s->decay), keep = vset1(s->keep);
    const vf grad_weight = vset1(s->grad_weight), mean_weight = vset1(s->mean_weight);
    const vf step = vset1(-s->step_size), root = vset1(1.0f / s->root_correction), sign = vset1(s->maximize ? -1.0f : 1.0f);
    FOR_ROW(n, {
        vf x = ROW_LOAD(p), d = vfma(decay, x, ROW_LOAD(g) * sign);
        vf mean = vfma(b1, ROW_LOAD(m), a1 * d), square = vfma(b2, ROW_LOAD(v), a2 * d * d), top = square;
        ROW_STORE(m, mean);
        ROW_STORE(v, square);
        if (amsgrad) {
            top = vmax(ROW_LOAD(v_max), square);
            ROW_STORE(v_max, top);
        }
        vf move = vfma(grad_weight, d, mean_weight * mean);
        if (denominator == FD_ADAM_EPS_OUTSIDE) move /= vfma(vsqrt(top), root, eps);
        if (denominator == FD_ADAM_EPS_INSIDE) move /= vsqrt(top + eps);
        ROW_STORE(p, vfma(step, move, x * keep));
    });
}

static void adam_chunk(void *ctx, long chunk) {
    const fd_optim_job *t = ctx;
    const fd_adam_args *s = t->settings;
    long begin;
    const fd_optim_array *array = find(t, chunk, &begin);
    if (s->denominator == FD_ADAM_UNSCALED)
        adam(s, array, begin, 0, FD_ADAM_UNSCALED);
    else if (array->w && s->denominator == FD_ADAM_EPS_INSIDE)
        adam(s, array, begin, 1, FD_ADAM_EPS_INSIDE);
    else if (array->w)
        adam(s, array, begin, 1, FD_ADAM_EPS_OUTSIDE);
    else if (s->denominator == FD_ADAM_EPS_INSIDE)
        adam(s, array, begin, 0, FD_ADAM_EPS_INSIDE);
    else
        adam(s, array, begin, 0, FD_ADAM_EPS_OUTSIDE);
}

int FN(fd_adam_f32)(const fd_adam_args *s) { return run(adam_chunk, s->arrays, s->count, s, 7); }

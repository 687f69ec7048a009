/* Adamax, Adagrad, Adadelta and RMSprop over a list of arrays: one call, one pass over memory. */
#include "kernels/optim_step.h"

static void adamax_chunk(void *ctx, long chunk) {
    const fd_optim_job *t = ctx;
    const fd_adamax_args *s = t->settings;
    long begin;
    const fd_optim_array *a = find(t, chunk, &begin);
    const long n = FD_MIN(CHUNK, a->n - begin);
    float *p = a->p + begin, *m = a->m + begin, *v = a->v + begin;
    const float *g = a->g + begin;
    const vf decay = vset1(s->decay), sign = vset1(s->maximize ? -1.0f : 1.0f), eps = vset1(s->eps),
             step = vset1(-s->step_size);
    const vf b1 = vset1(s->beta1), b2 = vset1(s->beta2), a1 = vset1(s->one_minus_beta1);
    FOR_ROW(n, {
        vf x = ROW_LOAD(p), d = vfma(decay, x, ROW_LOAD(g) * sign);
        vf mean = vfma(b1, ROW_LOAD(m), a1 * d), top = vmax(b2 * ROW_LOAD(v), vabs(d) + eps);
        ROW_STORE(m, mean);
        ROW_STORE(v, top);
        /* the last lanes of a short row divide 0 by 0 where eps is 0, and are not stored */
        ROW_STORE(p, vfma(step, mean / top, x));
    });
}

int FN(fd_adamax_f32)(const fd_adamax_args *s) { return run(adamax_chunk, s->arrays, s->count, s, 7); }

static void adagrad_chunk(void *ctx, long chunk) {
    const fd_optim_job *t = ctx;
    const fd_adagrad_args *s = t->settings;
    long begin;
    const fd_optim_array *a = find(t, chunk, &begin);
    const long n = FD_MIN(CHUNK, a->n - begin);
    float *p = a->p + begin, *m = a->m + begin;
    const float *g = a->g + begin;
    const vf decay = vset1(s->decay), sign = vset1(s->maximize ? -1.0f : 1.0f), lr = vset1(-s->lr);
    const vf inside = vset1(s->eps_inside ? s->eps : 0.0f), outside = vset1(s->eps_inside ? 0.0f : s->eps);
    FOR_ROW(n, {
        vf x = ROW_LOAD(p), d = vfma(decay, x, ROW_LOAD(g) * sign);
        vf sum = vfma(d, d, ROW_LOAD(m));
        ROW_STORE(m, sum);
        ROW_STORE(p, vfma(lr, d / (vsqrt(sum + inside) + outside), x));
    });
}

int FN(fd_adagrad_f32)(const fd_adagrad_args *s) { return run(adagrad_chunk, s->arrays, s->count, s, 5); }

static void adadelta_chunk(void *ctx, long chunk) {
    const fd_optim_job *t = ctx;
    const fd_adadelta_args *s = t->settings;
    long begin;
    const fd_optim_array *a = find(t, chunk, &begin);
    const long n = FD_MIN(CHUNK, a->n - begin);
    float *p = a->p + begin, *m = a->m + begin, *v = a->v + begin;
    const float *g = a->g + begin;
    const vf decay = vset1(s->decay), sign = vset1(s->maximize ? -1.0f : 1.0f), eps = vset1(s->eps), lr = vset1(-s->lr);
    const vf rho = vset1(s->rho), rest = vset1(s->one_minus_rho);
    FOR_ROW(n, {
        vf x = ROW_LOAD(p), d = vfma(decay, x, ROW_LOAD(g) * sign);
        vf square = vfma(rho, ROW_LOAD(m), rest * d * d), before = ROW_LOAD(v);
        vf move = vsqrt(before + eps) / vsqrt(square + eps) * d;
        ROW_STORE(m, square);
        ROW_STORE(v, vfma(rho, before, rest * move * move));
        ROW_STORE(p, vfma(lr, move, x));
    });
}

int FN(fd_adadelta_f32)(const fd_adadelta_args *s) { return run(adadelta_chunk, s->arrays, s->count, s, 7); }

static void rmsprop_chunk(void *ctx, long chunk) {
    const fd_optim_job *t = ctx;
    const fd_rmsprop_args *s = t->settings;
    long begin;
    const fd_optim_array *a = find(t, chunk, &begin);
    const long n = FD_MIN(CHUNK, a->n - begin);
    float *p = a->p + begin, *m = a->m + begin, *v = a->v ? a->v + begin : NULL, *w = a->w ? a->w + begin : NULL;
    const float *g = a->g + begin;
    const vf decay = vset1(s->decay), sign = vset1(s->maximize ? -1.0f : 1.0f), lr = vset1(-s->lr), mu = vset1(s->momentum);
    const vf inside = vset1(s->eps_inside ? s->eps : 0.0f), outside = vset1(s->eps_inside ? 0.0f : s->eps);
    const vf alpha = vset1(s->alpha), rest = vset1(s->one_minus_alpha);
    FOR_ROW(n, {
        vf x = ROW_LOAD(p), d = vfma(decay, x, ROW_LOAD(g) * sign);
        vf square = vfma(alpha, ROW_LOAD(m), rest * d * d), spread = square;
        ROW_STORE(m, square);
        if (v) {
            vf mean = vfma(alpha, ROW_LOAD(v), rest * d);
            ROW_STORE(v, mean);
            spread = vmax(vzero(), square - mean * mean); /* rounding can bring it below 0 */
        }
        vf move = d / (vsqrt(spread + inside) + outside);
        if (w) {
            move = vfma(mu, ROW_LOAD(w), move);
            ROW_STORE(w, move);
        }
        ROW_STORE(p, vfma(lr, move, x));
    });
}

int FN(fd_rmsprop_f32)(const fd_rmsprop_args *s) { return run(rmsprop_chunk, s->arrays, s->count, s, 7); }

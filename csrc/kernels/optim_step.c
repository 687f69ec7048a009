/* SGD and Adam over a list of arrays: one call, one pass over memory (Adam moves 28 bytes a parameter).
 *
 * Idea: the arrays are cut into chunks of 64 KB that the team takes one by one, whichever array they belong to, so a thousand
 * small biases cost as little as one large weight, and all updates of an element happen while it is in registers.
 */
#include "fastdl.h"
#include "kernels/rows.h"

#define CHUNK 16384

typedef struct {
    const fd_optim_array *arrays;
    long count;
    long *first; /* first[i]: number of the first chunk of array i; first[count]: all chunks */
    const fd_sgd_args *sgd;
    const fd_adam_args *adam;
} job;

/* array and offset of a chunk */
static const fd_optim_array *find(const job *t, long chunk, long *begin) {
    long lo = 0, hi = t->count;
    while (hi - lo > 1) {
        long middle = (lo + hi) / 2;
        if (t->first[middle] <= chunk)
            lo = middle;
        else
            hi = middle;
    }
    *begin = (chunk - t->first[lo]) * CHUNK;
    return &t->arrays[lo];
}

static int run(fd_chunk_fn fn, job *t, double floats_moved) {
    double n = 0;
    t->first = fd_pool_get(((size_t)t->count + 1) * sizeof(long));
    if (!t->first) return FD_NO_MEMORY;
    t->first[0] = 0;
    for (long i = 0; i < t->count; i++) {
        t->first[i + 1] = t->first[i] + (t->arrays[i].n + CHUNK - 1) / CHUNK;
        n += (double)t->arrays[i].n;
    }
    fd_run(fn, t, t->first[t->count], 4 * floats_moved * n);
    fd_pool_put(t->first);
    return FD_OK;
}

FD_INLINE void sgd(const fd_sgd_args *s, const fd_optim_array *t, long begin, int momentum) {
    const long n = FD_MIN(CHUNK, t->n - begin);
    float *p = t->p + begin, *m = momentum ? t->m + begin : NULL;
    const float *g = t->g + begin;
    const vf lr = vset1(-s->lr), decay = vset1(s->decay), sign = vset1(s->maximize ? -1.0f : 1.0f), mu = vset1(s->momentum),
             fresh = vset1(1.0f - s->dampening);
    FOR_ROW(n, {
        vf x = ROW_LOAD(p), d = vfma(decay, x, ROW_LOAD(g) * sign);
        if (momentum) {
            vf moving = s->first ? d : vfma(mu, ROW_LOAD(m), fresh * d);
            ROW_STORE(m, moving);
            d = s->nesterov ? vfma(mu, moving, d) : moving;
        }
        ROW_STORE(p, vfma(lr, d, x));
    });
}

static void sgd_chunk(void *ctx, long chunk) {
    const job *t = ctx;
    long begin;
    const fd_optim_array *array = find(t, chunk, &begin);
    if (array->m)
        sgd(t->sgd, array, begin, 1);
    else
        sgd(t->sgd, array, begin, 0);
}

int FN(fd_sgd_f32)(const fd_sgd_args *s) {
    job t = {.arrays = s->arrays, .count = s->count, .sgd = s};
    return run(sgd_chunk, &t, 5);
}

FD_INLINE void adam(const fd_adam_args *s, const fd_optim_array *t, long begin, int amsgrad, int eps_inside) {
    const long n = FD_MIN(CHUNK, t->n - begin);
    float *p = t->p + begin, *m = t->m + begin, *v = t->v + begin, *v_max = amsgrad ? t->v_max + begin : NULL;
    const float *g = t->g + begin;
    const vf b1 = vset1(s->beta1), b2 = vset1(s->beta2), a1 = vset1(s->one_minus_beta1), a2 = vset1(s->one_minus_beta2);
    const vf eps = vset1(s->eps), decay = vset1(s->decay), keep = vset1(s->keep);
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
        vf denominator = eps_inside ? vsqrt(top + eps) : vfma(vsqrt(top), root, eps);
        ROW_STORE(p, vfma(step, mean / denominator, x * keep));
    });
}

static void adam_chunk(void *ctx, long chunk) {
    const job *t = ctx;
    long begin;
    const fd_optim_array *array = find(t, chunk, &begin);
    switch ((array->v_max != NULL) * 2 + (t->adam->eps_inside != 0)) {
    case 0:
        adam(t->adam, array, begin, 0, 0);
        break;
    case 1:
        adam(t->adam, array, begin, 0, 1);
        break;
    case 2:
        adam(t->adam, array, begin, 1, 0);
        break;
    default:
        adam(t->adam, array, begin, 1, 1);
    }
}

int FN(fd_adam_f32)(const fd_adam_args *s) {
    job t = {.arrays = s->arrays, .count = s->count, .adam = s};
    return run(adam_chunk, &t, 7);
}

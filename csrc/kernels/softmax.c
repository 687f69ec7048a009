/* Softmax and log softmax over any axis, and their gradients.
 *
 * Idea: over the last axis a row stays in L1 or L2 between its passes (maximum, exponentials and their sum, scaling); over another
 * axis the same passes run down the columns, vectorised over the inner axis. The maximum is subtracted first, so
 * nothing overflows; a row of only -inf gives NaN.
 */
#include "fastdl.h"
#include "kernels/rows.h"
#include "simd/math.h"

#define LANES 64 /* inner elements of a chunk: four vectors of the widest tier */

typedef struct {
    const fd_softmax_args *f;
    const fd_softmax_backward_args *b;
    long rows, blocks; /* rows of a chunk; column blocks of one outer index */
} job;

/* --- forward ------------------------------------------------------------------------------------------------------ */
/* sum of exp(x - max) over a row; kept in y if there is one */
static double row_exp_sum(const float *x, float *y, long n, vf max) {
    double total = 0;
    for (long j0 = 0; j0 < n; j0 += ROW_BLOCK) {
        const float *xb = x + j0;
        float *yb = y + j0;
        vf sum = vzero();
        FOR_ROW(FD_MIN(ROW_BLOCK, n - j0), {
            vf e = vexp(ROW_LOAD(xb) - max);
            if (y) ROW_STORE(yb, e);
            sum += full ? e : vkeep(e, lanes, 0.0f);
        });
        total += vhsum(sum);
    }
    return total;
}

static void softmax_row(const float *x, float *y, long n, int log) {
    const vf max = vset1(row_max(x, n));
    if (log) {
        const vf log_sum = vlog(vset1((float)row_exp_sum(x, NULL, n, max)));
        FOR_ROW(n, ROW_STORE(y, ROW_LOAD(x) - max - log_sum));
    } else {
        const vf scale = vset1((float)(1.0 / row_exp_sum(x, y, n, max)));
        FOR_ROW(n, ROW_STORE(y, ROW_LOAD(y) * scale));
    }
}

FD_INLINE void softmax_column(const float *x, float *y, long n, long inner, long lanes, int log) {
    const int full = lanes >= VL;
#define LOAD(p) (full ? vload(p) : vload_n(p, lanes))
#define STORE(p, v)                \
    do {                           \
        if (full)                  \
            vstore(p, v);          \
        else                       \
            vstore_n(p, v, lanes); \
    } while (0)
    vf max = vset1(-INFINITY), sum = vzero();
    for (long k = 0; k < n; k++) max = vmax(LOAD(x + k * inner), max);
    for (long k = 0; k < n; k++) {
        vf e = vexp(LOAD(x + k * inner) - max);
        if (!log) STORE(y + k * inner, e);
        sum += e;
    }
    if (log) {
        const vf log_sum = vlog(sum);
        for (long k = 0; k < n; k++) STORE(y + k * inner, LOAD(x + k * inner) - max - log_sum);
    } else {
        const vf scale = 1.0f / sum;
        for (long k = 0; k < n; k++) STORE(y + k * inner, LOAD(y + k * inner) * scale);
    }
}

static void forward_chunk(void *ctx, long chunk) {
    const job *t = ctx;
    const fd_softmax_args *g = t->f;
    if (g->inner == 1) {
        const long end = FD_MIN((chunk + 1) * t->rows, g->outer);
        for (long i = chunk * t->rows; i < end; i++) softmax_row(g->x + i * g->n, g->y + i * g->n, g->n, g->log);
        return;
    }
    const long at = chunk / t->blocks * g->n * g->inner, begin = chunk % t->blocks * LANES;
    const long end = FD_MIN(begin + LANES, g->inner);
    for (long j = begin; j < end; j += VL) {
        if (end - j >= VL)
            softmax_column(g->x + at + j, g->y + at + j, g->n, g->inner, VL, g->log);
        else
            softmax_column(g->x + at + j, g->y + at + j, g->n, g->inner, end - j, g->log);
    }
}

static long chunks_of(job *t, long outer, long n, long inner) {
    t->rows = FD_MAX(1, 16384 / n);
    t->blocks = (inner + LANES - 1) / LANES;
    return inner == 1 ? (outer + t->rows - 1) / t->rows : outer * t->blocks;
}

int FN(fd_softmax_f32)(const fd_softmax_args *g) {
    if (!g->outer || !g->n || !g->inner) return FD_OK;
    job t = {.f = g};
    const long chunks = chunks_of(&t, g->outer, g->n, g->inner);
    fd_run(forward_chunk, &t, chunks, 20.0 * (double)g->outer * (double)g->n * (double)g->inner);
    return FD_OK;
}

/* --- backward ----------------------------------------------------------------------------------------------------- */
/* softmax: dx = y (dy - sum dy y);   log softmax: dx = dy - exp(y) sum dy */
static double row_product(const float *dy, const float *y, long n, int log) {
    double total = 0;
    for (long j0 = 0; j0 < n; j0 += ROW_BLOCK) {
        const float *db = dy + j0, *yb = y + j0;
        vf sum = vzero();
        if (log)
            FOR_ROW(FD_MIN(ROW_BLOCK, n - j0), sum += ROW_LOAD(db));
        else
            FOR_ROW(FD_MIN(ROW_BLOCK, n - j0), sum = vfma(ROW_LOAD(db), ROW_LOAD(yb), sum));
        total += vhsum(sum);
    }
    return total;
}

static void backward_row(const float *dy, const float *y, float *dx, long n, int log) {
    const vf sum = vset1((float)row_product(dy, y, n, log));
    if (log)
        FOR_ROW(n, ROW_STORE(dx, vfma(-vexp(ROW_LOAD(y)), sum, ROW_LOAD(dy))));
    else
        FOR_ROW(n, ROW_STORE(dx, ROW_LOAD(y) * (ROW_LOAD(dy) - sum)));
}

FD_INLINE void backward_column(const float *dy, const float *y, float *dx, long n, long inner, long lanes, int log) {
    const int full = lanes >= VL;
    vf sum = vzero();
    for (long k = 0; k < n; k++) {
        vf d = LOAD(dy + k * inner);
        sum = log ? sum + d : vfma(d, LOAD(y + k * inner), sum);
    }
    for (long k = 0; k < n; k++) {
        vf d = LOAD(dy + k * inner), v = LOAD(y + k * inner);
        STORE(dx + k * inner, log ? vfma(-vexp(v), sum, d) : v * (d - sum));
    }
}

static void backward_chunk(void *ctx, long chunk) {
    const job *t = ctx;
    const fd_softmax_backward_args *g = t->b;
    if (g->inner == 1) {
        const long end = FD_MIN((chunk + 1) * t->rows, g->outer);
        for (long i = chunk * t->rows; i < end; i++)
            backward_row(g->dy + i * g->n, g->y + i * g->n, g->dx + i * g->n, g->n, g->log);
        return;
    }
    const long at = chunk / t->blocks * g->n * g->inner, begin = chunk % t->blocks * LANES;
    const long end = FD_MIN(begin + LANES, g->inner);
    for (long j = begin; j < end; j += VL) {
        const long k = at + j;
        if (end - j >= VL)
            backward_column(g->dy + k, g->y + k, g->dx + k, g->n, g->inner, VL, g->log);
        else
            backward_column(g->dy + k, g->y + k, g->dx + k, g->n, g->inner, end - j, g->log);
    }
}

int FN(fd_softmax_backward_f32)(const fd_softmax_backward_args *g) {
    if (!g->outer || !g->n || !g->inner) return FD_OK;
    job t = {.b = g};
    const long chunks = chunks_of(&t, g->outer, g->n, g->inner);
    fd_run(backward_chunk, &t, chunks, 12.0 * (double)g->outer * (double)g->n * (double)g->inner);
    return FD_OK;
}

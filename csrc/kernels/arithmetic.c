/* Sums, differences and products of two arrays, in one pass over contiguous memory.
 *
 * Idea: nothing but loads, one operation and a store; what is won is memory that is recycled instead of new, and threads.
 * An array that repeats is walked period by period.
 */
#include "fastdl.h"
#include "simd/simd.h"

#define CHUNK 16384

FD_INLINE vf apply(int op, vf x, vf y) { return op == FD_ADD ? x + y : op == FD_SUB ? x - y : x * y; }

/* n elements; y advances by `step` a vector: VL, or 0 for one number that stands in all lanes. */
FD_INLINE void run(int op, const float *x, const float *y, float *out, long n, const long step) {
    const vf same = step ? vzero() : vset1(*y);
    long i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL) {
        vf r[4];
    FD_UNROLL for (int j = 0; j < 4; j++) r[j] = apply(op, vload(x + i + j * VL), step ? vload(y + i + j * VL) : same);
        FD_UNROLL for (int j = 0; j < 4; j++) vstore(out + i + j * VL, r[j]);
    }
    for (; i < n; i += VL) {
        const long lanes = FD_MIN(VL, n - i);
        vstore_n(out + i, apply(op, vload_n(x + i, lanes), step ? vload_n(y + i, lanes) : same), lanes);
    }
}

FD_INLINE void pass(const fd_arithmetic_args *g, long chunk, int op) {
    const long end = FD_MIN(g->n, (chunk + 1) * CHUNK);
    if (g->period == 1) {
        const long i = chunk * CHUNK;
        run(op, g->x + i, g->y, g->out + i, end - i, 0);
        return;
    }
    for (long i = chunk * CHUNK; i < end;) {
        const long at = i % g->period, n = FD_MIN(end - i, g->period - at);
        run(op, g->x + i, g->y + at, g->out + i, n, VL);
        i += n;
    }
}

static void chunk_of(void *ctx, long chunk) {
    const fd_arithmetic_args *g = ctx;
    switch (g->op) {
    case FD_ADD:
        pass(g, chunk, FD_ADD);
        break;
    case FD_SUB:
        pass(g, chunk, FD_SUB);
        break;
    default:
        pass(g, chunk, FD_MUL);
    }
}

int FN(fd_arithmetic_f32)(const fd_arithmetic_args *g) {
    fd_run(chunk_of, (void *)g, (g->n + CHUNK - 1) / CHUNK, 8.0 * (double)g->n);
    return FD_OK;
}

/* The limits that results are measured against: the rate of fused multiply-adds and the bandwidth of memory.
 *
 * Twelve independent accumulators cover the latency of two FMA units. They are held in registers (an asm statement on the array
 * itself would put them into memory, and the limit would come out three times too low).
 */
#include "fastdl.h"
#include "simd/simd.h"

#define ACCUMULATORS 12

static void fma_chunk(void *ctx, long chunk) {
    const fd_roofline_args *g = ctx;
    vf acc[ACCUMULATORS], a = vset1(g->a[0]), b = vset1(g->a[1]);
    FD_UNROLL for (int j = 0; j < ACCUMULATORS; j++) acc[j] = vset1((float)j);
    for (long i = 0; i < g->n; i++) {
        FD_UNROLL for (int j = 0; j < ACCUMULATORS; j++) acc[j] = vhold(vfma(acc[j], a, b));
    }
    vf sum = acc[0];
    FD_UNROLL for (int j = 1; j < ACCUMULATORS; j++) sum += acc[j];
    g->c[chunk] = vhsum(sum);
}

static void read_chunk(void *ctx, long chunk) {
    const fd_roofline_args *g = ctx;
    const float *a = g->a + chunk * g->n;
    vf acc[8];
    FD_UNROLL for (int j = 0; j < 8; j++) acc[j] = vzero();
    for (long i = 0; i + 8 * VL <= g->n; i += 8 * VL) {
        FD_UNROLL for (int j = 0; j < 8; j++) acc[j] += vload(a + i + j * VL);
    }
    FD_UNROLL for (int j = 1; j < 8; j++) acc[0] += acc[j];
    g->c[chunk] = vhsum(acc[0]);
}

static void copy_chunk(void *ctx, long chunk) {
    const fd_roofline_args *g = ctx;
    const float *a = g->a + chunk * g->n;
    float *c = g->c + chunk * g->n;
    for (long i = 0; i + VL <= g->n; i += VL) vstore(c + i, vload(a + i));
}

static void triad_chunk(void *ctx, long chunk) {
    const fd_roofline_args *g = ctx;
    const float *a = g->a + chunk * g->n, *b = g->b + chunk * g->n;
    float *c = g->c + chunk * g->n;
    const vf three = vset1(3.0f);
    for (long i = 0; i + VL <= g->n; i += VL) vstore(c + i, vfma(three, vload(b + i), vload(a + i)));
}

int FN(fd_roofline_f32)(const fd_roofline_args *g) {
    static const fd_chunk_fn passes[] = {fma_chunk, read_chunk, copy_chunk, triad_chunk};
    fd_parallel(passes[g->pass], (void *)g, g->chunks);
    *g->flops = g->pass == FD_PASS_FMA ? 2 * ACCUMULATORS * VL * g->n * g->chunks : 0;
    return FD_OK;
}

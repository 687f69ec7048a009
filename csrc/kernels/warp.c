/* Images sampled at any places, bilinear (augmentation: affine maps, elastic deformation).
 *
 * Idea: places are independent, so one pass over the output; images have few channels, so the loop over them is short and
 * plain. A place in the interior reads its four pixels without a test; at the border each is tested.
 */
#include "fastdl.h"
#include "simd/simd.h"

#define CHUNKS 64

typedef struct {
    const fd_warp_args *g;
    long rows; /* output rows a chunk, counted over all images */
} job;

FD_INLINE void sample(const float *image, long C, long H, long W, float gy, float gx, float *out) {
    if (!(gy > -1.0f && gy < (float)H && gx > -1.0f && gx < (float)W)) { /* also for NaN */
        for (long c = 0; c < C; c++) out[c] = 0.0f;
        return;
    }
    const float top = floorf(gy), left = floorf(gx), wy = gy - top, wx = gx - left;
    const long i = (long)top, j = (long)left;
    const float w00 = (1.0f - wy) * (1.0f - wx), w01 = (1.0f - wy) * wx, w10 = wy * (1.0f - wx), w11 = wy * wx;
    const float *p = image + (i * W + j) * C;
    if (i >= 0 && j >= 0 && i + 1 < H && j + 1 < W) {
        const float *q = p + W * C;
        for (long c = 0; c < C; c++) out[c] = w00 * p[c] + w01 * p[C + c] + w10 * q[c] + w11 * q[C + c];
        return;
    }
    for (long c = 0; c < C; c++) {
        float sum = 0.0f;
        if (i >= 0 && j >= 0) sum += w00 * p[c];
        if (i >= 0 && j + 1 < W) sum += w01 * p[C + c];
        if (i + 1 < H && j >= 0) sum += w10 * p[W * C + c];
        if (i + 1 < H && j + 1 < W) sum += w11 * p[W * C + C + c];
        out[c] = sum;
    }
}

static void warp_rows(void *ctx, long chunk) {
    const job *j = ctx;
    const fd_warp_args *g = j->g;
    const long C = g->C, H = g->H, W = g->W, OW = g->OW, first = chunk * j->rows;
    for (long r = first; r < FD_MIN(first + j->rows, g->N * g->OH); r++) {
        const float *image = g->x + r / g->OH * H * W * C, *place = g->grid + r * OW * 2;
        float *out = g->out + r * OW * C;
        if (C == 1)
            for (long p = 0; p < OW; p++) sample(image, 1, H, W, place[2 * p], place[2 * p + 1], out + p);
        else if (C == 3)
            for (long p = 0; p < OW; p++) sample(image, 3, H, W, place[2 * p], place[2 * p + 1], out + 3 * p);
        else
            for (long p = 0; p < OW; p++) sample(image, C, H, W, place[2 * p], place[2 * p + 1], out + C * p);
    }
}

int FN(fd_warp_f32)(const fd_warp_args *g) {
    const long all = g->N * g->OH;
    if (!all || !g->C || !g->OW) return FD_OK;
    job j = {.g = g, .rows = (all + CHUNKS - 1) / CHUNKS};
    fd_run(warp_rows, &j, (all + j.rows - 1) / j.rows, 4.0 * all * g->OW * (g->C + 4));
    return FD_OK;
}

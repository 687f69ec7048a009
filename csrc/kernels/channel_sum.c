/* Sums over all but the channel axis: the gradient of a bias.
 *
 * Idea: channels-last rows are added vector by vector; where a pixel is narrower than a vector, VL pixels are C vectors, whose lane
 * numbers modulo C are the channels. Rows are split into parts by the shape only, and the parts added in double at the end.
 */
#include "fastdl.h"
#include "kernels/layout.h"

#define CHUNK_FLOATS 65536

typedef struct {
    const fd_channel_sum_args *g;
    long parts, width; /* floats of a part's sums */
    float *sums;
} job;

/* adds `pixels` pixels of C >= VL channels side by side */
static void add_wide(const float *x, long x_w, long pixels, long C, float *sums) {
    for (long j = 0; j < pixels; j += 4, x += 4 * x_w) {
        const long n = FD_MIN(4, pixels - j);
        for (long c = 0; c < C; c += VL) {
            const long left = FD_MIN(VL, C - c);
            vf s = vload(sums + c);
            if (n == 4 && left == VL) {
                s += (vload(x + c) + vload(x + x_w + c)) + (vload(x + 2 * x_w + c) + vload(x + 3 * x_w + c));
            } else {
                for (long i = 0; i < n; i++) s += vload_n(x + i * x_w + c, left);
            }
            vstore(sums + c, s);
        }
    }
}

/* adds `floats` floats of a row whose pixels of C < VL channels follow each other; C * VL of them form a group */
static void add_narrow(const float *x, long floats, long C, float *sums) {
    for (; floats >= 2 * C * VL; floats -= 2 * C * VL, x += 2 * C * VL)
        for (long v = 0; v < C; v++)
            vstore(sums + v * VL, vload(sums + v * VL) + (vload(x + v * VL) + vload(x + (C + v) * VL)));
    for (; floats > 0; floats -= C * VL, x += C * VL)
        for (long v = 0; v < C && floats > v * VL; v++)
            vstore(sums + v * VL, vload(sums + v * VL) + vload_n(x + v * VL, FD_MIN(VL, floats - v * VL)));
}

static void sum_chunk(void *ctx, long part) {
    const job *d = ctx;
    const fd_channel_sum_args *g = d->g;
    const long rows = g->N * g->H, from = rows * part / d->parts, to = rows * (part + 1) / d->parts;
    float *sums = d->sums + part * d->width;
    memset(sums, 0, (size_t)d->width * sizeof(float));
    for (long r = from; r < to; r++) {
        const float *x = g->x + r / g->H * g->x_n + r % g->H * g->x_h;
        if (g->x_c == 1 && g->C >= VL) {
            add_wide(x, g->x_w, g->W, g->C, sums);
        } else if ((g->x_c == 1 || g->C == 1) && g->x_w == g->C) {
            add_narrow(x, g->W * g->C, g->C, sums);
        } else {
            for (long c = 0; c < g->C; c++) {
                float s = 0;
                for (long j = 0; j < g->W; j++) s += x[c * g->x_c + j * g->x_w];
                sums[c] += s;
            }
        }
    }
}

int FN(fd_channel_sum_f32)(const fd_channel_sum_args *g) {
    job d = {.g = g};
    if (!g->C) return FD_OK;
    const long rows = g->N * g->H;
    d.width = g->C >= VL ? (g->C + VL - 1) / VL * VL : FD_MAX(1, g->C) * VL;
    d.parts = FD_MAX(1, FD_MIN(rows, FD_MIN(64, rows * g->W * g->C / CHUNK_FLOATS)));
    d.sums = fd_pool_get((size_t)(d.parts * d.width) * sizeof(float));
    if (!d.sums) return FD_NO_MEMORY;
    fd_run(sum_chunk, &d, d.parts, 4.0 * (double)(rows * g->W) * (double)g->C);
    for (long c = 0; c < g->C; c++) {
        double sum = 0;
        for (long part = 0; part < d.parts; part++)
            for (long i = c; i < (g->C >= VL ? c + 1 : d.width); i += g->C) sum += (double)d.sums[part * d.width + i];
        g->out[c] = (float)sum;
    }
    fd_pool_put(d.sums);
    return FD_OK;
}

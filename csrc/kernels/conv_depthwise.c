/* Depthwise convolution: each channel has its own filter, so there is no sum over channels and no matrix product.
 *
 * Idea: vectors run along channels. Several neighbouring results of a row are kept in registers while the taps of the filter
 * pass, so a weight is loaded once for all of them, and with unit steps an input pixel once for a whole filter row.
 * Bound by memory: the arithmetic of 3x3 costs less than reading x and writing y.
 */
#include "kernels/conv.h"

#define CHUNK_WORK 3e6
#define PIXELS 6 /* neighbouring results in registers */

typedef struct {
    const fd_conv *p;
    const float *x;
    long x_n, x_h, x_w;
    long width;        /* channels rounded up to VL: row length of the packed weights */
    const float *bias; /* [width] or NULL */
    long rows, blocks; /* result rows of a chunk, chunks of an image and phase */
} depthwise;

/* x channels-last, or a copy that is */
static int find_x(const fd_conv *p, const float **x, long *n, long *h, long *w, float **copy) {
    *copy = NULL;
    *x = p->x.p, *n = p->x.n, *h = p->x.h, *w = p->x.w;
    if (p->x.c == 1 || p->x.C == 1) return FD_OK;
    *copy = FN(fd_bordered_copy)(&p->x, (fd_border){0, 0, p->x.H, p->x.W});
    if (!*copy) return FD_NO_MEMORY;
    *x = *copy, *w = p->x.C, *h = *w * p->x.W, *n = *h * p->x.H;
    return FD_OK;
}

/* `count` results from column j, filter rows [r0, r1), columns [c0, c1), channels [c, c + n). With unit = 1 the taps of a row
 * are `cols` neighbouring columns, all inside, and step is 1. */
FD_INLINE void results(const depthwise *d, const fd_conv_phase *f, const float *x, const float *const *weights, float *y,
                       long j, long r0, long r1, long c0, long c1, long c, long n, const int count, const int cols) {
    const fd_conv_axis *w = f->w;
    const long pixel = w->step * d->x_w;
    vf sum[PIXELS];
    const vf bias = d->bias ? vload(d->bias + c) : vzero();
    FD_UNROLL for (int i = 0; i < count; i++) sum[i] = bias;
    for (long r = r0; r < r1; r++) {
        const float *row = x + f->h->at[r] * d->x_h + j * pixel + c, *filter = weights[r] + c;
        if (cols) {
            vf in[PIXELS + 8], wv[8];
            row += w->at[0] * d->x_w;
            FD_UNROLL for (int t = 0; t < cols; t++) wv[t] = vload(filter + t * d->width);
            FD_UNROLL for (int i = 0; i < count + cols - 1; i++) in[i] = n == VL ? vload(row + i * d->x_w) : vload_n(row + i * d->x_w, n);
            FD_UNROLL for (int t = 0; t < cols; t++) {
                FD_UNROLL for (int i = 0; i < count; i++) sum[i] = vfma(wv[t], in[i + t], sum[i]);
            }
        } else {
            for (long t = c0; t < c1; t++) {
                const vf wv = vload(filter + t * d->width);
                const float *in = row + w->at[t] * d->x_w;
                FD_UNROLL for (int i = 0; i < count; i++) {
                    sum[i] = vfma(wv, n == VL ? vload(in + i * pixel) : vload_n(in + i * pixel, n), sum[i]);
                }
            }
        }
    }
    FD_UNROLL for (int i = 0; i < count; i++) {
        float *out = y + (j + i) * d->p->y_w + c;
        const vf v = d->p->relu ? vmax(vzero(), sum[i]) : sum[i];
        if (n == VL)
            vstore(out, v);
        else
            vstore_n(out, v, n);
    }
}

static void depthwise_chunk(void *ctx, long chunk) {
    const depthwise *d = ctx;
    const fd_conv *p = d->p;
    const fd_conv_phase *f = p->phase + chunk / d->blocks / p->x.N;
    const fd_conv_axis *h = f->h, *w = f->w;
    const long n = chunk / d->blocks % p->x.N, i0 = chunk % d->blocks * d->rows, C = p->lanes;
    const int unit3 = w->step == 1 && w->taps == 3 && w->at[1] == w->at[0] + 1 && w->at[2] == w->at[0] + 2;
    for (long i = i0; i < FD_MIN(h->size, i0 + d->rows); i++) {
        const float *x = d->x + n * d->x_n + i * h->step * d->x_h;
        float *y = f->y + n * p->y_n + i * p->y_h;
        const long r0 = h->low[i], r1 = h->high[i];
        const float *weights[FD_MAX(1, h->taps)];
        /* the input row that the next result row will be the first to read */
        const float *next = x + (r1 > r0 ? h->at[r1 - 1] + h->step : 0) * d->x_h;
        for (long r = r0; r < r1; r++) weights[r] = f->packed + r * w->taps * d->width;
        for (long j = 0; j < w->size;) {
            const int whole = j + PIXELS <= w->size && w->low[j] == 0 && w->low[j + PIXELS - 1] == 0 &&
                              w->high[j] == w->taps && w->high[j + PIXELS - 1] == w->taps;
            for (long c = 0; c < C; c += VL) {
                const long left = FD_MIN(VL, C - c);
                if (whole)
                    for (long s = 0; s < PIXELS * w->step; s++) fd_prefetch(next + (j * w->step + s) * d->x_w + c);
                if (!whole)
                    results(d, f, x, weights, y, j, r0, r1, w->low[j], w->high[j], c, left, 1, 0);
                else if (!unit3)
                    results(d, f, x, weights, y, j, r0, r1, 0, w->taps, c, left, PIXELS, 0);
                else if (left == VL)
                    results(d, f, x, weights, y, j, r0, r1, 0, 3, c, VL, PIXELS, 3);
                else
                    results(d, f, x, weights, y, j, r0, r1, 0, 3, c, left, PIXELS, 3);
            }
            j += whole ? PIXELS : 1;
        }
    }
}

/* multiply-adds of all phases */
static double work(const fd_conv *p) { return fd_conv_work(p) / (double)FD_MAX(1, p->x.C); }

int FN(fd_conv_depthwise)(const fd_conv *p) {
    depthwise d = {.p = p, .width = (p->lanes + VL - 1) / VL * VL};
    float *copy, *buffer;
    if (find_x(p, &d.x, &d.x_n, &d.x_h, &d.x_w, &copy)) return FD_NO_MEMORY;
    buffer = fd_pool_get((size_t)((p->KH * p->KW + 1) * d.width) * sizeof(float));
    if (!buffer) {
        fd_pool_put(copy);
        return FD_NO_MEMORY;
    }
    float *packed = buffer;
    memset(buffer, 0, (size_t)((p->KH * p->KW + 1) * d.width) * sizeof(float));
    long tallest = 1;
    for (long i = 0; i < p->phases; i++) {
        fd_conv_phase *f = p->phase + i;
        f->packed = packed;
        for (long r = 0; r < f->h->taps; r++)
            for (long c = 0; c < f->w->taps; c++, packed += d.width)
                for (long lane = 0; lane < p->lanes; lane++)
                    packed[lane] = p->w[lane * p->w_lane + f->h->src[r] * p->KW + f->w->src[c]];
        tallest = FD_MAX(tallest, f->h->size);
    }
    if (p->bias) {
        d.bias = packed;
        memcpy(packed, p->bias, (size_t)p->lanes * sizeof(float));
    }
    const double each = work(p) / (double)(p->phases * p->x.N * tallest);
    d.rows = (long)FD_MAX(1, FD_MIN((double)tallest, CHUNK_WORK / 4 / FD_MAX(1, each)));
    d.blocks = (tallest + d.rows - 1) / d.rows;
    d.rows = (tallest + d.blocks - 1) / d.blocks;
    fd_run(depthwise_chunk, &d, p->phases * p->x.N * d.blocks, work(p) * 4);
    fd_pool_put(buffer);
    fd_pool_put(copy);
    return FD_OK;
}

/* --- weight gradient -------------------------------------------------------------------------------------------------
 * dw[tap][channel] = sum over n, i, j of x * y (channels of y side by side): the taps of a filter row accumulate in registers while one row of y passes. */
#define TAPS 4       /* of a filter row in registers at a time */
#define CHANNELS 64  /* of a chunk: rows of x and y then stay in L1 */

typedef struct {
    const fd_conv *p;
    const float *x;
    long x_n, x_h, x_w;
    long width, parts, channel_blocks;
    float *sums; /* [parts][taps of all phases][width] */
} weight;

/* sum[t] += over columns [j0, j1) of x under tap c + t, times y */
FD_INLINE void row_sums(const float *x, const float *y, long pixel, long y_w, const long *at, long x_w, long j0, long j1, long n,
                        float *sums, long width, const int taps) {
    vf s[TAPS];
    FD_UNROLL for (int t = 0; t < taps; t++) s[t] = vload(sums + t * width);
    for (long j = j0; j < j1; j++) {
        const vf yv = n == VL ? vload(y + j * y_w) : vload_n(y + j * y_w, n);
        FD_UNROLL for (int t = 0; t < taps; t++) {
            const float *in = x + j * pixel + at[t] * x_w;
            s[t] = vfma(n == VL ? vload(in) : vload_n(in, n), yv, s[t]);
        }
    }
    FD_UNROLL for (int t = 0; t < taps; t++) vstore(sums + t * width, s[t]);
}

static void weight_chunk(void *ctx, long chunk) {
    const weight *d = ctx;
    const fd_conv *p = d->p;
    const long part = chunk / d->channel_blocks, c0 = chunk % d->channel_blocks * CHANNELS, c1 = FD_MIN(p->lanes, c0 + CHANNELS);
    float *sums = d->sums + part * p->KH * p->KW * d->width;
    for (long q = 0; q < p->phases; q++) {
        const fd_conv_phase *f = p->phase + q;
        const fd_conv_axis *h = f->h, *w = f->w;
        const long rows = p->x.N * h->size, from = rows * part / d->parts, to = rows * (part + 1) / d->parts;
        for (long t = 0; t < fd_conv_taps(f); t++)
            for (long c = c0; c < c1; c += VL) vstore(sums + t * d->width + c, vzero());
        for (long row = from; row < to; row++) {
            const long n = row / h->size, i = row % h->size;
            const float *y = f->y + n * p->y_n + i * p->y_h;
            for (long r = h->low[i]; r < h->high[i]; r++) {
                const float *x = d->x + n * d->x_n + (i * h->step + h->at[r]) * d->x_h;
                for (long t0 = 0; t0 < w->taps; t0 += TAPS) {
                    const long taps = FD_MIN(TAPS, w->taps - t0), pixel = w->step * d->x_w;
                    /* columns where all of these taps are inside, and the few others one by one */
                    long j0 = 0, j1 = w->size;
                    while (j0 < j1 && !(w->low[j0] <= t0 && w->high[j0] >= t0 + taps)) j0++;
                    while (j1 > j0 && !(w->low[j1 - 1] <= t0 && w->high[j1 - 1] >= t0 + taps)) j1--;
                    for (long c = c0; c < c1; c += VL) {
                        float *s = sums + (r * w->taps + t0) * d->width + c;
                        const long left = FD_MIN(VL, c1 - c);
                        if (taps == 3 && left == VL)
                            row_sums(x + c, y + c, pixel, p->y_w, w->at + t0, d->x_w, j0, j1, VL, s, d->width, 3);
                        else if (taps == 4)
                            row_sums(x + c, y + c, pixel, p->y_w, w->at + t0, d->x_w, j0, j1, left, s, d->width, 4);
                        else
                            for (long t = 0; t < taps; t++)
                                row_sums(x + c, y + c, pixel, p->y_w, w->at + t0 + t, d->x_w, j0, j1, left, s + t * d->width,
                                         d->width, 1);
                        for (long j = 0; j < w->size; j++) {
                            if (j == j0) j = j1;
                            if (j == w->size) break;
                            const long low = FD_MAX(w->low[j], t0), high = FD_MIN(w->high[j], t0 + taps);
                            for (long t = low; t < high; t++)
                                row_sums(x + c, y + c, pixel, p->y_w, w->at + t, d->x_w, j, j + 1, left,
                                         s + (t - t0) * d->width, d->width, 1);
                        }
                    }
                }
            }
        }
        sums += fd_conv_taps(f) * d->width;
    }
}

int FN(fd_conv_weight_depthwise)(const fd_conv *p, float *dw) {
    weight d = {.p = p, .width = (p->lanes + VL - 1) / VL * VL, .channel_blocks = (p->lanes + CHANNELS - 1) / CHANNELS};
    float *copy;
    if (find_x(p, &d.x, &d.x_n, &d.x_h, &d.x_w, &copy)) return FD_NO_MEMORY;
    long rows = 1;
    for (long i = 0; i < p->phases; i++) rows = FD_MAX(rows, p->x.N * p->phase[i].h->size);
    d.parts = (long)FD_MAX(1, FD_MIN(work(p) * 4 / CHUNK_WORK / (double)d.channel_blocks, 16.0));
    d.parts = FD_MIN(d.parts, rows);
    const long taps = p->KH * p->KW;
    d.sums = fd_pool_get((size_t)(d.parts * taps * d.width) * sizeof(float));
    if (!d.sums) {
        fd_pool_put(copy);
        return FD_NO_MEMORY;
    }
    fd_run(weight_chunk, &d, d.parts * d.channel_blocks, work(p) * 4);
    const float *sums = d.sums;
    for (long i = 0; i < p->phases; i++) {
        const fd_conv_phase *f = p->phase + i;
        for (long r = 0; r < f->h->taps; r++)
            for (long c = 0; c < f->w->taps; c++, sums += d.width)
                for (long lane = 0; lane < p->lanes; lane++) {
                    float sum = 0;
                    for (long part = 0; part < d.parts; part++) sum += sums[part * taps * d.width + lane];
                    dw[lane * p->w_lane + f->h->src[r] * p->KW + f->w->src[c]] = sum;
                }
    }
    fd_pool_put(d.sums);
    fd_pool_put(copy);
    return FD_OK;
}

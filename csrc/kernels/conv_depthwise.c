/* Depthwise convolution: each channel has its own filter, so there is no sum over channels and no matrix product.
 *
 * Idea: vectors run along channels. Several neighbouring results of a row are kept in registers while the taps of the filter
 * pass, so a weight is loaded once for all of them, and with unit steps an input pixel once for a whole filter row.
 * Bound by memory: the arithmetic of 3x3 costs less than reading x and writing y.
 */
#include "kernels/conv.h"

#define CHUNK_WORK 3e6
#define PIXELS (FD_VREGS == 32 ? 6 : 4) /* neighbouring results in registers, beside their inputs and a row of weights */
#define LINE 16                         /* floats of a cache line */

typedef struct {
    const fd_conv *p;
    const float *x;
    long x_n, x_h, x_w;
    long width;        /* channels rounded up to VL: row length of the packed weights */
    const float *bias; /* [width] or NULL */
    long rows, blocks; /* result rows of a chunk, chunks of an image and phase */
    int stream;        /* y goes past the caches */
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

/* are PIXELS results from column j on there, and all taps of them inside? */
FD_INLINE int is_whole(const fd_conv_axis *w, long j) {
    const long last = j + PIXELS - 1;
    return last < w->size && w->low[j] == 0 && w->low[last] == 0 && w->high[j] == w->taps && w->high[last] == w->taps;
}

/* do the taps of a row read three neighbouring columns, and neighbouring results neighbouring columns? */
FD_INLINE int is_unit3(const fd_conv_axis *w) {
    return w->step == 1 && w->taps == 3 && w->at[1] == w->at[0] + 1 && w->at[2] == w->at[0] + 2;
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
        if (d->stream)
            vstream(out, v);
        else if (n == VL)
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
    const int unit3 = is_unit3(w);
    for (long i = i0; i < FD_MIN(h->size, i0 + d->rows); i++) {
        const float *x = d->x + n * d->x_n + i * h->step * d->x_h;
        float *y = f->y + n * p->y_n + i * p->y_h;
        const long r0 = h->low[i], r1 = h->high[i];
        const float *weights[FD_MAX(1, h->taps)];
        /* the input row that the next result row will be the first to read */
        const float *next = x + (r1 > r0 ? h->at[r1 - 1] + h->step : 0) * d->x_h;
        for (long r = r0; r < r1; r++) weights[r] = f->packed + r * w->taps * d->width;
        for (long j = 0; j < w->size;) {
            const int whole = is_whole(w, j);
            for (long c = 0; c < C; c += VL) {
                const long left = FD_MIN(VL, C - c);
                if (whole && c % LINE == 0)
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
    if (d->stream) vfence();
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
    d.stream = fd_conv_streams(p);
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
 * dw[tap][channel] = sum over n, i, j of x * y (channels of y side by side): the same walk as above with the roles of weights and
 * results exchanged. The sums of a chunk's channels stay in L1. */
#define CHANNELS 256 /* of a chunk */

typedef struct {
    const fd_conv *p;
    const float *x;
    long x_n, x_h, x_w;
    long width, parts, channel_blocks;
    float *sums; /* [parts][taps of all phases, and one row for db][width] */
} weight;

/* adds `count` results from column j to the sums of filter rows [r0, r1), columns [c0, c1); see results() */
FD_INLINE void add_results(const weight *d, const fd_conv_phase *f, const float *x, const float *y, float *sums, long j, long r0,
                           long r1, long c0, long c1, long n, const int count, const int cols) {
    const fd_conv_axis *w = f->w;
    const long pixel = w->step * d->x_w;
    vf yv[PIXELS];
    FD_UNROLL for (int i = 0; i < count; i++) {
        const float *from = y + (j + i) * d->p->y_w;
        yv[i] = n == VL ? vload(from) : vload_n(from, n);
    }
    if (d->p->db) { /* one phase: its row follows those of the taps */
        float *out = sums + d->p->KH * d->p->KW * d->width;
        vf sum = yv[0];
        FD_UNROLL for (int i = 1; i < count; i++) sum += yv[i];
        vstore(out, vload(out) + sum);
    }
    for (long r = r0; r < r1; r++) {
        const float *row = x + f->h->at[r] * d->x_h + j * pixel;
        float *out = sums + r * w->taps * d->width;
        if (cols) {
            vf sum[8];
            row += w->at[0] * d->x_w;
            FD_UNROLL for (int t = 0; t < cols; t++) sum[t] = vload(out + t * d->width);
            FD_UNROLL for (int i = 0; i < count + cols - 1; i++) {
                const vf in = n == VL ? vload(row + i * d->x_w) : vload_n(row + i * d->x_w, n);
                FD_UNROLL for (int t = 0; t < cols; t++) {
                    if (i - t >= 0 && i - t < count) sum[t] = vfma(in, yv[i - t], sum[t]);
                }
            }
            FD_UNROLL for (int t = 0; t < cols; t++) vstore(out + t * d->width, sum[t]);
        } else {
            for (long t = c0; t < c1; t++) {
                vf sum = vload(out + t * d->width);
                const float *in = row + w->at[t] * d->x_w;
                FD_UNROLL for (int i = 0; i < count; i++) {
                    sum = vfma(n == VL ? vload(in + i * pixel) : vload_n(in + i * pixel, n), yv[i], sum);
                }
                vstore(out + t * d->width, sum);
            }
        }
    }
}

static void weight_chunk(void *ctx, long chunk) {
    const weight *d = ctx;
    const fd_conv *p = d->p;
    const long part = chunk / d->channel_blocks, first = chunk % d->channel_blocks * CHANNELS;
    const long last = FD_MIN(p->lanes, first + CHANNELS);
    float *sums = d->sums + part * (p->KH * p->KW + 1) * d->width;
    for (long c = first; c < last; c += VL) vstore(sums + p->KH * p->KW * d->width + c, vzero());
    for (long q = 0; q < p->phases; q++) {
        const fd_conv_phase *f = p->phase + q;
        const fd_conv_axis *h = f->h, *w = f->w;
        const long rows = p->x.N * h->size, from = rows * part / d->parts, to = rows * (part + 1) / d->parts;
        const int unit3 = is_unit3(w);
        for (long t = 0; t < fd_conv_taps(f); t++)
            for (long c = first; c < last; c += VL) vstore(sums + t * d->width + c, vzero());
        for (long row = from; row < to; row++) {
            const long n = row / h->size, i = row % h->size, r0 = h->low[i], r1 = h->high[i];
            const float *x = d->x + n * d->x_n + i * h->step * d->x_h, *y = f->y + n * p->y_n + i * p->y_h;
            const float *next_x = x + (r1 > r0 ? h->at[r1 - 1] + h->step : 0) * d->x_h, *next_y = y + p->y_h;
            for (long j = 0; j < w->size;) {
                const int whole = is_whole(w, j);
                for (long c = first; c < last; c += VL) {
                    const long left = FD_MIN(VL, last - c);
                    if (whole)
                        for (long s = 0; s < PIXELS; s++) {
                            fd_prefetch(next_x + (j + s) * w->step * d->x_w + c);
                            fd_prefetch(next_y + (j + s) * p->y_w + c);
                        }
                    if (!whole)
                        add_results(d, f, x + c, y + c, sums + c, j, r0, r1, w->low[j], w->high[j], left, 1, 0);
                    else if (!unit3)
                        add_results(d, f, x + c, y + c, sums + c, j, r0, r1, 0, w->taps, left, PIXELS, 0);
                    else if (left == VL)
                        add_results(d, f, x + c, y + c, sums + c, j, r0, r1, 0, 3, VL, PIXELS, 3);
                    else
                        add_results(d, f, x + c, y + c, sums + c, j, r0, r1, 0, 3, left, PIXELS, 3);
                }
                j += whole ? PIXELS : 1;
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
    const long taps = p->KH * p->KW + 1;
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
    for (long lane = 0; p->db && lane < p->lanes; lane++) {
        double sum = 0;
        for (long part = 0; part < d.parts; part++) sum += (double)d.sums[(part * taps + taps - 1) * d.width + lane];
        p->db[lane] = (float)sum;
    }
    fd_pool_put(d.sums);
    fd_pool_put(copy);
    return FD_OK;
}

/* Batch, group and instance norm over channels-last memory (B, S, C), fused with ReLU and a residual add.
 *
 * Idea: every pass runs along rows and is vectorised over channels. Few channels would leave lanes empty, so FOLD rows of C
 * channels count as one row of W = FOLD * C columns, and the columns of a channel are merged at the end.
 * Statistics in one pass: a chunk of rows sums d = x - k and d^2 in float32, k the mean of 8 rows spread over the chunk (what k
 * is off by shows up in the chunk's own variance, so the cancellation is bounded by the number of rows over 8); the
 * chunks are merged in float64 by Chan's formula. The second pass runs over the chunks backwards: the end of x is still in cache.
 * Traffic: 2 reads and 1 write forward, 4 reads and 1 write backward (ReLU's mask is recomputed, not stored).
 */
#include "kernels/channels.h"

FD_INLINE void shifted_sums_column(const float *x, long rows, long width, long lanes, float *k_out, float *s1_out,
                                   float *s2_out) {
    const int full = lanes >= VL;
    const long spread = FD_MIN(SPREAD, rows);
    vf k = vzero();
    for (long i = 0; i < spread; i++) k += LOAD(x + rows * i / spread * width);
    k *= 1.0f / (float)spread;
    vf s1[4], s2[4];
    FD_UNROLL
    for (int i = 0; i < 4; i++) s1[i] = s2[i] = vzero();
    long r = 0;
    for (; r + 4 <= rows; r += 4) {
        FD_UNROLL
        for (int i = 0; i < 4; i++) {
            vf d = LOAD(x + (r + i) * width) - k;
            s1[i] += d;
            s2[i] = vfma(d, d, s2[i]);
        }
    }
    for (; r < rows; r++) {
        vf d = LOAD(x + r * width) - k;
        s1[0] += d;
        s2[0] = vfma(d, d, s2[0]);
    }
    vstore(k_out, k);
    vstore(s1_out, (s1[0] + s1[1]) + (s1[2] + s1[3]));
    vstore(s2_out, (s2[0] + s2[1]) + (s2[2] + s2[3]));
}

/* Wide rows: nv vectors of columns of TILE rows at a time, so that memory is read in order; the sums live in L1. */
FD_INLINE void shifted_sums_rows(const float *x, int rows, long width, const int nv, long lanes, const float *k_in, float *s1,
                                 float *s2) {
    const int full = lanes >= VL;
    vf k[GROUP], a[GROUP], b[GROUP];
    FD_UNROLL for (int v = 0; v < nv; v++) {
        k[v] = vload(k_in + v * VL);
        a[v] = vload(s1 + v * VL);
        b[v] = vload(s2 + v * VL);
    }
    FD_UNROLL for (int i = 0; i < TILE; i++) {
        if (i < rows) {
            FD_UNROLL for (int v = 0; v < nv; v++) {
                if (full) fd_prefetch(x + i * width + v * VL + AHEAD);
                vf d = LOAD(x + i * width + v * VL) - k[v];
                a[v] += d;
                b[v] = vfma(d, d, b[v]);
            }
        }
    }
    FD_UNROLL for (int v = 0; v < nv; v++) {
        vstore(s1 + v * VL, a[v]);
        vstore(s2 + v * VL, b[v]);
    }
}

static void stats_part(const plan *p, const part *t) {
    if (!t->rows) return;
    const float *x = p->x + t->at;
    float *k = slot(p, t->b, t->chunk), *s1 = k + p->stride, *s2 = s1 + p->stride;
    const long W = t->width, spread = FD_MIN(SPREAD, t->rows);
    if (W < 4 * VL) {
        for (long j = 0; j < W; j += VL) {
            if (W - j >= VL)
                shifted_sums_column(x + j, t->rows, W, VL, k + j, s1 + j, s2 + j);
            else
                shifted_sums_column(x + j, t->rows, W, W - j, k + j, s1 + j, s2 + j);
        }
        return;
    }
    memset(s1, 0, (size_t)(2 * p->stride) * 4);
    for (long j = 0; j < W; j += VL) {
        vf sum = vzero();
        for (long i = 0; i < spread; i++) {
            const float *row = x + t->rows * i / spread * W + j;
            sum += W - j >= VL ? vload(row) : vload_n(row, W - j);
        }
        vstore(k + j, sum * (1.0f / (float)spread));
    }
    for (long r = 0; r < t->rows; r += TILE, x += TILE * W) {
        const int n = (int)FD_MIN(TILE, t->rows - r);
        long j = 0;
#define SUMS(rows, nv, lanes) shifted_sums_rows(x + j, rows, W, nv, lanes, k + j, s1 + j, s2 + j)
        if (n == TILE) {
            for (; j + GROUP * VL <= W; j += GROUP * VL) SUMS(TILE, GROUP, VL);
            for (; j + VL <= W; j += VL) SUMS(TILE, 1, VL);
        }
        for (; j < W; j += VL) SUMS(n, 1, FD_MIN(VL, W - j));
#undef SUMS
    }
}

static void stats_chunk(void *ctx, long job) {
    const plan *p = ctx;
    part t = part_of(p, job, 0);
    stats_part(p, &t);
    t = part_of(p, job, 1);
    stats_part(p, &t);
}

/* Chan, Golub, LeVeque: (count, mean, sum of squared deviations) of two sets from those of each */
static inline void merge(double *n, double *mean, double *m2, double n_b, double mean_b, double m2_b) {
    const double total = *n + n_b, delta = mean_b - *mean;
    *mean += delta * (n_b / total);
    *m2 += m2_b + delta * delta * (*n * n_b / total);
    *n = total;
}

/* Statistics of every group of b, from the partial sums. `work` has room for 3 * stride doubles. */
static void merge_stats(const plan *p, long b, double *work, float *stats) {
    double *mean = work, *m2 = work + p->stride;
    const long width = p->C / p->G, groups = p->B * p->G;
    double count = 0;
    memset(work, 0, (size_t)(2 * p->stride) * sizeof(double));
    for (long c = 0; c < p->chunks && p->rows; c++) {
        const double n = (double)FD_MIN(p->chunk_rows, p->rows - c * p->chunk_rows), total = count + n;
        const vd inverse = (vd){0} + 1.0 / n, f = (vd){0} + n / total, h = (vd){0} + count * n / total;
        const float *k = slot(p, b, c), *s1 = k + p->stride, *s2 = s1 + p->stride;
        for (long j = 0; j < p->W; j += VL) {
            vd s, m, q, sum = vtodouble(vload(s1 + j));
            memcpy(&m, mean + j, sizeof m);
            memcpy(&q, m2 + j, sizeof q);
            s = sum * inverse;
            vd delta = vtodouble(vload(k + j)) + s - m;
            m += delta * f;
            q += vtodouble(vload(s2 + j)) - sum * s + delta * delta * h;
            memcpy(mean + j, &m, sizeof m);
            memcpy(m2 + j, &q, sizeof q);
        }
        count = total;
    }
    const float *k = slot(p, b, p->chunks), *s1 = k + p->stride, *s2 = s1 + p->stride;
    for (long g = 0; g < p->G; g++) {
        double n = 0, group_mean = 0, group_m2 = 0;
        for (long c = g * width; c < (g + 1) * width; c++) {
            for (long j = c; j < p->W && count; j += p->C) merge(&n, &group_mean, &group_m2, count, mean[j], m2[j]);
            if (p->tail) {
                const double tail = (double)p->tail, s = s1[c] / tail;
                merge(&n, &group_mean, &group_m2, tail, k[c] + s, s2[c] - s1[c] * s);
            }
        }
        const float rounded = (float)group_mean;
        stats[b * p->G + g] = rounded;
        stats[groups + b * p->G + g] = (float)(group_m2 > 0 || group_m2 != group_m2 ? group_m2 / n : 0.0);
        stats[2 * groups + b * p->G + g] = (float)(group_mean - rounded);
    }
}

FD_INLINE void apply_rows(const float *x, const float *residual, float *y, int n, long width, const int nv, long lanes,
                          const float *coef, long stride, int add, int relu, int stream) {
    const int full = lanes >= VL;
    vf mean[GROUP], scale[GROUP], shift[GROUP];
    FD_UNROLL for (int v = 0; v < nv; v++) {
        mean[v] = LOAD(coef + MEAN * stride + v * VL);
        scale[v] = LOAD(coef + SCALE * stride + v * VL);
        shift[v] = LOAD(coef + SHIFT * stride + v * VL);
    }
    FD_UNROLL for (int i = 0; i < TILE; i++) {
        if (i < n) {
            FD_UNROLL for (int v = 0; v < nv; v++) {
                const long at = i * width + v * VL;
                vf r = vfma(LOAD(x + at) - mean[v], scale[v], shift[v]);
                if (add) r += LOAD(residual + at);
                if (relu) r = vmax(vzero(), r);
                if (!full)
                    vstore_n(y + at, r, lanes);
                else if (stream)
                    vstream(y + at, r);
                else
                    vstore(y + at, r);
            }
        }
    }
}

FD_INLINE void apply_part(const plan *p, const part *t, const float *coef, long stride, int add, int relu, int stream) {
    const long W = t->width;
    for (long r = 0; r < t->rows; r += TILE) {
        const long at = t->at + r * W;
        const float *x = p->x + at, *residual = add ? p->x2 + at : NULL;
        float *y = p->out + at;
        const int n = (int)FD_MIN(TILE, t->rows - r);
        long j = 0;
#define APPLY(n, nv, lanes, stream) apply_rows(x + j, residual + j, y + j, n, W, nv, lanes, coef + j, stride, add, relu, stream)
        if (n == TILE) {
            for (; j + GROUP * VL <= W; j += GROUP * VL) APPLY(TILE, GROUP, VL, stream);
            for (; j + VL <= W; j += VL) APPLY(TILE, 1, VL, stream);
        }
        for (; j < W; j += VL) APPLY(n, 1, FD_MIN(VL, W - j), 0);
#undef APPLY
    }
}

FD_INLINE void apply_parts(const plan *p, const part *t, const float *coef, long stride, int stream) {
    if (p->x2 && p->act)
        apply_part(p, t, coef, stride, 1, 1, stream);
    else if (p->x2)
        apply_part(p, t, coef, stride, 1, 0, stream);
    else if (p->act)
        apply_part(p, t, coef, stride, 0, 1, stream);
    else
        apply_part(p, t, coef, stride, 0, 0, stream);
}

static void apply_chunk(void *ctx, long job) {
    const plan *p = ctx;
    job = p->B * p->chunks - 1 - job;
    float local[COEFS * FOLDED];
    long stride;
    const float *coef = folded(p, job / p->chunks, local, &stride);
    for (int tail = 0; tail < 2; tail++) {
        part t = part_of(p, job, tail);
        if (p->stream && !tail)
            apply_parts(p, &t, coef, stride, 1);
        else
            apply_parts(p, &t, coef, stride, 0);
    }
    if (p->stream) vfence();
}

int FN(fd_batch_norm_f32)(const fd_batch_norm_args *g) {
    if (!g->B || !g->S || !g->C) return FD_OK;
    plan p = make_plan(g->B, g->S, g->C, g->G);
    double *work;
    float *block = workspace(&p, &work);
    if (!block) return FD_NO_MEMORY;
    p.x = g->x;
    p.x2 = g->residual;
    p.out = g->y;
    p.act = g->act;
    p.stream = worth_streaming(&p);
    const double moved = 4.0 * (double)g->B * (double)g->S * (double)g->C;
    if (!g->given) fd_run(stats_chunk, &p, p.B * p.chunks, moved);
    for (long b = 0; b < p.B; b++) {
        if (!g->given) merge_stats(&p, b, work, g->stats);
        set_coefficients(&p, b, g->stats, g->weight, g->bias, g->eps);
    }
    fd_run(apply_chunk, &p, p.B * p.chunks, 2 * moved);
    fd_pool_put(block);
    return FD_OK;
}


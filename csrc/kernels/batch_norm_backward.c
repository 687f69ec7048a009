/* Gradients of batch, group and instance norm over channels-last memory; see batch_norm.c for the passes and the folding.
 *
 * With d = x - mean and the masked gradient e:   dx = e SCALE + d Q + R, Q and R from the sums of e and e d over the group.
 * The mask of ReLU is that of y = d SCALE + SHIFT, computed again exactly as forward did, or read from y after a residual add.
 */
#include "kernels/channels.h"

enum { NO_MASK, MASK_FROM_X, MASK_FROM_Y };

FD_INLINE vf masked(vf e, vf d, const float *y, const float *coef, long stride, long lanes, int mask) {
    const int full = lanes >= VL;
    if (mask == MASK_FROM_X)
        return vselect(vfma(d, LOAD(coef + SCALE * stride), LOAD(coef + SHIFT * stride)) <= vzero(), vzero(), e);
    if (mask == MASK_FROM_Y) return vselect(LOAD(y) <= vzero(), vzero(), e);
    return e;
}

FD_INLINE void sums_rows(const float *x, const float *dy, const float *y, int n, long width, long lanes, const float *coef,
                         long stride, float *s1, float *s2, int mask) {
    const int full = lanes >= VL;
    const vf mean = LOAD(coef + MEAN * stride);
    vf a = vload(s1), b = vload(s2);
    FD_UNROLL
    for (int i = 0; i < TILE; i++) {
        if (i < n) {
            vf d = LOAD(x + i * width) - mean;
            vf e = masked(LOAD(dy + i * width), d, y + i * width, coef, stride, lanes, mask);
            a += e;
            b = vfma(e, d, b);
        }
    }
    vstore(s1, a);
    vstore(s2, b);
}

FD_INLINE void sums_part(const plan *p, const part *t, const float *coef, long stride, int mask) {
    const long W = t->width;
    float *s1 = slot(p, t->b, t->chunk), *s2 = s1 + p->stride;
    memset(s1, 0, (size_t)(2 * p->stride) * 4);
    for (long r = 0; r < t->rows; r += TILE) {
        const long at = t->at + r * W;
        const float *x = p->x + at, *dy = p->x2 + at, *y = mask == MASK_FROM_Y ? p->y + at : NULL;
        const int n = (int)FD_MIN(TILE, t->rows - r);
        long j = 0;
        if (n == TILE)
            for (; j + VL <= W; j += VL) sums_rows(x + j, dy + j, y + j, TILE, W, VL, coef + j, stride, s1 + j, s2 + j, mask);
        for (; j < W; j += VL) sums_rows(x + j, dy + j, y + j, n, W, FD_MIN(VL, W - j), coef + j, stride, s1 + j, s2 + j, mask);
    }
}

static int mask_of(const plan *p) { return !p->act ? NO_MASK : p->y ? MASK_FROM_Y : MASK_FROM_X; }

static void sums_chunk(void *ctx, long job) {
    const plan *p = ctx;
    float local[COEFS * FOLDED];
    long stride;
    const float *coef = folded(p, job / p->chunks, local, &stride);
    for (int tail = 0; tail < 2; tail++) {
        part t = part_of(p, job, tail);
        if (tail && job % p->chunks != p->chunks - 1) break;
        switch (mask_of(p)) {
        case NO_MASK: sums_part(p, &t, coef, stride, NO_MASK); break;
        case MASK_FROM_X: sums_part(p, &t, coef, stride, MASK_FROM_X); break;
        default: sums_part(p, &t, coef, stride, MASK_FROM_Y);
        }
    }
}

FD_INLINE void dx_rows(const float *x, const float *dy, const float *y, float *dx, float *dresidual, int n, long width,
                       const int nv, long lanes, const float *coef, long stride, int mask, int stream) {
    const int full = lanes >= VL;
    vf mean[GROUP], scale[GROUP], q[GROUP], r[GROUP];
    FD_UNROLL for (int k = 0; k < nv; k++) {
        mean[k] = LOAD(coef + MEAN * stride + k * VL);
        scale[k] = LOAD(coef + SCALE * stride + k * VL);
        q[k] = LOAD(coef + Q * stride + k * VL);
        r[k] = LOAD(coef + R * stride + k * VL);
    }
    FD_UNROLL for (int i = 0; i < TILE; i++) {
        if (i < n) {
            FD_UNROLL for (int k = 0; k < nv; k++) {
                const long at = i * width + k * VL;
                vf d = LOAD(x + at) - mean[k];
                vf e = masked(LOAD(dy + at), d, y + at, coef + k * VL, stride, lanes, mask);
                vf v = vfma(e, scale[k], vfma(d, q[k], r[k]));
                if (!full) {
                    vstore_n(dx + at, v, lanes);
                    if (dresidual) vstore_n(dresidual + at, e, lanes);
                } else if (stream) {
                    vstream(dx + at, v);
                    if (dresidual) vstream(dresidual + at, e);
                } else {
                    vstore(dx + at, v);
                    if (dresidual) vstore(dresidual + at, e);
                }
            }
        }
    }
}

FD_INLINE void dx_part(const plan *p, const part *t, const float *coef, long stride, int mask, int residual, int stream) {
    const long W = t->width;
    for (long r = 0; r < t->rows; r += TILE) {
        const long at = t->at + r * W;
        const float *x = p->x + at, *dy = p->x2 + at, *y = mask == MASK_FROM_Y ? p->y + at : NULL;
        float *dx = p->out + at, *dresidual = residual ? p->out2 + at : NULL;
        const int n = (int)FD_MIN(TILE, t->rows - r);
        long j = 0;
#define DX(n, nv, lanes, stream) \
    dx_rows(x + j, dy + j, y + j, dx + j, residual ? dresidual + j : NULL, n, W, nv, lanes, coef + j, stride, mask, stream)
        if (n == TILE) {
            for (; j + GROUP * VL <= W; j += GROUP * VL) DX(TILE, GROUP, VL, stream);
            for (; j + VL <= W; j += VL) DX(TILE, 1, VL, stream);
        }
        for (; j < W; j += VL) DX(n, 1, FD_MIN(VL, W - j), 0);
#undef DX
    }
}

FD_INLINE void dx_parts(const plan *p, const part *t, const float *coef, long stride, int stream) {
    switch (mask_of(p) * 2 + (p->out2 != NULL)) {
    case NO_MASK * 2: dx_part(p, t, coef, stride, NO_MASK, 0, stream); break;
    case NO_MASK * 2 + 1: dx_part(p, t, coef, stride, NO_MASK, 1, stream); break;
    case MASK_FROM_X * 2: dx_part(p, t, coef, stride, MASK_FROM_X, 0, stream); break;
    case MASK_FROM_X * 2 + 1: dx_part(p, t, coef, stride, MASK_FROM_X, 1, stream); break;
    case MASK_FROM_Y * 2: dx_part(p, t, coef, stride, MASK_FROM_Y, 0, stream); break;
    default: dx_part(p, t, coef, stride, MASK_FROM_Y, 1, stream);
    }
}

static void dx_chunk(void *ctx, long job) {
    const plan *p = ctx;
    job = p->B * p->chunks - 1 - job;
    float local[COEFS * FOLDED];
    long stride;
    const float *coef = folded(p, job / p->chunks, local, &stride);
    for (int tail = 0; tail < 2; tail++) {
        part t = part_of(p, job, tail);
        if (p->stream && !tail)
            dx_parts(p, &t, coef, stride, 1);
        else
            dx_parts(p, &t, coef, stride, 0);
    }
    if (p->stream) vfence();
}

/* Sums over rows of every channel of b into s1 and s2 (C,), from the partial sums. */
static void merge_sums(const plan *p, long b, double *s1, double *s2) {
    double *wide1 = s1 + 2 * p->C, *wide2 = wide1 + p->stride;
    memset(wide1, 0, (size_t)(2 * p->stride) * sizeof(double));
    for (long c = 0; c < p->chunks; c++) {
        const float *a1 = slot(p, b, c), *a2 = a1 + p->stride;
        for (long j = 0; j < p->W; j++) {
            wide1[j] += a1[j];
            wide2[j] += a2[j];
        }
    }
    const float *a1 = slot(p, b, p->chunks), *a2 = a1 + p->stride;
    for (long c = 0; c < p->C; c++) {
        s1[c] = p->tail ? a1[c] : 0.0;
        s2[c] = p->tail ? a2[c] : 0.0;
        for (long j = c; j < p->W; j += p->C) {
            s1[c] += wide1[j];
            s2[c] += wide2[j];
        }
    }
}

static void backward_coefficients(const plan *p, const fd_batch_norm_backward_args *g, long b, double *work, double *dweight,
                                  double *dbias) {
    float *coef = p->coef + b * COEFS * p->C;
    double *s1 = work, *s2 = work + p->C;
    const long width = p->C / p->G, groups = p->B * p->G;
    const double count = (double)p->S * (double)width;
    merge_sums(p, b, s1, s2);
    for (long group = 0; group < p->G; group++) {
        const float *s = g->stats + b * p->G + group;
        const double rstd = 1.0 / sqrt((double)s[groups] + g->eps), rest = s[2 * groups];
        double t1 = 0, t2 = 0;
        for (long c = group * width; c < (group + 1) * width; c++) {
            const double w = g->weight ? g->weight[c] : 1.0, exact = s2[c] - rest * s1[c];
            t1 += w * s1[c];
            t2 += w * exact;
            dbias[c] += s1[c];
            dweight[c] += rstd * exact;
        }
        const double q = g->given ? 0.0 : -rstd * rstd * rstd * t2 / count;
        const double r = g->given ? 0.0 : -rstd * t1 / count - q * rest;
        for (long c = group * width; c < (group + 1) * width; c++) {
            coef[Q * p->C + c] = (float)q;
            coef[R * p->C + c] = (float)r;
        }
    }
}

int FN(fd_batch_norm_backward_f32)(const fd_batch_norm_backward_args *g) {
    plan p = make_plan(g->B, g->S, g->C, g->G);
    if (!g->B || !g->S || !g->C) {
        memset(g->dweight, 0, (size_t)g->C * 4);
        memset(g->dbias, 0, (size_t)g->C * 4);
        return FD_OK;
    }
    double *work;
    float *block = workspace(&p, &work);
    double *totals = fd_pool_get(2 * (size_t)g->C * sizeof(double));
    if (!block || !totals) {
        fd_pool_put(block);
        fd_pool_put(totals);
        return FD_NO_MEMORY;
    }
    p.x = g->x;
    p.x2 = g->dy;
    p.y = g->y;
    p.out = g->dx;
    p.out2 = g->dresidual;
    p.act = g->act;
    p.stream = worth_streaming(&p);
    memset(totals, 0, 2 * (size_t)g->C * sizeof(double));
    for (long b = 0; b < p.B; b++) set_coefficients(&p, b, g->stats, g->weight, g->bias, g->eps);
    const double moved = 4.0 * (double)g->B * (double)g->S * (double)g->C;
    fd_run(sums_chunk, &p, p.B * p.chunks, 2 * moved);
    for (long b = 0; b < p.B; b++) backward_coefficients(&p, g, b, work, totals, totals + g->C);
    fd_run(dx_chunk, &p, p.B * p.chunks, 3 * moved);
    for (long c = 0; c < g->C; c++) {
        g->dweight[c] = (float)totals[c];
        g->dbias[c] = (float)totals[g->C + c];
    }
    fd_pool_put(block);
    fd_pool_put(totals);
    return FD_OK;
}

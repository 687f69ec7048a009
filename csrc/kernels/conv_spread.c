/* Convolution of few channels to few lanes (the first layer of LeNet, and its gradients): vectors run along y itself, (column, lane)
 * after (column, lane).
 *
 * Idea: with so few multiplications a result, bringing results into channels-last order would cost more than they. So x is copied into
 * zero-bordered planar rows; one load of neighbouring columns is spread by permutations, each column as often as there are lanes, and
 * the weights are laid out in the pattern in which lanes come round. All lanes of all vectors are of use, however few there are.
 * The weight gradient sums the same products over pixels, VECTORS vectors a tap.
 */
#include "kernels/conv.h"

#define CHUNK_WORK 3e6
#define CHANNELS 8 /* with more, x's columns are spread too often: the tiles of conv_planar.c and conv_weight.c win */

#if VL > 4                                /* permutations of any kind */
#define VECTORS 3                         /* side by side */
#define MOST_LANES (VL == 8 ? 7 : VL / 2) /* with more, whole vectors of lanes waste less */
#define ROWS (FD_VREGS == 32 ? 4 : 2)     /* rows of them that use a weight */
#define SIZE (VECTORS * VL)
#define TAPS (FD_VREGS == 32 ? 5 : 2) /* columns of a filter whose gradients are summed in registers */

typedef struct {
    const fd_conv *p;
    fd_border b;
    const float *x;    /* [N][b.H][C][b.W] */
    const float *bias; /* [SIZE], 0 without one */
    long rows, blocks; /* result rows of a chunk; chunks of a phase of an image */
    long parts;        /* weight gradient */
    float *sums;       /* [parts][taps and, at the end, db][SIZE] */
} spread;

/* Vector v of a group of results needs column from[v] of what begins at base[v]. */
static void find_columns(long lanes, int one, vi *from, long *base) {
    for (int v = 0; v < VECTORS; v++) {
        int32_t at[VL];
        base[v] = one ? 0 : v * VL / lanes;
        for (int l = 0; l < VL; l++) at[l] = (int32_t)((v * VL + l) / lanes - base[v]);
        from[v] = viload(at);
    }
}

/* The weights of one phase: of each tap (row, channel, column) VECTORS vectors in which lanes come round. */
static void spread_weights(const fd_conv *p, const fd_conv_phase *f, float *out) {
    for (long r = 0; r < f->h->taps; r++)
        for (long k = 0; k < p->x.C; k++)
            for (long c = 0; c < f->w->taps; c++, out += SIZE) {
                const float *w = p->w + k * p->w_k + f->h->src[r] * p->KW + f->w->src[c];
                for (long i = 0; i < SIZE; i++) out[i] = w[i % p->lanes * p->w_lane];
            }
}

/* `rows` rows of results, `count` columns from column j on of row i on, in nv vectors each */
FD_INLINE void spread_results(const spread *d, const fd_conv_phase *f, const vi *from, const long *base, long n, long i, long j,
                              long count, const int nv, const int rows, const int one) {
    const fd_conv *p = d->p;
    const long C = p->x.C, W = d->b.W, L = p->lanes, step = f->h->step * C * W;
    const float *x = d->x + ((n * d->b.H + i * f->h->step + d->b.top) * C) * W + d->b.left + j, *w = f->packed;
    vf sum[ROWS][VECTORS];
    FD_UNROLL for (int r = 0; r < rows; r++) {
        FD_UNROLL for (int v = 0; v < nv; v++) sum[r][v] = vload(d->bias + v * VL);
    }
    const long u0 = f->h->low[i + rows - 1]; /* above and below lies the border for all rows */
    w += u0 * C * f->w->taps * SIZE;
    for (long u = u0; u < f->h->high[i]; u++)
        for (long k = 0; k < C; k++) {
            const float *line = x + (f->h->at[u] * C + k) * W;
            for (long c = 0; c < f->w->taps; c++, w += SIZE) {
                const float *in = line + f->w->at[c];
                vf weight[VECTORS];
                FD_UNROLL for (int v = 0; v < nv; v++) weight[v] = vhold(vload(w + v * VL));
                FD_UNROLL for (int r = 0; r < rows; r++) {
                    const vf all = vhold(vload(in + r * step));
                    FD_UNROLL for (int v = 0; v < nv; v++) {
                        sum[r][v] = vfma(weight[v], vpermute(one ? all : vload(in + r * step + base[v]), from[v]), sum[r][v]);
                    }
                }
            }
        }
    float *y = f->y + n * p->y_n + i * p->y_h + j * p->y_w;
    FD_UNROLL for (int r = 0; r < rows; r++) {
        FD_UNROLL for (int v = 0; v < nv; v++) {
            const vf s = p->relu ? vmax(vzero(), sum[r][v]) : sum[r][v];
            const long left = FD_MAX(0, count * L - v * VL);
            if (left >= VL)
                vstore(y + r * p->y_h + v * VL, s);
            else
                vstore_n(y + r * p->y_h + v * VL, s, left);
        }
    }
}

FD_INLINE void spread_group(const spread *d, const fd_conv_phase *f, const vi *from, const long *base, long n, long i, long j,
                            long count, long nv, int rows, const int one) {
    if (rows == 1)
        spread_results(d, f, from, base, n, i, j, count, VECTORS, 1, one);
    else if (nv == 1)
        spread_results(d, f, from, base, n, i, j, count, 1, ROWS, one);
    else if (nv == 2)
        spread_results(d, f, from, base, n, i, j, count, 2, ROWS, one);
    else
        spread_results(d, f, from, base, n, i, j, count, VECTORS, ROWS, one);
}

static void spread_rows(const spread *d, const fd_conv_phase *f, long n, long i0, long i1) {
    const long L = d->p->lanes, columns = SIZE / L;
    const int one = columns <= VL; /* one vector of x holds the columns of all */
    vi from[VECTORS];
    long base[VECTORS];
    find_columns(L, one, from, base);
    for (long i = i0; i < i1;) {
        const int rows = i1 - i >= ROWS ? ROWS : 1;
        for (long j = 0; j < f->w->size; j += columns) {
            const long count = FD_MIN(columns, f->w->size - j), nv = (count * L + VL - 1) / VL;
            if (one)
                spread_group(d, f, from, base, n, i, j, count, nv, rows, 1);
            else
                spread_group(d, f, from, base, n, i, j, count, nv, rows, 0);
        }
        i += rows;
    }
}
static void spread_chunk(void *ctx, long chunk) {
    const spread *d = ctx;
    const fd_conv_phase *f = d->p->phase + chunk / d->blocks / d->p->x.N;
    const long i0 = chunk % d->blocks * d->rows;
    spread_rows(d, f, chunk / d->blocks % d->p->x.N, i0, FD_MIN(f->h->size, i0 + d->rows));
}

int FN(fd_conv_spread_pays)(const fd_conv *p) {
    if (p->lanes > MOST_LANES || !p->lanes || !p->x.C || p->x.C > CHANNELS || p->y_w != p->lanes || p->y_c != 1) return 0;
    for (long i = 0; i < p->phases; i++)
        if (p->phase[i].w->step != 1) return 0;
    return 1;
}

int FN(fd_conv_spread)(const fd_conv *p) {
    spread d = {.p = p, .b = FN(fd_conv_border)(p)};
    const long C = p->x.C, taps = p->KH * p->KW * C;
    float *x = FN(fd_planar_copy)(&p->x, d.b, (size_t)((taps + 1) * SIZE));
    if (!x) return FD_NO_MEMORY;
    float *bias = x + p->x.N * d.b.H * C * d.b.W + FD_NR, *w = bias + SIZE;
    d.x = x;
    d.bias = bias;
    for (long i = 0; i < SIZE; i++) bias[i] = p->bias ? p->bias[i % p->lanes] : 0.0f;
    long tallest = 1;
    for (long i = 0; i < p->phases; i++) {
        tallest = FD_MAX(tallest, p->phase[i].h->size);
        p->phase[i].packed = w;
        spread_weights(p, p->phase + i, w);
        w += fd_conv_taps(p->phase + i) * C * SIZE;
    }
    const double each = fd_conv_work(p) / (double)(p->phases * p->x.N * tallest);
    d.rows = (long)FD_MAX(1, FD_MIN((double)tallest, CHUNK_WORK / FD_MAX(1, each)));
    d.blocks = (tallest + d.rows - 1) / d.rows;
    d.rows = (tallest + d.blocks - 1) / d.blocks;
    fd_run(spread_chunk, &d, p->phases * p->x.N * d.blocks, fd_conv_work(p));
    fd_pool_put(x);
    return FD_OK;
}

/* --- weight gradient ------------------------------------------------------------------------------------------------ */
/* Adds the products of one image with `count` taps of one filter row and channel, `in` being what the first result reads
 * under the row, to their sums. */
FD_INLINE void add_products(const spread *d, const float *in, const float *y, const vi *from, const long *at, float *sums,
                            const int count) {
    const fd_conv *p = d->p;
    const fd_conv_phase *f = p->phase;
    const long L = p->lanes, columns = SIZE / L, W = f->w->size, x_row = f->h->step * p->x.C * d->b.W;
    vf sum[TAPS][VECTORS];
    FD_UNROLL for (int t = 0; t < count; t++) {
        FD_UNROLL for (int v = 0; v < VECTORS; v++) sum[t][v] = vload(sums + t * SIZE + v * VL);
    }
    for (long i = 0; i < f->h->size; i++, in += x_row, y += p->y_h)
        for (long j = 0; j < W; j += columns) {
            const long left = FD_MIN(columns, W - j) * L;
            const int whole = left == SIZE;
            vf dy[VECTORS];
            FD_UNROLL for (int v = 0; v < VECTORS; v++) {
                const float *from_y = y + j * L + v * VL;
                dy[v] = whole ? vload(from_y) : vload_n(from_y, FD_MAX(0, FD_MIN(VL, left - v * VL)));
            }
            FD_UNROLL for (int t = 0; t < count; t++) {
                /* columns past the last result must not be read: they may hold anything */
                const vf x = whole ? vload(in + j + at[t]) : vload_n(in + j + at[t], FD_MIN(columns, W - j));
                FD_UNROLL for (int v = 0; v < VECTORS; v++) sum[t][v] = vfma(dy[v], vpermute(x, from[v]), sum[t][v]);
            }
        }
    FD_UNROLL for (int t = 0; t < count; t++) {
        FD_UNROLL for (int v = 0; v < VECTORS; v++) vstore(sums + t * SIZE + v * VL, sum[t][v]);
    }
}

static void add_to_db(const fd_conv *p, const float *y, float *sums) {
    const long step = SIZE / p->lanes * p->lanes, row = p->phase->w->size * p->lanes;
    for (long i = 0; i < p->phase->h->size; i++, y += p->y_h)
        for (long j = 0; j < row; j += step)
            for (long v = 0; v < VECTORS; v++) {
                const long left = FD_MAX(0, FD_MIN(VL, FD_MIN(step, row - j) - v * VL));
                vstore(sums + v * VL, vload(sums + v * VL) + vload_n(y + j + v * VL, left));
            }
}

static void weight_chunk(void *ctx, long part) {
    const spread *d = ctx;
    const fd_conv *p = d->p;
    const fd_conv_phase *f = p->phase;
    const long C = p->x.C, W = d->b.W, taps = fd_conv_taps(f) * C;
    float *sums = d->sums + part * (taps + 1) * SIZE;
    vi from[VECTORS];
    long base[VECTORS];
    find_columns(p->lanes, 1, from, base);
    memset(sums, 0, (size_t)((taps + 1) * SIZE) * sizeof(float));
    for (long n = p->x.N * part / d->parts; n < p->x.N * (part + 1) / d->parts; n++) {
        const float *x = d->x + (n * d->b.H + d->b.top) * C * W + d->b.left, *y = f->y + n * p->y_n;
        float *s = sums;
        for (long r = 0; r < f->h->taps; r++)
            for (long k = 0; k < C; k++)
                for (long c = 0; c < f->w->taps;) {
                    const float *in = x + (f->h->at[r] * C + k) * W;
                    const long count = FD_MIN(TAPS, f->w->taps - c), *at = f->w->at + c;
                    if (count == 1)
                        add_products(d, in, y, from, at, s, 1);
                    else if (count == 2)
                        add_products(d, in, y, from, at, s, 2);
#if FD_VREGS == 32
                    else if (count == 3)
                        add_products(d, in, y, from, at, s, 3);
                    else if (count == 4)
                        add_products(d, in, y, from, at, s, 4);
                    else
                        add_products(d, in, y, from, at, s, 5);
#endif
                    c += count;
                    s += count * SIZE;
                }
        if (p->db) add_to_db(p, y, s);
    }
}

/* the sum over the parts and over the places at which a lane comes round */
static float lane_sum(const spread *d, long tap, long taps, long lane) {
    const long L = d->p->lanes;
    double sum = 0;
    for (long part = 0; part < d->parts; part++)
        for (long i = lane; i < SIZE / L * L; i += L) sum += (double)d->sums[(part * (taps + 1) + tap) * SIZE + i];
    return (float)sum;
}

/* one phase, not too few lanes: one vector of x must hold the columns of a group */
int FN(fd_conv_weight_spread_pays)(const fd_conv *p) {
    return p->phases == 1 && SIZE / FD_MAX(1, p->lanes) <= VL && FN(fd_conv_spread_pays)(p);
}

int FN(fd_conv_weight_spread)(const fd_conv *p, float *dw) {
    spread d = {.p = p, .b = FN(fd_conv_border)(p)};
    const fd_conv_phase *f = p->phase;
    const long C = p->x.C, taps = fd_conv_taps(f) * C;
    d.parts = (long)FD_MAX(1, FD_MIN(FD_MIN(16, p->x.N), fd_conv_work(p) / 2.5e5));
    float *x = FN(fd_planar_copy)(&p->x, d.b, (size_t)(d.parts * (taps + 1) * SIZE));
    if (!x) return FD_NO_MEMORY;
    d.x = x;
    d.sums = x + p->x.N * d.b.H * C * d.b.W + FD_NR;
    fd_run(weight_chunk, &d, d.parts, fd_conv_work(p));
    for (long lane = 0; lane < p->lanes; lane++) {
        for (long tap = 0; tap < taps; tap++) { /* (row, channel, column) */
            const long r = tap / (C * f->w->taps), k = tap / f->w->taps % C, c = tap % f->w->taps;
            dw[k * p->w_k + lane * p->w_lane + f->h->src[r] * p->KW + f->w->src[c]] = lane_sum(&d, tap, taps, lane);
        }
        if (p->db) p->db[lane] = lane_sum(&d, taps, taps, lane);
    }
    fd_pool_put(x);
    return FD_OK;
}
#else
int FN(fd_conv_spread_pays)(const fd_conv *p) { return (void)p, 0; }
int FN(fd_conv_spread)(const fd_conv *p) { return (void)p, FD_OK; }
int FN(fd_conv_weight_spread_pays)(const fd_conv *p) { return (void)p, 0; }
int FN(fd_conv_weight_spread)(const fd_conv *p, float *dw) { return (void)p, (void)dw, FD_OK; }
#endif

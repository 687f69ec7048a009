/* Winograd F(4x4, 3x3), channels-last: forward, data gradient (forward with the filter rotated) and weight gradient.
 *
 * Idea: a tile of 4x4 results needs 36 products a channel pair in the transformed domain instead of 144. For a block of tiles
 *   V_f = (B^T d B)_f   (tiles, C)   36 frequencies f of the 6x6 input tiles; vectors run along channels, so no shuffles
 *   M_f = V_f U_f       (tiles, K)   36 matrix products with the packed filter transform U = G w G^T
 *   y   = A^T M A                    4x4 results a tile
 * V and M of a block stay in L2. The weight gradient is the transposed bilinear form:
 *   dU_f = V_f^T (A dy A^T)_f,  dw = G^T dU G
 * Error: 2 to 10 times that of the direct sum (relative L2 about 3e-6 forward); set_conv_algorithm("exact") avoids it.
 */
#include "kernels/winograd.h"

#include "kernels/gemm.h"

#define F 36

/* One dimension of the transforms, on six (or four, or three) vectors. */
FD_INLINE void input_1d(const vf d[6], vf t[6]) { /* B^T */
    vf a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
    vf c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
    t[0] = vfma(vset1(4.0f), d[0], vfma(vset1(-5.0f), d[2], d[4]));
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = vfma(vset1(4.0f), d[1], vfma(vset1(-5.0f), d[3], d[5]));
}
FD_INLINE void output_1d(const vf m[6], vf y[4]) { /* A^T */
    vf p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], s = m[3] - m[4];
    y[0] = m[0] + p + r;
    y[1] = vfma(vset1(2.0f), s, q);
    y[2] = vfma(vset1(4.0f), r, p);
    y[3] = vfma(vset1(8.0f), s, q) + m[5];
}
FD_INLINE void gradient_1d(const vf y[4], vf m[6]) { /* A */
    vf p = y[0] + y[2], q = y[1] + y[3];
    vf r = vfma(vset1(4.0f), y[2], y[0]), s = 2.0f * vfma(vset1(4.0f), y[3], y[1]);
    m[0] = y[0];
    m[1] = p + q;
    m[2] = p - q;
    m[3] = r + s;
    m[4] = r - s;
    m[5] = y[3];
}
FD_INLINE void filter_1d(const vf g[3], vf u[6]) { /* G */
    vf a = (g[0] + g[2]) * vset1(-1.0f / 6), b = g[1] * vset1(-1.0f / 6);
    vf c = vfma(vset1(1.0f / 24), g[0], vset1(1.0f / 6) * g[2]), d = g[1] * vset1(1.0f / 12);
    u[0] = 0.25f * g[0];
    u[1] = a + b;
    u[2] = a - b;
    u[3] = c + d;
    u[4] = c - d;
    u[5] = g[2];
}
FD_INLINE void filter_gradient_1d(const vf u[6], vf g[3]) { /* G^T */
    vf p = (u[1] + u[2]) * vset1(-1.0f / 6), q = (u[1] - u[2]) * vset1(-1.0f / 6);
    vf r = u[3] + u[4], s = u[3] - u[4];
    g[0] = vfma(vset1(0.25f), u[0], vfma(vset1(1.0f / 24), r, p));
    g[1] = vfma(vset1(1.0f / 12), s, q);
    g[2] = vfma(vset1(1.0f / 6), r, p) + u[5];
}

typedef struct {
    const fd_winograd_args *g;
    long rows, cols, tiles; /* tiles of one image: rows x cols; of all images */
    long block;             /* tiles that are transformed together */
    long CS, KS;            /* channel strides of V and of dU: padded, never a power of two */
    long panel_stride;      /* floats between the 36 frequencies of U */
    long k_groups, k_group; /* output channels are shared out in groups of whole panels */
    float *U;               /* [36][panels][C][NR] */
    const float *bias, *zeros;
    int failed;
    /* weight gradient */
    float *V, *Z, *dU, *dw;
    long tile0, count; /* the block in work */
    long z_stride;     /* floats between the 36 frequencies of Z */
} plan;

/* Pointers to the 6x6 pixels under tile t; pixels outside the image read zeros. Returns whether all lie inside. */
static int tile_pixels(const plan *p, long t, const float *pixel[36]) {
    const fd_winograd_args *g = p->g;
    long image = t / (p->rows * p->cols), row = t / p->cols % p->rows, col = t % p->cols;
    long h0 = row * 4 - g->pad_top, w0 = col * 4 - g->pad_left;
    const float *base = g->x + ((image * g->H + h0) * g->W + w0) * g->C;
    if (h0 >= 0 && w0 >= 0 && h0 + 6 <= g->H && w0 + 6 <= g->W) {
        pixel[0] = base;
        return 1;
    }
    for (long i = 0; i < 6; i++)
        for (long j = 0; j < 6; j++) {
            int inside = h0 + i >= 0 && h0 + i < g->H && w0 + j >= 0 && w0 + j < g->W;
            pixel[i * 6 + j] = inside ? base + (i * g->W + j) * g->C : p->zeros;
        }
    return 0;
}

/* V[f][t - first][c] for tiles first .. first + count - 1; frequencies are f_stride floats apart */
static void transform_input(const plan *p, long first, long count, float *V, long f_stride) {
    const fd_winograd_args *g = p->g;
    const long C = g->C;
    for (long t = 0; t < count; t++) {
        const float *pixel[36];
        const int inside = tile_pixels(p, first + t, pixel);
        const long line = g->W * C;
        for (long c = 0; c < C; c += VL) {
            const long lanes = FD_MIN(VL, C - c);
            vf half[6][6], d[6], v[6];
            if (inside && lanes == VL) {
                const float *base = pixel[0] + c;
    FD_UNROLL for (int j = 0; j < 6; j++) {
                    FD_UNROLL for (int i = 0; i < 6; i++) d[i] = vload(base + i * line + j * C);
                    if (j >= 2) { /* the columns that the next tile adds */
                        FD_UNROLL for (int i = 0; i < 6; i++) fd_prefetch(base + i * line + (j + 4) * C);
                    }
                    input_1d(d, v);
                    FD_UNROLL for (int i = 0; i < 6; i++) half[i][j] = v[i];
                }
            } else {
                for (int j = 0; j < 6; j++) {
                    FD_UNROLL for (int i = 0; i < 6; i++) {
                        const float *q = inside ? pixel[0] + i * line + j * C : pixel[i * 6 + j];
                        d[i] = vload_n(q + c, lanes);
                    }
                    input_1d(d, v);
                    FD_UNROLL for (int i = 0; i < 6; i++) half[i][j] = v[i];
                }
            }
            float *out = V + t * p->CS + c;
            FD_UNROLL for (int i = 0; i < 6; i++) {
                input_1d(half[i], v);
                FD_UNROLL for (int j = 0; j < 6; j++) vstore(out + (i * 6 + j) * f_stride, v[j]);
            }
        }
    }
}

/* y of tiles first .. from M[f][t][k], output channels k0 .. k0 + kn - 1; M's rows are ld floats apart */
static void transform_output(const plan *p, long first, long count, const float *M, long f_stride, long ld, long k0, long kn) {
    const fd_winograd_args *g = p->g;
    for (long t = 0; t < count; t++) {
        const long tile = first + t;
        const long image = tile / (p->rows * p->cols), h0 = tile / p->cols % p->rows * 4, w0 = tile % p->cols * 4;
        const long hn = FD_MIN(4, g->OH - h0), wn = FD_MIN(4, g->OW - w0);
        float *y = g->y + ((image * g->OH + h0) * g->OW + w0) * g->K + k0;
        for (long k = 0; k < kn; k += VL) {
            const long lanes = FD_MIN(VL, kn - k);
            const float *m = M + t * ld + k;
            vf half[4][6], in[6], out[4];
            FD_UNROLL for (int j = 0; j < 6; j++) {
                FD_UNROLL for (int i = 0; i < 6; i++) in[i] = vload(m + (i * 6 + j) * f_stride);
                output_1d(in, out);
                FD_UNROLL for (int i = 0; i < 4; i++) half[i][j] = out[i];
            }
            const vf bias = p->bias ? vload(p->bias + k0 + k) : vzero();
            FD_UNROLL for (int i = 0; i < 4; i++) {
                output_1d(half[i], out);
                FD_UNROLL for (int j = 0; j < 4; j++) {
                    vf v = out[j] + bias;
                    if (g->relu) v = vmax(vzero(), v);
                    if (i < hn && j < wn) {
                        if (lanes == VL)
                            vstore(y + (i * g->OW + j) * g->K + k, v);
                        else
                            vstore_n(y + (i * g->OW + j) * g->K + k, v, lanes);
                    }
                }
            }
        }
    }
}

/* U[f][c][k] of the panel of output channels that starts at n0, frequencies f_stride floats apart. The weights are first
 * transposed, a few channels at a time, so that vectors run along k. */
static void transform_filter(const plan *p, long n0, float *U, long f_stride) {
    const fd_winograd_args *g = p->g;
    const long nv = fd_panel_vectors(n0, g->K), nr = nv * VL, C = g->C, width = FD_MIN(nr, g->K - n0);
    const int packed_taps = g->w_w == 1 && g->w_h == 3 && g->w_c == 9; /* torch's (O, C, 3, 3) in one piece */
    float taps[VL * 9 * FD_NR];                                        /* [c][tap][k] of VL channels */
    for (long c0 = 0; c0 < C; c0 += VL) {
        const long cn = FD_MIN(VL, C - c0);
        if (packed_taps && width == nr) {
            for (long n = 0; n < nr; n += VL)
                for (long i = 0; i < cn * 9; i += VL) {
                    const long lanes = FD_MIN(VL, cn * 9 - i);
                    vf r[VL];
                    FD_UNROLL for (int j = 0; j < VL; j++) {
                        const float *row = g->w + (n0 + n + j) * g->w_k + c0 * 9 + i;
                        r[j] = lanes == VL ? vload(row) : vload_n(row, lanes);
                    }
                    vtranspose(r);
                    for (long j = 0; j < lanes; j++) vstore(taps + (i + j) * nr + n, r[j]);
                }
        } else {
            for (long c = 0; c < cn; c++)
                for (long tap = 0; tap < 9; tap++) {
                    const float *w = g->w + (c0 + c) * g->w_c + tap / 3 * g->w_h + tap % 3 * g->w_w + n0 * g->w_k;
                    float *out = taps + (c * 9 + tap) * nr;
                    for (long n = 0; n < nr; n++) out[n] = n < width ? w[n * g->w_k] : 0.0f;
                }
        }
        for (long c = 0; c < cn; c++)
            for (long n = 0; n < nr; n += VL) {
                vf half[6][3], in[3], out[6];
                FD_UNROLL for (int j = 0; j < 3; j++) {
                    FD_UNROLL for (int i = 0; i < 3; i++) {
                        const int tap = g->flip ? 8 - (i * 3 + j) : i * 3 + j;
                        in[i] = vload(taps + (c * 9 + tap) * nr + n);
                    }
                    filter_1d(in, out);
                    FD_UNROLL for (int i = 0; i < 6; i++) half[i][j] = out[i];
                }
                float *u = U + (c0 + c) * nr + n;
                FD_UNROLL for (int i = 0; i < 6; i++) {
                    filter_1d(half[i], out);
                    FD_UNROLL for (int j = 0; j < 6; j++) vstore(u + (i * 6 + j) * f_stride, out[j]);
                }
            }
    }
}

static void filter_chunk(void *ctx, long chunk) {
    const plan *p = ctx;
    transform_filter(p, chunk * FD_NR, p->U + chunk * FD_NR * p->g->C, p->panel_stride);
}

#define M_LD (FD_NR + VL) /* row length of M: not a power of two */

/* Multiplies one panel: tiles first .. first + count - 1 from V, filters from U, to M and on to y. */
static void multiply_panel(const plan *p, long first, long count, const float *V, long v_stride, long n0, const float *U,
                           long u_stride, float *M) {
    const fd_winograd_args *g = p->g;
    const long nv = fd_panel_vectors(n0, g->K), most = fd_tile_rows(nv), m_stride = count * M_LD;
    const float *a[FD_MR_MAX];
    float *c[FD_MR_MAX];
    fd_tile tile = {.a = a, .as = 1, .k = g->C, .taps = 1, .ldb = nv * VL, .c = c, .n = nv * VL};
    for (long f = 0; f < F; f++) {
        tile.b = U + f * u_stride;
        for (long t = 0; t < count;) {
            const long rows = fd_next_rows(count - t, most);
            for (long i = 0; i < rows; i++) {
                a[i] = V + f * v_stride + (t + i) * p->CS;
                c[i] = M + f * m_stride + (t + i) * M_LD;
            }
            fd_tile_kernel(nv, rows)(&tile);
            t += rows;
        }
    }
    transform_output(p, first, count, M, m_stride, M_LD, n0, FD_MIN(FD_NR, g->K - n0));
}

/* Many tiles: U was made before; a chunk is one block of tiles and one group of output channels. */
static void block_chunk(void *ctx, long chunk) {
    plan *p = ctx;
    const fd_winograd_args *g = p->g;
    const long first = chunk / p->k_groups * p->block, group = chunk % p->k_groups;
    const long count = FD_MIN(p->block, p->tiles - first), v_stride = count * p->CS;
    float *V = fd_pool_get((size_t)(F * (v_stride + count * M_LD)) * sizeof(float));
    if (!V) {
        p->failed = 1;
        return;
    }
    transform_input(p, first, count, V, v_stride);
    const long k_end = FD_MIN(g->K, (group + 1) * p->k_group);
    for (long n0 = group * p->k_group; n0 < k_end; n0 += FD_NR)
        multiply_panel(p, first, count, V, v_stride, n0, p->U + n0 * g->C, p->panel_stride, V + F * v_stride);
    fd_pool_put(V);
}

/* Few tiles, many channels: V of all tiles was made before; a chunk makes U of one panel and uses it while it is in cache. */
static void panel_chunk(void *ctx, long panel) {
    plan *p = ctx;
    const fd_winograd_args *g = p->g;
    const long n0 = panel * FD_NR, u_stride = g->C * fd_panel_vectors(n0, g->K) * VL + 5 * VL;
    float *U = fd_pool_get((size_t)(F * (u_stride + p->block * M_LD)) * sizeof(float));
    if (!U) {
        p->failed = 1;
        return;
    }
    transform_filter(p, n0, U, u_stride);
    for (long first = 0; first < p->tiles; first += p->block) {
        const long count = FD_MIN(p->block, p->tiles - first);
        multiply_panel(p, first, count, p->V + first * p->CS, p->tiles * p->CS, n0, U, u_stride, U + F * u_stride);
    }
    fd_pool_put(U);
}

#define TRANSFORM_TILES 6 /* tiles that one chunk transforms */

static void input_chunk(void *ctx, long chunk) {
    const plan *p = ctx;
    const long t = chunk * TRANSFORM_TILES, n = FD_MIN(TRANSFORM_TILES, p->tiles - t);
    transform_input(p, t, n, p->V + t * p->CS, p->tiles * p->CS);
}

static void make_plan(plan *p, const fd_winograd_args *g) {
    *p = (plan){.g = g, .rows = (g->OH + 3) / 4, .cols = (g->OW + 3) / 4};
    p->tiles = g->N * p->rows * p->cols;
    p->CS = (g->C + VL - 1) / VL * VL + VL;
    p->KS = (g->K + VL - 1) / VL * VL + VL;
    p->panel_stride = (long)fd_packed_size(g->C, g->K) + 5 * VL;
}

int FN(fd_winograd_forward)(const fd_winograd_args *g) {
    plan p;
    make_plan(&p, g);
    if (!p.tiles || !g->K) return FD_OK;
    const long panels = (g->K + FD_NR - 1) / FD_NR;
    const size_t v_size = (size_t)(F * p.tiles * p.CS);
    const int by_panel = panels >= 4 && v_size * sizeof(float) < ((size_t)6 << 20);
    p.block = by_panel ? 30 : 12;
    const long blocks = (p.tiles + p.block - 1) / p.block;
    /* few blocks: share out the output channels too, though each group transforms the input again */
    p.k_groups = blocks >= 8 ? 1 : FD_MIN(panels, (8 + blocks - 1) / blocks);
    p.k_group = (panels + p.k_groups - 1) / p.k_groups * FD_NR;
    p.k_groups = (g->K + p.k_group - 1) / p.k_group;
    const size_t size = by_panel ? v_size : (size_t)(F * p.panel_stride);
    const size_t zero_size = (size_t)(g->C + VL), bias_size = (size_t)(g->K + VL);
    float *buffer = fd_pool_get((size + zero_size + bias_size) * sizeof(float));
    if (!buffer) return FD_NO_MEMORY;
    float *zeros = buffer + size, *bias = zeros + zero_size;
    memset(zeros, 0, (zero_size + bias_size) * sizeof(float));
    p.zeros = zeros;
    if (g->bias) {
        memcpy(bias, g->bias, (size_t)g->K * sizeof(float));
        p.bias = bias;
    }
    const double work = (double)p.tiles * F * g->C * g->K;
    if (by_panel) {
        p.V = buffer;
        fd_run(input_chunk, &p, (p.tiles + TRANSFORM_TILES - 1) / TRANSFORM_TILES, work);
        fd_run(panel_chunk, &p, panels, work);
    } else {
        p.U = buffer;
        fd_run(filter_chunk, &p, panels, work);
        fd_run(block_chunk, &p, blocks * p.k_groups, work);
    }
    fd_pool_put(buffer);
    return p.failed ? FD_NO_MEMORY : FD_OK;
}

/* --- weight gradient ---------------------------------------------------------------------------------------------- */
/* Tiles of dy, 4x4 with zeros outside the image, to the 36 frequencies, in panels: Z[f][panel][tile of the block][FD_NR]. */
static void transform_gradient(const plan *p, long first, long count) {
    const fd_winograd_args *g = p->g;
    for (long t = 0; t < count; t++) {
        const long tile = first + t;
        const long image = tile / (p->rows * p->cols), h0 = tile / p->cols % p->rows * 4, w0 = tile % p->cols * 4;
        const long hn = FD_MIN(4, g->OH - h0), wn = FD_MIN(4, g->OW - w0);
        const float *dy = g->y + ((image * g->OH + h0) * g->OW + w0) * g->K;
        for (long k = 0; k < g->K; k += VL) {
            const long lanes = FD_MIN(VL, g->K - k);
            vf half[6][4], in[4], out[6];
            FD_UNROLL for (int j = 0; j < 4; j++) {
                FD_UNROLL for (int i = 0; i < 4; i++)
                    in[i] = i < hn && j < wn ? vload_n(dy + (i * g->OW + j) * g->K + k, lanes) : vzero();
                gradient_1d(in, out);
                FD_UNROLL for (int i = 0; i < 6; i++) half[i][j] = out[i];
            }
            float *z = p->Z + k / FD_NR * p->block * FD_NR + (first - p->tile0 + t) * FD_NR + k % FD_NR;
            FD_UNROLL for (int i = 0; i < 6; i++) {
                gradient_1d(half[i], out);
                FD_UNROLL for (int j = 0; j < 6; j++) vstore(z + (i * 6 + j) * p->z_stride, out[j]);
            }
        }
    }
}

static void transform_both_chunk(void *ctx, long chunk) {
    const plan *p = ctx;
    const long t = chunk * TRANSFORM_TILES, n = FD_MIN(TRANSFORM_TILES, p->count - t);
    transform_input(p, p->tile0 + t, n, p->V + t * p->CS, p->block * p->CS);
    transform_gradient(p, p->tile0 + t, n);
}

/* c_count x kn entries of dU_f (+)= V_f^T Z_f, from input channel c0 and output channel n0; dU's rows are ld floats apart */
static void multiply_tiles(const plan *p, long f, long c0, long c_count, long n0, float *dU, long ld) {
    const long nv = fd_panel_vectors(n0, p->g->K), most = fd_tile_rows(nv);
    const float *V = p->V + f * p->block * p->CS + c0, *Z = p->Z + f * p->z_stride + n0 * p->block;
    const float *a[FD_MR_MAX];
    float *c[FD_MR_MAX];
    fd_tile tile = {.a = a, .as = p->CS, .k = p->count, .taps = 1, .b = Z, .ldb = FD_NR, .c = c, .n = nv * VL,
                    .accumulate = p->tile0 > 0};
    for (long m = 0; m < c_count;) {
        const long rows = fd_next_rows(c_count - m, most);
        for (long i = 0; i < rows; i++) {
            a[i] = V + m + i;
            c[i] = dU + (m + i) * ld;
        }
        fd_tile_kernel(nv, rows)(&tile);
        m += rows;
    }
}

/* dw = G^T dU G for cn <= VL input channels and one panel; dU[f][c][k] with strides f_stride and ld, from (c0, n0) on */
static void transform_filter_gradient(const plan *p, const float *dU, long f_stride, long ld, long c0, long cn, long n0) {
    const fd_winograd_args *g = p->g;
    const long width = FD_MIN(FD_NR, g->K - n0);
    const int packed_taps = g->w_w == 1 && g->w_h == 3 && g->w_c == 9;
    float taps[(VL * 9 + VL) * VL]; /* [c][tap][k], rounded up to whole blocks of VL rows */
    for (long k = 0; k < width; k += VL) {
        const long lanes = FD_MIN(VL, width - k);
        for (long c = 0; c < cn; c++) {
            vf half[3][6], in[6], out[3];
            const float *u = dU + c * ld + k;
            FD_UNROLL for (int j = 0; j < 6; j++) {
                FD_UNROLL for (int i = 0; i < 6; i++) in[i] = vload(u + (i * 6 + j) * f_stride);
                filter_gradient_1d(in, out);
                FD_UNROLL for (int i = 0; i < 3; i++) half[i][j] = out[i];
            }
            FD_UNROLL for (int i = 0; i < 3; i++) {
                filter_gradient_1d(half[i], out);
                FD_UNROLL for (int j = 0; j < 3; j++) vstore(taps + (c * 9 + i * 3 + j) * VL, out[j]);
            }
        }
        float *dw = p->dw + (n0 + k) * g->w_k + c0 * g->w_c;
        if (packed_taps) {
            for (long i = 0; i < cn * 9; i += VL) {
                const long left = FD_MIN(VL, cn * 9 - i);
                vf r[VL];
                FD_UNROLL for (int j = 0; j < VL; j++) r[j] = vload(taps + (i + j) * VL);
                vtranspose(r);
                for (long n = 0; n < lanes; n++) vstore_n(dw + n * g->w_k + i, r[n], left);
            }
        } else {
            for (long n = 0; n < lanes; n++)
                for (long i = 0; i < cn * 9; i++)
                    dw[n * g->w_k + i / 9 * g->w_c + i % 9 / 3 * g->w_h + i % 3 * g->w_w] = taps[i * VL + n];
        }
    }
}

/* Many tiles: dU of one frequency, accumulated over the blocks of tiles ... */
static void frequency_chunk(void *ctx, long f) {
    const plan *p = ctx;
    const fd_winograd_args *g = p->g;
    for (long n0 = 0; n0 < g->K; n0 += FD_NR)
        multiply_tiles(p, f, 0, g->C, n0, p->dU + f * g->C * p->KS + n0, p->KS);
}

/* ... and at the end transformed. */
static void filter_gradient_chunk(void *ctx, long panel) {
    const plan *p = ctx;
    const long C = p->g->C, n0 = panel * FD_NR;
    for (long c = 0; c < C; c += VL)
        transform_filter_gradient(p, p->dU + c * p->KS + n0, C * p->KS, p->KS, c, FD_MIN(VL, C - c), n0);
}

#define CHANNELS (FD_NV == 4 ? 24 : 48) /* whole tiles of 6 rows; dU of all frequencies about 250 KB */

/* Few tiles: dU of a few channels is made for all frequencies, in cache, and transformed at once. */
static void channels_chunk(void *ctx, long chunk) {
    plan *p = ctx;
    const long C = p->g->C, panels = (p->g->K + FD_NR - 1) / FD_NR;
    const long c0 = chunk / panels * CHANNELS, cn = FD_MIN(CHANNELS, C - c0), n0 = chunk % panels * FD_NR;
    float *dU = fd_pool_get((size_t)(F * CHANNELS * M_LD) * sizeof(float));
    if (!dU) {
        p->failed = 1;
        return;
    }
    for (long f = 0; f < F; f++) multiply_tiles(p, f, c0, cn, n0, dU + f * CHANNELS * M_LD, M_LD);
    for (long c = 0; c < cn; c += VL)
        transform_filter_gradient(p, dU + c * M_LD, CHANNELS * M_LD, M_LD, c0 + c, FD_MIN(VL, cn - c), n0);
    fd_pool_put(dU);
}

int FN(fd_winograd_backward_w)(const fd_winograd_args *g, float *dw) {
    plan p;
    make_plan(&p, g);
    p.dw = dw;
    if (!p.tiles) { /* no pixels: no gradient */
        for (long k = 0; k < g->K; k++)
            for (long i = 0; i < g->C * 9; i++)
                dw[k * g->w_k + i / 9 * g->w_c + i % 9 / 3 * g->w_h + i % 3 * g->w_w] = 0.0f;
        return FD_OK;
    }
    /* as many tiles as keep V and Z within a share of L3 */
    const long most = (long)(12 << 20) / 4 / F / (p.CS + p.KS);
    const int few = p.tiles <= most && F * g->C * g->K > 1 << 18; /* dU would leave L2 */
    p.block = FD_MIN(p.tiles, few ? p.tiles : FD_MAX(48, most / 2));
    p.z_stride = p.block * ((g->K + FD_NR - 1) / FD_NR * FD_NR) + VL;
    const size_t v_size = (size_t)(F * p.block * p.CS), z_size = (size_t)(F * p.z_stride);
    const size_t u_size = few ? 0 : (size_t)(F * g->C * p.KS), zero_size = (size_t)(g->C + VL);
    p.V = fd_pool_get((v_size + z_size + u_size + zero_size + FD_NR) * sizeof(float));
    if (!p.V) return FD_NO_MEMORY;
    p.Z = p.V + v_size;
    p.dU = p.Z + z_size;
    float *zeros = p.dU + u_size + FD_NR; /* the last panel of Z and dU may be read past its end */
    memset(zeros, 0, zero_size * sizeof(float));
    p.zeros = zeros;
    const double work = (double)FD_MIN(p.block, p.tiles) * F * g->C * g->K;
    const long panels = (g->K + FD_NR - 1) / FD_NR;
    for (p.tile0 = 0; p.tile0 < p.tiles; p.tile0 += p.block) {
        p.count = FD_MIN(p.block, p.tiles - p.tile0);
        fd_run(transform_both_chunk, &p, (p.count + TRANSFORM_TILES - 1) / TRANSFORM_TILES, work);
        if (few)
            fd_run(channels_chunk, &p, (g->C + CHANNELS - 1) / CHANNELS * panels, work);
        else
            fd_run(frequency_chunk, &p, F, work);
    }
    if (!few) fd_run(filter_gradient_chunk, &p, panels, work);
    fd_pool_put(p.V);
    return p.failed ? FD_NO_MEMORY : FD_OK;
}

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
#define STREAM_FLOATS (1 << 20)

/* One dimension of the transforms, for tiles of `size` 4 or 3. A tile of 3 is F(3, 3) on the points 0, 1, -1, 2 and infinity: it has
 * no value at the point -2, number 4, and its input is scaled such that the filters of F(4, 3) fit. */
#define HAS(f, size) ((f) != 4 || (size) == 4)

FD_INLINE void input_1d(const vf d[6], vf t[6], const int size) { /* B^T */
    if (size == 3) {
        vf a = d[3] - d[1], b = d[3] - d[2];
        t[0] = vfma(vset1(4.0f), d[0] - d[2], 2.0f * a);
        t[1] = vfma(vset1(-6.0f), d[1], 3.0f * b);
        t[2] = vfma(vset1(2.0f), d[1] - d[2], b);
        t[3] = 4.0f * a;
        t[4] = vzero();
        t[5] = vfma(vset1(-2.0f), a, d[4] - d[2]);
        return;
    }
    vf a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
    vf c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
    t[0] = vfma(vset1(4.0f), d[0], vfma(vset1(-5.0f), d[2], d[4]));
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = vfma(vset1(4.0f), d[1], vfma(vset1(-5.0f), d[3], d[5]));
}
FD_INLINE void output_1d(const vf m[6], vf y[4], const int size) { /* A^T */
    vf p = m[1] + m[2], q = m[1] - m[2];
    if (size == 3) {
        y[0] = m[0] + p + m[3];
        y[1] = vfma(vset1(2.0f), m[3], q);
        y[2] = vfma(vset1(4.0f), m[3], p) + m[5];
        return;
    }
    vf r = m[3] + m[4], s = m[3] - m[4];
    y[0] = m[0] + p + r;
    y[1] = vfma(vset1(2.0f), s, q);
    y[2] = vfma(vset1(4.0f), r, p);
    y[3] = vfma(vset1(8.0f), s, q) + m[5];
}
FD_INLINE void gradient_1d(const vf y[4], vf m[6], const int size) { /* A */
    vf p = y[0] + y[2], r = vfma(vset1(4.0f), y[2], y[0]);
    m[0] = y[0];
    if (size == 3) {
        m[1] = p + y[1];
        m[2] = p - y[1];
        m[3] = vfma(vset1(2.0f), y[1], r);
        m[4] = vzero();
        m[5] = y[2];
        return;
    }
    vf q = y[1] + y[3], s = 2.0f * vfma(vset1(4.0f), y[3], y[1]);
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
    long high[2], wide[2];  /* tiles of an image down and across: those of 4, then those of 3 */
    long tiles;             /* of all images */
    long begin[5];          /* first tile of each kind, see locate() */
    long block;             /* tiles that are transformed together */
    long CS, KS;            /* channel strides of V and of dU: padded, never a power of two */
    long panel_stride;      /* floats between the 36 frequencies of U */
    long k_groups, k_group; /* output channels are shared out in groups of whole panels */
    float *U;               /* [36][panels][C][NR] */
    const float *bias, *zeros;
    int stream; /* y is so large that it goes past the caches: waiting for its lines took half of the output transform */
    int failed;
    /* weight gradient */
    float *V, *Z, *dU, *dw;
    long tile0, count; /* the block in work */
    long z_stride;     /* floats between the 36 frequencies of Z */
} plan;

/* Tiles are 4 x 4 results, but for the last rows and columns of a size that is not a multiple of 4, where tiles of 3 waste less:
 * 7 = 4 + 3, 14 = 4 + 4 + 3 + 3. They are numbered by kind, (high, wide) = (3, 4), (4, 4), (4, 3), (3, 3), so that those which
 * have a frequency are neighbours. */
typedef struct {
    long image, h, w; /* the first result */
    int high, wide;
} place;

static place locate(const plan *p, long t) {
    int kind = 0;
    while (t >= p->begin[kind + 1]) kind++;
    t -= p->begin[kind];
    const int short_h = kind == 0 || kind == 3, short_w = kind >= 2;
    const long rows = p->high[short_h], cols = p->wide[short_w];
    const long image = t / (rows * cols), row = t / cols % rows, col = t % cols;
    return (place){image, short_h ? p->high[0] * 4 + row * 3 : row * 4, short_w ? p->wide[0] * 4 + col * 3 : col * 4,
                   short_h ? 3 : 4, short_w ? 3 : 4};
}

/* the tiles [*from, *to) have frequency f */
static void tiles_of_frequency(const plan *p, long f, long *from, long *to) {
    *from = p->begin[f / 6 == 4 ? 1 : 0];
    *to = p->begin[f % 6 == 4 ? 2 : f / 6 == 4 ? 3 : 4];
}

/* calls fn(arguments, high, wide) with constant sizes */
#define FD_BY_SIZE(t, fn, ...)          \
    do {                                \
        if (t.high == 4 && t.wide == 4) \
            fn(__VA_ARGS__, 4, 4);      \
        else if (t.high == 4)           \
            fn(__VA_ARGS__, 4, 3);      \
        else if (t.wide == 4)           \
            fn(__VA_ARGS__, 3, 4);      \
        else                            \
            fn(__VA_ARGS__, 3, 3);      \
    } while (0)

/* The first of the pixels that a tile reads; it may lie outside the image. */
FD_INLINE const float *input_of(const fd_winograd_args *g, const place *t) {
    return g->x + ((t->image * g->H + t->h - g->pad_top) * g->W + t->w - g->pad_left) * g->C;
}

/* V of one tile, all channels: frequency f at out[f * f_stride]. `next` is where the next tile reads. */
FD_INLINE void transform_input_tile(const plan *p, const place *t, const float *next, float *out, long f_stride, const int high,
                                    const int wide) {
    const fd_winograd_args *g = p->g;
    const long h0 = t->h - g->pad_top, w0 = t->w - g->pad_left, C = g->C, line = g->W * C;
    const float *base = input_of(g, t), *pixel[36];
    const int inside = h0 >= 0 && w0 >= 0 && h0 + high + 2 <= g->H && w0 + wide + 2 <= g->W;
    if (!inside) /* pixels outside the image read zeros */
        for (int i = 0; i < high + 2; i++)
            for (int j = 0; j < wide + 2; j++) {
                const int there = h0 + i >= 0 && h0 + i < g->H && w0 + j >= 0 && w0 + j < g->W;
                pixel[i * 6 + j] = there ? base + i * line + j * C : p->zeros;
            }
    for (long c = 0; c < C; c += VL, out += VL) {
        const long lanes = FD_MIN(VL, C - c);
        vf half[6][6], d[6], v[6];
        if (inside && lanes == VL) {
            const float *x = base + c;
    FD_UNROLL for (int j = 0; j < wide + 2; j++) {
                FD_UNROLL for (int i = 0; i < high + 2; i++) d[i] = vload(x + i * line + j * C);
                if (j >= 2) { /* the columns that the next tile adds */
                    FD_UNROLL for (int i = 0; i < high + 2; i++) fd_prefetch(next + c + i * line + j * C);
                }
                input_1d(d, v, high);
                FD_UNROLL for (int i = 0; i < 6; i++) half[i][j] = v[i];
            }
        } else {
            for (int j = 0; j < wide + 2; j++) {
                FD_UNROLL for (int i = 0; i < high + 2; i++) {
                    d[i] = vload_n(inside ? base + i * line + j * C + c : pixel[i * 6 + j] + c, lanes);
                    if (j >= 2) fd_prefetch(next + c + i * line + j * C);
                }
                input_1d(d, v, high);
                FD_UNROLL for (int i = 0; i < 6; i++) half[i][j] = v[i];
            }
        }
        FD_UNROLL for (int i = 0; i < 6; i++) {
            if (!HAS(i, high)) continue;
            input_1d(half[i], v, wide);
            FD_UNROLL for (int j = 0; j < 6; j++) {
                if (HAS(j, wide)) vstore(out + (i * 6 + j) * f_stride, v[j]);
            }
        }
    }
}

/* V[f][t - first][c] for tiles first .. first + count - 1; frequencies are f_stride floats apart */
static void transform_input(const plan *p, long first, long count, float *V, long f_stride) {
    place next = locate(p, first);
    for (long i = 0; i < count; i++) {
        const place t = next;
        if (first + i + 1 < p->tiles) next = locate(p, first + i + 1);
        FD_BY_SIZE(t, transform_input_tile, p, &t, input_of(p->g, &next), V + i * p->CS, f_stride);
    }
}

/* y of one tile, output channels k0 .. k0 + kn - 1 */
FD_INLINE void transform_output_tile(const plan *p, const place *t, const float *m, long f_stride, long k0, long kn,
                                     const int high, const int wide) {
    const fd_winograd_args *g = p->g;
    const long hn = FD_MIN(high, g->OH - t->h), wn = FD_MIN(wide, g->OW - t->w);
    float *y = g->y + ((t->image * g->OH + t->h) * g->OW + t->w) * g->K + k0;
    for (long k = 0; k < kn; k += VL, m += VL) {
        const long lanes = FD_MIN(VL, kn - k);
        vf half[4][6], in[6], out[4];
        FD_UNROLL for (int j = 0; j < 6; j++) {
            if (!HAS(j, wide)) continue;
            FD_UNROLL for (int i = 0; i < 6; i++) {
                if (HAS(i, high)) in[i] = vload(m + (i * 6 + j) * f_stride);
            }
            output_1d(in, out, high);
            FD_UNROLL for (int i = 0; i < high; i++) half[i][j] = out[i];
        }
        const vf bias = p->bias ? vload(p->bias + k0 + k) : vzero();
        FD_UNROLL for (int i = 0; i < high; i++) {
            output_1d(half[i], out, wide);
            FD_UNROLL for (int j = 0; j < wide; j++) {
                vf v = out[j] + bias;
                if (g->relu) v = vmax(vzero(), v);
                if (i < hn && j < wn) {
                    if (p->stream)
                        vstream(y + (i * g->OW + j) * g->K + k, v);
                    else if (lanes == VL)
                        vstore(y + (i * g->OW + j) * g->K + k, v);
                    else
                        vstore_n(y + (i * g->OW + j) * g->K + k, v, lanes);
                }
            }
        }
    }
}

/* y of tiles first .. from M[f][t][k], output channels k0 .. k0 + kn - 1; M's rows are ld floats apart */
static void transform_output(const plan *p, long first, long count, const float *M, long f_stride, long ld, long k0, long kn) {
    for (long i = 0; i < count; i++) {
        const place t = locate(p, first + i);
        FD_BY_SIZE(t, transform_output_tile, p, &t, M + i * ld, f_stride, k0, kn);
    }
    if (p->stream) vfence();
}

/* out[i][j] = in[j][i], i < n, j < VL; out gets VL rows, those from n on being 0 */
static __attribute__((noinline)) void transpose(const float *in, long in_row, long n, float *out, long out_row) {
    vf r[VL];
    if (n == VL) {
        FD_UNROLL for (int j = 0; j < VL; j++) r[j] = vload(in + j * in_row);
    } else {
        FD_UNROLL for (int j = 0; j < VL; j++) r[j] = vload_n(in + j * in_row, n);
    }
    vtranspose(r);
    FD_UNROLL for (int j = 0; j < VL; j++) vstore(out + j * out_row, r[j]);
}

/* U[f][c][k] of the panel of output channels that starts at n0, frequencies f_stride floats apart. The weights are first
 * transposed, a few channels at a time, so that vectors run along k. */
static void transform_filter(const plan *p, long n0, float *U, long f_stride) {
    const fd_winograd_args *g = p->g;
    const long nv = fd_panel_vectors(n0, g->K), nr = nv * VL, C = g->C, width = FD_MIN(nr, g->K - n0);
    /* torch's (O, C, 3, 3) in one piece: the taps of all channels, or (data gradient) of all lanes, lie side by side */
    const int by_channel = g->w_w == 1 && g->w_h == 3 && g->w_c == 9, by_lane = g->w_w == 1 && g->w_h == 3 && g->w_k == 9;
    float taps[(VL * 9 + VL) * FD_NR]; /* [c][tap][k] of VL channels; blocks of VL rows may reach over the end */
    for (long c0 = 0; c0 < C; c0 += VL) {
        const long cn = FD_MIN(VL, C - c0);
        if (by_channel && width == nr) {
            for (long n = 0; n < nr; n += VL)
                for (long i = 0; i < cn * 9; i += VL) {
                    const float *w = g->w + (n0 + n) * g->w_k + c0 * 9 + i;
                    for (long j = 0; j < VL; j++) fd_prefetch(w + j * g->w_k + VL * 9); /* for the next channels */
                    transpose(w, g->w_k, FD_MIN(VL, cn * 9 - i), taps + i * nr + n, nr);
                }
        } else if (by_lane && width == nr) { /* the rows of zeros that follow a channel become the next one's */
            for (long c = 0; c < cn; c++)
                for (long n = 0; n < nr; n += VL)
                    for (long i = 0; i < 9; i += VL)
                        transpose(g->w + (c0 + c) * g->w_c + (n0 + n) * 9 + i, 9, FD_MIN(VL, 9 - i),
                                  taps + (c * 9 + i) * nr + n, nr);
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
        long from, to;
        tiles_of_frequency(p, f, &from, &to);
        to = FD_MIN(count, to - first);
        tile.b = U + f * u_stride;
        for (long t = FD_MAX(0, from - first); t < to;) {
            const long rows = fd_next_rows(to - t, most);
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

/* tiles of 4 and of 3 that cover `size` results; where only tiles of 4 do, the last reaches over the edge */
static void count_tiles(long size, long tiles[2]) {
    tiles[1] = -size & 3;
    if (size < 3 * tiles[1]) tiles[1] = 0;
    tiles[0] = (size - 3 * tiles[1] + 3) / 4;
}

static void make_plan(plan *p, const fd_winograd_args *g) {
    *p = (plan){.g = g};
    count_tiles(g->OH, p->high);
    count_tiles(g->OW, p->wide);
    p->begin[1] = g->N * p->high[1] * p->wide[0];
    p->begin[2] = p->begin[1] + g->N * p->high[0] * p->wide[0];
    p->begin[3] = p->begin[2] + g->N * p->high[0] * p->wide[1];
    p->begin[4] = p->tiles = p->begin[3] + g->N * p->high[1] * p->wide[1];
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
    /* only whole lines: parts of lines that are written at different times would each go to memory by themselves */
    p.stream = VL == 16 && g->K % VL == 0 && (uintptr_t)g->y % 64 == 0 && g->N * g->OH * g->OW * g->K >= STREAM_FLOATS;
    p.block = by_panel ? 32 : 12;
    const long blocks = (p.tiles + p.block - 1) / p.block;
    if (by_panel) p.block = (p.tiles + blocks - 1) / blocks;
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
/* A tile of dy, with zeros outside the image, to the frequencies: those of output channel k at z[k / FD_NR * panel + k % FD_NR] */
FD_INLINE void transform_gradient_tile(const plan *p, const place *t, float *z, long panel, const int high, const int wide) {
    const fd_winograd_args *g = p->g;
    const long hn = FD_MIN(high, g->OH - t->h), wn = FD_MIN(wide, g->OW - t->w);
    const float *dy = g->y + ((t->image * g->OH + t->h) * g->OW + t->w) * g->K;
    for (long k = 0; k < g->K; k += VL) {
        const long lanes = FD_MIN(VL, g->K - k);
        vf half[6][4], in[4], out[6];
        FD_UNROLL for (int j = 0; j < wide; j++) {
            FD_UNROLL for (int i = 0; i < high; i++)
                in[i] = i < hn && j < wn ? vload_n(dy + (i * g->OW + j) * g->K + k, lanes) : vzero();
            gradient_1d(in, out, high);
            FD_UNROLL for (int i = 0; i < 6; i++) half[i][j] = out[i];
        }
        float *to = z + k / FD_NR * panel + k % FD_NR;
        FD_UNROLL for (int i = 0; i < 6; i++) {
            if (!HAS(i, high)) continue;
            gradient_1d(half[i], out, wide);
            FD_UNROLL for (int j = 0; j < 6; j++) {
                if (HAS(j, wide)) vstore(to + (i * 6 + j) * p->z_stride, out[j]);
            }
        }
    }
}

/* Tiles of dy in panels: Z[f][panel][tile of the block][FD_NR]. */
static void transform_gradient(const plan *p, long first, long count) {
    for (long i = 0; i < count; i++) {
        const place t = locate(p, first + i);
        float *z = p->Z + (first - p->tile0 + i) * FD_NR;
        FD_BY_SIZE(t, transform_gradient_tile, p, &t, z, p->block * FD_NR);
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
    long from, to; /* tiles of this block that have the frequency */
    tiles_of_frequency(p, f, &from, &to);
    from = FD_MAX(0, from - p->tile0);
    to = FD_MAX(from, FD_MIN(p->count, to - p->tile0));
    const float *V = p->V + (f * p->block + from) * p->CS + c0, *Z = p->Z + f * p->z_stride + n0 * p->block + from * FD_NR;
    const float *a[FD_MR_MAX];
    float *c[FD_MR_MAX];
    fd_tile tile = {.a = a, .as = p->CS, .k = to - from, .taps = 1, .b = Z, .ldb = FD_NR, .c = c, .n = nv * VL,
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

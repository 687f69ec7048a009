/* Matrix product, C = act(A B + bias), for any size and any of the four row/column-major combinations.
 *
 * Idea: Goto's blocking with panels of B packed (KC x NR, streamed through L2) and A read where it lies: the tile kernel takes row
 * pointers, so neither a row-major nor a transposed A needs a copy. KC = 768 keeps a panel at 192 KB; row blocks of MC = 96
 * make one panel serve 16 tiles. Both sizes were measured; packing A never paid.
 * Splits depend on the shape only, so the bits do not depend on the number of threads.
 */
#include "kernels/gemm.h"

#define KC 768
#define MC 96
#define NC 1024 /* columns packed at a time: bounds the packing buffer to KC * NC floats, 3 MB */

/* out[i][j] = x[j][i], VL x VL, in registers. Not inlined: beside other loops GCC keeps the rows' addresses in spilled registers. */
static __attribute__((noinline)) void transpose_block(const float *x, long ldx, float *out, long ldo) {
    vf r[VL];
    FD_UNROLL for (int j = 0; j < VL; j++, x += ldx) {
        fd_prefetch(x + 4 * VL); /* VL rows at once are more streams than the machine follows by itself */
        r[j] = vload(x);
    }
    vtranspose(r);
    FD_UNROLL for (int i = 0; i < VL; i++, out += ldo) vstore(out, r[i]);
}

/* The same at the edges: x has `rows` rows of n floats; out gets n rows of VL floats, 0 beyond x. */
static __attribute__((noinline)) void transpose_edge(const float *x, long ldx, long rows, long n, float *out, long ldo) {
    vf r[VL];
    for (int j = 0; j < VL; j++, x += ldx) r[j] = j < rows ? vload_n(x, n) : vzero();
    vtranspose(r);
    for (int i = 0; i < n; i++, out += ldo) vstore(out, r[i]);
}

void FN(fd_pack_panel)(const float *b, long b_row, long b_col, long K, long n0, long width, long nv, float *panel) {
    const long nr = nv * VL;
    b += n0 * b_col;
    if (b_col == 1) {
        for (long k = 0; k < K; k++, b += b_row, panel += nr) {
            for (long j = 0; j < nv; j++) {
                long lanes = width - j * VL;
                vstore(panel + j * VL, lanes >= VL ? vload(b + j * VL) : vload_n(b + j * VL, FD_MAX(lanes, 0)));
            }
        }
        return;
    }
    for (long k0 = 0; k0 < K; k0 += VL) {
        const long kn = FD_MIN(K - k0, VL);
        for (long n0 = 0; n0 < nr; n0 += VL) {
            float *out = panel + k0 * nr + n0;
            const float *block = b + k0 * b_row + n0 * b_col;
            if (b_row == 1 && kn == VL && n0 + VL <= width) {
                transpose_block(block, b_col, out, nr);
                continue;
            }
            if (b_row == 1) {
                transpose_edge(block, b_col, width - n0, kn, out, nr);
                continue;
            }
            for (long k = 0; k < kn; k++)
                for (long n = 0; n < VL; n++)
                    out[k * nr + n] = n0 + n < width ? block[k * b_row + n * b_col] : 0.0f;
        }
    }
}

void FN(fd_gemm_packed)(const fd_gemm_packed_args *g) {
    const float *a[FD_MR_MAX];
    float *c[FD_MR_MAX];
    for (long n = 0; n < g->N; n += FD_NR) {
        const long nv = fd_panel_vectors(n, g->N), most = fd_tile_rows(nv);
        fd_tile t = {.a = a,
                     .as = g->a_col,
                     .k = g->K,
                     .taps = 1,
                     .b = g->packed + n * g->K,
                     .ldb = nv * VL,
                     .c = c,
                     .n = g->N - n,
                     .bias = g->bias ? g->bias + n : NULL,
                     .accumulate = g->accumulate,
                     .relu = g->relu};
        for (long m = 0; m < g->M;) {
            const long rows = fd_next_rows(g->M - m, most);
            for (long i = 0; i < rows; i++) {
                a[i] = g->a + (m + i) * g->a_row;
                c[i] = g->c + (m + i) * g->c_row + n;
            }
            fd_tile_kernel(nv, rows)(&t);
            m += rows;
        }
    }
}

typedef struct {
    const fd_matmul_args *g;
    float *packed;      /* [batch in flight][panels of this (k, n) block] */
    const float *bias;  /* padded copy for this column block, or NULL */
    size_t packed_size; /* floats per batch item */
    long k0, kn, n0, nn;
    long row_blocks, col_blocks, col_block; /* of one batch item */
    long items;                             /* batch items that share the packed panels: all of them if B is broadcast */
    long item0;
} block;

static void pack_chunk(void *ctx, long chunk) {
    const block *b = ctx;
    const fd_matmul_args *g = b->g;
    long panels = (b->nn + FD_NR - 1) / FD_NR;
    long item = chunk / panels, n = chunk % panels * FD_NR;
    const float *src = g->b + (b->item0 + item) * g->b_batch + b->k0 * g->b_row;
    FN(fd_pack_panel)(src, g->b_row, g->b_col, b->kn, b->n0 + n, FD_MIN(FD_NR, b->nn - n), fd_panel_vectors(n, b->nn),
                      b->packed + item * b->packed_size + n * b->kn);
}

static void multiply_chunk(void *ctx, long chunk) {
    const block *b = ctx;
    const fd_matmul_args *g = b->g;
    long per_item = b->row_blocks * b->col_blocks;
    long item = chunk / per_item, row = chunk % per_item / b->col_blocks, col = chunk % b->col_blocks;
    long m0 = row * MC, n0 = col * b->col_block;
    fd_gemm_packed_args p = {
        .M = FD_MIN(MC, g->M - m0),
        .N = FD_MIN(b->col_block, b->nn - n0),
        .K = b->kn,
        .a = g->a + (b->item0 + item) * g->a_batch + m0 * g->a_row + b->k0 * g->a_col,
        .a_row = g->a_row,
        .a_col = g->a_col,
        .packed = b->packed + (g->b_batch ? item * b->packed_size : 0) + n0 * b->kn,
        .c = g->c + (b->item0 + item) * g->c_batch + m0 * g->c_row + b->n0 + n0,
        .c_row = g->c_row,
        .bias = b->bias ? b->bias + n0 : NULL,
        .accumulate = b->k0 > 0,
        .relu = g->act == FD_ACT_RELU && b->k0 + b->kn >= g->K,
    };
    FN(fd_gemm_packed)(&p);
}

/* K == 0: the product is zero, plus the bias */
static void fill_bias(const fd_matmul_args *g) {
    for (long i = 0; i < g->batch; i++)
        for (long m = 0; m < g->M; m++)
            for (long n = 0; n < g->N; n++) {
                float v = g->bias ? g->bias[n] : 0.0f;
                g->c[i * g->c_batch + m * g->c_row + n] = g->act == FD_ACT_RELU && v < 0 ? 0.0f : v;
            }
}

/* --- few rows: B is used once or a few times, so packing it would cost as much as the product ------------------------- */
#define FEW_ROWS 8
#define FEW_COLUMNS 2048 /* of one chunk, at most */
#define FEW_K 64         /* rows of B that one pass over a chunk's columns uses: so many pages are touched in turn */

/* columns of one chunk: long stretches of B's rows, but at least two chunks of a large product */
static long few_columns(long N) { return FD_MIN(FEW_COLUMNS, FD_MAX(512, (N / 2 + FD_NR - 1) / FD_NR * FD_NR)); }

/* columns [n0, n1) of one row, B row-major: sums of scaled rows of B, read in the order they lie in memory */
static void row_times_rows(const fd_matmul_args *g, const float *a, const float *b, float *c, long n0, long n1) {
    float sum[FEW_COLUMNS + VL];
    const long n = n1 - n0;
    for (long j = 0; j < n; j += VL) vstore(sum + j, g->bias ? vload_n(g->bias + n0 + j, FD_MIN(n - j, VL)) : vzero());
    for (long k0 = 0; k0 < g->K; k0 += 8) {
        const long kn = FD_MIN(8, g->K - k0);
        vf av[8];
        for (long k = 0; k < 8; k++) av[k] = k < kn ? vset1(a[(k0 + k) * g->a_col]) : vzero();
        const float *row = b + k0 * g->b_row + n0;
        long j = 0;
        if (kn == 8)
            for (; j + VL <= n; j += VL) {
                vf s = vload(sum + j), t = vzero();
                FD_UNROLL for (int k = 0; k < 8; k += 2) {
                    s = vfma(av[k], vload(row + k * g->b_row + j), s);
                    t = vfma(av[k + 1], vload(row + (k + 1) * g->b_row + j), t);
                }
                vstore(sum + j, s + t);
            }
        for (; j < n; j += VL) {
            vf s = vload(sum + j);
            for (long k = 0; k < kn; k++) s = vfma(av[k], vload_n(row + k * g->b_row + j, FD_MIN(n - j, VL)), s);
            vstore(sum + j, s);
        }
    }
    for (long j = 0; j < n; j += VL) {
        vf s = vload(sum + j);
        if (g->act == FD_ACT_RELU) s = vmax(vzero(), s);
        vstore_n(c + n0 + j, s, FD_MIN(n - j, VL));
    }
}

/* columns [n0, n1) of one row, B column-major: four inner products at a time, vectors along k */
static void row_times_columns(const fd_matmul_args *g, const float *a, const float *b, float *c, long n0, long n1) {
    for (long n = n0; n < n1; n += 4) {
        const float *column[4];
        vf sum[4] = {vzero(), vzero(), vzero(), vzero()};
        for (int j = 0; j < 4; j++) column[j] = b + FD_MIN(n + j, n1 - 1) * g->b_col;
        long k = 0;
        for (; k + VL <= g->K; k += VL) {
            vf av = vload(a + k);
            FD_UNROLL for (int j = 0; j < 4; j++) sum[j] = vfma(av, vload(column[j] + k), sum[j]);
        }
        if (k < g->K) {
            vf av = vload_n(a + k, g->K - k);
            FD_UNROLL for (int j = 0; j < 4; j++) sum[j] = vfma(av, vload_n(column[j] + k, g->K - k), sum[j]);
        }
        for (long j = 0; j < FD_MIN(4, n1 - n); j++) {
            float s = vhsum(sum[j]) + (g->bias ? g->bias[n + j] : 0.0f);
            c[n + j] = g->act == FD_ACT_RELU && s < 0 ? 0.0f : s;
        }
    }
}

/* columns [n0, n1) of all rows, B row-major and read where it lies; only the last panel, if narrow, is packed */
static void rows_times_rows(const fd_matmul_args *g, const float *a, const float *b, float *c, long n0, long n1) {
    const float *rows[FD_MR_MAX];
    float *out[FD_MR_MAX], last[FEW_K * FD_NR], bias[FD_NR];
    /* 7 or 8 rows in one pass over B rather than two: narrower panels hold more rows */
    const long step = g->M > FD_MR && FD_NV > 2 ? 2 * VL : FD_NR;
    for (long k0 = 0; k0 < g->K; k0 += FEW_K) {
        const long kn = FD_MIN(FEW_K, g->K - k0);
        fd_tile t = {.a = rows, .as = g->a_col, .k = kn, .taps = 1, .c = out, .accumulate = k0 > 0,
                     .relu = g->act == FD_ACT_RELU && k0 + kn == g->K};
        for (long n = n0; n < n1; n += step) {
            const long nv = FD_MIN(step / VL, fd_panel_vectors(n, n1)), most = fd_tile_rows(nv);
            t.n = FD_MIN(step, n1 - n);
            t.b = b + k0 * g->b_row + n;
            t.ldb = g->b_row;
            t.bias = g->bias ? g->bias + n : NULL;
            if (t.n < step) {
                FN(fd_pack_panel)(b + k0 * g->b_row, g->b_row, 1, kn, n, t.n, nv, last);
                t.b = last;
                t.ldb = nv * VL;
                if (g->bias) {
                    memset(bias, 0, sizeof bias);
                    memcpy(bias, g->bias + n, (size_t)t.n * sizeof(float));
                    t.bias = bias;
                }
            }
            for (long m = 0; m < g->M;) {
                const long mr = fd_next_rows(g->M - m, most);
                for (long i = 0; i < mr; i++) {
                    rows[i] = a + (m + i) * g->a_row + k0 * g->a_col;
                    out[i] = c + (m + i) * g->c_row + n;
                }
                fd_tile_kernel(nv, mr)(&t);
                m += mr;
            }
        }
    }
}

static void few_rows_chunk(void *ctx, long chunk) {
    const fd_matmul_args *g = ctx;
    const long columns = few_columns(g->N), blocks = (g->N + columns - 1) / columns;
    const long item = chunk / blocks, n0 = chunk % blocks * columns, n1 = FD_MIN(g->N, n0 + columns);
    const float *a = g->a + item * g->a_batch, *b = g->b + item * g->b_batch;
    float *c = g->c + item * g->c_batch;
    if (g->b_col != 1)
        row_times_columns(g, a, b, c, n0, n1);
    else if (g->M == 1)
        row_times_rows(g, a, b, c, n0, n1);
    else
        rows_times_rows(g, a, b, c, n0, n1);
}

int FN(fd_matmul_f32)(const fd_matmul_args *g) {
    if (!g->batch || !g->M || !g->N) return FD_OK;
    if (!g->K) {
        fill_bias(g);
        return FD_OK;
    }
    if (g->b_col == 1 ? g->M <= FEW_ROWS : g->M == 1 && g->b_row == 1 && g->a_col == 1) {
        const long columns = few_columns(g->N), chunks = g->batch * ((g->N + columns - 1) / columns);
        fd_run(few_rows_chunk, (void *)g, chunks, (double)g->batch * g->M * g->N * g->K);
        return FD_OK;
    }
    const long nc = FD_MIN(NC, g->N), kc = FD_MIN(KC, g->K);
    block b = {.g = g, .packed_size = fd_packed_size(kc, nc)};
    /* batch items packed together: enough to fill the buffer that one large product would use */
    const long share = g->b_batch ? FD_MAX(1, FD_MIN(g->batch, (long)(KC * NC / FD_MAX(b.packed_size, 1)))) : 1;
    const long bias_size = (nc + VL - 1) / VL * VL;
    float *buffer = fd_pool_get(((size_t)share * b.packed_size + (size_t)bias_size) * sizeof(float));
    if (!buffer) return FD_NO_MEMORY;
    b.packed = buffer + bias_size;
    b.row_blocks = (g->M + MC - 1) / MC;
    for (b.n0 = 0; b.n0 < g->N; b.n0 += nc) {
        b.nn = FD_MIN(nc, g->N - b.n0);
        /* few rows: split columns too, so that there are chunks to share out */
        b.col_block = b.row_blocks * g->batch >= 8 ? b.nn : FD_NR * FD_MAX(1, b.nn / FD_NR / 4);
        b.col_blocks = (b.nn + b.col_block - 1) / b.col_block;
        b.bias = NULL;
        if (g->bias) {
            memcpy(buffer, g->bias + b.n0, (size_t)b.nn * sizeof(float));
            memset(buffer + b.nn, 0, (size_t)(bias_size - b.nn) * sizeof(float));
            b.bias = buffer;
        }
        for (b.k0 = 0; b.k0 < g->K; b.k0 += kc) {
            b.kn = FD_MIN(kc, g->K - b.k0);
            long panels = (b.nn + FD_NR - 1) / FD_NR;
            for (b.item0 = 0; b.item0 < g->batch; b.item0 += b.items) {
                b.items = g->b_batch ? FD_MIN(share, g->batch - b.item0) : g->batch;
                const long packed_items = g->b_batch ? b.items : 1;
                const long chunks = b.items * b.row_blocks * b.col_blocks;
                const double work = (double)b.items * g->M * b.nn * b.kn;
                fd_run(pack_chunk, &b, packed_items * panels, work);
                fd_run(multiply_chunk, &b, chunks, work);
            }
        }
    }
    fd_pool_put(buffer);
    return FD_OK;
}

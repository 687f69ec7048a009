/* Layer norm and RMS norm of rows, with the residual add before it fused.
 *
 * Idea: a row stays in L1 (or L2) between its passes, so memory is read once and written once. Pass 1 sums d = x - k and d^2, k
 * the mean of every 16th vector of the row: no mean of a sixteenth is further than 4 deviations from the mean, so the
 * cancellation in E[d^2] - E[d]^2 is bounded by 16. Pass 2 writes the result. Four rows at a time share the loads of weight and
 * bias, and hide the latency of one row's last sums behind the next one's; backward keeps dweight and dbias per chunk of
 * rows and loads and stores them once for four rows; the chunks are added in a fixed order.
 */
#include "fastdl.h"
#include "kernels/rows.h"

#define TILE 4

typedef struct {
    const fd_layer_norm_args *f;
    const fd_layer_norm_backward_args *b;
    float *partial; /* [chunk][2][N] */
    long chunk_rows;
} job;

/* --- forward ------------------------------------------------------------------------------------------------------ */
typedef struct {
    vf mean, scale, shift; /* y = (x - mean) scale + shift, then weight and bias */
} norm;

/* The mean of every 16th vector of x, or of x + r. */
FD_INLINE float sample_mean(const float *x, const float *r, long n, int add) {
    vf sum = vzero();
    long taken = 0;
    if (n < VL) {
        sum = vload_n(x, n);
        if (add) sum += vload_n(r, n);
        taken = n;
    }
    for (long j = 0; j + VL <= n; j += 16 * VL, taken += VL) sum += add ? vload(x + j) + vload(r + j) : vload(x + j);
    return vhsum(sum) / (float)taken;
}

/* sums of d = x - k and of d^2; with a residual of x + r - k, and x + r is stored in s */
FD_INLINE void moments(const float *x, const float *r, float *s, long n, float shift, double *first, double *second, int add) {
    const vf k = vset1(shift);
    double total1 = 0, total2 = 0;
    for (long j0 = 0; j0 < n; j0 += ROW_BLOCK) {
        const long end = FD_MIN(j0 + ROW_BLOCK, n);
        long j = j0;
        vf a[4], q[4];
    FD_UNROLL for (int i = 0; i < 4; i++) a[i] = q[i] = vzero();
        for (; j + 4 * VL <= end; j += 4 * VL) {
            FD_UNROLL for (int i = 0; i < 4; i++) {
                vf v = vload(x + j + i * VL);
                if (add) {
                    v += vload(r + j + i * VL);
                    vstore(s + j + i * VL, v);
                }
                v -= k;
                a[i] += v;
                q[i] = vfma(v, v, q[i]);
            }
        }
        for (; j < end; j += VL) {
            const long lanes = FD_MIN(VL, end - j);
            vf v = vload_n(x + j, lanes);
            if (add) {
                v += vload_n(r + j, lanes);
                vstore_n(s + j, v, lanes);
            }
            v = vkeep(v - k, lanes, 0.0f);
            a[0] += v;
            q[0] = vfma(v, v, q[0]);
        }
        total1 += vhsum((a[0] + a[1]) + (a[2] + a[3]));
        total2 += vhsum((q[0] + q[1]) + (q[2] + q[3]));
    }
    *first = total1;
    *second = total2;
}

/* Statistics of a few rows, stored in stats; with a residual, the sums too. */
FD_INLINE void statistics(const fd_layer_norm_args *g, long row, norm *t, const int rows, int add) {
    const long N = g->N;
    const float *x = g->x + row * N, *r = add ? g->residual + row * N : NULL;
    float *s = add ? g->sum + row * N : NULL, *stats = g->stats + row, k[TILE];
    double first[TILE], second[TILE];
    FD_UNROLL for (int i = 0; i < rows; i++) k[i] = g->rms ? 0.0f : sample_mean(x + i * N, add ? r + i * N : NULL, N, add);
    for (int i = 0; i < rows; i++)
        moments(x + i * N, add ? r + i * N : NULL, add ? s + i * N : NULL, N, k[i], first + i, second + i, add);
    for (int i = 0; i < rows; i++) {
        const double d = g->rms ? 0.0 : first[i] / (double)N, exact = (double)k[i] + d;
        double variance = second[i] / (double)N - d * d;
        if (variance < 0) variance = 0;
        const float mean = (float)exact;
        const double rest = exact - (double)mean, rstd = 1.0 / sqrt(variance + g->eps);
        stats[i] = mean;
        stats[g->M + i] = (float)variance;
        stats[2 * g->M + i] = (float)rest;
        t[i] = (norm){vset1(mean), vset1((float)rstd), vset1((float)(-rest * rstd))};
    }
}

FD_INLINE void normalise(const fd_layer_norm_args *g, const float *x, float *y, const norm *t, const int rows, int weight,
                         int bias) {
    const long N = g->N;
    const float *w = g->weight, *b = g->bias;
    FOR_ROW(N, {
        const vf wv = weight ? ROW_LOAD(w) : vzero(), bv = bias ? ROW_LOAD(b) : vzero();
        FD_UNROLL for (int i = 0; i < rows; i++) {
            vf z = vfma(ROW_LOAD(x + i * N) - t[i].mean, t[i].scale, t[i].shift);
            if (weight && bias)
                z = vfma(z, wv, bv);
            else if (weight)
                z *= wv;
            else if (bias)
                z += bv;
            ROW_STORE(y + i * N, z);
        }
    });
}

FD_INLINE void forward_rows(const fd_layer_norm_args *g, long row, const int rows) {
    norm t[TILE];
    if (g->residual)
        statistics(g, row, t, rows, 1);
    else
        statistics(g, row, t, rows, 0);
    const float *x = (g->residual ? g->sum : g->x) + row * g->N;
    float *y = g->y + row * g->N;
    if (g->weight && g->bias)
        normalise(g, x, y, t, rows, 1, 1);
    else if (g->weight)
        normalise(g, x, y, t, rows, 1, 0);
    else if (g->bias)
        normalise(g, x, y, t, rows, 0, 1);
    else
        normalise(g, x, y, t, rows, 0, 0);
}

static void forward_chunk(void *ctx, long chunk) {
    const job *t = ctx;
    const long end = FD_MIN((chunk + 1) * t->chunk_rows, t->f->M);
    long row = chunk * t->chunk_rows;
    for (; row + TILE <= end; row += TILE) forward_rows(t->f, row, TILE);
    for (; row < end; row++) forward_rows(t->f, row, 1);
}

int FN(fd_layer_norm_f32)(const fd_layer_norm_args *g) {
    if (!g->M || !g->N) return FD_OK;
    job t = {.f = g, .chunk_rows = g->N >= 16384 ? 1 : (16384 / g->N + TILE) / TILE * TILE};
    fd_run(forward_chunk, &t, (g->M + t.chunk_rows - 1) / t.chunk_rows, 8.0 * (double)g->M * (double)g->N);
    return FD_OK;
}

/* --- backward ----------------------------------------------------------------------------------------------------- */
/* z = (x - mean) rstd of one vector of one row */
#define Z(i) vfma(ROW_LOAD(x + (i) * N) - mean[i], scale[i], shift[i])

/* dx = rstd (e - mean of e - z mean of e z), e = dy weight, z the normalised row; dw += dy z, db += dy */
FD_INLINE void backward_rows(const fd_layer_norm_backward_args *g, long row, int rows, float *dw, float *db) {
    const long N = g->N;
    const float *x = g->x + row * N, *dy = g->dy + row * N, *w = g->weight;
    float *dx = g->dx + row * N;
    vf mean[TILE], scale[TILE], shift[TILE], k1[TILE], k2[TILE];
    double sum1[TILE], sum2[TILE];
    FD_UNROLL
    for (int i = 0; i < rows; i++) {
        const float *s = g->stats + row + i;
        const double rstd = 1.0 / sqrt((double)s[g->M] + g->eps);
        mean[i] = vset1(s[0]);
        scale[i] = vset1((float)rstd);
        shift[i] = vset1((float)(-rstd * s[2 * g->M]));
        sum1[i] = sum2[i] = 0;
    }
    for (long j0 = 0; j0 < N; j0 += ROW_BLOCK) {
        const long end = FD_MIN(j0 + ROW_BLOCK, N);
        vf a1[TILE], a2[TILE];
        FD_UNROLL
        for (int i = 0; i < rows; i++) a1[i] = a2[i] = vzero();
/* the next rows, and where these go: too many streams for the machine to follow by itself */
#define FETCH(i)                             \
    do {                                     \
        fd_prefetch(x + (i + TILE) * N + j); \
        fd_prefetch(dy + (i + TILE) * N + j); \
        fd_prefetch_write(dx + i * N + j);   \
    } while (0)
#define SUMS(is_full)                                                             \
    do {                                                                          \
        enum { full = is_full };                                                  \
        const long lanes = end - j;                                               \
        (void)lanes;                                                              \
        vf weight = w ? ROW_LOAD(w) : vset1(1.0f);                                \
        vf sw = dw ? ROW_LOAD(dw) : vzero(), sb = db ? ROW_LOAD(db) : vzero();    \
        FD_UNROLL                                                                 \
        for (int i = 0; i < rows; i++) {                                          \
            if (full) FETCH(i);                                                   \
            vf z = Z(i), d = ROW_LOAD(dy + i * N), e = d * weight;                \
            a1[i] += e;                                                           \
            a2[i] = vfma(e, z, a2[i]);                                            \
            sw = vfma(d, z, sw);                                                  \
            sb += d;                                                              \
        }                                                                         \
        if (dw) ROW_STORE(dw, sw);                                                \
        if (db) ROW_STORE(db, sb);                                                \
    } while (0)
        long j = j0;
        for (; j + VL <= end; j += VL) SUMS(1);
        if (j < end) SUMS(0);
        FD_UNROLL
        for (int i = 0; i < rows; i++) {
            sum1[i] += vhsum(a1[i]);
            sum2[i] += vhsum(a2[i]);
        }
    }
    FD_UNROLL
    for (int i = 0; i < rows; i++) {
        k1[i] = vset1(g->rms ? 0.0f : (float)(sum1[i] / (double)N));
        k2[i] = vset1((float)(sum2[i] / (double)N));
    }
    const float *more = g->dsum ? g->dsum + row * N : NULL;
    FOR_ROW(N, {
        vf weight = w ? ROW_LOAD(w) : vset1(1.0f);
        FD_UNROLL
        for (int i = 0; i < rows; i++) {
            vf z = Z(i);
            vf v = (vfma(ROW_LOAD(dy + i * N), weight, -k1[i]) - z * k2[i]) * scale[i];
            if (more) v += ROW_LOAD(more + i * N);
            ROW_STORE(dx + i * N, v);
        }
    });
}

static void backward_chunk(void *ctx, long chunk) {
    const job *t = ctx;
    const fd_layer_norm_backward_args *g = t->b;
    float *sums = t->partial ? t->partial + chunk * 2 * g->N : NULL;
    float *dw = g->dweight ? sums : NULL, *db = g->dbias ? sums + g->N : NULL;
    if (sums) memset(sums, 0, (size_t)g->N * 8);
    const long end = FD_MIN((chunk + 1) * t->chunk_rows, g->M);
    long row = chunk * t->chunk_rows;
    for (; row + TILE <= end; row += TILE) backward_rows(g, row, TILE, dw, db);
    for (; row < end; row++) backward_rows(g, row, 1, dw, db);
}

/* column block `chunk` of dweight and dbias: the partial sums of all row chunks, in order */
static void add_chunk(void *ctx, long chunk) {
    const job *t = ctx;
    const fd_layer_norm_backward_args *g = t->b;
    const long row_chunks = (g->M + t->chunk_rows - 1) / t->chunk_rows;
    for (long j = chunk * 256; j < FD_MIN((chunk + 1) * 256, g->N); j++) {
        double sw = 0, sb = 0;
        for (long c = 0; c < row_chunks; c++) {
            sw += t->partial[c * 2 * g->N + j];
            sb += t->partial[c * 2 * g->N + g->N + j];
        }
        if (g->dweight) g->dweight[j] = (float)sw;
        if (g->dbias) g->dbias[j] = (float)sb;
    }
}

int FN(fd_layer_norm_backward_f32)(const fd_layer_norm_backward_args *g) {
    if (!g->M || !g->N) {
        if (g->dweight) memset(g->dweight, 0, (size_t)g->N * 4);
        if (g->dbias) memset(g->dbias, 0, (size_t)g->N * 4);
        return FD_OK;
    }
    job t = {.b = g, .chunk_rows = (FD_MAX(16384 / g->N, g->M / 64) + TILE) / TILE * TILE};
    const long chunks = (g->M + t.chunk_rows - 1) / t.chunk_rows;
    const int sums = g->dweight || g->dbias;
    if (sums) {
        t.partial = fd_pool_get((size_t)chunks * 2 * (size_t)g->N * 4);
        if (!t.partial) return FD_NO_MEMORY;
    }
    const double work = 12.0 * (double)g->M * (double)g->N;
    fd_run(backward_chunk, &t, chunks, work);
    if (sums) fd_run(add_chunk, &t, (g->N + 255) / 256, 8.0 * (double)chunks * (double)g->N);
    fd_pool_put(t.partial);
    return FD_OK;
}

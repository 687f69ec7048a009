/* Layer norm and RMS norm of rows, with the residual add before it fused.
 *
 * Idea: a row stays in L1 (or L2) between its passes, so memory is read once and written once: pass 1 the mean (and the
 * residual sum), pass 2 the squared deviations from the rounded mean and their sum, which gives back what float32 lost of the
 * mean, pass 3 the result. Backward takes four rows at a time, so that dweight and dbias, which are kept per chunk of rows, are
 * loaded and stored once for four rows; the chunks are added in a fixed order.
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
static double add_residual(const float *x, const float *r, float *s, long n) {
    double total = 0;
    for (long j0 = 0; j0 < n; j0 += ROW_BLOCK) {
        vf sum = vzero();
        const float *xb = x + j0, *rb = r + j0;
        float *sb = s + j0;
        FOR_ROW(FD_MIN(ROW_BLOCK, n - j0), {
            vf v = ROW_LOAD(xb) + ROW_LOAD(rb);
            ROW_STORE(sb, v);
            sum += v;
        });
        total += vhsum(sum);
    }
    return total;
}

static double row_sum(const float *x, long n) {
    double total = 0;
    for (long j0 = 0; j0 < n; j0 += ROW_BLOCK) {
        const long end = FD_MIN(j0 + ROW_BLOCK, n);
        long j = j0;
        vf s[4];
    FD_UNROLL
        for (int i = 0; i < 4; i++) s[i] = vzero();
        for (; j + 4 * VL <= end; j += 4 * VL) {
            FD_UNROLL
            for (int i = 0; i < 4; i++) s[i] += vload(x + j + i * VL);
        }
        for (; j < end; j += VL) s[0] += vload_n(x + j, FD_MIN(VL, end - j));
        total += vhsum((s[0] + s[1]) + (s[2] + s[3]));
    }
    return total;
}

/* sums of x - mean and of its square */
static void deviations(const float *x, long n, float mean, double *first, double *second) {
    const vf m = vset1(mean);
    double total1 = 0, total2 = 0;
    for (long j0 = 0; j0 < n; j0 += ROW_BLOCK) {
        const long end = FD_MIN(j0 + ROW_BLOCK, n);
        long j = j0;
        vf s[4], q[4];
        FD_UNROLL
        for (int i = 0; i < 4; i++) s[i] = q[i] = vzero();
        for (; j + 4 * VL <= end; j += 4 * VL) {
            FD_UNROLL
            for (int i = 0; i < 4; i++) {
                vf d = vload(x + j + i * VL) - m;
                s[i] += d;
                q[i] = vfma(d, d, q[i]);
            }
        }
        for (; j < end; j += VL) {
            const long lanes = FD_MIN(VL, end - j);
            vf d = vkeep(vload_n(x + j, lanes) - m, lanes, 0.0f);
            s[0] += d;
            q[0] = vfma(d, d, q[0]);
        }
        total1 += vhsum((s[0] + s[1]) + (s[2] + s[3]));
        total2 += vhsum((q[0] + q[1]) + (q[2] + q[3]));
    }
    *first = total1;
    *second = total2;
}

static void forward_row(const fd_layer_norm_args *g, long row) {
    const long N = g->N;
    const float *x = g->x + row * N;
    float *y = g->y + row * N, *stats = g->stats + row;
    double sum = 0, first, second;
    if (g->residual) {
        sum = add_residual(x, g->residual + row * N, g->sum + row * N, N);
        x = g->sum + row * N;
    } else if (!g->rms) {
        sum = row_sum(x, N);
    }
    const float mean = g->rms ? 0.0f : (float)(sum / (double)N);
    deviations(x, N, mean, &first, &second);
    const double rest = g->rms ? 0.0 : first / (double)N;
    double variance = second / (double)N - rest * rest;
    if (variance < 0) variance = 0;
    const double rstd = 1.0 / sqrt(variance + g->eps);
    stats[0] = mean;
    stats[g->M] = (float)variance;
    stats[2 * g->M] = (float)rest;
    const vf m = vset1(mean), scale = vset1((float)rstd), shift = vset1((float)(-rest * rstd));
    const float *w = g->weight, *b = g->bias;
    if (w && b)
        FOR_ROW(N, ROW_STORE(y, vfma(vfma(ROW_LOAD(x) - m, scale, shift), ROW_LOAD(w), ROW_LOAD(b))));
    else if (w)
        FOR_ROW(N, ROW_STORE(y, vfma(ROW_LOAD(x) - m, scale, shift) * ROW_LOAD(w)));
    else if (b)
        FOR_ROW(N, ROW_STORE(y, vfma(ROW_LOAD(x) - m, scale, shift) + ROW_LOAD(b)));
    else
        FOR_ROW(N, ROW_STORE(y, vfma(ROW_LOAD(x) - m, scale, shift)));
}

static void forward_chunk(void *ctx, long chunk) {
    const job *t = ctx;
    const long end = FD_MIN((chunk + 1) * t->chunk_rows, t->f->M);
    for (long row = chunk * t->chunk_rows; row < end; row++) forward_row(t->f, row);
}

int FN(fd_layer_norm_f32)(const fd_layer_norm_args *g) {
    if (!g->M || !g->N) return FD_OK;
    job t = {.f = g, .chunk_rows = FD_MAX(1, 16384 / g->N)};
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
#define SUMS(is_full)                                                             \
    do {                                                                          \
        enum { full = is_full };                                                  \
        const long lanes = end - j;                                               \
        (void)lanes;                                                              \
        vf weight = w ? ROW_LOAD(w) : vset1(1.0f);                                \
        vf sw = dw ? ROW_LOAD(dw) : vzero(), sb = db ? ROW_LOAD(db) : vzero();    \
        FD_UNROLL                                                                 \
        for (int i = 0; i < rows; i++) {                                          \
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

/* Cross-entropy of softmax and its gradient in one pass over the logits.
 *
 * Idea: a row of logits is read once from memory; maximum, exponentials and gradient are three passes over a row that is in L1
 * or L2. The gradient is written while it is hot, so a training step touches the logits once and dlogits once.
 * With x relative to the row's maximum and s = sum exp x, log softmax is x - log s: nothing overflows.
 */
#include "fastdl.h"
#include "kernels/rows.h"
#include "simd/math.h"

typedef struct {
    const fd_softmax_cross_entropy_args *g;
    double weight_sum; /* of all classes */
    long rows;
} job;

/* exp(x - max) into e (or nowhere); their sum, and that of weight * (x - max) where smoothing needs it */
FD_INLINE double exponentials(const float *x, float *e, const float *weight, long n, vf max, int smooth, double *weighted) {
    double total = 0, total_weighted = 0;
    for (long j0 = 0; j0 < n; j0 += ROW_BLOCK) {
        const float *xb = x + j0, *wb = weight + j0;
        float *eb = e + j0;
        vf sum = vzero(), wsum = vzero();
        FOR_ROW(FD_MIN(ROW_BLOCK, n - j0), {
            vf d = ROW_LOAD(xb) - max, v = vexp(d);
            if (e) ROW_STORE(eb, v);
            sum += full ? v : vkeep(v, lanes, 0.0f);
            if (smooth) {
                if (weight) d *= ROW_LOAD(wb);
                wsum += full ? d : vkeep(d, lanes, 0.0f);
            }
        });
        total += vhsum(sum);
        total_weighted += vhsum(wsum);
    }
    *weighted = total_weighted;
    return total;
}

static void one_row(const job *t, long i) {
    const fd_softmax_cross_entropy_args *g = t->g;
    const long C = g->C, label = (long)g->labels[i];
    const float *x = g->logits + i * C, *w = g->weight;
    float *d = g->dlogits ? g->dlogits + i * C : NULL;
    if (g->labels[i] == g->ignore) {
        if (g->losses) g->losses[i] = 0.0f;
        if (d) memset(d, 0, (size_t)C * 4);
        return;
    }
    const double part = g->smoothing / (double)C, k = (1.0 - g->smoothing) * (w ? w[label] : 1.0);
    const float max = row_max(x, C);
    double weighted = 0;
    const double sum = g->smoothing != 0 ? exponentials(x, d, w, C, vset1(max), 1, &weighted)
                                         : exponentials(x, d, w, C, vset1(max), 0, &weighted);
    if (g->losses) {
        const double log_sum = vlog(vset1((float)sum))[0];
        double loss = k * (log_sum - (x[label] - max));
        if (g->smoothing != 0) loss += part * (t->weight_sum * log_sum - weighted);
        g->losses[i] = (float)loss;
    }
    if (!d) return;
    const double scale = g->scale * (g->row_scale ? g->row_scale[i] : 1.0);
    const vf to_p = vset1((float)(scale * (k + part * t->weight_sum) / sum)), off = vset1((float)(-scale * part));
    if (g->smoothing == 0)
        FOR_ROW(C, ROW_STORE(d, ROW_LOAD(d) * to_p));
    else if (w)
        FOR_ROW(C, ROW_STORE(d, vfma(ROW_LOAD(w), off, ROW_LOAD(d) * to_p)));
    else
        FOR_ROW(C, ROW_STORE(d, vfma(ROW_LOAD(d), to_p, off)));
    d[label] -= (float)(scale * k);
}

static void chunk_of_rows(void *ctx, long chunk) {
    const job *t = ctx;
    const long end = FD_MIN((chunk + 1) * t->rows, t->g->M);
    for (long i = chunk * t->rows; i < end; i++) one_row(t, i);
}

int FN(fd_softmax_cross_entropy_f32)(const fd_softmax_cross_entropy_args *g) {
    if (!g->M || !g->C) return FD_OK;
    job t = {.g = g, .weight_sum = (double)g->C, .rows = FD_MAX(1, 16384 / g->C)};
    if (g->weight) {
        t.weight_sum = 0;
        for (long c = 0; c < g->C; c++) t.weight_sum += g->weight[c];
    }
    fd_run(chunk_of_rows, &t, (g->M + t.rows - 1) / t.rows, 24.0 * (double)g->M * (double)g->C);
    return FD_OK;
}

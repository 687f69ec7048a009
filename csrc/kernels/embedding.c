/* Embedding: gather rows; add up rows of gradient.
 *
 * Idea: forward is memcpy. Backward gives each chunk a range of the table: it zeroes its rows, then walks through all numbers and
 * adds the rows that fall into its range, in the order of the text. No atomics, the same bits for any number of threads; the
 * price is that every chunk reads all numbers (8 bytes each, against 4 D bytes of gradient).
 */
#include "fastdl.h"
#include "simd/simd.h"

#define CHUNKS 16
#define GATHERED 64 /* rows a chunk of the forward pass */

static void gather(void *ctx, long chunk) {
    const fd_embedding_args *g = ctx;
    const long end = FD_MIN((chunk + 1) * GATHERED, g->T);
    for (long t = chunk * GATHERED; t < end; t++) {
        if (t + 4 < end) fd_prefetch(g->weight + g->index[t + 4] * g->weight_row);
        memcpy(g->out + t * g->D, g->weight + g->index[t] * g->weight_row, (size_t)g->D * sizeof(float));
    }
}

int FN(fd_embedding_f32)(const fd_embedding_args *g) {
    if (!g->T || !g->D) return FD_OK;
    fd_run(gather, (void *)g, (g->T + GATHERED - 1) / GATHERED, 4.0 * g->T * g->D);
    return FD_OK;
}

static void add_row(float *to, const float *from, long n) {
    long d = 0;
    for (; d + VL <= n; d += VL) vstore(to + d, vload(to + d) + vload(from + d));
    for (; d < n; d++) to[d] += from[d];
}

typedef struct {
    const fd_embedding_backward_args *g;
    long rows; /* of the table, a chunk */
} job;

static void scatter(void *ctx, long chunk) {
    const job *j = ctx;
    const fd_embedding_backward_args *g = j->g;
    const long first = chunk * j->rows, end = FD_MIN(first + j->rows, g->V);
    memset(g->dw + first * g->D, 0, (size_t)((end - first) * g->D) * sizeof(float));
    for (long t = 0; t < g->T; t++) {
        const long v = (long)g->index[t];
        if (v >= first && v < end && v != g->padding_idx) add_row(g->dw + v * g->D, g->dy + t * g->dy_row, g->D);
    }
}

int FN(fd_embedding_backward_f32)(const fd_embedding_backward_args *g) {
    if (!g->V || !g->D) return FD_OK;
    job j = {.g = g, .rows = (g->V + CHUNKS - 1) / CHUNKS};
    fd_run(scatter, &j, (g->V + j.rows - 1) / j.rows, 4.0 * (g->T + g->V) * g->D);
    return FD_OK;
}

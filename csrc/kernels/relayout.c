/* A copy into another memory order, such as (N, C, H, W) to (N, H, W, C): a batch of transposed matrices.
 *
 * Idea: in blocks of VL x VL that are turned around in registers, so that both sides are read and written in whole lines. NumPy copies
 * item by item along one of them.
 */
#include "fastdl.h"
#include "kernels/layout.h"

#define BLOCK_ITEMS 16384 /* of a chunk */

typedef struct {
    const fd_relayout_args *g;
    long block, blocks; /* rows of a chunk; chunks of a matrix */
} relayout;

/* Items of 8 bytes; 8 x 8 of them are a line each way. */
static void transpose_wide(const uint64_t *x, long x_col, long rows, long cols, uint64_t *out) {
    for (long r = 0; r < rows; r += 8)
        for (long c = 0; c < cols; c += 8)
            for (long i = r; i < FD_MIN(rows, r + 8); i++)
                for (long j = c; j < FD_MIN(cols, c + 8); j++) out[i * cols + j] = x[i + j * x_col];
}

static void relayout_chunk(void *ctx, long chunk) {
    const relayout *d = ctx;
    const fd_relayout_args *g = d->g;
    const long b = chunk / d->blocks, r = chunk % d->blocks * d->block, rows = FD_MIN(d->block, g->rows - r);
    const long from = b * g->x_batch + r, to = (b * g->rows + r) * g->cols;
    if (g->size == 8)
        transpose_wide((const uint64_t *)g->x + from, g->x_col, rows, g->cols, (uint64_t *)g->out + to);
    else
        fd_transpose((const float *)g->x + from, g->x_col, g->cols, rows, (float *)g->out + to, g->cols);
}

int FN(fd_relayout_f32)(const fd_relayout_args *g) {
    if (!g->batch || !g->rows || !g->cols) return FD_OK;
    relayout d = {.g = g};
    d.block = (FD_MAX(16, BLOCK_ITEMS / g->cols) + 15) / 16 * 16;
    d.blocks = (g->rows + d.block - 1) / d.block;
    fd_run(relayout_chunk, &d, g->batch * d.blocks, 4.0 * (double)(g->batch * g->rows) * (double)g->cols * (double)g->size / 4);
    return FD_OK;
}

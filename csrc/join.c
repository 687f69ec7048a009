/* Matrices side by side: row r of the result is row r of the first, then row r of the second, ... Bytes of any type.
 *
 * Idea: results are written once, from front to back, whatever the number of pieces, in chunks that threads share.
 */
#include "fastdl.h"

#include <string.h>

#define CHUNK_BYTES (64L << 10)

typedef struct {
    const fd_join_args *g;
    long rows, blocks; /* rows of a chunk; chunks of a row, if rows are long */
} join;

/* bytes [from, to) of one row */
static void join_row(const fd_join_args *g, long row, long from, long to) {
    char *out = (char *)g->out + row * g->out_row;
    long at = 0;
    for (long i = 0; i < g->count; at += g->width[i++]) {
        const long first = FD_MAX(from, at), last = FD_MIN(to, at + g->width[i]);
        if (first < last) memcpy(out + first, g->x[i] + row * g->x_row[i] + first - at, (size_t)(last - first));
    }
}

static void join_chunk(void *ctx, long chunk) {
    const join *d = ctx;
    const long begin = chunk / d->blocks * d->rows, end = FD_MIN(d->g->rows, begin + d->rows);
    const long from = chunk % d->blocks * CHUNK_BYTES,
               to = d->blocks == 1 ? d->g->out_row : FD_MIN(d->g->out_row, from + CHUNK_BYTES);
    for (long row = begin; row < end; row++) join_row(d->g, row, from, to);
}

void fd_join(const fd_join_args *g) {
    if (!g->rows || !g->out_row) return;
    const long blocks = (g->out_row + CHUNK_BYTES - 1) / CHUNK_BYTES;
    const join d = {g, FD_MAX(1, CHUNK_BYTES / g->out_row), blocks};
    fd_run(join_chunk, (void *)&d, (g->rows + d.rows - 1) / d.rows * blocks, (double)g->rows * (double)g->out_row);
}

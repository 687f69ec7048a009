/* Dropout: 64 numbers at a time from vectors of Philox counters, so that memory is read once and written once. */
#include "fastdl.h"
#include "simd/philox.h"

#define CHUNK 16384 /* elements, a multiple of FD_PHILOX_GROUP */

static void chunk_of(void *ctx, long chunk) {
    const fd_dropout_args *g = ctx;
    const long end = FD_MIN(g->n, (chunk + 1) * CHUNK);
    const vf scale = vset1(g->keep_scale);
    for (long i = chunk * CHUNK; i < end; i += FD_PHILOX_GROUP) {
        uint32_t numbers[FD_PHILOX_GROUP];
        const uint64_t counter = (uint64_t)i / FD_PHILOX_GROUP * 16;
        fd_philox_group(numbers, (uint32_t)(counter / 16), (uint32_t)(counter >> 32), (uint32_t)g->offset,
                        (uint32_t)(g->offset >> 32), g->seed);
        for (long j = 0; j < FD_PHILOX_GROUP && i + j < end; j += VL) {
            const vi keep = vkeep(numbers + j, g->drop_below);
            const long left = end - i - j;
            if (left >= VL)
                vstore(g->out + i + j, vselect(keep, vload(g->x + i + j) * scale, vzero()));
            else
                vstore_n(g->out + i + j, vselect(keep, vload_n(g->x + i + j, left) * scale, vzero()), left);
        }
    }
}

int FN(fd_dropout_f32)(const fd_dropout_args *g) {
    fd_run(chunk_of, (void *)g, (g->n + CHUNK - 1) / CHUNK, 8.0 * (double)g->n);
    return FD_OK;
}

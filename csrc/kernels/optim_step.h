/* How the kernels of optimizers share a list of arrays out: chunks of 64 KB that the team takes one by one, whichever array
 * they belong to, so a thousand small biases cost as little as one large weight. */
#ifndef FD_OPTIM_STEP_H
#define FD_OPTIM_STEP_H

#include "fastdl.h"
#include "kernels/rows.h"

#define CHUNK 16384

typedef struct {
    const fd_optim_array *arrays;
    long count;
    long *first; /* first[i]: number of the first chunk of array i; first[count]: all chunks */
    const void *settings;
} fd_optim_job;

/* array and offset of a chunk */
FD_INLINE const fd_optim_array *find(const fd_optim_job *t, long chunk, long *begin) {
    long lo = 0, hi = t->count;
    while (hi - lo > 1) {
        long middle = (lo + hi) / 2;
        if (t->first[middle] <= chunk)
            lo = middle;
        else
            hi = middle;
    }
    *begin = (chunk - t->first[lo]) * CHUNK;
    return &t->arrays[lo];
}

FD_INLINE int run(fd_chunk_fn fn, const fd_optim_array *arrays, long count, const void *settings, double floats_moved) {
    fd_optim_job t = {.arrays = arrays, .count = count, .settings = settings};
    double n = 0;
    t.first = fd_pool_get(((size_t)count + 1) * sizeof(long));
    if (!t.first) return FD_NO_MEMORY;
    t.first[0] = 0;
    for (long i = 0; i < count; i++) {
        t.first[i + 1] = t.first[i] + (arrays[i].n + CHUNK - 1) / CHUNK;
        n += (double)arrays[i].n;
    }
    fd_run(fn, &t, t.first[count], 4 * floats_moved * n);
    fd_pool_put(t.first);
    return FD_OK;
}

#endif

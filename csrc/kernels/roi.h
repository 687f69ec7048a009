/* What RoI pooling and RoI align share: slices of channels, and where maps and results lie in the caches.
 *
 * Work is split into slices of channels: a slice of the map stays in L2 while all boxes read it, and in the backward passes a
 * slice of dx belongs to one chunk, which adds box after box: no atomics, the same bits for any number of threads.
 */
#ifndef FD_KERNELS_ROI_H
#define FD_KERNELS_ROI_H

#include "fastdl.h"
#include "simd/narrow.h"

#define SLICE 64 /* channels of a slice */
#define NV 4     /* vectors in flight */
#define BLOCK (NV * VL)
#define BOXES 16           /* boxes a chunk of a forward pass */
#define STREAMED (4 << 20) /* floats of a result from which it is written past the caches */

/* Packed slices: where boxes outweigh the map, slice after slice of it is copied to (N, H, W, SLICE). Rows of C floats with C a
 * power of two would fall into an eighth of the cache's sets, and the slice would not stay. */
typedef struct {
    const fd_roi_shape *s;
    const void *g; /* the arguments of the kernel */
    float *packed; /* NULL: read x where it lies */
    const float *x;
    long slices;
    int stream;  /* write the result past the caches */
    void *lines; /* of align */
    _Atomic int failed;
} job;

static int worth_packing(const fd_roi_shape *s) {
    const long cells = s->H * s->W;
    return s->C > SLICE && cells * SLICE * 4 <= (1 << 20) && s->K * s->PH * s->PW >= s->N * cells;
}

static long width_of(const fd_roi_shape *s, long slice) { return FD_MIN(SLICE, s->C - slice * SLICE); }

/* The slice of one image: its first float, and the floats from cell to cell. */
static const float *slice_of(const job *j, long image, long slice, long *step) {
    const fd_roi_shape *s = j->s;
    const long cells = s->H * s->W;
    if (j->packed) {
        *step = SLICE;
        return j->packed + (slice * s->N + image) * cells * SLICE;
    }
    *step = s->C;
    return j->x + image * cells * s->C + slice * SLICE;
}

static void pack_chunk(void *ctx, long chunk) { /* one image of one slice */
    const job *j = ctx;
    const fd_roi_shape *s = j->s;
    const long cells = s->H * s->W, slice = chunk / s->N, image = chunk % s->N, width = width_of(s, slice);
    const float *from = j->x + image * cells * s->C + slice * SLICE;
    float *to = j->packed + chunk * cells * SLICE;
    for (long i = 0; i < cells; i++) memcpy(to + i * SLICE, from + i * s->C, (size_t)width * sizeof(float));
}

static int pack(job *j) {
    const fd_roi_shape *s = j->s;
    if (!worth_packing(s)) return FD_OK;
    const long floats = j->slices * s->N * s->H * s->W * SLICE;
    j->packed = fd_pool_get((size_t)floats * sizeof(float));
    if (!j->packed) return FD_NO_MEMORY;
    fd_run(pack_chunk, j, j->slices * s->N, (double)floats);
    return FD_OK;
}

/* Is the result too large for the caches, and all its vectors on their boundaries? */
static int worth_streaming(const fd_roi_shape *s, const float *out) {
    return s->K * s->PH * s->PW * s->C >= STREAMED && s->C % 16 == 0 && (uintptr_t)out % 64 == 0;
}

/* n is a constant or the length of a tail */
FD_INLINE vf get(const float *p, long n) { return n == VL ? vload(p) : vload_n(p, n); }

FD_INLINE void put(float *out, vf v, long n, int stream) {
    if (stream)
        vstream(out, v);
    else if (n == VL)
        vstore(out, v);
    else
        vstore_n(out, v, n);
}

/* A slice of one bin after the other is 256 bytes in every 4 C: no prefetcher of the machine follows that across pages. */
#define AHEAD 6 /* bins */
FD_INLINE void prefetch_bytes(const void *p, long bytes) {
    for (long i = 0; i < bytes; i += 64) fd_prefetch((const char *)p + i);
}

/* Where a chunk adds up its slice of dx of one image: in a packed buffer if that is worth it, else in place. */
typedef struct {
    const fd_roi_shape *s;
    float *dx, *to; /* the first float of the slice in dx and in the place to add */
    long step, width;
} target;

static int take_target(job *j, target *t, float *dx, long image, long slice) {
    const fd_roi_shape *s = j->s;
    const long cells = s->H * s->W;
    *t = (target){.s = s, .dx = dx + image * cells * s->C + slice * SLICE, .step = s->C, .width = width_of(s, slice)};
    t->to = t->dx;
    if (worth_packing(s)) {
        t->step = SLICE;
        t->to = fd_pool_get((size_t)(cells * SLICE) * sizeof(float));
        if (!t->to) {
            j->failed = 1;
            return FD_NO_MEMORY;
        }
    }
    for (long i = 0; i < cells; i++) memset(t->to + i * t->step, 0, (size_t)t->width * sizeof(float));
    return FD_OK;
}

static void give_target(target *t) {
    if (t->to == t->dx) return;
    const fd_roi_shape *s = t->s;
    for (long i = 0; i < s->H * s->W; i++) memcpy(t->dx + i * s->C, t->to + i * SLICE, (size_t)t->width * sizeof(float));
    fd_pool_put(t->to);
}

#endif

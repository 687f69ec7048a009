/* What RoI pooling and RoI align share: how their work is split.
 *
 * Forward, a chunk is a few boxes with all their channels. Backward, a chunk is a strip of rows of one image's dx, to which it adds
 * box after box what falls on it: no atomics, the same bits for any number of threads, and the strip stays in L2. Results
 * and gradients are streams, read and written in order: slices of channels would make them pieces of a few lines in every 4 C
 * bytes, and the loop waits for memory twice as long as it computes.
 */
#ifndef FD_KERNELS_ROI_H
#define FD_KERNELS_ROI_H

#include "fastdl.h"
#include "simd/narrow.h"

#define NV 4 /* vectors in flight */
#define BLOCK (NV * VL)
#define BOXES 4            /* boxes of a chunk */
#define STRIP 196608       /* floats of a strip: 768 KB */
#define AHEAD 2            /* bins by which gradients are fetched early */
#define STREAMED (4 << 20) /* floats of a result from which it is written past the caches */

typedef struct {
    const fd_roi_shape *s;
    const void *g; /* the arguments of the kernel */
    int stream;    /* write the result past the caches */
    void *lines;   /* of align */
    long strips;   /* of an image, backward */
} job;

/* At least four strips in all, for the threads; at most 16 of an image, because bins that lie across two are read twice. */
static long strips_of(const fd_roi_shape *s) {
    const long floats = s->H * s->W * s->C, most = FD_MIN(16, s->H);
    return FD_MIN(most, FD_MAX((floats + STRIP - 1) / STRIP, (3 + s->N) / s->N));
}

/* Rows [low, high) of dx, zero. */
typedef struct {
    long image, low, high;
    float *dx; /* the image's first float */
} strip;

static strip take_strip(const job *j, float *dx, long chunk) {
    const fd_roi_shape *s = j->s;
    const long i = chunk % j->strips, row = s->W * s->C;
    strip t = {.image = chunk / j->strips, .low = s->H * i / j->strips, .high = s->H * (i + 1) / j->strips};
    t.dx = dx + t.image * s->H * row;
    memset(t.dx + t.low * row, 0, (size_t)((t.high - t.low) * row) * sizeof(float));
    return t;
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

#endif

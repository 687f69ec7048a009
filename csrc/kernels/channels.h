/* What the forward and backward passes of batch_norm.c and batch_norm_backward.c share: how (B, S, C) is cut into chunks, and
 * the coefficients of every channel.
 */
#ifndef FD_CHANNELS_H
#define FD_CHANNELS_H

#include "fastdl.h"
#include "simd/simd.h"

#define CHUNK 65536 /* floats; a function of nothing else, so that the bits do not depend on the number of threads */
#define TILE 4      /* rows that share one load of the coefficients */
#define GROUP 4     /* vectors of a row that are taken together: memory is read and written in order */
#define AHEAD 2048 /* floats: a pass that only reads is bound by latency without prefetching, 2.0 instead of 1.4 ms for 26 MB */
#define SPREAD 8
#define STREAMED (4 << 20) /* floats of a result from which it is written past the caches */
#define FOLDED 1024        /* more than the widest folded row, 16 * 63 */

typedef struct {
    long B, S, C, G;
    long fold, W;        /* W = fold * C */
    long rows;           /* folded rows of one b */
    long tail;           /* rows of C channels that are left */
    long chunk_rows;     /* folded rows of a chunk */
    long chunks;         /* of one b; the last one also takes the tail */
    long stride;         /* floats of one partial array: W rounded up to vectors */
    const float *x, *x2; /* x and residual, or x and dy */
    const float *y;
    float *out, *out2;
    float *partial; /* [b][chunk, and one for the tail][3][stride] */
    float *coef;    /* [b][MEAN..R][C] */
    int act, stream;
} plan;

enum { MEAN, SCALE, SHIFT, Q, R, COEFS };

static inline long gcd(long a, long b) { return b ? gcd(b, a % b) : a; }

static inline plan make_plan(long B, long S, long C, long G) {
    plan p = {.B = B, .S = S, .C = C, .G = G, .fold = 1};
    if (C < 64) p.fold = 16 / gcd(C, 16);
    if (p.fold > S) p.fold = 1;
    p.W = p.fold * C;
    p.rows = S / p.fold;
    p.tail = S % p.fold;
    p.chunk_rows = FD_MAX(32, CHUNK / p.W);
    p.chunks = FD_MAX(1, (p.rows + p.chunk_rows - 1) / p.chunk_rows);
    p.stride = (p.W + VL - 1) / VL * VL;
    return p;
}

/* Is the result too large for the caches, and every vector of it on its boundary? */
static inline int worth_streaming(const plan *p) {
    const long size = p->B * p->S * p->C;
    return size >= STREAMED && p->W % VL == 0 && (p->S * p->C) % VL == 0 &&
           ((uintptr_t)p->out | (uintptr_t)p->out2) % (4 * VL) == 0;
}

static inline float *slot(const plan *p, long b, long chunk) {
    return p->partial + (b * (p->chunks + 1) + chunk) * 3 * p->stride;
}

/* The part of a chunk: `rows` rows of `width` columns from float `at` on. A chunk has one part, the last one of a b a second one. */
typedef struct {
    long b, chunk, at, rows, width;
} part;

static inline part part_of(const plan *p, long job, int tail) {
    part t = {.b = job / p->chunks, .chunk = job % p->chunks};
    const long base = t.b * p->S * p->C;
    if (tail) {
        const int last = t.chunk == p->chunks - 1;
        t.chunk = p->chunks;
        t.at = base + p->rows * p->W;
        t.rows = last ? p->tail : 0;
        t.width = p->C;
    } else {
        const long r0 = t.chunk * p->chunk_rows;
        t.at = base + r0 * p->W;
        t.rows = FD_MIN(p->chunk_rows, p->rows - r0);
        t.width = p->W;
    }
    return t;
}

/* The coefficients of b, each repeated fold times; `local` is room for them. */
static inline const float *folded(const plan *p, long b, const float *local_in, long *stride) {
    const float *coef = p->coef + b * COEFS * p->C;
    *stride = p->C;
    if (p->fold == 1) return coef;
    float *local = (float *)local_in;
    for (int k = 0; k < COEFS; k++)
        for (long f = 0; f < p->fold; f++) memcpy(local + k * FOLDED + f * p->C, coef + k * p->C, (size_t)p->C * 4);
    *stride = FOLDED;
    return local;
}

/* VL lanes, or the first `lanes` where a constant `full` in scope says there are fewer */
#define LOAD(p) (full ? vload(p) : vload_n(p, lanes))

/* Of every channel of b: y = (x - MEAN) SCALE + SHIFT. Forward and backward call it, so the ReLU mask is the same in both. */
static inline void set_coefficients(const plan *p, long b, const float *stats, const float *weight, const float *bias,
                                    double eps) {
    float *coef = p->coef + b * COEFS * p->C;
    const long width = p->C / p->G, groups = p->B * p->G;
    for (long g = 0; g < p->G; g++) {
        const float *s = stats + b * p->G + g;
        const double rstd = 1.0 / sqrt((double)s[groups] + eps), rest = s[2 * groups];
        for (long c = g * width; c < (g + 1) * width; c++) {
            const double scale = weight ? rstd * weight[c] : rstd;
            coef[MEAN * p->C + c] = s[0];
            coef[SCALE * p->C + c] = (float)scale;
            coef[SHIFT * p->C + c] = (float)((bias ? bias[c] : 0.0) - rest * scale);
        }
    }
}

/* Partial sums, coefficients and 3 * stride doubles for merging, in one block. */
static inline float *workspace(plan *p, double **work) {
    const size_t coef = ((size_t)p->B * COEFS * (size_t)p->C + 15) / 16 * 16;
    const size_t partial = (size_t)p->B * (size_t)(p->chunks + 1) * 3 * (size_t)p->stride;
    float *block = fd_pool_get((coef + partial + 6 * (size_t)(p->stride + p->C)) * 4);
    if (!block) return NULL;
    *work = (double *)block;
    p->coef = block + 6 * (p->stride + p->C);
    p->partial = p->coef + coef;
    return block;
}

#endif

/* The register-tile family: C[MR x NR] (+)= sum over taps, k of A[row][tap][k] * B[tap, k][NR].
 *
 * One kernel serves GEMM, convolution, deconvolution, attention and the recurrent cells, because rows of A and of C are given
 * by pointers: a row of A may be a matrix row, an input pixel under one filter tap, or a shared row of zeros.
 *
 *   a[tap * mr + i]  row i of A under this tap; element k lies at a[..][k * as]  (as = 1: a row; as = lda: a column)
 *   b                NR floats per k step, `ldb` floats apart, running on through the taps (packed panel: ldb = NR)
 *   bs[tap]          where B starts for this tap, if it does not run on
 *   c[i]             row i of C, contiguous; only the first n columns are stored
 *
 * NR = nv * VL. Rows a tile can have at most: fd_tile_rows(nv). 24 to 28 accumulators fill 32 registers, 12 fill 16.
 */
#ifndef FD_UKR_TILE_H
#define FD_UKR_TILE_H

#include "simd/simd.h"

#if FD_VREGS == 32
#define FD_NV 4 /* vectors in the widest panel */
#define FD_MR 6 /* rows of the widest tile */
#define FD_MR_MAX 14
#else
#define FD_NV 2
#define FD_MR 6
#define FD_MR_MAX 12
#endif
#define FD_NR (FD_NV * VL) /* floats in the widest panel */

typedef struct {
    const float *const *a;
    long as, k, taps;
    const float *b;
    long ldb;
    const float *const *bs; /* NULL: b runs on through the taps */
    float *const *c;
    long n;
    const float *bias;          /* NR readable floats added to every row, or NULL; ignored when accumulate */
    const float *const *addend; /* rows added at the end (a residual), or NULL */
    int accumulate;             /* start from what C holds */
    int relu;
    int near;   /* C is in L1 or L2: no prefetch */
    int stream; /* store past the caches: rows of C begin on vector boundaries and are whole vectors, no accumulate, no addend */
} fd_tile;

/* fd_tile_kernel(nv, mr)(&tile) computes mr rows, 1 <= mr <= fd_tile_rows(nv), of a panel nv vectors wide. */
typedef void (*fd_tile_fn)(const fd_tile *);
extern const fd_tile_fn FN(fd_tile_kernels)[FD_NV + 1][FD_MR_MAX + 1];
FD_INLINE fd_tile_fn fd_tile_kernel(long nv, long mr) { return FN(fd_tile_kernels)[nv][mr]; }

FD_INLINE long fd_tile_rows(long nv) {
#if FD_VREGS == 32
    return nv >= 4 ? 6 : nv == 3 ? 8 : 14;
#else
    return nv >= 2 ? 6 : 12;
#endif
}

/* Rows of the next tile when `left` rows remain: as even as possible (13 -> 5, 4, 4 with at most 6), because short tiles
 * are bound by the loads of B. */
FD_INLINE long fd_next_rows(long left, long most) {
    long tiles = (left + most - 1) / most;
    return (left + tiles - 1) / tiles;
}

#endif

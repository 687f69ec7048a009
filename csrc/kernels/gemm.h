/* What other drivers use of the matrix product: packed panels of B and the product of a row block with them.
 *
 * A panel is `nv * VL` columns of B for all k, k-major, zero-padded to its width. The panels of an N-column matrix are FD_NR wide
 * but for the last, which is only as many vectors wide as it needs. Panel j starts at packed + j * FD_NR * K.
 */
#ifndef FD_KERNELS_GEMM_H
#define FD_KERNELS_GEMM_H

#include "fastdl.h"
#include "ukr/tile.h"

/* floats that the packed form of a (K, N) matrix takes */
FD_INLINE size_t fd_packed_size(long K, long N) { return (size_t)K * (size_t)((N + VL - 1) / VL * VL); }

/* vectors in the panel that starts at column n of N */
FD_INLINE long fd_panel_vectors(long n, long N) { return FD_MIN(FD_NV, (N - n + VL - 1) / VL); }

/* Packs columns [n0, n0 + width) of B (element (k, n) at b[k * b_row + n * b_col]) as one panel of nv vectors.
 * b_col == 1 or b_row == 1 is fast; any strides are right. */
void FN(fd_pack_panel)(const float *b, long b_row, long b_col, long K, long n0, long width, long nv, float *panel);

/* C (M, N) = A (M, K) * B, B given as packed panels; serial; A has element (m, k) at a[m * a_row + k * a_col].
 * bias, if given, is readable up to N rounded up to VL. */
typedef struct {
    long M, N, K;
    const float *a;
    long a_row, a_col;
    const float *packed;
    float *c;
    long c_row;
    const float *bias;
    int accumulate, relu;
} fd_gemm_packed_args;
void FN(fd_gemm_packed)(const fd_gemm_packed_args *g);

/* The whole product, parallel over row and column blocks; serial when called from inside a chunk. */
int FN(fd_matmul_f32)(const fd_matmul_args *args);

#endif

/* Copies between memory layouts: what runs once over an input so that the loops over taps may run many times. */
#ifndef FD_KERNELS_LAYOUT_H
#define FD_KERNELS_LAYOUT_H

#include "simd/simd.h"

/* A 4-D array of shape (N, C, H, W) anywhere in memory; strides in floats. */
typedef struct {
    const float *p;
    long N, C, H, W;
    long n, c, h, w;
} fd_map;

/* out[c * out_row + r] = in[r * in_row + c], r < rows, c < cols */
static inline void fd_transpose(const float *in, long in_row, long rows, long cols, float *out, long out_row) {
    for (long r = 0; r < rows; r += VL) {
        const long rn = FD_MIN(VL, rows - r);
        for (long c = 0; c < cols; c += VL) {
            const long cn = FD_MIN(VL, cols - c);
            vf v[VL];
            if (rn == VL && cn == VL) {
    FD_UNROLL for (int i = 0; i < VL; i++) v[i] = vload(in + (r + i) * in_row + c);
                vtranspose(v);
                FD_UNROLL for (int i = 0; i < VL; i++) vstore(out + (c + i) * out_row + r, v[i]);
            } else {
                FD_UNROLL for (int i = 0; i < VL; i++) v[i] = i < rn ? vload_n(in + (r + i) * in_row + c, cn) : vzero();
                vtranspose(v);
                FD_UNROLL for (int i = 0; i < VL; i++) if (i < cn) vstore_n(out + (c + i) * out_row + r, v[i], rn);
            }
        }
    }
}

/* out[r * out_row + c] = in[r * row + c * col], r < rows, c < cols */
static inline void fd_copy_matrix(const float *in, long row, long col, long rows, long cols, float *out, long out_row) {
    if (col == 1 && row == cols && out_row == cols) {
        memcpy(out, in, (size_t)(rows * cols) * sizeof(float));
    } else if (col == 1) {
        for (long r = 0; r < rows; r++) memcpy(out + r * out_row, in + r * row, (size_t)cols * sizeof(float));
    } else if (row == 1 && rows >= 4 && cols >= 4) {
        fd_transpose(in, col, cols, rows, out, out_row);
    } else {
        for (long r = 0; r < rows; r++)
            for (long c = 0; c < cols; c++) out[r * out_row + c] = in[r * row + c * col];
    }
}

#endif

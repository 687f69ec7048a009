/* 3x3 convolution with stride 1 and dilation 1 by Winograd's minimal filtering F(4x4, 3x3): 2.25 multiplications a result
 * instead of 9. Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. */
#ifndef FD_KERNELS_WINOGRAD_H
#define FD_KERNELS_WINOGRAD_H

#include "fastdl.h"
#include "simd/simd.h"

typedef struct {
    long N, H, W, C; /* x (N, H, W, C), contiguous */
    long OH, OW, K;  /* y (N, OH, OW, K), contiguous */
    long pad_top, pad_left;
    const float *x;
    const float *w; /* w[k * w_k + c * w_c + kh * w_h + kw * w_w] */
    long w_k, w_c, w_h, w_w;
    int flip;          /* use w rotated by 180 degrees (data gradient: w with k and c exchanged, padding 2 - p) */
    const float *bias; /* (K,) or NULL */
    int relu;
    float *y;
} fd_winograd_args;

/* y = conv(x, w) + bias */
int FN(fd_winograd_forward)(const fd_winograd_args *g);
/* w's gradient from x and y's: here `y` holds dy (only read), and `w` is overwritten with dw */
int FN(fd_winograd_backward_w)(const fd_winograd_args *g, float *dw);

#endif

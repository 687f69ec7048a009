/* What the convolution files share: one form in which forward, data gradient and deconvolution are all the same problem.
 *
 * y[n, q, lane] = act(bias[lane] + sum over taps, k of w[k, lane, tap] * x[n, q * step + at[tap], k]), x being 0 outside.
 *
 * forward        one phase: q runs over all outputs, step = stride, at[u] = u * dilation - padding, k = c, lane = o
 * data gradient  stride_h * stride_w phases: the pixels whose position is r modulo the stride meet the same few taps, with
 *                step 1. So each phase is a small dense convolution of dy whose results lie stride pixels apart, and no
 *                zero is ever inserted or multiplied.
 * deconvolution  the data gradient with a bias
 *
 *   conv.c            the drivers: choose the algorithm, set up the problem, groups
 *   conv_direct.c     indirect matrix product on channels-last: any shape
 *   conv_planar.c     few lanes (a convolution to 3 channels): vectors run along the image row
 *   conv_spread.c     few lanes and few channels (LeNet's first layer): vectors run along (column, lane)
 *   conv_depthwise.c  one channel a group
 *   conv_weight.c     weight gradient: forward's geometry, or the data gradient's with x and dy in exchanged roles
 *   winograd.c        3x3, stride 1, all passes
 */
#ifndef FD_KERNELS_CONV_H
#define FD_KERNELS_CONV_H

#include "fastdl.h"
#include "kernels/gemm.h"
#include "kernels/layout.h"

/* One dimension of a phase. */
typedef struct {
    long size;       /* results of this phase along the dimension */
    long first;      /* where the first lies; the next is `stride` (data gradient) or 1 (forward) further */
    long step, taps; /* result q reads input q * step + at[t], t < taps, at ascending */
    const long *at;
    const long *src;        /* which filter row or column that is */
    const long *low, *high; /* [size]: taps low[q] <= t < high[q] lie inside the input */
} fd_conv_axis;

typedef struct {
    const fd_conv_axis *h, *w;
    float *y;      /* result (0, 0) of image 0 */
    float *packed; /* this phase's filters as the algorithm wants them, or its partial sums */
} fd_conv_phase;

typedef struct {
    fd_map x; /* C = the length of k */
    long lanes;
    const float *w; /* element (k, lane, kh, kw) at w[k * w_k + lane * w_lane + kh * KW + kw] */
    long w_k, w_lane, KH, KW;
    long phases;
    fd_conv_phase *phase;
    long y_n, y_c, y_h, y_w; /* between neighbouring results of a phase; y_c is 1 where y is written */
    const float *bias;       /* (lanes,) or NULL */
    float *db;               /* weight gradient of one phase: (lanes,), sums of y over all pixels, or NULL */
    int relu;
} fd_conv;

/* taps, k steps and results of one phase */
FD_INLINE long fd_conv_taps(const fd_conv_phase *f) { return f->h->taps * f->w->taps; }
FD_INLINE long fd_conv_pixels(const fd_conv_phase *f) { return f->h->size * f->w->size; }
/* multiply-adds of all phases */
FD_INLINE double fd_conv_work(const fd_conv *p) {
    double sum = 0;
    for (long i = 0; i < p->phases; i++) sum += (double)fd_conv_pixels(p->phase + i) * (double)fd_conv_taps(p->phase + i);
    return sum * (double)p->x.N * (double)p->x.C * (double)p->lanes;
}

/* Should results go past the caches? Waiting for the lines of a large y takes longer than reading it from memory once more, but
 * only whole lines may go: parts written at different times would each go by themselves. */
#define FD_STREAM_FLOATS (1 << 20)
FD_INLINE int fd_conv_streams(const fd_conv *p) {
    double size = 0;
    for (long i = 0; i < p->phases; i++) {
        size += (double)fd_conv_pixels(p->phase + i) * (double)p->x.N * (double)p->lanes;
        if ((uintptr_t)p->phase[i].y % 64) return 0;
    }
    return VL == 16 && p->lanes % VL == 0 && p->y_w % VL == 0 && p->y_h % VL == 0 && p->y_n % VL == 0 &&
           size >= FD_STREAM_FLOATS;
}

/* Rows and columns to add around x so that no tap of any phase falls outside. */
typedef struct {
    long top, left, H, W;
} fd_border;
fd_border FN(fd_conv_border)(const fd_conv *p);

int FN(fd_conv_direct)(const fd_conv *p);
int FN(fd_conv_planar)(const fd_conv *p);
int FN(fd_conv_planar_pays)(const fd_conv *p);
int FN(fd_conv_spread)(const fd_conv *p);
int FN(fd_conv_spread_pays)(const fd_conv *p);
/* lanes = channels: x has `lanes` of them, w element (lane, tap) at w[lane * w_lane + tap] */
int FN(fd_conv_depthwise)(const fd_conv *p);

/* The weight gradient of the same problem, y being read: dw[k, lane, tap] = sum over n, q of x[n, q * step + at[tap], k] *
 * y[n, q, lane], stored like w; every element is written that belongs to a tap of some phase. */
int FN(fd_conv_weight)(const fd_conv *p, float *dw);
int FN(fd_conv_weight_depthwise)(const fd_conv *p, float *dw);
int FN(fd_conv_weight_spread)(const fd_conv *p, float *dw);
int FN(fd_conv_weight_spread_pays)(const fd_conv *p);

/* A channels-last copy of m, pixels H x W x C with `b`'s zeros around; NULL without memory. Give it back to the pool. */
float *FN(fd_bordered_copy)(const fd_map *m, fd_border b);
/* The same as planar rows, [N][H][C][W], then FD_NR zeros that may be read past the end, then room for `more` floats. */
float *FN(fd_planar_copy)(const fd_map *m, fd_border b, size_t more);

#endif

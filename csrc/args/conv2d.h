/* y (N, O, OH, OW) = convolution of x (N, C, H, W) with w (O, C/groups, KH, KW), and its two gradients.
 *
 * conv2d             y = act(conv(x, w) + bias)
 * conv2d_backward_x  x = act(adjoint of that in x, applied to y, + bias): the data gradient, and the deconvolution
 * conv2d_backward_w  w = sum of y times x: the weight gradient
 *
 * Strides are in floats; those of x and y may be anything for what is read, the channel stride of what is written is 1. w is
 * contiguous. OH and OW may be any size for which every tap that is read or written lies in x or outside it.
 */
typedef struct {
    long N, C, H, W, O, OH, OW, KH, KW, groups;
    long stride_h, stride_w, top, left, dilation_h, dilation_w;
    float *x;
    long x_n, x_c, x_h, x_w;
    float *w;
    float *y;
    long y_n, y_c, y_h, y_w;
    const float *bias; /* (O,), for backward_x (C,), or NULL */
    float *db;         /* backward_w: (O,), becomes the sums of y; or NULL */
    int act;           /* FD_ACT_* */
    int exact;         /* only algorithms that round like the plain sum: no Winograd */
} fd_conv2d_args;
typedef fd_conv2d_args fd_conv2d_backward_x_args;
typedef fd_conv2d_args fd_conv2d_backward_w_args;

/* out[c] = sum of x[n, c, h, w] over n, h, w: the bias gradient */
typedef struct {
    long N, C, H, W;
    const float *x;
    long x_n, x_c, x_h, x_w;
    float *out;
} fd_channel_sum_args;

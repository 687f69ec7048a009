/* RoI kernels. x (N, H, W, C), out and dy (K, PH, PW, C), all contiguous; image[k] is the image of box k.
 * argmax (K, PH, PW, C): the cell h W + w, H W for none; uint16_t, or int32_t if wide. */
typedef struct {
    long K, N, C, H, W, PH, PW;
    const int64_t *image;
} fd_roi_shape;

/* Bin (p, q) of box k: rows[k][p][0] .. rows[k][p][1] - 1, and cols[k][q] alike. */
typedef struct {
    fd_roi_shape s;
    const int32_t *rows, *cols;
    const float *x;
    float *out;
    void *argmax;
    int wide;
} fd_roi_pool_args;

/* scatter: dx[image, argmax] += dy. Otherwise its transpose, dy = dx[image, argmax]; rows and cols are not read. */
typedef struct {
    fd_roi_shape s;
    const int32_t *rows, *cols;
    const void *argmax;
    int wide, scatter;
    float *dx, *dy;
} fd_roi_pool_route_args;

/* Sample i of bin p of box k lies at start + p * step + (i + 0.5) * step / samples; start, step, samples (K, 2), y first.
 * backward: x is written (dx) and out is read (dy); otherwise the reverse. */
typedef struct {
    fd_roi_shape s;
    const double *start, *step;
    const int32_t *samples;
    float *x, *out;
    int backward;
} fd_roi_align_args;

/* out[n, o, p, c] = x[n] at the place grid[n, o, p] = (row, column), bilinear, 0 outside.
 * x (N, H, W, C), grid (N, OH, OW, 2) and out (N, OH, OW, C) are contiguous. */
typedef struct {
    long N, C, H, W, OH, OW;
    const float *x, *grid;
    float *out;
} fd_warp_args;

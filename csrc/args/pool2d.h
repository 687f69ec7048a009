/* Max pooling of x (N, H, W, C), contiguous, with windows given by rows and cols; largest (N, OH, OW, C).
 * index (N, OH, OW, C): the tap i * kw + j of each maximum, kh * kw if there is none; uint8_t, or int32_t if wide. */
typedef struct {
    long N, C, kh, kw;
    const float *x;
    float *out;
    void *index; /* NULL: not wanted */
    int wide;
    fd_axis rows, cols;
} fd_max_pool2d_args;

/* Both directions of the linear map that index fixes: out[.., o, p, c] = sum over entries with index == tap of x.
 * Backward (scatter = 1): x is dy (N, OH, OW, C), index lies beside it, rows and cols are the transposed windows.
 * Its transpose (scatter = 0): x is (N, H, W, C), index lies beside out, rows and cols are the windows. */
typedef struct {
    long N, C, kw;
    const float *x;
    const void *index;
    float *out;
    int wide, scatter;
    fd_axis rows, cols;
} fd_max_pool2d_route_args;

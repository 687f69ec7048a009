/* out[b][r][c] = x[b * x_batch + r + c * x_col], b < batch, r < rows, c < cols; out is contiguous. Items of `size` bytes, 4 or 8. */
typedef struct {
    long batch, rows, cols, size;
    const void *x;
    long x_batch, x_col; /* in items */
    void *out;
} fd_relayout_args;

/* out[n, o, p, c] = sum over entries i of rows at o, j of cols at p: weight_i weight_j x[n, index_i, index_j, c].
 * x (N, rows.inputs, cols.inputs, C) and out (N, rows.outputs, cols.outputs, C) are contiguous. */
typedef struct {
    long N, C;
    const float *x;
    float *out;
    fd_axis rows, cols;
} fd_resize_args;

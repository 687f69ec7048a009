/* out[t] = weight[index[t]]: rows of D floats; weight has rows `weight_row` apart and unit stride within. */
typedef struct {
    long T, D, weight_row;
    const int64_t *index;
    const float *weight;
    float *out;
} fd_embedding_args;

/* dw[v] = sum over t with index[t] == v, v != padding_idx, of dy[t]; dy has rows dy_row apart, dw (V, D) is contiguous. */
typedef struct {
    long T, D, V, dy_row, padding_idx;
    const int64_t *index;
    const float *dy;
    float *dw;
} fd_embedding_backward_args;

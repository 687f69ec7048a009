/* Softmax over the middle axis of x (outer, n, inner), C-contiguous. */
typedef struct {
    long outer, n, inner;
    const float *x;
    float *y;
    int log; /* y is log softmax */
} fd_softmax_args;

/* dx from dy and the result y of forward */
typedef struct {
    long outer, n, inner;
    const float *dy, *y;
    float *dx;
    int log;
} fd_softmax_backward_args;

/* Of each row i of logits (M, C) with label t = labels[i], lp = log softmax, k = 1 - smoothing:
 *   losses[i] = -k weight[t] lp[t] - smoothing / C sum_c weight[c] lp[c],   0 where t is ignore
 *   dlogits[i] = its gradient * scale * (row_scale ? row_scale[i] : 1) */
typedef struct {
    long M, C;
    const float *logits;
    const int64_t *labels;
    const float *weight; /* (C,), NULL: 1 */
    const float *row_scale;
    float *losses;  /* (M,), or NULL */
    float *dlogits; /* (M, C), or NULL */
    int64_t ignore;
    double smoothing, scale;
} fd_softmax_cross_entropy_args;

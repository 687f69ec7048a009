/* C[b] = act(A[b] B[b] + bias), b = 0..batch-1; A (M, K), B (K, N), C (M, N); strides in floats.
 * A and B: one of the two inner strides is 1. C: column stride 1. batch strides may be 0 (broadcast). */
typedef struct {
    long batch, M, N, K;
    const float *a;
    long a_batch, a_row, a_col;
    const float *b;
    long b_batch, b_row, b_col;
    float *c;
    long c_batch, c_row;
    const float *bias; /* (N,) or NULL */
    int act;           /* FD_ACT_* */
} fd_matmul_args;

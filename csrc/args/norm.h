/* Normalisation over groups of channels. x is (B, S, C) in memory; for each b the mean and the variance are those of the S rows
 * and the C / G neighbouring channels of a group. Batch norm: B = 1, S = N H W, G = C; group norm: B = N, S = H W; instance norm:
 * B = N, G = C.   y = act((x - mean) rstd weight + bias + residual), rstd = 1 / sqrt(variance + eps) */
typedef struct {
    long B, S, C, G;
    const float *x, *residual;  /* (B, S, C); residual NULL: none */
    const float *weight, *bias; /* (C,); NULL: 1 and 0 */
    float *stats;               /* (3, B, G): mean, variance, and what float32 lost of the mean */
    float *y;                   /* (B, S, C) */
    double eps;
    int act;   /* FD_ACT_* */
    int given; /* stats is an input (inference) */
} fd_batch_norm_args;

typedef struct {
    long B, S, C, G;
    const float *dy, *x;
    const float *y;             /* where act is ReLU: its mask is y > 0. NULL: recomputed from x (there was no residual) */
    const float *weight, *bias; /* as in forward */
    const float *stats;
    float *dx;
    float *dresidual;       /* dy behind the ReLU, or NULL */
    float *dweight, *dbias; /* (C,) */
    double eps;
    int act, given; /* as in forward */
} fd_batch_norm_backward_args;

/* y = (s - mean) rstd weight + bias for each row of s = x + residual (M, N); rms: mean is 0 */
typedef struct {
    long M, N;
    const float *x, *residual;  /* residual NULL: none */
    const float *weight, *bias; /* (N,); NULL: 1 and 0 */
    float *sum;                 /* s, or NULL if there is no residual */
    float *stats;               /* (3, M): mean, variance, and what float32 lost of the mean */
    float *y;
    double eps;
    int rms;
} fd_layer_norm_args;

typedef struct {
    long M, N;
    const float *dy, *x; /* x: the s of forward */
    const float *dsum;   /* gradient that reached s by other ways, added to dx; or NULL */
    const float *weight, *stats;
    float *dx;
    float *dweight, *dbias; /* (N,); NULL: not wanted */
    double eps;
    int rms;
} fd_layer_norm_backward_args;

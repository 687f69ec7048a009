/* One optimizer step over many arrays in one call. Everywhere g = +-gradient + decay p, and every array of an entry has the
 * memory layout of p. */
typedef struct {
    float *p;
    const float *g;
    float *m, *v, *w; /* the states, in the order of the Python contract; those that a kernel does without are NULL */
    long n;
    long rows;     /* projected only: output channels, 0 for an array of one axis */
    int rows_last; /* projected only: is the axis of output channels the innermost one in memory (else the outermost)? */
} fd_optim_array;

/* m = momentum m + fresh g (m = g in the first step); p -= lr times m, with nesterov 1 g + momentum m, with nesterov 2
 * (Nesterov's form at the look-ahead point) or without m g */
typedef struct {
    long count;
    const fd_optim_array *arrays;
    float lr, momentum, fresh, decay;
    int nesterov, maximize, first;
} fd_sgd_args;

/* m, v the moving averages of g and g^2, w the largest v so far (AMSGrad) or NULL;
 * p = keep p - step_size (mean_weight m + grad_weight g) / denominator, which is sqrt(v) / root_correction + eps, sqrt(v + eps), or 1 */
enum { FD_ADAM_EPS_OUTSIDE = 0, FD_ADAM_EPS_INSIDE = 1, FD_ADAM_UNSCALED = 2 };
typedef struct {
    long count;
    const fd_optim_array *arrays;
    float beta1, beta2, one_minus_beta1, one_minus_beta2;
    float eps, decay, keep, step_size, mean_weight, grad_weight, root_correction;
    int denominator, maximize;
} fd_adam_args;

/* m = beta1 m + (1 - beta1) g; v = max(beta2 v, |g| + eps); p -= step_size m / v */
typedef struct {
    long count;
    const fd_optim_array *arrays;
    float beta1, beta2, one_minus_beta1, eps, decay, step_size;
    int maximize;
} fd_adamax_args;

/* m += g^2; p -= lr g / (sqrt(m) + eps), or / sqrt(m + eps) */
typedef struct {
    long count;
    const fd_optim_array *arrays;
    float lr, eps, decay;
    int eps_inside, maximize;
} fd_adagrad_args;

/* m = rho m + (1 - rho) g^2; d = sqrt(v + eps) / sqrt(m + eps) g; v = rho v + (1 - rho) d^2; p -= lr d */
typedef struct {
    long count;
    const fd_optim_array *arrays;
    float lr, rho, one_minus_rho, eps, decay;
    int maximize;
} fd_adadelta_args;

/* m = alpha m + (1 - alpha) g^2; v = alpha v + (1 - alpha) g if there (centered), then m - v^2 takes the place of m in
 * d = g / (sqrt(m) + eps), or / sqrt(m + eps); w = momentum w + d if there; p -= lr w, or lr d */
typedef struct {
    long count;
    const fd_optim_array *arrays;
    float lr, alpha, one_minus_alpha, eps, decay, momentum;
    int eps_inside, maximize;
} fd_rmsprop_args;

/* AdamP (adaptive) and SGDP. m = beta1 m + fresh g, adaptive: v = beta2 v + (1 - beta2) g^2;
 * d = m, with nesterov beta1 m + look g; adaptive: d /= sqrt(v) / root_correction + eps.
 * Arrays of rows: where the largest |cos(g, p)| of the rows, or else that of the whole, lies below delta / sqrt(length), d loses
 * its part along p (row by row, or as a whole) and keep_projected replaces keep. p = keep p - step_size d. decay is 0 here. */
typedef struct {
    long count;
    const fd_optim_array *arrays;
    float beta1, beta2, fresh, look, one_minus_beta2;
    float eps, delta, keep, keep_projected, step_size, root_correction;
    int adaptive, nesterov, maximize;
} fd_projected_args;

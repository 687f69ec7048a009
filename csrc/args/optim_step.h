/* One optimizer step over many arrays in one call. */
typedef struct {
    float *p;
    const float *g;
    float *m, *v, *v_max; /* SGD: m is the momentum buffer or NULL. Adam: v_max only with AMSGrad, else NULL */
    long n;
} fd_optim_array;

/* SGD: g += decay p; m = momentum m + (1 - dampening) g (m = g in the first step); p -= lr (nesterov ? g + momentum m : m or g) */
typedef struct {
    long count;
    const fd_optim_array *arrays;
    float lr, momentum, dampening, decay;
    int nesterov, maximize, first;
} fd_sgd_args;

/* Adam: m, v the moving averages of g and g^2, or v_max where there is one;
 * p = keep p - step_size m / (sqrt(v) / root_correction + eps), or with eps_inside ... / sqrt(v + eps) */
typedef struct {
    long count;
    const fd_optim_array *arrays;
    float beta1, beta2, one_minus_beta1, one_minus_beta2;
    float eps, decay, keep, step_size, root_correction;
    int eps_inside, maximize;
} fd_adam_args;

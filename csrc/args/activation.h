/* One function of each of n floats. What a and b mean depends on the kind; see fastdl/kernels/activation.py. */
enum {
    FD_RELU,
    FD_LEAKY_RELU,
    FD_ELU,
    FD_HARDTANH,
    FD_HARDSIGMOID,
    FD_HARDSWISH,
    FD_SIGMOID,
    FD_TANH,
    FD_SILU,
    FD_GELU,
    FD_GELU_TANH,
    FD_SOFTPLUS,
    FD_MISH,
    FD_EXP,
    FD_LOG,
    FD_ERF,
};

typedef struct {
    long n;
    int kind;
    float a, b;
    const float *x;
    float *y;
} fd_activation_args;

typedef struct {
    long n;
    int kind;
    float a, b;
    const float *dy;
    const float *kept; /* x or y */
    float *dx;
} fd_activation_backward_args;

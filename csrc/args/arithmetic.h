/* out[i] = x[i] op y[i mod period], n elements; period n, 1, or the size of the trailing axes along which y repeats.
 * out may be x. */
enum { FD_ADD, FD_SUB, FD_MUL };

typedef struct {
    long n, period;
    int op;
    const float *x, *y;
    float *out;
} fd_arithmetic_args;

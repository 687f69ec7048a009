/* The conditionals of a neural autoregressive density estimator; every array is C-contiguous, H a multiple of 4 * VL of any ISA
 * (64), padded with zeros.
 *   a_0 = c, a_{i+1} = a_i + x_i w_i;  h_i = sigmoid(a_i), or max(0, rho_i a_i);  y_i = v_i h_i + b_i */
typedef struct {
    long B, D, H, O;
    int relu;
    float *x;         /* (B, D); with u it is the result: x_i = u_i < sigmoid(y_i), for O = 1 */
    const float *w;   /* (D, H) */
    const float *v;   /* (D, O, H) */
    const float *b;   /* (D, O) */
    const float *c;   /* (H,) */
    const float *rho; /* (D,), with relu */
    const float *u;   /* (B, D) or NULL */
    float *y;         /* (B, D, O) */
    float *a;         /* (B, H): a_D */
} fd_nade_args;

typedef struct {
    long B, D, H, O;
    int relu;
    const float *dy; /* (B, D, O) */
    const float *x, *w, *v, *rho, *a;
    float *dx;   /* (chunks, B, D), to be summed over the first axis, or NULL; chunks = H / 64 */
    float *dw;   /* (D, H) */
    float *dv;   /* (D, O, H) */
    float *dc;   /* (H,) */
    float *drho; /* (chunks, D), likewise, or NULL */
} fd_nade_backward_args;

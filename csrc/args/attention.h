/* out[t] = sum_j z p[t, j] v[j], p = softmax over keys j of scale * <q[t], k[j]> + mask[t, j]; lse its logarithmic normaliser.
 * q (B, H, T, D), k (B, H, S, D), v (B, H, S, DV), out (B, H, T, DV): strides in floats, innermost stride 1. */
enum { FD_MASK_NONE = 0, FD_MASK_BOOL = 1, FD_MASK_ADD = 2 };

typedef struct {
    long B, H, T, S, D, DV;
    const float *q;
    long q_b, q_h, q_t;
    const float *k;
    long k_b, k_h, k_s;
    const float *v;
    long v_b, v_h, v_s;
    const void *mask; /* (B, H, T, S): bytes (not 0: attend) or floats (added), strides in elements, any (0: broadcast) */
    int mask_kind;    /* FD_MASK_* */
    long m_b, m_h, m_t, m_s;
    int causal; /* row t attends to keys j <= t */
    float scale;
    int dropout; /* z is 0 where the Philox number of (seed, b * H + h, t, j) lies below drop_below, else keep_scale */
    uint32_t drop_below;
    float keep_scale;
    uint64_t seed;
    float *out;
    long o_b, o_h, o_t;
    float *lse; /* (B, H, T), contiguous */
} fd_attention_args;

/* The gradients; `f` is the forward call, whose out and lse are read. dq, dk, dv have innermost stride 1. */
typedef struct {
    fd_attention_args f;
    const float *dout;
    long do_b, do_h, do_t;
    float *dq;
    long dq_b, dq_h, dq_t;
    float *dk;
    long dk_b, dk_h, dk_s;
    float *dv;
    long dv_b, dv_h, dv_s;
} fd_attention_backward_args;

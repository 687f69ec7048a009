/* out[i] = number i of the Philox sequence (seed, offset) < drop_below ? 0 : x[i] * keep_scale. x and out contiguous. */
typedef struct {
    long n;
    const float *x;
    float *out;
    uint32_t drop_below;
    float keep_scale;
    uint64_t seed, offset;
} fd_dropout_args;

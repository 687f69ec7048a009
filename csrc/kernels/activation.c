/* Elementwise functions and their derivatives, in one pass over contiguous memory.
 *
 * Idea: one loop a kind, the function inlined into it, over chunks of 64 KB. Backward multiplies with the derivative in the same
 * pass, computed from the argument or the result, whichever is cheaper; see `keeps` in fastdl/kernels/activation.py.
 */
#include "fastdl.h"
#include "kernels/rows.h"
#include "simd/math.h"

#define CHUNK 16384
#define SQRT_HALF 0.70710678118654752f
#define SQRT_2_OVER_PI 0.79788456080286536f
#define GELU_CUBIC 0.044715f

/* --- functions ------------------------------------------------------------------------------------------------------ */
FD_INLINE vf vclamp(vf x, float lo, float hi) { return vmin(vset1(hi), vmax(vset1(lo), x)); }
FD_INLINE vf vhardsigmoid(vf x) { return vclamp(vfma(x, vset1(1.0f / 6.0f), vset1(0.5f)), 0.0f, 1.0f); }

/* tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2); 1 from 20 on, where n would lose nothing but could overflow */
FD_INLINE vf vtanh_softplus(vf x) {
    vf e = vexp(vmin(vset1(20.0f), x)), n = e * (e + 2.0f);
    return n / (n + 2.0f);
}

FD_INLINE vf forward(int kind, vf x, float a, float b) {
    switch (kind) {
    case FD_RELU:
        return vmax(vzero(), x);
    case FD_LEAKY_RELU:
        return vselect(x > vzero(), x, x * vset1(a));
    case FD_ELU:
        return vselect(x > vzero(), x * vset1(b), vset1(a) * vexpm1(x));
    case FD_HARDTANH:
        return vclamp(x, a, b);
    case FD_HARDSIGMOID:
        return vhardsigmoid(x);
    case FD_HARDSWISH:
        return x * vhardsigmoid(x);
    case FD_SIGMOID:
        return vsigmoid(x);
    case FD_TANH:
        return vtanh(x);
    case FD_SILU:
        return x * vsigmoid(x);
    case FD_GELU:
        return 0.5f * x * (1.0f + verf(x * SQRT_HALF));
    case FD_GELU_TANH:
        return x * vsigmoid(2.0f * SQRT_2_OVER_PI * vfma(x * x * x, vset1(GELU_CUBIC), x));
    case FD_SOFTPLUS: {
        vf z = x * vset1(a);
        return vselect(z > vset1(b), x, (vmax(vzero(), z) + vlog1p(vexp(-vabs(z)))) / vset1(a));
    }
    case FD_MISH:
        return x * vtanh_softplus(x);
    case FD_EXP:
        return vexp(x);
    case FD_LOG:
        return vlog(x);
    default:
        return verf(x);
    }
}

/* dy times the derivative; k is x or y */
FD_INLINE vf backward(int kind, vf dy, vf k, float a, float b) {
    switch (kind) {
    case FD_RELU:
        return vselect(k <= vzero(), vzero(), dy);
    case FD_LEAKY_RELU:
        return vselect(k > vzero(), dy, dy * vset1(a));
    case FD_ELU:
        return dy * vselect(k > vzero(), vset1(b), vset1(a) * vexp(k));
    case FD_HARDTANH:
        return vselect((k <= vset1(a)) | (k >= vset1(b)), vzero(), dy);
    case FD_HARDSIGMOID:
        return vselect((k > vset1(-3.0f)) & (k < vset1(3.0f)), dy * vset1(1.0f / 6.0f), vzero());
    case FD_HARDSWISH: {
        vf inner = vfma(k, vset1(1.0f / 3.0f), vset1(0.5f));
        return vselect(k <= vset1(-3.0f), vzero(), vselect(k >= vset1(3.0f), dy, dy * inner));
    }
    case FD_SIGMOID:
        return dy * (k * (1.0f - k));
    case FD_TANH:
        return dy * (1.0f - k * k);
    case FD_SILU: {
        vf s = vsigmoid(k);
        return dy * (s * vfma(k, 1.0f - s, vset1(1.0f)));
    }
    case FD_GELU: {
        vf density = vexp(-0.5f * k * k) * (0.5f * SQRT_2_OVER_PI);
        return dy * vfma(k, density, 0.5f * (1.0f + verf(k * SQRT_HALF)));
    }
    case FD_GELU_TANH: {
        vf s = vsigmoid(2.0f * SQRT_2_OVER_PI * vfma(k * k * k, vset1(GELU_CUBIC), k));
        vf slope = 2.0f * SQRT_2_OVER_PI * vfma(k * k, vset1(3.0f * GELU_CUBIC), vset1(1.0f));
        return dy * vfma(k * slope, s * (1.0f - s), s);
    }
    case FD_SOFTPLUS: {
        vf z = k * vset1(a);
        return vselect(z > vset1(b), dy, dy * vsigmoid(z));
    }
    case FD_MISH: {
        vf t = vtanh_softplus(k);
        return dy * vfma(k * vsigmoid(k), 1.0f - t * t, t);
    }
    case FD_EXP:
        return dy * k;
    case FD_LOG:
        return dy / k;
    default:
        return dy * (vexp(-k * k) * (2.0f * SQRT_2_OVER_PI * SQRT_HALF));
    }
}

/* --- loops ---------------------------------------------------------------------------------------------------------- */
/* clang-format off */
#define KINDS(X)                                                                                                    \
    X(FD_RELU) X(FD_LEAKY_RELU) X(FD_ELU) X(FD_HARDTANH) X(FD_HARDSIGMOID) X(FD_HARDSWISH) X(FD_SIGMOID) X(FD_TANH) \
    X(FD_SILU) X(FD_GELU) X(FD_GELU_TANH) X(FD_SOFTPLUS) X(FD_MISH) X(FD_EXP) X(FD_LOG) X(FD_ERF)
/* clang-format on */

static void forward_chunk(void *ctx, long chunk) {
    const fd_activation_args *g = ctx;
    const long begin = chunk * CHUNK, n = FD_MIN(CHUNK, g->n - begin);
    const float *x = g->x + begin;
    float *y = g->y + begin;
    const float a = g->a, b = g->b;
    switch (g->kind) {
#define LOOP(kind)                                                  \
    case kind:                                                      \
        FOR_ROW(n, ROW_STORE(y, forward(kind, ROW_LOAD(x), a, b))); \
        break;
        KINDS(LOOP)
#undef LOOP
    }
}

static void backward_chunk(void *ctx, long chunk) {
    const fd_activation_backward_args *g = ctx;
    const long begin = chunk * CHUNK, n = FD_MIN(CHUNK, g->n - begin);
    const float *dy = g->dy + begin, *k = g->kept + begin;
    float *dx = g->dx + begin;
    const float a = g->a, b = g->b;
    switch (g->kind) {
#define LOOP(kind)                                                                  \
    case kind:                                                                      \
        FOR_ROW(n, ROW_STORE(dx, backward(kind, ROW_LOAD(dy), ROW_LOAD(k), a, b))); \
        break;
        KINDS(LOOP)
#undef LOOP
    }
}

int FN(fd_activation_f32)(const fd_activation_args *g) {
    fd_run(forward_chunk, (void *)g, (g->n + CHUNK - 1) / CHUNK, (g->kind >= FD_SIGMOID ? 20.0 : 8.0) * (double)g->n);
    return FD_OK;
}

int FN(fd_activation_backward_f32)(const fd_activation_backward_args *g) {
    fd_run(backward_chunk, (void *)g, (g->n + CHUNK - 1) / CHUNK, (g->kind >= FD_SILU ? 24.0 : 12.0) * (double)g->n);
    return FD_OK;
}

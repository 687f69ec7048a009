/* LSTM over lines of cells: Row LSTM and Diagonal BiLSTM of PixelRNN.
 *
 * Idea: images of a batch are independent, so each runs through all its steps by itself, its line of states in L1. The state lies
 * in a padded buffer, where the K neighbours of a cell are contiguous: the convolution is one matrix product whose rows overlap
 * (row stride H, length K H), on weights packed once a call. The gates follow while their rows are hot.
 */
#include "kernels/gemm.h"
#include "kernels/recurrent.h"

typedef struct {
    const fd_conv_lstm_args *g;
    float *packed; /* the weights as panels */
    float *work;   /* a block a chunk */
    long size;     /* floats in a block */
} job;

static float *pack(const float *w, long K, long N) {
    float *packed = fd_pool_get(fd_packed_size(K, N) * sizeof(float));
    if (!packed) return NULL;
    for (long n = 0; n < N; n += FD_NR)
        FN(fd_pack_panel)(w, N, 1, K, n, FD_MIN(FD_NR, N - n), fd_panel_vectors(n, N), packed + n * K);
    return packed;
}

static void forward_image(void *ctx, long b) {
    const job *t = ctx;
    const fd_conv_lstm_args *g = t->g;
    const long R = g->R, H = g->H, K = g->K;
    float *state = t->work + b * t->size; /* (R + K - 1, H) */
    memset(state, 0, (size_t)((R + K - 1) * H) * sizeof(float));
    for (long s = 0; s < g->S; s++) {
        const long at = (s * g->B + b) * R;
        float *gates = g->gates + at * 4 * H;
        if (s) {
            const fd_gemm_packed_args m = {.M = R,
                                           .N = 4 * H,
                                           .K = K * H,
                                           .a = state,
                                           .a_row = H,
                                           .a_col = 1,
                                           .packed = t->packed,
                                           .c = gates,
                                           .c_row = 4 * H,
                                           .accumulate = 1};
            FN(fd_gemm_packed)(&m);
        }
        const float *before = s ? g->cells + (at - g->B * R) * H : NULL;
        for (long r = 0; r < R; r++) {
            float *v = gates + r * 4 * H;
            for (long u = 0; u < H; u += VL) {
                const long n = FD_MIN(VL, H - u);
                const vf i = fd_gate_sigmoid(fd_lanes_load(v + u, n)), f = fd_gate_sigmoid(fd_lanes_load(v + H + u, n));
                const vf c_in = fd_gate_tanh(fd_lanes_load(v + 2 * H + u, n)),
                         o = fd_gate_sigmoid(fd_lanes_load(v + 3 * H + u, n));
                vf c = i * c_in;
                if (before) c = vfma(f, fd_lanes_load(before + r * H + u, n), c);
                const vf h = o * fd_gate_tanh(c);
                fd_lanes_store(v + u, i, n);
                fd_lanes_store(v + H + u, f, n);
                fd_lanes_store(v + 2 * H + u, c_in, n);
                fd_lanes_store(v + 3 * H + u, o, n);
                fd_lanes_store(g->cells + (at + r) * H + u, c, n);
                fd_lanes_store(g->y + (at + r) * H + u, h, n);
            }
        }
        memcpy(state + g->left * H, g->y + at * H, (size_t)(R * H) * sizeof(float));
    }
}

static void backward_image(void *ctx, long b) {
    const job *t = ctx;
    const fd_conv_lstm_args *g = t->g;
    const long R = g->R, H = g->H, K = g->K;
    float *dh = t->work + b * t->size, *dc = dh + R * H, *windows = dc + R * H; /* (R, H), (R, H), (R, K H) */
    memset(dh, 0, (size_t)(2 * R * H) * sizeof(float));
    for (long s = g->S - 1; s >= 0; s--) {
        const long at = (s * g->B + b) * R;
        const float *before = s ? g->cells + (at - g->B * R) * H : NULL;
        for (long r = 0; r < R; r++) {
            const float *v = g->gates + (at + r) * 4 * H;
            float *d = g->dgates + (at + r) * 4 * H;
            for (long u = 0; u < H; u += VL) {
                const long n = FD_MIN(VL, H - u), k = r * H + u;
                const vf i = fd_lanes_load(v + u, n), f = fd_lanes_load(v + H + u, n);
                const vf c_in = fd_lanes_load(v + 2 * H + u, n), o = fd_lanes_load(v + 3 * H + u, n);
                const vf tanh_c = fd_gate_tanh(fd_lanes_load(g->cells + at * H + k, n));
                const vf h = fd_lanes_load(dh + k, n) + fd_lanes_load(g->dy + at * H + k, n);
                const vf c = vfma(h * o, 1.0f - tanh_c * tanh_c, fd_lanes_load(dc + k, n));
                fd_lanes_store(d + u, c * c_in * (i - i * i), n);
                fd_lanes_store(d + H + u, before ? c * fd_lanes_load(before + k, n) * (f - f * f) : vzero(), n);
                fd_lanes_store(d + 2 * H + u, c * i * (1.0f - c_in * c_in), n);
                fd_lanes_store(d + 3 * H + u, h * tanh_c * (o - o * o), n);
                fd_lanes_store(dc + k, c * f, n);
            }
        }
        if (!s) break;
        const fd_gemm_packed_args m = {.M = R,
                                       .N = K * H,
                                       .K = 4 * H,
                                       .a = g->dgates + at * 4 * H,
                                       .a_row = 4 * H,
                                       .a_col = 1,
                                       .packed = t->packed,
                                       .c = windows,
                                       .c_row = K * H};
        FN(fd_gemm_packed)(&m);
        memset(dh, 0, (size_t)(R * H) * sizeof(float));
        for (long r = 0; r < R; r++)
            for (long k = 0; k < K; k++) {
                const long q = r - g->left + k;
                if (q < 0 || q >= R) continue;
                float *to = dh + q * H;
                const float *from = windows + (r * K + k) * H;
                for (long u = 0; u < H; u += VL) {
                    const long n = FD_MIN(VL, H - u);
                    fd_lanes_store(to + u, fd_lanes_load(to + u, n) + fd_lanes_load(from + u, n), n);
                }
            }
    }
}

static int run(const fd_conv_lstm_args *g, fd_chunk_fn fn, long K, long N, long size) {
    if (!g->S || !g->B) return FD_OK;
    job t = {.g = g, .size = (size + 15) / 16 * 16};
    t.packed = pack(g->w, K, N);
    t.work = fd_pool_get((size_t)(g->B * t.size) * sizeof(float));
    const int ok = t.packed && t.work;
    if (ok) fd_run(fn, &t, g->B, (double)g->S * (double)g->B * (double)g->R * (double)K * (double)N);
    if (t.packed) fd_pool_put(t.packed);
    if (t.work) fd_pool_put(t.work);
    return ok ? FD_OK : FD_NO_MEMORY;
}

int FN(fd_conv_lstm_f32)(const fd_conv_lstm_args *g) {
    return run(g, forward_image, g->K * g->H, 4 * g->H, (g->R + g->K - 1) * g->H);
}

int FN(fd_conv_lstm_backward_f32)(const fd_conv_lstm_args *g) {
    return run(g, backward_image, 4 * g->H, g->K * g->H, (2 + g->K) * g->R * g->H);
}

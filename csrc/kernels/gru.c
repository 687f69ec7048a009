/* GRU: gates and state update of one block of units, right after the product while its tile is in L1.
 *
 * The candidate is n = tanh(x W_in^T + b_in + r (h W_hn^T + b_hn)): its recurrent part is kept in `cells` for backward.
 * Backward keeps four gradients a row, in the order n r z hn: the first three belong to x W_ih^T, the last three to h W_hh^T.
 */
#include "kernels/recurrent.h"
#include "ukr/tile.h"

FD_INLINE void forward_rows(const fd_recurrent_args *g, const fd_step *s, long row, long rows, long unit, const float *sums,
                            long m) {
    const long H = g->H;
    const vf b_hn = g->b_hh ? fd_lanes_load(g->b_hh + 2 * H + unit, m) : vzero();
    for (long b = row; b < row + rows; b++, sums += 3 * VL) {
        float *gate = g->gates + (s->t * g->B + b) * 3 * H + unit;
        const long at = b * H + unit, now = s->t * g->B * H + at;
        const vf r = fd_gate_sigmoid(fd_lanes_load(gate, m) + vload(sums));
        const vf z = fd_gate_sigmoid(fd_lanes_load(gate + H, m) + vload(sums + VL));
        const vf hn = vload(sums + 2 * VL) + b_hn;
        const vf n = fd_gate_tanh(vfma(r, hn, fd_lanes_load(gate + 2 * H, m)));
        fd_lanes_store(gate, r, m);
        fd_lanes_store(gate + H, z, m);
        fd_lanes_store(gate + 2 * H, n, m);
        fd_lanes_store(g->cells + now, hn, m);
        fd_lanes_store(g->y + now, vfma(z, fd_lanes_load(s->h_prev + at, m) - n, n), m);
    }
}

static void forward(const fd_recurrent_args *g, const fd_step *s, long row, long rows, long unit, const float *sums) {
    const long m = g->H - unit;
    if (m >= VL)
        forward_rows(g, s, row, rows, unit, sums, VL);
    else
        forward_rows(g, s, row, rows, unit, sums, m);
}

FD_INLINE void backward_rows(const fd_recurrent_args *g, const fd_step *s, long row, long rows, long unit, const float *sums,
                             long m) {
    const long H = g->H;
    for (long b = row; b < row + rows; b++, sums += FD_NR) {
        const float *gate = g->gates + (s->t * g->B + b) * 3 * H + unit;
        const long at = b * H + unit, now = s->t * g->B * H + at;
        float *d = s->dgates + b * s->ld + unit, *dh_carried = g->dh0 + at;
        const vf r = fd_lanes_load(gate, m), z = fd_lanes_load(gate + H, m), n = fd_lanes_load(gate + 2 * H, m);
        const vf hn = fd_lanes_load(g->cells + now, m);
        const vf dh = fd_lanes_load(g->dy + now, m) + fd_lanes_load(dh_carried, m) + vload(sums);
        const vf dn = dh * (1.0f - z) * (1.0f - n * n);
        fd_lanes_store(d, dn, m);
        fd_lanes_store(d + H, dn * hn * r * (1.0f - r), m);
        fd_lanes_store(d + 2 * H, dh * (fd_lanes_load(s->h_prev + at, m) - n) * z * (1.0f - z), m);
        fd_lanes_store(d + 3 * H, dn * r, m);
        fd_lanes_store(dh_carried, dh * z, m);
    }
}

static void backward(const fd_recurrent_args *g, const fd_step *s, long row, long rows, long unit, long width,
                     const float *sums) {
    for (; width >= VL; width -= VL, unit += VL, sums += VL) backward_rows(g, s, row, rows, unit, sums, VL);
    if (width > 0) backward_rows(g, s, row, rows, unit, sums, width);
}

static const fd_cell cell = {.gates = 3, .vectors = 1, .dgates = 4, .carries_dh = 1, .forward = forward, .backward = backward};

int FN(fd_gru_f32)(const fd_gru_args *g) { return FN(fd_recurrent_forward)(&cell, g); }

int FN(fd_gru_backward_f32)(const fd_gru_backward_args *g) {
    memset(g->dh0, 0, (size_t)(g->B * g->H) * sizeof(float));
    return FN(fd_recurrent_backward)(&cell, g);
}

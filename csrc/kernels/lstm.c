/* LSTM: gates and cell update of one block of units, right after the product while its tile is in L1. */
#include "kernels/recurrent.h"
#include "ukr/tile.h"

FD_INLINE void forward_rows(const fd_recurrent_args *g, const fd_step *s, long row, long rows, long unit, const float *sums,
                            long n) {
    const long H = g->H;
    for (long b = row; b < row + rows; b++, sums += 4 * VL) {
        float *gate = g->gates + (s->t * g->B + b) * 4 * H + unit;
        const long at = b * H + unit, now = s->t * g->B * H + at;
        const vf i = fd_gate_sigmoid(fd_lanes_load(gate, n) + vload(sums));
        const vf f = fd_gate_sigmoid(fd_lanes_load(gate + H, n) + vload(sums + VL));
        const vf c_in = fd_gate_tanh(fd_lanes_load(gate + 2 * H, n) + vload(sums + 2 * VL));
        const vf o = fd_gate_sigmoid(fd_lanes_load(gate + 3 * H, n) + vload(sums + 3 * VL));
        const vf c = vfma(f, fd_lanes_load(s->c_prev + at, n), i * c_in);
        fd_lanes_store(gate, i, n);
        fd_lanes_store(gate + H, f, n);
        fd_lanes_store(gate + 2 * H, c_in, n);
        fd_lanes_store(gate + 3 * H, o, n);
        fd_lanes_store(g->cells + now, c, n);
        fd_lanes_store(g->y + now, o * fd_gate_tanh(c), n);
    }
}

static void forward(const fd_recurrent_args *g, const fd_step *s, long row, long rows, long unit, const float *sums) {
    const long n = g->H - unit;
    if (n >= VL)
        forward_rows(g, s, row, rows, unit, sums, VL);
    else
        forward_rows(g, s, row, rows, unit, sums, n);
}

FD_INLINE void backward_rows(const fd_recurrent_args *g, const fd_step *s, long row, long rows, long unit, const float *sums,
                             long n) {
    const long H = g->H;
    for (long b = row; b < row + rows; b++, sums += FD_NR) {
        const float *gate = g->gates + (s->t * g->B + b) * 4 * H + unit;
        const long at = b * H + unit, now = s->t * g->B * H + at;
        float *d = s->dgates + b * s->ld + unit, *dc_carried = g->dc0 + at;
        const vf i = fd_lanes_load(gate, n), f = fd_lanes_load(gate + H, n);
        const vf c_in = fd_lanes_load(gate + 2 * H, n), o = fd_lanes_load(gate + 3 * H, n);
        const vf c = fd_gate_tanh(fd_lanes_load(g->cells + now, n));
        const vf dh = fd_lanes_load(g->dy + now, n) + vload(sums);
        const vf dc = fd_lanes_load(dc_carried, n) + dh * o * (1.0f - c * c);
        fd_lanes_store(d, dc * c_in * i * (1.0f - i), n);
        fd_lanes_store(d + H, dc * fd_lanes_load(s->c_prev + at, n) * f * (1.0f - f), n);
        fd_lanes_store(d + 2 * H, dc * i * (1.0f - c_in * c_in), n);
        fd_lanes_store(d + 3 * H, dh * c * o * (1.0f - o), n);
        fd_lanes_store(dc_carried, dc * f, n);
    }
}

static void backward(const fd_recurrent_args *g, const fd_step *s, long row, long rows, long unit, long width,
                     const float *sums) {
    for (; width >= VL; width -= VL, unit += VL, sums += VL) backward_rows(g, s, row, rows, unit, sums, VL);
    if (width > 0) backward_rows(g, s, row, rows, unit, sums, width);
}

static const fd_cell cell = {.gates = 4, .vectors = 1, .dgates = 4, .has_cells = 1, .forward = forward, .backward = backward};

int FN(fd_lstm_f32)(const fd_lstm_args *g) { return FN(fd_recurrent_forward)(&cell, g); }

int FN(fd_lstm_backward_f32)(const fd_lstm_backward_args *g) {
    memcpy(g->dc0, g->dcT, (size_t)(g->B * g->H) * sizeof(float));
    return FN(fd_recurrent_backward)(&cell, g);
}

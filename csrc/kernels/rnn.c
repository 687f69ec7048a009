/* The plain RNN, h = tanh or relu of the sum: FD_NV vectors of units at a time. */
#include "kernels/recurrent.h"
#include "ukr/tile.h"

static void forward(const fd_recurrent_args *g, const fd_step *s, long row, long rows, long unit, const float *sums) {
    const long end = FD_MIN(g->H, unit + FD_NR);
    for (long b = row; b < row + rows; b++, sums += FD_NR) {
        float *y = g->y + (s->t * g->B + b) * g->H;
        for (long u = unit; u < end; u += VL) {
            const long n = FD_MIN(VL, end - u);
            const vf v = vload_n(y + u, n) + vload(sums + u - unit);
            vstore_n(y + u, g->relu ? vmax(vzero(), v) : fd_gate_tanh(v), n);
        }
    }
}

static void backward(const fd_recurrent_args *g, const fd_step *s, long row, long rows, long unit, long width,
                     const float *sums) {
    for (long b = row; b < row + rows; b++, sums += FD_NR) {
        const long at = (s->t * g->B + b) * g->H + unit;
        for (long u = 0; u < width; u += VL) {
            const long n = FD_MIN(VL, width - u);
            const vf y = vload_n(g->y + at + u, n), dh = vload_n(g->dy + at + u, n) + vload(sums + u);
            const vf d = g->relu ? vselect(y > vzero(), dh, vzero()) : dh * (1.0f - y * y);
            vstore_n(s->dgates + b * s->ld + unit + u, d, n);
        }
    }
}

static const fd_cell cell = {.gates = 1, .vectors = FD_NV, .dgates = 1, .forward = forward, .backward = backward};

int FN(fd_rnn_f32)(const fd_rnn_args *g) { return FN(fd_recurrent_forward)(&cell, g); }
int FN(fd_rnn_backward_f32)(const fd_rnn_backward_args *g) { return FN(fd_recurrent_backward)(&cell, g); }

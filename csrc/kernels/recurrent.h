/* What the LSTM, the GRU and the plain RNN share: the loop over time, and their gate functions.
 *
 * A cell says how many gates it has and what happens to one block of units once h_{t-1} W_hh^T (backward: dgates_{t+1} W_hh) is
 * known; recurrent.c does the rest.
 */
#ifndef FD_KERNELS_RECURRENT_H
#define FD_KERNELS_RECURRENT_H

#include "fastdl.h"
#include "simd/simd.h"

/* one step of one sequence */
typedef struct {
    long t;
    const float *h_prev, *c_prev; /* (B, H): those of the step before, or h0 and c0; c_prev only where the cell has cells */
    float *dgates;                /* backward: (B, ld) of time t */
    long ld;
} fd_step;

typedef struct {
    long gates;     /* G */
    long vectors;   /* a block is this many vectors of units: FD_NV / G or 1 */
    long dgates;    /* backward keeps dgates * H numbers a row: the gradients of x W_ih^T first, those of h W_hh^T last */
    int has_cells;  /* cells[t-1] is the state that c_prev points to */
    int carries_dh; /* backward keeps a part of dh_{t-1} in dh0 */

    /* rows [row, row + rows) of the batch, units [unit, unit + vectors * VL) as far as there are.
     * sums (rows, G * vectors * VL) = h_{t-1} W_hh^T, gate after gate. Writes y, gates, cells of time t. */
    void (*forward)(const fd_recurrent_args *g, const fd_step *s, long row, long rows, long unit, const float *sums);

    /* The same rows, units [unit, unit + width). sums (rows, FD_NR) = what step t+1 adds to dh_t, or dhT.
     * Writes dgates; carries dc_t in dc0 (LSTM) and (1 - z) dh's other part in dh0 (GRU). */
    void (*backward)(const fd_recurrent_args *g, const fd_step *s, long row, long rows, long unit, long width,
                     const float *sums);
} fd_cell;

int FN(fd_recurrent_forward)(const fd_cell *cell, const fd_recurrent_args *g);
int FN(fd_recurrent_backward)(const fd_cell *cell, const fd_recurrent_args *g);

/* --- gate functions ------------------------------------------------------------------------------------------------
 * Cheaper than simd/math.h's, because a gate saturates: the argument is clamped where the result no longer moves, so nothing
 * overflows and one division is all that is left. Errors: sigmoid 3 ulp (never below 1e-38), tanh 4 ulp. A NaN comes through. */

/* 2^n and e^r - 1 of x = n ln 2 + r, |r| <= ln 2 / 2, |x| <= 87 */
FD_INLINE vf fd_gate_reduce(vf x, vf *scale) {
    const vf magic = vset1(12582912.0f); /* 1.5 * 2^23: adding it rounds to the nearest integer */
    const vf shifted = vfma(x, vset1(1.44269504f), magic);
    const vf r = vfma(shifted - magic, vset1(-0.693147181f), x);
    *scale = vbits((vibits(shifted) << 23) + 0x3f800000);
    vf p = vset1(0.0013946552f);
    p = vfma(p, r, vset1(0.0083666428f));
    p = vfma(p, r, vset1(0.0416662807f));
    p = vfma(p, r, vset1(0.1666654256f));
    p = vfma(p, r, vset1(0.5f));
    return vfma(p * r, r, r);
}

FD_INLINE vf fd_gate_sigmoid(vf x) {
    vf scale;
    const vf e = fd_gate_reduce(vmin(vset1(87.0f), vmax(vset1(-87.0f), -x)), &scale);
    return 1.0f / (1.0f + vfma(e, scale, scale));
}

/* (e^2x - 1) / (e^2x + 1), with the numerator free of cancellation */
FD_INLINE vf fd_gate_tanh(vf x) {
    vf scale;
    vf e = fd_gate_reduce(vmin(vset1(20.0f), vmax(vset1(-20.0f), x + x)), &scale);
    e = vfma(e, scale, scale - 1.0f);
    return e / (e + 2.0f);
}

/* the first n lanes of a row; n == VL, where it is a constant, compiles to a plain load or store */
FD_INLINE vf fd_lanes_load(const float *p, long n) { return n == VL ? vload(p) : vload_n(p, n); }
FD_INLINE void fd_lanes_store(float *p, vf v, long n) {
    if (n == VL)
        vstore(p, v);
    else
        vstore_n(p, v, n);
}

#endif

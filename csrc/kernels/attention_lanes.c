/* Attention of a head whose rows fit the lanes of one panel (T <= FD_NR): a row is a lane, a key a step.
 *
 * Idea: scores are computed transposed, s[j][t] = <k[j], q[t]>, with Q transposed into a panel instead of K. Largest scores, sums and
 * delta are then plain vector operations over the keys, without a reduction across lanes or a loop over rows, and a whole head
 * stays in L1. Under a causal mask key j needs the vectors from its own on only.
 * Short sequences are many heads of little work each: what is saved is everything around the products.
 */
#include "kernels/attention.h"

size_t FN(fd_attend_lanes_size)(const fd_attention_args *g, int backward) {
    const long width = padded(g->T), weights = g->S * width, q_panel = g->D * width, values = g->S * padded(g->DV);
    if (!backward) return (size_t)(weights + q_panel + values);
    const long k_rows = g->S * padded(g->D), q_rows = g->T * padded(g->D), dout_rows = g->T * padded(g->DV);
    return (size_t)(2 * weights + q_panel + g->DV * width + k_rows + q_rows + dout_rows);
}

/* Rows of an operand for the right side of a product: in place, or copied to *at, which moves on. */
static rows_of as_rows(const float *x, long stride, long rows, long n, float **at) {
    if (in_place(n, stride)) return (rows_of){x, stride};
    const rows_of copy = {*at, padded(n)};
    copy_rows(x, stride, rows, n, *at);
    *at += rows * padded(n);
    return copy;
}

/* s[j][t] = <k[j], x[t]>; under a causal mask only of vectors with a t >= j. x: panel of the transposed rows. */
static void scores_of_keys(const fd_attention_args *g, const float *k, long k_row, long D, const float *x, float *s) {
    const float *ap[FD_MR_MAX];
    float *cp[FD_MR_MAX];
    const long vectors = padded(g->T) / VL;
    fd_tile t = {.a = ap, .as = 1, .k = D, .taps = 1, .ldb = vectors * VL, .c = cp, .near = 1};
    for (long j = 0, keys; j < g->S; j += keys) {
        const long v0 = g->causal ? j / VL : 0, nv = vectors - v0;
        if (nv <= 0) break;
        keys = fd_next_rows(g->S - j, fd_tile_rows(nv));
        for (long r = 0; r < keys; r++) {
            ap[r] = k + (j + r) * k_row;
            cp[r] = s + (j + r) * vectors * VL + v0 * VL;
        }
        t.b = x + v0 * VL;
        t.n = nv * VL;
        fd_tile_kernel(nv, keys)(&t);
    }
}

/* Keys that a row of vector v attends to, and those that all of its rows attend to. */
FD_INLINE long keys_of(const fd_attention_args *g, long v) { return g->causal ? FD_MIN(g->S, (v + 1) * VL) : g->S; }
FD_INLINE long keys_of_all(const fd_attention_args *g, long v) { return g->causal ? FD_MIN(g->S, v * VL + 1) : g->S; }
/* lanes of vector v whose rows attend to key j */
FD_INLINE vi attending(long v, long j) { return viota() >= (int32_t)(j - v * VL); }

/* Products read a little beyond the diagonal: see weighted_sums. */
static void clear_beyond(const fd_attention_args *g, long v, long width, float *s) {
    for (long j = keys_of(g, v); j < FD_MIN(g->S, keys_of(g, v) + FD_MR_MAX); j++) vstore(s + j * width, vzero());
}

/* Vector v's scores become weights that add up to 1; returns the logarithm of what they were divided by. */
static vf normalise(const fd_attention_args *g, long v, long width, float *s) {
    const long keys = keys_of(g, v), all = keys_of_all(g, v);
    const vf factor = vset1(g->scale * LOG2E);
    vf a = vset1(-INFINITY), b = a;
    long j = 0;
    for (; j + 2 <= all; j += 2) {
        a = vmax(a, vload(s + j * width));
        b = vmax(b, vload(s + (j + 1) * width));
    }
    for (; j < keys; j++) a = vmax(a, vselect(attending(v, j), vload(s + j * width), vset1(-INFINITY)));
    const vf m = vmax(a, b) * factor, shift = vselect(m == vset1(-INFINITY), vzero(), m);
    vf sum = vzero();
    for (j = 0; j < all; j++) {
        const vf p = weight(vfma(vload(s + j * width), factor, -shift));
        vstore(s + j * width, p);
        sum += p;
    }
    for (; j < keys; j++) {
        const vf p = vselect(attending(v, j), weight(vfma(vload(s + j * width), factor, -shift)), vzero());
        vstore(s + j * width, p);
        sum += p;
    }
    const vi nothing = sum == vzero(); /* attended to */
    const vf share = vselect(nothing, vzero(), 1.0f / sum);
    for (j = 0; j < keys; j++) vstore(s + j * width, vload(s + j * width) * share);
    return vselect(nothing, vset1(-INFINITY), (m + vlog(sum) * LOG2E) * LN2);
}

void FN(fd_attend_lanes)(const fd_attention_args *g, long index, float *buffer) {
    const long b = index / g->H, h = index % g->H, width = padded(g->T);
    float *s = buffer, *q_panel = s + g->S * width, *at = q_panel + g->D * width;
    FN(fd_pack_panel)(g->q + b * g->q_b + h * g->q_h, 1, g->q_t, g->D, 0, g->T, width / VL, q_panel);
    const rows_of values = as_rows(g->v + b * g->v_b + h * g->v_h, g->v_s, g->S, g->DV, &at);
    scores_of_keys(g, g->k + b * g->k_b + h * g->k_h, g->k_s, g->D, q_panel, s);
    for (long v = 0; v * VL < g->T; v++) {
        vstore_n(g->lse + index * g->T + v * VL, normalise(g, v, width, s + v * VL), FD_MIN(VL, g->T - v * VL));
        if (g->causal) clear_beyond(g, v, width, s + v * VL);
    }
    weighted_sums((weights_of){s, 1, width}, g->T, g->S, UP_TO_DIAGONAL, g->causal ? 0 : NO_DIAGONAL, values, g->DV,
                  g->out + b * g->o_b + h * g->o_h, g->o_t, 0);
}

/* Vector v's scores become weights, and dp becomes ds = scale p (dp - delta). */
static void differentiate(const fd_attention_args *g, long v, vf row_lse, vf delta, long width, float *s, float *dp) {
    const long keys = keys_of(g, v), all = keys_of_all(g, v);
    const vf factor = vset1(g->scale * LOG2E), scale = vset1(g->scale);
    const vf shift = vselect(row_lse == vset1(-INFINITY), vset1(-INFINITY), row_lse * -LOG2E); /* -inf: attends to nothing */
    long j = 0;
    for (; j < all; j++) {
        const vf p = weight(vfma(vload(s + j * width), factor, shift));
        vstore(s + j * width, p);
        vstore(dp + j * width, p * scale * (vload(dp + j * width) - delta));
    }
    for (; j < keys; j++) {
        const vi lanes = attending(v, j);
        const vf p = weight(vfma(vload(s + j * width), factor, shift)), ds = p * scale * (vload(dp + j * width) - delta);
        vstore(s + j * width, vselect(lanes, p, vzero()));
        vstore(dp + j * width, vselect(lanes, ds, vzero()));
    }
}

void FN(fd_attend_lanes_backward)(const fd_attention_backward_args *a, long index, float *buffer) {
    const fd_attention_args *g = &a->f;
    const long b = index / g->H, h = index % g->H, width = padded(g->T), diagonal = g->causal ? 0 : NO_DIAGONAL;
    const float *q = g->q + b * g->q_b + h * g->q_h, *k = g->k + b * g->k_b + h * g->k_h, *v = g->v + b * g->v_b + h * g->v_h;
    const float *dout = a->dout + b * a->do_b + h * a->do_h;
    float *s = buffer, *dp = s + g->S * width, *q_panel = dp + g->S * width, *dout_panel = q_panel + g->D * width;
    float *at = dout_panel + g->DV * width;
    FN(fd_pack_panel)(q, 1, g->q_t, g->D, 0, g->T, width / VL, q_panel);
    FN(fd_pack_panel)(dout, 1, a->do_t, g->DV, 0, g->T, width / VL, dout_panel);
    const rows_of q_rows = as_rows(q, g->q_t, g->T, g->D, &at), k_rows = as_rows(k, g->k_s, g->S, g->D, &at);
    const rows_of dout_rows = as_rows(dout, a->do_t, g->T, g->DV, &at);
    scores_of_keys(g, k, g->k_s, g->D, q_panel, s);
    scores_of_keys(g, v, g->v_s, g->DV, dout_panel, dp);
    float delta[FD_NR];
    row_dots(dout, a->do_t, g->out + b * g->o_b + h * g->o_h, g->o_t, g->T, g->DV, delta);
    for (long i = 0; i * VL < g->T; i++) {
        const long rows = FD_MIN(VL, g->T - i * VL);
        const vf lse = vload_n(g->lse + index * g->T + i * VL, rows);
        differentiate(g, i, lse, vload_n(delta + i * VL, rows), width, s + i * VL, dp + i * VL);
        if (!g->causal) continue;
        clear_beyond(g, i, width, s + i * VL);
        clear_beyond(g, i, width, dp + i * VL);
    }
    const weights_of p_t = {s, width, 1}, ds_t = {dp, width, 1}, ds = {dp, 1, width};
    weighted_sums(p_t, g->S, g->T, FROM_DIAGONAL, diagonal, dout_rows, g->DV, a->dv + b * a->dv_b + h * a->dv_h, a->dv_s, 0);
    weighted_sums(ds_t, g->S, g->T, FROM_DIAGONAL, diagonal, q_rows, g->D, a->dk + b * a->dk_b + h * a->dk_h, a->dk_s, 0);
    weighted_sums(ds, g->T, g->S, UP_TO_DIAGONAL, diagonal, k_rows, g->D, a->dq + b * a->dq_b + h * a->dq_h, a->dq_t, 0);
}

/* What the forward and the backward driver of attention share: which keys a row attends to, and weights.
 *
 * Logarithms are to base 2 inside: 2^x needs no range reduction by ln 2. The scale takes log2(e) along.
 */
#ifndef FD_KERNELS_ATTENTION_H
#define FD_KERNELS_ATTENTION_H

#include "kernels/gemm.h"
#include "simd/math.h"
#include "simd/philox.h"

#define LOG2E 1.44269504088896341f
#define LN2 0.69314718055994531f
#define FEW_ROWS 4 /* up to here packing costs more than it saves */

/* 2^x for x <= 1; exactly 0 below -127; a NaN comes through. Relative error 1.7e-7, root mean square 7e-8. */
FD_INLINE vf weight(vf x) {
    const vf c = vmax(vset1(-127.0f), x), n = vround(c), r = c - n;
    vf p = vset1(1.32647272e-3f);
    p = vfma(p, r, vset1(9.67151264e-3f));
    p = vfma(p, r, vset1(5.55073374e-2f));
    p = vfma(p, r, vset1(2.40222421e-1f));
    p = vfma(p, r, vset1(6.93146978e-1f));
    p = vfma(p, r, vset1(1.0f));
#if VL == 16
    return vldexp(p, n); /* one instruction */
#else
    return p * vpow2i(vtoint(n)); /* n = -127 has the exponent bits of 0 */
#endif
}

/* lanes of the vector that starts at column c which lie before column n */
FD_INLINE vi before(long n, long c) { return viota() < (int32_t)FD_MAX(FD_MIN(n - c, VL), 0); }

/* One row of the mask from key j0 on. */
typedef struct {
    int kind;
    const uint8_t *attend;
    const float *add;
    long stride;
} mask_row;

FD_INLINE mask_row mask_at(const fd_attention_args *g, long b, long h, long t, long j0) {
    long offset = b * g->m_b + h * g->m_h + t * g->m_t + j0 * g->m_s;
    return (mask_row){.kind = g->mask_kind,
                      .attend = (const uint8_t *)g->mask + offset,
                      .add = (const float *)g->mask + offset,
                      .stride = g->m_s};
}

/* x plus the mask of keys c .. c + VL - 1 (only `lanes` of them exist), -inf where the row does not attend */
FD_INLINE vf masked(vf x, const mask_row *m, long c, long lanes) {
    lanes = FD_MIN(lanes, VL);
    if (m->kind == FD_MASK_ADD) {
        const float *p = m->add + c * m->stride;
        vf a = vzero();
        if (m->stride == 0)
            a = vset1(*p);
        else if (m->stride == 1)
            a = vload_n(p, lanes);
        else
            for (long i = 0; i < lanes; i++) a[i] = p[i * m->stride];
        return vfma(a, vset1(LOG2E), x);
    }
    const uint8_t *p = m->attend + c * m->stride;
    uint8_t bytes[VL];
    if (m->stride == 1 && lanes == VL) {
        memcpy(bytes, p, VL);
    } else {
        for (long i = 0; i < VL; i++) bytes[i] = i < lanes ? p[i * m->stride] : 0;
    }
    typedef uint8_t vb __attribute__((vector_size(VL)));
    vb v;
    memcpy(&v, bytes, VL);
    vi attend = __builtin_convertvector(v, vi) != 0;
    return vselect(attend, x, vset1(-INFINITY));
}

/* Rows of a matrix as the B operand of a product: read where they lie, or copied to have whole vectors. */
typedef struct {
    const float *p;
    long stride;
} rows_of;

/* Can a tile read B's rows, n floats long, in place? It reads whole vectors and tells the last row by its address. */
FD_INLINE int in_place(long n, long stride) { return n % VL == 0 && stride != 0; }

FD_INLINE long padded(long n) { return (n + VL - 1) / VL * VL; }

static void copy_rows(const float *x, long stride, long rows, long n, float *to) {
    for (long i = 0; i < rows; i++, x += stride, to += padded(n))
        for (long c = 0; c < n; c += VL) vstore(to + c, n - c >= VL ? vload(x + c) : vload_n(x + c, n - c));
}

/* Rows x columns of B as panels of B transposed: the product with them gives scores. */
static void pack_transposed(const float *x, long stride, long rows, long n, float *panels) {
    for (long c = 0; c < rows; c += FD_NR)
        FN(fd_pack_panel)(x, 1, stride, n, c, FD_MIN(FD_NR, rows - c), fd_panel_vectors(c, rows), panels + c * n);
}

/* The three products, whose results are in cache where they have been written before. Row i of a block attends to its keys j <= i + diagonal (a large number if not causal); what lies
 * beyond is skipped: tile by tile, keys in whole vectors where they are columns. */
#define NO_DIAGONAL (1L << 40)

/* how many of `keys` row i attends to */
FD_INLINE long attended(long keys, long i, long diagonal) { return FD_MAX(0, FD_MIN(keys, i + 1 + diagonal)); }

/* s[i][j] = <a[i], key j>, i < rows, j < keys; packed: the keys' transposed panels; s has stride lds */
static void scores(const float *a, long a_row, long D, const float *packed, long rows, long keys, long diagonal, float *s,
                   long lds) {
    const float *ap[FD_MR_MAX];
    float *cp[FD_MR_MAX];
    for (long n = 0; n < keys; n += FD_NR) {
        const long nv = fd_panel_vectors(n, keys), most = fd_tile_rows(nv);
        fd_tile t = {
            .a = ap, .as = 1, .k = D, .taps = 1, .b = packed + n * D, .ldb = nv * VL, .c = cp, .n = nv * VL, .near = 1};
        for (long i = 0; i < rows;) {
            const long mr = fd_next_rows(rows - i, most), limit = FD_MIN(keys, i + mr + diagonal) - n;
            const long used = FD_MIN(nv, (limit + VL - 1) / VL);
            if (limit > 0) {
                for (long r = 0; r < mr; r++) {
                    ap[r] = a + (i + r) * a_row;
                    cp[r] = s + (i + r) * lds + n;
                }
                t.n = used * VL;
                fd_tile_kernel(used, mr)(&t);
            }
            i += mr;
        }
    }
}

/* dots[i] = <a[i], b[i]>, i < rows, n floats each. The sums across lanes of VL rows are taken together. */
static __attribute__((noinline)) void row_dots(const float *a, long a_row, const float *b, long b_row, long rows, long n,
                                               float *dots) {
    for (long i = 0; i < rows; i += VL) {
        const long m = FD_MIN(VL, rows - i);
        vf sums[VL];
        for (long r = 0; r < VL; r++) {
            sums[r] = vzero();
            if (r >= m) continue;
            const float *x = a + (i + r) * a_row, *y = b + (i + r) * b_row;
            for (long c = 0; c < n; c += VL)
                sums[r] = n - c >= VL ? vfma(vload(x + c), vload(y + c), sums[r])
                                      : vfma(vload_n(x + c, n - c), vload_n(y + c, n - c), sums[r]);
        }
        vstore_n(dots + i, vsum_rows(sums), m);
    }
}

/* Weights as the A operand: weight (i, k) at p[i * i_step + k * k_step]. */
typedef struct {
    const float *p;
    long i_step, k_step;
} weights_of;

/* Which k take part in result i. */
enum { UP_TO_DIAGONAL, FROM_DIAGONAL }; /* k <= i + diagonal; i <= k + diagonal */

/* c[i] (+)= sum_k w(i, k) b[k], i < n_i, k < n_k. Weights up to FD_MR_MAX beyond the diagonal are read and must be 0. */
static void weighted_sums(weights_of w, long n_i, long n_k, int clip, long diagonal, rows_of b, long N, float *c, long c_row,
                          int accumulate) {
    const float *ap[FD_MR_MAX];
    float *cp[FD_MR_MAX];
    for (long n = 0; n < N; n += FD_NR) {
        const long nv = fd_panel_vectors(n, N), most = fd_tile_rows(nv);
        fd_tile t = {.a = ap, .as = w.k_step, .taps = 1, .ldb = b.stride, .c = cp, .n = N - n, .accumulate = accumulate};
        t.near = accumulate;
        for (long i = 0; i < n_i;) {
            const long mr = fd_next_rows(n_i - i, most);
            const long first = clip == FROM_DIAGONAL ? FD_MIN(n_k, FD_MAX(0, i - diagonal)) : 0;
            const long end = clip == UP_TO_DIAGONAL ? FD_MAX(0, FD_MIN(n_k, i + mr + diagonal)) : n_k;
            t.k = end - first;
            t.b = b.p + first * b.stride + n;
            if (t.k || !accumulate) {
                for (long r = 0; r < mr; r++) {
                    ap[r] = w.p + (i + r) * w.i_step + first * w.k_step;
                    cp[r] = c + (i + r) * c_row + n;
                }
                fd_tile_kernel(nv, mr)(&t);
            }
            i += mr;
        }
    }
}

/* attention_lanes.c: a head, number `index`, of few rows; `buffer` has so many floats. */
#define LANES_KEYS 256 /* more keys do not fit L1 */
FD_INLINE int fits_lanes(const fd_attention_args *g) {
    return g->T > FEW_ROWS && g->T <= FD_NR && g->S > 0 && g->S <= LANES_KEYS && !g->mask_kind && !g->dropout && g->scale >= 0;
}
size_t FN(fd_attend_lanes_size)(const fd_attention_args *g, int backward);
void FN(fd_attend_lanes)(const fd_attention_args *g, long index, float *buffer);
void FN(fd_attend_lanes_backward)(const fd_attention_backward_args *a, long index, float *buffer);

#endif

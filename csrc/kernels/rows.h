/* Loops along one contiguous row, with four accumulators; sums of long rows go through float64 every ROW_BLOCK terms. */
#ifndef FD_ROWS_H
#define FD_ROWS_H

#include "simd/simd.h"

#define ROW_BLOCK 4096

/* for each vector of n floats: the statement, with `j` (its first element) and `lanes` and `full`; the last may be partial */
#define FOR_ROW(n, ...)                                 \
    do {                                                \
        long j = 0;                                     \
        {                                               \
            enum { full = 1 };                          \
            const long lanes = VL;                      \
            for (; j + VL <= (n); j += VL) __VA_ARGS__; \
            (void)lanes;                                \
        }                                               \
        if (j < (n)) {                                  \
            enum { full = 0 };                          \
            const long lanes = (n) - j;                 \
            __VA_ARGS__;                                \
        }                                               \
    } while (0)

#define ROW_LOAD(p) (full ? vload((p) + j) : vload_n((p) + j, lanes))
#define ROW_STORE(p, v)                  \
    do {                                 \
        if (full)                        \
            vstore((p) + j, v);          \
        else                             \
            vstore_n((p) + j, v, lanes); \
    } while (0)

/* v in the lanes that are there, `other` in the rest */
FD_INLINE vf vkeep(vf v, long lanes, float other) { return vselect(viota() < viset1((int32_t)lanes), v, vset1(other)); }

/* max of x[0..n), -inf for n = 0; NaN is ignored */
FD_INLINE float row_max(const float *x, long n) {
    vf m[4];
    FD_UNROLL
    for (int i = 0; i < 4; i++) m[i] = vset1(-INFINITY);
    long j = 0;
    for (; j + 4 * VL <= n; j += 4 * VL) {
        FD_UNROLL
        for (int i = 0; i < 4; i++) m[i] = vmax(vload(x + j + i * VL), m[i]);
    }
    for (; j + VL <= n; j += VL) m[0] = vmax(vload(x + j), m[0]);
    if (j < n) m[0] = vmax(vkeep(vload_n(x + j, n - j), n - j, -INFINITY), m[0]);
    return vhmax(vmax(vmax(m[0], m[1]), vmax(m[2], m[3])));
}

#endif

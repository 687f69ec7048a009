/* The register-tile kernels of tile.h, one function for each (vectors, rows).
 *
 * Idea: mr x nv accumulators stay in registers through the whole k loop; each step loads nv vectors of B once and broadcasts mr
 * values of A. 6 x 4 on 32 registers does 24 FMAs for 10 loads, which is at the FMA limit from L1 and L2.
 * The tile of C is prefetched on entry, so that its misses are over when the k loop is. Where C is known to be in cache, that costs
 * 3 % of a short loop, and is left out.
 */
#include "ukr/tile.h"

#define FD_TILE(NVEC, MROWS)                                                                                               \
    static void tile_##NVEC##x##MROWS(const fd_tile *t) {                                                                  \
        vf acc[MROWS][NVEC];                                                                                               \
        if (!t->near) {                                                                                                    \
            FD_UNROLL for (int i = 0; i < MROWS; i++) {                                                                    \
                FD_UNROLL for (int j = 0; j < NVEC; j++) fd_prefetch_write(t->c[i] + j * VL);                              \
            }                                                                                                              \
        }                                                                                                                  \
        if (t->bias && !t->accumulate) {                                                                                   \
            FD_UNROLL for (int j = 0; j < NVEC; j++) {                                                                     \
                vf v = vload(t->bias + j * VL);                                                                            \
                FD_UNROLL for (int i = 0; i < MROWS; i++) acc[i][j] = v;                                                   \
            }                                                                                                              \
        } else {                                                                                                           \
            FD_UNROLL for (int i = 0; i < MROWS; i++) { FD_UNROLL for (int j = 0; j < NVEC; j++) acc[i][j] = vzero(); }    \
        }                                                                                                                  \
        const float *b = t->b;                                                                                             \
        const long ldb = t->ldb, as = t->as, kn = t->k * ldb;                                                              \
        const float *const *a = t->a;                                                                                      \
        for (long tap = 0; tap < t->taps; tap++, a += MROWS) {                                                             \
            const float *row[MROWS];                                                                                       \
            FD_UNROLL for (int i = 0; i < MROWS; i++) row[i] = a[i];                                                       \
            if (t->bs) b = t->bs[tap];                                                                                     \
            long k = 0; /* as may be anything, 0 and negative included */                                                  \
            for (const float *end = b + kn; b != end; b += ldb, k += as) {                                                 \
                vf bv[NVEC];                                                                                               \
                FD_UNROLL for (int j = 0; j < NVEC; j++) bv[j] = MROWS > 1 ? vhold(vload(b + j * VL)) : vload(b + j * VL); \
                FD_UNROLL for (int i = 0; i < MROWS; i++) {                                                                \
                    vf av = vset1(row[i][k]);                                                                              \
                    FD_UNROLL for (int j = 0; j < NVEC; j++) acc[i][j] = vfma(av, bv[j], acc[i][j]);                       \
                }                                                                                                          \
            }                                                                                                              \
        }                                                                                                                  \
        if (t->stream) {                                                                                                   \
            FD_UNROLL for (int i = 0; i < MROWS; i++) {                                                                    \
                FD_UNROLL for (int j = 0; j < NVEC; j++)                                                                   \
                    vstream(t->c[i] + j * VL, t->relu ? vmax(vzero(), acc[i][j]) : acc[i][j]);                             \
            }                                                                                                              \
            return;                                                                                                        \
        }                                                                                                                  \
        FD_UNROLL for (int i = 0; i < MROWS; i++) {                                                                        \
            FD_UNROLL for (int j = 0; j < NVEC; j++) {                                                                     \
                float *c = t->c[i] + j * VL;                                                                               \
                const long lanes = t->n - j * VL; /* columns left from here; may be <= 0 */                                \
                vf v = acc[i][j];                                                                                          \
                if (lanes >= VL) {                                                                                         \
                    if (t->accumulate) v += vload(c);                                                                      \
                    if (t->addend) v += vload(t->addend[i] + j * VL);                                                      \
                    if (t->relu) v = vmax(vzero(), v);                                                                     \
                    vstore(c, v);                                                                                          \
                } else if (lanes > 0) {                                                                                    \
                    if (t->accumulate) v += vload_n(c, lanes);                                                             \
                    if (t->addend) v += vload_n(t->addend[i] + j * VL, lanes);                                             \
                    if (t->relu) v = vmax(vzero(), v);                                                                     \
                    vstore_n(c, v, lanes);                                                                                 \
                }                                                                                                          \
            }                                                                                                              \
        }                                                                                                                  \
    }

#define FD_TILES_TO_6(NVEC) \
    FD_TILE(NVEC, 1) FD_TILE(NVEC, 2) FD_TILE(NVEC, 3) FD_TILE(NVEC, 4) FD_TILE(NVEC, 5) FD_TILE(NVEC, 6)
#define FD_TILES_7_TO_8(NVEC) FD_TILE(NVEC, 7) FD_TILE(NVEC, 8)
#define FD_TILES_9_TO_12(NVEC) FD_TILE(NVEC, 9) FD_TILE(NVEC, 10) FD_TILE(NVEC, 11) FD_TILE(NVEC, 12)
#define FD_NAMES_TO_6(NVEC) \
    0, tile_##NVEC##x1, tile_##NVEC##x2, tile_##NVEC##x3, tile_##NVEC##x4, tile_##NVEC##x5, tile_##NVEC##x6
#define FD_NAMES_TO_8(NVEC) FD_NAMES_TO_6(NVEC), tile_##NVEC##x7, tile_##NVEC##x8
#define FD_NAMES_TO_12(NVEC) FD_NAMES_TO_8(NVEC), tile_##NVEC##x9, tile_##NVEC##x10, tile_##NVEC##x11, tile_##NVEC##x12

FD_TILES_TO_6(1)
FD_TILES_7_TO_8(1)
FD_TILES_9_TO_12(1)
FD_TILES_TO_6(2)
#if FD_VREGS == 32
FD_TILE(1, 13)
FD_TILE(1, 14)
FD_TILES_7_TO_8(2)
FD_TILES_9_TO_12(2)
FD_TILE(2, 13)
FD_TILE(2, 14)
FD_TILES_TO_6(3)
FD_TILES_7_TO_8(3)
FD_TILES_TO_6(4)
#endif

const fd_tile_fn FN(fd_tile_kernels)[FD_NV + 1][FD_MR_MAX + 1] = {
    {0},
#if FD_VREGS == 32
    {FD_NAMES_TO_12(1), tile_1x13, tile_1x14},
    {FD_NAMES_TO_12(2), tile_2x13, tile_2x14},
    {FD_NAMES_TO_8(3)},
    {FD_NAMES_TO_6(4)},
#else
    {FD_NAMES_TO_12(1)},
    {FD_NAMES_TO_6(2)},
#endif
};

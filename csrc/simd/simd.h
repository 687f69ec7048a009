/* The vector primitives that every kernel is written in: one source, one vector type `vf` per ISA.
 *
 *   FD_ISA_AVX512   16 lanes, 32 registers     FD_ISA_AVX2   8 lanes, 16 registers
 *   otherwise        4 lanes: SSE2, NEON, or whatever the compiler makes of a 16-byte vector
 *
 * Arithmetic on vf is written with the plain operators (GCC vector extensions); what has no operator stands below.
 * Everything is static inline: objects of one ISA export nothing but the symbols named by FN().
 */
#ifndef FD_SIMD_H
#define FD_SIMD_H

#include "fastdl.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(FD_ISA_AVX512) || defined(FD_ISA_AVX2)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define FD_PASTE_(a, b) a##__##b
#define FD_PASTE(a, b) FD_PASTE_(a, b)
#define FN(name) FD_PASTE(name, FD_ISA) /* FN(fd_matmul_f32) -> fd_matmul_f32__avx512 */

#if defined(FD_ISA_AVX512)
#define VL 16
#define FD_VREGS 32
#elif defined(FD_ISA_AVX2)
#define VL 8
#define FD_VREGS 16
#else
#define VL 4
#if defined(__aarch64__)
#define FD_VREGS 32
#else
#define FD_VREGS 16
#endif
#endif

#define FD_UNROLL _Pragma("GCC unroll 64")
#define FD_INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4))); /* integers; masks are 0 or -1 */
typedef float vf_unaligned __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int32_t vi_unaligned __attribute__((vector_size(VL * 4), aligned(4), may_alias));

/* VL doubles (two registers): for sums of partial sums, not for hot loops */
typedef double vd __attribute__((vector_size(VL * 8)));

/* --- memory ------------------------------------------------------------------------------------------------- */
FD_INLINE vf vload(const float *p) { return (vf) * (const vf_unaligned *)p; }
FD_INLINE void vstore(float *p, vf v) { *(vf_unaligned *)p = (vf_unaligned)v; }
/* Past the caches, for results too large to be there when they are read; p on a vector's boundary. A chunk that streams
 * ends with vfence(). */
FD_INLINE void vstream(float *p, vf v) {
#if defined(FD_ISA_AVX512)
    _mm512_stream_ps(p, (__m512)v);
#elif defined(FD_ISA_AVX2)
    _mm256_stream_ps(p, (__m256)v);
#elif defined(__SSE2__)
    _mm_stream_ps(p, (__m128)v);
#else
    vstore(p, v);
#endif
}
FD_INLINE void vfence(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}
FD_INLINE vi viload(const int32_t *p) { return (vi) * (const vi_unaligned *)p; }
FD_INLINE void vistore(int32_t *p, vi v) { *(vi_unaligned *)p = (vi_unaligned)v; }

FD_INLINE vf vset1(float x) {
#if defined(FD_ISA_AVX512)
    return (vf)_mm512_set1_ps(x);
#elif defined(FD_ISA_AVX2)
    return (vf)_mm256_set1_ps(x);
#else
    return (vf){x, x, x, x};
#endif
}
FD_INLINE vf vzero(void) { return vset1(0.0f); }
/* v, held in a register from here on: keeps the compiler from loading it again at every use */
FD_INLINE vf vhold(vf v) {
#if defined(FD_ISA_AVX512)
    __asm__("" : "+v"(v));
#elif defined(__SSE2__)
    __asm__("" : "+x"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#endif
    return v;
}
FD_INLINE vi viset1(int32_t x) { return (vi){0} + x; }
FD_INLINE vf vbits(vi v) { return (vf)v; }  /* reinterpret */
FD_INLINE vi vibits(vf v) { return (vi)v; } /* reinterpret */

/* lanes 0, 1, 2, ... */
FD_INLINE vi viota(void) {
#if VL == 16
    return (vi){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif VL == 8
    return (vi){0, 1, 2, 3, 4, 5, 6, 7};
#else
    return (vi){0, 1, 2, 3};
#endif
}

/* The first n lanes (0 <= n <= VL), never touching memory past them; the other lanes of a load are 0. */
FD_INLINE vf vload_n(const float *p, long n) {
#if defined(FD_ISA_AVX512)
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(FD_ISA_AVX2)
    return (vf)_mm256_maskload_ps(p, (__m256i)(viota() < viset1((int32_t)n)));
#else
    vf v = vzero();
    if (n >= VL) return vload(p);
    for (long i = 0; i < n; i++) v[i] = p[i];
    return v;
#endif
}
FD_INLINE void vstore_n(float *p, vf v, long n) {
#if defined(FD_ISA_AVX512)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif defined(FD_ISA_AVX2)
    _mm256_maskstore_ps(p, (__m256i)(viota() < viset1((int32_t)n)), (__m256)v);
#else
    if (n >= VL) {
        vstore(p, v);
        return;
    }
    for (long i = 0; i < n; i++) p[i] = v[i];
#endif
}

/* --- arithmetic without an operator --------------------------------------------------------------------------- */
/* a * b + c, fused where the machine can */
FD_INLINE vf vfma(vf a, vf b, vf c) {
#if defined(FD_ISA_AVX512)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(FD_ISA_AVX2)
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}
/* m ? a : b, lane by lane; m is 0 or -1 (the result of a comparison) */
FD_INLINE vf vselect(vi m, vf a, vf b) { return (vf)((m & (vi)a) | (~m & (vi)b)); }
FD_INLINE vi viselect(vi m, vi a, vi b) { return (m & a) | (~m & b); }

/* The same with masks in the form that the machine compares into: AVX-512 has registers for them. */
#if defined(FD_ISA_AVX512)
typedef __mmask16 vmask;
FD_INLINE vmask vgreater(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ); }
FD_INLINE vmask visnan(vf a) { return _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_UNORD_Q); }
FD_INLINE vmask viequal(vi a, vi b) { return _mm512_cmpeq_epi32_mask((__m512i)a, (__m512i)b); }
FD_INLINE vf vblend(vmask m, vf a, vf b) { return (vf)_mm512_mask_blend_ps(m, (__m512)b, (__m512)a); }
FD_INLINE vi viblend(vmask m, vi a, vi b) { return (vi)_mm512_mask_blend_epi32(m, (__m512i)b, (__m512i)a); }
#else
typedef vi vmask;
FD_INLINE vmask vgreater(vf a, vf b) { return a > b; }
FD_INLINE vmask visnan(vf a) { return a != a; }
FD_INLINE vmask viequal(vi a, vi b) { return a == b; }
FD_INLINE vf vblend(vmask m, vf a, vf b) { return vselect(m, a, b); }
FD_INLINE vi viblend(vmask m, vi a, vi b) { return viselect(m, a, b); }
#endif

/* Maximum and minimum; a NaN in the SECOND argument comes through (so clamp as vmax(vset1(lo), x)). */
FD_INLINE vf vmax(vf a, vf b) {
#if defined(FD_ISA_AVX512)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(FD_ISA_AVX2)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    return vselect(a > b, a, b);
#endif
}
FD_INLINE vf vmin(vf a, vf b) {
#if defined(FD_ISA_AVX512)
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(FD_ISA_AVX2)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
    return vselect(a < b, a, b);
#endif
}
FD_INLINE vf vabs(vf a) { return (vf)((vi)a & 0x7fffffff); }
FD_INLINE vf vsqrt(vf a) {
#if defined(FD_ISA_AVX512)
    return (vf)_mm512_sqrt_ps((__m512)a);
#elif defined(FD_ISA_AVX2)
    return (vf)_mm256_sqrt_ps((__m256)a);
#elif defined(__SSE2__)
    return (vf)_mm_sqrt_ps((__m128)a);
#else
    for (int i = 0; i < VL; i++) a[i] = sqrtf(a[i]);
    return a;
#endif
}
/* to the nearest integer, ties to even, for |a| < 2^31 */
FD_INLINE vi vtoint(vf a) {
#if defined(FD_ISA_AVX512)
    return (vi)_mm512_cvtps_epi32((__m512)a);
#elif defined(FD_ISA_AVX2)
    return (vi)_mm256_cvtps_epi32((__m256)a);
#elif defined(__SSE2__)
    return (vi)_mm_cvtps_epi32((__m128)a);
#elif defined(__aarch64__)
    return (vi)vcvtnq_s32_f32((float32x4_t)a);
#else
    vi r = {0};
    for (int i = 0; i < VL; i++) r[i] = (int32_t)lrintf(a[i]);
    return r;
#endif
}
FD_INLINE vf vtofloat(vi a) { return __builtin_convertvector(a, vf); }
FD_INLINE vd vtodouble(vf a) { return __builtin_convertvector(a, vd); }
/* to the nearest integer, ties to even, for |a| < 2^31 */
FD_INLINE vf vround(vf a) {
#if defined(FD_ISA_AVX512)
    return (vf)_mm512_roundscale_ps((__m512)a, 0);
#elif defined(FD_ISA_AVX2)
    return (vf)_mm256_round_ps((__m256)a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    return vtofloat(vtoint(a));
#endif
}
/* a 2^n for whole numbers -250 <= n <= 250 */
FD_INLINE vf vldexp(vf a, vf n) {
#if defined(FD_ISA_AVX512)
    return (vf)_mm512_scalef_ps((__m512)a, (__m512)n);
#else
    /* two factors, each of which has an exponent that fits */
    vi k = vtoint(n), half = k >> 1;
    return a * vbits((half + 127) << 23) * vbits((k - half + 127) << 23);
#endif
}

/* --- across lanes ----------------------------------------------------------------------------------------------- */
FD_INLINE float vhsum(vf v) {
#if defined(FD_ISA_AVX512)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float s[VL];
    memcpy(s, &v, sizeof v);
    for (int w = VL / 2; w; w /= 2)
        for (int i = 0; i < w; i++) s[i] += s[i + w];
    return s[0];
#endif
}
FD_INLINE float vhmax(vf v) {
#if defined(FD_ISA_AVX512)
    return _mm512_reduce_max_ps((__m512)v);
#else
    float m = v[0];
    for (int i = 1; i < VL; i++) m = v[i] > m ? v[i] : m;
    return m;
#endif
}
/* does any lane of a comparison hold? */
FD_INLINE int vany(vi m) {
#if defined(FD_ISA_AVX512)
    return _mm512_movepi32_mask((__m512i)m) != 0;
#elif defined(FD_ISA_AVX2)
    return _mm256_movemask_ps((__m256)m) != 0;
#elif defined(__SSE2__)
    return _mm_movemask_ps((__m128)m) != 0;
#else
    return (m[0] | m[1] | m[2] | m[3]) != 0;
#endif
}

/* Lanes of the pair (a, b): where bit s of the lane number is 0, a's own lane and, for `second`, a's lane with the bit set;
 * where it is 1, b's lane with the bit cleared and b's own. s must be a constant: then each is one shuffle by a constant. */
FD_INLINE vf vpair_first(vf a, vf b, const int s) {
    const vi j = viota();
#if defined(__clang__)
    vf r = a;
    for (int k = 0; k < VL; k++) r[k] = k & s ? b[k ^ s] : a[k];
    return r;
#else
    return __builtin_shuffle(a, b, viselect((j & s) != 0, VL + (j ^ s), j));
#endif
}
FD_INLINE vf vpair_second(vf a, vf b, const int s) {
    const vi j = viota();
#if defined(__clang__)
    vf r = a;
    for (int k = 0; k < VL; k++) r[k] = k & s ? b[k] : a[k | s];
    return r;
#else
    return __builtin_shuffle(a, b, viselect((j & s) != 0, VL + j, j | s));
#endif
}

/* r[i][j] = r[j][i] for a block of VL x VL floats: log2(VL) rounds of exchanging lanes between rows s apart */
FD_INLINE void vexchange(vf r[VL], const int s) {
    FD_UNROLL for (int i = 0; i < VL; i++) {
        if (i & s) continue;
        vf a = r[i], b = r[i + s];
        r[i] = vpair_first(a, b, s);
        r[i + s] = vpair_second(a, b, s);
    }
}
FD_INLINE void vtranspose(vf r[VL]) {
    vexchange(r, 1);
    vexchange(r, 2);
#if VL >= 8
    vexchange(r, 4);
#endif
#if VL >= 16
    vexchange(r, 8);
#endif
}

#if VL > 4
/* lane i is lane at[i] of v */
FD_INLINE vf vpermute(vf v, vi at) {
#if VL == 16
    return (vf)_mm512_permutexvar_ps((__m512i)at, (__m512)v);
#else
    return (vf)_mm256_permutevar8x32_ps((__m256)v, (__m256i)at);
#endif
}
#endif

/* lane i is the sum (the maximum) of all lanes of r[i]; r is lost */
#define FD_HALVE(s, COMBINE) \
    FD_UNROLL for (int i = 0; i + s < VL; i += 2 * s) \
        r[i] = COMBINE(vpair_first(r[i], r[i + s], s), vpair_second(r[i], r[i + s], s));
#define FD_REDUCE_ROWS(name, COMBINE) \
    FD_INLINE vf name(vf r[VL]) { \
        FD_HALVE(1, COMBINE) \
        FD_HALVE(2, COMBINE) \
        FD_HALVE(4, COMBINE) \
        FD_HALVE(8, COMBINE) \
        return r[0]; \
    }
FD_INLINE vf vadd(vf a, vf b) { return a + b; }
FD_REDUCE_ROWS(vsum_rows, vadd)
FD_REDUCE_ROWS(vmax_rows, vmax)
#undef FD_REDUCE_ROWS
#undef FD_HALVE

FD_INLINE void fd_prefetch(const void *p) { __builtin_prefetch(p, 0, 3); }
FD_INLINE void fd_prefetch_write(const void *p) { __builtin_prefetch(p, 1, 3); }

#endif

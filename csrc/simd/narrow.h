/* Small unsigned integers in memory, 32-bit lanes in registers: tap numbers as bytes, pixel numbers as 16 bits.
 * The first n lanes, 0 <= n <= VL; lanes beyond n of a load are 0, and memory beyond them is not touched. */
#ifndef FD_SIMD_NARROW_H
#define FD_SIMD_NARROW_H

#include "simd/simd.h"

FD_INLINE vi vload_u8(const uint8_t *p, long n) {
#if defined(FD_ISA_AVX512)
    return (vi)_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p));
#elif defined(FD_ISA_AVX2)
    if (n == VL) return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
#endif
    vi v = {0};
    for (long i = 0; i < n; i++) v[i] = p[i];
    return v;
}
FD_INLINE void vstore_u8(uint8_t *p, vi v, long n) {
#if defined(FD_ISA_AVX512)
    _mm_mask_storeu_epi8(p, (__mmask16)((1u << n) - 1), _mm512_cvtepi32_epi8((__m512i)v));
#else
#if defined(FD_ISA_AVX2)
    if (n == VL) {
        __m128i words = _mm_packus_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
        _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(words, words));
        return;
    }
#endif
    for (long i = 0; i < n; i++) p[i] = (uint8_t)v[i];
#endif
}

FD_INLINE vi vload_u16(const uint16_t *p, long n) {
#if defined(FD_ISA_AVX512)
    return (vi)_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p));
#elif defined(FD_ISA_AVX2)
    if (n == VL) return (vi)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
#endif
    vi v = {0};
    for (long i = 0; i < n; i++) v[i] = p[i];
    return v;
}
FD_INLINE void vstore_u16(uint16_t *p, vi v, long n) {
#if defined(FD_ISA_AVX512)
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), _mm512_cvtepi32_epi16((__m512i)v));
#else
#if defined(FD_ISA_AVX2)
    if (n == VL) {
        __m128i low = _mm256_castsi256_si128((__m256i)v), high = _mm256_extracti128_si256((__m256i)v, 1);
        _mm_storeu_si128((__m128i *)p, _mm_packus_epi32(low, high));
        return;
    }
#endif
    for (long i = 0; i < n; i++) p[i] = (uint16_t)v[i];
#endif
}

/* All VL lanes past the caches; see vstream. */
FD_INLINE void vstream_u16(uint16_t *p, vi v) {
#if defined(FD_ISA_AVX512)
    _mm256_stream_si256((__m256i *)p, _mm512_cvtepi32_epi16((__m512i)v));
#elif defined(FD_ISA_AVX2)
    __m128i low = _mm256_castsi256_si128((__m256i)v), high = _mm256_extracti128_si256((__m256i)v, 1);
    _mm_stream_si128((__m128i *)p, _mm_packus_epi32(low, high));
#else
    vstore_u16(p, v, VL);
#endif
}

FD_INLINE vi vload_i32(const int32_t *p, long n) {
    if (n == VL) return viload(p);
    return (vi)vload_n((const float *)p, n);
}
FD_INLINE void vstore_i32(int32_t *p, vi v, long n) {
    if (n == VL)
        vistore(p, v);
    else
        vstore_n((float *)p, (vf)v, n);
}

#endif

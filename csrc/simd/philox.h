/* Philox4x32-7, the counter-based generator behind dropout: the number at a position is computed when it is needed, so
 * no mask is stored, and forward and backward see the same one. fastdl/kernels/_philox.py says the same in Python.
 *
 * Numbers come in groups of 64: number r of a group is word r / 16 of counter 16 * group + r % 16. So the words of VL
 * consecutive counters are vectors of consecutive numbers, without any shuffle.
 */
#ifndef FD_SIMD_PHILOX_H
#define FD_SIMD_PHILOX_H

#include "simd/simd.h"

#define FD_PHILOX_ROUNDS 7
#define FD_PHILOX_GROUP 64

typedef uint32_t vu __attribute__((vector_size(VL * 4)));

/* a * b in 64 bits, lane by lane: the low and the high halves */
FD_INLINE void vmul_wide(vu a, uint32_t b, vu *low, vu *high) {
#if defined(FD_ISA_AVX512)
    const __m512i factor = _mm512_set1_epi32((int)b);
    __m512i even = _mm512_mul_epu32((__m512i)a, factor), odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)a, 32), factor);
    *low = (vu)_mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CCAA);
    *high = (vu)_mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
#elif defined(FD_ISA_AVX2)
    const __m256i factor = _mm256_set1_epi32((int)b);
    __m256i even = _mm256_mul_epu32((__m256i)a, factor), odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)a, 32), factor);
    *low = (vu)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    *high = (vu)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
#elif defined(__SSE2__)
    const __m128i factor = _mm_set1_epi32((int)b);
    __m128i even = _mm_mul_epu32((__m128i)a, factor), odd = _mm_mul_epu32(_mm_srli_epi64((__m128i)a, 32), factor);
    *low = (vu)_mm_unpacklo_epi32(_mm_shuffle_epi32(even, 0x08), _mm_shuffle_epi32(odd, 0x08));
    *high = (vu)_mm_unpacklo_epi32(_mm_shuffle_epi32(even, 0x0d), _mm_shuffle_epi32(odd, 0x0d));
#else
    for (int i = 0; i < VL; i++) {
        uint64_t p = (uint64_t)a[i] * b;
        (*low)[i] = (uint32_t)p;
        (*high)[i] = (uint32_t)(p >> 32);
    }
#endif
}

/* The 64 numbers of a group, in order. */
FD_INLINE void fd_philox_group(uint32_t *numbers, uint32_t group, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t seed) {
    const vu zero = {0};
    for (int first = 0; first < 16; first += VL) {
        vu w0 = (vu)viota() + (16 * group + (uint32_t)first), w1 = zero + c1, w2 = zero + c2, w3 = zero + c3;
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    FD_UNROLL for (int round = 0; round < FD_PHILOX_ROUNDS; round++) {
            vu low0, high0, low1, high1;
            vmul_wide(w0, 0xd2511f53u, &low0, &high0);
            vmul_wide(w2, 0xcd9e8d57u, &low1, &high1);
            w0 = high1 ^ w1 ^ k0;
            w1 = low1;
            w2 = high0 ^ w3 ^ k1;
            w3 = low0;
            k0 += 0x9e3779b9u;
            k1 += 0xbb67ae85u;
        }
        memcpy(numbers + first, &w0, sizeof w0);
        memcpy(numbers + first + 16, &w1, sizeof w1);
        memcpy(numbers + first + 32, &w2, sizeof w2);
        memcpy(numbers + first + 48, &w3, sizeof w3);
    }
}

/* -1 where VL numbers are at least `below`: what dropout keeps */
FD_INLINE vi vkeep(const uint32_t *numbers, uint32_t below) {
    vu w;
    memcpy(&w, numbers, sizeof w);
    return (vi)(w >= (vu){0} + below);
}

#endif

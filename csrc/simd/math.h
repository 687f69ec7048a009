/* Transcendentals on vectors. Bounds (fp32, against float64), tested in tests/test_simd_math.py: exp <= 1.5 ulp, log <= 1 ulp,
 * expm1 <= 2 ulp, log1p <= 3 ulp, sigmoid <= 3 ulp, tanh <= 2 ulp, erf 2.5e-7 absolute. Results below FLT_MIN may be 0; a NaN
 * comes through.
 */
#ifndef FD_SIMD_MATH_H
#define FD_SIMD_MATH_H

#include "simd/simd.h"

/* 2^n for integers -126 <= n <= 127; 0 for n = -127 */
FD_INLINE vf vpow2i(vi n) { return vbits((n + 127) << 23); }

/* Cody-Waite range reduction x = n ln 2 + r, |r| <= ln2/2, then the minimax polynomial of degree 6 (relative error 4e-9) times 2^n.
 * At the ends of the clamped range the result is 0 and inf by itself; the clamp keeps a NaN. */
FD_INLINE vf vexp(vf x) {
    vf c = vmin(vset1(89.0f), vmax(vset1(-104.0f), x));
    vf n = vround(c * vset1(1.44269504f));
    vf r = vfma(n, vset1(-0.693145752f), c);
    r = vfma(n, vset1(-1.42860677e-6f), r);
    vf p = vset1(1.3814466e-3f);
    p = vfma(p, r, vset1(8.3687808e-3f));
    p = vfma(p, r, vset1(4.1668393e-2f));
    p = vfma(p, r, vset1(1.6666520e-1f));
    p = vfma(p, r, vset1(0.49999994f));
    p = vfma(p, r, vset1(1.0f));
    p = vfma(p, r, vset1(1.0f));
    return vldexp(p, n);
}

/* Natural logarithm: exponent and m in [sqrt(1/2), sqrt(2)), polynomial of Cephes logf. */
FD_INLINE vf vlog(vf x) {
    vi bits = vibits(x);
    vi e = (bits - 0x3f3504f3) >> 23;
    vf m = vbits(bits - (e << 23)) - 1.0f;
    vf ef = vtofloat(e);
    vf z = m * m;
    vf p = vset1(7.0376836292e-2f);
    p = vfma(p, m, vset1(-1.1514610310e-1f));
    p = vfma(p, m, vset1(1.1676998740e-1f));
    p = vfma(p, m, vset1(-1.2420140846e-1f));
    p = vfma(p, m, vset1(1.4249322787e-1f));
    p = vfma(p, m, vset1(-1.6668057665e-1f));
    p = vfma(p, m, vset1(2.0000714765e-1f));
    p = vfma(p, m, vset1(-2.4999993993e-1f));
    p = vfma(p, m, vset1(3.3333331174e-1f));
    vf y = p * m * z;
    y = vfma(ef, vset1(-2.12194440e-4f), y);
    y = vfma(z, vset1(-0.5f), y);
    y = m + y;
    y = vfma(ef, vset1(0.693359375f), y);
    y = vselect(x == vset1(INFINITY), x, y);
    y = vselect(x < vset1(1.17549435e-38f), vset1(-INFINITY), y); /* zero, and denormals, which count as zero */
    return vselect((x < vzero()) | (x != x), vset1(NAN), y);
}

/* log(1 + x), x >= 0: log of the rounded sum, corrected for its rounding */
FD_INLINE vf vlog1p(vf x) {
    vf s = 1.0f + x, d = s - 1.0f;
    return vselect(d == vzero(), x, vlog(s) * (x / d));
}

/* exp(x) - 1: Taylor polynomial where the subtraction would cancel */
FD_INLINE vf vexpm1(vf x) {
    vf p = vset1(1.9841270e-4f);
    p = vfma(p, x, vset1(1.3888889e-3f));
    p = vfma(p, x, vset1(8.3333333e-3f));
    p = vfma(p, x, vset1(4.1666667e-2f));
    p = vfma(p, x, vset1(1.6666667e-1f));
    p = vfma(p, x, vset1(0.5f));
    p = vfma(p, x * x, x);
    return vselect(vabs(x) < vset1(0.35f), p, vexp(x) - 1.0f);
}

FD_INLINE vf vsigmoid(vf x) {
    /* exp of the negative magnitude never overflows; the other half by symmetry */
    vf e = vexp(-vabs(x));
    vf s = 1.0f / (1.0f + e);
    return vselect(x < vzero(), e * s, vselect(x != x, x, s));
}

/* |x| < 0.625: odd polynomial (Cephes tanhf); otherwise 1 - 2 / (exp(2|x|) + 1). */
FD_INLINE vf vtanh(vf x) {
    vf a = vabs(x);
    vf z = x * x;
    vf p = vset1(-5.70498872745e-3f);
    p = vfma(p, z, vset1(2.06390887954e-2f));
    p = vfma(p, z, vset1(-5.37397155531e-2f));
    p = vfma(p, z, vset1(1.33314422036e-1f));
    p = vfma(p, z, vset1(-3.33332819422e-1f));
    p = vfma(p * z, x, x);
    vf big = 1.0f - 2.0f / (vexp(a + a) + 1.0f);
    big = vbits(vibits(big) | (vibits(x) & (int32_t)0x80000000));
    return vselect(x != x, x, vselect(a < vset1(0.625f), p, big));
}

/* |x| < 1: odd polynomial (Cephes erff); otherwise 1 - exp(-x^2) times a rational (Abramowitz and Stegun 7.1.26). */
FD_INLINE vf verf(vf x) {
    vf a = vabs(x);
    vf z = x * x;
    vf p = vset1(7.853861353153693e-5f);
    p = vfma(p, z, vset1(-8.010193625184903e-4f));
    p = vfma(p, z, vset1(5.188327685732524e-3f));
    p = vfma(p, z, vset1(-2.685381193529856e-2f));
    p = vfma(p, z, vset1(1.128358514861418e-1f));
    p = vfma(p, z, vset1(-3.761262582423300e-1f));
    p = vfma(p, z, vset1(1.128379165726710f));
    vf small = p * x;
    vf t = 1.0f / vfma(a, vset1(0.3275911f), vset1(1.0f));
    vf q = vset1(1.061405429f);
    q = vfma(q, t, vset1(-1.453152027f));
    q = vfma(q, t, vset1(1.421413741f));
    q = vfma(q, t, vset1(-0.284496736f));
    q = vfma(q, t, vset1(0.254829592f));
    vf big = 1.0f - q * t * vexp(-z);
    big = vbits(vibits(big) | (vibits(x) & (int32_t)0x80000000));
    return vselect(x != x, x, vselect(a < vset1(1.0f), small, big));
}

#endif

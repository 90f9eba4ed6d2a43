/* One processor register of float32 or float64 as a C type.
 *
 * `cell.pxi` writes the gate equations once; here they get something to compute with. `vec_f` and
 * `vec_d` are as wide as the instruction set the file is compiled for: 64 bytes with AVX-512, 32 with
 * AVX, 16 with SSE2 and NEON. +, -, * and / on them are the compiler's own. A compiler without vector
 * types (or -DPYLSTM_SCALAR) gets registers of one element, and the same equations.
 *
 * exp and expm1 are branch-free: x = n ln2 + r with |r| <= ln2 / 2, expm1(r) by a minimax polynomial
 * of the form r + r^2 q(r), then scaled by 2^n through the exponent bits. NaN passes through. The
 * caller keeps x within +-EXP_LIMIT, where neither 2^n nor the result overflows or is subnormal.
 */
#ifndef PYLSTM_SIMD_H
#define PYLSTM_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if (defined(__GNUC__) || defined(__clang__)) && !defined(PYLSTM_SCALAR)
#  define PYLSTM_VECTOR 1
#  if defined(__AVX512F__)
#    define VEC_BYTES 64
#    define VEC_REGISTERS 32
#  elif defined(__AVX__)
#    define VEC_BYTES 32
#    define VEC_REGISTERS 16
#  elif defined(__aarch64__)
#    define VEC_BYTES 16
#    define VEC_REGISTERS 32
#  else
#    define VEC_BYTES 16
#    define VEC_REGISTERS 16
#  endif
typedef float vec_f __attribute__((vector_size(VEC_BYTES), may_alias));
typedef double vec_d __attribute__((vector_size(VEC_BYTES), may_alias));
typedef int32_t bits_f __attribute__((vector_size(VEC_BYTES), may_alias));
typedef int64_t bits_d __attribute__((vector_size(VEC_BYTES), may_alias));
#  define LANES_F ((int)(VEC_BYTES / sizeof(float)))
#  define LANES_D ((int)(VEC_BYTES / sizeof(double)))
#  define SIMD_INLINE static inline __attribute__((always_inline))
#else
#  define PYLSTM_VECTOR 0
#  define VEC_REGISTERS 16
typedef float vec_f;
typedef double vec_d;
typedef int32_t bits_f;
typedef int64_t bits_d;
#  define LANES_F 1
#  define LANES_D 1
#  define SIMD_INLINE static inline
#endif

/* clamp(x, limit): x within [-limit, limit]. NaN stays NaN: x86's max and min return their second
 * operand when either is NaN, so x stands second; NEON's propagate NaN wherever it stands. */
#if PYLSTM_VECTOR && defined(__AVX512F__)
#  include <immintrin.h>
#  define CLAMP_F(x, lo, hi) ((vec_f)_mm512_min_ps((__m512)(hi), _mm512_max_ps((__m512)(lo), (__m512)(x))))
#  define CLAMP_D(x, lo, hi) ((vec_d)_mm512_min_pd((__m512d)(hi), _mm512_max_pd((__m512d)(lo), (__m512d)(x))))
#elif PYLSTM_VECTOR && defined(__AVX__)
#  include <immintrin.h>
#  define CLAMP_F(x, lo, hi) ((vec_f)_mm256_min_ps((__m256)(hi), _mm256_max_ps((__m256)(lo), (__m256)(x))))
#  define CLAMP_D(x, lo, hi) ((vec_d)_mm256_min_pd((__m256d)(hi), _mm256_max_pd((__m256d)(lo), (__m256d)(x))))
#elif PYLSTM_VECTOR && defined(__SSE2__)
#  include <emmintrin.h>
#  define CLAMP_F(x, lo, hi) ((vec_f)_mm_min_ps((__m128)(hi), _mm_max_ps((__m128)(lo), (__m128)(x))))
#  define CLAMP_D(x, lo, hi) ((vec_d)_mm_min_pd((__m128d)(hi), _mm_max_pd((__m128d)(lo), (__m128d)(x))))
#elif PYLSTM_VECTOR && defined(__aarch64__)
#  include <arm_neon.h>
#  define CLAMP_F(x, lo, hi) ((vec_f)vminq_f32((float32x4_t)(hi), vmaxq_f32((float32x4_t)(lo), (float32x4_t)(x))))
#  define CLAMP_D(x, lo, hi) ((vec_d)vminq_f64((float64x2_t)(hi), vmaxq_f64((float64x2_t)(lo), (float64x2_t)(x))))
#elif PYLSTM_VECTOR
/* Any other processor: select by mask. */
#  define CLAMP_F(x, lo, hi) select_f((x) > (hi), hi, select_f((x) < (lo), lo, x))
#  define CLAMP_D(x, lo, hi) select_d((x) > (hi), hi, select_d((x) < (lo), lo, x))
SIMD_INLINE vec_f select_f(bits_f mask, vec_f a, vec_f b)
{
    return (vec_f)(((bits_f)a & mask) | ((bits_f)b & ~mask));
}
SIMD_INLINE vec_d select_d(bits_d mask, vec_d a, vec_d b)
{
    return (vec_d)(((bits_d)a & mask) | ((bits_d)b & ~mask));
}
#else
#  define CLAMP_F(x, lo, hi) ((x) > (hi) ? (hi) : (x) < (lo) ? (lo) : (x))
#  define CLAMP_D(x, lo, hi) ((x) > (hi) ? (hi) : (x) < (lo) ? (lo) : (x))
#endif

#if PYLSTM_VECTOR
#  define AS_BITS_F(x) ((bits_f)(x))
#  define AS_BITS_D(x) ((bits_d)(x))
#  define AS_VEC_F(x) ((vec_f)(x))
#  define AS_VEC_D(x) ((vec_d)(x))
#else
SIMD_INLINE bits_f AS_BITS_F(vec_f x) { bits_f b; memcpy(&b, &x, sizeof b); return b; }
SIMD_INLINE bits_d AS_BITS_D(vec_d x) { bits_d b; memcpy(&b, &x, sizeof b); return b; }
SIMD_INLINE vec_f AS_VEC_F(bits_f x) { vec_f v; memcpy(&v, &x, sizeof v); return v; }
SIMD_INLINE vec_d AS_VEC_D(bits_d x) { vec_d v; memcpy(&v, &x, sizeof v); return v; }
#endif

/* Four registers of quarters, seen as a matrix, and its transpose; with halves, pairs of quarters, what lies
 * next to each other in two pairs of registers. This turns the rows of two or four samples, each with its
 * gates one after the other, into the registers of the four gates, and (`back`) these into rows. */
#if PYLSTM_VECTOR
#  if VEC_BYTES == 16
typedef int32_t quarters __attribute__((vector_size(16), may_alias));
#    define PICK(a, b, i, j, k, l) PICK_OF(quarters, a, b, i, j, k, l)
#  elif VEC_BYTES == 32
typedef int64_t quarters __attribute__((vector_size(32), may_alias));
#    define PICK(a, b, i, j, k, l) PICK_OF(quarters, a, b, i, j, k, l)
#  else
typedef int64_t quarters __attribute__((vector_size(64), may_alias));
#    define PICK(a, b, i, j, k, l) \
        PICK_OF(quarters, a, b, 2 * i, 2 * i + 1, 2 * j, 2 * j + 1, 2 * k, 2 * k + 1, 2 * l, 2 * l + 1)
#  endif
#  if defined(__clang__)
#    define PICK_OF(type, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#  else
#    define PICK_OF(type, a, b, ...) __builtin_shuffle(a, b, (type){__VA_ARGS__})
#  endif
SIMD_INLINE void regroup_registers(void *registers, int halves, int back)
{
    quarters *r = (quarters *)registers;
    const quarters a = r[0], b = r[1], c = r[2], d = r[3];
    if (!halves) {
        const quarters ab = PICK(a, b, 0, 4, 2, 6), cd = PICK(c, d, 0, 4, 2, 6);
        const quarters ab_ = PICK(a, b, 1, 5, 3, 7), cd_ = PICK(c, d, 1, 5, 3, 7);
        r[0] = PICK(ab, cd, 0, 1, 4, 5);
        r[1] = PICK(ab_, cd_, 0, 1, 4, 5);
        r[2] = PICK(ab, cd, 2, 3, 6, 7);
        r[3] = PICK(ab_, cd_, 2, 3, 6, 7);
    } else if (!back) {
        r[0] = PICK(a, c, 0, 1, 4, 5);
        r[1] = PICK(a, c, 2, 3, 6, 7);
        r[2] = PICK(b, d, 0, 1, 4, 5);
        r[3] = PICK(b, d, 2, 3, 6, 7);
    } else {
        r[0] = PICK(a, b, 0, 1, 4, 5);
        r[1] = PICK(c, d, 0, 1, 4, 5);
        r[2] = PICK(a, b, 2, 3, 6, 7);
        r[3] = PICK(c, d, 2, 3, 6, 7);
    }
}
#else
SIMD_INLINE void regroup_registers(void *registers, int halves, int back)
{
    (void)registers, (void)halves, (void)back;  /* a register of one lane has no quarters */
}
#endif

SIMD_INLINE vec_f splat_f(float a) { return a - (vec_f){0}; }
SIMD_INLINE vec_d splat_d(double a) { return a - (vec_d){0}; }

SIMD_INLINE vec_f clamp_f(vec_f x, float limit) { return CLAMP_F(x, splat_f(-limit), splat_f(limit)); }
SIMD_INLINE vec_d clamp_d(vec_d x, double limit) { return CLAMP_D(x, splat_d(-limit), splat_d(limit)); }

/* Beyond these arguments sigmoid and tanh are 0 or +-1 to the last bit that matters, and exp is finite. */
#define EXP_LIMIT_F 87.0f
#define EXP_LIMIT_D 708.0
#define TANH_LIMIT_F 10.0f
#define TANH_LIMIT_D 20.0

/* Adding 1.5 * 2^(mantissa bits) rounds to the nearest integer and leaves it in the low bits. */
#define ROUND_F 12582912.0f
#define ROUND_D 6755399441055744.0

/* p * 2^n. With AVX-512 one instruction; else n, still in the low bits of `shifted`, becomes the exponent. */
#if PYLSTM_VECTOR && defined(__AVX512F__)
#  define SCALE_F(p, n, shifted) ((vec_f)_mm512_scalef_ps((__m512)(p), (__m512)(n)))
#  define SCALE_D(p, n, shifted) ((vec_d)_mm512_scalef_pd((__m512d)(p), (__m512d)(n)))
#else
#  define SCALE_F(p, n, shifted) ((p) * AS_VEC_F((AS_BITS_F(shifted) << 23) + 0x3f800000))
#  define SCALE_D(p, n, shifted) ((p) * AS_VEC_D((AS_BITS_D(shifted) << 52) + 0x3ff0000000000000LL))
#endif

/* x - n ln2. Where multiply-add rounds once, float32's ln2 is good enough (|n| < 126); it is asked for by name, for
 * a compiler that need not contract does not at -O1. Otherwise, and in float64, ln2 comes in two parts, of which
 * the first is short enough for n times it to be exact. */
#if PYLSTM_VECTOR && defined(__AVX512F__)
#  define REDUCE_F(x, n) ((vec_f)_mm512_fnmadd_ps((__m512)(n), _mm512_set1_ps(0.693147182f), (__m512)(x)))
#elif PYLSTM_VECTOR && defined(__AVX__) && defined(__FMA__)
#  define REDUCE_F(x, n) ((vec_f)_mm256_fnmadd_ps((__m256)(n), _mm256_set1_ps(0.693147182f), (__m256)(x)))
#elif PYLSTM_VECTOR && defined(__aarch64__)
#  define REDUCE_F(x, n) ((vec_f)vfmsq_n_f32((float32x4_t)(x), (float32x4_t)(n), 0.693147182f))
#else
#  define REDUCE_F(x, n) (((x) - (n) * 0.693359375f) + (n) * 2.12194440e-4f)
#endif
#define REDUCE_D(x, n) (((x) - (n) * 0.693147180369123816490) - (n) * 1.90821492927058770002e-10)

/* q(r) of e^r = 1 + r + r^2 q(r), minimax over |r| <= ln2 / 2: errors of 1.3e-8 and 1.8e-17 in expm1. */
SIMD_INLINE vec_f exp_tail_f(vec_f r)
{
    vec_f q = 0.00836652057f + r * 0.00138825222f;
    q = 0.0416671999f + r * q;
    q = 0.166665436f + r * q;
    return 0.499999982f + r * q;
}

SIMD_INLINE vec_d exp_tail_d(vec_d r)
{
    vec_d q = 2.7626037919229024e-7 + r * 2.5053775164595075e-8;
    q = 2.7557407541816638e-6 + r * q;
    q = 2.4801505273714209e-5 + r * q;
    q = 1.9841269719008200e-4 + r * q;
    q = 1.3888888931564941e-3 + r * q;
    q = 8.3333333333895512e-3 + r * q;
    q = 4.1666666666576755e-2 + r * q;
    q = 1.6666666666666589e-1 + r * q;
    return 5.0000000000000052e-1 + r * q;
}

SIMD_INLINE vec_f exp_f(vec_f x)
{
    const vec_f shifted = x * 1.44269504f + ROUND_F;
    const vec_f n = shifted - ROUND_F;
    const vec_f r = REDUCE_F(x, n);
    return SCALE_F(1.0f + r * (1.0f + r * exp_tail_f(r)), n, shifted);
}

SIMD_INLINE vec_d exp_d(vec_d x)
{
    const vec_d shifted = x * 1.4426950408889634 + ROUND_D;
    const vec_d n = shifted - ROUND_D;
    const vec_d r = REDUCE_D(x, n);
    return SCALE_D(1.0 + r * (1.0 + r * exp_tail_d(r)), n, shifted);
}

/* 2^n expm1(r) + (2^n - 1): no cancellation, so that small arguments keep their relative accuracy. */
SIMD_INLINE vec_f expm1_f(vec_f x)
{
    const vec_f shifted = x * 1.44269504f + ROUND_F;
    const vec_f n = shifted - ROUND_F;
    const vec_f r = REDUCE_F(x, n);
    const vec_f scale = SCALE_F(splat_f(1.0f), n, shifted);
    return (r + r * r * exp_tail_f(r)) * scale + (scale - 1.0f);
}

SIMD_INLINE vec_d expm1_d(vec_d x)
{
    const vec_d shifted = x * 1.4426950408889634 + ROUND_D;
    const vec_d n = shifted - ROUND_D;
    const vec_d r = REDUCE_D(x, n);
    const vec_d scale = SCALE_D(splat_d(1.0), n, shifted);
    return (r + r * r * exp_tail_d(r)) * scale + (scale - 1.0);
}

#endif

// Sixteen floats at a time. GCC's and clang's vector extensions become whatever the machine has;
// only products of bfloat16 pairs and transposes have versions of their own for AVX-512.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef uint32_t vu __attribute__((vector_size(64)));
typedef uint16_t vh __attribute__((vector_size(32)));

static inline void spin() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

struct bf16 {
    uint16_t bits;
};

static inline float to_float(float x) { return x; }
static inline float to_float(bf16 x) {
    uint32_t u = (uint32_t)x.bits << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
template <class T> T from_float(float x);
template <> inline float from_float<float>(float x) { return x; }
template <> inline bf16 from_float<bf16>(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    if (x != x) return {0x7fc0};  // rounding could turn a NaN into a number
    return {(uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16)};
}

static inline vf splat(float x) { return x - vf{}; }
static inline vf load(const float* p) {
    vf v;
    memcpy(&v, p, 64);
    return v;
}
static inline vf load(const bf16* p) {
    vh h;
    memcpy(&h, p, 32);
    vu u = __builtin_convertvector(h, vu) << 16;
    return (vf)u;
}
static inline void store(float* p, vf v) { memcpy(p, &v, 64); }
static inline void store(bf16* p, vf v) {
#if defined(__AVX512BF16__)
    __m256bh h = _mm512_cvtneps_pbh((__m512)v);
    memcpy(p, &h, 32);
#else
    vu u = (vu)v;
    vu r = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    vi bad = v != v;
    r = (r & ~(vu)bad) | (0x7fc0 & (vu)bad);
    vh h = __builtin_convertvector(r, vh);
    memcpy(p, &h, 32);
#endif
}
static inline vf pick(vi where, vf yes, vf no) {
    return (vf)(((vi)yes & where) | ((vi)no & ~where));
}
// a NaN in either comes through
static inline vf larger(vf a, vf b) { return pick((a > b) | (a != a), a, b); }
static inline float sum(vf v) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float s = 0;
    for (int i = 0; i < 16; i++) s += v[i];
    return s;
#endif
}
static inline float largest(vf v) {
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps((__m512)v);
#else
    float m = v[0];
    for (int i = 1; i < 16; i++) m = v[i] > m ? v[i] : m;
    return m;
#endif
}

// 2^x, relative error below 2e-7; 0 below -126; a NaN stays one. Polynomial of 2^f on [-0.5, 0.5]
// by its Taylor series.
static inline vf exp2_of(vf x) {
    vi tiny = x < -126.0f;
    x = pick(tiny, splat(-126.0f), x);
    x = pick(x > 127.0f, splat(127.0f), x);
    const vf magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
    vf shifted = x + magic;
    vf f = x - (shifted - magic);
    vi n = ((vi)shifted << 23);  // the low bits of the sum are the whole number
    vf p = splat(1.5403530e-4f);
    p = p * f + 1.3333558e-3f;
    p = p * f + 9.6181291e-3f;
    p = p * f + 5.5504109e-2f;
    p = p * f + 2.4022651e-1f;
    p = p * f + 6.9314718e-1f;
    p = p * f + 1.0f;
    vf r = (vf)((vi)p + n);
    r = pick(x != x, x, r);
    return pick(tiny, vf{}, r);
}
static inline vf silu(vf x) { return x / (1.0f + exp2_of(x * -1.44269504f)); }

// out[j][i] = in[i][j] of 32-bit words: in has 16 rows of 16 words at these pointers. Four rows of
// `out` lie `stride` apart, and the next four `leap` behind them.
static inline void transpose16(const uint32_t* const* in, uint32_t* out, long stride, long leap) {
#if defined(__AVX512F__)
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i++) a[i] = _mm512_loadu_si512(in[i]);
    for (int i = 0; i < 8; i++) {
        b[2 * i] = _mm512_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm512_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 2; j++) {
            a[4 * i + 2 * j] = _mm512_unpacklo_epi64(b[4 * i + j], b[4 * i + 2 + j]);
            a[4 * i + 2 * j + 1] = _mm512_unpackhi_epi64(b[4 * i + j], b[4 * i + 2 + j]);
        }
    for (int j = 0; j < 4; j++) {  // a[4*i + j] holds column 4*lane + j of rows 4*i..4*i+3
        __m512i x = _mm512_shuffle_i32x4(a[j], a[4 + j], 0x88);
        __m512i y = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0x88);
        __m512i z = _mm512_shuffle_i32x4(a[j], a[4 + j], 0xdd);
        __m512i w = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0xdd);
        uint32_t* at = out + j * stride;
        _mm512_storeu_si512(at, _mm512_shuffle_i32x4(x, y, 0x88));
        _mm512_storeu_si512(at + leap, _mm512_shuffle_i32x4(z, w, 0x88));
        _mm512_storeu_si512(at + 2 * leap, _mm512_shuffle_i32x4(x, y, 0xdd));
        _mm512_storeu_si512(at + 3 * leap, _mm512_shuffle_i32x4(z, w, 0xdd));
    }
#else
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) out[j % 4 * stride + j / 4 * leap + i] = in[i][j];
#endif
}

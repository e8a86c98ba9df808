// Products with int8 weights: a scale per column, and a scale per row of A that is found when it
// is read, so that no row depends on another.
//
// A's rows become bytes 1..255 (the whole numbers -127..127, and 128), as the dot products of
// AVX-512 want them; what the 128 adds to a column is the same for all rows and is known
// beforehand. B lies in blocks of 16 columns: [K/4][16][4] int8, then 16 float scales and 16 int32
// corrections.
#pragma once
#include <algorithm>

#include "gemm.h"

typedef uint8_t v16u8 __attribute__((vector_size(16)));

static inline long block_bytes(long K) { return K * 16 + 128; }

template <class T> void pack8(const T* w, long N, long K, int8_t* out) {
#pragma omp parallel for
    for (long b = 0; b < (N + 15) / 16; b++) {
        int8_t* block = out + b * block_bytes(K);
        float* scale = (float*)(block + K * 16);
        int32_t* minus = (int32_t*)(scale + 16);
        for (long j = 0; j < 16; j++) {
            const T* column = w + (b * 16 + j) * K;
            bool there = b * 16 + j < N;
            float most = 1e-12f * 127;
            int32_t sum = 0;
            for (long k = 0; there && k < K; k++)
                most = std::max(most, std::fabs(to_float(column[k])));
            for (long k = 0; k < K; k++) {
                float q = there ? std::nearbyintf(to_float(column[k]) / (most / 127)) : 0;
                block[(k / 4 * 16 + j) * 4 + k % 4] = (int8_t)q;
                sum += (int32_t)q;
            }
            scale[j] = most / 127 / 127;  // one 127 is the row's
            minus[j] = 128 * sum;
        }
    }
}

// A row of A as bytes; returns its largest absolute value, which is NaN where the row has one
template <class T> static inline float code_row(const T* a, long K, uint8_t* out) {
    vf most = splat(1e-12f);
    for (long k = 0; k < K; k += 16) {
        vf x = load(a + k);
        most = larger((vf)((vi)x & 0x7fffffff), most);
    }
    float top = 0;
    for (int i = 0; i < 16; i++) top = most[i] > top || most[i] != most[i] ? most[i] : top;
    const float by = 127 / top;
    const vf magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
    for (long k = 0; k < K; k += 16) {
        vi n = (vi)(load(a + k) * by + magic) + 128;
        v16u8 bytes = __builtin_convertvector((vu)n & 255, v16u8);
        memcpy(out + k, &bytes, 16);
    }
    return top;
}

// acc[i][j] += row i of A times block j of B
template <int MR, int NB>
static inline void micro8(const uint8_t* a, long lda, const int8_t* b, long stride, long K,
                          vi (&acc)[MR][NB]) {
    for (long k = 0; k < K; k += 4) {
        vi v[NB];
        for (int j = 0; j < NB; j++) memcpy(&v[j], b + j * stride + k * 16, 64);
        for (int i = 0; i < MR; i++) {
#if defined(__AVX512VNNI__)
            int32_t four;
            memcpy(&four, a + i * lda + k, 4);
            __m512i x = _mm512_set1_epi32(four);
            for (int j = 0; j < NB; j++)
                acc[i][j] = (vi)_mm512_dpbusd_epi32((__m512i)acc[i][j], x, (__m512i)v[j]);
#else
            const uint8_t* x = a + i * lda + k;
            for (int j = 0; j < NB; j++)
                for (int t = 0; t < 4; t++)
                    acc[i][j] += (int32_t)x[t] * ((vi)((vu)v[j] << (24 - 8 * t)) >> 24);
#endif
        }
    }
}

// The sums of a row's whole numbers as results; `b` is the first block's
template <int NB, class S>
static inline void give8(const vi* acc, float top, long m, const int8_t* b, long K, long block,
                         S& s) {
    vf v[NB];
    for (int j = 0; j < NB; j++) {
        const float* scale = (const float*)(b + j * block_bytes(K) + K * 16);
        vi minus;
        memcpy(&minus, scale + 16, 64);
        v[j] = __builtin_convertvector(acc[j] - minus, vf) * load(scale) * top;
    }
    s.row(m, block, v, NB);
}
template <int MR, int NB, class S>
static inline void panel8(const uint8_t* a, const float* top, long m, const int8_t* b, long K,
                          long block, S& s) {
    const int8_t* at = b + block * block_bytes(K);
    vi acc[MR][NB] = {};
    micro8<MR, NB>(a + m * K, K, at, block_bytes(K), K, acc);
    for (int i = 0; i < MR; i++) give8<NB>(acc[i], top[m + i], m + i, at, K, block, s);
}
template <int NB, class S>
static inline void panels8(const uint8_t* a, const float* top, long M, const int8_t* b, long K,
                           long block, S& s) {
    long m = 0;
    for (; m + 8 <= M; m += 8) panel8<8, NB>(a, top, m, b, K, block, s);
    if (M - m >= 4) panel8<4, NB>(a, top, m, b, K, block, s), m += 4;
    if (M - m >= 2) panel8<2, NB>(a, top, m, b, K, block, s), m += 2;
    if (M - m >= 1) panel8<1, NB>(a, top, m, b, K, block, s);
}

#if defined(__AMX_INT8__)
// (16 * TM) x (16 * TN) sums, TM and TN 1 or 2. C is [32][32].
template <int TM, int TN>
static inline void tile8(const uint8_t* a, const int8_t* b, long K, int32_t* c) {
    _tile_zero(0);
    if (TN > 1) _tile_zero(1);
    if (TM > 1) _tile_zero(2);
    if (TM > 1 && TN > 1) _tile_zero(3);
    const uint8_t* a1 = a + 16 * K;
    const int8_t* b1 = b + block_bytes(K);
    for (long k = 0; k < K; k += 64) {
        _tile_loadd(4, a + k, K);
        _tile_loadd(6, b + k * 16, 64);
        _tile_dpbusd(0, 4, 6);
        if (TN > 1) {
            _tile_loadd(7, b1 + k * 16, 64);
            _tile_dpbusd(1, 4, 7);
        }
        if (TM > 1) {
            _tile_loadd(5, a1 + k, K);
            _tile_dpbusd(2, 5, 6);
        }
        if (TM > 1 && TN > 1) _tile_dpbusd(3, 5, 7);
    }
    _tile_stored(0, c, 128);
    if (TN > 1) _tile_stored(1, c + 16, 128);
    if (TM > 1) _tile_stored(2, c + 16 * 32, 128);
    if (TM > 1 && TN > 1) _tile_stored(3, c + 16 * 32 + 16, 128);
}
template <int NB, class S>
static inline void tiles8(const uint8_t* a, const float* top, long m, long end, const int8_t* b,
                          long K, long block, S& s) {
    alignas(64) int32_t c[32 * 32];
    const int8_t* at = b + block * block_bytes(K);
    for (; m < end; m += 32) {
        if (end - m > 16) tile8<2, NB>(a + m * K, at, K, c);
        else tile8<1, NB>(a + m * K, at, K, c);
        for (long i = 0; i < 32 && m + i < end; i++)
            give8<NB>((const vi*)(c + i * 32), top[m + i], m + i, at, K, block, s);
    }
}
#endif

// Blocks first..last-1 of the product of coded rows, in the calling thread. With tiles, A is read
// up to a whole multiple of 16 rows.
template <class S>
void gemm8(const uint8_t* a, const float* top, long M, const int8_t* b, long K, long first,
           long last, S& s) {
    long block = first;
#if defined(__AMX_INT8__)
    if (use_amx && M >= 4 && K % 64 == 0) {
        for (long m = 0; m < M; m += 512) {  // rows that stay in the second cache
            const long end = std::min(M, m + 512);
            for (block = first; block + 2 <= last; block += 2)
                tiles8<2>(a, top, m, end, b, K, block, s);
            if (block < last) tiles8<1>(a, top, m, end, b, K, block, s);
        }
        return;
    }
#endif
    if (M <= 2)
        for (; block + 4 <= last; block += 4) panels8<4>(a, top, M, b, K, block, s);
    for (; block + 2 <= last; block += 2) panels8<2>(a, top, M, b, K, block, s);
    if (block < last) panels8<1>(a, top, M, b, K, block, s);
}

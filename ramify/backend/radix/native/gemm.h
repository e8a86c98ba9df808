// Products with a packed matrix: C[M][N] = A[M][K] B[K][N].
//
// B lies in blocks of 16 columns, each whole in memory: [N/16][K][16] for float,
// [N/16][K/2][16][2] for bfloat16 - what a tile of AMX, a dot product of AVX-512 and plain code can
// all read in order. A's rows are plain. What becomes of a row of results says the sink `S`:
// `s.row(m, block, v, count)` gets `count` neighbouring vectors of 16 columns.
#pragma once
#include "tiles.h"
template <class T> struct Pack;
template <> struct Pack<float> {
    static const int step = 1;  // values of K that lie together
};
template <> struct Pack<bf16> {
    static const int step = 2;
};

// w[N][K] row by row to blocks; columns beyond N are zero
template <class T> void pack(const T* w, long N, long K, T* out) {
    const int S = Pack<T>::step;
#pragma omp parallel for
    for (long b = 0; b < (N + 15) / 16; b++)
        for (long k = 0; k < K; k++)
            for (long j = 0; j < 16; j++) {
                T zero = from_float<T>(0);
                long n = b * 16 + j;
                out[(b * (K / S) + k / S) * 16 * S + j * S + k % S] = n < N ? w[n * K + k] : zero;
            }
}

// acc[i][j] += row i of A times block j of B
template <int MR, int NB>
static inline void micro(const float* a, long lda, const float* b, long stride, long K,
                         vf (&acc)[MR][NB]) {
    for (long k = 0; k < K; k++) {
        vf v[NB];
        for (int j = 0; j < NB; j++) v[j] = load(b + j * stride + k * 16);
        for (int i = 0; i < MR; i++)
            for (int j = 0; j < NB; j++) acc[i][j] += a[i * lda + k] * v[j];
    }
}
template <int MR, int NB>
static inline void micro(const bf16* a, long lda, const bf16* b, long stride, long K,
                         vf (&acc)[MR][NB]) {
    for (long k = 0; k < K; k += 2) {
#if defined(__AVX512BF16__)
        __m512i v[NB];
        for (int j = 0; j < NB; j++) v[j] = _mm512_loadu_si512(b + j * stride + k * 16);
        for (int i = 0; i < MR; i++) {
            int32_t pair;
            memcpy(&pair, a + i * lda + k, 4);
            __m512i x = _mm512_set1_epi32(pair);
            for (int j = 0; j < NB; j++)
                acc[i][j] = (vf)_mm512_dpbf16_ps((__m512)acc[i][j], (__m512bh)x, (__m512bh)v[j]);
        }
#else
        vf low[NB], high[NB];
        for (int j = 0; j < NB; j++) {
            vu v;
            memcpy(&v, b + j * stride + k * 16, 64);
            low[j] = (vf)(v << 16);
            high[j] = (vf)(v & 0xffff0000u);
        }
        for (int i = 0; i < MR; i++) {
            float x = to_float(a[i * lda + k]), y = to_float(a[i * lda + k + 1]);
            for (int j = 0; j < NB; j++) acc[i][j] += x * low[j] + y * high[j];
        }
#endif
    }
}

template <int MR, int NB, class T, class S>
static inline void panel(const T* a, long lda, long m, const T* b, long K, long block, S& s) {
    vf acc[MR][NB] = {};
    micro<MR, NB>(a + m * lda, lda, b + block * K * 16, K * 16, K, acc);
    for (int i = 0; i < MR; i++) s.row(m + i, block, acc[i], NB);
}
template <int NB, class T, class S>
static inline void panels(const T* a, long lda, long M, const T* b, long K, long block, S& s) {
    long m = 0;
    for (; m + 8 <= M; m += 8) panel<8, NB>(a, lda, m, b, K, block, s);
    if (M - m >= 4) panel<4, NB>(a, lda, m, b, K, block, s), m += 4;
    if (M - m >= 2) panel<2, NB>(a, lda, m, b, K, block, s), m += 2;
    if (M - m >= 1) panel<1, NB>(a, lda, m, b, K, block, s);
}

// Blocks first..last-1 of the product, in the calling thread. With tiles, A is read up to a whole
// multiple of 16 rows.
template <class T, class S>
void gemm(const T* a, long lda, long M, const T* b, long K, long first, long last, S& s) {
    if (by_tiles(a, lda, M, b, K, first, last, s)) return;
    long block = first;
    if (M <= 2)
        for (; block + 4 <= last; block += 4) panels<4>(a, lda, M, b, K, block, s);
    for (; block + 2 <= last; block += 2) panels<2>(a, lda, M, b, K, block, s);
    if (block < last) panels<1>(a, lda, M, b, K, block, s);
}

// C = A B, or C += A B, with plain rows of C: blocks first..last-1. With tiles, C is written up to a
// whole multiple of 16 rows as well.
template <bool ADD> struct Plain {
    float* c;
    long stride;
    void row(long m, long block, const vf* v, int count) {
        for (int j = 0; j < count; j++) {
            float* at = c + m * stride + (block + j) * 16;
            store(at, ADD ? load(at) + v[j] : v[j]);
        }
    }
};
template <bool ADD, class T>
void multiply(const T* a, long lda, long M, const T* b, long K, long first, long last, float* c,
              long ldc) {
    if (plain_by_tiles<ADD>(a, lda, M, b, K, first, last, c, ldc)) return;
    Plain<ADD> sink{c, ldc};
    gemm(a, lda, M, b, K, first, last, sink);
}

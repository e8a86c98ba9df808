// Products with a packed matrix: C[M][N] = A[M][K] B[K][N].
//
// B lies in blocks of 16 columns, each whole in memory: [N/16][K][16] for float,
// [N/16][K/2][16][2] for bfloat16 - what a tile of AMX, a dot product of AVX-512 and plain code can
// all read in order. A's rows are plain. What becomes of a row of results says the sink `S`:
// `s.row(m, block, v, count)` gets `count` neighbouring vectors of 16 columns.
#pragma once
#include "simd.h"
#if defined(__AMX_BF16__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

static bool use_amx = false;  // set once: the system must allow it

static inline bool amx_allowed() {
#if defined(__AMX_BF16__) && defined(__linux__)
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;  // ARCH_REQ_XCOMP_PERM, tile data
#else
    return false;
#endif
}
// Before and after a thread's work: eight tiles of 16 rows by 64 bytes
static inline void tiles_begin() {
#if defined(__AMX_BF16__)
    if (!use_amx) return;
    struct {
        uint8_t palette = 1, start = 0, unused[14] = {};
        uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    asm volatile("" : : "r"(&config) : "memory");  // GCC thinks that only its start is read
    _tile_loadconfig(&config);
#endif
}
static inline void tiles_end() {
#if defined(__AMX_BF16__)
    if (use_amx) _tile_release();
#endif
}

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

// The next blocks come while these are multiplied: they lie one after the other
static inline void fetch(const void* p, long bytes) {
    for (long i = 0; i < bytes; i += 64) __builtin_prefetch((const char*)p + i, 0, 2);
}

#if defined(__AMX_BF16__)
// (16 * TM) x (16 * TN) results, TM and TN 1 or 2, to C or (ADD) onto it. `meanwhile()` is called
// between the products: the tiles' unit works beside the vectors' units.
template <int TM, int TN, bool ADD, class F>
static inline void tile(const bf16* a, long lda, const bf16* b, long K, float* c, long ldc,
                        bool ahead, F& meanwhile) {
    const long row = ldc * 4;
    if (ADD) {
        _tile_loadd(0, c, row);
        if (TN > 1) _tile_loadd(1, c + 16, row);
        if (TM > 1) _tile_loadd(2, c + 16 * ldc, row);
        if (TM > 1 && TN > 1) _tile_loadd(3, c + 16 * ldc + 16, row);
    } else {
        _tile_zero(0);
        if (TN > 1) _tile_zero(1);
        if (TM > 1) _tile_zero(2);
        if (TM > 1 && TN > 1) _tile_zero(3);
    }
    const bf16 *a1 = a + 16 * lda, *b1 = b + 16 * K;
    for (long k = 0; k < K; k += 32) {
        if (ahead)
            for (int j = 0; j < TN; j++) fetch(b + (TN + j) * 16 * K + k * 16, 1024);
        _tile_loadd(4, a + k, lda * 2);
        _tile_loadd(6, b + k * 16, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (TN > 1) {
            _tile_loadd(7, b1 + k * 16, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (TM > 1) {
            _tile_loadd(5, a1 + k, lda * 2);
            _tile_dpbf16ps(2, 5, 6);
        }
        if (TM > 1 && TN > 1) _tile_dpbf16ps(3, 5, 7);
        meanwhile();
    }
    _tile_stored(0, c, row);
    if (TN > 1) _tile_stored(1, c + 16, row);
    if (TM > 1) _tile_stored(2, c + 16 * ldc, row);
    if (TM > 1 && TN > 1) _tile_stored(3, c + 16 * ldc + 16, row);
}
template <bool ADD, class F>
static inline void any_tile(bool two, int count, const bf16* a, long lda, const bf16* b, long K,
                            float* c, long ldc, bool ahead, F& meanwhile) {
    if (two && count == 2) tile<2, 2, ADD>(a, lda, b, K, c, ldc, ahead, meanwhile);
    else if (two) tile<2, 1, ADD>(a, lda, b, K, c, ldc, ahead, meanwhile);
    else if (count == 2) tile<1, 2, ADD>(a, lda, b, K, c, ldc, ahead, meanwhile);
    else tile<1, 1, ADD>(a, lda, b, K, c, ldc, ahead, meanwhile);
}

// Results that the sink has not had yet; it gets some rows at every call
template <class S> struct Drain {
    S& s;
    const float* c = nullptr;
    long m = 0, rows = 0, at = 0, block = 0;
    int count = 0;
    void operator()() {
        row();
        row();
    }
    void row() {
        if (at >= rows) return;
        vf v[2] = {load(c + at * 32), load(c + at * 32 + 16)};
        s.row(m + at++, block, v, count);
    }
    void all() {
        while (at < rows) row();
    }
};
#endif

template <class S>
static inline bool by_tiles(const float*, long, long, const float*, long, long, long, S&) {
    return false;
}
template <class S>
static inline bool by_tiles(const bf16* a, long lda, long M, const bf16* b, long K, long first,
                            long last, S& s) {
#if defined(__AMX_BF16__)
    if (!use_amx || M < 4 || K % 32) return false;
    alignas(64) float c[2][32 * 32];
    Drain<S> drain{s};
    int turn = 0;
    for (long first_row = 0; first_row < M; first_row += 512)  // rows that the second cache holds
        for (long block = first; block < last; block += 2) {
            const long end = M - first_row < 512 ? M : first_row + 512;
            const int count = last - block > 1 ? 2 : 1;
            for (long m = first_row; m < end; m += 32, turn ^= 1) {
                any_tile<false>(end - m > 16, count, a + m * lda, lda, b + block * K * 16, K,
                                c[turn], 32, m == first_row, drain);
                drain.all();
                drain.c = c[turn], drain.m = m, drain.block = block, drain.count = count;
                drain.rows = end - m < 32 ? end - m : 32, drain.at = 0;
            }
        }
    drain.all();
    return true;
#else
    return false;
#endif
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

// C = A B, or C += A B, with plain rows of C. With tiles, C is written up to a whole multiple of 16
// rows as well.
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
void multiply(const T* a, long lda, long M, const T* b, long K, long blocks, float* c, long ldc) {
#if defined(__AMX_BF16__)
    if constexpr (sizeof(T) == 2)
        if (use_amx && K % 32 == 0) {
            auto nothing = [] {};
            for (long block = 0; block < blocks; block += 2)
                for (long m = 0; m < M; m += 32)
                    any_tile<ADD>(M - m > 16, blocks - block > 1 ? 2 : 1, a + m * lda, lda,
                                  b + block * K * 16, K, c + m * ldc + block * 16, ldc, false,
                                  nothing);
            return;
        }
#endif
    Plain<ADD> sink{c, ldc};
    gemm(a, lda, M, b, K, 0, blocks, sink);
}

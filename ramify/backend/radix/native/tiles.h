// Products of bfloat16 on tiles (AMX): see gemm.h for how the operands lie.
#pragma once
#include <algorithm>

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

// These bytes come while something else is computed
static inline void fetch(const void* p, long bytes) {
    for (long i = 0; i < bytes; i += 64) __builtin_prefetch((const char*)p + i, 0, 2);
}

#if defined(__AMX_BF16__)
// What is read next comes meanwhile, so many lines at every step
struct Ahead {
    const char* at;
    long lines;
    void operator()() {
        for (long i = 0; i < lines; i++, at += 64) __builtin_prefetch(at, 0, 2);
    }
};
// Two blocks behind those at b, while m rows are multiplied with these
static inline Ahead next_blocks(const bf16* b, long K, long m) {
    const long turns = (m + 31) / 32;
    return {(const char*)(b + 32 * K), (32 + turns - 1) / turns};
}
// Of N blocks that are read once: memory is fastest where every block is a stream of its own and
// each step comes just before it is read. Behind the last step it is the first of the next N.
template <int N> struct Streams {
    const char* at;
    long block;  // bytes of one
    long steps;  // until the streams go on behind all of them
    Streams(const bf16* b, long K) : at((const char*)b + 1024), block(32 * K), steps(K / 32 - 1) {}
    void operator()() {
        if (steps-- == 0) at += (N - 1) * block;
        for (long i = 0; i < N; i++)
            for (long j = 0; j < 1024; j += 64) __builtin_prefetch(at + i * block + j, 0, 2);
        at += 1024;
    }
};

// (16 * TM) x (16 * TN) results, TM and TN 1 or 2, to C or (ADD) onto it; blocks of B are `stride`
// apart. `meanwhile()` is called between the products: the tiles' unit works beside the vectors'
// units. A goes by the first cache, where B stays.
template <int TM, int TN, bool ADD, class F>
static inline void tile(const bf16* a, long lda, const bf16* b, long stride, long K, float* c,
                        long ldc, F& meanwhile) {
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
    const bf16 *a1 = a + 16 * lda, *b1 = b + stride;
    for (long k = 0; k < K; k += 32) {
        _tile_stream_loadd(4, a + k, lda * 2);
        _tile_loadd(6, b + k * 16, 64);
        if (TN > 1) _tile_loadd(7, b1 + k * 16, 64);
        if (TM > 1) _tile_stream_loadd(5, a1 + k, lda * 2);
        _tile_dpbf16ps(0, 4, 6);
        if (TN > 1) _tile_dpbf16ps(1, 4, 7);
        if (TM > 1) _tile_dpbf16ps(2, 5, 6);
        if (TM > 1 && TN > 1) _tile_dpbf16ps(3, 5, 7);
        meanwhile();
    }
    _tile_stored(0, c, row);
    if (TN > 1) _tile_stored(1, c + 16, row);
    if (TM > 1) _tile_stored(2, c + 16 * ldc, row);
    if (TM > 1 && TN > 1) _tile_stored(3, c + 16 * ldc + 16, row);
}
template <bool ADD, class F>
static inline void any_tile(bool two, int count, const bf16* a, long lda, const bf16* b, long stride,
                            long K, float* c, long ldc, F& meanwhile) {
    if (two && count == 2) tile<2, 2, ADD>(a, lda, b, stride, K, c, ldc, meanwhile);
    else if (two) tile<2, 1, ADD>(a, lda, b, stride, K, c, ldc, meanwhile);
    else if (count == 2) tile<1, 2, ADD>(a, lda, b, stride, K, c, ldc, meanwhile);
    else tile<1, 1, ADD>(a, lda, b, stride, K, c, ldc, meanwhile);
}

const int ROW = 4;  // blocks at once, where there are 16 rows at most

// 16 x (16 * ROW) results, as `tile` makes them: the more streams, the faster B comes from memory
template <bool ADD, class F>
static inline void row_of_tiles(const bf16* a, long lda, const bf16* b, long stride, long K, float* c,
                                long ldc, F& meanwhile) {
    if (ADD) {
        _tile_loadd(0, c, ldc * 4);
        _tile_loadd(1, c + 16, ldc * 4);
        _tile_loadd(2, c + 32, ldc * 4);
        _tile_loadd(3, c + 48, ldc * 4);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (long k = 0; k < K; k += 32) {
        const bf16* at = b + k * 16;
        _tile_loadd(4, a + k, lda * 2);
        _tile_loadd(5, at, 64);
        _tile_loadd(6, at + stride, 64);
        _tile_loadd(7, at + 2 * stride, 64);
        _tile_dpbf16ps(0, 4, 5);
        _tile_dpbf16ps(1, 4, 6);
        _tile_loadd(5, at + 3 * stride, 64);
        _tile_dpbf16ps(2, 4, 7);
        _tile_dpbf16ps(3, 4, 5);
        meanwhile();
    }
    _tile_stored(0, c, ldc * 4);
    _tile_stored(1, c + 16, ldc * 4);
    _tile_stored(2, c + 32, ldc * 4);
    _tile_stored(3, c + 48, ldc * 4);
}

// Results that the sink has not had yet; it gets some rows at every call
template <class S, int N, class A> struct Drain {  // N blocks wide
    S& s;
    A ahead;
    const float* c = nullptr;
    long m = 0, rows = 0, at = 0, block = 0;
    int count = 0;
    void operator()() {
        ahead();
        row();
        row();
    }
    void row() {
        if (at >= rows) return;
        vf v[N];
        for (int j = 0; j < N; j++) v[j] = load(c + at * 16 * N + j * 16);
        s.row(m + at++, block, v, count);
    }
    void all() {
        while (at < rows) row();
    }
    // The results that come next: rows m.. of `count` blocks
    void take(const float* results, long first, long some, long at_block, int blocks) {
        all();
        c = results, m = first, rows = some, at = 0, block = at_block, count = blocks;
    }
};
const long NEAR = 512;   // rows of A that the second cache holds
const long DEEP = 640;   // of K: what two blocks of B may take of the first cache
#endif

// Whether the product of these blocks was made by tiles, its rows given to the sink
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
    int turn = 0;
    if (M <= 16 && first + ROW <= last) {
        Drain<S, ROW, Streams<ROW>> drain{s, {b, K}};
        for (; first + ROW <= last; first += ROW, turn ^= 1) {
            const bf16* some = b + first * K * 16;
            drain.ahead = {some, K};
            row_of_tiles<false>(a, lda, some, K * 16, K, c[turn], 16 * ROW, drain);
            drain.take(c[turn], 0, M, first, ROW);
        }
        drain.all();
    }
    Drain<S, 2, Ahead> drain{s, {}};
    for (long first_row = 0; first_row < M; first_row += NEAR)
        for (long block = first; block < last; block += 2) {
            const long end = std::min(M, first_row + NEAR);
            const int count = last - block > 1 ? 2 : 1;
            drain.ahead = next_blocks(b + block * K * 16, K, end - first_row);
            for (long m = first_row; m < end; m += 32, turn ^= 1) {
                any_tile<false>(end - m > 16, count, a + m * lda, lda, b + block * K * 16, K * 16, K,
                                c[turn], 32, drain);
                drain.take(c[turn], m, std::min(32L, end - m), block, count);
            }
        }
    drain.all();
    return true;
#else
    return false;
#endif
}

// The same to plain rows of C, or onto them
template <bool ADD>
static inline bool plain_by_tiles(const float*, long, long, const float*, long, long, long, float*,
                                  long) {
    return false;
}
template <bool ADD>
static inline bool plain_by_tiles(const bf16* a, long lda, long M, const bf16* b, long K, long first,
                                  long last, float* c, long ldc) {
#if defined(__AMX_BF16__)
    if (!use_amx || M < 4 || K % 32) return false;
    const long pieces = K <= DEEP ? 1 : (K + 447) / 448, near = K <= DEEP ? NEAR : NEAR / 2;
    const long depth = (K / 32 + pieces - 1) / pieces * 32;
    for (; M <= 16 && first + ROW <= last; first += ROW) {
        const bf16* some = b + first * K * 16;
        Streams<ROW> ahead(some, K);
        row_of_tiles<ADD>(a, lda, some, K * 16, K, c + first * 16, ldc, ahead);
    }
    for (long row = 0; row < M; row += near)
        for (long block = first; block < last; block += 2) {
            const long end = std::min(M, row + near);
            const int count = last - block > 1 ? 2 : 1;
            Ahead ahead = next_blocks(b + block * K * 16, K, end - row);
            for (long k = 0; k < K; k += depth)
                for (long m = row; m < end; m += 32) {
                    const long some = std::min(depth, K - k);
                    const bf16 *left = a + m * lda + k, *right = b + (block * K + k) * 16;
                    float* to = c + m * ldc + block * 16;
                    if (ADD || k) any_tile<true>(end - m > 16, count, left, lda, right, K * 16,
                                                 some, to, ldc, ahead);
                    else any_tile<false>(end - m > 16, count, left, lda, right, K * 16, some, to,
                                         ldc, ahead);
                }
        }
    return true;
#else
    return false;
#endif
}

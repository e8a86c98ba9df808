// A block of keys for a few queries: a branch's own tail in a decode step. Nothing is packed but keys.
#pragma once
#include "attention.h"

#if defined(__AVX512BF16__)
const long HANDFUL = 8;  // queries of a task, at most

// Scores of L queries [L][D] with packed keys: [L][BLOCK]
template <int L>
static inline void few_scores(const bf16* q, long D, const bf16* packed, long blocks, float* s) {
    for (long b = 0; b < blocks; b += 2) {  // a second block behind the last: nobody reads its scores
        vf found[L][2] = {};
        micro<L, 2>(q, D, packed + b * 16 * D, 16 * D, D, found);
        for (int l = 0; l < L; l++)
            for (int j = 0; j < 2; j++) store(s + l * BLOCK + (b + j) * 16, found[l][j]);
    }
}

// L results [L][D] plus weights [L][BLOCK] by values, two keys at a time
template <int L>
static inline void few_values(const bf16* p, const bf16* values, const int32_t* slots, long n, long step,
                              long D, float* out) {
    // what the unpacking of pairs leaves of the order of 32 numbers
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    for (long d = 0; d < D; d += 32) {
        __m512 sums[L][2];
        for (int l = 0; l < L; l++) sums[l][0] = sums[l][1] = _mm512_setzero_ps();
        for (long j = 0; j < n; j += 2) {  // behind the last key comes itself, with a weight of zero
            const __m512i a = _mm512_loadu_si512(values + slots[j] * step + d);
            const __m512i b = _mm512_loadu_si512(values + slots[j + 1 < n ? j + 1 : j] * step + d);
            const __m512bh low = (__m512bh)_mm512_unpacklo_epi16(a, b);
            const __m512bh high = (__m512bh)_mm512_unpackhi_epi16(a, b);
            for (int l = 0; l < L; l++) {
                int32_t pair;
                memcpy(&pair, p + l * BLOCK + j, 4);
                const __m512bh w = (__m512bh)_mm512_set1_epi32(pair);
                sums[l][0] = _mm512_dpbf16_ps(sums[l][0], w, low);
                sums[l][1] = _mm512_dpbf16_ps(sums[l][1], w, high);
            }
        }
        for (int l = 0; l < L; l++) {
            float* to = out + l * D + d;
            store(to, load(to) + (vf)_mm512_permutex2var_ps(sums[l][0], first, sums[l][1]));
            store(to + 16, load(to + 16) + (vf)_mm512_permutex2var_ps(sums[l][0], second, sums[l][1]));
        }
    }
}

// The same kernel for every number of queries up to four
template <class F> static inline void by_fours(long rows, F&& each) {
    for (long at = 0; at < rows; at += 4) switch (std::min(4L, rows - at)) {
        case 1: each(std::integral_constant<int, 1>(), at); break;
        case 2: each(std::integral_constant<int, 2>(), at); break;
        case 3: each(std::integral_constant<int, 3>(), at); break;
        default: each(std::integral_constant<int, 4>(), at);
    }
}

static inline void few(const Task& t, const Problems& p, const Heads& h, const Layer<bf16>& layer,
                       Scratch<bf16>& s, long head, long from, long n, bool masked, float scale,
                       Coming<bf16>& coming) {
    const long G = h.group(), D = h.size, rows = (t.last - t.first) * G, step = h.kv * D;
    const int32_t* slots = p.keys + from;
    const long room = (n + 31) / 32 * 32;
    pack_keys(layer.keys, slots, n, h, head, s.packed);
    by_fours(rows, [&](auto count, long at) {
        few_scores<count()>(s.query + at * D, D, s.packed, (n + 15) / 16, s.scores + at * BLOCK);
    });
    coming();
    for (long i = 0; i < rows; i++, coming())
        soften(s.scores + i * BLOCK, s.probs + i * BLOCK, n, room, scale, masked || n % 16,
               p.key_at + from, p.row_at[t.first + i / G], t.own, layer.window, s.max[i], s.sum[i],
               s.out + i * D, D);
    by_fours(rows, [&](auto count, long at) {
        few_values<count()>(s.probs + at * BLOCK, layer.values + head * D, slots, n, step, D,
                            s.out + at * D);
    });
}
#else
const long HANDFUL = 0;  // not without dot products of bfloat16
#endif

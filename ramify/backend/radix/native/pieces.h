// Sixteen lanes by 32 keys, one piece after the other, on tiles: the scores of a piece are made and
// the values of the one before the last are added while the vectors' units weigh the last one.
//
// A lane's scores are taken relative to some score that it has seen, not to its largest: as long
// as no weight grows beyond 2^40 nothing need be scaled down (float and bfloat16 reach to 2^127).
#pragma once
#include "attention.h"

#if defined(__AMX_BF16__) && defined(__AVX512F__)
// 2^x, as exact as bfloat16 can tell; a NaN stays one, minus infinity becomes zero
static inline __m512 power(__m512 x) {
    __m512 f = _mm512_reduce_ps(x, 9);  // what x is over the whole number below it
    __m512 p = _mm512_set1_ps(0.07826797f);  // 1 at 0, 2 at 1, between them 1e-4 off at most
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.22630768f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.69542435f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, x);
}

// What is written by vectors is there before tiles are loaded: GCC does not know what those read
static inline void written() { asm volatile("" : : : "memory"); }

// Product number I of the D / 16 that make the scores of a piece: tile 4 or 5 has sixteen keys each
template <int I> static inline void score(const bf16* keys, long stride, const bf16* query) {
    if constexpr (I == 0) _tile_zero(4);
    if constexpr (I == 1) _tile_zero(5);
    if constexpr (I % 2 == 0) _tile_loadd(7, query + I * 256, 64);
    _tile_loadd(6, keys + I % 2 * 16 * stride + I / 2 * 32, stride * 2);
    if constexpr (I % 2 == 0) _tile_dpbf16ps(4, 6, 7);
    else _tile_dpbf16ps(5, 6, 7);
}
static inline void give_scores(float* s) {  // [32][16]
    _tile_stored(4, s, 64);
    _tile_stored(5, s + 256, 64);
}

// What groups of lanes have collected, [D][16] each: in tiles while pieces of the same group come,
// if D is 64 at most, else in memory.
template <int D> struct Results {
    float* all;
    long held = -1;

    void take(long group) {
        if (D > 64 || held == group) return;
        give();
        move<false, 0>(all + group * D * 16);
        held = group;
    }
    void give() {
        if (held >= 0) move<true, 0>(all + held * D * 16);
        held = -1;
    }
    // Product number I of D / 16: weights [16][16][2] by values [D][KEYS]
    template <int I> void add(long group, const bf16* p, const bf16* values) {
        float* out = all + group * D * 16;
        if constexpr (D > 64 && I % 4 == 0) move<false, I>(out);
        if constexpr (I % 4 == 0) _tile_loadd(6, p, 64);
        _tile_loadd(7, values + I * 16 * KEYS, KEYS * 2);
        if constexpr (I % 4 == 0) _tile_dpbf16ps(0, 7, 6);
        if constexpr (I % 4 == 1) _tile_dpbf16ps(1, 7, 6);
        if constexpr (I % 4 == 2) _tile_dpbf16ps(2, 7, 6);
        if constexpr (I % 4 == 3) _tile_dpbf16ps(3, 7, 6);
        if constexpr (D > 64 && (I % 4 == 3 || I == D / 16 - 1)) move<true, I / 4 * 4>(out);
    }
    void scale(long group, __m512 by) {
        const bool here = held == group;
        if (here) give();
        float* out = all + group * D * 16;
        for (long d = 0; d < D * 16; d += 16)
            _mm512_storeu_ps(out + d, _mm512_mul_ps(_mm512_loadu_ps(out + d), by));
        written();
        if (here) take(group);
    }

  private:
    // Up to four tiles from number FIRST on
    template <bool OUT, int FIRST> static void move(float* out) {
        float* at = out + FIRST * 256;
#define MOVE(i) if (OUT) _tile_stored(i, at + i * 256, 64); else _tile_loadd(i, at + i * 256, 64)
        MOVE(0);
        MOVE(1);
        if constexpr (D / 16 - FIRST < 4) return;
        MOVE(2);
        MOVE(3);
#undef MOVE
    }
};

// Sixteen lanes' weights of scores [32][16], in pairs of keys to p, and their sums. Between pair J and
// the next `meanwhile.step<J>()` is called: the tiles' unit works beside those of the vectors, but
// they do not look far ahead.
struct Weights16 {
    const float* s;
    bf16* p;
    __m512 by, minus;
    __m512 sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};

    template <int J, class F> inline __attribute__((always_inline)) void from(F& meanwhile) {
        const __m512i half = _mm512_set1_epi32(0x8000);
        __m512 a = power(_mm512_fmsub_ps(_mm512_loadu_ps(s + J * 32), by, minus));
        __m512 b = power(_mm512_fmsub_ps(_mm512_loadu_ps(s + J * 32 + 16), by, minus));
        sums[0] = _mm512_add_ps(sums[0], a);
        sums[1] = _mm512_add_ps(sums[1], b);
        __m512i low = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(a), half), 16);
        __m512i high = _mm512_add_epi32(_mm512_castps_si512(b), half);
        _mm512_storeu_si512(p + J * 32, _mm512_mask_blend_epi16(0xaaaaaaaa, low, high));
        meanwhile.template step<J>();
        if constexpr (J < PIECE / 2 - 1) from<J + 1>(meanwhile);
    }
    __m512 sum() const { return _mm512_add_ps(sums[0], sums[1]); }
};
struct Nothing {
    template <int J> void step() {}
};

// What a lane without a key has seen takes nothing away
static inline __m512 taken_off(__m512 seen) {
    const __m512 none = _mm512_set1_ps(-INFINITY);
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(seen, none, _CMP_NEQ_OQ), seen);
}

// Scores from now on relative to the largest that the lanes have seen
template <int D>
static __attribute__((noinline)) void raise(const float* s, __m512 by, float* seen, float* sum,
                                            long group, Results<D>& results) {
    __m512 top = _mm512_set1_ps(-INFINITY);
    for (long j = 0; j < PIECE; j++)  // passes over a NaN; its weight is one again
        top = _mm512_max_ps(_mm512_loadu_ps(s + j * 16), top);
    const __m512 was = _mm512_loadu_ps(seen), now = _mm512_max_ps(_mm512_mul_ps(top, by), was);
    const __m512 down = power(_mm512_sub_ps(was, taken_off(now)));
    _mm512_storeu_ps(seen, now);
    _mm512_storeu_ps(sum, _mm512_mul_ps(_mm512_loadu_ps(sum), down));
    results.scale(group, down);
}

// A line of pieces, of one head by one block of keys
template <int D> struct Line {
    const std::vector<Piece>& pieces;
    const bf16* keys;  // [n][stride]
    long stride;
    const bf16 *values, *query;  // [D][KEYS], [groups][D / 2][16][2]
    float *seen, *sum;           // [groups * 16]
    float scale, *scores;        // times a score: powers of two; of two pieces
    bf16* probs;                 // of two pieces
    Results<D> results;
    Coming<bf16>& coming;
    long scored = 0, weighed = 0, added = 0;  // pieces so far

    float* scores_of(long i) const { return scores + i % 2 * PIECE * 16; }
    bf16* probs_of(long i) const { return probs + i % 2 * PIECE * 16; }

    // Of the next piece to score and the next to add: D / 8 products in PIECE / 2 steps
    template <int I, int LAST> inline __attribute__((always_inline)) void products() {
        if constexpr (I < LAST) {
            if constexpr (I < D / 16) {
                const Piece& next = pieces[scored];
                score<I>(keys + next.first * stride, stride, query + next.group * 16 * D);
            } else {
                const Piece& next = pieces[added];
                results.template add<I - D / 16>(next.group, probs_of(added), values + next.first);
            }
            products<I + 1, LAST>();
        }
    }
    template <int J> inline __attribute__((always_inline)) void step() {
        products<J * (D / 8) / (PIECE / 2), (J + 1) * (D / 8) / (PIECE / 2)>();
        if constexpr (J % 8 == 0) coming();
    }
    void score_next() {
        products<0, D / 16>();
        give_scores(scores_of(scored++));
    }
    void add_next() {
        results.take(pieces[added].group);
        products<D / 16, D / 8>();
        added++;
    }
    // The next piece's scores become weights; meanwhile others are scored and added, if there are
    void weigh_next() {
        const long i = weighed, group = pieces[i].group;
        const __m512 none = _mm512_set1_ps(-INFINITY), by = _mm512_set1_ps(scale);
        float *seen = this->seen + group * 16, *sum = this->sum + group * 16;
        if (_mm512_cmp_ps_mask(_mm512_loadu_ps(seen), none, _CMP_EQ_OQ)) {
            while (added < i) add_next();
            raise(scores_of(i), by, seen, sum, group, results);
        }
        Weights16 w{scores_of(i), probs_of(i), by, taken_off(_mm512_loadu_ps(seen))};
        if (scored < (long)pieces.size() && added < i) {
            results.take(pieces[added].group);
            w.template from<0>(*this);
            give_scores(scores_of(scored++)), added++;
        } else {
            Nothing nothing;
            if (scored < (long)pieces.size()) score_next();
            while (added < i) add_next();
            w.template from<0>(nothing);
        }
        __m512 made = w.sum();
        if (_mm512_cmp_ps_mask(made, _mm512_set1_ps(0x1p40f), _CMP_GT_OQ)) {
            raise(scores_of(i), by, seen, sum, group, results);
            Weights16 again{scores_of(i), probs_of(i), by, taken_off(_mm512_loadu_ps(seen))};
            Nothing nothing;
            again.template from<0>(nothing);
            made = again.sum();
        }
        _mm512_storeu_ps(sum, _mm512_add_ps(_mm512_loadu_ps(sum), made));
        written();
        weighed++;
    }
};
#endif

// A task whose products run on tiles (AMX, bfloat16): queries are the columns of scores.
//
// Scores come as keys by queries, so that sixteen queries lie in a vector and the softmax needs no
// sum or maximum across one; pairs of keys then lie as the second product wants them. The result
// is collected as head size by queries and turned at the end. A query of one head is a *lane*; the
// lanes of a task are its rows by the heads of the group, 32 at a time.
#pragma once
#include "attention.h"

#if defined(__AMX_BF16__) && defined(__AVX512F__)
// 2^x for x <= 0, as exact as bfloat16 can tell; a NaN stays one, minus infinity becomes zero
static inline __m512 power(__m512 x) {
    __m512 f = _mm512_reduce_ps(x, 9);  // what x is over the whole number below it
    __m512 p = _mm512_set1_ps(0.07826797f);  // 1 at 0, 2 at 1, between them 1e-4 off at most
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.22630768f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.69542435f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, x);
}

// Values of 32 keys as rows of D: out[D][stride], keys beyond n are zero
static inline void turn_values(const bf16* const* rows, long D, bf16* out, long stride) {
    alignas(64) uint32_t low[16][16], high[16][16];
    const uint32_t *lows[16], *highs[16];
    for (int i = 0; i < 16; i++) lows[i] = low[i], highs[i] = high[i];
    for (long d = 0; d < D; d += 32) {
        for (int i = 0; i < 16; i++) {
            __m512i a = _mm512_loadu_si512(rows[2 * i] + d);
            __m512i b = _mm512_loadu_si512(rows[2 * i + 1] + d);
            _mm512_store_si512(low[i], _mm512_unpacklo_epi16(a, b));  // of every eight the first four
            _mm512_store_si512(high[i], _mm512_unpackhi_epi16(a, b));
        }
        uint32_t* to = (uint32_t*)(out + d * stride);
        transpose16(lows, to, stride / 2, 4 * stride);
        transpose16(highs, to + 2 * stride, stride / 2, 4 * stride);
    }
}

// A block of keys and values, as the products read it
struct Keys {
    const bf16* keys;  // [n][stride]
    long stride;
    const bf16* values;  // [D][KEYS]
    const int32_t* at;
    long n, least, most;  // keys, and their positions
};

static inline Keys read_keys(const Task& t, const Problems& p, const Heads& h,
                             const Layer<bf16>& layer, Scratch<bf16>& s, long from, long n) {
    static const bf16 zeros[1024] = {};
    const int32_t* slots = p.keys + from;
    const long D = h.size, step = h.kv * D;
    const bf16 *keys = layer.keys + t.head * D, *values = layer.values + t.head * D;
    Keys found{s.keys, D, s.packed, p.key_at + from, n, p.key_at[from], p.key_at[from]};
    bool row = n % 16 == 0;  // one slot behind the other
    for (long j = 0; j < n; j++) {
        found.least = std::min(found.least, (long)found.at[j]);
        found.most = std::max(found.most, (long)found.at[j]);
        row = row && slots[j] == slots[0] + j;
    }
    if (row) found.keys = keys + slots[0] * step, found.stride = step;
    else for (long j = 0; j < n; j++) memcpy(s.keys + j * D, keys + slots[j] * step, D * 2);
    for (long j = 0; j < n; j += 32) {
        const bf16* rows[32];
        for (long i = 0; i < 32; i++) rows[i] = j + i < n ? values + slots[j + i] * step : zeros;
        turn_values(rows, D, s.packed + j, KEYS);
    }
    return found;
}

// Scores of a key that a lane does not see become minus infinity
static inline void hide(float* s, const Keys& k, long n, long room, __m512i row_at, bool own,
                        long window) {
    const __m512 none = _mm512_set1_ps(-INFINITY);
    const __m512i oldest = _mm512_sub_epi32(row_at, _mm512_set1_epi32((int)window));
    for (long j = 0; j < n; j++) {
        const __m512i at = _mm512_set1_epi32(k.at[j]);
        __mmask16 bad = own ? _mm512_cmpgt_epi32_mask(at, row_at) : 0;
        if (window) bad |= _mm512_cmple_epi32_mask(at, oldest);
        _mm512_mask_storeu_ps(s + j * LANES, bad, none);
    }
    for (long j = n; j < room; j++) _mm512_storeu_ps(s + j * LANES, none);
}

// Scores [room][LANES] of 16 lanes become weights, in pairs of keys; what the lanes have so far is
// scaled down where their largest score grows.
static inline void weigh(const float* s, bf16* p, long room, float scale, float* max, float* sum,
                         float* out, long D) {
    __m512 top[2] = {_mm512_set1_ps(-INFINITY), _mm512_set1_ps(-INFINITY)};
    for (long j = 0; j < room; j += 2)  // passes over a NaN; its weight is one again
        for (int i = 0; i < 2; i++)
            top[i] = _mm512_max_ps(_mm512_loadu_ps(s + (j + i) * LANES), top[i]);
    const __m512 by = _mm512_set1_ps(scale), was = _mm512_loadu_ps(max);
    const __m512 now = _mm512_max_ps(_mm512_mul_ps(_mm512_max_ps(top[0], top[1]), by), was);
    // a lane that has seen nothing yet has no largest score
    const __mmask16 seen = _mm512_cmp_ps_mask(now, _mm512_set1_ps(-INFINITY), _CMP_NEQ_OQ);
    const __m512 minus = _mm512_maskz_mov_ps(seen, now);
    __m512 total = _mm512_loadu_ps(sum);
    if (_mm512_cmp_ps_mask(now, was, _CMP_NEQ_UQ)) {
        const __m512 down = power(_mm512_sub_ps(was, minus));
        total = _mm512_mul_ps(total, down);
        for (long d = 0; d < D; d++)
            _mm512_storeu_ps(out + d * LANES, _mm512_mul_ps(_mm512_loadu_ps(out + d * LANES), down));
        _mm512_storeu_ps(max, now);
    }
    __m512 more = _mm512_setzero_ps();
    const __m512i half = _mm512_set1_epi32(0x8000);
    for (long j = 0; j < room; j += 2) {
        __m512 a = power(_mm512_fmsub_ps(_mm512_loadu_ps(s + j * LANES), by, minus));
        __m512 b = power(_mm512_fmsub_ps(_mm512_loadu_ps(s + (j + 1) * LANES), by, minus));
        total = _mm512_add_ps(total, a);
        more = _mm512_add_ps(more, b);
        __m512i low = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(a), half), 16);
        __m512i high = _mm512_add_epi32(_mm512_castps_si512(b), half);
        _mm512_storeu_si512(p + j * 16, _mm512_mask_blend_epi16(0xaaaaaaaa, low, high));
    }
    _mm512_storeu_ps(sum, _mm512_add_ps(total, more));
}

// Two vectors of lanes by a block of keys
static inline void meet_keys(const Task& t, const Keys& k, const Heads& h,
                             const Layer<bf16>& layer, Scratch<bf16>& s, long lane, float scale) {
    const long D = h.size, window = layer.window;
    long low = s.row_at[lane], high = low, n = k.n;
    for (long i = 1; i < LANES; i++) {
        low = std::min(low, (long)s.row_at[lane + i]);
        high = std::max(high, (long)s.row_at[lane + i]);
    }
    if (t.own) while (n && k.at[n - 1] > high) n--;
    if (!n || (t.own && k.least > high) || (window && k.most <= low - window)) return;
    const bool all = n % 32 == 0 && !(t.own && k.most > low) && !(window && k.least <= high - window);
    const long room = (n + 31) / 32 * 32;
    float* out = s.out + lane * D;
    multiply<false>(k.keys, k.stride, n, s.query + lane * D, D, 0, 2, s.scores, LANES);
    for (long half = 0; half < LANES; half += 16) {
        if (!all)
            hide(s.scores + half, k, n, room, _mm512_loadu_si512(s.row_at + lane + half), t.own,
                 window);
        weigh(s.scores + half, s.probs + half * room, room, scale, s.max + lane + half,
              s.sum + lane + half, out + half, D);
    }
    multiply<true>(k.values, KEYS, D, s.probs, room, 0, 2, out, LANES);
}

// Queries as columns: [lanes / 16][D / 2][16][2]; lanes that are no row's repeat the first
static inline void take_queries(const Task& t, const Problems& p, const Heads& h,
                                const Layer<bf16>& layer, Scratch<bf16>& s, long lanes) {
    const long G = h.group(), D = h.size, real = (t.last - t.first) * G;
    for (long lane = 0; lane < lanes; lane += 16) {
        const uint32_t* in[16];
        for (long i = 0; i < 16; i++) {
            const long l = lane + i < real ? lane + i : 0, row = t.first + l / G;
            const bf16* query = layer.query + (p.rows[row] * h.query + t.head * G + l % G) * D;
            if (t.shift) {
                memcpy(s.turned + i * D, query, D * 2);
                turn(s.turned + i * D, 1, D, t.shift, layer);
                query = s.turned + i * D;
            }
            in[i] = (const uint32_t*)query;
            s.row_at[lane + i] = p.row_at[row];
        }
        for (long w = 0; w < D / 2; w += 16) {
            transpose16(in, (uint32_t*)(s.query + lane * D) + w * 16, 16, 64);
            for (long i = 0; i < 16; i++) in[i] += 16;
        }
    }
}

// What the lanes have collected, as rows of heads
static inline void give_rows(const Task& t, const Tasks& tasks, const Problems& p, const Heads& h,
                             const Layer<bf16>& layer, Scratch<bf16>& s) {
    const long G = h.group(), D = h.size, real = (t.last - t.first) * G;
    alignas(64) float column[16][16], turned[16][16];
    const uint32_t* in[16];
    for (int i = 0; i < 16; i++) in[i] = (const uint32_t*)column[i];
    for (long lane = 0; lane < real; lane += 16) {
        const vf total = load(s.sum + lane);
        const vf by = pick(total == 0.0f, vf{}, 1 / total);
        for (long d = 0; d < D; d += 16) {
            const float* from = s.out + lane / LANES * LANES * D + d * LANES + lane % LANES;
            for (int i = 0; i < 16; i++) store(column[i], load(from + i * LANES) * by);
            transpose16(in, (uint32_t*)turned[0], 16, 64);
            for (long i = 0; i < 16 && lane + i < real; i++) {
                const long l = lane + i, part = tasks.part[t.parts + l / G];
                const long head = t.head * G + l % G;
                if (part >= 0) store(layer.partial + (part * h.query + head) * D + d, load(turned[i]));
                else store(layer.out + (p.rows[t.first + l / G] * h.query + head) * D + d,
                           load(turned[i]));
            }
        }
    }
    for (long l = 0; l < real; l++) {
        const long part = tasks.part[t.parts + l / G];
        if (part >= 0)
            layer.lse[part * h.query + t.head * G + l % G] =
                s.sum[l] == 0 ? -INFINITY : s.max[l] + log2f(s.sum[l]);
    }
}

static inline void run_columns(const Task& t, const Task* following, const Tasks& tasks,
                               const Problems& p, const Heads& h, const Layer<bf16>& layer,
                               Scratch<bf16>& s) {
    const long D = h.size, real = (t.last - t.first) * h.group();
    const long lanes = (real + LANES - 1) / LANES * LANES;
    take_queries(t, p, h, layer, s, lanes);
    memset(s.out, 0, lanes * D * 4);
    for (long l = 0; l < lanes; l++) s.max[l] = -INFINITY, s.sum[l] = 0;
    long low = s.row_at[0], high = low;
    for (long l = 1; l < real; l++) {
        low = std::min(low, (long)s.row_at[l]);
        high = std::max(high, (long)s.row_at[l]);
    }
    for (long from = t.from; from < t.to; from += KEYS) {
        const long n = std::min(KEYS, t.to - from);
        if (!View(p, from, from + n, low, high, t.own, layer.window).some) continue;
        const Keys keys = read_keys(t, p, h, layer, s, from, n);
        if (from + n < t.to) expect(p, h, layer, t.head, from + n, t.to);
        else if (following) expect(*following, p, h, layer);
        for (long lane = 0; lane < lanes; lane += LANES)
            meet_keys(t, keys, h, layer, s, lane, layer.scale * 1.44269504f);
    }
    give_rows(t, tasks, p, h, layer, s);
}
#endif

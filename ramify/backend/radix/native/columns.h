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

// A block of keys, and one head's keys and values as the products read them
struct Keys {
    const int32_t *slots, *at;
    long n, least, most;  // keys, and their positions
    bool row;             // one slot behind the other
    const bf16* keys = nullptr;  // [n][stride]
    long stride = 0;
    const bf16* values = nullptr;  // [D][KEYS]

    Keys(const Problems& p, long from, long n) : slots(p.keys + from), at(p.key_at + from), n(n) {
        int32_t low = at[0], high = at[0], gaps = 0;
        for (long j = 0; j < n; j++) {
            low = std::min(low, at[j]);
            high = std::max(high, at[j]);
            gaps |= slots[j] - slots[0] - (int32_t)j;
        }
        least = low, most = high, row = !gaps;
    }
    void read(long head, const Heads& h, const Layer<bf16>& layer, Scratch<bf16>& s) {
        static const bf16 zeros[1024] = {};
        const long D = h.size, step = h.kv * D;
        const bf16 *from = layer.keys + head * D, *also = layer.values + head * D;
        keys = s.keys, stride = D, values = s.packed;
        if (row && n % 16 == 0) keys = from + slots[0] * step, stride = step;
        else for (long j = 0; j < n; j++) memcpy(s.keys + j * D, from + slots[j] * step, D * 2);
        for (long j = 0; j < n; j += 32) {
            const bf16* rows[32];
            for (long i = 0; i < 32; i++) rows[i] = j + i < n ? also + slots[j + i] * step : zeros;
            turn_values(rows, D, s.packed + j, KEYS);
        }
    }
};

// The block of keys behind one that is worked on: comes line by line meanwhile
struct Coming {
    const char *keys = nullptr, *values = nullptr;
    long lines = 0;
    // The next block of a task, or the first of the one that follows
    Coming(const Task& t, const Task* following, long from, const Problems& p, const Heads& h,
           const Layer<bf16>& layer) {
        if (from >= t.to && !following) return;
        const Task& next = from < t.to ? t : *following;
        from = from < t.to ? from : next.from;
        const Keys block(p, from, std::min(KEYS, next.to - from));
        if (!block.row || next.heads - next.head < h.kv) {
            expect(next, p, h, layer, from);
            return;
        }
        const long first = block.slots[0] * h.kv * h.size;
        keys = (const char*)(layer.keys + first), values = (const char*)(layer.values + first);
        lines = (block.n * h.kv * h.size * 2 + 63) / 64;
    }
    void operator()() {
        if (!lines) return;
        lines--;
        __builtin_prefetch(keys, 0, 2), __builtin_prefetch(values, 0, 2);
        keys += 64, values += 64;
    }
};

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
                         float* out, long D, Coming& coming) {
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
        coming();
    }
    _mm512_storeu_ps(sum, _mm512_add_ps(total, more));
}

static inline Lanes<bf16> empty_lanes(const Scratch<bf16>& s, long count, long head, long D) {
    const long room = (count + LANES - 1) / LANES * LANES, first = room * head;
    for (long l = 0; l < count; l++) s.max[first + l] = -INFINITY, s.sum[first + l] = 0;
    memset(s.out + first * D, 0, room * D * 4);
    return {count, s.query + first * D, s.out + first * D, s.max + first, s.sum + first};
}

// One or two vectors of lanes by a block of keys
static inline void meet_keys(const Task& t, const Keys& k, const Heads& h,
                             const Layer<bf16>& layer, Scratch<bf16>& s, const Lanes<bf16>& lanes,
                             long lane, float scale, Coming& coming) {
    const long D = h.size, window = layer.window, width = std::min(LANES, lanes.count - lane);
    const int32_t* row_at = s.row_at + lane;
    long low = row_at[0], high = low, n = k.n;
    for (long i = 1; i < width; i++) {
        low = std::min(low, (long)row_at[i]);
        high = std::max(high, (long)row_at[i]);
    }
    if (t.own) while (n && k.at[n - 1] > high) n--;
    if (!n || (t.own && k.least > high) || (window && k.most <= low - window)) return;
    const bool all = n % 32 == 0 && !(t.own && k.most > low) && !(window && k.least <= high - window);
    const long room = (n + 31) / 32 * 32;
    float* out = lanes.out + lane * D;
    multiply<false>(k.keys, k.stride, n, lanes.query + lane * D, D, 0, width / 16, s.scores, LANES);
    for (long half = 0; half < width; half += 16) {
        if (!all)
            hide(s.scores + half, k, n, room, _mm512_loadu_si512(row_at + half), t.own, window);
        weigh(s.scores + half, s.probs + half * room, room, scale, lanes.max + lane + half,
              lanes.sum + lane + half, out + half, D, coming);
    }
    multiply<true>(k.values, KEYS, D, s.probs, room, 0, width / 16, out, LANES);
}

// The queries of a task's rows; lanes that are no row's repeat the first
static inline void take_queries(const Task& t, const Problems& p, const Heads& h,
                                const Layer<bf16>& layer, Scratch<bf16>& s, const Lanes<bf16>& lanes,
                                long head) {
    const long G = h.group(), D = h.size, real = (t.last - t.first) * G;
    for (long lane = 0; lane < lanes.count; lane += 16) {
        const uint32_t* in[16];
        for (long i = 0; i < 16; i++) {
            const long l = lane + i < real ? lane + i : 0, row = t.first + l / G;
            const bf16* query = layer.query + (p.rows[row] * h.query + head * G + l % G) * D;
            if (t.shift) {
                memcpy(s.turned + i * D, query, D * 2);
                turn(s.turned + i * D, 1, D, t.shift, layer);
                query = s.turned + i * D;
            }
            in[i] = (const uint32_t*)query;
            s.row_at[lane + i] = p.row_at[row];
        }
        for (long w = 0; w < D / 2; w += 16) {
            transpose16(in, (uint32_t*)(lanes.query + lane * D) + w * 16, 16, 64);
            for (long i = 0; i < 16; i++) in[i] += 16;
        }
    }
}

// What the lanes have collected, as rows of heads
static inline void give_rows(const Task& t, const Tasks& tasks, const Problems& p, const Heads& h,
                             const Layer<bf16>& layer, const Lanes<bf16>& lanes, long kv_head) {
    const long G = h.group(), D = h.size, real = (t.last - t.first) * G;
    alignas(64) float column[16][16], turned[16][16];
    const uint32_t* in[16];
    for (int i = 0; i < 16; i++) in[i] = (const uint32_t*)column[i];
    for (long lane = 0; lane < real; lane += 16) {
        const long n = std::min(16L, real - lane);
        float* parts[16] = {};  // where a lane's result goes, if it is one of several
        bf16* outs[16];
        vf by = splat(1.0f);
        for (long i = 0; i < n; i++) {
            const long l = lane + i, part = tasks.part[t.parts + l / G], head = kv_head * G + l % G;
            outs[i] = layer.out + (p.rows[t.first + l / G] * h.query + head) * D;
            if (part < 0) {
                by[i] = lanes.sum[l] == 0 ? 0 : 1 / lanes.sum[l];
                continue;
            }
            parts[i] = layer.partial + (part * h.query + head) * D;
            layer.most[part * heads_room(h.query) + head] = lanes.max[l];
            layer.sum[part * heads_room(h.query) + head] = lanes.sum[l];
        }
        const float* from = lanes.out + lane / LANES * LANES * D + lane % LANES;
        for (long d = 0; d < D; d += 16) {
            for (int i = 0; i < 16; i++) store(column[i], load(from + (d + i) * LANES) * by);
            transpose16(in, (uint32_t*)turned[0], 16, 64);
            for (long i = 0; i < n; i++)
                if (parts[i]) store(parts[i] + d, load(turned[i]));
                else store(outs[i] + d, load(turned[i]));
        }
    }
}

static inline void run_columns(const Task& t, const Task* following, const Tasks& tasks,
                               const Problems& p, const Heads& h, const Layer<bf16>& layer,
                               Scratch<bf16>& s) {
    const long count = ((t.last - t.first) * h.group() + 15) / 16 * 16;
    std::vector<Lanes<bf16>>& lanes = s.lanes;
    lanes.clear();
    for (long head = t.head; head < t.heads; head++) {
        lanes.push_back(empty_lanes(s, count, head - t.head, h.size));
        take_queries(t, p, h, layer, s, lanes.back(), head);
    }
    long low = s.row_at[0], high = low;
    for (long l = 1; l < count; l++) {
        low = std::min(low, (long)s.row_at[l]);
        high = std::max(high, (long)s.row_at[l]);
    }
    for (long from = t.from; from < t.to; from += KEYS) {
        Keys keys(p, from, std::min(KEYS, t.to - from));
        if ((t.own && keys.least > high) || (layer.window && keys.most <= low - layer.window))
            continue;
        Coming coming(t, following, from + keys.n, p, h, layer);
        for (long head = t.head; head < t.heads; head++) {
            keys.read(head, h, layer, s);
            for (long lane = 0; lane < count; lane += LANES)
                meet_keys(t, keys, h, layer, s, lanes[head - t.head], lane,
                          layer.scale * 1.44269504f, coming);
        }
        while (coming.lines) coming();
    }
    for (long head = t.head; head < t.heads; head++)
        give_rows(t, tasks, p, h, layer, lanes[head - t.head], head);
}
#endif

// A task whose products run on tiles (AMX, bfloat16): queries are the columns of scores.
//
// Scores come as keys by queries, so that sixteen queries lie in a vector and the softmax needs no
// sum or maximum across one; pairs of keys then lie as the second product wants them. The result
// is collected as head size by queries and turned at the end. A query of one head is a *lane*; the
// lanes of a task are its rows by the heads of the group, sixteen to a group of lanes.
#pragma once
#include "pieces.h"

#if defined(__AMX_BF16__) && defined(__AVX512F__)
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
    long n;
    Range all, pieces[KEYS / PIECE];  // positions
    bool row;                         // one slot behind the other
    const bf16* keys = nullptr;       // [n][stride]
    long stride = 0;
    const bf16* values = nullptr;  // [D][KEYS]

    Keys(const Problems& p, long from, long n) : slots(p.keys + from), at(p.key_at + from), n(n) {
        int32_t gaps = 0;
        for (long first = 0; first < n; first += PIECE) {
            Range& piece = pieces[first / PIECE] = {at[first], at[first]};
            for (long j = first; j < std::min(n, first + PIECE); j++) {
                piece.take(at[j]);
                gaps |= slots[j] - slots[0] - (int32_t)j;
            }
            if (!first) all = piece;
            all.take(piece.least), all.take(piece.most);
        }
        row = !gaps;
    }
    void read(long head, const Heads& h, const Layer<bf16>& layer, Scratch<bf16>& s) {
        static const bf16 zeros[1024] = {};
        const long D = h.size, step = h.kv * D;
        const bf16 *from = layer.keys + head * D, *also = layer.values + head * D;
        keys = s.keys, stride = D, values = s.packed;
        if (row && n % PIECE == 0) keys = from + slots[0] * step, stride = step;
        else for (long j = 0; j < n; j++) memcpy(s.keys + j * D, from + slots[j] * step, D * 2);
        for (long j = 0; j < n; j += 32) {
            const bf16* rows[32];
            for (long i = 0; i < 32; i++) rows[i] = j + i < n ? also + slots[j + i] * step : zeros;
            turn_values(rows, D, s.packed + j, KEYS);
        }
    }
};

// Scores [32][16] of a key that a lane does not see become minus infinity; so many of the keys are real
static inline void hide(float* s, const int32_t* at, long n, __m512i row_at, bool own, long window) {
    const __m512 none = _mm512_set1_ps(-INFINITY);
    const __m512i oldest = _mm512_sub_epi32(row_at, _mm512_set1_epi32((int)window));
    for (long j = 0; j < PIECE; j++) {
        const __m512i key_at = _mm512_set1_epi32(at[j < n ? j : 0]);
        __mmask16 bad = own ? _mm512_cmpgt_epi32_mask(key_at, row_at) : 0;
        if (window) bad |= _mm512_cmple_epi32_mask(key_at, oldest);
        if (j >= n) bad = 0xffff;
        _mm512_mask_storeu_ps(s + j * 16, bad, none);
    }
}

static inline Lanes<bf16> empty_lanes(const Scratch<bf16>& s, long count, long head, long D) {
    const long first = count * head;
    for (long l = 0; l < count; l++) s.max[first + l] = -INFINITY, s.sum[first + l] = 0;
    memset(s.out + first * D, 0, count * D * 4);
    return {count, s.query + first * D, s.out + first * D, s.max + first, s.sum + first};
}

// The pieces of a block of keys of which some lane sees something
static inline void cut(const Task& t, const Keys& k, const std::vector<Range>& groups, long window,
                       std::vector<Piece>& pieces) {
    pieces.clear();
    for (long g = 0; g < (long)groups.size(); g++)
        for (long first = 0; first < k.n; first += PIECE) {
            const Range &rows = groups[g], &keys = k.pieces[first / PIECE];
            if ((t.own && keys.least > rows.most) || (window && keys.most <= rows.least - window))
                continue;
            pieces.push_back({g, first, k.n - first >= PIECE && !(t.own && keys.most > rows.least) &&
                                            !(window && keys.least <= rows.most - window)});
        }
}

// The lanes of one head by a block of keys
template <int D>
static inline void meet_keys(const Task& t, const Keys& k, const Layer<bf16>& layer,
                             Scratch<bf16>& s, const Lanes<bf16>& lanes, Coming<bf16>& coming) {
    Line<D> line{s.pieces, k.keys, k.stride, k.values, lanes.query, lanes.max, lanes.sum,
                 layer.scale * 1.44269504f, s.scores, s.probs, {lanes.out}, coming};
    line.score_next();
    for (const Piece& piece : s.pieces) {
        if (!piece.all)
            hide(line.scores_of(line.weighed), k.at + piece.first, k.n - piece.first,
                 _mm512_loadu_si512(s.row_at + piece.group * 16), t.own, layer.window);
        line.weigh_next();
    }
    while (line.added < line.weighed) line.add_next();
    line.results.give();
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
        const float* from = lanes.out + lane * D;
        for (long d = 0; d < D; d += 16) {
            for (int i = 0; i < 16; i++) store(column[i], load(from + (d + i) * 16) * by);
            transpose16(in, (uint32_t*)turned[0], 16, 64);
            for (long i = 0; i < n; i++)
                if (parts[i]) store(parts[i] + d, load(turned[i]));
                else store(outs[i] + d, load(turned[i]));
        }
    }
}

// Whether there are kernels for this head size
static inline bool has_columns(long size) { return size % 32 == 0 && size <= 128; }

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
    s.groups.clear();
    for (long lane = 0; lane < count; lane += 16) {
        s.groups.push_back({s.row_at[lane], s.row_at[lane]});
        for (long l = lane; l < lane + 16; l++) s.groups.back().take(s.row_at[l]);
    }
    for (long from = t.from; from < t.to; from += KEYS) {
        Keys keys(p, from, std::min(KEYS, t.to - from));
        cut(t, keys, s.groups, layer.window, s.pieces);
        if (s.pieces.empty()) continue;
        const long behind = from + keys.n, calls = s.pieces.size() * (t.heads - t.head) * 2;
        Coming<bf16> coming;
        if (behind < t.to) coming = {t, p, h, layer, behind, calls};
        else if (following) coming = {*following, p, h, layer, following->from, calls};
        for (long head = t.head; head < t.heads; head++) {
            keys.read(head, h, layer, s);
            const Lanes<bf16>& own = lanes[head - t.head];
            switch (h.size) {
                case 32: meet_keys<32>(t, keys, layer, s, own, coming); break;
                case 64: meet_keys<64>(t, keys, layer, s, own, coming); break;
                case 96: meet_keys<96>(t, keys, layer, s, own, coming); break;
                default: meet_keys<128>(t, keys, layer, s, own, coming);
            }
        }
        coming.all();
    }
    for (long head = t.head; head < t.heads; head++)
        give_rows(t, tasks, p, h, layer, lanes[head - t.head], head);
}
#endif

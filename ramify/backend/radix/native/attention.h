// What the tasks of attention are made of: their room, keys and values as operands, softmax.
#pragma once
#include <type_traits>

#include "gemm.h"
#include "tasks.h"

// Query heads of a partial result, filled up to whole vectors
static inline long heads_room(long heads) { return (heads + 15) / 16 * 16; }

// What a layer's attention reads and writes
template <class T> struct Layer {
    const T *query;       // [rows][Hq][D]
    const T *keys, *values;  // [slots][Hkv][D]
    T* out;               // [rows][Hq][D]
    float *partial;       // [partials][Hq][D], sums of weighted values
    float *most, *sum;    // [partials][heads_room(Hq)] largest score, sum of weights
    float scale;
    long window;          // 0: none
    const float *cos, *sin;  // of rope: [context][D]
    float unscaled;          // times a table: without what the rope scales
};

// The query heads of one KV head as columns, and what they have collected: see columns.h
template <class T> struct Lanes {
    long count;        // whole vectors
    T* query;          // [count / 16][D / 2][16][2]
    float* out;        // [count / 16][D][16]
    float *max, *sum;  // [count]
};

// Positions from the least to the most
struct Range {
    long least, most;
    void take(long at) { least = std::min(least, at), most = std::max(most, at); }
};
// Sixteen lanes by 32 keys of a block: see pieces.h
struct Piece {
    long group, first;  // lanes, the first of the keys
    bool all;           // whether every lane sees every key
};

// One thread's room for a task
template <class T> struct Scratch {
    std::vector<char> memory;
    T *query, *turned, *keys, *packed, *probs;
    float *scores, *out, *max, *sum;
    int32_t* row_at;
    std::vector<Lanes<T>> lanes;
    std::vector<Range> groups;  // positions of the rows of sixteen lanes
    std::vector<Piece> pieces;
    void reserve(const Heads& heads, long most) {
        const long rows = (most + heads.group() + 31) / 32 * 32, D = heads.size;
        const long cells = std::max((std::min(most, ROWS) + heads.group() + 31) / 32 * 32 * BLOCK,
                                    2 * 16 * PIECE);
        size_t used = 0;
        auto place = [&](auto*& array, size_t count) {
            array = (std::remove_reference_t<decltype(array)>)(memory.data() + used);
            used += (count * sizeof(*array) + 63) / 64 * 64;
        };
        auto lay = [&] {
            used = (64 - (uintptr_t)memory.data() % 64) % 64;
            place(query, rows * D), place(turned, 16 * D);
            place(keys, KEYS * D), place(packed, KEYS * D);
            place(probs, cells), place(scores, cells), place(out, rows * D);
            place(max, rows), place(sum, rows), place(row_at, rows);
        };
        lay();
        if (memory.size() < used + 64) memory.assign(used + 64, 0), lay();
    }
};

// Whether the task's rows see all, some or none of the keys from..to-1
struct View {
    bool some, all;
    View(const Problems& p, long from, long to, long low, long high, bool own, long window) {
        int32_t least = p.key_at[from], most = least;
        for (long k = from + 1; k < to; k++) {
            least = std::min(least, p.key_at[k]);
            most = std::max(most, p.key_at[k]);
        }
        some = !(own && least > high) && !(window && most <= low - window);
        all = !(own && most > low) && !(window && least <= high - window);
    }
};

// A block of keys and values that is read next: it comes near while something else is computed, some
// lines at each of so many calls. All at once they would keep the thread waiting.
template <class T> struct Coming {
    const char *keys = nullptr, *values = nullptr;  // of the first slot
    const int32_t* slots = nullptr;
    long count = 0, step = 0, width = 0;  // slots to come, bytes from one to the next, bytes wanted
    long some = 0, at = 0;                // lines at a call, bytes of the first slot that have come

    Coming() = default;
    Coming(const Task& t, const Problems& p, const Heads& h, const Layer<T>& layer, long from,
           long calls)
        : keys((const char*)(layer.keys + t.head * h.size)),
          values((const char*)(layer.values + t.head * h.size)), slots(p.keys + from),
          count(std::min(t.to - from, KEYS)), step(h.kv * h.size * sizeof(T)),
          width((t.heads - t.head) * h.size * sizeof(T)) {
        some = (count * ((width + 63) / 64) + calls - 1) / calls;
    }
    void operator()() {
        for (long i = 0; i < some && count; i++) {
            const long from = *slots * step + at;
            __builtin_prefetch(keys + from, 0, 2), __builtin_prefetch(values + from, 0, 2);
            if ((at += 64) >= width) at = 0, slots++, count--;
        }
    }
    void all() {
        while (count) (*this)();
    }
};

// A row of query heads as if it stood `shift` positions earlier: rope turned back
template <class T>
static void turn(T* x, long heads, long D, long shift, const Layer<T>& layer) {
    const long half = D / 2, at = (shift < 0 ? -shift : shift) * D;
    for (long h = 0; h < heads; h++, x += D)
        for (long d = 0; d < half; d++) {
            float a = to_float(x[d]), b = to_float(x[d + half]);
            float c = layer.cos[at + d] * layer.unscaled, s = layer.sin[at + d] * layer.unscaled;
            if (shift < 0) s = -s;
            x[d] = from_float<T>(a * c + b * s);
            x[d + half] = from_float<T>(b * c - a * s);
        }
}

// Keys as columns: [n/16][D/2][16][2] or [n/16][D][16]; a last block is filled up with its first key
template <class T>
static inline void pack_keys(const T* keys, const int32_t* slots, long n, const Heads& h, long head,
                             T* out) {
    const long words = h.size * sizeof(T) / 4;
    for (long j = 0; j < n; j += 16) {
        const uint32_t* in[16];
        for (long i = 0; i < 16; i++) {
            long slot = slots[j + i < n ? j + i : j];
            in[i] = (const uint32_t*)(keys + (slot * h.kv + head) * h.size);
        }
        for (long w = 0; w < words; w += 16) {
            transpose16(in, (uint32_t*)out + (j / 16 * words + w) * 16, 16, 64);
            for (long i = 0; i < 16; i++) in[i] += 16;
        }
    }
}
// Values as rows: [D/16][room/2][16][2] or [D/16][room][16]; beyond n: zero
static inline void pack_values(const bf16* values, const int32_t* slots, long n, long room,
                               const Heads& h, long head, bf16* out) {
    for (long j = 0; j < room; j += 2) {
        const bf16 *a = nullptr, *b = nullptr;
        if (j < n) a = values + (slots[j] * h.kv + head) * h.size;
        if (j + 1 < n) b = values + (slots[j + 1] * h.kv + head) * h.size;
        for (long d = 0; d < h.size; d += 16) {
            vu low = {}, high = {};
            vh x;
            if (a) memcpy(&x, a + d, 32), low = __builtin_convertvector(x, vu);
            if (b) memcpy(&x, b + d, 32), high = __builtin_convertvector(x, vu);
            vu both = low | (high << 16);
            memcpy(out + (d / 16 * room + j) * 16, &both, 64);
        }
    }
}
static inline void pack_values(const float* values, const int32_t* slots, long n, long room,
                               const Heads& h, long head, float* out) {
    for (long j = 0; j < room; j++)
        for (long d = 0; d < h.size; d += 16) {
            vf v = {};
            if (j < n) v = load(values + (slots[j] * h.kv + head) * h.size + d);
            store(out + (d / 16 * room + j) * 16, v);
        }
}

// Which of 16 keys a row does not see
static inline vi unseen(const int32_t* key_at, long n, int32_t at, bool own, long window) {
    int32_t held[16];
    for (long i = 0; i < 16; i++) held[i] = key_at[i < n ? i : 0];
    vi keys, lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    memcpy(&keys, held, 64);
    vi bad = lane >= (int32_t)n;
    if (own) bad |= keys > at;
    if (window) bad |= keys <= at - (int32_t)window;
    return bad;
}

// 2^x for x <= 0: as exact as T can tell
template <class T> static inline vf weight(vf x) { return exp2_of(x); }
#if defined(__AVX512F__)
template <> inline vf weight<bf16>(vf x) {
    __m512 whole = _mm512_roundscale_ps((__m512)x, 0);
    vf f = x - (vf)whole, p = splat(0.05550411f);
    p = p * f + 0.24022651f;
    p = p * f + 0.69314718f;
    p = p * f + 1.0f;
    return (vf)_mm512_scalef_ps((__m512)p, whole);
}
#endif

// Scores of a row become weights of 2^(scale * (score - largest)); the row's earlier results are
// scaled down where the largest grows. `room` is how many weights are written.
template <class T>
static inline void soften(float* s, T* p, long n, long room, float scale, bool masked,
                          const int32_t* key_at, int32_t at, bool own, long window, float& max,
                          float& total, float* out, long D) {
    const vf none = splat(-INFINITY);
    vf top = none;
    if (masked)
        for (long j = 0; j < n; j += 16)
            store(s + j, pick(unseen(key_at + j, n - j, at, own, window), none, load(s + j)));
    vf other = load(s);
    for (long j = 0; j < n; j += 16) {
        vf v = load(s + j);
        other += v;  // a maximum may pass over a NaN, a sum does not
        top = pick(v > top, v, top);
    }
    float now = largest(top) * scale, check = sum(other);
    now = now > max ? now : max;
    if (check != check) total = NAN;
    if (now == -INFINITY || total != total) {  // nothing seen yet, or broken
        for (long j = 0; j < room; j += 16) store(p + j, vf{});
        return;
    }
    if (now > max) {
        float down = exp2f(max - now);
        total *= down;
        for (long d = 0; d < D; d += 16) store(out + d, load(out + d) * down);
        max = now;
    }
    vf sums = {};
    long j = 0;
    for (; j < n; j += 16) {
        vf w = weight<T>(load(s + j) * scale - now);
        sums += w;
        store(p + j, w);
    }
    for (; j < room; j += 16) store(p + j, vf{});
    total += sum(sums);
}

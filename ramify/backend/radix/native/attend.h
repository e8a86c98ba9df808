// A task, block by block of its keys, and the merge.
#pragma once
#include "attention.h"
#include "columns.h"

// Scores and results as products with packed keys and values
template <class T>
static void block(const Task& t, const Problems& p, const Heads& h, const Layer<T>& layer,
                  Scratch<T>& s, long from, long n, bool masked, float scale) {
    const long G = h.group(), D = h.size, rows = (t.last - t.first) * G;
    const int32_t* slots = p.keys + from;
    const long blocks = (n + 15) / 16, room = (n + 31) / 32 * 32;
    pack_keys(layer.keys, slots, n, h, t.head, s.packed);
    expect(p, h, layer, t.head, from + n, std::min(t.to, from + n + BLOCK));
    multiply<false>(s.query, D, rows, s.packed, D, 0, blocks, s.scores, BLOCK);
    for (long i = 0; i < rows; i++)
        soften(s.scores + i * BLOCK, s.probs + i * BLOCK, n, room, scale, masked || n % 16,
               p.key_at + from, p.row_at[t.first + i / G], t.own, layer.window, s.max[i], s.sum[i],
               s.out + i * D, D);
    pack_values(layer.values, slots, n, room, h, t.head, s.packed);
    multiply<true>(s.probs, BLOCK, rows, s.packed, room, 0, D / 16, s.out, D);
}

template <class T>
static void run_task(const Task& t, const Task* following, const Tasks& tasks, const Problems& p,
                     const Heads& h, const Layer<T>& layer, Scratch<T>& s) {
#if defined(__AMX_BF16__) && defined(__AVX512F__)
    if constexpr (sizeof(T) == 2)
        if (use_amx) return run_columns(t, following, tasks, p, h, layer, s);
#endif
    const long G = h.group(), D = h.size, rows = (t.last - t.first) * G;
    const float scale = layer.scale * 1.44269504f;  // powers of two, not of e
    long low = p.row_at[t.first], high = low;
    for (long r = t.first; r < t.last; r++) {
        low = std::min(low, (long)p.row_at[r]);
        high = std::max(high, (long)p.row_at[r]);
        const T* query = layer.query + (p.rows[r] * h.query + t.head * G) * D;
        memcpy(s.query + (r - t.first) * G * D, query, G * D * sizeof(T));
        if (t.shift) turn(s.query + (r - t.first) * G * D, G, D, t.shift, layer);
    }
    memset(s.out, 0, rows * D * 4);
    for (long i = 0; i < rows; i++) s.max[i] = -INFINITY, s.sum[i] = 0;
    for (long k = t.from; k < t.to; k += BLOCK) {
        long n = std::min(BLOCK, t.to - k);
        View view(p, k, k + n, low, high, t.own, layer.window);
        if (!view.some) continue;
        block(t, p, h, layer, s, k, n, !view.all, scale);
    }
    for (long i = 0; i < rows; i++) {
        const long r = t.first + i / G, head = t.head * G + i % G;
        const long part = tasks.part[t.parts + i / G];
        const vf by = splat(s.sum[i] == 0 ? 0 : 1 / s.sum[i]);
        if (part < 0) {
            T* out = layer.out + (p.rows[r] * h.query + head) * D;
            for (long d = 0; d < D; d += 16) store(out + d, load(s.out + i * D + d) * by);
        } else {
            float* out = layer.partial + (part * h.query + head) * D;
            for (long d = 0; d < D; d += 16) store(out + d, load(s.out + i * D + d) * by);
            layer.lse[part * h.query + head] = s.sum[i] == 0 ? -INFINITY : s.max[i] + log2f(s.sum[i]);
        }
    }
}

// The partial results of a row, if it has several, as one. Log-sum-exps are to the base two.
template <class T>
static void merge(long row, const Tasks& tasks, const Heads& h, const Layer<T>& layer) {
    const long first = tasks.part_from[row], last = tasks.part_from[row + 1], D = h.size;
    if (first == last) return;
    for (long head = 0; head < h.query; head++) {
        float top = -INFINITY, total = 0;
        for (long i = first; i < last; i++) {
            float lse = layer.lse[i * h.query + head];
            if (lse != lse || lse > top) top = lse;
            if (top != top) break;
        }
        for (long i = first; i < last; i++) total += exp2f(layer.lse[i * h.query + head] - top);
        T* out = layer.out + (row * h.query + head) * D;
        for (long d = 0; d < D; d += 16) {
            vf o = {};
            for (long i = first; i < last; i++) {
                float w = exp2f(layer.lse[i * h.query + head] - top) / total;
                o += w * load(layer.partial + (i * h.query + head) * D + d);
            }
            store(out + d, o);
        }
    }
}

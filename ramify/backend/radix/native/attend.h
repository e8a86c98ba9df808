// A task, block by block of its keys, and the merge.
#pragma once
#include "attention.h"
#include "columns.h"
#include "few.h"

// Scores and results as products with packed keys and values
template <class T>
static void block(const Task& t, const Problems& p, const Heads& h, const Layer<T>& layer,
                  Scratch<T>& s, long head, long from, long n, bool masked, float scale) {
    const long G = h.group(), D = h.size, rows = (t.last - t.first) * G;
    const int32_t* slots = p.keys + from;
    const long blocks = (n + 15) / 16, room = (n + 31) / 32 * 32;
    pack_keys(layer.keys, slots, n, h, head, s.packed);
    multiply<false>(s.query, D, rows, s.packed, D, 0, blocks, s.scores, BLOCK);
    for (long i = 0; i < rows; i++)
        soften(s.scores + i * BLOCK, s.probs + i * BLOCK, n, room, scale, masked || n % 16,
               p.key_at + from, p.row_at[t.first + i / G], t.own, layer.window, s.max[i], s.sum[i],
               s.out + i * D, D);
    pack_values(layer.values, slots, n, room, h, head, s.packed);
    multiply<true>(s.probs, BLOCK, rows, s.packed, room, 0, D / 16, s.out, D);
}

// One head of a task
template <class T>
static void run_head(const Task& t, const Tasks& tasks, const Problems& p, const Heads& h,
                     const Layer<T>& layer, Scratch<T>& s, long kv_head, Coming<T>& coming) {
    const long G = h.group(), D = h.size, rows = (t.last - t.first) * G;
    const float scale = layer.scale * 1.44269504f;  // powers of two, not of e
    long low = p.row_at[t.first], high = low;
    for (long r = t.first; r < t.last; r++) {
        low = std::min(low, (long)p.row_at[r]);
        high = std::max(high, (long)p.row_at[r]);
        const T* query = layer.query + (p.rows[r] * h.query + kv_head * G) * D;
        memcpy(s.query + (r - t.first) * G * D, query, G * D * sizeof(T));
        if (t.shift) turn(s.query + (r - t.first) * G * D, G, D, t.shift, layer);
    }
    memset(s.out, 0, rows * D * 4);
    for (long i = 0; i < rows; i++) s.max[i] = -INFINITY, s.sum[i] = 0;
    for (long k = t.from; k < t.to; k += BLOCK) {
        long n = std::min(BLOCK, t.to - k);
        View view(p, k, k + n, low, high, t.own, layer.window);
        if (!view.some) continue;
        if constexpr (sizeof(T) == 2 && HANDFUL > 0)
            if (rows <= HANDFUL) {
                few(t, p, h, layer, s, kv_head, k, n, !view.all, scale, coming);
                continue;
            }
        block(t, p, h, layer, s, kv_head, k, n, !view.all, scale);
    }
    for (long i = 0; i < rows; i++) {
        const long r = t.first + i / G, head = kv_head * G + i % G;
        const long part = tasks.part[t.parts + i / G];
        const float* from = s.out + i * D;
        if (part < 0) {
            const vf by = splat(s.sum[i] == 0 ? 0 : 1 / s.sum[i]);
            T* out = layer.out + (p.rows[r] * h.query + head) * D;
            for (long d = 0; d < D; d += 16) store(out + d, load(from + d) * by);
        } else {
            memcpy(layer.partial + (part * h.query + head) * D, from, D * 4);
            layer.most[part * heads_room(h.query) + head] = s.max[i];
            layer.sum[part * heads_room(h.query) + head] = s.sum[i];
        }
    }
}

template <class T>
static void run_task(const Task& t, const Task* following, const Tasks& tasks, const Problems& p,
                     const Heads& h, const Layer<T>& layer, Scratch<T>& s) {
#if defined(__AMX_BF16__) && defined(__AVX512F__)
    if constexpr (sizeof(T) == 2)
        if (use_amx && has_columns(h.size) && (t.last - t.first) * h.group() > HANDFUL)
            return run_columns(t, following, tasks, p, h, layer, s);
#endif
    // a block of keys calls once, and for each of its rows
    const long blocks = (t.to - t.from + BLOCK - 1) / BLOCK * (t.heads - t.head);
    Coming<T> coming;
    if (following)
        coming = {*following, p, h, layer, following->from,
                  blocks * ((t.last - t.first) * h.group() + 1)};
    for (long head = t.head; head < t.heads; head++) run_head(t, tasks, p, h, layer, s, head, coming);
    coming.all();
}

// The partial results of a row, if it has several, as one: sixteen heads' weights at a time, which
// take the place of their largest scores.
template <class T>
static void merge(long row, const Tasks& tasks, const Heads& h, const Layer<T>& layer) {
    const long first = tasks.part_from[row], last = tasks.part_from[row + 1], D = h.size;
    const long room = heads_room(h.query);
    if (first == last) return;
    for (long lane = 0; lane < room; lane += 16) {
        vf top = splat(-INFINITY), total = {};
        for (long i = first; i < last; i++) top = larger(load(layer.most + i * room + lane), top);
        for (long i = first; i < last; i++) {
            const vf w = exp2_of(load(layer.most + i * room + lane) - top);
            total += w * load(layer.sum + i * room + lane);
            store(layer.most + i * room + lane, w);
        }
        for (long i = first; i < last; i++)
            store(layer.most + i * room + lane, load(layer.most + i * room + lane) / total);
    }
    for (long head = 0; head < h.query; head++) {
        T* out = layer.out + (row * h.query + head) * D;
        for (long d = 0; d < D; d += 16) {
            vf o = {};
            for (long i = first; i < last; i++)
                o += layer.most[i * room + head] * load(layer.partial + (i * h.query + head) * D + d);
            store(out + d, o);
        }
    }
}

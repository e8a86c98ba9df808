// Attention of one layer over the problems of a step, in place over the KV pool: its tasks.
//
// A problem is rows by keys: the rows of branches by the prefix that they share, or one sequence's
// rows by its own tail. Problems are cut into tasks (some rows, some keys, some KV heads); the query
// heads of a KV head are further rows. A row that several tasks serve gets one partial result
// from each, merged at the end; else the task writes the row's result itself.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

struct Problems {  // see plan.py; offsets are one longer than what they cut
    int64_t count;
    const int32_t *row_from, *rows, *row_at;
    const int32_t *key_from, *keys, *key_at;
    const int32_t* shift;  // positions by which its keys stand behind where they were computed
    const uint8_t* own;    // keys may lie behind a row
};
struct Heads {
    long query, kv, size;
    long group() const { return query / kv; }
};

const long BLOCK = 128;  // keys at a time
const long KEYS = 128;   // the same, where queries are columns
const long PIECE = 32;   // of them at a time, by sixteen queries
const long FEWEST = 64;  // keys of a task, where a problem is cut for the threads
const long ROWS = 192;   // rows by heads of a task
const long WIDE = 768;   // the same, where queries are columns: what is done to keys is shared

struct Task {
    long first, last;  // of the rows of all problems
    long from, to;     // of the keys of all problems
    long head, heads;  // the first KV head, and the one behind the last
    long parts;        // where `part` has this task's rows
    long shift;
    bool own;
};

// The tasks of a step: the same for all layers
struct Tasks {
    std::vector<Task> all;
    std::vector<int32_t> part;           // of each task's row: its partial result; -1: the only one
    std::vector<int32_t> part_from;      // of each row of the step: its first partial result
    long partials = 0;
    long most = ROWS;

    void build(const Problems& p, const Heads& heads, long total, long threads) {
        all.clear();
        part.clear();
        double costs = 0;
        for (long i = 0; i < p.count; i++) costs += cost(p, heads, i);
        std::vector<Cut> cuts(p.count);
        std::vector<int32_t> served(total, 0);
        for (long i = 0; i < p.count; i++) {
            cuts[i] = cut(p, heads, i, cost(p, heads, i) * threads / costs);
            for (long r = p.row_from[i]; r < p.row_from[i + 1]; r++)
                served[p.rows[r]] += cuts[i].chunks;
        }
        part_from.assign(total + 1, 0);
        for (long r = 0; r < total; r++)
            part_from[r + 1] = part_from[r] + (served[r] > 1 ? served[r] : 0);
        partials = part_from[total];
        std::vector<int32_t> next(part_from.begin(), part_from.end() - 1);
        for (long i = 0; i < p.count; i++) {
            const long n = cuts[i].chunks, keys = p.key_from[i + 1] - p.key_from[i];
            for (long c = 0; c < n; c++) {
                long from = p.key_from[i] + keys * c / n, to = p.key_from[i] + keys * (c + 1) / n;
                rows(p, heads, i, from, to, cuts[i].heads, served, next);
            }
        }
        // the largest first, so that the threads end together; neighbours stay together
        std::stable_sort(all.begin(), all.end(),
                         [](const Task& a, const Task& b) { return work(a) > work(b); });
    }

  private:
    struct Cut {
        long chunks, heads;  // a problem's keys into so many; its heads into so many
    };
    static long work(const Task& t) {
        return (t.last - t.first) * (t.to - t.from) * (t.heads - t.head) / 4096;
    }
    static double cost(const Problems& p, const Heads& heads, long i) {
        const long lanes = (p.row_from[i + 1] - p.row_from[i]) * heads.group();
        return (double)((lanes + 15) / 16) * (p.key_from[i + 1] - p.key_from[i] + 32);
    }
    // A problem that is `share` times a thread's part of the step: all heads of a key lie together
    // and are read together, but no thread may be without work.
    Cut cut(const Problems& p, const Heads& heads, long i, double share) const {
        const long lanes = (p.row_from[i + 1] - p.row_from[i]) * heads.group();
        const long keys = p.key_from[i + 1] - p.key_from[i];
        if (lanes > ROWS) return {1, heads.kv};
        const long wanted = std::max(1L, (long)std::ceil(share - 0.1));
        const long chunks = std::min(wanted, std::max(1L, keys / FEWEST));
        const long room = std::max(1L, most / ((lanes + 15) / 16 * 16));
        const long cuts = std::max((wanted + chunks - 1) / chunks, (heads.kv + room - 1) / room);
        return {chunks, std::min(cuts, heads.kv)};
    }
    void rows(const Problems& p, const Heads& heads, long i, long from, long to, long cuts,
              const std::vector<int32_t>& served, std::vector<int32_t>& next) {
        long all_rows = p.row_from[i + 1] - p.row_from[i], wide = all_rows * heads.group();
        long pieces = std::max((wide + most - 1) / most, std::min(4L, (wide + ROWS - 1) / ROWS));
        long step = (all_rows + pieces - 1) / pieces;
        for (long r = p.row_from[i]; r < p.row_from[i + 1]; r += step) {
            long last = std::min(r + step, (long)p.row_from[i + 1]), parts = part.size();
            for (long k = r; k < last; k++)
                part.push_back(served[p.rows[k]] > 1 ? next[p.rows[k]]++ : -1);
            for (long c = 0; c < cuts; c++)
                all.push_back({r, last, from, to, heads.kv * c / cuts, heads.kv * (c + 1) / cuts,
                               parts, p.shift[i], p.own[i] != 0});
        }
    }
};

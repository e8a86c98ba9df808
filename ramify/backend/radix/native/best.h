// The largest logit of every row, found where the logits are made: none is written.
#pragma once
#include <vector>

#include "simd.h"

class Best {
    struct Lane {
        vf most;   // of every sixteenth column; a NaN stays
        vi block;  // where it is: the first of equal ones
    };
    std::vector<Lane> lanes;  // [threads][rows]
    long rows = 0, threads = 0;

  public:
    struct Sink {
        Lane* lanes;
        long width;
        void row(long m, long block, const vf* v, int count) {
            Lane& lane = lanes[m];
            for (int j = 0; j < count; j++) {
                vf x = v[j];
                const int32_t at = (int32_t)(block + j);
                if ((at + 1) * 16L > width) {  // columns that only fill the last block
                    const vi column = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
                    x = pick(column < (int32_t)(width - at * 16L), x, splat(-INFINITY));
                }
                const vi larger = ((x > lane.most) | (x != x)) & (lane.most == lane.most);
                lane.most = pick(larger, x, lane.most);
                lane.block = (larger & at) | (~larger & lane.block);
            }
        }
    };

    void reserve(long some_rows, long some_threads) {
        rows = some_rows, threads = some_threads;
        lanes.assign(rows * threads, Lane{splat(-INFINITY), vi{}});
    }
    Sink sink(long who, long width) { return {lanes.data() + who * rows, width}; }
    // What all threads have found
    void give(int64_t* best, float* logits) const {
        for (long m = 0; m < rows; m++) {
            best[m] = 0, logits[m] = -INFINITY;
            for (long i = 0; i < threads * 16; i++) {
                const Lane& lane = lanes[i / 16 * rows + m];
                const float x = lane.most[i % 16];
                const int64_t at = lane.block[i % 16] * 16L + i % 16;
                const bool before = x == logits[m] && at < best[m];
                if (logits[m] == logits[m] && (x > logits[m] || before || x != x))
                    best[m] = at, logits[m] = x;
            }
        }
    }
};

// How the rows of a step are shared between threads.
#pragma once
#include <algorithm>
#include <vector>

static inline void share(long n, long unit, long who, long of, long& first, long& last) {
    long units = (n + unit - 1) / unit;
    first = std::min(n, units * who / of * unit);
    last = std::min(n, units * (who + 1) / of * unit);
}

const long FAR = 128;  // rows of a thread from which it reads all weights for its own rows

// Rows that a thread takes through a layer at once: they stay in its second cache, and the more there
// are the less often weights are read
static inline long few(long hidden) { return hidden <= 640 ? 512 : 256; }

// Rows first..first+rows-1 of a step, on their way through a layer. Either all threads work on
// them, each on some columns of a product and on its rows r0..r1-1 of the rest, and wait for each
// other; or one thread has them alone. Rows of buffers between products begin at `base`.
struct Part {
    long first, rows, r0, r1, base, who, of;
    bool alone;
    void cut(long blocks, long& b0, long& b1) const {
        if (alone) b0 = 0, b1 = blocks;
        else share(blocks, 2, who, of, b0, b1);
    }
    template <class D> void join(D& decoder) const {
        if (!alone) decoder.meet();
    }
};
static inline Part together(long rows, long who, long of) {
    Part p{0, rows, 0, 0, 0, who, of, of == 1};
    share(rows, 1, who, of, p.r0, p.r1);
    return p;
}
// What a thread does of a step
static inline std::vector<Part> parts_of(long rows, long hidden, long who, long of) {
    if (rows < FAR * of) return {together(rows, who, of)};
    long first, last;
    share(rows, 32, who, of, first, last);
    const long most = few(hidden), count = (last - first + most - 1) / most;
    const long size = ((last - first) / count + 31) / 32 * 32;
    std::vector<Part> found;
    for (long r = first; r < last; r += size) {
        const long n = std::min(size, last - r);
        found.push_back({r, n, 0, n, first, who, of, true});
    }
    return found;
}

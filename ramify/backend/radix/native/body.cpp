// A llama-like decoder: all layers of a step in one call, one team of threads.
//
// Plain C interface, no header of torch: compiled in seconds, good for any version of it. The
// stream between layers is float in every dtype; weights, KV and the operands of products are T.
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "attend.h"
#include "best.h"
#include "int8.h"
#include "part.h"

extern "C" {
struct Shape {
    int64_t layers, hidden, heads, kv_heads, size, inner, vocab, bf16;
    int64_t int8;  // 0: no weights are int8; 1: those of the layers; 2: the head's too
    double eps, scale;
};
struct Weights {  // of one layer; products packed, the rest plain. Null where there is none.
    const void *before, *qkv, *qkv_bias, *query_norm, *key_norm, *out, *out_bias, *after, *gate_up,
        *down;
    int64_t window;
};
struct Rest {
    const void *embed, *norm, *head;
    const float *cos, *sin;  // [context][size]
    double unscaled;         // times cos and sin: without what the rope scales
};
struct StepIn {
    int64_t rows, wanted, threads;
    const int64_t *tokens, *positions, *slots, *wanted_rows;
    void *const *keys, *const *values;  // by layer
    Problems problems;
    const void* hidden;  // [rows][hidden] in place of the tokens' embeddings; or null
    float* logits;        // [wanted][vocab]; or null:
    int64_t* best;        // [wanted] the first of the largest logits,
    float* best_logits;   // and what it is
};
}

struct Body {
    virtual ~Body() = default;
    virtual void run(const StepIn& in) = 0;
};

static void large_pages(void* start, size_t bytes) {
#if defined(__linux__)
    const uintptr_t page = 2 << 20, from = ((uintptr_t)start + page - 1) / page * page;
    const uintptr_t to = ((uintptr_t)start + bytes) / page * page;
    if (from < to) madvise((void*)from, to - from, MADV_HUGEPAGE);
#endif
}

template <class T> struct Buffer {  // room that grows; whole rows of tiles may be read
    T* data = nullptr;
    size_t size = 0;
    void reserve(size_t count) {
        if (size >= count && data) return;
        free(data);
        size = count + count / 4;
        const size_t unit = size * sizeof(T) < 1 << 20 ? 64 : 2 << 20;
        const size_t bytes = (size * sizeof(T) + 64 + unit - 1) / unit * unit;
        data = (T*)aligned_alloc(unit, bytes);
        if (!data) throw std::bad_alloc();
        large_pages(data, bytes);
    }
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    ~Buffer() { free(data); }
};

// Sinks: results with a bias; results that are wanted only up to a width; silu(gate) * up
template <class T> struct Bias {
    float* c;
    long stride;
    const T* bias;
    void row(long m, long block, const vf* v, int count) {
        for (int j = 0; j < count; j++) {
            vf x = v[j];
            if (bias) x += load(bias + (block + j) * 16);
            store(c + m * stride + (block + j) * 16, x);
        }
    }
};
struct Edge {
    float* c;
    long width;
    void row(long m, long block, const vf* v, int count) {
        for (int j = 0; j < count; j++) {
            long at = (block + j) * 16, n = std::min(16L, width - at);
            memcpy(c + m * width + at, &v[j], n * 4);
        }
    }
};
template <class T> struct Gated {  // blocks of gate and up alternate
    T* c;
    long stride;
    void row(long m, long block, const vf* v, int count) {
        for (int j = 0; j < count; j += 2)
            store(c + m * stride + (block + j) / 2 * 16, silu(v[j]) * v[j + 1]);
    }
};
template <class T> struct Onto {  // the stream plus the product
    float* c;
    long stride;
    const T* bias;
    void row(long m, long block, const vf* v, int count) {
        for (int j = 0; j < count; j++) {
            float* at = c + m * stride + (block + j) * 16;
            vf x = load(at) + v[j];
            if (bias) x += load(bias + (block + j) * 16);
            store(at, x);
        }
    }
};

template <class T, class O>
static void rms_norm(const float* x, const T* w, O* out, long n, float eps) {
    vf squares = {};
    for (long i = 0; i < n; i += 16) squares += load(x + i) * load(x + i);
    float by = 1 / sqrtf(sum(squares) / n + eps);
    for (long i = 0; i < n; i += 16) store(out + i, load(x + i) * by * load(w + i));
}

template <class T> struct Decoder : Body {
    Shape shape;
    Rest rest;
    std::vector<Weights> layers;
    Heads heads;
    std::mutex lock;
    Tasks tasks;
    Buffer<float> stream, qkv, partial, most, sums;
    Buffer<T> normed, query, attended, inner;
    Buffer<uint8_t> coded;  // the rows of a product with int8 weights
    Buffer<float> tops;
    Best best;
    std::vector<Scratch<T>> scratch;

    Decoder(const Shape& s, const Rest& r, const Weights* w)
        : shape(s), rest(r), layers(w, w + s.layers), heads{s.heads, s.kv_heads, s.size} {
        if (sizeof(T) == 2 && use_amx) tasks.most = WIDE;
    }

    void run(const StepIn& in) override {
        std::lock_guard<std::mutex> guard(lock);
        const long M = in.rows, room = (M + 31) / 32 * 32, q = shape.heads * shape.size;
        tasks.build(in.problems, heads, M, in.threads);
        stream.reserve(room * shape.hidden);
        qkv.reserve(room * (q + 2 * shape.kv_heads * shape.size));
        partial.reserve(tasks.partials * q);
        most.reserve(tasks.partials * heads_room(shape.heads));
        sums.reserve(tasks.partials * heads_room(shape.heads));
        normed.reserve(room * shape.hidden);
        query.reserve(M * q);
        attended.reserve(room * q);
        inner.reserve(room * shape.inner);
        if (shape.int8) coded.reserve(room * widest());
        if (shape.int8) tops.reserve(room);
        scratch.resize(in.threads);
        for (auto& s : scratch) s.reserve(heads, tasks.most);
        if (in.best) best.reserve(in.wanted, in.threads);
        std::vector<long> next(shape.layers, 0);
#pragma omp parallel num_threads(in.threads)
        work(in, next.data());
        if (in.best) best.give(in.best, in.best_logits);
    }

    void meet();

  private:
    void code(const T* a, long K, const Part& p) {
        for (long r = p.r0; r < p.r1; r++)
            tops.data[p.base + r] = code_row(a + r * K, K, coded_at(p) + r * K);
    }
    uint8_t* coded_at(const Part& p) { return coded.data + p.base * widest(); }
    long widest() const {
        return std::max(shape.inner, std::max(shape.hidden, shape.heads * shape.size));
    }
    void norm(const void* weight, bool coded, const Part& p) {
        const long H = shape.hidden;
        T* out = normed.data + p.base * H;
        for (long r = p.r0; r < p.r1; r++)
            rms_norm(stream.data + (p.first + r) * H, (const T*)weight, out + r * H, H,
                     (float)shape.eps);
        if (coded) code(out, H, p);
    }
    // Blocks b0..b1-1 of a part's rows in a buffer, or as they were coded, times a packed weight
    template <class S>
    void product(bool int8, const T* a, const Part& p, const void* w, long K, long b0, long b1,
                 S& sink) {
        if (int8) gemm8(coded_at(p), tops.data + p.base, p.rows, (const int8_t*)w, K, b0,
                        b1, sink);
        else gemm(a + p.base * K, K, p.rows, (const T*)w, K, b0, b1, sink);
    }
    std::atomic<int> arrived{0}, phase{0};
    void work(const StepIn& in, long* next);
    void before(const StepIn& in, long layer, const Part& p);
    void rotate(const StepIn& in, long layer, long row, float* x);
    static long take(long* next);
    void attend(const StepIn& in, long layer, long* next, Scratch<T>& mine);
    void after(long layer, const Part& p);
    void onto(const T* a, const Part& p, const void* w, long K, long b0, long b1, const T* bias);
    void gather(const StepIn& in, long who, long of);
};

#include "decoder.h"

extern "C" {
// The version of this interface
int64_t ramify_version() { return 3; }
// What the products run on: 2 tiles (AMX), 1 dot products of bfloat16, 0 plain vectors
int64_t ramify_start() {
    use_amx = amx_allowed();
#if defined(__AVX512BF16__)
    return use_amx ? 2 : 1;
#else
    return use_amx ? 2 : 0;
#endif
}
// Ask for large pages in this memory, where the system has them: a step reads all weights once
void ramify_large_pages(void* start, int64_t bytes) { large_pages(start, bytes); }
void ramify_pack(const void* w, int64_t n, int64_t k, int64_t is_bf16, void* out) {
    if (is_bf16) pack((const bf16*)w, n, k, (bf16*)out);
    else pack((const float*)w, n, k, (float*)out);
}
void ramify_pack8(const void* w, int64_t n, int64_t k, int64_t is_bf16, void* out) {
    if (is_bf16) pack8((const bf16*)w, n, k, (int8_t*)out);
    else pack8((const float*)w, n, k, (int8_t*)out);
}
void* ramify_body(const Shape* shape, const Rest* rest, const Weights* layers) {
    if (shape->bf16) return new Decoder<bf16>(*shape, *rest, layers);
    return new Decoder<float>(*shape, *rest, layers);
}
void ramify_free(void* body) { delete (Body*)body; }
void ramify_run(void* body, const StepIn* in) { ((Body*)body)->run(*in); }
}

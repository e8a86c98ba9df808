// The layers of `Decoder`, as each thread of the team runs them.
#pragma once
#include <omp.h>
#include <sched.h>

// Wait for all threads of the team. OpenMP's own barrier puts threads to sleep as soon as the process
// has more of them than cores, and waking them costs more than what lies between two barriers.
template <class T> void Decoder<T>::meet() {
    const int now = phase.load(std::memory_order_acquire);
    if (arrived.fetch_add(1, std::memory_order_acq_rel) == omp_get_num_threads() - 1) {
        arrived.store(0, std::memory_order_relaxed);
        phase.store(now + 1, std::memory_order_release);
        return;
    }
    for (int spins = 0; phase.load(std::memory_order_acquire) == now; spins++)
        if (spins > 20000) sched_yield();  // the others may need this core
        else spin();
}

// Query and key of a row: normed per head if the model does so, rotated; key and value to the pool.
template <class T> void Decoder<T>::rotate(const StepIn& in, long layer, long row, float* x) {
    const Weights& w = layers[layer];
    const long D = shape.size, half = D / 2, H = shape.heads, K = shape.kv_heads;
    const float *cos = rest.cos + in.positions[row] * D, *sin = rest.sin + in.positions[row] * D;
    T *keys = (T*)in.keys[layer] + in.slots[row] * K * D;
    T *values = (T*)in.values[layer] + in.slots[row] * K * D;
    for (long head = 0; head < H + K; head++, x += D) {
        const T* norm = (const T*)(head < H ? w.query_norm : w.key_norm);
        if (norm) rms_norm(x, norm, x, D, (float)shape.eps);
        T* out = head < H ? query.data + (row * H + head) * D : keys + (head - H) * D;
        if (half % 16)
            for (long d = 0; d < half; d++) {
                out[d] = from_float<T>(x[d] * cos[d] - x[d + half] * sin[d]);
                out[d + half] = from_float<T>(x[d + half] * cos[d + half] + x[d] * sin[d + half]);
            }
        else for (long d = 0; d < half; d += 16) {
            vf a = load(x + d), b = load(x + half + d);
            store(out + d, a * load(cos + d) - b * load(sin + d));
            store(out + half + d, b * load(cos + half + d) + a * load(sin + half + d));
        }
    }
    for (long d = 0; d < K * D; d += 16) store(values + d, load(x + d));
}

template <class T> long Decoder<T>::take(long* next) {
    long i;
#pragma omp atomic capture
    i = (*next)++;
    return i;
}

template <class T>
void Decoder<T>::attend(const StepIn& in, long layer, long* next, Scratch<T>& mine) {
    const Layer<T> all{query.data, (const T*)in.keys[layer], (const T*)in.values[layer],
                       attended.data, partial.data, most.data, sums.data, (float)shape.scale,
                       layers[layer].window, rest.cos, rest.sin, (float)rest.unscaled};
    const long count = tasks.all.size();
    long i = take(next);
    if (i < count) Coming<T>(tasks.all[i], in.problems, heads, all, tasks.all[i].from, 1).all();
    meet();  // now all keys of this step are there
    for (long j; i < count; i = j) {
        j = take(next);
        run_task(tasks.all[i], j < count ? &tasks.all[j] : nullptr, tasks, in.problems, heads, all,
                 mine);
    }
    meet();
    if (!tasks.partials) return;
    long first, last;
    share(in.rows, 1, omp_get_thread_num(), omp_get_num_threads(), first, last);
    for (long r = first; r < last; r++) merge(r, tasks, heads, all);
    meet();
}

// A layer up to its keys and values, for the rows of a part
template <class T> void Decoder<T>::before(const StepIn& in, long l, const Part& p) {
    const Weights& w = layers[l];
    const long H = shape.hidden, width = (shape.heads + 2 * shape.kv_heads) * shape.size;
    long b0, b1;
    norm(w.before, shape.int8 > 0, p);
    p.join(*this);
    p.cut(width / 16, b0, b1);
    float* made = qkv.data + p.base * width;
    if (w.qkv_bias || shape.int8) {
        Bias<T> plain{made, width, (const T*)w.qkv_bias};
        product(shape.int8, normed.data, p, w.qkv, H, b0, b1, plain);
    } else multiply<false>(normed.data + p.base * H, H, p.rows, (const T*)w.qkv, H, b0, b1, made, width);
    p.join(*this);
    for (long r = p.r0; r < p.r1; r++) rotate(in, l, p.first + r, made + r * width);
}

// A layer from its attention's results on
template <class T> void Decoder<T>::after(long l, const Part& p) {
    const Weights& w = layers[l];
    const long H = shape.hidden, q = shape.heads * shape.size, I = shape.inner;
    const bool int8 = shape.int8 > 0;
    long b0, b1;
    if (int8) {
        code(attended.data + p.first * q, q, p);
        p.join(*this);
    }
    p.cut(H / 16, b0, b1);
    onto(attended.data + p.first * q, p, w.out, q, b0, b1, (const T*)w.out_bias);
    p.join(*this);
    norm(w.after, int8, p);
    p.join(*this);
    p.cut(I / 8, b0, b1);
    Gated<T> gated{inner.data + p.base * I, I};
    product(int8, normed.data, p, w.gate_up, H, b0, b1, gated);
    p.join(*this);
    if (int8) {
        code(inner.data + p.base * I, I, p);
        p.join(*this);
    }
    p.cut(H / 16, b0, b1);
    onto(inner.data + p.base * I, p, w.down, I, b0, b1, nullptr);
    p.join(*this);
}

// A part of the stream plus a product
template <class T>
void Decoder<T>::onto(const T* a, const Part& p, const void* w, long K, long b0, long b1,
                      const T* bias) {
    const long H = shape.hidden;
    float* c = stream.data + p.first * H;
    if (!bias && !shape.int8) return multiply<true>(a, K, p.rows, (const T*)w, K, b0, b1, c, H);
    Onto<T> sink{c, H, bias};
    if (shape.int8) gemm8(coded_at(p), tops.data + p.base, p.rows, (const int8_t*)w, K, b0, b1,
                          sink);
    else gemm(a, K, p.rows, (const T*)w, K, b0, b1, sink);
}

// The rows whose logits are wanted come first; they come in order
template <class T> void Decoder<T>::gather(const StepIn& in, long who, long of) {
    const long H = shape.hidden, q = shape.heads * shape.size;
    long b0, b1;
    share(H / 16, 1, who, of, b0, b1);
    for (long i = 0; i < in.wanted; i++)
        memmove(stream.data + i * H + b0 * 16, stream.data + in.wanted_rows[i] * H + b0 * 16,
                (b1 - b0) * 64);
    share(q / 16, 1, who, of, b0, b1);
    for (long i = 0; i < in.wanted; i++)
        memmove(attended.data + i * q + b0 * 16, attended.data + in.wanted_rows[i] * q + b0 * 16,
                (b1 - b0) * 16 * sizeof(T));
    meet();
}

template <class T> void Decoder<T>::work(const StepIn& in, long* next) {
    const long who = omp_get_thread_num(), of = omp_get_num_threads(), H = shape.hidden;
    tiles_begin();
    const std::vector<Part> parts = parts_of(in.rows, H, who, of);
    for (const Part& p : parts)
        for (long r = p.first + p.r0; r < p.first + p.r1; r++) {
            const T* from = (const T*)rest.embed + in.tokens[r] * H;
            if (in.hidden) from = (const T*)in.hidden + r * H;
            for (long d = 0; d < H; d += 16) store(stream.data + r * H + d, load(from + d));
        }
    for (long l = 0; l < shape.layers; l++) {
        for (const Part& p : parts) {  // what a part needs for both is near
            if (l) after(l - 1, p);
            before(in, l, p);
        }
        if (l < shape.layers - 1 || in.wanted) attend(in, l, next + l, scratch[who]);
    }
    if (in.wanted) {  // else only the KV was asked for
        gather(in, who, of);
        const Part p = together(in.wanted, who, of);
        after(shape.layers - 1, p);
        norm(rest.norm, shape.int8 == 2, p);
        meet();
        long b0, b1;
        p.cut((shape.vocab + 15) / 16, b0, b1);
        if (in.best) {
            auto sink = best.sink(who, shape.vocab);
            product(shape.int8 == 2, normed.data, p, rest.head, H, b0, b1, sink);
        } else {
            Edge sink{in.logits, shape.vocab};
            product(shape.int8 == 2, normed.data, p, rest.head, H, b0, b1, sink);
        }
    }
    tiles_end();
}

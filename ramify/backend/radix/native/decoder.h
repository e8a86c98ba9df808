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
template <class T> void Decoder<T>::rotate(const StepIn& in, long layer, long row) {
    const Weights& w = layers[layer];
    const long D = shape.size, half = D / 2, H = shape.heads, K = shape.kv_heads;
    const float *cos = rest.cos + in.positions[row] * D, *sin = rest.sin + in.positions[row] * D;
    float* x = qkv.data + row * (H + 2 * K) * D;
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

template <class T>
void Decoder<T>::attend(const StepIn& in, long layer, long* next, Scratch<T>& mine) {
    const Layer<T> all{query.data, (const T*)in.keys[layer], (const T*)in.values[layer],
                       attended.data, partial.data, lse.data, (float)shape.scale,
                       layers[layer].window, rest.cos, rest.sin, (float)rest.unscaled};
    for (;;) {
        long i;
#pragma omp atomic capture
        i = next[layer]++;
        if (i >= (long)tasks.all.size()) break;
        run_task(tasks.all[i], tasks, in.problems, heads, all, mine);
    }
    meet();
    if (!tasks.partials) return;
    long first, last;
    share(in.rows, 1, omp_get_thread_num(), omp_get_num_threads(), first, last);
    for (long r = first; r < last; r++) merge(r, tasks, heads, all);
    meet();
}

template <class T> void Decoder<T>::work(const StepIn& in, long* next) {
    const long who = omp_get_thread_num(), of = omp_get_num_threads();
    const long H = shape.hidden, q = shape.heads * shape.size, I = shape.inner;
    const long width = q + 2 * shape.kv_heads * shape.size;
    const float eps = (float)shape.eps;
    const bool int8 = shape.int8 > 0;
    long M = in.rows, r0, r1, b0, b1;
    auto norm = [&](const void* weight, bool coded) {
        for (long r = r0; r < r1; r++)
            rms_norm(stream.data + r * H, (const T*)weight, normed.data + r * H, H, eps);
        if (coded) code(normed.data, H, r0, r1);
    };
    tiles_begin();
    share(M, 1, who, of, r0, r1);
    for (long r = r0; r < r1; r++) {
        const T* from = (const T*)rest.embed + in.tokens[r] * H;
        if (in.hidden) from = (const T*)in.hidden + r * H;
        for (long d = 0; d < H; d += 16) store(stream.data + r * H + d, load(from + d));
    }
    for (long l = 0; l < shape.layers; l++) {
        const Weights& w = layers[l];
        const bool end = l == shape.layers - 1;
        norm(w.before, int8);
    meet();
        Bias<T> plain{qkv.data, width, (const T*)w.qkv_bias};
        share(width / 16, 2, who, of, b0, b1);
        product(int8, normed.data, M, w.qkv, H, b0, b1, plain);
    meet();
        for (long r = r0; r < r1; r++) rotate(in, l, r);
    meet();
        if (end && !in.wanted) break;  // only the KV was asked for
        attend(in, l, next, scratch[who]);
        if (end) {  // go on with the wanted rows alone: they come in order
            share(H / 16, 1, who, of, b0, b1);
            for (long i = 0; i < in.wanted; i++)
                memmove(stream.data + i * H + b0 * 16,
                        stream.data + in.wanted_rows[i] * H + b0 * 16, (b1 - b0) * 64);
            share(q / 16, 1, who, of, b0, b1);
            for (long i = 0; i < in.wanted; i++)
                memmove(attended.data + i * q + b0 * 16,
                        attended.data + in.wanted_rows[i] * q + b0 * 16, (b1 - b0) * 16 * sizeof(T));
            M = in.wanted;
            share(M, 1, who, of, r0, r1);
    meet();
        }
        if (int8) {
            code(attended.data, q, r0, r1);
    meet();
        }
        Onto<T> mixed{stream.data, H, (const T*)w.out_bias};
        share(H / 16, 2, who, of, b0, b1);
        product(int8, attended.data, M, w.out, q, b0, b1, mixed);
    meet();
        norm(w.after, int8);
    meet();
        Gated<T> gated{inner.data, I};
        share(I / 8, 2, who, of, b0, b1);
        product(int8, normed.data, M, w.gate_up, H, b0, b1, gated);
    meet();
        if (int8) {
            code(inner.data, I, r0, r1);
    meet();
        }
        Onto<T> onto{stream.data, H, nullptr};
        share(H / 16, 2, who, of, b0, b1);
        product(int8, inner.data, M, w.down, I, b0, b1, onto);
    meet();
    }
    if (in.wanted) {
        norm(rest.norm, shape.int8 == 2);
    meet();
        Edge logits{in.logits, shape.vocab};
        share((shape.vocab + 15) / 16, 2, who, of, b0, b1);
        product(shape.int8 == 2, normed.data, M, rest.head, H, b0, b1, logits);
    }
    tiles_end();
}

#include "ref.h"

#include <math.h>
#include <stdlib.h>

#include "host/base/alloc.h"

// Philox4x32-10: ten rounds of two multiplications, with keys that step along Weyl sequences (Salmon et al. 2011,
// section 3).
void ref_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t k0 = key[0], k1 = key[1];
    for (int i = 0; i < 4; i++)
        out[i] = counter[i];
    for (int round = 0; round < 10; round++) {
        uint64_t a = 0xd2511f53u * (uint64_t)out[0], b = 0xcd9e8d57u * (uint64_t)out[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ out[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ out[3] ^ k1,
                            (uint32_t)a};
        for (int i = 0; i < 4; i++)
            out[i] = next[i];
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
}

static int descending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static double weight_of(const ref_sample_args *args, float logit, float largest) {
    return exp(((double)logit - largest) / args->temperature);
}

static int32_t greedy(const ref_sample_args *args) {
    size_t best = 0;
    for (size_t i = 1; i < args->n_vocab; i++)
        if (args->logits[i] > args->logits[best]) best = i;
    return (int32_t)best;
}

// Penalties and biases in float32, as they are defined: equals stay equal on both sides.
static float adjusted(const ref_sample_args *args, size_t i) {
    float l = args->logits[i];
    if (args->seen && args->seen[i]) {
        float repetition = args->repetition > 0 ? args->repetition : 1;
        l = l > 0 ? l / repetition : l * repetition;
        l -= args->presence;
    }
    return args->bias ? l + args->bias[i] : l;
}

static double score_of(const ref_sample_args *args, int32_t token) {
    double largest = args->logits[0], sum = 0;
    for (size_t i = 0; i < args->n_vocab; i++)
        largest = fmax(largest, args->logits[i]);
    for (size_t i = 0; i < args->n_vocab; i++)
        sum += exp(args->logits[i] - largest);
    return args->logits[token] - largest - log(sum);
}

// The smallest logit that the first two cuts keep. `sorted` falls.
static float threshold_of(ref_sample_args *args, const float *sorted) {
    size_t n_kept = args->n_vocab;
    if (args->top_k && args->top_k < n_kept) {
        n_kept = args->top_k;
        while (n_kept < args->n_vocab && sorted[n_kept] == sorted[n_kept - 1])
            n_kept++;
    }
    if (!(args->top_p < 1)) return sorted[n_kept - 1];
    double total = 0, sum = 0;
    for (size_t i = 0; i < n_kept; i++)
        total += weight_of(args, sorted[i], sorted[0]);
    for (size_t i = 0; i < n_kept; i++) {
        sum += weight_of(args, sorted[i], sorted[0]);
        if (i + 1 < n_kept && sorted[i + 1] == sorted[i]) continue; // equals stay together
        args->margin = fmin(args->margin, fabs(sum / total - args->top_p));
        if (sum >= args->top_p * total) return sorted[i];
    }
    return sorted[n_kept - 1];
}

// Draw among the kept ones, in order of ids.
static int32_t draw(ref_sample_args *args, float threshold, float largest, double number) {
    double total = 0, sum = 0;
    int32_t token = -1;
    for (size_t i = 0; i < args->n_vocab; i++)
        if (args->logits[i] >= threshold) total += weight_of(args, args->logits[i], largest);
    for (size_t i = 0; i < args->n_vocab; i++) {
        double weight = args->logits[i] >= threshold ? weight_of(args, args->logits[i], largest) : 0;
        if (args->probability) args->probability[i] = weight / total;
        if (weight == 0) continue;
        sum += weight;
        // Both ends of the whole range are safe: no token lies beyond.
        if (sum < total * (1 - 1e-12)) args->margin = fmin(args->margin, fabs(sum / total - number));
        if (token < 0 && number * total < sum) token = (int32_t)i;
    }
    return token;
}

// The third cut: at least min_p times as probable as the most probable one.
static float min_p_threshold(ref_sample_args *args, const float *sorted, float threshold) {
    if (args->min_p <= 0) return threshold;
    for (size_t i = 0; i < args->n_vocab && sorted[i] >= threshold; i++) {
        double part = weight_of(args, sorted[i], sorted[0]);
        args->margin = fmin(args->margin, fabs(part - args->min_p));
        if (part < args->min_p) return sorted[i - 1];
    }
    return threshold;
}

static void choose(ref_sample_args *args) {
    args->token = greedy(args);
    if (args->temperature == 0) return;
    float *sorted = vks_alloc_zero(args->n_vocab, sizeof *sorted);
    if (!sorted) exit(2);
    for (size_t i = 0; i < args->n_vocab; i++)
        sorted[i] = args->logits[i];
    qsort(sorted, args->n_vocab, sizeof *sorted, descending);
    uint32_t bits[4], counter[4] = {args->position}, key[2] = {(uint32_t)args->seed, (uint32_t)(args->seed >> 32)};
    ref_philox4x32(counter, key, bits);
    double number = (bits[0] >> 8) * 0x1p-24;
    float threshold = min_p_threshold(args, sorted, threshold_of(args, sorted));
    args->token = draw(args, threshold, sorted[0], number);
    vks_free(sorted);
}

void ref_sample(ref_sample_args *args) {
    const float *logits = args->logits;
    float *changed = vks_alloc_zero(args->n_vocab, sizeof *changed);
    if (!changed) exit(2);
    for (size_t i = 0; i < args->n_vocab; i++)
        changed[i] = adjusted(args, i);
    args->margin = 1;
    args->logits = changed;
    choose(args);
    args->logits = logits;
    args->score = score_of(args, args->token);
    vks_free(changed);
}

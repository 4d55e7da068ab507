// sample: the next token of each sequence. Temperature 0: the largest logit, lowest id among equals. Else, in this order:
//         logits / temperature; keep those not below the top_k-th largest; keep the smallest set of the most probable ones
//         whose probability reaches top_p (Holtzman et al. 2020); keep those at least min_p times as probable as the most
//         probable one (Nguyen et al. 2024); draw one with probability exp(l / temperature) / sum.
//         All cuts are thresholds over the ordered bits of the logits, so equals are kept together; the first two are
//         found three bits at a time.
//         The token goes to the control words and to the ring. A sequence that ends there gives up its place in `slots`
// Push      shaders/params/sample.h; shapes and the control words stand there
// Mapping   x: one workgroup per sequence; invocations stride over the vocabulary
// Constants 0 WG_SIZE (power of two)  1 ONE_SUBGROUP
// Needs     SUBGROUP: subgroup arithmetic; without it a tree in shared memory. V below 2^24 (counts are floats); what
//           sample_blocks found
// Numerics  f32 sums, in an order that depends on WG_SIZE only; uniform numbers from Philox4x32-10 (Salmon et al. 2011)
//           with key = seed and counter = position
// Twin      tests/ref/ref_sample.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/sample.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
#ifdef SUBGROUP
layout(constant_id = 1) const bool ONE_SUBGROUP = false;
#endif
#include "include/reduce.glsl"

shared float segment_sums[WG_SIZE];

uint row_at; // first logit of this sequence

float logit(uint id) {
    return Floats(params.logits).at[row_at + id];
}

// Bits of a float in an order that compares as the floats do.
uint ordered(float value) {
    uint bits = floatBitsToUint(value);
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

float block_value(uint sequence, uint block, uint what) {
    return Floats(params.blocks).at[(sequence * params.n_block + block) * VKS_SAMPLE_BLOCK_SIZE + what];
}

// The largest value of a kind over the blocks.
float largest_of(uint sequence, uint what) {
    float largest = uintBitsToFloat(0xff800000u);
    for (uint block = gl_LocalInvocationIndex; block < params.n_block; block += WG_SIZE)
        largest = max(largest, block_value(sequence, block, what));
    return workgroup_max(largest);
}

// Lowest id with that logit (V - 1 if there is none: all are NaN). Ids are exact in floats.
uint first_with(uint sequence, float value) {
    float found = -float(params.n_vocab - 1);
    for (uint block = gl_LocalInvocationIndex; block < params.n_block; block += WG_SIZE)
        if (block_value(sequence, block, VKS_SAMPLE_MAX) == value)
            found = max(found, -block_value(sequence, block, VKS_SAMPLE_FIRST));
    return uint(-workgroup_max(found));
}

// ln of the sum of exp(l) over the logits as they came.
float log_sum(uint sequence) {
    float largest = largest_of(sequence, VKS_SAMPLE_RAW_MAX), sum = 0.0;
    for (uint block = gl_LocalInvocationIndex; block < params.n_block; block += WG_SIZE)
        sum += block_value(sequence, block, VKS_SAMPLE_RAW_SUM) *
               exp(block_value(sequence, block, VKS_SAMPLE_RAW_MAX) - largest);
    return largest + log(workgroup_add(sum));
}

// What a logit adds to a mass: exp((l - largest) scale), or 1 with scale 0.
float mass_of(float l, float largest, float scale) {
    return scale == 0.0 ? 1.0 : exp((l - largest) * scale);
}

float mass_above(uint threshold, float largest, float scale) {
    float sum = 0.0;
    for (uint id = gl_LocalInvocationIndex; id < params.n_vocab; id += WG_SIZE)
        if (ordered(logit(id)) >= threshold) sum += mass_of(logit(id), largest, scale);
    return workgroup_add(sum);
}

// The highest threshold, at least `lowest`, above which there still is `wanted` of the mass: three bits at a time from the
// top, by the masses above all seven that are possible.
uint highest_threshold(uint lowest, float wanted, float largest, float scale) {
    uint threshold = 0;
    for (int shift = 30; shift >= 0; shift -= 3) {
        uint n_trial = shift == 30 ? 3 : 7; // the topmost digit has two bits
        float sum[7];
        [[unroll]] for (uint d = 0; d < 7; d++) sum[d] = 0.0;
        for (uint id = gl_LocalInvocationIndex; id < params.n_vocab; id += WG_SIZE) {
            float l = logit(id);
            uint bits = ordered(l);
            if (bits < (threshold | 1u << shift)) continue;
            float mass = mass_of(l, largest, scale);
            [[unroll]] for (uint d = 0; d < 7; d++)
                if (d < n_trial && bits >= (threshold | (d + 1) << shift)) sum[d] += mass;
        }
        uint digit = 0;
        [[unroll]] for (uint d = 0; d < 7; d++) {
            float mass = workgroup_add(sum[d]);
            if (d < n_trial && ((threshold | (d + 1) << shift) <= lowest || mass >= wanted)) digit = d + 1;
        }
        threshold |= digit << shift;
    }
    return max(threshold, lowest);
}

// First word of Philox4x32-10 as a float in [0, 1).
float uniform_number(uvec2 key, uint position) {
    uvec4 c = uvec4(position, 0, 0, 0);
    for (uint round = 0; round < 10; round++) {
        uint high0, low0, high1, low1;
        umulExtended(0xD2511F53u, c.x, high0, low0);
        umulExtended(0xCD9E8D57u, c.z, high1, low1);
        c = uvec4(high1 ^ c.y ^ key.x, low1, high0 ^ c.w ^ key.y, low0);
        key += uvec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return float(c.x >> 8) * (1.0 / 16777216.0);
}

// Minus infinity is never chosen, not where its probability is rounded either.
bool may_draw(float l, uint threshold) {
    uint bits = ordered(l);
    return bits >= threshold && bits != 0x007fffffu;
}

// Draw from the logits at or above `threshold`. Invocation i owns the i-th contiguous segment of the vocabulary; the one
// whose part of the running sum holds the target walks its segment. Returns V for all others.
uint draw(uint threshold, float largest, float scale, float number) {
    uint size = (params.n_vocab + WG_SIZE - 1) / WG_SIZE, i = gl_LocalInvocationIndex;
    uint first = min(i * size, params.n_vocab), end = min(first + size, params.n_vocab);
    float sum = 0.0;
    for (uint id = first; id < end; id++)
        if (may_draw(logit(id), threshold)) sum += exp((logit(id) - largest) * scale);
    segment_sums[i] = sum;
    barrier();
    float before = 0.0, total = 0.0;
    for (uint j = 0; j < WG_SIZE; j++) {
        if (j == i) before = total;
        total += segment_sums[j];
    }
    // At least 1 by the largest logit, unless logits are not numbers or infinite: then the last id, as for temperature 0.
    if (!(total >= 0.5)) return i == 0 ? params.n_vocab - 1 : params.n_vocab;
    float target = number * total;
    if (target >= total) target = uintBitsToFloat(floatBitsToUint(total) - 1u); // rounded up: stay inside
    if (target < before || target >= before + sum) return params.n_vocab;
    uint chosen = params.n_vocab;
    for (uint id = first; id < end; id++) {
        if (!may_draw(logit(id), threshold)) continue;
        chosen = id; // the last one kept, should rounding leave the target above the walked sum
        before += exp((logit(id) - largest) * scale);
        if (target < before) break;
    }
    return chosen;
}

// Whether the sequence ends with this token.
bool ends(uint at, uint token, uint count) {
    Words control = Words(params.controls);
    bool stop = count == control.at[at + VKS_CONTROL_LIMIT]; // count is never 0
    uint n_stop = min(control.at[at + VKS_CONTROL_N_STOP], VKS_CONTROL_MAX_STOP);
    for (uint i = 0; i < n_stop; i++)
        if (control.at[at + VKS_CONTROL_STOP + i] == token) stop = true;
    return stop;
}

void main() {
    uint sequence = gl_WorkGroupID.x;
    uint slot = is_null(params.slots) ? sequence : Words(params.slots).at[sequence];
    row_at = sequence * params.logits_stride;
    Words control = Words(params.controls);
    uint at = slot * VKS_CONTROL_SIZE, flags = control.at[at + VKS_CONTROL_FLAGS];
    if ((flags & VKS_CONTROL_PARKED) != 0) return;
    float temperature = uintBitsToFloat(control.at[at + VKS_CONTROL_TEMPERATURE]);
    uint top_k = control.at[at + VKS_CONTROL_TOP_K], count = control.at[at + VKS_CONTROL_COUNT];
    float top_p = uintBitsToFloat(control.at[at + VKS_CONTROL_TOP_P]);
    float min_p = uintBitsToFloat(control.at[at + VKS_CONTROL_MIN_P]);

    float largest = largest_of(sequence, VKS_SAMPLE_MAX), log_all = 0.0;
    if (!is_null(params.scores)) log_all = log_sum(sequence);
    uint token = params.n_vocab;
    bool mine = gl_LocalInvocationIndex == 0;
    if (temperature == 0.0) {
        token = first_with(sequence, largest);
    } else {
        float scale = min(1.0 / temperature, 3e38); // finite: 0 times infinity is not a number
        uint threshold = 0;
        if (top_k > 0 && top_k < params.n_vocab) threshold = highest_threshold(0, float(top_k), largest, 0.0);
        if (top_p < 1.0) {
            float wanted = top_p * mass_above(threshold, largest, scale);
            threshold = highest_threshold(threshold, wanted, largest, scale);
        }
        if (min_p > 0.0) threshold = max(threshold, ordered(largest + log(min_p) / scale));
        uvec2 seed = uvec2(control.at[at + VKS_CONTROL_SEED_LOW], control.at[at + VKS_CONTROL_SEED_HIGH]);
        float number = uniform_number(seed, control.at[at + VKS_CONTROL_POSITION] + count);
        token = draw(threshold, largest, scale, number);
        mine = token < params.n_vocab;
    }
    float score = 0.0;
    bool ended = false;
    if (mine) {
        // Penalties have changed the logits; those that came are in `kept`.
        float l = is_null(params.kept) ? logit(token) : Floats(params.kept).at[slot * params.n_vocab + token];
        score = l - log_all;
        ended = ends(at, token, count + 1);
    }
    uint park = control.at[at + VKS_CONTROL_PARK];
    barrier(); // every invocation has read the control words
    if (!mine) return;
    control.at[at + VKS_CONTROL_TOKEN] = token;
    control.at[at + VKS_CONTROL_COUNT] = count + 1;
    uint place = slot * params.ring_size + count % params.ring_size;
    Words(params.ring).at[place] = token;
    if (!is_null(params.scores)) Floats(params.scores).at[place] = score;
    if ((flags & VKS_CONTROL_ADJUST) != 0 && !is_null(params.adjust))
        Words(params.adjust).at[(slot * 2 + 1) * params.n_vocab + token] = 1;
    if (ended && !is_null(params.slots)) Words(params.slots).at[sequence] = park;
}

// sample_blocks: the part of sampling that looks at every logit once. Keeps the logits as they came; then applies, in
//         place, penalties for tokens seen before, l -> l / r or l r by its sign (Keskar et al. 2019, section 4.1), then
//         l - presence, and adds biases; and tells each block's largest value and sum of exponentials
// Push      shaders/params/sample.h; shapes and the control words stand there
// Mapping   x: a block of VKS_SAMPLE_BLOCK tokens, over which invocations stride; y: sequence
// Constants 0 WG_SIZE (power of two)  1 ONE_SUBGROUP
// Needs     SUBGROUP: subgroup arithmetic; without it a tree in shared memory. V below 2^24 (ids are exact in floats)
// Numerics  f32 sums, in an order that depends on WG_SIZE only
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

float control_float(uint at) {
    return uintBitsToFloat(Words(params.controls).at[at]);
}

float adjusted(float l, uint slot, uint id, float repetition, float presence) {
    uint row = slot * 2 * params.n_vocab;
    if (Words(params.adjust).at[row + params.n_vocab + id] != 0) {
        l = l > 0.0 ? l / repetition : l * repetition;
        l -= presence;
    }
    return l + Floats(params.adjust).at[row + id];
}

void main() {
    uint sequence = gl_WorkGroupID.y, first = gl_WorkGroupID.x * VKS_SAMPLE_BLOCK;
    uint slot = is_null(params.slots) ? sequence : Words(params.slots).at[sequence];
    uint control = slot * VKS_CONTROL_SIZE, flags = Words(params.controls).at[control + VKS_CONTROL_FLAGS];
    if ((flags & VKS_CONTROL_PARKED) != 0) return;
    bool adjust = (flags & VKS_CONTROL_ADJUST) != 0 && !is_null(params.adjust);
    float repetition = control_float(control + VKS_CONTROL_REPETITION);
    float presence = control_float(control + VKS_CONTROL_PRESENCE);
    uint row = sequence * params.logits_stride, end = min(first + VKS_SAMPLE_BLOCK, params.n_vocab);
    Floats logits = Floats(params.logits);

    float raw_max = uintBitsToFloat(0xff800000u), largest = raw_max;
    for (uint id = first + gl_LocalInvocationIndex; id < end; id += WG_SIZE) {
        float l = logits.at[row + id];
        if (!is_null(params.kept)) Floats(params.kept).at[slot * params.n_vocab + id] = l;
        raw_max = max(raw_max, l);
        if (adjust) {
            l = adjusted(l, slot, id, repetition, presence);
            largest = max(largest, l);
        }
    }
    raw_max = workgroup_max(raw_max);
    if (adjust) largest = workgroup_max(largest);
    else largest = raw_max;

    float sum = 0.0, found = -float(params.n_vocab - 1); // no number equals a NaN: then the last id
    for (uint id = first + gl_LocalInvocationIndex; id < end; id += WG_SIZE) {
        float l = logits.at[row + id];
        sum += exp(l - raw_max);
        if (adjust) {
            l = adjusted(l, slot, id, repetition, presence);
            logits.at[row + id] = l;
        }
        if (l == largest) found = max(found, -float(id));
    }
    sum = workgroup_add(sum);
    found = workgroup_max(found);
    if (gl_LocalInvocationIndex != 0) return;
    uint block = (sequence * params.n_block + gl_WorkGroupID.x) * VKS_SAMPLE_BLOCK_SIZE;
    Floats(params.blocks).at[block + VKS_SAMPLE_RAW_MAX] = raw_max;
    Floats(params.blocks).at[block + VKS_SAMPLE_RAW_SUM] = sum;
    Floats(params.blocks).at[block + VKS_SAMPLE_MAX] = largest;
    Floats(params.blocks).at[block + VKS_SAMPLE_FIRST] = -found;
}

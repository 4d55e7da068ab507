// conv1d_wide: conv1d for many tokens, 4 channels a load: y[t, c] = act(bias[c] + sum over j of w[j, c] x[t - (K-1) + j, c]),
//              causal and depthwise; x at negative t is row K-1 + t of the state (oldest first), which is read only
// Push      shaders/params/conv1d.h; shapes and types stand there; channels, strides and addresses multiples of 4 elements
// Mapping   x: one invocation per 4 channels; y: TOKENS tokens, whose inputs are all loaded at first; z: one sequence; with
//           offsets y goes over all sequences
// Constants 0 WG_SIZE  1 X_TYPE  2 Y_TYPE  3 BIAS  4 SILU  5 K  6 TOKENS
// Needs     nothing optional
// Numerics  f32, summed from the oldest tap to the newest
// Twin      tests/ref/ref_conv1d.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/conv1d.h"
#include "include/io.glsl"
#include "include/store.glsl"
#include "include/math.glsl"
#include "include/sequences.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const bool BIAS = false;
layout(constant_id = 4) const bool SILU = true;
layout(constant_id = 5) const uint K = 4;
layout(constant_id = 6) const uint TOKENS = 8;

// Inputs of channels c ... c+3, counted from the state's first row; past the last token that one again.
vec4 input_row(uint first, uint n_time, uint state_at, uint row, uint c) {
    if (row < K - 1) return Floats4(params.state).at[(state_at + row * params.n_channel + c) >> 2];
    uint t = min(row - (K - 1), n_time - 1);
    return load4(params.x, X_TYPE, (first + t) * params.x_stride + c);
}

void main() {
    uint c = 4 * gl_GlobalInvocationID.x, part = part_of(gl_WorkGroupID.y, gl_WorkGroupID.z, TOKENS);
    uint sequence = sequence_of(part, TOKENS), t0 = (part - first_part(sequence, TOKENS)) * TOKENS;
    uint first = first_row(sequence), n_time = n_row(sequence);
    if (c >= params.n_channel || t0 >= n_time) return;
    uint slot = is_null(params.slots) ? sequence : Words(params.slots).at[sequence];
    uint state_at = slot * params.state_stride;

    vec4 w[K], x[TOKENS + K - 1], bias = vec4(0);
    [[unroll]] for (uint i = 0; i < TOKENS + K - 1; i++) x[i] = input_row(first, n_time, state_at, t0 + i, c);
    [[unroll]] for (uint j = 0; j < K; j++) w[j] = Floats4(params.w).at[(j * params.n_channel + c) >> 2];
    if (BIAS) bias = Floats4(params.bias).at[c >> 2];
    [[unroll]] for (uint i = 0; i < TOKENS; i++) {
        if (t0 + i >= n_time) break;
        vec4 sum = bias;
        [[unroll]] for (uint j = 0; j < K; j++) sum = fma(w[j], x[i + j], sum);
        if (SILU) sum = vec4(silu(sum.x), silu(sum.y), silu(sum.z), silu(sum.w));
        store_vector(params.y, Y_TYPE, (first + t0 + i) * params.y_stride + c, sum);
    }
}

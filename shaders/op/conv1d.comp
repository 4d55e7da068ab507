// conv1d: y[t, c] = act(bias[c] + sum over j of w[j, c] x[t - (K-1) + j, c]), causal and depthwise; x at negative t is
//         row K-1 + t of the state (oldest first), which is read only: conv1d_tail advances it afterwards. REVERSE: time
//         runs from the last row to the first. Without a state zeros stand before the first token
// Push      shaders/params/conv1d.h; shapes and types stand there
// Mapping   x: one invocation per 2 channels; y: TOKENS tokens, whose inputs slide through registers; z: one sequence; with
//           offsets y goes over all sequences
// Constants 0 WG_SIZE  1 X_TYPE  2 Y_TYPE  3 BIAS  4 SILU  5 K  6 TOKENS  7 REVERSE
// Needs     nothing optional
// Numerics  f32, summed from the oldest tap to the newest
// Twin      tests/ref/ref_conv1d.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/conv1d.h"
#include "include/io.glsl"
#include "include/math.glsl"
#include "include/sequences.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const bool BIAS = false;
layout(constant_id = 4) const bool SILU = true;
layout(constant_id = 5) const uint K = 4;
layout(constant_id = 6) const uint TOKENS = 1;
layout(constant_id = 7) const bool REVERSE = false;

// Row of token t of a sequence, in order of time.
uint row_of(uint first, uint n_time, uint t) {
    return first + (REVERSE ? n_time - 1 - t : t);
}

// Inputs of channels c and c+1, counted from the state's first row.
vec2 input_row(uint first, uint n_time, uint state_at, uint row, uint c, uint c_second) {
    if (row < K - 1) {
        if (is_null(params.state)) return vec2(0);
        Floats state = Floats(params.state);
        uint at = state_at + row * params.n_channel;
        return vec2(state.at[at + c], state.at[at + c_second]);
    }
    uint at = row_of(first, n_time, row - (K - 1)) * params.x_stride;
    return vec2(load1(params.x, X_TYPE, at + c), load1(params.x, X_TYPE, at + c_second));
}

void main() {
    uint c = 2 * gl_GlobalInvocationID.x, part = part_of(gl_WorkGroupID.y, gl_WorkGroupID.z, TOKENS);
    uint sequence = sequence_of(part, TOKENS), t0 = (part - first_part(sequence, TOKENS)) * TOKENS;
    uint first = first_row(sequence), n_time = n_row(sequence);
    if (c >= params.n_channel || t0 >= n_time) return;
    bool both = c + 1 < params.n_channel;
    uint c_second = both ? c + 1 : c;
    uint slot = is_null(params.slots) ? sequence : Words(params.slots).at[sequence];
    uint state_at = slot * params.state_stride;

    vec2 w[K], window[K], bias = vec2(0);
    if (BIAS) bias = vec2(Floats(params.bias).at[c], Floats(params.bias).at[c_second]);
    [[unroll]] for (uint j = 0; j < K; j++)
        w[j] = vec2(Floats(params.w).at[j * params.n_channel + c], Floats(params.w).at[j * params.n_channel + c_second]);
    [[unroll]] for (uint j = 0; j + 1 < K; j++) window[j + 1] = input_row(first, n_time, state_at, t0 + j, c, c_second);

    for (uint t = t0; t < min(t0 + TOKENS, n_time); t++) {
        [[unroll]] for (uint j = 0; j + 1 < K; j++) window[j] = window[j + 1];
        window[K - 1] = input_row(first, n_time, state_at, t + K - 1, c, c_second);
        vec2 sum = bias;
        [[unroll]] for (uint j = 0; j < K; j++) sum = fma(w[j], window[j], sum);
        if (SILU) sum = vec2(silu(sum.x), silu(sum.y));
        store2(params.y, Y_TYPE, row_of(first, n_time, t) * params.y_stride + c, sum, both);
    }
}

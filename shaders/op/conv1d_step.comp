// conv1d_step: one token of conv1d for each sequence, and the state moved on by one row, in one pass
// Push      shaders/params/conv1d.h with n_time 1; shapes and types stand there
// Mapping   x: one invocation per 2 channels; y: one sequence
// Constants 0 WG_SIZE  1 X_TYPE  2 Y_TYPE  3 BIAS  4 SILU  5 K
// Needs     nothing optional
// Numerics  f32, summed from the oldest tap to the newest: the same bits as conv1d
// Twin      tests/ref/ref_conv1d.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/conv1d.h"
#include "include/io.glsl"
#include "include/math.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const bool BIAS = false;
layout(constant_id = 4) const bool SILU = true;
layout(constant_id = 5) const uint K = 4;

float convolve_and_shift(uint sequence, uint state_at, uint c) {
    float sum = BIAS ? Floats(params.bias).at[c] : 0.0;
    for (uint j = 0; j + 1 < K; j++) {
        float x = Floats(params.state).at[state_at + j * params.n_channel + c];
        if (j > 0) Floats(params.state).at[state_at + (j - 1) * params.n_channel + c] = x;
        sum = fma(Floats(params.w).at[j * params.n_channel + c], x, sum);
    }
    float x = load1(params.x, X_TYPE, sequence * params.x_stride + c);
    if (K > 1) Floats(params.state).at[state_at + (K - 2) * params.n_channel + c] = x;
    sum = fma(Floats(params.w).at[(K - 1) * params.n_channel + c], x, sum);
    return SILU ? silu(sum) : sum;
}

void main() {
    uint c = 2 * gl_GlobalInvocationID.x, sequence = gl_WorkGroupID.y;
    if (c >= params.n_channel) return;
    uint slot = is_null(params.slots) ? sequence : Words(params.slots).at[sequence];
    uint state_at = slot * params.state_stride;
    bool both = c + 1 < params.n_channel;
    vec2 y = vec2(convolve_and_shift(sequence, state_at, c), both ? convolve_and_shift(sequence, state_at, c + 1) : 0.0);
    store2(params.y, Y_TYPE, sequence * params.y_stride + c, y, both);
}

// conv1d: y[t, c] = act(bias[c] + sum over j of w[j, c] x[t - (K-1) + j, c]), causal and depthwise; x at negative t is
//         row K-1 + t of the state (oldest first), which is read only: conv1d_tail advances it afterwards
// Push      shaders/params/conv1d.h; shapes and types stand there
// Mapping   x: one invocation per 2 channels; y: one token; z: one sequence
// Constants 0 WG_SIZE  1 X_TYPE  2 Y_TYPE  3 BIAS  4 SILU  5 K
// Needs     nothing optional
// Numerics  f32, summed from the oldest tap to the newest
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

float convolve(uint sequence, uint state_at, uint t, uint c) {
    float sum = BIAS ? Floats(params.bias).at[c] : 0.0;
    for (uint j = 0; j < K; j++) {
        uint row = t + j; // counted from the state's first row
        float x = row < K - 1 ? Floats(params.state).at[state_at + row * params.n_channel + c]
                              : load1(params.x, X_TYPE, (sequence * params.n_time + row - (K - 1)) * params.x_stride + c);
        sum = fma(Floats(params.w).at[j * params.n_channel + c], x, sum);
    }
    return SILU ? silu(sum) : sum;
}

void main() {
    uint c = 2 * gl_GlobalInvocationID.x, t = gl_WorkGroupID.y, sequence = gl_WorkGroupID.z;
    if (c >= params.n_channel) return;
    uint slot = is_null(params.slots) ? sequence : Words(params.slots).at[sequence];
    uint state_at = slot * params.state_stride;
    bool both = c + 1 < params.n_channel;
    vec2 y = vec2(convolve(sequence, state_at, t, c), both ? convolve(sequence, state_at, t, c + 1) : 0.0);
    store2(params.y, Y_TYPE, (sequence * params.n_time + t) * params.y_stride + c, y, both);
}

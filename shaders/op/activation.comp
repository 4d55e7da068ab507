// activation: y = act(x + d skip) sigmoid(gate), or y += that (ACCUMULATE): what stands between the state-space part of a
//           layer, its gate (GLU: Dauphin et al. 2017) and the residual stream
// Push      shaders/params/activation.h; shapes and types stand there
// Mapping   an invocation takes a pair of channels (x); rows (y) in strides of the grid
// Constants 0 WG_SIZE  1 X_TYPE  2 SKIP_TYPE  3 Y_TYPE  4 ACT (VKS_ACT_CODE_*)  5 SKIP  6 GATE  7 ACCUMULATE (f32 y only)
// Needs     nothing optional
// Numerics  f32
// Twin      tests/ref/ref_activation.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/activation.h"
#include "include/io.glsl"
#include "include/math.glsl"
#include "include/gelu.glsl"
#include "include/act.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint SKIP_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 4) const uint ACT = VKS_ACT_CODE_NONE;
layout(constant_id = 5) const bool SKIP = false;
layout(constant_id = 6) const bool GATE = false;
layout(constant_id = 7) const bool ACCUMULATE = false;

float value(uint t, uint d) {
    float x = load1(params.x, X_TYPE, t * params.x_stride + d);
    if (SKIP) x += Floats(params.d).at[d] * load1(params.skip, SKIP_TYPE, t * params.skip_stride + d);
    x = activate(ACT, x);
    if (GATE) x *= sigmoid(load1(params.gate, X_TYPE, t / params.gate_span * params.gate_stride + d));
    if (ACCUMULATE) x += Floats(params.y).at[t * params.y_stride + d];
    return x;
}

void main() {
    uint d = 2 * gl_GlobalInvocationID.x;
    if (d >= params.n_channel) return;
    bool both = d + 1 < params.n_channel;
    for (uint t = gl_WorkGroupID.y; t < params.n_row; t += gl_NumWorkGroups.y) {
        vec2 y = vec2(value(t, d), 0.0);
        if (both) y.y = value(t, d + 1);
        store2(params.y, Y_TYPE, t * params.y_stride + d, y, both);
    }
}

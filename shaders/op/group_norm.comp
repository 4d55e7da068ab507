// group_norm: y = act(w (x - mean) / sqrt(variance + eps) + b), the last of three kernels of group norm (Wu and He 2018)
// Push      shaders/params/group_norm.h; shapes and types stand there
// Mapping   an invocation takes 4 neighbouring channels of a pixel; neighbours take neighbouring channels, then pixels
// Constants 0 WG_SIZE  1 X_TYPE  2 Y_TYPE  3 ACT (VKS_ACT_CODE_*)  4 QUADS: rows of x can be read by 4
// Needs     nothing optional
// Numerics  f32. An element is read by the invocation that writes it, before that: y may be x
// Twin      tests/ref/ref_group_norm.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/group_norm.h"
#include "params/activation_codes.h"
#include "include/io.glsl"
#include "include/math.glsl"
#include "include/gelu.glsl"
#include "include/act.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const uint ACT = VKS_ACT_CODE_NONE;
layout(constant_id = 4) const bool QUADS = false;

void main() {
    uint n_quad = (params.n_channel + 3) / 4, n_row = params.n_image * params.n_pixel;
    uint i = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * WG_SIZE + gl_LocalInvocationIndex;
    uint row = i / n_quad, c0 = i % n_quad * 4;
    if (row >= n_row) return;
    uint size = params.n_channel / params.n_group, groups = row / params.n_pixel * params.n_group;
    uint at = row * params.x_stride + c0;
    vec4 x = vec4(0);
    if (QUADS)
        x = load4(params.x, X_TYPE, at);
    else
        [[unroll]] for (uint k = 0; k < 4; k++)
            if (c0 + k < params.n_channel) x[k] = load1(params.x, X_TYPE, at + k);
    [[unroll]] for (uint k = 0; k < 4; k++) {
        uint c = min(c0 + k, params.n_channel - 1), group = groups + c / size;
        float mean = Floats(params.moments).at[2 * group], factor = Floats(params.moments).at[2 * group + 1];
        x[k] = activate(ACT, (x[k] - mean) * factor * Floats(params.weight).at[c] + Floats(params.bias).at[c]);
    }
    uint out_at = row * params.y_stride + c0;
    store2(params.y, Y_TYPE, out_at, x.xy, c0 + 1 < params.n_channel);
    if (c0 + 2 < params.n_channel) store2(params.y, Y_TYPE, out_at + 2, x.zw, c0 + 3 < params.n_channel);
}

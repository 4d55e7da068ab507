// rms_norm: y = w u / sqrt(mean(u^2) + eps), the mean over each group of group_size channels (Zhang and Sennrich 2019),
//           u = x, or x + residual (RESIDUAL: the sum is kept), or x silu(gate) (GATE_BEFORE: Mamba-2's gated norm),
//           or y is multiplied by silu(gate) at the end (GATE_AFTER). NORM false: y = u alone, with the gate.
// Push      shaders/params/rms_norm.h; shapes and types stand there
// Mapping   one workgroup per (group x, row y); invocations stride over the group's channels in pairs
// Constants 0 WG_SIZE (power of two)  1 X_TYPE  2 Y_TYPE  3 RESIDUAL  4 GATE (0 none, 1 before, 2 after)  5 NORM
//           6 ONE_SUBGROUP
// Needs     SUBGROUP: subgroup arithmetic; without it a tree in shared memory
// Numerics  f32; each invocation sums its channels in order, then a tree
// Twin      tests/ref/ref_rms_norm.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/rms_norm.h"
#include "include/io.glsl"
#include "include/math.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const bool RESIDUAL = false;
layout(constant_id = 4) const uint GATE = 0;
layout(constant_id = 5) const bool NORM = true;
#ifdef SUBGROUP
layout(constant_id = 6) const bool ONE_SUBGROUP = false;
#endif
#include "include/reduce.glsl"

const uint GATE_BEFORE = 1, GATE_AFTER = 2;

// u of channel d of row t. With RESIDUAL the sum is stored on the way, and read again in the second pass (`again`).
float input_value(uint t, uint d, bool again) {
    if (RESIDUAL) {
        uint i = t * params.residual_stride + d;
        float sum = Floats(params.residual).at[i];
        if (again) return sum;
        sum += load1(params.x, X_TYPE, t * params.x_stride + d);
        Floats(params.residual).at[i] = sum;
        return sum;
    }
    float u = load1(params.x, X_TYPE, t * params.x_stride + d);
    if (GATE == GATE_BEFORE) u *= silu(load1(params.gate, X_TYPE, t * params.gate_stride + d));
    return u;
}

float output_value(uint t, uint d, float scale) {
    float y = input_value(t, d, true);
    if (NORM) y *= scale * Floats(params.weight).at[d];
    if (GATE == GATE_AFTER) y *= silu(load1(params.gate, X_TYPE, t * params.gate_stride + d));
    return y;
}

void main() {
    uint t = gl_WorkGroupID.y, first = gl_WorkGroupID.x * params.group_size, size = params.group_size;
    float sum = 0.0;
    if (NORM || RESIDUAL) {
        // Pairs, as in the second pass, so that each invocation reads back only sums that it stored itself.
        for (uint i = 2 * gl_LocalInvocationIndex; i < size; i += 2 * WG_SIZE) {
            float u = input_value(t, first + i, false);
            sum += u * u;
            if (i + 1 < size) {
                u = input_value(t, first + i + 1, false);
                sum += u * u;
            }
        }
    }
    float scale = NORM ? inversesqrt(workgroup_add(sum) / float(size) + params.eps) : 1.0;
    for (uint i = 2 * gl_LocalInvocationIndex; i < size; i += 2 * WG_SIZE) {
        bool both = i + 1 < size;
        vec2 y = vec2(output_value(t, first + i, scale), 0.0);
        if (both) y.y = output_value(t, first + i + 1, scale);
        store2(params.y, Y_TYPE, t * params.y_stride + first + i, y, both);
    }
}

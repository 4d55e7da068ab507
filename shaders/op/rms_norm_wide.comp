// rms_norm_wide: rms_norm of many rows, 4 channels a load and all of them in registers: y = w u / sqrt(mean(u^2) + eps), the
//                mean over each group of group_size channels (Zhang and Sennrich 2019); u = x, or x silu(gate)
//                (GATE_BEFORE: Mamba-2's gated norm), or y is multiplied by silu(gate) at the end (GATE_AFTER)
// Push      shaders/params/rms_norm.h; shapes and types stand there; no residual; group size, strides and addresses
//           multiples of 4 elements
// Mapping   one workgroup per (group x, row y); an invocation takes every WG_SIZE-th vector, LOADS of them at most
// Constants 0 WG_SIZE  1 X_TYPE  2 Y_TYPE  3 GATE (0 none, 1 before, 2 after)  4 LOADS (group_size / 4 / WG_SIZE, rounded up)
// Needs     subgroup arithmetic
// Numerics  f32; each invocation sums its channels in order, then the subgroups', then theirs in order
// Twin      tests/ref/ref_rms_norm.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/rms_norm.h"
#include "include/io.glsl"
#include "include/store.glsl"
#include "include/math.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const uint GATE = 0;
layout(constant_id = 4) const uint LOADS = 4;
const bool ONE_SUBGROUP = false;
#include "include/reduce.glsl"

const uint GATE_BEFORE = 1, GATE_AFTER = 2;

vec4 silu4(vec4 v) {
    return vec4(silu(v.x), silu(v.y), silu(v.z), silu(v.w));
}

void main() {
    uint t = gl_WorkGroupID.y, first = gl_WorkGroupID.x * params.group_size, size = params.group_size;
    vec4 u[LOADS], gate[LOADS];
    [[unroll]] for (uint j = 0; j < LOADS; j++) {
        uint i = 4 * (gl_LocalInvocationIndex + j * WG_SIZE);
        bool inside = i < size;
        u[j] = inside ? load4(params.x, X_TYPE, t * params.x_stride + first + i) : vec4(0);
        gate[j] = inside && GATE != 0 ? load4(params.gate, X_TYPE, t * params.gate_stride + first + i) : vec4(0);
    }
    float sum = 0.0;
    [[unroll]] for (uint j = 0; j < LOADS; j++) {
        if (GATE != 0) gate[j] = silu4(gate[j]);
        if (GATE == GATE_BEFORE) u[j] *= gate[j];
        sum += dot(u[j], u[j]);
    }
    float scale = inversesqrt(workgroup_add(sum) / float(size) + params.eps);
    [[unroll]] for (uint j = 0; j < LOADS; j++) {
        uint i = 4 * (gl_LocalInvocationIndex + j * WG_SIZE);
        if (i >= size) break;
        vec4 y = u[j] * scale * Floats4(params.weight).at[(first + i) >> 2];
        if (GATE == GATE_AFTER) y *= gate[j];
        store_vector(params.y, Y_TYPE, t * params.y_stride + first + i, y);
    }
}

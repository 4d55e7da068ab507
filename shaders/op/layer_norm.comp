// layer_norm: y = w (x - mean) / sqrt(variance + eps) + b, mean and variance (biased) over the channels of a row (Ba, Kiros
//           and Hinton 2016), or y = w x + b (STATISTICS false: batch norm with its running statistics folded in)
// Push      shaders/params/layer_norm.h; shapes and types stand there
// Mapping   one workgroup per row (y, in strides of the grid); invocations stride over the channels in pairs
// Constants 0 WG_SIZE (power of two)  1 X_TYPE  2 Y_TYPE  3 STATISTICS  4 ONE_SUBGROUP
// Needs     SUBGROUP: subgroup arithmetic; without it a tree in shared memory
// Numerics  f32; the variance is the mean of squared differences from the mean, not a difference of sums. Every element is
//           read last by the invocation that writes it, so that y may be x
// Twin      tests/ref/ref_layer_norm.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/layer_norm.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const bool STATISTICS = true;
#ifdef SUBGROUP
layout(constant_id = 4) const bool ONE_SUBGROUP = false;
#endif
#include "include/reduce.glsl"

float mean_of_row(uint at) {
    float sum = 0.0;
    for (uint i = gl_LocalInvocationIndex; i < params.n_channel; i += WG_SIZE) sum += load1(params.x, X_TYPE, at + i);
    return workgroup_add(sum) / float(params.n_channel);
}

float variance_of_row(uint at, float mean) {
    float sum = 0.0;
    for (uint i = gl_LocalInvocationIndex; i < params.n_channel; i += WG_SIZE) {
        float gap = load1(params.x, X_TYPE, at + i) - mean;
        sum += gap * gap;
    }
    return workgroup_add(sum) / float(params.n_channel);
}

float output_value(uint at, uint d, float mean, float scale) {
    float x = load1(params.x, X_TYPE, at + d);
    if (STATISTICS) x = (x - mean) * scale;
    return x * Floats(params.weight).at[d] + Floats(params.bias).at[d];
}

void main() {
    uint size = params.n_channel;
    for (uint t = gl_WorkGroupID.y; t < params.n_row; t += gl_NumWorkGroups.y) {
        uint at = t * params.x_stride;
        float mean = 0.0, scale = 1.0;
        if (STATISTICS) {
            mean = mean_of_row(at);
            scale = 1.0 / sqrt(variance_of_row(at, mean) + params.eps);
        }
        for (uint i = 2 * gl_LocalInvocationIndex; i < size; i += 2 * WG_SIZE) {
            bool both = i + 1 < size;
            vec2 y = vec2(output_value(at, i, mean, scale), 0.0);
            if (both) y.y = output_value(at, i + 1, mean, scale);
            store2(params.y, Y_TYPE, t * params.y_stride + i, y, both);
        }
    }
}

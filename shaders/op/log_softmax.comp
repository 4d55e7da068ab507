// log_softmax: y = x - max - log(sum of exp(x - max)), sum and maximum over a row
// Push      shaders/params/log_softmax.h; shapes and types stand there
// Mapping   one workgroup per row (y, in strides of the grid); invocations stride over the channels
// Constants 0 WG_SIZE (power of two)  1 ONE_SUBGROUP
// Needs     SUBGROUP: subgroup arithmetic; without it a tree in shared memory
// Numerics  f32. Every element is read last by the invocation that writes it, so that y may be x
// Twin      tests/ref/ref_log_softmax.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/log_softmax.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
#ifdef SUBGROUP
layout(constant_id = 1) const bool ONE_SUBGROUP = false;
#endif
#include "include/reduce.glsl"

const float LARGEST = 3.4028234e38;

void main() {
    for (uint t = gl_WorkGroupID.y; t < params.n_row; t += gl_NumWorkGroups.y) {
        uint at = t * params.x_stride;
        float largest = -LARGEST, sum = 0.0;
        for (uint i = gl_LocalInvocationIndex; i < params.n_channel; i += WG_SIZE)
            largest = max(largest, Floats(params.x).at[at + i]);
        largest = workgroup_max(largest);
        for (uint i = gl_LocalInvocationIndex; i < params.n_channel; i += WG_SIZE)
            sum += exp(Floats(params.x).at[at + i] - largest);
        float offset = log(workgroup_add(sum));
        for (uint i = gl_LocalInvocationIndex; i < params.n_channel; i += WG_SIZE)
            Floats(params.y).at[t * params.y_stride + i] = Floats(params.x).at[at + i] - largest - offset;
    }
}

// copy: y[i] = x[i], 16 bytes each: what a shader can move at best, for measurements
// Push      shaders/params/copy.h; shapes stand there
// Mapping   an invocation copies N_ELEMENT elements, WG_SIZE apart; workgroups in a line, over two grid dimensions
// Constants 0 WG_SIZE  1 N_ELEMENT
// Needs     nothing optional
// Numerics  bits are copied
// Twin      none: what arrives is compared with what was there
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/copy.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 256;
layout(constant_id = 1) const uint N_ELEMENT = 4;

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint first = group * WG_SIZE * N_ELEMENT + gl_LocalInvocationID.x;
    uvec4 values[N_ELEMENT];
    [[unroll]] for (uint e = 0; e < N_ELEMENT; e++)
        values[e] = Words4(params.x).at[min(first + e * WG_SIZE, params.n - 1)];
    [[unroll]] for (uint e = 0; e < N_ELEMENT; e++)
        if (first + e * WG_SIZE < params.n) Words4(params.y).at[first + e * WG_SIZE] = values[e];
}

// sum_parts: Y[m, n] = sum over z of PARTS[z, m, n] (+ bias[n]) (+ Y[m, n] with ACCUMULATE): what a product split along k
//            leaves to do
// Push      shaders/params/sum_parts.h; shapes and types stand there
// Mapping   an invocation takes 4 neighbouring outputs (x) of a row (y)
// Constants 0 WG_SIZE  1 Y_TYPE  2 ACCUMULATE  3 N_PART  4 WIDE: rows of y start on 4 elements
// Needs     nothing
// Numerics  f32, the parts in order, then bias, then what y held
// Twin      tests/ref/ref_sum_parts.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/sum_parts.h"
#include "include/io.glsl"
#include "include/store.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 256;
layout(constant_id = 1) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const bool ACCUMULATE = false;
layout(constant_id = 3) const uint N_PART = 2;
layout(constant_id = 4) const bool WIDE = false;

// Element n + i of a row that starts at `first`; 0 beyond the row.
float before(uint first, uint n, uint i) {
    return n + i < params.n_out ? load1(params.y, Y_TYPE, first + n + i) : 0.0;
}
float bias_of(uint n) {
    return n < params.n_out ? Floats(params.bias).at[n] : 0.0;
}

void main() {
    uint n = 4 * gl_GlobalInvocationID.x, m = gl_GlobalInvocationID.y, at = m * params.y_stride;
    if (n >= params.n_out) return;
    vec4 part[N_PART], y = vec4(0);
    bool wide = WIDE && n + 4 <= params.n_out;
    [[unroll]] for (uint z = 0; z < N_PART; z++)
        part[z] = Floats4(params.parts).at[((z * params.n_row + m) * params.part_stride + n) >> 2];
    if (ACCUMULATE)
        y = wide ? load4(params.y, Y_TYPE, at + n)
                 : vec4(before(at, n, 0), before(at, n, 1), before(at, n, 2), before(at, n, 3));
    vec4 sum = part[0];
    [[unroll]] for (uint z = 1; z < N_PART; z++) sum += part[z];
    if (!is_null(params.bias)) sum += vec4(bias_of(n), bias_of(n + 1), bias_of(n + 2), bias_of(n + 3));
    sum += y;
    if (wide) {
        store_vector(params.y, Y_TYPE, at + n, sum);
        return;
    }
    store2(params.y, Y_TYPE, at + n, sum.xy, n + 1 < params.n_out);
    if (n + 2 < params.n_out) store2(params.y, Y_TYPE, at + n + 2, sum.zw, n + 3 < params.n_out);
}

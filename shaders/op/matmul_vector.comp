// matmul_vector: Y[m, n] = sum over k of X[m, k] W[n, k] (+ bias[n]) (+ Y[m, n] with ACCUMULATE), for few rows m
// Push      shaders/params/matmul.h; shapes and types stand there
// Mapping   a workgroup computes outputs 2 x and 2 x + 1 for COLUMNS rows starting at COLUMNS y; its invocations stride
//           over k, 8 weights (16 bytes of a 16-bit type) a load, so that every weight is read once for COLUMNS rows
// Constants 0 WG_SIZE (power of two)  1 X_TYPE  2 W_TYPE  3 Y_TYPE  4 BIAS  5 ACCUMULATE  6 ONE_SUBGROUP  7 COLUMNS (<= 8)
// Needs     SUBGROUP: subgroup arithmetic; without it a tree in shared memory
// Numerics  f32; each invocation sums its k in order, then a tree
// Twin      tests/ref/ref_matmul.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/matmul.h"
#include "include/io.glsl"
#include "include/weights.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint W_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 4) const bool BIAS = false;
layout(constant_id = 5) const bool ACCUMULATE = false;
#ifdef SUBGROUP
layout(constant_id = 6) const bool ONE_SUBGROUP = false;
#endif
layout(constant_id = 7) const uint COLUMNS = 1;
#include "include/reduce.glsl"

// Weights k ... k+7 of a row; rows are padded with zeros to multiples of 8.
void load_w(uint n, uint k, out vec4 low, out vec4 high, out float scale) {
    load_weights8(params.w, W_TYPE, weight_row(n, params.w_stride), k, params.n_in, low, high, scale);
}

vec4 load_x(uint m, uint k) {
    vec4 x = load4(params.x, X_TYPE, m * params.x_stride + k);
    return mix(vec4(0), x, lessThan(k + uvec4(0, 1, 2, 3), uvec4(params.n_in)));
}

void main() {
    uint n = 2 * gl_WorkGroupID.x, m0 = COLUMNS * gl_WorkGroupID.y;
    bool both = n + 1 < params.n_out;
    uint n_second = both ? n + 1 : n;
    vec2 sum[COLUMNS];
    [[unroll]] for (uint c = 0; c < COLUMNS; c++) sum[c] = vec2(0);

    for (uint k = 8 * gl_LocalInvocationIndex; k < params.n_in; k += 8 * WG_SIZE) {
        vec4 w_low, w_high, v_low, v_high;
        vec2 scale;
        load_w(n, k, w_low, w_high, scale.x);
        load_w(n_second, k, v_low, v_high, scale.y);
        [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
            uint m = min(m0 + c, params.n_row - 1);
            vec4 x_low = load_x(m, k), x_high = load_x(m, k + 4);
            vec2 part = vec2(dot(w_low, x_low) + dot(w_high, x_high), dot(v_low, x_low) + dot(v_high, x_high));
            sum[c] += is_block_type(W_TYPE) ? scale * part : part;
        }
    }

    [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
        vec2 y = vec2(workgroup_add(sum[c].x), workgroup_add(sum[c].y));
        uint m = m0 + c;
        if (gl_LocalInvocationIndex != 0 || m >= params.n_row) continue;
        if (BIAS) y += vec2(Floats(params.bias).at[n], both ? Floats(params.bias).at[n + 1] : 0.0);
        uint at = m * params.y_stride + n;
        if (ACCUMULATE) y += vec2(load1(params.y, Y_TYPE, at), both ? load1(params.y, Y_TYPE, at + 1) : 0.0);
        store2(params.y, Y_TYPE, at, y, both);
    }
}

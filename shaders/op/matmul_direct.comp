// matmul_direct: Y[m, n] = sum over k of X[m, k] W[n, k] (+ bias[n]) (+ Y[m, n] with ACCUMULATE)
// Push      shaders/params/matmul.h; shapes and types stand there
// Mapping   an invocation computes TM x TN outputs in registers, neighbours in x along n, y along m. No shared memory and
//           no barrier: for devices that emulate workgroups on a CPU, where barriers and loads cost more than arithmetic
// Constants 0 WG_SIZE  1 X_TYPE  2 W_TYPE  3 Y_TYPE  4 BIAS  5 ACCUMULATE
// Defines   TM, TN (even): the register tile
// Needs     nothing optional
// Numerics  f32, one sum per output in order of k
// Twin      tests/ref/ref_matmul.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/matmul.h"
#include "include/io.glsl"
#ifdef BLOCKS // of their own, as SwiftShader pays for branches of specialization constants that are not taken
#include "include/weights.glsl"
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint W_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 4) const bool BIAS = false;
layout(constant_id = 5) const bool ACCUMULATE = false;

// Elements k ... k+3 of row m, zero beyond K: the row's padding may hold anything.
vec4 load_x(uint m, uint k) {
    vec4 x = load4(params.x, X_TYPE, m * params.x_stride + k);
    uvec4 column = uvec4(k, k + 1, k + 2, k + 3);
    return mix(vec4(0), x, lessThan(column, uvec4(params.n_in)));
}

void main() {
    uint m0 = gl_WorkGroupID.y * TM, n0 = gl_GlobalInvocationID.x * TN;
    if (n0 >= params.n_out) return;
    float sum[TM][TN];
    [[unroll]] for (uint i = 0; i < TM; i++)
        [[unroll]] for (uint j = 0; j < TN; j++) sum[i][j] = 0.0;

    // Rows past the end repeat the last one: their results are not stored.
    for (uint k = 0; k < params.n_in; k += 4) {
        vec4 x[TM];
        [[unroll]] for (uint i = 0; i < TM; i++) x[i] = load_x(min(m0 + i, params.n_row - 1), k);
        [[unroll]] for (uint j = 0; j < TN; j++) {
            uint row = min(n0 + j, params.n_out - 1) * params.w_stride;
#ifdef BLOCKS
            vec4 w = load_weights4(params.w, W_TYPE, row, k, params.n_in);
#else
            vec4 w = load4(params.w, W_TYPE, row + k);
#endif
            [[unroll]] for (uint i = 0; i < TM; i++)
                sum[i][j] = fma(x[i].w, w.w, fma(x[i].z, w.z, fma(x[i].y, w.y, fma(x[i].x, w.x, sum[i][j]))));
        }
    }

    [[unroll]] for (uint i = 0; i < TM; i++) {
        uint m = m0 + i;
        if (m >= params.n_row) break;
        [[unroll]] for (uint j = 0; j < TN; j += 2) {
            uint n = n0 + j;
            if (n >= params.n_out) break;
            bool both = n + 1 < params.n_out;
            vec2 y = vec2(sum[i][j], sum[i][j + 1]);
            if (BIAS) y += vec2(Floats(params.bias).at[n], both ? Floats(params.bias).at[n + 1] : 0.0);
            uint at = m * params.y_stride + n;
            if (ACCUMULATE) y += vec2(load1(params.y, Y_TYPE, at), both ? load1(params.y, Y_TYPE, at + 1) : 0.0);
            store2(params.y, Y_TYPE, at, y, both);
        }
    }
}

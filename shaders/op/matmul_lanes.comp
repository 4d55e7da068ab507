// matmul_lanes: Y[m, n] = sum over k of X[m, k] W[n, k] (+ bias[n]) (+ Y[m, n] with ACCUMULATE)
// Push      shaders/params/matmul.h; shapes and types stand there
// Mapping   an invocation computes TM x TN outputs in registers, the lanes of a subgroup side by side along n, so that
//           they share their rows of X: each lane loads another pair of k, and the pairs are broadcast. For CPUs
// Constants 0 WG_SIZE (the subgroup size)  1 X_TYPE  2 W_TYPE  3 Y_TYPE  4 BIAS  5 ACCUMULATE  6 LANES (the subgroup size)
// Defines   TM, TN (even): the register tile; WIDE: 64-bit loads
// Needs     subgroup broadcast, subgroups of a fixed size; 64-bit integers for WIDE
// Numerics  f32, one sum per output in order of k
// Twin      tests/ref/ref_matmul.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/matmul.h"
#include "include/io.glsl"
#include "include/lanes.glsl"
#include "include/weights.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint W_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 4) const bool BIAS = false;
layout(constant_id = 5) const bool ACCUMULATE = false;
layout(constant_id = 6) const uint LANES = 8;

vec4 load_w(uint row, uint k) {
    if (is_block_type(W_TYPE)) return load_weights4(params.w, W_TYPE, row, k, params.n_in);
    return load_quad(params.w, W_TYPE, row + k);
}

void main() {
    uint lane = gl_SubgroupInvocationID;
    // Outputs lane, lane + LANES, ... in pairs; rows and outputs past the end repeat the last ones and are not stored.
    uint m0 = gl_WorkGroupID.y * TM, n0 = gl_WorkGroupID.x * LANES * TN + 2 * lane;
    uint at_x[TM], at_w[TN];
    float sum[TM][TN];
    [[unroll]] for (uint i = 0; i < TM; i++) at_x[i] = min(m0 + i, params.n_row - 1) * params.x_stride;
    [[unroll]] for (uint j = 0; j < TN; j++)
        at_w[j] = weight_row(min(n0 + j / 2 * 2 * LANES + j % 2, params.n_out - 1), params.w_stride);
    [[unroll]] for (uint i = 0; i < TM; i++)
        [[unroll]] for (uint j = 0; j < TN; j++) sum[i][j] = 0.0;

    for (uint k0 = 0; k0 < params.n_in; k0 += 2 * LANES) {
        vec2 x[TM];
        uint k = k0 + 2 * lane;
        bvec2 inside = lessThan(uvec2(k, k + 1), uvec2(params.n_in));
        [[unroll]] for (uint i = 0; i < TM; i++)
            x[i] = mix(vec2(0), load_pair(params.x, X_TYPE, at_x[i] + min(k, params.x_stride - 2)), inside);
        [[unroll]] for (uint s = 0; s < LANES; s += 2) {
            // Weights past the row's end are replaced by others of the row: they meet zeros of x.
            uint kw = min(k0 + 2 * s, (is_block_type(W_TYPE) ? params.n_in : params.w_stride) - 4);
            vec4 w[TN];
            [[unroll]] for (uint j = 0; j < TN; j++) w[j] = load_w(at_w[j], kw);
            [[unroll]] for (uint i = 0; i < TM; i++) {
                vec4 xs = vec4(subgroupBroadcast(x[i].x, s), subgroupBroadcast(x[i].y, s),
                               subgroupBroadcast(x[i].x, s + 1), subgroupBroadcast(x[i].y, s + 1));
                [[unroll]] for (uint j = 0; j < TN; j++)
                    sum[i][j] =
                        fma(xs.w, w[j].w, fma(xs.z, w[j].z, fma(xs.y, w[j].y, fma(xs.x, w[j].x, sum[i][j]))));
            }
        }
    }

    [[unroll]] for (uint i = 0; i < TM; i++) {
        uint m = m0 + i;
        if (m >= params.n_row) break;
        [[unroll]] for (uint j = 0; j < TN; j += 2) {
            uint n = n0 + j * LANES;
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

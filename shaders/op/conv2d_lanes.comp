// conv2d_lanes: y = act(x * w + bias + added) (+ y with ACCUMULATE), a convolution of images as a product; see conv2d_tiled
// Push      shaders/params/conv2d.h; shapes and types stand there
// Mapping   an invocation computes TM pixels (y, z) by TN outputs (x) in registers, the lanes of a subgroup side by side along
//           the outputs, so that they share their pixels: each of a few lanes loads another pair of channels, and the
//           pairs are broadcast. For CPUs
// Constants 0 WG_SIZE (the subgroup size)  1 X_TYPE  2 W_TYPE  9 LANES (the subgroup size), and those of include/conv2d.glsl
// Defines   TM, TN (even): the register tile
// Needs     subgroup broadcast, subgroups of a fixed size
// Numerics  f32, one sum per output in order of k
// Twin      tests/ref/ref_conv2d.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/conv2d.h"
#include "include/io.glsl"
#include "include/lanes.glsl"
#include "include/conv2d.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint W_TYPE = VKS_TYPE_F32;
layout(constant_id = 9) const uint LANES = 8;

// Lanes that load for the others: more of them would lengthen the unrolled loop, which takes long to compile.
const uint LOADERS = LANES < 4 ? LANES : 4;

void main() {
    uint lane = gl_SubgroupInvocationID;
    // Outputs lane, lane + LANES, ... in pairs; those past the end repeat the last one and are not stored.
    uint m0 = row_group() * TM, n0 = gl_WorkGroupID.x * LANES * TN + 2 * lane;
    Window window[TM];
    uint at_w[TN];
    float sum[TM][TN];
    [[unroll]] for (uint j = 0; j < TN; j++)
        at_w[j] = min(n0 + j / 2 * 2 * LANES + j % 2, params.n_out - 1) * params.w_stride;
    [[unroll]] for (uint i = 0; i < TM; i++) {
        window[i] = window_of(m0 + i);
        [[unroll]] for (uint j = 0; j < TN; j++) sum[i][j] = 0.0;
    }

    uint n_tap = params.kernel_height * params.kernel_width;
    for (uint tap = 0; tap < n_tap; tap++) {
        uint ky = tap / params.kernel_width, kx = tap % params.kernel_width, at_x[TM], first = tap * tap_size();
        bool inside[TM];
        [[unroll]] for (uint i = 0; i < TM; i++) {
            at_x[i] = pixel_index(window[i], ky, kx);
            inside[i] = is_inside(window[i], ky, kx);
        }
        for (uint c0 = 0; c0 < params.n_channel; c0 += 2 * LOADERS) {
            vec2 x[TM];
            uint c = c0 + 2 * (lane % LOADERS), at = min(c, params.x_stride - 2);
            uvec2 there = uvec2(lessThan(uvec2(c, c + 1), uvec2(params.n_channel)));
            [[unroll]] for (uint i = 0; i < TM; i++)
                x[i] = mix(vec2(0), load_pair(params.x, X_TYPE, at_x[i] + at), bvec2(there * uint(inside[i])));
            [[unroll]] for (uint s = 0; s < LOADERS; s += 2) {
                if (c0 + 2 * s >= params.n_channel) break;
                vec4 w[TN];
                [[unroll]] for (uint j = 0; j < TN; j++)
                    w[j] = load_quad(params.w, W_TYPE, at_w[j] + first + c0 + 2 * s);
                [[unroll]] for (uint i = 0; i < TM; i++) {
                    vec4 xs = vec4(subgroupBroadcast(x[i].x, s), subgroupBroadcast(x[i].y, s),
                                   subgroupBroadcast(x[i].x, s + 1), subgroupBroadcast(x[i].y, s + 1));
                    [[unroll]] for (uint j = 0; j < TN; j++)
                        sum[i][j] =
                            fma(xs.w, w[j].w, fma(xs.z, w[j].z, fma(xs.y, w[j].y, fma(xs.x, w[j].x, sum[i][j]))));
                }
            }
        }
    }

    [[unroll]] for (uint i = 0; i < TM; i++)
        [[unroll]] for (uint j = 0; j < TN; j += 2)
            store_result(m0 + i, n0 + j * LANES, vec2(sum[i][j], sum[i][j + 1]));
}

// conv2d_direct: y = act(x * w + bias + added) (+ y with ACCUMULATE), a convolution of images as a product; see conv2d_tiled
// Push      shaders/params/conv2d.h; shapes and types stand there
// Mapping   an invocation computes TM pixels (y, z) by TN outputs (x) in registers. No shared memory and no barrier: for devices
//           that emulate workgroups on a CPU, where barriers and loads cost more than arithmetic
// Constants 0 WG_SIZE  1 X_TYPE  2 W_TYPE, and those of include/conv2d.glsl
// Defines   TM, TN (even): the register tile
// Needs     nothing optional
// Numerics  f32, one sum per output in order of k
// Twin      tests/ref/ref_conv2d.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/conv2d.h"
#include "include/io.glsl"
#include "include/conv2d.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint W_TYPE = VKS_TYPE_F32;

void main() {
    uint m0 = row_group() * TM, n0 = gl_GlobalInvocationID.x * TN;
    if (n0 >= params.n_out) return;
    Window window[TM];
    float sum[TM][TN];
    [[unroll]] for (uint i = 0; i < TM; i++) {
        window[i] = window_of(m0 + i);
        [[unroll]] for (uint j = 0; j < TN; j++) sum[i][j] = 0.0;
    }

    uint n_tap = params.kernel_height * params.kernel_width;
    for (uint tap = 0; tap < n_tap; tap++) {
        uint ky = tap / params.kernel_width, kx = tap % params.kernel_width, at_x[TM], at_w = tap * tap_size();
        bool inside[TM];
        [[unroll]] for (uint i = 0; i < TM; i++) {
            at_x[i] = pixel_index(window[i], ky, kx);
            inside[i] = is_inside(window[i], ky, kx);
        }
        for (uint c = 0; c < params.n_channel; c += 4) {
            bvec4 there = lessThan(uvec4(c, c + 1, c + 2, c + 3), uvec4(params.n_channel));
            vec4 x[TM];
            [[unroll]] for (uint i = 0; i < TM; i++)
                x[i] = mix(vec4(0), load4(params.x, X_TYPE, at_x[i] + c), bvec4(uvec4(there) * uint(inside[i])));
            [[unroll]] for (uint j = 0; j < TN; j++) {
                vec4 w = load4(params.w, W_TYPE, min(n0 + j, params.n_out - 1) * params.w_stride + at_w + c);
                [[unroll]] for (uint i = 0; i < TM; i++)
                    sum[i][j] = fma(x[i].w, w.w, fma(x[i].z, w.z, fma(x[i].y, w.y, fma(x[i].x, w.x, sum[i][j]))));
            }
        }
    }

    [[unroll]] for (uint i = 0; i < TM; i++)
        [[unroll]] for (uint j = 0; j < TN; j += 2) store_result(m0 + i, n0 + j, vec2(sum[i][j], sum[i][j + 1]));
}

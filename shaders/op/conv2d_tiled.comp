// conv2d_tiled: y = act(x * w + bias + added) (+ y with ACCUMULATE), a convolution of images as a product: rows are the output
//           pixels, k runs over the taps of the window and their channels, and x is gathered while it is loaded
// Push      shaders/params/conv2d.h; shapes and types stand there
// Mapping   a workgroup of 16 x 16 invocations computes a tile of 16 TILE pixels (y, z) by 16 TILE outputs (x), TILE x TILE in
//           the registers of each; both operands pass through shared memory, 16 channels of a tap at a time
// Constants 1 X_TYPE  2 W_TYPE, and those of include/conv2d.glsl
// Defines   TILE (4 or 8)
// Needs     32 TILE 17 floats of shared memory (8.5 KiB for 4); nothing optional
// Numerics  f32, one sum per output in order of k
// Twin      tests/ref/ref_conv2d.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/conv2d.h"
#include "include/io.glsl"
#include "include/conv2d.glsl"

layout(local_size_x = 256) in;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint W_TYPE = VKS_TYPE_F32;

const uint SIDE = 16 * TILE, DEPTH = 16, PARTS = TILE / 4;
// Stored by k, so that an invocation reads TILE neighbours; one float of padding spreads the stores over the banks.
shared float tile_x[DEPTH][SIDE + 1];
shared float tile_w[DEPTH][SIDE + 1];

// 4 channels a load; what lies past the last channel may be anything in x, and is zero in w.
vec4 channels_from(vec4 v, uint c) {
    return mix(vec4(0), v, lessThan(uvec4(c, c + 1, c + 2, c + 3), uvec4(params.n_channel)));
}

void main() {
    uint m0 = row_group() * SIDE, n0 = gl_WorkGroupID.x * SIDE;
    uint tx = gl_LocalInvocationIndex % 16, ty = gl_LocalInvocationIndex / 16;
    uint load_row = gl_LocalInvocationIndex / 4, load_k = gl_LocalInvocationIndex % 4 * 4;
    Window window[PARTS];
    [[unroll]] for (uint part = 0; part < PARTS; part++) window[part] = window_of(m0 + part * 64 + load_row);
    float sum[TILE][TILE];
    [[unroll]] for (uint i = 0; i < TILE; i++)
        [[unroll]] for (uint j = 0; j < TILE; j++) sum[i][j] = 0.0;

    uint n_tap = params.kernel_height * params.kernel_width;
    for (uint tap = 0; tap < n_tap; tap++) {
        uint ky = tap / params.kernel_width, kx = tap % params.kernel_width;
        for (uint c0 = 0; c0 < params.n_channel; c0 += DEPTH) {
            uint c = c0 + load_k;
            [[unroll]] for (uint part = 0; part < PARTS; part++) {
                uint row = part * 64 + load_row, n = n0 + row;
                vec4 x = vec4(0), w = vec4(0);
                if (c < params.n_channel) {
                    if (is_inside(window[part], ky, kx))
                        x = channels_from(load4(params.x, X_TYPE, pixel_index(window[part], ky, kx) + c), c);
                    if (n < params.n_out) w = load4(params.w, W_TYPE, n * params.w_stride + tap * tap_size() + c);
                }
                [[unroll]] for (uint i = 0; i < 4; i++) {
                    tile_x[load_k + i][row] = x[i];
                    tile_w[load_k + i][row] = w[i];
                }
            }
            barrier();
            [[unroll]] for (uint k = 0; k < DEPTH; k++) {
                float x[TILE], w[TILE];
                [[unroll]] for (uint i = 0; i < TILE; i++) x[i] = tile_x[k][ty + 16 * i];
                [[unroll]] for (uint j = 0; j < TILE; j++) w[j] = tile_w[k][2 * tx + 32 * (j / 2) + j % 2];
                [[unroll]] for (uint i = 0; i < TILE; i++)
                    [[unroll]] for (uint j = 0; j < TILE; j++) sum[i][j] = fma(x[i], w[j], sum[i][j]);
            }
            barrier();
        }
    }

    [[unroll]] for (uint i = 0; i < TILE; i++)
        [[unroll]] for (uint j = 0; j < TILE; j += 2)
            store_result(m0 + ty + 16 * i, n0 + 2 * tx + 16 * j, vec2(sum[i][j], sum[i][j + 1]));
}

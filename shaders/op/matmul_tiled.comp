// matmul_tiled: Y[m, n] = sum over k of X[m, k] W[n, k] (+ bias[n]) (+ Y[m, n] with ACCUMULATE)
// Push      shaders/params/matmul.h; shapes and types stand there
// Mapping   a workgroup of 16 x 16 invocations computes a tile of 16 TILE rows (y) by 16 TILE outputs (x), TILE x TILE in
//           the registers of each; both operands pass through shared memory, 16 values of k at a time
// Constants 0 X_TYPE  1 W_TYPE  2 Y_TYPE  3 BIAS  4 ACCUMULATE
// Defines   TILE (4 or 8)
// Needs     32 TILE 17 floats of shared memory (8.5 KiB for 4); nothing optional
// Numerics  f32, one sum per output in order of k
// Twin      tests/ref/ref_matmul.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/matmul.h"
#include "include/io.glsl"
#include "include/weights.glsl"

layout(local_size_x = 256) in;
layout(constant_id = 0) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 1) const uint W_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const bool BIAS = false;
layout(constant_id = 4) const bool ACCUMULATE = false;

const uint SIDE = 16 * TILE, DEPTH = 16;
// Stored by k, so that an invocation reads TILE neighbours; one float of padding spreads the stores over the banks.
shared float tile_x[DEPTH][SIDE + 1];
shared float tile_w[DEPTH][SIDE + 1];

#define LOAD_X(row, k) load4(params.x, X_TYPE, (row) * params.x_stride + (k))
#define LOAD_W(row, k) load_weights4(params.w, W_TYPE, weight_row(row, params.w_stride), k, params.n_in)
// Bring rows row0 ... of an operand, columns k0 ... k0+15, to shared memory: 4 columns a load, zero outside.
#define LOAD_TILE(tile, load, n_rows)                                                                                       \
    [[unroll]] for (uint part = 0; part < TILE / 4; part++) {                                                               \
        uint row = part * 64 + gl_LocalInvocationIndex / 4, k = gl_LocalInvocationIndex % 4 * 4;                            \
        vec4 v = vec4(0);                                                                                                   \
        if (row0 + row < n_rows && k0 + k < params.n_in) {                                                                  \
            v = load(row0 + row, k0 + k);                                                                                   \
            uvec4 column = k0 + k + uvec4(0, 1, 2, 3);                                                                      \
            v = mix(vec4(0), v, lessThan(column, uvec4(params.n_in)));                                                      \
        }                                                                                                                   \
        [[unroll]] for (uint i = 0; i < 4; i++) tile[k + i][row] = v[i];                                                    \
    }

void main() {
    uint m0 = gl_WorkGroupID.y * SIDE, n0 = gl_WorkGroupID.x * SIDE;
    // Along n neighbours take neighbouring pairs, so that a subgroup's stores are contiguous.
    uint tx = gl_LocalInvocationIndex % 16, ty = gl_LocalInvocationIndex / 16;
    float sum[TILE][TILE];
    [[unroll]] for (uint i = 0; i < TILE; i++)
        [[unroll]] for (uint j = 0; j < TILE; j++) sum[i][j] = 0.0;

    for (uint k0 = 0; k0 < params.n_in; k0 += DEPTH) {
        { uint row0 = m0; LOAD_TILE(tile_x, LOAD_X, params.n_row) }
        { uint row0 = n0; LOAD_TILE(tile_w, LOAD_W, params.n_out) }
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

    [[unroll]] for (uint i = 0; i < TILE; i++) {
        uint m = m0 + ty + 16 * i;
        [[unroll]] for (uint j = 0; j < TILE; j += 2) {
            uint n = n0 + 2 * tx + 16 * j;
            if (m >= params.n_row || n >= params.n_out) continue;
            bool both = n + 1 < params.n_out;
            vec2 y = vec2(sum[i][j], sum[i][j + 1]);
            if (BIAS) y += vec2(Floats(params.bias).at[n], both ? Floats(params.bias).at[n + 1] : 0.0);
            uint at = m * params.y_stride + n;
            if (ACCUMULATE) y += vec2(load1(params.y, Y_TYPE, at), both ? load1(params.y, Y_TYPE, at + 1) : 0.0);
            store2(params.y, Y_TYPE, at, y, both);
        }
    }
}

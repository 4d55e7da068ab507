// conv2d_coop: y = act(x * w + bias + added) (+ y with ACCUMULATE), a convolution of images as a product, x and w of one
//           16-bit type; see conv2d_tiled
// Push      shaders/params/conv2d.h; shapes and types stand there; x and w float16, or bfloat16 with BF16; C a multiple of 8
// Mapping   a workgroup of SUBGROUPS_M x SUBGROUPS_N subgroups computes a tile of TILE_M pixels (y, z) by TILE_N outputs (x)
//           by cooperative matrices of 16 x 16 x 16; each subgroup holds its part of the tile in registers. Operands pass
//           through shared memory, DEPTH channels of a tap at a time; while one piece is multiplied, the next is fetched to
//           registers
// Constants 0 WG_SIZE (subgroups times subgroup size; divides TILE_M DEPTH / 8 and TILE_N DEPTH / 8)  1 TILE_M  2 TILE_N
//           9 SUBGROUPS_M  10 SUBGROUPS_N (16 times these divide the tile's sides)  11 DEPTH (multiple of 16)  12 WHOLE: C is
//           a multiple of DEPTH; and those of include/conv2d.glsl and include/conv2d_matrix.glsl
// Needs     VK_KHR_cooperative_matrix with 16 x 16 x 16 products of that type summed in float32; 2 (TILE_M + TILE_N) (DEPTH + 8)
//           bytes of shared memory
// Numerics  exact products, summed in float32 in an order that the device chooses
// Twin      tests/ref/ref_conv2d.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/conv2d.h"
#include "include/io.glsl"
#include "include/matrix.glsl"
#include "include/conv2d.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 128;
layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
layout(constant_id = 9) const uint SUBGROUPS_M = 2;
layout(constant_id = 10) const uint SUBGROUPS_N = 2;
layout(constant_id = 11) const uint DEPTH = 32;
layout(constant_id = 12) const bool WHOLE = false;

const uint VECTORS = DEPTH / 8, ROW = VECTORS + 1; // of 8 halves in a row; one of padding spreads the banks
const uint FM = TILE_M / 16 / SUBGROUPS_M, FN = TILE_N / 16 / SUBGROUPS_N; // matrices of a subgroup
const uint FETCH_X = TILE_M * VECTORS / WG_SIZE, FETCH_W = TILE_N * VECTORS / WG_SIZE; // vectors that an invocation brings

shared uvec4 tile_x[TILE_M * ROW];
shared uvec4 tile_w[TILE_N * ROW];
#define stage tile_x // once the last piece has been read
#include "include/conv2d_matrix.glsl"

// Row and vector within the row of the i-th fetch of this invocation: neighbours take neighbouring vectors.
uint fetch_row(uint i) {
    return (i * WG_SIZE + gl_LocalInvocationIndex) / VECTORS;
}
uint fetch_vector(uint i) {
    return (i * WG_SIZE + gl_LocalInvocationIndex) % VECTORS;
}

uvec4 fetch_x(Window window, uint ky, uint kx, uint c) {
    if ((!WHOLE && c >= params.n_channel) || !is_inside(window, ky, kx)) return uvec4(0);
    return Words4(params.x).at[(pixel_index(window, ky, kx) + c) >> 3];
}

// Rows past the end repeat the last one, and their results are not stored.
uvec4 fetch_w(uint first, uint tap, uint c) {
    if (!WHOLE && c >= params.n_channel) return uvec4(0);
    return Words4(params.w).at[(first + tap * params.n_channel + c) >> 3];
}

void main() {
    uint m0 = row_group() * TILE_M, n0 = gl_WorkGroupID.x * TILE_N;
    uint sm = gl_SubgroupID / SUBGROUPS_N * FM * 16, sn = gl_SubgroupID % SUBGROUPS_N * FN * 16;
    MATRIX_SUM sum[FM][FN];
    [[unroll]] for (uint i = 0; i < FM; i++)
        [[unroll]] for (uint j = 0; j < FN; j++) sum[i][j] = MATRIX_SUM(0.0);

    Window window[FETCH_X];
    uint first_w[FETCH_W];
    uvec4 next_x[FETCH_X], next_w[FETCH_W];
    [[unroll]] for (uint i = 0; i < FETCH_X; i++) {
        window[i] = window_of(m0 + fetch_row(i));
        next_x[i] = fetch_x(window[i], 0, 0, 8 * fetch_vector(i));
    }
    [[unroll]] for (uint i = 0; i < FETCH_W; i++) {
        first_w[i] = min(n0 + fetch_row(i), params.n_out - 1) * params.w_stride;
        next_w[i] = fetch_w(first_w[i], 0, 8 * fetch_vector(i));
    }
    uint n_tap = params.kernel_height * params.kernel_width;
    uint n_step = (params.n_channel + DEPTH - 1) / DEPTH * n_tap, tap = 0, ky = 0, kx = 0, c0 = 0;
    for (uint step = 0; step < n_step; step++) {
        barrier(); // the piece before has been read
        [[unroll]] for (uint i = 0; i < FETCH_X; i++) tile_x[fetch_row(i) * ROW + fetch_vector(i)] = next_x[i];
        [[unroll]] for (uint i = 0; i < FETCH_W; i++) tile_w[fetch_row(i) * ROW + fetch_vector(i)] = next_w[i];
        barrier();
        // The next piece; the last one is fetched once more.
        c0 += DEPTH;
        if (c0 >= params.n_channel) {
            c0 = 0;
            tap = min(tap + 1, n_tap - 1);
            ky = tap / params.kernel_width;
            kx = tap - ky * params.kernel_width;
        }
        [[unroll]] for (uint i = 0; i < FETCH_X; i++)
            next_x[i] = fetch_x(window[i], ky, kx, c0 + 8 * fetch_vector(i));
        [[unroll]] for (uint i = 0; i < FETCH_W; i++) next_w[i] = fetch_w(first_w[i], tap, c0 + 8 * fetch_vector(i));
        [[unroll]] for (uint k = 0; k < VECTORS; k += 2) {
            MATRIX_A a[FM];
            [[unroll]] for (uint i = 0; i < FM; i++) coopMatLoad(a[i], tile_x, (sm + 16 * i) * ROW + k, ROW, ROWS);
            [[unroll]] for (uint j = 0; j < FN; j++) {
                MATRIX_B b;
                coopMatLoad(b, tile_w, (sn + 16 * j) * ROW + k, ROW, COLUMNS);
                [[unroll]] for (uint i = 0; i < FM; i++) sum[i][j] = coopMatMulAdd(a[i], b, sum[i][j]);
            }
        }
    }

    barrier(); // the tiles have been read
    [[unroll]] for (uint i = 0; i < FM; i++) {
        uint m = m0 + sm + 16 * i;
        uint n_pixel = m < params.n_row ? min(params.n_row - m, 16u) : 0;
        [[unroll]] for (uint j = 0; j < FN; j++) store_matrix(sum[i][j], m, n_pixel, n0 + sn + 16 * j);
    }
}

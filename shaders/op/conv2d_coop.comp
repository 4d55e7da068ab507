// conv2d_coop: y = act(x * w + bias + added) (+ y with ACCUMULATE), a convolution of images as a product, x and w float16; see
//           conv2d_tiled
// Push      shaders/params/conv2d.h; shapes and types stand there; C a multiple of 8
// Mapping   a workgroup of SUBGROUPS_M x SUBGROUPS_N subgroups computes a tile of TILE_M pixels (y, z) by TILE_N outputs (x)
//           by cooperative matrices of 16 x 16 x 16; each subgroup holds its part of the tile in registers. Operands pass
//           through shared memory, DEPTH channels of a tap at a time; while one piece is multiplied, the next is fetched to
//           registers
// Constants 0 WG_SIZE (subgroups times subgroup size; divides TILE_M DEPTH / 8 and TILE_N DEPTH / 8)  1 TILE_M  2 TILE_N
//           9 SUBGROUPS_M  10 SUBGROUPS_N (16 times these divide the tile's sides)  11 DEPTH (multiple of 16)  12 WHOLE: C is
//           a multiple of DEPTH  13 DIRECT: nothing happens to a sum, and rows of y start on 16 bytes; and those of
//           include/conv2d.glsl
// Needs     VK_KHR_cooperative_matrix with 16 x 16 x 16 float16 products summed in float32; 2 (TILE_M + TILE_N) (DEPTH + 8)
//           bytes of shared memory
// Numerics  float16 products, exact, summed in float32 in an order that the device chooses
// Twin      tests/ref/ref_conv2d.c
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require
#pragma use_vulkan_memory_model
#include "params/conv2d.h"
#include "include/io.glsl"
#include "include/conv2d.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 128;
layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
layout(constant_id = 9) const uint SUBGROUPS_M = 2;
layout(constant_id = 10) const uint SUBGROUPS_N = 2;
layout(constant_id = 11) const uint DEPTH = 32;
layout(constant_id = 12) const bool WHOLE = false;
layout(constant_id = 13) const bool DIRECT = false;

const uint VECTORS = DEPTH / 8, ROW = VECTORS + 1; // of 8 halves in a row; one of padding spreads the banks
const uint FM = TILE_M / 16 / SUBGROUPS_M, FN = TILE_N / 16 / SUBGROUPS_N; // matrices of a subgroup
const uint FETCH_X = TILE_M * VECTORS / WG_SIZE, FETCH_W = TILE_N * VECTORS / WG_SIZE; // vectors that an invocation brings

#define MATRIX_A coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB>
#define MATRIX_SUM coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>
#define MATRIX_OUT coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>
#define ROWS gl_CooperativeMatrixLayoutRowMajor
#define COLUMNS gl_CooperativeMatrixLayoutColumnMajor

shared uvec4 tile_x[TILE_M * ROW];
shared uvec4 tile_w[TILE_N * ROW];

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

// One 16 x 16 matrix of results, staged in shared memory where every invocation of the subgroup takes pairs of a row.
void store_staged(uint stage, uint m0, uint n0) {
    for (uint i = gl_SubgroupInvocationID; i < 128; i += gl_SubgroupSize) {
        uvec4 four = tile_x[stage + i / 2];
        store_result(m0 + i / 8, n0 + i % 8 * 2, uintBitsToFloat(i % 2 == 0 ? four.xy : four.zw));
    }
}

// A matrix that lies wholly inside: from registers to memory.
void store_direct(MATRIX_SUM y, uint at) {
    if (Y_TYPE == VKS_TYPE_F32)
        coopMatStore(y, Floats(params.y).at, at, params.y_stride, ROWS);
    else
        coopMatStore(MATRIX_OUT(y), Words(params.y).at, at / 2, params.y_stride / 2, ROWS);
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

    barrier(); // the tiles have been read: tile_x now holds results, 64 vectors a subgroup
    uint stage = gl_SubgroupID * 64;
    [[unroll]] for (uint i = 0; i < FM; i++)
        [[unroll]] for (uint j = 0; j < FN; j++) {
            uint m = m0 + sm + 16 * i, n = n0 + sn + 16 * j;
            if (DIRECT && m + 16 <= params.n_row && n + 16 <= params.n_out) {
                store_direct(sum[i][j], m * params.y_stride + n);
                continue;
            }
            coopMatStore(sum[i][j], tile_x, stage, 4, ROWS);
            subgroupMemoryBarrierShared();
            subgroupBarrier();
            store_staged(stage, m, n);
            subgroupBarrier();
        }
}

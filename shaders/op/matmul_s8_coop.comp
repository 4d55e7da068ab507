// matmul_s8_coop: Y[m, n] = x_scale[m] w_scale[n] sum over k of X[m, k] W[n, k], X and W 8-bit integers
// Push      shaders/params/matmul_s8.h; shapes and types stand there
// Mapping   as matmul_coop: a workgroup of SUBGROUPS_M x SUBGROUPS_N subgroups computes a tile of TILE_M rows by TILE_N
//           outputs by cooperative matrices of 16 x MATRIX_K by MATRIX_K x 16. Operands pass through shared memory, DEPTH
//           bytes of a row at a time; while one piece is multiplied, the next is fetched to registers
// Constants 0 WG_SIZE (subgroups times subgroup size)  1 Y_TYPE (VKS_TYPE_I32: the sums alone)  2 TILE_M  3 TILE_N
//           4 SUBGROUPS_M  5 SUBGROUPS_N (16 times these divide the tile's sides)  6 DEPTH (multiple of 32)
//           7 MATRIX_K: 32 or 16  8 DIRECT: Y is I32, and its rows start on 16 bytes
// Needs     VK_KHR_cooperative_matrix with products of s8 of that depth summed in s32; (TILE_M + TILE_N) (DEPTH + 16)
//           bytes of shared memory
// Numerics  exact sums in 32-bit integers; their conversion to float32 and two factors round
// Twin      tests/ref/ref_matmul_s8.c
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#extension GL_KHR_shader_subgroup_basic : require
#pragma use_vulkan_memory_model
#include "params/matmul_s8.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 256;
layout(constant_id = 1) const uint Y_TYPE = VKS_TYPE_I32;
layout(constant_id = 2) const uint TILE_M = 128;
layout(constant_id = 3) const uint TILE_N = 192;
layout(constant_id = 4) const uint SUBGROUPS_M = 2;
layout(constant_id = 5) const uint SUBGROUPS_N = 4;
layout(constant_id = 6) const uint DEPTH = 128;
layout(constant_id = 7) const uint MATRIX_K = 32;
layout(constant_id = 8) const bool DIRECT = false;
#include "include/matmul_s8.glsl"

#define MATRIX_A coopmat<int8_t, gl_ScopeSubgroup, 16, MATRIX_K, gl_MatrixUseA>
#define MATRIX_B coopmat<int8_t, gl_ScopeSubgroup, MATRIX_K, 16, gl_MatrixUseB>
#define MATRIX_SUM coopmat<int, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>
#define ROWS gl_CooperativeMatrixLayoutRowMajor
#define COLUMNS gl_CooperativeMatrixLayoutColumnMajor

const uint BAND = 8;
const uint VECTORS = DEPTH / 16, ROW = VECTORS + 1; // of 16 elements in a row; one of padding spreads the banks
const uint STEP = MATRIX_K / 16;                    // vectors of a product
const uint FM = TILE_M / 16 / SUBGROUPS_M, FN = TILE_N / 16 / SUBGROUPS_N;
const uint TOTAL_X = TILE_M * VECTORS, TOTAL_W = TILE_N * VECTORS; // vectors of a piece, and of an invocation
const uint FETCH_X = (TOTAL_X + WG_SIZE - 1) / WG_SIZE, FETCH_W = (TOTAL_W + WG_SIZE - 1) / WG_SIZE;

shared uvec4 tile_x[TILE_M * ROW];
shared uvec4 tile_w[TILE_N * ROW];

uint fetch_row(uint i) {
    return (i * WG_SIZE + gl_LocalInvocationIndex) / VECTORS;
}
uint fetch_vector(uint i) {
    return (i * WG_SIZE + gl_LocalInvocationIndex) % VECTORS;
}
bool has_fetch(uint i, uint total) {
    return (i + 1) * WG_SIZE <= total || i * WG_SIZE + gl_LocalInvocationIndex < total;
}

// Rows outside repeat the last one, and their results are not stored; vectors of k outside are zero.
uvec4 fetch(uvec2 address, uint first, uint vector) {
    if (vector * 16 >= params.n_in) return uvec4(0);
    return Words4(address).at[first + vector];
}

// One matrix of results, staged in shared memory, where every invocation of the subgroup takes pairs of a row.
void store_staged(uint stage, uint m0, uint n0) {
    for (uint i = gl_SubgroupInvocationID; i < 128; i += gl_SubgroupSize) {
        uint m = m0 + i / 8, n = n0 + i % 8 * 2;
        if (m >= params.n_row || n >= params.n_out) continue;
        ivec4 four = ivec4(tile_x[stage + i / 2]);
        store_sums(m, n, i % 2 == 0 ? four.xy : four.zw, n + 1 < params.n_out);
    }
}

// This workgroup's tile: column and row of tiles, by bands of rows, so that tiles under way at one time share operands.
uvec2 find_tile() {
    uint index = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, in_band = BAND * gl_NumWorkGroups.x;
    uint first = index / in_band * BAND, n_row = min(gl_NumWorkGroups.y - first, BAND);
    return uvec2(index % in_band / n_row, first + index % in_band % n_row);
}

void main() {
    uvec2 tile = find_tile();
    uint m0 = tile.y * TILE_M, n0 = tile.x * TILE_N;
    uint sm = gl_SubgroupID / SUBGROUPS_N * FM * 16, sn = gl_SubgroupID % SUBGROUPS_N * FN * 16;
    MATRIX_SUM sum[FM][FN];
    [[unroll]] for (uint i = 0; i < FM; i++)
        [[unroll]] for (uint j = 0; j < FN; j++) sum[i][j] = MATRIX_SUM(0);

    uvec4 next_x[FETCH_X], next_w[FETCH_W];
    uint first_x[FETCH_X], first_w[FETCH_W];
    [[unroll]] for (uint i = 0; i < FETCH_X; i++) {
        first_x[i] = min(m0 + fetch_row(i), params.n_row - 1) * (params.x_stride >> 4);
        next_x[i] = fetch(params.x, first_x[i], fetch_vector(i));
    }
    [[unroll]] for (uint i = 0; i < FETCH_W; i++) {
        first_w[i] = min(n0 + fetch_row(i), params.n_out - 1) * (params.w_stride >> 4);
        next_w[i] = fetch(params.w, first_w[i], fetch_vector(i));
    }
    for (uint k0 = 0; k0 < params.n_in; k0 += DEPTH) {
        barrier(); // the piece before has been read
        [[unroll]] for (uint i = 0; i < FETCH_W; i++)
            if (has_fetch(i, TOTAL_W)) tile_w[fetch_row(i) * ROW + fetch_vector(i)] = next_w[i];
        [[unroll]] for (uint i = 0; i < FETCH_X; i++)
            if (has_fetch(i, TOTAL_X)) tile_x[fetch_row(i) * ROW + fetch_vector(i)] = next_x[i];
        barrier();
        uint next = (k0 + DEPTH) / 16;
        [[unroll]] for (uint i = 0; i < FETCH_W; i++) next_w[i] = fetch(params.w, first_w[i], next + fetch_vector(i));
        [[unroll]] for (uint k = 0; k < VECTORS; k += STEP) {
            if (k == STEP) // behind the first products, so that the loads of all workgroups do not come at one time
                [[unroll]] for (uint i = 0; i < FETCH_X; i++)
                    next_x[i] = fetch(params.x, first_x[i], next + fetch_vector(i));
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
                coopMatStore(sum[i][j], Words(params.y).at, m * params.y_stride + n, params.y_stride, ROWS);
                continue;
            }
            coopMatStore(sum[i][j], tile_x, stage, 4, ROWS);
            subgroupMemoryBarrierShared();
            subgroupBarrier();
            store_staged(stage, m, n);
            subgroupBarrier();
        }
}

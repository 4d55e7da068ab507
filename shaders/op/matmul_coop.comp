// matmul_coop: Y[m, n] = sum over k of X[m, k] W[n, k] (+ bias[n]) (+ Y[m, n] with ACCUMULATE), X and W float16
// Push      shaders/params/matmul.h; shapes and types stand there; K a multiple of 8
// Mapping   a workgroup of 2 x 4 subgroups computes a tile of 128 rows (y) by 128 outputs (x) by
//           cooperative matrices of 16 x 16 x 16; each subgroup holds its part of the tile in registers. Operands pass
//           through two buffers of shared memory, 32 values of k at a time: while one is multiplied, the next is fetched
// Constants 0 WG_SIZE (subgroups times subgroup size)  1 Y_TYPE  2 BIAS  3 ACCUMULATE
// Needs     VK_KHR_cooperative_matrix with 16 x 16 x 16 float16 products summed in float32; 40 KiB of shared memory
// Numerics  float16 products, exact, summed in float32 in an order that the device chooses
// Twin      tests/ref/ref_matmul.c
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require
#pragma use_vulkan_memory_model
#include "params/matmul.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 128;
layout(constant_id = 1) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const bool BIAS = false;
layout(constant_id = 3) const bool ACCUMULATE = false;

const uint SIDE = 128, DEPTH = 32;
const uint SUBGROUPS_M = 2, SUBGROUPS_N = 4;
const uint ROW = DEPTH / 8 + 1;                // vectors of 8 halves in a row; one of padding spreads the banks
const uint FM = SIDE / 16 / SUBGROUPS_M, FN = SIDE / 16 / SUBGROUPS_N; // matrices of a subgroup
const uint FETCH = SIDE * DEPTH / 8 / WG_SIZE; // vectors that an invocation brings per operand

shared uvec4 tile_x[2][SIDE * ROW];
shared uvec4 tile_w[2][SIDE * ROW];

// Row and vector within the row of the i-th fetch of this invocation: neighbours take neighbouring vectors.
uint fetch_row(uint i) {
    return (i * WG_SIZE + gl_LocalInvocationIndex) / (DEPTH / 8);
}
uint fetch_vector(uint i) {
    return (i * WG_SIZE + gl_LocalInvocationIndex) % (DEPTH / 8);
}

uvec4 fetch(uvec2 address, uint row, uint n_row, uint stride, uint k) {
    if (row >= n_row || k >= params.n_in) return uvec4(0);
    return Words4(address).at[(row * stride + k) >> 3];
}

// One 16 x 16 matrix of results, staged in shared memory where every invocation of the subgroup takes pairs of a row.
void store_results(uint stage, uint m0, uint n0) {
    for (uint i = gl_SubgroupInvocationID; i < 128; i += gl_SubgroupSize) {
        uint m = m0 + i / 8, n = n0 + i % 8 * 2;
        if (m >= params.n_row || n >= params.n_out) continue;
        bool both = n + 1 < params.n_out;
        uvec4 four = tile_x[0][stage + i / 2];
        vec2 y = uintBitsToFloat(i % 2 == 0 ? four.xy : four.zw);
        if (BIAS) y += vec2(Floats(params.bias).at[n], both ? Floats(params.bias).at[n + 1] : 0.0);
        uint at = m * params.y_stride + n;
        if (ACCUMULATE) y += vec2(load1(params.y, Y_TYPE, at), both ? load1(params.y, Y_TYPE, at + 1) : 0.0);
        store2(params.y, Y_TYPE, at, y, both);
    }
}

void main() {
    uint m0 = gl_WorkGroupID.y * SIDE, n0 = gl_WorkGroupID.x * SIDE;
    uint sm = gl_SubgroupID / SUBGROUPS_N * FM * 16, sn = gl_SubgroupID % SUBGROUPS_N * FN * 16;
    coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator> sum[FM][FN];
    [[unroll]] for (uint i = 0; i < FM; i++)
        [[unroll]] for (uint j = 0; j < FN; j++)
            sum[i][j] = coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>(0.0);

    uvec4 next_x[FETCH], next_w[FETCH];
    [[unroll]] for (uint i = 0; i < FETCH; i++) {
        uint row = fetch_row(i), k = 8 * fetch_vector(i);
        next_x[i] = fetch(params.x, m0 + row, params.n_row, params.x_stride, k);
        next_w[i] = fetch(params.w, n0 + row, params.n_out, params.w_stride, k);
    }
    uint buffer_index = 0;
    for (uint k0 = 0; k0 < params.n_in; k0 += DEPTH) {
        [[unroll]] for (uint i = 0; i < FETCH; i++) {
            uint at = fetch_row(i) * ROW + fetch_vector(i);
            tile_x[buffer_index][at] = next_x[i];
            tile_w[buffer_index][at] = next_w[i];
        }
        barrier(); // the other buffer's readers have passed their own barrier since they read it
        [[unroll]] for (uint i = 0; i < FETCH; i++) {
            uint row = fetch_row(i), k = k0 + DEPTH + 8 * fetch_vector(i);
            next_x[i] = fetch(params.x, m0 + row, params.n_row, params.x_stride, k);
            next_w[i] = fetch(params.w, n0 + row, params.n_out, params.w_stride, k);
        }
        [[unroll]] for (uint k = 0; k < DEPTH / 8; k += 2) {
            coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> a[FM];
            [[unroll]] for (uint i = 0; i < FM; i++)
                coopMatLoad(a[i], tile_x[buffer_index], (sm + 16 * i) * ROW + k, ROW, gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint j = 0; j < FN; j++) {
                coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB> b;
                coopMatLoad(b, tile_w[buffer_index], (sn + 16 * j) * ROW + k, ROW, gl_CooperativeMatrixLayoutColumnMajor);
                [[unroll]] for (uint i = 0; i < FM; i++) sum[i][j] = coopMatMulAdd(a[i], b, sum[i][j]);
            }
        }
        buffer_index ^= 1;
    }

    barrier(); // the tiles have been read: tile_x[0] now holds results, 64 vectors a subgroup
    uint stage = gl_SubgroupID * 64;
    [[unroll]] for (uint i = 0; i < FM; i++)
        [[unroll]] for (uint j = 0; j < FN; j++) {
            coopMatStore(sum[i][j], tile_x[0], stage, 4, gl_CooperativeMatrixLayoutRowMajor);
            subgroupMemoryBarrierShared();
            subgroupBarrier();
            store_results(stage, m0 + sm + 16 * i, n0 + sn + 16 * j);
            subgroupBarrier();
        }
}

// ssd_state_coop: ssd_state by cooperative matrices: sum over i of x[i] (outer) E[i] B[i], with E[i] = dt[i] exp(S[Q-1] -
//                 S[i])   (Dao and Gu 2024, section 6, step 2)
// Push      shaders/params/ssd.h; shapes and types stand there; x, B float16; Q 64, P at most 64, N at most 128, both
//           multiples of 16
// Mapping   a workgroup of 4 subgroups per head (x), chunk (y), sequence (z); a subgroup takes every fourth 16 columns of n
// Constants 0 WG_SIZE (4 subgroups), then include/ssd.glsl
// Needs     VK_KHR_cooperative_matrix with 16 x 16 x 16 float16 products summed in float32; 27 KiB of shared memory
// Numerics  E B is rounded to float16; products are exact and summed in float32
// Twin      tests/ref/ref_ssd.c
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require
#pragma use_vulkan_memory_model
#include "params/ssd.h"
#include "include/io.glsl"
#include "include/ssd.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 128;

// Rows of tokens, 8 halves a vector; one vector of padding spreads the banks.
const uint ROW_X = P / 8 + 1, ROW_B = N / 8 + 1;
const uint FETCH_X = 64 * P / 8 / WG_SIZE, FETCH_B = 64 * N / 8 / WG_SIZE; // vectors an invocation brings, rounded down
shared uvec4 tile_x[64 * ROW_X];
shared uvec4 tile_b[64 * ROW_B];

uvec4 scale(float factor, uvec4 halves) {
    return uvec4(packHalf2x16(factor * unpackHalf2x16(halves.x)), packHalf2x16(factor * unpackHalf2x16(halves.y)),
                 packHalf2x16(factor * unpackHalf2x16(halves.z)), packHalf2x16(factor * unpackHalf2x16(halves.w)));
}

void load_tiles(uint sequence, uint chunk, uint h, uint n_token) {
    uint g = h / (H / G), at_end = decay_at(chunk, DECAY_TO_END, h);
    [[unroll]] for (uint j = 0; j <= FETCH_X; j++) {
        uint i = gl_LocalInvocationIndex + j * WG_SIZE, t = i / (P / 8), v = i % (P / 8);
        if (t >= 64) break;
        uint at = token_row(sequence, gl_WorkGroupID.y, t) * params.x_stride + h * P + 8 * v;
        tile_x[t * ROW_X + v] = t < n_token ? Words4(params.x).at[at >> 3] : uvec4(0);
    }
    [[unroll]] for (uint j = 0; j <= FETCH_B; j++) {
        uint i = gl_LocalInvocationIndex + j * WG_SIZE, t = i / (N / 8), v = i % (N / 8);
        if (t >= 64) break;
        uint at = token_row(sequence, gl_WorkGroupID.y, t) * params.x_stride + g * N + 8 * v;
        // Past the end E is 0.
        tile_b[t * ROW_B + v] = scale(Floats(params.decays).at[at_end + t], Words4(params.b).at[at >> 3]);
    }
}

void main() {
    uint h = gl_WorkGroupID.x, sequence = gl_WorkGroupID.z, chunk = chunk_index(sequence, gl_WorkGroupID.y);
    load_tiles(sequence, chunk, h, min(Q, params.n_time - gl_WorkGroupID.y * Q));
    barrier();
    for (uint n0 = 16 * gl_SubgroupID; n0 < N; n0 += 64) {
        coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator> sum[P / 16];
        [[unroll]] for (uint i = 0; i < P / 16; i++)
            sum[i] = coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>(0.0);
        [[unroll]] for (uint t = 0; t < 64; t += 16) {
            coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB> b;
            coopMatLoad(b, tile_b, t * ROW_B + n0 / 8, ROW_B, gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint i = 0; i < P / 16; i++) {
                coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> x;
                coopMatLoad(x, tile_x, t * ROW_X + 2 * i, ROW_X, gl_CooperativeMatrixLayoutColumnMajor);
                sum[i] = coopMatMulAdd(x, b, sum[i]);
            }
        }
        [[unroll]] for (uint i = 0; i < P / 16; i++)
            coopMatStore(sum[i], Floats(params.chunk_states).at, ((chunk * H + h) * P + 16 * i) * N + n0, N,
                         gl_CooperativeMatrixLayoutRowMajor);
    }
}

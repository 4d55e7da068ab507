// ssd_output_coop: ssd_output by cooperative matrices: y[m] = (exp(S[m]) C[m]) before + sum over k <= m of
//                  ((C[m] . B[k]) exp(S[m] - S[k]) dt[k]) x[k] + D x[m]   (Dao and Gu 2024, section 6, steps 1 and 4)
// Push      shaders/params/ssd.h; shapes and types stand there; x, C float16; Q 64, P at most 64, N at most 128, both
//           multiples of 16
// Mapping   a workgroup of 4 subgroups per head (x), chunk (y), sequence (z); a subgroup takes 16 tokens m
// Constants 0 WG_SIZE (4 subgroups), then include/ssd.glsl
// Needs     VK_KHR_cooperative_matrix with 16 x 16 x 16 float16 products summed in float32; 35 KiB of shared memory
// Numerics  exp(S) C, the state and the weights of k are rounded to float16; products are exact and summed in float32
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

// First C (64 tokens x N) and the state (P x N), then weights (64 x 64) and x (64 x P), then the results (64 x P floats).
// 8 halves or 4 floats a vector; one vector of padding a row spreads the banks.
const uint ROW_N = N / 8 + 1, ROW_K = 64 / 8 + 1, ROW_P = P / 8 + 1, ROW_Y = P / 4 + 1;
const uint SIZE_1 = (64 + P) * ROW_N, SIZE_2 = 64 * (ROW_K + ROW_P), SIZE_3 = 64 * ROW_Y;
const uint SIZE_12 = SIZE_1 > SIZE_2 ? SIZE_1 : SIZE_2;
shared uvec4 tiles[SIZE_12 > SIZE_3 ? SIZE_12 : SIZE_3];
const uint FETCH_C = 64 * N / 8 / WG_SIZE, FETCH_S = P * N / 8 / WG_SIZE, FETCH_X = 64 * P / 8 / WG_SIZE;

uvec4 scale(float factor, uvec4 halves) {
    return uvec4(packHalf2x16(factor * unpackHalf2x16(halves.x)), packHalf2x16(factor * unpackHalf2x16(halves.y)),
                 packHalf2x16(factor * unpackHalf2x16(halves.z)), packHalf2x16(factor * unpackHalf2x16(halves.w)));
}

uvec4 pack(vec4 low, vec4 high) {
    return uvec4(packHalf2x16(low.xy), packHalf2x16(low.zw), packHalf2x16(high.xy), packHalf2x16(high.zw));
}

void load_state_tiles(uint sequence, uint chunk, uint h) {
    uint g = h / (H / G), at_sum = decay_at(chunk, DECAY_SUM, h), at_state = (chunk * H + h) * P * N;
    [[unroll]] for (uint j = 0; j <= FETCH_C; j++) {
        uint i = gl_LocalInvocationIndex + j * WG_SIZE, m = i / (N / 8), v = i % (N / 8);
        if (m >= 64) break;
        uint at = token_row(sequence, gl_WorkGroupID.y, m) * params.x_stride + g * N + 8 * v;
        tiles[m * ROW_N + v] = scale(exp(Floats(params.decays).at[at_sum + m]), Words4(params.c).at[at >> 3]);
    }
    [[unroll]] for (uint j = 0; j <= FETCH_S; j++) {
        uint i = gl_LocalInvocationIndex + j * WG_SIZE, p = i / (N / 8), v = i % (N / 8);
        if (p >= P) break;
        uint at = (at_state + p * N + 8 * v) >> 2;
        tiles[(64 + p) * ROW_N + v] = pack(Floats4(params.chunk_states).at[at], Floats4(params.chunk_states).at[at + 1]);
    }
}

// Weight of token k for token m; nothing above the diagonal, where the products were not computed.
float weight(uint chunk, uint h, uint m, uint k) {
    if (k > m) return 0.0;
    uint g = h / (H / G), at_sum = decay_at(chunk, DECAY_SUM, h);
    Floats decays = Floats(params.decays);
    float decay = exp(min(decays.at[at_sum + m] - decays.at[at_sum + k], 0.0));
    return Floats(params.products).at[((chunk * G + g) * Q + m) * Q + k] * decay *
           decays.at[decay_at(chunk, DECAY_DT, h) + k];
}

void load_token_tiles(uint sequence, uint chunk, uint h, uint n_token) {
    [[unroll]] for (uint j = 0; j < 64 * 8 / WG_SIZE + 1; j++) {
        uint i = gl_LocalInvocationIndex + j * WG_SIZE, m = i / 8, k = i % 8 * 8;
        if (m >= 64) break;
        vec4 low = vec4(0), high = vec4(0);
        if (m < n_token && k <= m) {
            low = vec4(weight(chunk, h, m, k), weight(chunk, h, m, k + 1), weight(chunk, h, m, k + 2),
                       weight(chunk, h, m, k + 3));
            high = vec4(weight(chunk, h, m, k + 4), weight(chunk, h, m, k + 5), weight(chunk, h, m, k + 6),
                        weight(chunk, h, m, k + 7));
        }
        tiles[m * ROW_K + k / 8] = pack(low, high);
    }
    [[unroll]] for (uint j = 0; j <= FETCH_X; j++) {
        uint i = gl_LocalInvocationIndex + j * WG_SIZE, k = i / (P / 8), v = i % (P / 8);
        if (k >= 64) break;
        uint at = token_row(sequence, gl_WorkGroupID.y, k) * params.x_stride + h * P + 8 * v;
        tiles[64 * ROW_K + k * ROW_P + v] = k < n_token ? Words4(params.x).at[at >> 3] : uvec4(0);
    }
}

void store_results(uint sequence, uint h, uint n_token) {
    float d = Floats(params.heads).at[2 * H + h];
    for (uint i = gl_LocalInvocationIndex; i < n_token * P / 4; i += WG_SIZE) {
        uint m = i / (P / 4), p = i % (P / 4) * 4, row = token_row(sequence, gl_WorkGroupID.y, m);
        vec4 x = load4(params.x, VKS_TYPE_F16, row * params.x_stride + h * P + p);
        vec4 y = fma(vec4(d), x, uintBitsToFloat(tiles[m * ROW_Y + p / 4]));
        uint at = row * params.y_stride + h * P + p;
        store2(params.y, Y_TYPE, at, y.xy, true);
        store2(params.y, Y_TYPE, at + 2, y.zw, true);
    }
}

void main() {
    uint h = gl_WorkGroupID.x, sequence = gl_WorkGroupID.z, chunk = chunk_index(sequence, gl_WorkGroupID.y);
    uint n_token = min(Q, params.n_time - gl_WorkGroupID.y * Q), m0 = 16 * gl_SubgroupID;
    coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator> sum[P / 16];
    [[unroll]] for (uint j = 0; j < P / 16; j++)
        sum[j] = coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>(0.0);

    load_state_tiles(sequence, chunk, h);
    barrier();
    [[unroll]] for (uint n = 0; n < N; n += 16) {
        coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> c;
        coopMatLoad(c, tiles, m0 * ROW_N + n / 8, ROW_N, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint j = 0; j < P / 16; j++) {
            coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB> state;
            coopMatLoad(state, tiles, (64 + 16 * j) * ROW_N + n / 8, ROW_N, gl_CooperativeMatrixLayoutColumnMajor);
            sum[j] = coopMatMulAdd(c, state, sum[j]);
        }
    }
    barrier();
    load_token_tiles(sequence, chunk, h, n_token);
    barrier();
    for (uint k = 0; k <= m0; k += 16) { // the rest of the weights is zero
        coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> w;
        coopMatLoad(w, tiles, m0 * ROW_K + k / 8, ROW_K, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint j = 0; j < P / 16; j++) {
            coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB> x;
            coopMatLoad(x, tiles, 64 * ROW_K + k * ROW_P + 2 * j, ROW_P, gl_CooperativeMatrixLayoutRowMajor);
            sum[j] = coopMatMulAdd(w, x, sum[j]);
        }
    }
    barrier();
    [[unroll]] for (uint j = 0; j < P / 16; j++)
        coopMatStore(sum[j], tiles, m0 * ROW_Y + 4 * j, ROW_Y, gl_CooperativeMatrixLayoutRowMajor);
    barrier();
    store_results(sequence, h, n_token);
}

// ssd_product_coop: C[m] . B[k] for the tokens k <= m of each chunk, by cooperative matrices   (Dao and Gu 2024, section 6,
//                   step 1; the same for all heads of a group); and B turned, its tokens side by side, for ssd_chain_coop
// Push      shaders/params/ssd.h; shapes and types stand there; B and C float16, or bfloat16 with BF16; Q 64, N at most
//           128 and a multiple of 16
// Mapping   a workgroup of 4 subgroups per group (x), chunk (y), sequence (z); a subgroup takes 16 tokens m
// Constants 0 WG_SIZE (4 subgroups), then include/ssd.glsl
// Needs     VK_KHR_cooperative_matrix with 16 x 16 x 16 products of that type summed in float32; 34 KiB of shared memory
// Numerics  exact products summed in float32
// Twin      tests/ref/ref_ssd.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/ssd.h"
#include "include/io.glsl"
#include "include/ssd.glsl"
#include "include/matrix.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 128;

const uint ROW_N = N / 8 + 1, FETCH_N = 64 * N / 8 / WG_SIZE;
shared uvec4 tile_b[64 * ROW_N], tile_c[64 * ROW_N];

void main() {
    uint g = gl_WorkGroupID.x, sequence = gl_WorkGroupID.z, m0 = 16 * gl_SubgroupID;
    [[unroll]] for (uint j = 0; j <= FETCH_N; j++) {
        uint i = gl_LocalInvocationIndex + j * WG_SIZE, t = i / (N / 8), v = i % (N / 8);
        if (t >= 64) break;
        uint at = token_row(sequence, gl_WorkGroupID.y, t) * params.x_stride + g * N + 8 * v;
        tile_b[t * ROW_N + v] = Words4(params.b).at[at >> 3];
        tile_c[t * ROW_N + v] = Words4(params.c).at[at >> 3];
    }
    barrier();
    // A turned row n: 8 vectors of 8 tokens. Neighbouring invocations take neighbouring n, whose words lie together.
    uint at_turned = (chunk_index(sequence, gl_WorkGroupID.y) * G + g) * N * 8;
    for (uint i = gl_LocalInvocationIndex; i < N / 2 * 8; i += WG_SIZE) {
        uint n = i % (N / 2) * 2, t = i / (N / 2) * 8;
        uint words[8];
        [[unroll]] for (uint e = 0; e < 8; e++) words[e] = tile_b[(t + e) * ROW_N + n / 8][n / 2 % 4];
        uvec4 low, high;
        [[unroll]] for (uint e = 0; e < 4; e++) {
            low[e] = (words[2 * e] & 0xffffu) | words[2 * e + 1] << 16;
            high[e] = words[2 * e] >> 16 | (words[2 * e + 1] & 0xffff0000u);
        }
        Words4(params.turned_b).at[at_turned + n * 8 + t / 8] = low;
        Words4(params.turned_b).at[at_turned + (n + 1) * 8 + t / 8] = high;
    }
    uint at = (chunk_index(sequence, gl_WorkGroupID.y) * G + g) * 4096 + m0 * 64;
    for (uint k = 0; k <= m0; k += 16) {
        MATRIX_SUM sum = MATRIX_SUM(0.0);
        [[unroll]] for (uint n = 0; n < N; n += 16) {
            MATRIX_A c;
            MATRIX_B b;
            coopMatLoad(c, tile_c, m0 * ROW_N + n / 8, ROW_N, ROWS);
            coopMatLoad(b, tile_b, k * ROW_N + n / 8, ROW_N, COLUMNS);
            sum = coopMatMulAdd(c, b, sum);
        }
        coopMatStore(sum, Floats(params.products).at, at + k, 64, ROWS);
    }
}

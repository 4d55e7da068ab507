// ssd_product_coop: C[m] . B[k] for the tokens k <= m of each chunk, by cooperative matrices   (Dao and Gu 2024, section 6,
//                   step 1; the same for all heads of a group)
// Push      shaders/params/ssd.h; shapes and types stand there; B and C float16, or bfloat16 with BF16; Q 64, N a multiple
//           of 16
// Mapping   a workgroup of 4 subgroups per group (x), chunk (y); a subgroup takes 16 tokens m
// Constants 0 WG_SIZE (4 subgroups), then include/ssd.glsl
// Needs     VK_KHR_cooperative_matrix with 16 x 16 x 16 products of that type summed in float32; 18 KiB of shared memory
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

// Pieces of n; rows of tokens, one vector of padding spreads the banks.
const uint PIECE = N < 64 ? N : 64, ROW = PIECE / 8 + 1, FETCHES = (64 * PIECE / 8 + WG_SIZE - 1) / WG_SIZE;
shared uvec4 tile_b[64 * ROW], tile_c[64 * ROW];

void load_piece(chunk_rows rows, uint g, uint n0) {
    uvec4 b[FETCHES], c[FETCHES];
    [[unroll]] for (uint j = 0; j < FETCHES; j++) {
        uint i = gl_LocalInvocationIndex + j * WG_SIZE, t = min(i / (PIECE / 8), 63), v = i % (PIECE / 8);
        uint at = token_row(rows, t) * params.x_stride + g * N + min(n0 + 8 * v, N - 8);
        b[j] = Words4(params.b).at[at >> 3];
        c[j] = Words4(params.c).at[at >> 3];
    }
    [[unroll]] for (uint j = 0; j < FETCHES; j++) {
        uint i = gl_LocalInvocationIndex + j * WG_SIZE, t = i / (PIECE / 8), v = i % (PIECE / 8);
        if (t >= 64) break;
        tile_b[t * ROW + v] = b[j];
        tile_c[t * ROW + v] = c[j];
    }
}

void main() {
    uint g = gl_WorkGroupID.x, chunk = gl_WorkGroupID.y, m0 = 16 * gl_SubgroupID;
    chunk_rows rows = rows_of_chunk(chunk);
    if (rows.count == 0) return;
    MATRIX_SUM sum[4];
    [[unroll]] for (uint i = 0; i < 4; i++) sum[i] = MATRIX_SUM(0.0);
    for (uint n0 = 0; n0 < N; n0 += PIECE) {
        if (n0 > 0) barrier(); // the piece before has been read
        load_piece(rows, g, n0);
        barrier();
        for (uint n = 0; n < min(PIECE, N - n0); n += 16) {
            MATRIX_A c;
            coopMatLoad(c, tile_c, m0 * ROW + n / 8, ROW, ROWS);
            [[unroll]] for (uint i = 0; i < 4; i++) {
                if (16 * i > m0) break;
                MATRIX_B b;
                coopMatLoad(b, tile_b, 16 * i * ROW + n / 8, ROW, COLUMNS);
                sum[i] = coopMatMulAdd(c, b, sum[i]);
            }
        }
    }
    [[unroll]] for (uint i = 0; i < 4; i++) {
        if (16 * i > m0) break;
        coopMatStore(sum[i], Floats(params.products).at, (chunk * G + g) * 4096 + m0 * 64 + 16 * i, 64, ROWS);
    }
}

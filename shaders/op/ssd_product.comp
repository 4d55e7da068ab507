// ssd_product: C[m] . B[k] for all pairs k <= m of a chunk, per group   (Dao and Gu 2024, section 6: the factor C B^T)
// Push      shaders/params/ssd.h; shapes and types stand there
// Mapping   x: one invocation per tile of 4 x 4 pairs (tiles above the diagonal return); y: chunk; z: group
// Constants 0 WG_SIZE, then include/ssd.glsl
// Needs     nothing optional
// Numerics  f32, summed in order of n
// Twin      tests/ref/ref_ssd.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/ssd.h"
#include "include/io.glsl"
#include "include/ssd.glsl"

layout(local_size_x_id = 0) in;

void main() {
    uint tile = gl_GlobalInvocationID.x, m0 = tile / (Q / 4) * 4, k0 = tile % (Q / 4) * 4;
    uint chunk = gl_WorkGroupID.y, g = gl_WorkGroupID.z;
    chunk_rows rows = rows_of_chunk(chunk);
    if (m0 >= Q || k0 > m0 || m0 >= rows.count) return;
    uint at_c[4], at_b[4];
    [[unroll]] for (uint i = 0; i < 4; i++) {
        at_c[i] = token_row(rows, m0 + i) * params.x_stride + g * N;
        at_b[i] = token_row(rows, k0 + i) * params.x_stride + g * N;
    }
    float sum[4][4];
    [[unroll]] for (uint i = 0; i < 4; i++)
        [[unroll]] for (uint j = 0; j < 4; j++) sum[i][j] = 0.0;
    for (uint n = 0; n < N; n++) {
        float b[4];
        [[unroll]] for (uint j = 0; j < 4; j++) b[j] = load1(params.b, X_TYPE, at_b[j] + n);
        [[unroll]] for (uint i = 0; i < 4; i++) {
            float c = load1(params.c, X_TYPE, at_c[i] + n);
            [[unroll]] for (uint j = 0; j < 4; j++) sum[i][j] = fma(c, b[j], sum[i][j]);
        }
    }
    [[unroll]] for (uint i = 0; i < 4; i++)
        [[unroll]] for (uint j = 0; j < 4; j++)
            Floats(params.products).at[((chunk * G + g) * Q + m0 + i) * Q + k0 + j] = sum[i][j];
}

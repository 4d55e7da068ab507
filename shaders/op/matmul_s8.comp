// matmul_s8: Y[m, n] = x_scale[m] w_scale[n] sum over k of X[m, k] W[n, k], X and W 8-bit integers
// Push      shaders/params/matmul_s8.h; shapes and types stand there
// Mapping   an invocation computes 4 rows by 4 outputs, 16 k at a time; a workgroup 4 LANES outputs (x) of 4 rows (y)
// Constants 0 LANES  1 Y_TYPE (VKS_TYPE_I32: the sums alone)
// Needs     nothing; with DOT integer dot products of packed 8-bit vectors
// Numerics  exact sums in 32-bit integers; their conversion to float32 and two factors round
// Twin      tests/ref/ref_matmul_s8.c
#version 460
#extension GL_GOOGLE_include_directive : require
#ifdef DOT
#extension GL_EXT_integer_dot_product : require
#endif
#include "params/matmul_s8.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 32;
layout(constant_id = 1) const uint Y_TYPE = VKS_TYPE_I32;
#include "include/matmul_s8.glsl"

const uint TM = 4, TN = 4;

#ifdef DOT
int dot_word(int x, int w, int sum) {
    return sum + dotPacked4x8EXT(x, w);
}
#else
ivec4 bytes(int word) {
    return ivec4(word << 24, word << 16, word << 8, word) >> 24;
}
int dot_word(int x, int w, int sum) {
    ivec4 product = bytes(x) * bytes(w);
    return sum + product.x + product.y + product.z + product.w;
}
#endif

void main() {
    uint m0 = gl_WorkGroupID.y * TM, n0 = gl_GlobalInvocationID.x * TN;
    if (n0 >= params.n_out) return;
    int sum[TM][TN];
    uint first_x[TM], first_w[TN]; // rows outside repeat the last one, and their results are not stored
    [[unroll]] for (uint i = 0; i < TM; i++) first_x[i] = min(m0 + i, params.n_row - 1) * (params.x_stride >> 4);
    [[unroll]] for (uint j = 0; j < TN; j++) first_w[j] = min(n0 + j, params.n_out - 1) * (params.w_stride >> 4);
    [[unroll]] for (uint i = 0; i < TM; i++)
        [[unroll]] for (uint j = 0; j < TN; j++) sum[i][j] = 0;
    for (uint k = 0; k < (params.n_in + 15) / 16; k++) {
        ivec4 x[TM], w[TN];
        [[unroll]] for (uint i = 0; i < TM; i++) x[i] = ivec4(Words4(params.x).at[first_x[i] + k]);
        [[unroll]] for (uint j = 0; j < TN; j++) w[j] = ivec4(Words4(params.w).at[first_w[j] + k]);
        [[unroll]] for (uint i = 0; i < TM; i++)
            [[unroll]] for (uint j = 0; j < TN; j++)
                [[unroll]] for (uint word = 0; word < 4; word++)
                    sum[i][j] = dot_word(x[i][word], w[j][word], sum[i][j]);
    }
    [[unroll]] for (uint i = 0; i < TM; i++)
        [[unroll]] for (uint j = 0; j < TN; j += 2)
            if (m0 + i < params.n_row && n0 + j < params.n_out)
                store_sums(m0 + i, n0 + j, ivec2(sum[i][j], sum[i][j + 1]), n0 + j + 1 < params.n_out);
}

// ssd_output: y[m] = exp(S[m]) before C[m] + sum over k <= m of (C[m] . B[k]) exp(S[m] - S[k]) dt[k] x[k] + D x[m]
//             (Dao and Gu 2024, section 6, steps 1 and 4; exp(S[m]) exp(-S[k]) is never formed: it overflows)
// Push      shaders/params/ssd.h; shapes and types stand there
// Mapping   x: one invocation per tile of 8 tokens m x 8 p; y: chunk; z: head
// Constants 0 WG_SIZE, then include/ssd.glsl
// Needs     nothing optional
// Numerics  f32: the state's part summed in order of n, then the chunk's own tokens in order of k
// Twin      tests/ref/ref_ssd.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/ssd.h"
#include "include/io.glsl"
#include "include/ssd.glsl"

layout(local_size_x_id = 0) in;

void main() {
    const uint tiles_p = (P + 7) / 8;
    uint tile = gl_GlobalInvocationID.x, m0 = tile / tiles_p * 8, p0 = tile % tiles_p * 8;
    uint chunk = gl_WorkGroupID.y, h = gl_WorkGroupID.z, g = h / (H / G);
    chunk_rows rows = rows_of_chunk(chunk);
    uint n_token = rows.count;
    if (m0 >= n_token) return;
    uint at_dt = decay_at(chunk, DECAY_DT, h), at_sum = decay_at(chunk, DECAY_SUM, h);
    Floats decays = Floats(params.decays);

    float sum[8][8];
    [[unroll]] for (uint i = 0; i < 8; i++)
        [[unroll]] for (uint j = 0; j < 8; j++) sum[i][j] = 0.0;

    // What the state before the chunk gives.
    uint at_c[8], at_state[8];
    [[unroll]] for (uint i = 0; i < 8; i++) {
        at_c[i] = token_row(rows, m0 + i) * params.x_stride + g * N;
        at_state[i] = ((chunk * H + h) * P + min(p0 + i, P - 1)) * N;
    }
    for (uint n = 0; n < N; n++) {
        float state[8];
        [[unroll]] for (uint j = 0; j < 8; j++) state[j] = Floats(params.chunk_states).at[at_state[j] + n];
        [[unroll]] for (uint i = 0; i < 8; i++) {
            float c = load1(params.c, X_TYPE, at_c[i] + n);
            [[unroll]] for (uint j = 0; j < 8; j++) sum[i][j] = fma(c, state[j], sum[i][j]);
        }
    }
    float decay_sum[8];
    [[unroll]] for (uint i = 0; i < 8; i++) {
        decay_sum[i] = decays.at[at_sum + m0 + i];
        float decay = exp(decay_sum[i]);
        [[unroll]] for (uint j = 0; j < 8; j++) sum[i][j] *= decay;
    }

    // What the chunk's own tokens up to m give.
    uint k_end = min(m0 + 8, n_token), at_product = ((chunk * G + g) * Q + m0) * Q;
    for (uint k = 0; k < k_end; k++) {
        float dt = decays.at[at_dt + k], sum_k = decays.at[at_sum + k], x[8];
        uint row = token_row(rows, k) * params.x_stride + h * P;
        [[unroll]] for (uint j = 0; j < 8; j++) x[j] = dt * load1(params.x, X_TYPE, row + min(p0 + j, P - 1));
        [[unroll]] for (uint i = 0; i < 8; i++) {
            if (k > m0 + i) continue;
            float weight = Floats(params.products).at[at_product + i * Q + k] * exp(min(decay_sum[i] - sum_k, 0.0));
            [[unroll]] for (uint j = 0; j < 8; j++) sum[i][j] = fma(weight, x[j], sum[i][j]);
        }
    }

    float d = Floats(params.heads).at[2 * H + h];
    [[unroll]] for (uint i = 0; i < 8; i++) {
        if (m0 + i >= n_token) break;
        uint row = token_row(rows, m0 + i);
        uint at_x = row * params.x_stride + h * P, at_y = row * params.y_stride + h * P;
        [[unroll]] for (uint j = 0; j < 8; j += 2) {
            uint p = p0 + j;
            if (p >= P) break;
            bool both = p + 1 < P;
            vec2 x = vec2(load1(params.x, X_TYPE, at_x + p), both ? load1(params.x, X_TYPE, at_x + p + 1) : 0.0);
            store2(params.y, Y_TYPE, at_y + p, fma(vec2(d), x, vec2(sum[i][j], sum[i][j + 1])), both);
        }
    }
}

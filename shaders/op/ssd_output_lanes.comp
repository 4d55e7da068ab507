// ssd_output_lanes: ssd_output for CPUs: y[m] = exp(S[m]) before C[m] + sum over k <= m of (C[m] . B[k]) exp(S[m] - S[k])
//                   dt[k] x[k] + D x[m]   (Dao and Gu 2024, section 6, steps 1 and 4)
// Push      shaders/params/ssd.h; shapes and types stand there
// Mapping   a workgroup is one subgroup and computes a tile of 16 tokens m x 4 LANES p, the lanes in pairs side by side
//           along p; C and the weights of k, which all lanes need, are loaded a value a lane and broadcast.
//           x: tile; y: chunk; z: head
// Constants 0 WG_SIZE (the subgroup size), include/ssd.glsl, 8 LANES (the subgroup size)
// Needs     subgroup broadcast, subgroups of a fixed size
// Numerics  f32: the state's part summed in order of n, then the chunk's own tokens in order of k
// Twin      tests/ref/ref_ssd.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/ssd.h"
#include "include/io.glsl"
#include "include/lanes.glsl"
#include "include/ssd.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 8) const uint LANES = 8;

const uint TM = 16, TP = 4;

void main() {
    const uint tiles_p = (P + TP * LANES - 1) / (TP * LANES);
    uint lane = gl_SubgroupInvocationID;
    uint m0 = gl_WorkGroupID.x / tiles_p * TM, p0 = gl_WorkGroupID.x % tiles_p * TP * LANES + 2 * lane;
    uint chunk = gl_WorkGroupID.y, h = gl_WorkGroupID.z, g = h / (H / G);
    chunk_rows rows = rows_of_chunk(chunk);
    uint n_token = rows.count;
    if (m0 >= n_token) return;
    uint at_dt = decay_at(chunk, DECAY_DT, h), at_sum = decay_at(chunk, DECAY_SUM, h);
    Floats decays = Floats(params.decays);
    uint p[TP];
    [[unroll]] for (uint j = 0; j < TP; j++) p[j] = p0 + j / 2 * 2 * LANES + j % 2;

    float sum[TM][TP];
    [[unroll]] for (uint i = 0; i < TM; i++)
        [[unroll]] for (uint j = 0; j < TP; j++) sum[i][j] = 0.0;

    // What the state before the chunk gives.
    uint at_state = (chunk * H + h) * P;
    for (uint n0 = 0; n0 < N; n0 += LANES) {
        float c[TM];
        [[unroll]] for (uint i = 0; i < TM; i++) {
            uint row = token_row(rows, m0 + i) * params.x_stride;
            c[i] = load1(params.c, X_TYPE, row + g * N + min(n0 + lane, N - 1));
        }
        for (uint n = 0; n < LANES && n0 + n < N; n++) {
            float state[TP];
            [[unroll]] for (uint j = 0; j < TP; j++)
                state[j] = Floats(params.chunk_states).at[(at_state + min(p[j], P - 1)) * N + n0 + n];
            [[unroll]] for (uint i = 0; i < TM; i++) {
                float cs = subgroupBroadcast(c[i], n);
                [[unroll]] for (uint j = 0; j < TP; j++) sum[i][j] = fma(cs, state[j], sum[i][j]);
            }
        }
    }
    float decay_sum[TM];
    [[unroll]] for (uint i = 0; i < TM; i++) {
        decay_sum[i] = decays.at[at_sum + min(m0 + i, Q - 1)];
        float decay = exp(decay_sum[i]);
        [[unroll]] for (uint j = 0; j < TP; j++) sum[i][j] *= decay;
    }

    // What the chunk's own tokens up to m give: each lane makes the weights of another k.
    uint k_end = min(m0 + TM, n_token), at_product = (chunk * G + g) * Q;
    for (uint k0 = 0; k0 < k_end; k0 += LANES) {
        uint k = min(k0 + lane, Q - 1);
        float dt = decays.at[at_dt + k], sum_k = decays.at[at_sum + k], weight[TM];
        [[unroll]] for (uint i = 0; i < TM; i++) {
            // Products above the diagonal were not computed: they may hold anything, and are not used.
            float product = Floats(params.products).at[(at_product + min(m0 + i, Q - 1)) * Q + k];
            weight[i] = k0 + lane <= m0 + i ? product * dt * exp(min(decay_sum[i] - sum_k, 0.0)) : 0.0;
        }
        for (uint s = 0; s < LANES && k0 + s < k_end; s++) {
            uint row = token_row(rows, k0 + s) * params.x_stride + h * P;
            float x[TP];
            [[unroll]] for (uint j = 0; j < TP; j++) x[j] = load1(params.x, X_TYPE, row + min(p[j], P - 1));
            [[unroll]] for (uint i = 0; i < TM; i++) {
                float ws = subgroupBroadcast(weight[i], s);
                [[unroll]] for (uint j = 0; j < TP; j++) sum[i][j] = fma(ws, x[j], sum[i][j]);
            }
        }
    }

    float d = Floats(params.heads).at[2 * H + h];
    [[unroll]] for (uint i = 0; i < TM; i++) {
        if (m0 + i >= n_token) break;
        uint row = token_row(rows, m0 + i);
        uint at_x = row * params.x_stride + h * P, at_y = row * params.y_stride + h * P;
        [[unroll]] for (uint j = 0; j < TP; j += 2) {
            if (p[j] >= P) break;
            bool both = p[j] + 1 < P;
            vec2 x = vec2(load1(params.x, X_TYPE, at_x + p[j]), both ? load1(params.x, X_TYPE, at_x + p[j] + 1) : 0.0);
            store2(params.y, Y_TYPE, at_y + p[j], fma(vec2(d), x, vec2(sum[i][j], sum[i][j + 1])), both);
        }
    }
}

// ssd_state_lanes: ssd_state for CPUs: the state that each chunk adds by its end, sum over i of E[i] x[i] (outer) B[i]
//                  (Dao and Gu 2024, section 6, step 2)
// Push      shaders/params/ssd.h; shapes and types stand there
// Mapping   a workgroup is one subgroup and computes a tile of 16 p x 8 LANES n, the lanes side by side along n; x and E,
//           which all lanes need, are loaded a value a lane and broadcast. x: tile; y: chunk; z: head
// Constants 0 WG_SIZE (the subgroup size), include/ssd.glsl, 8 LANES (the subgroup size; 4 to 64)
// Needs     subgroup broadcast, subgroups of a fixed size
// Numerics  f32, summed in order of i
// Twin      tests/ref/ref_ssd.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/ssd.h"
#include "include/io.glsl"
#include "include/lanes.glsl"
#include "include/ssd.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 8) const uint LANES = 8;

const uint TP = 16, TN = 8;

void main() {
    const uint tiles_n = (N + TN * LANES - 1) / (TN * LANES), parts = (TP + LANES - 1) / LANES;
    uint lane = gl_SubgroupInvocationID;
    uint p0 = gl_WorkGroupID.x / tiles_n * TP, n0 = gl_WorkGroupID.x % tiles_n * TN * LANES + lane;
    uint chunk = gl_WorkGroupID.y, h = gl_WorkGroupID.z, g = h / (H / G);
    chunk_rows rows = rows_of_chunk(chunk);
    uint at_end = decay_at(chunk, DECAY_TO_END, h);
    float sum[TP][TN];
    [[unroll]] for (uint i = 0; i < TP; i++)
        [[unroll]] for (uint j = 0; j < TN; j++) sum[i][j] = 0.0;

    uint n_token = rows.count;
    for (uint t0 = 0; t0 < n_token; t0 += LANES) {
        float decays = Floats(params.decays).at[at_end + min(t0 + lane, Q - 1)];
        for (uint t = 0; t < LANES && t0 + t < n_token; t++) {
            uint row = token_row(rows, t0 + t) * params.x_stride;
            float decay = subgroupBroadcast(decays, t), b[TN], x[parts];
            [[unroll]] for (uint j = 0; j < TN; j++)
                b[j] = decay * load1(params.b, X_TYPE, row + g * N + min(n0 + j * LANES, N - 1));
            [[unroll]] for (uint i = 0; i < parts; i++)
                x[i] = load1(params.x, X_TYPE, row + h * P + min(p0 + i * LANES + lane, P - 1));
            [[unroll]] for (uint i = 0; i < TP; i++) {
                float xs = subgroupBroadcast(x[i / LANES], i % LANES);
                [[unroll]] for (uint j = 0; j < TN; j++) sum[i][j] = fma(xs, b[j], sum[i][j]);
            }
        }
    }
    [[unroll]] for (uint i = 0; i < TP; i++) {
        if (p0 + i >= P) break;
        uint at = ((chunk * H + h) * P + p0 + i) * N + n0;
        [[unroll]] for (uint j = 0; j < TN; j++)
            if (n0 + j * LANES < N) Floats(params.chunk_states).at[at + j * LANES] = sum[i][j];
    }
}

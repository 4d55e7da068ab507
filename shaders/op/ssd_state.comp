// ssd_state: the state that each chunk adds by its end, from nothing: sum over i of E[i] x[i] (outer) B[i], with
//            E[i] = dt[i] exp(S[Q-1] - S[i])   (Dao and Gu 2024, section 6, step 2)
// Push      shaders/params/ssd.h; shapes and types stand there
// Mapping   x: one invocation per tile of 8 p x 8 n; y: chunk; z: head
// Constants 0 WG_SIZE, then include/ssd.glsl
// Needs     nothing optional
// Numerics  f32, summed in order of i
// Twin      tests/ref/ref_ssd.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/ssd.h"
#include "include/io.glsl"
#include "include/ssd.glsl"

layout(local_size_x_id = 0) in;

void main() {
    const uint tiles_n = (N + 7) / 8;
    uint tile = gl_GlobalInvocationID.x, p0 = tile / tiles_n * 8, n0 = tile % tiles_n * 8;
    uint chunk = gl_WorkGroupID.y, h = gl_WorkGroupID.z, g = h / (H / G);
    chunk_rows rows = rows_of_chunk(chunk);
    if (p0 >= P || rows.count == 0) return;
    uint at_end = decay_at(chunk, DECAY_TO_END, h);
    float sum[8][8];
    [[unroll]] for (uint i = 0; i < 8; i++)
        [[unroll]] for (uint j = 0; j < 8; j++) sum[i][j] = 0.0;

    uint n_token = rows.count;
    for (uint t = 0; t < n_token; t++) {
        uint row = token_row(rows, t) * params.x_stride;
        float decay = Floats(params.decays).at[at_end + t], b[8];
        [[unroll]] for (uint j = 0; j < 8; j++) b[j] = load1(params.b, X_TYPE, row + g * N + min(n0 + j, N - 1));
        [[unroll]] for (uint i = 0; i < 8; i++) {
            float x = decay * load1(params.x, X_TYPE, row + h * P + min(p0 + i, P - 1));
            [[unroll]] for (uint j = 0; j < 8; j++) sum[i][j] = fma(x, b[j], sum[i][j]);
        }
    }
    [[unroll]] for (uint i = 0; i < 8; i++)
        [[unroll]] for (uint j = 0; j < 8; j++)
            if (p0 + i < P && n0 + j < N)
                Floats(params.chunk_states).at[((chunk * H + h) * P + p0 + i) * N + n0 + j] = sum[i][j];
}

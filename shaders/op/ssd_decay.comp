// ssd_decay: per chunk and head  dt = clamp(softplus(dt + bias), dt_min, dt_max),  S[i] = sum over j <= i of dt[j] A,
//            E[i] = dt[i] exp(S[Q-1] - S[i])   (Dao and Gu 2024, section 6; the decays of steps 1 and 3)
// Push      shaders/params/ssd.h; shapes and types stand there
// Mapping   x: one invocation per head; y: chunk
// Constants 0 WG_SIZE, then include/ssd.glsl
// Needs     nothing optional
// Numerics  f32. Tokens past the end have dt 0: they neither decay nor add
// Twin      tests/ref/ref_ssd.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/ssd.h"
#include "include/io.glsl"
#include "include/math.glsl"
#include "include/ssd.glsl"

layout(local_size_x_id = 0) in;

void main() {
    uint h = gl_GlobalInvocationID.x, chunk = gl_WorkGroupID.y;
    chunk_rows rows = rows_of_chunk(chunk);
    if (h >= H || rows.count == 0) return;
    Floats heads = Floats(params.heads), decays = Floats(params.decays);
    float a = heads.at[h], bias = heads.at[H + h], sum = 0.0;
    uint at_dt = decay_at(chunk, DECAY_DT, h), at_sum = decay_at(chunk, DECAY_SUM, h);
    uint at_end = decay_at(chunk, DECAY_TO_END, h);
    for (uint i = 0; i < Q; i++) {
        float dt = 0.0;
        if (i < rows.count) {
            uint row = token_row(rows, i);
            dt = clamp(softplus(load1(params.dt, X_TYPE, row * params.dt_stride + h) + bias), params.dt_min, params.dt_max);
        }
        sum = fma(dt, a, sum);
        decays.at[at_dt + i] = dt;
        decays.at[at_sum + i] = sum;
    }
    for (uint i = 0; i < Q; i++) decays.at[at_end + i] = decays.at[at_dt + i] * exp(min(sum - decays.at[at_sum + i], 0.0));
}

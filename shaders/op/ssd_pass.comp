// ssd_pass: hand the state from chunk to chunk: before[0] = initial state, before[c+1] = exp(S_c[Q-1]) before[c] + own[c];
//           own[c] is replaced by before[c], and the last one is the final state   (Dao and Gu 2024, section 6, step 3)
// Push      shaders/params/ssd.h; shapes and types stand there
// Mapping   x: one invocation per (p, n); y: head; z: sequence. Serial over chunks
// Constants 0 WG_SIZE, then include/ssd.glsl
// Needs     nothing optional
// Numerics  f32
// Twin      tests/ref/ref_ssd.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/ssd.h"
#include "include/io.glsl"
#include "include/ssd.glsl"

layout(local_size_x_id = 0) in;

void main() {
    uint i = gl_GlobalInvocationID.x, h = gl_WorkGroupID.y, sequence = gl_WorkGroupID.z;
    if (i >= P * N) return;
    uint at_state = state_slot(sequence) * params.state_stride + h * P * N + i;
    float state = Floats(params.state).at[at_state];
    for (uint c = 0; c < n_chunk(); c++) {
        uint chunk = chunk_index(sequence, c), at = (chunk * H + h) * P * N + i;
        float own = Floats(params.chunk_states).at[at];
        float decay = exp(Floats(params.decays).at[decay_at(chunk, DECAY_SUM, h) + Q - 1]);
        Floats(params.chunk_states).at[at] = state;
        state = fma(decay, state, own);
    }
    Floats(params.state).at[at_state] = state;
}

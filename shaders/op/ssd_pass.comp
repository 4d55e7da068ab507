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
    uint first = first_part(sequence, Q), n_chunk = (n_row(sequence) + Q - 1) / Q;
    // Chunks in batches: all loads of a batch come before its first store, which might be to what they read for all the
    // compiler knows. Chunks past the end repeat the last one and are not stored.
    const uint BATCH = 8;
    for (uint c0 = 0; c0 < n_chunk; c0 += BATCH) {
        float own[BATCH], decay[BATCH];
        [[unroll]] for (uint j = 0; j < BATCH; j++) {
            uint chunk = first + min(c0 + j, n_chunk - 1);
            own[j] = Floats(params.chunk_states).at[(chunk * H + h) * P * N + i];
            decay[j] = exp(Floats(params.decays).at[decay_at(chunk, DECAY_SUM, h) + Q - 1]);
        }
        [[unroll]] for (uint j = 0; j < BATCH; j++) {
            if (c0 + j >= n_chunk) break;
            Floats(params.chunk_states).at[((first + c0 + j) * H + h) * P * N + i] = state;
            state = fma(decay[j], state, own[j]);
        }
    }
    Floats(params.state).at[at_state] = state;
}

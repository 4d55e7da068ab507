// ssd_carry: hand the state from segment to segment: before[0] = initial state, before[s+1] = exp(S_s) before[s] + own[s];
//            own[s] is replaced by before[s]   (Dao and Gu 2024, section 6, step 3, with segments of chunks for chunks)
// Push      shaders/params/ssd.h; shapes and types stand there. chunk_states and decays hold segments here: of the last
//           one only before[s] is written, the others' own states and sums S_s log2(e) are read
// Mapping   x: one invocation per (p, n); y: head; z: sequence. Serial over segments
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
    uint n_segment = (n_chunk() + params.segment - 1) / params.segment;
    float state = Floats(params.state).at[state_slot(sequence) * params.state_stride + h * P * N + i];
    // Loads in batches before the first store, as in ssd_pass.
    const uint BATCH = 8;
    for (uint s0 = 0; s0 < n_segment; s0 += BATCH) {
        float own[BATCH], decay[BATCH];
        [[unroll]] for (uint j = 0; j < BATCH; j++) {
            uint at = (sequence * n_segment + min(s0 + j, max(n_segment, 2) - 2)) * H + h;
            own[j] = Floats(params.chunk_states).at[at * P * N + i];
            decay[j] = exp2(Floats(params.decays).at[at]);
        }
        [[unroll]] for (uint j = 0; j < BATCH; j++) {
            if (s0 + j >= n_segment) break;
            Floats(params.chunk_states).at[((sequence * n_segment + s0 + j) * H + h) * P * N + i] = state;
            state = fma(decay[j], state, own[j]);
        }
    }
}

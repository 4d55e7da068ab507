// ssd_carry: hand the state from segment to segment: before[0] = initial state, before[s+1] = exp(S_s) before[s] + own[s];
//            own[s] is replaced by before[s]   (Dao and Gu 2024, section 6, step 3, with segments of chunks for chunks)
// Push      shaders/params/ssd.h; shapes and types stand there. chunk_states hold segments here: of the last one only
//           before[s] is written; the others' own states are read, and their sums (include/ssd_chain.glsl)
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
#include "include/ssd_chain.glsl"

layout(local_size_x_id = 0) in;

void main() {
    uint i = gl_GlobalInvocationID.x, h = gl_WorkGroupID.y, sequence = gl_WorkGroupID.z;
    if (i >= P * N) return;
    uint first = first_part(sequence, 64 * params.segment), n_chunk = (n_row(sequence) + 63) / 64;
    uint n = (n_chunk + params.segment - 1) / params.segment, first_chunk = first_part(sequence, 64);
    if (n <= 1) return; // the state itself stands before the only segment
    float state = Floats(params.state).at[state_slot(sequence) * params.state_stride + h * P * N + i];
    // Loads in batches before the first store, as in ssd_pass.
    const uint BATCH = 8;
    for (uint s0 = 0; s0 < n; s0 += BATCH) {
        float own[BATCH], decay[BATCH];
        [[unroll]] for (uint j = 0; j < BATCH; j++) {
            uint s = min(s0 + j, n - 2);
            own[j] = Floats(params.chunk_states).at[((first + s) * H + h) * P * N + i];
            decay[j] = exp2(Floats(params.decays).at[decays_at(first_chunk + s * params.segment, h) + AT_SEGMENT]);
        }
        [[unroll]] for (uint j = 0; j < BATCH; j++) {
            if (s0 + j >= n) break;
            Floats(params.chunk_states).at[((first + s0 + j) * H + h) * P * N + i] = state;
            state = fma(decay[j], state, own[j]);
        }
    }
}

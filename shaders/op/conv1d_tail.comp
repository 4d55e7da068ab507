// conv1d_tail: the state after T tokens is the last K-1 rows of (old state, x): state[j] = row T + j
// Push      shaders/params/conv1d.h; shapes and types stand there
// Mapping   x: one invocation per channel; y: one sequence
// Constants 0 WG_SIZE  1 X_TYPE  2 K
// Needs     nothing optional
// Numerics  exact: copies. Rows are taken in rising order: row T + j lies after row j, so it is read before it is written
// Twin      tests/ref/ref_conv1d.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/conv1d.h"
#include "include/io.glsl"
#include "include/sequences.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint K = 4;

void main() {
    uint c = gl_GlobalInvocationID.x, sequence = gl_WorkGroupID.y;
    if (c >= params.n_channel) return;
    uint slot = is_null(params.slots) ? sequence : Words(params.slots).at[sequence];
    uint state_at = slot * params.state_stride + c, first = first_row(sequence), n_time = n_row(sequence);
    for (uint j = 0; j < K - 1; j++) {
        uint row = n_time + j;
        float x = row < K - 1 ? Floats(params.state).at[state_at + row * params.n_channel]
                              : load1(params.x, X_TYPE, (first + row - (K - 1)) * params.x_stride + c);
        Floats(params.state).at[state_at + j * params.n_channel] = x;
    }
}

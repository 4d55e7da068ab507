// ssd: the chunked form of the Mamba-2 recurrence (Dao and Gu 2024, section 6). Its kernels share this block.
// "chunks" numbers those of all sequences (include/ssd.glsl).
#include "types.h"
VKS_PARAMS(vks_ssd_params) {
    vks_address x;        // [B, T, H, P] X_TYPE, tokens x_stride elements apart
    vks_address b;        // [B, T, G, N] X_TYPE, tokens x_stride apart
    vks_address c;        // [B, T, G, N] X_TYPE, tokens x_stride apart
    vks_address dt;       // [B, T, H] X_TYPE, tokens dt_stride apart
    vks_address heads;    // [3, H] f32: A (negative), bias of dt, D
    vks_address decays;   // [chunks, 3, H, Q] f32: dt; cumulative sum of dt A; dt times the decay to the chunk's end
    vks_address products; // [chunks, G, Q, Q] f32: C[m] . B[k] for k <= m
    vks_address chunk_states; // [chunks, H, P, N] f32: each chunk's own state, later the state before the chunk
    vks_address offsets;  // [n+1] u32: sequence s is rows offsets[s] ... offsets[s+1]-1; or 0
    vks_address state;    // [slots, H, P, N] f32: initial state in, final state out
    vks_address slots;    // [B] u32, or 0: slot b
    vks_address y;        // [B, T, H, P] Y_TYPE, tokens y_stride apart
    vks_uint n_time;      // T; with offsets the number of sequences
    vks_uint x_stride, dt_stride, y_stride;
    vks_uint state_stride; // floats between slots
    vks_float dt_min, dt_max; // limits of dt after softplus
    vks_uint segment;         // chunks of a segment, in the chained form
} VKS_PARAMS_END(vks_ssd_params)

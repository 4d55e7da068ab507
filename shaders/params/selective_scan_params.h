// selective_scan: Mamba-1's recurrence over sequences; see host/op/ops.h for the formula.
#include "types.h"
VKS_PARAMS(vks_selective_scan_params) {
    vks_address x;        // [B, T, D] X_TYPE
    vks_address dt;       // [B, T, D] X_TYPE, before bias and softplus
    vks_address b;        // [B, T, G, N] X_TYPE
    vks_address c;        // [B, T, G, N] X_TYPE, bc_stride
    vks_address gate;     // [B, T, D] X_TYPE, with GATE
    vks_address a;        // [D, N] f32, negative
    vks_address channels; // [2, D] f32: bias of dt, D
    vks_address state;    // [slots, D, N] f32, read and written; or 0: zeros, and the last one is dropped
    vks_address slots;    // [B] u32, or 0: slot b
    vks_address offsets;  // [B+1] u32, with PACKED: sequence b is rows offsets[b] ... offsets[b+1]-1
    vks_address y;        // [B, T, D] Y_TYPE
    vks_address segments; // scratch, where time is split: [B, n_segment, D, N] states, [B, n_segment, D] sums of dt
    vks_uint n_time;      // T; with PACKED the rows of all sequences
    vks_uint x_stride, dt_stride, bc_stride, gate_stride, y_stride; // elements between rows
    vks_uint state_stride; // floats between slots
    vks_uint n_segment;    // stretches of time that a sequence is cut into
} VKS_PARAMS_END(vks_selective_scan_params)

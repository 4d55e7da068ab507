// ssd_step: one token of the Mamba-2 recurrence for each of B sequences.
#include "types.h"
VKS_PARAMS(vks_ssd_step_params) {
    vks_address x;     // [B, H, P] X_TYPE, sequences x_stride elements apart
    vks_address b;     // [B, G, N] X_TYPE, x_stride
    vks_address c;     // [B, G, N] X_TYPE, x_stride
    vks_address dt;    // [B, H] X_TYPE, dt_stride
    vks_address heads; // [3, H] f32: A (negative), bias of dt, D
    vks_address state; // [slots, H, P, N] f32, read and written
    vks_address slots; // [B] u32, or 0: slot b
    vks_address y;     // [B, H, P] Y_TYPE, y_stride
    vks_address gate;  // [B, H, P] X_TYPE, gate_stride, with GATE
    vks_uint n_head;   // H
    vks_uint n_group;  // G
    vks_uint n_width;  // P
    vks_uint n_state;  // N
    vks_uint x_stride, dt_stride, y_stride, gate_stride;
    vks_uint state_stride; // floats between slots
    vks_float dt_min, dt_max;
} VKS_PARAMS_END(vks_ssd_step_params)

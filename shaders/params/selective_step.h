// selective_step: one token of Mamba-1's recurrence for each of B sequences, with the projection of dt.
#include "types.h"
VKS_PARAMS(vks_selective_step_params) {
    vks_address x;        // [B, D] X_TYPE
    vks_address dt;       // [B, D] X_TYPE, before bias and softplus; or [B, R] where R is not 0
    vks_address weight;   // [D, R] W_TYPE: what dt is multiplied by
    vks_address b;        // [B, G, N] X_TYPE
    vks_address c;        // [B, G, N] X_TYPE, bc_stride
    vks_address gate;     // [B, D] X_TYPE, with GATE
    vks_address a;        // [D, N] f32, negative
    vks_address channels; // [2, D] f32: bias of dt, D
    vks_address state;    // [slots, D, N] f32, read and written; or 0: zeros, dropped
    vks_address slots;    // [B] u32, or 0: slot b
    vks_address y;        // [B, D] Y_TYPE
    vks_uint x_stride, dt_stride, weight_stride, bc_stride, gate_stride, y_stride;
    vks_uint state_stride; // floats between slots
} VKS_PARAMS_END(vks_selective_step_params)

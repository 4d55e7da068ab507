// ssd_tree: the Mamba-2 recurrence along the branches of a tree of at most 32 tokens, from a state that stays as it is.
#include "types.h"
VKS_PARAMS(vks_ssd_tree_params) {
    vks_address x;       // [B, T, H, P] X_TYPE, tokens x_stride elements apart
    vks_address b;       // [B, T, G, N] X_TYPE, tokens x_stride apart
    vks_address c;       // [B, T, G, N] X_TYPE, tokens x_stride apart
    vks_address dt;      // [B, T, H] X_TYPE, tokens dt_stride apart
    vks_address heads;   // [3, H] f32: A (negative), bias of dt, D
    vks_address state;   // [slots, H, P, N] f32
    vks_address slots;   // [B] u32, or 0: slot b
    vks_address parents; // [B, T] i32: the token before, or -1: the state; or 0: t - 1
    vks_address y;       // [B, T, H, P] Y_TYPE, tokens y_stride apart
    vks_uint n_time;     // T
    vks_uint n_head, n_group, n_width, n_state;
    vks_uint x_stride, dt_stride, y_stride;
    vks_uint state_stride; // floats between slots
    vks_float dt_min, dt_max; // limits of dt after softplus
} VKS_PARAMS_END(vks_ssd_tree_params)

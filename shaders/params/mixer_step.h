// mixer_step: in_proj, convolution and recurrence of a Mamba-2 mixer for one token of one sequence.
#include "types.h"
VKS_PARAMS(vks_mixer_step_params) {
    vks_address x;           // [K] f32
    vks_address norm;        // [K] f32
    vks_address w;           // [2 H P + 2 G N + H, K] W_TYPE: rows of gate, x, B, C, dt; they lie as in params/matmul.h
    vks_address conv_weight; // [TAPS, H P + 2 G N] f32, oldest tap first
    vks_address conv_bias;   // [H P + 2 G N] f32, or 0
    vks_address conv_state;  // [slots, TAPS-1, H P + 2 G N] f32, oldest input first
    vks_address heads;       // [3, H] f32: A (negative), bias of dt, D
    vks_address state;       // [slots, H, P, N] f32
    vks_address slots;       // [1] u32, or 0: slot 0
    vks_address words;       // [2 G N + H] outputs that all need, [2] counters, [H P / UNIT] marks: u32, 0 before
    vks_address left;        // [2 H P] f32: x and gate of units that were left to others
    vks_address y;           // [H P] f32
    vks_uint n_in;           // K, a multiple of 8
    vks_uint w_stride;       // as in params/matmul.h
    vks_uint conv_state_stride, state_stride; // floats between slots
    vks_float norm_eps, dt_min, dt_max;
} VKS_PARAMS_END(vks_mixer_step_params)

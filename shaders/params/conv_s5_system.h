// conv_s5_system: a continuous convolutional S5 system made discrete, as conv_s5 wants it
#include "types.h"
VKS_PARAMS(vks_conv_s5_system_params) {
    vks_address lambda;   // [P, 2] f32
    vks_address log_step; // [P] f32
    vks_address kernel;   // B [P, U, taps, 2] f32, or C [taps, P, U, 2] f32
    vks_address a;        // [P, 2] f32, with B
    vks_address w;        // [2 P, taps, U'] W_TYPE with B, [U, taps, P, 2] with C; rows of w_stride
    vks_uint n_state;     // P
    vks_uint n_channel;   // U; U' is U rounded up to 8
    vks_uint n_tap;
    vks_uint w_stride; // even
    vks_uint n;        // invocations that have work
} VKS_PARAMS_END(vks_conv_s5_system_params)

// Specialization constant FLAGS.
#define VKS_SYSTEM_OF_C 0x1u
#define VKS_SYSTEM_CLIP 0x2u

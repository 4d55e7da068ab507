// pool_mean: running mean over time, with its sums in a slot's state
#include "types.h"
VKS_PARAMS(vks_pool_mean_params) {
    vks_address x;     // [B, T, D] f32
    vks_address state; // [B, 3, D]: sum f32, what rounding took from it f32, number of terms as a 32-bit integer
    vks_address y;     // [B, D] f32, with OUTPUT
    vks_uint n_time, n_channel;
    vks_uint x_stride, y_stride; // elements between rows
    vks_uint state_stride;       // elements between slots
} VKS_PARAMS_END(vks_pool_mean_params)

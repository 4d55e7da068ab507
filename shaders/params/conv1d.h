// conv1d: y[t, c] = act(bias[c] + sum over j of w[j, c] x[t - (K-1) + j, c]), x before the first token from the state
#include "types.h"
VKS_PARAMS(vks_conv1d_params) {
    vks_address x;     // [B, T, C] X_TYPE
    vks_address w;     // [K, C] f32
    vks_address bias;  // [C] f32, with BIAS
    vks_address state; // [slots, K-1, C] f32, oldest input first, read and written
    vks_address slots; // [B] u32, or 0: slot b
    vks_address y;     // [B, T, C] Y_TYPE
    vks_address offsets; // [n+1] u32: sequence s is rows offsets[s] ... offsets[s+1]-1; or 0
    vks_uint n_time;   // T; with offsets the number of sequences
    vks_uint n_channel; // C
    vks_uint x_stride, y_stride; // elements between rows; batch strides are T rows
    vks_uint state_stride;       // floats between slots
} VKS_PARAMS_END(vks_conv1d_params)

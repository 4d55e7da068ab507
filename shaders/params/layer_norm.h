// layer_norm: y = w (x - mean) / sqrt(variance + eps) + b over each row, or y = w x + b
#include "types.h"
VKS_PARAMS(vks_layer_norm_params) {
    vks_address x;      // [T, D] X_TYPE
    vks_address weight; // [D] f32
    vks_address bias;   // [D] f32
    vks_address y;      // [T, D] Y_TYPE
    vks_uint x_stride, y_stride; // elements between rows
    vks_uint n_row, n_channel;
    vks_float eps;
} VKS_PARAMS_END(vks_layer_norm_params)

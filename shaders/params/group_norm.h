// group_norm: y = act(w (x - mean) / sqrt(variance + eps) + b) over pixels and the channels of a group of each image
#include "types.h"
VKS_PARAMS(vks_group_norm_params) {
    vks_address x;       // [N, S, C] X_TYPE, pixels x_stride elements apart
    vks_address weight;  // [C] f32
    vks_address bias;    // [C] f32
    vks_address y;       // [N, S, C] Y_TYPE
    vks_address partial; // [N, n_slice, C, 2] f32: mean of a slice of pixels, sum of squared differences from it
    vks_address moments; // [N, G, 2] f32: mean, 1 / sqrt(variance + eps)
    vks_uint n_image, n_pixel, n_channel, n_group; // N, S, C, G
    vks_uint n_slice, slice_size;                  // pixels of a slice
    vks_uint x_stride, y_stride;
    vks_float eps;
} VKS_PARAMS_END(vks_group_norm_params)

// rms_norm: y = w * u / sqrt(mean over the group of u^2 + eps)
#include "types.h"
VKS_PARAMS(vks_rms_norm_params) {
    vks_address x;        // [T, D] X_TYPE
    vks_address residual; // [T, D] f32 read and written, with RESIDUAL
    vks_address gate;     // [T, D] X_TYPE, with GATE
    vks_address weight;   // [D] f32
    vks_address y;        // [T, D] Y_TYPE
    vks_uint x_stride, residual_stride, gate_stride, y_stride; // elements between rows
    vks_uint group_size;  // D / number of groups
    vks_float eps;
} VKS_PARAMS_END(vks_rms_norm_params)

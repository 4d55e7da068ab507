// log_softmax: y = x - log(sum over the row of exp(x))
#include "types.h"
VKS_PARAMS(vks_log_softmax_params) {
    vks_address x; // [T, D] f32
    vks_address y; // [T, D] f32, may be x
    vks_uint x_stride, y_stride; // elements between rows
    vks_uint n_row, n_channel;
} VKS_PARAMS_END(vks_log_softmax_params)

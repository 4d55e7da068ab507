// matmul_s8: Y[m, n] = x_scale[m] w_scale[n] sum over k of X[m, k] W[n, k]
#include "types.h"
VKS_PARAMS(vks_matmul_s8_params) {
    vks_address x;       // [M, K] s8, rows of x_stride bytes
    vks_address w;       // [N, K] s8, rows of w_stride bytes, zero from K to the next multiple of 16
    vks_address x_scale; // [M] f32, or 0: 1
    vks_address w_scale; // [N] f32, or 0: 1
    vks_address y;       // [M, N] Y_TYPE
    vks_uint n_row, n_out, n_in; // M, N, K
    vks_uint x_stride, w_stride; // bytes between rows, multiples of 16
    vks_uint y_stride;           // elements between rows
} VKS_PARAMS_END(vks_matmul_s8_params)

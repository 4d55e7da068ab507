// matmul: Y[m, n] = sum over k of X[m, k] W[n, k] (+ bias[n]) (+ Y[m, n])
#include "types.h"
VKS_PARAMS(vks_matmul_params) {
    vks_address x;    // [M, K] X_TYPE
    vks_address w;    // [N, K] W_TYPE, rows of w_stride elements, zero from K to w_stride; block types: see
                      // include/weights.glsl
    vks_address bias; // [N] f32, with BIAS
    vks_address y;    // [M, N] Y_TYPE
    vks_uint n_row;   // M
    vks_uint n_out;   // N
    vks_uint n_in;    // K
    vks_uint x_stride, w_stride, y_stride; // elements between rows; multiples of 8 for x and w. Of block types w_stride
                                           // counts words, a multiple of 4
} VKS_PARAMS_END(vks_matmul_params)

// matmul: Y[m, n] = sum over k of X[m, k] W[n, k] (+ bias[n]) (+ Y[m, n]). What stands behind y_stride is for
// matmul_vector only.
#include "types.h"
VKS_PARAMS(vks_matmul_params) {
    vks_address x;    // [M, K] X_TYPE
    vks_address w;    // [N, K] W_TYPE, rows of w_stride elements, zero from K to w_stride; block types: see
                      // include/weights.glsl
    vks_address bias; // [N] f32, with BIAS
    vks_address y;    // [M, N] Y_TYPE
    vks_address norm; // [K] f32, with NORM
    vks_address conv_weight; // [TAPS, n_conv] f32, oldest tap first, with TAPS
    vks_address conv_bias;   // [n_conv] f32, or 0
    vks_address conv_state;  // [slots, TAPS-1, n_conv] f32, oldest input first
    vks_address slots;       // [M] u32, or 0: row m uses slot m
    vks_uint n_row;   // M
    vks_uint n_out;   // N
    vks_uint n_in;    // K
    vks_uint x_stride, w_stride, y_stride; // elements between rows; multiples of 8 for x and w. Of block
                                           // types w_stride counts words, a multiple of 4
    vks_uint conv_first, n_conv;           // outputs conv_first ... conv_first+n_conv-1 pass the convolution
    vks_uint conv_state_stride;            // floats between slots
    vks_float norm_eps;
    vks_uint k_split; // matmul_coop: values of k that a workgroup sums, a multiple of its DEPTH; workgroups along z follow
                      // each other along k and write [z, M, N]
} VKS_PARAMS_END(vks_matmul_params)

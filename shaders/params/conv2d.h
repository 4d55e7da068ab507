// conv2d: y = act(x * w + bias + added) (+ y), a cross-correlation over the two dimensions of images
#include "types.h"
VKS_PARAMS(vks_conv2d_params) {
    vks_address x;      // [N, H, W, C] X_TYPE, pixels x_stride elements apart, a multiple of 8
    vks_address w;      // [M, taps, C'] W_TYPE, rows of w_stride; C' is C rounded up to 8, zero from C on
    vks_address bias;   // [n_choice, M] f32, with BIAS
    vks_address choice; // [N] f32: row of the bias, with BIAS 2
    vks_address added;  // [N, H', W', M] ADDED_TYPE, with ADDED
    vks_address y;      // [N, H', W', M] Y_TYPE
    vks_uint n_row;     // N H' W'
    vks_uint n_out;     // M
    vks_uint n_channel; // C
    vks_uint x_stride, w_stride, added_stride, y_stride; // elements between pixels; between rows of w
    vks_uint in_height, in_width, out_height, out_width; // H, W, H', W'
    vks_uint kernel_height, kernel_width;
    vks_uint pixel_step; // the convolution's stride
    vks_uint pad_top, pad_left;
    vks_uint n_choice;
} VKS_PARAMS_END(vks_conv2d_params)

// resample2d: average pooling, nearest upsampling, and the two orders of channels and pixels
#include "types.h"
VKS_PARAMS(vks_resample2d_params) {
    vks_address x; // [N, H, W, C] X_TYPE, or [N, C, H, W] f32 with FROM_PLANES
    vks_address y; // [N, H', W', C] Y_TYPE, or [N, C, H', W'] f32 with TO_PLANES
    vks_uint x_stride, y_stride;       // elements between pixels; of planes: 1
    vks_uint x_image, y_image;         // elements between images
    vks_uint height, width, n_channel; // H', W', C
    vks_uint in_height, in_width;      // H, W
    vks_uint window_height, window_width; // AVERAGE: pixels of a mean; NEAREST: copies of a pixel
    vks_uint n;                        // invocations that have work
} VKS_PARAMS_END(vks_resample2d_params)

// Specialization constant MODE.
#define VKS_RESAMPLE_AVERAGE 0
#define VKS_RESAMPLE_NEAREST 1
#define VKS_RESAMPLE_FROM_PLANES 2
#define VKS_RESAMPLE_TO_PLANES 3

// resample2d: average pooling over windows side by side, nearest upsampling, and images between planes and channels last
// Push      shaders/params/resample2d.h; shapes and types stand there
// Mapping   an invocation takes two neighbouring channels of an output pixel (TO_PLANES: two pixels of a row); neighbours take
//           neighbouring elements of y
// Constants 0 WG_SIZE  1 X_TYPE  2 Y_TYPE  3 MODE (VKS_RESAMPLE_*)
// Needs     nothing optional
// Numerics  f32, a mean as a sum in order of rows
// Twin      tests/ref/ref_resample2d.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/resample2d.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const uint MODE = VKS_RESAMPLE_AVERAGE;

float mean_of_window(uint first, uint i, uint j, uint c) {
    float sum = 0.0;
    for (uint a = 0; a < params.window_height; a++)
        for (uint b = 0; b < params.window_width; b++) {
            uint pixel = (i * params.window_height + a) * params.in_width + j * params.window_width + b;
            sum += load1(params.x, X_TYPE, first + pixel * params.x_stride + c);
        }
    return sum / float(params.window_height * params.window_width);
}

// Channel c of output pixel (i, j) of the image whose input begins at `first`.
float value(uint first, uint i, uint j, uint c) {
    if (MODE == VKS_RESAMPLE_AVERAGE) return mean_of_window(first, i, j, c);
    if (MODE == VKS_RESAMPLE_FROM_PLANES)
        return c < params.n_channel ? load1(params.x, X_TYPE, first + (c * params.height + i) * params.width + j) : 0.0;
    if (MODE == VKS_RESAMPLE_NEAREST) {
        i /= params.window_height;
        j /= params.window_width;
    }
    return load1(params.x, X_TYPE, first + (i * params.in_width + j) * params.x_stride + c);
}

void main() {
    uint k = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * WG_SIZE + gl_LocalInvocationIndex;
    if (k >= params.n) return;
    if (MODE == VKS_RESAMPLE_TO_PLANES) {
        uint n_pair = (params.width + 1) / 2, j = k % n_pair * 2, i = k / n_pair % params.height;
        uint c = k / n_pair / params.height % params.n_channel, image = k / n_pair / params.height / params.n_channel;
        bool both = j + 1 < params.width;
        vec2 y = vec2(value(image * params.x_image, i, j, c), 0.0);
        if (both) y.y = value(image * params.x_image, i, j + 1, c);
        uint at = image * params.y_image + (c * params.height + i) * params.width + j;
        store2(params.y, VKS_TYPE_F32, at, y, both);
        return;
    }
    // Planes become pixels with zeros up to their stride, which is even.
    uint n = MODE == VKS_RESAMPLE_FROM_PLANES ? params.y_stride : params.n_channel, n_pair = (n + 1) / 2;
    uint c = k % n_pair * 2, j = k / n_pair % params.width, i = k / n_pair / params.width % params.height;
    uint image = k / n_pair / params.width / params.height, first = image * params.x_image;
    bool both = c + 1 < n;
    vec2 y = vec2(value(first, i, j, c), 0.0);
    if (both) y.y = value(first, i, j, c + 1);
    uint at = image * params.y_image + (i * params.width + j) * params.y_stride + c;
    store2(params.y, Y_TYPE, at, y, both);
}

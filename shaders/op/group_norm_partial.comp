// group_norm_partial: mean of every channel over a slice of an image's pixels, and the sum of squared differences from it; the
//           first of three kernels of group norm (Wu and He 2018)
// Push      shaders/params/group_norm.h; shapes and types stand there
// Mapping   an invocation takes a channel of a slice; neighbours take neighbouring channels, then slices, then images
// Constants 0 WG_SIZE  1 X_TYPE
// Needs     nothing optional
// Numerics  f32; two passes over the slice, so that nothing cancels
// Twin      tests/ref/ref_group_norm.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/group_norm.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;

void main() {
    uint i = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * WG_SIZE + gl_LocalInvocationIndex;
    if (i >= params.n_image * params.n_slice * params.n_channel) return;
    uint c = i % params.n_channel, slice = i / params.n_channel % params.n_slice;
    uint image = i / params.n_channel / params.n_slice, begin = slice * params.slice_size;
    uint n = min(params.slice_size, params.n_pixel - begin);
    uint at = (image * params.n_pixel + begin) * params.x_stride + c;
    float sum = 0.0, squares = 0.0;
    for (uint k = 0; k < n; k++) sum += load1(params.x, X_TYPE, at + k * params.x_stride);
    float mean = sum / float(n);
    for (uint k = 0; k < n; k++) {
        float gap = load1(params.x, X_TYPE, at + k * params.x_stride) - mean;
        squares += gap * gap;
    }
    Floats(params.partial).at[2 * i] = mean;
    Floats(params.partial).at[2 * i + 1] = squares;
}

// group_norm_moments: mean and 1 / sqrt(variance + eps) of every group from its channels' slices; the second of three kernels of
//           group norm (Wu and He 2018). Parts are joined as Chan, Golub and LeVeque (1983) do: squares around the common mean
//           are those around the part's own, and the square of the means' difference for each term
// Push      shaders/params/group_norm.h; shapes and types stand there
// Mapping   LANES neighbours share the parts of a group of an image
// Constants 0 WG_SIZE (a multiple of LANES)  1 LANES (power of two)
// Needs     WG_SIZE floats of shared memory; nothing optional
// Numerics  f32
// Twin      tests/ref/ref_group_norm.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/group_norm.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint LANES = 8;

shared float sums[WG_SIZE];

// The sum over the LANES of a group, by a tree; every invocation must call.
float add_lanes(float value) {
    uint i = gl_LocalInvocationIndex;
    sums[i] = value;
    barrier();
    for (uint width = LANES / 2; width > 0; width /= 2) {
        if (i % LANES < width) sums[i] += sums[i + width];
        barrier();
    }
    float sum = sums[i - i % LANES];
    barrier(); // before the next call writes
    return sum;
}

void main() {
    uint i = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * WG_SIZE + gl_LocalInvocationIndex;
    uint lane = i % LANES, own = i / LANES, group = min(own, params.n_image * params.n_group - 1);
    uint size = params.n_channel / params.n_group, image = group / params.n_group, first = group % params.n_group * size;
    uint n_part = params.n_slice * size;
    float n = float(size) * float(params.n_pixel), sum = 0.0, squares = 0.0;
    for (uint k = lane; k < n_part; k += LANES) {
        uint slice = k / size, at = 2 * ((image * params.n_slice + slice) * params.n_channel + first + k % size);
        float weight = float(min(params.slice_size, params.n_pixel - slice * params.slice_size));
        sum += weight * Floats(params.partial).at[at];
    }
    float mean = add_lanes(sum) / n;
    for (uint k = lane; k < n_part; k += LANES) {
        uint slice = k / size, at = 2 * ((image * params.n_slice + slice) * params.n_channel + first + k % size);
        float weight = float(min(params.slice_size, params.n_pixel - slice * params.slice_size));
        float gap = Floats(params.partial).at[at] - mean;
        squares += Floats(params.partial).at[at + 1] + weight * gap * gap;
    }
    squares = add_lanes(squares);
    if (own != group || lane > 0) return;
    Floats(params.moments).at[2 * group] = mean;
    Floats(params.moments).at[2 * group + 1] = 1.0 / sqrt(squares / n + params.eps);
}

// pool_mean: add T rows to the sums that a slot keeps, and give the mean of all rows so far:
//           sum[b] += sum over t of x[b, t];  n[b] += T;  y[b] = sum[b] / n[b]
// Push      shaders/params/pool_mean.h; shapes and types stand there
// Mapping   one workgroup per 32 channels (x) of a sequence (y): SLICE invocations share the time steps of a channel
// Constants 0 WG_SIZE (32 SLICE)  1 SLICE (a power of two)  2 OUTPUT (y is wanted)
// Needs     nothing optional
// Numerics  f32; a channel's sum is kept with what rounding took from it (two-sum, Knuth), so that neither the length nor
//           the number of calls tells in the result
// Twin      tests/ref/ref_pool_mean.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/pool_mean.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 32;
layout(constant_id = 1) const uint SLICE = 1;
layout(constant_id = 2) const bool OUTPUT = true;

shared float partial[WG_SIZE];

void main() {
    uint lane = gl_LocalInvocationIndex % 32, slice = gl_LocalInvocationIndex / 32;
    uint d = gl_WorkGroupID.x * 32 + lane, sequence = gl_WorkGroupID.y;
    bool inside = d < params.n_channel;
    float sum = 0.0;
    if (inside)
        for (uint t = slice; t < params.n_time; t += SLICE)
            sum += Floats(params.x).at[(sequence * params.n_time + t) * params.x_stride + d];
    if (SLICE > 1) {
        partial[gl_LocalInvocationIndex] = sum;
        barrier();
        for (uint half_way = SLICE / 2; half_way > 0; half_way /= 2) {
            if (slice < half_way) partial[gl_LocalInvocationIndex] += partial[gl_LocalInvocationIndex + 32 * half_way];
            barrier();
        }
        sum = partial[lane];
    }
    if (!inside || slice > 0) return;

    uint at = sequence * params.state_stride + d;
    precise float old = Floats(params.state).at[at];
    precise float total = old + sum;
    precise float part = total - old;
    precise float lost = (old - (total - part)) + (sum - part);
    lost += Floats(params.state).at[at + params.n_channel];
    uint n = Words(params.state).at[at + 2 * params.n_channel] + params.n_time;
    Floats(params.state).at[at] = total;
    Floats(params.state).at[at + params.n_channel] = lost;
    Words(params.state).at[at + 2 * params.n_channel] = n;
    if (OUTPUT) Floats(params.y).at[sequence * params.y_stride + d] = (total + lost) / float(n);
}

// pool_mean: add T rows to the sums that a slot keeps, and give the mean of all rows so far:
//           sum[b] += sum over t of x[b, t];  n[b] += T;  y[b] = sum[b] / n[b]
// Push      shaders/params/pool_mean.h; shapes and types stand there
// Mapping   one workgroup per 32 channels (x) of a sequence (y); an invocation per channel, or (SLICES) several that share
//           its time steps
// Constants 0 WG_SIZE (32 SLICE)  1 OUTPUT (y is wanted)  2 SLICE (SLICES only)
// Needs     nothing optional
// Numerics  f32; a channel's sum goes with what rounding took from it (Knuth's two-sum), so that neither the length nor the
//           number of calls tells in the result. An infinite sum becomes NaN
// Twin      tests/ref/ref_pool_mean.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/pool_mean.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 32;
layout(constant_id = 1) const bool OUTPUT = true;
#ifdef SLICES
layout(constant_id = 2) const uint SLICE = 8;
shared vec2 partial[WG_SIZE];
#else
const uint SLICE = 1;
#endif

// A sum and what rounding took from it, with one term more.
vec2 add(vec2 total, float term) {
    precise float sum = total.x + term;
    precise float part = sum - total.x;
    precise float lost = (total.x - (sum - part)) + (term - part);
    return vec2(sum, total.y + lost);
}

void main() {
    uint lane = gl_LocalInvocationIndex % 32, slice = gl_LocalInvocationIndex / 32;
    uint d = gl_WorkGroupID.x * 32 + lane, sequence = gl_WorkGroupID.y;
    bool inside = d < params.n_channel;
    uint at = sequence * params.state_stride + d;
    vec2 total = vec2(0.0);
    if (inside && slice == 0)
        total = vec2(Floats(params.state).at[at], Floats(params.state).at[at + params.n_channel]);
    if (inside)
        for (uint t = slice; t < params.n_time; t += SLICE)
            total = add(total, Floats(params.x).at[(sequence * params.n_time + t) * params.x_stride + d]);
#ifdef SLICES
    partial[gl_LocalInvocationIndex] = total;
    barrier();
    if (slice == 0)
        for (uint i = 1; i < SLICE; i++) {
            vec2 other = partial[lane + 32 * i];
            total = add(total, other.x);
            total.y += other.y;
        }
#endif
    if (!inside || slice > 0) return;

    total = add(vec2(total.x, 0.0), total.y); // what is lost must stay small beside the sum
    uint n = Words(params.state).at[at + 2 * params.n_channel] + params.n_time;
    Floats(params.state).at[at] = total.x;
    Floats(params.state).at[at + params.n_channel] = total.y;
    Words(params.state).at[at + 2 * params.n_channel] = n;
    if (OUTPUT) Floats(params.y).at[sequence * params.y_stride + d] = (total.x + total.y) / float(n);
}

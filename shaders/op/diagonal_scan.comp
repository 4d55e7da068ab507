// diagonal_scan: x[t] = a x[t-1] + b[t], complex, a constant in time
// Push      shaders/params/diagonal_scan.h
// Mapping   an invocation per state (x) of a sequence (y), serial in time
// Constants 0 WG_SIZE
// Needs     nothing
// Numerics  f32
// Twin      tests/ref/ref_diagonal_scan.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/diagonal_scan.h"
#include "include/io.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
void main() {
    uint p = gl_GlobalInvocationID.x, sequence = gl_WorkGroupID.y;
    if (p >= params.n_state) return;
    float ar = Floats(params.a).at[2 * p], ai = Floats(params.a).at[2 * p + 1];
    float xr = 0.0, xi = 0.0;
    uint s = sequence * params.state_stride + 2 * p;
    if (params.carried != 0) {
        xr = Floats(params.state).at[s];
        xi = Floats(params.state).at[s + 1];
    }
    for (uint i = 0; i < params.n_time; i++) {
        uint t = sequence * params.n_time + (params.reverse != 0 ? params.n_time - 1 - i : i);
        float br = Floats(params.b).at[t * params.b_stride + 2 * p], bi = Floats(params.b).at[t * params.b_stride + 2 * p + 1];
        float yr = ar * xr - ai * xi + br;
        xi = ar * xi + ai * xr + bi;
        xr = yr;
        Floats(params.x).at[t * params.x_stride + 2 * p] = xr;
        Floats(params.x).at[t * params.x_stride + 2 * p + 1] = xi;
    }
    if (params.carried != 0) {
        Floats(params.state).at[s] = xr;
        Floats(params.state).at[s + 1] = xi;
    }
}

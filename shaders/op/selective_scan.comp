// selective_scan: dt = softplus(dt + bias),  h[t] = exp(dt A) h[t-1] + dt B x,  y = C h + D x,  times SiLU(gate)
//                 (Gu and Dao 2023, section 3.2 and algorithm 2), a channel a lane and time step by step
// Push      shaders/params/selective_scan_params.h; shapes and types stand there
// Mapping   x: an invocation takes 2 channels with all their states; z: sequence. One walk through time, no barrier
// Constants include/selective.glsl
// Needs     SHARE: subgroup broadcast and subgroups of a fixed size, the workgroup being one: the lanes load different
//           values of B and C, which all need, and hand them round; then all channels of a workgroup are of one group
// Numerics  f32; y sums over n in order
// Twin      tests/ref/ref_selective_scan.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/selective_scan_params.h"
#include "params/selective_flags.h"
#include "include/io.glsl"
#include "include/math.glsl"
#include "include/selective.glsl"
#ifdef SHARE
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_ballot : require
layout(constant_id = 7) const uint LANES = 8; // the subgroup size
#endif

const uint BLOCK = N < 16 ? N : 16; // states whose code is written out
const uint N_BLOCK = (N + BLOCK - 1) / BLOCK;

vec2 h[N_BLOCK * BLOCK], a[N_BLOCK * BLOCK]; // of the two channels

void load_states(uint at_state, uint d0, uint d1) {
    for (uint n = 0; n < N; n++) {
        a[n] = LOG2_E * vec2(Floats(params.a).at[d0 * N + n], Floats(params.a).at[d1 * N + n]);
        h[n] = vec2(0);
        if (!is_null(params.state))
            h[n] = vec2(Floats(params.state).at[at_state + d0 * N + n], Floats(params.state).at[at_state + d1 * N + n]);
    }
    for (uint n = N; n < N_BLOCK * BLOCK; n++) a[n] = h[n] = vec2(0);
}

// One token: the states move on; C h.
vec2 advance(vec2 dt, vec2 x, uint at_bc) {
    vec2 sum = vec2(0), dtx = dt * x;
    for (uint n0 = 0; n0 < N_BLOCK * BLOCK; n0 += BLOCK) {
#ifdef SHARE
        const uint parts = (BLOCK + LANES - 1) / LANES;
        float bs[parts], cs[parts];
        [[unroll]] for (uint k = 0; k < parts; k++) {
            uint n = min(n0 + k * LANES + gl_SubgroupInvocationID, N - 1);
            bs[k] = load1(params.b, X_TYPE, at_bc + n);
            cs[k] = load1(params.c, X_TYPE, at_bc + n);
        }
#endif
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            uint n = n0 + j;
            if (N % BLOCK != 0 && n >= N) break;
#ifdef SHARE
            float b = subgroupBroadcast(bs[j / LANES], j % LANES), c = subgroupBroadcast(cs[j / LANES], j % LANES);
#else
            float b = load1(params.b, X_TYPE, at_bc + n), c = load1(params.c, X_TYPE, at_bc + n);
#endif
            h[n] = fma(exp2(dt * a[n]), h[n], dtx * b);
            sum = fma(h[n], vec2(c), sum);
        }
    }
    return sum;
}

void main() {
    uint pair = gl_GlobalInvocationID.x, sequence = gl_WorkGroupID.z, slot = slot_of(sequence);
    bool idle = 2 * pair >= D; // reads along with its subgroup, and stores nothing
#ifndef SHARE
    if (idle) return;
#endif
    uint d0 = min(2 * pair, (D - 1) & ~1u);
    bool both = d0 + 1 < D;
    uint d1 = both ? d0 + 1 : d0, at_state = slot * params.state_stride;
    uint first = PACKED ? min(Words(params.offsets).at[sequence], params.n_time) : sequence * params.n_time;
    uint end = PACKED ? min(Words(params.offsets).at[sequence + 1], params.n_time) : first + params.n_time;
    Floats channels = Floats(params.channels);
    vec2 bias = vec2(channels.at[d0], channels.at[d1]), skip = vec2(channels.at[D + d0], channels.at[D + d1]);
    load_states(at_state, d0, d1);
    for (uint p = first; p < end; p++) {
        uint t = REVERSE ? first + end - 1 - p : p;
        vec2 x = load2(params.x, X_TYPE, t * params.x_stride + d0, both);
        vec2 dt = load2(params.dt, X_TYPE, t * params.dt_stride + d0, both) + bias;
        dt = vec2(time_step(dt.x), time_step(dt.y));
        vec2 y = advance(dt, x, t * params.bc_stride + d0 / (D / G) * N);
        y = fma(skip, x, y);
        if (GATE) {
            vec2 z = load2(params.gate, X_TYPE, t * params.gate_stride + d0, both);
            y *= vec2(silu(z.x), silu(z.y));
        }
        uint at_y = t * params.y_stride + d0;
        if (ADD) y += load2(params.y, Y_TYPE, at_y, both);
        if (!idle) store2(params.y, Y_TYPE, at_y, y, both);
    }
    if (idle || is_null(params.state)) return;
    for (uint n = 0; n < N; n++) {
        Floats(params.state).at[at_state + d0 * N + n] = h[n].x;
        if (both) Floats(params.state).at[at_state + d1 * N + n] = h[n].y;
    }
}

// selective_step: one token of selective_scan for each sequence, with the projection of dt from its low rank:
//                 dt = softplus(W dt_low + bias),  h = exp(dt A) h + dt B x,  y = (C h + D x) SiLU(gate)
//                 (Gu and Dao 2023, section 3.2 and algorithm 2)
// Push      shaders/params/selective_step.h; shapes and types stand there
// Mapping   x: LANES neighbouring invocations share 2 channels, and stride over the rank, then over the states; y: sequence
// Constants include/selective.glsl, 7 LANES (power of two)  8 W_TYPE  9 VECTOR: 4 elements of the rank a load
//           10 RANK (0: dt is given)
// Needs     SUBGROUP: subgroup shuffles and full subgroups of at least LANES; without it a tree in shared memory, or
//           nothing where LANES is 1
// Numerics  f32; each invocation sums in order, then a tree
// Twin      tests/ref/ref_selective_scan.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/selective_step.h"
#include "params/selective_flags.h"
#include "include/io.glsl"
#include "include/math.glsl"
#include "include/selective.glsl"
#ifdef SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
layout(constant_id = 7) const uint LANES = 8;
layout(constant_id = 8) const uint W_TYPE = VKS_TYPE_F32;
layout(constant_id = 9) const bool VECTOR = false;
layout(constant_id = 10) const uint RANK = 0;

const uint STATES = (N + LANES - 1) / LANES;

#ifdef SUBGROUP
vec2 add_lanes(vec2 value, uint i) {
    for (uint width = 1; width < LANES; width *= 2) value += subgroupShuffleXor(value, width);
    return value;
}
#else
shared vec2 lane_sums[WG_SIZE];

// Sum over the lanes of a pair of channels. Every invocation of the workgroup must call.
vec2 add_lanes(vec2 value, uint i) {
    if (LANES == 1) return value;
    uint lane = i % LANES;
    lane_sums[i] = value;
    barrier();
    for (uint width = LANES / 2; width > 0; width /= 2) {
        if (lane < width) lane_sums[i] += lane_sums[i + width];
        barrier();
    }
    vec2 sum = lane_sums[i - lane];
    barrier();
    return sum;
}
#endif

// dt of two channels before the bias.
vec2 project(uint sequence, uint d0, uint d1, uint lane, uint i) {
    if (RANK == 0) return load2(params.dt, X_TYPE, sequence * params.dt_stride + d0, d1 > d0);
    uint at = sequence * params.dt_stride, w0 = d0 * params.weight_stride, w1 = d1 * params.weight_stride;
    vec2 sum = vec2(0);
    if (VECTOR) {
        const uint batch = 8; // loads under way together
        for (uint r0 = 4 * lane; r0 < RANK; r0 += 4 * batch * LANES) {
            vec4 low[batch], u[batch], v[batch];
            [[unroll]] for (uint k = 0; k < batch; k++) {
                if (4 * k * LANES >= RANK) break;
                uint r = min(r0 + 4 * k * LANES, RANK - 4);
                low[k] = load4(params.dt, X_TYPE, at + r);
                u[k] = load4(params.weight, W_TYPE, w0 + r);
                v[k] = load4(params.weight, W_TYPE, w1 + r);
            }
            [[unroll]] for (uint k = 0; k < batch; k++)
                if (r0 + 4 * k * LANES < RANK) sum += vec2(dot(low[k], u[k]), dot(low[k], v[k]));
        }
    } else {
        for (uint r = lane; r < RANK; r += LANES) {
            float low = load1(params.dt, X_TYPE, at + r);
            float u = load1(params.weight, W_TYPE, w0 + r), v = load1(params.weight, W_TYPE, w1 + r);
            sum = fma(vec2(low), vec2(u, v), sum);
        }
    }
    return add_lanes(sum, i);
}

void main() {
#ifdef SUBGROUP
    uint i = gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID;
#else
    uint i = gl_LocalInvocationIndex;
#endif
    uint bundle = (gl_WorkGroupID.x * WG_SIZE + i) / LANES, lane = i % LANES, sequence = gl_WorkGroupID.y;
    bool idle = 2 * bundle >= D; // takes part in the sums, and stores nothing
    uint d0 = min(2 * bundle, (D - 1) & ~1u), d1 = min(d0 + 1, D - 1);
    bool both = d1 > d0, has_state = !is_null(params.state);
    uint at_state = slot_of(sequence) * params.state_stride, at_bc = sequence * params.bc_stride + d0 / (D / G) * N;
    Floats channels = Floats(params.channels), as = Floats(params.a), states = Floats(params.state);

    // Everything is loaded before the first store.
    vec2 h[STATES], a[STATES];
    float b[STATES], c[STATES];
    [[unroll]] for (uint s = 0; s < STATES; s++) {
        uint n = min(s * LANES + lane, N - 1);
        a[s] = LOG2_E * vec2(as.at[d0 * N + n], as.at[d1 * N + n]);
        h[s] = has_state ? vec2(states.at[at_state + d0 * N + n], states.at[at_state + d1 * N + n]) : vec2(0);
        b[s] = load1(params.b, X_TYPE, at_bc + n);
        c[s] = load1(params.c, X_TYPE, at_bc + n);
    }
    vec2 x = load2(params.x, X_TYPE, sequence * params.x_stride + d0, both), z = vec2(0);
    if (GATE) z = load2(params.gate, X_TYPE, sequence * params.gate_stride + d0, both);
    vec2 bias = vec2(channels.at[d0], channels.at[d1]), skip = vec2(channels.at[D + d0], channels.at[D + d1]);
    uint at_y = sequence * params.y_stride + d0;
    vec2 y = vec2(0);
    if (ADD) y = load2(params.y, Y_TYPE, at_y, both);

    vec2 dt = project(sequence, d0, d1, lane, i) + bias, sum = vec2(0);
    dt = vec2(time_step(dt.x), time_step(dt.y));
    vec2 dtx = dt * x;
    [[unroll]] for (uint s = 0; s < STATES; s++) {
        h[s] = fma(exp2(dt * a[s]), h[s], dtx * b[s]);
        if (s * LANES + lane < N) sum = fma(h[s], vec2(c[s]), sum);
    }
    sum = fma(skip, x, add_lanes(sum, i));
    if (GATE) sum *= vec2(silu(z.x), silu(z.y));
    if (idle) return;
    if (lane == 0) store2(params.y, Y_TYPE, at_y, y + sum, both);
    if (!has_state) return;
    [[unroll]] for (uint s = 0; s < STATES; s++) {
        uint n = s * LANES + lane;
        if (n < N) states.at[at_state + d0 * N + n] = h[s].x;
        if (n < N && both) states.at[at_state + d1 * N + n] = h[s].y;
    }
}

// ssd_step: state = exp(dt A) state + dt x (outer) B,  y = state C + D x,  dt = clamp(softplus(dt + bias), dt_min, dt_max)
//           for one token of each sequence   (Dao and Gu 2024, equation 2 with scalar A per head); with GATE y is
//           multiplied by silu(gate)
// Push      shaders/params/ssd_step.h; shapes and types stand there
// Mapping   z: sequence; y: head; a row is one p. LANES invocations share a row and stride over n; an invocation takes
//           ROWS neighbouring rows, so that B and C are loaded once for them; x: WG_SIZE / LANES such bundles
// Constants 0 WG_SIZE  1 X_TYPE  2 Y_TYPE  3 LANES (power of two; with SUBGROUP it is the subgroup and ignored)  4 ROWS
//           (even, <= 4)  5 VECTOR: n a multiple of 4, and B, C and states aligned to 4 elements: 4 n a load  6 GATE
// Needs     SUBGROUP: subgroup arithmetic; without it a tree in shared memory, or nothing where LANES is 1
// Numerics  f32; each invocation sums its n in order, then a tree
// Twin      tests/ref/ref_ssd.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/ssd_step.h"
#include "include/io.glsl"
#include "include/math.glsl"
#ifdef SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const uint LANES = 16;
layout(constant_id = 4) const uint ROWS = 4;
layout(constant_id = 5) const bool VECTOR = false;
layout(constant_id = 6) const bool GATE = false;

#ifdef SUBGROUP
float add_lanes(float value) {
    return subgroupAdd(value);
}
#else
shared float lane_sums[WG_SIZE];

// Sum over the LANES invocations of a row. Every invocation of the workgroup must call.
float add_lanes(float value) {
    if (LANES == 1) return value;
    uint i = gl_LocalInvocationIndex, lane = i % LANES;
    lane_sums[i] = value;
    barrier();
    for (uint width = LANES / 2; width > 0; width /= 2) {
        if (lane < width) lane_sums[i] += lane_sums[i + width];
        barrier();
    }
    float sum = lane_sums[i - lane];
    barrier();
    return sum;
}
#endif

void main() {
#ifdef SUBGROUP
    uint bundle = gl_WorkGroupID.x * gl_NumSubgroups + gl_SubgroupID, lane = gl_SubgroupInvocationID;
    uint lanes = gl_SubgroupSize;
#else
    uint bundle = gl_WorkGroupID.x * (WG_SIZE / LANES) + gl_LocalInvocationIndex / LANES;
    uint lane = gl_LocalInvocationIndex % LANES, lanes = LANES;
#endif
    uint h = gl_WorkGroupID.y, sequence = gl_WorkGroupID.z, p0 = bundle * ROWS;
    uint n_state = params.n_state, n_width = params.n_width;
    uint slot = is_null(params.slots) ? sequence : Words(params.slots).at[sequence];
    Floats heads = Floats(params.heads), states = Floats(params.state);
    float dt = load1(params.dt, X_TYPE, sequence * params.dt_stride + h) + heads.at[params.n_head + h];
    dt = clamp(softplus(dt), params.dt_min, params.dt_max);
    float decay = exp(dt * heads.at[h]);

    uint at_group = sequence * params.x_stride + h / (params.n_head / params.n_group) * n_state;
    uint at_x = sequence * params.x_stride + h * n_width;
    uint at_state[ROWS];
    float x[ROWS], sum[ROWS], gate[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        uint p = min(p0 + r, n_width - 1);
        at_state[r] = slot * params.state_stride + (h * n_width + p) * n_state;
        x[r] = load1(params.x, X_TYPE, at_x + p);
        gate[r] = GATE ? silu(load1(params.gate, X_TYPE, sequence * params.gate_stride + h * n_width + p)) : 1.0;
        sum[r] = 0.0;
    }
    // All loads before the first store: a store might be to what the next load reads, for all the compiler knows.
    if (VECTOR) {
        for (uint n = 4 * lane; n < n_state; n += 4 * lanes) {
            vec4 b = dt * load4(params.b, X_TYPE, at_group + n), c = load4(params.c, X_TYPE, at_group + n), state[ROWS];
            [[unroll]] for (uint r = 0; r < ROWS; r++) state[r] = Floats4(params.state).at[(at_state[r] + n) >> 2];
            [[unroll]] for (uint r = 0; r < ROWS; r++) {
                if (p0 + r >= n_width) break;
                state[r] = fma(vec4(decay), state[r], b * x[r]);
                Floats4(params.state).at[(at_state[r] + n) >> 2] = state[r];
                sum[r] += dot(state[r], c);
            }
        }
    } else {
        for (uint n = lane; n < n_state; n += lanes) {
            float b = dt * load1(params.b, X_TYPE, at_group + n), c = load1(params.c, X_TYPE, at_group + n), state[ROWS];
            [[unroll]] for (uint r = 0; r < ROWS; r++) state[r] = states.at[at_state[r] + n];
            [[unroll]] for (uint r = 0; r < ROWS; r++) {
                if (p0 + r >= n_width) break;
                state[r] = fma(decay, state[r], b * x[r]);
                states.at[at_state[r] + n] = state[r];
                sum[r] = fma(state[r], c, sum[r]);
            }
        }
    }
    float d = heads.at[2 * params.n_head + h];
    [[unroll]] for (uint r = 0; r < ROWS; r += 2) {
        vec2 y = vec2(add_lanes(sum[r]), add_lanes(sum[r + 1]));
        uint p = p0 + r;
        y = fma(vec2(d), vec2(x[r], x[r + 1]), y);
        if (GATE) y *= vec2(gate[r], gate[r + 1]);
        if (lane == 0 && p < n_width)
            store2(params.y, Y_TYPE, sequence * params.y_stride + h * n_width + p, y, p + 1 < n_width);
    }
}

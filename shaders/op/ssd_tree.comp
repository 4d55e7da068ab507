// ssd_tree: the Mamba-2 recurrence along the branches of a tree of T tokens: with S[m] the sum of dt A from the root to m,
//           y[m] = exp(S[m]) C[m] state + sum over m and its ancestors k of (C[m] . B[k]) exp(S[m] - S[k]) dt[k] x[k]
//                  + D x[m]   (Dao and Gu 2024, section 6, steps 1 and 4, with ancestors in place of k <= m)
// Push      shaders/params/ssd_tree.h; shapes and types stand there
// Mapping   x: head; y: sequence. An invocation takes pairs of tokens for the weights, then 2 p for 8 tokens at a time
// Constants 0 WG_SIZE  1 X_TYPE  2 Y_TYPE
// Needs     nothing optional; 5 KiB of shared memory
// Numerics  f32, summed in order of n, then of k
// Twin      tests/ref/ref_ssd_tree.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/ssd_tree.h"
#include "include/io.glsl"
#include "include/math.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 128;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;

const uint MOST = 32, TILE = 8; // tokens; those of an invocation
shared float token_dt[MOST], token_sum[MOST], weight[MOST][MOST];
shared uint path[MOST]; // bit k: k is the token or one of its ancestors

// A parent that does not stand before its token counts as none.
void find_paths(uint sequence, uint h) {
    float a = Floats(params.heads).at[h];
    for (uint t = 0; t < params.n_time; t++) {
        uint parent = is_null(params.parents) ? t - 1 : Words(params.parents).at[sequence * params.n_time + t];
        bool has_parent = parent < t;
        path[t] = (has_parent ? path[parent] : 0) | 1u << t;
        token_sum[t] = fma(token_dt[t], a, has_parent ? token_sum[parent] : 0.0);
    }
}

void find_weight(uint sequence, uint at_group, uint m, uint k) {
    weight[m][k] = 0.0;
    if ((path[m] >> k & 1) == 0) return;
    uint at_c = (sequence * params.n_time + m) * params.x_stride + at_group;
    uint at_b = (sequence * params.n_time + k) * params.x_stride + at_group;
    float product = 0.0;
    for (uint n = 0; n < params.n_state; n++)
        product = fma(load1(params.c, X_TYPE, at_c + n), load1(params.b, X_TYPE, at_b + n), product);
    weight[m][k] = product * exp(min(token_sum[m] - token_sum[k], 0.0)) * token_dt[k];
}

void find_outputs(uint sequence, uint h, uint at_group, uint m0, uint p) {
    uint slot = is_null(params.slots) ? sequence : Words(params.slots).at[sequence], n_time = params.n_time;
    uint last = n_time - 1, second = min(p + 1, params.n_width - 1);
    uint at_state = slot * params.state_stride + h * params.n_width * params.n_state, at_x = h * params.n_width;
    uint row[TILE];
    vec2 sum[TILE];
    [[unroll]] for (uint i = 0; i < TILE; i++) {
        row[i] = sequence * n_time + min(m0 + i, last);
        sum[i] = vec2(0);
    }
    for (uint n = 0; n < params.n_state; n++) {
        vec2 state = vec2(Floats(params.state).at[at_state + p * params.n_state + n],
                          Floats(params.state).at[at_state + second * params.n_state + n]);
        [[unroll]] for (uint i = 0; i < TILE; i++)
            sum[i] = fma(vec2(load1(params.c, X_TYPE, row[i] * params.x_stride + at_group + n)), state, sum[i]);
    }
    [[unroll]] for (uint i = 0; i < TILE; i++) sum[i] *= exp(token_sum[min(m0 + i, last)]);
    for (uint k = 0; k < min(m0 + TILE, n_time); k++) {
        uint at = (sequence * n_time + k) * params.x_stride + at_x;
        vec2 x = vec2(load1(params.x, X_TYPE, at + p), load1(params.x, X_TYPE, at + second));
        [[unroll]] for (uint i = 0; i < TILE; i++) { // an x of another branch may be infinite: not times 0
            uint m = min(m0 + i, last);
            if ((path[m] >> k & 1) != 0) sum[i] = fma(vec2(weight[m][k]), x, sum[i]);
        }
    }
    float d = Floats(params.heads).at[2 * params.n_head + h];
    [[unroll]] for (uint i = 0; i < TILE; i++) {
        if (m0 + i > last) break;
        uint at = row[i] * params.x_stride + at_x;
        vec2 x = vec2(load1(params.x, X_TYPE, at + p), load1(params.x, X_TYPE, at + second));
        store2(params.y, Y_TYPE, row[i] * params.y_stride + at_x + p, fma(vec2(d), x, sum[i]), p + 1 < params.n_width);
    }
}

void main() {
    uint h = gl_WorkGroupID.x, sequence = gl_WorkGroupID.y, n_time = params.n_time;
    uint at_group = h / (params.n_head / params.n_group) * params.n_state;
    float bias = Floats(params.heads).at[params.n_head + h];
    for (uint t = gl_LocalInvocationIndex; t < n_time; t += WG_SIZE) {
        float dt = load1(params.dt, X_TYPE, (sequence * n_time + t) * params.dt_stride + h);
        token_dt[t] = clamp(softplus(dt + bias), params.dt_min, params.dt_max);
    }
    barrier();
    if (gl_LocalInvocationIndex == 0) find_paths(sequence, h);
    barrier();
    for (uint i = gl_LocalInvocationIndex; i < n_time * n_time; i += WG_SIZE)
        find_weight(sequence, at_group, i / n_time, i % n_time);
    barrier();
    uint n_pair = (params.n_width + 1) / 2;
    for (uint i = gl_LocalInvocationIndex; i < (n_time + TILE - 1) / TILE * n_pair; i += WG_SIZE)
        find_outputs(sequence, h, at_group, i / n_pair * TILE, i % n_pair * 2);
}

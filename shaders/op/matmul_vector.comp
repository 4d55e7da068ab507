// matmul_vector: Y[m, n] = sum over k of X[m, k] W[n, k] (+ bias[n]) (+ Y[m, n] with ACCUMULATE), for few rows m. What
//           stands around a product in a step of one token is done on the way:
//           NORM  x is normed first (Zhang and Sennrich 2019): the sum is of norm[k] X[m, k] W[n, k], and is divided by
//                 sqrt(mean of X[m, :]^2 + norm_eps). Every workgroup reads all of x anyway
//           TAPS  some outputs pass a causal convolution along time and SiLU. Each is one channel, whose earlier inputs
//                 nobody else needs: they are read and moved on in place
// Push      shaders/params/matmul.h; shapes and types stand there
// Mapping   a workgroup computes outputs OUTPUTS x ... OUTPUTS x + OUTPUTS - 1 for COLUMNS rows starting at COLUMNS y; its
//           invocations stride over k, 8 weights (16 bytes of a 16-bit type) a load, OUTPUTS UNROLL loads before their
//           use, so that every weight is read once for COLUMNS rows
// Constants 0 WG_SIZE (power of two)  1 X_TYPE  2 W_TYPE  3 Y_TYPE  4 BIAS  5 ACCUMULATE  6 COLUMNS (<= 8)  7 OUTPUTS
//           (even, COLUMNS OUTPUTS at most 2 WG_SIZE)  8 UNROLL  9 NORM  10 TAPS (0: no convolution)  11 WHOLE: K is a multiple of 8
// Needs     SUBGROUP: subgroup arithmetic; without it a tree in shared memory. DOT: packed integer dot products, weights
//           Q8_0 or Q4_0, 16 of them a load; without it products in float32
// Numerics  f32; each invocation sums its k in order, then a tree. The order depends on WG_SIZE and UNROLL only. With DOT
//           the (normed) input is rounded to codes of 8 bits, 16 values to a scale (include/dot.glsl)
// Twin      tests/ref/ref_matmul.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/matmul.h"
#include "include/io.glsl"
#include "include/math.glsl"
#include "include/weights.glsl"
#ifdef DOT
#include "include/dot.glsl"
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint W_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 4) const bool BIAS = false;
layout(constant_id = 5) const bool ACCUMULATE = false;
layout(constant_id = 6) const uint COLUMNS = 1;
layout(constant_id = 7) const uint OUTPUTS = 2;
layout(constant_id = 8) const uint UNROLL = 1;
layout(constant_id = 9) const bool NORM = false;
layout(constant_id = 10) const uint TAPS = 0;
layout(constant_id = 11) const bool WHOLE = false;

// A workgroup's sums: OUTPUTS for each of COLUMNS rows, then the rows' sums of squares.
const uint SUMS = COLUMNS * OUTPUTS + (NORM ? COLUMNS : 0);
const uint N_TAP = TAPS > 0 ? TAPS : 1, LAST_TAP = N_TAP - 1;

#include "include/row_sums.glsl"

// Weights k ... k+7 of a row; rows are padded with zeros to multiples of 8.
void load_w(uint n, uint k, out vec4 low, out vec4 high, out float scale) {
    load_weights8(params.w, W_TYPE, weight_row(n, params.w_stride), k, params.n_in, low, high, scale);
}

// Branches around loads would keep them apart: where k is outside, something else of the row is loaded and dropped.
vec4 load_x(uint m, uint k, bool inside) {
    vec4 x = load4(params.x, X_TYPE, m * params.x_stride + (inside ? k : 0));
    if (WHOLE) return mix(vec4(0), x, bvec4(inside));
    return mix(vec4(0), x, lessThan(k + uvec4(0, 1, 2, 3), uvec4(params.n_in)));
}

vec4 load_norm(uint k, bool inside) {
    if (WHOLE) return Floats4(params.norm).at[(inside ? k : 0) >> 2];
    uvec4 at = min(k + uvec4(0, 1, 2, 3), uvec4(params.n_in - 1));
    Floats norm = Floats(params.norm);
    return vec4(norm.at[at.x], norm.at[at.y], norm.at[at.z], norm.at[at.w]);
}

// sum + the dot product, in order: the same bits wherever it stands.
float add_dot(float sum, vec4 a, vec4 b) {
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

// What an output needs besides its sum is loaded ahead of the product, so that nobody waits for it behind. Of an invocation's
// two outputs, and of their channels of the convolution:
vec2 held = vec2(0), conv_bias = vec2(0), taps[N_TAP], earlier[N_TAP];
bvec2 convolved = bvec2(false);
uint state_at = 0; // of the first channel in the convolution's state, which may lie before it

void load_rest(uint m, uint n, bool both) {
    uint n_second = both ? n + 1 : n;
    if (BIAS) held = vec2(Floats(params.bias).at[n], Floats(params.bias).at[n_second]);
    if (ACCUMULATE) {
        uint at = m * params.y_stride;
        held += vec2(load1(params.y, Y_TYPE, at + n), load1(params.y, Y_TYPE, at + n_second));
    }
    if (TAPS == 0) return;
    uvec2 c = uvec2(n, n_second) - params.conv_first;
    convolved = lessThan(c, uvec2(params.n_conv)); // an output before the first channel gives a huge number
    c = mix(uvec2(0), c, convolved);
    uint slot = is_null(params.slots) ? m : Words(params.slots).at[m];
    state_at = slot * params.conv_state_stride;
    Floats weights = Floats(params.conv_weight), state = Floats(params.conv_state);
    if (!is_null(params.conv_bias)) conv_bias = vec2(Floats(params.conv_bias).at[c.x], Floats(params.conv_bias).at[c.y]);
    [[unroll]] for (uint j = 0; j < TAPS; j++) {
        uint row = j * params.n_conv;
        taps[j] = vec2(weights.at[row + c.x], weights.at[row + c.y]);
        if (j + 1 < TAPS) earlier[j] = vec2(state.at[state_at + row + c.x], state.at[state_at + row + c.y]);
    }
}

// The output of a channel, given its newest input (Gu and Dao 2023, section 3.4); summed as conv1d_step does.
float convolve(uint c, uint e, float newest) {
    float sum = conv_bias[e];
    [[unroll]] for (uint j = 0; j + 1 < TAPS; j++) sum = fma(taps[j][e], earlier[j][e], sum);
    sum = fma(taps[LAST_TAP][e], newest, sum);
    [[unroll]] for (uint j = 0; j + 1 < TAPS; j++)
        Floats(params.conv_state).at[state_at + j * params.n_conv + c] = j + 2 < TAPS ? earlier[j + 1][e] : newest;
    return silu(sum);
}

float sum[COLUMNS * OUTPUTS], square[COLUMNS];

#ifdef DOT
void multiply(uint n0, uint m0) {
    for (uint k0 = 16 * gl_LocalInvocationIndex; k0 < params.n_in; k0 += 16 * WG_SIZE * UNROLL) {
        uvec4 codes[UNROLL * OUTPUTS];
        float scale[UNROLL * OUTPUTS];
        [[unroll]] for (uint u = 0; u < UNROLL; u++) {
            uint k = k0 + 16 * WG_SIZE * u;
            k = k < params.n_in ? k : 0; // outside, these weights meet zeros of x
            [[unroll]] for (uint o = 0; o < OUTPUTS; o++) {
                uint row = weight_row(min(n0 + o, params.n_out - 1), params.w_stride);
                codes[u * OUTPUTS + o] = load_codes(params.w, W_TYPE, row, k);
                scale[u * OUTPUTS + o] = load_code_scale(params.w, W_TYPE, row, k, params.n_in);
            }
        }
        [[unroll]] for (uint u = 0; u < UNROLL; u++) {
            uint k = k0 + 16 * WG_SIZE * u;
            bool inside = k < params.n_in;
            [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
                uint at = min(m0 + c, params.n_row - 1) * params.x_stride + (inside ? k : 0);
                Slice slice = load_slice(params.x, X_TYPE, at, params.norm, NORM, inside ? k : 0, W_TYPE, inside, square[c]);
                [[unroll]] for (uint o = 0; o < OUTPUTS; o++)
                    sum[c * OUTPUTS + o] += dot_slice(W_TYPE, codes[u * OUTPUTS + o], scale[u * OUTPUTS + o], slice);
            }
        }
    }
}
#else
void multiply(uint n0, uint m0) {
    for (uint k0 = 8 * gl_LocalInvocationIndex; k0 < params.n_in; k0 += 8 * WG_SIZE * UNROLL) {
        vec4 low[UNROLL * OUTPUTS], high[UNROLL * OUTPUTS];
        float scale[UNROLL * OUTPUTS];
        [[unroll]] for (uint u = 0; u < UNROLL; u++) {
            uint k = k0 + 8 * WG_SIZE * u;
            k = k < params.n_in ? k : 0; // outside, these weights meet zeros of x
            [[unroll]] for (uint o = 0; o < OUTPUTS; o++)
                load_w(min(n0 + o, params.n_out - 1), k, low[u * OUTPUTS + o], high[u * OUTPUTS + o],
                       scale[u * OUTPUTS + o]);
        }
        [[unroll]] for (uint u = 0; u < UNROLL; u++) {
            uint k = k0 + 8 * WG_SIZE * u;
            bool inside = k < params.n_in;
            vec4 norm_low = vec4(1), norm_high = vec4(1);
            if (NORM) {
                norm_low = load_norm(k, inside);
                norm_high = load_norm(k + 4, inside);
            }
            [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
                uint m = min(m0 + c, params.n_row - 1);
                vec4 x_low = load_x(m, k, inside), x_high = load_x(m, k + 4, inside);
                if (NORM) {
                    square[c] = add_dot(add_dot(square[c], x_low, x_low), x_high, x_high);
                    x_low *= norm_low;
                    x_high *= norm_high;
                }
                [[unroll]] for (uint o = 0; o < OUTPUTS; o++) {
                    uint i = c * OUTPUTS + o, w = u * OUTPUTS + o;
                    if (is_block_type(W_TYPE)) // scaled once, not each weight
                        sum[i] = fma(scale[w], add_dot(add_dot(0.0, low[w], x_low), high[w], x_high), sum[i]);
                    else
                        sum[i] = add_dot(add_dot(sum[i], low[w], x_low), high[w], x_high);
                }
            }
        }
    }
}
#endif

void main() {
    uint n0 = OUTPUTS * gl_WorkGroupID.x, m0 = COLUMNS * gl_WorkGroupID.y;
    // Invocation i finishes outputs 2 i and 2 i + 1.
    uint mine = 2 * gl_LocalInvocationIndex, m_mine = m0 + mine / OUTPUTS, n_mine = n0 + mine % OUTPUTS;
    bool finishes = mine < COLUMNS * OUTPUTS && m_mine < params.n_row && n_mine < params.n_out;
    bool both = n_mine + 1 < params.n_out;
    [[unroll]] for (uint j = 0; j < N_TAP; j++) taps[j] = earlier[j] = vec2(0);
    if (finishes) load_rest(m_mine, n_mine, both);

    [[unroll]] for (uint i = 0; i < COLUMNS * OUTPUTS; i++) sum[i] = 0.0;
    [[unroll]] for (uint c = 0; c < COLUMNS; c++) square[c] = 0.0;
    multiply(n0, m0);

    [[unroll]] for (uint i = 0; i < COLUMNS * OUTPUTS; i++) add_up(i, sum[i]);
    if (NORM)
        [[unroll]] for (uint c = 0; c < COLUMNS; c++) add_up(COLUMNS * OUTPUTS + c, square[c]);
    barrier();

    if (!finishes) return;
    vec2 y = vec2(total(mine), total(mine + 1));
    if (NORM) y *= inversesqrt(total(COLUMNS * OUTPUTS + mine / OUTPUTS) / float(params.n_in) + params.norm_eps);
    if (TAPS > 0) {
        if (BIAS) y += held;
        uint c = n_mine - params.conv_first;
        if (convolved.x) y.x = convolve(c, 0, y.x);
        if (convolved.y && both) y.y = convolve(c + 1, 1, y.y);
    } else {
        y += held;
    }
    store2(params.y, Y_TYPE, m_mine * params.y_stride + n_mine, y, both);
}

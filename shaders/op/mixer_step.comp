// mixer_step: in_proj of the normed input, convolution, recurrence and gate of a Mamba-2 mixer (Dao and Gu 2024, section 7)
//           for one token of one sequence, in one dispatch: as matmul with norm and convolution, then ssd_step with GATE
// Push      shaders/params/mixer_step.h; shapes and types stand there
// Mapping   a workgroup computes outputs of in_proj as matmul_vector does. The first ones compute B, C and dt of all heads,
//           PUBLISHED of them each, and publish them: a word is 0 until its value is there, so relaxed atomics are enough.
//           Each of the others has UNIT rows of x and the same of the gate, and goes on with their states, which it loaded
//           at the start, as soon as it finds B, C and dt. It looks TURNS times and then leaves its unit to the last
//           workgroup that publishes: nobody waits for long, and no order or progress of workgroups is relied on
// Constants 0 WG_SIZE (power of two, a multiple of UNIT)  1 W_TYPE  2 N_HEAD  3 WIDTH (a multiple of UNIT)  4 N_GROUP  5 N_STATE
//           (a multiple of 4)  6 TAPS (>= 2)  7 UNIT  8 UNROLL  9 TURNS  10 LATE: those that publish are the last ones (tests)
//           11 PUBLISHED (2 UNIT or more)
// Needs     SUBGROUP: subgroup arithmetic; without it a tree in shared memory. DOT: packed integer dot products, weights
//           Q8_0 or Q4_0; without it products in float32
// Numerics  f32; each invocation sums its k in order, then a tree. With DOT the normed input is rounded to codes of 8 bits,
//           16 values to a scale (include/dot.glsl). Who computes a unit changes no bits
// Twin      tests/ref/ref_mixer_step.c
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_memory_scope_semantics : require
#include "params/mixer_step.h"
#include "include/io.glsl"
#include "include/math.glsl"
#include "include/weights.glsl"
#ifdef DOT
#include "include/dot.glsl"
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint W_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint N_HEAD = 1;
layout(constant_id = 3) const uint WIDTH = 64;
layout(constant_id = 4) const uint N_GROUP = 1;
layout(constant_id = 5) const uint N_STATE = 128;
layout(constant_id = 6) const uint TAPS = 4;
layout(constant_id = 7) const uint UNIT = 8;
layout(constant_id = 8) const uint UNROLL = 1;
layout(constant_id = 9) const uint TURNS = 256;
layout(constant_id = 10) const bool LATE = false;
layout(constant_id = 11) const uint PUBLISHED = 16;

const uint OUTPUTS = PUBLISHED, SUMS = OUTPUTS + 1; // of a unit 2 UNIT count
const uint N_INNER = N_HEAD * WIDTH, N_UNIT = N_INNER / UNIT, N_BC = N_GROUP * N_STATE, N_CONV = N_INNER + 2 * N_BC;
const uint N_COMMON = 2 * N_BC + N_HEAD, N_PUBLISHER = (N_COMMON + OUTPUTS - 1) / OUTPUTS;
const uint PUBLISHED_AT = N_COMMON, LEFT_AT = N_COMMON + 1, MARKS_AT = N_COMMON + 2; // in params.words
const uint CLOSED = 0x80000000u;           // of the counter of units left: whoever comes later is alone
const uint MARK_LEFT = 1u, MARK_TAKEN = 2u; // of a unit
const uint LANES = WG_SIZE / UNIT, CELLS = (N_STATE + 4 * LANES - 1) / (4 * LANES);

#include "include/row_sums.glsl"

shared float values[2 * UNIT]; // of the unit: x, then the gate with its SiLU
shared float common_values[2 * N_STATE + 1]; // of the unit's group and head: B, C, dt
shared float row_sums[WG_SIZE];
shared uint told; // by one invocation to all

bool publishes;
uint first; // publishing: the first of N_COMMON outputs; else the unit's first row, of N_INNER
uint lane_row, lane, slot;
vec4 cells[CELLS]; // of the state of row lane_row

uint output_of(uint o) {
    if (publishes) return 2 * N_INNER + min(first + o, N_COMMON - 1);
    return o < UNIT ? N_INNER + first + o : first + min(o, 2 * UNIT - 1) - UNIT;
}

#include "include/mixer_unit.glsl"

// ---- in_proj ---------------------------------------------------------------------------------------------------------------

float sum[OUTPUTS], square = 0.0;

#ifdef DOT
void multiply(uint rows[OUTPUTS]) {
    for (uint k0 = 16 * gl_LocalInvocationIndex; k0 < params.n_in; k0 += 16 * WG_SIZE * UNROLL) {
        uvec4 codes[UNROLL * OUTPUTS];
        float scale[UNROLL * OUTPUTS];
        [[unroll]] for (uint u = 0; u < UNROLL; u++) {
            uint k = k0 + 16 * WG_SIZE * u;
            k = k < params.n_in ? k : 0; // outside, these weights meet zeros of x
            [[unroll]] for (uint o = 0; o < OUTPUTS; o++) {
                codes[u * OUTPUTS + o] = load_codes(params.w, W_TYPE, rows[o], k);
                scale[u * OUTPUTS + o] = load_code_scale(params.w, W_TYPE, rows[o], k, params.n_in);
            }
        }
        [[unroll]] for (uint u = 0; u < UNROLL; u++) {
            uint k = k0 + 16 * WG_SIZE * u;
            bool inside = k < params.n_in;
            k = inside ? k : 0;
            Slice slice = load_slice(params.x, VKS_TYPE_F32, k, params.norm, true, k, W_TYPE, inside, square);
            [[unroll]] for (uint o = 0; o < OUTPUTS; o++)
                sum[o] += dot_slice(W_TYPE, codes[u * OUTPUTS + o], scale[u * OUTPUTS + o], slice);
        }
    }
}
#else
float add_dot(float sum, vec4 a, vec4 b) {
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

void multiply(uint rows[OUTPUTS]) {
    for (uint k0 = 8 * gl_LocalInvocationIndex; k0 < params.n_in; k0 += 8 * WG_SIZE * UNROLL) {
        vec4 low[UNROLL * OUTPUTS], high[UNROLL * OUTPUTS];
        float scale[UNROLL * OUTPUTS];
        [[unroll]] for (uint u = 0; u < UNROLL; u++) {
            uint k = k0 + 8 * WG_SIZE * u;
            k = k < params.n_in ? k : 0; // outside, these weights meet zeros of x
            [[unroll]] for (uint o = 0; o < OUTPUTS; o++)
                load_weights8(params.w, W_TYPE, rows[o], k, params.n_in, low[u * OUTPUTS + o], high[u * OUTPUTS + o],
                              scale[u * OUTPUTS + o]);
        }
        [[unroll]] for (uint u = 0; u < UNROLL; u++) {
            uint k = k0 + 8 * WG_SIZE * u, at = (k < params.n_in ? k : 0) >> 2;
            bvec4 inside = bvec4(k < params.n_in);
            vec4 x_low = mix(vec4(0), Floats4(params.x).at[at], inside);
            vec4 x_high = mix(vec4(0), Floats4(params.x).at[at + 1], inside);
            square = add_dot(add_dot(square, x_low, x_low), x_high, x_high);
            x_low *= Floats4(params.norm).at[at];
            x_high *= Floats4(params.norm).at[at + 1];
            [[unroll]] for (uint o = 0; o < OUTPUTS; o++) {
                uint w = u * OUTPUTS + o;
                if (is_block_type(W_TYPE)) // scaled once, not each weight
                    sum[o] = fma(scale[w], add_dot(add_dot(0.0, low[w], x_low), high[w], x_high), sum[o]);
                else
                    sum[o] = add_dot(add_dot(sum[o], low[w], x_low), high[w], x_high);
            }
        }
    }
}
#endif

// What an output's channel of the convolution needs besides its newest input.
float taps[TAPS], earlier[TAPS], conv_bias = 0.0;

void load_taps(uint c) {
    uint at = slot * params.conv_state_stride + c;
    [[unroll]] for (uint j = 0; j < TAPS; j++) {
        taps[j] = Floats(params.conv_weight).at[j * N_CONV + c];
        earlier[j] = j + 1 < TAPS ? Floats(params.conv_state).at[at + j * N_CONV] : 0.0;
    }
    if (!is_null(params.conv_bias)) conv_bias = Floats(params.conv_bias).at[c];
}

// The output of channel c, given its newest input (Gu and Dao 2023, section 3.4); summed as conv1d_step does.
float convolve(uint c, float newest) {
    float y = conv_bias;
    [[unroll]] for (uint j = 0; j + 1 < TAPS; j++) y = fma(taps[j], earlier[j], y);
    y = fma(taps[TAPS - 1], newest, y);
    uint at = slot * params.conv_state_stride + c;
    [[unroll]] for (uint j = 0; j + 1 < TAPS; j++)
        Floats(params.conv_state).at[at + j * N_CONV] = j + 2 < TAPS ? earlier[j + 1] : newest;
    return silu(y);
}

void main() {
    uint i = gl_LocalInvocationIndex, group = gl_WorkGroupID.x;
    if (LATE) group = group < N_UNIT ? N_PUBLISHER + group : group - N_UNIT;
    publishes = group < N_PUBLISHER;
    first = publishes ? OUTPUTS * group : UNIT * (group - N_PUBLISHER);
    lane_row = i / LANES;
    lane = i % LANES;
    slot = is_null(params.slots) ? 0 : Words(params.slots).at[0];

    // What is needed behind the product is loaded ahead of it.
    bool finishes = publishes ? i < OUTPUTS && first + i < N_COMMON : i < 2 * UNIT;
    uint c = output_of(i < OUTPUTS ? i : 0) - N_INNER; // of the gate: a huge number
    bool convolved = finishes && c < N_CONV;
    [[unroll]] for (uint j = 0; j < TAPS; j++) taps[j] = earlier[j] = 0.0;
    [[unroll]] for (uint j = 0; j < CELLS; j++) cells[j] = vec4(0);
    if (convolved) load_taps(c);
    if (!publishes) load_cells();

    uint rows[OUTPUTS];
    [[unroll]] for (uint o = 0; o < OUTPUTS; o++) {
        rows[o] = weight_row(output_of(o), params.w_stride);
        sum[o] = 0.0;
    }
    multiply(rows);
    [[unroll]] for (uint o = 0; o < OUTPUTS; o++) add_up(o, sum[o]);
    add_up(OUTPUTS, square);
    barrier();

    if (finishes) {
        float value = total(i) * inversesqrt(total(OUTPUTS) / float(params.n_in) + params.norm_eps);
        if (convolved) value = convolve(c, value);
        if (publishes) {
            uint bits = floatBitsToUint(value); // a zero goes as minus zero
            atomicStore(Words(params.words).at[first + i], bits == 0 ? 0x80000000u : bits, gl_ScopeDevice, 0,
                        gl_SemanticsRelaxed);
        } else {
            values[i] = i < UNIT ? value : silu(value);
        }
    }
    if (publishes) {
        take_units();
        return;
    }
    uint h = first / WIDTH;
    bool found = false;
    for (uint turn = 0; turn < TURNS && !found; turn++) found = find_common(h);
    if (!found) {
        if (!leave_unit()) return;
        find_common(h);
    }
    advance(h);
}

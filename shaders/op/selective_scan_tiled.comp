// selective_scan_tiled: selective_scan by lanes that own some states of a channel and walk through time together; inputs
//                       pass through shared memory by tiles of TILE tokens (recurrence: Gu and Dao 2023, algorithm 2)
// Push      shaders/params/selective_scan_params.h; shapes and types stand there
// Mapping   x: WG_SIZE / LANES channels; a channel's LANES neighbouring lanes have N / LANES states each. y: segment of
//           time; z: sequence. With REDUCE a segment's states from zero, and its sum of dt, go to `segments` (the first
//           segment starts from the given state, which is copied behind them); without it they are joined again:
//           h = exp(A sum of dt) h + own
// Constants include/selective.glsl, 7 LANES (power of two, WG_SIZE / LANES even)  8 TILE (a power of two from 4)
//           9 POLY: of a lane's exponentials of 4 tokens so many are polynomials, to spare the special function unit
//           10 UNROLL: groups of 4 tokens whose code is written out; divides TILE / 4  11 FULL: full tiles have code of their own
// Needs     SUBGROUP: subgroup shuffles and full subgroups of at least LANES; without it sums pass through shared memory
// Numerics  f32; y is summed over a lane's states in order, then over lanes
// Twin      tests/ref/ref_selective_scan.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/selective_scan_params.h"
#include "params/selective_flags.h"
#include "include/io.glsl"
#include "include/math.glsl"
#include "include/selective.glsl"
#ifdef SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
layout(constant_id = 7) const uint LANES = 8;
layout(constant_id = 8) const uint TILE = 32;
layout(constant_id = 9) const uint POLY = 0;
layout(constant_id = 10) const uint UNROLL = 1;
layout(constant_id = 11) const bool FULL = false;

const bool REDUCE = (FLAGS & VKS_SELECTIVE_REDUCE) != 0;
const uint CHANNELS = WG_SIZE / LANES, STATES = (N + LANES - 1) / LANES;
const uint QUADS = TILE / 4, ROW = QUADS + 1; // vectors of 4 tokens; one more a row, against bank conflicts
// What an invocation prepares is pairs of neighbours (channels, or states of B and C) at 4 tokens.
const uint N_ITEM = QUADS * CHANNELS / 2, ITEMS = (N_ITEM + WG_SIZE - 1) / WG_SIZE;
const uint PAIRS = (N + 1) / 2, N_BC_ITEM = 2 * QUADS * PAIRS, BC_ITEMS = (N_BC_ITEM + WG_SIZE - 1) / WG_SIZE;
#ifdef SUBGROUP
shared float s_y[CHANNELS * ROW * 4];
#else
shared vec4 s_y[WG_SIZE * ROW]; // each lane's own
#endif
shared vec4 s_dt[CHANNELS * ROW], s_dtx[CHANNELS * ROW];
shared vec4 s_b[STATES * LANES * ROW], s_c[STATES * LANES * ROW];

uint begin, end;                             // steps of the segment, counted from the sequence's start
uint first_row, n_step;                      // of the sequence
uvec2 next_x[4 * ITEMS], next_dt[4 * ITEMS], next_z[4 * ITEMS], next_bc[4 * BC_ITEMS]; // of the next tile, as loaded
uvec2 x[4 * ITEMS], z[4 * ITEMS];                                                      // of this one

uvec2 load_raw(uvec2 address, uint i, bool both) {
    if (X_TYPE == VKS_TYPE_F32) return uvec2(Words(address).at[i], Words(address).at[both ? i + 1 : i]);
    return uvec2(Words(address).at[i >> 1], 0);
}
vec2 unpack_raw(uvec2 raw) {
    return X_TYPE == VKS_TYPE_F32 ? uintBitsToFloat(raw) : unpack_pair(X_TYPE, raw.x);
}

// Row of step p; past the segment's end, which a `full` tile does not reach, its last one.
uint row_of(uint p, bool full) {
    if (!full) p = min(p, end - 1);
    return first_row + (REVERSE ? n_step - 1 - p : p);
}
// Item k of this invocation: 4 tokens and a pair of channels of the tile. Past the last one: that of another invocation.
bool has_item(uint i, uint k) {
    return N_ITEM % WG_SIZE == 0 || i + k * WG_SIZE < N_ITEM;
}
uint quad_of(uint i, uint k) {
    uint quad = (i + k * WG_SIZE) / (CHANNELS / 2);
    return N_ITEM % WG_SIZE == 0 ? quad : min(quad, QUADS - 1);
}
uint pair_of(uint i, uint k) {
    return (i + k * WG_SIZE) % (CHANNELS / 2);
}
uint channel_of(uint first, uint pair) {
    return min(first + 2 * pair, (D - 1) & ~1u);
}

void load_tile(uint i, uint tile, uint first, bool full) {
    uint group = first / (D / G) * N;
    [[unroll]] for (uint k = 0; k < ITEMS; k++) {
        uint t = tile + 4 * quad_of(i, k), d = channel_of(first, pair_of(i, k));
        bool both = d + 1 < D;
        [[unroll]] for (uint e = 0; e < 4; e++) {
            uint row = row_of(t + e, full);
            next_x[4 * k + e] = load_raw(params.x, row * params.x_stride + d, both);
            next_dt[4 * k + e] = load_raw(params.dt, row * params.dt_stride + d, both);
            if (GATE && !REDUCE) next_z[4 * k + e] = load_raw(params.gate, row * params.gate_stride + d, both);
        }
    }
    [[unroll]] for (uint k = 0; k < BC_ITEMS; k++) {
        uint item = min(i + k * WG_SIZE, N_BC_ITEM - 1), n = item % PAIRS * 2, t = tile + item / PAIRS % QUADS * 4;
        uvec2 base = item >= N_BC_ITEM / 2 ? params.c : params.b;
        [[unroll]] for (uint e = 0; e < 4; e++)
            next_bc[4 * k + e] = load_raw(base, row_of(t + e, full) * params.bc_stride + group + n, n + 1 < N);
    }
}

// What was loaded, to shared memory: dt and dt x by channel, B and C by state, 4 tokens a vector.
void place_tile(uint i, uint tile, uint first, bool full) {
    Floats channels = Floats(params.channels);
    [[unroll]] for (uint k = 0; k < ITEMS; k++) {
        uint quad = quad_of(i, k), pair = pair_of(i, k), d = channel_of(first, pair);
        vec2 bias = vec2(channels.at[d], channels.at[min(d + 1, D - 1)]);
        vec4 dt0, dt1, dtx0, dtx1;
        [[unroll]] for (uint e = 0; e < 4; e++) {
            x[4 * k + e] = next_x[4 * k + e];
            if (GATE && !REDUCE) z[4 * k + e] = next_z[4 * k + e];
            vec2 dt = unpack_raw(next_dt[4 * k + e]) + bias, u = unpack_raw(x[4 * k + e]);
            bool inside = full || tile + 4 * quad + e < end; // past the end nothing moves
            dt0[e] = inside ? time_step(dt.x) : 0.0;
            dt1[e] = inside ? time_step(dt.y) : 0.0;
            dtx0[e] = inside ? dt0[e] * u.x : 0.0;
            dtx1[e] = inside ? dt1[e] * u.y : 0.0;
        }
        if (!has_item(i, k)) continue;
        uint at = 2 * pair * ROW + quad;
        s_dt[at] = dt0;
        s_dt[at + ROW] = dt1;
        s_dtx[at] = dtx0;
        s_dtx[at + ROW] = dtx1;
    }
    [[unroll]] for (uint k = 0; k < BC_ITEMS; k++) {
        uint item = i + k * WG_SIZE, n = item % PAIRS * 2, at = n * ROW + item / PAIRS % QUADS;
        vec4 first_state, second_state;
        [[unroll]] for (uint e = 0; e < 4; e++) {
            vec2 pair = unpack_raw(next_bc[4 * k + e]);
            first_state[e] = pair.x;
            second_state[e] = pair.y;
        }
        if (item < N_BC_ITEM / 2) {
            s_b[at] = first_state;
            if (n + 1 < N) s_b[at + ROW] = second_state;
        } else if (item < N_BC_ITEM) {
            s_c[at] = first_state;
            if (n + 1 < N) s_c[at + ROW] = second_state;
        }
    }
}

// Sum over the lanes of a channel of 4 tokens' parts, to shared memory.
void put_sums(uint channel, uint lane, uint quad, vec4 part) {
#ifdef SUBGROUP
    uint at = (channel * ROW + quad) * 4;
    if (LANES == 1) {
        [[unroll]] for (uint e = 0; e < 4; e++) s_y[at + e] = part[e];
        return;
    }
    // Halves are exchanged, so that in the end each lane has summed one token.
    bool odd = (lane & 1) != 0;
    vec2 pair = odd ? part.zw : part.xy;
    pair += subgroupShuffleXor(odd ? part.xy : part.zw, 1);
    if (LANES == 2) {
        s_y[at + (odd ? 2 : 0)] = pair.x;
        s_y[at + (odd ? 3 : 1)] = pair.y;
        return;
    }
    bool second = (lane & 2) != 0;
    float one = second ? pair.y : pair.x;
    one += subgroupShuffleXor(second ? pair.x : pair.y, 2);
    [[unroll]] for (uint width = 4; width < LANES; width *= 2) one += subgroupShuffleXor(one, width);
    if (lane < 4) s_y[at + (lane & 1) * 2 + (lane >> 1)] = one;
#else
    s_y[(channel * LANES + lane) * ROW + quad] = part;
#endif
}
vec4 sums_of(uint channel, uint quad) {
#ifdef SUBGROUP
    uint at = (channel * ROW + quad) * 4;
    return vec4(s_y[at], s_y[at + 1], s_y[at + 2], s_y[at + 3]);
#else
    vec4 sum = vec4(0);
    for (uint lane = 0; lane < LANES; lane++) sum += s_y[(channel * LANES + lane) * ROW + quad];
    return sum;
#endif
}

void store_tile(uint i, uint tile, uint first, bool full) {
    Floats channels = Floats(params.channels);
    [[unroll]] for (uint k = 0; k < ITEMS; k++) {
        uint quad = quad_of(i, k), pair = pair_of(i, k), d = channel_of(first, pair), t = tile + 4 * quad;
        if (!has_item(i, k) || first + 2 * pair >= D) continue;
        vec2 skip = vec2(channels.at[D + d], channels.at[D + min(d + 1, D - 1)]), y[4];
        vec4 sum0 = sums_of(2 * pair, quad), sum1 = sums_of(2 * pair + 1, quad);
        [[unroll]] for (uint e = 0; e < 4; e++) {
            y[e] = fma(skip, unpack_raw(x[4 * k + e]), vec2(sum0[e], sum1[e]));
            if (GATE) {
                vec2 gate = unpack_raw(z[4 * k + e]);
                y[e] *= vec2(silu(gate.x), silu(gate.y));
            }
            if (ADD) y[e] += load2(params.y, Y_TYPE, row_of(t + e, full) * params.y_stride + d, d + 1 < D);
        }
        [[unroll]] for (uint e = 0; e < 4; e++)
            if (full || t + e < end) store2(params.y, Y_TYPE, row_of(t + e, full) * params.y_stride + d, y[e], d + 1 < D);
    }
}

// Where segment s of this sequence has its state and its sum of dt.
uint segment_state(uint s) {
    return (gl_WorkGroupID.z * params.n_segment + s) * D * N;
}
uint segment_sum(uint s) {
    return gl_NumWorkGroups.z * params.n_segment * D * N + (gl_WorkGroupID.z * params.n_segment + s) * D;
}

float given_state(uint at_state, uint d, uint n) {
    return is_null(params.state) ? 0.0 : Floats(params.state).at[at_state + d * N + n];
}

// State n of channel d before the segment.
float state_before(uint segment, uint at_state, uint d, uint n, float a) {
    Floats segments = Floats(params.segments);
    if (params.n_segment == 1) return given_state(at_state, d, n);
    if (REDUCE) return segment == 0 ? given_state(at_state, d, n) : 0.0;
    if (segment == 0) return segments.at[segment_state(params.n_segment - 1) + d * N + n];
    float h = segments.at[segment_state(0) + d * N + n];
    for (uint s = 1; s < segment; s++)
        h = fma(exp2(segments.at[segment_sum(s) + d] * a), h, segments.at[segment_state(s) + d * N + n]);
    return h;
}

void main() {
#ifdef SUBGROUP
    uint i = gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID;
#else
    uint i = gl_LocalInvocationIndex;
#endif
    uint channel = i / LANES, lane = i % LANES, first = gl_WorkGroupID.x * CHANNELS;
    uint sequence = gl_WorkGroupID.z, segment = gl_WorkGroupID.y, at_state = slot_of(sequence) * params.state_stride;
    first_row = PACKED ? min(Words(params.offsets).at[sequence], params.n_time) : sequence * params.n_time;
    uint last_row = PACKED ? min(Words(params.offsets).at[sequence + 1], params.n_time) : first_row + params.n_time;
    n_step = last_row > first_row ? last_row - first_row : 0;
    uint length = (n_step + params.n_segment - 1) / params.n_segment;
    length = (length + TILE - 1) / TILE * TILE;
    begin = min(segment * length, n_step);
    end = min(begin + length, n_step);

    uint d = min(first + channel, D - 1);
    float h[STATES], a[STATES], dt_sum = 0.0;
    [[unroll]] for (uint s = 0; s < STATES; s++) {
        uint n = s * LANES + lane;
        a[s] = LOG2_E * Floats(params.a).at[d * N + min(n, N - 1)];
        h[s] = n < N ? state_before(segment, at_state, d, n, a[s]) : 0.0;
    }
    if (REDUCE && segment == 0 && first + channel < D)
        [[unroll]] for (uint s = 0; s < STATES; s++)
            if (s * LANES + lane < N)
                Floats(params.segments).at[segment_state(params.n_segment - 1) + d * N + s * LANES + lane] = h[s];
    for (uint k = N * ROW + i; k < STATES * LANES * ROW; k += WG_SIZE) s_b[k] = s_c[k] = vec4(0); // states past the last

    if (begin < end) load_tile(i, begin, first, false);
    for (uint tile = begin; tile < end; tile += TILE) {
        bool full = FULL && tile + TILE <= end;
        if (full)
            place_tile(i, tile, first, true);
        else
            place_tile(i, tile, first, false);
        barrier();
        if (FULL && tile + 2 * TILE <= end)
            load_tile(i, tile + TILE, first, true);
        else if (tile + TILE < end)
            load_tile(i, tile + TILE, first, false);
        [[dont_unroll]] for (uint quad0 = 0; quad0 < QUADS; quad0 += UNROLL) {
            [[unroll]] for (uint q = 0; q < UNROLL; q++) {
                uint quad = quad0 + q;
                vec4 dt = s_dt[channel * ROW + quad], dtx = s_dtx[channel * ROW + quad], y = vec4(0);
                if (REDUCE) dt_sum += (dt.x + dt.y) + (dt.z + dt.w);
                [[unroll]] for (uint s = 0; s < STATES; s++) {
                    uint at = (s * LANES + lane) * ROW + quad;
                    vec4 b = dtx * s_b[at], decay = dt * a[s], c = vec4(0);
                    if (!REDUCE) c = s_c[at];
                    [[unroll]] for (uint e = 0; e < 4; e++) {
                        float factor = 4 * s + e < POLY ? exp2_polynomial(decay[e]) : exp2(decay[e]);
                        h[s] = fma(factor, h[s], b[e]);
                        if (!REDUCE) y[e] = fma(h[s], c[e], y[e]);
                    }
                }
                if (!REDUCE) put_sums(channel, lane, quad, y);
            }
        }
        barrier();
        if (REDUCE) continue;
        if (full)
            store_tile(i, tile, first, true);
        else
            store_tile(i, tile, first, false);
    }

    if (first + channel >= D) return;
    bool is_last = segment == params.n_segment - 1;
    [[unroll]] for (uint s = 0; s < STATES; s++) {
        uint n = s * LANES + lane;
        if (n >= N) continue;
        if (REDUCE)
            Floats(params.segments).at[segment_state(segment) + d * N + n] = h[s];
        else if (is_last && !is_null(params.state))
            Floats(params.state).at[at_state + d * N + n] = h[s];
    }
    if (REDUCE && lane == 0) Floats(params.segments).at[segment_sum(segment) + d] = dt_sum;
}

// selective_scan_tiled: selective_scan by lanes that own some states of a channel and walk through time together; inputs
//                       pass through shared memory by tiles of TILE tokens (recurrence: Gu and Dao 2023, algorithm 2)
// Push      shaders/params/selective_scan_params.h; shapes and types stand there
// Mapping   x: WG_SIZE / LANES channels; a channel's LANES neighbouring lanes have pairs of states each. y: segment of
//           time; z: sequence. With REDUCE a segment's states from zero, and its sum of dt, go to `segments` (the first
//           segment starts from the given state, which is copied behind them); without it they are joined again:
//           h = exp(A sum of dt) h + own
// Constants include/selective.glsl, 7 LANES (power of two, WG_SIZE / LANES even)  8 TILE (power of two from 4)
//           9 BATCH: tokens whose code is written out and whose sums are exchanged together; divides TILE, from 4
//           10 PAIRED: pairs of float32 lie on 8 bytes  11 FULL: full tiles have code of their own
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
#include "include/selective_tile.glsl"
#ifdef SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
layout(constant_id = 11) const bool FULL = false;

float h[2 * PAIRS], a[2 * PAIRS], dt_sum; // of this lane's states: A is times log2(e)

#ifndef SUBGROUP
shared float s_part[2 * WG_SIZE * BATCH]; // by turns, so that one barrier a batch is enough
#endif

// Sums over the lanes of a channel of BATCH tokens' parts, to shared memory: halves are exchanged, until a lane has summed
// BATCH / LANES tokens.
void put_sums(uint i, uint channel, uint lane, uint t0, uint side, float part[BATCH]) {
    uint own = 0, count = BATCH;
#ifdef SUBGROUP
    [[unroll]] for (uint width = 1; width < LANES; width *= 2) {
        if (count == 1) {
            part[0] += subgroupShuffleXor(part[0], width);
            continue;
        }
        count /= 2;
        bool upper = (lane & width) != 0;
        if (upper) own += count;
        [[unroll]] for (uint k = 0; k < count; k++) {
            float keep = upper ? part[k + count] : part[k];
            part[k] = keep + subgroupShuffleXor(upper ? part[k] : part[k + count], width);
        }
    }
#else
    if (LANES > 1) {
        uint turn = (t0 / BATCH & 1) * WG_SIZE * BATCH, at = i - lane;
        [[unroll]] for (uint e = 0; e < BATCH; e++) s_part[turn + e * WG_SIZE + i] = part[e];
        barrier();
        count = max(BATCH / LANES, 1);
        own = min(lane * count, BATCH - 1);
        [[unroll]] for (uint k = 0; k < count; k++) {
            part[k] = 0.0;
            for (uint l = 0; l < LANES; l++) part[k] += s_part[turn + (own + k) * WG_SIZE + at + l];
        }
    }
#endif
    if (LANES > BATCH && lane >= BATCH) return;
    [[unroll]] for (uint k = 0; k < count; k++)
        s_y[side * N_ITEM + (t0 + own + k) * COLUMNS + channel / 2][channel % 2] = part[k];
}

void compute_tile(uint i, uint channel, uint lane, uint side) {
    [[dont_unroll]] for (uint t0 = 0; t0 < TILE; t0 += BATCH) {
        float part[BATCH];
        uint at = (side * CHANNELS + channel) * ROW + t0 / 4, at_bc = (side * TILE + t0) * N_PAIR + lane;
        [[unroll]] for (uint e = 0; e < BATCH; e++) {
            float dt = s_dt[at + e / 4][e % 4], dtx = s_dtx[at + e / 4][e % 4], y = 0.0;
            if (REDUCE) dt_sum += dt;
            [[unroll]] for (uint p = 0; p < PAIRS; p++) {
                vec4 bc = s_bc[at_bc + e * N_PAIR + p * LANES];
                h[2 * p] = fma(exp2(dt * a[2 * p]), h[2 * p], dtx * bc.x);
                h[2 * p + 1] = fma(exp2(dt * a[2 * p + 1]), h[2 * p + 1], dtx * bc.y);
                y = fma(h[2 * p + 1], bc.w, fma(h[2 * p], bc.z, y));
            }
            part[e] = y;
        }
        if (!REDUCE) put_sums(i, channel, lane, t0, side, part);
    }
}

// One round: the tile is computed, the next one is prepared, the one after that is loaded, the one before is stored.
void advance(uint i, uint channel, uint lane, uint tile, uint side, bool full) {
    if (!REDUCE) take_tile(i, 1 - side);
    if (full || tile + TILE < end) place_tile(i, tile + TILE, 1 - side, full);
    if (full || tile + 2 * TILE < end) load_tile(i, tile + 2 * TILE, full);
    if (!REDUCE && tile > begin) store_tile(i, tile - TILE, full);
    shift_tiles();
    compute_tile(i, channel, lane, side);
    barrier();
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

// Number of this lane's state s.
uint state_number(uint s, uint lane) {
    return 2 * (s / 2 * LANES + lane) + s % 2;
}

void find_segment() {
    uint sequence = gl_WorkGroupID.z, segment = gl_WorkGroupID.y;
    first_row = PACKED ? min(Words(params.offsets).at[sequence], params.n_time) : sequence * params.n_time;
    uint last_row = PACKED ? min(Words(params.offsets).at[sequence + 1], params.n_time) : first_row + params.n_time;
    n_step = last_row > first_row ? last_row - first_row : 0;
    uint length = (n_step + params.n_segment - 1) / params.n_segment;
    length = (length + TILE - 1) / TILE * TILE;
    begin = min(segment * length, n_step);
    end = min(begin + length, n_step);
}

// States, and what belongs to channels; loads before the first store.
void start(uint i, uint channel, uint lane, uint at_state) {
    uint d = min(first + channel, D - 1), segment = gl_WorkGroupID.y, column = first + 2 * (i % COLUMNS);
    dt_sum = 0.0;
    Floats channels = Floats(params.channels);
    bias = vec2(channels.at[min(column, D - 1)], channels.at[min(column + 1, D - 1)]);
    skip = vec2(channels.at[D + min(column, D - 1)], channels.at[D + min(column + 1, D - 1)]);
    [[unroll]] for (uint k = 0; k < 3 * ITEMS; k++) held_x[k] = held_z[k] = uvec2(0);
    [[unroll]] for (uint k = 0; k < ITEMS; k++) next_x[k] = next_dt[k] = next_z[k] = uvec2(0);
    [[unroll]] for (uint k = 0; k < BC_ITEMS; k++) next_b[k] = next_c[k] = uvec2(0);
    [[unroll]] for (uint s = 0; s < 2 * PAIRS; s++) {
        uint n = state_number(s, lane);
        a[s] = LOG2_E * Floats(params.a).at[d * N + min(n, N - 1)];
        h[s] = n < N ? state_before(segment, at_state, d, n, a[s]) : 0.0;
    }
    if (!REDUCE || segment != 0 || first + channel >= D) return;
    [[unroll]] for (uint s = 0; s < 2 * PAIRS; s++) {
        uint n = state_number(s, lane);
        if (n < N) Floats(params.segments).at[segment_state(params.n_segment - 1) + d * N + n] = h[s];
    }
}

void finish(uint d, uint lane, uint at_state) {
    uint segment = gl_WorkGroupID.y;
    bool is_last = segment == params.n_segment - 1;
    [[unroll]] for (uint s = 0; s < 2 * PAIRS; s++) {
        uint n = state_number(s, lane);
        if (n >= N) continue;
        if (REDUCE)
            Floats(params.segments).at[segment_state(segment) + d * N + n] = h[s];
        else if (is_last && !is_null(params.state))
            Floats(params.state).at[at_state + d * N + n] = h[s];
    }
    if (REDUCE && lane == 0) Floats(params.segments).at[segment_sum(segment) + d] = dt_sum;
}

void main() {
#ifdef SUBGROUP
    uint i = gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID;
#else
    uint i = gl_LocalInvocationIndex;
#endif
    uint channel = i / LANES, lane = i % LANES, side = 0;
    uint at_state = slot_of(gl_WorkGroupID.z) * params.state_stride;
    first = gl_WorkGroupID.x * CHANNELS;
    find_segment();
    start(i, channel, lane, at_state);
    if (begin < end) {
        load_tile(i, begin, false);
        place_tile(i, begin, 0, false);
        if (begin + TILE < end) load_tile(i, begin + TILE, false);
    }
    shift_tiles();
    barrier();
    uint tile = begin;
    if (FULL) {
        for (; tile + 3 * TILE <= end; tile += TILE) {
            advance(i, channel, lane, tile, side, true);
            side = 1 - side;
        }
    }
    for (; tile < end; tile += TILE) {
        advance(i, channel, lane, tile, side, false);
        side = 1 - side;
    }
    if (!REDUCE && begin < end) {
        take_tile(i, 1 - side);
        store_tile(i, tile - TILE, false);
    }
    if (first + channel < D) finish(first + channel, lane, at_state);
}

// scan: h[t] = a[t] h[t-1] + b[t], real or complex, a per step or constant in time, forward or in reverse, with resets or
//       packed sequences   (the monoid (a, b) (c, d) = (ca, cb + d): Blelloch 1990, section 1.4; Smith et al. 2023)
// Push      shaders/params/scan_params.h; shapes and types stand there
// Mapping   a lane: 2 real channels or a complex one, STEPS steps of time a tile. A workgroup: SIDE such channels, and
//           WG_SIZE / SIDE lanes following each other in time, over the tiles of one segment of one batch entry. A tile
//           stays in registers: its runs are reduced, scanned over the lanes, applied. Workgroups in a line, over two
//           grid dimensions: channels fastest, then segments, then batch
// Constants 0 WG_SIZE  1 SIDE (power of two; WG_SIZE: every lane goes alone, without barriers)  2 STEPS (power of two,
//           4 ... 16)  3 A_TYPE  4 B_TYPE  5 H_TYPE  6 FLAGS  7 PERMUTE (not 0: workgroups take each other's places; coprime
//           to their number)
// Needs     SUBGROUP: subgroup shuffles; without it shared memory alone
// Numerics  f32; serial within a lane's steps
// Twin      tests/ref/ref_scan.c
#version 460
#extension GL_GOOGLE_include_directive : require
#ifdef SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#include "params/scan_params.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint SIDE = 64;
layout(constant_id = 2) const uint STEPS = 8;
layout(constant_id = 3) const uint A_TYPE = VKS_TYPE_F32;
layout(constant_id = 4) const uint B_TYPE = VKS_TYPE_F32;
layout(constant_id = 5) const uint H_TYPE = VKS_TYPE_F32;
layout(constant_id = 6) const uint FLAGS = 0;
layout(constant_id = 7) const uint PERMUTE = 0;
#include "include/scan_io.glsl"
#include "include/scan_run.glsl"

const uint LANES = WG_SIZE / SIDE; // that follow each other in time
uvec2 a_base, b_base, h_base;
vec2 a_constant;
vec2 a_next[STEPS], b_next[STEPS]; // the tile being loaded
vec2 a_tile[STEPS], b_tile[STEPS]; // and the one worked on
uint cuts_next, ends_next, cuts, ends; // a bit a step: the state is set anew; a packed sequence ends

#define LOAD_STEPS(values, base, type, row, p0)                                                                            \
    if (QUADS && ROWS) {                                                                                                   \
        [[unroll]] for (uint s = 0; s < STEPS; s += 4) {                                                                   \
            uint p = min(p0 + s, n_step() - 4), i = element_index(row, time_of(REVERSE ? p + 3 : p));                      \
            vec4 x = load4(base, type, i), y = both ? load4(base, type, i + row) : vec4(0);                                \
            [[unroll]] for (uint e = 0; e < 4; e++) values[s + e] = vec2(x[REVERSE ? 3 - e : e], y[REVERSE ? 3 - e : e]);   \
        }                                                                                                                  \
    } else if (QUADS) {                                                                                                    \
        [[unroll]] for (uint s = 0; s < STEPS; s += 2) {                                                                   \
            uint p = min(p0 + s, n_step() - 2);                                                                            \
            vec4 x = load4(base, type, element_index(row, time_of(REVERSE ? p + 1 : p)));                                  \
            values[s] = REVERSE ? x.zw : x.xy;                                                                             \
            values[s + 1] = REVERSE ? x.xy : x.zw;                                                                         \
        }                                                                                                                  \
    } else {                                                                                                               \
        [[unroll]] for (uint s = 0; s < STEPS; s++)                                                                        \
            values[s] = load_value(base, type, row, time_of(clamp(p0 + s, params.first, n_step() - 1)));                   \
    }

// Where the state is set anew in the steps loaded: a reset drops it; a sequence's first step starts from its initial state,
// which is worked into b.
void find_cuts(uint p0) {
    cuts_next = ends_next = 0;
    uint n = n_step(), s = 0, begin = 0, end = 0;
    [[unroll]] for (uint e = 0; e < STEPS; e++) {
        uint p = p0 + e;
        if (p >= n) break;
        if (PADDED && p < params.first) {
            b_next[e] = vec2(0);
            continue;
        }
        bool cut = RESETS && Words(params.resets).at[batch * params.resets_row + time_of(p)] != 0;
        bool starts = PADDED && !PACKED && p == params.first;
        uint row = batch;
        if (PACKED) {
            if (e == 0 || p >= end) {
                s = sequence_of(p);
                begin = sequence_begin(s);
                end = sequence_begin(s + 1);
            }
            row = sequence_row(s);
            starts = p == begin;
            if (p + 1 == end) ends_next |= 1u << e;
        }
        if (starts && !cut) b_next[e] = next_state(A_STEP ? a_next[e] : a_constant, load_state(params.initial, row), b_next[e]);
        if (cut || starts) cuts_next |= 1u << e;
    }
}

void load_tile(uint p0) {
    if (A_STEP) {
        LOAD_STEPS(a_next, a_base, A_TYPE, params.a_row, p0)
    }
    LOAD_STEPS(b_next, b_base, B_TYPE, params.b_row, p0)
    if (CUTS) find_cuts(p0);
}

void take_tile() {
    [[unroll]] for (uint s = 0; s < STEPS; s++) {
        a_tile[s] = A_STEP ? a_next[s] : a_constant;
        b_tile[s] = b_next[s];
    }
    cuts = cuts_next;
    ends = ends_next;
}

bool is_cut(uint s) {
    return CUTS && (cuts >> s & 1) != 0;
}

Run reduce_tile() {
    Run run = empty_run();
    if (COMPLEX) run.a = vec2(1, 0);
    [[unroll]] for (uint s = 0; s < STEPS; s++) {
        if (A_STEP) run.a = product(a_tile[s], run.a);
        run.b = next_state(a_tile[s], run.b, b_tile[s]);
        if (is_cut(s)) run.b = b_tile[s];
    }
    run.cut = CUTS && cuts != 0;
    return run;
}

// From here on b_tile holds the states. Returns the last one.
vec2 apply_tile(vec2 h) {
    [[unroll]] for (uint s = 0; s < STEPS; s++) {
        h = next_state(a_tile[s], h, b_tile[s]);
        if (is_cut(s)) h = b_tile[s];
        b_tile[s] = h;
    }
    return h;
}

void store_tile(uint p0) {
    uint n = n_step(), row = params.h_row, group = !QUADS ? (ROWS && H_TYPE != VKS_TYPE_F32 ? 2 : 1) : COMPLEX ? 2 : 4;
    [[unroll]] for (uint s = 0; s < STEPS; s += group) {
        uint p = p0 + s;
        if (p >= n) break;
        uint i = element_index(row, time_of(REVERSE ? p + group - 1 : p));
        if (QUADS && ROWS) {
            vec4 x, y;
            [[unroll]] for (uint e = 0; e < 4; e++) {
                x[REVERSE ? 3 - e : e] = b_tile[s + e].x;
                y[REVERSE ? 3 - e : e] = b_tile[s + e].y;
            }
            store4(h_base, H_TYPE, i, x);
            if (both) store4(h_base, H_TYPE, i + row, y);
        } else if (QUADS)
            store4(h_base, H_TYPE, i, REVERSE ? vec4(b_tile[s + 1], b_tile[s]) : vec4(b_tile[s], b_tile[s + 1]));
        else if (group == 2) {
            vec2 x = b_tile[REVERSE ? s + 1 : s], y = b_tile[REVERSE ? s : s + 1];
            bool second = REVERSE ? p >= params.first : p + 1 < n;
            store2(h_base, H_TYPE, i, vec2(x.x, y.x), second);
            if (both) store2(h_base, H_TYPE, i + row, vec2(x.y, y.y), second);
        } else if (p >= params.first)
            store_value(h_base, H_TYPE, row, time_of(p), b_tile[s]);
    }
}

void store_last(uint p0) {
    if (is_null(params.last)) return;
    [[unroll]] for (uint s = 0; s < STEPS; s++) {
        uint p = p0 + s;
        if (PACKED && (ends >> s & 1) != 0) store_state(params.last, sequence_row(sequence_of(p)), b_tile[s]);
        if (!PACKED && p + 1 == n_step()) store_state(params.last, batch, b_tile[s]);
    }
}
// An empty sequence has no last step. The segments share the work.
void store_empty(uint segment, uint lane) {
    if (is_null(params.last)) return;
    for (uint s = segment * LANES + lane; s < params.n_sequence; s += params.n_segment * LANES)
        if (sequence_begin(s) == sequence_begin(s + 1))
            store_state(params.last, sequence_row(s), load_state(params.initial, sequence_row(s)));
}

// The state before a segment, from the totals of those before it; every invocation must call.
vec2 state_before(uint segment, uint i) {
    if (segment == 0) return load_total(params.n_segment - 1).b;
    if (!A_STEP) load_powers(findLSB(params.segment_size));
    Run so_far = empty_run();
    if (LANES == 1) {
        for (uint s = 0; s < segment; s++) so_far = join(so_far, load_total(s), powers[0]);
        return so_far.b;
    }
    // The lanes share the loads; each joins all of them, in order.
    uint lane = i / SIDE, n_round = (segment + LANES - 1) / LANES;
    for (uint round = 0; round < n_round; round++) {
        uint s = round * LANES + lane;
        Run own = empty_run();
        if (s < segment) own = load_total(s);
        put(i, own);
        published();
        for (uint k = 0; k < LANES && round * LANES + k < segment; k++)
            so_far = join(so_far, get(k * SIDE + i % SIDE), powers[0]);
    }
    return so_far.b;
}

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (group >= params.n_group) return;
    if (PERMUTE != 0) group = group * PERMUTE % params.n_group;
    uint n_side = (params.n_unit + SIDE - 1) / SIDE, n_segment = params.n_segment - (REDUCE ? 1 : 0);
    uint i = lane_index(), lane = i / SIDE, segment = group / n_side % n_segment;
    unit = group % n_side * SIDE + i % SIDE;
    batch = group / n_side / n_segment;
    bool idle = unit >= params.n_unit; // computes along where there are barriers, and stores nothing
    if (idle && LANES == 1) return;
    unit = min(unit, params.n_unit - 1);
    both = COMPLEX || 2 * unit + 1 < params.n_channel;
    // What was read last is still in the cache: begin with it.
    if (SEGMENTS && !REDUCE) segment = n_segment - 1 - segment;

    a_base = advance(params.a, batch, params.a_batch, A_TYPE);
    b_base = advance(params.b, batch, params.b_batch, B_TYPE);
    h_base = advance(params.h, batch, params.h_batch, H_TYPE);
    if (!A_STEP)
        a_constant = vec2(load1(a_base, A_TYPE, 2 * unit), both ? load1(a_base, A_TYPE, 2 * unit + 1) : 0.0);
    const uint tile_size = LANES * STEPS;
    uint begin = segment * params.segment_size;
    uint end = SEGMENTS ? min(begin + params.segment_size, n_step()) : n_step();
    uint n_tile = (end - begin + tile_size - 1) / tile_size;

    Run whole = empty_run(); // the steps so far; its b is the state after them
    if (COMPLEX) whole.a = vec2(1, 0);
    // With PREFETCH there is a round more, whose first one only loads.
    for (uint round = 0; round < n_tile + (PREFETCH ? 1 : 0); round++) {
        if (PREFETCH && round > 0) take_tile();
        if (round < n_tile) load_tile(begin + round * tile_size + lane * STEPS);
        if (round == 0) { // while the loads are under way
            if (SEGMENTS && !REDUCE)
                whole.b = state_before(segment, i);
            else if (segment == 0 && !PACKED && !PADDED)
                whole.b = load_state(params.initial, batch);
            if (REDUCE && segment == 0 && lane == 0 && !idle) {
                store_total(params.n_segment - 1, whole);
                if (!A_STEP) store_powers(a_constant);
            }
            if (PACKED && !REDUCE && !idle) store_empty(segment, lane);
            if (LANES > 1) find_powers(a_constant, findLSB(STEPS), i);
            if (PREFETCH) continue;
        }
        if (!PREFETCH) take_tile();
        Run before = whole;
        if (LANES > 1) {
            Run own = reduce_tile(), all, inside;
            if (lane == 0 && !own.cut) own.b = run_state(A_STEP ? own.a : powers[0], whole.b, own.b);
            scan_lanes(i, own, inside, all);
            if (lane > 0) before = inside;
            whole = Run(A_STEP ? product(all.a, whole.a) : vec2(0), all.b, CUTS && (all.cut || whole.cut));
        } else if (REDUCE) {
            Run own = reduce_tile();
            whole.a = A_STEP ? product(own.a, whole.a) : vec2(0);
            whole.cut = CUTS && (whole.cut || own.cut);
        }
        if (REDUCE && LANES > 1) continue;
        vec2 h = apply_tile(before.b);
        if (LANES == 1) whole.b = h;
        if (REDUCE || idle) continue;
        uint p0 = begin + (round - (PREFETCH ? 1 : 0)) * tile_size + lane * STEPS;
        store_tile(p0);
        store_last(p0);
    }
    if (REDUCE && lane == 0 && !idle) store_total(segment, whole);
}

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
#include "include/scan_tile.glsl"

vec2 first_state() {
    return load_total(params.n_segment - 1).b;
}

// The state before a segment, from the totals of those before it; every invocation must call.
vec2 state_before(uint segment, uint i) {
    if (segment == 0) return first_state();
    if (!A_STEP) load_powers(findLSB(params.segment_size));
    Run so_far = empty_run();
    if (LANES == 1) {
        for (uint s = 0; s < segment; s++) so_far = join(so_far, load_total(s), powers[0]);
        return so_far.b;
    }
    // The lanes share the loads; those in front join what was loaded, in order, and tell the others.
    uint lane = i / SIDE, n_round = (segment + LANES - 1) / LANES;
    for (uint round = 0; round < n_round; round++) {
        uint s = round * LANES + lane;
        Run own = empty_run();
        if (s < segment) own = load_total(s);
        put(i, own);
        published();
        if (lane > 0) continue;
        for (uint k = 0; k < LANES && round * LANES + k < segment; k++) so_far = join(so_far, get(k * SIDE + i), powers[0]);
    }
    put(i, so_far);
    published();
    return get(i % SIDE).b;
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
    uint begin = segment * params.segment_size, p0 = begin + lane * STEPS;
    uint end = SEGMENTS ? min(begin + params.segment_size, n_step()) : n_step();
    if (PREFETCH || SEGMENTS) load_tile(p0);

    Run whole = empty_run(); // the steps so far; its b is the state after them
    if (COMPLEX) whole.a = vec2(1, 0);
    if (SEGMENTS && !REDUCE)
        whole.b = state_before(segment, i);
    else if (segment == 0 && !PACKED)
        whole.b = load_state(params.initial, batch);
    if (REDUCE && segment == 0 && lane == 0 && !idle) {
        store_total(params.n_segment - 1, whole);
        if (!A_STEP) store_powers(a_constant);
    }
    if (PACKED && !REDUCE && !idle) store_empty(segment, lane);
    if (LANES > 1) find_powers(a_constant, findLSB(STEPS), i);

    for (uint tile = begin; tile < end; tile += tile_size, p0 += tile_size) {
        if (!PREFETCH && (!SEGMENTS || tile != begin)) load_tile(p0);
        take_tile();
        if (PREFETCH && tile + tile_size < end) load_tile(p0 + tile_size);
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
        store_tile(p0);
        store_last(p0);
    }
    if (REDUCE && lane == 0 && !idle) store_total(segment, whole);
}

// scan_lookback: h[t] = a[t] h[t-1] + b[t] in one pass over memory, as op/scan.comp with a tile a workgroup, which looks back
//       at what the tiles before it published   (Merrill and Garland 2016; Smith, Levien and Owens 2025, whose waiting is
//       bounded: a workgroup that misses a tile reduces that tile itself)
// Push      shaders/params/scan_params.h; segments are tiles, totals as include/scan_slots.glsl lays them out
// Mapping   lanes as in op/scan.comp. A workgroup takes the next tile by a counter; channels fastest, then batch, then time.
//           With PREPARE, in a dispatch before: an invocation a slot, which it clears
// Constants 0 to 7 as in op/scan.comp; with PERMUTE not 0 tiles are taken by gl_WorkGroupID, so permuted
//           8 TURNS (looks at what is not there yet before it is computed)  9 WITHHOLD (not 0: every such tile does not
//           publish, or with LATE only after it is stored; for tests)
// Needs     SUBGROUP: subgroup shuffles; without it shared memory alone. No order or progress of workgroups is relied on
// Numerics  f32. The state before tile k + 1 is always the state before tile k joined with tile k's total, whoever computes
//           it from whatever was there already: the bits do not depend on time
// Twin      tests/ref/ref_scan.c
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_memory_scope_semantics : require
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
layout(constant_id = 8) const uint TURNS = 32;
layout(constant_id = 9) const uint WITHHOLD = 0;
#define LOOK_BACK true
#include "include/scan_io.glsl"
#include "include/scan_run.glsl"
#include "include/scan_tile.glsl"
#include "include/scan_slots.glsl"

const uint WINDOW = LANES < 16 ? 2 * LANES : 32; // slots looked at at once
shared uint shared_tags[2 * WG_SIZE];
shared vec2 shared_states[SIDE];
shared uint shared_known[SIDE]; // the last slot in the window with a state, and 1
shared uint dissents[3];
shared uint ticket;
uint turn = 0; // votes so far
vec2 tile_power;

vec2 first_state() {
    Run first = empty_run();
    read_slot(0, first);
    return first.b;
}

// Whether `yes` in all invocations; all must call. What is counted next is cleared a barrier before.
bool agreed(bool yes, uint i) {
    uint at = turn % 3;
    if (!yes) atomicOr(dissents[at], 1u);
    if (i == 0) dissents[(turn + 1) % 3] = 0;
    barrier();
    turn++;
    return dissents[at] == 0;
}

vec2 state_after(vec2 before, Run run) {
    return CUTS && run.cut ? run.b : run_state(A_STEP ? run.a : tile_power, before, run.b);
}

// Slot begin - 1 of the window holds a state; those behind it are to hold totals.
bool join_window(uint begin, uint side, out vec2 state) {
    bool known = begin > 0;
    state = known ? scan_b[(begin - 1) * SIDE + side] : vec2(0);
    for (uint k = begin; known && k < WINDOW; k += 4) {
        Run runs[4];
        uint tags[4];
        [[unroll]] for (uint e = 0; e < 4; e++) { // loaded together: the joins wait for each other
            uint at = min(k + e, WINDOW - 1) * SIDE + side;
            runs[e] = Run(A_STEP ? scan_a[at] : vec2(0), scan_b[at], false);
            tags[e] = shared_tags[at];
        }
        [[unroll]] for (uint e = 0; e < 4; e++) {
            if (k + e >= WINDOW) break;
            state = state_after(state, runs[e]);
            known = known && tags[e] == VKS_SLOT_TOTAL;
        }
    }
    return known;
}

// The state before tile `tile`, from the last known state in the window and the totals behind it, in the order of time.
// False if it stays unknown for TURNS looks. All lanes look; those in front join what was found.
bool look_back(uint tile, uint i, out vec2 state) {
    uint lane = i / SIDE, side = i % SIDE;
    state = vec2(0);
    barrier(); // whatever the shared arrays held has been read
    for (uint n = 0; n < TURNS; n++) {
        for (uint k = lane; k < WINDOW; k += LANES) {
            Run run = empty_run();
            uint tag = tile + 1 + k >= WINDOW ? read_slot(tile + 1 + k - WINDOW, run) : VKS_SLOT_EMPTY;
            if (A_STEP) scan_a[k * SIDE + side] = run.a;
            scan_b[k * SIDE + side] = run.b;
            shared_tags[k * SIDE + side] = tag;
            if (tag == VKS_SLOT_STATE) atomicMax(shared_known[side], k + 1);
        }
        barrier();
        bool known = true;
        if (lane == 0) {
            known = join_window(shared_known[side], side, state);
            shared_known[side] = 0;
            shared_states[side] = state;
        }
        known = agreed(known, i);
        state = shared_states[side];
        if (known) return true;
    }
    return false;
}

// The last slot up to `slot` whose state is there, for all channels; the first one's always is.
uint last_known(uint slot, uint i, out vec2 state) {
    Run run = empty_run();
    while (!agreed(slot == 0 || read_slot(slot, run) == VKS_SLOT_STATE, i)) slot--;
    if (slot == 0) run.b = first_state();
    state = run.b;
    return slot;
}

void prepare(uint slot) {
    uint n_row = params.n_batch * params.n_unit;
    if (slot >= (params.n_segment + 1) * n_row) return;
    clear_slot(slot);
    if (slot >= n_row) return;
    if (slot == 0) Words(params.totals).at[ticket_index()] = 0;
    unit = slot % params.n_unit;
    batch = slot / params.n_unit;
    both = COMPLEX || 2 * unit + 1 < params.n_channel;
    fill_slot(slot, PACKED ? vec2(0) : load_state(params.initial, batch));
    if (A_STEP) return;
    uvec2 a = advance(params.a, batch, params.a_batch, A_TYPE);
    vec2 x = vec2(load1(a, A_TYPE, 2 * unit), 0), y = vec2(both ? load1(a, A_TYPE, 2 * unit + 1) : 0.0, 0);
    for (uint j = 0; params.segment_size >> j != 0; j++) {
        if (j > 0) square(x, y);
        Floats2(params.totals).at[power_index(j)] = vec2(x.x, y.x);
    }
}

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, i = lane_index(), lane = i / SIDE;
    if (PREPARE) {
        prepare(group * WG_SIZE + i);
        return;
    }
    if (i == 0) {
        dissents[0] = 0;
        if (PERMUTE == 0) ticket = atomicAdd(Words(params.totals).at[ticket_index()], 1u);
    }
    if (i < SIDE) shared_known[i] = 0;
    barrier();
    if (PERMUTE == 0) group = ticket;
    if (group >= params.n_group) return;
    if (PERMUTE != 0) group = group * PERMUTE % params.n_group;
    uint n_side = (params.n_unit + SIDE - 1) / SIDE, tile = group / n_side / params.n_batch;
    unit = group % n_side * SIDE + i % SIDE;
    batch = group / n_side % params.n_batch;
    bool idle = unit >= params.n_unit; // computes along, and stores nothing
    unit = min(unit, params.n_unit - 1);
    both = COMPLEX || 2 * unit + 1 < params.n_channel;
    a_base = advance(params.a, batch, params.a_batch, A_TYPE);
    b_base = advance(params.b, batch, params.b_batch, B_TYPE);
    h_base = advance(params.h, batch, params.h_batch, H_TYPE);
    if (!A_STEP)
        a_constant = vec2(load1(a_base, A_TYPE, 2 * unit), both ? load1(a_base, A_TYPE, 2 * unit + 1) : 0.0);
    load_tile(tile * params.segment_size + lane * STEPS); // under way while the powers come
    tile_power = A_STEP ? vec2(0) : Floats2(params.totals).at[power_index(findLSB(LANES * STEPS))];
    find_powers(a_constant, findLSB(STEPS), i);

    // Once around if the state before the tile becomes known in time. Else from the last known state on, tile by tile, with
    // what was published, or computed here; then the own tile again.
    bool withheld = WITHHOLD != 0 && tile % max(WITHHOLD, 1u) == 0, asked = false;
    uint now = tile, known = tile; // `state` is that before tile `known`
    vec2 state = vec2(0);
    Run inside = empty_run(), total = empty_run();
    while (true) {
        if (asked) load_tile(now * params.segment_size + lane * STEPS);
        take_tile();
        scan_lanes(i, reduce_tile(), inside, total);
        if (now == tile) {
            if (asked) break;
            asked = true;
            if (!withheld && !idle) publish(tile + 1, lane, total.cut ? VKS_SLOT_STATE : VKS_SLOT_TOTAL, total);
            if (look_back(tile, i, state)) break;
            known = last_known(tile, i, state);
        } else {
            state = state_after(state, total);
            known++;
            if (!idle) publish(known, lane, VKS_SLOT_STATE, Run(vec2(0), state, false));
        }
        while (known < tile) {
            Run next = empty_run();
            uint tag = read_slot(known + 1, next);
            if (!agreed(tag != VKS_SLOT_EMPTY, i)) break;
            state = tag == VKS_SLOT_STATE ? next.b : state_after(state, next);
            known++;
        }
        now = known;
    }
    Run after = Run(vec2(0), state_after(state, total), false);
    if (!withheld && !idle) publish(tile + 1, lane, VKS_SLOT_STATE, after);

    vec2 power = vec2(1, COMPLEX ? 0.0 : 1.0); // of the lanes before
    if (A_STEP)
        power = inside.a;
    else
        [[unroll]] for (uint j = 0; SIDE << j < WG_SIZE; j++) if ((lane >> j & 1) != 0) power = product(power, powers[j]);
    vec2 before = state;
    if (lane > 0) before = CUTS && inside.cut ? inside.b : run_state(power, state, inside.b);
    apply_tile(before);
    if (idle) return;
    uint p0 = tile * params.segment_size + lane * STEPS;
    store_tile(p0);
    store_last(p0);
    if (PACKED) store_empty(tile, lane);
    if (withheld && LATE) publish(tile + 1, lane, VKS_SLOT_STATE, after);
}

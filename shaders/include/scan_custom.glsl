// scan_custom: y[t] = combine(y[t-1], x[t]) for an operator of the user. This text stands behind the user's, which gives
// struct element, identity() and combine(left, right), and is compiled with it at run time.
// Mapping   as in op/scan.comp: SIDE channels side by side, WG_SIZE / SIDE lanes that follow each other in time, each with
//           STEPS steps a tile; channels fastest, then segments, then batch
// Constants 0 WG_SIZE  1 SIDE (power of two; WG_SIZE: no barriers)  2 FLAGS
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint SIDE = 64;
layout(constant_id = 2) const uint FLAGS = 0;
layout(buffer_reference, std430, buffer_reference_align = 4) buffer vks_elements {
    element at[];
};

const uint vks_steps = 4;
const uint vks_lanes = WG_SIZE / SIDE;
const bool vks_reverse = (FLAGS & VKS_SCAN_CUSTOM_REVERSE) != 0;
const bool vks_rows = (FLAGS & VKS_SCAN_CUSTOM_TIME_CONTIGUOUS) != 0;
const bool vks_reduce = (FLAGS & VKS_SCAN_CUSTOM_REDUCE) != 0;
const bool vks_segments = (FLAGS & VKS_SCAN_CUSTOM_SEGMENTS) != 0;
const bool vks_check = (FLAGS & VKS_SCAN_CUSTOM_CHECK) != 0;

shared element vks_shared[2 * WG_SIZE];
uint vks_half = 0; // of vks_shared that is written next
uint vks_batch, vks_channel;

uint vks_index(uint p) {
    uint t = vks_reverse ? params.n_time - 1 - p : p;
    if (vks_rows) return (vks_batch * params.n_channel + vks_channel) * params.n_time + t;
    return (vks_batch * params.n_time + t) * params.n_channel + vks_channel;
}

void vks_publish(element value) {
    vks_shared[vks_half * WG_SIZE + gl_LocalInvocationIndex] = value;
    barrier();
    vks_half = 1 - vks_half;
}
element vks_published(uint i) {
    return vks_shared[(1 - vks_half) * WG_SIZE + i];
}

void vks_check_laws() {
    uint i = gl_GlobalInvocationID.x;
    if (i >= params.n_check) return;
    vks_elements inputs = vks_elements(params.x), outputs = vks_elements(params.y);
    element x = inputs.at[3 * i], y = inputs.at[3 * i + 1], z = inputs.at[3 * i + 2];
    outputs.at[4 * i] = combine(combine(x, y), z);
    outputs.at[4 * i + 1] = combine(x, combine(y, z));
    outputs.at[4 * i + 2] = combine(identity(), x);
    outputs.at[4 * i + 3] = combine(x, identity());
}

void vks_scan() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (group >= params.n_group) return;
    uint n_side = (params.n_channel + SIDE - 1) / SIDE, n_segment = params.n_segment - (vks_reduce ? 1 : 0);
    uint i = gl_LocalInvocationIndex, lane = i / SIDE, segment = group / n_side % n_segment;
    vks_channel = group % n_side * SIDE + i % SIDE;
    vks_batch = group / n_side / n_segment;
    bool idle = vks_channel >= params.n_channel; // computes along where there are barriers, and stores nothing
    vks_channel = min(vks_channel, params.n_channel - 1);
    uint begin = segment * params.segment_size, end = min(begin + params.segment_size, params.n_time);
    vks_elements x = vks_elements(params.x), y = vks_elements(params.y), totals = vks_elements(params.totals);
    uint row = vks_batch * params.n_channel + vks_channel;

    element state = identity();
    if (!vks_reduce) {
        if ((params.initial.x | params.initial.y) != 0) state = vks_elements(params.initial).at[row];
        if (vks_segments)
            for (uint s = 0; s < segment; s++)
                state = combine(state, totals.at[(vks_batch * params.n_segment + s) * params.n_channel + vks_channel]);
    }
    for (uint tile = begin; tile < end; tile += vks_lanes * vks_steps) {
        uint p0 = tile + lane * vks_steps;
        element own[vks_steps], before = state;
        for (uint s = 0; s < vks_steps; s++) {
            own[s] = identity();
            if (p0 + s < end) own[s] = x.at[vks_index(p0 + s)];
        }
        if (vks_lanes > 1) {
            element run = own[0];
            for (uint s = 1; s < vks_steps; s++) run = combine(run, own[s]);
            vks_publish(run);
            for (uint gap = SIDE; gap < WG_SIZE; gap *= 2) {
                if (i >= gap) run = combine(vks_published(i - gap), run);
                vks_publish(run);
            }
            if (lane > 0) before = combine(state, vks_published(i - SIDE));
            state = combine(state, vks_published(WG_SIZE - SIDE + i % SIDE));
        }
        for (uint s = 0; s < vks_steps; s++) {
            if (p0 + s >= end) break;
            if (vks_reduce && vks_lanes > 1) break;
            before = combine(before, own[s]);
            if (!vks_reduce && !idle) y.at[vks_index(p0 + s)] = before;
            if (!vks_reduce && !idle && p0 + s + 1 == params.n_time && (params.last.x | params.last.y) != 0)
                vks_elements(params.last).at[row] = before;
        }
        if (vks_lanes == 1) state = before;
    }
    if (vks_reduce && lane == 0 && !idle)
        totals.at[(vks_batch * params.n_segment + segment) * params.n_channel + vks_channel] = state;
}

void main() {
    if (vks_check)
        vks_check_laws();
    else
        vks_scan();
}

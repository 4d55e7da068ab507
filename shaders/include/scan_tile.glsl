// A tile of the scan: what one lane holds of it, from memory and back. Lanes that follow each other in time take STEPS
// steps each. The state before the first step, where it was kept from being overwritten by the last one:
vec2 first_state();

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

// A sequence's state before its first step. Where time is split, another workgroup may have stored the last state there.
vec2 initial_state(uint row) {
    return TABLE && !PACKED ? first_state() : load_state(params.initial, row);
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
        if (starts && !cut) b_next[e] = next_state(A_STEP ? a_next[e] : a_constant, initial_state(row), b_next[e]);
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

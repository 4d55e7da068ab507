// Tiles of selective_scan_tiled: TILE tokens of a workgroup's channels, with their B and C, from memory through registers
// to shared memory, and y back. An invocation prepares pairs of neighbours, two channels or two states, at one token.
// There is room for two tiles (`side` 0 and 1): one is prepared while the other is computed.
layout(constant_id = 7) const uint LANES = 8;
layout(constant_id = 8) const uint TILE = 16;
layout(constant_id = 9) const uint BATCH = 8;
layout(constant_id = 10) const bool PAIRED = false;

const bool REDUCE = (FLAGS & VKS_SELECTIVE_REDUCE) != 0;
const uint CHANNELS = WG_SIZE / LANES, COLUMNS = CHANNELS / 2;
const uint PAIRS = (N + 2 * LANES - 1) / (2 * LANES), N_PAIR = PAIRS * LANES; // of states: a lane's, all
const uint ROW = TILE / 4 + 1; // vectors of 4 tokens; one more a row, against bank conflicts
const uint N_ITEM = TILE * COLUMNS, ITEMS = (N_ITEM + WG_SIZE - 1) / WG_SIZE;
const uint N_BC_ITEM = TILE * N_PAIR, BC_ITEMS = (N_BC_ITEM + WG_SIZE - 1) / WG_SIZE;

shared vec4 s_dt[2 * CHANNELS * ROW], s_dtx[2 * CHANNELS * ROW]; // [side][channel][token / 4]
shared vec2 s_y[2 * N_ITEM];                                     // [side][token][channel / 2]: C h
shared vec4 s_bc[2 * N_BC_ITEM];                                 // [side][token][state / 2]: B, B, C, C

uint begin, end;        // steps of the segment, counted from the sequence's start
uint first_row, n_step; // of the sequence
uint first;             // channel of the workgroup
vec2 bias, skip;        // of dt, and D, of this invocation's column
uvec2 next_x[ITEMS], next_dt[ITEMS], next_z[ITEMS], next_b[BC_ITEMS], next_c[BC_ITEMS]; // of a tile, as loaded
uvec2 held_x[3 * ITEMS], held_z[3 * ITEMS]; // of the tiles that are completed, computed and prepared
vec2 done[ITEMS];                           // y of a complete tile

uvec2 load_raw(uvec2 address, uint i, bool both) {
    if (X_TYPE != VKS_TYPE_F32) return uvec2(Words(address).at[i >> 1], 0);
    if (PAIRED) return Words2(address).at[i >> 1];
    return uvec2(Words(address).at[i], Words(address).at[both ? i + 1 : i]);
}
vec2 unpack_raw(uvec2 raw) {
    return X_TYPE == VKS_TYPE_F32 ? uintBitsToFloat(raw) : unpack_pair(X_TYPE, raw.x);
}

// Row of step p; past the segment's end, which a `full` tile does not reach, its last one.
uint row_of(uint p, bool full) {
    if (!full) p = min(p, end - 1);
    return first_row + (REVERSE ? n_step - 1 - p : p);
}

void load_tile(uint i, uint tile, bool full) {
    uint d = min(first + 2 * (i % COLUMNS), (D - 1) & ~1u);
    bool both = d + 1 < D;
    [[unroll]] for (uint k = 0; k < ITEMS; k++) {
        uint row = row_of(tile + (i + k * WG_SIZE) / COLUMNS, full);
        next_x[k] = load_raw(params.x, row * params.x_stride + d, both);
        next_dt[k] = load_raw(params.dt, row * params.dt_stride + d, both);
        if (GATE && !REDUCE) next_z[k] = load_raw(params.gate, row * params.gate_stride + d, both);
    }
    [[unroll]] for (uint k = 0; k < BC_ITEMS; k++) {
        uint item = i + k * WG_SIZE, n = min(item % N_PAIR * 2, (N - 1) & ~1u);
        uint at = row_of(tile + item / N_PAIR, full) * params.bc_stride + first / (D / G) * N + n;
        next_b[k] = load_raw(params.b, at, n + 1 < N);
        if (!REDUCE) next_c[k] = load_raw(params.c, at, n + 1 < N);
    }
}

// dt and dt x of an item: softplus once for every channel and token.
void place_channels(uint item, uint side, vec2 x, vec2 dt, bool inside) {
    uint t = item / COLUMNS, at = (side * CHANNELS + 2 * (item % COLUMNS)) * ROW + t / 4;
    dt = vec2(time_step(dt.x), time_step(dt.y));
    if (!inside) dt = x = vec2(0); // past the end nothing moves
    vec2 dtx = dt * x;
    s_dt[at][t % 4] = dt.x;
    s_dt[at + ROW][t % 4] = dt.y;
    s_dtx[at][t % 4] = dtx.x;
    s_dtx[at + ROW][t % 4] = dtx.y;
}

void place_states(uint item, uint side, uvec2 b, uvec2 c) {
    vec4 bc = vec4(unpack_raw(b), unpack_raw(c));
    if (2 * N_PAIR > N) { // states past the last are 0
        uint n = item % N_PAIR * 2;
        if (n >= N) bc.xz = vec2(0);
        if (n + 1 >= N) bc.yw = vec2(0);
    }
    s_bc[side * N_BC_ITEM + item] = bc;
}

void place_tile(uint i, uint tile, uint side, bool full) {
    [[unroll]] for (uint k = 0; k < ITEMS; k++) {
        uint item = i + k * WG_SIZE;
        if (N_ITEM % WG_SIZE != 0 && item >= N_ITEM) break;
        held_x[2 * ITEMS + k] = next_x[k];
        if (GATE && !REDUCE) held_z[2 * ITEMS + k] = next_z[k];
        place_channels(item, side, unpack_raw(next_x[k]), unpack_raw(next_dt[k]) + bias,
                       full || tile + item / COLUMNS < end);
    }
    [[unroll]] for (uint k = 0; k < BC_ITEMS; k++)
        if (N_BC_ITEM % WG_SIZE == 0 || i + k * WG_SIZE < N_BC_ITEM)
            place_states(i + k * WG_SIZE, side, next_b[k], REDUCE ? uvec2(0) : next_c[k]);
}

void take_tile(uint i, uint side) {
    [[unroll]] for (uint k = 0; k < ITEMS; k++) done[k] = s_y[side * N_ITEM + min(i + k * WG_SIZE, N_ITEM - 1)];
}

// The tile in preparation becomes the computed one, that one the complete one.
void shift_tiles() {
    [[unroll]] for (uint k = 0; k < 2 * ITEMS; k++) {
        held_x[k] = held_x[k + ITEMS];
        held_z[k] = held_z[k + ITEMS];
    }
}

// y of a complete tile, with skip and gate.
void store_tile(uint i, uint tile, bool full) {
    uint d = first + 2 * (i % COLUMNS);
    [[unroll]] for (uint k = 0; k < ITEMS; k++) {
        uint item = i + k * WG_SIZE, t = tile + item / COLUMNS;
        if ((N_ITEM % WG_SIZE != 0 && item >= N_ITEM) || (!full && t >= end) || d >= D) continue;
        vec2 y = fma(skip, unpack_raw(held_x[k]), done[k]);
        if (GATE) {
            vec2 z = unpack_raw(held_z[k]);
            y *= z * (1.0 / (1.0 + exp(-z))); // SiLU; exp may be infinite, which gives the right 0
        }
        uint at = row_of(t, full) * params.y_stride + d;
        if (ADD) y += load2(params.y, Y_TYPE, at, d + 1 < D);
        if (Y_TYPE == VKS_TYPE_F32 && PAIRED)
            Words2(params.y).at[at >> 1] = floatBitsToUint(y);
        else
            store2(params.y, Y_TYPE, at, y, d + 1 < D);
    }
}

// selective_scan_tiled: selective_scan by lanes that own some states of a channel and walk through time together; inputs
//                       pass through shared memory by tiles of TILE tokens (recurrence: Gu and Dao 2023, algorithm 2)
// Push      shaders/params/selective_scan.h; shapes and types stand there
// Mapping   x: WG_SIZE / LANES channels; a channel's LANES neighbouring lanes have N / LANES states each. y: segment of
//           time; z: sequence. With REDUCE a segment's states from zero, and its sum of dt, go to `segments` (the first
//           segment starts from the given state, which is copied behind them); without it they are joined again:
//           h = exp(A sum of dt) h + own
// Constants include/selective.glsl, 7 LANES (power of two, WG_SIZE / LANES even)  8 TILE (a power of two from 4)
//           9 POLY: of a lane's exponentials of 4 tokens so many are polynomials, to spare the special function unit
// Needs     SUBGROUP: subgroup shuffles and full subgroups of at least LANES; without it sums pass through shared memory
// Numerics  f32; y is summed over a lane's states in order, then over lanes
// Twin      tests/ref/ref_selective_scan.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/selective_scan.h"
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

const bool REDUCE = (FLAGS & VKS_SELECTIVE_REDUCE) != 0;
const uint CHANNELS = WG_SIZE / LANES, STATES = (N + LANES - 1) / LANES;
const uint QUADS = TILE / 4, ROW = QUADS + 1;      // vectors of 4 tokens; one more a row, against bank conflicts
const uint N_ITEM = TILE * CHANNELS / 2;           // pairs of channels of a token
const uint ITEMS = (N_ITEM + WG_SIZE - 1) / WG_SIZE; // that an invocation prepares
const bool SPARE = N_ITEM % WG_SIZE != 0;            // some have none: theirs are those of others
const uint PAIRS = (N + 1) / 2;                    // of states
const uint BC_ITEMS = (2 * TILE * PAIRS + WG_SIZE - 1) / WG_SIZE;
#ifdef SUBGROUP
const uint SUMS = CHANNELS;
#else
const uint SUMS = WG_SIZE; // each lane's own
#endif
shared vec4 s_dt[CHANNELS * ROW], s_dtx[CHANNELS * ROW], s_y[SUMS * ROW];
shared vec4 s_b[STATES * LANES * ROW], s_c[STATES * LANES * ROW];

uint begin, end;                             // steps of the segment, counted from the sequence's start
uint first_row, n_step;                      // of the sequence
uvec2 raw_x[ITEMS], raw_dt[ITEMS], raw_z[ITEMS], raw_bc[BC_ITEMS]; // of the next tile, as loaded
vec2 x[ITEMS], z[ITEMS];                     // of this one

uvec2 load_raw(uvec2 address, uint i, bool both) {
    if (X_TYPE == VKS_TYPE_F32) return uvec2(Words(address).at[i], Words(address).at[both ? i + 1 : i]);
    return uvec2(Words(address).at[i >> 1], 0);
}
vec2 unpack_raw(uvec2 raw) {
    return X_TYPE == VKS_TYPE_F32 ? uintBitsToFloat(raw) : unpack_pair(X_TYPE, raw.x);
}

// Row of step p; past the segment's end its last one.
uint row_of(uint p) {
    p = min(p, end - 1);
    return first_row + (REVERSE ? n_step - 1 - p : p);
}
// Item k of this invocation: token and pair of channels within the tile.
uint token_of(uint i, uint k) {
    uint t = (i + k * WG_SIZE) / (CHANNELS / 2);
    return SPARE ? min(t, TILE - 1) : t;
}
uint pair_of(uint i, uint k) {
    return (i + k * WG_SIZE) % (CHANNELS / 2);
}
bool is_spare(uint i, uint k) {
    return SPARE && i + k * WG_SIZE >= N_ITEM;
}
uint channel_of(uint first, uint pair) {
    return min(first + 2 * pair, (D - 1) & ~1u);
}

void load_tile(uint i, uint tile, uint first) {
    uint group = first / (D / G) * N;
    [[unroll]] for (uint k = 0; k < ITEMS; k++) {
        uint row = row_of(tile + token_of(i, k)), d = channel_of(first, pair_of(i, k));
        bool both = d + 1 < D;
        raw_x[k] = load_raw(params.x, row * params.x_stride + d, both);
        raw_dt[k] = load_raw(params.dt, row * params.dt_stride + d, both);
        if (GATE && !REDUCE) raw_z[k] = load_raw(params.gate, row * params.gate_stride + d, both);
    }
    [[unroll]] for (uint k = 0; k < BC_ITEMS; k++) {
        uint item = min(i + k * WG_SIZE, 2 * TILE * PAIRS - 1), n = item % PAIRS * 2;
        uint at = row_of(tile + item / PAIRS % TILE) * params.bc_stride + group + n;
        bool is_c = item >= TILE * PAIRS;
        raw_bc[k] = load_raw(is_c ? params.c : params.b, at, n + 1 < N);
    }
}

// What was loaded, to shared memory: dt and dt x by channel, B and C by state, 4 tokens a vector.
void place_tile(uint i, uint tile, uint first) {
    Floats channels = Floats(params.channels);
    [[unroll]] for (uint k = 0; k < ITEMS; k++) {
        uint t = token_of(i, k), pair = pair_of(i, k), d = channel_of(first, pair);
        vec2 bias = vec2(channels.at[d], channels.at[min(d + 1, D - 1)]), dt = unpack_raw(raw_dt[k]) + bias;
        x[k] = unpack_raw(raw_x[k]);
        if (GATE && !REDUCE) z[k] = unpack_raw(raw_z[k]);
        dt = tile + t < end ? vec2(softplus(dt.x), softplus(dt.y)) : vec2(0); // past the end nothing moves
        vec2 dtx = tile + t < end ? dt * x[k] : vec2(0);
        uint at = 2 * pair * ROW + t / 4;
        if (is_spare(i, k)) continue;
        s_dt[at][t % 4] = dt.x;
        s_dt[at + ROW][t % 4] = dt.y;
        s_dtx[at][t % 4] = dtx.x;
        s_dtx[at + ROW][t % 4] = dtx.y;
    }
    [[unroll]] for (uint k = 0; k < BC_ITEMS; k++) {
        uint item = i + k * WG_SIZE, n = item % PAIRS * 2, t = item / PAIRS % TILE, at = n * ROW + t / 4;
        vec2 pair = unpack_raw(raw_bc[k]);
        if (item < TILE * PAIRS) {
            s_b[at][t % 4] = pair.x;
            if (n + 1 < N) s_b[at + ROW][t % 4] = pair.y;
        } else if (item < 2 * TILE * PAIRS) {
            s_c[at][t % 4] = pair.x;
            if (n + 1 < N) s_c[at + ROW][t % 4] = pair.y;
        }
    }
}

// 2^v for v <= 127, without the special function unit: 2^round(v) by its bits, the rest by 1 + f q(f), of degree 5 and
// fitted to 2^f on [-1/2, 1/2] with the least relative error, 9.2e-8; with roundings below 1.6e-7. Exact for 0, which is what
// tokens past the end have. Results below 2^-126 become 2^-126.
float exp2_polynomial(float v) {
    v = max(v, -126.0);
    precise float shifted = v + 12582912.0; // 1.5 2^23: the integer part stands in the lowest bits
    precise float f = v - (shifted - 12582912.0);
    float p = 0.00132647271;
    p = fma(p, f, 0.00967151264);
    p = fma(p, f, 0.0555073374);
    p = fma(p, f, 0.240222421);
    p = fma(p, f, 0.693146978);
    p = fma(p, f, 1.0);
    return uintBitsToFloat(floatBitsToUint(p) + (floatBitsToUint(shifted) << 23));
}

// Sum over the lanes of a channel of 4 tokens' parts, to shared memory.
void put_sums(uint channel, uint lane, uint quad, vec4 part) {
#ifdef SUBGROUP
    if (LANES == 1) {
        s_y[channel * ROW + quad] = part;
        return;
    }
    // Halves are exchanged, so that in the end each lane has summed one token.
    bool odd = (lane & 1) != 0;
    vec2 pair = odd ? part.zw : part.xy;
    pair += subgroupShuffleXor(odd ? part.xy : part.zw, 1);
    if (LANES == 2) {
        s_y[channel * ROW + quad][odd ? 2 : 0] = pair.x;
        s_y[channel * ROW + quad][odd ? 3 : 1] = pair.y;
        return;
    }
    bool second = (lane & 2) != 0;
    float one = second ? pair.y : pair.x;
    one += subgroupShuffleXor(second ? pair.x : pair.y, 2);
    for (uint width = 4; width < LANES; width *= 2) one += subgroupShuffleXor(one, width);
    if (lane < 4) s_y[channel * ROW + quad][(lane & 1) * 2 + (lane >> 1)] = one;
#else
    s_y[(channel * LANES + lane) * ROW + quad] = part;
#endif
}
float sum_of(uint channel, uint t) {
#ifdef SUBGROUP
    return s_y[channel * ROW + t / 4][t % 4];
#else
    float sum = 0.0;
    for (uint lane = 0; lane < LANES; lane++) sum += s_y[(channel * LANES + lane) * ROW + t / 4][t % 4];
    return sum;
#endif
}

void store_tile(uint i, uint tile, uint first) {
    Floats channels = Floats(params.channels);
    vec2 y[ITEMS];
    [[unroll]] for (uint k = 0; k < ITEMS; k++) {
        uint t = token_of(i, k), pair = pair_of(i, k), d = channel_of(first, pair);
        vec2 skip = vec2(channels.at[D + d], channels.at[D + min(d + 1, D - 1)]);
        y[k] = fma(skip, x[k], vec2(sum_of(2 * pair, t), sum_of(2 * pair + 1, t)));
        if (GATE) y[k] *= vec2(silu(z[k].x), silu(z[k].y));
        if (ADD) y[k] += load2(params.y, Y_TYPE, row_of(tile + t) * params.y_stride + d, d + 1 < D);
    }
    [[unroll]] for (uint k = 0; k < ITEMS; k++) {
        uint t = token_of(i, k), d = first + 2 * pair_of(i, k);
        if (d < D && tile + t < end && !is_spare(i, k))
            store2(params.y, Y_TYPE, row_of(tile + t) * params.y_stride + d, y[k], d + 1 < D);
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

    if (begin < end) load_tile(i, begin, first);
    for (uint tile = begin; tile < end; tile += TILE) {
        place_tile(i, tile, first);
        barrier();
        if (tile + TILE < end) load_tile(i, tile + TILE, first);
        for (uint quad = 0; quad < QUADS; quad++) {
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
        barrier();
        if (!REDUCE) store_tile(i, tile, first);
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

// ssd_chain_coop: the Mamba-2 recurrence over a segment of chunks, its state in registers from chunk to chunk:
//                 y[m] = exp(S[m]) (C[m] state) + sum over k <= m of ((C[m] . B[k]) exp(S[m] - S[k]) dt[k]) x[k] + D x[m],
//                 state = exp(S[63]) state + sum over k of (dt[k] exp(S[63] - S[k]) x[k]) (outer) B[k]
//                 (Dao and Gu 2024, section 6, all steps). With SEGMENT only the state that a segment adds to none, and
//                 its sum of dt A, for ssd_carry; of all segments but a sequence's last
// Push      shaders/params/ssd.h; shapes and types stand there; x, B, C float16, or bfloat16 with BF16; Q 64; P at most 64
//           and a multiple of 16; N a multiple of 16. chunk_states hold segments here
// Mapping   a workgroup per head (x), segment (y). Its subgroups hold the state in registers, STATE_P x STATE_N parts of
//           it, and compute Y_M x Y_P parts of a chunk's y
// Constants 0 WG_SIZE, include/ssd.glsl, 8 Y_M (1, 2 or 4) 9 Y_P 10 STATE_P 11 STATE_N: products of two are the number of
//           subgroups; they divide 4, P / 16, P / 16, N / 16  12 PIECES of N, 1 or 2 (STATE_N divides N / 32 then): 2
//           for less shared memory
// Needs     VK_KHR_cooperative_matrix with 16 x 16 x 16 products of that type summed in float32; for P 64 and N 128
//           45 KiB of shared memory, 31 KiB with 4 subgroups and two PIECES, 27 KiB with SEGMENT
// Numerics  the weights (with D on their diagonal), decayed B (x with SEGMENT) and a copy of the state are rounded to the
//           operands' type; products are exact and summed in float32; the state stays float32
// Twin      tests/ref/ref_ssd.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/ssd.h"
#include "include/io.glsl"
#include "include/ssd.glsl"
#include "include/matrix.glsl"
#include "include/ssd_chain.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 256;
layout(constant_id = 8) const uint Y_M = 4;
layout(constant_id = 9) const uint Y_P = 2;
layout(constant_id = 10) const uint STATE_P = 2;
layout(constant_id = 11) const uint STATE_N = 4;
layout(constant_id = 12) const uint PIECES = 1;
const uint YM = 4 / Y_M, YP = P / 16 / Y_P; // matrices of a subgroup's part of y
#include "include/ssd_tiles.glsl"
const uint SP = P / 16 / STATE_P, SN = N / 16 / STATE_N, SNP = SN / PIECES; // of the state; of a piece's columns

uint state_row(uint i) {
    return 16 * (gl_SubgroupID / STATE_N * SP + i);
}
// Column within a piece, and of the whole: subgroups share the columns of each piece.
uint piece_column(uint j) {
    return 16 * (gl_SubgroupID % STATE_N * SNP + j % SNP);
}
uint state_column(uint j) {
    return j / SNP * PIECE + piece_column(j);
}

void scale_state(float factor, inout MATRIX_SUM state[SP][SN]) {
    [[unroll]] for (uint i = 0; i < SP; i++)
        [[unroll]] for (uint j = 0; j < SN; j++) state[i][j] = state[i][j] * factor;
}
// state += x (outer) B, one of them decayed, for the columns of a piece.
void add_outer(uint piece, inout MATRIX_SUM state[SP][SN]) {
    [[unroll]] for (uint t = 0; t < 64; t += 16) {
        MATRIX_A x[SP];
        [[unroll]] for (uint i = 0; i < SP; i++) coopMatLoad(x[i], tile_x, t * ROW_P + state_row(i) / 8, ROW_P, COLUMNS);
        [[unroll]] for (uint j = piece * SNP; j < (piece + 1) * SNP; j++) {
            MATRIX_B b;
            coopMatLoad(b, tile_n, t * ROW_N + piece_column(j) / 8, ROW_N, ROWS);
            [[unroll]] for (uint i = 0; i < SP; i++) state[i][j] = coopMatMulAdd(x[i], b, state[i][j]);
        }
    }
}
void load_state(uvec2 address, uint at, inout MATRIX_SUM state[SP][SN]) {
    [[unroll]] for (uint i = 0; i < SP; i++)
        [[unroll]] for (uint j = 0; j < SN; j++)
            coopMatLoad(state[i][j], Floats(address).at, at + state_row(i) * N + state_column(j), N, ROWS);
}
void store_state(uvec2 address, uint at, MATRIX_SUM state[SP][SN]) {
    [[unroll]] for (uint i = 0; i < SP; i++)
        [[unroll]] for (uint j = 0; j < SN; j++)
            coopMatStore(state[i][j], Floats(address).at, at + state_row(i) * N + state_column(j), N, ROWS);
}

#ifdef SEGMENT
struct segment_inputs {
    uvec4 x[LOADS_X], b[LOADS_N];
    float to_end[LOADS_X], unit, sum;
};
void fetch_inputs(uint chunk, chunk_rows rows, uint h, out segment_inputs v) {
    uint at = decays_at(chunk, h);
    Floats decays = Floats(params.decays);
    [[unroll]] for (uint j = 0; j < LOADS_X; j++) v.to_end[j] = decays.at[at + AT_TO_END + min(item(j) / (P / 8), 63)];
    v.unit = decays.at[at + AT_UNIT];
    v.sum = decays.at[at + AT_SUM + 63];
    fetch_x(rows, h, v.x);
    fetch_columns(params.b, rows, h / (H / G) * N, v.b);
}
void store_decayed_x(segment_inputs v) {
    [[unroll]] for (uint j = 0; j < LOADS_X; j++) {
        uint t = item(j) / (P / 8);
        if (t < 64) tile_x[t * ROW_P + item(j) % (P / 8)] = scale_elements(v.to_end[j], v.x[j]);
    }
}

void main() {
    uint h = gl_WorkGroupID.x;
    segment_chunks segment = chunks_of_segment(gl_WorkGroupID.y);
    if (segment.number + 1 >= segment.n) return; // what the last one adds, nobody asks for
    MATRIX_SUM state[SP][SN];
    [[unroll]] for (uint i = 0; i < SP; i++)
        [[unroll]] for (uint j = 0; j < SN; j++) state[i][j] = MATRIX_SUM(0.0);
    float total = 0.0;
    segment_inputs next; // of the next chunk: fetched ahead
    chunk_rows rows = segment.rows;
    uint left = segment.left;
    fetch_inputs(segment.first, rows, h, next);
    for (uint chunk = segment.first; chunk < segment.end; chunk++) {
        float unit = next.unit, decay = exp2(next.sum) / unit;
        total += next.sum;
        store_columns(next.b);
        store_decayed_x(next);
        barrier();
        advance(rows, left);
        fetch_inputs(min(chunk + 1, segment.end - 1), rows, h, next);
        scale_state(decay, state);
        add_outer(0, state);
        scale_state(unit, state);
        barrier(); // the tiles have been read
    }
    store_state(params.chunk_states, (gl_WorkGroupID.y * H + h) * P * N, state);
    if (gl_LocalInvocationIndex == 0) Floats(params.decays).at[decays_at(segment.first, h) + AT_SEGMENT] = total;
}
#else

// y += (rows of C) (columns of the state) of a piece.
void add_past(inout MATRIX_SUM y[YM][YP]) {
    uint row = 16 * YM * (gl_SubgroupID / Y_P), column = 16 * YP * (gl_SubgroupID % Y_P);
    [[unroll]] for (uint n = 0; n < PIECE; n += 16) {
        MATRIX_A c[YM];
        [[unroll]] for (uint i = 0; i < YM; i++) coopMatLoad(c[i], tile_n, (row + 16 * i) * ROW_N + n / 8, ROW_N, ROWS);
        [[unroll]] for (uint j = 0; j < YP; j++) {
            MATRIX_B s;
            coopMatLoad(s, tile_s, (column + 16 * j) * ROW_N + n / 8, ROW_N, COLUMNS);
            [[unroll]] for (uint i = 0; i < YM; i++) y[i][j] = coopMatMulAdd(c[i], s, y[i][j]);
        }
    }
}

// y times exp(S), row by row.
void decay_rows(inout MATRIX_SUM y[YM][YP]) {
    [[unroll]] for (uint i = 0; i < YM; i++) {
        MATRIX_SUM decay;
        coopMatLoad(decay, from_start, 16 * (YM * (gl_SubgroupID / Y_P) + i), 0, COLUMNS); // a stride of 0: rows of one value
        [[unroll]] for (uint j = 0; j < YP; j++) y[i][j] = y[i][j] * decay;
    }
}

// y += weights x
void add_own(inout MATRIX_SUM y[YM][YP]) {
    uint row = 16 * YM * (gl_SubgroupID / Y_P), column = 16 * YP * (gl_SubgroupID % Y_P);
    [[unroll]] for (uint k = 0; k < 64; k += 16) {
        if (k > row + 16 * (YM - 1)) break; // the rest of the weights is zero
        MATRIX_A w[YM];
        [[unroll]] for (uint i = 0; i < YM; i++) coopMatLoad(w[i], tile_s, (row + 16 * i) * ROW_W + k / 8, ROW_W, ROWS);
        [[unroll]] for (uint j = 0; j < YP; j++) {
            MATRIX_B x;
            coopMatLoad(x, tile_x, k * ROW_P + (column + 16 * j) / 8, ROW_P, ROWS);
            [[unroll]] for (uint i = 0; i < YM; i++) y[i][j] = coopMatMulAdd(w[i], x, y[i][j]);
        }
    }
}

// Whole rows of a subgroup's part of y, by way of shared memory: a matrix itself would write half sectors.
void store_y(MATRIX_SUM y[YM][YP], chunk_rows rows, uint h) {
    uint row = 16 * YM * (gl_SubgroupID / Y_P), column = 16 * YP * (gl_SubgroupID % Y_P);
    const uint tiles = Y_TYPE == VKS_TYPE_F32 ? 1 : STAGE_TILES;
    const uint vectors = Y_TYPE == VKS_TYPE_F32 ? 4 : 2 * tiles; // of a row
    uint at = AT_STAGE + gl_SubgroupID * STAGE;
    [[unroll]] for (uint i = 0; i < YM; i++)
        [[unroll]] for (uint j0 = 0; j0 < YP; j0 += tiles) {
            [[unroll]] for (uint j = 0; j < tiles; j++)
                if (Y_TYPE == VKS_TYPE_F32) coopMatStore(y[i][j0 + j], tile_s, at, vectors, ROWS);
                else coopMatStore(results_of(y[i][j0 + j]), tile_s, at + 2 * j, vectors, ROWS);
            subgroupMemoryBarrierShared();
            subgroupBarrier();
            for (uint e = gl_SubgroupInvocationID; e < 16 * vectors; e += gl_SubgroupSize) {
                uint t = row + 16 * i + e / vectors, to = h * P + column + 16 * j0;
                if (t >= rows.count) break;
                uint to_vector = ((rows.first + t) * params.y_stride + to) / (Y_TYPE == VKS_TYPE_F32 ? 4 : 8);
                Words4(params.y).at[to_vector + e % vectors] = tile_s[at + e];
            }
            subgroupBarrier();
        }
}

struct chain_inputs {
    vec4 decays[LOADS_D], low[LOADS_W], high[LOADS_W];
    uvec4 x[LOADS_X], c[LOADS_N], b[LOADS_N];
};
void fetch_inputs(uint chunk, chunk_rows rows, uint h, weight_row weight_rows[LOADS_W], out chain_inputs v) {
    uint g = h / (H / G);
    fetch_decays(chunk, h, v.decays);
    fetch_x(rows, h, v.x);
    fetch_columns(params.c, rows, g * N, v.c);
    fetch_columns(params.b, rows, g * N, v.b);
    fetch_products((chunk * G + g) * 4096, weight_rows, v.low, v.high);
}

// The state before a segment; before the only one lies the initial state.
void start_state(segment_chunks segment, uint h, inout MATRIX_SUM state[SP][SN]) {
    if (segment.n == 1)
        load_state(params.state, state_slot(segment.sequence) * params.state_stride + h * P * N, state);
    else
        load_state(params.chunk_states, (gl_WorkGroupID.y * H + h) * P * N, state);
}

void main() {
    uint h = gl_WorkGroupID.x, g = h / (H / G);
    segment_chunks segment = chunks_of_segment(gl_WorkGroupID.y);
    if (segment.n == 0) return;
    float d = Floats(params.heads).at[2 * H + h];
    weight_row weight_rows[LOADS_W];
    [[unroll]] for (uint j = 0; j < LOADS_W; j++) weight_rows[j] = row_of_item(item(j));
    MATRIX_SUM state[SP][SN];
    start_state(segment, h, state);
    chunk_rows rows = segment.rows;
    uint left = segment.left;
    chain_inputs next; // of the next chunk: fetched ahead
    fetch_inputs(segment.first, rows, h, weight_rows, next);
    for (uint chunk = segment.first; chunk < segment.end; chunk++) {
        MATRIX_SUM y[YM][YP];
        [[unroll]] for (uint i = 0; i < YM; i++)
            [[unroll]] for (uint j = 0; j < YP; j++) y[i][j] = MATRIX_SUM(0.0);
        store_decays(next.decays);
        store_x(next.x);
        [[unroll]] for (uint piece = 0; piece < PIECES; piece++) {
            if (piece > 0) {
                fetch_columns(params.c, rows, g * N + piece * PIECE, next.c);
                barrier();
            }
            store_columns(next.c);
            [[unroll]] for (uint i = 0; i < SP; i++)
                [[unroll]] for (uint j = piece * SNP; j < (piece + 1) * SNP; j++)
                    coopMatStore(elements_of(state[i][j]), tile_s, state_row(i) * ROW_N + piece_column(j) / 8, ROW_N, ROWS);
            barrier();
            add_past(y);
        }
        decay_rows(y);
        barrier();
        store_decayed_columns(next.b);
        store_weights(weight_rows, next.low, next.high, d);
        barrier();
        chunk_rows now = rows;
        advance(rows, left);
        fetch_inputs(min(chunk + 1, segment.end - 1), rows, h, weight_rows, next);
        add_own(y);
        store_y(y, now, h);
        float unit = decay_of(AT_UNIT);
        scale_state(from_start[63] / unit, state);
        [[unroll]] for (uint piece = 0; piece < PIECES; piece++) {
            if (piece > 0) {
                uvec4 b[LOADS_N];
                fetch_columns(params.b, now, g * N + piece * PIECE, b);
                barrier();
                store_decayed_columns(b);
                barrier();
            }
            add_outer(piece, state);
        }
        scale_state(unit, state);
        barrier(); // the tiles have been read
    }
    if (segment.number + 1 == segment.n)
        store_state(params.state, state_slot(segment.sequence) * params.state_stride + h * P * N, state);
}
#endif

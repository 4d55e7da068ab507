// ssd_chain_coop: the Mamba-2 recurrence over a segment of chunks, its state in registers from chunk to chunk:
//                 y[m] = (exp(S[m]) C[m]) state + sum over k <= m of ((C[m] . B[k]) exp(S[m] - S[k]) dt[k]) x[k] + D x[m],
//                 state = exp(S[63]) state + sum over k of x[k] (outer) dt[k] exp(S[63] - S[k]) B[k]
//                 (Dao and Gu 2024, section 6, all steps). With SEGMENT only the state that a segment adds from zero, and
//                 its sum of dt A, for ssd_carry
// Push      shaders/params/ssd.h; shapes and types stand there; x, B, C float16, or bfloat16 with BF16; Q 64; P at most 64
//           and a multiple of 16; N 64 or 128. chunk_states hold segments here
// Mapping   a workgroup of 4 subgroups per head (x), segment (y), sequence (z). A subgroup holds a quarter of the state's
//           columns n, and takes 16 of a chunk's 64 tokens m
// Constants 0 WG_SIZE (4 subgroups), include/ssd.glsl
// Needs     VK_KHR_cooperative_matrix with 16 x 16 x 16 products of that type summed in float32; subgroup arithmetic;
//           46 KiB of shared memory, with SEGMENT 28 KiB
// Numerics  exp(S) C, the weights (with D on their diagonal), E B and a copy of the state are rounded to the operands'
//           type; products are exact and summed in float32; the state stays float32
// Twin      tests/ref/ref_ssd.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/ssd.h"
#include "include/io.glsl"
#include "include/math.glsl"
#include "include/ssd.glsl"
#include "include/matrix.glsl"
#include "include/ssd_chain.glsl"

const uint FP = P / 16, FN = N / 64; // matrices of a subgroup's part of the state
// Matrices are read fastest along their rows in memory; so x and B lie turned, rows of 64 tokens.
const uint ROW_T = 64 / 8 + 1;
const uint SIZE_C = 64 * ROW_N, SIZE_B = N * ROW_T;
shared uvec4 tile_x[P * ROW_T];
#ifdef SEGMENT
shared uvec4 tile_n[SIZE_B]; // E B
#else
shared uvec4 tile_n[SIZE_C > SIZE_B ? SIZE_C : SIZE_B]; // exp(S) C, then E B
#endif

// A compiler keeps loads from memory behind the stores to shared memory that stand before them: all of a kind's loads come
// first, and their vectors wait in registers.
const uint LOADS_X = (4 * P + WG_SIZE - 1) / WG_SIZE, LOADS_N = 8 * N / WG_SIZE;

uint x_pair(uint j) {
    uint i = gl_LocalInvocationIndex + j * WG_SIZE;
    return i % 8 + i / P * 8;
}
uint x_vector(uint j) {
    return (gl_LocalInvocationIndex + j * WG_SIZE) / 8 % (P / 8);
}

// Pairs of tokens, 8 p of each; a pair past the last one repeats that.
void fetch_x(uint sequence, uint chunk, uint h, out uvec4 even[LOADS_X], out uvec4 odd[LOADS_X]) {
    [[unroll]] for (uint j = 0; j < LOADS_X; j++) {
        uint t = 2 * min(x_pair(j), 31);
        even[j] = fetch(params.x, token_row(sequence, chunk, t), h * P, x_vector(j));
        odd[j] = fetch(params.x, token_row(sequence, chunk, t + 1), h * P, x_vector(j));
    }
}

// x turned: 8 words of a pair.
void store_x(uvec4 even[LOADS_X], uvec4 odd[LOADS_X]) {
    [[unroll]] for (uint j = 0; j < LOADS_X; j++) {
        uint pair = x_pair(j), row = 8 * x_vector(j) * ROW_T + pair / 4;
        if (pair >= 32) break;
        [[unroll]] for (uint e = 0; e < 4; e++) {
            tile_x[row + 2 * e * ROW_T][pair % 4] = (even[j][e] & 0xffffu) | odd[j][e] << 16;
            tile_x[row + (2 * e + 1) * ROW_T][pair % 4] = even[j][e] >> 16 | (odd[j][e] & 0xffff0000u);
        }
    }
}

uint scale_two(vec2 factors, uint word) {
    return pack_pair(ELEMENT_TYPE, factors * unpack_pair(ELEMENT_TYPE, word));
}

// B turned: an invocation has 8 tokens of its own, and takes every WG_SIZE / 8-th n.
void fetch_b(uint at_turned, out uvec4 b[LOADS_N]) {
    [[unroll]] for (uint j = 0; j < LOADS_N; j++)
        b[j] = Words4(params.turned_b).at[at_turned + gl_LocalInvocationIndex + j * WG_SIZE];
}

void store_b(uint side, uvec4 b[LOADS_N]) {
    uint v = gl_LocalInvocationIndex % 8;
    vec2 factors[4];
    [[unroll]] for (uint e = 0; e < 4; e++)
        factors[e] = vec2(to_end(side, 8 * v + 2 * e), to_end(side, 8 * v + 2 * e + 1));
    [[unroll]] for (uint j = 0; j < LOADS_N; j++) {
        uint n = gl_LocalInvocationIndex / 8 + j * (WG_SIZE / 8);
        tile_n[n * ROW_T + v] = uvec4(scale_two(factors[0], b[j].x), scale_two(factors[1], b[j].y),
                                      scale_two(factors[2], b[j].z), scale_two(factors[3], b[j].w));
    }
}

void advance_state(uint side, inout MATRIX_SUM state[FP][FN]) {
    float unit = unit_dt[side], decay = exp2(token_sum[side][63]) * inverse_unit(side);
    [[unroll]] for (uint i = 0; i < FP; i++)
        [[unroll]] for (uint j = 0; j < FN; j++) state[i][j] = state[i][j] * decay;
    [[unroll]] for (uint t = 0; t < 64; t += 16) {
        MATRIX_B b[FN];
        [[unroll]] for (uint j = 0; j < FN; j++)
            coopMatLoad(b[j], tile_n, 16 * (gl_SubgroupID * FN + j) * ROW_T + t / 8, ROW_T, COLUMNS);
        [[unroll]] for (uint i = 0; i < FP; i++) {
            MATRIX_A x;
            coopMatLoad(x, tile_x, 16 * i * ROW_T + t / 8, ROW_T, ROWS);
            [[unroll]] for (uint j = 0; j < FN; j++) state[i][j] = coopMatMulAdd(x, b[j], state[i][j]);
        }
    }
    [[unroll]] for (uint i = 0; i < FP; i++)
        [[unroll]] for (uint j = 0; j < FN; j++) state[i][j] = state[i][j] * unit;
}

#ifndef SEGMENT
const uint ROW_K = 64 / 8 + 1, ROW_Y = P / 4 + 1;
const uint SIZE_S = P * ROW_N, SIZE_W = 64 * ROW_K, SIZE_Y = 64 * ROW_Y, SIZE_SW = SIZE_S > SIZE_W ? SIZE_S : SIZE_W;
shared uvec4 tile_s[SIZE_SW > SIZE_Y ? SIZE_SW : SIZE_Y]; // the state, then the weights, then results

void fetch_c(uint sequence, uint chunk, uint g, out uvec4 c[LOADS_N]) {
    [[unroll]] for (uint j = 0; j < LOADS_N; j++) {
        uint i = gl_LocalInvocationIndex + j * WG_SIZE;
        c[j] = fetch(params.c, token_row(sequence, chunk, i / (N / 8)), g * N, i % (N / 8));
    }
}

void store_c(uint side, uvec4 c[LOADS_N]) {
    [[unroll]] for (uint j = 0; j < LOADS_N; j++) {
        uint i = gl_LocalInvocationIndex + j * WG_SIZE, t = i / (N / 8), v = i % (N / 8);
        tile_n[t * ROW_N + v] = scale_vector(exp2(token_sum[side][t]), c[j]);
    }
}

// Weights of tokens k ... k+3 for token m; nothing above the diagonal, where the products were not computed.
vec4 weights(uint side, vec4 product, uint m, uint k) {
    vec4 w = vec4(0);
    [[unroll]] for (uint i = 0; i < 4; i++)
        if (k + i <= m)
            w[i] = product[i] * exp2(min(token_sum[side][m] - token_sum[side][k + i], 0.0)) * token_dt[side][k + i];
    return w;
}

const uint LOADS_W = 64 * 8 / WG_SIZE;

void fetch_products(uint at_product, out vec4 low[LOADS_W], out vec4 high[LOADS_W]) {
    [[unroll]] for (uint j = 0; j < LOADS_W; j++) {
        uint i = gl_LocalInvocationIndex + j * WG_SIZE, m = i / 8, k = min(i % 8 * 8, m / 8 * 8); // up to the diagonal
        low[j] = Floats4(params.products).at[(at_product + m * 64 + k) >> 2];
        high[j] = Floats4(params.products).at[(at_product + m * 64 + k + 4) >> 2];
    }
}

void store_weights(uint side, vec4 low_products[LOADS_W], vec4 high_products[LOADS_W], float d) {
    [[unroll]] for (uint j = 0; j < LOADS_W; j++) {
        uint i = gl_LocalInvocationIndex + j * WG_SIZE, m = i / 8, k = i % 8 * 8;
        vec4 low = vec4(0), high = vec4(0);
        if (k <= m) {
            low = weights(side, low_products[j], m, k);
            high = weights(side, high_products[j], m, k + 4);
            [[unroll]] for (uint e = 0; e < 4; e++) {
                if (k + e == m) low[e] += d;
                if (k + 4 + e == m) high[e] += d;
            }
        }
        tile_s[m * ROW_K + k / 8] = pack_vector(low, high);
    }
}

// Whole chunks go from registers to memory; the last one may be cut short, and passes through shared memory.
void store_whole(MATRIX_SUM y[FP], uint row, uint h) {
    uint at = row * params.y_stride + h * P;
    [[unroll]] for (uint i = 0; i < FP; i++) {
        if (Y_TYPE == VKS_TYPE_F32)
            coopMatStore(y[i], Floats(params.y).at, at + 16 * i, params.y_stride, ROWS);
        else
            coopMatStore(to_elements(y[i]), Words(params.y).at, (at + 16 * i) / 2, params.y_stride / 2, ROWS);
    }
}

void store_part(MATRIX_SUM y[FP], uint row, uint h, uint n_token) {
    barrier(); // the weights have been read
    [[unroll]] for (uint i = 0; i < FP; i++)
        coopMatStore(y[i], tile_s, 16 * gl_SubgroupID * ROW_Y + 4 * i, ROW_Y, ROWS);
    barrier();
    for (uint i = gl_LocalInvocationIndex; i < n_token * P / 4; i += WG_SIZE) {
        uint m = i / (P / 4), p = i % (P / 4) * 4, at = (row + m) * params.y_stride + h * P + p;
        vec4 v = uintBitsToFloat(tile_s[m * ROW_Y + p / 4]);
        store2(params.y, Y_TYPE, at, v.xy, true);
        store2(params.y, Y_TYPE, at + 2, v.zw, true);
    }
}

void find_outputs(uint side, uint sequence, uint chunk, uint h, MATRIX_SUM state[FP][FN], inout MATRIX_SUM y[FP]) {
    uint m0 = 16 * gl_SubgroupID, g = h / (H / G);
    uvec4 even[LOADS_X], odd[LOADS_X], c[LOADS_N];
    fetch_x(sequence, chunk, h, even, odd);
    fetch_c(sequence, chunk, g, c);
    [[unroll]] for (uint i = 0; i < FP; i++)
        [[unroll]] for (uint j = 0; j < FN; j++)
            coopMatStore(to_elements(state[i][j]), tile_s, 16 * i * ROW_N + 2 * (gl_SubgroupID * FN + j), ROW_N, ROWS);
    store_x(even, odd);
    store_c(side, c);
    uvec4 b[LOADS_N];
    vec4 low[LOADS_W], high[LOADS_W];
    fetch_b(turned_at(sequence, chunk, g), b);
    fetch_products((chunk_index(sequence, chunk) * G + g) * 4096, low, high);
    barrier();
    [[unroll]] for (uint n = 0; n < N; n += 16) {
        MATRIX_A c;
        coopMatLoad(c, tile_n, m0 * ROW_N + n / 8, ROW_N, ROWS);
        [[unroll]] for (uint i = 0; i < FP; i++) {
            MATRIX_B s;
            coopMatLoad(s, tile_s, 16 * i * ROW_N + n / 8, ROW_N, COLUMNS);
            y[i] = coopMatMulAdd(c, s, y[i]);
        }
    }
    barrier();
    store_b(side, b);
    store_weights(side, low, high, Floats(params.heads).at[2 * H + h]);
}

void add_own_tokens(inout MATRIX_SUM y[FP]) {
    uint m0 = 16 * gl_SubgroupID;
    for (uint k = 0; k <= m0; k += 16) { // the rest of the weights is zero
        MATRIX_A w;
        coopMatLoad(w, tile_s, m0 * ROW_K + k / 8, ROW_K, ROWS);
        [[unroll]] for (uint i = 0; i < FP; i++) {
            MATRIX_B x;
            coopMatLoad(x, tile_x, 16 * i * ROW_T + k / 8, ROW_T, COLUMNS);
            y[i] = coopMatMulAdd(w, x, y[i]);
        }
    }
}
#endif

void main() {
    uint h = gl_WorkGroupID.x, segment = gl_WorkGroupID.y, sequence = gl_WorkGroupID.z;
    uint chunk = segment * params.segment, end = min(chunk + params.segment, n_chunk());
    uint at_segment = ((sequence * ((n_chunk() + params.segment - 1) / params.segment) + segment) * H + h) * P * N;
    uint at_slot = state_slot(sequence) * params.state_stride + h * P * N;
    MATRIX_SUM state[FP][FN];
    [[unroll]] for (uint i = 0; i < FP; i++)
        [[unroll]] for (uint j = 0; j < FN; j++) {
#ifdef SEGMENT
            state[i][j] = MATRIX_SUM(0.0);
#else
            uint at = 16 * i * N + 16 * (gl_SubgroupID * FN + j);
            if (params.segment < n_chunk()) coopMatLoad(state[i][j], Floats(params.chunk_states).at, at_segment + at, N, ROWS);
            else coopMatLoad(state[i][j], Floats(params.state).at, at_slot + at, N, ROWS);
#endif
        }

    float total = 0.0;
    float dt[PARTS];
    fetch_dt(sequence, chunk, h, dt);
    if (gl_SubgroupID == 0) find_decays(0, chunk, h, dt);
    barrier();
    for (uint side = 0; chunk < end; chunk++, side ^= 1) {
        fetch_dt(sequence, min(chunk + 1, end - 1), h, dt);
#ifdef SEGMENT
        uvec4 even[LOADS_X], odd[LOADS_X], b[LOADS_N];
        fetch_x(sequence, chunk, h, even, odd);
        fetch_b(turned_at(sequence, chunk, h / (H / G)), b);
        store_x(even, odd);
        store_b(side, b);
        total += token_sum[side][63];
#else
        MATRIX_SUM y[FP];
        [[unroll]] for (uint i = 0; i < FP; i++) y[i] = MATRIX_SUM(0.0);
        find_outputs(side, sequence, chunk, h, state, y);
#endif
        barrier();
        if (gl_SubgroupID == 0 && chunk + 1 < end) find_decays(side ^ 1, chunk + 1, h, dt);
#ifndef SEGMENT
        add_own_tokens(y);
        uint n_token = chunk_tokens(chunk), row = token_row(sequence, chunk, 0);
        if (n_token == 64) store_whole(y, row + 16 * gl_SubgroupID, h);
        else store_part(y, row, h, n_token);
#endif
        advance_state(side, state);
        barrier(); // the tiles and this chunk's decays have been read
    }

#ifdef SEGMENT
    if (gl_LocalInvocationIndex == 0) Floats(params.decays).at[at_segment / (P * N)] = total;
    bool is_last = true;
#else
    bool is_last = end == n_chunk();
#endif
    if (!is_last) return;
    [[unroll]] for (uint i = 0; i < FP; i++)
        [[unroll]] for (uint j = 0; j < FN; j++) {
            uint at = 16 * i * N + 16 * (gl_SubgroupID * FN + j);
#ifdef SEGMENT
            coopMatStore(state[i][j], Floats(params.chunk_states).at, at_segment + at, N, ROWS);
#else
            coopMatStore(state[i][j], Floats(params.state).at, at_slot + at, N, ROWS);
#endif
        }
}

// Shared memory of the chained SSD, and what goes into it: rows of tokens, 8 elements a vector, one vector of padding a
// row against bank conflicts. Include it where WG_SIZE, PIECES and YP are known.
const uint SUBGROUPS = Y_M * Y_P;
const uint PIECE = N / PIECES, ROW_N = PIECE / 8 + 1, ROW_P = P / 8 + 1, ROW_W = 64 / 8 + 1;
shared uvec4 tile_n[64 * ROW_N]; // a piece of the columns of C, then of B
shared uvec4 tile_x[64 * ROW_P];
#ifndef SEGMENT
// A piece of the state's columns; then the weights, and behind them a place for each subgroup's results.
const uint STAGE_TILES = PIECES == 1 ? YP : 1, STAGE = Y_TYPE == VKS_TYPE_F32 ? 64 : 32 * STAGE_TILES;
const uint AT_STAGE = 64 * ROW_W, SIZE_S = P * ROW_N, SIZE_W = AT_STAGE + SUBGROUPS * STAGE;
shared uvec4 tile_s[SIZE_S > SIZE_W ? SIZE_S : SIZE_W];
shared vec4 decays[(AT_UNIT + 4) / 4]; // of the chunk
shared float from_start[64];           // exp(S)
#endif

// Operands' elements, rounded to nearest. Bfloat16 by Veltkamp's splitting (Dekker 1971) in float32 arithmetic, which GPUs
// do twice as fast as that of integers: NaN stays NaN, and so does what exceeds 2^111.
vec2 rounded(vec2 v) {
#ifdef BF16
    precise vec2 scaled = 65537.0 * v, rest = scaled - v, high = scaled - rest;
    return high;
#else
    return v;
#endif
}
uint pack_elements(vec2 v) {
#ifdef BF16
    uvec2 bits = floatBitsToUint(rounded(v));
    return bits.x >> 16 | (bits.y & 0xffff0000u);
#else
    return packHalf2x16(v);
#endif
}
uvec4 pack_elements(vec4 low, vec4 high) {
    return uvec4(pack_elements(low.xy), pack_elements(low.zw), pack_elements(high.xy), pack_elements(high.zw));
}
uvec4 scale_elements(float factor, uvec4 v) {
    return uvec4(pack_elements(factor * unpack_pair(ELEMENT_TYPE, v.x)), pack_elements(factor * unpack_pair(ELEMENT_TYPE, v.y)),
                 pack_elements(factor * unpack_pair(ELEMENT_TYPE, v.z)), pack_elements(factor * unpack_pair(ELEMENT_TYPE, v.w)));
}
MATRIX_OUT elements_of(MATRIX_SUM sums) {
#ifdef BF16
    for (int i = 0; i < sums.length(); i++) sums[i] = rounded(vec2(sums[i])).x; // a conversion of matrices may cut off
#endif
    return MATRIX_OUT(sums);
}

// The same of results: float16 ends at 65504, as in pack_result.
MATRIX_OUT results_of(MATRIX_SUM sums) {
#ifdef BF16
    return elements_of(sums);
#else
    return to_elements(sums);
#endif
}

// A compiler keeps loads from memory behind the stores to shared memory that stand before them: so all loads of a tile
// come first.
const uint LOADS_X = (64 * P / 8 + WG_SIZE - 1) / WG_SIZE, LOADS_N = (64 * PIECE / 8 + WG_SIZE - 1) / WG_SIZE;

uint item(uint j) {
    return gl_LocalInvocationIndex + j * WG_SIZE;
}
uvec4 fetch(uvec2 address, chunk_rows rows, uint t, uint column) {
    return Words4(address).at[(token_row(rows, min(t, 63)) * params.x_stride + column) >> 3];
}
void fetch_x(chunk_rows rows, uint h, out uvec4 x[LOADS_X]) {
    [[unroll]] for (uint j = 0; j < LOADS_X; j++)
        x[j] = fetch(params.x, rows, item(j) / (P / 8), h * P + item(j) % (P / 8) * 8);
}
void fetch_columns(uvec2 address, chunk_rows rows, uint first, out uvec4 v[LOADS_N]) {
    [[unroll]] for (uint j = 0; j < LOADS_N; j++)
        v[j] = fetch(address, rows, item(j) / (PIECE / 8), first + item(j) % (PIECE / 8) * 8);
}
void store_columns(uvec4 v[LOADS_N]) {
    [[unroll]] for (uint j = 0; j < LOADS_N; j++)
        if (item(j) < 64 * PIECE / 8) tile_n[item(j) / (PIECE / 8) * ROW_N + item(j) % (PIECE / 8)] = v[j];
}
#ifndef SEGMENT
const uint LOADS_D = (AT_UNIT / 4 + WG_SIZE) / WG_SIZE;
float decay_of(uint i) {
    return decays[i / 4][i % 4];
}
void fetch_decays(uint chunk, uint h, out vec4 v[LOADS_D]) {
    [[unroll]] for (uint j = 0; j < LOADS_D; j++)
        v[j] = Floats4(params.decays).at[(decays_at(chunk, h) >> 2) + min(item(j), AT_UNIT / 4)];
}
void store_decays(vec4 v[LOADS_D]) {
    [[unroll]] for (uint j = 0; j < LOADS_D; j++) {
        if (item(j) <= AT_UNIT / 4) decays[item(j)] = v[j];
        if (item(j) < 16)
            [[unroll]] for (uint e = 0; e < 4; e++) from_start[4 * item(j) + e] = exp2(v[j][e]);
    }
}

void store_x(uvec4 x[LOADS_X]) {
    [[unroll]] for (uint j = 0; j < LOADS_X; j++)
        if (item(j) < 64 * P / 8) tile_x[item(j) / (P / 8) * ROW_P + item(j) % (P / 8)] = x[j];
}
// B as the state takes it up.
void store_decayed_columns(uvec4 v[LOADS_N]) {
    [[unroll]] for (uint j = 0; j < LOADS_N; j++) {
        uint t = item(j) / (PIECE / 8);
        if (t < 64) tile_n[t * ROW_N + item(j) % (PIECE / 8)] = scale_elements(decay_of(AT_TO_END + t), v[j]);
    }
}

// The weights of a chunk's tokens for each other, in blocks of 8 x 8: of the 10 matrices up to the diagonal, the 28 blocks
// below it, the 8 on it, and the 4 above it that share a matrix with those. A block's rows are neighbouring items; the
// dear ones on the diagonal fall to subgroups that have no second turn.
const uint LOADS_W = (320 + WG_SIZE - 1) / WG_SIZE, BELOW = 0, ON = 1, ABOVE = 2;
struct weight_row {
    uint m, k, kind; // weights k ... k+7 of token m
};
weight_row row_of_item(uint i) {
    uint block = i / 8;
    if (block >= 8 && block < 16) return weight_row(i - 64, (block - 8) * 8, ON);
    if (block >= 36) return weight_row((min(block, 39) - 36) * 16 + i % 8, (min(block, 39) - 36) * 16 + 8, ABOVE);
    uint below = block < 8 ? block : block - 8, row = 1;
    while (below >= row) below -= row++;
    return weight_row(row * 8 + i % 8, below * 8, BELOW);
}
void fetch_products(uint at, weight_row w[LOADS_W], out vec4 low[LOADS_W], out vec4 high[LOADS_W]) {
    [[unroll]] for (uint j = 0; j < LOADS_W; j++) {
        uint i = (at + w[j].m * 64 + w[j].k) >> 2;
        low[j] = Floats4(params.products).at[i];
        high[j] = Floats4(params.products).at[i + 1];
    }
}
// On the diagonal: with D, and nothing above it.
vec4 diagonal_weights(vec4 product, uint m, uint k, float d) {
    vec4 decay = exp2(min(vec4(decay_of(AT_SUM + m)) - decays[(AT_SUM + k) / 4], vec4(0))), w;
    product *= decay * decays[(AT_DT + k) / 4];
    [[unroll]] for (uint i = 0; i < 4; i++) w[i] = k + i < m ? product[i] : k + i == m ? product[i] + d : 0.0;
    return w;
}
void store_weights(weight_row rows[LOADS_W], vec4 low[LOADS_W], vec4 high[LOADS_W], float d) {
    [[unroll]] for (uint j = 0; j < LOADS_W; j++) {
        uint m = rows[j].m, k = rows[j].k;
        uvec4 v = uvec4(0);
        if (rows[j].kind == BELOW) {
            float decay = exp2(min(decay_of(AT_SUM + m) - decay_of(AT_SUM + k + 7), 0.0));
            v = pack_elements(low[j] * (decay * decays[(AT_WEIGHT + k) / 4]), high[j] * (decay * decays[(AT_WEIGHT + k) / 4 + 1]));
        } else if (rows[j].kind == ON)
            v = pack_elements(diagonal_weights(low[j], m, k, d), diagonal_weights(high[j], m, k + 4, d));
        if (item(j) < 320) tile_s[m * ROW_W + k / 8] = v;
    }
}
#endif

// matmul_coop: Y[m, n] = sum over k of X[m, k] W[n, k] (+ bias[n]) (+ Y[m, n] with ACCUMULATE), X and W of one 16-bit type,
//           or W in blocks with BLOCKS, which becomes float16 on the way to shared memory
// Push      shaders/params/matmul.h; shapes and types stand there; X and W float16, or bfloat16 with BF16; K a multiple
//           of 8
// Mapping   a workgroup of SUBGROUPS_M x SUBGROUPS_N subgroups computes a tile of TILE_M rows by TILE_N outputs by
//           cooperative matrices of 16 x 16 x 16; each subgroup holds its part of the tile in registers. Operands pass
//           through shared memory, DEPTH values of k at a time; while one piece is multiplied, the next is fetched to
//           registers, W's vectors first and X's behind the first product, so that the loads of all workgroups do not
//           come at one time. Workgroups along z each sum k_split values of k and write [z, M, N], which sum_parts
//           adds up. Tiles go by bands of BAND rows of tiles, so that those under way at one time share operands
// Constants 0 WG_SIZE (subgroups times subgroup size; divides TILE_M DEPTH / 8 and TILE_N DEPTH / 8)  1 Y_TYPE  2 BIAS
//           3 ACCUMULATE  4 TILE_M  5 TILE_N  6 SUBGROUPS_M  7 SUBGROUPS_N (16 times these divide the tile's sides)
//           8 DEPTH (multiple of 16, at least 32)  9 WHOLE_K: K is a multiple of DEPTH  10 DIRECT: Y has the operands' type or is
//           float32, and its rows start on 16 bytes  11 W_TYPE, with BLOCKS
// Needs     VK_KHR_cooperative_matrix with 16 x 16 x 16 products of that type summed in float32; 2 (TILE_M + TILE_N)
//           (DEPTH + 8) bytes of shared memory
// Numerics  exact products, summed in float32 in an order that the device chooses
// Twin      tests/ref/ref_matmul.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/matmul.h"
#include "include/io.glsl"
#include "include/matrix.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 128;
layout(constant_id = 1) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const bool BIAS = false;
layout(constant_id = 3) const bool ACCUMULATE = false;
layout(constant_id = 4) const uint TILE_M = 128;
layout(constant_id = 5) const uint TILE_N = 128;
layout(constant_id = 6) const uint SUBGROUPS_M = 2;
layout(constant_id = 7) const uint SUBGROUPS_N = 2;
layout(constant_id = 8) const uint DEPTH = 32;
layout(constant_id = 9) const bool WHOLE_K = false;
layout(constant_id = 10) const bool DIRECT = false;
#ifdef BLOCKS
#include "include/weights.glsl"
layout(constant_id = 11) const uint W_TYPE = VKS_TYPE_Q8_0;
#endif

const uint BAND = 8;
const uint VECTORS = DEPTH / 8, ROW = VECTORS + 1; // of 8 elements in a row; one of padding spreads the banks
const uint FM = TILE_M / 16 / SUBGROUPS_M, FN = TILE_N / 16 / SUBGROUPS_N;              // matrices of a subgroup
const uint FETCH_X = TILE_M * VECTORS / WG_SIZE, FETCH_W = TILE_N * VECTORS / WG_SIZE; // vectors that an invocation brings

shared uvec4 tile_x[TILE_M * ROW];
shared uvec4 tile_w[TILE_N * ROW];

// Row and vector within the row of the i-th fetch of this invocation: neighbours take neighbouring vectors.
uint fetch_row(uint i) {
    return (i * WG_SIZE + gl_LocalInvocationIndex) / VECTORS;
}
uint fetch_vector(uint i) {
    return (i * WG_SIZE + gl_LocalInvocationIndex) % VECTORS;
}

// Vector `first` of the operand, k values further. Rows outside repeat the last one, and their results are not stored;
// values of k outside are zero.
uvec4 fetch(uvec2 address, uint first, uint vector, uint k) {
    if (!WHOLE_K && k + 8 * vector >= params.n_in) return uvec4(0);
    return Words4(address).at[first + (k >> 3)];
}

// The same of W, whose blocks become elements on the way. start_of_w: what `first` is.
#ifdef BLOCKS
uint start_of_w(uint row, uint vector) {
    return row * params.w_stride;
}
uvec4 fetch_w(uint first, uint vector, uint k) {
    if (!WHOLE_K && k + 8 * vector >= params.n_in) return uvec4(0);
    vec4 low, high;
    float scale;
    load_weights8(params.w, W_TYPE, first, k + 8 * vector, params.n_in, low, high, scale);
    return pack_vector(scale * low, scale * high);
}
#else
uint start_of_w(uint row, uint vector) {
    return row * (params.w_stride >> 3) + vector;
}
uvec4 fetch_w(uint first, uint vector, uint k) {
    return fetch(params.w, first, vector, k);
}
#endif

// Where this workgroup's part of the sums begins.
uint part_of_y() {
    return gl_WorkGroupID.z * params.n_row * params.y_stride;
}

// One 16 x 16 matrix of results, staged in shared memory where every invocation of the subgroup takes pairs of a row.
void store_staged(uint stage, uint m0, uint n0) {
    for (uint i = gl_SubgroupInvocationID; i < 128; i += gl_SubgroupSize) {
        uint m = m0 + i / 8, n = n0 + i % 8 * 2;
        if (m >= params.n_row || n >= params.n_out) continue;
        bool both = n + 1 < params.n_out;
        uvec4 four = tile_x[stage + i / 2];
        vec2 y = uintBitsToFloat(i % 2 == 0 ? four.xy : four.zw);
        if (BIAS) y += vec2(Floats(params.bias).at[n], both ? Floats(params.bias).at[n + 1] : 0.0);
        uint at = part_of_y() + m * params.y_stride + n;
        if (ACCUMULATE) y += vec2(load1(params.y, Y_TYPE, at), both ? load1(params.y, Y_TYPE, at + 1) : 0.0);
        store2(params.y, Y_TYPE, at, y, both);
    }
}

// 16-bit results that lie in tile_w from `stage` on, 16 rows of FN matrices: by whole vectors of a row. Stores of matrices
// write 16 bytes of each row at a time.
void store_rows(uint stage, uint m0, uint n0) {
    for (uint i = gl_SubgroupInvocationID; i < 32 * FN; i += gl_SubgroupSize) {
        uint m = m0 + i / (2 * FN), n = n0 + i % (2 * FN) * 8, at = m * params.y_stride + n;
        if (m >= params.n_row || n >= params.n_out) continue;
        uvec4 eight = tile_w[stage + i];
        if (n + 8 <= params.n_out) {
            Words4(params.y).at[at >> 3] = eight;
            continue;
        }
        [[unroll]] for (uint pair = 0; pair < 4; pair++) // of the row's end, with a zero behind an odd number of outputs
            if (n + 2 * pair < params.n_out)
                Words(params.y).at[(at >> 1) + pair] = n + 2 * pair + 1 < params.n_out ? eight[pair] : eight[pair] & 0xffffu;
    }
}

// What y holds of a matrix that lies wholly inside, and the matrix itself.
MATRIX_SUM load_direct(uint at) {
    MATRIX_SUM before;
    if (Y_TYPE == VKS_TYPE_F32) {
        coopMatLoad(before, Floats(params.y).at, at, params.y_stride, ROWS);
        return before;
    }
    MATRIX_OUT elements;
    coopMatLoad(elements, Words(params.y).at, at / 2, params.y_stride / 2, ROWS);
    return MATRIX_SUM(elements);
}
void store_direct(MATRIX_SUM y, uint at) {
    if (Y_TYPE == VKS_TYPE_F32) coopMatStore(y, Floats(params.y).at, at, params.y_stride, ROWS);
    else coopMatStore(to_elements(y), Words(params.y).at, at / 2, params.y_stride / 2, ROWS);
}

// This workgroup's tile: column and row of tiles.
uvec2 find_tile() {
    uint index = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, in_band = BAND * gl_NumWorkGroups.x;
    uint first = index / in_band * BAND, n_row = min(gl_NumWorkGroups.y - first, BAND);
    return uvec2(index % in_band / n_row, first + index % in_band % n_row);
}

void main() {
    uvec2 tile = find_tile();
    uint m0 = tile.y * TILE_M, n0 = tile.x * TILE_N;
    uint sm = gl_SubgroupID / SUBGROUPS_N * FM * 16, sn = gl_SubgroupID % SUBGROUPS_N * FN * 16;
    MATRIX_SUM sum[FM][FN];
    [[unroll]] for (uint i = 0; i < FM; i++)
        [[unroll]] for (uint j = 0; j < FN; j++) sum[i][j] = MATRIX_SUM(0.0);

    uint begin = gl_WorkGroupID.z * params.k_split, end = min(begin + params.k_split, params.n_in);
    uvec4 next_x[FETCH_X], next_w[FETCH_W];
    uint first_x[FETCH_X], first_w[FETCH_W];
    [[unroll]] for (uint i = 0; i < FETCH_X; i++) {
        first_x[i] = min(m0 + fetch_row(i), params.n_row - 1) * (params.x_stride >> 3) + fetch_vector(i);
        next_x[i] = fetch(params.x, first_x[i], fetch_vector(i), begin);
    }
    [[unroll]] for (uint i = 0; i < FETCH_W; i++) {
        first_w[i] = start_of_w(min(n0 + fetch_row(i), params.n_out - 1), fetch_vector(i));
        next_w[i] = fetch_w(first_w[i], fetch_vector(i), begin);
    }
    for (uint k0 = begin; k0 < end; k0 += DEPTH) {
        barrier(); // the piece before has been read
        [[unroll]] for (uint i = 0; i < FETCH_W; i++) tile_w[fetch_row(i) * ROW + fetch_vector(i)] = next_w[i];
        [[unroll]] for (uint i = 0; i < FETCH_X; i++) tile_x[fetch_row(i) * ROW + fetch_vector(i)] = next_x[i];
        barrier();
        uint k1 = WHOLE_K ? min(k0 + DEPTH, params.n_in - DEPTH) : k0 + DEPTH;
        [[unroll]] for (uint i = 0; i < FETCH_W; i++) next_w[i] = fetch_w(first_w[i], fetch_vector(i), k1);
        [[unroll]] for (uint k = 0; k < VECTORS; k += 2) {
            if (k == 2)
                [[unroll]] for (uint i = 0; i < FETCH_X; i++)
                    next_x[i] = fetch(params.x, first_x[i], fetch_vector(i), k1);
            MATRIX_A a[FM];
            [[unroll]] for (uint i = 0; i < FM; i++) coopMatLoad(a[i], tile_x, (sm + 16 * i) * ROW + k, ROW, ROWS);
            [[unroll]] for (uint j = 0; j < FN; j++) {
                MATRIX_B b;
                coopMatLoad(b, tile_w, (sn + 16 * j) * ROW + k, ROW, COLUMNS);
                [[unroll]] for (uint i = 0; i < FM; i++) sum[i][j] = coopMatMulAdd(a[i], b, sum[i][j]);
            }
        }
    }

    barrier(); // the tiles have been read: they now hold results
    [[unroll]] for (uint i = 0; i < FM; i++) {
        uint m = m0 + sm + 16 * i, n = n0 + sn;
        if (DIRECT && !BIAS && !ACCUMULATE && Y_TYPE != VKS_TYPE_F32) {
            uint stage = gl_SubgroupID * 32 * FN;
            [[unroll]] for (uint j = 0; j < FN; j++)
                coopMatStore(to_elements(sum[i][j]), tile_w, stage + 2 * j, 2 * FN, ROWS);
            subgroupMemoryBarrierShared();
            subgroupBarrier();
            store_rows(stage, m, n);
            subgroupBarrier();
            continue;
        }
        bool direct = DIRECT && !BIAS && m + 16 <= params.n_row;
        uint at = part_of_y() + m * params.y_stride + n, stage = gl_SubgroupID * 64; // of tile_x, for a matrix of float32
        [[unroll]] for (uint j = 0; j < FN; j++) // all loads first
            if (ACCUMULATE && direct && n + 16 * (j + 1) <= params.n_out) sum[i][j] += load_direct(at + 16 * j);
        [[unroll]] for (uint j = 0; j < FN; j++) {
            if (direct && n + 16 * (j + 1) <= params.n_out) {
                store_direct(sum[i][j], at + 16 * j);
                continue;
            }
            coopMatStore(sum[i][j], tile_x, stage, 4, ROWS);
            subgroupMemoryBarrierShared();
            subgroupBarrier();
            store_staged(stage, m, n + 16 * j);
            subgroupBarrier();
        }
    }
}

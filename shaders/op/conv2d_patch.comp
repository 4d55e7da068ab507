// conv2d_patch: y = act(x * w + bias + added) (+ y with ACCUMULATE), a convolution of images with stride 1 as a product, x and w
//           of one 16-bit type; see conv2d_coop. A patch of an image and its margin lie in shared memory once for all taps of
//           the kernel: 9 times less to fetch for 3 x 3
// Push      shaders/params/conv2d.h; shapes and types stand there; x and w float16, or bfloat16 with BF16; C a multiple of 8;
//           pixel_step 1
// Mapping   a workgroup of SUBGROUPS_M x SUBGROUPS_N subgroups computes a patch of PATCH rows of 16 pixels (y, z: patches of an
//           image by rows, then images) by TILE_N outputs (x) by cooperative matrices of 16 x 16 x 16, of which one's rows are
//           neighbouring pixels; each subgroup holds its part in registers. DEPTH channels of the patch pass through shared
//           memory at a time, and with them the weights of one tap after the other; while one is multiplied, the next is
//           fetched to registers
// Constants 0 WG_SIZE (subgroups times subgroup size; divides TILE_N DEPTH / 8)  1 PATCH  2 TILE_N  9 SUBGROUPS_M
//           10 SUBGROUPS_N (they divide PATCH and TILE_N / 16)  11 DEPTH (multiple of 16)  12 WHOLE: C is a multiple of
//           DEPTH  14 KERNEL_HEIGHT  15 KERNEL_WIDTH  16 BUFFERS of weights: with 2 there is one barrier a tap; and
//           those of include/conv2d.glsl and include/conv2d_matrix.glsl
// Needs     VK_KHR_cooperative_matrix with 16 x 16 x 16 products of that type summed in float32; 2 (DEPTH + 8) bytes of shared
//           memory for every pixel of patch and margin and every output and buffer, of the former at least 1 KiB a subgroup
// Numerics  exact products, summed in float32 in an order that the device chooses
// Twin      tests/ref/ref_conv2d.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/conv2d.h"
#include "include/io.glsl"
#include "include/matrix.glsl"
#include "include/conv2d.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 128;
layout(constant_id = 1) const uint PATCH = 16;
layout(constant_id = 2) const uint TILE_N = 64;
layout(constant_id = 9) const uint SUBGROUPS_M = 4;
layout(constant_id = 10) const uint SUBGROUPS_N = 1;
layout(constant_id = 11) const uint DEPTH = 32;
layout(constant_id = 12) const bool WHOLE = false;
layout(constant_id = 14) const uint KERNEL_HEIGHT = 3;
layout(constant_id = 15) const uint KERNEL_WIDTH = 3;
layout(constant_id = 16) const uint BUFFERS = 2;

const uint VECTORS = DEPTH / 8, ROW = VECTORS + 1; // of 8 elements in a row; one of padding spreads the banks
const uint FM = PATCH / SUBGROUPS_M, FN = TILE_N / 16 / SUBGROUPS_N; // matrices of a subgroup
const uint SPAN = 15 + KERNEL_WIDTH; // pixels of a row of the patch with its margin
const uint N_VECTOR_X = (PATCH + KERNEL_HEIGHT - 1) * SPAN * VECTORS, SIZE_W = TILE_N * ROW;
const uint FETCH_X = (N_VECTOR_X + WG_SIZE - 1) / WG_SIZE, FETCH_W = TILE_N * VECTORS / WG_SIZE; // of an invocation
const uint N_TAP = KERNEL_HEIGHT * KERNEL_WIDTH;
const uint FETCH_TAP = N_TAP > 3 ? N_TAP - 3 : 0; // while it is multiplied, the next channels of the patch are fetched

shared uvec4 tile_x[N_VECTOR_X / VECTORS * ROW];
shared uvec4 tile_w[BUFFERS * SIZE_W];
#define stage tile_x // once the last piece has been read
#include "include/conv2d_matrix.glsl"

// The patch's corner in its image, and the image's first pixel.
struct Place {
    uint first, top, left;
};

// The i-th fetch of this invocation: neighbours take neighbouring vectors.
uint fetch_index(uint i) {
    return i * WG_SIZE + gl_LocalInvocationIndex;
}

uvec4 fetch_x(Place place, uint i, uint c0) {
    uint index = fetch_index(i), pixel = index / VECTORS, c = c0 + index % VECTORS * 8;
    // A negative coordinate becomes a large one.
    uint y = place.top + pixel / SPAN - params.pad_top, x = place.left + pixel % SPAN - params.pad_left;
    if (index >= N_VECTOR_X || y >= params.in_height || x >= params.in_width) return uvec4(0);
    if (!WHOLE && c >= params.n_channel) return uvec4(0);
    return Words4(params.x).at[((place.first + y * params.in_width + x) * params.x_stride + c) >> 3];
}

// Rows past the end repeat the last one, and their results are not stored.
uvec4 fetch_w(uint first, uint tap, uint c) {
    if (!WHOLE && c >= params.n_channel) return uvec4(0);
    return Words4(params.w).at[(first + tap * params.n_channel + c) >> 3];
}

Place find_place(uint index) {
    uint n_x = (params.in_width + 15) / 16, n_y = (params.in_height + PATCH - 1) / PATCH, in_image = index % (n_x * n_y);
    return Place(index / (n_x * n_y) * params.in_height * params.in_width, in_image / n_x * PATCH, in_image % n_x * 16);
}

void main() {
    Place place = find_place(row_group());
    if (place.first >= params.n_row) return; // the whole workgroup
    uint n0 = gl_WorkGroupID.x * TILE_N;
    uint sm = gl_SubgroupID / SUBGROUPS_N * FM, sn = gl_SubgroupID % SUBGROUPS_N * FN * 16;
    MATRIX_SUM sum[FM][FN];
    [[unroll]] for (uint i = 0; i < FM; i++)
        [[unroll]] for (uint j = 0; j < FN; j++) sum[i][j] = MATRIX_SUM(0.0);

    uint first_w[FETCH_W];
    uvec4 next_x[FETCH_X], next_w[FETCH_W];
    [[unroll]] for (uint i = 0; i < FETCH_X; i++) next_x[i] = fetch_x(place, i, 0);
    [[unroll]] for (uint i = 0; i < FETCH_W; i++) {
        first_w[i] = min(n0 + fetch_index(i) / VECTORS, params.n_out - 1) * params.w_stride;
        next_w[i] = fetch_w(first_w[i], 0, fetch_index(i) % VECTORS * 8);
    }
    uint n_step = (params.n_channel + DEPTH - 1) / DEPTH * N_TAP, tap = 0, c0 = 0, at_w = 0;
    for (uint step = 0; step < n_step; step++) {
        if (BUFFERS == 1 || tap == 0) barrier(); // the piece before has been read
        if (tap == 0)
            [[unroll]] for (uint i = 0; i < FETCH_X; i++) {
                uint index = fetch_index(i);
                if (index < N_VECTOR_X) tile_x[index / VECTORS * ROW + index % VECTORS] = next_x[i];
            }
        [[unroll]] for (uint i = 0; i < FETCH_W; i++)
            tile_w[at_w + fetch_index(i) / VECTORS * ROW + fetch_index(i) % VECTORS] = next_w[i];
        barrier();
        // The next piece; behind the last one, what is fetched is not used.
        uint next = tap + 1 == N_TAP ? 0 : tap + 1, next_c = c0 + DEPTH < params.n_channel ? c0 + DEPTH : 0;
        if (tap == FETCH_TAP) [[unroll]] for (uint i = 0; i < FETCH_X; i++) next_x[i] = fetch_x(place, i, next_c);
        uint c = next == 0 ? next_c : c0;
        [[unroll]] for (uint i = 0; i < FETCH_W; i++)
            next_w[i] = fetch_w(first_w[i], next, c + fetch_index(i) % VECTORS * 8);
        uint corner = ((sm + tap / KERNEL_WIDTH) * SPAN + tap % KERNEL_WIDTH) * ROW;
        [[unroll]] for (uint k = 0; k < VECTORS; k += 2) {
            MATRIX_A a[FM];
            [[unroll]] for (uint i = 0; i < FM; i++) coopMatLoad(a[i], tile_x, corner + i * SPAN * ROW + k, ROW, ROWS);
            [[unroll]] for (uint j = 0; j < FN; j++) {
                MATRIX_B b;
                coopMatLoad(b, tile_w, at_w + (sn + 16 * j) * ROW + k, ROW, COLUMNS);
                [[unroll]] for (uint i = 0; i < FM; i++) sum[i][j] = coopMatMulAdd(a[i], b, sum[i][j]);
            }
        }
        tap = next;
        c0 = tap == 0 ? c0 + DEPTH : c0;
        if (BUFFERS == 2) at_w = SIZE_W - at_w;
    }

    barrier(); // the tiles have been read
    uint x_left = min(params.in_width - place.left, 16u);
    [[unroll]] for (uint i = 0; i < FM; i++) {
        uint y = place.top + sm + i, n_pixel = y < params.in_height ? x_left : 0;
        uint m = place.first + y * params.in_width + place.left;
        [[unroll]] for (uint j = 0; j < FN; j++) store_matrix(sum[i][j], m, n_pixel, n0 + sn + 16 * j);
    }
}

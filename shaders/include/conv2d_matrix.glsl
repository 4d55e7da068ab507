// What the convolution kernels on cooperative matrices share: the way of a matrix of sums to memory. Include it behind
// matrix.glsl and conv2d.glsl; `stage` is shared memory, 64 uvec4 for every subgroup. Constant 13 DIRECT: nothing happens to
// a sum, y has the operands' type or is float32, and its rows start on 16 bytes.
layout(constant_id = 13) const bool DIRECT = false;

// A matrix that lies wholly inside: from registers to memory.
void store_direct(MATRIX_SUM y, uint at) {
    if (Y_TYPE == VKS_TYPE_F32)
        coopMatStore(y, Floats(params.y).at, at, params.y_stride, ROWS);
    else
        coopMatStore(to_elements(y), Words(params.y).at, at / 2, params.y_stride / 2, ROWS);
}

// The sums of pixels m ... m+n_pixel-1 (of 16) and outputs n ... n+15. What is not stored as it is passes through shared
// memory, where every invocation of the subgroup takes pairs of a row.
void store_matrix(MATRIX_SUM y, uint m, uint n_pixel, uint n) {
    if (DIRECT && n_pixel == 16 && n + 16 <= params.n_out) {
        store_direct(y, m * params.y_stride + n);
    } else {
        uint first = gl_SubgroupID * 64;
        coopMatStore(y, stage, first, 4, ROWS);
        subgroupMemoryBarrierShared();
        subgroupBarrier();
        for (uint i = gl_SubgroupInvocationID; i < n_pixel * 8; i += gl_SubgroupSize) {
            uvec4 four = stage[first + i / 2];
            store_result(m + i / 8, n + i % 8 * 2, uintBitsToFloat(i % 2 == 0 ? four.xy : four.zw));
        }
        subgroupBarrier();
    }
}

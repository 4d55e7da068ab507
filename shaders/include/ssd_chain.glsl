// What the kernels of the chained SSD share: the decays of a chunk of 64 tokens, in shared memory, and its tiles.
// Sums of dt A are kept times log2(e), for exp2. Everything is zero past the end of the sequence.
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_ballot : require

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 128; // 4 subgroups

const uint ROW_N = N / 8 + 1; // vectors in a row of a tile; one of padding spreads the banks
shared float token_dt[2][64], token_sum[2][64]; // of two chunks: one is read while the next one is prepared
shared float unit_dt[2];                        // a power of two that no dt of the chunk is twice as large as

// dt before bias and softplus, for the tokens of a chunk that an invocation of one subgroup stands for: loaded early.
const uint LANES = WG_SIZE / 4, PARTS = LANES < 64 ? 64 / LANES : 1;
void fetch_dt(uint sequence, uint chunk, uint h, out float dt[PARTS]) {
    [[unroll]] for (uint i = 0; i < PARTS; i++)
        dt[i] = load1(params.dt, X_TYPE, token_row(sequence, chunk, i * LANES + gl_SubgroupInvocationID) * params.dt_stride + h);
}

// dt and the running sum of dt A for the tokens of a chunk. Called by one subgroup; its total is token_sum[.][63].
void find_decays(uint side, uint chunk, uint h, float raw[PARTS]) {
    float a = Floats(params.heads).at[h] * 1.44269504, bias = Floats(params.heads).at[H + h], before = 0.0, largest = 9.1e-13;
    [[unroll]] for (uint part = 0; part < PARTS; part++) {
        uint i = part * LANES + gl_SubgroupInvocationID;
        bool inside = chunk * 64 + i < params.n_time && i < 64;
        float dt = inside ? clamp(softplus(raw[part] + bias), params.dt_min, params.dt_max) : 0.0;
        float sum = before + subgroupInclusiveAdd(dt * a);
        if (i < 64) {
            token_dt[side][i] = dt;
            token_sum[side][i] = sum;
        }
        before = subgroupBroadcast(sum, LANES - 1);
        largest = max(largest, subgroupMax(dt));
    }
    unit_dt[side] = uintBitsToFloat(floatBitsToUint(largest) & 0x7f800000u);
}

float inverse_unit(uint side) {
    return uintBitsToFloat(0x7f000000u - floatBitsToUint(unit_dt[side]));
}

// The factor of token t in the state at the end of its chunk, dt[t] exp(S[63] - S[t]), in units of unit_dt: below 2, so
// that times B it neither overflows nor, however small all dt are, falls among float16's subnormal numbers.
float to_end(uint side, uint t) {
    return token_dt[side][t] * inverse_unit(side) * exp2(min(token_sum[side][63] - token_sum[side][t], 0.0));
}

uint chunk_tokens(uint chunk) {
    return min(64, params.n_time - chunk * 64);
}

// Rows of x, C or B of a chunk; past the end the last token again, which dt 0 cancels: it is finite.
uvec4 fetch(uvec2 address, uint row, uint first, uint vector) {
    return Words4(address).at[(row * params.x_stride + first + 8 * vector) >> 3];
}

// First vector of a chunk's turned B.
uint turned_at(uint sequence, uint chunk, uint g) {
    return (chunk_index(sequence, chunk) * G + g) * N * 8;
}

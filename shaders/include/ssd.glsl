// What the five kernels of the chunked SSD share: sizes, and where a chunk's intermediate results lie.
// Specialization constants 1 ... 7 are the same in all of them; the host gives them in one array.
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const uint Q = 64; // chunk length, a multiple of 8
layout(constant_id = 4) const uint H = 8;
layout(constant_id = 5) const uint G = 1;
layout(constant_id = 6) const uint P = 64;
layout(constant_id = 7) const uint N = 128;

uint n_chunk() {
    return (params.n_time + Q - 1) / Q;
}

// Index of the chunk over all sequences.
uint chunk_index(uint sequence, uint chunk) {
    return sequence * n_chunk() + chunk;
}

const uint DECAY_DT = 0, DECAY_SUM = 1, DECAY_TO_END = 2;
// First float of one kind of decay of (chunk, head).
uint decay_at(uint chunk, uint kind, uint head) {
    return ((chunk * 3 + kind) * H + head) * Q;
}

// Row of x, B, C, dt, y for token i of a chunk; tokens past the end repeat the last one (their dt is 0).
uint token_row(uint sequence, uint chunk, uint i) {
    return sequence * params.n_time + min(chunk * Q + i, params.n_time - 1);
}

uint state_slot(uint sequence) {
    return is_null(params.slots) ? sequence : Words(params.slots).at[sequence];
}

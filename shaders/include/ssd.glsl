// What the kernels of the chunked SSD share: sizes, sequences, and where a chunk's intermediate results lie.
#include "include/sequences.glsl"
// Specialization constants 1 ... 7 are the same in all of them; the host gives them in one array.
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const uint Q = 64; // chunk length, a multiple of 8
layout(constant_id = 4) const uint H = 8;
layout(constant_id = 5) const uint G = 1;
layout(constant_id = 6) const uint P = 64;
layout(constant_id = 7) const uint N = 128;

struct chunk_rows {
    uint first, count; // rows; 0 of them: the chunk is nobody's
};
// The chunk of this number over all sequences.
chunk_rows rows_of_chunk(uint chunk) {
    uint sequence = sequence_of(chunk, Q), before = (chunk - first_part(sequence, Q)) * Q, n = n_row(sequence);
    return chunk_rows(first_row(sequence) + before, before < n ? min(Q, n - before) : 0);
}
// Row of x, B, C, dt, y for token i of a chunk; tokens past the end repeat the last one (their dt is 0).
uint token_row(chunk_rows rows, uint i) {
    return rows.first + min(i, rows.count - 1);
}

const uint DECAY_DT = 0, DECAY_SUM = 1, DECAY_TO_END = 2;
// First float of one kind of decay of (chunk, head).
uint decay_at(uint chunk, uint kind, uint head) {
    return ((chunk * 3 + kind) * H + head) * Q;
}

uint state_slot(uint sequence) {
    return is_null(params.slots) ? sequence : Words(params.slots).at[sequence];
}

// What the kernels of the chained SSD share: where the decays of a chunk of 64 tokens lie, and how it is cut into segments.
// Sums of dt A are kept times log2(e), for exp2. Past the end of a sequence dt is zero.

// Of (chunk, head), in floats. First those that weigh the chunk's own tokens: S, the sum of dt A up to a token; dt; and
// dt exp(S[k|7] - S[k]), with which a token k gets its weight for all m behind the 8 tokens around k from one more
// exponential. Then dt exp(S[63] - S[k]), in units of a power of two that no dt of the chunk is twice as large as, so that
// times B it neither overflows nor, however small all dt are, falls among float16's subnormal numbers; and that unit. For
// the first chunk of a segment then S over the segment.
const uint DECAY_SIZE = 272, AT_SUM = 0, AT_DT = 64, AT_WEIGHT = 128, AT_TO_END = 192, AT_UNIT = 256, AT_SEGMENT = 257;
uint decays_at(uint chunk, uint h) {
    return (chunk * H + h) * DECAY_SIZE;
}

struct segment_chunks {
    uint first, end, n; // numbers of chunks; segments of its sequence, 0: the segment is nobody's
    uint sequence, number;
    chunk_rows rows; // of the first chunk
    uint left;       // rows of the sequence behind it
};
segment_chunks chunks_of_segment(uint segment) {
    uint length = params.segment * 64, sequence = sequence_of(segment, length), first = first_part(sequence, 64);
    uint number = segment - first_part(sequence, length), n_chunk = (n_row(sequence) + 63) / 64;
    uint n = (n_chunk + params.segment - 1) / params.segment;
    uint before = number * length, all = number < n ? n_row(sequence) - before : 0;
    return segment_chunks(first + number * params.segment, first + min((number + 1) * params.segment, n_chunk),
                          number < n ? n : 0, sequence, number, chunk_rows(first_row(sequence) + before, min(all, 64)),
                          all - min(all, 64));
}
// The rows of the next chunk; at the end of the sequence the same again.
void advance(inout chunk_rows rows, inout uint left) {
    if (left == 0) return;
    rows.first += 64;
    rows.count = min(left, 64);
    left -= rows.count;
}

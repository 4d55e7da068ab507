// Sequences of one length or packed, for kernels whose push constants have n_time and offsets (see shaders/params/ssd.h).
// Sequences lie one after the other: T tokens each, or from offset to offset. Each is cut into parts of `length` tokens,
// numbered over all sequences; a packed sequence's first number is that of its first row plus its own, so that nobody
// has to add up lengths, and a number here and there is nobody's.
uint first_row(uint sequence) {
    return is_null(params.offsets) ? sequence * params.n_time : Words(params.offsets).at[sequence];
}
uint n_row(uint sequence) {
    return is_null(params.offsets) ? params.n_time : Words(params.offsets).at[sequence + 1] - first_row(sequence);
}
uint first_part(uint sequence, uint length) {
    if (is_null(params.offsets)) return sequence * ((params.n_time + length - 1) / length);
    return first_row(sequence) / length + sequence;
}
// The part of a workgroup whose y counts parts of sequence z, or packed those of all sequences.
uint part_of(uint y, uint z, uint length) {
    return is_null(params.offsets) ? first_part(z, length) + y : y;
}
uint sequence_of(uint part, uint length) {
    if (is_null(params.offsets)) return part / ((params.n_time + length - 1) / length);
    uint low = 0, high = params.n_time;
    while (high - low > 1) {
        uint middle = (low + high) / 2;
        if (first_part(middle, length) <= part) low = middle;
        else high = middle;
    }
    return low;
}

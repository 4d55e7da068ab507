// Where a lane of the scan finds its numbers. A lane's number is a vec2: a complex channel, or two real channels
// (neighbours in [B, T, D], two rows in [B, D, T]).
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Floats2 {
    vec2 at[];
};

const bool COMPLEX = (FLAGS & VKS_SCAN_COMPLEX) != 0;
const bool A_STEP = (FLAGS & VKS_SCAN_A_STEP) != 0;
const bool REVERSE = (FLAGS & VKS_SCAN_REVERSE) != 0;
const bool RESETS = (FLAGS & VKS_SCAN_RESETS) != 0;
const bool PACKED = (FLAGS & VKS_SCAN_PACKED) != 0;
const bool PADDED = (FLAGS & VKS_SCAN_PADDED) != 0;
const bool TIME_CONTIGUOUS = (FLAGS & VKS_SCAN_TIME_CONTIGUOUS) != 0;
const bool PAIRS = (FLAGS & VKS_SCAN_PAIRS) != 0;
const bool QUADS = (FLAGS & VKS_SCAN_QUADS) != 0;
const bool PREFETCH = (FLAGS & VKS_SCAN_PREFETCH) != 0;
const bool SEGMENTS = (FLAGS & VKS_SCAN_SEGMENTS) != 0;
const bool REDUCE = (FLAGS & VKS_SCAN_REDUCE) != 0;
const bool PREPARE = (FLAGS & VKS_SCAN_PREPARE) != 0;
const bool LATE = (FLAGS & VKS_SCAN_LATE) != 0;
const bool TABLE = SEGMENTS && !REDUCE; // powers are in the totals
const bool CUTS = RESETS || PACKED || PADDED; // the state is set anew at some steps
const bool ROWS = TIME_CONTIGUOUS && !COMPLEX; // a lane's two numbers lie in two rows

uint batch, unit;
bool both; // the second real channel exists

// Element n * stride of an array, as an address: n * stride may exceed 32 bits.
uvec2 advance(uvec2 address, uint n, uint stride, uint type) {
    uint high, low, carry, shift = type == VKS_TYPE_F32 ? 2 : 1;
    umulExtended(n, stride, high, low);
    address.x = uaddCarry(address.x, low << shift, carry);
    address.y += (high << shift | low >> (32 - shift)) + carry;
    return address;
}

// The step p of the scan is time t of the data.
uint time_of(uint p) {
    return REVERSE ? params.n_time + params.first - 1 - p : p;
}
uint n_step() {
    return params.n_time + (PADDED ? params.first : 0);
}

uint element_index(uint row, uint t) {
    if (!TIME_CONTIGUOUS) return t * row + 2 * unit;
    return COMPLEX ? unit * row + 2 * t : 2 * unit * row + t;
}

vec2 load_value(uvec2 base, uint type, uint row, uint t) {
    uint i = element_index(row, t);
    if (ROWS) return vec2(load1(base, type, i), both ? load1(base, type, i + row) : 0.0);
    if (type != VKS_TYPE_F32) return unpack_pair(type, Words(base).at[i >> 1]);
    if (PAIRS && both) return Floats2(base).at[i >> 1];
    return vec2(Floats(base).at[i], both ? Floats(base).at[i + 1] : 0.0);
}

void store_value(uvec2 base, uint type, uint row, uint t, vec2 value) {
    uint i = element_index(row, t);
    if (ROWS) { // float32: 16-bit types are stored by pairs of times
        Floats(base).at[i] = value.x;
        if (both) Floats(base).at[i + row] = value.y;
    } else if (PAIRS && type == VKS_TYPE_F32 && both)
        Floats2(base).at[i >> 1] = value;
    else
        store2(base, type, i, value, both);
}

// Elements i ... i+3, i a multiple of 4.
void store4(uvec2 base, uint type, uint i, vec4 value) {
    if (type == VKS_TYPE_F32)
        Floats4(base).at[i >> 2] = value;
    else
        Words2(base).at[i >> 2] = uvec2(pack_result(type, value.xy), pack_result(type, value.zw));
}

// A row of initial or last states.
vec2 load_state(uvec2 base, uint n) {
    if (is_null(base)) return vec2(0);
    uint i = n * params.n_channel + 2 * unit;
    return vec2(Floats(base).at[i], both ? Floats(base).at[i + 1] : 0.0);
}
void store_state(uvec2 base, uint n, vec2 value) {
    if (is_null(base)) return;
    store2(base, VKS_TYPE_F32, n * params.n_channel + 2 * unit, value, both);
}

// ---- packed sequences, in order of steps ----

// Step at which the s-th sequence to be scanned begins; that of n_sequence is the end. Whatever the offsets hold, the
// searches below end.
uint sequence_begin(uint s) {
    Words offsets = Words(params.offsets);
    return REVERSE ? params.n_time - offsets.at[params.n_sequence - s] + params.first : offsets.at[s];
}
// The sequence of step p: the last one that begins at or before it (those before it that begin there too are empty).
uint sequence_of(uint p) {
    uint low = 0, high = params.n_sequence; // begin(low) <= p < begin(high)
    while (high - low > 1) {
        uint middle = (low + high) / 2;
        if (sequence_begin(middle) <= p)
            low = middle;
        else
            high = middle;
    }
    return low;
}
// Its row of initial and last.
uint sequence_row(uint s) {
    return REVERSE ? params.n_sequence - 1 - s : s;
}

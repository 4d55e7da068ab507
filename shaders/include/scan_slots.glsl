// What tiles publish to those behind them, while they all run. Slot k of a row (a lane's channels of a batch entry) holds the
// total of tile k - 1, and as soon as it is known the state after it, which is the state before tile k. Slot 0 holds the
// initial state.
//
// A word carries 16 bits of a number, and above them a tag, so that it tells by itself what it is: relaxed atomics are
// enough, no order between words is needed. Tags grow, and a word's bits are the same whoever publishes it: the maximum of
// what was published is right.
//
// params.totals, in words: without A_STEP, powers a^(2^j) as [VKS_SCAN_N_POWER, B, n_unit] vec2; the counter of tiles, and a
// gap; slots [n_segment + 1, B, n_unit, 4]; with A_STEP the same for the a of totals.
const uint VKS_SLOT_EMPTY = 0, VKS_SLOT_TOTAL = 1, VKS_SLOT_STATE = 2;

uint ticket_index() {
    return A_STEP ? 0 : 2 * VKS_SCAN_N_POWER * params.n_batch * params.n_unit;
}
uint slot_index(uint slot) { // over all rows
    return ticket_index() + 2 + 4 * slot;
}
uint slot_a_index(uint slot) {
    return slot_index(slot + (params.n_segment + 1) * params.n_batch * params.n_unit);
}
uint slot_of(uint k) { // of the lane's row
    return (k * params.n_batch + batch) * params.n_unit + unit;
}

void clear_slot(uint slot) {
    Words words = Words(params.totals);
    [[unroll]] for (uint w = 0; w < 4; w++) words.at[slot_index(slot) + w] = 0;
    if (A_STEP) {
        [[unroll]] for (uint w = 0; w < 4; w++) words.at[slot_a_index(slot) + w] = 0;
    }
}
uint tagged(uint tag, vec2 value, uint w) {
    uint bits = floatBitsToUint(w < 2 ? value.x : value.y);
    return tag << 16 | (bits >> 16 * (w & 1) & 0xffffu);
}
void fill_slot(uint slot, vec2 state) { // where nobody else is
    [[unroll]] for (uint w = 0; w < 4; w++)
        Words(params.totals).at[slot_index(slot) + w] = tagged(VKS_SLOT_STATE, state, w);
}

// The lanes of the row share the words.
void publish(uint k, uint lane, uint tag, Run run) {
    uint slot = slot_of(k);
    Words words = Words(params.totals);
    for (uint w = lane; w < 4; w += LANES) {
        atomicMax(words.at[slot_index(slot) + w], tagged(tag, run.b, w));
        if (A_STEP && tag == VKS_SLOT_TOTAL) atomicMax(words.at[slot_a_index(slot) + w], tagged(tag, run.a, w));
    }
}

uvec4 read_words(uint at) {
    Words words = Words(params.totals);
    uvec4 found;
    [[unroll]] for (uint w = 0; w < 4; w++)
        found[w] = atomicLoad(words.at[at + w], gl_ScopeDevice, 0, gl_SemanticsRelaxed);
    return found;
}
uint tag_of(uvec4 words) {
    uvec4 tags = words >> 16;
    return all(equal(tags, tags.xxxx)) ? tags.x : VKS_SLOT_EMPTY; // else they are just being written
}
vec2 value_of(uvec4 words) {
    words &= 0xffffu;
    return uintBitsToFloat(uvec2(words.x | words.y << 16, words.z | words.w << 16));
}
// The tag tells what it is.
uint read_slot(uint k, out Run run) {
    uint slot = slot_of(k);
    run = empty_run();
    uvec4 b = read_words(slot_index(slot)), a = uvec4(0);
    if (A_STEP) a = read_words(slot_a_index(slot));
    uint tag = tag_of(b);
    run.b = value_of(b);
    if (A_STEP && tag == VKS_SLOT_TOTAL) {
        if (tag_of(a) != VKS_SLOT_TOTAL) return VKS_SLOT_EMPTY;
        run.a = value_of(a);
    }
    return tag;
}

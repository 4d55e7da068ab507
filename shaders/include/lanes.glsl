// Loads for devices that emulate workgroups on a CPU. There a load is a loop over the lanes, whatever the width of its
// element and whether or not the lanes' addresses are equal. So: load 64 bits at a time (WIDE), and let the lanes of a
// subgroup load different values of what all of them need, to be handed round by broadcasts, which are register moves.
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_ballot : require
#ifdef WIDE
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Longs {
    uint64_t at[];
};
#endif

// The 64 bits at index i of an array of them.
uvec2 load_words2(uvec2 address, uint i) {
#ifdef WIDE
    return unpack32(Longs(address).at[i]);
#else
    return Words2(address).at[i];
#endif
}

void store_words2(uvec2 address, uint i, uvec2 value) {
#ifdef WIDE
    Longs(address).at[i] = pack64(value);
#else
    Words2(address).at[i] = value;
#endif
}

// Elements i and i+1, i even.
vec2 load_pair(uvec2 address, uint type, uint i) {
    if (type == VKS_TYPE_F32) return uintBitsToFloat(load_words2(address, i >> 1));
    return unpack_pair(type, Words(address).at[i >> 1]);
}

// Elements i ... i+3, i a multiple of 4.
vec4 load_quad(uvec2 address, uint type, uint i) {
    if (type == VKS_TYPE_F32)
        return vec4(uintBitsToFloat(load_words2(address, i >> 1)), uintBitsToFloat(load_words2(address, (i >> 1) + 1)));
    uvec2 words = load_words2(address, i >> 2);
    return vec4(unpack_pair(type, words.x), unpack_pair(type, words.y));
}

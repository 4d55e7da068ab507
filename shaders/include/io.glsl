// Loads and stores through device addresses. 16-bit types are unpacked from and packed into 32-bit words, so that no
// 16-bit storage feature is needed; TYPE arguments are specialization constants, so that the branches fold away.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_control_flow_attributes : require

layout(buffer_reference, std430, buffer_reference_align = 4) buffer Words {
    uint at[];
};
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Words2 {
    uvec2 at[];
};
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Words4 {
    uvec4 at[];
};
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Floats {
    float at[];
};
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Floats4 {
    vec4 at[];
};

bool is_null(uvec2 address) {
    return (address.x | address.y) == 0;
}

// The two values of a word of a 16-bit type.
vec2 unpack_pair(uint type, uint word) {
    if (type == VKS_TYPE_F16) return unpackHalf2x16(word);
    return vec2(uintBitsToFloat(word << 16), uintBitsToFloat(word & 0xffff0000u));
}

// bfloat16 bits of a float, rounded to nearest even (NaN stays NaN).
uint bf16_bits(float value) {
    uint bits = floatBitsToUint(value);
    return isnan(value) ? 0x7fc0u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

uint pack_pair(uint type, vec2 value) {
    if (type == VKS_TYPE_F16) return packHalf2x16(value);
    return bf16_bits(value.x) | bf16_bits(value.y) << 16;
}

// As pack_pair, for results: float16 ends at 65504, and what lies beyond is stored as that, so that a large activation
// does not become an infinity and then, in the next sum, NaN. NaN stays NaN.
uint pack_result(uint type, vec2 value) {
    const vec2 most = vec2(65504.0);
    if (type == VKS_TYPE_F16) value = mix(value, sign(value) * most, greaterThan(abs(value), most));
    return pack_pair(type, value);
}

// Element i of an array of `type`.
float load1(uvec2 address, uint type, uint i) {
    if (type == VKS_TYPE_F32) return Floats(address).at[i];
    vec2 pair = unpack_pair(type, Words(address).at[i >> 1]);
    return (i & 1u) == 0 ? pair.x : pair.y;
}

// Elements i ... i+3, i a multiple of 4; the array starts on 16 bytes (8 for 16-bit types).
vec4 load4(uvec2 address, uint type, uint i) {
    if (type == VKS_TYPE_F32) return Floats4(address).at[i >> 2];
    uvec2 words = Words2(address).at[i >> 2];
    return vec4(unpack_pair(type, words.x), unpack_pair(type, words.y));
}

// Store elements i and i+1, i even. `both` false: only element i belongs to the array; a 16-bit type then writes a zero
// beside it, which the caller's row padding allows for.
void store2(uvec2 address, uint type, uint i, vec2 value, bool both) {
    if (type == VKS_TYPE_F32) {
        Floats(address).at[i] = value.x;
        if (both) Floats(address).at[i + 1] = value.y;
    } else {
        Words(address).at[i >> 1] = pack_result(type, vec2(value.x, both ? value.y : 0.0));
    }
}

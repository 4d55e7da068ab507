// Weights of a row, of any storage type. A row of a block type (host/base/quant.h) holds its codes first, in words that
// unpack by masks, and then what scales them:
//   Q8_0  K codes of a byte | K/32 float16 scales                                     w = d q
//   Q4_0  K/2 bytes of codes | K/32 float16 scales                                    w = d (q - 8)
//   Q4_K  K/2 bytes of codes | K/256 times 4 words of scales and minima               w = d s q - d_min m
//   Q6_K  K/2 bytes of low bits | K/4 of high bits | K/16 scales | K/256 float16      w = d s (q - 32)
// Needs include/io.glsl. `row` is what weight_row gave; n_in is K.

bool is_block_type(uint type) {
    return type >= VKS_TYPE_Q8_0;
}

// Where row n begins: in elements, or words for block types.
uint weight_row(uint n, uint stride) {
    return n * stride;
}

// Half i of an array of them that begins at a word.
float load_half(uvec2 address, uint word, uint i) {
    vec2 pair = unpackHalf2x16(Words(address).at[word + (i >> 1)]);
    return (i & 1u) == 0 ? pair.x : pair.y;
}

// Codes become floats by their place in a mantissa, which takes no conversion: with the bits of 2^(23 - p) in front a code
// at bit p counts ones. `offset` is subtracted on the way; all of it is exact.
const vec4 byte_places = vec4(8388608.0, 32768.0, 8388608.0, 32768.0); // bits 0 and 8, of either half word
const vec4 nibble_places = vec4(524288.0, 2048.0, 524288.0, 2048.0);   // bits 4 and 12

// A compiler that joins these differences with what is added to them loses the low bits: they are precise.
vec4 unpack_bytes(uint word, float offset) {
    uvec4 bits = uvec4(word & 0xffu, word & 0xff00u, word >> 16 & 0xffu, word >> 16 & 0xff00u);
    precise vec4 codes = uintBitsToFloat(bits | floatBitsToUint(byte_places)) - (byte_places + offset);
    return codes;
}

vec4 signed_bytes(uint word) {
    return unpack_bytes(word ^ 0x80808080u, 128.0);
}

// The low nibbles of a word's bytes, and the high ones.
void unpack_nibbles(uint word, float offset, out precise vec4 low, out precise vec4 high) {
    uint upper = word >> 16;
    uvec4 low_bits = uvec4(word & 0xfu, word & 0xf00u, upper & 0xfu, upper & 0xf00u);
    uvec4 high_bits = uvec4(word & 0xf0u, word & 0xf000u, upper & 0xf0u, upper & 0xf000u);
    low = uintBitsToFloat(low_bits | floatBitsToUint(byte_places)) - (byte_places + offset);
    high = uintBitsToFloat(high_bits | floatBitsToUint(nibble_places)) - (nibble_places + offset);
}

// The scale and the minimum of the 32 values around k of a Q4_K row.
vec2 q4k_scale(uvec2 address, uint row, uint k, uint n_in) {
    uint j = k >> 5 & 7u;
    uvec4 words = Words4(address).at[(row >> 2) + (n_in >> 5) + (k >> 8)];
    vec2 d = unpackHalf2x16(words.x);
    uint s = words.y >> 4 * j & 15u | (words.w >> 2 * j & 3u) << 4;
    uint m = words.z >> 4 * j & 15u | (words.w >> 16 + 2 * j & 3u) << 4;
    return d * vec2(s, m);
}

// The scale of the 16 values around k of a Q6_K row.
float q6k_scale(uvec2 address, uint row, uint k, uint n_in) {
    uint scales = row + (n_in >> 3) + (n_in >> 4), i = k >> 4;
    int s = bitfieldExtract(int(Words(address).at[scales + (i >> 2)]), int(8 * (i & 3u)), 8);
    return load_half(address, scales + (n_in >> 6), k >> 8) * float(s);
}

// Weights k ... k+3, k a multiple of 4. (One way out: SwiftShader does not fold what stands behind an early return.)
vec4 load_weights4(uvec2 address, uint type, uint row, uint k, uint n_in) {
    vec4 w;
    if (!is_block_type(type)) {
        w = load4(address, type, row + k);
    } else if (type == VKS_TYPE_Q8_0) {
        w = load_half(address, row + (n_in >> 2), k >> 5) * signed_bytes(Words(address).at[row + (k >> 2)]);
    } else {
        uint codes = Words(address).at[row + (k >> 3)] >> (k & 4u) & 0x0f0f0f0fu;
        if (type == VKS_TYPE_Q4_0) {
            w = load_half(address, row + (n_in >> 3), k >> 5) * (unpack_bytes(codes, 0.0) - 8.0);
        } else if (type == VKS_TYPE_Q4_K) {
            vec2 scale = q4k_scale(address, row, k, n_in);
            w = scale.x * unpack_bytes(codes, 0.0) - scale.y;
        } else {
            uint high = Words(address).at[row + (n_in >> 3) + (k >> 4)] >> (k >> 1 & 6u) & 0x03030303u;
            w = q6k_scale(address, row, k, n_in) * unpack_bytes(codes | high << 4, 32.0);
        }
    }
    return w;
}

// Weights k ... k+7, k a multiple of 8: 16 bytes of a 16-bit type. They are first and second times `scale`, which is one
// but for block types: there a product is scaled once and not each weight.
void load_weights8(uvec2 address, uint type, uint row, uint k, uint n_in, out vec4 first, out vec4 second, out float scale) {
    scale = 1.0;
    if (type == VKS_TYPE_F32) {
        first = Floats4(address).at[row + k >> 2];
        second = Floats4(address).at[(row + k >> 2) + 1];
    } else if (!is_block_type(type)) {
        uvec4 words = Words4(address).at[row + k >> 3];
        first = vec4(unpack_pair(type, words.x), unpack_pair(type, words.y));
        second = vec4(unpack_pair(type, words.z), unpack_pair(type, words.w));
    } else if (type == VKS_TYPE_Q8_0) {
        scale = load_half(address, row + (n_in >> 2), k >> 5);
        uvec2 words = Words2(address).at[(row >> 1) + (k >> 3)];
        first = signed_bytes(words.x);
        second = signed_bytes(words.y);
    } else {
        uint word = Words(address).at[row + (k >> 3)];
        unpack_nibbles(word, type == VKS_TYPE_Q4_0 ? 8.0 : 0.0, first, second);
        if (type == VKS_TYPE_Q4_0) {
            scale = load_half(address, row + (n_in >> 3), k >> 5);
        } else if (type == VKS_TYPE_Q4_K) {
            vec2 d = q4k_scale(address, row, k, n_in);
            first = d.x * first - d.y;
            second = d.x * second - d.y;
        } else {
            uint high = Words(address).at[row + (n_in >> 3) + (k >> 4)] >> (k >> 1 & 4u);
            scale = q6k_scale(address, row, k, n_in);
            first = unpack_bytes(word & 0x0f0f0f0fu | (high & 0x03030303u) << 4, 32.0);
            second = unpack_bytes(word >> 4 & 0x0f0f0f0fu | (high >> 2 & 0x03030303u) << 4, 32.0);
        }
    }
}

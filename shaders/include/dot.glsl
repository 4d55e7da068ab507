// Products of quantized weights with a vector that is quantized too, 16 values at a time: codes of 8 bits and one scale, so that
// a dot product is four instructions on packed integers. Needs include/io.glsl and include/weights.glsl, Q8_0 or Q4_0 weights.
#extension GL_EXT_integer_dot_product : require

struct Slice {
    ivec4 codes; // 4 a word
    float scale;
    int sum; // of the codes, times the offset of the weights' codes
};

// With 1.5 2^23 added, a number below 2^22 is rounded to an integer, which stands in the low bits.
int pack_codes(vec4 v, float factor) {
    uvec4 bits = floatBitsToUint(fma(v, vec4(factor), vec4(12582912.0))) & 0xffu;
    return int(bits.x | bits.y << 8 | bits.z << 16 | bits.w << 24);
}

float largest(vec4 v) {
    v = abs(v);
    return max(max(v.x, v.y), max(v.z, v.w));
}

Slice quantize(uint type, vec4 v[4]) {
    Slice slice;
    float most = max(max(largest(v[0]), largest(v[1])), max(largest(v[2]), largest(v[3])));
    float factor = most > 0.0 ? 127.0 / most : 0.0;
    [[unroll]] for (uint i = 0; i < 4; i++) slice.codes[i] = pack_codes(v[i], factor);
    slice.scale = most / 127.0;
    slice.sum = 0;
    if (type == VKS_TYPE_Q4_0) {
        const int ones = 0x01010101;
        [[unroll]] for (uint i = 0; i < 4; i++) slice.sum += dotPacked4x8EXT(slice.codes[i], ones);
        slice.sum *= 8;
    }
    return slice;
}

// 16 values of x from element `at` on, with NORM times those of norm from k on; `square` grows by the squares of x. Outside
// they count as zeros; what is loaded in their place must be there all the same.
Slice load_slice(uvec2 x, uint x_type, uint at, uvec2 norm, bool has_norm, uint k, uint w_type, bool inside,
                 inout float square) {
    vec4 v[4];
    [[unroll]] for (uint i = 0; i < 4; i++) {
        v[i] = mix(vec4(0), load4(x, x_type, at + 4 * i), bvec4(inside));
        if (!has_norm) continue;
        square = fma(v[i].x, v[i].x, fma(v[i].y, v[i].y, fma(v[i].z, v[i].z, fma(v[i].w, v[i].w, square))));
        v[i] *= Floats4(norm).at[(k >> 2) + i];
    }
    return quantize(w_type, v);
}

// The codes of 16 weights from k on, k a multiple of 16, and their scale.
uvec4 load_codes(uvec2 address, uint type, uint row, uint k) {
    if (type == VKS_TYPE_Q8_0) return Words4(address).at[row + (k >> 2) >> 2];
    return uvec4(Words2(address).at[row + (k >> 3) >> 1], 0, 0);
}

float load_code_scale(uvec2 address, uint type, uint row, uint k, uint n_in) {
    return load_half(address, row + (type == VKS_TYPE_Q8_0 ? n_in >> 2 : n_in >> 3), k >> 5);
}

float dot_slice(uint type, uvec4 codes, float scale, Slice x) {
    int sum = 0;
    if (type == VKS_TYPE_Q8_0) {
        [[unroll]] for (uint i = 0; i < 4; i++) sum += dotPacked4x8EXT(int(codes[i]), x.codes[i]);
    } else {
        [[unroll]] for (uint i = 0; i < 2; i++) {
            sum += dotPacked4x8EXT(int(codes[i] & 0x0f0f0f0fu), x.codes[2 * i]);
            sum += dotPacked4x8EXT(int(codes[i] >> 4 & 0x0f0f0f0fu), x.codes[2 * i + 1]);
        }
        sum -= x.sum;
    }
    return scale * x.scale * float(sum);
}

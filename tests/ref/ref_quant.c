// Values of GGUF's blocks, one at a time, from where the format puts the bits of each.
#include "ref.h"

#include <math.h>

static double half_at(const uint8_t *bytes) {
    unsigned bits = bytes[0] | (unsigned)bytes[1] << 8, exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double magnitude = exponent ? ldexp(1024 + mantissa, (int)exponent - 25) : ldexp(mantissa, -24);
    return bits >> 15 ? -magnitude : magnitude;
}

static int signed_byte(uint8_t byte) {
    return byte < 128 ? byte : byte - 256;
}

static double value_q4_k(const uint8_t *block, size_t i) {
    const uint8_t *scales = block + 4;
    size_t j = i / 32, pair = i / 64;
    int scale, minimum, code = block[16 + 32 * pair + i % 32];
    code = i % 64 < 32 ? code & 15 : code >> 4;
    if (j < 4) {
        scale = scales[j] & 63;
        minimum = scales[j + 4] & 63;
    } else {
        scale = (scales[j + 4] & 15) + 16 * (scales[j - 4] >> 6);
        minimum = (scales[j + 4] >> 4) + 16 * (scales[j] >> 6);
    }
    return half_at(block) * scale * code - half_at(block + 2) * minimum;
}

static double value_q6_k(const uint8_t *block, size_t i) {
    size_t half = i / 128, quarter = i % 128 / 32, at = i % 32;
    int low = block[64 * half + 32 * (quarter & 1) + at], high = block[128 + 32 * half + at];
    low = quarter < 2 ? low & 15 : low >> 4;
    high = high >> 2 * quarter & 3;
    return half_at(block + 208) * signed_byte(block[192 + i / 16]) * (low + 16 * high - 32);
}

double ref_quant_value(ref_block_type type, const uint8_t *blocks, size_t i) {
    switch (type) {
    case REF_Q8_0:
        return half_at(blocks + i / 32 * 34) * signed_byte(blocks[i / 32 * 34 + 2 + i % 32]);
    case REF_Q4_0: {
        const uint8_t *block = blocks + i / 32 * 18;
        int code = i % 32 < 16 ? block[2 + i % 32] & 15 : block[2 + i % 32 - 16] >> 4;
        return half_at(block) * (code - 8);
    }
    case REF_Q4_K:
        return value_q4_k(blocks + i / 256 * 144, i % 256);
    default:
        return value_q6_k(blocks + i / 256 * 210, i % 256);
    }
}

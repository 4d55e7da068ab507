// Conversions between float32 and the 16-bit floats, on the host (loading weights, tests). Round to nearest even.
#ifndef VKS_HALF_H
#define VKS_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t vks_float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static inline float vks_bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline float vks_bf16_to_f32(uint16_t half) {
    return vks_bits_float((uint32_t)half << 16);
}

static inline uint16_t vks_f32_to_bf16(float value) {
    uint32_t bits = vks_float_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40); // quiet NaN
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float vks_f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3ff;
    if (exponent == 31) return vks_bits_float(sign | 0x7f800000 | mantissa << 13);
    if (exponent) return vks_bits_float(sign | (exponent + 112) << 23 | mantissa << 13);
    float tiny = (float)mantissa * 0x1p-24f; // subnormal or zero: exact in float32
    return sign ? -tiny : tiny;
}

static inline uint16_t vks_f32_to_f16(float value) {
    uint32_t bits = vks_float_bits(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x47800000) return (uint16_t)(sign | 0x7c00); // 65536 and above
    if (magnitude < 0x38800000) {                                  // subnormal in float16: let the FPU round at 2^-24
        float scaled = vks_bits_float(magnitude) + 0.5f;           // one ulp of [0.5, 1) is 2^-24
        return (uint16_t)(sign | (vks_float_bits(scaled) - 0x3f000000));
    }
    uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((rounded - 0x38000000) >> 13)); // a carry into the exponent is right, up to infinity
}

#endif

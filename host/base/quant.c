// Layouts of blocks in files, and the way from there to values and to the device. The searches are in quant_encode.c.
#include "quant.h"

#include <string.h>

#include "alloc.h"
#include "half.h"
#include "quant_block.h"

static const struct {
    uint16_t length, size;
} formats[VKSSM_DTYPE_COUNT] = {
    [VKSSM_DTYPE_Q8_0] = {32, 34},
    [VKSSM_DTYPE_Q4_0] = {32, 18},
    [VKSSM_DTYPE_Q4_K] = {256, 144},
    [VKSSM_DTYPE_Q6_K] = {256, 210},
};

bool vks_is_block_type(vkssm_dtype dtype) {
    return (unsigned)dtype < VKSSM_DTYPE_COUNT && formats[dtype].length > 0;
}

uint32_t vks_block_length(vkssm_dtype dtype) {
    return vks_is_block_type(dtype) ? formats[dtype].length : 1;
}

uint32_t vks_block_size(vkssm_dtype dtype) {
    return vks_is_block_type(dtype) ? formats[dtype].size : (uint32_t)vkssm_dtype_size(dtype);
}

uint64_t vks_quant_file_size(vkssm_dtype dtype, uint64_t n) {
    return n / vks_block_length(dtype) * vks_block_size(dtype);
}

vkssm_dtype vks_quant_table_type(vkssm_dtype dtype) {
    return dtype == VKSSM_DTYPE_Q8_0 ? VKSSM_DTYPE_F16 : vks_is_block_type(dtype) ? VKSSM_DTYPE_Q8_0 : dtype;
}

vkssm_dtype vks_quant_fitting_type(vkssm_dtype dtype, uint64_t n) {
    if (n % vks_block_length(dtype) == 0) return dtype;
    return vks_block_length(dtype) == 256 && n % 32 == 0 ? VKSSM_DTYPE_Q8_0 : VKSSM_DTYPE_F16;
}

// ---- blocks in files ------------------------------------------------------------------------------------------------

static uint16_t read_half(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

// Six bits each: the first four scales and minima lie in bytes of their own, whose free bits hold the high bits of the
// last four.
void vks_q4k_unpack_scales(const uint8_t packed[12], uint8_t scales[8], uint8_t minima[8]) {
    for (int j = 0; j < 4; j++) {
        scales[j] = packed[j] & 63;
        minima[j] = packed[j + 4] & 63;
        scales[j + 4] = (uint8_t)((packed[j + 8] & 15) | packed[j] >> 6 << 4);
        minima[j + 4] = (uint8_t)(packed[j + 8] >> 4 | packed[j + 4] >> 6 << 4);
    }
}

void vks_q4k_pack_scales(const uint8_t scales[8], const uint8_t minima[8], uint8_t packed[12]) {
    for (int j = 0; j < 4; j++) {
        packed[j] = (uint8_t)(scales[j] | scales[j + 4] >> 4 << 6);
        packed[j + 4] = (uint8_t)(minima[j] | minima[j + 4] >> 4 << 6);
        packed[j + 8] = (uint8_t)((scales[j + 4] & 15) | (minima[j + 4] & 15) << 4);
    }
}

// The codes of one block in order of their values.
static void unpack_codes(vkssm_dtype dtype, const uint8_t *block, uint8_t *codes) {
    switch (dtype) {
    case VKSSM_DTYPE_Q8_0:
        memcpy(codes, block + 2, 32);
        break;
    case VKSSM_DTYPE_Q4_0:
        for (int i = 0; i < 16; i++) {
            codes[i] = block[2 + i] & 15;
            codes[i + 16] = block[2 + i] >> 4;
        }
        break;
    case VKSSM_DTYPE_Q4_K: // 32 bytes hold two runs of 32
        for (int i = 0; i < 128; i++) {
            uint8_t *pair = codes + i / 32 * 64 + i % 32;
            pair[0] = block[16 + i] & 15;
            pair[32] = block[16 + i] >> 4;
        }
        break;
    default: // Q6_K: each half of 128 has four runs of 32, two in the low and two in the high bits of 64 bytes
        for (int half = 0; half < 2; half++)
            for (int i = 0; i < 32; i++) {
                const uint8_t *low = block + 64 * half + i;
                uint8_t high = block[128 + 32 * half + i], *out = codes + 128 * half + i;
                out[0] = (uint8_t)((low[0] & 15) | (high & 3) << 4);
                out[32] = (uint8_t)((low[32] & 15) | (high >> 2 & 3) << 4);
                out[64] = (uint8_t)(low[0] >> 4 | (high >> 4 & 3) << 4);
                out[96] = (uint8_t)(low[32] >> 4 | (high >> 6) << 4);
            }
    }
}

void vks_quant_pack_codes(vkssm_dtype dtype, const uint8_t *codes, uint8_t *block) {
    switch (dtype) {
    case VKSSM_DTYPE_Q8_0:
        memcpy(block + 2, codes, 32);
        break;
    case VKSSM_DTYPE_Q4_0:
        for (int i = 0; i < 16; i++)
            block[2 + i] = (uint8_t)(codes[i] | codes[i + 16] << 4);
        break;
    case VKSSM_DTYPE_Q4_K:
        for (int i = 0; i < 128; i++) {
            const uint8_t *pair = codes + i / 32 * 64 + i % 32;
            block[16 + i] = (uint8_t)(pair[0] | pair[32] << 4);
        }
        break;
    default:
        for (int half = 0; half < 2; half++)
            for (int i = 0; i < 32; i++) {
                const uint8_t *in = codes + 128 * half + i;
                uint8_t *low = block + 64 * half + i;
                low[0] = (uint8_t)((in[0] & 15) | (in[64] & 15) << 4);
                low[32] = (uint8_t)((in[32] & 15) | (in[96] & 15) << 4);
                block[128 + 32 * half + i] =
                    (uint8_t)(in[0] >> 4 | in[32] >> 4 << 2 | in[64] >> 4 << 4 | in[96] >> 4 << 6);
            }
    }
}

// ---- values ---------------------------------------------------------------------------------------------------------

static void decode_block(vkssm_dtype dtype, const uint8_t *block, float *values) {
    uint8_t codes[256], scales[8], minima[8];
    unpack_codes(dtype, block, codes);
    float d = vks_f16_to_f32(read_half(block));
    switch (dtype) {
    case VKSSM_DTYPE_Q8_0:
        for (int i = 0; i < 32; i++)
            values[i] = d * (float)(int8_t)codes[i];
        break;
    case VKSSM_DTYPE_Q4_0:
        for (int i = 0; i < 32; i++)
            values[i] = d * (float)(codes[i] - 8);
        break;
    case VKSSM_DTYPE_Q4_K: {
        float d_min = vks_f16_to_f32(read_half(block + 2));
        vks_q4k_unpack_scales(block + 4, scales, minima);
        for (int i = 0; i < 256; i++)
            values[i] = d * (float)scales[i / 32] * (float)codes[i] - d_min * (float)minima[i / 32];
        break;
    }
    default:
        d = vks_f16_to_f32(read_half(block + 208));
        for (int i = 0; i < 256; i++)
            values[i] = d * (float)(int8_t)block[192 + i / 16] * (float)(codes[i] - 32);
    }
}

void vks_quant_decode(vkssm_dtype dtype, const void *blocks, uint64_t n, float *values) {
    const uint8_t *block = blocks;
    uint32_t length = vks_block_length(dtype);
    for (uint64_t at = 0; at < n; at += length, block += vks_block_size(dtype))
        decode_block(dtype, block, values + at);
}

// ---- rows on the device ---------------------------------------------------------------------------------------------

uint64_t vks_quant_row_size(vkssm_dtype dtype, uint64_t n) {
    uint64_t size = dtype == VKSSM_DTYPE_Q8_0   ? n + n / 16
                    : dtype == VKSSM_DTYPE_Q6_K ? n / 2 + n / 4 + n / 16 + n / 128
                                                : n / 2 + n / 16;
    return vks_align_up(size, 16);
}

// Words of 8 codes of 4 bits.
static void repack_low(const uint8_t *codes, uint64_t n, uint8_t *out) {
    for (uint64_t i = 0; i < n; i += 8)
        for (int k = 0; k < 4; k++)
            *out++ = (uint8_t)((codes[i + k] & 15) | (codes[i + 4 + k] & 15) << 4);
}

// Words of 16 codes' bits 4 and 5.
static void repack_high(const uint8_t *codes, uint64_t n, uint8_t *out) {
    for (uint64_t i = 0; i < n; i += 16)
        for (int k = 0; k < 4; k++)
            *out++ = (uint8_t)(codes[i + k] >> 4 | codes[i + 4 + k] >> 4 << 2 | codes[i + 8 + k] >> 4 << 4 |
                               codes[i + 12 + k] >> 4 << 6);
}

static void store_word(uint8_t *out, uint32_t word) {
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(word >> 8 * i);
}

static void repack_q4k_scales(const uint8_t *block, uint8_t *out) {
    uint8_t scales[8], minima[8];
    uint32_t low = 0, low_min = 0, high = 0;
    vks_q4k_unpack_scales(block + 4, scales, minima);
    for (int j = 0; j < 8; j++) {
        low |= (uint32_t)(scales[j] & 15) << 4 * j;
        low_min |= (uint32_t)(minima[j] & 15) << 4 * j;
        high |= (uint32_t)(scales[j] >> 4) << 2 * j | (uint32_t)(minima[j] >> 4) << (16 + 2 * j);
    }
    memcpy(out, block, 4);
    store_word(out + 4, low);
    store_word(out + 8, low_min);
    store_word(out + 12, high);
}

void vks_quant_repack(vkssm_dtype dtype, const void *blocks, uint64_t n, void *row) {
    const uint8_t *block = blocks;
    uint8_t *out = row, codes[256];
    uint64_t size = vks_block_size(dtype), used = vks_quant_row_size(dtype, n);
    uint32_t length = vks_block_length(dtype);
    memset(out + used - 16, 0, 16); // the end may be padding
    for (uint64_t at = 0; at < n; at += length, block += size) {
        unpack_codes(dtype, block, codes);
        switch (dtype) {
        case VKSSM_DTYPE_Q8_0:
            memcpy(out + at, codes, 32);
            memcpy(out + n + at / 16, block, 2);
            break;
        case VKSSM_DTYPE_Q4_0:
            repack_low(codes, 32, out + at / 2);
            memcpy(out + n / 2 + at / 16, block, 2);
            break;
        case VKSSM_DTYPE_Q4_K:
            repack_low(codes, 256, out + at / 2);
            repack_q4k_scales(block, out + n / 2 + at / 16);
            break;
        default:
            repack_low(codes, 256, out + at / 2);
            repack_high(codes, 256, out + n / 2 + at / 4);
            memcpy(out + n / 2 + n / 4 + at / 16, block + 192, 16);
            memcpy(out + n / 2 + n / 4 + n / 16 + at / 128, block + 208, 2);
        }
    }
}

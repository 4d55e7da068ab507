// From values to blocks: for each format the scales of least squared error among candidates around the obvious one.
#include <math.h>
#include <string.h>

#include "half.h"
#include "quant_block.h"

enum { N_CANDIDATE = 19 };

// The n-th factor to try, from 0.82 to 1.18 around 1.
static float candidate(int n) {
    return 1 + 0.02f * (float)(n - N_CANDIDATE / 2);
}

static int round_to(float value, int min, int max) {
    return value <= (float)min ? min : value >= (float)max ? max : (int)lrintf(value);
}

static void write_half(uint8_t *out, uint16_t half) {
    out[0] = (uint8_t)half;
    out[1] = (uint8_t)(half >> 8);
}

// The value of largest magnitude, with its sign.
static float extreme(const float *values, int n) {
    float found = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(values[i]) > fabsf(found)) found = values[i];
    return found;
}

// A finite float16 near a positive or negative scale.
static uint16_t scale_half(float scale) {
    const float largest = 65504;
    return vks_f32_to_f16(scale > largest ? largest : scale < -largest ? -largest : scale);
}

// ---- one scale for symmetric codes
// -----------------------------------------------------------------------------------

static double error_of(const float *values, int n, float scale, int min, int max) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
        float gap = values[i] - scale * (float)round_to(values[i] / scale, min, max);
        sum += (double)gap * gap;
    }
    return sum;
}

// The best scale for codes min ... max (min further from 0), as a float16 if `half`; 0 for zeros. The largest value
// comes to lie at `min`, whose side is the longer one, so the scale may be negative.
static float best_scale(const float *values, int n, int min, int max, bool half) {
    float start = extreme(values, n) / (float)min, best = 0;
    double least = INFINITY;
    if (start == 0) return 0;
    for (int c = 0; c < N_CANDIDATE; c++) {
        float scale = start * candidate(c);
        if (half) scale = vks_f16_to_f32(scale_half(scale));
        if (scale == 0) continue;
        double error = error_of(values, n, scale, min, max);
        if (error < least) {
            least = error;
            best = scale;
        }
    }
    return best;
}

static void encode_q8_0(const float *values, uint8_t *block) {
    uint8_t codes[32];
    uint16_t half = scale_half(fabsf(extreme(values, 32)) / 127);
    float d = vks_f16_to_f32(half);
    for (int i = 0; i < 32; i++)
        codes[i] = (uint8_t)(int8_t)(d > 0 ? round_to(values[i] / d, -127, 127) : 0);
    write_half(block, half);
    vks_quant_pack_codes(VKSSM_DTYPE_Q8_0, codes, block);
}

static void encode_q4_0(const float *values, uint8_t *block) {
    uint8_t codes[32];
    float d = best_scale(values, 32, -8, 7, true);
    for (int i = 0; i < 32; i++)
        codes[i] = (uint8_t)(8 + (d != 0 ? round_to(values[i] / d, -8, 7) : 0));
    write_half(block, vks_f32_to_f16(d));
    vks_quant_pack_codes(VKSSM_DTYPE_Q4_0, codes, block);
}

static void encode_q6_k(const float *values, uint8_t *block) {
    float scales[16];
    uint8_t codes[256];
    for (int j = 0; j < 16; j++)
        scales[j] = best_scale(values + 16 * j, 16, -32, 31, false);
    uint16_t half = scale_half(extreme(scales, 16) / -128);
    float d = vks_f16_to_f32(half);
    for (int j = 0; j < 16; j++) {
        int scale = d != 0 ? round_to(scales[j] / d, -128, 127) : 0;
        float step = d * (float)scale;
        for (int i = 16 * j; i < 16 * (j + 1); i++)
            codes[i] = (uint8_t)(32 + (step != 0 ? round_to(values[i] / step, -32, 31) : 0));
        block[192 + j] = (uint8_t)(int8_t)scale;
    }
    write_half(block + 208, half);
    vks_quant_pack_codes(VKSSM_DTYPE_Q6_K, codes, block);
}

// ---- Q4_K: a scale and a minimum
// -------------------------------------------------------------------------------------

typedef struct fit {
    float scale, minimum; // value = scale * code - minimum, neither negative
    double error;
} fit;

// The scale and the minimum of least squared error for given codes; `f` keeps the better of itself and the new one.
static void refine(const float *values, const uint8_t *codes, fit *f) {
    double n = 32, sum_q = 0, sum_qq = 0, sum_x = 0, sum_qx = 0;
    for (int i = 0; i < 32; i++) {
        sum_q += codes[i];
        sum_qq += (double)codes[i] * codes[i];
        sum_x += values[i];
        sum_qx += (double)codes[i] * values[i];
    }
    double determinant = n * sum_qq - sum_q * sum_q;
    if (determinant <= 0) return;
    double scale = (n * sum_qx - sum_q * sum_x) / determinant,
           minimum = -(sum_qq * sum_x - sum_q * sum_qx) / determinant;
    if (minimum < 0) { // not to be had: the best line through 0
        minimum = 0;
        scale = sum_qq > 0 ? sum_qx / sum_qq : 0;
    }
    if (scale <= 0) return;
    double error = 0;
    for (int i = 0; i < 32; i++) {
        double gap = values[i] - (scale * codes[i] - minimum);
        error += gap * gap;
    }
    if (error < f->error) *f = (fit){(float)scale, (float)minimum, error};
}

static fit fit_line(const float *values) {
    float low = 0, high = values[0];
    fit best = {0, 0, INFINITY};
    uint8_t codes[32];
    for (int i = 0; i < 32; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    if (high <= low) return (fit){0, -low, 0}; // all of one value, none of them positive
    best = (fit){(high - low) / 15, -low, INFINITY};
    for (int c = 0; c < N_CANDIDATE; c++) {
        float scale = (high - low) / 15 * candidate(c);
        if (scale <= 0) continue; // beyond the smallest number
        for (int i = 0; i < 32; i++)
            codes[i] = (uint8_t)round_to((values[i] - low) / scale, 0, 15);
        refine(values, codes, &best);
    }
    return best;
}

static void encode_q4_k(const float *values, uint8_t *block) {
    fit fits[8];
    uint8_t scales[8], minima[8], codes[256];
    float largest = 0, largest_minimum = 0;
    for (int j = 0; j < 8; j++) {
        fits[j] = fit_line(values + 32 * j);
        largest = fits[j].scale > largest ? fits[j].scale : largest;
        largest_minimum = fits[j].minimum > largest_minimum ? fits[j].minimum : largest_minimum;
    }
    uint16_t half = scale_half(largest / 63), half_minimum = scale_half(largest_minimum / 63);
    float d = vks_f16_to_f32(half), d_min = vks_f16_to_f32(half_minimum);
    for (int j = 0; j < 8; j++) {
        scales[j] = (uint8_t)(d > 0 ? round_to(fits[j].scale / d, 0, 63) : 0);
        minima[j] = (uint8_t)(d_min > 0 ? round_to(fits[j].minimum / d_min, 0, 63) : 0);
        float step = d * (float)scales[j], minimum = d_min * (float)minima[j];
        for (int i = 32 * j; i < 32 * (j + 1); i++)
            codes[i] = (uint8_t)(step > 0 ? round_to((values[i] + minimum) / step, 0, 15) : 0);
    }
    write_half(block, half);
    write_half(block + 2, half_minimum);
    vks_q4k_pack_scales(scales, minima, block + 4);
    vks_quant_pack_codes(VKSSM_DTYPE_Q4_K, codes, block);
}

void vks_quant_encode(vkssm_dtype dtype, const float *values, uint64_t n, void *blocks) {
    uint8_t *block = blocks;
    for (uint64_t at = 0; at < n; at += vks_block_length(dtype), block += vks_block_size(dtype)) {
        switch (dtype) {
        case VKSSM_DTYPE_Q8_0:
            encode_q8_0(values + at, block);
            break;
        case VKSSM_DTYPE_Q4_0:
            encode_q4_0(values + at, block);
            break;
        case VKSSM_DTYPE_Q4_K:
            encode_q4_k(values + at, block);
            break;
        default:
            encode_q6_k(values + at, block);
        }
    }
}

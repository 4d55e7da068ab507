// Block types against their twin, and what encoding promises.
#include "harness/check.h"
#include "ref/ref.h"

#include <math.h>

#include "host/base/alloc.h"
#include "host/base/half.h"
#include "host/base/quant.h"

static const vkssm_dtype types[] = {VKSSM_DTYPE_Q8_0, VKSSM_DTYPE_Q4_0, VKSSM_DTYPE_Q4_K, VKSSM_DTYPE_Q6_K};
enum { N_TYPE = sizeof types / sizeof *types, N = 1024 };

static double twin(vkssm_dtype type, const uint8_t *blocks, size_t i) {
    return ref_quant_value((ref_block_type)(type - VKSSM_DTYPE_Q8_0), blocks, i);
}

// Any bits at all, but for scales that are not finite, decode as the twin reads them. Two roundings: code times scale.
CHECK_CASE(decodes_any_bits) {
    uint64_t seed = 1;
    for (int t = 0; t < N_TYPE; t++) {
        uint32_t size = vks_block_size(types[t]);
        size_t n_byte = (size_t)vks_quant_file_size(types[t], N);
        uint8_t blocks[N / 32 * 34];
        float values[N];
        for (size_t i = 0; i < n_byte; i++)
            blocks[i] = (uint8_t)check_random(&seed);
        for (size_t at = 0; at < n_byte; at += size) { // exponents below the one of infinity
            uint8_t *scale = blocks + at + (types[t] == VKSSM_DTYPE_Q6_K ? 208 : 0);
            scale[1] &= 0xbf;
            if (types[t] == VKSSM_DTYPE_Q4_K) scale[3] &= 0xbf;
        }
        vks_quant_decode(types[t], blocks, N, values);
        int n_bad = 0;
        for (size_t i = 0; i < N; i++) {
            double wanted = twin(types[t], blocks, i);
            n_bad += !(fabs(values[i] - wanted) <= 0x1p-22 * 65504 * 64); // of the larger term of Q4_K, d 63 15
            if (types[t] != VKSSM_DTYPE_Q4_K) n_bad += !(fabs(values[i] - wanted) <= 0x1p-22 * fabs(wanted));
        }
        CHECK_EQ(n_bad, 0);
    }
}

// Codes of b bits, rounded, are off by half a step, and a block's values span its codes: the root mean square error of
// uniform values is at most a step over the square root of 12 (a little more where scales are rounded too).
CHECK_CASE(error_of_encoding) {
    static const double most[N_TYPE] = {1.0 / 254 / 1.7, 1.0 / 15 / 1.6, 1.0 / 15 / 1.6, 1.0 / 62 / 1.6};
    uint64_t seed = 2;
    float values[N], found[N];
    uint8_t blocks[N / 32 * 34];
    for (int t = 0; t < N_TYPE; t++) {
        double error = 0;
        for (int i = 0; i < N; i++)
            values[i] = check_uniform(&seed, -1, 1);
        vks_quant_encode(types[t], values, N, blocks);
        vks_quant_decode(types[t], blocks, N, found);
        for (int i = 0; i < N; i++)
            error += ((double)found[i] - values[i]) * ((double)found[i] - values[i]) / N;
        printf("  %s: error %.5f of the range\n", vkssm_dtype_name(types[t]), sqrt(error));
        CHECK(sqrt(error) <= most[t]);
        // What a block type holds it gives back: encoding again changes nothing but roundings of the scale.
        float again[N];
        vks_quant_encode(types[t], found, N, blocks);
        vks_quant_decode(types[t], blocks, N, again);
        double change = 0;
        for (int i = 0; i < N; i++)
            change += ((double)again[i] - found[i]) * ((double)again[i] - found[i]) / N;
        CHECK(change <= error / 4);
    }
}

// Zeros, one value, tiny, huge, of one sign, one among zeros: finite results of the right size.
CHECK_CASE(extremes) {
    static const float magnitudes[] = {0, 1, 1e-30f, 1e-42f, 1e-6f, 60000, 3e38f};
    float values[256], found[256];
    uint8_t blocks[8 * 34];
    for (int t = 0; t < N_TYPE; t++)
        for (size_t m = 0; m < VKS_COUNT(magnitudes); m++)
            for (int kind = 0; kind < 4; kind++) {
                float a = magnitudes[m];
                for (int i = 0; i < 256; i++)
                    values[i] = kind == 0 ? a : kind == 1 ? -a : kind == 2 ? (i % 64 == 7 ? a : 0) : (i % 2 ? a : -a);
                vks_quant_encode(types[t], values, 256, blocks);
                vks_quant_decode(types[t], blocks, 256, found);
                bool all_finite = true, near_all = true;
                for (int i = 0; i < 256; i++) {
                    all_finite = all_finite && isfinite(found[i]);
                    near_all = near_all && fabsf(found[i] - values[i]) <= 0.08f * a;
                }
                CHECK(all_finite);
                // Scales are float16: below its smallest and above its largest number there is nothing to find.
                if (a == 0 || a == 1 || (a == 60000)) CHECK(near_all);
            }
}

// Repacking moves bits and loses none: sizes, and the scales of two formats where the layout says they are.
CHECK_CASE(rows_on_the_device) {
    uint64_t seed = 3;
    float values[512];
    uint8_t blocks[512 / 32 * 34], row[640];
    for (int i = 0; i < 512; i++)
        values[i] = check_uniform(&seed, -1, 1);
    CHECK_EQ(vks_quant_row_size(VKSSM_DTYPE_Q8_0, 512), 512 + 32);
    CHECK_EQ(vks_quant_row_size(VKSSM_DTYPE_Q8_0, 32), 32 + 16);
    CHECK_EQ(vks_quant_row_size(VKSSM_DTYPE_Q4_0, 512), 256 + 32);
    CHECK_EQ(vks_quant_row_size(VKSSM_DTYPE_Q4_K, 512), 256 + 32);
    CHECK_EQ(vks_quant_row_size(VKSSM_DTYPE_Q6_K, 512), 256 + 128 + 32 + 16);
    vks_quant_encode(VKSSM_DTYPE_Q8_0, values, 512, blocks);
    vks_quant_repack(VKSSM_DTYPE_Q8_0, blocks, 512, row);
    for (int b = 0; b < 16; b++) {
        CHECK(memcmp(row + 32 * b, blocks + 34 * b + 2, 32) == 0);
        CHECK(memcmp(row + 512 + 2 * b, blocks + 34 * b, 2) == 0);
    }
    vks_quant_encode(VKSSM_DTYPE_Q4_0, values, 512, blocks);
    vks_quant_repack(VKSSM_DTYPE_Q4_0, blocks, 512, row);
    for (int i = 0; i < 512; i++) { // byte i % 4 of word i / 8, low for the word's first four
        int code = row[i / 8 * 4 + i % 4] >> (i % 8 < 4 ? 0 : 4) & 15;
        uint16_t half;
        memcpy(&half, row + 256 + i / 32 * 2, 2);
        CHECK_EQ(vks_f16_to_f32(half) * (float)(code - 8), (float)twin(VKSSM_DTYPE_Q4_0, blocks, (size_t)i));
    }
}

CHECK_CASE(types_that_fit) {
    CHECK(vks_is_block_type(VKSSM_DTYPE_Q4_K) && !vks_is_block_type(VKSSM_DTYPE_F16) &&
          !vks_is_block_type(VKSSM_DTYPE_COUNT));
    CHECK_EQ(vkssm_dtype_size(VKSSM_DTYPE_Q8_0), 0);
    CHECK_EQ(vks_quant_fitting_type(VKSSM_DTYPE_Q4_K, 512), VKSSM_DTYPE_Q4_K);
    CHECK_EQ(vks_quant_fitting_type(VKSSM_DTYPE_Q4_K, 96), VKSSM_DTYPE_Q8_0);
    CHECK_EQ(vks_quant_fitting_type(VKSSM_DTYPE_Q6_K, 40), VKSSM_DTYPE_F16);
    CHECK_EQ(vks_quant_fitting_type(VKSSM_DTYPE_Q4_0, 40), VKSSM_DTYPE_F16);
    CHECK_EQ(vks_quant_fitting_type(VKSSM_DTYPE_F32, 40), VKSSM_DTYPE_F32);
    CHECK_EQ(vks_quant_table_type(VKSSM_DTYPE_Q8_0), VKSSM_DTYPE_F16);
    CHECK_EQ(vks_quant_table_type(VKSSM_DTYPE_Q4_K), VKSSM_DTYPE_Q8_0);
    CHECK_EQ(vks_quant_table_type(VKSSM_DTYPE_F32), VKSSM_DTYPE_F32);
}

int main(int argc, char **argv) {
    return check_main(argc, argv,
                      (check_case[]){CHECK_RUN(decodes_any_bits),
                                     CHECK_RUN(error_of_encoding),
                                     CHECK_RUN(extremes),
                                     CHECK_RUN(rows_on_the_device),
                                     CHECK_RUN(types_that_fit),
                                     {0}});
}

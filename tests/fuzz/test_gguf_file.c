// Damaged GGUF files: every truncation, random byte flips, and numbers at the edges in every place. Whatever comes, the
// answer is success or one line that names the file, nothing stays allocated, and tensors lie within the data.
#include "harness/check.h"
#include "harness/tiny_gguf.h"

#include "models/gguf_tokenizer.h"
#include "models/io/gguf_model.h"

static volatile unsigned sum; // makes the reads real

static void use_tokenizer(const vkssm_tokenizer *tokenizer) {
    int32_t *ids;
    size_t n;
    char *text;
    if (vkssm_tokenizer_encode(tokenizer, "ab abc d\xc3\xa9", 10, false, true, &ids, &n) != VKSSM_OK) return;
    if (vkssm_tokenizer_decode(tokenizer, ids, n, false, &text, &n) == VKSSM_OK) {
        sum += (unsigned)n;
        vkssm_free(text);
    }
    vkssm_free(ids);
}

static vkssm_status read_all(const vks_gguf *gguf) {
    vks_config *config = NULL;
    vks_tensor_list list = {0};
    vkssm_tokenizer *tokenizer = NULL;
    vkssm_status status = vks_gguf_read_config(gguf, &config);
    if (status == VKSSM_OK) status = vks_gguf_model_tensors(gguf, &list);
    for (size_t i = 0; status == VKSSM_OK && i < list.n; i++)
        for (uint64_t k = 0; k < list.items[i].size; k++)
            sum += ((const uint8_t *)list.items[i].data)[k];
    if (status == VKSSM_OK) status = vks_gguf_read_tokenizer(gguf, &tokenizer);
    if (tokenizer) use_tokenizer(tokenizer);
    vkssm_tokenizer_destroy(&tokenizer);
    vks_tensor_list_finish(&list);
    vks_config_destroy(&config);
    return status;
}

// From exactly as much heap as the file has.
static vkssm_status parse(const uint8_t *file, size_t size) {
    uint8_t *copy = malloc(size + (size == 0));
    memcpy(copy, file, size);
    vks_gguf gguf;
    vkssm_status status = vks_gguf_parse("f.gguf", copy, size, NULL, &gguf);
    if (status == VKSSM_OK) status = read_all(&gguf);
    vks_gguf_finish(&gguf);
    free(copy);
    CHECK(status == VKSSM_OK || status == VKSSM_ERR_FORMAT || status == VKSSM_ERR_UNSUPPORTED);
    if (status != VKSSM_OK) {
        CHECK_CONTAINS(vkssm_last_error(), "f.gguf");
        CHECK(!strpbrk(vkssm_last_error(), "\r\n"));
    }
    CHECK_EQ(vks_alloc_n_live(), 0);
    return status;
}

CHECK_CASE(truncated) {
    for (int pieces = 0; pieces < 2; pieces++) {
        size_t size;
        uint8_t *file = tiny_gguf_make(&(tiny_gguf){.pieces = pieces}, &size);
        CHECK_EQ(parse(file, size), VKSSM_OK);
        // The last tensor ends before the padding that follows it.
        size_t end = size - (size_t)(vks_align_up(TINY_D * 2 * 34, 32) - TINY_D * 2 * 34);
        for (size_t n = 0; n < end; n++)
            CHECK_EQ(parse(file, n), VKSSM_ERR_FORMAT);
        free(file);
    }
}

static size_t below(uint64_t *seed, size_t n) {
    return (size_t)(check_random(seed) % n);
}

CHECK_CASE(flipped) {
    for (int pieces = 0; pieces < 2; pieces++) {
        size_t size, header = 0;
        uint64_t seed = 1 + (uint64_t)pieces;
        uint8_t *file = tiny_gguf_make(&(tiny_gguf){.pieces = pieces}, &size), *copy = malloc(size);
        while (header + 16 < size && memcmp(file + header, "ssm_out", 7) != 0)
            header++; // flips in the data are harmless, so most are made in what stands before them
        int n_refused = 0;
        for (int i = 0; i < 3000; i++) {
            memcpy(copy, file, size);
            for (size_t n = 1 + below(&seed, 3); n > 0; n--)
                copy[below(&seed, header + 40)] ^= (uint8_t)(1u << below(&seed, 8));
            n_refused += parse(copy, size) != VKSSM_OK;
        }
        CHECK(n_refused > 1000);
        free(copy);
        free(file);
    }
}

// A number of 64 or 32 bits at the edges, at every place.
CHECK_CASE(edges) {
    static const uint64_t edges[] = {
        0, 1, 255, 0x7fffffff, 0xffffffff, INT64_MAX, (uint64_t)1 << 63, UINT64_MAX, (uint64_t)1 << 61};
    size_t size;
    uint8_t *file = tiny_gguf_make(&(tiny_gguf){0}, &size), *copy = malloc(size);
    uint64_t seed = 9;
    for (int i = 0; i < 6000; i++) {
        memcpy(copy, file, size);
        size_t width = below(&seed, 2) ? 8 : 4, at = below(&seed, 1800 < size ? 1800 : size - 8);
        uint64_t edge = edges[below(&seed, VKS_COUNT(edges))];
        for (size_t k = 0; k < width; k++)
            copy[at + k] = (uint8_t)(edge >> 8 * k);
        parse(copy, size);
    }
    free(copy);
    free(file);
}

int main(int argc, char **argv) {
    return check_main(argc, argv, (check_case[]){CHECK_RUN(truncated), CHECK_RUN(flipped), CHECK_RUN(edges), {0}});
}

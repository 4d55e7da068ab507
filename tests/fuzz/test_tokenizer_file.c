// Tokenizer files that are cut off, damaged, or hold a strange value anywhere: one line of error, or a tokenizer that
// works.
#include "harness/check.h"

#include <jansson.h>

#include "host/base/alloc.h"
#include "models/tokenizer/tokenizer_internal.h"

// A little of everything that a file may hold.
static const char file[] =
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
    "{\"id\":20,\"content\":\"<s>\",\"special\":true,\"normalized\":false,\"single_word\":false,\"lstrip\":false,"
    "\"rstrip\":false},"
    "{\"id\":0,\"content\":\"<e>\",\"special\":true,\"normalized\":false,\"single_word\":false,\"lstrip\":true,"
    "\"rstrip\":true},"
    "{\"id\":21,\"content\":\"\u00e9\u2603\",\"special\":false,\"normalized\":true,\"single_word\":true,\"lstrip\":"
    "false},"
    "{\"id\":23,\"content\":\"  \",\"normalized\":true}],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}]},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t)|[^\\\\s\\\\p{L}]?\\\\p{Han}+|\\\\s+(?!\\\\S)|a{2,3}\"},"
    "\"behavior\":\"MergedWithPrevious\",\"invert\":false},"
    "{\"type\":\"Split\",\"pattern\":{\"String\":\"b.\"},\"behavior\":\"Removed\",\"invert\":false},"
    "{\"type\":\"Digits\",\"individual_digits\":true},"
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},"
    "{\"type\":\"Punctuation\",\"behavior\":\"Contiguous\"}]},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[20],\"tokens\":["
    "\"<s>\"]}}},"
    "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true},"
    "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":\"<e>\",\"continuing_subword_prefix\":\"\","
    "\"end_of_word_suffix\":null,\"fuse_unk\":true,\"byte_fallback\":false,\"ignore_merges\":true,"
    "\"vocab\":{\"<e>\":0,\"a\":1,\"b\":2,\"\u0120\":3,\"\u0120a\":4,\"ab\":5,\"\u00c3\":6,\"\u00a9\":7,"
    "\"\u00c3\u00a9\":8,"
    "\"abab\":9,\"1\":10,\"'\":11,\"s\":12,\".\":13},"
    "\"merges\":[\"\u0120 a\",\"a b\",[\"ab\",\"ab\"],\"\u00c3 \u00a9\"]}}";

static const char config[] =
    "{\"add_bos_token\":true,\"bos_token\":{\"content\":\"<s>\",\"lstrip\":false},\"eos_token\":\"<e>\"}";

static const char sample[] = "abab 1'S e\u0301\u2603 <e> x  <s>\u72b6b.aaa\n\n";

// Parse exact-size copies, so that reading past the end is seen, and use what comes out.
static vkssm_status try_files(const char *text, size_t size, const char *config_text, size_t config_size) {
    char *copy = malloc(size ? size : 1), *config_copy = malloc(config_size ? config_size : 1);
    memcpy(copy, text, size);
    memcpy(config_copy, config_text, config_size);
    uint64_t n_live = vks_alloc_n_live();
    vkssm_tokenizer *tokenizer = NULL;
    vkssm_status status = vks_tokenizer_parse("file", copy, size, "config", config_copy, config_size, NULL, &tokenizer);
    CHECK((status == VKSSM_OK) == (tokenizer != NULL));
    free(copy);
    free(config_copy);
    if (status == VKSSM_OK) {
        int32_t *ids = NULL;
        size_t n = 0, n_byte = 0;
        char *decoded = NULL;
        bool add_bos = vkssm_tokenizer_bos(tokenizer) >= 0;
        vkssm_status encoded = vkssm_tokenizer_encode(tokenizer, sample, sizeof sample - 1, add_bos, true, &ids, &n);
        CHECK(encoded == VKSSM_OK || encoded == VKSSM_ERR_UNSUPPORTED); // a pattern may run into the limits
        for (size_t i = 0; i < n; i++)
            CHECK(ids[i] >= 0 && (uint32_t)ids[i] < vkssm_tokenizer_n_token(tokenizer));
        CHECK_EQ(vkssm_tokenizer_decode(tokenizer, ids, n, false, &decoded, &n_byte), VKSSM_OK);
        vkssm_free(decoded);
        vkssm_free(ids);
    } else {
        const char *message = vkssm_last_error();
        CHECK(status == VKSSM_ERR_FORMAT || status == VKSSM_ERR_UNSUPPORTED);
        CHECK((strncmp(message, "file: ", 6) == 0 || strncmp(message, "config: ", 8) == 0) && !strchr(message, '\n'));
    }
    vkssm_tokenizer_destroy(&tokenizer);
    CHECK_EQ(vks_alloc_n_live(), n_live);
    return status;
}

CHECK_CASE(whole) {
    CHECK_EQ(try_files(file, sizeof file - 1, config, sizeof config - 1), VKSSM_OK);
}

CHECK_CASE(truncations) {
    for (size_t n = 0; n < sizeof file - 1; n++)
        CHECK_EQ(try_files(file, n, config, sizeof config - 1), VKSSM_ERR_FORMAT);
    for (size_t n = 0; n < sizeof config - 1; n++)
        CHECK_EQ(try_files(file, sizeof file - 1, config, n), VKSSM_ERR_FORMAT);
}

CHECK_CASE(damaged_bytes) {
    uint64_t random = 1234567;
    int n_ok = 0, n_refused = 0;
    for (int round = 0; round < 6000; round++) {
        char text[sizeof file], config_text[sizeof config];
        memcpy(text, file, sizeof file);
        memcpy(config_text, config, sizeof config);
        size_t n_flip = 1 + check_random(&random) % 3;
        for (size_t i = 0; i < n_flip; i++) {
            bool in_config = check_random(&random) % 16 == 0;
            char *target = in_config ? config_text : text;
            char *byte = target + check_random(&random) % (in_config ? sizeof config - 1 : sizeof file - 1);
            // Half the time a character that JSON or a pattern gives a meaning to, which gets further than noise.
            static const char meaningful[] = "{}[]\":,0123456789-\\.*+?()|^$aps ";
            *byte = check_random(&random) % 2 ? meaningful[check_random(&random) % (sizeof meaningful - 1)]
                                              : (char)(check_random(&random) & 255);
        }
        if (try_files(text, sizeof file - 1, config_text, sizeof config - 1) == VKSSM_OK)
            n_ok++;
        else
            n_refused++;
    }
    CHECK(n_ok > 100 && n_refused > 100); // both ways are walked
}

// Walk the tree and give the n-th value, counted in depth, to `strange`; false when there are fewer.
static bool replace_value(json_t *parent, size_t *n, json_t *strange) {
    const char *key;
    json_t *value;
    size_t i;
    void *next;
    json_object_foreach_safe(parent, next, key, value) {
        if ((*n)-- == 0) return json_object_set(parent, key, strange) == 0;
        if (replace_value(value, n, strange)) return true;
    }
    json_array_foreach(parent, i, value) {
        if ((*n)-- == 0) return json_array_set(parent, i, strange) == 0;
        if (replace_value(value, n, strange)) return true;
    }
    return false;
}

CHECK_CASE(strange_values) {
    static const char *const strange[] = {
        "null", "true",  "-1",      "0",  "5",         "16777216",   "1e300",
        "\"\"", "\"a\"", "\"<s>\"", "[]", "[[\"a\"]]", "{\"a\": 1}", "\"\\ud83d\\ude00 a\""};
    for (size_t s = 0; s < VKS_COUNT(strange); s++) {
        json_t *value = json_loads(strange[s], JSON_DECODE_ANY, NULL);
        CHECK(value != NULL);
        size_t n_replaced = 0;
        for (bool found = true; found; n_replaced += found) {
            json_t *root = json_loads(file, 0, NULL);
            size_t n = n_replaced;
            found = replace_value(root, &n, value);
            char *text = json_dumps(root, JSON_COMPACT);
            if (found) try_files(text, strlen(text), config, sizeof config - 1);
            free(text);
            json_decref(root);
        }
        CHECK(n_replaced > 80);
        json_decref(value);
    }
}

// Random bytes as text: an error that names an offset inside, or ids.
CHECK_CASE(random_text) {
    vkssm_tokenizer *tokenizer = NULL;
    CHECK_EQ(vks_tokenizer_parse("file", file, sizeof file - 1, "config", config, sizeof config - 1, NULL, &tokenizer),
             VKSSM_OK);
    uint64_t random = 99;
    int n_ok = 0, n_refused = 0;
    for (int round = 0; tokenizer && round < 20000; round++) {
        size_t size = check_random(&random) % 24, n = 0;
        char *text = malloc(size ? size : 1);
        uint64_t mask = round % 4 ? 0x7f : 0xff;
        for (size_t i = 0; i < size; i++)
            text[i] = (char)(check_random(&random) & mask);
        int32_t *ids = NULL;
        vkssm_status status = vkssm_tokenizer_encode(tokenizer, text, size, false, true, &ids, &n);
        CHECK(status == VKSSM_OK || (status == VKSSM_ERR_FORMAT && strstr(vkssm_last_error(), "at offset ")));
        n_ok += status == VKSSM_OK;
        n_refused += status != VKSSM_OK;
        vkssm_free(ids);
        free(text);
    }
    CHECK(n_ok > 1000 && n_refused > 1000);
    vkssm_tokenizer_destroy(&tokenizer);
}

int main(int argc, char **argv) {
    static const check_case cases[] = {CHECK_RUN(whole),          CHECK_RUN(truncations), CHECK_RUN(damaged_bytes),
                                       CHECK_RUN(strange_values), CHECK_RUN(random_text), {0}};
    return check_main(argc, argv, cases);
}

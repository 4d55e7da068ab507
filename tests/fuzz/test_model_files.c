// Damaged model files: every truncation, random byte flips, and headers whose parts are exchanged. Whatever comes, the
// answer is success or one line that names the file, nothing stays allocated, and tensors lie within the data. The
// seeds are fixed: a failure repeats. Meant for the address and undefined-behaviour sanitizers, useful without.
#define _XOPEN_SOURCE 700
#include "harness/check.h"
#include "harness/files.h"

#include "host/base/alloc.h"
#include "models/io/config.h"
#include "models/io/safetensors.h"

static void check_answer(vkssm_status status, const char *name) {
    CHECK(status == VKSSM_OK || status == VKSSM_ERR_FORMAT || status == VKSSM_ERR_UNSUPPORTED);
    if (status != VKSSM_OK) {
        CHECK_CONTAINS(vkssm_last_error(), name);
        CHECK(!strpbrk(vkssm_last_error(), "\r\n"));
    }
    CHECK_EQ(vks_alloc_n_live(), 0);
}

// The sum makes the reads of the data real.
static volatile unsigned sum;

static void check_tensor(const vkssm_named_tensor *tensor, const uint8_t *data, size_t size) {
    uint64_t n = vkssm_dtype_size(tensor->dtype);
    CHECK(n > 0 && tensor->n_dim <= VKSSM_MAX_DIM);
    for (uint32_t i = 0; i < tensor->n_dim; i++)
        CHECK(vks_mul_u64(n, tensor->shape[i], &n));
    CHECK(n == tensor->size && n <= size);
    const uint8_t *bytes = tensor->data;
    CHECK(bytes >= data && bytes + n <= data + size);
    for (uint64_t i = 0; i < n; i++)
        sum += bytes[i];
}

// Parse `size` bytes from exactly as much heap.
static vkssm_status parse_safetensors(const uint8_t *file, size_t size) {
    uint8_t *copy = malloc(size + (size == 0));
    memcpy(copy, file, size);
    vks_tensor_list list = {0};
    vkssm_status status = vks_safetensors_parse("f.safetensors", copy, size, NULL, &list);
    for (size_t i = 0; status == VKSSM_OK && i < list.n; i++)
        check_tensor(&list.items[i], copy, size);
    vks_tensor_list_finish(&list);
    check_answer(status, "f.safetensors");
    free(copy);
    return status;
}

static vkssm_status parse_config(const char *text, size_t size) {
    char *copy = malloc(size + (size == 0));
    memcpy(copy, text, size);
    vks_config *config;
    vkssm_status status = vks_config_parse("c.json", copy, size, NULL, &config);
    free(copy);
    if (status == VKSSM_OK) { // ask for everything by every type: any answer will do, but none may crash
        static const char *const keys[] = {"hidden_size", "time_step_limit", "ssm_cfg.d_state", "model_type", "bias"};
        for (size_t i = 0; i < VKS_COUNT(keys); i++) {
            uint32_t u = 0;
            int32_t s = 0;
            float f = 0, pair[2] = {0};
            bool flag = false;
            const char *string = "";
            vks_config_u32(config, keys[i], 0, UINT32_MAX, &u);
            vks_config_i32(config, keys[i], INT32_MIN, INT32_MAX, &s);
            vks_config_f32(config, keys[i], -1e30f, 1e30f, &f);
            vks_config_f32_array(config, keys[i], -1e30f, 1e30f, 2, pair);
            vks_config_bool(config, keys[i], &flag);
            vks_config_string(config, keys[i], &string);
            vks_config_array_size(config, keys[i], &u);
            vks_config_require(config, keys[i]);
            CHECK(f == f && f >= -1e30f && f <= 1e30f); // never what the range excludes
            sum += u + (unsigned)s + flag + (unsigned)strlen(string);
        }
    }
    vks_config_destroy(&config);
    check_answer(status, "c.json");
    return status;
}

// ---- the whole files ------------------------------------------------------------------------------------------------

static uint8_t *model; // a safetensors file of a few tensors
static size_t model_size;

static const char *const config_text =
    "{\"model_type\": \"mamba2\", \"hidden_size\": 64, \"bias\": false,\n"
    " \"time_step_limit\": [0.0, Infinity], \"layer_norm_epsilon\": 1e-05,\n"
    " \"ssm_cfg\": {\"d_state\": 128, \"a\\\"b\": null, \"c\": {\"__float__\": \"NaN\"}}}";
static const char *const index_text = "{\"metadata\":{\"total_size\":1},\"weight_map\":{\"a.weight\":\"s.safetensors\","
                                      "\"b\":\"s.safetensors\",\"scalar\":\"t.safetensors\"}}";

static bool make_model(void) {
    static const uint8_t bytes[64] = {1, 2, 3};
    const vkssm_named_tensor tensors[] = {
        {.name = "a.weight", .dtype = VKSSM_DTYPE_F32, .n_dim = 2, .shape = {2, 3}, .data = bytes, .size = 24},
        {.name = "b", .dtype = VKSSM_DTYPE_BF16, .n_dim = 3, .shape = {1, 5, 1}, .data = bytes, .size = 10},
        {.name = "none", .dtype = VKSSM_DTYPE_U8, .n_dim = 1, .shape = {0}},
        {.name = "scalar", .dtype = VKSSM_DTYPE_I64, .data = bytes, .size = 8},
    };
    if (vkssm_tensor_file_write(files_path("f.safetensors"), NULL, tensors, 4) != VKSSM_OK) return false;
    model = files_read("f.safetensors", &model_size);
    return model != NULL;
}

// ---- truncations ----------------------------------------------------------------------------------------------------

CHECK_CASE(truncated_safetensors) {
    CHECK_EQ(parse_safetensors(model, model_size), VKSSM_OK);
    for (size_t size = 0; size < model_size; size++) {
        CHECK_EQ(parse_safetensors(model, size), VKSSM_ERR_FORMAT);
        vkssm_tensor_file *file; // and through a mapping that ends there
        CHECK(files_write("f.safetensors", model, size));
        CHECK_EQ(vkssm_tensor_file_open(files_path("f.safetensors"), NULL, &file), VKSSM_ERR_FORMAT);
        check_answer(VKSSM_ERR_FORMAT, "f.safetensors");
    }
}

CHECK_CASE(truncated_config) {
    size_t size = strlen(config_text);
    CHECK_EQ(parse_config(config_text, size), VKSSM_OK);
    while (size-- > 0)
        CHECK_EQ(parse_config(config_text, size), VKSSM_ERR_FORMAT);
}

CHECK_CASE(truncated_index) {
    size_t size = strlen(index_text);
    vkssm_tensor_file *file;
    CHECK(files_write("s.safetensors", model, model_size) && files_write("t.safetensors", model, model_size));
    CHECK(files_write("i.index.json", index_text, size));
    CHECK_EQ(vkssm_tensor_file_open(files_path("i.index.json"), NULL, &file), VKSSM_OK);
    CHECK_EQ(vkssm_tensor_file_n_tensor(file), 3);
    vkssm_tensor_file_destroy(&file);
    while (size-- > 0) {
        CHECK(files_write("i.index.json", index_text, size));
        CHECK_EQ(vkssm_tensor_file_open(files_path("i.index.json"), NULL, &file), VKSSM_ERR_FORMAT);
        check_answer(VKSSM_ERR_FORMAT, "i.index.json");
    }
}

// ---- flips ----------------------------------------------------------------------------------------------------------

static size_t below(uint64_t *seed, size_t n) {
    return (size_t)(check_random(seed) % n);
}

static void flip(uint8_t *bytes, size_t size, uint64_t *seed) {
    for (size_t n = 1 + below(seed, 3); n > 0; n--)
        bytes[below(seed, size)] ^= (uint8_t)(1u << below(seed, 8));
}

CHECK_CASE(flipped_safetensors) {
    uint64_t seed = 1;
    uint8_t *copy = malloc(model_size);
    int n_refused = 0;
    for (int i = 0; i < 5000; i++) {
        memcpy(copy, model, model_size);
        flip(copy, model_size, &seed);
        n_refused += parse_safetensors(copy, model_size) != VKSSM_OK;
    }
    free(copy);
    CHECK(n_refused > 1000); // most of the file is header, where a flip is rarely harmless
}

CHECK_CASE(flipped_config) {
    uint64_t seed = 2;
    size_t size = strlen(config_text);
    char *copy = malloc(size);
    int n_refused = 0;
    for (int i = 0; i < 5000; i++) {
        memcpy(copy, config_text, size);
        flip((uint8_t *)copy, size, &seed);
        n_refused += parse_config(copy, size) != VKSSM_OK;
    }
    free(copy);
    CHECK(n_refused > 1000);
}

CHECK_CASE(flipped_index) {
    uint64_t seed = 3;
    size_t size = strlen(index_text);
    char *copy = malloc(size);
    int n_refused = 0;
    CHECK(files_write("s.safetensors", model, model_size) && files_write("t.safetensors", model, model_size));
    for (int i = 0; i < 1000; i++) {
        memcpy(copy, index_text, size);
        flip((uint8_t *)copy, size, &seed);
        CHECK(files_write("i.index.json", copy, size));
        vkssm_tensor_file *file;
        vkssm_status status = vkssm_tensor_file_open(files_path("i.index.json"), NULL, &file);
        vkssm_tensor_file_destroy(&file);
        // A changed file name is a missing shard.
        check_answer(status == VKSSM_ERR_IO ? VKSSM_ERR_FORMAT : status, files_folder);
        n_refused += status != VKSSM_OK;
    }
    free(copy);
    CHECK(n_refused > 100);
}

// ---- exchanged parts ------------------------------------------------------------------------------------------------

// What takes the place of a part: numbers at the edges, other types, pieces of syntax.
static const char *const pieces[] = {
    "0",
    "1",
    "-1",
    "-0",
    "4.0",
    "1e3",
    "1e308",
    "4294967296",
    "9223372036854775807",
    "2305843009213693952",
    "9223372036854775808",
    "18446744073709551616",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "[0,0]",
    "\"F32\"",
    "\"U8\"",
    "\"F8\"",
    "NaN",
    "Infinity",
    "-Infinity",
    "{\"__float__\":\"Infinity\"}",
    ",",
    ":",
    "[",
    "{",
    "\"",
    "\\",
    "\"__metadata__\":{\"a\":\"b\"}",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\xff",
    "\xc3\xa9",
    " ",
    "",
};

// The end of the part that begins at `at`: a word, a string, or one character.
static size_t part_end(const char *text, size_t n, size_t at) {
    size_t end = at + 1;
    if (text[at] == '"')
        while (end < n && text[end - 1 + (end == at + 1)] != '"')
            end++;
    else if (!strchr("{}[]:,\" ", text[at]))
        while (end < n && !strchr("{}[]:,\" ", text[end]))
            end++;
    return end;
}

// Exchange a random part of `text` for a piece, or for another part of itself. `text` has room for 64 bytes more.
static size_t exchange(char *text, size_t n, uint64_t *seed) {
    if (n == 0) return 0;
    size_t at = below(seed, n), end = part_end(text, n, at), from = below(seed, n);
    char piece[64];
    const char *chosen = pieces[below(seed, VKS_COUNT(pieces))];
    size_t n_piece = strlen(chosen);
    if (below(seed, 4) == 0) {
        chosen = text + from;
        n_piece = part_end(text, n, from) - from;
    }
    if (n_piece > sizeof piece) n_piece = sizeof piece;
    memcpy(piece, chosen, n_piece); // aside: it may lie in what moves
    memmove(text + at + n_piece, text + end, n - end);
    memcpy(text + at, piece, n_piece);
    return n - (end - at) + n_piece;
}

CHECK_CASE(exchanged_header) {
    uint64_t seed = 4;
    size_t n_header = 0, n_answer[VKSSM_ERR_INTERNAL + 1] = {0};
    for (int i = 0; i < 8; i++)
        n_header |= (size_t)model[i] << 8 * i;
    size_t n_data = model_size - 8 - n_header;
    uint8_t *copy = malloc(model_size + 3 * 64);
    for (int i = 0; i < 20000; i++) {
        memcpy(copy, model, 8 + n_header);
        size_t n = n_header;
        for (size_t k = 1 + below(&seed, 3); k > 0; k--)
            n = exchange((char *)copy + 8, n, &seed);
        for (int k = 0; k < 8; k++)
            copy[k] = (uint8_t)((uint64_t)n >> 8 * k);
        memcpy(copy + 8 + n, model + 8 + n_header, n_data);
        n_answer[parse_safetensors(copy, 8 + n + n_data)]++;
    }
    free(copy);
    // The exchanges must reach all three answers, or they test less than they seem to.
    CHECK(n_answer[VKSSM_OK] > 100 && n_answer[VKSSM_ERR_FORMAT] > 100 && n_answer[VKSSM_ERR_UNSUPPORTED] > 10);
}

CHECK_CASE(exchanged_config) {
    uint64_t seed = 5;
    size_t size = strlen(config_text), n_ok = 0;
    char *copy = malloc(size + 3 * 64);
    for (int i = 0; i < 20000; i++) {
        size_t n = size;
        memcpy(copy, config_text, n);
        for (size_t k = 1 + below(&seed, 3); k > 0; k--)
            n = exchange(copy, n, &seed);
        n_ok += parse_config(copy, n) == VKSSM_OK;
    }
    free(copy);
    CHECK(n_ok > 100);
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int result = 1;
    if (make_model())
        result = check_main(argc, argv,
                            (check_case[]){CHECK_RUN(truncated_safetensors),
                                           CHECK_RUN(truncated_config),
                                           CHECK_RUN(truncated_index),
                                           CHECK_RUN(flipped_safetensors),
                                           CHECK_RUN(flipped_config),
                                           CHECK_RUN(flipped_index),
                                           CHECK_RUN(exchanged_header),
                                           CHECK_RUN(exchanged_config),
                                           {0}});
    else
        printf("cannot make the model: %s\n", vkssm_last_error());
    free(model);
    files_end();
    return result;
}

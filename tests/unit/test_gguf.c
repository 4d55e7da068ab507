// GGUF files: what is read, what is refused and in which words, what vkssm_quantize writes, tokenizers of both kinds.
#define _XOPEN_SOURCE 700
#include "harness/check.h"
#include "harness/files.h"
#include "harness/tiny_gguf.h"

#include <math.h>

#include <vkssm/quantize.h>

#include "host/base/quant.h"
#include "models/gguf_tokenizer.h"
#include "models/io/gguf_model.h"
#include "models/io/weights.h"

// ---- reading --------------------------------------------------------------------------------------------------------

static vkssm_status parse(const tiny_gguf *tiny, vks_gguf *gguf, uint8_t **file) {
    size_t size;
    *file = tiny_gguf_make(tiny, &size);
    return vks_gguf_parse("f.gguf", *file, size, NULL, gguf);
}

CHECK_CASE(values_and_tensors) {
    vks_gguf gguf;
    uint8_t *file;
    CHECK_EQ(parse(&(tiny_gguf){0}, &gguf, &file), VKSSM_OK);
    int64_t integer = 0;
    double real = 0;
    bool flag = false;
    vks_gguf_text text = {0};
    CHECK_EQ(vks_gguf_integer(&gguf, "mamba2.embedding_length", 1, 100, &integer), VKSSM_OK);
    CHECK_EQ(integer, TINY_D);
    CHECK_EQ(vks_gguf_real(&gguf, "mamba2.attention.layer_norm_rms_epsilon", &real), VKSSM_OK);
    CHECK_NEAR(real, 1e-5, 1e-12);
    CHECK_EQ(vks_gguf_flag(&gguf, "tokenizer.ggml.add_bos_token", &flag), VKSSM_OK);
    CHECK(flag);
    CHECK_EQ(vks_gguf_string(&gguf, "general.architecture", &text), VKSSM_OK);
    CHECK(text.size == 6 && memcmp(text.text, "mamba2", 6) == 0);
    CHECK_EQ(vks_gguf_integer(&gguf, "not.there", 0, 1, &integer), VKSSM_OK);
    CHECK_EQ(integer, TINY_D); // untouched
    CHECK_EQ(vks_gguf_integer(&gguf, "general.architecture", 0, 1, &integer), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "key general.architecture: an integer expected, a string found");
    CHECK_EQ(vks_gguf_integer(&gguf, "mamba2.embedding_length", 0, 31, &integer), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "an integer from 0 to 31 expected, 32 found");
    CHECK_EQ(vks_gguf_flag(&gguf, "tokenizer.ggml.tokens", &flag), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "a bool expected, an array, each item a string found");
    vkssm_named_tensor tensor;
    CHECK(vks_gguf_tensor(&gguf, "blk.0.ssm_in.weight", &tensor));
    CHECK(tensor.dtype == VKSSM_DTYPE_Q4_0 && tensor.n_dim == 2 && tensor.shape[0] == 138 && tensor.shape[1] == TINY_D);
    CHECK_EQ(tensor.size, 138 * 18);
    CHECK(!vks_gguf_tensor(&gguf, "blk.0.ssm_i", &tensor));
    vks_gguf_finish(&gguf);
    free(file);
}

// The names, shapes and sizes that an architecture asks for.
CHECK_CASE(as_a_model) {
    vks_gguf gguf;
    uint8_t *file;
    vks_config *config;
    vks_tensor_list list = {0};
    CHECK_EQ(parse(&(tiny_gguf){0}, &gguf, &file), VKSSM_OK);
    CHECK_EQ(vks_gguf_read_config(&gguf, &config), VKSSM_OK);
    uint32_t n = 0;
    bool tied = false;
    vks_config_u32(config, "num_heads", 0, 100, &n);
    CHECK_EQ(n, 2);
    vks_config_u32(config, "mixer_norm_groups", 0, 100, &n);
    CHECK_EQ(n, 1);
    vks_config_u32(config, "vocab_size", 0, 100, &n);
    CHECK_EQ(n, TINY_V);
    vks_config_bool(config, "tie_word_embeddings", &tied);
    CHECK(tied);
    vks_config_destroy(&config);
    CHECK_EQ(vks_gguf_model_tensors(&gguf, &list), VKSSM_OK);
    static const struct {
        const char *name;
        uint32_t n_dim;
        uint64_t shape[3];
    } wanted[] = {
        {"backbone.embeddings.weight", 2, {TINY_V, TINY_D}},
        {"backbone.layers.0.mixer.A", 1, {2}},
        {"backbone.layers.0.mixer.D", 1, {2}},
        {"backbone.layers.0.mixer.conv1d.bias", 1, {72}},
        {"backbone.layers.0.mixer.conv1d.weight", 3, {72, 1, 2}},
        {"backbone.layers.0.mixer.dt_bias", 1, {2}},
        {"backbone.layers.0.mixer.in_proj.weight", 2, {138, TINY_D}},
        {"backbone.layers.0.mixer.norm.weight", 1, {64}},
        {"backbone.layers.0.mixer.out_proj.weight", 2, {TINY_D, 64}},
        {"backbone.layers.0.norm.weight", 1, {TINY_D}},
        {"backbone.norm_f.weight", 1, {TINY_D}},
    };
    CHECK_EQ(list.n, VKS_COUNT(wanted));
    for (size_t i = 0; i < list.n && i < VKS_COUNT(wanted); i++) {
        CHECK_STR(list.items[i].name, wanted[i].name);
        CHECK_EQ(list.items[i].n_dim, wanted[i].n_dim);
        CHECK(memcmp(list.items[i].shape, wanted[i].shape, wanted[i].n_dim * sizeof(uint64_t)) == 0);
    }
    vks_tensor_list_finish(&list);
    vks_gguf_finish(&gguf);
    free(file);
}

// Mamba has names of its own for what Mamba-2 has too, and other shapes.
CHECK_CASE(as_mamba) {
    vks_gguf_writer w = {0};
    vks_gguf_add_string(&w, "general.architecture", "mamba");
    static const char *const keys[] = {"embedding_length", "block_count",    "ssm.conv_kernel",
                                       "ssm.inner_size",   "ssm.state_size", "ssm.time_step_rank"};
    static const uint32_t values[] = {8, 1, 4, 16, 16, 2};
    for (size_t i = 0; i < VKS_COUNT(keys); i++) {
        char key[64];
        snprintf(key, sizeof key, "mamba.%s", keys[i]);
        vks_gguf_add_u32(&w, key, values[i]);
    }
    vks_gguf_add_f32(&w, "mamba.attention.layer_norm_rms_epsilon", 1e-5f);
    vks_gguf_add_tensor(&w, "token_embd.weight", VKSSM_DTYPE_F32, 2, (uint64_t[]){5, 8});
    vks_gguf_add_tensor(&w, "blk.0.ssm_a", VKSSM_DTYPE_F32, 2, (uint64_t[]){16, 16});
    vks_gguf_add_tensor(&w, "blk.0.ssm_dt.bias", VKSSM_DTYPE_F32, 1, (uint64_t[]){16});
    vks_gguf_add_tensor(&w, "blk.0.ssm_x.weight", VKSSM_DTYPE_F32, 2, (uint64_t[]){34, 16});
    vks_file_write out;
    CHECK_EQ(vks_file_write_begin(files_path("m.gguf"), NULL, &out), VKSSM_OK);
    CHECK_EQ(vks_gguf_write_header(&w, &out), VKSSM_OK);
    for (uint64_t i = 0; i < w.data_size; i++)
        CHECK_EQ(vks_file_write_bytes(&out, "", 1), VKSSM_OK);
    CHECK_EQ(vks_file_write_commit(&out), VKSSM_OK);
    vks_gguf_writer_finish(&w);
    vks_gguf *gguf;
    vks_config *config;
    vks_weights *weights;
    vkssm_named_tensor tensor;
    const char *type = NULL;
    CHECK_EQ(vks_gguf_open(files_path("m.gguf"), NULL, &gguf), VKSSM_OK);
    CHECK_EQ(vks_gguf_read_config(gguf, &config), VKSSM_OK);
    vks_config_string(config, "model_type", &type);
    CHECK_STR(type, "mamba");
    CHECK_EQ(vks_weights_from_gguf(gguf, &weights), VKSSM_OK);
    CHECK(vks_weights_find(weights, "backbone.layers.0.mixer.A", &tensor) && tensor.n_dim == 2 &&
          tensor.shape[1] == 16);
    CHECK(vks_weights_find(weights, "backbone.layers.0.mixer.dt_proj.bias", &tensor));
    CHECK(vks_weights_find(weights, "backbone.layers.0.mixer.x_proj.weight", &tensor));
    vks_weights_destroy(&weights);
    vks_config_destroy(&config);
    vks_gguf_destroy(&gguf);
}

// ---- refusals -------------------------------------------------------------------------------------------------------

// Everything up to a tokenizer, from a file with `n` bytes of `bytes` at `at`.
static vkssm_status read_patched(const tiny_gguf *tiny, size_t at, const void *bytes, size_t n) {
    size_t size;
    uint8_t *file = tiny_gguf_make(tiny, &size);
    if (n) memcpy(file + at, bytes, n);
    vks_gguf gguf;
    vks_config *config = NULL;
    vks_tensor_list list = {0};
    vkssm_tokenizer *tokenizer = NULL;
    vkssm_status status = vks_gguf_parse("f.gguf", file, size, NULL, &gguf);
    if (status == VKSSM_OK) status = vks_gguf_read_config(&gguf, &config);
    if (status == VKSSM_OK) status = vks_gguf_model_tensors(&gguf, &list);
    if (status == VKSSM_OK) status = vks_gguf_read_tokenizer(&gguf, &tokenizer);
    vkssm_tokenizer_destroy(&tokenizer);
    vks_tensor_list_finish(&list);
    vks_config_destroy(&config);
    vks_gguf_finish(&gguf);
    free(file);
    CHECK_EQ(vks_alloc_n_live(), 0);
    return status;
}

// Where the description of a tensor, or a key, has what follows its name.
static size_t place_behind(const char *name) {
    size_t size, n = strlen(name), at = 0;
    uint8_t *file = tiny_gguf_make(&(tiny_gguf){0}, &size);
    while (at + n < size && memcmp(file + at, name, n) != 0)
        at++;
    free(file);
    return at + n;
}

#define REFUSED(tiny, at, bytes, status, part)                                                                         \
    do {                                                                                                               \
        CHECK_EQ(read_patched(&(tiny_gguf)tiny, at, bytes, sizeof(bytes) - 1), status);                                \
        CHECK_CONTAINS(vkssm_last_error(), "f.gguf: ");                                                                \
        CHECK_CONTAINS(vkssm_last_error(), part);                                                                      \
    } while (0)

CHECK_CASE(refuses) {
    const vkssm_status format = VKSSM_ERR_FORMAT, unsupported = VKSSM_ERR_UNSUPPORTED;
    size_t in = place_behind("blk.0.ssm_in.weight"), norm = place_behind("output_norm.weight");
    size_t arch = place_behind("general.architecture");
    REFUSED({0}, 0, "GGML", format, "begins with \"GGUF\" expected, other bytes found");
    REFUSED({0}, 4, "\4", format, "GGUF version 2 or 3 expected, 4 found");
    REFUSED({0}, 4, "\1", unsupported, "GGUF version 2 or 3 expected, 1 found");
    REFUSED({0}, 4, "\0\0\0\3", unsupported, "big-endian");
    REFUSED({0}, 8, "\xff\xff\xff\xff\xff\xff\xff\xff", format, "tensors expected by the header");
    REFUSED({0}, 16, "\xff\xff\xff\xff\xff\xff\xff\x7f", format, "keys expected by the header");
    REFUSED({0}, 24, "\xff\xff\xff\xff\xff\xff\xff\xff", format, "bytes of a key expected at byte 32");
    REFUSED({0}, arch, "\x0d", format, "a value's type below 13 expected, 13 found");
    REFUSED({0}, arch + 4, "\0\0\0\0\0\0\0\x10", format, "the value of general.architecture");
    REFUSED({0}, in + 4 + 16, "\x0d", unsupported, "tensor blk.0.ssm_in.weight: a type of F32, F16");
    CHECK_CONTAINS(vkssm_last_error(), "Q5_K (number 13) found");
    REFUSED({0}, in + 4 + 16, "\xff", unsupported, "an unknown one (number 255) found");
    REFUSED({0}, in, "\5", format, "at most 4 dimensions expected, 5 found");
    REFUSED({0}, in + 4, "\x21", format, "rows of a multiple of 32 values for Q4_0 expected, 33 found");
    REFUSED({0}, in + 12, "\0\0\0\0\0\0\0\x40", format, "63 bits expected");
    REFUSED({0}, in + 12, "\0\0\0\0\1", format, "the file has");
    REFUSED({0}, in + 24, "\1", format, "an offset that is a multiple of 32 expected");
    REFUSED({0}, in + 24, "\0\0\0\0", format, "overlaps tensor");
    REFUSED({0}, norm - 18, "blk.0.ssm_a\0", format, "without a zero expected");
    REFUSED({.leave_out = "general.architecture"}, 0, "", format, "key general.architecture is missing");
    REFUSED({.twice = "general.architecture"}, 0, "", format, "key general.architecture is there twice");
    REFUSED({.arch = "llama"}, 0, "", unsupported, "mamba or mamba2 expected, llama found");
    REFUSED({.leave_out = "mamba2.ssm.group_count"}, 0, "", format, "key mamba2.ssm.group_count is missing");
    REFUSED({.leave_out = "token_embd.weight"}, 0, "", format, "tensor token_embd.weight");
    REFUSED({.alignment = 48}, 0, "", format, "key general.alignment: a power of two expected, 48 found");
    REFUSED({.tokenizer = "bert"}, 0, "", unsupported, "gpt2 or llama expected, bert found");
    REFUSED({.pre = "tekken"}, 0, "", unsupported, "tekken found");
    REFUSED({.leave_out = "tokenizer.ggml.tokens"}, 0, "", format, "key tokenizer.ggml.tokens is missing");
    REFUSED({.leave_out = "tokenizer.ggml.merges"}, 0, "", format, "key tokenizer.ggml.merges is missing");
    // The same name twice: the norm called as the other one of its length is.
    size_t other = place_behind("blk.0.ssm_dt.bias");
    CHECK_EQ(read_patched(&(tiny_gguf){0}, other - 17, "blk.0.ssm_in.bias", 17),
             VKSSM_OK); // unknown names do not matter
    CHECK_EQ(read_patched(&(tiny_gguf){.alignment = 16}, 0, "", 0), VKSSM_OK);
}

// ---- tokenizers -----------------------------------------------------------------------------------------------------

static vkssm_tokenizer *open_tokenizer(bool pieces) {
    vks_gguf gguf;
    uint8_t *file;
    vkssm_tokenizer *tokenizer = NULL;
    CHECK_EQ(parse(&(tiny_gguf){.pieces = pieces}, &gguf, &file), VKSSM_OK);
    CHECK_EQ(vks_gguf_read_tokenizer(&gguf, &tokenizer), VKSSM_OK);
    vks_gguf_finish(&gguf);
    free(file);
    return tokenizer;
}

static void check_ids(const vkssm_tokenizer *t, const char *text, size_t n_wanted, const int32_t *wanted,
                      const char *back) {
    int32_t *ids;
    size_t n, n_text;
    char *decoded;
    CHECK_EQ(vkssm_tokenizer_encode(t, text, strlen(text), false, true, &ids, &n), VKSSM_OK);
    CHECK(n == n_wanted && (n == 0 || memcmp(ids, wanted, n * sizeof *ids) == 0));
    CHECK_EQ(vkssm_tokenizer_decode(t, ids, n, true, &decoded, &n_text), VKSSM_OK);
    CHECK_STR(decoded, back);
    vkssm_free(decoded);
    vkssm_free(ids);
}
#define IDS(...)                                                                                                       \
    sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (int32_t[]) {                                                  \
        __VA_ARGS__                                                                                                    \
    }

CHECK_CASE(byte_level_tokenizer) {
    vkssm_tokenizer *t = open_tokenizer(false);
    CHECK_EQ(vkssm_tokenizer_bos(t), 0);
    CHECK(vkssm_tokenizer_adds_bos(t));
    CHECK_EQ(vkssm_tokenizer_n_token(t), 11); // the last row is padding
    check_ids(t, "abc ab", IDS(6, 7), "abc ab");
    check_ids(t, "<s>ba", IDS(0, 2, 1), "ba");
    vkssm_tokenizer_destroy(&t);
}

// Scores: "ab" -2, " ab" -3, "abc" -4, so that "ab" comes first, and then " ab" rather than "abc".
CHECK_CASE(pieces_tokenizer) {
    vkssm_tokenizer *t = open_tokenizer(true);
    check_ids(t, "abc", IDS(7, 5), " abc");
    check_ids(t, "babc", IDS(4, 2, 6), " babc");
    check_ids(t, "a b", IDS(4, 1, 4, 2), " a b");
    check_ids(t,
              "\xc3\xa9"
              "d",
              IDS(4, 8, 9, 10),
              " \xc3\xa9"
              "d");                     // no piece: its bytes
    check_ids(t, "x", IDS(4, 11), " "); // no byte either: unknown, which is special
    check_ids(t, "<s>ab", IDS(0, 7), " ab");
    CHECK_EQ(vkssm_tokenizer_find(t, "abc"), 6);
    vkssm_tokenizer_destroy(&t);
}

// ---- writing --------------------------------------------------------------------------------------------------------

static const char *folder(const char *root, const char *name) {
    static char path[1024];
    const char *parent = getenv(root);
    snprintf(path, sizeof path, "%s/%s", parent ? parent : ".", name);
    return path;
}

static float value_at(const vkssm_named_tensor *t, uint64_t i) {
    float value;
    memcpy(&value, (const uint8_t *)t->data + 4 * i, 4);
    return value;
}

// What llama.cpp's reader of mamba2 asks for: these keys, these tensors in these shapes (fastest dimension first
// there), offsets that follow each other.
CHECK_CASE(what_is_written) {
    char out[1024];
    snprintf(out, sizeof out, "%s", files_path("w.gguf"));
    const char *model = folder("VKSSM_TEST_DATA", "mamba2");
    CHECK_EQ(vkssm_quantize(model, out, NULL, NULL), VKSSM_OK); // all F32
    vks_gguf *gguf;
    CHECK_EQ(vks_gguf_open(out, NULL, &gguf), VKSSM_OK);
    static const char *const keys[] = {
        "context_length", "embedding_length", "block_count",        "ssm.conv_kernel",
        "ssm.inner_size", "ssm.state_size",   "ssm.time_step_rank", "ssm.group_count",
    };
    static const int64_t values[] = {1 << 20, 64, 3, 4, 128, 32, 8, 1};
    for (size_t i = 0; i < VKS_COUNT(keys); i++) {
        char key[64];
        int64_t found = -1;
        snprintf(key, sizeof key, "mamba2.%s", keys[i]);
        CHECK_EQ(vks_gguf_integer(gguf, key, 0, INT32_MAX, &found), VKSSM_OK);
        CHECK_EQ(found, values[i]);
        CHECK_EQ(vks_gguf_find(gguf, key)->type, VKS_GGUF_U32);
    }
    static const struct {
        const char *name;
        uint32_t n_dim;
        uint64_t shape[2];
    } tensors[] = {
        {"token_embd.weight", 2, {96, 64}},
        {"output.weight", 2, {96, 64}},
        {"output_norm.weight", 1, {64}},
        {"blk.2.ssm_in.weight", 2, {328, 64}},
        {"blk.2.ssm_out.weight", 2, {64, 128}},
        {"blk.2.ssm_conv1d.weight", 2, {192, 4}},
        {"blk.2.ssm_conv1d.bias", 1, {192}},
        {"blk.2.ssm_dt.bias", 1, {8}},
        {"blk.2.ssm_a", 2, {8, 1}},
        {"blk.2.ssm_d", 2, {8, 1}},
        {"blk.2.ssm_norm.weight", 2, {1, 128}},
        {"blk.2.attn_norm.weight", 1, {64}},
    };
    vkssm_named_tensor tensor, source;
    for (size_t i = 0; i < VKS_COUNT(tensors); i++) {
        CHECK(vks_gguf_tensor(gguf, tensors[i].name, &tensor));
        CHECK_EQ(tensor.n_dim, tensors[i].n_dim);
        CHECK(memcmp(tensor.shape, tensors[i].shape, tensor.n_dim * sizeof(uint64_t)) == 0);
        CHECK_EQ(tensor.dtype, VKSSM_DTYPE_F32);
        CHECK_EQ((uintptr_t)tensor.data % 32, 0);
    }
    CHECK_EQ(gguf->tensors.n, 3 + 3 * 9);
    // Values: copies, and A = -exp(A_log).
    vks_weights *weights;
    CHECK_EQ(vks_weights_open(model, NULL, &weights), VKSSM_OK);
    CHECK(vks_weights_find(weights, "backbone.layers.2.mixer.A_log", &source) &&
          vks_gguf_tensor(gguf, "blk.2.ssm_a", &tensor));
    for (uint64_t i = 0; i < 8; i++)
        CHECK_NEAR(value_at(&tensor, i), -exp((double)value_at(&source, i)), 1e-6 * fabs(value_at(&tensor, i)));
    CHECK(vks_weights_find(weights, "backbone.layers.1.mixer.in_proj.weight", &source) &&
          vks_gguf_tensor(gguf, "blk.1.ssm_in.weight", &tensor));
    CHECK(source.size == tensor.size && memcmp(source.data, tensor.data, tensor.size) == 0);
    vks_weights_destroy(&weights);
    vks_gguf_destroy(&gguf);
}

typedef struct told {
    int n_tensor, n_q8_0, n_q4_0, n_f16;
    double largest;
} told;

static void listen(void *user, const vkssm_quantized_tensor *tensor) {
    told *t = user;
    t->n_tensor++;
    t->n_q8_0 += tensor->to == VKSSM_DTYPE_Q8_0;
    t->n_q4_0 += tensor->to == VKSSM_DTYPE_Q4_0;
    t->n_f16 += tensor->to == VKSSM_DTYPE_F16;
    t->largest = fmax(t->largest, tensor->error);
}

// Rows of 64 and 128 values: no block of 256 divides them.
CHECK_CASE(types_of_tensors) {
    const char *model = folder("VKSSM_TEST_DATA", "mamba2");
    told t = {0};
    vkssm_quantize_params params = {.type = VKSSM_DTYPE_Q4_K, .on_tensor = listen, .user = &t};
    CHECK_EQ(vkssm_quantize(model, files_path("t.gguf"), &params, NULL), VKSSM_OK);
    CHECK_EQ(t.n_q8_0, 8);
    CHECK(t.largest > 0 && t.largest < 0.01);
    t = (told){0};
    params.type = VKSSM_DTYPE_Q4_0;
    params.convert_tables = true;
    params.table_type = VKSSM_DTYPE_F16;
    params.overrides = "blk.0.*=q8_0,*out?weight=f16";
    CHECK_EQ(vkssm_quantize(model, files_path("t.gguf"), &params, NULL), VKSSM_OK);
    CHECK_EQ(t.n_q8_0, 2);
    CHECK_EQ(t.n_q4_0, 2);
    CHECK_EQ(t.n_f16, 4); // embedding, head, and out_proj of two layers
    CHECK_EQ(t.n_tensor, 30);
    static const char *const wrong[] = {"a", "=f16", "a=", "a=f17", "a=bf16", "a=f16,b", ","};
    for (size_t i = 0; i < VKS_COUNT(wrong); i++) {
        params.overrides = wrong[i];
        CHECK_EQ(vkssm_quantize(model, files_path("t.gguf"), &params, NULL), VKSSM_ERR_ARG);
        CHECK_CONTAINS(vkssm_last_error(), "PATTERN=TYPE");
    }
    params = (vkssm_quantize_params){.type = VKSSM_DTYPE_BF16};
    CHECK_EQ(vkssm_quantize(model, files_path("t.gguf"), &params, NULL), VKSSM_ERR_ARG);
    CHECK_EQ(vkssm_quantize(folder("VKSSM_TEST_DATA", "none"), files_path("t.gguf"), NULL, NULL), VKSSM_ERR_IO);
    CHECK_EQ(vkssm_quantize(files_path("t.gguf"), files_path("u.gguf"), NULL, NULL), VKSSM_ERR_UNSUPPORTED);
    // A gated norm over four groups together is not what llama.cpp computes.
    CHECK_EQ(vkssm_quantize(folder("VKSSM_TEST_DATA", "mamba2_g4"), files_path("u.gguf"), NULL, NULL),
             VKSSM_ERR_UNSUPPORTED);
    CHECK_CONTAINS(vkssm_last_error(), "a gated norm over several groups together");
    CHECK(!vks_path_exists(files_path("u.gguf")));
}

// The tokenizer of a checkpoint, through a GGUF file, gives the same ids.
CHECK_CASE(tokenizer_of_the_story_model) {
    const char *model = folder("VKSSM_ZOO", "stories-mamba2");
    static const char text[] = "Once upon a time, there was a dog\xe2\x80\x99s  42 balls.\n\n<|endoftext|> \xc3\xa9";
    vkssm_tokenizer *before, *after;
    vks_gguf *gguf;
    CHECK_EQ(vkssm_tokenizer_open(model, NULL, &before), VKSSM_OK);
    vkssm_quantize_params params = {.type = VKSSM_DTYPE_Q8_0};
    CHECK_EQ(vkssm_quantize(model, files_path("s.gguf"), &params, NULL), VKSSM_OK);
    CHECK_EQ(vks_gguf_open(files_path("s.gguf"), NULL, &gguf), VKSSM_OK);
    CHECK_EQ(vks_gguf_read_tokenizer(gguf, &after), VKSSM_OK);
    vks_gguf_destroy(&gguf);
    CHECK_EQ(vkssm_tokenizer_n_token(after), vkssm_tokenizer_n_token(before));
    CHECK_EQ(vkssm_tokenizer_bos(after), vkssm_tokenizer_bos(before));
    CHECK_EQ(vkssm_tokenizer_eos(after), vkssm_tokenizer_eos(before));
    CHECK_EQ(vkssm_tokenizer_adds_bos(after), vkssm_tokenizer_adds_bos(before));
    for (int special = 0; special < 2; special++) {
        int32_t *wanted, *found;
        size_t n_wanted, n_found;
        CHECK_EQ(vkssm_tokenizer_encode(before, text, strlen(text), true, special, &wanted, &n_wanted), VKSSM_OK);
        CHECK_EQ(vkssm_tokenizer_encode(after, text, strlen(text), true, special, &found, &n_found), VKSSM_OK);
        CHECK(n_found == n_wanted && n_found > 20 && memcmp(found, wanted, n_found * sizeof *found) == 0);
        vkssm_free(wanted);
        vkssm_free(found);
    }
    vkssm_tokenizer_destroy(&before);
    vkssm_tokenizer_destroy(&after);
}

// ---- memory that fails ----------------------------------------------------------------------------------------------

static vkssm_status write_and_read(void) {
    vks_gguf *gguf = NULL;
    vks_weights *weights = NULL;
    VKS_TRY(vkssm_quantize(folder("VKSSM_TEST_DATA", "mamba2"), files_path("a.gguf"), NULL, NULL));
    VKS_TRY(vks_gguf_open(files_path("a.gguf"), NULL, &gguf));
    vkssm_status status = vks_weights_from_gguf(gguf, &weights);
    vks_weights_destroy(&weights);
    vks_gguf_destroy(&gguf);
    return status;
}

static uint8_t *made[2]; // files with each kind of tokenizer
static size_t made_size[2];

static vkssm_status make_tokenizer(bool pieces) {
    vks_gguf gguf;
    vkssm_tokenizer *tokenizer = NULL;
    vkssm_status status = vks_gguf_parse("f.gguf", made[pieces], made_size[pieces], NULL, &gguf);
    if (status == VKSSM_OK) status = vks_gguf_read_tokenizer(&gguf, &tokenizer);
    vkssm_tokenizer_destroy(&tokenizer);
    vks_gguf_finish(&gguf);
    return status;
}

CHECK_CASE(failing_memory) {
    for (int i = 0; i < 2; i++)
        made[i] = tiny_gguf_make(&(tiny_gguf){.pieces = i}, &made_size[i]);
    for (int what = 0; what < 3; what++) {
        uint64_t n = 0;
        for (bool done = false; !done && n < 5000; n++) {
            vks_alloc_fail_after(n);
            vkssm_status status = what == 0 ? write_and_read() : make_tokenizer(what == 2);
            vks_alloc_fail_after(UINT64_MAX);
            done = status == VKSSM_OK;
            CHECK(done || status == VKSSM_ERR_OOM_HOST);
            CHECK_EQ(vks_alloc_n_live(), 0);
            if (!done && status != VKSSM_ERR_OOM_HOST) break;
        }
        CHECK(n > 10 && n < 5000);
    }
    free(made[0]);
    free(made[1]);
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int result = check_main(argc, argv,
                            (check_case[]){CHECK_RUN(values_and_tensors),
                                           CHECK_RUN(as_a_model),
                                           CHECK_RUN(as_mamba),
                                           CHECK_RUN(refuses),
                                           CHECK_RUN(byte_level_tokenizer),
                                           CHECK_RUN(pieces_tokenizer),
                                           CHECK_RUN(what_is_written),
                                           CHECK_RUN(types_of_tensors),
                                           CHECK_RUN(tokenizer_of_the_story_model),
                                           CHECK_RUN(failing_memory),
                                           {0}});
    files_end();
    return result;
}

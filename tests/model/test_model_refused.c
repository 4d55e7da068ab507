// Model folders that must not load: every key and every tensor wrong in turn, files cut short or not there. Each
// failure is one line that names the file and the key or tensor, and nothing stays allocated.
#define _XOPEN_SOURCE 700
#include "harness/model_test.h"
#include "harness/files.h"
#include "harness/tiny_mamba2.h"

#include <jansson.h>

static const char *golden(void) {
    return model_data("mamba2");
}

// ---- loading --------------------------------------------------------------------------------------------------------

// `part`: of the message, besides the name of the file.
static void refuse_with(const char *path, const vkssm_model_params *params, vkssm_status status, const char *file,
                        const char *part) {
    uint64_t n_live = vks_alloc_n_live();
    vkssm_model *model = (vkssm_model *)model_device; // anything but NULL
    vkssm_status found = vkssm_model_load(model_device, path, params, &model);
    if (found != status) printf("  %s: %s\n", part, vkssm_last_error());
    CHECK_EQ(found, status);
    CHECK(!model);
    CHECK_EQ(vks_alloc_n_live(), n_live);
    if (found == VKSSM_OK) {
        vkssm_model_destroy(&model);
        return;
    }
    CHECK_CONTAINS(vkssm_last_error(), file);
    CHECK_CONTAINS(vkssm_last_error(), part);
    CHECK(!strpbrk(vkssm_last_error(), "\r\n"));
    CHECK_STR(model_log.last_error, vkssm_last_error()); // the log hears the same
}

static void refuse(vkssm_status status, const char *file, const char *part) {
    refuse_with(files_folder, NULL, status, file, part);
}

static bool loads(const char *path, const vkssm_model_params *params) {
    vkssm_model *model = NULL;
    CHECK_OK(vkssm_model_load(model_device, path, params, &model));
    bool loaded = model != NULL;
    vkssm_model_destroy(&model);
    return loaded;
}

static bool copy_file(const char *name) {
    FILE *from = fopen(model_path(golden(), name), "rb"), *to = fopen(files_path(name), "wb");
    char buffer[4096];
    size_t n = 0;
    while (from && to && (n = fread(buffer, 1, sizeof buffer, from)) > 0)
        if (fwrite(buffer, 1, n, to) != n) break;
    bool ok = from && to && n == 0;
    if (from) fclose(from);
    if (to) ok &= fclose(to) == 0;
    return ok;
}

static bool copy_model(void) {
    files_clear();
    return copy_file("config.json") && copy_file("model.safetensors");
}

// The golden config with another value; NULL: without the key.
static bool write_config(const char *key, const char *value) {
    json_t *config = json_load_file(model_path(golden(), "config.json"), 0, NULL);
    size_t text_size = value ? strlen(value) : 0;
    // Numbers as Python writes them, which jansson does not read, are put in as text afterwards.
    json_t *item = value ? json_loadb(value, text_size, JSON_DECODE_ANY, NULL) : NULL;
    if (!value)
        json_object_del(config, key);
    else
        json_object_set_new(config, key, item ? item : json_string("@"));
    char *text = json_dumps(config, 0), *mark = text ? strstr(text, "\"@\"") : NULL;
    bool ok = text && (item || !value || mark);
    if (ok && mark) {
        FILE *file = fopen(files_path("config.json"), "wb");
        ok = file && fprintf(file, "%.*s%s%s", (int)(mark - text), text, value, mark + 3) > 0;
        if (file) ok &= fclose(file) == 0;
    } else if (ok) {
        ok = files_write("config.json", text, strlen(text));
    }
    free(text);
    json_decref(config);
    return ok;
}

// ---- config.json ----------------------------------------------------------------------------------------------------

typedef struct wrong_key {
    const char *key, *value; // value NULL: the key is not there
    vkssm_status status;
    const char *part; // NULL: the key in quotes
} wrong_key;

#define F VKSSM_ERR_FORMAT
#define U VKSSM_ERR_UNSUPPORTED
#define PRODUCT "heads times head width"

static const wrong_key wrong_keys[] = {
    {"model_type", "\"mamba9000\"", U, "mamba9000 found"},
    {"model_type", "\"\"", U, NULL},
    {"model_type", "5", F, NULL},
    {"model_type", "[\"mamba2\"]", F, NULL},
    {"model_type", NULL, U, "\"model_type\""},
    {"model_type", "null", U, NULL},
    {"hidden_size", "0", F, NULL},
    {"hidden_size", "-64", F, NULL},
    {"hidden_size", "1", F, NULL},
    {"hidden_size", "1048577", F, NULL},
    {"hidden_size", "4294967360", F, NULL}, // 64 when cut to 32 bits
    {"hidden_size", "18446744073709551680", F, NULL},
    {"hidden_size", "1e30", F, NULL},
    {"hidden_size", "64.5", F, NULL},
    {"hidden_size", "\"64\"", F, NULL},
    {"hidden_size", "[64]", F, NULL},
    {"hidden_size", "true", F, NULL},
    {"hidden_size", "NaN", F, NULL},
    {"hidden_size", "Infinity", F, NULL},
    {"hidden_size", "{\"__float__\": \"Infinity\"}", F, NULL},
    {"hidden_size", "65", F, PRODUCT},
    {"hidden_size", NULL, F, PRODUCT}, // the default is another model's size
    {"num_heads", "0", F, NULL},
    {"num_heads", "7", F, PRODUCT},
    {"num_heads", "-8", F, NULL},
    {"num_heads", "\"8\"", F, NULL},
    {"num_heads", "1048576", F, PRODUCT},
    {"head_dim", "0", F, NULL},
    {"head_dim", "15", F, PRODUCT},
    {"head_dim", "{}", F, NULL},
    {"head_dim", "1048576", F, PRODUCT},
    {"state_size", "0", F, NULL},
    {"state_size", "1048577", F, NULL},
    {"state_size", "\"big\"", F, NULL},
    {"state_size", "31", F, "backbone.layers.0.mixer.in_proj.weight"},
    {"n_groups", "0", F, NULL},
    {"n_groups", "3", F, "divides 8 heads"},
    {"n_groups", "16", F, "divides 8 heads"},
    {"n_groups", "2", F, "backbone.layers.0.mixer.in_proj.weight"},
    {"conv_kernel", "0", F, NULL},
    {"conv_kernel", "1", F, NULL},
    {"conv_kernel", "65", F, NULL},
    {"conv_kernel", "3", F, "backbone.layers.0.mixer.conv1d.weight"},
    {"expand", "0", F, NULL},
    {"expand", "65", F, NULL},
    {"expand", "3", F, PRODUCT},
    {"expand", "2.5", F, NULL},
    {"num_hidden_layers", "0", F, NULL},
    {"num_hidden_layers", "4097", F, NULL},
    {"num_hidden_layers", "4096", F, "backbone.layers.3.norm.weight"},
    {"num_hidden_layers", "\"3\"", F, NULL},
    {"vocab_size", "0", F, NULL},
    {"vocab_size", "16777216", F, NULL},
    {"vocab_size", "95", F, "backbone.embeddings.weight"},
    {"vocab_size", "97", F, "backbone.embeddings.weight"},
    {"layer_norm_epsilon", "\"small\"", F, NULL},
    {"layer_norm_epsilon", "-1e-5", F, NULL},
    {"layer_norm_epsilon", "2", F, NULL},
    {"layer_norm_epsilon", "NaN", F, NULL},
    {"layer_norm_epsilon", "1e39", F, NULL},
    {"use_bias", "1", F, NULL},
    {"use_bias", "\"false\"", F, NULL},
    {"use_bias", "true", F, "backbone.layers.0.mixer.in_proj.bias"},
    {"use_conv_bias", "0", F, NULL},
    {"tie_word_embeddings", "\"no\"", F, NULL},
    {"hidden_act", "\"gelu\"", U, NULL},
    {"hidden_act", "\"\"", U, NULL},
    {"hidden_act", "3", F, NULL},
    {"time_step_limit", "[0.1]", F, NULL},
    {"time_step_limit", "[0, 1, 2]", F, NULL},
    {"time_step_limit", "[0.2, 0.1]", F, "rising order"},
    {"time_step_limit", "[-1, 1]", F, NULL},
    {"time_step_limit", "[0, \"a\"]", F, NULL},
    {"time_step_limit", "[NaN, 1]", F, NULL},
    {"time_step_limit", "0.1", F, NULL},
    {"time_step_limit", "{\"min\": 0, \"max\": 1}", F, NULL},
    {"mixer_norm_groups", "0", F, NULL},
    {"mixer_norm_groups", "3", F, NULL},
    {"mixer_norm_groups", "256", F, NULL},
    {"mixer_norm_groups", "\"1\"", F, NULL},
    {"chunk_size", "0", F, NULL},
    {"chunk_size", "\"256\"", F, NULL},
    {"bos_token_id", "-2", F, NULL},
    {"bos_token_id", "\"<s>\"", F, NULL},
    {"eos_token_id", "16777216", F, NULL},
    {"eos_token_id", "1.5", F, NULL},
};

CHECK_CASE(keys) {
    CHECK(copy_model());
    for (size_t i = 0; i < sizeof wrong_keys / sizeof *wrong_keys; i++) {
        const wrong_key *w = &wrong_keys[i];
        char quoted[64];
        snprintf(quoted, sizeof quoted, "\"%s\"", w->key);
        CHECK(write_config(w->key, w->value));
        int n_failed = check_n_failed;
        refuse(w->status, files_folder, w->part ? w->part : quoted);
        if (check_n_failed != n_failed) printf("  at \"%s\": %s\n", w->key, w->value ? w->value : "(not there)");
    }
    CHECK(write_config("vocab_size", "96.0")); // Python may write integers so
    CHECK(loads(files_folder, NULL));
    CHECK(write_config("residual_in_fp32", "false")); // without effect
    CHECK(loads(files_folder, NULL));
    files_clear();
}

// What the original layout can ask for beyond Mamba-2, and what it must say.
CHECK_CASE(keys_of_original) {
    static const struct {
        const char *more; // put before the other keys
        vkssm_status status;
        const char *part;
    } wrong[] = {
        {"\"rms_norm\": false, ", U, "\"rms_norm\""},          {"\"rms_norm\": 0, ", F, "\"rms_norm\""},
        {"\"d_intermediate\": 64, ", U, "\"d_intermediate\""}, {"\"attn_layer_idx\": [1], ", U, "\"attn_layer_idx\""},
        {"\"attn_layer_idx\": 1, ", F, "\"attn_layer_idx\""},
    };
    tiny_mamba2 tiny = tiny_mamba2_default();
    tiny.original = tiny.sparse = tiny.shape.tied_head = true;
    tiny.shape.embedding = "backbone.embedding.weight";
    CHECK(tiny_mamba2_write(&tiny, files_folder));
    CHECK(loads(files_folder, NULL));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tiny.more_keys = wrong[i].more;
        CHECK(tiny_mamba2_write_config(&tiny, files_folder));
        refuse(wrong[i].status, "config.json", wrong[i].part);
    }
#define CFG "\"ssm_cfg\": {\"layer\": \"Mamba2\", \"d_state\": 16, \"headdim\": 16"
#define SIZES "\"d_model\": 32, \"n_layer\": 2, \"vocab_size\": 40, "
    static const struct {
        const char *config;
        vkssm_status status;
        const char *part;
    } whole[] = {
        {"{" SIZES CFG ", \"D_has_hdim\": true}}", U, "\"ssm_cfg.D_has_hdim\""},
        {"{" SIZES CFG ", \"d_ssm\": 48}}", U, "\"ssm_cfg.d_ssm\""},
        {"{" SIZES CFG ", \"ngroups\": 3}}", F, "divides 4 heads"},
        {"{" SIZES CFG ", \"d_conv\": 1}}", F, "\"ssm_cfg.d_conv\""},
        {"{" SIZES CFG ", \"dt_limit\": [1, 0.5]}}", F, "rising order"},
        {"{" SIZES CFG ", \"chunk_size\": 0}}", F, "\"ssm_cfg.chunk_size\""},
        {"{" SIZES CFG ", \"headdim\": 16}}", F, "config.json"}, // twice the same key
        {"{\"n_layer\": 2, \"vocab_size\": 40, " CFG "}}", F, "\"d_model\""},
        {"{\"d_model\": 32, \"vocab_size\": 40, " CFG "}}", F, "\"n_layer\""},
        {"{\"d_model\": 32, \"n_layer\": 2, " CFG "}}", F, "\"vocab_size\""},
        {"{\"d_model\": 33, \"n_layer\": 2, \"vocab_size\": 40, " CFG "}}", F, PRODUCT},
        {"{\"d_model\": 2, \"n_layer\": 2, \"vocab_size\": 40, " CFG "}}", F, PRODUCT}, // no head at all
        {"{\"d_model\": 32, \"n_layer\": 2, \"vocab_size\": 41, " CFG "}}", F, "backbone.embedding.weight"},
        {"{" SIZES "\"ssm_cfg\": {\"layer\": \"Mamba1\"}}", F,
         "in_proj.weight: shape [128, 32] expected"}, // it is Mamba-2
        {"{" SIZES "\"ssm_cfg\": {\"layer\": \"Mamba3\"}}", U, "\"model_type\""},
        {"{" SIZES "\"ssm_cfg\": {\"layer\": 2}}", U, "\"model_type\""},
        {"{" SIZES "\"ssm_cfg\": {}}", F, "in_proj.weight: shape [128, 32] expected"}, // Mamba-1 goes without saying
        {"{" SIZES "\"ssm_cfg\": \"Mamba2\"}", U, "\"model_type\""},
        {"{" SIZES "\"pad\": 1}", U, "\"model_type\""},
    };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        CHECK(files_write("config.json", whole[i].config, strlen(whole[i].config)));
        refuse(whole[i].status, files_folder, whole[i].part);
    }
    files_clear();
}

CHECK_CASE(no_json) {
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "null",
                                        "5",
                                        "{\"model_type\": \"mamba2\"",
                                        "{\"model_type\": \"mamba2\",}",
                                        "model_type: mamba2",
                                        "{\"a\": 1, \"a\": 2}",
                                        "\xff\xfe{}"};
    CHECK(copy_model());
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK(files_write("config.json", texts[i], strlen(texts[i])));
        refuse(F, "config.json", "config.json");
    }
    CHECK(files_write("config.json", "{\0}", 3));
    refuse(F, "config.json", "config.json");
    files_clear();
}

// ---- files ----------------------------------------------------------------------------------------------------------

CHECK_CASE(files_missing) {
    files_clear();
    refuse(VKSSM_ERR_IO, "config.json", "No such file");
    CHECK(copy_file("config.json"));
    refuse(VKSSM_ERR_IO, files_folder, "model.safetensors");
    CHECK(remove(files_path("config.json")) == 0);
    CHECK(copy_file("model.safetensors"));
    refuse(VKSSM_ERR_IO, "config.json", "No such file");
    refuse_with(files_path("nowhere"), NULL, VKSSM_ERR_IO, "nowhere", "a model folder or file expected");
    refuse_with(files_path("nowhere/deeper"), NULL, VKSSM_ERR_IO, "nowhere", "a model folder or file expected");
    CHECK(copy_file("config.json"));
    refuse_with(files_path("other.safetensors"), NULL, VKSSM_ERR_IO, "other.safetensors",
                "a model folder or file expected");
    CHECK(mkdir(files_path("folder.safetensors"), 0700) == 0);
    CHECK(loads(files_folder, NULL));
    CHECK(rmdir(files_path("folder.safetensors")) == 0);
    CHECK(remove(files_path("config.json")) == 0 && mkdir(files_path("config.json"), 0700) == 0);
    refuse(VKSSM_ERR_IO, "config.json", "config.json");
    CHECK(rmdir(files_path("config.json")) == 0);
    files_clear();
}

CHECK_CASE(arguments) {
    vkssm_model *model = NULL;
    CHECK_REFUSED(vkssm_model_load(NULL, golden(), NULL, &model), VKSSM_ERR_ARG, "expected");
    CHECK_REFUSED(vkssm_model_load(model_device, NULL, NULL, &model), VKSSM_ERR_ARG, "expected");
    CHECK_REFUSED(vkssm_model_load(model_device, golden(), NULL, NULL), VKSSM_ERR_ARG, "expected");
    refuse_with(golden(), &(vkssm_model_params){.activation_dtype = VKSSM_DTYPE_I32}, VKSSM_ERR_ARG, golden(),
                "I32 found");
    refuse_with(golden(), &(vkssm_model_params){.convert_weights = true, .weight_dtype = VKSSM_DTYPE_F64},
                VKSSM_ERR_ARG, golden(), "F64");
    refuse_with(golden(), &(vkssm_model_params){.activation_dtype = (vkssm_dtype)1000}, VKSSM_ERR_ARG, golden(),
                "expected");
    CHECK(loads(golden(), &(vkssm_model_params){.weight_dtype = VKSSM_DTYPE_F64})); // not asked for: without meaning
}

CHECK_CASE(truncated_weights) {
    CHECK(copy_model());
    size_t size, n_header = 0;
    uint8_t *data = files_read("model.safetensors", &size);
    CHECK(data != NULL);
    if (!data) return;
    memcpy(&n_header, data, 8);
    for (size_t n = 0, step; n < size; n += step) {
        step = n < 16 ? 1 : n < n_header ? 199 : n + 5000 < size ? 19937 : n + 8 < size ? 4992 : 1;
        CHECK(files_write("model.safetensors", data, n));
        refuse(F, "model.safetensors", "model.safetensors");
        if (n < size && n + step > size) step = size - 1 - n ? size - 1 - n : 1;
    }
    CHECK(files_write("model.safetensors", data, size));
    CHECK(loads(files_folder, NULL));
    free(data);
    files_clear();
}

// ---- tensors --------------------------------------------------------------------------------------------------------

typedef struct tensor_set {
    vkssm_tensor_file *file;
    vkssm_named_tensor items[64];
    uint32_t n;
} tensor_set;

static bool tensor_set_open(tensor_set *set) {
    memset(set, 0, sizeof *set);
    CHECK_OK(vkssm_tensor_file_open(golden(), NULL, &set->file));
    if (!set->file) return false;
    set->n = vkssm_tensor_file_n_tensor(set->file);
    CHECK(set->n < 60);
    for (uint32_t i = 0; i < set->n; i++)
        vkssm_tensor_file_get(set->file, i, &set->items[i]);
    return copy_file("config.json");
}

// The message about the folder with these tensors holds the name of number `index`, whole.
static void refuse_tensor(const tensor_set *set, uint32_t index, const vkssm_named_tensor *replacement,
                          vkssm_status status, const char *part) {
    vkssm_named_tensor items[64];
    uint32_t n = 0;
    char name[160];
    snprintf(name, sizeof name, "tensor %s", set->items[index].name);
    for (uint32_t i = 0; i < set->n; i++)
        if (i != index)
            items[n++] = set->items[i];
        else if (replacement)
            items[n++] = *replacement;
    CHECK_OK(vkssm_tensor_file_write(files_path("model.safetensors"), NULL, items, n));
    refuse(status, files_folder, name);
    CHECK_CONTAINS(vkssm_last_error(), part);
}

CHECK_CASE(tensor_missing) {
    tensor_set set;
    if (!tensor_set_open(&set)) return;
    for (uint32_t i = 0; i < set.n; i++)
        refuse_tensor(&set, i, NULL, F, "none found");
    vkssm_tensor_file_destroy(&set.file);
    files_clear();
}

CHECK_CASE(tensor_of_wrong_shape) {
    tensor_set set;
    if (!tensor_set_open(&set)) return;
    uint8_t *zeros = model_alloc(200000, 1);
    for (uint32_t i = 0; i < set.n; i++) {
        vkssm_named_tensor t = set.items[i];
        t.data = zeros;
        t.shape[0]++; // one row too many
        t.size = t.size / (t.shape[0] - 1) * t.shape[0];
        CHECK(t.size <= 200000);
        refuse_tensor(&set, i, &t, F, "found");
        t = set.items[i];
        t.data = zeros;
        t.shape[t.n_dim++] = 1; // one dimension too many, with the right number of values
        refuse_tensor(&set, i, &t, F, "1] found");
        t.n_dim = 1;
        t.shape[0] = 0; // nothing
        t.size = 0;
        refuse_tensor(&set, i, &t, F, "[0] found");
        t = set.items[i];
        if (t.n_dim == 2 && t.shape[0] != t.shape[1]) { // lying
            t.shape[0] = set.items[i].shape[1];
            t.shape[1] = set.items[i].shape[0];
            refuse_tensor(&set, i, &t, F, "found");
        }
    }
    free(zeros);
    vkssm_tensor_file_destroy(&set.file);
    files_clear();
}

CHECK_CASE(tensor_of_wrong_type) {
    tensor_set set;
    if (!tensor_set_open(&set)) return;
    for (uint32_t i = 0; i < set.n; i++) {
        vkssm_named_tensor t = set.items[i];
        t.dtype = VKSSM_DTYPE_I32;
        refuse_tensor(&set, i, &t, U, "F32, F16 or BF16 expected, I32 found");
    }
    vkssm_named_tensor t = set.items[0];
    t.dtype = VKSSM_DTYPE_U8;
    t.size /= 4;
    refuse_tensor(&set, 0, &t, U, "U8 found");
    vkssm_tensor_file_destroy(&set.file);
    files_clear();
}

// More tensors than needed are no failure.
CHECK_CASE(tensors_to_spare) {
    tensor_set set;
    if (!tensor_set_open(&set)) return;
    set.items[set.n++] = (vkssm_named_tensor){.name = "backbone.layers.99.mixer.extra",
                                              .dtype = VKSSM_DTYPE_I64,
                                              .n_dim = 1,
                                              .shape = {1},
                                              .data = "12345678",
                                              .size = 8};
    CHECK_OK(vkssm_tensor_file_write(files_path("model.safetensors"), NULL, set.items, set.n));
    CHECK(loads(files_folder, NULL));
    vkssm_tensor_file_destroy(&set.file);
    files_clear();
}

// Biases and norms that only some configurations have.
CHECK_CASE(optional_tensor_missing) {
    tiny_mamba2 tiny = tiny_mamba2_default();
    tiny.shape.proj_bias = true;
    static const char *const names[] = {"backbone.layers.1.mixer.out_proj.bias", "backbone.layers.0.mixer.in_proj.bias",
                                        "backbone.layers.1.mixer.conv1d.bias", "backbone.layers.1.mixer.norm.weight",
                                        "lm_head.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tiny.leave_out = names[i];
        CHECK(tiny_mamba2_write(&tiny, files_folder));
        refuse(F, files_folder, names[i]);
    }
    files_clear();
}

// ---- tokenizer and progress -----------------------------------------------------------------------------------------

CHECK_CASE(broken_tokenizer) {
    CHECK(copy_model());
    CHECK(files_write("tokenizer.json", "{\"model\": ", 10));
    refuse(F, "tokenizer.json", "tokenizer.json");
    CHECK(loads(files_folder, &(vkssm_model_params){.no_tokenizer = true}));
    files_clear();
}

typedef struct watcher {
    uint64_t n_call, last_done, total, cancel_at; // cancels from this call on
    bool ordered;
} watcher;

static bool watch(void *user, uint64_t done, uint64_t total) {
    watcher *w = user;
    w->ordered &= done >= w->last_done && done <= total && (w->n_call == 0 || total == w->total);
    w->last_done = done;
    w->total = total;
    return w->n_call++ < w->cancel_at;
}

CHECK_CASE(progress) {
    watcher w = {.cancel_at = UINT64_MAX, .ordered = true};
    vkssm_model_params params = {.progress = {.callback = watch, .user = &w}};
    CHECK(loads(golden(), &params));
    CHECK(w.ordered && w.n_call > 0);
    CHECK_EQ(w.last_done, w.total);
    uint64_t n_call = w.n_call;
    for (uint64_t i = 0; i < n_call; i++) { // whenever it is cancelled
        w = (watcher){.cancel_at = i, .ordered = true};
        vkssm_model *model = NULL;
        uint64_t n_live = vks_alloc_n_live();
        CHECK_EQ(vkssm_model_load(model_device, golden(), &params, &model), VKSSM_ERR_CANCELLED);
        CHECK(!model);
        CHECK_EQ(w.n_call, i + 1); // and not asked again
        CHECK_EQ(vks_alloc_n_live(), n_live);
    }
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int result = model_main(argc, argv,
                            (check_case[]){CHECK_RUN(keys),
                                           CHECK_RUN(keys_of_original),
                                           CHECK_RUN(no_json),
                                           CHECK_RUN(files_missing),
                                           CHECK_RUN(arguments),
                                           CHECK_RUN(truncated_weights),
                                           CHECK_RUN(tensor_missing),
                                           CHECK_RUN(tensor_of_wrong_shape),
                                           CHECK_RUN(tensor_of_wrong_type),
                                           CHECK_RUN(tensors_to_spare),
                                           CHECK_RUN(optional_tensor_missing),
                                           CHECK_RUN(broken_tokenizer),
                                           CHECK_RUN(progress),
                                           {0}});
    files_end();
    return result;
}

// Mamba-2 against logits recorded from Hugging Face transformers, and the forms in which the same weights may come.
#define _XOPEN_SOURCE 700
#include "harness/model_test.h"
#include "harness/files.h"
#include "host/base/half.h"
#include "ref/ref_mamba2_model.h"

// Of the largest logit. Both sides compute in float32 in different orders; the recorded side differs from double
// precision by about 1e-5 (case `reference`), this side likewise, and the rest is room for GPUs whose exp is less
// exact.
#define GOLDEN_GAP 2e-4

static const char *const names[] = {"mamba2", "mamba2_g4"};
static const size_t n_tokens[] = {1, 5, 37, 130};

static ref_mamba2_shape shape_of(const char *name) {
    ref_mamba2_shape shape = {.n_layer = 3,
                              .n_channel = 64,
                              .n_head = 8,
                              .n_width = 16,
                              .n_state = 32,
                              .n_group = 1,
                              .n_tap = 4,
                              .n_vocab = 96,
                              .norm_groups = 1,
                              .eps = 1e-5,
                              .dt_max = INFINITY,
                              .conv_bias = true,
                              .embedding = "backbone.embeddings.weight"};
    if (strcmp(name, "mamba2") == 0) return shape;
    shape.n_layer = 2;
    shape.n_channel = 96;
    shape.n_width = 24;
    shape.n_state = 128;
    shape.n_group = 4;
    shape.dt_min = 0.01f;
    shape.dt_max = 0.2f;
    return shape;
}

// The i-th recorded sequence: tokens and logits [n, 96].
typedef struct golden {
    int32_t *tokens;
    float *logits;
    size_t n;
} golden;

static golden golden_open(const char *name, int index) {
    golden g = {0};
    char file[64], key[32];
    size_t n_logit;
    snprintf(file, sizeof file, "%s/golden.safetensors", name);
    snprintf(key, sizeof key, "in%d", index);
    g.tokens = model_tensor(model_data(file), key, VKSSM_DTYPE_I32, &g.n);
    snprintf(key, sizeof key, "logits%d", index);
    g.logits = model_tensor(model_data(file), key, VKSSM_DTYPE_F32, &n_logit);
    CHECK(g.tokens && g.logits);
    CHECK_EQ(g.n, n_tokens[index]);
    CHECK_EQ(n_logit, g.n * 96);
    return g;
}

static void golden_close(golden *g) {
    free(g->tokens);
    free(g->logits);
}

static void check_golden(const char *name, int index, const model_run *run) {
    golden g = golden_open(name, index);
    size_t n = g.n * run->info.n_vocab;
    CHECK_OK(vkssm_session_reset(run->session, 0));
    float *by_prefill = model_prefill(run, 0, g.tokens, g.n);
    CHECK_OK(vkssm_session_reset(run->session, 0));
    float *by_step = model_steps(run, 0, g.tokens, g.n);
    double gap = model_gap(by_prefill, g.logits, n), gap_step = model_gap(by_step, g.logits, n);
    printf("  %s, %zu tokens: prefill %.2g, steps %.2g of the largest logit\n", name, g.n, gap, gap_step);
    CHECK_AT_MOST(gap, GOLDEN_GAP);
    CHECK_AT_MOST(gap_step, GOLDEN_GAP);
    free(by_prefill);
    free(by_step);
    golden_close(&g);
}

CHECK_CASE(recorded_logits) {
    for (int i = 0; i < 2; i++) {
        model_run run;
        if (!model_open(&run, model_data(names[i]), NULL, NULL)) return;
        CHECK_EQ(run.info.n_vocab, 96);
        for (int k = 0; k < 4; k++)
            check_golden(names[i], k, &run);
        model_close(&run);
    }
}

// The yardstick of the other tests agrees with the recorded logits.
CHECK_CASE(reference) {
    for (int i = 0; i < 2; i++) {
        golden g = golden_open(names[i], 3);
        ref_mamba2_shape shape = shape_of(names[i]);
        double *logits = ref_mamba2_logits(&shape, model_data(names[i]), VKSSM_DTYPE_F32, g.tokens, g.n);
        double gap = logits ? model_gap_double(g.logits, logits, g.n * 96) : INFINITY;
        printf("  %s: recorded and double precision: %.2g of the largest logit\n", names[i], gap);
        CHECK_AT_MOST(gap, GOLDEN_GAP / 4);
        free(logits);
        golden_close(&g);
    }
}

// All values of all tensors, float32 each.
static uint64_t n_value(const char *path) {
    vkssm_tensor_file *file;
    vkssm_named_tensor tensor;
    uint64_t n = 0;
    CHECK_OK(vkssm_tensor_file_open(path, NULL, &file));
    for (uint32_t i = 0; file && i < vkssm_tensor_file_n_tensor(file); i++) {
        vkssm_tensor_file_get(file, i, &tensor);
        n += tensor.size / 4;
    }
    vkssm_tensor_file_destroy(&file);
    return n;
}

CHECK_CASE(info) {
    for (int i = 0; i < 2; i++) {
        model_run run;
        if (!model_open(&run, model_data(names[i]), NULL, NULL)) return;
        ref_mamba2_shape s = shape_of(names[i]);
        uint64_t n_parameter = n_value(model_data(names[i]));
        CHECK_STR(run.info.model_type, "mamba2");
        CHECK_EQ(run.info.n_layer, s.n_layer);
        CHECK_EQ(run.info.n_channel, s.n_channel);
        CHECK_EQ(run.info.bos, 0);
        CHECK_EQ(run.info.eos, 0);
        CHECK_EQ(run.info.weight_dtype, VKSSM_DTYPE_F32);
        CHECK_EQ(run.info.activation_dtype, VKSSM_DTYPE_F32);
        CHECK_EQ(run.info.n_parameter, n_parameter);
        CHECK(run.info.weight_size >= 4 * n_parameter);
        uint64_t n_inner = s.n_head * s.n_width, n_conv = n_inner + 2 * s.n_group * s.n_state;
        uint64_t n_state = s.n_layer * (n_inner * s.n_state + (s.n_tap - 1) * n_conv);
        // Each of the two arrays of a layer begins on 256 bytes.
        CHECK(run.info.state_size >= 4 * n_state && run.info.state_size < 4 * n_state + 2 * 256 * s.n_layer);
        CHECK(!vkssm_model_get_tokenizer(run.model)); // its folder has none
        model_close(&run);
    }
}

// ---- other files with the same weights ------------------------------------------------------------------------------

static bool copy_config(const char *name) {
    size_t size;
    char file[64];
    snprintf(file, sizeof file, "%s/config.json", name);
    FILE *stream = fopen(model_data(file), "rb");
    char text[4096];
    if (!stream) return false;
    size = fread(text, 1, sizeof text, stream);
    fclose(stream);
    return files_write("config.json", text, size);
}

static vkssm_named_tensor convert(const vkssm_named_tensor *from, vkssm_dtype dtype) {
    vkssm_named_tensor to = *from;
    size_t n = (size_t)from->size / vkssm_dtype_size(from->dtype);
    uint16_t *data = model_alloc(n, sizeof *data);
    for (size_t i = 0; i < n; i++) {
        float value = (float)model_element(from, i);
        data[i] = dtype == VKSSM_DTYPE_F16 ? vks_f32_to_f16(value) : vks_f32_to_bf16(value);
    }
    to.dtype = dtype;
    to.data = data;
    to.size = 2 * n;
    return to;
}

static bool write_converted(const vkssm_tensor_file *file, vkssm_dtype dtype) {
    uint32_t n = vkssm_tensor_file_n_tensor(file);
    vkssm_named_tensor *tensors = model_alloc(n, sizeof *tensors), tensor;
    for (uint32_t i = 0; i < n; i++) {
        vkssm_tensor_file_get(file, i, &tensor);
        tensors[i] = convert(&tensor, dtype);
    }
    CHECK_OK(vkssm_tensor_file_write(files_path("model.safetensors"), NULL, tensors, n));
    for (uint32_t i = 0; i < n; i++)
        free((void *)tensors[i].data);
    free(tensors);
    return copy_config("mamba2");
}

// Logits of in2 by the model at `path` and by the reference on the weights at `weights`.
static void check_against_reference(const char *path, const char *weights, vkssm_dtype matrix_dtype,
                                    const vkssm_model_params *params, vkssm_dtype expected) {
    golden g = golden_open("mamba2", 2);
    ref_mamba2_shape shape = shape_of("mamba2");
    double *wanted = ref_mamba2_logits(&shape, weights, matrix_dtype, g.tokens, g.n);
    model_run run;
    CHECK(wanted != NULL);
    if (wanted && model_open(&run, path, params, NULL)) {
        CHECK_EQ(run.info.weight_dtype, expected);
        float *found = model_prefill(&run, 0, g.tokens, g.n);
        double gap = model_gap_double(found, wanted, g.n * 96);
        printf("  matrices %s: %.2g of the largest logit\n", vkssm_dtype_name(expected), gap);
        CHECK_AT_MOST(gap, GOLDEN_GAP / 4);
        free(found);
        model_close(&run);
    }
    free(wanted);
    golden_close(&g);
}

// Weights keep the file's type; the reference reads the same rounded values, so the tolerance is float32's.
CHECK_CASE(file_types) {
    vkssm_tensor_file *file;
    CHECK_OK(vkssm_tensor_file_open(model_data("mamba2"), NULL, &file));
    for (vkssm_dtype dtype = VKSSM_DTYPE_F16; dtype <= VKSSM_DTYPE_BF16; dtype++) {
        CHECK(write_converted(file, dtype));
        check_against_reference(files_folder, files_folder, VKSSM_DTYPE_F32, NULL, dtype);
        files_clear();
    }
    vkssm_tensor_file_destroy(&file);
}

// Converted while loading: the matrices are rounded, the vectors are not, and the reference does the same.
CHECK_CASE(converted_weights) {
    for (vkssm_dtype dtype = VKSSM_DTYPE_F32; dtype <= VKSSM_DTYPE_BF16; dtype++) {
        const vkssm_model_params params = {.convert_weights = true, .weight_dtype = dtype};
        check_against_reference(model_data("mamba2"), model_data("mamba2"), dtype, &params, dtype);
    }
}

// Narrow weights widened: no value changes, so the logits are those of the narrow file.
CHECK_CASE(widened_weights) {
    vkssm_tensor_file *file;
    CHECK_OK(vkssm_tensor_file_open(model_data("mamba2"), NULL, &file));
    CHECK(write_converted(file, VKSSM_DTYPE_BF16));
    vkssm_tensor_file_destroy(&file);
    const vkssm_model_params params = {.convert_weights = true, .weight_dtype = VKSSM_DTYPE_F32};
    check_against_reference(files_folder, files_folder, VKSSM_DTYPE_F32, &params, VKSSM_DTYPE_F32);
    files_clear();
}

// ---- shards ---------------------------------------------------------------------------------------------------------

// Tensors in turn to three shards, and the index that names them.
static bool write_shards(const vkssm_tensor_file *file) {
    uint32_t n = vkssm_tensor_file_n_tensor(file), n_in_shard = 0;
    vkssm_named_tensor *shard = model_alloc(n, sizeof *shard);
    char *index = model_alloc(n, 128), name[32];
    size_t at = (size_t)sprintf(index, "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
    for (uint32_t s = 0; s < 3; s++) {
        snprintf(name, sizeof name, "model-%u.safetensors", s);
        n_in_shard = 0;
        for (uint32_t i = s; i < n; i += 3) {
            vkssm_tensor_file_get(file, i, &shard[n_in_shard]);
            at += (size_t)sprintf(index + at, "%s\"%s\": \"%s\"", s || i ? ", " : "", shard[n_in_shard++].name, name);
        }
        CHECK_OK(vkssm_tensor_file_write(files_path(name), NULL, shard, n_in_shard));
    }
    at += (size_t)sprintf(index + at, "}}");
    bool ok = files_write("model.safetensors.index.json", index, at) && copy_config("mamba2");
    free(shard);
    free(index);
    return ok;
}

// The same weights give the same bits, whatever files they come from.
CHECK_CASE(shards) {
    vkssm_tensor_file *file;
    CHECK_OK(vkssm_tensor_file_open(model_data("mamba2"), NULL, &file));
    CHECK(write_shards(file));
    vkssm_tensor_file_destroy(&file);
    golden g = golden_open("mamba2", 2);
    float *logits[4];
    const char *paths[4] = {model_data("mamba2"), model_data("mamba2/model.safetensors"), files_folder,
                            files_path("model.safetensors.index.json")};
    for (int i = 0; i < 4; i++) {
        model_run run;
        if (!model_open(&run, paths[i], NULL, NULL)) return;
        logits[i] = model_prefill(&run, 0, g.tokens, g.n);
        CHECK(memcmp(logits[i], logits[0], g.n * 96 * sizeof(float)) == 0);
        model_close(&run);
    }
    for (int i = 0; i < 4; i++)
        free(logits[i]);
    golden_close(&g);
    files_clear();
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int result = model_main(argc, argv,
                            (check_case[]){CHECK_RUN(recorded_logits),
                                           CHECK_RUN(reference),
                                           CHECK_RUN(info),
                                           CHECK_RUN(file_types),
                                           CHECK_RUN(converted_weights),
                                           CHECK_RUN(widened_weights),
                                           CHECK_RUN(shards),
                                           {0}});
    files_end();
    return result;
}

// Mamba-1 and Falcon-Mamba against logits recorded from Hugging Face transformers; the other layout of the same
// weights; what sessions promise, on this architecture; files that must be refused.
#define _XOPEN_SOURCE 700
#include "harness/model_test.h"
#include "harness/files.h"
#include "host/core/core_device.h"
#include "ref/ref_mamba1_model.h"

// Of the largest logit. Both sides compute in float32 in different orders; the recorded side differs from double
// precision by about 1e-6 (case `reference`), this side likewise, and the rest is room for GPUs whose exp is less
// exact.
#define GOLDEN_GAP 2e-4
// The same sums in other orders, by this library alone.
#define ORDER_GAP 1e-4
enum { N_VOCAB = 96, N_GOLDEN = 4 };

static const char *const names[] = {"mamba", "falcon_mamba"};

static ref_mamba1_shape shape_of(const char *name) {
    bool falcon = strcmp(name, "falcon_mamba") == 0;
    return (ref_mamba1_shape){.n_layer = falcon ? 2 : 3,
                              .n_channel = falcon ? 64 : 48,
                              .n_inner = falcon ? 128 : 96,
                              .n_state = 16,
                              .n_tap = 4,
                              .n_rank = falcon ? 4 : 5,
                              .eps = 1e-5,
                              .conv_bias = true,
                              .norm_parts = falcon,
                              .parts_eps = 1e-6,
                              .n_vocab = N_VOCAB,
                              .embedding = "backbone.embeddings.weight"};
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
    CHECK_EQ(n_logit, g.n * N_VOCAB);
    return g;
}

static void golden_close(golden *g) {
    free(g->tokens);
    free(g->logits);
}

static bool same_bits(const void *a, const void *b, size_t n_float) {
    return memcmp(a, b, n_float * sizeof(float)) == 0;
}

// ---- recorded logits ------------------------------------------------------------------------------------------------

static void check_golden(const char *name, int index, const model_run *run) {
    golden g = golden_open(name, index);
    size_t n = g.n * N_VOCAB;
    CHECK_OK(vkssm_session_reset(run->session, 0));
    float *by_prefill = model_prefill(run, 0, g.tokens, g.n);
    CHECK_OK(vkssm_session_reset(run->session, 0));
    float *by_step = model_steps(run, 0, g.tokens, g.n);
    double gap = model_gap(by_prefill, g.logits, n), gap_step = model_gap(by_step, g.logits, n);
    printf("  %s, %zu tokens: prefill %.2g, steps %.2g of the largest logit\n", name, g.n, gap, gap_step);
    CHECK_AT_MOST(gap, GOLDEN_GAP);
    CHECK_AT_MOST(gap_step, GOLDEN_GAP);
    CHECK_AT_MOST(model_gap(by_step, by_prefill, n), ORDER_GAP);
    free(by_prefill);
    free(by_step);
    golden_close(&g);
}

CHECK_CASE(recorded_logits) {
    for (int i = 0; i < 2; i++) {
        model_run run;
        if (!model_open(&run, model_data(names[i]), NULL, NULL)) return;
        CHECK_STR(run.info.model_type, names[i]);
        CHECK_EQ(run.info.n_vocab, N_VOCAB);
        for (int k = 0; k < N_GOLDEN; k++)
            check_golden(names[i], k, &run);
        model_close(&run);
    }
}

CHECK_CASE(reference) {
    for (int i = 0; i < 2; i++) {
        golden g = golden_open(names[i], 3);
        ref_mamba1_shape shape = shape_of(names[i]);
        double *logits = ref_mamba1_logits(&shape, model_data(names[i]), g.tokens, g.n);
        double gap = logits ? model_gap_double(g.logits, logits, g.n * N_VOCAB) : INFINITY;
        printf("  %s: recorded and double precision: %.2g of the largest logit\n", names[i], gap);
        CHECK_AT_MOST(gap, GOLDEN_GAP / 4);
        free(logits);
        golden_close(&g);
    }
}

// Activations of 16 bits are rounded some ten times a layer, each time by up to 2^-11 (float16) or 2^-8 (bfloat16) of a
// value; such errors of many channels mostly cancel. The odd rank makes its columns begin off words.
CHECK_CASE(narrow_activations) {
    for (int i = 0; i < 2; i++)
        for (vkssm_dtype dtype = VKSSM_DTYPE_F16; dtype <= VKSSM_DTYPE_BF16; dtype++) {
            const vkssm_model_params params = {.activation_dtype = dtype};
            model_run run;
            if (!model_open(&run, model_data(names[i]), &params, NULL)) return;
            golden g = golden_open(names[i], 2);
            float *by_prefill = model_prefill(&run, 0, g.tokens, g.n);
            CHECK_OK(vkssm_session_reset(run.session, 0));
            float *by_step = model_steps(&run, 0, g.tokens, g.n);
            double gap = model_gap(by_prefill, g.logits, g.n * N_VOCAB),
                   gap_step = model_gap(by_step, g.logits, g.n * N_VOCAB);
            printf("  %s, %s: prefill %.2g, steps %.2g of the largest logit\n", names[i], vkssm_dtype_name(dtype), gap,
                   gap_step);
            double limit = dtype == VKSSM_DTYPE_F16 ? 0.005 : 0.04;
            CHECK_AT_MOST(gap, limit);
            CHECK_AT_MOST(gap_step, limit);
            free(by_prefill);
            free(by_step);
            golden_close(&g);
            model_close(&run);
        }
}

// Weights in blocks: each is off by up to 1/254 of its block's largest one, and such errors of many products mostly
// cancel. The step and the prefill read the same ones; what dt_proj multiplies stays float16.
CHECK_CASE(block_weights) {
    const vkssm_model_params params = {.convert_weights = true, .weight_dtype = VKSSM_DTYPE_Q8_0};
    model_run run;
    if (!model_open(&run, model_data("falcon_mamba"), &params, NULL)) return;
    CHECK_EQ(run.info.weight_dtype, VKSSM_DTYPE_Q8_0);
    golden g = golden_open("falcon_mamba", 1);
    float *by_prefill = model_prefill(&run, 0, g.tokens, g.n);
    CHECK_OK(vkssm_session_reset(run.session, 0));
    float *by_step = model_steps(&run, 0, g.tokens, g.n);
    double gap = model_gap(by_prefill, g.logits, g.n * N_VOCAB);
    printf("  Q8_0: %.2g of the largest logit\n", gap);
    CHECK_AT_MOST(gap, 0.02);
    CHECK(gap > GOLDEN_GAP); // they are not the file's
    CHECK_AT_MOST(model_gap(by_step, by_prefill, g.n * N_VOCAB), ORDER_GAP);
    free(by_prefill);
    free(by_step);
    golden_close(&g);
    model_close(&run);
}

// ---- files with these weights ---------------------------------------------------------------------------------------

typedef struct rewrite {
    const char *name, *leave_out,
        *misshape; // the tensor of the first layer without "backbone.layers.0.", or whole names
    bool original; // the original layout's names
} rewrite;

static bool is_called(const char *full, const char *name) {
    size_t n = strlen(full), m = name ? strlen(name) : 0;
    return name && n >= m && strcmp(full + n - m, name) == 0;
}

static bool write_model(const rewrite *r, const char *config) {
    vkssm_tensor_file *file;
    CHECK_OK(vkssm_tensor_file_open(model_data(r->name), NULL, &file));
    uint32_t n = vkssm_tensor_file_n_tensor(file), n_kept = 0;
    vkssm_named_tensor *tensors = model_alloc(n, sizeof *tensors), tensor;
    for (uint32_t i = 0; i < n; i++) {
        vkssm_tensor_file_get(file, i, &tensor);
        if (is_called(tensor.name, r->leave_out)) continue;
        if (is_called(tensor.name, r->misshape)) tensor.shape[tensor.n_dim++] = 1;
        if (r->original && strcmp(tensor.name, "backbone.embeddings.weight") == 0)
            tensor.name = "backbone.embedding.weight";
        tensors[n_kept++] = tensor;
    }
    CHECK_OK(vkssm_tensor_file_write(files_path("model.safetensors"), NULL, tensors, n_kept));
    vkssm_tensor_file_destroy(&file);
    free(tensors);
    return files_write("config.json", config, strlen(config));
}

// The same weights as the original code stores them; 91 ids, padded to 96 rows. The same bits.
CHECK_CASE(original_layout) {
    static const char *const configs[] = {
        "{\"d_model\": 48, \"n_layer\": 3, \"vocab_size\": 91, \"ssm_cfg\": {\"dt_rank\": 5}, \"rms_norm\": true, "
        "\"residual_in_fp32\": true, \"fused_add_norm\": true, \"pad_vocab_size_multiple\": 8}",
        "{\"d_model\": 48, \"n_layer\": 3, \"vocab_size\": 91, \"ssm_cfg\": {\"layer\": \"Mamba1\", \"dt_rank\": 5, "
        "\"expand\": 2, "
        "\"d_state\": 16, \"d_conv\": 4}, \"tie_embeddings\": true, \"d_intermediate\": 0, \"attn_layer_idx\": []}"};
    golden g = golden_open("mamba", 2);
    model_run run;
    if (!model_open(&run, model_data("mamba"), NULL, NULL)) return;
    float *wanted = model_prefill(&run, 0, g.tokens, g.n);
    model_close(&run);
    for (size_t i = 0; i < 2; i++) {
        CHECK(write_model(&(rewrite){.name = "mamba", .original = true}, configs[i]));
        if (!model_open(&run, files_folder, NULL, NULL)) break;
        CHECK_STR(run.info.model_type, "mamba");
        CHECK_EQ(run.info.n_vocab, N_VOCAB);
        float *found = model_prefill(&run, 0, g.tokens, g.n);
        CHECK(same_bits(found, wanted, g.n * N_VOCAB));
        free(found);
        model_close(&run);
        files_clear();
    }
    free(wanted);
    golden_close(&g);
}

// ---- what sessions promise ------------------------------------------------------------------------------------------

// Pieces of a prefill, and steps after it, give what one prefill gives; two runs the same bits.
CHECK_CASE(pieces) {
    static const size_t ends[] = {1, 3, 36, 100, 129, 130};
    model_run run;
    if (!model_open(&run, model_data("mamba"), NULL, &(vkssm_session_params){.n_slot = 2})) return;
    golden g = golden_open("mamba", 3);
    size_t n = g.n * N_VOCAB, done = 0;
    float *whole = model_prefill(&run, 0, g.tokens, g.n), *again = model_prefill(&run, 1, g.tokens, g.n);
    CHECK(same_bits(whole, again, n));
    CHECK_OK(vkssm_session_reset(run.session, 0));
    float *pieces = model_alloc(n, sizeof *pieces);
    for (size_t i = 0; i < VKS_COUNT(ends); i++) {
        float *more = (i % 2 ? model_steps : model_prefill)(&run, 0, g.tokens + done, ends[i] - done);
        memcpy(pieces + done * N_VOCAB, more, (ends[i] - done) * N_VOCAB * sizeof *more);
        free(more);
        done = ends[i];
    }
    CHECK_AT_MOST(model_gap(pieces, whole, n), ORDER_GAP);
    free(whole);
    free(again);
    free(pieces);
    golden_close(&g);
    model_close(&run);
}

enum { N_SLOT = 3, N_STEP = 6 };

// Logits [N_STEP, V] of slot 2, which read 22 tokens first; alone, or beside another slot.
static void step_slot(const model_run *run, const int32_t *tokens, bool alone, float *logits) {
    for (uint32_t slot = 0; slot < N_SLOT; slot++) {
        CHECK_OK(vkssm_session_reset(run->session, slot));
        free(model_prefill(run, slot, tokens + slot, 20 + slot));
    }
    for (int i = 0; i < N_STEP; i++) {
        float found[2 * N_VOCAB];
        const uint32_t slots[] = {2, 0};
        const int32_t ids[] = {tokens[30 + i], tokens[40 + i]};
        CHECK_OK(vkssm_session_step(run->session, alone ? 1 : 2, slots, ids, found));
        memcpy(logits + (size_t)i * N_VOCAB, found, N_VOCAB * sizeof *found);
    }
}

// A slot has the bits that it has alone, whatever the others do, and its state may move to another slot.
CHECK_CASE(slots) {
    model_run run;
    if (!model_open(&run, model_data("mamba"), NULL, &(vkssm_session_params){.n_slot = N_SLOT})) return;
    int32_t *tokens = model_tokens(5, 64, N_VOCAB);
    float together[N_STEP * N_VOCAB], alone[N_STEP * N_VOCAB];
    step_slot(&run, tokens, true, alone);
    step_slot(&run, tokens, false, together);
    CHECK(same_bits(together, alone, N_STEP * N_VOCAB));
    uint8_t *image = model_save(&run, 2);
    CHECK_OK(vkssm_session_state_load(run.session, 1, image, vkssm_session_state_size(run.session)));
    const uint32_t both[] = {2, 1};
    const int32_t same[] = {7, 7};
    CHECK_OK(vkssm_session_step(run.session, 2, both, same, together));
    CHECK(same_bits(together, together + N_VOCAB, N_VOCAB));
    free(image);
    free(tokens);
    model_close(&run);
}

// Norm and convolution inside the step's products, as GPUs have it: a CPU chooses kernels of its own. States move
// between both forms.
CHECK_CASE(fused_steps) {
    vks_kernels_force(model_device->kernels, "matmul_vector");
    for (int i = 0; i < 2; i++) {
        model_run run;
        if (!model_open(&run, model_data(names[i]), NULL, NULL)) break;
        golden g = golden_open(names[i], 1);
        float *first = model_steps(&run, 0, g.tokens, 3), *rest = NULL;
        uint8_t *image = model_save(&run, 0);
        vks_kernels_force(model_device->kernels, NULL);
        model_run plain;
        if (model_open(&plain, model_data(names[i]), NULL, NULL)) {
            CHECK_OK(vkssm_session_state_load(plain.session, 0, image, vkssm_session_state_size(plain.session)));
            rest = model_steps(&plain, 0, g.tokens + 3, g.n - 3);
            model_close(&plain);
        }
        vks_kernels_force(model_device->kernels, "matmul_vector");
        double gap = model_gap(first, g.logits, 3 * N_VOCAB);
        double gap_rest = rest ? model_gap(rest, g.logits + 3 * N_VOCAB, (g.n - 3) * N_VOCAB) : INFINITY;
        printf("  %s: fused %.2g, plain after it %.2g of the largest logit\n", names[i], gap, gap_rest);
        CHECK_AT_MOST(gap, GOLDEN_GAP);
        CHECK_AT_MOST(gap_rest, GOLDEN_GAP);
        free(first);
        free(rest);
        free(image);
        golden_close(&g);
        model_close(&run);
    }
    vks_kernels_force(model_device->kernels, NULL);
}

// ---- refusals -------------------------------------------------------------------------------------------------------

#define SIZES "\"hidden_size\": 48, \"num_hidden_layers\": 3, \"vocab_size\": 96, "

CHECK_CASE(refused_tensors) {
    static const char *const tensors[] = {"embeddings.weight", "layers.0.norm.weight", "in_proj.weight",
                                          "conv1d.weight",     "conv1d.bias",          "x_proj.weight",
                                          "dt_proj.weight",    "dt_proj.bias",         "mixer.A_log",
                                          "mixer.D",           "out_proj.weight",      "norm_f.weight"};
    const char *config = "{\"model_type\": \"mamba\", " SIZES "\"time_step_rank\": 5}";
    for (size_t i = 0; i < VKS_COUNT(tensors); i++)
        for (int missing = 0; missing < 2; missing++) {
            vkssm_model *model = NULL;
            const rewrite r = {"mamba", missing ? tensors[i] : NULL, missing ? NULL : tensors[i], false};
            CHECK(write_model(&r, config));
            CHECK_REFUSED(vkssm_model_load(model_device, files_folder, NULL, &model), VKSSM_ERR_FORMAT, tensors[i]);
            CHECK_CONTAINS(vkssm_last_error(), missing ? "expected, none found" : ", 1] found");
            CHECK(!model);
            files_clear();
        }
}

CHECK_CASE(refused_config) {
    static const struct {
        const char *config, *message;
    } cases[] = {
        {"{\"model_type\": \"mamba\", " SIZES "\"state_size\": 257}",
         "key \"state_size\" is 257, expected an integer in [1, 256]"},
        {"{\"model_type\": \"mamba\", " SIZES "\"time_step_rank\": 97}",
         "a time step rank of at most 96, the inner width, expected, 97 found"},
        {"{\"model_type\": \"mamba\", " SIZES "\"time_step_rank\": \"some\"}", "key \"time_step_rank\""},
        {"{\"model_type\": \"mamba\", " SIZES "\"time_step_rank\": 6}",
         "x_proj.weight: shape [38, 96] expected, [37, 96] found"},
        {"{\"model_type\": \"mamba\", " SIZES "\"time_step_rank\": 5, \"state_size\": 15}",
         "x_proj.weight: shape [35, 96] expected, [37, 96] found"},
        {"{\"model_type\": \"mamba\", " SIZES "\"time_step_rank\": 5, \"intermediate_size\": 64}",
         "in_proj.weight: shape [128, 48] expected, [192, 48] found"},
        {"{\"model_type\": \"mamba\", " SIZES "\"time_step_rank\": 5, \"use_bias\": true}", "in_proj.bias"},
        {"{\"model_type\": \"mamba\", " SIZES "\"time_step_rank\": 5, \"tie_word_embeddings\": false}",
         "lm_head.weight"},
        {"{\"model_type\": \"mamba\", " SIZES "\"hidden_act\": \"relu\"}",
         "key \"hidden_act\": \"silu\" expected, relu found"},
        {"{\"model_type\": \"falcon_mamba\", " SIZES "\"mixer_rms_eps\": -1}", "key \"mixer_rms_eps\""},
        {"{\"d_model\": 48, \"n_layer\": 3, \"ssm_cfg\": {}}", "key \"vocab_size\" is missing"},
        {"{\"d_model\": 48, \"n_layer\": 3, \"vocab_size\": 91, \"ssm_cfg\": {}, \"rms_norm\": false}",
         "key \"rms_norm\""},
        {"{\"d_model\": 48, \"n_layer\": 3, \"vocab_size\": 91, \"ssm_cfg\": {}, \"d_intermediate\": 8}",
         "key \"d_intermediate\""},
        {"{\"d_model\": 48, \"n_layer\": 3, \"vocab_size\": 91, \"ssm_cfg\": {}, \"attn_layer_idx\": [1]}",
         "key \"attn_layer_idx\""},
        {"{\"d_model\": 48, \"n_layer\": 3, \"vocab_size\": 91, \"ssm_cfg\": {\"layer\": \"Mamba9\"}}",
         "key \"model_type\""},
    };
    for (size_t i = 0; i < VKS_COUNT(cases); i++) {
        vkssm_model *model = NULL;
        CHECK(write_model(&(rewrite){.name = "mamba"}, cases[i].config));
        CHECK(vkssm_model_load(model_device, files_folder, NULL, &model) != VKSSM_OK);
        CHECK_CONTAINS(vkssm_last_error(), cases[i].message);
        CHECK(!model);
        files_clear();
    }
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int result = model_main(argc, argv,
                            (check_case[]){CHECK_RUN(recorded_logits),
                                           CHECK_RUN(reference),
                                           CHECK_RUN(narrow_activations),
                                           CHECK_RUN(block_weights),
                                           CHECK_RUN(original_layout),
                                           CHECK_RUN(pieces),
                                           CHECK_RUN(slots),
                                           CHECK_RUN(fused_steps),
                                           CHECK_RUN(refused_tensors),
                                           CHECK_RUN(refused_config),
                                           {0}});
    files_end();
    return result;
}

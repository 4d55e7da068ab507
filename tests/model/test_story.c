// The small trained model of models/zoo: recorded logits, greedy continuations, loss on held-out text.
#include "harness/model_test.h"
#include "ref/ref_mamba2_model.h"

#define FOLDER "stories-mamba2"
#define EXACT FOLDER "/reference_f64.safetensors"
#define RECORDED FOLDER "/golden.safetensors"

// Of the largest logit, against double precision: float32 sums of up to 512 products in ten layers. 1e-6 is seen; the
// rest is room for GPUs whose exp and division are less exact.
#define FLOAT32_GAP 2e-4
// How far the recorded logits, and so the choice of the recorded tokens, are from double precision (README.md of the
// model).
#define RECORDED_GAP 0.0162

static const ref_mamba2_shape shape = {
    .n_layer = 10,
    .n_channel = 256,
    .n_head = 8,
    .n_width = 64,
    .n_state = 128,
    .n_group = 1,
    .n_tap = 4,
    .n_vocab = 4096,
    .norm_groups = 1,
    .eps = 1e-5,
    .dt_max = INFINITY,
    .conv_bias = true,
    .tied_head = true,
    .embedding = "backbone.embeddings.weight",
};

static void *golden(const char *file, int prompt, const char *what, vkssm_dtype dtype, size_t *n) {
    char name[32];
    snprintf(name, sizeof name, "prompt%d.%s", prompt, what);
    void *data = model_tensor(model_zoo(file), name, dtype, n);
    CHECK(data != NULL);
    return data;
}

static bool open_story(model_run *run, const vkssm_model_params *params) {
    vkssm_model_params without_tokenizer = params ? *params : (vkssm_model_params){0};
    without_tokenizer.no_tokenizer = true;
    return model_open(run, model_zoo(FOLDER), &without_tokenizer, NULL);
}

CHECK_CASE(exact_logits) {
    model_run run;
    if (!open_story(&run, NULL)) return;
    CHECK_EQ(run.info.weight_dtype, VKSSM_DTYPE_F16);
    for (int i = 0; i < 4; i++) {
        size_t n, n_logit;
        int32_t *tokens = golden(RECORDED, i, "ids", VKSSM_DTYPE_I32, &n);
        float *wanted = golden(EXACT, i, "logits", VKSSM_DTYPE_F32, &n_logit);
        CHECK_EQ(n_logit, n * 4096);
        CHECK_OK(vkssm_session_reset(run.session, 0));
        float *found = model_prefill(&run, 0, tokens, n);
        double gap = model_gap(found, wanted, n_logit);
        printf("  prompt %d: %.2g of the largest logit\n", i, gap);
        CHECK_AT_MOST(gap, FLOAT32_GAP);
        free(found);
        if (i == 3) { // and one by one; once will do, the greedy tokens come from steps too
            CHECK_OK(vkssm_session_reset(run.session, 0));
            found = model_steps(&run, 0, tokens, n);
            gap = model_gap(found, wanted, n_logit);
            printf("  prompt %d by steps: %.2g of the largest logit\n", i, gap);
            CHECK_AT_MOST(gap, FLOAT32_GAP);
            free(found);
        }
        free(wanted);
        free(tokens);
    }
    model_close(&run);
}

// Conversion keeps values (F32) or rounds the matrices (BF16); the reference does the same, so the tolerance stays.
CHECK_CASE(converted_weights) {
    size_t n;
    int32_t *tokens = golden(RECORDED, 3, "ids", VKSSM_DTYPE_I32, &n);
    for (vkssm_dtype dtype = VKSSM_DTYPE_F32; dtype <= VKSSM_DTYPE_BF16; dtype += VKSSM_DTYPE_BF16) {
        model_run run;
        double *wanted = ref_mamba2_logits(&shape, model_zoo(FOLDER), dtype, tokens, n);
        if (!open_story(&run, &(vkssm_model_params){.convert_weights = true, .weight_dtype = dtype})) return;
        CHECK_EQ(run.info.weight_dtype, dtype);
        float *found = model_prefill(&run, 0, tokens, n);
        double gap = model_gap_double(found, wanted, n * 4096);
        printf("  matrices %s: %.2g of the largest logit\n", vkssm_dtype_name(dtype), gap);
        CHECK_AT_MOST(gap, FLOAT32_GAP);
        free(found);
        free(wanted);
        model_close(&run);
    }
    free(tokens);
}

// Every token is the one of the largest logit in double precision, unless two are closer than float32 can tell.
static void check_greedy(const int32_t *tokens, size_t n_prompt, size_t n) {
    double *logits = ref_mamba2_logits(&shape, model_zoo(FOLDER), VKSSM_DTYPE_F32, tokens, n);
    CHECK(logits != NULL);
    for (size_t k = n_prompt; logits && k < n; k++) {
        const double *row = logits + (k - 1) * 4096;
        double largest = row[0];
        for (int v = 1; v < 4096; v++)
            largest = fmax(largest, row[v]);
        CHECK(row[tokens[k]] >= largest - FLOAT32_GAP * fabs(largest));
    }
    free(logits);
}

// The same as recorded. The recorded tokens were chosen by less exact logits: where they part from those found, the two
// must have been so close in double precision that the recorded logits could not tell them apart, and what follows is
// another text.
static void check_recorded(int prompt, const int32_t *found, const int32_t *recorded, size_t n_prompt, size_t n) {
    size_t k = n_prompt;
    while (k < n && found[k] == recorded[k])
        k++;
    if (k == n) return;
    double *logits = ref_mamba2_logits(&shape, model_zoo(FOLDER), VKSSM_DTYPE_F32, found, k), margin = INFINITY;
    if (logits) margin = logits[(k - 1) * 4096 + (size_t)found[k]] - logits[(k - 1) * 4096 + (size_t)recorded[k]];
    printf("  prompt %d, token %zu: %d found, %d recorded, logits %.2g apart in double precision\n", prompt,
           k - n_prompt, found[k], recorded[k], margin);
    CHECK(margin > -FLOAT32_GAP);
    CHECK_AT_MOST(margin, 2 * RECORDED_GAP);
    free(logits);
}

// A tenth of lavapipe's speed: less is computed there.
static bool is_slow_device(void) {
    vkssm_device_info device;
    vkssm_device_get_info(model_device, &device);
    return strstr(device.name, "SwiftShader") != NULL;
}

CHECK_CASE(greedy) {
    model_run run;
    if (!open_story(&run, NULL)) return;
    for (int i = is_slow_device() ? 2 : 0; i < 4; i++) {
        size_t n, n_all;
        int32_t *prompt = golden(RECORDED, i, "ids", VKSSM_DTYPE_I32, &n);
        int32_t *recorded = golden(RECORDED, i, "greedy", VKSSM_DTYPE_I32, &n_all);
        int32_t *found = model_alloc(n_all, sizeof *found);
        uint32_t n_found;
        CHECK_EQ(n_all, n + 64);
        memcpy(found, prompt, n * sizeof *prompt);
        CHECK_OK(vkssm_session_reset(run.session, 0));
        CHECK_OK(vkssm_session_prefill(run.session, 0, prompt, n, VKSSM_LOGITS_NONE, NULL));
        CHECK_OK(vkssm_session_generate(run.session, 0, &(vkssm_generate_params){.n_token = 64}, found + n, &n_found));
        CHECK_EQ(n_found, 64);
        check_greedy(found, n, n_all);
        check_recorded(i, found, recorded, n, n_all);
        free(found);
        free(prompt);
        free(recorded);
    }
    model_close(&run);
}

// ---- loss -----------------------------------------------------------------------------------------------------------

enum { WINDOW = 512 };

static double cross_entropy(const float *logits, int32_t wanted) {
    double largest = logits[model_argmax(logits, 4096)], sum = 0;
    for (int i = 0; i < 4096; i++)
        sum += exp(logits[i] - largest);
    return largest + log(sum) - logits[wanted];
}

// Mean over the first windows, found and in double precision.
static double loss(const model_run *run, int n_window, double *exact) {
    size_t n_token, n_ce;
    int32_t *tokens = model_tensor(model_zoo(RECORDED), "val.tokens", VKSSM_DTYPE_I32, &n_token);
    float *ce = model_tensor(model_zoo(EXACT), "val.ce", VKSSM_DTYPE_F32, &n_ce);
    double found = *exact = 0;
    CHECK_EQ(n_token, 8 * WINDOW + 1);
    CHECK_EQ(n_ce, 8);
    for (int w = 0; w < n_window && tokens && ce; w++) {
        const int32_t *window = tokens + w * WINDOW;
        CHECK_OK(vkssm_session_reset(run->session, 0));
        float *logits = model_prefill(run, 0, window, WINDOW);
        for (int i = 0; i < WINDOW; i++)
            found += cross_entropy(logits + (size_t)i * 4096, window[i + 1]) / WINDOW / n_window;
        *exact += ce[w] / n_window;
        free(logits);
    }
    free(tokens);
    free(ce);
    return found;
}

// Lavapipe reads all windows with subgroups of 4, its fastest, and a few with larger ones.
static int windows_of_device(int n_window) {
    vkssm_device_info device;
    vkssm_device_get_info(model_device, &device);
    if (is_slow_device()) return 1;
    return device.type == VKSSM_DEVICE_CPU && device.subgroup_size > 4 && n_window > 2 ? 2 : n_window;
}

static void check_loss(vkssm_dtype activations, int n_window, double tolerance) {
    n_window = windows_of_device(n_window);
    model_run run;
    if (!open_story(&run, &(vkssm_model_params){.activation_dtype = activations})) return;
    double exact, found = loss(&run, n_window, &exact);
    printf("  activations %s: %.5f nats per token in %d windows, %.5f in double precision\n",
           vkssm_dtype_name(activations), found, n_window, exact);
    if (n_window == 8) CHECK_NEAR(exact, 1.02027, 1e-5); // the number of the model's README, as rounded there
    CHECK_NEAR(found, exact, tolerance);
    model_close(&run);
}

// The logits are within 1e-6 of the largest, which is about 20, and a loss is off by at most twice the error of its
// logits: 4e-5 if no token's error cancelled another's. Twice that, and more, for GPUs.
CHECK_CASE(loss_f32) {
    check_loss(VKSSM_DTYPE_F32, 8, 1e-4);
}

// Roundings of 2^-11 at random signs change single logits by some 1e-2 and average out over 512 tokens.
CHECK_CASE(loss_f16) {
    check_loss(VKSSM_DTYPE_F16, 1, 3e-3);
}

// Eight times as coarse. The loss then grows with the square of the error of the logits: 0.01 leaves room.
CHECK_CASE(loss_bf16) {
    check_loss(VKSSM_DTYPE_BF16, 1, 1e-2);
}

int main(int argc, char **argv) {
    return model_main(argc, argv,
                      (check_case[]){CHECK_RUN(exact_logits),
                                     CHECK_RUN(converted_weights),
                                     CHECK_RUN(greedy),
                                     CHECK_RUN(loss_f32),
                                     CHECK_RUN(loss_f16),
                                     CHECK_RUN(loss_bf16),
                                     {0}});
}

// Every key of config.json that changes the result, in both layouts, against the model in double precision: prefill of
// more than a chunk, and the same tokens one by one.
#define _XOPEN_SOURCE 700
#include "harness/model_test.h"
#include "harness/files.h"
#include "harness/tiny_mamba2.h"
#include "host/core/core_device.h"

// Of the largest logit. Everything is float32: sums of 32 to 64 products, two layers, and a recurrence whose errors
// decay: 3e-6 is seen. Where the gated norm is by groups of 8 channels, a group of small values magnifies its
// errors: 1.3e-5. The rest is room for GPUs whose exp and division are less exact.
#define FLOAT32_GAP 1e-4
enum { N_TOKEN = 70, N_FUSED = 12 }; // more than a chunk of 64; more than a convolution is wide

static double worst;

// The same tokens by steps whose products norm and convolve on the way: not what a CPU takes by itself.
static void compare_fused(const model_run *run, const int32_t *tokens, const double *wanted, double tolerance) {
    model_run fused = {.model = run->model, .info = run->info};
    vks_kernels_force(model_device->kernels, "matmul_vector");
    CHECK_OK(vkssm_session_create(run->model, NULL, &fused.session));
    if (fused.session) {
        float *logits = model_steps(&fused, 0, tokens, N_FUSED);
        CHECK_AT_MOST(model_gap_double(logits, wanted, (size_t)N_FUSED * run->info.n_vocab), tolerance);
        free(logits);
    }
    vkssm_session_destroy(&fused.session);
    vks_kernels_force(model_device->kernels, NULL);
}

static void compare(const tiny_mamba2 *tiny, const ref_mamba2_shape *ignored, const int32_t *tokens,
                    const double *wanted, double tolerance, const vkssm_model_params *params) {
    model_run run;
    uint32_t n_vocab = tiny->shape.n_vocab;
    if (!model_open(&run, files_folder, params, &(vkssm_session_params){.n_slot = 2})) return;
    CHECK_EQ(run.info.n_vocab, n_vocab);
    CHECK_EQ(run.info.n_layer, tiny->shape.n_layer);
    CHECK_EQ(run.info.n_channel, tiny->shape.n_channel);
    float *by_prefill = model_prefill(&run, 0, tokens, N_TOKEN), *by_step = model_steps(&run, 1, tokens, N_TOKEN);
    double gap = model_gap_double(by_prefill, wanted, (size_t)N_TOKEN * n_vocab);
    double gap_step = model_gap_double(by_step, wanted, (size_t)N_TOKEN * n_vocab);
    CHECK_AT_MOST(gap, tolerance);
    CHECK_AT_MOST(gap_step, tolerance);
    compare_fused(&run, tokens, wanted, tolerance);
    worst = fmax(worst, fmax(gap, gap_step));
    if (ignored) { // a model that did not heed the key would be far off
        double *other = ref_mamba2_logits(ignored, files_path("model.safetensors"), VKSSM_DTYPE_F32, tokens, N_TOKEN);
        CHECK(other && model_gap_double(by_prefill, other, (size_t)N_TOKEN * n_vocab) > 100 * tolerance);
        free(other);
    }
    free(by_prefill);
    free(by_step);
    model_close(&run);
}

// `ignored`: what the model would be if the key under test were not heeded; NULL where it then would not load at all.
static void check_with(const tiny_mamba2 *tiny, const ref_mamba2_shape *ignored, double tolerance,
                       const vkssm_model_params *params) {
    CHECK(tiny_mamba2_write(tiny, files_folder));
    int32_t *tokens = model_tokens(1, N_TOKEN, tiny->shape.n_vocab);
    double *wanted = ref_mamba2_logits(&tiny->shape, files_path("model.safetensors"), VKSSM_DTYPE_F32, tokens, N_TOKEN);
    CHECK(wanted != NULL);
    if (wanted) compare(tiny, ignored, tokens, wanted, tolerance, params);
    free(wanted);
    free(tokens);
    files_clear();
}

static void check(const tiny_mamba2 *tiny, const ref_mamba2_shape *ignored) {
    check_with(tiny, ignored, FLOAT32_GAP, NULL);
}

static tiny_mamba2 original_default(void) {
    tiny_mamba2 tiny = tiny_mamba2_default();
    tiny.original = true;
    tiny.shape.tied_head = true;
    tiny.shape.embedding = "backbone.embedding.weight";
    return tiny;
}

// ---- Hugging Face's layout ------------------------------------------------------------------------------------------

CHECK_CASE(usual) {
    tiny_mamba2 tiny = tiny_mamba2_default();
    check(&tiny, NULL);
    tiny.sparse = true; // the defaults of keys that are not there
    check(&tiny, NULL);
    tiny.shape.n_group = tiny.shape.n_head = 8;
    tiny.shape.n_width = 8;
    check(&tiny, NULL); // n_groups is 8 unless said otherwise
}

CHECK_CASE(groups) {
    for (uint32_t n_group = 2; n_group <= 4; n_group *= 2) {
        tiny_mamba2 tiny = tiny_mamba2_default();
        tiny.shape.n_group = n_group;
        check(&tiny, NULL);
        // The gated norm by groups: by as many as the mixer has, and by another number.
        ref_mamba2_shape together = tiny.shape;
        tiny.shape.norm_groups = tiny.norm_groups_said = n_group;
        check(&tiny, &together);
        tiny.shape.norm_groups = tiny.norm_groups_said = 8;
        check(&tiny, &together);
    }
}

CHECK_CASE(projection_bias) {
    tiny_mamba2 tiny = tiny_mamba2_default();
    ref_mamba2_shape without = tiny.shape;
    tiny.shape.proj_bias = true;
    check(&tiny, &without);
}

CHECK_CASE(no_convolution_bias) {
    tiny_mamba2 tiny = tiny_mamba2_default();
    tiny.shape.conv_bias = false;
    check(&tiny, NULL);
}

CHECK_CASE(tied_head) {
    tiny_mamba2 tiny = tiny_mamba2_default();
    tiny.shape.tied_head = true;
    check(&tiny, NULL);
}

CHECK_CASE(time_step_limit) {
    tiny_mamba2 tiny = tiny_mamba2_default();
    ref_mamba2_shape without = tiny.shape;
    tiny.shape.dt_min = 0.3;
    check(&tiny, &without);
    tiny.shape.dt_max = 0.6;
    check(&tiny, &without);
    tiny.shape.dt_min = 0;
    check(&tiny, &without);
}

CHECK_CASE(epsilon) {
    tiny_mamba2 tiny = tiny_mamba2_default();
    ref_mamba2_shape usual = tiny.shape;
    tiny.shape.eps = 0.1;
    check(&tiny, &usual);
}

CHECK_CASE(convolution_width) {
    for (uint32_t n_tap = 2; n_tap <= 5; n_tap++) {
        tiny_mamba2 tiny = tiny_mamba2_default();
        tiny.shape.n_tap = n_tap;
        check(&tiny, NULL);
    }
}

// Sizes that fit no tile and no padding.
CHECK_CASE(odd_sizes) {
    tiny_mamba2 tiny = tiny_mamba2_default();
    tiny.shape.n_channel = 30;
    tiny.shape.n_width = 15;
    tiny.shape.n_state = 7;
    tiny.shape.n_vocab = 37;
    check(&tiny, NULL);
    tiny.shape.n_group = 2;
    tiny.shape.n_state = 33;
    check(&tiny, NULL);
    tiny.shape.n_channel = 15;
    tiny.shape.n_head = 6;
    tiny.shape.n_width = 5; // expand 2
    check(&tiny, NULL);
    tiny.shape.n_channel = 2;
    tiny.shape.n_head = tiny.shape.n_group = 1;
    tiny.shape.n_width = 2; // expand 1
    tiny.shape.n_state = 1;
    tiny.shape.n_vocab = 1;
    check(&tiny, NULL);
}

CHECK_CASE(one_layer_many_heads) {
    tiny_mamba2 tiny = tiny_mamba2_default();
    tiny.shape.n_layer = 1;
    tiny.shape.n_head = 64;
    tiny.shape.n_width = 2; // expand 4
    check(&tiny, NULL);
}

// Old checkpoints spell the embedding's name as the original code does.
CHECK_CASE(spelling_of_embedding) {
    tiny_mamba2 tiny = tiny_mamba2_default();
    tiny.shape.embedding = "backbone.embedding.weight";
    check(&tiny, NULL);
}

// ---- the original layout --------------------------------------------------------------------------------------------

CHECK_CASE(original_usual) {
    tiny_mamba2 tiny = original_default();
    check(&tiny, NULL);
    tiny.sparse = true;
    check(&tiny, NULL);
}

CHECK_CASE(original_untied_head) {
    tiny_mamba2 tiny = original_default();
    ref_mamba2_shape tied = tiny.shape;
    tiny.shape.tied_head = false;
    check(&tiny, &tied);
}

// Per group unless config.json says otherwise.
CHECK_CASE(original_groups) {
    tiny_mamba2 tiny = original_default();
    tiny.shape.n_group = 2;
    ref_mamba2_shape together = tiny.shape;
    tiny.shape.norm_groups = 2;
    ref_mamba2_shape by_group = tiny.shape;
    check(&tiny, &together);
    tiny.shape = together;
    tiny.norm_groups_said = 1;
    check(&tiny, &by_group);
}

CHECK_CASE(original_norm_before_gate) {
    tiny_mamba2 tiny = original_default();
    ref_mamba2_shape after = tiny.shape;
    tiny.shape.norm_before_gate = true;
    check(&tiny, &after);
    tiny.shape.n_group = tiny.shape.norm_groups = 4;
    check(&tiny, NULL);
}

CHECK_CASE(original_without_norm) {
    tiny_mamba2 tiny = original_default();
    tiny.shape.norm_groups = 0;
    check(&tiny, NULL);
    tiny.shape.n_group = 2;
    check(&tiny, NULL);
}

// The table has more rows than vocab_size says: so have the logits.
CHECK_CASE(original_padded_vocabulary) {
    tiny_mamba2 tiny = original_default();
    tiny.n_vocab_said = 37;
    check(&tiny, NULL);
    tiny.shape.tied_head = false;
    check(&tiny, NULL);
}

CHECK_CASE(original_other_keys) {
    tiny_mamba2 tiny = original_default();
    ref_mamba2_shape without = tiny.shape;
    tiny.shape.dt_min = 0.3;
    tiny.shape.dt_max = 0.6;
    check(&tiny, &without);
    tiny = original_default();
    tiny.shape.proj_bias = true;
    tiny.shape.conv_bias = false;
    check(&tiny, NULL);
    tiny = original_default();
    tiny.shape.n_tap = 3;
    tiny.shape.n_head = 12;
    tiny.shape.n_width = 8; // expand 3
    tiny.shape.n_state = 24;
    check(&tiny, NULL);
}

// ---- types ----------------------------------------------------------------------------------------------------------

CHECK_CASE(types_of_files) {
    for (vkssm_dtype dtype = VKSSM_DTYPE_F32; dtype <= VKSSM_DTYPE_BF16; dtype++) {
        tiny_mamba2 tiny = tiny_mamba2_default();
        tiny.dtype = dtype; // the reference reads the same rounded values: no other tolerance
        tiny.shape.proj_bias = true;
        check(&tiny, NULL);
        tiny.shape.n_channel = 30;
        tiny.shape.n_width = 15;
        tiny.shape.n_vocab = 37;
        check(&tiny, NULL);
    }
}

// Activations are rounded to 2^-11 or 2^-8 of their value, six times a layer. The recurrence and the norms of these
// random models pass an error on at about full size, so that a few roundings add up: 7 and 9 are seen, 16 allowed.
CHECK_CASE(types_of_activations) {
    static const struct {
        vkssm_dtype dtype;
        double tolerance;
    } types[] = {{VKSSM_DTYPE_F16, 16 * 0x1p-11}, {VKSSM_DTYPE_BF16, 16 * 0x1p-8}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        tiny_mamba2 tiny = tiny_mamba2_default();
        double before = worst;
        worst = 0;
        check_with(&tiny, NULL, types[i].tolerance, &(vkssm_model_params){.activation_dtype = types[i].dtype});
        CHECK(worst > FLOAT32_GAP); // it was done
        printf("  activations %s: %.2g of the largest logit\n", vkssm_dtype_name(types[i].dtype), worst);
        worst = before;
    }
}

// A residual stream beyond float16's range costs nothing, for it is float32. Gates beyond it are cut off at 65504: what
// comes out is finite and near, while float32 and bfloat16 keep their tolerance.
CHECK_CASE(beyond_float16) {
    const vkssm_model_params f16 = {.activation_dtype = VKSSM_DTYPE_F16}, bf16 = {.activation_dtype = VKSSM_DTYPE_BF16};
    double before = worst;
    tiny_mamba2 tiny = tiny_mamba2_default();
    tiny.embedding_scale = 1e6f;
    check_with(&tiny, NULL, 16 * 0x1p-11, &f16);
    tiny = tiny_mamba2_default();
    tiny.gate_scale = 4e4f;
    check(&tiny, NULL);
    check_with(&tiny, NULL, 16 * 0x1p-8, &bf16);
    worst = 0;
    check_with(&tiny, NULL, 0.5, &f16); // one gate in ten is cut off, to half at most: 0.29 is seen
    CHECK(worst > 16 * 0x1p-11);        // they were
    printf("  gates cut off: %.2g of the largest logit\n", worst);
    worst = before;
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int result = model_main(argc, argv,
                            (check_case[]){CHECK_RUN(usual),
                                           CHECK_RUN(groups),
                                           CHECK_RUN(projection_bias),
                                           CHECK_RUN(no_convolution_bias),
                                           CHECK_RUN(tied_head),
                                           CHECK_RUN(time_step_limit),
                                           CHECK_RUN(epsilon),
                                           CHECK_RUN(convolution_width),
                                           CHECK_RUN(odd_sizes),
                                           CHECK_RUN(one_layer_many_heads),
                                           CHECK_RUN(spelling_of_embedding),
                                           CHECK_RUN(original_usual),
                                           CHECK_RUN(original_untied_head),
                                           CHECK_RUN(original_groups),
                                           CHECK_RUN(original_norm_before_gate),
                                           CHECK_RUN(original_without_norm),
                                           CHECK_RUN(original_padded_vocabulary),
                                           CHECK_RUN(original_other_keys),
                                           CHECK_RUN(types_of_files),
                                           CHECK_RUN(types_of_activations),
                                           CHECK_RUN(beyond_float16),
                                           {0}});
    printf("worst gap to double precision: %.2g of the largest logit\n", worst);
    files_end();
    return result;
}

// S5 and LRU stacks with random weights against a reference in double precision: every option, the parallel form whole
// and in pieces, and the recurrent form.
#define _XOPEN_SOURCE 700
#include "harness/model_test.h"
#include "harness/files.h"
#include "harness/tiny_s5.h"

// Of the largest value. float32 rounds at 6e-8; a state sums some tens of steps, a product a dozen of terms, two layers
// follow each other, and a norm may magnify what cancelled: some tens of roundings, 3e-5 with room for GPUs whose exp
// is less exact. Reached: 4.4e-6 (a single row of a stream). The two forms sum in different orders, no better than
// that.
#define GAP 3e-5

enum { N = 4, N_TIME = 61 };

typedef struct option {
    const char *name;
    void (*set)(ref_s5_shape *s);
} option;

static void set_nothing(ref_s5_shape *s) {
    (void)s;
}
static void set_full_glu(ref_s5_shape *s) {
    s->gate = REF_S5_FULL_GLU;
}
static void set_half_glu2(ref_s5_shape *s) {
    s->gate = REF_S5_HALF_GLU_2;
}
static void set_gelu(ref_s5_shape *s) {
    s->gate = REF_S5_GELU;
}
static void set_layer_norm(ref_s5_shape *s) {
    s->batch_norm = false;
    s->eps = 1e-6;
}
static void set_post_norm(ref_s5_shape *s) {
    s->prenorm = false;
}
static void set_post_layer_norm(ref_s5_shape *s) {
    s->prenorm = s->batch_norm = false;
    s->gate = REF_S5_FULL_GLU;
    s->eps = 1e-2;
}
static void set_bilinear(ref_s5_shape *s) {
    s->bilinear = true;
}
static void set_no_conj_sym(ref_s5_shape *s) {
    s->conj_sym = false;
}
static void set_clip_eigs(ref_s5_shape *s) {
    s->clip_eigs = true;
}
static void set_step_rescale(ref_s5_shape *s) {
    s->step_rescale = 2.5;
}
static void set_bidirectional(ref_s5_shape *s) {
    s->bidirectional = true;
}
static void set_bidirectional_one_c(ref_s5_shape *s) {
    s->bidirectional = s->one_c = true;
    s->pool = REF_S5_LAST;
    s->gate = REF_S5_HALF_GLU_2;
}
static void set_last(ref_s5_shape *s) {
    s->pool = REF_S5_LAST;
}
static void set_no_pool(ref_s5_shape *s) {
    s->pool = REF_S5_NO_POOL;
}
static void set_no_softmax(ref_s5_shape *s) {
    s->no_softmax = true;
}
static void set_sizes(ref_s5_shape *s) {
    s->n_input = 1;
    s->n_channel = 33;
    s->n_state = 1;
    s->n_layer = 3;
    s->n_class = 1;
    s->no_softmax = true; // of one class it is 0
}
static void set_large(ref_s5_shape *s) {
    s->n_input = 17;
    s->n_channel = 64;
    s->n_state = 72;
    s->clip_eigs = s->bilinear = true;
}
static void set_lru(ref_s5_shape *s) {
    s->lru = true;
    s->gate = REF_S5_FULL_GLU;
}
static void set_lru_layer_norm(ref_s5_shape *s) {
    set_lru(s);
    s->batch_norm = s->prenorm = false;
    s->pool = REF_S5_NO_POOL;
    s->eps = 1e-6;
}

static const option options[] = {
    {"as the original has it", set_nothing},
    {"full_glu", set_full_glu},
    {"half_glu2", set_half_glu2},
    {"gelu", set_gelu},
    {"layer norm", set_layer_norm},
    {"post-norm", set_post_norm},
    {"post layer norm", set_post_layer_norm},
    {"bilinear", set_bilinear},
    {"conj_sym false", set_no_conj_sym},
    {"clip_eigs", set_clip_eigs},
    {"step_rescale", set_step_rescale},
    {"bidirectional", set_bidirectional},
    {"bidirectional, one C", set_bidirectional_one_c},
    {"pooling last", set_last},
    {"pooling none", set_no_pool},
    {"head none", set_no_softmax},
    {"odd sizes", set_sizes},
    {"large", set_large},
    {"lru", set_lru},
    {"lru, post layer norm", set_lru_layer_norm},
};

// ---- outputs --------------------------------------------------------------------------------------------------------

static vkssm_named_tensor input_of(const ref_s5_shape *s, const float *values) {
    return (vkssm_named_tensor){.name = "input",
                                .dtype = VKSSM_DTYPE_F32,
                                .n_dim = 3,
                                .shape = {N, N_TIME, s->n_input},
                                .data = values,
                                .size = sizeof(float) * N * N_TIME * s->n_input};
}

static float *random_input(const ref_s5_shape *s) {
    uint64_t seed = 11;
    float *values = model_alloc((size_t)N * N_TIME * s->n_input, sizeof *values);
    for (size_t i = 0; i < (size_t)N * N_TIME * s->n_input; i++)
        values[i] = check_uniform(&seed, -1.5f, 1.5f);
    return values;
}

// The largest gap of logits and layers from the reference.
static double gap_of(const ref_s5_shape *s, const vkssm_tensors *found, const ref_s5_outputs *wanted) {
    vkssm_named_tensor tensor;
    double worst = 0;
    CHECK_EQ(vkssm_tensors_n_tensor(found), 1 + s->n_layer);
    CHECK(!vkssm_tensors_find(found, "layer", &tensor));
    for (uint32_t i = 0; i <= s->n_layer; i++) {
        char name[32];
        snprintf(name, sizeof name, i ? "layer%u.out" : "logits", i - 1);
        bool there = vkssm_tensors_find(found, name, &tensor);
        CHECK(there);
        if (!there) return INFINITY;
        bool by_step = i || s->pool == REF_S5_NO_POOL;
        uint32_t width = i ? s->n_channel : s->n_class;
        size_t n = (size_t)N * (by_step ? N_TIME : 1) * width;
        CHECK_EQ(tensor.n_dim, by_step ? 3 : 2);
        CHECK_EQ(tensor.shape[0], N);
        CHECK_EQ(tensor.shape[tensor.n_dim - 1], width);
        CHECK_EQ(tensor.size, n * sizeof(float));
        const double *truth = i ? wanted->layers + (size_t)(i - 1) * N * N_TIME * width : wanted->logits;
        worst = fmax(worst, model_gap_double(tensor.data, truth, n));
    }
    return worst;
}

// ---- the recurrent form ---------------------------------------------------------------------------------------------

// The last row of [n, T, width], or all of [n, width], of one sequence.
static double last_gap(const vkssm_named_tensor *tensor, uint32_t slot, const double *truth, bool by_step, size_t t) {
    size_t width = (size_t)tensor->shape[1];
    const double *row = truth + (by_step ? ((size_t)slot * N_TIME + t) * width : slot * width);
    return model_gap_double((const float *)tensor->data + slot * width, row, width);
}

// Sample by sample. Slot 1 is reset after a third of the way and begins again, while the others go on.
static double stream_gap(const ref_s5_shape *s, vkssm_model *model, const float *input, const ref_s5_outputs *wanted) {
    vkssm_stream *stream;
    CHECK_OK(vkssm_stream_create(model, &(vkssm_stream_params){.n_slot = N, .layers = true}, &stream));
    if (!stream) return INFINITY;
    double worst = 0;
    float *sample = model_alloc((size_t)N * s->n_input, sizeof *sample);
    uint32_t begun = 0; // the step at which slot 1 began again
    for (uint32_t t = 0; t < N_TIME; t++) {
        if (t == N_TIME / 3) {
            CHECK_OK(vkssm_stream_reset(stream, 1));
            begun = t;
        }
        for (uint32_t b = 0; b < N; b++) {
            uint32_t step = b == 1 ? t - begun : t;
            memcpy(sample + (size_t)b * s->n_input, input + ((size_t)b * N_TIME + step) * s->n_input,
                   s->n_input * sizeof *sample);
        }
        vkssm_named_tensor in = input_of(s, sample);
        in.n_dim = 2;
        in.shape[1] = s->n_input;
        in.size /= N_TIME;
        const vkssm_named_tensor *out;
        uint32_t n_out = 0;
        CHECK_OK(vkssm_stream_step(stream, &in, 1, &out, &n_out));
        CHECK_EQ(n_out, 1 + s->n_layer);
        if (n_out != 1 + s->n_layer) break;
        for (uint32_t b = 0; b < N; b++) {
            uint32_t step = b == 1 ? t - begun : t;
            for (uint32_t i = 1; i <= s->n_layer; i++)
                worst = fmax(worst, last_gap(&out[i], b, wanted->layers + (size_t)(i - 1) * N * N_TIME * s->n_channel,
                                             true, step));
            if (s->pool == REF_S5_NO_POOL)
                worst = fmax(worst, last_gap(&out[0], b, wanted->logits, true, step));
            else if (step + 1 == N_TIME)
                worst = fmax(worst, last_gap(&out[0], b, wanted->logits, false, 0));
        }
    }
    free(sample);
    vkssm_stream_destroy(&stream);
    CHECK(!stream);
    return worst;
}

// ---- every option ---------------------------------------------------------------------------------------------------

static void check_stream_refused(vkssm_model *model) {
    vkssm_stream *stream;
    CHECK_REFUSED(vkssm_stream_create(model, NULL, &stream), VKSSM_ERR_UNSUPPORTED, "bidirectional s5 found");
    CHECK(!stream);
}

static void check_option(const option *o) {
    tiny_s5 tiny = tiny_s5_default();
    o->set(&tiny.shape);
    const ref_s5_shape *s = &tiny.shape;
    CHECK(tiny_s5_write(&tiny, files_folder));
    float *input = random_input(s);
    ref_s5_outputs wanted;
    bool ok = ref_s5_run(s, files_path("model.safetensors"), input, N, N_TIME, &wanted);
    CHECK(ok);
    vkssm_model *model = NULL;
    CHECK_OK(vkssm_model_load(model_device, files_folder, NULL, &model));
    if (!ok || !model) return;
    vkssm_named_tensor in = input_of(s, input);
    // One piece; pieces of sequences, the last one smaller; pieces of time, the last one smaller.
    static const uint32_t pieces[] = {0, 3 * N_TIME, 16};
    double gaps[4] = {0};
    for (size_t i = 0; i < VKS_COUNT(pieces); i++) {
        vkssm_tensors *out;
        CHECK_OK(vkssm_model_run(model, &(vkssm_run_params){.layers = true, .piece_size = pieces[i]}, &in, 1, &out));
        gaps[i] = out ? gap_of(s, out, &wanted) : INFINITY;
        vkssm_tensors_destroy(&out);
        CHECK(!out);
    }
    if (s->bidirectional)
        check_stream_refused(model);
    else
        gaps[3] = stream_gap(s, model, input, &wanted);
    printf("  %-24s whole %.2g, sequences %.2g, pieces %.2g, stream %.2g of the largest value\n", o->name, gaps[0],
           gaps[1], gaps[2], gaps[3]);
    for (size_t i = 0; i < VKS_COUNT(gaps); i++)
        CHECK_AT_MOST(gaps[i], GAP);
    free(input), free(wanted.logits), free(wanted.layers);
    vkssm_model_destroy(&model);
    CHECK(!model);
}

CHECK_CASE(every_option) {
    for (size_t i = 0; i < VKS_COUNT(options); i++)
        check_option(&options[i]);
}

// What some options change must be there to be changed: the same weights without the option give something else.
CHECK_CASE(options_matter) {
    tiny_s5 tiny = tiny_s5_default();
    tiny.shape.clip_eigs = tiny.shape.bilinear = true;
    CHECK(tiny_s5_write(&tiny, files_folder));
    float *input = random_input(&tiny.shape);
    ref_s5_outputs out[3];
    for (int i = 0; i < 3; i++) {
        ref_s5_shape shape = tiny.shape;
        if (i == 1) shape.clip_eigs = false;
        if (i == 2) shape.bilinear = false;
        bool ok = ref_s5_run(&shape, files_path("model.safetensors"), input, N, N_TIME, &out[i]);
        CHECK(ok);
        if (!ok) return;
    }
    for (int i = 1; i < 3; i++) {
        double change = 0;
        for (uint32_t k = 0; k < N * tiny.shape.n_class; k++)
            change = fmax(change, fabs(out[i].logits[k] - out[0].logits[k]));
        CHECK(change > 100 * GAP);
    }
    for (int i = 0; i < 3; i++)
        free(out[i].logits), free(out[i].layers);
    free(input);
}

// ---- storage types --------------------------------------------------------------------------------------------------

// Activations and matrices in 16 bits: of the largest value, float16 rounds at 5e-4 and bfloat16 at 4e-3; each of two
// layers stores a norm, two products and an activation, whose errors partly cancel. Reached: 5e-4 and 5e-3.
CHECK_CASE(storage_types) {
    tiny_s5 tiny = tiny_s5_default();
    tiny.shape.gate = REF_S5_FULL_GLU;
    tiny.shape.bidirectional = true;
    float *input = random_input(&tiny.shape);
    static const struct {
        vkssm_dtype file, weights, activations;
        bool convert;
        double gap;
    } cases[] = {
        {VKSSM_DTYPE_BF16, 0, VKSSM_DTYPE_F32, false, GAP},
        {VKSSM_DTYPE_F16, 0, VKSSM_DTYPE_F32, false, GAP},
        {VKSSM_DTYPE_F32, VKSSM_DTYPE_F16, VKSSM_DTYPE_F32, true, 2e-3},
        {VKSSM_DTYPE_F32, 0, VKSSM_DTYPE_F16, false, 2e-3},
        {VKSSM_DTYPE_F32, VKSSM_DTYPE_BF16, VKSSM_DTYPE_BF16, true, 2e-2},
    };
    for (size_t i = 0; i < VKS_COUNT(cases); i++) {
        tiny.dtype = cases[i].file;
        CHECK(tiny_s5_write(&tiny, files_folder));
        ref_s5_outputs wanted;
        bool ok = ref_s5_run(&tiny.shape, files_path("model.safetensors"), input, N, N_TIME, &wanted);
        vkssm_model_params params = {.convert_weights = cases[i].convert,
                                     .weight_dtype = cases[i].weights,
                                     .activation_dtype = cases[i].activations};
        vkssm_model *model;
        vkssm_tensors *out = NULL;
        CHECK_OK(vkssm_model_load(model_device, files_folder, &params, &model));
        vkssm_named_tensor in = input_of(&tiny.shape, input);
        if (model) CHECK_OK(vkssm_model_run(model, &(vkssm_run_params){.layers = true}, &in, 1, &out));
        CHECK(ok && out);
        if (ok && out) {
            double gap = gap_of(&tiny.shape, out, &wanted);
            printf("  file %s, weights %s, activations %s: %.2g of the largest value\n",
                   vkssm_dtype_name(cases[i].file),
                   cases[i].convert ? vkssm_dtype_name(cases[i].weights) : "as computed",
                   vkssm_dtype_name(cases[i].activations), gap);
            CHECK_AT_MOST(gap, cases[i].gap);
        }
        if (ok) free(wanted.logits), free(wanted.layers);
        vkssm_tensors_destroy(&out);
        vkssm_model_destroy(&model);
    }
    free(input);
}

// ---- what a model says of itself, and what else may happen ----------------------------------------------------------

CHECK_CASE(info) {
    tiny_s5 tiny = tiny_s5_default();
    CHECK(tiny_s5_write(&tiny, files_folder));
    vkssm_model *model;
    CHECK_OK(vkssm_model_load(model_device, files_folder, NULL, &model));
    vkssm_model_info info;
    vkssm_model_get_info(model, &info);
    CHECK_STR(info.model_type, "s5");
    CHECK_EQ(info.n_layer, 2);
    CHECK_EQ(info.n_channel, 10);
    CHECK_EQ(info.n_vocab, 0);
    CHECK_EQ(info.n_input, 1);
    CHECK_EQ(info.n_output, 1 + 2);
    // Lambda and step 3 P, B and C 2 P H each, D, norm 2 H, out2 H H + H; encoder 3 H + H, decoder 5 H + 5
    CHECK_EQ(info.n_parameter, 2 * (3 * 7 + 4 * 7 * 10 + 10 + 20 + 110) + 40 + 55);
    vkssm_tensor_info tensor;
    CHECK_OK(vkssm_model_get_input(model, 0, &tensor));
    CHECK_STR(tensor.name, "input");
    CHECK(tensor.n_dim == 1 && tensor.shape[0] == 3 && tensor.per_step && !tensor.takes_u8);
    CHECK_REFUSED(vkssm_model_get_input(model, 1, &tensor), VKSSM_ERR_ARG, "input 1 of s5 does not exist");
    CHECK_OK(vkssm_model_get_output(model, 0, &tensor));
    CHECK_STR(tensor.name, "logits");
    CHECK(tensor.n_dim == 1 && tensor.shape[0] == 5 && !tensor.per_step && !tensor.layer);
    CHECK_OK(vkssm_model_get_output(model, 2, &tensor));
    CHECK_STR(tensor.name, "layer1.out");
    CHECK(tensor.n_dim == 1 && tensor.shape[0] == 10 && tensor.per_step && tensor.layer);
    CHECK_REFUSED(vkssm_model_get_output(model, 3, &tensor), VKSSM_ERR_ARG, "output 3");
    // A session is for tokens.
    vkssm_session *session;
    uint64_t size;
    CHECK_REFUSED(vkssm_session_create(model, NULL, &session), VKSSM_ERR_UNSUPPORTED,
                  "a language model expected, s5 found");
    CHECK_REFUSED(vkssm_session_memory_size(model, NULL, &size), VKSSM_ERR_UNSUPPORTED, "a language model expected");
    // A model in use stays.
    vkssm_stream *stream;
    CHECK_OK(vkssm_stream_create(model, NULL, &stream));
    vkssm_model_destroy(&model);
    CHECK(model != NULL);
    vkssm_stream_destroy(&stream);
    vkssm_model_destroy(&model);
    CHECK(model == NULL);
}

typedef struct seen {
    uint64_t done, total;
    int n_call, stop_after;
} seen;

static bool see(void *user, uint64_t done, uint64_t total) {
    seen *s = user;
    CHECK(done > s->done && done <= total);
    s->done = done;
    s->total = total;
    return ++s->n_call != s->stop_after;
}

CHECK_CASE(progress) {
    tiny_s5 tiny = tiny_s5_default();
    CHECK(tiny_s5_write(&tiny, files_folder));
    vkssm_model *model;
    vkssm_tensors *out;
    CHECK_OK(vkssm_model_load(model_device, files_folder, NULL, &model));
    float *input = random_input(&tiny.shape);
    vkssm_named_tensor in = input_of(&tiny.shape, input);
    seen s = {0};
    vkssm_run_params params = {.progress = {see, &s}, .piece_size = 30};
    CHECK_OK(vkssm_model_run(model, &params, &in, 1, &out));
    CHECK(s.done == s.total && s.total == N * N_TIME && s.n_call == 3 * N);
    vkssm_tensors_destroy(&out);
    s = (seen){.stop_after = 2};
    CHECK_REFUSED(vkssm_model_run(model, &params, &in, 1, &out), VKSSM_ERR_CANCELLED,
                  "run: cancelled after 60 of 244 steps");
    CHECK(!out && s.n_call == 2);
    free(input);
    vkssm_model_destroy(&model);
}

// Two runs give the same bits, and whether a sequence stands first or last in a batch does not matter.
CHECK_CASE(same_bits) {
    tiny_s5 tiny = tiny_s5_default();
    CHECK(tiny_s5_write(&tiny, files_folder));
    vkssm_model *model;
    vkssm_tensors *first, *second;
    CHECK_OK(vkssm_model_load(model_device, files_folder, NULL, &model));
    float *input = random_input(&tiny.shape);
    size_t size = (size_t)N_TIME * tiny.shape.n_input;
    memcpy(input + (N - 1) * size, input, size * sizeof *input);
    vkssm_named_tensor in = input_of(&tiny.shape, input), a, b;
    CHECK_OK(vkssm_model_run(model, NULL, &in, 1, &first));
    CHECK_OK(vkssm_model_run(model, NULL, &in, 1, &second));
    bool there = first && second && vkssm_tensors_find(first, "logits", &a) && vkssm_tensors_find(second, "logits", &b);
    CHECK(there);
    if (there) {
        CHECK_EQ(vkssm_tensors_n_tensor(first), 1);
        CHECK(memcmp(a.data, b.data, a.size) == 0);
        CHECK(memcmp(a.data, (const uint8_t *)a.data + a.size / N * (N - 1), a.size / N) == 0);
    }
    vkssm_tensors_destroy(&first);
    vkssm_tensors_destroy(&second);
    free(input);
    vkssm_model_destroy(&model);
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int status = model_main(argc, argv,
                            (check_case[]){CHECK_RUN(every_option),
                                           CHECK_RUN(options_matter),
                                           CHECK_RUN(storage_types),
                                           CHECK_RUN(info),
                                           CHECK_RUN(progress),
                                           CHECK_RUN(same_bits),
                                           {0}});
    files_end();
    return status;
}

// mamba_classifier: small models with random weights against double precision, in one and two directions, whole and as
// streams; trained keyword spotters, where their files are; files that must be refused.
#define _XOPEN_SOURCE 700
#include "harness/model_test.h"
#include "harness/files.h"
#include "ref/ref_mamba1_model.h"

// Of the largest value: a few dozen float32 roundings a layer, most of which cancel; room for GPUs whose exp is less
// exact. Reached: 1e-6.
#define REFERENCE_GAP 5e-5
enum { N_TIME = 37, N_SEQUENCE = 2 };

// Values of config.json.
static const char *const pools[] = {"\"mean\"", "\"last\"", "\"none\""};
static const char *const kinds[] = {"\"none\"", "\"shared\"", "\"separate\""};

// One of everything that is not the same in all of them.
static const ref_mamba1_shape shapes[] = {
    {.n_layer = 1,
     .n_channel = 12,
     .n_inner = 24,
     .n_state = 16,
     .n_tap = 4,
     .n_rank = 1,
     .conv_bias = true,
     .pool = REF_MAMBA1_MEAN,
     .named_mamba = true},
    {.n_layer = 2,
     .n_channel = 10,
     .n_inner = 20,
     .n_state = 7,
     .n_tap = 3,
     .n_rank = 3,
     .norm = true,
     .final_norm = true,
     .residual = true,
     .proj_bias = true,
     .conv_bias = true,
     .pool = REF_MAMBA1_NO_POOL},
    {.n_layer = 2,
     .n_channel = 8,
     .n_inner = 24,
     .n_state = 4,
     .n_tap = 2,
     .n_rank = 2,
     .norm = true,
     .residual = true,
     .pool = REF_MAMBA1_LAST},
    {.n_layer = 2,
     .n_channel = 12,
     .n_inner = 24,
     .n_state = 8,
     .n_tap = 4,
     .n_rank = 2,
     .norm = true,
     .final_norm = true,
     .residual = true,
     .conv_bias = true,
     .kind = REF_MAMBA1_SHARED},
    {.n_layer = 2,
     .n_channel = 12,
     .n_inner = 24,
     .n_state = 8,
     .n_tap = 4,
     .n_rank = 3,
     .norm = true,
     .residual = true,
     .conv_bias = true,
     .kind = REF_MAMBA1_SEPARATE,
     .pool = REF_MAMBA1_NO_POOL},
};
enum { N_INPUT = 5, N_CLASS = 4 };

static ref_mamba1_shape shape_of(size_t i) {
    ref_mamba1_shape s = shapes[i];
    s.eps = 1e-5;
    s.n_input = N_INPUT;
    s.n_class = N_CLASS;
    return s;
}

// ---- files ----------------------------------------------------------------------------------------------------------

enum { MAX_TENSOR = 64 };
typedef struct writer {
    uint64_t seed;
    uint32_t n;
    const char *leave_out, *misshape;
    char names[MAX_TENSOR][64];
    vkssm_named_tensor tensors[MAX_TENSOR];
} writer;

static void add(writer *w, const char *prefix, const char *name, float low, float high, uint64_t n_row,
                uint64_t n_column) {
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    if (w->leave_out && strcmp(full, w->leave_out) == 0) return;
    CHECK(w->n < MAX_TENSOR && strlen(full) < sizeof w->names[0]);
    vkssm_named_tensor *tensor = &w->tensors[w->n];
    memcpy(w->names[w->n], full, strlen(full) + 1);
    size_t n = (size_t)(n_row * (n_column ? n_column : 1));
    float *data = model_alloc(n, sizeof *data);
    for (size_t i = 0; i < n; i++)
        data[i] = check_uniform(&w->seed, low, high);
    *tensor = (vkssm_named_tensor){.name = w->names[w->n++],
                                   .dtype = VKSSM_DTYPE_F32,
                                   .n_dim = n_column ? 2 : 1,
                                   .shape = {n_row, n_column},
                                   .data = data,
                                   .size = n * sizeof *data};
    if (w->misshape && strcmp(full, w->misshape) == 0) tensor->shape[tensor->n_dim++] = 1;
}

static void add_matrix(writer *w, const char *prefix, const char *name, uint64_t n_row, uint64_t n_column) {
    float reach = 1.5f / sqrtf((float)n_column);
    add(w, prefix, name, -reach, reach, n_row, n_column);
}

static void add_core(writer *w, const ref_mamba1_shape *s, const char *prefix, const char *suffix) {
    char name[32];
    const uint32_t e = s->n_inner;
#define NAMED(format) (snprintf(name, sizeof name, format, suffix), name)
    add_matrix(w, prefix, NAMED("conv1d%s.weight"), e, s->n_tap);
    if (s->conv_bias) add(w, prefix, NAMED("conv1d%s.bias"), -0.5f, 0.5f, e, 0);
    add_matrix(w, prefix, NAMED("x_proj%s.weight"), s->n_rank + 2 * s->n_state, e);
    add_matrix(w, prefix, NAMED("dt_proj%s.weight"), e, s->n_rank);
    add(w, prefix, NAMED("dt_proj%s.bias"), -3, 0, e, 0);
    add(w, prefix, NAMED("A%s_log"), 0, 2, e, s->n_state);
    add(w, prefix, NAMED("D%s"), -1, 1, e, 0);
}

static void add_layer(writer *w, const ref_mamba1_shape *s, uint32_t i) {
    char prefix[32];
    snprintf(prefix, sizeof prefix, "layers.%u.", i);
    if (s->norm) add(w, prefix, "norm.weight", 0.5f, 1.5f, s->n_channel, 0);
    snprintf(prefix, sizeof prefix, s->named_mamba ? "mamba." : "layers.%u.mixer.", i);
    add_matrix(w, prefix, "in_proj.weight", 2 * s->n_inner, s->n_channel);
    add_matrix(w, prefix, "out_proj.weight", s->n_channel, s->n_inner);
    if (s->proj_bias) add(w, prefix, "in_proj.bias", -0.5f, 0.5f, 2 * s->n_inner, 0);
    if (s->proj_bias) add(w, prefix, "out_proj.bias", -0.5f, 0.5f, s->n_channel, 0);
    add_core(w, s, prefix, "");
    if (s->kind == REF_MAMBA1_SEPARATE) add_core(w, s, prefix, "_b");
}

// One more key of config.json, unless `instead` says it: that begins with the key.
static size_t say(char *text, size_t size, size_t at, const char *instead, const char *key, const char *value) {
    char quoted[40];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    if (strncmp(instead, quoted, strlen(quoted)) == 0) return at;
    return at + (size_t)snprintf(text + at, size - at, "%s %s, ", quoted, value);
}
static size_t say_number(char *text, size_t size, size_t at, const char *instead, const char *key, uint32_t value) {
    char number[16];
    snprintf(number, sizeof number, "%u", value);
    return say(text, size, at, instead, key, number);
}

static bool write_config(const ref_mamba1_shape *s, const char *instead) {
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {{"d_input", s->n_input},  {"d_model", s->n_channel},
                   {"n_layers", s->n_layer}, {"n_classes", s->n_class},
                   {"d_state", s->n_state},  {"d_conv", s->n_tap},
                   {"dt_rank", s->n_rank},   {"expand", s->n_inner / s->n_channel}};
    const struct {
        const char *key;
        bool value;
    } flags[] = {{"bias", s->proj_bias},
                 {"conv_bias", s->conv_bias},
                 {"norm", s->norm},
                 {"final_norm", s->final_norm},
                 {"residual", s->residual}};
    char text[1024];
    size_t at = (size_t)snprintf(text, sizeof text, "{%s", instead);
    for (size_t i = 0; i < VKS_COUNT(numbers); i++)
        at = say_number(text, sizeof text, at, instead, numbers[i].key, numbers[i].value);
    for (size_t i = 0; i < VKS_COUNT(flags); i++)
        at = say(text, sizeof text, at, instead, flags[i].key, flags[i].value ? "true" : "false");
    at = say(text, sizeof text, at, instead, "pooling", pools[s->pool]);
    at = say(text, sizeof text, at, instead, "bidirectional", kinds[s->kind]);
    at += (size_t)snprintf(text + at, sizeof text - at, "\"model_type\": \"mamba_classifier\"}");
    return files_write("config.json", text, at);
}

static bool write_model(const ref_mamba1_shape *s, const char *instead, const char *leave_out, const char *misshape) {
    writer *w = model_alloc(1, sizeof *w);
    w->seed = 3;
    w->leave_out = leave_out;
    w->misshape = misshape;
    add_matrix(w, "", "linear_in.weight", s->n_channel, s->n_input);
    add(w, "", "linear_in.bias", -0.5f, 0.5f, s->n_channel, 0);
    add_matrix(w, "", "classifier.weight", s->n_class, s->n_channel);
    add(w, "", "classifier.bias", -0.5f, 0.5f, s->n_class, 0);
    if (s->final_norm) add(w, "", "norm_f.weight", 0.5f, 1.5f, s->n_channel, 0);
    for (uint32_t i = 0; i < s->n_layer; i++)
        add_layer(w, s, i);
    CHECK_OK(vkssm_tensor_file_write(files_path("model.safetensors"), NULL, w->tensors, w->n));
    for (uint32_t i = 0; i < w->n; i++)
        free((void *)w->tensors[i].data);
    free(w);
    return write_config(s, instead);
}

// ---- against double precision ---------------------------------------------------------------------------------------

static vkssm_named_tensor features(const float *values, size_t n, size_t n_time, size_t n_input) {
    return (vkssm_named_tensor){.name = "input",
                                .dtype = VKSSM_DTYPE_F32,
                                .n_dim = n_time ? 3 : 2,
                                .shape = {n, n_time ? n_time : n_input, n_input},
                                .data = values,
                                .size = n * (n_time ? n_time : 1) * n_input * sizeof(float)};
}

static const float *output(const vkssm_tensors *tensors, const char *name, size_t n) {
    vkssm_named_tensor tensor;
    bool found = tensors && vkssm_tensors_find(tensors, name, &tensor) && tensor.size == n * sizeof(float);
    CHECK(found);
    return found ? tensor.data : NULL;
}

static void check_run(const ref_mamba1_shape *s, vkssm_model *model, const float *input, uint32_t piece_size) {
    size_t n_logit = (s->pool == REF_MAMBA1_NO_POOL ? N_TIME : 1) * N_CLASS, n_layer = N_TIME * (size_t)s->n_channel;
    vkssm_named_tensor in = features(input, N_SEQUENCE, N_TIME, N_INPUT);
    vkssm_tensors *out = NULL;
    CHECK_OK(vkssm_model_run(model, &(vkssm_run_params){.layers = true, .piece_size = piece_size}, &in, 1, &out));
    const float *logits = output(out, "logits", N_SEQUENCE * n_logit);
    double *layers = model_alloc(s->n_layer * n_layer, sizeof *layers);
    for (size_t i = 0; logits && i < N_SEQUENCE; i++) {
        double *wanted = ref_mamba1_classify(s, files_folder, input + i * N_TIME * N_INPUT, N_TIME, layers);
        CHECK(wanted != NULL);
        if (!wanted) break;
        CHECK_AT_MOST(model_gap_double(logits + i * n_logit, wanted, n_logit), REFERENCE_GAP);
        free(wanted);
        for (uint32_t k = 0; k < s->n_layer; k++) {
            char name[32];
            snprintf(name, sizeof name, "layer%u.out", k);
            const float *found = output(out, name, N_SEQUENCE * n_layer);
            if (found)
                CHECK_AT_MOST(model_gap_double(found + i * n_layer, layers + k * n_layer, n_layer), REFERENCE_GAP);
        }
    }
    free(layers);
    vkssm_tensors_destroy(&out);
}

// Scores after every frame: of the whole sequence after the last one.
static void check_stream(const ref_mamba1_shape *s, vkssm_model *model, const float *input) {
    vkssm_stream *stream = NULL;
    if (s->kind != REF_MAMBA1_FORWARD) {
        CHECK_REFUSED(vkssm_stream_create(model, NULL, &stream), VKSSM_ERR_UNSUPPORTED,
                      "bidirectional mamba_classifier");
        return;
    }
    CHECK_OK(vkssm_stream_create(model, NULL, &stream));
    for (size_t t = 0; stream && t < N_TIME; t++) {
        vkssm_named_tensor in = features(input + t * N_INPUT, 1, 0, N_INPUT);
        const vkssm_named_tensor *out = NULL;
        uint32_t n_out = 0;
        CHECK_OK(vkssm_stream_step(stream, &in, 1, &out, &n_out));
        CHECK(n_out == 1 && strcmp(out[0].name, "logits") == 0);
        if (t % 12 != 0) continue; // some of them: t + 1 frames are a sequence too
        double *wanted = ref_mamba1_classify(s, files_folder, input, t + 1, NULL);
        CHECK(wanted != NULL);
        size_t first = s->pool == REF_MAMBA1_NO_POOL ? t * N_CLASS : 0;
        if (wanted) CHECK_AT_MOST(model_gap_double(out[0].data, wanted + first, N_CLASS), REFERENCE_GAP);
        free(wanted);
    }
    vkssm_stream_destroy(&stream);
}

CHECK_CASE(random_models) {
    float *input = model_alloc(N_SEQUENCE * N_TIME * N_INPUT, sizeof *input);
    uint64_t seed = 9;
    for (size_t i = 0; i < N_SEQUENCE * N_TIME * N_INPUT; i++)
        input[i] = check_uniform(&seed, -1, 1);
    for (size_t i = 0; i < VKS_COUNT(shapes); i++) {
        ref_mamba1_shape s = shape_of(i);
        vkssm_model *model = NULL;
        CHECK(write_model(&s, "", NULL, NULL));
        CHECK_OK(vkssm_model_load(model_device, files_folder, NULL, &model));
        if (!model) break;
        check_run(&s, model, input, 0);
        check_run(&s, model, input, 10); // in pieces, where the model allows them
        check_stream(&s, model, input);
        vkssm_model_destroy(&model);
        files_clear();
    }
    free(input);
}

// ---- trained keyword spotters (MambaLite-Micro, MIT), which are not part of the project
// ------------------------------

// Recorded by their own authors in float32, with logits up to 25.
#define SPOTTER_GAP 1e-3 // absolute
enum { N_FRAME = 100, N_FEATURE = 40, MAX_CLASS = 10 };

static bool read_floats(const char *path, float *values, size_t n) {
    FILE *file = fopen(path, "rb");
    bool ok = file && fread(values, sizeof *values, n, file) == n;
    if (file) fclose(file);
    return ok;
}

static double absolute_gap(const float *found, const float *wanted, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, isnan(found[i]) ? INFINITY : fabs((double)found[i] - wanted[i]));
    return worst;
}

static void check_spotter(const char *stem, uint32_t n_class) {
    char path[1024], config[512];
    float input[N_FRAME * N_FEATURE], wanted[MAX_CLASS];
    snprintf(path, sizeof path, "%s.sample_input.f32", stem);
    CHECK(read_floats(path, input, VKS_COUNT(input)));
    snprintf(path, sizeof path, "%s.sample_logits.f32", stem);
    CHECK(read_floats(path, wanted, n_class));
    int n = snprintf(config, sizeof config,
                     "{\"model_type\": \"mamba_classifier\", \"d_input\": 40, \"d_model\": 64, \"n_layers\": 1, "
                     "\"n_classes\": %u, \"norm\": false, \"residual\": false}",
                     n_class);
    CHECK(files_write("config.json", config, (size_t)n));
    snprintf(path, sizeof path, "%s.safetensors", stem);
    CHECK(symlink(path, files_path("model.safetensors")) == 0);
    vkssm_model *model = NULL;
    vkssm_tensors *out = NULL;
    vkssm_stream *stream = NULL;
    vkssm_named_tensor in = features(input, 1, N_FRAME, N_FEATURE);
    CHECK_OK(vkssm_model_load(model_device, files_folder, NULL, &model));
    if (!model) return;
    CHECK_OK(vkssm_model_run(model, NULL, &in, 1, &out));
    const float *logits = output(out, "logits", n_class);
    double gap = logits ? absolute_gap(logits, wanted, n_class) : INFINITY;
    CHECK_OK(vkssm_stream_create(model, NULL, &stream));
    const vkssm_named_tensor *scores = NULL;
    for (size_t t = 0; stream && t < N_FRAME; t++) {
        uint32_t n_out;
        in = features(input + t * N_FEATURE, 1, 0, N_FEATURE);
        CHECK_OK(vkssm_stream_step(stream, &in, 1, &scores, &n_out));
    }
    double stream_gap = scores ? absolute_gap(scores[0].data, wanted, n_class) : INFINITY;
    printf("  %u classes: at once %.2g, frame by frame %.2g off\n", n_class, gap, stream_gap);
    CHECK_AT_MOST(gap, SPOTTER_GAP);
    CHECK_AT_MOST(stream_gap, SPOTTER_GAP);
    vkssm_stream_destroy(&stream);
    vkssm_tensors_destroy(&out);
    vkssm_model_destroy(&model);
    files_clear();
}

CHECK_CASE(keyword_spotters) {
    static const struct {
        const char *name;
        uint32_t n_class;
    } spotters[] = {{"any-10", 10}, {"esp32-3", 3}};
    const char *folder = getenv("VKSSM_TEST_EXTERNAL");
    char stem[900], first[1024];
    snprintf(first, sizeof first, "%s/mamba-kws/mambakws-any-10.safetensors", folder ? folder : "");
    if (!folder || access(first, R_OK) != 0) CHECK_SKIP("the keyword spotters are not here (VKSSM_TEST_EXTERNAL)");
    for (size_t i = 0; i < VKS_COUNT(spotters); i++) {
        snprintf(stem, sizeof stem, "%s/mamba-kws/mambakws-%s", folder, spotters[i].name);
        check_spotter(stem, spotters[i].n_class);
    }
}

// ---- refusals -------------------------------------------------------------------------------------------------------

CHECK_CASE(refused_files) {
    static const struct {
        const char *instead, *leave_out, *misshape, *message;
    } cases[] = {
        {"\"d_state\": 300, ", NULL, NULL, "key \"d_state\" is 300, expected an integer in [1, 256]"},
        {"\"dt_rank\": 25, ", NULL, NULL, "a time step rank of at most 24, the inner width, expected, 25 found"},
        {"\"dt_rank\": 4, ", NULL, NULL, "x_proj.weight: shape [20, 24] expected, [18, 24] found"},
        {"\"pooling\": \"max\", ", NULL, NULL, "key \"pooling\": one of mean, last, none expected, \"max\" found"},
        {"\"bidirectional\": true, ", NULL, NULL, "key \"bidirectional\" is true, expected a string"},
        {"\"d_input\": null, ", NULL, NULL, "key \"d_input\" is missing"},
        {"\"n_classes\": 0, ", NULL, NULL, "key \"n_classes\" is 0"},
        {"", "linear_in.bias", NULL, "tensor linear_in.bias of shape [12] expected, none found"},
        {"", "classifier.weight", NULL, "tensor classifier.weight of shape [4, 12] expected, none found"},
        {"", "layers.1.mixer.A_log", NULL, "tensor layers.1.mixer.A_log of shape [24, 8] expected, none found"},
        {"", "layers.0.norm.weight", NULL, "tensor layers.0.norm.weight of shape [12] expected, none found"},
        {"", NULL, "layers.1.mixer.conv1d.weight", "conv1d.weight: shape [24, 1, 4] expected, [24, 4, 1] found"},
        {"", NULL, "layers.0.mixer.dt_proj.weight", "dt_proj.weight: shape [24, 2] expected, [24, 2, 1] found"},
        {"\"bidirectional\": \"separate\", ", NULL, NULL, "tensor layers.0.mixer.conv1d_b.weight"},
    };
    ref_mamba1_shape s = shape_of(3); // both directions with the same weights
    for (size_t i = 0; i < VKS_COUNT(cases); i++) {
        vkssm_model *model = NULL;
        CHECK(write_model(&s, cases[i].instead, cases[i].leave_out, cases[i].misshape));
        CHECK(vkssm_model_load(model_device, files_folder, NULL, &model) != VKSSM_OK);
        CHECK_CONTAINS(vkssm_last_error(), cases[i].message);
        CHECK(!model);
        files_clear();
    }
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int result = model_main(
        argc, argv,
        (check_case[]){CHECK_RUN(random_models), CHECK_RUN(keyword_spotters), CHECK_RUN(refused_files), {0}});
    files_end();
    return result;
}

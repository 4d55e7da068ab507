// ConvS5 models with random weights against a reference in double precision: every option, the parallel form whole and
// in pieces, clips together and alone, frame by frame, and the closed loop; and what is refused.
#define _XOPEN_SOURCE 700
#include "harness/model_test.h"
#include "harness/files.h"
#include "harness/tiny_convs5.h"

// Of the largest value. float32 rounds at 6e-8; a convolution sums some hundred products, some twenty follow each
// other, and a norm magnifies what cancelled before it. The reference rounds what it hands from operator to operator
// likewise. Reached: 4e-6. The issue of how the two forms sum is within it.
#define GAP 5e-5

enum { N = 2, N_TIME = 5, N_PREDICT = 4 };

typedef struct option {
    const char *name;
    void (*set)(tiny_convs5 *t);
} option;

static void set_nothing(tiny_convs5 *t) {
    (void)t;
}
static void set_squeeze(tiny_convs5 *t) {
    t->squeeze = t->prenorm = true;
}
static void set_standard(tiny_convs5 *t) {
    t->cd = "standard";
    t->kernel_d = 1;
}
static void set_standard_squeeze(tiny_convs5 *t) {
    t->cd = "standard";
    t->squeeze = true;
}
static void set_half_glu(tiny_convs5 *t) {
    t->cd = "half_glu";
    t->clip_eigs = false;
}
static void set_diag_resnet(tiny_convs5 *t) {
    t->cd = "diag_resnet";
    t->kernel_b = 5;
    t->kernel_c = 1;
}
static void set_colours(tiny_convs5 *t) {
    t->n_channel = 3;
    t->n_block = 2;
    t->n_layer = 1;
    t->use_actions = t->no_tanh = true;
}

static const option options[] = {
    {"as published", set_nothing},     {"squeeze, prenorm", set_squeeze},
    {"standard", set_standard},        {"standard, squeeze", set_standard_squeeze},
    {"half_glu", set_half_glu},        {"diag_resnet", set_diag_resnet},
    {"colours, actions", set_colours},
};

// Frames and actions of N clips, with room for what a closed loop appends.
typedef struct clips {
    float *frames, *actions;
    size_t size; // of a frame
} clips;

enum { MAX_TIME = N_TIME + N_PREDICT };

static clips create_clips(const tiny_convs5 *t) {
    clips c = {.size = (size_t)t->height * t->width * t->n_channel};
    uint64_t seed = 5;
    c.frames = model_alloc(N * MAX_TIME * c.size, sizeof *c.frames);
    c.actions = model_alloc(N * MAX_TIME, sizeof *c.actions);
    for (size_t i = 0; i < N * MAX_TIME * c.size; i++)
        c.frames[i] = check_uniform(&seed, -1, 1);
    for (size_t i = 0; i < N * MAX_TIME; i++)
        c.actions[i] = (float)(check_random(&seed) % 5) - 1; // -1 to 3
    return c;
}

// Steps 0 ... n-1 of clips first ... first+n_clip-1, dense.
static float *cut(const float *values, size_t size, uint32_t first, uint32_t n_clip, uint32_t n) {
    float *out = model_alloc(n_clip * n * size, sizeof *out);
    for (uint32_t b = 0; b < n_clip; b++)
        memcpy(out + b * n * size, values + (size_t)(first + b) * MAX_TIME * size, n * size * sizeof *out);
    return out;
}

static vkssm_named_tensor frames_of(const tiny_convs5 *t, const float *values, uint32_t n, uint32_t n_time) {
    uint64_t size = (uint64_t)t->height * t->width * t->n_channel;
    return (vkssm_named_tensor){.name = "frames",
                                .dtype = VKSSM_DTYPE_F32,
                                .n_dim = 5,
                                .shape = {n, n_time, t->n_channel, t->height, t->width},
                                .data = values,
                                .size = n * n_time * size * sizeof(float)};
}

static vkssm_named_tensor actions_of(const float *values, uint32_t n, uint32_t n_time) {
    return (vkssm_named_tensor){.name = "actions",
                                .dtype = VKSSM_DTYPE_F32,
                                .n_dim = 2,
                                .shape = {n, n_time},
                                .data = values,
                                .size = n * n_time * sizeof(float)};
}

// ---- forms ----------------------------------------------------------------------------------------------------------

// Outputs of clips first ... against those of the reference, which has all clips.
static double gap_of(const tiny_convs5 *t, const vkssm_tensors *found, uint32_t first, uint32_t n, const float *next,
                     const float *states) {
    vkssm_named_tensor tensor;
    size_t frame = (size_t)t->height * t->width * t->n_channel,
           state = (size_t)t->height * t->width / 4 * t->n_state * 2;
    bool there = vkssm_tensors_find(found, "next", &tensor);
    CHECK(there);
    if (!there) return INFINITY;
    CHECK_EQ(tensor.size, n * N_TIME * frame * sizeof(float));
    double worst = model_gap(tensor.data, next + first * N_TIME * frame, n * N_TIME * frame);
    for (uint32_t i = 0; i < t->n_layer; i++) {
        char name[32];
        snprintf(name, sizeof name, "layer%u.state", i);
        there = vkssm_tensors_find(found, name, &tensor);
        CHECK(there);
        if (!there) return INFINITY;
        CHECK(tensor.n_dim == 4 && tensor.shape[1] == t->height / 2 && tensor.shape[3] == 2 * t->n_state);
        worst = fmax(worst, model_gap(tensor.data, states + (i * N + first) * state, n * state));
    }
    return worst;
}

static double run_gap(const tiny_convs5 *t, vkssm_model *model, const clips *c, uint32_t first, uint32_t n,
                      uint32_t piece, const float *next, const float *states) {
    float *frames = cut(c->frames, c->size, first, n, N_TIME), *actions = cut(c->actions, 1, first, n, N_TIME);
    const vkssm_named_tensor in[] = {actions_of(actions, n, N_TIME), frames_of(t, frames, n, N_TIME)};
    vkssm_tensors *out;
    CHECK_OK(vkssm_model_run(model, &(vkssm_run_params){.layers = true, .piece_size = piece}, in, 2, &out));
    double gap = out ? gap_of(t, out, first, n, next, states) : INFINITY;
    vkssm_tensors_destroy(&out);
    free(frames), free(actions);
    return gap;
}

static double stream_gap(const tiny_convs5 *t, vkssm_model *model, const clips *c, const float *next) {
    vkssm_stream *stream;
    CHECK_OK(vkssm_stream_create(model, &(vkssm_stream_params){.n_slot = N}, &stream));
    if (!stream) return INFINITY;
    float *frames = model_alloc(N * c->size, sizeof *frames), actions[N];
    double worst = 0;
    for (uint32_t k = 0; k < N_TIME; k++) {
        for (uint32_t b = 0; b < N; b++) {
            memcpy(frames + b * c->size, c->frames + (b * MAX_TIME + k) * c->size, c->size * sizeof *frames);
            actions[b] = c->actions[b * MAX_TIME + k];
        }
        vkssm_named_tensor in[] = {frames_of(t, frames, N, 1), actions_of(actions, N, 1)};
        in[0].n_dim = 4;
        memmove(in[0].shape + 1, in[0].shape + 2, 3 * sizeof *in[0].shape);
        in[1].n_dim = 1;
        const vkssm_named_tensor *out;
        CHECK_OK(vkssm_stream_step(stream, in, 2, &out, NULL));
        for (uint32_t b = 0; b < N; b++)
            worst = fmax(worst,
                         model_gap((const float *)out->data + b * c->size, next + (b * N_TIME + k) * c->size, c->size));
    }
    free(frames);
    vkssm_stream_destroy(&stream);
    return worst;
}

// The reference goes on by reading all again with its outputs behind the frames.
static double rollout_gap(const tiny_convs5 *t, vkssm_model *model, const clips *c) {
    float *frames = cut(c->frames, c->size, 0, N, N_TIME), *actions = cut(c->actions, 1, 0, N, MAX_TIME - 1);
    const vkssm_named_tensor in[] = {frames_of(t, frames, N, N_TIME), actions_of(actions, N, MAX_TIME - 1)};
    vkssm_tensors *out;
    vkssm_named_tensor rollout;
    double worst = 0;
    CHECK_OK(vkssm_model_rollout(model, NULL, N_PREDICT, in, 2, &out));
    bool there = out && vkssm_tensors_find(out, "rollout", &rollout);
    CHECK(there && rollout.size == N * N_PREDICT * c->size * sizeof(float) && rollout.shape[1] == N_PREDICT);
    for (uint32_t k = 0; there && k < N_PREDICT; k++) {
        uint32_t n_time = N_TIME + k;
        float *all = cut(c->frames, c->size, 0, N, n_time), *choices = cut(c->actions, 1, 0, N, n_time), *next, *states;
        tiny_convs5_run(t, all, choices, N, n_time, &next, &states);
        for (uint32_t b = 0; b < N; b++) {
            const float *last = next + ((size_t)b * n_time + n_time - 1) * c->size;
            memcpy(c->frames + (b * MAX_TIME + n_time) * c->size, last, c->size * sizeof *last);
            worst = fmax(worst, model_gap((const float *)rollout.data + (b * N_PREDICT + k) * c->size, last, c->size));
        }
        free(all), free(choices), free(next), free(states);
    }
    vkssm_tensors_destroy(&out);
    free(frames), free(actions);
    return worst;
}

static void check_option(const option *o) {
    tiny_convs5 t = tiny_convs5_default();
    o->set(&t);
    CHECK(tiny_convs5_write(&t, files_folder));
    vkssm_model *model = NULL;
    CHECK_OK(vkssm_model_load(model_device, files_folder, NULL, &model));
    if (!model) return;
    clips c = create_clips(&t);
    float *frames = cut(c.frames, c.size, 0, N, N_TIME), *actions = cut(c.actions, 1, 0, N, N_TIME), *next, *states;
    tiny_convs5_run(&t, frames, actions, N, N_TIME, &next, &states);
    double whole = run_gap(&t, model, &c, 0, N, 0, next, states),
           pieces = run_gap(&t, model, &c, 0, N, 2, next, states);
    double alone = run_gap(&t, model, &c, 1, 1, 0, next, states), stream = stream_gap(&t, model, &c, next);
    double rollout = rollout_gap(&t, model, &c);
    printf("  %-20s whole %.2g, pieces %.2g, alone %.2g, stream %.2g, rollout %.2g of the largest value\n", o->name,
           whole, pieces, alone, stream, rollout);
    const double gaps[] = {whole, pieces, alone, stream, rollout};
    for (size_t i = 0; i < VKS_COUNT(gaps); i++)
        CHECK_AT_MOST(gaps[i], GAP);
    free(frames), free(actions), free(next), free(states), free(c.frames), free(c.actions);
    vkssm_model_destroy(&model);
}

CHECK_CASE(every_option) {
    vkssm_device_info info;
    vkssm_device_get_info(model_device, &info);
    // SwiftShader takes long to compile the kernels of each: the first and the last one are enough there.
    size_t step = strstr(info.name, "SwiftShader") ? VKS_COUNT(options) - 1 : 1;
    for (size_t i = 0; i < VKS_COUNT(options); i += step)
        check_option(&options[i]);
}

// Activations and kernels in 16 bits: float16 rounds at 5e-4 of a value, some twenty times in a row, and norms magnify.
// Reached: 4e-3.
CHECK_CASE(halves) {
    tiny_convs5 t = tiny_convs5_default();
    CHECK(tiny_convs5_write(&t, files_folder));
    const vkssm_model_params params = {
        .convert_weights = true, .weight_dtype = VKSSM_DTYPE_F16, .activation_dtype = VKSSM_DTYPE_F16};
    vkssm_model *model = NULL;
    CHECK_OK(vkssm_model_load(model_device, files_folder, &params, &model));
    if (!model) return;
    clips c = create_clips(&t);
    float *frames = cut(c.frames, c.size, 0, N, N_TIME), *next, *states;
    tiny_convs5_run(&t, frames, NULL, N, N_TIME, &next, &states);
    double gap = run_gap(&t, model, &c, 0, N, 0, next, states);
    printf("  float16: %.2g of the largest value\n", gap);
    CHECK_AT_MOST(gap, 2e-2);
    free(frames), free(next), free(states), free(c.frames), free(c.actions);
    vkssm_model_destroy(&model);
}

// ---- what is refused ------------------------------------------------------------------------------------------------

CHECK_CASE(refused_models) {
    static const struct {
        const char *keys, *part;
    } cases[] = {
        {"\"k_B\": 2, ", "key \"k_B\": an odd kernel expected, 2 found"},
        {"\"k_D\": 64, ", "k_D"},
        {"\"encoder_depths\": [32, 40], ",
         "key \"encoder_depths\": multiples of the 32 groups of a norm expected, 40 found"},
        {"\"encoder_depths\": [], ", "key \"encoder_depths\": 1 to 8 numbers expected, 0 found"},
        {"\"decoder_depths\": [32, 32.5], ", "key \"decoder_depths\": whole numbers expected, 32.5 found"},
        {"\"decoder_depths\": [32], ", "key \"decoder_depths\": 2 numbers expected, as of the encoder, 1 found"},
        {"\"d_model\": 48, ", "key \"d_model\": a multiple of the 32 groups of a norm expected, 48 found"},
        {"\"ssm_size\": 12, ", "key \"ssm_size\": a multiple of 8 and of twice the 1 blocks expected, 12 found"},
        {"\"frame\": [7, 6, 1], ", "key \"frame\": sides that 2 divides expected, 7 x 6 found"},
        {"\"frame_range\": [1, 1], ", "key \"frame_range\": a smaller and a larger number expected, 1 and 1 found"},
        {"\"C_D_config\": \"nonlinear\", ",
         "one of resnet, standard, half_glu, diag_resnet expected, \"nonlinear\" found"},
        {"\"activation\": \"swish\", ", "key \"activation\": one of gelu_tanh expected, \"swish\" found"},
        {"\"skip_connections\": true, ", "key \"skip_connections\": false expected, true found"},
        {"\"n_layers\": 3, ", "params/sequence_model/layers_2/seq/Lambda_re of shape [8] expected, none found"},
        {"\"frame\": [8, 6, 2], ", "params/encoder/Conv_0/kernel: shape [3, 3, 2, 32] expected, [3, 3, 1, 32] found"},
    };
    tiny_convs5 t = tiny_convs5_default();
    CHECK(tiny_convs5_write(&t, files_folder));
    char *config = NULL;
    for (size_t i = 0; i < VKS_COUNT(cases); i++) {
        // The key replaces that of the same name.
        FILE *file = fopen(files_path("config.json"), "rb");
        if (!config) {
            config = model_alloc(4096, 1);
            CHECK(file && fread(config, 1, 4095, file) > 0);
        }
        if (file) fclose(file);
        char text[4600], key[64];
        snprintf(key, sizeof key, "%.*s:", (int)(strchr(cases[i].keys, ':') - cases[i].keys), cases[i].keys);
        const char *at = strstr(config, key), *end = at;
        int depth = 0;
        while (end && *end && (depth || (*end != ',' && *end != '}'))) {
            depth += *end == '[' ? 1 : *end == ']' ? -1 : 0;
            end++;
        }
        if (at)
            snprintf(text, sizeof text, "{%s%.*s%s", cases[i].keys, (int)(at - config) - 1, config + 1,
                     *end == ',' ? end + 2 : end);
        else
            snprintf(text, sizeof text, "{%s%s", cases[i].keys, config + 1);
        file = fopen(files_path("config.json"), "wb");
        CHECK(file && fputs(text, file) >= 0);
        if (file) fclose(file);
        vkssm_model *model;
        vkssm_status status = vkssm_model_load(model_device, files_folder, NULL, &model);
        CHECK(status == VKSSM_ERR_FORMAT || status == VKSSM_ERR_UNSUPPORTED);
        CHECK(!model);
        CHECK_CONTAINS(vkssm_last_error(), cases[i].part);
        vkssm_model_destroy(&model);
    }
    free(config);
}

static void refuse_run(vkssm_model *model, const vkssm_named_tensor *in, uint32_t n, uint32_t n_predict,
                       const char *part) {
    vkssm_tensors *out;
    if (n_predict)
        CHECK_REFUSED(vkssm_model_rollout(model, NULL, n_predict, in, n, &out), VKSSM_ERR_ARG, part);
    else
        CHECK_REFUSED(vkssm_model_run(model, NULL, in, n, &out), VKSSM_ERR_ARG, part);
    CHECK(!out);
}

CHECK_CASE(refused_frames) {
    tiny_convs5 t = tiny_convs5_default();
    t.use_actions = true;
    CHECK(tiny_convs5_write(&t, files_folder));
    vkssm_model *model = NULL;
    CHECK_OK(vkssm_model_load(model_device, files_folder, NULL, &model));
    if (!model) return;
    clips c = create_clips(&t);
    vkssm_named_tensor good[] = {frames_of(&t, c.frames, 1, N_TIME), actions_of(c.actions, 1, N_TIME)};
    vkssm_named_tensor in[2];
#define AGAIN memcpy(in, good, sizeof in)
    AGAIN;
    in[0].shape[3] = 6, in[0].shape[4] = 8;
    refuse_run(model, in, 2, 0,
               "tensor frames: shape [n, T, 1, 8, 6], none of them 0, expected, [1, 5, 1, 6, 8] found");
    AGAIN;
    in[0].shape[1] = 0, in[0].size = 0;
    refuse_run(model, in, 2, 0,
               "tensor frames: shape [n, T, 1, 8, 6], none of them 0, expected, [1, 0, 1, 8, 6] found");
    AGAIN;
    in[0].dtype = VKSSM_DTYPE_I32;
    refuse_run(model, in, 2, 0, "tensor frames: F32 or U8 expected, I32 found");
    AGAIN;
    c.frames[7] = 1.5f;
    refuse_run(model, in, 2, 0, "tensor frames: values from -1 to 1 expected, 1.5 found at 7");
    c.frames[7] = NAN;
    refuse_run(model, in, 2, 0, "tensor frames: values from -1 to 1 expected, ");
    c.frames[7] = 0;
    c.actions[2] = 4;
    refuse_run(model, in, 2, 0, "tensor actions: values from -1 to 3 expected, 4 found at 2");
    c.actions[2] = 1;
    refuse_run(model, in, 1, 0, "a tensor actions expected, none found among 1");
    AGAIN;
    refuse_run(model, in, 2, 2, "tensor actions: 1 sequences of 5 steps expected, 1 of 4 found");
    refuse_run(model, in, 2, 6, "tensor actions: more than 5 steps expected, 5 found");
    refuse_run(model, in, 2, 1u << 25, "rollout: 1 to 16777216 steps expected, 33554432 found");
    vkssm_tensors *out;
    CHECK_REFUSED(vkssm_model_rollout(model, NULL, 0, in, 2, &out), VKSSM_ERR_ARG,
                  "rollout: 1 to 16777216 steps expected, 0 found");
    free(c.frames), free(c.actions);
    vkssm_model_destroy(&model);
    CHECK_OK(vkssm_model_load(model_device, model_zoo("smnist-s5"), NULL, &model));
    if (!model) return;
    CHECK_REFUSED(vkssm_model_rollout(model, NULL, 2, in, 2, &out), VKSSM_ERR_ARG, "a tensor input expected");
    uint8_t pixels[4] = {0};
    const vkssm_named_tensor digit = {
        .name = "input", .dtype = VKSSM_DTYPE_U8, .n_dim = 2, .shape = {1, 4}, .data = pixels, .size = 4};
    CHECK_REFUSED(vkssm_model_rollout(model, NULL, 2, &digit, 1, &out), VKSSM_ERR_UNSUPPORTED,
                  "whose outputs can be its inputs expected, s5 found");
    vkssm_model_destroy(&model);
}

static bool stop_at_once(void *user, uint64_t done, uint64_t total) {
    uint64_t *n = user;
    CHECK(done <= total && total == (N_TIME + N_PREDICT - 1));
    return ++*n < 2;
}

// Every host allocation and every allocation of device memory of a rollout fails once; the callback stops it.
CHECK_CASE(failures) {
    tiny_convs5 t = tiny_convs5_default();
    CHECK(tiny_convs5_write(&t, files_folder));
    clips c = create_clips(&t);
    float *frames = cut(c.frames, c.size, 0, 1, N_TIME);
    vkssm_named_tensor in = frames_of(&t, frames, 1, N_TIME);
    vkssm_model *model = NULL;
    vkssm_tensors *out = NULL;
    CHECK_OK(vkssm_model_load(model_device, files_folder, NULL, &model));
    if (!model) return;
    CHECK_OK(vkssm_model_rollout(model, NULL, N_PREDICT, &in, 1, &out)); // kernels are compiled from here on
    vkssm_tensors_destroy(&out);
    uint32_t n_failed = 0;
    for (uint64_t k = 0;; k++) {
        vks_alloc_fail_after(k);
        vkssm_status status = vkssm_model_rollout(model, NULL, N_PREDICT, &in, 1, &out);
        vks_alloc_fail_after(UINT64_MAX);
        vkssm_tensors_destroy(&out);
        if (status == VKSSM_OK) break;
        CHECK_EQ(status, VKSSM_ERR_OOM_HOST);
        n_failed++;
        if (k > 10000) break;
    }
    CHECK(n_failed > 5);
    printf("  %u host allocations refused\n", n_failed);
    uint64_t n_call = 0;
    const vkssm_run_params params = {.progress = {stop_at_once, &n_call}, .piece_size = 3};
    CHECK_REFUSED(vkssm_model_rollout(model, &params, N_PREDICT, &in, 1, &out), VKSSM_ERR_CANCELLED, "cancelled after");
    CHECK(!out && n_call == 2);
    free(frames), free(c.frames), free(c.actions);
    vkssm_model_destroy(&model);
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int status = model_main(argc, argv,
                            (check_case[]){CHECK_RUN(every_option),
                                           CHECK_RUN(halves),
                                           CHECK_RUN(refused_models),
                                           CHECK_RUN(refused_frames),
                                           CHECK_RUN(failures),
                                           {0}});
    files_end();
    return status;
}

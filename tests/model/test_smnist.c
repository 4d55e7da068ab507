// smnist-s5, the trained S5 of models/zoo, against the outputs recorded when it was trained: logits of 1,000 test
// digits, and every layer's output for the first one.
//
// A CPU takes a minute or two for 1,000 digits. There each kind of device takes a part: lavapipe with subgroups of 4, 8
// and 16 as many as it is fast, so that together they read all digits, and SwiftShader a few. A GPU reads all of them.
// Under the address sanitizer it is a few everywhere: lavapipe then keeps some 100 MiB for each digit until the program
// ends.
#include "harness/model_test.h"

// Both from the recorded side, which computed in float32 on a GPU, with other sums; its own error is of this size.
// Logits are log-probabilities, up to 46 here; they were off by at most 1.7e-4.
#define LOGIT_GAP 1e-3 // absolute
#define LAYER_GAP 1e-3 // of the layer's largest value. Reached: 5e-6

// The two forms do the same sums in different orders; the same 1.7e-4 in the worst case, and twice that between them.
#define FORM_GAP 5e-4

enum { N_DIGIT = 1000, N_TIME = 784, N_CLASS = 10, N_CHANNEL = 128 };

static uint8_t *pixels;
static int32_t *labels;
static float *logits;

static bool read_golden(void) {
    const char *path = model_zoo("smnist-s5/golden.safetensors");
    size_t n_pixel = 0, n_label = 0, n_logit = 0;
    pixels = model_tensor(path, "input", VKSSM_DTYPE_U8, &n_pixel);
    labels = model_tensor(path, "labels", VKSSM_DTYPE_I32, &n_label);
    logits = model_tensor(path, "logits", VKSSM_DTYPE_F32, &n_logit);
    return n_pixel == N_DIGIT * N_TIME && n_label == N_DIGIT && n_logit == N_DIGIT * N_CLASS;
}

static vkssm_model *open_model(void) {
    vkssm_model *model;
    CHECK_OK(vkssm_model_load(model_device, model_zoo("smnist-s5"), NULL, &model));
    return model;
}

static vkssm_named_tensor input_of(uint32_t first, uint32_t n) {
    return (vkssm_named_tensor){.name = "input",
                                .dtype = VKSSM_DTYPE_U8,
                                .n_dim = 2,
                                .shape = {n, N_TIME},
                                .data = pixels + (size_t)first * N_TIME,
                                .size = (uint64_t)n * N_TIME};
}

static void digits_of_device(uint32_t *first, uint32_t *n) {
    vkssm_device_info info;
    vkssm_device_get_info(model_device, &info);
    *first = 0;
    *n = N_DIGIT;
    if (info.type != VKSSM_DEVICE_CPU) return;
    if (CHECK_SANITIZED || strstr(info.name, "SwiftShader")) {
        *n = 20;
        return;
    }
    *first = info.subgroup_size == 8 ? 700 : info.subgroup_size == 16 ? 900 : 0;
    *n = info.subgroup_size == 8 ? 200 : info.subgroup_size == 16 ? 100 : 700;
}

static double absolute_gap(const float *found, const float *wanted, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double gap = fabs((double)found[i] - wanted[i]);
        if (isnan(gap)) return INFINITY;
        if (gap > worst) worst = gap;
    }
    return worst;
}

CHECK_CASE(recorded_logits) {
    vkssm_model *model = open_model();
    vkssm_tensors *out = NULL;
    vkssm_named_tensor found;
    uint32_t first, n, n_same = 0, n_right = 0;
    digits_of_device(&first, &n);
    vkssm_named_tensor in = input_of(first, n);
    CHECK_OK(vkssm_model_run(model, NULL, &in, 1, &out));
    bool there = out && vkssm_tensors_find(out, "logits", &found);
    CHECK(there);
    if (there) {
        CHECK(found.n_dim == 2 && found.shape[0] == n && found.shape[1] == N_CLASS);
        const float *values = found.data, *wanted = logits + (size_t)first * N_CLASS;
        double gap = absolute_gap(values, wanted, (size_t)n * N_CLASS);
        for (uint32_t i = 0; i < n; i++) {
            int32_t class = model_argmax(values + (size_t)i * N_CLASS, N_CLASS);
            n_same += class == model_argmax(wanted + (size_t)i * N_CLASS, N_CLASS);
            n_right += class == labels[first + i];
        }
        printf("  digits %u to %u: gap %.2g, %u of %u predicted as recorded, %u rightly\n", first, first + n - 1, gap,
               n_same, n, n_right);
        CHECK_AT_MOST(gap, LOGIT_GAP);
        CHECK_EQ(n_same, n);
        CHECK(n_right * 100 >= n * 97); // 99.5 % of the 10,000 test digits; room for the few of a small part
    }
    vkssm_tensors_destroy(&out);
    vkssm_model_destroy(&model);
}

CHECK_CASE(recorded_layers) {
    vkssm_model *model = open_model();
    vkssm_tensors *out = NULL;
    vkssm_named_tensor in = input_of(0, 1), found;
    CHECK_OK(vkssm_model_run(model, &(vkssm_run_params){.layers = true}, &in, 1, &out));
    CHECK(out != NULL);
    for (int i = 0; out && i < 4; i++) {
        char name[32];
        size_t n = 0;
        snprintf(name, sizeof name, "layer%d.out", i);
        float *wanted = model_tensor(model_zoo("smnist-s5/golden.safetensors"), name, VKSSM_DTYPE_F32, &n);
        bool there = wanted && vkssm_tensors_find(out, name, &found);
        CHECK(there);
        CHECK_EQ(n, N_TIME * N_CHANNEL);
        if (there) CHECK_EQ(found.size, n * sizeof(float));
        if (there) CHECK_AT_MOST(model_gap(found.data, wanted, n), LAYER_GAP);
        free(wanted);
    }
    vkssm_tensors_destroy(&out);
    vkssm_model_destroy(&model);
}

// Four digits, pixel by pixel.
CHECK_CASE(stream) {
    enum { N = 4 };
    vkssm_model *model = open_model();
    vkssm_tensors *whole = NULL;
    vkssm_stream *stream = NULL;
    vkssm_named_tensor in = input_of(0, N), by_run = {0};
    CHECK_OK(vkssm_model_run(model, NULL, &in, 1, &whole));
    CHECK_OK(vkssm_stream_create(model, &(vkssm_stream_params){.n_slot = N}, &stream));
    const vkssm_named_tensor *out = NULL;
    uint32_t n_out = 0;
    uint8_t sample[N];
    vkssm_named_tensor one = {
        .name = "input", .dtype = VKSSM_DTYPE_U8, .n_dim = 1, .shape = {N}, .data = sample, .size = N};
    for (size_t t = 0; stream && t < N_TIME; t++) {
        for (size_t i = 0; i < N; i++)
            sample[i] = pixels[i * N_TIME + t];
        CHECK_OK(vkssm_stream_step(stream, &one, 1, &out, &n_out));
    }
    bool there = n_out == 1 && whole && vkssm_tensors_find(whole, "logits", &by_run);
    CHECK(there);
    if (there) {
        CHECK_STR(out[0].name, "logits");
        double gap = absolute_gap(out[0].data, logits, N * N_CLASS),
               apart = absolute_gap(out[0].data, by_run.data, N * N_CLASS);
        printf("  stream: gap %.2g, from the parallel form %.2g\n", gap, apart);
        CHECK_AT_MOST(gap, LOGIT_GAP);
        CHECK_AT_MOST(apart, FORM_GAP);
    }
    vkssm_stream_destroy(&stream);
    vkssm_tensors_destroy(&whole);
    vkssm_model_destroy(&model);
}

// A byte and its 255th part as float32 are the same input; so is [n, T, 1] for [n, T].
CHECK_CASE(input_forms) {
    enum { N = 2 };
    vkssm_model *model = open_model();
    vkssm_model_info info;
    vkssm_model_get_info(model, &info);
    CHECK_EQ(info.n_parameter, 200970); // as the training script counts them
    vkssm_tensors *by_bytes = NULL, *by_floats = NULL;
    vkssm_named_tensor in = input_of(0, N), a, b;
    float *values = model_alloc(N * N_TIME, sizeof *values);
    for (size_t i = 0; i < N * N_TIME; i++)
        values[i] = (float)pixels[i] / 255;
    vkssm_named_tensor others[] = {
        {.name = "labels", .dtype = VKSSM_DTYPE_I32, .n_dim = 1, .shape = {1}, .data = labels, .size = 4},
        {.name = "input",
         .dtype = VKSSM_DTYPE_F32,
         .n_dim = 3,
         .shape = {N, N_TIME, 1},
         .data = values,
         .size = N * N_TIME * sizeof *values}};
    CHECK_OK(vkssm_model_run(model, NULL, &in, 1, &by_bytes));
    CHECK_OK(vkssm_model_run(model, NULL, others, 2, &by_floats));
    bool there = by_bytes && by_floats && vkssm_tensors_find(by_bytes, "logits", &a) &&
                 vkssm_tensors_find(by_floats, "logits", &b);
    CHECK(there);
    if (there) CHECK(a.size == b.size && memcmp(a.data, b.data, a.size) == 0);
    free(values);
    vkssm_tensors_destroy(&by_bytes);
    vkssm_tensors_destroy(&by_floats);
    vkssm_model_destroy(&model);
}

int main(int argc, char **argv) {
    if (!read_golden()) return 1;
    int status = model_main(
        argc, argv,
        (check_case[]){
            CHECK_RUN(recorded_logits), CHECK_RUN(recorded_layers), CHECK_RUN(stream), CHECK_RUN(input_forms), {0}});
    free(pixels), free(labels), free(logits);
    return status;
}

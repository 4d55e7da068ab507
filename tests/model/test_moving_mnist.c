// moving-mnist-convs5, the trained ConvS5 of models/zoo, against the outputs recorded when it was trained: the next
// frames of 20 steps, the last states, and 40 frames of the closed loop, of which the mean squared error is compared
// too.
//
// A CPU takes a quarter of a second for a frame. One kind of device (lavapipe with subgroups of 8) runs all of it, the
// other CPU devices and the sanitizers a few frames, which are recorded just the same: a frame depends on those before
// it only. A GPU runs all of it.
#include "harness/model_test.h"

// The recorded side computed in float32 on a GPU, with other sums. In the closed loop differences grow from frame to
// frame.
#define NEXT_GAP 2e-3    // absolute. Reached: 8e-5
#define STATE_GAP 1e-3   // of the largest value. Reached: 8e-6
#define ROLLOUT_GAP 1e-2 // absolute, of the first 10 frames. Reached: 8e-5
#define ERROR_GAP 0.02   // of a frame's recorded mean squared error, of all 40. Reached: 2e-4
#define FORM_GAP 1e-4    // between parallel and recurrent form. Reached: 5e-6

enum { CONDITION = 20, PREDICT = 40, N_PIXEL = 64 * 64, N_CLIP = 2, N_LATENT = 16 * 16, N_STATE = 32, N_LAYER = 3 };

static uint8_t *frames; // [60, 2, 4096]
static float *next, *rollout;

static bool read_golden(void) {
    const char *path = model_zoo("moving-mnist-convs5/golden.safetensors");
    size_t n_frame = 0, n_next = 0, n_rollout = 0;
    frames = model_tensor(path, "frames", VKSSM_DTYPE_U8, &n_frame);
    next = model_tensor(path, "next", VKSSM_DTYPE_F32, &n_next);
    rollout = model_tensor(path, "rollout", VKSSM_DTYPE_F32, &n_rollout);
    return n_frame == (CONDITION + PREDICT) * N_CLIP * N_PIXEL && n_next == CONDITION * N_PIXEL &&
           n_rollout == PREDICT * N_PIXEL;
}

static bool runs_all(void) {
    vkssm_device_info info;
    vkssm_device_get_info(model_device, &info);
    if (CHECK_SANITIZED) return false;
    return info.type != VKSSM_DEVICE_CPU || (info.subgroup_size == 8 && !strstr(info.name, "SwiftShader"));
}

static vkssm_model *open_model(void) {
    vkssm_model *model;
    CHECK_OK(vkssm_model_load(model_device, model_zoo("moving-mnist-convs5"), NULL, &model));
    return model;
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

// Against the true frame, values from -1 to 1, in units of the whole range.
static double error_of(const float *values, uint32_t frame) {
    double sum = 0;
    for (size_t i = 0; i < N_PIXEL; i++) {
        double truth = frames[(size_t)frame * N_CLIP * N_PIXEL + i] / 127.5 - 1;
        double gap = (fmax(fmin((double)values[i], 1), -1) - truth) / 2;
        sum += gap * gap;
    }
    return sum / N_PIXEL;
}

// The first n frames of clip 0, dense.
static vkssm_named_tensor clip_of(uint8_t *place, uint32_t n) {
    for (uint32_t t = 0; t < n; t++)
        memcpy(place + (size_t)t * N_PIXEL, frames + (size_t)t * N_CLIP * N_PIXEL, N_PIXEL);
    return (vkssm_named_tensor){.name = "frames",
                                .dtype = VKSSM_DTYPE_U8,
                                .n_dim = 5,
                                .shape = {1, n, 1, 64, 64},
                                .data = place,
                                .size = (uint64_t)n * N_PIXEL};
}

static void check_state(const vkssm_tensors *out, int layer) {
    char name[32];
    size_t n_re = 0, n_im = 0;
    vkssm_named_tensor found;
    const char *path = model_zoo("moving-mnist-convs5/golden.safetensors");
    snprintf(name, sizeof name, "layer%d.state", layer);
    bool there = vkssm_tensors_find(out, name, &found) && found.size == 2 * N_STATE * N_LATENT * sizeof(float);
    CHECK(there);
    snprintf(name, sizeof name, "layer%d.state_re", layer);
    float *re = model_tensor(path, name, VKSSM_DTYPE_F32, &n_re);
    snprintf(name, sizeof name, "layer%d.state_im", layer);
    float *im = model_tensor(path, name, VKSSM_DTYPE_F32, &n_im);
    CHECK(n_re == N_STATE * N_LATENT && n_im == n_re);
    if (there && n_re == N_STATE * N_LATENT && n_im == n_re) {
        float *wanted = model_alloc(2 * n_re, sizeof *wanted); // channels last, real and imaginary part side by side
        for (size_t i = 0; i < n_re; i++) {
            size_t at = 2 * (i % N_LATENT * N_STATE + i / N_LATENT);
            wanted[at] = re[i];
            wanted[at + 1] = im[i];
        }
        double gap = model_gap(found.data, wanted, 2 * n_re);
        printf("  state of layer %d: %.2g of the largest value\n", layer, gap);
        CHECK_AT_MOST(gap, STATE_GAP);
        free(wanted);
    }
    free(re), free(im);
}

static void check_rollout(const vkssm_tensors *out) {
    vkssm_named_tensor found;
    bool there = vkssm_tensors_find(out, "rollout", &found) && found.size == PREDICT * N_PIXEL * sizeof(float);
    CHECK(there);
    if (!there) return;
    const float *values = found.data;
    double gap = absolute_gap(values, rollout, 10 * N_PIXEL), worst = 0;
    for (uint32_t k = 0; k < PREDICT; k++) {
        double wanted = error_of(rollout + (size_t)k * N_PIXEL, CONDITION + k);
        worst = fmax(worst, fabs(error_of(values + (size_t)k * N_PIXEL, CONDITION + k) / wanted - 1));
    }
    printf("  rollout: gap of the first 10 frames %.2g; errors of all within %.2g of the recorded ones\n", gap, worst);
    CHECK_AT_MOST(gap, ROLLOUT_GAP);
    CHECK_AT_MOST(worst, ERROR_GAP);
}

static void check_recorded(void) {
    vkssm_model *model = open_model();
    vkssm_tensors *out = NULL;
    vkssm_named_tensor found;
    bool all = runs_all();
    uint32_t n = all ? CONDITION : 3;
    uint8_t *place = model_alloc(CONDITION * N_PIXEL, 1);
    vkssm_named_tensor in = clip_of(place, n);
    const vkssm_run_params params = {.layers = true};
    CHECK_OK(all ? vkssm_model_rollout(model, &params, PREDICT, &in, 1, &out)
                 : vkssm_model_run(model, &params, &in, 1, &out));
    bool there = out && vkssm_tensors_find(out, "next", &found) && found.size == n * N_PIXEL * sizeof(float);
    CHECK(there);
    if (there) {
        double gap = absolute_gap(found.data, next, (size_t)n * N_PIXEL);
        printf("  next: gap of %u frames %.2g\n", n, gap);
        CHECK_AT_MOST(gap, NEXT_GAP);
    }
    for (int i = 0; all && out && i < N_LAYER; i++)
        check_state(out, i);
    if (all && out) check_rollout(out);
    vkssm_tensors_destroy(&out);
    vkssm_model_destroy(&model);
    free(place);
}

// Frame by frame gives what the parallel form gives, and so do pieces of time.
static void check_forms(void) {
    enum { N = 3 };
    vkssm_model *model = open_model();
    vkssm_stream *stream = NULL;
    vkssm_tensors *pieces = NULL;
    vkssm_named_tensor found;
    uint8_t *place = model_alloc(N * N_PIXEL, 1);
    vkssm_named_tensor in = clip_of(place, N);
    CHECK_OK(vkssm_model_run(model, &(vkssm_run_params){.piece_size = 2}, &in, 1, &pieces));
    CHECK_OK(vkssm_stream_create(model, NULL, &stream));
    bool there = pieces && vkssm_tensors_find(pieces, "next", &found);
    CHECK(there);
    double gap = 0;
    for (uint32_t t = 0; there && stream && t < N; t++) {
        const vkssm_named_tensor *given;
        vkssm_named_tensor step = {.name = "frames",
                                   .dtype = VKSSM_DTYPE_U8,
                                   .n_dim = 4,
                                   .shape = {1, 1, 64, 64},
                                   .data = place + (size_t)t * N_PIXEL,
                                   .size = N_PIXEL};
        CHECK_OK(vkssm_stream_step(stream, &step, 1, &given, NULL));
        gap = fmax(gap, absolute_gap(given->data, (const float *)found.data + (size_t)t * N_PIXEL, N_PIXEL));
    }
    printf("  %d frames in pieces and one by one: gap %.2g\n", N, gap);
    CHECK_AT_MOST(gap, FORM_GAP);
    vkssm_stream_destroy(&stream);
    vkssm_tensors_destroy(&pieces);
    vkssm_model_destroy(&model);
    free(place);
}

static void run_golden(void (*run)(void)) {
    if (!frames && !read_golden()) {
        CHECK_FAIL("expected the recorded tensors in models/zoo/moving-mnist-convs5");
        return;
    }
    run();
}
CHECK_CASE(recorded) {
    run_golden(check_recorded);
}
// (By then the configuration that the model was made from is gone, and its log with it.)
CHECK_CASE(too_many_at_once) {
    vkssm_model *model = open_model();
    vkssm_stream *stream = NULL;
    if (!model) return;
    CHECK_REFUSED(vkssm_stream_create(model, &(vkssm_stream_params){.n_slot = 3000}, &stream), VKSSM_ERR_UNSUPPORTED,
                  "frames at once expected for this model, 3000 found");
    vkssm_model_destroy(&model);
}
// Convolutions read no block types: their kernels are float16 then, which changes the next frame by less than 0.05.
CHECK_CASE(block_types) {
    if (!runs_all()) CHECK_SKIP("tested on one device: types are chosen on the host");
    const vkssm_model_params q8_0 = {.weight_dtype = VKSSM_DTYPE_Q8_0, .convert_weights = true};
    static float frame[N_PIXEL];
    for (size_t i = 0; i < N_PIXEL; i++)
        frame[i] = i / 64 % 32 < 8 && i % 64 < 12 ? 1 : -1;
    const vkssm_named_tensor in = {.name = "frames",
                                   .dtype = VKSSM_DTYPE_F32,
                                   .n_dim = 5,
                                   .shape = {1, 1, 1, 64, 64},
                                   .data = frame,
                                   .size = sizeof frame};
    vkssm_tensors *out[2] = {NULL, NULL};
    vkssm_named_tensor found[2];
    for (int i = 0; i < 2; i++) {
        vkssm_model *model = NULL;
        CHECK_OK(vkssm_model_load(model_device, model_zoo("moving-mnist-convs5"), i ? &q8_0 : NULL, &model));
        if (model) CHECK_OK(vkssm_model_run(model, NULL, &in, 1, &out[i]));
        vkssm_model_destroy(&model);
    }
    bool both = out[0] && out[1] && vkssm_tensors_find(out[0], "next", &found[0]) &&
                vkssm_tensors_find(out[1], "next", &found[1]);
    CHECK(both);
    if (both) CHECK_AT_MOST(absolute_gap(found[1].data, found[0].data, N_PIXEL), 0.05);
    vkssm_tensors_destroy(&out[0]);
    vkssm_tensors_destroy(&out[1]);
}
CHECK_CASE(forms_agree) {
    run_golden(check_forms);
}

int main(int argc, char **argv) {
    int status = model_main(
        argc, argv,
        (check_case[]){
            CHECK_RUN(recorded), CHECK_RUN(too_many_at_once), CHECK_RUN(block_types), CHECK_RUN(forms_agree), {0}});
    free(frames), free(next), free(rollout);
    return status;
}

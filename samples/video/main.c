// Predict video with models/zoo/moving-mnist-convs5: read 20 frames of a clip, let the model go on by itself for 40,
// and write what it saw and foresaw: an animated picture, and a sheet of all predicted frames beside the true ones.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <vkssm/vkssm.h>

#include "pictures.h"

enum { SIDE = 64, N_PIXEL = SIDE * SIDE, CONDITION = 20, PREDICT = 40, N_FRAME = CONDITION + PREDICT };
enum { COLUMNS = 10, GAP = 4 }; // of the sheet
static const uint8_t dark[3] = {40, 40, 48}, reading[3] = {60, 160, 90}, predicting[3] = {210, 110, 50};

typedef struct clip {
    uint8_t truth[N_FRAME][N_PIXEL];
    uint8_t predicted[N_FRAME][N_PIXEL], difference[N_FRAME][N_PIXEL]; // of frame 0 nothing is predicted
    double error[N_FRAME];                                             // mean square of values from 0 to 1
} clip;

static double seconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool show_progress(void *user, uint64_t done, uint64_t total) {
    (void)user;
    const int width = 40;
    int n = (int)(done * (uint64_t)width / total);
    if (isatty(2))
        fprintf(stderr, "\r[%.*s%*s] %3u/%u frames%s", n, "########################################", width - n, "",
                (unsigned)done, (unsigned)total, done == total ? "\r\033[K" : "");
    return true;
}

// Clip `index` of frames [T, n, 1, 64, 64], 8-bit.
static bool find_clip(const char *path, uint32_t index, clip *c) {
    vkssm_tensor_file *file;
    vkssm_named_tensor frames;
    if (vkssm_tensor_file_open(path, NULL, &file)) {
        fprintf(stderr, "%s\n", vkssm_last_error());
        return false;
    }
    bool ok = vkssm_tensor_file_find(file, "frames", &frames) && frames.dtype == VKSSM_DTYPE_U8 && frames.n_dim == 5 &&
              frames.shape[0] >= N_FRAME && frames.shape[1] > index && frames.shape[2] == 1 &&
              frames.shape[3] == SIDE && frames.shape[4] == SIDE;
    for (uint64_t t = 0; ok && t < N_FRAME; t++)
        memcpy(c->truth[t], (const uint8_t *)frames.data + (t * frames.shape[1] + index) * N_PIXEL, N_PIXEL);
    if (!ok)
        fprintf(stderr, "%s: a tensor frames [at least %d, more than %u, 1, 64, 64] U8 expected, none found\n", path,
                N_FRAME, (unsigned)index);
    vkssm_tensor_file_destroy(&file);
    return ok;
}

// A frame of values from -1 to 1, and how far it is from the true one.
static void take_frame(clip *c, uint32_t t, const float *values) {
    double sum = 0;
    for (int i = 0; i < N_PIXEL; i++) {
        float value = fminf(fmaxf((values[i] + 1) / 2, 0), 1);
        double gap = (double)value - c->truth[t][i] / 255.0;
        c->predicted[t][i] = (uint8_t)lrintf(255 * value);
        c->difference[t][i] = (uint8_t)lrint(255 * fabs(gap));
        sum += gap * gap;
    }
    c->error[t] = sum / N_PIXEL;
}

// "next" of step t is frame t+1; the rollout's first frame is the one after the last that was read.
static bool predict(vkssm_model *model, clip *c) {
    vkssm_named_tensor next, rollout,
        frames = {.name = "frames",
                  .dtype = VKSSM_DTYPE_U8,
                  .n_dim = 5,
                  .shape = {1, CONDITION, 1, SIDE, SIDE},
                  .data = c->truth,
                  .size = CONDITION * N_PIXEL};
    const vkssm_run_params params = {.progress = {show_progress, NULL}, .piece_size = 4};
    vkssm_tensors *out;
    if (vkssm_model_rollout(model, &params, PREDICT, &frames, 1, &out)) {
        fprintf(stderr, "%s\n", vkssm_last_error());
        return false;
    }
    bool ok = vkssm_tensors_find(out, "next", &next) && vkssm_tensors_find(out, "rollout", &rollout) &&
              next.size == sizeof(float) * CONDITION * N_PIXEL && rollout.size == sizeof(float) * PREDICT * N_PIXEL;
    for (uint32_t t = 1; ok && t < N_FRAME; t++)
        take_frame(c, t,
                   t < CONDITION ? (const float *)next.data + (size_t)(t - 1) * N_PIXEL
                                 : (const float *)rollout.data + (size_t)(t - CONDITION) * N_PIXEL);
    if (!ok) fprintf(stderr, "outputs next and rollout of 64 x 64 frames expected, something else found\n");
    vkssm_tensors_destroy(&out);
    return ok;
}

// ---- pictures -------------------------------------------------------------------------------------------------------

// Truth, prediction and difference side by side, on green while the model reads, on orange when it goes on by itself.
static bool write_animation(const char *path, const clip *c) {
    const uint32_t scale = 3, size = SIDE * scale;
    picture pictures[N_FRAME] = {{0}};
    bool ok = true;
    for (uint32_t t = 0; ok && t < N_FRAME; t++) {
        const uint8_t *panels[] = {c->truth[t], c->predicted[t], c->difference[t]};
        ok = picture_create(3 * size + 4 * GAP, size + 2 * GAP, t < CONDITION ? reading : predicting, &pictures[t]);
        for (uint32_t i = 0; ok && i < 3; i++)
            picture_draw(&pictures[t], GAP + i * (size + GAP), GAP, scale, SIDE, panels[i]);
    }
    ok = ok && pictures_write(path, pictures, N_FRAME, 120);
    for (uint32_t t = 0; t < N_FRAME; t++)
        picture_destroy(&pictures[t]);
    return ok;
}

// The predicted frames in bands of ten: the true ones, below them the predicted ones, below them the differences.
static bool write_sheet(const char *path, const clip *c) {
    const uint32_t scale = 2, size = SIDE * scale + GAP, n_band = (PREDICT + COLUMNS - 1) / COLUMNS;
    const uint32_t band = 3 * size + 2 * GAP;
    picture sheet;
    bool ok = picture_create(COLUMNS * size + GAP, n_band * band, dark, &sheet);
    for (uint32_t k = 0; ok && k < PREDICT; k++) {
        uint32_t t = CONDITION + k, x = GAP + k % COLUMNS * size, y = GAP + k / COLUMNS * band;
        picture_draw(&sheet, x, y, scale, SIDE, c->truth[t]);
        picture_draw(&sheet, x, y + size, scale, SIDE, c->predicted[t]);
        picture_draw(&sheet, x, y + 2 * size, scale, SIDE, c->difference[t]);
    }
    ok = ok && pictures_write(path, &sheet, 1, 0);
    picture_destroy(&sheet);
    return ok;
}

static void report(const clip *c, double time) {
    printf("mean squared error of the predicted frames (values from 0 to 1):\n");
    for (uint32_t k = 0; k < PREDICT; k++)
        printf("%6u: %.4f%s", (unsigned)k + 1, c->error[CONDITION + k], k % 5 == 4 ? "\n" : "");
    printf("%d frames read and %d predicted in %.3g s: %.3g frames/s\n", CONDITION, PREDICT, time,
           (N_FRAME - 1) / time); // the first predicted frame is the output for the last one read
}

static bool run(const char *model_path, const char *out, uint32_t index, clip *c) {
    vkssm_device *device = NULL;
    vkssm_model *model = NULL;
    vkssm_device_info info;
    char path[4096];
    snprintf(path, sizeof path, "%s/golden.safetensors", model_path);
    if (!find_clip(path, index, c)) return false;
    bool ok = !vkssm_device_create(NULL, &device) && !vkssm_model_load(device, model_path, NULL, &model);
    if (ok) {
        vkssm_device_get_info(device, &info);
        printf("on %s\n", info.name);
        double begin = seconds();
        ok = predict(model, c);
        if (ok) report(c, seconds() - begin);
    } else {
        fprintf(stderr, "%s\n", vkssm_last_error());
    }
    vkssm_model_destroy(&model);
    vkssm_device_destroy(&device);
    snprintf(path, sizeof path, "%s.png", out);
    ok = ok && write_animation(path, c);
    if (ok) printf("%s: truth, prediction and difference, animated\n", path);
    snprintf(path, sizeof path, "%s-sheet.png", out);
    ok = ok && write_sheet(path, c);
    if (ok) printf("%s: the predicted frames, ten a band: truth, prediction, difference\n", path);
    return ok;
}

int main(int argc, char **argv) {
    char *end = "";
    unsigned long index = argc > 3 ? strtoul(argv[3], &end, 10) : 0;
    if (argc < 2 || argc > 4 || *end || index > 1000000) {
        fprintf(stderr, "usage: video MODEL-FOLDER [OUT [CLIP]]\n\nwrites OUT.png and OUT-sheet.png; default: video\n");
        return 2;
    }
    clip *c = calloc(1, sizeof *c);
    if (!c) {
        fprintf(stderr, "out of memory\n");
        return 1;
    }
    bool ok = run(argv[1], argc > 2 ? argv[2] : "video", (uint32_t)index, c);
    free(c);
    return !ok;
}

// Classify handwritten digits with a model that reads them pixel by pixel (models/zoo/smnist-s5), show a few of them as
// text, and print the accuracy and the time that a digit takes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <vkssm/vkssm.h>

enum { SIDE = 28, N_PIXEL = SIDE * SIDE, N_CLASS = 10, BATCH = 100, SHOWN = 3 };

typedef struct digits {
    const uint8_t *pixels; // [n, 784]
    const uint8_t *labels; // [n] I32, as bytes: data of a file need not be aligned
    uint32_t n;
    int *predicted; // [n]
} digits;

static double seconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int label(const digits *d, uint32_t i) {
    int32_t value;
    memcpy(&value, d->labels + 4 * (size_t)i, 4);
    return value;
}

static bool find_digits(const vkssm_tensor_file *file, digits *d) {
    vkssm_named_tensor input, labels;
    bool ok = vkssm_tensor_file_find(file, "input", &input) && vkssm_tensor_file_find(file, "labels", &labels) &&
              input.dtype == VKSSM_DTYPE_U8 && input.n_dim == 2 && input.shape[1] == N_PIXEL && input.shape[0] > 0 &&
              input.shape[0] < 1000000 && labels.dtype == VKSSM_DTYPE_I32 && labels.n_dim == 1 &&
              labels.shape[0] == input.shape[0];
    if (!ok) return false;
    *d = (digits){.pixels = input.data, .labels = labels.data, .n = (uint32_t)input.shape[0]};
    return true;
}

// Run digits first ... first+n-1, and keep the most probable class of each.
static bool classify(vkssm_model *model, digits *d, uint32_t first, uint32_t n) {
    vkssm_named_tensor logits, input = {.name = "input",
                                        .dtype = VKSSM_DTYPE_U8,
                                        .n_dim = 2,
                                        .shape = {n, N_PIXEL},
                                        .data = d->pixels + (size_t)first * N_PIXEL,
                                        .size = (uint64_t)n * N_PIXEL};
    vkssm_tensors *outputs;
    if (vkssm_model_run(model, NULL, &input, 1, &outputs)) {
        fprintf(stderr, "%s\n", vkssm_last_error());
        return false;
    }
    bool ok = vkssm_tensors_find(outputs, "logits", &logits) && logits.size == (uint64_t)n * N_CLASS * sizeof(float);
    for (uint32_t i = 0; ok && i < n; i++) {
        const float *row = (const float *)logits.data + (size_t)i * N_CLASS;
        int best = 0;
        for (int c = 1; c < N_CLASS; c++)
            if (row[c] > row[best]) best = c;
        d->predicted[first + i] = best;
    }
    if (!ok) fprintf(stderr, "expected an output logits [%u, 10], found something else\n", (unsigned)n);
    vkssm_tensors_destroy(&outputs);
    return ok;
}

// Digits side by side, two rows of pixels a line, and what they are and were taken for.
static void show(const digits *d, const uint32_t *which, int n) {
    static const char shades[] = " .:-=+*#%@";
    for (int y = 2; y < SIDE - 2; y += 2) {
        for (int k = 0; k < n; k++) {
            const uint8_t *p = d->pixels + (size_t)which[k] * N_PIXEL + (size_t)y * SIDE;
            for (int x = 0; x < SIDE; x++)
                putchar(shades[(p[x] + p[x + SIDE]) * 9 / 510]);
        }
        putchar('\n');
    }
    for (int k = 0; k < n; k++) {
        char text[32];
        snprintf(text, sizeof text, "a %d, taken for a %d", label(d, which[k]), d->predicted[which[k]]);
        printf("%*s%-*s", 4, "", SIDE - 4, text);
    }
    printf("\n\n");
}

static void report(const digits *d, uint32_t n, double time) {
    uint32_t which[SHOWN], n_right = 0;
    int n_shown = 0;
    for (uint32_t i = 0; i < n; i++)
        n_right += d->predicted[i] == label(d, i);
    while (n_shown < SHOWN && (uint32_t)n_shown < n) {
        which[n_shown] = (uint32_t)n_shown;
        n_shown++;
    }
    show(d, which, n_shown);
    n_shown = 0;
    for (uint32_t i = 0; i < n && n_shown < SHOWN; i++)
        if (d->predicted[i] != label(d, i)) which[n_shown++] = i;
    if (n_shown) show(d, which, n_shown);
    printf("%u of %u digits right (%.1f %%), %.3g ms a digit of %d pixels\n", (unsigned)n_right, (unsigned)n,
           100.0 * n_right / n, 1e3 * time / n, N_PIXEL);
}

static bool run(vkssm_model *model, digits *d, uint32_t n) {
    d->predicted = malloc(n * sizeof *d->predicted);
    if (!d->predicted) return false;
    // The first batch compiles the kernels; it is not timed.
    if (!classify(model, d, 0, n < BATCH ? n : BATCH)) return false;
    double begin = seconds();
    for (uint32_t done = 0; done < n;) {
        uint32_t part = n - done < BATCH ? n - done : BATCH;
        if (!classify(model, d, done, part)) return false;
        done += part;
    }
    report(d, n, seconds() - begin);
    return true;
}

int main(int argc, char **argv) {
    long wanted = argc == 3 ? strtol(argv[2], NULL, 10) : 1000000;
    if (argc < 2 || argc > 3 || wanted < 1) {
        fprintf(stderr, "usage: digits MODEL-FOLDER [NUMBER OF DIGITS]\n");
        return 2;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/golden.safetensors", argv[1]);
    vkssm_device *device = NULL;
    vkssm_model *model = NULL;
    vkssm_tensor_file *file = NULL;
    digits d = {0};
    vkssm_device_info info;
    bool ok = !vkssm_device_create(NULL, &device) && !vkssm_model_load(device, argv[1], NULL, &model) &&
              !vkssm_tensor_file_open(path, NULL, &file);
    if (!ok) {
        fprintf(stderr, "%s\n", vkssm_last_error());
    } else if (!find_digits(file, &d)) {
        fprintf(stderr, "%s: expected tensors input [n, 784] U8 and labels [n] I32\n", path);
        ok = false;
    } else {
        vkssm_device_get_info(device, &info);
        printf("on %s\n\n", info.name);
        ok = run(model, &d, (uint64_t)wanted < d.n ? (uint32_t)wanted : d.n);
    }
    free(d.predicted);
    vkssm_tensor_file_destroy(&file);
    vkssm_model_destroy(&model);
    vkssm_device_destroy(&device);
    return !ok;
}

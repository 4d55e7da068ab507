#include "model_test.h"

#include "host/base/half.h"

vkssm_device *model_device;
model_heard model_log;

static bool with_validation = true;

// ---- the device -----------------------------------------------------------------------------------------------------

static void hear(void *user, vkssm_log_level level, const char *message) {
    (void)user;
    if (strncmp(message, "validation:", 11) == 0) {
        if (++model_log.n_validation <= 3) printf("  %s\n", message);
        return; // the layer's own messages have many lines
    }
    if (strpbrk(message, "\r\n")) model_log.n_ragged++;
    if (level == VKSSM_LOG_WARNING) printf("  log: %s\n", message);
    if (level != VKSSM_LOG_ERROR) return;
    model_log.n_error++;
    snprintf(model_log.last_error, sizeof model_log.last_error, "%s", message);
}

vkssm_device_params model_device_params(void) {
    return (vkssm_device_params){
        .log = {.callback = hear, .max_level = VKSSM_LOG_WARNING},
        .select = getenv("VKSSM_TEST_DEVICE"),
        .validation = with_validation,
    };
}

static vkssm_status open_device(void) {
    vkssm_device_params params = model_device_params();
    vkssm_status status = vkssm_device_create(&params, &model_device);
    if (status == VKSSM_OK || !strstr(vkssm_last_error(), "validation")) return status;
    printf("without validation: %s\n", vkssm_last_error());
    params.validation = with_validation = false;
    return vkssm_device_create(&params, &model_device);
}

bool model_open_device(void) {
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (open_device() != VKSSM_OK) {
        printf("skip: no device to test on: %s\n", vkssm_last_error());
        return false;
    }
    vkssm_device_info info;
    vkssm_device_get_info(model_device, &info);
    printf("device: %s, subgroup size %u\n", info.name, info.subgroup_size);
    return true;
}

// ---- files ----------------------------------------------------------------------------------------------------------

const char *model_path(const char *folder, const char *name) {
    static char paths[8][1024];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *under(const char *variable, const char *name) {
    const char *folder = getenv(variable);
    if (folder) return model_path(folder, name);
    printf("the environment variable %s is not set\n", variable);
    exit(1);
}

const char *model_data(const char *name) {
    return under("VKSSM_TEST_DATA", name);
}

const char *model_zoo(const char *name) {
    return under("VKSSM_ZOO", name);
}

void *model_alloc(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (memory) return memory;
    printf("out of memory: %zu x %zu bytes\n", count, size);
    exit(1);
}

void *model_tensor(const char *path, const char *name, vkssm_dtype dtype, size_t *n) {
    vkssm_tensor_file *file;
    vkssm_named_tensor tensor;
    void *data = NULL;
    *n = 0;
    if (vkssm_tensor_file_open(path, NULL, &file) != VKSSM_OK) {
        printf("  %s\n", vkssm_last_error());
        return NULL;
    }
    if (vkssm_tensor_file_find(file, name, &tensor) && tensor.dtype == dtype) {
        data = model_alloc((size_t)tensor.size, 1);
        memcpy(data, tensor.data, (size_t)tensor.size);
        *n = (size_t)tensor.size / vkssm_dtype_size(dtype);
    } else {
        printf("  %s: tensor %s of type %s expected, none found\n", path, name, vkssm_dtype_name(dtype));
    }
    vkssm_tensor_file_destroy(&file);
    return data;
}

double model_element(const vkssm_named_tensor *tensor, uint64_t i) {
    float value;
    uint16_t half;
    const uint8_t *data = tensor->data;
    if (tensor->dtype == VKSSM_DTYPE_F32) {
        memcpy(&value, data + 4 * i, 4);
        return value;
    }
    memcpy(&half, data + 2 * i, 2);
    return tensor->dtype == VKSSM_DTYPE_F16 ? vks_f16_to_f32(half) : vks_bf16_to_f32(half);
}

// ---- numbers --------------------------------------------------------------------------------------------------------

static double gap_of(const float *found, const float *wanted, const double *wanted_double, size_t n) {
    double gap = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        double w = wanted ? wanted[i] : wanted_double[i], d = fabs(found[i] - w);
        if (!isfinite(d)) return INFINITY;
        gap = fmax(gap, d);
        largest = fmax(largest, fabs(w));
    }
    return largest > 0 ? gap / largest : gap;
}

double model_gap(const float *found, const float *wanted, size_t n) {
    return gap_of(found, wanted, NULL, n);
}

double model_gap_double(const float *found, const double *wanted, size_t n) {
    return gap_of(found, NULL, wanted, n);
}

int32_t *model_tokens(uint64_t seed, size_t n, uint32_t n_vocab) {
    int32_t *tokens = model_alloc(n, sizeof *tokens);
    for (size_t i = 0; i < n; i++)
        tokens[i] = (int32_t)(check_random(&seed) % n_vocab);
    return tokens;
}

int32_t model_argmax(const float *logits, uint32_t n_vocab) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n_vocab; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

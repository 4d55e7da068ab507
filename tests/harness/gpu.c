#include "gpu.h"

#include "host/base/half.h"
#include "host/base/quant.h"
#include "ref/ref.h"

enum { GAP = 256, MAX_DEVICE = 4 };

struct gpu_place {
    uint64_t offset, size;
    char label[64];
};

static gpu *devices[MAX_DEVICE];
static vkssm_status open_status;

void *gpu_alloc(size_t count, size_t size) {
    void *memory = vks_alloc_zero(count, size);
    if (!memory) {
        printf("out of memory: %zu x %zu bytes\n", count, size);
        exit(2);
    }
    return memory;
}

float *gpu_random(uint64_t *seed, size_t n, float low, float high) {
    float *values = gpu_alloc(n, sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = check_uniform(seed, low, high);
    return values;
}

bool gpu_verbose(void) {
    return getenv("VKSSM_TEST_VERBOSE") != NULL;
}

// ---- the device -----------------------------------------------------------------------------------------------------

static void log_message(void *user, vkssm_log_level level, const char *message) {
    (void)user;
    if (level == VKSSM_LOG_WARNING || gpu_verbose()) printf("  log: %s\n", message);
    // Errors of wrong operands are wanted; those of validation are printed where they are counted.
    if (level == VKSSM_LOG_ERROR && strstr(message, "VUID")) printf("  %s\n", message);
}

// Features that a whole run goes without: environment variable VKSSM_TEST_MASK.
static uint32_t mask_of_environment(void) {
    const char *mask = getenv("VKSSM_TEST_MASK");
    return mask ? (uint32_t)strtoul(mask, NULL, 0) : 0;
}

static vkssm_status open_device(gpu *g, uint32_t mask_features) {
    vks_device_params params = {
        .log = {.callback = log_message, .max_level = VKSSM_LOG_WARNING},
        .select = getenv("VKSSM_TEST_DEVICE"),
        .mask_features = mask_features | mask_of_environment(),
        .validation = true,
    };
    vkssm_status status = vks_device_create(&params, &g->device);
    if (status != VKSSM_OK) {
        if (status != VKSSM_ERR_UNSUPPORTED) return status;
        params.validation = false; // perhaps only the layer is missing
        VKS_TRY(vks_device_create(&params, &g->device));
        printf("%s: without validation\n", vks_device_caps(g->device)->name);
    }
    g->caps = vks_device_caps(g->device);
    VKS_TRY(vks_kernels_create(g->device, &g->target.kernels));
    VKS_TRY(vks_recorder_create(g->device, "operators", &g->recorder));
    VKS_TRY(vks_recorder_create(g->device, "copy in", &g->copy_in));
    VKS_TRY(vks_recorder_create(g->device, "copy out", &g->copy_out));
    static const vks_role roles[3] = {VKS_ROLE_SCRATCH, VKS_ROLE_UPLOAD, VKS_ROLE_READBACK};
    vks_buffer *buffers[3] = {&g->image, &g->upload, &g->readback};
    for (int i = 0; i < 3; i++) {
        VKS_TRY(vks_arena_create(g->device, roles[i], GPU_IMAGE_SIZE, "test image", &g->arenas[i]));
        VKS_TRY(vks_arena_alloc(g->arenas[i], GPU_IMAGE_SIZE, "test image", buffers[i]));
    }
    return VKSSM_OK;
}

static bool close_device(gpu *g) {
    bool clean = true;
    if (g->device && vks_device_n_validation_message(g->device)) {
        printf("FAIL %s: %u validation messages\n", g->caps->name, vks_device_n_validation_message(g->device));
        clean = false;
    }
    vks_recorder_destroy(&g->recorder);
    vks_recorder_destroy(&g->copy_in);
    vks_recorder_destroy(&g->copy_out);
    vks_kernels_destroy(&g->target.kernels);
    for (int i = 0; i < 3; i++)
        vks_arena_destroy(&g->arenas[i]);
    vks_device_destroy(&g->device);
    vks_free(g->writable);
    vks_free(g->first_run);
    vks_free(g->places);
    vks_free(g);
    return clean;
}

gpu *gpu_open(uint32_t mask_features) {
    int place = 0;
    for (; place < MAX_DEVICE && devices[place]; place++)
        if (devices[place]->mask_features == mask_features) return devices[place];
    if (place == MAX_DEVICE) {
        printf("more than %d devices in one test program\n", MAX_DEVICE);
        exit(2);
    }
    gpu *g = gpu_alloc(1, sizeof *g);
    g->mask_features = mask_features;
    g->label = "";
    g->writable = gpu_alloc(GPU_IMAGE_SIZE, 1);
    g->first_run = gpu_alloc(GPU_IMAGE_SIZE, 1);
    open_status = open_device(g, mask_features);
    if (open_status != VKSSM_OK) {
        printf("no device to test on: %s\n", vkssm_last_error());
        close_device(g);
        return NULL;
    }
    devices[place] = g;
    printf("device %s, subgroups of %u%s\n", g->caps->name, g->caps->subgroup_size,
           mask_features ? ", optional features masked" : "");
    return g;
}

int gpu_absent_status(void) {
    return open_status == VKSSM_ERR_UNSUPPORTED && !getenv("VKSSM_TEST_DEVICE") ? 77 : 1;
}

bool gpu_close_all(void) {
    bool clean = true;
    for (int i = 0; i < MAX_DEVICE; i++)
        if (devices[i]) {
            clean &= close_device(devices[i]);
            devices[i] = NULL;
        }
    if (vks_alloc_n_live()) {
        printf("FAIL %llu blocks of host memory not freed\n", (unsigned long long)vks_alloc_n_live());
        clean = false;
    }
    return clean;
}

// ---- the image ------------------------------------------------------------------------------------------------------

static void poison(gpu *g, uint64_t end) {
    for (uint64_t i = g->used; i < end; i += 4)
        memcpy((uint8_t *)g->upload.mapped + i, &(uint32_t){GPU_POISON}, 4);
    memset(g->writable + g->used, 0, end - g->used);
    g->used = end;
}

void gpu_begin(gpu *g) {
    g->used = 0;
    g->n_place = 0;
    poison(g, GAP);
    g->target.recorder = g->recorder;
    if (vks_recorder_begin(g->recorder, true) != VKSSM_OK) printf("  %s\n", vkssm_last_error());
}

bool gpu_fits(const gpu *g, uint64_t n_byte) {
    return g->used + vks_align_up(n_byte, GAP) + GAP <= GPU_IMAGE_SIZE;
}

// A range of the image, aligned, with a gap behind it.
static uint64_t take(gpu *g, uint64_t size) {
    if (!gpu_fits(g, size) || !vks_grow((void **)&g->places, &g->place_capacity, g->n_place + 1, sizeof *g->places)) {
        printf("%s: %llu more bytes do not fit the test image\n", g->label, (unsigned long long)size);
        exit(2);
    }
    struct gpu_place *place = &g->places[g->n_place++];
    place->offset = g->used;
    place->size = size;
    snprintf(place->label, sizeof place->label, "%s", g->label);
    uint64_t offset = g->used;
    poison(g, g->used + vks_align_up(size, GAP) + GAP);
    return offset;
}

static float store(uint8_t *at, vkssm_dtype dtype, float value) {
    uint16_t half;
    switch (dtype) {
    case VKSSM_DTYPE_F16:
        half = vks_f32_to_f16(value);
        memcpy(at, &half, 2);
        return vks_f16_to_f32(half);
    case VKSSM_DTYPE_BF16:
        half = vks_f32_to_bf16(value);
        memcpy(at, &half, 2);
        return vks_bf16_to_f32(half);
    default:
        memcpy(at, &value, 4);
        return value;
    }
}

static vks_tensor place_rows(gpu *g, gpu_use use, vkssm_dtype dtype, uint32_t n_row, uint32_t n_column, uint64_t stride,
                             uint8_t **memory) {
    size_t size = vkssm_dtype_size(dtype);
    if (!stride) stride = n_column;
    uint64_t offset = take(g, n_row * stride * size);
    bool odd = size == 2 && n_column % 2 && stride > n_column;
    for (uint32_t row = 0; row < n_row; row++) {
        uint64_t at = offset + row * stride * size;
        if (use == GPU_OUT || use == GPU_IN_OUT) memset(g->writable + at, 1, (n_column + odd) * size);
        if (use == GPU_WEIGHT) memset((uint8_t *)g->upload.mapped + at, 0, stride * size);
    }
    *memory = (uint8_t *)g->upload.mapped + offset;
    return vks_tensor_rows(g->image.address + offset, dtype, n_row, n_column, stride);
}

vks_tensor gpu_rows(gpu *g, gpu_use use, vkssm_dtype dtype, uint32_t n_row, uint32_t n_column, uint64_t row_stride,
                    float *values) {
    uint8_t *memory;
    vks_tensor tensor = place_rows(g, use, dtype, n_row, n_column, row_stride, &memory);
    size_t size = vkssm_dtype_size(dtype);
    for (uint32_t row = 0; values && row < n_row; row++)
        for (uint32_t i = 0; i < n_column; i++) {
            float *value = &values[(size_t)row * n_column + i];
            *value = store(memory + (row * tensor.stride[0] + i) * size, dtype, *value);
        }
    return tensor;
}

vks_tensor gpu_blocks(gpu *g, vkssm_dtype dtype, uint32_t n_row, uint32_t n_column, uint64_t row_stride,
                      float *values) {
    vks_tensor tensor = vks_tensor_blocks(0, dtype, n_row, n_column);
    if (row_stride) tensor.stride[0] = row_stride;
    uint64_t offset = take(g, n_row * tensor.stride[0] * 4);
    tensor.address = g->image.address + offset;
    uint8_t *blocks = gpu_alloc((size_t)vks_quant_file_size(dtype, n_column), 1);
    for (uint32_t row = 0; row < n_row; row++) {
        float *line = values + (size_t)row * n_column;
        vks_quant_encode(dtype, line, n_column, blocks);
        vks_quant_repack(dtype, blocks, n_column, (uint8_t *)g->upload.mapped + offset + row * tensor.stride[0] * 4);
        for (uint32_t i = 0; i < n_column; i++)
            line[i] = (float)ref_quant_value((ref_block_type)(dtype - VKSSM_DTYPE_Q8_0), blocks, i);
    }
    vks_free(blocks);
    return tensor;
}

vks_tensor gpu_words(gpu *g, gpu_use use, uint32_t n_row, uint32_t n_column, uint64_t row_stride,
                     const int32_t *values) {
    uint8_t *memory;
    vks_tensor tensor = place_rows(g, use, VKSSM_DTYPE_I32, n_row, n_column, row_stride, &memory);
    for (uint32_t row = 0; values && row < n_row; row++)
        memcpy(memory + row * tensor.stride[0] * 4, values + (size_t)row * n_column, (size_t)n_column * 4);
    return tensor;
}

vks_tensor gpu_vector(gpu *g, float *values, uint32_t n) {
    return gpu_reshape(gpu_rows(g, GPU_IN, VKSSM_DTYPE_F32, 1, n, 0, values), 0, GPU_SHAPE(n));
}

vks_tensor gpu_word_vector(gpu *g, const int32_t *values, uint32_t n) {
    return gpu_reshape(gpu_words(g, GPU_IN, 1, n, 0, values), 0, GPU_SHAPE(n));
}

vks_tensor gpu_reshape(vks_tensor rows, uint32_t n_leading, uint32_t n_dim, const uint32_t *shape) {
    vks_tensor tensor = {.address = rows.address, .dtype = rows.dtype, .n_dim = n_dim};
    uint64_t stride = 1;
    for (uint32_t i = n_dim; i-- > 0;) {
        if (i + 1 == n_leading) stride = rows.stride[0];
        tensor.shape[i] = shape[i];
        tensor.stride[i] = stride;
        stride *= shape[i];
    }
    return tensor;
}

// ---- running --------------------------------------------------------------------------------------------------------

static vkssm_status record_copy(vks_recorder *recorder, const vks_buffer *dst, const vks_buffer *src, uint64_t size) {
    VKS_TRY(vks_recorder_begin(recorder, true));
    vks_record_copy(recorder, dst, 0, src, 0, size);
    return vks_recorder_end(recorder);
}

static vkssm_status run_twice(gpu *g) {
    VKS_TRY(vks_recorder_end(g->recorder));
    VKS_TRY(record_copy(g->copy_in, &g->image, &g->upload, g->used));
    VKS_TRY(record_copy(g->copy_out, &g->readback, &g->image, g->used));
    for (int run = 0; run < 2; run++) {
        uint64_t value;
        VKS_TRY(vks_submit(g->device, (vks_recorder *[]){g->copy_in, g->recorder, g->copy_out}, 3, &value));
        VKS_TRY(vks_wait(g->device, value));
        if (run == 0) memcpy(g->first_run, g->readback.mapped, g->used);
    }
    return VKSSM_OK;
}

static const struct gpu_place *place_of(const gpu *g, uint64_t offset) {
    const struct gpu_place *found = &g->places[0];
    for (size_t i = 0; i < g->n_place; i++)
        if (g->places[i].offset <= offset + GAP) found = &g->places[i];
    return found;
}

static bool report_byte(const gpu *g, uint64_t offset, const char *what) {
    const struct gpu_place *place = place_of(g, offset);
    printf("  %s: %s at byte %lld of tensor %d, which has %llu\n", place->label, what,
           (long long)offset - (long long)place->offset, (int)(place - g->places), (unsigned long long)place->size);
    return false;
}

bool gpu_run(gpu *g) {
    if (run_twice(g) != VKSSM_OK) {
        printf("  %s\n", vkssm_last_error());
        return false;
    }
    const uint8_t *before = g->upload.mapped, *after = g->readback.mapped, *first = (const uint8_t *)g->first_run;
    for (uint64_t i = 0; i < g->used; i++) {
        if (after[i] != before[i] && !g->writable[i]) return report_byte(g, i, "written outside of the outputs");
        if (after[i] != first[i]) return report_byte(g, i, "two runs differ");
    }
    return true;
}

// Where the index-th element of a tensor lies in what was read back, and how many there are.
static const uint8_t *element(const gpu *g, const vks_tensor *tensor, uint64_t index) {
    uint64_t at = 0;
    for (uint32_t i = tensor->n_dim; i-- > 0;) {
        at += index % tensor->shape[i] * tensor->stride[i];
        index /= tensor->shape[i];
    }
    return (const uint8_t *)g->readback.mapped + (tensor->address - g->image.address) +
           at * vkssm_dtype_size(tensor->dtype);
}

static uint64_t n_element(const vks_tensor *tensor) {
    uint64_t n = 1;
    for (uint32_t i = 0; i < tensor->n_dim; i++)
        n *= tensor->shape[i];
    return n;
}

void gpu_read(const gpu *g, const vks_tensor *tensor, double *values) {
    for (uint64_t i = 0; i < n_element(tensor); i++) {
        const uint8_t *at = element(g, tensor, i);
        uint16_t half;
        float value;
        memcpy(&half, at, 2);
        if (tensor->dtype == VKSSM_DTYPE_F16)
            value = vks_f16_to_f32(half);
        else if (tensor->dtype == VKSSM_DTYPE_BF16)
            value = vks_bf16_to_f32(half);
        else
            memcpy(&value, at, 4);
        values[i] = value;
    }
}

void gpu_read_words(const gpu *g, const vks_tensor *tensor, int32_t *values) {
    for (uint64_t i = 0; i < n_element(tensor); i++)
        memcpy(&values[i], element(g, tensor, i), 4);
}

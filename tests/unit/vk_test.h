// What the tests of vk/ share: a device that logs into counters, and the pipeline of vk_test.comp.
#ifndef VK_TEST_H
#define VK_TEST_H

#include "tests/harness/check.h"
#include "vk/vk_internal.h"

static const uint32_t test_code[] = {
#include "vk_test.comp.inc"
};

// Push constants of vk_test.comp.
typedef struct words_push {
    uint64_t x, y;
    uint32_t n, add;
} words_push;

// What the log received since the last device was opened.
static struct {
    int n_error, n_validation;
    char last_error[1024], last_info[1024], last_cache[1024]; // last_cache: about the pipeline cache
} heard;

static inline void hear(void *user, vkssm_log_level level, const char *message) {
    (void)user;
    if (level == VKSSM_LOG_INFO) snprintf(heard.last_info, sizeof heard.last_info, "%s", message);
    if (strstr(message, "pipeline cache")) snprintf(heard.last_cache, sizeof heard.last_cache, "%s", message);
    if (level != VKSSM_LOG_ERROR) return;
    heard.n_error++;
    snprintf(heard.last_error, sizeof heard.last_error, "%s", message);
    if (strncmp(message, "validation:", 11) != 0) return;
    if (++heard.n_validation <= 3) printf("  %s\n", message);
}

static inline vks_device_params test_params(void) {
    return (vks_device_params){
        .log = {.callback = hear, .max_level = VKSSM_LOG_DEBUG},
        .select = getenv("VKSSM_TEST_DEVICE"),
        .validation = true,
    };
}

// NULL, with a failed check, if there is no device. Without the validation layer the device is opened without it.
static inline vks_device *open_device_with(vks_device_params params) {
    static bool said;
    memset(&heard, 0, sizeof heard);
    vks_device *device;
    vkssm_status status = vks_device_create(&params, &device);
    if (status != VKSSM_OK && params.validation && strstr(vkssm_last_error(), "validation")) {
        if (!said) printf("  without validation: %s\n", vkssm_last_error());
        said = true;
        params.validation = false;
        status = vks_device_create(&params, &device);
    }
    CHECK_EQ(status, VKSSM_OK);
    if (status != VKSSM_OK) printf("  %s\n", vkssm_last_error());
    return device;
}

static inline vks_device *open_device(void) {
    return open_device_with(test_params());
}

// No validation message until the very end, and no memory left.
static inline void close_device(vks_device **device) {
    if (!*device) return;
    CHECK_EQ(vks_device_n_validation_message(*device), 0);
    vks_device_destroy(device);
    CHECK(*device == NULL);
    CHECK_EQ(heard.n_validation, 0);
    CHECK_EQ(vks_alloc_n_live(), 0);
}

// y = scale * x + add.
static inline vks_pipeline *words_pipeline(vks_device *device, uint32_t scale) {
    const uint32_t constants[] = {64, scale};
    const vks_pipeline_params params = {
        .name = "words",
        .code = test_code,
        .code_size = sizeof test_code,
        .constants = constants,
        .n_constant = 2,
        .push_size = sizeof(words_push),
    };
    vks_pipeline *pipeline;
    CHECK_EQ(vks_pipeline_create(device, &params, &pipeline), VKSSM_OK);
    return pipeline;
}

static inline void record_words(vks_recorder *recorder, const vks_pipeline *pipeline, const vks_buffer *x,
                                const vks_buffer *y, uint32_t n, uint32_t add) {
    const words_push push = {.x = x->address, .y = y->address, .n = n, .add = add};
    const vks_access accesses[] = {
        {.address = x->address, .size = (uint64_t)4 * n},
        {.address = y->address, .size = (uint64_t)4 * n, .write = true},
    };
    const vks_dispatch dispatch = {
        .pipeline = pipeline,
        .push = &push,
        .n_group = {vks_div_up(n, 64), 1, 1},
        .accesses = accesses,
        .n_access = 2,
    };
    vks_record_dispatch(recorder, &dispatch);
}

static inline vkssm_status submit_and_wait(vks_device *device, vks_recorder *recorder) {
    uint64_t value;
    VKS_TRY(vks_submit(device, &recorder, 1, &value));
    return vks_wait(device, value);
}

// main of these tests: skipped where Vulkan offers no device.
static inline int vk_test_main(int argc, char **argv, const check_case *cases) {
    vks_device_params params = test_params();
    params.validation = false;
    vks_device *device;
    if (vks_device_create(&params, &device) != VKSSM_OK) {
        printf("skip: %s\n", vkssm_last_error());
        return 77;
    }
    printf("device: %s, subgroup size %u\n", vks_device_caps(device)->name, vks_device_caps(device)->subgroup_size);
    vks_device_destroy(&device);
    return check_main(argc, argv, cases);
}

#endif

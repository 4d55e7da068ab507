// The public ConvS5 recurrence: host arrays to the operators and back.
#include <vkssm/conv_s5.h>

#include "host/base/alloc.h"
#include "host/op/ops.h"
#include "scan_job.h"

enum { MAX_KERNEL = 255 };
static const uint64_t most_scratch = UINT64_C(256) << 20; // where the caller has no opinion

typedef struct run {
    const vkssm_conv_s5_params *params;
    vks_kernels *kernels;
    uint32_t n_batch, kernel_b, kernel_c;
    float *zeros; // a state before the first frame
    vks_scan_array u, y, lambda, log_step, b, c, a, b_out, c_out, state, resets, scratch;
} run;

static run run_of(const vkssm_conv_s5_params *params) {
    return (run){.params = params,
                 .n_batch = params->n_batch ? params->n_batch : 1,
                 .kernel_b = params->kernel_b ? params->kernel_b : 3,
                 .kernel_c = params->kernel_c ? params->kernel_c : 3};
}

static uint64_t frame_size(const vkssm_conv_s5_params *p, uint64_t n_frame) {
    return 4 * vks_conv_s5_scratch_size(n_frame, p->height * p->width, p->n_state, p->dtype);
}

// ---- checking -------------------------------------------------------------------------------------------------------

static vkssm_status check_arrays(const run *r) {
    const vkssm_conv_s5_params *p = r->params;
    const struct {
        const char *name;
        const void *array;
    } needed[] = {{"u", p->u}, {"y", p->y}, {"lambda", p->lambda}, {"log_step", p->log_step}, {"b", p->b}, {"c", p->c}};
    for (size_t i = 0; i < VKS_COUNT(needed); i++)
        if (!needed[i].array)
            return vks_fail(vks_kernels_log(r->kernels), VKSSM_ERR_ARG,
                            "conv_s5: arrays u, y, lambda, log_step, b and c expected, NULL found for %s",
                            needed[i].name);
    return VKSSM_OK;
}

// a b c d as elements, or more than 2^32 if it does not fit.
static uint64_t product(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    const uint64_t factors[] = {b, c, d};
    for (size_t i = 0; i < VKS_COUNT(factors); i++) {
        if (a > UINT32_MAX || factors[i] > UINT32_MAX) return UINT64_MAX;
        a *= factors[i];
    }
    return a;
}

uint64_t vkssm_conv_s5_frame_size(const vkssm_conv_s5_params *params) {
    if (!params) return 0;
    bool fits = product(params->height, params->width, params->n_state, 3) <= UINT32_MAX;
    return fits ? frame_size(params, 1) : UINT64_MAX;
}

// What a shader's 32-bit index cannot count.
static vkssm_status check_sizes(const run *r) {
    const vkssm_conv_s5_params *p = r->params;
    uint64_t n_pixel = product(p->height, p->width, 1, 1), n_b = r->kernel_b * r->kernel_b;
    uint64_t n_c = r->kernel_c * r->kernel_c, padded = vks_align_up(p->n_channel, 8);
    const struct {
        const char *name;
        uint64_t n;
    } sizes[] = {{"u", product(r->n_batch, p->n_time, n_pixel, padded)},
                 {"the state", product(r->n_batch, n_pixel, p->n_state, 2)},
                 {"b", product(p->n_state, padded, n_b, 2)},
                 {"c", product(p->n_state, padded, n_c, 2)},
                 {"a frame of scratch", product(n_pixel, p->n_state, 3, 1)}};
    for (size_t i = 0; i < VKS_COUNT(sizes); i++)
        if (sizes[i].n > UINT32_MAX)
            return vks_fail(vks_kernels_log(r->kernels), VKSSM_ERR_ARG,
                            "conv_s5: %s of less than 2^32 elements expected, %u x %u frames of %u x %u pixels, %u "
                            "channels and %u states found",
                            sizes[i].name, r->n_batch, p->n_time, p->height, p->width, p->n_channel, p->n_state);
    return VKSSM_OK;
}

static vkssm_status check(const run *r) {
    const vkssm_conv_s5_params *p = r->params;
    const vkssm_log *log = vks_kernels_log(r->kernels);
    VKS_TRY(check_arrays(r));
    if (p->dtype != VKSSM_DTYPE_F32 && p->dtype != VKSSM_DTYPE_F16 && p->dtype != VKSSM_DTYPE_BF16)
        return vks_fail(log, VKSSM_ERR_ARG, "conv_s5: a type of F32, F16 or BF16 expected, %s found",
                        vkssm_dtype_name(p->dtype));
    if (p->n_time == 0 || p->height == 0 || p->width == 0 || p->n_channel == 0)
        return vks_fail(
            log, VKSSM_ERR_ARG,
            "conv_s5: at least one frame of one pixel and one channel expected, %u frames of %u x %u pixels "
            "and %u channels found",
            p->n_time, p->height, p->width, p->n_channel);
    if (p->n_state == 0 || p->n_state % 4 != 0)
        return vks_fail(log, VKSSM_ERR_ARG, "conv_s5: a multiple of 4 states expected, %u found", p->n_state);
    if (r->kernel_b % 2 == 0 || r->kernel_c % 2 == 0 || r->kernel_b > MAX_KERNEL || r->kernel_c > MAX_KERNEL)
        return vks_fail(log, VKSSM_ERR_ARG, "conv_s5: odd kernels of at most %d expected, %u for B and %u for C found",
                        MAX_KERNEL, r->kernel_b, r->kernel_c);
    VKS_TRY(check_sizes(r));
    if (p->scratch_size && p->scratch_size < frame_size(p, 1))
        return vks_fail(log, VKSSM_ERR_ARG,
                        "conv_s5: a scratch_size of at least %llu for one frame expected, %llu found",
                        (unsigned long long)frame_size(p, 1), (unsigned long long)p->scratch_size);
    return VKSSM_OK;
}

// ---- computing ------------------------------------------------------------------------------------------------------

static vks_scan_array array_of(const char *name, const void *in, void *out, uint64_t n_row, uint64_t row_size,
                               uint64_t device_row_size) {
    return (vks_scan_array){name, in, out, n_row, row_size, device_row_size, 0, false};
}

static vks_scan_array made_on_device(const char *name, uint64_t size) {
    return (vks_scan_array){.name = name, .n_row = 1, .row_size = size, .device_row_size = size, .keep = true};
}

// Bytes of scratch, in whole frames.
static uint64_t choose_scratch(const run *r) {
    const vkssm_conv_s5_params *p = r->params;
    uint64_t one = frame_size(p, 1), wanted = p->scratch_size ? p->scratch_size : most_scratch;
    uint64_t n_frame = (uint64_t)r->n_batch * p->n_time, most = UINT32_MAX / (one / 4); // floats are counted by 32 bits
    uint64_t n = wanted / one;
    if (n > n_frame) n = n_frame;
    if (n > most) n = most;
    return (n ? n : 1) * one;
}

static vkssm_status make_arrays(run *r) {
    const vkssm_conv_s5_params *p = r->params;
    uint64_t size = vkssm_dtype_size(p->dtype), n_pixel = (uint64_t)p->height * p->width;
    uint64_t n_row = r->n_batch * p->n_time * n_pixel, row = p->n_channel * size;
    uint64_t wide = vks_align_up(p->n_channel, 8), padded = wide * size;
    uint64_t n_b = (uint64_t)r->kernel_b * r->kernel_b, n_c = (uint64_t)r->kernel_c * r->kernel_c;
    uint64_t n_p = p->n_state, state = 8 * n_pixel * n_p;
    if (!p->initial) {
        r->zeros = vks_alloc_zero(r->n_batch, (size_t)state);
        if (!r->zeros) return vks_fail(vks_kernels_log(r->kernels), VKSSM_ERR_OOM_HOST, "conv_s5: out of host memory");
    }
    r->u = array_of("u", p->u, NULL, n_row, row, padded);
    r->y = array_of("y", NULL, p->y, n_row, row, padded);
    r->lambda = array_of("lambda", p->lambda, NULL, n_p, 8, 8);
    r->log_step = array_of("log_step", p->log_step, NULL, n_p, 4, 4);
    r->b = array_of("B", p->b, NULL, n_p, 8 * n_b * p->n_channel, 8 * n_b * p->n_channel);
    r->c = array_of("C", p->c, NULL, n_p, 8 * n_c * p->n_channel, 8 * n_c * p->n_channel);
    r->state = array_of("state", p->initial ? p->initial : r->zeros, p->last, r->n_batch, state, state);
    r->resets = array_of("resets", p->resets, NULL, r->n_batch, 4 * (uint64_t)p->n_time, 4 * (uint64_t)p->n_time);
    r->a = made_on_device("discrete A", 8 * n_p);
    r->b_out = made_on_device("discrete B", 2 * n_p * n_b * padded);
    r->c_out = made_on_device("turned C", p->n_channel * n_c * 2 * n_p * size);
    r->scratch = made_on_device("scratch", choose_scratch(r));
    return VKSSM_OK;
}

static vks_tensor tensor_of(const vks_scan_array *array, vkssm_dtype dtype, uint32_t n_dim, const uint32_t *shape) {
    return array->address ? vks_tensor_dense(array->address, dtype, n_dim, shape) : (vks_tensor){0};
}
#define DIMS(...)                                                                                                      \
    VKS_COUNT(((uint32_t[]){__VA_ARGS__})), (const uint32_t[]) {                                                       \
        __VA_ARGS__                                                                                                    \
    }

static vks_tensor frames_of(const run *r, const vks_scan_array *array) {
    const vkssm_conv_s5_params *p = r->params;
    vks_tensor rows = vks_tensor_rows(array->address, p->dtype, (uint32_t)array->n_row, p->n_channel,
                                      array->device_row_size / vkssm_dtype_size(p->dtype));
    return vks_tensor_images(rows, p->height, p->width);
}

static vkssm_status record(void *user, vks_recorder *recorder) {
    const run *r = user;
    const vkssm_conv_s5_params *p = r->params;
    const vks_op_target target = {.kernels = r->kernels, .recorder = recorder};
    uint32_t n_p = p->n_state, u = p->n_channel, n_b = r->kernel_b * r->kernel_b, n_c = r->kernel_c * r->kernel_c;
    const vks_conv_s5_system system = {
        .lambda = tensor_of(&r->lambda, VKSSM_DTYPE_F32, DIMS(n_p, 2)),
        .log_step = tensor_of(&r->log_step, VKSSM_DTYPE_F32, DIMS(n_p)),
        .b = tensor_of(&r->b, VKSSM_DTYPE_F32, DIMS(n_p, u, n_b, 2)),
        .c = tensor_of(&r->c, VKSSM_DTYPE_F32, DIMS(n_c, n_p, u, 2)),
        .a = tensor_of(&r->a, VKSSM_DTYPE_F32, DIMS(n_p, 2)),
        .b_out = tensor_of(&r->b_out, p->dtype, DIMS(2 * n_p, n_b * (uint32_t)vks_align_up(u, 8))),
        .c_out = tensor_of(&r->c_out, p->dtype, DIMS(u, n_c * 2 * n_p)),
        .clip_eigs = p->clip_eigs,
    };
    VKS_TRY(vks_op_conv_s5_system(&target, &system));
    return vks_op_conv_s5(
        &target, &(vks_conv_s5){
                     .u = frames_of(r, &r->u),
                     .a = system.a,
                     .b = system.b_out,
                     .c = system.c_out,
                     .state = tensor_of(&r->state, VKSSM_DTYPE_F32, DIMS(r->n_batch, p->height * p->width, n_p, 2)),
                     .resets = tensor_of(&r->resets, VKSSM_DTYPE_I32, DIMS(r->n_batch, p->n_time)),
                     .y = frames_of(r, &r->y),
                     .scratch = tensor_of(&r->scratch, VKSSM_DTYPE_F32, DIMS((uint32_t)(r->scratch.row_size / 4))),
                     .n_sequence = r->n_batch,
                     .n_time = p->n_time,
                     .kernel_b = r->kernel_b,
                     .kernel_c = r->kernel_c,
                     .state_dtype = p->dtype,
                     .reverse = p->reverse,
                 });
}

vkssm_status vkssm_conv_s5(vkssm_device *device, const vkssm_conv_s5_params *params) {
    if (!device || !params)
        return vks_fail(NULL, VKSSM_ERR_ARG, "conv_s5: a device and parameters expected, NULL found");
    run r = run_of(params);
    r.kernels = device->kernels;
    VKS_TRY(check(&r));
    vks_scan_array *arrays[] = {&r.u, &r.y,     &r.lambda, &r.log_step, &r.b,      &r.c,
                                &r.a, &r.b_out, &r.c_out,  &r.state,    &r.resets, &r.scratch};
    vkssm_status status = make_arrays(&r);
    if (status == VKSSM_OK) status = vks_scan_job_run(device->vk, arrays, VKS_COUNT(arrays), record, &r);
    vks_free(r.zeros);
    return status;
}

// The self-check: every operator's small cases by every variant that the device can run, against what the twins say.
#include "self_check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "host/base/half.h"

// How far a sum may be off, as a part of the sum of absolute values: above what roundings of the case's type, and of
// float32 sums in any order, add up to (a twentieth of it is reached on CPUs, where 16-bit types are only stored;
// matrix units round operands too), and below what a wrong element does.
double vks_check_tolerance(const vks_check_case *c) {
    return c->entry.dtype == VKSSM_DTYPE_BF16 ? 5e-3 : c->entry.dtype == VKSSM_DTYPE_F16 ? 1e-3 : 1e-4;
}

static bool is_positive(uint64_t i) { // a hash of the element's number
    return ((i * 0x9e3779b97f4a7c15u) >> 63) != 0;
}

void vks_check_sum(vks_check_expected *s, uint64_t i, double value) {
    s->sums[i % VKS_CHECK_SUMS] += is_positive(i) ? value : -value;
    s->n++;
}

vkssm_status vks_check_place(vkssm_device *device, const vks_check_case *c, vks_bench *bench, vks_bench_op *op) {
    bench->kernels = device->kernels;
    VKS_TRY(c->family->place(bench, &c->entry, op)); // sizes
    uint64_t total = bench->size + bench->scratch_size + 256;
    VKS_TRY(vks_arena_create(device->vk, VKS_ROLE_SCRATCH, total, "check", &bench->arena));
    VKS_TRY(vks_upload_begin(device->vk, total, NULL, &bench->upload));
    VKS_TRY(c->family->place(bench, &c->entry, op));
    VKS_TRY(vks_upload_end(&bench->upload));
    return vks_bench_poison(bench);
}

// ---- one case by one variant
// -----------------------------------------------------------------------------------------

typedef struct check_run {
    vkssm_device *device;
    const vks_check_case *c;
    uint32_t index;
    const char *variant;
    bool was_used;
    vks_recorder *recorder;
    vkssm_check_result *out;
} check_run;

static void note_variant(void *user, const char *variant) {
    check_run *r = user;
    r->was_used |= strcmp(variant, r->variant) == 0;
}

static double element_at(const void *data, vkssm_dtype dtype, uint64_t i) {
    if (dtype == VKSSM_DTYPE_F32) return ((const float *)data)[i];
    if (dtype == VKSSM_DTYPE_I32) return ((const int32_t *)data)[i];
    uint16_t half = ((const uint16_t *)data)[i];
    return dtype == VKSSM_DTYPE_F16 ? vks_f16_to_f32(half) : vks_bf16_to_f32(half);
}

static void judge(check_run *r, uint32_t result, const void *data, vkssm_dtype dtype, uint64_t n) {
    const vks_check_expected *wanted = vks_check_expectation(r->index, result);
    vks_check_expected found = {0};
    vkssm_check_result *out = r->out;
    for (uint64_t i = 0; i < n; i++)
        vks_check_sum(&found, i, element_at(data, dtype, i));
    if (!wanted || wanted->n != n) {
        out->is_right = false;
        snprintf(out->finding, sizeof out->finding, "output %u: %u elements expected, %llu found", result,
                 wanted ? wanted->n : 0, (unsigned long long)n);
        return;
    }
    double tolerance = vks_check_tolerance(r->c);
    // Inputs in codes of 8 bits are off by half a step of 127 at most, and random inputs have a mean of half the
    // largest.
    if (strstr(r->variant, "_dot") && tolerance < 1.0 / 127) tolerance = 1.0 / 127;
    double allowed = dtype == VKSSM_DTYPE_I32 ? 0 : tolerance * wanted->scale;
    for (uint32_t k = 0; k < VKS_CHECK_SUMS && k < n; k++) {
        double off = fabs(found.sums[k] - wanted->sums[k]), error = allowed > 0 ? off / allowed : off > 0 ? 2 : 0;
        bool right = error <= 1; // not of NaN
        if (error > out->error || error != error) out->error = error == error ? error : INFINITY;
        if (right || !out->is_right) continue;
        out->is_right = false;
        snprintf(out->finding, sizeof out->finding,
                 "output %u of %llu elements, sum %u: %.9g within %.2g expected, %.9g found", result,
                 (unsigned long long)n, k, wanted->sums[k], allowed, found.sums[k]);
    }
}

static vkssm_status submit(check_run *r) {
    uint64_t value;
    VKS_TRY(vks_recorder_end(r->recorder));
    VKS_TRY(vks_submit(r->device->vk, &r->recorder, 1, &value));
    return vks_wait(r->device->vk, value);
}

static vkssm_status read_results(check_run *r, const vks_bench *bench) {
    vks_arena *arena = NULL;
    vkssm_status status = VKSSM_OK;
    for (uint32_t i = 0; i < bench->n_result && status == VKSSM_OK; i++) {
        const vks_bench_result_operand *result = &bench->results[i];
        uint64_t size = vks_align_up(result->size, 4);
        vks_buffer back;
        VKS_TRY_GOTO(vks_arena_create(r->device->vk, VKS_ROLE_READBACK, size, "check", &arena), done);
        VKS_TRY_GOTO(vks_arena_alloc(arena, size, "check", &back), done);
        VKS_TRY_GOTO(vks_recorder_begin(r->recorder, false), done);
        vks_record_copy(r->recorder, &back, 0, &result->buffer, 0, size);
        VKS_TRY_GOTO(submit(r), done);
        judge(r, i, back.mapped, result->dtype, result->size / vkssm_dtype_size(result->dtype));
        vks_arena_destroy(&arena);
    }
done:
    vks_arena_destroy(&arena);
    return status;
}

// Nothing is submitted if the variant does not serve the case.
static vkssm_status run_variant(check_run *r) {
    vks_bench bench = {0};
    vks_bench_op op;
    vkssm_status status;
    VKS_TRY_GOTO(vks_check_place(r->device, r->c, &bench, &op), done);
    VKS_TRY_GOTO(vks_recorder_begin(r->recorder, false), done);
    VKS_TRY_GOTO(r->c->family->record(&(vks_op_target){.kernels = r->device->kernels, .recorder = r->recorder}, &op),
                 done);
    if (!r->was_used) {
        status = vks_recorder_end(r->recorder);
        goto done;
    }
    VKS_TRY_GOTO(submit(r), done);
    status = read_results(r, &bench);
done:
    vks_bench_finish(&bench);
    return status;
}

// ---- all of them
// -----------------------------------------------------------------------------------------------------

static bool is_fatal(vkssm_status status) {
    return status == VKSSM_ERR_DEVICE_LOST || status == VKSSM_ERR_OOM_HOST || status == VKSSM_ERR_OOM_DEVICE ||
           status == VKSSM_ERR_CANCELLED;
}

static vkssm_status check_variant(check_run *r, const vkssm_check_params *params, uint32_t *n_wrong) {
    const vks_kernel_trace trace = {note_variant, r};
    vkssm_check_result result = {.name = r->c->entry.name, .variant = r->variant, .is_right = true};
    r->out = &result;
    r->was_used = false;
    VKS_TRY(vks_recorder_create(r->device->vk, "check", &r->recorder));
    vks_kernels_force(r->device->kernels, r->variant);
    vks_kernels_trace(r->device->kernels, &trace);
    vkssm_status status = run_variant(r);
    vks_kernels_trace(r->device->kernels, NULL);
    vks_kernels_force(r->device->kernels, NULL);
    vks_recorder_destroy(&r->recorder);
    if (is_fatal(status)) return status;
    if (status != VKSSM_OK) {
        result.is_right = false;
        snprintf(result.finding, sizeof result.finding, "%s", vkssm_last_error());
    } else if (!r->was_used) {
        return VKSSM_OK;
    }
    *n_wrong += !result.is_right;
    if (!params->on_result || params->on_result(params->user, &result)) return VKSSM_OK;
    return vks_fail(vks_device_log(r->device->vk), VKSSM_ERR_CANCELLED, "check: cancelled at %s", result.name);
}

static bool begins_with(const char *name, const char *kernels) {
    return strncmp(name, kernels, strlen(kernels)) == 0;
}

static vkssm_status check_case(check_run *r, const vkssm_check_params *params, uint32_t *n_wrong) {
    bool available;
    const char *reason;
    for (uint32_t i = 0; vks_kernels_variant(r->device->kernels, i, &r->variant, &available, &reason); i++)
        if (available && begins_with(r->variant, r->c->kernels)) VKS_TRY(check_variant(r, params, n_wrong));
    return VKSSM_OK;
}

vkssm_status vkssm_device_check(vkssm_device *device, const vkssm_check_params *params, uint32_t *n_wrong) {
    const vkssm_check_params defaults = {0};
    uint32_t wrong = 0, n_case = 0;
    if (n_wrong) *n_wrong = 0;
    if (!device) return vks_fail(NULL, VKSSM_ERR_ARG, "check: a device expected, NULL found");
    if (!params) params = &defaults;
    const char *only = params->only ? params->only : "";
    for (uint32_t i = 0; vks_check_case_at(i); i++)
        n_case += begins_with(vks_check_case_at(i)->entry.name, only);
    if (n_case == 0)
        return vks_fail(vks_device_log(device->vk), VKSSM_ERR_ARG,
                        "check: the beginning of a case's name expected, \"%.100s\" found", only);
    vkssm_status status = VKSSM_OK;
    for (uint32_t i = 0, n_done = 0; n_done < n_case && status == VKSSM_OK; i++) {
        check_run r = {.device = device, .c = vks_check_case_at(i), .index = i};
        if (!begins_with(r.c->entry.name, only)) continue;
        status = check_case(&r, params, &wrong);
        n_done++;
        const vkssm_progress *progress = &params->progress;
        if (status == VKSSM_OK && progress->callback && !progress->callback(progress->user, n_done, n_case))
            status =
                vks_fail(vks_device_log(device->vk), VKSSM_ERR_CANCELLED, "check: cancelled after %s", r.c->entry.name);
    }
    if (n_wrong) *n_wrong = wrong;
    return status;
}

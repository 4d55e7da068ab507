// What a device can do at best: the measures that the cases are compared with.
#include "bench_run.h"

#include <string.h>

#include "host/op/kernel.h"
#include "shaders/params/copy.h"

enum { WG_SIZE = 256, N_ELEMENT = 4, ELEMENT_SIZE = 16, MAX_GROUP = 32768 };

// ---- copying -------------------------------------------------------------------------------------------------------

typedef struct copy_run {
    vks_op_target target;
    vks_buffer x, y;
    uint32_t n; // elements
    bool named; // whether the accesses are named to the recorder, so that copies are ordered
} copy_run;

static vkssm_status record_copy(void *user, vks_recorder *recorder, uint64_t run) {
    (void)run;
    copy_run *c = user;
    const struct vks_copy_params push = {c->x.address, c->y.address, c->n};
    uint32_t n_group = vks_div_up(c->n, WG_SIZE * N_ELEMENT), n_row = vks_div_up(n_group, MAX_GROUP);
    const vks_access accesses[] = {{.address = c->x.address, .size = (uint64_t)c->n * ELEMENT_SIZE},
                                   {.address = c->y.address, .size = (uint64_t)c->n * ELEMENT_SIZE, .write = true}};
    c->target.recorder = recorder;
    return vks_kernel_dispatch(&c->target, &(vks_kernel_call){
                                               .shader = VKS_SHADER_copy,
                                               .constants = (uint32_t[]){WG_SIZE, N_ELEMENT},
                                               .n_constant = 2,
                                               .push = &push,
                                               .push_size = sizeof push,
                                               .n_group = {vks_div_up(n_group, n_row), n_row, 1},
                                               .accesses = accesses,
                                               .n_access = c->named ? 2 : 0,
                                           });
}

// Far more than any cache holds, as far as memory allows.
static uint64_t copy_size(const vkssm_device *device) {
    bool cpu = vks_device_caps(device->vk)->type == VKS_DEVICE_CPU;
    uint64_t room = vks_device_memory_budget(device->vk) / 8, size = cpu ? (uint64_t)16 << 20 : (uint64_t)1 << 30;
    while (size > room && size > 1 << 20)
        size /= 2;
    return size;
}

// The first bytes of y against x's, through host-visible memory.
static vkssm_status check_copy(vkssm_device *device, const copy_run *c) {
    enum { SIZE = 1 << 20 };
    vks_arena *arena = NULL;
    vks_recorder *recorder = NULL;
    vks_buffer back[2];
    uint64_t value, size = (uint64_t)c->n * ELEMENT_SIZE, from = size - SIZE;
    vkssm_status status;
    VKS_TRY_GOTO(vks_arena_create(device->vk, VKS_ROLE_READBACK, 2 * SIZE, "bench check", &arena), done);
    VKS_TRY_GOTO(vks_arena_alloc(arena, SIZE, "bench check", &back[0]), done);
    VKS_TRY_GOTO(vks_arena_alloc(arena, SIZE, "bench check", &back[1]), done);
    VKS_TRY_GOTO(vks_recorder_create(device->vk, "bench check", &recorder), done);
    VKS_TRY_GOTO(vks_recorder_begin(recorder, false), done);
    vks_record_copy(recorder, &back[0], 0, &c->x, from, SIZE);
    vks_record_copy(recorder, &back[1], 0, &c->y, from, SIZE);
    VKS_TRY_GOTO(vks_recorder_end(recorder), done);
    VKS_TRY_GOTO(vks_submit(device->vk, &recorder, 1, &value), done);
    VKS_TRY_GOTO(vks_wait(device->vk, value), done);
    if (memcmp(back[0].mapped, back[1].mapped, SIZE) != 0)
        status = vks_fail(vks_device_log(device->vk), VKSSM_ERR_INTERNAL,
                          "bench: copy: the bytes of the source expected in the copy, others found");
done:
    vks_recorder_destroy(&recorder);
    vks_arena_destroy(&arena);
    return status;
}

// Bytes without a pattern, as a device may move a pattern faster.
static vkssm_status fill(vkssm_device *device, const copy_run *c) {
    enum { N_WORD = 1 << 18 };
    uint32_t *words = vks_alloc(N_WORD * sizeof *words);
    if (!words) return vks_fail(vks_device_log(device->vk), VKSSM_ERR_OOM_HOST, "bench: out of memory for the copy");
    for (uint32_t i = 0, word = 1; i < N_WORD; i++)
        words[i] = word = word * 1664525u + 1013904223u;
    vks_upload *upload = NULL;
    vkssm_status status;
    VKS_TRY_GOTO(vks_upload_begin(device->vk, c->x.size, NULL, &upload), done);
    for (uint64_t at = 0; at < c->x.size; at += N_WORD * sizeof *words)
        VKS_TRY_GOTO(vks_upload_bytes(upload, &c->x, at, words, N_WORD * sizeof *words), done);
    status = vks_upload_end(&upload);
done:
    vks_upload_abort(&upload);
    vks_free(words);
    return status;
}

// ---- submitting ----------------------------------------------------------------------------------------------------

typedef struct submit_run {
    vks_device *device;
    vks_recorder *recorder;
} submit_run;

static vkssm_status call_submit(void *user) {
    submit_run *s = user;
    uint64_t value;
    VKS_TRY(vks_submit(s->device, &s->recorder, 1, &value));
    return vks_wait(s->device, value);
}

static vkssm_status measure_submit(vkssm_device *device, copy_run *c, const vkssm_bench_params *params, double *out) {
    submit_run s = {.device = device->vk};
    const vks_bench_call call = {vks_device_log(device->vk), call_submit, &s, 1};
    vks_bench_times times;
    vkssm_status status;
    VKS_TRY(vks_recorder_create(device->vk, "bench submit", &s.recorder));
    VKS_TRY_GOTO(vks_recorder_begin(s.recorder, true), done);
    VKS_TRY_GOTO(record_copy(c, s.recorder, 0), done);
    VKS_TRY_GOTO(vks_recorder_end(s.recorder), done);
    VKS_TRY_GOTO(vks_bench_time_call(&call, params, &times), done);
    *out = times.median_ns;
done:
    vks_recorder_destroy(&s.recorder);
    return status;
}

// ---- all of them ---------------------------------------------------------------------------------------------------

static vkssm_status measure_copies(vkssm_device *device, const vkssm_bench_params *params, copy_run *c,
                                   vkssm_bench_limits *out) {
    vks_bench_work work = {.device = device, .record = record_copy, .user = c};
    vks_bench_times times;
    VKS_TRY(fill(device, c));
    VKS_TRY(vks_bench_time(&work, params, &times));
    VKS_TRY(check_copy(device, c));
    out->copy_size = c->x.size;
    out->copy_rate = 2e9 * (double)c->x.size / times.median_ns;
    out->host_clock = times.host_clock;

    c->n = 1; // one workgroup that does next to nothing
    VKS_TRY(vks_bench_time(&work, params, &times));
    out->barrier_ns = times.median_ns;
    VKS_TRY(measure_submit(device, c, params, &out->submit_ns));
    c->named = false;
    work.no_barrier = true;
    VKS_TRY(vks_bench_time(&work, params, &times));
    out->dispatch_ns = times.median_ns;
    return VKSSM_OK;
}

static vkssm_status measure_copy(vkssm_device *device, const vkssm_bench_params *params, vkssm_bench_limits *out) {
    uint64_t size = copy_size(device);
    copy_run c = {.target = {.kernels = device->kernels}, .n = (uint32_t)(size / ELEMENT_SIZE), .named = true};
    vks_arena *arena = NULL;
    vkssm_status status;
    VKS_TRY_GOTO(vks_arena_create(device->vk, VKS_ROLE_SCRATCH, size, "bench copy", &arena), done);
    VKS_TRY_GOTO(vks_arena_alloc(arena, size, "bench copy", &c.x), done);
    VKS_TRY_GOTO(vks_arena_alloc(arena, size, "bench copy", &c.y), done);
    status = measure_copies(device, params, &c, out);
done:
    vks_arena_destroy(&arena);
    return status;
}

// The type of all three matrices, if they have one in common.
static double *rate_of_type(vkssm_bench_limits *limits, const vks_bench_entry *entry) {
    if (entry->dtype == VKSSM_DTYPE_F32 && entry->kind == VKS_BENCH_X_F32) return &limits->gemm_f32_rate;
    if (entry->dtype == VKSSM_DTYPE_F16 && entry->kind == VKS_BENCH_X_F16) return &limits->gemm_f16_rate;
    if (entry->dtype == VKSSM_DTYPE_BF16 && entry->kind == VKS_BENCH_X_BF16) return &limits->gemm_bf16_rate;
    return NULL;
}

// The fastest of the products, from small ones to large ones as long as they can be expected to take no longer than
// that.
static vkssm_status measure_gemm(vkssm_device *device, const vkssm_bench_params *params, vkssm_bench_limits *out) {
    const double most_flop = 2e11; // larger ones take long to prepare
    const double longest_s =
        params->longest_run_ns > 0 && params->longest_run_ns < 1e9 ? 1e-9 * params->longest_run_ns : 1;
    const vks_bench_family *family = &vks_bench_gemm;
    for (uint32_t i = family->n_entry; i-- > 0;) {
        const vks_bench_entry *entry = &family->entries[i];
        if ((double)family->flop(entry) > most_flop) continue;
        if (out->gemm_rate > 0 && (double)family->flop(entry) > longest_s * out->gemm_rate) continue;
        vkssm_bench_result result;
        vks_bench_describe(entry, &result);
        VKS_TRY(vks_bench_run_op(device, family, entry, params, &result));
        double rate = result.skipped[0] ? 0 : 1e9 * (double)result.flop / result.median_ns;
        double *of_type = rate_of_type(out, entry);
        if (of_type && rate > *of_type) *of_type = rate;
        if (rate <= out->gemm_rate) continue;
        out->gemm_rate = rate;
        out->gemm_case = entry->name;
    }
    return VKSSM_OK;
}

vkssm_status vkssm_bench_measure_limits(vkssm_device *device, const vkssm_bench_params *params,
                                        vkssm_bench_limits *out) {
    vkssm_bench_params own = params ? *params : (vkssm_bench_params){0};
    if (!device || !out) return vks_fail(NULL, VKSSM_ERR_ARG, "bench: a device and a place for the limits expected");
    own.limits = NULL;
    *out = (vkssm_bench_limits){0};
    VKS_TRY(measure_copy(device, &own, out));
    return measure_gemm(device, &own, out);
}

// An operator's case: sizes, memory, inputs, runs, checks.
#include "bench_run.h"

#include <string.h>

enum { MAX_SET = 128 };
static const uint64_t gpu_cache = (uint64_t)256 << 20, cpu_cache = (uint64_t)8 << 20; // what the sets are to exceed
static const uint64_t max_block = (uint64_t)256 << 20;

typedef struct op_run {
    const vks_bench_family *family;
    vks_bench_op *sets;
    uint32_t n_set;
    vks_op_target target;
    vkssm_bench_result *result;
} op_run;

static void note_variant(void *user, const char *variant) {
    vkssm_bench_result *result = user;
    for (uint32_t i = 0; i < result->n_variant; i++)
        if (strcmp(result->variants[i], variant) == 0) return;
    if (result->n_variant < VKSSM_BENCH_MAX_VARIANT) result->variants[result->n_variant++] = variant;
}

static vkssm_status record(void *user, vks_recorder *recorder, uint64_t run) {
    op_run *r = user;
    r->target.recorder = recorder;
    return r->family->record(&r->target, &r->sets[run % r->n_set]);
}

// As many sets as exceed the cache; few on a CPU, where time to make them is dear.
static uint32_t count_sets(const vkssm_device *device, const vks_bench *bench) {
    bool cpu = vks_device_caps(device->vk)->type == VKS_DEVICE_CPU;
    uint64_t size = bench->size ? bench->size : 1, room = vks_device_memory_budget(device->vk) / (cpu ? 8 : 2);
    uint64_t n = cpu ? (size < cpu_cache ? 2 : 1) : gpu_cache / size + 1;
    if (n > room / size) n = room / size;
    return n < 1 ? 1 : n > MAX_SET ? MAX_SET : (uint32_t)n;
}

static vkssm_status place_sets(vkssm_device *device, vks_bench *bench, const vks_bench_entry *entry, op_run *r) {
    uint64_t total = bench->size * r->n_set + bench->scratch_size + 256;
    uint64_t block = total < max_block ? total : max_block;
    VKS_TRY(vks_arena_create(device->vk, VKS_ROLE_SCRATCH, block, "bench", &bench->arena));
    VKS_TRY(vks_upload_begin(device->vk, total, NULL, &bench->upload));
    for (uint32_t i = 0; i < r->n_set; i++)
        VKS_TRY(r->family->place(bench, entry, &r->sets[i]));
    VKS_TRY(vks_upload_end(&bench->upload));
    return vks_bench_poison(bench);
}

static vkssm_status measure(vkssm_device *device, vks_bench *bench, const vks_bench_entry *entry, op_run *r,
                            const vkssm_bench_params *params) {
    VKS_TRY(place_sets(device, bench, entry, r));
    const vks_bench_work work = {.device = device, .record = record, .user = r};
    const vks_kernel_trace trace = {note_variant, r->result};
    vks_bench_times times;
    vks_kernels_trace(device->kernels, &trace);
    vkssm_status status = vks_bench_time(&work, params, &times);
    vks_kernels_trace(device->kernels, NULL);
    if (status != VKSSM_OK) return status;
    if (times.n_run >= r->n_set) // else some sets have not been run
        VKS_TRY(vks_bench_check(bench, entry->name));
    vks_bench_set_times(&times, params, r->result);
    return VKSSM_OK;
}

vkssm_status vks_bench_run_op(vkssm_device *device, const vks_bench_family *family, const vks_bench_entry *entry,
                              const vkssm_bench_params *params, vkssm_bench_result *result) {
    vks_bench bench = {.kernels = device->kernels, .seed = params->seed};
    vks_bench_op sizes_only;
    VKS_TRY(family->place(&bench, entry, &sizes_only));
    result->bytes = bench.bytes;
    result->flop = family->flop(entry);
    if (!vks_bench_can_run(device, bench.size + bench.scratch_size, params, result)) return VKSSM_OK;
    op_run r = {.family = family, .target = {.kernels = device->kernels}, .result = result};
    r.n_set = result->n_set = count_sets(device, &bench);
    r.sets = vks_alloc_zero(r.n_set, sizeof *r.sets);
    if (!r.sets) return vks_fail(vks_device_log(device->vk), VKSSM_ERR_OOM_HOST, "%s: out of memory", entry->name);
    vkssm_status status = measure(device, &bench, entry, &r, params);
    vks_bench_finish(&bench);
    vks_free(r.sets);
    return status;
}

// The cases of the benchmark, and what is common to their results.
#include "bench_run.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const vks_bench_family *const families[] = {
    &vks_bench_scan,   &vks_bench_selective_scan, &vks_bench_selective_step, &vks_bench_ssd,        &vks_bench_ssd_step,
    &vks_bench_conv1d, &vks_bench_rms_norm,       &vks_bench_gemm,           &vks_bench_gemm_s8,    &vks_bench_gemv,
    &vks_bench_sample, &vks_bench_embedding,      &vks_bench_conv2d,         &vks_bench_group_norm, &vks_bench_conv_s5,
    &vks_bench_models, &vks_bench_video,
};

static const vks_bench_entry *find(uint32_t index, const vks_bench_family **family) {
    for (size_t i = 0; i < VKS_COUNT(families); i++) {
        *family = families[i];
        if (index < families[i]->n_entry) return &families[i]->entries[index];
        index -= families[i]->n_entry;
    }
    return NULL;
}

uint32_t vkssm_bench_n_case(void) {
    uint32_t n = 0;
    for (size_t i = 0; i < VKS_COUNT(families); i++)
        n += families[i]->n_entry;
    return n;
}

void vkssm_bench_get_case(uint32_t index, vkssm_bench_case *out) {
    const vks_bench_family *family;
    const vks_bench_entry *entry = find(index, &family);
    *out = (vkssm_bench_case){0};
    if (entry) *out = (vkssm_bench_case){.name = entry->name, .what = entry->what, .is_model = family->run != NULL};
}

// ---- results -------------------------------------------------------------------------------------------------------

// Part `from_end` of a name between slashes.
static void copy_part(const char *name, int from_end, char *out, size_t size) {
    const char *end = name + strlen(name), *begin = end;
    for (int i = 0;; i++) {
        while (begin > name && begin[-1] != '/')
            begin--;
        if (i == from_end || begin == name) break;
        end = --begin;
    }
    snprintf(out, size, "%.*s", (int)(end - begin), begin);
}

void vks_bench_describe(const vks_bench_entry *entry, vkssm_bench_result *result) {
    *result = (vkssm_bench_result){.name = entry->name};
    copy_part(entry->name, 1, result->shape, sizeof result->shape);
    copy_part(entry->name, 0, result->dtype, sizeof result->dtype);
}

// Least time that the limits allow for bytes and flop; 0 without limits.
static double least_ns(const vkssm_bench_params *params, vkssm_bench_result *result) {
    const vkssm_bench_limits *limits = params->limits;
    if (!limits || limits->copy_rate <= 0 || limits->gemm_rate <= 0) return 0;
    double memory = (double)result->bytes / limits->copy_rate, compute = (double)result->flop / limits->gemm_rate;
    result->compute_bound = compute > memory;
    return 1e9 * (compute > memory ? compute : memory);
}

void vks_bench_set_times(const vks_bench_times *times, const vkssm_bench_params *params, vkssm_bench_result *result) {
    result->host_clock = times->host_clock;
    result->n_run = times->n_run;
    result->n_sample = times->n_sample;
    result->min_ns = times->min_ns;
    result->median_ns = times->median_ns;
    result->spread = times->spread;
    memcpy(result->quarter_ns, times->quarter_ns, sizeof result->quarter_ns);
    double least = least_ns(params, result);
    result->limit_share = times->median_ns > 0 ? least / times->median_ns : 0;
}

bool vks_bench_can_run(const vkssm_device *device, uint64_t size, const vkssm_bench_params *params,
                       vkssm_bench_result *result) {
    const double longest_ns = params->longest_run_ns > 0 ? params->longest_run_ns : 20e9;
    bool cpu = vks_device_caps(device->vk)->type == VKS_DEVICE_CPU;
    uint64_t budget = vks_device_memory_budget(device->vk),
             room = cpu ? budget / 4 : budget; // a CPU's is all programs'
    double least = least_ns(params, result);
    if (size > room)
        snprintf(result->skipped, sizeof result->skipped, "needs %.1f MiB of device memory, %.1f MiB found%s",
                 (double)size / 1048576, (double)room / 1048576, cpu ? " (a quarter of what is free)" : "");
    else if (least > longest_ns)
        snprintf(result->skipped, sizeof result->skipped,
                 "needs a run of at most %.3g s, %.3g s found at the speed measured", longest_ns * 1e-9, least * 1e-9);
    return !result->skipped[0];
}

vkssm_status vkssm_bench_run(vkssm_device *device, uint32_t index, const vkssm_bench_params *params,
                             vkssm_bench_result *out) {
    const vkssm_bench_params defaults = {0};
    if (!device || !out) return vks_fail(NULL, VKSSM_ERR_ARG, "bench: a device and a place for the result expected");
    const vks_bench_family *family;
    const vks_bench_entry *entry = find(index, &family);
    *out = (vkssm_bench_result){0};
    if (!entry)
        return vks_fail(vks_device_log(device->vk), VKSSM_ERR_ARG, "bench: a case below %u expected, %u found",
                        vkssm_bench_n_case(), index);
    if (!params) params = &defaults;
    vks_bench_describe(entry, out);
    if (family->run) return family->run(device, entry, params, out);
    return vks_bench_run_op(device, family, entry, params, out);
}

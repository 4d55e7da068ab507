// Named scopes of a recording: debug labels, and GPU time by two timestamps each, without any barrier of their own.
#include "vk_internal.h"

#include <string.h>

void vks_recorder_enable_timestamps(vks_recorder *recorder, uint32_t max_scope) {
    const vks_probe *probe = &recorder->device->probe;
    const uint32_t most = 1u << 20; // keeps sizes far from overflow; no pool is that large
    if (!(probe->caps.features & VKS_FEATURE_TIMESTAMPS)) max_scope = 0;
    recorder->profile.max_scope = max_scope < most ? max_scope : most;
}

static vkssm_status grow_pool(vks_recorder *recorder) {
    vks_device *device = recorder->device;
    vks_profile *profile = &recorder->profile;
    vks_profile_finish(recorder); // its last submission has finished
    profile->names = vks_alloc_zero(profile->max_scope, sizeof *profile->names);
    if (!profile->names)
        return vks_fail(&device->log, VKSSM_ERR_OOM_HOST, "recorder: out of memory for %u scopes", profile->max_scope);
    const VkQueryPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = 2 * profile->max_scope,
    };
    VKS_TRY(vks_check(device, device->fn.CreateQueryPool(device->handle, &info, device->allocator, &profile->pool),
                      "vkCreateQueryPool"));
    VKS_SET_NAME(device, QUERY_POOL, profile->pool, "vkssm scopes");
    profile->pool_scope = profile->max_scope;
    return VKSSM_OK;
}

vkssm_status vks_profile_begin(vks_recorder *recorder) {
    vks_profile *profile = &recorder->profile;
    profile->n_scope = 0;
    profile->is_open = profile->is_timed = false;
    if (profile->max_scope == 0) return VKSSM_OK;
    if (profile->max_scope > profile->pool_scope) VKS_TRY(grow_pool(recorder));
    recorder->device->fn.CmdResetQueryPool(recorder->commands, profile->pool, 0, 2 * profile->pool_scope);
    return VKSSM_OK;
}

void vks_profile_finish(vks_recorder *recorder) {
    vks_device *device = recorder->device;
    vks_profile *profile = &recorder->profile;
    if (profile->pool) device->fn.DestroyQueryPool(device->handle, profile->pool, device->allocator);
    vks_free(profile->names);
    profile->pool = VK_NULL_HANDLE;
    profile->names = NULL;
    profile->pool_scope = 0;
}

static void write_timestamp(vks_recorder *recorder, uint32_t query) {
    recorder->device->fn.CmdWriteTimestamp2(recorder->commands, VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
                                            recorder->profile.pool, query);
}

void vks_record_scope_begin(vks_recorder *recorder, const char *name) {
    const vks_device *device = recorder->device;
    vks_profile *profile = &recorder->profile;
    if (recorder->state != VKS_RECORDER_RECORDING || profile->is_open) {
        vks_record_fail(recorder, vks_fail(&device->log, VKSSM_ERR_STATE, "recorder: scope %s begins %s", name,
                                           profile->is_open ? "inside a scope" : "outside begin and end"));
        return;
    }
    vks_window_enter(recorder);
    profile->is_open = true;
    profile->is_labelled = !recorder->window.skipping;
    profile->is_timed = profile->is_labelled && profile->n_scope < profile->max_scope;
    if (!profile->is_labelled) return;
    if (device->instance.fn.CmdBeginDebugUtilsLabelEXT) {
        const VkDebugUtilsLabelEXT label = {.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_LABEL_EXT, .pLabelName = name};
        device->instance.fn.CmdBeginDebugUtilsLabelEXT(recorder->commands, &label);
    }
    if (!profile->is_timed) return;
    profile->names[profile->n_scope] = name;
    write_timestamp(recorder, 2 * profile->n_scope);
}

void vks_record_scope_end(vks_recorder *recorder) {
    const vks_device *device = recorder->device;
    vks_profile *profile = &recorder->profile;
    if (!profile->is_open) {
        vks_record_fail(recorder, vks_fail(&device->log, VKSSM_ERR_STATE, "recorder: a scope ends that did not begin"));
        return;
    }
    if (profile->is_timed) write_timestamp(recorder, 2 * profile->n_scope++ + 1);
    if (profile->is_labelled && device->instance.fn.CmdEndDebugUtilsLabelEXT)
        device->instance.fn.CmdEndDebugUtilsLabelEXT(recorder->commands);
    profile->is_open = false;
    vks_window_enter(recorder);
}

bool vks_recorder_scope(vks_recorder *recorder, uint32_t index, const char **name, uint64_t *time_ns) {
    vks_device *device = recorder->device;
    const vks_profile *profile = &recorder->profile;
    if (!profile->pool || index >= profile->n_scope || vks_device_is_lost(device)) return false;
    // Until then the queries hold what an earlier recording left.
    if (!recorder->is_adopted && (!recorder->last_value || !vks_is_done(device, recorder->last_value))) return false;
    uint64_t ticks[2];
    VkResult result = device->fn.GetQueryPoolResults(device->handle, profile->pool, 2 * index, 2, sizeof ticks, ticks,
                                                     sizeof ticks[0], VK_QUERY_RESULT_64_BIT);
    if (result != VK_SUCCESS) return false;
    uint32_t n_bit = device->probe.timestamp_bits;
    uint64_t mask = n_bit < 64 ? (UINT64_C(1) << n_bit) - 1 : UINT64_MAX;
    *name = profile->names[index];
    *time_ns = (uint64_t)((double)((ticks[1] - ticks[0]) & mask) * (double)device->probe.caps.timestamp_period);
    return true;
}

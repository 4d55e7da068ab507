// The public device: vk's device together with its kernels.
#include "core_device.h"

#include <stdio.h>
#include <string.h>

#include <vkssm/vulkan.h>

#include "host/base/alloc.h"

#define SAME_BIT(NAME, bit, name, use)                                                                                 \
    _Static_assert((int)VKSSM_FEATURE_##NAME == (int)VKS_FEATURE_##NAME, "vk/ knows features by the same bits");
VKSSM_FEATURE_MAP(SAME_BIT)
_Static_assert((int)VKSSM_DEVICE_CPU == (int)VKS_DEVICE_CPU && (int)VKSSM_DEVICE_DISCRETE == (int)VKS_DEVICE_DISCRETE,
               "vk/ knows device types by the same numbers");

const char *vkssm_feature_name(vkssm_feature feature) {
    switch ((uint32_t)feature) {
#define FEATURE_NAME(NAME, bit, name, use)                                                                             \
    case 1u << bit:                                                                                                    \
        return name;
        VKSSM_FEATURE_MAP(FEATURE_NAME)
#undef FEATURE_NAME
    }
    return NULL;
}

static void info_from_caps(const vks_caps *caps, vkssm_device_info *info) {
    memset(info, 0, sizeof *info);
    memcpy(info->name, caps->name, sizeof info->name);
    memcpy(info->driver, caps->driver, sizeof info->driver);
    memcpy(info->unusable_reason, caps->unusable_reason, sizeof info->unusable_reason);
    info->type = (vkssm_device_type)caps->type;
    info->vendor_id = caps->vendor_id;
    info->device_id = caps->device_id;
    info->api_version = caps->api_version;
    info->features = caps->features;
    info->features_masked = caps->features_masked;
    info->subgroup_size = caps->subgroup_size;
    info->subgroup_size_min = caps->subgroup_size_min;
    info->subgroup_size_max = caps->subgroup_size_max;
    info->max_workgroup_invocations = caps->max_workgroup_invocations;
    info->max_shared_size = caps->max_shared_size;
    info->memory_size = caps->memory_size;
    info->memory_budget = caps->memory_size;
    info->max_allocation_size = caps->max_allocation_size;
    info->usable = caps->usable;
}

static vks_device_params vk_params(const vkssm_device_params *params) {
    if (!params) return (vks_device_params){0};
    return (vks_device_params){
        .log = params->log,
        .select = params->select,
        .mask_features = params->mask_features,
        .subgroup_size = params->subgroup_size,
        .validation = params->validation,
        .cache_path = params->cache_path,
        .get_instance_proc_addr = params->get_instance_proc_addr,
    };
}

static vkssm_status create(const vks_device_params *params, vkssm_device **out) {
    const vkssm_log *log = &params->log;
    if (!out) return vks_fail(log, VKSSM_ERR_ARG, "device: a place for the handle expected, NULL found");
    *out = NULL;
    vkssm_device *device = vks_alloc_zero(1, sizeof *device);
    if (!device) return vks_fail(log, VKSSM_ERR_OOM_HOST, "device: out of memory");
    vkssm_status status;
    VKS_TRY_GOTO(vks_device_create(params, &device->vk), fail);
    VKS_TRY_GOTO(vks_kernels_create(device->vk, &device->kernels), fail);
    *out = device;
    return VKSSM_OK;
fail:
    vks_kernels_destroy(&device->kernels);
    vks_device_destroy(&device->vk);
    vks_free(device);
    return status;
}

vkssm_status vkssm_device_create(const vkssm_device_params *params, vkssm_device **out) {
    vks_device_params vk = vk_params(params);
    return create(&vk, out);
}

// ---- the application's device
// ----------------------------------------------------------------------------------------

// Which features are not in use, and what that costs.
static void tell_what_is_missing(const vkssm_device *device) {
    uint32_t masked = vks_device_caps(device->vk)->features_masked, n_variant = 0, n_left_out = 0;
    char names[512] = "";
    size_t at = 0;
    if (!masked) return;
    for (uint32_t bit = 0; bit < 32 && at < sizeof names; bit++)
        if (masked >> bit & 1)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at ? ", " : "",
                                   vkssm_feature_name((vkssm_feature)(1u << bit)));
    vkssm_variant_info info;
    for (; vks_kernels_variant(device->kernels, n_variant, &info.name, &info.available, &info.reason); n_variant++)
        n_left_out += !info.available;
    vks_log(vks_device_log(device->vk), VKSSM_LOG_INFO,
            "adopted device: not enabled: %s; %u of %u kernel variants are left out", names, n_left_out, n_variant);
}

static void *pointer_of(PFN_vkGetInstanceProcAddr function) {
    void *pointer;
    _Static_assert(sizeof pointer == sizeof function, "pointers to functions and objects differ");
    memcpy(&pointer, &function, sizeof pointer);
    return pointer;
}

vkssm_status vkssm_device_adopt(const vkssm_device_params *params, const vkssm_host *host, vkssm_device **out) {
    vks_device_params vk = vk_params(params);
    if (!host) return vks_fail(&vk.log, VKSSM_ERR_ARG, "adopted device: the host's objects expected, NULL found");
    const vks_adopt adopt = {
        .instance = host->instance,
        .physical_device = host->physical_device,
        .device = host->device,
        .queue = host->queue,
        .queue_family = host->queue_family,
        .api_version = host->api_version,
        .enabled_features = host->enabled_features,
        .extensions = host->enabled_extensions,
        .n_extension = host->n_enabled_extension,
        .allocator = host->allocator,
        .lock_queue = host->lock_queue,
        .unlock_queue = host->unlock_queue,
        .lock_user = host->lock_user,
    };
    vk.adopt = &adopt;
    vk.get_instance_proc_addr = pointer_of(host->get_instance_proc_addr);
    VKS_TRY(create(&vk, out));
    tell_what_is_missing(*out);
    return VKSSM_OK;
}

void vkssm_device_report_lost(vkssm_device *device) {
    if (device) vks_device_report_lost(device->vk);
}

vkssm_status vkssm_wanted_create(const vkssm_device_params *params, PFN_vkGetInstanceProcAddr get_instance_proc_addr,
                                 VkInstance instance, VkPhysicalDevice physical_device, vkssm_wanted **out) {
    vks_device_params vk = vk_params(params);
    if (!get_instance_proc_addr || !instance || !physical_device || !out)
        return vks_fail(&vk.log, VKSSM_ERR_ARG, "wanted features: %s is NULL",
                        !get_instance_proc_addr ? "get_instance_proc_addr"
                        : !instance             ? "instance"
                        : !physical_device      ? "physical_device"
                                                : "the place for the handle");
    *out = NULL;
    vks_wanted *wanted;
    vk.get_instance_proc_addr = pointer_of(get_instance_proc_addr);
    VKS_TRY(vks_wanted_create(&vk, instance, physical_device, &wanted));
    *out = (vkssm_wanted *)wanted;
    return VKSSM_OK;
}

void vkssm_wanted_get(const vkssm_wanted *wanted, vkssm_wanted_info *info) {
    const vks_wanted *w = (const vks_wanted *)wanted;
    *info = (vkssm_wanted_info){w->features, w->extensions, w->n_extension, w->queue_family};
}

void vkssm_wanted_destroy(vkssm_wanted **wanted) {
    if (!wanted) return;
    vks_free(*wanted);
    *wanted = NULL;
}

void vkssm_device_destroy(vkssm_device **device) {
    if (!device || !*device) return;
    unsigned n_model = atomic_load(&(*device)->n_model);
    if (n_model > 0) {
        vks_fail(vks_device_log((*device)->vk), VKSSM_ERR_STATE,
                 "device: destroyed while %u models live on it: it stays", n_model);
        return;
    }
    vks_kernels_destroy(&(*device)->kernels);
    vks_device_destroy(&(*device)->vk);
    vks_free(*device);
    *device = NULL;
}

void vkssm_device_get_info(const vkssm_device *device, vkssm_device_info *out) {
    info_from_caps(vks_device_caps(device->vk), out);
    out->memory_budget = vks_device_memory_budget(device->vk);
    out->n_validation_message = vks_device_n_validation_message(device->vk);
}

vkssm_status vkssm_device_list(const vkssm_device_params *params, vkssm_device_info *infos, uint32_t *n_info) {
    if (!n_info)
        return vks_fail(params ? &params->log : NULL, VKSSM_ERR_ARG, "device list: a place for the number expected");
    vks_device_params vk = vk_params(params);
    vks_caps *caps = NULL;
    uint32_t n_caps = 0;
    VKS_TRY(vks_device_list(&vk, &caps, &n_caps));
    for (uint32_t i = 0; infos && i < n_caps && i < *n_info; i++)
        info_from_caps(&caps[i], &infos[i]);
    *n_info = n_caps;
    vks_free(caps);
    return VKSSM_OK;
}

vkssm_status vkssm_device_avoid(vkssm_device *device, const char *variants) {
    if (!device || !variants)
        return vks_fail(NULL, VKSSM_ERR_ARG, "device: a device and names of variants to avoid expected, NULL found");
    return vks_kernels_avoid(device->kernels, variants);
}

uint32_t vkssm_device_n_variant(const vkssm_device *device) {
    uint32_t n = 0;
    vkssm_variant_info info;
    while (vks_kernels_variant(device->kernels, n, &info.name, &info.available, &info.reason))
        n++;
    return n;
}

void vkssm_device_get_variant(const vkssm_device *device, uint32_t index, vkssm_variant_info *out) {
    memset(out, 0, sizeof *out);
    vks_kernels_variant(device->kernels, index, &out->name, &out->available, &out->reason);
}

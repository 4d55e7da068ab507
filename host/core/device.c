// The public device: vk's device together with its kernels.
#include "core_device.h"

#include <string.h>

#include "host/base/alloc.h"

#define SAME_BIT(NAME, bit, name, use)                                                                                      \
    _Static_assert((int)VKSSM_FEATURE_##NAME == (int)VKS_FEATURE_##NAME, "vk/ knows features by the same bits");
VKSSM_FEATURE_MAP(SAME_BIT)
_Static_assert((int)VKSSM_DEVICE_CPU == (int)VKS_DEVICE_CPU && (int)VKSSM_DEVICE_DISCRETE == (int)VKS_DEVICE_DISCRETE,
               "vk/ knows device types by the same numbers");

const char *vkssm_feature_name(vkssm_feature feature) {
    switch ((uint32_t)feature) {
#define FEATURE_NAME(NAME, bit, name, use)                                                                                  \
    case 1u << bit: return name;
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

static vks_device_params vk_params(const vkssm_device_params *params, vks_adopt *adopt) {
    vks_device_params vk = {0};
    if (!params) return vk;
    vk.log = params->log;
    vk.select = params->select;
    vk.mask_features = params->mask_features;
    vk.subgroup_size = params->subgroup_size;
    vk.validation = params->validation;
    vk.cache_path = params->cache_path;
    vk.get_instance_proc_addr = params->get_instance_proc_addr;
    if (!params->adopt) return vk;
    *adopt = (vks_adopt){
        .instance = params->adopt->instance,
        .physical_device = params->adopt->physical_device,
        .device = params->adopt->device,
        .queue = params->adopt->queue,
        .queue_family = params->adopt->queue_family,
        .enabled_features = params->adopt->enabled_features,
        .lock_queue = params->adopt->lock_queue,
        .unlock_queue = params->adopt->unlock_queue,
        .lock_user = params->adopt->lock_user,
    };
    vk.adopt = adopt;
    vk.get_instance_proc_addr = params->adopt->get_instance_proc_addr;
    return vk;
}

vkssm_status vkssm_device_create(const vkssm_device_params *params, vkssm_device **out) {
    const vkssm_log *log = params ? &params->log : NULL;
    if (!out) return vks_fail(log, VKSSM_ERR_ARG, "device: a place for the handle expected, NULL found");
    *out = NULL;
    vkssm_device *device = vks_alloc_zero(1, sizeof *device);
    if (!device) return vks_fail(log, VKSSM_ERR_OOM_HOST, "device: out of memory");
    vks_adopt adopt;
    vks_device_params vk = vk_params(params, &adopt);
    vkssm_status status;
    VKS_TRY_GOTO(vks_device_create(&vk, &device->vk), fail);
    VKS_TRY_GOTO(vks_kernels_create(device->vk, &device->kernels), fail);
    *out = device;
    return VKSSM_OK;
fail:
    vks_kernels_destroy(&device->kernels);
    vks_device_destroy(&device->vk);
    vks_free(device);
    return status;
}

void vkssm_device_destroy(vkssm_device **device) {
    if (!device || !*device) return;
    unsigned n_model = atomic_load(&(*device)->n_model);
    if (n_model > 0) {
        vks_fail(vks_device_log((*device)->vk), VKSSM_ERR_STATE, "device: destroyed while %u models live on it: it stays",
                 n_model);
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
    if (!n_info) return vks_fail(params ? &params->log : NULL, VKSSM_ERR_ARG, "device list: a place for the number expected");
    vks_adopt adopt;
    vks_device_params vk = vk_params(params, &adopt);
    vks_caps *caps = NULL;
    uint32_t n_caps = 0;
    VKS_TRY(vks_device_list(&vk, &caps, &n_caps));
    for (uint32_t i = 0; infos && i < n_caps && i < *n_info; i++) info_from_caps(&caps[i], &infos[i]);
    *n_info = n_caps;
    vks_free(caps);
    return VKSSM_OK;
}

uint32_t vkssm_device_n_variant(const vkssm_device *device) {
    uint32_t n = 0;
    vkssm_variant_info info;
    while (vks_kernels_variant(device->kernels, n, &info.name, &info.available, &info.reason)) n++;
    return n;
}

void vkssm_device_get_variant(const vkssm_device *device, uint32_t index, vkssm_variant_info *out) {
    memset(out, 0, sizeof *out);
    vks_kernels_variant(device->kernels, index, &out->name, &out->available, &out->reason);
}

// The host application's device: what it enabled, what that leaves of ours, and what it should enable.
#include "vk_internal.h"

#include <stdio.h>
#include <string.h>

// ---- what the host enabled
// -------------------------------------------------------------------------------------------

// Features have structs of their own and, since they became part of Vulkan, members in the structs of its versions. A
// chain may hold either.
static void collect_single(const VkBaseInStructure *s, vks_feature_chain *out) {
    switch (s->sType) {
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES:
        out->v12.bufferDeviceAddress |= ((const VkPhysicalDeviceBufferDeviceAddressFeatures *)s)->bufferDeviceAddress;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES:
        out->v12.timelineSemaphore |= ((const VkPhysicalDeviceTimelineSemaphoreFeatures *)s)->timelineSemaphore;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES: {
        const VkPhysicalDeviceVulkanMemoryModelFeatures *f = (const VkPhysicalDeviceVulkanMemoryModelFeatures *)s;
        out->v12.vulkanMemoryModel |= f->vulkanMemoryModel;
        out->v12.vulkanMemoryModelDeviceScope |= f->vulkanMemoryModelDeviceScope;
        break;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES: {
        const VkPhysicalDeviceShaderFloat16Int8Features *f = (const VkPhysicalDeviceShaderFloat16Int8Features *)s;
        out->v12.shaderFloat16 |= f->shaderFloat16;
        out->v12.shaderInt8 |= f->shaderInt8;
        break;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES:
        out->v12.storageBuffer8BitAccess |= ((const VkPhysicalDevice8BitStorageFeatures *)s)->storageBuffer8BitAccess;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES:
        out->v11.storageBuffer16BitAccess |=
            ((const VkPhysicalDevice16BitStorageFeatures *)s)->storageBuffer16BitAccess;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SYNCHRONIZATION_2_FEATURES:
        out->v13.synchronization2 |= ((const VkPhysicalDeviceSynchronization2Features *)s)->synchronization2;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_FEATURES:
        out->v13.maintenance4 |= ((const VkPhysicalDeviceMaintenance4Features *)s)->maintenance4;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES: {
        const VkPhysicalDeviceSubgroupSizeControlFeatures *f = (const VkPhysicalDeviceSubgroupSizeControlFeatures *)s;
        out->v13.subgroupSizeControl |= f->subgroupSizeControl;
        out->v13.computeFullSubgroups |= f->computeFullSubgroups;
        break;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES:
        out->v13.shaderIntegerDotProduct |=
            ((const VkPhysicalDeviceShaderIntegerDotProductFeatures *)s)->shaderIntegerDotProduct;
        break;
    default: // a feature that is not ours to use
        break;
    }
}

static void collect_whole(const VkBaseInStructure *s, vks_feature_chain *out) {
    switch (s->sType) {
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2:
        out->core.features.shaderInt64 |= ((const VkPhysicalDeviceFeatures2 *)s)->features.shaderInt64;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES:
        out->v11.storageBuffer16BitAccess |= ((const VkPhysicalDeviceVulkan11Features *)s)->storageBuffer16BitAccess;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES:
        out->v12 = *(const VkPhysicalDeviceVulkan12Features *)s;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES:
        out->v13 = *(const VkPhysicalDeviceVulkan13Features *)s;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR:
        out->statistics = *(const VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR *)s;
        break;
#ifdef VK_KHR_shader_bfloat16
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR:
        out->bfloat16 = *(const VkPhysicalDeviceShaderBfloat16FeaturesKHR *)s;
        break;
#endif
#ifdef VK_KHR_cooperative_matrix
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR:
        out->matrix = *(const VkPhysicalDeviceCooperativeMatrixFeaturesKHR *)s;
        break;
#endif
#ifdef VK_NV_cooperative_matrix2
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV:
        out->matrix_2 = *(const VkPhysicalDeviceCooperativeMatrix2FeaturesNV *)s;
        break;
#endif
    default:
        collect_single(s, out);
        break;
    }
}

void vks_collect_features(const void *enabled_features, vks_feature_chain *out) {
    memset(out, 0, sizeof *out);
    for (const VkBaseInStructure *s = enabled_features; s; s = s->pNext)
        collect_whole(s, out);
}

static bool has_name(const vks_adopt *adopt, const char *name) {
    for (uint32_t i = 0; i < adopt->n_extension; i++)
        if (adopt->extensions[i] && strcmp(adopt->extensions[i], name) == 0) return true;
    return false;
}

// Bits that the host turned on. Cooperative matrices and bfloat16 count only with their extension named too.
static uint32_t enabled_bits(const vks_adopt *adopt, const vks_feature_chain *chain) {
    uint32_t bits = vks_features_of_chain(chain) | VKS_FEATURES_OF_PROPERTIES;
    const struct {
        uint32_t bit;
        const char *name;
    } extensions[] = {
        {VKS_FEATURE_MEMORY_BUDGET, "VK_EXT_memory_budget"},
        {VKS_FEATURE_PIPELINE_STATISTICS, "VK_KHR_pipeline_executable_properties"},
        {VKS_FEATURE_BFLOAT16, "VK_KHR_shader_bfloat16"},
        {VKS_FEATURE_COOPERATIVE_MATRIX, "VK_KHR_cooperative_matrix"},
        {VKS_FEATURE_COOPERATIVE_MATRIX_2, "VK_NV_cooperative_matrix2"},
    };
    for (size_t i = 0; i < VKS_COUNT(extensions); i++) {
        if (has_name(adopt, extensions[i].name))
            bits |= extensions[i].bit == VKS_FEATURE_MEMORY_BUDGET ? extensions[i].bit : 0;
        else
            bits &= ~extensions[i].bit;
    }
    return bits;
}

// ---- adoption
// --------------------------------------------------------------------------------------------------------

vkssm_status vks_adopt_check(const vks_device_params *params) {
    const vks_adopt *adopt = params->adopt;
    const char *missing = !params->get_instance_proc_addr            ? "get_instance_proc_addr"
                          : !adopt->instance                         ? "instance"
                          : !adopt->physical_device                  ? "physical_device"
                          : !adopt->device                           ? "device"
                          : !adopt->queue                            ? "queue"
                          : !adopt->enabled_features                 ? "enabled_features"
                          : adopt->n_extension && !adopt->extensions ? "enabled_extensions"
                                                                     : NULL;
    if (missing) return vks_fail(&params->log, VKSSM_ERR_ARG, "adopted device: %s is NULL", missing);
    if (!adopt->lock_queue != !adopt->unlock_queue)
        return vks_fail(&params->log, VKSSM_ERR_ARG, "adopted device: lock_queue and unlock_queue go together");
    if (adopt->api_version < VK_API_VERSION_1_3)
        return vks_fail(&params->log, VKSSM_ERR_UNSUPPORTED,
                        "adopted instance: api_version of Vulkan 1.3 or later expected, %u.%u found",
                        VK_API_VERSION_MAJOR(adopt->api_version), VK_API_VERSION_MINOR(adopt->api_version));
    return VKSSM_OK;
}

static vkssm_status check_device(vks_device *device, const vks_feature_chain *chain) {
    const vks_caps *caps = &device->probe.caps;
    uint32_t family = device->adopt.queue_family;
    if (!caps->usable)
        return vks_fail(&device->log, VKSSM_ERR_UNSUPPORTED, "adopted device \"%s\", queue family %u: it lacks %s",
                        caps->name, family, caps->unusable_reason);
    const char *missing = vks_floor_missing(chain);
    if (!missing) return VKSSM_OK;
    return vks_fail(&device->log, VKSSM_ERR_UNSUPPORTED,
                    "adopted device \"%s\": it was created without the feature %s, which must be enabled", caps->name,
                    missing);
}

vkssm_status vks_adopt_host(vks_device *device, const vks_device_params *params) {
    const vks_adopt *adopt = params->adopt;
    vks_feature_chain chain;
    device->is_adopted = true;
    device->adopt = *adopt;
    device->physical = adopt->physical_device;
    vks_collect_features(adopt->enabled_features, &chain);
    uint32_t enabled = enabled_bits(adopt, &chain);
    VKS_TRY(vks_probe_device(&device->instance, device->physical, adopt->queue_family, ~enabled | params->mask_features,
                             &device->probe));
    VKS_TRY(check_device(device, &chain));
    vks_caps *caps = &device->probe.caps;
    uint32_t found = caps->features | device->probe.declined;
    vks_caps_restrict(caps, enabled, params->mask_features);
    caps->features_masked = found & ~caps->features;
    VKS_TRY(vks_load_device_functions(&device->instance.fn, adopt->device, &device->log, &device->fn));
    if (!device->fn.GetPipelineExecutablePropertiesKHR || !device->fn.GetPipelineExecutableStatisticsKHR)
        caps->features &= ~(uint32_t)VKS_FEATURE_PIPELINE_STATISTICS;
    if (adopt->allocator) {
        device->allocator_copy = *(const VkAllocationCallbacks *)adopt->allocator;
        device->allocator = &device->allocator_copy;
    }
    device->handle = adopt->device;
    device->queue = adopt->queue;
    // What the host gave for the call only.
    device->adopt.enabled_features = device->adopt.allocator = NULL;
    device->adopt.extensions = NULL;
    if (params->validation)
        vks_log(&device->log, VKSSM_LOG_INFO, "adopted device: validation is up to the host application's instance");
    return VKSSM_OK;
}

// ---- what the host should enable
// -------------------------------------------------------------------------------------

typedef struct wanted {
    vks_wanted head; // first: it is what is handed out
    vks_feature_chain chain;
    const char *extensions[VKS_MAX_EXTENSION];
} wanted;

vkssm_status vks_wanted_create(const vks_device_params *params, void *instance, void *physical_device,
                               vks_wanted **out) {
    const vkssm_log *log = &params->log;
    *out = NULL;
    vks_instance adopted;
    vks_probe probe;
    VKS_TRY(vks_instance_open(params, instance, log, &adopted));
    vkssm_status status = vks_probe_device(&adopted, physical_device, UINT32_MAX, params->mask_features, &probe);
    vks_instance_close(&adopted);
    VKS_TRY(status);
    if (!probe.caps.usable)
        return vks_fail(log, VKSSM_ERR_UNSUPPORTED, "device \"%s\": it lacks %s", probe.caps.name,
                        probe.caps.unusable_reason);
    wanted *w = vks_alloc_zero(1, sizeof *w);
    if (!w) return vks_fail(log, VKSSM_ERR_OOM_HOST, "device: out of memory for a list of features");
    vks_caps_restrict(&probe.caps, UINT32_MAX, params->mask_features);
    w->head.n_extension = vks_features_to_enable(&probe, &w->chain, w->extensions);
    w->head.features = &w->chain.core;
    w->head.extensions = w->extensions;
    w->head.queue_family = probe.queue_family;
    *out = &w->head;
    return VKSSM_OK;
}

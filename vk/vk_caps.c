// What a physical device can do: the floor that every device must have, and the optional features.
#include "vk_internal.h"

#include <stdio.h>
#include <string.h>

// Device extensions that an optional feature needs.
typedef struct found_extensions {
    bool statistics, budget, portability_subset;
    bool bfloat16, matrix, matrix_2;
} found_extensions;

static vkssm_status find_extensions(const vks_instance *instance, VkPhysicalDevice physical, found_extensions *out) {
    memset(out, 0, sizeof *out);
    uint32_t n = 0;
    if (instance->fn.EnumerateDeviceExtensionProperties(physical, NULL, &n, NULL) != VK_SUCCESS) return VKSSM_OK;
    VkExtensionProperties *list = vks_alloc_zero(n, sizeof *list);
    if (!list) return vks_fail(instance->log, VKSSM_ERR_OOM_HOST, "Vulkan device: out of memory for %u extensions", n);
    if (n && instance->fn.EnumerateDeviceExtensionProperties(physical, NULL, &n, list) < 0) n = 0;
    for (uint32_t i = 0; i < n; i++) {
        const char *name = list[i].extensionName;
        out->statistics |= strcmp(name, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME) == 0;
        out->budget |= strcmp(name, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME) == 0;
        out->portability_subset |= strcmp(name, "VK_KHR_portability_subset") == 0;
#ifdef VK_KHR_shader_bfloat16
        out->bfloat16 |= strcmp(name, VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME) == 0;
#endif
#ifdef VK_KHR_cooperative_matrix
        out->matrix |= strcmp(name, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME) == 0;
#endif
#ifdef VK_NV_cooperative_matrix2
        out->matrix_2 |= strcmp(name, VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME) == 0;
#endif
    }
    vks_free(list);
    return VKSSM_OK;
}

// Extensions that nobody will use are as good as absent: their structs are passed to nothing, validation layers that
// are older than they are included. Returns the bits that this leaves out.
static uint32_t decline(found_extensions *found, uint32_t declined) {
    const struct {
        uint32_t bit;
        bool *found;
    } extensions[] = {
        {VKS_FEATURE_PIPELINE_STATISTICS, &found->statistics},
        {VKS_FEATURE_BFLOAT16, &found->bfloat16},
        {VKS_FEATURE_COOPERATIVE_MATRIX, &found->matrix},
        {VKS_FEATURE_COOPERATIVE_MATRIX_2, &found->matrix_2},
    };
    uint32_t left_out = 0;
    if (declined & VKS_FEATURE_COOPERATIVE_MATRIX) declined |= VKS_FEATURE_COOPERATIVE_MATRIX_2; // of no use alone
    for (size_t i = 0; i < VKS_COUNT(extensions); i++)
        if (declined & extensions[i].bit && *extensions[i].found) {
            left_out |= extensions[i].bit;
            *extensions[i].found = false;
        }
    return left_out;
}

// Link the structs that the device, with these extensions, knows.
static void link_chain(vks_feature_chain *chain, const found_extensions *found) {
    memset(chain, 0, sizeof *chain);
    chain->core.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    chain->v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
    chain->v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    chain->v13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES;
    chain->core.pNext = &chain->v11;
    chain->v11.pNext = &chain->v12;
    chain->v12.pNext = &chain->v13;
    void **next = &chain->v13.pNext;
    chain->statistics.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR;
    if (found->statistics) *next = &chain->statistics, next = &chain->statistics.pNext;
#ifdef VK_KHR_shader_bfloat16
    chain->bfloat16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR;
    if (found->bfloat16) *next = &chain->bfloat16, next = &chain->bfloat16.pNext;
#endif
#ifdef VK_KHR_cooperative_matrix
    chain->matrix.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
    if (found->matrix) *next = &chain->matrix, next = &chain->matrix.pNext;
#endif
#ifdef VK_NV_cooperative_matrix2
    chain->matrix_2.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV;
    if (found->matrix_2) *next = &chain->matrix_2, next = &chain->matrix_2.pNext;
#endif
    *next = NULL;
}

static void set_unusable(vks_caps *caps, const char *reason) {
    if (caps->unusable_reason[0]) return; // the first reason stays
    caps->usable = false;
    snprintf(caps->unusable_reason, sizeof caps->unusable_reason, "%s", reason);
}

const char *vks_floor_missing(const vks_feature_chain *chain) {
    const struct {
        VkBool32 present;
        const char *name;
    } floor[] = {
        {chain->v12.bufferDeviceAddress, "bufferDeviceAddress"},
        {chain->v13.synchronization2, "synchronization2"},
        {chain->v12.timelineSemaphore, "timelineSemaphore"},
        {chain->v13.maintenance4, "maintenance4"},
        {chain->v13.subgroupSizeControl, "subgroupSizeControl"},
        {chain->v13.computeFullSubgroups, "computeFullSubgroups"},
        {chain->v12.vulkanMemoryModel, "vulkanMemoryModel"},
        {chain->v12.vulkanMemoryModelDeviceScope, "vulkanMemoryModelDeviceScope"},
    };
    for (size_t i = 0; i < VKS_COUNT(floor); i++)
        if (!floor[i].present) return floor[i].name;
    return NULL;
}

static void check_floor(vks_caps *caps, const vks_feature_chain *chain) {
    const char *missing = vks_floor_missing(chain);
    if (missing) set_unusable(caps, missing);
    // The plain variants of matrix products and of the tiled selective scan take this much; every GPU with Vulkan 1.3
    // has it, though Vulkan itself promises 128 invocations and 16 KiB only.
    const struct {
        uint32_t least, found;
        const char *what;
    } limits[] = {
        {128, caps->max_push_size, "bytes of push constants"},
        {256, caps->max_workgroup_invocations, "invocations in a workgroup"},
        {256, caps->max_workgroup_size[0], "invocations along a workgroup"},
        {32768, caps->max_shared_size, "bytes of shared memory"},
    };
    for (size_t i = 0; i < VKS_COUNT(limits); i++)
        if (limits[i].found < limits[i].least) {
            char reason[96];
            snprintf(reason, sizeof reason, "%u %s (it has %u)", limits[i].least, limits[i].what, limits[i].found);
            set_unusable(caps, reason);
        }
}

static uint32_t subgroup_features(const VkPhysicalDeviceVulkan11Properties *v11) {
    uint32_t features = 0;
    const VkSubgroupFeatureFlags arithmetic = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
    const VkSubgroupFeatureFlags shuffle = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT |
                                           VK_SUBGROUP_FEATURE_SHUFFLE_RELATIVE_BIT | VK_SUBGROUP_FEATURE_BALLOT_BIT;
    if (v11->subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) {
        VkSubgroupFeatureFlags found = v11->subgroupSupportedOperations;
        if ((found & arithmetic) == arithmetic) features |= VKS_FEATURE_SUBGROUP_ARITHMETIC;
        if ((found & shuffle) == shuffle) features |= VKS_FEATURE_SUBGROUP_SHUFFLE;
    }
    return features;
}

uint32_t vks_features_of_chain(const vks_feature_chain *chain) {
    uint32_t features = 0;
    if (chain->v12.shaderFloat16) features |= VKS_FEATURE_SHADER_F16;
    if (chain->v11.storageBuffer16BitAccess) features |= VKS_FEATURE_STORAGE_16;
    if (chain->v12.shaderInt8) features |= VKS_FEATURE_SHADER_INT8;
    if (chain->v12.storageBuffer8BitAccess) features |= VKS_FEATURE_STORAGE_8;
    if (chain->core.features.shaderInt64) features |= VKS_FEATURE_SHADER_INT64;
    if (chain->v13.shaderIntegerDotProduct) features |= VKS_FEATURE_INTEGER_DOT;
    if (chain->statistics.pipelineExecutableInfo) features |= VKS_FEATURE_PIPELINE_STATISTICS;
#ifdef VK_KHR_shader_bfloat16
    if (chain->bfloat16.shaderBFloat16Type) features |= VKS_FEATURE_BFLOAT16;
    if (chain->bfloat16.shaderBFloat16CooperativeMatrix) features |= VKS_FEATURE_BFLOAT16_MATRIX;
#endif
#ifdef VK_KHR_cooperative_matrix
    if (chain->matrix.cooperativeMatrix) features |= VKS_FEATURE_COOPERATIVE_MATRIX;
    if (chain->matrix.cooperativeMatrix && chain->v12.shaderInt8) features |= VKS_FEATURE_INT8_MATRIX;
#endif
#ifdef VK_NV_cooperative_matrix2
    const VkPhysicalDeviceCooperativeMatrix2FeaturesNV *m = &chain->matrix_2;
    if (m->cooperativeMatrixWorkgroupScope && m->cooperativeMatrixFlexibleDimensions &&
        m->cooperativeMatrixReductions && m->cooperativeMatrixConversions && m->cooperativeMatrixPerElementOperations &&
        m->cooperativeMatrixTensorAddressing && m->cooperativeMatrixBlockLoads)
        features |= VKS_FEATURE_COOPERATIVE_MATRIX_2;
#endif
    return features;
}

void vks_caps_restrict(vks_caps *caps, uint32_t allowed, uint32_t masked) {
    uint32_t found = caps->features & allowed;
    caps->features_masked = found & masked;
    caps->features = found & ~masked;
    if (!(caps->features & VKS_FEATURE_COOPERATIVE_MATRIX))
        caps->features &=
            ~(uint32_t)(VKS_FEATURE_COOPERATIVE_MATRIX_2 | VKS_FEATURE_BFLOAT16_MATRIX | VKS_FEATURE_INT8_MATRIX);
    if (!(caps->features & VKS_FEATURE_SHADER_INT8)) caps->features &= ~(uint32_t)VKS_FEATURE_INT8_MATRIX;
    if (!(caps->features & VKS_FEATURE_INT8_MATRIX)) caps->int8_matrix_depth = 0;
    if (!(caps->features & VKS_FEATURE_BFLOAT16)) caps->features &= ~(uint32_t)VKS_FEATURE_BFLOAT16_MATRIX;
    if (!(caps->features & VKS_FEATURE_TIMESTAMPS)) caps->timestamp_period = 0;
}

uint32_t vks_features_to_enable(const vks_probe *probe, vks_feature_chain *chain,
                                const char *names[VKS_MAX_EXTENSION]) {
    uint32_t features = probe->caps.features, n = 0;
    const found_extensions wanted = {
        .statistics = features & VKS_FEATURE_PIPELINE_STATISTICS,
        .budget = features & VKS_FEATURE_MEMORY_BUDGET,
        .portability_subset = probe->has_portability_subset,
        .bfloat16 = features & VKS_FEATURE_BFLOAT16,
        .matrix = features & VKS_FEATURE_COOPERATIVE_MATRIX,
        .matrix_2 = features & VKS_FEATURE_COOPERATIVE_MATRIX_2,
    };
    link_chain(chain, &wanted);
    chain->v12.bufferDeviceAddress = VK_TRUE;
    chain->v12.timelineSemaphore = VK_TRUE;
    chain->v12.vulkanMemoryModel = VK_TRUE;
    chain->v12.vulkanMemoryModelDeviceScope = VK_TRUE;
    chain->v13.synchronization2 = VK_TRUE;
    chain->v13.maintenance4 = VK_TRUE;
    chain->v13.subgroupSizeControl = VK_TRUE;
    chain->v13.computeFullSubgroups = VK_TRUE;
    chain->v12.shaderFloat16 = !!(features & VKS_FEATURE_SHADER_F16);
    chain->v11.storageBuffer16BitAccess = !!(features & VKS_FEATURE_STORAGE_16);
    chain->v12.shaderInt8 = !!(features & VKS_FEATURE_SHADER_INT8);
    chain->v12.storageBuffer8BitAccess = !!(features & VKS_FEATURE_STORAGE_8);
    chain->core.features.shaderInt64 = !!(features & VKS_FEATURE_SHADER_INT64);
    chain->v13.shaderIntegerDotProduct = !!(features & VKS_FEATURE_INTEGER_DOT);
    chain->statistics.pipelineExecutableInfo = wanted.statistics;
    if (wanted.statistics) names[n++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    if (wanted.budget) names[n++] = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME;
    if (wanted.portability_subset) names[n++] = "VK_KHR_portability_subset";
#ifdef VK_KHR_shader_bfloat16
    chain->bfloat16.shaderBFloat16Type = wanted.bfloat16;
    chain->bfloat16.shaderBFloat16CooperativeMatrix = features & VKS_FEATURE_BFLOAT16_MATRIX ? VK_TRUE : VK_FALSE;
    if (wanted.bfloat16) names[n++] = VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME;
#endif
#ifdef VK_KHR_cooperative_matrix
    chain->matrix.cooperativeMatrix = wanted.matrix;
    if (wanted.matrix) names[n++] = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
#endif
#ifdef VK_NV_cooperative_matrix2
    chain->matrix_2.cooperativeMatrixWorkgroupScope = VK_TRUE; // the struct is linked only if all of them are wanted
    chain->matrix_2.cooperativeMatrixFlexibleDimensions = VK_TRUE;
    chain->matrix_2.cooperativeMatrixReductions = VK_TRUE;
    chain->matrix_2.cooperativeMatrixConversions = VK_TRUE;
    chain->matrix_2.cooperativeMatrixPerElementOperations = VK_TRUE;
    chain->matrix_2.cooperativeMatrixTensorAddressing = VK_TRUE;
    chain->matrix_2.cooperativeMatrixBlockLoads = VK_TRUE;
    if (wanted.matrix_2) names[n++] = VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME;
#endif
    return n;
}

static vks_device_type type_of(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return VKS_DEVICE_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return VKS_DEVICE_DISCRETE;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return VKS_DEVICE_VIRTUAL;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return VKS_DEVICE_CPU;
    default:
        return VKS_DEVICE_OTHER;
    }
}

static void fill_basics(const VkPhysicalDeviceProperties *properties, vks_probe *out) {
    vks_caps *caps = &out->caps;
    snprintf(caps->name, sizeof caps->name, "%s", properties->deviceName);
    snprintf(caps->driver, sizeof caps->driver, "driver version 0x%x", properties->driverVersion);
    caps->type = type_of(properties->deviceType);
    caps->vendor_id = properties->vendorID;
    caps->device_id = properties->deviceID;
    caps->api_version = properties->apiVersion;
    caps->max_workgroup_invocations = properties->limits.maxComputeWorkGroupInvocations;
    for (int i = 0; i < 3; i++) {
        caps->max_workgroup_size[i] = properties->limits.maxComputeWorkGroupSize[i];
        caps->max_workgroup_count[i] = properties->limits.maxComputeWorkGroupCount[i];
    }
    caps->max_shared_size = properties->limits.maxComputeSharedMemorySize;
    caps->max_push_size = properties->limits.maxPushConstantsSize;
    out->driver_version = properties->driverVersion;
    memcpy(out->cache_uuid, properties->pipelineCacheUUID, sizeof out->cache_uuid);
}

static uint64_t min_u64(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

// The rest of what a Vulkan 1.3 device tells of itself; returns what it tells of subgroups.
static VkPhysicalDeviceVulkan11Properties fill_properties(const vks_instance *instance, VkPhysicalDevice physical,
                                                          bool has_matrix, vks_probe *out) {
    vks_caps *caps = &out->caps;
    VkPhysicalDeviceVulkan13Properties v13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES};
    VkPhysicalDeviceVulkan12Properties v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES,
                                              .pNext = &v13};
    VkPhysicalDeviceVulkan11Properties v11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES,
                                              .pNext = &v12};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &v11};
#ifdef VK_KHR_cooperative_matrix
    VkPhysicalDeviceCooperativeMatrixPropertiesKHR matrix = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_PROPERTIES_KHR};
    if (has_matrix) v13.pNext = &matrix;
#endif
    instance->fn.GetPhysicalDeviceProperties2(physical, &properties);
#ifdef VK_KHR_cooperative_matrix
    if (!(matrix.cooperativeMatrixSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT)) has_matrix = false;
#else
    has_matrix = false;
#endif
    out->has_compute_matrix = has_matrix;
    snprintf(caps->driver, sizeof caps->driver, "%s %s", v12.driverName, v12.driverInfo);
    if (!v12.driverInfo[0]) snprintf(caps->driver, sizeof caps->driver, "%s 0x%x", v12.driverName, out->driver_version);
    caps->subgroup_size = v11.subgroupSize;
    caps->subgroup_size_min = v13.minSubgroupSize;
    caps->subgroup_size_max = v13.maxSubgroupSize;
    out->max_workgroup_subgroups = v13.maxComputeWorkgroupSubgroups;
    out->can_require_subgroup_size = v13.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
    caps->exact_subgroups = out->can_require_subgroup_size || caps->subgroup_size_min == caps->subgroup_size_max;
    uint64_t largest = min_u64(v11.maxMemoryAllocationSize, v13.maxBufferSize) / VKS_ALIGNMENT * VKS_ALIGNMENT;
    // Less what aligning the first buffer of a block may take.
    caps->max_allocation_size = largest > VKS_ALIGNMENT ? largest - VKS_ALIGNMENT : 0;
    if (out->timestamp_bits && properties.properties.limits.timestampPeriod > 0) {
        caps->timestamp_period = properties.properties.limits.timestampPeriod;
        caps->features |= VKS_FEATURE_TIMESTAMPS;
    }
    v11.pNext = NULL;
    return v11;
}

#ifdef VK_KHR_cooperative_matrix
// Whether the device multiplies matrices of `type`, 16 x depth by depth x 16, with sums of `sum` in a subgroup: what
// the kernels use.
static bool has_products(const vks_instance *instance, VkPhysicalDevice physical, VkComponentTypeKHR type,
                         VkComponentTypeKHR sum, uint32_t depth) {
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR get =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)instance->loader.get_instance_proc_addr(
            instance->handle, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    uint32_t n = 0;
    if (!get || get(physical, &n, NULL) != VK_SUCCESS || n == 0) return false;
    VkCooperativeMatrixPropertiesKHR *shapes = vks_alloc_zero(n, sizeof *shapes);
    if (!shapes) return false; // the device then goes without
    for (uint32_t i = 0; i < n; i++)
        shapes[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    bool found = false;
    if (get(physical, &n, shapes) >= VK_SUCCESS)
        for (uint32_t i = 0; i < n; i++) {
            const VkCooperativeMatrixPropertiesKHR *m = &shapes[i];
            found |= m->MSize == 16 && m->NSize == 16 && m->KSize == depth && m->scope == VK_SCOPE_SUBGROUP_KHR &&
                     m->AType == type && m->BType == type && m->CType == sum && m->ResultType == sum &&
                     !m->saturatingAccumulation;
        }
    vks_free(shapes);
    return found;
}
#endif

static void fill_features(const vks_instance *instance, VkPhysicalDevice physical, const found_extensions *found,
                          vks_probe *out) {
    vks_feature_chain chain;
    link_chain(&chain, found);
    instance->fn.GetPhysicalDeviceFeatures2(physical, &chain.core);
    VkPhysicalDeviceVulkan11Properties v11 = fill_properties(instance, physical, found->matrix, out);
    uint32_t features = subgroup_features(&v11) | vks_features_of_chain(&chain);
    if (found->budget) features |= VKS_FEATURE_MEMORY_BUDGET;
#ifdef VK_KHR_cooperative_matrix
    const uint32_t matrices = VKS_FEATURE_COOPERATIVE_MATRIX | VKS_FEATURE_COOPERATIVE_MATRIX_2 |
                              VKS_FEATURE_BFLOAT16_MATRIX | VKS_FEATURE_INT8_MATRIX;
    if (!out->has_compute_matrix ||
        !has_products(instance, physical, VK_COMPONENT_TYPE_FLOAT16_KHR, VK_COMPONENT_TYPE_FLOAT32_KHR, 16))
        features &= ~matrices;
#ifdef VK_KHR_shader_bfloat16
    else if (!has_products(instance, physical, VK_COMPONENT_TYPE_BFLOAT16_KHR, VK_COMPONENT_TYPE_FLOAT32_KHR, 16))
        features &= ~(uint32_t)VKS_FEATURE_BFLOAT16_MATRIX;
#endif
    const VkComponentTypeKHR s8 = VK_COMPONENT_TYPE_SINT8_KHR, s32 = VK_COMPONENT_TYPE_SINT32_KHR;
    for (uint32_t depth = 32; features & VKS_FEATURE_INT8_MATRIX && !out->caps.int8_matrix_depth && depth; depth -= 16)
        if (has_products(instance, physical, s8, s32, depth)) out->caps.int8_matrix_depth = depth;
    if (!out->caps.int8_matrix_depth) features &= ~(uint32_t)VKS_FEATURE_INT8_MATRIX;
#endif
    out->caps.features |= features;
    out->has_portability_subset = found->portability_subset;
    check_floor(&out->caps, &chain);
}

static vkssm_status find_queue_family(const vks_instance *instance, VkPhysicalDevice physical, uint32_t wanted,
                                      vks_probe *out) {
    uint32_t n = 0;
    instance->fn.GetPhysicalDeviceQueueFamilyProperties(physical, &n, NULL);
    VkQueueFamilyProperties *families = vks_alloc_zero(n, sizeof *families);
    if (!families)
        return vks_fail(instance->log, VKSSM_ERR_OOM_HOST, "Vulkan device: out of memory for %u queue families", n);
    instance->fn.GetPhysicalDeviceQueueFamilyProperties(physical, &n, families);
    int best = 0;
    out->queue_family = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || (wanted != UINT32_MAX && wanted != i)) continue;
        int score = families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT ? 2 : 1; // the main queue of every driver
        if (score <= best) continue;
        best = score;
        out->queue_family = i;
        out->timestamp_bits = families[i].timestampValidBits;
    }
    vks_free(families);
    if (out->queue_family == UINT32_MAX) set_unusable(&out->caps, "a queue family with compute");
    return VKSSM_OK;
}

vkssm_status vks_probe_device(const vks_instance *instance, VkPhysicalDevice physical, uint32_t queue_family,
                              uint32_t declined, vks_probe *out) {
    memset(out, 0, sizeof *out);
    VkPhysicalDeviceProperties properties;
    instance->fn.GetPhysicalDeviceProperties(physical, &properties);
    fill_basics(&properties, out);
    out->caps.usable = true;
    VkPhysicalDeviceMemoryProperties memory;
    instance->fn.GetPhysicalDeviceMemoryProperties(physical, &memory);
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++)
        if (memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT &&
            memory.memoryHeaps[i].size > out->caps.memory_size)
            out->caps.memory_size = memory.memoryHeaps[i].size;
    if (properties.apiVersion < VK_API_VERSION_1_3) {
        char reason[64];
        snprintf(reason, sizeof reason, "Vulkan 1.3 (it has %u.%u)", VK_API_VERSION_MAJOR(properties.apiVersion),
                 VK_API_VERSION_MINOR(properties.apiVersion));
        set_unusable(&out->caps, reason);
        return VKSSM_OK;
    }
    VKS_TRY(find_queue_family(instance, physical, queue_family, out));
    found_extensions found;
    VKS_TRY(find_extensions(instance, physical, &found));
    out->declined = decline(&found, declined);
    fill_features(instance, physical, &found, out);
    return VKSSM_OK;
}

// Compute pipelines from SPIR-V and specialization constants, and what the driver tells of them.
#include "vk_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const uint32_t spirv_magic = 0x07230203;

static vkssm_status check_params(const vks_device *device, const vks_pipeline_params *params, const char *name) {
    const vkssm_log *log = &device->log;
    if (!params->code || params->code_size < 20 || params->code_size % 4 || params->code[0] != spirv_magic)
        return vks_fail(log, VKSSM_ERR_ARG, "pipeline %s: %zu bytes of code are not SPIR-V", name, params->code_size);
    if (params->push_size > device->probe.caps.max_push_size || params->push_size % 4)
        return vks_fail(log, VKSSM_ERR_ARG,
                        "pipeline %s: %u bytes of push constants, expected a multiple of 4 up to %u", name,
                        params->push_size, device->probe.caps.max_push_size);
    if (params->n_constant && !params->constants)
        return vks_fail(log, VKSSM_ERR_ARG, "pipeline %s: %u specialization constants are NULL", name,
                        params->n_constant);
    return VKSSM_OK;
}

static vkssm_status create_layout(vks_device *device, vks_pipeline *pipeline) {
    const VkPushConstantRange range = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = pipeline->push_size};
    const VkPipelineLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .pushConstantRangeCount = pipeline->push_size > 0,
        .pPushConstantRanges = &range,
    };
    VKS_TRY(vks_check(device, device->fn.CreatePipelineLayout(device->handle, &info, device->allocator, &pipeline->layout),
                      "vkCreatePipelineLayout"));
    VKS_SET_NAME(device, PIPELINE_LAYOUT, pipeline->layout, pipeline->name);
    return VKSSM_OK;
}

// The size that subgroups of this pipeline must have, 0 for the driver's choice. A shader that counts on full subgroups
// is specialized for caps.subgroup_size, which a driver that has several sizes must then be held to.
static uint32_t subgroup_size_of(const vks_device *device, bool full_subgroups) {
    const vks_caps *caps = &device->probe.caps;
    if (device->required_subgroup_size) return device->required_subgroup_size;
    bool varies = caps->subgroup_size_min != caps->subgroup_size_max;
    return full_subgroups && varies && device->probe.can_require_subgroup_size ? caps->subgroup_size : 0;
}

static vkssm_status create_handle(vks_device *device, const vks_pipeline_params *params, VkShaderModule module,
                                  const VkSpecializationInfo *constants, vks_pipeline *pipeline) {
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo required = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = subgroup_size_of(device, params->full_subgroups),
    };
    bool statistics = device->probe.caps.features & VKS_FEATURE_PIPELINE_STATISTICS;
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = statistics ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR : 0,
        .stage =
            {
                .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .pNext = required.requiredSubgroupSize ? &required : NULL,
                .flags = params->full_subgroups ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = module,
                .pName = "main",
                .pSpecializationInfo = constants,
            },
        .layout = pipeline->layout,
    };
    vks_mutex_lock(&device->pipeline_mutex);
    VkResult result =
        device->fn.CreateComputePipelines(device->handle, device->pipeline_cache, 1, &info, device->allocator, &pipeline->handle);
    vks_mutex_unlock(&device->pipeline_mutex);
    if (result >= 0) {
        VKS_SET_NAME(device, PIPELINE, pipeline->handle, pipeline->name);
        return VKSSM_OK;
    }
    char what[128];
    snprintf(what, sizeof what, "pipeline %.80s: vkCreateComputePipelines", pipeline->name);
    return vks_check(device, result, what);
}

static vkssm_status specialize_and_create(vks_device *device, const vks_pipeline_params *params, VkShaderModule module,
                                          vks_pipeline *pipeline) {
    VkSpecializationMapEntry *entries = vks_alloc_zero(params->n_constant, sizeof *entries);
    if (!entries)
        return vks_fail(&device->log, VKSSM_ERR_OOM_HOST, "pipeline %s: out of memory for %u constants", pipeline->name,
                        params->n_constant);
    for (uint32_t i = 0; i < params->n_constant; i++)
        entries[i] = (VkSpecializationMapEntry){.constantID = i, .offset = 4 * i, .size = 4};
    const VkSpecializationInfo constants = {
        .mapEntryCount = params->n_constant,
        .pMapEntries = entries,
        .dataSize = (size_t)4 * params->n_constant,
        .pData = params->constants,
    };
    vkssm_status status = create_handle(device, params, module, params->n_constant ? &constants : NULL, pipeline);
    vks_free(entries);
    return status;
}

static vkssm_status fill(vks_device *device, const vks_pipeline_params *params, vks_pipeline *pipeline) {
    VKS_TRY(create_layout(device, pipeline));
    const VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = params->code_size,
        .pCode = params->code,
    };
    VkShaderModule module;
    VKS_TRY(
        vks_check(device, device->fn.CreateShaderModule(device->handle, &info, device->allocator, &module), "vkCreateShaderModule"));
    VKS_SET_NAME(device, SHADER_MODULE, module, pipeline->name);
    vkssm_status status = specialize_and_create(device, params, module, pipeline);
    device->fn.DestroyShaderModule(device->handle, module, device->allocator);
    return status;
}

vkssm_status vks_pipeline_create(vks_device *device, const vks_pipeline_params *params, vks_pipeline **out) {
    *out = NULL;
    const char *name = params->name ? params->name : "unnamed";
    VKS_TRY(vks_check_not_lost(device));
    VKS_TRY(check_params(device, params, name));
    vks_pipeline *pipeline = vks_alloc_zero(1, sizeof *pipeline);
    if (pipeline) pipeline->name = vks_strdup(name);
    if (!pipeline || !pipeline->name) {
        vks_free(pipeline);
        return vks_fail(&device->log, VKSSM_ERR_OOM_HOST, "pipeline %s: out of memory", name);
    }
    pipeline->push_size = params->push_size;
    vkssm_status status = fill(device, params, pipeline);
    if (status != VKSSM_OK) {
        vks_pipeline_destroy(device, &pipeline);
        return status;
    }
    *out = pipeline;
    return VKSSM_OK;
}

void vks_pipeline_destroy(vks_device *device, vks_pipeline **pipeline_pointer) {
    vks_pipeline *pipeline = *pipeline_pointer;
    *pipeline_pointer = NULL;
    if (!pipeline) return;
    device->fn.DestroyPipeline(device->handle, pipeline->handle, device->allocator);
    device->fn.DestroyPipelineLayout(device->handle, pipeline->layout, device->allocator);
    vks_free(pipeline->name);
    vks_free(pipeline);
}

// ---- statistics ----------------------------------------------------------------------------------------------------

typedef struct text_out {
    char *text;
    size_t size, used;
} text_out;

// Append "name=value"; a pair that does not fit is left out whole. Spaces of the name become underscores.
static void append_statistic(text_out *out, const VkPipelineExecutableStatisticKHR *statistic) {
    char pair[VK_MAX_DESCRIPTION_SIZE + 40], name[VK_MAX_DESCRIPTION_SIZE];
    snprintf(name, sizeof name, "%s", statistic->name);
    for (char *c = name; *c; c++)
        if (*c == ' ') *c = '_';
    const char *gap = out->used ? " " : "";
    switch (statistic->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
        snprintf(pair, sizeof pair, "%s%s=%d", gap, name, statistic->value.b32 != 0);
        break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
        snprintf(pair, sizeof pair, "%s%s=%" PRId64, gap, name, statistic->value.i64);
        break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR:
        snprintf(pair, sizeof pair, "%s%s=%" PRIu64, gap, name, statistic->value.u64);
        break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR:
        snprintf(pair, sizeof pair, "%s%s=%g", gap, name, statistic->value.f64);
        break;
    default:
        return;
    }
    size_t length = strlen(pair);
    if (length >= out->size - out->used) return;
    memcpy(out->text + out->used, pair, length + 1);
    out->used += length;
}

static vkssm_status append_executable(vks_device *device, const vks_pipeline *pipeline, uint32_t index, text_out *out) {
    const VkPipelineExecutableInfoKHR info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
        .pipeline = pipeline->handle,
        .executableIndex = index,
    };
    uint32_t n = 0;
    VKS_TRY(vks_check(device, device->fn.GetPipelineExecutableStatisticsKHR(device->handle, &info, &n, NULL),
                      "vkGetPipelineExecutableStatisticsKHR"));
    VkPipelineExecutableStatisticKHR *statistics = vks_alloc_zero(n, sizeof *statistics);
    if (!statistics)
        return vks_fail(&device->log, VKSSM_ERR_OOM_HOST, "pipeline %s: out of memory for %u statistics",
                        pipeline->name, n);
    for (uint32_t i = 0; i < n; i++)
        statistics[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    vkssm_status status =
        vks_check(device, device->fn.GetPipelineExecutableStatisticsKHR(device->handle, &info, &n, statistics),
                  "vkGetPipelineExecutableStatisticsKHR");
    for (uint32_t i = 0; i < n && status == VKSSM_OK; i++)
        append_statistic(out, &statistics[i]);
    vks_free(statistics);
    return status;
}

vkssm_status vks_pipeline_statistics(vks_device *device, const vks_pipeline *pipeline, char *text, size_t text_size) {
    if (text_size == 0) return vks_fail(&device->log, VKSSM_ERR_ARG, "pipeline statistics: no room for any text");
    text[0] = 0;
    if (!(device->probe.caps.features & VKS_FEATURE_PIPELINE_STATISTICS))
        return vks_fail(&device->log, VKSSM_ERR_UNSUPPORTED, "pipeline %s: device %s tells no statistics",
                        pipeline->name, device->probe.caps.name);
    const VkPipelineInfoKHR info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR,
        .pipeline = pipeline->handle,
    };
    uint32_t n = 0;
    VKS_TRY(vks_check(device, device->fn.GetPipelineExecutablePropertiesKHR(device->handle, &info, &n, NULL),
                      "vkGetPipelineExecutablePropertiesKHR"));
    text_out out = {.text = text, .size = text_size};
    for (uint32_t i = 0; i < n; i++)
        VKS_TRY(append_executable(device, pipeline, i, &out));
    return VKSSM_OK;
}

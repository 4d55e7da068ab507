#include "engine_audit.h"

#include <string.h>

static engine_audit counts;

static VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                               const VkAllocationCallbacks *callbacks, VkDeviceMemory *out) {
    counts.n_allocation++;
    return vkAllocateMemory(device, info, callbacks, out);
}
static VKAPI_ATTR VkResult VKAPI_CALL create_buffer(VkDevice device, const VkBufferCreateInfo *info,
                                                    const VkAllocationCallbacks *callbacks, VkBuffer *out) {
    counts.n_allocation++;
    return vkCreateBuffer(device, info, callbacks, out);
}
static VKAPI_ATTR VkResult VKAPI_CALL create_pipelines(VkDevice device, VkPipelineCache cache, uint32_t n,
                                                       const VkComputePipelineCreateInfo *infos,
                                                       const VkAllocationCallbacks *callbacks, VkPipeline *out) {
    counts.n_allocation++;
    return vkCreateComputePipelines(device, cache, n, infos, callbacks, out);
}
static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue queue, uint32_t n, const VkSubmitInfo2 *infos, VkFence fence) {
    counts.n_submit++;
    return vkQueueSubmit2(queue, n, infos, fence);
}
static VKAPI_ATTR VkResult VKAPI_CALL wait(VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t time) {
    counts.n_wait++;
    return vkWaitSemaphores(device, info, time);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_of_device(VkDevice device, const char *name) {
    if (strcmp(name, "vkAllocateMemory") == 0) return (PFN_vkVoidFunction)allocate;
    if (strcmp(name, "vkCreateBuffer") == 0) return (PFN_vkVoidFunction)create_buffer;
    if (strcmp(name, "vkCreateComputePipelines") == 0) return (PFN_vkVoidFunction)create_pipelines;
    if (strcmp(name, "vkQueueSubmit2") == 0) return (PFN_vkVoidFunction)submit;
    if (strcmp(name, "vkWaitSemaphores") == 0) return (PFN_vkVoidFunction)wait;
    return vkGetDeviceProcAddr(device, name);
}

PFN_vkVoidFunction VKAPI_CALL engine_audit_get(VkInstance instance, const char *name) {
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)get_of_device;
    return vkGetInstanceProcAddr(instance, name);
}

engine_audit engine_audit_now(void) {
    return counts;
}

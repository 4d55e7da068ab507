#include "engine_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool engine_check(VkResult result, const char *what) {
    if (result < 0) fprintf(stderr, "engine: %s failed (%d)\n", what, (int)result);
    return result >= 0;
}

// ---- instance and device
// ---------------------------------------------------------------------------------------------

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user) {
    (void)severity, (void)types;
    ((engine_device *)user)->n_message++;
    fprintf(stderr, "validation: %s\n", data->pMessage);
    return VK_FALSE;
}

static bool create_instance(engine_device *d, bool validation, const char *const *more, uint32_t n_more) {
    const VkValidationFeatureEnableEXT enables[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    const VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                              .enabledValidationFeatureCount = 1,
                                              .pEnabledValidationFeatures = enables};
    const VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pApplicationName = "engine", .apiVersion = VK_API_VERSION_1_3};
    const char *layers[] = {"VK_LAYER_KHRONOS_validation"}, *extensions[8];
    uint32_t n_extension = 0;
    for (uint32_t i = 0; i < n_more && n_extension < 6; i++)
        extensions[n_extension++] = more[i];
    if (validation) {
        extensions[n_extension++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
        extensions[n_extension++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
    }
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pNext = validation ? &features : NULL,
                                       .pApplicationInfo = &application,
                                       .enabledLayerCount = validation,
                                       .ppEnabledLayerNames = layers,
                                       .enabledExtensionCount = n_extension,
                                       .ppEnabledExtensionNames = extensions};
    if (!engine_check(vkCreateInstance(&info, NULL, &d->instance), "vkCreateInstance")) return false;
    if (!validation) return true;
    const VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = d};
    PFN_vkCreateDebugUtilsMessengerEXT create =
        (PFN_vkCreateDebugUtilsMessengerEXT)vkGetInstanceProcAddr(d->instance, "vkCreateDebugUtilsMessengerEXT");
    return create && engine_check(create(d->instance, &messenger, NULL, &d->messenger), "the validation messenger");
}

// A device by a part of its name, or the first discrete one, or the first.
static bool choose(engine_device *d, const char *name) {
    VkPhysicalDevice devices[16];
    uint32_t n = 16;
    if (vkEnumeratePhysicalDevices(d->instance, &n, devices) < 0) n = 0;
    for (uint32_t i = 0; i < n; i++) {
        VkPhysicalDeviceProperties properties;
        vkGetPhysicalDeviceProperties(devices[i], &properties);
        bool fits = name ? strstr(properties.deviceName, name) != NULL
                         : properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
        if (!fits && (name || d->physical)) continue;
        if (d->physical && d->properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU) continue;
        d->physical = devices[i];
        d->properties = properties;
    }
    if (!d->physical) fprintf(stderr, "engine: no Vulkan device%s%s\n", name ? " named " : "", name ? name : "");
    return d->physical != VK_NULL_HANDLE;
}

// With --async: a family of compute alone, or a second queue of the first one, or, as on a CPU, the same queue.
static uint32_t choose_queues(engine_device *d, bool async, uint32_t main_family) {
    VkQueueFamilyProperties families[16];
    uint32_t n = 16;
    vkGetPhysicalDeviceQueueFamilyProperties(d->physical, &n, families);
    d->families[0] = d->families[1] = main_family;
    for (uint32_t i = 0; async && i < n; i++)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT && !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT))
            d->families[1] = i;
    return async && d->families[0] == d->families[1] && families[main_family].queueCount > 1 ? 2 : 1;
}

static bool create_device(engine_device *d, const engine_options *options) {
    vkssm_wanted_info wanted;
    const vkssm_device_params params = {.mask_features = options->mask};
    if (vkssm_wanted_create(&params, vkGetInstanceProcAddr, d->instance, d->physical, &d->wanted)) {
        fprintf(stderr, "engine: %s\n", vkssm_last_error());
        return false;
    }
    vkssm_wanted_get(d->wanted, &wanted);
    // The engine's own wishes go into the same chain: dynamic rendering, and a swapchain for the window.
    for (VkBaseOutStructure *s = (VkBaseOutStructure *)wanted.features; s; s = s->pNext)
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES)
            ((VkPhysicalDeviceVulkan13Features *)s)->dynamicRendering = VK_TRUE;
    const char *extensions[16];
    uint32_t n_extension = 0;
    for (; n_extension < wanted.n_extension && n_extension < 15; n_extension++)
        extensions[n_extension] = wanted.extensions[n_extension];
    if (options->window) extensions[n_extension++] = VK_KHR_SWAPCHAIN_EXTENSION_NAME;
    uint32_t n_queue = choose_queues(d, options->async, wanted.queue_family);
    const float priorities[] = {1, 1};
    VkDeviceQueueCreateInfo queues[2] = {{.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                          .queueFamilyIndex = d->families[0],
                                          .queueCount = n_queue,
                                          .pQueuePriorities = priorities}};
    queues[1] = queues[0];
    queues[1].queueFamilyIndex = d->families[1];
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = wanted.features,
                                     .queueCreateInfoCount = d->families[0] == d->families[1] ? 1 : 2,
                                     .pQueueCreateInfos = queues,
                                     .enabledExtensionCount = n_extension,
                                     .ppEnabledExtensionNames = extensions};
    if (!engine_check(vkCreateDevice(d->physical, &info, NULL, &d->device), "vkCreateDevice")) return false;
    vkGetDeviceQueue(d->device, d->families[0], 0, &d->queues[0]);
    vkGetDeviceQueue(d->device, d->families[1], n_queue - 1, &d->queues[1]);
    const VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                            .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    const VkSemaphoreCreateInfo semaphore = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
    for (int i = 0; i < 2; i++)
        if (!engine_check(vkCreateSemaphore(d->device, &semaphore, NULL, &d->timelines[i]), "vkCreateSemaphore"))
            return false;
    return true;
}

bool engine_device_open(engine_device *d, const engine_options *options, const char *const *extensions,
                        uint32_t n_extension) {
    return create_instance(d, options->validation, extensions, n_extension) && choose(d, options->device) &&
           create_device(d, options);
}

void engine_device_close(engine_device *d) {
    for (int i = 0; i < 2 && d->device; i++)
        vkDestroySemaphore(d->device, d->timelines[i], NULL);
    if (d->device) vkDestroyDevice(d->device, NULL);
    vkssm_wanted_destroy(&d->wanted);
    PFN_vkDestroyDebugUtilsMessengerEXT destroy = NULL;
    if (d->messenger)
        destroy =
            (PFN_vkDestroyDebugUtilsMessengerEXT)vkGetInstanceProcAddr(d->instance, "vkDestroyDebugUtilsMessengerEXT");
    if (destroy) destroy(d->instance, d->messenger, NULL);
    if (d->instance) vkDestroyInstance(d->instance, NULL);
}

vkssm_host engine_device_host(const engine_device *d, PFN_vkGetInstanceProcAddr get) {
    vkssm_wanted_info wanted;
    vkssm_wanted_get(d->wanted, &wanted);
    return (vkssm_host){.instance = d->instance,
                        .physical_device = d->physical,
                        .device = d->device,
                        .queue = d->queues[ENGINE_COMPUTE],
                        .queue_family = d->families[ENGINE_COMPUTE],
                        .api_version = VK_API_VERSION_1_3,
                        .get_instance_proc_addr = get,
                        .enabled_features = wanted.features,
                        .enabled_extensions = wanted.extensions,
                        .n_enabled_extension = wanted.n_extension};
}

// ---- buffers and images
// ----------------------------------------------------------------------------------------------

static bool allocate(engine_device *d, const VkMemoryRequirements *needs, bool mapped, VkDeviceMemory *out) {
    VkPhysicalDeviceMemoryProperties memory;
    vkGetPhysicalDeviceMemoryProperties(d->physical, &memory);
    const VkMemoryPropertyFlags wanted =
        mapped ? VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT
               : VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    const VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                             .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    for (uint32_t i = 0; i < memory.memoryTypeCount; i++) {
        if (!(needs->memoryTypeBits >> i & 1) || (memory.memoryTypes[i].propertyFlags & wanted) != wanted) continue;
        const VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                           .pNext = mapped ? &flags : NULL,
                                           .allocationSize = needs->size,
                                           .memoryTypeIndex = i};
        return engine_check(vkAllocateMemory(d->device, &info, NULL, out), "vkAllocateMemory");
    }
    fprintf(stderr, "engine: no memory of the kind that is needed\n");
    return false;
}

// What both families use is shared, so that no ownership has to be transferred.
static VkSharingMode sharing(const engine_device *d) {
    return d->families[0] == d->families[1] ? VK_SHARING_MODE_EXCLUSIVE : VK_SHARING_MODE_CONCURRENT;
}

bool engine_buffer_create(engine_device *d, VkDeviceSize size, engine_buffer *out) {
    *out = (engine_buffer){.range = {.usage = VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                                     .buffer_size = size}};
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = size,
                                     .usage = out->range.usage,
                                     .sharingMode = sharing(d),
                                     .queueFamilyIndexCount = 2,
                                     .pQueueFamilyIndices = d->families};
    if (!engine_check(vkCreateBuffer(d->device, &info, NULL, &out->range.buffer), "vkCreateBuffer")) return false;
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(d->device, out->range.buffer, &needs);
    if (!allocate(d, &needs, true, &out->memory)) return false;
    bool ok = engine_check(vkBindBufferMemory(d->device, out->range.buffer, out->memory, 0), "vkBindBufferMemory") &&
              engine_check(vkMapMemory(d->device, out->memory, 0, VK_WHOLE_SIZE, 0, &out->mapped), "vkMapMemory");
    if (ok) memset(out->mapped, 0, (size_t)size);
    return ok;
}

void engine_buffer_destroy(engine_device *d, engine_buffer *buffer) {
    vkDestroyBuffer(d->device, buffer->range.buffer, NULL);
    vkFreeMemory(d->device, buffer->memory, NULL);
}

bool engine_image_create(engine_device *d, VkFormat format, uint32_t width, uint32_t height, VkImageUsageFlags usage,
                         engine_image *out) {
    *out = (engine_image){.width = width, .height = height};
    const VkImageCreateInfo info = {.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
                                    .imageType = VK_IMAGE_TYPE_2D,
                                    .format = format,
                                    .extent = {width, height, 1},
                                    .mipLevels = 1,
                                    .arrayLayers = 1,
                                    .samples = VK_SAMPLE_COUNT_1_BIT,
                                    .usage = usage,
                                    .sharingMode = sharing(d),
                                    .queueFamilyIndexCount = 2,
                                    .pQueueFamilyIndices = d->families};
    if (!engine_check(vkCreateImage(d->device, &info, NULL, &out->image), "vkCreateImage")) return false;
    VkMemoryRequirements needs;
    vkGetImageMemoryRequirements(d->device, out->image, &needs);
    if (!allocate(d, &needs, false, &out->memory) ||
        !engine_check(vkBindImageMemory(d->device, out->image, out->memory, 0), "vkBindImageMemory"))
        return false;
    const VkImageViewCreateInfo view = {.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
                                        .image = out->image,
                                        .viewType = VK_IMAGE_VIEW_TYPE_2D,
                                        .format = format,
                                        .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1}};
    return engine_check(vkCreateImageView(d->device, &view, NULL, &out->view), "vkCreateImageView");
}

void engine_image_destroy(engine_device *d, engine_image *image) {
    vkDestroyImageView(d->device, image->view, NULL);
    vkDestroyImage(d->device, image->image, NULL);
    vkFreeMemory(d->device, image->memory, NULL);
}

void engine_image_barrier(VkCommandBuffer commands, VkImage image, engine_use from, engine_use to) {
    const VkImageMemoryBarrier2 barrier = {.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER_2,
                                           .srcStageMask = from.stage,
                                           .srcAccessMask = from.access,
                                           .dstStageMask = to.stage,
                                           .dstAccessMask = to.access,
                                           .oldLayout = from.layout,
                                           .newLayout = to.layout,
                                           .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                           .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                           .image = image,
                                           .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1}};
    const VkDependencyInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .imageMemoryBarrierCount = 1, .pImageMemoryBarriers = &barrier};
    vkCmdPipelineBarrier2(commands, &info);
}

// ---- submission
// ------------------------------------------------------------------------------------------------------

bool engine_submit(engine_device *d, int queue, VkCommandBuffer commands, uint64_t wait,
                   const VkSemaphoreSubmitInfo *more, uint32_t n_wait_more, const VkSemaphoreSubmitInfo *signal_more) {
    VkSemaphoreSubmitInfo waits[2], signals[2];
    uint32_t n_wait = 0, n_signal = 0;
    if (wait)
        waits[n_wait++] = (VkSemaphoreSubmitInfo){.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
                                                  .semaphore = d->timelines[!queue],
                                                  .value = wait,
                                                  .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT};
    if (n_wait_more) waits[n_wait++] = *more;
    signals[n_signal++] = (VkSemaphoreSubmitInfo){.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
                                                  .semaphore = d->timelines[queue],
                                                  .value = ++d->values[queue],
                                                  .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT};
    if (signal_more) signals[n_signal++] = *signal_more;
    const VkCommandBufferSubmitInfo buffer = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO,
                                              .commandBuffer = commands};
    const VkSubmitInfo2 info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
                                .waitSemaphoreInfoCount = n_wait,
                                .pWaitSemaphoreInfos = waits,
                                .commandBufferInfoCount = 1,
                                .pCommandBufferInfos = &buffer,
                                .signalSemaphoreInfoCount = n_signal,
                                .pSignalSemaphoreInfos = signals};
    return engine_check(vkQueueSubmit2(d->queues[queue], 1, &info, VK_NULL_HANDLE), "vkQueueSubmit2");
}

bool engine_wait(engine_device *d, int queue, uint64_t value) {
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &d->timelines[queue],
                                      .pValues = &value};
    return engine_check(vkWaitSemaphores(d->device, &info, UINT64_MAX), "vkWaitSemaphores");
}

#include "host_app.h"

#include <dlfcn.h>
#include <stdatomic.h>

static atomic_uint n_memory, n_object, n_submit, n_wait, n_message;
static uint32_t pretended_version;
static PFN_vkGetInstanceProcAddr real_instance;
static PFN_vkGetDeviceProcAddr real_device;

// ---- counting entry points
// -------------------------------------------------------------------------------------------

#define REAL(name) ((PFN_##name)real_device(device, #name))

static VKAPI_ATTR VkResult VKAPI_CALL allocate_memory(VkDevice device, const VkMemoryAllocateInfo *info,
                                                      const VkAllocationCallbacks *callbacks, VkDeviceMemory *out) {
    atomic_fetch_add(&n_memory, 1);
    return REAL(vkAllocateMemory)(device, info, callbacks, out);
}

static VKAPI_ATTR VkResult VKAPI_CALL wait_semaphores(VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t time) {
    atomic_fetch_add(&n_wait, 1);
    return REAL(vkWaitSemaphores)(device, info, time);
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate_commands(VkDevice device, const VkCommandBufferAllocateInfo *info,
                                                        VkCommandBuffer *out) {
    atomic_fetch_add(&n_object, 1);
    return REAL(vkAllocateCommandBuffers)(device, info, out);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_pipelines(VkDevice device, VkPipelineCache cache, uint32_t n,
                                                       const VkComputePipelineCreateInfo *infos,
                                                       const VkAllocationCallbacks *callbacks, VkPipeline *out) {
    atomic_fetch_add(&n_object, 1);
    return REAL(vkCreateComputePipelines)(device, cache, n, infos, callbacks, out);
}

static VKAPI_ATTR VkResult VKAPI_CALL map_memory(VkDevice device, VkDeviceMemory memory, VkDeviceSize offset,
                                                 VkDeviceSize size, VkMemoryMapFlags flags, void **out) {
    atomic_fetch_add(&n_memory, 1);
    return REAL(vkMapMemory)(device, memory, offset, size, flags, out);
}

#define COUNTED_CREATE(X)                                                                                              \
    X(Buffer)                                                                                                          \
    X(CommandPool)                                                                                                     \
    X(PipelineCache)                                                                                                   \
    X(PipelineLayout)                                                                                                  \
    X(QueryPool)                                                                                                       \
    X(Semaphore)                                                                                                       \
    X(ShaderModule)
#define DEFINE(Type)                                                                                                   \
    static VKAPI_ATTR VkResult VKAPI_CALL create_##Type(VkDevice device, const Vk##Type##CreateInfo *info,             \
                                                        const VkAllocationCallbacks *callbacks, Vk##Type *out) {       \
        atomic_fetch_add(&n_object, 1);                                                                                \
        return REAL(vkCreate##Type)(device, info, callbacks, out);                                                     \
    }                                                                                                                  \
    static VKAPI_ATTR void VKAPI_CALL destroy_##Type(VkDevice device, Vk##Type handle,                                 \
                                                     const VkAllocationCallbacks *callbacks) {                         \
        atomic_fetch_add(&n_object, 1);                                                                                \
        REAL(vkDestroy##Type)(device, handle, callbacks);                                                              \
    }
COUNTED_CREATE(DEFINE)
#undef DEFINE

static PFN_vkQueueSubmit2 real_submit;
static VKAPI_ATTR VkResult VKAPI_CALL queue_submit(VkQueue queue, uint32_t n, const VkSubmitInfo2 *infos,
                                                   VkFence fence) {
    atomic_fetch_add(&n_submit, 1);
    return real_submit(queue, n, infos, fence);
}

static PFN_vkGetPhysicalDeviceProperties real_properties;
static VKAPI_ATTR void VKAPI_CALL get_properties(VkPhysicalDevice physical, VkPhysicalDeviceProperties *out) {
    real_properties(physical, out);
    if (pretended_version) out->apiVersion = pretended_version;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_proc(VkDevice device, const char *name) {
    const struct {
        const char *name;
        PFN_vkVoidFunction function;
    } hooks[] = {{"vkAllocateMemory", (PFN_vkVoidFunction)allocate_memory},
                 {"vkWaitSemaphores", (PFN_vkVoidFunction)wait_semaphores},
                 {"vkAllocateCommandBuffers", (PFN_vkVoidFunction)allocate_commands},
                 {"vkCreateComputePipelines", (PFN_vkVoidFunction)create_pipelines},
                 {"vkMapMemory", (PFN_vkVoidFunction)map_memory},
#define ENTRY(Type)                                                                                                    \
    {"vkCreate" #Type, (PFN_vkVoidFunction)create_##Type}, {"vkDestroy" #Type, (PFN_vkVoidFunction)destroy_##Type},
                 COUNTED_CREATE(ENTRY)
#undef ENTRY
    };
    if (strcmp(name, "vkQueueSubmit2") == 0) {
        real_submit = (PFN_vkQueueSubmit2)real_device(device, name);
        return (PFN_vkVoidFunction)queue_submit;
    }
    // What the library must never call on a host's device.
    static const char *const forbidden[] = {"vkDeviceWaitIdle", "vkQueueWaitIdle"};
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        if (strcmp(name, forbidden[i]) == 0) CHECK_FAIL("the library asks for %s", name);
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++)
        if (strcmp(name, hooks[i].name) == 0) return hooks[i].function;
    return real_device(device, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_proc(VkInstance instance, const char *name) {
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)device_proc;
    if (strcmp(name, "vkGetPhysicalDeviceProperties") == 0) {
        real_properties = (PFN_vkGetPhysicalDeviceProperties)real_instance(instance, name);
        return (PFN_vkVoidFunction)get_properties;
    }
    return real_instance(instance, name);
}

host_counts host_app_counts(void) {
    return (host_counts){atomic_load(&n_memory), atomic_load(&n_object), atomic_load(&n_submit), atomic_load(&n_wait)};
}

void host_app_reset_counts(void) {
    atomic_store(&n_memory, 0);
    atomic_store(&n_object, 0);
    atomic_store(&n_submit, 0);
    atomic_store(&n_wait, 0);
}

uint32_t host_app_n_message(void) {
    return atomic_load(&n_message);
}

void host_app_pretend_version(uint32_t version) {
    pretended_version = version;
}

// ---- the application
// -------------------------------------------------------------------------------------------------

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user) {
    (void)severity, (void)types, (void)user;
    if (atomic_fetch_add(&n_message, 1) < 3) printf("  validation: %s\n", data->pMessage ? data->pMessage : "");
    return VK_FALSE;
}

static bool create_instance(host_app *app, bool validation) {
    static const char layer[] = "VK_LAYER_KHRONOS_validation";
    const VkValidationFeatureEnableEXT enables[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    const VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
    };
    const VkValidationFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .pNext = &messenger,
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = enables,
    };
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .apiVersion = VK_API_VERSION_1_3};
    const char *layers[] = {layer};
    const char *extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME};
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = validation ? &features : NULL,
        .pApplicationInfo = &application,
        .enabledLayerCount = validation,
        .ppEnabledLayerNames = layers,
        .enabledExtensionCount = validation ? 2 : 0,
        .ppEnabledExtensionNames = extensions,
    };
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)app->get(NULL, "vkCreateInstance");
    if (!create || create(&info, NULL, &app->instance) != VK_SUCCESS) return false;
    app->has_validation = validation;
    if (validation) HOST_FN(app, vkCreateDebugUtilsMessengerEXT)(app->instance, &messenger, NULL, &app->messenger);
    return true;
}

static void lock_queue(void *user) {
    ((host_app *)user)->n_lock++;
}
static void unlock_queue(void *user) {
    (void)user;
}

static bool create_device(host_app *app) {
    uint32_t n = 1;
    if (HOST_FN(app, vkEnumeratePhysicalDevices)(app->instance, &n, &app->physical) < 0 || n == 0) return false;
    if (vkssm_wanted_create(NULL, app->get, app->instance, app->physical, &app->wanted)) {
        printf("no device to test on: %s\n", vkssm_last_error());
        return false;
    }
    vkssm_wanted_info wanted;
    vkssm_wanted_get(app->wanted, &wanted);
    uint32_t n_family = 16;
    VkQueueFamilyProperties families[16];
    HOST_FN(app, vkGetPhysicalDeviceQueueFamilyProperties)(app->physical, &n_family, families);
    uint32_t n_queue = families[wanted.queue_family].queueCount > 1 ? 2 : 1;
    const float priorities[] = {1, 1};
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = wanted.queue_family,
        .queueCount = n_queue,
        .pQueuePriorities = priorities,
    };
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = wanted.features,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = wanted.n_extension,
        .ppEnabledExtensionNames = wanted.extensions,
    };
    if (HOST_FN(app, vkCreateDevice)(app->physical, &info, NULL, &app->device) != VK_SUCCESS) return false;
    PFN_vkGetDeviceQueue get_queue = HOST_FN(app, vkGetDeviceQueue);
    get_queue(app->device, wanted.queue_family, 0, &app->queue);
    if (n_queue > 1) get_queue(app->device, wanted.queue_family, 1, &app->second_queue);
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .queueFamilyIndex = wanted.queue_family};
    HOST_FN(app, vkCreateCommandPool)(app->device, &pool, NULL, &app->pool);
    app->host = (vkssm_host){
        .instance = app->instance,
        .physical_device = app->physical,
        .device = app->device,
        .queue = app->queue,
        .queue_family = wanted.queue_family,
        .api_version = VK_API_VERSION_1_3,
        .get_instance_proc_addr = instance_proc,
        .enabled_features = wanted.features,
        .enabled_extensions = wanted.extensions,
        .n_enabled_extension = wanted.n_extension,
        .lock_queue = lock_queue,
        .unlock_queue = unlock_queue,
        .lock_user = app,
    };
    return true;
}

bool host_app_open(host_app *app) {
    memset(app, 0, sizeof *app);
    atomic_store(&n_message, 0);
    pretended_version = 0;
    app->library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    void *address = app->library ? dlsym(app->library, "vkGetInstanceProcAddr") : NULL;
    if (!address) {
        printf("no libvulkan.so.1\n");
        return false;
    }
    memcpy(&app->get, &address, sizeof address);
    real_instance = app->get;
    if (!create_instance(app, true) && !create_instance(app, false)) return false;
    real_device = HOST_FN(app, vkGetDeviceProcAddr);
    if (create_device(app)) return true;
    host_app_close(app);
    return false;
}

void host_app_close(host_app *app) {
    if (app->pool) HOST_FN(app, vkDestroyCommandPool)(app->device, app->pool, NULL);
    if (app->device) HOST_FN(app, vkDestroyDevice)(app->device, NULL); // validation tells what is still alive
    vkssm_wanted_destroy(&app->wanted);
    if (app->messenger) HOST_FN(app, vkDestroyDebugUtilsMessengerEXT)(app->instance, app->messenger, NULL);
    if (app->instance) HOST_FN(app, vkDestroyInstance)(app->instance, NULL);
    if (app->library) dlclose(app->library);
    CHECK_EQ(host_app_n_message(), 0);
    memset(app, 0, sizeof *app);
}

// ---- its objects
// -----------------------------------------------------------------------------------------------------

static VkDeviceMemory memory_for(host_app *app, const VkMemoryRequirements *needs, bool mapped, bool address) {
    VkPhysicalDeviceMemoryProperties memory;
    HOST_FN(app, vkGetPhysicalDeviceMemoryProperties)(app->physical, &memory);
    const VkMemoryPropertyFlags wanted =
        mapped ? VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT : 0;
    uint32_t type = 0;
    while (type < memory.memoryTypeCount &&
           (!(needs->memoryTypeBits >> type & 1) || (memory.memoryTypes[type].propertyFlags & wanted) != wanted))
        type++;
    const VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                             .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    const VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                       .pNext = address ? &flags : NULL,
                                       .allocationSize = needs->size,
                                       .memoryTypeIndex = type};
    VkDeviceMemory out = VK_NULL_HANDLE;
    CHECK_EQ(HOST_FN(app, vkAllocateMemory)(app->device, &info, NULL, &out), VK_SUCCESS);
    return out;
}

host_buffer host_buffer_create(host_app *app, VkDeviceSize size) {
    host_buffer out = {.range = {.usage = VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                          VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                                 .buffer_size = size}};
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = size, .usage = out.range.usage};
    CHECK_EQ(HOST_FN(app, vkCreateBuffer)(app->device, &info, NULL, &out.range.buffer), VK_SUCCESS);
    VkMemoryRequirements needs;
    HOST_FN(app, vkGetBufferMemoryRequirements)(app->device, out.range.buffer, &needs);
    out.memory = memory_for(app, &needs, true, true);
    CHECK_EQ(HOST_FN(app, vkBindBufferMemory)(app->device, out.range.buffer, out.memory, 0), VK_SUCCESS);
    CHECK_EQ(HOST_FN(app, vkMapMemory)(app->device, out.memory, 0, VK_WHOLE_SIZE, 0, &out.mapped), VK_SUCCESS);
    memset(out.mapped, 0xff, (size_t)size);
    return out;
}

void host_buffer_destroy(host_app *app, host_buffer *buffer) {
    HOST_FN(app, vkDestroyBuffer)(app->device, buffer->range.buffer, NULL);
    HOST_FN(app, vkFreeMemory)(app->device, buffer->memory, NULL);
    memset(buffer, 0, sizeof *buffer);
}

host_image host_image_create(host_app *app, uint32_t width, uint32_t height) {
    host_image out = {0};
    const VkImageCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
        .imageType = VK_IMAGE_TYPE_2D,
        .format = VK_FORMAT_R32_SFLOAT,
        .extent = {width, height, 1},
        .mipLevels = 1,
        .arrayLayers = 1,
        .samples = VK_SAMPLE_COUNT_1_BIT,
        .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
    };
    CHECK_EQ(HOST_FN(app, vkCreateImage)(app->device, &info, NULL, &out.image), VK_SUCCESS);
    VkMemoryRequirements needs;
    HOST_FN(app, vkGetImageMemoryRequirements)(app->device, out.image, &needs);
    out.memory = memory_for(app, &needs, false, false);
    CHECK_EQ(HOST_FN(app, vkBindImageMemory)(app->device, out.image, out.memory, 0), VK_SUCCESS);
    return out;
}

void host_image_destroy(host_app *app, host_image *image) {
    HOST_FN(app, vkDestroyImage)(app->device, image->image, NULL);
    HOST_FN(app, vkFreeMemory)(app->device, image->memory, NULL);
    memset(image, 0, sizeof *image);
}

VkCommandBuffer host_begin(host_app *app) {
    const VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = app->pool, .commandBufferCount = 1};
    VkCommandBuffer commands = VK_NULL_HANDLE;
    CHECK_EQ(HOST_FN(app, vkAllocateCommandBuffers)(app->device, &info, &commands), VK_SUCCESS);
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    CHECK_EQ(HOST_FN(app, vkBeginCommandBuffer)(commands, &begin), VK_SUCCESS);
    return commands;
}

void host_end_submit(host_app *app, VkCommandBuffer commands) {
    host_barrier(app, commands, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, VK_ACCESS_2_MEMORY_WRITE_BIT,
                 VK_PIPELINE_STAGE_2_HOST_BIT, VK_ACCESS_2_HOST_READ_BIT);
    CHECK_EQ(HOST_FN(app, vkEndCommandBuffer)(commands), VK_SUCCESS);
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    CHECK_EQ(HOST_FN(app, vkQueueSubmit)(app->queue, 1, &info, VK_NULL_HANDLE), VK_SUCCESS);
    CHECK_EQ(HOST_FN(app, vkQueueWaitIdle)(app->queue), VK_SUCCESS);
    HOST_FN(app, vkFreeCommandBuffers)(app->device, app->pool, 1, &commands);
}

void host_barrier(host_app *app, VkCommandBuffer commands, VkPipelineStageFlags2 from, VkAccessFlags2 writes,
                  VkPipelineStageFlags2 to, VkAccessFlags2 accesses) {
    const VkMemoryBarrier2 barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
                                      .srcStageMask = from,
                                      .srcAccessMask = writes,
                                      .dstStageMask = to,
                                      .dstAccessMask = accesses};
    const VkDependencyInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .memoryBarrierCount = 1, .pMemoryBarriers = &barrier};
    HOST_FN(app, vkCmdPipelineBarrier2)(commands, &info);
}

void host_image_general(host_app *app, VkCommandBuffer commands, VkImage image) {
    const VkImageMemoryBarrier2 barrier = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER_2,
        .srcStageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT,
        .srcAccessMask = VK_ACCESS_2_MEMORY_WRITE_BIT,
        .dstStageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT,
        .dstAccessMask = VK_ACCESS_2_MEMORY_READ_BIT | VK_ACCESS_2_MEMORY_WRITE_BIT,
        .newLayout = VK_IMAGE_LAYOUT_GENERAL,
        .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
        .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
        .image = image,
        .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1},
    };
    const VkDependencyInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .imageMemoryBarrierCount = 1, .pImageMemoryBarriers = &barrier};
    HOST_FN(app, vkCmdPipelineBarrier2)(commands, &info);
}

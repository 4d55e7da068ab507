// A host application for tests: instance with validation, device, queue, command buffers, buffers and images of its
// own, and entry points that count what the library calls.
#ifndef HOST_APP_H
#define HOST_APP_H

#include <vkssm/vulkan.h>

#include "tests/harness/check.h"

// How often the library called what allocates, submits, waits or creates, since host_app_reset_counts.
typedef struct host_counts {
    uint32_t n_memory; // vkAllocateMemory, vkFreeMemory
    uint32_t n_object; // vkCreate* and vkDestroy* of the device's objects, command buffers allocated
    uint32_t n_submit; // vkQueueSubmit2
    uint32_t n_wait;   // vkWaitSemaphores
} host_counts;

typedef struct host_app {
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue, second_queue; // second_queue: of the same family; VK_NULL_HANDLE if it has only one
    VkCommandPool pool;
    VkDebugUtilsMessengerEXT messenger;
    vkssm_wanted *wanted;
    vkssm_host host; // for vkssm_device_adopt, with counting entry points
    uint32_t n_lock; // times that the queue was locked and unlocked
    void *library;
    PFN_vkGetInstanceProcAddr get;
    bool has_validation;
} host_app;

// False after printing why. One application at a time counts.
bool host_app_open(host_app *app);
// Fails a check if there was a validation message, to the very end.
void host_app_close(host_app *app);

host_counts host_app_counts(void);
void host_app_reset_counts(void);
uint32_t host_app_n_message(void);
// What vkGetPhysicalDeviceProperties tells from now on as the device's Vulkan version; 0: the truth.
void host_app_pretend_version(uint32_t version);

// A device-level or instance-level entry point, uncounted.
#define HOST_FN(app, name) ((PFN_##name)(app)->get((app)->instance, #name))

typedef struct host_buffer {
    VkDeviceMemory memory;
    void *mapped; // host-visible, coherent
    vkssm_buffer range;
} host_buffer;
// Usage: SHADER_DEVICE_ADDRESS, TRANSFER_SRC and TRANSFER_DST. Filled with bytes 0xff.
host_buffer host_buffer_create(host_app *app, VkDeviceSize size);
void host_buffer_destroy(host_app *app, host_buffer *buffer);

typedef struct host_image {
    VkImage image;
    VkDeviceMemory memory;
} host_image;
// Of R32_SFLOAT, to be copied from and to.
host_image host_image_create(host_app *app, uint32_t width, uint32_t height);
void host_image_destroy(host_app *app, host_image *image);

// A command buffer that records; host_end_submit ends, submits, waits and frees it.
VkCommandBuffer host_begin(host_app *app);
void host_end_submit(host_app *app, VkCommandBuffer commands);
// A barrier from these stages and accesses to those.
void host_barrier(host_app *app, VkCommandBuffer commands, VkPipelineStageFlags2 from, VkAccessFlags2 writes,
                  VkPipelineStageFlags2 to, VkAccessFlags2 accesses);
// Put an image from any layout into GENERAL, behind and before everything.
void host_image_general(host_app *app, VkCommandBuffer commands, VkImage image);

#endif

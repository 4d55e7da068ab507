// The engine's own Vulkan: instance, device, queues, buffers, images. Nothing of it knows vkssm but the list of
// features that it enables.
#ifndef ENGINE_DEVICE_H
#define ENGINE_DEVICE_H

#include <stdbool.h>
#include <vkssm/vulkan.h>

typedef struct engine_options {
    bool window, async, validation, check;
    uint32_t n_frame, budget_us, texture_budget_us;
    uint32_t mask; // features that are left off
    const char *model, *story, *prompt, *strip, *device;
} engine_options;

typedef struct engine_device {
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    VkPhysicalDevice physical;
    VkPhysicalDeviceProperties properties;
    VkDevice device;
    vkssm_wanted *wanted;
    uint32_t families[2]; // of graphics, of compute
    VkQueue queues[2];    // the same one twice where there is no other
    VkSemaphore timelines[2];
    uint64_t values[2]; // the last one that each queue was asked to signal
    uint32_t n_message; // validation messages
} engine_device;

enum { ENGINE_GRAPHICS, ENGINE_COMPUTE };

// Prints why and returns false.
bool engine_check(VkResult result, const char *what);
bool engine_device_open(engine_device *d, const engine_options *options, const char *const *extensions,
                        uint32_t n_extension);
void engine_device_close(engine_device *d);
// What vkssm_device_adopt takes.
vkssm_host engine_device_host(const engine_device *d, PFN_vkGetInstanceProcAddr get);

typedef struct engine_buffer {
    vkssm_buffer range;
    VkDeviceMemory memory;
    void *mapped;
} engine_buffer;
// Host-visible, for shaders by address, and for copies.
bool engine_buffer_create(engine_device *d, VkDeviceSize size, engine_buffer *out);
void engine_buffer_destroy(engine_device *d, engine_buffer *buffer);

typedef struct engine_image {
    VkImage image;
    VkImageView view;
    VkDeviceMemory memory;
    uint32_t width, height;
} engine_image;
bool engine_image_create(engine_device *d, VkFormat format, uint32_t width, uint32_t height, VkImageUsageFlags usage,
                         engine_image *out);
void engine_image_destroy(engine_device *d, engine_image *image);

// A barrier on an image, from `from` to `to`.
typedef struct engine_use {
    VkPipelineStageFlags2 stage;
    VkAccessFlags2 access;
    VkImageLayout layout;
} engine_use;
void engine_image_barrier(VkCommandBuffer commands, VkImage image, engine_use from, engine_use to);

// Submit to a queue behind what the other queue was asked to do up to `wait` (0: nothing); signals the queue's next
// value.
bool engine_submit(engine_device *d, int queue, VkCommandBuffer commands, uint64_t wait,
                   const VkSemaphoreSubmitInfo *more, uint32_t n_wait_more, const VkSemaphoreSubmitInfo *signal_more);
bool engine_wait(engine_device *d, int queue, uint64_t value);

#endif

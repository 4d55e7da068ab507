#include "engine_window.h"

#include <stdio.h>

#if defined(ENGINE_HAVE_GLFW)

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

// GLFW declares it only if vulkan.h was included before.
VkResult glfwCreateWindowSurface(VkInstance instance, GLFWwindow *window, const VkAllocationCallbacks *callbacks,
                                 VkSurfaceKHR *surface);

bool engine_window_open(engine_window *w, const char *const **extensions, uint32_t *n_extension) {
    if (!glfwInit() || !glfwVulkanSupported()) {
        fprintf(stderr, "engine: GLFW finds no display with Vulkan\n");
        return false;
    }
    glfwWindowHint(GLFW_CLIENT_API, GLFW_NO_API);
    glfwWindowHint(GLFW_RESIZABLE, GLFW_FALSE);
    w->handle = glfwCreateWindow(960, 720, "vkssm in an engine", NULL, NULL);
    *extensions = (const char *const *)glfwGetRequiredInstanceExtensions(n_extension);
    return w->handle && *extensions;
}

static bool create_swapchain(engine_window *w, engine_device *d) {
    VkSurfaceCapabilitiesKHR capabilities;
    VkSurfaceFormatKHR formats[32];
    uint32_t n_format = 32;
    VkBool32 supported = VK_FALSE;
    vkGetPhysicalDeviceSurfaceSupportKHR(d->physical, d->families[ENGINE_GRAPHICS], w->surface, &supported);
    if (!supported ||
        !engine_check(vkGetPhysicalDeviceSurfaceCapabilitiesKHR(d->physical, w->surface, &capabilities),
                      "the surface") ||
        !engine_check(vkGetPhysicalDeviceSurfaceFormatsKHR(d->physical, w->surface, &n_format, formats), "the formats"))
        return false;
    w->extent = capabilities.currentExtent.width == UINT32_MAX ? (VkExtent2D){960, 720} : capabilities.currentExtent;
    const VkSwapchainCreateInfoKHR info = {.sType = VK_STRUCTURE_TYPE_SWAPCHAIN_CREATE_INFO_KHR,
                                           .surface = w->surface,
                                           .minImageCount = capabilities.minImageCount,
                                           .imageFormat = formats[0].format,
                                           .imageColorSpace = formats[0].colorSpace,
                                           .imageExtent = w->extent,
                                           .imageArrayLayers = 1,
                                           .imageUsage = VK_IMAGE_USAGE_TRANSFER_DST_BIT,
                                           .preTransform = capabilities.currentTransform,
                                           .compositeAlpha = VK_COMPOSITE_ALPHA_OPAQUE_BIT_KHR,
                                           .presentMode = VK_PRESENT_MODE_FIFO_KHR,
                                           .clipped = VK_TRUE};
    if (!engine_check(vkCreateSwapchainKHR(d->device, &info, NULL, &w->swapchain), "vkCreateSwapchainKHR"))
        return false;
    // A driver may make more images than were asked for, and any of them may be acquired.
    uint32_t n_image = 0;
    if (!engine_check(vkGetSwapchainImagesKHR(d->device, w->swapchain, &n_image, NULL), "the number of images"))
        return false;
    if (n_image > ENGINE_MAX_SWAP) {
        fprintf(stderr, "engine: at most %d images of the window expected, %u found\n", ENGINE_MAX_SWAP, n_image);
        return false;
    }
    if (!engine_check(vkGetSwapchainImagesKHR(d->device, w->swapchain, &n_image, w->images), "the images"))
        return false;
    w->n_image = n_image;
    return true;
}

bool engine_window_attach(engine_window *w, engine_device *d) {
    if (!engine_check(glfwCreateWindowSurface(d->instance, w->handle, NULL, &w->surface), "the window's surface") ||
        !create_swapchain(w, d))
        return false;
    const VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO};
    bool ok = true;
    for (uint32_t i = 0; i < 2; i++)
        ok &= engine_check(vkCreateSemaphore(d->device, &info, NULL, &w->acquired[i]), "vkCreateSemaphore");
    for (uint32_t i = 0; i < w->n_image; i++)
        ok &= engine_check(vkCreateSemaphore(d->device, &info, NULL, &w->drawn[i]), "vkCreateSemaphore");
    return ok;
}

void engine_window_close(engine_window *w, engine_device *d) {
    if (d->device) vkDeviceWaitIdle(d->device); // the application's own right
    for (uint32_t i = 0; i < 2 && d->device; i++)
        vkDestroySemaphore(d->device, w->acquired[i], NULL);
    for (uint32_t i = 0; i < w->n_image && d->device; i++)
        vkDestroySemaphore(d->device, w->drawn[i], NULL);
    if (w->swapchain) vkDestroySwapchainKHR(d->device, w->swapchain, NULL);
    if (w->surface) vkDestroySurfaceKHR(d->instance, w->surface, NULL);
    if (w->handle) glfwDestroyWindow(w->handle);
    glfwTerminate();
}

bool engine_window_is_open(engine_window *w) {
    glfwPollEvents();
    return !glfwWindowShouldClose(w->handle);
}

bool engine_window_acquire(engine_window *w, engine_device *d, uint32_t frame) {
    return engine_check(
        vkAcquireNextImageKHR(d->device, w->swapchain, UINT64_MAX, w->acquired[frame % 2], VK_NULL_HANDLE, &w->current),
        "vkAcquireNextImageKHR");
}

void engine_window_blit(const engine_window *w, VkCommandBuffer commands, const engine_image *from) {
    const engine_use fresh = {VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT, 0, VK_IMAGE_LAYOUT_UNDEFINED};
    const engine_use written = {VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT, VK_ACCESS_2_TRANSFER_WRITE_BIT,
                                VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL};
    const engine_use shown = {VK_PIPELINE_STAGE_2_NONE, 0, VK_IMAGE_LAYOUT_PRESENT_SRC_KHR};
    const VkImageSubresourceLayers layers = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};
    const VkImageBlit region = {.srcSubresource = layers,
                                .srcOffsets = {{0, 0, 0}, {(int32_t)from->width, (int32_t)from->height, 1}},
                                .dstSubresource = layers,
                                .dstOffsets = {{0, 0, 0}, {(int32_t)w->extent.width, (int32_t)w->extent.height, 1}}};
    engine_image_barrier(commands, w->images[w->current], fresh, written);
    vkCmdBlitImage(commands, from->image, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, w->images[w->current],
                   VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, 1, &region, VK_FILTER_LINEAR);
    engine_image_barrier(commands, w->images[w->current], written, shown);
}

bool engine_window_present(engine_window *w, engine_device *d) {
    const VkPresentInfoKHR info = {.sType = VK_STRUCTURE_TYPE_PRESENT_INFO_KHR,
                                   .waitSemaphoreCount = 1,
                                   .pWaitSemaphores = &w->drawn[w->current],
                                   .swapchainCount = 1,
                                   .pSwapchains = &w->swapchain,
                                   .pImageIndices = &w->current};
    return engine_check(vkQueuePresentKHR(d->queues[ENGINE_GRAPHICS], &info), "vkQueuePresentKHR");
}

#else

bool engine_window_open(engine_window *w, const char *const **extensions, uint32_t *n_extension) {
    (void)w, (void)extensions, (void)n_extension;
    fprintf(stderr, "engine: built without GLFW: there are no windows\n");
    return false;
}
bool engine_window_attach(engine_window *w, engine_device *d) {
    (void)w, (void)d;
    return false;
}
void engine_window_close(engine_window *w, engine_device *d) {
    (void)w, (void)d;
}
bool engine_window_is_open(engine_window *w) {
    (void)w;
    return false;
}
bool engine_window_acquire(engine_window *w, engine_device *d, uint32_t frame) {
    (void)w, (void)d, (void)frame;
    return false;
}
void engine_window_blit(const engine_window *w, VkCommandBuffer commands, const engine_image *from) {
    (void)w, (void)commands, (void)from;
}
bool engine_window_present(engine_window *w, engine_device *d) {
    (void)w, (void)d;
    return false;
}

#endif

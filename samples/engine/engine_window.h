// A window by GLFW that shows the finished frames. Without GLFW at build time, opening one says so.
#ifndef ENGINE_WINDOW_H
#define ENGINE_WINDOW_H

#include "engine_device.h"

enum { ENGINE_MAX_SWAP = 16 };

typedef struct engine_window {
    void *handle; // GLFWwindow
    VkSurfaceKHR surface;
    VkSwapchainKHR swapchain;
    VkImage images[ENGINE_MAX_SWAP];
    uint32_t n_image, current;
    VkExtent2D extent;
    VkSemaphore acquired[2], drawn[ENGINE_MAX_SWAP];
} engine_window;

// Before the instance is made: the extensions that it needs.
bool engine_window_open(engine_window *w, const char *const **extensions, uint32_t *n_extension);
bool engine_window_attach(engine_window *w, engine_device *d);
void engine_window_close(engine_window *w, engine_device *d);
bool engine_window_is_open(engine_window *w);
// Get the next image; record a blit of `from`, which is in TRANSFER_SRC_OPTIMAL; show it when the frame is drawn.
bool engine_window_acquire(engine_window *w, engine_device *d, uint32_t frame);
void engine_window_blit(const engine_window *w, VkCommandBuffer commands, const engine_image *from);
bool engine_window_present(engine_window *w, engine_device *d);

#endif

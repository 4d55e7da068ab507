// A small engine with a Vulkan device of its own, in whose frames vkssm computes: the texture of a turning cube is
// video that a ConvS5 model predicts, and a Mamba-2 model tells a story beside it. Drawing and inference share one
// submission, or, with
// --async, inference has a queue of its own, a frame ahead.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine_audit.h"
#include "engine_scene.h"
#include "engine_story.h"
#include "engine_strip.h"
#include "engine_texture.h"
#include "engine_window.h"

enum { N_STRIP = 6, MAX_FRAME = 100000 };

typedef struct engine {
    engine_options options;
    engine_device device;
    engine_window window;
    vkssm_device *vkssm;
    engine_texture texture;
    engine_story story;
    engine_scene scene;
    VkCommandPool pools[2];
    VkCommandBuffer commands[2][2]; // [queue][frame % 2]
    uint64_t drawn[2], computed[2]; // timeline values of the two frames in flight, by frame % 2
    engine_buffer strip;
    vkssm_sync sync;
    double *times;
} engine;

static double seconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// ---- set-up
// ----------------------------------------------------------------------------------------------------------

static bool create_commands(engine *e) {
    for (int q = 0; q < 2; q++) {
        const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                              .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                              .queueFamilyIndex = e->device.families[q]};
        if (!engine_check(vkCreateCommandPool(e->device.device, &pool, NULL, &e->pools[q]), "vkCreateCommandPool"))
            return false;
        const VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                                  .commandPool = e->pools[q],
                                                  .commandBufferCount = 2};
        if (!engine_check(vkAllocateCommandBuffers(e->device.device, &info, e->commands[q]),
                          "vkAllocateCommandBuffers"))
            return false;
    }
    return true;
}

static VkCommandBuffer begin(engine *e, int queue, uint32_t frame) {
    const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                           .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VkCommandBuffer commands = e->commands[queue][frame % 2];
    return engine_check(vkBeginCommandBuffer(commands, &info), "vkBeginCommandBuffer") ? commands : VK_NULL_HANDLE;
}

// Textures begin black, in the one layout that they keep.
static bool clear_textures(engine *e) {
    VkCommandBuffer commands = begin(e, ENGINE_GRAPHICS, 0);
    const engine_use none = {VK_PIPELINE_STAGE_2_NONE, 0, VK_IMAGE_LAYOUT_UNDEFINED};
    const engine_use all = {VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT,
                            VK_ACCESS_2_MEMORY_READ_BIT | VK_ACCESS_2_MEMORY_WRITE_BIT, VK_IMAGE_LAYOUT_GENERAL};
    const VkImageSubresourceRange range = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};
    for (int i = 0; i < ENGINE_N_TEXTURE; i++) {
        VkImage image = e->texture.images[i].image;
        engine_image_barrier(commands, image, none, all);
        vkCmdClearColorImage(commands, image, VK_IMAGE_LAYOUT_GENERAL, &(VkClearColorValue){{-1}}, 1, &range);
        engine_image_barrier(commands, image, all, all);
    }
    return engine_check(vkEndCommandBuffer(commands), "vkEndCommandBuffer") &&
           engine_submit(&e->device, ENGINE_GRAPHICS, commands, 0, NULL, 0, NULL) &&
           engine_wait(&e->device, ENGINE_GRAPHICS, e->device.values[ENGINE_GRAPHICS]);
}

static void hear(void *user, vkssm_log_level level, const char *message) {
    (void)user, (void)level;
    fprintf(stderr, "vkssm: %s\n", message);
}

static bool set_up(engine *e) {
    const engine_options *o = &e->options;
    const char *const *extensions = NULL;
    uint32_t n_extension = 0;
    if (o->window && !engine_window_open(&e->window, &extensions, &n_extension)) return false;
    if (!engine_device_open(&e->device, o, extensions, n_extension)) return false;
    if (o->window && !engine_window_attach(&e->window, &e->device)) return false;
    const vkssm_host host = engine_device_host(&e->device, engine_audit_get);
    const vkssm_device_params params = {.log = {.callback = hear, .max_level = VKSSM_LOG_WARNING}};
    if (vkssm_device_adopt(&params, &host, &e->vkssm)) return false; // the log has said why
    vkssm_record_get_sync(&e->sync);
    if (!engine_texture_create(&e->device, e->vkssm, o->model, o->texture_budget_us, &e->texture) ||
        !engine_story_create(&e->device, e->vkssm, o->story, o->prompt, o->budget_us, &e->story))
        return false;
    e->times = calloc(o->n_frame, sizeof *e->times);
    return e->times && engine_scene_create(&e->device, e->texture.images, &e->scene) &&
           engine_buffer_create(&e->device, (VkDeviceSize)N_STRIP * ENGINE_WIDTH * ENGINE_HEIGHT * 4, &e->strip) &&
           create_commands(e) && clear_textures(e);
}

static void tear_down(engine *e) {
    engine_device *d = &e->device;
    if (d->device) vkDeviceWaitIdle(d->device); // the engine's own right; vkssm never does it
    if (d->device) {
        engine_scene_destroy(d, &e->scene);
        engine_story_destroy(d, &e->story);
        engine_texture_destroy(d, &e->texture);
        engine_buffer_destroy(d, &e->strip);
    }
    for (int i = 0; i < 2 && d->device; i++)
        vkDestroyCommandPool(d->device, e->pools[i], NULL);
    vkssm_device_destroy(&e->vkssm);
    if (e->options.window) engine_window_close(&e->window, d);
    engine_device_close(d);
    free(e->times);
}

// ---- a frame
// ---------------------------------------------------------------------------------------------------------

static void to_host(const engine *e, VkCommandBuffer commands) {
    const VkMemoryBarrier2 barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
                                      .srcStageMask = e->sync.stages,
                                      .srcAccessMask = e->sync.writes,
                                      .dstStageMask = VK_PIPELINE_STAGE_2_HOST_BIT,
                                      .dstAccessMask = VK_ACCESS_2_HOST_READ_BIT};
    const VkDependencyInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .memoryBarrierCount = 1, .pMemoryBarriers = &barrier};
    vkCmdPipelineBarrier2(commands, &info);
}

// The work of vkssm in this frame. It writes the texture that is not shown, between its last reading and its next.
static bool record_inference(engine *e, VkCommandBuffer commands, bool same_queue) {
    const engine_use sampled = {VK_PIPELINE_STAGE_2_FRAGMENT_SHADER_BIT, VK_ACCESS_2_SHADER_SAMPLED_READ_BIT,
                                VK_IMAGE_LAYOUT_GENERAL};
    const engine_use computed = {e->sync.stages, e->sync.writes, VK_IMAGE_LAYOUT_GENERAL};
    const engine_use before = same_queue ? sampled : computed; // another queue's reading ended before a semaphore
    VkImage written = e->texture.images[!e->texture.shown].image;
    engine_image_barrier(commands, written, before, computed);
    if (!engine_texture_record(&e->texture, commands)) return false;
    if (same_queue) engine_image_barrier(commands, written, computed, sampled);
    if (!engine_story_record(&e->story, commands)) return false;
    to_host(e, commands);
    return true;
}

static void copy_to_strip(engine *e, VkCommandBuffer commands, uint32_t index) {
    const VkBufferImageCopy region = {.bufferOffset = (VkDeviceSize)index * ENGINE_WIDTH * ENGINE_HEIGHT * 4,
                                      .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
                                      .imageExtent = {ENGINE_WIDTH, ENGINE_HEIGHT, 1}};
    vkCmdCopyImageToBuffer(commands, e->scene.target.image, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, e->strip.range.buffer,
                           1, &region);
    to_host(e, commands);
}

// Which picture of the strip this frame is, or -1.
static int strip_index(const engine *e, uint32_t frame) {
    for (int i = 0; i < N_STRIP; i++)
        if (frame == (uint64_t)(e->options.n_frame - 1) * (uint32_t)(i + 1) / N_STRIP) return i;
    return -1;
}

// --async: the texture and the story, on the other queue. It waits for the last frame, which may have shown the texture
// that is written now.
static bool submit_inference(engine *e, uint32_t frame) {
    VkCommandBuffer commands = begin(e, ENGINE_COMPUTE, frame);
    if (!commands || !record_inference(e, commands, false) ||
        !engine_check(vkEndCommandBuffer(commands), "vkEndCommandBuffer") ||
        !engine_submit(&e->device, ENGINE_COMPUTE, commands, e->drawn[(frame + 1) % 2], NULL, 0, NULL))
        return false;
    e->computed[frame % 2] = e->device.values[ENGINE_COMPUTE];
    return true;
}

static bool submit_drawing(engine *e, VkCommandBuffer commands, uint32_t frame, uint64_t wait) {
    VkSemaphoreSubmitInfo acquired = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
                                      .semaphore = e->window.acquired[frame % 2],
                                      .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT};
    VkSemaphoreSubmitInfo drawn = acquired;
    drawn.semaphore = e->window.drawn[e->window.current];
    bool window = e->options.window;
    return engine_submit(&e->device, ENGINE_GRAPHICS, commands, wait, &acquired, window, window ? &drawn : NULL) &&
           (!window || engine_window_present(&e->window, &e->device));
}

static bool run_frame(engine *e, uint32_t frame, bool inference) {
    bool async = e->options.async, window = e->options.window;
    if (!engine_wait(&e->device, ENGINE_GRAPHICS, e->drawn[frame % 2]) ||
        !engine_wait(&e->device, ENGINE_COMPUTE, e->computed[frame % 2]))
        return false;
    uint64_t wait = async ? e->computed[(frame + 1) % 2] : 0; // of the frame before: what it completed is shown now
    if (window && !engine_window_acquire(&e->window, &e->device, frame)) return false;
    if (inference) engine_texture_flip(&e->texture);
    if (async && inference && !submit_inference(e, frame)) return false;
    VkCommandBuffer commands = begin(e, ENGINE_GRAPHICS, frame);
    if (!commands) return false;
    if (!async && inference && !record_inference(e, commands, true)) return false;
    const engine_show show = {e->texture.shown, engine_texture_predicts(&e->texture)};
    engine_scene_draw(&e->scene, commands, show, (float)frame / 30);
    if (window) engine_window_blit(&e->window, commands, &e->scene.target);
    int index = inference ? strip_index(e, frame) : -1;
    if (index >= 0) copy_to_strip(e, commands, (uint32_t)index);
    if (!engine_check(vkEndCommandBuffer(commands), "vkEndCommandBuffer") || !submit_drawing(e, commands, frame, wait))
        return false;
    e->drawn[frame % 2] = e->device.values[ENGINE_GRAPHICS];
    return true;
}

// ---- the loop
// --------------------------------------------------------------------------------------------------------

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool run_frames(engine *e, bool inference) {
    uint32_t n = e->options.n_frame, n_done = 0;
    double last = seconds();
    for (; n_done < n && (!e->options.window || engine_window_is_open(&e->window)); n_done++) {
        if (!run_frame(e, n_done, inference)) return false;
        double now = seconds();
        e->times[n_done] = now - last;
        last = now;
    }
    for (int q = 0; q < 2; q++)
        if (!engine_wait(&e->device, q, e->device.values[q])) return false;
    if (n_done == 0) return true;
    qsort(e->times, n_done, sizeof *e->times, compare);
    printf("%-18s median %.2f ms, 99th percentile %.2f ms, worst %.2f ms (%u frames)\n",
           inference ? "with inference:" : "without inference:", 1e3 * e->times[n_done / 2],
           1e3 * e->times[n_done * 99 / 100], 1e3 * e->times[n_done - 1], (unsigned)n_done);
    return true;
}

static bool write_strip(const engine *e) {
    const void *frames[N_STRIP];
    for (int i = 0; i < N_STRIP; i++)
        frames[i] = (const uint8_t *)e->strip.mapped + (size_t)i * ENGINE_WIDTH * ENGINE_HEIGHT * 4;
    return engine_strip_write(e->options.strip, frames, N_STRIP, ENGINE_WIDTH, ENGINE_HEIGHT);
}

static bool run(engine *e) {
    printf("on %s; a frame of video takes %.0f us, a token of the story %.0f us\n", e->device.properties.deviceName,
           e->texture.estimate_us, e->story.estimate_us);
    engine_audit before = engine_audit_now();
    if (!run_frames(e, false) || !run_frames(e, true)) return false;
    engine_audit after = engine_audit_now();
    unsigned n_allocation = after.n_allocation - before.n_allocation, n_submit = after.n_submit - before.n_submit,
             n_wait = after.n_wait - before.n_wait;
    printf("in these frames vkssm allocated %u times, submitted %u times, waited %u times\n", n_allocation, n_submit,
           n_wait);
    printf("%u frames of video\n\n", (unsigned)e->texture.n_done);
    engine_story_print(&e->story);
    if (e->options.strip && !write_strip(e)) return false;
    return !e->options.check || (n_allocation + n_submit + n_wait == 0 && e->texture.n_done > 0);
}

// Names of features as vkssm info prints them, with commas between.
static bool parse_features(const char *text, uint32_t *mask) {
    for (;; text++) {
        size_t size = strcspn(text, ",");
        uint32_t found = 0;
        for (unsigned bit = 0; bit < 31; bit++) {
            const char *name = vkssm_feature_name((vkssm_feature)(1u << bit));
            if (name && strlen(name) == size && memcmp(name, text, size) == 0) found = 1u << bit;
        }
        if (!found) return false;
        *mask |= found;
        text += size;
        if (!*text) return true;
    }
}

static bool parse(int argc, char **argv, engine_options *o) {
    *o = (engine_options){.n_frame = 120,
                          .budget_us = 4000,
                          .model = "models/zoo/moving-mnist-convs5",
                          .story = "models/zoo/stories-mamba2",
                          .prompt = "Once upon a time"};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(name, "--window") == 0)
            o->window = true;
        else if (strcmp(name, "--async") == 0)
            o->async = true;
        else if (strcmp(name, "--validation") == 0)
            o->validation = true;
        else if (strcmp(name, "--check") == 0)
            o->check = true;
        else if (value && strcmp(name, "--frames") == 0)
            o->n_frame = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (value && strcmp(name, "--budget") == 0)
            o->budget_us = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (value && strcmp(name, "--texture-budget") == 0)
            o->texture_budget_us = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (value && strcmp(name, "--model") == 0)
            o->model = argv[++i];
        else if (value && strcmp(name, "--story") == 0)
            o->story = argv[++i];
        else if (value && strcmp(name, "--prompt") == 0)
            o->prompt = argv[++i];
        else if (value && strcmp(name, "--strip") == 0)
            o->strip = argv[++i];
        else if (value && strcmp(name, "--device") == 0)
            o->device = argv[++i];
        else if (!value || strcmp(name, "--mask") != 0 || !parse_features(argv[++i], &o->mask))
            return false;
    }
    return o->n_frame > 0 && o->n_frame <= MAX_FRAME;
}

int main(int argc, char **argv) {
    static engine e;
    if (!parse(argc, argv, &e.options)) {
        fprintf(
            stderr,
            "usage: engine [--window] [--async] [--frames N] [--budget US] [--texture-budget US] [--strip FILE.png]\n"
            "              [--model DIR] [--story DIR] [--prompt TEXT] [--device NAME] [--mask FEATURE[,FEATURE]]\n"
            "              [--validation] [--check]\n"
            "\n"
            "Microseconds of GPU time that the story (default 4000) and the video (default: a whole frame of it) may\n"
            "take of each frame. --check fails if vkssm allocates, submits or waits in a frame, or a video stands "
            "still.\n");
        return 2;
    }
    bool ok = set_up(&e) && run(&e);
    tear_down(&e);
    if (e.device.n_message) fprintf(stderr, "engine: %u validation messages\n", (unsigned)e.device.n_message);
    return !ok || e.device.n_message > 0;
}

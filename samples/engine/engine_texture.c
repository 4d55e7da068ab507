#include "engine_texture.h"

#include <stdio.h>
#include <string.h>

enum { N_FRAME = ENGINE_N_READ + ENGINE_N_PREDICT };

static bool fail(void) {
    fprintf(stderr, "engine: %s\n", vkssm_last_error());
    return false;
}

static bool open_clips(engine_texture *t, const char *folder) {
    char path[4096];
    vkssm_named_tensor frames;
    snprintf(path, sizeof path, "%s/golden.safetensors", folder);
    if (vkssm_tensor_file_open(path, NULL, &t->file)) return fail();
    if (!vkssm_tensor_file_find(t->file, "frames", &frames) || frames.dtype != VKSSM_DTYPE_U8 || frames.n_dim != 5 ||
        frames.shape[0] < ENGINE_N_READ || frames.shape[1] < 1 || frames.shape[1] > 1000 || frames.shape[2] != 1 ||
        frames.shape[3] > 4096 || frames.shape[4] > 4096) {
        fprintf(stderr, "engine: %s: frames [at least %d, n, 1, height, width] U8 expected\n", path, ENGINE_N_READ);
        return false;
    }
    t->clips = frames.data;
    t->n_clip = (uint32_t)frames.shape[1];
    t->height = (uint32_t)frames.shape[3];
    t->width = (uint32_t)frames.shape[4];
    return true;
}

static bool check_ports(const engine_texture *t) {
    vkssm_port in, out;
    if (vkssm_recording_get_port(t->recording, false, 0, &in) || vkssm_recording_get_port(t->recording, true, 0, &out))
        return fail();
    uint64_t n_pixel = (uint64_t)t->height * t->width;
    if (strcmp(in.name, "frames") == 0 && strcmp(out.name, "next") == 0 && in.n_value == n_pixel &&
        out.n_value == n_pixel)
        return true;
    fprintf(stderr, "engine: a model of video expected, from frames of %u x %u to the next\n", (unsigned)t->width,
            (unsigned)t->height);
    return false;
}

bool engine_texture_create(engine_device *d, vkssm_device *device, const char *model, uint32_t budget_us,
                           engine_texture *t) {
    const VkImageUsageFlags usage =
        VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT;
    t->budget_us = budget_us;
    if (vkssm_model_load(device, model, NULL, &t->model) ||
        vkssm_recording_create(t->model, NULL, &t->estimate_us, &t->recording))
        return fail();
    if (!open_clips(t, model) || !check_ports(t)) return false;
    for (int i = 0; i < 2; i++)
        if (!engine_buffer_create(d, (VkDeviceSize)t->height * t->width * sizeof(float), &t->inputs[i])) return false;
    for (int i = 0; i < ENGINE_N_TEXTURE; i++)
        if (!engine_image_create(d, VK_FORMAT_R32_SFLOAT, t->width, t->height, usage, &t->images[i])) return false;
    return true;
}

void engine_texture_destroy(engine_device *d, engine_texture *t) {
    for (int i = 0; i < 2; i++)
        engine_buffer_destroy(d, &t->inputs[i]);
    for (int i = 0; i < ENGINE_N_TEXTURE; i++)
        engine_image_destroy(d, &t->images[i]);
    vkssm_recording_destroy(&t->recording);
    vkssm_model_destroy(&t->model);
    vkssm_tensor_file_destroy(&t->file);
}

// A frame to be read, as the model wants its numbers. Nothing in flight reads this buffer: the last video frame but one
// did, which was recorded two frames of the engine ago or earlier.
static void fill_input(engine_texture *t, uint32_t step) {
    const engine_buffer *input = &t->inputs[t->n_done % 2];
    size_t n_pixel = (size_t)t->height * t->width, clip = t->n_done / N_FRAME % t->n_clip;
    const uint8_t *pixels = t->clips + (step * (size_t)t->n_clip + clip) * n_pixel;
    for (size_t i = 0; i < n_pixel; i++)
        ((float *)input->mapped)[i] = (float)pixels[i] / 127.5f - 1;
}

bool engine_texture_record(engine_texture *t, VkCommandBuffer commands) {
    uint32_t step = t->n_done % N_FRAME;
    bool reads = step < ENGINE_N_READ;
    vkssm_image images[ENGINE_N_TEXTURE];
    for (int i = 0; i < ENGINE_N_TEXTURE; i++)
        images[i] = (vkssm_image){.image = t->images[i].image,
                                  .layout = VK_IMAGE_LAYOUT_GENERAL,
                                  .subresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
                                  .extent = {t->width, t->height, 1},
                                  .n_channel = 1};
    vkssm_bound_port input = {.name = "frames", .image = reads ? NULL : &images[t->shown]};
    if (reads && t->cursor.position == 0) fill_input(t, step);
    if (reads) input.buffer = t->inputs[t->n_done % 2].range;
    const vkssm_bound_port output = {.name = "next", .image = &images[!t->shown]};
    const vkssm_record_model record = {.inputs = &input,
                                       .outputs = &output,
                                       .n_input = 1,
                                       .n_output = 1,
                                       .begin = step == 0,
                                       .budget_us = t->budget_us};
    return vkssm_model_record(t->recording, commands, &record, &t->cursor) == VKSSM_OK || fail();
}

void engine_texture_flip(engine_texture *t) {
    if (!t->cursor.complete) return;
    t->cursor = (vkssm_cursor){0};
    t->shown = !t->shown;
    t->n_done++;
}

bool engine_texture_predicts(const engine_texture *t) {
    return t->n_done > 0 && (t->n_done - 1) % N_FRAME >= ENGINE_N_READ;
}

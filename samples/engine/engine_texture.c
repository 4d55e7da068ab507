#include "engine_texture.h"

#include <stdio.h>
#include <string.h>

static bool fail(void) {
    fprintf(stderr, "engine: %s\n", vkssm_last_error());
    return false;
}

static bool open_digits(engine_texture *t, const char *folder) {
    char path[4096];
    vkssm_named_tensor input;
    snprintf(path, sizeof path, "%s/golden.safetensors", folder);
    if (vkssm_tensor_file_open(path, NULL, &t->digits)) return fail();
    if (!vkssm_tensor_file_find(t->digits, "input", &input) || input.dtype != VKSSM_DTYPE_U8 || input.n_dim != 2 ||
        input.shape[0] == 0 || input.shape[0] > 1000000 || input.shape[1] != ENGINE_ROW * ENGINE_ROW) {
        fprintf(stderr, "engine: %s: digits of 784 pixels expected\n", path);
        return false;
    }
    t->pixels = input.data;
    t->n_digit = (uint32_t)input.shape[0];
    return true;
}

// The last layer's output, and the input's layout.
static bool find_ports(engine_texture *t) {
    vkssm_port port;
    vkssm_model_info info;
    vkssm_model_get_info(t->model, &info);
    if (vkssm_recording_get_port(t->recording, false, 0, &port)) return fail();
    t->row_stride = port.row_stride;
    if (port.n_value != 1 || strcmp(port.name, "input") != 0) {
        fprintf(stderr, "engine: a model that reads one number at a time expected\n");
        return false;
    }
    for (uint32_t i = 0; i < info.n_output; i++)
        if (!vkssm_recording_get_port(t->recording, true, i, &port) && strncmp(port.name, "layer", 5) == 0) {
            t->width = (uint32_t)port.n_value;
            memcpy(t->layer_name, port.name, sizeof t->layer_name);
        }
    return t->width > 0;
}

bool engine_texture_create(engine_device *d, vkssm_device *device, const char *model, engine_texture *t) {
    const vkssm_recording_params params = {.n_time = ENGINE_ROW, .layers = true};
    t->scale = 0.25f;
    if (vkssm_model_load(device, model, NULL, &t->model) ||
        vkssm_recording_create(t->model, &params, &t->estimate_us, &t->recording))
        return fail();
    if (!open_digits(t, model) || !find_ports(t)) return false;
    for (int i = 0; i < 2; i++)
        if (!engine_buffer_create(d, ENGINE_ROW * t->row_stride * sizeof(float), &t->inputs[i])) return false;
    return true;
}

void engine_texture_destroy(engine_device *d, engine_texture *t) {
    for (int i = 0; i < 2; i++)
        engine_buffer_destroy(d, &t->inputs[i]);
    vkssm_recording_destroy(&t->recording);
    vkssm_model_destroy(&t->model);
    vkssm_tensor_file_destroy(&t->digits);
}

uint32_t engine_texture_height(void) {
    return ENGINE_ROW * ENGINE_N_ROW;
}

bool engine_texture_record(engine_texture *t, VkCommandBuffer commands, uint32_t frame, const engine_image *image,
                           uint32_t band) {
    uint32_t digit = frame / ENGINE_ROW % t->n_digit, row = frame % ENGINE_ROW;
    const uint8_t *pixels = t->pixels + ((size_t)digit * ENGINE_ROW + row) * ENGINE_ROW;
    engine_buffer *input = &t->inputs[frame % 2];
    for (uint32_t x = 0; x < ENGINE_ROW; x++)
        ((float *)input->mapped)[x * t->row_stride] = (float)pixels[x] / 255;
    vkssm_image lines[ENGINE_ROW];
    vkssm_bound_port outputs[ENGINE_ROW], port = {.name = "input", .buffer = input->range};
    for (uint32_t x = 0; x < ENGINE_ROW; x++) {
        uint32_t y = band % ENGINE_N_ROW * ENGINE_ROW + x;
        lines[x] = (vkssm_image){.image = image->image,
                                 .layout = VK_IMAGE_LAYOUT_GENERAL,
                                 .subresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
                                 .offset = {0, (int32_t)y, 0},
                                 .extent = {t->width, 1, 1},
                                 .n_channel = 1};
        outputs[x] = (vkssm_bound_port){.name = t->layer_name, .image = &lines[x], .image_row = x};
    }
    const vkssm_record_model record = {
        .inputs = &port, .outputs = outputs, .n_input = 1, .n_output = ENGINE_ROW, .begin = row == 0};
    return vkssm_model_record(t->recording, commands, &record, NULL) == VKSSM_OK || fail();
}

// The model that makes the texture: a part of its work is recorded into each frame, and what it puts out is copied into
// the texture. This file knows S5 classifiers (models/zoo/smnist-s5): a frame reads the next row of a handwritten
// digit, pixel by pixel, and the texture shows what the last layer makes of each pixel, a line a pixel.
#ifndef ENGINE_TEXTURE_H
#define ENGINE_TEXTURE_H

#include "engine_device.h"

enum { ENGINE_ROW = 28, ENGINE_N_ROW = 4 }; // pixels of a digit's row; rows that the texture shows

typedef struct engine_texture {
    vkssm_model *model;
    vkssm_recording *recording;
    vkssm_tensor_file *digits;
    const uint8_t *pixels; // [n_digit, 784]
    uint32_t n_digit, layer, width;
    char layer_name[32];
    uint64_t row_stride;     // floats between the input's rows
    engine_buffer inputs[2]; // a frame's pixels, of two frames in flight
    double estimate_us;
    float scale; // one over the usual size of the numbers
} engine_texture;

bool engine_texture_create(engine_device *d, vkssm_device *device, const char *model, engine_texture *out);
void engine_texture_destroy(engine_device *d, engine_texture *texture);
uint32_t engine_texture_height(void);
// Record a frame's part of the work, and write band `band` (modulo ENGINE_N_ROW) of the image, which is in GENERAL and
// ordered by the caller.
bool engine_texture_record(engine_texture *texture, VkCommandBuffer commands, uint32_t frame, const engine_image *image,
                           uint32_t band);

#endif

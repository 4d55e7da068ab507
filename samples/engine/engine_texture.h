// The model that makes the texture: ConvS5 (models/zoo/moving-mnist-convs5) reads the first frames of a clip of video,
// one after the other, and then goes on by itself: each frame that it predicts is its next input. A part of its work is
// recorded into each frame of the engine; predicted frames alternate between two images, one of which is shown while
// the other is written.
#ifndef ENGINE_TEXTURE_H
#define ENGINE_TEXTURE_H

#include "engine_scene.h"

enum { ENGINE_N_READ = 20, ENGINE_N_PREDICT = 40 }; // video frames of a clip

typedef struct engine_texture {
    vkssm_model *model;
    vkssm_recording *recording;
    vkssm_tensor_file *file;
    const uint8_t *clips; // [60, n_clip, 1, height, width], 0 to 255 for -1 to 1
    uint32_t n_clip, height, width;
    engine_buffer inputs[2]; // a video frame that is read, of two frames of the engine in flight
    engine_image images[ENGINE_N_TEXTURE];
    vkssm_cursor cursor;
    uint32_t n_done, budget_us; // video frames since the start; the last one is in images[shown]
    int shown;
    double estimate_us;
} engine_texture;

bool engine_texture_create(engine_device *d, vkssm_device *device, const char *model, uint32_t budget_us,
                           engine_texture *out);
void engine_texture_destroy(engine_device *d, engine_texture *texture);
// Record a part of the work on the image that is not shown. Both images are in GENERAL; drawing's reading of the one
// that is written is ordered by the caller. What is complete is shown from the next frame on: engine_texture_flip.
bool engine_texture_record(engine_texture *texture, VkCommandBuffer commands);
// Show the other image if it is complete.
void engine_texture_flip(engine_texture *texture);
// Whether the frame that is shown was predicted from predicted ones.
bool engine_texture_predicts(const engine_texture *texture);

#endif

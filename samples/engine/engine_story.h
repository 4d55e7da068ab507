// A language model that runs beside the drawing: some of its work in each frame, within a budget of GPU time. Its
// tokens stay on the device; the host reads them when their frames have ended.
#ifndef ENGINE_STORY_H
#define ENGINE_STORY_H

#include "engine_device.h"

enum { ENGINE_MAX_TOKEN = 512 };

typedef struct engine_story {
    vkssm_model *model;
    vkssm_session *session;
    int32_t *prompt;
    size_t n_prompt;
    vkssm_cursor cursor;
    bool is_reading;       // the prompt is not read yet
    uint32_t n_token;      // sampled, or being sampled
    engine_buffer sampled; // [ENGINE_MAX_TOKEN] I32, 16 bytes apart
    uint32_t budget_us;
    double estimate_us; // of a step
} engine_story;

bool engine_story_create(engine_device *d, vkssm_device *device, const char *model, const char *prompt,
                         uint32_t budget_us, engine_story *out);
void engine_story_destroy(engine_device *d, engine_story *story);
bool engine_story_record(engine_story *story, VkCommandBuffer commands);
// The text so far, when all frames have ended.
void engine_story_print(const engine_story *story);

#endif

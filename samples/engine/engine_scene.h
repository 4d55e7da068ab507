// What is drawn: a floor, a turning cube with the texture on it, a camera that goes around them.
#ifndef ENGINE_SCENE_H
#define ENGINE_SCENE_H

#include "engine_device.h"

enum { ENGINE_WIDTH = 320, ENGINE_HEIGHT = 240, ENGINE_N_TEXTURE = 2 };

typedef struct engine_scene {
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipeline pipeline;
    VkSampler sampler;
    VkDescriptorPool pool;
    VkDescriptorSet sets[ENGINE_N_TEXTURE];
    engine_image target; // R8G8B8A8
} engine_scene;

bool engine_scene_create(engine_device *d, const engine_image textures[ENGINE_N_TEXTURE], engine_scene *out);
void engine_scene_destroy(engine_device *d, engine_scene *scene);
// What the cube shows: one of the textures, which is in GENERAL, in a frame that is green while the model reads and
// orange when it goes on by itself.
typedef struct engine_show {
    int texture;
    bool predicts;
} engine_show;
// Draw at a time in seconds. The target ends in TRANSFER_SRC_OPTIMAL.
void engine_scene_draw(const engine_scene *scene, VkCommandBuffer commands, engine_show show, float time);

#endif

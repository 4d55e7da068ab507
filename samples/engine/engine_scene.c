#define CGLM_FORCE_DEPTH_ZERO_TO_ONE
#include <cglm/cglm.h>

#include "engine_scene.h"

static const uint32_t vertex_code[] = {
#include "engine_scene.vert.inc"
};
static const uint32_t fragment_code[] = {
#include "engine_scene.frag.inc"
};

typedef struct push {
    mat4 to_clip;
    vec4 kind;
} push;

static bool create_sets(engine_device *d, const engine_image *textures, engine_scene *s) {
    const VkSamplerCreateInfo sampler = {.sType = VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO,
                                         .addressModeU = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
                                         .addressModeV = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
                                         .addressModeW = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE};
    if (!engine_check(vkCreateSampler(d->device, &sampler, NULL, &s->sampler), "vkCreateSampler")) return false;
    const VkDescriptorSetLayoutBinding binding = {.descriptorType = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER,
                                                  .descriptorCount = 1,
                                                  .stageFlags = VK_SHADER_STAGE_FRAGMENT_BIT};
    const VkDescriptorSetLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = 1, .pBindings = &binding};
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, ENGINE_N_TEXTURE};
    const VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = ENGINE_N_TEXTURE,
                                             .poolSizeCount = 1,
                                             .pPoolSizes = &size};
    if (!engine_check(vkCreateDescriptorSetLayout(d->device, &layout, NULL, &s->set_layout), "the set layout") ||
        !engine_check(vkCreateDescriptorPool(d->device, &pool, NULL, &s->pool), "vkCreateDescriptorPool"))
        return false;
    const VkDescriptorSetLayout layouts[] = {s->set_layout, s->set_layout};
    const VkDescriptorSetAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                                  .descriptorPool = s->pool,
                                                  .descriptorSetCount = ENGINE_N_TEXTURE,
                                                  .pSetLayouts = layouts};
    if (!engine_check(vkAllocateDescriptorSets(d->device, &allocate, s->sets), "vkAllocateDescriptorSets"))
        return false;
    for (int i = 0; i < ENGINE_N_TEXTURE; i++) {
        const VkDescriptorImageInfo image = {s->sampler, textures[i].view, VK_IMAGE_LAYOUT_GENERAL};
        const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                            .dstSet = s->sets[i],
                                            .descriptorCount = 1,
                                            .descriptorType = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER,
                                            .pImageInfo = &image};
        vkUpdateDescriptorSets(d->device, 1, &write, 0, NULL);
    }
    return true;
}

static VkShaderModule create_module(engine_device *d, const uint32_t *code, size_t size) {
    const VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = size, .pCode = code};
    VkShaderModule module = VK_NULL_HANDLE;
    engine_check(vkCreateShaderModule(d->device, &info, NULL, &module), "vkCreateShaderModule");
    return module;
}

static bool create_pipeline(engine_device *d, engine_scene *s) {
    const VkPushConstantRange range = {VK_SHADER_STAGE_VERTEX_BIT | VK_SHADER_STAGE_FRAGMENT_BIT, 0, sizeof(push)};
    const VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                               .setLayoutCount = 1,
                                               .pSetLayouts = &s->set_layout,
                                               .pushConstantRangeCount = 1,
                                               .pPushConstantRanges = &range};
    if (!engine_check(vkCreatePipelineLayout(d->device, &layout, NULL, &s->layout), "vkCreatePipelineLayout"))
        return false;
    VkShaderModule vertex = create_module(d, vertex_code, sizeof vertex_code);
    VkShaderModule fragment = create_module(d, fragment_code, sizeof fragment_code);
    const VkPipelineShaderStageCreateInfo stages[] = {
        {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
         .stage = VK_SHADER_STAGE_VERTEX_BIT,
         .module = vertex,
         .pName = "main"},
        {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
         .stage = VK_SHADER_STAGE_FRAGMENT_BIT,
         .module = fragment,
         .pName = "main"},
    };
    const VkFormat format = VK_FORMAT_R8G8B8A8_UNORM;
    const VkPipelineRenderingCreateInfo rendering = {.sType = VK_STRUCTURE_TYPE_PIPELINE_RENDERING_CREATE_INFO,
                                                     .colorAttachmentCount = 1,
                                                     .pColorAttachmentFormats = &format};
    const VkPipelineVertexInputStateCreateInfo input = {.sType =
                                                            VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO};
    const VkPipelineInputAssemblyStateCreateInfo assembly = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_INPUT_ASSEMBLY_STATE_CREATE_INFO,
        .topology = VK_PRIMITIVE_TOPOLOGY_TRIANGLE_LIST};
    const VkViewport port = {0, 0, ENGINE_WIDTH, ENGINE_HEIGHT, 0, 1};
    const VkRect2D scissor = {{0, 0}, {ENGINE_WIDTH, ENGINE_HEIGHT}};
    const VkPipelineViewportStateCreateInfo viewport = {.sType = VK_STRUCTURE_TYPE_PIPELINE_VIEWPORT_STATE_CREATE_INFO,
                                                        .viewportCount = 1,
                                                        .pViewports = &port,
                                                        .scissorCount = 1,
                                                        .pScissors = &scissor};
    const VkPipelineRasterizationStateCreateInfo raster = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_RASTERIZATION_STATE_CREATE_INFO,
        .cullMode = VK_CULL_MODE_BACK_BIT, // of a cube that is drawn last: no depth buffer is needed
        .frontFace = VK_FRONT_FACE_COUNTER_CLOCKWISE,
        .lineWidth = 1};
    const VkPipelineMultisampleStateCreateInfo multisample = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_MULTISAMPLE_STATE_CREATE_INFO,
        .rasterizationSamples = VK_SAMPLE_COUNT_1_BIT};
    const VkPipelineColorBlendAttachmentState blend = {.colorWriteMask = 0xf};
    const VkPipelineColorBlendStateCreateInfo blending = {.sType =
                                                              VK_STRUCTURE_TYPE_PIPELINE_COLOR_BLEND_STATE_CREATE_INFO,
                                                          .attachmentCount = 1,
                                                          .pAttachments = &blend};
    const VkGraphicsPipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_GRAPHICS_PIPELINE_CREATE_INFO,
                                               .pNext = &rendering,
                                               .stageCount = 2,
                                               .pStages = stages,
                                               .pVertexInputState = &input,
                                               .pInputAssemblyState = &assembly,
                                               .pViewportState = &viewport,
                                               .pRasterizationState = &raster,
                                               .pMultisampleState = &multisample,
                                               .pColorBlendState = &blending,
                                               .layout = s->layout};
    bool ok = vertex && fragment &&
              engine_check(vkCreateGraphicsPipelines(d->device, VK_NULL_HANDLE, 1, &info, NULL, &s->pipeline),
                           "vkCreateGraphicsPipelines");
    vkDestroyShaderModule(d->device, vertex, NULL);
    vkDestroyShaderModule(d->device, fragment, NULL);
    return ok;
}

bool engine_scene_create(engine_device *d, const engine_image textures[ENGINE_N_TEXTURE], engine_scene *s) {
    return engine_image_create(d, VK_FORMAT_R8G8B8A8_UNORM, ENGINE_WIDTH, ENGINE_HEIGHT,
                               VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT, &s->target) &&
           create_sets(d, textures, s) && create_pipeline(d, s);
}

void engine_scene_destroy(engine_device *d, engine_scene *s) {
    vkDestroyPipeline(d->device, s->pipeline, NULL);
    vkDestroyPipelineLayout(d->device, s->layout, NULL);
    vkDestroyDescriptorPool(d->device, s->pool, NULL);
    vkDestroyDescriptorSetLayout(d->device, s->set_layout, NULL);
    vkDestroySampler(d->device, s->sampler, NULL);
    engine_image_destroy(d, &s->target);
}

static void draw(const engine_scene *s, VkCommandBuffer commands, mat4 camera, mat4 place, bool cube, bool predicts) {
    push p = {.kind = {cube, predicts, 0, 0}};
    glm_mat4_mul(camera, place, p.to_clip);
    vkCmdPushConstants(commands, s->layout, VK_SHADER_STAGE_VERTEX_BIT | VK_SHADER_STAGE_FRAGMENT_BIT, 0, sizeof p, &p);
    vkCmdDraw(commands, cube ? 36 : 6, 1, 0, 0);
}

void engine_scene_draw(const engine_scene *s, VkCommandBuffer commands, engine_show show, float time) {
    mat4 projection, view, camera, floor = GLM_MAT4_IDENTITY_INIT, cube = GLM_MAT4_IDENTITY_INIT;
    vec3 eye = {6.0f * sinf(0.3f * time), 2.6f, 6.0f * cosf(0.3f * time)}, at = {0, 0.3f, 0}, up = {0, 1, 0};
    glm_perspective(glm_rad(42), (float)ENGINE_WIDTH / ENGINE_HEIGHT, 0.1f, 50, projection);
    projection[1][1] *= -1; // Vulkan's y goes down
    glm_lookat(eye, at, up, view);
    glm_mat4_mul(projection, view, camera);
    glm_translate(cube, (vec3){0, 0.5f + 0.25f * sinf(1.3f * time), 0});
    glm_rotate(cube, 0.8f * time, (vec3){0.2f, 1, 0.1f});

    const engine_use before = {VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT, 0, VK_IMAGE_LAYOUT_UNDEFINED};
    const engine_use drawn = {VK_PIPELINE_STAGE_2_COLOR_ATTACHMENT_OUTPUT_BIT, VK_ACCESS_2_COLOR_ATTACHMENT_WRITE_BIT,
                              VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL};
    const engine_use copied = {VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT, VK_ACCESS_2_TRANSFER_READ_BIT,
                               VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL};
    engine_image_barrier(commands, s->target.image, before, drawn);
    const VkRenderingAttachmentInfo attachment = {.sType = VK_STRUCTURE_TYPE_RENDERING_ATTACHMENT_INFO,
                                                  .imageView = s->target.view,
                                                  .imageLayout = VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL,
                                                  .loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
                                                  .storeOp = VK_ATTACHMENT_STORE_OP_STORE,
                                                  .clearValue = {.color = {.float32 = {0.03f, 0.04f, 0.06f, 1}}}};
    const VkRenderingInfo rendering = {.sType = VK_STRUCTURE_TYPE_RENDERING_INFO,
                                       .renderArea = {{0, 0}, {ENGINE_WIDTH, ENGINE_HEIGHT}},
                                       .layerCount = 1,
                                       .colorAttachmentCount = 1,
                                       .pColorAttachments = &attachment};
    vkCmdBeginRendering(commands, &rendering);
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, s->pipeline);
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, s->layout, 0, 1, &s->sets[show.texture], 0,
                            NULL);
    draw(s, commands, camera, floor, false, false);
    draw(s, commands, camera, cube, true, show.predicts);
    vkCmdEndRendering(commands);
    engine_image_barrier(commands, s->target.image, drawn, copied);
}

// Inside host/core: recording into the command buffers of a host application (vkssm/vulkan.h).
#ifndef VKS_CORE_RECORD_H
#define VKS_CORE_RECORD_H

#include <vkssm/vulkan.h>

#include "core_model.h"
#include "vk/vks.h"

// Estimated time of each operator of a step or piece.
typedef struct vks_cost {
    uint64_t *ns; // [n]
    uint32_t n;
} vks_cost;
double vks_cost_us(const vks_cost *cost);
void vks_cost_finish(vks_cost *cost);

// What is measured: the same commands as are recorded later.
typedef vkssm_status vks_record_body(void *user, vks_recorder *recorder);
// Run the body twice and keep the second run's times. The buffers `keep` have their bytes of before afterwards.
vkssm_status vks_record_measure(vks_device *device, const char *what, vks_record_body *body, void *user,
                                const vks_buffer *const *keep, uint32_t n_keep, vks_cost *out);

// Record the part of a body that the cursor and the budget say, into the host's command buffer. *left_ns: what is left
// of the budget (in, out); 0 with a budget: nothing. *position: where to go on, or UINT32_MAX when all is recorded.
typedef struct vks_record_part {
    vks_recorder *recorder;
    void *commands;
    const vks_cost *cost;
    double scale; // of the cost
    vks_record_body *body;
    void *user;
} vks_record_part;
vkssm_status vks_record_run(const vks_record_part *part, uint32_t budget_us, uint64_t *left_ns, uint32_t *position);

// A buffer of the host's as operators want it, at least `size` bytes. what: "record: step: logits". usage: needed
// besides SHADER_DEVICE_ADDRESS.
vkssm_status vks_record_buffer(vks_device *device, const char *what, const vkssm_buffer *buffer, uint64_t size,
                               VkBufferUsageFlags usage, vks_buffer *out);

#endif

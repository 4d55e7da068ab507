// Inside the library: a loaded model, and how models/registry.c makes one.
#ifndef VKS_MODEL_H
#define VKS_MODEL_H

#include <stdatomic.h>

#include <vkssm/model.h>

#include "arch.h"
#include "state.h"

struct vks_arena;

struct vkssm_model {
    vkssm_device *device;
    const vks_arch *arch;
    void *self; // the architecture's object
    vks_model_shape shape;
    vks_state_layout state;
    struct vks_arena *weights;
    vkssm_tokenizer *tokenizer;
    vkssm_dtype activation_dtype, weight_dtype;
    uint64_t n_parameter;
    atomic_uint n_session; // made from it
};

// Put a model together: bind the weights, check memory, upload. Takes over `self` (destroyed on failure too).
// path: the model's, for messages.
vkssm_status vks_model_create(vkssm_device *device, const char *path, const vkssm_model_params *params, const vks_arch *arch,
                              void *self, const vks_model_shape *shape, const struct vks_weights *weights,
                              vkssm_model **out);
// A model without files: weights are made up, of float16 (or params' type) and of sensible size. config: the text of a
// config.json; name: for messages.
vkssm_status vks_model_synthetic(vkssm_device *device, const char *name, const char *config,
                                 const vkssm_model_params *params, vkssm_model **out);
const vkssm_log *vks_device_get_log(const vkssm_device *device);

#endif

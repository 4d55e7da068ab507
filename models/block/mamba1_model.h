// A Mamba-1 language model. What the model types mamba and falcon_mamba share: an architecture's file reads its
// configuration into a vks_mamba1_model and hands the rest to the verbs below and to those of vks_lm.
#ifndef VKS_MAMBA1_MODEL_H
#define VKS_MAMBA1_MODEL_H

#include "language_model.h"
#include "mamba1_mixer.h"

struct vks_config;

typedef struct vks_mamba1_model {
    vks_lm lm; // first
    // from the configuration
    vks_mamba1_config mixer;
    char kind; // a letter that tells model types apart
    // belongs to mamba1_model.c
    vks_mamba1_mixer *layers;
} vks_mamba1_model;

// Make *self by `parse`, which fills what is from the configuration; sizes are checked afterwards.
vkssm_status vks_mamba1_model_parse(const struct vks_config *config,
                                    vkssm_status (*parse)(const struct vks_config *config, vks_mamba1_model *model),
                                    void **self, vks_model_shape *shape);
// The keys of Hugging Face's configurations of both types. `model` holds the defaults.
vkssm_status vks_mamba1_model_parse_hugging_face(const struct vks_config *config, vks_mamba1_model *model);

vkssm_status vks_mamba1_model_state(const void *self, vks_state_layout *layout);
void vks_mamba1_model_destroy(void *self);

#endif

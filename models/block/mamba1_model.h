// A Mamba-1 language model: embedding, L blocks of  residual += mixer(rms_norm(residual)), a last norm and the head.
// What the model types mamba and falcon_mamba share: an architecture's file reads its configuration into a
// vks_mamba1_model and hands the rest to the verbs below, whose `self` it is.
#ifndef VKS_MAMBA1_MODEL_H
#define VKS_MAMBA1_MODEL_H

#include "mamba1_mixer.h"

struct vks_config;

typedef struct vks_mamba1_layer {
    vks_tensor norm;
    vks_mamba1_mixer mixer;
} vks_mamba1_layer;

typedef struct vks_mamba1_model {
    // from the configuration
    vks_mamba1_config mixer;
    uint32_t n_layer, n_vocab;
    float norm_eps;
    bool tied_head;
    bool padded_vocab; // the file has more rows of the embedding than the configuration says, and they count
    char kind;         // a letter that tells model types apart
    // the rest belongs to mamba1_model.c
    const vkssm_log *log;
    vks_tensor embedding, final_norm, head;
    vks_mamba1_layer *layers;
} vks_mamba1_model;

enum { VKS_MAMBA1_MAX_SIZE = 1 << 20, VKS_MAMBA1_MAX_LAYER = 4096, VKS_MAMBA1_MAX_VOCAB = (1 << 24) - 1 };

// Make *self by `parse`, which fills what is from the configuration; sizes are checked afterwards.
vkssm_status vks_mamba1_model_parse(const struct vks_config *config,
                                    vkssm_status (*parse)(const struct vks_config *config, vks_mamba1_model *model),
                                    void **self, vks_model_shape *shape);
// The keys of Hugging Face's configurations of both types. `model` holds the defaults.
vkssm_status vks_mamba1_model_parse_hugging_face(const struct vks_config *config, vks_mamba1_model *model);

vkssm_status vks_mamba1_model_bind(void *self, const struct vks_weights *weights, vks_binder *binder,
                                   vks_model_shape *shape);
vkssm_status vks_mamba1_model_state(const void *self, vks_state_layout *layout);
vkssm_status vks_mamba1_model_prefill(const void *self, vks_plan *plan, const vks_prefill *prefill);
vkssm_status vks_mamba1_model_step(const void *self, vks_plan *plan, const vks_step *step);
void vks_mamba1_model_destroy(void *self);

#endif

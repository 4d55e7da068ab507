// A language model of residual blocks: embedding, L blocks of  residual += mixer(rms_norm(residual)), a last norm and
// the head, which may be the embedding again. What Mamba, Falcon-Mamba and Mamba-2 share (Gu and Dao 2023, section 3.4;
// Dao and Gu 2024, section 7); what a block mixes with is the architecture's. Tensors are named as in both layouts of
// checkpoint:
//   backbone.embeddings.weight or backbone.embedding.weight, backbone.layers.N.norm.weight, backbone.layers.N.mixer.*,
//   backbone.norm_f.weight, lm_head.weight
#ifndef VKS_LANGUAGE_MODEL_H
#define VKS_LANGUAGE_MODEL_H

#include "bind.h"

enum { VKS_LM_MAX_SIZE = 1 << 20, VKS_LM_MAX_LAYER = 4096, VKS_LM_MAX_VOCAB = (1 << 24) - 1 };

// B sequences of T tokens; rows are sequence-major. With offsets B is 1, and its row of T tokens holds packed sequences.
typedef struct vks_lm_call {
    uint32_t n_sequence, n_time;
    vks_tensor residual; // [B T, D] F32: mixers add to it
    vks_state_view state;
    vks_tensor slots;   // [B], or none: one sequence, the only slot of `state`; with offsets [n]
    vks_tensor offsets; // [n+1] I32 or none: as in vks_prefill; only for architectures that pack prompts
    uint32_t most_rows; // as in vks_matmul; 0: B T
    float norm_eps;
    vks_tensor shared[2]; // what `begin` took for all layers
} vks_lm_call;

// What an architecture gives. `self` is its object.
typedef struct vks_lm_mixers {
    // Bind the mixer of `layer`; the prefix of its names is set.
    vkssm_status (*bind)(void *self, const vks_bind *bind, uint32_t layer);
    // Of every number that shapes the state, as vks_model_shape has it.
    uint64_t (*fingerprint)(const void *self);
    // Whether record norms the residual stream itself.
    bool (*norms)(const void *self, const vks_kernels *kernels, const vks_lm_call *call);
    // Ahead of the layers, or NULL: what they share may be taken and prepared. It goes with the plan.
    vkssm_status (*begin)(const void *self, vks_plan *plan, vks_lm_call *call);
    // residual += mixer(x). x: [B T, D], the normed residual stream; or none when it norms by itself, with `norm` [D].
    vkssm_status (*record)(const void *self, uint32_t layer, vks_plan *plan, const vks_lm_call *call, vks_tensor x,
                           vks_tensor norm);
} vks_lm_mixers;

// The first member of an architecture's object, which the verbs below take as `self`.
typedef struct vks_lm {
    // from the configuration
    const vks_lm_mixers *mixers;
    const vkssm_log *log;
    uint32_t n_layer, n_channel, n_vocab;
    float norm_eps;
    bool tied_head;
    bool padded_vocab; // the file has more rows of the embedding than the configuration says, and they count
    // the rest belongs to language_model.c
    vks_tensor embedding, final_norm, head;
    vks_tensor *norms; // [n_layer]
} vks_lm;

// With the configuration read: take memory for the layers, and describe the model. bos_token_id and eos_token_id are
// read.
vkssm_status vks_lm_complete(vks_lm *lm, const struct vks_config *config, vks_model_shape *shape);
void vks_lm_release(vks_lm *lm);

// The verbs of vks_arch.
vkssm_status vks_lm_bind(void *self, const struct vks_weights *weights, vks_binder *binder, vks_model_shape *shape);
vkssm_status vks_lm_prefill(const void *self, vks_plan *plan, const vks_prefill *prefill);
vkssm_status vks_lm_step(const void *self, vks_plan *plan, const vks_step *step);

// FNV-1a over numbers, for fingerprints.
uint64_t vks_lm_hash(const uint32_t *numbers, size_t n);

#endif

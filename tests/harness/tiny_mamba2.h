// Small Mamba-2 models with random weights, written to a folder in either layout of checkpoints.
#ifndef TINY_MAMBA2_H
#define TINY_MAMBA2_H

#include "tests/ref/ref_mamba2_model.h"

typedef struct tiny_mamba2 {
    ref_mamba2_shape shape;    // the truth; config.json says the same, except for what follows
    bool original;             // the layout of state-spaces, else Hugging Face's
    bool sparse;               // leave out the keys whose values are the layout's defaults
    uint32_t n_vocab_said;     // vocab_size of config.json; 0: shape.n_vocab
    uint32_t norm_groups_said; // mixer_norm_groups of config.json; 0: no such key
    vkssm_dtype dtype;         // of all tensors
    float embedding_scale;     // what the embedding is multiplied by; 0: 1
    float gate_scale;          // and what in_proj's rows of the gate are, of F32 tensors; 0: 1
    const char *leave_out;     // a tensor that is not written, or NULL
    const char *more_keys;     // put into config.json at the top, such as "\"a\": 1, "; or NULL
} tiny_mamba2;

// D 32, 2 layers, 4 heads of width 16, state 16, 1 group, K 4, V 40, as Hugging Face has it.
tiny_mamba2 tiny_mamba2_default(void);

// Write config.json and model.safetensors, or only the config. False after printing why.
bool tiny_mamba2_write(const tiny_mamba2 *tiny, const char *folder);
bool tiny_mamba2_write_config(const tiny_mamba2 *tiny, const char *folder);

#endif

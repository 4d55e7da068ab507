// A GGUF file as a model: its keys as a config.json would have them, and its tensors under the names and in the shapes that
// architectures ask for. One table says which tensor is which, for reading and for writing.
#ifndef VKS_GGUF_MODEL_H
#define VKS_GGUF_MODEL_H

#include "config.h"
#include "gguf.h"

typedef enum vks_gguf_shape {
    VKS_GGUF_SAME,
    VKS_GGUF_CONV,   // [C, K] in the file, [C, 1, K] here
    VKS_GGUF_COLUMN, // [H, 1] in the file, [H] here
    VKS_GGUF_GROUPS, // [G, D / G] in the file, [D] here
} vks_gguf_shape;

// %u in both names stands for the layer; there is none in the names of tensors that are there once.
typedef struct vks_gguf_name {
    const char *arch; // NULL: all
    const char *file, *model;
    vks_gguf_shape shape;
    bool is_matrix; // may be quantized
} vks_gguf_name;
extern const vks_gguf_name vks_gguf_names[];
extern const size_t vks_gguf_n_name;

#define VKS_GGUF_MAX_LAYER 4096

// The configuration, in Hugging Face's keys. Errors: ERR_UNSUPPORTED (the architecture, by name), ERR_FORMAT.
vkssm_status vks_gguf_read_config(const vks_gguf *gguf, vks_config **out);
// The tensors under the model's names; those that no architecture knows keep their own.
vkssm_status vks_gguf_model_tensors(const vks_gguf *gguf, vks_tensor_list *out);

#endif

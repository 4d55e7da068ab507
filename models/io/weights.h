// The weights of a model on disk: named tensors, whatever the container. Architectures see only this.
#ifndef VKS_WEIGHTS_H
#define VKS_WEIGHTS_H

#include <vkssm/tensor_file.h>

typedef struct vks_weights vks_weights;

struct vks_gguf;

// Open the weights of a model folder (safetensors, sharded or not) or a weights file.
vkssm_status vks_weights_open(const char *path, const vkssm_log *log, vks_weights **out);
// Those of a GGUF file that is open, under the names that architectures ask for; it must live as long.
vkssm_status vks_weights_from_gguf(const struct vks_gguf *gguf, vks_weights **out);
void vks_weights_destroy(vks_weights **weights);

// NULL stands for no weights, in the functions below that find or name something.
// The tensor called `name`; false if there is none. Data stay valid until vks_weights_destroy.
bool vks_weights_find(const vks_weights *weights, const char *name, vkssm_named_tensor *out);
uint32_t vks_weights_n_tensor(const vks_weights *weights);
void vks_weights_get(const vks_weights *weights, uint32_t index, vkssm_named_tensor *out);
const char *vks_weights_path(const vks_weights *weights); // for messages

#endif

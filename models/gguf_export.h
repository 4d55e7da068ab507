// What a GGUF file of a model holds: its keys and its tensors, from a checkpoint's config.json, weights and tokenizer.
#ifndef VKS_GGUF_EXPORT_H
#define VKS_GGUF_EXPORT_H

#include "models/io/config.h"
#include "models/io/gguf_write.h"
#include "models/io/weights.h"
#include "models/tokenizer/tokenizer_lists.h"

typedef struct vks_export_tensor {
    char name[64];             // in the file
    vkssm_named_tensor source; // data NULL: zeros
    uint32_t n_dim;
    uint64_t shape[4]; // in the file
    bool is_matrix;    // may be quantized
    bool is_table;     // the embedding or the head
    bool negative_exp; // -exp of the values is written
} vks_export_tensor;

typedef struct vks_export {
    const vkssm_log *log;
    const char *path; // of the model
    uint32_t n_channel, n_layer, n_tap, n_inner, n_state, n_head, n_group, n_vocab;
    int32_t bos, eos; // of the configuration, or -1
    float eps;
    bool tied_head;
    vks_export_tensor *tensors;
    size_t n_tensor, capacity;
} vks_export;

// Read the sizes and find the tensors. Errors: ERR_UNSUPPORTED for what GGUF cannot hold, ERR_FORMAT, ERR_OOM_HOST.
vkssm_status vks_export_read(const vks_config *config, const vks_weights *weights, vks_export *out);
void vks_export_finish(vks_export *export);
// The keys. tokenizer: its lists, or NULL. type: of most weights.
void vks_export_keys(const vks_export *export, const vks_token_lists *tokenizer, vkssm_dtype type, vks_gguf_writer *writer);

#endif

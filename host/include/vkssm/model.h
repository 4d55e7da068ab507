// vkssm/model.h: a model's weights on a device.
#ifndef VKSSM_MODEL_H
#define VKSSM_MODEL_H

#include <vkssm/device.h>
#include <vkssm/tokenizer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vkssm_model vkssm_model;

typedef struct vkssm_model_params {
    vkssm_progress progress;     // bytes uploaded
    vkssm_dtype weight_dtype;    // storage of matrices on the device; meaningful with `convert_weights` only
    bool convert_weights;        // false: matrices keep the file's type; true: they become `weight_dtype` (F32, F16, BF16,
                                 // or Q8_0, Q4_0, Q4_K, Q6_K: as vkssm/quantize.h does it, embedding and head stay in a
                                 // more exact type)
    vkssm_dtype activation_dtype; // F32 (default), F16 or BF16: storage of activations between operators. Sums, states,
                                  // dt, A and the residual stream are float32 whatever is chosen. With F16 an activation
                                  // beyond 65504 is stored as 65504 (never as an infinity); a model that needs more
                                  // range has it with BF16 or F32
    bool no_tokenizer;           // true: do not look for a tokenizer
} vkssm_model_params;

typedef struct vkssm_model_info {
    const char *model_type; // "mamba", "mamba2", ...: as in config.json
    uint32_t n_layer;       // L
    uint32_t n_channel;     // D, width of the residual stream
    uint32_t n_vocab;       // V, rows of the output head; 0 of a model that maps tensors to tensors
    uint64_t n_parameter;
    uint64_t weight_size;   // bytes on the device
    uint64_t state_size;    // bytes of one slot's recurrent state
    int32_t bos, eos;       // token ids from config.json, or -1
    vkssm_dtype weight_dtype; // of the largest matrix on the device
    vkssm_dtype activation_dtype;
    uint32_t n_input, n_output; // of a model that maps tensors to tensors (vkssm/tensor_model.h); 0 of a language model
} vkssm_model_info;

// Load a model: a folder with config.json and safetensors weights (one file or shards with an index), and optionally a
// tokenizer; or a GGUF file, which holds all of these (architectures mamba2 and, where it is built in, mamba; tokenizers of
// the kinds gpt2 and llama; block types are put in another order for the device, value by value the same). The memory needed
// is computed, and compared with the device's budget, before anything is uploaded.
// Errors: ERR_IO, ERR_FORMAT, ERR_UNSUPPORTED, ERR_OOM_HOST, ERR_OOM_DEVICE (amount needed and found), ERR_CANCELLED.
// Ownership: the device must outlive the model. Thread-safety: a loaded model is immutable and may be shared.
VKSSM_API vkssm_status vkssm_model_load(vkssm_device *device, const char *path, const vkssm_model_params *params,
                                        vkssm_model **out);
// Sessions made from the model must be gone (this is checked and reported, and the model then stays).
VKSSM_API void vkssm_model_destroy(vkssm_model **model);

VKSSM_API void vkssm_model_get_info(const vkssm_model *model, vkssm_model_info *out);

// The model's tokenizer, or NULL if its folder or GGUF file holds none. Lives as long as the model.
VKSSM_API const vkssm_tokenizer *vkssm_model_get_tokenizer(const vkssm_model *model);

#ifdef __cplusplus
}
#endif
#endif

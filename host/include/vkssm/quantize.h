// vkssm/quantize.h: a model's weights in fewer bits, as a GGUF file.
#ifndef VKSSM_QUANTIZE_H
#define VKSSM_QUANTIZE_H

#include <vkssm/tensor_file.h>

#ifdef __cplusplus
extern "C" {
#endif

// What became of a tensor.
typedef struct vkssm_quantized_tensor {
    const char *name;              // in the file that is written; valid during the call
    uint32_t n_dim;
    uint64_t shape[VKSSM_MAX_DIM]; // last dimension fastest
    vkssm_dtype from, to;
    uint64_t size;                 // bytes in the file
    double error;                  // root mean square of the values' changes, as a part of that of the values
} vkssm_quantized_tensor;

typedef struct vkssm_quantize_params {
    vkssm_dtype type; // of the projections' matrices: F32 (the default), F16, Q8_0, Q4_0, Q4_K or Q6_K. Where rows are no
                      // multiple of its block (32, or 256 for Q4_K and Q6_K) the next more exact type is taken
    vkssm_dtype table_type; // of embedding and head; meaningful with `convert_tables`
    bool convert_tables;    // false: F16 with Q8_0, Q8_0 with types of fewer bits, otherwise `type`
    const char *overrides;  // NULL, or "PATTERN=TYPE,...": matrices whose names in the file match (* any characters, ? one)
                            // take this type; the first match counts
    vkssm_progress progress; // bytes read
    void (*on_tensor)(void *user, const vkssm_quantized_tensor *tensor); // NULL: nobody asks
    void *user;
} vkssm_quantize_params;

// Read a model in safetensors (a folder with config.json, or a weights file beside one; with its tokenizer.json if there is
// one) and write it to `out_path`, whole or not at all. Convolutions, A, D, dt's bias and norms are written in F32. What is
// written is what llama.cpp's reader of the architecture asks for: names, shapes, keys, A = -exp(A_log). Models that GGUF
// cannot hold are refused, saying why. Supported: Mamba-2 (projections without biases, gated norm by groups).
// Errors: ERR_ARG, ERR_IO, ERR_FORMAT (a weight that is not finite, too), ERR_UNSUPPORTED, ERR_OOM_HOST, ERR_CANCELLED.
// Cost: one pass over the weights; some 10 million weights a second and core for 4-bit types. Needs no device.
VKSSM_API vkssm_status vkssm_quantize(const char *model, const char *out_path, const vkssm_quantize_params *params,
                                      const vkssm_log *log);

// The type of this name in any case ("q8_0", "F16"), block types included; false if there is none.
VKSSM_API bool vkssm_dtype_from_name(const char *name, vkssm_dtype *out);

#ifdef __cplusplus
}
#endif
#endif

// vkssm/tensor_file.h: named tensors in safetensors files, read and written.
#ifndef VKSSM_TENSOR_FILE_H
#define VKSSM_TENSOR_FILE_H

#include <vkssm/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VKSSM_MAX_DIM 8

typedef struct vkssm_tensor_file vkssm_tensor_file;

// A tensor in memory: dense, last dimension fastest, little-endian.
typedef struct vkssm_named_tensor {
    const char *name;
    vkssm_dtype dtype;
    uint32_t n_dim;                // 0 for a scalar
    uint64_t shape[VKSSM_MAX_DIM]; // n_dim used
    const void *data;              // vkssm_named_tensor.size bytes; from a file: not aligned, read-only
    uint64_t size;
} vkssm_named_tensor;

// Map a .safetensors file, or a folder or a *.safetensors.index.json of a sharded model (a folder must hold
// model.safetensors or model.safetensors.index.json). All headers are checked here: sizes, offsets (in range, no overlap,
// no gap), shapes against byte counts, duplicate names, data types, shards that the index names.
// Errors: ERR_IO, ERR_FORMAT, ERR_UNSUPPORTED (data type), ERR_OOM_HOST; messages name file, tensor, expectation, finding.
// Thread-safety: an open file is immutable. Ownership: tensors live until vkssm_tensor_file_destroy.
VKSSM_API vkssm_status vkssm_tensor_file_open(const char *path, const vkssm_log *log, vkssm_tensor_file **out);
VKSSM_API void vkssm_tensor_file_destroy(vkssm_tensor_file **file);

VKSSM_API uint32_t vkssm_tensor_file_n_tensor(const vkssm_tensor_file *file);
// The i-th tensor in order of name (i < n_tensor).
VKSSM_API void vkssm_tensor_file_get(const vkssm_tensor_file *file, uint32_t index, vkssm_named_tensor *out);
// Find by name; false if there is none.
VKSSM_API bool vkssm_tensor_file_find(const vkssm_tensor_file *file, const char *name, vkssm_named_tensor *out);

// Write `n_tensor` tensors to `path`. The file appears whole or not at all: it is written beside `path` under another name
// and renamed at the end. Errors: ERR_IO, ERR_ARG (size does not match shape, duplicate name), ERR_OOM_HOST.
VKSSM_API vkssm_status vkssm_tensor_file_write(const char *path, const vkssm_log *log, const vkssm_named_tensor *tensors,
                                               uint32_t n_tensor);

#ifdef __cplusplus
}
#endif
#endif

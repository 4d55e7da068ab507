// Writing GGUF files: values, then the tensors' descriptions, then their data one after the other.
#ifndef VKS_GGUF_WRITE_H
#define VKS_GGUF_WRITE_H

#include "gguf.h"

// Zero-initialise. A failed addition is remembered and reported by vks_gguf_write_header.
typedef struct vks_gguf_writer {
    uint8_t *values, *infos; // what has been added, as the file will have it
    size_t value_size, value_capacity, info_size, info_capacity;
    uint64_t n_value, n_tensor, data_size;
    bool failed; // out of memory
} vks_gguf_writer;

void vks_gguf_add_u32(vks_gguf_writer *writer, const char *key, uint32_t value);
void vks_gguf_add_i32s(vks_gguf_writer *writer, const char *key, const int32_t *values, size_t n);
void vks_gguf_add_f32(vks_gguf_writer *writer, const char *key, float value);
void vks_gguf_add_bool(vks_gguf_writer *writer, const char *key, bool value);
void vks_gguf_add_string(vks_gguf_writer *writer, const char *key, const char *value);
// An array of strings: first how many, then each.
void vks_gguf_add_strings(vks_gguf_writer *writer, const char *key, size_t n);
void vks_gguf_add_item(vks_gguf_writer *writer, const char *text, size_t size);
// A tensor of this shape (last dimension fastest); its data are written in the order of these calls.
void vks_gguf_add_tensor(vks_gguf_writer *writer, const char *name, vkssm_dtype dtype, uint32_t n_dim, const uint64_t *shape);

vkssm_status vks_gguf_write_header(const vks_gguf_writer *writer, vks_file_write *file);
// Zeros from a tensor's end to where the next may begin.
vkssm_status vks_gguf_write_padding(vks_file_write *file, uint64_t size);
void vks_gguf_writer_finish(vks_gguf_writer *writer);

#endif

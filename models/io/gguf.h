// GGUF files (versions 2 and 3, little-endian): keys with values, then named tensors. Everything is checked when the file
// is opened; nothing is copied but the keys and the tensors' names.
#ifndef VKS_GGUF_H
#define VKS_GGUF_H

#include "safetensors.h"

typedef enum vks_gguf_type {
    VKS_GGUF_U8,
    VKS_GGUF_I8,
    VKS_GGUF_U16,
    VKS_GGUF_I16,
    VKS_GGUF_U32,
    VKS_GGUF_I32,
    VKS_GGUF_F32,
    VKS_GGUF_BOOL,
    VKS_GGUF_STRING,
    VKS_GGUF_ARRAY,
    VKS_GGUF_U64,
    VKS_GGUF_I64,
    VKS_GGUF_F64,
    VKS_GGUF_TYPE_COUNT,
} vks_gguf_type;

typedef struct vks_gguf_value {
    char *key;               // owned by the file's object
    vks_gguf_type type;      // of the value, or of the items of an array
    bool is_array;
    uint64_t n;              // items of an array; 1 otherwise
    const uint8_t *data;     // the first item, not aligned; strings: each a 64-bit length and its bytes
} vks_gguf_value;

typedef struct vks_gguf_text {
    const char *text; // not terminated
    size_t size;
} vks_gguf_text;

typedef struct vks_gguf {
    char *path;
    const vkssm_log *log;
    vks_file_map map; // zero when parsed from memory
    vks_gguf_value *values; // in order of key
    size_t n_value, value_capacity;
    vks_tensor_list tensors; // in order of name
} vks_gguf;

// Whether the file begins as a GGUF file does. False too if it cannot be read.
bool vks_gguf_is(const char *path);
vkssm_status vks_gguf_open(const char *path, const vkssm_log *log, vks_gguf **out);
void vks_gguf_destroy(vks_gguf **gguf);
// A file in memory, which must live as long as the object. After an error *out needs vks_gguf_finish too.
vkssm_status vks_gguf_parse(const char *path, const uint8_t *data, uint64_t size, const vkssm_log *log, vks_gguf *out);
void vks_gguf_finish(vks_gguf *gguf);

bool vks_gguf_tensor(const vks_gguf *gguf, const char *name, vkssm_named_tensor *out);

// ---- values ---------------------------------------------------------------------------------------------------------

const vks_gguf_value *vks_gguf_find(const vks_gguf *gguf, const char *key); // NULL: absent
// Each reads `key` into *out, or leaves *out when the key is absent. Errors: ERR_FORMAT for another type (any integer type
// will do for an integer), or a value outside [min, max].
vkssm_status vks_gguf_integer(const vks_gguf *gguf, const char *key, int64_t min, int64_t max, int64_t *out);
vkssm_status vks_gguf_real(const vks_gguf *gguf, const char *key, double *out); // finite
vkssm_status vks_gguf_flag(const vks_gguf *gguf, const char *key, bool *out);
vkssm_status vks_gguf_string(const vks_gguf *gguf, const char *key, vks_gguf_text *out);
vkssm_status vks_gguf_require(const vks_gguf *gguf, const char *key); // ERR_FORMAT when absent
// An array of these items; absent: *out NULL.
vkssm_status vks_gguf_array(const vks_gguf *gguf, const char *key, vks_gguf_type type, const vks_gguf_value **out);
// The string at *place of a string array, and *place moved behind it. Only as often as the array has items.
vks_gguf_text vks_gguf_next_string(const uint8_t **place);
float vks_gguf_float_at(const vks_gguf_value *array, uint64_t i);
int32_t vks_gguf_int_at(const vks_gguf_value *array, uint64_t i);

// ---- types of tensors -----------------------------------------------------------------------------------------------

// The number of a data type in GGUF files; -1: it has none.
int vks_gguf_tensor_type(vkssm_dtype dtype);

#endif

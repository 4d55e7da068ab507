// The numbers by which GGUF names types of values and of tensors.
#ifndef VKS_GGUF_TYPES_H
#define VKS_GGUF_TYPES_H

#include "gguf.h"

unsigned vks_gguf_type_size(vks_gguf_type type);  // bytes of an item; 0 for strings and arrays
const char *vks_gguf_value_words(vks_gguf_type type); // "an unsigned integer of 32 bits"
// The name of a tensor type, known to the format whether or not it is supported; NULL: not even that.
const char *vks_gguf_type_name(uint64_t type);

#endif

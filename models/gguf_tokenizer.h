// The tokenizer of a GGUF file.
#ifndef VKS_GGUF_TOKENIZER_H
#define VKS_GGUF_TOKENIZER_H

#include <vkssm/tokenizer.h>

#include "models/io/gguf.h"

// *out: NULL if the file has none (key tokenizer.ggml.model absent, or "none"). Errors: ERR_UNSUPPORTED for another kind than
// "gpt2" and "llama", ERR_FORMAT, ERR_OOM_HOST.
vkssm_status vks_gguf_read_tokenizer(const vks_gguf *gguf, vkssm_tokenizer **out);

#endif

// vkssm/tokenizer.h: text to token ids and back (byte-level BPE in the format of Hugging Face's tokenizer.json).
#ifndef VKSSM_TOKENIZER_H
#define VKSSM_TOKENIZER_H

#include <vkssm/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vkssm_tokenizer vkssm_tokenizer;

// Open `path`: a tokenizer.json, or a folder that holds one. A tokenizer_config.json beside it is read for add_bos_token,
// bos_token and eos_token. `log` may be NULL.
// Supported: model BPE (byte-level alphabet, merges as "a b" or ["a", "b"], ignore_merges); normalizer null, NFC or a
// Sequence of these; pre_tokenizer ByteLevel (with and without the GPT-2 pattern, add_prefix_space), Split by pattern,
// Digits, Sequence; added tokens (special or not, lstrip, rstrip, single_word, normalized).
// Errors: ERR_IO, ERR_FORMAT (bad JSON, bad merges, duplicate ids, ...), ERR_UNSUPPORTED (names the component), ERR_OOM_HOST.
// Thread-safety: an open tokenizer is immutable and may be shared between threads.
VKSSM_API vkssm_status vkssm_tokenizer_open(const char *path, const vkssm_log *log, vkssm_tokenizer **out);
VKSSM_API void vkssm_tokenizer_destroy(vkssm_tokenizer **tokenizer);

// Number of ids: one more than the largest id of vocabulary and added tokens.
VKSSM_API uint32_t vkssm_tokenizer_n_token(const vkssm_tokenizer *tokenizer);

// Ids of the begin and end tokens, or -1.
VKSSM_API int32_t vkssm_tokenizer_bos(const vkssm_tokenizer *tokenizer);
VKSSM_API int32_t vkssm_tokenizer_eos(const vkssm_tokenizer *tokenizer);
// Whether text for a model starts with the begin token (add_bos_token).
VKSSM_API bool vkssm_tokenizer_adds_bos(const vkssm_tokenizer *tokenizer);

// Encode `text_size` bytes of UTF-8. Special tokens written in the text are recognised if `parse_special`, otherwise they
// are encoded as plain text; added tokens that are not special are always recognised. The begin token is prepended if
// `add_bos`, whatever vkssm_tokenizer_adds_bos says.
// ids: [*n_id] on return, allocated; release with vkssm_free. Empty text gives zero ids (and *ids NULL) unless add_bos.
// Errors: ERR_FORMAT for bytes that are not UTF-8 (names the offset), ERR_OOM_HOST.   Cost: O(text_size log text_size).
VKSSM_API vkssm_status vkssm_tokenizer_encode(const vkssm_tokenizer *tokenizer, const char *text, size_t text_size,
                                              bool add_bos, bool parse_special, int32_t **ids, size_t *n_id);

// Decode ids to bytes. The result is the exact bytes of the tokens (not necessarily whole UTF-8 characters when a
// character is cut between tokens). Special tokens are left out if `skip_special`.
// text: allocated, zero-terminated, *text_size bytes without the zero; release with vkssm_free.
// Errors: ERR_ARG for an id that is not a token (names position and id), ERR_OOM_HOST.
VKSSM_API vkssm_status vkssm_tokenizer_decode(const vkssm_tokenizer *tokenizer, const int32_t *ids, size_t n_id,
                                              bool skip_special, char **text, size_t *text_size);

// Id of the token spelled `text` (as in the vocabulary or the added tokens), or -1.
VKSSM_API int32_t vkssm_tokenizer_find(const vkssm_tokenizer *tokenizer, const char *text);

// Release memory that the library handed out (NULL is fine).
VKSSM_API void vkssm_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif

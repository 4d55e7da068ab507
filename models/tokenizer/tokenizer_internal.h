// The tokenizer as its own files see it.
#ifndef VKS_TOKENIZER_INTERNAL_H
#define VKS_TOKENIZER_INTERNAL_H

#include <vkssm/tokenizer.h>

#include "added_tokens.h"
#include "bpe.h"
#include "pretokenize.h"

struct vkssm_tokenizer {
    vkssm_log log;
    vks_added_tokens added;
    vks_bpe bpe;
    vks_pretokenizer pretokenizer;
    bool nfc;
    bool adds_bos;
    bool pieces;     // characters are merged, and texts are not cut into words (tokenizer_pieces.c)
    bool adds_space; // pieces: in front of every plain text
    char pre[32];     // the name of how words are cut, if it is known
    int32_t bos, eos; // or -1
    uint32_t n_token;
    int32_t *slots; // [n_token] 0: no token; k + 1: bpe.vocab[k]; -(k + 1): added.tokens[k]
};

// Fill a zeroed tokenizer from the text of a tokenizer.json and, unless config is NULL, of a tokenizer_config.json.
// The names stand for the files in messages. On failure the tokenizer may be half filled.
vkssm_status vks_tokenizer_read(vkssm_tokenizer *tokenizer, const char *name, const char *text, size_t text_size,
                                const char *config_name, const char *config, size_t config_size);

// vkssm_tokenizer_open on files that are in memory already.
vkssm_status vks_tokenizer_parse(const char *name, const char *text, size_t text_size, const char *config_name,
                                 const char *config, size_t config_size, const vkssm_log *log, vkssm_tokenizer **out);

// The text with spaces for U+2581, which spells them in pieces. `out` has room for `size` bytes; returns how many there are.
size_t vks_pieces_unmark(const char *text, size_t size, char *out);

// The id of a token's spelling, or -1.
int32_t vks_tokenizer_find(const vkssm_tokenizer *tokenizer, const char *text, size_t size);

#endif

// A tokenizer from lists of tokens, as GGUF files hold it.
#ifndef VKS_TOKENIZER_LISTS_H
#define VKS_TOKENIZER_LISTS_H

#include <vkssm/tokenizer.h>

typedef struct vks_token_text {
    const char *text; // not terminated
    size_t size;
} vks_token_text;

// Kinds of tokens, by the numbers that files have.
enum {
    VKS_TOKEN_NORMAL = 1,
    VKS_TOKEN_UNKNOWN = 2,      // stands for what no token spells
    VKS_TOKEN_CONTROL = 3,      // special
    VKS_TOKEN_USER_DEFINED = 4, // recognised whole
    VKS_TOKEN_UNUSED = 5,       // no token: a row of the table that is only padding
    VKS_TOKEN_BYTE = 6,         // "<0x0A>": a byte that no other token spells
};

typedef struct vks_token_lists {
    const char *name; // of the file, for messages
    bool sentencepiece; // pieces with scores, whose spaces are U+2581; otherwise byte-level BPE with merges
    char pre[32];       // how byte-level BPE cuts words: "gpt-2" and so on; empty: not said
    size_t n_token, n_merge;
    vks_token_text *tokens; // by id
    int32_t *types;         // by id, or NULL: all normal
    float *scores;          // by id; pieces only
    vks_token_text *merges; // "a b", in order of rank; byte-level BPE only
    char *pool;             // what the texts point to, if they are the lists' own
    int32_t bos, eos, unk;  // or -1
    bool adds_bos;
    bool adds_space; // pieces: a space is put in front of the text
} vks_token_lists;

// Errors: ERR_FORMAT, ERR_UNSUPPORTED (a way to cut words that is not known, by name), ERR_OOM_HOST.
vkssm_status vks_tokenizer_from_lists(const vks_token_lists *lists, const vkssm_log *log, vkssm_tokenizer **out);
// The lists of a tokenizer of byte-level BPE, for n_row ids, of which those that are no token are unused ("[PAD7]").
// Release with vks_token_lists_finish. Errors: ERR_UNSUPPORTED for a tokenizer whose way to cut words has no name.
vkssm_status vks_tokenizer_to_lists(const vkssm_tokenizer *tokenizer, const char *name, size_t n_row, const vkssm_log *log,
                                    vks_token_lists *out);
void vks_token_lists_finish(vks_token_lists *lists);

// Its two kinds.
vkssm_status vks_tokenizer_from_merges(const vks_token_lists *lists, const vkssm_log *log, vkssm_tokenizer **out);
vkssm_status vks_tokenizer_from_pieces(const vks_token_lists *lists, const vkssm_log *log, vkssm_tokenizer **out);

#endif

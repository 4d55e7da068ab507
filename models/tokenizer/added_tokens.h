// Added tokens: whole strings that are recognised in the text before anything is cut or merged.
#ifndef VKS_ADDED_TOKENS_H
#define VKS_ADDED_TOKENS_H

#include "host/base/status.h"

typedef struct vks_added_token {
    const char *content; // verbatim, UTF-8
    char *normalized;    // what is looked for instead of content, or NULL: the same (owned)
    size_t normalized_size;
    uint32_t size;
    int32_t id;
    bool special, single_word, lstrip, rstrip, is_normalized;
} vks_added_token;

typedef struct vks_added_key {
    const char *text;
    size_t size;
    uint32_t token; // index
} vks_added_key;

// The tokens that are looked for in one pass, in order of their text.
typedef struct vks_added_set {
    vks_added_key *keys;
    size_t n;
    size_t first[257]; // where the keys of each first byte begin
} vks_added_set;

typedef struct vks_added_tokens {
    vks_added_token *tokens; // in order of content
    size_t n;
    char *pool; // their contents
    vks_added_set raw, normalized;
} vks_added_tokens;

void vks_added_finish(vks_added_tokens *added);
// Put the tokens in order of content; returns the first of two with equal content, or NULL.
const vks_added_token *vks_added_sort(vks_added_tokens *added);
const vks_added_token *vks_added_find(const vks_added_tokens *added, const char *content, size_t size); // after sorting
// Build both sets; `nfc`: normalized tokens are looked for in form C. False when out of memory.
bool vks_added_index(vks_added_tokens *added, bool nfc);

// A walk through a text from one token to the next.
typedef struct vks_added_scan {
    const vks_added_tokens *added;
    const vks_added_set *set;
    const char *text;
    size_t size;
    bool parse_special;
    size_t at, plain_start; // 0 at first
} vks_added_scan;

// The plain text in front of the next token (possibly empty) and the token's id. False at the end: the rest is plain,
// and *id is -1.
bool vks_added_next(vks_added_scan *scan, const char **plain, size_t *plain_size, int32_t *id);

#endif

// Byte-pair encoding of one word: the vocabulary, the merges in order of rank, and the merging itself.
#ifndef VKS_BPE_H
#define VKS_BPE_H

#include "host/base/status.h"

#define VKS_MAX_TOKEN_ID (1 << 24)

typedef struct vks_vocab_entry {
    const char *bytes; // what the token stands for: the alphabet is undone
    uint32_t size;
    int32_t id;
} vks_vocab_entry;

typedef struct vks_merge {
    int32_t left, right, result;
    uint32_t rank;
} vks_merge;

// Sorted arrays instead of hash tables: no file can make a look-up slow.
typedef struct vks_bpe {
    vks_vocab_entry *vocab; // in order of bytes
    size_t n_vocab;
    char *pool;        // the bytes of vocab
    vks_merge *merges; // in order of left, then right
    size_t n_merge;
    uint32_t *first_merge; // [n_id + 1] where the merges of each left id begin
    size_t n_id;
    int32_t byte_id[256]; // the token of each single byte, or -1
    int32_t unk_id;       // stands for bytes that have no token; -1: these are dropped
    bool fuse_unk;        // one unk_id for neighbouring bytes without a token
    bool ignore_merges;   // a word that is a token is taken whole
    bool by_character;    // merging starts from characters; byte_id stands for those that are no token
} vks_bpe;

void vks_bpe_finish(vks_bpe *bpe);

// Put vocab in order, and fill byte_id.
void vks_bpe_index_vocab(vks_bpe *bpe);
// Put merges in order and build first_merge. False when out of memory. *duplicate: two equal merges, or NULL.
bool vks_bpe_index_merges(vks_bpe *bpe, size_t n_id, const vks_merge **duplicate);

const vks_vocab_entry *vks_bpe_find(const vks_bpe *bpe, const char *bytes, size_t size); // NULL: none
// The same for a token spelled in the byte alphabet (anything else is not found).
const vks_vocab_entry *vks_bpe_find_spelled(const vks_bpe *bpe, const char *text, size_t size);

typedef struct vks_id_list {
    int32_t *items;
    size_t n, capacity;
} vks_id_list;

bool vks_id_push(vks_id_list *list, int32_t id); // false: out of memory

// Working memory of one encoding call, grown as needed; zero-initialise.
typedef struct vks_bpe_work {
    struct vks_bpe_symbol *symbols;
    struct vks_bpe_candidate *heap;
    size_t symbol_capacity, heap_capacity, n_heap;
} vks_bpe_work;

void vks_bpe_work_finish(vks_bpe_work *work);

// Append the tokens of one word. Errors: ERR_OOM_HOST, ERR_ARG (a word of 1 GiB).   Cost: O(size log size).
vkssm_status vks_bpe_encode(const vks_bpe *bpe, const char *bytes, size_t size, const vkssm_log *log,
                            vks_bpe_work *work, vks_id_list *ids);

#endif

// The lists of a byte-level BPE: tokens spelled in the byte alphabet, merges as pairs of them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "byte_alphabet.h"
#include "host/base/alloc.h"
#include "tokenizer_internal.h"
#include "tokenizer_lists.h"

enum { PAD_SIZE = 24 };

void vks_token_lists_finish(vks_token_lists *lists) {
    vks_free(lists->tokens);
    vks_free(lists->types);
    vks_free(lists->scores);
    vks_free(lists->merges);
    vks_free(lists->pool);
    memset(lists, 0, sizeof *lists);
}

// One ByteLevel with its own pattern, and nothing else, is how GPT-2 cuts words.
static const char *name_of_cutting(const vkssm_tokenizer *t) {
    const vks_pretoken_step *step = t->pretokenizer.steps;
    if (t->pre[0]) return t->pre;
    return t->pretokenizer.n_step == 1 && step->spells_bytes && step->pattern && !step->add_space ? "gpt-2" : NULL;
}

static size_t size_of(const vkssm_tokenizer *t, int32_t id) {
    int32_t slot = t->slots[id];
    return slot > 0 ? 2 * (size_t)t->bpe.vocab[slot - 1].size : slot < 0 ? t->added.tokens[-slot - 1].size : 0;
}

// The spelling of a token at *end, which moves behind it.
static vks_token_text spell(const vkssm_tokenizer *t, int32_t id, char **end) {
    vks_token_text text = {*end, 0};
    int32_t slot = t->slots[id];
    if (slot > 0) {
        text.size = vks_alphabet_encode(t->bpe.vocab[slot - 1].bytes, t->bpe.vocab[slot - 1].size, *end);
    } else if (slot < 0) {
        text.size = t->added.tokens[-slot - 1].size;
        memcpy(*end, t->added.tokens[-slot - 1].content, text.size);
    }
    *end += text.size;
    return text;
}

static int32_t type_of(const vkssm_tokenizer *t, int32_t id) {
    int32_t slot = t->slots[id];
    if (slot >= 0) return slot ? VKS_TOKEN_NORMAL : VKS_TOKEN_UNUSED;
    return t->added.tokens[-slot - 1].special ? VKS_TOKEN_CONTROL : VKS_TOKEN_USER_DEFINED;
}

static int compare_ranks(const void *a, const void *b) {
    const vks_merge *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static void fill(const vkssm_tokenizer *t, vks_merge *merges, vks_token_lists *out) {
    char *end = out->pool;
    for (size_t id = 0; id < out->n_token; id++) {
        bool known = id < t->n_token && t->slots[id];
        out->types[id] = known ? type_of(t, (int32_t)id) : VKS_TOKEN_UNUSED;
        if (known) {
            out->tokens[id] = spell(t, (int32_t)id, &end);
            continue;
        }
        out->tokens[id] = (vks_token_text){end, (size_t)snprintf(end, PAD_SIZE, "[PAD%zu]", id)};
        end += PAD_SIZE;
    }
    if (out->n_merge) qsort(merges, out->n_merge, sizeof *merges, compare_ranks);
    for (size_t i = 0; i < out->n_merge; i++) {
        char *begin = end;
        spell(t, merges[i].left, &end);
        *end++ = ' ';
        spell(t, merges[i].right, &end);
        out->merges[i] = (vks_token_text){begin, (size_t)(end - begin)};
    }
}

vkssm_status vks_tokenizer_to_lists(const vkssm_tokenizer *t, const char *name, size_t n_row, const vkssm_log *log,
                                    vks_token_lists *out) {
    const char *cutting = t->pieces ? NULL : name_of_cutting(t);
    *out = (vks_token_lists){
        .name = name, .n_token = n_row, .bos = t->bos, .eos = t->eos, .unk = t->bpe.unk_id, .adds_bos = t->adds_bos};
    if (!cutting)
        return vks_fail(
            log, VKSSM_ERR_UNSUPPORTED,
            "%s: a tokenizer that cuts words by GPT-2's pattern expected: others have no name in GGUF files", name);
    if (n_row < t->n_token)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: at most %zu tokens, the rows of the embedding, expected, %u found",
                        name, n_row, t->n_token);
    if (t->nfc)
        vks_log(log, VKSSM_LOG_WARNING, "%s: GGUF files do not say that texts are normalised (NFC) before they are cut",
                name);
    snprintf(out->pre, sizeof out->pre, "%s", cutting);
    size_t size = PAD_SIZE * n_row + 1;
    for (size_t i = 0; i < t->n_token; i++)
        size += size_of(t, (int32_t)i);
    for (size_t i = 0; i < t->bpe.n_merge; i++)
        size += size_of(t, t->bpe.merges[i].left) + 1 + size_of(t, t->bpe.merges[i].right);
    out->n_merge = t->bpe.n_merge;
    out->tokens = vks_alloc_zero(n_row, sizeof *out->tokens);
    out->types = vks_alloc_zero(n_row, sizeof *out->types);
    out->merges = vks_alloc_zero(out->n_merge, sizeof *out->merges);
    out->pool = vks_alloc(size);
    vks_merge *merges = vks_alloc(out->n_merge * sizeof *merges);
    vkssm_status status = VKSSM_OK;
    if (out->tokens && out->types && out->merges && out->pool && merges) {
        if (out->n_merge) memcpy(merges, t->bpe.merges, out->n_merge * sizeof *merges);
        fill(t, merges, out);
    } else {
        status = vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the tokenizer", name);
        vks_token_lists_finish(out);
    }
    vks_free(merges);
    return status;
}

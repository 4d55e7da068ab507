#include "added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "host/base/alloc.h"
#include "unicode_text.h"

void vks_added_finish(vks_added_tokens *added) {
    for (size_t i = 0; i < added->n; i++)
        vks_free(added->tokens[i].normalized);
    vks_free(added->tokens);
    vks_free(added->pool);
    vks_free(added->raw.keys);
    vks_free(added->normalized.keys);
    memset(added, 0, sizeof *added);
}

static int compare_text(const char *a, size_t a_size, const char *b, size_t b_size) {
    size_t n = a_size < b_size ? a_size : b_size;
    int order = n ? memcmp(a, b, n) : 0;
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_tokens(const void *a, const void *b) {
    const vks_added_token *x = a, *y = b;
    return compare_text(x->content, x->size, y->content, y->size);
}

static int compare_keys(const void *a, const void *b) {
    const vks_added_key *x = a, *y = b;
    int order = compare_text(x->text, x->size, y->text, y->size);
    return order ? order : (x->token > y->token) - (x->token < y->token);
}

const vks_added_token *vks_added_sort(vks_added_tokens *added) {
    if (added->n) qsort(added->tokens, added->n, sizeof *added->tokens, compare_tokens);
    for (size_t i = 1; i < added->n; i++)
        if (compare_tokens(&added->tokens[i - 1], &added->tokens[i]) == 0) return &added->tokens[i - 1];
    return NULL;
}

const vks_added_token *vks_added_find(const vks_added_tokens *added, const char *content, size_t size) {
    vks_added_token key = {.content = content, .size = (uint32_t)size};
    if (size > UINT32_MAX || !added->n) return NULL;
    return bsearch(&key, added->tokens, added->n, sizeof key, compare_tokens);
}

static bool index_set(const vks_added_tokens *added, bool is_normalized, vks_added_set *set) {
    set->keys = vks_alloc(added->n * sizeof *set->keys);
    if (!set->keys) return false;
    for (size_t i = 0; i < added->n; i++) {
        const vks_added_token *token = &added->tokens[i];
        if (token->is_normalized != is_normalized || token->size == 0) continue;
        vks_added_key key = {.text = token->content, .size = token->size, .token = (uint32_t)i};
        if (token->normalized) {
            key.text = token->normalized;
            key.size = token->normalized_size;
        }
        set->keys[set->n++] = key;
    }
    if (set->n) qsort(set->keys, set->n, sizeof *set->keys, compare_keys);
    for (size_t i = 0; i < set->n; i++)
        set->first[(unsigned char)set->keys[i].text[0] + 1]++;
    for (size_t i = 0; i < 256; i++)
        set->first[i + 1] += set->first[i];
    return true;
}

bool vks_added_index(vks_added_tokens *added, bool nfc) {
    for (size_t i = 0; i < added->n; i++) {
        vks_added_token *token = &added->tokens[i];
        if (!nfc || !token->is_normalized || vks_nfc_is_certain(token->content, token->size)) continue;
        token->normalized = vks_nfc(token->content, token->size, &token->normalized_size);
        if (!token->normalized) return false;
    }
    return index_set(added, false, &added->raw) && index_set(added, true, &added->normalized);
}

// The first key in [low, high) whose byte at `depth` is at least `byte`; all of them agree before `depth`.
static size_t lower_bound(const vks_added_set *set, size_t low, size_t high, size_t depth, unsigned byte) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const vks_added_key *key = &set->keys[middle];
        if (key->size <= depth || (unsigned char)key->text[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// The longest key that the text begins with, or NULL. Equal keys: the first.
static const vks_added_key *longest_match(const vks_added_set *set, const char *text, size_t size) {
    unsigned byte = (unsigned char)text[0];
    size_t low = set->first[byte], high = set->first[byte + 1];
    const vks_added_key *best = NULL;
    for (size_t depth = 1; low < high; depth++) {
        if (set->keys[low].size == depth) best = &set->keys[low]; // a prefix sorts in front of what it begins
        if (depth == size) break;
        byte = (unsigned char)text[depth];
        low = lower_bound(set, low, high, depth, byte);
        high = lower_bound(set, low, high, depth, byte + 1);
    }
    return best;
}

static bool word_before(const char *text, size_t offset) {
    uint32_t code_point;
    return offset > 0 && (vks_utf8_previous(text, offset, &code_point), vks_is_word(code_point));
}

static bool word_after(const char *text, size_t size, size_t offset) {
    uint32_t code_point;
    return offset < size && (vks_utf8_next(text, size, offset, &code_point), vks_is_word(code_point));
}

static size_t space_start(const char *text, size_t lowest, size_t offset) {
    uint32_t code_point;
    while (offset > lowest) {
        size_t n = vks_utf8_previous(text, offset, &code_point);
        if (!vks_is_white_space(code_point)) break;
        offset -= n;
    }
    return offset;
}

static size_t space_end(const char *text, size_t size, size_t offset) {
    uint32_t code_point;
    while (offset < size) {
        size_t n = vks_utf8_next(text, size, offset, &code_point);
        if (!vks_is_white_space(code_point)) break;
        offset += n;
    }
    return offset;
}

bool vks_added_next(vks_added_scan *scan, const char **plain, size_t *plain_size, int32_t *id) {
    const char *text = scan->text;
    size_t size = scan->size;
    while (scan->at < size && scan->set->n) {
        const vks_added_key *key = longest_match(scan->set, text + scan->at, size - scan->at);
        if (!key) {
            scan->at++;
            continue;
        }
        const vks_added_token *token = &scan->added->tokens[key->token];
        size_t start = scan->at, end = start + key->size;
        scan->at = end;                          // a match that is turned down hides what it covers, too
        if (start < scan->plain_start) continue; // eaten by the token before it (rstrip)
        if (token->special && !scan->parse_special) continue;
        if (token->single_word && (word_before(text, start) || word_after(text, size, end))) continue;
        if (token->lstrip) start = space_start(text, scan->plain_start, start);
        if (token->rstrip) end = space_end(text, size, end);
        *plain = text + scan->plain_start;
        *plain_size = start - scan->plain_start;
        *id = token->id;
        scan->plain_start = end;
        return true;
    }
    *plain = text + scan->plain_start;
    *plain_size = size - scan->plain_start;
    *id = -1;
    scan->plain_start = scan->at = size;
    return false;
}

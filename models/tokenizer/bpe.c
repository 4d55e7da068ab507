#include "bpe.h"

#include <stdlib.h>
#include <string.h>

#include "byte_alphabet.h"
#include "host/base/alloc.h"

#define NONE UINT32_MAX

// A piece of the word; a chain through the array, because merged pieces leave holes.
typedef struct vks_bpe_symbol {
    int32_t id; // -1: merged into the piece before
    uint32_t previous, next;
} symbol;

// A merge that was possible when it was queued; it may have been overtaken since.
typedef struct vks_bpe_candidate {
    uint32_t rank, at;
    const vks_merge *merge;
} candidate;

void vks_bpe_finish(vks_bpe *bpe) {
    vks_free(bpe->vocab);
    vks_free(bpe->pool);
    vks_free(bpe->merges);
    vks_free(bpe->first_merge);
    memset(bpe, 0, sizeof *bpe);
}

static int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size) {
    size_t n = a_size < b_size ? a_size : b_size;
    int order = n ? memcmp(a, b, n) : 0;
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_vocab(const void *a, const void *b) {
    const vks_vocab_entry *x = a, *y = b;
    return compare_bytes(x->bytes, x->size, y->bytes, y->size);
}

static int compare_merges(const void *a, const void *b) {
    const vks_merge *x = a, *y = b;
    int order = (x->left > y->left) - (x->left < y->left);
    if (!order) order = (x->right > y->right) - (x->right < y->right);
    return order ? order : (x->rank > y->rank) - (x->rank < y->rank);
}

void vks_bpe_index_vocab(vks_bpe *bpe) {
    if (bpe->n_vocab) qsort(bpe->vocab, bpe->n_vocab, sizeof *bpe->vocab, compare_vocab);
    for (size_t i = 0; i < 256; i++) {
        char byte = (char)(unsigned char)i;
        const vks_vocab_entry *entry = vks_bpe_find(bpe, &byte, 1);
        bpe->byte_id[i] = entry ? entry->id : -1;
    }
}

const vks_vocab_entry *vks_bpe_find(const vks_bpe *bpe, const char *bytes, size_t size) {
    size_t low = 0, high = bpe->n_vocab;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const vks_vocab_entry *entry = &bpe->vocab[middle];
        int order = compare_bytes(bytes, size, entry->bytes, entry->size);
        if (order == 0) return entry;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

// Compares spellings in place: memory for a copy could be missing, and a look-up cannot fail.
const vks_vocab_entry *vks_bpe_find_spelled(const vks_bpe *bpe, const char *text, size_t size) {
    size_t low = 0, high = bpe->n_vocab;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const vks_vocab_entry *entry = &bpe->vocab[middle];
        int order = vks_alphabet_compare(text, size, entry->bytes, entry->size);
        if (order == 0) return entry;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

bool vks_bpe_index_merges(vks_bpe *bpe, size_t n_id, const vks_merge **duplicate) {
    *duplicate = NULL;
    bpe->first_merge = vks_alloc_zero(n_id + 1, sizeof *bpe->first_merge);
    if (!bpe->first_merge) return false;
    bpe->n_id = n_id;
    if (bpe->n_merge) qsort(bpe->merges, bpe->n_merge, sizeof *bpe->merges, compare_merges);
    for (size_t i = 0; i < bpe->n_merge; i++) {
        const vks_merge *merge = &bpe->merges[i];
        if (i && merge->left == merge[-1].left && merge->right == merge[-1].right) *duplicate = merge;
        bpe->first_merge[(size_t)merge->left + 1]++;
    }
    for (size_t i = 0; i < n_id; i++)
        bpe->first_merge[i + 1] += bpe->first_merge[i];
    return true;
}

static const vks_merge *find_merge(const vks_bpe *bpe, int32_t left, int32_t right) {
    size_t low = bpe->first_merge[left], high = bpe->first_merge[left + 1], end = high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bpe->merges[middle].right < right)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && bpe->merges[low].right == right ? &bpe->merges[low] : NULL;
}

bool vks_id_push(vks_id_list *list, int32_t id) {
    if (list->n == list->capacity) {
        void *items = list->items;
        if (!vks_grow(&items, &list->capacity, list->n + 1, sizeof *list->items)) return false;
        list->items = items;
    }
    list->items[list->n++] = id;
    return true;
}

void vks_bpe_work_finish(vks_bpe_work *work) {
    vks_free(work->symbols);
    vks_free(work->heap);
    memset(work, 0, sizeof *work);
}

// The lowest rank first, and of equal ranks the leftmost.
static bool comes_before(const candidate *a, const candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

// The caller has made room: every piece is queued at most three times.
static void heap_push(vks_bpe_work *work, candidate item) {
    candidate *heap = work->heap;
    size_t at = work->n_heap++;
    while (at > 0 && comes_before(&item, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = item;
}

static candidate heap_pop(vks_bpe_work *work) {
    candidate *heap = work->heap, top = heap[0], item = heap[--work->n_heap];
    size_t at = 0, n = work->n_heap;
    for (size_t child = 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && comes_before(&heap[child + 1], &heap[child])) child++;
        if (!comes_before(&heap[child], &item)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
    return top;
}

static void queue_pair(const vks_bpe *bpe, vks_bpe_work *work, uint32_t left) {
    const symbol *symbols = work->symbols;
    if (left == NONE || symbols[left].next == NONE) return;
    const vks_merge *merge = find_merge(bpe, symbols[left].id, symbols[symbols[left].next].id);
    if (merge) heap_push(work, (candidate){.rank = merge->rank, .at = left, .merge = merge});
}

// Bytes of the character at `bytes`; the text is valid UTF-8.
static size_t character_size(const char *bytes) {
    unsigned char c = (unsigned char)*bytes;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

// One symbol a byte, or a character that is a token, without those that have no token. Returns their number.
static uint32_t fill_symbols(const vks_bpe *bpe, const char *bytes, size_t size, symbol *symbols) {
    uint32_t n = 0;
    bool after_unk = false;
    for (size_t i = 0, character_end = 0; i < size; i++) {
        if (bpe->by_character && i == character_end) {
            character_end = i + character_size(bytes + i);
            const vks_vocab_entry *whole = vks_bpe_find(bpe, bytes + i, character_end - i);
            if (whole) {
                symbols[n] = (symbol){.id = whole->id, .previous = n ? n - 1 : NONE, .next = n + 1};
                n++;
                i = character_end - 1;
                after_unk = false;
                continue;
            }
        }
        int32_t id = bpe->byte_id[(unsigned char)bytes[i]];
        bool is_unk = id < 0;
        if (is_unk) id = after_unk && bpe->fuse_unk ? -1 : bpe->unk_id;
        after_unk = is_unk;
        if (id < 0) continue;
        symbols[n] = (symbol){.id = id, .previous = n ? n - 1 : NONE, .next = n + 1};
        n++;
    }
    if (n) symbols[n - 1].next = NONE;
    return n;
}

static void merge_all(const vks_bpe *bpe, vks_bpe_work *work) {
    symbol *symbols = work->symbols;
    while (work->n_heap) {
        candidate best = heap_pop(work);
        symbol *left = &symbols[best.at];
        if (left->id != best.merge->left || left->next == NONE) continue;
        symbol *right = &symbols[left->next];
        if (right->id != best.merge->right) continue;
        left->id = best.merge->result;
        left->next = right->next;
        right->id = -1;
        if (left->next != NONE) symbols[left->next].previous = best.at;
        queue_pair(bpe, work, left->previous);
        queue_pair(bpe, work, best.at);
    }
}

static bool make_room(vks_bpe_work *work, size_t size) {
    void *symbols = work->symbols, *heap = work->heap;
    bool ok = vks_grow(&symbols, &work->symbol_capacity, size, sizeof *work->symbols);
    work->symbols = symbols;
    ok = ok && vks_grow(&heap, &work->heap_capacity, 3 * size, sizeof *work->heap);
    work->heap = heap;
    return ok;
}

vkssm_status vks_bpe_encode(const vks_bpe *bpe, const char *bytes, size_t size, const vkssm_log *log,
                            vks_bpe_work *work, vks_id_list *ids) {
    const vks_vocab_entry *whole = bpe->ignore_merges ? vks_bpe_find(bpe, bytes, size) : NULL;
    if (whole) {
        if (vks_id_push(ids, whole->id)) return VKSSM_OK;
        return vks_fail(log, VKSSM_ERR_OOM_HOST, "text: out of memory for %zu tokens", ids->n + 1);
    }
    if (size >= 1u << 30)
        return vks_fail(log, VKSSM_ERR_ARG, "text: a word of %zu bytes; words must be shorter than 1 GiB", size);
    if (!make_room(work, size))
        return vks_fail(log, VKSSM_ERR_OOM_HOST, "text: out of memory for a word of %zu bytes", size);
    uint32_t n = fill_symbols(bpe, bytes, size, work->symbols);
    work->n_heap = 0;
    for (uint32_t i = 0; i < n; i++)
        queue_pair(bpe, work, i);
    merge_all(bpe, work);
    for (uint32_t i = 0; i < n; i = work->symbols[i].next) // the first symbol is never merged away
        if (!vks_id_push(ids, work->symbols[i].id))
            return vks_fail(log, VKSSM_ERR_OOM_HOST, "text: out of memory for %zu tokens", ids->n + 1);
    return VKSSM_OK;
}

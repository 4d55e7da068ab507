// Pieces with scores (Kudo and Richardson 2018, the BPE kind): of all neighbours that together spell a piece, those of
// the highest score are joined first, the leftmost among equals. That is byte-pair encoding whose merges are all the
// ways to cut a piece in two pieces, ranked by the score of the whole, over characters instead of bytes. A character
// that is no piece becomes its bytes' tokens.
#include <stdlib.h>
#include <string.h>

#include "host/base/alloc.h"
#include "tokenizer_internal.h"
#include "tokenizer_lists.h"
#include "unicode_text.h"

// Longer pieces than any model has would make their merges, all ways to cut them in two, slow to find.
enum { MAX_PIECE = 1024 };

static const char space_mark[] = "\xe2\x96\x81"; // U+2581, which stands for a space

// The text with spaces for marks; *out needs room for all of it.
size_t vks_pieces_unmark(const char *text, size_t size, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < size;) {
        bool mark = size - i >= 3 && memcmp(text + i, space_mark, 3) == 0;
        out[n++] = mark ? ' ' : text[i];
        i += mark ? 3 : 1;
    }
    return n;
}

typedef struct maker {
    const vks_token_lists *lists;
    const vkssm_log *log;
    vkssm_tokenizer *t;
    size_t n_extra; // byte tokens, at the end of the vocabulary, where no search finds them
} maker;

static vkssm_status out_of_memory(const maker *m) {
    return vks_fail(m->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the tokenizer", m->lists->name);
}

// The byte of "<0x0A>"; -1 for any other spelling.
static int byte_of(vks_token_text token) {
    int value = 0;
    if (token.size != 6 || memcmp(token.text, "<0x", 3) != 0 || token.text[5] != '>') return -1;
    for (int i = 3; i < 5; i++) {
        const char *digits = "0123456789ABCDEF", *digit = token.text[i] ? strchr(digits, token.text[i]) : NULL;
        if (!digit) return -1;
        value = 16 * value + (int)(digit - digits);
    }
    return value;
}

static bool is_whole(int32_t type) { // recognised before anything is cut
    return type == VKS_TOKEN_CONTROL || type == VKS_TOKEN_UNKNOWN || type == VKS_TOKEN_USER_DEFINED;
}

static vkssm_status place_token(maker *m, size_t id, char **pool, char **added_pool) {
    vks_token_text token = m->lists->tokens[id];
    int32_t type = m->lists->types ? m->lists->types[id] : VKS_TOKEN_NORMAL;
    vks_bpe *bpe = &m->t->bpe;
    if (type == VKS_TOKEN_UNUSED) return VKSSM_OK;
    if (token.size == 0 || token.size > UINT32_MAX)
        return vks_fail(m->log, VKSSM_ERR_FORMAT, "%s: token %zu: a text expected, none found", m->lists->name, id);
    size_t bad; // a part of a character would cut those of a text in two
    if (!vks_utf8_check(token.text, token.size, &bad))
        return vks_fail(m->log, VKSSM_ERR_FORMAT, "%s: token %zu: UTF-8 expected, other bytes found", m->lists->name,
                        id);
    if (!is_whole(type) && token.size > MAX_PIECE)
        return vks_fail(m->log, VKSSM_ERR_UNSUPPORTED, "%s: token %zu: at most %d bytes expected, %zu found",
                        m->lists->name, id, MAX_PIECE, token.size);
    if (is_whole(type)) {
        vks_added_token *added = &m->t->added.tokens[m->t->added.n++];
        memcpy(*added_pool, token.text, token.size);
        *added = (vks_added_token){.content = *added_pool,
                                   .size = (uint32_t)token.size,
                                   .id = (int32_t)id,
                                   .special = type != VKS_TOKEN_USER_DEFINED};
        *added_pool += token.size;
        return VKSSM_OK;
    }
    vks_vocab_entry entry = {.bytes = *pool, .id = (int32_t)id};
    if (type == VKS_TOKEN_BYTE) {
        int byte = byte_of(token);
        if (byte < 0)
            return vks_fail(m->log, VKSSM_ERR_FORMAT,
                            "%s: token %zu: a byte as <0x00> to <0xFF> expected, \"%.*s\" found", m->lists->name, id,
                            token.size < 80 ? (int)token.size : 80, token.text);
        bpe->byte_id[byte] = (int32_t)id;
        **pool = (char)byte;
        entry.size = 1;
        bpe->vocab[m->lists->n_token - ++m->n_extra] = entry;
    } else {
        entry.size = (uint32_t)vks_pieces_unmark(token.text, token.size, *pool);
        bpe->vocab[bpe->n_vocab++] = entry;
    }
    *pool += entry.size;
    return VKSSM_OK;
}

static vkssm_status place_tokens(maker *m) {
    vkssm_tokenizer *t = m->t;
    size_t n = m->lists->n_token, n_byte = 1;
    for (size_t i = 0; i < n; i++) {
        if (m->lists->tokens[i].size > UINT32_MAX - n_byte)
            return vks_fail(m->log, VKSSM_ERR_UNSUPPORTED, "%s: 4 GiB of tokens", m->lists->name);
        n_byte += m->lists->tokens[i].size;
    }
    t->bpe.vocab = vks_alloc_zero(n, sizeof *t->bpe.vocab);
    t->bpe.pool = vks_alloc(n_byte);
    t->added.tokens = vks_alloc_zero(n, sizeof *t->added.tokens);
    t->added.pool = vks_alloc(n_byte);
    if (!t->bpe.vocab || !t->bpe.pool || !t->added.tokens || !t->added.pool) return out_of_memory(m);
    char *pool = t->bpe.pool, *added_pool = t->added.pool;
    for (int i = 0; i < 256; i++)
        t->bpe.byte_id[i] = -1;
    for (size_t i = 0; i < n; i++)
        VKS_TRY(place_token(m, i, &pool, &added_pool));
    const vks_added_token *twice = vks_added_sort(&t->added);
    if (twice)
        return vks_fail(m->log, VKSSM_ERR_FORMAT, "%s: token \"%.*s\" is there twice, expected once", m->lists->name,
                        twice->size < 80 ? (int)twice->size : 80, twice->content);
    return vks_added_index(&t->added, false) ? VKSSM_OK : out_of_memory(m);
}

// Order the pieces. Two that are spelled alike (with a space and with its mark) are refused: no text has the second.
static vkssm_status order_pieces(const maker *m) {
    vks_bpe *bpe = &m->t->bpe;
    int32_t byte_id[256];
    memcpy(byte_id, bpe->byte_id, sizeof byte_id);
    vks_bpe_index_vocab(bpe);
    memcpy(bpe->byte_id, byte_id, sizeof byte_id); // bytes are tokens of their own here, not pieces of one byte
    for (size_t i = 1; i < bpe->n_vocab; i++) {
        const vks_vocab_entry *a = &bpe->vocab[i - 1], *b = &bpe->vocab[i];
        if (a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0)
            return vks_fail(m->log, VKSSM_ERR_FORMAT, "%s: tokens %d and %d are spelled alike", m->lists->name, a->id,
                            b->id);
    }
    return VKSSM_OK;
}

static vkssm_status fill_slots(const maker *m) {
    vkssm_tokenizer *t = m->t;
    t->n_token = (uint32_t)m->lists->n_token;
    t->slots = vks_alloc_zero(t->n_token, sizeof *t->slots);
    if (!t->slots) return out_of_memory(m);
    for (size_t i = 0; i < m->lists->n_token; i++)
        if (t->bpe.vocab[i].size) t->slots[t->bpe.vocab[i].id] = (int32_t)i + 1;
    for (size_t i = 0; i < t->added.n; i++)
        t->slots[t->added.tokens[i].id] = -(int32_t)i - 1;
    return VKSSM_OK;
}

// ---- merges ---------------------------------------------------------------------------------------------------------

typedef struct scored {
    float score;
    int32_t id;
} scored;

static int compare_scores(const void *a, const void *b) { // the highest first
    const scored *x = a, *y = b;
    return x->score != y->score ? (x->score > y->score ? -1 : 1) : (x->id > y->id) - (x->id < y->id);
}

// ranks[id]: the same for equal scores.
static vkssm_status rank_pieces(const maker *m, uint32_t *ranks) {
    size_t n = m->t->bpe.n_vocab;
    scored *order = vks_alloc_zero(n, sizeof *order);
    if (!order) return out_of_memory(m);
    vkssm_status status = VKSSM_OK;
    for (size_t i = 0; i < n; i++) {
        int32_t id = m->t->bpe.vocab[i].id;
        order[i] = (scored){m->lists->scores[id], id};
        if (!(order[i].score - order[i].score == 0)) // the order of NaN is none
            status = vks_fail(m->log, VKSSM_ERR_FORMAT, "%s: token %d: a finite score expected, %g found",
                              m->lists->name, id, (double)order[i].score);
    }
    if (n && status == VKSSM_OK) qsort(order, n, sizeof *order, compare_scores);
    uint32_t rank = 0;
    for (size_t i = 0; i < n; i++) {
        rank += i > 0 && order[i].score < order[i - 1].score;
        ranks[order[i].id] = rank;
    }
    vks_free(order);
    return status;
}

// Every way to cut a piece in two pieces, at the starts of characters.
static vkssm_status add_merges(const maker *m, const vks_vocab_entry *whole, uint32_t rank, size_t *capacity) {
    vks_bpe *bpe = &m->t->bpe;
    for (uint32_t cut = 1; cut < whole->size; cut++) {
        if (((unsigned char)whole->bytes[cut] & 0xc0) == 0x80) continue;
        const vks_vocab_entry *left = vks_bpe_find(bpe, whole->bytes, cut);
        const vks_vocab_entry *right = left ? vks_bpe_find(bpe, whole->bytes + cut, whole->size - cut) : NULL;
        if (!right) continue;
        if (!vks_grow((void **)&bpe->merges, capacity, bpe->n_merge + 1, sizeof *bpe->merges)) return out_of_memory(m);
        bpe->merges[bpe->n_merge++] = (vks_merge){left->id, right->id, whole->id, rank};
    }
    return VKSSM_OK;
}

static vkssm_status make_merges(const maker *m) {
    vks_bpe *bpe = &m->t->bpe;
    size_t capacity = 0;
    uint32_t *ranks = vks_alloc_zero(m->lists->n_token, sizeof *ranks);
    vkssm_status status = ranks ? rank_pieces(m, ranks) : out_of_memory(m);
    for (size_t i = 0; i < bpe->n_vocab && status == VKSSM_OK; i++)
        status = add_merges(m, &bpe->vocab[i], ranks[bpe->vocab[i].id], &capacity);
    vks_free(ranks);
    const vks_merge *duplicate; // there is none: a pair spells one piece
    if (status == VKSSM_OK && !vks_bpe_index_merges(bpe, m->lists->n_token, &duplicate)) status = out_of_memory(m);
    return status;
}

// ---- the tokenizer --------------------------------------------------------------------------------------------------

static vkssm_status make(maker *m) {
    vkssm_tokenizer *t = m->t;
    t->pieces = true;
    t->adds_space = m->lists->adds_space;
    t->bpe.by_character = t->bpe.fuse_unk = true;
    t->bpe.unk_id = m->lists->unk;
    t->bos = t->eos = -1;
    VKS_TRY(place_tokens(m));
    VKS_TRY(order_pieces(m));
    VKS_TRY(fill_slots(m));
    if (t->bpe.unk_id >= 0 && ((uint32_t)t->bpe.unk_id >= t->n_token || !t->slots[t->bpe.unk_id]))
        return vks_fail(m->log, VKSSM_ERR_FORMAT,
                        "%s: key tokenizer.ggml.unknown_token_id: the id of a token expected, %d "
                        "found",
                        m->lists->name, t->bpe.unk_id);
    return make_merges(m);
}

vkssm_status vks_tokenizer_from_pieces(const vks_token_lists *lists, const vkssm_log *log, vkssm_tokenizer **out) {
    maker m = {.lists = lists, .log = log, .t = vks_alloc_zero(1, sizeof(vkssm_tokenizer))};
    if (!m.t) return out_of_memory(&m);
    if (log) m.t->log = *log;
    vkssm_status status = make(&m);
    if (status == VKSSM_OK)
        *out = m.t;
    else
        vkssm_tokenizer_destroy(&m.t);
    return status;
}

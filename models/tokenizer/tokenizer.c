// The public calls: life cycle, encoding, decoding.
#include "tokenizer_internal.h"

#include <string.h>

#include "host/base/alloc.h"
#include "host/base/file.h"
#include "unicode_text.h"

#define MAX_FILE_SIZE (1u << 30) // far above any tokenizer; lengths of tokens fit 32 bits

vkssm_status vks_tokenizer_parse(const char *name, const char *text, size_t text_size, const char *config_name,
                                 const char *config, size_t config_size, const vkssm_log *log, vkssm_tokenizer **out) {
    *out = NULL;
    if (text_size > MAX_FILE_SIZE || config_size > MAX_FILE_SIZE)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: expected at most %u bytes, found %zu",
                        text_size > MAX_FILE_SIZE ? name : config_name, MAX_FILE_SIZE,
                        text_size > MAX_FILE_SIZE ? text_size : config_size);
    vkssm_tokenizer *tokenizer = vks_alloc_zero(1, sizeof *tokenizer);
    if (!tokenizer) return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the tokenizer", name);
    if (log) tokenizer->log = *log;
    vkssm_status status = vks_tokenizer_read(tokenizer, name, text, text_size, config_name, config, config_size);
    if (status != VKSSM_OK) vkssm_tokenizer_destroy(&tokenizer);
    *out = tokenizer;
    return status;
}

// Both files are mapped only while they are read.
static vkssm_status open_files(const char *path, const char *config_path, const vkssm_log *log, vkssm_tokenizer **out) {
    vks_file_map file, config = {0};
    VKS_TRY(vks_file_map_open(path, log, &file));
    bool has_config = vks_path_exists(config_path);
    vkssm_status status = has_config ? vks_file_map_open(config_path, log, &config) : VKSSM_OK;
    if (status == VKSSM_OK && (file.size > MAX_FILE_SIZE || config.size > MAX_FILE_SIZE))
        status = vks_fail(log, VKSSM_ERR_FORMAT, "%s: expected at most %u bytes",
                          file.size > MAX_FILE_SIZE ? path : config_path, MAX_FILE_SIZE);
    if (status == VKSSM_OK) {
        const char *config_text = has_config ? (config.data ? (const char *)config.data : "") : NULL;
        status = vks_tokenizer_parse(path, (const char *)file.data, (size_t)file.size, config_path, config_text,
                                     (size_t)config.size, log, out);
    }
    vks_file_map_close(&config);
    vks_file_map_close(&file);
    return status;
}

vkssm_status vkssm_tokenizer_open(const char *path, const vkssm_log *log, vkssm_tokenizer **out) {
    if (!out) return vks_fail(log, VKSSM_ERR_ARG, "vkssm_tokenizer_open: out is NULL");
    *out = NULL;
    if (!path) return vks_fail(log, VKSSM_ERR_ARG, "vkssm_tokenizer_open: path is NULL");
    bool is_folder = vks_path_is_folder(path);
    char *folder = is_folder ? vks_strdup(path) : vks_path_folder(path);
    char *file = !folder ? NULL : is_folder ? vks_path_join(folder, "tokenizer.json") : vks_strdup(path);
    char *config = folder ? vks_path_join(folder, "tokenizer_config.json") : NULL;
    vkssm_status status = file && config ? open_files(file, config, log, out)
                                         : vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory before opening", path);
    vks_free(config);
    vks_free(file);
    vks_free(folder);
    return status;
}

void vkssm_tokenizer_destroy(vkssm_tokenizer **tokenizer) {
    if (!tokenizer || !*tokenizer) return;
    vkssm_tokenizer *t = *tokenizer;
    vks_added_finish(&t->added);
    vks_bpe_finish(&t->bpe);
    vks_pretokenizer_finish(&t->pretokenizer);
    vks_free(t->slots);
    vks_free(t);
    *tokenizer = NULL;
}

uint32_t vkssm_tokenizer_n_token(const vkssm_tokenizer *tokenizer) {
    return tokenizer->n_token;
}

int32_t vkssm_tokenizer_bos(const vkssm_tokenizer *tokenizer) {
    return tokenizer->bos;
}

int32_t vkssm_tokenizer_eos(const vkssm_tokenizer *tokenizer) {
    return tokenizer->eos;
}

bool vkssm_tokenizer_adds_bos(const vkssm_tokenizer *tokenizer) {
    return tokenizer->adds_bos;
}

int32_t vks_tokenizer_find(const vkssm_tokenizer *tokenizer, const char *text, size_t size) {
    const vks_vocab_entry *entry = tokenizer->pieces ? vks_bpe_find(&tokenizer->bpe, text, size)
                                                     : vks_bpe_find_spelled(&tokenizer->bpe, text, size);
    if (entry) return entry->id;
    const vks_added_token *added = vks_added_find(&tokenizer->added, text, size);
    return added ? added->id : -1;
}

int32_t vkssm_tokenizer_find(const vkssm_tokenizer *tokenizer, const char *text) {
    return tokenizer && text ? vks_tokenizer_find(tokenizer, text, strlen(text)) : -1;
}

typedef struct encoding {
    const vkssm_tokenizer *tokenizer;
    bool parse_special;
    vks_pretoken_work pretoken;
    vks_bpe_work bpe;
    vks_id_list ids;
} encoding;

static vkssm_status encode_words(encoding *e, const char *text, size_t size) {
    const vkssm_tokenizer *t = e->tokenizer;
    VKS_TRY(vks_pretokenize(&t->pretokenizer, text, size, &t->log, &e->pretoken));
    for (size_t i = 0; i < e->pretoken.spans.n; i++) {
        vks_span span = e->pretoken.spans.items[i];
        VKS_TRY(
            vks_bpe_encode(&t->bpe, e->pretoken.text + span.start, span.end - span.start, &t->log, &e->bpe, &e->ids));
    }
    return VKSSM_OK;
}

// A text of pieces is one word.
static vkssm_status encode_pieces(encoding *e, const char *text, size_t size) {
    const vkssm_tokenizer *t = e->tokenizer;
    char *word = vks_alloc(size + 1);
    if (!word) return vks_fail(&t->log, VKSSM_ERR_OOM_HOST, "text: out of memory for %zu bytes", size);
    word[0] = ' ';
    size_t n = t->adds_space + vks_pieces_unmark(text, size, word + t->adds_space);
    vkssm_status status = vks_bpe_encode(&t->bpe, word, n, &t->log, &e->bpe, &e->ids);
    vks_free(word);
    return status;
}

typedef vkssm_status encode_plain(encoding *e, const char *text, size_t size);

// Added tokens of one set, and `plain` for what lies between them.
static vkssm_status encode_around(encoding *e, const vks_added_set *set, const char *text, size_t size,
                                  encode_plain *plain) {
    vks_added_scan scan = {
        .added = &e->tokenizer->added, .set = set, .text = text, .size = size, .parse_special = e->parse_special};
    bool more = true;
    while (more) {
        const char *part;
        size_t part_size;
        int32_t id;
        more = vks_added_next(&scan, &part, &part_size, &id);
        if (part_size) VKS_TRY(plain(e, part, part_size));
        if (more && !vks_id_push(&e->ids, id))
            return vks_fail(&e->tokenizer->log, VKSSM_ERR_OOM_HOST, "text: out of memory for %zu tokens", e->ids.n + 1);
    }
    return VKSSM_OK;
}

static vkssm_status encode_normalized(encoding *e, const char *text, size_t size) {
    const vkssm_tokenizer *t = e->tokenizer;
    if (t->pieces) return encode_pieces(e, text, size);
    if (!t->nfc || vks_nfc_is_certain(text, size))
        return encode_around(e, &t->added.normalized, text, size, encode_words);
    size_t nfc_size = 0;
    char *nfc = vks_nfc(text, size, &nfc_size);
    if (!nfc) return vks_fail(&t->log, VKSSM_ERR_OOM_HOST, "text: out of memory for normalising %zu bytes", size);
    vkssm_status status = encode_around(e, &t->added.normalized, nfc, nfc_size, encode_words);
    vks_free(nfc);
    return status;
}

vkssm_status vkssm_tokenizer_encode(const vkssm_tokenizer *tokenizer, const char *text, size_t text_size, bool add_bos,
                                    bool parse_special, int32_t **ids, size_t *n_id) {
    if (ids) *ids = NULL;
    if (n_id) *n_id = 0;
    if (!tokenizer || !ids || !n_id || (!text && text_size))
        return vks_fail(tokenizer ? &tokenizer->log : NULL, VKSSM_ERR_ARG, "vkssm_tokenizer_encode: %s is NULL",
                        !tokenizer ? "tokenizer"
                        : !ids     ? "ids"
                        : !n_id    ? "n_id"
                                   : "text");
    size_t offset = 0;
    if (add_bos && tokenizer->bos < 0)
        return vks_fail(&tokenizer->log, VKSSM_ERR_ARG,
                        "vkssm_tokenizer_encode: add_bos, but the tokenizer has no begin token");
    if (text_size && !vks_utf8_check(text, text_size, &offset))
        return vks_fail(&tokenizer->log, VKSSM_ERR_FORMAT,
                        "text: expected UTF-8, found byte 0x%02x at offset %zu of %zu",
                        (unsigned)(unsigned char)text[offset], offset, text_size);
    encoding e = {.tokenizer = tokenizer, .parse_special = parse_special};
    vkssm_status status = VKSSM_OK;
    if (add_bos && !vks_id_push(&e.ids, tokenizer->bos))
        status = vks_fail(&tokenizer->log, VKSSM_ERR_OOM_HOST, "text: out of memory for the begin token");
    if (status == VKSSM_OK && text_size)
        status = encode_around(&e, &tokenizer->added.raw, text, text_size, encode_normalized);
    vks_pretoken_work_finish(&e.pretoken);
    vks_bpe_work_finish(&e.bpe);
    if (status == VKSSM_OK) {
        *ids = e.ids.items;
        *n_id = e.ids.n;
    } else {
        vks_free(e.ids.items);
    }
    return status;
}

typedef struct token_text {
    const char *bytes;
    size_t size;
    bool special;
} token_text;

static bool get_token(const vkssm_tokenizer *t, int32_t id, token_text *out) {
    int32_t slot = id >= 0 && (uint32_t)id < t->n_token ? t->slots[id] : 0;
    if (slot > 0) *out = (token_text){t->bpe.vocab[slot - 1].bytes, t->bpe.vocab[slot - 1].size, false};
    if (slot < 0) {
        const vks_added_token *token = &t->added.tokens[-slot - 1];
        *out = (token_text){token->content, token->size, token->special};
    }
    return slot != 0;
}

static vkssm_status decode_out_of_memory(const vkssm_tokenizer *tokenizer, size_t n_id) {
    return vks_fail(&tokenizer->log, VKSSM_ERR_OOM_HOST, "ids: out of memory for the text of %zu tokens", n_id);
}

vkssm_status vkssm_tokenizer_decode(const vkssm_tokenizer *tokenizer, const int32_t *ids, size_t n_id,
                                    bool skip_special, char **text, size_t *text_size) {
    if (text) *text = NULL;
    if (text_size) *text_size = 0;
    if (!tokenizer || !text || !text_size || (!ids && n_id))
        return vks_fail(tokenizer ? &tokenizer->log : NULL, VKSSM_ERR_ARG, "vkssm_tokenizer_decode: %s is NULL",
                        !tokenizer   ? "tokenizer"
                        : !text      ? "text"
                        : !text_size ? "text_size"
                                     : "ids");
    uint64_t size = 0;
    token_text token = {0};
    for (size_t i = 0; i < n_id; i++) {
        if (!get_token(tokenizer, ids[i], &token))
            return vks_fail(&tokenizer->log, VKSSM_ERR_ARG, "ids[%zu]: expected an id of a token below %u, found %d", i,
                            tokenizer->n_token, ids[i]);
        if (skip_special && token.special) continue;
        if (!vks_add_u64(size, token.size, &size) || size >= SIZE_MAX) return decode_out_of_memory(tokenizer, n_id);
    }
    char *out = vks_alloc((size_t)size + 1);
    if (!out) return decode_out_of_memory(tokenizer, n_id);
    size_t n = 0;
    for (size_t i = 0; i < n_id; i++) {
        get_token(tokenizer, ids[i], &token);
        if ((skip_special && token.special) || !token.size) continue;
        memcpy(out + n, token.bytes, token.size);
        n += token.size;
    }
    out[n] = '\0';
    *text = out;
    *text_size = n;
    return VKSSM_OK;
}

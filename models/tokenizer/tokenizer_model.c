// The "model" of tokenizer.json: vocabulary and merges of byte-level BPE.
#include "tokenizer_reader.h"

#include <string.h>

#include "byte_alphabet.h"
#include "host/base/alloc.h"

static vkssm_status unsupported(const vks_reader *reader, const char *what) {
    return vks_fail(reader->log, VKSSM_ERR_UNSUPPORTED, "%s: model: %s", reader->name, what);
}

static vkssm_status read_options(const vks_reader *reader, const json_t *model, const json_t *vocab) {
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    vks_bpe *bpe = &reader->tokenizer->bpe;
    json_t *value;
    for (size_t i = 0; i < VKS_COUNT(affixes); i++) {
        VKS_TRY(vks_reader_get(reader, model, "model", affixes[i], JSON_STRING, &value));
        if (value && json_string_length(value))
            return vks_fail(reader->log, VKSSM_ERR_UNSUPPORTED, "%s: model: %s \"%.80s\" is not supported",
                            reader->name, affixes[i], json_string_value(value));
    }
    value = json_object_get(model, "dropout");
    if (value && !json_is_null(value) && !json_is_number(value))
        return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: model: \"dropout\" must be a number, found %s",
                        reader->name, vks_json_kind(value));
    if (value && json_number_value(value) != 0) return unsupported(reader, "dropout other than 0 is not supported");
    VKS_TRY(vks_reader_bool(reader, model, "model", "fuse_unk", &bpe->fuse_unk));
    VKS_TRY(vks_reader_bool(reader, model, "model", "ignore_merges", &bpe->ignore_merges));
    VKS_TRY(vks_reader_get(reader, model, "model", "unk_token", JSON_STRING, &value));
    bpe->unk_id = -1;
    if (!value) return VKSSM_OK;
    const json_t *id = json_object_get(vocab, json_string_value(value));
    const vks_added_token *added =
        vks_added_find(&reader->tokenizer->added, json_string_value(value), json_string_length(value));
    if (!id && added) {
        bpe->unk_id = added->id;
        return VKSSM_OK;
    }
    if (!id)
        return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: model: unk_token \"%.80s\" is no token", reader->name,
                        json_string_value(value));
    return vks_reader_id(reader, id, "model.vocab", json_string_value(value), &bpe->unk_id);
}

// Tokens outside the alphabet can only be written in the text as added tokens.
static vkssm_status check_foreign_token(const vks_reader *reader, const char *key, size_t size, int32_t id) {
    const vks_added_token *token = vks_added_find(&reader->tokenizer->added, key, size);
    if (token && token->id == id) return VKSSM_OK;
    return vks_fail(
        reader->log, VKSSM_ERR_FORMAT,
        "%s: model.vocab: token \"%.80s\" (id %d) has characters outside the byte alphabet and is no added token",
        reader->name, key, id);
}

static vkssm_status read_vocab(const vks_reader *reader, json_t *vocab) {
    vks_bpe *bpe = &reader->tokenizer->bpe;
    const char *key;
    json_t *value;
    size_t n_byte = 0;
    json_object_foreach(vocab, key, value) n_byte += strlen(key);
    bpe->vocab = vks_alloc_zero(json_object_size(vocab), sizeof *bpe->vocab);
    bpe->pool = vks_alloc(n_byte);
    if (!bpe->vocab || !bpe->pool) return vks_reader_oom(reader, "the vocabulary");
    char *end = bpe->pool;
    json_object_foreach(vocab, key, value) {
        vks_vocab_entry entry = {.bytes = end};
        size_t size = strlen(key), n = 0;
        VKS_TRY(vks_reader_id(reader, value, "model.vocab: token", key, &entry.id));
        if (size == 0) return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: model.vocab: an empty token", reader->name);
        if (!vks_alphabet_decode(key, size, end, &n)) {
            VKS_TRY(check_foreign_token(reader, key, size, entry.id));
            continue;
        }
        entry.size = (uint32_t)n;
        end += n;
        bpe->vocab[bpe->n_vocab++] = entry;
    }
    vks_bpe_index_vocab(bpe);
    return VKSSM_OK;
}

// Bytes without a token vanish from texts, or become unk_token. Bytes that no UTF-8 text contains do not matter.
static vkssm_status check_bytes(const vks_reader *reader, const json_t *model) {
    const vks_bpe *bpe = &reader->tokenizer->bpe;
    unsigned n_missing = 0, first = 0;
    for (unsigned byte = 256; byte-- > 0;) {
        if (bpe->byte_id[byte] >= 0 || byte == 0xc0 || byte == 0xc1 || byte > 0xf4) continue;
        n_missing++;
        first = byte;
    }
    bool byte_fallback = false;
    VKS_TRY(vks_reader_bool(reader, model, "model", "byte_fallback", &byte_fallback));
    if (n_missing && byte_fallback)
        return vks_fail(
            reader->log, VKSSM_ERR_UNSUPPORTED,
            "%s: model: byte_fallback is not supported without tokens for all bytes (%u are missing, first 0x%02x)",
            reader->name, n_missing, first);
    if (n_missing)
        vks_log(reader->log, VKSSM_LOG_WARNING,
                "%s: model.vocab: no token for %u of the bytes of UTF-8 (first 0x%02x): %s", reader->name, n_missing,
                first, bpe->unk_id < 0 ? "they are dropped from texts" : "unk_token stands for them");
    return VKSSM_OK;
}

vkssm_status vks_read_model(const vks_reader *reader, const json_t *root) {
    json_t *model, *vocab, *merges;
    const char *type;
    VKS_TRY(vks_reader_get(reader, root, "the file", "model", JSON_OBJECT, &model));
    if (!model) return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: \"model\" is missing", reader->name);
    VKS_TRY(vks_reader_type(reader, model, "model", &type));
    if (type && strcmp(type, "BPE") != 0)
        return vks_fail(reader->log, VKSSM_ERR_UNSUPPORTED,
                        "%s: model: type \"%.80s\" is not supported (supported: BPE)", reader->name, type);
    VKS_TRY(vks_reader_get(reader, model, "model", "vocab", JSON_OBJECT, &vocab));
    VKS_TRY(vks_reader_get(reader, model, "model", "merges", JSON_ARRAY, &merges));
    if (!vocab || !merges)
        return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: model: \"%s\" is missing", reader->name,
                        vocab ? "merges" : "vocab");
    VKS_TRY(read_options(reader, model, vocab));
    VKS_TRY(read_vocab(reader, vocab));
    return check_bytes(reader, model);
}

typedef struct merge_text {
    const char *left, *right;
    size_t left_size, right_size;
} merge_text;

// "a b" or ["a", "b"].
static bool split_merge(const json_t *item, merge_text *out) {
    const json_t *a = json_array_get(item, 0), *b = json_array_get(item, 1);
    if (json_array_size(item) == 2 && json_is_string(a) && json_is_string(b)) {
        *out = (merge_text){json_string_value(a), json_string_value(b), json_string_length(a), json_string_length(b)};
        return true;
    }
    const char *text = json_string_value(item), *space = text ? strchr(text, ' ') : NULL;
    if (!space || strchr(space + 1, ' ')) return false;
    *out = (merge_text){text, space + 1, (size_t)(space - text), strlen(space + 1)};
    return true;
}

static vkssm_status read_merge(const vks_reader *reader, const json_t *item, size_t index, char *buffer,
                               vks_merge *out) {
    const vks_bpe *bpe = &reader->tokenizer->bpe;
    merge_text text;
    if (!split_merge(item, &text))
        return vks_fail(reader->log, VKSSM_ERR_FORMAT,
                        "%s: model.merges[%zu] must be \"a b\" or [\"a\", \"b\"], found %s \"%.80s\"", reader->name,
                        index, vks_json_kind(item), json_is_string(item) ? json_string_value(item) : "");
    const char *missing = NULL;
    const vks_vocab_entry *left = NULL, *right = NULL, *result = NULL;
    size_t n_left = 0, n_right = 0;
    if (vks_alphabet_decode(text.left, text.left_size, buffer, &n_left)) left = vks_bpe_find(bpe, buffer, n_left);
    if (vks_alphabet_decode(text.right, text.right_size, buffer + n_left, &n_right))
        right = vks_bpe_find(bpe, buffer + n_left, n_right);
    if (left && right) result = vks_bpe_find(bpe, buffer, n_left + n_right);
    missing = !left ? "the left part" : !right ? "the right part" : !result ? "the result" : NULL;
    if (missing)
        return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: model.merges[%zu] \"%.*s %.80s\": %s is not in model.vocab",
                        reader->name, index, text.left_size < 80 ? (int)text.left_size : 80, text.left, text.right,
                        missing);
    *out = (vks_merge){.left = left->id, .right = right->id, .result = result->id, .rank = (uint32_t)index};
    return VKSSM_OK;
}

static size_t longest_merge(const json_t *merges) {
    size_t longest = 0;
    for (size_t i = 0; i < json_array_size(merges); i++) {
        merge_text text;
        if (!split_merge(json_array_get(merges, i), &text)) continue;
        if (text.left_size + text.right_size > longest) longest = text.left_size + text.right_size;
    }
    return longest;
}

vkssm_status vks_read_merges(const vks_reader *reader, const json_t *model) {
    vks_bpe *bpe = &reader->tokenizer->bpe;
    const json_t *merges = json_object_get(model, "merges");
    size_t n = json_array_size(merges);
    char *buffer = vks_alloc(longest_merge(merges));
    bpe->merges = vks_alloc_zero(n, sizeof *bpe->merges);
    vkssm_status status = buffer && bpe->merges ? VKSSM_OK : vks_reader_oom(reader, "the merges");
    for (size_t i = 0; i < n && status == VKSSM_OK; i++) {
        status = read_merge(reader, json_array_get(merges, i), i, buffer, &bpe->merges[i]);
        bpe->n_merge = i + 1;
    }
    vks_free(buffer);
    VKS_TRY(status);
    const vks_merge *duplicate;
    if (!vks_bpe_index_merges(bpe, reader->tokenizer->n_token, &duplicate)) return vks_reader_oom(reader, "the merges");
    if (!duplicate) return VKSSM_OK;
    return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: model.merges[%u] repeats model.merges[%u]", reader->name,
                    duplicate->rank, duplicate[-1].rank);
}

// The outline of tokenizer.json, and tokenizer_config.json.
#include "tokenizer_reader.h"

#include <string.h>

#include "host/base/alloc.h"

const char *vks_json_kind(const json_t *value) {
    if (!value) return "missing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        return "integer";
    case JSON_REAL:
        return "real number";
    case JSON_NULL:
        return "null";
    default:
        return "boolean";
    }
}

vkssm_status vks_reader_oom(const vks_reader *reader, const char *what) {
    return vks_fail(reader->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %s", reader->name, what);
}

vkssm_status vks_reader_parse(const vks_reader *reader, const char *text, size_t size, json_t **out) {
    json_error_t error = {0};
    *out = json_loadb(text ? text : "", size, JSON_REJECT_DUPLICATES, &error);
    if (!*out && json_error_code(&error) == json_error_out_of_memory) return vks_reader_oom(reader, "the JSON text");
    if (!*out)
        return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: not JSON: line %d, column %d: %s", reader->name, error.line,
                        error.column, error.text);
    if (json_is_object(*out)) return VKSSM_OK;
    vkssm_status status =
        vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: expected an object, found %s", reader->name, vks_json_kind(*out));
    json_decref(*out);
    *out = NULL;
    return status;
}

vkssm_status vks_reader_get(const vks_reader *reader, const json_t *object, const char *where, const char *key,
                            json_type type, json_t **out) {
    static const char *const wanted[] = {[JSON_OBJECT] = "an object",
                                         [JSON_ARRAY] = "an array",
                                         [JSON_STRING] = "a string",
                                         [JSON_INTEGER] = "an integer"};
    *out = json_object_get(object, key);
    if (json_is_null(*out)) *out = NULL;
    if (!*out || json_typeof(*out) == type) return VKSSM_OK;
    return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: %s: \"%s\" must be %s, found %s", reader->name, where, key,
                    wanted[type], vks_json_kind(*out));
}

vkssm_status vks_reader_bool(const vks_reader *reader, const json_t *object, const char *where, const char *key,
                             bool *out) {
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value)) return VKSSM_OK;
    if (!json_is_boolean(value))
        return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: %s: \"%s\" must be true or false, found %s", reader->name,
                        where, key, vks_json_kind(value));
    *out = json_is_true(value);
    return VKSSM_OK;
}

vkssm_status vks_reader_type(const vks_reader *reader, const json_t *object, const char *where, const char **out) {
    json_t *value;
    *out = NULL;
    if (!json_is_object(object))
        return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: %s must be an object, found %s", reader->name, where,
                        vks_json_kind(object));
    VKS_TRY(vks_reader_get(reader, object, where, "type", JSON_STRING, &value));
    if (value) *out = json_string_value(value);
    return VKSSM_OK;
}

vkssm_status vks_reader_id(const vks_reader *reader, const json_t *value, const char *what, const char *token,
                           int32_t *out) {
    if (!json_is_integer(value))
        return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: %s \"%.80s\": the id must be an integer, found %s",
                        reader->name, what, token, vks_json_kind(value));
    json_int_t id = json_integer_value(value);
    if (id < 0 || id > VKS_MAX_TOKEN_ID)
        return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: %s \"%.80s\": the id must be in [0, %d], found %lld",
                        reader->name, what, token, VKS_MAX_TOKEN_ID, (long long)id);
    *out = (int32_t)id;
    return VKSSM_OK;
}

static vkssm_status read_added_token(const vks_reader *reader, const json_t *item, size_t index, vks_added_token *out) {
    char where[48];
    snprintf(where, sizeof where, "added_tokens[%zu]", index);
    json_t *content;
    if (!json_is_object(item))
        return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: %s must be an object, found %s", reader->name, where,
                        vks_json_kind(item));
    VKS_TRY(vks_reader_get(reader, item, where, "content", JSON_STRING, &content));
    if (!content) return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: %s has no \"content\"", reader->name, where);
    out->content = json_string_value(content);
    out->size = (uint32_t)json_string_length(content);
    VKS_TRY(vks_reader_id(reader, json_object_get(item, "id"), "added token", out->content, &out->id));
    VKS_TRY(vks_reader_bool(reader, item, where, "special", &out->special));
    VKS_TRY(vks_reader_bool(reader, item, where, "single_word", &out->single_word));
    VKS_TRY(vks_reader_bool(reader, item, where, "lstrip", &out->lstrip));
    VKS_TRY(vks_reader_bool(reader, item, where, "rstrip", &out->rstrip));
    out->is_normalized = !out->special;
    return vks_reader_bool(reader, item, where, "normalized", &out->is_normalized);
}

vkssm_status vks_read_added_tokens(const vks_reader *reader, const json_t *root) {
    vks_added_tokens *added = &reader->tokenizer->added;
    json_t *list;
    VKS_TRY(vks_reader_get(reader, root, "the file", "added_tokens", JSON_ARRAY, &list));
    size_t n = json_array_size(list), n_byte = 0;
    added->tokens = vks_alloc_zero(n, sizeof *added->tokens);
    if (!added->tokens) return vks_reader_oom(reader, "the added tokens");
    for (; added->n < n; added->n++) {
        vks_added_token *token = &added->tokens[added->n];
        VKS_TRY(read_added_token(reader, json_array_get(list, added->n), added->n, token));
        n_byte += token->size;
    }
    added->pool = vks_alloc(n_byte);
    if (!added->pool) return vks_reader_oom(reader, "the added tokens");
    char *end = added->pool;
    for (size_t i = 0; i < n; i++) {
        if (added->tokens[i].size) memcpy(end, added->tokens[i].content, added->tokens[i].size);
        added->tokens[i].content = end;
        end += added->tokens[i].size;
    }
    const vks_added_token *twice = vks_added_sort(added);
    if (!twice) return VKSSM_OK;
    return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: added token \"%.*s\" is listed twice", reader->name,
                    twice->size < 80 ? (int)twice->size : 80, twice->content);
}

// Who owns which id: an id has one token, and a token that is in both lists has the same id in both.
static vkssm_status fill_slots(const vks_reader *reader) {
    vkssm_tokenizer *t = reader->tokenizer;
    int32_t last = -1;
    for (size_t i = 0; i < t->bpe.n_vocab; i++)
        last = t->bpe.vocab[i].id > last ? t->bpe.vocab[i].id : last;
    for (size_t i = 0; i < t->added.n; i++)
        last = t->added.tokens[i].id > last ? t->added.tokens[i].id : last;
    t->n_token = (uint32_t)(last + 1);
    t->slots = vks_alloc_zero(t->n_token, sizeof *t->slots);
    if (!t->slots) return vks_reader_oom(reader, "the list of ids");
    for (size_t i = 0; i < t->bpe.n_vocab; i++) {
        int32_t id = t->bpe.vocab[i].id;
        if (t->slots[id])
            return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: model.vocab: two tokens have the id %d", reader->name,
                            id);
        t->slots[id] = (int32_t)i + 1;
    }
    for (size_t i = 0; i < t->added.n; i++) {
        const vks_added_token *token = &t->added.tokens[i];
        int shown = token->size < 80 ? (int)token->size : 80;
        int32_t *slot = &t->slots[token->id];
        const vks_vocab_entry *entry = vks_bpe_find_spelled(&t->bpe, token->content, token->size);
        int32_t in_vocab = entry ? entry->id : -1;
        if (in_vocab >= 0 && in_vocab != token->id)
            return vks_fail(reader->log, VKSSM_ERR_FORMAT,
                            "%s: added token \"%.*s\" has id %d, but id %d in model.vocab", reader->name, shown,
                            token->content, token->id, in_vocab);
        if (*slot && in_vocab != token->id)
            return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: added token \"%.*s\": another token has the id %d too",
                            reader->name, shown, token->content, token->id);
        *slot = -(int32_t)i - 1;
    }
    return VKSSM_OK;
}

// bos_token, eos_token: a string or {"content": string}. A name that is no token leaves -1 and a warning.
static vkssm_status read_config_token(const vks_reader *reader, const json_t *config, const char *key, int32_t *out) {
    json_t *value = json_object_get(config, key);
    if (json_is_object(value)) value = json_object_get(value, "content");
    if (!value || json_is_null(value)) return VKSSM_OK;
    if (!json_is_string(value))
        return vks_fail(reader->log, VKSSM_ERR_FORMAT,
                        "%s: \"%s\" must be a string or an object with \"content\", found %s", reader->name, key,
                        vks_json_kind(value));
    int32_t id = vks_tokenizer_find(reader->tokenizer, json_string_value(value), json_string_length(value));
    if (id < 0)
        vks_log(reader->log, VKSSM_LOG_WARNING, "%s: \"%s\" is \"%.80s\", which is no token of the tokenizer",
                reader->name, key, json_string_value(value));
    else
        *out = id;
    return VKSSM_OK;
}

static vkssm_status read_config(const vks_reader *reader, const char *text, size_t size, int32_t template_bos) {
    vkssm_tokenizer *t = reader->tokenizer;
    json_t *config;
    VKS_TRY(vks_reader_parse(reader, text, size, &config));
    vkssm_status status = read_config_token(reader, config, "bos_token", &t->bos);
    if (status == VKSSM_OK) status = read_config_token(reader, config, "eos_token", &t->eos);
    if (status == VKSSM_OK) status = vks_reader_bool(reader, config, "the file", "add_bos_token", &t->adds_bos);
    json_decref(config);
    if (template_bos >= 0) t->bos = template_bos; // what the post-processor puts in front is the begin token
    if (status == VKSSM_OK && t->adds_bos && t->bos < 0)
        return vks_fail(reader->log, VKSSM_ERR_FORMAT,
                        "%s: add_bos_token is true, but bos_token names no token of the tokenizer", reader->name);
    return status;
}

static vkssm_status read_root(const vks_reader *reader, const json_t *root, int32_t *template_bos) {
    vkssm_tokenizer *t = reader->tokenizer;
    VKS_TRY(vks_read_added_tokens(reader, root));
    VKS_TRY(vks_read_model(reader, root));
    VKS_TRY(fill_slots(reader));
    VKS_TRY(vks_read_merges(reader, json_object_get(root, "model")));
    VKS_TRY(vks_read_normalizer(reader, root));
    if (!vks_added_index(&t->added, t->nfc)) return vks_reader_oom(reader, "the added tokens");
    VKS_TRY(vks_read_pretokenizer(reader, root));
    VKS_TRY(vks_read_decoder(reader, root));
    return vks_read_post_processor(reader, root, template_bos);
}

vkssm_status vks_tokenizer_read(vkssm_tokenizer *tokenizer, const char *name, const char *text, size_t text_size,
                                const char *config_name, const char *config, size_t config_size) {
    vks_reader reader = {.name = name, .log = &tokenizer->log, .tokenizer = tokenizer};
    int32_t template_bos = -1;
    json_t *root;
    tokenizer->bos = tokenizer->eos = -1;
    VKS_TRY(vks_reader_parse(&reader, text, text_size, &root));
    vkssm_status status = read_root(&reader, root, &template_bos);
    json_decref(root);
    VKS_TRY(status);
    tokenizer->bos = template_bos;
    tokenizer->adds_bos = template_bos >= 0;
    reader.name = config_name;
    return config ? read_config(&reader, config, config_size, template_bos) : VKSSM_OK;
}

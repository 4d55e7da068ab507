#include "gguf_tokenizer.h"

#include <string.h>

#include "host/base/alloc.h"
#include "models/tokenizer/tokenizer_lists.h"

#define KEY "tokenizer.ggml."

static bool is(vks_gguf_text text, const char *word) {
    return text.size == strlen(word) && memcmp(text.text, word, text.size) == 0;
}

static vkssm_status out_of_memory(const vks_gguf *gguf) {
    return vks_fail(gguf->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the tokenizer", gguf->path);
}

static vkssm_status read_texts(const vks_gguf *gguf, const char *key, vks_token_text **out, size_t *n) {
    const vks_gguf_value *array;
    VKS_TRY(vks_gguf_require(gguf, key));
    VKS_TRY(vks_gguf_array(gguf, key, VKS_GGUF_STRING, &array));
    *out = vks_alloc_zero((size_t)array->n, sizeof **out); // each has 8 bytes of the file, so the number is no lie
    if (!*out) return out_of_memory(gguf);
    const uint8_t *place = array->data;
    for (*n = 0; *n < array->n; ++*n) {
        vks_gguf_text text = vks_gguf_next_string(&place);
        (*out)[*n] = (vks_token_text){text.text, text.size};
    }
    return VKSSM_OK;
}

// An array with an item for each token, or none.
static vkssm_status find_items(const vks_gguf *gguf, const char *key, vks_gguf_type type, size_t n,
                               const vks_gguf_value **out) {
    VKS_TRY(vks_gguf_array(gguf, key, type, out));
    if (!*out || (*out)->n == n) return VKSSM_OK;
    return vks_fail(gguf->log, VKSSM_ERR_FORMAT, "%s: key %s: %zu items expected, as many as tokens, %llu found",
                    gguf->path, key, n, (unsigned long long)(*out)->n);
}

static vkssm_status read_types_and_scores(const vks_gguf *gguf, vks_token_lists *lists) {
    const vks_gguf_value *types, *scores;
    VKS_TRY(find_items(gguf, KEY "token_type", VKS_GGUF_I32, lists->n_token, &types));
    VKS_TRY(find_items(gguf, KEY "scores", VKS_GGUF_F32, lists->n_token, &scores));
    if (lists->sentencepiece && !scores) return vks_gguf_require(gguf, KEY "scores");
    if (types) {
        lists->types = vks_alloc_zero(lists->n_token, sizeof *lists->types);
        if (!lists->types) return out_of_memory(gguf);
        for (size_t i = 0; i < lists->n_token; i++)
            lists->types[i] = vks_gguf_int_at(types, i);
    }
    if (!lists->sentencepiece) return VKSSM_OK;
    lists->scores = vks_alloc_zero(lists->n_token, sizeof *lists->scores);
    if (!lists->scores) return out_of_memory(gguf);
    for (size_t i = 0; i < lists->n_token; i++)
        lists->scores[i] = vks_gguf_float_at(scores, i);
    return VKSSM_OK;
}

static vkssm_status read_id(const vks_gguf *gguf, const char *key, const vks_token_lists *lists, int32_t *out) {
    int64_t id = -1;
    VKS_TRY(vks_gguf_integer(gguf, key, 0, (int64_t)lists->n_token - 1, &id));
    *out = (int32_t)id;
    return VKSSM_OK;
}

static vkssm_status read_lists(const vks_gguf *gguf, vks_token_lists *lists) {
    vks_gguf_text pre = {0};
    VKS_TRY(read_texts(gguf, KEY "tokens", &lists->tokens, &lists->n_token));
    if (lists->n_token == 0) return VKSSM_OK; // refused later
    VKS_TRY(read_types_and_scores(gguf, lists));
    if (!lists->sentencepiece) VKS_TRY(read_texts(gguf, KEY "merges", &lists->merges, &lists->n_merge));
    VKS_TRY(vks_gguf_string(gguf, KEY "pre", &pre));
    if (pre.size >= sizeof lists->pre || (pre.size && memchr(pre.text, 0, pre.size)))
        return vks_fail(gguf->log, VKSSM_ERR_UNSUPPORTED,
                        "%s: key " KEY "pre: a name of at most %zu bytes expected, %zu found", gguf->path,
                        sizeof lists->pre - 1, pre.size);
    if (pre.size) memcpy(lists->pre, pre.text, pre.size);
    VKS_TRY(read_id(gguf, KEY "bos_token_id", lists, &lists->bos));
    VKS_TRY(read_id(gguf, KEY "eos_token_id", lists, &lists->eos));
    VKS_TRY(read_id(gguf, KEY "unknown_token_id", lists, &lists->unk));
    lists->adds_bos = lists->sentencepiece; // the readers' defaults
    lists->adds_space = true;
    if (lists->bos < 0) lists->adds_bos = false;
    VKS_TRY(vks_gguf_flag(gguf, KEY "add_bos_token", &lists->adds_bos));
    return vks_gguf_flag(gguf, KEY "add_space_prefix", &lists->adds_space);
}

vkssm_status vks_gguf_read_tokenizer(const vks_gguf *gguf, vkssm_tokenizer **out) {
    *out = NULL;
    vks_gguf_text model = {"none", 4};
    VKS_TRY(vks_gguf_string(gguf, KEY "model", &model));
    if (is(model, "none")) return VKSSM_OK;
    if (!is(model, "gpt2") && !is(model, "llama"))
        return vks_fail(gguf->log, VKSSM_ERR_UNSUPPORTED, "%s: key " KEY "model: gpt2 or llama expected, %.*s found",
                        gguf->path, model.size < 80 ? (int)model.size : 80, model.text);
    vks_token_lists lists = {.name = gguf->path, .sentencepiece = is(model, "llama"), .bos = -1, .eos = -1, .unk = -1};
    vkssm_status status = read_lists(gguf, &lists);
    if (status == VKSSM_OK) status = vks_tokenizer_from_lists(&lists, gguf->log, out);
    vks_free(lists.tokens);
    vks_free(lists.types);
    vks_free(lists.scores);
    vks_free(lists.merges);
    return status;
}

// Byte-level BPE from lists: written as the text of a tokenizer.json, so that one reader checks both.
#include "tokenizer_lists.h"

#include <stdlib.h>
#include <string.h>

#include "host/base/alloc.h"
#include "tokenizer_reader.h"
#include "unicode_text.h"

// ---- how words are cut ----------------------------------------------------------------------------------------------

#define LETTERS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define PUNCTUATION "[\\p{P}\\$\\+<=>\\^~\\|]+"
#define PUNCTUATION_FALCON "[\\p{P}\\$\\+<=>\\^~\\|`]+"

// Patterns whose matches stand alone, then the pattern of GPT-2 (unless `alone`), then the others.
typedef struct cutting {
    const char *names[8];
    const char *before[1], *after[2];
    bool alone, whole_words; // whole_words: a word that is a token is not merged
} cutting;

static const cutting cuttings[] = {
    {.names = {"gpt-2", "mpt", "olmo", "jais", "phi-2"}},
    {.names = {"starcoder", "refact", "command-r", "smollm", "codeshell"}, .before = {"\\p{N}"}},
    {.names = {"llama-bpe", "llama3", "llama-v3", "smaug-bpe"},
     .before = {CONTRACTIONS "|" LETTERS "|\\p{N}{1,3}|" REST},
     .alone = true,
     .whole_words = true},
    {.names = {"qwen2", "deepseek-r1-qwen"}, .before = {CONTRACTIONS "|" LETTERS "|\\p{N}|" REST}, .alone = true},
    {.names = {"falcon"}, .before = {PUNCTUATION_FALCON}, .after = {"[0-9][0-9][0-9]"}},
    {.names = {"default", ""}, .before = {PUNCTUATION}, .after = {"\\p{N}+", "[0-9][0-9][0-9]"}},
};

static const cutting *find_cutting(const char *name) {
    for (size_t i = 0; i < VKS_COUNT(cuttings); i++)
        for (size_t k = 0; k < VKS_COUNT(cuttings[i].names) && cuttings[i].names[k]; k++)
            if (strcmp(cuttings[i].names[k], name) == 0) return &cuttings[i];
    return NULL;
}

static json_t *split_step(const char *pattern) {
    return json_pack("{s:s, s:{s:s}, s:s}", "type", "Split", "pattern", "Regex", pattern, "behavior", "Isolated");
}

static json_t *make_pretokenizer(const cutting *c) {
    json_t *steps = json_array();
    int failed = 0;
    for (size_t i = 0; i < VKS_COUNT(c->before); i++)
        if (c->before[i]) failed |= json_array_append_new(steps, split_step(c->before[i]));
    for (size_t i = 0; i < VKS_COUNT(c->after); i++) // its spelling comes last, so these see the text itself
        if (c->after[i] && i == 0)
            failed |= json_array_append_new(
                steps,
                split_step("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"));
    for (size_t i = 0; i < VKS_COUNT(c->after); i++)
        if (c->after[i]) failed |= json_array_append_new(steps, split_step(c->after[i]));
    bool by_pattern = !c->alone && !c->after[0];
    failed |= json_array_append_new(
        steps, json_pack("{s:s, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "use_regex", by_pattern));
    json_t *all = failed ? NULL : json_pack("{s:s, s:O}", "type", "Sequence", "pretokenizers", steps);
    json_decref(steps);
    return all;
}

// ---- the file's text ------------------------------------------------------------------------------------------------

typedef struct builder {
    const vks_token_lists *lists;
    const vkssm_log *log;
    json_t *vocab, *added, *merges; // owned until they are part of the root
} builder;

static vkssm_status out_of_memory(const builder *b) {
    return vks_fail(b->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the tokenizer", b->lists->name);
}

static vkssm_status add_token(const builder *b, size_t id) {
    vks_token_text token = b->lists->tokens[id];
    int32_t type = b->lists->types ? b->lists->types[id] : VKS_TOKEN_NORMAL;
    bool special = type == VKS_TOKEN_CONTROL || type == VKS_TOKEN_UNKNOWN;
    if (type == VKS_TOKEN_UNUSED) return VKSSM_OK;
    size_t bad;
    if (memchr(token.text, 0, token.size) || !vks_utf8_check(token.text, token.size, &bad))
        return vks_fail(b->log, VKSSM_ERR_FORMAT, "%s: token %zu: UTF-8 without a zero expected, other bytes found",
                        b->lists->name, id);
    int failed;
    json_t *text = json_stringn(token.text, token.size);
    if (!text) return out_of_memory(b);
    if (special || type == VKS_TOKEN_USER_DEFINED) {
        failed = json_array_append_new(b->added, json_pack("{s:O, s:i, s:b, s:b}", "content", text, "id", (int)id,
                                                           "special", special, "normalized", 0));
    } else if (json_object_get(b->vocab, json_string_value(text))) {
        vkssm_status status =
            vks_fail(b->log, VKSSM_ERR_FORMAT, "%s: token %zu: \"%.80s\" is there twice, expected once", b->lists->name,
                     id, json_string_value(text));
        json_decref(text);
        return status;
    } else {
        failed = json_object_set_new(b->vocab, json_string_value(text), json_integer((json_int_t)id));
    }
    json_decref(text);
    return failed ? out_of_memory(b) : VKSSM_OK;
}

static vkssm_status add_merge(const builder *b, size_t rank) {
    vks_token_text merge = b->lists->merges[rank];
    size_t bad;
    if (!vks_utf8_check(merge.text, merge.size, &bad))
        return vks_fail(b->log, VKSSM_ERR_FORMAT, "%s: merge %zu: UTF-8 expected, other bytes found", b->lists->name,
                        rank);
    return json_array_append_new(b->merges, json_stringn(merge.text, merge.size)) ? out_of_memory(b) : VKSSM_OK;
}

static vkssm_status build(const builder *b, const cutting *c, char **text) {
    *text = NULL;
    if (!b->vocab || !b->added || !b->merges) return out_of_memory(b);
    for (size_t i = 0; i < b->lists->n_token; i++)
        VKS_TRY(add_token(b, i));
    for (size_t i = 0; i < b->lists->n_merge; i++)
        VKS_TRY(add_merge(b, i));
    json_t *root = json_pack("{s:O, s:o, s:{s:s}, s:{s:s, s:O, s:O, s:b}}", "added_tokens", b->added, "pre_tokenizer",
                             make_pretokenizer(c), "decoder", "type", "ByteLevel", "model", "type", "BPE", "vocab",
                             b->vocab, "merges", b->merges, "ignore_merges", c->whole_words);
    *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return *text ? VKSSM_OK : out_of_memory(b);
}

vkssm_status vks_tokenizer_from_merges(const vks_token_lists *lists, const vkssm_log *log, vkssm_tokenizer **out) {
    const cutting *c = find_cutting(lists->pre);
    if (!c)
        return vks_fail(
            log, VKSSM_ERR_UNSUPPORTED,
            "%s: key tokenizer.ggml.pre: one of gpt-2, starcoder, llama-bpe, qwen2, falcon, default and their "
            "like expected, %s found",
            lists->name, lists->pre);
    if (!lists->pre[0])
        vks_log(log, VKSSM_LOG_WARNING, "%s: key tokenizer.ggml.pre is missing: \"default\"", lists->name);
    builder b = {lists, log, json_object(), json_array(), json_array()};
    char *text;
    vkssm_status status = build(&b, c, &text);
    json_decref(b.vocab);
    json_decref(b.added);
    json_decref(b.merges);
    if (status == VKSSM_OK) status = vks_tokenizer_parse(lists->name, text, strlen(text), NULL, NULL, 0, log, out);
    free(text); // jansson's
    if (status == VKSSM_OK)
        memcpy((*out)->pre, lists->pre[0] ? lists->pre : "default", lists->pre[0] ? sizeof lists->pre : 8);
    return status;
}

// ---- both kinds -----------------------------------------------------------------------------------------------------

static vkssm_status set_token(const vks_token_lists *lists, const vkssm_log *log, const char *key, int32_t id,
                              const vkssm_tokenizer *t, int32_t *out) {
    if (id >= 0 && ((uint32_t)id >= t->n_token || !t->slots[id]))
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: key tokenizer.ggml.%s: the id of a token expected, %d found",
                        lists->name, key, id);
    *out = id;
    return VKSSM_OK;
}

vkssm_status vks_tokenizer_from_lists(const vks_token_lists *lists, const vkssm_log *log, vkssm_tokenizer **out) {
    *out = NULL;
    if (lists->n_token == 0 || lists->n_token > VKS_MAX_TOKEN_ID)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: 1 to %d tokens expected, %zu found", lists->name, VKS_MAX_TOKEN_ID,
                        lists->n_token);
    VKS_TRY(lists->sentencepiece ? vks_tokenizer_from_pieces(lists, log, out)
                                 : vks_tokenizer_from_merges(lists, log, out));
    vkssm_tokenizer *t = *out;
    vkssm_status status = set_token(lists, log, "bos_token_id", lists->bos, t, &t->bos);
    if (status == VKSSM_OK) status = set_token(lists, log, "eos_token_id", lists->eos, t, &t->eos);
    t->adds_bos = lists->adds_bos;
    if (status == VKSSM_OK && t->adds_bos && t->bos < 0)
        status = vks_fail(log, VKSSM_ERR_FORMAT,
                          "%s: key tokenizer.ggml.add_bos_token is true, but there is no bos_token_id", lists->name);
    if (status != VKSSM_OK) vkssm_tokenizer_destroy(out);
    return status;
}

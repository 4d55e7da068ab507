// Normalizer, pre-tokenizer, post-processor and decoder of tokenizer.json.
#include "tokenizer_reader.h"

#include <stdio.h>
#include <string.h>

// The published pattern of GPT-2's tokenizer, which is what ByteLevel means.
static const char gpt2_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char digit_pattern[] = "\\p{N}";
static const char punctuation_pattern[] = "[!-\\/:-@\\[-`{-~\\p{P}]";

static vkssm_status unsupported(const vks_reader *reader, const char *part, const char *type, const char *supported) {
    return vks_fail(reader->log, VKSSM_ERR_UNSUPPORTED, "%s: %s type \"%.80s\" is not supported (supported: %s)",
                    reader->name, part, type ? type : "", supported);
}

// A component may be a Sequence of components, to any depth that the JSON parser allowed.
typedef vkssm_status read_one(const vks_reader *reader, const json_t *component, const char *type, void *user);

static vkssm_status read_component(const vks_reader *reader, const json_t *component, const char *part,
                                   const char *list_key, read_one *read, void *user) {
    const char *type;
    json_t *list;
    VKS_TRY(vks_reader_type(reader, component, part, &type));
    if (!type || strcmp(type, "Sequence") != 0) return read(reader, component, type, user);
    VKS_TRY(vks_reader_get(reader, component, part, list_key, JSON_ARRAY, &list));
    if (!list)
        return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: %s: a Sequence has no \"%s\"", reader->name, part,
                        list_key);
    for (size_t i = 0; i < json_array_size(list); i++)
        VKS_TRY(read_component(reader, json_array_get(list, i), part, list_key, read, user));
    return VKSSM_OK;
}

static vkssm_status read_part(const vks_reader *reader, const json_t *root, const char *part, const char *list_key,
                              read_one *read, void *user) {
    json_t *component;
    VKS_TRY(vks_reader_get(reader, root, "the file", part, JSON_OBJECT, &component));
    return component ? read_component(reader, component, part, list_key, read, user) : VKSSM_OK;
}

static vkssm_status read_normalizer(const vks_reader *reader, const json_t *component, const char *type, void *user) {
    (void)component;
    (void)user;
    if (!type || strcmp(type, "NFC") != 0) return unsupported(reader, "normalizer", type, "NFC, Sequence");
    reader->tokenizer->nfc = true;
    return VKSSM_OK;
}

vkssm_status vks_read_normalizer(const vks_reader *reader, const json_t *root) {
    return read_part(reader, root, "normalizer", "normalizers", read_normalizer, NULL);
}

static vkssm_status add_step(const vks_reader *reader, const char *type, const char *pattern, size_t pattern_size,
                             bool literal, vks_pretoken_step step) {
    vks_pretokenizer *pretokenizer = &reader->tokenizer->pretokenizer;
    char name[400];
    snprintf(name, sizeof name, "%.300s: pre_tokenizer %s", reader->name, type);
    if (pattern)
        VKS_TRY(
            vks_pattern_compile(&pretokenizer->env, name, pattern, pattern_size, literal, reader->log, &step.pattern));
    if (vks_pretokenizer_add(pretokenizer, step)) return VKSSM_OK;
    pcre2_code_free(step.pattern);
    return vks_reader_oom(reader, "the pre-tokenizer");
}

static vkssm_status read_byte_level(const vks_reader *reader, const json_t *component) {
    bool use_regex = true;
    vks_pretoken_step step = {.behavior = VKS_SPLIT_ISOLATED, .add_space = true, .spells_bytes = true};
    const vks_pretokenizer *pretokenizer = &reader->tokenizer->pretokenizer;
    for (size_t i = 0; i < pretokenizer->n_step; i++)
        if (pretokenizer->steps[i].spells_bytes)
            return vks_fail(reader->log, VKSSM_ERR_UNSUPPORTED, "%s: pre_tokenizer: more than one ByteLevel",
                            reader->name);
    VKS_TRY(vks_reader_bool(reader, component, "pre_tokenizer ByteLevel", "use_regex", &use_regex));
    VKS_TRY(vks_reader_bool(reader, component, "pre_tokenizer ByteLevel", "add_prefix_space", &step.add_space));
    return add_step(reader, "ByteLevel", use_regex ? gpt2_pattern : NULL, sizeof gpt2_pattern - 1, false, step);
}

static vkssm_status read_behavior(const vks_reader *reader, const json_t *component, const char *where,
                                  vks_split_behavior *out) {
    static const struct {
        const char *name;
        vks_split_behavior behavior;
    } behaviors[] = {{"Removed", VKS_SPLIT_REMOVED},
                     {"Isolated", VKS_SPLIT_ISOLATED},
                     {"MergedWithPrevious", VKS_SPLIT_MERGED_WITH_PREVIOUS},
                     {"MergedWithNext", VKS_SPLIT_MERGED_WITH_NEXT},
                     {"Contiguous", VKS_SPLIT_CONTIGUOUS}};
    json_t *value;
    VKS_TRY(vks_reader_get(reader, component, where, "behavior", JSON_STRING, &value));
    if (!value) return VKSSM_OK;
    for (size_t i = 0; i < sizeof behaviors / sizeof behaviors[0]; i++) {
        if (strcmp(json_string_value(value), behaviors[i].name) != 0) continue;
        *out = behaviors[i].behavior;
        return VKSSM_OK;
    }
    return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: %s: unknown behavior \"%.80s\"", reader->name, where,
                    json_string_value(value));
}

static vkssm_status read_split(const vks_reader *reader, const json_t *component) {
    const char *where = "pre_tokenizer Split";
    json_t *pattern, *text;
    vks_pretoken_step step = {.behavior = VKS_SPLIT_ISOLATED};
    VKS_TRY(vks_reader_get(reader, component, where, "pattern", JSON_OBJECT, &pattern));
    VKS_TRY(vks_reader_get(reader, pattern, where, "Regex", JSON_STRING, &text));
    bool literal = !text;
    if (literal) VKS_TRY(vks_reader_get(reader, pattern, where, "String", JSON_STRING, &text));
    if (!text)
        return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: %s: \"pattern\" must hold \"Regex\" or \"String\"",
                        reader->name, where);
    VKS_TRY(read_behavior(reader, component, where, &step.behavior));
    VKS_TRY(vks_reader_bool(reader, component, where, "invert", &step.invert));
    return add_step(reader, "Split", json_string_value(text), json_string_length(text), literal, step);
}

static vkssm_status read_digits(const vks_reader *reader, const json_t *component) {
    bool individual = false;
    VKS_TRY(vks_reader_bool(reader, component, "pre_tokenizer Digits", "individual_digits", &individual));
    vks_pretoken_step step = {.behavior = individual ? VKS_SPLIT_ISOLATED : VKS_SPLIT_CONTIGUOUS};
    return add_step(reader, "Digits", digit_pattern, sizeof digit_pattern - 1, false, step);
}

static vkssm_status read_punctuation(const vks_reader *reader, const json_t *component) {
    vks_pretoken_step step = {.behavior = VKS_SPLIT_ISOLATED};
    VKS_TRY(read_behavior(reader, component, "pre_tokenizer Punctuation", &step.behavior));
    return add_step(reader, "Punctuation", punctuation_pattern, sizeof punctuation_pattern - 1, false, step);
}

static vkssm_status read_pretokenizer(const vks_reader *reader, const json_t *component, const char *type, void *user) {
    (void)user;
    if (type && strcmp(type, "ByteLevel") == 0) return read_byte_level(reader, component);
    if (type && strcmp(type, "Split") == 0) return read_split(reader, component);
    if (type && strcmp(type, "Digits") == 0) return read_digits(reader, component);
    if (type && strcmp(type, "Punctuation") == 0) return read_punctuation(reader, component);
    return unsupported(reader, "pre_tokenizer", type, "ByteLevel, Split, Digits, Punctuation, Sequence");
}

vkssm_status vks_read_pretokenizer(const vks_reader *reader, const json_t *root) {
    vks_pretokenizer *pretokenizer = &reader->tokenizer->pretokenizer;
    if (!vks_pattern_env_init(&pretokenizer->env)) return vks_reader_oom(reader, "the pre-tokenizer");
    VKS_TRY(read_part(reader, root, "pre_tokenizer", "pretokenizers", read_pretokenizer, NULL));
    for (size_t i = 0; i < pretokenizer->n_step; i++)
        if (pretokenizer->steps[i].spells_bytes) return VKSSM_OK;
    return vks_fail(reader->log, VKSSM_ERR_UNSUPPORTED,
                    "%s: pre_tokenizer: without ByteLevel the BPE is not byte-level", reader->name);
}

static vkssm_status read_decoder(const vks_reader *reader, const json_t *component, const char *type, void *user) {
    (void)component;
    (void)user;
    if (type && strcmp(type, "ByteLevel") == 0) return VKSSM_OK;
    return unsupported(reader, "decoder", type, "ByteLevel, Sequence");
}

vkssm_status vks_read_decoder(const vks_reader *reader, const json_t *root) {
    return read_part(reader, root, "decoder", "decoders", read_decoder, NULL);
}

// The id of a template's special token: its entry in "special_tokens" holds the ids it stands for.
static vkssm_status template_token(const vks_reader *reader, const json_t *component, const json_t *item,
                                   int32_t *out) {
    const char *where = "post_processor TemplateProcessing";
    json_t *name, *tokens, *entry = NULL, *ids = NULL;
    VKS_TRY(vks_reader_get(reader, item, where, "id", JSON_STRING, &name));
    VKS_TRY(vks_reader_get(reader, component, where, "special_tokens", JSON_OBJECT, &tokens));
    if (name) VKS_TRY(vks_reader_get(reader, tokens, where, json_string_value(name), JSON_OBJECT, &entry));
    VKS_TRY(vks_reader_get(reader, entry, where, "ids", JSON_ARRAY, &ids));
    if (!ids)
        return vks_fail(reader->log, VKSSM_ERR_FORMAT,
                        "%s: %s: special token \"%.80s\" has no \"ids\" in \"special_tokens\"", reader->name, where,
                        name ? json_string_value(name) : "");
    if (json_array_size(ids) != 1)
        return vks_fail(reader->log, VKSSM_ERR_UNSUPPORTED,
                        "%s: %s: special token \"%.80s\" must stand for 1 id, found %zu", reader->name, where,
                        json_string_value(name), json_array_size(ids));
    int32_t id = -1;
    VKS_TRY(vks_reader_id(reader, json_array_get(ids, 0), where, json_string_value(name), &id));
    if ((uint32_t)id >= reader->tokenizer->n_token || !reader->tokenizer->slots[id])
        return vks_fail(reader->log, VKSSM_ERR_FORMAT, "%s: %s: \"%.80s\" has id %d, which is no token", reader->name,
                        where, json_string_value(name), id);
    *out = id;
    return VKSSM_OK;
}

// One special token in front of the text is the begin token. Others are left to the caller, with a warning.
static vkssm_status read_template(const vks_reader *reader, const json_t *component, int32_t *bos) {
    const char *where = "post_processor TemplateProcessing";
    json_t *single, *item;
    VKS_TRY(vks_reader_get(reader, component, where, "single", JSON_ARRAY, &single));
    for (size_t i = 0; i < json_array_size(single); i++) {
        VKS_TRY(vks_reader_get(reader, json_array_get(single, i), where, "SpecialToken", JSON_OBJECT, &item));
        if (!item) continue;
        int32_t id = -1;
        VKS_TRY(template_token(reader, component, item, &id));
        if (i == 0)
            *bos = id;
        else
            vks_log(reader->log, VKSSM_LOG_WARNING, "%s: %s: id %d after the text is not added", reader->name, where,
                    id);
    }
    return VKSSM_OK;
}

static vkssm_status read_post_processor(const vks_reader *reader, const json_t *component, const char *type,
                                        void *user) {
    if (type && strcmp(type, "ByteLevel") == 0) return VKSSM_OK; // offsets only
    if (type && strcmp(type, "TemplateProcessing") == 0) return read_template(reader, component, user);
    return unsupported(reader, "post_processor", type, "ByteLevel, TemplateProcessing, Sequence");
}

vkssm_status vks_read_post_processor(const vks_reader *reader, const json_t *root, int32_t *bos) {
    return read_part(reader, root, "post_processor", "processors", read_post_processor, bos);
}

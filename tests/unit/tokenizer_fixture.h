// Tokenizers made from JSON with some members changed, for the tests of the tokenizer.
#ifndef TOKENIZER_FIXTURE_H
#define TOKENIZER_FIXTURE_H

#include "harness/check.h"

#include <jansson.h>

#include "host/base/alloc.h"
#include "models/tokenizer/tokenizer_internal.h"

// ------------------------------------------------------------------------------------------------------

// A tokenizer with only some bytes, for cases that spell everything out.
#define SMALL(rest)                                                                                                    \
    "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}, "               \
    "\"added_tokens\": [{\"id\": 7, \"content\": \"<s>\", \"special\": true}, {\"id\": 9, \"content\": \"\u2603\"}], " \
    "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"aba\": 4}, "                          \
    "\"merges\": [\"a b\", [\"ab\", \"a\"]]}" rest "}"

// Changes for the function below.
#define MODEL(x) "{\"model\": {" x "}}"
#define PRE(x) "{\"pre_tokenizer\": " x "}"

// The fixture with the members of `changes` in place of its own; those of "model" and of its "vocab" one by one.
static inline json_t *change(const json_t *base, json_t *changes) {
    json_t *json = json_deep_copy(base), *model = json_object_get(json, "model"), *value;
    const char *key, *inner_key;
    json_t *inner;
    json_object_foreach(changes, key, value) {
        if (strcmp(key, "model") != 0 || !json_is_object(value)) {
            json_object_set(json, key, value);
            continue;
        }
        json_object_foreach(value, inner_key, inner) {
            if (strcmp(inner_key, "vocab") == 0 && json_is_object(inner))
                json_object_update(json_object_get(model, "vocab"), inner);
            else
                json_object_set(model, inner_key, inner);
        }
    }
    return json;
}

static inline vkssm_status parse(const json_t *json, const char *config, const vkssm_log *log, vkssm_tokenizer **out) {
    char *text = json_dumps(json, JSON_COMPACT);
    vkssm_status status = vks_tokenizer_parse("tokenizer.json", text, strlen(text), "tokenizer_config.json", config,
                                              config ? strlen(config) : 0, log, out);
    free(text);
    return status;
}

#endif

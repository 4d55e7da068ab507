// Reading JSON values with messages that name file and key.
#ifndef VKS_TOKENIZER_READER_H
#define VKS_TOKENIZER_READER_H

#include <jansson.h>

#include "tokenizer_internal.h"

typedef struct vks_reader {
    const char *name; // of the file, for messages
    const vkssm_log *log;
    vkssm_tokenizer *tokenizer;
} vks_reader;

const char *vks_json_kind(const json_t *value); // "object", "null", ... for messages

// Parse text whose top level must be an object.
vkssm_status vks_reader_parse(const vks_reader *reader, const char *text, size_t size, json_t **out);

// The member, or NULL if it is absent or null. Any other type than `type` is ERR_FORMAT. `where` names the object.
vkssm_status vks_reader_get(const vks_reader *reader, const json_t *object, const char *where, const char *key,
                            json_type type, json_t **out);
// The same for booleans; absent: *out stays.
vkssm_status vks_reader_bool(const vks_reader *reader, const json_t *object, const char *where, const char *key,
                             bool *out);
// The "type" of a component; NULL if it has none.
vkssm_status vks_reader_type(const vks_reader *reader, const json_t *object, const char *where, const char **out);
vkssm_status vks_reader_id(const vks_reader *reader, const json_t *value, const char *what, const char *token,
                           int32_t *out);
vkssm_status vks_reader_oom(const vks_reader *reader, const char *what);

// The parts of tokenizer.json.
vkssm_status vks_read_added_tokens(const vks_reader *reader, const json_t *root);
vkssm_status vks_read_model(const vks_reader *reader,
                            const json_t *root); // vocabulary and merges; after the added tokens
vkssm_status vks_read_merges(const vks_reader *reader, const json_t *model);
vkssm_status vks_read_normalizer(const vks_reader *reader, const json_t *root);
vkssm_status vks_read_pretokenizer(const vks_reader *reader, const json_t *root);
// *bos: the id of a special token that the post-processor puts in front, or as it was.
vkssm_status vks_read_post_processor(const vks_reader *reader, const json_t *root, int32_t *bos);
vkssm_status vks_read_decoder(const vks_reader *reader, const json_t *root);

#endif

// JSON of unknown origin as jansson values, with one clear message when it is not what it should be.
#ifndef VKS_JSON_FILE_H
#define VKS_JSON_FILE_H

#include <jansson.h>

#include "host/base/status.h"

// Parse `text`, whose top level must be an object; duplicate keys are refused. Messages say "NAME: the PART is ...".
// `flags`: further decoding flags of jansson. *out: release with json_decref.
vkssm_status vks_json_parse(const char *name, const char *part, const char *text, size_t text_size, size_t flags,
                            const vkssm_log *log, json_t **out);

// The same for JSON as Python writes it: the literals NaN, Infinity and -Infinity become objects
// {"__float__": "NaN"} and so on. Every number becomes a real one, because Python's integers have no largest value and
// one that nobody asks for must not make the file unreadable.
vkssm_status vks_json_parse_python(const char *name, const char *text, size_t text_size, const vkssm_log *log,
                                   json_t **out);
vkssm_status vks_json_read_python(const char *path, const vkssm_log *log, json_t **out);

// What `value` is, in words for a message: "7", "\"text\"", "an array of 3". `value` may be NULL: "missing".
#define VKS_JSON_WORDS_SIZE 64
const char *vks_json_words(const json_t *value, char words[VKS_JSON_WORDS_SIZE]);

#endif

#include "json_file.h"

#include <stdio.h>
#include <string.h>

#include "host/base/alloc.h"
#include "host/base/file.h"

// Far above every config.json and shard index; keeps a hostile file from taking many times its size in memory.
#define MAX_FILE_SIZE ((uint64_t)64 << 20)

const char *vks_json_words(const json_t *value, char words[VKS_JSON_WORDS_SIZE]) {
    const size_t size = VKS_JSON_WORDS_SIZE;
    if (!value)
        snprintf(words, size, "missing");
    else if (json_is_integer(value))
        snprintf(words, size, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(words, size, "%.10g", json_real_value(value));
    else if (json_is_string(value))
        snprintf(words, size, "\"%.40s\"", json_string_value(value));
    else if (json_is_boolean(value))
        snprintf(words, size, "%s", json_is_true(value) ? "true" : "false");
    else if (json_is_array(value))
        snprintf(words, size, "an array of %llu", (unsigned long long)json_array_size(value));
    else
        snprintf(words, size, "%s", json_is_object(value) ? "an object" : "null");
    return words;
}

vkssm_status vks_json_parse(const char *name, const char *part, const char *text, size_t text_size, size_t flags,
                            const vkssm_log *log, json_t **out) {
    *out = NULL;
    if (text_size == 0)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: the %s is empty, expected a JSON object", name, part);
    json_error_t error;
    json_t *root = json_loadb(text, text_size, flags | JSON_REJECT_DUPLICATES, &error);
    // Most allocations that fail inside the parser leave no code and no text.
    if (!root && (json_error_code(&error) == json_error_out_of_memory || !error.text[0]))
        return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while parsing the %s", name, part);
    if (!root)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: the %s is not valid JSON: line %d: %s", name, part, error.line,
                        error.text);
    if (!json_is_object(root)) {
        char words[VKS_JSON_WORDS_SIZE];
        vks_json_words(root, words);
        json_decref(root);
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: the top level of the %s is %s, expected a JSON object", name, part,
                        words);
    }
    *out = root;
    return VKSSM_OK;
}

// ---- Python's literals ----------------------------------------------------------------------------------------------

typedef struct literal {
    const char *text, *object;
} literal;

static const literal literals[] = {
    {"NaN", "{\"__float__\":\"NaN\"}"},
    {"Infinity", "{\"__float__\":\"Infinity\"}"},
    {"-Infinity", "{\"__float__\":\"-Infinity\"}"},
};

// The literal that begins at text[at], NULL if there is none. Its neighbours need no look: JSON has nothing that a
// value may follow or precede directly but space and punctuation, so what is glued to another word stays an error.
static const literal *literal_at(const char *text, size_t size, size_t at) {
    for (size_t i = 0; i < VKS_COUNT(literals); i++) {
        size_t n = strlen(literals[i].text);
        if (size - at >= n && memcmp(text + at, literals[i].text, n) == 0) return &literals[i];
    }
    return NULL;
}

// Copy `text` to `out` with the literals outside strings replaced; with `out` NULL only measure. Returns the size.
static uint64_t rewrite(const char *text, size_t size, char *out) {
    uint64_t n_out = 0;
    bool in_string = false;
    for (size_t i = 0; i < size;) {
        const literal *found = in_string ? NULL : literal_at(text, size, i);
        // A backslash takes the next character with it, so that \" does not end the string.
        size_t n = found ? strlen(found->text) : in_string && text[i] == '\\' && size - i > 1 ? 2 : 1;
        size_t n_written = found ? strlen(found->object) : n;
        if (out) memcpy(out + n_out, found ? found->object : text + i, n_written);
        if (text[i] == '"') in_string = !in_string;
        n_out += n_written;
        i += n;
    }
    return n_out;
}

vkssm_status vks_json_parse_python(const char *name, const char *text, size_t text_size, const vkssm_log *log,
                                   json_t **out) {
    *out = NULL;
    size_t first = 0;
    while (first < text_size && memchr(" \t\r\n", text[first], 4))
        first++;
    // Rewriting would make an object of it.
    const literal *top = first < text_size ? literal_at(text, text_size, first) : NULL;
    if (top)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: the top level of the file is %s, expected a JSON object", name,
                        top->text);
    uint64_t size = rewrite(text, text_size, NULL);
    if (size == text_size) // every replacement is longer than its literal
        return vks_json_parse(name, "file", text, text_size, JSON_DECODE_INT_AS_REAL, log, out);
    char *copy = size <= SIZE_MAX ? vks_alloc((size_t)size) : NULL;
    if (!copy) return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while parsing the file", name);
    rewrite(text, text_size, copy);
    vkssm_status status = vks_json_parse(name, "file", copy, (size_t)size, JSON_DECODE_INT_AS_REAL, log, out);
    vks_free(copy);
    return status;
}

vkssm_status vks_json_read_python(const char *path, const vkssm_log *log, json_t **out) {
    *out = NULL;
    vks_file_map map;
    VKS_TRY(vks_file_map_open(path, log, &map));
    vkssm_status status;
    if (map.size > MAX_FILE_SIZE)
        status = vks_fail(log, VKSSM_ERR_FORMAT, "%s: the file has %llu bytes, expected at most %llu of JSON", path,
                          (unsigned long long)map.size, (unsigned long long)MAX_FILE_SIZE);
    else
        status = vks_json_parse_python(path, (const char *)map.data, (size_t)map.size, log, out);
    vks_file_map_close(&map);
    return status;
}

#include "config.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "host/base/alloc.h"
#include "json_file.h"

struct vks_config {
    char *path;
    json_t *root;
    vkssm_log log;
};

static vkssm_status create(const char *name, const vkssm_log *log, json_t *root, vks_config **out) {
    vks_config *config = vks_alloc_zero(1, sizeof *config);
    char *path = vks_strdup(name);
    if (!config || !path) {
        vks_free(config);
        vks_free(path);
        json_decref(root);
        return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while reading the file", name);
    }
    config->path = path;
    config->root = root;
    if (log) config->log = *log;
    *out = config;
    return VKSSM_OK;
}

vkssm_status vks_config_open(const char *path, const vkssm_log *log, vks_config **out) {
    *out = NULL;
    json_t *root;
    VKS_TRY(vks_json_read_python(path, log, &root));
    return create(path, log, root, out);
}

vkssm_status vks_config_parse(const char *name, const char *text, size_t text_size, const vkssm_log *log,
                              vks_config **out) {
    *out = NULL;
    json_t *root;
    VKS_TRY(vks_json_parse_python(name, text, text_size, log, &root));
    return create(name, log, root, out);
}

void vks_config_destroy(vks_config **config) {
    if (!*config) return;
    json_decref((*config)->root);
    vks_free((*config)->path);
    vks_free(*config);
    *config = NULL;
}

const char *vks_config_path(const vks_config *config) {
    return config->path;
}

const vkssm_log *vks_config_log(const vks_config *config) {
    return &config->log;
}

// ---- look-up --------------------------------------------------------------------------------------------------------

// The member whose name is the first `n` bytes of `key`.
static json_t *member(json_t *object, const char *key, size_t n) {
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        if (strncmp(name, key, n) == 0 && name[n] == 0) return value;
    }
    return NULL;
}

// The value at path `key`, NULL when it or an object on the way is absent or null. Where something else than an object
// is on the way, *blocked is that value and *n_blocked the length of its path in `key`.
static json_t *walk(const vks_config *config, const char *key, json_t **blocked, size_t *n_blocked) {
    json_t *value = config->root;
    for (const char *part = key;;) {
        size_t n = strcspn(part, ".");
        value = member(value, part, n);
        if (!value || json_is_null(value)) return NULL;
        if (!part[n]) return value;
        part += n;
        if (!json_is_object(value)) {
            *blocked = value;
            *n_blocked = (size_t)(part - key);
            return NULL;
        }
        part++;
    }
}

bool vks_config_has(const vks_config *config, const char *key) {
    json_t *blocked = NULL;
    size_t n_blocked;
    return walk(config, key, &blocked, &n_blocked) != NULL;
}

static vkssm_status find(const vks_config *config, const char *key, json_t **out) {
    json_t *blocked = NULL;
    size_t n_blocked = 0;
    *out = walk(config, key, &blocked, &n_blocked);
    if (!blocked) return VKSSM_OK;
    char words[VKS_JSON_WORDS_SIZE];
    return vks_fail(&config->log, VKSSM_ERR_FORMAT, "%s: key \"%.*s\" is %s, expected an object", config->path,
                    (int)n_blocked, key, vks_json_words(blocked, words));
}

vkssm_status vks_config_require(const vks_config *config, const char *key) {
    json_t *value;
    VKS_TRY(find(config, key, &value));
    if (value) return VKSSM_OK;
    return vks_fail(&config->log, VKSSM_ERR_FORMAT, "%s: key \"%s\" is missing", config->path, key);
}

// ---- numbers --------------------------------------------------------------------------------------------------------

static bool number(json_t *value, double *out) {
    if (json_is_object(value) && json_object_size(value) == 1) {
        const char *text = json_string_value(json_object_get(value, "__float__"));
        if (!text) return false;
        if (strcmp(text, "Infinity") == 0)
            *out = (double)INFINITY;
        else if (strcmp(text, "-Infinity") == 0)
            *out = -(double)INFINITY;
        else if (strcmp(text, "NaN") == 0)
            *out = (double)NAN;
        else
            return false;
        return true;
    }
    if (!json_is_number(value)) return false;
    *out = json_number_value(value);
    return true;
}

// `words` of a value, with the floats that JSON lacks spelt out.
static const char *number_words(json_t *value, char words[VKS_JSON_WORDS_SIZE]) {
    double found;
    if (!json_is_object(value) || !number(value, &found)) return vks_json_words(value, words);
    snprintf(words, VKS_JSON_WORDS_SIZE, "%g", found);
    return words;
}

// Every 32-bit integer is exact in a double, so one comparison serves both signs.
static vkssm_status read_integer(const vks_config *config, const char *key, int64_t min, int64_t max, bool *present,
                                 int64_t *out) {
    json_t *value;
    VKS_TRY(find(config, key, &value));
    *present = value != NULL;
    if (!value) return VKSSM_OK;
    double found;
    if (number(value, &found) && found >= (double)min && found <= (double)max && found == floor(found)) {
        *out = (int64_t)found;
        return VKSSM_OK;
    }
    char words[VKS_JSON_WORDS_SIZE];
    return vks_fail(&config->log, VKSSM_ERR_FORMAT, "%s: key \"%s\" is %s, expected an integer in [%lld, %lld]",
                    config->path, key, number_words(value, words), (long long)min, (long long)max);
}

vkssm_status vks_config_u32(const vks_config *config, const char *key, uint32_t min, uint32_t max, uint32_t *out) {
    bool present;
    int64_t value = 0;
    VKS_TRY(read_integer(config, key, min, max, &present, &value));
    if (present) *out = (uint32_t)value;
    return VKSSM_OK;
}

vkssm_status vks_config_u32_or_auto(const vks_config *config, const char *key, uint32_t min, uint32_t max,
                                    uint32_t *out) {
    json_t *value;
    VKS_TRY(find(config, key, &value));
    const char *text = json_string_value(value); // NULL unless it is a string
    if (text && strcmp(text, "auto") == 0) return VKSSM_OK;
    return vks_config_u32(config, key, min, max, out);
}

vkssm_status vks_config_i32(const vks_config *config, const char *key, int32_t min, int32_t max, int32_t *out) {
    bool present;
    int64_t value = 0;
    VKS_TRY(read_integer(config, key, min, max, &present, &value));
    if (present) *out = (int32_t)value;
    return VKSSM_OK;
}

// Compared as float32: a bound such as 0.1f must accept the 0.1 of a file. A NaN is in no range.
static bool float_in_range(json_t *value, float min, float max, float *out) {
    double found;
    if (!number(value, &found)) return false;
    if (!isinf(found) && !(found >= -(double)FLT_MAX && found <= (double)FLT_MAX)) return false;
    *out = (float)found;
    return *out >= min && *out <= max;
}

vkssm_status vks_config_f32(const vks_config *config, const char *key, float min, float max, float *out) {
    json_t *value;
    VKS_TRY(find(config, key, &value));
    if (!value) return VKSSM_OK;
    float found;
    if (float_in_range(value, min, max, &found)) {
        *out = found;
        return VKSSM_OK;
    }
    char words[VKS_JSON_WORDS_SIZE];
    return vks_fail(&config->log, VKSSM_ERR_FORMAT, "%s: key \"%s\" is %s, expected a float32 number in [%g, %g]",
                    config->path, key, number_words(value, words), (double)min, (double)max);
}

vkssm_status vks_config_f32_array(const vks_config *config, const char *key, float min, float max, uint32_t n,
                                  float *out) {
    json_t *value;
    VKS_TRY(find(config, key, &value));
    if (!value) return VKSSM_OK;
    char words[VKS_JSON_WORDS_SIZE];
    if (!json_is_array(value) || json_array_size(value) != n)
        return vks_fail(&config->log, VKSSM_ERR_FORMAT, "%s: key \"%s\" is %s, expected an array of %lu numbers",
                        config->path, key, number_words(value, words), (unsigned long)n);
    float found;
    for (uint32_t i = 0; i < n; i++) // all are checked before the first is written
        if (!float_in_range(json_array_get(value, i), min, max, &found))
            return vks_fail(&config->log, VKSSM_ERR_FORMAT,
                            "%s: key \"%s\"[%lu] is %s, expected a float32 number in [%g, %g]", config->path, key,
                            (unsigned long)i, number_words(json_array_get(value, i), words), (double)min, (double)max);
    for (uint32_t i = 0; i < n; i++)
        float_in_range(json_array_get(value, i), min, max, &out[i]);
    return VKSSM_OK;
}

// ---- other types ----------------------------------------------------------------------------------------------------

static vkssm_status wrong_type(const vks_config *config, const char *key, json_t *value, const char *expected) {
    char words[VKS_JSON_WORDS_SIZE];
    return vks_fail(&config->log, VKSSM_ERR_FORMAT, "%s: key \"%s\" is %s, expected %s", config->path, key,
                    number_words(value, words), expected);
}

vkssm_status vks_config_bool(const vks_config *config, const char *key, bool *out) {
    json_t *value;
    VKS_TRY(find(config, key, &value));
    if (!value) return VKSSM_OK;
    if (!json_is_boolean(value)) return wrong_type(config, key, value, "true or false");
    *out = json_is_true(value);
    return VKSSM_OK;
}

vkssm_status vks_config_string(const vks_config *config, const char *key, const char **out) {
    json_t *value;
    VKS_TRY(find(config, key, &value));
    if (!value) return VKSSM_OK;
    if (!json_is_string(value)) return wrong_type(config, key, value, "a string");
    *out = json_string_value(value);
    return VKSSM_OK;
}

vkssm_status vks_config_choice(const vks_config *config, const char *key, const char *const *names, uint32_t n_name,
                               uint32_t *out) {
    const char *found = NULL;
    VKS_TRY(vks_config_string(config, key, &found));
    if (!found) return VKSSM_OK;
    char expected[128] = "";
    size_t at = 0;
    for (uint32_t i = 0; i < n_name; i++) {
        if (strcmp(found, names[i]) == 0) {
            *out = i;
            return VKSSM_OK;
        }
        if (at < sizeof expected)
            at += (size_t)snprintf(expected + at, sizeof expected - at, "%s%s", i ? ", " : "", names[i]);
    }
    return vks_fail(&config->log, VKSSM_ERR_UNSUPPORTED, "%s: key \"%s\": one of %s expected, \"%.64s\" found",
                    config->path, key, expected, found);
}

vkssm_status vks_config_array_size(const vks_config *config, const char *key, uint32_t *out) {
    *out = 0;
    json_t *value;
    VKS_TRY(find(config, key, &value));
    if (!value) return VKSSM_OK;
    if (!json_is_array(value)) return wrong_type(config, key, value, "an array");
    if (json_array_size(value) > UINT32_MAX) return wrong_type(config, key, value, "fewer than 2^32 items");
    *out = (uint32_t)json_array_size(value);
    return VKSSM_OK;
}

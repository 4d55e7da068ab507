// Looking up values, and the numbers of types.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_types.h"
#include "host/base/alloc.h"

// ---- types ----------------------------------------------------------------------------------------------------------

static const struct {
    unsigned size;
    const char *words;
} value_types[VKS_GGUF_TYPE_COUNT] = {
    [VKS_GGUF_U8] = {1, "an unsigned 8-bit integer"},
    [VKS_GGUF_I8] = {1, "an 8-bit integer"},
    [VKS_GGUF_U16] = {2, "an unsigned 16-bit integer"},
    [VKS_GGUF_I16] = {2, "a 16-bit integer"},
    [VKS_GGUF_U32] = {4, "an unsigned 32-bit integer"},
    [VKS_GGUF_I32] = {4, "a 32-bit integer"},
    [VKS_GGUF_F32] = {4, "a 32-bit float"},
    [VKS_GGUF_BOOL] = {1, "a bool"},
    [VKS_GGUF_STRING] = {0, "a string"},
    [VKS_GGUF_ARRAY] = {0, "an array"},
    [VKS_GGUF_U64] = {8, "an unsigned 64-bit integer"},
    [VKS_GGUF_I64] = {8, "a 64-bit integer"},
    [VKS_GGUF_F64] = {8, "a 64-bit float"},
};

unsigned vks_gguf_type_size(vks_gguf_type type) {
    return value_types[type].size;
}

const char *vks_gguf_value_words(vks_gguf_type type) {
    return value_types[type].words;
}

static const char *const tensor_types[] = {
    [0] = "F32",     [1] = "F16",    [2] = "Q4_0",     [3] = "Q4_1",    [6] = "Q5_0",     [7] = "Q5_1",
    [8] = "Q8_0",    [9] = "Q8_1",   [10] = "Q2_K",    [11] = "Q3_K",   [12] = "Q4_K",    [13] = "Q5_K",
    [14] = "Q6_K",   [15] = "Q8_K",  [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S",
    [20] = "IQ4_NL", [21] = "IQ3_S", [22] = "IQ2_S",   [23] = "IQ4_XS", [24] = "I8",      [25] = "I16",
    [26] = "I32",    [27] = "I64",   [28] = "F64",     [29] = "IQ1_M",  [30] = "BF16",    [34] = "TQ1_0",
    [35] = "TQ2_0",  [39] = "MXFP4",
};

const char *vks_gguf_type_name(uint64_t type) {
    return type < VKS_COUNT(tensor_types) ? tensor_types[type] : NULL;
}

int vks_gguf_tensor_type(vkssm_dtype dtype) {
    for (size_t i = 0; i < VKS_COUNT(tensor_types); i++)
        if (tensor_types[i] && strcmp(tensor_types[i], vkssm_dtype_name(dtype)) == 0) return (int)i;
    return -1;
}

// ---- values ---------------------------------------------------------------------------------------------------------

const vks_gguf_value *vks_gguf_find(const vks_gguf *gguf, const char *key) {
    for (size_t low = 0, high = gguf->n_value; low < high;) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(key, gguf->values[middle].key);
        if (order == 0) return &gguf->values[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static vkssm_status wrong_type(const vks_gguf *gguf, const vks_gguf_value *value, const char *expected) {
    return vks_fail(gguf->log, VKSSM_ERR_FORMAT, "%s: key %s: %s expected, %s%s found", gguf->path, value->key,
                    expected, value->is_array ? "an array, each item " : "", vks_gguf_value_words(value->type));
}

vkssm_status vks_gguf_require(const vks_gguf *gguf, const char *key) {
    if (vks_gguf_find(gguf, key)) return VKSSM_OK;
    return vks_fail(gguf->log, VKSSM_ERR_FORMAT, "%s: key %s is missing", gguf->path, key);
}

// The integer at `data`; false for other types, and for what a signed 64-bit integer cannot hold.
static bool integer_at(vks_gguf_type type, const uint8_t *data, int64_t *out) {
    unsigned n = vks_gguf_type_size(type);
    bool is_signed = type == VKS_GGUF_I8 || type == VKS_GGUF_I16 || type == VKS_GGUF_I32 || type == VKS_GGUF_I64;
    bool is_unsigned = type == VKS_GGUF_U8 || type == VKS_GGUF_U16 || type == VKS_GGUF_U32 || type == VKS_GGUF_U64;
    if (!is_signed && !is_unsigned) return false;
    uint64_t bits = 0;
    for (unsigned i = 0; i < n; i++)
        bits |= (uint64_t)data[i] << 8 * i;
    if (is_signed && n < 8 && bits >> (8 * n - 1)) bits |= UINT64_MAX << 8 * n;
    memcpy(out, &bits, 8);
    return is_signed || bits <= INT64_MAX;
}

vkssm_status vks_gguf_integer(const vks_gguf *gguf, const char *key, int64_t min, int64_t max, int64_t *out) {
    const vks_gguf_value *value = vks_gguf_find(gguf, key);
    int64_t found;
    if (!value) return VKSSM_OK;
    if (value->is_array || !integer_at(value->type, value->data, &found)) return wrong_type(gguf, value, "an integer");
    if (found < min || found > max)
        return vks_fail(gguf->log, VKSSM_ERR_FORMAT, "%s: key %s: an integer from %lld to %lld expected, %lld found",
                        gguf->path, key, (long long)min, (long long)max, (long long)found);
    *out = found;
    return VKSSM_OK;
}

vkssm_status vks_gguf_real(const vks_gguf *gguf, const char *key, double *out) {
    const vks_gguf_value *value = vks_gguf_find(gguf, key);
    float single;
    double found;
    if (!value) return VKSSM_OK;
    if (value->is_array || (value->type != VKS_GGUF_F32 && value->type != VKS_GGUF_F64))
        return wrong_type(gguf, value, "a float");
    memcpy(&single, value->data, sizeof single);
    if (value->type == VKS_GGUF_F64)
        memcpy(&found, value->data, sizeof found);
    else
        found = single;
    if (!isfinite(found))
        return vks_fail(gguf->log, VKSSM_ERR_FORMAT, "%s: key %s: a finite number expected, %g found", gguf->path, key,
                        found);
    *out = found;
    return VKSSM_OK;
}

vkssm_status vks_gguf_flag(const vks_gguf *gguf, const char *key, bool *out) {
    const vks_gguf_value *value = vks_gguf_find(gguf, key);
    if (!value) return VKSSM_OK;
    if (value->is_array || value->type != VKS_GGUF_BOOL) return wrong_type(gguf, value, "a bool");
    *out = value->data[0] != 0;
    return VKSSM_OK;
}

vks_gguf_text vks_gguf_next_string(const uint8_t **place) {
    uint64_t size = 0;
    for (int i = 0; i < 8; i++)
        size |= (uint64_t)(*place)[i] << 8 * i;
    vks_gguf_text text = {(const char *)*place + 8, (size_t)size};
    *place += 8 + size;
    return text;
}

vkssm_status vks_gguf_string(const vks_gguf *gguf, const char *key, vks_gguf_text *out) {
    const vks_gguf_value *value = vks_gguf_find(gguf, key);
    if (!value) return VKSSM_OK;
    if (value->is_array || value->type != VKS_GGUF_STRING) return wrong_type(gguf, value, "a string");
    const uint8_t *place = value->data;
    *out = vks_gguf_next_string(&place);
    return VKSSM_OK;
}

vkssm_status vks_gguf_array(const vks_gguf *gguf, const char *key, vks_gguf_type type, const vks_gguf_value **out) {
    *out = vks_gguf_find(gguf, key);
    if (!*out || ((*out)->is_array && (*out)->type == type)) return VKSSM_OK;
    char expected[64];
    snprintf(expected, sizeof expected, "an array, each item %s", vks_gguf_value_words(type));
    return wrong_type(gguf, *out, expected);
}

float vks_gguf_float_at(const vks_gguf_value *array, uint64_t i) {
    float value;
    memcpy(&value, array->data + 4 * i, 4);
    return value;
}

int32_t vks_gguf_int_at(const vks_gguf_value *array, uint64_t i) {
    int32_t value;
    memcpy(&value, array->data + 4 * i, 4);
    return value;
}

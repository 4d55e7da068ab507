#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "host/base/alloc.h"
#include "json_file.h"

typedef struct reader {
    const char *path;
    const vkssm_log *log;
    const uint8_t *data; // what follows the header
    uint64_t data_size;
} reader;

typedef unsigned long long ull; // for messages

// ---- one tensor -----------------------------------------------------------------------------------------------------

static vkssm_status read_dtype(const reader *in, json_t *info, vkssm_named_tensor *out) {
    const json_t *value = json_object_get(info, "dtype");
    const char *name = json_string_value(value);
    char words[VKS_JSON_WORDS_SIZE];
    if (!name)
        return vks_fail(in->log, VKSSM_ERR_FORMAT, "%s: tensor \"" VKS_NAME "\": dtype is %s, expected a string",
                        in->path, out->name, vks_json_words(value, words));
    for (int i = 0; i < VKSSM_DTYPE_COUNT; i++) {
        bool known = vkssm_dtype_size((vkssm_dtype)i) > 0; // block types have no place in safetensors
        if (!known || strcmp(name, vkssm_dtype_name((vkssm_dtype)i)) != 0) continue;
        out->dtype = (vkssm_dtype)i;
        return VKSSM_OK;
    }
    return vks_fail(in->log, VKSSM_ERR_UNSUPPORTED,
                    "%s: tensor \"" VKS_NAME
                    "\": dtype is %s, expected F32, F16, BF16, F64, an integer of up to 64 bits "
                    "that is signed or U8, or BOOL",
                    in->path, out->name, vks_json_words(value, words));
}

// Read a count or an offset; false unless it is an integer that is not negative.
static bool read_u64(const json_t *value, uint64_t *out) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static vkssm_status read_shape(const reader *in, json_t *info, vkssm_named_tensor *out) {
    json_t *value = json_object_get(info, "shape");
    char words[VKS_JSON_WORDS_SIZE];
    if (!json_is_array(value) || json_array_size(value) > VKSSM_MAX_DIM)
        return vks_fail(in->log, VKSSM_ERR_FORMAT,
                        "%s: tensor \"" VKS_NAME "\": shape is %s, expected an array of at most %d sizes", in->path,
                        out->name, vks_json_words(value, words), VKSSM_MAX_DIM);
    out->n_dim = (uint32_t)json_array_size(value);
    out->size = vkssm_dtype_size(out->dtype);
    for (uint32_t i = 0; i < out->n_dim; i++) {
        const json_t *item = json_array_get(value, i);
        if (!read_u64(item, &out->shape[i]))
            return vks_fail(in->log, VKSSM_ERR_FORMAT,
                            "%s: tensor \"" VKS_NAME "\": shape[%u] is %s, expected an integer of at least 0", in->path,
                            out->name, (unsigned)i, vks_json_words(item, words));
        if (!vks_mul_u64(out->size, out->shape[i], &out->size))
            return vks_fail(in->log, VKSSM_ERR_FORMAT,
                            "%s: tensor \"" VKS_NAME "\": shape[%u] is %s, which makes more bytes than 64 bits count, "
                            "expected a tensor that fits the file",
                            in->path, out->name, (unsigned)i, vks_json_words(item, words));
    }
    return VKSSM_OK;
}

static vkssm_status read_offsets(const reader *in, json_t *info, vkssm_named_tensor *out) {
    json_t *value = json_object_get(info, "data_offsets");
    char words[VKS_JSON_WORDS_SIZE];
    if (!json_is_array(value) || json_array_size(value) != 2)
        return vks_fail(in->log, VKSSM_ERR_FORMAT,
                        "%s: tensor \"" VKS_NAME "\": data_offsets is %s, expected an array of 2 offsets", in->path,
                        out->name, vks_json_words(value, words));
    uint64_t offsets[2];
    for (unsigned i = 0; i < 2; i++) {
        const json_t *item = json_array_get(value, i);
        if (!read_u64(item, &offsets[i]))
            return vks_fail(in->log, VKSSM_ERR_FORMAT,
                            "%s: tensor \"" VKS_NAME "\": data_offsets[%u] is %s, expected an integer of at least 0",
                            in->path, out->name, i, vks_json_words(item, words));
    }
    if (offsets[0] > offsets[1] || offsets[1] > in->data_size)
        return vks_fail(in->log, VKSSM_ERR_FORMAT,
                        "%s: tensor \"" VKS_NAME "\": data_offsets are [%llu, %llu], expected a range within the %llu "
                        "bytes of data in the file",
                        in->path, out->name, (ull)offsets[0], (ull)offsets[1], (ull)in->data_size);
    if (offsets[1] - offsets[0] != out->size)
        return vks_fail(in->log, VKSSM_ERR_FORMAT,
                        "%s: tensor \"" VKS_NAME
                        "\": data_offsets [%llu, %llu] hold %llu bytes, expected %llu for its %s "
                        "shape",
                        in->path, out->name, (ull)offsets[0], (ull)offsets[1], (ull)(offsets[1] - offsets[0]),
                        (ull)out->size, vkssm_dtype_name(out->dtype));
    out->data = in->data + offsets[0];
    return VKSSM_OK;
}

static vkssm_status read_tensor(const reader *in, const char *name, json_t *info, vkssm_named_tensor *out) {
    char words[VKS_JSON_WORDS_SIZE];
    out->name = name; // for messages, until the list has its own copy
    if (!json_is_object(info))
        return vks_fail(in->log, VKSSM_ERR_FORMAT, "%s: tensor \"" VKS_NAME "\" is %s, expected an object", in->path,
                        name, vks_json_words(info, words));
    VKS_TRY(read_dtype(in, info, out));
    VKS_TRY(read_shape(in, info, out));
    return read_offsets(in, info, out);
}

// ---- the header -----------------------------------------------------------------------------------------------------

static vkssm_status check_metadata(const reader *in, json_t *metadata) {
    char words[VKS_JSON_WORDS_SIZE];
    if (!json_is_object(metadata))
        return vks_fail(in->log, VKSSM_ERR_FORMAT, "%s: __metadata__ is %s, expected an object of strings", in->path,
                        vks_json_words(metadata, words));
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value))
            return vks_fail(in->log, VKSSM_ERR_FORMAT, "%s: __metadata__ \"" VKS_NAME "\" is %s, expected a string",
                            in->path, key, vks_json_words(value, words));
    }
    return VKSSM_OK;
}

static vkssm_status append_tensors(const reader *in, json_t *header, vks_tensor_list *list) {
    const char *name;
    json_t *info;
    json_object_foreach(header, name, info) {
        if (strcmp(name, "__metadata__") == 0) {
            VKS_TRY(check_metadata(in, info));
            continue;
        }
        vkssm_named_tensor tensor = {0};
        VKS_TRY(read_tensor(in, name, info, &tensor));
        tensor.name = vks_strdup(name);
        if (!tensor.name || !vks_grow((void **)&list->items, &list->capacity, list->n + 1, sizeof tensor)) {
            vks_free((void *)(uintptr_t)tensor.name);
            return vks_fail(in->log, VKSSM_ERR_OOM_HOST, "%s: out of memory at tensor \"" VKS_NAME "\"", in->path,
                            name);
        }
        list->items[list->n++] = tensor;
    }
    return VKSSM_OK;
}

static int compare_place(const void *a, const void *b) {
    const vkssm_named_tensor *x = a, *y = b;
    const uint8_t *x_data = x->data, *y_data = y->data;
    if (x_data != y_data) return x_data < y_data ? -1 : 1;
    return x->size < y->size ? -1 : x->size > y->size;
}

// The tensors, in order of place, must follow each other without gap or overlap and fill the data section. This refuses
// files that hide data or have two names write to one place.
static vkssm_status check_places(const reader *in, vkssm_named_tensor *tensors, size_t n) {
    if (n > 0) qsort(tensors, n, sizeof *tensors, compare_place); // items may be NULL for none
    uint64_t end = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t begin = (uint64_t)((const uint8_t *)tensors[i].data - in->data);
        if (begin < end) // so i > 0
            return vks_fail(in->log, VKSSM_ERR_FORMAT,
                            "%s: tensor \"" VKS_NAME "\" begins at data byte %llu, expected %llu: it overlaps tensor "
                            "\"" VKS_NAME "\"",
                            in->path, tensors[i].name, (ull)begin, (ull)end, tensors[i - 1].name);
        if (begin > end)
            return vks_fail(in->log, VKSSM_ERR_FORMAT,
                            "%s: tensor \"" VKS_NAME
                            "\" begins at data byte %llu, expected %llu: there is a gap before it",
                            in->path, tensors[i].name, (ull)begin, (ull)end);
        end = begin + tensors[i].size;
    }
    if (end == in->data_size) return VKSSM_OK;
    return vks_fail(in->log, VKSSM_ERR_FORMAT,
                    "%s: the tensors end at data byte %llu, expected %llu, the end of the file", in->path, (ull)end,
                    (ull)in->data_size);
}

vkssm_status vks_safetensors_parse(const char *path, const uint8_t *data, uint64_t size, const vkssm_log *log,
                                   vks_tensor_list *list) {
    if (size < 8)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: the file has %llu bytes, expected at least 8 of a safetensors file",
                        path, (ull)size);
    uint64_t n = 0;
    for (int i = 0; i < 8; i++)
        n |= (uint64_t)data[i] << 8 * i;
    if (n > size - 8 || n > VKS_SAFETENSORS_MAX_HEADER)
        return vks_fail(
            log, VKSSM_ERR_FORMAT,
            "%s: the safetensors header has %llu bytes, expected at most %llu (the rest of the file) and at "
            "most %llu",
            path, (ull)n, (ull)(size - 8), (ull)VKS_SAFETENSORS_MAX_HEADER);
    if (n > 0 && data[8] != '{')
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: the safetensors header begins with byte 0x%02x, expected 0x7b '{'",
                        path, (unsigned)data[8]);
    json_t *header;
    VKS_TRY(vks_json_parse(path, "safetensors header", (const char *)data + 8, (size_t)n, 0, log, &header));
    reader in = {.path = path, .log = log, .data = data + 8 + n, .data_size = size - 8 - n};
    size_t n_before = list->n;
    vkssm_status status = append_tensors(&in, header, list);
    json_decref(header);
    VKS_TRY(status);
    return check_places(&in, list->items ? list->items + n_before : NULL, list->n - n_before);
}

#include "gguf.h"

#include <stdlib.h>
#include <string.h>

#include "gguf_types.h"
#include "host/base/alloc.h"
#include "host/base/quant.h"

typedef unsigned long long ull; // for messages

enum { MAX_GGUF_DIM = 4, MAX_KEY = 65535 };

// What is left of the file.
typedef struct reader {
    const char *path;
    const vkssm_log *log;
    const uint8_t *data;
    uint64_t size, at;
} reader;

static uint64_t left(const reader *in) {
    return in->size - in->at;
}

static vkssm_status ends_early(const reader *in, const char *what, uint64_t wanted) {
    return vks_fail(in->log, VKSSM_ERR_FORMAT,
                    "%s: %llu bytes of %s expected at byte %llu, %llu found, the rest of the file", in->path,
                    (ull)wanted, what, (ull)in->at, (ull)left(in));
}

static uint64_t little_endian(const uint8_t *bytes, unsigned n) {
    uint64_t value = 0;
    for (unsigned i = 0; i < n; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

static vkssm_status read_number(reader *in, unsigned n, const char *what, uint64_t *out) {
    if (left(in) < n) return ends_early(in, what, n);
    *out = little_endian(in->data + in->at, n);
    in->at += n;
    return VKSSM_OK;
}

static vkssm_status read_text(reader *in, const char *what, vks_gguf_text *out) {
    uint64_t size = 0;
    VKS_TRY(read_number(in, 8, what, &size));
    if (size > left(in)) return ends_early(in, what, size);
    *out = (vks_gguf_text){(const char *)in->data + in->at, (size_t)size};
    in->at += size;
    return VKSSM_OK;
}

// A key or a name, as a string of its own. Zeros inside would make two different names look alike.
static vkssm_status read_name(reader *in, const char *what, char **out) {
    vks_gguf_text text;
    VKS_TRY(read_text(in, what, &text));
    if (text.size == 0 || text.size > MAX_KEY || memchr(text.text, 0, text.size))
        return vks_fail(in->log, VKSSM_ERR_FORMAT,
                        "%s: %s before byte %llu: 1 to %d bytes without a zero expected, %s found", in->path, what,
                        (ull)in->at, MAX_KEY,
                        text.size == 0        ? "none"
                        : text.size > MAX_KEY ? "more"
                                              : "a zero");
    *out = vks_alloc(text.size + 1);
    if (!*out) return vks_fail(in->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %s", in->path, what);
    memcpy(*out, text.text, text.size);
    (*out)[text.size] = 0;
    return VKSSM_OK;
}

// ---- values ---------------------------------------------------------------------------------------------------------

static vkssm_status read_type(reader *in, const char *key, vks_gguf_type *out) {
    uint64_t type = 0;
    VKS_TRY(read_number(in, 4, "a value's type", &type));
    if (type >= VKS_GGUF_TYPE_COUNT)
        return vks_fail(in->log, VKSSM_ERR_FORMAT, "%s: key " VKS_NAME ": a value's type below %d expected, %llu found",
                        in->path, key, VKS_GGUF_TYPE_COUNT, (ull)type);
    *out = (vks_gguf_type)type;
    return VKSSM_OK;
}

static vkssm_status check_bools(const reader *in, const vks_gguf_value *value) {
    for (uint64_t i = 0; i < value->n; i++)
        if (value->data[i] > 1)
            return vks_fail(in->log, VKSSM_ERR_FORMAT, "%s: key " VKS_NAME ": 0 or 1 for a bool expected, %u found",
                            in->path, value->key, value->data[i]);
    return VKSSM_OK;
}

// The items of a value, whose type is known: move behind them.
static vkssm_status read_items(reader *in, vks_gguf_value *value) {
    unsigned item = vks_gguf_type_size(value->type);
    char what[64];
    snprintf(what, sizeof what, "the value of %.40s", value->key);
    value->data = in->data + in->at;
    if (value->type == VKS_GGUF_STRING) {
        vks_gguf_text text;
        for (uint64_t i = 0; i < value->n; i++)
            VKS_TRY(read_text(in, what, &text));
        return VKSSM_OK;
    }
    if (value->n > left(in) / item) // not the product, which may be beyond 64 bits
        return vks_fail(in->log, VKSSM_ERR_FORMAT,
                        "%s: key " VKS_NAME ": %llu items of %u bytes expected, %llu bytes found", in->path, value->key,
                        (ull)value->n, item, (ull)left(in));
    in->at += value->n * item;
    return value->type == VKS_GGUF_BOOL ? check_bools(in, value) : VKSSM_OK;
}

static vkssm_status read_value(reader *in, vks_gguf_value *value) {
    VKS_TRY(read_name(in, "a key", &value->key));
    VKS_TRY(read_type(in, value->key, &value->type));
    value->n = 1;
    value->is_array = value->type == VKS_GGUF_ARRAY;
    if (value->is_array) {
        VKS_TRY(read_type(in, value->key, &value->type));
        VKS_TRY(read_number(in, 8, "an array's length", &value->n));
        if (value->type == VKS_GGUF_ARRAY)
            return vks_fail(in->log, VKSSM_ERR_UNSUPPORTED, "%s: key " VKS_NAME ": an array of arrays", in->path,
                            value->key);
    }
    return read_items(in, value);
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(((const vks_gguf_value *)a)->key, ((const vks_gguf_value *)b)->key);
}

static vkssm_status read_values(reader *in, uint64_t n, vks_gguf *out) {
    enum { LEAST = 8 + 1 + 4 + 1 }; // bytes of a key and its value
    if (n > left(in) / LEAST)
        return vks_fail(in->log, VKSSM_ERR_FORMAT, "%s: %llu keys expected by the header, %llu bytes found for them",
                        in->path, (ull)n, (ull)left(in));
    for (uint64_t i = 0; i < n; i++) {
        if (!vks_grow((void **)&out->values, &out->value_capacity, out->n_value + 1, sizeof *out->values))
            return vks_fail(in->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the keys", in->path);
        vks_gguf_value *value = &out->values[out->n_value++];
        memset(value, 0, sizeof *value);
        VKS_TRY(read_value(in, value));
    }
    if (n > 0) qsort(out->values, out->n_value, sizeof *out->values, compare_keys);
    for (size_t i = 1; i < out->n_value; i++)
        if (strcmp(out->values[i - 1].key, out->values[i].key) == 0)
            return vks_fail(in->log, VKSSM_ERR_FORMAT, "%s: key " VKS_NAME " is there twice, expected once", in->path,
                            out->values[i].key);
    return VKSSM_OK;
}

// ---- tensors --------------------------------------------------------------------------------------------------------

static vkssm_status find_dtype(const reader *in, const char *name, uint64_t type, vkssm_dtype *out) {
    for (int i = 0; i < VKSSM_DTYPE_COUNT; i++)
        if (vks_gguf_tensor_type((vkssm_dtype)i) == (int)type && type <= INT32_MAX) {
            *out = (vkssm_dtype)i;
            return VKSSM_OK;
        }
    const char *known = vks_gguf_type_name(type);
    return vks_fail(in->log, VKSSM_ERR_UNSUPPORTED,
                    "%s: tensor " VKS_NAME
                    ": a type of F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K expected, %s (number %llu) found",
                    in->path, name, known ? known : "an unknown one", (ull)type);
}

// Dimensions, fastest first in the file and last here, and the bytes they need.
static vkssm_status read_shape(reader *in, vkssm_named_tensor *tensor) {
    uint64_t n_dim = 0, shape[MAX_GGUF_DIM] = {0};
    VKS_TRY(read_number(in, 4, "a tensor's number of dimensions", &n_dim));
    if (n_dim > MAX_GGUF_DIM)
        return vks_fail(in->log, VKSSM_ERR_FORMAT,
                        "%s: tensor " VKS_NAME ": at most %d dimensions expected, %llu found", in->path, tensor->name,
                        MAX_GGUF_DIM, (ull)n_dim);
    tensor->n_dim = (uint32_t)n_dim;
    for (uint64_t i = 0; i < n_dim; i++) {
        VKS_TRY(read_number(in, 8, "a tensor's dimension", &shape[i]));
        tensor->shape[n_dim - 1 - i] = shape[i];
    }
    return VKSSM_OK;
}

static vkssm_status find_size(const reader *in, vkssm_named_tensor *tensor) {
    uint64_t length = vks_block_length(tensor->dtype), n = 1;
    uint64_t row = tensor->n_dim ? tensor->shape[tensor->n_dim - 1] : 1;
    if (row % length != 0)
        return vks_fail(in->log, VKSSM_ERR_FORMAT,
                        "%s: tensor " VKS_NAME ": rows of a multiple of %llu values for %s expected, "
                        "%llu found",
                        in->path, tensor->name, (ull)length, vkssm_dtype_name(tensor->dtype), (ull)row);
    bool fits = true;
    for (uint32_t i = 0; i < tensor->n_dim; i++)
        fits = fits && vks_mul_u64(n, tensor->shape[i], &n);
    if (!fits || n > INT64_MAX || !vks_mul_u64(n / length, vks_block_size(tensor->dtype), &tensor->size))
        return vks_fail(in->log, VKSSM_ERR_FORMAT,
                        "%s: tensor " VKS_NAME ": a number of values that fits 63 bits expected", in->path,
                        tensor->name);
    return VKSSM_OK;
}

// *offset: of its data, from where all data begin, which is known at the end of the descriptions.
static vkssm_status read_tensor(reader *in, uint64_t alignment, vkssm_named_tensor *tensor, uint64_t *offset) {
    uint64_t type = 0;
    char *name = NULL;
    VKS_TRY(read_name(in, "a tensor's name", &name));
    tensor->name = name; // the list's from here on
    VKS_TRY(read_shape(in, tensor));
    VKS_TRY(read_number(in, 4, "a tensor's type", &type));
    VKS_TRY(read_number(in, 8, "a tensor's offset", offset));
    VKS_TRY(find_dtype(in, tensor->name, type, &tensor->dtype));
    VKS_TRY(find_size(in, tensor));
    if (*offset % alignment == 0) return VKSSM_OK;
    return vks_fail(in->log, VKSSM_ERR_FORMAT,
                    "%s: tensor " VKS_NAME ": an offset that is a multiple of %llu expected, "
                    "%llu found",
                    in->path, tensor->name, (ull)alignment, (ull)*offset);
}

static vkssm_status place_tensor(const reader *in, uint64_t data_at, uint64_t offset, vkssm_named_tensor *tensor) {
    uint64_t data_size = in->size - data_at;
    if (offset > data_size || tensor->size > data_size - offset)
        return vks_fail(in->log, VKSSM_ERR_FORMAT,
                        "%s: tensor " VKS_NAME ": %llu bytes at data byte %llu expected, the file "
                        "has %llu bytes of data",
                        in->path, tensor->name, (ull)tensor->size, (ull)offset, (ull)data_size);
    tensor->data = tensor->size > 0 ? in->data + data_at + offset : NULL;
    return VKSSM_OK;
}

static int compare_place(const void *a, const void *b) {
    const vkssm_named_tensor *x = a, *y = b;
    const uint8_t *x_data = x->data, *y_data = y->data;
    return x_data != y_data ? (x_data < y_data ? -1 : 1) : (x->size > y->size) - (x->size < y->size);
}

static vkssm_status check_tensors(const reader *in, vks_tensor_list *list) {
    if (list->n > 0) qsort(list->items, list->n, sizeof *list->items, compare_place);
    for (size_t i = 1; i < list->n; i++) {
        const vkssm_named_tensor *a = &list->items[i - 1], *b = &list->items[i];
        if (a->size > 0 && (const uint8_t *)a->data + a->size > (const uint8_t *)b->data)
            return vks_fail(in->log, VKSSM_ERR_FORMAT, "%s: tensor " VKS_NAME " overlaps tensor " VKS_NAME, in->path,
                            b->name, a->name);
    }
    vks_tensor_list_sort(list);
    for (size_t i = 1; i < list->n; i++)
        if (strcmp(list->items[i - 1].name, list->items[i].name) == 0)
            return vks_fail(in->log, VKSSM_ERR_FORMAT, "%s: tensor " VKS_NAME " is there twice, expected once",
                            in->path, list->items[i].name);
    return VKSSM_OK;
}

static vkssm_status read_tensors(reader *in, uint64_t n, uint64_t alignment, vks_tensor_list *list) {
    enum { LEAST = 8 + 1 + 4 + 4 + 8 }; // bytes of a description
    if (n > left(in) / LEAST)
        return vks_fail(in->log, VKSSM_ERR_FORMAT, "%s: %llu tensors expected by the header, %llu bytes found for them",
                        in->path, (ull)n, (ull)left(in));
    uint64_t *offsets = vks_alloc((size_t)n * sizeof *offsets);
    vkssm_status status = VKSSM_OK;
    for (uint64_t i = 0; i < n && status == VKSSM_OK && offsets; i++) {
        if (!vks_grow((void **)&list->items, &list->capacity, list->n + 1, sizeof *list->items)) {
            status = vks_fail(in->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the tensors", in->path);
            break;
        }
        vkssm_named_tensor *tensor = &list->items[list->n++];
        memset(tensor, 0, sizeof *tensor);
        status = read_tensor(in, alignment, tensor, &offsets[i]);
    }
    if (!offsets) status = vks_fail(in->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the tensors", in->path);
    uint64_t data_at = vks_align_up(in->at, alignment);
    if (status == VKSSM_OK && n > 0 && data_at > in->size)
        status = ends_early(in, "padding before the data", data_at - in->at);
    for (uint64_t i = 0; i < n && status == VKSSM_OK; i++)
        status = place_tensor(in, data_at, offsets[i], &list->items[i]);
    vks_free(offsets);
    return status == VKSSM_OK ? check_tensors(in, list) : status;
}

// ---- the file -------------------------------------------------------------------------------------------------------

static vkssm_status check_version(const reader *in, uint64_t version) {
    if (version == 2 || version == 3) return VKSSM_OK;
    bool swapped = version > 0 && version % 65536 == 0;
    return vks_fail(in->log, swapped || version == 1 ? VKSSM_ERR_UNSUPPORTED : VKSSM_ERR_FORMAT,
                    "%s: GGUF version 2 or 3 expected, %llu found%s", in->path, (ull)version,
                    swapped ? ", which is how a big-endian file looks" : "");
}

static vkssm_status find_alignment(const vks_gguf *gguf, uint64_t *out) {
    int64_t alignment = 32; // the format's default
    VKS_TRY(vks_gguf_integer(gguf, "general.alignment", 1, 1 << 30, &alignment));
    if ((alignment & (alignment - 1)) != 0)
        return vks_fail(gguf->log, VKSSM_ERR_FORMAT, "%s: key general.alignment: a power of two expected, %lld found",
                        gguf->path, (long long)alignment);
    *out = (uint64_t)alignment;
    return VKSSM_OK;
}

vkssm_status vks_gguf_parse(const char *path, const uint8_t *data, uint64_t size, const vkssm_log *log, vks_gguf *out) {
    memset(out, 0, sizeof *out);
    reader in = {.path = path, .log = log, .data = data, .size = size};
    uint64_t version = 0, n_tensor = 0, n_value = 0, alignment = 1;
    out->log = log;
    out->path = vks_strdup(path);
    if (!out->path) return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while opening the file", path);
    if (size < 4 || memcmp(data, "GGUF", 4) != 0)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: a file that begins with \"GGUF\" expected, %s found", path,
                        size < 4 ? "fewer than 4 bytes" : "other bytes");
    in.at = 4;
    VKS_TRY(read_number(&in, 4, "the version", &version));
    VKS_TRY(check_version(&in, version));
    VKS_TRY(read_number(&in, 8, "the number of tensors", &n_tensor));
    VKS_TRY(read_number(&in, 8, "the number of keys", &n_value));
    VKS_TRY(read_values(&in, n_value, out));
    VKS_TRY(find_alignment(out, &alignment));
    return read_tensors(&in, n_tensor, alignment, &out->tensors);
}

void vks_gguf_finish(vks_gguf *gguf) {
    for (size_t i = 0; i < gguf->n_value; i++)
        vks_free(gguf->values[i].key);
    vks_free(gguf->values);
    vks_tensor_list_finish(&gguf->tensors);
    vks_file_map_close(&gguf->map);
    vks_free(gguf->path);
    memset(gguf, 0, sizeof *gguf);
}

bool vks_gguf_is(const char *path) {
    char magic[4] = {0};
    FILE *file = vks_path_is_folder(path) ? NULL : fopen(path, "rb");
    if (!file) return false;
    bool is = fread(magic, 1, 4, file) == 4 && memcmp(magic, "GGUF", 4) == 0;
    fclose(file);
    return is;
}

vkssm_status vks_gguf_open(const char *path, const vkssm_log *log, vks_gguf **out) {
    *out = NULL;
    vks_file_map map;
    VKS_TRY(vks_file_map_open(path, log, &map));
    vks_gguf *gguf = vks_alloc_zero(1, sizeof *gguf);
    vkssm_status status = gguf ? vks_gguf_parse(path, map.data, map.size, log, gguf)
                               : vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while opening the file", path);
    if (!gguf)
        vks_file_map_close(&map);
    else
        gguf->map = map;
    if (status == VKSSM_OK)
        *out = gguf;
    else
        vks_gguf_destroy(&gguf);
    return status;
}

void vks_gguf_destroy(vks_gguf **gguf) {
    if (!*gguf) return;
    vks_gguf_finish(*gguf);
    vks_free(*gguf);
    *gguf = NULL;
}

bool vks_gguf_tensor(const vks_gguf *gguf, const char *name, vkssm_named_tensor *out) {
    for (size_t low = 0, high = gguf->tensors.n; low < high;) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, gguf->tensors.items[middle].name);
        if (order == 0) {
            *out = gguf->tensors.items[middle];
            return true;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/alloc.h"
#include "safetensors.h"

typedef const vkssm_named_tensor *tensor_ref;

typedef unsigned long long ull; // for messages and the header

// ---- checks ---------------------------------------------------------------------------------------------------------

// Length of the UTF-8 character at `text`, 0 if it is malformed: overlong, a surrogate, beyond U+10FFFF, or cut short.
static size_t character_size(const unsigned char *text) {
    unsigned char c = text[0], low = 0x80, high = 0xbf;
    if (c < 0x80) return 1;
    if (c < 0xc2 || c > 0xf4) return 0;
    if (c == 0xe0) low = 0xa0;
    if (c == 0xed) high = 0x9f;
    if (c == 0xf0) low = 0x90;
    if (c == 0xf4) high = 0x8f;
    size_t n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < n; i++, low = 0x80, high = 0xbf)
        if (text[i] < low || text[i] > high) return 0; // the terminating 0 too
    return n;
}

static bool is_utf8(const char *text) {
    for (size_t n; *text; text += n) {
        n = character_size((const unsigned char *)text);
        if (n == 0) return false;
    }
    return true;
}

static vkssm_status check_tensor(const char *path, const vkssm_log *log, const vkssm_named_tensor *tensor,
                                 size_t index) {
    if (!tensor->name) return vks_fail(log, VKSSM_ERR_ARG, "%s: the name of tensor %llu is NULL", path, (ull)index);
    if (!is_utf8(tensor->name) || strcmp(tensor->name, "__metadata__") == 0)
        return vks_fail(log, VKSSM_ERR_ARG,
                        "%s: tensor %llu is called \"" VKS_NAME "\", expected UTF-8 other than __metadata__", path,
                        (ull)index, tensor->name);
    uint64_t size = vkssm_dtype_size(tensor->dtype);
    if (size == 0)
        return vks_fail(log, VKSSM_ERR_ARG, "%s: tensor \"" VKS_NAME "\": dtype is %d, expected a vkssm_dtype", path,
                        tensor->name, (int)tensor->dtype);
    if (tensor->n_dim > VKSSM_MAX_DIM)
        return vks_fail(log, VKSSM_ERR_ARG, "%s: tensor \"" VKS_NAME "\": n_dim is %lu, expected at most %d", path,
                        tensor->name, (unsigned long)tensor->n_dim, VKSSM_MAX_DIM);
    for (uint32_t i = 0; i < tensor->n_dim; i++)
        // The reader takes sizes as signed 64-bit integers.
        if (tensor->shape[i] > INT64_MAX || !vks_mul_u64(size, tensor->shape[i], &size))
            return vks_fail(log, VKSSM_ERR_ARG, "%s: tensor \"" VKS_NAME "\": shape[%u] is %llu, which is too large",
                            path, tensor->name, (unsigned)i, (ull)tensor->shape[i]);
    if (size != tensor->size)
        return vks_fail(log, VKSSM_ERR_ARG,
                        "%s: tensor \"" VKS_NAME "\": size is %llu bytes, expected %llu for its %s "
                        "shape",
                        path, tensor->name, (ull)tensor->size, (ull)size, vkssm_dtype_name(tensor->dtype));
    if (size > 0 && !tensor->data)
        return vks_fail(log, VKSSM_ERR_ARG, "%s: tensor \"" VKS_NAME "\": data is NULL, expected %llu bytes", path,
                        tensor->name, (ull)size);
    return VKSSM_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const tensor_ref *)a)->name, (*(const tensor_ref *)b)->name);
}

// Larger elements first, then by name: every tensor then lies at a multiple of its element size, because the data begin
// at a multiple of 8.
static int compare_order(const void *a, const void *b) {
    size_t x = vkssm_dtype_size((*(const tensor_ref *)a)->dtype), y = vkssm_dtype_size((*(const tensor_ref *)b)->dtype);
    return x != y ? (x > y ? -1 : 1) : compare_names(a, b);
}

// Check all tensors and put references to them in the order of the file.
static vkssm_status put_in_order(const char *path, const vkssm_log *log, const vkssm_named_tensor *tensors, size_t n,
                                 tensor_ref *order) {
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        VKS_TRY(check_tensor(path, log, &tensors[i], i));
        if (!vks_add_u64(total, tensors[i].size, &total) || total > INT64_MAX)
            return vks_fail(log, VKSSM_ERR_ARG, "%s: the tensors up to \"" VKS_NAME "\" have more than 2^63 bytes",
                            path, tensors[i].name);
        order[i] = &tensors[i];
    }
    qsort(order, n, sizeof *order, compare_names);
    for (size_t i = 1; i < n; i++)
        if (strcmp(order[i - 1]->name, order[i]->name) == 0)
            return vks_fail(log, VKSSM_ERR_ARG, "%s: tensor \"" VKS_NAME "\" is given twice, expected names to differ",
                            path, order[i]->name);
    qsort(order, n, sizeof *order, compare_order);
    return VKSSM_OK;
}

// ---- the header -----------------------------------------------------------------------------------------------------

// Text that grows; after a failed append everything is ignored and `failed` tells.
typedef struct text {
    char *bytes;
    size_t n, capacity;
    bool failed;
} text;

static void append(text *out, const char *bytes, size_t n) {
    out->failed = out->failed || !vks_grow((void **)&out->bytes, &out->capacity, out->n + n, 1);
    if (out->failed) return;
    memcpy(out->bytes + out->n, bytes, n);
    out->n += n;
}

static void append_text(text *out, const char *bytes) {
    append(out, bytes, strlen(bytes));
}

static void append_number(text *out, uint64_t number) {
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (ull)number);
    append_text(out, digits);
}

static void append_name(text *out, const char *name) {
    append_text(out, "\"");
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        char escape[8];
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", c);
        else if (c < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)c);
        else
            snprintf(escape, sizeof escape, "%c", c);
        append_text(out, escape);
    }
    append_text(out, "\"");
}

static void append_tensor(text *out, const vkssm_named_tensor *tensor, uint64_t offset) {
    append_name(out, tensor->name);
    append_text(out, ":{\"dtype\":\"");
    append_text(out, vkssm_dtype_name(tensor->dtype));
    append_text(out, "\",\"shape\":[");
    for (uint32_t i = 0; i < tensor->n_dim; i++) {
        if (i > 0) append_text(out, ",");
        append_number(out, tensor->shape[i]);
    }
    append_text(out, "],\"data_offsets\":[");
    append_number(out, offset);
    append_text(out, ",");
    append_number(out, offset + tensor->size);
    append_text(out, "]}");
}

// The length, eight bytes, and the JSON, padded with spaces to a multiple of 8.
static void build_header(text *out, const tensor_ref *order, size_t n) {
    uint64_t offset = 0;
    append(out, "\0\0\0\0\0\0\0", 8);
    append_text(out, "{");
    for (size_t i = 0; i < n; i++) {
        if (i > 0) append_text(out, ",");
        append_tensor(out, order[i], offset);
        offset += order[i]->size;
    }
    append_text(out, "}");
    append(out, "       ", (size_t)(vks_align_up(out->n, 8) - out->n));
    if (out->failed) return;
    for (int i = 0; i < 8; i++)
        out->bytes[i] = (char)((uint64_t)(out->n - 8) >> 8 * i & 0xff);
}

// ---- the file -------------------------------------------------------------------------------------------------------

static vkssm_status write_file(const char *path, const vkssm_log *log, const text *header, const tensor_ref *order,
                               size_t n) {
    vks_file_write file;
    VKS_TRY(vks_file_write_begin(path, log, &file));
    vkssm_status status;
    VKS_TRY_GOTO(vks_file_write_bytes(&file, header->bytes, header->n), fail);
    for (size_t i = 0; i < n; i++)
        VKS_TRY_GOTO(vks_file_write_bytes(&file, order[i]->data, order[i]->size), fail);
    return vks_file_write_commit(&file);
fail:
    vks_file_write_abort(&file);
    return status;
}

vkssm_status vkssm_tensor_file_write(const char *path, const vkssm_log *log, const vkssm_named_tensor *tensors,
                                     uint32_t n_tensor) {
    if (!path) return vks_fail(log, VKSSM_ERR_ARG, "vkssm_tensor_file_write: path is NULL");
    if (n_tensor > 0 && !tensors)
        return vks_fail(log, VKSSM_ERR_ARG, "%s: tensors is NULL, expected %lu", path, (unsigned long)n_tensor);
    text header = {0};
    tensor_ref *order = vks_alloc_zero(n_tensor, sizeof *order);
    vkssm_status status = VKSSM_OK;
    if (order) {
        VKS_TRY_GOTO(put_in_order(path, log, tensors, n_tensor, order), done);
        build_header(&header, order, n_tensor);
    }
    if (!order || header.failed)
        status = vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while building the header", path);
    else if (header.n - 8 > VKS_SAFETENSORS_MAX_HEADER)
        status = vks_fail(log, VKSSM_ERR_ARG, "%s: the header of %lu tensors has %llu bytes, expected at most %llu",
                          path, (unsigned long)n_tensor, (ull)(header.n - 8), (ull)VKS_SAFETENSORS_MAX_HEADER);
    else
        status = write_file(path, log, &header, order, n_tensor);
done:
    vks_free(header.bytes);
    vks_free(order);
    return status;
}

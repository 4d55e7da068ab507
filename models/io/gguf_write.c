#include "gguf_write.h"

#include <string.h>

#include "host/base/alloc.h"
#include "host/base/quant.h"

enum { VERSION = 3, ALIGNMENT = 32 }; // the format's default, so that no key need say it

// ---- bytes ----------------------------------------------------------------------------------------------------------

static void append(vks_gguf_writer *w, bool to_infos, const void *bytes, size_t n) {
    uint8_t **out = to_infos ? &w->infos : &w->values;
    size_t *size = to_infos ? &w->info_size : &w->value_size;
    size_t *capacity = to_infos ? &w->info_capacity : &w->value_capacity;
    w->failed = w->failed || !vks_grow((void **)out, capacity, *size + n, 1);
    if (w->failed) return;
    if (n > 0) memcpy(*out + *size, bytes, n);
    *size += n;
}

static void append_number(vks_gguf_writer *w, bool to_infos, uint64_t value, unsigned n) {
    uint8_t bytes[8];
    for (unsigned i = 0; i < n; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
    append(w, to_infos, bytes, n);
}

static void append_text(vks_gguf_writer *w, bool to_infos, const char *text, size_t size) {
    append_number(w, to_infos, size, 8);
    append(w, to_infos, text, size);
}

// ---- values ---------------------------------------------------------------------------------------------------------

static void begin_value(vks_gguf_writer *w, const char *key, vks_gguf_type type) {
    append_text(w, false, key, strlen(key));
    append_number(w, false, type, 4);
    w->n_value++;
}

void vks_gguf_add_u32(vks_gguf_writer *w, const char *key, uint32_t value) {
    begin_value(w, key, VKS_GGUF_U32);
    append_number(w, false, value, 4);
}

void vks_gguf_add_f32(vks_gguf_writer *w, const char *key, float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    begin_value(w, key, VKS_GGUF_F32);
    append_number(w, false, bits, 4);
}

void vks_gguf_add_bool(vks_gguf_writer *w, const char *key, bool value) {
    begin_value(w, key, VKS_GGUF_BOOL);
    append_number(w, false, value, 1);
}

void vks_gguf_add_string(vks_gguf_writer *w, const char *key, const char *value) {
    begin_value(w, key, VKS_GGUF_STRING);
    append_text(w, false, value, strlen(value));
}

static void begin_array(vks_gguf_writer *w, const char *key, vks_gguf_type type, size_t n) {
    begin_value(w, key, VKS_GGUF_ARRAY);
    append_number(w, false, type, 4);
    append_number(w, false, n, 8);
}

void vks_gguf_add_i32s(vks_gguf_writer *w, const char *key, const int32_t *values, size_t n) {
    begin_array(w, key, VKS_GGUF_I32, n);
    for (size_t i = 0; i < n; i++)
        append_number(w, false, (uint32_t)values[i], 4);
}

void vks_gguf_add_strings(vks_gguf_writer *w, const char *key, size_t n) {
    begin_array(w, key, VKS_GGUF_STRING, n);
}

void vks_gguf_add_item(vks_gguf_writer *w, const char *text, size_t size) {
    append_text(w, false, text, size);
}

// ---- tensors --------------------------------------------------------------------------------------------------------

void vks_gguf_add_tensor(vks_gguf_writer *w, const char *name, vkssm_dtype dtype, uint32_t n_dim,
                         const uint64_t *shape) {
    uint64_t n = 1;
    append_text(w, true, name, strlen(name));
    append_number(w, true, n_dim, 4);
    for (uint32_t i = n_dim; i-- > 0;) {
        append_number(w, true, shape[i], 8);
        n *= shape[i];
    }
    append_number(w, true, (uint32_t)vks_gguf_tensor_type(dtype), 4);
    append_number(w, true, w->data_size, 8);
    w->data_size += vks_align_up(vks_quant_file_size(dtype, n), ALIGNMENT);
    w->n_tensor++;
}

vkssm_status vks_gguf_write_header(const vks_gguf_writer *w, vks_file_write *file) {
    vks_gguf_writer start = {0};
    append(&start, false, "GGUF", 4);
    append_number(&start, false, VERSION, 4);
    append_number(&start, false, w->n_tensor, 8);
    append_number(&start, false, w->n_value, 8);
    vkssm_status status = VKSSM_OK;
    if (w->failed || start.failed) {
        status = vks_fail(file->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the header", file->path);
        goto done;
    }
    VKS_TRY_GOTO(vks_file_write_bytes(file, start.values, start.value_size), done);
    VKS_TRY_GOTO(vks_file_write_bytes(file, w->values, w->value_size), done);
    VKS_TRY_GOTO(vks_file_write_bytes(file, w->infos, w->info_size), done);
    status = vks_gguf_write_padding(file, start.value_size + w->value_size + w->info_size);
done:
    vks_gguf_writer_finish(&start);
    return status;
}

vkssm_status vks_gguf_write_padding(vks_file_write *file, uint64_t size) {
    static const uint8_t zeros[ALIGNMENT];
    return vks_file_write_bytes(file, zeros, vks_align_up(size, ALIGNMENT) - size);
}

void vks_gguf_writer_finish(vks_gguf_writer *w) {
    vks_free(w->values);
    vks_free(w->infos);
    memset(w, 0, sizeof *w);
}

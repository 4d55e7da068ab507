#include "binder.h"

#include <math.h>
#include <string.h>

#include "host/base/alloc.h"
#include "host/base/half.h"
#include "host/base/quant.h"

enum { ITEM_ALIGNMENT = 256, ROW_ALIGNMENT = 8 };

const vkssm_log *vks_binder_log(const vks_binder *binder) {
    return binder->log;
}

static bool is_float(vkssm_dtype dtype) {
    return dtype == VKSSM_DTYPE_F32 || dtype == VKSSM_DTYPE_F16 || dtype == VKSSM_DTYPE_BF16;
}

static uint64_t n_element(const vkssm_named_tensor *tensor) {
    uint64_t n = 1;
    for (uint32_t i = 0; i < tensor->n_dim; i++)
        n *= tensor->shape[i]; // checked against the byte count by the reader
    return n;
}

static vkssm_status add(vks_binder *binder, const vks_binder_item *item) {
    if (!vks_grow((void **)&binder->items, &binder->capacity, binder->n_item + 1, sizeof *binder->items))
        return vks_fail(binder->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the list of weights", binder->path);
    for (uint32_t i = 0; i < item->n_part; i++) {
        vkssm_dtype dtype = item->parts[i].source.dtype;
        if (!is_float(dtype) && !(item->is_matrix && vks_is_block_type(dtype)))
            return vks_fail(binder->log, VKSSM_ERR_UNSUPPORTED, "%s: tensor %s: F32, F16 or BF16 expected, %s found",
                            binder->path, item->parts[i].source.name, vkssm_dtype_name(item->parts[i].source.dtype));
        if (!item->owned) binder->n_parameter += n_element(&item->parts[i].source);
    }
    binder->items[binder->n_item++] = *item;
    binder->size += vks_align_up(item->size, ITEM_ALIGNMENT);
    return VKSSM_OK;
}

static void note_matrix(vks_binder *binder, uint64_t n, vkssm_dtype dtype) {
    if (n <= binder->largest_matrix) return;
    binder->largest_matrix = n;
    binder->matrix_dtype = dtype;
}

// Embedding and head, by the names that checkpoints give them: see vks_quant_table_type.
static bool is_table(const char *name) {
    return strstr(name, "embed") || strstr(name, "lm_head");
}

// The type of a matrix on the device.
static vkssm_dtype storage_type(const vks_binder *binder, const char *name, vkssm_dtype found, uint32_t n_column) {
    vkssm_dtype wanted = binder->convert_to;
    if (!binder->convert) return found;
    if (!vks_is_block_type(wanted)) return wanted;
    if (is_table(name)) wanted = vks_quant_table_type(wanted);
    if (!vks_is_block_type(wanted)) return found; // as exact as it was
    return vks_quant_fitting_type(wanted, n_column);
}

// A matrix without memory, and the bytes it needs.
static vks_tensor make_matrix(vkssm_dtype dtype, uint32_t n_row, uint32_t n_column, uint64_t *size) {
    vks_tensor matrix = vks_is_block_type(dtype)
                            ? vks_tensor_blocks(0, dtype, n_row, n_column)
                            : vks_tensor_rows(0, dtype, n_row, n_column, vks_align_up(n_column, ROW_ALIGNMENT));
    *size = n_row * matrix.stride[0] * (vks_is_block_type(dtype) ? sizeof(uint32_t) : vkssm_dtype_size(dtype));
    return matrix;
}

static vkssm_status add_matrix(vks_binder *binder, const vkssm_named_tensor *source, vkssm_dtype dtype, uint32_t n_row,
                               uint32_t n_column, vks_tensor *out) {
    uint64_t size;
    *out = make_matrix(dtype, n_row, n_column, &size);
    note_matrix(binder, (uint64_t)n_row * n_column, dtype);
    return add(binder, &(vks_binder_item){
                           .out = out, .size = size, .n_part = 1, .parts = {{.source = *source}}, .is_matrix = true});
}

vkssm_status vks_bind_matrix(vks_binder *binder, const vkssm_named_tensor *source, uint32_t n_row, uint32_t n_column,
                             vks_tensor *out) {
    vkssm_dtype dtype = storage_type(binder, source->name, source->dtype, n_column);
    return add_matrix(binder, source, dtype, n_row, n_column, out);
}

vkssm_status vks_bind_float_matrix(vks_binder *binder, const vkssm_named_tensor *source, uint32_t n_row,
                                   uint32_t n_column, vks_tensor *out) {
    vkssm_dtype dtype = storage_type(binder, source->name, source->dtype, n_column);
    if (vks_is_block_type(dtype)) dtype = VKSSM_DTYPE_F16;
    return add_matrix(binder, source, dtype, n_row, n_column, out);
}

vkssm_status vks_bind_array(vks_binder *binder, const vks_bind_part *parts, uint32_t n_part, uint32_t n_dim,
                            const uint32_t *shape, vks_tensor *out) {
    vks_binder_item item = {.out = out, .n_part = n_part};
    if (n_part > VKS_COUNT(item.parts))
        return vks_fail(binder->log, VKSSM_ERR_INTERNAL, "%s: an array of %u parts, at most %zu", binder->path, n_part,
                        VKS_COUNT(item.parts));
    *out = vks_tensor_dense(0, VKSSM_DTYPE_F32, n_dim, shape);
    uint64_t n = 1, n_given = 0;
    for (uint32_t i = 0; i < n_dim; i++)
        n *= shape[i];
    for (uint32_t i = 0; i < n_part; i++) {
        item.parts[i] = parts[i];
        n_given += n_element(&parts[i].source);
    }
    if (n != n_given)
        return vks_fail(binder->log, VKSSM_ERR_FORMAT, "%s: tensor %s: %llu values expected, %llu found", binder->path,
                        parts[0].source.name, (unsigned long long)n, (unsigned long long)n_given);
    item.size = n * sizeof(float);
    return add(binder, &item);
}

// A part that reads `values` as it would read a file's tensor.
static vks_bind_part computed_part(const char *name, const float *values, uint64_t n) {
    return (vks_bind_part){.source = {.name = name,
                                      .dtype = VKSSM_DTYPE_F32,
                                      .n_dim = 1,
                                      .shape = {n},
                                      .data = values,
                                      .size = n * sizeof *values}};
}

static vkssm_status add_computed(vks_binder *binder, vks_binder_item *item, float *values, uint64_t n_parameter) {
    item->owned = values;
    vkssm_status status = add(binder, item);
    if (status == VKSSM_OK)
        binder->n_parameter += n_parameter;
    else
        vks_free(values);
    return status;
}

static vkssm_status add_computed_matrix(vks_binder *binder, const char *name, float *values, uint64_t n_parameter,
                                        vkssm_dtype dtype, uint32_t n_row, uint32_t n_column, vks_tensor *out) {
    uint64_t size, n = (uint64_t)n_row * n_column;
    *out = make_matrix(dtype, n_row, n_column, &size);
    note_matrix(binder, n, dtype);
    vks_binder_item item = {
        .out = out, .size = size, .n_part = 1, .parts = {computed_part(name, values, n)}, .is_matrix = true};
    return add_computed(binder, &item, values, n_parameter);
}

vkssm_status vks_bind_computed_matrix(vks_binder *binder, const char *name, float *values, uint64_t n_parameter,
                                      uint32_t n_row, uint32_t n_column, vks_tensor *out) {
    vkssm_dtype dtype = storage_type(binder, name, VKSSM_DTYPE_F32, n_column);
    return add_computed_matrix(binder, name, values, n_parameter, dtype, n_row, n_column, out);
}

vkssm_status vks_bind_computed_kernel(vks_binder *binder, const char *name, float *values, uint64_t n_parameter,
                                      uint32_t n_row, uint32_t n_column, vks_tensor *out) {
    vkssm_dtype dtype = storage_type(binder, name, VKSSM_DTYPE_F32, n_column);
    if (vks_is_block_type(dtype)) dtype = VKSSM_DTYPE_F16; // convolutions read no blocks
    return add_computed_matrix(binder, name, values, n_parameter, dtype, n_row, n_column, out);
}

vkssm_status vks_bind_computed_array(vks_binder *binder, const char *name, float *values, uint64_t n_parameter,
                                     uint32_t n_dim, const uint32_t *shape, vks_tensor *out) {
    *out = vks_tensor_dense(0, VKSSM_DTYPE_F32, n_dim, shape);
    uint64_t n = 1;
    for (uint32_t i = 0; i < n_dim; i++)
        n *= shape[i];
    vks_binder_item item = {
        .out = out, .size = n * sizeof *values, .n_part = 1, .parts = {computed_part(name, values, n)}};
    return add_computed(binder, &item, values, n_parameter);
}

float vks_synthetic_value(const vkssm_named_tensor *source, uint64_t i) {
    static const struct {
        const char *name;
        float low, high;
    } known[] = {{"A_log", 0, 2}, {"dt_bias", -5, -3}, {"D", 1, 1}, {"norm", 1, 1}};
    uint64_t hash = (i + 1) * 0x9e3779b97f4a7c15u; // splitmix64
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
    float part = (float)(hash >> 40) * 0x1p-24f;
    for (size_t k = 0; k < VKS_COUNT(known); k++)
        if (strcmp(source->name, known[k].name) == 0) return known[k].low + (known[k].high - known[k].low) * part;
    return (2 * part - 1) / sqrtf((float)(source->n_dim ? source->shape[source->n_dim - 1] : 1));
}

// Element i of a file's tensor; its data need not be aligned.
static float read_element(const vkssm_named_tensor *tensor, uint64_t i) {
    if (!tensor->data) return vks_synthetic_value(tensor, i);
    const uint8_t *data = tensor->data;
    uint16_t half;
    float value;
    if (tensor->dtype == VKSSM_DTYPE_F32) {
        memcpy(&value, data + 4 * i, 4);
        return value;
    }
    memcpy(&half, data + 2 * i, 2);
    return tensor->dtype == VKSSM_DTYPE_F16 ? vks_f16_to_f32(half) : vks_bf16_to_f32(half);
}

static void write_element(uint8_t *data, vkssm_dtype dtype, uint64_t i, float value) {
    uint16_t half;
    if (dtype == VKSSM_DTYPE_F32) {
        memcpy(data + 4 * i, &value, 4);
        return;
    }
    half = dtype == VKSSM_DTYPE_F16 ? vks_f32_to_f16(value) : vks_f32_to_bf16(value);
    memcpy(data + 2 * i, &half, 2);
}

// ---- matrices -------------------------------------------------------------------------------------------------------

// A made-up matrix takes its rows from one stretch of values, or of rows for block types, each from another place:
// making every value by itself would take longer than bringing it to the device.
enum { N_STRETCH = 1 << 16, N_STRETCH_ROW = 61 };

// What filling the rows of a matrix needs besides them.
typedef struct row_maker {
    const vks_tensor *tensor;
    const vkssm_named_tensor *source;
    uint64_t n_column, row_size; // bytes on the device
    uint8_t *stretch;            // of a made-up matrix
    float *values;               // a row, of block types
    uint8_t *blocks;             // a row as in a file
} row_maker;

// A row of values, wherever they come from.
static void read_values(const vkssm_named_tensor *source, uint64_t first, uint64_t n, float *values) {
    if (vks_is_block_type(source->dtype)) { // rows begin with a block
        const uint8_t *data = source->data;
        vks_quant_decode(source->dtype, data + vks_quant_file_size(source->dtype, first), n, values);
        return;
    }
    for (uint64_t i = 0; i < n; i++)
        values[i] = read_element(source, first + i);
}

static void encode_row(const row_maker *m, uint64_t first, uint8_t *out) {
    vkssm_dtype dtype = m->tensor->dtype;
    const uint8_t *blocks = m->blocks;
    if (m->source->dtype == dtype && m->source->data) {
        blocks = (const uint8_t *)m->source->data + vks_quant_file_size(dtype, first);
    } else {
        read_values(m->source, first, m->n_column, m->values);
        vks_quant_encode(dtype, m->values, m->n_column, m->blocks);
    }
    vks_quant_repack(dtype, blocks, m->n_column, out);
}

static void make_stretch(const row_maker *m, uint64_t begin) {
    uint64_t n = N_STRETCH + m->n_column;
    if (vks_is_block_type(m->tensor->dtype))
        for (uint64_t r = 0; r < N_STRETCH_ROW; r++)
            encode_row(m, begin + r * m->n_column, m->stretch + r * m->row_size);
    else
        for (uint64_t i = 0; i < n; i++)
            write_element(m->stretch, m->tensor->dtype, i, vks_synthetic_value(m->source, begin + i));
}

static void finish_rows(row_maker *m) {
    vks_free(m->stretch);
    vks_free(m->values);
    vks_free(m->blocks);
}

static vkssm_status begin_rows(const vks_binder *binder, const vks_binder_item *item, row_maker *m) {
    const vks_tensor *tensor = item->out;
    uint64_t size = vkssm_dtype_size(tensor->dtype), n = tensor->shape[1];
    bool is_block = vks_is_block_type(tensor->dtype), decodes = vks_is_block_type(item->parts[0].source.dtype);
    *m = (row_maker){.tensor = tensor, .source = &item->parts[0].source, .n_column = n};
    m->row_size = tensor->stride[0] * (is_block ? sizeof(uint32_t) : size);
    bool ok = true;
    if (is_block || decodes) {
        m->values = vks_alloc((size_t)n * sizeof *m->values);
        m->blocks = vks_alloc((size_t)vks_quant_file_size(tensor->dtype, n));
        ok = m->values && m->blocks;
    }
    if (!m->source->data) {
        m->stretch = vks_alloc((size_t)(is_block ? N_STRETCH_ROW * m->row_size : (N_STRETCH + n) * size));
        ok = ok && m->stretch;
        if (ok) make_stretch(m, (uint64_t)(item - binder->items) * N_STRETCH);
    }
    if (ok) return VKSSM_OK;
    finish_rows(m);
    return vks_fail(binder->log, VKSSM_ERR_OOM_HOST, "%s: tensor %s: out of memory", binder->path,
                    item->parts[0].source.name);
}

static void fill_rows(const row_maker *m, uint32_t first, uint32_t n_row, uint8_t *out) {
    const vks_tensor *tensor = m->tensor;
    const vkssm_named_tensor *source = m->source;
    uint64_t n = m->n_column, size = vkssm_dtype_size(tensor->dtype);
    for (uint32_t r = 0; r < n_row; r++) {
        uint8_t *row = out + r * m->row_size;
        uint64_t index = first + r, at = index * n;
        if (vks_is_block_type(tensor->dtype)) {
            if (m->stretch)
                memcpy(row, m->stretch + index % N_STRETCH_ROW * m->row_size, m->row_size);
            else
                encode_row(m, at, row);
            continue;
        }
        if (m->stretch) {
            memcpy(row, m->stretch + index * UINT64_C(40503) % N_STRETCH * size, n * size);
        } else if (source->dtype == tensor->dtype) {
            memcpy(row, (const uint8_t *)source->data + at * size, n * size);
        } else if (m->values) {
            read_values(source, at, n, m->values);
            for (uint64_t i = 0; i < n; i++)
                write_element(row, tensor->dtype, i, m->values[i]);
        } else {
            for (uint64_t i = 0; i < n; i++)
                write_element(row, tensor->dtype, i, read_element(source, at + i));
        }
        memset(row + n * size, 0, m->row_size - n * size);
    }
}

static vkssm_status upload_rows(const row_maker *m, vks_upload *upload, const vks_buffer *buffer) {
    uint64_t per_piece = vks_upload_max_size(upload) / m->row_size;
    if (per_piece == 0) // wider than any real model: 4 MiB a row
        return vks_fail(NULL, VKSSM_ERR_UNSUPPORTED, "tensor %s: rows of at most %llu bytes expected, %llu found",
                        m->source->name, (unsigned long long)vks_upload_max_size(upload),
                        (unsigned long long)m->row_size);
    uint32_t n_row = m->tensor->shape[0];
    for (uint64_t first = 0; first < n_row; first += per_piece) {
        uint32_t n = (uint32_t)(n_row - first < per_piece ? n_row - first : per_piece);
        void *staging;
        VKS_TRY(vks_upload_map(upload, buffer, first * m->row_size, n * m->row_size, &staging));
        fill_rows(m, (uint32_t)first, n, staging);
    }
    return VKSSM_OK;
}

static vkssm_status upload_matrix(const vks_binder *binder, const vks_binder_item *item, vks_upload *upload,
                                  const vks_buffer *buffer) {
    row_maker maker;
    VKS_TRY(begin_rows(binder, item, &maker));
    vkssm_status status = upload_rows(&maker, upload, buffer);
    finish_rows(&maker);
    return status;
}

// ---- arrays ---------------------------------------------------------------------------------------------------------

static void fill_part(const vks_bind_part *part, float *out) {
    const vkssm_named_tensor *source = &part->source;
    uint64_t n = n_element(source);
    if (part->transform == VKS_TRANSFORM_TRANSPOSE) {
        uint64_t n_tap = source->shape[source->n_dim - 1], n_channel = n / n_tap;
        for (uint64_t c = 0; c < n_channel; c++)
            for (uint64_t j = 0; j < n_tap; j++)
                out[j * n_channel + c] = read_element(source, c * n_tap + j);
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        float value = read_element(source, i);
        out[i] = part->transform == VKS_TRANSFORM_NEGATIVE_EXP ? -expf(value) : value;
    }
}

static vkssm_status upload_array(const vks_binder_item *item, vks_upload *upload, const vks_buffer *buffer) {
    float *values = vks_alloc((size_t)item->size);
    if (!values) return vks_fail(NULL, VKSSM_ERR_OOM_HOST, "tensor %s: out of memory", item->parts[0].source.name);
    uint64_t at = 0;
    for (uint32_t i = 0; i < item->n_part; i++) {
        fill_part(&item->parts[i], values + at);
        at += n_element(&item->parts[i].source);
    }
    vkssm_status status = vks_upload_bytes(upload, buffer, 0, values, item->size);
    vks_free(values);
    return status;
}

vkssm_status vks_binder_upload(vks_binder *binder, vks_device *device, vks_arena *arena,
                               const vkssm_progress *progress) {
    vks_upload *upload = NULL;
    uint64_t total = 0; // without what alignment adds, so that progress ends at the total
    for (size_t i = 0; i < binder->n_item; i++)
        total += binder->items[i].size;
    VKS_TRY(vks_upload_begin(device, total, progress, &upload));
    vkssm_status status;
    for (size_t i = 0; i < binder->n_item; i++) {
        vks_binder_item *item = &binder->items[i];
        vks_buffer buffer;
        VKS_TRY_GOTO(vks_arena_alloc(arena, item->size, item->parts[0].source.name, &buffer), fail);
        item->out->address = buffer.address;
        if (item->is_matrix) {
            status = upload_matrix(binder, item, upload, &buffer);
        } else {
            status = upload_array(item, upload, &buffer);
        }
        if (status != VKSSM_OK) goto fail;
    }
    return vks_upload_end(&upload);
fail:
    vks_upload_abort(&upload);
    return status;
}

void vks_binder_finish(vks_binder *binder) {
    for (size_t i = 0; i < binder->n_item; i++)
        vks_free(binder->items[i].owned);
    vks_free(binder->items);
    binder->items = NULL;
}

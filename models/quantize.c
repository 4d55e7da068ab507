// vkssm_quantize: a checkpoint tensor by tensor into a GGUF file.
#include <vkssm/quantize.h>

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "gguf_export.h"
#include "host/base/alloc.h"
#include "host/base/half.h"
#include "host/base/quant.h"
#include "models/models.h"

// ---- types ----------------------------------------------------------------------------------------------------------

static bool same_word(const char *a, const char *b, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (!b[i] || toupper((unsigned char)a[i]) != toupper((unsigned char)b[i])) return false;
    return b[size] == 0;
}

static bool find_type(const char *name, size_t size, vkssm_dtype *out) {
    for (int i = 0; i < VKSSM_DTYPE_COUNT; i++)
        if (size > 0 && same_word(name, vkssm_dtype_name((vkssm_dtype)i), size)) {
            *out = (vkssm_dtype)i;
            return true;
        }
    return false;
}

bool vkssm_dtype_from_name(const char *name, vkssm_dtype *out) {
    return name && out && find_type(name, strlen(name), out);
}

static bool can_write(vkssm_dtype dtype) {
    return dtype == VKSSM_DTYPE_F32 || dtype == VKSSM_DTYPE_F16 || vks_is_block_type(dtype);
}

// Whether `name` follows the first `size` characters of a pattern of * and ?. Takes back only the last *: linear
// enough.
static bool matches(const char *pattern, size_t size, const char *name) {
    size_t p = 0, star = SIZE_MAX;
    const char *again = name;
    while (*name) {
        if (p < size && pattern[p] == '*') {
            star = p++;
            again = name;
        } else if (p < size && (pattern[p] == '?' || pattern[p] == *name)) {
            p++;
            name++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            name = ++again;
        } else {
            return false;
        }
    }
    while (p < size && pattern[p] == '*')
        p++;
    return p == size;
}

// Call for each "PATTERN=TYPE" of the list: the type of the first that matches `name`; name NULL: only check the list.
static vkssm_status find_override(const char *list, const char *name, const vkssm_log *log, vkssm_dtype *out) {
    while (list && *list) {
        size_t size = strcspn(list, ","), equals = 0;
        vkssm_dtype type;
        while (equals < size && list[equals] != '=')
            equals++;
        if (equals == 0 || equals >= size || !find_type(list + equals + 1, size - equals - 1, &type) ||
            !can_write(type))
            return vks_fail(log, VKSSM_ERR_ARG,
                            "overrides: PATTERN=TYPE with a type of F32, F16, Q8_0, Q4_0, Q4_K, Q6_K "
                            "expected, \"%.*s\" found",
                            size < 80 ? (int)size : 80, list);
        if (name && matches(list, equals, name)) {
            *out = type;
            return VKSSM_OK;
        }
        list += size + (list[size] == ',');
    }
    return VKSSM_OK;
}

static vkssm_status choose_type(const vks_export_tensor *t, const vkssm_quantize_params *params, const vkssm_log *log,
                                vkssm_dtype *out) {
    *out = VKSSM_DTYPE_F32;
    if (!t->is_matrix) return VKSSM_OK;
    *out = params->type;
    if (t->is_table) *out = params->convert_tables ? params->table_type : vks_quant_table_type(params->type);
    VKS_TRY(find_override(params->overrides, t->name, log, out));
    *out = vks_quant_fitting_type(*out, t->shape[1]);
    return VKSSM_OK;
}

// ---- one tensor -----------------------------------------------------------------------------------------------------

enum { PIECE = 1 << 16 }; // values at a time, at least a row

typedef struct job {
    const vkssm_quantize_params *params;
    const vkssm_log *log;
    vks_export export;
    vkssm_dtype *types; // by tensor
    vks_file_write file;
    uint64_t done, total; // bytes read
} job;

static float value_of(const vkssm_named_tensor *source, uint64_t i) {
    uint16_t half;
    float value = 0;
    const uint8_t *data = source->data;
    if (!data) return 0;
    if (source->dtype == VKSSM_DTYPE_F32) {
        memcpy(&value, data + 4 * i, 4);
        return value;
    }
    memcpy(&half, data + 2 * i, 2);
    return source->dtype == VKSSM_DTYPE_F16 ? vks_f16_to_f32(half) : vks_bf16_to_f32(half);
}

// n values from the at-th on.
static vkssm_status read_values(const job *j, const vks_export_tensor *t, uint64_t at, uint64_t n, float *values) {
    for (uint64_t i = 0; i < n; i++) {
        float value = value_of(&t->source, at + i);
        values[i] = t->negative_exp ? -expf(value) : value;
        if (!isfinite(values[i]))
            return vks_fail(j->log, VKSSM_ERR_FORMAT, "%s: tensor %s: finite values expected, %g found at %llu",
                            j->export.path, t->source.name, (double)values[i], (unsigned long long)(at + i));
    }
    return VKSSM_OK;
}

// Values as bytes of the type, and back, so that the error is that of what was written.
static void convert(vkssm_dtype type, float *values, uint64_t n, uint8_t *bytes, float *back) {
    if (vks_is_block_type(type)) {
        vks_quant_encode(type, values, n, bytes);
        vks_quant_decode(type, bytes, n, back);
        return;
    }
    if (type == VKSSM_DTYPE_F32) {
        memcpy(bytes, values, n * sizeof *values);
        memcpy(back, values, n * sizeof *values);
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint16_t half = vks_f32_to_f16(values[i]);
        memcpy(bytes + 2 * i, &half, 2);
        back[i] = vks_f16_to_f32(half);
    }
}

static vkssm_status report(job *j, uint64_t n, const vkssm_named_tensor *source) {
    const vkssm_progress *progress = &j->params->progress;
    j->done += source->data ? n * vkssm_dtype_size(source->dtype) : 0;
    if (!progress->callback || progress->callback(progress->user, j->done, j->total)) return VKSSM_OK;
    return vks_fail(j->log, VKSSM_ERR_CANCELLED, "%s: cancelled", j->export.path);
}

static vkssm_status write_values(job *j, const vks_export_tensor *t, vkssm_dtype type, uint64_t piece, float *values,
                                 float *back, uint8_t *bytes, double *error) {
    uint64_t n = 1;
    double sum = 0, change = 0;
    for (uint32_t i = 0; i < t->n_dim; i++)
        n *= t->shape[i];
    for (uint64_t at = 0; at < n; at += piece) {
        uint64_t part = n - at < piece ? n - at : piece;
        VKS_TRY(read_values(j, t, at, part, values));
        convert(type, values, part, bytes, back);
        for (uint64_t i = 0; i < part; i++) {
            double gap = (double)back[i] - values[i];
            if (!(gap - gap == 0))
                return vks_fail(j->log, VKSSM_ERR_UNSUPPORTED, "%s: tensor %s: values that %s holds expected, %g found",
                                j->export.path, t->source.name, vkssm_dtype_name(type), (double)values[i]);
            change += gap * gap;
            sum += (double)values[i] * values[i];
        }
        VKS_TRY(vks_file_write_bytes(&j->file, bytes, vks_quant_file_size(type, part)));
        VKS_TRY(report(j, part, &t->source));
    }
    *error = sum > 0 ? sqrt(change / sum) : 0;
    return vks_gguf_write_padding(&j->file, vks_quant_file_size(type, n));
}

static vkssm_status write_tensor(job *j, const vks_export_tensor *t, vkssm_dtype type) {
    uint64_t row = t->shape[t->n_dim - 1], piece = row < PIECE ? PIECE / row * row : row; // whole rows, so whole blocks
    vkssm_quantized_tensor told = {.name = t->name, .n_dim = t->n_dim, .from = t->source.dtype, .to = type};
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->n_dim; i++)
        n *= told.shape[i] = t->shape[i];
    told.size = vks_quant_file_size(type, n);
    float *values = vks_alloc((size_t)piece * sizeof *values), *back = vks_alloc((size_t)piece * sizeof *back);
    uint8_t *bytes = vks_alloc((size_t)piece * sizeof(float));
    vkssm_status status = values && back && bytes ? write_values(j, t, type, piece, values, back, bytes, &told.error)
                                                  : vks_fail(j->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %s",
                                                             j->export.path, t->name);
    vks_free(values);
    vks_free(back);
    vks_free(bytes);
    if (status == VKSSM_OK && j->params->on_tensor) j->params->on_tensor(j->params->user, &told);
    return status;
}

// ---- the file -------------------------------------------------------------------------------------------------------

static vkssm_status write_file(job *j, const vks_token_lists *tokenizer, const char *out_path) {
    vks_gguf_writer writer = {0};
    vkssm_status status;
    vks_export *e = &j->export;
    vks_export_keys(e, tokenizer, j->params->type, &writer);
    j->types = vks_alloc_zero(e->n_tensor, sizeof *j->types);
    if (!j->types) {
        status = vks_fail(j->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the list of tensors", e->path);
        goto done;
    }
    for (size_t i = 0; i < e->n_tensor; i++) {
        const vks_export_tensor *t = &e->tensors[i];
        VKS_TRY_GOTO(choose_type(t, j->params, j->log, &j->types[i]), done);
        vks_gguf_add_tensor(&writer, t->name, j->types[i], t->n_dim, t->shape);
        j->total += t->source.data ? t->source.size : 0;
    }
    VKS_TRY_GOTO(vks_file_write_begin(out_path, j->log, &j->file), done);
    VKS_TRY_GOTO(vks_gguf_write_header(&writer, &j->file), fail);
    for (size_t i = 0; i < e->n_tensor; i++)
        VKS_TRY_GOTO(write_tensor(j, &e->tensors[i], j->types[i]), fail);
    status = vks_file_write_commit(&j->file);
    goto done;
fail:
    vks_file_write_abort(&j->file);
done:
    vks_free(j->types);
    vks_gguf_writer_finish(&writer);
    return status;
}

static vkssm_status quantize(const char *model, const char *out_path, job *j) {
    vks_config *config = NULL;
    vks_weights *weights = NULL;
    vkssm_tokenizer *tokenizer = NULL;
    vks_token_lists lists = {0};
    vkssm_status status;
    VKS_TRY_GOTO(vks_models_open_folder(model, j->log, &config, &tokenizer), done);
    VKS_TRY_GOTO(vks_models_check(config, "mamba2"), done);
    VKS_TRY_GOTO(vks_weights_open(model, j->log, &weights), done);
    VKS_TRY_GOTO(vks_export_read(config, weights, &j->export), done);
    if (tokenizer) VKS_TRY_GOTO(vks_tokenizer_to_lists(tokenizer, model, j->export.n_vocab, j->log, &lists), done);
    status = write_file(j, tokenizer ? &lists : NULL, out_path);
done:
    vks_token_lists_finish(&lists);
    vks_export_finish(&j->export);
    vks_weights_destroy(&weights);
    vkssm_tokenizer_destroy(&tokenizer);
    vks_config_destroy(&config);
    return status;
}

vkssm_status vkssm_quantize(const char *model, const char *out_path, const vkssm_quantize_params *params,
                            const vkssm_log *log) {
    vkssm_quantize_params defaults = {0};
    if (!model || !out_path) return vks_fail(log, VKSSM_ERR_ARG, "quantize: a model and a path to write expected");
    if (!params) params = &defaults;
    if (!can_write(params->type) || (params->convert_tables && !can_write(params->table_type)))
        return vks_fail(log, VKSSM_ERR_ARG, "quantize: F32, F16, Q8_0, Q4_0, Q4_K or Q6_K expected, %s and %s found",
                        vkssm_dtype_name(params->type), vkssm_dtype_name(params->table_type));
    vkssm_dtype ignored;
    VKS_TRY(find_override(params->overrides, NULL, log, &ignored));
    job j = {.params = params, .log = log};
    return quantize(model, out_path, &j);
}

#include "bind.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "host/base/alloc.h"
#include "host/base/half.h"
#include "host/base/status.h"

enum { NAME_SIZE = 256 };

void vks_bind_prefix(vks_bind *bind, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(bind->prefix, sizeof bind->prefix, format, args);
    va_end(args);
}

static const char *shape_text(char *text, size_t size, uint32_t n_dim, const uint64_t *shape) {
    size_t at = (size_t)snprintf(text, size, "[");
    for (uint32_t i = 0; i < n_dim && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%llu", i ? ", " : "", (unsigned long long)shape[i]);
    if (at < size) snprintf(text + at, size - at, "]");
    return text;
}

// Without weights every tensor asked for is made up; see vks_synthetic_value.
static void make_up(const char *name, uint32_t n_dim, const uint64_t *shape, vkssm_named_tensor *out) {
    static const char *const kinds[] = {"A_log", "dt_bias", "D"};
    *out = (vkssm_named_tensor){.name = strstr(name, "norm")                                   ? "norm"
                                        : strstr(name, "embedding") || strstr(name, "lm_head") ? "embedding"
                                                                                               : "weights",
                                .dtype = VKSSM_DTYPE_F16,
                                .n_dim = n_dim};
    for (size_t i = 0; i < VKS_COUNT(kinds); i++)
        if (strcmp(name, kinds[i]) == 0) out->name = kinds[i];
    out->size = vkssm_dtype_size(out->dtype);
    for (uint32_t i = 0; i < n_dim; i++) {
        out->shape[i] = shape[i];
        out->size *= shape[i];
    }
}

bool vks_bind_has(const vks_bind *bind, const char *name) {
    if (!bind->weights) return false;
    char full[NAME_SIZE];
    vkssm_named_tensor tensor;
    snprintf(full, sizeof full, "%s%s", bind->prefix, name);
    return vks_weights_find(bind->weights, full, &tensor);
}

vkssm_status vks_bind_find(const vks_bind *bind, const char *name, uint32_t n_dim, const uint64_t *shape,
                           vkssm_named_tensor *out) {
    if (!bind->weights) {
        make_up(name, n_dim, shape, out);
        return VKSSM_OK;
    }
    char full[NAME_SIZE], wanted[96], found[192];
    const char *path = vks_weights_path(bind->weights);
    snprintf(full, sizeof full, "%s%s", bind->prefix, name);
    shape_text(wanted, sizeof wanted, n_dim, shape);
    if (!vks_weights_find(bind->weights, full, out))
        return vks_fail(bind->log, VKSSM_ERR_FORMAT, "%s: tensor %s of shape %s expected, none found", path, full,
                        wanted);
    bool same = out->n_dim == n_dim;
    for (uint32_t i = 0; same && i < n_dim; i++)
        same = out->shape[i] == shape[i];
    if (!same)
        return vks_fail(bind->log, VKSSM_ERR_FORMAT, "%s: tensor %s: shape %s expected, %s found", path, full, wanted,
                        shape_text(found, sizeof found, out->n_dim, out->shape));
    return VKSSM_OK;
}

vkssm_status vks_bind_find_a(const vks_bind *bind, const char *log_name, uint32_t n_dim, const uint64_t *shape,
                             vks_bind_part *out) {
    bool ready = !vks_bind_has(bind, log_name) && vks_bind_has(bind, "A");
    out->transform = ready ? VKS_TRANSFORM_NONE : VKS_TRANSFORM_NEGATIVE_EXP;
    return vks_bind_find(bind, ready ? "A" : log_name, n_dim, shape, &out->source);
}

vkssm_status vks_bind_named_matrix(const vks_bind *bind, const char *name, uint32_t n_row, uint32_t n_column,
                                   vks_tensor *out) {
    vkssm_named_tensor source;
    VKS_TRY(vks_bind_find(bind, name, 2, (uint64_t[]){n_row, n_column}, &source));
    return vks_bind_matrix(bind->binder, &source, n_row, n_column, out);
}

vkssm_status vks_bind_named_vector(const vks_bind *bind, const char *name, uint32_t n, vks_tensor *out) {
    vks_bind_part part = {0};
    VKS_TRY(vks_bind_find(bind, name, 1, (uint64_t[]){n}, &part.source));
    return vks_bind_array(bind->binder, &part, 1, 1, (uint32_t[]){n}, out);
}

vkssm_status vks_bind_named_conv(const vks_bind *bind, const char *name, uint32_t n_channel, uint32_t n_tap,
                                 vks_tensor *out) {
    vks_bind_part part = {.transform = VKS_TRANSFORM_TRANSPOSE};
    VKS_TRY(vks_bind_find(bind, name, 3, (uint64_t[]){n_channel, 1, n_tap}, &part.source));
    return vks_bind_array(bind->binder, &part, 1, 2, (uint32_t[]){n_tap, n_channel}, out);
}

static float read_value(const vkssm_named_tensor *tensor, uint64_t i) {
    if (!tensor->data) return vks_synthetic_value(tensor, i);
    const uint8_t *data = tensor->data; // not aligned
    uint16_t half;
    float value;
    if (tensor->dtype == VKSSM_DTYPE_F32) {
        memcpy(&value, data + 4 * i, 4);
        return value;
    }
    memcpy(&half, data + 2 * i, 2);
    return tensor->dtype == VKSSM_DTYPE_F16 ? vks_f16_to_f32(half) : vks_bf16_to_f32(half);
}

vkssm_status vks_bind_values(const vks_bind *bind, const char *name, uint32_t n_dim, const uint64_t *shape,
                             float **values) {
    vkssm_named_tensor source;
    VKS_TRY(vks_bind_find(bind, name, n_dim, shape, &source));
    if (source.dtype != VKSSM_DTYPE_F32 && source.dtype != VKSSM_DTYPE_F16 && source.dtype != VKSSM_DTYPE_BF16)
        return vks_fail(bind->log, VKSSM_ERR_UNSUPPORTED, "%s: tensor %s: F32, F16 or BF16 expected, %s found",
                        vks_weights_path(bind->weights), source.name, vkssm_dtype_name(source.dtype));
    uint64_t n = source.size / vkssm_dtype_size(source.dtype);
    *values = n < SIZE_MAX / sizeof **values ? vks_alloc((size_t)n * sizeof **values) : NULL;
    if (!*values)
        return vks_fail(bind->log, VKSSM_ERR_OOM_HOST, "%s: tensor %s: out of memory", vks_weights_path(bind->weights),
                        source.name);
    for (uint64_t i = 0; i < n; i++)
        (*values)[i] = read_value(&source, i);
    return VKSSM_OK;
}

vkssm_status vks_bind_flax_dense(const vks_bind *bind, const char *layer, uint32_t n_in, uint32_t n_out,
                                 vks_tensor *matrix, vks_tensor *bias) {
    char name[NAME_SIZE];
    float *kernel;
    snprintf(name, sizeof name, "%s/kernel", layer);
    VKS_TRY(vks_bind_values(bind, name, 2, (uint64_t[]){n_in, n_out}, &kernel));
    uint64_t n = (uint64_t)n_in * n_out;
    float *turned = vks_alloc((size_t)n * sizeof *turned);
    if (!turned) {
        vks_free(kernel);
        return vks_fail(bind->log, VKSSM_ERR_OOM_HOST, "%s: tensor %s%s: out of memory",
                        vks_weights_path(bind->weights), bind->prefix, name);
    }
    for (size_t i = 0; i < n_in; i++)
        for (size_t j = 0; j < n_out; j++)
            turned[j * n_in + i] = kernel[i * n_out + j];
    vks_free(kernel);
    VKS_TRY(vks_bind_computed_matrix(bind->binder, "dense kernel", turned, n, n_out, n_in, matrix));
    snprintf(name, sizeof name, "%s/bias", layer);
    return vks_bind_named_vector(bind, name, n_out, bias);
}

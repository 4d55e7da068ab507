// Checks of operands, shared by all operators.
#include "kernel.h"

#include <stdarg.h>
#include <stdio.h>

#include "host/base/quant.h"

vkssm_status vks_op_fail(const vks_op_target *target, vkssm_status status, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return vks_fail(vks_kernels_log(target->kernels), status, "%s", text);
}

static const char *shape_text(char *text, size_t size, uint32_t n_dim, const uint32_t *shape) {
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < n_dim && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%u", i ? ", " : "[", shape[i]);
    if (at < size) snprintf(text + at, size - at, "]");
    return text;
}

vkssm_status vks_check_shape(const vks_op_target *target, const char *name, const vks_tensor *tensor, uint32_t n_dim,
                             const uint32_t *shape) {
    char wanted[64], found[64];
    shape_text(wanted, sizeof wanted, n_dim, shape);
    if (!tensor->address)
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: shape %s expected, there is no tensor", name, wanted);
    bool same = tensor->n_dim == n_dim;
    for (uint32_t i = 0; same && i < n_dim; i++)
        same = tensor->shape[i] == shape[i] && shape[i] > 0;
    if (!same)
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: shape %s expected, %s found", name, wanted,
                           shape_text(found, sizeof found, tensor->n_dim, tensor->shape));
    if (tensor->stride[n_dim - 1] != 1)
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: a dense last dimension expected, stride %llu found", name,
                           (unsigned long long)tensor->stride[n_dim - 1]);
    return vks_check_alignment(target, name, tensor, 4);
}

vkssm_status vks_check_dense(const vks_op_target *target, const char *name, const vks_tensor *tensor, uint32_t dim) {
    uint64_t dense = 1;
    for (uint32_t i = tensor->n_dim; i-- > dim;) {
        if (tensor->shape[i] > 1 && tensor->stride[i] != dense)
            return vks_op_fail(target, VKSSM_ERR_ARG, "%s: a stride of dimension %u of %llu expected, %llu found", name,
                               i, (unsigned long long)dense, (unsigned long long)tensor->stride[i]);
        dense *= tensor->shape[i];
    }
    return VKSSM_OK;
}

vkssm_status vks_check_alignment(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                                 uint32_t multiple) {
    if (tensor->address % multiple == 0) return VKSSM_OK;
    return vks_op_fail(target, VKSSM_ERR_ARG, "%s: a start on %u bytes expected, address 0x%llx found", name, multiple,
                       (unsigned long long)tensor->address);
}

vkssm_status vks_check_float(const vks_op_target *target, const char *name, const vks_tensor *tensor) {
    if (tensor->dtype == VKSSM_DTYPE_F32 || tensor->dtype == VKSSM_DTYPE_F16 || tensor->dtype == VKSSM_DTYPE_BF16)
        return VKSSM_OK;
    return vks_op_fail(target, VKSSM_ERR_ARG, "%s: F32, F16 or BF16 expected, %s found", name,
                       vkssm_dtype_name(tensor->dtype));
}

vkssm_status vks_check_weights(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                               uint32_t multiple) {
    if (!vks_is_block_type(tensor->dtype)) {
        VKS_TRY(vks_check_float(target, name, tensor));
        return vks_check_stride(target, name, tensor, 0, multiple);
    }
    uint32_t length = vks_block_length(tensor->dtype), n = tensor->shape[1];
    if (n % length != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: rows of a multiple of %u values for %s expected, %u found", name,
                           length, vkssm_dtype_name(tensor->dtype), n);
    VKS_TRY(vks_check_stride(target, name, tensor, 0, 4));
    uint64_t words = vks_quant_row_size(tensor->dtype, n) / 4;
    if (tensor->stride[0] < words)
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: a row stride of at least %llu words expected, %llu found", name,
                           (unsigned long long)words, (unsigned long long)tensor->stride[0]);
    return vks_check_alignment(target, name, tensor, 16);
}

vkssm_status vks_check_dtype(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                             vkssm_dtype dtype) {
    if (tensor->dtype == dtype) return VKSSM_OK;
    return vks_op_fail(target, VKSSM_ERR_ARG, "%s: %s expected, %s found", name, vkssm_dtype_name(dtype),
                       vkssm_dtype_name(tensor->dtype));
}

vkssm_status vks_check_stride(const vks_op_target *target, const char *name, const vks_tensor *tensor, uint32_t dim,
                              uint32_t multiple) {
    uint64_t stride = tensor->stride[dim];
    if (stride % multiple == 0 && stride <= UINT32_MAX) return VKSSM_OK;
    return vks_op_fail(target, VKSSM_ERR_ARG,
                       "%s: a stride of dimension %u that is a multiple of %u expected, %llu found", name, dim,
                       multiple, (unsigned long long)stride);
}

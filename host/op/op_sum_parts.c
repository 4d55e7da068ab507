#include "kernel.h"
#include "ops.h"

#include "shaders/params/sum_parts.h"

enum { MOST_PARTS = 8, WG_SIZE = 128 }; // an invocation loads all parts before it adds them

static vkssm_status check(const vks_op_target *target, const vks_sum_parts *op) {
    uint32_t n_part = op->parts.shape[0], n_row = op->y.shape[0], n_out = op->y.shape[1];
    VKS_TRY(vks_check_shape(target, "sum_parts: y", &op->y, VKS_SHAPE(n_row, n_out)));
    VKS_TRY(vks_check_float(target, "sum_parts: y", &op->y));
    VKS_TRY(vks_check_stride(target, "sum_parts: y", &op->y, 0, op->y.dtype == VKSSM_DTYPE_F32 ? 1 : 2));
    VKS_TRY(vks_check_shape(target, "sum_parts: parts", &op->parts, VKS_SHAPE(n_part, n_row, n_out)));
    VKS_TRY(vks_check_dtype(target, "sum_parts: parts", &op->parts, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_stride(target, "sum_parts: parts", &op->parts, 1, 4));
    VKS_TRY(vks_check_alignment(target, "sum_parts: parts", &op->parts, 16));
    if (n_part > MOST_PARTS)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "sum_parts: at most %d parts expected, %u found", MOST_PARTS,
                           n_part);
    if (op->parts.stride[1] < n_out || op->parts.stride[0] != op->parts.stride[1] * n_row)
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "sum_parts: parts: rows of at least %u and parts that follow each other expected, strides "
                           "%llu and %llu found",
                           n_out, (unsigned long long)op->parts.stride[1], (unsigned long long)op->parts.stride[0]);
    if (op->bias.address) {
        VKS_TRY(vks_check_shape(target, "sum_parts: bias", &op->bias, VKS_SHAPE(n_out)));
        VKS_TRY(vks_check_dtype(target, "sum_parts: bias", &op->bias, VKSSM_DTYPE_F32));
    }
    return VKSSM_OK;
}

vkssm_status vks_op_sum_parts(const vks_op_target *target, const vks_sum_parts *op) {
    VKS_TRY(check(target, op));
    uint32_t n_row = op->y.shape[0], n_out = op->y.shape[1];
    bool wide = op->y.stride[0] % 4 == 0 && op->y.address % (op->y.dtype == VKSSM_DTYPE_F32 ? 16 : 8) == 0;
    const uint32_t constants[] = {vks_kernel_traits_of(target->kernels).cpu ? 16 : WG_SIZE, op->y.dtype, op->accumulate,
                                  op->parts.shape[0], wide};
    struct vks_sum_parts_params push = {
        .parts = op->parts.address,
        .bias = op->bias.address,
        .y = op->y.address,
        .n_row = n_row,
        .n_out = n_out,
        .part_stride = (uint32_t)op->parts.stride[1],
        .y_stride = (uint32_t)op->y.stride[0],
    };
    vks_kernel_call call = {
        .shader = VKS_SHADER_sum_parts,
        .constants = constants,
        .n_constant = VKS_COUNT(constants),
        .push = &push,
        .push_size = sizeof push,
        .n_group = {vks_div_up(n_out, 4 * constants[0]), n_row, 1},
        .accesses = (vks_access[]){vks_reads(&op->parts), vks_reads(&op->bias), vks_writes(&op->y)},
        .n_access = 3,
    };
    vks_op_begin(target, "sum_parts");
    vkssm_status status = vks_kernel_dispatch(target, &call);
    vks_op_end(target);
    return status;
}

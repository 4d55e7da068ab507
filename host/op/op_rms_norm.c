#include "kernel.h"
#include "ops.h"

#include "shaders/params/rms_norm.h"

static vkssm_status check(const vks_op_target *target, const vks_rms_norm *op, uint32_t n_group) {
    uint32_t n_row = op->y.shape[0], n_channel = op->y.shape[1];
    VKS_TRY(vks_check_shape(target, "rms_norm: x", &op->x, VKS_SHAPE(n_row, n_channel)));
    VKS_TRY(vks_check_float(target, "rms_norm: x", &op->x));
    VKS_TRY(vks_check_shape(target, "rms_norm: y", &op->y, VKS_SHAPE(n_row, n_channel)));
    VKS_TRY(vks_check_float(target, "rms_norm: y", &op->y));
    VKS_TRY(vks_check_stride(target, "rms_norm: y", &op->y, 0, op->y.dtype == VKSSM_DTYPE_F32 ? 1 : 2));
    if (op->weight.address) {
        VKS_TRY(vks_check_shape(target, "rms_norm: weight", &op->weight, VKS_SHAPE(n_channel)));
        VKS_TRY(vks_check_dtype(target, "rms_norm: weight", &op->weight, VKSSM_DTYPE_F32));
    }
    if (op->residual.address) {
        VKS_TRY(vks_check_shape(target, "rms_norm: residual", &op->residual, VKS_SHAPE(n_row, n_channel)));
        VKS_TRY(vks_check_dtype(target, "rms_norm: residual", &op->residual, VKSSM_DTYPE_F32));
    }
    if (op->gate.address) {
        VKS_TRY(vks_check_shape(target, "rms_norm: gate", &op->gate, VKS_SHAPE(n_row, n_channel)));
        VKS_TRY(vks_check_dtype(target, "rms_norm: gate", &op->gate, op->x.dtype));
        if (op->residual.address)
            return vks_op_fail(target, VKSSM_ERR_ARG, "rms_norm: a gate or a residual expected, both found");
    }
    if (n_channel % n_group != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "rms_norm: a number of groups that divides %u channels expected, %u found", n_channel,
                           n_group);
    if (op->y.dtype != VKSSM_DTYPE_F32 && n_group > 1 && n_channel / n_group % 2 != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG, "rms_norm: groups of even size expected for %s, size %u found",
                           vkssm_dtype_name(op->y.dtype), n_channel / n_group);
    return VKSSM_OK;
}

enum { MANY_ROWS = 32, WIDE_LOADS = 8 }; // vectors of 4 channels that an invocation of the wide form keeps

// Elements that a vector of 4 starts on: of x and gate by x's type, of y by its own.
static bool fits_wide(const vks_rms_norm *op, uint32_t group_size, uint32_t wg_size) {
    uint64_t x_size = 4 * vkssm_dtype_size(op->x.dtype), y_size = 4 * vkssm_dtype_size(op->y.dtype);
    uint64_t strides = op->x.stride[0] | op->y.stride[0] | (op->gate.address ? op->gate.stride[0] : 0);
    return op->weight.address && !op->residual.address && group_size % 4 == 0 &&
           group_size <= WIDE_LOADS * 4 * wg_size && strides % 4 == 0 && op->x.address % x_size == 0 &&
           op->gate.address % x_size == 0 && op->y.address % y_size == 0 && op->weight.address % 16 == 0;
}

vkssm_status vks_op_rms_norm(const vks_op_target *target, const vks_rms_norm *op) {
    uint32_t n_group = op->n_group ? op->n_group : 1, n_row = op->y.shape[0];
    uint32_t most_rows = op->most_rows ? op->most_rows : n_row;
    VKS_TRY(check(target, op, n_group));
    uint32_t group_size = op->y.shape[1] / n_group;

    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    bool can_wide = fits_wide(op, group_size, 256), many = can_wide && !traits.cpu && most_rows >= MANY_ROWS;
    const uint32_t candidates[] = {many ? VKS_SHADER_rms_norm_wide : VKS_SHADER_rms_norm_sg, VKS_SHADER_rms_norm_sg,
                                   VKS_SHADER_rms_norm, can_wide ? VKS_SHADER_rms_norm_wide : VKS_SHADER_rms_norm};
    uint32_t shader = vks_kernel_choose(target->kernels, candidates, VKS_COUNT(candidates));
    bool subgroup = shader == VKS_SHADER_rms_norm_sg, wide = shader == VKS_SHADER_rms_norm_wide;
    // A few wide rows are bound by latency: many invocations a row. A CPU wants no barrier, which one subgroup spares.
    uint32_t wg_size = group_size <= 1024                                            ? 64
                       : most_rows <= 16 && traits.max_workgroup_invocations >= 1024 ? 1024
                                                                                     : 256;
    bool one_subgroup = subgroup && traits.cpu && traits.fixed_subgroup;
    if (one_subgroup) wg_size = traits.subgroup_size;
    if (wide) wg_size = group_size <= 2048 ? 128 : 256;
    uint32_t gate = !op->gate.address ? 0 : op->gate_after ? 2 : 1;

    struct vks_rms_norm_params push = {
        .x = op->x.address,
        .residual = op->residual.address,
        .gate = op->gate.address,
        .weight = op->weight.address,
        .y = op->y.address,
        .x_stride = (uint32_t)op->x.stride[0],
        .residual_stride = (uint32_t)op->residual.stride[0],
        .gate_stride = (uint32_t)op->gate.stride[0],
        .y_stride = (uint32_t)op->y.stride[0],
        .group_size = group_size,
        .eps = op->eps,
    };
    const uint32_t plain[] = {
        wg_size, op->x.dtype, op->y.dtype, op->residual.address != 0, gate, op->weight.address != 0, one_subgroup};
    const uint32_t by_vectors[] = {wg_size, op->x.dtype, op->y.dtype, gate, vks_div_up(group_size, 4 * wg_size)};
    vks_op_begin(target, "rms_norm");
    vkssm_status status =
        vks_kernel_dispatch(target, &(vks_kernel_call){
                                        .shader = shader,
                                        .constants = wide ? by_vectors : plain,
                                        .n_constant = wide       ? 5
                                                      : subgroup ? 7
                                                                 : 6,
                                        .full_subgroups = subgroup || wide,
                                        .push = &push,
                                        .push_size = sizeof push,
                                        .n_group = {n_group, n_row, 1},
                                        .accesses = (vks_access[]){vks_reads(&op->x), vks_reads(&op->gate),
                                                                   vks_writes(&op->residual), vks_writes(&op->y)},
                                        .n_access = 4,
                                    });
    vks_op_end(target);
    return status;
}

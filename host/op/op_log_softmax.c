#include "kernel.h"
#include "ops.h"

#include "shaders/params/log_softmax.h"

enum { MAX_GRID = 65535 }; // workgroups along one dimension that every device takes

static vkssm_status check(const vks_op_target *target, const vks_log_softmax *op) {
    uint32_t n_row = op->y.shape[0], n_channel = op->y.shape[1];
    VKS_TRY(vks_check_shape(target, "log_softmax: y", &op->y, VKS_SHAPE(n_row, n_channel)));
    VKS_TRY(vks_check_dtype(target, "log_softmax: y", &op->y, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_stride(target, "log_softmax: y", &op->y, 0, 1));
    VKS_TRY(vks_check_shape(target, "log_softmax: x", &op->x, VKS_SHAPE(n_row, n_channel)));
    VKS_TRY(vks_check_dtype(target, "log_softmax: x", &op->x, VKSSM_DTYPE_F32));
    return vks_check_stride(target, "log_softmax: x", &op->x, 0, 1);
}

vkssm_status vks_op_log_softmax(const vks_op_target *target, const vks_log_softmax *op) {
    VKS_TRY(check(target, op));
    uint32_t n_row = op->y.shape[0], n_channel = op->y.shape[1];
    uint32_t shader =
        vks_kernel_choose(target->kernels, (uint32_t[]){VKS_SHADER_log_softmax_sg, VKS_SHADER_log_softmax}, 2);
    bool subgroup = shader == VKS_SHADER_log_softmax_sg;
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    bool one_subgroup = subgroup && traits.fixed_subgroup && (traits.cpu || n_channel <= traits.subgroup_size);
    uint32_t wg_size = one_subgroup ? traits.subgroup_size : n_channel > 1024 ? 256 : 64;
    struct vks_log_softmax_params push = {
        .x = op->x.address,
        .y = op->y.address,
        .x_stride = (uint32_t)op->x.stride[0],
        .y_stride = (uint32_t)op->y.stride[0],
        .n_row = n_row,
        .n_channel = n_channel,
    };
    vks_op_begin(target, "log_softmax");
    vkssm_status status =
        vks_kernel_dispatch(target, &(vks_kernel_call){
                                        .shader = shader,
                                        .constants = (uint32_t[]){wg_size, one_subgroup},
                                        .n_constant = subgroup ? 2 : 1,
                                        .full_subgroups = subgroup,
                                        .push = &push,
                                        .push_size = sizeof push,
                                        .n_group = {1, n_row < MAX_GRID ? n_row : MAX_GRID, 1},
                                        .accesses = (vks_access[]){vks_reads(&op->x), vks_writes(&op->y)},
                                        .n_access = 2,
                                    });
    vks_op_end(target);
    return status;
}

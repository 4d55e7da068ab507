#include "kernel.h"
#include "ops.h"

#include "shaders/params/layer_norm.h"

enum { MAX_GRID = 65535 }; // workgroups along one dimension that every device takes

static vkssm_status check(const vks_op_target *target, const vks_layer_norm *op) {
    uint32_t n_row = op->y.shape[0], n_channel = op->y.shape[1];
    VKS_TRY(vks_check_shape(target, "layer_norm: y", &op->y, VKS_SHAPE(n_row, n_channel)));
    VKS_TRY(vks_check_float(target, "layer_norm: y", &op->y));
    VKS_TRY(vks_check_stride(target, "layer_norm: y", &op->y, 0, op->y.dtype == VKSSM_DTYPE_F32 ? 1 : 2));
    VKS_TRY(vks_check_shape(target, "layer_norm: x", &op->x, VKS_SHAPE(n_row, n_channel)));
    VKS_TRY(vks_check_float(target, "layer_norm: x", &op->x));
    VKS_TRY(vks_check_stride(target, "layer_norm: x", &op->x, 0, 1));
    VKS_TRY(vks_check_shape(target, "layer_norm: weight", &op->weight, VKS_SHAPE(n_channel)));
    VKS_TRY(vks_check_dtype(target, "layer_norm: weight", &op->weight, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_shape(target, "layer_norm: bias", &op->bias, VKS_SHAPE(n_channel)));
    return vks_check_dtype(target, "layer_norm: bias", &op->bias, VKSSM_DTYPE_F32);
}

vkssm_status vks_op_layer_norm(const vks_op_target *target, const vks_layer_norm *op) {
    VKS_TRY(check(target, op));
    uint32_t n_row = op->y.shape[0], n_channel = op->y.shape[1];
    uint32_t shader =
        vks_kernel_choose(target->kernels, (uint32_t[]){VKS_SHADER_layer_norm_sg, VKS_SHADER_layer_norm}, 2);
    bool subgroup = shader == VKS_SHADER_layer_norm_sg;
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    // A CPU wants no barrier, which a single subgroup spares.
    bool one_subgroup = subgroup && traits.cpu && traits.fixed_subgroup;
    uint32_t wg_size = one_subgroup ? traits.subgroup_size : n_channel > 1024 ? 256 : 64;
    struct vks_layer_norm_params push = {
        .x = op->x.address,
        .weight = op->weight.address,
        .bias = op->bias.address,
        .y = op->y.address,
        .x_stride = (uint32_t)op->x.stride[0],
        .y_stride = (uint32_t)op->y.stride[0],
        .n_row = n_row,
        .n_channel = n_channel,
        .eps = op->eps,
    };
    vks_op_begin(target, "layer_norm");
    vkssm_status status = vks_kernel_dispatch(
        target, &(vks_kernel_call){
                    .shader = shader,
                    .constants = (uint32_t[]){wg_size, op->x.dtype, op->y.dtype, !op->affine, one_subgroup},
                    .n_constant = subgroup ? 5 : 4,
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

#include "kernel.h"
#include "ops.h"

#include "shaders/params/activation.h"

enum { MAX_GRID = 65535 }; // workgroups along one dimension that every device takes

static_assert(VKS_ACT_NONE == VKS_ACT_CODE_NONE && VKS_ACT_GELU_TANH == VKS_ACT_CODE_GELU_TANH &&
                  VKS_ACT_GELU_ERF == VKS_ACT_CODE_GELU_ERF && VKS_ACT_ELU == VKS_ACT_CODE_ELU &&
                  VKS_ACT_TANH == VKS_ACT_CODE_TANH && VKS_ACT_RELU == VKS_ACT_CODE_RELU,
              "the shader knows activations by the same numbers");

static vkssm_status check(const vks_op_target *target, const vks_activation *op) {
    uint32_t n_row = op->y.shape[0], n_channel = op->y.shape[1];
    VKS_TRY(vks_check_shape(target, "activation: y", &op->y, VKS_SHAPE(n_row, n_channel)));
    VKS_TRY(vks_check_float(target, "activation: y", &op->y));
    VKS_TRY(vks_check_stride(target, "activation: y", &op->y, 0, op->y.dtype == VKSSM_DTYPE_F32 ? 1 : 2));
    if (op->accumulate) VKS_TRY(vks_check_dtype(target, "activation: y", &op->y, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_shape(target, "activation: x", &op->x, VKS_SHAPE(n_row, n_channel)));
    VKS_TRY(vks_check_float(target, "activation: x", &op->x));
    VKS_TRY(vks_check_stride(target, "activation: x", &op->x, 0, 1));
    if (op->skip.address) {
        VKS_TRY(vks_check_shape(target, "activation: skip", &op->skip, VKS_SHAPE(n_row, n_channel)));
        VKS_TRY(vks_check_float(target, "activation: skip", &op->skip));
        VKS_TRY(vks_check_stride(target, "activation: skip", &op->skip, 0, 1));
        VKS_TRY(vks_check_shape(target, "activation: d", &op->d, VKS_SHAPE(n_channel)));
        VKS_TRY(vks_check_dtype(target, "activation: d", &op->d, VKSSM_DTYPE_F32));
    }
    if (op->gate.address) {
        uint32_t n_gate = op->gate.shape[0];
        bool spans = n_gate && n_row % n_gate == 0; // else the message names n_row
        VKS_TRY(vks_check_shape(target, "activation: gate", &op->gate, VKS_SHAPE(spans ? n_gate : n_row, n_channel)));
        VKS_TRY(vks_check_dtype(target, "activation: gate", &op->gate, op->x.dtype));
        VKS_TRY(vks_check_stride(target, "activation: gate", &op->gate, 0, 1));
    }
    return VKSSM_OK;
}

vkssm_status vks_op_activation(const vks_op_target *target, const vks_activation *op) {
    VKS_TRY(check(target, op));
    uint32_t n_row = op->y.shape[0], n_channel = op->y.shape[1];
    const uint32_t wg_size = 64;
    bool skip = op->skip.address != 0, gate = op->gate.address != 0;
    struct vks_activation_params push = {
        .x = op->x.address,
        .d = op->d.address,
        .skip = op->skip.address,
        .gate = op->gate.address,
        .y = op->y.address,
        .x_stride = (uint32_t)op->x.stride[0],
        .skip_stride = (uint32_t)op->skip.stride[0],
        .gate_stride = (uint32_t)op->gate.stride[0],
        .y_stride = (uint32_t)op->y.stride[0],
        .n_row = n_row,
        .n_channel = n_channel,
        .gate_span = gate ? n_row / op->gate.shape[0] : 1,
    };
    vks_op_begin(target, "activation");
    vkssm_status status = vks_kernel_dispatch(
        target, &(vks_kernel_call){
                    .shader = VKS_SHADER_activation,
                    .constants = (uint32_t[]){wg_size, op->x.dtype, op->skip.dtype, op->y.dtype, (uint32_t)op->act,
                                              skip, gate, op->accumulate},
                    .n_constant = 8,
                    .push = &push,
                    .push_size = sizeof push,
                    .n_group = {vks_div_up(n_channel, 2 * wg_size), n_row < MAX_GRID ? n_row : MAX_GRID, 1},
                    .accesses = (vks_access[]){vks_reads(&op->x), vks_reads(&op->skip), vks_reads(&op->gate),
                                               vks_writes(&op->y)},
                    .n_access = 4,
                });
    vks_op_end(target);
    return status;
}

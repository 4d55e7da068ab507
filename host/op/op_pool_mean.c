#include "kernel.h"
#include "ops.h"

#include "shaders/params/pool_mean.h"

static vkssm_status check(const vks_op_target *target, const vks_pool_mean *op) {
    uint32_t n_sequence = op->x.shape[0], n_time = op->x.shape[1], n_channel = op->x.shape[2];
    VKS_TRY(vks_check_shape(target, "pool_mean: x", &op->x, VKS_SHAPE(n_sequence, n_time, n_channel)));
    VKS_TRY(vks_check_dtype(target, "pool_mean: x", &op->x, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_stride(target, "pool_mean: x", &op->x, 1, 1));
    if (n_sequence > 1 && op->x.stride[0] != n_time * op->x.stride[1])
        return vks_op_fail(target, VKSSM_ERR_ARG, "pool_mean: x: sequences T rows apart expected");
    VKS_TRY(vks_check_shape(target, "pool_mean: state", &op->state, VKS_SHAPE(n_sequence, 3, n_channel)));
    VKS_TRY(vks_check_dtype(target, "pool_mean: state", &op->state, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_dense(target, "pool_mean: state", &op->state, 1));
    VKS_TRY(vks_check_stride(target, "pool_mean: state", &op->state, 0, 1));
    if (!op->y.address) return VKSSM_OK;
    VKS_TRY(vks_check_shape(target, "pool_mean: y", &op->y, VKS_SHAPE(n_sequence, n_channel)));
    VKS_TRY(vks_check_dtype(target, "pool_mean: y", &op->y, VKSSM_DTYPE_F32));
    return vks_check_stride(target, "pool_mean: y", &op->y, 0, 1);
}

// Long sequences are shared between invocations, but not on a CPU, where a barrier costs more than it brings.
static uint32_t choose(const vks_op_target *target, uint32_t n_time) {
    static const uint32_t candidates[] = {VKS_SHADER_pool_mean, VKS_SHADER_pool_mean_slices, VKS_SHADER_pool_mean};
    bool slices = n_time >= 64 && !vks_kernel_traits_of(target->kernels).cpu;
    return vks_kernel_choose(target->kernels, candidates + slices, 2);
}

// Mesa's CPU driver leaves all loops of an invocation after 65,535 rounds in all: a long sequence goes in parts.
enum { CPU_MAX_TIME = 1 << 15 };

static vkssm_status record_parts(const vks_op_target *target, const vks_pool_mean *op) {
    uint32_t n_time = op->x.shape[1];
    if (op->x.shape[0] > 1)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED,
                           "pool_mean: sequences of at most %d steps at once expected on a CPU, %u found", CPU_MAX_TIME,
                           n_time);
    for (uint32_t t = 0; t < n_time; t += CPU_MAX_TIME) {
        uint32_t left = n_time - t, n = left < CPU_MAX_TIME ? left : CPU_MAX_TIME;
        vks_pool_mean part = {.x = vks_tensor_slice(op->x, 1, t, n), .state = op->state};
        if (n == left) part.y = op->y;
        VKS_TRY(vks_op_pool_mean(target, &part));
        if (n == left) break;
    }
    return VKSSM_OK;
}

vkssm_status vks_op_pool_mean(const vks_op_target *target, const vks_pool_mean *op) {
    VKS_TRY(check(target, op));
    if (vks_kernel_traits_of(target->kernels).cpu && op->x.shape[1] > CPU_MAX_TIME) return record_parts(target, op);
    const uint32_t n_slice = 8;
    uint32_t n_sequence = op->x.shape[0], n_time = op->x.shape[1], n_channel = op->x.shape[2];
    uint32_t shader = choose(target, n_time);
    bool slices = shader == VKS_SHADER_pool_mean_slices;
    struct vks_pool_mean_params push = {
        .x = op->x.address,
        .state = op->state.address,
        .y = op->y.address,
        .n_time = n_time,
        .n_channel = n_channel,
        .x_stride = (uint32_t)op->x.stride[1],
        .y_stride = (uint32_t)op->y.stride[0],
        .state_stride = (uint32_t)op->state.stride[0],
    };
    vks_op_begin(target, "pool_mean");
    vkssm_status status = vks_kernel_dispatch(
        target, &(vks_kernel_call){
                    .shader = shader,
                    .constants = (uint32_t[]){slices ? 32 * n_slice : 32, op->y.address != 0, n_slice},
                    .n_constant = slices ? 3 : 2,
                    .push = &push,
                    .push_size = sizeof push,
                    .n_group = {vks_div_up(n_channel, 32), n_sequence, 1},
                    .accesses = (vks_access[]){vks_reads(&op->x), vks_writes(&op->state), vks_writes(&op->y)},
                    .n_access = 3,
                });
    vks_op_end(target);
    return status;
}

#include "kernel.h"
#include "ops.h"

#include "shaders/params/conv_s5_system.h"

enum { WG_SIZE = 64, MAX_GRID = 32768 };

static vkssm_status check_source(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                                 uint32_t n_dim, const uint32_t *shape) {
    VKS_TRY(vks_check_shape(target, name, tensor, n_dim, shape));
    VKS_TRY(vks_check_dtype(target, name, tensor, VKSSM_DTYPE_F32));
    return vks_check_dense(target, name, tensor, 0);
}

static vkssm_status check_kernel(const vks_op_target *target, const char *name, const vks_tensor *w, uint64_t n_row,
                                 uint64_t n_column) {
    if (n_row > UINT32_MAX || n_column > UINT32_MAX || n_row * n_column > UINT32_MAX)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "%s: below 2^32 elements expected, %llu x %llu found", name,
                           (unsigned long long)n_row, (unsigned long long)n_column);
    VKS_TRY(vks_check_shape(target, name, w, VKS_SHAPE((uint32_t)n_row, (uint32_t)n_column)));
    VKS_TRY(vks_check_float(target, name, w));
    return vks_check_stride(target, name, w, 0, 2);
}

static vkssm_status check(const vks_op_target *target, const vks_conv_s5_system *op) {
    uint32_t p = op->lambda.shape[0];
    VKS_TRY(check_source(target, "conv_s5_system: lambda", &op->lambda, VKS_SHAPE(p, 2)));
    VKS_TRY(check_source(target, "conv_s5_system: log_step", &op->log_step, VKS_SHAPE(p)));
    VKS_TRY(check_source(target, "conv_s5_system: a", &op->a, VKS_SHAPE(p, 2)));
    if (op->b.n_dim != 4 || op->c.n_dim != 4)
        return vks_op_fail(target, VKSSM_ERR_ARG, "conv_s5_system: b and c: 4 dimensions expected, %u and %u found",
                           op->b.n_dim, op->c.n_dim);
    uint32_t u = op->b.shape[1], n_b = op->b.shape[2], n_c = op->c.shape[0];
    VKS_TRY(check_source(target, "conv_s5_system: b", &op->b, VKS_SHAPE(p, u, n_b, 2)));
    VKS_TRY(check_source(target, "conv_s5_system: c", &op->c, VKS_SHAPE(n_c, p, u, 2)));
    VKS_TRY(check_kernel(target, "conv_s5_system: b_out", &op->b_out, 2ull * p, n_b * vks_align_up(u, 8)));
    return check_kernel(target, "conv_s5_system: c_out", &op->c_out, u, 2ull * n_c * p);
}

static vkssm_status record(const vks_op_target *target, const vks_conv_s5_system *op, bool of_c) {
    const vks_tensor *kernel = of_c ? &op->c : &op->b, *w = of_c ? &op->c_out : &op->b_out;
    uint32_t n = (uint32_t)((uint64_t)w->shape[0] * w->shape[1] / (of_c ? 2 : 4)); // B: two rows at a time
    uint32_t n_group = vks_div_up(n, WG_SIZE), n_row = vks_div_up(n_group, MAX_GRID);
    const struct vks_conv_s5_system_params push = {
        .lambda = op->lambda.address,
        .log_step = op->log_step.address,
        .kernel = kernel->address,
        .a = op->a.address,
        .w = w->address,
        .n_state = op->a.shape[0],
        .n_channel = op->b.shape[1],
        .n_tap = of_c ? op->c.shape[0] : op->b.shape[2],
        .w_stride = (uint32_t)w->stride[0],
        .n = n,
    };
    uint32_t flags = (of_c ? VKS_SYSTEM_OF_C : 0) | (op->clip_eigs ? VKS_SYSTEM_CLIP : 0);
    const uint32_t constants[] = {WG_SIZE, w->dtype, flags};
    vks_access accesses[] = {vks_reads(kernel), vks_writes(w), vks_reads(&op->lambda), vks_reads(&op->log_step),
                             vks_writes(&op->a)};
    return vks_kernel_dispatch(target, &(vks_kernel_call){
                                           .shader = VKS_SHADER_conv_s5_system,
                                           .constants = constants,
                                           .n_constant = VKS_COUNT(constants),
                                           .push = &push,
                                           .push_size = sizeof push,
                                           .n_group = {vks_div_up(n_group, n_row), n_row, 1},
                                           .accesses = accesses,
                                           .n_access = of_c ? 2 : VKS_COUNT(accesses),
                                       });
}

vkssm_status vks_op_conv_s5_system(const vks_op_target *target, const vks_conv_s5_system *op) {
    VKS_TRY(check(target, op));
    vks_op_begin(target, "conv_s5_system");
    vkssm_status status = record(target, op, false);
    if (status == VKSSM_OK) status = record(target, op, true);
    vks_op_end(target);
    return status;
}

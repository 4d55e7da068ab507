#include "kernel.h"
#include "ops.h"

#include "shaders/params/ssd_tree.h"

enum { MOST_TOKENS = 32 }; // bits of a path in the shader

static vkssm_status check(const vks_op_target *target, const vks_ssd_tree *op) {
    const vks_tensor *x = &op->x;
    uint32_t n_sequence = x->shape[0], n_time = x->shape[1], n_head = x->shape[2], n_width = x->shape[3];
    uint32_t n_group = op->b.shape[2], n_state = op->b.shape[3];
    VKS_TRY(vks_check_shape(target, "ssd_tree: x", x, VKS_SHAPE(n_sequence, n_time, n_head, n_width)));
    VKS_TRY(vks_check_float(target, "ssd_tree: x", x));
    if (n_time > MOST_TOKENS)
        return vks_op_fail(target, VKSSM_ERR_ARG, "ssd_tree: at most %d tokens expected, %u found", MOST_TOKENS,
                           n_time);
    VKS_TRY(vks_check_shape(target, "ssd_tree: b", &op->b, VKS_SHAPE(n_sequence, n_time, n_group, n_state)));
    VKS_TRY(vks_check_shape(target, "ssd_tree: c", &op->c, VKS_SHAPE(n_sequence, n_time, n_group, n_state)));
    VKS_TRY(vks_check_shape(target, "ssd_tree: dt", &op->dt, VKS_SHAPE(n_sequence, n_time, n_head)));
    VKS_TRY(vks_check_dtype(target, "ssd_tree: b", &op->b, x->dtype));
    VKS_TRY(vks_check_dtype(target, "ssd_tree: c", &op->c, x->dtype));
    VKS_TRY(vks_check_dtype(target, "ssd_tree: dt", &op->dt, x->dtype));
    VKS_TRY(vks_check_shape(target, "ssd_tree: heads", &op->heads, VKS_SHAPE(3, n_head)));
    VKS_TRY(vks_check_dtype(target, "ssd_tree: heads", &op->heads, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_dense(target, "ssd_tree: heads", &op->heads, 0));
    VKS_TRY(vks_check_shape(target, "ssd_tree: state", &op->state,
                            VKS_SHAPE(op->state.shape[0], n_head, n_width, n_state)));
    VKS_TRY(vks_check_dtype(target, "ssd_tree: state", &op->state, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_stride(target, "ssd_tree: state", &op->state, 0, 1));
    VKS_TRY(vks_check_dense(target, "ssd_tree: state", &op->state, 1));
    VKS_TRY(vks_check_shape(target, "ssd_tree: y", &op->y, VKS_SHAPE(n_sequence, n_time, n_head, n_width)));
    VKS_TRY(vks_check_float(target, "ssd_tree: y", &op->y));
    VKS_TRY(vks_check_stride(target, "ssd_tree: x", x, 1, 1));
    VKS_TRY(vks_check_stride(target, "ssd_tree: dt", &op->dt, 1, 1));
    VKS_TRY(vks_check_stride(target, "ssd_tree: y", &op->y, 1, op->y.dtype == VKSSM_DTYPE_F32 ? 1 : 2));
    if (op->slots.address) {
        VKS_TRY(vks_check_shape(target, "ssd_tree: slots", &op->slots, VKS_SHAPE(n_sequence)));
        VKS_TRY(vks_check_dtype(target, "ssd_tree: slots", &op->slots, VKSSM_DTYPE_I32));
    }
    if (op->parents.address) {
        VKS_TRY(vks_check_shape(target, "ssd_tree: parents", &op->parents, VKS_SHAPE(n_sequence, n_time)));
        VKS_TRY(vks_check_dtype(target, "ssd_tree: parents", &op->parents, VKSSM_DTYPE_I32));
        VKS_TRY(vks_check_dense(target, "ssd_tree: parents", &op->parents, 0));
    }
    if (n_head % n_group != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "ssd_tree: a number of groups that divides %u heads expected, %u found", n_head, n_group);
    if (op->y.dtype != VKSSM_DTYPE_F32 && n_width % 2 != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG, "ssd_tree: an even head width expected for %s, %u found",
                           vkssm_dtype_name(op->y.dtype), n_width);
    bool dense = x->stride[2] == n_width && op->y.stride[2] == n_width && op->b.stride[2] == n_state &&
                 op->c.stride[2] == n_state;
    bool same_rows = op->b.stride[1] == x->stride[1] && op->c.stride[1] == x->stride[1];
    bool packed = n_sequence == 1 || (x->stride[0] == n_time * x->stride[1] && op->b.stride[0] == x->stride[0] &&
                                      op->c.stride[0] == x->stride[0] && op->y.stride[0] == n_time * op->y.stride[1] &&
                                      op->dt.stride[0] == n_time * op->dt.stride[1]);
    if (dense && same_rows && packed) return VKSSM_OK;
    return vks_op_fail(
        target, VKSSM_ERR_ARG,
        "ssd_tree: dense heads and groups, equal token strides of x, b, c, and sequences T tokens apart expected");
}

vkssm_status vks_op_ssd_tree(const vks_op_target *target, const vks_ssd_tree *op) {
    VKS_TRY(check(target, op));
    struct vks_ssd_tree_params push = {
        .x = op->x.address,
        .b = op->b.address,
        .c = op->c.address,
        .dt = op->dt.address,
        .heads = op->heads.address,
        .state = op->state.address,
        .slots = op->slots.address,
        .parents = op->parents.address,
        .y = op->y.address,
        .n_time = op->x.shape[1],
        .n_head = op->x.shape[2],
        .n_group = op->b.shape[2],
        .n_width = op->x.shape[3],
        .n_state = op->b.shape[3],
        .x_stride = (uint32_t)op->x.stride[1],
        .dt_stride = (uint32_t)op->dt.stride[1],
        .y_stride = (uint32_t)op->y.stride[1],
        .state_stride = (uint32_t)op->state.stride[0],
        .dt_min = op->dt_min,
        .dt_max = op->dt_max,
    };
    uint32_t wg_size = vks_kernel_traits_of(target->kernels).cpu ? 16 : 128;
    vks_op_begin(target, "ssd_tree");
    vkssm_status status = vks_kernel_dispatch(
        target, &(vks_kernel_call){
                    .shader = VKS_SHADER_ssd_tree,
                    .constants = (uint32_t[]){wg_size, op->x.dtype, op->y.dtype},
                    .n_constant = 3,
                    .push = &push,
                    .push_size = sizeof push,
                    .n_group = {op->x.shape[2], op->x.shape[0], 1},
                    .accesses = (vks_access[]){vks_reads(&op->x), vks_reads(&op->b), vks_reads(&op->c),
                                               vks_reads(&op->dt), vks_reads(&op->slots), vks_reads(&op->parents),
                                               vks_reads(&op->state), vks_writes(&op->y)},
                    .n_access = 8,
                });
    vks_op_end(target);
    return status;
}

#include "kernel.h"
#include "ops.h"

#include "shaders/params/diagonal_scan.h"

vkssm_status vks_op_diagonal_scan(const vks_op_target *target, const vks_diagonal_scan *op) {
    struct vks_diagonal_scan_params push = {
        .a = op->a.address,
        .b = op->b.address,
        .state = op->state.address,
        .x = op->x.address,
        .n_time = op->b.shape[1],
        .n_state = op->b.shape[2],
        .b_stride = (uint32_t)op->b.stride[1],
        .x_stride = (uint32_t)op->x.stride[1],
        .state_stride = (uint32_t)op->state.stride[0],
        .reverse = op->reverse,
        .carried = op->state.address != 0,
    };
    vks_op_begin(target, "diagonal_scan");
    vkssm_status status = vks_kernel_dispatch(
        target, &(vks_kernel_call){
                    .shader = VKS_SHADER_diagonal_scan,
                    .constants = (uint32_t[]){16},
                    .n_constant = 1,
                    .push = &push,
                    .push_size = sizeof push,
                    .n_group = {vks_div_up(push.n_state, 16), op->b.shape[0], 1},
                    .accesses = (vks_access[]){vks_reads(&op->b), vks_writes(&op->state), vks_writes(&op->x)},
                    .n_access = 3,
                });
    vks_op_end(target);
    return status;
}

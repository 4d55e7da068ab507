#include "kernel.h"
#include "ops.h"

#include "shaders/params/embedding.h"

vkssm_status vks_op_embedding(const vks_op_target *target, const vks_embedding *op) {
    uint32_t n_row = op->y.shape[0], n_channel = op->y.shape[1];
    const vks_tensor *places = op->index.address ? &op->index : &op->ids;
    const char *places_name = op->index.address ? "embedding: index" : "embedding: ids";
    VKS_TRY(vks_check_shape(target, places_name, places, VKS_SHAPE(n_row)));
    VKS_TRY(vks_check_dtype(target, places_name, places, VKSSM_DTYPE_I32));
    if (op->ids.n_dim != 1 || op->ids.dtype != VKSSM_DTYPE_I32 || !op->ids.address)
        return vks_op_fail(target, VKSSM_ERR_ARG, "embedding: ids: a vector of I32 expected, %u dimensions of %s found",
                           op->ids.n_dim, vkssm_dtype_name(op->ids.dtype));
    VKS_TRY(vks_check_shape(target, "embedding: table", &op->table, VKS_SHAPE(op->table.shape[0], n_channel)));
    VKS_TRY(vks_check_weights(target, "embedding: table", &op->table, 2));
    VKS_TRY(vks_check_shape(target, "embedding: y", &op->y, VKS_SHAPE(n_row, n_channel)));
    VKS_TRY(vks_check_dtype(target, "embedding: y", &op->y, VKSSM_DTYPE_F32));

    struct vks_embedding_params push = {
        .ids = op->ids.address,
        .index = op->index.address,
        .table = op->table.address,
        .y = op->y.address,
        .n_row = n_row,
        .n_channel = n_channel,
        .n_vocab = op->table.shape[0],
        .ids_stride = (uint32_t)op->ids.stride[0],
        .table_stride = (uint32_t)op->table.stride[0],
        .y_stride = (uint32_t)op->y.stride[0],
    };
    const uint32_t wg_size = 64;
    vks_op_begin(target, "embedding");
    vkssm_status status =
        vks_kernel_dispatch(target, &(vks_kernel_call){
                                        .shader = VKS_SHADER_embedding,
                                        .constants = (uint32_t[]){wg_size, op->table.dtype},
                                        .n_constant = 2,
                                        .push = &push,
                                        .push_size = sizeof push,
                                        .n_group = {vks_div_up(n_channel, 2 * wg_size), n_row, 1},
                                        .accesses = (vks_access[]){vks_reads(&op->ids), vks_reads(&op->index),
                                                                   vks_reads(&op->table), vks_writes(&op->y)},
                                        .n_access = 4,
                                    });
    vks_op_end(target);
    return status;
}

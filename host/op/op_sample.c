#include "kernel.h"
#include "ops.h"

#include "shaders/params/sample.h"

// Passes over the vocabulary that a draw takes at most: 32 for each cut, some for maximum, sums and the walk.
enum { MAX_PASS = 70 };
// Lavapipe ends the loops of an invocation after 65535 turns in all, without a word. This many are for the vocabulary,
// the rest for sums over up to 256 subgroups at the end of each pass.
enum { MAX_TURN_CPU = 45000 };

// Invocations of a workgroup. A CPU wants a single subgroup, which spares barriers, as long as that is few turns.
static uint32_t choose_wg_size(const vks_op_target *target, uint32_t n_vocab, bool subgroup, bool *one_subgroup) {
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    uint32_t wg_size = 256, least = n_vocab / (MAX_TURN_CPU / MAX_PASS);
    *one_subgroup = subgroup && traits.cpu && traits.fixed_subgroup && least < traits.subgroup_size;
    if (*one_subgroup) return traits.subgroup_size;
    while (traits.cpu && wg_size <= least)
        wg_size *= 2;
    // A GPU reads a large vocabulary once a pass: the more invocations, the fewer turns in a row.
    if (!traits.cpu && n_vocab >= 8192 && traits.max_workgroup_invocations >= 1024) wg_size = 1024;
    return wg_size;
}

vkssm_status vks_op_sample(const vks_op_target *target, const vks_sample *op) {
    uint32_t n_sequence = op->logits.shape[0], n_vocab = op->logits.shape[1], n_slot = op->controls.shape[0];
    VKS_TRY(vks_check_shape(target, "sample: logits", &op->logits, VKS_SHAPE(n_sequence, n_vocab)));
    VKS_TRY(vks_check_dtype(target, "sample: logits", &op->logits, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_shape(target, "sample: controls", &op->controls, VKS_SHAPE(n_slot, VKS_CONTROL_SIZE)));
    VKS_TRY(vks_check_dtype(target, "sample: controls", &op->controls, VKSSM_DTYPE_I32));
    VKS_TRY(vks_check_dense(target, "sample: controls", &op->controls, 0));
    VKS_TRY(vks_check_shape(target, "sample: ring", &op->ring, VKS_SHAPE(n_slot, op->ring.shape[1])));
    VKS_TRY(vks_check_dtype(target, "sample: ring", &op->ring, VKSSM_DTYPE_I32));
    VKS_TRY(vks_check_dense(target, "sample: ring", &op->ring, 0));
    if (op->slots.address) {
        VKS_TRY(vks_check_shape(target, "sample: slots", &op->slots, VKS_SHAPE(n_sequence)));
        VKS_TRY(vks_check_dtype(target, "sample: slots", &op->slots, VKSSM_DTYPE_I32));
    }
    if (n_vocab >= 1u << 24)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "sample: fewer than %u logits expected, %u found", 1u << 24,
                           n_vocab);

    uint32_t shader = vks_kernel_choose(target->kernels, (uint32_t[]){VKS_SHADER_sample_sg, VKS_SHADER_sample}, 2);
    bool subgroup = shader == VKS_SHADER_sample_sg, one;
    uint32_t wg_size = choose_wg_size(target, n_vocab, subgroup, &one);
    uint32_t max_wg_size = vks_device_caps(vks_kernels_device(target->kernels))->max_workgroup_invocations;
    if (wg_size > max_wg_size)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "sample: at most %u logits expected on this CPU, %u found",
                           max_wg_size * (MAX_TURN_CPU / MAX_PASS), n_vocab);
    struct vks_sample_params push = {
        .logits = op->logits.address,
        .slots = op->slots.address,
        .controls = op->controls.address,
        .ring = op->ring.address,
        .n_vocab = n_vocab,
        .logits_stride = (uint32_t)op->logits.stride[0],
        .ring_size = op->ring.shape[1],
    };
    vks_op_begin(target, "sample");
    vkssm_status status =
        vks_kernel_dispatch(target, &(vks_kernel_call){
                                        .shader = shader,
                                        .constants = (uint32_t[]){wg_size, one},
                                        .n_constant = subgroup ? 2 : 1,
                                        .full_subgroups = subgroup,
                                        .push = &push,
                                        .push_size = sizeof push,
                                        .n_group = {n_sequence, 1, 1},
                                        .accesses = (vks_access[]){vks_reads(&op->logits), vks_reads(&op->slots),
                                                                   vks_writes(&op->controls), vks_writes(&op->ring)},
                                        .n_access = 4,
                                    });
    vks_op_end(target);
    return status;
}

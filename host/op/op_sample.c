#include "kernel.h"
#include "ops.h"

#include "shaders/params/sample.h"

// Passes over the vocabulary that a draw takes at most: 11 for each cut, some for sums and the walk.
enum { MAX_PASS = 32 };
// Lavapipe ends the loops of an invocation after 65535 turns in all, without a word. This many are for the vocabulary,
// the rest for sums over up to 256 subgroups at the end of each pass.
enum { MAX_TURN_CPU = 20000 };

uint64_t vks_sample_scratch_size(uint32_t n_sequence, uint32_t n_vocab) {
    return (uint64_t)n_sequence * vks_div_up(n_vocab, VKS_SAMPLE_BLOCK) * VKS_SAMPLE_BLOCK_SIZE;
}

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

// Shape and type of an operand that may be missing.
static vkssm_status check_optional(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                                   uint32_t n_dim, const uint32_t *shape) {
    if (!tensor->address) return VKSSM_OK;
    VKS_TRY(vks_check_shape(target, name, tensor, n_dim, shape));
    VKS_TRY(vks_check_dtype(target, name, tensor, VKSSM_DTYPE_F32));
    return vks_check_dense(target, name, tensor, 0);
}

static vkssm_status check(const vks_op_target *target, const vks_sample *op) {
    uint32_t n_sequence = op->logits.shape[0], n_vocab = op->logits.shape[1], n_slot = op->controls.shape[0];
    VKS_TRY(vks_check_shape(target, "sample: logits", &op->logits, VKS_SHAPE(n_sequence, n_vocab)));
    VKS_TRY(vks_check_dtype(target, "sample: logits", &op->logits, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_shape(target, "sample: controls", &op->controls, VKS_SHAPE(n_slot, VKS_CONTROL_SIZE)));
    VKS_TRY(vks_check_dtype(target, "sample: controls", &op->controls, VKSSM_DTYPE_I32));
    VKS_TRY(vks_check_dense(target, "sample: controls", &op->controls, 0));
    VKS_TRY(vks_check_shape(target, "sample: ring", &op->ring, VKS_SHAPE(n_slot, op->ring.shape[1])));
    VKS_TRY(vks_check_dtype(target, "sample: ring", &op->ring, VKSSM_DTYPE_I32));
    VKS_TRY(vks_check_dense(target, "sample: ring", &op->ring, 0));
    VKS_TRY(check_optional(target, "sample: scores", &op->scores, VKS_SHAPE(n_slot, op->ring.shape[1])));
    VKS_TRY(check_optional(target, "sample: kept", &op->kept, VKS_SHAPE(n_slot, n_vocab)));
    VKS_TRY(check_optional(target, "sample: adjust", &op->adjust, VKS_SHAPE(n_slot, 2, n_vocab)));
    if (op->adjust.address && !op->kept.address)
        return vks_op_fail(target, VKSSM_ERR_ARG, "sample: a place for the logits expected with penalties, none found");
    if (op->slots.address) {
        VKS_TRY(vks_check_shape(target, "sample: slots", &op->slots, VKS_SHAPE(n_sequence)));
        VKS_TRY(vks_check_dtype(target, "sample: slots", &op->slots, VKSSM_DTYPE_I32));
    }
    if (n_vocab >= 1u << 24)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "sample: fewer than %u logits expected, %u found", 1u << 24,
                           n_vocab);
    uint64_t n_scratch = vks_sample_scratch_size(n_sequence, n_vocab);
    VKS_TRY(vks_check_shape(target, "sample: scratch", &op->scratch, VKS_SHAPE(op->scratch.shape[0])));
    VKS_TRY(vks_check_dtype(target, "sample: scratch", &op->scratch, VKSSM_DTYPE_F32));
    if (op->scratch.shape[0] < n_scratch)
        return vks_op_fail(target, VKSSM_ERR_ARG, "sample: scratch: %llu floats expected, %u found",
                           (unsigned long long)n_scratch, op->scratch.shape[0]);
    return VKSSM_OK;
}

static vkssm_status dispatch(const vks_op_target *target, const vks_sample *op, bool blocks,
                             const struct vks_sample_params *push) {
    uint32_t n_sequence = op->logits.shape[0], n_vocab = op->logits.shape[1];
    const uint32_t shaders[2][2] = {{VKS_SHADER_sample_sg, VKS_SHADER_sample},
                                    {VKS_SHADER_sample_blocks_sg, VKS_SHADER_sample_blocks}};
    uint32_t shader = vks_kernel_choose(target->kernels, shaders[blocks], 2);
    bool subgroup = shader == shaders[blocks][0], one;
    uint32_t wg_size = choose_wg_size(target, blocks ? VKS_SAMPLE_BLOCK : n_vocab, subgroup, &one);
    uint32_t max_wg_size = vks_device_caps(vks_kernels_device(target->kernels))->max_workgroup_invocations;
    if (wg_size > max_wg_size)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "sample: at most %u logits expected on this CPU, %u found",
                           max_wg_size * (MAX_TURN_CPU / MAX_PASS), n_vocab);
    vks_access scratch = vks_reads(&op->scratch), slots = vks_reads(&op->slots), controls = vks_reads(&op->controls);
    vks_access logits = vks_reads(&op->logits), adjust = vks_reads(&op->adjust), kept = vks_reads(&op->kept);
    scratch.write = kept.write = blocks;
    logits.write = blocks && op->adjust.address;
    slots.write = controls.write = adjust.write = !blocks;
    return vks_kernel_dispatch(target, &(vks_kernel_call){
                                           .shader = shader,
                                           .constants = (uint32_t[]){wg_size, one},
                                           .n_constant = subgroup ? 2 : 1,
                                           .full_subgroups = subgroup,
                                           .push = push,
                                           .push_size = sizeof *push,
                                           .n_group = {blocks ? push->n_block : n_sequence, blocks ? n_sequence : 1, 1},
                                           .accesses = (vks_access[]){logits, slots, controls, adjust, kept, scratch,
                                                                      vks_writes(&op->ring), vks_writes(&op->scores)},
                                           .n_access = blocks ? 6 : 8,
                                       });
}

vkssm_status vks_op_sample(const vks_op_target *target, const vks_sample *op) {
    VKS_TRY(check(target, op));
    const struct vks_sample_params push = {
        .logits = op->logits.address,
        .slots = op->slots.address,
        .controls = op->controls.address,
        .ring = op->ring.address,
        .scores = op->scores.address,
        .kept = op->kept.address,
        .adjust = op->adjust.address,
        .blocks = op->scratch.address,
        .n_vocab = op->logits.shape[1],
        .logits_stride = (uint32_t)op->logits.stride[0],
        .ring_size = op->ring.shape[1],
        .n_block = vks_div_up(op->logits.shape[1], VKS_SAMPLE_BLOCK),
    };
    vks_op_begin(target, "sample");
    vkssm_status status = dispatch(target, op, true, &push);
    if (status == VKSSM_OK) status = dispatch(target, op, false, &push);
    vks_op_end(target);
    return status;
}

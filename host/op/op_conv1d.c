#include "kernel.h"
#include "ops.h"

#include "shaders/params/conv1d.h"

static vkssm_status check_offsets(const vks_op_target *target, const vks_conv1d *op) {
    if (!op->offsets.address) return VKSSM_OK;
    if (op->offsets.n_dim != 1 || op->offsets.shape[0] < 2)
        return vks_op_fail(target, VKSSM_ERR_ARG, "conv1d: offsets of at least one sequence expected, none found");
    VKS_TRY(vks_check_shape(target, "conv1d: offsets", &op->offsets, VKS_SHAPE(op->offsets.shape[0])));
    VKS_TRY(vks_check_dtype(target, "conv1d: offsets", &op->offsets, VKSSM_DTYPE_I32));
    if (op->y.shape[0] == 1) return VKSSM_OK;
    return vks_op_fail(target, VKSSM_ERR_ARG, "conv1d: packed sequences in one row of steps expected, %u rows found",
                       op->y.shape[0]);
}

static vkssm_status check(const vks_op_target *target, const vks_conv1d *op) {
    uint32_t n_batch = op->y.shape[0], n_time = op->y.shape[1], n_channel = op->y.shape[2], k = op->w.shape[0];
    uint32_t n_slot = op->state.shape[0], n_sequence = op->offsets.address ? op->offsets.shape[0] - 1 : n_batch;
    VKS_TRY(check_offsets(target, op));
    VKS_TRY(vks_check_shape(target, "conv1d: x", &op->x, VKS_SHAPE(n_batch, n_time, n_channel)));
    VKS_TRY(vks_check_float(target, "conv1d: x", &op->x));
    VKS_TRY(vks_check_stride(target, "conv1d: x", &op->x, 1, 1));
    VKS_TRY(vks_check_shape(target, "conv1d: w", &op->w, VKS_SHAPE(k, n_channel)));
    VKS_TRY(vks_check_dtype(target, "conv1d: w", &op->w, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_dense(target, "conv1d: w", &op->w, 0));
    VKS_TRY(vks_check_shape(target, "conv1d: y", &op->y, VKS_SHAPE(n_batch, n_time, n_channel)));
    VKS_TRY(vks_check_float(target, "conv1d: y", &op->y));
    VKS_TRY(vks_check_stride(target, "conv1d: y", &op->y, 1, op->y.dtype == VKSSM_DTYPE_F32 ? 1 : 2));
    if (n_batch > 1 && (op->x.stride[0] != n_time * op->x.stride[1] || op->y.stride[0] != n_time * op->y.stride[1]))
        return vks_op_fail(target, VKSSM_ERR_ARG, "conv1d: sequences T rows apart expected");
    if (op->bias.address) {
        VKS_TRY(vks_check_shape(target, "conv1d: bias", &op->bias, VKS_SHAPE(n_channel)));
        VKS_TRY(vks_check_dtype(target, "conv1d: bias", &op->bias, VKSSM_DTYPE_F32));
    }
    if (op->slots.address) {
        VKS_TRY(vks_check_shape(target, "conv1d: slots", &op->slots, VKS_SHAPE(n_sequence)));
        VKS_TRY(vks_check_dtype(target, "conv1d: slots", &op->slots, VKSSM_DTYPE_I32));
    }
    if (op->reverse && op->state.address)
        return vks_op_fail(target, VKSSM_ERR_ARG, "conv1d: no state expected against time, one found");
    if (k == 1 || !op->state.address) return VKSSM_OK;
    VKS_TRY(vks_check_shape(target, "conv1d: state", &op->state, VKS_SHAPE(n_slot, k - 1, n_channel)));
    VKS_TRY(vks_check_dtype(target, "conv1d: state", &op->state, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_dense(target, "conv1d: state", &op->state, 1));
    return vks_check_stride(target, "conv1d: state", &op->state, 0, 1);
}

enum { WIDE_TOKENS = 8, WIDE_TAPS = 8 }; // tokens of an invocation of the wide form, and taps at most

static bool fits_wide(const vks_conv1d *op) {
    uint64_t x_size = 4 * vkssm_dtype_size(op->x.dtype), y_size = 4 * vkssm_dtype_size(op->y.dtype);
    uint64_t counts = op->y.shape[2] | op->x.stride[1] | op->y.stride[1] | op->state.stride[0];
    uint64_t floats = op->w.address | op->bias.address | op->state.address;
    bool with_time = !op->reverse && (op->state.address || op->w.shape[0] == 1);
    return with_time && op->w.shape[0] <= WIDE_TAPS && counts % 4 == 0 && floats % 16 == 0 &&
           op->x.address % x_size == 0 && op->y.address % y_size == 0;
}

vkssm_status vks_op_conv1d(const vks_op_target *target, const vks_conv1d *op) {
    VKS_TRY(check(target, op));
    bool packed = op->offsets.address != 0;
    uint32_t n_sequence = packed ? op->offsets.shape[0] - 1 : op->y.shape[0];
    uint32_t n_time = op->y.shape[1], n_channel = op->y.shape[2], k = op->w.shape[0];
    // A CPU pays for every load: its invocations keep weights and inputs over several tokens.
    bool cpu = vks_kernel_traits_of(target->kernels).cpu, can_wide = fits_wide(op);
    const uint32_t candidates[] = {can_wide && !cpu ? VKS_SHADER_conv1d_wide : VKS_SHADER_conv1d, VKS_SHADER_conv1d,
                                   can_wide ? VKS_SHADER_conv1d_wide : VKS_SHADER_conv1d};
    uint32_t shader = vks_kernel_choose(target->kernels, candidates, VKS_COUNT(candidates));
    bool wide = shader == VKS_SHADER_conv1d_wide;
    const uint32_t wg_size = cpu ? 16 : 64, tokens = wide ? WIDE_TOKENS : cpu ? 16 : packed ? 8 : 1;
    const uint32_t n_part =
        packed ? n_time / tokens + n_sequence : vks_div_up(n_time, tokens); // include/sequences.glsl
    struct vks_conv1d_params push = {
        .x = op->x.address,
        .w = op->w.address,
        .bias = op->bias.address,
        .state = op->state.address,
        .slots = op->slots.address,
        .y = op->y.address,
        .offsets = op->offsets.address,
        .n_time = packed ? n_sequence : n_time,
        .n_channel = n_channel,
        .x_stride = (uint32_t)op->x.stride[1],
        .y_stride = (uint32_t)op->y.stride[1],
        .state_stride = (uint32_t)op->state.stride[0],
    };
    const uint32_t constants[] = {wg_size,  op->x.dtype, op->y.dtype, op->bias.address != 0,
                                  op->silu, k,           tokens,      op->reverse};
    vks_access state_read = vks_reads(&op->state), state_write = vks_writes(&op->state);
    vks_access accesses[] = {vks_reads(&op->x), vks_reads(&op->slots), vks_writes(&op->y), state_read,
                             vks_reads(&op->offsets)};
    vks_kernel_call call = {
        .shader = shader,
        .constants = constants,
        .n_constant = VKS_COUNT(constants) - wide, // the wide form has no REVERSE
        .push = &push,
        .push_size = sizeof push,
        .n_group = {vks_div_up(n_channel, (wide ? 4 : 2) * wg_size), n_part, packed ? 1 : n_sequence},
        .accesses = accesses,
        .n_access = VKS_COUNT(accesses),
    };
    vks_op_begin(target, "conv1d");
    vkssm_status status = VKSSM_OK;
    bool has_state = k > 1 && op->state.address;
    if (n_time == 1 && has_state && !packed) {
        accesses[3] = state_write;
        call.shader = VKS_SHADER_conv1d_step;
        call.n_constant = 6; // one token: no TOKENS, no REVERSE
        call.n_group[0] = vks_div_up(n_channel, 2 * wg_size);
        call.n_group[1] = n_sequence;
        call.n_group[2] = 1;
        status = vks_kernel_dispatch(target, &call);
    } else {
        status = vks_kernel_dispatch(target, &call);
        if (status == VKSSM_OK && has_state)
            status =
                vks_kernel_dispatch(target, &(vks_kernel_call){
                                                .shader = VKS_SHADER_conv1d_tail,
                                                .constants = (uint32_t[]){wg_size, op->x.dtype, k},
                                                .n_constant = 3,
                                                .push = &push,
                                                .push_size = sizeof push,
                                                .n_group = {vks_div_up(n_channel, wg_size), n_sequence, 1},
                                                .accesses = (vks_access[]){vks_reads(&op->x), vks_reads(&op->slots),
                                                                           state_write, vks_reads(&op->offsets)},
                                                .n_access = 4,
                                            });
    }
    vks_op_end(target);
    return status;
}

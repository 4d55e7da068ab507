// Writing a token is reading weights, so what costs time besides is the number of dispatches that wait for each other.
// Here they are three: in_proj, which norms its input and convolves its outputs on the way; the recurrence, which gates
// its output; out_proj, which norms its input and adds to the residual stream. Everything between them is float32: it
// is little, and a gated output that is not normed yet might leave float16's range. For one sequence the first two are
// one, in which workgroups hand each other what all need.
#include "mamba2_step.h"

#include "host/base/status.h"

enum { MAX_TAP = 8 };     // of a convolution inside a product
enum { MAX_STATE = 512 }; // of mixer_step: B and C of a group lie in shared memory, a lane's states in registers

// in_proj and recurrence in one, where the mixer has nothing that this does not do.
static bool fits_mixer_step(const vks_mamba2_config *c, const vks_kernels *kernels, bool coded_inputs,
                            vkssm_dtype weights, uint32_t most_rows) {
    bool gated = !c->norm_before_gate && c->norm_groups <= 1;
    return gated && !c->proj_bias && c->n_channel % 8 == 0 && c->n_state % 4 == 0 && c->n_state <= MAX_STATE &&
           vks_mixer_step_fits(kernels, coded_inputs, weights, most_rows);
}

bool vks_mamba2_step_fits(const vks_mamba2_config *c, const vks_kernels *kernels, uint32_t most_rows) {
    return c->n_tap <= MAX_TAP &&
           (vks_matmul_fuses(kernels, most_rows) || fits_mixer_step(c, kernels, false, VKSSM_DTYPE_F32, most_rows));
}

// Columns begin ... of [B, .] as [B, 1, n_outer, n_inner].
static vks_tensor columns(vks_tensor rows, uint32_t begin, uint32_t n_outer, uint32_t n_inner) {
    vks_tensor part = vks_tensor_slice(rows, 1, begin, n_outer * n_inner);
    return (vks_tensor){
        .address = part.address,
        .dtype = part.dtype,
        .n_dim = 4,
        .shape = {part.shape[0], 1, n_outer, n_inner},
        .stride = {part.stride[0], part.stride[0], n_inner, 1},
    };
}

static vkssm_status record_in(const vks_mamba2_config *c, const vks_mamba2_mixer *mixer, const vks_plan *plan,
                              const vks_mamba2_call *call, vks_tensor norm, float norm_eps, vks_tensor projected) {
    return vks_op_matmul(&plan->target, &(vks_matmul){
                                            .x = call->residual,
                                            .w = mixer->in_proj,
                                            .bias = mixer->in_bias,
                                            .y = projected,
                                            .norm = norm,
                                            .norm_eps = norm_eps,
                                            .conv = {.w = mixer->conv_weight,
                                                     .bias = mixer->conv_bias,
                                                     .state = vks_state_get(&call->state, call->first_state),
                                                     .slots = call->slots,
                                                     .first = c->n_inner},
                                            .most_rows = call->most_rows,
                                        });
}

static vkssm_status record_recurrence(const vks_mamba2_config *c, const vks_mamba2_mixer *mixer, const vks_plan *plan,
                                      const vks_mamba2_call *call, bool gated, vks_tensor projected, vks_tensor y) {
    uint32_t n_bc = c->n_group * c->n_state, x_at = c->n_inner, b_at = x_at + c->n_inner, c_at = b_at + n_bc;
    vks_tensor dt = vks_tensor_slice(projected, 1, c_at + n_bc, c->n_head);
    dt.n_dim = 3;
    dt.shape[2] = c->n_head, dt.shape[1] = 1;
    dt.stride[2] = 1, dt.stride[1] = dt.stride[0];
    return vks_op_ssd(&plan->target, &(vks_ssd){
                                         .x = columns(projected, x_at, c->n_head, c->n_width),
                                         .b = columns(projected, b_at, c->n_group, c->n_state),
                                         .c = columns(projected, c_at, c->n_group, c->n_state),
                                         .dt = dt,
                                         .heads = mixer->heads,
                                         .state = vks_state_get(&call->state, call->first_state + 1),
                                         .slots = call->slots,
                                         .y = columns(y, 0, c->n_head, c->n_width),
                                         .gate = gated ? columns(projected, 0, c->n_head, c->n_width) : (vks_tensor){0},
                                         .dt_min = c->dt_min,
                                         .dt_max = c->dt_max,
                                     });
}

static vks_mixer_step mixer_step_of(const vks_mamba2_config *c, const vks_mamba2_mixer *mixer,
                                    const vks_mamba2_call *call) {
    return (vks_mixer_step){
        .x = call->residual,
        .w = mixer->in_proj,
        .conv = {.w = mixer->conv_weight,
                 .bias = mixer->conv_bias,
                 .state = vks_state_get(&call->state, call->first_state),
                 .slots = call->slots,
                 .first = c->n_inner},
        .heads = mixer->heads,
        .state = vks_state_get(&call->state, call->first_state + 1),
        .left = call->left,
        .dt_min = c->dt_min,
        .dt_max = c->dt_max,
    };
}

vkssm_status vks_mamba2_begin_step(const vks_mamba2_config *c, const vks_mamba2_mixer *first, vks_plan *plan,
                                   uint32_t n_layer, vks_mamba2_call *call) {
    if (!fits_mixer_step(c, plan->target.kernels, plan->target.coded_inputs, first->in_proj.dtype, call->most_rows))
        return VKSSM_OK;
    const vks_mixer_step op = mixer_step_of(c, first, call);
    uint64_t n_word = n_layer * vks_mixer_step_words(&op);
    VKS_TRY(vks_plan_floats(plan, 2 * (uint64_t)c->n_inner, &call->left));
    VKS_TRY(vks_plan_floats(plan, n_word, &call->words));
    call->words.dtype = VKSSM_DTYPE_I32;
    return vks_op_clear(&plan->target, call->words);
}

static vkssm_status record_in_and_recurrence(const vks_mamba2_config *c, const vks_mamba2_mixer *mixer,
                                             const vks_plan *plan, const vks_mamba2_call *call, uint32_t layer,
                                             vks_tensor norm, float norm_eps, vks_tensor y) {
    vks_mixer_step op = mixer_step_of(c, mixer, call);
    uint32_t n_word = (uint32_t)vks_mixer_step_words(&op);
    op.norm = norm;
    op.norm_eps = norm_eps;
    op.words = vks_tensor_slice(call->words, 0, layer * n_word, n_word);
    op.y = y;
    return vks_op_mixer_step(&plan->target, &op);
}

// The gated norm that the products cannot take over: of several groups, or with the gate behind it.
static vkssm_status record_norm(const vks_mamba2_config *c, const vks_mamba2_mixer *mixer, vks_plan *plan,
                                const vks_mamba2_call *call, vks_tensor projected, vks_tensor *y) {
    vks_tensor normed;
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, call->n_sequence, c->n_inner, &normed));
    VKS_TRY(vks_op_rms_norm(&plan->target, &(vks_rms_norm){
                                               .x = *y,
                                               .gate = vks_tensor_slice(projected, 1, 0, c->n_inner),
                                               .weight = mixer->norm,
                                               .y = normed,
                                               .n_group = c->norm_groups,
                                               .eps = c->norm_eps,
                                               .gate_after = c->norm_before_gate,
                                               .most_rows = call->most_rows,
                                           }));
    *y = normed;
    return VKSSM_OK;
}

vkssm_status vks_mamba2_record_step(const vks_mamba2_config *c, const vks_mamba2_mixer *mixer, vks_plan *plan,
                                    const vks_mamba2_call *call, uint32_t layer, vks_tensor norm, float norm_eps) {
    bool gated = !c->norm_before_gate && c->norm_groups <= 1; // a single norm, or none, behind the gate
    uint32_t n_in = mixer->in_proj.shape[0];
    uint64_t mark = vks_plan_mark(plan);
    vks_tensor projected = {0}, y;
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, call->n_sequence, c->n_inner, &y));
    if (call->words.address &&
        fits_mixer_step(c, plan->target.kernels, plan->target.coded_inputs, mixer->in_proj.dtype, call->most_rows)) {
        VKS_TRY(record_in_and_recurrence(c, mixer, plan, call, layer, norm, norm_eps, y));
    } else {
        VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, call->n_sequence, n_in, &projected));
        VKS_TRY(record_in(c, mixer, plan, call, norm, norm_eps, projected));
        VKS_TRY(record_recurrence(c, mixer, plan, call, gated, projected, y));
    }
    if (!gated) VKS_TRY(record_norm(c, mixer, plan, call, projected, &y));
    VKS_TRY(vks_op_matmul(&plan->target, &(vks_matmul){
                                             .x = y,
                                             .w = mixer->out_proj,
                                             .bias = mixer->out_bias,
                                             .y = call->residual,
                                             .accumulate = true,
                                             .norm = gated ? mixer->norm : (vks_tensor){0},
                                             .norm_eps = c->norm_eps,
                                             .most_rows = call->most_rows,
                                         }));
    vks_plan_release(plan, mark);
    return VKSSM_OK;
}

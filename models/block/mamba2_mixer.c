#include "mamba2_mixer.h"

#include "host/base/status.h"

// Channels that pass the convolution: x, B and C.
static uint32_t n_conv(const vks_mamba2_config *c) {
    return c->n_inner + 2 * c->n_group * c->n_state;
}

// Rows of in_proj: gate z, then x, B, C, then dt.
static uint32_t n_in(const vks_mamba2_config *c) {
    return c->n_inner + n_conv(c) + c->n_head;
}

// A, bias of dt and D, one row each.
static vkssm_status bind_heads(const vks_bind *bind, uint32_t n_head, vks_tensor *out) {
    const uint64_t shape[] = {n_head};
    vks_bind_part parts[3] = {{.transform = VKS_TRANSFORM_NONE}};
    VKS_TRY(vks_bind_find_a(bind, "A_log", 1, shape, &parts[0]));
    VKS_TRY(vks_bind_find(bind, "dt_bias", 1, shape, &parts[1].source));
    VKS_TRY(vks_bind_find(bind, "D", 1, shape, &parts[2].source));
    return vks_bind_array(bind->binder, parts, 3, 2, (uint32_t[]){3, n_head}, out);
}

vkssm_status vks_mamba2_bind(const vks_bind *bind, const vks_mamba2_config *config, vks_mamba2_mixer *mixer) {
    VKS_TRY(vks_bind_named_matrix(bind, "in_proj.weight", n_in(config), config->n_channel, &mixer->in_proj));
    VKS_TRY(vks_bind_named_conv(bind, "conv1d.weight", n_conv(config), config->n_tap, &mixer->conv_weight));
    VKS_TRY(bind_heads(bind, config->n_head, &mixer->heads));
    VKS_TRY(vks_bind_named_matrix(bind, "out_proj.weight", config->n_channel, config->n_inner, &mixer->out_proj));
    if (config->norm_groups) VKS_TRY(vks_bind_named_vector(bind, "norm.weight", config->n_inner, &mixer->norm));
    if (config->conv_bias) VKS_TRY(vks_bind_named_vector(bind, "conv1d.bias", n_conv(config), &mixer->conv_bias));
    if (config->proj_bias) {
        VKS_TRY(vks_bind_named_vector(bind, "in_proj.bias", n_in(config), &mixer->in_bias));
        VKS_TRY(vks_bind_named_vector(bind, "out_proj.bias", config->n_channel, &mixer->out_bias));
    }
    return VKSSM_OK;
}

vkssm_status vks_mamba2_state(const vks_mamba2_config *config, vks_state_layout *layout) {
    VKS_TRY(vks_state_add(layout, 2, (uint32_t[]){config->n_tap - 1, n_conv(config)}));
    return vks_state_add(layout, 3, (uint32_t[]){config->n_head, config->n_width, config->n_state});
}

// Columns begin ... begin+count-1 of rows [B T, .] as [B, T, count].
static vks_tensor sequences(vks_tensor rows, uint32_t n_sequence, uint32_t n_time, uint32_t begin, uint32_t count) {
    vks_tensor columns = vks_tensor_slice(rows, 1, begin, count);
    uint64_t stride = columns.stride[0];
    columns.n_dim = 3;
    columns.shape[0] = n_sequence;
    columns.shape[1] = n_time;
    columns.shape[2] = count;
    columns.stride[0] = n_time * stride;
    columns.stride[1] = stride;
    columns.stride[2] = 1;
    return columns;
}

static vkssm_status record_ssd(const vks_mamba2_config *c, const vks_mamba2_mixer *mixer, vks_plan *plan,
                               const vks_mamba2_call *call, vks_tensor projected, vks_tensor convolved, vks_tensor y) {
    uint32_t n_sequence = call->n_sequence, n_time = call->n_time, n_bc = c->n_group * c->n_state;
    uint64_t mark = vks_plan_mark(plan);
    vks_tensor x = sequences(convolved, n_sequence, n_time, 0, c->n_inner);
    vks_tensor b = sequences(convolved, n_sequence, n_time, c->n_inner, n_bc);
    vks_tensor cc = sequences(convolved, n_sequence, n_time, c->n_inner + n_bc, n_bc);
    vks_ssd ssd = {
        .x = vks_tensor_split_last(x, c->n_head, c->n_width),
        .b = vks_tensor_split_last(b, c->n_group, c->n_state),
        .c = vks_tensor_split_last(cc, c->n_group, c->n_state),
        .dt = sequences(projected, n_sequence, n_time, c->n_inner + n_conv(c), c->n_head),
        .heads = mixer->heads,
        .state = vks_state_get(&call->state, call->first_state + 1),
        .slots = call->slots,
        .offsets = call->offsets,
        .y = vks_tensor_split_last(sequences(y, n_sequence, n_time, 0, c->n_inner), c->n_head, c->n_width),
        .chunk = c->chunk,
        .dt_min = c->dt_min,
        .dt_max = c->dt_max,
    };
    VKS_TRY(vks_plan_floats(plan, vks_ssd_scratch_size(plan->target.kernels, &ssd), &ssd.scratch));
    VKS_TRY(vks_op_ssd(&plan->target, &ssd));
    vks_plan_release(plan, mark);
    return VKSSM_OK;
}

vkssm_status vks_mamba2_record(const vks_mamba2_config *c, const vks_mamba2_mixer *mixer, vks_plan *plan,
                               const vks_mamba2_call *call) {
    const vks_op_target *target = &plan->target;
    uint32_t n_row = call->n_sequence * call->n_time;
    uint64_t mark = vks_plan_mark(plan);
    vks_tensor projected, convolved, y, gated;
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, n_in(c), &projected));
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, n_conv(c), &convolved));
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, c->n_inner, &y));
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, c->n_inner, &gated));

    VKS_TRY(vks_plan_matmul(
        plan,
        &(vks_matmul){
            .x = call->x, .w = mixer->in_proj, .bias = mixer->in_bias, .y = projected, .most_rows = call->most_rows}));
    VKS_TRY(vks_op_conv1d(target, &(vks_conv1d){
                                      .x = sequences(projected, call->n_sequence, call->n_time, c->n_inner, n_conv(c)),
                                      .w = mixer->conv_weight,
                                      .bias = mixer->conv_bias,
                                      .state = vks_state_get(&call->state, call->first_state),
                                      .slots = call->slots,
                                      .offsets = call->offsets,
                                      .y = sequences(convolved, call->n_sequence, call->n_time, 0, n_conv(c)),
                                      .silu = true,
                                  }));
    VKS_TRY(record_ssd(c, mixer, plan, call, projected, convolved, y));
    VKS_TRY(vks_op_rms_norm(target, &(vks_rms_norm){
                                        .x = y,
                                        .gate = vks_tensor_slice(projected, 1, 0, c->n_inner),
                                        .weight = mixer->norm,
                                        .y = gated,
                                        .n_group = c->norm_groups,
                                        .eps = c->norm_eps,
                                        .gate_after = c->norm_before_gate,
                                        .most_rows = call->most_rows,
                                    }));
    VKS_TRY(vks_plan_matmul(plan, &(vks_matmul){.x = gated,
                                                .w = mixer->out_proj,
                                                .bias = mixer->out_bias,
                                                .y = call->residual,
                                                .accumulate = true,
                                                .most_rows = call->most_rows}));
    vks_plan_release(plan, mark);
    return VKSSM_OK;
}

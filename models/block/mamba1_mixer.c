#include "mamba1_mixer.h"

#include <stdio.h>
#include <string.h>

#include "host/base/alloc.h"
#include "host/base/status.h"

enum { MAX_TAP = 8 }; // of a convolution inside a product

// ---- sizes ----------------------------------------------------------------------------------------------------------

// Rows of x_proj: dt's low rank, B, C. Each part begins on a pair of elements, so that 16-bit ones can be read by
// words; where the file's do not, rows of zeros stand between.
static uint32_t padded(uint32_t n) {
    return (uint32_t)vks_align_up(n, 2);
}
static uint32_t n_low(const vks_mamba1_config *c) {
    return padded(c->n_rank) + 2 * padded(c->n_state);
}

static bool both_directions(const vks_mamba1_config *c) {
    return c->direction != VKS_MAMBA1_FORWARD;
}

vkssm_status vks_mamba1_check(const vks_mamba1_config *c, const char *path, const vkssm_log *log) {
    if (c->n_rank > c->n_inner)
        return vks_fail(log, VKSSM_ERR_FORMAT,
                        "%s: a time step rank of at most %u, the inner width, expected, %u found", path, c->n_inner,
                        c->n_rank);
    if (c->n_state > VKS_MAMBA1_MAX_STATE)
        return vks_fail(log, VKSSM_ERR_UNSUPPORTED, "%s: a state size of at most %d expected, %u found", path,
                        VKS_MAMBA1_MAX_STATE, c->n_state);
    return VKSSM_OK;
}

// ---- weights and state ----------------------------------------------------------------------------------------------

// The names of a core's tensors, of either direction: every spelling of a checkpoint is here.
typedef struct core_names {
    const char *conv_weight, *conv_bias, *x_proj, *dt_weight, *dt_bias, *a_log, *d;
} core_names;

static const core_names forward_names = {
    "conv1d.weight", "conv1d.bias", "x_proj.weight", "dt_proj.weight", "dt_proj.bias", "A_log", "D"};
static const core_names backward_names = {
    "conv1d_b.weight", "conv1d_b.bias", "x_proj_b.weight", "dt_proj_b.weight", "dt_proj_b.bias", "A_b_log", "D_b"};

// [C, 1, K], or [C, K] as some files have it.
static vkssm_status bind_conv(const vks_bind *bind, const vks_mamba1_config *c, const char *name, vks_tensor *out) {
    vkssm_named_tensor found;
    char full[160];
    snprintf(full, sizeof full, "%s%s", bind->prefix, name);
    if (!vks_weights_find(bind->weights, full, &found) || found.n_dim != 2)
        return vks_bind_named_conv(bind, name, c->n_inner, c->n_tap, out);
    vks_bind_part part = {.transform = VKS_TRANSFORM_TRANSPOSE};
    VKS_TRY(vks_bind_find(bind, name, 2, (uint64_t[]){c->n_inner, c->n_tap}, &part.source));
    return vks_bind_array(bind->binder, &part, 1, 2, (uint32_t[]){c->n_tap, c->n_inner}, out);
}

static vkssm_status bind_x_proj(const vks_bind *bind, const vks_mamba1_config *c, const char *name, vks_tensor *out) {
    const uint32_t sizes[] = {c->n_rank, c->n_state, c->n_state};
    uint64_t n_row = (uint64_t)c->n_rank + 2 * c->n_state, n_column = c->n_inner;
    if (n_row == n_low(c)) return vks_bind_named_matrix(bind, name, n_low(c), c->n_inner, out);
    float *values;
    VKS_TRY(vks_bind_values(bind, name, 2, (uint64_t[]){n_row, n_column}, &values));
    float *spread = vks_alloc_zero(n_low(c), (size_t)n_column * sizeof *spread), *from = values, *to = spread;
    for (int i = 0; spread && i < 3; i++) {
        memcpy(to, from, sizes[i] * (size_t)n_column * sizeof *to);
        from += sizes[i] * (size_t)n_column;
        to += padded(sizes[i]) * (size_t)n_column;
    }
    vks_free(values);
    if (!spread)
        return vks_fail(bind->log, VKSSM_ERR_OOM_HOST, "%s: tensor %s%s: out of memory",
                        vks_weights_path(bind->weights), bind->prefix, name);
    return vks_bind_computed_matrix(bind->binder, "x_proj", spread, n_row * n_column, n_low(c), c->n_inner, out);
}

// The step multiplies by it inside its recurrence.
static vkssm_status bind_dt_proj(const vks_bind *bind, const vks_mamba1_config *c, const char *name, vks_tensor *out) {
    vkssm_named_tensor source;
    VKS_TRY(vks_bind_find(bind, name, 2, (uint64_t[]){c->n_inner, c->n_rank}, &source));
    return vks_bind_float_matrix(bind->binder, &source, c->n_inner, c->n_rank, out);
}

static vkssm_status bind_core(const vks_bind *bind, const vks_mamba1_config *c, const core_names *names,
                              vks_mamba1_core *core) {
    const uint64_t per_channel[] = {c->n_inner};
    vks_bind_part a, channels[2] = {{.transform = VKS_TRANSFORM_NONE}};
    VKS_TRY(bind_conv(bind, c, names->conv_weight, &core->conv_weight));
    if (c->conv_bias) VKS_TRY(vks_bind_named_vector(bind, names->conv_bias, c->n_inner, &core->conv_bias));
    VKS_TRY(bind_x_proj(bind, c, names->x_proj, &core->x_proj));
    VKS_TRY(bind_dt_proj(bind, c, names->dt_weight, &core->dt_proj));
    VKS_TRY(vks_bind_find_a(bind, names->a_log, 2, (uint64_t[]){c->n_inner, c->n_state}, &a));
    VKS_TRY(vks_bind_array(bind->binder, &a, 1, 2, (uint32_t[]){c->n_inner, c->n_state}, &core->a));
    VKS_TRY(vks_bind_find(bind, names->dt_bias, 1, per_channel, &channels[0].source));
    VKS_TRY(vks_bind_find(bind, names->d, 1, per_channel, &channels[1].source));
    return vks_bind_array(bind->binder, channels, 2, 2, (uint32_t[]){2, c->n_inner}, &core->channels);
}

static vkssm_status bind_ones(const vks_bind *bind, const vks_mamba1_config *c, vks_tensor *out) {
    uint32_t n = c->n_rank > c->n_state ? c->n_rank : c->n_state;
    float *ones = vks_alloc(n * sizeof *ones);
    if (!ones) return vks_fail(bind->log, VKSSM_ERR_OOM_HOST, "%s: out of memory", vks_weights_path(bind->weights));
    for (uint32_t i = 0; i < n; i++)
        ones[i] = 1;
    return vks_bind_computed_array(bind->binder, "ones", ones, 0, 1, &n, out);
}

vkssm_status vks_mamba1_bind(const vks_bind *bind, const vks_mamba1_config *c, vks_mamba1_mixer *mixer) {
    bool in_bias = c->find_bias ? vks_bind_has(bind, "in_proj.bias") : c->proj_bias;
    bool out_bias = c->find_bias ? vks_bind_has(bind, "out_proj.bias") : c->proj_bias;
    VKS_TRY(vks_bind_named_matrix(bind, "in_proj.weight", 2 * c->n_inner, c->n_channel, &mixer->in_proj));
    if (in_bias) VKS_TRY(vks_bind_named_vector(bind, "in_proj.bias", 2 * c->n_inner, &mixer->in_bias));
    VKS_TRY(bind_core(bind, c, &forward_names, &mixer->forward));
    if (c->direction == VKS_MAMBA1_SEPARATE) VKS_TRY(bind_core(bind, c, &backward_names, &mixer->backward));
    VKS_TRY(vks_bind_named_matrix(bind, "out_proj.weight", c->n_channel, c->n_inner, &mixer->out_proj));
    if (out_bias) VKS_TRY(vks_bind_named_vector(bind, "out_proj.bias", c->n_channel, &mixer->out_bias));
    return c->norm_parts ? bind_ones(bind, c, &mixer->ones) : VKSSM_OK;
}

uint32_t vks_mamba1_n_state(const vks_mamba1_config *c) {
    return both_directions(c) ? 0 : 2;
}

vkssm_status vks_mamba1_state(const vks_mamba1_config *c, vks_state_layout *layout) {
    if (both_directions(c)) return VKSSM_OK;
    VKS_TRY(vks_state_add(layout, 2, (uint32_t[]){c->n_tap - 1, c->n_inner}));
    return vks_state_add(layout, 2, (uint32_t[]){c->n_inner, c->n_state});
}

// ---- recording ------------------------------------------------------------------------------------------------------

// Each of the three parts of x_proj's outputs divided by its root mean square, in place.
static vkssm_status norm_parts(const vks_mamba1_config *c, const vks_mamba1_mixer *mixer, const vks_op_target *target,
                               vks_tensor low, uint32_t most_rows) {
    const uint32_t firsts[] = {0, padded(c->n_rank), padded(c->n_rank) + padded(c->n_state)};
    const uint32_t sizes[] = {c->n_rank, c->n_state, c->n_state};
    for (int i = 0; i < 3; i++) {
        vks_tensor part = vks_tensor_slice(low, 1, firsts[i], sizes[i]);
        VKS_TRY(vks_op_rms_norm(target, &(vks_rms_norm){.x = part,
                                                        .weight = vks_tensor_slice(mixer->ones, 0, 0, sizes[i]),
                                                        .y = part,
                                                        .eps = c->parts_eps,
                                                        .most_rows = most_rows}));
    }
    return VKSSM_OK;
}

// Whether in_proj convolves its outputs on the way: one dispatch less to wait for, where steps are bound by those.
static bool convolves_in_product(const vks_mamba1_config *c, const vks_mamba1_call *call) {
    return call->norm.address && call->n_time == 1 && !both_directions(c) && c->n_tap <= MAX_TAP;
}

static vkssm_status record_conv(const vks_mamba1_config *c, const vks_mamba1_core *core, const vks_plan *plan,
                                const vks_mamba1_call *call, vks_tensor projected, bool reverse, vks_tensor x) {
    vks_conv1d conv = {
        .x = vks_tensor_sequences(vks_tensor_slice(projected, 1, 0, c->n_inner), call->n_sequence, call->n_time),
        .w = core->conv_weight,
        .bias = core->conv_bias,
        .slots = call->slots,
        .y = vks_tensor_sequences(x, call->n_sequence, call->n_time),
        .silu = true,
        .reverse = reverse,
    };
    if (!both_directions(c)) conv.state = vks_state_get(&call->state, call->first_state);
    return vks_op_conv1d(&plan->target, &conv);
}

// One direction's convolution, projections of dt, B and C, scan and gate. The second direction adds to y.
static vkssm_status record_core(const vks_mamba1_config *c, const vks_mamba1_mixer *mixer, const vks_mamba1_core *core,
                                vks_plan *plan, const vks_mamba1_call *call, vks_tensor projected, bool reverse,
                                vks_tensor y) {
    const vks_op_target *target = &plan->target;
    uint32_t n_row = projected.shape[0], n_sequence = call->n_sequence, n_time = call->n_time;
    uint64_t mark = vks_plan_mark(plan);
    vks_tensor x = vks_tensor_slice(projected, 1, 0, c->n_inner), low;
    if (!convolves_in_product(c, call)) {
        VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, c->n_inner, &x));
        VKS_TRY(record_conv(c, core, plan, call, projected, reverse, x));
    }
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, n_low(c), &low));
    VKS_TRY(vks_op_matmul(target, &(vks_matmul){.x = x, .w = core->x_proj, .y = low, .most_rows = call->most_rows}));
    if (c->norm_parts) VKS_TRY(norm_parts(c, mixer, target, low, call->most_rows));

    vks_tensor b = vks_tensor_slice(low, 1, padded(c->n_rank), c->n_state);
    vks_tensor cc = vks_tensor_slice(low, 1, padded(c->n_rank) + padded(c->n_state), c->n_state);
    vks_tensor dt = vks_tensor_slice(low, 1, 0, c->n_rank);
    vks_selective_scan scan = {
        .x = vks_tensor_sequences(x, n_sequence, n_time),
        .b = vks_tensor_split_last(vks_tensor_sequences(b, n_sequence, n_time), 1, c->n_state),
        .c = vks_tensor_split_last(vks_tensor_sequences(cc, n_sequence, n_time), 1, c->n_state),
        .gate = vks_tensor_sequences(vks_tensor_slice(projected, 1, c->n_inner, c->n_inner), n_sequence, n_time),
        .a = core->a,
        .channels = core->channels,
        .slots = call->slots,
        .y = vks_tensor_sequences(y, n_sequence, n_time),
        .reverse = reverse,
        .accumulate = reverse,
    };
    if (!both_directions(c)) scan.state = vks_state_get(&call->state, call->first_state + 1);
    if (n_time == 1) { // the step multiplies by dt_proj itself
        scan.dt_weight = core->dt_proj;
    } else {
        vks_tensor wide;
        VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, c->n_inner, &wide));
        VKS_TRY(
            vks_op_matmul(target, &(vks_matmul){.x = dt, .w = core->dt_proj, .y = wide, .most_rows = call->most_rows}));
        dt = wide;
    }
    scan.dt = vks_tensor_sequences(dt, n_sequence, n_time);
    VKS_TRY(vks_plan_floats(plan, vks_selective_scan_scratch_size(target->kernels, &scan), &scan.scratch));
    VKS_TRY(vks_op_selective_scan(target, &scan));
    vks_plan_release(plan, mark);
    return VKSSM_OK;
}

vkssm_status vks_mamba1_record(const vks_mamba1_config *c, const vks_mamba1_mixer *mixer, vks_plan *plan,
                               const vks_mamba1_call *call) {
    const vks_op_target *target = &plan->target;
    uint32_t n_row = call->n_sequence * call->n_time;
    uint64_t mark = vks_plan_mark(plan);
    vks_tensor projected, y;
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, 2 * c->n_inner, &projected));
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, c->n_inner, &y));
    vks_matmul in = {.x = call->x,
                     .w = mixer->in_proj,
                     .bias = mixer->in_bias,
                     .y = projected,
                     .norm = call->norm,
                     .norm_eps = call->norm_eps,
                     .most_rows = call->most_rows};
    if (convolves_in_product(c, call))
        in.conv = (vks_matmul_conv){.w = mixer->forward.conv_weight,
                                    .bias = mixer->forward.conv_bias,
                                    .state = vks_state_get(&call->state, call->first_state),
                                    .slots = call->slots};
    VKS_TRY(vks_op_matmul(target, &in));
    VKS_TRY(record_core(c, mixer, &mixer->forward, plan, call, projected, false, y));
    if (both_directions(c)) {
        const vks_mamba1_core *core = c->direction == VKS_MAMBA1_SHARED ? &mixer->forward : &mixer->backward;
        VKS_TRY(record_core(c, mixer, core, plan, call, projected, true, y));
    }
    VKS_TRY(vks_op_matmul(target, &(vks_matmul){.x = y,
                                                .w = mixer->out_proj,
                                                .bias = mixer->out_bias,
                                                .y = call->out,
                                                .accumulate = !call->replace,
                                                .most_rows = call->most_rows}));
    vks_plan_release(plan, mark);
    return VKSSM_OK;
}

#include "diagonal_stack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/alloc.h"
#include "host/base/status.h"
#include "models/io/config.h"

enum { MAX_SIZE = 1 << 16, MAX_LAYER = 4096 };

// ---- configuration --------------------------------------------------------------------------------------------------

// "pixel" or "pixel/255": what a U8 value stands for.
static vkssm_status parse_input_scale(const vks_config *config, float *divisor) {
    const char *text = NULL;
    VKS_TRY(vks_config_string(config, "input_scale", &text));
    if (!text) return VKSSM_OK;
    const char word[] = "pixel";
    size_t n = sizeof word - 1;
    char *end = NULL;
    double value = 0;
    if (strcmp(text, word) == 0)
        value = 1;
    else if (strncmp(text, word, n) == 0 && text[n] == '/' && text[n + 1] >= '0' && text[n + 1] <= '9')
        value = strtod(text + n + 1, &end);
    if (!(value > 0 && value <= 1e9) || (end && *end))
        return vks_fail(vks_config_log(config), VKSSM_ERR_UNSUPPORTED,
                        "%s: key \"input_scale\": \"pixel\" or \"pixel/N\" with N above 0 expected, \"%.64s\" found",
                        vks_config_path(config), text);
    *divisor = (float)value;
    return VKSSM_OK;
}

static vkssm_status required_size(const vks_config *config, const char *key, uint32_t max, uint32_t *out) {
    VKS_TRY(vks_config_require(config, key));
    return vks_config_u32(config, key, 1, max, out);
}

vkssm_status vks_stack_parse(const vks_config *config, vks_stack *s) {
    static const char *const pools[] = {"mean", "last", "none"}, *const heads[] = {"log_softmax", "none"};
    uint32_t pool = VKS_STACK_MEAN, head = 0;
    s->log = vks_config_log(config);
    VKS_TRY(required_size(config, "d_input", MAX_SIZE, &s->n_input));
    VKS_TRY(required_size(config, "d_model", MAX_SIZE, &s->ssm.n_channel));
    VKS_TRY(required_size(config, "n_layers", MAX_LAYER, &s->n_layer));
    VKS_TRY(required_size(config, "n_classes", MAX_SIZE, &s->n_class));
    VKS_TRY(vks_config_choice(config, "pooling", pools, VKS_COUNT(pools), &pool));
    VKS_TRY(vks_config_choice(config, "head", heads, VKS_COUNT(heads), &head));
    s->pool = (vks_stack_pool)pool;
    s->log_softmax = head == 0;
    return parse_input_scale(config, &s->u8_divisor);
}

// Shaders count elements in 32 bits.
static uint64_t most_steps(const vks_stack *s) {
    return UINT32_MAX / (4 * (uint64_t)s->ssm.n_state + s->ssm.n_channel + s->n_input + s->n_class + 32);
}

vkssm_status vks_stack_complete(const vks_config *config, vks_stack *s, char kind, vks_model_shape *shape) {
    if ((uint64_t)s->ssm.n_state * s->ssm.n_channel > (uint64_t)1 << 28)
        return vks_fail(s->log, VKSSM_ERR_UNSUPPORTED, "%s: at most 2^28 states times channels expected, %u x %u found",
                        vks_config_path(config), s->ssm.n_state, s->ssm.n_channel);
    s->layers = vks_alloc_zero(s->n_layer, sizeof *s->layers);
    if (!s->layers)
        return vks_fail(s->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %u layers", vks_config_path(config),
                        s->n_layer);
    *shape = (vks_model_shape){.n_layer = s->n_layer,
                               .n_channel = s->ssm.n_channel,
                               .bos = -1,
                               .eos = -1,
                               .needs_whole = s->ssm.bidirectional,
                               .most_steps = most_steps(s)};
    const uint32_t numbers[] = {(uint32_t)kind, s->n_layer, s->ssm.n_channel, s->ssm.n_state, (uint32_t)s->pool};
    shape->fingerprint = 0xcbf29ce484222325u; // FNV-1a over the numbers
    for (size_t i = 0; i < VKS_COUNT(numbers); i++)
        shape->fingerprint = (shape->fingerprint ^ numbers[i]) * 0x100000001b3u;
    return VKSSM_OK;
}

void vks_stack_destroy(void *self) {
    vks_stack *s = self;
    vks_free(s->layers);
    vks_free(s);
}

// ---- weights and state ----------------------------------------------------------------------------------------------

// Batch norm at inference: w (x - mean) / sqrt(var + eps) + b = w' x + b'. Names below params/ and batch_stats/.
static vkssm_status bind_batch_norm(const vks_stack *s, vks_bind *bind, uint32_t layer, vks_stack_layer *out) {
    static const char *const names[] = {"scale", "bias", "mean", "var"};
    uint64_t n = s->ssm.n_channel;
    float *values[4] = {NULL};
    vkssm_status status = VKSSM_OK;
    for (int i = 0; i < 4 && status == VKSSM_OK; i++) {
        vks_bind_prefix(bind, "%s/encoder/layers_%u/%s/", i < 2 ? "params" : "batch_stats", layer, s->norm_name);
        status = vks_bind_values(bind, names[i], 1, &n, &values[i]);
    }
    for (size_t c = 0; status == VKSSM_OK && c < n; c++) {
        double scale = values[0][c] / sqrt((double)values[3][c] + s->norm_eps);
        values[1][c] = (float)(values[1][c] - scale * values[2][c]);
        values[0][c] = (float)scale;
    }
    vks_free(values[2]);
    vks_free(values[3]);
    if (status != VKSSM_OK) {
        vks_free(values[0]);
        vks_free(values[1]);
        return status;
    }
    uint32_t shape = s->ssm.n_channel;
    status = vks_bind_computed_array(bind->binder, "norm scale", values[0], n, 1, &shape, &out->norm_weight);
    if (status != VKSSM_OK) {
        vks_free(values[1]);
        return status;
    }
    return vks_bind_computed_array(bind->binder, "norm bias", values[1], n, 1, &shape, &out->norm_bias);
}

static vkssm_status bind_layer(const vks_stack *s, vks_bind *bind, uint32_t i, vks_stack_layer *layer) {
    uint32_t n = s->ssm.n_channel;
    vks_bind_prefix(bind, "params/encoder/layers_%u/seq/", i);
    VKS_TRY(vks_diagonal_bind(bind, &s->ssm, &layer->ssm));
    if (s->batch_norm) {
        VKS_TRY(bind_batch_norm(s, bind, i, layer));
    } else {
        vks_bind_prefix(bind, "params/encoder/layers_%u/%s/", i, s->norm_name);
        VKS_TRY(vks_bind_named_vector(bind, "scale", n, &layer->norm_weight));
        VKS_TRY(vks_bind_named_vector(bind, "bias", n, &layer->norm_bias));
    }
    vks_bind_prefix(bind, "params/encoder/layers_%u/", i);
    if (s->gate == VKS_STACK_FULL_GLU) VKS_TRY(vks_bind_flax_dense(bind, "out1", n, n, &layer->w1, &layer->b1));
    if (s->gate != VKS_STACK_GELU) VKS_TRY(vks_bind_flax_dense(bind, "out2", n, n, &layer->w2, &layer->b2));
    return VKSSM_OK;
}

vkssm_status vks_stack_bind(void *self, const struct vks_weights *weights, vks_binder *binder, vks_model_shape *shape) {
    vks_stack *s = self;
    (void)shape;
    s->log = vks_binder_log(binder); // used when recording, too
    vks_bind bind = {.weights = weights, .binder = binder, .log = s->log};
    vks_bind_prefix(&bind, "%s", "params/");
    VKS_TRY(vks_bind_flax_dense(&bind, "encoder/encoder", s->n_input, s->ssm.n_channel, &s->encoder, &s->encoder_bias));
    VKS_TRY(vks_bind_flax_dense(&bind, "decoder", s->ssm.n_channel, s->n_class, &s->decoder, &s->decoder_bias));
    for (uint32_t i = 0; i < s->n_layer; i++)
        VKS_TRY(bind_layer(s, &bind, i, &s->layers[i]));
    return VKSSM_OK;
}

static uint32_t n_state_of_layer(const vks_stack *s) {
    return s->ssm.bidirectional ? 0 : 1;
}

vkssm_status vks_stack_state(const void *self, vks_state_layout *layout) {
    const vks_stack *s = self;
    for (uint32_t i = 0; i < s->n_layer; i++)
        VKS_TRY(vks_diagonal_state(&s->ssm, layout));
    if (s->pool != VKS_STACK_MEAN) return VKSSM_OK;
    return vks_state_add(layout, 2, (uint32_t[]){3, s->ssm.n_channel});
}

// ---- inputs and outputs ---------------------------------------------------------------------------------------------

// Output 0 is "logits"; then one for each layer.
bool vks_stack_io(const void *self, bool output, uint32_t index, vks_io *out) {
    const vks_stack *s = self;
    if (index > (output ? s->n_layer : 0)) return false;
    *out = (vks_io){.n_dim = 1, .per_step = true};
    if (!output) {
        snprintf(out->name, sizeof out->name, "input");
        out->shape[0] = s->n_input;
        out->u8_divisor = s->u8_divisor;
    } else if (index == 0) {
        snprintf(out->name, sizeof out->name, "logits");
        out->shape[0] = s->n_class;
        out->per_step = s->pool == VKS_STACK_NO_POOL;
    } else {
        snprintf(out->name, sizeof out->name, "layer%u.out", index - 1);
        out->shape[0] = s->ssm.n_channel;
        out->layer = true;
    }
    return true;
}

// ---- recording ------------------------------------------------------------------------------------------------------

static vkssm_status record_norm(const vks_stack *s, vks_plan *plan, const vks_stack_layer *layer, vks_tensor x,
                                vks_tensor y) {
    return vks_op_layer_norm(&plan->target, &(vks_layer_norm){.x = x,
                                                              .weight = layer->norm_weight,
                                                              .bias = layer->norm_bias,
                                                              .y = y,
                                                              .eps = s->norm_eps,
                                                              .affine = s->batch_norm});
}

static vkssm_status record_dense(vks_plan *plan, vks_tensor x, vks_tensor w, vks_tensor bias, vks_tensor *y) {
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, x.shape[0], w.shape[0], y));
    return vks_op_matmul(&plan->target, &(vks_matmul){.x = x, .w = w, .bias = bias, .y = *y});
}

// residual += gate(act(y + d u)); y: what the recurrence gave, u: what it was given.
static vkssm_status record_gate(const vks_stack *s, vks_plan *plan, const vks_stack_layer *layer, vks_tensor y,
                                vks_tensor u, vks_tensor residual) {
    vks_activation first = {.x = y, .d = layer->ssm.d, .skip = u, .act = VKS_ACT_GELU_TANH};
    vks_activation second = {.y = residual, .accumulate = true};
    vks_tensor g;
    if (s->gate == VKS_STACK_GELU) {
        first.y = residual;
        first.accumulate = true;
        return vks_op_activation(&plan->target, &first);
    }
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, y.shape[0], y.shape[1], &g));
    first.y = g;
    VKS_TRY(vks_op_activation(&plan->target, &first));
    VKS_TRY(record_dense(plan, g, layer->w2, layer->b2, &second.gate));
    second.x = g;
    if (s->gate == VKS_STACK_HALF_GLU_2) {
        second.x = y; // h once more, in place of being stored
        second.d = layer->ssm.d;
        second.skip = u;
    } else if (s->gate == VKS_STACK_FULL_GLU) {
        VKS_TRY(record_dense(plan, g, layer->w1, layer->b1, &second.x));
    }
    return vks_op_activation(&plan->target, &second);
}

static vkssm_status record_layer(const vks_stack *s, vks_plan *plan, const vks_piece *piece, uint32_t i,
                                 vks_tensor residual) {
    const vks_stack_layer *layer = &s->layers[i];
    uint32_t n_row = residual.shape[0], n_channel = residual.shape[1];
    uint64_t mark = vks_plan_mark(plan);
    vks_tensor u = residual, y;
    if (s->prenorm) {
        VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, n_channel, &u));
        VKS_TRY(record_norm(s, plan, layer, residual, u));
    }
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, n_channel, &y));
    VKS_TRY(vks_diagonal_record(&s->ssm, &layer->ssm, plan,
                                &(vks_diagonal_call){.n_sequence = piece->n_sequence,
                                                     .n_time = piece->n_time,
                                                     .u = u,
                                                     .y = y,
                                                     .state = piece->state,
                                                     .first_state = i * n_state_of_layer(s)}));
    VKS_TRY(record_gate(s, plan, layer, y, u, residual));
    if (!s->prenorm) VKS_TRY(record_norm(s, plan, layer, residual, residual));
    vks_plan_release(plan, mark);
    if (!piece->outputs[1 + i].address) return VKSSM_OK;
    return vks_op_activation(&plan->target, &(vks_activation){.x = residual, .y = piece->outputs[1 + i]}); // a copy
}

// Rows [B T, D] as [B, T, D].
static vks_tensor by_sequence(vks_tensor rows, const vks_piece *piece) {
    uint64_t stride = rows.stride[0];
    return (vks_tensor){
        .address = rows.address,
        .dtype = rows.dtype,
        .n_dim = 3,
        .shape = {piece->n_sequence, piece->n_time, rows.shape[1]},
        .stride = {piece->n_time * stride, stride, 1},
    };
}

// The rows that the decoder reads. The mean is carried on in any case; nothing else is done unless logits are wanted.
static vkssm_status record_pool(const vks_stack *s, vks_plan *plan, const vks_piece *piece, vks_tensor residual,
                                bool wanted, vks_tensor *out) {
    *out = residual;
    if (s->pool == VKS_STACK_LAST) {
        uint64_t step = residual.stride[0] * sizeof(float);
        *out = vks_tensor_rows(residual.address + (piece->n_time - 1) * step, VKSSM_DTYPE_F32, piece->n_sequence,
                               residual.shape[1], piece->n_time * residual.stride[0]);
    } else if (s->pool == VKS_STACK_MEAN) {
        vks_tensor mean = {0};
        if (wanted) VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, piece->n_sequence, residual.shape[1], &mean));
        *out = mean;
        return vks_op_pool_mean(
            &plan->target, &(vks_pool_mean){.x = by_sequence(residual, piece),
                                            .state = vks_state_get(&piece->state, s->n_layer * n_state_of_layer(s)),
                                            .y = mean});
    }
    return VKSSM_OK;
}

static vkssm_status check_size(const vks_stack *s, const vks_piece *piece) {
    uint64_t n_row = (uint64_t)piece->n_sequence * piece->n_time, most = most_steps(s);
    if (n_row <= most) return VKSSM_OK;
    return vks_fail(s->log, VKSSM_ERR_UNSUPPORTED,
                    "run: at most %llu time steps at once expected for this model, %llu found",
                    (unsigned long long)most, (unsigned long long)n_row);
}

vkssm_status vks_stack_record(const void *self, vks_plan *plan, const vks_piece *piece) {
    const vks_stack *s = self;
    VKS_TRY(check_size(s, piece));
    vks_tensor residual, pooled, logits = piece->outputs[0];
    uint32_t n_row = piece->n_sequence * piece->n_time;
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_row, s->ssm.n_channel, &residual));
    VKS_TRY(vks_op_matmul(
        &plan->target, &(vks_matmul){.x = piece->inputs[0], .w = s->encoder, .bias = s->encoder_bias, .y = residual}));
    for (uint32_t i = 0; i < s->n_layer; i++)
        VKS_TRY(record_layer(s, plan, piece, i, residual));
    VKS_TRY(record_pool(s, plan, piece, residual, logits.address != 0, &pooled));
    if (!logits.address) return VKSSM_OK;
    VKS_TRY(vks_op_matmul(&plan->target,
                          &(vks_matmul){.x = pooled, .w = s->decoder, .bias = s->decoder_bias, .y = logits}));
    if (!s->log_softmax) return VKSSM_OK;
    return vks_op_log_softmax(&plan->target, &(vks_log_softmax){.x = logits, .y = logits});
}

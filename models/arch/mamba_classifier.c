// Classifiers and filters of sequences made of Mamba-1 layers (Gu and Dao 2023): a linear map of the features of a time
// step, L layers, the mean over time (or the last step, or every step), a linear map to classes. Keyword spotters, for
// one. Tensors are named linear_in.{weight,bias}, classifier.{weight,bias}, and of each layer layers.N.mixer.* (as in
// language models) and, with a norm, layers.N.norm.weight; the tensors of an only layer may be named mamba.* instead.
// config.json has keys of this library's own; models/README.md lists them.
#include <stdio.h>

#include "host/base/alloc.h"
#include "host/base/status.h"
#include "models/block/mamba1_mixer.h"
#include "models/io/config.h"

enum { MAX_SIZE = 1 << 16, MAX_LAYER = 4096 };

typedef enum pooling { POOL_MEAN, POOL_LAST, POOL_NONE } pooling;

typedef struct layer {
    vks_tensor norm;
    vks_mamba1_mixer mixer;
} layer;

typedef struct classifier {
    vks_mamba1_config mixer;
    uint32_t n_input, n_layer, n_class;
    bool norm, final_norm; // RMS norm before each layer, and after the last one
    bool residual;         // layers add to their input
    pooling pool;
    float norm_eps;
    const vkssm_log *log;
    vks_tensor in, in_bias, last_norm, out, out_bias;
    layer *layers;
} classifier;

// ---- configuration --------------------------------------------------------------------------------------------------

static vkssm_status required_size(const vks_config *config, const char *key, uint32_t max, uint32_t *out) {
    VKS_TRY(vks_config_require(config, key));
    return vks_config_u32(config, key, 1, max, out);
}

static vkssm_status parse_mixer(const vks_config *config, classifier *m) {
    static const char *const directions[] = {
        [VKS_MAMBA1_FORWARD] = "none", [VKS_MAMBA1_SHARED] = "shared", [VKS_MAMBA1_SEPARATE] = "separate"};
    vks_mamba1_config *c = &m->mixer;
    uint32_t expand = 2, direction = VKS_MAMBA1_FORWARD;
    *c = (vks_mamba1_config){.n_state = 16, .n_tap = 4, .conv_bias = true};
    VKS_TRY(required_size(config, "d_model", MAX_SIZE, &c->n_channel));
    VKS_TRY(vks_config_u32(config, "expand", 1, 16, &expand));
    c->n_inner = expand * c->n_channel;
    c->n_rank = vks_div_up(c->n_channel, 16);
    VKS_TRY(vks_config_u32_or_auto(config, "dt_rank", 1, MAX_SIZE, &c->n_rank));
    VKS_TRY(vks_config_u32(config, "d_state", 1, VKS_MAMBA1_MAX_STATE, &c->n_state));
    VKS_TRY(vks_config_u32(config, "d_conv", 2, 64, &c->n_tap));
    VKS_TRY(vks_config_bool(config, "bias", &c->proj_bias));
    VKS_TRY(vks_config_bool(config, "conv_bias", &c->conv_bias));
    VKS_TRY(vks_config_choice(config, "bidirectional", directions, VKS_COUNT(directions), &direction));
    c->direction = (vks_mamba1_direction)direction;
    return vks_mamba1_check(c, vks_config_path(config), m->log);
}

// Shaders count elements in 32 bits.
static uint64_t most_steps(const classifier *m) {
    return UINT32_MAX / (2 * (uint64_t)m->mixer.n_inner + m->mixer.n_channel + m->n_input + m->n_class + 64);
}

static vkssm_status parse(const vks_config *config, classifier *m, vks_model_shape *shape) {
    static const char *const pools[] = {[POOL_MEAN] = "mean", [POOL_LAST] = "last", [POOL_NONE] = "none"};
    uint32_t pool = POOL_MEAN;
    m->log = vks_config_log(config);
    m->norm = m->final_norm = m->residual = true;
    m->norm_eps = 1e-5f;
    VKS_TRY(required_size(config, "d_input", MAX_SIZE, &m->n_input));
    VKS_TRY(required_size(config, "n_layers", MAX_LAYER, &m->n_layer));
    VKS_TRY(required_size(config, "n_classes", MAX_SIZE, &m->n_class));
    VKS_TRY(parse_mixer(config, m));
    VKS_TRY(vks_config_bool(config, "norm", &m->norm));
    m->final_norm = m->norm;
    VKS_TRY(vks_config_bool(config, "final_norm", &m->final_norm));
    VKS_TRY(vks_config_bool(config, "residual", &m->residual));
    VKS_TRY(vks_config_f32(config, "norm_eps", 0, 1, &m->norm_eps));
    VKS_TRY(vks_config_choice(config, "pooling", pools, VKS_COUNT(pools), &pool));
    m->pool = (pooling)pool;
    m->layers = vks_alloc_zero(m->n_layer, sizeof *m->layers);
    if (!m->layers)
        return vks_fail(m->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %u layers", vks_config_path(config),
                        m->n_layer);
    *shape = (vks_model_shape){.n_layer = m->n_layer,
                               .n_channel = m->mixer.n_channel,
                               .bos = -1,
                               .eos = -1,
                               .needs_whole = m->mixer.direction != VKS_MAMBA1_FORWARD,
                               .most_steps = most_steps(m)};
    const uint32_t numbers[] = {
        'k', m->n_layer, m->mixer.n_channel, m->mixer.n_inner, m->mixer.n_state, m->mixer.n_tap, (uint32_t)m->pool};
    shape->fingerprint = 0xcbf29ce484222325u; // FNV-1a over the numbers
    for (size_t i = 0; i < VKS_COUNT(numbers); i++)
        shape->fingerprint = (shape->fingerprint ^ numbers[i]) * 0x100000001b3u;
    return VKSSM_OK;
}

static void destroy(void *self) {
    classifier *m = self;
    vks_free(m->layers);
    vks_free(m);
}

static vkssm_status parse_config(const vks_config *config, void **self, vks_model_shape *shape) {
    classifier *m = vks_alloc_zero(1, sizeof *m);
    if (!m) return vks_fail(vks_config_log(config), VKSSM_ERR_OOM_HOST, "%s: out of memory", vks_config_path(config));
    vkssm_status status = parse(config, m, shape);
    if (status == VKSSM_OK)
        *self = m;
    else
        destroy(m);
    return status;
}

// ---- weights and state ----------------------------------------------------------------------------------------------

static vkssm_status bind_layer(const classifier *m, vks_bind *bind, uint32_t i, layer *out) {
    vks_bind_prefix(bind, "layers.%u.", i);
    if (m->norm) VKS_TRY(vks_bind_named_vector(bind, "norm.weight", m->mixer.n_channel, &out->norm));
    vks_bind_prefix(bind, "%s", "mamba.");
    if (m->n_layer > 1 || !vks_bind_has(bind, "in_proj.weight")) vks_bind_prefix(bind, "layers.%u.mixer.", i);
    return vks_mamba1_bind(bind, &m->mixer, &out->mixer);
}

static vkssm_status bind_weights(void *self, const struct vks_weights *weights, vks_binder *binder,
                                 vks_model_shape *shape) {
    classifier *m = self;
    (void)shape;
    m->log = vks_binder_log(binder); // used when recording, too
    vks_bind bind = {.weights = weights, .binder = binder, .log = m->log};
    VKS_TRY(vks_bind_named_matrix(&bind, "linear_in.weight", m->mixer.n_channel, m->n_input, &m->in));
    VKS_TRY(vks_bind_named_vector(&bind, "linear_in.bias", m->mixer.n_channel, &m->in_bias));
    VKS_TRY(vks_bind_named_matrix(&bind, "classifier.weight", m->n_class, m->mixer.n_channel, &m->out));
    VKS_TRY(vks_bind_named_vector(&bind, "classifier.bias", m->n_class, &m->out_bias));
    if (m->final_norm) VKS_TRY(vks_bind_named_vector(&bind, "norm_f.weight", m->mixer.n_channel, &m->last_norm));
    for (uint32_t i = 0; i < m->n_layer; i++)
        VKS_TRY(bind_layer(m, &bind, i, &m->layers[i]));
    return VKSSM_OK;
}

static vkssm_status state_layout(const void *self, vks_state_layout *layout) {
    const classifier *m = self;
    for (uint32_t i = 0; i < m->n_layer; i++)
        VKS_TRY(vks_mamba1_state(&m->mixer, layout));
    if (m->pool != POOL_MEAN) return VKSSM_OK;
    return vks_state_add(layout, 2, (uint32_t[]){3, m->mixer.n_channel});
}

// ---- inputs and outputs ---------------------------------------------------------------------------------------------

// Output 0 is "logits"; then one for each layer.
static bool get_io(const void *self, bool output, uint32_t index, vks_io *out) {
    const classifier *m = self;
    if (index > (output ? m->n_layer : 0)) return false;
    *out = (vks_io){.n_dim = 1, .per_step = true};
    if (!output) {
        snprintf(out->name, sizeof out->name, "input");
        out->shape[0] = m->n_input;
    } else if (index == 0) {
        snprintf(out->name, sizeof out->name, "logits");
        out->shape[0] = m->n_class;
        out->per_step = m->pool == POOL_NONE;
    } else {
        snprintf(out->name, sizeof out->name, "layer%u.out", index - 1);
        out->shape[0] = m->mixer.n_channel;
        out->layer = true;
    }
    return true;
}

// ---- recording ------------------------------------------------------------------------------------------------------

static vkssm_status record_norm(const classifier *m, vks_plan *plan, vks_tensor x, vks_tensor weight, vks_tensor y) {
    return vks_op_rms_norm(&plan->target, &(vks_rms_norm){.x = x, .weight = weight, .y = y, .eps = m->norm_eps});
}

// h = mixer(norm(h)), or added to h.
static vkssm_status record_layer(const classifier *m, vks_plan *plan, const vks_piece *piece, uint32_t i,
                                 vks_tensor h) {
    uint64_t mark = vks_plan_mark(plan);
    vks_mamba1_call call = {.n_sequence = piece->n_sequence,
                            .n_time = piece->n_time,
                            .x = h,
                            .out = h,
                            .replace = !m->residual,
                            .state = piece->state,
                            .first_state = i * vks_mamba1_n_state(&m->mixer)};
    if (m->norm) {
        VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, h.shape[0], h.shape[1], &call.x));
        VKS_TRY(record_norm(m, plan, h, m->layers[i].norm, call.x));
    }
    VKS_TRY(vks_mamba1_record(&m->mixer, &m->layers[i].mixer, plan, &call));
    vks_plan_release(plan, mark);
    if (!piece->outputs[1 + i].address) return VKSSM_OK;
    return vks_op_activation(&plan->target, &(vks_activation){.x = h, .y = piece->outputs[1 + i]}); // a copy
}

// The rows that the last map reads. The mean is carried on in any case; nothing else is done unless logits are wanted.
static vkssm_status record_pool(const classifier *m, vks_plan *plan, const vks_piece *piece, vks_tensor h, bool wanted,
                                vks_tensor *out) {
    *out = h;
    if (m->pool == POOL_LAST) {
        uint64_t step = h.stride[0] * sizeof(float);
        *out = vks_tensor_rows(h.address + (piece->n_time - 1) * step, VKSSM_DTYPE_F32, piece->n_sequence, h.shape[1],
                               piece->n_time * h.stride[0]);
    } else if (m->pool == POOL_MEAN) {
        vks_tensor mean = {0};
        if (wanted) VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, piece->n_sequence, h.shape[1], &mean));
        *out = mean;
        uint32_t state = m->n_layer * vks_mamba1_n_state(&m->mixer);
        return vks_op_pool_mean(&plan->target,
                                &(vks_pool_mean){.x = vks_tensor_sequences(h, piece->n_sequence, piece->n_time),
                                                 .state = vks_state_get(&piece->state, state),
                                                 .y = mean});
    }
    return VKSSM_OK;
}

static vkssm_status check_size(const classifier *m, const vks_piece *piece) {
    uint64_t n_row = (uint64_t)piece->n_sequence * piece->n_time, most = most_steps(m);
    if (n_row <= most) return VKSSM_OK;
    return vks_fail(m->log, VKSSM_ERR_UNSUPPORTED,
                    "run: at most %llu time steps at once expected for this model, %llu found",
                    (unsigned long long)most, (unsigned long long)n_row);
}

static vkssm_status record_piece(const void *self, vks_plan *plan, const vks_piece *piece) {
    const classifier *m = self;
    VKS_TRY(check_size(m, piece));
    vks_tensor h, pooled, logits = piece->outputs[0];
    uint32_t n_row = piece->n_sequence * piece->n_time;
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_row, m->mixer.n_channel, &h));
    VKS_TRY(vks_op_matmul(&plan->target, &(vks_matmul){.x = piece->inputs[0], .w = m->in, .bias = m->in_bias, .y = h}));
    for (uint32_t i = 0; i < m->n_layer; i++)
        VKS_TRY(record_layer(m, plan, piece, i, h));
    if (m->final_norm) VKS_TRY(record_norm(m, plan, h, m->last_norm, h));
    VKS_TRY(record_pool(m, plan, piece, h, logits.address != 0, &pooled));
    if (!logits.address) return VKSSM_OK;
    return vks_op_matmul(&plan->target, &(vks_matmul){.x = pooled, .w = m->out, .bias = m->out_bias, .y = logits});
}

const vks_arch vks_arch_mamba_classifier = {
    .model_type = "mamba_classifier",
    .parse_config = parse_config,
    .bind_weights = bind_weights,
    .state_layout = state_layout,
    .get_io = get_io,
    .record_piece = record_piece,
    .destroy = destroy,
};

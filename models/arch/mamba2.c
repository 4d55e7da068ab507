// Mamba-2 language models (Dao and Gu 2024): embedding, L blocks of  residual += mixer(rms_norm(residual)), a last norm and
// the head. Two layouts of checkpoint:
//   Hugging Face   model_type "mamba2", backbone.embeddings.weight, backbone.layers.N.mixer.*
//   state-spaces   no model_type, d_model and ssm_cfg {"layer": "Mamba2"}, backbone.embedding.weight, otherwise alike
// They differ in the gated norm of models with several groups: the original normalises each group of channels by itself,
// Hugging Face's code all channels together. The key "mixer_norm_groups" of config.json decides (see models/README.md).
#include <math.h>
#include <string.h>

#include "host/base/alloc.h"
#include "host/base/status.h"
#include "models/block/mamba2_step.h"
#include "models/io/config.h"

typedef struct mamba2_layer {
    vks_tensor norm;
    vks_mamba2_mixer mixer;
} mamba2_layer;

typedef struct mamba2 {
    vks_mamba2_config mixer;
    uint32_t n_layer, n_vocab;
    float norm_eps;
    bool tied_head;
    bool original; // state-spaces layout
    const vkssm_log *log;
    vks_tensor embedding, final_norm, head;
    mamba2_layer *layers;
} mamba2;

enum { MAX_SIZE = 1 << 20, MAX_LAYER = 4096, MAX_VOCAB = (1 << 24) - 1 };

// ---- configuration --------------------------------------------------------------------------------------------------

static bool recognises(const vks_config *config) {
    const char *layer = NULL;
    return vks_config_has(config, "ssm_cfg") && vks_config_string(config, "ssm_cfg.layer", &layer) == VKSSM_OK && layer &&
           strcmp(layer, "Mamba2") == 0;
}

static vkssm_status unsupported(const vks_config *config, const char *key, const char *expected, const char *found) {
    return vks_fail(vks_config_log(config), VKSSM_ERR_UNSUPPORTED, "%s: key \"%s\": %s expected, %s found",
                    vks_config_path(config), key, expected, found);
}

static vkssm_status parse_hugging_face(const vks_config *config, mamba2 *m, uint32_t *expand) {
    vks_mamba2_config *c = &m->mixer;
    // Defaults of Hugging Face's configuration class; *expand and sizes are those of Codestral.
    c->n_channel = 4096, c->n_head = 128, c->n_width = 64, c->n_state = 128, c->n_group = 8, c->n_tap = 4;
    c->conv_bias = true, c->norm_groups = 1;
    m->n_layer = 64, m->n_vocab = 32768;
    const char *activation = "silu";
    VKS_TRY(vks_config_u32(config, "hidden_size", 2, MAX_SIZE, &c->n_channel));
    VKS_TRY(vks_config_u32(config, "num_heads", 1, MAX_SIZE, &c->n_head));
    VKS_TRY(vks_config_u32(config, "head_dim", 1, MAX_SIZE, &c->n_width));
    VKS_TRY(vks_config_u32(config, "state_size", 1, MAX_SIZE, &c->n_state));
    VKS_TRY(vks_config_u32(config, "n_groups", 1, MAX_SIZE, &c->n_group));
    VKS_TRY(vks_config_u32(config, "conv_kernel", 2, 64, &c->n_tap));
    VKS_TRY(vks_config_u32(config, "expand", 1, 64, expand));
    VKS_TRY(vks_config_u32(config, "num_hidden_layers", 1, MAX_LAYER, &m->n_layer));
    VKS_TRY(vks_config_u32(config, "vocab_size", 1, MAX_VOCAB, &m->n_vocab));
    VKS_TRY(vks_config_f32(config, "layer_norm_epsilon", 0, 1, &m->norm_eps));
    VKS_TRY(vks_config_bool(config, "use_bias", &c->proj_bias));
    VKS_TRY(vks_config_bool(config, "use_conv_bias", &c->conv_bias));
    VKS_TRY(vks_config_bool(config, "tie_word_embeddings", &m->tied_head));
    VKS_TRY(vks_config_string(config, "hidden_act", &activation));
    if (strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0)
        return unsupported(config, "hidden_act", "\"silu\"", activation);
    float limits[2] = {0, INFINITY};
    if (vks_config_has(config, "time_step_limit"))
        VKS_TRY(vks_config_f32_array(config, "time_step_limit", 0, INFINITY, 2, limits));
    c->dt_min = limits[0], c->dt_max = limits[1];
    c->norm_eps = m->norm_eps;
    return VKSSM_OK;
}

static vkssm_status parse_original(const vks_config *config, mamba2 *m, uint32_t *expand) {
    vks_mamba2_config *c = &m->mixer;
    c->n_width = 64, c->n_state = 128, c->n_group = 1, c->n_tap = 4, c->conv_bias = true;
    m->tied_head = true;
    uint32_t n_inner = 0, n_mlp = 0, n_attention = 0;
    bool rms = true, mixer_norm = true, wide_d = false;
    VKS_TRY(vks_config_require(config, "d_model"));
    VKS_TRY(vks_config_require(config, "n_layer"));
    VKS_TRY(vks_config_require(config, "vocab_size"));
    VKS_TRY(vks_config_u32(config, "d_model", 2, MAX_SIZE, &c->n_channel));
    VKS_TRY(vks_config_u32(config, "n_layer", 1, MAX_LAYER, &m->n_layer));
    VKS_TRY(vks_config_u32(config, "vocab_size", 1, MAX_VOCAB, &m->n_vocab));
    VKS_TRY(vks_config_bool(config, "tie_embeddings", &m->tied_head));
    VKS_TRY(vks_config_bool(config, "rms_norm", &rms));
    VKS_TRY(vks_config_u32(config, "d_intermediate", 0, MAX_SIZE, &n_mlp));
    VKS_TRY(vks_config_array_size(config, "attn_layer_idx", &n_attention));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.d_state", 1, MAX_SIZE, &c->n_state));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.d_conv", 2, 64, &c->n_tap));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.expand", 1, 64, expand));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.headdim", 1, MAX_SIZE, &c->n_width));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.ngroups", 1, MAX_SIZE, &c->n_group));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.d_ssm", 1, MAX_SIZE, &n_inner));
    VKS_TRY(vks_config_bool(config, "ssm_cfg.rmsnorm", &mixer_norm));
    VKS_TRY(vks_config_bool(config, "ssm_cfg.norm_before_gate", &c->norm_before_gate));
    VKS_TRY(vks_config_bool(config, "ssm_cfg.bias", &c->proj_bias));
    VKS_TRY(vks_config_bool(config, "ssm_cfg.conv_bias", &c->conv_bias));
    VKS_TRY(vks_config_bool(config, "ssm_cfg.D_has_hdim", &wide_d));
    if (!rms) return unsupported(config, "rms_norm", "true", "false (layer norm)");
    if (n_mlp) return unsupported(config, "d_intermediate", "0", "an MLP in every block");
    if (n_attention) return unsupported(config, "attn_layer_idx", "no attention layers", "some");
    if (wide_d) return unsupported(config, "ssm_cfg.D_has_hdim", "false", "true");
    if (n_inner && n_inner != *expand * c->n_channel)
        return unsupported(config, "ssm_cfg.d_ssm", "expand times d_model", "another width");
    float limits[2] = {0, INFINITY};
    if (vks_config_has(config, "ssm_cfg.dt_limit"))
        VKS_TRY(vks_config_f32_array(config, "ssm_cfg.dt_limit", 0, INFINITY, 2, limits));
    c->dt_min = limits[0], c->dt_max = limits[1];
    c->norm_groups = mixer_norm ? c->n_group : 0;
    c->norm_eps = m->norm_eps; // 1e-5, a constant of the original code
    c->n_head = *expand * c->n_channel / c->n_width;
    return VKSSM_OK;
}

// Relations between sizes that the operators rely on.
static vkssm_status check_sizes(const vks_config *config, mamba2 *m, uint32_t expand) {
    vks_mamba2_config *c = &m->mixer;
    const vkssm_log *log = vks_config_log(config);
    const char *path = vks_config_path(config);
    c->n_inner = expand * c->n_channel;
    if (c->n_inner > MAX_SIZE || (uint64_t)c->n_head * c->n_width != c->n_inner)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: heads times head width equal to expand times hidden size (%u) expected, "
                                               "%u times %u found",
                        path, c->n_inner, c->n_head, c->n_width);
    if (c->n_head % c->n_group != 0)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: a number of groups that divides %u heads expected, %u found", path,
                        c->n_head, c->n_group);
    if ((uint64_t)c->n_group * c->n_state > MAX_SIZE || (uint64_t)c->n_inner * c->n_state > (uint64_t)1 << 28)
        return vks_fail(log, VKSSM_ERR_UNSUPPORTED, "%s: a state of at most 2^28 values a layer expected, %u x %u x %u found",
                        path, c->n_head, c->n_width, c->n_state);
    if (c->norm_groups && c->n_inner % c->norm_groups != 0)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: key \"mixer_norm_groups\": a divisor of %u expected, %u found", path,
                        c->n_inner, c->norm_groups);
    if (!(c->dt_min <= c->dt_max))
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: time step limits in rising order expected, %g and %g found", path,
                        (double)c->dt_min, (double)c->dt_max);
    return VKSSM_OK;
}

static uint64_t fingerprint_of(const mamba2 *m) {
    const uint32_t numbers[] = {'2',           m->n_layer,       m->n_vocab,       m->mixer.n_channel, m->mixer.n_head,
                                m->mixer.n_width, m->mixer.n_state, m->mixer.n_group, m->mixer.n_tap};
    uint64_t hash = 0xcbf29ce484222325u; // FNV-1a over the numbers
    for (size_t i = 0; i < VKS_COUNT(numbers); i++) hash = (hash ^ numbers[i]) * 0x100000001b3u;
    return hash;
}

static vkssm_status parse(const vks_config *config, mamba2 *m, vks_model_shape *shape) {
    uint32_t expand = 2, chunk = 0;
    m->log = vks_config_log(config);
    m->norm_eps = 1e-5f;
    m->original = !vks_config_has(config, "model_type");
    VKS_TRY(m->original ? parse_original(config, m, &expand) : parse_hugging_face(config, m, &expand));
    VKS_TRY(vks_config_u32(config, "mixer_norm_groups", 1, MAX_SIZE, &m->mixer.norm_groups));
    // The file's chunk length is its trainer's choice; the result does not depend on it, so ours stays. It is checked as
    // any other key is.
    VKS_TRY(vks_config_u32(config, m->original ? "ssm_cfg.chunk_size" : "chunk_size", 1, MAX_SIZE, &chunk));
    VKS_TRY(check_sizes(config, m, expand));
    *shape = (vks_model_shape){.n_layer = m->n_layer, .n_channel = m->mixer.n_channel, .n_vocab = m->n_vocab, .bos = -1, .eos = -1};
    VKS_TRY(vks_config_i32(config, "bos_token_id", -1, MAX_VOCAB, &shape->bos));
    return vks_config_i32(config, "eos_token_id", -1, MAX_VOCAB, &shape->eos);
}

static void destroy(void *self) {
    mamba2 *m = self;
    vks_free(m->layers);
    vks_free(m);
}

static vkssm_status parse_config(const vks_config *config, void **self, vks_model_shape *shape) {
    mamba2 *m = vks_alloc_zero(1, sizeof *m);
    if (!m) return vks_fail(vks_config_log(config), VKSSM_ERR_OOM_HOST, "%s: out of memory", vks_config_path(config));
    vkssm_status status = parse(config, m, shape);
    if (status == VKSSM_OK) {
        m->layers = vks_alloc_zero(m->n_layer, sizeof *m->layers);
        if (!m->layers)
            status = vks_fail(m->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %u layers", vks_config_path(config),
                              m->n_layer);
    }
    if (status != VKSSM_OK) {
        destroy(m);
        return status;
    }
    *self = m;
    return VKSSM_OK;
}

// ---- weights and state ----------------------------------------------------------------------------------------------

// The embedding has the vocabulary's rows; in the original layout it is padded, and the file says to how many.
static vkssm_status bind_embedding(mamba2 *m, vks_bind *bind) {
    vks_bind_prefix(bind, "%s", "backbone.");
    // Hugging Face's loader takes both spellings.
    const char *name = vks_bind_has(bind, "embeddings.weight") ? "embeddings.weight"
                       : vks_bind_has(bind, "embedding.weight") || m->original ? "embedding.weight"
                                                                               : "embeddings.weight";
    vkssm_named_tensor table;
    char full[64] = "backbone.";
    strcat(full, name);
    if (m->original && vks_weights_find(bind->weights, full, &table) && table.n_dim == 2 && table.shape[0] >= m->n_vocab &&
        table.shape[0] <= MAX_VOCAB)
        m->n_vocab = (uint32_t)table.shape[0];
    return vks_bind_named_matrix(bind, name, m->n_vocab, m->mixer.n_channel, &m->embedding);
}

static vkssm_status bind_weights(void *self, const vks_weights *weights, vks_binder *binder, vks_model_shape *shape) {
    mamba2 *m = self;
    vks_bind bind = {.weights = weights, .binder = binder, .log = m->log};
    VKS_TRY(bind_embedding(m, &bind));
    for (uint32_t i = 0; i < m->n_layer; i++) {
        vks_bind_prefix(&bind, "backbone.layers.%u.", i);
        VKS_TRY(vks_bind_named_vector(&bind, "norm.weight", m->mixer.n_channel, &m->layers[i].norm));
        vks_bind_prefix(&bind, "backbone.layers.%u.mixer.", i);
        VKS_TRY(vks_mamba2_bind(&bind, &m->mixer, &m->layers[i].mixer));
    }
    vks_bind_prefix(&bind, "%s", "");
    VKS_TRY(vks_bind_named_vector(&bind, "backbone.norm_f.weight", m->mixer.n_channel, &m->final_norm));
    if (!m->tied_head)
        VKS_TRY(vks_bind_named_matrix(&bind, "lm_head.weight", m->n_vocab, m->mixer.n_channel, &m->head));
    shape->n_vocab = m->n_vocab;
    shape->fingerprint = fingerprint_of(m);
    return VKSSM_OK;
}

static vkssm_status state_layout(const void *self, vks_state_layout *layout) {
    const mamba2 *m = self;
    for (uint32_t i = 0; i < m->n_layer; i++) VKS_TRY(vks_mamba2_state(&m->mixer, layout));
    return VKSSM_OK;
}

// ---- recording ------------------------------------------------------------------------------------------------------

static vkssm_status record_norm(const mamba2 *m, vks_plan *plan, vks_tensor residual, vks_tensor weight,
                                uint32_t most_rows, vks_tensor *out) {
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, residual.shape[0], m->mixer.n_channel, out));
    return vks_op_rms_norm(
        &plan->target,
        &(vks_rms_norm){.x = residual, .weight = weight, .y = *out, .eps = m->norm_eps, .most_rows = most_rows});
}

static vkssm_status record_layers(const mamba2 *m, vks_plan *plan, vks_mamba2_call *call) {
    for (uint32_t i = 0; i < m->n_layer; i++) {
        uint64_t mark = vks_plan_mark(plan);
        VKS_TRY(record_norm(m, plan, call->residual, m->layers[i].norm, call->most_rows, &call->x));
        call->first_state = 2 * i;
        VKS_TRY(vks_mamba2_record(&m->mixer, &m->layers[i].mixer, plan, call));
        vks_plan_release(plan, mark);
    }
    return VKSSM_OK;
}

// The same for one token of each sequence, with each block's norm in its first product.
static vkssm_status record_step_layers(const mamba2 *m, vks_plan *plan, vks_mamba2_call *call) {
    for (uint32_t i = 0; i < m->n_layer; i++) {
        call->first_state = 2 * i;
        VKS_TRY(vks_mamba2_record_step(&m->mixer, &m->layers[i].mixer, plan, call, m->layers[i].norm, m->norm_eps));
    }
    return VKSSM_OK;
}

// Logits of rows of the residual stream.
static vkssm_status record_head(const mamba2 *m, vks_plan *plan, vks_tensor rows, uint32_t most_rows, vks_tensor logits) {
    vks_matmul op = {
        .x = rows, .w = m->tied_head ? m->embedding : m->head, .y = logits, .norm_eps = m->norm_eps, .most_rows = most_rows};
    if (vks_matmul_fuses(plan->target.kernels, most_rows ? most_rows : logits.shape[0]))
        op.norm = m->final_norm;
    else
        VKS_TRY(record_norm(m, plan, rows, m->final_norm, most_rows, &op.x));
    return vks_op_matmul(&plan->target, &op);
}

static vkssm_status record_prefill(const void *self, vks_plan *plan, const vks_prefill *prefill) {
    const mamba2 *m = self;
    uint32_t n_time = prefill->tokens.shape[0];
    vks_mamba2_call call = {.n_sequence = 1, .n_time = n_time, .state = prefill->state};
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_time, m->mixer.n_channel, &call.residual));
    VKS_TRY(vks_op_embedding(&plan->target,
                             &(vks_embedding){.ids = prefill->tokens, .table = m->embedding, .y = call.residual}));
    VKS_TRY(record_layers(m, plan, &call));
    if (!prefill->logits.address) return VKSSM_OK;
    vks_tensor rows = vks_tensor_slice(call.residual, 0, prefill->first_logit, prefill->logits.shape[0]);
    return record_head(m, plan, rows, 0, prefill->logits);
}

static vkssm_status record_step(const void *self, vks_plan *plan, const vks_step *step) {
    const mamba2 *m = self;
    uint32_t n_sequence = step->slots.shape[0];
    uint32_t most_rows = step->most_rows ? step->most_rows : n_sequence;
    vks_mamba2_call call = {
        .n_sequence = n_sequence, .n_time = 1, .state = step->state, .slots = step->slots, .most_rows = most_rows};
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_sequence, m->mixer.n_channel, &call.residual));
    VKS_TRY(vks_op_embedding(
        &plan->target,
        &(vks_embedding){.ids = step->tokens, .index = step->slots, .table = m->embedding, .y = call.residual}));
    if (vks_mamba2_step_fits(&m->mixer, plan->target.kernels, most_rows))
        VKS_TRY(record_step_layers(m, plan, &call));
    else
        VKS_TRY(record_layers(m, plan, &call));
    return record_head(m, plan, call.residual, most_rows, step->logits);
}

const vks_arch vks_arch_mamba2 = {
    .model_type = "mamba2",
    .recognises = recognises,
    .parse_config = parse_config,
    .bind_weights = bind_weights,
    .state_layout = state_layout,
    .record_prefill = record_prefill,
    .record_step = record_step,
    .destroy = destroy,
};

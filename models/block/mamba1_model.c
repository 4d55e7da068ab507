#include "mamba1_model.h"

#include <string.h>

#include "host/base/alloc.h"
#include "host/base/status.h"
#include "models/io/config.h"

// ---- configuration --------------------------------------------------------------------------------------------------

vkssm_status vks_mamba1_model_parse_hugging_face(const vks_config *config, vks_mamba1_model *m) {
    vks_mamba1_config *c = &m->mixer;
    const char *activation = "silu";
    uint32_t expand = 2;
    VKS_TRY(vks_config_u32(config, "hidden_size", 2, VKS_MAMBA1_MAX_SIZE, &c->n_channel));
    VKS_TRY(vks_config_u32(config, "expand", 1, 64, &expand));
    c->n_inner = expand * c->n_channel;
    c->n_rank = vks_div_up(c->n_channel, 16);
    VKS_TRY(vks_config_u32(config, "intermediate_size", 1, VKS_MAMBA1_MAX_SIZE, &c->n_inner)); // whatever `expand` says
    VKS_TRY(vks_config_u32(config, "state_size", 1, VKS_MAMBA1_MAX_STATE, &c->n_state));
    VKS_TRY(vks_config_u32(config, "conv_kernel", 2, 64, &c->n_tap));
    VKS_TRY(vks_config_u32_or_auto(config, "time_step_rank", 1, VKS_MAMBA1_MAX_SIZE, &c->n_rank));
    VKS_TRY(vks_config_u32(config, "num_hidden_layers", 1, VKS_MAMBA1_MAX_LAYER, &m->n_layer));
    VKS_TRY(vks_config_u32(config, "vocab_size", 1, VKS_MAMBA1_MAX_VOCAB, &m->n_vocab));
    VKS_TRY(vks_config_f32(config, "layer_norm_epsilon", 0, 1, &m->norm_eps));
    VKS_TRY(vks_config_bool(config, "use_bias", &c->proj_bias));
    c->find_bias = !vks_config_has(config, "use_bias"); // the default of its class has changed with time
    VKS_TRY(vks_config_bool(config, "use_conv_bias", &c->conv_bias));
    VKS_TRY(vks_config_bool(config, "tie_word_embeddings", &m->tied_head));
    VKS_TRY(vks_config_string(config, "hidden_act", &activation));
    if (strcmp(activation, "silu") == 0 || strcmp(activation, "swish") == 0) return VKSSM_OK;
    return vks_fail(vks_config_log(config), VKSSM_ERR_UNSUPPORTED,
                    "%s: key \"hidden_act\": \"silu\" expected, %s found", vks_config_path(config), activation);
}

static uint64_t fingerprint_of(const vks_mamba1_model *m) {
    const uint32_t numbers[] = {(uint32_t)m->kind, m->n_layer,       m->n_vocab,     m->mixer.n_channel,
                                m->mixer.n_inner,  m->mixer.n_state, m->mixer.n_tap, m->mixer.n_rank};
    uint64_t hash = 0xcbf29ce484222325u; // FNV-1a over the numbers
    for (size_t i = 0; i < VKS_COUNT(numbers); i++)
        hash = (hash ^ numbers[i]) * 0x100000001b3u;
    return hash;
}

static vkssm_status complete(const vks_config *config, vks_mamba1_model *m, vks_model_shape *shape) {
    if (m->mixer.n_inner > VKS_MAMBA1_MAX_SIZE)
        return vks_fail(m->log, VKSSM_ERR_UNSUPPORTED, "%s: an inner width of at most %d expected, %u found",
                        vks_config_path(config), VKS_MAMBA1_MAX_SIZE, m->mixer.n_inner);
    VKS_TRY(vks_mamba1_check(&m->mixer, vks_config_path(config), m->log));
    *shape = (vks_model_shape){
        .n_layer = m->n_layer, .n_channel = m->mixer.n_channel, .n_vocab = m->n_vocab, .bos = -1, .eos = -1};
    VKS_TRY(vks_config_i32(config, "bos_token_id", -1, VKS_MAMBA1_MAX_VOCAB, &shape->bos));
    VKS_TRY(vks_config_i32(config, "eos_token_id", -1, VKS_MAMBA1_MAX_VOCAB, &shape->eos));
    m->layers = vks_alloc_zero(m->n_layer, sizeof *m->layers);
    if (m->layers) return VKSSM_OK;
    return vks_fail(m->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %u layers", vks_config_path(config), m->n_layer);
}

vkssm_status vks_mamba1_model_parse(const vks_config *config,
                                    vkssm_status (*parse)(const vks_config *config, vks_mamba1_model *model),
                                    void **self, vks_model_shape *shape) {
    vks_mamba1_model *m = vks_alloc_zero(1, sizeof *m);
    if (!m) return vks_fail(vks_config_log(config), VKSSM_ERR_OOM_HOST, "%s: out of memory", vks_config_path(config));
    m->log = vks_config_log(config);
    vkssm_status status = parse(config, m);
    if (status == VKSSM_OK) status = complete(config, m, shape);
    if (status == VKSSM_OK)
        *self = m;
    else
        vks_mamba1_model_destroy(m);
    return status;
}

void vks_mamba1_model_destroy(void *self) {
    vks_mamba1_model *m = self;
    vks_free(m->layers);
    vks_free(m);
}

// ---- weights and state ----------------------------------------------------------------------------------------------

static vkssm_status bind_embedding(vks_mamba1_model *m, vks_bind *bind) {
    vks_bind_prefix(bind, "%s", "backbone.");
    // Hugging Face's loader takes both spellings.
    bool plural = vks_bind_has(bind, "embeddings.weight");
    bool singular = !plural && (m->padded_vocab || vks_bind_has(bind, "embedding.weight"));
    const char *name = singular ? "embedding.weight" : "embeddings.weight";
    vkssm_named_tensor table;
    const char *full = singular ? "backbone.embedding.weight" : "backbone.embeddings.weight";
    if (m->padded_vocab && vks_weights_find(bind->weights, full, &table) && table.n_dim == 2 &&
        table.shape[0] >= m->n_vocab && table.shape[0] <= VKS_MAMBA1_MAX_VOCAB)
        m->n_vocab = (uint32_t)table.shape[0];
    return vks_bind_named_matrix(bind, name, m->n_vocab, m->mixer.n_channel, &m->embedding);
}

vkssm_status vks_mamba1_model_bind(void *self, const struct vks_weights *weights, vks_binder *binder,
                                   vks_model_shape *shape) {
    vks_mamba1_model *m = self;
    vks_bind bind = {.weights = weights, .binder = binder, .log = m->log};
    VKS_TRY(bind_embedding(m, &bind));
    for (uint32_t i = 0; i < m->n_layer; i++) {
        vks_bind_prefix(&bind, "backbone.layers.%u.", i);
        VKS_TRY(vks_bind_named_vector(&bind, "norm.weight", m->mixer.n_channel, &m->layers[i].norm));
        vks_bind_prefix(&bind, "backbone.layers.%u.mixer.", i);
        VKS_TRY(vks_mamba1_bind(&bind, &m->mixer, &m->layers[i].mixer));
    }
    vks_bind_prefix(&bind, "%s", "");
    VKS_TRY(vks_bind_named_vector(&bind, "backbone.norm_f.weight", m->mixer.n_channel, &m->final_norm));
    if (!m->tied_head)
        VKS_TRY(vks_bind_named_matrix(&bind, "lm_head.weight", m->n_vocab, m->mixer.n_channel, &m->head));
    shape->n_vocab = m->n_vocab;
    shape->fingerprint = fingerprint_of(m);
    return VKSSM_OK;
}

vkssm_status vks_mamba1_model_state(const void *self, vks_state_layout *layout) {
    const vks_mamba1_model *m = self;
    for (uint32_t i = 0; i < m->n_layer; i++)
        VKS_TRY(vks_mamba1_state(&m->mixer, layout));
    return VKSSM_OK;
}

// ---- recording ------------------------------------------------------------------------------------------------------

static vkssm_status record_norm(const vks_mamba1_model *m, vks_plan *plan, vks_tensor residual, vks_tensor weight,
                                uint32_t most_rows, vks_tensor *out) {
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, residual.shape[0], m->mixer.n_channel, out));
    return vks_op_rms_norm(
        &plan->target,
        &(vks_rms_norm){.x = residual, .weight = weight, .y = *out, .eps = m->norm_eps, .most_rows = most_rows});
}

// In a step each block's norm is a part of its first product, where the device's kernels allow it.
static vkssm_status record_layers(const vks_mamba1_model *m, vks_plan *plan, vks_mamba1_call *call) {
    bool fused = call->n_time == 1 && vks_matmul_fuses(plan->target.kernels, call->most_rows);
    call->norm_eps = m->norm_eps;
    for (uint32_t i = 0; i < m->n_layer; i++) {
        uint64_t mark = vks_plan_mark(plan);
        if (fused) {
            call->x = call->out;
            call->norm = m->layers[i].norm;
        } else {
            VKS_TRY(record_norm(m, plan, call->out, m->layers[i].norm, call->most_rows, &call->x));
        }
        call->first_state = i * vks_mamba1_n_state(&m->mixer);
        VKS_TRY(vks_mamba1_record(&m->mixer, &m->layers[i].mixer, plan, call));
        vks_plan_release(plan, mark);
    }
    return VKSSM_OK;
}

// Logits of rows first ... of the residual stream.
static vkssm_status record_head(const vks_mamba1_model *m, vks_plan *plan, vks_tensor residual, uint32_t first,
                                uint32_t most_rows, vks_tensor logits) {
    vks_tensor rows = vks_tensor_slice(residual, 0, first, logits.shape[0]);
    vks_matmul op = {.x = rows,
                     .w = m->tied_head ? m->embedding : m->head,
                     .y = logits,
                     .norm_eps = m->norm_eps,
                     .most_rows = most_rows};
    if (vks_matmul_fuses(plan->target.kernels, most_rows ? most_rows : logits.shape[0]))
        op.norm = m->final_norm;
    else
        VKS_TRY(record_norm(m, plan, rows, m->final_norm, most_rows, &op.x));
    return vks_op_matmul(&plan->target, &op);
}

vkssm_status vks_mamba1_model_prefill(const void *self, vks_plan *plan, const vks_prefill *prefill) {
    const vks_mamba1_model *m = self;
    uint32_t n_time = prefill->tokens.shape[0];
    vks_mamba1_call call = {.n_sequence = 1, .n_time = n_time, .state = prefill->state};
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_time, m->mixer.n_channel, &call.out));
    VKS_TRY(vks_op_embedding(&plan->target,
                             &(vks_embedding){.ids = prefill->tokens, .table = m->embedding, .y = call.out}));
    VKS_TRY(record_layers(m, plan, &call));
    if (!prefill->logits.address) return VKSSM_OK;
    return record_head(m, plan, call.out, prefill->first_logit, 0, prefill->logits);
}

vkssm_status vks_mamba1_model_step(const void *self, vks_plan *plan, const vks_step *step) {
    const vks_mamba1_model *m = self;
    uint32_t n_sequence = step->slots.shape[0];
    vks_mamba1_call call = {.n_sequence = n_sequence,
                            .n_time = 1,
                            .state = step->state,
                            .slots = step->slots,
                            .most_rows = step->most_rows ? step->most_rows : n_sequence};
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_sequence, m->mixer.n_channel, &call.out));
    VKS_TRY(vks_op_embedding(
        &plan->target,
        &(vks_embedding){.ids = step->tokens, .index = step->slots, .table = m->embedding, .y = call.out}));
    VKS_TRY(record_layers(m, plan, &call));
    return record_head(m, plan, call.out, 0, call.most_rows, step->logits);
}

#include "mamba1_model.h"

#include <string.h>

#include "host/base/alloc.h"
#include "host/base/status.h"
#include "models/io/config.h"

static const vks_lm_mixers mixers;

// ---- configuration --------------------------------------------------------------------------------------------------

vkssm_status vks_mamba1_model_parse_hugging_face(const vks_config *config, vks_mamba1_model *m) {
    vks_mamba1_config *c = &m->mixer;
    const char *activation = "silu";
    uint32_t expand = 2;
    VKS_TRY(vks_config_u32(config, "hidden_size", 2, VKS_LM_MAX_SIZE, &c->n_channel));
    VKS_TRY(vks_config_u32(config, "expand", 1, 64, &expand));
    c->n_inner = expand * c->n_channel;
    c->n_rank = vks_div_up(c->n_channel, 16);
    VKS_TRY(vks_config_u32(config, "intermediate_size", 1, VKS_LM_MAX_SIZE, &c->n_inner)); // whatever `expand` says
    VKS_TRY(vks_config_u32(config, "state_size", 1, VKS_MAMBA1_MAX_STATE, &c->n_state));
    VKS_TRY(vks_config_u32(config, "conv_kernel", 2, 64, &c->n_tap));
    VKS_TRY(vks_config_u32_or_auto(config, "time_step_rank", 1, VKS_LM_MAX_SIZE, &c->n_rank));
    VKS_TRY(vks_config_u32(config, "num_hidden_layers", 1, VKS_LM_MAX_LAYER, &m->lm.n_layer));
    VKS_TRY(vks_config_u32(config, "vocab_size", 1, VKS_LM_MAX_VOCAB, &m->lm.n_vocab));
    VKS_TRY(vks_config_f32(config, "layer_norm_epsilon", 0, 1, &m->lm.norm_eps));
    VKS_TRY(vks_config_bool(config, "use_bias", &c->proj_bias));
    c->find_bias = !vks_config_has(config, "use_bias"); // the default of its class has changed with time
    VKS_TRY(vks_config_bool(config, "use_conv_bias", &c->conv_bias));
    VKS_TRY(vks_config_bool(config, "tie_word_embeddings", &m->lm.tied_head));
    VKS_TRY(vks_config_string(config, "hidden_act", &activation));
    if (strcmp(activation, "silu") == 0 || strcmp(activation, "swish") == 0) return VKSSM_OK;
    return vks_fail(vks_config_log(config), VKSSM_ERR_UNSUPPORTED,
                    "%s: key \"hidden_act\": \"silu\" expected, %s found", vks_config_path(config), activation);
}

static vkssm_status complete(const vks_config *config, vks_mamba1_model *m, vks_model_shape *shape) {
    if (m->mixer.n_inner > VKS_LM_MAX_SIZE)
        return vks_fail(m->lm.log, VKSSM_ERR_UNSUPPORTED, "%s: an inner width of at most %d expected, %u found",
                        vks_config_path(config), VKS_LM_MAX_SIZE, m->mixer.n_inner);
    VKS_TRY(vks_mamba1_check(&m->mixer, vks_config_path(config), m->lm.log));
    m->layers = vks_alloc_zero(m->lm.n_layer, sizeof *m->layers);
    if (!m->layers)
        return vks_fail(m->lm.log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %u layers", vks_config_path(config),
                        m->lm.n_layer);
    m->lm.n_channel = m->mixer.n_channel;
    return vks_lm_complete(&m->lm, config, shape);
}

vkssm_status vks_mamba1_model_parse(const vks_config *config,
                                    vkssm_status (*parse)(const vks_config *config, vks_mamba1_model *model),
                                    void **self, vks_model_shape *shape) {
    vks_mamba1_model *m = vks_alloc_zero(1, sizeof *m);
    if (!m) return vks_fail(vks_config_log(config), VKSSM_ERR_OOM_HOST, "%s: out of memory", vks_config_path(config));
    m->lm.mixers = &mixers;
    m->lm.log = vks_config_log(config);
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
    vks_lm_release(&m->lm);
    vks_free(m->layers);
    vks_free(m);
}

vkssm_status vks_mamba1_model_state(const void *self, vks_state_layout *layout) {
    const vks_mamba1_model *m = self;
    for (uint32_t i = 0; i < m->lm.n_layer; i++)
        VKS_TRY(vks_mamba1_state(&m->mixer, layout));
    return VKSSM_OK;
}

// ---- the mixers of vks_lm -------------------------------------------------------------------------------------------

static uint64_t fingerprint(const void *self) {
    const vks_mamba1_model *m = self;
    const uint32_t numbers[] = {(uint32_t)m->kind, m->lm.n_layer,    m->lm.n_vocab,  m->mixer.n_channel,
                                m->mixer.n_inner,  m->mixer.n_state, m->mixer.n_tap, m->mixer.n_rank};
    return vks_lm_hash(numbers, VKS_COUNT(numbers));
}

static vkssm_status bind_mixer(void *self, const vks_bind *bind, uint32_t layer) {
    vks_mamba1_model *m = self;
    return vks_mamba1_bind(bind, &m->mixer, &m->layers[layer]);
}

// In a step each block's norm is a part of its first product, where the device's kernels allow it.
static bool norms(const void *self, const vks_kernels *kernels, const vks_lm_call *call) {
    (void)self;
    return call->n_time == 1 && vks_matmul_fuses(kernels, call->most_rows);
}

static vkssm_status record_mixer(const void *self, uint32_t layer, vks_plan *plan, const vks_lm_call *call,
                                 vks_tensor x, vks_tensor norm) {
    const vks_mamba1_model *m = self;
    bool normed = x.address != 0;
    vks_mamba1_call mixer = {.n_sequence = call->n_sequence,
                             .n_time = call->n_time,
                             .x = normed ? x : call->residual,
                             .out = call->residual,
                             .state = call->state,
                             .first_state = layer * vks_mamba1_n_state(&m->mixer),
                             .slots = call->slots,
                             .most_rows = call->most_rows,
                             .norm = normed ? (vks_tensor){0} : norm,
                             .norm_eps = call->norm_eps};
    return vks_mamba1_record(&m->mixer, &m->layers[layer], plan, &mixer);
}

static const vks_lm_mixers mixers = {
    .bind = bind_mixer, .fingerprint = fingerprint, .norms = norms, .record = record_mixer};

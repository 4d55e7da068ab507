// Mamba-1 language models (Gu and Dao 2023). Two layouts of checkpoint:
//   Hugging Face   model_type "mamba", backbone.embeddings.weight, backbone.layers.N.mixer.*
//   state-spaces   no model_type, d_model and an ssm_cfg whose layer is absent or "Mamba1", backbone.embedding.weight
#include <string.h>

#include "host/base/alloc.h"
#include "host/base/status.h"
#include "models/block/mamba1_model.h"
#include "models/io/config.h"

static bool recognises(const vks_config *config) {
    const char *layer = "Mamba1";
    return vks_config_has(config, "ssm_cfg") && vks_config_has(config, "d_model") &&
           vks_config_string(config, "ssm_cfg.layer", &layer) == VKSSM_OK && strcmp(layer, "Mamba1") == 0;
}

static vkssm_status unsupported(const vks_config *config, const char *key, const char *expected, const char *found) {
    return vks_fail(vks_config_log(config), VKSSM_ERR_UNSUPPORTED, "%s: key \"%s\": %s expected, %s found",
                    vks_config_path(config), key, expected, found);
}

static vkssm_status parse_original(const vks_config *config, vks_mamba1_model *m) {
    vks_mamba1_config *c = &m->mixer;
    uint32_t n_mlp = 0, n_attention = 0, expand = 2;
    bool rms = true;
    m->lm.padded_vocab = true;
    static const char *const required[] = {"d_model", "n_layer", "vocab_size"};
    for (size_t i = 0; i < VKS_COUNT(required); i++)
        VKS_TRY(vks_config_require(config, required[i]));
    VKS_TRY(vks_config_u32(config, "d_model", 2, VKS_LM_MAX_SIZE, &c->n_channel));
    VKS_TRY(vks_config_u32(config, "n_layer", 1, VKS_LM_MAX_LAYER, &m->lm.n_layer));
    VKS_TRY(vks_config_u32(config, "vocab_size", 1, VKS_LM_MAX_VOCAB, &m->lm.n_vocab));
    VKS_TRY(vks_config_bool(config, "tie_embeddings", &m->lm.tied_head));
    VKS_TRY(vks_config_bool(config, "rms_norm", &rms));
    VKS_TRY(vks_config_u32(config, "d_intermediate", 0, VKS_LM_MAX_SIZE, &n_mlp));
    VKS_TRY(vks_config_array_size(config, "attn_layer_idx", &n_attention));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.d_state", 1, VKS_MAMBA1_MAX_STATE, &c->n_state));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.d_conv", 2, 64, &c->n_tap));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.expand", 1, 64, &expand));
    c->n_inner = expand * c->n_channel;
    c->n_rank = vks_div_up(c->n_channel, 16);
    VKS_TRY(vks_config_u32_or_auto(config, "ssm_cfg.dt_rank", 1, VKS_LM_MAX_SIZE, &c->n_rank));
    VKS_TRY(vks_config_bool(config, "ssm_cfg.bias", &c->proj_bias));
    VKS_TRY(vks_config_bool(config, "ssm_cfg.conv_bias", &c->conv_bias));
    if (!rms) return unsupported(config, "rms_norm", "true", "false (layer norm)");
    if (n_mlp) return unsupported(config, "d_intermediate", "0", "an MLP in every block");
    if (n_attention) return unsupported(config, "attn_layer_idx", "no attention layers", "some");
    return VKSSM_OK;
}

static vkssm_status parse(const vks_config *config, vks_mamba1_model *m) {
    // Defaults of Hugging Face's configuration class, and of the original one where it has the key.
    m->kind = '1', m->lm.n_layer = 32, m->lm.n_vocab = 50280, m->lm.norm_eps = 1e-5f, m->lm.tied_head = true;
    m->mixer = (vks_mamba1_config){.n_channel = 768, .n_state = 16, .n_tap = 4, .conv_bias = true};
    if (!vks_config_has(config, "model_type")) return parse_original(config, m);
    return vks_mamba1_model_parse_hugging_face(config, m);
}

static vkssm_status parse_config(const vks_config *config, void **self, vks_model_shape *shape) {
    return vks_mamba1_model_parse(config, parse, self, shape);
}

const vks_arch vks_arch_mamba = {
    .model_type = "mamba",
    .recognises = recognises,
    .parse_config = parse_config,
    .bind_weights = vks_lm_bind,
    .state_layout = vks_mamba1_model_state,
    .record_prefill = vks_lm_prefill,
    .record_step = vks_lm_step,
    .destroy = vks_mamba1_model_destroy,
};

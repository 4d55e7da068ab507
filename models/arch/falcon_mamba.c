// Falcon-Mamba (Zuo et al. 2024): Mamba-1 whose low rank of dt, B and C are normed, without weights, before they are
// used. Hugging Face's layout, model_type "falcon_mamba".
#include "host/base/status.h"
#include "models/block/mamba1_model.h"
#include "models/io/config.h"

static vkssm_status parse(const vks_config *config, vks_mamba1_model *m) {
    // Defaults of Hugging Face's configuration class.
    m->kind = 'f', m->lm.n_layer = 64, m->lm.n_vocab = 65024, m->lm.norm_eps = 1e-5f, m->lm.tied_head = true;
    m->mixer = (vks_mamba1_config){
        .n_channel = 4096, .n_state = 16, .n_tap = 4, .conv_bias = true, .norm_parts = true, .parts_eps = 1e-6f};
    VKS_TRY(vks_config_f32(config, "mixer_rms_eps", 0, 1, &m->mixer.parts_eps));
    return vks_mamba1_model_parse_hugging_face(config, m);
}

static vkssm_status parse_config(const vks_config *config, void **self, vks_model_shape *shape) {
    return vks_mamba1_model_parse(config, parse, self, shape);
}

const vks_arch vks_arch_falcon_mamba = {
    .model_type = "falcon_mamba",
    .parse_config = parse_config,
    .bind_weights = vks_lm_bind,
    .state_layout = vks_mamba1_model_state,
    .record_prefill = vks_lm_prefill,
    .record_step = vks_lm_step,
    .destroy = vks_mamba1_model_destroy,
};

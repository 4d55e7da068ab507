// Mamba-2 language models (Dao and Gu 2024). Two layouts of checkpoint:
//   Hugging Face   model_type "mamba2", backbone.embeddings.weight, backbone.layers.N.mixer.*
//   state-spaces   no model_type, d_model and ssm_cfg {"layer": "Mamba2"}, backbone.embedding.weight, otherwise alike
// They differ in the gated norm of models with several groups: the original normalises each group of channels by
// itself, Hugging Face's code all channels together. The key "mixer_norm_groups" of config.json decides (see
// models/README.md).
#include <math.h>
#include <string.h>

#include "host/base/alloc.h"
#include "host/base/status.h"
#include "models/block/language_model.h"
#include "models/block/mamba2_step.h"
#include "models/io/config.h"

typedef struct mamba2 {
    vks_lm lm; // first
    vks_mamba2_config mixer;
    bool original; // state-spaces layout
    vks_mamba2_mixer *layers;
} mamba2;

static const vks_lm_mixers mixers;

// ---- configuration --------------------------------------------------------------------------------------------------

static bool recognises(const vks_config *config) {
    const char *layer = NULL;
    return vks_config_has(config, "ssm_cfg") && vks_config_string(config, "ssm_cfg.layer", &layer) == VKSSM_OK &&
           layer && strcmp(layer, "Mamba2") == 0;
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
    m->lm.n_layer = 64, m->lm.n_vocab = 32768;
    const char *activation = "silu";
    VKS_TRY(vks_config_u32(config, "hidden_size", 2, VKS_LM_MAX_SIZE, &c->n_channel));
    VKS_TRY(vks_config_u32(config, "num_heads", 1, VKS_LM_MAX_SIZE, &c->n_head));
    VKS_TRY(vks_config_u32(config, "head_dim", 1, VKS_LM_MAX_SIZE, &c->n_width));
    VKS_TRY(vks_config_u32(config, "state_size", 1, VKS_LM_MAX_SIZE, &c->n_state));
    VKS_TRY(vks_config_u32(config, "n_groups", 1, VKS_LM_MAX_SIZE, &c->n_group));
    VKS_TRY(vks_config_u32(config, "conv_kernel", 2, 64, &c->n_tap));
    VKS_TRY(vks_config_u32(config, "expand", 1, 64, expand));
    VKS_TRY(vks_config_u32(config, "num_hidden_layers", 1, VKS_LM_MAX_LAYER, &m->lm.n_layer));
    VKS_TRY(vks_config_u32(config, "vocab_size", 1, VKS_LM_MAX_VOCAB, &m->lm.n_vocab));
    VKS_TRY(vks_config_f32(config, "layer_norm_epsilon", 0, 1, &m->lm.norm_eps));
    VKS_TRY(vks_config_bool(config, "use_bias", &c->proj_bias));
    VKS_TRY(vks_config_bool(config, "use_conv_bias", &c->conv_bias));
    VKS_TRY(vks_config_bool(config, "tie_word_embeddings", &m->lm.tied_head));
    VKS_TRY(vks_config_string(config, "hidden_act", &activation));
    if (strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0)
        return unsupported(config, "hidden_act", "\"silu\"", activation);
    float limits[2] = {0, INFINITY};
    if (vks_config_has(config, "time_step_limit"))
        VKS_TRY(vks_config_f32_array(config, "time_step_limit", 0, INFINITY, 2, limits));
    c->dt_min = limits[0], c->dt_max = limits[1];
    c->norm_eps = m->lm.norm_eps;
    return VKSSM_OK;
}

static vkssm_status parse_original(const vks_config *config, mamba2 *m, uint32_t *expand) {
    vks_mamba2_config *c = &m->mixer;
    c->n_width = 64, c->n_state = 128, c->n_group = 1, c->n_tap = 4, c->conv_bias = true;
    m->lm.tied_head = true;
    uint32_t n_inner = 0, n_mlp = 0, n_attention = 0;
    bool rms = true, mixer_norm = true, wide_d = false;
    VKS_TRY(vks_config_require(config, "d_model"));
    VKS_TRY(vks_config_require(config, "n_layer"));
    VKS_TRY(vks_config_require(config, "vocab_size"));
    VKS_TRY(vks_config_u32(config, "d_model", 2, VKS_LM_MAX_SIZE, &c->n_channel));
    VKS_TRY(vks_config_u32(config, "n_layer", 1, VKS_LM_MAX_LAYER, &m->lm.n_layer));
    VKS_TRY(vks_config_u32(config, "vocab_size", 1, VKS_LM_MAX_VOCAB, &m->lm.n_vocab));
    VKS_TRY(vks_config_bool(config, "tie_embeddings", &m->lm.tied_head));
    VKS_TRY(vks_config_bool(config, "rms_norm", &rms));
    VKS_TRY(vks_config_u32(config, "d_intermediate", 0, VKS_LM_MAX_SIZE, &n_mlp));
    VKS_TRY(vks_config_array_size(config, "attn_layer_idx", &n_attention));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.d_state", 1, VKS_LM_MAX_SIZE, &c->n_state));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.d_conv", 2, 64, &c->n_tap));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.expand", 1, 64, expand));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.headdim", 1, VKS_LM_MAX_SIZE, &c->n_width));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.ngroups", 1, VKS_LM_MAX_SIZE, &c->n_group));
    VKS_TRY(vks_config_u32(config, "ssm_cfg.d_ssm", 1, VKS_LM_MAX_SIZE, &n_inner));
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
    c->norm_eps = m->lm.norm_eps; // 1e-5, a constant of the original code
    c->n_head = *expand * c->n_channel / c->n_width;
    return VKSSM_OK;
}

// Relations between sizes that the operators rely on.
static vkssm_status check_sizes(const vks_config *config, mamba2 *m, uint32_t expand) {
    vks_mamba2_config *c = &m->mixer;
    const vkssm_log *log = vks_config_log(config);
    const char *path = vks_config_path(config);
    c->n_inner = expand * c->n_channel;
    if (c->n_inner > VKS_LM_MAX_SIZE || (uint64_t)c->n_head * c->n_width != c->n_inner)
        return vks_fail(log, VKSSM_ERR_FORMAT,
                        "%s: heads times head width equal to expand times hidden size (%u) expected, "
                        "%u times %u found",
                        path, c->n_inner, c->n_head, c->n_width);
    if (c->n_head % c->n_group != 0)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: a number of groups that divides %u heads expected, %u found", path,
                        c->n_head, c->n_group);
    if ((uint64_t)c->n_group * c->n_state > VKS_LM_MAX_SIZE || (uint64_t)c->n_inner * c->n_state > (uint64_t)1 << 28)
        return vks_fail(log, VKSSM_ERR_UNSUPPORTED,
                        "%s: a state of at most 2^28 values a layer expected, %u x %u x %u found", path, c->n_head,
                        c->n_width, c->n_state);
    if (c->norm_groups && c->n_inner % c->norm_groups != 0)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: key \"mixer_norm_groups\": a divisor of %u expected, %u found",
                        path, c->n_inner, c->norm_groups);
    if (!(c->dt_min <= c->dt_max))
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: time step limits in rising order expected, %g and %g found", path,
                        (double)c->dt_min, (double)c->dt_max);
    return VKSSM_OK;
}

static vkssm_status parse(const vks_config *config, mamba2 *m, vks_model_shape *shape) {
    uint32_t expand = 2, chunk = 0;
    m->lm.mixers = &mixers;
    m->lm.log = vks_config_log(config);
    m->lm.norm_eps = 1e-5f;
    m->original = m->lm.padded_vocab = !vks_config_has(config, "model_type");
    VKS_TRY(m->original ? parse_original(config, m, &expand) : parse_hugging_face(config, m, &expand));
    VKS_TRY(vks_config_u32(config, "mixer_norm_groups", 1, VKS_LM_MAX_SIZE, &m->mixer.norm_groups));
    // The file's chunk length is its trainer's choice; the result does not depend on it, so ours stays. It is checked
    // as any other key is.
    VKS_TRY(vks_config_u32(config, m->original ? "ssm_cfg.chunk_size" : "chunk_size", 1, VKS_LM_MAX_SIZE, &chunk));
    VKS_TRY(check_sizes(config, m, expand));
    m->lm.n_channel = m->mixer.n_channel;
    m->layers = vks_alloc_zero(m->lm.n_layer, sizeof *m->layers);
    if (!m->layers)
        return vks_fail(m->lm.log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %u layers", vks_config_path(config),
                        m->lm.n_layer);
    return vks_lm_complete(&m->lm, config, shape);
}

static void destroy(void *self) {
    mamba2 *m = self;
    vks_lm_release(&m->lm);
    vks_free(m->layers);
    vks_free(m);
}

static vkssm_status parse_config(const vks_config *config, void **self, vks_model_shape *shape) {
    mamba2 *m = vks_alloc_zero(1, sizeof *m);
    if (!m) return vks_fail(vks_config_log(config), VKSSM_ERR_OOM_HOST, "%s: out of memory", vks_config_path(config));
    vkssm_status status = parse(config, m, shape);
    if (status == VKSSM_OK)
        *self = m;
    else
        destroy(m);
    return status;
}

// ---- the mixers of vks_lm -------------------------------------------------------------------------------------------

static uint64_t fingerprint(const void *self) {
    const mamba2 *m = self;
    const uint32_t numbers[] = {'2',
                                m->lm.n_layer,
                                m->lm.n_vocab,
                                m->mixer.n_channel,
                                m->mixer.n_head,
                                m->mixer.n_width,
                                m->mixer.n_state,
                                m->mixer.n_group,
                                m->mixer.n_tap};
    return vks_lm_hash(numbers, VKS_COUNT(numbers));
}

static vkssm_status bind_mixer(void *self, const vks_bind *bind, uint32_t layer) {
    mamba2 *m = self;
    return vks_mamba2_bind(bind, &m->mixer, &m->layers[layer]);
}

static vkssm_status state_layout(const void *self, vks_state_layout *layout) {
    const mamba2 *m = self;
    for (uint32_t i = 0; i < m->lm.n_layer; i++)
        VKS_TRY(vks_mamba2_state(&m->mixer, layout));
    return VKSSM_OK;
}

// One token of each sequence: each block's norm is then a part of its first product.
static bool norms(const void *self, const vks_kernels *kernels, const vks_lm_call *call) {
    const mamba2 *m = self;
    return call->slots.address && !call->offsets.address && vks_mamba2_step_fits(&m->mixer, kernels, call->most_rows);
}

static vks_mamba2_call mamba2_call(const vks_lm_call *call, uint32_t layer, vks_tensor x) {
    return (vks_mamba2_call){.n_sequence = call->n_sequence,
                             .n_time = call->n_time,
                             .x = x,
                             .residual = call->residual,
                             .state = call->state,
                             .first_state = 2 * layer,
                             .slots = call->slots,
                             .offsets = call->offsets,
                             .most_rows = call->most_rows,
                             .words = call->shared[0],
                             .left = call->shared[1]};
}

static vkssm_status begin(const void *self, vks_plan *plan, vks_lm_call *call) {
    const mamba2 *m = self;
    if (!norms(self, plan->target.kernels, call)) return VKSSM_OK;
    vks_mamba2_call mixer = mamba2_call(call, 0, (vks_tensor){0});
    VKS_TRY(vks_mamba2_begin_step(&m->mixer, &m->layers[0], plan, m->lm.n_layer, &mixer));
    call->shared[0] = mixer.words;
    call->shared[1] = mixer.left;
    return VKSSM_OK;
}

static vkssm_status record_mixer(const void *self, uint32_t layer, vks_plan *plan, const vks_lm_call *call,
                                 vks_tensor x, vks_tensor norm) {
    const mamba2 *m = self;
    vks_mamba2_call mixer = mamba2_call(call, layer, x);
    if (x.address) return vks_mamba2_record(&m->mixer, &m->layers[layer], plan, &mixer);
    return vks_mamba2_record_step(&m->mixer, &m->layers[layer], plan, &mixer, layer, norm, call->norm_eps);
}

static const vks_lm_mixers mixers = {
    .bind = bind_mixer, .fingerprint = fingerprint, .norms = norms, .begin = begin, .record = record_mixer};

const vks_arch vks_arch_mamba2 = {
    .model_type = "mamba2",
    .packs_prompts = true,
    .recognises = recognises,
    .parse_config = parse_config,
    .bind_weights = vks_lm_bind,
    .state_layout = state_layout,
    .record_prefill = vks_lm_prefill,
    .record_step = vks_lm_step,
    .destroy = destroy,
};

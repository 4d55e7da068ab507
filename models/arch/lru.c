// Classifiers of sequences by linear recurrent units (Orvieto et al. 2023): the stack of models/block/diagonal_stack.c
// with LRU layers, full GLU gates and their own names for the norms.
#include "host/base/alloc.h"
#include "host/base/status.h"
#include "models/block/diagonal_stack.h"
#include "models/io/config.h"

static vkssm_status parse(const vks_config *config, vks_stack *s, vks_model_shape *shape) {
    static const char *const norms[] = {"layer", "batch"};
    uint32_t norm = 0;
    VKS_TRY(vks_stack_parse(config, s));
    s->ssm.kind = VKS_DIAGONAL_LRU;
    s->gate = VKS_STACK_FULL_GLU;
    s->norm_name = "normalization";
    // Checkpoints with either norm look alike but for the statistics, and prenorm cannot be seen at all: no defaults.
    VKS_TRY(vks_config_require(config, "d_hidden"));
    VKS_TRY(vks_config_require(config, "norm"));
    VKS_TRY(vks_config_require(config, "prenorm"));
    VKS_TRY(vks_config_u32(config, "d_hidden", 1, 1 << 16, &s->ssm.n_state));
    VKS_TRY(vks_config_choice(config, "norm", norms, VKS_COUNT(norms), &norm));
    VKS_TRY(vks_config_bool(config, "prenorm", &s->prenorm));
    s->batch_norm = norm == 1;
    s->norm_eps = s->batch_norm ? 1e-5f : 1e-6f; // flax's
    VKS_TRY(vks_config_f32(config, s->batch_norm ? "bn_eps" : "ln_eps", 0, 1, &s->norm_eps));
    return vks_stack_complete(config, s, 'U', shape);
}

static vkssm_status parse_config(const vks_config *config, void **self, vks_model_shape *shape) {
    vks_stack *s = vks_alloc_zero(1, sizeof *s);
    if (!s) return vks_fail(vks_config_log(config), VKSSM_ERR_OOM_HOST, "%s: out of memory", vks_config_path(config));
    vkssm_status status = parse(config, s, shape);
    if (status == VKSSM_OK)
        *self = s;
    else
        vks_stack_destroy(s);
    return status;
}

const vks_arch vks_arch_lru = {
    .model_type = "lru",
    .parse_config = parse_config,
    .bind_weights = vks_stack_bind,
    .state_layout = vks_stack_state,
    .get_io = vks_stack_io,
    .record_piece = vks_stack_record,
    .destroy = vks_stack_destroy,
};

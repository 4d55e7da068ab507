// S5 classifiers of sequences (Smith, Warrington and Linderman 2023): the stack of models/block/diagonal_stack.c with
// S5 layers. Parameters have the paths of the original flax code; config.json has the keys of its command line, with
// the defaults of that.
#include "host/base/alloc.h"
#include "host/base/status.h"
#include "models/block/diagonal_stack.h"
#include "models/io/config.h"

static const char *const gates[] = {[VKS_STACK_GELU] = "gelu",
                                    [VKS_STACK_HALF_GLU_1] = "half_glu1",
                                    [VKS_STACK_HALF_GLU_2] = "half_glu2",
                                    [VKS_STACK_FULL_GLU] = "full_glu"};

// ssm_size_base counts both states of a conjugate pair; `blocks` matters to the initial values only, but must divide
// it.
static vkssm_status parse_state_size(const vks_config *config, vks_stack *s) {
    uint32_t size = 0, n_block = 1;
    VKS_TRY(vks_config_require(config, "ssm_size_base"));
    VKS_TRY(vks_config_u32(config, "ssm_size_base", 1, 1 << 16, &size));
    VKS_TRY(vks_config_u32(config, "blocks", 1, 1 << 16, &n_block));
    uint32_t part = s->ssm.conj_sym ? 2 * n_block : n_block;
    if (size % part != 0)
        return vks_fail(s->log, VKSSM_ERR_FORMAT,
                        "%s: key \"ssm_size_base\": a multiple of %u (%u blocks%s) expected, %u found",
                        vks_config_path(config), part, n_block, s->ssm.conj_sym ? " of conjugate pairs" : "", size);
    s->ssm.n_state = s->ssm.conj_sym ? size / 2 : size;
    return VKSSM_OK;
}

static vkssm_status parse(const vks_config *config, vks_stack *s, vks_model_shape *shape) {
    static const char *const methods[] = {"zoh", "bilinear"};
    uint32_t gate = VKS_STACK_HALF_GLU_1, method = 0;
    float step_rescale = 1;
    VKS_TRY(vks_stack_parse(config, s));
    s->ssm.kind = VKS_DIAGONAL_S5;
    s->ssm.conj_sym = s->prenorm = s->batch_norm = true;
    s->norm_name = "norm";
    VKS_TRY(vks_config_choice(config, "activation", gates, VKS_COUNT(gates), &gate));
    VKS_TRY(vks_config_choice(config, "discretization", methods, VKS_COUNT(methods), &method));
    VKS_TRY(vks_config_bool(config, "conj_sym", &s->ssm.conj_sym));
    VKS_TRY(vks_config_bool(config, "clip_eigs", &s->ssm.clip_eigs));
    VKS_TRY(vks_config_bool(config, "bidirectional", &s->ssm.bidirectional));
    VKS_TRY(vks_config_bool(config, "prenorm", &s->prenorm));
    VKS_TRY(vks_config_bool(config, "batchnorm", &s->batch_norm));
    VKS_TRY(vks_config_f32(config, "step_rescale", 1e-6f, 1e6f, &step_rescale));
    s->norm_eps = s->batch_norm ? 1e-5f : 1e-6f; // flax's
    VKS_TRY(vks_config_f32(config, s->batch_norm ? "bn_eps" : "ln_eps", 0, 1, &s->norm_eps));
    VKS_TRY(parse_state_size(config, s));
    s->gate = (vks_stack_gate)gate;
    s->ssm.bilinear = method == 1;
    s->ssm.step_rescale = step_rescale;
    return vks_stack_complete(config, s, '5', shape);
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

const vks_arch vks_arch_s5 = {
    .model_type = "s5",
    .parse_config = parse_config,
    .bind_weights = vks_stack_bind,
    .state_layout = vks_stack_state,
    .get_io = vks_stack_io,
    .record_piece = vks_stack_record,
    .destroy = vks_stack_destroy,
};

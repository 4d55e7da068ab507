#include "kernel.h"
#include "ops.h"

#include "host/base/quant.h"
#include "shaders/params/clear.h"
#include "shaders/params/mixer_step.h"

enum {
    MAX_TAP = 8,        // held in registers
    DEFAULT_UNIT = 8,   // rows of x a workgroup
    BLOCK_UNIT = 4,     // of weights in blocks
    FEW_UNIT = 2,       // where a layer has few rows
    FEW_ROWS = 3000,    // of x
    SMALL_SIZE = 128,   // invocations there
    MAX_UNIT = 16,      // their outputs are held in registers
    DEFAULT_TURN = 256, // some 100 us of looking: publishers start first, and take as long as everybody else
    DEFAULT_SIZE = 64,  // invocations
    CLEAR_SIZE = 256,
    N_COUNTER = 2,
};

typedef struct sizes {
    uint32_t n_head, n_width, n_state, n_group, n_in, n_inner, n_conv, n_common;
    uint32_t wg_size, unit, n_unroll, n_published;
} sizes;

// The largest power of two up to `most` that divides n.
static uint32_t dividing(uint32_t n, uint32_t most) {
    uint32_t unit = 1;
    while (2 * unit <= most && n % (2 * unit) == 0)
        unit *= 2;
    return unit;
}

// shaders/MEASURED.md
static uint32_t default_unit(const vks_mixer_step *op, const sizes *s) {
    if (vks_is_block_type(op->w.dtype)) return BLOCK_UNIT;
    return s->n_inner < FEW_ROWS ? FEW_UNIT : DEFAULT_UNIT;
}

static sizes sizes_of(const vks_mixer_step *op) {
    sizes s = {
        .n_head = op->state.shape[1],
        .n_width = op->state.shape[2],
        .n_state = op->state.shape[3],
        .n_in = op->x.shape[1],
        .n_conv = op->conv.w.shape[1],
    };
    s.n_inner = s.n_head * s.n_width;
    uint32_t n_bc = s.n_conv > s.n_inner ? s.n_conv - s.n_inner : 0;
    s.n_group = s.n_state ? n_bc / 2 / s.n_state : 0;
    s.n_common = n_bc + s.n_head;
    s.unit = op->tuning.unit ? op->tuning.unit : s.n_width ? dividing(s.n_width, default_unit(op, &s)) : 1;
    bool small = s.n_inner < FEW_ROWS && !vks_is_block_type(op->w.dtype);
    s.wg_size = op->tuning.wg_size ? op->tuning.wg_size : small ? SMALL_SIZE : 0;
    s.n_published = op->tuning.n_published ? op->tuning.n_published : 2 * s.unit;
    s.n_unroll = op->tuning.n_unroll ? op->tuning.n_unroll : small ? 2 : 1;
    return s;
}

static uint64_t n_word(const sizes *s) {
    return s->n_common + N_COUNTER + s->n_inner / s->unit;
}

uint64_t vks_mixer_step_words(const vks_mixer_step *op) {
    sizes s = sizes_of(op);
    uint32_t least = dividing(s.n_width, FEW_UNIT);
    if (s.unit > least) s.unit = least; // enough for weights of any type
    return vks_align_up(n_word(&s), 64);
}

static bool is_available(const vks_kernels *kernels, uint32_t shader) {
    const char *name, *reason;
    bool available;
    return vks_kernels_variant(kernels, shader, &name, &available, &reason) && available;
}

bool vks_mixer_step_fits(const vks_kernels *kernels, bool coded_inputs, vkssm_dtype weights, uint32_t most_rows) {
    const vks_caps *caps = vks_device_caps(vks_kernels_device(kernels));
    const uint32_t candidates[] = {VKS_SHADER_clear, VKS_SHADER_mixer_step_dot, VKS_SHADER_mixer_step_sg,
                                   VKS_SHADER_mixer_step, VKS_SHADER_clear};
    if (most_rows != 1) return false;
    if (is_available(kernels, VKS_SHADER_clear) &&
        vks_kernel_choose(kernels, candidates, VKS_COUNT(candidates)) != VKS_SHADER_clear)
        return true; // a test
    bool coded = coded_inputs && vks_has_codes(weights);
    if (!is_available(kernels, VKS_SHADER_mixer_step) && !is_available(kernels, VKS_SHADER_mixer_step_sg) &&
        !(coded && is_available(kernels, VKS_SHADER_mixer_step_dot)))
        return false; // avoided: there are the operators that it is made of
    // Elsewhere it was not tried; a CPU runs few workgroups at once. Blocks without codes take longer than on their
    // own.
    return caps->vendor_id == 0x10de && caps->type == VKS_DEVICE_DISCRETE && (!vks_is_block_type(weights) || coded);
}

vkssm_status vks_op_clear(const vks_op_target *target, vks_tensor words) {
    VKS_TRY(vks_check_shape(target, "clear: words", &words, VKS_SHAPE(words.shape[0])));
    struct vks_clear_params push = {.words = words.address, .n_word = words.shape[0]};
    vks_op_begin(target, "clear");
    vkssm_status status = vks_kernel_dispatch(target, &(vks_kernel_call){
                                                          .shader = VKS_SHADER_clear,
                                                          .constants = (uint32_t[]){CLEAR_SIZE},
                                                          .n_constant = 1,
                                                          .push = &push,
                                                          .push_size = sizeof push,
                                                          .n_group = {vks_div_up(words.shape[0], CLEAR_SIZE), 1, 1},
                                                          .accesses = (vks_access[]){vks_writes(&words)},
                                                          .n_access = 1,
                                                      });
    vks_op_end(target);
    return status;
}

static vkssm_status check_floats(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                                 uint32_t n_dim, const uint32_t *shape) {
    VKS_TRY(vks_check_shape(target, name, tensor, n_dim, shape));
    return vks_check_dtype(target, name, tensor, VKSSM_DTYPE_F32);
}

static vkssm_status check_states(const vks_op_target *target, const vks_mixer_step *op, const sizes *s) {
    const vks_matmul_conv *conv = &op->conv;
    uint32_t n_tap = conv->w.shape[0];
    VKS_TRY(check_floats(target, "mixer_step: state", &op->state,
                         VKS_SHAPE(op->state.shape[0], s->n_head, s->n_width, s->n_state)));
    VKS_TRY(vks_check_dense(target, "mixer_step: state", &op->state, 1));
    VKS_TRY(vks_check_stride(target, "mixer_step: state", &op->state, 0, 4));
    VKS_TRY(vks_check_alignment(target, "mixer_step: state", &op->state, 16));
    if (s->n_state == 0 || s->n_state % 4 != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG, "mixer_step: a multiple of 4 states expected, %u found", s->n_state);
    VKS_TRY(check_floats(target, "mixer_step: conv weight", &conv->w, VKS_SHAPE(n_tap, s->n_conv)));
    VKS_TRY(vks_check_dense(target, "mixer_step: conv weight", &conv->w, 0));
    if (n_tap < 2 || n_tap > MAX_TAP)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "mixer_step: 2 to %d taps expected, %u found", MAX_TAP,
                           n_tap);
    VKS_TRY(check_floats(target, "mixer_step: conv state", &conv->state,
                         VKS_SHAPE(conv->state.shape[0], n_tap - 1, s->n_conv)));
    VKS_TRY(vks_check_dense(target, "mixer_step: conv state", &conv->state, 1));
    VKS_TRY(vks_check_stride(target, "mixer_step: conv state", &conv->state, 0, 1));
    if (conv->bias.address) VKS_TRY(check_floats(target, "mixer_step: conv bias", &conv->bias, VKS_SHAPE(s->n_conv)));
    if (conv->slots.address) {
        VKS_TRY(vks_check_shape(target, "mixer_step: slots", &conv->slots, VKS_SHAPE(1)));
        VKS_TRY(vks_check_dtype(target, "mixer_step: slots", &conv->slots, VKSSM_DTYPE_I32));
    }
    if (conv->first != s->n_inner || s->n_group == 0 || s->n_conv != s->n_inner + 2 * s->n_group * s->n_state ||
        s->n_head % s->n_group != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "mixer_step: channels of x, B and C behind %u of the gate, in groups that divide %u heads, "
                           "expected, %u from %u on found",
                           s->n_inner, s->n_head, s->n_conv, conv->first);
    return VKSSM_OK;
}

static vkssm_status check(const vks_op_target *target, const vks_mixer_step *op, const sizes *s) {
    VKS_TRY(check_states(target, op, s));
    VKS_TRY(check_floats(target, "mixer_step: x", &op->x, VKS_SHAPE(1, s->n_in)));
    VKS_TRY(vks_check_alignment(target, "mixer_step: x", &op->x, 16));
    VKS_TRY(check_floats(target, "mixer_step: norm", &op->norm, VKS_SHAPE(s->n_in)));
    VKS_TRY(vks_check_alignment(target, "mixer_step: norm", &op->norm, 16));
    VKS_TRY(vks_check_shape(target, "mixer_step: w", &op->w, VKS_SHAPE(s->n_inner + s->n_conv + s->n_head, s->n_in)));
    VKS_TRY(vks_check_weights(target, "mixer_step: w", &op->w, 8));
    VKS_TRY(vks_check_alignment(target, "mixer_step: w", &op->w, 16));
    VKS_TRY(check_floats(target, "mixer_step: heads", &op->heads, VKS_SHAPE(3, s->n_head)));
    VKS_TRY(vks_check_dense(target, "mixer_step: heads", &op->heads, 0));
    VKS_TRY(check_floats(target, "mixer_step: y", &op->y, VKS_SHAPE(1, s->n_inner)));
    VKS_TRY(check_floats(target, "mixer_step: left", &op->left, VKS_SHAPE(2 * s->n_inner)));
    VKS_TRY(vks_check_shape(target, "mixer_step: words", &op->words, VKS_SHAPE(op->words.shape[0])));
    if (op->words.shape[0] < n_word(s))
        return vks_op_fail(target, VKSSM_ERR_ARG, "mixer_step: words: %llu expected, %u found",
                           (unsigned long long)n_word(s), op->words.shape[0]);
    if (s->n_in % 8 != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG, "mixer_step: x: a multiple of 8 channels expected, %u found",
                           s->n_in);
    if (s->unit > MAX_UNIT || s->n_width % s->unit != 0 || s->wg_size % s->unit != 0 || s->wg_size < s->n_published ||
        s->n_published < 2 * s->unit)
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "mixer_step: a unit that divides %u rows of a head and %u invocations expected, %u found",
                           s->n_width, s->wg_size, s->unit);
    return VKSSM_OK;
}

static uint32_t choose(const vks_op_target *target, const vks_mixer_step *op) {
    // Where inputs are not to be coded, only a test gets there.
    static const uint32_t candidates[] = {VKS_SHADER_mixer_step_dot, VKS_SHADER_mixer_step_sg, VKS_SHADER_mixer_step,
                                          VKS_SHADER_mixer_step_dot};
    bool codes = vks_has_codes(op->w.dtype), coded = codes && target->coded_inputs;
    return vks_kernel_choose(target->kernels, candidates + !coded, 2 + codes);
}

vkssm_status vks_op_mixer_step(const vks_op_target *target, const vks_mixer_step *op) {
    sizes s = sizes_of(op);
    uint32_t least = vks_kernel_traits_of(target->kernels).subgroup_size;
    if (!s.wg_size) s.wg_size = least > DEFAULT_SIZE ? least : DEFAULT_SIZE;
    VKS_TRY(check(target, op, &s));
    uint32_t shader = choose(target, op);
    const uint32_t constants[] = {s.wg_size,
                                  op->w.dtype,
                                  s.n_head,
                                  s.n_width,
                                  s.n_group,
                                  s.n_state,
                                  op->conv.w.shape[0],
                                  s.unit,
                                  s.n_unroll,
                                  op->tuning.n_turn ? op->tuning.n_turn - 1 : DEFAULT_TURN,
                                  op->tuning.late,
                                  s.n_published};
    struct vks_mixer_step_params push = {
        .x = op->x.address,
        .norm = op->norm.address,
        .w = op->w.address,
        .conv_weight = op->conv.w.address,
        .conv_bias = op->conv.bias.address,
        .conv_state = op->conv.state.address,
        .heads = op->heads.address,
        .state = op->state.address,
        .slots = op->conv.slots.address,
        .words = op->words.address,
        .left = op->left.address,
        .y = op->y.address,
        .n_in = s.n_in,
        .w_stride = (uint32_t)op->w.stride[0],
        .conv_state_stride = (uint32_t)op->conv.state.stride[0],
        .state_stride = (uint32_t)op->state.stride[0],
        .norm_eps = op->norm_eps,
        .dt_min = op->dt_min,
        .dt_max = op->dt_max,
    };
    vks_op_begin(target, "mixer_step");
    vkssm_status status = vks_kernel_dispatch(
        target, &(vks_kernel_call){
                    .shader = shader,
                    .constants = constants,
                    .n_constant = VKS_COUNT(constants),
                    .full_subgroups = shader != VKS_SHADER_mixer_step,
                    .push = &push,
                    .push_size = sizeof push,
                    .n_group = {vks_div_up(s.n_common, s.n_published) + s.n_inner / s.unit, 1, 1},
                    .accesses = (vks_access[]){vks_reads(&op->x), vks_reads(&op->conv.slots),
                                               vks_writes(&op->conv.state), vks_writes(&op->state),
                                               vks_writes(&op->words), vks_writes(&op->left), vks_writes(&op->y)},
                    .n_access = 7,
                });
    vks_op_end(target);
    return status;
}

#include "conv_s5_layer.h"

#include <math.h>
#include <string.h>

#include "host/base/alloc.h"
#include "host/base/status.h"

static const float norm_eps = 1e-6f;

// ---- the discrete system --------------------------------------------------------------------------------------------

enum { LAMBDA_RE, LAMBDA_IM, LOG_STEP, B, C, N_PARAMETER };

typedef struct system {
    float *parameters[N_PARAMETER]; // as the file has them
    float *a, *b, *c;               // as vks_conv_s5 has them
} system;

static void free_system(system *s) {
    for (int i = 0; i < N_PARAMETER; i++)
        vks_free(s->parameters[i]);
    vks_free(s->a);
    vks_free(s->b);
    vks_free(s->c);
}

static vkssm_status read_system(const vks_bind *bind, const vks_conv_s5_config *config, system *s) {
    uint64_t p = config->n_state, u = config->n_channel, kb = config->kernel_b, kc = config->kernel_c;
    const struct {
        const char *name;
        uint32_t n_dim;
        uint64_t shape[5];
    } wanted[] = {[LAMBDA_RE] = {"Lambda_re", 1, {p}},
                  [LAMBDA_IM] = {"Lambda_im", 1, {p}},
                  [LOG_STEP] = {"log_step", 2, {p, 1}},
                  [B] = {"B", 3, {p, u * kb * kb, 2}},
                  [C] = {"C", 5, {kc, kc, p, u, 2}}};
    for (int i = 0; i < N_PARAMETER; i++)
        VKS_TRY(vks_bind_values(bind, wanted[i].name, wanted[i].n_dim, wanted[i].shape, &s->parameters[i]));
    size_t n_b = 2 * p * kb * kb * vks_align_up(u, 8), n_c = u * kc * kc * 2 * p;
    s->a = vks_alloc_zero(2 * p, sizeof *s->a);
    s->b = vks_alloc_zero(n_b, sizeof *s->b);
    s->c = vks_alloc_zero(n_c, sizeof *s->c);
    if (s->a && s->b && s->c) return VKSSM_OK;
    return vks_fail(bind->log, VKSSM_ERR_OOM_HOST, "%s: %s: out of memory for %u states",
                    vks_weights_path(bind->weights), bind->prefix, config->n_state);
}

// a = exp(Lambda dt), and B is multiplied by (a - 1) / Lambda (zero-order hold); exp(z) - 1 without cancellation near
// 0.
static void discretise_state(const vks_conv_s5_config *config, system *s, size_t p) {
    size_t n_tap = (size_t)config->kernel_b * config->kernel_b, n_in = config->n_channel;
    size_t padded = (size_t)vks_align_up(n_in, 8);
    double re = s->parameters[LAMBDA_RE][p], im = s->parameters[LAMBDA_IM][p], dt = exp(s->parameters[LOG_STEP][p]);
    if (config->clip_eigs && re > -1e-4) re = -1e-4;
    double z_re = re * dt, z_im = im * dt, sine = sin(z_im / 2), square = re * re + im * im;
    double grown_re = expm1(z_re) * cos(z_im) - 2 * sine * sine, grown_im = exp(z_re) * sin(z_im);
    double f_re = square > 0 ? (grown_re * re + grown_im * im) / square : dt;
    double f_im = square > 0 ? (grown_im * re - grown_re * im) / square : 0;
    s->a[2 * p] = (float)(exp(z_re) * cos(z_im));
    s->a[2 * p + 1] = (float)(exp(z_re) * sin(z_im));
    for (size_t c = 0; c < n_in; c++)
        for (size_t tap = 0; tap < n_tap; tap++) { // the file: channel, then row and column of the kernel
            const float *b = &s->parameters[B][2 * ((p * n_in + c) * n_tap + tap)];
            s->b[(2 * p * n_tap + tap) * padded + c] = (float)(f_re * b[0] - f_im * b[1]);
            s->b[((2 * p + 1) * n_tap + tap) * padded + c] = (float)(f_re * b[1] + f_im * b[0]);
        }
}

// 2 Re(C x) = 2 C.re x.re - 2 C.im x.im.
static void turn_c(const vks_conv_s5_config *config, system *s) {
    size_t n_tap = (size_t)config->kernel_c * config->kernel_c, n_state = config->n_state, n_out = config->n_channel;
    for (size_t tap = 0; tap < n_tap; tap++)
        for (size_t p = 0; p < n_state; p++)
            for (size_t u = 0; u < n_out; u++) {
                const float *c = &s->parameters[C][2 * ((tap * n_state + p) * n_out + u)];
                float *out = &s->c[((u * n_tap + tap) * n_state + p) * 2];
                out[0] = 2 * c[0];
                out[1] = -2 * c[1];
            }
}

static vkssm_status bind_system(const vks_bind *bind, const vks_conv_s5_config *config, vks_conv_s5_layer *layer) {
    uint32_t p = config->n_state, u = config->n_channel;
    uint32_t n_b = config->kernel_b * config->kernel_b, n_c = config->kernel_c * config->kernel_c;
    system s = {0};
    float *values;
    vkssm_status status;
    VKS_TRY_GOTO(read_system(bind, config, &s), done);
    for (size_t i = 0; i < p; i++)
        discretise_state(config, &s, i);
    turn_c(config, &s);
    values = s.a; // taken over by the binder, whatever it returns
    s.a = NULL;
    VKS_TRY_GOTO(vks_bind_computed_array(bind->binder, "a", values, 3 * (uint64_t)p, 2, (uint32_t[]){p, 2}, &layer->a),
                 done);
    values = s.b;
    s.b = NULL;
    VKS_TRY_GOTO(vks_bind_computed_kernel(bind->binder, "B", values, 2 * (uint64_t)p * n_b * u, 2 * p,
                                          n_b * (uint32_t)vks_align_up(u, 8), &layer->b),
                 done);
    values = s.c;
    s.c = NULL;
    VKS_TRY_GOTO(
        vks_bind_computed_kernel(bind->binder, "C", values, 2 * (uint64_t)p * n_c * u, u, n_c * 2 * p, &layer->c),
        done);
done:
    free_system(&s);
    return status;
}

// ---- weights and state ----------------------------------------------------------------------------------------------

static vkssm_status bind_ones(const vks_bind *bind, uint32_t n, vks_tensor *out) {
    float *values = vks_alloc_zero(n, sizeof *values);
    if (!values) return vks_fail(bind->log, VKSSM_ERR_OOM_HOST, "%s: out of memory", vks_weights_path(bind->weights));
    for (uint32_t i = 0; i < n; i++)
        values[i] = 1;
    return vks_bind_computed_array(bind->binder, "ones", values, 0, 1, &n, out);
}

static vkssm_status bind_cd(const vks_bind *bind, const vks_conv_s5_config *config, vks_conv_s5_layer *layer) {
    uint32_t u = config->n_channel, k = config->kernel_d;
    if (config->cd == VKS_CD_DIAG_RESNET) return VKSSM_OK;
    if (config->cd == VKS_CD_HALF_GLU) {
        VKS_TRY(vks_norm_bind(bind, "LayerNorm_0", u, &layer->norms[0]));
        return vks_conv_bind_dense(bind, "Dense_0", u, u, &layer->convs[0]);
    }
    uint32_t n = config->cd == VKS_CD_RESNET ? 2 : 1;
    for (uint32_t i = 0; i < n; i++) {
        VKS_TRY(vks_norm_bind(bind, i ? "GroupNorm_1" : "GroupNorm_0", u, &layer->norms[i]));
        VKS_TRY(vks_conv_bind(bind, i ? "Conv_1" : "Conv_0", i ? "Conv_1/bias" : "Conv_0/bias", k, u, u, 1,
                              &layer->convs[i]));
    }
    if (!config->squeeze) return VKSSM_OK;
    VKS_TRY(bind_ones(bind, u, &layer->ones));
    return vks_squeeze_bind(bind, "SEBlock_0", u, &layer->squeeze);
}

vkssm_status vks_conv_s5_bind(vks_bind *bind, const vks_conv_s5_config *config, const char *prefix,
                              vks_conv_s5_layer *layer) {
    vks_bind_prefix(bind, "%sseq/", prefix);
    VKS_TRY(bind_system(bind, config, layer));
    vks_bind_prefix(bind, "%sseq/C_D_conv/", prefix);
    VKS_TRY(bind_cd(bind, config, layer));
    vks_bind_prefix(bind, "%s", prefix);
    return vks_norm_bind(bind, "norm", config->n_channel, &layer->norm);
}

vkssm_status vks_conv_s5_state(const vks_conv_s5_config *config, vks_state_layout *layout) {
    return vks_state_add(layout, 3, (uint32_t[]){config->height * config->width, config->n_state, 2});
}

// ---- recording ------------------------------------------------------------------------------------------------------

// What a layer's recording hands on.
typedef struct call {
    const vks_conv_s5_config *config;
    const vks_conv_s5_layer *layer;
    vks_plan *plan;
    vks_image_size size;
    vks_tensor u, y, residual; // input and output of the recurrence; where the layer's output is added
} call;

static vkssm_status record_layer_norm(const call *c, const vks_norm *norm, vks_tensor x, vks_tensor y) {
    return vks_op_layer_norm(
        &c->plan->target,
        &(vks_layer_norm){.x = x, .weight = norm->weight, .bias = norm->bias, .y = y, .eps = norm_eps});
}

static vkssm_status record_recurrence(const call *c, const vks_piece *piece, uint32_t state) {
    const vks_conv_s5_config *config = c->config;
    vks_plan *plan = c->plan;
    uint64_t mark = vks_plan_mark(plan);
    vks_conv_s5 op = {.u = vks_tensor_images(c->u, config->height, config->width),
                      .a = c->layer->a,
                      .b = c->layer->b,
                      .c = c->layer->c,
                      .state = vks_state_get(&piece->state, state),
                      .y = vks_tensor_images(c->y, config->height, config->width),
                      .n_sequence = piece->n_sequence,
                      .n_time = piece->n_time,
                      .kernel_b = config->kernel_b,
                      .kernel_c = config->kernel_c,
                      .state_dtype = plan->activation_dtype};
    uint64_t n = vks_conv_s5_scratch_size(c->size.n_image, config->height * config->width, config->n_state,
                                          plan->activation_dtype);
    VKS_TRY(vks_plan_floats(plan, n, &op.scratch));
    VKS_TRY(vks_op_conv_s5(&plan->target, &op));
    vks_plan_release(plan, mark);
    return VKSSM_OK;
}

// residual += gelu(y + squeezed x), or gelu(squeezed x) in place of the sum.
static vkssm_status record_squeezed(const call *c, vks_tensor x, bool add_y) {
    vks_activation op = {.x = x, .y = c->residual, .accumulate = true, .act = add_y ? VKS_ACT_GELU_TANH : VKS_ACT_NONE};
    VKS_TRY(vks_squeeze_record(&c->layer->squeeze, c->plan, c->size, x, x));
    if (add_y) {
        op.skip = c->y;
        op.d = c->layer->ones;
    }
    return vks_op_activation(&c->plan->target, &op);
}

static vkssm_status record_resnet(const call *c) {
    const vks_conv_s5_layer *layer = c->layer;
    vks_plan *plan = c->plan;
    uint32_t n_row = c->y.shape[0], n_channel = c->y.shape[1];
    vks_tensor normed, inner, outer;
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, n_channel, &normed));
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, n_channel, &inner));
    VKS_TRY(vks_norm_record(&layer->norms[0], plan, c->size, c->y, VKS_ACT_GELU_TANH, normed));
    VKS_TRY(vks_conv_record(&layer->convs[0], plan, &(vks_conv_call){.size = c->size, .x = normed, .y = inner}));
    VKS_TRY(vks_norm_record(&layer->norms[1], plan, c->size, inner, VKS_ACT_GELU_TANH, inner));
    if (!c->config->squeeze)
        return vks_conv_record(&layer->convs[1], plan,
                               &(vks_conv_call){.size = c->size,
                                                .x = inner,
                                                .added = c->y,
                                                .y = c->residual,
                                                .act = VKS_ACT_GELU_TANH,
                                                .accumulate = true});
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_row, n_channel, &outer));
    VKS_TRY(vks_conv_record(&layer->convs[1], plan, &(vks_conv_call){.size = c->size, .x = inner, .y = outer}));
    return record_squeezed(c, outer, true);
}

static vkssm_status record_standard(const call *c) {
    const vks_conv_s5_layer *layer = c->layer;
    vks_tensor normed;
    VKS_TRY(vks_plan_rows(c->plan, VKSSM_DTYPE_F32, c->y.shape[0], c->y.shape[1], &normed));
    VKS_TRY(vks_conv_record(&layer->convs[0], c->plan,
                            &(vks_conv_call){.size = c->size, .x = c->u, .y = c->y, .accumulate = true}));
    VKS_TRY(vks_norm_record(&layer->norms[0], c->plan, c->size, c->y, VKS_ACT_GELU_TANH, normed));
    if (c->config->squeeze) return record_squeezed(c, normed, false);
    return vks_op_activation(&c->plan->target, &(vks_activation){.x = normed, .y = c->residual, .accumulate = true});
}

static vkssm_status record_half_glu(const call *c) {
    vks_plan *plan = c->plan;
    vks_tensor g, gate;
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, c->y.shape[0], c->y.shape[1], &g));
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, c->y.shape[0], c->y.shape[1], &gate));
    VKS_TRY(record_layer_norm(c, &c->layer->norms[0], c->y, c->y));
    VKS_TRY(vks_op_activation(&plan->target, &(vks_activation){.x = c->y, .y = g, .act = VKS_ACT_GELU_TANH}));
    VKS_TRY(vks_conv_record(&c->layer->convs[0], plan, &(vks_conv_call){.size = c->size, .x = g, .y = gate}));
    return vks_op_activation(&plan->target,
                             &(vks_activation){.x = g, .gate = gate, .y = c->residual, .accumulate = true});
}

static vkssm_status record_cd(const call *c) {
    switch (c->config->cd) {
    case VKS_CD_RESNET:
        return record_resnet(c);
    case VKS_CD_STANDARD:
        return record_standard(c);
    case VKS_CD_HALF_GLU:
        return record_half_glu(c);
    default:
        return vks_op_activation(&c->plan->target, &(vks_activation){.x = c->y, .y = c->residual, .accumulate = true});
    }
}

vkssm_status vks_conv_s5_record(const vks_conv_s5_config *config, const vks_conv_s5_layer *layer, vks_plan *plan,
                                const vks_piece *piece, uint32_t state, vks_tensor residual) {
    uint64_t mark = vks_plan_mark(plan);
    call c = {.config = config,
              .layer = layer,
              .plan = plan,
              .size = {piece->n_sequence * piece->n_time, config->height, config->width},
              .u = residual,
              .residual = residual};
    uint32_t n_row = residual.shape[0];
    if (config->prenorm || plan->activation_dtype != VKSSM_DTYPE_F32) {
        VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, config->n_channel, &c.u));
        if (config->prenorm)
            VKS_TRY(record_layer_norm(&c, &layer->norm, residual, c.u));
        else
            VKS_TRY(vks_op_activation(&plan->target, &(vks_activation){.x = residual, .y = c.u}));
    }
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_row, config->n_channel, &c.y));
    VKS_TRY(record_recurrence(&c, piece, state));
    VKS_TRY(record_cd(&c));
    if (!config->prenorm) VKS_TRY(record_layer_norm(&c, &layer->norm, residual, residual));
    vks_plan_release(plan, mark);
    return VKSSM_OK;
}

#include "diagonal_ssm.h"

#include <math.h>

#include "host/base/alloc.h"
#include "host/base/status.h"

// ---- parameters to a discrete system --------------------------------------------------------------------------------

// What is uploaded, and the parameters of the file that it stands for. All arrays are from vks_alloc.
typedef struct discrete {
    float *a, *b, *c; // as in vks_diagonal_ssm
    uint64_t n_parameter_a, n_parameter_b, n_parameter_c;
} discrete;

// A parameter as float32 values; NULL until found.
typedef struct parameter {
    const char *name;
    uint32_t n_dim;
    uint64_t shape[3];
    float *values;
} parameter;

static void free_parameters(parameter *parameters, size_t n) {
    for (size_t i = 0; i < n; i++)
        vks_free(parameters[i].values);
}

static vkssm_status find_parameters(const vks_bind *bind, parameter *parameters, size_t n) {
    for (size_t i = 0; i < n; i++)
        VKS_TRY(
            vks_bind_values(bind, parameters[i].name, parameters[i].n_dim, parameters[i].shape, &parameters[i].values));
    return VKSSM_OK;
}

static vkssm_status create_discrete(const vks_bind *bind, const vks_diagonal_config *config, discrete *s) {
    size_t p = config->n_state, h = config->n_channel, n_direction = config->bidirectional ? 2 : 1;
    s->a = vks_alloc_zero(2 * p, sizeof *s->a);
    s->b = vks_alloc_zero(2 * p * h, sizeof *s->b);
    s->c = vks_alloc_zero(2 * p * h * n_direction, sizeof *s->c);
    if (s->a && s->b && s->c) return VKSSM_OK;
    return vks_fail(bind->log, VKSSM_ERR_OOM_HOST, "%s: %s: out of memory for %u states",
                    vks_weights_path(bind->weights), bind->prefix, config->n_state);
}

typedef struct complex_pair {
    double re, im;
} complex_pair;

static complex_pair multiply(complex_pair x, complex_pair y) {
    return (complex_pair){x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re};
}

static complex_pair divide(complex_pair x, complex_pair y) {
    double square = y.re * y.re + y.im * y.im;
    return (complex_pair){(x.re * y.re + x.im * y.im) / square, (x.im * y.re - x.re * y.im) / square};
}

// exp(x) - 1, without cancellation near 0.
static complex_pair exp_minus_1(complex_pair x) {
    double sine = sin(x.im / 2);
    return (complex_pair){expm1(x.re) * cos(x.im) - 2 * sine * sine, exp(x.re) * sin(x.im)};
}

// The decay of a step of length dt, and the factor that B gets (Smith et al. 2023, section 2.2; Gu et al. 2022 the
// same).
static void discretise(complex_pair lambda, double dt, bool bilinear, complex_pair *a, complex_pair *factor) {
    complex_pair z = {lambda.re * dt, lambda.im * dt};
    if (bilinear) {
        complex_pair below = {1 - z.re / 2, -z.im / 2};
        *a = divide((complex_pair){1 + z.re / 2, z.im / 2}, below);
        *factor = divide((complex_pair){dt, 0}, below);
        return;
    }
    complex_pair growth = exp_minus_1(z);
    *a = (complex_pair){exp(z.re) * cos(z.im), exp(z.re) * sin(z.im)};
    *factor = z.re == 0 && z.im == 0 ? (complex_pair){dt, 0} // the limit
                                     : divide((complex_pair){growth.re * dt, growth.im * dt}, z);
}

static void set_a(discrete *s, size_t p, complex_pair a) {
    s->a[2 * p] = (float)a.re;
    s->a[2 * p + 1] = (float)a.im;
}

static void set_b(discrete *s, size_t n_channel, size_t p, size_t h, complex_pair b) {
    s->b[2 * p * n_channel + h] = (float)b.re;
    s->b[(2 * p + 1) * n_channel + h] = (float)b.im;
}

// y = scale Re(c x) = scale (c.re x.re - c.im x.im). n_column: states of all directions.
static void set_c(discrete *s, size_t n_column, size_t h, size_t p, complex_pair c, double scale) {
    s->c[2 * (h * n_column + p)] = (float)(scale * c.re);
    s->c[2 * (h * n_column + p) + 1] = (float)(-scale * c.im);
}

// ---- S5 -------------------------------------------------------------------------------------------------------------

static void discretise_s5(const vks_diagonal_config *config, const parameter *q, discrete *s) {
    size_t n_state = config->n_state, n_channel = config->n_channel;
    for (size_t p = 0; p < n_state; p++) {
        complex_pair lambda = {q[0].values[p], q[1].values[p]}, a, factor;
        if (config->clip_eigs && lambda.re > -1e-4) lambda.re = -1e-4;
        discretise(lambda, config->step_rescale * exp(q[2].values[p]), config->bilinear, &a, &factor);
        set_a(s, p, a);
        for (size_t h = 0; h < n_channel; h++) {
            const float *b = &q[3].values[2 * (p * n_channel + h)];
            set_b(s, n_channel, p, h, multiply(factor, (complex_pair){b[0], b[1]}));
        }
    }
}

// C of `n_state` states from column `first` on.
static void output_s5(const vks_diagonal_config *config, const parameter *q, size_t first, size_t n_column,
                      discrete *s) {
    size_t n_state = q->shape[1];
    for (size_t h = 0; h < config->n_channel; h++)
        for (size_t p = 0; p < n_state; p++) {
            const float *c = &q->values[2 * (h * n_state + p)];
            set_c(s, n_column, h, first + p, (complex_pair){c[0], c[1]}, config->conj_sym ? 2 : 1);
        }
}

static vkssm_status build_s5(const vks_bind *bind, const vks_diagonal_config *config, discrete *s) {
    uint64_t n_state = config->n_state, n_channel = config->n_channel;
    parameter q[] = {
        {"Lambda_re", 1, {n_state}, NULL},       {"Lambda_im", 1, {n_state}, NULL},
        {"log_step", 2, {n_state, 1}, NULL},     {"B", 3, {n_state, n_channel, 2}, NULL},
        {"C", 3, {n_channel, n_state, 2}, NULL}, {"C2", 3, {n_channel, n_state, 2}, NULL},
    };
    size_t n = VKS_COUNT(q) - 1, n_column = n_state;
    if (config->bidirectional) {
        n_column = 2 * n_state;
        // Two matrices, or one of twice the states where C was drawn from a normal distribution.
        if (vks_bind_has(bind, "C"))
            q[4].shape[1] = 2 * n_state;
        else
            q[4].name = "C1", n++;
    }
    vkssm_status status;
    VKS_TRY_GOTO(find_parameters(bind, q, n), done);
    VKS_TRY_GOTO(create_discrete(bind, config, s), done);
    discretise_s5(config, q, s);
    output_s5(config, &q[4], 0, n_column, s);
    if (n > 5) output_s5(config, &q[5], n_state, n_column, s);
    s->n_parameter_a = 3 * n_state;
    s->n_parameter_b = 2 * n_state * n_channel;
    s->n_parameter_c = 2 * n_column * n_channel;
done:
    free_parameters(q, VKS_COUNT(q));
    return status;
}

// ---- LRU ------------------------------------------------------------------------------------------------------------

static vkssm_status build_lru(const vks_bind *bind, const vks_diagonal_config *config, discrete *s) {
    uint64_t n_state = config->n_state, n_channel = config->n_channel;
    parameter q[] = {
        {"nu_log", 1, {n_state}, NULL},          {"theta_log", 1, {n_state}, NULL},
        {"gamma_log", 1, {n_state}, NULL},       {"B_re", 2, {n_state, n_channel}, NULL},
        {"B_im", 2, {n_state, n_channel}, NULL}, {"C_re", 2, {n_channel, n_state}, NULL},
        {"C_im", 2, {n_channel, n_state}, NULL},
    };
    vkssm_status status;
    VKS_TRY_GOTO(find_parameters(bind, q, VKS_COUNT(q)), done);
    VKS_TRY_GOTO(create_discrete(bind, config, s), done);
    for (size_t p = 0; p < n_state; p++) {
        double size = exp(-exp(q[0].values[p])), phase = exp(q[1].values[p]), gamma = exp(q[2].values[p]);
        set_a(s, p, (complex_pair){size * cos(phase), size * sin(phase)});
        for (size_t h = 0; h < n_channel; h++) {
            size_t i = p * n_channel + h, j = h * n_state + p;
            set_b(s, n_channel, p, h, (complex_pair){gamma * q[3].values[i], gamma * q[4].values[i]});
            set_c(s, n_state, h, p, (complex_pair){q[5].values[j], q[6].values[j]}, 1);
        }
    }
    s->n_parameter_a = 3 * n_state;
    s->n_parameter_b = s->n_parameter_c = 2 * n_state * n_channel;
done:
    free_parameters(q, VKS_COUNT(q));
    return status;
}

// ---- S4D ------------------------------------------------------------------------------------------------------------

// B is 1, states belong to one channel each and stand for conjugate pairs.
static vkssm_status build_s4d(const vks_bind *bind, const vks_diagonal_config *config, discrete *s) {
    uint64_t n_state = config->n_state, n_channel = config->n_channel, n_own = n_state / n_channel;
    parameter q[] = {
        {"kernel.log_dt", 1, {n_channel}, NULL},
        {"kernel.log_A_real", 2, {n_channel, n_own}, NULL},
        {"kernel.A_imag", 2, {n_channel, n_own}, NULL},
        {"kernel.C", 3, {n_channel, n_own, 2}, NULL},
    };
    vkssm_status status;
    VKS_TRY_GOTO(find_parameters(bind, q, VKS_COUNT(q)), done);
    VKS_TRY_GOTO(create_discrete(bind, config, s), done);
    for (size_t p = 0; p < n_state; p++) {
        size_t h = p / n_own;
        complex_pair lambda = {-exp(q[1].values[p]), q[2].values[p]}, a, factor;
        discretise(lambda, exp(q[0].values[h]), false, &a, &factor);
        set_a(s, p, a);
        set_b(s, n_channel, p, h, factor);
        set_c(s, n_state, h, p, (complex_pair){q[3].values[2 * p], q[3].values[2 * p + 1]}, 2);
    }
    s->n_parameter_a = n_channel + 2 * n_state;
    s->n_parameter_c = 2 * n_state;
done:
    free_parameters(q, VKS_COUNT(q));
    return status;
}

// ---- binding and state ----------------------------------------------------------------------------------------------

vkssm_status vks_diagonal_bind(const vks_bind *bind, const vks_diagonal_config *config, vks_diagonal_ssm *ssm) {
    uint32_t p = config->n_state, h = config->n_channel;
    discrete s = {0};
    vkssm_status status;
    switch (config->kind) {
    case VKS_DIAGONAL_S5:
        status = build_s5(bind, config, &s);
        break;
    case VKS_DIAGONAL_LRU:
        status = build_lru(bind, config, &s);
        break;
    default:
        status = build_s4d(bind, config, &s);
    }
    if (status != VKSSM_OK) goto fail;
    float *values = s.a; // taken over by the binder, whatever it returns
    s.a = NULL;
    VKS_TRY_GOTO(vks_bind_computed_array(bind->binder, "a", values, s.n_parameter_a, 2, (uint32_t[]){p, 2}, &ssm->a),
                 fail);
    values = s.b;
    s.b = NULL;
    VKS_TRY_GOTO(vks_bind_computed_matrix(bind->binder, "B", values, s.n_parameter_b, 2 * p, h, &ssm->b), fail);
    values = s.c;
    s.c = NULL;
    VKS_TRY_GOTO(vks_bind_computed_matrix(bind->binder, "C", values, s.n_parameter_c, h,
                                          (config->bidirectional ? 4 : 2) * p, &ssm->c),
                 fail);
    return vks_bind_named_vector(bind, "D", h, &ssm->d);
fail:
    vks_free(s.a);
    vks_free(s.b);
    vks_free(s.c);
    return status;
}

vkssm_status vks_diagonal_state(const vks_diagonal_config *config, vks_state_layout *layout) {
    if (config->bidirectional) return VKSSM_OK;
    return vks_state_add(layout, 2, (uint32_t[]){config->n_state, 2});
}

// ---- recording ------------------------------------------------------------------------------------------------------

// Columns begin ... begin+2P-1 of rows [B T, .] as [B, T, P, 2].
static vks_tensor states(vks_tensor rows, const vks_diagonal_call *call, uint32_t begin, uint32_t n_state) {
    uint64_t stride = rows.stride[0];
    vks_tensor columns = vks_tensor_slice(rows, 1, begin, 2 * n_state);
    return (vks_tensor){
        .address = columns.address,
        .dtype = rows.dtype,
        .n_dim = 4,
        .shape = {call->n_sequence, call->n_time, n_state, 2},
        .stride = {call->n_time * stride, stride, 2, 1},
    };
}

static vkssm_status record_recurrence(vks_plan *plan, vks_tensor a, vks_tensor b, vks_tensor state, bool reverse,
                                      vks_tensor x) {
    uint64_t mark = vks_plan_mark(plan);
    vks_scan scan = {.a = a, .b = b, .h = x, .initial = state, .last = state, .is_complex = true, .reverse = reverse};
    VKS_TRY(vks_plan_floats(plan, vks_scan_scratch_size(plan->target.kernels, &scan), &scan.scratch));
    VKS_TRY(vks_op_scan(&plan->target, &scan));
    vks_plan_release(plan, mark);
    return VKSSM_OK;
}

vkssm_status vks_diagonal_record(const vks_diagonal_config *config, const vks_diagonal_ssm *ssm, vks_plan *plan,
                                 const vks_diagonal_call *call) {
    uint32_t n_state = config->n_state, n_row = call->n_sequence * call->n_time;
    uint64_t mark = vks_plan_mark(plan);
    vks_tensor driven, x;
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_row, 2 * n_state, &driven));
    x = driven;
    if (config->bidirectional) VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_row, 4 * n_state, &x));
    VKS_TRY(vks_op_matmul(&plan->target, &(vks_matmul){.x = call->u, .w = ssm->b, .y = driven}));

    vks_tensor none = {0}, b = states(driven, call, 0, n_state);
    vks_tensor state = config->bidirectional ? none : vks_state_get(&call->state, call->first_state);
    VKS_TRY(record_recurrence(plan, ssm->a, b, state, false, states(x, call, 0, n_state)));
    if (config->bidirectional)
        VKS_TRY(record_recurrence(plan, ssm->a, b, none, true, states(x, call, 2 * n_state, n_state)));
    VKS_TRY(vks_op_matmul(&plan->target, &(vks_matmul){.x = x, .w = ssm->c, .y = call->y}));
    vks_plan_release(plan, mark);
    return VKSSM_OK;
}

// conv_s5_system against its twin.
#include <math.h>

#include "op_test.h"

#define F32 VKSSM_DTYPE_F32

typedef struct system_case {
    uint32_t p, u, n_b, n_c;
    vkssm_dtype type;
    bool clip;
} system_case;

static const system_case cases[] = {
    {4, 1, 1, 1, F32, false},
    {12, 9, 9, 25, F32, true},
    {8, 17, 9, 9, VKSSM_DTYPE_F16, false},
    {20, 16, 1, 9, VKSSM_DTYPE_BF16, true},
};

// Roundings of a product of a complex factor with B: the factor's own, some two of each elementary function and one of
// each operation. Reached: see VKSSM_TEST_VERBOSE.
static const double roundings = 8;

// Rates from almost none to far decayed, on both sides of the real axis; a state in 5 does not decay, one in 7 hardly
// turns.
static void make_rates(uint64_t *seed, uint32_t n, float *lambda, float *log_step) {
    for (uint32_t p = 0; p < n; p++) {
        lambda[2 * p] = p % 5 == 3 ? 0 : -expf(check_uniform(seed, -14, 5));
        lambda[2 * p + 1] = p % 7 == 2 ? 0 : check_uniform(seed, -1, 1) * expf(check_uniform(seed, -9, 7));
        log_step[p] = check_uniform(seed, -9, 0);
    }
}

static void run_one(gpu *g, const system_case *c, uint64_t seed) {
    uint32_t padded = (uint32_t)vks_align_up(c->u, 8);
    size_t n_b = (size_t)c->p * c->u * c->n_b * 2, n_c = (size_t)c->n_c * c->p * c->u * 2;
    float *lambda = gpu_alloc(2 * c->p, sizeof *lambda), *log_step = gpu_alloc(c->p, sizeof *log_step);
    float *b = gpu_random(&seed, n_b, -1, 1), *w = gpu_random(&seed, n_c, -1, 1);
    make_rates(&seed, c->p, lambda, log_step);
    char label[64];
    snprintf(label, sizeof label, "p%u u%u taps %u %u %s", c->p, c->u, c->n_b, c->n_c, vkssm_dtype_name(c->type));
    g->label = label;
    gpu_begin(g);
    vks_tensor b_in = gpu_rows(g, GPU_IN, F32, 1, (uint32_t)n_b, 0, b),
               c_in = gpu_rows(g, GPU_IN, F32, 1, (uint32_t)n_c, 0, w);
    const vks_conv_s5_system op = {
        .lambda = gpu_rows(g, GPU_IN, F32, c->p, 2, 0, lambda),
        .log_step = gpu_vector(g, log_step, c->p),
        .b = vks_tensor_dense(b_in.address, F32, GPU_SHAPE(c->p, c->u, c->n_b, 2)),
        .c = vks_tensor_dense(c_in.address, F32, GPU_SHAPE(c->n_c, c->p, c->u, 2)),
        .a = gpu_rows(g, GPU_OUT, F32, c->p, 2, 0, NULL),
        .b_out = gpu_rows(g, GPU_OUT, c->type, 2 * c->p, c->n_b * padded, 0, NULL),
        .c_out = gpu_rows(g, GPU_OUT, c->type, c->u, 2 * c->n_c * c->p, 0, NULL),
        .clip_eigs = c->clip,
    };
    CHECK_OK(vks_op_conv_s5_system(&g->target, &op));
    CHECK(gpu_run(g));
    size_t n_b_out = 2 * (size_t)c->p * c->n_b * padded;
    double *all = gpu_alloc(4 * c->p + 2 * n_b + 2 * n_b_out + 2 * n_c, sizeof *all), *a = all, *a_scale = a + 2 * c->p;
    double *b_out = a_scale + 2 * c->p, *b_scale = b_out + n_b, *wide = b_scale + n_b, *wide_scale = wide + n_b_out;
    double *c_out = wide_scale + n_b_out, *c_scale = c_out + n_c;
    ref_conv_s5_system(&(ref_conv_s5_system_args){.n_state = c->p,
                                                  .n_channel = c->u,
                                                  .n_b = c->n_b,
                                                  .n_c = c->n_c,
                                                  .lambda = lambda,
                                                  .log_step = log_step,
                                                  .b = b,
                                                  .c = w,
                                                  .clip_eigs = c->clip,
                                                  .a = a,
                                                  .a_scale = a_scale,
                                                  .b_out = b_out,
                                                  .b_out_scale = b_scale,
                                                  .c_out = c_out,
                                                  .c_out_scale = c_scale});
    for (size_t row = 0; row < 2 * (size_t)c->p * c->n_b; row++) // zero from U on
        for (size_t u = 0; u < padded; u++) {
            wide[row * padded + u] = u < c->u ? b_out[row * c->u + u] : 0;
            wide_scale[row * padded + u] = u < c->u ? b_scale[row * c->u + u] : 0;
        }
    check_twin(g, label, &op.a, a, a_scale, roundings);
    check_twin(g, "  B", &op.b_out, wide, wide_scale, roundings);
    check_twin(g, "  C", &op.c_out, c_out, c_scale, roundings);
    float *floats[] = {lambda, log_step, b, w};
    for (size_t i = 0; i < VKS_COUNT(floats); i++)
        vks_free(floats[i]);
    vks_free(all);
}

static void run_cases(gpu *g) {
    for (size_t i = 0; i < VKS_COUNT(cases); i++)
        run_one(g, &cases[i], i + 1);
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
CHECK_CASE(masked) {
    run_masked(run_cases);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_conv_s5_system good = {
        .lambda = vks_tensor_dense(somewhere, F32, GPU_SHAPE(4, 2)),
        .log_step = vks_tensor_dense(somewhere, F32, GPU_SHAPE(4)),
        .b = vks_tensor_dense(somewhere, F32, GPU_SHAPE(4, 9, 9, 2)),
        .c = vks_tensor_dense(somewhere, F32, GPU_SHAPE(25, 4, 9, 2)),
        .a = vks_tensor_dense(1 << 20, F32, GPU_SHAPE(4, 2)),
        .b_out = vks_tensor_dense(2 << 20, F32, GPU_SHAPE(8, 144)),
        .c_out = vks_tensor_dense(3 << 20, F32, GPU_SHAPE(9, 200)),
    };
    CHECK_OK(vks_op_conv_s5_system(&target, &good));
    vks_conv_s5_system bad = good;
    bad.log_step.shape[0] = 5;
    CHECK_REFUSED(vks_op_conv_s5_system(&target, &bad), "conv_s5_system: log_step: shape [4] expected, [5] found");
    bad = good;
    bad.b.shape[3] = 1;
    CHECK_REFUSED(vks_op_conv_s5_system(&target, &bad), "conv_s5_system: b: shape [4, 9, 9, 2] expected");
    bad = good;
    bad.b_out.shape[1] = 81;
    CHECK_REFUSED(vks_op_conv_s5_system(&target, &bad), "conv_s5_system: b_out: shape [8, 144] expected");
    bad = good;
    bad.c.dtype = VKSSM_DTYPE_F16;
    CHECK_REFUSED(vks_op_conv_s5_system(&target, &bad), "conv_s5_system: c");
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv, (check_case[]){CHECK_RUN(selected), CHECK_RUN(masked), CHECK_RUN(refuses), {0}});
}

// activation against its twin: every function, with and without skip, gate and accumulation.
#include "op_test.h"

#include <math.h>

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

enum { SKIP = 1, GATE = 2, ADD = 4, SPAN = 10 }; // SPAN: the gate has a row for every 5 of x

typedef struct activation_case {
    uint32_t n_row, n_channel;
    vkssm_dtype x, skip, y;
    vks_act act;
    int with;
    float magnitude;
} activation_case;

// An invocation takes a pair of channels, a workgroup 128.
static const activation_case cases[] = {
    {1, 1, F32, F32, F32, VKS_ACT_NONE, 0, 1},
    {3, 2, F32, F32, F32, VKS_ACT_GELU_TANH, SKIP, 2},
    {2, 63, F32, F32, F32, VKS_ACT_GELU_ERF, 0, 6},
    {5, 127, F32, F32, F32, VKS_ACT_NONE, GATE | ADD, 4},
    {4, 128, F16, F32, F32, VKS_ACT_NONE, SKIP | GATE | ADD, 3},
    {7, 129, F16, F16, F16, VKS_ACT_GELU_TANH, SKIP, 3},
    {2, 130, BF16, BF16, BF16, VKS_ACT_GELU_ERF, SKIP | GATE, 3},
    {3, 255, BF16, F32, F32, VKS_ACT_GELU_TANH, SKIP | ADD, 8},
    {2, 512, F32, F16, F16, VKS_ACT_GELU_TANH, SKIP | GATE, 1},
    {1, 4096, F32, F32, F32, VKS_ACT_GELU_ERF, 0, 12},
    {9, 100, F32, F32, BF16, VKS_ACT_NONE, 0, 1e30f},
    {12, 33, F32, F32, F32, VKS_ACT_ELU, SKIP, 3},
    {6, 31, F32, F32, F16, VKS_ACT_TANH, GATE, 5},
    {10, 64, F32, F32, F32, VKS_ACT_RELU, SPAN | ADD, 2},
    {15, 66, F16, F32, F16, VKS_ACT_NONE, SPAN, 2},
};

// Relative to |x| + |d skip| (times the gate) plus what y held: sums and products 4; a GELU has an exponential whose
// argument u is off by a few of its own roundings and whose precision is 3 + 2 |u| units (Vulkan, "Precision and
// operation of SPIR-V instructions"), but (3 + 4 |u|) exp(-|u|) is at most 3; its division and products 6; the sigmoid
// likewise 6. The tail of gelu_erf is a polynomial of 1 rounding of relative error, evaluated with 3. Reached: 6.
static const double roundings = 16;

static void record(gpu *g, const void *one, uint64_t seed, op_job *j) {
    const activation_case *c = one;
    static const char *const names[] = {"none", "gelu tanh", "gelu erf", "elu", "tanh", "relu"};
    snprintf(j->label, sizeof j->label, "t%u d%u %s %s = %s %s%s%s%s", c->n_row, c->n_channel, vkssm_dtype_name(c->x),
             vkssm_dtype_name(c->skip), vkssm_dtype_name(c->y), names[c->act], c->with & SKIP ? " skip" : "",
             c->with & GATE ? " gate" : "", c->with & ADD ? " add" : "");
    g->label = j->label;
    size_t n = (size_t)c->n_row * c->n_channel;
    uint64_t pad = seed % 3, stride = vks_align_up(c->n_channel + pad, 2);
    float *x = gpu_random(&seed, n, -c->magnitude, c->magnitude),
          *skip = gpu_random(&seed, n, -c->magnitude, c->magnitude), *gate = gpu_random(&seed, n, -8, 8),
          *added = gpu_random(&seed, n, -1, 1), *d = gpu_random(&seed, c->n_channel, -1, 1);
    vks_activation op = {
        .x = gpu_rows(g, GPU_IN, c->x, c->n_row, c->n_channel, stride, x),
        .act = c->act,
        .accumulate = c->with & ADD,
    };
    if (c->with & SKIP) {
        op.skip = gpu_rows(g, GPU_IN, c->skip, c->n_row, c->n_channel, stride + 2, skip);
        op.d = gpu_vector(g, d, c->n_channel);
    }
    uint32_t span = (c->with & SPAN) == SPAN ? 5 : 1;
    if (c->with & GATE) op.gate = gpu_rows(g, GPU_IN, c->x, c->n_row / span, c->n_channel, stride + 4, gate);
    op.y = gpu_rows(g, c->with & ADD ? GPU_IN_OUT : GPU_OUT, c->y, c->n_row, c->n_channel, stride,
                    c->with & ADD ? added : NULL);
    CHECK_OK(vks_op_activation(&g->target, &op));
    op_expect(j, op.y, n);
    ref_activation(&(ref_activation_args){.n_row = c->n_row,
                                          .n_channel = c->n_channel,
                                          .x = x,
                                          .skip = c->with & SKIP ? skip : NULL,
                                          .gate = c->with & GATE ? gate : NULL,
                                          .gate_span = span,
                                          .d = d,
                                          .added = c->with & ADD ? added : NULL,
                                          .act = (ref_act)c->act,
                                          .y = j->wanted,
                                          .scale = j->scale});
    vks_free(x);
    vks_free(skip);
    vks_free(gate);
    vks_free(added);
    vks_free(d);
}

static void run_cases(gpu *g) {
    RUN_AGAINST_TWIN(g, cases, record, roundings);
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
// More workgroups than a dispatch may have in one dimension. Which variant they run makes no difference to that.
CHECK_CASE(many_rows) {
    static const activation_case many[] = {{70000, 2, F32, F32, F32, VKS_ACT_GELU_TANH, 0, 9}};
    RUN_AGAINST_TWIN(gpu_open(0), many, record, roundings);
}
CHECK_CASE(variants) {
    run_variants("activation", run_cases);
}
CHECK_CASE(masked) {
    run_masked(run_cases);
}

// Far out a GELU is x or 0, and infinities and NaN do what the limits and IEEE arithmetic say.
CHECK_CASE(extremes) {
    static const float inputs[] = {0, -0.0f, 20, -20, 1e20f, -1e20f, 3e38f, -3e38f, INFINITY, NAN};
    static const float wanted[] = {0, 0, 20, 0, 1e20f, 0, 3e38f, 0, INFINITY, NAN};
    gpu *g = gpu_open(0);
    g->label = "extremes";
    gpu_begin(g);
    float x[VKS_COUNT(inputs)];
    memcpy(x, inputs, sizeof x);
    vks_activation op = {.x = gpu_rows(g, GPU_IN, F32, 1, VKS_COUNT(x), 0, x)};
    vks_tensor y[2];
    for (int i = 0; i < 2; i++) {
        op.act = i ? VKS_ACT_GELU_ERF : VKS_ACT_GELU_TANH;
        op.y = y[i] = gpu_rows(g, GPU_OUT, F32, 1, VKS_COUNT(x), 0, NULL);
        CHECK_OK(vks_op_activation(&g->target, &op));
    }
    CHECK(gpu_run(g));
    for (int i = 0; i < 2; i++) {
        double found[VKS_COUNT(x)];
        gpu_read(g, &y[i], found);
        for (size_t k = 0; k < VKS_COUNT(x); k++) {
            bool same = isnan(wanted[k]) ? isnan(found[k]) : found[k] == (double)wanted[k];
            check_n_checked++;
            if (!same)
                CHECK_FAIL("gelu %d of %g is %g, expected %g", i, (double)inputs[k], found[k], (double)wanted[k]);
        }
    }
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_activation good = {
        .x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 6)),
        .skip = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 6)),
        .d = vks_tensor_dense(somewhere, F32, GPU_SHAPE(6)),
        .gate = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 6)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 6)),
    };
    CHECK_OK(vks_op_activation(&target, &good));
    vks_activation bad = good;
    bad.x.shape[1] = 5;
    CHECK_REFUSED(vks_op_activation(&target, &bad), "activation: x: shape [3, 6] expected, [3, 5] found");
    bad = good;
    bad.d.address = 0;
    CHECK_REFUSED(vks_op_activation(&target, &bad), "activation: d: shape [6] expected, there is no tensor");
    bad = good;
    bad.skip.dtype = VKSSM_DTYPE_U8;
    CHECK_REFUSED(vks_op_activation(&target, &bad), "activation: skip: F32, F16 or BF16 expected, U8 found");
    bad = good;
    bad.gate.shape[0] = 2;
    CHECK_REFUSED(vks_op_activation(&target, &bad), "activation: gate: shape [3, 6] expected, [2, 6] found");
    bad = good;
    bad.gate.dtype = F16;
    CHECK_REFUSED(vks_op_activation(&target, &bad), "activation: gate: F32 expected, F16 found");
    bad = good;
    bad.y.dtype = F16;
    bad.accumulate = true;
    CHECK_REFUSED(vks_op_activation(&target, &bad), "activation: y: F32 expected, F16 found");
    bad = good;
    bad.y.dtype = F16;
    bad.y.stride[0] = 7;
    CHECK_REFUSED(vks_op_activation(&target, &bad), "activation: y: a stride of dimension 0 that is a multiple of 2");
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv,
                    (check_case[]){CHECK_RUN(selected),
                                   CHECK_RUN(many_rows),
                                   CHECK_RUN(variants),
                                   CHECK_RUN(masked),
                                   CHECK_RUN(extremes),
                                   CHECK_RUN(refuses),
                                   {0}});
}

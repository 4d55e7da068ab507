// rms_norm against its twin, with and without subgroup arithmetic.
#include "op_test.h"

enum { NONE, RESIDUAL, GATE_BEFORE, GATE_AFTER };

typedef struct rms_norm_case {
    uint32_t n_row, n_channel, n_group;
    vkssm_dtype x, y;
    int with;
    bool no_weight;
    float eps, magnitude; // of x
} rms_norm_case;

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

// Invocations take pairs of channels, workgroups are 64 or (above 1024 channels of a group) 256 wide.
static const rms_norm_case cases[] = {
    {1, 1, 1, F32, F32, NONE, false, 1e-5f, 1},
    {3, 2, 0, F32, F32, RESIDUAL, false, 1e-5f, 1},
    {2, 63, 1, F32, F32, GATE_BEFORE, false, 1e-5f, 3},
    {5, 64, 2, F32, F32, GATE_AFTER, false, 1e-5f, 1},
    {4, 65, 1, F32, F32, NONE, true, 0, 1},
    {7, 129, 3, F32, F32, RESIDUAL, false, 1e-6f, 100},
    {2, 256, 1, F32, F32, RESIDUAL, true, 1e-5f, 1},
    {3, 127, 1, F16, F16, NONE, false, 1e-5f, 1},
    {2, 65, 1, F32, F16, RESIDUAL, false, 1e-5f, 1},
    {9, 256, 8, F16, F16, GATE_BEFORE, false, 1e-5f, 2},
    {2, 1026, 1, BF16, BF16, GATE_AFTER, false, 1e-5f, 1},
    {2, 1024, 1, BF16, F32, GATE_BEFORE, true, 1e-5f, 1},
    {3, 63, 1, F32, BF16, NONE, false, 1e-5f, 1e-4f}, // eps is as large as the mean square
    {2, 2560, 1, F32, F32, NONE, false, 1e-5f, 1},
    {3, 2560, 1, F32, F16, RESIDUAL, false, 1e-5f, 1},
    {2, 5120, 8, F32, F32, GATE_BEFORE, false, 1e-5f, 8},
    {70, 130, 1, F32, F32, GATE_AFTER, true, 1e-5f, 8},
};

// Relative to the result: the squares are positive, so that their sum is off by a few roundings; inversesqrt by 2 units
// in the last place, i.e. up to 4 roundings; weight, scale and product by 3. SiLU is a division (2.5 units, 5
// roundings) by a sum with an exponential, whose precision is 3 + 2 |g| units (Vulkan, "Precision and operation of
// SPIR-V instructions"). Reached: 2.7 without a gate, 5 with one. The kept sum is a single addition.
static double roundings(const rms_norm_case *c) {
    double gate = c->with == GATE_BEFORE || c->with == GATE_AFTER ? 8 + 2 * c->magnitude : 0;
    return (c->no_weight ? 1 : 6) + gate;
}
static const double sum_roundings = 1;

typedef struct job {
    char label[96];
    vks_tensor y, residual;
    double *wanted, *sum, *scale;
} job;

static void record(gpu *g, const rms_norm_case *c, uint64_t seed, job *j) {
    static const char *const names[] = {"", " residual", " gate before", " gate after"};
    snprintf(j->label, sizeof j->label, "t%u d%u g%u %s = %s%s%s", c->n_row, c->n_channel, c->n_group,
             vkssm_dtype_name(c->x), vkssm_dtype_name(c->y), names[c->with], c->no_weight ? " no weight" : "");
    g->label = j->label;
    size_t n = (size_t)c->n_row * c->n_channel;
    bool gate = c->with == GATE_BEFORE || c->with == GATE_AFTER;
    uint64_t pad = seed % 3, y_stride = c->n_channel + pad;
    if (c->y != F32) y_stride = vks_align_up(y_stride, 2);
    float *x = gpu_random(&seed, n, -c->magnitude, c->magnitude),
          *other = gpu_random(&seed, n, -c->magnitude, c->magnitude);
    float *weight = gpu_random(&seed, c->n_channel, 0.5f, 1.5f);
    vks_rms_norm op = {
        .x = gpu_rows(g, GPU_IN, c->x, c->n_row, c->n_channel, vks_align_up(c->n_channel + pad, 2), x),
        .weight = c->no_weight ? (vks_tensor){0} : gpu_vector(g, weight, c->n_channel),
        .y = gpu_rows(g, GPU_OUT, c->y, c->n_row, c->n_channel, y_stride, NULL),
        .n_group = c->n_group,
        .eps = c->eps,
        .gate_after = c->with == GATE_AFTER,
    };
    uint64_t other_stride = vks_align_up(c->n_channel, 2) + 2 * pad;
    if (c->with == RESIDUAL) op.residual = gpu_rows(g, GPU_IN_OUT, F32, c->n_row, c->n_channel, other_stride, other);
    if (gate) op.gate = gpu_rows(g, GPU_IN, c->x, c->n_row, c->n_channel, other_stride, other);
    CHECK_OK(vks_op_rms_norm(&g->target, &op));
    j->y = op.y;
    j->residual = op.residual;
    j->wanted = gpu_alloc(n, sizeof *j->wanted);
    j->sum = gpu_alloc(n, sizeof *j->sum);
    j->scale = gpu_alloc(n, sizeof *j->scale);
    ref_rms_norm(&(ref_rms_norm_args){.n_row = c->n_row,
                                      .n_channel = c->n_channel,
                                      .n_group = c->n_group,
                                      .x = x,
                                      .gate = gate ? other : NULL,
                                      .residual = c->with == RESIDUAL ? other : NULL,
                                      .weight = c->no_weight ? NULL : weight,
                                      .eps = c->eps,
                                      .gate_after = c->with == GATE_AFTER,
                                      .y = j->wanted,
                                      .sum = j->sum,
                                      .scale = j->scale});
    vks_free(x);
    vks_free(other);
    vks_free(weight);
}

static void run_cases(gpu *g) {
    job jobs[VKS_COUNT(cases)];
    gpu_begin(g);
    for (size_t i = 0; i < VKS_COUNT(cases); i++)
        record(g, &cases[i], i, &jobs[i]);
    CHECK(gpu_run(g));
    for (size_t i = 0; i < VKS_COUNT(cases); i++) {
        job *j = &jobs[i];
        check_twin(g, j->label, &j->y, j->wanted, j->scale, roundings(&cases[i]));
        for (size_t e = 0; e < (size_t)cases[i].n_row * cases[i].n_channel; e++)
            j->scale[e] = j->sum[e] < 0 ? -j->sum[e] : j->sum[e];
        if (j->residual.address) check_twin(g, "  kept sum", &j->residual, j->sum, j->scale, sum_roundings);
        vks_free(j->wanted);
        vks_free(j->sum);
        vks_free(j->scale);
    }
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
CHECK_CASE(variants) {
    run_variants("rms_norm", run_cases);
}
CHECK_CASE(masked) {
    run_masked(run_cases);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_rms_norm good = {
        .x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 6)),
        .weight = vks_tensor_dense(somewhere, F32, GPU_SHAPE(6)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 6)),
        .eps = 1e-5f,
    };
    CHECK_OK(vks_op_rms_norm(&target, &good));
    vks_rms_norm bad = good;
    bad.x.shape[0] = 2;
    CHECK_REFUSED(vks_op_rms_norm(&target, &bad), "rms_norm: x: shape [3, 6] expected, [2, 6] found");
    bad = good;
    bad.x.dtype = VKSSM_DTYPE_U8;
    CHECK_REFUSED(vks_op_rms_norm(&target, &bad), "rms_norm: x: F32, F16 or BF16 expected, U8 found");
    bad = good;
    bad.weight.shape[0] = 5;
    CHECK_REFUSED(vks_op_rms_norm(&target, &bad), "rms_norm: weight: shape [6] expected, [5] found");
    bad = good;
    bad.weight.dtype = BF16;
    CHECK_REFUSED(vks_op_rms_norm(&target, &bad), "rms_norm: weight: F32 expected, BF16 found");
    bad = good;
    bad.y.address = 0;
    CHECK_REFUSED(vks_op_rms_norm(&target, &bad), "rms_norm: y: shape [3, 6] expected, there is no tensor");
    bad = good;
    bad.y.dtype = F16;
    bad.y.stride[0] = 7;
    CHECK_REFUSED(vks_op_rms_norm(&target, &bad), "rms_norm: y: a stride of dimension 0 that is a multiple of 2");
    bad = good;
    bad.residual = vks_tensor_dense(somewhere, F16, GPU_SHAPE(3, 6));
    CHECK_REFUSED(vks_op_rms_norm(&target, &bad), "rms_norm: residual: F32 expected, F16 found");
    bad.residual = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 6));
    bad.gate = good.x;
    CHECK_REFUSED(vks_op_rms_norm(&target, &bad), "rms_norm: a gate or a residual expected, both found");
    bad = good;
    bad.gate = vks_tensor_dense(somewhere, F16, GPU_SHAPE(3, 6));
    CHECK_REFUSED(vks_op_rms_norm(&target, &bad), "rms_norm: gate: F32 expected, F16 found");
    bad = good;
    bad.n_group = 4;
    CHECK_REFUSED(vks_op_rms_norm(&target, &bad),
                  "rms_norm: a number of groups that divides 6 channels expected, 4 found");
    bad.n_group = 2;
    bad.y.dtype = F16;
    CHECK_REFUSED(vks_op_rms_norm(&target, &bad), "rms_norm: groups of even size expected for F16, size 3 found");
}

int main(int argc, char **argv) {
    return gpu_main(
        argc, argv,
        (check_case[]){CHECK_RUN(selected), CHECK_RUN(variants), CHECK_RUN(masked), CHECK_RUN(refuses), {0}});
}

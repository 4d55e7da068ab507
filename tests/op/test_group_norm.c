// group_norm against its twin, in place and not.
#include "op_test.h"

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

typedef struct group_norm_case {
    uint32_t n, s, c, groups;
    vkssm_dtype x, y;
    vks_act act;
    bool in_place;
    float offset, magnitude; // x is offset plus or minus magnitude
} group_norm_case;

// Groups of one and of many channels, slices of at least 8 pixels whose last one is smaller, rows that can and cannot
// be read by 4.
static const group_norm_case cases[] = {
    {1, 1, 1, 1, F32, F32, VKS_ACT_NONE, false, 0, 1},
    {2, 3, 6, 2, F32, F32, VKS_ACT_ELU, true, 0, 2},
    {1, 9, 7, 7, F32, F32, VKS_ACT_NONE, false, 3, 1},
    {3, 64, 32, 32, F32, F32, VKS_ACT_ELU, false, 0, 1},
    {2, 255, 64, 32, F32, F16, VKS_ACT_GELU_TANH, false, 0, 5},
    {2, 257, 40, 8, F16, F16, VKS_ACT_GELU_TANH, true, 0, 1},
    {1, 130, 96, 3, BF16, BF16, VKS_ACT_NONE, false, 0, 1},
    {1, 1024, 32, 32, F32, F32, VKS_ACT_NONE, true, 100, 1},
    {5, 7, 66, 33, F32, BF16, VKS_ACT_ELU, false, 0, 1e-3f},
    {4, 1, 32, 32, F32, F32, VKS_ACT_NONE, false, 0, 1},
};

// More pixels for a channel than Mesa's CPU driver lets a loop have rounds, in two passes.
static const group_norm_case large_cases[] = {{1, 33000, 256, 32, F16, F16, VKS_ACT_NONE, false, 0, 1}};

// As test_layer_norm, whose reasons hold; a slice's sums are shorter than a long row's. An activation adds a few.
// Reached: 6.
static const double roundings = 16;

static vks_tensor images(vks_tensor rows, uint32_t n_pixel) {
    return gpu_reshape(rows, 2, 3, (uint32_t[]){rows.shape[0] / n_pixel, n_pixel, rows.shape[1]});
}

static void record(gpu *g, const void *one, uint64_t seed, op_job *j) {
    const group_norm_case *c = one;
    snprintf(j->label, sizeof j->label, "n%u s%u c%u g%u %s = %s act %d%s", c->n, c->s, c->c, c->groups,
             vkssm_dtype_name(c->x), vkssm_dtype_name(c->y), (int)c->act, c->in_place ? " in place" : "");
    g->label = j->label;
    size_t n = (size_t)c->n * c->s * c->c;
    uint64_t stride = vks_align_up(c->c, 8) + (seed % 2 ? 2 : 0);
    float *x = gpu_random(&seed, n, c->offset - c->magnitude, c->offset + c->magnitude);
    float *weight = gpu_random(&seed, c->c, -1.5f, 1.5f), *bias = gpu_random(&seed, c->c, -1, 1);
    vks_tensor rows = gpu_rows(g, c->in_place ? GPU_IN_OUT : GPU_IN, c->x, c->n * c->s, c->c, stride, x);
    j->y = c->in_place ? rows : gpu_rows(g, GPU_OUT, c->y, c->n * c->s, c->c, stride + 2, NULL);
    uint32_t n_scratch = (uint32_t)vks_group_norm_scratch_size(g->target.kernels, c->n, c->s, c->c, c->groups);
    vks_tensor scratch = gpu_rows(g, GPU_OUT, F32, 1, n_scratch, 0, NULL);
    vks_group_norm op = {
        .x = images(rows, c->s),
        .weight = gpu_vector(g, weight, c->c),
        .bias = gpu_vector(g, bias, c->c),
        .y = images(j->y, c->s),
        .scratch = vks_tensor_dense(scratch.address, F32, 1, &n_scratch),
        .n_group = c->groups,
        .eps = 1e-6f,
        .act = c->act,
    };
    CHECK_OK(vks_op_group_norm(&g->target, &op));
    j->wanted = gpu_alloc(n, sizeof *j->wanted);
    j->scale = gpu_alloc(n, sizeof *j->scale);
    ref_group_norm(&(ref_group_norm_args){.n_image = c->n,
                                          .n_pixel = c->s,
                                          .n_channel = c->c,
                                          .n_group = c->groups,
                                          .x = x,
                                          .weight = weight,
                                          .bias = bias,
                                          .eps = op.eps,
                                          .act = (ref_act)c->act,
                                          .y = j->wanted,
                                          .scale = j->scale});
    vks_free(x);
    vks_free(weight);
    vks_free(bias);
}

static void run_cases(gpu *g) {
    RUN_AGAINST_TWIN(g, cases, record, roundings);
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
CHECK_CASE(large) {
    gpu *g = gpu_open(0);
    RUN_AGAINST_TWIN(g, large_cases, record, roundings);
}
CHECK_CASE(masked) { // there is one variant of each kernel, which needs nothing
    run_masked(run_cases);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_group_norm good = {
        .x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(2, 9, 12)),
        .weight = vks_tensor_dense(somewhere, F32, GPU_SHAPE(12)),
        .bias = vks_tensor_dense(somewhere, F32, GPU_SHAPE(12)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(2, 9, 12)),
        .scratch = vks_tensor_dense(somewhere, F32, GPU_SHAPE(4096)),
        .n_group = 4,
    };
    CHECK_OK(vks_op_group_norm(&target, &good));
    vks_group_norm bad = good;
    bad.n_group = 5;
    CHECK_REFUSED(vks_op_group_norm(&target, &bad), "group_norm: groups that divide 12 channels expected, 5 found");
    bad.n_group = 0;
    CHECK_REFUSED(vks_op_group_norm(&target, &bad), "group_norm: groups that divide 12 channels expected, 0 found");
    bad = good;
    bad.x.stride[0] = 120;
    CHECK_REFUSED(vks_op_group_norm(&target, &bad),
                  "group_norm: x: a stride of dimension 0 of 108 expected, 120 found");
    bad = good;
    bad.y.shape[1] = 8;
    CHECK_REFUSED(vks_op_group_norm(&target, &bad), "group_norm: y: shape [2, 9, 12] expected, [2, 8, 12] found");
    bad = good;
    bad.weight.dtype = F16;
    CHECK_REFUSED(vks_op_group_norm(&target, &bad), "group_norm: weight: F32 expected, F16 found");
    bad = good;
    bad.bias.shape[0] = 11;
    CHECK_REFUSED(vks_op_group_norm(&target, &bad), "group_norm: bias: shape [12] expected, [11] found");
    bad = good;
    bad.scratch.shape[0] = 20;
    CHECK_REFUSED(vks_op_group_norm(&target, &bad), "floats expected, 20 found");
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv,
                    (check_case[]){CHECK_RUN(selected), CHECK_RUN(large), CHECK_RUN(masked), CHECK_RUN(refuses), {0}});
}

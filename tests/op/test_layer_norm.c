// layer_norm against its twin, with and without statistics, in place and not.
#include "op_test.h"

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

typedef struct layer_norm_case {
    uint32_t n_row, n_channel;
    vkssm_dtype x, y;
    bool affine, in_place;
    float eps, offset, magnitude; // x is offset plus or minus magnitude
} layer_norm_case;

// Invocations take pairs of channels, workgroups are 64 or (above 1024 channels) 256 wide, or one subgroup.
static const layer_norm_case cases[] = {
    {1, 1, F32, F32, false, false, 1e-5f, 0, 1},     {3, 2, F32, F32, false, true, 1e-6f, 0, 1},
    {2, 63, F32, F32, true, false, 0, 0, 3},         {5, 64, F32, F32, false, false, 0, 2, 1},
    {4, 65, F32, F32, true, true, 1e-5f, 0, 1},      {7, 127, F32, F16, false, false, 1e-6f, 0, 100},
    {3, 128, F16, F16, false, false, 1e-6f, 0, 1},   {2, 129, BF16, BF16, false, false, 1e-6f, 0, 1},
    {9, 255, BF16, F32, true, false, 1e-6f, 0, 2},   {3, 63, F32, BF16, false, false, 1e-5f, 0, 1e-4f},
    {2, 1024, F32, F32, false, true, 1e-6f, 100, 1}, {2, 1026, F16, F32, false, false, 1e-6f, 0, 1},
    {3, 2560, F32, F16, false, false, 1e-6f, -1, 1},
};

// Relative to |w| / deviation (|x| + mean of |x|) + |b|. The mean is a sum in a tree of short chains (4 roundings with
// what follows); the deviation is a mean of squares, a square root and a division (Vulkan: 2.5 units and the root's 2
// inversesqrt units, together up to 8 roundings of a result that is at most the scale); weight, bias and the difference
// 3 more. A row of 2560 channels on one subgroup of 4 has chains of 640 terms, whose roundings are random: 25 times as
// much at most is seen as 4. Reached: 5.
static const double roundings = 12;

static void record(gpu *g, const void *one, uint64_t seed, op_job *j) {
    const layer_norm_case *c = one;
    snprintf(j->label, sizeof j->label, "t%u d%u %s = %s%s%s", c->n_row, c->n_channel, vkssm_dtype_name(c->x),
             vkssm_dtype_name(c->y), c->affine ? " affine" : "", c->in_place ? " in place" : "");
    g->label = j->label;
    size_t n = (size_t)c->n_row * c->n_channel;
    uint64_t pad = seed % 3, stride = vks_align_up(c->n_channel + pad, 2);
    float *x = gpu_random(&seed, n, c->offset - c->magnitude, c->offset + c->magnitude);
    float *weight = gpu_random(&seed, c->n_channel, -1.5f, 1.5f), *bias = gpu_random(&seed, c->n_channel, -1, 1);
    vks_layer_norm op = {
        .x = gpu_rows(g, c->in_place ? GPU_IN_OUT : GPU_IN, c->x, c->n_row, c->n_channel, stride, x),
        .weight = gpu_vector(g, weight, c->n_channel),
        .bias = gpu_vector(g, bias, c->n_channel),
        .eps = c->eps,
        .affine = c->affine,
    };
    op.y = c->in_place ? op.x : gpu_rows(g, GPU_OUT, c->y, c->n_row, c->n_channel, stride + 2, NULL);
    CHECK_OK(vks_op_layer_norm(&g->target, &op));
    op_expect(j, op.y, n);
    ref_layer_norm(&(ref_layer_norm_args){.n_row = c->n_row,
                                          .n_channel = c->n_channel,
                                          .x = x,
                                          .weight = weight,
                                          .bias = bias,
                                          .eps = c->eps,
                                          .affine = c->affine,
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
// More workgroups than a dispatch may have in one dimension. Which variant they run makes no difference to that.
CHECK_CASE(many_rows) {
    static const layer_norm_case many[] = {{70000, 3, F32, F32, false, false, 1e-6f, 0, 1}};
    RUN_AGAINST_TWIN(gpu_open(0), many, record, roundings);
}
CHECK_CASE(variants) {
    run_variants("layer_norm", run_cases);
}
CHECK_CASE(masked) {
    run_masked(run_cases);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_layer_norm good = {
        .x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 6)),
        .weight = vks_tensor_dense(somewhere, F32, GPU_SHAPE(6)),
        .bias = vks_tensor_dense(somewhere, F32, GPU_SHAPE(6)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 6)),
    };
    CHECK_OK(vks_op_layer_norm(&target, &good));
    vks_layer_norm bad = good;
    bad.x.shape[0] = 2;
    CHECK_REFUSED(vks_op_layer_norm(&target, &bad), "layer_norm: x: shape [3, 6] expected, [2, 6] found");
    bad = good;
    bad.x.dtype = VKSSM_DTYPE_I32;
    CHECK_REFUSED(vks_op_layer_norm(&target, &bad), "layer_norm: x: F32, F16 or BF16 expected, I32 found");
    bad = good;
    bad.weight.shape[0] = 5;
    CHECK_REFUSED(vks_op_layer_norm(&target, &bad), "layer_norm: weight: shape [6] expected, [5] found");
    bad = good;
    bad.bias.address = 0;
    CHECK_REFUSED(vks_op_layer_norm(&target, &bad), "layer_norm: bias: shape [6] expected, there is no tensor");
    bad = good;
    bad.bias.dtype = F16;
    CHECK_REFUSED(vks_op_layer_norm(&target, &bad), "layer_norm: bias: F32 expected, F16 found");
    bad = good;
    bad.y.dtype = BF16;
    bad.y.stride[0] = 7;
    CHECK_REFUSED(vks_op_layer_norm(&target, &bad), "layer_norm: y: a stride of dimension 0 that is a multiple of 2");
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv,
                    (check_case[]){CHECK_RUN(selected),
                                   CHECK_RUN(many_rows),
                                   CHECK_RUN(variants),
                                   CHECK_RUN(masked),
                                   CHECK_RUN(refuses),
                                   {0}});
}

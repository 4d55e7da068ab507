// conv2d against its twin, by every algorithm.
#include "op_test.h"

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

enum { BIAS = 1, CHOICE = 3, ADDED = 4, HELD = 8 }; // HELD: accumulate

typedef struct conv2d_case {
    uint32_t n, h, w, c, m, kh, kw, stride;
    vkssm_dtype x, wt, y;
    vks_act act;
    int with;
} conv2d_case;

// Tiles are 8 or 32, 64 or 128 pixels by 32 to 128 outputs; 16 or 32 channels of a tap at a time, in vectors of 4 or 8.
// Odd kernels of either shape, frames smaller than the kernel, strides that meet the last pixel or miss it, images that
// share a tile. Types and options in three sets: each set is another kernel to compile, for every algorithm.
#define PLAIN F32, F32, F32, VKS_ACT_NONE, BIAS
#define HALVES F16, F16, F16, VKS_ACT_GELU_TANH, BIAS | ADDED | HELD
#define BRAIN BF16, BF16, F32, VKS_ACT_ELU, CHOICE
static const conv2d_case cases[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, PLAIN},     {2, 3, 5, 1, 7, 3, 3, 1, PLAIN},       {1, 4, 4, 8, 16, 3, 3, 2, PLAIN},
    {1, 16, 16, 1, 32, 3, 3, 1, PLAIN},  {1, 8, 16, 64, 64, 3, 3, 1, PLAIN},    {2, 2, 2, 17, 65, 7, 7, 1, PLAIN},
    {3, 5, 7, 9, 33, 5, 3, 2, BRAIN},    {5, 8, 8, 16, 31, 1, 3, 1, BRAIN},     {1, 9, 9, 24, 64, 3, 3, 1, HALVES},
    {2, 8, 8, 40, 130, 3, 3, 1, HALVES}, {1, 11, 12, 32, 129, 3, 5, 2, HALVES}, {4, 6, 6, 12, 10, 3, 3, 1, HALVES},
};

// Patches of 16 x 16 pixels, whole ones and parts; kernels whose taps go by threes and others; sums stored as they are.
#define SUMS F16, F16, F32, VKS_ACT_NONE, 0
#define BRAIN_SUMS BF16, BF16, BF16, VKS_ACT_NONE, 0
static const conv2d_case matrix_cases[] = {
    {1, 17, 35, 40, 66, 3, 3, 1, HALVES},     {3, 16, 16, 64, 64, 3, 3, 1, SUMS}, {1, 33, 32, 24, 100, 3, 3, 1, SUMS},
    {2, 16, 16, 64, 64, 3, 3, 1, BRAIN_SUMS}, {1, 5, 40, 16, 24, 1, 1, 1, SUMS},  {1, 6, 18, 8, 40, 5, 5, 1, SUMS},
    {1, 20, 7, 8, 16, 1, 3, 1, BRAIN_SUMS},
};

// As test_matmul: a result may be off by some four deviations of a sum's roundings, about half of one of the scale
// each; an activation adds what test_activation says, relative to 1 or to the argument. Reached: 4.
static const double roundings = 16;

// [m, taps, c] with the channels padded to a multiple of 8.
static vks_tensor place_weights(gpu *g, const conv2d_case *c, float *values) {
    uint32_t n_tap = c->kh * c->kw, padded = (uint32_t)vks_align_up(c->c, 8);
    float *rows = gpu_alloc((size_t)c->m * n_tap * padded, sizeof *rows);
    for (uint32_t i = 0; i < c->m * n_tap; i++)
        memcpy(rows + (size_t)i * padded, values + (size_t)i * c->c, c->c * sizeof *rows);
    vks_tensor tensor = gpu_rows(g, GPU_WEIGHT, c->wt, c->m, n_tap * padded, n_tap * padded + 8, rows);
    for (uint32_t i = 0; i < c->m * n_tap; i++) // as rounded
        memcpy(values + (size_t)i * c->c, rows + (size_t)i * padded, c->c * sizeof *rows);
    vks_free(rows);
    return tensor;
}

static void record(gpu *g, const void *one, uint64_t seed, op_job *j) {
    const conv2d_case *c = one;
    uint32_t oh = vks_div_up(c->h, c->stride), ow = vks_div_up(c->w, c->stride), n_row = c->n * oh * ow, n_choice = 3;
    snprintf(j->label, sizeof j->label, "n%u %ux%u c%u m%u k%ux%u stride %u %s x %s = %s act %d with %d", c->n, c->h,
             c->w, c->c, c->m, c->kh, c->kw, c->stride, vkssm_dtype_name(c->x), vkssm_dtype_name(c->wt),
             vkssm_dtype_name(c->y), (int)c->act, c->with);
    g->label = j->label;
    size_t n_x = (size_t)c->n * c->h * c->w * c->c, n_w = (size_t)c->m * c->kh * c->kw * c->c,
           n_y = (size_t)n_row * c->m;
    uint64_t x_stride = vks_align_up(c->c, 8) + (seed % 2 ? 8 : 0), y_stride = vks_align_up(c->m + seed % 3, 2);
    float *x = gpu_random(&seed, n_x, -1, 1), *w = gpu_random(&seed, n_w, -1, 1);
    float *bias = gpu_random(&seed, (size_t)n_choice * c->m, -1, 1), *added = gpu_random(&seed, n_y, -1, 1);
    float *held = gpu_random(&seed, n_y, -1, 1), *choice = gpu_alloc(c->n, sizeof *choice);
    for (uint32_t i = 0; i < c->n; i++)
        choice[i] = (float)(i % 4) - 1; // -1 is the last row
    bool chosen = (c->with & CHOICE) == CHOICE;
    vks_conv2d op = {
        .x = vks_tensor_images(gpu_rows(g, GPU_IN, c->x, c->n * c->h * c->w, c->c, x_stride, x), c->h, c->w),
        .w = place_weights(g, c, w),
        .kernel_height = c->kh,
        .kernel_width = c->kw,
        .stride = c->stride,
        .act = c->act,
        .accumulate = c->with & HELD,
    };
    if (chosen) {
        op.choice = gpu_vector(g, choice, c->n);
        op.bias = gpu_rows(g, GPU_IN, F32, n_choice, c->m, 0, bias);
    } else if (c->with & BIAS)
        op.bias = gpu_vector(g, bias, c->m);
    if (c->with & ADDED)
        op.added = vks_tensor_images(gpu_rows(g, GPU_IN, seed % 2 ? F32 : c->x, n_row, c->m, c->m + 2, added), oh, ow);
    j->y =
        gpu_rows(g, c->with & HELD ? GPU_IN_OUT : GPU_OUT, c->y, n_row, c->m, y_stride, c->with & HELD ? held : NULL);
    op.y = vks_tensor_images(j->y, oh, ow);
    CHECK_OK(vks_op_conv2d(&g->target, &op));
    j->wanted = gpu_alloc(n_y, sizeof *j->wanted);
    j->scale = gpu_alloc(n_y, sizeof *j->scale);
    ref_conv2d(&(ref_conv2d_args){.n_image = c->n,
                                  .height = c->h,
                                  .width = c->w,
                                  .n_channel = c->c,
                                  .n_out = c->m,
                                  .kernel_height = c->kh,
                                  .kernel_width = c->kw,
                                  .stride = c->stride,
                                  .n_choice = n_choice,
                                  .x = x,
                                  .w = w,
                                  .bias = c->with & BIAS ? bias : NULL,
                                  .choice = chosen ? choice : NULL,
                                  .added = c->with & ADDED ? added : NULL,
                                  .held = c->with & HELD ? held : NULL,
                                  .act = (ref_act)c->act,
                                  .y = j->wanted,
                                  .scale = j->scale});
    float *all[] = {x, w, bias, added, held, choice};
    for (size_t i = 0; i < VKS_COUNT(all); i++)
        vks_free(all[i]);
}

static void run_cases(gpu *g) {
    RUN_AGAINST_TWIN(g, cases, record, roundings);
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
// CPU drivers take seconds to compile each, and no algorithm but the one selected there depends on the subgroup's size:
// one of these devices tries them all.
CHECK_CASE(variants) {
    const vks_caps *caps = gpu_open(0)->caps;
    if (caps->type == VKS_DEVICE_CPU && caps->subgroup_size != 8) CHECK_SKIP("tested on lavapipe with subgroups of 8");
    run_variants("conv2d", run_cases);
}
static void run_matrices(gpu *g) {
    RUN_AGAINST_TWIN(g, matrix_cases, record, roundings);
}
CHECK_CASE(matrices) {
    if (!(gpu_open(0)->caps->features & VKS_FEATURE_COOPERATIVE_MATRIX)) CHECK_SKIP("needs cooperative matrices");
    run_variants("conv2d", run_matrices);
}
CHECK_CASE(masked) {
    run_masked(run_cases);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_conv2d good = {
        .x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(2, 6, 5, 8)),
        .w = vks_tensor_dense(somewhere, F16, GPU_SHAPE(4, 72)),
        .bias = vks_tensor_dense(somewhere, F32, GPU_SHAPE(4)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(2, 6, 5, 4)),
        .kernel_height = 3,
        .kernel_width = 3,
        .stride = 1,
    };
    CHECK_OK(vks_op_conv2d(&target, &good));
    vks_conv2d bad = good;
    bad.kernel_width = 2;
    CHECK_REFUSED(vks_op_conv2d(&target, &bad), "conv2d: w: an odd kernel of at most 255 x 255 expected, 3 x 2 found");
    bad = good;
    bad.stride = 3;
    CHECK_REFUSED(vks_op_conv2d(&target, &bad), "conv2d: a stride of 1 or 2 expected, 3 found");
    bad = good;
    bad.x.n_dim = 3;
    CHECK_REFUSED(vks_op_conv2d(&target, &bad), "conv2d: x: shape [2, 6, 5, 8] expected, [2, 6, 5] found");
    bad = good;
    bad.x.stride[2] = 12;
    CHECK_REFUSED(vks_op_conv2d(&target, &bad),
                  "conv2d: x: a stride of dimension 2 that is a multiple of 8 expected, 12");
    bad = good;
    bad.x.stride[1] = 64;
    CHECK_REFUSED(vks_op_conv2d(&target, &bad), "conv2d: x: no gaps between rows and images expected");
    bad = good;
    bad.w.shape[1] = 64;
    CHECK_REFUSED(vks_op_conv2d(&target, &bad), "conv2d: w: shape [4, 72] expected, [4, 64] found");
    bad = good;
    bad.w.dtype = VKSSM_DTYPE_I8;
    CHECK_REFUSED(vks_op_conv2d(&target, &bad), "conv2d: w: F32, F16 or BF16 expected, I8 found");
    bad = good;
    bad.bias.shape[0] = 5;
    CHECK_REFUSED(vks_op_conv2d(&target, &bad), "conv2d: bias: shape [4] expected, [5] found");
    bad = good;
    bad.choice = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3));
    CHECK_REFUSED(vks_op_conv2d(&target, &bad), "conv2d: choice: shape [2] expected, [3] found");
    bad = good;
    bad.stride = 2;
    CHECK_REFUSED(vks_op_conv2d(&target, &bad), "conv2d: y: shape [2, 3, 3, 4] expected, [2, 6, 5, 4] found");
    bad = good;
    bad.added = vks_tensor_dense(somewhere, F32, GPU_SHAPE(2, 6, 5, 3));
    CHECK_REFUSED(vks_op_conv2d(&target, &bad), "conv2d: added: shape [2, 6, 5, 4] expected, [2, 6, 5, 3] found");
}

int main(int argc, char **argv) {
    return gpu_main(
        argc, argv,
        (check_case[]){
            CHECK_RUN(selected), CHECK_RUN(variants), CHECK_RUN(matrices), CHECK_RUN(masked), CHECK_RUN(refuses), {0}});
}

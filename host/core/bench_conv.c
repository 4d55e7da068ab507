// Cases of the convolutional operators: convolution and group norm of images, ConvS5's recurrence and layer.
#include "bench_run.h"

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

// ---- convolution: N, H, W, C, M, K ---------------------------------------------------------------------------------

static const vks_bench_entry conv2d[] = {
    {"conv2d/n300x16x16c256m256k3/f16",
     "3 x 3 convolution of latent frames, float16",
     F16,
     {300, 16, 16, 256, 256, 3},
     0},
    {"conv2d/n300x16x16c256m256k3/f32", "the same, float32", F32, {300, 16, 16, 256, 256, 3}, 0},
    {"conv2d/n300x16x16c256m256k3/bf16", "the same, bfloat16", BF16, {300, 16, 16, 256, 256, 3}, 0},
    {"conv2d/n64x64x64c64m64k3/f16", "3 x 3 convolution of frames, float16", F16, {64, 64, 64, 64, 64, 3}, 0},
    {"conv2d/n1x16x16c256m256k3/f16", "one latent frame, float16", F16, {1, 16, 16, 256, 256, 3}, 0},
    {"conv2d/n1x16x16c64m64k3/f32", "one small one", F32, {1, 16, 16, 64, 64, 3}, 0},
};

static vkssm_status place_conv2d(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) {
    uint32_t n = e->n[0], h = e->n[1], w = e->n[2], c = e->n[3], m = e->n[4], k = e->n[5];
    vks_conv2d *v = &op->conv2d;
    *v = (vks_conv2d){.kernel_height = k, .kernel_width = k, .stride = 1};
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(n, h, w, c), &v->x));
    VKS_TRY(vks_bench_input(bench, e->dtype, -0.02f, 0.02f, VKS_BENCH_SHAPE(m, k * k * c), &v->w));
    VKS_TRY(vks_bench_input(bench, F32, -1, 1, VKS_BENCH_SHAPE(m), &v->bias));
    return vks_bench_output(bench, e->dtype, VKS_BENCH_SHAPE(n, h, w, m), &v->y);
}
static vkssm_status record_conv2d(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_conv2d(target, &op->conv2d);
}
static uint64_t flop_conv2d(const vks_bench_entry *e) {
    return 2 * (uint64_t)e->n[0] * e->n[1] * e->n[2] * e->n[3] * e->n[4] * e->n[5] * e->n[5];
}
const vks_bench_family vks_bench_conv2d = {conv2d, VKS_COUNT(conv2d), place_conv2d, record_conv2d, flop_conv2d, NULL};

// ---- group norm: N, S, C -------------------------------------------------------------------------------------------

static const vks_bench_entry group_norm[] = {
    {"group_norm/n300x256c256g32/f16",
     "group norm and GELU of latent frames, float32 to float16",
     F16,
     {300, 256, 256},
     0},
    {"group_norm/n1x256c256g32/f32", "the same of one frame, float32", F32, {1, 256, 256}, 0},
};

static vkssm_status place_group_norm(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) {
    const uint32_t n_group = 32, n = e->n[0], s = e->n[1], c = e->n[2];
    vks_group_norm *g = &op->group_norm;
    *g = (vks_group_norm){.n_group = n_group, .eps = 1e-6f, .act = VKS_ACT_GELU_TANH};
    VKS_TRY(vks_bench_input(bench, F32, -1, 1, VKS_BENCH_SHAPE(n, s, c), &g->x));
    VKS_TRY(vks_bench_input(bench, F32, 0.5f, 1.5f, VKS_BENCH_SHAPE(c), &g->weight));
    VKS_TRY(vks_bench_input(bench, F32, -0.5f, 0.5f, VKS_BENCH_SHAPE(c), &g->bias));
    VKS_TRY(vks_bench_output(bench, e->dtype, VKS_BENCH_SHAPE(n, s, c), &g->y));
    return vks_bench_scratch(bench, vks_group_norm_scratch_size(bench->kernels, n, s, c, n_group), &g->scratch);
}
static vkssm_status record_group_norm(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_group_norm(target, &op->group_norm);
}
static uint64_t flop_group_norm(const vks_bench_entry *e) { // mean 1, square 3, affine 4, activation 8
    return 16 * (uint64_t)e->n[0] * e->n[1] * e->n[2];
}
const vks_bench_family vks_bench_group_norm = {group_norm,        VKS_COUNT(group_norm), place_group_norm,
                                               record_group_norm, flop_group_norm,       NULL};

// ---- ConvS5: B, T, side, U (0: the scan alone), P ------------------------------------------------------------------

enum { KERNEL = 3 };

static const vks_bench_entry conv_s5[] = {
    {"conv_s5/scan/t300x16x16p128/c64",
     "ConvS5's states over time, a clip of 300 latent frames",
     F32,
     {1, 300, 16, 0, 128},
     0},
    {"conv_s5/scan/b8t300x16x16p128/c64", "the same, 8 clips", F32, {8, 300, 16, 0, 128}, 0},
    {"conv_s5/layer/b1t300x16x16u256p128/f16",
     "B, scan and C of a layer, 3 x 3, float16 operands",
     F16,
     {1, 300, 16, 256, 128},
     0},
    {"conv_s5/layer/b1t300x16x16u256p128/bf16", "the same, bfloat16", BF16, {1, 300, 16, 256, 128}, 0},
    {"conv_s5/layer/b1t300x16x16u256p128/f32", "the same, float32", F32, {1, 300, 16, 256, 128}, 0},
    {"conv_s5/layer/b8t300x16x16u256p128/f16", "8 clips, float16 operands", F16, {8, 300, 16, 256, 128}, 0},
    {"conv_s5/layer/b8t300x16x16u256p128/f32", "8 clips, float32", F32, {8, 300, 16, 256, 128}, 0},
    {"conv_s5/layer/b1t1x16x16u256p128/f16", "one frame: a step", F16, {1, 1, 16, 256, 128}, 0},
};

static vkssm_status place_conv_s5(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) {
    uint32_t b = e->n[0], t = e->n[1], side = e->n[2], u = e->n[3], p = e->n[4];
    vks_conv_s5 *s = &op->conv_s5;
    *s = (vks_conv_s5){.n_sequence = b, .n_time = t, .kernel_b = KERNEL, .kernel_c = KERNEL, .state_dtype = e->dtype};
    VKS_TRY(vks_bench_input(bench, F32, -0.7f, 0.7f, VKS_BENCH_SHAPE(p, 2), &s->a));
    VKS_TRY(vks_bench_state(bench, VKS_BENCH_SHAPE(b, side * side, p, 2), &s->state));
    if (u == 0) { // y: the states; scratch: what drives them
        VKS_TRY(vks_bench_input(bench, F32, -1, 1, VKS_BENCH_SHAPE(b * t, side, side, 2 * p), &s->u));
        return vks_bench_output(bench, F32, VKS_BENCH_SHAPE(b * t, side, side, 2 * p), &s->y);
    }
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(b * t, side, side, u), &s->u));
    VKS_TRY(vks_bench_input(bench, e->dtype, -0.02f, 0.02f, VKS_BENCH_SHAPE(2 * p, KERNEL * KERNEL * u), &s->b));
    VKS_TRY(vks_bench_input(bench, e->dtype, -0.02f, 0.02f, VKS_BENCH_SHAPE(u, KERNEL * KERNEL * 2 * p), &s->c));
    VKS_TRY(vks_bench_output(bench, F32, VKS_BENCH_SHAPE(b * t, side, side, u), &s->y));
    uint64_t n = vks_conv_s5_scratch_size((uint64_t)b * t, side * side, p, s->state_dtype);
    return vks_bench_scratch(bench, n, &s->scratch);
}
static vkssm_status record_conv_s5(const vks_op_target *target, const vks_bench_op *op) {
    const vks_conv_s5 *s = &op->conv_s5;
    return s->b.address ? vks_op_conv_s5(target, s) : vks_op_conv_s5_scan(target, s, s->u, s->y);
}
static uint64_t flop_conv_s5(const vks_bench_entry *e) { // a complex product and sum; B and C with two real parts
    uint64_t n = (uint64_t)e->n[0] * e->n[1] * e->n[2] * e->n[2];
    return n * e->n[4] * (8 + 8ull * KERNEL * KERNEL * e->n[3]);
}
const vks_bench_family vks_bench_conv_s5 = {conv_s5,        VKS_COUNT(conv_s5), place_conv_s5,
                                            record_conv_s5, flop_conv_s5,       NULL};

// The cases of the self-check: small shapes of every operator that lead to each of its kernels.
#include "self_check.h"

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

// ---- operators that the benchmark has no case of
// ---------------------------------------------------------------------

static uint64_t no_flop(const vks_bench_entry *e) {
    (void)e;
    return 0;
}

static vkssm_status place_ssd_tree(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) { // B, T, H, P, G, N
    uint32_t b = e->n[0], t = e->n[1], h = e->n[2], p = e->n[3], g = e->n[4], n = e->n[5];
    vks_ssd_tree *s = &op->ssd_tree;
    *s = (vks_ssd_tree){.dt_max = 1e9f};
    vks_tensor xbc;
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(b, t, h * p + 2 * g * n), &xbc));
    s->x = vks_tensor_split_last(vks_tensor_slice(xbc, 2, 0, h * p), h, p);
    s->b = vks_tensor_split_last(vks_tensor_slice(xbc, 2, h * p, g * n), g, n);
    s->c = vks_tensor_split_last(vks_tensor_slice(xbc, 2, h * p + g * n, g * n), g, n);
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(b, t, h), &s->dt));
    VKS_TRY(vks_bench_input(bench, F32, -2, -0.5f, VKS_BENCH_SHAPE(3, h), &s->heads));
    VKS_TRY(vks_bench_input(bench, F32, -1, 1, VKS_BENCH_SHAPE(b, h, p, n), &s->state));
    return vks_bench_output(bench, e->dtype, VKS_BENCH_SHAPE(b, t, h, p), &s->y);
}
static vkssm_status record_ssd_tree(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_ssd_tree(target, &op->ssd_tree);
}
static const vks_bench_family ssd_tree = {NULL, 0, place_ssd_tree, record_ssd_tree, no_flop, NULL};

static vkssm_status place_layer_norm(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) { // T, D
    vks_layer_norm *n = &op->layer_norm;
    *n = (vks_layer_norm){.eps = 1e-5f};
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 2, VKS_BENCH_SHAPE(e->n[0], e->n[1]), &n->x));
    VKS_TRY(vks_bench_input(bench, F32, 0.5f, 1.5f, VKS_BENCH_SHAPE(e->n[1]), &n->weight));
    VKS_TRY(vks_bench_input(bench, F32, -0.5f, 0.5f, VKS_BENCH_SHAPE(e->n[1]), &n->bias));
    return vks_bench_output(bench, e->dtype, VKS_BENCH_SHAPE(e->n[0], e->n[1]), &n->y);
}
static vkssm_status record_layer_norm(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_layer_norm(target, &op->layer_norm);
}
static const vks_bench_family layer_norm = {NULL, 0, place_layer_norm, record_layer_norm, no_flop, NULL};

static vkssm_status place_activation(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) { // T, D; kind: act
    vks_activation *a = &op->activation;
    *a = (vks_activation){.act = (vks_act)e->kind};
    VKS_TRY(vks_bench_input(bench, e->dtype, -3, 3, VKS_BENCH_SHAPE(e->n[0], e->n[1]), &a->x));
    VKS_TRY(vks_bench_input(bench, e->dtype, -3, 3, VKS_BENCH_SHAPE(e->n[0], e->n[1]), &a->gate));
    return vks_bench_output(bench, e->dtype, VKS_BENCH_SHAPE(e->n[0], e->n[1]), &a->y);
}
static vkssm_status record_activation(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_activation(target, &op->activation);
}
static const vks_bench_family activation = {NULL, 0, place_activation, record_activation, no_flop, NULL};

static vkssm_status place_pool_mean(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) { // B, T, D
    vks_pool_mean *p = &op->pool_mean;
    VKS_TRY(vks_bench_input(bench, F32, -1, 1, VKS_BENCH_SHAPE(e->n[0], e->n[1], e->n[2]), &p->x));
    VKS_TRY(vks_bench_words(bench, (const uint32_t[192]){0}, true, VKS_BENCH_SHAPE(e->n[0], 3, e->n[2]), &p->state));
    p->state.dtype = F32; // all zeros
    return vks_bench_output(bench, F32, VKS_BENCH_SHAPE(e->n[0], e->n[2]), &p->y);
}
static vkssm_status record_pool_mean(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_pool_mean(target, &op->pool_mean);
}
static const vks_bench_family pool_mean = {NULL, 0, place_pool_mean, record_pool_mean, no_flop, NULL};

static vkssm_status place_log_softmax(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) { // T, D
    VKS_TRY(vks_bench_input(bench, F32, -4, 4, VKS_BENCH_SHAPE(e->n[0], e->n[1]), &op->log_softmax.x));
    return vks_bench_output(bench, F32, VKS_BENCH_SHAPE(e->n[0], e->n[1]), &op->log_softmax.y);
}
static vkssm_status record_log_softmax(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_log_softmax(target, &op->log_softmax);
}
static const vks_bench_family log_softmax = {NULL, 0, place_log_softmax, record_log_softmax, no_flop, NULL};

static vkssm_status place_resample2d(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) { // N, side, C; mode
    const uint32_t n = e->n[0], side = e->n[1], c = e->n[2], to = e->kind == VKS_NEAREST ? 2 * side : side / 2;
    op->resample2d = (vks_resample2d){.mode = (vks_resample)e->kind, .window_height = 2, .window_width = 2};
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(n, side, side, c), &op->resample2d.x));
    return vks_bench_output(bench, e->dtype, VKS_BENCH_SHAPE(n, to, to, c), &op->resample2d.y);
}
static vkssm_status record_resample2d(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_resample2d(target, &op->resample2d);
}
static const vks_bench_family resample2d = {NULL, 0, place_resample2d, record_resample2d, no_flop, NULL};

static vkssm_status place_mixer_step(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) { // K, H, P, G, N
    uint32_t k = e->n[0], h = e->n[1], p = e->n[2], g = e->n[3], n = e->n[4], n_tap = 4, n_conv = h * p + 2 * g * n;
    vks_mixer_step *m = &op->mixer_step;
    *m = (vks_mixer_step){.norm_eps = 1e-5f, .dt_max = 0.5f};
    VKS_TRY(vks_bench_input(bench, F32, -1, 1, VKS_BENCH_SHAPE(1, k), &m->x));
    VKS_TRY(vks_bench_input(bench, F32, 0.5f, 1.5f, VKS_BENCH_SHAPE(k), &m->norm));
    VKS_TRY(vks_bench_input(bench, e->dtype, -0.2f, 0.2f, VKS_BENCH_SHAPE(h * p + n_conv + h, k), &m->w));
    VKS_TRY(vks_bench_input(bench, F32, -0.5f, 0.5f, VKS_BENCH_SHAPE(n_tap, n_conv), &m->conv.w));
    VKS_TRY(vks_bench_input(bench, F32, -2, -0.5f, VKS_BENCH_SHAPE(3, h), &m->heads));
    VKS_TRY(vks_bench_state(bench, VKS_BENCH_SHAPE(1, n_tap - 1, n_conv), &m->conv.state));
    VKS_TRY(vks_bench_state(bench, VKS_BENCH_SHAPE(1, h, p, n), &m->state));
    VKS_TRY(vks_bench_output(bench, F32, VKS_BENCH_SHAPE(1, h * p), &m->y));
    m->conv.first = h * p;
    uint32_t n_word = (uint32_t)vks_mixer_step_words(m), n_left = 2 * h * p;
    vks_tensor scratch; // a case has one: its parts lie behind each other
    VKS_TRY(vks_bench_scratch(bench, (uint64_t)n_word + n_left, &scratch));
    m->words = vks_tensor_slice(scratch, 0, 0, n_word);
    m->words.dtype = VKSSM_DTYPE_I32;
    m->left = vks_tensor_slice(scratch, 0, n_word, n_left);
    return VKSSM_OK;
}
static vkssm_status record_mixer_step(const vks_op_target *target, const vks_bench_op *op) {
    VKS_TRY(vks_op_clear(target, op->mixer_step.words));
    return vks_op_mixer_step(target, &op->mixer_step);
}
static const vks_bench_family mixer_step = {NULL, 0, place_mixer_step, record_mixer_step, no_flop, NULL};

// ---- the table
// -------------------------------------------------------------------------------------------------------

#define CASE(family, kernels, name, dtype, kind, ...)                                                                  \
    { &(family), {name, "", dtype, {__VA_ARGS__}, kind}, kernels }

// Sizes that no tile divides, and such as the kernels of large shapes ask for; a few thousand outputs at most where one
// that is wrong is to show in their sums. What the numbers and the kind stand for is said at the families.
static const vks_check_case cases[] = {
    CASE(vks_bench_embedding, "embedding", "embedding/t7v50d64/f16", F16, 0, 7, 50, 64),
    CASE(vks_bench_rms_norm, "rms_norm", "rms_norm/t5d96/f32", F32, 0, 5, 96),
    CASE(vks_bench_rms_norm, "rms_norm", "rms_norm/gated/t3d256/f16", F16, 1, 3, 256),
    CASE(vks_bench_rms_norm, "rms_norm", "rms_norm/t1d2560/f32", F32, 0, 1, 2560),
    CASE(vks_bench_gemm, "matmul", "matmul/m33k72n37/f32", F32, VKS_BENCH_X_F32, 33, 72, 37),
    CASE(vks_bench_gemm, "matmul", "matmul/m1k520n65/f32", F32, VKS_BENCH_X_F32, 1, 520, 65),
    CASE(vks_bench_gemm, "matmul", "matmul/m65k64n34/f16xf16", F16, VKS_BENCH_X_F16, 65, 64, 34),
    CASE(vks_bench_gemm, "matmul", "matmul/m65k64n34/bf16xbf16", BF16, VKS_BENCH_X_BF16, 65, 64, 34),
    CASE(vks_bench_gemm, "matmul", "matmul/m1k256n33/q8_0", VKSSM_DTYPE_Q8_0, VKS_BENCH_X_F32, 1, 256, 33),
    CASE(vks_bench_gemm, "matmul", "matmul/m33k256n33/q4_0", VKSSM_DTYPE_Q4_0, VKS_BENCH_X_F32, 33, 256, 33),
    CASE(vks_bench_gemm, "matmul", "matmul/m1k256n33/q4_k", VKSSM_DTYPE_Q4_K, VKS_BENCH_X_F32, 1, 256, 33),
    CASE(vks_bench_gemm, "matmul", "matmul/m33k256n33/q6_k", VKSSM_DTYPE_Q6_K, VKS_BENCH_X_F32, 33, 256, 33),
    CASE(vks_bench_conv1d, "conv1d", "conv1d/b2t37d24k4/f32", F32, 0, 2, 37, 24, 4),
    CASE(vks_bench_conv1d, "conv1d", "conv1d/b1t130d32k4/f16", F16, 0, 1, 130, 32, 4),
    CASE(vks_bench_conv1d, "conv1d", "conv1d/b3t1d40k4/f32", F32, 0, 3, 1, 40, 4),
    CASE(vks_bench_ssd, "ssd", "ssd/b1t70h2p16g1n24/f32", F32, 0, 1, 70, 2, 16, 1, 24),
    CASE(vks_bench_ssd, "ssd", "ssd/b1t130h2p64g1n128/f16", F16, 0, 1, 130, 2, 64, 1, 128),
    CASE(vks_bench_ssd, "ssd", "ssd/b1t130h2p64g1n128/bf16", BF16, 0, 1, 130, 2, 64, 1, 128),
    CASE(vks_bench_ssd_step, "ssd", "ssd_step/b3h4p8n64/f32", F32, 0, 3, 1, 4, 8, 1, 64),
    CASE(mixer_step, "mixer_step", "mixer_step/k96h2p16g1n16/f16", F16, 0, 96, 2, 16, 1, 16),
    CASE(vks_bench_selective_scan, "selective", "selective_scan/b1t70d24n8/f32", F32, 0, 1, 70, 24, 8),
    CASE(vks_bench_selective_scan, "selective", "selective_scan/b2t33d32n16/f16", F16, 0, 2, 33, 32, 16),
    CASE(vks_bench_selective_step, "selective", "selective_step/b3d64n16r8/f16", F16, 0, 3, 1, 64, 16, 8),
    CASE(vks_bench_sample, "sample", "sample/v1000/greedy", F32, VKS_BENCH_GREEDY, 1, 1000),
    CASE(vks_bench_sample, "sample", "sample/v5000/top_p", F32, VKS_BENCH_TOP_P, 1, 5000),
    CASE(layer_norm, "layer_norm", "layer_norm/t5d96/f32", F32, 0, 5, 96),
    CASE(activation, "activation", "activation/gelu/t9d70/f32", F32, VKS_ACT_GELU_TANH, 9, 70),
    CASE(activation, "activation", "activation/elu/t9d70/f16", F16, VKS_ACT_ELU, 9, 70),
    CASE(pool_mean, "pool_mean", "pool_mean/b2t300d20/f32", F32, 0, 2, 300, 20),
    CASE(log_softmax, "log_softmax", "log_softmax/t5d70/f32", F32, 0, 5, 70),
    CASE(vks_bench_scan, "scan", "scan/real/b2t300d6/f32", F32, 0, 2, 300, 6),
    CASE(vks_bench_scan, "scan", "scan/real-time-contiguous/b2t300d6/f32", F32, VKS_BENCH_TIME_CONTIGUOUS, 2, 300, 6),
    CASE(vks_bench_scan, "scan", "scan/complex-lti/b1t600p3/c64", F32, VKS_BENCH_COMPLEX | VKS_BENCH_CONSTANT, 1, 600,
         3),
    CASE(vks_bench_scan, "scan", "scan/look-back/b1t1200d3/f32", F32, VKS_BENCH_LOOK_BACK, 1, 1200, 3),
    CASE(vks_bench_conv2d, "conv2d", "conv2d/n2x9x9c8m16k3/f32", F32, 0, 2, 9, 9, 8, 16, 3),
    CASE(vks_bench_conv2d, "conv2d", "conv2d/n1x16x16c32m32k3/f16", F16, 0, 1, 16, 16, 32, 32, 3),
    CASE(vks_bench_group_norm, "group_norm", "group_norm/n2x64c32g32/f32", F32, 0, 2, 64, 32),
    CASE(resample2d, "resample2d", "resample2d/average/n1x12x12c8/f32", F32, VKS_AVERAGE, 1, 12, 8),
    CASE(resample2d, "resample2d", "resample2d/nearest/n1x6x6c8/f16", F16, VKS_NEAREST, 1, 6, 8),
    CASE(vks_bench_conv_s5, "conv2d", "conv_s5/layer/b1t5x6x6u8p4/f32", F32, 0, 1, 5, 6, 8, 4),
    CASE(vks_bench_conv_s5, "scan", "conv_s5/scan/b2t7x4x4p8/c64", F32, 0, 2, 7, 4, 0, 8),
    CASE(ssd_tree, "ssd_tree", "ssd_tree/b2t9h2p8n24/f32", F32, 0, 2, 9, 2, 8, 1, 24),
};

const vks_check_case *vks_check_case_at(uint32_t index) {
    return index < VKS_COUNT(cases) ? &cases[index] : NULL;
}

// ---- what the twins say
// ----------------------------------------------------------------------------------------------

// Printed by `test_self_check print`, which also compares it with the twins.
static const vks_check_expected expected[] = {
#include "self_check_expected.h"
};

const vks_check_expected *vks_check_expectation(uint32_t index, uint32_t result) {
    for (size_t i = 0; i < VKS_COUNT(expected); i++)
        if (expected[i].index == index && expected[i].result == result) return &expected[i];
    return NULL;
}

// Cases of the operators around the recurrences: products, convolution, norm, embedding, sampling.
#include "bench_run.h"

#include "host/base/half.h"
#include "shaders/params/sample.h"

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

// ---- products: M, K, N ---------------------------------------------------------------------------------------------

// The limits measure them from the last one to the first.
static const vks_bench_entry gemm[] = {
    {"gemm/m2048k2560n10576/f16",
     "in_proj of a 2.7B Mamba-2, float16 weights",
     F16,
     {2048, 2560, 10576},
     VKS_BENCH_X_F32},
    {"gemm/m2048k2560n10576/f16xf16", "the same with float16 activations", F16, {2048, 2560, 10576}, VKS_BENCH_X_F16},
    {"gemm/m2048k2560n10576/bf16xbf16", "the same, all bfloat16", BF16, {2048, 2560, 10576}, VKS_BENCH_X_BF16},
    {"gemm/m8192k8192n8192/f16xf16", "a large product, all float16", F16, {8192, 8192, 8192}, VKS_BENCH_X_F16},
    {"gemm/m8192k8192n8192/bf16xbf16", "the same, all bfloat16", BF16, {8192, 8192, 8192}, VKS_BENCH_X_BF16},
    {"gemm/m2048k2560n10576/f32", "its input projection again, all float32", F32, {2048, 2560, 10576}, VKS_BENCH_X_F32},
    {"gemm/m2048k5120n2560/f16",
     "out_proj of a 2.7B Mamba-2, float16 weights",
     F16,
     {2048, 5120, 2560},
     VKS_BENCH_X_F32},
    {"gemm/m2048k5120n2560/f16xf16", "the same with float16 activations", F16, {2048, 5120, 2560}, VKS_BENCH_X_F16},
    {"gemm/m512k2560n10576/f16", "in_proj of 512 tokens, float16 weights", F16, {512, 2560, 10576}, VKS_BENCH_X_F32},
    {"gemm/m512k2560n10576/f16xf16", "the same with float16 activations", F16, {512, 2560, 10576}, VKS_BENCH_X_F16},
    {"gemm/m512k5120n2560/f16xf16", "out_proj of 512 tokens, all float16", F16, {512, 5120, 2560}, VKS_BENCH_X_F16},
    {"gemm/m512k2560n10576/f32", "the same, all float32", F32, {512, 2560, 10576}, VKS_BENCH_X_F32},
    {"gemm/m512k768n3352/f16", "in_proj of a 130M Mamba-2, float16 weights", F16, {512, 768, 3352}, VKS_BENCH_X_F32},
    {"gemm/m512k2560n10576/q8_0", "the same, Q8_0 weights", VKSSM_DTYPE_Q8_0, {512, 2560, 10576}, VKS_BENCH_X_F32},
    {"gemm/m512k2560n10576/q8_0xf16",
     "the same with float16 activations",
     VKSSM_DTYPE_Q8_0,
     {512, 2560, 10576},
     VKS_BENCH_X_F16},
    {"gemm/m2048k2560n10576/q4_kxf16",
     "in_proj of 2048 tokens, Q4_K weights",
     VKSSM_DTYPE_Q4_K,
     {2048, 2560, 10576},
     VKS_BENCH_X_F16},
    {"gemm/m2048k5120n192/f16xf16", "x_proj of a 2.8B Mamba-1, float16", F16, {2048, 5120, 192}, VKS_BENCH_X_F16},
    {"gemm/m512k5120n192/f16xf16", "the same of 512 tokens", F16, {512, 5120, 192}, VKS_BENCH_X_F16},
    {"gemm/m2048k160n5120/f16xf16", "its dt_proj, float16", F16, {2048, 160, 5120}, VKS_BENCH_X_F16},
    {"gemm/m256k512n512/f16xf16", "a small product, all float16", F16, {256, 512, 512}, VKS_BENCH_X_F16},
    {"gemm/m256k512n512/bf16xbf16", "the same, all bfloat16", BF16, {256, 512, 512}, VKS_BENCH_X_BF16},
    {"gemm/m256k512n512/f32", "a small product", F32, {256, 512, 512}, VKS_BENCH_X_F32},
};
static const vks_bench_entry gemv[] = {
    {"gemv/k2560n10576/f16", "in_proj of one token, float16 weights", F16, {1, 2560, 10576}, VKS_BENCH_X_F32},
    {"gemv/k5120n2560/f16", "out_proj of one token, float16 weights", F16, {1, 5120, 2560}, VKS_BENCH_X_F32},
    {"gemv/k2560n50288/f16", "the head of a 2.7B Mamba-2 for one token", F16, {1, 2560, 50288}, VKS_BENCH_X_F32},
    {"gemv/k2560n50288/q8_0",
     "the same in blocks of 32 bytes and a scale",
     VKSSM_DTYPE_Q8_0,
     {1, 2560, 50288},
     VKS_BENCH_X_F32},
    {"gemv/k2560n50288/q4_0",
     "the same in blocks of 32 half bytes and a scale",
     VKSSM_DTYPE_Q4_0,
     {1, 2560, 50288},
     VKS_BENCH_X_F32},
    {"gemv/k2560n50288/q4_k", "the same with scales of 6 bits", VKSSM_DTYPE_Q4_K, {1, 2560, 50288}, VKS_BENCH_X_F32},
    {"gemv/k2560n50288/q6_k", "the same with 6 bits a weight", VKSSM_DTYPE_Q6_K, {1, 2560, 50288}, VKS_BENCH_X_F32},
    {"gemv/k2560n10576/q8_0",
     "in_proj of one token, Q8_0 weights",
     VKSSM_DTYPE_Q8_0,
     {1, 2560, 10576},
     VKS_BENCH_X_F32},
    {"gemv/k2560n10576/q4_0", "the same, Q4_0 weights", VKSSM_DTYPE_Q4_0, {1, 2560, 10576}, VKS_BENCH_X_F32},
    {"gemv/k2560n10576/q4_k", "the same, Q4_K weights", VKSSM_DTYPE_Q4_K, {1, 2560, 10576}, VKS_BENCH_X_F32},
    {"gemv/k5120n2560/q8_0", "out_proj of one token, Q8_0 weights", VKSSM_DTYPE_Q8_0, {1, 5120, 2560}, VKS_BENCH_X_F32},
    {"gemv/k5120n2560/q4_0", "the same, Q4_0 weights", VKSSM_DTYPE_Q4_0, {1, 5120, 2560}, VKS_BENCH_X_F32},
    {"gemv/k5120n192/f16", "x_proj of one token of a 2.8B Mamba-1", F16, {1, 5120, 192}, VKS_BENCH_X_F32},
    {"gemv/k768n3352/f16", "in_proj of one token of a 130M Mamba-2", F16, {1, 768, 3352}, VKS_BENCH_X_F32},
};

static vkssm_status place_matmul(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) {
    uint32_t m = e->n[0], k = e->n[1], n = e->n[2];
    vkssm_dtype x_dtype = e->kind == VKS_BENCH_X_F16 ? F16 : e->kind == VKS_BENCH_X_BF16 ? BF16 : F32;
    op->matmul = (vks_matmul){0};
    VKS_TRY(vks_bench_input(bench, x_dtype, -1, 1, VKS_BENCH_SHAPE(m, k), &op->matmul.x));
    VKS_TRY(vks_bench_input(bench, e->dtype, -0.02f, 0.02f, VKS_BENCH_SHAPE(n, k), &op->matmul.w));
    VKS_TRY(vks_bench_output(bench, x_dtype, VKS_BENCH_SHAPE(m, n), &op->matmul.y));
    return vks_bench_scratch(bench, vks_matmul_scratch_size(bench->kernels, &op->matmul), &op->matmul.scratch);
}
static vkssm_status record_matmul(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_matmul(target, &op->matmul);
}
static uint64_t flop_matmul(const vks_bench_entry *e) {
    return 2 * (uint64_t)e->n[0] * e->n[1] * e->n[2];
}
const vks_bench_family vks_bench_gemm = {gemm, VKS_COUNT(gemm), place_matmul, record_matmul, flop_matmul, NULL};
const vks_bench_family vks_bench_gemv = {gemv, VKS_COUNT(gemv), place_matmul, record_matmul, flop_matmul, NULL};

// ---- products of 8-bit integers: M, K, N ----------------------------------------------------------------------------

static const vks_bench_entry gemm_s8[] = {
    {"gemm/m8192k8192n8192/s8", "a large product of 8-bit integers, to float32", F32, {8192, 8192, 8192}, 0},
    {"gemm/m2048k2560n10576/s8", "in_proj of 2048 tokens, scaled to float16", F16, {2048, 2560, 10576}, 0},
};

static vkssm_status place_matmul_s8(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) {
    uint32_t m = e->n[0], k = e->n[1], n = e->n[2];
    vks_matmul_s8 *s8 = &op->matmul_s8;
    *s8 = (vks_matmul_s8){0};
    VKS_TRY(vks_bench_input(bench, VKSSM_DTYPE_I8, -127, 127, VKS_BENCH_SHAPE(m, k), &s8->x));
    VKS_TRY(vks_bench_input(bench, VKSSM_DTYPE_I8, -127, 127, VKS_BENCH_SHAPE(n, k), &s8->w));
    if (e->dtype != VKSSM_DTYPE_I32) {
        VKS_TRY(vks_bench_input(bench, F32, 1e-4f, 2e-4f, VKS_BENCH_SHAPE(m), &s8->x_scale));
        VKS_TRY(vks_bench_input(bench, F32, 1e-4f, 2e-4f, VKS_BENCH_SHAPE(n), &s8->w_scale));
    }
    return vks_bench_output(bench, e->dtype, VKS_BENCH_SHAPE(m, n), &s8->y);
}
static vkssm_status record_matmul_s8(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_matmul_s8(target, &op->matmul_s8);
}
const vks_bench_family vks_bench_gemm_s8 = {gemm_s8,          VKS_COUNT(gemm_s8), place_matmul_s8,
                                            record_matmul_s8, flop_matmul,        NULL};

// ---- convolution: B, T, C, K ---------------------------------------------------------------------------------------

static const vks_bench_entry conv1d[] = {
    {"conv1d/b1t16384d5376k4/f32", "causal convolution of 4 taps with SiLU", F32, {1, 16384, 5376, 4}, 0},
    {"conv1d/b1t16384d5376k4/f16", "the same, float16 inputs and outputs", F16, {1, 16384, 5376, 4}, 0},
    {"conv1d/b1t512d1792k4/f32", "the same, 512 tokens of a 130M Mamba-2", F32, {1, 512, 1792, 4}, 0},
};

static vkssm_status place_conv1d(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) {
    uint32_t b = e->n[0], t = e->n[1], c = e->n[2], k = e->n[3];
    op->conv1d = (vks_conv1d){.silu = true};
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(b, t, c), &op->conv1d.x));
    VKS_TRY(vks_bench_input(bench, F32, -0.5f, 0.5f, VKS_BENCH_SHAPE(k, c), &op->conv1d.w));
    VKS_TRY(vks_bench_input(bench, F32, -0.5f, 0.5f, VKS_BENCH_SHAPE(c), &op->conv1d.bias));
    VKS_TRY(vks_bench_state(bench, VKS_BENCH_SHAPE(b, k - 1, c), &op->conv1d.state));
    return vks_bench_output(bench, e->dtype, VKS_BENCH_SHAPE(b, t, c), &op->conv1d.y);
}
static vkssm_status record_conv1d(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_conv1d(target, &op->conv1d);
}
static uint64_t flop_conv1d(const vks_bench_entry *e) {
    return 2 * (uint64_t)e->n[0] * e->n[1] * e->n[2] * e->n[3];
}
const vks_bench_family vks_bench_conv1d = {conv1d, VKS_COUNT(conv1d), place_conv1d, record_conv1d, flop_conv1d, NULL};

// ---- norm: T, D; kind: gated ---------------------------------------------------------------------------------------

static const vks_bench_entry rms_norm[] = {
    {"rms_norm/t2048d2560/f32", "RMS norm of the residual stream", F32, {2048, 2560}, 0},
    {"rms_norm/gated/t2048d5120/f32", "gated RMS norm of a mixer", F32, {2048, 5120}, 1},
    {"rms_norm/gated/t2048d5120/f16", "the same, float16", F16, {2048, 5120}, 1},
    {"rms_norm/t1d2560/f32", "RMS norm of one token", F32, {1, 2560}, 0},
};

static vkssm_status place_rms_norm(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) {
    uint32_t t = e->n[0], d = e->n[1];
    op->rms_norm = (vks_rms_norm){.eps = 1e-5f};
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(t, d), &op->rms_norm.x));
    if (e->kind) VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(t, d), &op->rms_norm.gate));
    VKS_TRY(vks_bench_input(bench, F32, 0.5f, 1.5f, VKS_BENCH_SHAPE(d), &op->rms_norm.weight));
    return vks_bench_output(bench, e->dtype, VKS_BENCH_SHAPE(t, d), &op->rms_norm.y);
}
static vkssm_status record_rms_norm(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_rms_norm(target, &op->rms_norm);
}
static uint64_t flop_rms_norm(const vks_bench_entry *e) { // square and sum, two factors; the gate: one more
    return (4 + (e->kind ? 1 : 0)) * (uint64_t)e->n[0] * e->n[1];
}
const vks_bench_family vks_bench_rms_norm = {rms_norm,        VKS_COUNT(rms_norm), place_rms_norm,
                                             record_rms_norm, flop_rms_norm,       NULL};

// ---- embedding: T, V, D --------------------------------------------------------------------------------------------

static const vks_bench_entry embedding[] = {
    {"embedding/t2048v50288d2560/f16", "rows of a table for 2048 tokens", F16, {2048, 50288, 2560}, 0},
};

static vkssm_status place_embedding(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) {
    uint32_t t = e->n[0], v = e->n[1], d = e->n[2];
    op->embedding = (vks_embedding){0};
    VKS_TRY(vks_bench_input(bench, VKSSM_DTYPE_I32, 0, (float)v, VKS_BENCH_SHAPE(t), &op->embedding.ids));
    uint64_t before = bench->bytes;
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(v, d), &op->embedding.table));
    bench->bytes = before + (uint64_t)t * d * vkssm_dtype_size(e->dtype); // the rest of the table is not read
    return vks_bench_output(bench, F32, VKS_BENCH_SHAPE(t, d), &op->embedding.y);
}
static vkssm_status record_embedding(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_embedding(target, &op->embedding);
}
static uint64_t flop_none(const vks_bench_entry *e) {
    (void)e;
    return 0;
}
const vks_bench_family vks_bench_embedding = {
    embedding, VKS_COUNT(embedding), place_embedding, record_embedding, flop_none, NULL};

// ---- sampling: B, V; kind: what is asked for -----------------------------------------------------------------------

static const vks_bench_entry sample[] = {
    {"sample/v50288/greedy", "the most probable of 50288 tokens", F32, {1, 50288}, VKS_BENCH_GREEDY},
    {"sample/v50288/top_p", "one of 50288 tokens at temperature 0.8 by top-p 0.95", F32, {1, 50288}, VKS_BENCH_TOP_P},
};

static vkssm_status place_sample(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) {
    uint32_t words[VKS_CONTROL_SIZE] = {0};
    words[VKS_CONTROL_TEMPERATURE] = vks_float_bits(e->kind == VKS_BENCH_TOP_P ? 0.8f : 0.0f);
    words[VKS_CONTROL_TOP_P] = vks_float_bits(0.95f);
    words[VKS_CONTROL_SEED_LOW] = 1;
    op->sample = (vks_sample){0};
    VKS_TRY(vks_bench_input(bench, F32, -10, 10, VKS_BENCH_SHAPE(e->n[0], e->n[1]), &op->sample.logits));
    VKS_TRY(vks_bench_words(bench, words, true, VKS_BENCH_SHAPE(1, VKS_CONTROL_SIZE), &op->sample.controls));
    VKS_TRY(vks_bench_scratch(bench, vks_sample_scratch_size(e->n[0], e->n[1]), &op->sample.scratch));
    // A ring of one, so that every run writes the same place.
    return vks_bench_output(bench, VKSSM_DTYPE_I32, VKS_BENCH_SHAPE(1, 1), &op->sample.ring);
}
static vkssm_status record_sample(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_sample(target, &op->sample);
}
const vks_bench_family vks_bench_sample = {sample, VKS_COUNT(sample), place_sample, record_sample, flop_none, NULL};

// Cases of the recurrences: the scan, Mamba-1's selective scan, Mamba-2's SSD, and their steps.
#include "bench_run.h"

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

// ---- scan: B, T, D -------------------------------------------------------------------------------------------------

static const vks_bench_entry scan[] = {
    {"scan/real/b8d1536t8192/f32", "h = a h + b, a for every step, [B, T, D]", F32, {8, 8192, 1536}, 0},
    {"scan/real/b8d1536t2048/f32", "the same, shorter", F32, {8, 2048, 1536}, 0},
    {"scan/real/b1d512t4096/f32", "the same, small", F32, {1, 4096, 512}, 0},
    {"scan/real-time-contiguous/b8d1536t8192/f32",
     "the same, [B, D, T]",
     F32,
     {8, 8192, 1536},
     VKS_BENCH_TIME_CONTIGUOUS},
    {"scan/real-time-contiguous/b8d1536t2048/f32",
     "the same, shorter",
     F32,
     {8, 2048, 1536},
     VKS_BENCH_TIME_CONTIGUOUS},
    {"scan/complex-lti/b8t16384p256/c64",
     "h = a h + b, a constant, complex, [B, T, P]",
     F32,
     {8, 16384, 256},
     VKS_BENCH_COMPLEX | VKS_BENCH_CONSTANT},
    {"scan/complex-lti/b1t131072p64/c64",
     "the same, one long sequence",
     F32,
     {1, 131072, 64},
     VKS_BENCH_COMPLEX | VKS_BENCH_CONSTANT},
    {"scan/complex-lti/b1t16384p256/c64",
     "the same, one sequence",
     F32,
     {1, 16384, 256},
     VKS_BENCH_COMPLEX | VKS_BENCH_CONSTANT},
    {"scan/complex-lti/b8t2048p1024/c64",
     "the same, many channels",
     F32,
     {8, 2048, 1024},
     VKS_BENCH_COMPLEX | VKS_BENCH_CONSTANT},
    {"scan/complex-lti/b1t1024p64/c64", "the same, small", F32, {1, 1024, 64}, VKS_BENCH_COMPLEX | VKS_BENCH_CONSTANT},
};

static vkssm_status place_scan(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) {
    bool turned = e->kind & VKS_BENCH_TIME_CONTIGUOUS, is_complex = e->kind & VKS_BENCH_COMPLEX,
         constant = e->kind & VKS_BENCH_CONSTANT;
    uint32_t shape[] = {e->n[0], e->n[turned ? 2 : 1], e->n[turned ? 1 : 2], 2}, n_dim = is_complex ? 4 : 3;
    // |a| below 1, and near it as in models; complex: both parts below the square root of a half.
    float low = is_complex ? -0.7f : 0.9f, high = is_complex ? 0.7f : 0.999f;
    vks_scan *s = &op->scan;
    *s = (vks_scan){
        .is_complex = is_complex, .time_contiguous = turned, .tuning.look_back = e->kind & VKS_BENCH_LOOK_BACK ? 1 : 0};
    VKS_TRY(
        vks_bench_input(bench, e->dtype, low, high, constant ? n_dim - 2 : n_dim, constant ? shape + 2 : shape, &s->a));
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, n_dim, shape, &s->b));
    VKS_TRY(vks_bench_output(bench, e->dtype, n_dim, shape, &s->h));
    return vks_bench_scratch(bench, vks_scan_scratch_size(bench->kernels, s), &s->scratch);
}
static vkssm_status record_scan(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_scan(target, &op->scan);
}
static uint64_t flop_scan(const vks_bench_entry *e) { // a product and a sum; complex: 4 and 4
    return (e->kind & VKS_BENCH_COMPLEX ? 8 : 2) * (uint64_t)e->n[0] * e->n[1] * e->n[2];
}
const vks_bench_family vks_bench_scan = {scan, VKS_COUNT(scan), place_scan, record_scan, flop_scan, NULL};

// ---- selective scan: B, T, D, N, and for steps R
// ---------------------------------------------------------------------

static const vks_bench_entry selective_scan[] = {
    {"selective_scan/b1t2048d5120n16/bf16", "Mamba-1's recurrence, a 2.8B model's layer", BF16, {1, 2048, 5120, 16}, 0},
    {"selective_scan/b1t2048d5120n16/f32", "the same, float32 inputs and outputs", F32, {1, 2048, 5120, 16}, 0},
    {"selective_scan/b1t16384d5120n16/bf16", "the same, longer", BF16, {1, 16384, 5120, 16}, 0},
    {"selective_scan/b1t16384d5120n16/f32", "the same, longer, float32", F32, {1, 16384, 5120, 16}, 0},
    {"selective_scan/b8t2048d5120n16/bf16", "8 sequences", BF16, {8, 2048, 5120, 16}, 0},
    {"selective_scan/b1t2048d1536n16/bf16", "a 130M model's layer", BF16, {1, 2048, 1536, 16}, 0},
    {"selective_scan/b1t512d5120n16/f16", "512 tokens, as a piece of a prefill", F16, {1, 512, 5120, 16}, 0},
    {"selective_scan/b1t128d128n16/f32", "a small one", F32, {1, 128, 128, 16}, 0},
};
static const vks_bench_entry selective_step[] = {
    {"selective_step/b1d5120n16r160/f16",
     "one token of Mamba-1's recurrence and projection of dt, a 2.8B model's layer",
     F16,
     {1, 1, 5120, 16, 160},
     0},
    {"selective_step/b64d5120n16r160/f16", "the same for 64 sequences", F16, {64, 1, 5120, 16, 160}, 0},
};

static vkssm_status place_selective_scan(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) {
    uint32_t b = e->n[0], t = e->n[1], d = e->n[2], n = e->n[3], r = e->n[4];
    vks_selective_scan *s = &op->selective_scan;
    *s = (vks_selective_scan){0};
    vks_tensor low; // as x_proj writes it
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(b, t, d), &s->x));
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(b, t, d), &s->gate));
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(b, t, r + 2 * n), &low));
    s->b = vks_tensor_split_last(vks_tensor_slice(low, 2, r, n), 1, n);
    s->c = vks_tensor_split_last(vks_tensor_slice(low, 2, r + n, n), 1, n);
    s->dt = vks_tensor_slice(low, 2, 0, r);
    if (r)
        VKS_TRY(vks_bench_input(bench, e->dtype, -0.1f, 0.1f, VKS_BENCH_SHAPE(d, r), &s->dt_weight));
    else
        VKS_TRY(vks_bench_input(bench, e->dtype, -3, 0, VKS_BENCH_SHAPE(b, t, d), &s->dt));
    VKS_TRY(vks_bench_input(bench, F32, -16, -1, VKS_BENCH_SHAPE(d, n), &s->a));
    VKS_TRY(vks_bench_input(bench, F32, -1, 0, VKS_BENCH_SHAPE(2, d), &s->channels));
    VKS_TRY(vks_bench_state(bench, VKS_BENCH_SHAPE(b, d, n), &s->state));
    VKS_TRY(vks_bench_output(bench, e->dtype, VKS_BENCH_SHAPE(b, t, d), &s->y));
    return vks_bench_scratch(bench, vks_selective_scan_scratch_size(bench->kernels, s), &s->scratch);
}
static vkssm_status record_selective_scan(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_selective_scan(target, &op->selective_scan);
}
// For each state: exponent, exponential, input, decay and sum, product with C and sum; for each channel the projection.
static uint64_t flop_selective_scan(const vks_bench_entry *e) {
    return (uint64_t)e->n[0] * e->n[1] * e->n[2] * (7 * (uint64_t)e->n[3] + 2 * (uint64_t)e->n[4]);
}
const vks_bench_family vks_bench_selective_scan = {
    selective_scan, VKS_COUNT(selective_scan), place_selective_scan, record_selective_scan, flop_selective_scan, NULL};
const vks_bench_family vks_bench_selective_step = {
    selective_step, VKS_COUNT(selective_step), place_selective_scan, record_selective_scan, flop_selective_scan, NULL};

// ---- SSD: B, T, H, P, G, N -----------------------------------------------------------------------------------------

static const vks_bench_entry ssd[] = {
    {"ssd/b1t2048h80p64g1n128/f32", "Mamba-2's recurrence, a 2.7B model's layer", F32, {1, 2048, 80, 64, 1, 128}, 0},
    {"ssd/b1t2048h80p64g1n128/f16", "the same, float16 inputs and outputs", F16, {1, 2048, 80, 64, 1, 128}, 0},
    {"ssd/b1t16384h80p64g1n128/f32", "the same, longer", F32, {1, 16384, 80, 64, 1, 128}, 0},
    {"ssd/b1t16384h80p64g1n128/f16", "the same, longer, float16", F16, {1, 16384, 80, 64, 1, 128}, 0},
    {"ssd/b1t2048h80p64g1n128/bf16", "bfloat16 inputs and outputs", BF16, {1, 2048, 80, 64, 1, 128}, 0},
    {"ssd/b1t16384h80p64g1n128/bf16", "the same, longer", BF16, {1, 16384, 80, 64, 1, 128}, 0},
    {"ssd/b8t2048h80p64g1n128/f16", "8 sequences, float16", F16, {8, 2048, 80, 64, 1, 128}, 0},
    {"ssd/b1t512h80p64g1n128/f32", "512 tokens, as a piece of a prefill", F32, {1, 512, 80, 64, 1, 128}, 0},
    {"ssd/b1t128h8p64g1n128/f32", "a small one", F32, {1, 128, 8, 64, 1, 128}, 0},
};
static const vks_bench_entry ssd_step[] = {
    {"ssd_step/b1h80p64n128/f32",
     "one token of Mamba-2's recurrence, a 2.7B model's layer",
     F32,
     {1, 1, 80, 64, 1, 128},
     0},
    {"ssd_step/b16h80p64n128/f32", "the same for 16 sequences", F32, {16, 1, 80, 64, 1, 128}, 0},
    {"ssd_step/b64h80p64n128/f32", "the same for 64 sequences", F32, {64, 1, 80, 64, 1, 128}, 0},
};

static vkssm_status place_ssd(vks_bench *bench, const vks_bench_entry *e, vks_bench_op *op) {
    uint32_t b = e->n[0], t = e->n[1], h = e->n[2], p = e->n[3], g = e->n[4], n = e->n[5];
    vks_ssd *s = &op->ssd;
    *s = (vks_ssd){.dt_min = 0, .dt_max = 1e9f};
    vks_tensor xbc; // as the convolution writes them
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(b, t, h * p + 2 * g * n), &xbc));
    s->x = vks_tensor_split_last(vks_tensor_slice(xbc, 2, 0, h * p), h, p);
    s->b = vks_tensor_split_last(vks_tensor_slice(xbc, 2, h * p, g * n), g, n);
    s->c = vks_tensor_split_last(vks_tensor_slice(xbc, 2, h * p + g * n, g * n), g, n);
    VKS_TRY(vks_bench_input(bench, e->dtype, -1, 1, VKS_BENCH_SHAPE(b, t, h), &s->dt));
    // A, bias of dt and D of one range: A must be negative, the others may be.
    VKS_TRY(vks_bench_input(bench, F32, -2, -0.5f, VKS_BENCH_SHAPE(3, h), &s->heads));
    VKS_TRY(vks_bench_state(bench, VKS_BENCH_SHAPE(b, h, p, n), &s->state));
    VKS_TRY(vks_bench_output(bench, e->dtype, VKS_BENCH_SHAPE(b, t, h, p), &s->y));
    return vks_bench_scratch(bench, vks_ssd_scratch_size(bench->kernels, s), &s->scratch);
}
static vkssm_status record_ssd(const vks_op_target *target, const vks_bench_op *op) {
    return vks_op_ssd(target, &op->ssd);
}
// Of the recurrence: decay, outer product and sum, product with C and sum. Chunked forms do about as many.
static uint64_t flop_ssd(const vks_bench_entry *e) {
    return 5 * (uint64_t)e->n[0] * e->n[1] * e->n[2] * e->n[3] * e->n[5];
}
const vks_bench_family vks_bench_ssd = {ssd, VKS_COUNT(ssd), place_ssd, record_ssd, flop_ssd, NULL};
const vks_bench_family vks_bench_ssd_step = {ssd_step, VKS_COUNT(ssd_step), place_ssd, record_ssd, flop_ssd, NULL};

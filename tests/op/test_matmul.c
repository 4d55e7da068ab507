// matmul against its twin, by every algorithm.
#include "op_test.h"

#include "host/base/quant.h"

typedef struct matmul_case {
    uint32_t m, n, k;
    vkssm_dtype x, w, y;
    bool bias, accumulate;
} matmul_case;

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16
#define Q8_0 VKSSM_DTYPE_Q8_0
#define Q4_0 VKSSM_DTYPE_Q4_0
#define Q4_K VKSSM_DTYPE_Q4_K
#define Q6_K VKSSM_DTYPE_Q6_K

// Register tiles are 1, 4 or 8 rows by 8 outputs, shared tiles 64 or 128 square with 16 of k at a time, vectors of 8 k.
// The last cases are a layer of a small Mamba-2: input projection, output projection, logits.
static const matmul_case cases[] = {
    {1, 1, 1, F32, F32, F32, false, false},      {1, 2, 7, F32, F16, F32, true, false},
    {1, 65, 100, F16, F16, F16, false, true},    {2, 7, 8, F32, BF16, F32, false, true},
    {2, 64, 17, F16, F16, F16, false, true},     {3, 130, 15, F16, BF16, F32, true, true},
    {3, 1, 257, F32, F32, F32, false, false},    {4, 7, 16, F16, F32, BF16, true, false},
    {4, 65, 64, F32, F16, F32, true, false},     {5, 2, 257, BF16, BF16, BF16, false, false},
    {5, 64, 1, F32, BF16, F32, false, true},     {8, 65, 17, F32, F16, F32, true, false},
    {8, 7, 100, F16, F16, F16, false, true},     {9, 64, 15, F32, F32, F32, false, false},
    {9, 130, 8, BF16, BF16, BF16, false, false}, {63, 65, 16, F32, F32, F32, false, false},
    {64, 64, 64, F32, F16, F32, true, false},    {65, 7, 100, F16, BF16, F32, true, true},
    {65, 130, 257, F32, F32, F32, false, false}, {129, 127, 7, F16, F16, F16, false, true},
    {130, 129, 17, F16, F32, BF16, true, false}, {130, 130, 257, F32, BF16, F32, false, true},
    {1, 1192, 256, F32, F16, F32, true, false},  {33, 256, 512, F32, F32, F32, false, false},
    {6, 1000, 256, F32, F16, F32, true, false},  {1, 65, 32, F32, Q8_0, F32, false, false},
    {65, 7, 544, F32, Q8_0, F32, false, false},  {1, 33, 64, F32, Q4_0, F32, false, false},
    {33, 65, 288, F32, Q4_0, F32, false, false}, {1, 31, 768, F32, Q4_K, F32, false, false},
    {64, 9, 256, F32, Q4_K, F32, false, false},  {1, 31, 256, F32, Q6_K, F32, false, false},
    {65, 64, 512, F32, Q6_K, F32, false, false},
};

// Each product is rounded by at most one step of float32 and each sum by another, relative to the partial sum so far. A
// partial sum of terms of either sign is about sqrt(K) terms and there are K of them, while the scale is K terms: the
// deviation is about half a rounding of the scale, and up to three times that where a result is itself large, because
// then so are its partial sums. The largest of ten thousand results is off by some four deviations. Reached: 3.2 on
// lavapipe and SwiftShader where k is summed in order, 1.6 where it is summed in parallel; 7.0 on an NVIDIA H200 (one
// result of -18.4, a third of its scale).
static const double roundings = 12;

typedef struct job {
    char label[96];
    vks_tensor y;
    double *wanted, *scale;
} job;

// Weights of a block type whose blocks differ in size and in sign, and some of which are zeros.
static vks_tensor place_blocks(gpu *g, const matmul_case *c, uint64_t seed, bool pad, float *w) {
    for (size_t i = 0; i < (size_t)c->n * c->k; i += 32) {
        float factor = i / 32 % 7 == 3 ? 0 : check_uniform(&seed, -1, 1), shift = check_uniform(&seed, -0.5f, 0.5f);
        for (size_t k = i; k < i + 32; k++)
            w[k] = factor * (w[k] + shift);
    }
    uint64_t words = vks_quant_row_size(c->w, c->k) / 4;
    return gpu_blocks(g, c->w, c->n, c->k, pad ? words + 4 : 0, w);
}

static void record(gpu *g, const matmul_case *c, uint64_t seed, job *j) {
    snprintf(j->label, sizeof j->label, "m%u n%u k%u %s x %s = %s%s%s", c->m, c->n, c->k, vkssm_dtype_name(c->x),
             vkssm_dtype_name(c->w), vkssm_dtype_name(c->y), c->bias ? " bias" : "",
             c->accumulate ? " accumulate" : "");
    g->label = j->label;
    size_t n_y = (size_t)c->m * c->n;
    bool pad = seed % 2; // rows wider than need be
    uint64_t k_stride = vks_align_up(c->k, 8), y_stride = c->n + (pad ? 3 : 0);
    if (c->y != F32) y_stride = vks_align_up(y_stride, 2);
    float *x = gpu_random(&seed, (size_t)c->m * c->k, -1, 1), *w = gpu_random(&seed, (size_t)c->n * c->k, -1, 1);
    float *bias = gpu_random(&seed, c->n, -1, 1), *added = gpu_random(&seed, n_y, -1, 1);
    vks_matmul op = {
        .x = gpu_rows(g, GPU_IN, c->x, c->m, c->k, k_stride + (pad ? 8 : 0), x), // padding is NaN and must not count
        .w = vks_is_block_type(c->w) ? place_blocks(g, c, seed, pad, w)
                                     : gpu_rows(g, GPU_WEIGHT, c->w, c->n, c->k, k_stride + (pad ? 8 : 0), w),
        .bias = c->bias ? gpu_vector(g, bias, c->n) : (vks_tensor){0},
        .y =
            gpu_rows(g, c->accumulate ? GPU_IN_OUT : GPU_OUT, c->y, c->m, c->n, y_stride, c->accumulate ? added : NULL),
        .accumulate = c->accumulate,
    };
    CHECK_OK(vks_op_matmul(&g->target, &op));
    j->y = op.y;
    j->wanted = gpu_alloc(n_y, sizeof *j->wanted);
    j->scale = gpu_alloc(n_y, sizeof *j->scale);
    ref_matmul(&(ref_matmul_args){.n_row = c->m,
                                  .n_in = c->k,
                                  .n_out = c->n,
                                  .x = x,
                                  .w = w,
                                  .bias = c->bias ? bias : NULL,
                                  .added = c->accumulate ? added : NULL,
                                  .y = j->wanted,
                                  .scale = j->scale});
    vks_free(x);
    vks_free(w);
    vks_free(bias);
    vks_free(added);
}

static void run_cases(gpu *g) {
    job jobs[VKS_COUNT(cases)];
    gpu_begin(g);
    for (size_t i = 0; i < VKS_COUNT(cases); i++)
        record(g, &cases[i], i, &jobs[i]);
    CHECK(gpu_run(g));
    for (size_t i = 0; i < VKS_COUNT(cases); i++) {
        check_twin(g, jobs[i].label, &jobs[i].y, jobs[i].wanted, jobs[i].scale, roundings);
        vks_free(jobs[i].wanted);
        vks_free(jobs[i].scale);
    }
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
CHECK_CASE(variants) {
    run_variants("matmul", run_cases);
}
CHECK_CASE(masked) {
    run_masked(run_cases);
}

// Weights below 2^-14 are subnormal in float16. Vulkan lets a device take them for zero; then the products are lost and
// nothing else may be.
static void run_subnormal(gpu *g) {
    enum { M = 3, N = 9, K = 40 };
    uint64_t seed = 5;
    float *x = gpu_random(&seed, M * K, -1, 1), *w = gpu_random(&seed, N * K, -1e-6f, 1e-6f);
    double wanted[M * N], scale[M * N], found[M * N], zero[M * N] = {0};
    gpu_begin(g);
    g->label = "subnormal weights";
    vks_matmul op = {
        .x = gpu_rows(g, GPU_IN, F32, M, K, 0, x),
        .w = gpu_rows(g, GPU_WEIGHT, F16, N, K, 0, w),
        .y = gpu_rows(g, GPU_OUT, F32, M, N, 0, NULL),
    };
    CHECK_OK(vks_op_matmul(&g->target, &op));
    CHECK(gpu_run(g));
    ref_matmul(&(ref_matmul_args){.n_row = M, .n_in = K, .n_out = N, .x = x, .w = w, .y = wanted, .scale = scale});
    gpu_read(g, &op.y, found);
    if (ref_compare(found, zero, zero, M * N, REF_F32, 0).worst <= 1)
        printf("  %s takes subnormal float16 weights for zero: up to %g is lost per term\n", g->caps->name, 0x1p-14);
    else
        check_twin(g, g->label, &op.y, wanted, scale, roundings);
    check_n_checked++;
    vks_free(x);
    vks_free(w);
}

CHECK_CASE(subnormal_weights) {
    run_variants("matmul", run_subnormal);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_matmul good = {
        .x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 8)),
        .w = vks_tensor_dense(somewhere, F16, GPU_SHAPE(5, 8)),
        .bias = vks_tensor_dense(somewhere, F32, GPU_SHAPE(5)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 5)),
    };
    CHECK_OK(vks_op_matmul(&target, &good));
    vks_matmul bad = good;
    bad.x.address = 0;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: x: shape [3, 8] expected, there is no tensor");
    bad = good;
    bad.x.dtype = VKSSM_DTYPE_F64;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: x: F32, F16 or BF16 expected, F64 found");
    bad = good;
    bad.x.stride[0] = 12;
    CHECK_REFUSED(vks_op_matmul(&target, &bad),
                  "matmul: x: a stride of dimension 0 that is a multiple of 8 expected, 12");
    bad = good;
    bad.x.stride[1] = 2;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: x: a dense last dimension expected, stride 2 found");
    bad = good;
    bad.w.shape[1] = 7;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: w: shape [5, 8] expected, [5, 7] found");
    bad = good;
    bad.w.stride[0] = 0;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: w: a row stride of at least 8 expected, 0 found");
    bad = good;
    bad.w.dtype = VKSSM_DTYPE_I8;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: w: F32, F16 or BF16 expected, I8 found");
    bad = good;
    bad.w = vks_tensor_blocks(somewhere, Q4_0, 5, 8);
    CHECK_REFUSED(vks_op_matmul(&target, &bad),
                  "matmul: w: rows of a multiple of 32 values for Q4_0 expected, 8 found");
    bad.x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 32));
    bad.w = vks_tensor_blocks(somewhere, Q4_0, 5, 32);
    CHECK_OK(vks_op_matmul(&target, &bad));
    bad.w.stride[0] = 4;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: w: a row stride of at least 8 words expected, 4 found");
    bad = good;
    bad.bias.shape[0] = 4;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: bias: shape [5] expected, [4] found");
    bad = good;
    bad.bias.dtype = F16;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: bias: F32 expected, F16 found");
    bad = good;
    bad.y.n_dim = 1;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: y: shape [3, 5] expected, [3] found");
    bad = good;
    bad.y.dtype = F16;
    CHECK_REFUSED(vks_op_matmul(&target, &bad),
                  "matmul: y: a stride of dimension 0 that is a multiple of 2 expected, 5");
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv,
                    (check_case[]){CHECK_RUN(selected),
                                   CHECK_RUN(variants),
                                   CHECK_RUN(masked),
                                   CHECK_RUN(subnormal_weights),
                                   CHECK_RUN(refuses),
                                   {0}});
}

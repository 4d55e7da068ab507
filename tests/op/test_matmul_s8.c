// matmul_s8 against its twin, by every algorithm.
#include "op_test.h"

#include <math.h>

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16
#define I8 VKSSM_DTYPE_I8
#define I32 VKSSM_DTYPE_I32

typedef struct s8_case {
    uint32_t m, n, k;
    vkssm_dtype y;
    bool x_scale, w_scale, largest; // all operands -128
} s8_case;

// Register tiles are 4 by 4 with 16 of k, tiles of matrix units 64 to 192 wide and 128 of k deep.
static const s8_case cases[] = {
    {1, 1, 1, I32, false, false, false},
    {3, 5, 17, I32, false, false, false},
    {4, 4, 16, F32, true, true, false},
    {5, 3, 15, F16, true, true, false},
    {2, 131, 100, BF16, false, true, false},
    {33, 63, 127, F32, true, false, false},
    {64, 64, 128, I32, false, false, false},
    {65, 65, 129, F16, false, true, false},
    {40, 130, 272, I32, false, false, false},
    {1, 2, 131071, I32, false, false, true}, // the largest sum that the operator takes: 2^14 131,071
};
// For the larger tiles of matrix units, whole and cut; too many for a CPU.
static const s8_case large_cases[] = {
    {1030, 2310, 400, F32, true, true, false},
    {1152, 2304, 384, I32, false, false, false},
    {1030, 1402, 144, F16, true, true, false},
};

typedef struct s8_job {
    char label[96];
    const s8_case *c;
    vks_tensor y;
    double *wanted;
} s8_job;

// Bytes of rows, with what is behind column k: zeros for w, anything for x.
static int8_t *random_bytes(uint64_t *seed, uint32_t n, uint32_t k, uint32_t stride, bool zeros, bool largest) {
    int8_t *bytes = gpu_alloc((size_t)n * stride, 1);
    for (size_t i = 0; i < (size_t)n * stride; i++) {
        float value = check_uniform(seed, -128, 128);
        bytes[i] = i % stride >= k && zeros ? 0 : largest ? -128 : (int8_t)floorf(value);
    }
    return bytes;
}

static vks_tensor place_bytes(gpu *g, const int8_t *bytes, uint32_t n, uint32_t k, uint32_t stride) {
    vks_tensor words = gpu_words(g, GPU_IN, n, stride / 4, 0, (const int32_t *)(const void *)bytes);
    return vks_tensor_rows(words.address, I8, n, k, stride);
}

static void record(gpu *g, const s8_case *c, uint64_t seed, s8_job *j) {
    snprintf(j->label, sizeof j->label, "m%u n%u k%u %s%s%s", c->m, c->n, c->k, vkssm_dtype_name(c->y),
             c->x_scale ? " x scale" : "", c->w_scale ? " w scale" : "");
    g->label = j->label;
    bool pad = seed % 2;
    uint32_t x_stride = (uint32_t)vks_align_up(c->k, 16) + (pad ? 16 : 0), w_stride = (uint32_t)vks_align_up(c->k, 16);
    uint64_t y_stride = c->n + (pad ? 3 : 0);
    if (c->y == F16 || c->y == BF16) y_stride = vks_align_up(y_stride, 2);
    int8_t *x = random_bytes(&seed, c->m, c->k, x_stride, false, c->largest);
    int8_t *w = random_bytes(&seed, c->n, c->k, w_stride, true, c->largest);
    float *x_scale = gpu_random(&seed, c->m, 0.001f, 0.01f), *w_scale = gpu_random(&seed, c->n, -0.01f, 0.01f);
    vks_matmul_s8 op = {
        .x = place_bytes(g, x, c->m, c->k, x_stride),
        .w = place_bytes(g, w, c->n, c->k, w_stride),
        .x_scale = c->x_scale ? gpu_vector(g, x_scale, c->m) : (vks_tensor){0},
        .w_scale = c->w_scale ? gpu_vector(g, w_scale, c->n) : (vks_tensor){0},
        .y = c->y == I32 ? gpu_words(g, GPU_OUT, c->m, c->n, y_stride, NULL)
                         : gpu_rows(g, GPU_OUT, c->y, c->m, c->n, y_stride, NULL),
    };
    CHECK_OK(vks_op_matmul_s8(&g->target, &op));
    j->c = c;
    j->y = op.y;
    j->wanted = gpu_alloc((size_t)c->m * c->n, sizeof *j->wanted);
    ref_matmul_s8(&(ref_matmul_s8_args){.n_row = c->m,
                                        .n_in = c->k,
                                        .n_out = c->n,
                                        .x_stride = x_stride,
                                        .w_stride = w_stride,
                                        .x = x,
                                        .w = w,
                                        .x_scale = c->x_scale ? x_scale : NULL,
                                        .w_scale = c->w_scale ? w_scale : NULL,
                                        .y = j->wanted});
    vks_free(x);
    vks_free(w);
    vks_free(x_scale);
    vks_free(w_scale);
}

// Sums are exact. Scaled, the sum's conversion, the product of the scales and the last product round: three roundings
// of the result.
static void check_job(gpu *g, const s8_job *j) {
    size_t n = (size_t)j->c->m * j->c->n;
    if (j->c->y != I32) {
        double *scale = gpu_alloc(n, sizeof *scale);
        for (size_t i = 0; i < n; i++)
            scale[i] = fabs(j->wanted[i]);
        check_twin(g, j->label, &j->y, j->wanted, scale, 3);
        vks_free(scale);
        return;
    }
    int32_t *found = gpu_alloc(n, sizeof *found);
    gpu_read_words(g, &j->y, found);
    size_t n_wrong = 0;
    for (size_t i = 0; i < n; i++)
        n_wrong += (double)found[i] != j->wanted[i];
    if (n_wrong) printf("  %s\n", j->label);
    CHECK_EQ(n_wrong, 0);
    vks_free(found);
}

static void run_table(gpu *g, const s8_case *table, size_t n) {
    s8_job jobs[VKS_COUNT(cases)];
    gpu_begin(g);
    for (size_t i = 0; i < n; i++)
        record(g, &table[i], i, &jobs[i]);
    CHECK(gpu_run(g));
    for (size_t i = 0; i < n; i++) {
        check_job(g, &jobs[i]);
        vks_free(jobs[i].wanted);
    }
}
static void run_cases(gpu *g) {
    run_table(g, cases, VKS_COUNT(cases));
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
CHECK_CASE(variants) {
    run_variants("matmul_s8", run_cases);
}
CHECK_CASE(masked) {
    run_masked(run_cases);
}
CHECK_CASE(large) {
    gpu *g = gpu_open(0);
    if (!(g->caps->features & VKS_FEATURE_INT8_MATRIX)) CHECK_SKIP("the device has no cooperative matrices of int8");
    run_table(g, large_cases, VKS_COUNT(large_cases));
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_matmul_s8 good = {
        .x = vks_tensor_dense(somewhere, I8, GPU_SHAPE(3, 16)),
        .w = vks_tensor_dense(somewhere, I8, GPU_SHAPE(5, 16)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 5)),
    };
    CHECK_OK(vks_op_matmul_s8(&target, &good));
    vks_matmul_s8 bad = good;
    bad.x.address = 0;
    CHECK_REFUSED(vks_op_matmul_s8(&target, &bad), "matmul_s8: x: shape [3, 16] expected, there is no tensor");
    bad = good;
    bad.x.dtype = F16;
    CHECK_REFUSED(vks_op_matmul_s8(&target, &bad), "matmul_s8: x: I8 expected, F16 found");
    bad = good;
    bad.x.stride[0] = 24;
    CHECK_REFUSED(vks_op_matmul_s8(&target, &bad), "matmul_s8: x: a stride of dimension 0 that is a multiple of 16");
    bad = good;
    bad.w.stride[0] = 0;
    CHECK_REFUSED(vks_op_matmul_s8(&target, &bad), "matmul_s8: w: a row stride of at least 16 expected, 0 found");
    bad = good;
    bad.w.shape[1] = 15;
    CHECK_REFUSED(vks_op_matmul_s8(&target, &bad), "matmul_s8: w: shape [5, 16] expected, [5, 15] found");
    bad = good;
    bad.y.dtype = VKSSM_DTYPE_F64;
    CHECK_REFUSED(vks_op_matmul_s8(&target, &bad), "matmul_s8: y: F32, F16 or BF16 expected, F64 found");
    bad = good;
    bad.y.dtype = F16;
    CHECK_REFUSED(vks_op_matmul_s8(&target, &bad), "matmul_s8: y: a stride of dimension 0 that is a multiple of 2");
    bad = good;
    bad.x_scale = vks_tensor_dense(somewhere, F32, GPU_SHAPE(2));
    CHECK_REFUSED(vks_op_matmul_s8(&target, &bad), "matmul_s8: x_scale: shape [3] expected, [2] found");
    bad = good;
    bad.w_scale = vks_tensor_dense(somewhere, F32, GPU_SHAPE(5));
    bad.y.dtype = I32;
    CHECK_REFUSED(vks_op_matmul_s8(&target, &bad), "matmul_s8: w_scale: no scale expected where y is I32, one found");
    bad = good;
    bad.x = vks_tensor_dense(somewhere, I8, GPU_SHAPE(3, 131072));
    bad.w = vks_tensor_dense(somewhere, I8, GPU_SHAPE(5, 131072));
    CHECK_EQ(vks_op_matmul_s8(&target, &bad), VKSSM_ERR_UNSUPPORTED);
}

int main(int argc, char **argv) {
    return gpu_main(
        argc, argv,
        (check_case[]){
            CHECK_RUN(selected), CHECK_RUN(variants), CHECK_RUN(masked), CHECK_RUN(large), CHECK_RUN(refuses), {0}});
}

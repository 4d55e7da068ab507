// sum_parts against its twin.
#include "op_test.h"

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

typedef struct parts_case {
    uint32_t n_part, m, n;
    vkssm_dtype y;
    bool bias, accumulate;
} parts_case;

// Vectors are 4 wide.
static const parts_case cases[] = {
    {1, 1, 1, F32, false, false}, {2, 3, 4, F32, false, true},  {2, 5, 7, F32, true, true},
    {4, 2, 66, F16, true, false}, {8, 3, 129, F32, true, true}, {3, 2, 131, BF16, false, true},
    {2, 9, 72, F16, false, true},
};

// A rounding for each of at most ten terms.
static const double roundings = 10;

static void record(gpu *g, const void *one, uint64_t seed, op_job *job) {
    const parts_case *c = one;
    snprintf(job->label, sizeof job->label, "%u parts of m%u n%u, %s%s%s", c->n_part, c->m, c->n,
             vkssm_dtype_name(c->y), c->bias ? " bias" : "", c->accumulate ? " accumulate" : "");
    g->label = job->label;
    size_t n_y = (size_t)c->m * c->n;
    uint64_t part_stride = vks_align_up(c->n, 4) + (seed % 2) * 4, y_stride = c->n + (seed % 3);
    if (c->y != F32) y_stride = vks_align_up(y_stride, 2);
    float *parts = gpu_random(&seed, n_y * c->n_part, -1, 1), *bias = gpu_random(&seed, c->n, -1, 1);
    float *added = gpu_random(&seed, n_y, -1, 1);
    vks_tensor rows = gpu_rows(g, GPU_IN, F32, c->n_part * c->m, c->n, part_stride, parts);
    vks_sum_parts op = {
        .parts = {.address = rows.address,
                  .dtype = F32,
                  .n_dim = 3,
                  .shape = {c->n_part, c->m, c->n},
                  .stride = {c->m * part_stride, part_stride, 1}},
        .bias = c->bias ? gpu_vector(g, bias, c->n) : (vks_tensor){0},
        .y =
            gpu_rows(g, c->accumulate ? GPU_IN_OUT : GPU_OUT, c->y, c->m, c->n, y_stride, c->accumulate ? added : NULL),
        .accumulate = c->accumulate,
    };
    CHECK_OK(vks_op_sum_parts(&g->target, &op));
    op_expect(job, op.y, n_y);
    ref_sum_parts(&(ref_sum_parts_args){.n_part = c->n_part,
                                        .n_row = c->m,
                                        .n_out = c->n,
                                        .parts = parts,
                                        .bias = c->bias ? bias : NULL,
                                        .added = c->accumulate ? added : NULL,
                                        .y = job->wanted,
                                        .scale = job->scale});
    vks_free(parts);
    vks_free(bias);
    vks_free(added);
}

static void run_cases(gpu *g) {
    RUN_AGAINST_TWIN(g, cases, record, roundings);
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
CHECK_CASE(masked) {
    run_masked(run_cases);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_sum_parts good = {
        .parts = vks_tensor_dense(somewhere, F32, GPU_SHAPE(2, 3, 8)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 8)),
    };
    CHECK_OK(vks_op_sum_parts(&target, &good));
    vks_sum_parts bad = good;
    bad.parts.address = 0;
    CHECK_REFUSED(vks_op_sum_parts(&target, &bad), "sum_parts: parts: shape [2, 3, 8] expected, there is no tensor");
    bad = good;
    bad.parts.dtype = F16;
    CHECK_REFUSED(vks_op_sum_parts(&target, &bad), "sum_parts: parts: F32 expected, F16 found");
    bad = good;
    bad.parts.stride[0] = 32;
    CHECK_REFUSED(vks_op_sum_parts(&target, &bad), "parts that follow each other expected, strides 8 and 32 found");
    bad = good;
    bad.bias = vks_tensor_dense(somewhere, F32, GPU_SHAPE(7));
    CHECK_REFUSED(vks_op_sum_parts(&target, &bad), "sum_parts: bias: shape [8] expected, [7] found");
    bad = good;
    bad.y.dtype = VKSSM_DTYPE_I32;
    CHECK_REFUSED(vks_op_sum_parts(&target, &bad), "sum_parts: y: F32, F16 or BF16 expected, I32 found");
    bad = good;
    bad.parts = vks_tensor_dense(somewhere, F32, GPU_SHAPE(9, 3, 8));
    CHECK_EQ(vks_op_sum_parts(&target, &bad), VKSSM_ERR_UNSUPPORTED);
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv, (check_case[]){CHECK_RUN(selected), CHECK_RUN(masked), CHECK_RUN(refuses), {0}});
}

// log_softmax against its twin, in place and not.
#include "op_test.h"

#define F32 VKSSM_DTYPE_F32

typedef struct log_softmax_case {
    uint32_t n_row, n_channel;
    bool in_place;
    float magnitude;
} log_softmax_case;

// Workgroups are one subgroup, 64 or (above 1024 channels) 256 wide.
static const log_softmax_case cases[] = {
    {1, 1, false, 1},  {3, 2, true, 1},     {1000, 10, true, 30},    {5, 63, false, 2},  {4, 65, false, 1000},
    {7, 129, true, 1}, {2, 1024, false, 8}, {3, 1025, false, 1e30f}, {2, 4097, true, 1},
};

// Relative to |x - max| + log(sum) + 1: differences 3; exp(x - max) has a precision of 3 + 2 |x - max| units (Vulkan,
// "Precision and operation of SPIR-V instructions") of what it adds, at most 3 units, or 6 roundings, of the sum; log
// is off by 2^-21, or 8 roundings of 1, near 1, and 3 units elsewhere. Reached: 3.
static const double roundings = 18;

static void record(gpu *g, const void *one, uint64_t seed, op_job *j) {
    const log_softmax_case *c = one;
    snprintf(j->label, sizeof j->label, "t%u d%u of %g%s", c->n_row, c->n_channel, (double)c->magnitude,
             c->in_place ? " in place" : "");
    g->label = j->label;
    size_t n = (size_t)c->n_row * c->n_channel;
    uint64_t stride = c->n_channel + seed % 3;
    float *x = gpu_random(&seed, n, -c->magnitude, c->magnitude);
    vks_log_softmax op = {.x = gpu_rows(g, c->in_place ? GPU_IN_OUT : GPU_IN, F32, c->n_row, c->n_channel, stride, x)};
    op.y = c->in_place ? op.x : gpu_rows(g, GPU_OUT, F32, c->n_row, c->n_channel, stride + 1, NULL);
    CHECK_OK(vks_op_log_softmax(&g->target, &op));
    op_expect(j, op.y, n);
    ref_log_softmax(&(ref_log_softmax_args){
        .n_row = c->n_row, .n_channel = c->n_channel, .x = x, .y = j->wanted, .scale = j->scale});
    vks_free(x);
}

static void run_cases(gpu *g) {
    RUN_AGAINST_TWIN(g, cases, record, roundings);
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
// More workgroups than a dispatch may have in one dimension. Which variant they run makes no difference to that.
CHECK_CASE(many_rows) {
    static const log_softmax_case many[] = {{70000, 3, false, 1}};
    RUN_AGAINST_TWIN(gpu_open(0), many, record, roundings);
}
CHECK_CASE(variants) {
    run_variants("log_softmax", run_cases);
}
CHECK_CASE(masked) {
    run_masked(run_cases);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_log_softmax good = {
        .x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 6)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 6)),
    };
    CHECK_OK(vks_op_log_softmax(&target, &good));
    vks_log_softmax bad = good;
    bad.x.shape[0] = 2;
    CHECK_REFUSED(vks_op_log_softmax(&target, &bad), "log_softmax: x: shape [3, 6] expected, [2, 6] found");
    bad = good;
    bad.y.dtype = VKSSM_DTYPE_F16;
    CHECK_REFUSED(vks_op_log_softmax(&target, &bad), "log_softmax: y: F32 expected, F16 found");
    bad = good;
    bad.y.stride[1] = 2;
    CHECK_REFUSED(vks_op_log_softmax(&target, &bad), "log_softmax: y: a dense last dimension expected, stride 2 found");
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

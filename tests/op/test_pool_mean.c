// pool_mean against its twin: one call, and the same time steps in several calls that carry the state on.
#include "op_test.h"

#define F32 VKSSM_DTYPE_F32

typedef struct pool_mean_case {
    uint32_t n_sequence, n_time, n_channel, n_call; // n_time: of each call
    float offset;                                   // x is this plus or minus 1
} pool_mean_case;

// A workgroup takes 32 channels; one invocation or 8 take a channel's steps. The last case has more of them than Mesa's
// CPU driver lets a loop have rounds.
static const pool_mean_case cases[] = {
    {1, 1, 1, 1, 0},     {2, 1, 31, 300, 0},  {3, 5, 32, 2, 0},     {1, 127, 33, 1, 1},  {5, 129, 65, 3, 0},
    {2, 784, 128, 1, 0}, {1, 3001, 5, 4, 10}, {1, 16, 96, 40, 100}, {1, 70001, 2, 1, 1},
};

// Relative to the mean of |x|: the sums are as good as exact, then one addition and one division (2.5 units in Vulkan,
// 5 roundings). Reached: 1 here.
static const double roundings = 6;

// Steps first ... first+n_time-1 of every sequence as a tensor of their own.
static vks_tensor place_call(gpu *g, const pool_mean_case *c, float *x, uint32_t call, uint64_t stride) {
    uint32_t n_all = c->n_time * c->n_call, n_row = c->n_sequence * c->n_time;
    float *part = gpu_alloc((size_t)n_row * c->n_channel, sizeof *part);
    for (uint32_t s = 0; s < c->n_sequence; s++)
        memcpy(part + (size_t)s * c->n_time * c->n_channel,
               x + ((size_t)s * n_all + (size_t)call * c->n_time) * c->n_channel,
               (size_t)c->n_time * c->n_channel * sizeof *x);
    vks_tensor rows = gpu_rows(g, GPU_IN, F32, n_row, c->n_channel, stride, part);
    vks_free(part);
    vks_tensor tensor = gpu_reshape(rows, 2, GPU_SHAPE(c->n_sequence, c->n_time, c->n_channel));
    return tensor;
}

static void record(gpu *g, const void *one, uint64_t seed, op_job *j) {
    const pool_mean_case *c = one;
    snprintf(j->label, sizeof j->label, "b%u t%u d%u, %u calls", c->n_sequence, c->n_time, c->n_channel, c->n_call);
    g->label = j->label;
    uint32_t n_all = c->n_time * c->n_call;
    size_t n = (size_t)c->n_sequence * n_all * c->n_channel, n_out = (size_t)c->n_sequence * c->n_channel;
    float *x = gpu_random(&seed, n, c->offset - 1, c->offset + 1), *zeros = gpu_alloc(3 * n_out, sizeof *zeros);
    vks_tensor state =
        gpu_rows(g, GPU_IN_OUT, F32, c->n_sequence, 3 * c->n_channel, 3 * c->n_channel + seed % 5, zeros);
    vks_pool_mean op = {.state = gpu_reshape(state, 1, GPU_SHAPE(c->n_sequence, 3, c->n_channel))};
    op_expect(j, gpu_rows(g, GPU_OUT, F32, c->n_sequence, c->n_channel, c->n_channel + 1, NULL), n_out);
    for (uint32_t call = 0; call < c->n_call; call++) {
        op.x = place_call(g, c, x, call, c->n_channel + seed % 3);
        op.y = call + 1 == c->n_call || call % 2 ? j->y : (vks_tensor){0}; // calls with and without a result
        CHECK_OK(vks_op_pool_mean(&g->target, &op));
    }
    ref_pool_mean(&(ref_pool_mean_args){.n_sequence = c->n_sequence,
                                        .n_time = n_all,
                                        .n_channel = c->n_channel,
                                        .x = x,
                                        .y = j->wanted,
                                        .scale = j->scale});
    vks_free(x);
    vks_free(zeros);
}

static void run_cases(gpu *g) {
    RUN_AGAINST_TWIN(g, cases, record, roundings);
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
CHECK_CASE(variants) {
    run_variants("pool_mean", run_cases);
}
CHECK_CASE(masked) {
    run_masked(run_cases);
}

// 2^25 ones, counted in 2^13 calls: a float32 sum alone would stop growing at 2^24.
CHECK_CASE(long_sums) {
    enum { N_TIME = 4096, N_CALL = 8192 };
    gpu *g = gpu_open(0);
    g->label = "long";
    float *x = gpu_alloc(N_TIME, sizeof *x), zeros[3] = {0};
    for (int t = 0; t < N_TIME; t++)
        x[t] = 1;
    gpu_begin(g);
    vks_tensor state = gpu_rows(g, GPU_IN_OUT, F32, 1, 3, 3, zeros);
    vks_pool_mean op = {
        .x = gpu_reshape(gpu_rows(g, GPU_IN, F32, N_TIME, 1, 1, x), 2, GPU_SHAPE(1, N_TIME, 1)),
        .state = gpu_reshape(state, 1, GPU_SHAPE(1, 3, 1)),
        .y = gpu_rows(g, GPU_OUT, F32, 1, 1, 1, NULL),
    };
    // A third of a step at the end must not get lost beside a sum of 2^25.
    float *last = gpu_random(&(uint64_t){1}, 1, 0.3f, 0.4f);
    for (int call = 0; call < N_CALL; call++)
        CHECK_OK(vks_op_pool_mean(&g->target, &op));
    op.x = gpu_reshape(gpu_rows(g, GPU_IN, F32, 1, 1, 1, last), 2, GPU_SHAPE(1, 1, 1));
    CHECK_OK(vks_op_pool_mean(&g->target, &op));
    CHECK(gpu_run(g));
    double found[3], mean;
    gpu_read(g, &state, found);
    gpu_read(g, &op.y, &mean);
    CHECK(found[0] + found[1] == (double)N_TIME * N_CALL + (double)*last);
    CHECK(mean == 1);
    vks_free(x);
    vks_free(last);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_pool_mean good = {
        .x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(2, 7, 6)),
        .state = vks_tensor_dense(somewhere, F32, GPU_SHAPE(2, 3, 6)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(2, 6)),
    };
    CHECK_OK(vks_op_pool_mean(&target, &good));
    vks_pool_mean bad = good;
    bad.x.dtype = VKSSM_DTYPE_F16;
    CHECK_REFUSED(vks_op_pool_mean(&target, &bad), "pool_mean: x: F32 expected, F16 found");
    bad = good;
    bad.x.stride[0]++;
    CHECK_REFUSED(vks_op_pool_mean(&target, &bad), "pool_mean: x: sequences T rows apart expected");
    bad = good;
    bad.state.shape[1] = 2;
    CHECK_REFUSED(vks_op_pool_mean(&target, &bad), "pool_mean: state: shape [2, 3, 6] expected, [2, 2, 6] found");
    bad = good;
    bad.y.shape[0] = 1;
    CHECK_REFUSED(vks_op_pool_mean(&target, &bad), "pool_mean: y: shape [2, 6] expected, [1, 6] found");
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv,
                    (check_case[]){CHECK_RUN(selected),
                                   CHECK_RUN(variants),
                                   CHECK_RUN(masked),
                                   CHECK_RUN(long_sums),
                                   CHECK_RUN(refuses),
                                   {0}});
}

// mixer_step against its twin, whoever computes what: with enough looks, with none, and with the outputs that all need
// computed last.
#include "op_test.h"

#include <math.h>

#include "host/base/quant.h"

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define Q8_0 VKSSM_DTYPE_Q8_0
#define Q4_0 VKSSM_DTYPE_Q4_0

typedef struct mixer_case {
    uint32_t n_in, n_head, n_width, n_group, n_state, n_tap;
    vkssm_dtype w;
    bool conv_bias;
    vks_mixer_step_tuning tuning;
} mixer_case;

// Turns take 8 or 16 of k for each of 64 invocations; units are 8 rows, less where a head's width is not a multiple.
static const mixer_case cases[] = {
    {8, 1, 1, 1, 4, 2, F32, false, {0}},
    {40, 4, 6, 2, 12, 3, F16, true, {0}},
    {520, 2, 16, 1, 64, 4, VKSSM_DTYPE_BF16, true, {0}},
    {504, 3, 8, 3, 20, 4, F16, false, {.n_unroll = 2}},
    {64, 2, 64, 1, 128, 4, F16, true, {.late = true, .n_published = 19}},
    {96, 2, 32, 2, 16, 4, Q8_0, true, {0}},
    {1056, 2, 8, 1, 36, 4, Q8_0, true, {.n_unroll = 2}},
    {1024, 1, 16, 1, 16, 4, Q4_0, false, {.wg_size = 128, .unit = 16}},
    {256, 2, 16, 1, 8, 4, VKSSM_DTYPE_Q4_K, true, {.unit = 4}},
    {256, 1, 8, 1, 8, 4, VKSSM_DTYPE_Q6_K, true, {0}},
    {64, 4, 16, 2, 16, 4, F16, true, {.n_turn = 1}},
    {64, 4, 16, 2, 16, 4, F16, true, {.n_turn = 1, .late = true}},
    {96, 3, 32, 1, 128, 4, Q8_0, true, {.n_turn = 2, .late = true}},
};

// As for matmul 12 of the scale for the projection, whose result passes a sum of taps, SiLU, softplus, a decay,
// products and a sum over N; scales grow along with them, so that each adds a part of one. Reached: 2 on lavapipe.
static const double roundings = 16;

enum { N_SLOT = 3, SLOT = 1 };

typedef struct job {
    char label[128];
    vks_tensor y, state, conv_state;
    double *twin; // y, its scale, state, its scale, convolution's state, its scale
    size_t n_y, n_state, n_conv;
} job;

static vks_tensor place_weights(gpu *g, const mixer_case *c, uint32_t n_out, float *w) {
    if (vks_is_block_type(c->w)) return gpu_blocks(g, c->w, n_out, c->n_in, 0, w);
    return gpu_rows(g, GPU_WEIGHT, c->w, n_out, c->n_in, 0, w);
}

static vks_tensor as_slots(vks_tensor rows, uint32_t n_dim, const uint32_t *shape) {
    return gpu_reshape(rows, 1, n_dim, shape);
}

static void expect(const mixer_case *c, job *j, const ref_mixer_step_args *given, const float *state,
                   const float *conv_state) {
    j->twin = gpu_alloc(2 * (j->n_y + j->n_state + j->n_conv), sizeof *j->twin);
    ref_mixer_step_args args = *given;
    args.y = j->twin;
    args.scale = args.y + j->n_y;
    args.state = args.scale + j->n_y;
    args.state_scale = args.state + j->n_state;
    args.conv_state = args.state_scale + j->n_state;
    args.conv_state_scale = args.conv_state + j->n_conv;
    args.norm_eps = 1e-5f;
    args.dt_max = 0.5f;
    args.n_in = c->n_in, args.n_head = c->n_head, args.n_width = c->n_width, args.n_group = c->n_group;
    args.n_state = c->n_state, args.n_tap = c->n_tap;
    for (size_t i = 0; i < j->n_state; i++)
        args.state[i] = state[SLOT * j->n_state + i];
    for (size_t i = 0; i < j->n_conv; i++)
        args.conv_state[i] = conv_state[SLOT * j->n_conv + i];
    ref_mixer_step(&args);
}

static void record(gpu *g, const mixer_case *c, uint64_t seed, job *j) {
    snprintf(j->label, sizeof j->label, "k%u h%u p%u g%u n%u %u taps %s, turns %u%s", c->n_in, c->n_head, c->n_width,
             c->n_group, c->n_state, c->n_tap, vkssm_dtype_name(c->w), c->tuning.n_turn,
             c->tuning.late ? ", late" : "");
    g->label = j->label;
    uint32_t n_inner = c->n_head * c->n_width, n_conv = n_inner + 2 * c->n_group * c->n_state;
    uint32_t n_out = n_inner + n_conv + c->n_head;
    j->n_y = n_inner, j->n_state = (size_t)n_inner * c->n_state, j->n_conv = (size_t)(c->n_tap - 1) * n_conv;
    float *x = gpu_alloc(c->n_in, sizeof *x), *norm = gpu_alloc(c->n_in, sizeof *norm);
    op_fill_codes(&seed, x, c->n_in);
    for (uint32_t k = 0; k < c->n_in; k++)
        norm[k] = k / 16 % 3 ? 1 : 2;
    float bound = 1.7f / sqrtf((float)c->n_in); // outputs of about 1
    float *w = gpu_random(&seed, (size_t)n_out * c->n_in, -bound, bound);
    float *conv_w = gpu_random(&seed, (size_t)c->n_tap * n_conv, -0.5f, 0.5f), *bias = gpu_random(&seed, n_conv, -1, 1);
    float *heads = gpu_random(&seed, (size_t)3 * c->n_head, -2, -0.1f);
    float *state = gpu_random(&seed, N_SLOT * j->n_state, -1, 1);
    float *conv_state = gpu_random(&seed, N_SLOT * j->n_conv, -1, 1);
    const int32_t slot = SLOT;
    vks_mixer_step op = {
        .x = gpu_rows(g, GPU_IN, F32, 1, c->n_in, 0, x),
        .norm = gpu_vector(g, norm, c->n_in),
        .w = place_weights(g, c, n_out, w),
        .conv = {.w =
                     as_slots(gpu_rows(g, GPU_IN, F32, c->n_tap, n_conv, 0, conv_w), 2, (uint32_t[]){c->n_tap, n_conv}),
                 .bias = c->conv_bias ? gpu_vector(g, bias, n_conv) : (vks_tensor){0},
                 .state = as_slots(gpu_rows(g, GPU_IN_OUT, F32, N_SLOT, (uint32_t)j->n_conv, 0, conv_state), 3,
                                   (uint32_t[]){N_SLOT, c->n_tap - 1, n_conv}),
                 .slots = gpu_word_vector(g, &slot, 1),
                 .first = n_inner},
        .heads = as_slots(gpu_rows(g, GPU_IN, F32, 3, c->n_head, 0, heads), 2, (uint32_t[]){3, c->n_head}),
        .state = as_slots(gpu_rows(g, GPU_IN_OUT, F32, N_SLOT, (uint32_t)j->n_state, 0, state), 4,
                          (uint32_t[]){N_SLOT, c->n_head, c->n_width, c->n_state}),
        .norm_eps = 1e-5f,
        .dt_max = 0.5f,
        .tuning = c->tuning,
    };
    uint32_t n_word = (uint32_t)vks_mixer_step_words(&op);
    vks_tensor words = gpu_words(g, GPU_OUT, 1, n_word, 0, NULL), left = gpu_words(g, GPU_OUT, 1, 2 * n_inner, 0, NULL);
    op.words = gpu_reshape(words, 1, 1, (uint32_t[]){n_word});
    op.words.shape[0] = n_word, op.words.n_dim = 1, op.words.stride[0] = 1;
    op.left = op.words;
    op.left.address = left.address, op.left.shape[0] = 2 * n_inner;
    op.left.dtype = F32;
    op.y = gpu_rows(g, GPU_OUT, F32, 1, n_inner, 0, NULL);
    CHECK_OK(vks_op_clear(&g->target, op.words));
    CHECK_OK(vks_op_mixer_step(&g->target, &op));
    // Who was quicker shows in these.
    CHECK_OK(vks_op_clear(&g->target, op.words));
    op.left.dtype = VKSSM_DTYPE_I32;
    CHECK_OK(vks_op_clear(&g->target, op.left));
    j->y = op.y;
    j->state = vks_tensor_slice(op.state, 0, SLOT, 1);
    j->conv_state = vks_tensor_slice(op.conv.state, 0, SLOT, 1);
    expect(c, j,
           &(ref_mixer_step_args){.x = x,
                                  .norm = norm,
                                  .w = w,
                                  .conv_w = conv_w,
                                  .conv_bias = c->conv_bias ? bias : NULL,
                                  .a = heads,
                                  .dt_bias = heads + c->n_head,
                                  .d = heads + 2 * c->n_head},
           state, conv_state);
    float *all[] = {x, norm, w, conv_w, bias, heads, state, conv_state};
    for (size_t i = 0; i < VKS_COUNT(all); i++)
        vks_free(all[i]);
}

static void run_cases(gpu *g, size_t step) {
    job jobs[VKS_COUNT(cases)];
    gpu_begin(g);
    for (size_t i = 0; i < VKS_COUNT(cases); i += step)
        record(g, &cases[i], i, &jobs[i]);
    CHECK(gpu_run(g));
    for (size_t i = 0; i < VKS_COUNT(cases); i += step) {
        job *j = &jobs[i];
        const double *state = j->twin + 2 * j->n_y, *conv_state = state + 2 * j->n_state;
        check_twin(g, j->label, &j->y, j->twin, j->twin + j->n_y, roundings);
        check_twin(g, j->label, &j->state, state, state + j->n_state, roundings);
        check_twin(g, j->label, &j->conv_state, conv_state, conv_state + j->n_conv, roundings);
        vks_free(j->twin);
    }
}

static void run(gpu *g) {
    run_cases(g, 1);
}
static void run_some(gpu *g) {
    run_cases(g, 4);
}

CHECK_CASE(selected) {
    run_some(gpu_open(0));
}

CHECK_CASE(variants) {
    run_variants("mixer_step", run);
}

CHECK_CASE(masked) {
    run_masked(run_some);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    vks_mixer_step good = {
        .x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(1, 16)),
        .norm = vks_tensor_dense(somewhere, F32, GPU_SHAPE(16)),
        .w = vks_tensor_dense(somewhere, F16, GPU_SHAPE(42, 16)),
        .conv = {.w = vks_tensor_dense(somewhere, F32, GPU_SHAPE(4, 24)),
                 .state = vks_tensor_dense(somewhere, F32, GPU_SHAPE(1, 3, 24)),
                 .first = 16},
        .heads = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 2)),
        .state = vks_tensor_dense(somewhere, F32, GPU_SHAPE(1, 2, 8, 4)),
        .left = vks_tensor_dense(somewhere, F32, GPU_SHAPE(32)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(1, 16)),
    };
    good.words = vks_tensor_dense(somewhere, VKSSM_DTYPE_I32, GPU_SHAPE((uint32_t)vks_mixer_step_words(&good)));
    CHECK_OK(vks_op_mixer_step(&target, &good));
    vks_mixer_step bad = good;
    bad.words.shape[0] = 11;
    CHECK_REFUSED(vks_op_mixer_step(&target, &bad), "mixer_step: words: 20 expected, 11 found");
    bad = good;
    bad.x.dtype = F16;
    CHECK_REFUSED(vks_op_mixer_step(&target, &bad), "mixer_step: x: F32 expected, F16 found");
    bad = good;
    bad.w.shape[0] = 41;
    CHECK_REFUSED(vks_op_mixer_step(&target, &bad), "mixer_step: w: shape [42, 16] expected, [41, 16] found");
    bad = good;
    bad.conv.first = 8;
    CHECK_REFUSED(vks_op_mixer_step(&target, &bad), "mixer_step: channels of x, B and C behind 16 of the gate");
    bad = good;
    bad.state.shape[3] = 3;
    CHECK_REFUSED(vks_op_mixer_step(&target, &bad), "mixer_step: ");
    bad = good;
    bad.left.shape[0] = 31;
    CHECK_REFUSED(vks_op_mixer_step(&target, &bad), "mixer_step: left: shape [32] expected, [31] found");
    bad = good;
    bad.y.address = 0;
    CHECK_REFUSED(vks_op_mixer_step(&target, &bad), "mixer_step: y: shape [1, 16] expected, there is no tensor");
    bad = good;
    bad.tuning.unit = 32;
    CHECK_REFUSED(vks_op_mixer_step(&target, &bad), "mixer_step: a unit that divides 8 rows");
    bad = good;
    bad.conv.w.shape[0] = 9;
    CHECK_EQ(vks_op_mixer_step(&target, &bad), VKSSM_ERR_UNSUPPORTED);
    CHECK_REFUSED(vks_op_clear(&target, (vks_tensor){0}), "clear: words");
}

int main(int argc, char **argv) {
    return gpu_main(
        argc, argv,
        (check_case[]){CHECK_RUN(selected), CHECK_RUN(variants), CHECK_RUN(masked), CHECK_RUN(refuses), {0}});
}

// conv_s5 against its twin: the parallel form whole and in pieces, frame by frame, sequences together and alone.
#include "op_test.h"

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16

typedef struct conv_s5_case {
    uint32_t b, t, h, w, u, p, kb, kc;
    vkssm_dtype type; // of u and the weights
    bool reverse, resets;
} conv_s5_case;

static const conv_s5_case cases[] = {
    {1, 1, 1, 1, 1, 4, 1, 1, F32, false, false},  {1, 7, 4, 5, 3, 4, 3, 3, F32, false, false},
    {3, 5, 3, 3, 8, 8, 3, 1, F32, true, false},   {2, 9, 4, 4, 5, 4, 1, 3, F32, false, true},
    {2, 6, 5, 3, 16, 12, 3, 3, F32, true, true},  {2, 4, 8, 8, 24, 16, 3, 3, F16, false, false},
    {1, 40, 2, 3, 8, 4, 5, 3, F32, false, false},
};

// B is a sum of some hundred products, the scan adds a rounding a step that decays, C is a sum of some hundred: each
// off by a few deviations of its roundings, as in test_matmul, of which the scale is the sum of all absolute values.
// Reached: 3. With 16-bit operands the states are rounded once more, by half a step of 2^-10, which is 2^13 float32
// roundings; they cancel in C.
static const double roundings = 16, half_roundings = 0x1p13;

typedef struct job {
    vks_tensor y, last;
    double *wanted, *scale, *wanted_last, *last_scale;
} job;

// How the frames are taken.
typedef enum frames_form { WHOLE, PIECES, STEPS, ALONE, N_FORM } frames_form;

static uint64_t scratch_size(const conv_s5_case *c, frames_form form) {
    uint64_t n_frame = form == WHOLE ? (uint64_t)c->b * c->t : form == PIECES ? (c->t > 2 ? 3 : 1) : c->b;
    return vks_conv_s5_scratch_size(n_frame, c->h * c->w, c->p, c->type) + (form == PIECES ? 5 : 0);
}

// The operator for some of the frames: steps t ... t+n-1 of sequences s ... s+m-1.
static void record_part(gpu *g, const vks_conv_s5 *whole, uint32_t s, uint32_t m, uint32_t t, uint32_t n) {
    vks_conv_s5 op = *whole;
    uint32_t first = s * whole->n_time + t;
    op.n_sequence = m;
    op.n_time = n;
    op.u = vks_tensor_slice(op.u, 0, first, m * n);
    op.y = vks_tensor_slice(op.y, 0, first, m * n);
    op.state = vks_tensor_slice(op.state, 0, s, m);
    if (op.resets.address) op.resets = vks_tensor_slice(vks_tensor_slice(op.resets, 0, s, m), 1, t, n);
    CHECK_OK(vks_op_conv_s5(&g->target, &op));
}

static void record_form(gpu *g, const vks_conv_s5 *op, frames_form form) {
    if (form == WHOLE || form == PIECES) record_part(g, op, 0, op->n_sequence, 0, op->n_time);
    for (uint32_t s = 0; form == ALONE && s < op->n_sequence; s++)
        record_part(g, op, s, 1, 0, op->n_time);
    for (uint32_t i = 0; form == STEPS && i < op->n_time; i++)
        for (uint32_t s = 0; s < op->n_sequence; s++)
            record_part(g, op, s, 1, op->reverse ? op->n_time - 1 - i : i, 1);
}

static vks_tensor place_kernel(gpu *g, vkssm_dtype type, uint32_t n_out, uint32_t n_tap, uint32_t n_in, float *values) {
    uint32_t padded = (uint32_t)vks_align_up(n_in, 8);
    float *rows = gpu_alloc((size_t)n_out * n_tap * padded, sizeof *rows);
    for (uint32_t i = 0; i < n_out * n_tap; i++)
        memcpy(rows + (size_t)i * padded, values + (size_t)i * n_in, n_in * sizeof *rows);
    vks_tensor tensor = gpu_rows(g, GPU_WEIGHT, type, n_out, n_tap * padded, 0, rows);
    for (uint32_t i = 0; i < n_out * n_tap; i++)
        memcpy(values + (size_t)i * n_in, rows + (size_t)i * padded, n_in * sizeof *rows);
    vks_free(rows);
    return tensor;
}

static void record(gpu *g, const conv_s5_case *c, frames_form form, job *j) {
    uint64_t seed = 17;
    uint32_t n_frame = c->b * c->t, n_pixel = c->h * c->w, n_b = c->kb * c->kb, n_c = c->kc * c->kc;
    size_t n_u = (size_t)n_frame * n_pixel * c->u, n_state = 2 * (size_t)c->b * n_pixel * c->p;
    float *u = gpu_random(&seed, n_u, -1, 1), *a = gpu_random(&seed, 2 * c->p, -0.68f, 0.68f);
    float *b = gpu_random(&seed, (size_t)2 * c->p * n_b * c->u, -1, 1);
    float *w = gpu_random(&seed, (size_t)c->u * n_c * 2 * c->p, -1, 1), *initial = gpu_random(&seed, n_state, -1, 1);
    int32_t *resets = gpu_alloc(n_frame, sizeof *resets);
    for (uint32_t i = 0; i < n_frame; i++)
        resets[i] = check_random(&seed) % 4 == 0;
    uint32_t n_scratch = (uint32_t)scratch_size(c, form), n_row = n_frame * n_pixel;
    j->last = gpu_rows(g, GPU_IN_OUT, F32, c->b * n_pixel, 2 * c->p, 0, initial);
    j->y = gpu_rows(g, GPU_OUT, F32, n_row, c->u, vks_align_up(c->u, 8), NULL);
    vks_tensor scratch = gpu_rows(g, GPU_OUT, F32, 1, n_scratch, 0, NULL);
    vks_conv_s5 op = {
        .u = vks_tensor_images(gpu_rows(g, GPU_IN, c->type, n_row, c->u, vks_align_up(c->u, 8), u), c->h, c->w),
        .a = gpu_rows(g, GPU_IN, F32, c->p, 2, 0, a),
        .b = place_kernel(g, c->type, 2 * c->p, n_b, c->u, b),
        .c = place_kernel(g, c->type, c->u, n_c, 2 * c->p, w),
        .state = vks_tensor_dense(j->last.address, F32, GPU_SHAPE(c->b, n_pixel, c->p, 2)),
        .y = vks_tensor_images(j->y, c->h, c->w),
        .scratch = vks_tensor_dense(scratch.address, F32, 1, &n_scratch),
        .n_sequence = c->b,
        .n_time = c->t,
        .kernel_b = c->kb,
        .kernel_c = c->kc,
        .state_dtype = c->type,
        .reverse = c->reverse,
    };
    if (c->t == 7 || c->t == 40) // as GPUs do it
        op.tuning = (vks_scan_tuning){.n_lane = 1, .n_side = 64, .n_step = 16, .prefetch = 1};
    if (c->resets) op.resets = gpu_words(g, GPU_IN, c->b, c->t, 0, resets);
    record_form(g, &op, form);
    j->wanted = gpu_alloc(n_u, sizeof *j->wanted);
    j->scale = gpu_alloc(n_u, sizeof *j->scale);
    j->wanted_last = gpu_alloc(n_state, sizeof *j->wanted_last);
    j->last_scale = gpu_alloc(n_state, sizeof *j->last_scale);
    ref_conv_s5(&(ref_conv_s5_args){.n_sequence = c->b,
                                    .n_time = c->t,
                                    .height = c->h,
                                    .width = c->w,
                                    .n_channel = c->u,
                                    .n_state = c->p,
                                    .kernel_b = c->kb,
                                    .kernel_c = c->kc,
                                    .u = u,
                                    .a = a,
                                    .b = b,
                                    .c = w,
                                    .initial = initial,
                                    .resets = c->resets ? resets : NULL,
                                    .reverse = c->reverse,
                                    .y = j->wanted,
                                    .scale = j->scale,
                                    .last = j->wanted_last,
                                    .last_scale = j->last_scale});
    float *all[] = {u, a, b, w, initial};
    for (size_t i = 0; i < VKS_COUNT(all); i++)
        vks_free(all[i]);
    vks_free(resets);
}

static void run_cases(gpu *g) {
    static const char *const names[] = {"whole", "pieces", "steps", "alone"};
    job jobs[N_FORM];
    for (size_t i = 0; i < VKS_COUNT(cases); i++) {
        const conv_s5_case *c = &cases[i];
        gpu_begin(g);
        for (int f = 0; f < N_FORM; f++)
            record(g, c, (frames_form)f, &jobs[f]);
        CHECK(gpu_run(g));
        for (int f = 0; f < N_FORM; f++) {
            char label[96];
            job *j = &jobs[f];
            snprintf(label, sizeof label, "b%u t%u %ux%u u%u p%u %s, %s", c->b, c->t, c->h, c->w, c->u, c->p,
                     vkssm_dtype_name(c->type), names[f]);
            check_twin(g, label, &j->y, j->wanted, j->scale, c->type == F32 ? roundings : half_roundings);
            check_twin(g, "  last state", &j->last, j->wanted_last, j->last_scale, roundings);
            double *all[] = {j->wanted, j->scale, j->wanted_last, j->last_scale};
            for (size_t k = 0; k < VKS_COUNT(all); k++)
                vks_free(all[k]);
        }
    }
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
CHECK_CASE(masked) {
    if (strstr(gpu_open(0)->caps->name, "SwiftShader"))
        CHECK_SKIP("tested on lavapipe; SwiftShader takes minutes to compile it");
    run_masked(run_cases);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_conv_s5 good = {
        .u = vks_tensor_dense(somewhere, F32, GPU_SHAPE(6, 4, 4, 8)),
        .a = vks_tensor_dense(somewhere, F32, GPU_SHAPE(4, 2)),
        .b = vks_tensor_dense(somewhere, F32, GPU_SHAPE(8, 72)),
        .c = vks_tensor_dense(somewhere, F32, GPU_SHAPE(8, 72)),
        .state = vks_tensor_dense(1 << 20, F32, GPU_SHAPE(2, 16, 4, 2)),
        .y = vks_tensor_dense(2 << 20, F32, GPU_SHAPE(6, 4, 4, 8)),
        .scratch = vks_tensor_dense(3 << 20, F32, GPU_SHAPE(4096)),
        .n_sequence = 2,
        .n_time = 3,
        .kernel_b = 3,
        .kernel_c = 3,
    };
    CHECK_OK(vks_op_conv_s5(&target, &good));
    vks_conv_s5 bad = good;
    bad.n_time = 0;
    CHECK_REFUSED(vks_op_conv_s5(&target, &bad),
                  "conv_s5: at least one sequence and one frame expected, 2 and 0 found");
    bad = good;
    bad.n_time = 4;
    CHECK_REFUSED(vks_op_conv_s5(&target, &bad), "conv_s5: u: shape [8, H, W, U] expected");
    bad = good;
    bad.a.shape[0] = 5;
    CHECK_REFUSED(vks_op_conv_s5(&target, &bad), "conv_s5: a: a multiple of 4 states expected, 5 found");
    bad = good;
    bad.state.shape[1] = 15;
    CHECK_REFUSED(vks_op_conv_s5(&target, &bad), "conv_s5: state: shape [2, 16, 4, 2] expected, [2, 15, 4, 2] found");
    bad = good;
    bad.scratch.shape[0] = 127;
    CHECK_REFUSED(vks_op_conv_s5(&target, &bad), "conv_s5: scratch: 128 floats for one frame expected, 127 found");
    bad = good;
    bad.kernel_b = 2;
    CHECK_REFUSED(vks_op_conv_s5(&target, &bad), "conv2d: w: an odd kernel of at most 255 x 255 expected, 2 x 2 found");
    bad = good;
    bad.resets = vks_tensor_dense(somewhere, VKSSM_DTYPE_I32, GPU_SHAPE(2, 4));
    CHECK_REFUSED(vks_op_conv_s5(&target, &bad), "conv_s5: resets: shape [2, 3] expected, [2, 4] found");
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv, (check_case[]){CHECK_RUN(selected), CHECK_RUN(masked), CHECK_RUN(refuses), {0}});
}

// ssd against its twin, which is the recurrence token by token: the chunked algorithm, the step, and one against the
// other. Strides are a model's: x, B, C are columns of one buffer of convolved channels, dt is columns of another.
#include "op_test.h"

#include <math.h>

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

typedef struct ssd_case {
    uint32_t n_sequence, n_time, n_head, n_group, n_width, n_state, chunk;
    vkssm_dtype x, y;
    bool slots;
    float a_low, a_high;   // A
    float dt_low, dt_high; // dt before bias and softplus
    float dt_min, dt_max;
} ssd_case;

#define PLAIN -2, -0.1f, -3, 1, 0, INFINITY        // decays of a trained model
#define LIMITED -16, -1, -6, 2, 0.01f, 0.2f        // dt limited on both sides
#define STRONG -50, -40, -1, 30, 0, INFINITY       // decays that underflow: no overflow, no NaN
#define EXTREME -50, -0.01f, -30, 30, 0, 100       // from dt = 1e-13 to dt = 30
#define SLOW -0.001f, -0.0001f, -3, 0, 0, INFINITY // nearly no decay: long sums

// Tiles are 4 x 4 pairs of tokens, 8 tokens x 8 p, 8 p x 8 n; chunks 8, 16, 64; workgroups 16 or 64 tiles.
static const ssd_case cases[] = {
    // chunk 16, H 4, G 2, P 8, N 16
    {1, 2, 4, 2, 8, 16, 16, F32, F32, false, PLAIN},
    {2, 7, 4, 2, 8, 16, 16, F32, F32, true, PLAIN},
    {1, 8, 4, 2, 8, 16, 16, F32, F32, false, STRONG},
    {3, 9, 4, 2, 8, 16, 16, F32, F32, true, LIMITED},
    {2, 63, 4, 2, 8, 16, 16, F32, F32, false, EXTREME},
    {1, 64, 4, 2, 8, 16, 16, F32, F32, true, SLOW},
    {2, 65, 4, 2, 8, 16, 16, F32, F32, false, PLAIN},
    {1, 1000, 4, 2, 8, 16, 16, F32, F32, false, LIMITED},
    // one of everything, chunk 8
    {1, 2, 1, 1, 1, 1, 8, F32, F32, false, PLAIN},
    {2, 9, 1, 1, 1, 1, 8, F32, F32, true, LIMITED},
    {1, 257, 1, 1, 1, 1, 8, F32, F32, false, SLOW},
    // the default chunk, a layer of a Mamba-2 with 2 of its heads
    {1, 63, 2, 1, 64, 128, 0, F32, F32, false, PLAIN},
    {2, 65, 2, 1, 64, 128, 0, F32, F32, true, PLAIN},
    {1, 257, 2, 1, 64, 128, 0, F32, F32, true, LIMITED},
    // odd widths that no tile divides
    {2, 130, 8, 4, 25, 33, 8, F32, F32, true, PLAIN},
    {1, 7, 8, 4, 25, 33, 8, F32, F32, false, EXTREME},
    // 16-bit types
    {2, 65, 6, 2, 24, 32, 16, F16, F16, true, LIMITED},
    {1, 130, 2, 2, 8, 16, 64, BF16, F32, false, PLAIN},
    {3, 9, 2, 2, 8, 16, 64, BF16, BF16, true, STRONG},
    {1, 66, 3, 1, 10, 16, 8, F32, F16, false, SLOW},
    // what fits matrix units: whole and cut chunks, one segment and several
    {1, 64, 2, 1, 64, 128, 64, F16, F16, false, PLAIN},
    {2, 130, 4, 2, 64, 128, 64, F16, F32, true, LIMITED},
    {1, 650, 2, 1, 32, 64, 64, F16, F16, true, SLOW},
    {1, 7, 2, 1, 16, 64, 64, BF16, BF16, false, PLAIN},
    {2, 257, 2, 2, 64, 128, 64, BF16, BF16, true, STRONG},
    {1, 320, 3, 1, 48, 64, 64, BF16, F32, false, SLOW},
};

// One token: kernels of their own, which take sizes as they come. 4 rows of p an invocation or subgroup.
static const ssd_case step_cases[] = {
    {1, 1, 1, 1, 1, 1, 0, F32, F32, false, PLAIN},     {2, 1, 4, 2, 8, 16, 0, F32, F32, true, PLAIN},
    {3, 1, 8, 4, 25, 33, 0, F32, F32, true, LIMITED},  {1, 1, 2, 1, 64, 128, 0, F32, F32, false, PLAIN},
    {2, 1, 8, 1, 64, 128, 0, F16, F16, true, LIMITED}, {1, 1, 3, 3, 3, 7, 0, F32, F32, false, STRONG},
    {2, 1, 6, 2, 24, 32, 0, F16, F16, true, EXTREME},  {1, 1, 2, 2, 130, 5, 0, F32, F32, false, EXTREME},
    {3, 1, 2, 2, 8, 16, 0, BF16, BF16, true, STRONG},  {2, 1, 2, 2, 10, 64, 0, BF16, F32, false, SLOW},
    {1, 1, 24, 1, 64, 128, 0, F32, F32, false, PLAIN},
};

// Roundings relative to the scale.
// * Every term of y passes softplus, a decay, two products and two sums, each summing some N or chunk terms of either
// sign: as
//   for matmul about one rounding of the scale a sum. Exponentials are off by 3 + 2 |x| units of the last place, but
//   terms with large |x| are small.
static const double roundings = 8;
// * The exponent of a decay is a float32 sum of dt A over a chunk, or a difference of two such sums: it is off by
// roundings of
//   the chunk's largest sum, and so is, relatively, what was decayed. (For one token the sum is dt A itself.)
static const double decay_roundings = 1;
// * Matrix units take 16-bit operands: what is not one already (decayed C and B, weights, the state) is rounded to it,
// two of them at most in a term, and float16 may be rounded either way. In units of 2^-24.
static const double matrix_roundings[] = {[F16] = 2 * 0x1p14, [BF16] = 2 * 0x1p15};

typedef struct job {
    char label[128];
    const ssd_case *c;
    vks_tensor y, state;
    int32_t slots[4];
    op_recurrence twin;
} job;

// What operators read, kept so that several of them can work on the same input.
typedef struct input {
    float *conv, *dt, *heads, *state;
    vks_tensor x, b, c, dt_raw, head_rows;
} input;

static uint32_t n_slot_of(const ssd_case *c) {
    return c->n_sequence + 2;
}
// Such rows start on 16 bytes; others may start anywhere that the operator allows.
static bool fits_matrices(const ssd_case *c) {
    return c->chunk == 64 && c->n_width % 16 == 0 && c->n_state % 64 == 0;
}
static size_t state_size(const ssd_case *c) {
    return (size_t)c->n_head * c->n_width * c->n_state;
}

// Columns first ... first + count - 1 of a row buffer, as [B, T, n_outer, n_inner].
static vks_tensor columns(const ssd_case *c, vks_tensor rows, uint32_t first, uint32_t n_outer, uint32_t n_inner) {
    return gpu_reshape(vks_tensor_slice(rows, 1, first, n_outer * n_inner), 2,
                       GPU_SHAPE(c->n_sequence, c->n_time, n_outer, n_inner));
}

static input place_input(gpu *g, const ssd_case *c, uint64_t seed) {
    uint32_t n_row = c->n_sequence * c->n_time, n_x = c->n_head * c->n_width, n_b = c->n_group * c->n_state;
    uint32_t n_conv = n_x + 2 * n_b, n_dt = c->n_head + 6;
    input in = {
        .conv = gpu_random(&seed, (size_t)n_row * n_conv, -1, 1),
        .dt = gpu_random(&seed, (size_t)n_row * n_dt, c->dt_low, c->dt_high),
        .heads = gpu_random(&seed, (size_t)3 * c->n_head, -1, 1),
        .state = gpu_random(&seed, n_slot_of(c) * state_size(c), -1, 1),
    };
    for (uint32_t h = 0; h < c->n_head; h++)
        in.heads[h] = check_uniform(&seed, c->a_low, c->a_high);
    // The limits of what a model may ask for, at some tokens.
    if (c->dt_low < -10) in.dt[6] = c->dt_low, in.dt[(size_t)(n_row - 1) * n_dt + 6] = c->dt_high;
    vks_tensor conv =
        gpu_rows(g, GPU_IN, c->x, n_row, n_conv, n_conv + (fits_matrices(c) ? 8 : 2) * (seed % 3), in.conv);
    vks_tensor dt = gpu_rows(g, GPU_IN, c->x, n_row, n_dt, 0, in.dt);
    in.x = columns(c, conv, 0, c->n_head, c->n_width);
    in.b = columns(c, conv, n_x, c->n_group, c->n_state);
    in.c = columns(c, conv, n_x + n_b, c->n_group, c->n_state);
    in.dt_raw = gpu_reshape(vks_tensor_slice(dt, 1, 6, c->n_head), 2, GPU_SHAPE(c->n_sequence, c->n_time, c->n_head));
    in.head_rows = gpu_reshape(gpu_rows(g, GPU_IN, F32, 3, c->n_head, 0, in.heads), 1, GPU_SHAPE(3, c->n_head));
    return in;
}

static void free_input(input *in) {
    vks_free(in->conv);
    vks_free(in->dt);
    vks_free(in->heads);
    vks_free(in->state);
}

// Outputs and state of its own, on the input.
static vks_ssd place_op(gpu *g, const job *j, const input *in, uint32_t chunk) {
    const ssd_case *c = j->c;
    uint32_t n_slot = n_slot_of(c), n_y = c->n_head * c->n_width, n_state = (uint32_t)state_size(c);
    vks_tensor y = gpu_rows(g, GPU_OUT, c->y, c->n_sequence * c->n_time, n_y, n_y + (fits_matrices(c) ? 8 : 2), NULL);
    vks_tensor state = gpu_rows(g, GPU_IN_OUT, F32, n_slot, n_state, n_state + (fits_matrices(c) ? 8 : 5), in->state);
    vks_ssd op = {
        .x = in->x,
        .b = in->b,
        .c = in->c,
        .dt = in->dt_raw,
        .heads = in->head_rows,
        .state = gpu_reshape(state, 1, GPU_SHAPE(n_slot, c->n_head, c->n_width, c->n_state)),
        .slots = c->slots ? gpu_word_vector(g, j->slots, c->n_sequence) : (vks_tensor){0},
        .y = gpu_reshape(y, 2, GPU_SHAPE(c->n_sequence, c->n_time, c->n_head, c->n_width)),
        .chunk = chunk,
        .dt_min = c->dt_min,
        .dt_max = c->dt_max,
    };
    uint64_t n_scratch = vks_ssd_scratch_size(g->target.kernels, &op);
    if (n_scratch)
        op.scratch =
            gpu_reshape(gpu_rows(g, GPU_OUT, F32, 1, (uint32_t)n_scratch, 0, NULL), 0, GPU_SHAPE((uint32_t)n_scratch));
    return op;
}

static void compute(job *j, const input *in) {
    const ssd_case *c = j->c;
    uint32_t n_x = c->n_head * c->n_width, n_b = c->n_group * c->n_state, n_conv = n_x + 2 * n_b, n_dt = c->n_head + 6;
    size_t n_row = (size_t)c->n_sequence * c->n_time, n_y = n_row * n_x, n_own = c->n_sequence * state_size(c);
    float *x = op_gather(in->conv, n_row, n_conv, 0, n_x), *b = op_gather(in->conv, n_row, n_conv, n_x, n_b);
    float *cc = op_gather(in->conv, n_row, n_conv, n_x + n_b, n_b);
    float *dt = op_gather(in->dt, n_row, n_dt, 6, c->n_head);
    double *state, *magnitude = gpu_alloc(n_own, sizeof *magnitude);
    double *past = gpu_alloc(n_y, sizeof *past), *state_past = gpu_alloc(n_own, sizeof *state_past);
    j->twin = (op_recurrence){
        .n_y = n_y, .n_state = state_size(c), .n_slot = n_slot_of(c), .n_sequence = c->n_sequence, .slots = j->slots};
    op_recurrence_begin(&j->twin, in->state, true, &state);
    ref_ssd_args args = {
        .n_sequence = c->n_sequence,
        .n_time = c->n_time,
        .n_head = c->n_head,
        .n_group = c->n_group,
        .n_width = c->n_width,
        .n_state = c->n_state,
        .x = x,
        .b = b,
        .c = cc,
        .dt = dt,
        .a = in->heads,
        .dt_bias = in->heads + c->n_head,
        .d = in->heads + 2 * c->n_head,
        .dt_min = c->dt_min,
        .dt_max = c->dt_max,
        .state = state,
        .state_scale = magnitude,
        .y = j->twin.y,
        .scale = j->twin.scale,
        .past = past,
        .state_past = state_past,
        .chunk = c->chunk ? c->chunk : 64,
    };
    ref_ssd(&args);
    double more = decay_roundings * args.largest_decay / roundings;
    for (size_t i = 0; i < n_y; i++)
        j->twin.scale[i] += more * past[i];
    for (size_t i = 0; i < n_own; i++)
        magnitude[i] += more * state_past[i];
    op_recurrence_end(&j->twin, state, magnitude);
    vks_free(x);
    vks_free(b);
    vks_free(cc);
    vks_free(dt);
    vks_free(magnitude);
    vks_free(past);
    vks_free(state_past);
}

static void start_job(gpu *g, const ssd_case *c, job *j) {
    *j = (job){.c = c};
    snprintf(j->label, sizeof j->label, "b%u t%u h%u g%u p%u n%u q%u %s = %s%s A %g dt %g", c->n_sequence, c->n_time,
             c->n_head, c->n_group, c->n_width, c->n_state, c->chunk, vkssm_dtype_name(c->x), vkssm_dtype_name(c->y),
             c->slots ? " slots" : "", (double)c->a_low, (double)c->dt_high);
    g->label = j->label;
    for (uint32_t s = 0; s < c->n_sequence; s++)
        j->slots[s] = (int32_t)(c->slots ? n_slot_of(c) - 1 - s : s);
}

static void check_job(const gpu *g, job *j) {
    double allowed = roundings;
    if (j->c->x != F32 && fits_matrices(j->c) && g->caps->features & VKS_FEATURE_COOPERATIVE_MATRIX)
        allowed += matrix_roundings[j->c->x];
    check_twin(g, j->label, &j->y, j->twin.y, j->twin.scale, allowed);
    check_twin(g, "  state", &j->state, j->twin.state, j->twin.state_scale, allowed);
}

static void run_table(gpu *g, const ssd_case *table, size_t n) {
    job *jobs = gpu_alloc(n, sizeof *jobs);
    gpu_begin(g);
    for (size_t i = 0; i < n; i++) {
        start_job(g, &table[i], &jobs[i]);
        input in = place_input(g, &table[i], i);
        vks_ssd op = place_op(g, &jobs[i], &in, table[i].chunk);
        CHECK_OK(vks_op_ssd(&g->target, &op));
        jobs[i].y = op.y;
        jobs[i].state = op.state;
        compute(&jobs[i], &in);
        free_input(&in);
    }
    CHECK(gpu_run(g));
    for (size_t i = 0; i < n; i++) {
        check_job(g, &jobs[i]);
        op_recurrence_free(&jobs[i].twin);
    }
    vks_free(jobs);
}

// Three sequences of unequal lengths, one of them empty, packed in one row of tokens: each against the twin on its own.
static const ssd_case packed_cases[] = {
    {1, 40, 4, 2, 8, 16, 16, F32, F32, true, PLAIN},
    {1, 90, 3, 1, 10, 12, 8, F16, F32, true, LIMITED},
    {1, 330, 2, 1, 64, 128, 64, F16, F16, true, PLAIN},
    {1, 270, 2, 2, 32, 64, 64, BF16, BF16, true, SLOW},
};
enum { PACKED = 3 };

static void place_packed(gpu *g, const ssd_case *c, job *j, const int32_t *offsets, uint64_t seed, job *parts) {
    start_job(g, c, j);
    input in = place_input(g, c, seed);
    vks_ssd op = place_op(g, j, &in, c->chunk);
    const int32_t slots[PACKED] = {2, 0, 1};
    op.slots = gpu_word_vector(g, slots, PACKED);
    op.offsets = gpu_word_vector(g, offsets, PACKED + 1);
    uint32_t n_scratch = (uint32_t)vks_ssd_scratch_size(g->target.kernels, &op);
    op.scratch = gpu_reshape(gpu_rows(g, GPU_OUT, F32, 1, n_scratch, 0, NULL), 0, GPU_SHAPE(n_scratch));
    CHECK_OK(vks_op_ssd(&g->target, &op));
    size_t n_x = (size_t)c->n_head * c->n_width, n_state = state_size(c), n_all = n_slot_of(c) * n_state;
    j->y = op.y;
    j->state = op.state;
    j->twin.y = gpu_alloc(c->n_time * n_x, sizeof *j->twin.y);
    j->twin.scale = gpu_alloc(c->n_time * n_x, sizeof *j->twin.scale);
    j->twin.state = gpu_alloc(n_all, sizeof *j->twin.state);
    j->twin.state_scale = gpu_alloc(n_all, sizeof *j->twin.state_scale);
    for (size_t i = 0; i < n_all; i++)
        j->twin.state[i] = in.state[i];
    for (int k = 0; k < PACKED; k++) {
        size_t first = (size_t)offsets[k], n = (size_t)offsets[k + 1] - first, at = (size_t)slots[k] * n_state;
        if (n == 0) continue;
        ssd_case one = *c;
        one.n_time = (uint32_t)n;
        parts[k] = (job){.c = &one, .slots = {slots[k]}};
        input part = in;
        part.conv += first * (n_x + 2 * (size_t)c->n_group * c->n_state);
        part.dt += first * (c->n_head + 6);
        compute(&parts[k], &part);
        memcpy(j->twin.y + first * n_x, parts[k].twin.y, n * n_x * sizeof *j->twin.y);
        memcpy(j->twin.scale + first * n_x, parts[k].twin.scale, n * n_x * sizeof *j->twin.scale);
        memcpy(j->twin.state + at, parts[k].twin.state + at, n_state * sizeof *j->twin.state);
        memcpy(j->twin.state_scale + at, parts[k].twin.state_scale + at, n_state * sizeof *j->twin.state_scale);
        op_recurrence_free(&parts[k].twin);
    }
    free_input(&in);
}

static void run_packed(gpu *g) {
    job jobs[VKS_COUNT(packed_cases)], parts[PACKED];
    gpu_begin(g);
    for (size_t i = 0; i < VKS_COUNT(packed_cases); i++) {
        int32_t n = (int32_t)packed_cases[i].n_time, cut = 7 + 9 * (int32_t)i;
        const int32_t offsets[][PACKED + 1] = {{0, cut, cut, n}, {0, 0, cut, n}, {0, n - cut, n, n}};
        place_packed(g, &packed_cases[i], &jobs[i], offsets[i % 3], 50 + i, parts);
    }
    CHECK(gpu_run(g));
    for (size_t i = 0; i < VKS_COUNT(packed_cases); i++) {
        check_job(g, &jobs[i]);
        op_recurrence_free(&jobs[i].twin);
    }
}
CHECK_CASE(packed) {
    run_packed(gpu_open(0));
}
CHECK_CASE(packed_masked) {
    run_masked(run_packed);
}

static void run_chunked(gpu *g) {
    run_table(g, cases, VKS_COUNT(cases));
}
static void run_step(gpu *g) {
    run_table(g, step_cases, VKS_COUNT(step_cases));
}

CHECK_CASE(chunked) {
    run_chunked(gpu_open(0));
}
CHECK_CASE(chunked_variants) { // of the kernels that there are several of
    run_variants("ssd_state", run_chunked);
    run_variants("ssd_output", run_chunked);
}
// The step with a gate: y times silu(gate).
static void run_gated(gpu *g) {
    job jobs[VKS_COUNT(step_cases)];
    float *gates[VKS_COUNT(step_cases)];
    gpu_begin(g);
    for (size_t i = 0; i < VKS_COUNT(step_cases); i++) {
        const ssd_case *c = &step_cases[i];
        uint32_t n_y = c->n_head * c->n_width;
        uint64_t seed = 100 + i;
        start_job(g, c, &jobs[i]);
        input in = place_input(g, c, i);
        vks_ssd op = place_op(g, &jobs[i], &in, 0);
        gates[i] = gpu_random(&seed, (size_t)c->n_sequence * n_y, -4, 4);
        op.gate = gpu_reshape(gpu_rows(g, GPU_IN, c->x, c->n_sequence, n_y, n_y + 2, gates[i]), 2,
                              GPU_SHAPE(c->n_sequence, 1, c->n_head, c->n_width));
        CHECK_OK(vks_op_ssd(&g->target, &op));
        jobs[i].y = op.y;
        jobs[i].state = op.state;
        compute(&jobs[i], &in);
        free_input(&in);
        for (size_t k = 0; k < (size_t)c->n_sequence * n_y; k++) {
            jobs[i].twin.y[k] *= ref_silu(gates[i][k]);
            jobs[i].twin.scale[k] *= fabs(ref_silu(gates[i][k])) + 1e-6; // silu is off by a few roundings of itself
        }
    }
    CHECK(gpu_run(g));
    for (size_t i = 0; i < VKS_COUNT(step_cases); i++) {
        check_job(g, &jobs[i]);
        op_recurrence_free(&jobs[i].twin);
        vks_free(gates[i]);
    }
}
CHECK_CASE(gated) {
    run_gated(gpu_open(0));
}
CHECK_CASE(gated_variants) {
    run_variants("ssd_step", run_gated);
}

CHECK_CASE(step) {
    run_step(gpu_open(0));
}
CHECK_CASE(step_variants) {
    run_variants("ssd_step", run_step);
}
CHECK_CASE(masked) {
    run_masked(run_chunked);
    run_masked(run_step);
}

// The same tokens by chunks of 8, 16, 64 and one by one.
CHECK_CASE(all_ways_agree) {
    gpu *g = gpu_open(0);
    static const ssd_case c = {1, 70, 4, 2, 8, 16, 64, F32, F32, true, LIMITED};
    static const uint32_t chunks[] = {8, 16, 64};
    enum { WAYS = 4 };
    job j;
    vks_tensor ys[WAYS], states[WAYS];
    gpu_begin(g);
    start_job(g, &c, &j);
    input in = place_input(g, &c, 77);
    compute(&j, &in);
    for (int way = 0; way < WAYS; way++) {
        vks_ssd op = place_op(g, &j, &in, way < 3 ? chunks[way] : 0);
        ys[way] = op.y;
        states[way] = op.state;
        if (way < 3) CHECK_OK(vks_op_ssd(&g->target, &op));
        for (uint32_t t = 0; way == 3 && t < c.n_time; t++) {
            vks_ssd one = op;
            vks_tensor *tensors[] = {&one.x, &one.b, &one.c, &one.dt, &one.y};
            for (size_t i = 0; i < VKS_COUNT(tensors); i++)
                *tensors[i] = vks_tensor_slice(*tensors[i], 1, t, 1);
            CHECK_OK(vks_op_ssd(&g->target, &one));
        }
    }
    CHECK(gpu_run(g));
    check_ways(g, &j.twin, ys, states, WAYS, roundings);
    free_input(&in);
    op_recurrence_free(&j.twin);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    enum { B = 2, T = 3, H = 4, G = 2, P = 6, N = 5 };
    vks_tensor rows = vks_tensor_rows(somewhere, F32, B * T, H * P + 2 * G * N, H * P + 2 * G * N);
    const ssd_case shape = {.n_sequence = B, .n_time = T};
    vks_ssd good = {
        .x = columns(&shape, rows, 0, H, P),
        .b = columns(&shape, rows, H * P, G, N),
        .c = columns(&shape, rows, H * P + G * N, G, N),
        .dt = vks_tensor_dense(somewhere, F32, GPU_SHAPE(B, T, H)),
        .heads = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, H)),
        .state = vks_tensor_dense(somewhere, F32, GPU_SHAPE(B, H, P, N)),
        .slots = vks_tensor_dense(somewhere, VKSSM_DTYPE_I32, GPU_SHAPE(B)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(B, T, H, P)),
        .chunk = 8,
        .dt_max = 1,
    };
    uint32_t n_scratch = (uint32_t)vks_ssd_scratch_size(target.kernels, &good);
    good.scratch = vks_tensor_dense(somewhere, F32, GPU_SHAPE(n_scratch));
    CHECK_OK(vks_op_ssd(&target, &good));
    vks_ssd bad = good;
    bad.x.dtype = VKSSM_DTYPE_F64;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: x: F32, F16 or BF16 expected, F64 found");
    bad = good;
    bad.b.shape[1] = 2;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: b: shape [2, 3, 2, 5] expected, [2, 2, 2, 5] found");
    bad = good;
    bad.c.dtype = F16;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: c: F32 expected, F16 found");
    bad = good;
    bad.c.stride[1] += 2;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: dense heads and groups, equal token strides");
    bad = good;
    bad.b.stride[0] += 2;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: dense heads and groups, equal token strides");
    bad = good;
    bad.dt.address = 0;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: dt: shape [2, 3, 4] expected, there is no tensor");
    bad = good;
    bad.heads.shape[0] = 2;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: heads: shape [3, 4] expected, [2, 4] found");
    bad = good;
    bad.heads.stride[0] = 6;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: heads: a stride of dimension 0 of 4 expected, 6 found");
    bad = good;
    bad.state.shape[3] = 4;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: state: shape [2, 4, 6, 5] expected, [2, 4, 6, 4] found");
    bad = good;
    bad.state.stride[2] = 8;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: state: a stride of dimension 2 of 5 expected, 8 found");
    bad = good;
    bad.state.dtype = F16;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: state: F32 expected, F16 found");
    bad = good;
    bad.slots.dtype = F32;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: slots: I32 expected, F32 found");
    bad = good;
    bad.offsets = bad.slots;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: packed sequences in one row of tokens expected, 2 rows found");
    bad.offsets.shape[0] = 1;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: offsets of at least one sequence expected, none found");
    bad = good;
    bad.y.shape[2] = 5;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: y: shape [2, 3, 4, 6] expected, [2, 3, 5, 6] found");
    bad = good;
    bad.y.dtype = F16;
    bad.y.stride[1] = H * P + 1;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: y: a stride of dimension 1 that is a multiple of 2 expected, 25");
    bad = good;
    bad.scratch.shape[0] = n_scratch - 1;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: scratch: ");
    bad = good;
    bad.chunk = 12;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: a chunk length that is a multiple of 8 expected, 12 found");
    bad = good;
    bad.b.shape[2] = bad.c.shape[2] = 3;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: a number of groups that divides 4 heads expected, 3 found");
    bad = good;
    bad.x.address += 2;
    CHECK_REFUSED(vks_op_ssd(&target, &bad), "ssd: x: a start on 4 bytes expected, address 0x1002 found");
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv,
                    (check_case[]){CHECK_RUN(chunked),
                                   CHECK_RUN(chunked_variants),
                                   CHECK_RUN(packed),
                                   CHECK_RUN(packed_masked),
                                   CHECK_RUN(gated),
                                   CHECK_RUN(gated_variants),
                                   CHECK_RUN(step),
                                   CHECK_RUN(step_variants),
                                   CHECK_RUN(masked),
                                   CHECK_RUN(all_ways_agree),
                                   CHECK_RUN(refuses),
                                   {0}});
}

// selective_scan against its twin, which is the recurrence token by token: whole sequences, packed and reversed ones,
// time cut into segments, single steps. Strides are a model's: B and C are columns behind the low rank of dt, the gate
// is the second half of what in_proj gave.
#include "op_test.h"

#include <math.h>

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

enum { GATE = 1, SLOTS = 2, REVERSE = 4, ADD = 8, PACKED = 16, STATELESS = 32 };
enum { N_PACKED = 5 }; // sequences of a packed case, of uneven lengths, one of them empty

typedef struct scan_case {
    uint32_t n_batch, n_time, n_channel, n_group, n_state;
    vkssm_dtype x, y;
    uint32_t flags;
    float a_low, a_high, dt_low, dt_high; // A; dt before bias and softplus
    uint32_t rank;                        // steps only: of dt, or 0
    vks_selective_scan_tuning tuning;
} scan_case;

#define PLAIN -16, -1, -5, -2         // a trained model's: exp(dt A) from 0.1 to 1
#define EXTREME -50, -0.01f, -30, 30  // from dt = 1e-13 to 30: decays that underflow, and none
#define SLOW -0.001f, -0.0001f, -3, 0 // nearly no decay: long sums
#define SEGMENTS(n)                                                                                                    \
    0, {                                                                                                               \
        .n_segment = n                                                                                                 \
    }

// A lane takes 2 channels, a subgroup of 4, 8, 16 or 32; tiles are 32 tokens (8 with many states) and 32 channels;
// states by blocks of 16, over 4, 8 or 16 lanes.
static const scan_case cases[] = {
    {1, 2, 1, 1, 1, F32, F32, 0, PLAIN, 0, {0}},
    {2, 5, 3, 1, 2, F32, F32, SLOTS | GATE, PLAIN, 0, {0}},
    {1, 32, 33, 1, 16, F32, F32, GATE | SLOTS, EXTREME, 0, {0}},
    {2, 31, 34, 1, 16, F16, F16, GATE, PLAIN, 0, {0}},
    {1, 65, 34, 1, 16, BF16, BF16, GATE | ADD, PLAIN, 0, {0}},
    {1, 300, 34, 1, 16, F32, F32, GATE | SLOTS, SLOW, 0, {0}},
    {2, 40, 66, 1, 17, F32, F16, REVERSE | ADD | GATE | STATELESS, EXTREME, 0, {0}},
    {2, 20, 24, 4, 15, F32, F32, SLOTS, PLAIN, 0, {0}},
    {1, 33, 12, 2, 6, BF16, F32, GATE, PLAIN, 0, {0}},
    {1, 19, 8, 1, 100, F32, F32, GATE | SLOTS, PLAIN, 0, {0}},
    {1, 90, 34, 1, 16, F32, F32, PACKED | GATE | SLOTS, PLAIN, 0, {0}},
    // time cut into segments: of one tile and more, ragged, empty ones
    {2, 300, 34, 1, 16, F32, F32, GATE | SLOTS, SLOW, SEGMENTS(5)},
    {1, 90, 34, 1, 16, F16, F16, PACKED | GATE | REVERSE | SLOTS, PLAIN, SEGMENTS(3)},
    {1, 70, 18, 1, 5, BF16, BF16, STATELESS, EXTREME, SEGMENTS(7)},
    // other divisions of the work
    {1, 70, 34, 1, 16, F32, F32, GATE, PLAIN, 0, {.n_lane = 2, .tile = 16, .batch = 16}},
    {1, 70, 34, 1, 16, F16, F16, GATE, PLAIN, 0, {.n_lane = 16, .tile = 32, .batch = 4, .n_segment = 2}},
};

// As many states as there may be: by the kernel that the device prefers, since long code takes CPUs long to compile.
static const scan_case wide_cases[] = {{1, 19, 8, 1, 256, F32, F32, GATE | SLOTS, PLAIN, 0, {0}}};

static const scan_case step_cases[] = {
    {1, 1, 1, 1, 1, F32, F32, GATE, PLAIN, 0, {0}},
    {3, 1, 33, 1, 16, F32, F32, GATE | SLOTS, PLAIN, 0, {0}},
    {2, 1, 96, 1, 16, F32, F32, GATE | SLOTS, PLAIN, 5, {0}},
    {1, 1, 130, 1, 16, F16, F16, GATE, PLAIN, 8, {0}},
    {2, 1, 66, 3, 18, BF16, F32, GATE | ADD, EXTREME, 0, {0}},
    {2, 1, 20, 2, 7, F32, F16, SLOTS, SLOW, 3, {0}},
    {1, 1, 40, 1, 70, F32, F32, STATELESS | GATE, PLAIN, 24, {0}},
    {2, 1, 256, 1, 16, BF16, BF16, GATE | SLOTS, PLAIN, 160, {0}},
};

// The twin's scale is what all roundings add up to if none cancel, each counted by itself; independent ones stay below
// half of it. The exponentials of GPUs may be off by as much as was counted.
static const double roundings = 1;

typedef struct job {
    char label[128];
    const scan_case *c;
    vks_tensor y, state;
    int32_t slots[N_PACKED], offsets[N_PACKED + 1];
    size_t first[N_PACKED + 1];
    uint32_t n_sequence, n_slot;
    op_recurrence twin;
} job;

typedef struct input {
    float *x, *gate, *dt, *low, *weight, *bc, *a, *channels, *state, *add;
    vks_selective_scan op; // without outputs
} input;

static size_t state_size(const scan_case *c) {
    return (size_t)c->n_channel * c->n_state;
}

static vks_tensor by_token(const scan_case *c, vks_tensor rows, uint32_t first, uint32_t count) {
    return gpu_reshape(vks_tensor_slice(rows, 1, first, count), 2, GPU_SHAPE(c->n_batch, c->n_time, count));
}

// Rows of two parts: the first one, of n_first columns, is the other operand's.
static vks_tensor place_rows(gpu *g, const scan_case *c, uint32_t n_column, uint64_t pad, float *values) {
    uint64_t stride = vks_align_up(n_column, 4) + 4 * pad;
    return gpu_rows(g, GPU_IN, c->x, c->n_batch * c->n_time, n_column, stride, values);
}

static input place_input(gpu *g, const scan_case *c, const job *j, uint64_t seed) {
    uint32_t n_row = c->n_batch * c->n_time, d = c->n_channel, n_bc = c->n_group * c->n_state,
             n_dt = c->rank ? c->rank : d;
    uint32_t columns = (uint32_t)vks_align_up(n_bc, 2);
    float reach = c->rank ? 1 / sqrtf((float)c->rank) : 1;
    uint64_t pad = seed % 3;
    input in = {
        .x = gpu_random(&seed, (size_t)n_row * d, -1, 1),
        .gate = gpu_random(&seed, (size_t)n_row * d, -3, 3),
        .dt = gpu_random(&seed, (size_t)n_row * n_dt, c->rank ? -1 : c->dt_low, c->rank ? 1 : c->dt_high),
        .weight = gpu_random(&seed, (size_t)d * n_dt, -reach, reach),
        .bc = gpu_random(&seed, (size_t)n_row * 2 * columns, -1, 1),
        .a = gpu_random(&seed, (size_t)d * c->n_state, c->a_low, c->a_high),
        .channels = gpu_random(&seed, (size_t)2 * d, -1, 1),
        .state = gpu_random(&seed, j->n_slot * state_size(c), -1, 1),
    };
    if (c->rank)
        for (uint32_t i = 0; i < d; i++)
            in.channels[i] += c->dt_low;
    vks_tensor bc = place_rows(g, c, 2 * columns, pad, in.bc);
    vks_tensor b = by_token(c, bc, 0, n_bc), cc = by_token(c, bc, columns, n_bc);
    in.op = (vks_selective_scan){
        .x = by_token(c, place_rows(g, c, d, pad, in.x), 0, d),
        .dt = by_token(c, place_rows(g, c, n_dt, pad, in.dt), 0, n_dt),
        .b = vks_tensor_split_last(b, c->n_group, c->n_state),
        .c = vks_tensor_split_last(cc, c->n_group, c->n_state),
        .a = gpu_reshape(gpu_rows(g, GPU_IN, F32, d, c->n_state, 0, in.a), 1, GPU_SHAPE(d, c->n_state)),
        .channels = gpu_reshape(gpu_rows(g, GPU_IN, F32, 2, d, 0, in.channels), 1, GPU_SHAPE(2, d)),
        .reverse = c->flags & REVERSE,
        .accumulate = c->flags & ADD,
        .tuning = c->tuning,
    };
    if (c->rank) {
        uint64_t stride = vks_align_up(c->rank, 8);
        in.op.dt_weight =
            gpu_reshape(gpu_rows(g, GPU_WEIGHT, c->x, d, c->rank, stride, in.weight), 1, GPU_SHAPE(d, c->rank));
    }
    if (c->flags & GATE) in.op.gate = by_token(c, place_rows(g, c, d, pad, in.gate), 0, d);
    if (c->flags & SLOTS) in.op.slots = gpu_word_vector(g, j->slots, j->n_sequence);
    if (c->flags & PACKED) in.op.offsets = gpu_word_vector(g, j->offsets, N_PACKED + 1);
    in.add = gpu_random(&seed, (size_t)n_row * d, -1, 1);
    return in;
}

static void free_input(input *in) {
    float *all[] = {in->x, in->gate, in->dt, in->weight, in->bc, in->a, in->channels, in->state, in->add};
    for (size_t i = 0; i < VKS_COUNT(all); i++)
        vks_free(all[i]);
}

// Outputs and state of its own, on the input.
static vks_selective_scan place_op(gpu *g, const job *j, const input *in, vks_selective_scan_tuning tuning) {
    const scan_case *c = j->c;
    uint32_t n_row = c->n_batch * c->n_time;
    uint64_t y_stride = vks_align_up(c->n_channel, 2) + 2;
    vks_selective_scan op = in->op;
    op.tuning = tuning;
    vks_tensor y = gpu_rows(g, c->flags & ADD ? GPU_IN_OUT : GPU_OUT, c->y, n_row, c->n_channel, y_stride,
                            c->flags & ADD ? in->add : NULL);
    op.y = gpu_reshape(y, 2, GPU_SHAPE(c->n_batch, c->n_time, c->n_channel));
    if (!(c->flags & STATELESS)) {
        uint32_t n_state = (uint32_t)state_size(c);
        vks_tensor state = gpu_rows(g, GPU_IN_OUT, F32, j->n_slot, n_state, n_state + 5, in->state);
        op.state = gpu_reshape(state, 1, GPU_SHAPE(j->n_slot, c->n_channel, c->n_state));
    }
    uint64_t n_scratch = vks_selective_scan_scratch_size(g->target.kernels, &op);
    if (n_scratch)
        op.scratch =
            gpu_reshape(gpu_rows(g, GPU_OUT, F32, 1, (uint32_t)n_scratch, 0, NULL), 0, GPU_SHAPE((uint32_t)n_scratch));
    return op;
}

static void compute(job *j, const input *in) {
    const scan_case *c = j->c;
    uint32_t n_bc = c->n_group * c->n_state, columns = (uint32_t)vks_align_up(n_bc, 2);
    size_t n_row = (size_t)c->n_batch * c->n_time, n_own = j->n_sequence * state_size(c);
    float *b = op_gather(in->bc, n_row, 2 * columns, 0, n_bc),
          *cc = op_gather(in->bc, n_row, 2 * columns, columns, n_bc);
    double *state, *magnitude = gpu_alloc(n_own, sizeof *magnitude), *scale = gpu_alloc(n_own, sizeof *scale);
    j->twin = (op_recurrence){.n_y = n_row * c->n_channel,
                              .n_state = state_size(c),
                              .n_slot = j->n_slot,
                              .n_sequence = j->n_sequence,
                              .slots = j->slots};
    op_recurrence_begin(&j->twin, in->state, !(c->flags & STATELESS), &state);
    ref_selective_scan(&(ref_selective_scan_args){
        .n_sequence = j->n_sequence,
        .n_channel = c->n_channel,
        .n_group = c->n_group,
        .n_state = c->n_state,
        .rank = c->rank,
        .first = j->first,
        .x = in->x,
        .dt = in->dt,
        .dt_weight = c->rank ? in->weight : NULL,
        .b = b,
        .c = cc,
        .gate = c->flags & GATE ? in->gate : NULL,
        .a = in->a,
        .dt_bias = in->channels,
        .d = in->channels + c->n_channel,
        .add = c->flags & ADD ? in->add : NULL,
        .reverse = c->flags & REVERSE,
        .state = state,
        .state_magnitude = magnitude,
        .state_scale = scale,
        .y = j->twin.y,
        .scale = j->twin.scale,
    });
    op_recurrence_end(&j->twin, state, scale);
    vks_free(b);
    vks_free(cc);
    vks_free(magnitude);
    vks_free(scale);
}

static void start_job(gpu *g, const scan_case *c, job *j) {
    *j = (job){.c = c};
    snprintf(j->label, sizeof j->label, "b%u t%u d%u g%u n%u r%u %s = %s flags %u A %g segments %u lanes %u",
             c->n_batch, c->n_time, c->n_channel, c->n_group, c->n_state, c->rank, vkssm_dtype_name(c->x),
             vkssm_dtype_name(c->y), c->flags, (double)c->a_low, c->tuning.n_segment, c->tuning.n_lane);
    g->label = j->label;
    bool packed = c->flags & PACKED;
    j->n_sequence = packed ? N_PACKED : c->n_batch;
    j->n_slot = j->n_sequence + 2;
    static const uint32_t parts[N_PACKED] = {0, 1, 35, 35, 70}; // per cent of the rows before each
    for (uint32_t s = 0; s <= j->n_sequence; s++) {
        j->first[s] = !packed         ? (size_t)s * c->n_time
                      : s == N_PACKED ? c->n_time
                                      : c->n_time * parts[s] / 100 + (s == 1);
        if (packed) j->offsets[s] = (int32_t)j->first[s];
    }
    for (uint32_t s = 0; s < j->n_sequence; s++)
        j->slots[s] = (int32_t)(c->flags & SLOTS ? j->n_slot - 1 - s : s);
}

static void check_job(const gpu *g, job *j) {
    check_twin(g, j->label, &j->y, j->twin.y, j->twin.scale, roundings);
    if (j->state.address) check_twin(g, "  state", &j->state, j->twin.state, j->twin.state_scale, roundings);
}

static void run_table(gpu *g, const scan_case *table, size_t n) {
    job *jobs = gpu_alloc(n, sizeof *jobs);
    gpu_begin(g);
    for (size_t i = 0; i < n; i++) {
        start_job(g, &table[i], &jobs[i]);
        input in = place_input(g, &table[i], &jobs[i], i + 1);
        vks_selective_scan op = place_op(g, &jobs[i], &in, table[i].tuning);
        CHECK_OK(vks_op_selective_scan(&g->target, &op));
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

static void run_whole(gpu *g) {
    run_table(g, cases, VKS_COUNT(cases));
}
static void run_step(gpu *g) {
    run_table(g, step_cases, VKS_COUNT(step_cases));
}

CHECK_CASE(whole) {
    run_whole(gpu_open(0));
    run_table(gpu_open(0), wide_cases, VKS_COUNT(wide_cases));
}
CHECK_CASE(whole_variants) {
    run_variants("selective_scan", run_whole);
}
CHECK_CASE(step) {
    run_step(gpu_open(0));
}
CHECK_CASE(step_variants) {
    run_variants("selective_step", run_step);
}
CHECK_CASE(masked) {
    run_masked(run_whole);
    run_masked(run_step);
}

// The same tokens at once, in segments, and one by one.
CHECK_CASE(all_ways_agree) {
    gpu *g = gpu_open(0);
    static const scan_case c = {1, 70, 34, 1, 16, F32, F32, GATE | SLOTS, PLAIN, 0, {0}};
    static const vks_selective_scan_tuning tunings[] = {{0}, {.n_segment = 2}, {.n_lane = 2, .n_segment = 3}, {0}};
    enum { WAYS = VKS_COUNT(tunings) };
    job j;
    vks_tensor ys[WAYS], states[WAYS];
    vks_kernels_force(g->target.kernels, "selective_scan_tiled");
    gpu_begin(g);
    start_job(g, &c, &j);
    input in = place_input(g, &c, &j, 77);
    compute(&j, &in);
    for (int way = 0; way < WAYS; way++) {
        vks_selective_scan op = place_op(g, &j, &in, tunings[way]);
        ys[way] = op.y;
        states[way] = op.state;
        if (way + 1 < WAYS) CHECK_OK(vks_op_selective_scan(&g->target, &op));
        for (uint32_t t = 0; way + 1 == WAYS && t < c.n_time; t++) {
            vks_selective_scan one = op;
            vks_tensor *tensors[] = {&one.x, &one.b, &one.c, &one.dt, &one.gate, &one.y};
            for (size_t i = 0; i < VKS_COUNT(tensors); i++)
                *tensors[i] = vks_tensor_slice(*tensors[i], 1, t, 1);
            CHECK_OK(vks_op_selective_scan(&g->target, &one));
        }
    }
    CHECK(gpu_run(g));
    vks_kernels_force(g->target.kernels, NULL);
    check_ways(g, &j.twin, ys, states, WAYS, roundings);
    free_input(&in);
    op_recurrence_free(&j.twin);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    enum { B = 2, T = 3, D = 8, G = 2, N = 5, R = 3 };
    const vks_selective_scan good = {
        .x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(B, T, D)),
        .dt = vks_tensor_dense(somewhere, F32, GPU_SHAPE(B, T, D)),
        .b = vks_tensor_dense(somewhere, F32, GPU_SHAPE(B, T, G, N)),
        .c = vks_tensor_dense(somewhere, F32, GPU_SHAPE(B, T, G, N)),
        .gate = vks_tensor_dense(somewhere, F32, GPU_SHAPE(B, T, D)),
        .a = vks_tensor_dense(somewhere, F32, GPU_SHAPE(D, N)),
        .channels = vks_tensor_dense(somewhere, F32, GPU_SHAPE(2, D)),
        .state = vks_tensor_dense(somewhere, F32, GPU_SHAPE(B, D, N)),
        .slots = vks_tensor_dense(somewhere, VKSSM_DTYPE_I32, GPU_SHAPE(B)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(B, T, D)),
    };
    CHECK_OK(vks_op_selective_scan(&target, &good));
    vks_selective_scan bad = good;
#define REFUSED(change, message)                                                                                       \
    bad = good;                                                                                                        \
    change;                                                                                                            \
    CHECK_REFUSED(vks_op_selective_scan(&target, &bad), "selective_scan: " message)
    REFUSED(bad.x.dtype = VKSSM_DTYPE_F64, "x: F32, F16 or BF16 expected, F64 found");
    REFUSED(bad.dt.shape[1] = 2, "dt: shape [2, 3, 8] expected, [2, 2, 8] found");
    REFUSED(bad.dt.address = 0, "dt: shape [2, 3, 8] expected, there is no tensor");
    REFUSED(bad.dt.stride[0] += 8, "dt: sequences T rows apart expected");
    REFUSED(bad.c.dtype = F16, "c: F32 expected, F16 found");
    REFUSED(bad.c.shape[3] = 4, "c: shape [2, 3, 2, 5] expected, [2, 3, 2, 4] found");
    REFUSED(bad.c.stride[2] = 6, "c: dense groups expected");
    REFUSED((bad.c.stride[1] = 20, bad.c.stride[0] = 60), "c: the token stride of b, 10, expected, 20 found");
    REFUSED(bad.gate.dtype = BF16, "gate: F32 expected, BF16 found");
    REFUSED(bad.a.shape[1] = 4, "a: shape [8, 5] expected, [8, 4] found");
    REFUSED(bad.a.stride[0] = 6, "a: a stride of dimension 0 of 5 expected, 6 found");
    REFUSED(bad.channels.shape[0] = 3, "channels: shape [2, 8] expected, [3, 8] found");
    REFUSED(bad.state.shape[2] = 6, "state: shape [2, 8, 5] expected, [2, 8, 6] found");
    REFUSED((bad.slots.address = 0, bad.state.shape[0] = 1), "state: a slot for each of 2 sequences expected, 1 found");
    REFUSED(bad.slots.dtype = F32, "slots: I32 expected, F32 found");
    REFUSED((bad.y.dtype = F16, bad.y.stride[1] = 9, bad.y.stride[0] = 27),
            "y: a stride of dimension 1 that is a multiple of 2 expected, 9 found");
    REFUSED(bad.dt_weight = vks_tensor_dense(somewhere, F32, GPU_SHAPE(D, D)),
            "dt_weight: one token expected, 3 found");
    REFUSED(bad.offsets = vks_tensor_dense(somewhere, VKSSM_DTYPE_I32, GPU_SHAPE(3)),
            "offsets: one batch and at least 2 offsets expected, 2 and 3 found");
    REFUSED((bad.x.stride[1] = (uint64_t)1 << 31, bad.x.stride[0] = (uint64_t)3 << 31),
            "x: at most 2^32 elements expected");
    REFUSED((bad.b.shape[3] = bad.c.shape[3] = bad.a.shape[1] = bad.state.shape[2] = 257,
             bad.b.stride[2] = bad.c.stride[2] = bad.a.stride[0] = bad.state.stride[1] = 257,
             bad.b.stride[1] = bad.c.stride[1] = 514, bad.b.stride[0] = bad.c.stride[0] = 1542,
             bad.state.stride[0] = 2056),
            "at most 256 states a channel expected, 257 found");
    vks_selective_scan cut = good; // segments need scratch
    cut.tuning.n_segment = 2;
    vks_kernels_force(target.kernels, "selective_scan_tiled");
    CHECK_REFUSED(vks_op_selective_scan(&target, &cut),
                  "selective_scan: scratch: shape [0] expected, there is no tensor");
    vks_kernels_force(target.kernels, NULL);
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv,
                    (check_case[]){CHECK_RUN(whole),
                                   CHECK_RUN(whole_variants),
                                   CHECK_RUN(step),
                                   CHECK_RUN(step_variants),
                                   CHECK_RUN(masked),
                                   CHECK_RUN(all_ways_agree),
                                   CHECK_RUN(refuses),
                                   {0}});
}

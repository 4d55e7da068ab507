// scan against its twin, for every mode, with tilings small enough that short sequences cross lanes, tiles and
// segments. Strides are a model's: rows of b and h have gaps, batch entries lie further apart than their rows.
#include "op_test.h"

#include <math.h>

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

typedef enum a_kind { STEP, CHANNEL, BATCH } a_kind; // a for every step; [D]; [B, D]
enum { COMPLEX = 1, ROWS = 2, REVERSE = 4, RESETS = 8, STATES = 16, IN_PLACE = 32, DENSE = 64 };

typedef struct scan_case {
    uint32_t n_batch, n_time, n_channel;
    a_kind a;
    unsigned mode;
    vkssm_dtype a_type, b_type, h_type;
    vks_scan_tuning tuning; // n_lane, n_side, n_step, segment; those of the selector's choice are all 0
    uint32_t n_sequence;    // packed; 0: not
} scan_case;

#define TYPES_F32 F32, F32, F32
#define TUNING(lane, side, step, steps, ahead)                                                                         \
    { .n_lane = lane, .n_side = side, .n_step = step, .segment = steps, .prefetch = ahead }
// A workgroup of 16 x 4 lanes: of any subgroup size up to 64 it is a multiple. Tiles of 64 or 128 steps.
#define TILES TUNING(16, 4, 4, UINT32_MAX, 0)
#define SEGMENTS TUNING(16, 4, 4, 64, 0)
#define LONG_SEGMENTS TUNING(16, 4, 8, 256, 0)
#define WIDE TUNING(4, 16, 8, UINT32_MAX, 0)
#define WIDE_SEGMENTS TUNING(4, 16, 4, 32, 0)
#define ROW_TILES TUNING(64, 1, 4, UINT32_MAX, 0)
#define ROW_SEGMENTS TUNING(64, 1, 4, 256, 0)
#define ROW_AHEAD TUNING(32, 2, 8, UINT32_MAX, 1)
#define AHEAD TUNING(16, 4, 4, UINT32_MAX, 1)
#define ALONE TUNING(1, 64, 8, UINT32_MAX, 0)
#define ALONE_SEGMENTS TUNING(1, 64, 4, 32, 0)

static const scan_case cases[] = {
    // real, a per step: one step, less than a lane's steps, a tile and one less or more, many tiles; odd D
    {1, 1, 1, STEP, 0, TYPES_F32, TILES, 0},
    {2, 3, 5, STEP, STATES, TYPES_F32, TILES, 0},
    {1, 63, 4, STEP, STATES, TYPES_F32, TILES, 0},
    {2, 64, 7, STEP, STATES, TYPES_F32, TILES, 0},
    {1, 65, 8, STEP, STATES | DENSE, TYPES_F32, TILES, 0},
    {2, 300, 6, STEP, STATES | REVERSE, TYPES_F32, AHEAD, 0},
    {1, 257, 9, STEP, STATES | IN_PLACE, TYPES_F32, WIDE, 0},
    {3, 200, 34, STEP, STATES | IN_PLACE | REVERSE, TYPES_F32, WIDE_SEGMENTS, 0},
    {2, 1000, 10, STEP, STATES, TYPES_F32, SEGMENTS, 0},
    {1, 4100, 2, STEP, STATES | REVERSE, TYPES_F32, SEGMENTS, 0},
    {1, 700, 5, STEP, 0, TYPES_F32, ALONE, 0},
    {2, 333, 70, STEP, STATES, TYPES_F32, ALONE_SEGMENTS, 0},
    // constant a
    {2, 500, 9, CHANNEL, STATES, TYPES_F32, SEGMENTS, 0},
    {2, 500, 9, BATCH, STATES | REVERSE | IN_PLACE, TYPES_F32, AHEAD, 0},
    {1, 3000, 3, CHANNEL, 0, TYPES_F32, LONG_SEGMENTS, 0},
    {3, 100, 8, BATCH, STATES, TYPES_F32, ALONE_SEGMENTS, 0},
    // complex
    {1, 1, 3, STEP, COMPLEX | STATES, TYPES_F32, TILES, 0},
    {2, 250, 5, STEP, COMPLEX | STATES, TYPES_F32, SEGMENTS, 0},
    {2, 130, 5, STEP, COMPLEX | STATES | REVERSE, TYPES_F32, ALONE, 0},
    {2, 900, 3, CHANNEL, COMPLEX | STATES, TYPES_F32, SEGMENTS, 0},
    {1, 2200, 5, BATCH, COMPLEX | REVERSE | IN_PLACE, TYPES_F32, LONG_SEGMENTS, 0},
    {1, 400, 18, CHANNEL, COMPLEX | STATES | IN_PLACE, TYPES_F32, AHEAD, 0},
    {2, 150, 3, CHANNEL, COMPLEX | STATES, F16, F16, F16, SEGMENTS, 0},
    {1, 77, 4, STEP, COMPLEX | ROWS | REVERSE, BF16, BF16, F32, TILES, 0},
    // time-contiguous: rows of four, and of odd length; 16-bit types in reverse, which are stored by pairs of times
    {2, 600, 3, STEP, ROWS | STATES, TYPES_F32, ROW_TILES, 0},
    {2, 600, 4, STEP, ROWS | STATES | REVERSE | DENSE, TYPES_F32, ROW_SEGMENTS, 0},
    {1, 601, 5, STEP, ROWS | STATES | REVERSE, TYPES_F32, ROW_AHEAD, 0},
    {1, 1111, 3, CHANNEL, ROWS | STATES | IN_PLACE, TYPES_F32, ROW_SEGMENTS, 0},
    {2, 512, 2, BATCH, ROWS | COMPLEX | STATES | DENSE, TYPES_F32, ROW_SEGMENTS, 0},
    {2, 333, 2, STEP, ROWS | COMPLEX | STATES | REVERSE, TYPES_F32, ROW_TILES, 0},
    {2, 301, 3, STEP, ROWS | STATES | REVERSE, F16, F16, F16, ROW_SEGMENTS, 0},
    {2, 301, 2, CHANNEL, ROWS | STATES | REVERSE | IN_PLACE, F32, BF16, BF16, ROW_TILES, 0},
    {1, 300, 3, STEP, ROWS | STATES | DENSE, BF16, BF16, F16, ALONE, 0},
    {1, 96, 5, STEP, ROWS | STATES | REVERSE, F16, F32, F16, ALONE_SEGMENTS, 0},
    {1, 5, 5, STEP, ROWS | STATES | REVERSE | RESETS, F32, F32, F16, TILES, 0},
    // 16-bit types, channels last
    {2, 200, 7, STEP, STATES, F16, F16, F16, TILES, 0},
    {2, 200, 8, STEP, STATES | IN_PLACE | REVERSE, F32, BF16, BF16, SEGMENTS, 0},
    {1, 90, 6, CHANNEL, STATES, BF16, F16, F32, ALONE, 0},
    // resets
    {2, 400, 5, STEP, STATES | RESETS, TYPES_F32, SEGMENTS, 0},
    {2, 400, 5, CHANNEL, STATES | RESETS | REVERSE, TYPES_F32, AHEAD, 0},
    {2, 350, 3, CHANNEL, COMPLEX | STATES | RESETS, TYPES_F32, WIDE_SEGMENTS, 0},
    {1, 350, 3, STEP, ROWS | STATES | RESETS | REVERSE, TYPES_F32, ROW_SEGMENTS, 0},
    {1, 100, 5, STEP, STATES | RESETS | IN_PLACE, TYPES_F32, ALONE_SEGMENTS, 0},
    // packed sequences: some empty, the first and the last one too
    {1, 400, 5, STEP, STATES, TYPES_F32, SEGMENTS, 9},
    {1, 400, 5, CHANNEL, STATES | REVERSE, TYPES_F32, AHEAD, 9},
    {1, 300, 2, CHANNEL, COMPLEX | STATES | RESETS, TYPES_F32, SEGMENTS, 20},
    {1, 300, 3, STEP, ROWS | STATES | REVERSE, TYPES_F32, ROW_SEGMENTS, 7},
    {1, 151, 3, STEP, ROWS | STATES | REVERSE | RESETS, F32, F16, F16, ROW_TILES, 7},
    {1, 130, 5, STEP, STATES | RESETS, TYPES_F32, ALONE, 30},
    {1, 130, 5, STEP, 0, TYPES_F32, ALONE_SEGMENTS, 1},
    // the last state over the initial one, which a padded first step needs
    {1, 601, 2, STEP, ROWS | STATES | REVERSE | IN_PLACE, F32, BF16, BF16, ROW_SEGMENTS, 0},
};

// Roundings of a step, of the magnitude of its terms: a product and a sum; complex, two of each in each part, the parts
// being up to the root of 2 off together. As much again for the products of a by which a run's or a segment's state is
// decayed. The roundings themselves decay as the state does: see ref.h. Storage in 16 bits is rounded once, at the end.
static double roundings_of(const scan_case *c) {
    return c->mode & COMPLEX ? 10 : 4;
}

typedef struct job {
    char label[160];
    const scan_case *c;
    vks_tensor h, last;
    double *wanted, *bound, *wanted_last, *last_bound; // as the device lays them out
} job;

static uint32_t n_part_of(const scan_case *c) {
    return c->mode & COMPLEX ? 2 : 1;
}
static uint32_t n_sequence_of(const scan_case *c) {
    return c->n_sequence ? c->n_sequence : c->n_batch;
}
static uint32_t min_u32(uint32_t x, uint32_t y) {
    return x < y ? x : y;
}

// [B, T, D] to the device's order, [B, D, T] with ROWS, in place.
static void reorder(const scan_case *c, double *values) {
    if (!(c->mode & ROWS)) return;
    size_t part = n_part_of(c), n = (size_t)c->n_time * c->n_channel * part;
    double *rows = gpu_alloc(n, sizeof *rows);
    for (size_t b = 0; b < c->n_batch; b++) {
        for (size_t t = 0; t < c->n_time; t++)
            for (size_t d = 0; d < c->n_channel; d++)
                memcpy(rows + (d * c->n_time + t) * part, values + b * n + (t * c->n_channel + d) * part,
                       part * sizeof *rows);
        memcpy(values + b * n, rows, n * sizeof *rows);
    }
    vks_free(rows);
}

// Rows of numbers for every step: gaps behind the rows and behind each batch entry, unless DENSE. `values` come and go
// in the order [B, T, D].
static vks_tensor place_steps(gpu *g, gpu_use use, const scan_case *c, vkssm_dtype dtype, float *values) {
    bool rows = c->mode & ROWS, dense = c->mode & DENSE;
    uint32_t part = n_part_of(c), n_row = rows ? c->n_channel : c->n_time,
             n_column = (rows ? c->n_time : c->n_channel) * part;
    uint32_t stride = dense ? n_column : n_column + n_column % 2 + 2 * part * (1 + c->n_time % 2);
    if (dtype != F32 && stride % 2) stride++;
    uint32_t row_gap = dense ? 0 : 1; // batch entries are one row more apart
    size_t n = (size_t)c->n_batch * n_row * n_column;
    float *placed = NULL;
    if (values) {
        double *ordered = gpu_alloc(n, sizeof *ordered);
        for (size_t i = 0; i < n; i++)
            ordered[i] = (double)values[i];
        reorder(c, ordered);
        placed = gpu_alloc((size_t)(n_row + row_gap) * c->n_batch * n_column, sizeof *placed);
        for (size_t b = 0; b < c->n_batch; b++)
            for (size_t i = 0; i < (size_t)n_row * n_column; i++)
                placed[b * (n_row + row_gap) * n_column + i] = (float)ordered[b * n_row * n_column + i];
        vks_free(ordered);
    }
    vks_tensor all = gpu_rows(g, use, dtype, c->n_batch * (n_row + row_gap), n_column, stride, placed);
    // What the type has rounded, in the order that the twin reads.
    for (size_t b = 0; values && b < c->n_batch; b++)
        for (size_t t = 0; t < c->n_time; t++)
            for (size_t d = 0; d < c->n_channel; d++)
                for (size_t i = 0; i < part; i++) {
                    size_t at = rows ? d * n_column + t * part + i : t * n_column + d * part + i;
                    values[((b * c->n_time + t) * c->n_channel + d) * part + i] =
                        placed[b * (n_row + row_gap) * n_column + at];
                }
    vks_free(placed);
    vks_tensor steps = {.address = all.address, .dtype = dtype, .n_dim = 3 + (part == 2)};
    const uint32_t shape[4] = {c->n_batch, n_row, n_column / part, part};
    const uint64_t strides[4] = {(uint64_t)(n_row + row_gap) * stride, stride, part, 1};
    memcpy(steps.shape, shape, sizeof shape);
    memcpy(steps.stride, strides, sizeof strides);
    return steps;
}

// [n, D] or [D], with the 2 of complex numbers.
static vks_tensor place_channels(gpu *g, gpu_use use, const scan_case *c, vkssm_dtype dtype, uint32_t n, bool with_n,
                                 float *values) {
    uint32_t part = n_part_of(c), n_column = c->n_channel * part, odd = dtype != F32 && with_n ? n_column % 2 : 0;
    vks_tensor rows = gpu_rows(g, use, dtype, n, n_column, n_column + odd, values);
    const uint32_t shape[3] = {n, c->n_channel, 2};
    return gpu_reshape(rows, with_n, with_n + part, shape + !with_n);
}

// Random |a| between these: a state that lives for a few to some hundred steps, and phases all around.
static float *random_a(const scan_case *c, uint64_t *seed, size_t n, float low, float high) {
    float *a = gpu_random(seed, n, low, high);
    for (size_t i = 0; i < n; i += n_part_of(c)) {
        if (!(c->mode & COMPLEX)) {
            if (check_random(seed) % 4 == 0) a[i] = -a[i];
            continue;
        }
        double phase = (double)check_uniform(seed, 0, 6.2831853f), size = (double)a[i];
        a[i] = (float)(size * cos(phase));
        a[i + 1] = (float)(size * sin(phase));
    }
    return a;
}

typedef struct input {
    float *a, *b, *initial;
    int32_t *resets, *offsets;
} input;

static input make_input(const scan_case *c, uint64_t seed) {
    size_t part = n_part_of(c), n = (size_t)c->n_batch * c->n_time * c->n_channel * part;
    size_t n_state = (size_t)n_sequence_of(c) * c->n_channel * part, n_a = (size_t)c->n_batch * c->n_channel * part;
    input in = {
        .a = random_a(c, &seed, c->a == STEP ? n : n_a, 0.7f, 1),
        .b = gpu_random(&seed, n, -1, 1),
        .initial = c->mode & STATES ? gpu_random(&seed, n_state, -3, 3) : NULL,
    };
    if (c->a == CHANNEL) // the same for all: the twin reads it per batch entry
        for (size_t i = 0; i < n_a; i++)
            in.a[i] = in.a[i % (n_a / c->n_batch)];
    if (c->mode & RESETS) {
        in.resets = gpu_alloc((size_t)c->n_batch * c->n_time, sizeof *in.resets);
        for (size_t i = 0; i < (size_t)c->n_batch * c->n_time; i++)
            in.resets[i] = check_random(&seed) % 23 == 0;
        in.resets[0] = (int32_t)0x80000000; // any bits but 0
    }
    if (c->n_sequence) {
        in.offsets = gpu_alloc(c->n_sequence + 1, sizeof *in.offsets);
        for (uint32_t s = 1; s < c->n_sequence; s++) {
            uint32_t step = (uint32_t)(check_random(&seed) % (2 * c->n_time / c->n_sequence));
            bool empty = s % 4 == 1 || s + 1 == c->n_sequence;
            in.offsets[s] = (int32_t)min_u32((uint32_t)in.offsets[s - 1] + (empty ? 0 : step), c->n_time);
        }
        if (c->n_sequence > 2) in.offsets[c->n_sequence - 1] = (int32_t)c->n_time; // the last one is empty
        in.offsets[c->n_sequence] = (int32_t)c->n_time;
    }
    return in;
}

static void free_input(input *in) {
    vks_free(in->a);
    vks_free(in->b);
    vks_free(in->initial);
    vks_free(in->resets);
    vks_free(in->offsets);
}

static vks_scan place_op(gpu *g, const scan_case *c, input *in, const vks_scan_tuning *tuning) {
    vks_scan op = {
        .is_complex = c->mode & COMPLEX,
        .time_contiguous = c->mode & ROWS,
        .reverse = c->mode & REVERSE,
        .tuning = *tuning,
    };
    bool in_place = c->mode & IN_PLACE;
    uint32_t n_state = n_sequence_of(c);
    op.a = c->a == STEP ? place_steps(g, GPU_IN, c, c->a_type, in->a)
                        : place_channels(g, GPU_IN, c, c->a_type, c->a == BATCH ? c->n_batch : 1, c->a == BATCH, in->a);
    op.b = place_steps(g, in_place ? GPU_IN_OUT : GPU_IN, c, c->b_type, in->b);
    op.h = in_place ? op.b : place_steps(g, GPU_OUT, c, c->h_type, NULL);
    if (c->mode & STATES)
        op.initial = place_channels(g, in_place ? GPU_IN_OUT : GPU_IN, c, F32, n_state, true, in->initial);
    op.last = in_place && in->initial ? op.initial : place_channels(g, GPU_OUT, c, F32, n_state, true, NULL);
    if (in->resets)
        op.resets = gpu_reshape(gpu_words(g, GPU_IN, c->n_batch, c->n_time, c->n_time + 3, in->resets), 1,
                                GPU_SHAPE(c->n_batch, c->n_time));
    if (in->offsets) op.offsets = gpu_word_vector(g, in->offsets, c->n_sequence + 1);
    uint64_t n_scratch = vks_scan_scratch_size(g->target.kernels, &op);
    if (n_scratch)
        op.scratch =
            gpu_reshape(gpu_rows(g, GPU_OUT, F32, 1, (uint32_t)n_scratch, 0, NULL), 0, GPU_SHAPE((uint32_t)n_scratch));
    return op;
}

// Results of the twin in the device's order.
static void compute(job *j, const input *in, bool typical) {
    const scan_case *c = j->c;
    size_t part = n_part_of(c), n = (size_t)c->n_batch * c->n_time * c->n_channel * part;
    size_t n_state = (size_t)n_sequence_of(c) * c->n_channel * part;
    j->wanted = gpu_alloc(n, sizeof *j->wanted);
    j->bound = gpu_alloc(n, sizeof *j->bound);
    j->wanted_last = gpu_alloc(n_state, sizeof *j->wanted_last);
    j->last_bound = gpu_alloc(n_state, sizeof *j->last_bound);
    float *a = in->a;
    if (c->a == CHANNEL) { // rounded by its type in the first batch entry only
        size_t n_a = c->n_channel * part;
        for (size_t i = n_a; i < c->n_batch * n_a; i++)
            a[i] = a[i % n_a];
    }
    ref_scan(&(ref_scan_args){
        .n_batch = c->n_batch,
        .n_time = c->n_time,
        .n_channel = c->n_channel,
        .n_sequence = n_sequence_of(c),
        .is_complex = c->mode & COMPLEX,
        .reverse = c->mode & REVERSE,
        .a_step = c->a == STEP,
        .a = a,
        .b = in->b,
        .initial = in->initial,
        .resets = in->resets,
        .offsets = in->offsets,
        .h = j->wanted,
        .last = j->wanted_last,
        .bound = typical ? NULL : j->bound,
        .spread = typical ? j->bound : NULL,
        .last_bound = typical ? NULL : j->last_bound,
        .last_spread = typical ? j->last_bound : NULL,
    });
    reorder(c, j->wanted);
    reorder(c, j->bound);
}

static void free_job(job *j) {
    vks_free(j->wanted);
    vks_free(j->bound);
    vks_free(j->wanted_last);
    vks_free(j->last_bound);
}

static void start_job(gpu *g, const scan_case *c, const vks_scan_tuning *tuning, job *j) {
    static const char *const kinds[] = {"step", "channel", "batch"};
    *j = (job){.c = c};
    snprintf(j->label, sizeof j->label, "b%u t%u d%u a %s %s %s %s%s%s%s%s packed %u lanes %u x %u steps %u segment %u",
             c->n_batch, c->n_time, c->n_channel, kinds[c->a], vkssm_dtype_name(c->b_type), vkssm_dtype_name(c->h_type),
             c->mode & COMPLEX ? "complex " : "", c->mode & ROWS ? "rows " : "", c->mode & REVERSE ? "reverse " : "",
             c->mode & RESETS ? "resets " : "", c->mode & IN_PLACE ? "in place" : "", c->n_sequence, tuning->n_lane,
             tuning->n_side, tuning->n_step, tuning->segment);
    g->label = j->label;
}

static void check_job(const gpu *g, job *j, double roundings) {
    check_twin(g, j->label, &j->h, j->wanted, j->bound, roundings);
    check_twin(g, j->label, &j->last, j->wanted_last, j->last_bound, roundings);
}

typedef enum choice { CHOSEN, TUNED, LOOKING_BACK } choice;

// Looking back, with workgroups that withhold what they owe to others: none, all, some, some for as long as they run.
// Nobody waits for long, so that what is missing is computed.
static vks_scan_tuning tuning_of(size_t index, choice how) {
    vks_scan_tuning tuning = cases[index].tuning;
    if (how == CHOSEN) return (vks_scan_tuning){0};
    tuning.permute = index % 3 == 1;
    if (how == TUNED) return tuning;
    tuning.look_back = 1;
    tuning.n_turn = 2;
    tuning.withhold = (uint32_t[]){0, 1, 3, 2}[index % 4];
    tuning.late = index % 4 == 3;
    return tuning;
}

// Some cases in one submission: a CPU driver compiles their kernels only then, and may take long for it.
static void run_batch(gpu *g, const size_t *indices, size_t n, choice how) {
    job jobs[8];
    gpu_begin(g);
    for (size_t i = 0; i < n; i++) {
        const scan_case *c = &cases[indices[i]];
        vks_scan_tuning tuning = tuning_of(indices[i], how);
        start_job(g, c, &tuning, &jobs[i]);
        input in = make_input(c, indices[i]);
        vks_scan op = place_op(g, c, &in, &tuning);
        CHECK_OK(vks_op_scan(&g->target, &op));
        jobs[i].h = op.h;
        jobs[i].last = op.last;
        compute(&jobs[i], &in, false);
        free_input(&in);
    }
    CHECK(gpu_run(g));
    for (size_t i = 0; i < n; i++) {
        check_job(g, &jobs[i], roundings_of(jobs[i].c));
        free_job(&jobs[i]);
    }
}

// Every `stride`-th case of those wanted.
static void run_table(gpu *g, choice how, size_t stride, bool (*wanted)(const scan_case *c)) {
    size_t indices[8], n = 0;
    for (size_t i = 0; i < VKS_COUNT(cases); i += stride) {
        if (wanted(&cases[i])) indices[n++] = i;
        if (n < VKS_COUNT(indices)) continue;
        run_batch(g, indices, n, how);
        n = 0;
    }
    if (n) run_batch(g, indices, n, how);
}

static bool is_any(const scan_case *c) {
    return c != NULL;
}
static bool exchanges(const scan_case *c) {
    return c->tuning.n_lane > 1;
}
static bool exchanges_even(const scan_case *c) {
    return exchanges(c) && (c - cases) % 2 == 0;
}
static bool exchanges_odd(const scan_case *c) {
    return exchanges(c) && (c - cases) % 2 == 1;
}
static bool is_alone(const scan_case *c) { // without exchange between lanes all variants are one
    return c->tuning.n_lane == 1;
}
// SwiftShader takes a second to compile each form of the scan. Lavapipe tries them all, and SwiftShader every fifth.
static size_t stride_of(const gpu *g) {
    return strstr(g->caps->name, "SwiftShader") ? 5 : 1;
}
static void run_exchanging(gpu *g) {
    run_table(g, TUNED, stride_of(g), exchanges_even);
}
static void run_few(gpu *g) {
    run_table(g, TUNED, 7, is_any);
}

static bool is_apart(const scan_case *c) { // what looking back asks for
    return !(c->mode & IN_PLACE);
}
static void run_looking_back(gpu *g) {
    run_table(g, LOOKING_BACK, 7, is_apart);
}

CHECK_CASE(chosen) { // the choice differs by shapes, not by modes: half of the cases do
    run_table(gpu_open(0), CHOSEN, 2, is_any);
}
CHECK_CASE(alone) {
    run_table(gpu_open(0), TUNED, 1, is_alone);
}
CHECK_CASE(variants) {
    if (CHECK_SANITIZED) CHECK_SKIP("tested without sanitizers: the host's side is the same for all variants");
    static const char *const names[] = {"scan", "scan_sg"}; // looking back: below
    gpu *g = gpu_open(0);
    for (size_t i = 0; i < VKS_COUNT(names); i++) {
        vks_kernels_force(g->target.kernels, names[i]);
        run_exchanging(g);
    }
    vks_kernels_force(g->target.kernels, NULL);
}
CHECK_CASE(variant_preferred) { // the other half of the cases
    if (CHECK_SANITIZED) CHECK_SKIP("tested without sanitizers: the host's side is the same for all variants");
    gpu *g = gpu_open(0);
    run_table(g, TUNED, stride_of(g), exchanges_odd);
}
CHECK_CASE(masked) {
    run_masked(run_few);
}

CHECK_CASE(looking_back) {
    run_variants("scan_lookback", run_looking_back);
}

// ---- long and slow -------------------------------------------------------------------------------------------------

// |a| so near 1 that a state forgets over a million steps. What all roundings may add up to is far more than what they
// do if they are independent, the root of their squares. 16 times that root is allowed where the phase turns: no sum of
// independent roundings comes there, while powers of a by plain float32 squares, off by 2^-11, lead to more than 40
// times. 32 times where a is real: h then moves by so little that neighbouring steps round alike.
static void run_long(gpu *g, const scan_case *c, float a_size, float b_low) {
    job j;
    gpu_begin(g);
    start_job(g, c, &c->tuning, &j);
    input in = make_input(c, 5);
    size_t part = n_part_of(c), n = (size_t)c->n_time * c->n_channel * part,
           n_a = c->a == STEP ? n : c->n_channel * part;
    uint64_t seed = 7;
    for (size_t i = 0; i < n_a; i += part) {
        double phase = part == 2 ? 0.001 + 0.5 * (double)i : 0;
        in.a[i] = (float)((double)a_size * cos(phase));
        if (part == 2) in.a[i + 1] = (float)((double)a_size * sin(phase));
    }
    for (size_t i = 0; i < n; i++)
        in.b[i] = check_uniform(&seed, b_low, 1);
    vks_scan op = place_op(g, c, &in, &c->tuning);
    CHECK_OK(vks_op_scan(&g->target, &op));
    j.h = op.h;
    j.last = op.last;
    compute(&j, &in, true);
    free_input(&in);
    CHECK(gpu_run(g));
    check_job(g, &j, c->mode & COMPLEX ? 16 : 32);
    free_job(&j);
}

CHECK_CASE(million_steps) {
    enum { T = 1 << 20 };
    static const scan_case by_segments[] = {
        {1, T, 1, CHANNEL, COMPLEX | IN_PLACE, TYPES_F32, TUNING(64, 1, 16, 1 << 14, 0), 0},
        {1, T, 2, CHANNEL, IN_PLACE, TYPES_F32, TUNING(64, 1, 16, 1 << 14, 0), 0},
        {1, T, 2, STEP, IN_PLACE, TYPES_F32, TUNING(64, 1, 16, 1 << 14, 0), 0},
    };
    static const scan_case chosen = {1, T, 2, CHANNEL, IN_PLACE, TYPES_F32, {0}, 0};
    gpu *g = gpu_open(0);
    static const scan_case by_tiles = {
        1, T, 1, CHANNEL, COMPLEX, TYPES_F32, {.n_lane = 64, .n_side = 1, .n_step = 16, .look_back = 1}, 0};
    run_long(g, &by_tiles, 1 - 0x1p-20f, -1);
    for (size_t i = 0; i < VKS_COUNT(by_segments); i++)
        run_long(g, &by_segments[i], 1 - 0x1p-20f, -1);
    run_long(g, &chosen, 1 - 0x1p-20f, -1);
}

// b = 1 and constant a: h[t] = (1 - a^(t+1)) / (1 - a). Its roundings are no longer random where h hardly moves: 4 of a
// step's 2^-24 h, each surviving 1 / (1 - a) steps or t.
CHECK_CASE(closed_form) {
    static const float factors[] = {0.5f, 0.99f, 1 - 0x1p-12f, -0.9f};
    static const scan_case c = {1, 1 << 14, 4, CHANNEL, 0, TYPES_F32, TUNING(16, 4, 8, 1 << 9, 0), 0};
    gpu *g = gpu_open(0);
    job j;
    gpu_begin(g);
    start_job(g, &c, &c.tuning, &j);
    input in = make_input(&c, 1);
    for (size_t d = 0; d < 4; d++)
        in.a[d] = factors[d];
    for (size_t i = 0; i < (size_t)c.n_time * 4; i++)
        in.b[i] = 1;
    vks_scan op = place_op(g, &c, &in, &c.tuning);
    CHECK_OK(vks_op_scan(&g->target, &op));
    CHECK(gpu_run(g));
    double *found = gpu_alloc((size_t)c.n_time * 4, sizeof *found);
    gpu_read(g, &op.h, found);
    for (uint32_t t = 0; t < c.n_time; t++)
        for (size_t d = 0; d < 4; d++) {
            double a = (double)factors[d], wanted = (1 - pow(a, t + 1.0)) / (1 - a),
                   alive = fmin(t + 1, 1 / (1 - fabs(a)));
            CHECK_NEAR(found[4 * t + d], wanted, 4 * 0x1p-24 * alive * wanted);
        }
    vks_free(found);
    free_input(&in);
}

// As long as it may be. a = 0.5, b = 1: after 30 steps h is 2, exactly, in any order of operations.
CHECK_CASE(longest) {
    enum { T = 1 << 24 };
    gpu *g = gpu_open(0);
    if (CHECK_SANITIZED || strstr(g->caps->name, "SwiftShader"))
        CHECK_SKIP("SwiftShader, and lavapipe under a sanitizer, take over a minute for 2^24 steps");
    float a = 0.5f, *b = gpu_alloc(T, sizeof *b);
    double *found = gpu_alloc(T, sizeof *found);
    for (size_t i = 0; i < T; i++)
        b[i] = 1;
    g->label = "2^24 steps";
    gpu_begin(g);
    vks_tensor rows = gpu_rows(g, GPU_IN_OUT, F16, 1, T, 0, b), last = gpu_rows(g, GPU_OUT, F32, 1, 1, 0, NULL);
    vks_scan op = {
        .a = gpu_vector(g, &a, 1),
        .b = gpu_reshape(rows, 1, GPU_SHAPE(1, 1, T)),
        .last = last,
        .time_contiguous = true,
    };
    op.h = op.b;
    uint32_t n_scratch = (uint32_t)vks_scan_scratch_size(g->target.kernels, &op);
    CHECK(n_scratch > 0); // one lane would take too long anywhere
    op.scratch = gpu_reshape(gpu_rows(g, GPU_OUT, F32, 1, n_scratch, 0, NULL), 0, GPU_SHAPE(n_scratch));
    CHECK_OK(vks_op_scan(&g->target, &op));
    CHECK(gpu_run(g));
    gpu_read(g, &op.h, found);
    size_t n_wrong = 0;
    for (size_t i = 30; i < T; i++)
        n_wrong += found[i] != 2;
    CHECK_EQ(n_wrong, 0);
    CHECK(found[0] == 1 && found[1] == 1.5 && found[2] == 1.75);
    gpu_read(g, &last, found);
    CHECK(found[0] == 2);
    vks_free(b);
    vks_free(found);
}

// ---- infinities and NaN --------------------------------------------------------------------------------------------

// The twin's finite numbers must be found, and nothing finite in place of its infinities and NaN.
static void check_special(const gpu *g, const job *j, const vks_tensor *tensor, const double *wanted,
                          const double *bound, size_t n) {
    double *found = gpu_alloc(n, sizeof *found);
    gpu_read(g, tensor, found);
    size_t n_wrong = 0, n_special = 0;
    for (size_t i = 0; i < n; i++) {
        double allowed = 0x1p-24 * (fabs(wanted[i]) + roundings_of(j->c) * bound[i]) + 0x1p-126;
        bool right = isfinite(wanted[i]) ? fabs(found[i] - wanted[i]) <= allowed : !isfinite(found[i]);
        n_special += !isfinite(wanted[i]);
        if (!right && n_wrong++ == 0)
            CHECK_FAIL("%s: element %zu is %g, its twin %g", j->label, i, found[i], wanted[i]);
    }
    CHECK_EQ(n_wrong, 0);
    CHECK(n_special > 0 && n_special < n);
    vks_free(found);
}

CHECK_CASE(infinities_and_nan) {
    static const scan_case c[] = {
        {1, 300, 2, STEP, RESETS, TYPES_F32, TILES, 0},
        {1, 300, 2, STEP, RESETS, TYPES_F32, SEGMENTS, 0},
        {1, 300, 2, STEP, RESETS, TYPES_F32, ALONE, 0},
        {1, 300, 2, STEP, RESETS | REVERSE | ROWS, TYPES_F32, ROW_SEGMENTS, 0},
        {1, 300, 2, CHANNEL, RESETS, TYPES_F32, SEGMENTS, 0},
    };
    gpu *g = gpu_open(0);
    enum { N = VKS_COUNT(c) };
    job jobs[N];
    gpu_begin(g);
    for (size_t i = 0; i < N; i++) {
        start_job(g, &c[i], &c[i].tuning, &jobs[i]);
        input in = make_input(&c[i], i);
        for (size_t t = 0; t < 300; t++)
            in.resets[t] = t % 75 == 60;
        // Time t of channel d is element 2 t + d. A NaN, an infinity that a negative a turns round, and a = infinity.
        in.b[2 * 20] = NAN;
        in.b[2 * 90 + 1] = INFINITY;
        if (c[i].a == STEP) {
            in.a[2 * 150] = INFINITY;
            in.a[2 * 160 + 1] = NAN;
            in.a[2 * 60] = NAN; // not used: a reset
        }
        vks_scan op = place_op(g, &c[i], &in, &c[i].tuning);
        CHECK_OK(vks_op_scan(&g->target, &op));
        jobs[i].h = op.h;
        jobs[i].last = op.last;
        compute(&jobs[i], &in, false);
        free_input(&in);
    }
    CHECK(gpu_run(g));
    for (size_t i = 0; i < N; i++) {
        check_special(g, &jobs[i], &jobs[i].h, jobs[i].wanted, jobs[i].bound, 600);
        free_job(&jobs[i]);
    }
}

// A zero state stays zero even where the product of a over a segment overflows.
CHECK_CASE(unstable_but_empty) {
    static const scan_case c = {1, 512, 2, CHANNEL, 0, TYPES_F32, TUNING(16, 4, 4, 256, 0), 0};
    gpu *g = gpu_open(0);
    job j;
    gpu_begin(g);
    start_job(g, &c, &c.tuning, &j);
    input in = make_input(&c, 1);
    in.a[0] = in.a[1] = 2;
    for (size_t i = 0; i < 1024; i++)
        in.b[i] = i >= 1000;
    vks_scan op = place_op(g, &c, &in, &c.tuning);
    CHECK_OK(vks_op_scan(&g->target, &op));
    CHECK(gpu_run(g));
    double *found = gpu_alloc(1024, sizeof *found);
    gpu_read(g, &op.h, found);
    for (size_t t = 0; t < 512; t++)
        CHECK(found[2 * t] == (t < 500 ? 0 : pow(2, (double)t - 499) - 1));
    vks_free(found);
    free_input(&in);
}

// ---- the same bits -------------------------------------------------------------------------------------------------

// In whatever order workgroups run, and in place or not.
CHECK_CASE(order_of_workgroups) {
    static const scan_case base[] = {{2, 500, 40, STEP, STATES, TYPES_F32, SEGMENTS, 0},
                                     {2, 500, 21, CHANNEL, STATES | COMPLEX | RESETS, TYPES_F32, WIDE_SEGMENTS, 0}};
    gpu *g = gpu_open(0);
    for (size_t i = 0; i < VKS_COUNT(base); i++) {
        vks_scan op[3];
        input in = make_input(&base[i], 3);
        gpu_begin(g);
        for (int k = 0; k < 3; k++) {
            scan_case c = base[i];
            if (k == 2) c.mode |= IN_PLACE;
            vks_scan_tuning tuning = c.tuning;
            tuning.permute = k == 1;
            op[k] = place_op(g, &c, &in, &tuning);
            CHECK_OK(vks_op_scan(&g->target, &op[k]));
        }
        CHECK(gpu_run(g));
        size_t n = (size_t)1000 * base[i].n_channel * n_part_of(&base[i]);
        double *found[3];
        for (int k = 0; k < 3; k++) {
            found[k] = gpu_alloc(n, sizeof *found[k]);
            gpu_read(g, &op[k].h, found[k]);
        }
        CHECK(memcmp(found[0], found[1], n * sizeof **found) == 0);
        CHECK(memcmp(found[0], found[2], n * sizeof **found) == 0);
        for (int k = 0; k < 3; k++)
            vks_free(found[k]);
        free_input(&in);
    }
}

// Looking back, over more tiles than are looked at at once: whoever computes a state, and from whatever was there.
CHECK_CASE(bits_of_look_back) {
    static const scan_case base[] = {
        {1, 2100, 12, STEP, STATES, TYPES_F32, {.n_lane = 16, .n_side = 4, .n_step = 4}, 0},
        {2, 1500, 5, CHANNEL, STATES | COMPLEX | RESETS, TYPES_F32, {.n_lane = 16, .n_side = 4, .n_step = 4}, 0}};
    static const vks_scan_tuning how[] = {{.look_back = 1},
                                          {.look_back = 1}, // the same again
                                          {.look_back = 1, .n_turn = 1, .withhold = 1},
                                          {.look_back = 1, .n_turn = 3, .withhold = 2, .late = true, .permute = true}};
    enum { N = VKS_COUNT(how) };
    gpu *g = gpu_open(0);
    for (size_t i = 0; i < VKS_COUNT(base); i++) {
        vks_scan op[N];
        input in = make_input(&base[i], 3);
        gpu_begin(g);
        for (size_t k = 0; k < N; k++) {
            vks_scan_tuning tuning = how[k];
            tuning.n_lane = 16, tuning.n_side = tuning.n_step = 4;
            op[k] = place_op(g, &base[i], &in, &tuning);
            CHECK_OK(vks_op_scan(&g->target, &op[k]));
        }
        CHECK(gpu_run(g));
        size_t n = (size_t)base[i].n_batch * base[i].n_time * base[i].n_channel * n_part_of(&base[i]),
               n_state = n / base[i].n_time;
        double *first = gpu_alloc(n, sizeof *first), *found = gpu_alloc(n, sizeof *found);
        gpu_read(g, &op[0].h, first);
        for (size_t k = 1; k < N; k++) {
            gpu_read(g, &op[k].h, found);
            CHECK(memcmp(first, found, n * sizeof *found) == 0);
        }
        gpu_read(g, &op[0].last, first);
        for (size_t k = 1; k < N; k++) {
            gpu_read(g, &op[k].last, found);
            CHECK(memcmp(first, found, n_state * sizeof *found) == 0);
        }
        vks_free(first);
        vks_free(found);
        free_input(&in);
    }
}

// ---- what is refused -----------------------------------------------------------------------------------------------

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    enum { B = 2, T = 600, D = 6, SOMEWHERE = 1 << 20, ELSEWHERE = 1 << 22 }; // never touched: nothing is recorded
    vks_scan good = {
        .a = vks_tensor_dense(SOMEWHERE, F32, GPU_SHAPE(B, T, D)),
        .b = vks_tensor_dense(ELSEWHERE, F32, GPU_SHAPE(B, T, D)),
        .h = vks_tensor_dense(2 * ELSEWHERE, F32, GPU_SHAPE(B, T, D)),
        .initial = vks_tensor_dense(4096, F32, GPU_SHAPE(B, D)),
        .last = vks_tensor_dense(4096, F32, GPU_SHAPE(B, D)),
        .resets = vks_tensor_dense(8192, VKSSM_DTYPE_I32, GPU_SHAPE(B, T)),
        .tuning = SEGMENTS,
    };
    uint32_t n_scratch = (uint32_t)vks_scan_scratch_size(target.kernels, &good);
    CHECK(n_scratch > 0);
    good.scratch = vks_tensor_dense(16384, F32, GPU_SHAPE(n_scratch));
    CHECK_OK(vks_op_scan(&target, &good));
#define REFUSED(change, message)                                                                                       \
    do {                                                                                                               \
        vks_scan bad = good;                                                                                           \
        change;                                                                                                        \
        CHECK_REFUSED(vks_op_scan(&target, &bad), message);                                                            \
    } while (0)
    REFUSED(bad.a.shape[1] = 5, "scan: a: shape [2, 600, 6] expected, [2, 5, 6] found");
    REFUSED(bad.a = vks_tensor_dense(SOMEWHERE, F32, GPU_SHAPE(5)), "scan: a: shape [6] expected, [5] found");
    REFUSED(bad.a = vks_tensor_dense(SOMEWHERE, F32, GPU_SHAPE(D, B)), "scan: a: shape [2, 6] expected, [6, 2] found");
    REFUSED(bad.b.shape[1] = 0, "scan: b: at least one sequence, step and channel expected, 2, 0 and 6 found");
    REFUSED(bad.b.n_dim = 2, "scan: b: 3 dimensions expected, 2 found");
    REFUSED(bad.is_complex = true, "scan: b: 4 dimensions expected, 3 found");
    REFUSED(bad.b.dtype = VKSSM_DTYPE_F64, "scan: b: F32, F16 or BF16 expected, F64 found");
    REFUSED(bad.b.stride[1] = 4, "scan: b: a stride of dimension 1 of at least 6 expected, 4 found: rows overlap");
    REFUSED(bad.h.stride[0] = 6, "scan: h: a stride of dimension 0 of at least 3600 expected, 6 found: rows overlap");
    REFUSED(bad.a.stride[1] = 0, "scan: a: a stride of dimension 1 of at least 6 expected, 0 found: rows overlap");
    REFUSED((bad.h.dtype = F16, bad.h.stride[1] = 7),
            "scan: h: a stride of dimension 1 that is a multiple of 2 expected, 7 found");
    REFUSED(bad.b.stride[1] = 1u << 30, "elements between two batch entries expected");
    REFUSED(bad.h.address = ELSEWHERE + 8, "scan: h: b itself or other memory than b's expected, an overlap found");
    REFUSED((bad.h = bad.b, bad.h.dtype = F16), "scan: h: b itself or other memory");
    REFUSED(bad.h.address = SOMEWHERE, "scan: h: other memory than a's expected, an overlap found");
    REFUSED(bad.h.address = 4096, "scan: h: other memory than that of the states");
    REFUSED(bad.last.address += 8, "scan: last: initial itself or other memory");
    REFUSED((bad.offsets = vks_tensor_dense(8192, VKSSM_DTYPE_I32, GPU_SHAPE(2)),
             bad.a = vks_tensor_slice(bad.a, 0, 0, 1), bad.b = vks_tensor_slice(bad.b, 0, 0, 1),
             bad.h = vks_tensor_slice(bad.h, 0, 0, 1), bad.resets.address = 0,
             bad.initial.shape[0] = bad.last.shape[0] = 1),
            "scan: last: other memory than initial's expected");
    REFUSED(bad.initial.shape[0] = 3, "scan: initial: shape [2, 6] expected, [3, 6] found");
    REFUSED(bad.last.dtype = F16, "scan: last: F32 expected, F16 found");
    REFUSED(bad.resets.shape[1] = 601, "scan: resets: shape [2, 600] expected, [2, 601] found");
    REFUSED(bad.resets.dtype = F32, "scan: resets: I32 expected, F32 found");
    REFUSED(bad.offsets = vks_tensor_dense(8192, VKSSM_DTYPE_I32, GPU_SHAPE(3)),
            "scan: offsets: one time axis (B = 1) expected, 2");
    REFUSED(bad.offsets = vks_tensor_dense(8192, VKSSM_DTYPE_I32, GPU_SHAPE(1)),
            "scan: offsets: shape [n+1] with n at least 1");
    REFUSED(bad.scratch.shape[0]--, "scan: scratch: ");
    REFUSED(bad.scratch.address = 0, "scan: scratch: ");
    REFUSED(bad.scratch.address += 4, "scan: scratch: a start on 8 bytes expected");
    REFUSED(bad.tuning.n_lane = 3, "scan: tuning: ");
    REFUSED(bad.tuning.n_side = 4096, "scan: tuning: ");
    REFUSED(bad.tuning.n_step = 2, "scan: tuning: ");
    REFUSED((bad.tuning = (vks_scan_tuning){.look_back = 1}, bad.h = bad.b),
            "scan: tuning: an h in other memory than b's and a's expected to look back, an overlap found");
    REFUSED((bad.tuning = (vks_scan_tuning){.look_back = 1}, bad.scratch.shape[0] = 5), "scan: scratch: ");
    REFUSED(bad.tuning.segment = 96, "scan: tuning: a segment of a power of two of 64 steps expected, 96 found");
    // Columns of the same rows are no overlap.
    vks_tensor rows = vks_tensor_rows(ELSEWHERE, F32, B * T, 3 * D, 3 * D);
    vks_tensor *columns[] = {&good.a, &good.b, &good.h};
    for (uint32_t i = 0; i < 3; i++)
        *columns[i] = gpu_reshape(vks_tensor_slice(rows, 1, i * D, D), 2, GPU_SHAPE(B, T, D));
    CHECK_OK(vks_op_scan(&target, &good));
    good.h.address -= 4;
    CHECK_REFUSED(vks_op_scan(&target, &good), "scan: h: b itself or other memory");
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv,
                    (check_case[]){CHECK_RUN(chosen),
                                   CHECK_RUN(alone),
                                   CHECK_RUN(variants),
                                   CHECK_RUN(variant_preferred),
                                   CHECK_RUN(masked),
                                   CHECK_RUN(looking_back),
                                   CHECK_RUN(million_steps),
                                   CHECK_RUN(closed_form),
                                   CHECK_RUN(longest),
                                   CHECK_RUN(infinities_and_nan),
                                   CHECK_RUN(unstable_but_empty),
                                   CHECK_RUN(order_of_workgroups),
                                   CHECK_RUN(bits_of_look_back),
                                   CHECK_RUN(refuses),
                                   {0}});
}

// What the operators' tests share: comparison with the twin, and a case per variant.
#ifndef OP_TEST_H
#define OP_TEST_H

#include <math.h>

#include "harness/gpu.h"
#include "ref/ref.h"

// Read a tensor and compare it with its twin: within `factor` float32 roundings of `scale` and the rounding of its type
// (see ref_compare). With VKSSM_TEST_VERBOSE the part of the bound that was reached is printed.
static inline void check_twin(const gpu *g, const char *label, const vks_tensor *tensor, const double *wanted,
                              const double *scale, double factor) {
    size_t n = 1;
    for (uint32_t i = 0; i < tensor->n_dim; i++)
        n *= tensor->shape[i];
    double *found = gpu_alloc(n, sizeof *found);
    gpu_read(g, tensor, found);
    ref_error error = ref_compare(found, wanted, scale, n, (ref_type)tensor->dtype, factor);
    if (gpu_verbose()) printf("  %-60s %6.3f of the bound, nmse %.2g\n", label, error.worst, error.nmse);
    check_n_checked++;
    if (!(error.worst <= 1))
        CHECK_FAIL("%s: element %zu is %.9g, its twin %.9g: %.3g times what is allowed (nmse %.2g)", label, error.at,
                   error.found, error.wanted, error.worst, error.nmse);
    vks_free(found);
}

// Inputs that codes of 8 bits represent, 16 values to a scale: the largest of them is 127 units of a power of two. Variants
// that round their input to such codes then lose nothing.
static inline void op_fill_codes(uint64_t *seed, float *x, size_t n) {
    for (size_t k = 0; k < n; k++) {
        int code = k % 16 == 5 ? 127 : (int)floorf(check_uniform(seed, -127, 128));
        x[k] = ldexpf((float)code, k / 16 % 2 ? -6 : -8);
    }
}

// A case that was recorded: what it is called, its output, and what the twin says of it.
typedef struct op_job {
    char label[96];
    vks_tensor y;
    double *wanted, *scale; // of as many elements as y: see op_expect
} op_job;

// Place a case's operands, record its operator, and run its twin.
typedef void op_record(gpu *g, const void *one, uint64_t seed, op_job *job);

// Room for what the twin says of y.
static inline void op_expect(op_job *job, vks_tensor y, size_t n) {
    job->y = y;
    job->wanted = gpu_alloc(n, sizeof *job->wanted);
    job->scale = gpu_alloc(n, sizeof *job->scale);
}

// All cases of a table in one submission, each against its twin (check_twin).
static inline void run_against_twin(gpu *g, const void *cases, size_t n_case, size_t case_size, op_record *record,
                                    double factor) {
    op_job *jobs = gpu_alloc(n_case, sizeof *jobs);
    gpu_begin(g);
    for (size_t i = 0; i < n_case; i++)
        record(g, (const char *)cases + i * case_size, i, &jobs[i]);
    CHECK(gpu_run(g));
    for (size_t i = 0; i < n_case; i++) {
        check_twin(g, jobs[i].label, &jobs[i].y, jobs[i].wanted, jobs[i].scale, factor);
        vks_free(jobs[i].wanted);
        vks_free(jobs[i].scale);
    }
    vks_free(jobs);
}
#define RUN_AGAINST_TWIN(g, cases, record, factor)                                                                     \
    run_against_twin(g, cases, VKS_COUNT(cases), sizeof *(cases), record, factor)

// Columns first ... first + count - 1 of rows of n_column values, densely.
static inline float *op_gather(const float *rows, size_t n_row, uint32_t n_column, uint32_t first, uint32_t count) {
    float *dense = gpu_alloc(n_row * count, sizeof *dense);
    for (size_t row = 0; row < n_row; row++)
        memcpy(dense + row * count, rows + row * n_column + first, count * sizeof *rows);
    return dense;
}

// What the twin of a recurrence says: outputs, and the states of all slots. Sequence s has slot slots[s]; a slot that
// no sequence has must keep its bits.
typedef struct op_recurrence {
    size_t n_y, n_state, n_slot, n_sequence; // n_state: of a slot
    const int32_t *slots;
    double *y, *scale, *state, *state_scale;
} op_recurrence;

// Room for n_y outputs; all slots as given. *own: the states of the sequences, zeros without `carried`, for the twin.
static inline void op_recurrence_begin(op_recurrence *r, const float *given, bool carried, double **own) {
    size_t n_all = r->n_slot * r->n_state, bytes = r->n_state * sizeof(double);
    r->y = gpu_alloc(r->n_y, sizeof *r->y);
    r->scale = gpu_alloc(r->n_y, sizeof *r->scale);
    r->state = gpu_alloc(n_all, sizeof *r->state);
    r->state_scale = gpu_alloc(n_all, sizeof *r->state_scale);
    *own = gpu_alloc(r->n_sequence * r->n_state, sizeof **own);
    for (size_t i = 0; i < n_all; i++)
        r->state[i] = given[i];
    for (size_t s = 0; carried && s < r->n_sequence; s++)
        memcpy(*own + s * r->n_state, r->state + (size_t)r->slots[s] * r->n_state, bytes);
}

// The sequences' last states, and what roundings are relative to, to their slots.
static inline void op_recurrence_end(op_recurrence *r, double *own, const double *own_scale) {
    for (size_t s = 0; s < r->n_sequence; s++) {
        size_t at = (size_t)r->slots[s] * r->n_state, bytes = r->n_state * sizeof(double);
        memcpy(r->state + at, own + s * r->n_state, bytes);
        memcpy(r->state_scale + at, own_scale + s * r->n_state, bytes);
    }
    vks_free(own);
}

static inline void op_recurrence_free(op_recurrence *r) {
    vks_free(r->y);
    vks_free(r->scale);
    vks_free(r->state);
    vks_free(r->state_scale);
}

// The same tokens in several ways: each is within the bound of the twin, so the last one, which is steps, and another
// are within twice that.
static inline void check_ways(const gpu *g, const op_recurrence *r, const vks_tensor *ys, const vks_tensor *states,
                              int n_way, double factor) {
    double *steps = gpu_alloc(r->n_y, sizeof *steps);
    gpu_read(g, &ys[n_way - 1], steps);
    for (int way = 0; way < n_way; way++) {
        check_twin(g, "all ways: twin", &ys[way], r->y, r->scale, factor);
        check_twin(g, "all ways: state", &states[way], r->state, r->state_scale, factor);
        check_twin(g, "all ways: steps", &ys[way], steps, r->scale, 2 * factor);
    }
    vks_free(steps);
}

// With features masked: the selector's choice must do.
static inline void run_masked(void (*run)(gpu *g)) {
    gpu *g = gpu_open(GPU_MASK_ALL);
    CHECK(g != NULL);
    if (!g) return;
    CHECK_EQ(g->caps->features, 0);
    run(g);
}

static inline bool is_variant_of(const char *name, const char *kernel) {
    size_t n = strlen(kernel);
    return strncmp(name, kernel, n) == 0 && (name[n] == 0 || name[n] == '_');
}

// With each variant of a kernel forced: "matmul" stands for matmul_tiled, matmul_vector, ... Those that the device
// cannot run are named; on a device without optional features only those that need none may be left, and at least one.
// Not under the address sanitizer: the host's side is the same for all of them.
static inline void run_variants(const char *kernel, void (*run)(gpu *g)) {
    if (CHECK_SANITIZED) CHECK_SKIP("tested without sanitizers: the host's side is the same for all variants");
    gpu *g = gpu_open(0), *masked = gpu_open(GPU_MASK_ALL);
    CHECK(g && masked);
    if (!g || !masked) return;
    const char *name, *reason;
    bool available;
    int n_plain = 0;
    for (uint32_t i = 0; vks_kernels_variant(g->target.kernels, i, &name, &available, &reason); i++) {
        if (!is_variant_of(name, kernel)) continue;
        int failed_before = check_n_failed;
        vks_kernels_force(g->target.kernels, name);
        g->forced = name;
        if (available)
            run(g);
        else
            printf("  %s not tested: %s lacks %s\n", name, g->caps->name, reason);
        vks_kernels_force(g->target.kernels, NULL);
        g->forced = NULL;
        if (check_n_failed != failed_before) printf("  by %s\n", name);
        CHECK(available == !reason);
        CHECK(vks_kernels_variant(masked->target.kernels, i, &name, &available, &reason));
        CHECK(available == !reason);
        n_plain += available;
    }
    CHECK(n_plain > 0);
}

#endif

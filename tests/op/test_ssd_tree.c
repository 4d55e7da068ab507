// ssd_tree against its twin, which takes each branch for a sequence of its own; and against ssd where the tree is one
// branch.
#include "op_test.h"

#include <math.h>

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

typedef enum tree_kind { IN_A_ROW, TREE, ALL_ROOTS } tree_kind;

typedef struct tree_case {
    uint32_t n_sequence, n_time, n_head, n_group, n_width, n_state;
    vkssm_dtype x, y;
    bool slots;
    tree_kind kind;
    float a_low, dt_high, dt_max;
} tree_case;

// Invocations take 8 tokens by 2 p; a workgroup has 16 of them on a CPU.
static const tree_case cases[] = {
    {1, 1, 1, 1, 1, 1, F32, F32, false, TREE, -2, 1, INFINITY},
    {2, 7, 4, 2, 8, 16, F32, F32, true, TREE, -2, 1, INFINITY},
    {1, 8, 2, 1, 25, 33, F32, F32, false, IN_A_ROW, -2, 1, INFINITY},
    {2, 9, 2, 2, 6, 5, F16, F16, true, ALL_ROOTS, -16, 2, 0.2f},
    {1, 31, 2, 1, 16, 8, BF16, F32, false, TREE, -50, 30, INFINITY}, // decays that underflow
    {1, 32, 2, 1, 64, 128, F32, F16, true, TREE, -2, 1, INFINITY},
    {2, 32, 2, 1, 10, 12, BF16, BF16, false, IN_A_ROW, -2, 1, INFINITY},
};

// As for ssd: about one rounding of the scale for each sum, product and exponential; ref_ssd_tree counts those of the
// exponents, which are sums over a branch.
static const double roundings = 8;

typedef struct operands {
    float *rows, *dt, *heads, *state;
    int32_t slots[4], parents[4 * 32];
    uint32_t n_row_column, n_slot;
    vks_ssd_tree op;
} operands;

static void choose_tree(const tree_case *c, uint64_t *seed, operands *o) {
    for (uint32_t i = 0; i < c->n_sequence * c->n_time; i++) {
        int32_t t = (int32_t)(i % c->n_time);
        if (c->kind == ALL_ROOTS)
            o->parents[i] = -1;
        else
            o->parents[i] = (int32_t)floor(check_uniform(seed, -1, (float)t)); // -1 ... t-1
    }
}

static vks_tensor columns(const tree_case *c, vks_tensor rows, uint32_t first, uint32_t n_outer, uint32_t n_inner) {
    return gpu_reshape(vks_tensor_slice(rows, 1, first, n_outer * n_inner), 2,
                       GPU_SHAPE(c->n_sequence, c->n_time, n_outer, n_inner));
}

static void place(gpu *g, const tree_case *c, uint64_t seed, operands *o) {
    uint32_t n_x = c->n_head * c->n_width, n_b = c->n_group * c->n_state, n_row = c->n_sequence * c->n_time;
    o->n_slot = c->n_sequence + 1;
    o->n_row_column = n_x + 2 * n_b;
    o->rows = gpu_random(&seed, (size_t)n_row * o->n_row_column, -1, 1);
    o->dt = gpu_random(&seed, (size_t)n_row * c->n_head, -3, c->dt_high);
    o->heads = gpu_random(&seed, (size_t)3 * c->n_head, -1, 1);
    for (uint32_t h = 0; h < c->n_head; h++)
        o->heads[h] = check_uniform(&seed, c->a_low, -0.1f);
    o->state = gpu_random(&seed, (size_t)o->n_slot * n_x * c->n_state, -1, 1);
    choose_tree(c, &seed, o);
    for (uint32_t s = 0; s < c->n_sequence; s++)
        o->slots[s] = (int32_t)(c->slots ? o->n_slot - 1 - s : s);
    vks_tensor rows = gpu_rows(g, GPU_IN, c->x, n_row, o->n_row_column, o->n_row_column + 2, o->rows);
    vks_tensor dt = gpu_rows(g, GPU_IN, c->x, n_row, c->n_head, 0, o->dt);
    vks_tensor heads = gpu_rows(g, GPU_IN, F32, 3, c->n_head, 0, o->heads);
    vks_tensor state = gpu_rows(g, GPU_IN, F32, o->n_slot, n_x * c->n_state, n_x * c->n_state + 5, o->state);
    vks_tensor y = gpu_rows(g, GPU_OUT, c->y, n_row, n_x, n_x + 2, NULL);
    o->op = (vks_ssd_tree){
        .x = columns(c, rows, 0, c->n_head, c->n_width),
        .b = columns(c, rows, n_x, c->n_group, c->n_state),
        .c = columns(c, rows, n_x + n_b, c->n_group, c->n_state),
        .dt = gpu_reshape(dt, 2, GPU_SHAPE(c->n_sequence, c->n_time, c->n_head)),
        .heads = gpu_reshape(heads, 1, GPU_SHAPE(3, c->n_head)),
        .state = gpu_reshape(state, 1, GPU_SHAPE(o->n_slot, c->n_head, c->n_width, c->n_state)),
        .y = columns(c, y, 0, c->n_head, c->n_width),
        .dt_max = c->dt_max,
    };
    if (c->slots) o->op.slots = gpu_word_vector(g, o->slots, c->n_sequence);
    if (c->kind != IN_A_ROW)
        o->op.parents = gpu_reshape(gpu_word_vector(g, o->parents, n_row), 0, GPU_SHAPE(c->n_sequence, c->n_time));
}

static float *gather(const tree_case *c, const operands *o, uint32_t s, uint32_t first, uint32_t count) {
    float *dense = gpu_alloc((size_t)c->n_time * count, sizeof *dense);
    for (uint32_t t = 0; t < c->n_time; t++)
        memcpy(dense + (size_t)t * count, o->rows + ((size_t)s * c->n_time + t) * o->n_row_column + first,
               count * sizeof *dense);
    return dense;
}

static void expect(const tree_case *c, const operands *o, double *wanted, double *scale) {
    uint32_t n_x = c->n_head * c->n_width, n_b = c->n_group * c->n_state;
    size_t n_state = (size_t)n_x * c->n_state, n_y = (size_t)c->n_time * n_x;
    double *state = gpu_alloc(n_state, sizeof *state);
    for (uint32_t s = 0; s < c->n_sequence; s++) {
        float *x = gather(c, o, s, 0, n_x), *b = gather(c, o, s, n_x, n_b), *cc = gather(c, o, s, n_x + n_b, n_b);
        for (size_t i = 0; i < n_state; i++)
            state[i] = o->state[(size_t)o->slots[s] * n_state + i];
        ref_ssd_tree(&(ref_ssd_tree_args){
            .n_time = c->n_time,
            .n_head = c->n_head,
            .n_group = c->n_group,
            .n_width = c->n_width,
            .n_state = c->n_state,
            .x = x,
            .b = b,
            .c = cc,
            .dt = o->dt + (size_t)s * c->n_time * c->n_head,
            .a = o->heads,
            .dt_bias = o->heads + c->n_head,
            .d = o->heads + 2 * c->n_head,
            .parents = c->kind == IN_A_ROW ? NULL : o->parents + s * c->n_time,
            .dt_max = c->dt_max,
            .state = state,
            .y = wanted + s * n_y,
            .scale = scale + s * n_y,
        });
        vks_free(x);
        vks_free(b);
        vks_free(cc);
    }
    vks_free(state);
}

static void free_operands(operands *o) {
    vks_free(o->rows);
    vks_free(o->dt);
    vks_free(o->heads);
    vks_free(o->state);
}

static void record(gpu *g, const void *one, uint64_t seed, op_job *job) {
    const tree_case *c = one;
    snprintf(job->label, sizeof job->label, "b%u t%u h%u g%u p%u n%u %s = %s kind %d", c->n_sequence, c->n_time,
             c->n_head, c->n_group, c->n_width, c->n_state, vkssm_dtype_name(c->x), vkssm_dtype_name(c->y),
             (int)c->kind);
    g->label = job->label;
    operands o = {0};
    place(g, c, seed + 1, &o);
    CHECK_OK(vks_op_ssd_tree(&g->target, &o.op));
    op_expect(job, o.op.y, (size_t)c->n_sequence * c->n_time * c->n_head * c->n_width);
    expect(c, &o, job->wanted, job->scale);
    free_operands(&o);
}

static void run(gpu *g) {
    RUN_AGAINST_TWIN(g, cases, record, roundings);
}
CHECK_CASE(against_twin) {
    run(gpu_open(0));
}
CHECK_CASE(masked) {
    run_masked(run);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    enum { B = 2, T = 3, H = 4, G = 2, P = 6, N = 5, ROW = H * P + 2 * G * N };
    const tree_case shape = {.n_sequence = B, .n_time = T};
    vks_tensor rows = vks_tensor_rows(somewhere, F32, B * T, ROW, ROW);
    const vks_ssd_tree good = {
        .x = columns(&shape, rows, 0, H, P),
        .b = columns(&shape, rows, H * P, G, N),
        .c = columns(&shape, rows, H * P + G * N, G, N),
        .dt = vks_tensor_dense(somewhere, F32, GPU_SHAPE(B, T, H)),
        .heads = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, H)),
        .state = vks_tensor_dense(somewhere, F32, GPU_SHAPE(B, H, P, N)),
        .slots = vks_tensor_dense(somewhere, VKSSM_DTYPE_I32, GPU_SHAPE(B)),
        .parents = vks_tensor_dense(somewhere, VKSSM_DTYPE_I32, GPU_SHAPE(B, T)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(B, T, H, P)),
        .dt_max = 1,
    };
    CHECK_OK(vks_op_ssd_tree(&target, &good));
    vks_ssd_tree bad = good;
    bad.parents.shape[1] = 4;
    CHECK_REFUSED(vks_op_ssd_tree(&target, &bad), "ssd_tree: parents: shape [2, 3] expected, [2, 4] found");
    bad = good;
    bad.parents.dtype = F32;
    CHECK_REFUSED(vks_op_ssd_tree(&target, &bad), "ssd_tree: parents: I32 expected, F32 found");
    bad = good;
    bad.x.shape[1] = 33;
    CHECK_REFUSED(vks_op_ssd_tree(&target, &bad), "ssd_tree: at most 32 tokens expected, 33 found");
    bad = good;
    bad.b.dtype = F16;
    CHECK_REFUSED(vks_op_ssd_tree(&target, &bad), "ssd_tree: b: F32 expected, F16 found");
    bad = good;
    bad.c.stride[1] += 2;
    CHECK_REFUSED(vks_op_ssd_tree(&target, &bad), "ssd_tree: dense heads and groups, equal token strides");
    bad = good;
    bad.b.shape[2] = bad.c.shape[2] = 3;
    CHECK_REFUSED(vks_op_ssd_tree(&target, &bad),
                  "ssd_tree: a number of groups that divides 4 heads expected, 3 found");
    bad = good;
    bad.state.shape[3] = 4;
    CHECK_REFUSED(vks_op_ssd_tree(&target, &bad), "ssd_tree: state: shape [2, 4, 6, 5] expected, [2, 4, 6, 4] found");
    bad = good;
    bad.dt.address = 0;
    CHECK_REFUSED(vks_op_ssd_tree(&target, &bad), "ssd_tree: dt: shape [2, 3, 4] expected, there is no tensor");
    bad = good;
    bad.y.shape[3] = 5;
    CHECK_REFUSED(vks_op_ssd_tree(&target, &bad), "ssd_tree: y: shape [2, 3, 4, 6] expected, [2, 3, 4, 5] found");
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv, (check_case[]){CHECK_RUN(against_twin), CHECK_RUN(masked), CHECK_RUN(refuses), {0}});
}

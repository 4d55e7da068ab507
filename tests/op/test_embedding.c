// embedding against its twin. Every result is exact, a copy or a widening conversion, but that of block types is
// rounded twice: codes times scales.
#include "op_test.h"

#include <math.h>

#include "host/base/quant.h"

typedef struct embedding_case {
    uint32_t n_row, n_channel, n_vocab;
    vkssm_dtype table;
    bool index;
    uint32_t table_pad, y_pad; // elements after a row
} embedding_case;

// An invocation takes 2 channels, a workgroup 128.
static const embedding_case cases[] = {
    {1, 1, 1, VKSSM_DTYPE_F32, false, 1, 0},      {3, 2, 5, VKSSM_DTYPE_F32, true, 0, 3},
    {7, 127, 11, VKSSM_DTYPE_F32, false, 3, 1},   {5, 128, 3, VKSSM_DTYPE_F16, false, 0, 0},
    {65, 129, 17, VKSSM_DTYPE_F16, true, 1, 2},   {4, 130, 9, VKSSM_DTYPE_BF16, false, 6, 0},
    {9, 255, 300, VKSSM_DTYPE_BF16, true, 1, 1},  {33, 768, 1000, VKSSM_DTYPE_F32, false, 0, 0},
    {17, 2560, 503, VKSSM_DTYPE_F16, true, 0, 0}, {300, 3, 65536, VKSSM_DTYPE_BF16, true, 1, 0},
    {5, 160, 40, VKSSM_DTYPE_Q8_0, true, 0, 1},   {5, 96, 40, VKSSM_DTYPE_Q4_0, false, 0, 0},
    {4, 512, 9, VKSSM_DTYPE_Q4_K, false, 0, 0},   {4, 512, 9, VKSSM_DTYPE_Q6_K, true, 0, 0},
};

typedef struct job {
    char label[64];
    vks_tensor y;
    double *wanted, tolerance;
    size_t n;
} job;

static void record(gpu *g, const embedding_case *c, uint64_t seed, job *j) {
    snprintf(j->label, sizeof j->label, "t%u d%u v%u %s%s", c->n_row, c->n_channel, c->n_vocab,
             vkssm_dtype_name(c->table), c->index ? " index" : "");
    g->label = j->label;
    uint32_t n_id = c->index ? c->n_row + 5 : c->n_row;
    int32_t *ids = gpu_alloc(n_id, sizeof *ids), *index = gpu_alloc(c->n_row, sizeof *index);
    for (uint32_t i = 0; i < n_id; i++)
        ids[i] = (int32_t)(check_random(&seed) % c->n_vocab);
    for (uint32_t i = 0; i < c->n_row; i++)
        index[i] = (int32_t)(check_random(&seed) % n_id);
    // The ends of the table, and ids outside of it.
    const int32_t special[] = {0, (int32_t)c->n_vocab - 1, (int32_t)c->n_vocab, -1, INT32_MIN, INT32_MAX};
    for (uint32_t i = 0; i < VKS_COUNT(special) && i + 1 < c->n_row; i++)
        ids[i] = special[i];
    for (uint32_t i = 0; i < VKS_COUNT(special) && i + 1 < c->n_row; i++)
        index[i] = (int32_t)i;

    float *table = gpu_random(&seed, (size_t)c->n_vocab * c->n_channel, -2, 2);
    vks_embedding op = {
        .ids = gpu_word_vector(g, ids, n_id),
        .index = c->index ? gpu_word_vector(g, index, c->n_row) : (vks_tensor){0},
        .table = vks_is_block_type(c->table)
                     ? gpu_blocks(g, c->table, c->n_vocab, c->n_channel, 0, table)
                     : gpu_rows(g, GPU_IN, c->table, c->n_vocab, c->n_channel, c->n_channel + c->table_pad, table),
        .y = gpu_rows(g, GPU_OUT, VKSSM_DTYPE_F32, c->n_row, c->n_channel, c->n_channel + c->y_pad, NULL),
    };
    CHECK_OK(vks_op_embedding(&g->target, &op));
    j->y = op.y;
    // Values up to 2; the two terms of Q4_K are up to 4 before they cancel.
    j->tolerance = vks_is_block_type(c->table) ? 3 * 4 * 0x1p-24 : 0;
    j->n = (size_t)c->n_row * c->n_channel;
    j->wanted = gpu_alloc(j->n, sizeof *j->wanted);
    ref_embedding(&(ref_embedding_args){.n_row = c->n_row,
                                        .n_channel = c->n_channel,
                                        .n_id = n_id,
                                        .n_vocab = c->n_vocab,
                                        .ids = ids,
                                        .index = c->index ? index : NULL,
                                        .table = table,
                                        .y = j->wanted});
    vks_free(ids);
    vks_free(index);
    vks_free(table);
}

static void run_cases(gpu *g) {
    job jobs[VKS_COUNT(cases)];
    gpu_begin(g);
    for (size_t i = 0; i < VKS_COUNT(cases); i++)
        record(g, &cases[i], i, &jobs[i]);
    CHECK(gpu_run(g));
    for (size_t i = 0; i < VKS_COUNT(cases); i++) {
        double *found = gpu_alloc(jobs[i].n, sizeof *found);
        gpu_read(g, &jobs[i].y, found);
        size_t at = 0;
        while (at < jobs[i].n && fabs(found[at] - jobs[i].wanted[at]) <= jobs[i].tolerance)
            at++;
        check_n_checked++;
        if (at < jobs[i].n)
            CHECK_FAIL("%s: element %zu is %.9g, expected %.9g", jobs[i].label, at, found[at], jobs[i].wanted[at]);
        vks_free(found);
        vks_free(jobs[i].wanted);
    }
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
    const vks_embedding good = {
        .ids = vks_tensor_dense(somewhere, VKSSM_DTYPE_I32, GPU_SHAPE(3)),
        .table = vks_tensor_dense(somewhere, VKSSM_DTYPE_F16, GPU_SHAPE(7, 4)),
        .y = vks_tensor_dense(somewhere, VKSSM_DTYPE_F32, GPU_SHAPE(3, 4)),
    };
    CHECK_OK(vks_op_embedding(&target, &good));
    vks_embedding bad = good;
    bad.ids = (vks_tensor){0};
    CHECK_REFUSED(vks_op_embedding(&target, &bad), "embedding: ids: shape [3] expected, there is no tensor");
    bad = good;
    bad.ids.shape[0] = 2;
    CHECK_REFUSED(vks_op_embedding(&target, &bad), "embedding: ids: shape [3] expected, [2] found");
    bad = good;
    bad.ids.dtype = VKSSM_DTYPE_F32;
    CHECK_REFUSED(vks_op_embedding(&target, &bad), "embedding: ids: I32 expected, F32 found");
    bad = good;
    bad.index = vks_tensor_dense(somewhere, VKSSM_DTYPE_I32, GPU_SHAPE(4));
    CHECK_REFUSED(vks_op_embedding(&target, &bad), "embedding: index: shape [3] expected, [4] found");
    bad = good;
    bad.index = vks_tensor_dense(somewhere, VKSSM_DTYPE_I64, GPU_SHAPE(3));
    CHECK_REFUSED(vks_op_embedding(&target, &bad), "embedding: index: I32 expected, I64 found");
    bad = good;
    bad.table.shape[1] = 5;
    CHECK_REFUSED(vks_op_embedding(&target, &bad), "embedding: table: shape [7, 4] expected, [7, 5] found");
    bad = good;
    bad.table.dtype = VKSSM_DTYPE_I8;
    CHECK_REFUSED(vks_op_embedding(&target, &bad), "embedding: table: F32, F16 or BF16 expected, I8 found");
    bad = good;
    bad.table.stride[0] = 5;
    CHECK_REFUSED(vks_op_embedding(&target, &bad), "embedding: table: a stride of dimension 0");
    bad = good;
    bad.y.dtype = VKSSM_DTYPE_F16;
    CHECK_REFUSED(vks_op_embedding(&target, &bad), "embedding: y: F32 expected, F16 found");
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv, (check_case[]){CHECK_RUN(selected), CHECK_RUN(masked), CHECK_RUN(refuses), {0}});
}

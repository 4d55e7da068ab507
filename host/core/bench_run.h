// Inside host/core: the parts of the benchmark. A family of cases says how its operands look and how one run is
// recorded; the rest (memory, inputs, timing, checks, counting) is common.
#ifndef VKS_BENCH_RUN_H
#define VKS_BENCH_RUN_H

#include <vkssm/bench.h>

#include "core_device.h"
#include "host/base/alloc.h"
#include "host/op/ops.h"

// ---- cases ----------------------------------------------------------------------------------------------------------

typedef struct vks_bench_entry {
    const char *name, *what;
    vkssm_dtype dtype;
    uint32_t n[6]; // sizes, in an order of the family's own
    uint32_t kind; // likewise
} vks_bench_entry;

typedef union vks_bench_op {
    vks_matmul matmul;
    vks_matmul_s8 matmul_s8;
    vks_conv1d conv1d;
    vks_rms_norm rms_norm;
    vks_embedding embedding;
    vks_sample sample;
    vks_ssd ssd;
    vks_mixer_step mixer_step;
    vks_ssd_tree ssd_tree;
    vks_scan scan;
    vks_selective_scan selective_scan;
    vks_conv2d conv2d;
    vks_group_norm group_norm;
    vks_conv_s5 conv_s5;
    vks_layer_norm layer_norm;
    vks_activation activation;
    vks_pool_mean pool_mean;
    vks_log_softmax log_softmax;
    vks_resample2d resample2d;
} vks_bench_op;

// What `kind` means to some families.
enum { VKS_BENCH_X_F32, VKS_BENCH_X_F16, VKS_BENCH_X_BF16 }; // products: the type of x, y
enum {
    VKS_BENCH_TIME_CONTIGUOUS = 1,
    VKS_BENCH_COMPLEX = 2,
    VKS_BENCH_CONSTANT = 4,
    VKS_BENCH_LOOK_BACK = 8
};                                          // scans, as bits
enum { VKS_BENCH_GREEDY, VKS_BENCH_TOP_P }; // sampling

typedef struct vks_bench vks_bench;

typedef struct vks_bench_family {
    const vks_bench_entry *entries;
    uint32_t n_entry;
    // Operators: lay out the operands of one set; record one run; operations of the definition.
    vkssm_status (*place)(vks_bench *bench, const vks_bench_entry *entry, vks_bench_op *op);
    vkssm_status (*record)(const vks_op_target *target, const vks_bench_op *op);
    uint64_t (*flop)(const vks_bench_entry *entry);
    // Models have this one instead.
    vkssm_status (*run)(vkssm_device *device, const vks_bench_entry *entry, const vkssm_bench_params *params,
                        vkssm_bench_result *result);
} vks_bench_family;

extern const vks_bench_family vks_bench_gemm, vks_bench_gemm_s8, vks_bench_gemv, vks_bench_conv1d, vks_bench_rms_norm,
    vks_bench_embedding, vks_bench_sample, vks_bench_selective_scan, vks_bench_selective_step, vks_bench_ssd, vks_bench_ssd_step,
    vks_bench_scan, vks_bench_models, vks_bench_conv2d, vks_bench_group_norm, vks_bench_conv_s5, vks_bench_video;

// Measure an operator's case: bench_op.c.
vkssm_status vks_bench_run_op(vkssm_device *device, const vks_bench_family *family, const vks_bench_entry *entry,
                              const vkssm_bench_params *params, vkssm_bench_result *result);

// ---- operands: bench_operand.c --------------------------------------------------------------------------------------

typedef struct vks_bench_result_operand { // an output or state, to be checked
    vkssm_dtype dtype;
    uint64_t size; // bytes
    vks_buffer buffer;
    bool is_state;
} vks_bench_result_operand;

// What the operands add up to. Families call the functions below; the first time only sizes are taken.
struct vks_bench {
    vks_kernels *kernels;
    vks_upload *upload; // NULL: only sizes are taken
    vks_arena *arena;
    uint64_t n_taken;      // operands so far, of all sets: each has values of its own
    uint32_t seed;         // which all of them depend on
    uint64_t bytes;        // that a run reads and writes
    uint64_t size;         // bytes of a set's own operands
    uint64_t scratch_size; // bytes of the scratch that all sets share
    vks_buffer scratch;
    vks_bench_result_operand *results;
    size_t n_result, result_capacity;
    // Told the bytes of every input, as a file would hold them (blocks: row by row), or NULL.
    void (*observe)(void *user, const vks_tensor *input, uint64_t offset, const void *bytes, uint64_t size);
    void *observer;
};

#define VKS_BENCH_SHAPE(...)                                                                                           \
    (uint32_t) VKS_COUNT(((uint32_t[]){__VA_ARGS__})), (uint32_t[]) {                                                  \
        __VA_ARGS__                                                                                                    \
    }
// An input, uniform in [low, high), dense; I32 and I8 too, and matrices of block types.
vkssm_status vks_bench_input(vks_bench *bench, vkssm_dtype dtype, float low, float high, uint32_t n_dim,
                             const uint32_t *shape, vks_tensor *out);
// An input of these words, as I32. `written`: the run changes them.
vkssm_status vks_bench_words(vks_bench *bench, const uint32_t *words, bool written, uint32_t n_dim,
                             const uint32_t *shape, vks_tensor *out);
// An output: NaN before the runs, checked after them.
vkssm_status vks_bench_output(vks_bench *bench, vkssm_dtype dtype, uint32_t n_dim, const uint32_t *shape,
                              vks_tensor *out);
// State that a run reads and writes: F32, zeros before, finite afterwards.
vkssm_status vks_bench_state(vks_bench *bench, uint32_t n_dim, const uint32_t *shape, vks_tensor *out);
// Scratch of n floats; n 0: no tensor. Its bytes are not counted. Once a case: all sets share one piece of memory.
vkssm_status vks_bench_scratch(vks_bench *bench, uint64_t n, vks_tensor *out);

// Fill every output with NaN, and states with zeros; later, read them and check.
vkssm_status vks_bench_poison(vks_bench *bench);
vkssm_status vks_bench_check(vks_bench *bench, const char *name);
void vks_bench_finish(vks_bench *bench);

// ---- time: bench_time.c ---------------------------------------------------------------------------------------------

typedef struct vks_bench_times {
    uint64_t n_run;
    uint32_t n_sample;
    double min_ns, median_ns, spread, quarter_ns[4];
    bool host_clock;
} vks_bench_times;

// Something to time: `record` records the run-th run (runs of a batch follow each other, separated by barriers).
typedef struct vks_bench_work {
    vkssm_device *device;
    vkssm_status (*record)(void *user, vks_recorder *recorder, uint64_t run);
    void *user;
    bool no_barrier;
} vks_bench_work;
vkssm_status vks_bench_time(const vks_bench_work *work, const vkssm_bench_params *params, vks_bench_times *times);

// Something to time on the host's clock: one call is one sample of n_run runs.
typedef struct vks_bench_call {
    const vkssm_log *log;
    vkssm_status (*call)(void *user);
    void *user;
    uint32_t n_run;
} vks_bench_call;
vkssm_status vks_bench_time_call(const vks_bench_call *call, const vkssm_bench_params *params, vks_bench_times *times);

uint64_t vks_bench_now_ns(void);
uint64_t vks_bench_budget_ns(const vkssm_bench_params *params);

// ---- results: bench.c -----------------------------------------------------------------------------------------------

void vks_bench_describe(const vks_bench_entry *entry, vkssm_bench_result *result);
void vks_bench_set_times(const vks_bench_times *times, const vkssm_bench_params *params, vkssm_bench_result *result);
// Whether the device has room for `size` bytes, and a run of result's bytes and flop ends soon enough. Otherwise
// result->skipped says why not.
bool vks_bench_can_run(const vkssm_device *device, uint64_t size, const vkssm_bench_params *params,
                       vkssm_bench_result *result);

#endif

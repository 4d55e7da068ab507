// vkssm/bench.h: measure the operators and whole models of the library on a device. Nothing is read from files: inputs
// and weights are made up.
//
// Typical order: vkssm_bench_measure_limits, then vkssm_bench_run for each case wanted, with the limits in its
// parameters.
//
// How cases are measured
//   * Operators: GPU timestamps around runs that a barrier separates, each run on the next of several sets of inputs
//   and
//     outputs, which together exceed the last-level cache of a GPU where memory allows. Where a queue has no
//     timestamps: host time around submission and wait.
//   * Models: host time around the public calls, as a program sees it.
//   * After warm-up, until 200 samples are there or the time is used up. A sample is the mean of some runs, as many as
//   last
//     long enough for the clock.
//   * Outputs hold NaN before, and must be finite and not all zero afterwards; else the case fails.
#ifndef VKSSM_BENCH_H
#define VKSSM_BENCH_H

#include <vkssm/device.h>

#ifdef __cplusplus
extern "C" {
#endif

// A case. Names are stable and spell the shape: "gemm/m2048k2560n10576/f16", "model/mamba2-2.7b/decode/b1/f16".
typedef struct vkssm_bench_case {
    const char *name;
    const char *what; // one line for people
    bool is_model;    // a whole model; else an operator
} vkssm_bench_case;

// Number of cases, and the index-th one (index < number). Strings live as long as the library.
VKSSM_API uint32_t vkssm_bench_n_case(void);
VKSSM_API void vkssm_bench_get_case(uint32_t index, vkssm_bench_case *out);

// What the device can do at best, measured with the library's own kernels.
typedef struct vkssm_bench_limits {
    uint64_t copy_size; // bytes of each of the two buffers of the copy
    double copy_rate;   // bytes per second read and written by a shader that copies 16 bytes at a time
    double gemm_rate;   // floating-point operations per second of the fastest matrix product, and its case
    const char *gemm_case;
    double gemm_f32_rate, gemm_f16_rate, gemm_bf16_rate; // of the fastest one of each type, inputs and outputs; 0: none
    double dispatch_ns; // a dispatch of one workgroup, following others without a barrier
    double barrier_ns;  // the same, with a barrier behind it
    double submit_ns;   // submission and wait for one such dispatch, in host time
    bool host_clock;    // there are no timestamps: times are the host's
} vkssm_bench_limits;

typedef struct vkssm_bench_params {
    vkssm_progress progress;          // nanoseconds of measuring done, of time_ns
    uint64_t time_ns;                 // time for measuring a case, without its preparation; 0: 2 s
    vkssm_dtype activation_dtype;     // of models: F32 (default), F16 or BF16
    const vkssm_bench_limits *limits; // NULL: no share of limits, and no case is skipped for being slow
    double longest_run_ns; // a case whose runs would take longer, on the grounds of the limits, is skipped; 0: 20 s
    uint32_t seed;         // of operators' made-up inputs
} vkssm_bench_params;

typedef struct vkssm_bench_part {
    const char *name; // "matmul"
    uint64_t n_call;
    uint64_t time_ns; // GPU time of all calls of a run
} vkssm_bench_part;

enum { VKSSM_BENCH_MAX_VARIANT = 16, VKSSM_BENCH_MAX_PART = 16 };

typedef struct vkssm_bench_result {
    const char *name;
    char shape[48];     // "m2048k2560n10576"
    char dtype[16];     // "f16"
    char skipped[160];  // why the case cannot be measured here, what it needs and what was found; "" if it was measured
    bool host_clock;    // times are the host's, around submission and wait
    uint32_t n_variant; // kernels dispatched, in order of first use; of operators only
    const char *variants[VKSSM_BENCH_MAX_VARIANT];
    uint64_t n_run; // timed runs, in n_sample samples, on n_set sets of inputs
    uint32_t n_sample, n_set;
    double min_ns, median_ns; // of a run, over the samples
    double spread;            // half the distance of the quartiles, as a part of the median
    double quarter_ns[4];     // medians of the first, second, third and last quarter of the samples as they were taken:
                              // how much the machine's speed moved meanwhile; all 0 with fewer than 8 samples
    uint64_t bytes;           // each input read once and each output written once
    uint64_t flop;            // floating-point operations of the definition
    uint32_t n_token;         // of models: tokens of a run
    double limit_share; // least time that the limits allow for bytes and flop, as a part of the median; 0: unknown
    bool compute_bound; // that least time is the one for flop
    vkssm_dtype activation_dtype; // of models
    uint32_t n_part;              // of models: GPU time by operator, of one more run with timestamps
    vkssm_bench_part parts[VKSSM_BENCH_MAX_PART];
} vkssm_bench_result;

// Measure the limits (NULL params: all defaults; params->limits is not used).
// Errors: ERR_OOM_*, ERR_CANCELLED, ERR_DEVICE_LOST.
// Thread-safety: nothing else may run on the device meanwhile, here and below. Cost: a few times params->time_ns.
VKSSM_API vkssm_status vkssm_bench_measure_limits(vkssm_device *device, const vkssm_bench_params *params,
                                                  vkssm_bench_limits *out);

// Measure the index-th case. VKSSM_OK with out->skipped set where the device's memory (on a CPU: a quarter of it) is
// too small, or a run would take longer than params->longest_run_ns. Errors: ERR_ARG (no such case),
// ERR_INTERNAL (outputs that are not finite, or all zero), ERR_UNSUPPORTED, ERR_OOM_*, ERR_CANCELLED, ERR_DEVICE_LOST.
VKSSM_API vkssm_status vkssm_bench_run(vkssm_device *device, uint32_t index, const vkssm_bench_params *params,
                                       vkssm_bench_result *out);

#ifdef __cplusplus
}
#endif
#endif

// Inside host/core: the cases of the self-check. They are placed and recorded as those of the benchmark.
#ifndef VKS_SELF_CHECK_H
#define VKS_SELF_CHECK_H

#include <vkssm/device_check.h>

#include "bench_run.h"

typedef struct vks_check_case {
    const vks_bench_family *family;
    vks_bench_entry entry;
    const char *kernels; // what the names of the variants that could run it begin with
} vks_check_case;
const vks_check_case *vks_check_case_at(uint32_t index); // NULL past the last one

// What the twin makes of an output or state of a case: element i is counted, plus or minus, in sum
// i modulo VKS_CHECK_SUMS. One element that is wrong moves its sum; a few numbers hold for a whole output.
enum { VKS_CHECK_SUMS = 8 };
typedef struct vks_check_expected {
    uint32_t index, result; // case, and output of it
    uint32_t n;             // elements
    double scale;           // the largest of the sums of absolute values
    double sums[VKS_CHECK_SUMS];
} vks_check_expected;
const vks_check_expected *vks_check_expectation(uint32_t index, uint32_t result); // NULL: there is none

double vks_check_tolerance(const vks_check_case *c); // of a sum, as a part of the scale
void vks_check_sum(vks_check_expected *sums, uint64_t i, double value);

// Place the case's operands. bench->observe may be set before; vks_bench_finish afterwards, also of a failure.
vkssm_status vks_check_place(vkssm_device *device, const vks_check_case *c, vks_bench *bench, vks_bench_op *op);

#endif

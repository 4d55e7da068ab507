// What the operators' tests share: comparison with the twin, and a case per variant.
#ifndef OP_TEST_H
#define OP_TEST_H

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

static inline void run_variant(uint32_t mask_features, const char *variant, void (*run)(gpu *g)) {
    gpu *g = gpu_open(mask_features);
    CHECK(g != NULL);
    if (!g) return;
    bool known;
    const char *missing = gpu_force(g, variant, &known);
    static char reason[192];
    if (!known)
        CHECK_FAIL("there is no variant %s", variant ? variant : "(null)");
    else if (missing) {
        snprintf(reason, sizeof reason, "%.100s lacks %.64s", g->caps->name, missing);
        check_skip_reason = reason;
    } else
        run(g);
    gpu_force(g, NULL, &known);
}

// A case that calls `run` with the selector's choice, with a variant of the case's name, and without optional features.
#define CASE_SELECTED(run)                                                                                             \
    CHECK_CASE(selected) {                                                                                             \
        run_variant(0, NULL, run);                                                                                     \
    }
#define CASE_VARIANT(variant, run)                                                                                     \
    CHECK_CASE(variant) {                                                                                              \
        run_variant(0, #variant, run);                                                                                 \
    }
#define CASE_MASKED(run)                                                                                               \
    CHECK_CASE(masked) {                                                                                               \
        gpu *masked = gpu_open(GPU_MASK_ALL);                                                                          \
        if (masked) CHECK_EQ(masked->caps->features, 0);                                                               \
        run_variant(GPU_MASK_ALL, NULL, run);                                                                          \
    }
// With features masked, this variant must not be there.
#define CASE_MASKED_LACKS(variant)                                                                                     \
    CHECK_CASE(masked_lacks_##variant) {                                                                               \
        gpu *g = gpu_open(GPU_MASK_ALL);                                                                               \
        CHECK(g != NULL);                                                                                              \
        bool known;                                                                                                    \
        if (g) CHECK(gpu_force(g, #variant, &known) != NULL && known);                                                 \
        if (g) gpu_force(g, NULL, &known);                                                                             \
    }

#endif

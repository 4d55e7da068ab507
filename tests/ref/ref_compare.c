#include "ref.h"

#include <math.h>

// Float16: conversion may round either way (Vulkan leaves it open), so that a whole step of 2^-10 may be lost; steps
// below 2^-14 are 2^-24. bfloat16 is rounded to nearest by the library itself: half a step of 2^-7. Smaller steps of
// float32 and bfloat16 are those of subnormals, which a device may flush to zero: everything below 2^-126.
static const struct {
    double storage, smallest;
} types[] = {[REF_F32] = {0x1p-24, 0x1p-126}, [REF_F16] = {0x1p-10, 0x1p-24}, [REF_BF16] = {0x1p-8, 0x1p-126}};

ref_error ref_compare(const double *found, const double *wanted, const double *scale, size_t n, ref_type type,
                      double factor) {
    ref_error error = {0};
    double square = 0, total = 0;
    for (size_t i = 0; i < n; i++) {
        double allowed = types[type].storage * fabs(wanted[i]) + 0x1p-24 * factor * scale[i] + types[type].smallest;
        double gap = fabs(found[i] - wanted[i]), part = isfinite(found[i]) ? gap / allowed : 1e300;
        square += gap * gap;
        total += wanted[i] * wanted[i];
        if (i == 0 || part > error.worst) {
            error.worst = part;
            error.at = i;
            error.found = found[i];
            error.wanted = wanted[i];
        }
    }
    error.nmse = total > 0 ? square / total : square;
    return error;
}

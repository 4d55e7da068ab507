// vkssm/device_check.h: whether a device computes what it should. The operators of models run on small made-up inputs,
// with each kernel variant that a case reaches and the device can run, and their outputs are compared with what the
// operators' double-precision twins made of the same inputs, which the library holds as sums.
//
// Experimental: this header may change in any version (see vkssm/base.h).
#ifndef VKSSM_DEVICE_CHECK_H
#define VKSSM_DEVICE_CHECK_H

#include <vkssm/device.h>

#ifdef __cplusplus
extern "C" {
#endif

// A case run by a variant. Strings but `finding` live as long as the library.
typedef struct vkssm_check_result {
    const char *name;    // "matmul/m33k72n37/f32"
    const char *variant; // "matmul_tiled"
    bool is_right;
    double error;      // the largest deviation, as a part of what is allowed; 0 if nothing was computed
    char finding[200]; // of a case that is not right: what was expected and what was found; else ""
} vkssm_check_result;

typedef struct vkssm_check_params {
    const char *only;        // cases whose names begin so; NULL: all
    vkssm_progress progress; // cases done, of all
    // Told each result as it is known; false: stop (ERR_CANCELLED). May be NULL.
    bool (*on_result)(void *user, const vkssm_check_result *result);
    void *user;
} vkssm_check_params;

// Check all operators. *n_wrong: results that are not right (NULL: not wanted); they are no failure of the call. Variants
// that no case reaches are not told.
// Errors: ERR_ARG (no case begins with params->only), ERR_OOM_*, ERR_CANCELLED, ERR_DEVICE_LOST.
// Thread-safety: nothing else may be done with the device meanwhile.
// Cost: compiles all kernels, which takes up to a minute where no cache has them.
VKSSM_API vkssm_status vkssm_device_check(vkssm_device *device, const vkssm_check_params *params, uint32_t *n_wrong);

#ifdef __cplusplus
}
#endif
#endif

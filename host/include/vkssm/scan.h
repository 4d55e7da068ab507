// vkssm/scan.h: first-order recurrences over time, and scans with an operator of one's own, on arrays in host memory.
//
// These calls upload, compute and read back. They serve tests, experiments and programs whose data is on the host
// anyway: a model keeps its data on the device.
#ifndef VKSSM_SCAN_H
#define VKSSM_SCAN_H

#include <vkssm/device.h>

#ifdef __cplusplus
extern "C" {
#endif

// How a depends on time.
typedef enum vkssm_scan_decay {
    VKSSM_SCAN_PER_STEP,    // a has the shape of b
    VKSSM_SCAN_PER_CHANNEL, // [D]: constant
    VKSSM_SCAN_PER_BATCH,   // [B, D]: constant
} vkssm_scan_decay;

// Arrays are dense. Shapes are those of real numbers; with is_complex each has a last dimension of 2 behind it, (re,
// im).
typedef struct vkssm_scan_params {
    uint32_t n_batch, n_time, n_channel; // B (0: 1), T, D
    vkssm_dtype dtype;                   // of a, b and h: F32, F16 or BF16; arithmetic is float32 in any case
    vkssm_scan_decay decay;
    bool is_complex;
    bool time_contiguous;          // b and h (and a for every step) are [B, D, T] instead of [B, T, D]
    bool reverse;                  // from T-1 down to 0: h[t] = a[t] h[t+1] + b[t]
    const void *a, *b;             // read
    void *h;                       // written; may be b or a itself
    size_t a_size, b_size, h_size; // bytes that the arrays have, for checking against the shapes
    const float *initial;          // [B, D] state before the first step, or NULL: zeros
    float *last;                   // [B, D] state after the last step, or NULL; may be initial
    const uint32_t
        *resets; // [B, T], or NULL. Where it is not 0 the state is dropped before the step, even if NaN: h = b
    const uint32_t
        *offsets; // [n_sequence + 1], or NULL. Sequences packed on one time axis (B is 1), the s-th at offsets[s]
                  // ... offsets[s+1]-1: from 0, never backwards, to T. initial and last are then [n_sequence, D]
    uint32_t n_sequence;
} vkssm_scan_params;

// h[t] = a[t] h[t-1] + b[t] for every channel (as a parallel scan: Blelloch 1990, section 1.4).
// Rounding: the order of operations depends on shape and device, not on the run: the same bits every time on one
// device. Infinities and NaN spread as in IEEE arithmetic; where exactly a NaN stands instead of an infinity depends on
// that order. Errors: ERR_ARG (shapes and sizes that do not fit, T = 0, offsets that go backwards), ERR_OOM_*,
// ERR_DEVICE_LOST. Thread-safety: any number of calls at once. Cost: allocates device memory of a's and b's size,
// copies a and b there and h back, waits.
VKSSM_API vkssm_status vkssm_scan_run(vkssm_device *device, const vkssm_scan_params *params);

// ---- operators of one's own ----

typedef struct vkssm_scan_custom vkssm_scan_custom;

#define VKSSM_SCAN_MAX_ELEMENT_SIZE 64

typedef struct vkssm_scan_custom_params {
    // GLSL (4.60, Vulkan 1.3) that defines
    //     struct element { ... };       of 32-bit members: float, int, uint, vectors, matrices, arrays
    //     element identity() { ... }    combine(identity(), x) = combine(x, identity()) = x
    //     element combine(element left, element right) { ... }    associative; need not commute: left is earlier
    // and whatever functions these need. Names beginning with vks_ or VKS_, and params, are taken.
    const char *source;
    size_t element_size; // bytes of struct element as std430 lays it out, at most VKSSM_SCAN_MAX_ELEMENT_SIZE
    const char *name;    // for messages; NULL: "scan operator"
    bool check;          // for debugging: try the laws on elements, on the device
    const void *samples; // elements to try them on; NULL: floats in [-2, 2), integers from 0 to 3
    uint32_t n_sample;   // how many
    float tolerance;     // difference of floats allowed, as a part of the largest number involved; 0: 1e-4
} vkssm_scan_custom_params;

// Compile an operator.
// Errors: ERR_ARG (no source; the compiler's message with the line of `source`; a struct of another size; a broken law:
// which one, and the elements), ERR_UNSUPPORTED (the library was built without libshaderc; a capability that the device
// may lack), ERR_OOM_*. Cost: a compilation, tens of milliseconds; the pipelines of a shape are made at its first run.
VKSSM_API vkssm_status vkssm_scan_create_custom(vkssm_device *device, const vkssm_scan_custom_params *params,
                                                vkssm_scan_custom **out);
VKSSM_API void vkssm_scan_custom_destroy(vkssm_scan_custom **scan);

typedef struct vkssm_scan_custom_run_params {
    uint32_t n_batch, n_time, n_channel; // B (0: 1), T, D
    bool time_contiguous;                // x and y are [B, D, T] instead of [B, T, D]
    bool reverse;                        // y[t] = combine(y[t+1], x[t])
    const void *x;                       // elements, read
    void *y;                             // elements, written; may be x
    size_t x_size, y_size;               // bytes that the arrays have, for checking against the shape
    const void *initial;                 // [B, D] elements: what comes before the first step, or NULL: the identity
    void *last;                          // [B, D] elements, or NULL: what was accumulated after the last step
} vkssm_scan_custom_run_params;

// y[t] = combine(y[t-1], x[t]) for every channel.
// Errors: ERR_ARG, ERR_OOM_*, ERR_DEVICE_LOST.
// Thread-safety: an operator belongs to one thread at a time. Cost: as vkssm_scan_run.
VKSSM_API vkssm_status vkssm_scan_custom_run(vkssm_scan_custom *scan, const vkssm_scan_custom_run_params *params);

#ifdef __cplusplus
}
#endif
#endif

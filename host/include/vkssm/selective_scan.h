// vkssm/selective_scan.h: Mamba-1's selective scan on arrays in host memory.
//
// The call uploads, computes and reads back. It serves tests, experiments and programs whose data is on the host
// anyway: a model keeps its data on the device.
#ifndef VKSSM_SELECTIVE_SCAN_H
#define VKSSM_SELECTIVE_SCAN_H

#include <vkssm/device.h>

#ifdef __cplusplus
extern "C" {
#endif

// Arrays are dense, the last dimension fastest. Letters: B sequences, T time steps, D channels, G groups, N states.
typedef struct vkssm_selective_scan_params {
    uint32_t n_batch, n_time, n_channel; // B (0: 1), T, D
    uint32_t n_group, n_state;           // G (0: 1; divides D, D / G even if G > 1), N (at most 256)
    vkssm_dtype dtype;    // of x, dt, b, c, gate and y: F32, F16 or BF16; arithmetic is float32 in any case
    const void *x;        // [B, T, D]
    const void *dt;       // [B, T, D] before bias and softplus
    const void *b, *c;    // [B, T, G, N]. 16-bit types with several groups: N even
    const void *gate;     // [B, T, D], or NULL: y is not gated
    void *y;              // [B, T, D], written; not one of the others
    const float *a;       // [D, N], negative for a state that decays
    const float *d;       // [D] or NULL: 0
    const float *dt_bias; // [D] or NULL: 0
    const float *initial; // [B, D, N] state before the first step, or NULL: zeros
    float *last;          // [B, D, N] state after the last step, or NULL; may be initial
    const uint32_t
        *offsets; // [n_sequence + 1], or NULL. Sequences packed on one time axis (B is 1), the s-th at offsets[s] ...
                  // offsets[s+1]-1: from 0, never backwards, to T. initial and last are then [n_sequence, D, N]
    uint32_t n_sequence;
    bool reverse; // from T-1 down to 0
} vkssm_selective_scan_params;

// Per channel: dt = softplus(dt + dt_bias), h[t] = exp(dt A) h[t-1] + dt B[t] x[t], y[t] = C[t] h[t] + D x[t], times
// SiLU(gate) (Gu and Dao 2023, section 3.2 and algorithm 2). Channel d reads group d / (D / G) of B and C. Rounding:
// the order of operations depends on shape and device, not on the run: the same bits every time on one device. Errors:
// ERR_ARG (arrays that are missing, sizes that do not fit, offsets that go backwards), ERR_OOM_*, ERR_DEVICE_LOST.
// Thread-safety: any number of calls at once. Cost: allocates device memory of the arrays' sizes, copies them there and
// y and last back, waits; B T D N exponentials.
VKSSM_API vkssm_status vkssm_selective_scan(vkssm_device *device, const vkssm_selective_scan_params *params);

#ifdef __cplusplus
}
#endif
#endif

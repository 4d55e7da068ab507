// vkssm/conv_s5.h: the convolutional S5 recurrence (ConvS5) on frames in host memory.
//
// The call uploads, computes and reads back. It serves tests, experiments and programs whose data is on the host
// anyway: a model keeps its data on the device.
#ifndef VKSSM_CONV_S5_H
#define VKSSM_CONV_S5_H

#include <vkssm/device.h>

#ifdef __cplusplus
extern "C" {
#endif

// Arrays are dense, the last dimension fastest; pairs are (re, im). Letters: B sequences, T frames, H x W pixels, U
// channels, P complex states of a pixel, one for each conjugate pair of the system.
typedef struct vkssm_conv_s5_params {
    uint32_t n_batch, n_time;       // B (0: 1), T; one frame is a step
    uint32_t height, width;         // H, W
    uint32_t n_channel, n_state;    // U, P (a multiple of 4)
    uint32_t kernel_b, kernel_c;    // sides of B's and C's kernels (0: 3): odd, at most 255
    vkssm_dtype dtype;              // F32, F16 or BF16: of u and y, and of what the convolutions multiply; sums, the
                                    // recurrence and its states are float32
    const void *u;                  // [B, T, H, W, U]
    void *y;                        // [B, T, H, W, U], written; not u
    const float *lambda, *log_step; // [P, 2], [P]: the continuous system; a frame takes the time exp(log_step)
    const float *b;                 // [P, U, kernel_b, kernel_b, 2], continuous
    const float *c;                 // [kernel_c, kernel_c, P, U, 2]
    bool clip_eigs;                 // real parts of lambda are taken as at most -1e-4
    bool reverse;                   // from frame T-1 down to 0
    const float *initial;           // [B, H, W, P, 2] state before the first frame, or NULL: zeros
    float *last;                    // [B, H, W, P, 2] state after the last frame, or NULL; may be initial
    const uint32_t *resets;         // [B, T] or NULL. Where it is not 0 the state is dropped before the frame
    uint64_t scratch_size;          // bytes of device memory for what lies between u and y, at least those of one frame
                                    // (0: as much as serves, at most 256 MiB or one frame)
} vkssm_conv_s5_params;

// x[t] = exp(lambda dt) x[t-1] + (exp(lambda dt) - 1) / lambda B * u[t], y[t] = 2 Re(C * x[t]) for every pixel, with
// cross-correlations B * and C * of stride 1 and zeros around the frames (Smith, De Mello, Kautz, Linderman and Byeon
// 2023; zero-order hold). The system is made discrete on the device, in float32. All frames at once: B as one
// convolution, a scan over time, C as one convolution; as many frames at a time as scratch_size lets, which does not
// change the results but for the rounding of float32 sums. T calls with one frame and the state handed on do the same.
// Rounding: the same bits every time on one device. Errors, with nothing written: ERR_ARG (arrays that are missing,
// sizes that do not fit, even kernels, T = 0, a scratch_size too small for one frame), ERR_OOM_*, ERR_DEVICE_LOST.
// Thread-safety: any number of calls at once. Cost: allocates device memory of the arrays' sizes and scratch_size,
// copies them there and y and last back, waits; 4 B T H W U P (kernel_b^2 + kernel_c^2) operations.
VKSSM_API vkssm_status vkssm_conv_s5(vkssm_device *device, const vkssm_conv_s5_params *params);

// The least scratch_size, in bytes: that of one frame; UINT64_MAX if one is too large.
VKSSM_API uint64_t vkssm_conv_s5_frame_size(const vkssm_conv_s5_params *params);

#ifdef __cplusplus
}
#endif
#endif

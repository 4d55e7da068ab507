// The operators. Each checks its operands, picks a variant for the device and records dispatches into the target; it never
// waits and never allocates device memory. Errors: ERR_ARG for operands that do not fit together (the message names the
// operator, the operand, both shapes), ERR_UNSUPPORTED, ERR_OOM_*. Rows of 16-bit tensors start on 4 bytes; rows of `w` and
// `x` of a product on 16 bytes.
#ifndef VKS_OPS_H
#define VKS_OPS_H

#include "op.h"

// y[t, :] = table[ids[index[t]], :]. Cost: reads T rows.
typedef struct vks_embedding {
    vks_tensor ids;   // [n] I32; ids outside [0, V) give zeros. With an index of any stride
    vks_tensor index; // [T] I32, or none: t
    vks_tensor table; // [V, D] F32, F16, BF16 or of a block type
    vks_tensor y;     // [T, D] F32
} vks_embedding;
vkssm_status vks_op_embedding(const vks_op_target *target, const vks_embedding *op);

// y = w u / sqrt(mean(u^2) + eps), the mean over each of n_group groups of neighbouring channels (Zhang and Sennrich
// 2019; the gated form: Dao and Gu 2024, section 7).
typedef struct vks_rms_norm {
    vks_tensor x;        // [T, D] F32, F16 or BF16
    vks_tensor residual; // [T, D] F32 or none: u = x + residual, and the sum replaces the residual. Not with a gate
    vks_tensor gate;     // [T, D] like x, or none: u = x silu(gate)
    vks_tensor weight;   // [D] F32; none: y = u, without a norm
    vks_tensor y;        // [T, D] F32, F16 or BF16
    uint32_t n_group;    // 0: 1. D / n_group must be even for 16-bit y
    float eps;
    bool gate_after;     // y = norm(x) silu(gate) instead
} vks_rms_norm;
vkssm_status vks_op_rms_norm(const vks_op_target *target, const vks_rms_norm *op);

// y[m, n] = sum over k of x[m, k] w[n, k] (+ bias[n]) (+ y[m, n]). Sums in float32.
typedef struct vks_matmul {
    vks_tensor x;    // [M, K] F32, F16 or BF16, row stride a multiple of 8
    vks_tensor w;    // [N, K] F32, F16 or BF16, row stride a multiple of 8, zeros between K and the stride; or of a
                     // block type, K a multiple of its block
    vks_tensor bias; // [N] F32 or none
    vks_tensor y;    // [M, N] F32, F16 or BF16
    bool accumulate; // add to what y holds
} vks_matmul;
vkssm_status vks_op_matmul(const vks_op_target *target, const vks_matmul *op);

// Causal depthwise convolution along time: y[t, c] = act(bias[c] + sum over j of w[j, c] x[t - (K-1) + j, c]), the inputs
// before the first token from the state, which afterwards holds the last K-1 inputs.
typedef struct vks_conv1d {
    vks_tensor x;     // [B, T, C] F32, F16 or BF16
    vks_tensor w;     // [K, C] F32, oldest tap first
    vks_tensor bias;  // [C] F32 or none
    vks_tensor state; // [slots, K-1, C] F32, oldest input first
    vks_tensor slots; // [B] I32 or none: sequence b uses slot b
    vks_tensor y;     // [B, T, C] F32, F16 or BF16; not x
    bool silu;        // act = SiLU, else none
} vks_conv1d;
vkssm_status vks_op_conv1d(const vks_op_target *target, const vks_conv1d *op);

// Mamba-2's recurrence (Dao and Gu 2024): dt = clamp(softplus(dt + bias)), S[t] = exp(dt A) S[t-1] + dt x (outer) B,
// y = S C + D x, per head h with group h / (H / G) of B and C. More than one token: by the chunked algorithm (section 6);
// one token: by the recurrence.
typedef struct vks_ssd {
    vks_tensor x;       // [B, T, H, P] F32, F16 or BF16; b and c have the same type and token stride
    vks_tensor b, c;    // [B, T, G, N]
    vks_tensor dt;      // [B, T, H] of x's type, before bias and softplus
    vks_tensor heads;   // [3, H] F32: A (negative), bias of dt, D
    vks_tensor state;   // [slots, H, P, N] F32: initial state in, final state out
    vks_tensor slots;   // [B] I32 or none: sequence b uses slot b
    vks_tensor y;       // [B, T, H, P] F32, F16 or BF16 (16-bit: P even)
    vks_tensor scratch; // [n] F32, n at least vks_ssd_scratch_size; not used for one token
    uint32_t chunk;     // Q, a multiple of 8; 0: 64. The result does not depend on it but for rounding
    float dt_min, dt_max;
} vks_ssd;
uint64_t vks_ssd_scratch_size(uint32_t n_sequence, uint32_t n_time, uint32_t n_head, uint32_t n_group, uint32_t n_width,
                              uint32_t n_state, uint32_t chunk); // floats
vkssm_status vks_op_ssd(const vks_op_target *target, const vks_ssd *op);

// The next token of each sequence from its logits, by the slot's control words (shaders/params/sample.h), which also take
// the token; it is appended to the slot's ring.
typedef struct vks_sample {
    vks_tensor logits;   // [B, V] F32, V below 2^24
    vks_tensor slots;    // [B] I32 or none: sequence b is slot b
    vks_tensor controls; // [slots, VKS_CONTROL_SIZE] I32
    vks_tensor ring;     // [slots, n] I32
} vks_sample;
vkssm_status vks_op_sample(const vks_op_target *target, const vks_sample *op);

// y = w (x - mean) / sqrt(variance + eps) + b, mean and biased variance over the channels of a row (Ba, Kiros and Hinton
// 2016); or y = w x + b, for batch norm with its running statistics folded into w and b.
typedef struct vks_layer_norm {
    vks_tensor x;            // [T, D] F32, F16 or BF16
    vks_tensor weight, bias; // [D] F32
    vks_tensor y;            // [T, D] F32, F16 or BF16; may be x
    float eps;
    bool affine; // no statistics: y = w x + b
} vks_layer_norm;
vkssm_status vks_op_layer_norm(const vks_op_target *target, const vks_layer_norm *op);

// y = act(x + d skip) sigmoid(gate), or y += that: what stands between a state-space layer's output, its gate and the
// residual stream.
typedef enum vks_act {
    VKS_ACT_NONE,
    VKS_ACT_GELU_TANH, // 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
    VKS_ACT_GELU_ERF,  // x times the normal distribution at x
} vks_act;
typedef struct vks_activation {
    vks_tensor x;    // [T, D] F32, F16 or BF16
    vks_tensor d;    // [D] F32, with skip
    vks_tensor skip; // [T, D] F32, F16 or BF16, or none
    vks_tensor gate; // [T, D] of x's type, or none
    vks_tensor y;    // [T, D] F32, F16 or BF16; not one of the others
    vks_act act;
    bool accumulate; // add to what y holds; y F32
} vks_activation;
vkssm_status vks_op_activation(const vks_op_target *target, const vks_activation *op);

// Mean over time, carried on from call to call: state[b] += sums over t of x[b, t], y[b] = sums / number of terms so far.
typedef struct vks_pool_mean {
    vks_tensor x;     // [B, T, D] F32, sequences T rows apart
    vks_tensor state; // [B, 3, D] F32, zeros at the start: sums, their rounding errors, and the number of terms (as bits)
    vks_tensor y;     // [B, D] F32, or none: only the state advances
} vks_pool_mean;
vkssm_status vks_op_pool_mean(const vks_op_target *target, const vks_pool_mean *op);

// y = x - log(sum over the row of exp(x)), without overflow.
typedef struct vks_log_softmax {
    vks_tensor x; // [T, D] F32
    vks_tensor y; // [T, D] F32; may be x
} vks_log_softmax;
vkssm_status vks_op_log_softmax(const vks_op_target *target, const vks_log_softmax *op);

// First-order recurrence over time, h[t] = a[t] h[t-1] + b[t] for every channel (as a parallel scan: Blelloch 1990, section
// 1.4). Real, or complex as pairs (re, im): then every shape with D has a last dimension of 2 behind it. Arithmetic in
// float32. How time is split changes roundings only, as long as products of a over a stretch of time are finite.
// Three algorithms, by shape and device: time in one piece; in segments, of which a first dispatch computes the totals; or
// tiles that look back at those before them, in one pass over memory (shaders/op/scan_lookback.comp).
// Infinities and NaN spread as in IEEE arithmetic; where exactly a NaN stands instead of an infinity depends on the split.
typedef struct vks_scan_tuning { // all 0: chosen for shape and device
    uint32_t n_lane;  // lanes that follow each other in time within a workgroup: a power of two; 1: no exchange of lanes
    uint32_t n_side;  // lanes side by side, each a complex or two real channels: a power of two
    uint32_t n_step;  // steps that a lane takes at a time: 4, 8 or 16
    uint32_t segment; // steps of a segment: a multiple by a power of two of n_lane n_step; UINT32_MAX: one segment
    uint32_t prefetch; // 1: load ahead, 2: do not
    bool permute;     // let workgroups take each other's places (tests)
    uint32_t look_back; // 1: one pass, which looks back at the tiles before; h must not be b then; 2: do not
    uint32_t n_turn;    // looks at a tile that is not there yet, before it is computed in its workgroup's stead
    uint32_t withhold;  // every so manieth tile is not published by its own workgroup (tests)
    bool late;          // or only after everything else that it does
} vks_scan_tuning;
typedef struct vks_scan {
    vks_tensor a;       // like b (of any float type); or constant in time: [D] or [B, D]
    vks_tensor b;       // [B, T, D] or, time-contiguous, [B, D, T]; F32, F16 or BF16
    vks_tensor h;       // like b (of any float type); may be b itself
    vks_tensor initial; // [B, D] F32 or none: zeros. The state before the first step (in reverse: before t = T-1)
    vks_tensor last;    // [B, D] F32 or none. The state after the last step; may be initial, unless packed
    vks_tensor resets;  // [B, T] I32 or none: where not 0 the state is dropped before the step, even if it is NaN: h = b
    vks_tensor offsets; // [n+1] I32 or none. Then B is 1, initial and last are [n, D], and sequence s takes the times
                        // offsets[s] ... offsets[s+1]-1; from 0 to T, never backwards; equal offsets: an empty sequence
    vks_tensor scratch; // [n] F32 on 8 bytes, n at least vks_scan_scratch_size
    bool is_complex, time_contiguous, reverse;
    vks_scan_tuning tuning;
} vks_scan;
uint64_t vks_scan_scratch_size(const vks_kernels *kernels, const vks_scan *op); // floats; needs no scratch; 0: unused
vkssm_status vks_op_scan(const vks_op_target *target, const vks_scan *op);

#endif

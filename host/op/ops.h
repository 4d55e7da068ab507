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
    vks_tensor table; // [V, D] F32, F16, BF16 or of a block type; rows of activations will do
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
    uint32_t most_rows;  // 0: T. As in vks_matmul
    float eps;
    bool gate_after;     // y = norm(x) silu(gate) instead
} vks_rms_norm;
vkssm_status vks_op_rms_norm(const vks_op_target *target, const vks_rms_norm *op);

// Some outputs of a product pass a causal convolution along time, each output being a channel, and SiLU: one token of
// vks_conv1d with silu.
typedef struct vks_matmul_conv {
    vks_tensor w;     // [K, C] F32, oldest tap first; none: no convolution
    vks_tensor bias;  // [C] F32 or none
    vks_tensor state; // [slots, K-1, C] F32, oldest input first; moved on by this token
    vks_tensor slots; // [M] I32 or none: row m uses slot m
    uint32_t first;   // output that is channel 0
} vks_matmul_conv;

typedef struct vks_matmul_tuning { // of matmul_vector; all 0: chosen for shape and device
    uint32_t wg_size, n_output, n_unroll;
} vks_matmul_tuning;

// y[m, n] = sum over k of x[m, k] w[n, k] (+ bias[n]) (+ y[m, n]). Sums in float32.
typedef struct vks_matmul {
    vks_tensor x;    // [M, K] F32, F16 or BF16, row stride a multiple of 8
    vks_tensor w;    // [N, K] F32, F16 or BF16, row stride a multiple of 8, zeros between K and the stride; or of a
                     // block type, K a multiple of its block
    vks_tensor bias; // [N] F32 or none
    vks_tensor y;    // [M, N] F32, F16 or BF16
    bool accumulate; // add to what y holds
    vks_tensor norm; // [K] F32 on 16 bytes, or none. x is normed first: by this weight, over all K channels
    float norm_eps;
    vks_matmul_conv conv; // not with accumulate
    uint32_t most_rows; // 0: M. The kernel is chosen as for so many rows: a row's bits are then the same whatever M is
    vks_matmul_tuning tuning;
    vks_tensor scratch; // [n] F32 on 16 bytes: at least vks_matmul_scratch_size; or none, which may cost speed
} vks_matmul;
// Floats of scratch with which the product is split along k, as fits few rows of many inputs on a large device; 0: it is
// not split. Pure in the shapes, types and most_rows of *op: its addresses are not looked at.
uint64_t vks_matmul_scratch_size(const vks_kernels *kernels, const vks_matmul *op);
// Whether norm and conv may be given for so many rows; otherwise they are operators of their own.
bool vks_matmul_fuses(const vks_kernels *kernels, uint32_t most_rows);
vkssm_status vks_op_matmul(const vks_op_target *target, const vks_matmul *op);

// y = sum of the parts, in their order (+ bias) (+ what y holds).
typedef struct vks_sum_parts {
    vks_tensor parts; // [Z, M, N] F32 on 16 bytes, Z at most 8, row stride a multiple of 4, without gaps between the parts
    vks_tensor bias;  // [N] F32 or none
    vks_tensor y;     // [M, N] F32, F16 or BF16
    bool accumulate;  // add to what y holds
} vks_sum_parts;
vkssm_status vks_op_sum_parts(const vks_op_target *target, const vks_sum_parts *op);

// y[m, n] = x_scale[m] w_scale[n] sum over k of x[m, k] w[n, k], the sum exact in 32 bits.
typedef struct vks_matmul_s8 {
    vks_tensor x;       // [M, K] I8, K at most 131,071, row stride a multiple of 16; what stands between K and the next
                        // multiple of 16 is read and does not count
    vks_tensor w;       // [N, K] I8, row stride a multiple of 16, zeros between K and the next multiple of 16
    vks_tensor x_scale; // [M] F32 or none: 1
    vks_tensor w_scale; // [N] F32 or none: 1
    vks_tensor y;       // [M, N] F32, F16 or BF16; or I32: the sums, without scales
} vks_matmul_s8;
vkssm_status vks_op_matmul_s8(const vks_op_target *target, const vks_matmul_s8 *op);

// Causal depthwise convolution along time: y[t, c] = act(bias[c] + sum over j of w[j, c] x[t - (K-1) + j, c]), the inputs
// before the first token from the state, which afterwards holds the last K-1 inputs.
typedef struct vks_conv1d {
    vks_tensor x;     // [B, T, C] F32, F16 or BF16
    vks_tensor w;     // [K, C] F32, oldest tap first
    vks_tensor bias;  // [C] F32 or none
    vks_tensor state; // [slots, K-1, C] F32, oldest input first; or none: zeros
    vks_tensor slots; // [B] I32 or none: sequence b uses slot b
    vks_tensor offsets; // [n+1] I32 or none: as in vks_ssd
    vks_tensor y;     // [B, T, C] F32, F16 or BF16; not x
    bool silu;        // act = SiLU, else none
    bool reverse;     // from the last token to the first; then without a state
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
    vks_tensor offsets; // [n+1] I32 or none. Then B is 1, and sequence s < n is the rows offsets[s] ... offsets[s+1]-1:
                        // from 0 to T, never backwards; equal offsets: an empty sequence. slots is [n]
    vks_tensor y;       // [B, T, H, P] F32, F16 or BF16 (16-bit: P even)
    vks_tensor gate;    // [B, 1, H, P] of x's type, or none: y times silu(gate). For one token only
    vks_tensor scratch; // [n] F32, n at least vks_ssd_scratch_size; not used for one token
    uint32_t chunk;     // Q, a multiple of 8; 0: 64. The result does not depend on it but for rounding
    float dt_min, dt_max;
} vks_ssd;
uint64_t vks_ssd_scratch_size(const vks_kernels *kernels, const vks_ssd *op); // floats, for this device
vkssm_status vks_op_ssd(const vks_op_target *target, const vks_ssd *op);

// The first half of a Mamba-2 mixer's step in one dispatch, for one token of one sequence: the projection of the normed input
// (as vks_matmul with norm and conv), the recurrence of its outputs and the gate (as vks_ssd with gate). Workgroups hand
// each other what all need without waiting for it (shaders/op/mixer_step.comp). Reads and writes the state once.
typedef struct vks_mixer_step_tuning { // all 0: chosen for shape and device
    uint32_t wg_size;  // invocations of a workgroup: a power of two
    uint32_t unit;     // rows of x of a workgroup: a power of two up to 16 that divides P; words depend on it
    uint32_t n_unroll; // turns of the product ahead
    uint32_t n_published; // outputs of a workgroup whose outputs all need: at least 2 units
    uint32_t n_turn;   // looks at what is not there yet, plus 1
    bool late;         // what all need comes last (tests)
} vks_mixer_step_tuning;
typedef struct vks_mixer_step {
    vks_tensor x;         // [1, K] F32 on 16 bytes, K a multiple of 8
    vks_tensor norm;      // [K] F32 on 16 bytes
    vks_tensor w;         // [2 H P + 2 G N + H, K] as w of vks_matmul: rows of gate, x, B, C, dt
    vks_matmul_conv conv; // of the H P + 2 G N outputs behind the gate
    vks_tensor heads;     // [3, H] F32: A (negative), bias of dt, D
    vks_tensor state;     // [slots, H, P, N] F32 on 16 bytes, N a multiple of 4
    vks_tensor words;     // [n] I32, n at least vks_mixer_step_words; zeros (vks_op_clear), and not used twice
    vks_tensor left;      // [2 H P] F32, scratch
    vks_tensor y;         // [1, H P] F32
    float norm_eps, dt_min, dt_max;
    vks_mixer_step_tuning tuning;
} vks_mixer_step;
// Whether it is to be used for so many rows, with weights of this type.
bool vks_mixer_step_fits(const vks_kernels *kernels, bool coded_inputs, vkssm_dtype weights, uint32_t most_rows);
uint64_t vks_mixer_step_words(const vks_mixer_step *op); // needs state and conv.w
vkssm_status vks_op_mixer_step(const vks_op_target *target, const vks_mixer_step *op);
vkssm_status vks_op_clear(const vks_op_target *target, vks_tensor words); // words: [n]
// Mamba-2's recurrence along the branches of a tree of tokens, to verify drafts: y of each token is what vks_op_ssd gives
// for the branch that ends there, from a state that stays as it is. Float32 arithmetic. Cost: reads the state T / 8 times,
// T^2 N / 2 products for each head.
typedef struct vks_ssd_tree {
    vks_tensor x;       // [B, T, H, P] F32, F16 or BF16, T at most 32; b and c have the same type and token stride
    vks_tensor b, c;    // [B, T, G, N]
    vks_tensor dt;      // [B, T, H] of x's type, before bias and softplus
    vks_tensor heads;   // [3, H] F32: A (negative), bias of dt, D
    vks_tensor state;   // [slots, H, P, N] F32, only read
    vks_tensor slots;   // [B] I32 or none: sequence b uses slot b
    vks_tensor parents; // [B, T] I32: the token before this one, which must stand before it; -1: the state. Or none: the
                        // token before, for drafts in a row
    vks_tensor y;       // [B, T, H, P] F32, F16 or BF16 (16-bit: P even)
    float dt_min, dt_max;
} vks_ssd_tree;
vkssm_status vks_op_ssd_tree(const vks_op_target *target, const vks_ssd_tree *op);

// Mamba-1's recurrence (Gu and Dao 2023, section 3.2 and algorithm 2): dt = softplus(dt + bias) per channel d,
// h[t, n] = exp(dt A[d, n]) h[t-1, n] + dt B[t, n] x[t], y[t] = sum over n of C[t, n] h[t, n] + D x[t], times SiLU(gate).
// Channel d has group d / (D / G) of B and C; with several groups D / G is even. Float32 arithmetic. How time is split
// changes roundings only. Cost: T D N exponentials, which bound it on GPUs; twice that where time is split.
typedef struct vks_selective_scan_tuning { // all 0: chosen for shape and device
    uint32_t n_lane;    // lanes of a channel, which share its states: a power of two up to 16
    uint32_t tile;      // tokens that pass through shared memory at a time: a power of two from 4
    uint32_t n_segment; // stretches of time: 1 or more
    uint32_t wg_size;   // invocations of a workgroup: a power of two
    uint32_t batch;     // tokens whose code is written out: a power of two from 4, at most tile
} vks_selective_scan_tuning;
typedef struct vks_selective_scan {
    vks_tensor x;        // [B, T, D] F32, F16 or BF16; all that follow are of its type unless another one is named
    vks_tensor dt;       // [B, T, D] before bias and softplus
    vks_tensor dt_weight; // [D, R] F32, F16 or BF16, or none. Then T is 1, dt is [B, 1, R], and dt_weight dt takes its place
    vks_tensor b, c;     // [B, T, G, N], N at most 256, the same token stride. 16-bit with G > 1: N even
    vks_tensor gate;     // [B, T, D] or none
    vks_tensor a;        // [D, N] F32, negative
    vks_tensor channels; // [2, D] F32: bias of dt, D
    vks_tensor state;    // [slots, D, N] F32: initial state in, final state out; or none: zeros in, nothing out
    vks_tensor slots;    // [B] I32 or none: sequence b uses slot b
    vks_tensor offsets;  // [n+1] I32 or none. Then B is 1, and sequence s < n is the rows offsets[s] ... offsets[s+1]-1:
                         // from 0 to T, never backwards; equal offsets: an empty sequence. slots is [n]
    vks_tensor y;        // [B, T, D] F32, F16 or BF16
    vks_tensor scratch;  // [n] F32, n at least vks_selective_scan_scratch_size
    bool reverse;        // from the last token to the first
    bool accumulate;     // add to what y holds
    vks_selective_scan_tuning tuning;
} vks_selective_scan;
uint64_t vks_selective_scan_scratch_size(const vks_kernels *kernels, const vks_selective_scan *op); // floats; 0: unused
vkssm_status vks_op_selective_scan(const vks_op_target *target, const vks_selective_scan *op);

// The next token of each sequence from its logits, by the slot's control words (shaders/params/sample.h), which also take
// the token; it is appended to the slot's ring. Optional: its log probability under the logits as they came; keeping those
// logits by slot; penalties and biases, which change `logits`.
typedef struct vks_sample {
    vks_tensor logits;   // [B, V] F32, V below 2^24
    vks_tensor slots;    // [B] I32 or none: sequence b is slot b. Entries of sequences that end are replaced
    vks_tensor controls; // [slots, VKS_CONTROL_SIZE] I32
    vks_tensor ring;     // [slots, n] I32
    vks_tensor scores;   // [slots, n] F32 or none
    vks_tensor kept;     // [slots, V] F32 or none
    vks_tensor adjust;   // [slots, 2, V] F32 or none: biases, then 0 (as bits) for tokens not seen. Needs kept
    vks_tensor scratch;  // [n] F32, n at least vks_sample_scratch_size
} vks_sample;
uint64_t vks_sample_scratch_size(uint32_t n_sequence, uint32_t n_vocab); // floats
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
    VKS_ACT_ELU,       // x, below 0 exp(x) - 1
    VKS_ACT_TANH,
    VKS_ACT_RELU,
} vks_act;
typedef struct vks_activation {
    vks_tensor x;    // [T, D] F32, F16 or BF16
    vks_tensor d;    // [D] F32, with skip
    vks_tensor skip; // [T, D] F32, F16 or BF16, or none
    vks_tensor gate; // [T', D] of x's type, or none; T' divides T: as many neighbouring rows as that gives share a row
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

// Cross-correlation over the two dimensions of images, with zeros around them so that H' = ceil(H / stride) and W' likewise
// ("SAME" of JAX and TensorFlow: of an odd number of zeros one more comes last):
// y[n, i, j, m] = act(sum over a, b, c of w[m, a, b, c] x[n, i stride - top + a, j stride - left + b, c] + bias + added),
// (+ y). Sums in float32.
typedef struct vks_conv2d {
    vks_tensor x;      // [N, H, W, C] F32, F16 or BF16; pixels a multiple of 8 elements apart, and nothing else between
    vks_tensor w;      // [M, kernel_height kernel_width C'] F32, F16 or BF16, row stride a multiple of 8; C' is C rounded
                       // up to a multiple of 8, and w zero from C on
    vks_tensor bias;   // [M] F32 or none; with choice [A, M]
    vks_tensor choice; // [N] F32 or none: the row of the bias for each image; -1 is the last one
    vks_tensor added;  // [N, H', W', M] F32, F16 or BF16, or none
    vks_tensor y;      // [N, H', W', M] F32, F16 or BF16; not x. Its memory may be added's if accumulate is false
    uint32_t kernel_height, kernel_width; // odd
    uint32_t stride;                      // 1 or 2
    vks_act act;
    bool accumulate;   // add to what y holds
} vks_conv2d;
vkssm_status vks_op_conv2d(const vks_op_target *target, const vks_conv2d *op);

// y = act(w (x - mean) / sqrt(variance + eps) + b), mean and biased variance over all pixels and the D / n_group neighbouring
// channels of a group, for every image by itself (Wu and He 2018).
typedef struct vks_group_norm {
    vks_tensor x;            // [N, S, C] F32, F16 or BF16: N images of S pixels, nothing between images
    vks_tensor weight, bias; // [C] F32
    vks_tensor y;            // [N, S, C] F32, F16 or BF16; may be x
    vks_tensor scratch;      // [n] F32, n at least vks_group_norm_scratch_size
    uint32_t n_group;        // divides C
    float eps;
    vks_act act;
} vks_group_norm;
uint64_t vks_group_norm_scratch_size(const vks_kernels *kernels, uint32_t n_image, uint32_t n_pixel, uint32_t n_channel,
                                     uint32_t n_group); // floats
vkssm_status vks_op_group_norm(const vks_op_target *target, const vks_group_norm *op);

// Images of another size or order.
typedef enum vks_resample {
    VKS_AVERAGE,     // means of windows that lie side by side: y [N, H / h, W / w, C]
    VKS_NEAREST,     // every pixel becomes h x w: y [N, H h, W w, C]
    VKS_FROM_PLANES, // x [N, C, H, W] F32 dense to y [N, H, W, C], with zeros up to y's pixel stride
    VKS_TO_PLANES,   // x [N, H, W, C] to y [N, C, H, W] F32 dense
} vks_resample;
typedef struct vks_resample2d {
    vks_tensor x; // [N, H, W, C] F32, F16 or BF16 unless the mode says otherwise
    vks_tensor y;
    vks_resample mode;
    uint32_t window_height, window_width; // h, w of AVERAGE and NEAREST
} vks_resample2d;
vkssm_status vks_op_resample2d(const vks_op_target *target, const vks_resample2d *op);

// A continuous convolutional S5 system made discrete by zero-order hold, as vks_conv_s5 takes it: dt = exp(log_step),
// a = exp(lambda dt), b = (a - 1) / lambda B; 2 Re(C) and -2 Im(C). Float32. Cost: reads and writes B and C once.
typedef struct vks_conv_s5_system {
    vks_tensor lambda;       // [P, 2] F32
    vks_tensor log_step;     // [P] F32
    vks_tensor b;            // [P, U, kernel_b^2, 2] F32
    vks_tensor c;            // [kernel_c^2, P, U, 2] F32
    vks_tensor a;            // [P, 2] F32, written
    vks_tensor b_out, c_out; // b and c of vks_conv_s5, written: F32, F16 or BF16
    bool clip_eigs;          // real parts of lambda are at most -1e-4
} vks_conv_s5_system;
vkssm_status vks_op_conv_s5_system(const vks_op_target *target, const vks_conv_s5_system *op);

// The convolutional S5 recurrence (Smith, De Mello, Kautz, Linderman and Byeon 2023): x[t] = a x[t-1] + B * u[t],
// y[t] = 2 Re(C * x[t]), with complex x of P channels for every pixel, and cross-correlations of stride 1. B for all frames at
// once, a scan over time for every pixel and channel by itself, then C for all frames; one frame is a step. Sequences are taken
// in pieces that fit the scratch, which changes nothing but the rounding of nothing: states are float32 in between.
typedef struct vks_conv_s5 {
    vks_tensor u;     // [B, T, H, W, U] as [B T, H, W, U] F32, F16 or BF16, as x of vks_conv2d
    vks_tensor a;     // [P, 2] F32: exp(Lambda dt)
    vks_tensor b;     // [2 P, kernel_b^2 U'] as w of vks_conv2d: rows for real and imaginary part of a state take turns
    vks_tensor c;     // [U, kernel_c^2 2 P] likewise: 2 Re(C) and -2 Im(C) take turns
    vks_tensor state; // [B, H W, P, 2] F32: initial state in, final state out
    vks_tensor resets; // [B, T] I32 or none: where not 0 the state is dropped before the step
    vks_tensor y;     // [B T, H, W, U] F32, F16 or BF16
    vks_tensor scratch; // [n] F32 on 16 bytes, n at least vks_conv_s5_scratch_size for one frame
    uint32_t n_sequence, n_time; // B, T
    uint32_t kernel_b, kernel_c; // odd
    vkssm_dtype state_dtype;     // what C reads the states as
    bool reverse;                // from the last frame to the first
    vks_scan_tuning tuning;
} vks_conv_s5;
// Floats for n_frame frames at once (frames of all sequences; a piece has whole sequences, or a part of one).
uint64_t vks_conv_s5_scratch_size(uint64_t n_frame, uint32_t n_pixel, uint32_t n_state, vkssm_dtype state_dtype);
vkssm_status vks_op_conv_s5(const vks_op_target *target, const vks_conv_s5 *op);
// The scan alone: driven [B T, H, W, 2 P] F32 to states likewise, of any float type; needs a, state, resets and what counts.
vkssm_status vks_op_conv_s5_scan(const vks_op_target *target, const vks_conv_s5 *op, vks_tensor driven,
                                 vks_tensor states);

#endif

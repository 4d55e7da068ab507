// Double-precision twins of the operators: plain loops over dense host arrays, written from the definitions in
// host/op/ops.h and the papers. Inputs are float32 values already rounded to the type that the device stores. Arrays
// that may be missing are NULL. Each twin also gives the scale of every result: what the result would be if no terms
// cancelled, which is what rounding errors are relative to.
#ifndef REF_H
#define REF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ref_embedding_args {
    size_t n_row, n_channel, n_id, n_vocab;
    const int32_t *ids;   // [n_id]
    const int32_t *index; // [n_row] or NULL
    const float *table;   // [n_vocab, n_channel]
    double *y;            // [n_row, n_channel]
} ref_embedding_args;
void ref_embedding(const ref_embedding_args *args);

typedef struct ref_rms_norm_args {
    size_t n_row, n_channel, n_group;
    const float *x, *gate; // [n_row, n_channel]
    const float *residual; // [n_row, n_channel]
    const float *weight;   // [n_channel]
    double eps;
    bool gate_after;
    double *y, *sum; // [n_row, n_channel]; sum: x + residual, or NULL
    double *scale;
} ref_rms_norm_args;
void ref_rms_norm(const ref_rms_norm_args *args);

typedef struct ref_matmul_args {
    size_t n_row, n_in, n_out;
    const float *x;     // [n_row, n_in]
    const float *w;     // [n_out, n_in]
    const float *bias;  // [n_out]
    const float *added; // [n_row, n_out]: what y holds before
    const float *norm;  // [n_in] or NULL: x is RMS-normed first
    double norm_eps;
    double *y, *scale;  // [n_row, n_out]
} ref_matmul_args;
void ref_matmul(const ref_matmul_args *args);

typedef struct ref_sum_parts_args {
    size_t n_part, n_row, n_out;
    const float *parts; // [n_part, n_row, n_out]
    const float *bias;  // [n_out] or NULL
    const float *added; // [n_row, n_out] or NULL: what y holds before
    double *y, *scale;  // [n_row, n_out]
} ref_sum_parts_args;
void ref_sum_parts(const ref_sum_parts_args *args);

typedef struct ref_matmul_s8_args {
    size_t n_row, n_in, n_out, x_stride, w_stride;
    const int8_t *x;      // [n_row, n_in], rows of x_stride
    const int8_t *w;      // [n_out, n_in], rows of w_stride
    const float *x_scale; // [n_row] or NULL: 1
    const float *w_scale; // [n_out] or NULL: 1
    double *y;            // [n_row, n_out]; exact without scales
} ref_matmul_s8_args;
void ref_matmul_s8(const ref_matmul_s8_args *args);

// Value i of a run of blocks as GGUF files hold them.
typedef enum ref_block_type { REF_Q8_0, REF_Q4_0, REF_Q4_K, REF_Q6_K } ref_block_type;
double ref_quant_value(ref_block_type type, const uint8_t *blocks, size_t i);

typedef struct ref_conv1d_args {
    size_t n_sequence, n_time, n_channel, n_tap;
    const float *x;    // [n_sequence, n_time, n_channel]
    const float *w;    // [n_tap, n_channel], oldest first
    const float *bias; // [n_channel]
    bool silu;
    float *state;      // [n_sequence, n_tap - 1, n_channel], read and written (copies only: exact)
    double *y, *scale; // [n_sequence, n_time, n_channel]
} ref_conv1d_args;
void ref_conv1d(const ref_conv1d_args *args);

typedef struct ref_ssd_args {
    size_t n_sequence, n_time, n_head, n_group, n_width, n_state;
    const float *x;               // [n_sequence, n_time, n_head, n_width]
    const float *b, *c;           // [n_sequence, n_time, n_group, n_state]
    const float *dt;              // [n_sequence, n_time, n_head]
    const float *a, *dt_bias, *d; // [n_head]
    double dt_min, dt_max;
    double *state, *state_scale; // [n_sequence, n_head, n_width, n_state]; state is read and written
    double *y, *scale;           // [n_sequence, n_time, n_head, n_width]
    double *past, *state_past;   // like scale and state_scale: the part of it that a decay was applied to
    size_t chunk;                // for largest_decay only
    double largest_decay;        // out: the largest sum of dt |A| over a chunk
} ref_ssd_args;
void ref_ssd(ref_ssd_args *args); // token by token

typedef struct ref_mixer_step_args {
    size_t n_in, n_head, n_width, n_group, n_state, n_tap;
    const float *x, *norm;        // [n_in]
    const float *w;               // [2 H P + 2 G N + H, n_in]: gate, x, B, C, dt
    const float *conv_w;          // [n_tap, C], C = H P + 2 G N, oldest first
    const float *conv_bias;       // [C] or NULL
    const float *a, *dt_bias, *d; // [n_head]
    double norm_eps, dt_min, dt_max;
    double *conv_state, *conv_state_scale; // [n_tap - 1, C]; the first one is read and written
    double *state, *state_scale;           // [n_head, n_width, n_state]; likewise
    double *y, *scale;                     // [n_head, n_width]
} ref_mixer_step_args;
void ref_mixer_step(const ref_mixer_step_args *args);
typedef struct ref_ssd_tree_args { // one sequence
    size_t n_time, n_head, n_group, n_width, n_state;
    const float *x, *b, *c, *dt, *a, *dt_bias, *d; // as in ref_ssd_args
    const int *parents;                            // [n_time], below their tokens, or -1; NULL: the token before
    double dt_min, dt_max;
    const double *state; // [n_head, n_width, n_state]
    double *y, *scale;   // [n_time, n_head, n_width]
} ref_ssd_tree_args;
void ref_ssd_tree(const ref_ssd_tree_args *args); // branch by branch

typedef struct ref_sample_args {
    size_t n_vocab;
    const float *logits; // [n_vocab]
    float temperature, top_p, min_p;
    float repetition, presence; // of tokens in `seen`; 0: 1 and none
    const bool *seen;           // [n_vocab] or NULL
    const float *bias;          // [n_vocab] or NULL
    uint32_t top_k;
    uint64_t seed;
    uint32_t position;
    double *probability; // out, [n_vocab] or NULL
    double score;        // out: ln of the token's probability under the logits themselves
    int32_t token;       // out
    double margin;       // out: the smallest change of a cumulative probability that would have changed the token
} ref_sample_args;
void ref_sample(ref_sample_args *args);
void ref_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]); // 10 rounds

typedef struct ref_layer_norm_args {
    size_t n_row, n_channel;
    const float *x;             // [n_row, n_channel]
    const float *weight, *bias; // [n_channel]
    double eps;
    bool affine;
    double *y, *scale; // [n_row, n_channel]
} ref_layer_norm_args;
void ref_layer_norm(const ref_layer_norm_args *args);

// As vks_act counts.
typedef enum ref_act {
    REF_ACT_NONE,
    REF_ACT_GELU_TANH,
    REF_ACT_GELU_ERF,
    REF_ACT_ELU,
    REF_ACT_TANH,
    REF_ACT_RELU
} ref_act;
typedef struct ref_activation_args {
    size_t n_row, n_channel;
    const float *x, *skip, *gate; // [n_row, n_channel]
    const float *d;               // [n_channel], with skip
    const float *added;           // [n_row, n_channel]: what y holds before
    size_t gate_span;             // neighbouring rows that share a row of the gate; 0: 1
    ref_act act;
    double *y, *scale; // [n_row, n_channel]
} ref_activation_args;
void ref_activation(const ref_activation_args *args);
double ref_gelu_tanh(double x);
double ref_act_of(ref_act act, double x);
double ref_act_scale(ref_act act); // what its roundings are relative to, beside its argument's scale
double ref_gelu_erf(double x);
double ref_sigmoid(double x);

typedef struct ref_pool_mean_args {
    size_t n_sequence, n_time, n_channel;
    const float *x;    // [n_sequence, n_time, n_channel]
    double *y, *scale; // [n_sequence, n_channel]: of all time steps
} ref_pool_mean_args;
void ref_pool_mean(const ref_pool_mean_args *args);

typedef struct ref_log_softmax_args {
    size_t n_row, n_channel;
    const float *x;    // [n_row, n_channel]
    double *y, *scale; // likewise
} ref_log_softmax_args;
void ref_log_softmax(const ref_log_softmax_args *args);

// Complex numbers are pairs; every array with n_channel then has a last dimension of 2.
typedef struct ref_scan_args {
    size_t n_batch, n_time, n_channel, n_sequence; // n_sequence: rows of initial and last
    bool is_complex, reverse, a_step;
    const float *a;         // [n_batch, n_time, n_channel], or [n_batch, n_channel] without a_step
    const float *b;         // [n_batch, n_time, n_channel]
    const float *initial;   // [n_sequence, n_channel] or NULL
    const int32_t *resets;  // [n_batch, n_time] or NULL
    const int32_t *offsets; // [n_sequence + 1] or NULL (then n_sequence is n_batch)
    double *h;              // [n_batch, n_time, n_channel]
    double *last;           // [n_sequence, n_channel]
    // Like h and last, or NULL. bound: what all roundings may add up to, whatever the order of operations. A step's is a part
    // of M[t] = |a| M[t-1] + |b|, and decays as the state does: E[t] = |a| E[t-1] + M[t]. spread: what they do add up to if
    // they are independent: the root of V[t] = |a|^2 V[t-1] + (|a h[t-1]| + |b|)^2.
    double *bound, *spread, *last_bound, *last_spread;
} ref_scan_args;
void ref_scan(const ref_scan_args *args);

// Several sequences, one after the other: sequence s is the rows first[s] ... first[s+1]-1.
typedef struct ref_selective_scan_args {
    size_t n_sequence, n_channel, n_group, n_state, rank;
    const size_t *first;
    const float *x;           // [rows, n_channel]
    const float *dt;          // likewise; or [rows, rank] with dt_weight
    const float *dt_weight;   // [n_channel, rank] or NULL
    const float *b, *c;       // [rows, n_group, n_state]
    const float *gate;        // [rows, n_channel] or NULL
    const float *a;           // [n_channel, n_state]
    const float *dt_bias, *d; // [n_channel]
    const float *add;         // [rows, n_channel] or NULL: what y is added to
    bool reverse;
    double *state;                         // [n_sequence, n_channel, n_state], read and written
    double *state_magnitude, *state_scale; // likewise; scale is what roundings may add up to, in units of 2^-24
    double *y, *scale;                     // [rows, n_channel], likewise
} ref_selective_scan_args;
void ref_selective_scan(const ref_selective_scan_args *args);

// Channels last; zeros around the images as JAX's "SAME" has them.
typedef struct ref_conv2d_args {
    size_t n_image, height, width, n_channel, n_out, kernel_height, kernel_width, stride, n_choice;
    const float *x;      // [n_image, height, width, n_channel]
    const float *w;      // [n_out, kernel_height, kernel_width, n_channel]
    const float *bias;   // [n_out], or with choice [n_choice, n_out]
    const float *choice; // [n_image]
    const float *added;  // like y: inside the activation
    const float *held;   // like y: outside it
    ref_act act;
    double *y, *scale; // [n_image, ceil(height / stride), ceil(width / stride), n_out]
} ref_conv2d_args;
void ref_conv2d(const ref_conv2d_args *args);

typedef struct ref_group_norm_args {
    size_t n_image, n_pixel, n_channel, n_group;
    const float *x;             // [n_image, n_pixel, n_channel]
    const float *weight, *bias; // [n_channel]
    double eps;
    ref_act act;
    double *y, *scale; // like x
} ref_group_norm_args;
void ref_group_norm(const ref_group_norm_args *args);

typedef enum ref_resample { REF_AVERAGE, REF_NEAREST, REF_FROM_PLANES, REF_TO_PLANES } ref_resample; // as vks_resample
typedef struct ref_resample2d_args {
    size_t n_image, height, width, n_channel; // of x
    size_t window_height, window_width;
    const float *x; // [n_image, height, width, n_channel], or [n_image, n_channel, height, width]
    ref_resample mode;
    double *y, *scale;
} ref_resample2d_args;
void ref_resample2d(const ref_resample2d_args *args);

typedef struct ref_conv_s5_system_args {
    size_t n_state, n_channel, n_b, n_c; // P, U, taps of B and of C
    const float *lambda, *log_step;      // [P, 2], [P]
    const float *b, *c;                  // [P, U, n_b, 2], [n_c, P, U, 2]
    bool clip_eigs;
    double *a, *a_scale;         // [P, 2]
    double *b_out, *b_out_scale; // [2 P, n_b, U]
    double *c_out, *c_out_scale; // [U, n_c, P, 2]
} ref_conv_s5_system_args;
void ref_conv_s5_system(const ref_conv_s5_system_args *args);

typedef struct ref_conv_s5_args {
    size_t n_sequence, n_time, height, width, n_channel, n_state, kernel_b, kernel_c;
    const float *u; // [n_sequence, n_time, height, width, n_channel]
    const float *a; // [n_state, 2]
    const float *b; // [2 n_state, kernel_b, kernel_b, n_channel]
    const float *c; // [n_channel, kernel_c, kernel_c, 2 n_state]
    const float *initial;  // [n_sequence, height, width, n_state, 2]
    const int32_t *resets; // [n_sequence, n_time] or NULL
    bool reverse;
    double *y, *scale, *last, *last_scale; // y like u, last like initial
} ref_conv_s5_args;
void ref_conv_s5(const ref_conv_s5_args *args); // frame by frame

double ref_silu(double x);

// How far results are from their twins. A result may be off by
//   storage |wanted| + 2^-24 factor scale + smallest
// with `storage` the rounding of the type it is stored in, `smallest` that type's smallest step, and `factor` the
// number of float32 roundings relative to the scale that the computation may add up to.
typedef struct ref_error {
    double worst;         // largest error as a part of what is allowed; above 1 is a failure. Not finite: huge
    size_t at;            // where
    double found, wanted; // there
    double nmse;          // mean square of the error over the mean square of what is wanted
} ref_error;
typedef enum ref_type { REF_F32, REF_F16, REF_BF16 } ref_type; // as vkssm_dtype counts
ref_error ref_compare(const double *found, const double *wanted, const double *scale, size_t n, ref_type type,
                      double factor);

#endif

// A whole stack of S5 or LRU layers in double precision, and one S4D layer as the convolution that defines it: plain
// loops written from the papers (Smith et al. 2023; Orvieto et al. 2023; Gu et al. 2022) and the layout of flax
// checkpoints. It knows no config.json: the test says what the numbers are.
#ifndef REF_S5_MODEL_H
#define REF_S5_MODEL_H

#include <vkssm/tensor_file.h>

typedef enum ref_s5_gate { REF_S5_GELU, REF_S5_HALF_GLU_1, REF_S5_HALF_GLU_2, REF_S5_FULL_GLU } ref_s5_gate;
typedef enum ref_s5_pool { REF_S5_MEAN, REF_S5_LAST, REF_S5_NO_POOL } ref_s5_pool;

typedef struct ref_s5_shape {
    uint32_t n_input, n_channel, n_state, n_layer, n_class; // n_state: stored states, P
    bool lru;                                               // LRU layers, and `normalization` for the norms' name
    ref_s5_gate gate;
    ref_s5_pool pool;
    bool prenorm, batch_norm, no_softmax;
    double eps;
    // S5 only
    bool bidirectional, one_c; // one_c: C [H, 2P, 2] in place of C1 and C2
    bool bilinear, conj_sym, clip_eigs;
    double step_rescale;
} ref_s5_shape;

typedef struct ref_s5_outputs {
    double *logits; // [n, classes], or [n, T, classes] without pooling
    double *layers; // [L, n, T, H]
} ref_s5_outputs;

// Run input [n, T, n_input] through the weights at `path`. Both arrays allocated (free). False after printing why.
bool ref_s5_run(const ref_s5_shape *shape, const char *path, const float *input, size_t n, size_t n_time,
                ref_s5_outputs *out);

// One S4D layer before its activation: y[t, h] = sum over j of k[h, j] u[t - j, h] + d[h] u[t, h] with
// k[h, j] = 2 Re sum over n of C[h, n] (exp(dt A) - 1) / A exp(dt A j).
// log_dt [H]; log_a_real, a_imag [H, N]; c [H, N, 2]; u, y [T, H].
void ref_s4d_layer(size_t n_channel, size_t n_state, size_t n_time, const float *log_dt, const float *log_a_real,
                   const float *a_imag, const float *c, const float *d, const float *u, double *y);

#endif

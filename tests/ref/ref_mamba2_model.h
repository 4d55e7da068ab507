// A whole Mamba-2 language model in double precision, token by token: plain loops written from the paper (Dao and Gu
// 2024, section 7) and the layouts of checkpoints. It knows no config.json: the test says what the numbers are.
#ifndef REF_MAMBA2_MODEL_H
#define REF_MAMBA2_MODEL_H

#include <vkssm/tensor_file.h>

typedef struct ref_mamba2_shape {
    uint32_t n_layer, n_channel, n_head, n_width, n_state, n_group, n_tap, n_vocab;
    uint32_t norm_groups; // of the gated norm; 0: gate only
    double eps;
    double dt_min, dt_max; // dt_max INFINITY: no limit
    bool proj_bias, conv_bias, tied_head, norm_before_gate;
    const char *embedding; // name of the tensor
} ref_mamba2_shape;

typedef struct ref_mamba2 ref_mamba2;

// Matrices are rounded to `matrix_dtype` (F32: they stay as they are). NULL after printing which tensor is missing.
ref_mamba2 *ref_mamba2_open(const ref_mamba2_shape *shape, const vkssm_tensor_file *file, vkssm_dtype matrix_dtype);
void ref_mamba2_close(ref_mamba2 *model);
void ref_mamba2_reset(ref_mamba2 *model);
// Read a token. logits: [V], or NULL to leave the head out.
void ref_mamba2_step(ref_mamba2 *model, int32_t token, double *logits);

// Logits [n, V] of tokens from an empty state, of the weights at `path`; allocated (free). NULL after printing why.
double *ref_mamba2_logits(const ref_mamba2_shape *shape, const char *path, vkssm_dtype matrix_dtype,
                          const int32_t *tokens, size_t n);

#endif

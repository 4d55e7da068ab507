// Whole Mamba-1 models in double precision, layer by layer over whole sequences: plain loops written from the paper (Gu
// and Dao 2023, algorithm 2 and section 3.4) and the layouts of checkpoints. They know no config.json: the test says
// what the numbers are.
#ifndef REF_MAMBA1_MODEL_H
#define REF_MAMBA1_MODEL_H

#include <vkssm/tensor_file.h>

typedef enum ref_mamba1_kind {
    REF_MAMBA1_FORWARD,
    REF_MAMBA1_SHARED,   // forwards and backwards with the same weights
    REF_MAMBA1_SEPARATE, // backwards with tensors of its own
} ref_mamba1_kind;

typedef struct ref_mamba1_shape {
    uint32_t n_layer, n_channel, n_inner, n_state, n_tap, n_rank;
    double eps;
    bool proj_bias, conv_bias;
    bool norm_parts; // dt's low rank, B and C are normed
    double parts_eps;
    ref_mamba1_kind kind;
    // language models
    uint32_t n_vocab;
    const char *embedding; // name of the tensor
    // classifiers
    uint32_t n_input, n_class;
    bool norm, final_norm, residual;
    enum { REF_MAMBA1_MEAN, REF_MAMBA1_LAST, REF_MAMBA1_NO_POOL } pool;
    bool named_mamba; // the only layer's tensors are mamba.*
} ref_mamba1_shape;

// Logits [n, V] of tokens, of the weights at `path`, with a tied head; allocated (free). NULL after printing why.
double *ref_mamba1_logits(const ref_mamba1_shape *shape, const char *path, const int32_t *tokens, size_t n);
// Logits [n_class], or [n, n_class] without pooling, of one sequence of features [n, n_input]; likewise. layers: NULL,
// or [n_layer, n, n_channel], what each layer gives.
double *ref_mamba1_classify(const ref_mamba1_shape *shape, const char *path, const float *input, size_t n,
                            double *layers);

#endif

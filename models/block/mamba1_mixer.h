// The Mamba-1 mixer: in_proj, then the core (causal convolution, selective scan, gate), out_proj (Gu and Dao 2023,
// section 3.4). Used by language models, classifiers, and hybrids whose layers hold such a mixer. In two directions the
// core runs forwards and backwards in time, convolution included, on what in_proj gave, and out_proj takes the sum (the
// "v2" form of Zhu et al. 2024, Vision Mamba, section 3.3; Schiff et al. 2024, Caduceus, section 3.1, whose directions
// share projections, is the same sum). A model that wants the mean of the directions halves its out_proj.
#ifndef VKS_MAMBA1_MIXER_H
#define VKS_MAMBA1_MIXER_H

#include "bind.h"

typedef enum vks_mamba1_direction {
    VKS_MAMBA1_FORWARD,
    VKS_MAMBA1_SHARED,   // both directions, one core
    VKS_MAMBA1_SEPARATE, // both directions, the backward core's tensors being named *_b
} vks_mamba1_direction;

typedef struct vks_mamba1_config {
    uint32_t n_channel; // D, width of the residual stream
    uint32_t n_inner;   // channels of the core
    uint32_t n_state;   // N, at most VKS_MAMBA1_MAX_STATE
    uint32_t n_tap;     // K
    uint32_t n_rank;    // R, of dt's projection
    bool proj_bias, conv_bias;
    bool find_bias;  // nothing says whether in_proj and out_proj have biases: they have those that are there
    bool norm_parts; // dt's low rank, B and C are normed, without weights (Falcon-Mamba)
    float parts_eps;
    vks_mamba1_direction direction;
} vks_mamba1_config;

enum { VKS_MAMBA1_MAX_STATE = 256 };

typedef struct vks_mamba1_core {
    vks_tensor conv_weight, conv_bias, x_proj, dt_proj, a, channels;
} vks_mamba1_core;

typedef struct vks_mamba1_mixer {
    vks_tensor in_proj, in_bias, out_proj, out_bias;
    vks_tensor ones; // with norm_parts
    vks_mamba1_core forward, backward;
} vks_mamba1_mixer;

// Errors: ERR_FORMAT or ERR_UNSUPPORTED for sizes that no mixer has; messages name config.json and the sizes.
vkssm_status vks_mamba1_check(const vks_mamba1_config *config, const char *path, const vkssm_log *log);
// Bind `prefix`in_proj.weight and so on.
vkssm_status vks_mamba1_bind(const vks_bind *bind, const vks_mamba1_config *config, vks_mamba1_mixer *mixer);
// Two arrays a mixer: the convolution's tail [K-1, n_inner], the state [n_inner, N]. None in two directions.
vkssm_status vks_mamba1_state(const vks_mamba1_config *config, vks_state_layout *layout);
uint32_t vks_mamba1_n_state(const vks_mamba1_config *config); // arrays

// B sequences of T tokens; rows are sequence-major.
typedef struct vks_mamba1_call {
    uint32_t n_sequence, n_time;
    vks_tensor x;   // [B T, D]: the mixer's input
    vks_tensor out; // [B T, D] F32: the output is added here, or with `replace` stored (and out may be x)
    bool replace;
    vks_state_view state;
    uint32_t first_state; // number of this mixer's first array
    vks_tensor slots;     // [B] or none
    uint32_t most_rows;   // as in vks_matmul
    vks_tensor norm;      // [D], where the first product can norm x and convolve (vks_matmul_fuses), or none
    float norm_eps;
} vks_mamba1_call;
vkssm_status vks_mamba1_record(const vks_mamba1_config *config, const vks_mamba1_mixer *mixer, vks_plan *plan,
                               const vks_mamba1_call *call);

#endif

// The Mamba-2 mixer: in_proj, causal convolution, SSD, gated norm, out_proj (Dao and Gu 2024, section 7). Used by the
// architecture mamba2, and by hybrids whose layers hold such a mixer.
#ifndef VKS_MAMBA2_MIXER_H
#define VKS_MAMBA2_MIXER_H

#include "bind.h"

typedef struct vks_mamba2_config {
    uint32_t n_channel; // D, width of the residual stream
    uint32_t n_inner;   // H P
    uint32_t n_head, n_width, n_state, n_group;
    uint32_t n_tap;       // K
    uint32_t chunk;       // Q of the chunked algorithm
    uint32_t norm_groups; // groups of the gated norm; 0: the mixer has no norm, only the gate
    float norm_eps;
    float dt_min, dt_max;
    bool proj_bias, conv_bias;
    bool norm_before_gate; // norm(y) silu(z) in place of norm(y silu(z))
} vks_mamba2_config;

typedef struct vks_mamba2_mixer {
    vks_tensor in_proj, in_bias, conv_weight, conv_bias, heads, norm, out_proj, out_bias;
} vks_mamba2_mixer;

// Bind `prefix`in_proj.weight and so on.
vkssm_status vks_mamba2_bind(const vks_bind *bind, const vks_mamba2_config *config, vks_mamba2_mixer *mixer);
// Two arrays a mixer: the convolution's tail [K-1, C], the state [H, P, N].
vkssm_status vks_mamba2_state(const vks_mamba2_config *config, vks_state_layout *layout);

// B sequences of T tokens; rows of x and residual are sequence-major. With offsets B is 1, and its row of T tokens holds
// packed sequences.
typedef struct vks_mamba2_call {
    uint32_t n_sequence, n_time;
    vks_tensor x;        // [B T, D] activations: the normed input
    vks_tensor residual; // [B T, D] F32: the output is added here
    vks_state_view state;
    uint32_t first_state; // number of this mixer's first array
    vks_tensor slots;     // [B] or none; with offsets [n]
    vks_tensor offsets;   // [n+1] I32 or none: see vks_ssd
    uint32_t most_rows;   // 0: B T. Kernels are chosen as for so many rows
    vks_tensor words, left; // of vks_mamba2_record_step: see vks_mamba2_begin_step
} vks_mamba2_call;
vkssm_status vks_mamba2_record(const vks_mamba2_config *config, const vks_mamba2_mixer *mixer, vks_plan *plan,
                               const vks_mamba2_call *call);

#endif

// A diagonal state-space layer: x[t] = a x[t-1] + B u[t], y[t] = Re(C x[t]) + d u[t], with P complex states that all
// channels share. S5 (Smith, Warrington and Linderman 2023), LRU (Orvieto et al. 2023) and S4D (Gu et al. 2022) differ
// in what their parameters mean only; that is settled on the host, in double precision, when they are bound. S4D, whose
// states belong to one channel each, becomes one such layer with block-diagonal B and C.
#ifndef VKS_DIAGONAL_SSM_H
#define VKS_DIAGONAL_SSM_H

#include "bind.h"

typedef enum vks_diagonal_kind {
    VKS_DIAGONAL_S5,  // Lambda_re, Lambda_im [P], B [P, H, 2], C [H, P, 2] (or C1 and C2, or C [H, 2P, 2]), D [H],
                      // log_step [P, 1]
    VKS_DIAGONAL_LRU, // nu_log, theta_log, gamma_log [P], B_re, B_im [P, H], C_re, C_im [H, P], D [H]
    VKS_DIAGONAL_S4D, // kernel.log_dt [H], kernel.log_A_real, kernel.A_imag [H, N], kernel.C [H, N, 2], D [H]; P = H N
} vks_diagonal_kind;

typedef struct vks_diagonal_config {
    vks_diagonal_kind kind;
    uint32_t n_channel; // H
    uint32_t n_state;   // P
    bool bidirectional; // a second recurrence runs backwards; S5 only
    // S5 only:
    bool bilinear;  // discretisation; else zero-order hold
    bool conj_sym;  // each state stands for a conjugate pair: y = 2 Re(C x)
    bool clip_eigs; // real parts of Lambda at most -1e-4
    double step_rescale;
} vks_diagonal_config;

typedef struct vks_diagonal_ssm {
    vks_tensor a; // [P, 2]: real and imaginary part
    vks_tensor b; // [2 P, H]: rows for the real and the imaginary part of a state take turns
    vks_tensor
        c; // [H, 2 P], or [H, 4 P] for both directions; columns likewise, the sign of the imaginary part folded in
    vks_tensor d; // [H]
} vks_diagonal_ssm;

// Bind `prefix`<parameter>.
vkssm_status vks_diagonal_bind(const vks_bind *bind, const vks_diagonal_config *config, vks_diagonal_ssm *ssm);
// One array: [P, 2]. None if bidirectional.
vkssm_status vks_diagonal_state(const vks_diagonal_config *config, vks_state_layout *layout);

// B sequences of T steps; rows are sequence-major. Sequence b uses slot b.
typedef struct vks_diagonal_call {
    uint32_t n_sequence, n_time;
    vks_tensor u; // [B T, H] F32, F16 or BF16
    vks_tensor y; // [B T, H] F32, F16 or BF16: without d u, which the activation adds
    vks_state_view state;
    uint32_t first_state; // number of this layer's array
} vks_diagonal_call;
vkssm_status vks_diagonal_record(const vks_diagonal_config *config, const vks_diagonal_ssm *ssm, vks_plan *plan,
                                 const vks_diagonal_call *call);

#endif

// A layer of ConvS5 (Smith, De Mello, Kautz, Linderman and Byeon 2023): the convolutional recurrence, what follows it
// ("C_D"), the residual sum, and a layer norm over channels after it (or before the recurrence).
#ifndef VKS_CONV_S5_LAYER_H
#define VKS_CONV_S5_LAYER_H

#include "conv_net.h"

// With y the recurrence's output for u, all norms' eps 1e-6:
typedef enum vks_conv_cd {
    VKS_CD_RESNET,      // gelu(y + conv(gelu(norm(conv(gelu(norm(y)))))))
    VKS_CD_STANDARD,    // gelu(norm(y + conv(u)))
    VKS_CD_HALF_GLU,    // g sigmoid(W g), g = gelu(layer norm(y))
    VKS_CD_DIAG_RESNET, // y: so the original code does it
} vks_conv_cd;

typedef struct vks_conv_s5_config {
    uint32_t n_channel, n_state; // U, P
    uint32_t kernel_b, kernel_c, kernel_d;
    uint32_t height, width;
    vks_conv_cd cd;
    bool squeeze; // squeeze-and-excite at the end of the convolutional part (resnet, standard)
    bool clip_eigs, prenorm;
} vks_conv_s5_config;

typedef struct vks_conv_s5_layer {
    vks_tensor a, b, c; // as vks_conv_s5 has them
    vks_norm norms[2], norm;
    vks_conv convs[2];
    vks_squeeze squeeze;
    vks_tensor ones;
} vks_conv_s5_layer;

// `prefix`seq/... and `prefix`norm. The system is made discrete (zero-order hold) here, once, in double precision.
vkssm_status vks_conv_s5_bind(vks_bind *bind, const vks_conv_s5_config *config, const char *prefix,
                              vks_conv_s5_layer *layer);
// One array: [H W, P, 2].
vkssm_status vks_conv_s5_state(const vks_conv_s5_config *config, vks_state_layout *layout);
// residual [B T H W, U] F32 is changed. Sequence b uses slot b.
vkssm_status vks_conv_s5_record(const vks_conv_s5_config *config, const vks_conv_s5_layer *layer, vks_plan *plan,
                                const vks_piece *piece, uint32_t state, vks_tensor residual);

#endif

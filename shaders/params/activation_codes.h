// Activations as shaders know them; as vks_act in host/op/ops.h.
#ifndef VKS_PARAMS_ACTIVATION_CODES_H
#define VKS_PARAMS_ACTIVATION_CODES_H

#define VKS_ACT_CODE_NONE 0
#define VKS_ACT_CODE_GELU_TANH 1
#define VKS_ACT_CODE_GELU_ERF 2
#define VKS_ACT_CODE_ELU 3
#define VKS_ACT_CODE_TANH 4
#define VKS_ACT_CODE_RELU 5

#endif

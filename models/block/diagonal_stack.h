// A stack of diagonal state-space layers between a linear encoder and a linear decoder, with parameter names as flax
// gives them: what the model types s5 and lru share. An architecture's file reads its configuration into a vks_stack
// and hands the rest to the verbs below, whose `self` is the vks_stack.
//
//   x = encoder(u);  x += gate(act(ssm(norm(x)))) per layer (or norm(x + ...) after it);  decoder(pool(x))
#ifndef VKS_DIAGONAL_STACK_H
#define VKS_DIAGONAL_STACK_H

#include "diagonal_ssm.h"

struct vks_config;

// What follows the state-space part, with g = gelu(h), in the tanh form (Smith et al. 2023, appendix G):
typedef enum vks_stack_gate {
    VKS_STACK_GELU,       // g
    VKS_STACK_HALF_GLU_1, // g sigmoid(W2 g)
    VKS_STACK_HALF_GLU_2, // h sigmoid(W2 g)
    VKS_STACK_FULL_GLU,   // (W1 g) sigmoid(W2 g)
} vks_stack_gate;

typedef enum vks_stack_pool { VKS_STACK_MEAN, VKS_STACK_LAST, VKS_STACK_NO_POOL } vks_stack_pool;

typedef struct vks_stack_layer {
    vks_diagonal_ssm ssm;
    vks_tensor norm_weight, norm_bias, w1, b1, w2, b2;
} vks_stack_layer;

typedef struct vks_stack {
    // from the configuration
    vks_diagonal_config ssm;
    uint32_t n_input, n_layer, n_class;
    vks_stack_gate gate;
    vks_stack_pool pool;
    bool prenorm, batch_norm, log_softmax;
    float norm_eps;
    float u8_divisor;      // 0: inputs are float32 only
    const char *norm_name; // of a layer's norm among the parameters
    // the rest belongs to diagonal_stack.c
    const vkssm_log *log;
    vks_tensor encoder, encoder_bias, decoder, decoder_bias;
    vks_stack_layer *layers;
} vks_stack;

// Keys that both model types have: d_input, d_model, n_layers, n_classes, pooling, head, input_scale. All but the last
// three must be there.
vkssm_status vks_stack_parse(const struct vks_config *config, vks_stack *stack);
// After the architecture has read its own keys: the limits, and *shape. kind: a letter that tells model types apart.
vkssm_status vks_stack_complete(const struct vks_config *config, vks_stack *stack, char kind, vks_model_shape *shape);

vkssm_status vks_stack_bind(void *self, const struct vks_weights *weights, vks_binder *binder, vks_model_shape *shape);
vkssm_status vks_stack_state(const void *self, vks_state_layout *layout);
bool vks_stack_io(const void *self, bool output, uint32_t index, vks_io *out);
vkssm_status vks_stack_record(const void *self, vks_plan *plan, const vks_piece *piece);
void vks_stack_destroy(void *self);

#endif

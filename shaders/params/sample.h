// sample: choose the next token of each of B sequences from its logits.
#include "types.h"
VKS_PARAMS(vks_sample_params) {
    vks_address logits;   // [B, V] f32, rows of logits_stride
    vks_address slots;    // [B] u32, or 0: slot b
    vks_address controls; // [slots, 8] u32, see VKS_CONTROL_*
    vks_address ring;     // [slots, ring_size] i32: tokens in order of position
    vks_uint n_vocab;     // V
    vks_uint logits_stride;
    vks_uint ring_size;
} VKS_PARAMS_END(vks_sample_params)

// Words of a slot's control block. The sampler reads all and writes TOKEN and COUNT.
#define VKS_CONTROL_TOKEN 0       // token that the next step reads
#define VKS_CONTROL_COUNT 1       // tokens sampled so far: the counter of the generator, and the place in the ring
#define VKS_CONTROL_TEMPERATURE 2 // float bits; 0: greedy
#define VKS_CONTROL_TOP_K 3       // 0: all
#define VKS_CONTROL_TOP_P 4       // float bits
#define VKS_CONTROL_SEED_LOW 5
#define VKS_CONTROL_SEED_HIGH 6
#define VKS_CONTROL_POSITION 7 // position of the token with count 0
#define VKS_CONTROL_SIZE 8

// sample: choose the next token of each of B sequences from its logits. Two kernels: sample_blocks looks at the vocabulary
// in blocks, sample decides.
#include "types.h"
VKS_PARAMS(vks_sample_params) {
    vks_address logits;   // [B, V] f32, rows of logits_stride; penalties and biases are applied in place
    vks_address slots;    // [B] u32, or 0: slot b. The entry of a sequence that ends is replaced
    vks_address controls; // [slots, VKS_CONTROL_SIZE] u32
    vks_address ring;     // [slots, ring_size] i32: tokens in order of position
    vks_address scores;   // [slots, ring_size] f32: their log probabilities, or 0
    vks_address kept;     // [slots, V] f32: the logits as they came, or 0
    vks_address adjust;   // [slots, 2, V]: biases (f32), then which tokens were seen (u32), or 0
    vks_address blocks;   // [B, n_block, VKS_SAMPLE_BLOCK_SIZE] f32
    vks_uint n_vocab;     // V
    vks_uint logits_stride;
    vks_uint ring_size;
    vks_uint n_block;
} VKS_PARAMS_END(vks_sample_params)

// Words of a slot's control block. The sampler reads all and writes TOKEN and COUNT.
#define VKS_CONTROL_TOKEN 0       // token that the next step reads
#define VKS_CONTROL_COUNT 1       // tokens sampled so far: the counter of the generator, and the place in the ring
#define VKS_CONTROL_TEMPERATURE 2 // float bits; 0: greedy
#define VKS_CONTROL_TOP_K 3       // 0: all
#define VKS_CONTROL_TOP_P 4       // float bits
#define VKS_CONTROL_SEED_LOW 5
#define VKS_CONTROL_SEED_HIGH 6
#define VKS_CONTROL_POSITION 7   // position of the token with count 0
#define VKS_CONTROL_MIN_P 8      // float bits
#define VKS_CONTROL_REPETITION 9 // float bits, with ADJUST
#define VKS_CONTROL_PRESENCE 10  // float bits, with ADJUST
#define VKS_CONTROL_FLAGS 11
#define VKS_CONTROL_LIMIT 12  // the sequence ends when COUNT reaches it; 0: never
#define VKS_CONTROL_PARK 13   // slot that replaces this one in `slots` when the sequence ends
#define VKS_CONTROL_N_STOP 14 // tokens that end the sequence: how many, and
#define VKS_CONTROL_STOP 15   // which
#define VKS_CONTROL_MAX_STOP 9
#define VKS_CONTROL_SIZE 24
#define VKS_CONTROL_ADJUST 1 // flags: penalties and biases
#define VKS_CONTROL_PARKED 2 // not a sequence: nothing is sampled

// What is known of a block of the vocabulary.
#define VKS_SAMPLE_BLOCK 2048
#define VKS_SAMPLE_RAW_MAX 0   // the largest logit
#define VKS_SAMPLE_RAW_SUM 1   // sum of exp(logit - RAW_MAX)
#define VKS_SAMPLE_MAX 2       // the largest logit after penalties and biases
#define VKS_SAMPLE_FIRST 3     // the lowest id that has it
#define VKS_SAMPLE_BLOCK_SIZE 4

// Small ConvS5 models with random weights, written to a folder as flax checkpoints are, in safetensors; and what they
// compute, from the definitions, by the operators' twins.
#ifndef TINY_CONVS5_H
#define TINY_CONVS5_H

#include <stdbool.h>
#include <stdint.h>

typedef struct tiny_convs5 {
    uint32_t height, width, n_channel;           // of a frame; of two depths, so that latent frames have half the sides
    uint32_t n_model, n_state, n_layer, n_block; // n_state: stored, P
    uint32_t kernel_b, kernel_c, kernel_d;
    const char *cd; // C_D_config
    bool squeeze, clip_eigs, prenorm, use_actions, no_tanh;
    const char *more_keys; // put into config.json at the top, such as "\"a\": 1, "; or NULL
    const char *leave_out; // a tensor that is not written, or NULL
} tiny_convs5;

tiny_convs5 tiny_convs5_default(void);

// Write config.json and model.safetensors. False after printing why.
bool tiny_convs5_write(const tiny_convs5 *tiny, const char *folder);

// Frames [n, T, c, h, w] and actions [n, T] (read with use_actions only) to next, like frames, and the last states
// [L, n, h / 2, w / 2, P, 2]: both to be freed.
void tiny_convs5_run(const tiny_convs5 *tiny, const float *frames, const float *actions, uint32_t n, uint32_t n_time,
                     float **next, float **states);

#endif

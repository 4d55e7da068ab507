// Small S5 and LRU models with random weights, written to a folder as flax checkpoints are, in safetensors.
#ifndef TINY_S5_H
#define TINY_S5_H

#include "tests/ref/ref_s5_model.h"

typedef struct tiny_s5 {
    ref_s5_shape shape;    // the truth; config.json says the same
    vkssm_dtype dtype;     // of all tensors
    const char *leave_out; // a tensor that is not written, or NULL
    const char *misshape;  // a tensor that is written with its values in one dimension more, or NULL
    const char *more_keys; // put into config.json at the top, such as "\"a\": 1, "; they replace those of the same
                           // name. Or NULL
} tiny_s5;

// S5 as the original code's command line has it: half_glu1, prenorm, batch norm, conjugate pairs, ZOH, pooling; 3
// inputs, H 10, P 7, 2 layers, 5 classes.
tiny_s5 tiny_s5_default(void);

// Write config.json and model.safetensors. False after printing why.
bool tiny_s5_write(const tiny_s5 *tiny, const char *folder);

#endif

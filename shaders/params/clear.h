// clear: words become 0.
#include "types.h"
VKS_PARAMS(vks_clear_params) {
    vks_address words; // [n_word] u32
    vks_uint n_word;
} VKS_PARAMS_END(vks_clear_params)

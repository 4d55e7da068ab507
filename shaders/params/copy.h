// copy: y[i] = x[i]
#include "types.h"
VKS_PARAMS(vks_copy_params) {
    vks_address x, y; // [n] of 16 bytes each
    vks_uint n;
} VKS_PARAMS_END(vks_copy_params)

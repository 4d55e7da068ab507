// sum_parts: Y[m, n] = sum over z of PARTS[z, m, n] (+ bias[n]) (+ Y[m, n])
#include "types.h"
VKS_PARAMS(vks_sum_parts_params) {
    vks_address parts; // [Z, M, N] f32, rows of part_stride
    vks_address bias;  // [N] f32, or 0
    vks_address y;     // [M, N] Y_TYPE
    vks_uint n_row, n_out;          // M, N
    vks_uint part_stride, y_stride; // elements between rows; part_stride a multiple of 4
} VKS_PARAMS_END(vks_sum_parts_params)

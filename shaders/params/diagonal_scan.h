// diagonal_scan: x[t] = a x[t-1] + b[t], complex, a constant in time
#include "types.h"
VKS_PARAMS(vks_diagonal_scan_params) {
    vks_address a, b, state, x;
    vks_uint n_time, n_state;
    vks_uint b_stride, x_stride, state_stride;
    vks_uint reverse, carried;
} VKS_PARAMS_END(vks_diagonal_scan_params)

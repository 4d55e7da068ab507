// activation: y = act(x + d skip) sigmoid(gate), or y += that
#include "types.h"
#include "activation_codes.h"
VKS_PARAMS(vks_activation_params) {
    vks_address x;    // [T, D] X_TYPE
    vks_address d;    // [D] f32, with SKIP
    vks_address skip; // [T, D] SKIP_TYPE, with SKIP
    vks_address gate; // [T / gate_span, D] X_TYPE, with GATE
    vks_address y;    // [T, D] Y_TYPE
    vks_uint x_stride, skip_stride, gate_stride, y_stride; // elements between rows
    vks_uint n_row, n_channel;
    vks_uint gate_span; // neighbouring rows that share a row of the gate
} VKS_PARAMS_END(vks_activation_params)

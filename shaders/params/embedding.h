// embedding: y[t] = table[ids[index[t]]]
#include "types.h"
VKS_PARAMS(vks_embedding_params) {
    vks_address ids;    // [n] i32, ids_stride words apart
    vks_address index;  // [T] u32, or 0: ids[t]
    vks_address table;  // [V, D] TABLE_TYPE, rows of table_stride elements (words for block types)
    vks_address y;      // [T, D] f32, rows of y_stride
    vks_uint n_row;     // T
    vks_uint n_channel; // D
    vks_uint n_vocab;   // V
    vks_uint ids_stride;
    vks_uint table_stride;
    vks_uint y_stride;
} VKS_PARAMS_END(vks_embedding_params)

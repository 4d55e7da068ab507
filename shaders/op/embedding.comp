// embedding: y[t, d] = table[ids[index[t]], d]
// Push      shaders/params/embedding.h; shapes and types stand there
// Mapping   x: one invocation per 2 channels; y: one row t per workgroup
// Constants 0 WG_SIZE  1 TABLE_TYPE
// Needs     nothing optional
// Numerics  exact: a conversion to f32. An id outside [0, V) gives a row of zeros
// Twin      tests/ref/ref_embedding.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/embedding.h"
#include "include/io.glsl"
#include "include/weights.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint TABLE_TYPE = VKS_TYPE_F32;

void main() {
    uint d = 2 * gl_GlobalInvocationID.x, t = gl_WorkGroupID.y;
    if (d >= params.n_channel) return;
    uint place = is_null(params.index) ? t : Words(params.index).at[t];
    uint id = Words(params.ids).at[place * params.ids_stride];
    vec2 value = vec2(0);
    bool both = d + 1 < params.n_channel;
    if (id < params.n_vocab) {
        if (is_block_type(TABLE_TYPE)) {
            uint row = weight_row(id, params.table_stride);
            vec4 four = load_weights4(params.table, TABLE_TYPE, row, d & ~3u, params.n_channel);
            value = (d & 2u) == 0 ? four.xy : four.zw;
        } else {
            uint i = id * params.table_stride + d;
            value.x = load1(params.table, TABLE_TYPE, i);
            if (both) value.y = load1(params.table, TABLE_TYPE, i + 1);
        }
    }
    store2(params.y, VKS_TYPE_F32, t * params.y_stride + d, value, both);
}

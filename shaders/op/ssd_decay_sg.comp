// ssd_decay_sg: per chunk of 64 tokens and head  dt = clamp(softplus(dt + bias), dt_min, dt_max),  S[i] = sum over j <= i of
//               dt[j] A log2(e), and what makes weights of them   (Dao and Gu 2024, section 6; the decays of steps 1 and 3)
// Push      shaders/params/ssd.h; shapes and types stand there; decays as in include/ssd_chain.glsl
// Mapping   a subgroup per head, several neighbouring ones a workgroup (x); y: chunk
// Constants 0 WG_SIZE, then include/ssd.glsl, 8 LANES: the subgroup's size, a power of two from 8
// Needs     subgroup arithmetic; serves the chained form, whose other variant is ssd_decay and what follows it
// Numerics  f32, prefix sums as the device makes them
// Twin      tests/ref/ref_ssd.c
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "params/ssd.h"
#include "include/io.glsl"
#include "include/math.glsl"
#include "include/ssd.glsl"
#include "include/ssd_chain.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 8) const uint LANES = 32;

const uint PARTS = LANES < 64 ? 64 / LANES : 1;

void main() {
    uint h = gl_WorkGroupID.x * gl_NumSubgroups + gl_SubgroupID, chunk = gl_WorkGroupID.y;
    chunk_rows rows = rows_of_chunk(chunk);
    if (h >= H || rows.count == 0) return;
    float a = Floats(params.heads).at[h] * 1.44269504, bias = Floats(params.heads).at[H + h];
    float raw[PARTS], dt[PARTS], sum[PARTS], total = 0.0, largest = 9.1e-13;
    [[unroll]] for (uint j = 0; j < PARTS; j++)
        raw[j] = load1(params.dt, X_TYPE, token_row(rows, j * LANES + gl_SubgroupInvocationID) * params.dt_stride + h);
    [[unroll]] for (uint j = 0; j < PARTS; j++) {
        bool inside = j * LANES + gl_SubgroupInvocationID < rows.count;
        dt[j] = inside ? clamp(softplus(raw[j] + bias), params.dt_min, params.dt_max) : 0.0;
        sum[j] = total + subgroupInclusiveAdd(dt[j] * a);
        total = subgroupBroadcast(sum[j], LANES - 1);
        largest = max(largest, subgroupMax(dt[j]));
    }
    uint unit = floatBitsToUint(largest) & 0x7f800000u, at = decays_at(chunk, h);
    float per_unit = uintBitsToFloat(0x7f000000u - unit);
    Floats decays = Floats(params.decays);
    [[unroll]] for (uint j = 0; j < PARTS; j++) {
        uint i = j * LANES + gl_SubgroupInvocationID;
        float end_of_8 = subgroupShuffle(sum[j], gl_SubgroupInvocationID | 7);
        if (i >= 64) break;
        decays.at[at + AT_SUM + i] = sum[j];
        decays.at[at + AT_DT + i] = dt[j];
        decays.at[at + AT_WEIGHT + i] = dt[j] * exp2(min(end_of_8 - sum[j], 0.0));
        decays.at[at + AT_TO_END + i] = dt[j] * per_unit * exp2(min(total - sum[j], 0.0));
    }
    if (gl_SubgroupInvocationID == 0) decays.at[at + AT_UNIT] = uintBitsToFloat(unit);
}

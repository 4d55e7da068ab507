// SUMS sums over a workgroup of WG_SIZE invocations: add_up for each (all invocations call), a barrier, then total by any.
// With SUBGROUP the subgroups add up first; without it a tree in shared memory does everything.
#ifdef SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
shared float parts[SUMS * (WG_SIZE / 4)]; // subgroups have at least 4 invocations

void add_up(uint i, float part) {
    part = subgroupAdd(part);
    if (subgroupElect()) parts[i * gl_NumSubgroups + gl_SubgroupID] = part;
}

float total(uint i) {
    float sum = 0.0;
    for (uint s = 0; s < gl_NumSubgroups; s++) sum += parts[i * gl_NumSubgroups + s];
    return sum;
}
#else
#include "include/reduce.glsl"
shared float totals[SUMS];

void add_up(uint i, float part) {
    part = workgroup_add(part);
    if (gl_LocalInvocationIndex == 0) totals[i] = part;
}

float total(uint i) {
    return totals[i];
}
#endif

// Sums and maxima over a workgroup of WG_SIZE invocations (one dimension). With SUBGROUP the subgroups reduce first;
// without it a tree in shared memory does everything. Every invocation gets the same result, bit for bit, and must call.
#ifdef SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
// ONE_SUBGROUP: the workgroup is a single subgroup, so that no barrier is needed (specialization constant of the shader).
#else
const bool ONE_SUBGROUP = false;
#endif

shared float reduce_scratch[WG_SIZE];

float reduce_add_tree(float value) {
    uint i = gl_LocalInvocationIndex;
    reduce_scratch[i] = value;
    barrier();
    for (uint width = WG_SIZE / 2; width > 0; width /= 2) {
        if (i < width) reduce_scratch[i] += reduce_scratch[i + width];
        barrier();
    }
    float sum = reduce_scratch[0];
    barrier(); // before the next call writes
    return sum;
}

float reduce_max_tree(float value) {
    uint i = gl_LocalInvocationIndex;
    reduce_scratch[i] = value;
    barrier();
    for (uint width = WG_SIZE / 2; width > 0; width /= 2) {
        if (i < width) reduce_scratch[i] = max(reduce_scratch[i], reduce_scratch[i + width]);
        barrier();
    }
    float largest = reduce_scratch[0];
    barrier();
    return largest;
}

float workgroup_add(float value) {
#ifdef SUBGROUP
    value = subgroupAdd(value);
    if (ONE_SUBGROUP) return value;
    if (subgroupElect()) reduce_scratch[gl_SubgroupID] = value;
    barrier();
    float sum = 0.0;
    for (uint i = 0; i < gl_NumSubgroups; i++) sum += reduce_scratch[i];
    barrier();
    return sum;
#else
    return reduce_add_tree(value);
#endif
}

float workgroup_max(float value) {
#ifdef SUBGROUP
    value = subgroupMax(value);
    if (ONE_SUBGROUP) return value;
    if (subgroupElect()) reduce_scratch[gl_SubgroupID] = value;
    barrier();
    float largest = reduce_scratch[0];
    for (uint i = 1; i < gl_NumSubgroups; i++) largest = max(largest, reduce_scratch[i]);
    barrier();
    return largest;
#else
    return reduce_max_tree(value);
#endif
}

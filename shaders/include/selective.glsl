// What the kernels of the selective scan share: sizes, sequences, and the exponential.
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint X_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 3) const uint D = 64;
layout(constant_id = 4) const uint N = 16;
layout(constant_id = 5) const uint G = 1;
layout(constant_id = 6) const uint FLAGS = 0;

const bool GATE = (FLAGS & VKS_SELECTIVE_GATE) != 0, REVERSE = (FLAGS & VKS_SELECTIVE_REVERSE) != 0;
const bool PACKED = (FLAGS & VKS_SELECTIVE_PACKED) != 0, ADD = (FLAGS & VKS_SELECTIVE_ADD) != 0;
const float LOG2_E = 1.44269504088896341;

// ln(1 + exp(x)) = max(x, 0) + ln(1 + u), u = exp(-|x|): u times a polynomial of degree 8, fitted to ln(1 + u) / u on [0, 1]
// with the least relative error, 3.1e-8. (softplus of math.glsl divides, which costs GPUs as much as all the rest.)
float time_step(float x) {
    float u = exp(-abs(x)), p = 0.00523268791;
    p = fma(p, u, -0.0295052133);
    p = fma(p, u, 0.0782259104);
    p = fma(p, u, -0.136632423);
    p = fma(p, u, 0.191060051);
    p = fma(p, u, -0.248429818);
    p = fma(p, u, 0.333190968);
    p = fma(p, u, -0.499994931);
    p = fma(p, u, 0.99999997);
    return fma(p, u, max(x, 0.0));
}

uint slot_of(uint sequence) {
    return is_null(params.slots) ? sequence : Words(params.slots).at[sequence];
}

// Elements i and i+1, i even; `both` false: the second one does not count.
vec2 load2(uvec2 address, uint type, uint i, bool both) {
    if (type == VKS_TYPE_F32) return vec2(Floats(address).at[i], Floats(address).at[both ? i + 1 : i]);
    return unpack_pair(type, Words(address).at[i >> 1]);
}

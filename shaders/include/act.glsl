// The activations by their codes (params/activation.h); the code is a specialization constant, so that branches fold away.
// Needs gelu.glsl and math.glsl.

// tanh by exp, whose precision Vulkan states: right to a few roundings of 1.
float tanh_exp(float x) {
    float e = exp(-2.0 * abs(x));
    float y = (1.0 - e) / (1.0 + e);
    return x < 0.0 ? -y : y;
}

// x, or exp(x) - 1 below 0 (Clevert et al. 2016), right to a few roundings of 1.
float elu(float x) {
    return x > 0.0 ? x : exp(x) - 1.0;
}

float activate(uint act, float x) {
    if (act == VKS_ACT_CODE_GELU_TANH) return gelu_tanh(x);
    if (act == VKS_ACT_CODE_GELU_ERF) return gelu_erf(x);
    if (act == VKS_ACT_CODE_ELU) return elu(x);
    if (act == VKS_ACT_CODE_TANH) return tanh_exp(x);
    if (act == VKS_ACT_CODE_RELU) return max(x, 0.0);
    return x;
}

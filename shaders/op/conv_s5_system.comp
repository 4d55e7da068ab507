// conv_s5_system: a = exp(Lambda dt), b = (a - 1) / Lambda B, c = 2 Re C and -2 Im C in turns, dt = exp(log_step): zero-order
//           hold (Smith, Warrington and Linderman 2023, section 3.2), and the real part taken by the product with C
// Push      shaders/params/conv_s5_system.h; shapes and types stand there
// Mapping   an invocation takes two neighbouring elements of a row of w: of B those of two channels, for the real and for the
//           imaginary part, of C those of a state. Neighbours take neighbouring elements
// Constants 0 WG_SIZE  1 W_TYPE  2 FLAGS (VKS_SYSTEM_*)
// Needs     nothing optional
// Numerics  float32; elementary functions of include/elementary.glsl, no cancellation where Lambda dt is near 0
// Twin      tests/ref/ref_conv_s5_system.c
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/conv_s5_system.h"
#include "include/io.glsl"
#include "include/elementary.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 64;
layout(constant_id = 1) const uint W_TYPE = VKS_TYPE_F32;
layout(constant_id = 2) const uint FLAGS = 0;

vec2 times(vec2 x, vec2 y) {
    return vec2(x.x * y.x - x.y * y.y, x.x * y.y + x.y * y.x);
}

struct Discrete {
    vec2 a, factor; // exp(Lambda dt), (a - 1) / Lambda
};

Discrete discretise(uint p) {
    float re = Floats(params.lambda).at[2 * p], im = Floats(params.lambda).at[2 * p + 1];
    float dt = exponential(Floats(params.log_step).at[p]).value;
    if ((FLAGS & VKS_SYSTEM_CLIP) != 0) re = min(re, -1e-4);
    vec2 z = dt * vec2(re, im), half_turn = sine_cosine(0.5 * z.y);
    Exponential size = exponential(z.x);
    float below_one = -2.0 * half_turn.x * half_turn.x, sine = 2.0 * half_turn.x * half_turn.y; // cos - 1, sin
    vec2 grown = vec2(size.minus_one * (1.0 + below_one) + below_one, size.value * sine);     // a - 1
    Discrete d;
    d.a = size.value * vec2(1.0 + below_one, sine);
    float square = dot(z, z);
    if (square < 1e-6) // 1 + z / 2 + z^2 / 6: what follows is below 10^-10
        d.factor = dt * (vec2(1.0, 0.0) + times(z, vec2(0.5, 0.0) + z / 6.0));
    else
        d.factor = dt * times(grown, vec2(z.x, -z.y)) / square;
    return d;
}

vec2 kernel_at(uint i) {
    return vec2(Floats(params.kernel).at[2 * i], Floats(params.kernel).at[2 * i + 1]);
}

void main() {
    uint k = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * WG_SIZE + gl_LocalInvocationIndex;
    if (k >= params.n) return;
    if ((FLAGS & VKS_SYSTEM_OF_C) != 0) {
        uint p = k % params.n_state, tap = k / params.n_state % params.n_tap, u = k / params.n_state / params.n_tap;
        vec2 c = kernel_at((tap * params.n_state + p) * params.n_channel + u);
        store2(params.w, W_TYPE, u * params.w_stride + (tap * params.n_state + p) * 2, vec2(2.0, -2.0) * c, true);
        return;
    }
    uint padded = (params.n_channel + 7) & ~7u, c = k % (padded / 2) * 2, tap = k / (padded / 2) % params.n_tap;
    uint p = k / (padded / 2) / params.n_tap, first = p * params.n_channel;
    Discrete d = discretise(p);
    vec2 low = vec2(0.0), high = vec2(0.0); // zero from U on
    if (c < params.n_channel) low = times(d.factor, kernel_at((first + c) * params.n_tap + tap));
    if (c + 1 < params.n_channel) high = times(d.factor, kernel_at((first + c + 1) * params.n_tap + tap));
    uint at = 2 * p * params.w_stride + tap * padded + c;
    store2(params.w, W_TYPE, at, vec2(low.x, high.x), true);
    store2(params.w, W_TYPE, at + params.w_stride, vec2(low.y, high.y), true);
    if (tap == 0 && c == 0) store2(params.a, VKS_TYPE_F32, 2 * p, d.a, true);
}

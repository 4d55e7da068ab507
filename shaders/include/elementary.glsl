// exp, expm1, sin and cos to some two roundings of float32: the built-in ones may be off by 2^-11 (sin and cos) or grow less
// exact with their argument. Reductions of the argument after Cody and Waite (1980), chapters 6 and 8: constants whose
// product with a small whole number is exact.

struct Exponential {
    float value, minus_one; // e^x, e^x - 1
};

// x at most 88; below -87 it is 0.
Exponential exponential(float x) {
    precise float n = roundEven(max(x, -87.0) * 1.44269504089);
    precise float r = (max(x, -87.0) - n * 0.693359375) + n * 2.12194440e-4;
    // e^r - 1 for |r| <= ln(2) / 2 by its series; the first term left out is below 2^-27 of the sum.
    precise float tail = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0))));
    precise float grown = r + r * r * (0.5 + r * tail), value = x < -87.0 ? 0.0 : ldexp(1.0 + grown, int(n));
    return Exponential(value, n == 0.0 ? grown : value - 1.0);
}

// (sin x, cos x) for |x| up to some 10^4.
vec2 sine_cosine(float x) {
    precise float n = roundEven(x * 0.636619772368);
    precise float r = ((x - n * 1.5703125) - n * 4.837512969970703125e-4) - n * 7.549789954891882e-8, q = r * r;
    // Minimax polynomials on |r| <= pi / 4.
    precise float s = r + r * q * (-1.6666654611e-1 + q * (8.3321608736e-3 - q * 1.9515295891e-4));
    precise float c = 1.0 - 0.5 * q + q * q * (4.166664568298827e-2 + q * (-1.388731625493765e-3 + q * 2.443315711809948e-5));
    int quarter = int(n);
    vec2 turned = (quarter & 1) == 0 ? vec2(s, c) : vec2(c, s);
    return vec2((quarter & 2) == 0 ? turned.x : -turned.x, ((quarter + 1) & 2) == 0 ? turned.y : -turned.y);
}

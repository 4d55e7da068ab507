// The two forms of GELU (Hendrycks and Gimpel 2016).

// 0.5 x (1 + tanh(u)) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3): no cancellation, and no tanh, whose
// precision Vulkan leaves open. Where x^3 overflows, exp gives 0 or infinity, and the quotient its right limit.
float gelu_tanh(float x) {
    return x / (1.0 + exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)));
}

// The lower tail of the normal distribution at -z, z >= 0. Up to 1 a polynomial for the middle part (relative error 1e-9),
// beyond it exp(-z^2 / 2) / (z + 2) times a polynomial in 1 / (z + 2) (relative error 6e-8 up to z = 15, where the tail is
// below 2^-126). Both are Chebyshev interpolations of our own.
float normal_tail(float z) {
    if (z < 1.0) {
        float q = z * z;
        float middle = 0.39894228 + q * (-0.06649036 + q * (0.009973328 +
                       q * (-0.001186344 + q * (0.0001135023 + q * -7.6605382e-06))));
        return 0.5 - z * middle;
    }
    float t = 1.0 / (z + 2.0);
    float p = 0.39894494 + t * (0.79760202 + t * (1.20774722 + t * (0.58431372 + t * (0.37290644 +
              t * (-22.43344783 + t * (48.90205347 + t * -33.41496584))))));
    return exp(-0.5 * z * z) * t * p;
}

// x times the normal distribution's cumulative probability at x.
float gelu_erf(float x) {
    float tail = normal_tail(abs(x));
    return x * (x < 0.0 ? tail : 1.0 - tail);
}

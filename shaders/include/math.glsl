// Elementary functions as the models define them.

// 1 / (1 + exp(-x)); exp overflows to infinity for very negative x, which gives the right 0.
float sigmoid(float x) {
    return 1.0 / (1.0 + exp(-x));
}

// x sigmoid(x). For x below -88 exp(-x) is infinite: x / inf = -0, the right limit.
float silu(float x) {
    return x / (1.0 + exp(-x));
}

// ln(1 + u) for u in [0, 1]: 2 artanh(u / (2 + u)) by its series, whose argument is at most 1/3, so that seven terms leave
// less than 1e-8 of relative error. (The built-in log may be off by 2^-21 near 1, which small dt cannot bear.)
float log1p_unit(float u) {
    float s = u / (2.0 + u), q = s * s;
    float tail = q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q / 13.0)))));
    return 2.0 * (s + s * tail);
}

// ln(1 + exp(x)) without overflow and without cancellation. (PyTorch and the Mamba kernels return x above 20; there the
// difference is below 2.1e-9, under half an ulp of x.)
float softplus(float x) {
    return max(x, 0.0) + log1p_unit(exp(-abs(x)));
}

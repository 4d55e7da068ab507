#include "ref.h"

#include <math.h>

double ref_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

double ref_gelu_tanh(double x) {
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

double ref_gelu_erf(double x) {
    return 0.5 * x * erfc(-x / sqrt(2.0));
}

void ref_activation(const ref_activation_args *args) {
    for (size_t i = 0; i < args->n_row * args->n_channel; i++) {
        double v = args->x[i], size = fabs(v), skip = 0;
        if (args->skip) skip = (double)args->d[i % args->n_channel] * args->skip[i];
        v += skip;
        size += fabs(skip);
        // |gelu(v)| is at most |v|, and its slope at most 1.13.
        double y = args->act == REF_ACT_GELU_TANH  ? ref_gelu_tanh(v)
                   : args->act == REF_ACT_GELU_ERF ? ref_gelu_erf(v)
                                                   : v;
        double gate = args->gate ? ref_sigmoid(args->gate[i]) : 1;
        args->y[i] = y * gate + (args->added ? args->added[i] : 0);
        args->scale[i] = size * gate + (args->added ? fabs(args->added[i]) : 0);
    }
}

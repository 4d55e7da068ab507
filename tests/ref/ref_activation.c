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

double ref_act_of(ref_act act, double x) {
    switch (act) {
    case REF_ACT_GELU_TANH:
        return ref_gelu_tanh(x);
    case REF_ACT_GELU_ERF:
        return ref_gelu_erf(x);
    case REF_ACT_ELU:
        return x > 0 ? x : expm1(x);
    case REF_ACT_TANH:
        return tanh(x);
    case REF_ACT_RELU:
        return x > 0 ? x : 0;
    default:
        return x;
    }
}

// An exponential and a sum, whose roundings are relative to 1.
double ref_act_scale(ref_act act) {
    return act == REF_ACT_ELU || act == REF_ACT_TANH ? 1 : 0;
}

void ref_activation(const ref_activation_args *args) {
    for (size_t i = 0; i < args->n_row * args->n_channel; i++) {
        double v = args->x[i], size = fabs(v), skip = 0;
        if (args->skip) skip = (double)args->d[i % args->n_channel] * args->skip[i];
        v += skip;
        size += fabs(skip);
        // |gelu(v)| is at most |v|, and its slope at most 1.13; the others' slopes are at most 1.
        double y = ref_act_of(args->act, v);
        size += ref_act_scale(args->act);
        size_t span = args->gate_span ? args->gate_span : 1, row = i / args->n_channel / span;
        double gate = args->gate ? ref_sigmoid(args->gate[row * args->n_channel + i % args->n_channel]) : 1;
        args->y[i] = y * gate + (args->added ? args->added[i] : 0);
        args->scale[i] = size * gate + (args->added ? fabs(args->added[i]) : 0);
    }
}

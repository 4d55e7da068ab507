#include "ref.h"

#include <math.h>

static void norm_row(const ref_layer_norm_args *args, const float *x, double *y, double *scale) {
    double mean = 0, size = 0, variance = 0;
    for (size_t i = 0; i < args->n_channel; i++) {
        mean += x[i];
        size += fabs(x[i]);
    }
    mean /= (double)args->n_channel;
    size /= (double)args->n_channel;
    for (size_t i = 0; i < args->n_channel; i++)
        variance += (x[i] - mean) * (x[i] - mean);
    variance /= (double)args->n_channel;
    double factor = 1 / sqrt(variance + args->eps);
    if (args->affine) mean = size = 0, factor = 1;
    for (size_t i = 0; i < args->n_channel; i++) {
        double w = args->weight[i] * factor;
        y[i] = w * (x[i] - mean) + args->bias[i];
        scale[i] = fabs(w) * (fabs(x[i]) + size) + fabs(args->bias[i]); // size: what the mean's rounding is relative to
    }
}

void ref_layer_norm(const ref_layer_norm_args *args) {
    for (size_t row = 0; row < args->n_row; row++) {
        size_t at = row * args->n_channel;
        norm_row(args, args->x + at, args->y + at, args->scale + at);
    }
}

#include "ref.h"

#include <math.h>

double ref_silu(double x) {
    return x / (1 + exp(-x));
}

static double input_value(const ref_rms_norm_args *args, size_t i) {
    double u = args->x[i];
    if (args->residual) u += args->residual[i];
    if (args->gate && !args->gate_after) u *= ref_silu(args->gate[i]);
    return u;
}

void ref_rms_norm(const ref_rms_norm_args *args) {
    size_t n_group = args->n_group ? args->n_group : 1, size = args->n_channel / n_group;
    for (size_t first = 0; first < args->n_row * args->n_channel; first += size) {
        double squares = 0;
        for (size_t i = first; i < first + size; i++)
            squares += input_value(args, i) * input_value(args, i);
        double scale = 1 / sqrt(squares / (double)size + args->eps);
        for (size_t i = first; i < first + size; i++) {
            double y = input_value(args, i);
            if (args->sum) args->sum[i] = y;
            double magnitude = fabs(y);
            // A sum that cancels is off by its own rounding only: it is stored before it is used.
            double factor = args->weight ? scale * args->weight[i % args->n_channel] : 1;
            if (args->gate && args->gate_after) factor *= ref_silu(args->gate[i]);
            args->y[i] = y * factor;
            args->scale[i] = magnitude * fabs(factor);
        }
    }
}

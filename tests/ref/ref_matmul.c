#include "ref.h"

#include <math.h>

// 1 / sqrt(mean of a row's squares + eps) (Zhang and Sennrich 2019).
static double row_factor(const ref_matmul_args *args, size_t m) {
    double sum = 0;
    for (size_t k = 0; k < args->n_in; k++)
        sum += (double)args->x[m * args->n_in + k] * args->x[m * args->n_in + k];
    return 1 / sqrt(sum / (double)args->n_in + args->norm_eps);
}

void ref_matmul(const ref_matmul_args *args) {
    for (size_t m = 0; m < args->n_row; m++) {
        double factor = args->norm ? row_factor(args, m) : 1;
        for (size_t n = 0; n < args->n_out; n++) {
            double sum = args->bias ? args->bias[n] : 0, scale = fabs(sum);
            if (args->added) {
                sum += args->added[m * args->n_out + n];
                scale += fabs((double)args->added[m * args->n_out + n]);
            }
            for (size_t k = 0; k < args->n_in; k++) {
                double term = (double)args->x[m * args->n_in + k] * args->w[n * args->n_in + k];
                if (args->norm) term *= factor * args->norm[k];
                sum += term;
                scale += fabs(term);
            }
            args->y[m * args->n_out + n] = sum;
            args->scale[m * args->n_out + n] = scale;
        }
    }
}

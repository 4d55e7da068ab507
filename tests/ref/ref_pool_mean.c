#include "ref.h"

#include <math.h>

void ref_pool_mean(const ref_pool_mean_args *args) {
    for (size_t s = 0; s < args->n_sequence; s++)
        for (size_t c = 0; c < args->n_channel; c++) {
            double sum = 0, size = 0;
            for (size_t t = 0; t < args->n_time; t++) {
                double x = args->x[(s * args->n_time + t) * args->n_channel + c];
                sum += x;
                size += fabs(x);
            }
            args->y[s * args->n_channel + c] = sum / (double)args->n_time;
            args->scale[s * args->n_channel + c] = size / (double)args->n_time;
        }
}

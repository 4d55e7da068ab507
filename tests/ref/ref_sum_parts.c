#include "ref.h"

#include <math.h>

void ref_sum_parts(const ref_sum_parts_args *args) {
    size_t n = args->n_row * args->n_out;
    for (size_t i = 0; i < n; i++) {
        double sum = args->bias ? args->bias[i % args->n_out] : 0, scale = fabs(sum);
        for (size_t z = 0; z < args->n_part; z++) {
            sum += args->parts[z * n + i];
            scale += fabs((double)args->parts[z * n + i]);
        }
        if (args->added) {
            sum += args->added[i];
            scale += fabs((double)args->added[i]);
        }
        args->y[i] = sum;
        args->scale[i] = scale;
    }
}

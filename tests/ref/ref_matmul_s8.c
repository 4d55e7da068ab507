#include "ref.h"

void ref_matmul_s8(const ref_matmul_s8_args *args) {
    for (size_t m = 0; m < args->n_row; m++)
        for (size_t n = 0; n < args->n_out; n++) {
            int64_t sum = 0;
            for (size_t k = 0; k < args->n_in; k++)
                sum += (int64_t)args->x[m * args->x_stride + k] * args->w[n * args->w_stride + k];
            double factor = args->x_scale ? (double)args->x_scale[m] : 1;
            if (args->w_scale) factor *= (double)args->w_scale[n];
            args->y[m * args->n_out + n] = factor * (double)sum;
        }
}

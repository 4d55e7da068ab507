#include "ref.h"

#include <math.h>

void ref_log_softmax(const ref_log_softmax_args *args) {
    for (size_t row = 0; row < args->n_row; row++) {
        const float *x = args->x + row * args->n_channel;
        double largest = x[0], sum = 0;
        for (size_t i = 0; i < args->n_channel; i++)
            if (x[i] > largest) largest = x[i];
        for (size_t i = 0; i < args->n_channel; i++)
            sum += exp(x[i] - largest);
        for (size_t i = 0; i < args->n_channel; i++) {
            size_t at = row * args->n_channel + i;
            args->y[at] = x[i] - largest - log(sum);
            args->scale[at] = fabs(x[i] - largest) + log(sum) + 1; // 1: of the sum, whose relative error log keeps
        }
    }
}

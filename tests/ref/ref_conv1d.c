#include "ref.h"

#include <math.h>

// Row `row` of (state, x) of a sequence, counted from the state's first row.
static float input_value(const ref_conv1d_args *args, size_t sequence, size_t row, size_t channel) {
    size_t n_past = args->n_tap - 1;
    if (row < n_past) return args->state[(sequence * n_past + row) * args->n_channel + channel];
    return args->x[(sequence * args->n_time + row - n_past) * args->n_channel + channel];
}

void ref_conv1d(const ref_conv1d_args *args) {
    size_t n_past = args->n_tap - 1;
    for (size_t s = 0; s < args->n_sequence; s++) {
        for (size_t t = 0; t < args->n_time; t++)
            for (size_t c = 0; c < args->n_channel; c++) {
                double sum = args->bias ? args->bias[c] : 0, scale = fabs(sum);
                for (size_t j = 0; j < args->n_tap; j++) {
                    double term = (double)args->w[j * args->n_channel + c] * input_value(args, s, t + j, c);
                    sum += term;
                    scale += fabs(term);
                }
                size_t at = (s * args->n_time + t) * args->n_channel + c;
                args->y[at] = args->silu ? ref_silu(sum) : sum;
                args->scale[at] = scale; // the slope of SiLU is at most 1.1
            }
        // Rising order: row n_time + j lies after row j.
        for (size_t j = 0; j < n_past; j++)
            for (size_t c = 0; c < args->n_channel; c++)
                args->state[(s * n_past + j) * args->n_channel + c] = input_value(args, s, args->n_time + j, c);
    }
}

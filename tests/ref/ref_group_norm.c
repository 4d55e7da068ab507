#include "ref.h"

#include <math.h>

// Group g of image n.
static void norm_group(const ref_group_norm_args *args, size_t n, size_t g) {
    size_t n_own = args->n_channel / args->n_group, first = g * n_own, n_value = n_own * args->n_pixel;
    double mean = 0, size = 0, variance = 0;
    for (int pass = 0; pass < 3; pass++) {
        double factor = 1 / sqrt(variance / (double)n_value + args->eps);
        for (size_t p = 0; p < args->n_pixel; p++)
            for (size_t c = first; c < first + n_own; c++) {
                size_t at = (n * args->n_pixel + p) * args->n_channel + c;
                double x = args->x[at], w = args->weight[c] * factor;
                if (pass == 0) {
                    mean += x / (double)n_value;
                    size += fabs(x) / (double)n_value;
                } else if (pass == 1) {
                    variance += (x - mean) * (x - mean);
                } else {
                    args->y[at] = ref_act_of(args->act, w * (x - mean) + args->bias[c]);
                    args->scale[at] = fabs(w) * (fabs(x) + size) + fabs(args->bias[c]) + ref_act_scale(args->act);
                }
            }
    }
}

void ref_group_norm(const ref_group_norm_args *args) {
    for (size_t n = 0; n < args->n_image; n++)
        for (size_t g = 0; g < args->n_group; g++)
            norm_group(args, n, g);
}

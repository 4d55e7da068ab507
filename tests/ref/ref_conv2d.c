#include "ref.h"

#include <math.h>

static size_t zeros_before(size_t n_in, size_t n_out, size_t kernel, size_t stride) {
    size_t seen = (n_out - 1) * stride + kernel;
    return seen > n_in ? (seen - n_in) / 2 : 0;
}

// Output (n, i, j, m).
static void convolve(const ref_conv2d_args *args, size_t n, size_t i, size_t j, size_t m, size_t top, size_t left,
                     double *sum, double *size) {
    for (size_t a = 0; a < args->kernel_height; a++)
        for (size_t b = 0; b < args->kernel_width; b++) {
            size_t row = i * args->stride + a - top, column = j * args->stride + b - left; // above the frame: huge
            if (row >= args->height || column >= args->width) continue;
            const float *x = args->x + ((n * args->height + row) * args->width + column) * args->n_channel;
            const float *w = args->w + ((m * args->kernel_height + a) * args->kernel_width + b) * args->n_channel;
            for (size_t c = 0; c < args->n_channel; c++) {
                *sum += (double)x[c] * w[c];
                *size += fabs((double)x[c] * w[c]);
            }
        }
}

void ref_conv2d(const ref_conv2d_args *args) {
    size_t height = (args->height + args->stride - 1) / args->stride;
    size_t width = (args->width + args->stride - 1) / args->stride;
    size_t top = zeros_before(args->height, height, args->kernel_height, args->stride);
    size_t left = zeros_before(args->width, width, args->kernel_width, args->stride);
    for (size_t n = 0; n < args->n_image; n++)
        for (size_t i = 0; i < height; i++)
            for (size_t j = 0; j < width; j++)
                for (size_t m = 0; m < args->n_out; m++) {
                    size_t at = ((n * height + i) * width + j) * args->n_out + m, row = 0;
                    if (args->choice)
                        row = (size_t)(args->choice[n] < 0 ? (double)args->n_choice - 1 : args->choice[n]);
                    double bias = args->bias ? args->bias[row * args->n_out + m] : 0;
                    double added = args->added ? args->added[at] : 0, held = args->held ? args->held[at] : 0;
                    double sum = bias + added, size = fabs(bias) + fabs(added);
                    convolve(args, n, i, j, m, top, left, &sum, &size);
                    args->y[at] = ref_act_of(args->act, sum) + held;
                    args->scale[at] = size + ref_act_scale(args->act) + fabs(held);
                }
}

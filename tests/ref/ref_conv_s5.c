#include "ref.h"

#include <math.h>
#include <stdlib.h>

typedef struct number {
    double value, scale;
} number;

// Value `m` at pixel (i, j) of a frame convolved with w [., kernel, kernel, n_in].
static number convolve(const ref_conv_s5_args *args, const double *x, const double *scale, size_t n_in, const float *w,
                       size_t kernel, size_t i, size_t j, size_t m) {
    number sum = {0, 0};
    size_t pad = kernel / 2;
    for (size_t a = 0; a < kernel; a++)
        for (size_t b = 0; b < kernel; b++) {
            size_t row = i + a - pad, column = j + b - pad; // above the frame: huge
            if (row >= args->height || column >= args->width) continue;
            for (size_t c = 0; c < n_in; c++) {
                size_t at = (row * args->width + column) * n_in + c;
                double factor = w[((m * kernel + a) * kernel + b) * n_in + c];
                sum.value += factor * x[at];
                sum.scale += fabs(factor) * scale[at];
            }
        }
    return sum;
}

// One frame: the state moves on, and gives y.
static void step(const ref_conv_s5_args *args, size_t frame, bool reset, double *x, double *x_scale, double *u,
                 double *u_scale) {
    size_t n_pixel = args->height * args->width, n_in = args->n_channel, n_state = args->n_state;
    for (size_t k = 0; k < n_pixel * n_in; k++) {
        u[k] = args->u[frame * n_pixel * n_in + k];
        u_scale[k] = fabs(u[k]);
    }
    for (size_t q = 0; q < n_pixel; q++)
        for (size_t p = 0; p < n_state; p++) {
            size_t at = 2 * (q * n_state + p), i = q / args->width, j = q % args->width;
            number re = convolve(args, u, u_scale, n_in, args->b, args->kernel_b, i, j, 2 * p);
            number im = convolve(args, u, u_scale, n_in, args->b, args->kernel_b, i, j, 2 * p + 1);
            double a_re = reset ? 0 : args->a[2 * p], a_im = reset ? 0 : args->a[2 * p + 1];
            double was_re = x[at], was_im = x[at + 1], size = hypot(a_re, a_im) * fmax(x_scale[at], x_scale[at + 1]);
            x[at] = a_re * was_re - a_im * was_im + re.value;
            x[at + 1] = a_re * was_im + a_im * was_re + im.value;
            x_scale[at] = x_scale[at + 1] = size + fmax(re.scale, im.scale);
        }
    for (size_t q = 0; q < n_pixel; q++)
        for (size_t m = 0; m < n_in; m++) {
            number y =
                convolve(args, x, x_scale, 2 * n_state, args->c, args->kernel_c, q / args->width, q % args->width, m);
            args->y[(frame * n_pixel + q) * n_in + m] = y.value;
            args->scale[(frame * n_pixel + q) * n_in + m] = y.scale;
        }
}

void ref_conv_s5(const ref_conv_s5_args *args) {
    size_t n_pixel = args->height * args->width, n = 2 * n_pixel * args->n_state, n_u = n_pixel * args->n_channel;
    double *u = calloc(2 * n_u, sizeof *u);
    for (size_t s = 0; u && s < args->n_sequence; s++) {
        double *x = args->last + s * n, *scale = args->last_scale + s * n;
        for (size_t k = 0; k < n; k++) {
            x[k] = args->initial[s * n + k];
            scale[k] = fabs(x[k]);
        }
        for (size_t k = 0; k < args->n_time; k++) {
            size_t t = args->reverse ? args->n_time - 1 - k : k, frame = s * args->n_time + t;
            step(args, frame, args->resets && args->resets[frame], x, scale, u, u + n_u);
        }
    }
    free(u);
}

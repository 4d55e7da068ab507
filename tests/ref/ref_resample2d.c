#include "ref.h"

#include <math.h>

static double pixel(const ref_resample2d_args *args, size_t n, size_t i, size_t j, size_t c) {
    if (args->mode == REF_FROM_PLANES) return args->x[((n * args->n_channel + c) * args->height + i) * args->width + j];
    return args->x[((n * args->height + i) * args->width + j) * args->n_channel + c];
}

void ref_resample2d(const ref_resample2d_args *args) {
    bool average = args->mode == REF_AVERAGE, nearest = args->mode == REF_NEAREST;
    size_t h = average || nearest ? args->window_height : 1, w = average || nearest ? args->window_width : 1;
    size_t height = nearest ? args->height * h : args->height / h, width = nearest ? args->width * w : args->width / w;
    for (size_t n = 0; n < args->n_image; n++)
        for (size_t i = 0; i < height; i++)
            for (size_t j = 0; j < width; j++)
                for (size_t c = 0; c < args->n_channel; c++) {
                    size_t at = args->mode == REF_TO_PLANES ? ((n * args->n_channel + c) * height + i) * width + j
                                                            : ((n * height + i) * width + j) * args->n_channel + c;
                    double sum = 0, size = 0;
                    for (size_t a = 0; average && a < h * w; a++) {
                        double x = pixel(args, n, i * h + a / w, j * w + a % w, c) / (double)(h * w);
                        sum += x;
                        size += fabs(x);
                    }
                    if (!average) sum = pixel(args, n, nearest ? i / h : i, nearest ? j / w : j, c);
                    args->y[at] = sum;
                    args->scale[at] = average ? size : 0; // copies are exact
                }
}

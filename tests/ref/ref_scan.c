#include "ref.h"

#include <complex.h>
#include <math.h>

typedef struct channel_state {
    double complex h;
    double magnitude, bound, variance;
} channel_state;

static double complex number(const ref_scan_args *args, const float *values, size_t i) {
    if (!values) return 0;
    return args->is_complex ? CMPLX(values[2 * i], values[2 * i + 1]) : values[i];
}

// Part by part: C's product of complex numbers treats infinities in a way of its own.
static double complex product(double complex x, double complex y) {
    double real = creal(x) * creal(y) - cimag(x) * cimag(y), imaginary = creal(x) * cimag(y) + cimag(x) * creal(y);
    return CMPLX(real, imaginary);
}

static void store(const ref_scan_args *args, const channel_state *state, size_t i, double *h, double *bound,
                  double *spread) {
    for (size_t part = 0, n = args->is_complex ? 2 : 1; part < n; part++) {
        h[n * i + part] = part ? cimag(state->h) : creal(state->h);
        if (bound) bound[n * i + part] = state->bound;
        if (spread) spread[n * i + part] = sqrt(state->variance);
    }
}

// One channel of one sequence: times begin ... end-1 of batch entry `batch`.
static void scan(const ref_scan_args *args, size_t batch, size_t sequence, size_t begin, size_t end, size_t channel) {
    size_t at_state = sequence * args->n_channel + channel;
    channel_state s = {.h = number(args, args->initial, at_state)};
    s.magnitude = cabs(s.h);
    for (size_t step = 0; step < end - begin; step++) {
        size_t row = batch * args->n_time + (args->reverse ? end - 1 - step : begin + step);
        size_t at = row * args->n_channel + channel;
        double complex a = number(args, args->a, args->a_step ? at : batch * args->n_channel + channel);
        double complex b = number(args, args->b, at);
        if (args->resets && args->resets[row])
            s = (channel_state){.h = b, .magnitude = cabs(b)};
        else {
            double complex decayed = args->is_complex ? product(a, s.h) : creal(a) * creal(s.h);
            double size = cabs(a);
            s.h = CMPLX(creal(decayed) + creal(b), cimag(decayed) + cimag(b));
            s.magnitude = size * s.magnitude + cabs(b);
            s.bound = size * s.bound + s.magnitude;
            s.variance = size * size * s.variance + s.magnitude * s.magnitude;
        }
        store(args, &s, at, args->h, args->bound, args->spread);
    }
    store(args, &s, at_state, args->last, args->last_bound, args->last_spread);
}

void ref_scan(const ref_scan_args *args) {
    for (size_t s = 0; s < args->n_sequence; s++)
        for (size_t c = 0; c < args->n_channel; c++)
            if (args->offsets)
                scan(args, 0, s, (size_t)args->offsets[s], (size_t)args->offsets[s + 1], c);
            else
                scan(args, s, s, 0, args->n_time, c);
}

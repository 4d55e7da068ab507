#include "ref.h"

#include <math.h>

typedef struct number {
    double re, im;
} number;

typedef struct channel_state {
    number h;
    double magnitude, bound, variance;
} channel_state;

static number number_at(const ref_scan_args *args, const float *values, size_t i) {
    if (!values) return (number){0, 0};
    return args->is_complex ? (number){(double)values[2 * i], (double)values[2 * i + 1]}
                            : (number){(double)values[i], 0};
}

static double size_of(number x) {
    return hypot(x.re, x.im);
}

static number next(const ref_scan_args *args, number a, number h, number b) {
    if (!args->is_complex) return (number){a.re * h.re + b.re, 0};
    return (number){a.re * h.re - a.im * h.im + b.re, a.re * h.im + a.im * h.re + b.im};
}

static void store(const ref_scan_args *args, const channel_state *state, size_t i, double *h, double *bound,
                  double *spread) {
    for (size_t part = 0, n = args->is_complex ? 2 : 1; part < n; part++) {
        h[n * i + part] = part ? state->h.im : state->h.re;
        if (bound) bound[n * i + part] = state->bound;
        if (spread) spread[n * i + part] = sqrt(state->variance);
    }
}

// One channel of one sequence: times begin ... end-1 of batch entry `batch`.
static void scan(const ref_scan_args *args, size_t batch, size_t sequence, size_t begin, size_t end, size_t channel) {
    size_t at_state = sequence * args->n_channel + channel;
    channel_state s = {.h = number_at(args, args->initial, at_state)};
    s.magnitude = size_of(s.h);
    for (size_t step = 0; step < end - begin; step++) {
        size_t row = batch * args->n_time + (args->reverse ? end - 1 - step : begin + step);
        size_t at = row * args->n_channel + channel;
        number a = number_at(args, args->a, args->a_step ? at : batch * args->n_channel + channel);
        number b = number_at(args, args->b, at);
        if (args->resets && args->resets[row])
            s = (channel_state){.h = b, .magnitude = size_of(b)};
        else {
            double decay = size_of(a), terms = decay * size_of(s.h) + size_of(b);
            s.h = next(args, a, s.h, b);
            s.magnitude = decay * s.magnitude + size_of(b);
            s.bound = decay * s.bound + s.magnitude;
            s.variance = decay * decay * s.variance + terms * terms;
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

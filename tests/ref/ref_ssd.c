#include "ref.h"

#include <math.h>

// ln(1 + exp(x)), without overflow.
static double softplus(double x) {
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

// One token of one head of one sequence: the recurrence itself (Dao and Gu 2024, equation 2), on values and on
// magnitudes.
static void step(const ref_ssd_args *args, size_t s, size_t t, size_t h, double dt) {
    size_t g = h / (args->n_head / args->n_group), token = s * args->n_time + t;
    const float *b = args->b + (token * args->n_group + g) * args->n_state;
    const float *c = args->c + (token * args->n_group + g) * args->n_state;
    double decay = exp(dt * args->a[h]);
    for (size_t p = 0; p < args->n_width; p++) {
        size_t at = (token * args->n_head + h) * args->n_width + p;
        size_t at_state = ((s * args->n_head + h) * args->n_width + p) * args->n_state;
        double x = args->x[at], y = args->d[h] * x, scale = fabs(y), past = 0;
        for (size_t n = 0; n < args->n_state; n++) {
            double *state = &args->state[at_state + n], *magnitude = &args->state_scale[at_state + n];
            if (t == 0) *magnitude = fabs(*state);
            *state = decay * *state + dt * b[n] * x;
            args->state_past[at_state + n] = decay * *magnitude;
            *magnitude = decay * *magnitude + fabs(dt * b[n] * x);
            y += c[n] * *state;
            scale += fabs(c[n]) * *magnitude;
            past += fabs(c[n]) * args->state_past[at_state + n];
        }
        args->y[at] = y;
        args->scale[at] = scale;
        args->past[at] = past;
    }
}

void ref_ssd(ref_ssd_args *args) {
    args->largest_decay = 0;
    for (size_t s = 0; s < args->n_sequence; s++)
        for (size_t h = 0; h < args->n_head; h++) {
            double sum = 0;
            for (size_t t = 0; t < args->n_time; t++) {
                double dt = softplus((double)args->dt[(s * args->n_time + t) * args->n_head + h] + args->dt_bias[h]);
                dt = fmin(fmax(dt, args->dt_min), args->dt_max);
                if (args->chunk && t % args->chunk == 0) sum = 0;
                sum += fabs(dt * args->a[h]);
                if (sum > args->largest_decay) args->largest_decay = sum;
                step(args, s, t, h, dt);
            }
        }
}

#include "ref.h"

#include <math.h>

static double softplus(double x) {
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

// What a channel's time step is, and how many roundings it may be off by, relatively.
typedef struct time_step {
    double dt, off;
} time_step;

static time_step time_step_of(const ref_selective_scan_args *args, size_t row, size_t d) {
    double sum = args->dt_bias[d], magnitude = fabs(sum);
    if (!args->dt_weight) {
        sum += args->dt[row * args->n_channel + d];
        magnitude += fabs((double)args->dt[row * args->n_channel + d]);
    } else {
        for (size_t r = 0; r < args->rank; r++) {
            double term = (double)args->dt_weight[d * args->rank + r] * args->dt[row * args->rank + r];
            sum += term;
            magnitude += fabs(term);
        }
    }
    // An error of the argument reaches dt by the slope of softplus. Its own: an exponential, off by 3 + 2 |sum| units
    // of the last place, for small dt; a few roundings of series and sum.
    double dt = softplus(sum), slope = 1 / (1 + exp(-sum));
    return (time_step){dt, slope / dt * magnitude + 4 + (sum < 0 ? 3 - 2 * sum : 0)};
}

// One token of one channel: the recurrence itself (Gu and Dao 2023, algorithm 2), on values, on magnitudes (what the
// state would be if nothing cancelled), and on errors: a decay exp(dt A) is off by what its exponent is off by, and by
// the exponential's own 3 + 2 |exponent| units; an error decays as the state does.
static void step(const ref_selective_scan_args *args, size_t s, size_t row, size_t d, bool is_first) {
    size_t g = d / (args->n_channel / args->n_group), at = row * args->n_channel + d;
    const float *b = args->b + (row * args->n_group + g) * args->n_state;
    const float *c = args->c + (row * args->n_group + g) * args->n_state;
    time_step dt = time_step_of(args, row, d);
    double x = args->x[at], y = args->d[d] * x, error = 3 * fabs(y);
    for (size_t n = 0; n < args->n_state; n++) {
        size_t i = (s * args->n_channel + d) * args->n_state + n;
        double *h = &args->state[i], *magnitude = &args->state_magnitude[i], *off = &args->state_scale[i];
        if (is_first) *magnitude = fabs(*h), *off = 0;
        double exponent = dt.dt * args->a[d * args->n_state + n], decay = exp(exponent), in = dt.dt * b[n] * x;
        *off = decay * *off + decay * *magnitude * (fabs(exponent) * (dt.off + 4) + 4) + fabs(in) * (dt.off + 3);
        *h = decay * *h + in;
        *magnitude = decay * *magnitude + fabs(in);
        y += c[n] * *h;
        error += fabs(c[n]) * (*off + 2 * *magnitude);
    }
    double gate = args->gate ? ref_silu(args->gate[at]) : 1, add = args->add ? args->add[at] : 0;
    // SiLU's exponential and quotient; the last sum.
    double gate_off = args->gate ? 6 + 2 * fabs((double)args->gate[at]) : 0;
    args->y[at] = y * gate + add;
    args->scale[at] = (error + fabs(y) * gate_off) * fabs(gate) + 2 * fabs(add);
}

void ref_selective_scan(const ref_selective_scan_args *args) {
    for (size_t s = 0; s < args->n_sequence; s++) {
        size_t first = args->first[s], end = args->first[s + 1];
        if (first == end) // the state stays
            for (size_t i = 0; i < args->n_channel * args->n_state; i++)
                args->state_scale[s * args->n_channel * args->n_state + i] = 0;
        for (size_t t = first; t < end; t++)
            for (size_t d = 0; d < args->n_channel; d++)
                step(args, s, args->reverse ? first + end - 1 - t : t, d, t == first);
    }
}

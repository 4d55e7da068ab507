#include "ref.h"

#include <math.h>
#include <stdlib.h>

// A value, and what its error is relative to (see ref.h), which follows from those of its parts to first order.
typedef struct number {
    double value, scale;
} number;

static number silu(number x) { // its slope is at most 1.1
    double y = x.value / (1 + exp(-x.value));
    return (number){y, fabs(y) + 1.1 * x.scale};
}

// Output `row` of the projection of the normed input (Zhang and Sennrich 2019).
static number project(const ref_mixer_step_args *args, double factor, size_t row) {
    number sum = {0, 0};
    for (size_t k = 0; k < args->n_in; k++) {
        double term = factor * args->x[k] * args->norm[k] * args->w[row * args->n_in + k];
        sum.value += term;
        sum.scale += fabs(term);
    }
    return sum;
}

// Channel c of the convolution (Gu and Dao 2023, section 3.4) with its newest input, which moves into the state.
static number convolve(const ref_mixer_step_args *args, size_t c, number newest) {
    size_t n = args->n_head * args->n_width + 2 * args->n_group * args->n_state, last = args->n_tap - 1;
    number sum = {args->conv_bias ? args->conv_bias[c] : 0, 0};
    sum.scale = fabs(sum.value);
    for (size_t j = 0; j < last; j++) {
        double term = args->conv_w[j * n + c] * args->conv_state[j * n + c];
        sum.value += term;
        sum.scale += fabs(term);
    }
    sum.value += args->conv_w[last * n + c] * newest.value;
    sum.scale += fabs((double)args->conv_w[last * n + c]) * newest.scale;
    for (size_t j = 0; j + 1 < last; j++) {
        args->conv_state[j * n + c] = args->conv_state[(j + 1) * n + c];
        args->conv_state_scale[j * n + c] = 0; // copied
    }
    args->conv_state[(last - 1) * n + c] = newest.value;
    args->conv_state_scale[(last - 1) * n + c] = newest.scale;
    return silu(sum);
}

// S = exp(dt A) S + dt x (outer) B,  y = (S C + D x) silu(gate)   (Dao and Gu 2024, equation 2)
static void advance(const ref_mixer_step_args *args, size_t h, number dt, const number *xs, const number *b,
                    const number *c, const number *gates) {
    double decay = exp(dt.value * args->a[h]), slack = fabs((double)args->a[h]) * dt.scale;
    for (size_t p = 0; p < args->n_width; p++) {
        size_t row = h * args->n_width + p;
        number x = xs[row], gate = silu(gates[row]), y = {args->d[h] * x.value, fabs((double)args->d[h]) * x.scale};
        for (size_t n = 0; n < args->n_state; n++) {
            double *state = &args->state[row * args->n_state + n];
            double bx = fabs(b[n].value * x.value);
            double scale = decay * fabs(*state) * (1 + slack) + (dt.value + dt.scale) * bx +
                           dt.value * (b[n].scale * fabs(x.value) + fabs(b[n].value) * x.scale);
            *state = decay * *state + dt.value * b[n].value * x.value;
            args->state_scale[row * args->n_state + n] = scale;
            y.value += c[n].value * *state;
            y.scale += fabs(c[n].value) * scale + c[n].scale * fabs(*state);
        }
        args->y[row] = y.value * gate.value;
        args->scale[row] = y.scale * fabs(gate.value) + fabs(y.value) * gate.scale;
    }
}

void ref_mixer_step(const ref_mixer_step_args *args) {
    size_t n_inner = args->n_head * args->n_width, n_bc = args->n_group * args->n_state, n_conv = n_inner + 2 * n_bc;
    size_t n_out = n_inner + n_conv + args->n_head;
    number *outputs = calloc(n_out, sizeof *outputs);
    if (!outputs) return;
    double square = 0;
    for (size_t k = 0; k < args->n_in; k++)
        square += (double)args->x[k] * args->x[k];
    double factor = 1 / sqrt(square / (double)args->n_in + args->norm_eps);
    for (size_t n = 0; n < n_out; n++) {
        outputs[n] = project(args, factor, n);
        if (n >= n_inner && n < n_inner + n_conv) outputs[n] = convolve(args, n - n_inner, outputs[n]);
    }
    for (size_t h = 0; h < args->n_head; h++) {
        number raw = outputs[n_inner + n_conv + h], dt;
        double sum = raw.value + args->dt_bias[h];
        dt.value = fmin(fmax((sum > 0 ? sum : 0) + log1p(exp(-fabs(sum))), args->dt_min), args->dt_max);
        dt.scale = dt.value + raw.scale + fabs((double)args->dt_bias[h]); // softplus has a slope of at most 1
        size_t g = h / (args->n_head / args->n_group);
        const number *b = outputs + 2 * n_inner + g * args->n_state;
        advance(args, h, dt, outputs + n_inner, b, b + n_bc, outputs);
    }
    free(outputs);
}

#include "ref.h"

#include <complex.h>
#include <math.h>

// a and (a - 1) / lambda; near 0 the latter's series, whose next term is z^4 / 120.
static void discretise(double complex lambda, double dt, double complex *a, double complex *factor) {
    double complex z = lambda * dt;
    *a = cexp(z);
    *factor = cabs(z) < 1e-3 ? dt * (1 + z / 2 * (1 + z / 3 * (1 + z / 4))) : (*a - 1) / lambda;
}

// Scales: dt, and with it lambda dt, is off by some roundings, which move a by |a| |lambda dt| as much, and (a - 1) /
// lambda by no more.
void ref_conv_s5_system(const ref_conv_s5_system_args *args) {
    size_t n_state = args->n_state, n_channel = args->n_channel;
    for (size_t p = 0; p < n_state; p++) {
        double re = args->lambda[2 * p], im = args->lambda[2 * p + 1], dt = exp((double)args->log_step[p]);
        if (args->clip_eigs && re > (double)-1e-4f) re = (double)-1e-4f;
        double complex a, factor;
        discretise(re + im * I, dt, &a, &factor);
        double turns = 1 + hypot(re, im) * dt;
        args->a[2 * p] = creal(a);
        args->a[2 * p + 1] = cimag(a);
        args->a_scale[2 * p] = args->a_scale[2 * p + 1] = cabs(a) * turns;
        for (size_t u = 0; u < n_channel; u++)
            for (size_t k = 0; k < args->n_b; k++) {
                const float *b = &args->b[2 * ((p * n_channel + u) * args->n_b + k)];
                double complex value = factor * (b[0] + b[1] * I);
                for (size_t part = 0; part < 2; part++) {
                    size_t at = ((2 * p + part) * args->n_b + k) * n_channel + u;
                    args->b_out[at] = part ? cimag(value) : creal(value);
                    args->b_out_scale[at] = cabs(value) * turns;
                }
            }
        for (size_t k = 0; k < args->n_c; k++)
            for (size_t u = 0; u < n_channel; u++)
                for (size_t part = 0; part < 2; part++) {
                    size_t at = ((u * args->n_c + k) * n_state + p) * 2 + part;
                    double value = args->c[((k * n_state + p) * n_channel + u) * 2 + part];
                    args->c_out[at] = (part ? -2 : 2) * value;
                    args->c_out_scale[at] = 0;
                }
    }
}

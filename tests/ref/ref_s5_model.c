#include "ref_s5_model.h"

#include <complex.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ref.h"
#include "tests/harness/model_test.h"

typedef double complex z;

static z z_of(double re, double im) {
    return re + im * I;
}

// ---- weights --------------------------------------------------------------------------------------------------------

typedef struct reader {
    const vkssm_tensor_file *file;
    bool failed;
} reader;

// The tensor params/... of n values.
static double *read(reader *r, size_t n, const char *format, const char *part, const char *name) {
    char full[160];
    vkssm_named_tensor tensor;
    snprintf(full, sizeof full, format, part, name);
    double *values = model_alloc(n, sizeof *values);
    if (!vkssm_tensor_file_find(r->file, full, &tensor) || tensor.size != n * vkssm_dtype_size(tensor.dtype)) {
        printf("reference: no tensor %s of %zu values\n", full, n);
        r->failed = true;
        return values;
    }
    for (size_t i = 0; i < n; i++)
        values[i] = model_element(&tensor, i);
    return values;
}

// y[row] = kernel^T x[row] + bias, kernel [n_in, n_out].
static double *dense(reader *r, const char *part, const char *name, size_t n_row, size_t n_in, size_t n_out,
                     const double *x) {
    char place[96];
    snprintf(place, sizeof place, "%s%s", part, name);
    double *kernel = read(r, n_in * n_out, "%s/%s", place, "kernel"), *bias = read(r, n_out, "%s/%s", place, "bias");
    double *y = model_alloc(n_row * n_out, sizeof *y);
    for (size_t row = 0; row < n_row; row++)
        for (size_t j = 0; j < n_out; j++) {
            double sum = bias[j];
            for (size_t i = 0; i < n_in; i++)
                sum += x[row * n_in + i] * kernel[i * n_out + j];
            y[row * n_out + j] = sum;
        }
    free(kernel);
    free(bias);
    return y;
}

// ---- the recurrence -------------------------------------------------------------------------------------------------

typedef struct discrete {
    z *a, *b, *c; // [P], [P, H], [H, P of both directions]
    double *d, scale;
} discrete;

static void read_s5(reader *r, const ref_s5_shape *s, const char *seq, discrete *m) {
    size_t p = s->n_state, h = s->n_channel, n_column = s->bidirectional ? 2 * p : p;
    double *re = read(r, p, "%s%s", seq, "Lambda_re"), *im = read(r, p, "%s%s", seq, "Lambda_im");
    double *step = read(r, p, "%s%s", seq, "log_step"), *b = read(r, 2 * p * h, "%s%s", seq, "B");
    for (size_t i = 0; i < p; i++) {
        if (s->clip_eigs) re[i] = fmin(re[i], -1e-4);
        double dt = s->step_rescale * exp(step[i]);
        z lambda = z_of(re[i], im[i]), factor;
        if (s->bilinear) {
            factor = dt / (1 - dt / 2 * lambda);
            m->a[i] = (1 + dt / 2 * lambda) / (1 - dt / 2 * lambda);
        } else {
            m->a[i] = cexp(lambda * dt);
            factor = (m->a[i] - 1) / lambda;
        }
        for (size_t j = 0; j < h; j++)
            m->b[i * h + j] = factor * z_of(b[2 * (i * h + j)], b[2 * (i * h + j) + 1]);
    }
    free(re), free(im), free(step), free(b);
    bool two = s->bidirectional && !s->one_c;
    for (size_t k = 0; k < (two ? 2u : 1u); k++) {
        size_t width = two ? p : n_column;
        double *c = read(r, 2 * h * width, "%s%s", seq, !two ? "C" : k ? "C2" : "C1");
        for (size_t j = 0; j < h; j++)
            for (size_t i = 0; i < width; i++)
                m->c[j * n_column + k * p + i] = z_of(c[2 * (j * width + i)], c[2 * (j * width + i) + 1]);
        free(c);
    }
    m->scale = s->conj_sym ? 2 : 1;
}

static void read_lru(reader *r, const ref_s5_shape *s, const char *seq, discrete *m) {
    size_t p = s->n_state, h = s->n_channel;
    static const char *const names[] = {"nu_log", "theta_log", "gamma_log", "B_re", "B_im", "C_re", "C_im"};
    double *q[7];
    for (int i = 0; i < 7; i++)
        q[i] = read(r, i < 3 ? p : p * h, "%s%s", seq, names[i]);
    for (size_t i = 0; i < p; i++) {
        m->a[i] = cexp(z_of(-exp(q[0][i]), exp(q[1][i])));
        for (size_t j = 0; j < h; j++) {
            m->b[i * h + j] = exp(q[2][i]) * z_of(q[3][i * h + j], q[4][i * h + j]);
            m->c[j * p + i] = z_of(q[5][j * p + i], q[6][j * p + i]);
        }
    }
    for (int i = 0; i < 7; i++)
        free(q[i]);
    m->scale = 1;
}

// One sequence: y [T, H] of u [T, H].
static void recur(const ref_s5_shape *s, const discrete *m, size_t n_time, const double *u, double *y) {
    size_t p = s->n_state, h = s->n_channel, n_column = s->bidirectional ? 2 * p : p;
    z *x = model_alloc(n_time * n_column, sizeof *x);
    for (size_t direction = 0; direction < n_column / p; direction++)
        for (size_t i = 0; i < p; i++) {
            z state = 0;
            for (size_t k = 0; k < n_time; k++) {
                size_t t = direction ? n_time - 1 - k : k;
                state *= m->a[i];
                for (size_t j = 0; j < h; j++)
                    state += m->b[i * h + j] * u[t * h + j];
                x[t * n_column + direction * p + i] = state;
            }
        }
    for (size_t t = 0; t < n_time; t++)
        for (size_t j = 0; j < h; j++) {
            z sum = 0;
            for (size_t i = 0; i < n_column; i++)
                sum += m->c[j * n_column + i] * x[t * n_column + i];
            y[t * h + j] = m->scale * creal(sum) + m->d[j] * u[t * h + j];
        }
    free(x);
}

static double *run_ssm(reader *r, const ref_s5_shape *s, const char *part, size_t n, size_t n_time, const double *u) {
    size_t p = s->n_state, h = s->n_channel;
    char seq[96];
    snprintf(seq, sizeof seq, "%sseq/", part);
    discrete m = {
        .a = model_alloc(p, sizeof(z)), .b = model_alloc(p * h, sizeof(z)), .c = model_alloc(2 * p * h, sizeof(z))};
    (s->lru ? read_lru : read_s5)(r, s, seq, &m);
    m.d = read(r, h, "%s%s", seq, "D");
    double *y = model_alloc(n * n_time * h, sizeof *y);
    for (size_t i = 0; i < n; i++)
        recur(s, &m, n_time, u + i * n_time * h, y + i * n_time * h);
    free(m.a), free(m.b), free(m.c), free(m.d);
    return y;
}

// ---- layers ---------------------------------------------------------------------------------------------------------

static void norm_row(const ref_s5_shape *s, const double *q[4], double *x) {
    double mean = 0, variance = 0, n = s->n_channel;
    for (size_t c = 0; c < s->n_channel; c++)
        mean += x[c] / n;
    for (size_t c = 0; c < s->n_channel; c++)
        variance += (x[c] - mean) * (x[c] - mean) / n;
    for (size_t c = 0; c < s->n_channel; c++) {
        double m = s->batch_norm ? q[2][c] : mean, v = s->batch_norm ? q[3][c] : variance;
        x[c] = (x[c] - m) / sqrt(v + s->eps) * q[0][c] + q[1][c];
    }
}

static void norm(reader *r, const ref_s5_shape *s, uint32_t layer, size_t n_row, double *x) {
    static const char *const names[] = {"scale", "bias", "mean", "var"};
    const double *q[4] = {NULL};
    for (int i = 0; i < (s->batch_norm ? 4 : 2); i++) {
        char part[96];
        snprintf(part, sizeof part, "%s/encoder/layers_%u/%s/", i < 2 ? "params" : "batch_stats", layer,
                 s->lru ? "normalization" : "norm");
        q[i] = read(r, s->n_channel, "%s%s", part, names[i]);
    }
    for (size_t row = 0; row < n_row; row++)
        norm_row(s, q, x + row * s->n_channel);
    for (int i = 0; i < 4; i++)
        free((void *)q[i]);
}

static void run_layer(reader *r, const ref_s5_shape *s, uint32_t index, size_t n, size_t n_time, double *x) {
    size_t h = s->n_channel, n_row = n * n_time, size = n_row * h;
    char part[64];
    snprintf(part, sizeof part, "params/encoder/layers_%u/", index);
    double *u = model_alloc(size, sizeof *u), *g = model_alloc(size, sizeof *g);
    memcpy(u, x, size * sizeof *u);
    if (s->prenorm) norm(r, s, index, n_row, u);
    double *y = run_ssm(r, s, part, n, n_time, u), *w1 = NULL, *w2 = NULL;
    for (size_t i = 0; i < size; i++)
        g[i] = ref_gelu_tanh(y[i]);
    if (s->gate == REF_S5_FULL_GLU) w1 = dense(r, part, "out1", n_row, h, h, g);
    if (s->gate != REF_S5_GELU) w2 = dense(r, part, "out2", n_row, h, h, g);
    for (size_t i = 0; i < size; i++) {
        double value = s->gate == REF_S5_FULL_GLU ? w1[i] : s->gate == REF_S5_HALF_GLU_2 ? y[i] : g[i];
        x[i] += w2 ? value * ref_sigmoid(w2[i]) : value;
    }
    if (!s->prenorm) norm(r, s, index, n_row, x);
    free(u), free(g), free(y), free(w1), free(w2);
}

// What the decoder reads: [n, H], or all rows.
static double *pool(const ref_s5_shape *s, size_t n, size_t n_time, const double *x) {
    size_t h = s->n_channel;
    double *out = model_alloc(n * n_time * h, sizeof *out);
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < n_time; t++)
            for (size_t c = 0; c < h; c++) {
                double value = x[(i * n_time + t) * h + c];
                if (s->pool == REF_S5_MEAN)
                    out[i * h + c] += value / (double)n_time;
                else if (s->pool == REF_S5_LAST)
                    out[i * h + c] = value;
                else
                    out[(i * n_time + t) * h + c] = value;
            }
    return out;
}

static void log_softmax(double *x, size_t n) {
    double sum = 0, largest = x[0];
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, x[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - largest);
    for (size_t i = 0; i < n; i++)
        x[i] -= largest + log(sum);
}

bool ref_s5_run(const ref_s5_shape *s, const char *path, const float *input, size_t n, size_t n_time,
                ref_s5_outputs *out) {
    reader r = {0};
    vkssm_tensor_file *file;
    if (vkssm_tensor_file_open(path, NULL, &file) != VKSSM_OK) {
        printf("reference: %s\n", vkssm_last_error());
        return false;
    }
    r.file = file;
    size_t n_row = n * n_time, h = s->n_channel, n_out = s->pool == REF_S5_NO_POOL ? n_row : n;
    double *u = model_alloc(n_row * s->n_input, sizeof *u);
    for (size_t i = 0; i < n_row * s->n_input; i++)
        u[i] = input[i];
    double *x = dense(&r, "params/encoder/", "encoder", n_row, s->n_input, h, u);
    out->layers = model_alloc(s->n_layer * n_row * h, sizeof *out->layers);
    for (uint32_t i = 0; i < s->n_layer; i++) {
        run_layer(&r, s, i, n, n_time, x);
        memcpy(out->layers + i * n_row * h, x, n_row * h * sizeof *x);
    }
    double *pooled = pool(s, n, n_time, x);
    out->logits = dense(&r, "params/", "decoder", n_out, h, s->n_class, pooled);
    for (size_t i = 0; i < n_out && !s->no_softmax; i++)
        log_softmax(out->logits + i * s->n_class, s->n_class);
    free(u), free(x), free(pooled);
    vkssm_tensor_file_destroy(&file);
    if (r.failed) free(out->layers), free(out->logits);
    return !r.failed;
}

// ---- S4D ------------------------------------------------------------------------------------------------------------

void ref_s4d_layer(size_t n_channel, size_t n_state, size_t n_time, const float *log_dt, const float *log_a_real,
                   const float *a_imag, const float *c, const float *d, const float *u, double *y) {
    for (size_t h = 0; h < n_channel; h++) {
        double dt = exp(log_dt[h]), *kernel = model_alloc(n_time, sizeof *kernel);
        for (size_t n = 0; n < n_state; n++) {
            size_t i = h * n_state + n;
            z a = z_of(-exp(log_a_real[i]), a_imag[i]), factor = z_of(c[2 * i], c[2 * i + 1]) * (cexp(dt * a) - 1) / a;
            for (size_t j = 0; j < n_time; j++)
                kernel[j] += 2 * creal(factor * cexp(dt * a * (double)j));
        }
        for (size_t t = 0; t < n_time; t++) {
            double sum = d[h] * (double)u[t * n_channel + h];
            for (size_t j = 0; j <= t; j++)
                sum += kernel[j] * u[(t - j) * n_channel + h];
            y[t * n_channel + h] = sum;
        }
        free(kernel);
    }
}

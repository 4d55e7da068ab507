#include "ref_mamba1_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ref.h"
#include "tests/harness/model_test.h"

typedef struct reader {
    const ref_mamba1_shape *s;
    vkssm_tensor_file *file;
    char prefix[64];
    bool failed;
} reader;

static double *read(reader *r, const char *name, size_t n) {
    char full[160];
    vkssm_named_tensor tensor;
    snprintf(full, sizeof full, "%s%s", r->prefix, name);
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

// y[n, n_out] = x[n, n_in] w^T + bias; bias may be NULL. Row strides of x.
static void multiply(const double *x, size_t n, size_t stride, size_t n_in, const double *w, const double *bias,
                     size_t n_out, double *y) {
    for (size_t t = 0; t < n; t++)
        for (size_t o = 0; o < n_out; o++) {
            double sum = bias ? bias[o] : 0;
            for (size_t i = 0; i < n_in; i++)
                sum += x[t * stride + i] * w[o * n_in + i];
            y[t * n_out + o] = sum;
        }
}

static void norm(double *x, size_t n, const double *weight, double eps) {
    double mean = 0;
    for (size_t i = 0; i < n; i++)
        mean += x[i] * x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        x[i] *= (weight ? weight[i] : 1) / sqrt(mean + eps);
}

static double *read_core(reader *r, const char *name, bool backward, size_t n) {
    char own[64];
    const char *dot = strchr(name, '.');
    if (strcmp(name, "A_log") == 0)
        snprintf(own, sizeof own, "A_b_log");
    else if (dot)
        snprintf(own, sizeof own, "%.*s_b%s", (int)(dot - name), name, dot);
    else
        snprintf(own, sizeof own, "%s_b", name);
    return read(r, backward ? own : name, n);
}

// One direction: y[n, n_inner] += gated scan of xz[n, 2 n_inner]. `reverse` runs from the last row to the first.
static void core(reader *r, const double *xz, size_t n, bool reverse, bool backward, double *y) {
    const ref_mamba1_shape *s = r->s;
    size_t e = s->n_inner, w = s->n_tap, ns = s->n_state, rank = s->n_rank, n_low = rank + 2 * ns;
    double *conv = read_core(r, "conv1d.weight", backward, e * w);
    double *bias = s->conv_bias ? read_core(r, "conv1d.bias", backward, e) : NULL;
    double *x_proj = read_core(r, "x_proj.weight", backward, n_low * e);
    double *dt_proj = read_core(r, "dt_proj.weight", backward, e * rank);
    double *dt_bias = read_core(r, "dt_proj.bias", backward, e), *d = read_core(r, "D", backward, e);
    double *a_log = read_core(r, "A_log", backward, e * ns);
    double *x = model_alloc(e, sizeof *x), *low = model_alloc(n_low, sizeof *low), *dt = model_alloc(e, sizeof *dt);
    double *h = model_alloc(e * ns, sizeof *h);
    for (size_t p = 0; p < n; p++) {
        size_t t = reverse ? n - 1 - p : p;
        for (size_t c = 0; c < e; c++) {
            double sum = bias ? bias[c] : 0;
            for (size_t j = 0; j < w; j++) { // tap w-1 is the current token's
                size_t back = w - 1 - j, row = reverse ? t + back : t - back;
                if (back <= p) sum += conv[c * w + j] * xz[row * 2 * e + c];
            }
            x[c] = ref_silu(sum);
        }
        multiply(x, 1, e, e, x_proj, NULL, n_low, low);
        if (s->norm_parts) {
            norm(low, rank, NULL, s->parts_eps);
            norm(low + rank, ns, NULL, s->parts_eps);
            norm(low + rank + ns, ns, NULL, s->parts_eps);
        }
        multiply(low, 1, rank, rank, dt_proj, dt_bias, e, dt);
        for (size_t c = 0; c < e; c++) {
            double step = log1p(exp(-fabs(dt[c]))) + fmax(dt[c], 0), sum = d[c] * x[c];
            for (size_t i = 0; i < ns; i++) {
                double *state = &h[c * ns + i];
                *state = exp(-step * exp(a_log[c * ns + i])) * *state + step * low[rank + i] * x[c];
                sum += low[rank + ns + i] * *state;
            }
            y[t * e + c] += sum * ref_silu(xz[t * 2 * e + e + c]);
        }
    }
    double *all[] = {conv, bias, x_proj, dt_proj, dt_bias, d, a_log, x, low, dt, h};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

// out[n, D] = mixer(x[n, D]) of the tensors at r->prefix.
static void mixer(reader *r, const double *x, size_t n, double *out) {
    const ref_mamba1_shape *s = r->s;
    size_t d = s->n_channel, e = s->n_inner;
    double *in_proj = read(r, "in_proj.weight", 2 * e * d), *out_proj = read(r, "out_proj.weight", d * e);
    double *in_bias = s->proj_bias ? read(r, "in_proj.bias", 2 * e) : NULL;
    double *out_bias = s->proj_bias ? read(r, "out_proj.bias", d) : NULL;
    double *xz = model_alloc(n * 2 * e, sizeof *xz), *y = model_alloc(n * e, sizeof *y);
    multiply(x, n, d, d, in_proj, in_bias, 2 * e, xz);
    core(r, xz, n, false, false, y);
    if (s->kind != REF_MAMBA1_FORWARD) core(r, xz, n, true, s->kind == REF_MAMBA1_SEPARATE, y);
    multiply(y, n, e, e, out_proj, out_bias, d, out);
    double *all[] = {in_proj, out_proj, in_bias, out_bias, xz, y};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static void norm_rows(reader *r, const char *name, double *x, size_t n) {
    double *weight = read(r, name, r->s->n_channel);
    for (size_t t = 0; t < n; t++)
        norm(x + t * r->s->n_channel, r->s->n_channel, weight, r->s->eps);
    free(weight);
}

// h = mixer(norm(h)), with `residual` added to h.
static void layer(reader *r, const char *norm_prefix, const char *mixer_prefix, bool normed, bool residual, double *h,
                  size_t n) {
    size_t size = n * r->s->n_channel;
    double *x = model_alloc(size, sizeof *x), *out = model_alloc(size, sizeof *out);
    memcpy(x, h, size * sizeof *x);
    snprintf(r->prefix, sizeof r->prefix, "%s", norm_prefix);
    if (normed) norm_rows(r, "norm.weight", x, n);
    snprintf(r->prefix, sizeof r->prefix, "%s", mixer_prefix);
    mixer(r, x, n, out);
    for (size_t i = 0; i < size; i++)
        h[i] = out[i] + (residual ? h[i] : 0);
    free(x);
    free(out);
    r->prefix[0] = 0;
}

static double *close_reader(reader *r, double *result) {
    vkssm_tensor_file_destroy(&r->file);
    if (!r->failed) return result;
    free(result);
    return NULL;
}

static bool open_reader(reader *r, const ref_mamba1_shape *s, const char *path) {
    *r = (reader){.s = s};
    if (vkssm_tensor_file_open(path, NULL, &r->file) == VKSSM_OK) return true;
    printf("reference: %s\n", vkssm_last_error());
    return false;
}

double *ref_mamba1_logits(const ref_mamba1_shape *s, const char *path, const int32_t *tokens, size_t n) {
    reader r;
    if (!open_reader(&r, s, path)) return NULL;
    size_t d = s->n_channel;
    double *table = read(&r, s->embedding, s->n_vocab * d), *h = model_alloc(n * d, sizeof *h);
    double *logits = model_alloc(n * s->n_vocab, sizeof *logits);
    for (size_t t = 0; t < n; t++)
        memcpy(h + t * d, table + (size_t)tokens[t] * d, d * sizeof *h);
    for (uint32_t i = 0; i < s->n_layer; i++) {
        char at_norm[64], at_mixer[64];
        snprintf(at_norm, sizeof at_norm, "backbone.layers.%u.", i);
        snprintf(at_mixer, sizeof at_mixer, "backbone.layers.%u.mixer.", i);
        layer(&r, at_norm, at_mixer, true, true, h, n);
    }
    norm_rows(&r, "backbone.norm_f.weight", h, n);
    multiply(h, n, d, d, table, NULL, s->n_vocab, logits);
    free(table);
    free(h);
    return close_reader(&r, logits);
}

// The rows that the last map reads, pooled in place: how many.
static size_t pool(const ref_mamba1_shape *s, double *h, size_t n) {
    size_t d = s->n_channel;
    if (s->pool == REF_MAMBA1_NO_POOL) return n;
    if (s->pool == REF_MAMBA1_LAST) memmove(h, h + (n - 1) * d, d * sizeof *h);
    for (size_t i = 0; s->pool == REF_MAMBA1_MEAN && i < d; i++) {
        for (size_t t = 1; t < n; t++)
            h[i] += h[t * d + i];
        h[i] /= (double)n;
    }
    return 1;
}

double *ref_mamba1_classify(const ref_mamba1_shape *s, const char *path, const float *input, size_t n, double *layers) {
    reader r;
    if (!open_reader(&r, s, path)) return NULL;
    size_t d = s->n_channel;
    double *x = model_alloc(n * s->n_input, sizeof *x), *h = model_alloc(n * d, sizeof *h);
    double *in = read(&r, "linear_in.weight", d * s->n_input), *in_bias = read(&r, "linear_in.bias", d);
    double *out = read(&r, "classifier.weight", s->n_class * d), *out_bias = read(&r, "classifier.bias", s->n_class);
    for (size_t i = 0; i < n * s->n_input; i++)
        x[i] = input[i];
    multiply(x, n, s->n_input, s->n_input, in, in_bias, d, h);
    for (uint32_t i = 0; i < s->n_layer; i++) {
        char at_norm[64], at_mixer[64];
        snprintf(at_norm, sizeof at_norm, "layers.%u.", i);
        snprintf(at_mixer, sizeof at_mixer, "layers.%u.mixer.", i);
        layer(&r, at_norm, s->named_mamba ? "mamba." : at_mixer, s->norm, s->residual, h, n);
        if (layers) memcpy(layers + i * n * d, h, n * d * sizeof *h);
    }
    if (s->final_norm) norm_rows(&r, "norm_f.weight", h, n);
    size_t n_row = pool(s, h, n);
    double *logits = model_alloc(n_row * s->n_class, sizeof *logits);
    multiply(h, n_row, d, d, out, out_bias, s->n_class, logits);
    double *all[] = {x, h, in, in_bias, out, out_bias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    return close_reader(&r, logits);
}

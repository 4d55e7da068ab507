#include "ref_mamba2_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/half.h"
#include "ref.h"
#include "tests/harness/model_test.h"

typedef struct layer {
    double *norm, *in_proj, *in_bias, *conv, *conv_bias, *a, *dt_bias, *d, *mixer_norm, *out_proj, *out_bias;
    double *tail;  // [K - 1, C], oldest first
    double *state; // [H, P, N]
} layer;

struct ref_mamba2 {
    ref_mamba2_shape s;
    size_t n_inner, n_bc, n_conv, n_in;
    double *embedding, *final_norm, *head;
    layer *layers;
    double *residual, *x, *projected, *convolved, *y; // of the token under way
};

// ---- weights --------------------------------------------------------------------------------------------------------

typedef struct reader {
    const vkssm_tensor_file *file;
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

static double *read_matrix(reader *r, const char *name, size_t n, vkssm_dtype dtype) {
    double *values = read(r, name, n);
    for (size_t i = 0; i < n && dtype != VKSSM_DTYPE_F32; i++)
        values[i] = dtype == VKSSM_DTYPE_F16 ? vks_f16_to_f32(vks_f32_to_f16((float)values[i]))
                                             : vks_bf16_to_f32(vks_f32_to_bf16((float)values[i]));
    return values;
}

static void read_layer(reader *r, const ref_mamba2 *m, vkssm_dtype dtype, uint32_t index, layer *l) {
    const ref_mamba2_shape *s = &m->s;
    snprintf(r->prefix, sizeof r->prefix, "backbone.layers.%u.", index);
    l->norm = read(r, "norm.weight", s->n_channel);
    l->in_proj = read_matrix(r, "mixer.in_proj.weight", m->n_in * s->n_channel, dtype);
    l->out_proj = read_matrix(r, "mixer.out_proj.weight", s->n_channel * m->n_inner, dtype);
    l->conv = read(r, "mixer.conv1d.weight", m->n_conv * s->n_tap);
    l->a = read(r, "mixer.A_log", s->n_head);
    for (uint32_t h = 0; h < s->n_head; h++)
        l->a[h] = -exp(l->a[h]);
    l->dt_bias = read(r, "mixer.dt_bias", s->n_head);
    l->d = read(r, "mixer.D", s->n_head);
    if (s->norm_groups) l->mixer_norm = read(r, "mixer.norm.weight", m->n_inner);
    if (s->conv_bias) l->conv_bias = read(r, "mixer.conv1d.bias", m->n_conv);
    if (s->proj_bias) l->in_bias = read(r, "mixer.in_proj.bias", m->n_in);
    if (s->proj_bias) l->out_bias = read(r, "mixer.out_proj.bias", s->n_channel);
    l->tail = model_alloc((s->n_tap - 1) * m->n_conv, sizeof *l->tail);
    l->state = model_alloc(m->n_inner * s->n_state, sizeof *l->state);
}

ref_mamba2 *ref_mamba2_open(const ref_mamba2_shape *shape, const vkssm_tensor_file *file, vkssm_dtype matrix_dtype) {
    ref_mamba2 *m = model_alloc(1, sizeof *m);
    m->s = *shape;
    m->n_inner = (size_t)shape->n_head * shape->n_width;
    m->n_bc = (size_t)shape->n_group * shape->n_state;
    m->n_conv = m->n_inner + 2 * m->n_bc;
    m->n_in = m->n_inner + m->n_conv + shape->n_head;
    m->layers = model_alloc(shape->n_layer, sizeof *m->layers);
    reader r = {.file = file};
    size_t n_table = (size_t)shape->n_vocab * shape->n_channel;
    m->embedding = read_matrix(&r, shape->embedding, n_table, matrix_dtype);
    m->final_norm = read(&r, "backbone.norm_f.weight", shape->n_channel);
    if (!shape->tied_head) m->head = read_matrix(&r, "lm_head.weight", n_table, matrix_dtype);
    for (uint32_t i = 0; i < shape->n_layer; i++)
        read_layer(&r, m, matrix_dtype, i, &m->layers[i]);
    m->residual = model_alloc(shape->n_channel, sizeof(double));
    m->x = model_alloc(shape->n_channel, sizeof(double));
    m->projected = model_alloc(m->n_in, sizeof(double));
    m->convolved = model_alloc(m->n_conv, sizeof(double));
    m->y = model_alloc(m->n_inner, sizeof(double));
    if (!r.failed) return m;
    ref_mamba2_close(m);
    return NULL;
}

void ref_mamba2_close(ref_mamba2 *m) {
    for (uint32_t i = 0; i < m->s.n_layer; i++) {
        layer *l = &m->layers[i];
        double *arrays[] = {l->norm, l->in_proj,    l->in_bias,  l->conv,     l->conv_bias, l->a,    l->dt_bias,
                            l->d,    l->mixer_norm, l->out_proj, l->out_bias, l->tail,      l->state};
        for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++)
            free(arrays[k]);
    }
    double *arrays[] = {m->embedding, m->final_norm, m->head, m->residual, m->x, m->projected, m->convolved, m->y};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++)
        free(arrays[k]);
    free(m->layers);
    free(m);
}

void ref_mamba2_reset(ref_mamba2 *m) {
    for (uint32_t i = 0; i < m->s.n_layer; i++) {
        memset(m->layers[i].tail, 0, (m->s.n_tap - 1) * m->n_conv * sizeof(double));
        memset(m->layers[i].state, 0, m->n_inner * m->s.n_state * sizeof(double));
    }
}

// ---- one token ------------------------------------------------------------------------------------------------------

// Each of n_group parts by itself; x and y may be the same.
static void norm(const double *x, const double *weight, size_t n, size_t n_group, double eps, double *y) {
    size_t width = n / n_group;
    for (size_t g = 0; g < n_group; g++) {
        double sum = 0;
        for (size_t i = g * width; i < (g + 1) * width; i++)
            sum += x[i] * x[i];
        double scale = 1 / sqrt(sum / (double)width + eps);
        for (size_t i = g * width; i < (g + 1) * width; i++)
            y[i] = x[i] * scale * weight[i];
    }
}

static double dot(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void convolve(const ref_mamba2 *m, layer *l, const double *x) {
    uint32_t n_tap = m->s.n_tap;
    for (size_t c = 0; c < m->n_conv; c++) {
        double sum = (l->conv_bias ? l->conv_bias[c] : 0) + l->conv[c * n_tap + n_tap - 1] * x[c];
        for (uint32_t k = 0; k + 1 < n_tap; k++)
            sum += l->conv[c * n_tap + k] * l->tail[k * m->n_conv + c];
        m->convolved[c] = ref_silu(sum);
    }
    memmove(l->tail, l->tail + m->n_conv, (n_tap - 2) * m->n_conv * sizeof(double));
    memcpy(l->tail + (n_tap - 2) * m->n_conv, x, m->n_conv * sizeof(double));
}

// h = exp(dt A) h + dt B x;  y = C h + D x, for one head.
static void ssd_head(const ref_mamba2 *m, layer *l, uint32_t h, double dt) {
    const ref_mamba2_shape *s = &m->s;
    uint32_t group = h / (s->n_head / s->n_group);
    const double *x = m->convolved + (size_t)h * s->n_width,
                 *b = m->convolved + m->n_inner + (size_t)group * s->n_state;
    const double *c = b + m->n_bc;
    double decay = exp(dt * l->a[h]);
    for (uint32_t p = 0; p < s->n_width; p++) {
        double *state = l->state + ((size_t)h * s->n_width + p) * s->n_state;
        for (uint32_t n = 0; n < s->n_state; n++)
            state[n] = decay * state[n] + dt * b[n] * x[p];
        m->y[(size_t)h * s->n_width + p] = dot(c, state, s->n_state) + l->d[h] * x[p];
    }
}

static void gated_norm(const ref_mamba2 *m, const layer *l) {
    const double *z = m->projected;
    const ref_mamba2_shape *s = &m->s;
    if (s->norm_groups && s->norm_before_gate) norm(m->y, l->mixer_norm, m->n_inner, s->norm_groups, s->eps, m->y);
    for (size_t i = 0; i < m->n_inner; i++)
        m->y[i] *= ref_silu(z[i]);
    if (s->norm_groups && !s->norm_before_gate) norm(m->y, l->mixer_norm, m->n_inner, s->norm_groups, s->eps, m->y);
}

static void mix(const ref_mamba2 *m, layer *l) {
    const ref_mamba2_shape *s = &m->s;
    norm(m->residual, l->norm, s->n_channel, 1, s->eps, m->x);
    for (size_t i = 0; i < m->n_in; i++)
        m->projected[i] = dot(l->in_proj + i * s->n_channel, m->x, s->n_channel) + (l->in_bias ? l->in_bias[i] : 0);
    convolve(m, l, m->projected + m->n_inner);
    for (uint32_t h = 0; h < s->n_head; h++) {
        double raw = m->projected[m->n_inner + m->n_conv + h] + l->dt_bias[h];
        double dt = raw > 30 ? raw : log1p(exp(raw)); // softplus
        ssd_head(m, l, h, fmin(fmax(dt, s->dt_min), s->dt_max));
    }
    gated_norm(m, l);
    for (uint32_t i = 0; i < s->n_channel; i++)
        m->residual[i] += dot(l->out_proj + i * m->n_inner, m->y, m->n_inner) + (l->out_bias ? l->out_bias[i] : 0);
}

void ref_mamba2_step(ref_mamba2 *m, int32_t token, double *logits) {
    uint32_t n_channel = m->s.n_channel;
    memcpy(m->residual, m->embedding + (size_t)token * n_channel, n_channel * sizeof(double));
    for (uint32_t i = 0; i < m->s.n_layer; i++)
        mix(m, &m->layers[i]);
    if (!logits) return;
    const double *head = m->s.tied_head ? m->embedding : m->head;
    norm(m->residual, m->final_norm, n_channel, 1, m->s.eps, m->x);
    for (size_t v = 0; v < m->s.n_vocab; v++)
        logits[v] = dot(head + v * n_channel, m->x, n_channel);
}

double *ref_mamba2_logits(const ref_mamba2_shape *shape, const char *path, vkssm_dtype matrix_dtype,
                          const int32_t *tokens, size_t n) {
    vkssm_tensor_file *file;
    if (vkssm_tensor_file_open(path, NULL, &file) != VKSSM_OK) {
        printf("reference: %s\n", vkssm_last_error());
        return NULL;
    }
    ref_mamba2 *m = ref_mamba2_open(shape, file, matrix_dtype);
    double *logits = m ? model_alloc(n * shape->n_vocab, sizeof *logits) : NULL;
    for (size_t i = 0; m && i < n; i++)
        ref_mamba2_step(m, tokens[i], logits + i * shape->n_vocab);
    if (m) ref_mamba2_close(m);
    vkssm_tensor_file_destroy(&file);
    return logits;
}

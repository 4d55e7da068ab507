#include "tiny_s5.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/half.h"
#include "model_test.h"

tiny_s5 tiny_s5_default(void) {
    return (tiny_s5){.shape = {.n_input = 3,
                               .n_channel = 10,
                               .n_state = 7,
                               .n_layer = 2,
                               .n_class = 5,
                               .gate = REF_S5_HALF_GLU_1,
                               .prenorm = true,
                               .batch_norm = true,
                               .eps = 1e-5,
                               .conj_sym = true,
                               .step_rescale = 1}};
}

// ---- config.json ----------------------------------------------------------------------------------------------------

typedef struct text {
    char bytes[2048];
    size_t n;
    const char *replaced; // keys that are said elsewhere
} text;

static void say(text *t, const char *key, const char *format, ...) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    if (t->replaced && strstr(t->replaced, quoted)) return;
    va_list args;
    va_start(args, format);
    t->n += (size_t)snprintf(t->bytes + t->n, sizeof t->bytes - t->n, "%s ", quoted);
    t->n += (size_t)vsnprintf(t->bytes + t->n, sizeof t->bytes - t->n, format, args);
    t->n += (size_t)snprintf(t->bytes + t->n, sizeof t->bytes - t->n, ", ");
    va_end(args);
}

static void say_bool(text *t, const char *key, bool value) {
    say(t, key, value ? "true" : "false");
}

static void say_s5(text *t, const ref_s5_shape *s) {
    static const char *const gates[] = {"gelu", "half_glu1", "half_glu2", "full_glu"};
    say(t, "model_type", "\"s5\"");
    say(t, "ssm_size_base", "%u", s->conj_sym ? 2 * s->n_state : s->n_state);
    say(t, "activation", "\"%s\"", gates[s->gate]);
    say(t, "discretization", s->bilinear ? "\"bilinear\"" : "\"zoh\"");
    say(t, "step_rescale", "%.17g", s->step_rescale);
    say_bool(t, "conj_sym", s->conj_sym);
    say_bool(t, "clip_eigs", s->clip_eigs);
    say_bool(t, "bidirectional", s->bidirectional);
    say_bool(t, "batchnorm", s->batch_norm);
}

static bool write_config(const tiny_s5 *tiny, const char *folder) {
    static const char *const pools[] = {"mean", "last", "none"};
    const ref_s5_shape *s = &tiny->shape;
    text t = {.replaced = tiny->more_keys};
    t.n = (size_t)snprintf(t.bytes, sizeof t.bytes, "{%s", tiny->more_keys ? tiny->more_keys : "");
    if (s->lru) {
        say(&t, "model_type", "\"lru\"");
        say(&t, "d_hidden", "%u", s->n_state);
        say(&t, "norm", s->batch_norm ? "\"batch\"" : "\"layer\"");
    } else {
        say_s5(&t, s);
    }
    say(&t, "d_input", "%u", s->n_input);
    say(&t, "d_model", "%u", s->n_channel);
    say(&t, "n_layers", "%u", s->n_layer);
    say(&t, "n_classes", "%u", s->n_class);
    say(&t, "pooling", "\"%s\"", pools[s->pool]);
    say(&t, "head", s->no_softmax ? "\"none\"" : "\"log_softmax\"");
    say(&t, s->batch_norm ? "bn_eps" : "ln_eps", "%.17g", s->eps);
    say_bool(&t, "prenorm", s->prenorm);
    t.n += (size_t)snprintf(t.bytes + t.n, sizeof t.bytes - t.n, "\"comment\": null}\n");
    FILE *file = fopen(model_path(folder, "config.json"), "wb");
    bool ok = file && fwrite(t.bytes, 1, t.n, file) == t.n;
    if (file) ok &= fclose(file) == 0;
    if (!ok) perror(model_path(folder, "config.json"));
    return ok;
}

// ---- weights --------------------------------------------------------------------------------------------------------

enum { MAX_TENSOR = 128 };

typedef struct writer {
    const tiny_s5 *tiny;
    uint64_t seed;
    uint32_t n;
    char names[MAX_TENSOR][96];
    vkssm_named_tensor tensors[MAX_TENSOR];
} writer;

// A tensor prefix/name of uniform values.
static void add(writer *w, const char *prefix, const char *name, float low, float high, uint32_t n_dim, uint64_t x,
                uint64_t y, uint64_t z) {
    char full[96];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    uint64_t shape[4] = {x, y, z, 1}, n = x * (n_dim > 1 ? y : 1) * (n_dim > 2 ? z : 1);
    vkssm_dtype dtype = w->tiny->dtype;
    size_t size = vkssm_dtype_size(dtype);
    uint8_t *data = model_alloc((size_t)n, size);
    for (uint64_t i = 0; i < n; i++) {
        float value = check_uniform(&w->seed, low, high);
        uint16_t half = dtype == VKSSM_DTYPE_F16 ? vks_f32_to_f16(value) : vks_f32_to_bf16(value);
        memcpy(data + i * size, dtype == VKSSM_DTYPE_F32 ? (const void *)&value : (const void *)&half, size);
    }
    if (w->n == MAX_TENSOR || (w->tiny->leave_out && strcmp(full, w->tiny->leave_out) == 0)) {
        free(data);
        return;
    }
    if (w->tiny->misshape && strcmp(full, w->tiny->misshape) == 0) shape[n_dim++] = 1;
    memcpy(w->names[w->n], full, sizeof full);
    vkssm_named_tensor *tensor = &w->tensors[w->n];
    *tensor =
        (vkssm_named_tensor){.name = w->names[w->n], .dtype = dtype, .n_dim = n_dim, .data = data, .size = n * size};
    memcpy(tensor->shape, shape, sizeof shape);
    w->n++;
}

static void add_dense(writer *w, const char *prefix, const char *name, uint32_t n_in, uint32_t n_out) {
    char part[96];
    snprintf(part, sizeof part, "%s%s/", prefix, name);
    float size = 1.5f / sqrtf((float)n_in);
    add(w, part, "kernel", -size, size, 2, n_in, n_out, 0);
    add(w, part, "bias", -0.5f, 0.5f, 1, n_out, 0, 0);
}

// Some of the eigenvalues have positive real parts, for clip_eigs to clip; without it their states grow slowly.
static void add_s5(writer *w, const ref_s5_shape *s, const char *seq) {
    uint32_t p = s->n_state, h = s->n_channel;
    float b = 1 / sqrtf((float)h), c = 1 / sqrtf((float)p);
    add(w, seq, "Lambda_re", -0.5f, 0.05f, 1, p, 0, 0);
    add(w, seq, "Lambda_im", -4, 4, 1, p, 0, 0);
    add(w, seq, "log_step", -4, -0.5f, 2, p, 1, 0);
    add(w, seq, "B", -b, b, 3, p, h, 2);
    if (!s->bidirectional || s->one_c) {
        add(w, seq, "C", -c, c, 3, h, s->bidirectional ? 2 * p : p, 2);
    } else {
        add(w, seq, "C1", -c, c, 3, h, p, 2);
        add(w, seq, "C2", -c, c, 3, h, p, 2);
    }
}

static void add_lru(writer *w, const ref_s5_shape *s, const char *seq) {
    uint32_t p = s->n_state, h = s->n_channel;
    float b = 1 / sqrtf((float)h), c = 1 / sqrtf((float)p);
    add(w, seq, "nu_log", -5, 0, 1, p, 0, 0);
    add(w, seq, "theta_log", -3, 1.8f, 1, p, 0, 0);
    add(w, seq, "gamma_log", -2, 0, 1, p, 0, 0);
    add(w, seq, "B_re", -b, b, 2, p, h, 0);
    add(w, seq, "B_im", -b, b, 2, p, h, 0);
    add(w, seq, "C_re", -c, c, 2, h, p, 0);
    add(w, seq, "C_im", -c, c, 2, h, p, 0);
}

static void add_layer(writer *w, const ref_s5_shape *s, uint32_t index) {
    char part[64], place[96];
    uint32_t h = s->n_channel;
    const char *norm = s->lru ? "normalization" : "norm";
    snprintf(part, sizeof part, "params/encoder/layers_%u/", index);
    snprintf(place, sizeof place, "%sseq/", part);
    (s->lru ? add_lru : add_s5)(w, s, place);
    add(w, place, "D", -1, 1, 1, h, 0, 0);
    snprintf(place, sizeof place, "%s%s/", part, norm);
    add(w, place, "scale", 0.5f, 1.5f, 1, h, 0, 0);
    add(w, place, "bias", -0.5f, 0.5f, 1, h, 0, 0);
    if (s->gate == REF_S5_FULL_GLU) add_dense(w, part, "out1", h, h);
    if (s->gate != REF_S5_GELU) add_dense(w, part, "out2", h, h);
    if (!s->batch_norm) return;
    snprintf(place, sizeof place, "batch_stats/encoder/layers_%u/%s/", index, norm);
    add(w, place, "mean", -1, 1, 1, h, 0, 0);
    add(w, place, "var", 0.3f, 2, 1, h, 0, 0);
}

bool tiny_s5_write(const tiny_s5 *tiny, const char *folder) {
    const ref_s5_shape *s = &tiny->shape;
    writer *w = model_alloc(1, sizeof *w);
    w->tiny = tiny;
    w->seed = 7;
    add_dense(w, "params/encoder/", "encoder", s->n_input, s->n_channel);
    add_dense(w, "params/", "decoder", s->n_channel, s->n_class);
    for (uint32_t i = 0; i < s->n_layer; i++)
        add_layer(w, s, i);
    bool ok = vkssm_tensor_file_write(model_path(folder, "model.safetensors"), NULL, w->tensors, w->n) == VKSSM_OK;
    if (!ok) printf("%s\n", vkssm_last_error());
    for (uint32_t i = 0; i < w->n; i++)
        free((void *)w->tensors[i].data);
    free(w);
    return ok && write_config(tiny, folder);
}

#include "tiny_mamba2.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/half.h"
#include "model_test.h"

tiny_mamba2 tiny_mamba2_default(void) {
    return (tiny_mamba2){
        .shape = {.n_layer = 2,
                  .n_channel = 32,
                  .n_head = 4,
                  .n_width = 16,
                  .n_state = 16,
                  .n_group = 1,
                  .n_tap = 4,
                  .n_vocab = 40,
                  .norm_groups = 1,
                  .eps = 1e-5,
                  .dt_max = INFINITY,
                  .conv_bias = true,
                  .embedding = "backbone.embeddings.weight"},
    };
}

// ---- config.json ----------------------------------------------------------------------------------------------------

typedef struct text {
    char bytes[2048];
    size_t n;
    bool sparse;
} text;

static void say(text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->bytes + t->n, sizeof t->bytes - t->n, format, args);
    va_end(args);
    if (n > 0) t->n += (size_t)n;
    if (t->n >= sizeof t->bytes) t->n = sizeof t->bytes - 1;
}

static void say_u32(text *t, const char *key, uint32_t value, int64_t usual) {
    if (!t->sparse || value != usual) say(t, "\"%s\": %u, ", key, value);
}

static void say_bool(text *t, const char *key, bool value, bool usual) {
    if (!t->sparse || value != usual) say(t, "\"%s\": %s, ", key, value ? "true" : "false");
}

static void say_limits(text *t, const char *key, double min, double max) {
    if (t->sparse && min == 0 && isinf(max)) return;
    say(t, "\"%s\": [%.17g, ", key, min);
    say(t, isinf(max) ? "Infinity], " : "%.17g], ", max);
}

enum { NEVER = -1 }; // no value is the default

static void say_hugging_face(text *t, const tiny_mamba2 *tiny, uint32_t n_vocab, uint32_t expand) {
    const ref_mamba2_shape *s = &tiny->shape;
    say(t, "\"model_type\": \"mamba2\", \"architectures\": [\"Mamba2ForCausalLM\"], ");
    say_u32(t, "hidden_size", s->n_channel, NEVER);
    say_u32(t, "num_hidden_layers", s->n_layer, NEVER);
    say_u32(t, "vocab_size", n_vocab, NEVER);
    say_u32(t, "num_heads", s->n_head, 128);
    say_u32(t, "head_dim", s->n_width, 64);
    say_u32(t, "state_size", s->n_state, 128);
    say_u32(t, "n_groups", s->n_group, 8);
    say_u32(t, "conv_kernel", s->n_tap, 4);
    say_u32(t, "expand", expand, 2);
    say_bool(t, "use_bias", s->proj_bias, false);
    say_bool(t, "use_conv_bias", s->conv_bias, true);
    say_bool(t, "tie_word_embeddings", s->tied_head, false);
    say_limits(t, "time_step_limit", s->dt_min, s->dt_max);
    if (!t->sparse || s->eps != 1e-5) say(t, "\"layer_norm_epsilon\": %.17g, ", s->eps);
    if (!t->sparse) say(t, "\"hidden_act\": \"silu\", \"chunk_size\": 32, ");
}

static void say_original(text *t, const tiny_mamba2 *tiny, uint32_t n_vocab, uint32_t expand) {
    const ref_mamba2_shape *s = &tiny->shape;
    say_u32(t, "d_model", s->n_channel, NEVER);
    say_u32(t, "n_layer", s->n_layer, NEVER);
    say_u32(t, "vocab_size", n_vocab, NEVER);
    say_bool(t, "tie_embeddings", s->tied_head, true);
    if (!t->sparse) say(t, "\"rms_norm\": true, \"residual_in_fp32\": true, \"d_intermediate\": 0, ");
    say(t, "\"ssm_cfg\": {");
    say_u32(t, "d_state", s->n_state, 128);
    say_u32(t, "d_conv", s->n_tap, 4);
    say_u32(t, "expand", expand, 2);
    say_u32(t, "headdim", s->n_width, 64);
    say_u32(t, "ngroups", s->n_group, 1);
    say_bool(t, "rmsnorm", s->norm_groups > 0, true);
    say_bool(t, "norm_before_gate", s->norm_before_gate, false);
    say_bool(t, "bias", s->proj_bias, false);
    say_bool(t, "conv_bias", s->conv_bias, true);
    say_limits(t, "dt_limit", s->dt_min, s->dt_max);
    say(t, "\"layer\": \"Mamba2\"}, ");
}

bool tiny_mamba2_write_config(const tiny_mamba2 *tiny, const char *folder) {
    const ref_mamba2_shape *s = &tiny->shape;
    uint32_t expand = s->n_head * s->n_width / s->n_channel;
    uint32_t n_vocab = tiny->n_vocab_said ? tiny->n_vocab_said : s->n_vocab;
    text t = {.sparse = tiny->sparse};
    say(&t, "{%s", tiny->more_keys ? tiny->more_keys : "");
    if (tiny->original)
        say_original(&t, tiny, n_vocab, expand);
    else
        say_hugging_face(&t, tiny, n_vocab, expand);
    if (tiny->norm_groups_said) say(&t, "\"mixer_norm_groups\": %u, ", tiny->norm_groups_said);
    say(&t, "\"pad_token_id\": 0}\n");
    FILE *file = fopen(model_path(folder, "config.json"), "wb");
    bool ok = file && fwrite(t.bytes, 1, t.n, file) == t.n;
    if (file) ok &= fclose(file) == 0;
    if (!ok) perror(model_path(folder, "config.json"));
    return ok;
}

// ---- weights --------------------------------------------------------------------------------------------------------

typedef struct writer {
    const tiny_mamba2 *tiny;
    vkssm_named_tensor tensors[64];
    char names[64][64];
    uint32_t n;
    uint64_t seed;
    char prefix[48];
} writer;

static void *make_data(writer *w, size_t n, float low, float high) {
    vkssm_dtype dtype = w->tiny->dtype;
    uint8_t *data = model_alloc(n, vkssm_dtype_size(dtype));
    for (size_t i = 0; i < n; i++) {
        float value = check_uniform(&w->seed, low, high);
        uint16_t half = dtype == VKSSM_DTYPE_F16 ? vks_f32_to_f16(value) : vks_f32_to_bf16(value);
        if (dtype == VKSSM_DTYPE_F32)
            memcpy(data + 4 * i, &value, 4);
        else
            memcpy(data + 2 * i, &half, 2);
    }
    return data;
}

// The tensor's data.
static void *add(writer *w, const char *name, uint32_t n_dim, const uint64_t *shape, float low, float high) {
    vkssm_named_tensor *tensor = &w->tensors[w->n];
    size_t n = 1;
    for (uint32_t i = 0; i < n_dim; i++) {
        tensor->shape[i] = shape[i];
        n *= (size_t)shape[i];
    }
    snprintf(w->names[w->n], sizeof w->names[0], "%s%s", w->prefix, name);
    tensor->name = w->names[w->n];
    tensor->dtype = w->tiny->dtype;
    tensor->n_dim = n_dim;
    void *data = make_data(w, n, low, high);
    tensor->data = data;
    tensor->size = n * vkssm_dtype_size(tensor->dtype);
    if (w->tiny->leave_out && strcmp(w->tiny->leave_out, tensor->name) == 0)
        free(data);
    else
        w->n++;
    return data;
}

static void add_vector(writer *w, const char *name, size_t n, float low, float high) {
    add(w, name, 1, (uint64_t[]){n}, low, high);
}

// Values that keep the variance of a row's input.
static void *add_matrix(writer *w, const char *name, size_t n_row, size_t n_column) {
    float limit = sqrtf(3.0f / (float)n_column);
    return add(w, name, 2, (uint64_t[]){n_row, n_column}, -limit, limit);
}

static void add_layer(writer *w, uint32_t index) {
    const ref_mamba2_shape *s = &w->tiny->shape;
    size_t n_inner = (size_t)s->n_head * s->n_width, n_conv = n_inner + 2 * (size_t)s->n_group * s->n_state;
    snprintf(w->prefix, sizeof w->prefix, "backbone.layers.%u.", index);
    add_vector(w, "norm.weight", s->n_channel, 0.5f, 1.5f);
    snprintf(w->prefix, sizeof w->prefix, "backbone.layers.%u.mixer.", index);
    float *in_proj = add_matrix(w, "in_proj.weight", n_inner + n_conv + s->n_head, s->n_channel);
    for (size_t i = 0; w->tiny->gate_scale != 0 && i < n_inner * s->n_channel; i++)
        in_proj[i] *= w->tiny->gate_scale;
    add_matrix(w, "out_proj.weight", s->n_channel, n_inner);
    add(w, "conv1d.weight", 3, (uint64_t[]){n_conv, 1, s->n_tap}, -0.8f, 0.8f);
    add_vector(w, "A_log", s->n_head, -1, 1.5f); // some heads forget at once, others remember
    add_vector(w, "dt_bias", s->n_head, -3, 0.5f);
    add_vector(w, "D", s->n_head, -1, 1);
    if (s->norm_groups) add_vector(w, "norm.weight", n_inner, 0.5f, 1.5f);
    if (s->conv_bias) add_vector(w, "conv1d.bias", n_conv, -0.5f, 0.5f);
    if (s->proj_bias) add_vector(w, "in_proj.bias", n_inner + n_conv + s->n_head, -0.5f, 0.5f);
    if (s->proj_bias) add_vector(w, "out_proj.bias", s->n_channel, -0.5f, 0.5f);
    w->prefix[0] = 0;
}

bool tiny_mamba2_write(const tiny_mamba2 *tiny, const char *folder) {
    const ref_mamba2_shape *s = &tiny->shape;
    writer *w = model_alloc(1, sizeof *w);
    w->tiny = tiny;
    w->seed = 7;
    float most = tiny->embedding_scale != 0 ? tiny->embedding_scale : 1;
    add(w, s->embedding, 2, (uint64_t[]){s->n_vocab, s->n_channel}, -most, most);
    add_vector(w, "backbone.norm_f.weight", s->n_channel, 0.5f, 1.5f);
    if (!s->tied_head) add_matrix(w, "lm_head.weight", s->n_vocab, s->n_channel);
    for (uint32_t i = 0; i < s->n_layer; i++)
        add_layer(w, i);
    const char *path = model_path(folder, "model.safetensors");
    bool ok = vkssm_tensor_file_write(path, NULL, w->tensors, w->n) == VKSSM_OK;
    if (!ok) printf("%s\n", vkssm_last_error());
    for (uint32_t i = 0; i < w->n; i++)
        free((void *)w->tensors[i].data);
    free(w);
    return ok && tiny_mamba2_write_config(tiny, folder);
}

// Names, shapes and keys are those that llama.cpp's readers of "mamba" and "mamba2" ask for.
#include "gguf_model.h"

#include <stdio.h>
#include <string.h>

#include "host/base/alloc.h"

#define LAYER "backbone.layers.%u."

// A is stored as it is used, -exp(A_log), so it has a name of its own: see vks_bind_a.
const vks_gguf_name vks_gguf_names[] = {
    {NULL, "token_embd.weight", "backbone.embeddings.weight", VKS_GGUF_SAME, true},
    {NULL, "output_norm.weight", "backbone.norm_f.weight", VKS_GGUF_SAME, false},
    {NULL, "output.weight", "lm_head.weight", VKS_GGUF_SAME, true},
    {NULL, "blk.%u.attn_norm.weight", LAYER "norm.weight", VKS_GGUF_SAME, false},
    {NULL, "blk.%u.ssm_in.weight", LAYER "mixer.in_proj.weight", VKS_GGUF_SAME, true},
    {NULL, "blk.%u.ssm_conv1d.weight", LAYER "mixer.conv1d.weight", VKS_GGUF_CONV, false},
    {NULL, "blk.%u.ssm_conv1d.bias", LAYER "mixer.conv1d.bias", VKS_GGUF_SAME, false},
    {"mamba", "blk.%u.ssm_x.weight", LAYER "mixer.x_proj.weight", VKS_GGUF_SAME, true},
    {"mamba", "blk.%u.ssm_dt.weight", LAYER "mixer.dt_proj.weight", VKS_GGUF_SAME, false},
    {"mamba", "blk.%u.ssm_dt.bias", LAYER "mixer.dt_proj.bias", VKS_GGUF_SAME, false},
    {"mamba", "blk.%u.ssm_a", LAYER "mixer.A", VKS_GGUF_SAME, false},
    {"mamba", "blk.%u.ssm_d", LAYER "mixer.D", VKS_GGUF_SAME, false},
    {"mamba2", "blk.%u.ssm_dt.bias", LAYER "mixer.dt_bias", VKS_GGUF_SAME, false},
    {"mamba2", "blk.%u.ssm_a", LAYER "mixer.A", VKS_GGUF_COLUMN, false},
    {"mamba2", "blk.%u.ssm_d", LAYER "mixer.D", VKS_GGUF_COLUMN, false},
    {"mamba2", "blk.%u.ssm_norm.weight", LAYER "mixer.norm.weight", VKS_GGUF_GROUPS, false},
    {NULL, "blk.%u.ssm_out.weight", LAYER "mixer.out_proj.weight", VKS_GGUF_SAME, true},
};
const size_t vks_gguf_n_name = VKS_COUNT(vks_gguf_names);

static vkssm_status read_arch(const vks_gguf *gguf, char out[16]) {
    vks_gguf_text text = {0};
    VKS_TRY(vks_gguf_require(gguf, "general.architecture"));
    VKS_TRY(vks_gguf_string(gguf, "general.architecture", &text));
    static const char *const known[] = {"mamba", "mamba2"};
    for (size_t i = 0; i < VKS_COUNT(known); i++)
        if (strlen(known[i]) == text.size && memcmp(known[i], text.text, text.size) == 0) {
            strcpy(out, known[i]);
            return VKSSM_OK;
        }
    return vks_fail(gguf->log, VKSSM_ERR_UNSUPPORTED,
                    "%s: key general.architecture: mamba or mamba2 expected, %.*s found", gguf->path,
                    text.size < 80 ? (int)text.size : 80, text.text);
}

// ---- tensors --------------------------------------------------------------------------------------------------------

// The layer of a name that follows the pattern "...%u..."; -1: it does not. No leading zeros: one spelling a layer.
static int64_t layer_of(const char *pattern, const char *name) {
    const char *mark = strstr(pattern, "%u");
    if (!mark) return strcmp(pattern, name) == 0 ? 0 : -1;
    size_t before = (size_t)(mark - pattern);
    if (strncmp(pattern, name, before) != 0) return -1;
    const char *digits = name + before;
    int64_t layer = 0;
    size_t n = 0;
    while (digits[n] >= '0' && digits[n] <= '9' && n < 5)
        layer = 10 * layer + (digits[n++] - '0');
    if (n == 0 || (n > 1 && digits[0] == '0') || strcmp(digits + n, mark + 2) != 0) return -1;
    return layer;
}

static bool reshape(vks_gguf_shape shape, vkssm_named_tensor *tensor) {
    uint64_t *s = tensor->shape;
    switch (shape) {
    case VKS_GGUF_SAME:
        return true;
    case VKS_GGUF_CONV:
        if (tensor->n_dim != 2) return false;
        s[2] = s[1];
        s[1] = 1;
        tensor->n_dim = 3;
        return true;
    case VKS_GGUF_COLUMN:
        if (tensor->n_dim == 2 && s[1] == 1) tensor->n_dim = 1;
        return tensor->n_dim == 1;
    case VKS_GGUF_GROUPS:
        if (tensor->n_dim == 2) s[0] *= s[1]; // no overflow: the file's size bounds it
        tensor->n_dim = tensor->n_dim == 2 ? 1 : tensor->n_dim;
        return tensor->n_dim == 1;
    }
    return false;
}

static vkssm_status add_tensor(const vks_gguf *gguf, const char *arch, vkssm_named_tensor tensor,
                               vks_tensor_list *list) {
    char name[128];
    const char *from = tensor.name;
    for (size_t i = 0; i < vks_gguf_n_name; i++) {
        const vks_gguf_name *entry = &vks_gguf_names[i];
        if (entry->arch && strcmp(entry->arch, arch) != 0) continue;
        int64_t layer = layer_of(entry->file, from);
        if (layer < 0) continue;
        snprintf(name, sizeof name, entry->model, (unsigned)layer);
        if (!reshape(entry->shape, &tensor))
            return vks_fail(
                gguf->log, VKSSM_ERR_FORMAT, "%s: tensor %s: %s expected, %u dimensions found", gguf->path, from,
                entry->shape == VKS_GGUF_CONV ? "2 dimensions" : "a vector, or a matrix of its values", tensor.n_dim);
        tensor.name = name;
        break;
    }
    bool room = vks_grow((void **)&list->items, &list->capacity, list->n + 1, sizeof *list->items);
    tensor.name = room ? vks_strdup(tensor.name) : NULL;
    if (!tensor.name) return vks_fail(gguf->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the tensors", gguf->path);
    list->items[list->n++] = tensor;
    return VKSSM_OK;
}

vkssm_status vks_gguf_model_tensors(const vks_gguf *gguf, vks_tensor_list *out) {
    char arch[16];
    VKS_TRY(read_arch(gguf, arch));
    for (size_t i = 0; i < gguf->tensors.n; i++)
        VKS_TRY(add_tensor(gguf, arch, gguf->tensors.items[i], out));
    vks_tensor_list_sort(out);
    for (size_t i = 1; i < out->n; i++)
        if (strcmp(out->items[i - 1].name, out->items[i].name) == 0)
            return vks_fail(gguf->log, VKSSM_ERR_FORMAT, "%s: two tensors stand for " VKS_NAME ", one expected",
                            gguf->path, out->items[i].name);
    return VKSSM_OK;
}

// ---- configuration --------------------------------------------------------------------------------------------------

enum { MAX_SIZE = 1 << 20 };

// A size that must be there: key "ARCH.what".
static vkssm_status read_size(const vks_gguf *gguf, const char *arch, const char *what, int64_t max, int64_t *out) {
    char key[64];
    snprintf(key, sizeof key, "%s.%s", arch, what);
    VKS_TRY(vks_gguf_require(gguf, key));
    return vks_gguf_integer(gguf, key, 1, max, out);
}

typedef struct sizes {
    int64_t n_channel, n_layer, n_tap, n_inner, n_state, n_rank, n_group, n_vocab, bos, eos;
    double eps;
    bool conv_bias, tied_head, has_norms; // has_norms: dt, B and C are normalised (FalconMamba)
} sizes;

static vkssm_status read_sizes(const vks_gguf *gguf, const char *arch, sizes *s) {
    char key[64];
    vkssm_named_tensor tensor;
    VKS_TRY(read_size(gguf, arch, "embedding_length", MAX_SIZE, &s->n_channel));
    VKS_TRY(read_size(gguf, arch, "block_count", VKS_GGUF_MAX_LAYER, &s->n_layer));
    VKS_TRY(read_size(gguf, arch, "ssm.conv_kernel", 64, &s->n_tap));
    VKS_TRY(read_size(gguf, arch, "ssm.inner_size", MAX_SIZE, &s->n_inner));
    VKS_TRY(read_size(gguf, arch, "ssm.state_size", MAX_SIZE, &s->n_state));
    VKS_TRY(read_size(gguf, arch, "ssm.time_step_rank", MAX_SIZE, &s->n_rank));
    if (strcmp(arch, "mamba2") == 0) VKS_TRY(read_size(gguf, arch, "ssm.group_count", MAX_SIZE, &s->n_group));
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    VKS_TRY(vks_gguf_require(gguf, key));
    VKS_TRY(vks_gguf_real(gguf, key, &s->eps));
    snprintf(key, sizeof key, "%s.ssm.dt_b_c_rms", arch);
    VKS_TRY(vks_gguf_flag(gguf, key, &s->has_norms));
    VKS_TRY(vks_gguf_integer(gguf, "tokenizer.ggml.bos_token_id", 0, (1 << 24) - 1, &s->bos));
    VKS_TRY(vks_gguf_integer(gguf, "tokenizer.ggml.eos_token_id", 0, (1 << 24) - 1, &s->eos));
    if (!vks_gguf_tensor(gguf, "token_embd.weight", &tensor) || tensor.n_dim != 2)
        return vks_fail(gguf->log, VKSSM_ERR_FORMAT,
                        "%s: tensor token_embd.weight of two dimensions expected, none found", gguf->path);
    s->n_vocab = tensor.shape[0] < 1 << 24 ? (int64_t)tensor.shape[0] : 1 << 24; // too many is refused with the rest
    s->conv_bias = vks_gguf_tensor(gguf, "blk.0.ssm_conv1d.bias", &tensor);
    s->tied_head = !vks_gguf_tensor(gguf, "output.weight", &tensor);
    if (s->n_inner % s->n_channel != 0)
        return vks_fail(gguf->log, VKSSM_ERR_FORMAT,
                        "%s: key %s.ssm.inner_size: a multiple of embedding_length (%lld) expected, "
                        "%lld found",
                        gguf->path, arch, (long long)s->n_channel, (long long)s->n_inner);
    if (strcmp(arch, "mamba2") == 0 && s->n_inner % s->n_rank != 0)
        return vks_fail(gguf->log, VKSSM_ERR_FORMAT,
                        "%s: key mamba2.ssm.time_step_rank: a divisor of inner_size (%lld) "
                        "expected, %lld found",
                        gguf->path, (long long)s->n_inner, (long long)s->n_rank);
    return VKSSM_OK;
}

static const char *word(bool value) {
    return value ? "true" : "false";
}

// A number as JSON has it: the decimal point that printf writes is that of the program's locale.
static void write_number(double value, char out[32]) {
    char text[64];
    size_t n = 0;
    snprintf(text, sizeof text, "%.9g", value);
    for (const char *c = text; *c && n < 31; c++)
        if (strchr("0123456789+-e", *c))
            out[n++] = *c;
        else if (n > 0 && out[n - 1] != '.') // of several bytes, perhaps
            out[n++] = '.';
    out[n] = 0;
}

vkssm_status vks_gguf_read_config(const vks_gguf *gguf, vks_config **out) {
    char arch[16], text[1024], parts[512], eps[32];
    sizes s = {.bos = -1, .eos = -1};
    VKS_TRY(read_arch(gguf, arch));
    VKS_TRY(read_sizes(gguf, arch, &s));
    write_number(s.eps, eps);
    // llama.cpp normalises each group by itself.
    if (strcmp(arch, "mamba2") == 0)
        snprintf(parts, sizeof parts,
                 "\"model_type\": \"mamba2\", \"num_heads\": %lld, \"head_dim\": %lld, \"n_groups\": %lld, "
                 "\"mixer_norm_groups\": %lld",
                 (long long)s.n_rank, (long long)(s.n_inner / s.n_rank), (long long)s.n_group, (long long)s.n_group);
    else
        snprintf(parts, sizeof parts, "\"model_type\": \"%s\", \"time_step_rank\": %lld, \"intermediate_size\": %lld",
                 s.has_norms ? "falcon_mamba" : "mamba", (long long)s.n_rank, (long long)s.n_inner);
    int size = snprintf(
        text, sizeof text,
        "{%s, \"hidden_size\": %lld, \"num_hidden_layers\": %lld, \"conv_kernel\": %lld, \"state_size\": %lld, "
        "\"expand\": %lld, \"vocab_size\": %lld, \"layer_norm_epsilon\": %s, \"use_bias\": false, "
        "\"use_conv_bias\": %s, \"tie_word_embeddings\": %s, \"bos_token_id\": %lld, \"eos_token_id\": %lld}",
        parts, (long long)s.n_channel, (long long)s.n_layer, (long long)s.n_tap, (long long)s.n_state,
        (long long)(s.n_inner / s.n_channel), (long long)s.n_vocab, eps, word(s.conv_bias), word(s.tied_head),
        (long long)s.bos, (long long)s.eos);
    return vks_config_parse(gguf->path, text, (size_t)size, gguf->log, out);
}

#include "gguf_export.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "host/base/alloc.h"
#include "models/io/gguf_model.h"

// ---- sizes ----------------------------------------------------------------------------------------------------------

enum { MAX_SIZE = 1 << 20, MAX_VOCAB = 1 << 24 };

static vkssm_status unsupported(const vks_export *e, const char *what) {
    return vks_fail(e->log, VKSSM_ERR_UNSUPPORTED, "%s: %s has no place in a GGUF file that llama.cpp reads", e->path,
                    what);
}

// Both layouts of Mamba-2; the architecture has checked that the values are in range and fit together.
static vkssm_status read_sizes(const vks_config *config, vks_export *e) {
    bool original = !vks_config_has(config, "model_type"), bias = false, norm_first = false, gated_norm = true;
    const char *prefix = original ? "ssm_cfg." : "";
    struct {
        const char *hugging_face, *original;
        uint32_t *out, value;
    } keys[] = {
        {"hidden_size", "d_model", &e->n_channel, 4096},     {"num_hidden_layers", "n_layer", &e->n_layer, 64},
        {"vocab_size", "vocab_size", &e->n_vocab, 32768},    {"conv_kernel", "ssm_cfg.d_conv", &e->n_tap, 4},
        {"state_size", "ssm_cfg.d_state", &e->n_state, 128},
    };
    uint32_t expand = 2, width = 64, norm_groups;
    for (size_t i = 0; i < VKS_COUNT(keys); i++) {
        *keys[i].out = keys[i].value;
        const char *key = original ? keys[i].original : keys[i].hugging_face;
        VKS_TRY(vks_config_u32(config, key, 1, MAX_VOCAB, keys[i].out));
    }
    e->n_group = original ? 1 : 8;
    VKS_TRY(vks_config_u32(config, original ? "ssm_cfg.expand" : "expand", 1, 64, &expand));
    VKS_TRY(vks_config_u32(config, original ? "ssm_cfg.headdim" : "head_dim", 1, MAX_SIZE, &width));
    VKS_TRY(vks_config_u32(config, original ? "ssm_cfg.ngroups" : "n_groups", 1, MAX_SIZE, &e->n_group));
    e->n_inner = expand * e->n_channel;
    e->n_head = e->n_inner / width;
    e->eps = 1e-5f;
    VKS_TRY(vks_config_f32(config, "layer_norm_epsilon", 0, 1, &e->eps));
    e->bos = e->eos = -1;
    VKS_TRY(vks_config_i32(config, "bos_token_id", -1, MAX_VOCAB, &e->bos));
    VKS_TRY(vks_config_i32(config, "eos_token_id", -1, MAX_VOCAB, &e->eos));
    e->tied_head = original;
    VKS_TRY(vks_config_bool(config, original ? "tie_embeddings" : "tie_word_embeddings", &e->tied_head));
    norm_groups = original ? e->n_group : 1;
    VKS_TRY(vks_config_u32(config, "mixer_norm_groups", 1, MAX_SIZE, &norm_groups));
    VKS_TRY(vks_config_bool(config, original ? "ssm_cfg.bias" : "use_bias", &bias));
    VKS_TRY(vks_config_bool(config, "ssm_cfg.norm_before_gate", &norm_first));
    VKS_TRY(vks_config_bool(config, "ssm_cfg.rmsnorm", &gated_norm));
    float limits[2] = {0, INFINITY};
    char key[32];
    snprintf(key, sizeof key, "%s%s", prefix, original ? "dt_limit" : "time_step_limit");
    if (vks_config_has(config, key)) VKS_TRY(vks_config_f32_array(config, key, 0, INFINITY, 2, limits));
    if (bias) return unsupported(e, "a bias of the projections");
    if (norm_first || !gated_norm) return unsupported(e, "a mixer without a norm behind its gate");
    if (norm_groups != e->n_group) return unsupported(e, "a gated norm over several groups together");
    if (limits[0] > 0 || limits[1] < 1e3f) return unsupported(e, "a limit of the time step");
    if (expand != 2) return unsupported(e, "an inner width other than twice the hidden size");
    return VKSSM_OK;
}

// ---- tensors --------------------------------------------------------------------------------------------------------

// The shape that the file has, and the one that the checkpoint has ([1 ... 3] dimensions).
static uint32_t shape_of(const vks_export *e, const char *file_name, vks_gguf_shape kind, uint64_t shape[4],
                         uint64_t source[4], uint32_t *n_source) {
    uint64_t n_conv = e->n_inner + 2 * (uint64_t)e->n_group * e->n_state;
    const struct {
        const char *part;
        uint64_t row, column; // column 0: a vector
    } shapes[] = {
        {"token_embd", e->n_vocab, e->n_channel},
        {"output.", e->n_vocab, e->n_channel},
        {"ssm_in", e->n_inner + n_conv + e->n_head, e->n_channel},
        {"ssm_out", e->n_channel, e->n_inner},
        {"conv1d.weight", n_conv, e->n_tap},
        {"conv1d.bias", n_conv, 0},
        {"ssm_dt", e->n_head, 0},
        {"ssm_a", e->n_head, 0},
        {"ssm_d", e->n_head, 0},
        {"ssm_norm", e->n_inner, 0},
        {"norm", e->n_channel, 0},
    };
    size_t i = 0;
    while (i + 1 < VKS_COUNT(shapes) && !strstr(file_name, shapes[i].part))
        i++;
    uint64_t row = shapes[i].row, column = shapes[i].column;
    source[0] = row;
    source[1] = kind == VKS_GGUF_CONV ? 1 : column;
    source[2] = column;
    *n_source = kind == VKS_GGUF_CONV ? 3 : column ? 2 : 1;
    shape[0] = kind == VKS_GGUF_GROUPS ? e->n_group : row;
    shape[1] = kind == VKS_GGUF_GROUPS ? row / e->n_group : kind == VKS_GGUF_COLUMN ? 1 : column;
    return kind == VKS_GGUF_GROUPS || kind == VKS_GGUF_COLUMN || column ? 2 : 1;
}

// The name under which the checkpoint has it: two spellings of the embedding, and A as its logarithm.
static bool find_source(const vks_weights *weights, const char *name, vks_export_tensor *t) {
    char other[128];
    if (vks_weights_find(weights, name, &t->source)) return true;
    size_t n = strlen(name);
    if (n > 2 && strcmp(name + n - 2, ".A") == 0) {
        snprintf(other, sizeof other, "%s_log", name);
        t->negative_exp = true;
    } else {
        snprintf(other, sizeof other, "backbone.embedding.weight");
        if (strcmp(name, "backbone.embeddings.weight") != 0) return false;
    }
    return vks_weights_find(weights, other, &t->source);
}

static bool same_shape(const vkssm_named_tensor *tensor, uint32_t n_dim, const uint64_t *shape) {
    bool same = tensor->n_dim == n_dim;
    for (uint32_t i = 0; same && i < n_dim; i++)
        same = tensor->shape[i] == shape[i];
    return same;
}

static vkssm_status add(vks_export *e, const vks_gguf_name *entry, const vks_weights *weights, unsigned layer) {
    char name[128];
    uint64_t wanted[4];
    uint32_t n_wanted;
    vks_export_tensor t = {.is_matrix = entry->is_matrix};
    snprintf(t.name, sizeof t.name, entry->file, layer);
    snprintf(name, sizeof name, entry->model, layer);
    t.is_table = entry->is_matrix && !strstr(entry->file, "%u");
    t.n_dim = shape_of(e, t.name, entry->shape, t.shape, wanted, &n_wanted);
    bool found = find_source(weights, name, &t);
    if (!found && strstr(name, "conv1d.bias")) { // the reader asks for one
        t.source = (vkssm_named_tensor){.name = "zeros", .dtype = VKSSM_DTYPE_F32, .n_dim = 1, .shape = {wanted[0]}};
        found = true;
    }
    if (!found)
        return vks_fail(e->log, VKSSM_ERR_FORMAT, "%s: tensor %s expected, none found", vks_weights_path(weights),
                        name);
    vkssm_dtype dtype = t.source.dtype;
    if (dtype != VKSSM_DTYPE_F32 && dtype != VKSSM_DTYPE_F16 && dtype != VKSSM_DTYPE_BF16)
        return vks_fail(e->log, VKSSM_ERR_UNSUPPORTED, "%s: tensor %s: F32, F16 or BF16 expected, %s found",
                        vks_weights_path(weights), name, vkssm_dtype_name(dtype));
    if (!same_shape(&t.source, n_wanted, wanted))
        return vks_fail(e->log, VKSSM_ERR_FORMAT,
                        "%s: tensor %s: %u dimensions, the first %llu and the last %llu expected, "
                        "others found",
                        vks_weights_path(weights), name, n_wanted, (unsigned long long)wanted[0],
                        (unsigned long long)wanted[n_wanted - 1]);
    if (!vks_grow((void **)&e->tensors, &e->capacity, e->n_tensor + 1, sizeof *e->tensors))
        return vks_fail(e->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the list of tensors", e->path);
    e->tensors[e->n_tensor++] = t;
    return VKSSM_OK;
}

// The original layout pads the vocabulary, and the embedding says to how much.
static void find_vocab(const vks_weights *weights, vks_export *e) {
    vks_export_tensor table = {0};
    if (find_source(weights, "backbone.embeddings.weight", &table) && table.source.n_dim == 2 &&
        table.source.shape[0] > e->n_vocab && table.source.shape[0] < MAX_VOCAB)
        e->n_vocab = (uint32_t)table.source.shape[0];
}

vkssm_status vks_export_read(const vks_config *config, const vks_weights *weights, vks_export *out) {
    *out = (vks_export){.log = vks_config_log(config), .path = vks_config_path(config)};
    VKS_TRY(read_sizes(config, out));
    find_vocab(weights, out);
    for (unsigned layer = 0; layer < out->n_layer; layer++)
        for (size_t i = 0; i < vks_gguf_n_name; i++) {
            const vks_gguf_name *entry = &vks_gguf_names[i];
            bool once = !strstr(entry->file, "%u");
            if ((entry->arch && strcmp(entry->arch, "mamba2") != 0) || (once && layer > 0)) continue;
            if (out->tied_head && strcmp(entry->file, "output.weight") == 0) continue;
            VKS_TRY(add(out, entry, weights, layer));
        }
    return VKSSM_OK;
}

void vks_export_finish(vks_export *e) {
    vks_free(e->tensors);
    memset(e, 0, sizeof *e);
}

// ---- keys -----------------------------------------------------------------------------------------------------------

static void add_tokenizer(const vks_token_lists *lists, vks_gguf_writer *w) {
    vks_gguf_add_string(w, "tokenizer.ggml.model", "gpt2");
    vks_gguf_add_string(w, "tokenizer.ggml.pre", lists->pre);
    vks_gguf_add_strings(w, "tokenizer.ggml.tokens", lists->n_token);
    for (size_t i = 0; i < lists->n_token; i++)
        vks_gguf_add_item(w, lists->tokens[i].text, lists->tokens[i].size);
    vks_gguf_add_i32s(w, "tokenizer.ggml.token_type", lists->types, lists->n_token);
    vks_gguf_add_strings(w, "tokenizer.ggml.merges", lists->n_merge);
    for (size_t i = 0; i < lists->n_merge; i++)
        vks_gguf_add_item(w, lists->merges[i].text, lists->merges[i].size);
    if (lists->unk >= 0) vks_gguf_add_u32(w, "tokenizer.ggml.unknown_token_id", (uint32_t)lists->unk);
    vks_gguf_add_bool(w, "tokenizer.ggml.add_bos_token", lists->adds_bos);
}

// The tokenizer's, or the configuration's where the tokenizer has none and the id is a token.
static void add_id(const vks_export *e, const vks_token_lists *lists, const char *key, int32_t of_tokenizer,
                   int32_t of_config, vks_gguf_writer *w) {
    int32_t id = of_tokenizer >= 0 ? of_tokenizer : of_config;
    bool known = id >= 0 && (uint32_t)id < e->n_vocab && (!lists || lists->types[id] != VKS_TOKEN_UNUSED);
    if (known) vks_gguf_add_u32(w, key, (uint32_t)id);
}

// What llama.cpp calls a file by the type of most weights.
static uint32_t file_type(vkssm_dtype type) {
    switch (type) {
    case VKSSM_DTYPE_F32:
        return 0;
    case VKSSM_DTYPE_Q4_0:
        return 2;
    case VKSSM_DTYPE_Q8_0:
        return 7;
    case VKSSM_DTYPE_Q4_K:
        return 14;
    case VKSSM_DTYPE_Q6_K:
        return 18;
    default:
        return 1;
    }
}

void vks_export_keys(const vks_export *e, const vks_token_lists *tokenizer, vkssm_dtype type, vks_gguf_writer *w) {
    vks_gguf_add_string(w, "general.architecture", "mamba2");
    vks_gguf_add_u32(w, "general.file_type", file_type(type));
    vks_gguf_add_u32(w, "general.quantization_version", 2);
    vks_gguf_add_u32(w, "mamba2.context_length", 1 << 20); // there is no limit; the reader wants a number
    vks_gguf_add_u32(w, "mamba2.embedding_length", e->n_channel);
    vks_gguf_add_u32(w, "mamba2.feed_forward_length", 0);
    vks_gguf_add_u32(w, "mamba2.attention.head_count", 0);
    vks_gguf_add_u32(w, "mamba2.block_count", e->n_layer);
    vks_gguf_add_u32(w, "mamba2.vocab_size", e->n_vocab);
    vks_gguf_add_u32(w, "mamba2.ssm.conv_kernel", e->n_tap);
    vks_gguf_add_u32(w, "mamba2.ssm.inner_size", e->n_inner);
    vks_gguf_add_u32(w, "mamba2.ssm.state_size", e->n_state);
    vks_gguf_add_u32(w, "mamba2.ssm.time_step_rank", e->n_head);
    vks_gguf_add_u32(w, "mamba2.ssm.group_count", e->n_group);
    vks_gguf_add_f32(w, "mamba2.attention.layer_norm_rms_epsilon", e->eps);
    if (tokenizer)
        add_tokenizer(tokenizer, w);
    else
        vks_gguf_add_string(w, "tokenizer.ggml.model", "none");
    add_id(e, tokenizer, "tokenizer.ggml.bos_token_id", tokenizer ? tokenizer->bos : -1, e->bos, w);
    add_id(e, tokenizer, "tokenizer.ggml.eos_token_id", tokenizer ? tokenizer->eos : -1, e->eos, w);
}

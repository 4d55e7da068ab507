// Cases of whole models, with made-up weights of published shapes, through the public calls: what a program gets.
#include "bench_run.h"

#include <stdio.h>
#include <string.h>

#include <vkssm/session.h>

#include "core_model.h"
#include "host/base/quant.h"

enum { PREFILL, DECODE };                                     // kind
enum { LAYERS, CHANNELS, HEADS, TOKENS, SEQUENCES };          // n; SEQUENCES 0: 1
enum { HEAD_DIM = 64, STATE = 128, TAPS = 4, VOCAB = 50288 }; // of all Mamba-2 models
enum { STATE_1 = 16, VOCAB_1 = 50280, PER_RANK = 16 };        // of all Mamba-1 models, which have no heads
enum { GPU_DECODE = 64, CPU_DECODE = 4 };                     // tokens generated at once

#define MAMBA_130M(n_token)                                                                                            \
    { 24, 768, 0, n_token }
#define MAMBA_2_8B(n_token)                                                                                            \
    { 64, 2560, 0, n_token }
#define MAMBA2_130M(n_token)                                                                                           \
    { 24, 768, 24, n_token }
#define MAMBA2_2_7B(n_token)                                                                                           \
    { 64, 2560, 80, n_token }

static const vks_bench_entry models[] = {
    {"model/mamba-130m/prefill/t512/f16", "Mamba-1 of 130M parameters reads 512 tokens", VKSSM_DTYPE_F16,
     MAMBA_130M(512), PREFILL},
    {"model/mamba-130m/prefill/t2048/f16", "the same, 2048 tokens", VKSSM_DTYPE_F16, MAMBA_130M(2048), PREFILL},
    {"model/mamba-130m/decode/b1/f16", "Mamba-1 of 130M parameters generates, greedily", VKSSM_DTYPE_F16, MAMBA_130M(1),
     DECODE},
    {"model/mamba-2.8b/prefill/t512/f16", "Mamba-1 of 2.8B parameters reads 512 tokens", VKSSM_DTYPE_F16,
     MAMBA_2_8B(512), PREFILL},
    {"model/mamba-2.8b/prefill/t2048/f16", "the same, 2048 tokens", VKSSM_DTYPE_F16, MAMBA_2_8B(2048), PREFILL},
    {"model/mamba-2.8b/decode/b1/f16", "Mamba-1 of 2.8B parameters generates, greedily", VKSSM_DTYPE_F16, MAMBA_2_8B(1),
     DECODE},
    {"model/mamba-2.8b/decode/b1/q8_0", "the same, Q8_0 weights", VKSSM_DTYPE_Q8_0, MAMBA_2_8B(1), DECODE},
    {"model/mamba2-130m/prefill/t512/f16", "Mamba-2 of 130M parameters reads 512 tokens", VKSSM_DTYPE_F16,
     MAMBA2_130M(512), PREFILL},
    {"model/mamba2-130m/prefill/t2048/f16", "the same, 2048 tokens", VKSSM_DTYPE_F16, MAMBA2_130M(2048), PREFILL},
    {"model/mamba2-130m/decode/b1/f16", "Mamba-2 of 130M parameters generates, greedily", VKSSM_DTYPE_F16,
     MAMBA2_130M(1), DECODE},
    {"model/mamba2-130m/decode/b64/f16",
     "the same for 64 sequences at once; tokens of all of them",
     VKSSM_DTYPE_F16,
     {24, 768, 24, 64, 64},
     DECODE},
    {"model/mamba2-2.7b/prefill/t512/f16", "Mamba-2 of 2.7B parameters reads 512 tokens", VKSSM_DTYPE_F16,
     MAMBA2_2_7B(512), PREFILL},
    {"model/mamba2-2.7b/prefill/t2048/f16", "the same, 2048 tokens", VKSSM_DTYPE_F16, MAMBA2_2_7B(2048), PREFILL},
    {"model/mamba2-2.7b/prefill/t16384/f16", "the same, 16384 tokens, in pieces", VKSSM_DTYPE_F16, MAMBA2_2_7B(16384),
     PREFILL},
    {"model/mamba2-2.7b/prefill/t512/q8_0", "512 tokens, Q8_0 weights", VKSSM_DTYPE_Q8_0, MAMBA2_2_7B(512), PREFILL},
    {"model/mamba2-2.7b/decode/b1/f16", "Mamba-2 of 2.7B parameters generates, greedily", VKSSM_DTYPE_F16,
     MAMBA2_2_7B(1), DECODE},
    {"model/mamba2-2.7b/decode/b1/q8_0", "the same, Q8_0 weights, inputs in codes of 8 bits", VKSSM_DTYPE_Q8_0, MAMBA2_2_7B(1), DECODE},
    {"model/mamba2-2.7b/decode/b1/q4_0", "the same, Q4_0 weights and Q8_0 embedding, inputs in codes of 8 bits", VKSSM_DTYPE_Q4_0, MAMBA2_2_7B(1),
     DECODE},
    {"model/mamba2-2.7b/decode/b16/f16",
     "float16 weights, 16 sequences at once; tokens of all of them",
     VKSSM_DTYPE_F16,
     {64, 2560, 80, 16, 16},
     DECODE},
    {"model/mamba2-2.7b/decode/b64/f16",
     "the same for 64 sequences at once",
     VKSSM_DTYPE_F16,
     {64, 2560, 80, 64, 64},
     DECODE},
};

// ---- counting ------------------------------------------------------------------------------------------------------

typedef struct counts {
    uint64_t n_layer_weight; // of the matrices of the layers
    uint64_t n_head_weight;  // of the head, which is the embedding
    uint64_t n_state;        // floats of a slot
} counts;

static bool is_mamba1(const vks_bench_entry *e) {
    return e->n[HEADS] == 0;
}

static counts count_mamba1(const vks_bench_entry *e) {
    uint64_t n_layer = e->n[LAYERS], d = e->n[CHANNELS], inner = 2 * d, rank = d / PER_RANK;
    return (counts){
        .n_layer_weight = n_layer * (d * 2 * inner + inner * (rank + 2 * STATE_1) + rank * inner + inner * d),
        .n_head_weight = VOCAB_1 * d,
        .n_state = n_layer * inner * (TAPS - 1 + STATE_1),
    };
}

static counts count(const vks_bench_entry *e) {
    if (is_mamba1(e)) return count_mamba1(e);
    uint64_t n_layer = e->n[LAYERS], d = e->n[CHANNELS], h = e->n[HEADS], inner = 2 * d, conv = inner + 2 * STATE;
    return (counts){
        .n_layer_weight = n_layer * (d * (inner + conv + h) + inner * d),
        .n_head_weight = VOCAB * d,
        .n_state = n_layer * ((TAPS - 1) * conv + h * HEAD_DIM * STATE),
    };
}

static uint32_t sequences_of(const vks_bench_entry *e) {
    return e->n[SEQUENCES] ? e->n[SEQUENCES] : 1;
}

// Bytes of n weights.
static uint64_t weight_size(vkssm_dtype dtype, uint64_t n) {
    return vks_quant_file_size(dtype, n);
}

// Products of the layers for every token, of the head for the last one only, and the recurrence. The weights are read
// once, and the state is read and written once.
static void count_work(const vks_bench_entry *e, vkssm_bench_result *result) {
    counts c = count(e);
    uint64_t n_token = result->n_token, scan = 5 * (uint64_t)e->n[LAYERS] * e->n[HEADS] * HEAD_DIM * STATE;
    if (is_mamba1(e)) scan = 7 * (uint64_t)e->n[LAYERS] * 2 * e->n[CHANNELS] * STATE_1;
    uint64_t n_sequence = sequences_of(e), n_head = e->kind == DECODE ? n_sequence : 1;
    result->flop = n_token * (2 * c.n_layer_weight + scan) + 2 * n_head * c.n_head_weight;
    result->bytes = weight_size(e->dtype, c.n_layer_weight) +
                    weight_size(vks_quant_table_type(e->dtype), c.n_head_weight) +
                    2 * n_sequence * c.n_state * sizeof(float);
}

// ---- running -------------------------------------------------------------------------------------------------------

typedef struct model_run {
    const vks_bench_entry *entry;
    vkssm_model *model;
    vkssm_session *session;
    int32_t *tokens;
    uint32_t n_token; // of a call
} model_run;

static vkssm_status call_prefill(void *user) {
    model_run *r = user;
    VKS_TRY(vkssm_session_reset(r->session, 0));
    return vkssm_session_prefill(r->session, 0, r->tokens, r->n_token, VKSSM_LOGITS_NONE, NULL);
}

// One token more than is counted: the first one needs no step.
static vkssm_status call_decode(void *user) {
    model_run *r = user;
    const vkssm_generate_params params = {.n_token = r->n_token + 1};
    uint32_t n_left = 1;
    for (uint32_t i = 0; i < sequences_of(r->entry); i++)
        VKS_TRY(vkssm_session_join(r->session, i, &params, NULL));
    while (n_left)
        VKS_TRY(vkssm_session_advance(r->session, UINT32_MAX, &n_left));
    return VKSSM_OK;
}

static vkssm_status open_session(model_run *r, bool timestamps) {
    const vkssm_session_params params = {
        .n_slot = sequences_of(r->entry), .timestamps = timestamps, .coded_inputs = true};
    VKS_TRY(vkssm_session_create(r->model, &params, &r->session));
    const int32_t first[] = {1, 2, 3, 4};
    for (uint32_t i = 0; i < params.n_slot; i++)
        VKS_TRY(vkssm_session_prefill(r->session, i, first, VKS_COUNT(first), VKSSM_LOGITS_NONE, NULL));
    return VKSSM_OK;
}

// Logits of random weights are finite if everything before them was.
static vkssm_status check_logits(const vkssm_device *device, model_run *r) {
    vkssm_model_info info;
    vkssm_model_get_info(r->model, &info);
    float *logits = vks_alloc_zero(info.n_vocab, sizeof *logits);
    if (!logits) return vks_fail(vks_device_log(device->vk), VKSSM_ERR_OOM_HOST, "%s: out of memory", r->entry->name);
    const int32_t token = 1;
    vkssm_status status = vkssm_session_prefill(r->session, 0, &token, 1, VKSSM_LOGITS_LAST, logits);
    uint32_t n_finite = 0, n_zero = 0;
    for (uint32_t i = 0; i < info.n_vocab; i++) {
        n_finite += logits[i] - logits[i] == 0;
        n_zero += logits[i] == 0;
    }
    vks_free(logits);
    if (status != VKSSM_OK || (n_finite == info.n_vocab && n_zero < info.n_vocab)) return status;
    return vks_fail(vks_device_log(device->vk), VKSSM_ERR_INTERNAL,
                    "%s: %u finite logits, some of them not zero, expected, %u finite and %u zero found",
                    r->entry->name, info.n_vocab, n_finite, n_zero);
}

// ---- parts ---------------------------------------------------------------------------------------------------------

static void add_parts(const vkssm_session *session, int sign, vkssm_bench_result *result) {
    vkssm_scope scope;
    for (uint32_t i = 0; i < VKSSM_BENCH_MAX_PART && vkssm_session_get_scope(session, i, &scope) == VKSSM_OK; i++) {
        vkssm_bench_part *part = &result->parts[i];
        if (sign < 0) { // the first of two looks
            *part = (vkssm_bench_part){scope.name, scope.n_call, scope.time_ns};
        } else {
            part->name = scope.name;
            part->n_call = scope.n_call - part->n_call;
            part->time_ns = scope.time_ns - part->time_ns;
        }
        result->n_part = i + 1;
    }
}

// One more run in a session with timestamps, which take some time themselves; and one before it to raise the clocks,
// unless runs are that long.
static vkssm_status measure_parts(model_run *r, vkssm_status (*call)(void *user), double call_ns,
                                  vkssm_bench_result *result) {
    const double long_ns = 1e9;
    vkssm_session_destroy(&r->session);
    VKS_TRY(open_session(r, true));
    if (call_ns < long_ns) VKS_TRY(call(r));
    add_parts(r->session, -1, result);
    VKS_TRY(call(r));
    add_parts(r->session, 1, result);
    for (uint32_t i = 0; r->entry->kind == DECODE && i < result->n_part; i++) {
        result->parts[i].time_ns /= r->n_token;
        result->parts[i].n_call /= r->n_token;
    }
    return VKSSM_OK;
}

// ---- a case --------------------------------------------------------------------------------------------------------

static void config_of(const vks_bench_entry *e, char *config, size_t size) {
    if (is_mamba1(e))
        snprintf(config, size,
                 "{\"model_type\": \"mamba\", \"hidden_size\": %u, \"num_hidden_layers\": %u, \"state_size\": %d, "
                 "\"conv_kernel\": %d, \"expand\": 2, \"time_step_rank\": %u, \"use_bias\": false, \"vocab_size\": %d, "
                 "\"tie_word_embeddings\": true}",
                 e->n[CHANNELS], e->n[LAYERS], STATE_1, TAPS, e->n[CHANNELS] / PER_RANK, VOCAB_1);
    else
        snprintf(config, size,
                 "{\"model_type\": \"mamba2\", \"hidden_size\": %u, \"num_hidden_layers\": %u, \"num_heads\": %u, "
                 "\"head_dim\": %d, \"state_size\": %d, \"n_groups\": 1, \"conv_kernel\": %d, \"expand\": 2, "
                 "\"vocab_size\": %d, \"tie_word_embeddings\": true}",
                 e->n[CHANNELS], e->n[LAYERS], e->n[HEADS], HEAD_DIM, STATE, TAPS, VOCAB);
}

static vkssm_status create_model(vkssm_device *device, const vks_bench_entry *e, const vkssm_bench_params *params,
                                 vkssm_model **out) {
    char config[512];
    config_of(e, config, sizeof config);
    const vkssm_model_params model_params = {
        .convert_weights = true, .weight_dtype = e->dtype, .activation_dtype = params->activation_dtype};
    return vks_model_synthetic(device, e->name, config, &model_params, out);
}

static vkssm_status measure(vkssm_device *device, model_run *r, const vkssm_bench_params *params,
                            vkssm_bench_result *result) {
    bool prefill = r->entry->kind == PREFILL;
    vkssm_status (*call)(void *) = prefill ? call_prefill : call_decode;
    vks_bench_times times;
    VKS_TRY(open_session(r, false));
    const vks_bench_call timed = {vks_device_log(device->vk), call, r, prefill ? 1 : r->n_token};
    VKS_TRY(vks_bench_time_call(&timed, params, &times));
    VKS_TRY(check_logits(device, r));
    vks_bench_set_times(&times, params, result);
    return measure_parts(r, call, times.median_ns * timed.n_run, result);
}

static vkssm_status run_model(vkssm_device *device, const vks_bench_entry *entry, const vkssm_bench_params *params,
                              vkssm_bench_result *result) {
    vkssm_dtype dtype = params->activation_dtype;
    if (dtype != VKSSM_DTYPE_F32 && dtype != VKSSM_DTYPE_F16 && dtype != VKSSM_DTYPE_BF16)
        return vks_fail(vks_device_log(device->vk), VKSSM_ERR_ARG,
                        "%s: F32, F16 or BF16 activations expected, %s found", entry->name, vkssm_dtype_name(dtype));
    result->n_token = entry->n[TOKENS];
    result->n_set = 1;
    result->activation_dtype = dtype;
    count_work(entry, result);
    // Beside weights and state there is scratch, which only a session can tell.
    if (!vks_bench_can_run(device, result->bytes + result->bytes / 8, params, result)) return VKSSM_OK;
    bool cpu = vks_device_caps(device->vk)->type == VKS_DEVICE_CPU;
    model_run r = {.entry = entry, .n_token = entry->n[TOKENS]};
    if (entry->kind == DECODE) r.n_token = cpu ? CPU_DECODE : GPU_DECODE;
    vkssm_status status;
    r.tokens = vks_alloc_zero(r.n_token, sizeof *r.tokens);
    if (!r.tokens) return vks_fail(vks_device_log(device->vk), VKSSM_ERR_OOM_HOST, "%s: out of memory", entry->name);
    for (uint32_t i = 0; i < r.n_token; i++)
        r.tokens[i] = (int32_t)(i * UINT32_C(7919) % VOCAB_1); // which all of them have
    VKS_TRY_GOTO(create_model(device, entry, params, &r.model), done);
    VKS_TRY_GOTO(measure(device, &r, params, result), done);
done:
    vkssm_session_destroy(&r.session);
    vkssm_model_destroy(&r.model);
    vks_free(r.tokens);
    return status;
}

const vks_bench_family vks_bench_models = {models, VKS_COUNT(models), NULL, NULL, NULL, run_model};

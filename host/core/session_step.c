// One token at a time: the replayed step, the sampler, and generation.
#include "core_session.h"

#include <string.h>

#include "core_device.h"
#include "host/base/alloc.h"
#include "shaders/params/sample.h"

uint32_t *vks_session_control(vkssm_session *session, uint32_t slot) {
    return (uint32_t *)session->mirror.mapped + (size_t)slot * VKS_CONTROL_SIZE;
}

uint32_t *vks_session_slot_list(vkssm_session *session) {
    return (uint32_t *)session->mirror.mapped + (size_t)session->sizes.n_slot * VKS_CONTROL_SIZE;
}

// The control words as tensors: all words, the tokens among them, the list of slots.
static vks_tensor controls(const vkssm_session *session) {
    return vks_tensor_dense(session->control.address, VKSSM_DTYPE_I32, 2,
                            (uint32_t[]){session->sizes.n_slot, VKS_CONTROL_SIZE});
}

static vks_tensor slot_list(const vkssm_session *session, uint32_t n_sequence) {
    uint64_t offset = (uint64_t)session->sizes.n_slot * VKS_CONTROL_SIZE * sizeof(uint32_t);
    return vks_tensor_dense(session->control.address + offset, VKSSM_DTYPE_I32, 1, (uint32_t[]){n_sequence});
}

static vks_tensor logits_of(const vkssm_session *session, uint64_t address, uint32_t n_row) {
    uint32_t n_vocab = session->model->shape.n_vocab;
    return vks_tensor_rows(address, VKSSM_DTYPE_F32, n_row, n_vocab, n_vocab);
}

vkssm_status vks_session_step_recorder(vkssm_session *session, uint32_t n_sequence, vks_recorder **out) {
    bool fresh;
    vks_recorder **place = &session->steps[n_sequence];
    VKS_TRY(vks_session_recorder(session, place, "step", &fresh));
    *out = *place;
    if (!fresh) return VKSSM_OK;
    const vkssm_model *model = session->model;
    vks_tensor all = controls(session);
    vks_step step = {
        .tokens = {.address = all.address + VKS_CONTROL_TOKEN * sizeof(uint32_t),
                   .dtype = VKSSM_DTYPE_I32,
                   .n_dim = 1,
                   .shape = {session->sizes.n_slot},
                   .stride = {VKS_CONTROL_SIZE}},
        .slots = slot_list(session, n_sequence),
        .state = vks_session_state(session, 0, session->sizes.n_slot),
        .logits = logits_of(session, session->logits.address, n_sequence),
    };
    vkssm_status status;
    VKS_TRY_GOTO(vks_recorder_begin(*place, true), fail);
    vks_plan plan = vks_session_plan(session, *place);
    vks_record_fail(*place, model->arch->record_step(model->self, &plan, &step));
    VKS_TRY_GOTO(vks_recorder_end(*place), fail);
    return VKSSM_OK;
fail:
    vks_recorder_destroy(place);
    return status;
}

static vkssm_status record_sample(vkssm_session *session, vks_recorder *recorder, uint64_t logits, uint32_t n_sequence) {
    vks_op_target target = {session->model->device->kernels, recorder};
    return vks_op_sample(&target, &(vks_sample){
                                      .logits = logits_of(session, logits, n_sequence),
                                      .slots = slot_list(session, n_sequence),
                                      .controls = controls(session),
                                      .ring = vks_tensor_dense(session->ring.address, VKSSM_DTYPE_I32, 2,
                                                               (uint32_t[]){session->sizes.n_slot, VKS_RING_SIZE}),
                                  });
}

vkssm_status vks_session_sample_recorder(vkssm_session *session, uint32_t n_sequence, vks_recorder **out) {
    bool fresh;
    vks_recorder **place = &session->samples[n_sequence];
    VKS_TRY(vks_session_recorder(session, place, "sample", &fresh));
    *out = *place;
    if (!fresh) return VKSSM_OK;
    vkssm_status status;
    VKS_TRY_GOTO(vks_recorder_begin(*place, true), fail);
    vks_record_fail(*place, record_sample(session, *place, session->logits.address, n_sequence));
    VKS_TRY_GOTO(vks_recorder_end(*place), fail);
    return VKSSM_OK;
fail:
    vks_recorder_destroy(place);
    return status;
}

static vkssm_status check_step(const vkssm_session *session, uint32_t n_slot, const uint32_t *slots, const int32_t *tokens) {
    const vkssm_log *log = vks_session_log(session);
    if (n_slot == 0 || n_slot > session->sizes.n_slot || !slots || !tokens)
        return vks_fail(log, VKSSM_ERR_ARG, "step: 1 to %u slots with their tokens expected, %u found",
                        session->sizes.n_slot, slots && tokens ? n_slot : 0);
    for (uint32_t i = 0; i < n_slot; i++) {
        VKS_TRY(vks_session_check_slot(session, slots[i]));
        for (uint32_t j = 0; j < i; j++)
            if (slots[i] == slots[j])
                return vks_fail(log, VKSSM_ERR_ARG, "step: different slots expected, slot %u found twice", slots[i]);
    }
    return vks_session_check_tokens(session, tokens, n_slot);
}

// Copy row i of `logits` to the row of slots[i], so that generation may go on from there.
static vkssm_status record_keep_logits(vkssm_session *session, uint32_t n_slot, const uint32_t *slots, bool readback,
                                       vks_recorder **out) {
    uint64_t row_size = vks_session_logit_row_size(session);
    VKS_TRY(vks_session_begin_once(session, out));
    for (uint32_t i = 0; i < n_slot; i++)
        vks_record_copy(*out, &session->slot_logits, slots[i] * row_size, &session->logits, i * row_size, row_size);
    if (readback) vks_record_copy(*out, &session->readback, 0, &session->logits, 0, n_slot * row_size);
    return vks_recorder_end(*out);
}

vkssm_status vkssm_session_step(vkssm_session *session, uint32_t n_slot, const uint32_t *slots, const int32_t *tokens,
                                float *logits) {
    VKS_TRY(check_step(session, n_slot, slots, tokens));
    for (uint32_t i = 0; i < n_slot; i++) {
        vks_session_control(session, slots[i])[VKS_CONTROL_TOKEN] = (uint32_t)tokens[i];
        vks_session_slot_list(session)[i] = slots[i];
    }
    vks_recorder *recorders[3] = {session->upload_control};
    VKS_TRY(vks_session_step_recorder(session, n_slot, &recorders[1]));
    VKS_TRY(record_keep_logits(session, n_slot, slots, logits != NULL, &recorders[2]));
    VKS_TRY(vks_session_run(session, recorders, 3));
    if (logits) memcpy(logits, session->readback.mapped, n_slot * vks_session_logit_row_size(session));
    for (uint32_t i = 0; i < n_slot; i++) {
        session->slots[slots[i]].position++;
        session->slots[slots[i]].has_logits = true;
    }
    return VKSSM_OK;
}

// ---- generation -----------------------------------------------------------------------------------------------------

static vkssm_status check_generate(const vkssm_session *session, uint32_t slot, const vkssm_generate_params *params) {
    const vkssm_log *log = vks_session_log(session);
    VKS_TRY(vks_session_check_slot(session, slot));
    if (!params || params->n_token == 0)
        return vks_fail(log, VKSSM_ERR_ARG, "generate: at least one token to generate expected, 0 found");
    float temperature = params->sampling.temperature, top_p = params->sampling.top_p;
    if (!(temperature >= 0 && temperature <= 1e6f))
        return vks_fail(log, VKSSM_ERR_ARG, "generate: a temperature of 0 to 1e6 expected, %g found", (double)temperature);
    if (!(top_p >= 0 && top_p <= 1))
        return vks_fail(log, VKSSM_ERR_ARG, "generate: top_p in 0 ... 1 expected, %g found", (double)top_p);
    if (params->n_stop_token && !params->stop_tokens)
        return vks_fail(log, VKSSM_ERR_ARG, "generate: %u stop tokens expected, NULL found", params->n_stop_token);
    if (!session->slots[slot].has_logits)
        return vks_fail(log, VKSSM_ERR_STATE, "generate: slot %u has read no token: prefill or step first", slot);
    return VKSSM_OK;
}

static uint32_t float_word(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

static void set_controls(vkssm_session *session, uint32_t slot, const vkssm_sampling *sampling) {
    uint32_t *words = vks_session_control(session, slot);
    words[VKS_CONTROL_TOKEN] = 0;
    words[VKS_CONTROL_COUNT] = 0;
    words[VKS_CONTROL_TEMPERATURE] = float_word(sampling->temperature);
    words[VKS_CONTROL_TOP_K] = sampling->top_k;
    words[VKS_CONTROL_TOP_P] = float_word(sampling->top_p > 0 ? sampling->top_p : 1.0f);
    words[VKS_CONTROL_SEED_LOW] = (uint32_t)sampling->seed;
    words[VKS_CONTROL_SEED_HIGH] = (uint32_t)(sampling->seed >> 32);
    words[VKS_CONTROL_POSITION] = (uint32_t)session->slots[slot].position;
    vks_session_slot_list(session)[0] = slot;
}

// Sample the first token from the logits that the slot holds.
static vkssm_status sample_first(vkssm_session *session, uint32_t slot) {
    vks_recorder *recorders[2] = {session->upload_control};
    VKS_TRY(vks_session_begin_once(session, &recorders[1]));
    uint64_t logits = session->slot_logits.address + slot * vks_session_logit_row_size(session);
    vks_record_fail(recorders[1], record_sample(session, recorders[1], logits, 1));
    VKS_TRY(vks_recorder_end(recorders[1]));
    return vks_session_run(session, recorders, 2);
}

static bool is_stop(const vkssm_generate_params *params, int32_t token) {
    for (uint32_t i = 0; i < params->n_stop_token; i++)
        if (params->stop_tokens[i] == token) return true;
    return false;
}

// The i-th token that the sampler wrote. The ring is host-visible, and the submission that wrote it has been waited for.
static int32_t ring_token(const vkssm_session *session, uint32_t slot, uint32_t i) {
    return ((const int32_t *)session->ring.mapped)[(size_t)slot * VKS_RING_SIZE + i % VKS_RING_SIZE];
}

vkssm_status vkssm_session_generate(vkssm_session *session, uint32_t slot, const vkssm_generate_params *params,
                                    int32_t *tokens, uint32_t *n_token) {
    if (n_token) *n_token = 0;
    VKS_TRY(check_generate(session, slot, params));
    set_controls(session, slot, &params->sampling);
    vks_recorder *recorders[2];
    VKS_TRY(vks_session_step_recorder(session, 1, &recorders[0]));
    VKS_TRY(vks_session_sample_recorder(session, 1, &recorders[1]));
    VKS_TRY(sample_first(session, slot));
    uint32_t n = 0;
    for (;;) {
        int32_t token = ring_token(session, slot, n);
        if (tokens) tokens[n] = token;
        n++;
        bool go_on = !params->on_token || params->on_token(params->user, token);
        if (!go_on || n == params->n_token || is_stop(params, token)) break;
        VKS_TRY(vks_session_run(session, recorders, 2)); // reads the token, writes the next one
        session->slots[slot].position++;
        if (n_token) *n_token = n;
    }
    if (n_token) *n_token = n;
    if (n == 1) return VKSSM_OK; // no step was taken: the slot's logits still stand
    vks_recorder *keep;
    VKS_TRY(record_keep_logits(session, 1, &slot, false, &keep));
    return vks_session_run(session, &keep, 1);
}

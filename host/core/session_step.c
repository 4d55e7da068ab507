// One token at a time: the replayed step and the replayed sampler.
#include "core_session.h"

#include <string.h>

#include "core_device.h"
#include "host/base/alloc.h"
#include "shaders/params/sample.h"

static uint32_t n_block(const vkssm_session *session) {
    return session->sizes.n_slot + VKS_SPARE_SLOTS;
}

uint32_t *vks_session_control(vkssm_session *session, uint32_t slot) {
    return (uint32_t *)session->mirror.mapped + (size_t)slot * VKS_CONTROL_SIZE;
}

uint32_t *vks_session_slot_list(vkssm_session *session) {
    return (uint32_t *)session->mirror.mapped + (size_t)n_block(session) * VKS_CONTROL_SIZE;
}

uint32_t vks_session_bucket(const vkssm_session *session, uint32_t n_sequence) {
    uint32_t bucket = 1, n_slot = session->sizes.n_slot;
    while (bucket < n_sequence)
        bucket *= 2;
    return bucket < n_slot ? bucket : n_slot;
}

void vks_session_set_list(vkssm_session *session, uint32_t n_slot, const uint32_t *slots) {
    uint32_t *list = vks_session_slot_list(session), n = vks_session_bucket(session, n_slot);
    for (uint32_t i = 0; i < n; i++)
        list[i] = i < n_slot ? slots[i] : vks_session_parked(session);
}

// The control words as tensors: all words, the tokens among them, the list of slots or, behind it, the slot that joins.
static vks_tensor controls(const vkssm_session *session) {
    return vks_tensor_dense(session->control.address, VKSSM_DTYPE_I32, 2,
                            (uint32_t[]){n_block(session), VKS_CONTROL_SIZE});
}

static vks_tensor slot_list(const vkssm_session *session, uint32_t first, uint32_t n_sequence) {
    uint64_t offset = ((uint64_t)n_block(session) * VKS_CONTROL_SIZE + first) * sizeof(uint32_t);
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
                   .shape = {n_block(session)},
                   .stride = {VKS_CONTROL_SIZE}},
        .slots = slot_list(session, 0, n_sequence),
        .state = vks_session_state(session, 0, n_block(session)),
        .logits = logits_of(session, session->logits.address, n_sequence),
        .most_rows = session->sizes.n_slot,
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

static vks_tensor per_slot(const vkssm_session *session, const vks_buffer *buffer, vkssm_dtype dtype, uint32_t n) {
    return vks_tensor_dense(buffer->address, dtype, 2, (uint32_t[]){n_block(session), n});
}

// The sampler on the first rows of `logits`, for slots of the list from place `first` on.
static vkssm_status record_sample(vkssm_session *session, vks_recorder *recorder, uint32_t first, uint32_t n_sequence) {
    vks_op_target target = {.kernels = session->model->device->kernels, .recorder = recorder};
    uint32_t n_vocab = session->model->shape.n_vocab;
    uint32_t n_float = (uint32_t)vks_sample_scratch_size(n_sequence, n_vocab);
    vks_sample op = {
        .logits = logits_of(session, session->logits.address, n_sequence),
        .slots = slot_list(session, first, n_sequence),
        .controls = controls(session),
        .ring = per_slot(session, &session->ring, VKSSM_DTYPE_I32, VKS_RING_SIZE),
        .scores = per_slot(session, &session->scores, VKSSM_DTYPE_F32, VKS_RING_SIZE),
        .kept = per_slot(session, &session->slot_logits, VKSSM_DTYPE_F32, n_vocab),
        .adjust =
            vks_tensor_dense(session->adjust.address, VKSSM_DTYPE_F32, 3, (uint32_t[]){n_block(session), 2, n_vocab}),
        .scratch = vks_tensor_dense(session->blocks.address, VKSSM_DTYPE_F32, 1, (uint32_t[]){n_float}),
    };
    return vks_op_sample(&target, &op);
}

vkssm_status vks_session_record_first(vkssm_session *session, vks_recorder *recorder, uint32_t slot) {
    uint64_t row_size = vks_session_logit_row_size(session);
    vks_record_copy(recorder, &session->logits, 0, &session->slot_logits, slot * row_size, row_size);
    return record_sample(session, recorder, n_block(session), 1);
}

vkssm_status vks_session_sample_recorder(vkssm_session *session, uint32_t n_sequence, vks_recorder **out) {
    bool fresh;
    vks_recorder **place = &session->samples[n_sequence];
    VKS_TRY(vks_session_recorder(session, place, "sample", &fresh));
    *out = *place;
    if (!fresh) return VKSSM_OK;
    vkssm_status status;
    VKS_TRY_GOTO(vks_recorder_begin(*place, true), fail);
    vks_record_fail(*place, record_sample(session, *place, 0, n_sequence));
    VKS_TRY_GOTO(vks_recorder_end(*place), fail);
    return VKSSM_OK;
fail:
    vks_recorder_destroy(place);
    return status;
}

static vkssm_status check_step(const vkssm_session *session, uint32_t n_slot, const uint32_t *slots,
                               const int32_t *tokens) {
    const vkssm_log *log = vks_session_log(session);
    if (n_slot == 0 || n_slot > session->sizes.n_slot || !slots || !tokens)
        return vks_fail(log, VKSSM_ERR_ARG, "step: 1 to %u slots with their tokens expected, %u found",
                        session->sizes.n_slot, slots && tokens ? n_slot : 0);
    for (uint32_t i = 0; i < n_slot; i++) {
        VKS_TRY(vks_session_check_idle(session, slots[i]));
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
    for (uint32_t i = 0; i < n_slot; i++)
        VKS_TRY(vks_session_before_read(session, slots[i]));
    for (uint32_t i = 0; i < n_slot; i++)
        vks_session_control(session, slots[i])[VKS_CONTROL_TOKEN] = (uint32_t)tokens[i];
    vks_session_set_list(session, n_slot, slots);
    session->stale = true; // the list is no more that of the slots that generate
    vks_recorder *recorders[3] = {session->upload_control};
    VKS_TRY(vks_session_step_recorder(session, vks_session_bucket(session, n_slot), &recorders[1]));
    VKS_TRY(record_keep_logits(session, n_slot, slots, logits != NULL, &recorders[2]));
    VKS_TRY(vks_session_run(session, recorders, 3));
    if (logits) memcpy(logits, session->readback.mapped, n_slot * vks_session_logit_row_size(session));
    for (uint32_t i = 0; i < n_slot; i++) {
        session->slots[slots[i]].position++;
        session->slots[slots[i]].has_logits = true;
        vks_session_after_read(session, slots[i], &tokens[i], 1);
    }
    return VKSSM_OK;
}

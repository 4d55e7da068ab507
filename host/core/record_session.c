// Steps and prefills of a session, recorded into a host application's command buffer.
//
// What the session's own calls upload from host memory (slots, tokens, sampling) becomes part of the commands here, so
// that any number of recordings may be under way at once. The rest is the same: the same memory, the same operators.
#include <string.h>

#include "core_device.h"
#include "core_record.h"
#include "core_session.h"
#include "host/base/alloc.h"
#include "shaders/params/sample.h"

typedef struct prepared_step {
    uint32_t n_slot;
    bool sample;
    vks_cost cost;
} prepared_step;

typedef enum open_work { OPEN_NONE, OPEN_STEP, OPEN_PREFILL } open_work;

struct vks_session_recording {
    vks_recorder *recorder;
    prepared_step *steps;
    size_t n_step, step_capacity;
    uint32_t piece_size; // of a recorded prefill; 0: not prepared
    vks_cost piece_cost;
    // Neither the session's own calls nor the host's CPU write these, whenever what was recorded runs.
    vks_arena *arena;
    vks_buffer next;   // [n_slot] I32: the tokens that steps read, given or sampled by the step before
    vks_buffer tokens; // [the session's piece_size] I32: those of a prefill's piece
    bool *has_token;   // [n_slot]: a recorded step has sampled one that is still the slot's next
    open_work open;
    vkssm_cursor expected; // where the open work goes on
};
typedef struct vks_session_recording recording;

// ---- the recording's life
// --------------------------------------------------------------------------------------------

vkssm_status vks_session_check_unrecorded(const vkssm_session *session) {
    if (!session->recording || session->recording->open == OPEN_NONE) return VKSSM_OK;
    return vks_fail(vks_session_log(session), VKSSM_ERR_STATE,
                    "session: nothing else expected while a recorded %s is begun and not complete",
                    session->recording->open == OPEN_STEP ? "step" : "prefill");
}

void vkssm_session_cancel_record(vkssm_session *session) {
    if (session && session->recording) session->recording->open = OPEN_NONE;
}

void vks_session_recording_destroy(vkssm_session *session) {
    recording *r = session->recording;
    if (!r) return;
    for (size_t i = 0; i < r->n_step; i++)
        vks_cost_finish(&r->steps[i].cost);
    vks_cost_finish(&r->piece_cost);
    vks_recorder_destroy(&r->recorder);
    vks_arena_destroy(&r->arena);
    vks_free(r->steps);
    vks_free(r->has_token);
    vks_free(r);
    session->recording = NULL;
}

static vkssm_status take_memory(const vkssm_session *session, recording *r) {
    vks_device *device = session->model->device->vk;
    uint64_t next = session->sizes.n_slot * sizeof(int32_t), tokens = session->sizes.tokens;
    VKS_TRY(vks_arena_create(device, VKS_ROLE_SCRATCH, vks_align_up(next, 256) + vks_align_up(tokens, 256),
                             "recorded tokens", &r->arena));
    VKS_TRY(vks_arena_alloc(r->arena, next, "next tokens", &r->next));
    VKS_TRY(vks_arena_alloc(r->arena, tokens, "tokens", &r->tokens));
    return vks_recorder_adopt(device, &r->recorder);
}

static vkssm_status open_recording(vkssm_session *session) {
    VKS_TRY(vks_session_check_unrecorded(session));
    if (session->recording) return VKSSM_OK;
    recording *r = session->recording = vks_alloc_zero(1, sizeof *r);
    if (r) r->has_token = vks_alloc_zero(session->sizes.n_slot, sizeof *r->has_token);
    vkssm_status status = r && r->has_token
                              ? take_memory(session, r)
                              : vks_fail(vks_session_log(session), VKSSM_ERR_OOM_HOST, "record: out of memory");
    if (status != VKSSM_OK) vks_session_recording_destroy(session);
    return status;
}

static const prepared_step *find_step(const recording *r, uint32_t n_slot, bool sample) {
    for (size_t i = 0; r && i < r->n_step; i++)
        if (r->steps[i].n_slot == n_slot && r->steps[i].sample == sample) return &r->steps[i];
    return NULL;
}

// ---- a step
// ----------------------------------------------------------------------------------------------------------

typedef struct step_call {
    vkssm_session *session;
    uint32_t n_slot;
    const uint32_t *slots;
    const int32_t *tokens;          // or NULL
    const vkssm_sampling *sampling; // or NULL
    uint64_t token_address;         // [session's n_slot] I32; or 0: the recording's own
    uint64_t logits_address;
    uint64_t ring_address; // [session's n_slot, ring_size] I32
    uint32_t ring_size;
} step_call;

// Blocks of control words; behind them stands the list of the step's slots.
static uint32_t n_block(const vkssm_session *session) {
    return session->sizes.n_slot + VKS_SPARE_SLOTS;
}

static uint32_t float_word(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

// The control words of a slot behind TOKEN, as the sampler wants them.
static void record_sampling(const step_call *c, vks_recorder *recorder, uint32_t slot, const vkssm_sampling *s) {
    uint32_t words[VKS_CONTROL_SIZE] = {0};
    words[VKS_CONTROL_TEMPERATURE] = float_word(s->temperature);
    words[VKS_CONTROL_TOP_K] = s->top_k;
    words[VKS_CONTROL_TOP_P] = float_word(s->top_p > 0 ? s->top_p : 1.0f);
    words[VKS_CONTROL_MIN_P] = float_word(s->min_p);
    words[VKS_CONTROL_PARK] = vks_session_parked(c->session); // no limit and no stop tokens: the host ends it
    words[VKS_CONTROL_SEED_LOW] = (uint32_t)s->seed;
    words[VKS_CONTROL_SEED_HIGH] = (uint32_t)(s->seed >> 32);
    words[VKS_CONTROL_POSITION] = (uint32_t)c->session->slots[slot].position + 1; // of the token that is drawn
    uint64_t offset = (uint64_t)slot * sizeof words + sizeof words[0];
    vks_record_update(recorder, &c->session->control, offset, words + 1, sizeof words - sizeof words[0]);
}

static void record_inputs(const step_call *c, vks_recorder *recorder) {
    const vks_buffer *control = &c->session->control;
    const uint64_t block = VKS_CONTROL_SIZE * sizeof(uint32_t);
    vks_record_update(recorder, control, n_block(c->session) * block, c->slots, c->n_slot * sizeof *c->slots);
    for (uint32_t i = 0; i < c->n_slot; i++) {
        if (c->tokens)
            vks_record_update(recorder, &c->session->recording->next, c->slots[i] * sizeof *c->tokens, &c->tokens[i],
                              sizeof *c->tokens);
        if (c->sampling) record_sampling(c, recorder, c->slots[i], &c->sampling[i]);
    }
}

static vkssm_status record_step(void *user, vks_recorder *recorder) {
    const step_call *c = user;
    const vkssm_session *session = c->session;
    const vkssm_model *model = session->model;
    uint32_t n_slot = n_block(session), n_vocab = model->shape.n_vocab;
    record_inputs(c, recorder);
    vks_tensor controls =
        vks_tensor_dense(session->control.address, VKSSM_DTYPE_I32, 2, (uint32_t[]){n_slot, VKS_CONTROL_SIZE});
    vks_tensor slots = vks_tensor_dense(session->control.address + (uint64_t)n_slot * VKS_CONTROL_SIZE * 4,
                                        VKSSM_DTYPE_I32, 1, (uint32_t[]){c->n_slot});
    vks_tensor logits = vks_tensor_rows(c->logits_address, VKSSM_DTYPE_F32, c->n_slot, n_vocab, n_vocab);
    vks_step step = {
        .tokens = vks_tensor_dense(c->token_address ? c->token_address : session->recording->next.address,
                                   VKSSM_DTYPE_I32, 1, (uint32_t[]){session->sizes.n_slot}),
        .slots = slots,
        .state = vks_session_state(session, 0, n_slot),
        .logits = logits,
        .most_rows = session->sizes.n_slot,
    };
    vks_plan plan = vks_session_plan(session, recorder);
    VKS_TRY(model->arch->record_step(model->self, &plan, &step));
    if (!c->sampling) return VKSSM_OK;
    vks_sample sample = {
        .logits = logits,
        .slots = slots,
        .controls = controls,
        .ring = vks_tensor_dense(c->ring_address, VKSSM_DTYPE_I32, 2, (uint32_t[]){n_slot, c->ring_size}),
        .scratch = vks_tensor_dense(session->blocks.address, VKSSM_DTYPE_F32, 1,
                                    (uint32_t[]){(uint32_t)vks_sample_scratch_size(c->n_slot, n_vocab)}),
    };
    VKS_TRY(vks_op_sample(&plan.target, &sample));
    for (uint32_t i = 0; i < c->n_slot; i++)
        vks_record_copy(recorder, &session->recording->next, c->slots[i] * sizeof(int32_t), &session->control,
                        ((uint64_t)c->slots[i] * VKS_CONTROL_SIZE + VKS_CONTROL_TOKEN) * sizeof(uint32_t),
                        sizeof(int32_t));
    return VKSSM_OK;
}

vkssm_status vkssm_session_prepare_step(vkssm_session *session, uint32_t n_slot, bool sample, double *estimate_us) {
    if (!session) return vks_fail(NULL, VKSSM_ERR_ARG, "record: a session expected, NULL found");
    const vkssm_log *log = vks_session_log(session);
    if (n_slot == 0 || n_slot > session->sizes.n_slot)
        return vks_fail(log, VKSSM_ERR_ARG, "record: steps of 1 to %u slots expected, %u found", session->sizes.n_slot,
                        n_slot);
    VKS_TRY(open_recording(session));
    recording *r = session->recording;
    const prepared_step *found = find_step(r, n_slot, sample);
    if (found) {
        if (estimate_us) *estimate_us = vks_cost_us(&found->cost);
        return VKSSM_OK;
    }
    uint32_t *slots = vks_alloc_zero(n_slot, sizeof *slots);
    int32_t *tokens = vks_alloc_zero(n_slot, sizeof *tokens);
    vkssm_sampling *sampling = vks_alloc_zero(n_slot, sizeof *sampling);
    prepared_step step = {.n_slot = n_slot, .sample = sample};
    vkssm_status status;
    if (!slots || !tokens || !sampling ||
        !vks_grow((void **)&r->steps, &r->step_capacity, r->n_step + 1, sizeof *r->steps)) {
        status = vks_fail(log, VKSSM_ERR_OOM_HOST, "record: out of memory for steps of %u slots", n_slot);
        goto done;
    }
    for (uint32_t i = 0; i < n_slot; i++) {
        slots[i] = i;
        sampling[i] = (vkssm_sampling){.temperature = 1, .top_k = 2, .top_p = 0.5f};
    }
    step_call call = {
        .session = session,
        .n_slot = n_slot,
        .slots = slots,
        .tokens = tokens,
        .sampling = sample ? sampling : NULL,
        .logits_address = session->logits.address,
        .ring_address = session->ring.address,
        .ring_size = VKS_RING_SIZE,
    };
    const vks_buffer *keep[3 + VKS_MAX_PART] = {&session->control, &session->ring, &r->next};
    for (uint32_t i = 0; i < session->n_part; i++)
        keep[3 + i] = &session->part_buffers[i];
    VKS_TRY_GOTO(vks_record_measure(session->model->device->vk, "record: step", record_step, &call, keep,
                                    3 + session->n_part, &step.cost),
                 done);
    r->steps[r->n_step++] = step;
    if (estimate_us) *estimate_us = vks_cost_us(&step.cost);
done:
    vks_free(sampling);
    vks_free(tokens);
    vks_free(slots);
    return status;
}

// ---- the cursor
// ------------------------------------------------------------------------------------------------------

static vkssm_status check_cursor(const vkssm_session *session, open_work kind, const vkssm_cursor *cursor) {
    const recording *r = session->recording;
    const vkssm_log *log = vks_session_log(session);
    if (cursor->complete)
        return vks_fail(log, VKSSM_ERR_ARG, "record: a cursor that is not complete expected; zero it to begin");
    if (cursor->position == 0 && cursor->n_done == 0) return vks_session_check_unrecorded(session);
    if (r->open == kind && cursor->position == r->expected.position && cursor->n_done == r->expected.n_done)
        return VKSSM_OK;
    return vks_fail(log, VKSSM_ERR_STATE, "record: a cursor where the begun work goes on expected, another one found");
}

static void keep_cursor(recording *r, open_work kind, const vkssm_cursor *cursor) {
    r->open = cursor->complete ? OPEN_NONE : kind;
    r->expected = *cursor;
}

// ---- recording a step
// ------------------------------------------------------------------------------------------------

static vkssm_status check_sampling(const vkssm_log *log, const vkssm_sampling *s) {
    if (!(s->temperature >= 0 && s->temperature <= 1e6f))
        return vks_fail(log, VKSSM_ERR_ARG, "record: a temperature of 0 to 1e6 expected, %g found",
                        (double)s->temperature);
    if (!(s->top_p >= 0 && s->top_p <= 1))
        return vks_fail(log, VKSSM_ERR_ARG, "record: top_p in 0 ... 1 expected, %g found", (double)s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return vks_fail(log, VKSSM_ERR_ARG, "record: min_p in 0 ... 1 expected, %g found", (double)s->min_p);
    if ((s->repetition_penalty != 0 && s->repetition_penalty != 1) || s->presence_penalty != 0 || s->n_bias)
        return vks_fail(log, VKSSM_ERR_UNSUPPORTED,
                        "record: sampling without penalties and biases expected, some found");
    return VKSSM_OK;
}

static vkssm_status check_step(const vkssm_session *session, const vkssm_record_step *p) {
    const vkssm_log *log = vks_session_log(session);
    const recording *r = session->recording;
    if (p->n_slot == 0 || p->n_slot > session->sizes.n_slot || !p->slots)
        return vks_fail(log, VKSSM_ERR_ARG, "record: step: 1 to %u slots expected, %u found", session->sizes.n_slot,
                        p->slots ? p->n_slot : 0);
    if (!find_step(r, p->n_slot, p->sampling != NULL))
        return vks_fail(log, VKSSM_ERR_STATE,
                        "record: steps of %u slots %s sampling are not prepared: call vkssm_session_prepare_step first",
                        p->n_slot, p->sampling ? "with" : "without");
    for (uint32_t i = 0; i < p->n_slot; i++) {
        VKS_TRY(vks_session_check_idle(session, p->slots[i]));
        for (uint32_t j = 0; j < i; j++)
            if (p->slots[i] == p->slots[j])
                return vks_fail(log, VKSSM_ERR_ARG, "record: different slots expected, slot %u found twice",
                                p->slots[i]);
        if (!p->tokens && !p->token_buffer.buffer && !r->has_token[p->slots[i]])
            return vks_fail(log, VKSSM_ERR_STATE, "record: slot %u: a token expected, as no recorded step sampled one",
                            p->slots[i]);
        if (p->sampling) VKS_TRY(check_sampling(log, &p->sampling[i]));
    }
    return p->tokens ? vks_session_check_tokens(session, p->tokens, p->n_slot) : VKSSM_OK;
}

static vkssm_status bind_step(const vkssm_record_step *p, step_call *c) {
    vkssm_session *session = c->session;
    vks_device *device = session->model->device->vk;
    uint64_t by_slot = session->sizes.n_slot * sizeof(int32_t);
    vks_buffer buffer;
    if (!p->tokens && p->token_buffer.buffer) {
        VKS_TRY(vks_record_buffer(device, "record: step: token_buffer", &p->token_buffer, by_slot, 0, &buffer));
        c->token_address = buffer.address;
    }
    c->logits_address = session->logits.address;
    if (p->logits.buffer) {
        uint64_t size = p->n_slot * vks_session_logit_row_size(session);
        VKS_TRY(vks_record_buffer(device, "record: step: logits", &p->logits, size, 0, &buffer));
        c->logits_address = buffer.address;
    }
    c->ring_address = session->ring.address;
    c->ring_size = VKS_RING_SIZE;
    if (p->sampling && p->sampled.buffer) { // a ring of one token a slot
        VKS_TRY(vks_record_buffer(device, "record: step: sampled", &p->sampled, by_slot, 0, &buffer));
        c->ring_address = buffer.address;
        c->ring_size = 1;
    }
    return VKSSM_OK;
}

// An unfinished call without a place to say so would be lost; so would begun work by a call that records nothing.
static vkssm_status check_call(const vkssm_session *session, VkCommandBuffer commands, const void *params,
                               uint32_t budget_us, const vkssm_cursor *cursor) {
    const vkssm_log *log = session ? vks_session_log(session) : NULL;
    if (!session || !params)
        return vks_fail(log, VKSSM_ERR_ARG, "record: a session and parameters expected, NULL found");
    if (!commands) return vks_fail(log, VKSSM_ERR_ARG, "record: a command buffer expected, NULL found");
    if (!cursor && budget_us) return vks_fail(log, VKSSM_ERR_ARG, "record: a budget without a cursor found");
    return VKSSM_OK;
}

vkssm_status vkssm_session_record_step(vkssm_session *session, VkCommandBuffer commands,
                                       const vkssm_record_step *params, vkssm_cursor *cursor) {
    vkssm_cursor whole = {0};
    VKS_TRY(check_call(session, commands, params, params ? params->budget_us : 0, cursor));
    if (!cursor) cursor = &whole;
    VKS_TRY(check_step(session, params));
    VKS_TRY(check_cursor(session, OPEN_STEP, cursor));
    recording *r = session->recording;
    step_call call = {
        .session = session,
        .n_slot = params->n_slot,
        .slots = params->slots,
        .tokens = params->tokens,
        .sampling = params->sampling,
    };
    VKS_TRY(bind_step(params, &call));
    const vks_record_part part = {
        .recorder = r->recorder,
        .commands = commands,
        .cost = &find_step(r, params->n_slot, params->sampling != NULL)->cost,
        .scale = 1,
        .body = record_step,
        .user = &call,
    };
    uint64_t left = (uint64_t)params->budget_us * 1000;
    uint32_t position = cursor->position;
    r->open = OPEN_NONE;   // should it fail
    session->stale = true; // the device's control words become others than the mirror's
    VKS_TRY(vks_record_run(&part, params->budget_us, &left, &position));
    cursor->complete = position == UINT32_MAX;
    cursor->position = cursor->complete ? 0 : position;
    keep_cursor(r, OPEN_STEP, cursor);
    for (uint32_t i = 0; cursor->complete && i < params->n_slot; i++) {
        session->slots[params->slots[i]].position++;
        session->slots[params->slots[i]].has_logits = false; // they are the host's
        vks_session_forget_past(session, params->slots[i]);
        r->has_token[params->slots[i]] = params->sampling != NULL;
    }
    return VKSSM_OK;
}

// ---- a prefill
// -------------------------------------------------------------------------------------------------------

typedef struct piece_call {
    vkssm_session *session;
    uint32_t slot, n_token;
    const int32_t *tokens; // or NULL: those at token_address
    uint64_t token_address;
    uint64_t logits_address; // of the last token; or 0
} piece_call;

static vkssm_status record_piece(void *user, vks_recorder *recorder) {
    const piece_call *c = user;
    const vkssm_session *session = c->session;
    const vkssm_model *model = session->model;
    uint32_t n_vocab = model->shape.n_vocab;
    const vks_buffer *own = &session->recording->tokens;
    uint64_t tokens = c->tokens ? own->address : c->token_address;
    if (c->tokens && recorder) vks_record_update(recorder, own, 0, c->tokens, c->n_token * sizeof *c->tokens);
    vks_plan plan = vks_session_plan(session, recorder);
    vks_prefill prefill = {
        .tokens = vks_tensor_dense(tokens, VKSSM_DTYPE_I32, 1, (uint32_t[]){c->n_token}),
        .state = vks_session_state(session, c->slot, 1),
    };
    if (c->logits_address) {
        prefill.logits = vks_tensor_rows(c->logits_address, VKSSM_DTYPE_F32, 1, n_vocab, n_vocab);
        prefill.first_logit = c->n_token - 1;
    }
    return model->arch->record_prefill(model->self, &plan, &prefill);
}

// Whole pieces, then the powers of two that the rest is made of: few sizes, all of them prepared.
static uint32_t next_piece(uint32_t piece_size, uint64_t n_left) {
    if (n_left >= piece_size) return piece_size;
    uint32_t n = 1;
    while (2 * (uint64_t)n <= n_left)
        n *= 2;
    return n;
}

vkssm_status vkssm_session_prepare_prefill(vkssm_session *session, uint32_t piece_size, double *estimate_us) {
    if (!session) return vks_fail(NULL, VKSSM_ERR_ARG, "record: a session expected, NULL found");
    const vkssm_log *log = vks_session_log(session);
    if (piece_size == 0) piece_size = session->sizes.piece_size;
    if (piece_size > session->sizes.piece_size)
        return vks_fail(log, VKSSM_ERR_ARG,
                        "record: pieces of at most %u tokens expected, as the session has, %u found",
                        session->sizes.piece_size, piece_size);
    VKS_TRY(open_recording(session));
    recording *r = session->recording;
    r->piece_size = 0;
    vks_cost_finish(&r->piece_cost);
    int32_t *tokens = vks_alloc_zero(piece_size, sizeof *tokens);
    if (!tokens) return vks_fail(log, VKSSM_ERR_OOM_HOST, "record: out of memory for %u tokens", piece_size);
    piece_call call = {.session = session, .n_token = piece_size, .tokens = tokens};
    vkssm_status status;
    for (uint32_t n = piece_size; n > 0; n = next_piece(n, n - 1)) { // compile
        call.n_token = n;
        for (int last = 0; last < 2; last++) {
            call.logits_address = last ? session->logits.address : 0;
            VKS_TRY_GOTO(record_piece(&call, NULL), done);
        }
        if (n == 1) break;
    }
    call.n_token = piece_size;
    const vks_buffer *keep[VKS_MAX_PART];
    for (uint32_t i = 0; i < session->n_part; i++)
        keep[i] = &session->part_buffers[i];
    VKS_TRY_GOTO(vks_record_measure(session->model->device->vk, "record: prefill", record_piece, &call, keep,
                                    session->n_part, &r->piece_cost),
                 done);
    r->piece_size = piece_size;
    if (estimate_us) *estimate_us = vks_cost_us(&r->piece_cost);
done:
    vks_free(tokens);
    return status;
}

static vkssm_status check_prefill(const vkssm_session *session, const vkssm_record_prefill *p) {
    const vkssm_log *log = vks_session_log(session);
    VKS_TRY(vks_session_check_idle(session, p->slot));
    if (p->n_token == 0 || (!p->tokens && !p->token_buffer.buffer))
        return vks_fail(log, VKSSM_ERR_ARG, "record: prefill: at least one token expected, none found");
    if (!session->recording || !session->recording->piece_size)
        return vks_fail(log, VKSSM_ERR_STATE,
                        "record: prefill is not prepared: call vkssm_session_prepare_prefill first");
    return p->tokens ? vks_session_check_tokens(session, p->tokens, p->n_token) : VKSSM_OK;
}

static vkssm_status bind_prefill(const vkssm_record_prefill *p, piece_call *c) {
    vkssm_session *session = c->session;
    vks_device *device = session->model->device->vk;
    uint64_t row_size = vks_session_logit_row_size(session);
    vks_buffer buffer;
    if (!p->tokens) {
        VKS_TRY(vks_record_buffer(device, "record: prefill: token_buffer", &p->token_buffer,
                                  (uint64_t)p->n_token * sizeof(int32_t), 0, &buffer));
        c->token_address = buffer.address;
    }
    c->logits_address = session->slot_logits.address + p->slot * row_size;
    if (!p->logits.buffer) return VKSSM_OK;
    VKS_TRY(vks_record_buffer(device, "record: prefill: logits", &p->logits, row_size, 0, &buffer));
    c->logits_address = buffer.address;
    return VKSSM_OK;
}

// One piece, or the part of it that the budget allows.
static vkssm_status record_one(vkssm_session *session, VkCommandBuffer commands, const vkssm_record_prefill *p,
                               const piece_call *all, uint64_t *left_ns, vkssm_cursor *cursor) {
    recording *r = session->recording;
    uint64_t done = cursor->n_done, n_left = p->n_token - done;
    piece_call call = *all;
    call.n_token = next_piece(r->piece_size, n_left);
    call.tokens = all->tokens ? all->tokens + done : NULL;
    call.token_address = all->token_address + done * sizeof(int32_t);
    if (call.n_token < n_left) call.logits_address = 0;
    const vks_record_part part = {
        .recorder = r->recorder,
        .commands = commands,
        .cost = &r->piece_cost,
        .scale = (double)call.n_token / r->piece_size,
        .body = record_piece,
        .user = &call,
    };
    uint32_t position = cursor->position;
    VKS_TRY(vks_record_run(&part, p->budget_us, left_ns, &position));
    if (position == UINT32_MAX) {
        cursor->n_done += call.n_token;
        position = 0;
    }
    cursor->position = position;
    cursor->complete = cursor->n_done == p->n_token;
    return VKSSM_OK;
}

vkssm_status vkssm_session_record_prefill(vkssm_session *session, VkCommandBuffer commands,
                                          const vkssm_record_prefill *params, vkssm_cursor *cursor) {
    vkssm_cursor whole = {0};
    VKS_TRY(check_call(session, commands, params, params ? params->budget_us : 0, cursor));
    if (!cursor) cursor = &whole;
    VKS_TRY(check_prefill(session, params));
    VKS_TRY(check_cursor(session, OPEN_PREFILL, cursor));
    if (cursor->n_done >= params->n_token)
        return vks_fail(vks_session_log(session), VKSSM_ERR_ARG,
                        "record: prefill: as many tokens as it began with expected");
    piece_call call = {.session = session, .slot = params->slot, .tokens = params->tokens};
    VKS_TRY(bind_prefill(params, &call));
    uint64_t left = (uint64_t)params->budget_us * 1000;
    vkssm_status status;
    do
        status = record_one(session, commands, params, &call, &left, cursor);
    while (status == VKSSM_OK && !cursor->complete && cursor->position == 0 && (!params->budget_us || left > 0));
    recording *r = session->recording;
    if (status != VKSSM_OK) {
        r->open = OPEN_NONE;
        return status;
    }
    keep_cursor(r, OPEN_PREFILL, cursor);
    if (cursor->complete) {
        session->slots[params->slot].position += params->n_token;
        vks_session_forget_past(session, params->slot);
        session->slots[params->slot].has_logits = !params->logits.buffer;
        r->has_token[params->slot] = false;
    }
    return VKSSM_OK;
}

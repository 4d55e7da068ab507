// Generation: slots join, all that take part advance together, several steps a submission, and leave.
//
// A burst is one submission of K times (step, sample). The device goes on by itself: the sampler writes the token that
// the next step reads, and puts the parked slot in the place of a sequence that has ended, whose state then stays as it
// is. The host waits for the end of the burst and reads the tokens from the ring.
#include "core_session.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "core_device.h"
#include "host/base/alloc.h"
#include "shaders/params/sample.h"

_Static_assert((int)VKSSM_MAX_STOP_TOKEN == VKS_CONTROL_MAX_STOP, "the public limit is that of the control words");
_Static_assert(VKS_CONTROL_STOP + VKS_CONTROL_MAX_STOP <= VKS_CONTROL_SIZE, "stop tokens fit the control words");
_Static_assert((int)VKS_MAX_BURST <= (int)VKS_RING_SIZE, "the ring holds a burst");

// ---- parameters -----------------------------------------------------------------------------------------------------

static vkssm_status check_tokens(const vkssm_session *session, const char *what, const int32_t *tokens, size_t n) {
    uint32_t n_vocab = session->model->shape.n_vocab;
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= n_vocab)
            return vks_fail(vks_session_log(session), VKSSM_ERR_ARG,
                            "generate: %s %zu: an id in 0 ... %u expected, %d found", what, i, n_vocab - 1, tokens[i]);
    return VKSSM_OK;
}

static vkssm_status check_sampling(const vkssm_session *session, const vkssm_sampling *s) {
    const vkssm_log *log = vks_session_log(session);
    if (!(s->temperature >= 0 && s->temperature <= 1e6f))
        return vks_fail(log, VKSSM_ERR_ARG, "generate: a temperature of 0 to 1e6 expected, %g found",
                        (double)s->temperature);
    if (!(s->top_p >= 0 && s->top_p <= 1))
        return vks_fail(log, VKSSM_ERR_ARG, "generate: top_p in 0 ... 1 expected, %g found", (double)s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return vks_fail(log, VKSSM_ERR_ARG, "generate: min_p in 0 ... 1 expected, %g found", (double)s->min_p);
    if (!(s->repetition_penalty >= 0 && s->repetition_penalty <= 1e6f))
        return vks_fail(log, VKSSM_ERR_ARG, "generate: a repetition penalty of 0 to 1e6 expected, %g found",
                        (double)s->repetition_penalty);
    if (!isfinite(s->presence_penalty))
        return vks_fail(log, VKSSM_ERR_ARG, "generate: a finite presence penalty expected, %g found",
                        (double)s->presence_penalty);
    if ((s->n_seen_token && !s->seen_tokens) || (s->n_bias && !s->biases))
        return vks_fail(log, VKSSM_ERR_ARG, "generate: %zu seen tokens and %zu biases expected, NULL found",
                        s->n_seen_token, s->n_bias);
    VKS_TRY(check_tokens(session, "seen token", s->seen_tokens, s->n_seen_token));
    for (size_t i = 0; i < s->n_bias; i++) {
        VKS_TRY(check_tokens(session, "biased token", &s->biases[i].token, 1));
        if (isnan(s->biases[i].bias) || s->biases[i].bias == INFINITY)
            return vks_fail(log, VKSSM_ERR_ARG, "generate: bias %zu: a number or minus infinity expected, %g found", i,
                            (double)s->biases[i].bias);
    }
    return VKSSM_OK;
}

static vkssm_status check_generate(const vkssm_session *session, uint32_t slot, const vkssm_generate_params *params) {
    const vkssm_log *log = vks_session_log(session);
    VKS_TRY(vks_session_check_idle(session, slot));
    if (!params || params->n_token == 0)
        return vks_fail(log, VKSSM_ERR_ARG, "generate: at least one token to generate expected, 0 found");
    VKS_TRY(check_sampling(session, &params->sampling));
    if (params->n_stop_token && !params->stop_tokens)
        return vks_fail(log, VKSSM_ERR_ARG, "generate: %u stop tokens expected, NULL found", params->n_stop_token);
    if (params->n_stop_token > VKSSM_MAX_STOP_TOKEN)
        return vks_fail(log, VKSSM_ERR_ARG, "generate: at most %d stop tokens expected, %u found", VKSSM_MAX_STOP_TOKEN,
                        params->n_stop_token);
    if (!session->slots[slot].has_logits)
        return vks_fail(log, VKSSM_ERR_STATE, "generate: slot %u has read no token: prefill or step first", slot);
    return VKSSM_OK;
}

// ---- joining --------------------------------------------------------------------------------------------------------

static uint32_t float_word(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

static bool needs_adjust(const vkssm_sampling *s) {
    return s->n_bias || s->presence_penalty != 0 || (s->repetition_penalty != 0 && s->repetition_penalty != 1);
}

static void set_controls(vkssm_session *session, uint32_t slot, const vkssm_generate_params *params) {
    uint32_t *words = vks_session_control(session, slot);
    const vkssm_sampling *s = &params->sampling;
    words[VKS_CONTROL_TOKEN] = 0;
    words[VKS_CONTROL_COUNT] = 0;
    words[VKS_CONTROL_TEMPERATURE] = float_word(s->temperature);
    words[VKS_CONTROL_TOP_K] = s->top_k;
    words[VKS_CONTROL_TOP_P] = float_word(s->top_p > 0 ? s->top_p : 1.0f);
    words[VKS_CONTROL_SEED_LOW] = (uint32_t)s->seed;
    words[VKS_CONTROL_SEED_HIGH] = (uint32_t)(s->seed >> 32);
    words[VKS_CONTROL_POSITION] = (uint32_t)session->slots[slot].position;
    words[VKS_CONTROL_MIN_P] = float_word(s->min_p);
    words[VKS_CONTROL_REPETITION] = float_word(s->repetition_penalty > 0 ? s->repetition_penalty : 1.0f);
    words[VKS_CONTROL_PRESENCE] = float_word(s->presence_penalty);
    words[VKS_CONTROL_FLAGS] = needs_adjust(s) ? VKS_CONTROL_ADJUST : 0;
    words[VKS_CONTROL_LIMIT] = params->n_token;
    words[VKS_CONTROL_PARK] = vks_session_parked(session);
    words[VKS_CONTROL_N_STOP] = params->n_stop_token;
    for (uint32_t i = 0; i < params->n_stop_token; i++)
        words[VKS_CONTROL_STOP + i] = (uint32_t)params->stop_tokens[i];
    vks_session_slot_list(session)[session->sizes.n_slot + VKS_SPARE_SLOTS] = slot;
}

// Biases and seen tokens of a slot, by way of the host-visible staging row.
static void record_adjust(vkssm_session *session, vks_recorder *recorder, uint32_t slot, const vkssm_sampling *s) {
    uint32_t n_vocab = session->model->shape.n_vocab, *seen = (uint32_t *)session->staging.mapped + n_vocab;
    float *biases = session->staging.mapped;
    uint64_t size = 2 * vks_session_logit_row_size(session);
    memset(biases, 0, (size_t)size);
    for (size_t i = 0; i < s->n_bias; i++)
        biases[s->biases[i].token] = s->biases[i].bias;
    for (size_t i = 0; i < s->n_seen_token; i++)
        seen[s->seen_tokens[i]] = 1;
    vks_record_copy(recorder, &session->adjust, slot * size, &session->staging, 0, size);
}

// Sample the first token from the logits that the slot holds.
static vkssm_status sample_first(vkssm_session *session, uint32_t slot, const vkssm_sampling *sampling,
                                 bool checkpoint) {
    vks_recorder *recorders[2] = {session->upload_control};
    VKS_TRY(vks_session_begin_once(session, &recorders[1]));
    if (checkpoint) vks_session_record_clone(session, recorders[1], slot, vks_session_checkpoint(session));
    if (needs_adjust(sampling)) record_adjust(session, recorders[1], slot, sampling);
    vks_record_fail(recorders[1], vks_session_record_first(session, recorders[1], slot));
    VKS_TRY(vks_recorder_end(recorders[1]));
    session->stale = true; // the list was uploaded as it stood
    return vks_session_run(session, recorders, 2);
}

// ---- delivery -------------------------------------------------------------------------------------------------------

static void leave(vkssm_session *session, uint32_t slot) {
    session->slots[slot].joined = false;
    session->n_joined--;
    session->stale = true;
}

static size_t ring_place(uint32_t slot, uint32_t i) {
    return (size_t)slot * VKS_RING_SIZE + i % VKS_RING_SIZE;
}

// The i-th token that the sampler wrote. The ring is host-visible, and the submission that wrote it has been waited
// for.
static int32_t ring_token(const vkssm_session *session, uint32_t slot, uint32_t i) {
    return ((const int32_t *)session->ring.mapped)[ring_place(slot, i)];
}

static bool is_stop(const vks_slot *s, int32_t token) {
    for (uint32_t i = 0; i < s->params.n_stop_token; i++)
        if (s->stop_tokens[i] == token) return true;
    return false;
}

// Of at most n new tokens, those up to the sequence's end.
static uint32_t count_new(const vkssm_session *session, uint32_t slot, uint32_t n) {
    const vks_slot *s = &session->slots[slot];
    if (n > s->params.n_token - s->count) n = s->params.n_token - s->count;
    for (uint32_t i = 0; i < n; i++)
        if (is_stop(s, ring_token(session, slot, s->count + i))) return i + 1;
    return n;
}

// Hand n new tokens to the caller, until it has enough: how many. The slot leaves if that was the end.
static uint32_t deliver(vkssm_session *session, uint32_t slot, uint32_t n) {
    vks_slot *s = &session->slots[slot];
    const float *scores = session->scores.mapped;
    const vks_device *device = session->model->device->vk;
    bool go_on = true;
    uint32_t i = 0;
    int32_t token = 0;
    while (i < n && go_on) {
        token = ring_token(session, slot, s->count);
        if (s->tokens) s->tokens[s->count] = token;
        if (s->params.log_probabilities) s->params.log_probabilities[s->count] = scores[ring_place(slot, s->count)];
        s->count++;
        i++;
        go_on = (!s->params.on_token || s->params.on_token(s->params.user, token)) && !vks_device_is_lost(device);
    }
    // What the device has in these words, for the next upload.
    vks_session_control(session, slot)[VKS_CONTROL_TOKEN] = (uint32_t)token;
    vks_session_control(session, slot)[VKS_CONTROL_COUNT] = s->count;
    if (!go_on || s->count == s->params.n_token || is_stop(s, token)) leave(session, slot);
    return i;
}

static vkssm_status join(vkssm_session *session, uint32_t slot, const vkssm_generate_params *params, int32_t *tokens,
                         bool checkpoint) {
    VKS_TRY(check_generate(session, slot, params));
    vks_slot *s = &session->slots[slot];
    s->count = 0;
    set_controls(session, slot, params);
    VKS_TRY(sample_first(session, slot, &params->sampling, checkpoint));
    session->n_history = 0;
    s->params = *params;
    s->tokens = tokens;
    if (params->n_stop_token)
        memcpy(s->stop_tokens, params->stop_tokens, params->n_stop_token * sizeof *s->stop_tokens);
    s->joined = true;
    session->n_joined++;
    deliver(session, slot, 1);
    return vks_wait(session->model->device->vk, 0); // lost within the callback?
}

// ---- bursts ---------------------------------------------------------------------------------------------------------

static uint64_t now_ns(void) {
    struct timespec now;
    if (timespec_get(&now, TIME_UTC) != TIME_UTC) return 0;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Steps of the next burst: no more than all slots together still want, and not much more time than allowed. Scopes can
// be read once a submission only.
static uint32_t burst_size(const vkssm_session *session, uint32_t n_step) {
    uint32_t n = n_step < VKS_MAX_BURST ? n_step : VKS_MAX_BURST, wanted = 0;
    for (uint32_t i = 0; i < session->sizes.n_slot; i++) {
        const vks_slot *s = &session->slots[i];
        if (s->joined && s->params.n_token - s->count > wanted) wanted = s->params.n_token - s->count;
    }
    if (n > wanted) n = wanted;
    if (session->timestamps || session->step_ns == 0) return 1;
    uint64_t fit = session->submit_ns / session->step_ns;
    return fit < 1 ? 1 : fit < n ? (uint32_t)fit : n;
}

static vkssm_status run_burst(vkssm_session *session, uint32_t n_step) {
    uint32_t n_sequence = vks_session_bucket(session, session->n_joined), n = 0;
    vks_recorder *recorders[1 + 2 * VKS_MAX_BURST], *step, *sample;
    VKS_TRY(vks_session_step_recorder(session, n_sequence, &step));
    VKS_TRY(vks_session_sample_recorder(session, n_sequence, &sample));
    // What a host application recorded may have run since, and changed the device's words and list.
    if (session->stale || session->recording) {
        uint32_t *list = vks_session_slot_list(session), n_listed = 0;
        for (uint32_t i = 0; i < session->sizes.n_slot; i++)
            if (session->slots[i].joined) list[n_listed++] = i;
        while (n_listed < n_sequence)
            list[n_listed++] = vks_session_parked(session);
        recorders[n++] = session->upload_control;
    }
    for (uint32_t i = 0; i < n_step; i++) {
        recorders[n++] = step;
        recorders[n++] = sample;
    }
    uint64_t begin = now_ns();
    VKS_TRY(vks_session_run(session, recorders, n));
    session->stale = false;
    uint64_t end = now_ns();
    if (end > begin) session->step_ns = (end - begin) / n_step;
    return VKSSM_OK;
}

// The slot has read n tokens: the last one delivered, and all new ones but the last.
static void note_read(vkssm_session *session, uint32_t slot, uint32_t n) {
    int32_t read[VKS_MAX_BURST];
    for (uint32_t i = 0; i < n; i++)
        read[i] = ring_token(session, slot, session->slots[slot].count - 1 + i);
    vks_session_after_read(session, slot, read, n);
}

// One burst and the delivery of its tokens. Of the last slot: how many tokens it has read, and how many were delivered.
static vkssm_status advance(vkssm_session *session, uint32_t n_step, uint32_t *n_read, uint32_t *n_delivered) {
    uint32_t n = burst_size(session, n_step);
    for (uint32_t slot = 0; slot < session->sizes.n_slot; slot++)
        if (session->slots[slot].joined) VKS_TRY(vks_session_before_read(session, slot));
    VKS_TRY(run_burst(session, n));
    for (uint32_t slot = 0; slot < session->sizes.n_slot; slot++) {
        vks_slot *s = &session->slots[slot];
        if (!s->joined) continue;
        *n_read = count_new(session, slot, n);
        s->position += *n_read;
        note_read(session, slot, *n_read);
        *n_delivered = deliver(session, slot, *n_read);
    }
    return vks_wait(session->model->device->vk, 0);
}

vkssm_status vkssm_session_join(vkssm_session *session, uint32_t slot, const vkssm_generate_params *params,
                                int32_t *tokens) {
    return join(session, slot, params, tokens, false);
}

vkssm_status vkssm_session_advance(vkssm_session *session, uint32_t n_step, uint32_t *n_left) {
    uint32_t n_before = session->n_joined, n_read, n_delivered;
    while (n_step > 0 && session->n_joined == n_before && n_before > 0) {
        uint32_t n = burst_size(session, n_step);
        VKS_TRY(advance(session, n, &n_read, &n_delivered));
        n_step -= n;
    }
    if (n_left) *n_left = session->n_joined;
    return VKSSM_OK;
}

vkssm_status vkssm_session_leave(vkssm_session *session, uint32_t slot) {
    VKS_TRY(vks_session_check_slot(session, slot));
    if (session->slots[slot].joined) leave(session, slot);
    return VKSSM_OK;
}

vkssm_status vkssm_session_get_generated(const vkssm_session *session, uint32_t slot, bool *takes_part,
                                         uint32_t *n_token) {
    VKS_TRY(vks_session_check_slot(session, slot));
    if (takes_part) *takes_part = session->slots[slot].joined;
    if (n_token) *n_token = session->slots[slot].count;
    return VKSSM_OK;
}

// ---- one sequence ---------------------------------------------------------------------------------------------------

// A caller that says it has enough amid a burst finds the slot behind that token. So that it can be brought back, its
// state is kept from time to time, and the tokens read since.
static vkssm_status renew_checkpoint(vkssm_session *session, uint32_t slot) {
    if (session->n_history + VKS_MAX_BURST <= VKS_MAX_HISTORY) return VKSSM_OK;
    vks_recorder *recorder;
    VKS_TRY(vks_session_begin_once(session, &recorder));
    vks_session_record_clone(session, recorder, slot, vks_session_checkpoint(session));
    VKS_TRY(vks_recorder_end(recorder));
    VKS_TRY(vks_session_run(session, &recorder, 1));
    session->n_history = 0;
    return VKSSM_OK;
}

// Back to the checkpoint, and forward again by the tokens of the history. n_more: tokens read behind them, which the
// slot's past forgets; it holds what came before them as it is, so these steps are none of its business.
static vkssm_status read_again(vkssm_session *session, uint32_t slot, uint32_t n_more) {
    vks_slot *s = &session->slots[slot];
    vks_recorder *recorder;
    vks_past *pasts = session->pasts;
    vkssm_status status = VKSSM_OK;
    VKS_TRY(vks_session_begin_once(session, &recorder));
    vks_session_record_clone(session, recorder, vks_session_checkpoint(session), slot);
    VKS_TRY(vks_recorder_end(recorder));
    VKS_TRY(vks_session_run(session, &recorder, 1));
    s->position -= n_more + session->n_history;
    session->pasts = NULL;
    for (uint32_t i = 0; i < session->n_history && status == VKSSM_OK; i++)
        status = vkssm_session_step(session, 1, &slot, &session->history[i], NULL);
    session->pasts = pasts;
    if (pasts) pasts[slot].n_token -= n_more;
    return status;
}

// One burst of a single slot.
static vkssm_status generate_burst(vkssm_session *session, uint32_t slot, bool checkpoint) {
    vks_slot *s = &session->slots[slot];
    uint32_t first = s->count - 1, n_read = 0, n_delivered = 0; // the token before the burst is the first one read
    if (checkpoint) VKS_TRY(renew_checkpoint(session, slot));
    VKS_TRY(advance(session, VKS_MAX_BURST, &n_read, &n_delivered));
    for (uint32_t i = 0; checkpoint && i < n_delivered; i++)
        session->history[session->n_history++] = ring_token(session, slot, first + i);
    if (n_delivered == n_read) return VKSSM_OK;
    return read_again(session, slot, n_read - n_delivered);
}

vkssm_status vkssm_session_generate(vkssm_session *session, uint32_t slot, const vkssm_generate_params *params,
                                    int32_t *tokens, uint32_t *n_token) {
    if (n_token) *n_token = 0;
    if (session->n_joined)
        return vks_fail(vks_session_log(session), VKSSM_ERR_STATE,
                        "generate: no other slot at it expected, %u found: use join and advance", session->n_joined);
    bool checkpoint = params && params->on_token;
    VKS_TRY(join(session, slot, params, tokens, checkpoint));
    vks_slot *s = &session->slots[slot];
    vkssm_status status = VKSSM_OK;
    while (status == VKSSM_OK && s->joined)
        status = generate_burst(session, slot, checkpoint);
    if (n_token) *n_token = s->count;
    if (s->joined) leave(session, slot);
    return status;
}

// Inside host/core: a session's parts.
//
// Three kinds of command buffers: the step of B slots, recorded once per B and replayed; the sampler, likewise; and small
// ones recorded for a call (a prefill piece, copies). What changes from token to token lies in device memory: token ids,
// slots and sampling controls, uploaded from a host-visible mirror by a replayed copy.
#ifndef VKS_SESSION_H
#define VKS_SESSION_H

#include <vkssm/session.h>

#include "core_model.h"
#include "vk/vks.h"

typedef struct vks_slot {
    uint64_t position; // tokens read
    bool has_logits;   // the slot's row of `logits` is that of its last token
} vks_slot;

typedef struct vks_session_sizes {
    uint32_t n_slot, piece_size;
    uint32_t n_logit_row; // rows of logits computed at once
    uint64_t scratch, slot, logits, control, tokens, readback, ring;
    uint64_t total;
} vks_session_sizes;

struct vkssm_session {
    vkssm_model *model;
    vks_session_sizes sizes;
    vks_slot *slots;

    vks_arena *state_arena, *scratch_arena, *upload_arena, *readback_arena;
    vks_buffer state;       // [n_slot] of the model's layout
    vks_buffer slot_logits; // [n_slot, V]
    vks_buffer logits;      // [n_logit_row, V] of the piece or step under way
    vks_buffer control;     // [n_slot, 8] control words, then [n_slot] slots of the step
    vks_buffer scratch;
    vks_buffer tokens;   // [piece_size], host-visible
    vks_buffer mirror;   // of `control`, host-visible
    vks_buffer readback; // [n_logit_row, V] or a slot's state, host-visible
    vks_buffer ring;     // [n_slot, VKS_RING_SIZE] tokens sampled, host-visible

    vks_recorder *once;           // recorded for each call
    vks_recorder *upload_control; // mirror to control
    vks_recorder **steps;         // [n_slot + 1], by B; NULL until first used
    vks_recorder **samples;       // likewise

    struct vks_session_recording *recording; // work recorded for a host application; NULL until prepared

    bool timestamps;
    vkssm_scope *scopes;
    size_t n_scope, scope_capacity;
};

enum { VKS_RING_SIZE = 64 };

// session_setup.c
vkssm_status vks_session_measure(const vkssm_model *model, const vkssm_session_params *params, vks_session_sizes *sizes);
const vkssm_log *vks_session_log(const vkssm_session *session);
vkssm_status vks_session_check_slot(const vkssm_session *session, uint32_t slot);
vkssm_status vks_session_check_tokens(const vkssm_session *session, const int32_t *tokens, size_t n_token);
vks_state_view vks_session_state(const vkssm_session *session, uint32_t first_slot, uint32_t n_slot);
vks_plan vks_session_plan(const vkssm_session *session, vks_recorder *recorder);
// Bytes between rows of logits, and row i of slot_logits.
uint64_t vks_session_logit_row_size(const vkssm_session *session);

// session_warm.c
// Run every kernel once where drivers compile that late; leaves slot 0 with a state to be cleared.
vkssm_status vks_session_warm(vkssm_session *session);

// session_submit.c
// Submit in order, wait, and add up the scopes' times.
vkssm_status vks_session_run(vkssm_session *session, vks_recorder *const *recorders, uint32_t n_recorder);
// Begin and end the recorder for one call.
vkssm_status vks_session_begin_once(vkssm_session *session, vks_recorder **out);
// The replayable recorder of `slot_in_table`, created on first use (not yet recorded: *fresh).
vkssm_status vks_session_recorder(vkssm_session *session, vks_recorder **place, const char *name, bool *fresh);

// record_session.c
// ERR_STATE while recorded work is begun and not complete.
vkssm_status vks_session_check_unrecorded(const vkssm_session *session);
void vks_session_recording_destroy(vkssm_session *session);

// session_step.c
// The recorded step of B slots, and the recorded sampler of B sequences.
vkssm_status vks_session_step_recorder(vkssm_session *session, uint32_t n_sequence, vks_recorder **out);
vkssm_status vks_session_sample_recorder(vkssm_session *session, uint32_t n_sequence, vks_recorder **out);
// Words of the mirror: the control block of a slot, and the list of slots.
uint32_t *vks_session_control(vkssm_session *session, uint32_t slot);
uint32_t *vks_session_slot_list(vkssm_session *session);

#endif

// Inside host/core: a session's parts.
//
// Three kinds of command buffers: the step of B slots, recorded once per B and replayed; the sampler, likewise; and
// small ones recorded for a call (a prefill piece, copies). What changes from token to token lies in device memory:
// token ids, slots and sampling controls, uploaded from a host-visible mirror by a replayed copy.
//
// B is the number of sequences rounded up to a power of two; the places left over belong to a slot of nobody, the
// parked one, and so do those of sequences that ended before the submission did. Kernels are chosen as for all slots,
// so that no sequence's bits depend on the others.
#ifndef VKS_SESSION_H
#define VKS_SESSION_H

#include <vkssm/session.h>

#include "core_model.h"
#include "state.h"
#include "vk/vks.h"

// A slot's contents kept elsewhere: state, then logits.
typedef struct vks_kept {
    vks_buffer buffer;
    bool used, has_logits;
    uint64_t position;
    int32_t *tokens; // of the prefix cache: [position], read from a reset on
    uint64_t last_use;
} vks_kept;

// How a slot can go back: two states of its past, and the tokens read since the older one.
typedef struct vks_past {
    vks_kept kept[2]; // 0: the newer one
    int32_t *tokens;  // [capacity]
    uint32_t n_token, capacity;
} vks_past;

typedef struct vks_slot {
    uint64_t position; // tokens read
    bool has_logits;   // the slot's row of `logits` is that of its last token
    // While it generates:
    bool joined;
    uint32_t count;               // tokens delivered; stays when it has left
    vkssm_generate_params params; // of its pointers only user and log_probabilities may be followed
    int32_t stop_tokens[VKSSM_MAX_STOP_TOKEN];
    int32_t *tokens; // [params.n_token] of the caller, or NULL
} vks_slot;

typedef struct vks_session_sizes {
    uint32_t n_slot, piece_size;
    uint32_t n_logit_row; // rows of logits computed at once
    uint32_t n_snapshot, n_cached, n_rollback;
    uint64_t kept; // bytes of a slot's contents kept elsewhere
    uint64_t scratch, slot, logits, control, tokens, readback, ring, adjust, blocks;
    uint64_t total;
} vks_session_sizes;

enum {
    VKS_RING_SIZE = 64,
    VKS_MAX_BURST = 32,    // steps of a submission; no more than the ring holds
    VKS_MAX_HISTORY = 320, // a checkpoint is renewed before more tokens are read
    VKS_SPARE_SLOTS = 2,   // behind the caller's: the parked one, the checkpoint
    VKS_MAX_PART = 16,
};

struct vkssm_session {
    vkssm_model *model;
    vks_session_sizes sizes;
    vks_slot *slots;

    vks_kept *kept;  // [n_snapshot], then [n_cached]
    vks_past *pasts; // [n_slot], with n_rollback
    uint64_t n_use;  // of the prefix cache
    vks_arena *kept_arena;

    vks_arena *state_arena, *slot_arena, *scratch_arena, *upload_arena, *readback_arena;
    vks_state_part parts[VKS_MAX_PART]; // of the states: the model's layout, cut where an allocation would be too large
    vks_buffer part_buffers[VKS_MAX_PART]; // [n_slot + VKS_SPARE_SLOTS] of the part
    uint32_t n_part;
    vks_buffer slot_logits; // [n_slot + VKS_SPARE_SLOTS, V]
    vks_buffer adjust;      // [n_slot + VKS_SPARE_SLOTS, 2, V] biases and tokens seen
    vks_buffer logits;      // [n_logit_row, V] of the piece or step under way
    vks_buffer control; // [n_slot + VKS_SPARE_SLOTS] control blocks, [n_slot] slots of the step, the slot that joins
    vks_buffer blocks;  // the sampler's scratch
    vks_buffer scratch;
    vks_buffer tokens;   // [piece_size], then offsets, slots, last tokens of packed prompts, host-visible
    vks_buffer mirror;   // of `control`, host-visible
    vks_buffer readback; // [n_logit_row, V] or a slot's state, host-visible
    vks_buffer ring;     // [n_slot + VKS_SPARE_SLOTS, VKS_RING_SIZE] tokens sampled, host-visible
    vks_buffer scores;   // likewise, their log probabilities
    vks_buffer staging;  // [2, V] of `adjust`, host-visible

    vks_recorder *once;           // recorded for each call
    vks_recorder *upload_control; // mirror to control
    vks_recorder **steps;         // [n_slot + 1], by B; NULL until first used
    vks_recorder **samples;       // likewise

    uint32_t n_joined;
    bool stale;         // the device's control words are not the mirror's
    uint64_t submit_ns; // that a submission of generation may take, about
    uint64_t step_ns;   // that a step took lately; 0: not known
    uint32_t n_history; // tokens that the slot that generates has read since its checkpoint
    int32_t history[VKS_MAX_HISTORY];
    struct vks_session_recording *recording; // work recorded for a host application; NULL until prepared

    bool coded_inputs;
    bool timestamps;
    vkssm_scope *scopes;
    size_t n_scope, scope_capacity;
};

static inline uint32_t vks_session_parked(const vkssm_session *session) {
    return session->sizes.n_slot;
}
static inline uint32_t vks_session_checkpoint(const vkssm_session *session) {
    return session->sizes.n_slot + 1;
}

// session_setup.c
vkssm_status vks_session_measure(const vkssm_model *model, const vkssm_session_params *params,
                                 vks_session_sizes *sizes);
const vkssm_log *vks_session_log(const vkssm_session *session);
vkssm_status vks_session_check_slot(const vkssm_session *session, uint32_t slot);
// Also that the slot does not generate: what would change it has to wait.
vkssm_status vks_session_check_idle(const vkssm_session *session, uint32_t slot);
vkssm_status vks_session_check_tokens(const vkssm_session *session, const int32_t *tokens, size_t n_token);
vks_state_view vks_session_state(const vkssm_session *session, uint32_t first_slot, uint32_t n_slot);
vks_plan vks_session_plan(const vkssm_session *session, vks_recorder *recorder);
// Bytes between rows of logits, and row i of slot_logits.
uint64_t vks_session_logit_row_size(const vkssm_session *session);

// session_parts.c
// The states of all slots, in as many buffers as it takes.
vkssm_status vks_session_take_states(vkssm_session *session);
void vks_session_record_clear(vkssm_session *session, vks_recorder *recorder, uint32_t first_slot, uint32_t n_slot);
void vks_session_record_copy_state(vkssm_session *session, vks_recorder *recorder, uint32_t from, uint32_t to);
// The state of a slot as one range of a buffer, from byte `offset` on; `back`: from there to the slot.
void vks_session_record_state(vkssm_session *session, vks_recorder *recorder, uint32_t slot, const vks_buffer *buffer,
                              uint64_t offset, bool back);
vkssm_status vks_session_upload_state(vkssm_session *session, vks_upload *upload, uint32_t slot, const void *floats);

// session_warm.c
// Run every kernel once where drivers compile that late; leaves slot 0 with a state to be cleared.
vkssm_status vks_session_warm(vkssm_session *session);

// session_kept.c
void vks_session_measure_kept(const vkssm_session_params *params, uint64_t row_size, vks_session_sizes *sizes);
vkssm_status vks_session_take_kept(vkssm_session *session);
void vks_session_free_kept(vkssm_session *session);
vkssm_status vks_session_keep(vkssm_session *session, uint32_t slot, vks_kept *kept);
vkssm_status vks_session_bring_back(vkssm_session *session, const vks_kept *kept, uint32_t slot);

// session_rollback.c
// Before a slot reads tokens, and after it has read n of them. Without n_rollback nothing happens.
vkssm_status vks_session_before_read(vkssm_session *session, uint32_t slot);
void vks_session_after_read(vkssm_session *session, uint32_t slot, const int32_t *tokens, uint32_t n);
void vks_session_forget_past(vkssm_session *session, uint32_t slot); // its contents came from elsewhere

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
// The recorded step of B slots, and the recorded sampler of B sequences. B from vks_session_bucket.
vkssm_status vks_session_step_recorder(vkssm_session *session, uint32_t n_sequence, vks_recorder **out);
vkssm_status vks_session_sample_recorder(vkssm_session *session, uint32_t n_sequence, vks_recorder **out);
// The sampler alone, on the last logits of the slot that stands behind the list.
vkssm_status vks_session_record_first(vkssm_session *session, vks_recorder *recorder, uint32_t slot);
uint32_t vks_session_bucket(const vkssm_session *session, uint32_t n_sequence);
// Words of the mirror: the control block of a slot; the list of slots, and behind it the slot that joins.
uint32_t *vks_session_control(vkssm_session *session, uint32_t slot);
uint32_t *vks_session_slot_list(vkssm_session *session);
// Fill the list with these slots and, up to the bucket, the parked one.
void vks_session_set_list(vkssm_session *session, uint32_t n_slot, const uint32_t *slots);

// session_state.c
// Record copies of a slot's state and last logits.
void vks_session_record_clone(vkssm_session *session, vks_recorder *recorder, uint32_t from, uint32_t to);

#endif

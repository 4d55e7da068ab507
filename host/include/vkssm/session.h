// vkssm/session.h: run a language model. A session holds slots; a slot is one sequence with its own recurrent state.
//
// Typical order: vkssm_session_create, vkssm_session_prefill with a prompt, then vkssm_session_generate, or
// vkssm_session_step with tokens of your own choice.
// Thread-safety: a session belongs to one thread at a time; several sessions may run at once on one model.
#ifndef VKSSM_SESSION_H
#define VKSSM_SESSION_H

#include <vkssm/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vkssm_session vkssm_session;

typedef struct vkssm_session_params {
    uint32_t n_slot;      // sequences held at once; 0: 1
    uint32_t piece_size;  // tokens of one prefill submission; 0: chosen for the device. Scratch grows with it
    bool timestamps;      // measure GPU time per named scope (vkssm_session_get_scope)
    uint32_t submit_us;   // time that a submission of several generated tokens should take at most, about; 0: 20,000
    uint32_t n_snapshot;  // snapshots that can be kept (vkssm_session_snapshot), each as large as a slot
    uint32_t n_rollback;  // tokens that a slot can go back (vkssm_session_rollback); not 0: two more states a slot
    uint64_t prefix_cache_size; // bytes of device memory for states of prompts (vkssm_session_prefill_cached)
    bool coded_inputs;    // where few tokens are read at once, products of Q8_0 and Q4_0 weights may round their inputs to codes
                          // of 8 bits, 16 values to a scale, and multiply integers: faster on some devices
} vkssm_session_params;

// Bytes of device memory that a session with these parameters will take besides the model's weights.
VKSSM_API vkssm_status vkssm_session_memory_size(const vkssm_model *model, const vkssm_session_params *params,
                                                 uint64_t *size);

// Create a session with all slots reset. All its memory is taken here, the states in several allocations where the device's
// largest is smaller than they are; later calls allocate no device memory. On a CPU
// device this also runs every kernel once, because such drivers compile at first use.
// Errors: ERR_ARG, ERR_OOM_HOST, ERR_OOM_DEVICE (amount needed and found), ERR_DEVICE_LOST.
VKSSM_API vkssm_status vkssm_session_create(vkssm_model *model, const vkssm_session_params *params, vkssm_session **out);
VKSSM_API void vkssm_session_destroy(vkssm_session **session);

typedef enum vkssm_logits {
    VKSSM_LOGITS_NONE, // `logits` is not used
    VKSSM_LOGITS_LAST, // [V] of the last token
    VKSSM_LOGITS_ALL,  // [n_token, V]
} vkssm_logits;

// Read `n_token` tokens into `slot`, after those it has read already, by the parallel form in bounded pieces.
// tokens: [n_token] each in [0, V).   logits: see vkssm_logits, float32, host memory.
// Errors: ERR_ARG (no tokens; a token outside the vocabulary: position and id), ERR_DEVICE_LOST. On ERR_ARG nothing changed.
// Cost: one submission and wait per piece.
VKSSM_API vkssm_status vkssm_session_prefill(vkssm_session *session, uint32_t slot, const int32_t *tokens, size_t n_token,
                                             vkssm_logits want, float *logits);

typedef struct vkssm_prompt {
    uint32_t slot;
    const int32_t *tokens; // [n_token] each in [0, V)
    size_t n_token;        // 1 or more
} vkssm_prompt;

// Read prompts of any lengths into different slots, each after what its slot has read already: as vkssm_session_prefill
// for one after the other, within float32 rounding, but pieces hold tokens of several prompts, packed without padding.
// logits: [n_prompt, V] float32 of the prompts' last tokens, host memory, or NULL.
// Errors: ERR_ARG (no prompts, or more than slots; a slot named twice; then as vkssm_session_prefill), ERR_STATE (a slot
// generates), ERR_DEVICE_LOST. On ERR_ARG and ERR_STATE nothing changed.
// Cost: one submission and wait per piece of all prompts' tokens together; where an architecture cannot pack, or with
// params.n_rollback, per piece of each prompt.
VKSSM_API vkssm_status vkssm_session_prefill_prompts(vkssm_session *session, uint32_t n_prompt,
                                                     const vkssm_prompt *prompts, float *logits);

// Advance `n_slot` different slots by one token each, by the recurrent form.
// slots, tokens: [n_slot].   logits: [n_slot, V] float32 or NULL.
// The bits of a slot's result do not depend on which other slots take part.
// Errors: ERR_ARG (slot out of range or named twice; token outside the vocabulary), ERR_STATE (the slot generates),
// ERR_DEVICE_LOST.
// Cost: one submission and wait. Steps are recorded once for 1, 2, 4, 8, ... slots; no allocation.
VKSSM_API vkssm_status vkssm_session_step(vkssm_session *session, uint32_t n_slot, const uint32_t *slots,
                                          const int32_t *tokens, float *logits);

typedef struct vkssm_logit_bias {
    int32_t token;
    float bias;
} vkssm_logit_bias;

// How the next token is chosen from logits l. First penalties and biases: of a token that was seen before, l becomes l / r
// (where it is positive) or l r, r being repetition_penalty (Keskar et al. 2019, section 4.1), and then l - presence_penalty;
// biases are added. Then l / temperature; the top_k largest; of these the smallest set of the most probable tokens whose
// probability reaches top_p (Holtzman et al. 2020); those at least min_p times as probable as the most probable one (Nguyen
// et al. 2024). The draw uses a counter-based generator keyed by (seed, position), so that a run can be repeated. Tokens
// equal to the last one kept are kept too.
typedef struct vkssm_sampling {
    float temperature; // 0: the largest logit (lowest id among equals); the cuts are then not used
    uint32_t top_k;    // 0: all
    float top_p;       // in (0, 1]; 0: 1
    uint64_t seed;
    float min_p;                    // in 0 ... 1
    float repetition_penalty;       // above 0; 0: 1
    float presence_penalty;         // any finite number
    const int32_t *seen_tokens;     // [n_seen_token] that count as seen, such as the prompt; generated tokens always do
    size_t n_seen_token;
    const vkssm_logit_bias *biases; // [n_bias]; of a token named twice the last one counts; -INFINITY: never chosen
    size_t n_bias;
} vkssm_sampling;

#define VKSSM_MAX_STOP_TOKEN 9

typedef struct vkssm_generate_params {
    uint32_t n_token;        // tokens to generate at most
    vkssm_sampling sampling;
    const int32_t *stop_tokens; // [n_stop_token] ids that end generation; the id that ended it is still delivered
    uint32_t n_stop_token;      // at most VKSSM_MAX_STOP_TOKEN
    bool (*on_token)(void *user, int32_t token); // called for each token in order; false ends generation. Must not call
                                                 // functions of the session
    void *user;
    float *log_probabilities; // [n_token] or NULL: ln of each token's probability under the logits as the model gave them
} vkssm_generate_params;

// Generate from `slot`, which must have read at least one token. Every delivered token but the last one has been read
// into the slot; the last one is the next token to step or prefill with.
// tokens: [params->n_token] or NULL.   n_token: number delivered, or NULL.
// Tokens are sampled on the device, several to a submission (session params: submit_us), and delivered when it has ended.
// Errors: ERR_ARG, ERR_STATE (empty slot; slots are joined), ERR_DEVICE_LOST.
// Cost: no allocation. If on_token returns false amid a submission, up to 300 tokens are read again.
VKSSM_API vkssm_status vkssm_session_generate(vkssm_session *session, uint32_t slot, const vkssm_generate_params *params,
                                              int32_t *tokens, uint32_t *n_token);

// The same for several slots at once, which come and go: join makes a slot take part, and delivers its first token;
// advance takes steps of all that do. A slot leaves by itself behind its last token, or by leave. What others do changes
// nothing for a slot, bit for bit.
// tokens and params->log_probabilities are kept until the slot has left; everything else is copied.
// If on_token ends a slot amid a submission, the slot has read more tokens than were delivered (vkssm_session_get_position
// tells); one that ends by its stop tokens or n_token has not.
// Errors: ERR_ARG, ERR_STATE (empty slot; a slot that takes part already), ERR_DEVICE_LOST.
VKSSM_API vkssm_status vkssm_session_join(vkssm_session *session, uint32_t slot, const vkssm_generate_params *params,
                                          int32_t *tokens);
// At most n_step steps; returns earlier when a slot has left. n_left: slots that still take part, or NULL.
VKSSM_API vkssm_status vkssm_session_advance(vkssm_session *session, uint32_t n_step, uint32_t *n_left);
VKSSM_API vkssm_status vkssm_session_leave(vkssm_session *session, uint32_t slot);
// Whether the slot takes part, and how many tokens it was given since it joined (also after it left; until the next call
// that changes it). Either place may be NULL.
VKSSM_API vkssm_status vkssm_session_get_generated(const vkssm_session *session, uint32_t slot, bool *takes_part,
                                                   uint32_t *n_token);

// Number of tokens that a slot has read.
VKSSM_API vkssm_status vkssm_session_get_position(const vkssm_session *session, uint32_t slot, uint64_t *position);

// Back to the state before the first token.
VKSSM_API vkssm_status vkssm_session_reset(vkssm_session *session, uint32_t slot);
// Copy the whole state of slot `from` to slot `to`, bit for bit.
VKSSM_API vkssm_status vkssm_session_clone(vkssm_session *session, uint32_t from, uint32_t to);

// Keep the state, position and last logits of a slot in place `index` below params.n_snapshot, and bring them back to any
// slot, bit for bit, inside device memory.
// Errors: ERR_ARG, ERR_STATE (the slot generates; nothing was kept there), ERR_DEVICE_LOST. Cost: a copy; no allocation.
VKSSM_API vkssm_status vkssm_session_snapshot(vkssm_session *session, uint32_t slot, uint32_t index);
VKSSM_API vkssm_status vkssm_session_restore(vkssm_session *session, uint32_t index, uint32_t slot);

// Take back the last n_token tokens that a slot has read, at most params.n_rollback, and none from before its last reset,
// clone, load or restore. The slot then holds what it held before them: bit for bit where the tokens were steps or generated,
// within float32 rounding where they came by a prefill. For drafts that were not accepted.
// Errors: ERR_ARG (more tokens than that), ERR_STATE (the slot generates), ERR_DEVICE_LOST.
// Cost: a copy of a state and at most 2 n_rollback + 32 steps; every n_rollback tokens read cost a copy.
VKSSM_API vkssm_status vkssm_session_rollback(vkssm_session *session, uint32_t slot, uint32_t n_token);

// Reset the slot and read the tokens, as prefill with VKSSM_LOGITS_NONE, but go on from the state of the longest beginning
// of them that an earlier call has left in the cache, and leave the state behind the last token there. The least recently
// used state gives way. n_found: tokens that needed no reading, or NULL.
// Errors: as prefill; ERR_STATE without params.prefix_cache_size.
VKSSM_API vkssm_status vkssm_session_prefill_cached(vkssm_session *session, uint32_t slot, const int32_t *tokens,
                                                    size_t n_token, size_t *n_found);

// Save and load a slot's state, with its position and last logits, so that everything after goes on bit for bit in a
// session of the same parameters on the same device; with others, such as another number of slots, to rounding, since
// other kernels may be chosen. The image carries a version, the fingerprint of the model's shapes, and a checksum; loading checks all three.
// data: [data_size], data_size at least vkssm_session_state_size bytes to save, and exactly the saved bytes to load.
// Errors: ERR_ARG (too small), ERR_FORMAT (not a state, another version, another model, truncated, corrupt). On an error
// the slot is unchanged.
VKSSM_API uint64_t vkssm_session_state_size(const vkssm_session *session);
VKSSM_API vkssm_status vkssm_session_state_save(vkssm_session *session, uint32_t slot, void *data, uint64_t data_size);
VKSSM_API vkssm_status vkssm_session_state_load(vkssm_session *session, uint32_t slot, const void *data,
                                                uint64_t data_size);

// GPU time by named scope, summed since creation (params.timestamps). The i-th scope; ERR_ARG past the last one.
typedef struct vkssm_scope {
    const char *name; // "ssd", "gemm", ...
    uint64_t n_call;
    uint64_t time_ns;
} vkssm_scope;
VKSSM_API vkssm_status vkssm_session_get_scope(const vkssm_session *session, uint32_t index, vkssm_scope *out);

#ifdef __cplusplus
}
#endif
#endif

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
} vkssm_session_params;

// Bytes of device memory that a session with these parameters will take besides the model's weights.
VKSSM_API vkssm_status vkssm_session_memory_size(const vkssm_model *model, const vkssm_session_params *params,
                                                 uint64_t *size);

// Create a session with all slots reset. All its memory is taken here; later calls allocate no device memory. On a CPU
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

// Advance `n_slot` different slots by one token each, by the recurrent form.
// slots, tokens: [n_slot].   logits: [n_slot, V] float32 or NULL.
// Errors: ERR_ARG (slot out of range or named twice; token outside the vocabulary), ERR_DEVICE_LOST.
// Cost: one submission and wait; no recording after the first step with this n_slot; no allocation.
VKSSM_API vkssm_status vkssm_session_step(vkssm_session *session, uint32_t n_slot, const uint32_t *slots,
                                          const int32_t *tokens, float *logits);

// How the next token is chosen from logits l: l / temperature, the top_k largest, then the smallest set of the most
// probable tokens whose probability reaches top_p; the draw uses a counter-based generator keyed by (seed, position),
// so that a run can be repeated. Tokens equal to the last one kept are kept too.
typedef struct vkssm_sampling {
    float temperature; // 0: the largest logit (lowest id among equals); the other members are then not used
    uint32_t top_k;    // 0: all
    float top_p;       // in (0, 1]; 0: 1
    uint64_t seed;
} vkssm_sampling;

typedef struct vkssm_generate_params {
    uint32_t n_token;        // tokens to generate at most
    vkssm_sampling sampling;
    const int32_t *stop_tokens; // [n_stop_token] ids that end generation; the id that ended it is still delivered
    uint32_t n_stop_token;
    bool (*on_token)(void *user, int32_t token); // called for each token in order; false ends generation
    void *user;
} vkssm_generate_params;

// Generate from `slot`, which must have read at least one token. Every delivered token but the last one has been read
// into the slot; the last one is the next token to step or prefill with.
// tokens: [params->n_token] or NULL.   n_token: number delivered, or NULL.
// Errors: ERR_ARG, ERR_STATE (empty slot), ERR_DEVICE_LOST.
VKSSM_API vkssm_status vkssm_session_generate(vkssm_session *session, uint32_t slot, const vkssm_generate_params *params,
                                              int32_t *tokens, uint32_t *n_token);

// Number of tokens that a slot has read.
VKSSM_API vkssm_status vkssm_session_get_position(const vkssm_session *session, uint32_t slot, uint64_t *position);

// Back to the state before the first token.
VKSSM_API vkssm_status vkssm_session_reset(vkssm_session *session, uint32_t slot);
// Copy the whole state of slot `from` to slot `to`, bit for bit.
VKSSM_API vkssm_status vkssm_session_clone(vkssm_session *session, uint32_t from, uint32_t to);

// Save and load a slot's state, with its position and last logits, so that everything after goes on bit for bit. The
// image carries a version, the fingerprint of the model's shapes, and a checksum; loading checks all three.
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

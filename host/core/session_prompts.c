// Reading the prompts of several slots at once: their tokens lie packed in pieces of bounded size, one prompt after the
// other and nothing between them. What tells them apart comes behind the tokens: offsets, slots, rows of last tokens.
#include "core_session.h"

#include <string.h>

#include "core_device.h"
#include "host/base/alloc.h"

// A piece holds the rest of prompt `first`, whole prompts, and the beginning of the last one, which alone may go on in
// the next piece.
typedef struct packed_piece {
    uint32_t first, n_part, n_ended, n_token;
} packed_piece;

// What has been read of the prompts: those before `prompt`, and `done` tokens of it.
typedef struct prompt_cursor {
    uint32_t prompt;
    size_t done;
} prompt_cursor;

static int32_t *offsets_of(const vkssm_session *session) {
    return (int32_t *)session->tokens.mapped + session->sizes.piece_size;
}

static packed_piece pack(vkssm_session *session, uint32_t n_prompt, const vkssm_prompt *prompts, prompt_cursor *at) {
    packed_piece piece = {.first = at->prompt};
    uint32_t n_slot = session->sizes.n_slot;
    int32_t *tokens = session->tokens.mapped, *offsets = offsets_of(session), *slots = offsets + n_slot + 1;
    int32_t *last = slots + n_slot;
    offsets[0] = 0;
    while (at->prompt < n_prompt && piece.n_token < session->sizes.piece_size) {
        const vkssm_prompt *prompt = &prompts[at->prompt];
        size_t n = prompt->n_token - at->done, room = session->sizes.piece_size - piece.n_token;
        bool ends = n <= room;
        if (!ends) n = room;
        memcpy(tokens + piece.n_token, prompt->tokens + at->done, n * sizeof *tokens);
        piece.n_token += (uint32_t)n;
        slots[piece.n_part++] = (int32_t)prompt->slot;
        offsets[piece.n_part] = (int32_t)piece.n_token;
        if (ends) last[piece.n_ended++] = (int32_t)piece.n_token - 1;
        *at = ends ? (prompt_cursor){at->prompt + 1, 0} : (prompt_cursor){at->prompt, at->done + n};
    }
    return piece;
}

static vkssm_status read_piece(vkssm_session *session, const vkssm_prompt *prompts, packed_piece piece, float *logits) {
    const vkssm_model *model = session->model;
    uint32_t n_vocab = model->shape.n_vocab, n_slot = session->sizes.n_slot;
    uint64_t row_size = vks_session_logit_row_size(session), word = sizeof(int32_t);
    uint64_t offsets = session->tokens.address + session->sizes.piece_size * word,
             slots = offsets + (n_slot + 1) * word;
    vks_recorder *recorder;
    VKS_TRY(vks_session_begin_once(session, &recorder));
    vks_plan plan = vks_session_plan(session, recorder);
    vks_prefill prefill = {
        .tokens = vks_tensor_dense(session->tokens.address, VKSSM_DTYPE_I32, 1, (uint32_t[]){piece.n_token}),
        .state = vks_session_state(session, 0, n_slot),
        .slots = vks_tensor_dense(slots, VKSSM_DTYPE_I32, 1, (uint32_t[]){piece.n_part}),
        .offsets = vks_tensor_dense(offsets, VKSSM_DTYPE_I32, 1, (uint32_t[]){piece.n_part + 1}),
    };
    if (piece.n_ended) {
        prefill.last = vks_tensor_dense(slots + n_slot * word, VKSSM_DTYPE_I32, 1, (uint32_t[]){piece.n_ended});
        prefill.logits = vks_tensor_rows(session->logits.address, VKSSM_DTYPE_F32, piece.n_ended, n_vocab, n_vocab);
    }
    vks_record_fail(recorder, model->arch->record_prefill(model->self, &plan, &prefill));
    for (uint32_t i = 0; i < piece.n_ended; i++)
        vks_record_copy(recorder, &session->slot_logits, prompts[piece.first + i].slot * row_size, &session->logits,
                        i * row_size, row_size);
    if (logits && piece.n_ended)
        vks_record_copy(recorder, &session->readback, 0, &session->logits, 0, piece.n_ended * row_size);
    VKS_TRY(vks_recorder_end(recorder));
    VKS_TRY(vks_session_run(session, &recorder, 1));
    if (logits) memcpy(logits + (size_t)piece.first * n_vocab, session->readback.mapped, piece.n_ended * row_size);
    const int32_t *ends = offsets_of(session);
    for (uint32_t i = 0; i < piece.n_part; i++) {
        vks_slot *slot = &session->slots[prompts[piece.first + i].slot];
        slot->position += (uint64_t)(ends[i + 1] - ends[i]);
        slot->has_logits = i < piece.n_ended;
    }
    return VKSSM_OK;
}

static vkssm_status check(vkssm_session *session, uint32_t n_prompt, const vkssm_prompt *prompts) {
    const vkssm_log *log = vks_session_log(session);
    if (n_prompt == 0 || !prompts)
        return vks_fail(log, VKSSM_ERR_ARG, "prefill: at least one prompt expected, none found");
    if (n_prompt > session->sizes.n_slot)
        return vks_fail(log, VKSSM_ERR_ARG, "prefill: at most %u prompts expected, one for each slot, %u found",
                        session->sizes.n_slot, n_prompt);
    for (uint32_t i = 0; i < n_prompt; i++) {
        VKS_TRY(vks_session_check_idle(session, prompts[i].slot));
        for (uint32_t k = 0; k < i; k++)
            if (prompts[k].slot == prompts[i].slot)
                return vks_fail(log, VKSSM_ERR_ARG, "prefill: different slots expected, slot %u found twice",
                                prompts[i].slot);
        if (prompts[i].n_token == 0 || !prompts[i].tokens)
            return vks_fail(log, VKSSM_ERR_ARG, "prefill: prompt %u: at least one token expected, none found", i);
        VKS_TRY(vks_session_check_tokens(session, prompts[i].tokens, prompts[i].n_token));
    }
    return VKSSM_OK;
}

vkssm_status vkssm_session_prefill_prompts(vkssm_session *session, uint32_t n_prompt, const vkssm_prompt *prompts,
                                           float *logits) {
    VKS_TRY(check(session, n_prompt, prompts));
    size_t n_vocab = session->model->shape.n_vocab;
    // One prompt needs no packing, and a session of one slot has no scratch for it; with n_rollback states are kept
    // between pieces of one prompt.
    if (n_prompt == 1 || !session->model->arch->packs_prompts || session->sizes.n_rollback) {
        for (uint32_t i = 0; i < n_prompt; i++)
            VKS_TRY(vkssm_session_prefill(session, prompts[i].slot, prompts[i].tokens, prompts[i].n_token,
                                          logits ? VKSSM_LOGITS_LAST : VKSSM_LOGITS_NONE,
                                          logits ? logits + i * n_vocab : NULL));
        return VKSSM_OK;
    }
    prompt_cursor at = {0};
    while (at.prompt < n_prompt) {
        packed_piece piece = pack(session, n_prompt, prompts, &at);
        VKS_TRY(read_piece(session, prompts, piece, logits));
    }
    return VKSSM_OK;
}

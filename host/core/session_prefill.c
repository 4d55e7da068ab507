// Reading many tokens at once, in pieces of bounded size.
#include "core_session.h"

#include <string.h>

#include "core_device.h"
#include "host/base/alloc.h"

// Read one piece. want LAST: logits of its last token go to the slot's row. ALL: those of every token come back to
// `out`.
static vkssm_status read_piece(vkssm_session *session, uint32_t slot, const int32_t *tokens, uint32_t n_token,
                               vkssm_logits want, float *out) {
    const vkssm_model *model = session->model;
    uint32_t n_vocab = model->shape.n_vocab;
    uint64_t row_size = vks_session_logit_row_size(session);
    memcpy(session->tokens.mapped, tokens, n_token * sizeof *tokens);
    vks_recorder *recorder;
    VKS_TRY(vks_session_begin_once(session, &recorder));
    vks_plan plan = vks_session_plan(session, recorder);
    vks_prefill prefill = {
        .tokens = vks_tensor_dense(session->tokens.address, VKSSM_DTYPE_I32, 1, (uint32_t[]){n_token}),
        .state = vks_session_state(session, slot, 1),
    };
    if (want == VKSSM_LOGITS_ALL) {
        prefill.logits = vks_tensor_rows(session->logits.address, VKSSM_DTYPE_F32, n_token, n_vocab, n_vocab);
    } else if (want == VKSSM_LOGITS_LAST) {
        uint64_t address = session->slot_logits.address + slot * row_size;
        prefill.logits = vks_tensor_rows(address, VKSSM_DTYPE_F32, 1, n_vocab, n_vocab);
        prefill.first_logit = n_token - 1;
    }
    vks_record_fail(recorder, model->arch->record_prefill(model->self, &plan, &prefill));
    if (want == VKSSM_LOGITS_ALL) {
        vks_record_copy(recorder, &session->readback, 0, &session->logits, 0, n_token * row_size);
        vks_record_copy(recorder, &session->slot_logits, slot * row_size, &session->logits, (n_token - 1) * row_size,
                        row_size);
    } else if (want == VKSSM_LOGITS_LAST && out) {
        vks_record_copy(recorder, &session->readback, 0, &session->slot_logits, slot * row_size, row_size);
    }
    VKS_TRY(vks_recorder_end(recorder));
    VKS_TRY(vks_session_run(session, &recorder, 1));
    if (out) memcpy(out, session->readback.mapped, (want == VKSSM_LOGITS_ALL ? n_token : 1) * row_size);
    session->slots[slot].position += n_token;
    session->slots[slot].has_logits = want != VKSSM_LOGITS_NONE;
    return VKSSM_OK;
}

vkssm_status vkssm_session_prefill(vkssm_session *session, uint32_t slot, const int32_t *tokens, size_t n_token,
                                   vkssm_logits want, float *logits) {
    const vkssm_log *log = vks_session_log(session);
    VKS_TRY(vks_session_check_idle(session, slot));
    if (n_token == 0 || !tokens)
        return vks_fail(log, VKSSM_ERR_ARG, "prefill: at least one token expected, none found");
    if (want != VKSSM_LOGITS_NONE && !logits)
        return vks_fail(log, VKSSM_ERR_ARG, "prefill: a place for the logits expected, NULL found");
    VKS_TRY(vks_session_check_tokens(session, tokens, n_token));
    uint32_t piece_size = session->sizes.piece_size, n_vocab = session->model->shape.n_vocab;
    if (want == VKSSM_LOGITS_ALL && piece_size > session->sizes.n_logit_row) piece_size = session->sizes.n_logit_row;
    uint32_t n_back = session->sizes.n_rollback;
    for (size_t done = 0; done < n_token;) {
        VKS_TRY(vks_session_before_read(session, slot));
        size_t left = n_token - done;
        uint32_t n = (uint32_t)(left < piece_size ? left : piece_size);
        // A state is kept in front of the last ones.
        if (left > n_back && left - n < n_back) n = (uint32_t)(left - n_back);
        bool last = done + n == n_token;
        if (want == VKSSM_LOGITS_ALL)
            VKS_TRY(read_piece(session, slot, tokens + done, n, VKSSM_LOGITS_ALL, logits + done * n_vocab));
        else // the last token's logits are kept for generation even if the caller does not want them; so are those of a
             // place to go back to
            VKS_TRY(read_piece(session, slot, tokens + done, n, last || n_back ? VKSSM_LOGITS_LAST : VKSSM_LOGITS_NONE,
                               last && want == VKSSM_LOGITS_LAST ? logits : NULL));
        vks_session_after_read(session, slot, tokens + done, n);
        done += n;
    }
    return VKSSM_OK;
}

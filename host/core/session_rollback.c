// Going back some tokens. Of each slot two states are kept, n_rollback tokens or more apart, and the tokens read since
// the older one: whatever is asked for lies behind one of them, and is reached by reading again.
#include "core_session.h"

#include <string.h>

#include "core_device.h"
#include "host/base/alloc.h"

void vks_session_forget_past(vkssm_session *session, uint32_t slot) {
    if (!session->pasts) return;
    vks_past *past = &session->pasts[slot];
    past->kept[0].used = past->kept[1].used = false;
    past->n_token = 0;
}

vkssm_status vks_session_before_read(vkssm_session *session, uint32_t slot) {
    if (!session->pasts) return VKSSM_OK;
    vks_past *past = &session->pasts[slot];
    vks_kept *newer = &past->kept[0], *older = &past->kept[1];
    uint64_t position = session->slots[slot].position;
    if (newer->used && position - newer->position < session->sizes.n_rollback) return VKSSM_OK;
    // The older one gives way: tokens from before the newer one are needed no more.
    uint32_t n_drop = newer->used ? (uint32_t)(past->n_token - (position - newer->position)) : past->n_token;
    memmove(past->tokens, past->tokens + n_drop, (past->n_token - n_drop) * sizeof *past->tokens);
    past->n_token -= n_drop;
    VKS_TRY(vks_session_keep(session, slot, older)); // should it fail, the newer one and the tokens since it stay
    vks_kept kept = *older;
    *older = *newer;
    *newer = kept;
    return VKSSM_OK;
}

void vks_session_after_read(vkssm_session *session, uint32_t slot, const int32_t *tokens, uint32_t n) {
    if (!session->pasts) return;
    vks_past *past = &session->pasts[slot];
    memcpy(past->tokens + past->n_token, tokens, n * sizeof *tokens); // capacity: twice a distance, a piece and a burst
    past->n_token += n;
}

vkssm_status vkssm_session_rollback(vkssm_session *session, uint32_t slot, uint32_t n_token) {
    const vkssm_log *log = vks_session_log(session);
    VKS_TRY(vks_session_check_idle(session, slot));
    uint32_t most = session->sizes.n_rollback;
    if (session->pasts && session->pasts[slot].n_token < most) most = session->pasts[slot].n_token;
    if (n_token > most)
        return vks_fail(log, VKSSM_ERR_ARG, "rollback: at most %u tokens of slot %u expected, %u found", most, slot,
                        n_token);
    if (n_token == 0) return VKSSM_OK;
    vks_past *past = &session->pasts[slot];
    uint64_t position = session->slots[slot].position, target = position - n_token, first = position - past->n_token;
    if (past->kept[0].position > target) { // the newer one lies in what is taken back
        vks_kept newer = past->kept[0];
        past->kept[0] = past->kept[1];
        past->kept[1] = newer;
        past->kept[1].used = false;
    }
    VKS_TRY(vks_session_bring_back(session, &past->kept[0], slot));
    uint32_t begin = (uint32_t)(past->kept[0].position - first), end = (uint32_t)(target - first);
    past->n_token = begin; // reading again notes them again
    for (uint32_t i = begin; i < end; i++) {
        int32_t token = past->tokens[i];
        VKS_TRY(vkssm_session_step(session, 1, &slot, &token, NULL));
    }
    return VKSSM_OK;
}

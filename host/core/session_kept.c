// Contents of slots kept in device memory: snapshots, and the prefix cache.
#include "core_session.h"

#include <string.h>

#include "core_device.h"
#include "host/base/alloc.h"

enum { MAX_CACHED = 4096 };
static const uint64_t block_size = (uint64_t)256 << 20; // of device memory, unless one state needs more

void vks_session_measure_kept(const vkssm_session_params *params, uint64_t row_size, vks_session_sizes *sizes) {
    sizes->kept = vks_align_up(sizes->slot + row_size, 256);
    uint64_t n_cached = params->prefix_cache_size / sizes->kept;
    sizes->n_snapshot = params->n_snapshot;
    sizes->n_rollback = params->n_rollback;
    sizes->n_cached = n_cached < MAX_CACHED ? (uint32_t)n_cached : MAX_CACHED;
}

static vkssm_status take(vkssm_session *session, const char *name, vks_kept *kept) {
    return vks_arena_alloc(session->kept_arena, session->sizes.kept, name, &kept->buffer);
}

vkssm_status vks_session_take_kept(vkssm_session *session) {
    const vks_session_sizes *s = &session->sizes;
    uint32_t n_place = s->n_snapshot + s->n_cached;
    if (!n_place && !s->n_rollback) return VKSSM_OK;
    // Few allocations: devices limit their number. Blocks are filled evenly, so that none is left half empty.
    uint64_t n_kept = n_place + (s->n_rollback ? 2 * (uint64_t)s->n_slot : 0);
    uint64_t n_block = (n_kept * s->kept + block_size - 1) / block_size;
    uint64_t per_block = (n_kept + n_block - 1) / n_block;
    VKS_TRY(vks_arena_create(session->model->device->vk, VKS_ROLE_STATE, per_block * s->kept, "kept states",
                             &session->kept_arena));
    if (n_place) session->kept = vks_alloc_zero(n_place, sizeof *session->kept);
    if (s->n_rollback) session->pasts = vks_alloc_zero(s->n_slot, sizeof *session->pasts);
    if ((n_place && !session->kept) || (s->n_rollback && !session->pasts))
        return vks_fail(vks_session_log(session), VKSSM_ERR_OOM_HOST, "session: out of memory for %u kept states",
                        n_place);
    for (uint32_t i = 0; i < n_place; i++)
        VKS_TRY(take(session, i < s->n_snapshot ? "snapshot" : "prefix", &session->kept[i]));
    for (uint32_t i = 0; s->n_rollback && i < s->n_slot; i++) {
        vks_past *past = &session->pasts[i];
        past->capacity = 2 * (s->n_rollback + s->piece_size + VKS_MAX_BURST);
        past->tokens = vks_alloc_zero(past->capacity, sizeof *past->tokens);
        if (!past->tokens)
            return vks_fail(vks_session_log(session), VKSSM_ERR_OOM_HOST, "session: out of memory for %u tokens",
                            past->capacity);
        VKS_TRY(take(session, "past", &past->kept[0]));
        VKS_TRY(take(session, "past", &past->kept[1]));
    }
    return VKSSM_OK;
}

void vks_session_free_kept(vkssm_session *session) {
    const vks_session_sizes *s = &session->sizes;
    for (uint32_t i = 0; session->kept && i < s->n_snapshot + s->n_cached; i++)
        vks_free(session->kept[i].tokens);
    for (uint32_t i = 0; session->pasts && i < s->n_slot; i++)
        vks_free(session->pasts[i].tokens);
    vks_free(session->kept);
    vks_free(session->pasts);
    vks_arena_destroy(&session->kept_arena);
}

// ---- copies ---------------------------------------------------------------------------------------------------------

static vkssm_status copy(vkssm_session *session, const vks_buffer *kept, uint32_t slot, bool back) {
    uint64_t size = session->sizes.slot, row_size = vks_session_logit_row_size(session);
    vks_recorder *recorder;
    VKS_TRY(vks_session_begin_once(session, &recorder));
    vks_session_record_state(session, recorder, slot, kept, 0, back);
    if (back)
        vks_record_copy(recorder, &session->slot_logits, slot * row_size, kept, size, row_size);
    else
        vks_record_copy(recorder, kept, size, &session->slot_logits, slot * row_size, row_size);
    VKS_TRY(vks_recorder_end(recorder));
    return vks_session_run(session, &recorder, 1);
}

vkssm_status vks_session_keep(vkssm_session *session, uint32_t slot, vks_kept *kept) {
    VKS_TRY(vks_session_check_unrecorded(session)); // before what was kept is lost
    kept->used = false;                             // until it is whole
    VKS_TRY(copy(session, &kept->buffer, slot, false));
    kept->used = true;
    kept->position = session->slots[slot].position;
    kept->has_logits = session->slots[slot].has_logits;
    return VKSSM_OK;
}

vkssm_status vks_session_bring_back(vkssm_session *session, const vks_kept *kept, uint32_t slot) {
    VKS_TRY(copy(session, &kept->buffer, slot, true));
    session->slots[slot] = (vks_slot){.position = kept->position, .has_logits = kept->has_logits};
    return VKSSM_OK;
}

// ---- snapshots ------------------------------------------------------------------------------------------------------

static vkssm_status check_snapshot(const vkssm_session *session, uint32_t slot, uint32_t index) {
    VKS_TRY(vks_session_check_idle(session, slot));
    if (index < session->sizes.n_snapshot) return VKSSM_OK;
    return vks_fail(vks_session_log(session), VKSSM_ERR_ARG, "snapshot: a place below %u expected, %u found",
                    session->sizes.n_snapshot, index);
}

vkssm_status vkssm_session_snapshot(vkssm_session *session, uint32_t slot, uint32_t index) {
    VKS_TRY(check_snapshot(session, slot, index));
    return vks_session_keep(session, slot, &session->kept[index]);
}

vkssm_status vkssm_session_restore(vkssm_session *session, uint32_t index, uint32_t slot) {
    VKS_TRY(check_snapshot(session, slot, index));
    if (!session->kept[index].used)
        return vks_fail(vks_session_log(session), VKSSM_ERR_STATE,
                        "snapshot: something kept in place %u expected, nothing found", index);
    VKS_TRY(vks_session_bring_back(session, &session->kept[index], slot));
    vks_session_forget_past(session, slot);
    return VKSSM_OK;
}

// ---- prefix cache ---------------------------------------------------------------------------------------------------

// The entry with the longest beginning of the tokens, or NULL.
static vks_kept *find(vkssm_session *session, const int32_t *tokens, size_t n_token) {
    vks_kept *entries = session->kept + session->sizes.n_snapshot, *best = NULL;
    for (uint32_t i = 0; i < session->sizes.n_cached; i++) {
        vks_kept *e = &entries[i];
        if (!e->used || e->position > n_token || (best && e->position <= best->position)) continue;
        if (memcmp(e->tokens, tokens, (size_t)e->position * sizeof *tokens) == 0) best = e;
    }
    return best;
}

// An unused entry, or the one used longest ago.
static vks_kept *choose(vkssm_session *session) {
    vks_kept *entries = session->kept + session->sizes.n_snapshot, *oldest = entries;
    for (uint32_t i = 0; i < session->sizes.n_cached; i++) {
        if (!entries[i].used) return &entries[i];
        if (entries[i].last_use < oldest->last_use) oldest = &entries[i];
    }
    return oldest;
}

static vkssm_status store(vkssm_session *session, uint32_t slot, const int32_t *tokens, size_t n_token) {
    vks_kept *entry = choose(session);
    entry->used = false;
    vks_free(entry->tokens);
    entry->tokens = vks_alloc_zero(n_token, sizeof *tokens);
    if (!entry->tokens)
        return vks_fail(vks_session_log(session), VKSSM_ERR_OOM_HOST, "prefix cache: out of memory for %zu tokens",
                        n_token);
    memcpy(entry->tokens, tokens, n_token * sizeof *tokens);
    entry->last_use = ++session->n_use;
    return vks_session_keep(session, slot, entry);
}

vkssm_status vkssm_session_prefill_cached(vkssm_session *session, uint32_t slot, const int32_t *tokens, size_t n_token,
                                          size_t *n_found) {
    const vkssm_log *log = vks_session_log(session);
    if (n_found) *n_found = 0;
    VKS_TRY(vks_session_check_idle(session, slot));
    if (!session->sizes.n_cached)
        return vks_fail(log, VKSSM_ERR_STATE, "prefix cache: room for a state of %llu bytes expected, none found",
                        (unsigned long long)session->sizes.kept);
    if (!tokens || n_token == 0)
        return vks_fail(log, VKSSM_ERR_ARG, "prefill: at least one token expected, none found");
    VKS_TRY(vks_session_check_tokens(session, tokens, n_token));
    vks_kept *entry = find(session, tokens, n_token);
    size_t done = entry ? (size_t)entry->position : 0;
    if (entry) {
        VKS_TRY(vks_session_bring_back(session, entry, slot));
        vks_session_forget_past(session, slot);
        entry->last_use = ++session->n_use;
    } else {
        VKS_TRY(vkssm_session_reset(session, slot));
    }
    if (n_found) *n_found = done;
    if (done == n_token) return VKSSM_OK;
    VKS_TRY(vkssm_session_prefill(session, slot, tokens + done, n_token - done, VKSSM_LOGITS_NONE, NULL));
    return store(session, slot, tokens, n_token);
}

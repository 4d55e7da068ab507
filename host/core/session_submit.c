// Recording for one call, submission, and the sums of GPU time.
#include "core_session.h"

#include <string.h>

#include "core_device.h"
#include "host/base/alloc.h"

enum { MAX_SCOPE = 2048 }; // of one recorder; later ones are not timed

vkssm_status vks_session_begin_once(vkssm_session *session, vks_recorder **out) {
    *out = session->once;
    if (session->timestamps) vks_recorder_enable_timestamps(session->once, MAX_SCOPE);
    return vks_recorder_begin(session->once, false);
}

vkssm_status vks_session_recorder(vkssm_session *session, vks_recorder **place, const char *name, bool *fresh) {
    *fresh = !*place;
    if (*place) return VKSSM_OK;
    VKS_TRY(vks_recorder_create(session->model->device->vk, name, place));
    if (session->timestamps) vks_recorder_enable_timestamps(*place, MAX_SCOPE);
    return VKSSM_OK;
}

static void add_time(vkssm_session *session, const char *name, uint64_t time_ns) {
    for (size_t i = 0; i < session->n_scope; i++)
        if (strcmp(session->scopes[i].name, name) == 0) {
            session->scopes[i].n_call++;
            session->scopes[i].time_ns += time_ns;
            return;
        }
    if (!vks_grow((void **)&session->scopes, &session->scope_capacity, session->n_scope + 1, sizeof *session->scopes))
        return; // a time is lost, nothing else
    session->scopes[session->n_scope++] = (vkssm_scope){name, 1, time_ns};
}

vkssm_status vks_session_run(vkssm_session *session, vks_recorder *const *recorders, uint32_t n_recorder) {
    vks_device *device = session->model->device->vk;
    uint64_t value;
    VKS_TRY(vks_session_check_unrecorded(session));
    VKS_TRY(vks_submit(device, recorders, n_recorder, &value));
    VKS_TRY(vks_wait(device, value));
    if (!session->timestamps) return VKSSM_OK;
    const char *name;
    uint64_t time_ns;
    for (uint32_t i = 0; i < n_recorder; i++)
        for (uint32_t j = 0; vks_recorder_scope(recorders[i], j, &name, &time_ns); j++) add_time(session, name, time_ns);
    return VKSSM_OK;
}

vkssm_status vkssm_session_get_scope(const vkssm_session *session, uint32_t index, vkssm_scope *out) {
    if (index >= session->n_scope)
        return vks_fail(NULL, VKSSM_ERR_ARG, "session: a scope below %zu expected, %u found", session->n_scope, index);
    *out = session->scopes[index];
    return VKSSM_OK;
}

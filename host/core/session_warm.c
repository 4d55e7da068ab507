// First use of the kernels. CPU drivers compile a kernel when it is first run, not when its pipeline is made: seconds on
// lavapipe, which would fall into the first prompt. A session there reads and writes a few tokens when it is created.
#include "core_session.h"

#include "core_device.h"
#include "host/base/alloc.h"

vkssm_status vks_session_warm(vkssm_session *session) {
    if (vks_device_caps(session->model->device->vk)->type != VKS_DEVICE_CPU) return VKSSM_OK;
    const int32_t tokens[] = {0, 0};
    VKS_TRY(vkssm_session_prefill(session, 0, tokens, VKS_COUNT(tokens), VKSSM_LOGITS_NONE, NULL));
    const vkssm_generate_params params = {.n_token = 2, .sampling = {.temperature = 1, .top_k = 2, .top_p = 0.5f}};
    VKS_TRY(vkssm_session_generate(session, 0, &params, NULL, NULL));
    session->slots[0] = (vks_slot){0};
    vks_session_forget_past(session, 0);
    session->n_scope = 0;
    return VKSSM_OK;
}

// Where states lie: the arrays of all slots in one buffer, or, where the device's largest allocation is smaller than
// that, neighbouring arrays of all slots in each of several.
#include "core_session.h"

#include "core_device.h"

vkssm_status vks_session_take_states(vkssm_session *session) {
    vks_device *device = session->model->device->vk;
    uint64_t largest = vks_device_caps(device)->max_allocation_size;
    uint64_t n_slot = session->sizes.n_slot + VKS_SPARE_SLOTS, most = largest / sizeof(float) / n_slot / 64 * 64;
    session->n_part = vks_state_split(&session->model->state, most, VKS_MAX_PART, session->parts);
    if (!session->n_part && session->sizes.slot)
        return vks_fail(vks_session_log(session), VKSSM_ERR_OOM_DEVICE,
                        "session: states of %u slots in at most %d allocations of %llu bytes expected, %llu bytes a "
                        "slot found",
                        session->sizes.n_slot, VKS_MAX_PART, (unsigned long long)largest,
                        (unsigned long long)session->sizes.slot);
    VKS_TRY(vks_arena_create(device, VKS_ROLE_STATE, 1, "state", &session->state_arena)); // a block a part
    for (uint32_t i = 0; i < session->n_part; i++) {
        uint64_t size = n_slot * session->parts[i].n_float * sizeof(float);
        VKS_TRY(vks_arena_alloc(session->state_arena, size, "state", &session->part_buffers[i]));
        session->parts[i].address = session->part_buffers[i].address;
    }
    return VKSSM_OK;
}

static uint64_t size_of(const vkssm_session *session, uint32_t part) { // of a slot
    return session->parts[part].n_float * sizeof(float);
}

void vks_session_record_clear(vkssm_session *session, vks_recorder *recorder, uint32_t first_slot, uint32_t n_slot) {
    for (uint32_t i = 0; i < session->n_part; i++) {
        uint64_t size = size_of(session, i);
        vks_record_fill(recorder, &session->part_buffers[i], first_slot * size, n_slot * size, 0);
    }
}

void vks_session_record_copy_state(vkssm_session *session, vks_recorder *recorder, uint32_t from, uint32_t to) {
    for (uint32_t i = 0; i < session->n_part; i++) {
        const vks_buffer *part = &session->part_buffers[i];
        uint64_t size = size_of(session, i);
        vks_record_copy(recorder, part, to * size, part, from * size, size);
    }
}

void vks_session_record_state(vkssm_session *session, vks_recorder *recorder, uint32_t slot, const vks_buffer *buffer,
                              uint64_t offset, bool back) {
    for (uint32_t i = 0; i < session->n_part; i++) {
        const vks_buffer *part = &session->part_buffers[i];
        uint64_t size = size_of(session, i), at = offset + session->parts[i].first_float * sizeof(float);
        if (back)
            vks_record_copy(recorder, part, slot * size, buffer, at, size);
        else
            vks_record_copy(recorder, buffer, at, part, slot * size, size);
    }
}

vkssm_status vks_session_upload_state(vkssm_session *session, vks_upload *upload, uint32_t slot, const void *floats) {
    for (uint32_t i = 0; i < session->n_part; i++) {
        uint64_t size = size_of(session, i);
        VKS_TRY(vks_upload_bytes(upload, &session->part_buffers[i], slot * size,
                                 (const float *)floats + session->parts[i].first_float, size));
    }
    return VKSSM_OK;
}

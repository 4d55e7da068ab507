// Reset, clone, save and load of a slot's state.
#include "core_session.h"

#include <string.h>

#include "core_device.h"
#include "host/base/alloc.h"

vkssm_status vkssm_session_reset(vkssm_session *session, uint32_t slot) {
    VKS_TRY(vks_session_check_idle(session, slot));
    vks_recorder *recorder;
    VKS_TRY(vks_session_begin_once(session, &recorder));
    vks_session_record_clear(session, recorder, slot, 1);
    VKS_TRY(vks_recorder_end(recorder));
    VKS_TRY(vks_session_run(session, &recorder, 1));
    session->slots[slot] = (vks_slot){0};
    vks_session_forget_past(session, slot);
    return VKSSM_OK;
}

void vks_session_record_clone(vkssm_session *session, vks_recorder *recorder, uint32_t from, uint32_t to) {
    uint64_t row_size = vks_session_logit_row_size(session);
    vks_session_record_copy_state(session, recorder, from, to);
    vks_record_copy(recorder, &session->slot_logits, to * row_size, &session->slot_logits, from * row_size, row_size);
}

vkssm_status vkssm_session_clone(vkssm_session *session, uint32_t from, uint32_t to) {
    VKS_TRY(vks_session_check_slot(session, from));
    VKS_TRY(vks_session_check_idle(session, to));
    if (from == to) return VKSSM_OK;
    vks_recorder *recorder;
    VKS_TRY(vks_session_begin_once(session, &recorder));
    vks_session_record_clone(session, recorder, from, to);
    VKS_TRY(vks_recorder_end(recorder));
    VKS_TRY(vks_session_run(session, &recorder, 1));
    const vks_slot *source = &session->slots[from];
    session->slots[to] = (vks_slot){.position = source->position, .has_logits = source->has_logits};
    vks_session_forget_past(session, to);
    return VKSSM_OK;
}

// ---- images ---------------------------------------------------------------------------------------------------------

// An image: this header, the state's floats, the last logits. All little-endian, as every host that Vulkan runs on.
typedef struct image_header {
    char magic[8];
    uint32_t version, has_logits;
    uint64_t fingerprint; // of the model's shapes
    uint64_t size;        // of the whole image
    uint64_t position;
    uint64_t checksum; // FNV-1a of everything but this member
} image_header;

static const char magic[8] = {'V', 'K', 'S', 'S', 'M', 'S', 'T', '\n'};
enum { VERSION = 1 };

static uint64_t fnv1a(uint64_t hash, const void *data, uint64_t size) {
    const uint8_t *bytes = data;
    for (uint64_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t checksum_of(const void *image, uint64_t size) {
    uint64_t hash = fnv1a(0xcbf29ce484222325u, image, offsetof(image_header, checksum));
    return fnv1a(hash, (const uint8_t *)image + sizeof(image_header), size - sizeof(image_header));
}

uint64_t vkssm_session_state_size(const vkssm_session *session) {
    return sizeof(image_header) + session->sizes.slot + vks_session_logit_row_size(session);
}

// Bring a slot's state, or its logits, to host memory.
static vkssm_status read_back(vkssm_session *session, uint32_t slot, bool logits, uint64_t size, void *out) {
    vks_recorder *recorder;
    VKS_TRY(vks_session_begin_once(session, &recorder));
    if (logits)
        vks_record_copy(recorder, &session->readback, 0, &session->slot_logits, slot * size, size);
    else
        vks_session_record_state(session, recorder, slot, &session->readback, 0, false);
    VKS_TRY(vks_recorder_end(recorder));
    VKS_TRY(vks_session_run(session, &recorder, 1));
    memcpy(out, session->readback.mapped, (size_t)size);
    return VKSSM_OK;
}

vkssm_status vkssm_session_state_save(vkssm_session *session, uint32_t slot, void *data, uint64_t data_size) {
    VKS_TRY(vks_session_check_slot(session, slot));
    uint64_t size = vkssm_session_state_size(session), row_size = vks_session_logit_row_size(session);
    if (data_size < size)
        return vks_fail(vks_session_log(session), VKSSM_ERR_ARG, "state: room for %llu bytes expected, %llu found",
                        (unsigned long long)size, (unsigned long long)data_size);
    image_header header = {
        .version = VERSION,
        .has_logits = session->slots[slot].has_logits,
        .fingerprint = session->model->shape.fingerprint,
        .size = size,
        .position = session->slots[slot].position,
    };
    memcpy(header.magic, magic, sizeof magic);
    uint8_t *state = (uint8_t *)data + sizeof header, *logits = state + session->sizes.slot;
    VKS_TRY(read_back(session, slot, false, session->sizes.slot, state));
    if (header.has_logits)
        VKS_TRY(read_back(session, slot, true, row_size, logits));
    else
        memset(logits, 0, (size_t)row_size);
    memcpy(data, &header, sizeof header);
    header.checksum = checksum_of(data, size);
    memcpy(data, &header, sizeof header);
    return VKSSM_OK;
}

static vkssm_status check_image(const vkssm_session *session, const void *data, uint64_t data_size,
                                image_header *header) {
    const vkssm_log *log = vks_session_log(session);
    uint64_t size = vkssm_session_state_size(session);
    if (data_size < sizeof *header)
        return vks_fail(log, VKSSM_ERR_FORMAT, "state: at least %zu bytes expected, %llu found", sizeof *header,
                        (unsigned long long)data_size);
    memcpy(header, data, sizeof *header);
    if (memcmp(header->magic, magic, sizeof magic) != 0)
        return vks_fail(log, VKSSM_ERR_FORMAT, "state: a state image expected, other data found");
    if (header->version != VERSION)
        return vks_fail(log, VKSSM_ERR_FORMAT, "state: version %d expected, %u found", VERSION, header->version);
    if (header->fingerprint != session->model->shape.fingerprint)
        return vks_fail(log, VKSSM_ERR_FORMAT,
                        "state: the image of a model with these shapes expected, another's found");
    if (header->size != size || data_size != size)
        return vks_fail(log, VKSSM_ERR_FORMAT, "state: %llu bytes expected, %llu found", (unsigned long long)size,
                        (unsigned long long)data_size);
    if (header->checksum != checksum_of(data, size) || header->has_logits > 1)
        return vks_fail(log, VKSSM_ERR_FORMAT, "state: the checksum does not match: the image is corrupt");
    return VKSSM_OK;
}

vkssm_status vkssm_session_state_load(vkssm_session *session, uint32_t slot, const void *data, uint64_t data_size) {
    VKS_TRY(vks_session_check_idle(session, slot));
    image_header header;
    VKS_TRY(vks_session_check_unrecorded(session));
    VKS_TRY(check_image(session, data, data_size, &header));
    const uint8_t *state = (const uint8_t *)data + sizeof header;
    uint64_t slot_size = session->sizes.slot, row_size = vks_session_logit_row_size(session);
    vks_upload *upload = NULL;
    VKS_TRY(vks_upload_begin(session->model->device->vk, slot_size + row_size, NULL, &upload));
    vkssm_status status = vks_session_upload_state(session, upload, slot, state);
    if (status == VKSSM_OK)
        status = vks_upload_bytes(upload, &session->slot_logits, slot * row_size, state + slot_size, row_size);
    if (status != VKSSM_OK) {
        vks_upload_abort(&upload);
        return status;
    }
    VKS_TRY(vks_upload_end(&upload));
    session->slots[slot] = (vks_slot){.position = header.position, .has_logits = header.has_logits != 0};
    vks_session_forget_past(session, slot);
    return VKSSM_OK;
}

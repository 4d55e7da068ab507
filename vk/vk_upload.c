// Host data to device-local buffers: a ring of staging slots, each with a recorder of its own, so that the host fills
// one while the device copies from the others.
#include "vk_internal.h"

#include <string.h>

enum { N_SLOT = 4, PIECE_ALIGNMENT = 16 };
static const uint64_t min_slot_size = 64 << 10, max_slot_size = 4 << 20;

typedef struct slot {
    vks_recorder *recorder;
    vks_buffer buffer;
    uint64_t value; // its last submission
} slot;

struct vks_upload {
    vks_device *device;
    vkssm_progress progress;
    uint64_t total_size, done_size;
    vks_arena *arena;
    uint64_t slot_size;
    slot slots[N_SLOT];
    uint32_t current;
    bool is_open;  // the current slot is being recorded
    uint64_t used; // bytes of the current slot
    vkssm_status status;
};

static vkssm_status create_slots(vks_upload *upload) {
    VKS_TRY(vks_arena_create(upload->device, VKS_ROLE_UPLOAD, N_SLOT * upload->slot_size, "upload", &upload->arena));
    for (int i = 0; i < N_SLOT; i++) {
        slot *s = &upload->slots[i];
        VKS_TRY(vks_arena_alloc(upload->arena, upload->slot_size, "staging slot", &s->buffer));
        VKS_TRY(vks_recorder_create(upload->device, "upload", &s->recorder));
    }
    return VKSSM_OK;
}

vkssm_status vks_upload_begin(vks_device *device, uint64_t total_size, const vkssm_progress *progress,
                              vks_upload **out) {
    *out = NULL;
    VKS_TRY(vks_check_not_lost(device));
    vks_upload *upload = vks_alloc_zero(1, sizeof *upload);
    if (!upload) return vks_fail(&device->log, VKSSM_ERR_OOM_HOST, "upload: out of memory");
    upload->device = device;
    if (progress) upload->progress = *progress;
    upload->total_size = total_size;
    upload->slot_size = total_size < min_slot_size   ? min_slot_size
                        : total_size > max_slot_size ? max_slot_size
                                                     : vks_align_up(total_size, VKS_ALIGNMENT);
    vkssm_status status = create_slots(upload);
    if (status != VKSSM_OK) {
        vks_upload_abort(&upload);
        return status;
    }
    *out = upload;
    return VKSSM_OK;
}

uint64_t vks_upload_max_size(const vks_upload *upload) {
    return upload->slot_size;
}

static vkssm_status report(vks_upload *upload) {
    uint64_t total = upload->total_size > upload->done_size ? upload->total_size : upload->done_size;
    if (!upload->progress.callback || upload->progress.callback(upload->progress.user, upload->done_size, total))
        return VKSSM_OK;
    return vks_fail(&upload->device->log, VKSSM_ERR_CANCELLED, "upload: cancelled after %llu of %llu bytes",
                    (unsigned long long)upload->done_size, (unsigned long long)total);
}

static vkssm_status submit_slot(vks_upload *upload) {
    slot *s = &upload->slots[upload->current];
    upload->is_open = false;
    VKS_TRY(vks_recorder_end(s->recorder));
    VKS_TRY(vks_submit(upload->device, &s->recorder, 1, &s->value));
    upload->current = (upload->current + 1) % N_SLOT;
    return VKSSM_OK;
}

static vkssm_status open_slot(vks_upload *upload) {
    VKS_TRY(vks_recorder_begin(upload->slots[upload->current].recorder, false)); // waits for the slot's last submission
    upload->is_open = true;
    upload->used = 0;
    return VKSSM_OK;
}

static vkssm_status make_room(vks_upload *upload, uint64_t size) {
    if (upload->is_open && size > upload->slot_size - upload->used) {
        VKS_TRY(submit_slot(upload));
        VKS_TRY(report(upload));
    }
    return upload->is_open ? VKSSM_OK : open_slot(upload);
}

static vkssm_status check_range(const vks_upload *upload, const vks_buffer *dst, uint64_t dst_offset, uint64_t size) {
    if (dst_offset <= dst->size && size <= dst->size - dst_offset) return VKSSM_OK;
    return vks_fail(&upload->device->log, VKSSM_ERR_ARG,
                    "upload: %llu bytes at offset %llu exceed the buffer of %llu bytes", (unsigned long long)size,
                    (unsigned long long)dst_offset, (unsigned long long)dst->size);
}

static vkssm_status map_piece(vks_upload *upload, const vks_buffer *dst, uint64_t dst_offset, uint64_t size,
                              void **out) {
    VKS_TRY(check_range(upload, dst, dst_offset, size));
    if (size > upload->slot_size)
        return vks_fail(&upload->device->log, VKSSM_ERR_ARG, "upload: %llu bytes are wanted at once, %llu are possible",
                        (unsigned long long)size, (unsigned long long)upload->slot_size);
    VKS_TRY(make_room(upload, size));
    slot *s = &upload->slots[upload->current];
    vks_record_copy(s->recorder, dst, dst_offset, &s->buffer, upload->used, size);
    *out = (uint8_t *)s->buffer.mapped + upload->used;
    uint64_t taken = vks_align_up(size, PIECE_ALIGNMENT), left = upload->slot_size - upload->used;
    upload->used += taken < left ? taken : left;
    upload->done_size += size;
    return VKSSM_OK;
}

vkssm_status vks_upload_map(vks_upload *upload, const vks_buffer *dst, uint64_t dst_offset, uint64_t size, void **out) {
    *out = NULL;
    if (upload->status == VKSSM_OK) upload->status = map_piece(upload, dst, dst_offset, size, out);
    return upload->status;
}

vkssm_status vks_upload_bytes(vks_upload *upload, const vks_buffer *dst, uint64_t dst_offset, const void *data,
                              uint64_t size) {
    if (upload->status != VKSSM_OK) return upload->status;
    upload->status = check_range(upload, dst, dst_offset, size); // before any of it is copied
    for (uint64_t done = 0; done < size && upload->status == VKSSM_OK;) {
        uint64_t piece = size - done < upload->slot_size ? size - done : upload->slot_size;
        // The rest of the open slot first: a large tensor need not begin a new one.
        uint64_t left = upload->is_open ? upload->slot_size - upload->used : 0;
        if (left >= min_slot_size && left < piece) piece = left;
        void *memory;
        VKS_TRY(vks_upload_map(upload, dst, dst_offset + done, piece, &memory));
        memcpy(memory, (const uint8_t *)data + done, (size_t)piece);
        done += piece;
    }
    return upload->status;
}

static vkssm_status finish(vks_upload *upload) {
    VKS_TRY(upload->status);
    if (upload->is_open) VKS_TRY(submit_slot(upload));
    for (int i = 0; i < N_SLOT; i++)
        VKS_TRY(vks_wait(upload->device, upload->slots[i].value));
    return report(upload);
}

vkssm_status vks_upload_end(vks_upload **upload) {
    if (!*upload) return vks_fail(NULL, VKSSM_ERR_ARG, "upload: end without begin");
    vkssm_status status = finish(*upload);
    vks_upload_abort(upload);
    return status;
}

void vks_upload_abort(vks_upload **upload_pointer) {
    vks_upload *upload = *upload_pointer;
    *upload_pointer = NULL;
    if (!upload) return;
    for (int i = 0; i < N_SLOT; i++)
        vks_recorder_destroy(&upload->slots[i].recorder); // waits
    vks_arena_destroy(&upload->arena);
    vks_free(upload);
}

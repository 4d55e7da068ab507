// Recording for a host application: parts of a recording, its buffers and images, what it has to order.
#include "vk_internal.h"

// ---- a part of a recording
// -------------------------------------------------------------------------------------------

void vks_recorder_window(vks_recorder *recorder, const vks_window *window) {
    recorder->window.wanted = window ? *window : (vks_window){0};
}

void vks_window_begin(vks_recorder *recorder) {
    vks_window_state *w = &recorder->window;
    w->position = 0;
    w->next = UINT32_MAX;
    w->spent_ns = 0;
    w->any = w->stopped = false;
    w->skipping = w->wanted.first > 0;
}

void vks_window_enter(vks_recorder *recorder) {
    vks_window_state *w = &recorder->window;
    const vks_window *wanted = &w->wanted;
    w->position++;
    w->skipping = w->stopped || w->position < wanted->first;
    if (w->skipping || w->position % 2 == 0) return;
    uint32_t index = w->position / 2;
    double cost = index < wanted->n_cost ? wanted->scale * (double)wanted->cost_ns[index] : 0;
    if (wanted->budget_ns && w->any && (double)w->spent_ns + cost > (double)wanted->budget_ns) {
        w->stopped = w->skipping = true;
        w->next = w->position;
        return;
    }
    w->any = true;
    w->spent_ns += (uint64_t)cost;
}

uint32_t vks_recorder_next(const vks_recorder *recorder, uint64_t *spent_ns) {
    *spent_ns = recorder->window.spent_ns;
    return recorder->window.next;
}

uint32_t vks_recorder_n_scope(const vks_recorder *recorder) {
    return (recorder->window.position + 1) / 2;
}

// ---- order
// -----------------------------------------------------------------------------------------------------------

void vks_external_sync(uint64_t *stages, uint64_t *reads, uint64_t *writes) {
    *stages = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_COPY_BIT | VK_PIPELINE_STAGE_2_CLEAR_BIT;
    *reads = VK_ACCESS_2_SHADER_STORAGE_READ_BIT | VK_ACCESS_2_TRANSFER_READ_BIT;
    *writes = VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT;
}

// ---- buffers and images
// ----------------------------------------------------------------------------------------------

vks_buffer vks_external_buffer(vks_device *device, void *handle, uint64_t offset, uint64_t size) {
    const VkBufferDeviceAddressInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
        .buffer = handle,
    };
    return (vks_buffer){
        .address = device->fn.GetBufferDeviceAddress(device->handle, &info) + offset,
        .size = size,
        .handle = handle,
        .offset = offset,
    };
}

enum { MAX_UPDATE = 65536 }; // bytes of one vkCmdUpdateBuffer

void vks_record_update(vks_recorder *recorder, const vks_buffer *dst, uint64_t dst_offset, const void *data,
                       uint64_t size) {
    if (!vks_recorder_is_active(recorder) || size == 0) return;
    if (dst_offset % 4 || size % 4 || dst_offset > dst->size || size > dst->size - dst_offset) {
        vks_record_fail(recorder, vks_fail(&recorder->device->log, VKSSM_ERR_ARG,
                                           "update: %llu bytes at offset %llu of a buffer of %llu, expected words "
                                           "inside it",
                                           (unsigned long long)size, (unsigned long long)dst_offset,
                                           (unsigned long long)dst->size));
        return;
    }
    const vks_access access = {.address = dst->address + dst_offset, .size = size, .write = true};
    if (!vks_recorder_order(recorder, VKS_STAGE_TRANSFER, &access, 1)) return;
    for (uint64_t done = 0; done < size; done += MAX_UPDATE) {
        uint64_t n = size - done < MAX_UPDATE ? size - done : MAX_UPDATE;
        recorder->device->fn.CmdUpdateBuffer(recorder->commands, dst->handle, dst->offset + dst_offset + done, n,
                                             (const uint8_t *)data + done);
    }
    recorder->stats.n_copy++;
}

void vks_record_image_copy(vks_recorder *recorder, const vks_buffer *buffer, uint64_t offset, uint64_t size,
                           const vks_external_image *image) {
    if (!vks_recorder_is_active(recorder)) return;
    const vks_access access = {.address = buffer->address + offset, .size = size, .write = !image->write};
    if (!vks_recorder_order(recorder, VKS_STAGE_TRANSFER, &access, 1)) return;
    const vks_device_functions *fn = &recorder->device->fn;
    VkBufferImageCopy region = *(const VkBufferImageCopy *)image->region;
    region.bufferOffset = buffer->offset + offset;
    VkImageLayout layout = (VkImageLayout)image->layout;
    if (image->write)
        fn->CmdCopyBufferToImage(recorder->commands, buffer->handle, image->handle, layout, 1, &region);
    else
        fn->CmdCopyImageToBuffer(recorder->commands, image->handle, layout, buffer->handle, 1, &region);
    recorder->stats.n_copy++;
}

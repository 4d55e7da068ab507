// Submission: one queue, one timeline semaphore that counts submissions, waits that end.
#include "vk_internal.h"

#include <string.h>

// Waits are cut into slices, so that a loss that another thread found ends them too.
static const uint64_t slice_ns = 100000000;
// Slices without progress after which a device counts as lost: a minute, and half an hour for a CPU, whose driver compiles
// large kernels inside the submission. And how many a lost device is given to settle.
enum { N_IDLE_SLICE = 600, N_IDLE_SLICE_CPU = 18000, N_LOST_SLICE = 20 };

vkssm_status vks_submit_start(vks_device *device) {
    const VkSemaphoreTypeCreateInfo type = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
        .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
    };
    const VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
    VkResult result = device->fn.CreateSemaphore(device->handle, &info, device->allocator, &device->timeline);
    if (result == VK_ERROR_INVALID_EXTERNAL_HANDLE) { // a driver's null device: it compiles, and runs nothing
        device->timeline = VK_NULL_HANDLE;
        return VKSSM_OK;
    }
    VKS_TRY(vks_check(device, result, "vkCreateSemaphore"));
    VKS_SET_NAME(device, SEMAPHORE, device->timeline, "vkssm submissions");
    if (!device->is_adopted) VKS_SET_NAME(device, QUEUE, device->queue, "vkssm queue");
    return VKSSM_OK;
}

void vks_submit_finish(vks_device *device) {
    if (!device->timeline) return;
    vks_drain(device, atomic_load(&device->n_submitted));
    device->fn.DestroySemaphore(device->handle, device->timeline, device->allocator);
    device->timeline = VK_NULL_HANDLE;
    vks_free(device->submit_infos);
}

// ---- waiting -------------------------------------------------------------------------------------------------------

static VkResult wait_slice(vks_device *device, uint64_t value) {
    const VkSemaphoreWaitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
        .semaphoreCount = 1,
        .pSemaphores = &device->timeline,
        .pValues = &value,
    };
    return device->fn.WaitSemaphores(device->handle, &info, slice_ns);
}

// VK_TIMEOUT if the device has made no progress for too long, or was found lost by another thread.
static VkResult wait_for(vks_device *device, uint64_t value) {
    uint64_t seen = 0;
    int n_slice = device->probe.caps.type == VKS_DEVICE_CPU ? N_IDLE_SLICE_CPU : N_IDLE_SLICE;
    for (int n_idle = 0; n_idle < n_slice; n_idle++) {
        VkResult result = wait_slice(device, value);
        if (result != VK_TIMEOUT || vks_device_is_lost(device)) return result;
        uint64_t now = seen;
        result = device->fn.GetSemaphoreCounterValue(device->handle, device->timeline, &now);
        if (result != VK_SUCCESS) return result;
        if (now != seen) n_idle = 0;
        seen = now;
    }
    return VK_TIMEOUT;
}

vkssm_status vks_wait(vks_device *device, uint64_t value) {
    VKS_TRY(vks_check_not_lost(device));
    uint64_t n_submitted = atomic_load(&device->n_submitted);
    if (value > n_submitted)
        return vks_fail(&device->log, VKSSM_ERR_ARG, "wait: submission %llu was not made, the last one is %llu",
                        (unsigned long long)value, (unsigned long long)n_submitted);
    if (value == 0) return VKSSM_OK;
    VkResult result = wait_for(device, value);
    VKS_TRY(vks_check_not_lost(device));
    if (result == VK_TIMEOUT) return vks_latch_lost(device, "no progress for too long");
    return vks_check(device, result, "vkWaitSemaphores");
}

void vks_drain(vks_device *device, uint64_t value) {
    if (value == 0) return;
    if (!vks_device_is_lost(device) && wait_for(device, value) != VK_TIMEOUT) return;
    // Given up or lost. Work may still be under way if the loss was only declared: a short wait lets it end, but one
    // for the whole device, however many objects are then destroyed.
    VkResult result = VK_TIMEOUT;
    for (int i = 0; i < N_LOST_SLICE && result == VK_TIMEOUT && !atomic_load(&device->is_hung); i++)
        result = wait_slice(device, value);
    if (result == VK_TIMEOUT) atomic_store(&device->is_hung, true);
}

// A lost device is done with everything: nobody polls it for ever, and vks_wait tells.
bool vks_is_done(vks_device *device, uint64_t value) {
    if (value == 0 || vks_device_is_lost(device)) return true;
    uint64_t now = 0;
    VkResult result = device->fn.GetSemaphoreCounterValue(device->handle, device->timeline, &now);
    if (result == VK_ERROR_DEVICE_LOST) vks_latch_lost(device, "vkGetSemaphoreCounterValue");
    return result < 0 || now >= value;
}

// ---- submitting ----------------------------------------------------------------------------------------------------

static vkssm_status check_recorder(vks_device *device, vks_recorder *const *recorders, uint32_t index) {
    const vks_recorder *recorder = recorders[index];
    const char *fault = NULL;
    if (recorder->device != device)
        fault = "it belongs to another device";
    else if (recorder->is_adopted)
        fault = "its command buffer is the host application's";
    else if (recorder->state != VKS_RECORDER_READY)
        fault = "its recording was not ended with success";
    else if (!recorder->is_reusable && !vks_is_done(device, recorder->last_value))
        fault = "it is not reusable and its last submission is still under way";
    for (uint32_t i = 0; i < index && !fault && !recorder->is_reusable; i++)
        if (recorders[i] == recorder) fault = "it is not reusable and given twice";
    if (!fault) return VKSSM_OK;
    return vks_fail(&device->log, VKSSM_ERR_STATE, "submit: recorder %u of the list: %s", index, fault);
}

static vkssm_status submit_locked(vks_device *device, vks_recorder *const *recorders, uint32_t n_recorder,
                                  uint64_t *value) {
    for (uint32_t i = 0; i < n_recorder; i++)
        VKS_TRY(check_recorder(device, recorders, i));
    if (!vks_grow((void **)&device->submit_infos, &device->submit_capacity, n_recorder, sizeof *device->submit_infos))
        return vks_fail(&device->log, VKSSM_ERR_OOM_HOST, "submit: out of memory for %u recorders", n_recorder);
    for (uint32_t i = 0; i < n_recorder; i++)
        device->submit_infos[i] = (VkCommandBufferSubmitInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO,
                                                              .commandBuffer = recorders[i]->commands};
    uint64_t next = atomic_load(&device->n_submitted) + 1;
    const VkSemaphoreSubmitInfo signal = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
        .semaphore = device->timeline,
        .value = next,
        .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT,
    };
    const VkSubmitInfo2 info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
        .commandBufferInfoCount = n_recorder,
        .pCommandBufferInfos = device->submit_infos,
        .signalSemaphoreInfoCount = 1,
        .pSignalSemaphoreInfos = &signal,
    };
    if (device->adopt.lock_queue) device->adopt.lock_queue(device->adopt.lock_user);
    VkResult result = device->fn.QueueSubmit2(device->queue, 1, &info, VK_NULL_HANDLE);
    if (device->adopt.unlock_queue) device->adopt.unlock_queue(device->adopt.lock_user);
    VKS_TRY(vks_check(device, result, "vkQueueSubmit2"));
    atomic_store(&device->n_submitted, next);
    for (uint32_t i = 0; i < n_recorder; i++)
        recorders[i]->last_value = next;
    *value = next;
    return VKSSM_OK;
}

vkssm_status vks_submit(vks_device *device, vks_recorder *const *recorders, uint32_t n_recorder, uint64_t *value) {
    *value = 0;
    VKS_TRY(vks_check_not_lost(device));
    if (!device->timeline)
        return vks_fail(&device->log, VKSSM_ERR_UNSUPPORTED, "submit: device %s only compiles",
                        device->probe.caps.name);
    if (n_recorder == 0) return vks_fail(&device->log, VKSSM_ERR_ARG, "submit: no recorder is given");
    vks_mutex_lock(&device->queue_mutex);
    vkssm_status status = submit_locked(device, recorders, n_recorder, value);
    vks_mutex_unlock(&device->queue_mutex);
    return status;
}

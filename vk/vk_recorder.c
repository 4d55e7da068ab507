// Recording, with the hazards between commands found from the addresses that they touch.
//
// Every access since begin is kept as pending, with the stages for which a barrier already orders it. A command that
// conflicts with a pending access not yet ordered for its stage is preceded by one global barrier, whose source is made
// of the conflicting accesses only and whose destination is the command's stage.
#include "vk_internal.h"

#include <string.h>

enum { STAGE_COMPUTE = VKS_STAGE_COMPUTE, STAGE_TRANSFER = VKS_STAGE_TRANSFER, STAGE_ALL = VKS_STAGE_ALL };

// Every access is compared with every pending one. Above the first limit a barrier that is needed anyway is widened to
// cover all of them, which then are forgotten; above the second one a barrier is recorded for that alone.
enum { WIDEN_PENDING = 128, MAX_PENDING = 256 };

// ---- barriers ------------------------------------------------------------------------------------------------------

typedef struct barrier {
    uint8_t from, from_writes; // stages to wait for; those of them whose writes must become visible
    uint8_t to;
} barrier;

static VkPipelineStageFlags2 stages_of(uint8_t stages) {
    return (stages & STAGE_COMPUTE ? VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT : 0) |
           (stages & STAGE_TRANSFER ? VK_PIPELINE_STAGE_2_COPY_BIT | VK_PIPELINE_STAGE_2_CLEAR_BIT : 0);
}

static VkAccessFlags2 writes_of(uint8_t stages) {
    return (stages & STAGE_COMPUTE ? VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT : 0) |
           (stages & STAGE_TRANSFER ? VK_ACCESS_2_TRANSFER_WRITE_BIT : 0);
}

static VkAccessFlags2 reads_of(uint8_t stages) {
    return (stages & STAGE_COMPUTE ? VK_ACCESS_2_SHADER_STORAGE_READ_BIT : 0) |
           (stages & STAGE_TRANSFER ? VK_ACCESS_2_TRANSFER_READ_BIT : 0);
}

static void emit(vks_recorder *recorder, const VkMemoryBarrier2 *memory) {
    const VkDependencyInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO,
        .memoryBarrierCount = 1,
        .pMemoryBarriers = memory,
    };
    recorder->device->fn.CmdPipelineBarrier2(recorder->commands, &info);
}

static void emit_barrier(vks_recorder *recorder, const barrier *b) {
    const VkMemoryBarrier2 memory = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
        .srcStageMask = stages_of(b->from),
        .srcAccessMask = writes_of(b->from_writes),
        .dstStageMask = stages_of(b->to),
        // Writes too: whoever overwrites the bytes after the reader then needs to wait for the reader only.
        .dstAccessMask = b->from_writes ? reads_of(b->to) | writes_of(b->to) : 0,
    };
    emit(recorder, &memory);
    if (b->from_writes)
        recorder->stats.n_memory_barrier++;
    else
        recorder->stats.n_execution_barrier++;
    for (size_t i = 0; i < recorder->n_pending; i++) {
        vks_pending *p = &recorder->pending[i];
        bool direct = p->write ? b->from_writes & p->stage : b->from & p->stage;
        // What an earlier barrier ordered before the source stages, this one passes on.
        bool chained = (p->ordered & b->from) && (!p->write || b->from_writes);
        if (direct || chained) p->ordered |= b->to;
    }
}

static void add_conflicts(const vks_recorder *recorder, uint8_t stage, const vks_access *access, barrier *b) {
    uint64_t begin = access->address, end = begin + access->size;
    for (size_t i = 0; i < recorder->n_pending; i++) {
        const vks_pending *p = &recorder->pending[i];
        if (p->end <= begin || end <= p->begin || p->ordered & stage || !(p->write || access->write)) continue;
        b->from |= p->stage;
        if (p->write) b->from_writes |= p->stage;
    }
}

// Forget the pending accesses behind a barrier that orders all of them for every stage.
static void flush_pending(vks_recorder *recorder) {
    barrier b = {.to = STAGE_ALL};
    for (size_t i = 0; i < recorder->n_pending; i++) {
        b.from |= recorder->pending[i].stage;
        if (recorder->pending[i].write) b.from_writes |= recorder->pending[i].stage;
    }
    emit_barrier(recorder, &b);
    recorder->n_pending = 0;
}

// Like an entry of the same bytes and stage, an access stands for every earlier one that a write would have to wait
// for.
static bool merge_pending(vks_recorder *recorder, uint8_t stage, const vks_access *access) {
    for (size_t i = 0; i < recorder->n_pending; i++) {
        vks_pending *p = &recorder->pending[i];
        bool same = p->begin == access->address && p->end == access->address + access->size && p->stage == stage;
        if (!same || (p->write && !access->write)) continue;
        p->write = access->write;
        p->ordered = 0;
        return true;
    }
    return false;
}

static bool add_pending(vks_recorder *recorder, uint8_t stage, const vks_access *access) {
    if (merge_pending(recorder, stage, access)) return true;
    if (!vks_grow((void **)&recorder->pending, &recorder->pending_capacity, recorder->n_pending + 1,
                  sizeof *recorder->pending))
        return false;
    recorder->pending[recorder->n_pending++] = (vks_pending){
        .begin = access->address, .end = access->address + access->size, .write = access->write, .stage = stage};
    return true;
}

static void fail(vks_recorder *recorder, vkssm_status status) {
    if (recorder->status == VKSSM_OK) recorder->status = status;
}

bool vks_recorder_order(vks_recorder *recorder, uint8_t stage, const vks_access *accesses, uint32_t n_access) {
    const vkssm_log *log = &recorder->device->log;
    for (uint32_t i = 0; i < n_access; i++) {
        if (accesses[i].size <= UINT64_MAX - accesses[i].address) continue;
        fail(recorder, vks_fail(log, VKSSM_ERR_ARG, "recorder: access %u ends beyond the address space", i));
        return false;
    }
    barrier b = {.to = stage};
    for (uint32_t i = 0; i < n_access; i++)
        add_conflicts(recorder, stage, &accesses[i], &b);
    bool is_crowded = recorder->n_pending > 0 && recorder->n_pending + n_access > MAX_PENDING;
    if (is_crowded || (b.from && recorder->n_pending >= WIDEN_PENDING))
        flush_pending(recorder);
    else if (b.from)
        emit_barrier(recorder, &b);
    for (uint32_t i = 0; i < n_access; i++) {
        if (accesses[i].size == 0 || add_pending(recorder, stage, &accesses[i])) continue;
        fail(recorder, vks_fail(log, VKSSM_ERR_OOM_HOST, "recorder: out of memory for %zu pending accesses",
                                recorder->n_pending + 1));
        return false;
    }
    return true;
}

// ---- commands ------------------------------------------------------------------------------------------------------

bool vks_recorder_is_active(vks_recorder *recorder) {
    if (recorder->state != VKS_RECORDER_RECORDING)
        fail(recorder, vks_fail(&recorder->device->log, VKSSM_ERR_STATE, "recorder: a command outside begin and end"));
    return recorder->status == VKSSM_OK && !recorder->window.skipping;
}

static vkssm_status check_dispatch(const vks_recorder *recorder, const vks_dispatch *dispatch) {
    const vks_device *device = recorder->device;
    const vks_pipeline *pipeline = dispatch->pipeline;
    if (!pipeline) return vks_fail(&device->log, VKSSM_ERR_ARG, "dispatch: its pipeline is NULL");
    if (pipeline->push_size && !dispatch->push)
        return vks_fail(&device->log, VKSSM_ERR_ARG, "dispatch %s: its %u bytes of push constants are NULL",
                        pipeline->name, pipeline->push_size);
    if (dispatch->n_access && !dispatch->accesses)
        return vks_fail(&device->log, VKSSM_ERR_ARG, "dispatch %s: its %u accesses are NULL", pipeline->name,
                        dispatch->n_access);
    for (int i = 0; i < 3; i++)
        if (dispatch->n_group[i] > device->probe.caps.max_workgroup_count[i])
            return vks_fail(&device->log, VKSSM_ERR_UNSUPPORTED,
                            "dispatch %s: %u workgroups in dimension %d, the device allows %u", pipeline->name,
                            dispatch->n_group[i], i, device->probe.caps.max_workgroup_count[i]);
    return VKSSM_OK;
}

void vks_record_dispatch(vks_recorder *recorder, const vks_dispatch *dispatch) {
    if (!vks_recorder_is_active(recorder)) return;
    vks_record_fail(recorder, check_dispatch(recorder, dispatch));
    if (recorder->status != VKSSM_OK) return;
    if (!dispatch->n_group[0] || !dispatch->n_group[1] || !dispatch->n_group[2])
        return; // nothing to do, or to wait for
    if (!vks_recorder_order(recorder, STAGE_COMPUTE, dispatch->accesses, dispatch->n_access)) return;
    const vks_device_functions *fn = &recorder->device->fn;
    const vks_pipeline *pipeline = dispatch->pipeline;
    if (recorder->bound != pipeline)
        fn->CmdBindPipeline(recorder->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->handle);
    recorder->bound = pipeline;
    if (pipeline->push_size)
        fn->CmdPushConstants(recorder->commands, pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, pipeline->push_size,
                             dispatch->push);
    fn->CmdDispatch(recorder->commands, dispatch->n_group[0], dispatch->n_group[1], dispatch->n_group[2]);
    recorder->stats.n_dispatch++;
}

static bool is_inside(const vks_buffer *buffer, uint64_t offset, uint64_t size) {
    return buffer->handle && offset <= buffer->size && size <= buffer->size - offset;
}

static vkssm_status check_copy(const vks_recorder *recorder, const vks_buffer *dst, uint64_t dst_offset,
                               const vks_buffer *src, uint64_t src_offset, uint64_t size) {
    const vkssm_log *log = &recorder->device->log;
    bool fits = is_inside(dst, dst_offset, size);
    if (!fits || !is_inside(src, src_offset, size))
        return vks_fail(log, VKSSM_ERR_ARG, "copy: %llu bytes at offset %llu exceed the %s of %llu bytes",
                        (unsigned long long)size, (unsigned long long)(fits ? src_offset : dst_offset),
                        fits ? "source" : "destination", (unsigned long long)(fits ? src->size : dst->size));
    uint64_t to = dst->address + dst_offset, from = src->address + src_offset;
    if (to < from + size && from < to + size)
        return vks_fail(log, VKSSM_ERR_ARG, "copy: source and destination of %llu bytes overlap",
                        (unsigned long long)size);
    return VKSSM_OK;
}

void vks_record_copy(vks_recorder *recorder, const vks_buffer *dst, uint64_t dst_offset, const vks_buffer *src,
                     uint64_t src_offset, uint64_t size) {
    if (!vks_recorder_is_active(recorder) || size == 0) return;
    vks_record_fail(recorder, check_copy(recorder, dst, dst_offset, src, src_offset, size));
    if (recorder->status != VKSSM_OK) return;
    const vks_access accesses[] = {
        {.address = dst->address + dst_offset, .size = size, .write = true},
        {.address = src->address + src_offset, .size = size},
    };
    if (!vks_recorder_order(recorder, STAGE_TRANSFER, accesses, 2)) return;
    const VkBufferCopy region = {
        .srcOffset = src->offset + src_offset,
        .dstOffset = dst->offset + dst_offset,
        .size = size,
    };
    recorder->device->fn.CmdCopyBuffer(recorder->commands, src->handle, dst->handle, 1, &region);
    recorder->stats.n_copy++;
}

void vks_record_fill(vks_recorder *recorder, const vks_buffer *dst, uint64_t dst_offset, uint64_t size, uint32_t word) {
    if (!vks_recorder_is_active(recorder) || size == 0) return;
    if (!is_inside(dst, dst_offset, size) || dst_offset % 4 || size % 4) {
        fail(recorder,
             vks_fail(&recorder->device->log, VKSSM_ERR_ARG,
                      "fill: %llu bytes at offset %llu of a buffer of %llu, expected words inside it",
                      (unsigned long long)size, (unsigned long long)dst_offset, (unsigned long long)dst->size));
        return;
    }
    const vks_access access = {.address = dst->address + dst_offset, .size = size, .write = true};
    if (!vks_recorder_order(recorder, STAGE_TRANSFER, &access, 1)) return;
    recorder->device->fn.CmdFillBuffer(recorder->commands, dst->handle, dst->offset + dst_offset, size, word);
    recorder->stats.n_copy++;
}

void vks_record_barrier(vks_recorder *recorder) {
    if (vks_recorder_is_active(recorder) && recorder->n_pending) flush_pending(recorder);
}

void vks_record_fail(vks_recorder *recorder, vkssm_status status) {
    fail(recorder, status);
}

vks_record_stats vks_recorder_stats(const vks_recorder *recorder) {
    return recorder->stats;
}

// ---- begin and end -------------------------------------------------------------------------------------------------

// A host application's frame is held up no more than needed: drawing neither waits for what is recorded here nor is
// waited for, unless the host says so. What its CPU wrote, its submission makes visible.
static void emit_begin(vks_recorder *recorder) {
    bool own = !recorder->is_adopted;
    const VkMemoryBarrier2 memory = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
        .srcStageMask = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT |
                        (own ? VK_PIPELINE_STAGE_2_HOST_BIT : 0),
        .srcAccessMask =
            VK_ACCESS_2_SHADER_WRITE_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT | (own ? VK_ACCESS_2_HOST_WRITE_BIT : 0),
        .dstStageMask = stages_of(STAGE_ALL),
        .dstAccessMask = reads_of(STAGE_ALL) | writes_of(STAGE_ALL),
    };
    emit(recorder, &memory);
}

static void emit_end(vks_recorder *recorder) {
    const VkMemoryBarrier2 memory = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
        .srcStageMask = stages_of(STAGE_ALL),
        .srcAccessMask = writes_of(STAGE_ALL),
        .dstStageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT | VK_PIPELINE_STAGE_2_HOST_BIT,
        .dstAccessMask = VK_ACCESS_2_MEMORY_READ_BIT | VK_ACCESS_2_MEMORY_WRITE_BIT | VK_ACCESS_2_HOST_READ_BIT,
    };
    emit(recorder, &memory);
}

static vkssm_status begin_commands(vks_recorder *recorder) {
    vks_device *device = recorder->device;
    VKS_TRY(vks_wait(device, recorder->last_value)); // its commands may still be running
    recorder->last_value = 0;
    VKS_TRY(vks_check(device, device->fn.ResetCommandPool(device->handle, recorder->pool, 0), "vkResetCommandPool"));
    const VkCommandBufferBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = recorder->is_reusable ? VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT : 0,
    };
    return vks_check(device, device->fn.BeginCommandBuffer(recorder->commands, &info), "vkBeginCommandBuffer");
}

vkssm_status vks_recorder_begin(vks_recorder *recorder, bool reusable) {
    vks_device *device = recorder->device;
    VKS_TRY(vks_check_not_lost(device));
    if (recorder->state == VKS_RECORDER_RECORDING)
        return vks_fail(&device->log, VKSSM_ERR_STATE, "recorder: begin while it is recording");
    if (!recorder->commands) return vks_fail(&device->log, VKSSM_ERR_STATE, "recorder: begin without a command buffer");
    recorder->state = VKS_RECORDER_INITIAL;
    recorder->is_reusable = reusable;
    recorder->status = VKSSM_OK;
    recorder->bound = NULL;
    recorder->n_pending = 0;
    memset(&recorder->stats, 0, sizeof recorder->stats);
    vks_window_begin(recorder);
    if (!recorder->is_adopted) VKS_TRY(begin_commands(recorder));
    VKS_TRY(vks_profile_begin(recorder));
    recorder->state = VKS_RECORDER_RECORDING;
    emit_begin(recorder);
    return VKSSM_OK;
}

vkssm_status vks_recorder_end(vks_recorder *recorder) {
    vks_device *device = recorder->device;
    if (recorder->state != VKS_RECORDER_RECORDING)
        return vks_fail(&device->log, VKSSM_ERR_STATE, "recorder: end without begin");
    if (recorder->profile.is_open) {
        fail(recorder, vks_fail(&device->log, VKSSM_ERR_STATE, "recorder: end inside a scope"));
        vks_record_scope_end(recorder);
    }
    if (!recorder->is_adopted) emit_end(recorder);
    recorder->state = VKS_RECORDER_INITIAL;
    if (!recorder->is_adopted)
        fail(recorder, vks_check(device, device->fn.EndCommandBuffer(recorder->commands), "vkEndCommandBuffer"));
    if (recorder->status == VKSSM_OK) recorder->state = VKS_RECORDER_READY;
    return recorder->status;
}

// ---- creation ------------------------------------------------------------------------------------------------------

static vkssm_status new_recorder(vks_device *device, vks_recorder **out) {
    *out = NULL;
    VKS_TRY(vks_check_not_lost(device));
    vks_recorder *recorder = vks_alloc_zero(1, sizeof *recorder);
    if (!recorder) return vks_fail(&device->log, VKSSM_ERR_OOM_HOST, "recorder: out of memory");
    recorder->device = device;
    *out = recorder;
    return VKSSM_OK;
}

static vkssm_status create_commands(vks_recorder *recorder, const char *name) {
    vks_device *device = recorder->device;
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .queueFamilyIndex = device->probe.queue_family,
    };
    VKS_TRY(vks_check(device, device->fn.CreateCommandPool(device->handle, &pool, device->allocator, &recorder->pool),
                      "vkCreateCommandPool"));
    const VkCommandBufferAllocateInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = recorder->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    VKS_TRY(vks_check(device, device->fn.AllocateCommandBuffers(device->handle, &commands, &recorder->commands),
                      "vkAllocateCommandBuffers"));
    VKS_SET_NAME(device, COMMAND_POOL, recorder->pool, name);
    VKS_SET_NAME(device, COMMAND_BUFFER, recorder->commands, name);
    return VKSSM_OK;
}

vkssm_status vks_recorder_create(vks_device *device, const char *name, vks_recorder **out) {
    VKS_TRY(new_recorder(device, out));
    vkssm_status status = create_commands(*out, name);
    if (status != VKSSM_OK) vks_recorder_destroy(out);
    return status;
}

vkssm_status vks_recorder_adopt(vks_device *device, vks_recorder **out) {
    VKS_TRY(new_recorder(device, out));
    (*out)->is_adopted = true;
    return VKSSM_OK;
}

vkssm_status vks_recorder_aim(vks_recorder *recorder, void *command_buffer) {
    const vkssm_log *log = &recorder->device->log;
    if (!command_buffer) return vks_fail(log, VKSSM_ERR_ARG, "record: a command buffer expected, NULL found");
    if (!recorder->is_adopted || recorder->state == VKS_RECORDER_RECORDING)
        return vks_fail(log, VKSSM_ERR_STATE, "recorder: another command buffer while it is recording or has its own");
    recorder->commands = command_buffer;
    return VKSSM_OK;
}

void vks_recorder_destroy(vks_recorder **recorder_pointer) {
    vks_recorder *recorder = *recorder_pointer;
    *recorder_pointer = NULL;
    if (!recorder) return;
    vks_device *device = recorder->device;
    vks_drain(device, recorder->last_value);
    vks_profile_finish(recorder);
    if (recorder->pool) device->fn.DestroyCommandPool(device->handle, recorder->pool, device->allocator);
    vks_free(recorder->pending);
    vks_free(recorder);
}

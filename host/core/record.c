// What every recording for a host application shares: parts and their cost, the host's buffers.
#include "core_record.h"

#include <time.h>

#include "host/base/alloc.h"

enum { MAX_KEEP = 24 };   // buffers whose contents survive a measurement
enum { MAX_UNIT = 8192 }; // operators that are timed one by one

double vks_cost_us(const vks_cost *cost) {
    double sum = 0;
    for (uint32_t i = 0; i < cost->n; i++)
        sum += (double)cost->ns[i];
    return sum / 1000;
}

void vks_cost_finish(vks_cost *cost) {
    vks_free(cost->ns);
    *cost = (vks_cost){0};
}

// ---- measuring
// -------------------------------------------------------------------------------------------------------

static double seconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static vkssm_status submit_and_wait(vks_device *device, vks_recorder *recorder, double *time) {
    uint64_t value;
    double begin = seconds();
    VKS_TRY(vks_submit(device, &recorder, 1, &value));
    VKS_TRY(vks_wait(device, value));
    if (time) *time = seconds() - begin;
    return VKSSM_OK;
}

// Timestamps tell the time of each operator; without them the whole is shared out evenly.
static vkssm_status take_times(vks_device *device, vks_recorder *recorder, double total, vks_cost *out) {
    uint32_t n = vks_recorder_n_scope(recorder);
    out->ns = vks_alloc_zero(n, sizeof *out->ns);
    if (!out->ns) return vks_fail(vks_device_log(device), VKSSM_ERR_OOM_HOST, "record: out of memory for %u times", n);
    out->n = n;
    const char *name;
    uint32_t n_timed = 0;
    while (n_timed < n && vks_recorder_scope(recorder, n_timed, &name, &out->ns[n_timed]))
        n_timed++;
    for (uint32_t i = n_timed; i < n; i++)
        out->ns[i] = n_timed ? 0 : (uint64_t)(1e9 * total / n);
    return VKSSM_OK;
}

static vkssm_status copy_all(vks_device *device, const vks_buffer *const *keep, uint32_t n_keep, vks_buffer *copies,
                             bool back) {
    vks_recorder *recorder;
    VKS_TRY(vks_recorder_create(device, "record: states", &recorder));
    vkssm_status status;
    VKS_TRY_GOTO(vks_recorder_begin(recorder, false), done);
    for (uint32_t i = 0; i < n_keep; i++)
        vks_record_copy(recorder, back ? keep[i] : &copies[i], 0, back ? &copies[i] : keep[i], 0, keep[i]->size);
    VKS_TRY_GOTO(vks_recorder_end(recorder), done);
    status = submit_and_wait(device, recorder, NULL);
done:
    vks_recorder_destroy(&recorder);
    return status;
}

static vkssm_status run_and_time(vks_device *device, vks_record_body *body, void *user, vks_cost *out) {
    vks_recorder *recorder;
    double total = 0;
    VKS_TRY(vks_recorder_create(device, "record: estimate", &recorder));
    vks_recorder_enable_timestamps(recorder, MAX_UNIT);
    vkssm_status status;
    VKS_TRY_GOTO(vks_recorder_begin(recorder, false), done);
    vks_record_fail(recorder, body(user, recorder));
    VKS_TRY_GOTO(vks_recorder_end(recorder), done);
    for (int i = 0; i < 2; i++) // the first one warms up
        VKS_TRY_GOTO(submit_and_wait(device, recorder, &total), done);
    status = take_times(device, recorder, total, out);
done:
    vks_recorder_destroy(&recorder);
    return status;
}

vkssm_status vks_record_measure(vks_device *device, const char *what, vks_record_body *body, void *user,
                                const vks_buffer *const *keep, uint32_t n_keep, vks_cost *out) {
    vks_arena *arena = NULL;
    vks_buffer copies[MAX_KEEP];
    uint64_t size = 0;
    vkssm_status status;
    *out = (vks_cost){0};
    if (n_keep > VKS_COUNT(copies)) return vks_fail(vks_device_log(device), VKSSM_ERR_INTERNAL, "%s: too much", what);
    for (uint32_t i = 0; i < n_keep; i++)
        size += vks_align_up(keep[i]->size, 256);
    if (size) {
        VKS_TRY(vks_arena_create(device, VKS_ROLE_SCRATCH, size, "record: states", &arena));
        for (uint32_t i = 0; i < n_keep; i++)
            VKS_TRY_GOTO(vks_arena_alloc(arena, keep[i]->size, what, &copies[i]), done);
        VKS_TRY_GOTO(copy_all(device, keep, n_keep, copies, false), done);
    }
    status = run_and_time(device, body, user, out);
    if (size) { // also when it failed
        vkssm_status back = copy_all(device, keep, n_keep, copies, true);
        if (status == VKSSM_OK) status = back;
    }
    if (status != VKSSM_OK) vks_cost_finish(out);
done:
    vks_arena_destroy(&arena);
    return status;
}

// ---- recording
// -------------------------------------------------------------------------------------------------------

vkssm_status vks_record_run(const vks_record_part *part, uint32_t budget_us, uint64_t *left_ns, uint32_t *position) {
    vks_recorder *recorder = part->recorder;
    const vks_window window = {
        .first = *position,
        .cost_ns = part->cost->ns,
        .n_cost = part->cost->n,
        .scale = part->scale,
        .budget_ns = budget_us ? *left_ns : 0,
    };
    VKS_TRY(vks_recorder_aim(recorder, part->commands));
    vks_recorder_window(recorder, &window);
    VKS_TRY(vks_recorder_begin(recorder, false));
    vks_record_fail(recorder, part->body(part->user, recorder));
    VKS_TRY(vks_recorder_end(recorder));
    uint64_t spent;
    *position = vks_recorder_next(recorder, &spent);
    *left_ns = spent < *left_ns ? *left_ns - spent : 0;
    return VKSSM_OK;
}

// ---- the host's buffers
// ----------------------------------------------------------------------------------------------

vkssm_status vks_record_buffer(vks_device *device, const char *what, const vkssm_buffer *buffer, uint64_t size,
                               VkBufferUsageFlags usage, vks_buffer *out) {
    const vkssm_log *log = vks_device_log(device);
    enum { ALIGNMENT = 16 };
    if (!buffer->buffer) return vks_fail(log, VKSSM_ERR_ARG, "%s: a buffer expected, NULL found", what);
    const struct {
        VkBufferUsageFlags bit;
        const char *name;
    } needed[] = {
        {VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT, "SHADER_DEVICE_ADDRESS"},
        {VK_BUFFER_USAGE_TRANSFER_SRC_BIT & usage, "TRANSFER_SRC"},
        {VK_BUFFER_USAGE_TRANSFER_DST_BIT & usage, "TRANSFER_DST"},
    };
    for (size_t i = 0; i < VKS_COUNT(needed); i++)
        if ((buffer->usage & needed[i].bit) != needed[i].bit)
            return vks_fail(log, VKSSM_ERR_ARG, "%s: a buffer with usage %s expected, 0x%x found", what, needed[i].name,
                            (unsigned)buffer->usage);
    uint64_t left = buffer->offset < buffer->buffer_size ? buffer->buffer_size - buffer->offset : 0;
    if (buffer->size > left)
        return vks_fail(log, VKSSM_ERR_ARG,
                        "%s: a range inside a buffer of %llu bytes expected, %llu from %llu on found", what,
                        (unsigned long long)buffer->buffer_size, (unsigned long long)buffer->size,
                        (unsigned long long)buffer->offset);
    if (buffer->size) left = buffer->size;
    if (left < size)
        return vks_fail(log, VKSSM_ERR_ARG, "%s: a range of at least %llu bytes expected, %llu found", what,
                        (unsigned long long)size, (unsigned long long)left);
    if (buffer->offset % ALIGNMENT)
        return vks_fail(log, VKSSM_ERR_ARG, "%s: an offset that is a multiple of %d expected, %llu found", what,
                        ALIGNMENT, (unsigned long long)buffer->offset);
    if (vks_device_is_lost(device)) return vks_fail(log, VKSSM_ERR_DEVICE_LOST, "%s: the device is lost", what);
    *out = vks_external_buffer(device, buffer->buffer, buffer->offset, size);
    return VKSSM_OK;
}

void vkssm_record_get_sync(vkssm_sync *sync) {
    uint64_t stages, reads, writes;
    vks_external_sync(&stages, &reads, &writes);
    *sync = (vkssm_sync){stages, reads, writes};
}

// Upload, record, submit, wait, read back: everything that a scan over host arrays needs, taken and given back in one
// call.
#include "scan_job.h"

#include <string.h>

#include "host/base/alloc.h"

typedef struct job {
    vks_device *device;
    vks_arena *memory, *readback_memory;
    vks_upload *upload;
    vks_recorder *recorder;
    vks_buffer buffers[VKS_SCAN_JOB_MAX], readbacks[VKS_SCAN_JOB_MAX];
} job;

static uint64_t size_of(const vks_scan_array *array) {
    return array->n_row * array->device_row_size;
}

static vkssm_status allocate(job *j, vks_scan_array *const *arrays, uint32_t n_array) {
    uint64_t total = 0, total_back = 0;
    for (uint32_t i = 0; i < n_array; i++) {
        total += vks_align_up(size_of(arrays[i]), 256);
        if (arrays[i]->out) total_back += vks_align_up(size_of(arrays[i]), 256);
    }
    // One block for everything, if a block may be so large.
    uint64_t largest = vks_device_caps(j->device)->max_allocation_size;
    VKS_TRY(vks_arena_create(j->device, VKS_ROLE_SCRATCH, total < largest ? total + 256 : 0, "scan", &j->memory));
    VKS_TRY(vks_arena_create(j->device, VKS_ROLE_READBACK, total_back < largest ? total_back + 256 : 0, "scan results",
                             &j->readback_memory));
    for (uint32_t i = 0; i < n_array; i++) {
        vks_scan_array *array = arrays[i];
        if (!array->in && !array->out && !array->keep) continue;
        VKS_TRY(vks_arena_alloc(j->memory, size_of(array), array->name, &j->buffers[i]));
        array->address = j->buffers[i].address;
        if (array->out) VKS_TRY(vks_arena_alloc(j->readback_memory, size_of(array), array->name, &j->readbacks[i]));
    }
    return VKSSM_OK;
}

static vkssm_status upload_padded(job *j, const vks_scan_array *array, const vks_buffer *buffer) {
    uint8_t *rows = vks_alloc_zero((size_t)array->n_row, (size_t)array->device_row_size);
    if (!rows)
        return vks_fail(vks_device_log(j->device), VKSSM_ERR_OOM_HOST, "scan: %s: out of memory for %llu bytes",
                        array->name, (unsigned long long)size_of(array));
    for (uint64_t row = 0; row < array->n_row; row++)
        memcpy(rows + row * array->device_row_size, (const uint8_t *)array->in + row * array->row_size,
               (size_t)array->row_size);
    vkssm_status status = vks_upload_bytes(j->upload, buffer, 0, rows, size_of(array));
    vks_free(rows);
    return status;
}

static vkssm_status upload(job *j, vks_scan_array *const *arrays, uint32_t n_array) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < n_array; i++)
        if (arrays[i]->in) total += size_of(arrays[i]);
    if (!total) return VKSSM_OK;
    VKS_TRY(vks_upload_begin(j->device, total, NULL, &j->upload));
    for (uint32_t i = 0; i < n_array; i++) {
        const vks_scan_array *array = arrays[i];
        if (!array->in) continue;
        if (array->row_size == array->device_row_size)
            VKS_TRY(vks_upload_bytes(j->upload, &j->buffers[i], 0, array->in, size_of(array)));
        else
            VKS_TRY(upload_padded(j, array, &j->buffers[i]));
    }
    return vks_upload_end(&j->upload);
}

static vkssm_status compute(job *j, vks_scan_array *const *arrays, uint32_t n_array, vks_scan_record *record,
                            void *user) {
    VKS_TRY(vks_recorder_create(j->device, "scan", &j->recorder));
    VKS_TRY(vks_recorder_begin(j->recorder, false));
    VKS_TRY(record(user, j->recorder));
    for (uint32_t i = 0; i < n_array; i++)
        if (arrays[i]->out) vks_record_copy(j->recorder, &j->readbacks[i], 0, &j->buffers[i], 0, size_of(arrays[i]));
    VKS_TRY(vks_recorder_end(j->recorder));
    uint64_t value;
    VKS_TRY(vks_submit(j->device, &j->recorder, 1, &value));
    return vks_wait(j->device, value);
}

static void take_results(const job *j, vks_scan_array *const *arrays, uint32_t n_array) {
    for (uint32_t i = 0; i < n_array; i++) {
        const vks_scan_array *array = arrays[i];
        if (!array->out) continue;
        const uint8_t *rows = j->readbacks[i].mapped;
        if (array->row_size == array->device_row_size)
            memcpy(array->out, rows, (size_t)size_of(array));
        else
            for (uint64_t row = 0; row < array->n_row; row++)
                memcpy((uint8_t *)array->out + row * array->row_size, rows + row * array->device_row_size,
                       (size_t)array->row_size);
    }
}

vkssm_status vks_scan_job_run(vks_device *device, vks_scan_array *const *arrays, uint32_t n_array,
                              vks_scan_record *record, void *user) {
    job j = {.device = device};
    vkssm_status status;
    VKS_TRY_GOTO(allocate(&j, arrays, n_array), done);
    VKS_TRY_GOTO(upload(&j, arrays, n_array), done);
    VKS_TRY_GOTO(compute(&j, arrays, n_array, record, user), done);
    take_results(&j, arrays, n_array);
done:
    vks_upload_abort(&j.upload);
    vks_recorder_destroy(&j.recorder);
    vks_arena_destroy(&j.memory);
    vks_arena_destroy(&j.readback_memory);
    return status;
}

// Inside host/core: one scan over host arrays: device memory, arrays that go there, work, arrays that come back.
#ifndef VKS_SCAN_JOB_H
#define VKS_SCAN_JOB_H

#include "core_device.h"

enum { VKS_SCAN_JOB_MAX = 12 };

// Rows of an array on the host, dense, and their place on the device.
typedef struct vks_scan_array {
    const char *name;
    const void *in;                            // what goes there, or NULL
    void *out;                                 // where it comes back to, or NULL
    uint64_t n_row, row_size, device_row_size; // bytes
    uint64_t address;                          // on the device; 0: there is no array (neither in nor out nor keep)
    bool keep;                                 // needs a place in any case
} vks_scan_array;

// What is done with the arrays; they have their addresses.
typedef vkssm_status vks_scan_record(void *user, vks_recorder *recorder);

vkssm_status vks_scan_job_run(vks_device *device, vks_scan_array *const *arrays, uint32_t n_array,
                              vks_scan_record *record, void *user);

#endif

// Inside host/core: carrying out what vks_bind_* took note of.
#ifndef VKS_BINDER_H
#define VKS_BINDER_H

#include "arch.h"
#include "vk/vks.h"

typedef struct vks_binder_item {
    vks_tensor *out;       // gets its address when memory has been taken
    uint64_t size;         // bytes on the device
    uint32_t n_part;
    vks_bind_part parts[3];
    bool is_matrix;
    void *owned; // values that the architecture computed: parts[0].source.data, freed at the end
} vks_binder_item;

struct vks_binder {
    const vkssm_log *log;
    const char *path; // of the model, for messages
    bool convert;
    vkssm_dtype convert_to;
    vks_binder_item *items;
    size_t n_item, capacity;
    uint64_t size;          // bytes on the device, each item aligned
    uint64_t n_parameter;
    uint64_t largest_matrix; // elements, and its type on the device: what stands for the model in listings
    vkssm_dtype matrix_dtype;
};

// Take memory from `arena` and fill it.
vkssm_status vks_binder_upload(vks_binder *binder, vks_device *device, vks_arena *arena, const vkssm_progress *progress);
void vks_binder_finish(vks_binder *binder);

#endif

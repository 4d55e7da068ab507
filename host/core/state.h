// Inside host/core: the layout of a slot's state.
#ifndef VKS_STATE_H
#define VKS_STATE_H

#include "arch.h"

typedef struct vks_state_entry {
    uint64_t offset; // floats from the slot's begin
    uint32_t n_dim;
    uint32_t shape[3];
} vks_state_entry;

struct vks_state_layout {
    vks_state_entry *entries;
    size_t n_entry, capacity;
    uint64_t n_float; // of a slot, a multiple of 64
};

void vks_state_layout_finish(vks_state_layout *layout);

#endif

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

// Devices limit the size of an allocation: the arrays of all slots may be spread over several. A part holds neighbouring
// arrays of a slot, then those of the next slot.
typedef struct vks_state_part {
    uint64_t first_float, n_float; // of a slot
    uint64_t address;
} vks_state_part;
// Cut a slot into as few parts as have at most `most_float` floats each, at boundaries of arrays, about equal. Their number;
// 0: an array is larger, or there are more than max_part.
uint32_t vks_state_split(const vks_state_layout *layout, uint64_t most_float, uint32_t max_part, vks_state_part *parts);

void vks_state_layout_finish(vks_state_layout *layout);

#endif

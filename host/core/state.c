#include "state.h"

#include "host/base/alloc.h"
#include "host/base/status.h"

enum { ALIGNMENT = 64 }; // floats: 256 bytes

vkssm_status vks_state_add(vks_state_layout *layout, uint32_t n_dim, const uint32_t *shape) {
    if (!vks_grow((void **)&layout->entries, &layout->capacity, layout->n_entry + 1, sizeof *layout->entries))
        return vks_fail(NULL, VKSSM_ERR_OOM_HOST, "state layout: out of memory");
    vks_state_entry *entry = &layout->entries[layout->n_entry++];
    *entry = (vks_state_entry){.offset = layout->n_float, .n_dim = n_dim};
    uint64_t n = 1;
    for (uint32_t i = 0; i < n_dim; i++) {
        entry->shape[i] = shape[i];
        n *= shape[i];
    }
    layout->n_float = vks_align_up(layout->n_float + n, ALIGNMENT);
    return VKSSM_OK;
}

// Where array i + 1 begins.
static uint64_t end_of(const vks_state_layout *layout, size_t i) {
    return i + 1 < layout->n_entry ? layout->entries[i + 1].offset : layout->n_float;
}

// Cut where a part would have more than `target` floats; 0: into more than max_part.
static uint32_t cut(const vks_state_layout *layout, uint64_t target, uint32_t max_part, vks_state_part *parts) {
    uint32_t n = 0;
    for (size_t i = 0; i < layout->n_entry; i++) {
        uint64_t size = end_of(layout, i) - layout->entries[i].offset;
        if (n == 0 || parts[n - 1].n_float + size > target) {
            if (n == max_part) return 0;
            parts[n++] = (vks_state_part){.first_float = layout->entries[i].offset};
        }
        parts[n - 1].n_float += size;
    }
    return n;
}

uint32_t vks_state_split(const vks_state_layout *layout, uint64_t most_float, uint32_t max_part,
                         vks_state_part *parts) {
    uint64_t largest = 0;
    for (size_t i = 0; i < layout->n_entry; i++) {
        uint64_t size = end_of(layout, i) - layout->entries[i].offset;
        if (size > largest) largest = size;
    }
    if (largest > most_float) return 0;
    uint32_t n = cut(layout, most_float, max_part, parts);
    if (n < 2) return n;
    uint64_t even = layout->n_float / n + largest; // in equal parts, as nearly as arrays allow
    if (even >= most_float) return n;
    uint32_t n_even = cut(layout, even, max_part, parts);
    return n_even && n_even <= n ? n_even : cut(layout, most_float, max_part, parts);
}

static uint64_t address_in_parts(const vks_state_view *view, uint64_t offset, uint64_t *slot_float) {
    const vks_state_part *part = view->parts;
    while (offset - part->first_float >= part->n_float)
        part++;
    *slot_float = part->n_float;
    return part->address + (view->first_slot * part->n_float + offset - part->first_float) * sizeof(float);
}

vks_tensor vks_state_get(const vks_state_view *view, uint32_t index) {
    const vks_state_entry *entry = &view->layout->entries[index];
    uint32_t shape[4] = {view->n_slot};
    for (uint32_t i = 0; i < entry->n_dim; i++)
        shape[i + 1] = entry->shape[i];
    uint64_t slot_float = view->layout->n_float, address;
    if (view->parts)
        address = address_in_parts(view, entry->offset, &slot_float);
    else
        address = view->address + entry->offset * sizeof(float) * (view->by_array ? view->n_slot : 1);
    vks_tensor tensor = vks_tensor_dense(address, VKSSM_DTYPE_F32, entry->n_dim + 1, shape);
    if (!view->by_array) tensor.stride[0] = slot_float;
    return tensor;
}

void vks_state_layout_finish(vks_state_layout *layout) {
    vks_free(layout->entries);
    *layout = (vks_state_layout){0};
}

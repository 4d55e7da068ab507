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

vks_tensor vks_state_get(const vks_state_view *view, uint32_t index) {
    const vks_state_entry *entry = &view->layout->entries[index];
    uint32_t shape[4] = {view->n_slot};
    for (uint32_t i = 0; i < entry->n_dim; i++)
        shape[i + 1] = entry->shape[i];
    uint64_t offset = entry->offset * sizeof(float) * (view->by_array ? view->n_slot : 1);
    vks_tensor tensor = vks_tensor_dense(view->address + offset, VKSSM_DTYPE_F32, entry->n_dim + 1, shape);
    if (!view->by_array) tensor.stride[0] = view->layout->n_float;
    return tensor;
}

void vks_state_layout_finish(vks_state_layout *layout) {
    vks_free(layout->entries);
    *layout = (vks_state_layout){0};
}

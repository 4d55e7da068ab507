// Between the parts of the safetensors reader.
#ifndef VKS_SAFETENSORS_H
#define VKS_SAFETENSORS_H

#include <vkssm/tensor_file.h>

#include "host/base/file.h"

// The largest header that is read and written.
#define VKS_SAFETENSORS_MAX_HEADER ((uint64_t)100 * 1000 * 1000)

// How much of a tensor's name a message shows, so that expectation and finding still fit on its line.
#define VKS_NAME "%.128s"

// Tensors whose names are owned by the list.
typedef struct vks_tensor_list {
    vkssm_named_tensor *items;
    size_t n, capacity;
} vks_tensor_list;

void vks_tensor_list_finish(vks_tensor_list *list); // zeroed: fine
void vks_tensor_list_sort(vks_tensor_list *list);   // by name, as strcmp orders

struct vkssm_tensor_file {
    vks_file_map *maps;
    size_t n_map, map_capacity;
    vks_tensor_list tensors;
};

// Check a whole file in memory and append its tensors, which point into `data`. `path` is for messages. After an error
// the list holds nothing but what vks_tensor_list_finish frees.
vkssm_status vks_safetensors_parse(const char *path, const uint8_t *data, uint64_t size, const vkssm_log *log,
                                   vks_tensor_list *list);

// Map one file, which `file` keeps open, and append its tensors to `list`.
vkssm_status vks_safetensors_map(vkssm_tensor_file *file, const char *path, const vkssm_log *log,
                                 vks_tensor_list *list);

// Read the index at `path` and the shards that it names, and append the tensors that it lists to file->tensors.
vkssm_status vks_safetensors_open_index(vkssm_tensor_file *file, const char *path, const vkssm_log *log);

#endif

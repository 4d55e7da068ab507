#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "host/base/alloc.h"

// ---- lists ----------------------------------------------------------------------------------------------------------

void vks_tensor_list_finish(vks_tensor_list *list) {
    for (size_t i = 0; i < list->n; i++)
        vks_free((void *)(uintptr_t)list->items[i].name);
    vks_free(list->items);
    memset(list, 0, sizeof *list);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const vkssm_named_tensor *)a)->name, ((const vkssm_named_tensor *)b)->name);
}

void vks_tensor_list_sort(vks_tensor_list *list) {
    if (list->n > 0) qsort(list->items, list->n, sizeof *list->items, compare_names); // items may be NULL for none
}

// ---- opening --------------------------------------------------------------------------------------------------------

vkssm_status vks_safetensors_map(vkssm_tensor_file *file, const char *path, const vkssm_log *log,
                                 vks_tensor_list *list) {
    if (!vks_grow((void **)&file->maps, &file->map_capacity, file->n_map + 1, sizeof *file->maps))
        return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while opening the file", path);
    vks_file_map *map = &file->maps[file->n_map];
    VKS_TRY(vks_file_map_open(path, log, map));
    file->n_map++;
    return vks_safetensors_parse(path, map->data, map->size, log, list);
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

static vkssm_status open_path(vkssm_tensor_file *file, const char *path, const vkssm_log *log) {
    if (ends_with(path, ".index.json")) return vks_safetensors_open_index(file, path, log);
    return vks_safetensors_map(file, path, log, &file->tensors);
}

// 1: `name` is in `folder` and *out its path, allocated; 0: it is not; -1: out of memory.
static int find_in_folder(const char *folder, const char *name, char **out) {
    char *path = vks_path_join(folder, name);
    if (!path) return -1;
    if (vks_path_exists(path)) {
        *out = path;
        return 1;
    }
    vks_free(path);
    return 0;
}

static vkssm_status open_folder(vkssm_tensor_file *file, const char *folder, const vkssm_log *log) {
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                        "pytorch_model.bin.index.json"};
    char *path = NULL;
    int found = 0;
    size_t i = 0;
    while (i < VKS_COUNT(names) && (found = find_in_folder(folder, names[i], &path)) == 0)
        i++;
    if (found < 0) return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while opening the folder", folder);
    vkssm_status status;
    if (found && i < 2)
        status = open_path(file, path, log);
    else if (found)
        status =
            vks_fail(log, VKSSM_ERR_IO, "%s: expected %s or %s in the folder, found only %s: convert it to safetensors",
                     folder, names[0], names[1], names[i]);
    else
        status = vks_fail(log, VKSSM_ERR_IO, "%s: expected %s or %s in the folder, found neither", folder, names[0],
                          names[1]);
    vks_free(path);
    return status;
}

vkssm_status vkssm_tensor_file_open(const char *path, const vkssm_log *log, vkssm_tensor_file **out) {
    if (!out) return vks_fail(log, VKSSM_ERR_ARG, "vkssm_tensor_file_open: out is NULL");
    *out = NULL;
    if (!path) return vks_fail(log, VKSSM_ERR_ARG, "vkssm_tensor_file_open: path is NULL");
    vkssm_tensor_file *file = vks_alloc_zero(1, sizeof *file);
    if (!file) return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while opening the file", path);
    vkssm_status status = vks_path_is_folder(path) ? open_folder(file, path, log) : open_path(file, path, log);
    if (status == VKSSM_OK && file->tensors.n > UINT32_MAX)
        status = vks_fail(log, VKSSM_ERR_UNSUPPORTED, "%s: the file holds 2^32 tensors or more", path);
    if (status != VKSSM_OK) {
        vkssm_tensor_file_destroy(&file);
        return status;
    }
    vks_tensor_list_sort(&file->tensors);
    *out = file;
    return VKSSM_OK;
}

void vkssm_tensor_file_destroy(vkssm_tensor_file **file) {
    if (!file || !*file) return;
    vks_tensor_list_finish(&(*file)->tensors);
    for (size_t i = 0; i < (*file)->n_map; i++)
        vks_file_map_close(&(*file)->maps[i]);
    vks_free((*file)->maps);
    vks_free(*file);
    *file = NULL;
}

// ---- looking --------------------------------------------------------------------------------------------------------

uint32_t vkssm_tensor_file_n_tensor(const vkssm_tensor_file *file) {
    return file ? (uint32_t)file->tensors.n : 0;
}

void vkssm_tensor_file_get(const vkssm_tensor_file *file, uint32_t index, vkssm_named_tensor *out) {
    if (file && index < file->tensors.n)
        *out = file->tensors.items[index];
    else
        memset(out, 0, sizeof *out);
}

bool vkssm_tensor_file_find(const vkssm_tensor_file *file, const char *name, vkssm_named_tensor *out) {
    if (!file || file->tensors.n == 0) return false;
    vkssm_named_tensor key = {.name = name};
    const vkssm_named_tensor *found = bsearch(&key, file->tensors.items, file->tensors.n, sizeof key, compare_names);
    if (found) *out = *found;
    return found != NULL;
}

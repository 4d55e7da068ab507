#include "weights.h"

#include <stdlib.h>
#include <string.h>

#include "gguf_model.h"
#include "host/base/alloc.h"
#include "host/base/status.h"

// Every container is a list of tensors in order of name.
struct vks_weights {
    char *path;
    vkssm_tensor_file *file; // safetensors; NULL: the list is our own
    vks_tensor_list own;
};

static vkssm_status create(const char *path, const vkssm_log *log, vks_weights **out) {
    *out = vks_alloc_zero(1, sizeof **out);
    if (*out) (*out)->path = vks_strdup(path);
    if (*out && (*out)->path) return VKSSM_OK;
    vks_weights_destroy(out);
    return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while opening the weights", path);
}

vkssm_status vks_weights_open(const char *path, const vkssm_log *log, vks_weights **out) {
    VKS_TRY(create(path, log, out));
    vkssm_status status = vkssm_tensor_file_open(path, log, &(*out)->file);
    if (status != VKSSM_OK) vks_weights_destroy(out);
    return status;
}

vkssm_status vks_weights_from_gguf(const vks_gguf *gguf, vks_weights **out) {
    VKS_TRY(create(gguf->path, gguf->log, out));
    vkssm_status status = vks_gguf_model_tensors(gguf, &(*out)->own);
    if (status != VKSSM_OK) vks_weights_destroy(out);
    return status;
}

void vks_weights_destroy(vks_weights **weights) {
    if (!*weights) return;
    vkssm_tensor_file_destroy(&(*weights)->file);
    vks_tensor_list_finish(&(*weights)->own);
    vks_free((*weights)->path);
    vks_free(*weights);
    *weights = NULL;
}

static const vks_tensor_list *list_of(const vks_weights *weights) {
    return weights->file ? &weights->file->tensors : &weights->own;
}

static int compare_names(const void *name, const void *tensor) {
    return strcmp(name, ((const vkssm_named_tensor *)tensor)->name);
}

bool vks_weights_find(const vks_weights *weights, const char *name, vkssm_named_tensor *out) {
    const vks_tensor_list *list = weights ? list_of(weights) : NULL;
    if (!list || list->n == 0) return false;
    const vkssm_named_tensor *found = bsearch(name, list->items, list->n, sizeof *list->items, compare_names);
    if (found) *out = *found;
    return found != NULL;
}

uint32_t vks_weights_n_tensor(const vks_weights *weights) {
    return (uint32_t)list_of(weights)->n;
}

void vks_weights_get(const vks_weights *weights, uint32_t index, vkssm_named_tensor *out) {
    *out = list_of(weights)->items[index];
}

const char *vks_weights_path(const vks_weights *weights) {
    return weights ? weights->path : "made-up weights";
}

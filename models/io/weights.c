#include "weights.h"

#include "host/base/alloc.h"
#include "host/base/status.h"

// Today every container is safetensors; another one is told apart here.
struct vks_weights {
    char *path;
    vkssm_tensor_file *file;
};

vkssm_status vks_weights_open(const char *path, const vkssm_log *log, vks_weights **out) {
    *out = NULL;
    vks_weights *weights = vks_alloc_zero(1, sizeof *weights);
    char *copy = vks_strdup(path);
    vkssm_status status;
    if (!weights || !copy) {
        status = vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while opening the weights", path);
        goto fail;
    }
    VKS_TRY_GOTO(vkssm_tensor_file_open(path, log, &weights->file), fail);
    weights->path = copy;
    *out = weights;
    return VKSSM_OK;
fail:
    vks_free(copy);
    vks_free(weights);
    return status;
}

void vks_weights_destroy(vks_weights **weights) {
    if (!*weights) return;
    vkssm_tensor_file_destroy(&(*weights)->file);
    vks_free((*weights)->path);
    vks_free(*weights);
    *weights = NULL;
}

bool vks_weights_find(const vks_weights *weights, const char *name, vkssm_named_tensor *out) {
    return weights && vkssm_tensor_file_find(weights->file, name, out);
}

uint32_t vks_weights_n_tensor(const vks_weights *weights) {
    return vkssm_tensor_file_n_tensor(weights->file);
}

void vks_weights_get(const vks_weights *weights, uint32_t index, vkssm_named_tensor *out) {
    vkssm_tensor_file_get(weights->file, index, out);
}

const char *vks_weights_path(const vks_weights *weights) {
    return weights ? weights->path : "made-up weights";
}

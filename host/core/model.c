#include "core_model.h"

#include "binder.h"
#include "core_device.h"
#include "host/base/alloc.h"

#define MAX_BLOCK ((uint64_t)1 << 30)

const vkssm_log *vks_device_get_log(const vkssm_device *device) {
    return vks_device_log(device->vk);
}

// Said before anything is uploaded.
static vkssm_status check_memory(const vkssm_model *model, const char *path, uint64_t size) {
    uint64_t found = vks_device_memory_budget(model->device->vk);
    if (size <= found) return VKSSM_OK;
    return vks_fail(vks_device_get_log(model->device), VKSSM_ERR_OOM_DEVICE,
                    "%s: %.1f MiB of device memory expected for the weights, %.1f MiB found on %s", path,
                    (double)size / 1048576, (double)found / 1048576, vks_device_caps(model->device->vk)->name);
}

static vkssm_status build(vkssm_model *model, const char *path, const vkssm_model_params *params,
                          const struct vks_weights *weights) {
    vks_binder binder = {
        .log = vks_device_get_log(model->device),
        .path = path,
        .convert = params->convert_weights,
        .convert_to = params->weight_dtype,
    };
    vkssm_status status;
    VKS_TRY_GOTO(model->arch->bind_weights(model->self, weights, &binder, &model->shape), done);
    VKS_TRY_GOTO(model->arch->state_layout(model->self, &model->state), done);
    VKS_TRY_GOTO(check_memory(model, path, binder.size), done);
    // One block where it fits, so that no more is taken than is needed.
    uint64_t block_size = binder.size < MAX_BLOCK ? binder.size : MAX_BLOCK;
    VKS_TRY_GOTO(vks_arena_create(model->device->vk, VKS_ROLE_WEIGHTS, block_size, "weights", &model->weights), done);
    VKS_TRY_GOTO(vks_binder_upload(&binder, model->device->vk, model->weights, &params->progress), done);
    model->n_parameter = binder.n_parameter;
    model->weight_dtype = binder.matrix_dtype;
done:
    vks_binder_finish(&binder);
    return status;
}

static void release(vkssm_model *model) {
    vks_arena_destroy(&model->weights);
    vks_state_layout_finish(&model->state);
    if (model->self) model->arch->destroy(model->self);
    vkssm_tokenizer_destroy(&model->tokenizer);
    vks_free(model);
}

vkssm_status vks_model_create(vkssm_device *device, const char *path, const vkssm_model_params *params,
                              const vks_arch *arch, void *self, const vks_model_shape *shape,
                              const struct vks_weights *weights, vkssm_model **out) {
    vkssm_model *model = vks_alloc_zero(1, sizeof *model);
    if (!model) {
        arch->destroy(self);
        return vks_fail(vks_device_get_log(device), VKSSM_ERR_OOM_HOST, "%s: out of memory", path);
    }
    model->device = device;
    model->arch = arch;
    model->self = self;
    model->shape = *shape;
    model->activation_dtype = params->activation_dtype;
    vkssm_status status = build(model, path, params, weights);
    if (status != VKSSM_OK) {
        release(model);
        return status;
    }
    atomic_fetch_add(&device->n_model, 1);
    *out = model;
    return VKSSM_OK;
}

void vkssm_model_destroy(vkssm_model **model) {
    if (!model || !*model) return;
    unsigned n_session = atomic_load(&(*model)->n_session);
    if (n_session > 0) {
        vks_fail(vks_device_get_log((*model)->device), VKSSM_ERR_STATE,
                 "model: destroyed while %u sessions use it: it stays", n_session);
        return;
    }
    atomic_fetch_sub(&(*model)->device->n_model, 1);
    release(*model);
    *model = NULL;
}

static uint32_t count_io(const vkssm_model *model, bool output) {
    vks_io io;
    uint32_t n = 0;
    while (model->arch->get_io && model->arch->get_io(model->self, output, n, &io))
        n++;
    return n;
}

void vkssm_model_get_info(const vkssm_model *model, vkssm_model_info *out) {
    *out = (vkssm_model_info){
        .model_type = model->arch->model_type,
        .n_layer = model->shape.n_layer,
        .n_channel = model->shape.n_channel,
        .n_vocab = model->shape.n_vocab,
        .n_parameter = model->n_parameter,
        .weight_size = vks_arena_size(model->weights),
        .state_size = model->state.n_float * sizeof(float),
        .bos = model->shape.bos,
        .eos = model->shape.eos,
        .weight_dtype = model->weight_dtype,
        .activation_dtype = model->activation_dtype,
        .n_input = count_io(model, false),
        .n_output = count_io(model, true),
    };
}

const vkssm_tokenizer *vkssm_model_get_tokenizer(const vkssm_model *model) {
    return model->tokenizer;
}

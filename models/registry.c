// vkssm_model_load: from a path to config, architecture, weights and tokenizer.
#include <stdio.h>
#include <string.h>

#include "host/base/alloc.h"
#include "host/base/file.h"
#include "host/core/core_model.h"
#include "models/io/config.h"
#include "models/io/weights.h"
#include "models/models.h"

static const vks_arch *const archs[] = {
#define ARCH_ENTRY(name) &vks_arch_##name,
    VKS_ARCH_LIST(ARCH_ENTRY)
#undef ARCH_ENTRY
};

static vkssm_status unknown_type(const vks_config *config, const char *found) {
    char names[256] = "";
    size_t at = 0;
    for (size_t i = 0; i < VKS_COUNT(archs) && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "", archs[i]->model_type);
    return vks_fail(vks_config_log(config), VKSSM_ERR_UNSUPPORTED, "%s: key \"model_type\": one of %s expected, %s found",
                    vks_config_path(config), names, found ? found : "none");
}

static vkssm_status find_arch(const vks_config *config, const vks_arch **out) {
    const char *type = NULL;
    VKS_TRY(vks_config_string(config, "model_type", &type));
    for (size_t i = 0; i < VKS_COUNT(archs); i++)
        if (type ? strcmp(type, archs[i]->model_type) == 0 : archs[i]->recognises && archs[i]->recognises(config)) {
            *out = archs[i];
            return VKSSM_OK;
        }
    return unknown_type(config, type);
}

// The folder that holds config.json: `path` itself, or that of the weights file that it names.
static char *folder_of(const char *path) {
    return vks_path_is_folder(path) ? vks_strdup(path) : vks_path_folder(path);
}

static vkssm_status load_tokenizer(const char *folder, const vkssm_log *log, vkssm_tokenizer **out) {
    char *path = vks_path_join(folder, "tokenizer.json");
    if (!path) return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory", folder);
    vkssm_status status = vks_path_exists(path) ? vkssm_tokenizer_open(path, log, out) : VKSSM_OK;
    vks_free(path);
    return status;
}

static vkssm_status open_config(const char *folder, const vkssm_log *log, vks_config **out) {
    char *path = vks_path_join(folder, "config.json");
    if (!path) return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory", folder);
    vkssm_status status = vks_config_open(path, log, out);
    vks_free(path);
    return status;
}

static bool is_storage_type(vkssm_dtype dtype) {
    return dtype == VKSSM_DTYPE_F32 || dtype == VKSSM_DTYPE_F16 || dtype == VKSSM_DTYPE_BF16;
}

// Everything but the device's part: config, tokenizer, weights; then the model takes over.
static vkssm_status load(vkssm_device *device, const char *path, const char *folder, const vkssm_model_params *params,
                         vkssm_model **out) {
    const vkssm_log *log = vks_device_get_log(device);
    vks_config *config = NULL;
    vks_weights *weights = NULL;
    vkssm_tokenizer *tokenizer = NULL;
    const vks_arch *arch = NULL;
    void *self = NULL;
    vks_model_shape shape;
    vkssm_status status;
    VKS_TRY_GOTO(open_config(folder, log, &config), done);
    VKS_TRY_GOTO(find_arch(config, &arch), done);
    VKS_TRY_GOTO(arch->parse_config(config, &self, &shape), done);
    if (!params->no_tokenizer) VKS_TRY_GOTO(load_tokenizer(folder, log, &tokenizer), done);
    VKS_TRY_GOTO(vks_weights_open(path, log, &weights), done);
    void *given = self;
    self = NULL; // taken over, whatever happens
    VKS_TRY_GOTO(vks_model_create(device, path, params, arch, given, &shape, weights, out), done);
    (*out)->tokenizer = tokenizer;
    tokenizer = NULL;
done:
    if (self) arch->destroy(self);
    vkssm_tokenizer_destroy(&tokenizer);
    vks_weights_destroy(&weights);
    vks_config_destroy(&config);
    return status;
}

vkssm_status vkssm_model_load(vkssm_device *device, const char *path, const vkssm_model_params *params, vkssm_model **out) {
    if (!device || !path || !out) return vks_fail(NULL, VKSSM_ERR_ARG, "model: a device, a path and a place expected");
    const vkssm_log *log = vks_device_get_log(device);
    *out = NULL;
    vkssm_model_params defaults = {0};
    if (!params) params = &defaults;
    if (!is_storage_type(params->activation_dtype) || (params->convert_weights && !is_storage_type(params->weight_dtype)))
        return vks_fail(log, VKSSM_ERR_ARG, "%s: F32, F16 or BF16 for weights and activations expected, %s and %s found", path,
                        vkssm_dtype_name(params->weight_dtype), vkssm_dtype_name(params->activation_dtype));
    if (!vks_path_exists(path)) return vks_fail(log, VKSSM_ERR_IO, "%s: a model folder or file expected, none found", path);
    char *folder = folder_of(path);
    if (!folder) return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory", path);
    vkssm_status status = load(device, path, folder, params, out);
    vks_free(folder);
    return status;
}

vkssm_status vks_model_synthetic(vkssm_device *device, const char *name, const char *config_text,
                                 const vkssm_model_params *params, vkssm_model **out) {
    *out = NULL;
    vks_config *config = NULL;
    const vks_arch *arch = NULL;
    void *self = NULL;
    vks_model_shape shape;
    vkssm_status status;
    VKS_TRY(vks_config_parse(name, config_text, strlen(config_text), vks_device_get_log(device), &config));
    VKS_TRY_GOTO(find_arch(config, &arch), done);
    VKS_TRY_GOTO(arch->parse_config(config, &self, &shape), done);
    status = vks_model_create(device, name, params, arch, self, &shape, NULL, out); // takes over self
done:
    vks_config_destroy(&config);
    return status;
}

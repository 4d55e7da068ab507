// vkssm_model_load: from a path to config, architecture, weights and tokenizer.
#include <stdio.h>
#include <string.h>

#include "host/base/alloc.h"
#include "host/base/file.h"
#include "host/base/quant.h"
#include "host/core/core_model.h"
#include "models/gguf_tokenizer.h"
#include "models/io/config.h"
#include "models/io/gguf_model.h"
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

vkssm_status vks_models_open_folder(const char *path, const vkssm_log *log, vks_config **config,
                                    vkssm_tokenizer **tokenizer) {
    *config = NULL;
    *tokenizer = NULL;
    if (vks_gguf_is(path))
        return vks_fail(log, VKSSM_ERR_UNSUPPORTED, "%s: a model in safetensors expected, a GGUF file found", path);
    if (!vks_path_exists(path)) return vks_fail(log, VKSSM_ERR_IO, "%s: a model folder or file expected, none found", path);
    char *folder = folder_of(path);
    if (!folder) return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory", path);
    vkssm_status status = open_config(folder, log, config);
    if (status == VKSSM_OK) status = load_tokenizer(folder, log, tokenizer);
    vks_free(folder);
    return status;
}

vkssm_status vks_models_check(const vks_config *config, const char *model_type) {
    const vks_arch *arch;
    void *self;
    vks_model_shape shape;
    VKS_TRY(find_arch(config, &arch));
    if (strcmp(arch->model_type, model_type) != 0)
        return vks_fail(vks_config_log(config), VKSSM_ERR_UNSUPPORTED, "%s: key \"model_type\": %s expected, %s found",
                        vks_config_path(config), model_type, arch->model_type);
    VKS_TRY(arch->parse_config(config, &self, &shape));
    arch->destroy(self);
    return VKSSM_OK;
}

static bool is_storage_type(vkssm_dtype dtype) {
    return dtype == VKSSM_DTYPE_F32 || dtype == VKSSM_DTYPE_F16 || dtype == VKSSM_DTYPE_BF16;
}

// What a model's files hold.
typedef struct files {
    vks_gguf *gguf; // NULL: a folder
    vks_config *config;
    vks_weights *weights;
    vkssm_tokenizer *tokenizer;
} files;

static void close_files(files *f) {
    vkssm_tokenizer_destroy(&f->tokenizer);
    vks_weights_destroy(&f->weights);
    vks_config_destroy(&f->config);
    vks_gguf_destroy(&f->gguf);
}

static vkssm_status open_gguf(const char *path, bool with_tokenizer, const vkssm_log *log, files *f) {
    VKS_TRY(vks_gguf_open(path, log, &f->gguf));
    VKS_TRY(vks_gguf_read_config(f->gguf, &f->config));
    VKS_TRY(vks_weights_from_gguf(f->gguf, &f->weights));
    return with_tokenizer ? vks_gguf_read_tokenizer(f->gguf, &f->tokenizer) : VKSSM_OK;
}

// Everything but the device's part: config, tokenizer, weights; then the model takes over.
static vkssm_status load(vkssm_device *device, const char *path, const char *folder, const vkssm_model_params *params,
                         vkssm_model **out) {
    const vkssm_log *log = vks_device_get_log(device);
    files f = {0};
    const vks_arch *arch = NULL;
    void *self = NULL;
    vks_model_shape shape;
    vkssm_status status;
    bool is_gguf = vks_gguf_is(path);
    if (is_gguf)
        VKS_TRY_GOTO(open_gguf(path, !params->no_tokenizer, log, &f), done);
    else
        VKS_TRY_GOTO(open_config(folder, log, &f.config), done);
    VKS_TRY_GOTO(find_arch(f.config, &arch), done);
    VKS_TRY_GOTO(arch->parse_config(f.config, &self, &shape), done);
    if (!is_gguf && !params->no_tokenizer) VKS_TRY_GOTO(load_tokenizer(folder, log, &f.tokenizer), done);
    if (!is_gguf) VKS_TRY_GOTO(vks_weights_open(path, log, &f.weights), done);
    void *given = self;
    self = NULL; // taken over, whatever happens
    VKS_TRY_GOTO(vks_model_create(device, path, params, arch, given, &shape, f.weights, out), done);
    (*out)->tokenizer = f.tokenizer;
    f.tokenizer = NULL;
done:
    if (self) arch->destroy(self);
    close_files(&f);
    return status;
}

vkssm_status vkssm_model_load(vkssm_device *device, const char *path, const vkssm_model_params *params, vkssm_model **out) {
    if (!device || !path || !out) return vks_fail(NULL, VKSSM_ERR_ARG, "model: a device, a path and a place expected");
    const vkssm_log *log = vks_device_get_log(device);
    *out = NULL;
    vkssm_model_params defaults = {0};
    if (!params) params = &defaults;
    bool storable = is_storage_type(params->weight_dtype) || vks_is_block_type(params->weight_dtype);
    if (!is_storage_type(params->activation_dtype) || (params->convert_weights && !storable))
        return vks_fail(log, VKSSM_ERR_ARG,
                        "%s: F32, F16, BF16 for weights and activations, or a block type for weights, expected, %s and %s found",
                        path,
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

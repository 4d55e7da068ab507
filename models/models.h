// Every architecture, one a line: X(name). The line declares vks_arch_<name> of models/arch/<name>.c.
#ifndef VKS_MODELS_H
#define VKS_MODELS_H

#include <vkssm/tokenizer.h>

#include "host/core/arch.h"

#define VKS_ARCH_LIST(X) X(mamba) X(falcon_mamba) X(mamba2) X(mamba_classifier) X(s5) X(lru) X(convs5)

#define VKS_ARCH_DECLARE(name) extern const vks_arch vks_arch_##name;
VKS_ARCH_LIST(VKS_ARCH_DECLARE)
#undef VKS_ARCH_DECLARE

struct vks_config;

// The configuration and the tokenizer (NULL if there is none) of a model folder, or of the folder of a weights file.
vkssm_status vks_models_open_folder(const char *path, const vkssm_log *log, struct vks_config **config,
                                    vkssm_tokenizer **tokenizer);
// Whether the architecture of this name takes the configuration; its refusal otherwise.
vkssm_status vks_models_check(const struct vks_config *config, const char *model_type);

#endif

// Every architecture, one a line: X(name). The line declares vks_arch_<name> of models/arch/<name>.c.
#ifndef VKS_MODELS_H
#define VKS_MODELS_H

#include "host/core/arch.h"

#define VKS_ARCH_LIST(X) X(mamba2) X(s5) X(lru) X(convs5)

#define VKS_ARCH_DECLARE(name) extern const vks_arch vks_arch_##name;
VKS_ARCH_LIST(VKS_ARCH_DECLARE)
#undef VKS_ARCH_DECLARE

#endif

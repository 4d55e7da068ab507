// Inside host/core: the public device.
#ifndef VKS_CORE_DEVICE_H
#define VKS_CORE_DEVICE_H

#include <stdatomic.h>

#include <vkssm/device.h>

#include "host/op/op.h"
#include "vk/vks.h"

struct vkssm_device {
    vks_device *vk;
    vks_kernels *kernels;
    atomic_uint n_model; // that live on it
};

#endif

// What operators are made of: the kernels of a device, and the target that an operator records into.
#ifndef VKS_OP_H
#define VKS_OP_H

#include "tensor.h"

struct vks_device;
struct vks_recorder;

// The compiled kernels of a device, made on first use and kept. Shared between threads.
typedef struct vks_kernels vks_kernels;

vkssm_status vks_kernels_create(struct vks_device *device, vks_kernels **out);
void vks_kernels_destroy(vks_kernels **kernels);
struct vks_device *vks_kernels_device(const vks_kernels *kernels);
const vkssm_log *vks_kernels_log(const vks_kernels *kernels);

// For tests and comparisons: let every operator that has a variant of this name use it, whatever the selector prefers.
// NULL: back to the selector. Not thread-safe.
void vks_kernels_force(vks_kernels *kernels, const char *variant);

// The i-th variant of the library: name, whether this device can run it, and why not. False past the last one.
bool vks_kernels_variant(const vks_kernels *kernels, uint32_t index, const char **name, bool *available,
                         const char **reason);

// Where operators record. Without a recorder they check their operands and compile their kernels, and record nothing.
typedef struct vks_op_target {
    vks_kernels *kernels;
    struct vks_recorder *recorder;
} vks_op_target;

#endif

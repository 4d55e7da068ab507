// What operators are made of: the kernels of a device, and the target that an operator records into.
#ifndef VKS_OP_H
#define VKS_OP_H

#include "tensor.h"

struct vks_device;
struct vks_recorder;
struct vks_pipeline;

// The compiled kernels of a device, made on first use and kept. Shared between threads.
typedef struct vks_kernels vks_kernels;

vkssm_status vks_kernels_create(struct vks_device *device, vks_kernels **out);
void vks_kernels_destroy(vks_kernels **kernels);
struct vks_device *vks_kernels_device(const vks_kernels *kernels);
const vkssm_log *vks_kernels_log(const vks_kernels *kernels);

// For tests and comparisons: let every operator that has a variant of this name use it, whatever the selector prefers.
// NULL: back to the selector. Not thread-safe.
void vks_kernels_force(vks_kernels *kernels, const char *variant);

// Let the selectors prefer other variants than these: names with commas between, each perhaps the beginning of names and
// a star. A variant that stands last in a choice, which every device can run, is still taken where no other one is left.
// ERR_ARG for a name that no variant has. Not thread-safe.
vkssm_status vks_kernels_avoid(vks_kernels *kernels, const char *variants);

// For measurements: while a trace is set, it is told the variant of every dispatch recorded, and operators open no scopes,
// so that the caller can time a whole run in one of its own. NULL ends it. Not thread-safe.
typedef struct vks_kernel_trace {
    void (*on_dispatch)(void *user, const char *variant);
    void *user;
} vks_kernel_trace;
void vks_kernels_trace(vks_kernels *kernels, const vks_kernel_trace *trace);

// The i-th variant of the library: name, whether this device can run it, and why not. False past the last one.
bool vks_kernels_variant(const vks_kernels *kernels, uint32_t index, const char **name, bool *available,
                         const char **reason);

// The i-th kernel compiled so far, for statistics; false past the last one.
bool vks_kernels_compiled(vks_kernels *kernels, uint32_t index, const char **name,
                          const struct vks_pipeline **pipeline);

// Where operators record. Without a recorder they check their operands and compile their kernels, and record nothing.
typedef struct vks_op_target {
    vks_kernels *kernels;
    struct vks_recorder *recorder;
    bool coded_inputs; // few-row products of Q8_0 and Q4_0 weights may round their inputs to codes too (shaders/include/dot.glsl)
} vks_op_target;

#endif

// Inside host/op: choosing and dispatching kernels, and checking operands.
#ifndef VKS_KERNEL_H
#define VKS_KERNEL_H

#include "op.h"
#include "vk/vks.h"
#include "host/base/alloc.h"
#include "vks_shaders.h"

// What the selectors look at.
typedef struct vks_kernel_traits {
    bool cpu;            // workgroups are emulated on a CPU: barriers and loads cost more than arithmetic
    bool fixed_subgroup; // with full_subgroups every subgroup has subgroup_size invocations
    uint32_t subgroup_size;
    uint32_t max_workgroup_invocations;
    uint32_t max_shared_size; // bytes of shared memory of a workgroup
    bool few_registers;       // 4 KiB a subgroup of 16 (Intel): the 64 sums of an 8 x 8 tile are spilled
    uint32_t int8_matrix_depth; // k of cooperative matrices of int8: 32 or 16; 0 without INT8_MATRIX
} vks_kernel_traits;
vks_kernel_traits vks_kernel_traits_of(const vks_kernels *kernels);

// The first of `candidates` (VKS_SHADER_*) that this device can run; the forced one if it is among them and can run.
uint32_t vks_kernel_choose(const vks_kernels *kernels, const uint32_t *candidates, uint32_t n_candidate);
bool vks_kernel_is_forced(const vks_kernels *kernels, uint32_t shader);

// Weights whose products the integer kernels of shaders/include/dot.glsl can do.
static inline bool vks_has_codes(vkssm_dtype weights) {
    return weights == VKSSM_DTYPE_Q8_0 || weights == VKSSM_DTYPE_Q4_0;
}

// A variant that is not to be chosen on some devices (quirks.c): of this vendor (0: any), with these parts of the
// device's and the driver's name (NULL: any). variant: a name, or the beginning of names and a star.
typedef struct vks_quirk {
    uint32_t vendor_id;
    const char *device, *driver, *variant, *reason;
} vks_quirk;
// Why the device is not to run the variant, or NULL. rows: NULL for the library's own; a row without a reason ends them.
const char *vks_quirk_find(const vks_quirk *rows, const vks_caps *caps, const char *variant);
bool vks_variant_matches(const char *pattern, size_t size, const char *name);

typedef struct vks_kernel_call {
    uint32_t shader;
    const uint32_t *constants; // specialization constants 0 ... n_constant-1
    uint32_t n_constant;
    bool full_subgroups;
    const void *push;
    uint32_t push_size;
    uint32_t n_group[3];
    const vks_access *accesses;
    uint32_t n_access;
} vks_kernel_call;
vkssm_status vks_kernel_dispatch(const vks_op_target *target, const vks_kernel_call *call);

// Scope of an operator in timings and debug labels.
void vks_op_begin(const vks_op_target *target, const char *name);
void vks_op_end(const vks_op_target *target);

static inline vks_access vks_reads(const vks_tensor *tensor) {
    return (vks_access){.address = tensor->address, .size = vks_tensor_span(tensor)};
}
static inline vks_access vks_writes(const vks_tensor *tensor) {
    return (vks_access){.address = tensor->address, .size = vks_tensor_span(tensor), .write = true};
}

// ERR_ARG unless the tensor is there, has this shape, a last dimension without gaps, and starts on 4 bytes (shaders
// read 16-bit types by pairs). `name` is "matmul: x".
vkssm_status vks_check_shape(const vks_op_target *target, const char *name, const vks_tensor *tensor, uint32_t n_dim,
                             const uint32_t *shape);
#define VKS_SHAPE(...)                                                                                                 \
    (uint32_t) VKS_COUNT(((uint32_t[]){__VA_ARGS__})), (uint32_t[]) {                                                  \
        __VA_ARGS__                                                                                                    \
    }
// ERR_ARG unless the tensor is F32, F16 or BF16.
vkssm_status vks_check_float(const vks_op_target *target, const char *name, const vks_tensor *tensor);
// ERR_ARG unless the tensor is one of these, or [n, K] of a block type: K a multiple of its block, a row stride that holds
// a row. `multiple`: of elements, for the row stride of the other types.
vkssm_status vks_check_weights(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                               uint32_t multiple);
vkssm_status vks_check_dtype(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                             vkssm_dtype dtype);
// ERR_ARG unless the stride of dimension `dim` is a multiple of `multiple`, and fits 32 bits.
vkssm_status vks_check_stride(const vks_op_target *target, const char *name, const vks_tensor *tensor, uint32_t dim,
                              uint32_t multiple);
// ERR_ARG if there are gaps between neighbours of dimension `dim` or of a later one.
vkssm_status vks_check_dense(const vks_op_target *target, const char *name, const vks_tensor *tensor, uint32_t dim);
// ERR_ARG unless the first element lies on a multiple of `multiple` bytes (vks_check_shape wants 4).
vkssm_status vks_check_alignment(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                                 uint32_t multiple);
vkssm_status vks_op_fail(const vks_op_target *target, vkssm_status status, const char *format, ...) VKS_PRINTF(3, 4);

#endif

#include "kernel.h"
#include "ops.h"

#include "shaders/params/group_norm.h"

enum {
    MAX_GRID = 32768,         // workgroups along one dimension of the grid
    WANTED_LANES = 128 << 10, // of the first kernel: enough to hide the latency of the memory of the largest devices
    CPU_LANES = 256,
    MIN_SLICE = 8,         // pixels
    CPU_MAX_SLICE = 16384, // Mesa's CPU driver leaves all loops of an invocation after 65,535 rounds in all
};

// Pixels of a slice: as many slices as keep the device busy.
static uint32_t slice_size(const vks_kernels *kernels, uint32_t n_image, uint32_t n_pixel, uint32_t n_channel) {
    bool cpu = vks_kernel_traits_of(kernels).cpu;
    uint64_t wanted = cpu ? CPU_LANES : WANTED_LANES, lanes = (uint64_t)n_image * n_channel;
    uint64_t n_slice = (wanted + lanes - 1) / lanes, most = vks_div_up(n_pixel, MIN_SLICE);
    if (cpu && n_slice < vks_div_up(n_pixel, CPU_MAX_SLICE)) n_slice = vks_div_up(n_pixel, CPU_MAX_SLICE);
    return vks_div_up(n_pixel, (uint32_t)(n_slice < most ? n_slice : most));
}

static uint64_t scratch_size(const vks_kernels *kernels, uint64_t n_image, uint32_t n_pixel, uint64_t n_channel,
                             uint64_t n_group) {
    uint32_t n_slice = vks_div_up(n_pixel, slice_size(kernels, (uint32_t)n_image, n_pixel, (uint32_t)n_channel));
    return 2 * n_image * (n_slice * n_channel + n_group);
}

uint64_t vks_group_norm_scratch_size(const vks_kernels *kernels, uint32_t n_image, uint32_t n_pixel, uint32_t n_channel,
                                     uint32_t n_group) {
    if (!n_image || !n_pixel || !n_channel) return 0;
    return scratch_size(kernels, n_image, n_pixel, n_channel, n_group);
}

static vkssm_status check_rows(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                               const uint32_t *shape, uint32_t multiple) {
    VKS_TRY(vks_check_shape(target, name, tensor, 3, shape));
    VKS_TRY(vks_check_float(target, name, tensor));
    VKS_TRY(vks_check_stride(target, name, tensor, 1, multiple));
    uint64_t image = shape[1] * tensor->stride[1];
    if (shape[0] > 1 && tensor->stride[0] != image)
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: a stride of dimension 0 of %llu expected, %llu found", name,
                           (unsigned long long)image, (unsigned long long)tensor->stride[0]);
    if (shape[0] * image <= UINT32_MAX) return VKSSM_OK;
    return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "%s: below 2^32 elements expected, %llu found", name,
                       (unsigned long long)(shape[0] * image));
}

static vkssm_status check(const vks_op_target *target, const vks_group_norm *op) {
    const uint32_t *shape = op->x.shape;
    VKS_TRY(check_rows(target, "group_norm: x", &op->x, shape, 1));
    VKS_TRY(check_rows(target, "group_norm: y", &op->y, shape, op->y.dtype == VKSSM_DTYPE_F32 ? 1 : 2));
    if (op->n_group == 0 || shape[2] % op->n_group != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG, "group_norm: groups that divide %u channels expected, %u found",
                           shape[2], op->n_group);
    VKS_TRY(vks_check_shape(target, "group_norm: weight", &op->weight, VKS_SHAPE(shape[2])));
    VKS_TRY(vks_check_dtype(target, "group_norm: weight", &op->weight, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_shape(target, "group_norm: bias", &op->bias, VKS_SHAPE(shape[2])));
    VKS_TRY(vks_check_dtype(target, "group_norm: bias", &op->bias, VKSSM_DTYPE_F32));
    uint64_t wanted = scratch_size(target->kernels, shape[0], shape[1], shape[2], op->n_group);
    VKS_TRY(vks_check_shape(target, "group_norm: scratch", &op->scratch, VKS_SHAPE(op->scratch.shape[0])));
    VKS_TRY(vks_check_dtype(target, "group_norm: scratch", &op->scratch, VKSSM_DTYPE_F32));
    if (op->scratch.shape[0] >= wanted) return VKSSM_OK;
    return vks_op_fail(target, VKSSM_ERR_ARG, "group_norm: scratch: %llu floats expected, %u found",
                       (unsigned long long)wanted, op->scratch.shape[0]);
}

typedef struct part { // one of the three kernels
    uint32_t shader, n_invocation;
    uint32_t constants[5], n_constant;
    vks_access accesses[3];
} part;

static vkssm_status dispatch(const vks_op_target *target, const struct vks_group_norm_params *push, const part *p) {
    uint32_t n_group = vks_div_up(p->n_invocation, p->constants[0]), n_row = vks_div_up(n_group, MAX_GRID);
    return vks_kernel_dispatch(target, &(vks_kernel_call){.shader = p->shader,
                                                          .constants = p->constants,
                                                          .n_constant = p->n_constant,
                                                          .push = push,
                                                          .push_size = sizeof *push,
                                                          .n_group = {vks_div_up(n_group, n_row), n_row, 1},
                                                          .accesses = p->accesses,
                                                          .n_access = 3});
}

vkssm_status vks_op_group_norm(const vks_op_target *target, const vks_group_norm *op) {
    VKS_TRY(check(target, op));
    uint32_t n_image = op->x.shape[0], n_pixel = op->x.shape[1], n_channel = op->x.shape[2];
    uint32_t size = slice_size(target->kernels, n_image, n_pixel, n_channel), n_slice = vks_div_up(n_pixel, size);
    uint32_t wg_size = vks_kernel_traits_of(target->kernels).cpu ? 16 : 128, n_lane = 1; // lanes that share a group
    while (n_lane < 32 && n_lane < wg_size && 2 * n_lane <= n_slice * (n_channel / op->n_group))
        n_lane *= 2;
    uint64_t n_partial = 2ull * n_image * n_slice * n_channel, n_moment = 2ull * n_image * op->n_group;
    struct vks_group_norm_params push = {
        .x = op->x.address,
        .weight = op->weight.address,
        .bias = op->bias.address,
        .y = op->y.address,
        .partial = op->scratch.address,
        .moments = op->scratch.address + n_partial * sizeof(float),
        .n_image = n_image,
        .n_pixel = n_pixel,
        .n_channel = n_channel,
        .n_group = op->n_group,
        .n_slice = n_slice,
        .slice_size = size,
        .x_stride = (uint32_t)op->x.stride[1],
        .y_stride = (uint32_t)op->y.stride[1],
        .eps = op->eps,
    };
    vks_access partial = {.address = push.partial, .size = n_partial * sizeof(float)}, none = {0};
    vks_access moments = {.address = push.moments, .size = n_moment * sizeof(float)};
    vks_access new_partial = partial, new_moments = moments;
    new_partial.write = new_moments.write = true;
    bool quads = n_channel % 4 == 0 && op->x.stride[1] % 4 == 0 && op->x.address % 16 == 0;
    const part parts[] = {
        {VKS_SHADER_group_norm_partial,
         n_image * n_slice * n_channel,
         {wg_size, op->x.dtype},
         2,
         {vks_reads(&op->x), new_partial, none}},
        {VKS_SHADER_group_norm_moments,
         n_image * op->n_group * n_lane,
         {wg_size, n_lane},
         2,
         {partial, new_moments, none}},
        {VKS_SHADER_group_norm,
         n_image * n_pixel * vks_div_up(n_channel, 4),
         {wg_size, op->x.dtype, op->y.dtype, (uint32_t)op->act, quads},
         5,
         {vks_reads(&op->x), moments, vks_writes(&op->y)}},
    };
    vks_op_begin(target, "group_norm");
    vkssm_status status = VKSSM_OK;
    for (size_t i = 0; i < VKS_COUNT(parts) && status == VKSSM_OK; i++)
        status = dispatch(target, &push, &parts[i]);
    vks_op_end(target);
    return status;
}

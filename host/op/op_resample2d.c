#include "kernel.h"
#include "ops.h"

#include "shaders/params/resample2d.h"

enum { MAX_GRID = 32768 }; // workgroups along one dimension of the grid

static_assert(VKS_AVERAGE == VKS_RESAMPLE_AVERAGE && VKS_NEAREST == VKS_RESAMPLE_NEAREST &&
                  VKS_FROM_PLANES == VKS_RESAMPLE_FROM_PLANES && VKS_TO_PLANES == VKS_RESAMPLE_TO_PLANES,
              "the shader knows modes by the same numbers");

// Channels last: pixels at one distance from each other, and nothing else between. Images may have gaps.
static vkssm_status check_pixels(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                                 const uint32_t *shape, uint32_t multiple) {
    VKS_TRY(vks_check_shape(target, name, tensor, 4, shape));
    VKS_TRY(vks_check_float(target, name, tensor));
    VKS_TRY(vks_check_stride(target, name, tensor, 2, multiple));
    VKS_TRY(vks_check_stride(target, name, tensor, 0, multiple));
    uint64_t row = shape[2] * tensor->stride[2];
    if (shape[1] > 1 && tensor->stride[1] != row)
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: a stride of dimension 1 of %llu expected, %llu found", name,
                           (unsigned long long)row, (unsigned long long)tensor->stride[1]);
    return VKSSM_OK;
}

static vkssm_status check_planes(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                                 const uint32_t *shape) {
    VKS_TRY(vks_check_shape(target, name, tensor, 4, shape));
    VKS_TRY(vks_check_dtype(target, name, tensor, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_stride(target, name, tensor, 0, 1));
    return vks_check_dense(target, name, tensor, 1);
}

static vkssm_status check_count(const vks_op_target *target, const char *name, const vks_tensor *tensor) {
    uint64_t n = tensor->shape[0] * tensor->stride[0];
    if (n <= UINT32_MAX) return VKSSM_OK;
    return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "%s: below 2^32 elements expected, %llu found", name,
                       (unsigned long long)n);
}

static vkssm_status check(const vks_op_target *target, const vks_resample2d *op) {
    const uint32_t *x = op->x.shape;
    uint32_t h = op->window_height, w = op->window_width, multiple = op->y.dtype == VKSSM_DTYPE_F32 ? 1 : 2;
    VKS_TRY(check_count(target, "resample2d: x", &op->x));
    VKS_TRY(check_count(target, "resample2d: y", &op->y));
    switch (op->mode) {
    case VKS_FROM_PLANES:
        VKS_TRY(check_planes(target, "resample2d: x", &op->x, x));
        return check_pixels(target, "resample2d: y", &op->y, (uint32_t[]){x[0], x[2], x[3], x[1]}, 2);
    case VKS_TO_PLANES:
        VKS_TRY(check_pixels(target, "resample2d: x", &op->x, x, 1));
        return check_planes(target, "resample2d: y", &op->y, (uint32_t[]){x[0], x[3], x[1], x[2]});
    default:
        break;
    }
    if (h == 0 || w == 0 || (op->mode == VKS_AVERAGE && (x[1] % h || x[2] % w)))
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "resample2d: a window that divides %u x %u pixels expected, %u x %u found", x[1], x[2], h,
                           w);
    VKS_TRY(check_pixels(target, "resample2d: x", &op->x, x, 1));
    if (op->mode == VKS_AVERAGE)
        return check_pixels(target, "resample2d: y", &op->y, (uint32_t[]){x[0], x[1] / h, x[2] / w, x[3]}, multiple);
    return check_pixels(target, "resample2d: y", &op->y, (uint32_t[]){x[0], x[1] * h, x[2] * w, x[3]}, multiple);
}

vkssm_status vks_op_resample2d(const vks_op_target *target, const vks_resample2d *op) {
    VKS_TRY(check(target, op));
    bool from = op->mode == VKS_FROM_PLANES, to = op->mode == VKS_TO_PLANES;
    const uint32_t *x = op->x.shape, *y = op->y.shape;
    uint32_t n_channel = from ? x[1] : x[3], height = to ? y[2] : y[1], width = to ? y[3] : y[2];
    uint32_t written = from ? (uint32_t)op->y.stride[2] : n_channel; // of a pixel
    uint64_t n = to ? (uint64_t)y[0] * n_channel * height * vks_div_up(width, 2)
                    : (uint64_t)y[0] * height * width * vks_div_up(written, 2);
    if (n > UINT32_MAX)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "resample2d: y: below 2^33 elements expected, %llu found",
                           (unsigned long long)(2 * n));
    uint32_t wg_size = vks_kernel_traits_of(target->kernels).cpu ? 16 : 128;
    uint32_t n_group = vks_div_up((uint32_t)n, wg_size), n_row = vks_div_up(n_group, MAX_GRID);
    struct vks_resample2d_params push = {
        .x = op->x.address,
        .y = op->y.address,
        .x_stride = from ? 1 : (uint32_t)op->x.stride[2],
        .y_stride = to ? 1 : (uint32_t)op->y.stride[2],
        .x_image = (uint32_t)op->x.stride[0],
        .y_image = (uint32_t)op->y.stride[0],
        .height = height,
        .width = width,
        .n_channel = n_channel,
        .in_height = from ? x[2] : x[1],
        .in_width = from ? x[3] : x[2],
        .window_height = op->window_height,
        .window_width = op->window_width,
        .n = (uint32_t)n,
    };
    vks_access written_to = vks_writes(&op->y);
    if (from) written_to.size += (written - n_channel) * vkssm_dtype_size(op->y.dtype);
    vks_op_begin(target, "resample2d");
    vkssm_status status =
        vks_kernel_dispatch(target, &(vks_kernel_call){
                                        .shader = VKS_SHADER_resample2d,
                                        .constants = (uint32_t[]){wg_size, op->x.dtype, op->y.dtype, op->mode},
                                        .n_constant = 4,
                                        .push = &push,
                                        .push_size = sizeof push,
                                        .n_group = {vks_div_up(n_group, n_row), n_row, 1},
                                        .accesses = (vks_access[]){vks_reads(&op->x), written_to},
                                        .n_access = 2,
                                    });
    vks_op_end(target);
    return status;
}

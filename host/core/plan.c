#include "arch.h"

#include "host/base/alloc.h"
#include "host/base/status.h"
#include "host/op/ops.h"

enum { SCRATCH_ALIGNMENT = 256, ROW_ALIGNMENT = 8 };

static bool has_room(const vks_plan *plan, uint64_t size) {
    return size <= plan->size && vks_align_up(plan->used, SCRATCH_ALIGNMENT) <= plan->size - size;
}

static vkssm_status take(vks_plan *plan, uint64_t size, uint64_t *address) {
    uint64_t begin = vks_align_up(plan->used, SCRATCH_ALIGNMENT);
    if (!has_room(plan, size))
        return vks_fail(vks_kernels_log(plan->target.kernels), VKSSM_ERR_OOM_DEVICE,
                        "scratch: %llu bytes more expected, %llu of %llu in use", (unsigned long long)size,
                        (unsigned long long)begin, (unsigned long long)plan->size);
    *address = plan->base + begin;
    plan->used = begin + size;
    if (plan->used > plan->peak) plan->peak = plan->used;
    return VKSSM_OK;
}

vkssm_status vks_plan_rows(vks_plan *plan, vkssm_dtype dtype, uint32_t n_row, uint32_t n_column, vks_tensor *out) {
    uint64_t stride = vks_align_up(n_column, ROW_ALIGNMENT), address;
    VKS_TRY(take(plan, n_row * stride * vkssm_dtype_size(dtype), &address));
    *out = vks_tensor_rows(address, dtype, n_row, n_column, stride);
    return VKSSM_OK;
}

vkssm_status vks_plan_floats(vks_plan *plan, uint64_t n, vks_tensor *out) {
    *out = (vks_tensor){0};
    if (n == 0) return VKSSM_OK;
    if (n > UINT32_MAX)
        return vks_fail(vks_kernels_log(plan->target.kernels), VKSSM_ERR_UNSUPPORTED,
                        "scratch: at most 2^32 - 1 floats expected, %llu asked for", (unsigned long long)n);
    uint64_t address;
    VKS_TRY(take(plan, n * sizeof(float), &address));
    *out = vks_tensor_dense(address, VKSSM_DTYPE_F32, 1, (uint32_t[]){(uint32_t)n});
    return VKSSM_OK;
}

vkssm_status vks_plan_matmul(vks_plan *plan, const vks_matmul *op) {
    uint64_t mark = plan->used, n = vks_matmul_scratch_size(plan->target.kernels, op);
    vks_matmul with = *op;
    // Fewer rows than those by which the plan was measured may be split further: not where there is no room for it.
    if (has_room(plan, n * sizeof(float))) VKS_TRY(vks_plan_floats(plan, n, &with.scratch));
    VKS_TRY(vks_op_matmul(&plan->target, &with));
    plan->used = mark;
    return VKSSM_OK;
}

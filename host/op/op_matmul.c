#include "kernel.h"
#include "ops.h"

#include "host/base/quant.h"
#include "shaders/params/matmul.h"

enum {
    FEW_ROWS = 8,             // up to here a product is bound by reading its weights
    MANY_OUTPUTS = 8192,      // subgroups of one workgroup each fill a device
    COOP_ROWS = 32,           // from here on tiles of 128 rows are worth their empty part
    COOP_SHARED_SIZE = 40960, // of matmul_coop
};

static vkssm_status check(const vks_op_target *target, const vks_matmul *op) {
    uint32_t n_row = op->x.shape[0], n_in = op->x.shape[1], n_out = op->w.shape[0];
    VKS_TRY(vks_check_shape(target, "matmul: x", &op->x, VKS_SHAPE(n_row, n_in)));
    VKS_TRY(vks_check_float(target, "matmul: x", &op->x));
    VKS_TRY(vks_check_stride(target, "matmul: x", &op->x, 0, 8));
    VKS_TRY(vks_check_alignment(target, "matmul: x", &op->x, 16));
    VKS_TRY(vks_check_shape(target, "matmul: w", &op->w, VKS_SHAPE(n_out, n_in)));
    VKS_TRY(vks_check_weights(target, "matmul: w", &op->w, 8));
    VKS_TRY(vks_check_alignment(target, "matmul: w", &op->w, 16));
    if (!vks_is_block_type(op->w.dtype) && op->w.stride[0] < n_in)
        return vks_op_fail(target, VKSSM_ERR_ARG, "matmul: w: a row stride of at least %u expected, %llu found", n_in,
                           (unsigned long long)op->w.stride[0]);
    VKS_TRY(vks_check_shape(target, "matmul: y", &op->y, VKS_SHAPE(n_row, n_out)));
    VKS_TRY(vks_check_float(target, "matmul: y", &op->y));
    VKS_TRY(vks_check_stride(target, "matmul: y", &op->y, 0, op->y.dtype == VKSSM_DTYPE_F32 ? 1 : 2));
    if (op->bias.address) {
        VKS_TRY(vks_check_shape(target, "matmul: bias", &op->bias, VKS_SHAPE(n_out)));
        VKS_TRY(vks_check_dtype(target, "matmul: bias", &op->bias, VKSSM_DTYPE_F32));
    }
    return VKSSM_OK;
}

// Whether cooperative matrices can do it: float16 operands, whole vectors along k, and enough shared memory.
static bool fits_coop(const vks_kernel_traits *traits, const vks_matmul *op) {
    return op->x.dtype == VKSSM_DTYPE_F16 && op->w.dtype == VKSSM_DTYPE_F16 && op->x.shape[1] % 8 == 0 &&
           traits->fixed_subgroup && traits->max_shared_size >= COOP_SHARED_SIZE;
}

// Every algorithm here can do the shape, so a test may force any. The selector's choices stand first, best first.
static uint32_t choose(const vks_op_target *target, const vks_matmul *op) {
    uint32_t n_row = op->x.shape[0], n_out = op->w.shape[0];
    static const uint32_t cpu_row[] = {VKS_SHADER_matmul_lanes_1, VKS_SHADER_matmul_direct_1};
    static const uint32_t cpu[] = {VKS_SHADER_matmul_lanes, VKS_SHADER_matmul_direct};
    static const uint32_t few[] = {VKS_SHADER_matmul_vector_sg, VKS_SHADER_matmul_vector};
    static const uint32_t some[] = {VKS_SHADER_matmul_tiled, VKS_SHADER_matmul_tiled};
    static const uint32_t coop[] = {VKS_SHADER_matmul_coop, VKS_SHADER_matmul_tiled};
    static const uint32_t many[] = {VKS_SHADER_matmul_tiled_8, VKS_SHADER_matmul_tiled};
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    const uint32_t *best;
    if (traits.cpu)
        best = n_row == 1 ? cpu_row : cpu;
    else if (n_row <= FEW_ROWS)
        best = few;
    else if (fits_coop(&traits, op) && n_row >= COOP_ROWS)
        best = coop;
    else // large tiles only when there are enough of them to fill a device
        best = (uint64_t)n_row * n_out >= 128u * 128u * 64u ? many : some;
    const uint32_t candidates[] = {best[0],
                                   best[1],
                                   VKS_SHADER_matmul_tiled_8,
                                   VKS_SHADER_matmul_vector_sg,
                                   VKS_SHADER_matmul_vector,
                                   VKS_SHADER_matmul_lanes,
                                   VKS_SHADER_matmul_lanes_1,
                                   VKS_SHADER_matmul_direct,
                                   VKS_SHADER_matmul_direct_1,
                                   VKS_SHADER_matmul_tiled,
                                   VKS_SHADER_matmul_coop};
    uint32_t n = VKS_COUNT(candidates) - !fits_coop(&traits, op);
    return vks_kernel_choose(target->kernels, candidates, n);
}

vkssm_status vks_op_matmul(const vks_op_target *target, const vks_matmul *op) {
    VKS_TRY(check(target, op));
    uint32_t n_row = op->x.shape[0], n_out = op->w.shape[0];
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    uint32_t constants[8] = {0, op->x.dtype, op->w.dtype, op->y.dtype, op->bias.address != 0, op->accumulate};
    vks_kernel_call call = {.shader = choose(target, op), .constants = constants, .n_constant = 6};

    switch (call.shader) {
    case VKS_SHADER_matmul_tiled:
    case VKS_SHADER_matmul_tiled_8: {
        uint32_t side = call.shader == VKS_SHADER_matmul_tiled ? 64 : 128;
        call.constants = constants + 1; // the workgroup has a fixed size
        call.n_constant = 5;
        call.n_group[0] = vks_div_up(n_out, side);
        call.n_group[1] = vks_div_up(n_row, side);
        break;
    }
    case VKS_SHADER_matmul_coop:
        constants[1] = 8 * traits.subgroup_size;
        constants[2] = op->y.dtype;
        constants[3] = op->bias.address != 0;
        constants[4] = op->accumulate;
        call.constants = constants + 1; // operands are float16
        call.n_constant = 4;
        call.full_subgroups = true;
        call.n_group[0] = vks_div_up(n_out, 128);
        call.n_group[1] = vks_div_up(n_row, 128);
        break;
    case VKS_SHADER_matmul_vector:
    case VKS_SHADER_matmul_vector_sg: {
        call.full_subgroups = call.shader == VKS_SHADER_matmul_vector_sg;
        // An invocation takes 8 weights a turn: as many invocations as give each at least two turns.
        uint32_t wg_size = traits.subgroup_size < 32 ? 32 : traits.subgroup_size;
        // Rows of block types are short: with many of them, one subgroup a row or two is enough, and needs no barrier.
        bool alone = vks_is_block_type(op->w.dtype) && n_out >= MANY_OUTPUTS;
        while (!alone && wg_size < 128 && wg_size * 2 * 16 <= op->x.shape[1]) wg_size *= 2;
        bool one = call.full_subgroups && traits.fixed_subgroup && traits.subgroup_size == wg_size;
        constants[0] = wg_size;
        constants[6] = one;
        constants[7] = n_row < FEW_ROWS ? n_row : FEW_ROWS;
        call.n_constant = 8;
        call.n_group[0] = vks_div_up(n_out, 2);
        call.n_group[1] = vks_div_up(n_row, constants[7]);
        break;
    }
    case VKS_SHADER_matmul_direct:
    case VKS_SHADER_matmul_direct_1:
        constants[0] = 16;
        call.n_group[0] = vks_div_up(n_out, 8 * constants[0]);
        call.n_group[1] = vks_div_up(n_row, call.shader == VKS_SHADER_matmul_direct ? 8 : 1);
        break;
    default: { // lanes
        bool row = call.shader == VKS_SHADER_matmul_lanes_1;
        constants[0] = constants[6] = traits.subgroup_size;
        call.n_constant = 7;
        call.full_subgroups = true;
        call.n_group[0] = vks_div_up(n_out, (row ? 8 : 4) * traits.subgroup_size);
        call.n_group[1] = vks_div_up(n_row, row ? 1 : 8);
        break;
    }
    }
    call.n_group[2] = 1;
    struct vks_matmul_params push = {
        .x = op->x.address,
        .w = op->w.address,
        .bias = op->bias.address,
        .y = op->y.address,
        .n_row = n_row,
        .n_out = n_out,
        .n_in = op->x.shape[1],
        .x_stride = (uint32_t)op->x.stride[0],
        .w_stride = (uint32_t)op->w.stride[0],
        .y_stride = (uint32_t)op->y.stride[0],
    };
    call.push = &push;
    call.push_size = sizeof push;
    call.accesses = (vks_access[]){vks_reads(&op->x), vks_writes(&op->y)};
    call.n_access = 2;
    vks_op_begin(target, "matmul");
    vkssm_status status = vks_kernel_dispatch(target, &call);
    vks_op_end(target);
    return status;
}

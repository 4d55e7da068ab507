#include "kernel.h"
#include "ops.h"

#include <string.h>

#include "shaders/params/matmul.h"

enum {
    FEW_ROWS = 8,    // up to here a product is bound by reading its weights
    COOP_ROWS = 32,  // from here on tiles of 64 or 128 rows are worth their empty part
    COOP_TILES = 96, // so many tiles fill a large device
    COOP_DEPTH = 64,
};

// Tiles of matmul_coop, the fastest first where there is enough to do (shaders/MEASURED.md): sides, and subgroups along
// them.
typedef struct coop_tile {
    uint32_t rows, outputs, subgroups_m, subgroups_n;
} coop_tile;
static const coop_tile coop_tiles[] = {{128, 192, 2, 4}, {128, 128, 2, 4}, {64, 64, 2, 2}};

static uint32_t shared_size(const coop_tile *tile) {
    return 2 * (tile->rows + tile->outputs) * (COOP_DEPTH + 8);
}

static vkssm_status check(const vks_op_target *target, const vks_matmul *op) {
    uint32_t n_row = op->x.shape[0], n_in = op->x.shape[1], n_out = op->w.shape[0];
    VKS_TRY(vks_check_shape(target, "matmul: x", &op->x, VKS_SHAPE(n_row, n_in)));
    VKS_TRY(vks_check_float(target, "matmul: x", &op->x));
    VKS_TRY(vks_check_stride(target, "matmul: x", &op->x, 0, 8));
    VKS_TRY(vks_check_alignment(target, "matmul: x", &op->x, 16));
    VKS_TRY(vks_check_shape(target, "matmul: w", &op->w, VKS_SHAPE(n_out, n_in)));
    VKS_TRY(vks_check_float(target, "matmul: w", &op->w));
    VKS_TRY(vks_check_stride(target, "matmul: w", &op->w, 0, 8));
    VKS_TRY(vks_check_alignment(target, "matmul: w", &op->w, 16));
    if (op->w.stride[0] < n_in)
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

// The tile for a product: the first one that the device has room for and that gives it enough workgroups, or the last
// one that it has room for. NULL: none.
static const coop_tile *choose_tile(const vks_kernel_traits *traits, const vks_matmul *op) {
    const coop_tile *found = NULL;
    for (size_t i = 0; i < VKS_COUNT(coop_tiles); i++) {
        const coop_tile *tile = &coop_tiles[i];
        uint32_t wg_size = tile->subgroups_m * tile->subgroups_n * traits->subgroup_size;
        if (shared_size(tile) > traits->max_shared_size || wg_size > traits->max_workgroup_invocations ||
            tile->rows * COOP_DEPTH / 8 % wg_size || tile->outputs * COOP_DEPTH / 8 % wg_size)
            continue;
        found = tile;
        if ((uint64_t)vks_div_up(op->x.shape[0], tile->rows) * vks_div_up(op->w.shape[0], tile->outputs) >= COOP_TILES)
            break;
    }
    return found;
}

// The variant on cooperative matrices that can do it, or VKS_SHADER_COUNT: both operands of one 16-bit type, and whole
// vectors along k. float32 operands are not rounded to 16 bits behind the caller's back.
static uint32_t coop_variant(const vks_kernel_traits *traits, const vks_matmul *op) {
    if (op->x.dtype != op->w.dtype || op->x.shape[1] % 8 != 0 || !traits->fixed_subgroup || !choose_tile(traits, op))
        return VKS_SHADER_COUNT;
    return op->x.dtype == VKSSM_DTYPE_F16    ? VKS_SHADER_matmul_coop
           : op->x.dtype == VKSSM_DTYPE_BF16 ? VKS_SHADER_matmul_coop_bf16
                                             : VKS_SHADER_COUNT;
}

// Every algorithm here can do the shape, so a test may force any. The selector's choices stand first, best first.
static uint32_t choose(const vks_op_target *target, const vks_matmul *op) {
    uint32_t n_row = op->x.shape[0], n_out = op->w.shape[0];
    static const uint32_t cpu_row[] = {VKS_SHADER_matmul_lanes_1, VKS_SHADER_matmul_direct_1};
    static const uint32_t cpu[] = {VKS_SHADER_matmul_lanes, VKS_SHADER_matmul_direct};
    static const uint32_t few[] = {VKS_SHADER_matmul_vector_sg, VKS_SHADER_matmul_vector};
    static const uint32_t some[] = {VKS_SHADER_matmul_tiled, VKS_SHADER_matmul_tiled};
    static const uint32_t many[] = {VKS_SHADER_matmul_tiled_8, VKS_SHADER_matmul_tiled};
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    uint32_t coop = coop_variant(&traits, op);
    bool has_coop = coop != VKS_SHADER_COUNT;
    const uint32_t *best;
    if (traits.cpu)
        best = n_row == 1 ? cpu_row : cpu;
    else if (n_row <= FEW_ROWS)
        best = few;
    else // large tiles only when there are enough of them to fill a device
        best = (uint64_t)n_row * n_out >= 128u * 128u * 64u ? many : some;
    bool coop_first = has_coop && !traits.cpu && n_row >= COOP_ROWS;
    const uint32_t candidates[] = {coop_first ? coop : best[0],
                                   best[0],
                                   best[1],
                                   VKS_SHADER_matmul_tiled_8,
                                   VKS_SHADER_matmul_vector_sg,
                                   VKS_SHADER_matmul_vector,
                                   VKS_SHADER_matmul_lanes,
                                   VKS_SHADER_matmul_lanes_1,
                                   VKS_SHADER_matmul_direct,
                                   VKS_SHADER_matmul_direct_1,
                                   VKS_SHADER_matmul_tiled,
                                   coop};
    uint32_t n = VKS_COUNT(candidates) - !has_coop;
    return vks_kernel_choose(target->kernels, candidates, n);
}

vkssm_status vks_op_matmul(const vks_op_target *target, const vks_matmul *op) {
    VKS_TRY(check(target, op));
    uint32_t n_row = op->x.shape[0], n_out = op->w.shape[0];
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    uint32_t constants[12] = {0, op->x.dtype, op->w.dtype, op->y.dtype, op->bias.address != 0, op->accumulate};
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
    case VKS_SHADER_matmul_coop_bf16: {
        const coop_tile *tile = choose_tile(&traits, op);
        bool direct = (op->y.dtype == op->x.dtype || op->y.dtype == VKSSM_DTYPE_F32) && op->y.address % 16 == 0 &&
                      op->y.stride[0] % 8 == 0;
        const uint32_t of_coop[] = {tile->subgroups_m * tile->subgroups_n * traits.subgroup_size,
                                    op->y.dtype,
                                    op->bias.address != 0,
                                    op->accumulate,
                                    tile->rows,
                                    tile->outputs,
                                    tile->subgroups_m,
                                    tile->subgroups_n,
                                    COOP_DEPTH,
                                    op->x.shape[1] % COOP_DEPTH == 0,
                                    direct};
        memcpy(constants, of_coop, sizeof of_coop);
        call.n_constant = VKS_COUNT(of_coop);
        call.full_subgroups = true;
        call.n_group[0] = vks_div_up(n_out, tile->outputs);
        call.n_group[1] = vks_div_up(n_row, tile->rows);
        break;
    }
    case VKS_SHADER_matmul_vector:
    case VKS_SHADER_matmul_vector_sg: {
        call.full_subgroups = call.shader == VKS_SHADER_matmul_vector_sg;
        // An invocation takes 8 weights a turn: as many invocations as give each at least two turns.
        uint32_t wg_size = traits.subgroup_size < 32 ? 32 : traits.subgroup_size;
        while (wg_size < 128 && wg_size * 2 * 16 <= op->x.shape[1])
            wg_size *= 2;
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

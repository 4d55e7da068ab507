#include "kernel.h"
#include "ops.h"

#include "shaders/params/matmul_s8.h"

enum {
    MOST_IN = 131071, // products of at most 2^14 each: their sum fits 32 bits
    COOP_ROWS = 32,   // from here on tiles of 64 or 128 rows are worth their empty part
    COOP_TILES = 96,  // so many tiles fill a large device
    COOP_DEPTH = 128,
};

// As of matmul_coop, which holds half as many values of k in the same bytes.
typedef struct coop_tile {
    uint32_t rows, outputs, subgroups_m, subgroups_n;
} coop_tile;
static const coop_tile coop_tiles[] = {{128, 192, 2, 4}, {128, 128, 2, 4}, {64, 64, 2, 2}};

static vkssm_status check_scale(const vks_op_target *target, const char *name, const vks_tensor *scale, uint32_t n,
                                vkssm_dtype y) {
    if (!scale->address) return VKSSM_OK;
    VKS_TRY(vks_check_shape(target, name, scale, VKS_SHAPE(n)));
    VKS_TRY(vks_check_dtype(target, name, scale, VKSSM_DTYPE_F32));
    if (y == VKSSM_DTYPE_I32)
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: no scale expected where y is I32, one found", name);
    return VKSSM_OK;
}

static vkssm_status check_operand(const vks_op_target *target, const char *name, const vks_tensor *tensor, uint32_t n,
                                  uint32_t n_in) {
    VKS_TRY(vks_check_shape(target, name, tensor, VKS_SHAPE(n, n_in)));
    VKS_TRY(vks_check_dtype(target, name, tensor, VKSSM_DTYPE_I8));
    VKS_TRY(vks_check_stride(target, name, tensor, 0, 16));
    VKS_TRY(vks_check_alignment(target, name, tensor, 16));
    if (tensor->stride[0] < n_in)
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: a row stride of at least %u expected, %llu found", name, n_in,
                           (unsigned long long)tensor->stride[0]);
    return VKSSM_OK;
}

static vkssm_status check(const vks_op_target *target, const vks_matmul_s8 *op) {
    uint32_t n_row = op->x.shape[0], n_in = op->x.shape[1], n_out = op->w.shape[0];
    VKS_TRY(check_operand(target, "matmul_s8: x", &op->x, n_row, n_in));
    VKS_TRY(check_operand(target, "matmul_s8: w", &op->w, n_out, n_in));
    if (n_in > MOST_IN)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "matmul_s8: rows of at most %d values expected, %u found",
                           MOST_IN, n_in);
    VKS_TRY(vks_check_shape(target, "matmul_s8: y", &op->y, VKS_SHAPE(n_row, n_out)));
    if (op->y.dtype != VKSSM_DTYPE_I32) VKS_TRY(vks_check_float(target, "matmul_s8: y", &op->y));
    bool words = op->y.dtype == VKSSM_DTYPE_F32 || op->y.dtype == VKSSM_DTYPE_I32;
    VKS_TRY(vks_check_stride(target, "matmul_s8: y", &op->y, 0, words ? 1 : 2));
    VKS_TRY(check_scale(target, "matmul_s8: x_scale", &op->x_scale, n_row, op->y.dtype));
    return check_scale(target, "matmul_s8: w_scale", &op->w_scale, n_out, op->y.dtype);
}

// The first tile that the device has room for and that gives it enough workgroups, or the last one that it has room
// for. NULL: none.
static const coop_tile *choose_tile(const vks_kernel_traits *traits, const vks_matmul_s8 *op) {
    const coop_tile *found = NULL;
    for (size_t i = 0; i < VKS_COUNT(coop_tiles); i++) {
        const coop_tile *tile = &coop_tiles[i];
        uint32_t wg_size = tile->subgroups_m * tile->subgroups_n * traits->subgroup_size;
        uint32_t shared_size = (tile->rows + tile->outputs) * (COOP_DEPTH + 16);
        if (shared_size > traits->max_shared_size || wg_size > traits->max_workgroup_invocations) continue;
        found = tile;
        if ((uint64_t)vks_div_up(op->x.shape[0], tile->rows) * vks_div_up(op->w.shape[0], tile->outputs) >= COOP_TILES)
            break;
    }
    return found;
}

// Every algorithm here can do the shape, so a test may force any. The selector's choices stand first, best first.
static uint32_t choose(const vks_op_target *target, const vks_matmul_s8 *op, const coop_tile *tile) {
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    bool coop = tile && traits.fixed_subgroup, first = coop && op->x.shape[0] >= COOP_ROWS;
    // A CPU driver makes a packed product of 4 values from as many instructions as the plain form has.
    uint32_t dot = traits.cpu ? VKS_SHADER_matmul_s8 : VKS_SHADER_matmul_s8_dot;
    const uint32_t candidates[] = {first ? VKS_SHADER_matmul_s8_coop : dot,
                                   dot,
                                   VKS_SHADER_matmul_s8,
                                   VKS_SHADER_matmul_s8_dot,
                                   coop ? VKS_SHADER_matmul_s8_coop : VKS_SHADER_matmul_s8,
                                   VKS_SHADER_matmul_s8};
    return vks_kernel_choose(target->kernels, candidates, VKS_COUNT(candidates));
}

vkssm_status vks_op_matmul_s8(const vks_op_target *target, const vks_matmul_s8 *op) {
    VKS_TRY(check(target, op));
    uint32_t n_row = op->x.shape[0], n_out = op->w.shape[0];
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    const coop_tile *tile = choose_tile(&traits, op);
    vks_kernel_call call = {.shader = choose(target, op, tile), .n_group = {0, 0, 1}};
    uint32_t constants[9] = {traits.cpu ? 16 : 32, op->y.dtype};
    call.constants = constants;
    if (call.shader == VKS_SHADER_matmul_s8_coop) {
        constants[0] = tile->subgroups_m * tile->subgroups_n * traits.subgroup_size;
        constants[2] = tile->rows;
        constants[3] = tile->outputs;
        constants[4] = tile->subgroups_m;
        constants[5] = tile->subgroups_n;
        constants[6] = COOP_DEPTH;
        constants[7] = traits.int8_matrix_depth;
        constants[8] = op->y.dtype == VKSSM_DTYPE_I32 && op->y.address % 16 == 0 && op->y.stride[0] % 4 == 0;
        call.n_constant = 9;
        call.full_subgroups = true;
        call.n_group[0] = vks_div_up(n_out, tile->outputs);
        call.n_group[1] = vks_div_up(n_row, tile->rows);
    } else {
        call.n_constant = 2;
        call.n_group[0] = vks_div_up(n_out, 4 * constants[0]);
        call.n_group[1] = vks_div_up(n_row, 4);
    }
    struct vks_matmul_s8_params push = {
        .x = op->x.address,
        .w = op->w.address,
        .x_scale = op->x_scale.address,
        .w_scale = op->w_scale.address,
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
    call.accesses = (vks_access[]){vks_reads(&op->x), vks_reads(&op->x_scale), vks_writes(&op->y)};
    call.n_access = 3;
    vks_op_begin(target, "matmul_s8");
    vkssm_status status = vks_kernel_dispatch(target, &call);
    vks_op_end(target);
    return status;
}

#include "kernel.h"
#include "ops.h"

#include <string.h>

#include "host/base/quant.h"
#include "shaders/params/matmul.h"

enum {
    FEW_ROWS = 8,       // up to here a product is bound by reading its weights
    STEP_ROWS = 64,     // up to here in a step, whose places are often empty: weights are read once for 8 rows
    FEW_OUTPUTS = 3000, // below, all workgroups of matmul_vector run at once
    MOST_UNROLL = 5,
    MOST_UNROLL_ROWS = 2,
    COOP_ROWS = 32,   // from here on tiles of 64 or 128 rows are worth their empty part
    COOP_UNITS = 132, // workgroups that a large device runs at once; on a smaller one it matters less
    MOST_SPLIT = 4,
    SPLIT_DEPTH = 1024,   // of a part at least
    MOST_PARTS = 1 << 28, // floats of all parts
    COOP_DEPTH = 64,
    MAX_TAP = 8, // of a convolution on the way: an invocation holds them in registers
};

// Tiles of matmul_coop: sides, subgroups along them, and million products a microsecond that a workgroup gets done on a
// large device (shaders/MEASURED.md).
typedef struct coop_tile {
    uint32_t rows, outputs, subgroups_m, subgroups_n;
    double speed;
} coop_tile;
static const coop_tile coop_tiles[] = {
    {128, 192, 2, 4, 1.12}, {128, 160, 4, 2, 0.98}, {128, 128, 2, 4, 1.0}, {64, 64, 2, 2, 0.63}};

// How matmul_coop does a product: by which tile, and k split among how many workgroups. No tile: not at all.
typedef struct coop_plan {
    const coop_tile *tile;
    uint32_t n_split;
} coop_plan;

static uint32_t shared_size(const coop_tile *tile) {
    return 2 * (tile->rows + tile->outputs) * (COOP_DEPTH + 8);
}

static vkssm_status check_conv(const vks_op_target *target, const vks_matmul *op) {
    const vks_matmul_conv *conv = &op->conv;
    uint32_t k = conv->w.shape[0], n_channel = conv->w.shape[1], n_out = op->w.shape[0];
    VKS_TRY(vks_check_shape(target, "matmul: conv weight", &conv->w, VKS_SHAPE(k, n_channel)));
    VKS_TRY(vks_check_dtype(target, "matmul: conv weight", &conv->w, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_dense(target, "matmul: conv weight", &conv->w, 0));
    if (k < 2 || k > MAX_TAP)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "matmul: 2 to %d taps expected, %u found", MAX_TAP, k);
    VKS_TRY(
        vks_check_shape(target, "matmul: conv state", &conv->state, VKS_SHAPE(conv->state.shape[0], k - 1, n_channel)));
    VKS_TRY(vks_check_dtype(target, "matmul: conv state", &conv->state, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_dense(target, "matmul: conv state", &conv->state, 1));
    VKS_TRY(vks_check_stride(target, "matmul: conv state", &conv->state, 0, 1));
    if (conv->bias.address) {
        VKS_TRY(vks_check_shape(target, "matmul: conv bias", &conv->bias, VKS_SHAPE(n_channel)));
        VKS_TRY(vks_check_dtype(target, "matmul: conv bias", &conv->bias, VKSSM_DTYPE_F32));
    }
    if (conv->slots.address) {
        VKS_TRY(vks_check_shape(target, "matmul: slots", &conv->slots, VKS_SHAPE(op->x.shape[0])));
        VKS_TRY(vks_check_dtype(target, "matmul: slots", &conv->slots, VKSSM_DTYPE_I32));
    }
    if (conv->first > n_out || n_channel > n_out - conv->first)
        return vks_op_fail(target, VKSSM_ERR_ARG, "matmul: a convolution inside %u outputs expected, %u + %u found",
                           n_out, conv->first, n_channel);
    return VKSSM_OK;
}

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
    if (op->norm.address) {
        VKS_TRY(vks_check_shape(target, "matmul: norm", &op->norm, VKS_SHAPE(n_in)));
        VKS_TRY(vks_check_dtype(target, "matmul: norm", &op->norm, VKSSM_DTYPE_F32));
        VKS_TRY(vks_check_alignment(target, "matmul: norm", &op->norm, 16));
    }
    if (op->scratch.address) {
        VKS_TRY(vks_check_shape(target, "matmul: scratch", &op->scratch, VKS_SHAPE(op->scratch.shape[0])));
        VKS_TRY(vks_check_dtype(target, "matmul: scratch", &op->scratch, VKSSM_DTYPE_F32));
        VKS_TRY(vks_check_alignment(target, "matmul: scratch", &op->scratch, 16));
        uint64_t least = vks_matmul_scratch_size(target->kernels, op);
        if (op->scratch.shape[0] < least)
            return vks_op_fail(target, VKSSM_ERR_ARG, "matmul: scratch: %llu floats expected, %u found",
                               (unsigned long long)least, op->scratch.shape[0]);
    }
    if (op->most_rows && op->most_rows < n_row)
        return vks_op_fail(target, VKSSM_ERR_ARG, "matmul: at most %u rows expected, %u found", op->most_rows, n_row);
    if (op->conv.w.address && op->accumulate)
        return vks_op_fail(target, VKSSM_ERR_ARG, "matmul: a convolution or a sum expected, both found");
    return op->conv.w.address ? check_conv(target, op) : VKSSM_OK;
}

// Microseconds of a product on a large device: whole waves of workgroups, and for a split one the parts written, read
// and added up, at 3 million bytes a microsecond behind a barrier.
static double coop_cost(const coop_tile *tile, uint32_t n_split, uint32_t n_row, uint32_t n_out, uint32_t n_in) {
    double n_group = (double)vks_div_up(n_row, tile->rows) * vks_div_up(n_out, tile->outputs) * n_split;
    double waves = (double)(uint64_t)((n_group + COOP_UNITS - 1) / COOP_UNITS);
    double cost = waves * tile->rows * tile->outputs * ((double)n_in / n_split) / (tile->speed * 1e6);
    return n_split == 1 ? cost : cost + 3 + (8.0 * n_split + 8) * n_row * n_out / 3e6;
}

// The quickest tile that the device has room for. k is split only where there is scratch for the parts.
static coop_plan plan_coop(const vks_kernel_traits *traits, const vks_matmul *op, bool may_split) {
    coop_plan found = {NULL, 1};
    double least = 0;
    uint32_t n_row = op->most_rows ? op->most_rows : op->x.shape[0], n_out = op->w.shape[0], n_in = op->x.shape[1];
    for (size_t i = 0; i < VKS_COUNT(coop_tiles); i++) {
        const coop_tile *tile = &coop_tiles[i];
        uint32_t wg_size = tile->subgroups_m * tile->subgroups_n * traits->subgroup_size;
        if (shared_size(tile) > traits->max_shared_size || wg_size > traits->max_workgroup_invocations ||
            tile->rows * COOP_DEPTH / 8 % wg_size || tile->outputs * COOP_DEPTH / 8 % wg_size)
            continue;
        for (uint32_t n_split = 1; n_split <= (may_split ? MOST_SPLIT : 1); n_split *= 2) {
            if (n_split > 1 && (n_in / n_split < SPLIT_DEPTH || (uint64_t)n_split * n_row * n_out >= MOST_PARTS)) break;
            double cost = coop_cost(tile, n_split, n_row, n_out, n_in);
            if (found.tile && cost >= least) continue;
            found = (coop_plan){tile, n_split};
            least = cost;
        }
    }
    return found;
}

// The variant on cooperative matrices that can do it, or VKS_SHADER_COUNT: both operands of one 16-bit type, and whole
// vectors along k; or weights in blocks, which become float16 on the way. float32 operands are not rounded to 16 bits
// behind the caller's back.
static uint32_t coop_variant(const vks_kernel_traits *traits, const vks_matmul *op) {
    bool blocks = op->x.dtype == VKSSM_DTYPE_F16 && vks_is_block_type(op->w.dtype);
    if ((op->x.dtype != op->w.dtype && !blocks) || op->x.shape[1] % 8 != 0 || !traits->fixed_subgroup ||
        !plan_coop(traits, op, false).tile)
        return VKS_SHADER_COUNT;
    if (blocks) return VKS_SHADER_matmul_coop_blocks;
    return op->x.dtype == VKSSM_DTYPE_F16    ? VKS_SHADER_matmul_coop
           : op->x.dtype == VKSSM_DTYPE_BF16 ? VKS_SHADER_matmul_coop_bf16
                                             : VKS_SHADER_COUNT;
}

// Every algorithm here can do the shape, so a test may force any. The selector's choices stand first, best first.
static uint32_t choose(const vks_kernels *kernels, bool coded_inputs, const vks_matmul *op) {
    uint32_t n_row = op->most_rows ? op->most_rows : op->x.shape[0], n_out = op->w.shape[0];
    static const uint32_t fused_variants[] = {VKS_SHADER_matmul_vector_dot, VKS_SHADER_matmul_vector_sg,
                                              VKS_SHADER_matmul_vector};
    // Where inputs are not to be coded, only a test gets there: not even a device that avoids all else.
    bool coded = vks_has_codes(op->w.dtype) && (coded_inputs || vks_kernel_is_forced(kernels, VKS_SHADER_matmul_vector_dot));
    if (op->norm.address || op->conv.w.address) return vks_kernel_choose(kernels, fused_variants + !coded, 2 + coded);
    bool blocks = vks_is_block_type(op->w.dtype);
    uint32_t direct = blocks ? VKS_SHADER_matmul_direct_blocks : VKS_SHADER_matmul_direct;
    uint32_t direct_1 = blocks ? VKS_SHADER_matmul_direct_1_blocks : VKS_SHADER_matmul_direct_1;
    const uint32_t cpu_row[] = {VKS_SHADER_matmul_lanes_1, direct_1};
    const uint32_t cpu[] = {VKS_SHADER_matmul_lanes, direct};
    const uint32_t few[] = {coded ? VKS_SHADER_matmul_vector_dot : VKS_SHADER_matmul_vector_sg,
                            coded ? VKS_SHADER_matmul_vector_sg : VKS_SHADER_matmul_vector};
    static const uint32_t some[] = {VKS_SHADER_matmul_tiled, VKS_SHADER_matmul_tiled};
    static const uint32_t many[] = {VKS_SHADER_matmul_tiled_8, VKS_SHADER_matmul_tiled};
    vks_kernel_traits traits = vks_kernel_traits_of(kernels);
    uint32_t coop = coop_variant(&traits, op);
    bool has_coop = coop != VKS_SHADER_COUNT;
    const uint32_t *best;
    if (traits.cpu)
        best = n_row == 1 ? cpu_row : cpu;
    else if (n_row <= FEW_ROWS)
        best = few;
    else if (op->most_rows && n_row <= STEP_ROWS)
        best = few;
    else // large tiles only when there are enough of them to fill a device, and registers for them
        best = !traits.few_registers && (uint64_t)n_row * n_out >= 128u * 128u * 64u ? many : some;
    bool coop_first = has_coop && !traits.cpu && n_row >= COOP_ROWS;
    const uint32_t candidates[] = {coop_first ? coop : best[0],
                                   best[0],
                                   best[1],
                                   VKS_SHADER_matmul_tiled_8,
                                   VKS_SHADER_matmul_vector_sg,
                                   VKS_SHADER_matmul_vector,
                                   VKS_SHADER_matmul_lanes,
                                   VKS_SHADER_matmul_lanes_1,
                                   direct,
                                   direct_1,
                                   VKS_SHADER_matmul_tiled,
                                   coded ? VKS_SHADER_matmul_vector_dot : VKS_SHADER_matmul_tiled,
                                   has_coop ? coop : VKS_SHADER_matmul_tiled,
                                   VKS_SHADER_matmul_tiled};
    return vks_kernel_choose(kernels, candidates, VKS_COUNT(candidates));
}

bool vks_matmul_fuses(const vks_kernels *kernels, uint32_t most_rows) {
    const uint32_t candidates[] = {VKS_SHADER_matmul_lanes, VKS_SHADER_matmul_vector_sg, VKS_SHADER_matmul_vector,
                                   VKS_SHADER_matmul_lanes};
    // A CPU has kernels of its own for products, which do not; but a test may force one that does.
    if (vks_kernel_traits_of(kernels).cpu)
        return vks_kernel_choose(kernels, candidates, VKS_COUNT(candidates)) != VKS_SHADER_matmul_lanes;
    return most_rows <= FEW_ROWS;
}

// Invocations, outputs and turns ahead of matmul_vector, whose invocations take 8 weights a load. Few outputs: a
// workgroup reads its rows in one turn, if that is not too much ahead. Many: several rows at once, so that the latency
// at the end is shared. The order of sums depends on most_rows, not on how many rows there are.
static vks_matmul_tuning choose_tuning(const vks_kernel_traits *traits, const vks_matmul *op, bool dot) {
    vks_matmul_tuning tuning = op->tuning;
    uint32_t n_load = vks_div_up(op->x.shape[1], 8), least = traits->subgroup_size < 32 ? 32 : traits->subgroup_size;
    uint32_t n_row = op->most_rows ? op->most_rows : op->x.shape[0];
    bool few = op->w.shape[0] < FEW_OUTPUTS;
    if (!tuning.wg_size) {
        uint32_t wanted = few && !traits->cpu ? (n_load > 256 ? 128 : n_load) : n_load < 256 ? 32 : 64;
        tuning.wg_size = least;
        while (tuning.wg_size < wanted)
            tuning.wg_size *= 2;
    }
    if (dot && !traits->cpu && n_row <= 2) { // 16 weights a load: fewer turns
        if (!tuning.n_output) tuning.n_output = few ? 4 : 12;
        if (!tuning.n_unroll) tuning.n_unroll = 1;
    }
    bool small = traits->cpu; // there it only stands in, and large kernels take seconds to compile
    if (!tuning.n_output) tuning.n_output = few || small || n_load < 256 || n_row > 2 ? 2 : 8;
    if (!tuning.n_unroll) {
        tuning.n_unroll = !small && (few || n_load < 256) ? vks_div_up(n_load, tuning.wg_size) : 1;
        uint32_t most = n_row > 2 ? MOST_UNROLL_ROWS : MOST_UNROLL; // rows take registers too
        if (tuning.n_unroll > most) tuning.n_unroll = most;
    }
    return tuning;
}

static struct vks_matmul_params push_of(const vks_matmul *op) {
    return (struct vks_matmul_params){
        .x = op->x.address,
        .w = op->w.address,
        .bias = op->bias.address,
        .y = op->y.address,
        .n_row = op->x.shape[0],
        .n_out = op->w.shape[0],
        .n_in = op->x.shape[1],
        .x_stride = (uint32_t)op->x.stride[0],
        .w_stride = (uint32_t)op->w.stride[0],
        .y_stride = (uint32_t)op->y.stride[0],
        .norm = op->norm.address,
        .conv_weight = op->conv.w.address,
        .conv_bias = op->conv.bias.address,
        .conv_state = op->conv.state.address,
        .slots = op->conv.slots.address,
        .conv_first = op->conv.first,
        .n_conv = op->conv.w.shape[1],
        .conv_state_stride = (uint32_t)op->conv.state.stride[0],
        .norm_eps = op->norm_eps,
    };
}

// Room for the parts of a split product, [n_split, M, N]; rows padded, so that matrices are stored directly.
static vks_tensor parts_of(const vks_matmul *op, uint32_t n_split) {
    uint32_t n_row = op->x.shape[0], n_out = op->w.shape[0];
    uint64_t stride = vks_align_up(n_out, 8);
    return (vks_tensor){.address = op->scratch.address,
                        .dtype = VKSSM_DTYPE_F32,
                        .n_dim = 3,
                        .shape = {n_split, n_row, n_out},
                        .stride = {n_row * stride, stride, 1}};
}

uint64_t vks_matmul_scratch_size(const vks_kernels *kernels, const vks_matmul *op) {
    vks_kernel_traits traits = vks_kernel_traits_of(kernels);
    uint32_t shader = choose(kernels, false, op);
    if (shader != VKS_SHADER_matmul_coop && shader != VKS_SHADER_matmul_coop_bf16 &&
        shader != VKS_SHADER_matmul_coop_blocks)
        return 0;
    uint32_t n_split = plan_coop(&traits, op, true).n_split;
    return n_split == 1 ? 0 : (uint64_t)n_split * op->x.shape[0] * vks_align_up(op->w.shape[0], 8);
}

static vkssm_status record_coop(const vks_op_target *target, const vks_matmul *op, uint32_t shader) {
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    coop_plan plan = plan_coop(&traits, op, op->scratch.address != 0);
    const coop_tile *tile = plan.tile;
    bool split = plan.n_split > 1;
    vks_tensor parts = parts_of(op, plan.n_split), y = split ? parts : op->y;
    uint32_t pieces = vks_div_up(op->x.shape[1], COOP_DEPTH);
    uint64_t y_stride = y.stride[y.n_dim - 2];
    bool direct = (y.dtype == op->x.dtype || y.dtype == VKSSM_DTYPE_F32) && y.address % 16 == 0 && y_stride % 8 == 0;
    const uint32_t constants[] = {tile->subgroups_m * tile->subgroups_n * traits.subgroup_size,
                                  y.dtype,
                                  !split && op->bias.address != 0,
                                  !split && op->accumulate,
                                  tile->rows,
                                  tile->outputs,
                                  tile->subgroups_m,
                                  tile->subgroups_n,
                                  COOP_DEPTH,
                                  op->x.shape[1] % COOP_DEPTH == 0,
                                  direct,
                                  op->w.dtype};
    struct vks_matmul_params push = push_of(op);
    push.y = y.address;
    push.y_stride = (uint32_t)y_stride;
    push.k_split = COOP_DEPTH * vks_div_up(pieces, plan.n_split);
    vks_kernel_call call = {
        .shader = shader,
        .constants = constants,
        .n_constant = VKS_COUNT(constants),
        .full_subgroups = true,
        .push = &push,
        .push_size = sizeof push,
        .n_group = {vks_div_up(op->w.shape[0], tile->outputs), vks_div_up(op->x.shape[0], tile->rows), plan.n_split},
        .accesses = (vks_access[]){vks_reads(&op->x), vks_writes(&y)},
        .n_access = 2,
    };
    vks_op_begin(target, "matmul");
    vkssm_status status = vks_kernel_dispatch(target, &call);
    vks_op_end(target);
    if (status != VKSSM_OK || !split) return status;
    return vks_op_sum_parts(
        target, &(vks_sum_parts){.parts = parts, .bias = op->bias, .y = op->y, .accumulate = op->accumulate});
}

vkssm_status vks_op_matmul(const vks_op_target *target, const vks_matmul *op) {
    VKS_TRY(check(target, op));
    uint32_t n_row = op->x.shape[0], n_out = op->w.shape[0];
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    uint32_t constants[12] = {0, op->x.dtype, op->w.dtype, op->y.dtype, op->bias.address != 0, op->accumulate};
    vks_kernel_call call = {
        .shader = choose(target->kernels, target->coded_inputs, op), .constants = constants, .n_constant = 6};

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
    case VKS_SHADER_matmul_coop_blocks:
    case VKS_SHADER_matmul_coop_bf16:
        return record_coop(target, op, call.shader);
    case VKS_SHADER_matmul_vector:
    case VKS_SHADER_matmul_vector_sg:
    case VKS_SHADER_matmul_vector_dot: {
        call.full_subgroups = call.shader != VKS_SHADER_matmul_vector;
        vks_matmul_tuning tuning = choose_tuning(&traits, op, call.shader == VKS_SHADER_matmul_vector_dot);
        constants[0] = tuning.wg_size;
        constants[6] = n_row < FEW_ROWS ? n_row : FEW_ROWS;
        constants[7] = tuning.n_output;
        constants[8] = tuning.n_unroll;
        constants[9] = op->norm.address != 0;
        constants[10] = op->conv.w.address ? op->conv.w.shape[0] : 0;
        constants[11] = op->x.shape[1] % 8 == 0;
        call.n_constant = 12;
        call.n_group[0] = vks_div_up(n_out, tuning.n_output);
        call.n_group[1] = vks_div_up(n_row, constants[6]);
        break;
    }
    case VKS_SHADER_matmul_direct:
    case VKS_SHADER_matmul_direct_1:
    case VKS_SHADER_matmul_direct_blocks:
    case VKS_SHADER_matmul_direct_1_blocks: {
        bool rows = call.shader == VKS_SHADER_matmul_direct || call.shader == VKS_SHADER_matmul_direct_blocks;
        constants[0] = 16;
        call.n_group[0] = vks_div_up(n_out, 8 * constants[0]);
        call.n_group[1] = vks_div_up(n_row, rows ? 8 : 1);
        break;
    }
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
    struct vks_matmul_params push = push_of(op);
    call.push = &push;
    call.push_size = sizeof push;
    call.accesses =
        (vks_access[]){vks_reads(&op->x), vks_writes(&op->y), vks_reads(&op->conv.slots), vks_writes(&op->conv.state)};
    call.n_access = 4;
    vks_op_begin(target, "matmul");
    vkssm_status status = vks_kernel_dispatch(target, &call);
    vks_op_end(target);
    return status;
}

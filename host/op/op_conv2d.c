#include "kernel.h"
#include "ops.h"

#include "shaders/params/conv2d.h"

enum {
    COOP_TILES = 96,  // so many tiles fill a large device
    MAX_GRID = 32768, // rows of workgroups along one dimension of the grid
    MAX_KERNEL = 255,
};

// Tiles of conv2d_coop, the fastest first where there is enough to do (shaders/MEASURED.md): sides, and subgroups along
// them. The smallest one, of which there are too few in any case, takes many channels at once: there each piece waits
// for memory.
typedef struct coop_tile {
    uint32_t rows, outputs, subgroups_m, subgroups_n, depth; // depth: channels of a tap that pass at once, at most
} coop_tile;
static const coop_tile coop_tiles[] = {{128, 128, 2, 4, 64}, {64, 64, 2, 2, 64}, {32, 64, 2, 2, 128}};

// The tile of conv2d_patch, the fastest of some thirty: rows of a patch of PATCH_WIDTH pixels, outputs, subgroups along
// them, channels that pass at once, buffers for weights. With fewer workgroups their last turn is too empty.
enum { PATCH_WIDTH = 16, PATCH_GROUPS = 900 };
typedef struct patch_tile {
    uint32_t rows, outputs, subgroups_m, subgroups_n, depth, n_buffer;
} patch_tile;
static const patch_tile only_patch = {16, 64, 4, 1, 16, 2};

static uint32_t n_padded(uint32_t n_channel) { // C'
    return (uint32_t)vks_align_up(n_channel, 8);
}

// Images lie one behind the other, rows and pixels too: pixel i of all starts at i times the pixels' stride.
static vkssm_status check_images(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                                 const uint32_t *shape, uint32_t multiple) {
    VKS_TRY(vks_check_shape(target, name, tensor, 4, shape));
    VKS_TRY(vks_check_float(target, name, tensor));
    VKS_TRY(vks_check_stride(target, name, tensor, 2, multiple));
    uint64_t row = shape[2] * tensor->stride[2], image = shape[1] * row;
    if ((shape[1] > 1 && tensor->stride[1] != row) || (shape[0] > 1 && tensor->stride[0] != image))
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: no gaps between rows and images expected, some found", name);
    if (shape[0] * image > UINT32_MAX)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "%s: below 2^32 elements expected, %llu found", name,
                           (unsigned long long)(shape[0] * image));
    return VKSSM_OK;
}

static vkssm_status check_kernel(const vks_op_target *target, const vks_conv2d *op) {
    if (op->kernel_height % 2 == 0 || op->kernel_width % 2 == 0 || op->kernel_height > MAX_KERNEL ||
        op->kernel_width > MAX_KERNEL)
        return vks_op_fail(target, VKSSM_ERR_ARG, "conv2d: w: an odd kernel of at most %d x %d expected, %u x %u found",
                           MAX_KERNEL, MAX_KERNEL, op->kernel_height, op->kernel_width);
    if (op->stride != 1 && op->stride != 2)
        return vks_op_fail(target, VKSSM_ERR_ARG, "conv2d: a stride of 1 or 2 expected, %u found", op->stride);
    return VKSSM_OK;
}

static vkssm_status check_weights(const vks_op_target *target, const vks_conv2d *op) {
    uint32_t n_out = op->w.shape[0], n_in = op->kernel_height * op->kernel_width * n_padded(op->x.shape[3]);
    VKS_TRY(vks_check_shape(target, "conv2d: w", &op->w, VKS_SHAPE(n_out, n_in)));
    VKS_TRY(vks_check_float(target, "conv2d: w", &op->w));
    VKS_TRY(vks_check_stride(target, "conv2d: w", &op->w, 0, 8));
    VKS_TRY(vks_check_alignment(target, "conv2d: w", &op->w, 16));
    if (n_out * op->w.stride[0] > UINT32_MAX)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "conv2d: w: below 2^32 elements expected, %llu found",
                           (unsigned long long)(n_out * op->w.stride[0]));
    if (op->choice.address) {
        VKS_TRY(vks_check_shape(target, "conv2d: choice", &op->choice, VKS_SHAPE(op->x.shape[0])));
        VKS_TRY(vks_check_dtype(target, "conv2d: choice", &op->choice, VKSSM_DTYPE_F32));
        VKS_TRY(vks_check_shape(target, "conv2d: bias", &op->bias, VKS_SHAPE(op->bias.shape[0], n_out)));
        VKS_TRY(vks_check_dense(target, "conv2d: bias", &op->bias, 0));
    } else if (op->bias.address)
        VKS_TRY(vks_check_shape(target, "conv2d: bias", &op->bias, VKS_SHAPE(n_out)));
    return op->bias.address ? vks_check_dtype(target, "conv2d: bias", &op->bias, VKSSM_DTYPE_F32) : VKSSM_OK;
}

static vkssm_status check(const vks_op_target *target, const vks_conv2d *op) {
    const uint32_t *x = op->x.shape;
    VKS_TRY(check_kernel(target, op));
    VKS_TRY(check_images(target, "conv2d: x", &op->x, x, 8));
    VKS_TRY(vks_check_alignment(target, "conv2d: x", &op->x, 16));
    VKS_TRY(check_weights(target, op));
    const uint32_t y[] = {x[0], vks_div_up(x[1], op->stride), vks_div_up(x[2], op->stride), op->w.shape[0]};
    VKS_TRY(check_images(target, "conv2d: y", &op->y, y, op->y.dtype == VKSSM_DTYPE_F32 ? 1 : 2));
    if (!op->added.address) return VKSSM_OK;
    return check_images(target, "conv2d: added", &op->added, y, 1);
}

static uint32_t coop_depth(const vks_conv2d *op, const coop_tile *tile) {
    uint32_t depth = tile->depth;
    while (depth > 32 && op->x.shape[3] % depth)
        depth /= 2;
    return depth;
}

// Whether cooperative matrices can do it: operands of one 16-bit type, whole vectors.
static bool suits_matrices(const vks_kernel_traits *traits, const vks_conv2d *op) {
    return op->x.dtype == op->w.dtype && op->x.dtype != VKSSM_DTYPE_F32 && op->x.shape[3] % 8 == 0 &&
           traits->fixed_subgroup;
}

// The tile for a convolution: the first one that the device has room for and that gives it enough workgroups, or the
// last one that it has room for. NULL: cooperative matrices cannot do it.
static const coop_tile *choose_tile(const vks_kernel_traits *traits, const vks_conv2d *op, uint32_t n_row) {
    const coop_tile *found = NULL;
    if (!suits_matrices(traits, op)) return NULL;
    for (size_t i = 0; i < VKS_COUNT(coop_tiles); i++) {
        const coop_tile *tile = &coop_tiles[i];
        uint32_t depth = coop_depth(op, tile), wg_size = tile->subgroups_m * tile->subgroups_n * traits->subgroup_size;
        if (2 * (tile->rows + tile->outputs) * (depth + 8) > traits->max_shared_size ||
            wg_size > traits->max_workgroup_invocations || tile->rows * depth / 8 % wg_size ||
            tile->outputs * depth / 8 % wg_size || tile->rows * (depth / 8 + 1) < wg_size / traits->subgroup_size * 64)
            continue;
        found = tile;
        if ((uint64_t)vks_div_up(n_row, tile->rows) * vks_div_up(op->w.shape[0], tile->outputs) >= COOP_TILES) break;
    }
    return found;
}

static uint64_t n_patch(const vks_conv2d *op, const patch_tile *tile) {
    const uint32_t *x = op->x.shape;
    return (uint64_t)x[0] * vks_div_up(x[1], tile->rows) * vks_div_up(x[2], PATCH_WIDTH);
}

// The same by patches. `worth`: there are enough of them, and their parts beyond the images' edges are small.
static const patch_tile *choose_patch(const vks_kernel_traits *traits, const vks_conv2d *op, bool *worth) {
    *worth = false;
    if (!suits_matrices(traits, op) || op->stride != 1) return NULL;
    const patch_tile *tile = &only_patch;
    const uint32_t *x = op->x.shape;
    uint32_t n_subgroup = tile->subgroups_m * tile->subgroups_n, wg_size = n_subgroup * traits->subgroup_size;
    uint32_t pixels = (tile->rows + op->kernel_height - 1) * (PATCH_WIDTH + op->kernel_width - 1);
    if (2 * (pixels + tile->n_buffer * tile->outputs) * (tile->depth + 8) > traits->max_shared_size ||
        wg_size > traits->max_workgroup_invocations || tile->outputs * tile->depth / 8 % wg_size)
        return NULL;
    uint64_t n = n_patch(op, tile), area = (uint64_t)tile->rows * PATCH_WIDTH;
    *worth = n * vks_div_up(op->w.shape[0], tile->outputs) >= PATCH_GROUPS &&
             n * area * 7 <= (uint64_t)x[0] * x[1] * x[2] * 8;
    return tile;
}

// Every algorithm here can do the shape, so a test may force any. The selector's choices stand first, best first.
static uint32_t choose(const vks_op_target *target, const vks_conv2d *op, uint32_t n_row, const coop_tile *coop,
                       const patch_tile *patch, bool patch_first) {
    static const uint32_t cpu[] = {VKS_SHADER_conv2d_lanes, VKS_SHADER_conv2d_direct};
    static const uint32_t few[] = {VKS_SHADER_conv2d, VKS_SHADER_conv2d};
    static const uint32_t many[] = {VKS_SHADER_conv2d_8, VKS_SHADER_conv2d};
    bool bf16 = op->x.dtype == VKSSM_DTYPE_BF16;
    uint32_t by_coop = bf16 ? VKS_SHADER_conv2d_coop_bf16 : VKS_SHADER_conv2d_coop;
    uint32_t by_patch = bf16 ? VKS_SHADER_conv2d_patch_bf16 : VKS_SHADER_conv2d_patch;
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    // Large tiles only when there are enough of them to fill a device, and registers for them.
    bool large = !traits.few_registers && (uint64_t)n_row * op->w.shape[0] >= 128u * 128u * 64u;
    const uint32_t *best = traits.cpu ? cpu : large ? many : few;
    bool coop_first = coop && !traits.cpu;
    const uint32_t candidates[] = {!coop_first   ? best[0]
                                   : patch_first ? by_patch
                                                 : by_coop,
                                   coop_first ? by_coop : best[0],
                                   best[0],
                                   best[1],
                                   VKS_SHADER_conv2d_8,
                                   VKS_SHADER_conv2d_lanes,
                                   VKS_SHADER_conv2d_direct,
                                   VKS_SHADER_conv2d,
                                   coop ? by_coop : VKS_SHADER_conv2d,
                                   patch ? by_patch : VKS_SHADER_conv2d,
                                   VKS_SHADER_conv2d};
    return vks_kernel_choose(target->kernels, candidates, VKS_COUNT(candidates));
}

// Zeros before the first pixel: half of those that the windows need beyond the image, rounded down.
static uint32_t zeros_before(uint32_t n_in, uint32_t n_out, uint32_t kernel, uint32_t stride) {
    uint32_t seen = (n_out - 1) * stride + kernel;
    return seen > n_in ? (seen - n_in) / 2 : 0;
}

vkssm_status vks_op_conv2d(const vks_op_target *target, const vks_conv2d *op) {
    VKS_TRY(check(target, op));
    const uint32_t *x = op->x.shape, *y = op->y.shape;
    uint32_t n_row = y[0] * y[1] * y[2], n_out = y[3]; // below 2^32: checked with the channels
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    const coop_tile *tile = choose_tile(&traits, op, n_row);
    bool patch_first = false;
    const patch_tile *patch = tile ? choose_patch(&traits, op, &patch_first) : NULL;
    uint32_t shader = choose(target, op, n_row, tile, patch, patch_first), wg_size = 16, rows = 8, columns = 128;
    bool full_subgroups = true, by_coop = false, by_patch = false;
    switch (shader) {
    case VKS_SHADER_conv2d_coop:
    case VKS_SHADER_conv2d_coop_bf16:
        by_coop = true;
        wg_size = tile->subgroups_m * tile->subgroups_n * traits.subgroup_size;
        rows = tile->rows;
        columns = tile->outputs;
        break;
    case VKS_SHADER_conv2d_patch:
    case VKS_SHADER_conv2d_patch_bf16:
        by_patch = true;
        wg_size = patch->subgroups_m * patch->subgroups_n * traits.subgroup_size;
        columns = patch->outputs;
        break;
    case VKS_SHADER_conv2d_lanes:
        wg_size = traits.subgroup_size;
        columns = 4 * traits.subgroup_size;
        break;
    case VKS_SHADER_conv2d_direct:
        full_subgroups = false;
        break;
    default:
        full_subgroups = false;
        rows = columns = shader == VKS_SHADER_conv2d_8 ? 128 : 64;
    }
    uint32_t n_group = by_patch ? (uint32_t)n_patch(op, patch) : vks_div_up(n_row, rows),
             depth = vks_div_up(n_group, MAX_GRID);
    struct vks_conv2d_params push = {
        .x = op->x.address,
        .w = op->w.address,
        .bias = op->bias.address,
        .choice = op->choice.address,
        .added = op->added.address,
        .y = op->y.address,
        .n_row = n_row,
        .n_out = n_out,
        .n_channel = x[3],
        .x_stride = (uint32_t)op->x.stride[2],
        .w_stride = (uint32_t)op->w.stride[0],
        .added_stride = (uint32_t)op->added.stride[2],
        .y_stride = (uint32_t)op->y.stride[2],
        .in_height = x[1],
        .in_width = x[2],
        .out_height = y[1],
        .out_width = y[2],
        .kernel_height = op->kernel_height,
        .kernel_width = op->kernel_width,
        .pixel_step = op->stride,
        .pad_top = zeros_before(x[1], y[1], op->kernel_height, op->stride),
        .pad_left = zeros_before(x[2], y[2], op->kernel_width, op->stride),
        .n_choice = op->choice.address ? op->bias.shape[0] : 1,
    };
    uint32_t bias = op->choice.address ? 2 : op->bias.address ? 1 : 0;
    uint32_t constants[17] = {
        wg_size,         op->x.dtype,       op->w.dtype,    op->y.dtype,         bias, op->added.address != 0,
        op->added.dtype, (uint32_t)op->act, op->accumulate, traits.subgroup_size};
    uint32_t n_constant = 10;
    if (by_coop || by_patch) {
        bool bare = !bias && !op->added.address && op->act == VKS_ACT_NONE && !op->accumulate;
        bool as_is = op->y.dtype == op->x.dtype || op->y.dtype == VKSSM_DTYPE_F32;
        constants[1] = by_coop ? tile->rows : patch->rows;
        constants[2] = columns;
        constants[9] = by_coop ? tile->subgroups_m : patch->subgroups_m;
        constants[10] = by_coop ? tile->subgroups_n : patch->subgroups_n;
        constants[11] = by_coop ? coop_depth(op, tile) : patch->depth;
        constants[12] = x[3] % constants[11] == 0;
        constants[13] = bare && as_is && op->y.stride[2] % 8 == 0 && op->y.address % 16 == 0;
        n_constant = 14;
    }
    if (by_patch) {
        constants[14] = op->kernel_height;
        constants[15] = op->kernel_width;
        constants[16] = patch->n_buffer;
        n_constant = 17;
    }
    vks_op_begin(target, "conv2d");
    vkssm_status status = vks_kernel_dispatch(
        target, &(vks_kernel_call){
                    .shader = shader,
                    .constants = constants,
                    .n_constant = n_constant,
                    .full_subgroups = full_subgroups,
                    .push = &push,
                    .push_size = sizeof push,
                    .n_group = {vks_div_up(n_out, columns), vks_div_up(n_group, depth), depth},
                    .accesses = (vks_access[]){vks_reads(&op->x), vks_reads(&op->w), vks_reads(&op->choice),
                                               vks_reads(&op->added), vks_writes(&op->y)},
                    .n_access = 5,
                });
    vks_op_end(target);
    return status;
}

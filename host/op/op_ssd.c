#include "kernel.h"
#include "ops.h"

#include "shaders/params/ssd.h"
#include "shaders/params/ssd_step.h"

enum { DEFAULT_CHUNK = 64 };

typedef struct sizes {
    uint32_t n_sequence, n_time; // packed: the sequences, and the rows of all of them
    uint32_t n_head, n_group, n_width, n_state, chunk;
    bool packed;
} sizes;

// Parts of so many tokens, numbered over all sequences as include/ssd.glsl does; packed, some numbers are nobody's.
static uint32_t n_part(const sizes *s, uint32_t length) {
    return s->packed ? s->n_time / length + s->n_sequence : s->n_sequence * vks_div_up(s->n_time, length);
}

static sizes sizes_of(const vks_ssd *op) {
    sizes s = {
        .n_sequence = op->offsets.address ? op->offsets.shape[0] - 1 : op->x.shape[0],
        .n_time = op->x.shape[1],
        .n_head = op->x.shape[2],
        .n_group = op->b.shape[2],
        .n_width = op->x.shape[3],
        .n_state = op->b.shape[3],
        .chunk = op->chunk ? op->chunk : DEFAULT_CHUNK,
        .packed = op->offsets.address != 0,
    };
    return s;
}

// Floats of the intermediate results, in this order in scratch; each starts on 256 bytes.
typedef struct scratch_layout {
    uint64_t decays, products, chunk_states, total;
} scratch_layout;

static scratch_layout layout_of(const sizes *s, uint64_t n_decay, uint32_t n_state) {
    scratch_layout layout = {0};
    layout.products = vks_align_up(n_decay, 64);
    layout.chunk_states =
        layout.products + vks_align_up((uint64_t)n_part(s, s->chunk) * s->n_group * s->chunk * s->chunk, 64);
    layout.total = layout.chunk_states + (uint64_t)n_state * s->n_head * s->n_width * s->n_state;
    return layout;
}

static vkssm_status check_offsets(const vks_op_target *target, const vks_ssd *op) {
    if (!op->offsets.address) return VKSSM_OK;
    if (op->offsets.n_dim != 1 || op->offsets.shape[0] < 2)
        return vks_op_fail(target, VKSSM_ERR_ARG, "ssd: offsets of at least one sequence expected, none found");
    VKS_TRY(vks_check_shape(target, "ssd: offsets", &op->offsets, VKS_SHAPE(op->offsets.shape[0])));
    VKS_TRY(vks_check_dtype(target, "ssd: offsets", &op->offsets, VKSSM_DTYPE_I32));
    if (op->x.shape[0] == 1) return VKSSM_OK;
    return vks_op_fail(target, VKSSM_ERR_ARG, "ssd: packed sequences in one row of tokens expected, %u rows found",
                       op->x.shape[0]);
}

static vkssm_status check(const vks_op_target *target, const vks_ssd *op, const sizes *s) {
    const vks_tensor *x = &op->x;
    const uint32_t n_batch = x->shape[0];
    VKS_TRY(check_offsets(target, op));
    VKS_TRY(vks_check_shape(target, "ssd: x", x, VKS_SHAPE(n_batch, s->n_time, s->n_head, s->n_width)));
    VKS_TRY(vks_check_float(target, "ssd: x", x));
    VKS_TRY(vks_check_shape(target, "ssd: b", &op->b, VKS_SHAPE(n_batch, s->n_time, s->n_group, s->n_state)));
    VKS_TRY(vks_check_shape(target, "ssd: c", &op->c, VKS_SHAPE(n_batch, s->n_time, s->n_group, s->n_state)));
    VKS_TRY(vks_check_shape(target, "ssd: dt", &op->dt, VKS_SHAPE(n_batch, s->n_time, s->n_head)));
    VKS_TRY(vks_check_dtype(target, "ssd: b", &op->b, x->dtype));
    VKS_TRY(vks_check_dtype(target, "ssd: c", &op->c, x->dtype));
    VKS_TRY(vks_check_dtype(target, "ssd: dt", &op->dt, x->dtype));
    VKS_TRY(vks_check_shape(target, "ssd: heads", &op->heads, VKS_SHAPE(3, s->n_head)));
    VKS_TRY(vks_check_dtype(target, "ssd: heads", &op->heads, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_dense(target, "ssd: heads", &op->heads, 0));
    VKS_TRY(vks_check_shape(target, "ssd: state", &op->state,
                            VKS_SHAPE(op->state.shape[0], s->n_head, s->n_width, s->n_state)));
    VKS_TRY(vks_check_dtype(target, "ssd: state", &op->state, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_stride(target, "ssd: state", &op->state, 0, 1));
    VKS_TRY(vks_check_dense(target, "ssd: state", &op->state, 1));
    VKS_TRY(vks_check_shape(target, "ssd: y", &op->y, VKS_SHAPE(n_batch, s->n_time, s->n_head, s->n_width)));
    VKS_TRY(vks_check_float(target, "ssd: y", &op->y));
    if (op->gate.address) {
        VKS_TRY(vks_check_shape(target, "ssd: gate", &op->gate, VKS_SHAPE(s->n_sequence, 1, s->n_head, s->n_width)));
        VKS_TRY(vks_check_dtype(target, "ssd: gate", &op->gate, x->dtype));
        VKS_TRY(vks_check_stride(target, "ssd: gate", &op->gate, 0, 1));
        if (s->n_time != 1 || s->packed)
            return vks_op_fail(target, VKSSM_ERR_ARG, "ssd: a gate for one token expected, %u tokens found", s->n_time);
    }
    VKS_TRY(vks_check_stride(target, "ssd: x", x, 1, 1));
    VKS_TRY(vks_check_stride(target, "ssd: dt", &op->dt, 1, 1));
    VKS_TRY(vks_check_stride(target, "ssd: y", &op->y, 1, op->y.dtype == VKSSM_DTYPE_F32 ? 1 : 2));
    if (op->slots.address) {
        VKS_TRY(vks_check_shape(target, "ssd: slots", &op->slots, VKS_SHAPE(s->n_sequence)));
        VKS_TRY(vks_check_dtype(target, "ssd: slots", &op->slots, VKSSM_DTYPE_I32));
    }
    if (s->n_head % s->n_group != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG, "ssd: a number of groups that divides %u heads expected, %u found",
                           s->n_head, s->n_group);
    if (op->y.dtype != VKSSM_DTYPE_F32 && s->n_width % 2 != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG, "ssd: an even head width expected for %s, %u found",
                           vkssm_dtype_name(op->y.dtype), s->n_width);
    bool dense = x->stride[2] == s->n_width && op->y.stride[2] == s->n_width && op->b.stride[2] == s->n_state &&
                 op->c.stride[2] == s->n_state;
    bool same_rows = op->b.stride[1] == x->stride[1] && op->c.stride[1] == x->stride[1];
    bool packed = n_batch == 1 || (x->stride[0] == s->n_time * x->stride[1] && op->b.stride[0] == x->stride[0] &&
                                   op->c.stride[0] == x->stride[0] && op->y.stride[0] == s->n_time * op->y.stride[1] &&
                                   op->dt.stride[0] == s->n_time * op->dt.stride[1]);
    if (!dense || !same_rows || !packed)
        return vks_op_fail(
            target, VKSSM_ERR_ARG,
            "ssd: dense heads and groups, equal token strides of x, b, c, and sequences T tokens apart expected");
    return VKSSM_OK;
}

// Whether the step may load 4 n at once: they must lie on the boundaries that the shader's vectors have.
static bool fits_vectors(const vks_ssd *op, const sizes *s) {
    uint64_t boundary = 4 * vkssm_dtype_size(op->b.dtype);
    return s->n_state % 4 == 0 && op->b.address % boundary == 0 && op->c.address % boundary == 0 &&
           op->b.stride[0] % 4 == 0 && op->state.address % 16 == 0 && op->state.stride[0] % 4 == 0;
}

static vkssm_status step(const vks_op_target *target, const vks_ssd *op, const sizes *s) {
    uint32_t shader = vks_kernel_choose(target->kernels, (uint32_t[]){VKS_SHADER_ssd_step_sg, VKS_SHADER_ssd_step}, 2);
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    if (traits.cpu) // a lane per bundle of rows and no exchange between lanes, unless a test forces the other one
        shader = vks_kernel_choose(target->kernels,
                                   (uint32_t[]){VKS_SHADER_ssd_step, VKS_SHADER_ssd_step_sg, VKS_SHADER_ssd_step}, 3);
    bool subgroup = shader == VKS_SHADER_ssd_step_sg;
    const uint32_t rows = 4;
    uint32_t wg_size = traits.cpu && !subgroup ? 16 : 128, lanes = traits.cpu ? 1 : 16;
    bool vector = (subgroup || !traits.cpu) && fits_vectors(op, s);
    // A subgroup may be as small as the device allows: then more workgroups than needed start, and return at once.
    uint32_t per_group = wg_size / (subgroup ? traits.subgroup_size : lanes) * rows;
    struct vks_ssd_step_params push = {
        .x = op->x.address,
        .b = op->b.address,
        .c = op->c.address,
        .dt = op->dt.address,
        .heads = op->heads.address,
        .state = op->state.address,
        .slots = op->slots.address,
        .y = op->y.address,
        .gate = op->gate.address,
        .gate_stride = (uint32_t)op->gate.stride[0],
        .n_head = s->n_head,
        .n_group = s->n_group,
        .n_width = s->n_width,
        .n_state = s->n_state,
        .x_stride = (uint32_t)op->x.stride[0],
        .dt_stride = (uint32_t)op->dt.stride[0],
        .y_stride = (uint32_t)op->y.stride[0],
        .state_stride = (uint32_t)op->state.stride[0],
        .dt_min = op->dt_min,
        .dt_max = op->dt_max,
    };
    return vks_kernel_dispatch(
        target,
        &(vks_kernel_call){
            .shader = shader,
            .constants = (uint32_t[]){wg_size, op->x.dtype, op->y.dtype, lanes, rows, vector, op->gate.address != 0},
            .n_constant = 7,
            .full_subgroups = subgroup,
            .push = &push,
            .push_size = sizeof push,
            .n_group = {vks_div_up(s->n_width, per_group), s->n_head, s->n_sequence},
            .accesses =
                (vks_access[]){vks_reads(&op->x), vks_reads(&op->b), vks_reads(&op->c), vks_reads(&op->dt),
                               vks_reads(&op->slots), vks_reads(&op->gate), vks_writes(&op->state), vks_writes(&op->y)},
            .n_access = 8,
        });
}

// The two heavy passes have a form for CPUs, whose lanes share their loads. Both forms cut a pass into tiles of rows x
// columns.
typedef struct pass_forms {
    uint32_t plain, lanes;
    uint32_t lanes_rows, lanes_columns; // tile of the lanes' form; columns in units of the subgroup
} pass_forms;

static const pass_forms state_forms = {VKS_SHADER_ssd_state, VKS_SHADER_ssd_state_lanes, 16, 8};
static const pass_forms output_forms = {VKS_SHADER_ssd_output, VKS_SHADER_ssd_output_lanes, 16, 4};

// How one pass is dispatched.
typedef struct pass_form {
    uint32_t shader, wg_size, n_group[3];
    bool has_lanes; // full subgroups, whose size the shader is told
} pass_form;

static pass_form choose_form(const vks_op_target *target, const pass_forms *forms, const sizes *s, uint32_t wg_size) {
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    const uint32_t candidates[] = {traits.cpu ? forms->lanes : forms->plain, forms->plain, forms->lanes, forms->plain};
    bool is_state = forms == &state_forms;
    uint32_t n_row = is_state ? s->n_width : s->chunk, n_column = is_state ? s->n_state : s->n_width;
    pass_form form = {
        .shader = vks_kernel_choose(target->kernels, candidates, VKS_COUNT(candidates)),
        .wg_size = wg_size,
        .n_group = {vks_div_up(vks_div_up(n_row, 8) * vks_div_up(n_column, 8), wg_size), n_part(s, s->chunk),
                    s->n_head},
    };
    if (form.shader == forms->plain) return form;
    form.has_lanes = true;
    form.wg_size = traits.subgroup_size;
    form.n_group[0] =
        vks_div_up(n_row, forms->lanes_rows) * vks_div_up(n_column, forms->lanes_columns * traits.subgroup_size);
    return form;
}

static struct vks_ssd_params push_of(const vks_ssd *op, const sizes *s, const scratch_layout *layout) {
    uint64_t scratch = op->scratch.address;
    return (struct vks_ssd_params){
        .x = op->x.address,
        .b = op->b.address,
        .c = op->c.address,
        .dt = op->dt.address,
        .heads = op->heads.address,
        .decays = scratch + 4 * layout->decays,
        .products = scratch + 4 * layout->products,
        .chunk_states = scratch + 4 * layout->chunk_states,
        .offsets = op->offsets.address,
        .state = op->state.address,
        .slots = op->slots.address,
        .y = op->y.address,
        .n_time = s->packed ? s->n_sequence : s->n_time,
        .x_stride = (uint32_t)op->x.stride[1],
        .dt_stride = (uint32_t)op->dt.stride[1],
        .y_stride = (uint32_t)op->y.stride[1],
        .state_stride = (uint32_t)op->state.stride[0],
        .dt_min = op->dt_min,
        .dt_max = op->dt_max,
    };
}

// The parts of the scratch, for reading or for writing.
static vks_access decays_of(const struct vks_ssd_params *push, const scratch_layout *layout, bool write) {
    return (vks_access){push->decays, 4 * (layout->products - layout->decays), write};
}
static vks_access products_of(const struct vks_ssd_params *push, const scratch_layout *layout, bool write) {
    return (vks_access){push->products, 4 * (layout->chunk_states - layout->products), write};
}
static vks_access states_of(const struct vks_ssd_params *push, const scratch_layout *layout, bool write) {
    return (vks_access){push->chunk_states, 4 * (layout->total - layout->chunk_states), write};
}

// ---- the chained form -----------------------------------------------------------------------------------------------

enum { CHAIN_CHUNK = 64, CHAIN_DECAY = 272, CHAIN_WORKGROUPS = 240 }; // DECAY_SIZE of include/ssd_chain.glsl

// How the subgroups of a workgroup share out y and the state, and in how many pieces N passes through shared memory.
typedef struct chain_grid {
    uint32_t n_subgroup, y_m, y_p, state_p, state_n, n_piece;
} chain_grid;

typedef struct chain {
    uint32_t shader; // VKS_SHADER_COUNT: another form has to do it
    chain_grid grid;
    uint32_t segment; // chunks of a segment
} chain;

// Bytes of shared memory, as include/ssd_tiles.glsl lays it out.
static uint32_t chain_shared_size(const sizes *s, vkssm_dtype y, const chain_grid *grid) {
    uint32_t row_n = 2 * (s->n_state / grid->n_piece + 8), row_p = 2 * (s->n_width + 8), row_w = 2 * (64 + 8);
    uint32_t tiles = grid->n_piece == 1 ? s->n_width / 16 / grid->y_p : 1;
    uint32_t stage = y == VKSSM_DTYPE_F32 ? 1024 : 512 * tiles;
    uint32_t state = s->n_width * row_n, weights = 64 * row_w + grid->n_subgroup * stage, decays = 260 + 64;
    return 64 * (row_n + row_p) + (state > weights ? state : weights) + decays * (uint32_t)sizeof(float);
}

// The first of these that the shape can be shared out by and that the device has room for.
static bool choose_grid(const vks_kernel_traits *traits, const sizes *s, vkssm_dtype y, chain_grid *out) {
    static const chain_grid grids[] = {
        {8, 4, 2, 2, 4, 1}, {8, 4, 2, 4, 2, 1}, {8, 4, 2, 1, 8, 1}, {4, 4, 1, 1, 4, 1}, {4, 4, 1, 2, 2, 1},
        {4, 4, 1, 4, 1, 1}, {8, 4, 2, 2, 4, 2}, {8, 4, 2, 4, 2, 2}, {4, 4, 1, 1, 4, 2}, {4, 4, 1, 2, 2, 2},
    };
    for (size_t i = 0; i < VKS_COUNT(grids); i++) {
        const chain_grid *grid = &grids[i];
        bool divides = s->n_width % (16 * grid->y_p) == 0 && s->n_width % (16 * grid->state_p) == 0 &&
                       s->n_state % (16 * grid->state_n * grid->n_piece) == 0;
        if (!divides || grid->n_subgroup * traits->subgroup_size > traits->max_workgroup_invocations ||
            chain_shared_size(s, y, grid) > traits->max_shared_size)
            continue;
        *out = *grid;
        return true;
    }
    return false;
}

// The state goes from chunk to chunk in registers. Sequences are cut into segments only as far as it takes to give a
// large device enough workgroups: each segment's own state is found first, and handed on.
static uint32_t chunks_of_segment(const sizes *s) {
    uint64_t heads = (uint64_t)n_part(s, CHAIN_CHUNK) * s->n_head;
    if (s->packed) return (uint32_t)((heads + CHAIN_WORKGROUPS - 1) / CHAIN_WORKGROUPS);
    uint32_t n_chunk = vks_div_up(s->n_time, CHAIN_CHUNK), most = vks_div_up(n_chunk, 2);
    uint32_t wanted = vks_div_up(CHAIN_WORKGROUPS, s->n_sequence * s->n_head);
    return vks_div_up(n_chunk, wanted < most ? wanted : most);
}

static bool fits_chain(const vks_kernel_traits *traits, const vks_ssd *op, const sizes *s) {
    bool whole = s->chunk == CHAIN_CHUNK && s->n_width % 16 == 0 && s->n_width <= 64 && s->n_state % 16 == 0 &&
                 s->n_state <= 256 && op->x.stride[1] % 8 == 0 && op->y.stride[1] % 8 == 0 &&
                 op->state.stride[0] % 4 == 0;
    uint64_t addresses = op->x.address | op->b.address | op->c.address | op->y.address | op->state.address;
    bool same_type = op->y.dtype == op->x.dtype || op->y.dtype == VKSSM_DTYPE_F32;
    return whole && same_type && addresses % 16 == 0 && traits->fixed_subgroup && traits->subgroup_size >= 8;
}

// A test that forces one of the other form's kernels gets them.
static chain choose_chain(const vks_kernels *kernels, const vks_ssd *op, const sizes *s) {
    vks_kernel_traits traits = vks_kernel_traits_of(kernels);
    chain found = {.shader = op->x.dtype == VKSSM_DTYPE_F16    ? VKS_SHADER_ssd_chain_coop
                             : op->x.dtype == VKSSM_DTYPE_BF16 ? VKS_SHADER_ssd_chain_coop_bf16
                                                               : VKS_SHADER_COUNT};
    chain none = {.shader = VKS_SHADER_COUNT};
    if (found.shader == VKS_SHADER_COUNT || !fits_chain(&traits, op, s) ||
        !choose_grid(&traits, s, op->y.dtype, &found.grid))
        return none;
    const uint32_t candidates[] = {found.shader, VKS_SHADER_ssd_state, VKS_SHADER_ssd_state_lanes,
                                   VKS_SHADER_ssd_output, VKS_SHADER_ssd_output_lanes};
    // Its other kernels may be avoided too.
    bool bf16 = found.shader == VKS_SHADER_ssd_chain_coop_bf16;
    const uint32_t parts[][2] = {
        {VKS_SHADER_ssd_decay_sg, VKS_SHADER_ssd_decay},
        {bf16 ? VKS_SHADER_ssd_product_coop_bf16 : VKS_SHADER_ssd_product_coop, VKS_SHADER_ssd_product},
        {bf16 ? VKS_SHADER_ssd_segment_coop_bf16 : VKS_SHADER_ssd_segment_coop, VKS_SHADER_ssd_state},
        {VKS_SHADER_ssd_carry, VKS_SHADER_ssd_pass},
    };
    if (vks_kernel_choose(kernels, candidates, VKS_COUNT(candidates)) != found.shader) return none;
    for (size_t i = 0; i < VKS_COUNT(parts); i++)
        if (vks_kernel_choose(kernels, parts[i], 2) != parts[i][0]) return none;
    found.segment = chunks_of_segment(s);
    return found;
}

// At least as many segments as the tokens may be cut into, and no more of them for fewer tokens or packed sequences:
// scratch that was measured for many has to do for few, whose segments may be shorter.
static uint32_t most_segments(const sizes *s) {
    uint32_t n_chunk = s->packed ? s->n_time / CHAIN_CHUNK : vks_div_up(vks_div_up(s->n_time, CHAIN_CHUNK), 2);
    uint32_t most = s->packed ? CHAIN_WORKGROUPS / s->n_head : vks_div_up(CHAIN_WORKGROUPS, s->n_sequence * s->n_head);
    if (n_chunk < most) most = n_chunk;
    return s->packed ? s->n_sequence + most : s->n_sequence * most;
}

static scratch_layout chain_layout(const sizes *s) {
    return layout_of(s, (uint64_t)n_part(s, CHAIN_CHUNK) * s->n_head * CHAIN_DECAY, most_segments(s));
}

static vkssm_status chained(const vks_op_target *target, const vks_ssd *op, const sizes *s, const chain *ch) {
    bool bf16 = ch->shader == VKS_SHADER_ssd_chain_coop_bf16;
    uint32_t n_chunk = n_part(s, CHAIN_CHUNK), n_segment = n_part(s, CHAIN_CHUNK * ch->segment);
    uint32_t subgroup = vks_kernel_traits_of(target->kernels).subgroup_size, wg = ch->grid.n_subgroup * subgroup;
    scratch_layout layout = chain_layout(s);
    struct vks_ssd_params push = push_of(op, s, &layout);
    push.segment = ch->segment;
    vks_access x = vks_reads(&op->x), b = vks_reads(&op->b), c = vks_reads(&op->c), dt = vks_reads(&op->dt);
    vks_access slots = vks_reads(&op->slots), offsets = vks_reads(&op->offsets);
    vks_access state = vks_writes(&op->state), state_r = vks_reads(&op->state);
    vks_access decays = decays_of(&push, &layout, false), decays_w = decays_of(&push, &layout, true);
    vks_access products = products_of(&push, &layout, false), products_w = products_of(&push, &layout, true);
    vks_access states = states_of(&push, &layout, false), states_w = states_of(&push, &layout, true);
    const struct {
        uint32_t shader, wg_size, n_group[3];
        bool only_segments; // for the hand-over between segments
        vks_access accesses[10];
    } passes[] = {
        {bf16 ? VKS_SHADER_ssd_product_coop_bf16 : VKS_SHADER_ssd_product_coop,
         4 * subgroup,
         {s->n_group, n_chunk, 1},
         false,
         {b, c, offsets, products_w}},
        {VKS_SHADER_ssd_decay_sg,
         wg,
         {vks_div_up(s->n_head, ch->grid.n_subgroup), n_chunk, 1},
         false,
         {dt, offsets, decays_w}},
        {bf16 ? VKS_SHADER_ssd_segment_coop_bf16 : VKS_SHADER_ssd_segment_coop,
         wg,
         {s->n_head, n_segment, 1},
         true,
         {x, b, offsets, decays_w, states_w}},
        {VKS_SHADER_ssd_carry,
         128,
         {vks_div_up(s->n_width * s->n_state, 128), s->n_head, s->n_sequence},
         true,
         {decays, slots, offsets, state_r, states_w}},
        {ch->shader,
         wg,
         {s->n_head, n_segment, 1},
         false,
         {x, b, c, slots, offsets, decays, products, states, state, vks_writes(&op->y)}},
    };
    for (size_t i = 0; i < VKS_COUNT(passes); i++) {
        if (passes[i].only_segments && n_segment == s->n_sequence) continue;
        bool tiled = passes[i].shader == ch->shader || i == 2, segment = i == 2;
        VKS_TRY(vks_kernel_dispatch(
            target, &(vks_kernel_call){
                        .shader = passes[i].shader,
                        .constants = (uint32_t[]){passes[i].wg_size, op->x.dtype, op->y.dtype, CHAIN_CHUNK, s->n_head,
                                                  s->n_group, s->n_width, s->n_state, tiled ? ch->grid.y_m : subgroup,
                                                  ch->grid.y_p, ch->grid.state_p, ch->grid.state_n,
                                                  segment ? 1 : ch->grid.n_piece},
                        .n_constant = tiled                                         ? 13
                                      : passes[i].shader == VKS_SHADER_ssd_decay_sg ? 9
                                                                                    : 8,
                        .full_subgroups = passes[i].shader != VKS_SHADER_ssd_carry,
                        .push = &push,
                        .push_size = sizeof push,
                        .n_group = {passes[i].n_group[0], passes[i].n_group[1], passes[i].n_group[2]},
                        .accesses = passes[i].accesses,
                        .n_access = 10, // those not set span no bytes
                    }));
    }
    return VKSSM_OK;
}

// ---- both forms -----------------------------------------------------------------------------------------------------

// With a state for each chunk.
static scratch_layout chunked_layout(const sizes *s) {
    uint32_t n_chunk = n_part(s, s->chunk);
    return layout_of(s, (uint64_t)n_chunk * 3 * s->n_head * s->chunk, n_chunk);
}

uint64_t vks_ssd_scratch_size(const vks_kernels *kernels, const vks_ssd *op) {
    sizes s = sizes_of(op);
    if (s.n_time <= 1 && !s.packed) return 0;
    chain ch = choose_chain(kernels, op, &s);
    return ch.shader == VKS_SHADER_COUNT ? chunked_layout(&s).total : chain_layout(&s).total;
}

static vkssm_status chunked(const vks_op_target *target, const vks_ssd *op, const sizes *s) {
    scratch_layout layout = chunked_layout(s);
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    struct vks_ssd_params push = push_of(op, s, &layout);
    vks_access decays = decays_of(&push, &layout, false), decays_w = decays_of(&push, &layout, true);
    vks_access products = products_of(&push, &layout, false), products_w = products_of(&push, &layout, true);
    vks_access states = states_of(&push, &layout, false), states_w = states_of(&push, &layout, true);
    vks_access x = vks_reads(&op->x), b = vks_reads(&op->b), c = vks_reads(&op->c), slots = vks_reads(&op->slots);
    vks_access offsets = vks_reads(&op->offsets);
    uint32_t q = s->chunk, n_chunk = n_part(s, q), wg = traits.cpu ? 16 : 64;
    const struct {
        pass_form form;
        vks_access accesses[7];
    } passes[] = {
        {{VKS_SHADER_ssd_decay, wg, {vks_div_up(s->n_head, wg), n_chunk, 1}, false},
         {vks_reads(&op->dt), offsets, decays_w}},
        {{VKS_SHADER_ssd_product, wg, {vks_div_up((q / 4) * (q / 4), wg), n_chunk, s->n_group}, false},
         {b, c, offsets, products_w}},
        {choose_form(target, &state_forms, s, wg), {x, b, offsets, decays, states_w}},
        {{VKS_SHADER_ssd_pass, wg, {vks_div_up(s->n_width * s->n_state, wg), s->n_head, s->n_sequence}, false},
         {decays, slots, offsets, states_w, vks_writes(&op->state)}},
        {choose_form(target, &output_forms, s, wg), {x, c, offsets, decays, products, states, vks_writes(&op->y)}},
    };
    for (size_t i = 0; i < VKS_COUNT(passes); i++) {
        const pass_form *form = &passes[i].form;
        VKS_TRY(vks_kernel_dispatch(
            target, &(vks_kernel_call){
                        .shader = form->shader,
                        .constants = (uint32_t[]){form->wg_size, op->x.dtype, op->y.dtype, q, s->n_head, s->n_group,
                                                  s->n_width, s->n_state, traits.subgroup_size},
                        .n_constant = form->has_lanes ? 9 : 8,
                        .full_subgroups = form->has_lanes,
                        .push = &push,
                        .push_size = sizeof push,
                        .n_group = {form->n_group[0], form->n_group[1], form->n_group[2]},
                        .accesses = passes[i].accesses,
                        .n_access = 7, // those not set span no bytes
                    }));
    }
    return VKSSM_OK;
}

static vkssm_status many_tokens(const vks_op_target *target, const vks_ssd *op, const sizes *s) {
    chain ch = choose_chain(target->kernels, op, s);
    uint64_t wanted = vks_ssd_scratch_size(target->kernels, op);
    VKS_TRY(vks_check_shape(target, "ssd: scratch", &op->scratch, VKS_SHAPE(op->scratch.shape[0])));
    if (op->scratch.shape[0] < wanted)
        return vks_op_fail(target, VKSSM_ERR_ARG, "ssd: scratch: %llu floats expected, %u found",
                           (unsigned long long)wanted, op->scratch.shape[0]);
    return ch.shader == VKS_SHADER_COUNT ? chunked(target, op, s) : chained(target, op, s, &ch);
}

vkssm_status vks_op_ssd(const vks_op_target *target, const vks_ssd *op) {
    sizes s = sizes_of(op);
    if (s.chunk % 8 != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG, "ssd: a chunk length that is a multiple of 8 expected, %u found",
                           s.chunk);
    VKS_TRY(check(target, op, &s));
    vks_op_begin(target, "ssd");
    vkssm_status status = s.n_time == 1 && !s.packed ? step(target, op, &s) : many_tokens(target, op, &s);
    vks_op_end(target);
    return status;
}

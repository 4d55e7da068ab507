#include "kernel.h"
#include "ops.h"

#include "shaders/params/ssd.h"
#include "shaders/params/ssd_step.h"

enum { DEFAULT_CHUNK = 64 };

typedef struct sizes {
    uint32_t n_sequence, n_time, n_head, n_group, n_width, n_state, chunk, n_chunk;
} sizes;

static sizes sizes_of(const vks_ssd *op) {
    sizes s = {
        .n_sequence = op->x.shape[0],
        .n_time = op->x.shape[1],
        .n_head = op->x.shape[2],
        .n_group = op->b.shape[2],
        .n_width = op->x.shape[3],
        .n_state = op->b.shape[3],
        .chunk = op->chunk ? op->chunk : DEFAULT_CHUNK,
    };
    s.n_chunk = vks_div_up(s.n_time, s.chunk);
    return s;
}

// Floats of the intermediate results, in this order in scratch; each starts on 256 bytes.
typedef struct scratch_layout {
    uint64_t decays, products, chunk_states, turned_b, total;
} scratch_layout;

static scratch_layout scratch_of(const sizes *s) {
    uint64_t chunks = (uint64_t)s->n_sequence * s->n_chunk;
    scratch_layout layout = {0};
    layout.products = vks_align_up(chunks * 3 * s->n_head * s->chunk, 64);
    layout.chunk_states = layout.products + vks_align_up(chunks * s->n_group * s->chunk * s->chunk, 64);
    layout.turned_b = layout.chunk_states + vks_align_up(chunks * s->n_head * s->n_width * s->n_state, 64);
    layout.total = layout.turned_b + chunks * s->n_group * s->n_state * s->chunk / 2;
    return layout;
}

uint64_t vks_ssd_scratch_size(uint32_t n_sequence, uint32_t n_time, uint32_t n_head, uint32_t n_group, uint32_t n_width,
                              uint32_t n_state, uint32_t chunk) {
    if (n_time <= 1) return 0;
    sizes s = {n_sequence, n_time, n_head, n_group, n_width, n_state, chunk ? chunk : DEFAULT_CHUNK, 0};
    s.n_chunk = vks_div_up(n_time, s.chunk);
    return scratch_of(&s).total;
}

static vkssm_status check(const vks_op_target *target, const vks_ssd *op, const sizes *s) {
    const vks_tensor *x = &op->x;
    VKS_TRY(vks_check_shape(target, "ssd: x", x, VKS_SHAPE(s->n_sequence, s->n_time, s->n_head, s->n_width)));
    VKS_TRY(vks_check_float(target, "ssd: x", x));
    VKS_TRY(vks_check_shape(target, "ssd: b", &op->b, VKS_SHAPE(s->n_sequence, s->n_time, s->n_group, s->n_state)));
    VKS_TRY(vks_check_shape(target, "ssd: c", &op->c, VKS_SHAPE(s->n_sequence, s->n_time, s->n_group, s->n_state)));
    VKS_TRY(vks_check_shape(target, "ssd: dt", &op->dt, VKS_SHAPE(s->n_sequence, s->n_time, s->n_head)));
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
    VKS_TRY(vks_check_shape(target, "ssd: y", &op->y, VKS_SHAPE(s->n_sequence, s->n_time, s->n_head, s->n_width)));
    VKS_TRY(vks_check_float(target, "ssd: y", &op->y));
    if (op->gate.address) {
        VKS_TRY(vks_check_shape(target, "ssd: gate", &op->gate, VKS_SHAPE(s->n_sequence, 1, s->n_head, s->n_width)));
        VKS_TRY(vks_check_dtype(target, "ssd: gate", &op->gate, x->dtype));
        VKS_TRY(vks_check_stride(target, "ssd: gate", &op->gate, 0, 1));
        if (s->n_time != 1)
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
    bool packed =
        s->n_sequence == 1 || (x->stride[0] == s->n_time * x->stride[1] && op->b.stride[0] == x->stride[0] &&
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

// The two heavy passes have three forms: plain; for CPUs, whose lanes share their loads; by cooperative matrices. The
// first two cut a pass into tiles of rows x columns, the third takes a head and chunk at a time.
typedef struct pass_forms {
    uint32_t plain, lanes, coop;
    uint32_t lanes_rows, lanes_columns; // tile of the lanes' form; columns in units of the subgroup
} pass_forms;

static const pass_forms state_forms = {VKS_SHADER_ssd_state, VKS_SHADER_ssd_state_lanes, VKS_SHADER_ssd_state_coop, 16,
                                       8};
static const pass_forms output_forms = {VKS_SHADER_ssd_output, VKS_SHADER_ssd_output_lanes, VKS_SHADER_ssd_output_coop,
                                        16, 4};

enum { COOP_CHUNK = 64, COOP_SHARED_SIZE = 36864 };

static bool fits_coop(const vks_kernel_traits *traits, const vks_ssd *op, const sizes *s) {
    return op->x.dtype == VKSSM_DTYPE_F16 && s->chunk == COOP_CHUNK && s->n_width % 16 == 0 && s->n_width <= 64 &&
           s->n_state % 16 == 0 && s->n_state <= 128 && op->x.stride[1] % 8 == 0 &&
           (op->x.address | op->b.address | op->c.address) % 16 == 0 && traits->fixed_subgroup &&
           traits->max_shared_size >= COOP_SHARED_SIZE;
}

// How one pass is dispatched.
typedef struct pass_form {
    uint32_t shader, wg_size, n_group[3];
    bool full_subgroups, has_lanes;
} pass_form;

static pass_form choose_form(const vks_op_target *target, const pass_forms *forms, const vks_ssd *op, const sizes *s,
                             uint32_t wg_size) {
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    bool coop = fits_coop(&traits, op, s);
    const uint32_t candidates[] = {traits.cpu ? forms->lanes
                                   : coop     ? forms->coop
                                              : forms->plain,
                                   forms->plain, forms->lanes, coop ? forms->coop : forms->plain, forms->plain};
    pass_form form = {.shader = vks_kernel_choose(target->kernels, candidates, VKS_COUNT(candidates)),
                      .wg_size = wg_size};
    bool is_state = forms == &state_forms;
    uint32_t n_row = is_state ? s->n_width : s->chunk, n_column = is_state ? s->n_state : s->n_width;
    form.n_group[0] = vks_div_up(vks_div_up(n_row, 8) * vks_div_up(n_column, 8), wg_size);
    form.n_group[1] = s->n_chunk;
    form.n_group[2] = s->n_sequence * s->n_head;
    if (form.shader == forms->plain) return form;
    form.full_subgroups = true;
    form.has_lanes = form.shader == forms->lanes;
    form.wg_size = (form.has_lanes ? 1 : 4) * traits.subgroup_size;
    form.n_group[0] = form.has_lanes ? vks_div_up(n_row, forms->lanes_rows) *
                                           vks_div_up(n_column, forms->lanes_columns * traits.subgroup_size)
                                     : s->n_head;
    if (!form.has_lanes) form.n_group[2] = s->n_sequence;
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
        .turned_b = scratch + 4 * layout->turned_b,
        .state = op->state.address,
        .slots = op->slots.address,
        .y = op->y.address,
        .n_time = s->n_time,
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
    return (vks_access){push->chunk_states, 4 * (layout->turned_b - layout->chunk_states), write};
}

// ---- the chained form -----------------------------------------------------------------------------------------------

enum { CHAIN_SHARED_SIZE = 46592, CHAIN_WORKGROUPS = 640 };

// The state goes from chunk to chunk in registers. Sequences are cut into segments only as far as it takes to give a
// large device enough workgroups: each segment's own state is found first, and handed on.
static uint32_t chunks_of_segment(const sizes *s) {
    uint32_t wanted = vks_div_up(CHAIN_WORKGROUPS, s->n_sequence * s->n_head), most = vks_div_up(s->n_chunk, 2);
    return vks_div_up(s->n_chunk, wanted < most ? wanted : most);
}

static bool fits_chain(const vks_kernel_traits *traits, const vks_ssd *op, const sizes *s) {
    bool whole = s->chunk == COOP_CHUNK && s->n_width % 16 == 0 && s->n_width <= 64 &&
                 (s->n_state == 64 || s->n_state == 128) && op->x.stride[1] % 8 == 0 && op->y.stride[1] % 8 == 0 &&
                 op->state.stride[0] % 4 == 0;
    uint64_t addresses = op->x.address | op->b.address | op->c.address | op->y.address | op->state.address;
    bool same_type = op->y.dtype == op->x.dtype || op->y.dtype == VKSSM_DTYPE_F32;
    return whole && same_type && addresses % 16 == 0 && traits->fixed_subgroup &&
           traits->max_shared_size >= CHAIN_SHARED_SIZE &&
           4 * traits->subgroup_size <= traits->max_workgroup_invocations;
}

// The chain for this device and shape, or VKS_SHADER_COUNT. A test that forces one of the chunked form's kernels gets
// them.
static uint32_t choose_chain(const vks_op_target *target, const vks_ssd *op, const sizes *s) {
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    uint32_t chain = op->x.dtype == VKSSM_DTYPE_F16    ? VKS_SHADER_ssd_chain_coop
                     : op->x.dtype == VKSSM_DTYPE_BF16 ? VKS_SHADER_ssd_chain_coop_bf16
                                                       : VKS_SHADER_COUNT;
    if (chain == VKS_SHADER_COUNT || !fits_chain(&traits, op, s)) return VKS_SHADER_COUNT;
    const uint32_t candidates[] = {chain,
                                   VKS_SHADER_ssd_state,
                                   VKS_SHADER_ssd_state_lanes,
                                   VKS_SHADER_ssd_state_coop,
                                   VKS_SHADER_ssd_output,
                                   VKS_SHADER_ssd_output_lanes,
                                   VKS_SHADER_ssd_output_coop};
    return vks_kernel_choose(target->kernels, candidates, VKS_COUNT(candidates)) == chain ? chain : VKS_SHADER_COUNT;
}

static vkssm_status chained(const vks_op_target *target, const vks_ssd *op, const sizes *s, uint32_t chain) {
    bool bf16 = chain == VKS_SHADER_ssd_chain_coop_bf16;
    uint32_t segment = chunks_of_segment(s), n_segment = vks_div_up(s->n_chunk, segment);
    uint32_t wg = 4 * vks_kernel_traits_of(target->kernels).subgroup_size;
    scratch_layout layout = scratch_of(s); // with a state for each chunk: more than the segments need
    struct vks_ssd_params push = push_of(op, s, &layout);
    push.segment = segment;
    vks_access x = vks_reads(&op->x), b = vks_reads(&op->b), c = vks_reads(&op->c), dt = vks_reads(&op->dt);
    vks_access slots = vks_reads(&op->slots), state = vks_writes(&op->state), state_r = vks_reads(&op->state);
    vks_access decays = decays_of(&push, &layout, false), decays_w = decays_of(&push, &layout, true);
    vks_access products = products_of(&push, &layout, false), products_w = products_of(&push, &layout, true);
    vks_access states = states_of(&push, &layout, false), states_w = states_of(&push, &layout, true);
    vks_access turned = {push.turned_b, 4 * (layout.total - layout.turned_b), false};
    vks_access turned_w = {turned.address, turned.size, true};
    const struct {
        uint32_t shader, wg_size, n_group[3];
        bool only_segments; // for the hand-over between segments
        vks_access accesses[9];
    } passes[] = {
        {bf16 ? VKS_SHADER_ssd_product_coop_bf16 : VKS_SHADER_ssd_product_coop,
         wg,
         {s->n_group, s->n_chunk, s->n_sequence},
         false,
         {b, c, products_w, turned_w}},
        {bf16 ? VKS_SHADER_ssd_segment_coop_bf16 : VKS_SHADER_ssd_segment_coop,
         wg,
         {s->n_head, n_segment - 1, s->n_sequence},
         true,
         {x, turned, dt, decays_w, states_w}},
        {VKS_SHADER_ssd_carry,
         128,
         {vks_div_up(s->n_width * s->n_state, 128), s->n_head, s->n_sequence},
         true,
         {decays, slots, state_r, states_w}},
        {chain,
         wg,
         {s->n_head, n_segment, s->n_sequence},
         false,
         {x, turned, c, dt, slots, products, states, state, vks_writes(&op->y)}},
    };
    for (size_t i = 0; i < VKS_COUNT(passes); i++) {
        if (passes[i].only_segments && n_segment == 1) continue;
        VKS_TRY(vks_kernel_dispatch(target,
                                    &(vks_kernel_call){
                                        .shader = passes[i].shader,
                                        .constants = (uint32_t[]){passes[i].wg_size, op->x.dtype, op->y.dtype, s->chunk,
                                                                  s->n_head, s->n_group, s->n_width, s->n_state},
                                        .n_constant = 8,
                                        .full_subgroups = passes[i].shader != VKS_SHADER_ssd_carry,
                                        .push = &push,
                                        .push_size = sizeof push,
                                        .n_group = {passes[i].n_group[0], passes[i].n_group[1], passes[i].n_group[2]},
                                        .accesses = passes[i].accesses,
                                        .n_access = 9, // those not set span no bytes
                                    }));
    }
    return VKSSM_OK;
}

static vkssm_status chunked(const vks_op_target *target, const vks_ssd *op, const sizes *s) {
    scratch_layout layout = scratch_of(s);
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    VKS_TRY(vks_check_shape(target, "ssd: scratch", &op->scratch, VKS_SHAPE(op->scratch.shape[0])));
    if (op->scratch.shape[0] < layout.total)
        return vks_op_fail(target, VKSSM_ERR_ARG, "ssd: scratch: %llu floats expected, %u found",
                           (unsigned long long)layout.total, op->scratch.shape[0]);
    uint32_t chain = choose_chain(target, op, s);
    if (chain != VKS_SHADER_COUNT) return chained(target, op, s, chain);
    struct vks_ssd_params push = push_of(op, s, &layout);
    vks_access decays = decays_of(&push, &layout, false), decays_w = decays_of(&push, &layout, true);
    vks_access products = products_of(&push, &layout, false), products_w = products_of(&push, &layout, true);
    vks_access states = states_of(&push, &layout, false), states_w = states_of(&push, &layout, true);
    vks_access x = vks_reads(&op->x), b = vks_reads(&op->b), c = vks_reads(&op->c), slots = vks_reads(&op->slots);

    uint32_t q = s->chunk, wg = traits.cpu ? 16 : 64;
    const struct {
        pass_form form;
        vks_access accesses[6];
    } passes[] = {
        {{VKS_SHADER_ssd_decay, wg, {vks_div_up(s->n_head, wg), s->n_chunk, s->n_sequence}, false, false},
         {vks_reads(&op->dt), decays_w}},
        {{VKS_SHADER_ssd_product,
          wg,
          {vks_div_up((q / 4) * (q / 4), wg), s->n_chunk, s->n_sequence * s->n_group},
          false,
          false},
         {b, c, products_w}},
        {choose_form(target, &state_forms, op, s, wg), {x, b, decays, states_w}},
        {{VKS_SHADER_ssd_pass, wg, {vks_div_up(s->n_width * s->n_state, wg), s->n_head, s->n_sequence}, false, false},
         {decays, slots, states_w, vks_writes(&op->state)}},
        {choose_form(target, &output_forms, op, s, wg), {x, c, decays, products, states, vks_writes(&op->y)}},
    };
    for (size_t i = 0; i < VKS_COUNT(passes); i++) {
        const pass_form *form = &passes[i].form;
        VKS_TRY(vks_kernel_dispatch(
            target, &(vks_kernel_call){
                        .shader = form->shader,
                        .constants = (uint32_t[]){form->wg_size, op->x.dtype, op->y.dtype, q, s->n_head, s->n_group,
                                                  s->n_width, s->n_state, traits.subgroup_size},
                        .n_constant = form->has_lanes ? 9 : 8,
                        .full_subgroups = form->full_subgroups,
                        .push = &push,
                        .push_size = sizeof push,
                        .n_group = {form->n_group[0], form->n_group[1], form->n_group[2]},
                        .accesses = passes[i].accesses,
                        .n_access = 6, // those not set span no bytes
                    }));
    }
    return VKSSM_OK;
}

vkssm_status vks_op_ssd(const vks_op_target *target, const vks_ssd *op) {
    sizes s = sizes_of(op);
    if (s.chunk % 8 != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG, "ssd: a chunk length that is a multiple of 8 expected, %u found",
                           s.chunk);
    VKS_TRY(check(target, op, &s));
    vks_op_begin(target, "ssd");
    vkssm_status status = s.n_time == 1 ? step(target, op, &s) : chunked(target, op, &s);
    vks_op_end(target);
    return status;
}

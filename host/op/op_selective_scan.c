#include "kernel.h"
#include "ops.h"

#include "shaders/params/selective_flags.h"
#include "shaders/params/selective_scan_params.h"
#include "shaders/params/selective_step.h"

enum { MAX_STATE = 256, MAX_LANE = 16, MAX_SHARED = 32768, MANY_ROWS = 16384, ENOUGH_LANES = 16384 };

typedef struct sizes {
    uint32_t n_batch, n_sequence, n_time, n_channel, n_group, n_state, rank;
} sizes;

static sizes sizes_of(const vks_selective_scan *op) {
    return (sizes){
        .n_batch = op->x.shape[0],
        .n_sequence = op->offsets.address ? op->offsets.shape[0] - 1 : op->x.shape[0],
        .n_time = op->x.shape[1],
        .n_channel = op->x.shape[2],
        .n_group = op->b.shape[2],
        .n_state = op->b.shape[3],
        .rank = op->dt_weight.address ? op->dt_weight.shape[1] : 0,
    };
}

// ---- operands -------------------------------------------------------------------------------------------------------

// [B, T, D] rows whose pairs of channels lie in 32-bit words, if their type is a 16-bit one; sequences T rows apart;
// elements counted in 32 bits.
static vkssm_status check_rows(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                               vkssm_dtype dtype, const sizes *s, uint32_t n_column) {
    VKS_TRY(vks_check_shape(target, name, tensor, VKS_SHAPE(s->n_batch, s->n_time, n_column)));
    VKS_TRY(vks_check_dtype(target, name, tensor, dtype));
    VKS_TRY(vks_check_stride(target, name, tensor, 1, dtype == VKSSM_DTYPE_F32 ? 1 : 2));
    if (s->n_batch > 1 && tensor->stride[0] != s->n_time * tensor->stride[1])
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: sequences T rows apart expected", name);
    if ((uint64_t)s->n_batch * s->n_time * tensor->stride[1] > UINT32_MAX)
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: at most 2^32 elements expected, %u x %u rows of %llu found",
                           name, s->n_batch, s->n_time, (unsigned long long)tensor->stride[1]);
    return VKSSM_OK;
}

static vkssm_status check_bc(const vks_op_target *target, const char *name, const vks_tensor *tensor,
                             const vks_selective_scan *op, const sizes *s) {
    VKS_TRY(vks_check_shape(target, name, tensor, VKS_SHAPE(s->n_batch, s->n_time, s->n_group, s->n_state)));
    if (s->n_group > 1 && tensor->stride[2] != s->n_state)
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: dense groups expected", name);
    vks_tensor rows = *tensor; // as [B, T, G N]
    rows.n_dim = 3;
    rows.shape[2] = s->n_group * s->n_state;
    rows.stride[2] = 1;
    VKS_TRY(check_rows(target, name, &rows, op->x.dtype, s, s->n_group * s->n_state));
    if (tensor->stride[1] != op->b.stride[1])
        return vks_op_fail(target, VKSSM_ERR_ARG, "%s: the token stride of b, %llu, expected, %llu found", name,
                           (unsigned long long)op->b.stride[1], (unsigned long long)tensor->stride[1]);
    return VKSSM_OK;
}

static vkssm_status check_parameters(const vks_op_target *target, const vks_selective_scan *op, const sizes *s) {
    VKS_TRY(vks_check_shape(target, "selective_scan: a", &op->a, VKS_SHAPE(s->n_channel, s->n_state)));
    VKS_TRY(vks_check_dtype(target, "selective_scan: a", &op->a, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_dense(target, "selective_scan: a", &op->a, 0));
    VKS_TRY(vks_check_shape(target, "selective_scan: channels", &op->channels, VKS_SHAPE(2, s->n_channel)));
    VKS_TRY(vks_check_dtype(target, "selective_scan: channels", &op->channels, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_dense(target, "selective_scan: channels", &op->channels, 0));
    if (!s->rank) return VKSSM_OK;
    VKS_TRY(vks_check_shape(target, "selective_scan: dt_weight", &op->dt_weight, VKS_SHAPE(s->n_channel, s->rank)));
    VKS_TRY(vks_check_float(target, "selective_scan: dt_weight", &op->dt_weight));
    VKS_TRY(vks_check_stride(target, "selective_scan: dt_weight", &op->dt_weight, 0,
                             op->dt_weight.dtype == VKSSM_DTYPE_F32 ? 1 : 2));
    if (s->n_time != 1)
        return vks_op_fail(target, VKSSM_ERR_ARG, "selective_scan: dt_weight: one token expected, %u found", s->n_time);
    return VKSSM_OK;
}

static vkssm_status check_state(const vks_op_target *target, const vks_selective_scan *op, const sizes *s) {
    if (op->slots.address) {
        VKS_TRY(vks_check_shape(target, "selective_scan: slots", &op->slots, VKS_SHAPE(s->n_sequence)));
        VKS_TRY(vks_check_dtype(target, "selective_scan: slots", &op->slots, VKSSM_DTYPE_I32));
    }
    if (op->offsets.address) {
        VKS_TRY(vks_check_shape(target, "selective_scan: offsets", &op->offsets, VKS_SHAPE(op->offsets.shape[0])));
        VKS_TRY(vks_check_dtype(target, "selective_scan: offsets", &op->offsets, VKSSM_DTYPE_I32));
        if (s->n_batch != 1 || s->n_sequence == 0)
            return vks_op_fail(target, VKSSM_ERR_ARG,
                               "selective_scan: offsets: one batch and at least 2 offsets expected, %u and %u found",
                               s->n_batch, op->offsets.shape[0]);
    }
    if (!op->state.address) return VKSSM_OK;
    VKS_TRY(vks_check_shape(target, "selective_scan: state", &op->state,
                            VKS_SHAPE(op->state.shape[0], s->n_channel, s->n_state)));
    VKS_TRY(vks_check_dtype(target, "selective_scan: state", &op->state, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_dense(target, "selective_scan: state", &op->state, 1));
    VKS_TRY(vks_check_stride(target, "selective_scan: state", &op->state, 0, 1));
    if (!op->slots.address && op->state.shape[0] < s->n_sequence)
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "selective_scan: state: a slot for each of %u sequences expected, %u found", s->n_sequence,
                           op->state.shape[0]);
    return VKSSM_OK;
}

static vkssm_status check(const vks_op_target *target, const vks_selective_scan *op, const sizes *s) {
    VKS_TRY(vks_check_float(target, "selective_scan: x", &op->x));
    VKS_TRY(check_rows(target, "selective_scan: x", &op->x, op->x.dtype, s, s->n_channel));
    VKS_TRY(check_bc(target, "selective_scan: b", &op->b, op, s));
    VKS_TRY(check_bc(target, "selective_scan: c", &op->c, op, s));
    VKS_TRY(check_rows(target, "selective_scan: dt", &op->dt, op->x.dtype, s, s->rank ? s->rank : s->n_channel));
    if (op->gate.address) VKS_TRY(check_rows(target, "selective_scan: gate", &op->gate, op->x.dtype, s, s->n_channel));
    VKS_TRY(vks_check_float(target, "selective_scan: y", &op->y));
    VKS_TRY(check_rows(target, "selective_scan: y", &op->y, op->y.dtype, s, s->n_channel));
    VKS_TRY(check_parameters(target, op, s));
    VKS_TRY(check_state(target, op, s));
    if (s->n_state > MAX_STATE)
        return vks_op_fail(target, VKSSM_ERR_ARG, "selective_scan: at most %d states a channel expected, %u found",
                           MAX_STATE, s->n_state);
    if (s->n_channel % s->n_group != 0 || (s->n_group > 1 && s->n_channel / s->n_group % 2 != 0))
        return vks_op_fail(
            target, VKSSM_ERR_ARG,
            "selective_scan: groups of an even number of channels expected, %u channels in %u groups found",
            s->n_channel, s->n_group);
    if (s->n_group > 1 && s->n_state % 2 != 0 && op->x.dtype != VKSSM_DTYPE_F32)
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "selective_scan: an even number of states expected for groups of %s, %u found",
                           vkssm_dtype_name(op->x.dtype), s->n_state);
    return VKSSM_OK;
}

static uint32_t flags_of(const vks_selective_scan *op) {
    return (op->gate.address ? VKS_SELECTIVE_GATE : 0) | (op->reverse ? VKS_SELECTIVE_REVERSE : 0) |
           (op->offsets.address ? VKS_SELECTIVE_PACKED : 0) | (op->accumulate ? VKS_SELECTIVE_ADD : 0);
}

// ---- one token ------------------------------------------------------------------------------------------------------

// Whether the step may load 4 elements of the rank at once.
static bool fits_vectors(const vks_selective_scan *op, const sizes *s) {
    return s->rank % 4 == 0 && op->dt.address % (4 * vkssm_dtype_size(op->dt.dtype)) == 0 &&
           op->dt.stride[1] % 4 == 0 && op->dt_weight.address % (4 * vkssm_dtype_size(op->dt_weight.dtype)) == 0 &&
           op->dt_weight.stride[0] % 4 == 0;
}

static vkssm_status step(const vks_op_target *target, const vks_selective_scan *op, const sizes *s) {
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    // On a CPU a lane by itself; elsewhere lanes that share channels, and exchange sums by shuffles where they can.
    bool can_shuffle = traits.fixed_subgroup && traits.subgroup_size >= 4;
    uint32_t lanes_form = can_shuffle ? VKS_SHADER_selective_step_sg : VKS_SHADER_selective_step;
    uint32_t shader = vks_kernel_choose(
        target->kernels,
        (uint32_t[]){traits.cpu ? VKS_SHADER_selective_step : lanes_form, lanes_form, VKS_SHADER_selective_step}, 3);
    bool subgroup = shader == VKS_SHADER_selective_step_sg;
    uint32_t lanes = traits.cpu && !subgroup ? 1 : traits.cpu || traits.subgroup_size < 8 ? 4 : 8;
    while (!subgroup && lanes < MAX_LANE && s->n_state > 32 * lanes)
        lanes *= 2; // a lane's states are registers
    uint32_t wg_size = traits.cpu && !subgroup ? 16 : 128;
    struct vks_selective_step_params push = {
        .x = op->x.address,
        .dt = op->dt.address,
        .weight = op->dt_weight.address,
        .b = op->b.address,
        .c = op->c.address,
        .gate = op->gate.address,
        .a = op->a.address,
        .channels = op->channels.address,
        .state = op->state.address,
        .slots = op->slots.address,
        .y = op->y.address,
        .x_stride = (uint32_t)op->x.stride[1],
        .dt_stride = (uint32_t)op->dt.stride[1],
        .weight_stride = (uint32_t)op->dt_weight.stride[0],
        .bc_stride = (uint32_t)op->b.stride[1],
        .gate_stride = (uint32_t)op->gate.stride[1],
        .y_stride = (uint32_t)op->y.stride[1],
        .state_stride = (uint32_t)op->state.stride[0],
    };
    return vks_kernel_dispatch(
        target, &(vks_kernel_call){
                    .shader = shader,
                    .constants =
                        (uint32_t[]){wg_size, op->x.dtype, op->y.dtype, s->n_channel, s->n_state, s->n_group,
                                     flags_of(op), lanes, op->dt_weight.dtype, s->rank && fits_vectors(op, s), s->rank},
                    .n_constant = 11,
                    .full_subgroups = subgroup,
                    .push = &push,
                    .push_size = sizeof push,
                    .n_group = {vks_div_up(vks_div_up(s->n_channel, 2) * lanes, wg_size), s->n_sequence, 1},
                    .accesses = (vks_access[]){vks_reads(&op->x), vks_reads(&op->dt), vks_reads(&op->b),
                                               vks_reads(&op->c), vks_reads(&op->gate), vks_reads(&op->slots),
                                               vks_writes(&op->state), vks_writes(&op->y)},
                    .n_access = 8,
                });
}

// ---- sequences ------------------------------------------------------------------------------------------------------

typedef struct plan {
    uint32_t shader, wg_size, n_lane, tile, batch, n_segment;
    bool paired, full;
} plan;

static uint32_t min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static bool is_tiled(const plan *p) {
    return p->shader == VKS_SHADER_selective_scan_tiled || p->shader == VKS_SHADER_selective_scan_tiled_sg;
}

// Bytes of shared memory, as selective_tile.glsl counts them: two tiles of dt, dt x, y, B and C.
static uint32_t shared_size(const plan *p, uint32_t n_state) {
    uint32_t row = 16 * (p->tile / 4 + 1), n_channel = p->wg_size / p->n_lane;
    uint32_t n_pair = vks_div_up(n_state, 2 * p->n_lane) * p->n_lane;
    bool subgroup = p->shader == VKS_SHADER_selective_scan_tiled_sg;
    uint32_t parts = subgroup ? 0 : 4 * p->wg_size * p->batch; // sums on their way
    return 2 * (2 * n_channel * row + 4 * p->tile * n_channel + 16 * p->tile * n_pair + parts);
}

// Whether pairs of float32 begin on 8 bytes everywhere.
static bool has_pairs(const vks_selective_scan *op, const sizes *s) {
    const vks_tensor *tensors[] = {&op->x, &op->dt, &op->b, &op->c, &op->gate, &op->y};
    bool even = s->n_channel % 2 == 0 && s->n_state % 2 == 0;
    for (size_t i = 0; i < VKS_COUNT(tensors); i++)
        even = even && tensors[i]->address % 8 == 0 && tensors[i]->stride[1] % 2 == 0;
    return even;
}

// Lanes, tile and workgroup for the number of states. Small tiles: an H200 runs no more workgroups at a time than fit
// into 64 KiB of a multiprocessor's shared memory, and few of them hide little of each other's latency.
static void choose_tile(const vks_selective_scan *op, const sizes *s, uint32_t n_lane_max, plan *p) {
    const vks_selective_scan_tuning *tuning = &op->tuning;
    uint64_t n_row = (uint64_t)s->n_sequence * s->n_channel;
    bool many = n_row >= MANY_ROWS;
    p->n_lane = tuning->n_lane ? tuning->n_lane : s->n_state > 64 ? 16 : many ? 2 : 8;
    while (!tuning->n_lane && p->n_lane < 8 && s->n_state > 8 * p->n_lane)
        p->n_lane *= 2; // a lane's states are registers
    while (p->n_lane > 1 && (p->n_lane > n_lane_max || p->n_lane >= s->n_state))
        p->n_lane /= 2;
    p->wg_size = tuning->wg_size ? tuning->wg_size : n_row * p->n_lane < ENOUGH_LANES ? 128 : 64;
    // A workgroup's channels are of one group.
    while (s->n_group > 1 && p->wg_size > 2 * p->n_lane && s->n_channel / s->n_group % (p->wg_size / p->n_lane) != 0)
        p->wg_size /= 2;
    p->tile = tuning->tile ? tuning->tile : p->n_lane < 4 ? 8 : 16;
    p->batch = tuning->batch ? tuning->batch : s->n_state > 8 * p->n_lane ? 4 : 8;
    for (; p->tile > 4 && shared_size(p, s->n_state) > MAX_SHARED; p->tile /= 2)
        p->batch = min_u32(p->batch, p->tile / 2);
    p->batch = min_u32(p->batch, p->tile);
}

// Mesa's CPU driver leaves all loops of an invocation after 65,535 rounds in all. Kernels that walk through time token
// by token reach that after so many tokens: a round each, and where there are several blocks of states one for every
// block and one more; the rest is for loading and storing states. A tile's rounds are below CPU_TILE_ROUNDS.
enum { CPU_ROUNDS = 64000, CPU_TILE_ROUNDS = 128, CPU_MAX_SEGMENT = 256 };

static bool fits_one_walk(const sizes *s) {
    uint32_t n_block = vks_div_up(s->n_state, 16);
    return s->n_time <= CPU_ROUNDS / (n_block > 1 ? n_block + 2 : 1);
}

// Time is split only when lanes are too few to keep the device busy: every exponential is then computed twice. On a CPU
// only where its driver would end the loops.
static uint32_t choose_segments(const vks_selective_scan *op, const sizes *s, bool cpu, const plan *p) {
    if (op->tuning.n_segment) return min_u32(op->tuning.n_segment, 64);
    uint32_t n_tile = vks_div_up(s->n_time, p->tile);
    if (cpu) return min_u32(vks_div_up(n_tile, CPU_ROUNDS / CPU_TILE_ROUNDS), CPU_MAX_SEGMENT);
    const uint64_t wanted = 65536;
    uint64_t n_lane = (uint64_t)s->n_sequence * s->n_channel * p->n_lane;
    if (n_lane >= ENOUGH_LANES) return 1; // below, there are few sequences
    n_tile = vks_div_up(s->n_time, p->tile * s->n_sequence);
    uint32_t most = n_tile / 8;
    return most < 2 ? 1 : min_u32(min_u32((uint32_t)(wanted / n_lane), most), 32);
}

static plan plan_of(const vks_kernels *kernels, const vks_selective_scan *op, const sizes *s) {
    vks_kernel_traits traits = vks_kernel_traits_of(kernels);
    uint32_t per_group = s->n_channel / s->n_group;
    bool can_share = traits.fixed_subgroup && traits.subgroup_size >= 4 && traits.subgroup_size <= 64 &&
                     (s->n_group == 1 || per_group % (2 * traits.subgroup_size) == 0);
    bool can_shuffle = traits.fixed_subgroup && traits.subgroup_size >= 4;
    bool fits = traits.max_shared_size >= MAX_SHARED;
    const uint32_t plain = VKS_SHADER_selective_scan, lanes = can_share ? VKS_SHADER_selective_scan_lanes : plain;
    const uint32_t tiled = fits ? VKS_SHADER_selective_scan_tiled : plain;
    const uint32_t tiled_sg = fits && can_shuffle ? VKS_SHADER_selective_scan_tiled_sg : tiled;
    const uint32_t for_cpu[] = {lanes, plain, tiled, tiled_sg, plain}, for_gpu[] = {tiled_sg, tiled, lanes, plain};
    const uint32_t for_long[] = {tiled, tiled_sg};
    plan p = {.n_segment = 1, .wg_size = traits.cpu ? 16 : 64, .n_lane = 1};
    if (!traits.cpu)
        p.shader = vks_kernel_choose(kernels, for_gpu, VKS_COUNT(for_gpu));
    else if (fits_one_walk(s))
        p.shader = vks_kernel_choose(kernels, for_cpu, VKS_COUNT(for_cpu));
    else
        p.shader = vks_kernel_choose(kernels, for_long, VKS_COUNT(for_long));
    if (p.shader == VKS_SHADER_selective_scan_lanes) p.wg_size = p.n_lane = traits.subgroup_size;
    if (!is_tiled(&p)) return p;
    if (p.shader == VKS_SHADER_selective_scan_tiled_sg) {
        choose_tile(op, s, min_u32(traits.subgroup_size, MAX_LANE), &p);
        if (p.wg_size % traits.subgroup_size != 0) p.shader = tiled; // small groups: no full subgroups
    }
    if (p.shader == tiled) choose_tile(op, s, MAX_LANE, &p);
    p.paired = has_pairs(op, s);
    p.full = !traits.cpu || op->tuning.batch; // CPUs take long to compile what they do not prefer
    if (!p.full) p.batch = 4;
    p.n_segment = choose_segments(op, s, traits.cpu, &p);
    return p;
}

static uint64_t scratch_of(const sizes *s, const plan *p) {
    if (p->n_segment == 1) return 0;
    return (uint64_t)s->n_sequence * p->n_segment * s->n_channel * (s->n_state + 1);
}

uint64_t vks_selective_scan_scratch_size(const vks_kernels *kernels, const vks_selective_scan *op) {
    sizes s = sizes_of(op);
    if (s.n_time == 1 && !op->offsets.address) return 0;
    plan p = plan_of(kernels, op, &s);
    return scratch_of(&s, &p);
}

static vkssm_status check_scratch(const vks_op_target *target, const vks_selective_scan *op, const sizes *s,
                                  const plan *p) {
    uint64_t n = scratch_of(s, p);
    if (n == 0) return VKSSM_OK;
    VKS_TRY(vks_check_shape(target, "selective_scan: scratch", &op->scratch, VKS_SHAPE(op->scratch.shape[0])));
    if (op->scratch.shape[0] < n)
        return vks_op_fail(target, VKSSM_ERR_ARG, "selective_scan: scratch: %llu floats expected, %u found",
                           (unsigned long long)n, op->scratch.shape[0]);
    return VKSSM_OK;
}

// Longer sequences than CPUs can take even in segments.
static vkssm_status check_time(const vks_op_target *target, const sizes *s, const plan *p) {
    if (!vks_kernel_traits_of(target->kernels).cpu) return VKSSM_OK;
    uint64_t most = (uint64_t)CPU_ROUNDS / CPU_TILE_ROUNDS * CPU_MAX_SEGMENT * p->tile;
    if (is_tiled(p) ? s->n_time <= most : fits_one_walk(s)) return VKSSM_OK;
    return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "selective_scan: fewer steps at once expected on a CPU, %u found",
                       s->n_time);
}

static vkssm_status whole(const vks_op_target *target, const vks_selective_scan *op, const sizes *s) {
    plan p = plan_of(target->kernels, op, s);
    VKS_TRY(check_time(target, s, &p));
    VKS_TRY(check_scratch(target, op, s, &p));
    bool subgroup = p.shader == VKS_SHADER_selective_scan_lanes || p.shader == VKS_SHADER_selective_scan_tiled_sg;
    struct vks_selective_scan_params push = {
        .x = op->x.address,
        .dt = op->dt.address,
        .b = op->b.address,
        .c = op->c.address,
        .gate = op->gate.address,
        .a = op->a.address,
        .channels = op->channels.address,
        .state = op->state.address,
        .slots = op->slots.address,
        .offsets = op->offsets.address,
        .y = op->y.address,
        .segments = op->scratch.address,
        .n_time = s->n_time,
        .x_stride = (uint32_t)op->x.stride[1],
        .dt_stride = (uint32_t)op->dt.stride[1],
        .bc_stride = (uint32_t)op->b.stride[1],
        .gate_stride = (uint32_t)op->gate.stride[1],
        .y_stride = (uint32_t)op->y.stride[1],
        .state_stride = (uint32_t)op->state.stride[0],
        .n_segment = p.n_segment,
    };
    uint32_t constants[] = {p.wg_size,    op->x.dtype, op->y.dtype, s->n_channel, s->n_state, s->n_group,
                            flags_of(op), p.n_lane,    p.tile,      p.batch,      p.paired,   p.full};
    uint32_t channels_per_group = is_tiled(&p) ? p.wg_size / p.n_lane : 2 * p.wg_size;
    vks_access segments = vks_reads(&op->scratch), segments_w = vks_writes(&op->scratch);
    vks_access accesses[] = {vks_reads(&op->x),     vks_reads(&op->dt),    vks_reads(&op->b),       vks_reads(&op->c),
                             vks_reads(&op->gate),  vks_reads(&op->slots), vks_reads(&op->offsets), segments_w,
                             vks_reads(&op->state), vks_writes(&op->y)};
    vks_kernel_call call = {
        .shader = p.shader,
        .constants = constants,
        .n_constant = is_tiled(&p)                                  ? 12
                      : p.shader == VKS_SHADER_selective_scan_lanes ? 8
                                                                    : 7,
        .full_subgroups = subgroup,
        .push = &push,
        .push_size = sizeof push,
        .n_group = {vks_div_up(s->n_channel, channels_per_group), p.n_segment, s->n_sequence},
        .accesses = accesses,
        .n_access = VKS_COUNT(accesses),
    };
    if (p.n_segment > 1) { // the segments' own states, but for the last one, which nothing follows
        constants[6] |= VKS_SELECTIVE_REDUCE;
        call.n_group[1]--;
        call.n_access--; // not y
        VKS_TRY(vks_kernel_dispatch(target, &call));
        constants[6] &= ~(uint32_t)VKS_SELECTIVE_REDUCE;
        call.n_group[1]++;
        call.n_access++;
    }
    accesses[7] = segments;
    accesses[8] = vks_writes(&op->state);
    return vks_kernel_dispatch(target, &call);
}

vkssm_status vks_op_selective_scan(const vks_op_target *target, const vks_selective_scan *op) {
    sizes s = sizes_of(op);
    VKS_TRY(check(target, op, &s));
    vks_op_begin(target, "selective_scan");
    bool one = s.n_time == 1 && !op->offsets.address;
    vkssm_status status = one ? step(target, op, &s) : whole(target, op, &s);
    vks_op_end(target);
    return status;
}

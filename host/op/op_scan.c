#include "kernel.h"
#include "ops.h"

#include "shaders/params/scan_params.h"

// Lanes at once below which time is split, and those that splitting aims at: enough loads under way to hide the latency
// of the memory of the largest devices; on smaller ones more than enough.
enum { ENOUGH_LANES = 48 << 10, WANTED_LANES = 128 << 10 };
// Looks at a tile that is not there yet, each of about a microsecond on a GPU.
enum { N_TURN = 64 };
enum { SHARED_SIZE = 40, SHARED_SIZE_LOOK_BACK = 64 }; // bytes of shared memory of an invocation, at most
// Mesa's CPU driver leaves all loops of an invocation after 65,535 rounds in all. A tile is one round, and some more
// where sequences are looked up.
enum { CPU_MAX_TILE = 8192, CPU_MAX_TILE_PACKED = 256 };

typedef struct sizes {
    uint32_t n_batch, n_time, n_channel; // B, T, D
    uint32_t n_sequence;                 // rows of initial and last
    uint32_t n_unit;                     // what a lane takes: complex channels, or pairs of real ones
    uint32_t n_part;                     // floats of a channel: 2 if complex
    bool a_step;
} sizes;

static sizes sizes_of(const vks_scan *op) {
    sizes s = {
        .n_batch = op->b.shape[0],
        .n_time = op->b.shape[op->time_contiguous ? 2 : 1],
        .n_channel = op->b.shape[op->time_contiguous ? 1 : 2],
        .n_part = op->is_complex ? 2 : 1,
        .a_step = op->a.n_dim == op->b.n_dim,
    };
    s.n_sequence = op->offsets.address ? op->offsets.shape[0] - 1 : s.n_batch;
    s.n_unit = op->is_complex ? s.n_channel : vks_div_up(s.n_channel, 2);
    return s;
}

// ---- the choice ----------------------------------------------------------------------------------------------------

typedef struct plan {
    uint32_t n_lane, n_side, n_step;
    bool prefetch, permute;
    bool look_back; // a segment is a tile
    uint32_t first; // steps that pad the time axis in front
    uint32_t segment_size, n_segment;
} plan;

static bool is_power_of_two(uint32_t n) {
    return n && !(n & (n - 1));
}
static uint32_t power_of_two_from(uint32_t n) { // the smallest one that is at least n
    uint32_t power = 1;
    while (power < n && power < 1u << 31)
        power *= 2;
    return power;
}
static uint32_t min_u32(uint32_t x, uint32_t y) {
    return x < y ? x : y;
}

// 16-bit types are stored two times at once, on even times; scanning in reverse, an odd T would split the pairs.
static uint32_t padding_of(const vks_scan *op, const sizes *s) {
    bool by_pairs_of_time = op->time_contiguous && !op->is_complex && op->h.dtype != VKSSM_DTYPE_F32;
    return op->reverse && by_pairs_of_time ? s->n_time % 2 : 0;
}

// One lane a channel, without exchange, where there are channels enough or lanes cost more than steps; else lanes that
// follow each other in time. Side by side, lanes touch 64 (one number a channel) or 128 neighbouring bytes.
static void choose_lanes(const vks_scan *op, const sizes *s, const vks_kernel_traits *traits, plan *p) {
    uint32_t n_unit = min_u32(s->n_unit, 1u << 16) * min_u32(s->n_batch, 1u << 15) >= 1u << 16 ? UINT32_MAX : s->n_unit;
    p->n_step = 8;
    if (traits->cpu || (n_unit == UINT32_MAX && !op->time_contiguous) || s->n_time <= p->n_step) {
        p->n_lane = 1;
        p->n_side = traits->cpu ? 16 : 64;
        return;
    }
    uint32_t useful = power_of_two_from(vks_div_up(s->n_time, p->n_step));
    bool wide = !s->a_step && s->n_time >= 2048 && traits->max_workgroup_invocations >= 512 &&
                traits->max_shared_size >= 512 * SHARED_SIZE;
    uint32_t side = op->time_contiguous ? 1 : min_u32(power_of_two_from(s->n_unit), s->a_step || wide ? 16 : 8);
    uint32_t size = op->time_contiguous ? 128 : wide ? 512 : 256;
    p->n_lane = min_u32(useful, size / side);
    p->n_side = side;
    if (p->n_lane * side < 64) p->n_side = 64 / p->n_lane; // short times: fill the subgroups with channels
}

static uint64_t n_lane_of(const sizes *s, const plan *p) {
    return (uint64_t)vks_div_up(s->n_unit, p->n_side) * p->n_side * p->n_lane * s->n_batch;
}
static uint64_t n_tile_of(const sizes *s, const plan *p) {
    uint64_t tile = (uint64_t)p->n_lane * p->n_step;
    return ((uint64_t)s->n_time + p->first + tile - 1) / tile;
}
static bool lacks_lanes(const sizes *s, const plan *p) {
    return n_lane_of(s, p) < ENOUGH_LANES && n_tile_of(s, p) >= 8;
}

static bool overlap(const vks_tensor *x, const vks_tensor *y) {
    return x->address && y->address && x->address < y->address + vks_tensor_span(y) &&
           y->address < x->address + vks_tensor_span(x);
}

// Look-back is right everywhere, but fast only where workgroups go on once they have begun; else it computes things
// twice. It was found to be faster on an NVIDIA H200 with a constant in time, channels last and no resets
// (shaders/MEASURED.md); NVIDIA's other GPUs are taken to be alike.
static bool may_look_back(const vks_kernels *kernels, const vks_scan *op, const sizes *s) {
    const vks_caps *caps = vks_device_caps(vks_kernels_device(kernels));
    return caps->vendor_id == 0x10de && caps->type == VKS_DEVICE_DISCRETE && !s->a_step && !op->time_contiguous &&
           !op->resets.address && !op->offsets.address && !overlap(&op->h, &op->b);
}

// A segment of a power of two of tiles, so that there are lanes enough, or a CPU's driver does not end the loops.
static uint64_t choose_segment(const vks_scan *op, const sizes *s, bool cpu, const plan *p) {
    uint64_t n_tile = n_tile_of(s, p), n_lane = n_lane_of(s, p), tile = (uint64_t)p->n_lane * p->n_step;
    uint64_t most = op->offsets.address ? CPU_MAX_TILE_PACKED : CPU_MAX_TILE;
    if (cpu) return (n_tile > most ? most : n_tile) * tile;
    if (!lacks_lanes(s, p)) return n_tile * tile;
    uint64_t per_segment = 1, wanted = (WANTED_LANES + n_lane - 1) / n_lane;
    while (per_segment * 2 * wanted <= n_tile)
        per_segment *= 2;
    return per_segment * tile;
}

static plan plan_of(const vks_kernels *kernels, const vks_scan *op, const sizes *s) {
    const vks_scan_tuning *tuning = &op->tuning;
    vks_kernel_traits traits = vks_kernel_traits_of(kernels);
    plan p = {.permute = tuning->permute, .first = padding_of(op, s), .n_segment = 1};
    choose_lanes(op, s, &traits, &p);
    p.look_back = tuning->look_back
                      ? tuning->look_back == 1
                      : !traits.cpu && !tuning->segment && lacks_lanes(s, &p) && may_look_back(kernels, op, s);
    if (p.look_back && p.n_lane > 1) {
        uint32_t size = min_u32(p.n_lane * p.n_side, 256);
        p.n_side = min_u32(p.n_side, op->time_contiguous ? 1 : 8);
        p.n_lane = size / p.n_side;
        // More steps have no place in the registers where they come with an a, or may be cut.
        p.n_step = s->a_step || op->resets.address || op->offsets.address ? 8 : 16;
    }
    if (tuning->n_lane) p.n_lane = tuning->n_lane;
    if (tuning->n_side) p.n_side = tuning->n_side;
    if (tuning->n_step) p.n_step = tuning->n_step;
    // Loading ahead takes registers: two arrays of them would cost more by lanes that have no place.
    p.prefetch = tuning->prefetch ? tuning->prefetch == 1 : !traits.cpu && !s->a_step && p.n_lane > 1;
    if (p.look_back) p.prefetch = false;

    uint64_t segment = p.look_back       ? (uint64_t)p.n_lane * p.n_step
                       : tuning->segment ? tuning->segment
                                         : choose_segment(op, s, traits.cpu, &p);
    uint64_t n_time = (uint64_t)s->n_time + p.first;
    if (segment >= n_time) {
        p.look_back = false;
        return p;
    }
    p.segment_size = (uint32_t)segment;
    p.n_segment = (uint32_t)((n_time + segment - 1) / segment);
    return p;
}

static bool has_cuts(const vks_scan *op, const plan *p) {
    return op->resets.address || op->offsets.address || p->first;
}

// As include/scan_run.glsl lays them out; look-back: include/scan_slots.glsl.
static uint64_t scratch_of(const vks_scan *op, const sizes *s, const plan *p) {
    if (p->n_segment == 1) return 0;
    uint64_t units = (uint64_t)s->n_batch * s->n_unit, n_total = units * p->n_segment;
    if (p->look_back)
        return 2 + 4 * (n_total + units) * (s->a_step ? 2 : 1) + (s->a_step ? 0 : 2 * units * VKS_SCAN_N_POWER);
    return 2 * (n_total + (s->a_step ? n_total : units * VKS_SCAN_N_POWER)) + (has_cuts(op, p) ? n_total : 0);
}

uint64_t vks_scan_scratch_size(const vks_kernels *kernels, const vks_scan *op) {
    sizes s = sizes_of(op);
    if (!s.n_batch || !s.n_time || !s.n_channel) return 0;
    plan p = plan_of(kernels, op, &s);
    uint64_t n = scratch_of(op, &s, &p);
    if (!p.look_back || op->tuning.look_back) return n;
    // Where the arrays will lie may not be known yet: enough for either algorithm.
    vks_scan other = *op;
    other.tuning.look_back = 2;
    p = plan_of(kernels, &other, &s);
    uint64_t n_other = scratch_of(op, &s, &p);
    return n > n_other ? n : n_other;
}

// ---- checks --------------------------------------------------------------------------------------------------------

// The shape, with the 2 of complex numbers behind it.
static vkssm_status check_shape(const vks_op_target *target, const vks_scan *op, const char *name,
                                const vks_tensor *tensor, uint32_t n_dim, const uint32_t *shape) {
    uint32_t whole[VKS_TENSOR_MAX_DIM] = {0};
    for (uint32_t i = 0; i < n_dim; i++)
        whole[i] = shape[i];
    whole[n_dim] = 2;
    VKS_TRY(vks_check_shape(target, name, tensor, n_dim + op->is_complex, whole));
    if (op->is_complex) VKS_TRY(vks_check_dense(target, name, tensor, n_dim - 1));
    return VKSSM_OK;
}

// b, h, and a for every step: rows that do not overlap, and that 32-bit indices reach.
static vkssm_status check_steps(const vks_op_target *target, const vks_scan *op, const char *name,
                                const vks_tensor *tensor) {
    VKS_TRY(vks_check_float(target, name, tensor));
    VKS_TRY(check_shape(target, op, name, tensor, 3, op->b.shape));
    uint32_t multiple = tensor->dtype == VKSSM_DTYPE_F32 ? 1 : 2;
    uint64_t n_row = (uint64_t)tensor->shape[2] * (op->is_complex ? 2 : 1), used = n_row;
    for (uint32_t dim = 2; dim-- > 0;) {
        if (tensor->shape[dim] > 1) {
            VKS_TRY(vks_check_stride(target, name, tensor, dim, multiple));
            // All sequences' channels of a step may stand side by side, step after step.
            bool time_first = dim == 0 && tensor->shape[1] > 1 && tensor->stride[0] >= n_row &&
                              (tensor->shape[0] - 1) * tensor->stride[0] + n_row <= tensor->stride[1];
            if (time_first) used = n_row;
            if (tensor->stride[dim] < used)
                return vks_op_fail(target, VKSSM_ERR_ARG,
                                   "%s: a stride of dimension %u of at least %llu expected, %llu found: "
                                   "rows overlap",
                                   name, dim, (unsigned long long)used, (unsigned long long)tensor->stride[dim]);
        }
        used += (tensor->shape[dim] - 1) * tensor->stride[dim];
        if (dim == 1 && used > INT32_MAX)
            return vks_op_fail(target, VKSSM_ERR_ARG,
                               "%s: at most %d elements between two batch entries expected, %llu found", name,
                               INT32_MAX, (unsigned long long)used);
    }
    return VKSSM_OK;
}

static vkssm_status check_a(const vks_op_target *target, const vks_scan *op, const sizes *s) {
    if (s->a_step) return check_steps(target, op, "scan: a", &op->a);
    VKS_TRY(vks_check_float(target, "scan: a", &op->a));
    bool per_batch = op->a.n_dim == 2u + op->is_complex;
    if (per_batch)
        VKS_TRY(check_shape(target, op, "scan: a", &op->a, 2, (uint32_t[]){s->n_batch, s->n_channel}));
    else
        VKS_TRY(check_shape(target, op, "scan: a", &op->a, 1, (uint32_t[]){s->n_channel}));
    return per_batch ? vks_check_stride(target, "scan: a", &op->a, 0, op->a.dtype == VKSSM_DTYPE_F32 ? 1 : 2)
                     : VKSSM_OK;
}

static vkssm_status check_state(const vks_op_target *target, const vks_scan *op, const sizes *s, const char *name,
                                const vks_tensor *tensor) {
    if (!tensor->address) return VKSSM_OK;
    VKS_TRY(check_shape(target, op, name, tensor, 2, (uint32_t[]){s->n_sequence, s->n_channel}));
    VKS_TRY(vks_check_dtype(target, name, tensor, VKSSM_DTYPE_F32));
    return vks_check_dense(target, name, tensor, 0);
}

static bool same_layout(const vks_tensor *x, const vks_tensor *y) {
    return x->address == y->address && x->dtype == y->dtype && x->stride[0] == y->stride[0] &&
           x->stride[1] == y->stride[1];
}
// Columns of the same rows do not touch each other.
static bool side_by_side(const vks_tensor *x, const vks_tensor *y, uint64_t n_element) {
    if (x->dtype != y->dtype || x->stride[1] != y->stride[1] || x->stride[0] != y->stride[0]) return false;
    uint64_t size = vkssm_dtype_size(x->dtype), row = x->stride[1] * size;
    uint64_t gap = x->address > y->address ? x->address - y->address : y->address - x->address;
    uint64_t used = vks_align_up(n_element * size, 4);
    return row && x->stride[0] % x->stride[1] == 0 && gap % row >= used && gap % row + used <= row;
}

static vkssm_status check_overlaps(const vks_op_target *target, const vks_scan *op) {
    uint64_t n_element = (uint64_t)op->b.shape[2] * (op->is_complex ? 2 : 1);
    if (overlap(&op->h, &op->b) && !same_layout(&op->h, &op->b) && !side_by_side(&op->h, &op->b, n_element))
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "scan: h: b itself or other memory than b's expected, an overlap found");
    bool a_step = op->a.n_dim == op->b.n_dim;
    if (overlap(&op->h, &op->a) && !(a_step && side_by_side(&op->h, &op->a, n_element)))
        return vks_op_fail(target, VKSSM_ERR_ARG, "scan: h: other memory than a's expected, an overlap found");
    // Packed: a segment of time may begin a sequence after another one has ended it.
    if (overlap(&op->last, &op->initial) && (op->last.address != op->initial.address || op->offsets.address))
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "scan: last: %sother memory than initial's expected, an overlap found",
                           op->offsets.address ? "" : "initial itself or ");
    const vks_tensor *others[] = {&op->initial, &op->last, &op->resets, &op->offsets, &op->scratch};
    for (size_t i = 0; i < VKS_COUNT(others); i++)
        if (overlap(&op->h, others[i]))
            return vks_op_fail(target, VKSSM_ERR_ARG,
                               "scan: h: other memory than that of the states, resets, offsets and "
                               "scratch expected, an overlap found");
    return VKSSM_OK;
}

static vkssm_status check(const vks_op_target *target, const vks_scan *op, const sizes *s) {
    if (op->b.n_dim != 3u + op->is_complex)
        return vks_op_fail(target, VKSSM_ERR_ARG, "scan: b: %u dimensions expected, %u found", 3u + op->is_complex,
                           op->b.n_dim);
    if (!s->n_batch || !s->n_time || !s->n_channel)
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "scan: b: at least one sequence, step and channel expected, %u, %u and %u found", s->n_batch,
                           s->n_time, s->n_channel);
    VKS_TRY(check_steps(target, op, "scan: b", &op->b));
    VKS_TRY(check_steps(target, op, "scan: h", &op->h));
    VKS_TRY(check_a(target, op, s));
    if (op->resets.address) {
        VKS_TRY(vks_check_shape(target, "scan: resets", &op->resets, VKS_SHAPE(s->n_batch, s->n_time)));
        VKS_TRY(vks_check_dtype(target, "scan: resets", &op->resets, VKSSM_DTYPE_I32));
        VKS_TRY(vks_check_stride(target, "scan: resets", &op->resets, 0, 1));
    }
    if (op->offsets.address) {
        if (op->offsets.n_dim != 1 || op->offsets.shape[0] < 2)
            return vks_op_fail(target, VKSSM_ERR_ARG,
                               "scan: offsets: shape [n+1] with n at least 1 expected, %u dimensions "
                               "of %u found",
                               op->offsets.n_dim, op->offsets.shape[0]);
        VKS_TRY(vks_check_shape(target, "scan: offsets", &op->offsets, VKS_SHAPE(op->offsets.shape[0])));
        VKS_TRY(vks_check_dtype(target, "scan: offsets", &op->offsets, VKSSM_DTYPE_I32));
        if (s->n_batch != 1)
            return vks_op_fail(target, VKSSM_ERR_ARG, "scan: offsets: one time axis (B = 1) expected, %u found",
                               s->n_batch);
    }
    VKS_TRY(check_state(target, op, s, "scan: initial", &op->initial));
    VKS_TRY(check_state(target, op, s, "scan: last", &op->last));
    return check_overlaps(target, op);
}

static vkssm_status check_plan(const vks_op_target *target, const vks_scan *op, const sizes *s, const plan *p) {
    const vks_caps *caps = vks_device_caps(vks_kernels_device(target->kernels));
    uint64_t n_invocation = (uint64_t)p->n_lane * p->n_side, tile = (uint64_t)p->n_lane * p->n_step;
    const uint32_t bytes_shared = p->look_back ? SHARED_SIZE_LOOK_BACK : SHARED_SIZE;
    if (!is_power_of_two(p->n_lane) || !is_power_of_two(p->n_side) || !is_power_of_two(p->n_step) || p->n_step < 4 ||
        p->n_step > 16 || n_invocation > 1024 || n_invocation > caps->max_workgroup_invocations ||
        n_invocation * bytes_shared > caps->max_shared_size)
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "scan: tuning: powers of two that the device can run expected, %u lanes, %u "
                           "side by side, %u steps found",
                           p->n_lane, p->n_side, p->n_step);
    if (p->n_segment == 1) return VKSSM_OK;
    // A workgroup may compute another one's tile after that one has stored its h.
    if (p->look_back && (overlap(&op->h, &op->b) || overlap(&op->h, &op->a)))
        return vks_op_fail(
            target, VKSSM_ERR_ARG,
            "scan: tuning: an h in other memory than b's and a's expected to look back, an overlap found");
    if (p->segment_size % tile || !is_power_of_two(p->segment_size))
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "scan: tuning: a segment of a power of two of %llu steps expected, %u found",
                           (unsigned long long)tile, p->segment_size);
    uint64_t wanted = scratch_of(op, s, p);
    VKS_TRY(vks_check_shape(target, "scan: scratch", &op->scratch, VKS_SHAPE(op->scratch.shape[0])));
    VKS_TRY(vks_check_dtype(target, "scan: scratch", &op->scratch, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_alignment(target, "scan: scratch", &op->scratch, 8));
    if (op->scratch.shape[0] < wanted)
        return vks_op_fail(target, VKSSM_ERR_ARG, "scan: scratch: %llu floats expected, %u found",
                           (unsigned long long)wanted, op->scratch.shape[0]);
    return VKSSM_OK;
}

// ---- recording -----------------------------------------------------------------------------------------------------

// Whether every row of the tensor starts on a multiple of `multiple` elements, and the tensor on as many bytes.
static bool is_aligned(const vks_tensor *tensor, uint32_t multiple) {
    bool rows = tensor->shape[1] == 1 || tensor->stride[1] % multiple == 0;
    bool batches = tensor->shape[0] == 1 || tensor->stride[0] % multiple == 0;
    return rows && batches && tensor->address % (multiple * vkssm_dtype_size(tensor->dtype)) == 0;
}

static uint32_t flags_of(const vks_scan *op, const sizes *s, const plan *p) {
    uint32_t flags = 0;
    if (op->is_complex) flags |= VKS_SCAN_COMPLEX;
    if (s->a_step) flags |= VKS_SCAN_A_STEP;
    if (op->reverse) flags |= VKS_SCAN_REVERSE;
    if (op->resets.address) flags |= VKS_SCAN_RESETS;
    if (op->offsets.address) flags |= VKS_SCAN_PACKED;
    if (p->first) flags |= VKS_SCAN_PADDED;
    if (op->time_contiguous) flags |= VKS_SCAN_TIME_CONTIGUOUS;
    if (p->prefetch) flags |= VKS_SCAN_PREFETCH;
    if (p->n_segment > 1) flags |= VKS_SCAN_SEGMENTS;
    const vks_tensor *tensors[] = {&op->b, &op->h, s->a_step ? &op->a : &op->b};
    bool pairs = true, quads = op->time_contiguous && s->n_time * s->n_part % 4 == 0;
    for (size_t i = 0; i < VKS_COUNT(tensors); i++) {
        if (tensors[i]->dtype == VKSSM_DTYPE_F32) pairs = pairs && is_aligned(tensors[i], 2);
        quads = quads && is_aligned(tensors[i], 4);
    }
    return flags | (pairs ? VKS_SCAN_PAIRS : 0) | (quads ? VKS_SCAN_QUADS : 0);
}

static uint32_t greatest_common_divisor(uint32_t x, uint32_t y) {
    return y ? greatest_common_divisor(y, x % y) : x;
}
// A factor that leads through all of n places, far from one to the next. 0 where products would exceed 32 bits.
static uint32_t permutation_of(uint32_t n) {
    if (n < 3 || n >= 1u << 16) return 0;
    uint32_t factor = n * 5 / 8 + 1;
    while (greatest_common_divisor(factor, n) != 1)
        factor++;
    return factor;
}

typedef enum pass_kind { APPLY, REDUCE, PREPARE } pass_kind; // with look-back PREPARE, then APPLY

static uint32_t choose_variant(const vks_op_target *target, const plan *p) {
    vks_kernel_traits traits = vks_kernel_traits_of(target->kernels);
    bool can_subgroup = p->n_lane > 1 && p->n_lane * p->n_side % traits.subgroup_size == 0;
    const uint32_t two_pass[] = {VKS_SHADER_scan_sg, VKS_SHADER_scan};
    const uint32_t one_pass[] = {VKS_SHADER_scan_lookback_sg, VKS_SHADER_scan_lookback};
    return vks_kernel_choose(target->kernels, (p->look_back ? one_pass : two_pass) + !can_subgroup, 1 + can_subgroup);
}

static uint64_t n_group_of(const sizes *s, const plan *p, pass_kind pass) {
    uint64_t n_unit = (uint64_t)s->n_batch * s->n_unit, wg_size = p->n_lane * p->n_side;
    if (pass == PREPARE) return (n_unit * (p->n_segment + 1) + wg_size - 1) / wg_size;
    return (uint64_t)vks_div_up(s->n_unit, p->n_side) * (p->n_segment - (pass == REDUCE)) * s->n_batch;
}

static vkssm_status record(const vks_op_target *target, const vks_scan *op, const sizes *s, const plan *p,
                           pass_kind pass) {
    uint32_t shader = choose_variant(target, p);
    uint64_t n_group = n_group_of(s, p, pass);
    if (n_group > UINT32_MAX)
        return vks_op_fail(target, VKSSM_ERR_UNSUPPORTED, "scan: at most %u workgroups expected, %llu needed",
                           UINT32_MAX, (unsigned long long)n_group);
    uint32_t n_row = vks_div_up((uint32_t)n_group, 65535), n_column = vks_div_up((uint32_t)n_group, n_row);
    struct vks_scan_params push = {
        .a = op->a.address,
        .b = op->b.address,
        .h = op->h.address,
        .initial = op->initial.address,
        .last = op->last.address,
        .resets = op->resets.address,
        .offsets = op->offsets.address,
        .totals = op->scratch.address,
        .n_time = s->n_time,
        .first = p->first,
        .n_channel = s->n_channel * s->n_part,
        .n_batch = s->n_batch,
        .n_unit = s->n_unit,
        .a_batch = s->a_step || op->a.n_dim == 2u + op->is_complex ? (uint32_t)op->a.stride[0] : 0,
        .a_row = s->a_step ? (uint32_t)op->a.stride[1] : 0,
        .b_batch = (uint32_t)op->b.stride[0],
        .b_row = (uint32_t)op->b.stride[1],
        .h_batch = (uint32_t)op->h.stride[0],
        .h_row = (uint32_t)op->h.stride[1],
        .resets_row = (uint32_t)op->resets.stride[0],
        .n_sequence = s->n_sequence,
        .n_segment = p->n_segment,
        .segment_size = p->segment_size,
        .n_group = (uint32_t)n_group,
    };
    uint32_t flags = flags_of(op, s, p) | (pass == REDUCE ? VKS_SCAN_REDUCE : pass == PREPARE ? VKS_SCAN_PREPARE : 0);
    if (op->tuning.late) flags |= VKS_SCAN_LATE;
    vks_access totals = {op->scratch.address, p->n_segment > 1 ? 4 * scratch_of(op, s, p) : 0,
                         pass != APPLY || p->look_back};
    vks_access accesses[] = {vks_reads(&op->a),       vks_reads(&op->b),      totals,
                             vks_reads(&op->initial), vks_reads(&op->resets), vks_reads(&op->offsets),
                             vks_writes(&op->h),      vks_writes(&op->last)};
    uint32_t permutation = p->permute && pass != PREPARE ? permutation_of((uint32_t)n_group) : 0;
    const uint32_t constants[] = {p->n_lane * p->n_side,
                                  p->n_side,
                                  p->n_step,
                                  op->a.dtype,
                                  op->b.dtype,
                                  op->h.dtype,
                                  flags,
                                  permutation,
                                  op->tuning.n_turn ? op->tuning.n_turn : N_TURN,
                                  op->tuning.withhold};
    return vks_kernel_dispatch(
        target, &(vks_kernel_call){
                    .shader = shader,
                    .constants = constants,
                    .n_constant = p->look_back ? 10 : 8,
                    .full_subgroups = shader == VKS_SHADER_scan_sg || shader == VKS_SHADER_scan_lookback_sg,
                    .push = &push,
                    .push_size = sizeof push,
                    .n_group = {n_column, n_row, 1},
                    .accesses = accesses,
                    .n_access = VKS_COUNT(accesses) - (pass == APPLY ? 0 : 2),
                });
}

vkssm_status vks_op_scan(const vks_op_target *target, const vks_scan *op) {
    sizes s = sizes_of(op);
    VKS_TRY(check(target, op, &s));
    plan p = plan_of(target->kernels, op, &s);
    VKS_TRY(check_plan(target, op, &s, &p));
    vks_op_begin(target, "scan");
    vkssm_status status = VKSSM_OK;
    if (p.n_segment > 1) status = record(target, op, &s, &p, p.look_back ? PREPARE : REDUCE);
    if (status == VKSSM_OK) status = record(target, op, &s, &p, APPLY);
    vks_op_end(target);
    return status;
}

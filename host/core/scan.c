// The public scan: host arrays to the operator and back.
#include <vkssm/scan.h>

#include "host/base/alloc.h"
#include "host/op/ops.h"
#include "scan_job.h"

typedef struct run {
    const vkssm_scan_params *params;
    vks_kernels *kernels;
    uint32_t n_batch, n_state; // B; rows of initial and last
    vks_scan op;
    vks_scan_array a, b, initial, last, resets, offsets, scratch;
} run;

static vkssm_status fail(const run *r, const char *what, uint64_t expected, uint64_t found) {
    return vks_fail(vks_kernels_log(r->kernels), VKSSM_ERR_ARG, "scan: %s of %llu expected, %llu found", what,
                    (unsigned long long)expected, (unsigned long long)found);
}

static vkssm_status check_offsets(const run *r) {
    const vkssm_scan_params *p = r->params;
    const vkssm_log *log = vks_kernels_log(r->kernels);
    if (r->n_batch != 1) return fail(r, "packed sequences: a batch", 1, r->n_batch);
    if (p->n_sequence == 0)
        return vks_fail(log, VKSSM_ERR_ARG, "scan: offsets: a number of sequences of at least 1 expected, 0 found");
    if (p->offsets[0] != 0) return fail(r, "offsets: a start", 0, p->offsets[0]);
    for (uint32_t s = 0; s < p->n_sequence; s++)
        if (p->offsets[s + 1] < p->offsets[s])
            return vks_fail(log, VKSSM_ERR_ARG,
                            "scan: offsets: offset %u of at least %u expected, %u found: they go backwards", s + 1,
                            p->offsets[s], p->offsets[s + 1]);
    if (p->offsets[p->n_sequence] != p->n_time) return fail(r, "offsets: an end", p->n_time, p->offsets[p->n_sequence]);
    return VKSSM_OK;
}

static vkssm_status check_sizes(const run *r, uint64_t *step_size, uint64_t *a_size) {
    const vkssm_scan_params *p = r->params;
    const vkssm_log *log = vks_kernels_log(r->kernels);
    if (p->dtype != VKSSM_DTYPE_F32 && p->dtype != VKSSM_DTYPE_F16 && p->dtype != VKSSM_DTYPE_BF16)
        return vks_fail(log, VKSSM_ERR_ARG, "scan: a type of F32, F16 or BF16 expected, %s found",
                        vkssm_dtype_name(p->dtype));
    if (p->n_time == 0 || p->n_channel == 0)
        return vks_fail(log, VKSSM_ERR_ARG, "scan: at least one step and one channel expected, %u and %u found",
                        p->n_time, p->n_channel);
    if (!p->a || !p->b || !p->h)
        return vks_fail(log, VKSSM_ERR_ARG, "scan: arrays a, b and h expected, NULL found for %s",
                        !p->a   ? "a"
                        : !p->b ? "b"
                                : "h");
    if ((unsigned)p->decay > VKSSM_SCAN_PER_BATCH)
        return vks_fail(log, VKSSM_ERR_ARG, "scan: a kind of decay up to %d expected, %d found", VKSSM_SCAN_PER_BATCH,
                        p->decay);
    uint64_t channel = (uint64_t)p->n_channel * (p->is_complex ? 2 : 1) * vkssm_dtype_size(p->dtype);
    bool fits = vks_mul_u64(channel, r->n_batch, step_size) && vks_mul_u64(*step_size, p->n_time, step_size);
    if (!fits || *step_size > INT64_MAX)
        return vks_fail(log, VKSSM_ERR_ARG, "scan: sizes that fit 63 bits expected, %u x %u x %u found", r->n_batch,
                        p->n_time, p->n_channel);
    *a_size = p->decay == VKSSM_SCAN_PER_STEP    ? *step_size
              : p->decay == VKSSM_SCAN_PER_BATCH ? channel * r->n_batch
                                                 : channel;
    if (p->a_size != *a_size) return fail(r, "a: a size", *a_size, p->a_size);
    if (p->b_size != *step_size) return fail(r, "b: a size", *step_size, p->b_size);
    if (p->h_size != *step_size) return fail(r, "h: a size", *step_size, p->h_size);
    return p->offsets ? check_offsets(r) : VKSSM_OK;
}

// An array of n_row rows; on the device every row starts on a word.
static vks_scan_array array_of(const char *name, const void *in, void *out, uint64_t n_row, uint64_t row_size) {
    return (vks_scan_array){name, in, out, n_row, row_size, vks_align_up(row_size, 4), 0, false};
}

static vks_tensor tensor_of(const vks_scan_array *array, vkssm_dtype dtype, bool is_complex, uint32_t n_dim,
                            const uint32_t *shape) {
    uint32_t whole[VKS_TENSOR_MAX_DIM] = {0};
    for (uint32_t i = 0; i < n_dim; i++)
        whole[i] = shape[i];
    whole[n_dim] = 2; // complex
    vks_tensor tensor = vks_tensor_dense(array->address, dtype, n_dim + is_complex, whole);
    if (n_dim < 2) return tensor;
    uint64_t row = array->device_row_size / vkssm_dtype_size(dtype);
    tensor.stride[n_dim - 2] = row;
    if (n_dim == 3) tensor.stride[0] = row * shape[1];
    return tensor;
}

// The operator on the arrays wherever they are.
static void place(run *r) {
    const vkssm_scan_params *p = r->params;
    bool c = p->is_complex, rows = p->time_contiguous;
    const uint32_t steps[] = {r->n_batch, rows ? p->n_channel : p->n_time, rows ? p->n_time : p->n_channel};
    const uint32_t channels[] = {r->n_batch, p->n_channel}, states[] = {r->n_state, p->n_channel};
    r->op = (vks_scan){
        .b = tensor_of(&r->b, p->dtype, c, 3, steps),
        .initial = tensor_of(&r->initial, VKSSM_DTYPE_F32, c, 2, states),
        .last = tensor_of(&r->last, VKSSM_DTYPE_F32, c, 2, states),
        .resets = tensor_of(&r->resets, VKSSM_DTYPE_I32, false, 2, (uint32_t[]){r->n_batch, p->n_time}),
        .offsets = tensor_of(&r->offsets, VKSSM_DTYPE_I32, false, 1, (uint32_t[]){p->n_sequence + 1}),
        .is_complex = c,
        .time_contiguous = rows,
        .reverse = p->reverse,
    };
    if (p->decay == VKSSM_SCAN_PER_STEP)
        r->op.a = tensor_of(&r->a, p->dtype, c, 3, steps);
    else if (p->decay == VKSSM_SCAN_PER_BATCH)
        r->op.a = tensor_of(&r->a, p->dtype, c, 2, channels);
    else
        r->op.a = tensor_of(&r->a, p->dtype, c, 1, channels + 1);
    r->op.h = r->op.b;
}

static vkssm_status record(void *user, vks_recorder *recorder) {
    run *r = user;
    uint64_t n_scratch = r->scratch.device_row_size / 4;
    place(r);
    if (n_scratch)
        r->op.scratch = vks_tensor_dense(r->scratch.address, VKSSM_DTYPE_F32, 1, (uint32_t[]){(uint32_t)n_scratch});
    return vks_op_scan(&(vks_op_target){.kernels = r->kernels, .recorder = recorder}, &r->op);
}

vkssm_status vkssm_scan_run(vkssm_device *device, const vkssm_scan_params *params) {
    if (!device || !params) return vks_fail(NULL, VKSSM_ERR_ARG, "scan: a device and parameters expected, NULL found");
    run r = {.params = params, .kernels = device->kernels, .n_batch = params->n_batch ? params->n_batch : 1};
    r.n_state = params->offsets ? params->n_sequence : r.n_batch;
    uint64_t step_size = 0, a_size = 0;
    VKS_TRY(check_sizes(&r, &step_size, &a_size));
    uint64_t part = (params->is_complex ? 2 : 1) * vkssm_dtype_size(params->dtype);
    uint64_t row = part * (params->time_contiguous ? params->n_time : params->n_channel),
             channels = part * params->n_channel;
    bool per_step = params->decay == VKSSM_SCAN_PER_STEP;
    r.a = array_of("a", params->a, NULL, a_size / (per_step ? row : channels), per_step ? row : channels);
    r.b = array_of("b and h", params->b, params->h, step_size / row, row);
    uint64_t state = (uint64_t)params->n_channel * (params->is_complex ? 8 : 4);
    r.initial = array_of("initial", params->initial, NULL, r.n_state, state);
    r.last = array_of("last", NULL, params->last, r.n_state, state);
    r.resets = array_of("resets", params->resets, NULL, r.n_batch, 4 * (uint64_t)params->n_time);
    r.offsets = array_of("offsets", params->offsets, NULL, 1, 4 * ((uint64_t)params->n_sequence + 1));
    // Before there are addresses: the size depends on shapes, and on which operands there are.
    vks_scan_array *arrays[] = {&r.a, &r.b, &r.initial, &r.last, &r.resets, &r.offsets, &r.scratch};
    for (size_t i = 0; i + 1 < VKS_COUNT(arrays); i++)
        arrays[i]->address = arrays[i]->in || arrays[i]->out ? 256 : 0;
    place(&r);
    uint64_t n_scratch = vks_scan_scratch_size(r.kernels, &r.op);
    if (n_scratch > UINT32_MAX)
        return vks_fail(vks_kernels_log(r.kernels), VKSSM_ERR_ARG,
                        "scan: scratch of at most %u floats expected, %llu needed", UINT32_MAX,
                        (unsigned long long)n_scratch);
    r.scratch = array_of("scratch", NULL, NULL, 1, 4 * n_scratch);
    r.scratch.keep = n_scratch > 0;
    return vks_scan_job_run(device->vk, arrays, VKS_COUNT(arrays), record, &r);
}

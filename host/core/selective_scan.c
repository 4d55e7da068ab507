// The public selective scan: host arrays to the operator and back.
#include <vkssm/selective_scan.h>

#include <string.h>

#include "host/base/alloc.h"
#include "host/op/ops.h"
#include "scan_job.h"

enum { MAX_STATE = 256 };

typedef struct run {
    const vkssm_selective_scan_params *params;
    vks_kernels *kernels;
    uint32_t n_batch, n_group, n_sequence; // B, G; rows of the state
    float *channels, *zeros;               // [2, D]: bias of dt, D; a state of zeros where one is wanted back
    vks_selective_scan op;
    vks_scan_array x, dt, b, c, gate, y, a, per_channel, state, offsets, scratch;
} run;

static vkssm_status refuse(const run *r, const char *what, uint64_t expected, uint64_t found) {
    return vks_fail(vks_kernels_log(r->kernels), VKSSM_ERR_ARG, "selective_scan: %s of %llu expected, %llu found", what,
                    (unsigned long long)expected, (unsigned long long)found);
}

static vkssm_status check_offsets(const run *r) {
    const vkssm_selective_scan_params *p = r->params;
    if (r->n_batch != 1) return refuse(r, "packed sequences: a batch", 1, r->n_batch);
    if (p->n_sequence == 0) return refuse(r, "offsets: a number of sequences", 1, 0);
    if (p->offsets[0] != 0) return refuse(r, "offsets: a start", 0, p->offsets[0]);
    for (uint32_t s = 0; s < p->n_sequence; s++)
        if (p->offsets[s + 1] < p->offsets[s])
            return vks_fail(vks_kernels_log(r->kernels), VKSSM_ERR_ARG,
                            "selective_scan: offsets: offset %u of at least %u expected, %u found: they go backwards",
                            s + 1, p->offsets[s], p->offsets[s + 1]);
    if (p->offsets[p->n_sequence] != p->n_time)
        return refuse(r, "offsets: an end", p->n_time, p->offsets[p->n_sequence]);
    return VKSSM_OK;
}

// What the operator does not see: arrays that are missing, and sizes whose products do not fit.
static vkssm_status check(const run *r) {
    const vkssm_selective_scan_params *p = r->params;
    const vkssm_log *log = vks_kernels_log(r->kernels);
    const struct {
        const char *name;
        const void *array;
    } needed[] = {{"x", p->x}, {"dt", p->dt}, {"b", p->b}, {"c", p->c}, {"a", p->a}, {"y", p->y}};
    for (size_t i = 0; i < VKS_COUNT(needed); i++)
        if (!needed[i].array)
            return vks_fail(log, VKSSM_ERR_ARG,
                            "selective_scan: arrays x, dt, b, c, a and y expected, NULL found for %s", needed[i].name);
    if (p->dtype != VKSSM_DTYPE_F32 && p->dtype != VKSSM_DTYPE_F16 && p->dtype != VKSSM_DTYPE_BF16)
        return vks_fail(log, VKSSM_ERR_ARG, "selective_scan: a type of F32, F16 or BF16 expected, %s found",
                        vkssm_dtype_name(p->dtype));
    if (p->n_time == 0 || p->n_channel == 0 || p->n_state == 0 || p->n_state > MAX_STATE)
        return vks_fail(
            log, VKSSM_ERR_ARG,
            "selective_scan: at least one step and one channel, and 1 to %d states expected, %u, %u and %u found",
            MAX_STATE, p->n_time, p->n_channel, p->n_state);
    if (p->n_channel % r->n_group != 0 || (r->n_group > 1 && p->n_channel / r->n_group % 2 != 0) ||
        (r->n_group > 1 && p->dtype != VKSSM_DTYPE_F32 && p->n_state % 2 != 0))
        return vks_fail(
            log, VKSSM_ERR_ARG,
            "selective_scan: groups of an even number of channels (and of states, of 16-bit types) expected, %u "
            "channels and %u states in %u groups of %s found",
            p->n_channel, p->n_state, r->n_group, vkssm_dtype_name(p->dtype));
    uint64_t widest = vks_align_up(p->n_channel, 2), n_bc = (uint64_t)r->n_group * p->n_state;
    if (n_bc > widest) widest = n_bc;
    uint64_t n_row = (uint64_t)r->n_batch * p->n_time, most = UINT32_MAX / widest;
    uint64_t n_sequence = p->offsets ? p->n_sequence : r->n_batch;
    if (widest > UINT32_MAX || n_row > most || n_sequence * p->n_channel > UINT32_MAX / p->n_state)
        return vks_fail(log, VKSSM_ERR_ARG,
                        "selective_scan: arrays of less than 2^32 elements expected, %u x %u x %u found", r->n_batch,
                        p->n_time, p->n_channel);
    return p->offsets ? check_offsets(r) : VKSSM_OK;
}

// An array of n_row rows; on the device every row starts on a word.
static vks_scan_array array_of(const char *name, const void *in, void *out, uint64_t n_row, uint64_t row_size) {
    return (vks_scan_array){name, in, out, n_row, row_size, vks_align_up(row_size, 4), 0, false};
}

static vks_tensor rows_of(const run *r, const vks_scan_array *array, uint32_t n_column) {
    if (!array->address) return (vks_tensor){0};
    vkssm_dtype dtype = r->params->dtype;
    vks_tensor rows = vks_tensor_rows(array->address, dtype, r->n_batch * r->params->n_time, n_column,
                                      array->device_row_size / vkssm_dtype_size(dtype));
    return vks_tensor_sequences(rows, r->n_batch, r->params->n_time);
}

static vks_tensor floats_of(const vks_scan_array *array, vkssm_dtype dtype, uint32_t n_dim, const uint32_t *shape) {
    return array->address ? vks_tensor_dense(array->address, dtype, n_dim, shape) : (vks_tensor){0};
}

// The operator on the arrays wherever they are.
static void place(run *r) {
    const vkssm_selective_scan_params *p = r->params;
    uint32_t d = p->n_channel, n = p->n_state, n_bc = r->n_group * n;
    const uint32_t state[] = {r->n_sequence, d, n}, channels[] = {2, d};
    r->op = (vks_selective_scan){
        .x = rows_of(r, &r->x, d),
        .dt = rows_of(r, &r->dt, d),
        .b = vks_tensor_split_last(rows_of(r, &r->b, n_bc), r->n_group, n),
        .c = vks_tensor_split_last(rows_of(r, &r->c, n_bc), r->n_group, n),
        .gate = rows_of(r, &r->gate, d),
        .a = floats_of(&r->a, VKSSM_DTYPE_F32, 2, state + 1),
        .channels = floats_of(&r->per_channel, VKSSM_DTYPE_F32, 2, channels),
        .state = floats_of(&r->state, VKSSM_DTYPE_F32, 3, state),
        .offsets = floats_of(&r->offsets, VKSSM_DTYPE_I32, 1, (uint32_t[]){r->n_sequence + 1}),
        .y = rows_of(r, &r->y, d),
        .reverse = p->reverse,
    };
}

static vkssm_status record(void *user, vks_recorder *recorder) {
    run *r = user;
    uint32_t n_scratch = (uint32_t)(r->scratch.device_row_size / 4);
    place(r);
    r->op.scratch = floats_of(&r->scratch, VKSSM_DTYPE_F32, 1, &n_scratch);
    return vks_op_selective_scan(&(vks_op_target){.kernels = r->kernels, .recorder = recorder}, &r->op);
}

static vkssm_status make_arrays(run *r) {
    const vkssm_selective_scan_params *p = r->params;
    uint64_t n_row = (uint64_t)r->n_batch * p->n_time, size = vkssm_dtype_size(p->dtype), row = p->n_channel * size;
    uint64_t row_bc = (uint64_t)r->n_group * p->n_state * size, state = (uint64_t)p->n_channel * p->n_state;
    bool make_zeros = p->last && !p->initial;
    r->channels = vks_alloc_zero(2 * (size_t)p->n_channel, sizeof *r->channels);
    if (make_zeros) r->zeros = vks_alloc_zero((size_t)(r->n_sequence * state), sizeof *r->zeros);
    if (!r->channels || (make_zeros && !r->zeros))
        return vks_fail(vks_kernels_log(r->kernels), VKSSM_ERR_OOM_HOST, "selective_scan: out of host memory");
    if (p->dt_bias) memcpy(r->channels, p->dt_bias, p->n_channel * sizeof(float));
    if (p->d) memcpy(r->channels + p->n_channel, p->d, p->n_channel * sizeof(float));
    r->x = array_of("x", p->x, NULL, n_row, row);
    r->dt = array_of("dt", p->dt, NULL, n_row, row);
    r->gate = array_of("gate", p->gate, NULL, n_row, row);
    r->y = array_of("y", NULL, p->y, n_row, row);
    r->b = array_of("b", p->b, NULL, n_row, row_bc);
    r->c = array_of("c", p->c, NULL, n_row, row_bc);
    r->a = array_of("a", p->a, NULL, 1, 4 * state);
    r->per_channel = array_of("bias of dt and D", r->channels, NULL, 1, 8 * (uint64_t)p->n_channel);
    r->state = array_of("state", make_zeros ? r->zeros : p->initial, p->last, r->n_sequence, 4 * state);
    r->offsets = array_of("offsets", p->offsets, NULL, 1, 4 * ((uint64_t)r->n_sequence + 1));
    return VKSSM_OK;
}

static vkssm_status compute(run *r, vks_device *device) {
    VKS_TRY(make_arrays(r));
    vks_scan_array *arrays[] = {&r->x, &r->dt,          &r->b,     &r->c,       &r->gate,   &r->y,
                                &r->a, &r->per_channel, &r->state, &r->offsets, &r->scratch};
    // Before there are addresses: the size depends on shapes, and on which operands there are.
    for (size_t i = 0; i + 1 < VKS_COUNT(arrays); i++)
        arrays[i]->address = arrays[i]->in || arrays[i]->out ? 256 : 0;
    place(r);
    uint64_t n_scratch = vks_selective_scan_scratch_size(r->kernels, &r->op);
    if (n_scratch > UINT32_MAX) return refuse(r, "scratch: a number of floats", UINT32_MAX, n_scratch);
    r->scratch = array_of("scratch", NULL, NULL, 1, 4 * n_scratch);
    r->scratch.keep = n_scratch > 0;
    return vks_scan_job_run(device, arrays, VKS_COUNT(arrays), record, r);
}

vkssm_status vkssm_selective_scan(vkssm_device *device, const vkssm_selective_scan_params *params) {
    if (!device || !params)
        return vks_fail(NULL, VKSSM_ERR_ARG, "selective_scan: a device and parameters expected, NULL found");
    run r = {.params = params,
             .kernels = device->kernels,
             .n_batch = params->n_batch ? params->n_batch : 1,
             .n_group = params->n_group ? params->n_group : 1};
    r.n_sequence = params->offsets ? params->n_sequence : r.n_batch;
    VKS_TRY(check(&r));
    vkssm_status status = compute(&r, device->vk);
    vks_free(r.channels);
    vks_free(r.zeros);
    return status;
}

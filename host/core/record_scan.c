// The scan on a host application's buffers.
#include <vkssm/scan.h>

#include "core_device.h"
#include "core_record.h"
#include "host/base/alloc.h"
#include "host/op/ops.h"

enum { N_OPERAND = 8, SCRATCH = 7 };
// Before there are addresses: not 0, and far apart, as the operator looks for overlaps.
#define DRY_ADDRESS(i) ((uint64_t)((i) + 1) << 52)

static vkssm_status check_shape(const vks_kernels *kernels, const vkssm_scan_params *p) {
    const vkssm_log *log = vks_kernels_log(kernels);
    if (p->n_time == 0 || p->n_channel == 0)
        return vks_fail(log, VKSSM_ERR_ARG, "record: scan: at least one step and one channel expected, %u and %u found",
                        p->n_time, p->n_channel);
    if (p->dtype != VKSSM_DTYPE_F32 && p->dtype != VKSSM_DTYPE_F16 && p->dtype != VKSSM_DTYPE_BF16)
        return vks_fail(log, VKSSM_ERR_ARG, "record: scan: a type of F32, F16 or BF16 expected, %s found",
                        vkssm_dtype_name(p->dtype));
    if ((unsigned)p->decay > VKSSM_SCAN_PER_BATCH)
        return vks_fail(log, VKSSM_ERR_ARG, "record: scan: a kind of decay up to %d expected, %d found",
                        VKSSM_SCAN_PER_BATCH, (int)p->decay);
    uint32_t row = (p->time_contiguous ? p->n_time : p->n_channel) * (p->is_complex ? 2u : 1u);
    if (p->dtype != VKSSM_DTYPE_F32 && (row % 2 || (p->n_channel * (p->is_complex ? 2u : 1u)) % 2))
        return vks_fail(log, VKSSM_ERR_ARG,
                        "record: scan: 16-bit rows of an even number of elements expected, %u found", row);
    return VKSSM_OK;
}

static vks_tensor operand(uint64_t address, vkssm_dtype dtype, bool is_complex, uint32_t n_dim, const uint32_t *shape) {
    uint32_t whole[VKS_TENSOR_MAX_DIM] = {0};
    if (!address) return (vks_tensor){0};
    for (uint32_t i = 0; i < n_dim; i++)
        whole[i] = shape[i];
    whole[n_dim] = 2; // complex
    return vks_tensor_dense(address, dtype, n_dim + is_complex, whole);
}

// The operator on operands at these addresses: a, b, h, initial, last, resets, offsets.
static vks_scan make(const vkssm_scan_params *p, const uint64_t *at) {
    bool c = p->is_complex;
    uint32_t n_batch = p->n_batch ? p->n_batch : 1, n_state = at[6] ? p->n_sequence : n_batch;
    const uint32_t steps[] = {n_batch, p->time_contiguous ? p->n_channel : p->n_time,
                              p->time_contiguous ? p->n_time : p->n_channel};
    const uint32_t channels[] = {n_batch, p->n_channel}, states[] = {n_state, p->n_channel};
    vks_scan op = {
        .b = operand(at[1], p->dtype, c, 3, steps),
        .h = operand(at[2], p->dtype, c, 3, steps),
        .initial = operand(at[3], VKSSM_DTYPE_F32, c, 2, states),
        .last = operand(at[4], VKSSM_DTYPE_F32, c, 2, states),
        .resets = operand(at[5], VKSSM_DTYPE_I32, false, 2, (uint32_t[]){n_batch, p->n_time}),
        .offsets = operand(at[6], VKSSM_DTYPE_I32, false, 1, (uint32_t[]){p->n_sequence + 1}),
        .is_complex = c,
        .time_contiguous = p->time_contiguous,
        .reverse = p->reverse,
    };
    if (p->decay == VKSSM_SCAN_PER_STEP)
        op.a = operand(at[0], p->dtype, c, 3, steps);
    else if (p->decay == VKSSM_SCAN_PER_BATCH)
        op.a = operand(at[0], p->dtype, c, 2, channels);
    else
        op.a = operand(at[0], p->dtype, c, 1, channels + 1);
    return op;
}

typedef struct named {
    const char *name;
    const vkssm_buffer *buffer;
    bool needed;
} named;

static void list(const vkssm_record_scan *p, named out[N_OPERAND]) {
    out[0] = (named){"record: scan: a", &p->a, true};
    out[1] = (named){"record: scan: b", &p->b, true};
    out[2] = (named){"record: scan: h", &p->h, true};
    out[3] = (named){"record: scan: initial", &p->initial, false};
    out[4] = (named){"record: scan: last", &p->last, false};
    out[5] = (named){"record: scan: resets", &p->resets, false};
    out[6] = (named){"record: scan: offsets", &p->offsets, false};
    out[7] = (named){"record: scan: scratch", &p->scratch, false};
}

// What the shapes say, before addresses are known. An h that is b stays so.
static vkssm_status make_dry(vkssm_device *device, const vkssm_record_scan *p, vks_scan *op, uint64_t *n_scratch) {
    named operands[N_OPERAND];
    uint64_t at[N_OPERAND] = {0};
    VKS_TRY(check_shape(device->kernels, &p->shape));
    list(p, operands);
    for (uint32_t i = 0; i < SCRATCH; i++)
        if (operands[i].needed || operands[i].buffer->buffer) at[i] = DRY_ADDRESS(i);
    if (p->h.buffer == p->b.buffer && p->h.offset == p->b.offset) at[2] = at[1];
    if (p->last.buffer && p->last.buffer == p->initial.buffer && p->last.offset == p->initial.offset) at[4] = at[3];
    *op = make(&p->shape, at);
    *n_scratch = vks_scan_scratch_size(device->kernels, op);
    if (*n_scratch <= UINT32_MAX) return VKSSM_OK;
    return vks_fail(vks_kernels_log(device->kernels), VKSSM_ERR_ARG,
                    "record: scan: scratch of at most %u floats expected, %llu needed", UINT32_MAX,
                    (unsigned long long)*n_scratch);
}

static vks_tensor scratch_at(uint64_t address, uint64_t n) {
    return n ? vks_tensor_dense(address, VKSSM_DTYPE_F32, 1, (uint32_t[]){(uint32_t)n}) : (vks_tensor){0};
}

vkssm_status vkssm_scan_prepare_record(vkssm_device *device, const vkssm_record_scan *params, uint64_t *scratch_size) {
    if (!device || !params || !scratch_size)
        return vks_fail(NULL, VKSSM_ERR_ARG, "record: scan: a device, parameters and a place for the size expected");
    vks_scan op;
    uint64_t n_scratch;
    VKS_TRY(make_dry(device, params, &op, &n_scratch));
    op.scratch = scratch_at(DRY_ADDRESS(SCRATCH), n_scratch);
    VKS_TRY(vks_op_scan(&(vks_op_target){.kernels = device->kernels, .recorder = NULL}, &op));
    *scratch_size = n_scratch * sizeof(float);
    return VKSSM_OK;
}

static vkssm_status bind(vkssm_device *device, const vkssm_record_scan *p, vks_scan *op) {
    named operands[N_OPERAND];
    uint64_t at[N_OPERAND] = {0}, n_scratch;
    VKS_TRY(make_dry(device, p, op, &n_scratch));
    const vks_tensor *tensors[] = {&op->a, &op->b, &op->h, &op->initial, &op->last, &op->resets, &op->offsets};
    list(p, operands);
    for (uint32_t i = 0; i < N_OPERAND; i++) {
        uint64_t size = i == SCRATCH ? n_scratch * sizeof(float) : vks_tensor_span(tensors[i]);
        if (size == 0) continue;
        vks_buffer buffer;
        VKS_TRY(vks_record_buffer(device->vk, operands[i].name, operands[i].buffer, size, 0, &buffer));
        at[i] = buffer.address;
    }
    *op = make(&p->shape, at);
    op->scratch = scratch_at(at[SCRATCH], n_scratch);
    return VKSSM_OK;
}

vkssm_status vkssm_scan_record(vkssm_device *device, VkCommandBuffer commands, const vkssm_record_scan *params) {
    if (!device || !params)
        return vks_fail(NULL, VKSSM_ERR_ARG, "record: scan: a device and parameters expected, NULL found");
    vks_scan op;
    VKS_TRY(bind(device, params, &op));
    vks_recorder *recorder;
    VKS_TRY(vks_recorder_adopt(device->vk, &recorder));
    vkssm_status status;
    VKS_TRY_GOTO(vks_recorder_aim(recorder, commands), done);
    VKS_TRY_GOTO(vks_recorder_begin(recorder, false), done);
    vks_record_fail(recorder, vks_op_scan(&(vks_op_target){.kernels = device->kernels, .recorder = recorder}, &op));
    status = vks_recorder_end(recorder);
done:
    vks_recorder_destroy(&recorder);
    return status;
}

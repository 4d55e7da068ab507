#include "kernel.h"
#include "ops.h"

#include <string.h>

// Of a piece: B u of every frame, into which the scan writes the states, or beside which it does if C reads another
// type.
static uint64_t frame_size(uint32_t n_pixel, uint32_t n_state, vkssm_dtype state_dtype) {
    uint64_t n = 2ull * n_pixel * n_state;
    return n + (state_dtype == VKSSM_DTYPE_F32 ? 0 : n / 2);
}

uint64_t vks_conv_s5_scratch_size(uint64_t n_frame, uint32_t n_pixel, uint32_t n_state, vkssm_dtype state_dtype) {
    return n_frame * frame_size(n_pixel, n_state, state_dtype);
}

// A piece: n_sequence whole sequences from the first on, or n_time frames of one.
typedef struct piece {
    uint32_t sequence, n_sequence, first, n_time;
} piece;

static vkssm_status check_scratch(const vks_op_target *target, const vks_conv_s5 *op, uint64_t *n_frame) {
    uint32_t n_pixel = op->u.shape[1] * op->u.shape[2], n_state = op->a.shape[0];
    uint64_t frame = frame_size(n_pixel, n_state, op->state_dtype);
    VKS_TRY(vks_check_shape(target, "conv_s5: scratch", &op->scratch, VKS_SHAPE(op->scratch.shape[0])));
    VKS_TRY(vks_check_dtype(target, "conv_s5: scratch", &op->scratch, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_alignment(target, "conv_s5: scratch", &op->scratch, 16));
    if (op->scratch.shape[0] < frame)
        return vks_op_fail(target, VKSSM_ERR_ARG, "conv_s5: scratch: %llu floats for one frame expected, %u found",
                           (unsigned long long)frame, op->scratch.shape[0]);
    *n_frame = op->scratch.shape[0] / frame;
    return VKSSM_OK;
}

static vkssm_status check(const vks_op_target *target, const vks_conv_s5 *op) {
    const uint32_t *u = op->u.shape;
    if (op->n_sequence == 0 || op->n_time == 0)
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "conv_s5: at least one sequence and one frame expected, %u and %u found", op->n_sequence,
                           op->n_time);
    uint64_t n_frame = (uint64_t)op->n_sequence * op->n_time;
    if (op->u.n_dim != 4 || u[0] != n_frame)
        return vks_op_fail(target, VKSSM_ERR_ARG,
                           "conv_s5: u: shape [%llu, H, W, U] expected, %u dimensions of %u found",
                           (unsigned long long)n_frame, op->u.n_dim, u[0]);
    uint32_t n_state = op->a.shape[0];
    VKS_TRY(vks_check_shape(target, "conv_s5: a", &op->a, VKS_SHAPE(n_state, 2)));
    if (n_state % 4 != 0)
        return vks_op_fail(target, VKSSM_ERR_ARG, "conv_s5: a: a multiple of 4 states expected, %u found", n_state);
    VKS_TRY(vks_check_dtype(target, "conv_s5: a", &op->a, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_shape(target, "conv_s5: state", &op->state, VKS_SHAPE(op->n_sequence, u[1] * u[2], n_state, 2)));
    VKS_TRY(vks_check_dtype(target, "conv_s5: state", &op->state, VKSSM_DTYPE_F32));
    VKS_TRY(vks_check_dense(target, "conv_s5: state", &op->state, 1));
    if (op->resets.address) {
        VKS_TRY(vks_check_shape(target, "conv_s5: resets", &op->resets, VKS_SHAPE(op->n_sequence, op->n_time)));
        VKS_TRY(vks_check_dtype(target, "conv_s5: resets", &op->resets, VKSSM_DTYPE_I32));
    }
    return vks_check_shape(target, "conv_s5: y", &op->y, VKS_SHAPE(u[0], u[1], u[2], op->c.shape[0]));
}

// Frames of one sequence: pixels [n_time, S, P, 2] seen as S sequences of their own.
static vks_tensor pixels_over_time(vks_tensor frames, uint32_t frame, uint32_t n_time, uint32_t n_pixel,
                                   uint32_t n_state) {
    uint64_t pixel = 2ull * n_state, step = n_pixel * pixel;
    return (vks_tensor){
        .address = frames.address + frame * step * vkssm_dtype_size(frames.dtype),
        .dtype = frames.dtype,
        .n_dim = 4,
        .shape = {n_pixel, n_time, n_state, 2},
        .stride = {pixel, step, 2, 1},
    };
}

// Channels and pixels are ample, so that every one has a lane of its own that walks through time, many steps ahead: one
// clip's lanes alone do not hide the latency of memory.
static const vks_scan_tuning many_lanes = {.n_lane = 1, .n_side = 64, .n_step = 16, .prefetch = 1};

static vkssm_status record_scans(const vks_op_target *target, const vks_conv_s5 *op, const piece *p, vks_tensor driven,
                                 vks_tensor states) {
    uint32_t n_pixel = op->u.shape[1] * op->u.shape[2], n_state = op->a.shape[0];
    // One frame: all sequences' pixels alike.
    bool together =
        p->n_time == 1 && !op->resets.address && p->n_sequence > 1 && op->state.stride[0] == 2ull * n_pixel * n_state;
    uint32_t n_scan = together ? 1 : p->n_sequence, n_row = together ? p->n_sequence * n_pixel : n_pixel;
    for (uint32_t s = 0; s < n_scan; s++) {
        vks_scan scan = {
            .a = op->a,
            .b = pixels_over_time(driven, s * p->n_time, p->n_time, n_row, n_state),
            .h = pixels_over_time(states, s * p->n_time, p->n_time, n_row, n_state),
            .is_complex = true,
            .reverse = op->reverse,
            .tuning = op->tuning,
        };
        if (!scan.tuning.n_lane && !vks_kernel_traits_of(target->kernels).cpu) scan.tuning = many_lanes;
        if (!scan.tuning.segment) scan.tuning.segment = UINT32_MAX;
        scan.initial = op->state;
        scan.initial.address += (p->sequence + s) * op->state.stride[0] * sizeof(float);
        scan.initial.n_dim = 3;
        scan.initial.shape[0] = n_row;
        for (int d = 0; d < 2; d++) {
            scan.initial.shape[d + 1] = op->state.shape[d + 2];
            scan.initial.stride[d] = op->state.stride[d + 1];
        }
        scan.initial.stride[2] = 1;
        scan.last = scan.initial;
        if (op->resets.address) { // the same for all pixels
            scan.resets = op->resets;
            scan.resets.address += ((p->sequence + s) * op->resets.stride[0] + p->first) * sizeof(int32_t);
            scan.resets.shape[0] = n_row;
            scan.resets.shape[1] = p->n_time;
            scan.resets.stride[0] = 0;
        }
        VKS_TRY(vks_op_scan(target, &scan));
    }
    return VKSSM_OK;
}

vkssm_status vks_op_conv_s5_scan(const vks_op_target *target, const vks_conv_s5 *op, vks_tensor driven,
                                 vks_tensor states) {
    return record_scans(target, op, &(piece){0, op->n_sequence, 0, op->n_time}, driven, states);
}

static vkssm_status record_piece(const vks_op_target *target, const vks_conv_s5 *op, const piece *p) {
    uint32_t height = op->u.shape[1], width = op->u.shape[2], n_state = op->a.shape[0];
    uint32_t n_frame = p->n_sequence * p->n_time, first = p->sequence * op->n_time + p->first;
    const uint32_t shape[] = {n_frame, height, width, 2 * n_state};
    vks_tensor driven = vks_tensor_dense(op->scratch.address, VKSSM_DTYPE_F32, 4, shape), states = driven;
    if (op->state_dtype != VKSSM_DTYPE_F32)
        states = vks_tensor_dense(driven.address + vks_tensor_span(&driven), op->state_dtype, 4, shape);
    VKS_TRY(vks_op_conv2d(target, &(vks_conv2d){.x = vks_tensor_slice(op->u, 0, first, n_frame),
                                                .w = op->b,
                                                .y = driven,
                                                .kernel_height = op->kernel_b,
                                                .kernel_width = op->kernel_b,
                                                .stride = 1}));
    VKS_TRY(record_scans(target, op, p, driven, states));
    return vks_op_conv2d(target, &(vks_conv2d){.x = states,
                                               .w = op->c,
                                               .y = vks_tensor_slice(op->y, 0, first, n_frame),
                                               .kernel_height = op->kernel_c,
                                               .kernel_width = op->kernel_c,
                                               .stride = 1});
}

vkssm_status vks_op_conv_s5(const vks_op_target *target, const vks_conv_s5 *op) {
    uint64_t room = 0;
    VKS_TRY(check(target, op));
    VKS_TRY(check_scratch(target, op, &room));
    uint32_t n_time = op->n_time, step = room < n_time ? (uint32_t)room : n_time;
    for (uint32_t s = 0; s < op->n_sequence;) {
        uint64_t left = op->n_sequence - s, fit = room / n_time;
        uint32_t n = fit == 0 ? 1 : (uint32_t)(fit < left ? fit : left);
        for (uint32_t done = 0; done < n_time;) {
            uint32_t size = n_time - done < step ? n_time - done : step;
            uint32_t first = op->reverse ? n_time - done - size : done;
            VKS_TRY(record_piece(target, op, &(piece){s, n, first, size}));
            done += size;
        }
        s += n;
    }
    return VKSSM_OK;
}

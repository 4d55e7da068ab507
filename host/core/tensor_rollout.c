// A model that goes on by itself: outputs become inputs on the device, several steps a submission.
#include "core_tensor.h"

#include <string.h>

#include "core_device.h"
#include "host/base/alloc.h"

// Steps of a submission: on a GPU enough that submitting costs little beside them, on a CPU one, to tell of progress.
enum { GPU_STEPS = 8, CPU_STEPS = 1 };

static uint64_t row_size(const vks_port *port) {
    return port->stride * sizeof(float);
}

static vkssm_status find_ports(vks_rollout *l) {
    const vks_runner *r = l->runner;
    for (uint32_t i = 0; i < r->n_input; i++) {
        if (!r->inputs[i].io.feedback) continue;
        l->input = i;
        l->output = r->inputs[i].io.feedback - 1;
        return VKSSM_OK;
    }
    return vks_fail(vks_device_get_log(r->model->device), VKSSM_ERR_UNSUPPORTED,
                    "rollout: a model whose outputs can be its inputs expected, %s found", r->model->arch->model_type);
}

// Bytes of a step's inputs that are not fed back.
static uint64_t upload_size(const vks_rollout *l, uint32_t n_sequence) {
    uint64_t size = 0;
    for (uint32_t i = 0; i < l->runner->n_input; i++)
        if (i != l->input) size += n_sequence * row_size(&l->runner->inputs[i]);
    return size;
}

vkssm_status vks_rollout_create(vks_runner *runner, uint32_t n_predict, vks_rollout *out) {
    *out = (vks_rollout){.runner = runner};
    vks_rollout *l = out;
    vks_device *device = runner->model->device->vk;
    VKS_TRY(find_ports(l));
    l->n_step = vks_device_caps(device)->type == VKS_DEVICE_CPU ? CPU_STEPS : GPU_STEPS;
    if (l->n_step > n_predict) l->n_step = n_predict;
    uint64_t out_size = l->n_step * (uint64_t)runner->n_sequence * row_size(&runner->outputs[l->output]);
    uint64_t in_size = l->n_step * upload_size(l, runner->n_sequence);
    VKS_TRY(vks_arena_create(device, VKS_ROLE_READBACK, out_size, "rollout outputs", &l->readback_arena));
    VKS_TRY(vks_arena_alloc(l->readback_arena, out_size, "rollout outputs", &l->readback));
    if (in_size) {
        VKS_TRY(vks_arena_create(device, VKS_ROLE_UPLOAD, in_size, "rollout inputs", &l->upload_arena));
        VKS_TRY(vks_arena_alloc(l->upload_arena, in_size, "rollout inputs", &l->upload));
    }
    VKS_TRY(vks_recorder_create(device, "rollout begin", &l->gather));
    return vks_recorder_create(device, "rollout", &l->steps);
}

void vks_rollout_finish(vks_rollout *l) {
    vks_recorder_destroy(&l->steps);
    vks_recorder_destroy(&l->gather);
    vks_arena_destroy(&l->upload_arena);
    vks_arena_destroy(&l->readback_arena);
}

// Row `step` of every sequence's n_time outputs becomes the sequence's input.
static void record_feed(vks_rollout *l, vks_recorder *recorder, uint32_t n_sequence, uint32_t n_time) {
    vks_runner *r = l->runner;
    const vks_port *from = &r->outputs[l->output], *to = &r->inputs[l->input];
    for (uint32_t b = 0; b < n_sequence; b++)
        vks_record_copy(recorder, &r->input, to->offset + b * row_size(to), &r->output,
                        from->offset + ((uint64_t)b * n_time + n_time - 1) * row_size(from), row_size(from));
}

// Each step: its own inputs in, compute, the output out and to the next step.
static vkssm_status record_steps(vks_rollout *l, uint32_t n_sequence, uint32_t n_step) {
    if (l->n_recorded == n_step && l->n_recorded_sequence == n_sequence) return VKSSM_OK;
    vks_runner *r = l->runner;
    const vks_port *output = &r->outputs[l->output];
    uint64_t size = n_sequence * row_size(output), at = 0;
    l->n_recorded = 0;
    VKS_TRY(vks_recorder_begin(l->steps, true));
    for (uint32_t step = 0; step < n_step; step++) {
        for (uint32_t i = 0; i < r->n_input; i++) {
            if (i == l->input) continue;
            uint64_t part = n_sequence * row_size(&r->inputs[i]);
            vks_record_copy(l->steps, &r->input, r->inputs[i].offset, &l->upload, at, part);
            at += part;
        }
        vks_runner_compute(r, l->steps, n_sequence, 1, false);
        vks_record_copy(l->steps, &l->readback, step * size, &r->output, output->offset, size);
        record_feed(l, l->steps, n_sequence, 1);
    }
    VKS_TRY(vks_recorder_end(l->steps));
    l->n_recorded = n_step;
    l->n_recorded_sequence = n_sequence;
    return VKSSM_OK;
}

static void fill_steps(vks_rollout *l, const vks_rollout_call *call, uint32_t first, uint32_t n_step) {
    const vks_runner *r = l->runner;
    uint8_t *at = l->upload.mapped;
    for (uint32_t step = 0; step < n_step; step++)
        for (uint32_t i = 0; i < r->n_input; i++)
            for (uint32_t b = 0; i != l->input && b < call->n_sequence; b++) {
                uint64_t n_time = call->inputs[i].shape[1];
                uint64_t row = (call->first_sequence + b) * n_time + call->first_step + first + step;
                vks_fill_input(&r->inputs[i], &call->inputs[i], row, 1, at);
                at += row_size(&r->inputs[i]);
            }
}

static void take_steps(const vks_rollout *l, const vks_rollout_call *call, uint32_t first, uint32_t n_step) {
    const vks_port *port = &l->runner->outputs[l->output];
    const uint8_t *rows = l->readback.mapped;
    for (uint32_t step = 0; step < n_step; step++)
        for (uint32_t b = 0; b < call->n_sequence; b++)
            memcpy(call->out + ((uint64_t)b * call->n_predict + first + step) * port->n_value,
                   rows + ((uint64_t)step * call->n_sequence + b) * row_size(port), port->n_value * sizeof(float));
}

// The first step's output is there already: it is that of the last step before.
vkssm_status vks_rollout_run(vks_rollout *l, const vks_rollout_call *call) {
    vks_runner *r = l->runner;
    vks_device *device = r->model->device->vk;
    const vks_port *port = &r->outputs[l->output];
    for (uint32_t b = 0; b < call->n_sequence; b++)
        memcpy(call->out + (uint64_t)b * call->n_predict * port->n_value,
               (const uint8_t *)r->readback.mapped + port->offset +
                   ((uint64_t)b * call->n_time + call->n_time - 1) * row_size(port),
               port->n_value * sizeof(float));
    VKS_TRY(vks_recorder_begin(l->gather, false));
    record_feed(l, l->gather, call->n_sequence, call->n_time);
    VKS_TRY(vks_recorder_end(l->gather));
    for (uint32_t done = 1; done < call->n_predict;) {
        uint32_t left = call->n_predict - done, n = left < l->n_step ? left : l->n_step;
        uint64_t value;
        VKS_TRY(record_steps(l, call->n_sequence, n));
        fill_steps(l, call, done - 1, n);
        vks_recorder *both[] = {l->gather, l->steps};
        VKS_TRY(vks_submit(device, both + (done > 1), done > 1 ? 1 : 2, &value));
        VKS_TRY(vks_wait(device, value));
        take_steps(l, call, done, n);
        done += n;
        if (!call->on_steps(call->user, n))
            return vks_fail(vks_device_get_log(r->model->device), VKSSM_ERR_CANCELLED,
                            "rollout: cancelled after %u of %u steps", done, call->n_predict);
    }
    return VKSSM_OK;
}

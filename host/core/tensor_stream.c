// One sample at a time through a model that maps tensors to tensors.
#include "core_tensor.h"

#include "core_device.h"
#include "host/base/alloc.h"

enum { MAX_SLOT = 65535 }; // sequences of a step, which become workgroups

struct vkssm_stream {
    vks_runner runner;
    vkssm_named_tensor *inputs;  // by port
    vkssm_named_tensor *outputs; // handed out
    uint32_t n_output;
};

// Outputs in the readback image, whose place never changes.
static vkssm_status create_tensors(vkssm_stream *s) {
    vks_runner *r = &s->runner;
    s->inputs = vks_alloc_zero(r->n_input, sizeof *s->inputs);
    s->outputs = vks_alloc_zero(r->n_output, sizeof *s->outputs);
    if (!s->inputs || !s->outputs)
        return vks_fail(vks_device_get_log(r->model->device), VKSSM_ERR_OOM_HOST, "stream: out of host memory");
    for (uint32_t i = 0; i < r->n_output; i++) {
        const vks_port *port = &r->outputs[i];
        if (!port->wanted) continue;
        vkssm_named_tensor *tensor = &s->outputs[s->n_output++];
        *tensor = (vkssm_named_tensor){
            .name = port->io.name,
            .dtype = VKSSM_DTYPE_F32,
            .n_dim = 1 + port->io.n_dim,
            .shape = {r->n_sequence},
            .data = (const uint8_t *)r->readback.mapped + port->offset,
            .size = (uint64_t)r->n_sequence * port->n_value * sizeof(float),
        };
        for (uint32_t d = 0; d < port->io.n_dim; d++)
            tensor->shape[1 + d] = port->io.shape[d];
    }
    return VKSSM_OK;
}

vkssm_status vkssm_stream_create(vkssm_model *model, const vkssm_stream_params *params, vkssm_stream **out) {
    if (!model || !out) return vks_fail(NULL, VKSSM_ERR_ARG, "stream: a model and a place for the handle expected");
    *out = NULL;
    const vkssm_log *log = vks_device_get_log(model->device);
    VKS_TRY(vks_check_tensor_model(model, "stream"));
    if (model->shape.needs_whole)
        return vks_fail(log, VKSSM_ERR_UNSUPPORTED,
                        "stream: a model that sees earlier steps only expected, a bidirectional "
                        "%s found",
                        model->arch->model_type);
    uint32_t n_slot = params && params->n_slot ? params->n_slot : 1;
    if (n_slot > MAX_SLOT)
        return vks_fail(log, VKSSM_ERR_ARG, "stream: at most %d slots expected, %u found", MAX_SLOT, n_slot);
    vkssm_stream *s = vks_alloc_zero(1, sizeof *s);
    if (!s) return vks_fail(log, VKSSM_ERR_OOM_HOST, "stream: out of host memory");
    atomic_fetch_add(&model->n_session, 1);
    vkssm_status status;
    VKS_TRY_GOTO(vks_runner_measure(model, n_slot, 1, params && params->layers, &s->runner), fail);
    VKS_TRY_GOTO(vks_runner_take(&s->runner), fail);
    VKS_TRY_GOTO(create_tensors(s), fail);
    VKS_TRY_GOTO(vks_runner_reset(&s->runner, 0, n_slot), fail);
    VKS_TRY_GOTO(vks_runner_record(&s->runner, n_slot, 1, false, true, true), fail);
    *out = s;
    return VKSSM_OK;
fail:
    vkssm_stream_destroy(&s);
    return status;
}

void vkssm_stream_destroy(vkssm_stream **stream) {
    if (!stream || !*stream) return;
    vkssm_stream *s = *stream;
    vkssm_model *model = s->runner.model;
    vks_runner_finish(&s->runner);
    vks_free(s->outputs);
    vks_free(s->inputs);
    vks_free(s);
    atomic_fetch_sub(&model->n_session, 1);
    *stream = NULL;
}

vkssm_status vkssm_stream_step(vkssm_stream *stream, const vkssm_named_tensor *inputs, uint32_t n_input,
                               const vkssm_named_tensor **outputs, uint32_t *n_output) {
    vks_runner *r = &stream->runner;
    uint64_t n, n_time;
    VKS_TRY(vks_match_inputs(r, "stream", inputs, n_input, false, 0, stream->inputs, &n, &n_time));
    if (n != r->n_sequence)
        return vks_fail(vks_device_get_log(r->model->device), VKSSM_ERR_ARG,
                        "stream: tensor %s: one sample for each of %u slots expected, %llu found", r->inputs[0].io.name,
                        r->n_sequence, (unsigned long long)n);
    for (uint32_t i = 0; i < r->n_input; i++)
        vks_fill_input(&r->inputs[i], &stream->inputs[i], 0, n, (uint8_t *)r->upload.mapped + r->inputs[i].offset);
    VKS_TRY(vks_runner_submit(r));
    if (outputs) *outputs = stream->outputs;
    if (n_output) *n_output = stream->n_output;
    return VKSSM_OK;
}

vkssm_status vkssm_stream_reset(vkssm_stream *stream, uint32_t slot) {
    vks_runner *r = &stream->runner;
    if (slot >= r->n_sequence)
        return vks_fail(vks_device_get_log(r->model->device), VKSSM_ERR_ARG,
                        "stream: a slot below %u expected, %u found", r->n_sequence, slot);
    VKS_TRY(vks_runner_reset(r, slot, 1));
    return vks_runner_record(r, r->n_sequence, 1, false, true, true);
}

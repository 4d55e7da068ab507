// Models that map tensors to tensors, recorded into a host application's command buffer.
#include <stdio.h>
#include <string.h>

#include "core_device.h"
#include "core_record.h"
#include "core_tensor.h"
#include "host/base/alloc.h"

struct vkssm_recording {
    vks_runner shape; // ports and sizes; its buffers are those that the host does not bring
    vks_recorder *recorder;
    vks_cost cost;
    bool has_begun, is_open;
    uint32_t expected;   // where the open work goes on
    vks_tensor *tensors; // [n_input + n_output] of one call
};

static const vkssm_log *log_of(const vkssm_recording *r) {
    return vks_device_get_log(r->shape.model->device);
}

static uint64_t n_row(const vks_runner *s, const vks_port *port) {
    return port->io.per_step ? (uint64_t)s->n_sequence * s->n_time : s->n_sequence;
}

// Up to the end of the last row.
static uint64_t port_size(const vks_runner *s, const vks_port *port) {
    return ((n_row(s, port) - 1) * port->stride + port->n_value) * sizeof(float);
}

// ---- one call
// --------------------------------------------------------------------------------------------------------

typedef struct model_call {
    vkssm_recording *recording;
    const vkssm_record_model *params; // or NULL: the recording's own buffers, for measuring
    bool begin;
} model_call;

static vks_tensor tensor_at(const vks_runner *s, const vks_port *port, uint64_t address) {
    return vks_tensor_rows(address, VKSSM_DTYPE_F32, (uint32_t)n_row(s, port), port->n_value, port->stride);
}

static vks_port *find_port(vkssm_recording *r, bool output, const char *name, uint32_t *index) {
    vks_port *ports = output ? r->shape.outputs : r->shape.inputs;
    uint32_t n = output ? r->shape.n_output : r->shape.n_input;
    for (uint32_t i = 0; i < n; i++)
        if (ports[i].wanted && name && strcmp(ports[i].io.name, name) == 0) {
            *index = output ? r->shape.n_input + i : i;
            return &ports[i];
        }
    return NULL;
}

static void record_images(const model_call *c, vks_recorder *recorder, bool output) {
    const vkssm_record_model *p = c->params;
    vkssm_recording *r = c->recording;
    for (uint32_t i = 0; p && i < (output ? p->n_output : p->n_input); i++) {
        const vkssm_bound_port *bound = output ? &p->outputs[i] : &p->inputs[i];
        uint32_t index;
        const vks_port *port = find_port(r, output, bound->name, &index);
        if (!bound->image || !port) continue;
        const vkssm_image *image = bound->image;
        const VkBufferImageCopy region = {
            .imageSubresource = image->subresource,
            .imageOffset = image->offset,
            .imageExtent = image->extent,
        };
        const vks_external_image copy = {image->image, image->layout, &region, output};
        vks_record_image_copy(recorder, output ? &r->shape.output : &r->shape.input,
                              port->offset + bound->image_row * port->stride * sizeof(float),
                              port->n_value * sizeof(float), &copy);
    }
}

static vkssm_status record_operators(const model_call *c, vks_recorder *recorder) {
    const vkssm_recording *r = c->recording;
    const vks_runner *s = &r->shape;
    const vkssm_model *model = s->model;
    vks_plan plan = {
        .target = {.kernels = model->device->kernels, .recorder = recorder},
        .activation_dtype = model->activation_dtype,
        .base = s->scratch.address,
        .size = s->scratch.size,
    };
    const vks_piece piece = {
        .n_sequence = s->n_sequence,
        .n_time = s->n_time,
        .last = true,
        .inputs = r->tensors,
        .outputs = r->tensors + s->n_input,
        .state = {.layout = &model->state, .address = s->state.address, .n_slot = s->n_sequence, .by_array = true},
    };
    return model->arch->record_piece(model->self, &plan, &piece);
}

static vkssm_status record_all(void *user, vks_recorder *recorder) {
    const model_call *c = user;
    const vks_runner *s = &c->recording->shape;
    if (c->begin && s->state_size) vks_record_fill(recorder, &s->state, 0, s->state_size, 0);
    record_images(c, recorder, false);
    VKS_TRY(record_operators(c, recorder));
    record_images(c, recorder, true);
    return VKSSM_OK;
}

enum { NO_OUTPUT = -1, ALL_OUTPUTS = -2 };

// Ports at the recording's own buffers: the inputs, and all outputs, one, or none.
static void place_own(vkssm_recording *r, int64_t output) {
    vks_runner *s = &r->shape;
    for (uint32_t i = 0; i < s->n_input; i++)
        r->tensors[i] = tensor_at(s, &s->inputs[i], s->input.address + s->inputs[i].offset);
    for (uint32_t i = 0; i < s->n_output; i++)
        r->tensors[s->n_input + i] = s->outputs[i].wanted && (output == ALL_OUTPUTS || output == (int64_t)i)
                                         ? tensor_at(s, &s->outputs[i], s->output.address + s->outputs[i].offset)
                                         : (vks_tensor){0};
}

// ---- creation
// --------------------------------------------------------------------------------------------------------

static vkssm_status take_memory(vkssm_recording *r) {
    vks_runner *s = &r->shape;
    vks_device *device = s->model->device->vk;
    const struct {
        uint64_t size;
        const char *name;
        vks_buffer *out;
    } buffers[] = {
        {s->input_size, "inputs", &s->input},
        {s->output_size, "outputs", &s->output},
        {s->scratch_size, "scratch", &s->scratch},
        {s->state_size, "state", &s->state},
    };
    uint64_t size = 0, found = vks_device_memory_budget(device);
    for (size_t i = 0; i < VKS_COUNT(buffers); i++)
        size += vks_align_up(buffers[i].size, 256);
    if (size > found)
        return vks_fail(log_of(r), VKSSM_ERR_OOM_DEVICE,
                        "recording: %.1f MiB of device memory expected for %u x %u steps, %.1f MiB found",
                        (double)size / 1048576, s->n_sequence, s->n_time, (double)found / 1048576);
    VKS_TRY(vks_arena_create(device, VKS_ROLE_SCRATCH, size, "recording", &s->device_arena));
    for (size_t i = 0; i < VKS_COUNT(buffers); i++)
        if (buffers[i].size)
            VKS_TRY(vks_arena_alloc(s->device_arena, buffers[i].size, buffers[i].name, buffers[i].out));
    return VKSSM_OK;
}

// Zeros for inputs that images fill, and for what lies between the rows.
static vkssm_status clear(void *user, vks_recorder *recorder) {
    vks_runner *s = user;
    vks_record_fill(recorder, &s->input, 0, s->input.size, 0);
    return VKSSM_OK;
}

static vkssm_status check_params(const vkssm_model *model, const vkssm_recording_params *p) {
    enum { MAX_SEQUENCE = 65535, MAX_STEP = 1 << 20 };
    VKS_TRY(vks_check_tensor_model(model, "recording"));
    if (p->n_sequence > MAX_SEQUENCE || p->n_time > MAX_STEP)
        return vks_fail(vks_device_get_log(model->device), VKSSM_ERR_ARG,
                        "recording: at most %d sequences of %d steps expected, %u of %u found", MAX_SEQUENCE, MAX_STEP,
                        p->n_sequence, p->n_time);
    return VKSSM_OK;
}

// Kernels may differ by which outputs are wanted. An operator looks at one of them at most.
static vkssm_status compile(vkssm_recording *r) {
    for (int64_t i = NO_OUTPUT; i < (int64_t)r->shape.n_output; i++) {
        model_call call = {.recording = r};
        place_own(r, i);
        VKS_TRY(record_operators(&call, NULL));
    }
    return VKSSM_OK;
}

static vkssm_status fill(vkssm_recording *r, vkssm_model *model, const vkssm_recording_params *p) {
    vks_device *device = model->device->vk;
    vks_cost none;
    VKS_TRY(
        vks_runner_measure(model, p->n_sequence ? p->n_sequence : 1, p->n_time ? p->n_time : 1, p->layers, &r->shape));
    VKS_TRY(take_memory(r));
    r->tensors = vks_alloc_zero((size_t)r->shape.n_input + r->shape.n_output, sizeof *r->tensors);
    if (!r->tensors) return vks_fail(log_of(r), VKSSM_ERR_OOM_HOST, "recording: out of memory");
    VKS_TRY(vks_record_measure(device, "recording: inputs", clear, &r->shape, NULL, 0, &none));
    vks_cost_finish(&none);
    VKS_TRY(compile(r));
    place_own(r, ALL_OUTPUTS);
    model_call call = {.recording = r, .begin = true};
    VKS_TRY(vks_record_measure(device, "recording", record_all, &call, NULL, 0, &r->cost));
    return vks_recorder_adopt(device, &r->recorder);
}

vkssm_status vkssm_recording_create(vkssm_model *model, const vkssm_recording_params *params, double *estimate_us,
                                    vkssm_recording **out) {
    if (!model || !out) return vks_fail(NULL, VKSSM_ERR_ARG, "recording: a model and a place for the handle expected");
    *out = NULL;
    const vkssm_recording_params defaults = {0};
    if (!params) params = &defaults;
    VKS_TRY(check_params(model, params));
    vkssm_recording *r = vks_alloc_zero(1, sizeof *r);
    if (!r) return vks_fail(vks_device_get_log(model->device), VKSSM_ERR_OOM_HOST, "recording: out of memory");
    r->shape.model = model;
    atomic_fetch_add(&model->n_session, 1);
    vkssm_status status = fill(r, model, params);
    if (status != VKSSM_OK) {
        r->shape.model = model;
        vkssm_recording_destroy(&r);
        return status;
    }
    if (estimate_us) *estimate_us = vks_cost_us(&r->cost);
    *out = r;
    return VKSSM_OK;
}

void vkssm_recording_destroy(vkssm_recording **recording) {
    if (!recording || !*recording) return;
    vkssm_recording *r = *recording;
    vkssm_model *model = r->shape.model;
    vks_recorder_destroy(&r->recorder);
    vks_cost_finish(&r->cost);
    vks_runner_finish(&r->shape);
    vks_free(r->tensors);
    vks_free(r);
    atomic_fetch_sub(&model->n_session, 1);
    *recording = NULL;
}

vkssm_status vkssm_recording_get_port(const vkssm_recording *recording, bool output, uint32_t index, vkssm_port *out) {
    if (!recording || !out) return vks_fail(NULL, VKSSM_ERR_ARG, "recording: a recording and a place expected");
    const vks_runner *s = &recording->shape;
    const vks_port *ports = output ? s->outputs : s->inputs;
    uint32_t n = output ? s->n_output : s->n_input, k = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!ports[i].wanted || k++ != index) continue;
        *out = (vkssm_port){
            .n_row = n_row(s, &ports[i]),
            .n_value = ports[i].n_value,
            .row_stride = ports[i].stride,
            .size = port_size(s, &ports[i]),
        };
        memcpy(out->name, ports[i].io.name, sizeof out->name);
        return VKSSM_OK;
    }
    return vks_fail(log_of(recording), VKSSM_ERR_ARG, "recording: an %s below %u expected, %u found",
                    output ? "output" : "input", k, index);
}

// ---- binding
// ---------------------------------------------------------------------------------------------------------

// Vulkan copies to and from buffers at multiples of a texel's size (VUID-vkCmdCopyBufferToImage-dstImage-07975), which
// is 12 bytes with three floats: rows lie on multiples of 32.
static vkssm_status check_texels(const vkssm_recording *r, const vks_port *port, const vkssm_bound_port *bound,
                                 const vks_buffer *own) {
    enum { MOST_CHANNELS = 4 };
    uint32_t n_channel = bound->image->n_channel;
    if (n_channel < 1 || n_channel > MOST_CHANNELS)
        return vks_fail(log_of(r), VKSSM_ERR_ARG, "record: %s: texels of 1 to %d floats expected, n_channel %u found",
                        bound->name, MOST_CHANNELS, n_channel);
    uint64_t at = own->offset + port->offset + bound->image_row * port->stride * sizeof(float);
    if (at % (n_channel * sizeof(float)) == 0) return VKSSM_OK;
    return vks_fail(log_of(r), VKSSM_ERR_ARG,
                    "record: %s: for texels of %u floats a row that begins at a multiple of %u bytes expected, row %u "
                    "at %llu found; texels of 1, 2 or 4 floats fit every row",
                    bound->name, n_channel, n_channel * (uint32_t)sizeof(float), bound->image_row,
                    (unsigned long long)at);
}

static vkssm_status check_image(const vkssm_recording *r, const vks_port *port, const vkssm_bound_port *bound,
                                const vks_buffer *own) {
    const vkssm_image *image = bound->image;
    const vkssm_log *log = log_of(r);
    const char *name = bound->name;
    if (!image->image) return vks_fail(log, VKSSM_ERR_ARG, "record: %s: an image expected, NULL found", name);
    uint64_t n_texel = (uint64_t)image->extent.width * image->extent.height * image->extent.depth, n_float = 0;
    if (!vks_mul_u64(n_texel, image->n_channel, &n_float) || n_float != port->n_value)
        return vks_fail(log, VKSSM_ERR_ARG,
                        "record: %s: a region of an image with %u floats expected, %u x %u x %u texels of %u found",
                        name, port->n_value, image->extent.width, image->extent.height, image->extent.depth,
                        image->n_channel);
    if (bound->image_row >= n_row(&r->shape, port))
        return vks_fail(log, VKSSM_ERR_ARG, "record: %s: an image_row below %llu expected, %u found", name,
                        (unsigned long long)n_row(&r->shape, port), bound->image_row);
    return check_texels(r, port, bound, own);
}

static vkssm_status bind_port(vkssm_recording *r, bool output, const vkssm_bound_port *bound) {
    vks_runner *s = &r->shape;
    char what[64];
    uint32_t index;
    const vks_port *port = find_port(r, output, bound->name, &index);
    if (!port)
        return vks_fail(log_of(r), VKSSM_ERR_ARG, "record: an %s of the model expected, \"%.31s\" found",
                        output ? "output" : "input", bound->name ? bound->name : "NULL");
    uint64_t own = (output ? s->output.address : s->input.address) + port->offset;
    uint64_t bound_to = r->tensors[index].address;
    if (bound->image) {
        VKS_TRY(check_image(r, port, bound, output ? &s->output : &s->input));
        if (bound_to && bound_to != own)
            return vks_fail(log_of(r), VKSSM_ERR_ARG, "record: %s: a buffer or images expected, both found",
                            bound->name);
        r->tensors[index] = tensor_at(s, port, own);
        return VKSSM_OK;
    }
    if (bound_to)
        return vks_fail(log_of(r), VKSSM_ERR_ARG, "record: %s: bound once expected, twice found", bound->name);
    snprintf(what, sizeof what, "record: %s", bound->name);
    vks_buffer buffer;
    VKS_TRY(vks_record_buffer(s->model->device->vk, what, &bound->buffer, port_size(s, port), 0, &buffer));
    r->tensors[index] = tensor_at(s, port, buffer.address);
    return VKSSM_OK;
}

static vkssm_status bind(vkssm_recording *r, const vkssm_record_model *p) {
    memset(r->tensors, 0, ((size_t)r->shape.n_input + r->shape.n_output) * sizeof *r->tensors);
    if ((p->n_input && !p->inputs) || (p->n_output && !p->outputs))
        return vks_fail(log_of(r), VKSSM_ERR_ARG, "record: %u inputs and %u outputs expected, NULL found", p->n_input,
                        p->n_output);
    for (uint32_t i = 0; i < p->n_input; i++)
        VKS_TRY(bind_port(r, false, &p->inputs[i]));
    for (uint32_t i = 0; i < p->n_output; i++)
        VKS_TRY(bind_port(r, true, &p->outputs[i]));
    for (uint32_t i = 0; i < r->shape.n_input; i++)
        if (!r->tensors[i].address)
            return vks_fail(log_of(r), VKSSM_ERR_ARG, "record: an input %s expected, none found",
                            r->shape.inputs[i].io.name);
    return VKSSM_OK;
}

// ---- recording
// -------------------------------------------------------------------------------------------------------

static vkssm_status check_cursor(const vkssm_recording *r, const vkssm_cursor *cursor) {
    if (cursor->complete)
        return vks_fail(log_of(r), VKSSM_ERR_ARG, "record: a cursor that is not complete expected; zero it to begin");
    if (r->is_open ? cursor->position == r->expected : cursor->position == 0) return VKSSM_OK;
    return vks_fail(log_of(r), VKSSM_ERR_STATE,
                    "record: a cursor where the begun work goes on expected, another one found");
}

vkssm_status vkssm_model_record(vkssm_recording *recording, VkCommandBuffer commands, const vkssm_record_model *params,
                                vkssm_cursor *cursor) {
    vkssm_recording *r = recording;
    vkssm_cursor whole = {0};
    if (!r || !params)
        return vks_fail(r ? log_of(r) : NULL, VKSSM_ERR_ARG, "record: a recording and parameters expected, NULL found");
    if (!commands) return vks_fail(log_of(r), VKSSM_ERR_ARG, "record: a command buffer expected, NULL found");
    if (!cursor && params->budget_us)
        return vks_fail(log_of(r), VKSSM_ERR_ARG, "record: a budget without a cursor found");
    if (!cursor) cursor = &whole;
    VKS_TRY(check_cursor(r, cursor));
    VKS_TRY(bind(r, params));
    model_call call = {.recording = r, .params = params, .begin = params->begin || !r->has_begun};
    const vks_record_part part = {
        .recorder = r->recorder,
        .commands = commands,
        .cost = &r->cost,
        .scale = 1,
        .body = record_all,
        .user = &call,
    };
    uint64_t left = (uint64_t)params->budget_us * 1000;
    uint32_t position = cursor->position;
    r->is_open = false; // should it fail
    VKS_TRY(vks_record_run(&part, params->budget_us, &left, &position));
    cursor->complete = position == UINT32_MAX;
    cursor->position = cursor->complete ? 0 : position;
    r->is_open = !cursor->complete;
    r->expected = cursor->position;
    r->has_begun |= cursor->complete;
    return VKSSM_OK;
}

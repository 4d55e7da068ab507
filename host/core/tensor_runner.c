// Memory and recording of pieces of a model that maps tensors to tensors.
#include "core_tensor.h"

#include "core_device.h"
#include "host/base/alloc.h"

enum { ROW_ALIGNMENT = 8, PART_ALIGNMENT = 256 };
// Addresses for dry runs: not 0, and far apart, as operators look for overlaps.
static const uint64_t dry_input = 1ull << 52, dry_output = 2ull << 52, dry_state = 3ull << 52, dry_scratch = 4ull << 52,
                      dry_size = 1ull << 52;

vkssm_status vks_check_tensor_model(const vkssm_model *model, const char *what) {
    if (model->arch->record_piece) return VKSSM_OK;
    return vks_fail(vks_device_get_log(model->device), VKSSM_ERR_UNSUPPORTED,
                    "%s: a model that maps tensors to tensors expected, %s found, which runs in a session", what,
                    model->arch->model_type);
}

// ---- ports ----------------------------------------------------------------------------------------------------------

static uint32_t count_ports(const vkssm_model *model, bool output) {
    vks_io io;
    uint32_t n = 0;
    while (model->arch->get_io(model->self, output, n, &io))
        n++;
    return n;
}

static vkssm_status create_ports(vks_runner *r, bool layers) {
    const vkssm_model *model = r->model;
    r->n_input = count_ports(model, false);
    r->n_output = count_ports(model, true);
    r->inputs = vks_alloc_zero(r->n_input, sizeof *r->inputs);
    r->outputs = vks_alloc_zero(r->n_output, sizeof *r->outputs);
    r->tensors = vks_alloc_zero((size_t)r->n_input + r->n_output, sizeof *r->tensors);
    if (!r->inputs || !r->outputs || !r->tensors)
        return vks_fail(vks_device_get_log(model->device), VKSSM_ERR_OOM_HOST, "run: out of memory for %u tensors",
                        r->n_input + r->n_output);
    for (uint32_t i = 0; i < r->n_input + r->n_output; i++) {
        bool output = i >= r->n_input;
        vks_port *port = output ? &r->outputs[i - r->n_input] : &r->inputs[i];
        model->arch->get_io(model->self, output, output ? i - r->n_input : i, &port->io);
        port->n_value = 1;
        for (uint32_t d = 0; d < port->io.n_dim; d++)
            port->n_value *= port->io.shape[d];
        port->wanted = layers || !port->io.layer;
        // Products want the rows of their operands padded; what goes to the host is dense.
        port->stride = output ? port->n_value : vks_align_up(port->n_value, ROW_ALIGNMENT);
    }
    return VKSSM_OK;
}

static uint64_t n_row(const vks_port *port, uint64_t n_sequence, uint64_t n_time) {
    return port->io.per_step ? n_sequence * n_time : n_sequence;
}

static uint64_t place_ports(vks_port *ports, uint32_t n_port, uint32_t n_sequence, uint32_t n_time) {
    uint64_t size = 0;
    for (uint32_t i = 0; i < n_port; i++) {
        if (!ports[i].wanted) continue;
        ports[i].offset = size;
        size += vks_align_up(n_row(&ports[i], n_sequence, n_time) * ports[i].stride * sizeof(float), PART_ALIGNMENT);
    }
    return size;
}

// ---- recording ------------------------------------------------------------------------------------------------------

static vks_tensor port_tensor(const vks_port *port, uint64_t address, uint32_t n_sequence, uint32_t n_time) {
    return vks_tensor_rows(address + port->offset, VKSSM_DTYPE_F32, (uint32_t)n_row(port, n_sequence, n_time),
                           port->n_value, port->stride);
}

static vkssm_status record_piece(vks_runner *r, vks_plan *plan, uint32_t n_sequence, uint32_t n_time, bool last) {
    const vkssm_model *model = r->model;
    bool dry = !plan->target.recorder;
    uint64_t input = dry ? dry_input : r->input.address, output = dry ? dry_output : r->output.address;
    for (uint32_t i = 0; i < r->n_input; i++)
        r->tensors[i] = port_tensor(&r->inputs[i], input, n_sequence, n_time);
    for (uint32_t i = 0; i < r->n_output; i++) {
        const vks_port *port = &r->outputs[i];
        r->tensors[r->n_input + i] = port->wanted && (last || port->io.per_step)
                                         ? port_tensor(port, output, n_sequence, n_time)
                                         : (vks_tensor){0};
    }
    vks_piece piece = {
        .n_sequence = n_sequence,
        .n_time = n_time,
        .last = last,
        .inputs = r->tensors,
        .outputs = r->tensors + r->n_input,
        .state = {.layout = &model->state,
                  .address = dry ? dry_state : r->state.address,
                  .n_slot = n_sequence,
                  .by_array = true},
    };
    return model->arch->record_piece(model->self, plan, &piece);
}

static vks_plan make_plan(const vks_runner *r, vks_recorder *recorder, uint64_t base, uint64_t size) {
    return (vks_plan){
        .target = {.kernels = r->model->device->kernels, .recorder = recorder},
        .activation_dtype = r->model->activation_dtype,
        .base = base,
        .size = size,
    };
}

vkssm_status vks_runner_measure(vkssm_model *model, uint32_t n_sequence, uint32_t n_time, bool layers, vks_runner *r) {
    *r = (vks_runner){.model = model, .n_sequence = n_sequence, .n_time = n_time};
    VKS_TRY(create_ports(r, layers));
    r->input_size = place_ports(r->inputs, r->n_input, n_sequence, n_time);
    r->output_size = place_ports(r->outputs, r->n_output, n_sequence, n_time);
    r->state_size = n_sequence * model->state.n_float * sizeof(float);
    vks_plan plan = make_plan(r, NULL, dry_scratch, dry_size);
    VKS_TRY(record_piece(r, &plan, n_sequence, n_time, true));
    r->scratch_size = plan.peak;
    r->total_size = 2 * (r->input_size + r->output_size) + r->scratch_size + r->state_size;
    return VKSSM_OK;
}

vkssm_status vks_runner_take(vks_runner *r) {
    vks_device *device = r->model->device->vk;
    uint64_t found = vks_device_memory_budget(device);
    if (r->total_size > found)
        return vks_fail(vks_device_get_log(r->model->device), VKSSM_ERR_OOM_DEVICE,
                        "run: %.1f MiB of device memory expected for pieces of %u x %u steps, %.1f MiB found",
                        (double)r->total_size / 1048576, r->n_sequence, r->n_time, (double)found / 1048576);
    const uint64_t slack = 4096; // alignment of the parts
    uint64_t device_size = r->input_size + r->output_size + r->scratch_size + r->state_size + slack;
    VKS_TRY(vks_arena_create(device, VKS_ROLE_SCRATCH, device_size, "run", &r->device_arena));
    VKS_TRY(vks_arena_create(device, VKS_ROLE_UPLOAD, r->input_size, "run inputs", &r->upload_arena));
    VKS_TRY(vks_arena_create(device, VKS_ROLE_READBACK, r->output_size, "run outputs", &r->readback_arena));
    const struct {
        vks_arena *arena;
        uint64_t size;
        const char *name;
        vks_buffer *out;
    } buffers[] = {
        {r->device_arena, r->input_size, "inputs", &r->input},
        {r->device_arena, r->output_size, "outputs", &r->output},
        {r->device_arena, r->scratch_size, "scratch", &r->scratch},
        {r->device_arena, r->state_size, "state", &r->state},
        {r->upload_arena, r->input_size, "inputs", &r->upload},
        {r->readback_arena, r->output_size, "outputs", &r->readback},
    };
    for (size_t i = 0; i < VKS_COUNT(buffers); i++)
        if (buffers[i].size)
            VKS_TRY(vks_arena_alloc(buffers[i].arena, buffers[i].size, buffers[i].name, buffers[i].out));
    return vks_recorder_create(device, "run", &r->recorder);
}

void vks_runner_finish(vks_runner *r) {
    vks_recorder_destroy(&r->recorder);
    vks_arena_destroy(&r->readback_arena);
    vks_arena_destroy(&r->upload_arena);
    vks_arena_destroy(&r->device_arena);
    vks_free(r->tensors);
    vks_free(r->outputs);
    vks_free(r->inputs);
    *r = (vks_runner){0};
}

void vks_runner_compute(vks_runner *r, vks_recorder *recorder, uint32_t n_sequence, uint32_t n_time, bool last) {
    vks_plan plan = make_plan(r, recorder, r->scratch.address, r->scratch.size);
    vks_record_fail(recorder, record_piece(r, &plan, n_sequence, n_time, last));
}

vkssm_status vks_runner_record(vks_runner *r, uint32_t n_sequence, uint32_t n_time, bool first, bool last,
                               bool reusable) {
    uint64_t slot_size = r->model->state.n_float * sizeof(float);
    VKS_TRY(vks_recorder_begin(r->recorder, reusable));
    if (first && slot_size) vks_record_fill(r->recorder, &r->state, 0, n_sequence * slot_size, 0);
    for (uint32_t i = 0; i < r->n_input; i++) {
        const vks_port *port = &r->inputs[i];
        vks_record_copy(r->recorder, &r->input, port->offset, &r->upload, port->offset,
                        n_row(port, n_sequence, n_time) * port->stride * sizeof(float));
    }
    vks_runner_compute(r, r->recorder, n_sequence, n_time, last);
    for (uint32_t i = 0; i < r->n_output; i++) {
        const vks_port *port = &r->outputs[i];
        if (!port->wanted || !(last || port->io.per_step)) continue;
        vks_record_copy(r->recorder, &r->readback, port->offset, &r->output, port->offset,
                        n_row(port, n_sequence, n_time) * port->stride * sizeof(float));
    }
    return vks_recorder_end(r->recorder);
}

vkssm_status vks_runner_submit(vks_runner *r) {
    vks_device *device = r->model->device->vk;
    uint64_t value;
    VKS_TRY(vks_submit(device, &r->recorder, 1, &value));
    return vks_wait(device, value);
}

vkssm_status vks_runner_reset(vks_runner *r, uint32_t first, uint32_t n) {
    const vks_state_layout *layout = &r->model->state;
    vks_state_view view = {.layout = layout, .n_slot = r->n_sequence, .by_array = true};
    VKS_TRY(vks_recorder_begin(r->recorder, false));
    for (uint32_t i = 0; i < layout->n_entry; i++) {
        vks_tensor array = vks_state_get(&view, i); // addresses count from the buffer's begin
        uint64_t size = array.stride[0] * sizeof(float);
        vks_record_fill(r->recorder, &r->state, array.address + first * size, n * size, 0);
    }
    VKS_TRY(vks_recorder_end(r->recorder));
    return vks_runner_submit(r);
}

// Whole sequences through a model that maps tensors to tensors.
#include "core_tensor.h"

#include <stdio.h>
#include <string.h>

#include "core_device.h"
#include "host/base/alloc.h"

// Time steps of a piece. Large ones fill a GPU, small ones keep a CPU's caches warm; both end long before a watchdog.
enum { DEFAULT_PIECE = 1 << 15, CPU_PIECE = 1 << 11, MAX_PIECE = 1 << 20, MAX_PREDICT = 1 << 24 };
#define PIECE_MEMORY ((uint64_t)512 << 20) // bytes that a piece may take, if it can be made smaller

// ---- a set of tensors -----------------------------------------------------------------------------------------------

typedef struct result {
    char name[32];
    vkssm_named_tensor tensor; // its name is filled in when it is handed out
    float *data;
} result;

struct vkssm_tensors {
    uint32_t n_result;
    result *results;
};

uint32_t vkssm_tensors_n_tensor(const vkssm_tensors *tensors) {
    return tensors->n_result;
}

void vkssm_tensors_get(const vkssm_tensors *tensors, uint32_t index, vkssm_named_tensor *out) {
    *out = tensors->results[index].tensor;
    out->name = tensors->results[index].name;
    out->data = tensors->results[index].data;
}

bool vkssm_tensors_find(const vkssm_tensors *tensors, const char *name, vkssm_named_tensor *out) {
    for (uint32_t i = 0; i < tensors->n_result; i++)
        if (strcmp(tensors->results[i].name, name) == 0) {
            vkssm_tensors_get(tensors, i, out);
            return true;
        }
    return false;
}

void vkssm_tensors_destroy(vkssm_tensors **tensors) {
    if (!tensors || !*tensors) return;
    for (uint32_t i = 0; (*tensors)->results && i < (*tensors)->n_result; i++)
        vks_free((*tensors)->results[i].data);
    vks_free((*tensors)->results);
    vks_free(*tensors);
    *tensors = NULL;
}

// ---- one run --------------------------------------------------------------------------------------------------------

typedef struct run {
    vks_runner runner;
    vkssm_named_tensor *inputs; // by port
    vkssm_tensors *tensors;     // outputs that are wanted, in order of ports
    uint64_t n, n_time;         // of the whole
    const vkssm_run_params *params;
    uint32_t n_predict; // of a rollout; 0: none
    vks_rollout rollout;
    uint64_t n_done;  // time steps of all sequences
    uint32_t n_going; // sequences that the rollout takes at once
} run;

static vkssm_status create_result(const run *u, const vks_port *port, const char *name, uint64_t n_time, result *out) {
    uint64_t size = sizeof(float), shape[5] = {u->n, n_time};
    uint32_t n_dim = port->io.per_step ? 2 : 1;
    for (uint32_t i = 0; i < port->io.n_dim; i++)
        shape[n_dim++] = port->io.shape[i];
    bool fits = true;
    for (uint32_t i = 0; i < n_dim; i++)
        fits = fits && vks_mul_u64(size, shape[i], &size);
    out->data = fits && size <= SIZE_MAX ? vks_alloc((size_t)size) : NULL;
    if (!out->data)
        return vks_fail(vks_device_get_log(u->runner.model->device), VKSSM_ERR_OOM_HOST,
                        "run: out of host memory for %s of %llu sequences of %llu steps", name,
                        (unsigned long long)u->n, (unsigned long long)n_time);
    snprintf(out->name, sizeof out->name, "%s", name);
    out->tensor = (vkssm_named_tensor){.dtype = VKSSM_DTYPE_F32, .n_dim = n_dim, .size = size};
    memcpy(out->tensor.shape, shape, n_dim * sizeof *shape);
    return VKSSM_OK;
}

static vkssm_status create_results(run *u) {
    const vkssm_log *log = vks_device_get_log(u->runner.model->device);
    u->tensors = vks_alloc_zero(1, sizeof *u->tensors);
    if (!u->tensors) return vks_fail(log, VKSSM_ERR_OOM_HOST, "run: out of host memory");
    u->tensors->results = vks_alloc_zero(u->runner.n_output + 1, sizeof *u->tensors->results);
    if (!u->tensors->results) return vks_fail(log, VKSSM_ERR_OOM_HOST, "run: out of host memory");
    for (uint32_t i = 0; i < u->runner.n_output; i++)
        if (u->runner.outputs[i].wanted)
            VKS_TRY(create_result(u, &u->runner.outputs[i], u->runner.outputs[i].io.name, u->n_time,
                                  &u->tensors->results[u->tensors->n_result++]));
    if (u->n_predict == 0) return VKSSM_OK;
    return create_result(u, &u->runner.outputs[u->rollout.output], "rollout", u->n_predict,
                         &u->tensors->results[u->tensors->n_result++]);
}

// Whole sequences while they fit a piece; else one sequence in pieces of time, if the model allows it.
static vkssm_status choose_piece(run *u, vkssm_model *model) {
    bool cpu = vks_device_caps(model->device->vk)->type == VKS_DEVICE_CPU, whole = model->shape.needs_whole;
    uint64_t limit = u->params->piece_size ? u->params->piece_size : cpu ? CPU_PIECE : DEFAULT_PIECE;
    if (limit > MAX_PIECE) limit = MAX_PIECE;
    if (model->shape.most_steps && limit > model->shape.most_steps) limit = model->shape.most_steps;
    if (whole && u->n_time > UINT32_MAX / 2)
        return vks_fail(vks_device_get_log(model->device), VKSSM_ERR_UNSUPPORTED,
                        "run: sequences below 2^31 steps expected, as this model sees later steps, %llu found",
                        (unsigned long long)u->n_time);
    uint64_t n_time = u->n_time <= limit || whole ? u->n_time : limit;
    uint64_t n_sequence = n_time < limit ? limit / n_time : 1;
    if (n_time < u->n_time) n_sequence = 1;
    if (n_sequence > u->n) n_sequence = u->n;
    for (;;) {
        VKS_TRY(vks_runner_measure(model, (uint32_t)n_sequence, (uint32_t)n_time, u->params->layers, &u->runner));
        if (u->runner.total_size <= PIECE_MEMORY) return VKSSM_OK;
        if (n_sequence > 1)
            n_sequence /= 2;
        else if (!whole && n_time > 1)
            n_time /= 2;
        else
            return VKSSM_OK; // the memory is checked when it is taken
        vks_runner_finish(&u->runner);
    }
}

// Copy the piece's outputs to their places.
static void collect(run *u, uint64_t first_sequence, uint64_t first_step, uint32_t n_sequence, uint32_t n_time,
                    bool last) {
    uint32_t k = 0;
    for (uint32_t i = 0; i < u->runner.n_output; i++) {
        const vks_port *port = &u->runner.outputs[i];
        if (!port->wanted) continue;
        float *data = u->tensors->results[k++].data;
        if (!port->io.per_step && !last) continue;
        uint64_t row = port->io.per_step ? first_sequence * u->n_time + first_step : first_sequence;
        uint64_t n = port->io.per_step ? (uint64_t)n_sequence * n_time : n_sequence;
        memcpy(data + row * port->n_value, (const uint8_t *)u->runner.readback.mapped + port->offset,
               (size_t)(n * port->n_value * sizeof *data));
    }
}

// The rows of a piece; in a rollout, what is not fed back has more steps than the piece's sequences.
static void fill(const vks_runner *r, const vks_port *port, const vkssm_named_tensor *tensor, uint64_t first_sequence,
                 uint64_t first_step, uint32_t n_sequence, uint32_t n_time) {
    uint8_t *out = (uint8_t *)r->upload.mapped + port->offset;
    uint64_t size = n_time * port->stride * sizeof(float);
    for (uint32_t b = 0; b < n_sequence; b++)
        vks_fill_input(port, tensor, (first_sequence + b) * tensor->shape[1] + first_step, n_time, out + b * size);
}

static vkssm_status run_piece(run *u, uint64_t first_sequence, uint64_t first_step, uint32_t n_sequence,
                              uint32_t n_time) {
    bool first = first_step == 0, last = first_step + n_time == u->n_time;
    for (uint32_t i = 0; i < u->runner.n_input; i++)
        fill(&u->runner, &u->runner.inputs[i], &u->inputs[i], first_sequence, first_step, n_sequence, n_time);
    VKS_TRY(vks_runner_record(&u->runner, n_sequence, n_time, first, last, false));
    VKS_TRY(vks_runner_submit(&u->runner));
    collect(u, first_sequence, first_step, n_sequence, n_time, last);
    return VKSSM_OK;
}

static bool tell_progress(void *user, uint32_t n_more) {
    run *u = user;
    const vkssm_progress *progress = &u->params->progress;
    u->n_done += n_more;
    uint64_t more = u->n_predict ? u->n_predict - 1 : 0;
    return !progress->callback || progress->callback(progress->user, u->n_done, u->n * (u->n_time + more));
}

// The steps of sequences s ... after the last piece, which had n_time steps of each.
static bool tell_steps(void *user, uint32_t n_step) {
    run *u = user;
    return tell_progress(u, n_step * u->n_going);
}

static vkssm_status go_on(run *u, uint64_t s, uint32_t n_sequence, uint32_t n_time) {
    result *out = &u->tensors->results[u->tensors->n_result - 1];
    u->n_going = n_sequence;
    const vks_rollout_call call = {
        .n_sequence = n_sequence,
        .n_time = n_time,
        .n_predict = u->n_predict,
        .inputs = u->inputs,
        .first_sequence = s,
        .first_step = u->n_time,
        .out = out->data + s * u->n_predict * u->runner.outputs[u->rollout.output].n_value,
        .on_steps = tell_steps,
        .user = u,
    };
    return vks_rollout_run(&u->rollout, &call);
}

static vkssm_status run_pieces(run *u) {
    for (uint64_t s = 0; s < u->n;) {
        uint64_t left = u->n - s;
        uint32_t n_sequence = left < u->runner.n_sequence ? (uint32_t)left : u->runner.n_sequence;
        for (uint64_t t = 0; t < u->n_time;) {
            uint64_t steps = u->n_time - t;
            uint32_t n_time = steps < u->runner.n_time ? (uint32_t)steps : u->runner.n_time;
            VKS_TRY(run_piece(u, s, t, n_sequence, n_time));
            t += n_time;
            if (!tell_progress(u, n_sequence * n_time))
                return vks_fail(vks_device_get_log(u->runner.model->device), VKSSM_ERR_CANCELLED,
                                "run: cancelled after %llu of %llu steps", (unsigned long long)u->n_done,
                                (unsigned long long)(u->n * u->n_time));
            if (u->n_predict && t == u->n_time) VKS_TRY(go_on(u, s, n_sequence, n_time));
        }
        s += n_sequence;
    }
    return VKSSM_OK;
}

// The inputs are checked before anything depends on their size.
static vkssm_status match(run *u, vkssm_model *model, const vkssm_named_tensor *inputs, uint32_t n_input) {
    vks_runner probe;
    vkssm_status status = vks_runner_measure(model, 1, 1, false, &probe);
    if (status == VKSSM_OK) {
        u->inputs = vks_alloc_zero(probe.n_input, sizeof *u->inputs);
        uint64_t n_more = u->n_predict ? u->n_predict - 1 : 0;
        status = u->inputs
                     ? vks_match_inputs(&probe, "run", inputs, n_input, true, n_more, u->inputs, &u->n, &u->n_time)
                     : vks_fail(vks_device_get_log(model->device), VKSSM_ERR_OOM_HOST, "run: out of host memory");
    }
    vks_runner_finish(&probe);
    return status;
}

static vkssm_status run_model(vkssm_model *model, const vkssm_run_params *params, uint32_t n_predict,
                              const vkssm_named_tensor *inputs, uint32_t n_input, vkssm_tensors **out) {
    const vkssm_run_params defaults = {0};
    run u = {.params = params ? params : &defaults, .n_predict = n_predict};
    atomic_fetch_add(&model->n_session, 1);
    vkssm_status status;
    VKS_TRY_GOTO(match(&u, model, inputs, n_input), done);
    VKS_TRY_GOTO(choose_piece(&u, model), done);
    VKS_TRY_GOTO(vks_runner_take(&u.runner), done);
    if (n_predict) VKS_TRY_GOTO(vks_rollout_create(&u.runner, n_predict, &u.rollout), done);
    VKS_TRY_GOTO(create_results(&u), done);
    VKS_TRY_GOTO(run_pieces(&u), done);
    *out = u.tensors;
    u.tensors = NULL;
done:
    vkssm_tensors_destroy(&u.tensors);
    vks_rollout_finish(&u.rollout);
    vks_runner_finish(&u.runner);
    vks_free(u.inputs);
    atomic_fetch_sub(&model->n_session, 1);
    return status;
}

vkssm_status vkssm_model_run(vkssm_model *model, const vkssm_run_params *params, const vkssm_named_tensor *inputs,
                             uint32_t n_input, vkssm_tensors **out) {
    if (!model || !out) return vks_fail(NULL, VKSSM_ERR_ARG, "run: a model and a place for the outputs expected");
    *out = NULL;
    VKS_TRY(vks_check_tensor_model(model, "run"));
    return run_model(model, params, 0, inputs, n_input, out);
}

vkssm_status vkssm_model_rollout(vkssm_model *model, const vkssm_run_params *params, uint32_t n_predict,
                                 const vkssm_named_tensor *inputs, uint32_t n_input, vkssm_tensors **out) {
    if (!model || !out) return vks_fail(NULL, VKSSM_ERR_ARG, "rollout: a model and a place for the outputs expected");
    *out = NULL;
    VKS_TRY(vks_check_tensor_model(model, "rollout"));
    if (n_predict == 0 || n_predict > MAX_PREDICT)
        return vks_fail(vks_device_get_log(model->device), VKSSM_ERR_ARG, "rollout: 1 to %d steps expected, %u found",
                        MAX_PREDICT, n_predict);
    return run_model(model, params, n_predict, inputs, n_input, out);
}

// ---- what a model takes and gives -----------------------------------------------------------------------------------

static vkssm_status get_info(const vkssm_model *model, bool output, uint32_t index, vkssm_tensor_info *out) {
    const char *what = output ? "output" : "input";
    vks_io io;
    VKS_TRY(vks_check_tensor_model(model, what));
    if (!model->arch->get_io(model->self, output, index, &io))
        return vks_fail(vks_device_get_log(model->device), VKSSM_ERR_ARG, "model: %s %u of %s does not exist", what,
                        index, model->arch->model_type);
    *out = (vkssm_tensor_info){.n_dim = io.n_dim,
                               .per_step = io.per_step,
                               .layer = io.layer,
                               .takes_u8 = io.u8_divisor != 0,
                               .fed_back = io.feedback != 0};
    memcpy(out->name, io.name, sizeof out->name);
    for (uint32_t i = 0; i < io.n_dim; i++)
        out->shape[i] = io.shape[i];
    return VKSSM_OK;
}

vkssm_status vkssm_model_get_input(const vkssm_model *model, uint32_t index, vkssm_tensor_info *out) {
    return get_info(model, false, index, out);
}

vkssm_status vkssm_model_get_output(const vkssm_model *model, uint32_t index, vkssm_tensor_info *out) {
    return get_info(model, true, index, out);
}

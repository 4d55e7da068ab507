// Creation and sizes of a session.
#include "core_session.h"

#include <string.h>

#include "core_device.h"
#include "host/base/alloc.h"
#include "shaders/params/sample.h"

enum {
    LARGEST_PIECE = 2048,
    SMALLEST_PIECE = 256,
    MAX_PIECE = (1 << 16) - 1, // rows are counted along y of a grid
    MAX_SLOT = 4096,
    MAX_ROLLBACK = 4096,
    MAX_SNAPSHOT = 4096
};
enum { DEFAULT_SUBMIT_NS = 20000000 };
#define LOGIT_BYTES ((uint64_t)32 << 20) // of logits computed at once, unless a single row needs more

const vkssm_log *vks_session_log(const vkssm_session *session) {
    return vks_device_get_log(session->model->device);
}

vkssm_status vks_session_check_slot(const vkssm_session *session, uint32_t slot) {
    if (slot < session->sizes.n_slot) return VKSSM_OK;
    return vks_fail(vks_session_log(session), VKSSM_ERR_ARG, "session: a slot below %u expected, %u found",
                    session->sizes.n_slot, slot);
}

vkssm_status vks_session_check_idle(const vkssm_session *session, uint32_t slot) {
    VKS_TRY(vks_session_check_slot(session, slot));
    if (!session->slots[slot].joined) return VKSSM_OK;
    return vks_fail(vks_session_log(session), VKSSM_ERR_STATE,
                    "session: slot %u generates: let it end, or leave, first", slot);
}

vkssm_status vks_session_check_tokens(const vkssm_session *session, const int32_t *tokens, size_t n_token) {
    uint32_t n_vocab = session->model->shape.n_vocab;
    for (size_t i = 0; i < n_token; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= n_vocab)
            return vks_fail(vks_session_log(session), VKSSM_ERR_ARG, "token %zu: an id in 0 ... %u expected, %d found",
                            i, n_vocab - 1, tokens[i]);
    return VKSSM_OK;
}

vks_state_view vks_session_state(const vkssm_session *session, uint32_t first_slot, uint32_t n_slot) {
    return (vks_state_view){
        .layout = &session->model->state,
        .n_slot = n_slot,
        .parts = session->parts,
        .n_part = session->n_part,
        .first_slot = first_slot,
    };
}

vks_plan vks_session_plan(const vkssm_session *session, vks_recorder *recorder) {
    return (vks_plan){
        .target = {session->model->device->kernels, recorder, session->coded_inputs},
        .activation_dtype = session->model->activation_dtype,
        .base = session->scratch.address,
        .size = session->scratch.size,
    };
}

uint64_t vks_session_logit_row_size(const vkssm_session *session) {
    return (uint64_t)session->model->shape.n_vocab * sizeof(float);
}

// Dry runs of a prefill piece and of a step with every slot: what scratch they need. They also compile their kernels.
static vkssm_status measure_scratch(const vkssm_model *model, bool coded_inputs, vks_session_sizes *sizes) {
    const uint64_t made_up = 256; // any address that is not 0
    const uint32_t n_vocab = model->shape.n_vocab;
    vks_plan plan = {
        .target = {model->device->kernels, NULL, coded_inputs},
        .activation_dtype = model->activation_dtype,
        .base = made_up,
        .size = UINT64_MAX / 2,
    };
    vks_state_view state = {.layout = &model->state, .address = made_up, .n_slot = 1};
    uint32_t n_row = sizes->n_logit_row < sizes->piece_size ? sizes->n_logit_row : sizes->piece_size;
    vks_prefill prefill = {
        .tokens = vks_tensor_dense(made_up, VKSSM_DTYPE_I32, 1, (uint32_t[]){sizes->piece_size}),
        .state = state,
        .logits = vks_tensor_rows(made_up, VKSSM_DTYPE_F32, n_row, n_vocab, n_vocab),
    };
    VKS_TRY(model->arch->record_prefill(model->self, &plan, &prefill));
    plan.used = 0;
    state.n_slot = sizes->n_slot + VKS_SPARE_SLOTS;
    if (model->arch->packs_prompts && sizes->n_slot > 1) {
        uint32_t n = sizes->n_slot < sizes->piece_size ? sizes->n_slot : sizes->piece_size;
        prefill.state = state;
        prefill.slots = prefill.last = vks_tensor_dense(made_up, VKSSM_DTYPE_I32, 1, (uint32_t[]){n});
        prefill.offsets = vks_tensor_dense(made_up, VKSSM_DTYPE_I32, 1, (uint32_t[]){n + 1});
        prefill.logits = vks_tensor_rows(made_up, VKSSM_DTYPE_F32, n, n_vocab, n_vocab);
        VKS_TRY(model->arch->record_prefill(model->self, &plan, &prefill));
        plan.used = 0;
    }
    vks_step step = {
        .tokens = vks_tensor_dense(made_up, VKSSM_DTYPE_I32, 1, (uint32_t[]){sizes->n_slot}),
        .slots = vks_tensor_dense(made_up, VKSSM_DTYPE_I32, 1, (uint32_t[]){sizes->n_slot}),
        .state = state,
        .logits = vks_tensor_rows(made_up, VKSSM_DTYPE_F32, sizes->n_slot, n_vocab, n_vocab),
        .most_rows = sizes->n_slot,
    };
    VKS_TRY(model->arch->record_step(model->self, &plan, &step));
    sizes->scratch = plan.peak;
    return VKSSM_OK;
}

static vkssm_status check_params(const vkssm_model *model, const vkssm_session_params *params) {
    const vkssm_log *log = vks_device_get_log(model->device);
    if (!model->arch->record_prefill)
        return vks_fail(log, VKSSM_ERR_UNSUPPORTED,
                        "session: a language model expected, %s found, which maps tensors to tensors",
                        model->arch->model_type);
    if (params->n_slot > MAX_SLOT)
        return vks_fail(log, VKSSM_ERR_ARG, "session: at most %d slots expected, %u found", MAX_SLOT, params->n_slot);
    if (params->n_rollback > MAX_ROLLBACK)
        return vks_fail(log, VKSSM_ERR_ARG, "session: a way back of at most %d tokens expected, %u found", MAX_ROLLBACK,
                        params->n_rollback);
    if (params->n_snapshot > MAX_SNAPSHOT)
        return vks_fail(log, VKSSM_ERR_ARG, "session: at most %d snapshots expected, %u found", MAX_SNAPSHOT,
                        params->n_snapshot);
    if (params->piece_size > MAX_PIECE)
        return vks_fail(log, VKSSM_ERR_ARG, "session: pieces of at most %d tokens expected, %u found", MAX_PIECE,
                        params->piece_size);
    return VKSSM_OK;
}

static vkssm_status measure(const vkssm_model *model, const vkssm_session_params *params, vks_session_sizes *sizes) {
    uint64_t row = (uint64_t)model->shape.n_vocab * sizeof(float), n_row = LOGIT_BYTES / row;
    if (n_row > sizes->piece_size) n_row = sizes->piece_size;
    if (n_row < sizes->n_slot) n_row = sizes->n_slot;
    sizes->n_logit_row = (uint32_t)n_row;
    VKS_TRY(measure_scratch(model, params->coded_inputs, sizes));
    sizes->slot = model->state.n_float * sizeof(float);
    sizes->logits = n_row * row;
    uint64_t n_slot = sizes->n_slot + VKS_SPARE_SLOTS;
    sizes->control = (n_slot * (VKS_CONTROL_SIZE + 1) + 1) * sizeof(uint32_t);
    sizes->tokens = ((uint64_t)sizes->piece_size + 3 * sizes->n_slot + 1) * sizeof(int32_t); // session_prompts.c
    sizes->ring = n_slot * VKS_RING_SIZE * sizeof(int32_t);
    sizes->adjust = n_slot * 2 * row;
    sizes->blocks = vks_sample_scratch_size(sizes->n_slot, model->shape.n_vocab) * sizeof(float);
    sizes->readback = sizes->logits > sizes->slot ? sizes->logits : sizes->slot;
    vks_session_measure_kept(params, row, sizes);
    const uint64_t n_kept = sizes->n_snapshot + sizes->n_cached + (sizes->n_rollback ? 2 * (uint64_t)sizes->n_slot : 0);
    const uint64_t parts[] = {n_slot * sizes->slot, n_slot * row,  sizes->logits,   sizes->scratch,
                              2 * sizes->control,   sizes->tokens, sizes->readback, 2 * sizes->ring,
                              sizes->adjust,        sizes->blocks, 2 * row,         n_kept * sizes->kept};
    for (size_t i = 0; i < VKS_COUNT(parts); i++)
        sizes->total += vks_align_up(parts[i], 256);
    return VKSSM_OK;
}

// Large pieces keep a GPU full, as long as their scratch takes no more than a small part of its memory; small ones keep
// a CPU's caches warm.
vkssm_status vks_session_measure(const vkssm_model *model, const vkssm_session_params *params,
                                 vks_session_sizes *sizes) {
    VKS_TRY(check_params(model, params));
    bool cpu = vks_device_caps(model->device->vk)->type == VKS_DEVICE_CPU;
    uint64_t budget = vks_device_memory_budget(model->device->vk);
    uint32_t piece = params->piece_size ? params->piece_size : cpu ? SMALLEST_PIECE : LARGEST_PIECE;
    for (;; piece /= 2) {
        *sizes = (vks_session_sizes){.n_slot = params->n_slot ? params->n_slot : 1, .piece_size = piece};
        VKS_TRY(measure(model, params, sizes));
        if (params->piece_size || piece <= SMALLEST_PIECE || sizes->scratch <= budget / 16) return VKSSM_OK;
    }
}

vkssm_status vkssm_session_memory_size(const vkssm_model *model, const vkssm_session_params *params, uint64_t *size) {
    vkssm_session_params defaults = {0};
    vks_session_sizes sizes;
    VKS_TRY(vks_session_measure(model, params ? params : &defaults, &sizes));
    *size = sizes.total;
    return VKSSM_OK;
}

static vkssm_status take_memory(vkssm_session *session) {
    const vks_session_sizes *s = &session->sizes;
    vks_device *device = session->model->device->vk;
    uint64_t found = vks_device_memory_budget(device), row = vks_session_logit_row_size(session);
    if (s->total > found)
        return vks_fail(vks_session_log(session), VKSSM_ERR_OOM_DEVICE,
                        "session: %.1f MiB of device memory expected for %u slots, %.1f MiB found",
                        (double)s->total / 1048576, s->n_slot, (double)found / 1048576);
    const uint64_t slack = 4096; // alignment of the parts
    uint64_t n_slot = s->n_slot + VKS_SPARE_SLOTS;
    uint64_t slot_size = n_slot * row + s->adjust + s->control + slack;
    uint64_t readback_size = s->readback + 2 * s->ring + slack, upload_size = s->control + s->tokens + 2 * row + slack;
    uint64_t scratch_size = s->scratch + s->logits + s->blocks + slack;
    VKS_TRY(vks_session_take_states(session));
    VKS_TRY(vks_arena_create(device, VKS_ROLE_STATE, slot_size, "slots", &session->slot_arena));
    VKS_TRY(vks_arena_create(device, VKS_ROLE_SCRATCH, scratch_size, "scratch", &session->scratch_arena));
    VKS_TRY(vks_arena_create(device, VKS_ROLE_UPLOAD, upload_size, "upload", &session->upload_arena));
    VKS_TRY(vks_arena_create(device, VKS_ROLE_READBACK, readback_size, "readback", &session->readback_arena));
    const struct {
        vks_arena *arena;
        uint64_t size;
        const char *name;
        vks_buffer *out;
    } buffers[] = {
        {session->slot_arena, n_slot * row, "last logits", &session->slot_logits},
        {session->slot_arena, s->adjust, "logit biases", &session->adjust},
        {session->slot_arena, s->control, "control", &session->control},
        {session->scratch_arena, s->scratch, "scratch", &session->scratch},
        {session->scratch_arena, s->logits, "logits", &session->logits},
        {session->scratch_arena, s->blocks, "sampler scratch", &session->blocks},
        {session->upload_arena, s->tokens, "tokens", &session->tokens},
        {session->upload_arena, s->control, "control mirror", &session->mirror},
        {session->upload_arena, 2 * row, "bias staging", &session->staging},
        {session->readback_arena, s->readback, "readback", &session->readback},
        {session->readback_arena, s->ring, "token ring", &session->ring},
        {session->readback_arena, s->ring, "score ring", &session->scores},
    };
    for (size_t i = 0; i < VKS_COUNT(buffers); i++)
        VKS_TRY(vks_arena_alloc(buffers[i].arena, buffers[i].size, buffers[i].name, buffers[i].out));
    memset(session->mirror.mapped, 0, (size_t)session->mirror.size);
    vks_session_control(session, vks_session_parked(session))[VKS_CONTROL_FLAGS] = VKS_CONTROL_PARKED;
    return VKSSM_OK;
}

static vkssm_status record_upload_control(vkssm_session *session) {
    VKS_TRY(vks_recorder_create(session->model->device->vk, "control upload", &session->upload_control));
    VKS_TRY(vks_recorder_begin(session->upload_control, true));
    vks_record_copy(session->upload_control, &session->control, 0, &session->mirror, 0, session->sizes.control);
    return vks_recorder_end(session->upload_control);
}

static vkssm_status zero_states(vkssm_session *session) {
    vks_recorder *recorder;
    VKS_TRY(vks_session_begin_once(session, &recorder));
    vks_session_record_clear(session, recorder, 0, session->sizes.n_slot + VKS_SPARE_SLOTS);
    VKS_TRY(vks_recorder_end(recorder));
    return vks_session_run(session, &recorder, 1);
}

vkssm_status vkssm_session_create(vkssm_model *model, const vkssm_session_params *params, vkssm_session **out) {
    if (!out) return vks_fail(NULL, VKSSM_ERR_ARG, "session: a place for the handle expected, NULL found");
    *out = NULL;
    if (!model) return vks_fail(NULL, VKSSM_ERR_ARG, "session: a model expected, NULL found");
    vkssm_session_params defaults = {0};
    if (!params) params = &defaults;
    vkssm_session *session = vks_alloc_zero(1, sizeof *session);
    if (!session) return vks_fail(vks_device_get_log(model->device), VKSSM_ERR_OOM_HOST, "session: out of memory");
    session->model = model;
    session->timestamps = params->timestamps;
    session->coded_inputs = params->coded_inputs;
    session->submit_ns = params->submit_us ? (uint64_t)params->submit_us * 1000 : DEFAULT_SUBMIT_NS;
    atomic_fetch_add(&model->n_session, 1);
    vkssm_status status;
    VKS_TRY_GOTO(vks_session_measure(model, params, &session->sizes), fail);
    uint32_t n_slot = session->sizes.n_slot;
    session->slots = vks_alloc_zero(n_slot, sizeof *session->slots);
    session->steps = vks_alloc_zero(n_slot + 1, sizeof *session->steps);
    session->samples = vks_alloc_zero(n_slot + 1, sizeof *session->samples);
    if (!session->slots || !session->steps || !session->samples) {
        status = vks_fail(vks_session_log(session), VKSSM_ERR_OOM_HOST, "session: out of memory for %u slots", n_slot);
        goto fail;
    }
    VKS_TRY_GOTO(take_memory(session), fail);
    VKS_TRY_GOTO(vks_session_take_kept(session), fail);
    VKS_TRY_GOTO(vks_recorder_create(model->device->vk, "session", &session->once), fail);
    VKS_TRY_GOTO(record_upload_control(session), fail);
    VKS_TRY_GOTO(vks_session_warm(session), fail);
    VKS_TRY_GOTO(zero_states(session), fail);
    *out = session;
    return VKSSM_OK;
fail:
    vkssm_session_destroy(&session);
    return status;
}

void vkssm_session_destroy(vkssm_session **handle) {
    if (!handle || !*handle) return;
    vkssm_session *session = *handle;
    for (uint32_t i = 0; i <= session->sizes.n_slot; i++) {
        if (session->steps) vks_recorder_destroy(&session->steps[i]);
        if (session->samples) vks_recorder_destroy(&session->samples[i]);
    }
    vks_session_recording_destroy(session);
    vks_recorder_destroy(&session->upload_control);
    vks_recorder_destroy(&session->once);
    vks_session_free_kept(session);
    vks_arena_destroy(&session->readback_arena);
    vks_arena_destroy(&session->upload_arena);
    vks_arena_destroy(&session->scratch_arena);
    vks_arena_destroy(&session->slot_arena);
    vks_arena_destroy(&session->state_arena);
    vks_free(session->scopes);
    vks_free(session->samples);
    vks_free(session->steps);
    vks_free(session->slots);
    atomic_fetch_sub(&session->model->n_session, 1);
    vks_free(session);
    *handle = NULL;
}

vkssm_status vkssm_session_get_position(const vkssm_session *session, uint32_t slot, uint64_t *position) {
    VKS_TRY(vks_session_check_slot(session, slot));
    *position = session->slots[slot].position;
    return VKSSM_OK;
}

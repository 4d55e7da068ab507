// Inside a host application: its device is adopted, its command buffers are recorded into, its buffers and images are
// read and written; what the library allocates, submits and waits for meanwhile is counted: nothing.
#define _XOPEN_SOURCE 700 // mkdtemp
#include "harness/model_test.h"

#include <pthread.h>

#include "harness/files.h"
#include "harness/host_app.h"
#include "harness/tiny_mamba2.h"
#include "harness/tiny_s5.h"

typedef struct fixture {
    host_app app;
    vkssm_device *device;
    vkssm_model *model;
    vkssm_model_info info;
} fixture;

static bool no_host; // no device to adopt: every case is skipped

static vkssm_log test_log(void) {
    return (vkssm_log){0};
}

static bool set_up(fixture *f, bool language) {
    memset(f, 0, sizeof *f);
    if (!host_app_open(&f->app)) {
        no_host = true;
        return false;
    }
    CHECK_OK(vkssm_device_adopt(&(vkssm_device_params){.log = test_log()}, &f->app.host, &f->device));
    if (!f->device) return false;
    tiny_mamba2 mamba = tiny_mamba2_default();
    tiny_s5 s5 = tiny_s5_default();
    CHECK(language ? tiny_mamba2_write(&mamba, files_folder) : tiny_s5_write(&s5, files_folder));
    CHECK_OK(vkssm_model_load(f->device, files_folder, NULL, &f->model));
    if (!f->model) return false;
    vkssm_model_get_info(f->model, &f->info);
    return true;
}

static void tear_down(fixture *f) {
    vkssm_model_destroy(&f->model);
    vkssm_device_destroy(&f->device);
    CHECK(!f->model && !f->device);
    if (f->app.instance) host_app_close(&f->app);
    files_clear();
}

#define NEEDS(f, language)                                                                                             \
    do {                                                                                                               \
        if (!set_up(f, language)) {                                                                                    \
            tear_down(f);                                                                                              \
            if (no_host) CHECK_SKIP("no Vulkan device for a host application");                                        \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

// Nothing was allocated, created, submitted or waited for since the counts were reset.
static void check_nothing_done(void) {
    host_counts n = host_app_counts();
    CHECK_EQ(n.n_memory, 0);
    CHECK_EQ(n.n_object, 0);
    CHECK_EQ(n.n_submit, 0);
    CHECK_EQ(n.n_wait, 0);
}

enum { N_SLOT = 3, N_TOKEN = 21 };

// ---- language models
// -------------------------------------------------------------------------------------------------

// Steps of several slots, tokens from the host, logits in the host's buffer, the budget cutting a step anywhere: the
// same bits as vkssm_session_step.
static void steps_with_budget(uint32_t budget_us) {
    fixture f;
    NEEDS(&f, true);
    vkssm_session *session = NULL, *plain = NULL;
    const vkssm_session_params params = {.n_slot = N_SLOT};
    CHECK_OK(vkssm_session_create(f.model, &params, &session));
    CHECK_OK(vkssm_session_create(f.model, &params, &plain));
    double estimate = 0;
    CHECK_OK(vkssm_session_prepare_step(session, 2, false, &estimate));
    CHECK(estimate > 0);
    uint32_t n_vocab = f.info.n_vocab;
    size_t n_logit = 2 * (size_t)n_vocab;
    float *wanted = model_alloc(n_logit, sizeof *wanted);
    host_buffer logits = host_buffer_create(&f.app, n_logit * sizeof(float) + 256);
    int32_t *tokens = model_tokens(5, 2 * N_TOKEN, n_vocab);
    uint32_t n_call = 0;
    for (int t = 0; t < N_TOKEN; t++) {
        const uint32_t slots[] = {(uint32_t)t % N_SLOT, ((uint32_t)t + 1) % N_SLOT};
        CHECK_OK(vkssm_session_step(plain, 2, slots, tokens + 2 * t, wanted));
        vkssm_record_step step = {
            .n_slot = 2, .slots = slots, .tokens = tokens + 2 * t, .logits = logits.range, .budget_us = budget_us};
        step.logits.offset = 128;
        vkssm_cursor cursor = {0};
        while (!cursor.complete && n_call < 10000) {
            VkCommandBuffer commands = host_begin(&f.app);
            host_app_reset_counts();
            CHECK_OK(vkssm_session_record_step(session, commands, &step, &cursor));
            check_nothing_done();
            if (!cursor.complete && n_call % 5 == 0) { // nothing else meanwhile
                CHECK_REFUSED(vkssm_session_reset(session, 0), VKSSM_ERR_STATE, "not complete");
                vkssm_cursor other = {0};
                CHECK_REFUSED(vkssm_session_record_step(session, commands, &step, &other), VKSSM_ERR_STATE, "begun");
            }
            host_end_submit(&f.app, commands);
            n_call++;
        }
        CHECK(memcmp((uint8_t *)logits.mapped + 128, wanted, n_logit * sizeof *wanted) == 0);
    }
    CHECK(budget_us ? n_call > 3 * N_TOKEN : n_call == N_TOKEN);
    for (uint32_t slot = 0; slot < N_SLOT; slot++) {
        uint64_t a, b;
        CHECK_OK(vkssm_session_get_position(session, slot, &a));
        CHECK_OK(vkssm_session_get_position(plain, slot, &b));
        CHECK_EQ(a, b);
    }
    const uint8_t *bytes = logits.mapped; // nothing around the range
    for (int i = 0; i < 128; i++)
        CHECK(bytes[i] == 0xff && bytes[logits.range.buffer_size - 1 - (unsigned)i] == 0xff);
    host_buffer_destroy(&f.app, &logits);
    free(tokens);
    free(wanted);
    vkssm_session_destroy(&plain);
    vkssm_session_destroy(&session);
    tear_down(&f);
}

CHECK_CASE(steps) {
    steps_with_budget(0);
}

// The smallest budget there is: an operator a call.
CHECK_CASE(steps_in_parts) {
    steps_with_budget(1);
}

// Prefill, then steps that sample: many in one command buffer, the tokens never leaving the device; as generate does
// it.
CHECK_CASE(generation) {
    fixture f;
    NEEDS(&f, true);
    enum { N_NEW = 12 };
    vkssm_session *session = NULL, *plain = NULL;
    const vkssm_session_params params = {.n_slot = N_SLOT, .piece_size = 16};
    CHECK_OK(vkssm_session_create(f.model, &params, &session));
    CHECK_OK(vkssm_session_create(f.model, &params, &plain));
    CHECK_OK(vkssm_session_prepare_prefill(session, 8, NULL));
    CHECK_OK(vkssm_session_prepare_step(session, 1, true, NULL));
    int32_t *prompt = model_tokens(6, N_TOKEN, f.info.n_vocab), wanted[N_NEW];
    float *last = model_alloc(f.info.n_vocab, sizeof *last);
    const vkssm_sampling sampling = {.temperature = 0.9f, .top_k = 7, .top_p = 0.95f, .seed = 99};
    const uint32_t slot = 1;
    uint32_t n = 0;
    // The reference reads pieces of the same sizes: 8, 8, 4, 1 tokens; the last one is stepped.
    const size_t pieces[] = {8, 8, 4};
    for (size_t i = 0, at = 0; i < 3; at += pieces[i++])
        CHECK_OK(vkssm_session_prefill(plain, slot, prompt + at, pieces[i], VKSSM_LOGITS_NONE, NULL));
    CHECK_OK(vkssm_session_step(plain, 1, &slot, &prompt[20], last));
    CHECK_OK(vkssm_session_generate(plain, slot, &(vkssm_generate_params){.n_token = N_NEW, .sampling = sampling},
                                    wanted, &n));
    CHECK_EQ(n, N_NEW);

    host_buffer found = host_buffer_create(&f.app, N_NEW * 64);
    VkCommandBuffer commands = host_begin(&f.app);
    vkssm_record_step step = {.n_slot = 1, .slots = &slot, .sampling = &sampling, .sampled = found.range};
    CHECK_REFUSED(vkssm_session_record_step(session, commands, &step, NULL), VKSSM_ERR_STATE, "slot 1: a token");
    host_app_reset_counts();
    CHECK_OK(vkssm_session_record_prefill(
        session, commands, &(vkssm_record_prefill){.slot = slot, .n_token = 20, .tokens = prompt}, NULL));
    for (int i = 0; i < N_NEW; i++) {
        step.tokens = i == 0 ? &prompt[20] : NULL;
        step.sampled.offset = (VkDeviceSize)i * 64;
        step.sampled.size = 64;
        CHECK_OK(vkssm_session_record_step(session, commands, &step, NULL));
    }
    check_nothing_done();
    host_end_submit(&f.app, commands);
    for (int i = 0; i < N_NEW; i++)
        CHECK_EQ(((const int32_t *)found.mapped)[i * 16 + slot], wanted[i]);
    uint64_t position;
    CHECK_OK(vkssm_session_get_position(session, slot, &position));
    CHECK_EQ(position, 20 + N_NEW);
    host_buffer_destroy(&f.app, &found);
    free(last);
    free(prompt);
    vkssm_session_destroy(&plain);
    vkssm_session_destroy(&session);
    tear_down(&f);
}

// Recorded steps of one slot while another one generates by the session's own calls, before and behind each submission
// of the host's: neither takes the other's tokens or place.
CHECK_CASE(beside_generation) {
    fixture f;
    NEEDS(&f, true);
    enum { N_NEW = 4, N_OTHER = 13 };
    vkssm_session *session = NULL, *plain = NULL;
    const vkssm_session_params params = {.n_slot = N_SLOT, .n_rollback = 4};
    CHECK_OK(vkssm_session_create(f.model, &params, &session));
    CHECK_OK(vkssm_session_create(f.model, &params, &plain));
    CHECK_OK(vkssm_session_prepare_step(session, 1, true, NULL));
    int32_t *prompt = model_tokens(6, N_TOKEN, f.info.n_vocab), wanted[N_NEW], other[N_OTHER], other_wanted[N_OTHER];
    const vkssm_sampling sampling = {.temperature = 0.9f, .seed = 99};
    const vkssm_generate_params generate = {.n_token = N_NEW, .sampling = sampling};
    const vkssm_generate_params generate_other = {.n_token = N_OTHER, .sampling = sampling};
    const uint32_t slot = 1;
    for (uint32_t s = 0; s < 2; s++) {
        CHECK_OK(vkssm_session_prefill(plain, s, prompt + s, 8, VKSSM_LOGITS_NONE, NULL));
        CHECK_OK(vkssm_session_prefill(session, s, prompt + s, 8, VKSSM_LOGITS_NONE, NULL));
    }
    CHECK_OK(vkssm_session_step(plain, 1, &slot, &prompt[9], NULL));
    CHECK_OK(vkssm_session_generate(plain, slot, &generate, wanted, NULL));
    CHECK_OK(vkssm_session_generate(plain, 0, &generate_other, other_wanted, NULL));

    host_buffer found = host_buffer_create(&f.app, N_NEW * 64);
    vkssm_record_step step = {.n_slot = 1, .slots = &slot, .sampling = &sampling, .sampled = found.range};
    uint32_t n_left = 0;
    CHECK_OK(vkssm_session_join(session, 0, &generate_other, other));
    for (int i = 0; i < N_NEW; i++) {
        step.tokens = i == 0 ? &prompt[9] : NULL;
        step.sampled.offset = (VkDeviceSize)i * 64;
        step.sampled.size = 64;
        VkCommandBuffer commands = host_begin(&f.app);
        CHECK_OK(vkssm_session_record_step(session, commands, &step, NULL));
        CHECK_OK(vkssm_session_advance(session, 2, &n_left));
        host_end_submit(&f.app, commands);
        CHECK_OK(vkssm_session_advance(session, 1, &n_left));
    }
    CHECK_EQ(n_left, 0);
    for (int i = 0; i < N_NEW; i++)
        CHECK_EQ(((const int32_t *)found.mapped)[i * 16 + slot], wanted[i]);
    for (int i = 0; i < N_OTHER; i++)
        CHECK_EQ(other[i], other_wanted[i]);
    host_buffer_destroy(&f.app, &found);
    free(prompt);
    vkssm_session_destroy(&plain);
    vkssm_session_destroy(&session);
    tear_down(&f);
}

// A prefill cut anywhere, its tokens in the host's buffer: the same logits as whole.
CHECK_CASE(prefill_in_parts) {
    fixture f;
    NEEDS(&f, true);
    vkssm_session *session = NULL;
    CHECK_OK(vkssm_session_create(f.model, &(vkssm_session_params){.n_slot = 2, .piece_size = 8}, &session));
    double estimate = 0;
    CHECK_OK(vkssm_session_prepare_prefill(session, 0, &estimate));
    CHECK(estimate > 0);
    size_t size = f.info.n_vocab * sizeof(float);
    int32_t *prompt = model_tokens(7, N_TOKEN, f.info.n_vocab);
    host_buffer tokens = host_buffer_create(&f.app, N_TOKEN * 4), logits[2];
    memcpy(tokens.mapped, prompt, N_TOKEN * 4);
    for (uint32_t slot = 0; slot < 2; slot++) {
        logits[slot] = host_buffer_create(&f.app, size);
        vkssm_record_prefill prefill = {
            .slot = slot, .n_token = N_TOKEN, .token_buffer = tokens.range, .logits = logits[slot].range};
        if (slot == 1) prefill.budget_us = 1;
        vkssm_cursor cursor = {0};
        for (int n = 0; !cursor.complete && n < 1000; n++) {
            VkCommandBuffer commands = host_begin(&f.app);
            host_app_reset_counts();
            CHECK_OK(vkssm_session_record_prefill(session, commands, &prefill, &cursor));
            check_nothing_done();
            host_end_submit(&f.app, commands);
            CHECK(slot == 1 || cursor.complete);
        }
        CHECK(cursor.complete);
    }
    CHECK(memcmp(logits[0].mapped, logits[1].mapped, size) == 0);
    float *wanted = model_alloc(f.info.n_vocab, sizeof *wanted);
    CHECK_OK(vkssm_session_reset(session, 0));
    CHECK_OK(vkssm_session_prefill(session, 0, prompt, N_TOKEN, VKSSM_LOGITS_LAST, wanted));
    // Pieces 8, 8, 4, 1 here and 8, 8, 5 there: other roundings of float32 sums over some hundred terms.
    CHECK_AT_MOST(model_gap(logits[0].mapped, wanted, f.info.n_vocab), 1e-5);
    free(wanted);
    free(prompt);
    for (int i = 0; i < 2; i++)
        host_buffer_destroy(&f.app, &logits[i]);
    host_buffer_destroy(&f.app, &tokens);
    vkssm_session_destroy(&session);
    tear_down(&f);
}

CHECK_CASE(refused_steps) {
    fixture f;
    NEEDS(&f, true);
    vkssm_session *session = NULL;
    CHECK_OK(vkssm_session_create(f.model, &(vkssm_session_params){.n_slot = 2}, &session));
    VkCommandBuffer commands = host_begin(&f.app);
    host_buffer buffer = host_buffer_create(&f.app, 2 * f.info.n_vocab * sizeof(float));
    const uint32_t slots[] = {0, 1}, twice[] = {1, 1}, beyond[] = {0, 2};
    const int32_t tokens[] = {1, 2}, wrong[] = {1, (int32_t)f.info.n_vocab};
    const vkssm_record_step good = {.n_slot = 2, .slots = slots, .tokens = tokens, .logits = buffer.range};
    vkssm_record_step bad = good;
    CHECK_REFUSED(vkssm_session_record_step(session, commands, &bad, NULL), VKSSM_ERR_STATE, "prepare_step");
    CHECK_REFUSED(vkssm_session_prepare_step(session, 3, false, NULL), VKSSM_ERR_ARG, "1 to 2 slots");
    CHECK_REFUSED(vkssm_session_prepare_prefill(session, 1u << 30, NULL), VKSSM_ERR_ARG, "pieces of at most");
    CHECK_OK(vkssm_session_prepare_step(session, 2, false, NULL));
#define REFUSE(change, status, part)                                                                                   \
    do {                                                                                                               \
        bad = good;                                                                                                    \
        change;                                                                                                        \
        CHECK_REFUSED(vkssm_session_record_step(session, commands, &bad, NULL), status, part);                         \
    } while (0)
    REFUSE(bad.n_slot = 0, VKSSM_ERR_ARG, "1 to 2 slots");
    REFUSE(bad.n_slot = 3, VKSSM_ERR_ARG, "1 to 2 slots");
    REFUSE(bad.slots = NULL, VKSSM_ERR_ARG, "1 to 2 slots");
    REFUSE(bad.slots = twice, VKSSM_ERR_ARG, "slot 1 found twice");
    REFUSE(bad.slots = beyond, VKSSM_ERR_ARG, "slot below 2");
    REFUSE(bad.tokens = wrong, VKSSM_ERR_ARG, "token 1");
    REFUSE(bad.n_slot = 1, VKSSM_ERR_STATE, "prepare_step");
    REFUSE(bad.sampling = &(vkssm_sampling){0}, VKSSM_ERR_STATE, "prepare_step");
    REFUSE(bad.logits.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, VKSSM_ERR_ARG, "SHADER_DEVICE_ADDRESS");
    REFUSE(bad.logits.buffer_size -= 4, VKSSM_ERR_ARG, "at least");
    REFUSE(bad.logits.size = 16, VKSSM_ERR_ARG, "at least");
    REFUSE(bad.logits.offset = 4, VKSSM_ERR_ARG, "logits");
    REFUSE(bad.logits.offset = UINT64_MAX, VKSSM_ERR_ARG, "logits");
    REFUSE(bad.logits.size = UINT64_MAX, VKSSM_ERR_ARG, "inside a buffer");
    REFUSE(bad.budget_us = 5, VKSSM_ERR_ARG, "cursor");
#undef REFUSE
    CHECK_REFUSED(vkssm_session_record_step(session, VK_NULL_HANDLE, &good, NULL), VKSSM_ERR_ARG, "command buffer");
    CHECK_REFUSED(vkssm_session_record_step(NULL, commands, &good, NULL), VKSSM_ERR_ARG, "session");
    CHECK_REFUSED(vkssm_session_record_step(session, commands, NULL, NULL), VKSSM_ERR_ARG, "parameters");
    vkssm_cursor done = {.complete = true}, stray = {.position = 3};
    CHECK_REFUSED(vkssm_session_record_step(session, commands, &good, &done), VKSSM_ERR_ARG, "complete");
    CHECK_REFUSED(vkssm_session_record_step(session, commands, &good, &stray), VKSSM_ERR_STATE, "cursor");
    const vkssm_record_prefill prefill = {.n_token = 2, .tokens = tokens};
    CHECK_REFUSED(vkssm_session_record_prefill(session, commands, &prefill, NULL), VKSSM_ERR_STATE, "prepare_prefill");
    uint64_t position;
    CHECK_OK(vkssm_session_get_position(session, 0, &position));
    CHECK_EQ(position, 0);

    // Begun, given up, reset: as new.
    vkssm_cursor cursor = {0};
    vkssm_record_step cut = good;
    cut.budget_us = 1;
    CHECK_OK(vkssm_session_record_step(session, commands, &cut, &cursor));
    CHECK(!cursor.complete);
    CHECK_REFUSED(vkssm_session_reset(session, 0), VKSSM_ERR_STATE, "step");
    vkssm_session_cancel_record(session);
    host_end_submit(&f.app, commands);
    CHECK_OK(vkssm_session_reset(session, 0));

    // The host says that its device is lost: every call fails, everything can be destroyed.
    commands = host_begin(&f.app);
    vkssm_device_report_lost(f.device);
    CHECK_REFUSED(vkssm_session_record_step(session, commands, &good, NULL), VKSSM_ERR_DEVICE_LOST, "lost");
    CHECK_REFUSED(vkssm_session_prepare_step(session, 1, false, NULL), VKSSM_ERR_DEVICE_LOST, "lost");
    host_end_submit(&f.app, commands); // its own objects are unharmed
    // Destruction in the wrong order is refused, and said.
    vkssm_model_destroy(&f.model);
    CHECK(f.model != NULL);
    CHECK_CONTAINS(vkssm_last_error(), "1 sessions use it");
    vkssm_device_destroy(&f.device);
    CHECK(f.device != NULL);
    CHECK_CONTAINS(vkssm_last_error(), "1 models live on it");
    host_buffer_destroy(&f.app, &buffer);
    vkssm_session_destroy(&session);
    tear_down(&f);
}

// ---- models that map tensors to tensors
// ------------------------------------------------------------------------------

enum { N_SEQUENCE = 2, N_TIME = 9, N_PIECE = 3, N_INPUT = 3 };

static void fill_rows(float *rows, uint64_t stride, const float *values, uint32_t first, uint32_t n) {
    for (uint32_t s = 0; s < N_SEQUENCE; s++)
        for (uint32_t t = 0; t < n; t++)
            memcpy(rows + (s * n + t) * stride, values + (s * N_TIME + first + t) * N_INPUT, N_INPUT * sizeof *values);
}

// Sequences in recordings of 3 steps, each in one go or an operator at a time; outputs of the last recording as of a
// run.
CHECK_CASE(tensor_model) {
    fixture f;
    NEEDS(&f, false);
    float input[N_SEQUENCE * N_TIME * N_INPUT];
    uint64_t seed = 11;
    for (size_t i = 0; i < sizeof input / sizeof *input; i++)
        input[i] = check_uniform(&seed, -1, 1);
    const vkssm_named_tensor named = {.name = "input",
                                      .dtype = VKSSM_DTYPE_F32,
                                      .n_dim = 3,
                                      .shape = {N_SEQUENCE, N_TIME, N_INPUT},
                                      .data = input,
                                      .size = sizeof input};
    vkssm_tensors *wanted = NULL;
    CHECK_OK(vkssm_model_run(f.model, &(vkssm_run_params){.layers = true, .piece_size = N_PIECE}, &named, 1, &wanted));
    vkssm_named_tensor logits, layer;
    CHECK(wanted && vkssm_tensors_find(wanted, "logits", &logits) && vkssm_tensors_find(wanted, "layer1.out", &layer));

    vkssm_recording *recording = NULL;
    double estimate = 0;
    const vkssm_recording_params params = {.n_sequence = N_SEQUENCE, .n_time = N_PIECE, .layers = true};
    CHECK_OK(vkssm_recording_create(f.model, &params, &estimate, &recording));
    CHECK(estimate > 0);
    vkssm_port in, out, wide;
    CHECK_OK(vkssm_recording_get_port(recording, false, 0, &in));
    CHECK_OK(vkssm_recording_get_port(recording, true, 0, &out));
    CHECK_OK(vkssm_recording_get_port(recording, true, 2, &wide));
    CHECK_REFUSED(vkssm_recording_get_port(recording, true, 3, &wide), VKSSM_ERR_ARG, "below 3");
    CHECK_STR(in.name, "input");
    CHECK_STR(wide.name, "layer1.out");
    CHECK_EQ(in.n_row, N_SEQUENCE * N_PIECE);
    CHECK_EQ(in.row_stride % 8, 0);
    host_buffer from = host_buffer_create(&f.app, in.n_row * in.row_stride * 4);
    host_buffer to = host_buffer_create(&f.app, out.size), features = host_buffer_create(&f.app, wide.size);
    uint32_t n_width = (uint32_t)wide.n_value;
    for (uint32_t budget = 0; budget < 2; budget++) { // the second time the sequences begin again
        for (uint32_t t = 0; t < N_TIME; t += N_PIECE) {
            memset(from.mapped, 0, (size_t)from.range.buffer_size);
            fill_rows(from.mapped, in.row_stride, input, t, N_PIECE);
            const vkssm_bound_port inputs[] = {{.name = "input", .buffer = from.range}};
            const vkssm_bound_port outputs[] = {{.name = "logits", .buffer = to.range},
                                                {.name = "layer1.out", .buffer = features.range}};
            const vkssm_record_model model = {.inputs = inputs,
                                              .outputs = outputs,
                                              .n_input = 1,
                                              .n_output = 2,
                                              .begin = t == 0,
                                              .budget_us = budget};
            vkssm_cursor cursor = {0};
            int n_call = 0;
            for (; !cursor.complete && n_call < 1000; n_call++) {
                VkCommandBuffer commands = host_begin(&f.app);
                host_app_reset_counts();
                CHECK_OK(vkssm_model_record(recording, commands, &model, &cursor));
                check_nothing_done();
                vkssm_cursor other = {.position = 99};
                CHECK_REFUSED(vkssm_model_record(recording, commands, &model, &other), VKSSM_ERR_STATE, "cursor");
                host_end_submit(&f.app, commands);
            }
            CHECK(budget ? n_call > 3 : n_call == 1);
            for (uint32_t s = 0; s < N_SEQUENCE; s++) // pieces of the same length: the same bits
                CHECK(memcmp((const float *)features.mapped + s * N_PIECE * wide.row_stride,
                             (const float *)layer.data + (s * N_TIME + t) * n_width,
                             N_PIECE * n_width * sizeof(float)) == 0);
        }
        CHECK(memcmp(to.mapped, logits.data, (size_t)logits.size) == 0);
    }
    host_buffer_destroy(&f.app, &features);
    host_buffer_destroy(&f.app, &to);
    host_buffer_destroy(&f.app, &from);
    vkssm_recording_destroy(&recording);
    vkssm_tensors_destroy(&wanted);
    tear_down(&f);
}

// Input rows from an image, output rows to an image: 3 steps, drawn from and to the lines of a picture.
CHECK_CASE(images) {
    fixture f;
    NEEDS(&f, false);
    vkssm_recording *recording = NULL;
    CHECK_OK(vkssm_recording_create(f.model, &(vkssm_recording_params){.n_time = N_PIECE, .layers = true}, NULL,
                                    &recording));
    vkssm_port in, wide;
    CHECK_OK(vkssm_recording_get_port(recording, false, 0, &in));
    CHECK_OK(vkssm_recording_get_port(recording, true, 1, &wide));
    uint32_t width = (uint32_t)wide.n_value;
    host_buffer from = host_buffer_create(&f.app, in.n_row * in.row_stride * 4);
    host_buffer to = host_buffer_create(&f.app, wide.size), back = host_buffer_create(&f.app, N_PIECE * width * 4);
    host_buffer pixels = host_buffer_create(&f.app, N_PIECE * N_INPUT * 4);
    uint64_t seed = 12;
    memset(from.mapped, 0, (size_t)from.range.buffer_size);
    for (int i = 0; i < N_PIECE * N_INPUT; i++) {
        float value = ((float *)pixels.mapped)[i] = check_uniform(&seed, -1, 1);
        ((float *)from.mapped)[i / N_INPUT * in.row_stride + i % N_INPUT] = value;
    }
    host_image source = host_image_create(&f.app, N_INPUT, N_PIECE),
               picture = host_image_create(&f.app, width, N_PIECE);
    vkssm_image regions[2 * N_PIECE];
    vkssm_bound_port inputs[N_PIECE], outputs[N_PIECE];
    for (uint32_t t = 0; t < N_PIECE; t++) {
        const VkImageSubresourceLayers layers = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};
        regions[t] = (vkssm_image){.image = source.image,
                                   .layout = VK_IMAGE_LAYOUT_GENERAL,
                                   .subresource = layers,
                                   .offset = {0, (int32_t)t, 0},
                                   .extent = {N_INPUT, 1, 1},
                                   .n_channel = 1};
        regions[N_PIECE + t] = regions[t];
        regions[N_PIECE + t].image = picture.image;
        regions[N_PIECE + t].extent.width = width;
        inputs[t] = (vkssm_bound_port){.name = "input", .image = &regions[t], .image_row = t};
        outputs[t] = (vkssm_bound_port){.name = "layer0.out", .image = &regions[N_PIECE + t], .image_row = t};
    }
    vkssm_sync sync;
    vkssm_record_get_sync(&sync);
    const VkPipelineStageFlags2 copy = VK_PIPELINE_STAGE_2_COPY_BIT;
    const VkBufferImageCopy in_region = {.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
                                         .imageExtent = {N_INPUT, N_PIECE, 1}};
    const VkBufferImageCopy out_region = {.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
                                          .imageExtent = {width, N_PIECE, 1}};
    VkCommandBuffer commands = host_begin(&f.app);
    host_image_general(&f.app, commands, source.image);
    host_image_general(&f.app, commands, picture.image);
    HOST_FN(&f.app, vkCmdCopyBufferToImage)
    (commands, pixels.range.buffer, source.image, VK_IMAGE_LAYOUT_GENERAL, 1, &in_region);
    host_barrier(&f.app, commands, copy, VK_ACCESS_2_TRANSFER_WRITE_BIT, sync.stages, sync.reads | sync.writes);
    host_app_reset_counts();
    const vkssm_record_model by_image = {
        .inputs = inputs, .outputs = outputs, .n_input = N_PIECE, .n_output = N_PIECE, .begin = true};
    CHECK_OK(vkssm_model_record(recording, commands, &by_image, NULL));
    const vkssm_bound_port plain_in = {.name = "input", .buffer = from.range};
    const vkssm_bound_port plain_out = {.name = "layer0.out", .buffer = to.range};
    const vkssm_record_model by_buffer = {
        .inputs = &plain_in, .outputs = &plain_out, .n_input = 1, .n_output = 1, .begin = true};
    CHECK_OK(vkssm_model_record(recording, commands, &by_buffer, NULL));
    check_nothing_done();
    host_barrier(&f.app, commands, sync.stages, sync.writes, copy, VK_ACCESS_2_TRANSFER_READ_BIT);
    HOST_FN(&f.app, vkCmdCopyImageToBuffer)
    (commands, picture.image, VK_IMAGE_LAYOUT_GENERAL, back.range.buffer, 1, &out_region);
    host_end_submit(&f.app, commands);
    CHECK(memcmp(back.mapped, to.mapped, (size_t)wide.size) == 0);

    // Refused.
    commands = host_begin(&f.app);
    vkssm_image region = regions[0];
    vkssm_bound_port port = inputs[0];
    vkssm_record_model bad = {.inputs = &port, .n_input = 1};
    port.image = &region;
    region.extent.width = 4;
    CHECK_REFUSED(vkssm_model_record(recording, commands, &bad, NULL), VKSSM_ERR_ARG, "3 floats");
    region = regions[0], region.image = VK_NULL_HANDLE;
    CHECK_REFUSED(vkssm_model_record(recording, commands, &bad, NULL), VKSSM_ERR_ARG, "image");
    region = regions[0], port.image_row = 3;
    CHECK_REFUSED(vkssm_model_record(recording, commands, &bad, NULL), VKSSM_ERR_ARG, "image_row");
    region.n_channel = 0, port.image_row = 0;
    CHECK_REFUSED(vkssm_model_record(recording, commands, &bad, NULL), VKSSM_ERR_ARG, "floats");
    // Texels of three floats are copied at multiples of 12 bytes. Rows are 32 apart: one of three lies on one.
    uint32_t n_copied = 0;
    region = regions[0], region.extent.width = 1, region.n_channel = N_INPUT;
    for (port.image_row = 0; port.image_row < N_PIECE; port.image_row++) {
        if (vkssm_model_record(recording, commands, &bad, NULL) == VKSSM_OK)
            n_copied++;
        else
            CHECK_CONTAINS(vkssm_last_error(), "multiple of 12 bytes");
    }
    CHECK_EQ(in.row_stride, 8);
    CHECK_EQ(n_copied, N_PIECE / 3);
    port = plain_in, port.name = "nobody";
    CHECK_REFUSED(vkssm_model_record(recording, commands, &bad, NULL), VKSSM_ERR_ARG, "\"nobody\"");
    port = plain_in, port.buffer.buffer = VK_NULL_HANDLE;
    CHECK_REFUSED(vkssm_model_record(recording, commands, &bad, NULL), VKSSM_ERR_ARG, "buffer");
    bad.n_input = 0;
    CHECK_REFUSED(vkssm_model_record(recording, commands, &bad, NULL), VKSSM_ERR_ARG, "input input");
    bad = (vkssm_record_model){.inputs = (vkssm_bound_port[]){plain_in, plain_in}, .n_input = 2};
    CHECK_REFUSED(vkssm_model_record(recording, commands, &bad, NULL), VKSSM_ERR_ARG, "twice");
    CHECK_REFUSED(vkssm_model_record(recording, VK_NULL_HANDLE, &by_buffer, NULL), VKSSM_ERR_ARG, "command buffer");
    host_end_submit(&f.app, commands);
    host_image_destroy(&f.app, &source);
    host_image_destroy(&f.app, &picture);
    host_buffer *const buffers[] = {&from, &to, &back, &pixels};
    for (int i = 0; i < 4; i++)
        host_buffer_destroy(&f.app, buffers[i]);
    vkssm_recording_destroy(&recording);
    tear_down(&f);
}

// ---- scans
// -----------------------------------------------------------------------------------------------------------

CHECK_CASE(scan) {
    fixture f;
    NEEDS(&f, false);
    enum { B = 2, T = 3000, D = 6 };
    const size_t n = (size_t)B * T * D;
    float *a = model_alloc(n, sizeof *a), *b = model_alloc(n, sizeof *b), *h = model_alloc(n, sizeof *h);
    uint64_t seed = 13;
    for (size_t i = 0; i < n; i++) {
        a[i] = check_uniform(&seed, 0.5f, 1);
        b[i] = check_uniform(&seed, -1, 1);
    }
    float initial[B * D], last[B * D];
    for (int i = 0; i < B * D; i++)
        initial[i] = (float)i;
    vkssm_scan_params shape = {.n_batch = B,
                               .n_time = T,
                               .n_channel = D,
                               .a = a,
                               .b = b,
                               .h = h,
                               .a_size = n * 4,
                               .b_size = n * 4,
                               .h_size = n * 4,
                               .initial = initial,
                               .last = last};
    CHECK_OK(vkssm_scan_run(f.device, &shape));
    host_buffer buffers[5];
    const void *data[] = {a, b, NULL, initial, NULL};
    const size_t sizes[] = {n * 4, n * 4, n * 4, sizeof initial, sizeof last};
    for (int i = 0; i < 5; i++) {
        buffers[i] = host_buffer_create(&f.app, sizes[i]);
        if (data[i]) memcpy(buffers[i].mapped, data[i], sizes[i]);
    }
    vkssm_record_scan record = {.shape = shape,
                                .a = buffers[0].range,
                                .b = buffers[1].range,
                                .h = buffers[2].range,
                                .initial = buffers[3].range,
                                .last = buffers[4].range};
    uint64_t scratch_size = 0;
    CHECK_OK(vkssm_scan_prepare_record(f.device, &record, &scratch_size));
    host_buffer scratch = host_buffer_create(&f.app, scratch_size + 16);
    record.scratch = scratch.range;
    VkCommandBuffer commands = host_begin(&f.app);
    host_app_reset_counts();
    CHECK_OK(vkssm_scan_record(f.device, commands, &record));
    check_nothing_done();
    host_end_submit(&f.app, commands);
    CHECK(memcmp(buffers[2].mapped, h, n * 4) == 0);
    CHECK(memcmp(buffers[4].mapped, last, sizeof last) == 0);
    commands = host_begin(&f.app);
    vkssm_record_scan bad = record;
    bad.b.buffer_size -= 4;
    CHECK_REFUSED(vkssm_scan_record(f.device, commands, &bad), VKSSM_ERR_ARG, "scan: b: a range of at least");
    bad = record, bad.a.buffer = VK_NULL_HANDLE;
    CHECK_REFUSED(vkssm_scan_record(f.device, commands, &bad), VKSSM_ERR_ARG, "scan: a: a buffer");
    bad = record, bad.h.usage = 0;
    CHECK_REFUSED(vkssm_scan_record(f.device, commands, &bad), VKSSM_ERR_ARG, "SHADER_DEVICE_ADDRESS");
    bad = record, bad.shape.n_time = 0;
    CHECK_REFUSED(vkssm_scan_record(f.device, commands, &bad), VKSSM_ERR_ARG, "at least one step");
    bad = record, bad.shape.dtype = VKSSM_DTYPE_F16, bad.shape.n_channel = 3;
    CHECK_REFUSED(vkssm_scan_record(f.device, commands, &bad), VKSSM_ERR_ARG, "even");
    CHECK_REFUSED(vkssm_scan_record(f.device, VK_NULL_HANDLE, &record), VKSSM_ERR_ARG, "command buffer");
    host_end_submit(&f.app, commands);
    host_buffer_destroy(&f.app, &scratch);
    for (int i = 0; i < 5; i++)
        host_buffer_destroy(&f.app, &buffers[i]);
    free(h);
    free(b);
    free(a);
    tear_down(&f);
}

// ---- adoption
// --------------------------------------------------------------------------------------------------------

CHECK_CASE(refused_hosts) {
    host_app app;
    if (!host_app_open(&app)) CHECK_SKIP("no Vulkan device for a host application");
    vkssm_device *device = NULL;
    vkssm_host bad = app.host;
#define REFUSE(change, status, part)                                                                                   \
    do {                                                                                                               \
        bad = app.host;                                                                                                \
        change;                                                                                                        \
        CHECK_REFUSED(vkssm_device_adopt(NULL, &bad, &device), status, part);                                          \
        CHECK(!device);                                                                                                \
    } while (0)
    REFUSE(bad.instance = VK_NULL_HANDLE, VKSSM_ERR_ARG, "instance");
    REFUSE(bad.physical_device = VK_NULL_HANDLE, VKSSM_ERR_ARG, "physical_device");
    REFUSE(bad.device = VK_NULL_HANDLE, VKSSM_ERR_ARG, "device is NULL");
    REFUSE(bad.queue = VK_NULL_HANDLE, VKSSM_ERR_ARG, "queue");
    REFUSE(bad.get_instance_proc_addr = NULL, VKSSM_ERR_ARG, "get_instance_proc_addr");
    REFUSE(bad.enabled_features = NULL, VKSSM_ERR_ARG, "enabled_features");
    REFUSE(bad.unlock_queue = NULL, VKSSM_ERR_ARG, "unlock_queue");
    REFUSE(bad.queue_family = 77, VKSSM_ERR_UNSUPPORTED, "queue family with compute");
    REFUSE(bad.api_version = VK_API_VERSION_1_1, VKSSM_ERR_UNSUPPORTED, "Vulkan 1.3");
    REFUSE(host_app_pretend_version(VK_API_VERSION_1_2), VKSSM_ERR_UNSUPPORTED, "Vulkan 1.3 (it has 1.2)");
    host_app_pretend_version(0);
    VkPhysicalDeviceFeatures2 none = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
    REFUSE(bad.enabled_features = &none, VKSSM_ERR_UNSUPPORTED, "bufferDeviceAddress");
#undef REFUSE
    CHECK_REFUSED(vkssm_device_adopt(NULL, NULL, &device), VKSSM_ERR_ARG, "host");
    CHECK_REFUSED(vkssm_device_adopt(NULL, &app.host, NULL), VKSSM_ERR_ARG, "place");
    vkssm_wanted *wanted = NULL;
    CHECK_REFUSED(vkssm_wanted_create(NULL, app.get, VK_NULL_HANDLE, app.physical, &wanted), VKSSM_ERR_ARG, "instance");
    host_app_close(&app);
}

// What is masked is not wanted: no extension, no struct of one, no feature but the floor.
CHECK_CASE(wanted_masked) {
    host_app app;
    if (!host_app_open(&app)) CHECK_SKIP("no Vulkan device for a host application");
    vkssm_wanted *wanted = NULL;
    vkssm_wanted_info info;
    CHECK_OK(vkssm_wanted_create(&(vkssm_device_params){.mask_features = UINT32_MAX}, app.get, app.instance,
                                 app.physical, &wanted));
    if (wanted) {
        vkssm_wanted_get(wanted, &info);
        CHECK_EQ(info.n_extension, 0);
        uint32_t n_struct = 0;
        for (const VkBaseOutStructure *s = (const VkBaseOutStructure *)info.features; s; s = s->pNext)
            n_struct++;
        CHECK_EQ(n_struct, 4); // the core's, and those of Vulkan 1.1, 1.2 and 1.3
        CHECK(!info.features->features.shaderInt64);
    }
    vkssm_wanted_destroy(&wanted);
    host_app_close(&app);
}

typedef struct heard_line {
    char text[1024];
} heard_line;
static void hear(void *user, vkssm_log_level level, const char *message) {
    (void)level;
    if (strstr(message, "not enabled")) snprintf(((heard_line *)user)->text, 1024, "%s", message);
}

static uint32_t n_alive; // blocks that the host's callbacks gave
static void *VKAPI_CALL give(void *user, size_t size, size_t alignment, VkSystemAllocationScope scope) {
    (void)user, (void)scope;
    n_alive++;
    size_t whole = (size + alignment - 1) / alignment * alignment;
    return aligned_alloc(alignment < sizeof(void *) ? sizeof(void *) : alignment, whole ? whole : alignment);
}
static void VKAPI_CALL take(void *user, void *memory) {
    (void)user;
    n_alive -= memory != NULL;
    free(memory);
}
static void *VKAPI_CALL resize(void *user, void *old, size_t size, size_t alignment, VkSystemAllocationScope scope) {
    if (old) return NULL; // no driver here resizes
    return give(user, size, alignment, scope);
}

// A host that enabled the floor only is told what that costs; its allocation callbacks serve every object.
CHECK_CASE(floor_only) {
    host_app app;
    if (!host_app_open(&app)) CHECK_SKIP("no Vulkan device for a host application");
    VkPhysicalDeviceVulkan13Features v13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
                                            .synchronization2 = VK_TRUE,
                                            .maintenance4 = VK_TRUE,
                                            .subgroupSizeControl = VK_TRUE,
                                            .computeFullSubgroups = VK_TRUE};
    VkPhysicalDeviceVulkan12Features v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
                                            .pNext = &v13,
                                            .bufferDeviceAddress = VK_TRUE,
                                            .timelineSemaphore = VK_TRUE,
                                            .vulkanMemoryModel = VK_TRUE,
                                            .vulkanMemoryModelDeviceScope = VK_TRUE};
    VkPhysicalDeviceFeatures2 floor = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &v12};
    const VkAllocationCallbacks callbacks = {.pfnAllocation = give, .pfnReallocation = resize, .pfnFree = take};
    vkssm_host host = app.host;
    host.enabled_features = &floor;
    host.n_enabled_extension = 0;
    host.allocator = &callbacks;
    heard_line heard = {""};
    vkssm_device *device = NULL;
    vkssm_device_params params = {.log = {.callback = hear, .user = &heard, .max_level = VKSSM_LOG_INFO}};
    CHECK_OK(vkssm_device_adopt(&params, &host, &device));
    if (device) {
        CHECK(n_alive > 0);
        vkssm_device_info info;
        vkssm_device_get_info(device, &info);
        CHECK_EQ(info.features & ~(uint32_t)(VKSSM_FEATURE_SUBGROUPS | VKSSM_FEATURE_TIMESTAMPS), 0);
        CHECK((info.features_masked == 0) == (heard.text[0] == 0));
        if (heard.text[0]) CHECK_CONTAINS(heard.text, "kernel variants are left out");
        float value = 2, result = 0, half = 0.5f;
        const vkssm_scan_params scan = {
            .n_time = 1, .n_channel = 1, .a = &half, .b = &value, .h = &result, .a_size = 4, .b_size = 4, .h_size = 4};
        CHECK_OK(vkssm_scan_run(device, &scan));
        CHECK(result == 2);
        CHECK(app.n_lock > 0);
    }
    vkssm_device_destroy(&device);
    CHECK_EQ(n_alive, 0);
    host_app_close(&app);
}

// ---- two of everything
// -----------------------------------------------------------------------------------------------

enum { N_STEP = 10 };

// A vkssm device of a thread's own on the shared VkDevice, with a language model; and a stream of a tensor model.
typedef struct worker {
    pthread_t thread;
    vkssm_session *session;
    vkssm_stream *stream;
    int32_t first;
    int32_t tokens[N_STEP];
    float outputs[N_STEP][5];
    bool ok;
} worker;

static void *work(void *user) {
    worker *w = user;
    w->ok = vkssm_session_prefill(w->session, 0, &w->first, 1, VKSSM_LOGITS_NONE, NULL) == VKSSM_OK;
    uint32_t n = 0;
    w->ok = w->ok && vkssm_session_generate(w->session, 0, &(vkssm_generate_params){.n_token = N_STEP}, w->tokens,
                                            &n) == VKSSM_OK;
    for (int i = 0; w->ok && i < N_STEP; i++) {
        const float input[] = {(float)w->first, (float)i, 1};
        const vkssm_named_tensor named = {.name = "input",
                                          .dtype = VKSSM_DTYPE_F32,
                                          .n_dim = 2,
                                          .shape = {1, 3},
                                          .data = input,
                                          .size = sizeof input};
        const vkssm_named_tensor *outputs;
        uint32_t n_output;
        w->ok = vkssm_stream_step(w->stream, &named, 1, &outputs, &n_output) == VKSSM_OK && outputs[0].size == 20;
        if (w->ok) memcpy(w->outputs[i], outputs[0].data, 20);
    }
    return NULL;
}

static pthread_mutex_t queue_mutex = PTHREAD_MUTEX_INITIALIZER;
static void lock_mutex(void *user) {
    (void)user;
    pthread_mutex_lock(&queue_mutex);
}
static void unlock_mutex(void *user) {
    (void)user;
    pthread_mutex_unlock(&queue_mutex);
}

CHECK_CASE(two_threads_two_models) {
    host_app app;
    if (!host_app_open(&app)) CHECK_SKIP("no Vulkan device for a host application");
    vkssm_device *devices[2] = {NULL};
    vkssm_model *language[2] = {NULL}, *tensor[2] = {NULL};
    worker workers[2] = {{.first = 3}, {.first = 17}}, alone[2];
    for (int i = 0; i < 2; i++) {
        vkssm_host host = app.host;
        if (i == 1 && app.second_queue) host.queue = app.second_queue;
        host.lock_queue = app.second_queue ? NULL : lock_mutex; // one queue only: it is shared under a lock
        host.unlock_queue = app.second_queue ? NULL : unlock_mutex;
        CHECK_OK(vkssm_device_adopt(NULL, &host, &devices[i]));
        tiny_mamba2 mamba = tiny_mamba2_default();
        CHECK(tiny_mamba2_write(&mamba, files_folder));
        CHECK_OK(vkssm_model_load(devices[i], files_folder, NULL, &language[i]));
        tiny_s5 s5 = tiny_s5_default();
        CHECK(tiny_s5_write(&s5, files_folder));
        CHECK_OK(vkssm_model_load(devices[i], files_folder, NULL, &tensor[i]));
    }
    printf("  %s\n", app.second_queue ? "two queues" : "one queue under a lock");
    for (int run = 0; run < 2; run++) { // one after the other, then both at once
        for (int i = 0; i < 2; i++) {
            CHECK_OK(vkssm_session_create(language[i], NULL, &workers[i].session));
            CHECK_OK(vkssm_stream_create(tensor[i], NULL, &workers[i].stream));
        }
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
            if (run == 0) pthread_join(workers[i].thread, NULL);
        }
        for (int i = 0; i < 2; i++) {
            if (run == 1) pthread_join(workers[i].thread, NULL);
            CHECK(workers[i].ok);
            vkssm_session_destroy(&workers[i].session);
            vkssm_stream_destroy(&workers[i].stream);
        }
        if (run == 0) memcpy(alone, workers, sizeof alone);
    }
    for (int i = 0; i < 2; i++) {
        CHECK(memcmp(workers[i].tokens, alone[i].tokens, sizeof alone[i].tokens) == 0);
        CHECK(memcmp(workers[i].outputs, alone[i].outputs, sizeof alone[i].outputs) == 0);
        vkssm_model_destroy(&language[i]);
        vkssm_model_destroy(&tensor[i]);
        vkssm_device_destroy(&devices[i]);
        CHECK(!devices[i]);
    }
    host_app_close(&app);
    files_clear();
}

// Host memory that runs out at any point of preparing and recording: a status, no leak.
CHECK_CASE(out_of_host_memory) {
    fixture f;
    NEEDS(&f, true);
    vkssm_session *session = NULL;
    CHECK_OK(vkssm_session_create(f.model, &(vkssm_session_params){.piece_size = 4}, &session));
    uint64_t n_live = vks_alloc_n_live();
    vkssm_status status = VKSSM_ERR_OOM_HOST;
    uint64_t n = 0;
    for (; n < 200 && status == VKSSM_ERR_OOM_HOST; n++) {
        vks_alloc_fail_after(n);
        status = vkssm_session_prepare_step(session, 1, true, NULL);
        if (status == VKSSM_OK) status = vkssm_session_prepare_prefill(session, 4, NULL);
        vks_alloc_fail_after(UINT64_MAX);
    }
    CHECK_EQ(status, VKSSM_OK);
    CHECK(n > 5);
    CHECK(vks_alloc_n_live() > n_live);
    vkssm_session_destroy(&session);
    tear_down(&f);
    CHECK_EQ(vks_alloc_n_live(), 0);
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int status = check_main(argc, argv,
                            (check_case[]){CHECK_RUN(steps),
                                           CHECK_RUN(steps_in_parts),
                                           CHECK_RUN(generation),
                                           CHECK_RUN(beside_generation),
                                           CHECK_RUN(prefill_in_parts),
                                           CHECK_RUN(refused_steps),
                                           CHECK_RUN(tensor_model),
                                           CHECK_RUN(images),
                                           CHECK_RUN(scan),
                                           CHECK_RUN(refused_hosts),
                                           CHECK_RUN(wanted_masked),
                                           CHECK_RUN(floor_only),
                                           CHECK_RUN(two_threads_two_models),
                                           CHECK_RUN(out_of_host_memory),
                                           {0}});
    files_end();
    if (vks_alloc_n_live()) printf("FAIL %llu blocks not freed\n", (unsigned long long)vks_alloc_n_live());
    return vks_alloc_n_live() && status == 0 ? 1 : status;
}

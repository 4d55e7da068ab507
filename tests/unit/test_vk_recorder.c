// vk/: recording, hazards, submission, scopes, pipelines in use.
#include "vk_test.h"

#include <pthread.h>

// A device with what most cases use: one pipeline (y = x + add), one arena of each kind, one recorder.
typedef struct fixture {
    vks_device *device;
    vks_pipeline *pipeline;
    vks_arena *state, *readback;
    vks_recorder *recorder;
    vks_buffer a, b, c, back; // 4096 bytes each
} fixture;

enum { N_WORD = 1024 };

static bool set_up(fixture *f) {
    memset(f, 0, sizeof *f);
    f->device = open_device();
    if (!f->device) return false;
    f->pipeline = words_pipeline(f->device, 1);
    CHECK_EQ(vks_arena_create(f->device, VKS_ROLE_STATE, 1 << 20, "state", &f->state), VKSSM_OK);
    CHECK_EQ(vks_arena_create(f->device, VKS_ROLE_READBACK, 1 << 20, "readback", &f->readback), VKSSM_OK);
    CHECK_EQ(vks_recorder_create(f->device, "test", &f->recorder), VKSSM_OK);
    CHECK_EQ(vks_arena_alloc(f->state, 4 * N_WORD, "a", &f->a), VKSSM_OK);
    CHECK_EQ(vks_arena_alloc(f->state, 4 * N_WORD, "b", &f->b), VKSSM_OK);
    CHECK_EQ(vks_arena_alloc(f->state, 4 * N_WORD, "c", &f->c), VKSSM_OK);
    CHECK_EQ(vks_arena_alloc(f->readback, 4 * N_WORD, "back", &f->back), VKSSM_OK);
    return f->pipeline && f->recorder && f->back.mapped;
}

static void tear_down(fixture *f) {
    vks_recorder_destroy(&f->recorder);
    vks_arena_destroy(&f->state);
    vks_arena_destroy(&f->readback);
    if (f->device) vks_pipeline_destroy(f->device, &f->pipeline);
    close_device(&f->device);
}

static void begin(fixture *f) {
    CHECK_EQ(vks_recorder_begin(f->recorder, false), VKSSM_OK);
}

static void end(fixture *f) {
    CHECK_EQ(vks_recorder_end(f->recorder), VKSSM_OK);
}

static void words(fixture *f, const vks_buffer *x, const vks_buffer *y, uint32_t add) {
    record_words(f->recorder, f->pipeline, x, y, N_WORD, add);
}

static void run(fixture *f) {
    end(f);
    CHECK_EQ(submit_and_wait(f->device, f->recorder), VKSSM_OK);
}

// Every word of `back` is `wanted`.
static void check_back(const fixture *f, uint32_t wanted) {
    const uint32_t *found = f->back.mapped;
    uint32_t n_wrong = 0;
    for (uint32_t i = 0; i < N_WORD; i++)
        n_wrong += found[i] != wanted;
    CHECK_EQ(n_wrong, 0);
    CHECK_EQ(found[0], wanted);
}

static void check_barriers(const fixture *f, uint32_t n_memory, uint32_t n_execution) {
    vks_record_stats stats = vks_recorder_stats(f->recorder);
    CHECK_EQ(stats.n_memory_barrier, n_memory);
    CHECK_EQ(stats.n_execution_barrier, n_execution);
}

// ---- hazards -------------------------------------------------------------------------------------------------------

// Dispatches that do nothing (n = 0) with declared accesses: the barriers are a matter of these alone.
static void touch(fixture *f, const vks_access *accesses, uint32_t n_access) {
    const words_push push = {.x = f->a.address, .y = f->a.address};
    const vks_dispatch dispatch = {
        .pipeline = f->pipeline,
        .push = &push,
        .n_group = {1, 1, 1},
        .accesses = accesses,
        .n_access = n_access,
    };
    vks_record_dispatch(f->recorder, &dispatch);
}

static void touch_one(fixture *f, uint64_t address, uint64_t size, bool write) {
    touch(f, &(vks_access){.address = address, .size = size, .write = write}, 1);
}

CHECK_CASE(hazards_of_two_dispatches) {
    fixture f;
    if (set_up(&f)) {
        const struct {
            uint64_t begin_1, size_1;
            bool write_1;
            uint64_t begin_2, size_2;
            bool write_2;
            uint32_t n_memory, n_execution;
        } cases[] = {
            {0, 64, true, 0, 64, false, 1, 0},    // read after write
            {0, 64, true, 0, 64, true, 1, 0},     // write after write
            {0, 64, false, 0, 64, true, 0, 1},    // write after read
            {0, 64, false, 0, 64, false, 0, 0},   // read after read
            {0, 64, true, 64, 64, true, 0, 0},    // neighbours
            {64, 64, true, 0, 64, false, 0, 0},   // neighbours, the other way
            {0, 64, true, 63, 1, false, 1, 0},    // the last byte
            {63, 64, true, 0, 64, false, 1, 0},   // the first byte
            {0, 4096, true, 100, 1, false, 1, 0}, // inside
            {100, 1, false, 0, 4096, true, 0, 1}, // around
            {0, 64, true, 0, 0, true, 0, 0},      // nothing is touched
            {10, 0, true, 0, 64, true, 0, 0},
        };
        for (size_t i = 0; i < VKS_COUNT(cases); i++) {
            begin(&f);
            touch_one(&f, f.a.address + cases[i].begin_1, cases[i].size_1, cases[i].write_1);
            check_barriers(&f, 0, 0);
            touch_one(&f, f.a.address + cases[i].begin_2, cases[i].size_2, cases[i].write_2);
            check_barriers(&f, cases[i].n_memory, cases[i].n_execution);
            CHECK_EQ(vks_recorder_stats(f.recorder).n_dispatch, 2);
            end(&f);
        }
    }
    tear_down(&f);
}

CHECK_CASE(hazards_of_longer_sequences) {
    fixture f;
    if (set_up(&f)) {
        uint64_t a = f.a.address, b = f.b.address, c = f.c.address;
        begin(&f); // one barrier serves all earlier writes
        touch_one(&f, a, 64, true);
        touch_one(&f, b, 64, true);
        touch_one(&f, a, 64, false);
        check_barriers(&f, 1, 0);
        touch_one(&f, b, 64, false);
        check_barriers(&f, 1, 0);
        touch_one(&f, a, 64, true); // after two readers: an execution barrier only
        check_barriers(&f, 1, 1);
        touch_one(&f, b, 64, true); // which served b too
        check_barriers(&f, 1, 1);
        touch_one(&f, b, 64, true);
        check_barriers(&f, 2, 1);
        end(&f);

        begin(&f); // an execution barrier does not make an unrelated write visible
        touch_one(&f, a, 64, true);
        touch_one(&f, b, 64, false);
        touch_one(&f, b, 64, true);
        check_barriers(&f, 0, 1);
        touch_one(&f, a, 64, false);
        check_barriers(&f, 1, 1);
        end(&f);

        begin(&f); // a dispatch does not conflict with itself
        const vks_access self[] = {{a, 64, false}, {a, 64, true}, {c, 64, true}};
        touch(&f, self, 3);
        check_barriers(&f, 0, 0);
        touch(&f, self, 3);
        check_barriers(&f, 1, 0);
        touch(&f, self, 3);
        check_barriers(&f, 2, 0);
        end(&f);

        begin(&f); // ping-pong
        const vks_access to_b[] = {{a, 64, false}, {b, 64, true}}, to_a[] = {{b, 64, false}, {a, 64, true}};
        for (int i = 0; i < 10; i++)
            touch(&f, i % 2 ? to_a : to_b, 2);
        check_barriers(&f, 9, 0);
        end(&f);

        begin(&f); // many disjoint writes need no barrier until their number is bounded by one
        for (uint64_t i = 0; i < 256; i++)
            touch_one(&f, a + 16 * i, 16, true);
        check_barriers(&f, 0, 0);
        touch_one(&f, b, 16, true);
        check_barriers(&f, 1, 0);
        CHECK_EQ(f.recorder->n_pending, 1);
        touch_one(&f, a, 4096, false); // ordered by that barrier
        check_barriers(&f, 1, 0);
        end(&f);

        begin(&f); // the same ranges over and over do not pile up
        for (int i = 0; i < 1000; i++)
            touch(&f, i % 2 ? to_a : to_b, 2);
        CHECK(f.recorder->n_pending <= 4);
        end(&f);
    }
    tear_down(&f);
}

CHECK_CASE(hazards_between_stages) {
    fixture f;
    if (set_up(&f)) {
        begin(&f);
        vks_record_fill(f.recorder, &f.a, 0, 4096, 7); // a: clear
        words(&f, &f.a, &f.b, 1);                      // b = a + 1
        check_barriers(&f, 1, 0);
        vks_record_copy(f.recorder, &f.c, 0, &f.b, 0, 4096); // c = b
        check_barriers(&f, 2, 0);
        words(&f, &f.c, &f.b, 1); // reads c (copied); writes b (read by the copy)
        check_barriers(&f, 3, 0);
        vks_record_copy(f.recorder, &f.back, 0, &f.b, 0, 4096);
        check_barriers(&f, 4, 0);
        CHECK_EQ(vks_recorder_stats(f.recorder).n_copy, 3);
        CHECK_EQ(vks_recorder_stats(f.recorder).n_dispatch, 2);
        run(&f);
        check_back(&f, 9);

        begin(&f); // a barrier for one stage does not serve another
        touch_one(&f, f.a.address, 4096, true);
        touch_one(&f, f.a.address, 4096, false);
        check_barriers(&f, 1, 0);
        vks_record_copy(f.recorder, &f.b, 0, &f.a, 0, 4096);
        check_barriers(&f, 2, 0);
        touch_one(&f, f.a.address, 4096, true); // waits for the copy's reading only
        check_barriers(&f, 2, 1);
        end(&f);

        begin(&f); // neighbouring copies, then the same destination again
        vks_record_copy(f.recorder, &f.b, 0, &f.a, 0, 2048);
        vks_record_copy(f.recorder, &f.b, 2048, &f.a, 2048, 2048);
        check_barriers(&f, 0, 0);
        vks_record_copy(f.recorder, &f.b, 2000, &f.a, 0, 100);
        check_barriers(&f, 1, 0);
        vks_record_fill(f.recorder, &f.a, 0, 4, 0);
        check_barriers(&f, 1, 1);
        run(&f);
    }
    tear_down(&f);
}

// Random commands with barriers as recorded: the validation layer checks the copies and fills, the result all of them.
CHECK_CASE(random_commands_give_the_serial_result) {
    fixture f;
    if (set_up(&f)) {
        uint64_t random = 3;
        for (int round = 0; round < 5; round++) {
            uint32_t model[3 * N_WORD];
            vks_buffer *buffers[] = {&f.a, &f.b, &f.c};
            begin(&f);
            for (int i = 0; i < 3; i++) {
                vks_record_fill(f.recorder, buffers[i], 0, 4096, (uint32_t)i);
                for (int j = 0; j < N_WORD; j++)
                    model[i * N_WORD + j] = (uint32_t)i;
            }
            for (int i = 0; i < 300; i++) {
                uint32_t x = check_random(&random) % 3, y = check_random(&random) % 3;
                uint32_t n = 1 + check_random(&random) % 300, x0 = check_random(&random) % (N_WORD - n),
                         y0 = check_random(&random) % (N_WORD - n), kind = check_random(&random) % 3;
                uint32_t *to = &model[y * N_WORD + y0];
                const uint32_t *from = &model[x * N_WORD + x0];
                if (x == y && kind < 2) continue; // invocations of one dispatch, or bytes of one copy, would race
                vks_buffer from_range = *buffers[x], to_range = *buffers[y];
                from_range.address += 4 * x0;
                to_range.address += 4 * y0;
                if (kind == 0) record_words(f.recorder, f.pipeline, &from_range, &to_range, n, 5);
                if (kind == 1) vks_record_copy(f.recorder, buffers[y], 4 * y0, buffers[x], 4 * x0, 4 * n);
                if (kind == 2) vks_record_fill(f.recorder, buffers[y], 4 * y0, 4 * n, (uint32_t)i);
                for (uint32_t j = 0; j < n; j++)
                    to[j] = kind == 0 ? from[j] + 5 : kind == 1 ? from[j] : (uint32_t)i;
            }
            vks_buffer *last = buffers[round % 3];
            vks_record_copy(f.recorder, &f.back, 0, last, 0, 4096);
            run(&f);
            CHECK(memcmp(f.back.mapped, &model[round % 3 * N_WORD], 4096) == 0);
        }
    }
    tear_down(&f);
}

// ---- running -------------------------------------------------------------------------------------------------------

CHECK_CASE(pipeline_constants_and_push) {
    fixture f;
    if (set_up(&f)) {
        vks_pipeline *triple = words_pipeline(f.device, 3);
        begin(&f);
        vks_record_fill(f.recorder, &f.a, 0, 4096, 10);
        record_words(f.recorder, triple, &f.a, &f.b, N_WORD, 4);     // 34
        record_words(f.recorder, f.pipeline, &f.b, &f.b, N_WORD, 1); // 35
        record_words(f.recorder, triple, &f.b, &f.b, N_WORD - 1, 0); // 105, but for the last word
        record_words(f.recorder, triple, &f.b, &f.b, N_WORD - 1, 0); // 315
        vks_record_copy(f.recorder, &f.back, 0, &f.b, 0, 4 * (N_WORD - 1));
        vks_record_copy(f.recorder, &f.back, 4 * (N_WORD - 1), &f.b, 0, 4);
        run(&f);
        check_back(&f, 315);
        vks_pipeline_destroy(f.device, &triple);
        vks_pipeline_destroy(f.device, &triple);
    }
    tear_down(&f);
}

CHECK_CASE(full_subgroups) {
    fixture f;
    if (set_up(&f)) {
        const uint32_t constants[] = {128, 2};
        const vks_pipeline_params params = {.name = "full",
                                            .code = test_code,
                                            .code_size = sizeof test_code,
                                            .constants = constants,
                                            .n_constant = 2,
                                            .push_size = sizeof(words_push),
                                            .full_subgroups = true};
        vks_pipeline *pipeline;
        CHECK_EQ(vks_pipeline_create(f.device, &params, &pipeline), VKSSM_OK);
        begin(&f);
        vks_record_fill(f.recorder, &f.a, 0, 4096, 10);
        record_words(f.recorder, pipeline, &f.a, &f.back, N_WORD, 1);
        run(&f);
        check_back(&f, 21);
        vks_pipeline_destroy(f.device, &pipeline);
    }
    tear_down(&f);
}

CHECK_CASE(replay_many_times) {
    fixture f;
    if (set_up(&f)) {
        vks_recorder *steps;
        CHECK_EQ(vks_recorder_create(f.device, "steps", &steps), VKSSM_OK);
        begin(&f);
        vks_record_fill(f.recorder, &f.a, 0, 4096, 1000);
        end(&f);
        CHECK_EQ(submit_and_wait(f.device, f.recorder), VKSSM_OK);
        CHECK_EQ(vks_recorder_begin(steps, true), VKSSM_OK);
        record_words(steps, f.pipeline, &f.a, &f.a, N_WORD, 1);
        vks_record_copy(steps, &f.back, 0, &f.a, 0, 4096);
        CHECK_EQ(vks_recorder_end(steps), VKSSM_OK);
        uint64_t value = 0, previous = 0;
        for (int i = 0; i < 200; i++) { // without waiting in between
            CHECK_EQ(vks_submit(f.device, &steps, 1, &value), VKSSM_OK);
            CHECK(value > previous);
            previous = value;
        }
        vks_recorder *const thrice[] = {steps, steps, steps};
        CHECK_EQ(vks_submit(f.device, thrice, 3, &value), VKSSM_OK);
        CHECK_EQ(vks_wait(f.device, value), VKSSM_OK);
        CHECK(vks_is_done(f.device, value));
        CHECK(vks_is_done(f.device, previous));
        check_back(&f, 1203);
        CHECK_EQ(vks_submit(f.device, &steps, 1, &value), VKSSM_OK);
        CHECK_EQ(vks_recorder_begin(steps, false), VKSSM_OK); // waits, then records anew
        record_words(steps, f.pipeline, &f.a, &f.back, N_WORD, 10);
        CHECK_EQ(vks_recorder_end(steps), VKSSM_OK);
        CHECK_EQ(submit_and_wait(f.device, steps), VKSSM_OK);
        check_back(&f, 1214);
        CHECK_EQ(vks_submit(f.device, &steps, 1, &value), VKSSM_OK);
        vks_recorder_destroy(&steps); // while it may be running
    }
    tear_down(&f);
}

typedef struct worker {
    fixture *f;
    vks_buffer sum, back;
    vkssm_status status;
    pthread_t thread;
} worker;

static void *work(void *user) {
    worker *w = user;
    vks_recorder *recorder;
    w->status = vks_recorder_create(w->f->device, "worker", &recorder);
    for (int i = 0; i < 50 && w->status == VKSSM_OK; i++) {
        w->status = vks_recorder_begin(recorder, false);
        if (i == 0) vks_record_fill(recorder, &w->sum, 0, 4096, 0);
        record_words(recorder, w->f->pipeline, &w->sum, &w->sum, N_WORD, 2);
        vks_record_copy(recorder, &w->back, 0, &w->sum, 0, 4096);
        if (w->status == VKSSM_OK) w->status = vks_recorder_end(recorder);
        if (w->status == VKSSM_OK) w->status = submit_and_wait(w->f->device, recorder);
    }
    const uint32_t constants[] = {64, 1};
    const vks_pipeline_params params = {.name = "worker's",
                                        .code = test_code,
                                        .code_size = sizeof test_code,
                                        .constants = constants,
                                        .n_constant = 2,
                                        .push_size = sizeof(words_push)};
    vks_pipeline *pipeline = NULL;
    if (w->status == VKSSM_OK) w->status = vks_pipeline_create(w->f->device, &params, &pipeline);
    vks_pipeline_destroy(w->f->device, &pipeline);
    vks_recorder_destroy(&recorder);
    return NULL;
}

CHECK_CASE(two_threads_submit) {
    fixture f;
    if (set_up(&f)) {
        worker workers[2] = {{.f = &f, .sum = f.a, .back = f.back}, {.f = &f, .sum = f.b}};
        CHECK_EQ(vks_arena_alloc(f.readback, 4096, "back 2", &workers[1].back), VKSSM_OK);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
        for (int i = 0; i < 2; i++) {
            pthread_join(workers[i].thread, NULL);
            CHECK_EQ(workers[i].status, VKSSM_OK);
            f.back = workers[i].back;
            check_back(&f, 100);
        }
    }
    tear_down(&f);
}

// ---- errors --------------------------------------------------------------------------------------------------------

CHECK_CASE(errors_are_latched) {
    fixture f;
    if (set_up(&f)) {
        const words_push push = {.x = f.a.address, .y = f.a.address};
        const vks_dispatch good = {.pipeline = f.pipeline, .push = &push, .n_group = {1, 1, 1}};
        const vks_access wrapping = {.address = UINT64_MAX - 5, .size = 10};
        for (int i = 0; i < 12; i++) {
            vks_dispatch bad = good;
            vkssm_status wanted = VKSSM_ERR_ARG;
            begin(&f);
            vks_record_dispatch(f.recorder, &good);
            switch (i) {
            case 0:
            case 1:
            case 2:
                if (vks_device_caps(f.device)->max_workgroup_count[i] == UINT32_MAX) {
                    vks_record_fail(f.recorder, VKSSM_ERR_UNSUPPORTED); // no count is too large here
                } else {
                    bad.n_group[i] = vks_device_caps(f.device)->max_workgroup_count[i] + 1;
                    vks_record_dispatch(f.recorder, &bad);
                    CHECK_CONTAINS(vkssm_last_error(), "dispatch words");
                }
                wanted = VKSSM_ERR_UNSUPPORTED;
                break;
            case 3:
                bad.pipeline = NULL;
                vks_record_dispatch(f.recorder, &bad);
                break;
            case 4:
                bad.push = NULL;
                vks_record_dispatch(f.recorder, &bad);
                break;
            case 5:
                bad.n_access = 1;
                vks_record_dispatch(f.recorder, &bad);
                break;
            case 6:
                bad.n_access = 1;
                bad.accesses = &wrapping;
                vks_record_dispatch(f.recorder, &bad);
                break;
            case 7:
                vks_record_copy(f.recorder, &f.a, 4000, &f.b, 0, 97);
                break;
            case 8:
                vks_record_copy(f.recorder, &f.a, 0, &f.b, UINT64_MAX, 97);
                break;
            case 9:
                vks_record_copy(f.recorder, &f.a, 0, &f.a, 50, 100);
                break;
            case 10:
                vks_record_fill(f.recorder, &f.a, 2, 4, 0);
                break;
            default:
                vks_record_fill(f.recorder, &f.a, 0, 4100, 0);
            }
            vks_record_fail(f.recorder, VKSSM_ERR_FORMAT); // the first one stays
            vks_record_dispatch(f.recorder, &good);        // without effect
            CHECK_EQ(vks_recorder_stats(f.recorder).n_dispatch, 1);
            CHECK_EQ(vks_recorder_end(f.recorder), wanted);
            uint64_t value;
            CHECK_EQ(vks_submit(f.device, &f.recorder, 1, &value), VKSSM_ERR_STATE);
        }
        begin(&f); // and the recorder is as good as new
        vks_record_fail(f.recorder, VKSSM_OK);
        vks_record_copy(f.recorder, &f.a, 4096, &f.b, 0, 0);
        vks_record_fill(f.recorder, &f.a, 4096, 0, 0);
        vks_record_dispatch(f.recorder, &(vks_dispatch){.pipeline = f.pipeline, .push = &push, .n_group = {1, 0, 1}});
        CHECK_EQ(vks_recorder_stats(f.recorder).n_dispatch + vks_recorder_stats(f.recorder).n_copy, 0);
        run(&f);
    }
    tear_down(&f);
}

CHECK_CASE(calls_out_of_order) {
    fixture f;
    if (set_up(&f)) {
        uint64_t value;
        CHECK_EQ(vks_submit(f.device, &f.recorder, 1, &value), VKSSM_ERR_STATE); // never recorded
        CHECK_EQ(vks_recorder_end(f.recorder), VKSSM_ERR_STATE);
        vks_record_fill(f.recorder, &f.a, 0, 4, 0);
        CHECK_CONTAINS(vkssm_last_error(), "outside begin and end");
        begin(&f);
        CHECK_EQ(vks_recorder_begin(f.recorder, false), VKSSM_ERR_STATE);
        CHECK_EQ(vks_submit(f.device, &f.recorder, 1, &value), VKSSM_ERR_STATE); // still recording
        end(&f);
        vks_recorder *const twice[] = {f.recorder, f.recorder};
        CHECK_EQ(vks_submit(f.device, twice, 2, &value), VKSSM_ERR_STATE);
        CHECK_EQ(value, 0);
        CHECK_EQ(vks_submit(f.device, NULL, 0, &value), VKSSM_ERR_ARG);
        CHECK_EQ(vks_wait(f.device, 1), VKSSM_ERR_ARG); // nothing was submitted
        CHECK_EQ(vks_wait(f.device, 0), VKSSM_OK);
        CHECK(vks_is_done(f.device, 0));
        CHECK(!vks_is_done(f.device, 1));
        CHECK_EQ(submit_and_wait(f.device, f.recorder), VKSSM_OK);
        CHECK_EQ(submit_and_wait(f.device, f.recorder), VKSSM_OK); // not reusable, but finished
        begin(&f);
        vks_record_scope_end(f.recorder);
        CHECK_EQ(vks_recorder_end(f.recorder), VKSSM_ERR_STATE);
        begin(&f);
        vks_record_scope_begin(f.recorder, "open");
        CHECK_EQ(vks_recorder_end(f.recorder), VKSSM_ERR_STATE);
        begin(&f);
        vks_record_scope_begin(f.recorder, "outer");
        vks_record_scope_begin(f.recorder, "inner");
        vks_record_scope_end(f.recorder);
        CHECK_EQ(vks_recorder_end(f.recorder), VKSSM_ERR_STATE);
        CHECK_CONTAINS(vkssm_last_error(), "inner");
    }
    tear_down(&f);
}

CHECK_CASE(pipeline_errors) {
    fixture f;
    if (set_up(&f)) {
        const uint32_t not_code[] = {1, 2, 3, 4, 5};
        const vks_pipeline_params good = {.name = "p", .code = test_code, .code_size = sizeof test_code};
        for (int i = 0; i < 7; i++) {
            vks_pipeline_params bad = good;
            if (i == 0) bad.code = not_code, bad.code_size = sizeof not_code;
            if (i == 1) bad.code = NULL;
            if (i == 2) bad.code_size = 0;
            if (i == 3) bad.code_size--;
            if (i == 4) bad.push_size = vks_device_caps(f.device)->max_push_size + 4;
            if (i == 5) bad.push_size = 3;
            if (i == 6) bad.n_constant = 1;
            vks_pipeline *pipeline;
            CHECK_EQ(vks_pipeline_create(f.device, &bad, &pipeline), VKSSM_ERR_ARG);
            CHECK_CONTAINS(vkssm_last_error(), "pipeline p");
            CHECK(pipeline == NULL);
        }
    }
    tear_down(&f);
}

CHECK_CASE(pipeline_statistics) {
    fixture f;
    if (set_up(&f)) {
        char text[2000], little[20];
        bool possible = vks_device_caps(f.device)->features & VKS_FEATURE_PIPELINE_STATISTICS;
        vkssm_status status = vks_pipeline_statistics(f.device, f.pipeline, text, sizeof text);
        CHECK_EQ(status, possible ? VKSSM_OK : VKSSM_ERR_UNSUPPORTED);
        CHECK_EQ(vks_pipeline_statistics(f.device, f.pipeline, little, sizeof little), status);
        CHECK(strlen(little) < sizeof little);
        CHECK_EQ(vks_pipeline_statistics(f.device, f.pipeline, text, 0), VKSSM_ERR_ARG);
        if (possible) CHECK_CONTAINS(text, "=");
    }
    tear_down(&f);
}

CHECK_CASE(out_of_host_memory) {
    fixture f;
    if (set_up(&f)) {
        begin(&f);
        end(&f);
        CHECK_EQ(submit_and_wait(f.device, f.recorder), VKSSM_OK); // the device has its list of submissions
        uint64_t live = vks_alloc_n_live(), n = 0;
        vkssm_status status = VKSSM_ERR_OOM_HOST;
        const uint32_t constants[] = {64, 1};
        const vks_pipeline_params params = {.name = "p",
                                            .code = test_code,
                                            .code_size = sizeof test_code,
                                            .constants = constants,
                                            .n_constant = 2,
                                            .push_size = sizeof(words_push)};
        for (; n < 100 && status == VKSSM_ERR_OOM_HOST; n++) {
            vks_pipeline *pipeline = NULL;
            vks_recorder *recorder = NULL;
            vks_alloc_fail_after(n);
            status = vks_pipeline_create(f.device, &params, &pipeline);
            if (status == VKSSM_OK) status = vks_recorder_create(f.device, "r", &recorder);
            if (status == VKSSM_OK) vks_recorder_enable_timestamps(recorder, 4);
            if (status == VKSSM_OK) status = vks_recorder_begin(recorder, false);
            if (status == VKSSM_OK) {
                vks_record_scope_begin(recorder, "s");
                record_words(recorder, pipeline, &f.a, &f.b, N_WORD, 1);
                vks_record_scope_end(recorder);
                status = vks_recorder_end(recorder);
            }
            if (status == VKSSM_OK) status = submit_and_wait(f.device, recorder);
            vks_alloc_fail_after(UINT64_MAX);
            vks_recorder_destroy(&recorder);
            vks_pipeline_destroy(f.device, &pipeline);
            CHECK_EQ(vks_alloc_n_live(), live);
        }
        CHECK_EQ(status, VKSSM_OK);
        CHECK(n > 5);
    }
    tear_down(&f);
}

CHECK_CASE(lost_device) {
    fixture f;
    if (set_up(&f)) {
        uint64_t value, other;
        begin(&f);
        words(&f, &f.a, &f.b, 1);
        end(&f);
        CHECK_EQ(vks_submit(f.device, &f.recorder, 1, &value), VKSSM_OK);
        CHECK(!vks_device_is_lost(f.device));
        int n_error = heard.n_error;
        vks_device_lose(f.device);
        vks_device_lose(f.device);
        CHECK(vks_device_is_lost(f.device));
        vks_arena *arena;
        vks_buffer buffer;
        vks_upload *upload;
        vks_recorder *recorder;
        vks_pipeline *pipeline;
        const char *name;
        CHECK_EQ(vks_submit(f.device, &f.recorder, 1, &other), VKSSM_ERR_DEVICE_LOST);
        CHECK_EQ(vks_wait(f.device, value), VKSSM_ERR_DEVICE_LOST);
        CHECK(vks_is_done(f.device, value)); // nobody polls for ever
        CHECK_EQ(vks_recorder_begin(f.recorder, false), VKSSM_ERR_DEVICE_LOST);
        CHECK_EQ(vks_recorder_create(f.device, "r", &recorder), VKSSM_ERR_DEVICE_LOST);
        CHECK_EQ(vks_upload_begin(f.device, 1, NULL, &upload), VKSSM_ERR_DEVICE_LOST);
        CHECK_EQ(vks_arena_alloc(f.state, 16, "x", &buffer), VKSSM_ERR_DEVICE_LOST);
        CHECK_EQ(vks_pipeline_create(f.device, &(vks_pipeline_params){.name = "p"}, &pipeline), VKSSM_ERR_DEVICE_LOST);
        CHECK(!vks_recorder_scope(f.recorder, 0, &name, &other));
        CHECK_EQ(vks_arena_create(f.device, VKS_ROLE_STATE, 0, "later", &arena), VKSSM_OK); // needs no GPU
        vks_arena_destroy(&arena);
        CHECK_EQ(heard.n_error, n_error + 1); // reported once
        CHECK_CONTAINS(heard.last_error, "lost");
    }
    tear_down(&f);
}

CHECK_CASE(device_lost_during_upload) {
    fixture f;
    if (set_up(&f)) {
        vks_upload *upload;
        uint8_t data[1000] = {0};
        CHECK_EQ(vks_upload_begin(f.device, 1000, NULL, &upload), VKSSM_OK);
        CHECK_EQ(vks_upload_bytes(upload, &f.a, 0, data, 1000), VKSSM_OK);
        vks_device_lose(f.device);
        CHECK_EQ(vks_upload_end(&upload), VKSSM_ERR_DEVICE_LOST);
        CHECK(upload == NULL);
    }
    tear_down(&f);
}

// ---- scopes --------------------------------------------------------------------------------------------------------

CHECK_CASE(scopes) {
    fixture f;
    if (set_up(&f)) {
        const char *name = NULL;
        uint64_t time_ns;
        bool possible = vks_device_caps(f.device)->features & VKS_FEATURE_TIMESTAMPS;
        CHECK(!vks_recorder_scope(f.recorder, 0, &name, &time_ns));
        vks_recorder_enable_timestamps(f.recorder, 2);
        for (int round = 0; round < 3; round++) {
            if (round == 2) vks_recorder_enable_timestamps(f.recorder, 3);
            begin(&f);
            static const char *const names[] = {"first", "second", "third"};
            for (int i = 0; i < 3; i++) {
                vks_record_scope_begin(f.recorder, names[i]);
                words(&f, &f.a, &f.b, 1);
                vks_record_scope_end(f.recorder);
            }
            vks_record_stats stats = vks_recorder_stats(f.recorder);
            CHECK_EQ(stats.n_memory_barrier, 2); // scopes add none
            end(&f);
            CHECK(!vks_recorder_scope(f.recorder, 0, &name, &time_ns)); // not submitted
            CHECK_EQ(submit_and_wait(f.device, f.recorder), VKSSM_OK);
            for (uint32_t i = 0; i < 3; i++) {
                bool timed = possible && i < (round == 2 ? 3u : 2u);
                CHECK_EQ(vks_recorder_scope(f.recorder, i, &name, &time_ns), timed);
                if (!timed) continue;
                CHECK_STR(name, names[i]);
                CHECK(time_ns < UINT64_C(60000000000)); // a wrapped difference would be years
            }
            CHECK(!vks_recorder_scope(f.recorder, 3, &name, &time_ns));
        }
    }
    tear_down(&f);
}

// ---- the host application's command buffer -------------------------------------------------------------------------

CHECK_CASE(adopted_command_buffer) {
    fixture f;
    if (set_up(&f)) {
        const vks_device_functions *fn = &f.device->fn;
        VkDevice device = f.device->handle;
        VkCommandPool pool;
        VkCommandBuffer commands;
        VkSemaphore semaphore;
        const VkCommandPoolCreateInfo pool_info = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                                   .queueFamilyIndex = f.device->probe.queue_family};
        CHECK_EQ(fn->CreateCommandPool(device, &pool_info, NULL, &pool), VK_SUCCESS);
        const VkCommandBufferAllocateInfo allocate = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = pool, .commandBufferCount = 1};
        CHECK_EQ(fn->AllocateCommandBuffers(device, &allocate, &commands), VK_SUCCESS);
        const VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                                .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
        const VkSemaphoreCreateInfo semaphore_info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
        CHECK_EQ(fn->CreateSemaphore(device, &semaphore_info, NULL, &semaphore), VK_SUCCESS);
        const VkCommandBufferBeginInfo begin_info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
        CHECK_EQ(fn->BeginCommandBuffer(commands, &begin_info), VK_SUCCESS);
        fn->CmdFillBuffer(commands, f.a.handle, f.a.offset, 4096, 40); // ordered by the recorder's begin

        vks_recorder *recorder;
        CHECK_EQ(vks_recorder_adopt(f.device, &recorder), VKSSM_OK);
        CHECK_EQ(vks_recorder_begin(recorder, false), VKSSM_ERR_STATE);
        CHECK_EQ(vks_recorder_aim(recorder, NULL), VKSSM_ERR_ARG);
        CHECK_EQ(vks_recorder_aim(recorder, commands), VKSSM_OK);
        vks_recorder_enable_timestamps(recorder, 1);
        for (int i = 0; i < 2; i++) { // twice into the same command buffer
            CHECK_EQ(vks_recorder_begin(recorder, false), VKSSM_OK);
            vks_record_scope_begin(recorder, "words");
            record_words(recorder, f.pipeline, &f.a, &f.a, N_WORD, 1);
            vks_record_scope_end(recorder);
            CHECK_EQ(vks_recorder_end(recorder), VKSSM_OK);
        }
        uint64_t value;
        CHECK_EQ(vks_submit(f.device, &recorder, 1, &value), VKSSM_ERR_STATE);
        const VkBufferCopy region = {.srcOffset = f.a.offset, .dstOffset = f.back.offset, .size = 4096};
        uint64_t stages, reads, writes; // behind the recordings the host orders by what it is told
        vks_external_sync(&stages, &reads, &writes);
        const VkMemoryBarrier2 behind = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
                                         .srcStageMask = stages,
                                         .srcAccessMask = writes,
                                         .dstStageMask = VK_PIPELINE_STAGE_2_COPY_BIT,
                                         .dstAccessMask = VK_ACCESS_2_TRANSFER_READ_BIT};
        const VkDependencyInfo order = {
            .sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .memoryBarrierCount = 1, .pMemoryBarriers = &behind};
        fn->CmdPipelineBarrier2(commands, &order);
        fn->CmdCopyBuffer(commands, f.a.handle, f.back.handle, 1, &region);
        const VkMemoryBarrier2 to_host = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
                                          .srcStageMask = VK_PIPELINE_STAGE_2_COPY_BIT,
                                          .srcAccessMask = VK_ACCESS_2_TRANSFER_WRITE_BIT,
                                          .dstStageMask = VK_PIPELINE_STAGE_2_HOST_BIT,
                                          .dstAccessMask = VK_ACCESS_2_HOST_READ_BIT};
        const VkDependencyInfo dependency = {
            .sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .memoryBarrierCount = 1, .pMemoryBarriers = &to_host};
        fn->CmdPipelineBarrier2(commands, &dependency);
        CHECK_EQ(fn->EndCommandBuffer(commands), VK_SUCCESS);

        const VkCommandBufferSubmitInfo buffer_info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO,
                                                       .commandBuffer = commands};
        const VkSemaphoreSubmitInfo signal = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
                                              .semaphore = semaphore,
                                              .value = 1,
                                              .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT};
        const VkSubmitInfo2 submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
                                      .commandBufferInfoCount = 1,
                                      .pCommandBufferInfos = &buffer_info,
                                      .signalSemaphoreInfoCount = 1,
                                      .pSignalSemaphoreInfos = &signal};
        CHECK_EQ(fn->QueueSubmit2(f.device->queue, 1, &submit, VK_NULL_HANDLE), VK_SUCCESS);
        uint64_t one = 1;
        const VkSemaphoreWaitInfo wait = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                          .semaphoreCount = 1,
                                          .pSemaphores = &semaphore,
                                          .pValues = &one};
        CHECK_EQ(fn->WaitSemaphores(device, &wait, UINT64_MAX), VK_SUCCESS);
        check_back(&f, 42);
        const char *name;
        bool possible = vks_device_caps(f.device)->features & VKS_FEATURE_TIMESTAMPS;
        CHECK_EQ(vks_recorder_scope(recorder, 0, &name, &value), possible);
        vks_recorder_destroy(&recorder);
        fn->DestroySemaphore(device, semaphore, NULL);
        fn->DestroyCommandPool(device, pool, NULL);
    }
    tear_down(&f);
}

int main(int argc, char **argv) {
    return vk_test_main(argc, argv,
                        (check_case[]){CHECK_RUN(hazards_of_two_dispatches),
                                       CHECK_RUN(hazards_of_longer_sequences),
                                       CHECK_RUN(hazards_between_stages),
                                       CHECK_RUN(random_commands_give_the_serial_result),
                                       CHECK_RUN(pipeline_constants_and_push),
                                       CHECK_RUN(full_subgroups),
                                       CHECK_RUN(replay_many_times),
                                       CHECK_RUN(two_threads_submit),
                                       CHECK_RUN(errors_are_latched),
                                       CHECK_RUN(calls_out_of_order),
                                       CHECK_RUN(pipeline_errors),
                                       CHECK_RUN(pipeline_statistics),
                                       CHECK_RUN(out_of_host_memory),
                                       CHECK_RUN(lost_device),
                                       CHECK_RUN(device_lost_during_upload),
                                       CHECK_RUN(scopes),
                                       CHECK_RUN(adopted_command_buffer),
                                       {0}});
}

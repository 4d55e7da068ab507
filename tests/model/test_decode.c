// Generation of several sequences, bursts, what a session keeps of the past, and the step in three
// dispatches or two.
#define _XOPEN_SOURCE 700
#include "harness/model_test.h"
#include "host/core/core_device.h"
#include "host/core/core_session.h"

enum { N_VOCAB = 96, N_PROMPT = 9, N_TOKEN = 40, MANY = 64 };
// As in test_session: the same float32 products, summed in other orders.
#define ORDER_GAP 1e-4

static const char *path(void) {
    return model_data("mamba2");
}

static void start(const model_run *run, uint32_t slot, uint64_t seed) {
    int32_t *prompt = model_tokens(seed, N_PROMPT, N_VOCAB);
    CHECK_OK(vkssm_session_reset(run->session, slot));
    CHECK_OK(vkssm_session_prefill(run->session, slot, prompt, N_PROMPT, VKSSM_LOGITS_NONE, NULL));
    free(prompt);
}

static uint32_t n_generated(const model_run *run, uint32_t slot, bool takes_part) {
    bool is = !takes_part;
    uint32_t n = 0;
    CHECK_OK(vkssm_session_get_generated(run->session, slot, &is, &n));
    CHECK_EQ(is, takes_part);
    return n;
}

static void advance_all(const model_run *run) {
    uint32_t n_left = 1;
    while (n_left) {
        CHECK_OK(vkssm_session_advance(run->session, UINT32_MAX, &n_left));
        if (check_n_failed) return;
    }
}

static bool same_slots(const model_run *a, uint32_t slot_a, const model_run *b, uint32_t slot_b) {
    uint8_t *image_a = model_save(a, slot_a), *image_b = model_save(b, slot_b);
    bool same = memcmp(image_a, image_b, (size_t)vkssm_session_state_size(a->session)) == 0;
    free(image_a);
    free(image_b);
    return same;
}

// ---- several sequences ----------------------------------------------------------------------------------------------

// Copies of one sequence, together and alone, are the same in every bit: tokens, probabilities, states.
CHECK_CASE(copies) {
    static const uint32_t counts[] = {1, 7, MANY};
    static int32_t tokens[MANY][N_TOKEN];
    static float scores[MANY][N_TOKEN];
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = MANY})) return;
    int32_t wanted[N_TOKEN];
    uint8_t *image = NULL;
    for (size_t i = 0; i < VKS_COUNT(counts); i++) {
        uint32_t n = counts[i];
        for (uint32_t s = 0; s < n; s++)
            start(&run, s, 5);
        for (uint32_t s = 0; s < n; s++) {
            const vkssm_generate_params params = {.n_token = N_TOKEN, .log_probabilities = scores[s]};
            CHECK_OK(vkssm_session_join(run.session, s, &params, tokens[s]));
        }
        advance_all(&run);
        if (i == 0) {
            memcpy(wanted, tokens[0], sizeof wanted);
            image = model_save(&run, 0);
        }
        for (uint32_t s = 0; s < n; s++) {
            CHECK_EQ(n_generated(&run, s, false), N_TOKEN);
            CHECK(memcmp(tokens[s], wanted, sizeof wanted) == 0);
            CHECK(memcmp(scores[s], scores[0], sizeof scores[0]) == 0);
        }
        uint8_t *last = model_save(&run, n - 1);
        CHECK(memcmp(last, image, (size_t)vkssm_session_state_size(run.session)) == 0);
        free(last);
    }
    free(image);
    model_close(&run);
}

typedef struct sequence {
    uint32_t joins, n_token; // before which step; how many tokens
    vkssm_sampling sampling;
    int32_t found[N_TOKEN], alone[N_TOKEN];
} sequence;

// Sequences come and go at any step, and each gets what it gets alone.
CHECK_CASE(come_and_go) {
    enum { N = 5 };
    const int32_t seen[] = {3, 4, 5};
    const vkssm_logit_bias biases[] = {{7, 1.5f}, {8, -INFINITY}};
    sequence all[N] = {
        {.joins = 0, .n_token = 40},
        {.joins = 0, .n_token = 12, .sampling = {.temperature = 1, .seed = 3, .top_k = 20}},
        {.joins = 5, .n_token = 20, .sampling = {.temperature = 0.8f, .seed = 4, .top_p = 0.9f, .min_p = 0.01f}},
        {.joins = 6, .n_token = 1},
        {.joins = 9,
         .n_token = 30,
         .sampling = {.repetition_penalty = 1.3f,
                      .presence_penalty = 0.2f,
                      .seen_tokens = seen,
                      .n_seen_token = 3,
                      .biases = biases,
                      .n_bias = 2}},
    };
    model_run run, single;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = N, .submit_us = 1000000})) return;
    if (!model_open(&single, path(), NULL, &(vkssm_session_params){.n_slot = N, .submit_us = 1})) return;
    for (uint32_t s = 0; s < N; s++)
        start(&run, s, 20 + s);
    uint32_t step = 0, n_left = 0;
    for (uint32_t joined = 0; joined < N || n_left;) {
        for (uint32_t s = 0; s < N; s++)
            if (all[s].joins == step && joined == s) {
                const vkssm_generate_params params = {.n_token = all[s].n_token, .sampling = all[s].sampling};
                CHECK_OK(vkssm_session_join(run.session, s, &params, all[s].found));
                joined++;
            }
        CHECK_OK(vkssm_session_advance(run.session, 1, &n_left));
        step++;
    }
    for (uint32_t s = 0; s < N; s++) {
        start(&single, 0, 20 + s);
        const vkssm_generate_params params = {.n_token = all[s].n_token, .sampling = all[s].sampling};
        uint32_t n;
        CHECK_OK(vkssm_session_generate(single.session, 0, &params, all[s].alone, &n));
        CHECK_EQ(n, all[s].n_token);
        CHECK(memcmp(all[s].found, all[s].alone, n * sizeof *all[s].found) == 0);
        CHECK(same_slots(&run, s, &single, 0));
    }
    for (uint32_t i = 0; i < all[4].n_token; i++)
        CHECK(all[4].found[i] != 8);
    model_close(&run);
    model_close(&single);
}

// A stop token amid a burst leaves the state where it was, and the others go on.
CHECK_CASE(stops_amid_bursts) {
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 3, .submit_us = 1000000})) return;
    int32_t whole[N_TOKEN], found[N_TOKEN], other[N_TOKEN];
    float scores[N_TOKEN];
    const vkssm_sampling sampling = {.temperature = 1, .seed = 9};
    start(&run, 0, 1);
    CHECK_OK(vkssm_session_generate(run.session, 0, &(vkssm_generate_params){.n_token = N_TOKEN, .sampling = sampling},
                                    whole, NULL));
    uint32_t n_wanted = 0;
    while (whole[n_wanted++] != whole[13])
        ;
    start(&run, 2, 1); // what it is to hold: the prompt, and the tokens before the last
    for (uint32_t i = 0; i + 1 < n_wanted; i++)
        CHECK_OK(vkssm_session_step(run.session, 1, (uint32_t[]){2}, &whole[i], NULL));
    start(&run, 0, 1);
    start(&run, 1, 2);
    const vkssm_generate_params params = {.n_token = N_TOKEN,
                                          .sampling = sampling,
                                          .stop_tokens = &whole[13],
                                          .n_stop_token = 1,
                                          .log_probabilities = scores};
    CHECK_OK(vkssm_session_join(run.session, 0, &params, found));
    CHECK_OK(vkssm_session_join(run.session, 1, &(vkssm_generate_params){.n_token = N_TOKEN}, other));
    advance_all(&run);
    CHECK_EQ(n_generated(&run, 0, false), n_wanted);
    CHECK_EQ(n_generated(&run, 1, false), N_TOKEN);
    CHECK(memcmp(found, whole, n_wanted * sizeof *found) == 0);
    CHECK(same_slots(&run, 0, &run, 2));
    for (uint32_t i = 0; i < n_wanted; i++)
        CHECK(scores[i] <= 0 && scores[i] > -50);
    model_close(&run);
}

typedef struct listener {
    uint32_t n, n_wanted;
} listener;

static bool listen(void *user, int32_t token) {
    (void)token;
    listener *l = user;
    return ++l->n < l->n_wanted;
}

// Who says that it is enough amid a burst finds the state behind that token, however far the device had gone.
CHECK_CASE(enough_amid_bursts) {
    enum { N = 400 }; // more than a checkpoint's history
    static const uint32_t enough[] = {1, 2, 11, 30, 339};
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 2, .submit_us = 1000000})) return;
    int32_t tokens[N];
    for (size_t i = 0; i < VKS_COUNT(enough); i++) {
        listener l = {.n_wanted = enough[i]};
        uint32_t n = 0;
        start(&run, 0, 3);
        CHECK_OK(vkssm_session_generate(
            run.session, 0, &(vkssm_generate_params){.n_token = N, .on_token = listen, .user = &l}, tokens, &n));
        CHECK_EQ(n, enough[i]);
        CHECK_EQ(l.n, enough[i]);
        start(&run, 1, 3);
        for (uint32_t k = 0; k + 1 < n; k++)
            CHECK_OK(vkssm_session_step(run.session, 1, (uint32_t[]){1}, &tokens[k], NULL));
        CHECK(same_slots(&run, 0, &run, 1));
    }
    model_close(&run);
}

// Nothing is allocated on the device once the session stands.
CHECK_CASE(no_allocation) {
    model_run run;
    const vkssm_session_params params = {.n_slot = 3, .n_snapshot = 1, .n_rollback = 4};
    if (!model_open(&run, path(), NULL, &params)) return;
    vks_device_fail_memory_after(model_device->vk, 0);
    for (uint32_t s = 0; s < 3; s++)
        start(&run, s, s);
    for (uint32_t s = 0; s < 3; s++)
        CHECK_OK(vkssm_session_join(run.session, s, &(vkssm_generate_params){.n_token = 10 + s}, NULL));
    advance_all(&run);
    CHECK_OK(vkssm_session_generate(run.session, 0, &(vkssm_generate_params){.n_token = 5}, NULL, NULL));
    CHECK_OK(vkssm_session_snapshot(run.session, 0, 0));
    CHECK_OK(vkssm_session_restore(run.session, 0, 1));
    CHECK_OK(vkssm_session_rollback(run.session, 2, 3));
    vks_device_fail_memory_after(model_device->vk, UINT64_MAX);
    model_close(&run);
}

// ---- the past -------------------------------------------------------------------------------------------------------

CHECK_CASE(snapshots) {
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 2, .n_snapshot = 2})) return;
    start(&run, 0, 1);
    uint8_t *before = model_save(&run, 0);
    CHECK_REFUSED(vkssm_session_restore(run.session, 1, 0), VKSSM_ERR_STATE, "nothing found");
    CHECK_REFUSED(vkssm_session_snapshot(run.session, 0, 2), VKSSM_ERR_ARG, "a place below 2 expected, 2 found");
    CHECK_REFUSED(vkssm_session_snapshot(run.session, 2, 0), VKSSM_ERR_ARG, "slot");
    CHECK_OK(vkssm_session_snapshot(run.session, 0, 1));
    CHECK_OK(vkssm_session_generate(run.session, 0, &(vkssm_generate_params){.n_token = 9}, NULL, NULL));
    CHECK_OK(vkssm_session_restore(run.session, 1, 1));
    CHECK_OK(vkssm_session_restore(run.session, 1, 0));
    for (uint32_t s = 0; s < 2; s++) {
        uint8_t *after = model_save(&run, s);
        CHECK(memcmp(before, after, (size_t)vkssm_session_state_size(run.session)) == 0);
        free(after);
    }
    free(before);
    model_close(&run);
}

// A state rolled back is the state before: the same bits, because the same steps are taken.
CHECK_CASE(rollback) {
    enum { N_BACK = 4, N_STEP = 30 };
    model_run run;
    const vkssm_session_params params = {.n_slot = 2, .n_rollback = N_BACK, .piece_size = 16, .submit_us = 1000000};
    if (!model_open(&run, path(), NULL, &params)) return;
    int32_t *tokens = model_tokens(31, N_STEP, N_VOCAB);
    uint32_t slot = 0;
    CHECK_REFUSED(vkssm_session_rollback(run.session, 0, 1), VKSSM_ERR_ARG,
                  "at most 0 tokens of slot 0 expected, 1 found");
    start(&run, 0, 1);
    for (int i = 0; i < N_STEP; i++) {
        uint8_t *before[N_BACK];
        uint32_t n_back = (uint32_t)i % N_BACK + 1;
        for (uint32_t k = 0; k < n_back; k++) {
            before[k] = model_save(&run, 0);
            CHECK_OK(vkssm_session_step(run.session, 1, &slot, &tokens[(i + 7 * k) % N_STEP], NULL));
        }
        uint32_t n_undone = 1 + (uint32_t)i / 5 % n_back;
        CHECK_OK(vkssm_session_rollback(run.session, 0, n_undone));
        uint8_t *after = model_save(&run, 0);
        CHECK(memcmp(after, before[n_back - n_undone], (size_t)vkssm_session_state_size(run.session)) == 0);
        free(after);
        for (uint32_t k = 0; k < n_back; k++)
            free(before[k]);
    }
    CHECK_REFUSED(vkssm_session_rollback(run.session, 0, N_BACK + 1), VKSSM_ERR_ARG, "at most 4 tokens");
    // Generated tokens too, and those of a prefill within rounding.
    CHECK_OK(vkssm_session_generate(run.session, 0, &(vkssm_generate_params){.n_token = 20}, tokens, NULL));
    CHECK_OK(vkssm_session_clone(run.session, 0, 1));
    CHECK_OK(vkssm_session_step(run.session, 1, &slot, &tokens[19], NULL));
    CHECK_OK(vkssm_session_rollback(run.session, 0, 1));
    CHECK(same_slots(&run, 0, &run, 1));
    CHECK_OK(vkssm_session_prefill(run.session, 0, tokens, 20, VKSSM_LOGITS_NONE, NULL));
    CHECK_OK(vkssm_session_rollback(run.session, 0, 3));
    float found[N_VOCAB], wanted[N_VOCAB];
    CHECK_OK(vkssm_session_prefill(run.session, 1, tokens, 17, VKSSM_LOGITS_NONE, NULL));
    CHECK_OK(vkssm_session_step(run.session, 1, (uint32_t[]){0}, tokens, found));
    CHECK_OK(vkssm_session_step(run.session, 1, (uint32_t[]){1}, tokens, wanted));
    CHECK_AT_MOST(model_gap(found, wanted, N_VOCAB), ORDER_GAP);
    free(tokens);
    model_close(&run);
}

static bool count_down(void *user, int32_t token) {
    (void)token;
    return --*(int *)user > 0;
}

// Also across the end of a generation amid a submission, and to between the pieces of a prefill, from where one may
// generate.
CHECK_CASE(rollback_of_generation) {
    enum { N_BACK = 6, N_LEFT = 11 };
    model_run run;
    const vkssm_session_params params = {.n_slot = 2, .n_rollback = N_BACK, .piece_size = 16, .submit_us = 10000000};
    if (!model_open(&run, path(), NULL, &params)) return;
    int32_t tokens[60];
    int n_left = N_LEFT;
    uint32_t n = 0;
    start(&run, 0, 1);
    CHECK_OK(vkssm_session_clone(run.session, 0, 1));
    const vkssm_generate_params until = {.n_token = 60, .on_token = count_down, .user = &n_left};
    CHECK_OK(vkssm_session_generate(run.session, 0, &until, tokens, &n));
    CHECK_EQ(n, N_LEFT);
    for (uint32_t i = 0; i + 1 < N_LEFT - 3; i++)
        CHECK_OK(vkssm_session_step(run.session, 1, (uint32_t[]){1}, &tokens[i], NULL));
    CHECK_OK(vkssm_session_rollback(run.session, 0, 3));
    CHECK(same_slots(&run, 0, &run, 1));

    CHECK_OK(vkssm_session_reset(run.session, 0));
    CHECK_OK(vkssm_session_prefill(run.session, 0, tokens, N_LEFT, VKSSM_LOGITS_NONE, NULL));
    CHECK_OK(vkssm_session_rollback(run.session, 0, N_BACK));
    CHECK_OK(vkssm_session_generate(run.session, 0, &(vkssm_generate_params){.n_token = 3}, NULL, &n));
    CHECK_EQ(n, 3);
    model_close(&run);
}

CHECK_CASE(prefix_cache) {
    model_run run;
    vkssm_model *model;
    uint64_t slot_size;
    CHECK_OK(vkssm_model_load(model_device, path(), NULL, &model));
    if (!model) return;
    vkssm_model_info info;
    vkssm_model_get_info(model, &info);
    slot_size = vks_align_up(info.state_size + N_VOCAB * sizeof(float), 256);
    vkssm_model_destroy(&model);
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 3, .prefix_cache_size = 2 * slot_size + 1}))
        return;
    int32_t *tokens = model_tokens(41, 60, N_VOCAB), *others = model_tokens(42, 60, N_VOCAB);
    const struct {
        const int32_t *tokens;
        size_t n, found;
    } calls[] = {
        {tokens, 20, 0},  {tokens, 20, 20}, {tokens, 45, 20}, {tokens, 30, 20}, // of 20 and 45, 20 was used last
        {tokens, 45, 30}, {others, 10, 0},  {others, 11, 10}, {tokens, 44, 0},
    };
    for (size_t i = 0; i < VKS_COUNT(calls); i++) {
        size_t n_found = 99;
        CHECK_OK(vkssm_session_prefill_cached(run.session, 0, calls[i].tokens, calls[i].n, &n_found));
        CHECK_EQ(n_found, calls[i].found);
        CHECK_OK(vkssm_session_reset(run.session, 1));
        CHECK_OK(vkssm_session_prefill(run.session, 1, calls[i].tokens, calls[i].n, VKSSM_LOGITS_NONE, NULL));
        float found[N_VOCAB], wanted[N_VOCAB];
        uint64_t position = 0;
        CHECK_OK(vkssm_session_get_position(run.session, 0, &position));
        CHECK_EQ(position, calls[i].n);
        CHECK_OK(vkssm_session_step(run.session, 1, (uint32_t[]){0}, tokens, found));
        CHECK_OK(vkssm_session_step(run.session, 1, (uint32_t[]){1}, tokens, wanted));
        CHECK_AT_MOST(model_gap(found, wanted, N_VOCAB), ORDER_GAP);
    }
    CHECK_REFUSED(vkssm_session_prefill_cached(run.session, 0, tokens, 0, NULL), VKSSM_ERR_ARG, "at least one token");
    CHECK_REFUSED(vkssm_session_prefill_cached(run.session, 0, (int32_t[]){N_VOCAB}, 1, NULL), VKSSM_ERR_ARG,
                  "token 0");
    free(tokens);
    free(others);
    model_close(&run);
}

// ---- misuse ---------------------------------------------------------------------------------------------------------

CHECK_CASE(misuse) {
    model_run run;
    const vkssm_session_params params = {.n_slot = 2, .n_snapshot = 1};
    if (!model_open(&run, path(), NULL, &params)) return;
    vkssm_session *s = run.session;
    start(&run, 0, 1);
    start(&run, 1, 2);
    const int32_t token = 1, wrong = N_VOCAB, many[10] = {0};
    const vkssm_logit_bias bias = {2, NAN};
    const vkssm_generate_params good = {.n_token = 5};
    const vkssm_generate_params bad[] = {
        {.n_token = 5, .sampling = {.min_p = 2}},
        {.n_token = 5, .sampling = {.repetition_penalty = -1}},
        {.n_token = 5, .sampling = {.presence_penalty = INFINITY}},
        {.n_token = 5, .sampling = {.n_bias = 1}},
        {.n_token = 5, .sampling = {.biases = &bias, .n_bias = 1}},
        {.n_token = 5, .sampling = {.seen_tokens = &wrong, .n_seen_token = 1}},
        {.n_token = 5, .stop_tokens = many, .n_stop_token = 10},
    };
    static const char *const parts[] = {"min_p",        "repetition",           "presence", "NULL", "minus infinity",
                                        "seen token 0", "at most 9 stop tokens"};
    for (size_t i = 0; i < VKS_COUNT(bad); i++)
        CHECK_REFUSED(vkssm_session_join(s, 0, &bad[i], NULL), VKSSM_ERR_ARG, parts[i]);
    CHECK_REFUSED(vkssm_session_join(s, 2, &good, NULL), VKSSM_ERR_ARG, "a slot below 2 expected, 2 found");
    CHECK_OK(vkssm_session_join(s, 0, &good, NULL));
    CHECK_REFUSED(vkssm_session_join(s, 0, &good, NULL), VKSSM_ERR_STATE, "slot 0 generates");
    CHECK_REFUSED(vkssm_session_generate(s, 1, &good, NULL, NULL), VKSSM_ERR_STATE, "no other slot");
    CHECK_REFUSED(vkssm_session_prefill(s, 0, &token, 1, VKSSM_LOGITS_NONE, NULL), VKSSM_ERR_STATE, "slot 0 generates");
    CHECK_REFUSED(vkssm_session_step(s, 1, (uint32_t[]){0}, &token, NULL), VKSSM_ERR_STATE, "slot 0 generates");
    CHECK_REFUSED(vkssm_session_reset(s, 0), VKSSM_ERR_STATE, "slot 0 generates");
    CHECK_REFUSED(vkssm_session_clone(s, 1, 0), VKSSM_ERR_STATE, "slot 0 generates");
    CHECK_REFUSED(vkssm_session_snapshot(s, 0, 0), VKSSM_ERR_STATE, "slot 0 generates");
    CHECK_REFUSED(vkssm_session_rollback(s, 1, 1), VKSSM_ERR_ARG, "at most 0 tokens");
    CHECK_REFUSED(vkssm_session_prefill_cached(s, 1, &token, 1, NULL), VKSSM_ERR_STATE, "prefix cache");
    CHECK_OK(vkssm_session_step(s, 1, (uint32_t[]){1}, &token, NULL)); // between steps of the other
    CHECK_OK(vkssm_session_advance(s, 2, NULL));
    CHECK_EQ(n_generated(&run, 0, true), 3);
    CHECK_OK(vkssm_session_leave(s, 0));
    CHECK_OK(vkssm_session_leave(s, 0)); // it has left: fine
    CHECK_EQ(n_generated(&run, 0, false), 3);
    CHECK_OK(vkssm_session_advance(s, 5, NULL)); // nobody is there
    CHECK_OK(vkssm_session_prefill(s, 0, &token, 1, VKSSM_LOGITS_NONE, NULL));
    vkssm_session *none = NULL;
    CHECK_REFUSED(vkssm_session_create(run.model, &(vkssm_session_params){.n_rollback = 5000}, &none), VKSSM_ERR_ARG,
                  "4096");
    CHECK_REFUSED(vkssm_session_create(run.model, &(vkssm_session_params){.n_snapshot = 5000}, &none), VKSSM_ERR_ARG,
                  "4096");
    model_close(&run);
}

// ---- the step in three dispatches or two
// -----------------------------------------------------------------------------------

// With products that norm and convolve on the way, and those that go on to the recurrence; a CPU does not choose them
// by itself.
CHECK_CASE(fused_step) {
    enum { N = 30 };
    static const struct {
        const char *name;
        uint32_t n_slot;
    } variants[] = {{"matmul_vector", 2}, {"matmul_vector_sg", 2}, {"mixer_step", 1}, {"mixer_step_sg", 1}};
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 2})) return;
    int32_t *tokens = model_tokens(51, N, N_VOCAB);
    float *wanted = model_prefill(&run, 0, tokens, N);
    for (size_t i = 0; i < VKS_COUNT(variants); i++) {
        vkssm_session *session = NULL;
        uint32_t slot = variants[i].n_slot - 1;
        vks_kernels_force(model_device->kernels, variants[i].name);
        CHECK_OK(vkssm_session_create(run.model, &(vkssm_session_params){.n_slot = slot + 1}, &session));
        if (!session) break;
        model_run fused = {.model = run.model, .session = session, .info = run.info};
        float *found = model_steps(&fused, slot, tokens, N);
        double gap = model_gap(found, wanted, N * N_VOCAB);
        printf("  %s: %.2g of the largest logit\n", variants[i].name, gap);
        CHECK_AT_MOST(gap, ORDER_GAP);
        CHECK_OK(vkssm_session_generate(session, slot, &(vkssm_generate_params){.n_token = 5}, NULL, NULL));
        free(found);
        vkssm_session_destroy(&session);
        vks_kernels_force(model_device->kernels, NULL);
    }
    free(wanted);
    free(tokens);
    model_close(&run);
}

// Where states are too large for one allocation, everything is as where they are not.
typedef struct parts_result {
    uint8_t *before, *after, *back;
    float *logits;
    int32_t tokens[12];
} parts_result;

static parts_result run_parts(const vkssm_session_params *params, const int32_t *tokens, size_t n_token) {
    parts_result r = {0};
    model_run run;
    if (!model_open(&run, path(), NULL, params)) return r;
    free(model_prefill(&run, 3, tokens, n_token));
    r.before = model_save(&run, 3);
    CHECK_OK(vkssm_session_snapshot(run.session, 3, 0));
    CHECK_OK(vkssm_session_clone(run.session, 3, 5));
    r.logits = model_steps(&run, 5, tokens, 3);
    const vkssm_generate_params generate = {.n_token = VKS_COUNT(r.tokens)};
    CHECK_OK(vkssm_session_generate(run.session, 5, &generate, r.tokens, NULL));
    r.after = model_save(&run, 5);
    CHECK_OK(vkssm_session_restore(run.session, 0, 5));
    CHECK_OK(vkssm_session_reset(run.session, 3));
    CHECK_OK(vkssm_session_state_load(run.session, 3, r.after, vkssm_session_state_size(run.session)));
    r.back = model_save(&run, 5);
    uint8_t *loaded = model_save(&run, 3);
    CHECK(memcmp(loaded, r.after, (size_t)vkssm_session_state_size(run.session)) == 0);
    CHECK(memcmp(r.back, r.before, (size_t)vkssm_session_state_size(run.session)) == 0);
    free(loaded);
    model_close(&run);
    return r;
}

static void free_parts(parts_result *r) {
    free(r->before);
    free(r->after);
    free(r->back);
    free(r->logits);
}

CHECK_CASE(states_in_parts) {
    enum { N_READ = 20, N_PLACE = 62 };
    const vkssm_session_params params = {.n_slot = N_PLACE, .piece_size = 16, .n_snapshot = 1};
    int32_t *tokens = model_tokens(21, N_READ, N_VOCAB);
    parts_result wanted = run_parts(&params, tokens, N_READ);
    model_run run;
    if (!model_open(&run, path(), NULL, NULL)) return;
    uint64_t size = vkssm_session_state_size(run.session), state = run.info.state_size;
    model_close(&run);
    vks_device *device = model_device->vk;
    uint64_t largest = vks_device_caps(device)->max_allocation_size;
    vks_device_limit_allocation(device, (N_PLACE + 2) * state / 3);
    parts_result found = run_parts(&params, tokens, N_READ);
    if (wanted.after && found.after) {
        CHECK(memcmp(found.before, wanted.before, (size_t)size) == 0);
        CHECK(memcmp(found.after, wanted.after, (size_t)size) == 0);
        CHECK(memcmp(found.logits, wanted.logits, 3 * N_VOCAB * sizeof *found.logits) == 0);
        CHECK(memcmp(found.tokens, wanted.tokens, sizeof found.tokens) == 0);
    }
    // An array of all slots must still fit: the smallest allocation that holds no array's slots.
    vkssm_session *session = NULL;
    model_run run_small;
    vks_device_limit_allocation(device, largest);
    CHECK(model_open(&run_small, path(), NULL, NULL));
    vks_device_limit_allocation(device, 4096);
    CHECK_REFUSED(vkssm_session_create(run_small.model, &params, &session), VKSSM_ERR_OOM_DEVICE,
                  "states of 62 slots in at most 16 allocations of 4096 bytes expected");
    model_close(&run_small);
    vks_device_limit_allocation(device, largest);
    free_parts(&wanted);
    free_parts(&found);
    free(tokens);
}

int main(int argc, char **argv) {
    return model_main(argc, argv,
                      (check_case[]){CHECK_RUN(states_in_parts),
                                     CHECK_RUN(copies),
                                     CHECK_RUN(come_and_go),
                                     CHECK_RUN(stops_amid_bursts),
                                     CHECK_RUN(enough_amid_bursts),
                                     CHECK_RUN(no_allocation),
                                     CHECK_RUN(snapshots),
                                     CHECK_RUN(rollback),
                                     CHECK_RUN(rollback_of_generation),
                                     CHECK_RUN(prefix_cache),
                                     CHECK_RUN(misuse),
                                     CHECK_RUN(fused_step),
                                     {0}});
}

// What sessions promise: prefill equals steps, pieces do not matter, slots do not see each other, the same calls give
// the same bits, and generation is the same whatever it is cut into.
#define _XOPEN_SOURCE 700
#include "harness/model_test.h"

// Of the largest logit, or of the largest value of the state: the chunked and the recurrent form sum the same float32
// products in different orders. About 1e-6 is seen; the rest is room for GPUs whose exp is less exact.
#define ORDER_GAP 1e-4
enum { N_LONG = 1000, N_VOCAB = 96 };

static const char *path(void) {
    return model_data("mamba2");
}

static bool same_bits(const void *a, const void *b, size_t n_float) {
    return memcmp(a, b, n_float * sizeof(float)) == 0;
}

// Of an image: what stands between the header and the last logits.
static const float *state_of(const model_run *run, const uint8_t *image, size_t *n) {
    uint64_t size = vkssm_session_state_size(run->session), n_logit = run->info.n_vocab * sizeof(float);
    *n = run->info.state_size / sizeof(float);
    return (const float *)(image + size - n_logit - run->info.state_size);
}

static double state_gap(const model_run *run, const uint8_t *found, const uint8_t *wanted) {
    size_t n;
    const float *state = state_of(run, found, &n);
    return model_gap(state, state_of(run, wanted, &n), n);
}

static uint64_t position_of(const model_run *run, uint32_t slot) {
    uint64_t position = UINT64_MAX;
    CHECK_OK(vkssm_session_get_position(run->session, slot, &position));
    return position;
}

static bool same_slots(const model_run *a, uint32_t slot_a, const model_run *b, uint32_t slot_b) {
    uint8_t *image_a = model_save(a, slot_a), *image_b = model_save(b, slot_b);
    bool same = memcmp(image_a, image_b, (size_t)vkssm_session_state_size(a->session)) == 0;
    free(image_a);
    free(image_b);
    return same;
}

// ---- prefill, steps and pieces --------------------------------------------------------------------------------------

CHECK_CASE(prefill_equals_steps) {
    static const size_t lengths[] = {1, 2, 63, 64, 65, 257, N_LONG};
    enum { N = sizeof lengths / sizeof *lengths };
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 2})) return;
    int32_t *tokens = model_tokens(11, N_LONG, N_VOCAB);
    float *by_step = model_alloc(N_LONG * N_VOCAB, sizeof *by_step), worst = 0, worst_state = 0;
    size_t done = 0;
    for (size_t i = 0; i < N; i++) {
        float *more = model_steps(&run, 0, tokens + done, lengths[i] - done);
        memcpy(by_step + done * N_VOCAB, more, (lengths[i] - done) * N_VOCAB * sizeof *more);
        done = lengths[i];
        CHECK_OK(vkssm_session_reset(run.session, 1));
        float *by_prefill = model_prefill(&run, 1, tokens, done);
        uint8_t *wanted = model_save(&run, 0), *found = model_save(&run, 1);
        double gap = model_gap(by_prefill, by_step, done * N_VOCAB), gap_state = state_gap(&run, found, wanted);
        CHECK_AT_MOST(gap, ORDER_GAP);
        CHECK_AT_MOST(gap_state, ORDER_GAP);
        CHECK_EQ(position_of(&run, 0), done);
        CHECK_EQ(position_of(&run, 1), done);
        worst = fmaxf(worst, (float)gap);
        worst_state = fmaxf(worst_state, (float)gap_state);
        free(found);
        free(wanted);
        free(by_prefill);
        free(more);
    }
    printf("  logits %.2g, state %.2g of the largest value\n", (double)worst, (double)worst_state);
    free(by_step);
    free(tokens);
    model_close(&run);
}

CHECK_CASE(pieces_do_not_matter) {
    static const uint32_t pieces[] = {512, 1, 7, 64, 100};
    enum { N_TOKEN = 300 };
    int32_t *tokens = model_tokens(12, N_TOKEN, N_VOCAB);
    float *wanted = NULL;
    uint8_t *wanted_image = NULL;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        model_run run;
        if (!model_open(&run, path(), NULL, &(vkssm_session_params){.piece_size = pieces[i]})) return;
        float *found = model_prefill(&run, 0, tokens, N_TOKEN);
        uint8_t *image = model_save(&run, 0);
        if (wanted) {
            CHECK_AT_MOST(model_gap(found, wanted, N_TOKEN * N_VOCAB), ORDER_GAP);
            CHECK_AT_MOST(state_gap(&run, image, wanted_image), ORDER_GAP);
            free(found);
            free(image);
        } else {
            wanted = found;
            wanted_image = image;
        }
        CHECK_EQ(position_of(&run, 0), N_TOKEN);
        model_close(&run);
    }
    free(wanted);
    free(wanted_image);
    free(tokens);
}

// Prompts of unequal lengths packed into pieces, against each on its own: what they leave, with and without pieces that
// cut them, behind what their slots had read before; a slot that takes no part keeps its bits.
CHECK_CASE(prompts_are_packed) {
    static const size_t lengths[] = {1, 70, 5, 33};
    static const uint32_t slots[] = {3, 0, 4, 1}, pieces[] = {256, 40, 3};
    enum { N = 4, N_SLOT = 5, OTHER = 2 };
    int32_t *tokens = model_tokens(21, 200, N_VOCAB);
    model_run alone;
    if (!model_open(&alone, path(), NULL, &(vkssm_session_params){.n_slot = N_SLOT})) return;
    CHECK_OK(vkssm_session_prefill(alone.session, slots[1], tokens + 150, 9, VKSSM_LOGITS_NONE, NULL));
    CHECK_OK(vkssm_session_prefill(alone.session, OTHER, tokens + 100, 20, VKSSM_LOGITS_NONE, NULL));
    float *wanted = model_alloc(N * N_VOCAB, sizeof *wanted), *found = model_alloc(N * N_VOCAB, sizeof *found);
    vkssm_prompt prompts[N];
    for (size_t i = 0; i < N; i++) {
        prompts[i] = (vkssm_prompt){slots[i], tokens + 11 * i, lengths[i]};
        CHECK_OK(vkssm_session_prefill(alone.session, slots[i], prompts[i].tokens, lengths[i], VKSSM_LOGITS_LAST,
                                       wanted + i * N_VOCAB));
    }
    for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
        model_run run;
        vkssm_session_params params = {.n_slot = N_SLOT, .piece_size = pieces[k]};
        if (!model_open(&run, path(), NULL, &params)) return;
        CHECK_OK(vkssm_session_prefill(run.session, slots[1], tokens + 150, 9, VKSSM_LOGITS_NONE, NULL));
        CHECK_OK(vkssm_session_prefill(run.session, OTHER, tokens + 100, 20, VKSSM_LOGITS_NONE, NULL));
        uint8_t *other = model_save(&run, OTHER);
        CHECK_OK(vkssm_session_prefill_prompts(run.session, N, prompts, found));
        CHECK_AT_MOST(model_gap(found, wanted, N * N_VOCAB), ORDER_GAP);
        for (size_t i = 0; i < N; i++) {
            uint8_t *a = model_save(&run, slots[i]), *b = model_save(&alone, slots[i]);
            CHECK_AT_MOST(state_gap(&run, a, b), ORDER_GAP);
            CHECK_EQ(position_of(&run, slots[i]), position_of(&alone, slots[i]));
            free(a);
            free(b);
        }
        uint8_t *after = model_save(&run, OTHER);
        CHECK(memcmp(other, after, (size_t)vkssm_session_state_size(run.session)) == 0);
        free(after);
        free(other);
        if (k == 0) {
            vkssm_session *s = run.session;
            const vkssm_prompt twice[] = {prompts[0], prompts[0]}, empty = {0, tokens, 0}, far = {N_SLOT, tokens, 1};
            const vkssm_prompt foreign = {0, (int32_t[]){N_VOCAB}, 1};
            CHECK_REFUSED(vkssm_session_prefill_prompts(s, 0, prompts, NULL), VKSSM_ERR_ARG, "at least one prompt");
            CHECK_REFUSED(vkssm_session_prefill_prompts(s, N_SLOT + 1, prompts, NULL), VKSSM_ERR_ARG,
                          "at most 5 prompts expected, one for each slot, 6 found");
            CHECK_REFUSED(vkssm_session_prefill_prompts(s, 2, twice, NULL), VKSSM_ERR_ARG, "slot 3 found twice");
            CHECK_REFUSED(vkssm_session_prefill_prompts(s, 1, &empty, NULL), VKSSM_ERR_ARG,
                          "prompt 0: at least one token");
            CHECK_REFUSED(vkssm_session_prefill_prompts(s, 1, &far, NULL), VKSSM_ERR_ARG, "a slot below 5 expected");
            CHECK_REFUSED(vkssm_session_prefill_prompts(s, 1, &foreign, NULL), VKSSM_ERR_ARG, "an id in 0 ... 95");
            CHECK_EQ(position_of(&run, 0), 9 + lengths[1]);
        }
        model_close(&run);
    }
    free(found);
    free(wanted);
    free(tokens);
    model_close(&alone);
}

// A session of one slot has scratch for one prompt, and no more: of a whole piece, and of more than one.
CHECK_CASE(one_prompt) {
    enum { PIECE = 64 };
    int32_t *tokens = model_tokens(22, 2 * PIECE, N_VOCAB);
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.piece_size = PIECE})) return;
    for (size_t n = PIECE - 1; n <= 2 * PIECE; n += n == PIECE ? PIECE : 1) {
        float wanted[N_VOCAB], found[N_VOCAB];
        CHECK_OK(vkssm_session_reset(run.session, 0));
        CHECK_OK(vkssm_session_prefill(run.session, 0, tokens, n, VKSSM_LOGITS_LAST, wanted));
        CHECK_OK(vkssm_session_reset(run.session, 0));
        CHECK_OK(vkssm_session_prefill_prompts(run.session, 1, &(vkssm_prompt){0, tokens, n}, found));
        CHECK(memcmp(found, wanted, sizeof wanted) == 0);
    }
    free(tokens);
    model_close(&run);
}

// What is wanted of the logits changes neither them nor the state.
CHECK_CASE(last_logits_and_none) {
    enum { N_TOKEN = 150 };
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 3, .piece_size = 64})) return;
    int32_t *tokens = model_tokens(13, N_TOKEN, N_VOCAB);
    float last[N_VOCAB], *all = model_prefill(&run, 0, tokens, N_TOKEN), untouched = 1;
    CHECK_OK(vkssm_session_prefill(run.session, 1, tokens, N_TOKEN, VKSSM_LOGITS_LAST, last));
    CHECK_OK(vkssm_session_prefill(run.session, 2, tokens, N_TOKEN, VKSSM_LOGITS_NONE, &untouched));
    CHECK(untouched == 1);
    // A head of one row may be another kernel than that of many: rounding.
    CHECK_AT_MOST(model_gap(last, all + (N_TOKEN - 1) * N_VOCAB, N_VOCAB), ORDER_GAP);
    CHECK(same_slots(&run, 1, &run, 2)); // with the logits that the caller did not want
    uint8_t *image_all = model_save(&run, 0), *image_last = model_save(&run, 1);
    CHECK_AT_MOST(state_gap(&run, image_last, image_all), 0.0);
    free(image_all);
    free(image_last);
    free(all);
    free(tokens);
    model_close(&run);
}

// ---- the same bits --------------------------------------------------------------------------------------------------

CHECK_CASE(runs_repeat) {
    enum { N_TOKEN = 100 };
    int32_t *tokens = model_tokens(14, N_TOKEN, N_VOCAB);
    model_run a, b;
    if (!model_open(&a, path(), NULL, NULL) || !model_open(&b, path(), NULL, NULL)) return;
    float *first = model_prefill(&a, 0, tokens, N_TOKEN), *second = model_prefill(&b, 0, tokens, N_TOKEN);
    CHECK(same_bits(first, second, N_TOKEN * N_VOCAB));
    float *first_steps = model_steps(&a, 0, tokens, 20), *second_steps = model_steps(&b, 0, tokens, 20);
    CHECK(same_bits(first_steps, second_steps, 20 * N_VOCAB));
    CHECK(same_slots(&a, 0, &b, 0));
    // After a reset everything is as in the beginning, whatever the slot had read.
    CHECK_OK(vkssm_session_reset(a.session, 0));
    CHECK_EQ(position_of(&a, 0), 0);
    float *again = model_prefill(&a, 0, tokens, N_TOKEN), *again_steps = model_steps(&a, 0, tokens, 20);
    CHECK(same_bits(first, again, N_TOKEN * N_VOCAB));
    CHECK(same_bits(first_steps, again_steps, 20 * N_VOCAB));
    CHECK(same_slots(&a, 0, &b, 0));
    free(first);
    free(second);
    free(first_steps);
    free(second_steps);
    free(again);
    free(again_steps);
    free(tokens);
    model_close(&a);
    model_close(&b);
}

// Another device object computes the same.
CHECK_CASE(devices_repeat) {
    enum { N_TOKEN = 70 };
    int32_t *tokens = model_tokens(15, N_TOKEN, N_VOCAB);
    model_run run;
    vkssm_device_params params = model_device_params();
    vkssm_device *device;
    vkssm_model *model = NULL;
    vkssm_session *session = NULL;
    float *found = model_alloc(N_TOKEN * N_VOCAB, sizeof *found);
    if (!model_open(&run, path(), NULL, NULL)) return;
    float *wanted = model_prefill(&run, 0, tokens, N_TOKEN);
    CHECK_OK(vkssm_device_create(&params, &device));
    if (device) CHECK_OK(vkssm_model_load(device, path(), NULL, &model));
    if (model) CHECK_OK(vkssm_session_create(model, NULL, &session));
    if (session) CHECK_OK(vkssm_session_prefill(session, 0, tokens, N_TOKEN, VKSSM_LOGITS_ALL, found));
    CHECK(same_bits(found, wanted, N_TOKEN * N_VOCAB));
    vkssm_session_destroy(&session);
    vkssm_model_destroy(&model);
    model_close_device(&device);
    free(found);
    free(wanted);
    free(tokens);
    model_close(&run);
}

// ---- slots ----------------------------------------------------------------------------------------------------------

enum { N_SLOT = 5, N_ROUND = 12 };

// Which slots step together, in which order.
typedef uint32_t (*choose_batch)(uint64_t *seed, const uint32_t *n_read, uint32_t *slots);

static void shuffle(uint64_t *seed, uint32_t *slots, uint32_t n) {
    for (uint32_t i = n; i > 1; i--) {
        uint32_t k = (uint32_t)(check_random(seed) % i), other = slots[k];
        slots[k] = slots[i - 1];
        slots[i - 1] = other;
    }
}

static uint32_t all_in_order(uint64_t *seed, const uint32_t *n_read, uint32_t *slots) {
    (void)seed, (void)n_read;
    for (uint32_t s = 0; s < N_SLOT; s++)
        slots[s] = s;
    return N_SLOT;
}

static uint32_t all_shuffled(uint64_t *seed, const uint32_t *n_read, uint32_t *slots) {
    shuffle(seed, slots, all_in_order(seed, n_read, slots));
    return N_SLOT;
}

// Some of those that have something left to read.
static uint32_t some_shuffled(uint64_t *seed, const uint32_t *n_read, uint32_t *slots) {
    uint32_t n = 0;
    for (uint32_t s = 0; s < N_SLOT; s++)
        if (n_read[s] < N_ROUND) slots[n++] = s;
    shuffle(seed, slots, n);
    return 1 + (uint32_t)(check_random(seed) % n);
}

// From empty slots on; token k of slot s is tokens[s * N_ROUND + k]. Logits [N_SLOT, N_ROUND, V], to be freed.
static float *step_batches(const model_run *run, choose_batch choose, const int32_t *tokens) {
    uint32_t n_read[N_SLOT] = {0}, slots[N_SLOT];
    uint64_t seed = 3;
    float *logits = model_alloc(N_SLOT * N_ROUND * N_VOCAB, sizeof *logits), found[N_SLOT * N_VOCAB];
    for (uint32_t s = 0; s < N_SLOT; s++)
        CHECK_OK(vkssm_session_reset(run->session, s));
    for (uint32_t n_left = N_SLOT * N_ROUND, n; n_left > 0; n_left -= n) {
        int32_t batch[N_SLOT];
        n = choose(&seed, n_read, slots);
        for (uint32_t i = 0; i < n; i++)
            batch[i] = tokens[slots[i] * N_ROUND + n_read[slots[i]]];
        CHECK_OK(vkssm_session_step(run->session, n, slots, batch, found));
        for (uint32_t i = 0; i < n; i++) {
            size_t row = slots[i] * N_ROUND + n_read[slots[i]]++;
            memcpy(logits + row * N_VOCAB, found + i * N_VOCAB, N_VOCAB * sizeof *found);
        }
    }
    return logits;
}

// A slot's results have the same bits whoever the others are, however many, and in whatever order.
CHECK_CASE(batches_of_steps) {
    enum { N = N_SLOT * N_ROUND * N_VOCAB };
    int32_t *tokens = model_tokens(16, N_SLOT * N_ROUND, N_VOCAB);
    float *alone = model_alloc(N, sizeof *alone);
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = N_SLOT})) return;
    for (uint32_t s = 0; s < N_SLOT; s++) {
        float *logits = model_steps(&run, s, tokens + s * N_ROUND, N_ROUND);
        memcpy(alone + s * N_ROUND * N_VOCAB, logits, N_ROUND * N_VOCAB * sizeof *logits);
        free(logits);
    }
    float *ordered = step_batches(&run, all_in_order, tokens), *shuffled = step_batches(&run, all_shuffled, tokens);
    float *mixed = step_batches(&run, some_shuffled, tokens);
    CHECK(same_bits(shuffled, ordered, N));
    CHECK(same_bits(ordered, alone, N));
    CHECK(same_bits(mixed, alone, N));
    free(alone);
    free(ordered);
    free(shuffled);
    free(mixed);
    free(tokens);
    model_close(&run);
}

// Whatever one slot does, the others stay bit for bit.
CHECK_CASE(slots_are_apart) {
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 3})) return;
    int32_t *tokens = model_tokens(17, 200, N_VOCAB);
    uint64_t size = vkssm_session_state_size(run.session);
    free(model_prefill(&run, 0, tokens, 50));
    free(model_prefill(&run, 2, tokens + 50, 60));
    uint8_t *below = model_save(&run, 0), *above = model_save(&run, 2);
    free(model_prefill(&run, 1, tokens + 110, 90));
    free(model_steps(&run, 1, tokens, 10));
    CHECK_OK(vkssm_session_generate(run.session, 1, &(vkssm_generate_params){.n_token = 5}, NULL, NULL));
    CHECK_OK(vkssm_session_reset(run.session, 1));
    CHECK_OK(vkssm_session_clone(run.session, 0, 1));
    CHECK(same_slots(&run, 0, &run, 1));
    CHECK_OK(vkssm_session_state_load(run.session, 1, above, size));
    CHECK(same_slots(&run, 2, &run, 1));
    uint8_t *below_after = model_save(&run, 0), *above_after = model_save(&run, 2);
    CHECK(memcmp(below, below_after, (size_t)size) == 0);
    CHECK(memcmp(above, above_after, (size_t)size) == 0);
    free(below);
    free(above);
    free(below_after);
    free(above_after);
    free(tokens);
    model_close(&run);
}

// A clone goes on with the same bits as what it was cloned from.
CHECK_CASE(clones) {
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 4})) return;
    int32_t *tokens = model_tokens(18, 140, N_VOCAB);
    free(model_prefill(&run, 3, tokens, 70));
    free(model_prefill(&run, 1, tokens + 3, 20)); // to be overwritten
    CHECK_OK(vkssm_session_clone(run.session, 3, 1));
    CHECK(same_slots(&run, 1, &run, 3)); // the last logits too
    CHECK_OK(vkssm_session_clone(run.session, 3, 3));
    CHECK_EQ(position_of(&run, 1), 70);
    float *steps = model_steps(&run, 3, tokens + 70, 5), *clone_steps = model_steps(&run, 1, tokens + 70, 5);
    float *rest = model_prefill(&run, 3, tokens + 75, 65), *clone_rest = model_prefill(&run, 1, tokens + 75, 65);
    CHECK(same_bits(steps, clone_steps, 5 * N_VOCAB));
    CHECK(same_bits(rest, clone_rest, 65 * N_VOCAB));
    CHECK(same_slots(&run, 1, &run, 3));
    free(steps);
    free(clone_steps);
    free(rest);
    free(clone_rest);
    free(tokens);
    model_close(&run);
}

// ---- generation -----------------------------------------------------------------------------------------------------

enum { N_PROMPT = 20, N_GENERATED = 80 }; // more than the ring of sampled tokens holds

static void start(const model_run *run, uint32_t slot, const int32_t *prompt) {
    CHECK_OK(vkssm_session_reset(run->session, slot));
    CHECK_OK(vkssm_session_prefill(run->session, slot, prompt, N_PROMPT, VKSSM_LOGITS_NONE, NULL));
}

static uint32_t generate(const model_run *run, uint32_t slot, uint32_t n, vkssm_sampling sampling, int32_t *tokens) {
    uint32_t n_found = UINT32_MAX;
    const vkssm_generate_params params = {.n_token = n, .sampling = sampling};
    CHECK_OK(vkssm_session_generate(run->session, slot, &params, tokens, &n_found));
    return n_found;
}

CHECK_CASE(seeds) {
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 2})) return;
    int32_t *prompt = model_tokens(19, N_PROMPT, N_VOCAB), a[N_GENERATED], b[N_GENERATED];
    const vkssm_sampling seven = {.temperature = 1, .seed = 7}, eight = {.temperature = 1, .seed = 8};
    const vkssm_sampling high = {.temperature = 1, .seed = 7 | (uint64_t)1 << 32};
    start(&run, 0, prompt);
    CHECK_EQ(generate(&run, 0, N_GENERATED, seven, a), N_GENERATED);
    for (int i = 0; i < N_GENERATED; i++)
        CHECK(a[i] >= 0 && a[i] < N_VOCAB);
    start(&run, 0, prompt);
    generate(&run, 0, N_GENERATED, seven, b);
    CHECK(memcmp(a, b, sizeof a) == 0);
    start(&run, 1, prompt); // another slot draws the same
    generate(&run, 1, N_GENERATED, seven, b);
    CHECK(memcmp(a, b, sizeof a) == 0);
    start(&run, 0, prompt);
    generate(&run, 0, N_GENERATED, eight, b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    start(&run, 0, prompt);
    generate(&run, 0, N_GENERATED, high, b); // all 64 bits of a seed count
    CHECK(memcmp(a, b, sizeof a) != 0);
    free(prompt);
    model_close(&run);
}

// Greedy generation is the largest logit of each step.
CHECK_CASE(greedy_by_hand) {
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 3})) return;
    int32_t *prompt = model_tokens(20, N_PROMPT, N_VOCAB), found[N_GENERATED], one[N_GENERATED];
    start(&run, 0, prompt);
    CHECK_EQ(generate(&run, 0, N_GENERATED, (vkssm_sampling){.seed = 5, .top_k = 3, .top_p = 0.5f}, found),
             N_GENERATED);
    CHECK_EQ(position_of(&run, 0), N_PROMPT + N_GENERATED - 1); // the last token is not read
    float logits[N_VOCAB];
    CHECK_OK(vkssm_session_prefill(run.session, 1, prompt, N_PROMPT, VKSSM_LOGITS_LAST, logits));
    for (uint32_t i = 0, slot = 1; i < N_GENERATED; i++) {
        CHECK_EQ(found[i], model_argmax(logits, N_VOCAB));
        if (i + 1 < N_GENERATED) CHECK_OK(vkssm_session_step(run.session, 1, &slot, &found[i], logits));
    }
    CHECK(same_slots(&run, 0, &run, 1));
    start(&run, 2, prompt); // the one most probable token: greedy again
    generate(&run, 2, N_GENERATED, (vkssm_sampling){.temperature = 0.7f, .top_k = 1, .seed = 3}, one);
    CHECK(memcmp(found, one, sizeof one) == 0);
    free(prompt);
    model_close(&run);
}

// Cut in two, with a step in between, generation gives the tokens of one call: draws depend on seed and position only.
CHECK_CASE(generation_goes_on) {
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 2})) return;
    int32_t *prompt = model_tokens(21, N_PROMPT, N_VOCAB), whole[N_GENERATED], parts[N_GENERATED];
    const vkssm_sampling samplings[] = {{0}, {.temperature = 0.9f, .top_k = 40, .top_p = 0.95f, .seed = 99}};
    for (int i = 0; i < 2; i++) {
        start(&run, 0, prompt);
        generate(&run, 0, N_GENERATED, samplings[i], whole);
        start(&run, 1, prompt);
        for (uint32_t done = 0, slot = 1; done < N_GENERATED;) {
            uint32_t n = done + 9 < N_GENERATED ? 9 : N_GENERATED - done;
            CHECK_EQ(generate(&run, slot, n, samplings[i], parts + done), n);
            done += n;
            CHECK_EQ(position_of(&run, slot), N_PROMPT + done - 1);
            if (done < N_GENERATED) CHECK_OK(vkssm_session_step(run.session, 1, &slot, &parts[done - 1], NULL));
        }
        CHECK(memcmp(whole, parts, sizeof whole) == 0);
        CHECK(same_slots(&run, 0, &run, 1));
        // Generating anew without reading the last token gives it again: nothing was consumed.
        int32_t again;
        generate(&run, 0, 1, samplings[i], &again);
        CHECK_EQ(again, whole[N_GENERATED - 1]);
        CHECK(same_slots(&run, 0, &run, 1));
    }
    free(prompt);
    model_close(&run);
}

typedef struct listener {
    int32_t tokens[N_GENERATED];
    uint32_t n, n_wanted;
} listener;

static bool listen(void *user, int32_t token) {
    listener *l = user;
    l->tokens[l->n++] = token;
    return l->n < l->n_wanted;
}

CHECK_CASE(generation_ends) {
    model_run run;
    if (!model_open(&run, path(), NULL, NULL)) return;
    int32_t *prompt = model_tokens(22, N_PROMPT, N_VOCAB), whole[N_GENERATED], found[N_GENERATED];
    const vkssm_sampling sampling = {.temperature = 1, .seed = 4};
    uint32_t n = 0, first = 0;
    start(&run, 0, prompt);
    generate(&run, 0, N_GENERATED, sampling, whole);
    // At a stop token, which is delivered and not read.
    int32_t stops[2] = {-1, whole[30]};
    while (whole[first] != stops[1])
        first++;
    vkssm_generate_params params = {
        .n_token = N_GENERATED, .sampling = sampling, .stop_tokens = stops, .n_stop_token = 2};
    start(&run, 0, prompt);
    CHECK_OK(vkssm_session_generate(run.session, 0, &params, found, &n));
    CHECK_EQ(n, first + 1);
    CHECK(memcmp(found, whole, n * sizeof *found) == 0);
    CHECK_EQ(position_of(&run, 0), N_PROMPT + first);
    // When the listener has heard enough.
    listener l = {.n_wanted = 12};
    params = (vkssm_generate_params){.n_token = N_GENERATED, .sampling = sampling, .on_token = listen, .user = &l};
    start(&run, 0, prompt);
    CHECK_OK(vkssm_session_generate(run.session, 0, &params, NULL, &n));
    CHECK_EQ(n, 12);
    CHECK_EQ(l.n, 12);
    CHECK(memcmp(l.tokens, whole, 12 * sizeof *whole) == 0);
    CHECK_EQ(position_of(&run, 0), N_PROMPT + 11);
    // At the number of tokens, with a listener that wants more.
    l = (listener){.n_wanted = UINT32_MAX};
    params.n_token = 3;
    start(&run, 0, prompt);
    CHECK_OK(vkssm_session_generate(run.session, 0, &params, found, NULL));
    CHECK_EQ(l.n, 3);
    free(prompt);
    model_close(&run);
}

// ---- misuse ---------------------------------------------------------------------------------------------------------

static void check_unchanged(const model_run *run, const uint8_t *before) {
    uint8_t *after = model_save(run, 0);
    CHECK(memcmp(before, after, (size_t)vkssm_session_state_size(run->session)) == 0);
    free(after);
}

static void refuse_tokens(const model_run *run) {
    vkssm_session *s = run->session;
    float logits[4 * N_VOCAB];
    const int32_t wrong[][3] = {{1, 2, N_VOCAB}, {1, -1, 3}, {INT32_MIN, 2, 3}, {1, 2, INT32_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_REFUSED(vkssm_session_prefill(s, 0, wrong[i], 3, VKSSM_LOGITS_ALL, logits), VKSSM_ERR_ARG, "token");
    CHECK_REFUSED(vkssm_session_prefill(s, 0, wrong[0], 3, VKSSM_LOGITS_NONE, NULL), VKSSM_ERR_ARG,
                  "token 2: an id in 0 ... 95 expected, 96 found");
    CHECK_REFUSED(vkssm_session_prefill(s, 0, wrong[0], 0, VKSSM_LOGITS_NONE, NULL), VKSSM_ERR_ARG,
                  "at least one token");
    CHECK_REFUSED(vkssm_session_prefill(s, 0, NULL, 3, VKSSM_LOGITS_NONE, NULL), VKSSM_ERR_ARG, "at least one token");
    CHECK_REFUSED(vkssm_session_prefill(s, 0, wrong[0], 2, VKSSM_LOGITS_LAST, NULL), VKSSM_ERR_ARG, "logits");
    CHECK_REFUSED(vkssm_session_step(s, 2, (uint32_t[]){0, 1}, (int32_t[]){5, N_VOCAB}, logits), VKSSM_ERR_ARG,
                  "token 1: an id in 0 ... 95 expected, 96 found");
}

static void refuse_slots(const model_run *run) {
    vkssm_session *s = run->session;
    float logits[4 * N_VOCAB];
    uint64_t position, size = vkssm_session_state_size(s);
    uint8_t *image = model_save(run, 0);
    const int32_t tokens[] = {1, 2, 3, 4};
    CHECK_REFUSED(vkssm_session_prefill(s, 3, tokens, 2, VKSSM_LOGITS_NONE, NULL), VKSSM_ERR_ARG,
                  "a slot below 3 expected, 3 found");
    CHECK_REFUSED(vkssm_session_step(s, 2, (uint32_t[]){0, UINT32_MAX}, tokens, logits), VKSSM_ERR_ARG, "slot");
    CHECK_REFUSED(vkssm_session_step(s, 3, (uint32_t[]){0, 1, 0}, tokens, logits), VKSSM_ERR_ARG, "slot 0 found twice");
    CHECK_REFUSED(vkssm_session_step(s, 4, (uint32_t[]){0, 1, 2, 0}, tokens, logits), VKSSM_ERR_ARG, "1 to 3 slots");
    CHECK_REFUSED(vkssm_session_step(s, 0, (uint32_t[]){0}, tokens, logits), VKSSM_ERR_ARG, "1 to 3 slots");
    CHECK_REFUSED(vkssm_session_step(s, 1, NULL, tokens, logits), VKSSM_ERR_ARG, "1 to 3 slots");
    CHECK_REFUSED(vkssm_session_step(s, 1, (uint32_t[]){0}, NULL, logits), VKSSM_ERR_ARG, "1 to 3 slots");
    CHECK_REFUSED(vkssm_session_reset(s, 3), VKSSM_ERR_ARG, "slot");
    CHECK_REFUSED(vkssm_session_clone(s, 3, 0), VKSSM_ERR_ARG, "slot");
    CHECK_REFUSED(vkssm_session_clone(s, 0, 3), VKSSM_ERR_ARG, "slot");
    CHECK_REFUSED(vkssm_session_get_position(s, 3, &position), VKSSM_ERR_ARG, "slot");
    CHECK_REFUSED(vkssm_session_state_save(s, 3, image, size), VKSSM_ERR_ARG, "slot");
    CHECK_REFUSED(vkssm_session_state_load(s, 3, image, size), VKSSM_ERR_ARG, "slot");
    free(image);
}

static void refuse_generation(const model_run *run) {
    vkssm_session *s = run->session;
    int32_t tokens[4];
    uint32_t n = 77;
    vkssm_generate_params params = {.n_token = 4};
    CHECK_REFUSED(vkssm_session_generate(s, 1, &params, tokens, &n), VKSSM_ERR_STATE, "slot 1 has read no token");
    CHECK_EQ(n, 0);
    CHECK_REFUSED(vkssm_session_generate(s, 3, &params, tokens, &n), VKSSM_ERR_ARG, "slot");
    CHECK_REFUSED(vkssm_session_generate(s, 0, NULL, tokens, &n), VKSSM_ERR_ARG, "at least one token");
    static const vkssm_generate_params wrong[] = {
        {.n_token = 0},
        {.n_token = 4, .sampling = {.temperature = -1}},
        {.n_token = 4, .sampling = {.temperature = NAN}},
        {.n_token = 4, .sampling = {.temperature = INFINITY}},
        {.n_token = 4, .sampling = {.temperature = 1, .top_p = 1.5f}},
        {.n_token = 4, .sampling = {.temperature = 1, .top_p = -0.5f}},
        {.n_token = 4, .sampling = {.temperature = 1, .top_p = NAN}},
        {.n_token = 4, .n_stop_token = 1},
    };
    static const char *const parts[] = {
        "at least one token", "temperature", "temperature", "temperature", "top_p", "top_p", "top_p", "stop tokens"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_REFUSED(vkssm_session_generate(s, 0, &wrong[i], tokens, &n), VKSSM_ERR_ARG, parts[i]);
}

// Whatever is refused changes nothing.
CHECK_CASE(misuse) {
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 3})) return;
    int32_t *tokens = model_tokens(23, 10, N_VOCAB);
    free(model_prefill(&run, 0, tokens, 10));
    uint8_t *before = model_save(&run, 0);
    uint32_t n_error = model_log.n_error;
    refuse_tokens(&run);
    refuse_slots(&run);
    refuse_generation(&run);
    CHECK(model_log.n_error - n_error > 30); // the log hears of each
    CHECK_EQ(position_of(&run, 0), 10);
    CHECK_EQ(position_of(&run, 1), 0);
    check_unchanged(&run, before);
    free(before);
    free(tokens);
    model_close(&run);
}

CHECK_CASE(absurd_sessions) {
    vkssm_model *model;
    uint64_t size;
    CHECK_OK(vkssm_model_load(model_device, path(), NULL, &model));
    if (!model) return;
    static const vkssm_session_params wrong[] = {
        {.n_slot = UINT32_MAX}, {.n_slot = 4097}, {.piece_size = UINT32_MAX}, {.piece_size = 1 << 16}};
    static const char *const parts[] = {"4096 slots", "4096 slots", "65535 tokens", "65535 tokens"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        vkssm_session *session = (vkssm_session *)model;
        CHECK_REFUSED(vkssm_session_create(model, &wrong[i], &session), VKSSM_ERR_ARG, parts[i]);
        CHECK(!session);
        CHECK_REFUSED(vkssm_session_memory_size(model, &wrong[i], &size), VKSSM_ERR_ARG, parts[i]);
    }
    vkssm_session *session = (vkssm_session *)model;
    CHECK_REFUSED(vkssm_session_create(NULL, NULL, &session), VKSSM_ERR_ARG, "a model expected");
    CHECK(!session);
    vkssm_model_destroy(&model);
}

// What holds others stays until they are gone, and says so.
CHECK_CASE(order_of_destruction) {
    model_run run;
    vkssm_device *device = model_device;
    if (!model_open(&run, path(), NULL, NULL)) return;
    vkssm_device_destroy(&device);
    CHECK(device == model_device);
    CHECK_CONTAINS(vkssm_last_error(), "device: destroyed while 1 models");
    vkssm_model *model = run.model;
    vkssm_model_destroy(&model);
    CHECK(model == run.model);
    CHECK_CONTAINS(vkssm_last_error(), "model: destroyed while 1 sessions");
    model_close(&run);
    vkssm_session_destroy(&run.session); // of nothing: fine
    vkssm_session_destroy(NULL);
    vkssm_model_destroy(&run.model);
    vkssm_model_destroy(NULL);
}

// The size that is told beforehand grows with slots and pieces and is about what the parts need.
CHECK_CASE(memory_size) {
    vkssm_model *model;
    vkssm_model_info info;
    uint64_t one = 0, usual = 0, many = 0, small = 0;
    CHECK_OK(vkssm_model_load(model_device, path(), NULL, &model));
    if (!model) return;
    vkssm_model_get_info(model, &info);
    CHECK_OK(vkssm_session_memory_size(model, NULL, &usual));
    CHECK_OK(vkssm_session_memory_size(model, &(vkssm_session_params){.n_slot = 1}, &one));
    CHECK_OK(vkssm_session_memory_size(model, &(vkssm_session_params){.n_slot = 101}, &many));
    CHECK_OK(vkssm_session_memory_size(model, &(vkssm_session_params){.piece_size = 1}, &small));
    CHECK_EQ(usual, one);
    CHECK(one > info.state_size && small < one && small > info.state_size);
    CHECK(many - one >= 100 * (info.state_size + N_VOCAB * sizeof(float)));
    vkssm_model_destroy(&model);
}

// GPU time by scope where the device measures it.
CHECK_CASE(scopes) {
    model_run run;
    vkssm_scope scope;
    vkssm_device_info info;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 2, .timestamps = true})) return;
    int32_t *tokens = model_tokens(24, 70, N_VOCAB);
    CHECK_REFUSED(vkssm_session_get_scope(run.session, 0, &scope), VKSSM_ERR_ARG, "scope");
    free(model_prefill(&run, 0, tokens, 70));
    free(model_steps(&run, 0, tokens, 2));
    CHECK_OK(vkssm_session_generate(run.session, 0, &(vkssm_generate_params){.n_token = 3}, NULL, NULL));
    vkssm_device_get_info(model_device, &info);
    uint32_t n = 0;
    uint64_t n_ssd = 0;
    for (; vkssm_session_get_scope(run.session, n, &scope) == VKSSM_OK; n++)
        if (strcmp(scope.name, "ssd") == 0) n_ssd = scope.n_call;
    if (info.features & VKSSM_FEATURE_TIMESTAMPS)
        CHECK_EQ(n_ssd, 3 * (1 + 2 + 2)); // three layers; a piece, two steps, two steps of the generation
    else
        CHECK_EQ(n, 0);
    free(tokens);
    model_close(&run);
}

int main(int argc, char **argv) {
    return model_main(argc, argv,
                      (check_case[]){CHECK_RUN(prefill_equals_steps),
                                     CHECK_RUN(pieces_do_not_matter),
                                     CHECK_RUN(prompts_are_packed),
                                     CHECK_RUN(one_prompt),
                                     CHECK_RUN(last_logits_and_none),
                                     CHECK_RUN(runs_repeat),
                                     CHECK_RUN(devices_repeat),
                                     CHECK_RUN(batches_of_steps),
                                     CHECK_RUN(slots_are_apart),
                                     CHECK_RUN(clones),
                                     CHECK_RUN(seeds),
                                     CHECK_RUN(greedy_by_hand),
                                     CHECK_RUN(generation_goes_on),
                                     CHECK_RUN(generation_ends),
                                     CHECK_RUN(misuse),
                                     CHECK_RUN(absurd_sessions),
                                     CHECK_RUN(order_of_destruction),
                                     CHECK_RUN(memory_size),
                                     CHECK_RUN(scopes),
                                     {0}});
}

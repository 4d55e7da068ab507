// Images of a slot's state: what goes on from one is the same bit for bit, and a damaged or foreign one is refused and
// changes nothing.
#define _XOPEN_SOURCE 700
#include "harness/model_test.h"

enum { N_VOCAB = 96, N_BEFORE = 70, N_AFTER = 80, HEADER_SIZE = 48, VERSION_AT = 8, CHECKSUM_AT = 40 };

static const char *path(void) {
    return model_data("mamba2");
}

// ---- going on -------------------------------------------------------------------------------------------------------

// Everything that a slot does after it has read tokens.
typedef struct future {
    int32_t generated[20];
    float *prefill, *steps; // [N_AFTER, V], [5, V]
    uint64_t position;
    uint8_t *image;
} future;

static future future_of(const model_run *run, uint32_t slot, const int32_t *tokens) {
    future f = {0};
    const vkssm_generate_params params = {.n_token = 20, .sampling = {.temperature = 1, .seed = 6}};
    CHECK_OK(vkssm_session_generate(run->session, slot, &params, f.generated, NULL));
    f.prefill = model_prefill(run, slot, tokens, N_AFTER);
    f.steps = model_steps(run, slot, tokens, 5);
    CHECK_OK(vkssm_session_get_position(run->session, slot, &f.position));
    f.image = model_save(run, slot);
    return f;
}

static void future_free(future *f) {
    free(f->prefill);
    free(f->steps);
    free(f->image);
}

static void check_future(const model_run *run, uint32_t slot, const int32_t *tokens, const future *wanted) {
    future found = future_of(run, slot, tokens);
    CHECK(memcmp(found.generated, wanted->generated, sizeof found.generated) == 0);
    CHECK(memcmp(found.prefill, wanted->prefill, N_AFTER * N_VOCAB * sizeof(float)) == 0);
    CHECK(memcmp(found.steps, wanted->steps, 5 * N_VOCAB * sizeof(float)) == 0);
    CHECK(memcmp(found.image, wanted->image, (size_t)vkssm_session_state_size(run->session)) == 0);
    CHECK_EQ(found.position, wanted->position);
    future_free(&found);
}

CHECK_CASE(goes_on) {
    model_run run, other;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 3})) return;
    int32_t *tokens = model_tokens(31, N_BEFORE + N_AFTER, N_VOCAB), *after = tokens + N_BEFORE;
    uint64_t size = vkssm_session_state_size(run.session);
    free(model_prefill(&run, 0, tokens, N_BEFORE));
    uint8_t *image = model_save(&run, 0), *shifted = model_alloc((size_t)size + 1, 1);
    future wanted = future_of(&run, 0, after);
    CHECK_EQ(wanted.position, N_BEFORE + 19 + N_AFTER + 5);

    CHECK_OK(vkssm_session_state_load(run.session, 0, image, size)); // the same slot
    check_future(&run, 0, after, &wanted);
    CHECK_OK(vkssm_session_state_load(run.session, 2, image, size)); // another
    uint8_t *saved_again = model_save(&run, 2);
    CHECK(memcmp(saved_again, image, (size_t)size) == 0);
    check_future(&run, 2, after, &wanted);
    memcpy(shifted + 1, image, (size_t)size); // images lie at any address
    CHECK_OK(vkssm_session_state_load(run.session, 1, shifted + 1, size));
    CHECK_OK(vkssm_session_state_save(run.session, 1, shifted + 1, size));
    CHECK(memcmp(shifted + 1, image, (size_t)size) == 0);
    check_future(&run, 1, after, &wanted);
    // Another session, as large, on the same model, loaded anew.
    if (!model_open(&other, path(), NULL, &(vkssm_session_params){.n_slot = 3})) return;
    CHECK_EQ(vkssm_session_state_size(other.session), size);
    CHECK_OK(vkssm_session_state_load(other.session, 0, image, size));
    check_future(&other, 0, after, &wanted);
    model_close(&other);

    future_free(&wanted);
    free(saved_again);
    free(shifted);
    free(image);
    free(tokens);
    model_close(&run);
}

// Saving changes nothing, at whatever point.
CHECK_CASE(saved_between_any_tokens) {
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 2})) return;
    int32_t *tokens = model_tokens(32, 12, N_VOCAB);
    uint64_t size = vkssm_session_state_size(run.session);
    float *whole = model_steps(&run, 0, tokens, 12);
    for (uint32_t i = 0, slot = 1; i < 12; i++) {
        float logits[N_VOCAB];
        CHECK_OK(vkssm_session_step(run.session, 1, &slot, &tokens[i], logits));
        CHECK(memcmp(logits, whole + i * N_VOCAB, sizeof logits) == 0);
        uint8_t *image = model_save(&run, slot);
        CHECK_OK(vkssm_session_reset(run.session, slot));
        CHECK_OK(vkssm_session_state_load(run.session, slot, image, size));
        free(image);
    }
    free(whole);
    free(tokens);
    model_close(&run);
}

// An empty slot has an image too; what it is loaded into is empty then.
CHECK_CASE(empty_slot) {
    model_run run;
    if (!model_open(&run, path(), NULL, &(vkssm_session_params){.n_slot = 2})) return;
    int32_t *tokens = model_tokens(33, 30, N_VOCAB);
    uint64_t size = vkssm_session_state_size(run.session), position = 1;
    uint8_t *image = model_save(&run, 1);
    float *wanted = model_prefill(&run, 0, tokens, 30);
    CHECK_OK(vkssm_session_state_load(run.session, 0, image, size));
    CHECK_OK(vkssm_session_get_position(run.session, 0, &position));
    CHECK_EQ(position, 0);
    CHECK_REFUSED(vkssm_session_generate(run.session, 0, &(vkssm_generate_params){.n_token = 1}, NULL, NULL),
                  VKSSM_ERR_STATE, "slot 0 has read no token");
    float *found = model_prefill(&run, 0, tokens, 30);
    CHECK(memcmp(found, wanted, 30 * N_VOCAB * sizeof *found) == 0);
    free(image);
    free(found);
    free(wanted);
    free(tokens);
    model_close(&run);
}

// ---- refused --------------------------------------------------------------------------------------------------------

// A slot that has read something, its image, and room for a damaged copy.
typedef struct refusal {
    model_run run;
    uint8_t *image;
    size_t size;
} refusal;

static bool refusal_begin(refusal *r) {
    if (!model_open(&r->run, path(), NULL, NULL)) return false;
    int32_t *tokens = model_tokens(34, N_BEFORE, N_VOCAB);
    free(model_prefill(&r->run, 0, tokens, N_BEFORE));
    free(tokens);
    r->size = (size_t)vkssm_session_state_size(r->run.session);
    CHECK_EQ(r->size, HEADER_SIZE + r->run.info.state_size + N_VOCAB * sizeof(float));
    r->image = model_save(&r->run, 0);
    free(model_steps(&r->run, 0, (int32_t[]){1, 2, 3}, 3)); // so that loading the image would show
    return true;
}

static void refusal_end(refusal *r) {
    free(r->image);
    model_close(&r->run);
}

static void refuse(const refusal *r, const void *image, size_t size, const char *part) {
    CHECK_REFUSED(vkssm_session_state_load(r->run.session, 0, image, size), VKSSM_ERR_FORMAT, part);
}

static void check_unchanged(const refusal *r, const uint8_t *before) {
    uint64_t position = 0;
    uint8_t *after = model_save(&r->run, 0);
    CHECK(memcmp(before, after, r->size) == 0);
    CHECK_OK(vkssm_session_get_position(r->run.session, 0, &position));
    CHECK_EQ(position, N_BEFORE + 3);
    free(after);
}

// In blocks of just that size, so that the address sanitizer sees the first byte read beyond.
static void refuse_size(const refusal *r, size_t size) {
    uint8_t *copy = model_alloc(size, 1);
    memcpy(copy, r->image, size < r->size ? size : r->size);
    refuse(r, copy, size, size < HEADER_SIZE ? "state: at least 48 bytes expected" : "bytes expected");
    free(copy);
}

CHECK_CASE(truncated) {
    refusal r;
    if (!refusal_begin(&r)) return;
    uint8_t *before = model_save(&r.run, 0);
    for (size_t size = 0; size < 2 * HEADER_SIZE; size++)
        refuse_size(&r, size);
    for (size_t size = 2 * HEADER_SIZE; size < r.size; size += 997)
        refuse_size(&r, size);
    for (size_t size = r.size - 8; size < r.size + 8; size++)
        if (size != r.size) refuse_size(&r, size);
    refuse_size(&r, 2 * r.size);
    check_unchanged(&r, before);
    free(before);
    refusal_end(&r);
}

CHECK_CASE(flipped) {
    refusal r;
    if (!refusal_begin(&r)) return;
    uint8_t *before = model_save(&r.run, 0), *copy = model_alloc(r.size, 1);
    memcpy(copy, r.image, r.size);
    for (size_t i = 0; i < r.size; i += i < HEADER_SIZE || i + 16 > r.size ? 1 : 331)
        for (int bit = 0; bit < 8; bit += i < HEADER_SIZE ? 1 : 3) {
            copy[i] ^= (uint8_t)(1 << bit);
            refuse(&r, copy, r.size, "state: ");
            copy[i] ^= (uint8_t)(1 << bit);
        }
    check_unchanged(&r, before);
    CHECK_OK(vkssm_session_state_load(r.run.session, 0, copy, r.size)); // restored: the image again
    free(copy);
    free(before);
    refusal_end(&r);
}

// FNV-1a of all bytes but the checksum's own.
static void sign(uint8_t *image, size_t size) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        if (i < CHECKSUM_AT || i >= HEADER_SIZE) hash = (hash ^ image[i]) * 0x100000001b3u;
    memcpy(image + CHECKSUM_AT, &hash, sizeof hash);
}

// What the checksum does not catch, because it is right.
CHECK_CASE(wrong_but_signed) {
    refusal r;
    if (!refusal_begin(&r)) return;
    uint8_t *before = model_save(&r.run, 0), *copy = model_alloc(r.size, 1);
    static const struct {
        size_t at;
        const char *part;
    } wrong[] = {{0, "a state image expected"},
                 {VERSION_AT, "version 1 expected, 3 found"},
                 {12, "corrupt"}, // has_logits is 0 or 1
                 {16, "another's found"},
                 {24, "bytes expected"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memcpy(copy, r.image, r.size);
        copy[wrong[i].at] ^= 2;
        sign(copy, r.size);
        refuse(&r, copy, r.size, wrong[i].part);
    }
    check_unchanged(&r, before);
    memcpy(copy, r.image, r.size);
    sign(copy, r.size);
    CHECK(memcmp(copy, r.image, r.size) == 0); // the signature here is the library's
    free(copy);
    free(before);
    refusal_end(&r);
}

// The image of a model of other shapes, in both directions.
CHECK_CASE(foreign) {
    refusal r;
    model_run other;
    if (!refusal_begin(&r) || !model_open(&other, model_data("mamba2_g4"), NULL, NULL)) return;
    uint8_t *before = model_save(&r.run, 0), *image = model_save(&other, 0);
    refuse(&r, image, (size_t)vkssm_session_state_size(other.session), "another's found");
    CHECK_REFUSED(vkssm_session_state_load(other.session, 0, r.image, r.size), VKSSM_ERR_FORMAT, "another's found");
    check_unchanged(&r, before);
    free(image);
    free(before);
    model_close(&other);
    refusal_end(&r);
}

CHECK_CASE(no_room) {
    refusal r;
    if (!refusal_begin(&r)) return;
    uint8_t *copy = model_alloc(r.size - 1, 1);
    CHECK_REFUSED(vkssm_session_state_save(r.run.session, 0, copy, r.size - 1), VKSSM_ERR_ARG, "state: room for");
    CHECK_REFUSED(vkssm_session_state_save(r.run.session, 0, copy, 0), VKSSM_ERR_ARG, "state: room for");
    CHECK_EQ(copy[0], 0); // nothing was written
    free(copy);
    refusal_end(&r);
}

int main(int argc, char **argv) {
    return model_main(argc, argv,
                      (check_case[]){CHECK_RUN(goes_on),
                                     CHECK_RUN(saved_between_any_tokens),
                                     CHECK_RUN(empty_slot),
                                     CHECK_RUN(truncated),
                                     CHECK_RUN(flipped),
                                     CHECK_RUN(wrong_but_signed),
                                     CHECK_RUN(foreign),
                                     CHECK_RUN(no_room),
                                     {0}});
}

// sample against its twin: tokens, control words, ring; frequencies against probabilities.
#include "op_test.h"

#include <math.h>

#include "shaders/params/sample.h"

typedef enum logit_kind { SPREAD, TIES, MASKED, EQUAL } logit_kind;

typedef struct sample_case {
    uint32_t n_sequence, n_vocab;
    logit_kind kind;
    float temperature; // 0: greedy
    uint32_t top_k;
    float top_p;
    bool slots;
    uint32_t n_step, ring_size;
    float min_p, repetition, presence; // repetition 0: no penalties, no biases
} sample_case;

// Workgroups are one subgroup or 256 invocations wide (a CPU changes over at some thousands); each invocation owns a
// segment of the vocabulary.
static const sample_case cases[] = {
    {1, 2, SPREAD, 0, 0, 1, false, 1, 1, 0, 0, 0},
    {3, 5, TIES, 0, 3, 0.5f, true, 3, 2, 0, 0, 0},
    {2, 64, TIES, 0, 0, 1, false, 5, 4, 0, 0, 0},
    {2, 257, EQUAL, 0, 0, 1, true, 2, 4, 0, 0, 0},
    {2, 4096, TIES, 0, 0, 1, false, 1, 8, 0, 0, 0},
    {1, 50280, SPREAD, 0, 0, 1, false, 2, 2, 0, 0, 0},
    {1, 50280, TIES, 0, 0, 1, false, 1, 1, 0, 0, 0},
    {4, 2, SPREAD, 1, 0, 1, true, 4, 3, 0, 0, 0},
    {4, 5, SPREAD, 0.7f, 2, 1, false, 6, 4, 0, 0, 0},
    {3, 5, TIES, 1, 2, 1, true, 8, 3, 0, 0, 0},
    {2, 5, MASKED, 1.5f, 0, 1, false, 8, 16, 0, 0, 0},
    {4, 64, SPREAD, 1, 0, 0.9f, true, 8, 5, 0, 0, 0},
    {2, 64, EQUAL, 1, 1, 0.1f, false, 8, 8, 0, 0, 0},
    {3, 64, SPREAD, 0.8f, 40, 0.5f, false, 8, 8, 0, 0, 0},
    {2, 64, TIES, 0.5f, 10, 0.8f, true, 8, 4, 0, 0, 0},
    {2, 64, SPREAD, 1, 64, 1, false, 4, 4, 0, 0, 0},
    {2, 64, SPREAD, 2, 1, 1, false, 4, 4, 0, 0, 0},
    {2, 63, SPREAD, 1, 1000, 1e-6f, true, 4, 4, 0, 0, 0},
    {2, 4096, SPREAD, 1, 0, 1, false, 8, 8, 0, 0, 0},
    {2, 4096, SPREAD, 0.3f, 50, 0.95f, true, 8, 8, 0, 0, 0},
    {1, 4096, MASKED, 1, 0, 0.99f, false, 8, 8, 0, 0, 0},
    {1, 50280, SPREAD, 1, 0, 1, false, 8, 8, 0, 0, 0},
    {1, 50280, SPREAD, 0.7f, 50, 1, true, 8, 8, 0, 0, 0},
    {1, 50280, SPREAD, 1, 0, 0.9f, false, 8, 8, 0, 0, 0},
    {1, 50280, TIES, 1.2f, 40, 0.95f, false, 8, 8, 0, 0, 0},
    {1, 131072, SPREAD, 1, 100, 0.95f, false, 2, 2, 0, 0, 0},
    {2, 300, SPREAD, 0.01f, 0, 1, false, 2, 2, 0, 0, 0},
    {2, 63, SPREAD, 1e-39f, 0, 1, false, 2, 2, 0, 0, 0},
    {2, 64, SPREAD, 1, 0, 1, true, 4, 4, 0.1f, 0, 0},
    {2, 257, TIES, 0.8f, 50, 0.9f, false, 4, 4, 0.05f, 0, 0},
    {1, 50280, SPREAD, 1.5f, 0, 1, true, 4, 4, 0.02f, 0, 0},
    {2, 64, SPREAD, 0, 0, 1, true, 8, 8, 0, 1.5f, 0.5f},
    {3, 5, TIES, 0, 0, 1, false, 8, 8, 0, 1, 2},
    {2, 4097, SPREAD, 0, 0, 1, false, 4, 4, 0, 2, -1},
    {2, 300, SPREAD, 0.7f, 40, 0.9f, true, 6, 6, 0.01f, 1.3f, 0.25f},
};

// The device adds up to 50280 exponentials in float32, in segments, with roundings of either sign: its cumulative
// probabilities are off by about 1e-6. A draw or a cut that the twin finds closer to a boundary than this may go either
// way.
static const double margin = 1e-5;
// As it is ten times the error expected, few of those do: none on the devices tried, at most this part of all draws.
static const double may_differ = 0.02;

static const uint64_t seed_of_slot = 0x9e3779b97f4a7c15u;

static float *make_logits(const sample_case *c, uint64_t *seed) {
    size_t n = (size_t)c->n_sequence * c->n_vocab;
    float *logits = gpu_alloc(n, sizeof *logits);
    for (size_t i = 0; i < n; i++) {
        // A sum of three is peaked as logits are: few probable tokens, many improbable ones.
        float value = check_uniform(seed, -4, 4) + check_uniform(seed, -4, 4) + check_uniform(seed, -4, 4);
        if (c->kind == TIES) value = floorf(value / 2); // a dozen values
        if (c->kind == EQUAL) value = -0.75f;
        if (c->kind == MASKED && check_random(seed) % 3) value = -INFINITY;
        logits[i] = value;
    }
    for (uint32_t s = 0; c->kind == MASKED && s < c->n_sequence; s++)
        logits[(size_t)s * c->n_vocab + check_random(seed) % c->n_vocab] = 1; // at least one is finite
    return logits;
}

static int32_t float_word(float value) {
    int32_t word;
    memcpy(&word, &value, 4);
    return word;
}

// Control words of a slot that has sampled `count` tokens.
static void set_controls(int32_t *words, const sample_case *c, uint64_t seed, uint32_t position, uint32_t count) {
    words[VKS_CONTROL_TOKEN] = -7;
    words[VKS_CONTROL_COUNT] = (int32_t)count;
    words[VKS_CONTROL_TEMPERATURE] = float_word(c->temperature);
    words[VKS_CONTROL_TOP_K] = (int32_t)c->top_k;
    words[VKS_CONTROL_TOP_P] = float_word(c->top_p);
    words[VKS_CONTROL_SEED_LOW] = (int32_t)(uint32_t)seed;
    words[VKS_CONTROL_SEED_HIGH] = (int32_t)(uint32_t)(seed >> 32);
    words[VKS_CONTROL_POSITION] = (int32_t)position;
    words[VKS_CONTROL_MIN_P] = float_word(c->min_p);
    words[VKS_CONTROL_REPETITION] = float_word(c->repetition);
    words[VKS_CONTROL_PRESENCE] = float_word(c->presence);
    words[VKS_CONTROL_FLAGS] = c->repetition > 0 ? VKS_CONTROL_ADJUST : 0;
}

typedef struct job {
    char label[96];
    const sample_case *c;
    uint32_t n_slot;
    int32_t slots[8];
    float *logits;
    int32_t *controls, *ring; // before
    float *adjust;            // [n_slot, 2, V] before, or NULL
    vks_tensor control_words, ring_words, scores, kept;
} job;

// Biases, and which tokens were seen: some of each, and one token that must not be chosen.
static float *make_adjust(const sample_case *c, uint32_t n_slot, uint64_t *seed) {
    float *adjust = gpu_alloc((size_t)n_slot * 2 * c->n_vocab, sizeof *adjust);
    const uint32_t one = 1;
    for (size_t i = 0; i < (size_t)n_slot * 2 * c->n_vocab; i++) {
        bool is_seen = i / c->n_vocab % 2, is_set = check_random(seed) % 4 == 0;
        if (is_seen && is_set) memcpy(&adjust[i], &one, sizeof one);
        if (!is_seen && is_set) adjust[i] = (float)(check_random(seed) % 5) - 2;
        if (i % (2 * c->n_vocab) == 1) adjust[i] = -INFINITY;
    }
    return adjust;
}

static vks_tensor place_scratch(gpu *g, uint32_t n_sequence, uint32_t n_vocab) {
    uint32_t n = (uint32_t)vks_sample_scratch_size(n_sequence, n_vocab);
    return gpu_reshape(gpu_rows(g, GPU_OUT, VKSSM_DTYPE_F32, 1, n, 0, NULL), 0, GPU_SHAPE(n));
}

static void record(gpu *g, const sample_case *c, uint64_t seed, job *j) {
    *j = (job){.c = c, .n_slot = c->n_sequence + 1};
    snprintf(j->label, sizeof j->label, "b%u v%u kind %d temperature %g top_k %u top_p %g", c->n_sequence, c->n_vocab,
             c->kind, (double)c->temperature, c->top_k, (double)c->top_p);
    g->label = j->label;
    uint64_t pad = seed % 3;
    j->logits = make_logits(c, &seed);
    j->controls = gpu_alloc((size_t)j->n_slot * VKS_CONTROL_SIZE, sizeof *j->controls);
    j->ring = gpu_alloc((size_t)j->n_slot * c->ring_size, sizeof *j->ring);
    for (uint32_t s = 0; s < j->n_slot; s++) // positions that wrap around too
        set_controls(j->controls + s * VKS_CONTROL_SIZE, c, seed_of_slot * (s + 1), s % 2 ? 0xfffffffeu : 100 * s, s);
    for (uint32_t i = 0; i < j->n_slot * c->ring_size; i++)
        j->ring[i] = -100 - (int32_t)i;
    for (uint32_t s = 0; s < c->n_sequence; s++)
        j->slots[s] = (int32_t)(c->slots ? c->n_sequence - s : s);
    j->control_words = gpu_words(g, GPU_IN_OUT, j->n_slot, VKS_CONTROL_SIZE, 0, j->controls);
    j->ring_words = gpu_words(g, GPU_IN_OUT, j->n_slot, c->ring_size, 0, j->ring);
    vks_sample op = {
        .logits = gpu_rows(g, c->repetition > 0 ? GPU_IN_OUT : GPU_IN, VKSSM_DTYPE_F32, c->n_sequence, c->n_vocab,
                           c->n_vocab + pad, j->logits),
        .slots = c->slots ? gpu_word_vector(g, j->slots, c->n_sequence) : (vks_tensor){0},
        .controls = j->control_words,
        .ring = j->ring_words,
    };
    op.scratch = place_scratch(g, c->n_sequence, c->n_vocab);
    float *zeros = gpu_alloc((size_t)j->n_slot * (c->ring_size + c->n_vocab), sizeof *zeros);
    j->scores = op.scores = gpu_rows(g, GPU_IN_OUT, VKSSM_DTYPE_F32, j->n_slot, c->ring_size, 0, zeros);
    if (c->repetition > 0) {
        j->adjust = make_adjust(c, j->n_slot, &seed);
        j->kept = op.kept = gpu_rows(g, GPU_IN_OUT, VKSSM_DTYPE_F32, j->n_slot, c->n_vocab, 0, zeros);
        // As words: what says "seen" is a subnormal float.
        vks_tensor words =
            gpu_words(g, GPU_IN_OUT, j->n_slot * 2, c->n_vocab, 0, (const int32_t *)(const void *)j->adjust);
        words.dtype = VKSSM_DTYPE_F32;
        op.adjust = gpu_reshape(words, 2, GPU_SHAPE(j->n_slot, 2, c->n_vocab));
    }
    vks_free(zeros);
    // In place: every step has logits of its own.
    for (uint32_t step = 0; step < c->n_step; step++) {
        if (step > 0 && c->repetition > 0)
            op.logits = gpu_rows(g, GPU_IN_OUT, VKSSM_DTYPE_F32, c->n_sequence, c->n_vocab, c->n_vocab, j->logits);
        CHECK_OK(vks_op_sample(&g->target, &op));
    }
}

// How many tokens differ from the twin's where they may, by the ring and the control words; fails for all others.
static int check_sequence(const gpu *g, const job *j, uint32_t s, int32_t *words, const int32_t *ring,
                          const double *scores) {
    const sample_case *c = j->c;
    int32_t wanted[VKS_CONTROL_SIZE], slot = j->slots[s];
    memcpy(wanted, j->controls + slot * VKS_CONTROL_SIZE, sizeof wanted);
    int n_differ = 0;
    bool *seen = gpu_alloc(c->n_vocab, sizeof *seen);
    const float *bias = j->adjust ? j->adjust + (size_t)slot * 2 * c->n_vocab : NULL;
    for (uint32_t i = 0; bias && i < c->n_vocab; i++)
        seen[i] = bias[c->n_vocab + i] != 0;
    for (uint32_t step = 0; step < c->n_step; step++) {
        ref_sample_args twin = {
            .n_vocab = c->n_vocab,
            .logits = j->logits + (size_t)s * c->n_vocab,
            .temperature = c->temperature,
            .top_k = c->top_k,
            .top_p = c->top_p,
            .min_p = c->min_p,
            .repetition = c->repetition,
            .presence = c->presence,
            .seen = bias ? seen : NULL,
            .bias = bias,
            .seed = seed_of_slot * ((uint64_t)slot + 1),
            .position = (uint32_t)wanted[VKS_CONTROL_POSITION] + (uint32_t)wanted[VKS_CONTROL_COUNT],
        };
        uint32_t count = (uint32_t)wanted[VKS_CONTROL_COUNT]++;
        if (c->n_step - step > c->ring_size) continue; // overwritten
        int32_t found = ring[(uint32_t)slot * c->ring_size + count % c->ring_size];
        ref_sample(&twin);
        CHECK(found >= 0 && (uint32_t)found < c->n_vocab);
        if (found != twin.token && twin.margin > margin)
            CHECK_FAIL("%s: sequence %u step %u: token %d, the twin's is %d (margin %g)", j->label, s, step, (int)found,
                       (int)twin.token, twin.margin);
        n_differ += found != twin.token;
        wanted[VKS_CONTROL_TOKEN] = found;
        if (found >= 0 && (uint32_t)found < c->n_vocab) seen[found] = true;
        // exp and log of numbers of this size are off by some 1e-6, and so is a sum of 50280 terms.
        double score = scores[(uint32_t)slot * c->ring_size + count % c->ring_size];
        if (found == twin.token && !(fabs(score - twin.score) <= 1e-5 * (1 + fabs(twin.score))))
            CHECK_FAIL("%s: sequence %u step %u: ln p %.8g, the twin's is %.8g", j->label, s, step, score, twin.score);
    }
    vks_free(seen);
    if (j->adjust) {
        double *kept = gpu_alloc((size_t)j->n_slot * c->n_vocab, sizeof *kept);
        gpu_read(g, &j->kept, kept);
        for (uint32_t i = 0; i < c->n_vocab; i++)
            CHECK(kept[(size_t)slot * c->n_vocab + i] == j->logits[(size_t)s * c->n_vocab + i]);
        vks_free(kept);
    }
    CHECK(memcmp(words + slot * VKS_CONTROL_SIZE, wanted, sizeof wanted) == 0);
    memcpy(words + slot * VKS_CONTROL_SIZE, j->controls + slot * VKS_CONTROL_SIZE, sizeof wanted); // done with it
    return n_differ;
}

static int check_job(const gpu *g, const job *j) {
    size_t n_word = (size_t)j->n_slot * VKS_CONTROL_SIZE, n_ring = (size_t)j->n_slot * j->c->ring_size;
    int32_t *words = gpu_alloc(n_word, sizeof *words), *ring = gpu_alloc(n_ring, sizeof *ring);
    gpu_read_words(g, &j->control_words, words);
    gpu_read_words(g, &j->ring_words, ring);
    double *scores = gpu_alloc(n_ring, sizeof *scores);
    gpu_read(g, &j->scores, scores);
    int n_differ = 0;
    for (uint32_t s = 0; s < j->c->n_sequence; s++)
        n_differ += check_sequence(g, j, s, words, ring, scores);
    CHECK(memcmp(words, j->controls, n_word * sizeof *words) == 0); // slots of nobody are as they were
    int n_changed = 0;
    for (size_t i = 0; i < n_ring; i++)
        n_changed += ring[i] != j->ring[i];
    uint32_t n_step = j->c->n_step < j->c->ring_size ? j->c->n_step : j->c->ring_size;
    CHECK_EQ(n_changed, n_step * j->c->n_sequence);
    vks_free(words);
    vks_free(ring);
    vks_free(scores);
    return n_differ;
}

static void free_job(job *j) {
    vks_free(j->logits);
    vks_free(j->adjust);
    vks_free(j->controls);
    vks_free(j->ring);
}

static void run_cases(gpu *g) {
    job jobs[VKS_COUNT(cases)];
    int n_differ = 0, n_draw = 0;
    gpu_begin(g);
    for (size_t i = 0; i < VKS_COUNT(cases); i++)
        record(g, &cases[i], i, &jobs[i]);
    CHECK(gpu_run(g));
    for (size_t i = 0; i < VKS_COUNT(cases); i++) {
        n_differ += check_job(g, &jobs[i]);
        if (cases[i].temperature > 0) n_draw += (int)(cases[i].n_sequence * cases[i].n_step);
        free_job(&jobs[i]);
    }
    if (gpu_verbose() || n_differ) printf("  %d of %d draws at a boundary went the other way\n", n_differ, n_draw);
    CHECK(n_differ <= may_differ * n_draw);
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
CHECK_CASE(variants) {
    run_variants("sample", run_cases);
}
CHECK_CASE(masked) {
    run_masked(run_cases);
}

// A vocabulary that takes the largest workgroups of a CPU, or is refused where they are too small.
CHECK_CASE(large_vocabulary) {
    static const sample_case c = {1, 300000, SPREAD, 1, 100, 0.95f, false, 2, 2, 0, 0, 0};
    gpu *g = gpu_open(0);
    if (g->caps->type == VKS_DEVICE_CPU && g->caps->max_workgroup_invocations < 512) {
        vks_op_target target = {.kernels = g->target.kernels};
        const vks_sample op = {
            .logits = vks_tensor_dense(4096, VKSSM_DTYPE_F32, GPU_SHAPE(1, c.n_vocab)),
            .controls = vks_tensor_dense(4096, VKSSM_DTYPE_I32, GPU_SHAPE(1, VKS_CONTROL_SIZE)),
            .ring = vks_tensor_dense(4096, VKSSM_DTYPE_I32, GPU_SHAPE(1, 1)),
            .scratch = vks_tensor_dense(4096, VKSSM_DTYPE_F32, GPU_SHAPE(1024)),
        };
        CHECK_EQ(vks_op_sample(&target, &op), VKSSM_ERR_UNSUPPORTED);
        CHECK_CONTAINS(vkssm_last_error(), "logits expected on this CPU, 300000 found");
        return;
    }
    job j;
    gpu_begin(g);
    record(g, &c, 3, &j);
    CHECK(gpu_run(g));
    CHECK(check_job(g, &j) == 0); // cut to 100 probable tokens: no draw of these is near a boundary
    free_job(&j);
}

// A sequence gives up its place at a stop token, or when it has as many tokens as it may; a parked one is left alone.
CHECK_CASE(ends) {
    enum { V = 40, N = 4, STEPS = 3, PARKED = 4 };
    gpu *g = gpu_open(0);
    uint64_t seed = 21;
    static const sample_case c = {.temperature = 0, .top_p = 1};
    float *logits = gpu_random(&seed, N * V, -1, 1);
    int32_t controls[(N + 1) * VKS_CONTROL_SIZE] = {0}, slots[N] = {2, 0, PARKED, 3}, found[N], tokens[(N + 1) * STEPS];
    for (int s = 0; s <= N; s++) {
        int32_t *words = controls + s * VKS_CONTROL_SIZE;
        set_controls(words, &c, 1, 0, 0);
        words[VKS_CONTROL_PARK] = PARKED;
    }
    logits[0 * V + 7] = logits[1 * V + 8] = logits[3 * V + 9] = 5; // of slots 2, 0, 3
    int32_t *stopping = controls + 2 * VKS_CONTROL_SIZE;
    stopping[VKS_CONTROL_N_STOP] = 3;
    stopping[VKS_CONTROL_STOP] = 1, stopping[VKS_CONTROL_STOP + 1] = 2, stopping[VKS_CONTROL_STOP + 2] = 7;
    controls[0 * VKS_CONTROL_SIZE + VKS_CONTROL_LIMIT] = 2;
    controls[PARKED * VKS_CONTROL_SIZE + VKS_CONTROL_FLAGS] = VKS_CONTROL_PARKED;
    gpu_begin(g);
    g->label = "ends";
    vks_sample op = {
        .logits = gpu_rows(g, GPU_IN, VKSSM_DTYPE_F32, N, V, 0, logits),
        .slots = gpu_reshape(gpu_words(g, GPU_IN_OUT, 1, N, 0, slots), 0, GPU_SHAPE(N)),
        .controls = gpu_words(g, GPU_IN_OUT, N + 1, VKS_CONTROL_SIZE, 0, controls),
        .ring = gpu_words(g, GPU_OUT, N + 1, STEPS, 0, NULL),
        .scratch = place_scratch(g, N, V),
    };
    for (int step = 0; step < STEPS; step++)
        CHECK_OK(vks_op_sample(&g->target, &op));
    CHECK(gpu_run(g));
    gpu_read_words(g, &op.slots, found);
    gpu_read_words(g, &op.ring, tokens);
    CHECK(found[0] == PARKED && found[1] == PARKED && found[2] == PARKED && found[3] == 3);
    const int32_t poison = (int32_t)GPU_POISON, wanted[N + 1][STEPS] = {{8, 8, poison},
                                                                        {poison, poison, poison},
                                                                        {7, poison, poison},
                                                                        {9, 9, 9},
                                                                        {poison, poison, poison}};
    CHECK(memcmp(tokens, wanted, sizeof wanted) == 0);
    vks_free(logits);
}

// Known answers published with the generator (Random123, kat_vectors).
CHECK_CASE(philox) {
    const uint32_t zero[4] = {0}, ones[4] = {0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu};
    const uint32_t after_zero[4] = {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u};
    const uint32_t after_ones[4] = {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu};
    uint32_t out[4];
    ref_philox4x32(zero, zero, out);
    CHECK(memcmp(out, after_zero, sizeof out) == 0);
    ref_philox4x32(ones, ones, out);
    CHECK(memcmp(out, after_ones, sizeof out) == 0);
}

// ---- frequencies ----------------------------------------------------------------------------------------------------

enum { DRAWS = 2048, FREQUENCY_VOCAB = 64 };

// One draw at each of DRAWS positions, from the same logits.
static vks_tensor record_draws(gpu *g, const sample_case *c, const float *row, uint64_t seed) {
    float *logits = gpu_alloc((size_t)DRAWS * FREQUENCY_VOCAB, sizeof *logits);
    int32_t *controls = gpu_alloc((size_t)DRAWS * VKS_CONTROL_SIZE, sizeof *controls);
    for (uint32_t i = 0; i < DRAWS; i++) {
        memcpy(logits + (size_t)i * FREQUENCY_VOCAB, row, FREQUENCY_VOCAB * sizeof *row);
        set_controls(controls + i * VKS_CONTROL_SIZE, c, seed, i, 0);
    }
    vks_sample op = {
        .logits = gpu_rows(g, GPU_IN, VKSSM_DTYPE_F32, DRAWS, FREQUENCY_VOCAB, 0, logits),
        .controls = gpu_words(g, GPU_IN_OUT, DRAWS, VKS_CONTROL_SIZE, 0, controls),
        .ring = gpu_words(g, GPU_OUT, DRAWS, 1, 0, NULL),
        .scratch = place_scratch(g, DRAWS, FREQUENCY_VOCAB),
    };
    CHECK_OK(vks_op_sample(&g->target, &op));
    vks_free(logits);
    vks_free(controls);
    return op.ring;
}

// Chi-square of the counts, which is above the bound once in a million seeds (Wilson and Hilferty 1931: its cube root
// is nearly normal; 4.753 deviations).
static void check_frequencies(const char *label, const int32_t *tokens, const double *probability) {
    double counts[FREQUENCY_VOCAB] = {0}, chi_square = 0;
    int freedom = -1;
    for (int i = 0; i < DRAWS; i++) {
        CHECK(tokens[i] >= 0 && tokens[i] < FREQUENCY_VOCAB);
        if (tokens[i] >= 0 && tokens[i] < FREQUENCY_VOCAB) counts[tokens[i]]++;
    }
    for (int id = 0; id < FREQUENCY_VOCAB; id++) {
        double expected = probability[id] * DRAWS;
        if (expected == 0) {
            CHECK_EQ(counts[id], 0); // cut off by top_k or top_p
            continue;
        }
        CHECK(expected >= 5); // else the statistic is none
        chi_square += (counts[id] - expected) * (counts[id] - expected) / expected;
        freedom++;
    }
    double spread = 2.0 / (9 * freedom), root = 1 - spread + 4.753 * sqrt(spread), bound = freedom * root * root * root;
    if (gpu_verbose()) printf("  %s: chi-square %.1f of %d, bound %.1f\n", label, chi_square, freedom, bound);
    CHECK(chi_square < bound);
}

CHECK_CASE(frequencies) {
    static const sample_case draws[] = {{.temperature = 1, .top_p = 1},
                                        {.temperature = 0.7f, .top_k = 5, .top_p = 1},
                                        {.temperature = 1.3f, .top_p = 0.6f}};
    gpu *g = gpu_open(0);
    uint64_t seed = 11;
    float *row = gpu_random(&seed, FREQUENCY_VOCAB, -1, 1);
    vks_tensor rings[VKS_COUNT(draws)], again, other;
    gpu_begin(g);
    g->label = "frequencies";
    for (size_t i = 0; i < VKS_COUNT(draws); i++)
        rings[i] = record_draws(g, &draws[i], row, 1234567890123u);
    again = record_draws(g, &draws[0], row, 1234567890123u);
    other = record_draws(g, &draws[0], row, 1234567890123u + ((uint64_t)1 << 32));
    CHECK(gpu_run(g));
    int32_t tokens[DRAWS], first[DRAWS];
    double probability[FREQUENCY_VOCAB];
    for (size_t i = 0; i < VKS_COUNT(draws); i++) {
        ref_sample_args twin = {
            .n_vocab = FREQUENCY_VOCAB,
            .logits = row,
            .temperature = draws[i].temperature,
            .top_k = draws[i].top_k,
            .top_p = draws[i].top_p,
            .probability = probability,
        };
        ref_sample(&twin);
        gpu_read_words(g, &rings[i], tokens);
        if (i == 0) memcpy(first, tokens, sizeof first);
        check_frequencies(i == 0 ? "all" : i == 1 ? "top_k" : "top_p", tokens, probability);
    }
    gpu_read_words(g, &again, tokens);
    CHECK(memcmp(tokens, first, sizeof tokens) == 0);
    // Two independent draws agree with probability sum p^2, which is below 1 in 40 here.
    gpu_read_words(g, &other, tokens);
    int n_same = 0;
    for (int i = 0; i < DRAWS; i++)
        n_same += tokens[i] == first[i];
    CHECK(n_same < DRAWS / 10);
    vks_free(row);
}

// ---- what a broken model may give -----------------------------------------------------------------------------------

// Logits that are no numbers: some token of the vocabulary, and the count goes on.
CHECK_CASE(not_numbers) {
    gpu *g = gpu_open(0);
    enum { V = 300, KINDS = 4, WAYS = 2 };
    const float kinds[KINDS] = {NAN, INFINITY, -INFINITY, NAN};
    float logits[KINDS * V];
    for (int i = 0; i < KINDS * V; i++)
        logits[i] = kinds[i / V];
    for (int i = 3 * V; i < 4 * V; i++) // one NaN among numbers
        if (i != 3 * V + 100) logits[i] = (float)(i % 7);
    vks_tensor controls[WAYS], rings[WAYS];
    gpu_begin(g);
    g->label = "not numbers";
    vks_tensor rows = gpu_rows(g, GPU_IN, VKSSM_DTYPE_F32, KINDS, V, 0, logits);
    for (int way = 0; way < WAYS; way++) {
        const sample_case c = {.temperature = way ? 1 : 0, .top_k = 40, .top_p = 0.9f};
        int32_t words[KINDS * VKS_CONTROL_SIZE] = {0};
        for (int i = 0; i < KINDS; i++)
            set_controls(words + i * VKS_CONTROL_SIZE, &c, 5, 6, 0);
        controls[way] = gpu_words(g, GPU_IN_OUT, KINDS, VKS_CONTROL_SIZE, 0, words);
        rings[way] = gpu_words(g, GPU_OUT, KINDS, 1, 0, NULL);
        CHECK_OK(vks_op_sample(&g->target, &(vks_sample){.logits = rows,
                                                         .controls = controls[way],
                                                         .ring = rings[way],
                                                         .scratch = place_scratch(g, KINDS, V)}));
    }
    CHECK(gpu_run(g));
    for (int way = 0; way < WAYS; way++) {
        int32_t words[KINDS * VKS_CONTROL_SIZE], tokens[KINDS];
        gpu_read_words(g, &controls[way], words);
        gpu_read_words(g, &rings[way], tokens);
        for (int i = 0; i < KINDS; i++) {
            CHECK(tokens[i] >= 0 && tokens[i] < V);
            CHECK_EQ(words[i * VKS_CONTROL_SIZE + VKS_CONTROL_COUNT], 1);
            CHECK_EQ(words[i * VKS_CONTROL_SIZE + VKS_CONTROL_TOKEN], tokens[i]);
        }
    }
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_sample good = {
        .logits = vks_tensor_dense(somewhere, VKSSM_DTYPE_F32, GPU_SHAPE(2, 9)),
        .slots = vks_tensor_dense(somewhere, VKSSM_DTYPE_I32, GPU_SHAPE(2)),
        .controls = vks_tensor_dense(somewhere, VKSSM_DTYPE_I32, GPU_SHAPE(3, VKS_CONTROL_SIZE)),
        .ring = vks_tensor_dense(somewhere, VKSSM_DTYPE_I32, GPU_SHAPE(3, 16)),
        .scratch = vks_tensor_dense(somewhere, VKSSM_DTYPE_F32, GPU_SHAPE(8)),
    };
    CHECK_OK(vks_op_sample(&target, &good));
    vks_sample bad = good;
    bad.logits.dtype = VKSSM_DTYPE_F16;
    CHECK_REFUSED(vks_op_sample(&target, &bad), "sample: logits: F32 expected, F16 found");
    bad = good;
    bad.logits.address = 0;
    CHECK_REFUSED(vks_op_sample(&target, &bad), "sample: logits: shape [2, 9] expected, there is no tensor");
    bad = good;
    bad.slots.shape[0] = 3;
    CHECK_REFUSED(vks_op_sample(&target, &bad), "sample: slots: shape [2] expected, [3] found");
    bad = good;
    bad.slots.dtype = VKSSM_DTYPE_I64;
    CHECK_REFUSED(vks_op_sample(&target, &bad), "sample: slots: I32 expected, I64 found");
    bad = good;
    bad.controls.shape[1] = 7;
    CHECK_REFUSED(vks_op_sample(&target, &bad), "sample: controls: shape [3, 24] expected, [3, 7] found");
    bad = good;
    bad.controls.dtype = VKSSM_DTYPE_F32;
    CHECK_REFUSED(vks_op_sample(&target, &bad), "sample: controls: I32 expected, F32 found");
    bad = good;
    bad.controls.stride[0] = 25;
    CHECK_REFUSED(vks_op_sample(&target, &bad), "sample: controls: a stride of dimension 0 of 24 expected, 25 found");
    bad = good;
    bad.ring.shape[0] = 2;
    CHECK_REFUSED(vks_op_sample(&target, &bad), "sample: ring: shape [3, 16] expected, [2, 16] found");
    bad = good;
    bad.ring.dtype = VKSSM_DTYPE_F32;
    CHECK_REFUSED(vks_op_sample(&target, &bad), "sample: ring: I32 expected, F32 found");
    bad = good;
    bad.scratch.shape[0] = 7;
    CHECK_REFUSED(vks_op_sample(&target, &bad), "sample: scratch: 8 floats expected, 7 found");
    bad = good;
    bad.scores = vks_tensor_dense(somewhere, VKSSM_DTYPE_F32, GPU_SHAPE(3, 15));
    CHECK_REFUSED(vks_op_sample(&target, &bad), "sample: scores: shape [3, 16] expected, [3, 15] found");
    bad = good;
    bad.adjust = vks_tensor_dense(somewhere, VKSSM_DTYPE_F32, GPU_SHAPE(3, 2, 9));
    CHECK_REFUSED(vks_op_sample(&target, &bad), "a place for the logits expected with penalties, none found");
    bad = good;
    bad.logits = vks_tensor_dense(somewhere, VKSSM_DTYPE_F32, GPU_SHAPE(2, 1u << 24));
    CHECK_EQ(vks_op_sample(&target, &bad), VKSSM_ERR_UNSUPPORTED);
    CHECK_CONTAINS(vkssm_last_error(), "sample: fewer than 16777216 logits expected, 16777216 found");
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv,
                    (check_case[]){CHECK_RUN(selected),
                                   CHECK_RUN(variants),
                                   CHECK_RUN(masked),
                                   CHECK_RUN(large_vocabulary),
                                   CHECK_RUN(ends),
                                   CHECK_RUN(philox),
                                   CHECK_RUN(frequencies),
                                   CHECK_RUN(not_numbers),
                                   CHECK_RUN(refuses),
                                   {0}});
}

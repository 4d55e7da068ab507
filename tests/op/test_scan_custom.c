// Scans over host arrays through the public calls: user-defined operators against the same operators in C, one element
// after the other in double precision, and the first-order recurrence.
#include "tests/harness/model_test.h"

#include "host/base/half.h"
#include "tests/ref/ref.h"

// ---- operators -----------------------------------------------------------------------------------------------------

// An element is up to 8 words: floats, or integers as the operator says.
typedef union word {
    float f;
    int32_t i;
    uint32_t u;
} word;
typedef struct number { // of the twin
    double at[8];
} number;

typedef struct scan_operator {
    const char *name, *source;
    uint32_t n_word;
    uint32_t integers; // bits: words that are integers
    number identity;
    number (*combine)(number left, number right);
    void (*fill)(uint64_t *seed, double *at); // a random element
    // Allowed difference, as a part of the largest word of an element (and of 1). Every case has its reason.
    double tolerance;
} scan_operator;

static number combine_maximum(number left, number right) {
    return left.at[0] > right.at[0] ? left : right;
}
static number combine_product(number x, number y) {
    // x y, columns one after the other as in GLSL
    return (number){{y.at[0] * x.at[0] + y.at[1] * x.at[2], y.at[0] * x.at[1] + y.at[1] * x.at[3],
                     y.at[2] * x.at[0] + y.at[3] * x.at[2], y.at[2] * x.at[1] + y.at[3] * x.at[3]}};
}
static number combine_log_sum(number x, number y) {
    double m = fmax(x.at[0], y.at[0]);
    if (m == -INFINITY) return (number){{m, 0}};
    return (number){{m, x.at[1] * exp(x.at[0] - m) + y.at[1] * exp(y.at[0] - m)}};
}
static number combine_decay(number x, number y) {
    if (y.at[2] != 0) return y;
    return (number){{y.at[0] * x.at[0], y.at[0] * x.at[1] + y.at[1], x.at[2]}};
}
static number combine_segmented(number x, number y) {
    if (y.at[1] != 0) return y;
    return (number){{x.at[0] + y.at[0], x.at[1]}};
}

static void fill_maximum(uint64_t *seed, double *at) {
    at[0] = (double)(int32_t)(check_random(seed) % 100000) - 50000;
}
// Rotations with some noise, so that products neither vanish nor explode.
static void fill_product(uint64_t *seed, double *at) {
    double phase = (double)check_uniform(seed, 0, 6.28f), size = (double)check_uniform(seed, 0.97f, 1.03f);
    at[0] = size * cos(phase);
    at[1] = -size * sin(phase) + (double)check_uniform(seed, -0.02f, 0.02f);
    at[2] = size * sin(phase);
    at[3] = size * cos(phase) + (double)check_uniform(seed, -0.02f, 0.02f);
}
static void fill_log_sum(uint64_t *seed, double *at) {
    at[0] = (double)check_uniform(seed, -200, 200);
    at[1] = 1;
}
static void fill_decay(uint64_t *seed, double *at) {
    at[0] = (double)check_uniform(seed, 0.5f, 1);
    at[1] = (double)check_uniform(seed, -1, 1);
    at[2] = check_random(seed) % 29 == 0;
}
static void fill_segmented(uint64_t *seed, double *at) {
    at[0] = (double)(int32_t)(check_random(seed) % 2001) - 1000;
    at[1] = check_random(seed) % 17 == 0;
}

static const scan_operator operators[] = {
    {"running maximum",
     "struct element { int value; };\n"
     "element identity() { return element(-2147483647 - 1); }\n"
     "element combine(element left, element right) { return element(max(left.value, right.value)); }\n",
     1,
     1,
     {{-2147483648.0}},
     combine_maximum,
     fill_maximum,
     0}, // integers: exact
    {"matrix product",
     "struct element { mat2 m; };\n"
     "element identity() { return element(mat2(1)); }\n"
     "element combine(element left, element right) { return element(left.m * right.m); }\n",
     4,
     0,
     {{1, 0, 0, 1}},
     combine_product,
     fill_product,
     2e-4}, // some 1,100 products, each of 3 roundings of 2^-24
    {"log-sum-exp",
     "struct element { float most, sum; };\n"
     "element identity() { return element(-1.0 / 0.0, 0.0); }\n"
     "element combine(element x, element y) {\n"
     "    float m = max(x.most, y.most);\n"
     "    if (isinf(m)) return element(m, 0.0);\n"
     "    return element(m, x.sum * exp(x.most - m) + y.sum * exp(y.most - m));\n"
     "}\n",
     2,
     0,
     {{-INFINITY, 0}},
     combine_log_sum,
     fill_log_sum,
     1e-4}, // exponentials of up to 400, off by 2 |x| 2^-24
    {"decay, state and reset",
     "struct element { float decay, state; uint reset; };\n"
     "element identity() { return element(1.0, 0.0, 0u); }\n"
     "element combine(element x, element y) {\n"
     "    if (y.reset != 0u) return y;\n"
     "    return element(y.decay * x.decay, y.decay * x.state + y.state, x.reset);\n"
     "}\n",
     3,
     4,
     {{1, 0, 0}},
     combine_decay,
     fill_decay,
     1e-5}, // states of a few units that forget within some ten steps
    {"segmented sum",
     "struct element { float sum; uint head; };\n"
     "element identity() { return element(0.0, 0u); }\n"
     "element combine(element x, element y) {\n"
     "    return y.head != 0u ? y : element(x.sum + y.sum, x.head);\n"
     "}\n",
     2,
     2,
     {{0, 0}},
     combine_segmented,
     fill_segmented,
     0}, // sums of small integers: exact
};

typedef struct shape {
    uint32_t n_batch, n_time, n_channel;
    bool rows, reverse, states;
} shape;
// Fewer and more channels than make a CPU give each a lane of its own; one tile and many; short enough for one lane.
static const shape shapes[] = {
    {1, 1, 1, false, false, false},   {2, 3, 5, false, true, true},  {1, 1100, 3, false, false, true},
    {2, 700, 2, true, false, true},   {1, 650, 1, true, true, true}, {1, 900, 2, false, true, false},
    {3, 100, 20, false, false, true}, {2, 90, 9, true, true, true},
};

static size_t index_of(const shape *s, size_t b, size_t t, size_t d) {
    return s->rows ? (b * s->n_channel + d) * s->n_time + t : (b * s->n_time + t) * s->n_channel + d;
}

static void write_element(const scan_operator *o, const double *at, word *words) {
    for (uint32_t k = 0; k < o->n_word; k++)
        if (o->integers >> k & 1)
            words[k].i = (int32_t)at[k];
        else
            words[k].f = (float)at[k];
}
static number read_element(const scan_operator *o, const word *words) {
    number n = {{0}};
    for (uint32_t k = 0; k < o->n_word; k++)
        n.at[k] = o->integers >> k & 1 ? words[k].i : (double)words[k].f;
    return n;
}

// 0 if the same; a part of what is allowed.
static double error_of(const scan_operator *o, number found, number wanted) {
    double size = 1, worst = 0;
    for (uint32_t k = 0; k < o->n_word; k++)
        size = fmax(size, fabs(wanted.at[k]));
    for (uint32_t k = 0; k < o->n_word; k++) {
        double gap = fabs(found.at[k] - wanted.at[k]);
        if (found.at[k] == wanted.at[k]) continue;
        bool exact = o->integers >> k & 1 || o->tolerance == 0;
        double part = exact ? 1e300 : gap / (o->tolerance * size);
        worst = part >= worst ? part : worst; // and NaN
        if (isnan(part)) return part;
    }
    return worst;
}

static void run_shape(vkssm_scan_custom *scan, const scan_operator *o, const shape *s) {
    size_t n = (size_t)s->n_batch * s->n_time * s->n_channel, n_state = (size_t)s->n_batch * s->n_channel;
    size_t size = 4 * (size_t)o->n_word;
    word *x = model_alloc(n, size), *y = model_alloc(n + 1, size), *again = model_alloc(n, size);
    word *initial = model_alloc(n_state, size), *last = model_alloc(n_state + 1, size);
    uint64_t seed = n;
    double at[8] = {0};
    for (size_t i = 0; i < n; i++) {
        o->fill(&seed, at);
        write_element(o, at, x + i * o->n_word);
    }
    for (size_t i = 0; i < n_state; i++) {
        o->fill(&seed, at);
        write_element(o, at, initial + i * o->n_word);
    }
    memset(y + n * o->n_word, 0x5a, size);
    memset(last + n_state * o->n_word, 0x5a, size);
    vkssm_scan_custom_run_params params = {
        .n_batch = s->n_batch,
        .n_time = s->n_time,
        .n_channel = s->n_channel,
        .time_contiguous = s->rows,
        .reverse = s->reverse,
        .x = x,
        .y = y,
        .x_size = n * size,
        .y_size = n * size,
        .initial = s->states ? initial : NULL,
        .last = s->states ? last : NULL,
    };
    CHECK_OK(vkssm_scan_custom_run(scan, &params));
    double worst = 0;
    for (size_t b = 0; b < s->n_batch; b++)
        for (size_t d = 0; d < s->n_channel; d++) {
            size_t row = b * s->n_channel + d;
            number sum = s->states ? read_element(o, initial + row * o->n_word) : o->identity;
            for (size_t step = 0; step < s->n_time; step++) {
                size_t i = index_of(s, b, s->reverse ? s->n_time - 1 - step : step, d) * o->n_word;
                sum = o->combine(sum, read_element(o, x + i));
                double error = error_of(o, read_element(o, y + i), sum);
                worst = error > worst || isnan(error) ? error : worst;
            }
            if (s->states) CHECK_AT_MOST(error_of(o, read_element(o, last + row * o->n_word), sum), 1.0);
        }
    if (!(worst <= 1))
        CHECK_FAIL("%s b%u t%u d%u: %g of what is allowed", o->name, s->n_batch, s->n_time, s->n_channel, worst);
    const uint8_t *behind = (const uint8_t *)(y + n * o->n_word),
                  *behind_last = (const uint8_t *)(last + n_state * o->n_word);
    for (size_t i = 0; i < size; i++)
        CHECK(behind[i] == 0x5a && behind_last[i] == 0x5a);
    // In place, and the same bits.
    memcpy(again, x, n * size);
    params.x = params.y = again;
    CHECK_OK(vkssm_scan_custom_run(scan, &params));
    CHECK(memcmp(again, y, n * size) == 0);
    free(x);
    free(y);
    free(again);
    free(initial);
    free(last);
}

// NULL, with the case skipped, where the library was built without a compiler.
static vkssm_scan_custom *create(const vkssm_scan_custom_params *params) {
    vkssm_scan_custom *scan = NULL;
    vkssm_status status = vkssm_scan_create_custom(model_device, params, &scan);
    if (status == VKSSM_ERR_UNSUPPORTED) {
        CHECK_CONTAINS(vkssm_last_error(), "libshaderc");
        check_skip_reason = "built without libshaderc";
    } else
        CHECK_OK(status);
    return scan;
}

static void run_operator(const scan_operator *o) {
    vkssm_scan_custom *scan = create(&(vkssm_scan_custom_params){
        .source = o->source, .element_size = 4 * (size_t)o->n_word, .name = o->name, .check = true});
    for (size_t i = 0; scan && i < VKS_COUNT(shapes); i++)
        run_shape(scan, o, &shapes[i]);
    vkssm_scan_custom_destroy(&scan);
    CHECK(!scan);
    vkssm_scan_custom_destroy(&scan);
}

CHECK_CASE(running_maximum) {
    run_operator(&operators[0]);
}
CHECK_CASE(matrix_product) {
    run_operator(&operators[1]);
}
CHECK_CASE(log_sum_exp) {
    run_operator(&operators[2]);
}
CHECK_CASE(decay_state_reset) {
    run_operator(&operators[3]);
}
CHECK_CASE(segmented_sum) {
    run_operator(&operators[4]);
}

// ---- what is refused -----------------------------------------------------------------------------------------------

#define PLAIN_ELEMENT "struct element { float a; };\n"
#define PLAIN_IDENTITY "element identity() { return element(0.0); }\n"
#define PLAIN_COMBINE "element combine(element x, element y) { return element(x.a + y.a); }\n"

static void refuse(const char *source, size_t size, vkssm_status status, const char *part) {
    vkssm_scan_custom *scan = NULL;
    vkssm_scan_custom_params params = {.source = source, .element_size = size, .check = true};
    CHECK_REFUSED(vkssm_scan_create_custom(model_device, &params, &scan), status, part);
    CHECK(!scan);
}

CHECK_CASE(broken_laws) {
    vkssm_scan_custom *scan =
        create(&(vkssm_scan_custom_params){.source = PLAIN_ELEMENT PLAIN_IDENTITY PLAIN_COMBINE, .element_size = 4});
    if (!scan) return;
    vkssm_scan_custom_destroy(&scan);
    refuse(PLAIN_ELEMENT PLAIN_IDENTITY "element combine(element x, element y) { return element(x.a - 0.5 * y.a); }", 4,
           VKSSM_ERR_ARG, "combine(identity(), x) = x does not hold for x = {");
    refuse(PLAIN_ELEMENT PLAIN_IDENTITY "element combine(element x, element y) { return y; }", 4, VKSSM_ERR_ARG,
           "combine(x, identity()) = x does not hold for x = {");
    refuse(PLAIN_ELEMENT PLAIN_IDENTITY
           "element combine(element x, element y) { return element(x.a + y.a + x.a * x.a * y.a); }",
           4, VKSSM_ERR_ARG, "associativity does not hold for x = {");
    CHECK_CONTAINS(vkssm_last_error(), ", z = {");
    CHECK_CONTAINS(vkssm_last_error(), ": (x y) z = {");
    CHECK_CONTAINS(vkssm_last_error(), "}, x (y z) = {");
    refuse("struct element { int a; };\nelement identity() { return element(1); }\n"
           "element combine(element x, element y) { return element(x.a + y.a); }",
           4, VKSSM_ERR_ARG, "combine(identity(), x) = x does not hold for x = {");
    // Kept on these elements only: a clamped sum of numbers of one sign.
    static const float samples[] = {0.1f, 0.2f, 0.7f};
    vkssm_scan_custom_params params = {
        .source = PLAIN_ELEMENT PLAIN_IDENTITY
        "element combine(element x, element y) { return element(clamp(x.a + y.a, 0.0, 1.0)); }",
        .element_size = 4,
        .name = "clamped sum",
        .check = true,
    };
    CHECK_REFUSED(vkssm_scan_create_custom(model_device, &params, &scan), VKSSM_ERR_ARG, "clamped sum: combine(");
    params.samples = samples;
    CHECK_REFUSED(vkssm_scan_create_custom(model_device, &params, &scan), VKSSM_ERR_ARG,
                  "at least one sample expected");
    params.n_sample = 3;
    CHECK_OK(vkssm_scan_create_custom(model_device, &params, &scan));
    vkssm_scan_custom_destroy(&scan);
}

CHECK_CASE(compile_errors) {
    vkssm_scan_custom *scan =
        create(&(vkssm_scan_custom_params){.source = PLAIN_ELEMENT PLAIN_IDENTITY PLAIN_COMBINE, .element_size = 4});
    if (!scan) return;
    vkssm_scan_custom_destroy(&scan);
    refuse("struct element { float a; };\nelement identity() { return element(0.0); }\n"
           "element combine(element x, element y) {\n    return element(x.b);\n}\n",
           4, VKSSM_ERR_ARG, "operator:4: error: 'b'");
    refuse("struct element { float a; }\n", 4, VKSSM_ERR_ARG, "operator:");
    refuse(PLAIN_ELEMENT PLAIN_IDENTITY, 4, VKSSM_ERR_ARG, "'combine'");
    refuse("", 4, VKSSM_ERR_ARG, "error");
    refuse("#include \"x\"\n", 4, VKSSM_ERR_ARG, "operator:1:");
    refuse(PLAIN_ELEMENT PLAIN_IDENTITY PLAIN_COMBINE, 8, VKSSM_ERR_ARG,
           "a struct element of 8 bytes expected, 4 found in std430 layout");
    refuse("struct element { float a; vec2 b; };\nelement identity() { return element(0.0, vec2(0)); }\n"
           "element combine(element x, element y) { return element(x.a + y.a, x.b + y.b); }\n",
           12, VKSSM_ERR_ARG, "of 12 bytes expected, 16 found");
    refuse("struct element { float a[17]; };\nelement identity() { element e; for (int i = 0; i < 17; i++) e.a[i] = "
           "0.0; return e; }\n"
           "element combine(element x, element y) { return y; }\n",
           64, VKSSM_ERR_ARG, "of at most 64 bytes expected, 68 found");
    refuse("struct element { double a; };\nelement identity() { return element(0.0); }\n"
           "element combine(element x, element y) { return element(x.a + y.a); }\n",
           8, VKSSM_ERR_UNSUPPORTED, "capability 10");
    refuse(PLAIN_ELEMENT PLAIN_IDENTITY PLAIN_COMBINE, 68, VKSSM_ERR_ARG,
           "4 to 64 bytes in 32-bit words expected, 68 bytes");
    refuse(PLAIN_ELEMENT PLAIN_IDENTITY PLAIN_COMBINE, 0, VKSSM_ERR_ARG, "4 to 64 bytes");
    refuse(NULL, 4, VKSSM_ERR_ARG, "GLSL source");
}

CHECK_CASE(custom_run_refuses) {
    vkssm_scan_custom *scan =
        create(&(vkssm_scan_custom_params){.source = PLAIN_ELEMENT PLAIN_IDENTITY PLAIN_COMBINE, .element_size = 4});
    if (!scan) return;
    float x[6] = {1, 2, 3, 4, 5, 6};
    const vkssm_scan_custom_run_params good = {
        .n_time = 3, .n_channel = 2, .x = x, .y = x, .x_size = sizeof x, .y_size = sizeof x};
    vkssm_scan_custom_run_params bad = good;
    bad.n_time = 0;
    CHECK_REFUSED(vkssm_scan_custom_run(scan, &bad), VKSSM_ERR_ARG,
                  "at least one step and one channel expected, 0 and 2 found");
    bad = good;
    bad.y_size = 20;
    CHECK_REFUSED(vkssm_scan_custom_run(scan, &bad), VKSSM_ERR_ARG, "y: a size of 24 expected, 20 found");
    bad = good;
    bad.n_batch = bad.n_time = bad.n_channel = UINT32_MAX;
    CHECK_REFUSED(vkssm_scan_custom_run(scan, &bad), VKSSM_ERR_ARG, "elements expected");
    bad = good;
    bad.x = NULL;
    CHECK_REFUSED(vkssm_scan_custom_run(scan, &bad), VKSSM_ERR_ARG, "arrays x and y expected");
    CHECK_REFUSED(vkssm_scan_custom_run(NULL, &good), VKSSM_ERR_ARG, "an operator");
    // The device knows that an operator lives on it.
    vkssm_device *device = model_device;
    vkssm_device_destroy(&device);
    CHECK(device == model_device);
    CHECK_OK(vkssm_scan_custom_run(scan, &good));
    CHECK_EQ((int)x[4], 9);
    CHECK_EQ((int)x[5], 12);
    vkssm_scan_custom_destroy(&scan);
}

// ---- the recurrence ------------------------------------------------------------------------------------------------

// Every dtype, both orders, a of all kinds, in reverse with states and packed sequences; numbers that 16 bits hold
// exactly are small, so that the storage's rounding is all that can differ: 2^-10 (F16) or 2^-8 (BF16) of states
// below 8.
static void run_public(vkssm_dtype dtype, vkssm_scan_decay decay, bool is_complex, bool rows, uint32_t n_sequence) {
    enum { T = 37, D = 3 };
    uint32_t n_batch = n_sequence ? 1 : 2, n_state = n_sequence ? n_sequence : n_batch, part = is_complex ? 2 : 1;
    size_t n = (size_t)n_batch * T * D * part, size = vkssm_dtype_size(dtype);
    size_t n_a = decay == VKSSM_SCAN_PER_STEP ? n : (size_t)(decay == VKSSM_SCAN_PER_BATCH ? n_batch : 1) * D * part;
    float *a = model_alloc(n, sizeof *a), *b = model_alloc(n, sizeof *b),
          *initial = model_alloc(n_state * D * part, sizeof *b);
    float *last = model_alloc(n_state * D * part, sizeof *last);
    uint8_t *raw_a = model_alloc(n_a, size), *raw = model_alloc(n, size);
    uint64_t seed = n + part;
    for (size_t i = 0; i < n_a; i++)
        a[i] = (float)(check_random(&seed) % 3) * 0.25f;
    for (size_t i = 0; i < n; i++)
        b[i] = (float)(check_random(&seed) % 5) * 0.25f - 0.5f;
    for (size_t i = 0; i < n_state * D * part; i++)
        initial[i] = (float)(check_random(&seed) % 9) - 4;
    const uint32_t offsets[] = {0, 0, 10, 37}, resets[2 * T] = {[5] = 1, [T + 9] = 1};
    for (size_t i = 0; i < n_a; i++) {
        bool ordered = decay == VKSSM_SCAN_PER_STEP && rows;
        size_t p = i % part, e = i / part, t = e / D % T, d = e % D, batch = e / D / T;
        size_t at = ordered ? ((batch * D + d) * T + t) * part + p : i;
        uint32_t bits;
        memcpy(&bits, &a[i], 4);
        if (dtype == VKSSM_DTYPE_F32) memcpy(raw_a + at * 4, &bits, 4);
        uint16_t half = dtype == VKSSM_DTYPE_BF16 ? (uint16_t)(bits >> 16) : vks_f32_to_f16(a[i]);
        if (size == 2) memcpy(raw_a + at * 2, &half, 2);
    }
    for (size_t i = 0; i < n; i++) {
        size_t p = i % part, e = i / part, t = e / D % T, d = e % D, batch = e / D / T;
        size_t at = rows ? ((batch * D + d) * T + t) * part + p : i;
        uint16_t half = dtype == VKSSM_DTYPE_BF16 ? vks_f32_to_bf16(b[i]) : vks_f32_to_f16(b[i]);
        if (size == 2)
            memcpy(raw + at * 2, &half, 2);
        else
            memcpy(raw + at * 4, &b[i], 4);
    }
    memcpy(last, initial, n_state * D * part * sizeof *last);
    vkssm_scan_params params = {.n_batch = n_batch,
                                .n_time = T,
                                .n_channel = D,
                                .dtype = dtype,
                                .decay = decay,
                                .is_complex = is_complex,
                                .time_contiguous = rows,
                                .reverse = true,
                                .a = raw_a,
                                .b = raw,
                                .h = raw,
                                .a_size = n_a * size,
                                .b_size = n * size,
                                .h_size = n * size,
                                .initial = last,
                                .last = last,
                                .resets = n_sequence ? NULL : resets,
                                .offsets = n_sequence ? offsets : NULL,
                                .n_sequence = n_sequence};
    CHECK_OK(vkssm_scan_run(model_device, &params));
    if (decay == VKSSM_SCAN_PER_CHANNEL)
        for (size_t i = n_a; i < n_batch * n_a; i++)
            a[i] = a[i % n_a];
    double *h = model_alloc(n, sizeof *h), *wanted_last = model_alloc(n_state * D * part, sizeof *h);
    ref_scan(&(ref_scan_args){.n_batch = n_batch,
                              .n_time = T,
                              .n_channel = D,
                              .n_sequence = n_state,
                              .is_complex = is_complex,
                              .reverse = true,
                              .a_step = decay == VKSSM_SCAN_PER_STEP,
                              .a = a,
                              .b = b,
                              .initial = initial,
                              .resets = n_sequence ? NULL : (const int32_t *)resets,
                              .offsets = n_sequence ? (const int32_t *)offsets : NULL,
                              .h = h,
                              .last = wanted_last});
    double allowed = dtype == VKSSM_DTYPE_F32 ? 1e-5 : dtype == VKSSM_DTYPE_F16 ? 8 * 0x1p-10 : 8 * 0x1p-8;
    for (size_t i = 0; i < n; i++) {
        size_t p = i % part, e = i / part, t = e / D % T, d = e % D, batch = e / D / T;
        size_t at = rows ? ((batch * D + d) * T + t) * part + p : i;
        float found;
        uint16_t half;
        memcpy(&half, raw + at * size, 2);
        found = dtype == VKSSM_DTYPE_F16 ? vks_f16_to_f32(half) : vks_bf16_to_f32(half);
        if (size == 4) memcpy(&found, raw + at * 4, 4);
        CHECK_NEAR((double)found, h[i], allowed);
    }
    for (size_t i = 0; i < n_state * D * part; i++)
        CHECK_NEAR((double)last[i], wanted_last[i], 1e-5);
    void *memory[] = {a, b, initial, last, raw_a, raw, h, wanted_last};
    for (size_t i = 0; i < VKS_COUNT(memory); i++)
        free(memory[i]);
}

CHECK_CASE(recurrence) {
    run_public(VKSSM_DTYPE_F32, VKSSM_SCAN_PER_STEP, false, false, 0);
    run_public(VKSSM_DTYPE_F32, VKSSM_SCAN_PER_CHANNEL, true, true, 0);
    run_public(VKSSM_DTYPE_F16, VKSSM_SCAN_PER_BATCH, false, false, 0);
    run_public(VKSSM_DTYPE_BF16, VKSSM_SCAN_PER_STEP, false, true, 0);
    run_public(VKSSM_DTYPE_F16, VKSSM_SCAN_PER_CHANNEL, true, false, 3);
    run_public(VKSSM_DTYPE_F32, VKSSM_SCAN_PER_STEP, false, false, 3);
}

CHECK_CASE(recurrence_refuses) {
    float a[6] = {0}, b[6] = {0};
    const uint32_t backwards[] = {0, 2, 1, 3}, short_one[] = {0, 2}, late[] = {1, 3};
    const vkssm_scan_params good = {.n_time = 3,
                                    .n_channel = 2,
                                    .a = a,
                                    .b = b,
                                    .h = b,
                                    .a_size = sizeof a,
                                    .b_size = sizeof b,
                                    .h_size = sizeof b};
    CHECK_OK(vkssm_scan_run(model_device, &good));
    vkssm_scan_params bad = good;
    bad.n_time = 0;
    CHECK_REFUSED(vkssm_scan_run(model_device, &bad), VKSSM_ERR_ARG,
                  "at least one step and one channel expected, 0 and 2 found");
    bad = good;
    bad.a_size = 8;
    CHECK_REFUSED(vkssm_scan_run(model_device, &bad), VKSSM_ERR_ARG, "scan: a: a size of 24 expected, 8 found");
    bad = good;
    bad.decay = VKSSM_SCAN_PER_CHANNEL;
    CHECK_REFUSED(vkssm_scan_run(model_device, &bad), VKSSM_ERR_ARG, "scan: a: a size of 8 expected, 24 found");
    bad = good;
    bad.is_complex = true;
    CHECK_REFUSED(vkssm_scan_run(model_device, &bad), VKSSM_ERR_ARG, "a size of 48 expected, 24 found");
    bad = good;
    bad.h = NULL;
    CHECK_REFUSED(vkssm_scan_run(model_device, &bad), VKSSM_ERR_ARG, "NULL found for h");
    bad = good;
    bad.dtype = VKSSM_DTYPE_I32;
    CHECK_REFUSED(vkssm_scan_run(model_device, &bad), VKSSM_ERR_ARG, "F32, F16 or BF16 expected, I32 found");
    bad = good;
    bad.n_batch = bad.n_time = bad.n_channel = UINT32_MAX;
    CHECK_REFUSED(vkssm_scan_run(model_device, &bad), VKSSM_ERR_ARG, "sizes that fit");
    bad = good;
    bad.offsets = backwards;
    bad.n_sequence = 3;
    CHECK_REFUSED(vkssm_scan_run(model_device, &bad), VKSSM_ERR_ARG,
                  "offset 2 of at least 2 expected, 1 found: they go backwards");
    bad.offsets = short_one;
    bad.n_sequence = 1;
    CHECK_REFUSED(vkssm_scan_run(model_device, &bad), VKSSM_ERR_ARG, "offsets: an end of 3 expected, 2 found");
    bad.offsets = late;
    CHECK_REFUSED(vkssm_scan_run(model_device, &bad), VKSSM_ERR_ARG, "offsets: a start of 0 expected, 1 found");
    bad.n_sequence = 0;
    CHECK_REFUSED(vkssm_scan_run(model_device, &bad), VKSSM_ERR_ARG, "number of sequences of at least 1 expected");
    CHECK_REFUSED(vkssm_scan_run(NULL, &good), VKSSM_ERR_ARG, "a device");
}

int main(int argc, char **argv) {
    return model_main(argc, argv,
                      (check_case[]){CHECK_RUN(running_maximum),
                                     CHECK_RUN(matrix_product),
                                     CHECK_RUN(log_sum_exp),
                                     CHECK_RUN(decay_state_reset),
                                     CHECK_RUN(segmented_sum),
                                     CHECK_RUN(broken_laws),
                                     CHECK_RUN(compile_errors),
                                     CHECK_RUN(custom_run_refuses),
                                     CHECK_RUN(recurrence),
                                     CHECK_RUN(recurrence_refuses),
                                     {0}});
}

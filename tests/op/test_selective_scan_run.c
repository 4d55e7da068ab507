// vkssm_selective_scan, the selective scan over host arrays, against its twin; arrays that must be refused.
#include "harness/model_test.h"
#include "host/base/half.h"
#include "ref/ref.h"

typedef struct run_case {
    uint32_t n_batch, n_time, n_channel, n_group, n_state;
    vkssm_dtype dtype;
    bool gate, initial, last, packed, reverse;
} run_case;

static const run_case cases[] = {
    {2, 21, 12, 2, 16, VKSSM_DTYPE_F32, true, true, true, false, false},
    {1, 40, 7, 1, 5, VKSSM_DTYPE_F16, true, false, true, true, true}, // odd rows of 16-bit types are padded on the way
    {3, 1, 9, 1, 16, VKSSM_DTYPE_BF16, false, true, false, false, false},
    // more steps than Mesa's CPU driver lets a loop have rounds
    {1, 66000, 2, 1, 2, VKSSM_DTYPE_F32, false, true, true, false, false},
};
enum { N_PACKED = 3 };
static const uint32_t offsets[] = {0, 11, 11, 40};

// As stored: F32, or 16 bits; `values` are rounded so that the twin sees the same.
static void *store(float *values, size_t n, vkssm_dtype dtype) {
    uint8_t *data = model_alloc(n, sizeof(float));
    for (size_t i = 0; i < n; i++) {
        if (dtype == VKSSM_DTYPE_F32) {
            memcpy(data + 4 * i, &values[i], 4);
            continue;
        }
        bool f16 = dtype == VKSSM_DTYPE_F16;
        uint16_t half = f16 ? vks_f32_to_f16(values[i]) : vks_f32_to_bf16(values[i]);
        values[i] = f16 ? vks_f16_to_f32(half) : vks_bf16_to_f32(half);
        memcpy(data + 2 * i, &half, 2);
    }
    return data;
}

static float *random_values(uint64_t *seed, size_t n, float low, float high) {
    float *values = model_alloc(n, sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = check_uniform(seed, low, high);
    return values;
}

static double value_of(const void *data, vkssm_dtype dtype, size_t i) {
    const vkssm_named_tensor tensor = {.dtype = dtype, .data = data};
    return model_element(&tensor, i);
}

// The twin's scale counts every rounding; see test_selective_scan.c.
static void check_close(const char *what, const double *found, const double *wanted, const double *scale, size_t n,
                        vkssm_dtype dtype) {
    ref_error error = ref_compare(found, wanted, scale, n, (ref_type)dtype, 1);
    check_n_checked++;
    if (!(error.worst <= 1))
        CHECK_FAIL("%s: element %zu is %.9g, its twin %.9g: %.3g times what is allowed", what, error.at, error.found,
                   error.wanted, error.worst);
}

static void run_one(const run_case *c, uint64_t seed) {
    size_t n_row = (size_t)c->n_batch * c->n_time, n = n_row * c->n_channel, n_bc = n_row * c->n_group * c->n_state;
    size_t n_sequence = c->packed ? N_PACKED : c->n_batch, n_state = n_sequence * c->n_channel * c->n_state;
    float *x = random_values(&seed, n, -1, 1), *dt = random_values(&seed, n, -4, 0),
          *z = random_values(&seed, n, -2, 2);
    float *b = random_values(&seed, n_bc, -1, 1), *cc = random_values(&seed, n_bc, -1, 1);
    float *a = random_values(&seed, (size_t)c->n_channel * c->n_state, -8, -0.5f);
    float *d = random_values(&seed, c->n_channel, -1, 1), *bias = random_values(&seed, c->n_channel, -1, 1);
    float *initial = random_values(&seed, n_state, -1, 1), *last = model_alloc(n_state, sizeof *last);
    void *stored[] = {store(x, n, c->dtype),    store(dt, n, c->dtype),    store(z, n, c->dtype),
                      store(b, n_bc, c->dtype), store(cc, n_bc, c->dtype), model_alloc(n, sizeof(float))};
    const vkssm_selective_scan_params params = {.n_batch = c->n_batch,
                                                .n_time = c->n_time,
                                                .n_channel = c->n_channel,
                                                .n_group = c->n_group,
                                                .n_state = c->n_state,
                                                .dtype = c->dtype,
                                                .x = stored[0],
                                                .dt = stored[1],
                                                .gate = c->gate ? stored[2] : NULL,
                                                .b = stored[3],
                                                .c = stored[4],
                                                .y = stored[5],
                                                .a = a,
                                                .d = d,
                                                .dt_bias = bias,
                                                .initial = c->initial ? initial : NULL,
                                                .last = c->last ? last : NULL,
                                                .offsets = c->packed ? offsets : NULL,
                                                .n_sequence = N_PACKED,
                                                .reverse = c->reverse};
    CHECK_OK(vkssm_selective_scan(model_device, &params));

    size_t first[8];
    for (size_t s = 0; s <= n_sequence; s++)
        first[s] = c->packed ? offsets[s] : s * c->n_time;
    double *all = model_alloc(3 * (n + n_state), sizeof *all), *wanted = all, *scale = wanted + n, *found = scale + n;
    double *state = found + n, *magnitude = state + n_state, *state_scale = magnitude + n_state;
    for (size_t i = 0; c->initial && i < n_state; i++)
        state[i] = initial[i];
    ref_selective_scan(&(ref_selective_scan_args){.n_sequence = n_sequence,
                                                  .n_channel = c->n_channel,
                                                  .n_group = c->n_group,
                                                  .n_state = c->n_state,
                                                  .first = first,
                                                  .x = x,
                                                  .dt = dt,
                                                  .b = b,
                                                  .c = cc,
                                                  .gate = c->gate ? z : NULL,
                                                  .a = a,
                                                  .dt_bias = bias,
                                                  .d = d,
                                                  .reverse = c->reverse,
                                                  .state = state,
                                                  .state_magnitude = magnitude,
                                                  .state_scale = state_scale,
                                                  .y = wanted,
                                                  .scale = scale});
    for (size_t i = 0; i < n; i++)
        found[i] = value_of(stored[5], c->dtype, i);
    check_close("y", found, wanted, scale, n, c->dtype);
    if (c->last) {
        double *found_state = magnitude; // no longer needed
        for (size_t i = 0; i < n_state; i++)
            found_state[i] = last[i];
        check_close("last", found_state, state, state_scale, n_state, VKSSM_DTYPE_F32);
    }
    float *floats[] = {x, dt, z, b, cc, a, d, bias, initial, last};
    for (size_t i = 0; i < VKS_COUNT(floats); i++)
        free(floats[i]);
    for (size_t i = 0; i < VKS_COUNT(stored); i++)
        free(stored[i]);
    free(all);
}

CHECK_CASE(twin) {
    for (size_t i = 0; i < VKS_COUNT(cases); i++)
        run_one(&cases[i], i + 1);
}

CHECK_CASE(refuses) {
    enum { T = 3, D = 4, N = 2 };
    float rows[T * D] = {0}, bc[T * N] = {0}, a[D * N] = {0}, y[T * D];
    const vkssm_selective_scan_params good = {.n_time = T,
                                              .n_channel = D,
                                              .n_state = N,
                                              .dtype = VKSSM_DTYPE_F32,
                                              .x = rows,
                                              .dt = rows,
                                              .b = bc,
                                              .c = bc,
                                              .y = y,
                                              .a = a};
    CHECK_OK(vkssm_selective_scan(model_device, &good));
    vkssm_selective_scan_params bad;
#define REFUSED(change, message)                                                                                       \
    bad = good;                                                                                                        \
    change;                                                                                                            \
    CHECK_REFUSED(vkssm_selective_scan(model_device, &bad), VKSSM_ERR_ARG, "selective_scan: " message)
    REFUSED(bad.dt = NULL, "arrays x, dt, b, c, a and y expected, NULL found for dt");
    REFUSED(bad.dtype = VKSSM_DTYPE_I32, "a type of F32, F16 or BF16 expected, I32 found");
    REFUSED(bad.n_state = 257, "at least one step and one channel, and 1 to 256 states expected, 3, 4 and 257 found");
    REFUSED(bad.n_time = 0, "at least one step");
    REFUSED(bad.n_time = bad.n_batch = 1u << 31, "arrays of less than 2^32 elements expected");
    REFUSED(
        bad.n_group = 3,
        "groups of an even number of channels (and of states, of 16-bit types) expected, 4 channels and 2 states in 3 "
        "groups of F32 found");
    const uint32_t backwards[] = {0, 2, 1, 3}, late[] = {1, 1, 2, 3}, early[] = {0, 1, 1, 2};
    REFUSED((bad.offsets = backwards, bad.n_sequence = 3), "offsets: offset 2 of at least 2 expected, 1 found");
    REFUSED((bad.offsets = late, bad.n_sequence = 3), "offsets: a start of 0 expected, 1 found");
    REFUSED((bad.offsets = early, bad.n_sequence = 3), "offsets: an end of 3 expected, 2 found");
    REFUSED((bad.offsets = early, bad.n_sequence = 0), "offsets: a number of sequences of 1 expected, 0 found");
    REFUSED((bad.offsets = early, bad.n_sequence = 3, bad.n_batch = 2),
            "packed sequences: a batch of 1 expected, 2 found");
    CHECK_REFUSED(vkssm_selective_scan(NULL, &good), VKSSM_ERR_ARG, "a device and parameters expected");
}

int main(int argc, char **argv) {
    return model_main(argc, argv, (check_case[]){CHECK_RUN(twin), CHECK_RUN(refuses), {0}});
}

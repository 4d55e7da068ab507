// matmul against its twin, by every algorithm.
#include "op_test.h"

#include <math.h>

#include "host/base/quant.h"

typedef struct matmul_case {
    uint32_t m, n, k;
    vkssm_dtype x, w, y;
    bool bias, accumulate;
} matmul_case;

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16
#define Q8_0 VKSSM_DTYPE_Q8_0
#define Q4_0 VKSSM_DTYPE_Q4_0
#define Q4_K VKSSM_DTYPE_Q4_K
#define Q6_K VKSSM_DTYPE_Q6_K

enum { FIRST_MATRIX_CASE = 25, FIRST_BLOCK_CASE = 30 }; // in the table

// Register tiles are 1, 4 or 8 rows by 8 outputs, shared tiles 64 or 128 square with 16 of k at a time, vectors of 8 k.
// The last cases are a layer of a small Mamba-2: input projection, output projection, logits.
static const matmul_case cases[] = {
    {1, 1, 1, F32, F32, F32, false, false},
    {1, 2, 7, F32, F16, F32, true, false},
    {1, 65, 100, F16, F16, F16, false, true},
    {2, 7, 8, F32, BF16, F32, false, true},
    {2, 64, 17, F16, F16, F16, false, true},
    {3, 130, 15, F16, BF16, F32, true, true},
    {3, 1, 257, F32, F32, F32, false, false},
    {4, 7, 16, F16, F32, BF16, true, false},
    {4, 65, 64, F32, F16, F32, true, false},
    {5, 2, 257, BF16, BF16, BF16, false, false},
    {5, 64, 1, F32, BF16, F32, false, true},
    {8, 65, 17, F32, F16, F32, true, false},
    {8, 7, 100, F16, F16, F16, false, true},
    {9, 64, 15, F32, F32, F32, false, false},
    {9, 130, 8, BF16, BF16, BF16, false, false},
    {63, 65, 16, F32, F32, F32, false, false},
    {64, 64, 64, F32, F16, F32, true, false},
    {65, 7, 100, F16, BF16, F32, true, true},
    {65, 130, 257, F32, F32, F32, false, false},
    {129, 127, 7, F16, F16, F16, false, true},
    {130, 129, 17, F16, F32, BF16, true, false},
    {130, 130, 257, F32, BF16, F32, false, true},
    {1, 1192, 256, F32, F16, F32, true, false},
    {33, 256, 512, F32, F32, F32, false, false},
    {6, 1000, 256, F32, F16, F32, true, false},
    // for matrix units: tiles of 64, 128 and 192, pieces of 64 k, whole and cut
    {128, 192, 64, F16, F16, F16, false, false},
    {129, 193, 72, F16, F16, F16, true, true},
    {65, 64, 128, F16, F16, F32, false, true},
    {63, 72, 136, BF16, BF16, BF16, false, true},
    {40, 136, 192, BF16, BF16, F32, true, false},
    // weights in blocks
    {1, 65, 32, F32, Q8_0, F32, false, false},
    {65, 7, 544, F32, Q8_0, F32, false, false},
    {1, 33, 64, F32, Q4_0, F32, false, false},
    {33, 65, 288, F32, Q4_0, F32, false, false},
    {1, 31, 768, F32, Q4_K, F32, false, false},
    {64, 9, 256, F32, Q4_K, F32, false, false},
    {1, 31, 256, F32, Q6_K, F32, false, false},
    {65, 64, 512, F32, Q6_K, F32, false, false},
    // the same for matrix units, and for codes of the input
    {65, 130, 288, F16, Q8_0, F16, true, false},
    {40, 72, 256, F16, Q4_K, F32, false, true},
    {64, 64, 96, F16, Q4_0, F16, false, false},
    {2, 40, 1088, F16, Q4_0, F32, false, false},
};

// Enough of them for the larger tiles of matrix units, which small products do not get; too many for a CPU.
static const matmul_case large_cases[] = {
    {1030, 2310, 72, F16, F16, F16, false, true},
    {1030, 1400, 136, F16, F16, F32, true, false},
    {1152, 2304, 64, BF16, BF16, BF16, false, false},
    // split along k
    {130, 300, 2056, F16, F16, F32, false, true},
    {65, 201, 4168, F16, F16, F16, true, true},
    {128, 320, 4096, BF16, BF16, BF16, true, false},
};

// Each product is rounded by at most one step of float32 and each sum by another, relative to the partial sum so far. A
// partial sum of terms of either sign is about sqrt(K) terms and there are K of them, while the scale is K terms: the
// deviation is about half a rounding of the scale, and up to three times that where a result is itself large, because
// then so are its partial sums. The largest of ten thousand results is off by some four deviations. Reached: 3.2 on
// lavapipe and SwiftShader where k is summed in order, 1.6 where it is summed in parallel; 7.0 on an NVIDIA H200 (one
// result of -18.4, a third of its scale).
static const double roundings = 12;

// Matrix units take weights in blocks as float16, to which they are rounded, either way.
static const double weight_roundings = 0x1p14;

typedef struct job {
    char label[96];
    vks_tensor y;
    double *wanted, *scale;
    double roundings; // allowed
} job;

// Weights of a block type whose blocks differ in size and in sign, and some of which are zeros.
static vks_tensor place_blocks(gpu *g, const matmul_case *c, uint64_t seed, bool pad, float *w) {
    for (size_t i = 0; i < (size_t)c->n * c->k; i += 32) {
        float factor = i / 32 % 7 == 3 ? 0 : check_uniform(&seed, -1, 1), shift = check_uniform(&seed, -0.5f, 0.5f);
        for (size_t k = i; k < i + 32; k++)
            w[k] = factor * (w[k] + shift);
    }
    uint64_t words = vks_quant_row_size(c->w, c->k) / 4;
    return gpu_blocks(g, c->w, c->n, c->k, pad ? words + 4 : 0, w);
}

static void record(gpu *g, const matmul_case *c, uint64_t seed, job *j) {
    snprintf(j->label, sizeof j->label, "m%u n%u k%u %s x %s = %s%s%s", c->m, c->n, c->k, vkssm_dtype_name(c->x),
             vkssm_dtype_name(c->w), vkssm_dtype_name(c->y), c->bias ? " bias" : "",
             c->accumulate ? " accumulate" : "");
    g->label = j->label;
    size_t n_y = (size_t)c->m * c->n;
    bool pad = seed % 2; // rows wider than need be
    uint64_t k_stride = vks_align_up(c->k, 8), y_stride = c->n + (pad ? 3 : 0);
    if (c->y != F32) y_stride = vks_align_up(y_stride, 2);
    float *x = gpu_random(&seed, (size_t)c->m * c->k, -1, 1), *w = gpu_random(&seed, (size_t)c->n * c->k, -1, 1);
    float *bias = gpu_random(&seed, c->n, -1, 1), *added = gpu_random(&seed, n_y, -1, 1);
    if (vks_is_block_type(c->w)) op_fill_codes(&seed, x, (size_t)c->m * c->k);
    vks_matmul op = {
        .x = gpu_rows(g, GPU_IN, c->x, c->m, c->k, k_stride + (pad ? 8 : 0), x), // padding is NaN and must not count
        .w = vks_is_block_type(c->w) ? place_blocks(g, c, seed, pad, w)
                                     : gpu_rows(g, GPU_WEIGHT, c->w, c->n, c->k, k_stride + (pad ? 8 : 0), w),
        .bias = c->bias ? gpu_vector(g, bias, c->n) : (vks_tensor){0},
        .y =
            gpu_rows(g, c->accumulate ? GPU_IN_OUT : GPU_OUT, c->y, c->m, c->n, y_stride, c->accumulate ? added : NULL),
        .accumulate = c->accumulate,
    };
    uint64_t n_scratch = vks_matmul_scratch_size(g->target.kernels, &op);
    if (n_scratch) {
        vks_tensor row = gpu_rows(g, GPU_OUT, F32, 1, (uint32_t)n_scratch, 0, NULL);
        op.scratch = vks_tensor_dense(row.address, F32, GPU_SHAPE((uint32_t)n_scratch));
    }
    CHECK_OK(vks_op_matmul(&g->target, &op));
    j->roundings = roundings + (vks_is_block_type(c->w) && c->x == F16 ? weight_roundings : 0);
    j->y = op.y;
    j->wanted = gpu_alloc(n_y, sizeof *j->wanted);
    j->scale = gpu_alloc(n_y, sizeof *j->scale);
    ref_matmul(&(ref_matmul_args){.n_row = c->m,
                                  .n_in = c->k,
                                  .n_out = c->n,
                                  .x = x,
                                  .w = w,
                                  .bias = c->bias ? bias : NULL,
                                  .added = c->accumulate ? added : NULL,
                                  .y = j->wanted,
                                  .scale = j->scale});
    vks_free(x);
    vks_free(w);
    vks_free(bias);
    vks_free(added);
}

static bool is_for_matrix_units(const matmul_case *c) {
    return c >= cases + FIRST_MATRIX_CASE && c < cases + FIRST_BLOCK_CASE;
}

// Whether a forced variant (NULL: the selector's choice) is to run a case. Left out is what it does not take, so that
// the selector's choice would run again, and what compiles a kernel without a new line in it: types for matrix units
// elsewhere; in the large tiled kernel, a second and a half of compiling each on lavapipe, types that the small one
// reads and writes by the same functions.
static bool runs(const char *variant, const matmul_case *c) {
    bool blocks = vks_is_block_type(c->w);
    if (!variant) return true;
    if (is_variant_of(variant, "matmul_s8")) return c == cases; // an operator of its own
    if (is_variant_of(variant, "matmul_coop")) return c->x == c->w;
    if (is_for_matrix_units(c)) return false;
    if (strcmp(variant, "matmul_direct") == 0 || strcmp(variant, "matmul_direct_1") == 0) return !blocks;
    if (is_variant_of(variant, "matmul_direct")) return blocks;
    if (strcmp(variant, "matmul_tiled_8") == 0)
        return blocks ? c->w == Q4_K : c->x == c->w || (c->x == F32 && c->w == F16);
    return true;
}

static void run_table(gpu *g, const matmul_case *table, size_t n) {
    job jobs[VKS_COUNT(cases)];
    size_t n_run = 0;
    gpu_begin(g);
    for (size_t i = 0; i < n; i++)
        if (runs(g->forced, &table[i])) record(g, &table[i], i, &jobs[n_run++]);
    CHECK(n_run > 0);
    CHECK(gpu_run(g));
    for (size_t i = 0; i < n_run; i++) {
        check_twin(g, jobs[i].label, &jobs[i].y, jobs[i].wanted, jobs[i].scale, jobs[i].roundings);
        vks_free(jobs[i].wanted);
        vks_free(jobs[i].scale);
    }
}
static void run_cases(gpu *g) {
    run_table(g, cases, VKS_COUNT(cases));
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
CHECK_CASE(variants) {
    run_variants("matmul", run_cases);
}
CHECK_CASE(large) {
    gpu *g = gpu_open(0);
    if (!(g->caps->features & VKS_FEATURE_COOPERATIVE_MATRIX)) CHECK_SKIP("the device has no cooperative matrices");
    run_table(g, large_cases, VKS_COUNT(large_cases));
}
CHECK_CASE(masked) {
    run_masked(run_cases);
}

// ---- what a product does on the way ---------------------------------------------------------------------------------

typedef struct fused_case {
    uint32_t m, n, k;
    vkssm_dtype x, w, y;
    bool norm, bias, accumulate;
    uint32_t n_tap, first, n_conv; // n_tap 0: no convolution
    bool slots;
    vks_matmul_tuning tuning;
} fused_case;

static const fused_case fused_cases[] = {
    {1, 1, 1, F32, F32, F32, true, false, false, 0, 0, 0, false, {0, 0, 0}},
    {1, 65, 100, F32, F16, F32, true, true, true, 0, 0, 0, false, {0, 0, 0}},
    {3, 66, 257, F16, BF16, F16, true, false, true, 0, 0, 0, false, {32, 4, 2}},
    {8, 7, 520, F32, F32, F32, true, false, false, 0, 0, 0, false, {32, 2, 2}},
    {9, 130, 64, F32, F16, F32, true, false, false, 0, 0, 0, false, {0, 4, 1}},
    {1, 40, 64, F32, F16, F32, true, true, false, 4, 16, 20, false, {0, 0, 0}},
    {3, 41, 72, F32, F16, F32, true, false, false, 2, 7, 33, true, {0, 0, 0}},
    {2, 31, 15, F32, F32, F32, false, true, false, 8, 0, 31, true, {0, 0, 0}},
    {1, 9, 256, F16, F16, F16, true, false, false, 3, 5, 1, true, {64, 8, 1}},
    {8, 300, 256, F32, F16, F32, true, false, false, 4, 128, 160, true, {0, 0, 0}},
};

// Beside the product's: factor, norm and silu round a few times each, and the convolution sums n_tap terms.
static const double fused_roundings = 20;

typedef struct fused_job {
    vks_tensor y, state;
    double *wanted, *scale;
    float *wanted_state; // with the twin's newest inputs in double precision below
    double *state_scale;
    size_t n_state;
} fused_job;

// The twin's convolution of outputs first ..., in place, and the states of all slots.
static void convolve_twin(const fused_case *c, const float *w, const float *bias, const int32_t *slots, fused_job *j) {
    for (uint32_t m = 0; m < c->m; m++)
        for (uint32_t ch = 0; ch < c->n_conv; ch++) {
            double *y = &j->wanted[(size_t)m * c->n + c->first + ch],
                   *scale = &j->scale[(size_t)m * c->n + c->first + ch];
            size_t at = (size_t)(slots ? slots[m] : (int32_t)m) * (c->n_tap - 1) * c->n_conv + ch;
            double sum = bias[ch], newest = *y, total = fabs(sum) + fabs(w[(c->n_tap - 1) * c->n_conv + ch]) * *scale;
            for (uint32_t t = 0; t + 1 < c->n_tap; t++) {
                sum += (double)w[t * c->n_conv + ch] * j->wanted_state[at + t * c->n_conv];
                total += fabs((double)w[t * c->n_conv + ch] * j->wanted_state[at + t * c->n_conv]);
            }
            for (uint32_t t = 0; t + 2 < c->n_tap; t++)
                j->wanted_state[at + t * c->n_conv] = j->wanted_state[at + (t + 1) * c->n_conv];
            j->wanted_state[at + (c->n_tap - 2) * c->n_conv] = (float)newest;
            j->state_scale[at + (c->n_tap - 2) * c->n_conv] = *scale;
            *y = ref_silu(sum + w[(c->n_tap - 1) * c->n_conv + ch] * newest);
            *scale = total;
        }
}

static void record_fused(gpu *g, const fused_case *c, uint64_t seed, fused_job *j) {
    static const int32_t slots[9] = {3, 0, 9, 1, 2, 8, 7, 4, 5};
    enum { N_SLOT = 10 };
    uint32_t n_past = c->n_tap ? (c->n_tap - 1) * c->n_conv : 0, n_y = c->m * c->n;
    uint64_t k_stride = vks_align_up(c->k, 8), y_stride = vks_align_up(c->n, 2);
    float *x = gpu_random(&seed, (size_t)c->m * c->k, -1, 1), *w = gpu_random(&seed, (size_t)c->n * c->k, -1, 1);
    float *bias = gpu_random(&seed, c->n, -1, 1), *added = gpu_random(&seed, n_y, -1, 1);
    float *norm = gpu_random(&seed, c->k, 0.5f, 2), *conv_w = gpu_random(&seed, c->n_tap * c->n_conv + 1, -1, 1);
    float *conv_bias = gpu_random(&seed, c->n_conv + 1, -1, 1), *state = gpu_random(&seed, N_SLOT * n_past + 1, -1, 1);
    vks_matmul op = {
        .x = gpu_rows(g, GPU_IN, c->x, c->m, c->k, k_stride, x),
        .w = gpu_rows(g, GPU_WEIGHT, c->w, c->n, c->k, k_stride, w),
        .bias = c->bias ? gpu_vector(g, bias, c->n) : (vks_tensor){0},
        .y =
            gpu_rows(g, c->accumulate ? GPU_IN_OUT : GPU_OUT, c->y, c->m, c->n, y_stride, c->accumulate ? added : NULL),
        .accumulate = c->accumulate,
        .norm = c->norm ? gpu_vector(g, norm, c->k) : (vks_tensor){0},
        .norm_eps = 1e-3f,
        .tuning = c->tuning,
    };
    *j = (fused_job){.y = op.y, .n_state = (size_t)N_SLOT * n_past};
    j->wanted = gpu_alloc(n_y, sizeof *j->wanted);
    j->scale = gpu_alloc(n_y, sizeof *j->scale);
    j->wanted_state = gpu_alloc(j->n_state + 1, sizeof *j->wanted_state);
    j->state_scale = gpu_alloc(j->n_state + 1, sizeof *j->state_scale);
    if (c->n_tap) {
        vks_tensor rows = gpu_rows(g, GPU_IN_OUT, F32, N_SLOT, n_past, n_past + 3, state);
        op.conv = (vks_matmul_conv){
            .w = gpu_reshape(gpu_rows(g, GPU_IN, F32, c->n_tap, c->n_conv, 0, conv_w), 1,
                             GPU_SHAPE(c->n_tap, c->n_conv)),
            .bias = gpu_vector(g, conv_bias, c->n_conv),
            .state = gpu_reshape(rows, 1, GPU_SHAPE(N_SLOT, c->n_tap - 1, c->n_conv)),
            .slots = c->slots ? gpu_word_vector(g, slots, c->m) : (vks_tensor){0},
            .first = c->first,
        };
        j->state = rows;
        memcpy(j->wanted_state, state, j->n_state * sizeof *state);
    }
    CHECK_OK(vks_op_matmul(&g->target, &op));
    // What y held is added behind the convolution.
    ref_matmul(&(ref_matmul_args){.n_row = c->m,
                                  .n_in = c->k,
                                  .n_out = c->n,
                                  .x = x,
                                  .w = w,
                                  .bias = c->bias ? bias : NULL,
                                  .norm = c->norm ? norm : NULL,
                                  .norm_eps = 1e-3f,
                                  .y = j->wanted,
                                  .scale = j->scale});
    if (c->n_tap) convolve_twin(c, conv_w, conv_bias, c->slots ? slots : NULL, j);
    for (uint32_t i = 0; c->accumulate && i < n_y; i++) {
        j->wanted[i] += added[i];
        j->scale[i] += fabs(added[i]);
    }
    float *all[] = {x, w, bias, added, norm, conv_w, conv_bias, state};
    for (size_t i = 0; i < VKS_COUNT(all); i++)
        vks_free(all[i]);
}

static void run_fused(gpu *g) {
    fused_job jobs[VKS_COUNT(fused_cases)];
    gpu_begin(g);
    for (size_t i = 0; i < VKS_COUNT(fused_cases); i++) {
        g->label = "fused";
        record_fused(g, &fused_cases[i], i, &jobs[i]);
    }
    CHECK(gpu_run(g));
    for (size_t i = 0; i < VKS_COUNT(fused_cases); i++) {
        fused_job *j = &jobs[i];
        char label[64];
        snprintf(label, sizeof label, "fused case %zu", i);
        check_twin(g, label, &j->y, j->wanted, j->scale, fused_roundings);
        if (j->n_state) { // what only moved is exact: its scale is 0
            double *wanted = gpu_alloc(j->n_state, sizeof *wanted);
            for (size_t k = 0; k < j->n_state; k++)
                wanted[k] = j->wanted_state[k];
            check_twin(g, "its state", &j->state, wanted, j->state_scale, fused_roundings);
            vks_free(wanted);
        }
        vks_free(j->wanted);
        vks_free(j->scale);
        vks_free(j->wanted_state);
        vks_free(j->state_scale);
    }
}
CHECK_CASE(fused) {
    run_fused(gpu_open(0));
}
CHECK_CASE(fused_plain) {
    gpu *g = gpu_open(0);
    vks_kernels_force(g->target.kernels, "matmul_vector");
    CHECK(vks_matmul_fuses(g->target.kernels, 1));
    run_fused(g);
    vks_kernels_force(g->target.kernels, NULL);
}

// A row has the same bits whether it stands alone or among others, given the same most_rows.
static void check_rows_apart(gpu *g) {
    enum { M = 11, N = 50, K = 264 };
    uint64_t seed = 17;
    float *x = gpu_random(&seed, M * K, -1, 1), *w = gpu_random(&seed, N * K, -1, 1),
          *norm = gpu_random(&seed, K, 0.5f, 2);
    double together[M * N], alone[N];
    for (int fuse = 0; fuse < 2; fuse++) {
        vks_tensor y[M];
        gpu_begin(g);
        g->label = "rows apart";
        vks_matmul op = {
            .x = gpu_rows(g, GPU_IN, F32, M, K, 0, x),
            .w = gpu_rows(g, GPU_WEIGHT, F16, N, K, 0, w),
            .y = gpu_rows(g, GPU_OUT, F32, M, N, 0, NULL),
            .norm = fuse ? gpu_vector(g, norm, K) : (vks_tensor){0},
            .norm_eps = 1e-5f,
            .most_rows = 64,
        };
        CHECK_OK(vks_op_matmul(&g->target, &op));
        for (uint32_t m = 0; m < M; m++) {
            vks_matmul one = op;
            one.x = vks_tensor_slice(op.x, 0, m, 1);
            one.y = y[m] = gpu_rows(g, GPU_OUT, F32, 1, N, 0, NULL);
            CHECK_OK(vks_op_matmul(&g->target, &one));
        }
        CHECK(gpu_run(g));
        gpu_read(g, &op.y, together);
        for (uint32_t m = 0; m < M; m++) {
            gpu_read(g, &y[m], alone);
            CHECK(memcmp(alone, together + m * N, sizeof alone) == 0);
        }
    }
    vks_free(x);
    vks_free(w);
    vks_free(norm);
}

CHECK_CASE(rows_are_apart) {
    gpu *g = gpu_open(0);
    check_rows_apart(g);
    vks_kernels_force(g->target.kernels, "matmul_vector_sg"); // eight rows at a time, and three
    check_rows_apart(g);
    vks_kernels_force(g->target.kernels, NULL);
}

// Weights below 2^-14 are subnormal in float16. Vulkan lets a device take them for zero; then the products are lost and
// nothing else may be.
static void run_subnormal(gpu *g) {
    enum { M = 3, N = 9, K = 40 };
    uint64_t seed = 5;
    float *x = gpu_random(&seed, M * K, -1, 1), *w = gpu_random(&seed, N * K, -1e-6f, 1e-6f);
    float bias[N] = {0}; // a kernel that the table's cases have compiled
    double wanted[M * N], scale[M * N], found[M * N], zero[M * N] = {0};
    gpu_begin(g);
    g->label = "subnormal weights";
    vks_matmul op = {
        .x = gpu_rows(g, GPU_IN, F32, M, K, 0, x),
        .w = gpu_rows(g, GPU_WEIGHT, F16, N, K, 0, w),
        .bias = gpu_vector(g, bias, N),
        .y = gpu_rows(g, GPU_OUT, F32, M, N, 0, NULL),
    };
    CHECK_OK(vks_op_matmul(&g->target, &op));
    CHECK(gpu_run(g));
    ref_matmul(&(ref_matmul_args){.n_row = M, .n_in = K, .n_out = N, .x = x, .w = w, .y = wanted, .scale = scale});
    gpu_read(g, &op.y, found);
    if (ref_compare(found, zero, zero, M * N, REF_F32, 0).worst <= 1)
        printf("  %s takes subnormal float16 weights for zero: up to %g is lost per term\n", g->caps->name, 0x1p-14);
    else
        check_twin(g, g->label, &op.y, wanted, scale, roundings);
    check_n_checked++;
    vks_free(x);
    vks_free(w);
}

CHECK_CASE(subnormal_weights) {
    run_variants("matmul", run_subnormal);
}

// Results beyond float16's range are stored as its largest number, and NaN as NaN.
static void run_saturation(gpu *g) {
    enum { M = 3, N = 20, K = 16 };
    float x[M * K], w[N * K], added[M * N] = {0};
    double found[M * N];
    for (int i = 0; i < M * K; i++)
        x[i] = i / K == 2 ? NAN : i / K ? -400.0f : 400.0f; // rows: 2.56e6, -2.56e6, NaN
    for (int i = 0; i < N * K; i++)
        w[i] = i / K == N - 1 ? 0.5f : 400.0f; // the last column: 3200 and -3200
    gpu_begin(g);
    g->label = "saturation";
    vks_matmul op = {
        .x = gpu_rows(g, GPU_IN, F16, M, K, 0, x),
        .w = gpu_rows(g, GPU_WEIGHT, F16, N, K, 0, w),
        .y = gpu_rows(g, GPU_IN_OUT, F16, M, N, 0, added),
        .accumulate = true, // a kernel that the table's cases have compiled
    };
    CHECK_OK(vks_op_matmul(&g->target, &op));
    CHECK(gpu_run(g));
    gpu_read(g, &op.y, found);
    for (int n = 0; n < N; n++) {
        double wanted = n == N - 1 ? 3200 : 65504;
        CHECK(found[n] == wanted);
        CHECK(found[N + n] == -wanted);
        CHECK(isnan(found[2 * N + n]));
    }
}
CHECK_CASE(saturation) {
    run_saturation(gpu_open(0));
    run_variants("matmul", run_saturation);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_matmul good = {
        .x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 8)),
        .w = vks_tensor_dense(somewhere, F16, GPU_SHAPE(5, 8)),
        .bias = vks_tensor_dense(somewhere, F32, GPU_SHAPE(5)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 5)),
    };
    CHECK_OK(vks_op_matmul(&target, &good));
    vks_matmul bad = good;
    bad.x.address = 0;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: x: shape [3, 8] expected, there is no tensor");
    bad = good;
    bad.x.dtype = VKSSM_DTYPE_F64;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: x: F32, F16 or BF16 expected, F64 found");
    bad = good;
    bad.x.stride[0] = 12;
    CHECK_REFUSED(vks_op_matmul(&target, &bad),
                  "matmul: x: a stride of dimension 0 that is a multiple of 8 expected, 12");
    bad = good;
    bad.x.stride[1] = 2;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: x: a dense last dimension expected, stride 2 found");
    bad = good;
    bad.w.shape[1] = 7;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: w: shape [5, 8] expected, [5, 7] found");
    bad = good;
    bad.w.stride[0] = 0;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: w: a row stride of at least 8 expected, 0 found");
    bad = good;
    bad.w.dtype = VKSSM_DTYPE_I8;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: w: F32, F16 or BF16 expected, I8 found");
    bad = good;
    bad.w = vks_tensor_blocks(somewhere, Q4_0, 5, 8);
    CHECK_REFUSED(vks_op_matmul(&target, &bad),
                  "matmul: w: rows of a multiple of 32 values for Q4_0 expected, 8 found");
    bad.x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 32));
    bad.w = vks_tensor_blocks(somewhere, Q4_0, 5, 32);
    CHECK_OK(vks_op_matmul(&target, &bad));
    bad.w.stride[0] = 4;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: w: a row stride of at least 8 words expected, 4 found");
    bad = good;
    bad.bias.shape[0] = 4;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: bias: shape [5] expected, [4] found");
    bad = good;
    bad.bias.dtype = F16;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: bias: F32 expected, F16 found");
    bad = good;
    bad.norm = vks_tensor_dense(somewhere, F32, GPU_SHAPE(7));
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: norm: shape [8] expected, [7] found");
    bad = good;
    bad.scratch = vks_tensor_dense(somewhere, F16, GPU_SHAPE(8));
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: scratch: F32 expected, F16 found");
    bad = good;
    bad.most_rows = 2;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: at most 2 rows expected, 3 found");
    bad = good;
    bad.conv = (vks_matmul_conv){.w = vks_tensor_dense(somewhere, F32, GPU_SHAPE(4, 3)),
                                 .state = vks_tensor_dense(somewhere, F32, GPU_SHAPE(3, 3, 3)),
                                 .first = 3};
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: a convolution inside 5 outputs expected, 3 + 3 found");
    bad.accumulate = true;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: a convolution or a sum expected, both found");
    bad.accumulate = false;
    bad.conv.state.shape[1] = 2;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: conv state: shape [3, 3, 3] expected, [3, 2, 3] found");
    bad.conv.w.shape[0] = 9;
    CHECK_EQ(vks_op_matmul(&target, &bad), VKSSM_ERR_UNSUPPORTED);
    bad = good;
    bad.y.n_dim = 1;
    CHECK_REFUSED(vks_op_matmul(&target, &bad), "matmul: y: shape [3, 5] expected, [3] found");
    bad = good;
    bad.y.dtype = F16;
    CHECK_REFUSED(vks_op_matmul(&target, &bad),
                  "matmul: y: a stride of dimension 0 that is a multiple of 2 expected, 5");
}

int main(int argc, char **argv) {
    return gpu_main(argc, argv,
                    (check_case[]){CHECK_RUN(selected),
                                   CHECK_RUN(variants),
                                   CHECK_RUN(large),
                                   CHECK_RUN(masked),
                                   CHECK_RUN(fused),
                                   CHECK_RUN(fused_plain),
                                   CHECK_RUN(rows_are_apart),
                                   CHECK_RUN(subnormal_weights),
                                   CHECK_RUN(saturation),
                                   CHECK_RUN(refuses),
                                   {0}});
}

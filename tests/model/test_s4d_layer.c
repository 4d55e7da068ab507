// S4D as a recurrence: one layer of models/block/diagonal_ssm.h against the convolution that defines it, in the
// parallel form and step by step with the same state.
#define _XOPEN_SOURCE 700
#include <math.h>

#include "harness/gpu.h"
#include "harness/files.h"
#include "host/core/binder.h"
#include "host/core/state.h"
#include "models/block/diagonal_ssm.h"
#include "ref/ref.h"
#include "ref/ref_s5_model.h"

enum { H = 6, N = 5, P = H * N, T = 47, FIRST = 20, SCRATCH = 1 << 18 }; // N: states of a channel, conjugates left out

// Of what the terms would be without cancellation: a kernel has up to 2 |C B| per state, 30 of them; states sum 47
// steps, products 60 terms, each rounding once, at 2^-24. Reached: 2.5e-7 of the largest value.
#define GAP 2e-6

typedef struct parameters {
    float log_dt[H], log_a_real[H * N], a_imag[H * N], c[2 * H * N], d[H], u[T * H];
} parameters;

// As the initialisation S4D-Lin has it: real parts -1/2, imaginary parts pi n.
static void make(parameters *q) {
    uint64_t seed = 3;
    for (int h = 0; h < H; h++) {
        q->log_dt[h] = check_uniform(&seed, -5, -1);
        q->d[h] = check_uniform(&seed, -1, 1);
        for (int n = 0; n < N; n++) {
            q->log_a_real[h * N + n] = check_uniform(&seed, -0.8f, -0.6f);
            q->a_imag[h * N + n] = 3.14159265f * (float)n;
        }
    }
    for (int i = 0; i < 2 * H * N; i++)
        q->c[i] = check_uniform(&seed, -1, 1);
    for (int i = 0; i < T * H; i++)
        q->u[i] = check_uniform(&seed, -1, 1);
}

static bool write_file(const parameters *q) {
    const vkssm_named_tensor tensors[] = {
        {.name = "l.kernel.log_dt", .n_dim = 1, .shape = {H}, .data = q->log_dt, .size = sizeof q->log_dt},
        {.name = "l.kernel.log_A_real",
         .n_dim = 2,
         .shape = {H, N},
         .data = q->log_a_real,
         .size = sizeof q->log_a_real},
        {.name = "l.kernel.A_imag", .n_dim = 2, .shape = {H, N}, .data = q->a_imag, .size = sizeof q->a_imag},
        {.name = "l.kernel.C", .n_dim = 3, .shape = {H, N, 2}, .data = q->c, .size = sizeof q->c},
        {.name = "l.D", .n_dim = 1, .shape = {H}, .data = q->d, .size = sizeof q->d},
    };
    return vkssm_tensor_file_write(files_path("s4d.safetensors"), NULL, tensors, VKS_COUNT(tensors)) == VKSSM_OK;
}

static const vks_diagonal_config config = {.kind = VKS_DIAGONAL_S4D, .n_channel = H, .n_state = P};

static vkssm_status load(gpu *g, vks_arena **arena, vks_diagonal_ssm *ssm) {
    vks_weights *weights;
    VKS_TRY(vks_weights_open(files_path("s4d.safetensors"), NULL, &weights));
    vks_binder binder = {.path = "s4d"};
    vks_bind bind = {.weights = weights, .binder = &binder};
    vks_bind_prefix(&bind, "%s", "l.");
    vkssm_status status = vks_diagonal_bind(&bind, &config, ssm);
    if (status == VKSSM_OK) status = vks_arena_create(g->device, VKS_ROLE_WEIGHTS, 1 << 20, "s4d", arena);
    if (status == VKSSM_OK) status = vks_binder_upload(&binder, g->device, *arena, &(vkssm_progress){0});
    CHECK_EQ(binder.n_parameter, 2 * H + 4 * H * N);
    vks_binder_finish(&binder);
    vks_weights_destroy(&weights);
    return status;
}

// Rows first ... first+n-1 of u through the layer, and d u added.
static vkssm_status record(gpu *g, const vks_diagonal_ssm *ssm, vks_tensor u, vks_tensor y, vks_state_view state,
                           vks_tensor scratch, uint32_t first, uint32_t n) {
    vks_plan plan = {.target = g->target, .base = scratch.address, .size = SCRATCH * sizeof(float)};
    vks_diagonal_call call = {.n_sequence = 1, .n_time = n, .state = state};
    vks_tensor before;
    call.u = vks_tensor_slice(u, 0, first, n);
    VKS_TRY(vks_plan_rows(&plan, VKSSM_DTYPE_F32, n, H, &before));
    call.y = before;
    VKS_TRY(vks_diagonal_record(&config, ssm, &plan, &call));
    return vks_op_activation(
        &g->target, &(vks_activation){.x = before, .d = ssm->d, .skip = call.u, .y = vks_tensor_slice(y, 0, first, n)});
}

static void check(gpu *g, const char *what, const vks_tensor *y, const double *wanted) {
    double found[T * H], largest = 0, gap = 0;
    gpu_read(g, y, found);
    for (int i = 0; i < T * H; i++) {
        double apart = fabs(found[i] - wanted[i]);
        largest = fmax(largest, fabs(wanted[i]));
        gap = isnan(apart) ? INFINITY : fmax(gap, apart);
    }
    printf("  %s: %.2g of the largest value\n", what, gap / largest);
    check_n_checked++;
    if (!(gap <= GAP * largest))
        CHECK_FAIL("%s: %.3g of the largest value, at most %g expected", what, gap / largest, GAP);
}

CHECK_CASE(against_the_convolution) {
    static parameters q;
    static double wanted[T * H];
    gpu *g = gpu_open(0);
    vks_arena *arena = NULL;
    vks_diagonal_ssm ssm;
    make(&q);
    CHECK(write_file(&q));
    CHECK_OK(load(g, &arena, &ssm));
    ref_s4d_layer(H, N, T, q.log_dt, q.log_a_real, q.a_imag, q.c, q.d, q.u, wanted);

    vks_state_layout layout = {0};
    CHECK_OK(vks_diagonal_state(&config, &layout));
    CHECK_EQ(layout.n_entry, 1);
    gpu_begin(g);
    vks_tensor u = gpu_rows(g, GPU_IN, VKSSM_DTYPE_F32, T, H, 8, q.u), y[3], states[3];
    vks_tensor scratch = gpu_rows(g, GPU_OUT, VKSSM_DTYPE_F32, 1, SCRATCH, 0, NULL);
    float *zeros = gpu_alloc(layout.n_float, sizeof *zeros);
    for (int i = 0; i < 3; i++) {
        y[i] = gpu_rows(g, GPU_OUT, VKSSM_DTYPE_F32, T, H, 8, NULL);
        states[i] = gpu_rows(g, GPU_IN_OUT, VKSSM_DTYPE_F32, 1, (uint32_t)layout.n_float, 0, zeros);
        vks_state_view view = {.layout = &layout, .address = states[i].address, .n_slot = 1};
        if (i == 0) CHECK_OK(record(g, &ssm, u, y[i], view, scratch, 0, T));
        for (uint32_t t = 0; i == 1 && t < T; t++)
            CHECK_OK(record(g, &ssm, u, y[i], view, scratch, t, 1));
        if (i == 2) { // the state of the parallel form is that of the steps
            CHECK_OK(record(g, &ssm, u, y[i], view, scratch, 0, FIRST));
            for (uint32_t t = FIRST; t < T; t++)
                CHECK_OK(record(g, &ssm, u, y[i], view, scratch, t, 1));
        }
    }
    CHECK(gpu_run(g));
    check(g, "parallel", &y[0], wanted);
    check(g, "by steps", &y[1], wanted);
    check(g, "parallel, then by steps", &y[2], wanted);
    vks_free(zeros);
    vks_state_layout_finish(&layout);
    vks_arena_destroy(&arena);
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int status = gpu_main(argc, argv, (check_case[]){CHECK_RUN(against_the_convolution), {0}});
    files_end();
    return status;
}

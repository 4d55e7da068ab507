// resample2d against its twin, in every mode.
#include "op_test.h"

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define BF16 VKSSM_DTYPE_BF16

typedef struct resample_case {
    vks_resample mode;
    uint32_t n, h, w, c, wh, ww; // of x
    vkssm_dtype x, y;
} resample_case;

// An invocation takes two channels (or pixels), a workgroup 128 or 16 times as many.
static const resample_case cases[] = {
    {VKS_AVERAGE, 1, 1, 1, 1, 1, 1, F32, F32},     {VKS_AVERAGE, 2, 6, 4, 7, 2, 2, F32, F32},
    {VKS_AVERAGE, 3, 16, 16, 32, 2, 2, F32, F16},  {VKS_AVERAGE, 2, 9, 10, 5, 9, 10, BF16, F32},
    {VKS_AVERAGE, 1, 6, 15, 3, 3, 5, F16, BF16},   {VKS_NEAREST, 1, 1, 1, 1, 2, 2, F32, F32},
    {VKS_NEAREST, 2, 5, 3, 9, 2, 2, F32, F32},     {VKS_NEAREST, 3, 4, 4, 33, 3, 1, F16, F16},
    {VKS_FROM_PLANES, 1, 1, 1, 1, 1, 1, F32, F32}, {VKS_FROM_PLANES, 3, 5, 7, 1, 1, 1, F32, F32},
    {VKS_FROM_PLANES, 2, 6, 9, 3, 1, 1, F32, F16}, {VKS_FROM_PLANES, 1, 8, 8, 10, 1, 1, F32, BF16},
    {VKS_TO_PLANES, 1, 1, 1, 1, 1, 1, F32, F32},   {VKS_TO_PLANES, 2, 5, 7, 3, 1, 1, F32, F32},
    {VKS_TO_PLANES, 2, 6, 8, 12, 1, 1, F16, F32},
};

// Copies are exact; a mean of K has K - 1 sums and a division (2.5 units), each relative to a part of the scale.
// Reached: 3.
static const double roundings = 8;

static void record(gpu *g, const void *one, uint64_t seed, op_job *j) {
    const resample_case *c = one;
    bool from = c->mode == VKS_FROM_PLANES, to = c->mode == VKS_TO_PLANES, nearest = c->mode == VKS_NEAREST;
    uint32_t oh = nearest ? c->h * c->wh : c->h / c->wh, ow = nearest ? c->w * c->ww : c->w / c->ww;
    snprintf(j->label, sizeof j->label, "mode %d n%u %ux%u c%u by %ux%u %s = %s", (int)c->mode, c->n, c->h, c->w, c->c,
             c->wh, c->ww, vkssm_dtype_name(c->x), vkssm_dtype_name(c->y));
    g->label = j->label;
    size_t n_x = (size_t)c->n * c->h * c->w * c->c, n_y = (size_t)c->n * oh * ow * c->c;
    float *x = gpu_random(&seed, n_x, -1, 1);
    vks_resample2d op = {.mode = c->mode, .window_height = c->wh, .window_width = c->ww};
    uint32_t plane = c->c * c->h * c->w;
    if (from)
        op.x = gpu_reshape(gpu_rows(g, GPU_IN, c->x, c->n, plane, plane + 3, x), 1, 4,
                           (uint32_t[]){c->n, c->c, c->h, c->w});
    else
        op.x = vks_tensor_images(gpu_rows(g, GPU_IN, c->x, c->n * c->h * c->w, c->c, c->c + 2, x), c->h, c->w);
    // From planes the whole pixel is written, zeros behind the channels: the padding is part of the output there.
    uint32_t stride = (uint32_t)vks_align_up(c->c, 8), n_written = from ? stride : c->c;
    if (to) {
        j->y = gpu_rows(g, GPU_OUT, c->y, c->n, plane, plane + 1, NULL);
        op.y = gpu_reshape(j->y, 1, 4, (uint32_t[]){c->n, c->c, c->h, c->w});
    } else {
        vks_tensor rows = gpu_rows(g, GPU_OUT, c->y, c->n * oh * ow, n_written, stride, NULL);
        j->y = vks_tensor_slice(rows, 1, 0, c->c);
        op.y = vks_tensor_images(j->y, oh, ow);
    }
    CHECK_OK(vks_op_resample2d(&g->target, &op));
    j->wanted = gpu_alloc(n_y, sizeof *j->wanted);
    j->scale = gpu_alloc(n_y, sizeof *j->scale);
    ref_resample2d(&(ref_resample2d_args){.n_image = c->n,
                                          .height = c->h,
                                          .width = c->w,
                                          .n_channel = c->c,
                                          .window_height = c->wh,
                                          .window_width = c->ww,
                                          .x = x,
                                          .mode = (ref_resample)c->mode,
                                          .y = j->wanted,
                                          .scale = j->scale});
    vks_free(x);
}

static void run_cases(gpu *g) {
    RUN_AGAINST_TWIN(g, cases, record, roundings);
}
CHECK_CASE(selected) {
    run_cases(gpu_open(0));
}
CHECK_CASE(masked) { // there is one variant, which needs nothing
    run_masked(run_cases);
}

// What stands behind the channels of a pixel that came from planes is zero: convolutions read it.
CHECK_CASE(zeros_behind) {
    gpu *g = gpu_open(0);
    g->label = "zeros behind the channels";
    gpu_begin(g);
    uint64_t seed = 3;
    float *x = gpu_random(&seed, 3 * 4, -1, 1);
    vks_tensor planes = gpu_reshape(gpu_rows(g, GPU_IN, F32, 1, 12, 0, x), 1, 4, (uint32_t[]){1, 3, 2, 2});
    vks_tensor rows = gpu_rows(g, GPU_OUT, F32, 4, 8, 8, NULL);
    CHECK_OK(
        vks_op_resample2d(&g->target, &(vks_resample2d){.x = planes,
                                                        .y = vks_tensor_images(vks_tensor_slice(rows, 1, 0, 3), 2, 2),
                                                        .mode = VKS_FROM_PLANES}));
    CHECK(gpu_run(g));
    double found[32];
    gpu_read(g, &rows, found);
    for (int i = 0; i < 32; i++)
        CHECK_NEAR(found[i], i % 8 < 3 ? (double)x[i % 8 * 4 + i / 8] : 0.0, 0);
    vks_free(x);
}

CHECK_CASE(refuses) {
    vks_op_target target = {.kernels = gpu_open(0)->target.kernels};
    const uint64_t somewhere = 4096; // never touched: nothing is recorded
    const vks_resample2d good = {
        .x = vks_tensor_dense(somewhere, F32, GPU_SHAPE(2, 6, 4, 3)),
        .y = vks_tensor_dense(somewhere, F32, GPU_SHAPE(2, 3, 2, 3)),
        .mode = VKS_AVERAGE,
        .window_height = 2,
        .window_width = 2,
    };
    CHECK_OK(vks_op_resample2d(&target, &good));
    vks_resample2d bad = good;
    bad.window_height = 4;
    CHECK_REFUSED(vks_op_resample2d(&target, &bad),
                  "resample2d: a window that divides 6 x 4 pixels expected, 4 x 2 found");
    bad.window_height = 0;
    CHECK_REFUSED(vks_op_resample2d(&target, &bad),
                  "resample2d: a window that divides 6 x 4 pixels expected, 0 x 2 found");
    bad = good;
    bad.mode = VKS_NEAREST;
    CHECK_REFUSED(vks_op_resample2d(&target, &bad), "resample2d: y: shape [2, 12, 8, 3] expected, [2, 3, 2, 3] found");
    bad = good;
    bad.x.stride[1] = 16;
    CHECK_REFUSED(vks_op_resample2d(&target, &bad), "resample2d: x: a stride of dimension 1 of 12 expected, 16 found");
    bad = good;
    bad.mode = VKS_TO_PLANES;
    CHECK_REFUSED(vks_op_resample2d(&target, &bad), "resample2d: y: shape [2, 3, 6, 4] expected");
    bad.mode = VKS_FROM_PLANES;
    bad.x.dtype = F16;
    CHECK_REFUSED(vks_op_resample2d(&target, &bad), "resample2d: x: F32 expected, F16 found");
}

int main(int argc, char **argv) {
    return gpu_main(
        argc, argv,
        (check_case[]){CHECK_RUN(selected), CHECK_RUN(masked), CHECK_RUN(zeros_behind), CHECK_RUN(refuses), {0}});
}

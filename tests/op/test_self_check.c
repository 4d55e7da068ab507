// What the library holds of the self-check's cases against the operators' twins, on the very inputs that the self-check
// makes. `test_self_check print` prints host/core/self_check_expected.h anew.
#include "harness/gpu.h"
#include "ref/ref.h"

#include <math.h>
#include <string.h>

#include "host/base/half.h"
#include "host/base/quant.h"
#include "host/core/self_check.h"
#include "host/op/kernel.h"
#include "host/op/op_list.h"

// ---- inputs as they went to the device
// -------------------------------------------------------------------------------

enum { MAX_INPUT = 32, MAX_RESULT = 3 };

typedef struct input {
    uint64_t address, size; // bytes, of types that are no blocks
    float *values;
} input;

typedef struct inputs {
    input items[MAX_INPUT];
    uint32_t n;
} inputs;

static float value_at(vkssm_dtype dtype, const uint8_t *bytes, size_t i) {
    float value;
    int32_t word;
    uint16_t half;
    switch (dtype) {
    case VKSSM_DTYPE_F32:
        memcpy(&value, bytes + 4 * i, 4);
        return value;
    case VKSSM_DTYPE_I32:
        memcpy(&word, bytes + 4 * i, 4);
        return (float)word;
    case VKSSM_DTYPE_F16:
    case VKSSM_DTYPE_BF16:
        memcpy(&half, bytes + 2 * i, 2);
        return dtype == VKSSM_DTYPE_F16 ? vks_f16_to_f32(half) : vks_bf16_to_f32(half);
    default:
        return (float)ref_quant_value(dtype == VKSSM_DTYPE_Q8_0   ? REF_Q8_0
                                      : dtype == VKSSM_DTYPE_Q4_0 ? REF_Q4_0
                                      : dtype == VKSSM_DTYPE_Q4_K ? REF_Q4_K
                                                                  : REF_Q6_K,
                                      bytes, i);
    }
}

static void observe(void *user, const vks_tensor *tensor, uint64_t offset, const void *bytes, uint64_t size) {
    inputs *in = user;
    size_t n_all = 1, n = tensor->shape[1], first = 0;
    for (uint32_t d = 0; d < tensor->n_dim; d++)
        n_all *= tensor->shape[d];
    if (vks_is_block_type(tensor->dtype))
        first = (size_t)(offset / size) * n; // a row
    else
        n = n_all;
    input *item = &in->items[offset ? in->n - 1 : in->n++];
    if (!offset)
        *item = (input){tensor->address, n_all * vkssm_dtype_size(tensor->dtype), gpu_alloc(n_all, sizeof(float))};
    for (size_t i = 0; i < n; i++)
        item->values[first + i] = value_at(tensor->dtype, bytes, i);
}

// The values of a dense input, or the elements of a slice of one, copied out densely. Freed with the inputs.
static float *values_of(inputs *in, const vks_tensor *t) {
    for (uint32_t i = 0; i < in->n && t->address; i++) {
        const input *item = &in->items[i];
        uint64_t width = vkssm_dtype_size(t->dtype);
        if (vks_is_block_type(t->dtype)) {
            if (item->address == t->address) return item->values;
            continue;
        }
        if (t->address < item->address || t->address >= item->address + item->size) continue;
        size_t n = 1, first = (size_t)((t->address - item->address) / width);
        for (uint32_t d = 0; d < t->n_dim; d++)
            n *= t->shape[d];
        float *values = gpu_alloc(n, sizeof *values);
        for (size_t k = 0; k < n; k++) {
            size_t rest = k, at = first;
            for (uint32_t d = t->n_dim; d-- > 0; rest /= t->shape[d])
                at += rest % t->shape[d] * (size_t)t->stride[d];
            values[k] = item->values[at];
        }
        in->items[in->n++] = (input){.values = values};
        return values;
    }
    return NULL;
}

// ---- twins
// -----------------------------------------------------------------------------------------------------------

// Outputs and states, in the order in which the case's family places them.
typedef struct results {
    double *values[MAX_RESULT], *scale;
    size_t n[MAX_RESULT];
} results;

static double *take(results *r, int i, size_t n) {
    r->n[i] = n;
    if (!r->scale || n > 0) {
        vks_free(r->scale);
        r->scale = gpu_alloc(4 * (n + r->n[0]) + 1, sizeof *r->scale);
    }
    return r->values[i] = gpu_alloc(n, sizeof(double));
}

static void twin_of_products(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    double *y = take(r, 0, (size_t)e->n[0] * e->n[2]);
    ref_matmul(&(ref_matmul_args){.n_row = e->n[0],
                                  .n_in = e->n[1],
                                  .n_out = e->n[2],
                                  .x = values_of(in, &op->matmul.x),
                                  .w = values_of(in, &op->matmul.w),
                                  .y = y,
                                  .scale = r->scale});
}

static void twin_of_embedding(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    const float *values = values_of(in, &op->embedding.ids);
    int32_t *ids = gpu_alloc(e->n[0], sizeof *ids);
    for (uint32_t i = 0; i < e->n[0]; i++)
        ids[i] = (int32_t)values[i];
    double *y = take(r, 0, (size_t)e->n[0] * e->n[2]);
    ref_embedding(&(ref_embedding_args){.n_row = e->n[0],
                                        .n_channel = e->n[2],
                                        .n_id = e->n[0],
                                        .n_vocab = e->n[1],
                                        .ids = ids,
                                        .table = values_of(in, &op->embedding.table),
                                        .y = y});
    vks_free(ids);
}

static void twin_of_rms_norm(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    double *y = take(r, 0, (size_t)e->n[0] * e->n[1]);
    ref_rms_norm(&(ref_rms_norm_args){.n_row = e->n[0],
                                      .n_channel = e->n[1],
                                      .n_group = 1,
                                      .x = values_of(in, &op->rms_norm.x),
                                      .gate = values_of(in, &op->rms_norm.gate),
                                      .weight = values_of(in, &op->rms_norm.weight),
                                      .eps = op->rms_norm.eps,
                                      .y = y,
                                      .scale = r->scale});
}

static void twin_of_conv1d(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    size_t b = e->n[0], t = e->n[1], c = e->n[2], k = e->n[3];
    double *last = take(r, 0, b * (k - 1) * c), *y = take(r, 1, b * t * c);
    float *state = gpu_alloc(r->n[0], sizeof *state);
    ref_conv1d(&(ref_conv1d_args){.n_sequence = b,
                                  .n_time = t,
                                  .n_channel = c,
                                  .n_tap = k,
                                  .x = values_of(in, &op->conv1d.x),
                                  .w = values_of(in, &op->conv1d.w),
                                  .bias = values_of(in, &op->conv1d.bias),
                                  .silu = true,
                                  .state = state,
                                  .y = y,
                                  .scale = r->scale});
    for (size_t i = 0; i < r->n[0]; i++)
        last[i] = state[i];
    vks_free(state);
}

static void twin_of_ssd(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    size_t b = e->n[0], t = e->n[1], h = e->n[2], p = e->n[3], g = e->n[4], n = e->n[5];
    double *state = take(r, 0, b * h * p * n), *y = take(r, 1, b * t * h * p);
    const float *heads = values_of(in, &op->ssd.heads);
    double *scales = gpu_alloc(2 * (r->n[0] + r->n[1]), sizeof *scales);
    ref_ssd(&(ref_ssd_args){.n_sequence = b,
                            .n_time = t,
                            .n_head = h,
                            .n_group = g,
                            .n_width = p,
                            .n_state = n,
                            .x = values_of(in, &op->ssd.x),
                            .b = values_of(in, &op->ssd.b),
                            .c = values_of(in, &op->ssd.c),
                            .dt = values_of(in, &op->ssd.dt),
                            .a = heads,
                            .dt_bias = heads + h,
                            .d = heads + 2 * h,
                            .dt_min = op->ssd.dt_min,
                            .dt_max = op->ssd.dt_max,
                            .state = state,
                            .state_scale = scales,
                            .state_past = scales + r->n[0],
                            .y = y,
                            .scale = scales + 2 * r->n[0],
                            .past = scales + 2 * r->n[0] + r->n[1],
                            .chunk = 64});
    vks_free(scales);
}

static void twin_of_mixer_step(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    const vks_mixer_step *m = &op->mixer_step;
    size_t h = e->n[1], p = e->n[2], g = e->n[3], n = e->n[4], n_tap = 4;
    double *conv_state = take(r, 0, (n_tap - 1) * (h * p + 2 * g * n)), *state = take(r, 1, h * p * n);
    double *y = take(r, 2, h * p), *scales = gpu_alloc(r->n[0] + r->n[1] + r->n[2], sizeof *scales);
    const float *heads = values_of(in, &m->heads);
    ref_mixer_step(&(ref_mixer_step_args){.n_in = e->n[0],
                                          .n_head = h,
                                          .n_width = p,
                                          .n_group = g,
                                          .n_state = n,
                                          .n_tap = n_tap,
                                          .x = values_of(in, &m->x),
                                          .norm = values_of(in, &m->norm),
                                          .w = values_of(in, &m->w),
                                          .conv_w = values_of(in, &m->conv.w),
                                          .a = heads,
                                          .dt_bias = heads + h,
                                          .d = heads + 2 * h,
                                          .norm_eps = m->norm_eps,
                                          .dt_min = m->dt_min,
                                          .dt_max = m->dt_max,
                                          .conv_state = conv_state,
                                          .conv_state_scale = scales,
                                          .state = state,
                                          .state_scale = scales + r->n[0],
                                          .y = y,
                                          .scale = scales + r->n[0] + r->n[1]});
    vks_free(scales);
}

static void twin_of_ssd_tree(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    const vks_ssd_tree *s = &op->ssd_tree;
    size_t t = e->n[1], h = e->n[2], p = e->n[3], g = e->n[4], n = e->n[5], n_state = h * p * n;
    double *y = take(r, 0, e->n[0] * t * h * p), *state = gpu_alloc(n_state, sizeof *state);
    const float *heads = values_of(in, &s->heads), *states = values_of(in, &s->state), *x = values_of(in, &s->x);
    const float *bs = values_of(in, &s->b), *cs = values_of(in, &s->c), *dt = values_of(in, &s->dt);
    for (size_t b = 0; b < e->n[0]; b++) {
        for (size_t i = 0; i < n_state; i++)
            state[i] = states[b * n_state + i];
        ref_ssd_tree(&(ref_ssd_tree_args){.n_time = t,
                                          .n_head = h,
                                          .n_group = g,
                                          .n_width = p,
                                          .n_state = n,
                                          .x = x + b * t * h * p,
                                          .b = bs + b * t * g * n,
                                          .c = cs + b * t * g * n,
                                          .dt = dt + b * t * h,
                                          .a = heads,
                                          .dt_bias = heads + h,
                                          .d = heads + 2 * h,
                                          .dt_min = s->dt_min,
                                          .dt_max = s->dt_max,
                                          .state = state,
                                          .y = y + b * t * h * p,
                                          .scale = r->scale + b * t * h * p});
    }
    vks_free(state);
}

static void twin_of_selective_scan(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    const vks_selective_scan *s = &op->selective_scan;
    size_t b = e->n[0], t = e->n[1], d = e->n[2], n = e->n[3], first[9];
    for (size_t i = 0; i <= b; i++)
        first[i] = i * t;
    double *state = take(r, 0, b * d * n), *y = take(r, 1, b * t * d);
    double *scales = gpu_alloc(2 * r->n[0], sizeof *scales);
    const float *channels = values_of(in, &s->channels);
    ref_selective_scan(&(ref_selective_scan_args){.n_sequence = b,
                                                  .n_channel = d,
                                                  .n_group = 1,
                                                  .n_state = n,
                                                  .rank = e->n[4],
                                                  .first = first,
                                                  .x = values_of(in, &s->x),
                                                  .dt = values_of(in, &s->dt),
                                                  .dt_weight = values_of(in, &s->dt_weight),
                                                  .b = values_of(in, &s->b),
                                                  .c = values_of(in, &s->c),
                                                  .gate = values_of(in, &s->gate),
                                                  .a = values_of(in, &s->a),
                                                  .dt_bias = channels,
                                                  .d = channels + d,
                                                  .state = state,
                                                  .state_magnitude = scales,
                                                  .state_scale = scales + r->n[0],
                                                  .y = y,
                                                  .scale = r->scale});
    vks_free(scales);
}

static void twin_of_sample(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    ref_sample_args args = {.n_vocab = e->n[1],
                            .logits = values_of(in, &op->sample.logits),
                            .temperature = e->kind == VKS_BENCH_TOP_P ? 0.8f : 0,
                            .top_p = 0.95f,
                            .seed = 1};
    ref_sample(&args);
    *take(r, 0, 1) = args.token;
    CHECK(e->kind != VKS_BENCH_TOP_P || args.margin > 1e-5); // roundings move it by 1e-6
}

static void twin_of_scan(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    bool turned = e->kind & VKS_BENCH_TIME_CONTIGUOUS, is_complex = e->kind & VKS_BENCH_COMPLEX;
    bool constant = e->kind & VKS_BENCH_CONSTANT;
    size_t b = e->n[0], t = e->n[1], d = e->n[2], part = is_complex ? 2 : 1, n = b * t * d * part;
    double *h = take(r, 0, n), *last = gpu_alloc(b * d * part, sizeof *last);
    const float *a = values_of(in, &op->scan.a), *x = values_of(in, &op->scan.b);
    float *turned_a = gpu_alloc(n, sizeof *a), *turned_x = gpu_alloc(n, sizeof *x);
    for (size_t i = 0; turned && i < n; i++) { // [B, D, T] to [B, T, D]
        size_t from = i / (t * d) * t * d + i % d * t + i / d % t;
        turned_a[i] = a[from], turned_x[i] = x[from];
    }
    ref_scan(&(ref_scan_args){.n_batch = b,
                              .n_time = t,
                              .n_channel = d,
                              .n_sequence = b,
                              .is_complex = is_complex,
                              .a_step = !constant,
                              .a = turned ? turned_a : a,
                              .b = turned ? turned_x : x,
                              .h = h,
                              .last = last});
    if (turned) {
        double *back = gpu_alloc(n, sizeof *back);
        for (size_t i = 0; i < n; i++)
            back[i / (t * d) * t * d + i % d * t + i / d % t] = h[i];
        memcpy(h, back, n * sizeof *h);
        vks_free(back);
    }
    vks_free(last);
    vks_free(turned_a);
    vks_free(turned_x);
}

static void twin_of_conv2d(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    double *y = take(r, 0, (size_t)e->n[0] * e->n[1] * e->n[2] * e->n[4]);
    ref_conv2d(&(ref_conv2d_args){.n_image = e->n[0],
                                  .height = e->n[1],
                                  .width = e->n[2],
                                  .n_channel = e->n[3],
                                  .n_out = e->n[4],
                                  .kernel_height = e->n[5],
                                  .kernel_width = e->n[5],
                                  .stride = 1,
                                  .x = values_of(in, &op->conv2d.x),
                                  .w = values_of(in, &op->conv2d.w),
                                  .bias = values_of(in, &op->conv2d.bias),
                                  .y = y,
                                  .scale = r->scale});
}

static void twin_of_group_norm(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    double *y = take(r, 0, (size_t)e->n[0] * e->n[1] * e->n[2]);
    ref_group_norm(&(ref_group_norm_args){.n_image = e->n[0],
                                          .n_pixel = e->n[1],
                                          .n_channel = e->n[2],
                                          .n_group = op->group_norm.n_group,
                                          .x = values_of(in, &op->group_norm.x),
                                          .weight = values_of(in, &op->group_norm.weight),
                                          .bias = values_of(in, &op->group_norm.bias),
                                          .eps = op->group_norm.eps,
                                          .act = (ref_act)op->group_norm.act,
                                          .y = y,
                                          .scale = r->scale});
}

static void twin_of_conv_s5(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    const vks_conv_s5 *s = &op->conv_s5;
    size_t b = e->n[0], t = e->n[1], side = e->n[2], u = e->n[3], p = e->n[4], n_pixel = side * side;
    double *state = take(r, 0, b * n_pixel * p * 2), *y = take(r, 1, b * t * n_pixel * (u ? u : 2 * p));
    if (u == 0) { // the scan: every pixel and state a channel, with an `a` of its own state
        float *a = gpu_alloc(b * n_pixel * p * 2, sizeof *a);
        const float *given = values_of(in, &s->a);
        for (size_t i = 0; i < b * n_pixel * p * 2; i++)
            a[i] = given[i % (p * 2)];
        ref_scan(&(ref_scan_args){.n_batch = b,
                                  .n_time = t,
                                  .n_channel = n_pixel * p,
                                  .n_sequence = b,
                                  .is_complex = true,
                                  .a = a,
                                  .b = values_of(in, &s->u),
                                  .h = y,
                                  .last = state});
        vks_free(a);
        return;
    }
    float *initial = gpu_alloc(r->n[0], sizeof *initial);
    double *scale = gpu_alloc(r->n[0], sizeof *scale);
    ref_conv_s5(&(ref_conv_s5_args){.n_sequence = b,
                                    .n_time = t,
                                    .height = side,
                                    .width = side,
                                    .n_channel = u,
                                    .n_state = p,
                                    .kernel_b = s->kernel_b,
                                    .kernel_c = s->kernel_c,
                                    .u = values_of(in, &s->u),
                                    .a = values_of(in, &s->a),
                                    .b = values_of(in, &s->b),
                                    .c = values_of(in, &s->c),
                                    .initial = initial,
                                    .y = y,
                                    .scale = r->scale,
                                    .last = state,
                                    .last_scale = scale});
    vks_free(initial);
    vks_free(scale);
}

static void twin_of_layer_norm(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    double *y = take(r, 0, (size_t)e->n[0] * e->n[1]);
    ref_layer_norm(&(ref_layer_norm_args){.n_row = e->n[0],
                                          .n_channel = e->n[1],
                                          .x = values_of(in, &op->layer_norm.x),
                                          .weight = values_of(in, &op->layer_norm.weight),
                                          .bias = values_of(in, &op->layer_norm.bias),
                                          .eps = op->layer_norm.eps,
                                          .y = y,
                                          .scale = r->scale});
}

static void twin_of_activation(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    double *y = take(r, 0, (size_t)e->n[0] * e->n[1]);
    ref_activation(&(ref_activation_args){.n_row = e->n[0],
                                          .n_channel = e->n[1],
                                          .x = values_of(in, &op->activation.x),
                                          .gate = values_of(in, &op->activation.gate),
                                          .act = (ref_act)op->activation.act,
                                          .y = y,
                                          .scale = r->scale});
}

static void twin_of_pool_mean(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    double *y = take(r, 0, (size_t)e->n[0] * e->n[2]);
    ref_pool_mean(&(ref_pool_mean_args){.n_sequence = e->n[0],
                                        .n_time = e->n[1],
                                        .n_channel = e->n[2],
                                        .x = values_of(in, &op->pool_mean.x),
                                        .y = y,
                                        .scale = r->scale});
}

static void twin_of_log_softmax(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    double *y = take(r, 0, (size_t)e->n[0] * e->n[1]);
    ref_log_softmax(&(ref_log_softmax_args){
        .n_row = e->n[0], .n_channel = e->n[1], .x = values_of(in, &op->log_softmax.x), .y = y, .scale = r->scale});
}

static void twin_of_resample2d(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r) {
    size_t to = e->kind == VKS_NEAREST ? 2 * (size_t)e->n[1] : e->n[1] / 2;
    double *y = take(r, 0, e->n[0] * to * to * e->n[2]);
    ref_resample2d(&(ref_resample2d_args){.n_image = e->n[0],
                                          .height = e->n[1],
                                          .width = e->n[1],
                                          .n_channel = e->n[2],
                                          .window_height = 2,
                                          .window_width = 2,
                                          .x = values_of(in, &op->resample2d.x),
                                          .mode = (ref_resample)op->resample2d.mode,
                                          .y = y,
                                          .scale = r->scale});
}

// By what a case's name begins with.
static const struct {
    const char *name;
    void (*run)(const vks_bench_entry *e, const vks_bench_op *op, inputs *in, results *r);
} twins[] = {
    {"embedding/", twin_of_embedding},
    {"rms_norm/", twin_of_rms_norm},
    {"matmul/", twin_of_products},
    {"conv1d/", twin_of_conv1d},
    {"ssd/", twin_of_ssd},
    {"ssd_step/", twin_of_ssd},
    {"ssd_tree/", twin_of_ssd_tree},
    {"mixer_step/", twin_of_mixer_step},
    {"selective_", twin_of_selective_scan},
    {"sample/", twin_of_sample},
    {"scan/", twin_of_scan},
    {"conv2d/", twin_of_conv2d},
    {"group_norm/", twin_of_group_norm},
    {"conv_s5/", twin_of_conv_s5},
    {"layer_norm/", twin_of_layer_norm},
    {"activation/", twin_of_activation},
    {"pool_mean/", twin_of_pool_mean},
    {"log_softmax/", twin_of_log_softmax},
    {"resample2d/", twin_of_resample2d},
};

// ---- the cases
// -------------------------------------------------------------------------------------------------------

static vkssm_device device_of(gpu *g) {
    return (vkssm_device){.vk = g->device, .kernels = g->target.kernels};
}

static vks_check_expected sum(uint32_t index, uint32_t result, const double *values, size_t n, double *largest) {
    vks_check_expected sums = {.index = index, .result = result};
    double magnitudes[VKS_CHECK_SUMS] = {0};
    *largest = 0;
    for (size_t i = 0; i < n; i++) {
        vks_check_sum(&sums, i, values[i]);
        magnitudes[i % VKS_CHECK_SUMS] += fabs(values[i]);
        *largest = fmax(*largest, fabs(values[i]));
    }
    for (int k = 0; k < VKS_CHECK_SUMS; k++)
        sums.scale = fmax(sums.scale, magnitudes[k]);
    return sums;
}

static void compare(const vks_check_case *c, const vks_check_expected *sums, double largest) {
    const vks_check_expected *held = vks_check_expectation(sums->index, sums->result);
    check_n_checked++;
    if (!held || held->n != sums->n) {
        CHECK_FAIL("%s: result %u: sums of %u elements expected, none found", c->entry.name, sums->result, sums->n);
        return;
    }
    CHECK(fabs(held->scale - sums->scale) <= 1e-6 * sums->scale);
    for (int k = 0; k < VKS_CHECK_SUMS; k++)
        if (!(fabs(held->sums[k] - sums->sums[k]) <= 1e-7 * sums->scale)) // written with nine digits
            CHECK_FAIL("%s: result %u: sum %d is %.9g, of its twin %.9g", c->entry.name, sums->result, k, held->sums[k],
                       sums->sums[k]);
    // Its largest element alone, were it zero, would be found; not of the large recurrences that matrix units are for.
    CHECK(sums->n > 8192 || largest > vks_check_tolerance(c) * sums->scale);
}

static void visit_case(gpu *g, uint32_t index, bool print) {
    const vks_check_case *c = vks_check_case_at(index);
    vkssm_device device = device_of(g);
    inputs in = {0};
    results r = {0};
    vks_bench bench = {.observe = observe, .observer = &in};
    vks_bench_op op;
    CHECK_OK(vks_check_place(&device, c, &bench, &op));
    for (size_t i = 0; i < VKS_COUNT(twins); i++)
        if (strncmp(c->entry.name, twins[i].name, strlen(twins[i].name)) == 0) twins[i].run(&c->entry, &op, &in, &r);
    uint32_t n_result = 0;
    while (n_result < MAX_RESULT && r.values[n_result])
        n_result++;
    CHECK(n_result > 0);
    CHECK_EQ(n_result, bench.n_result);
    for (uint32_t i = 0; i < n_result; i++) {
        double largest;
        vks_check_expected sums = sum(index, i, r.values[i], r.n[i], &largest);
        if (!print) {
            compare(c, &sums, largest);
            continue;
        }
        printf("// %s\n{%u, %u, %u, %.9g, {", c->entry.name, index, i, sums.n, sums.scale);
        for (int k = 0; k < VKS_CHECK_SUMS; k++)
            printf("%s%.9g", k ? ", " : "", sums.sums[k]);
        printf("}},\n");
    }
    vks_bench_finish(&bench);
    for (uint32_t i = 0; i < MAX_RESULT; i++)
        vks_free(r.values[i]);
    vks_free(r.scale);
    for (uint32_t i = 0; i < in.n; i++)
        vks_free(in.items[i].values);
}

CHECK_CASE(recorded_sums) {
    gpu *g = gpu_open(0);
    for (uint32_t i = 0; vks_check_case_at(i); i++)
        visit_case(g, i, false);
}

// Every operator of the list has a case, but for two that no model records by themselves: products of 8-bit integers,
// and the sum of a split product's parts.
CHECK_CASE(all_operators) {
#define HAS_CASE(op, what)                                                                                             \
    {                                                                                                                  \
        bool found = false;                                                                                            \
        for (uint32_t i = 0; vks_check_case_at(i); i++)                                                                \
            found |= strncmp(vks_check_case_at(i)->entry.name, #op, strlen(#op)) == 0;                                 \
        found |= strcmp(#op, "matmul_s8") == 0 || strcmp(#op, "sum_parts") == 0;                                       \
        if (!found) CHECK_FAIL("%s has no case", #op);                                                                 \
    }
    check_n_checked++;
    VKS_OP_LIST(HAS_CASE)
#undef HAS_CASE
}

// ---- variants that a device is not to run
// ----------------------------------------------------------------------------

CHECK_CASE(quirks) {
    vks_caps caps = {.name = "A card 7", .driver = "driver 1.2 of May", .vendor_id = 0x1234};
    const vks_quirk rows[] = {
        {.vendor_id = 0x4321, .variant = "scan", .reason = "another vendor's"},
        {.vendor_id = 0x1234, .device = "card 8", .variant = "scan", .reason = "another device's"},
        {.driver = "1.3", .variant = "scan", .reason = "another driver's"},
        {.vendor_id = 0x1234, .device = "card 7", .driver = "1.2", .variant = "scan", .reason = "wrong sums"},
        {.variant = "ssd_*", .reason = "never ends"},
        {0},
    };
    CHECK_STR(vks_quirk_find(rows, &caps, "scan"), "wrong sums");
    CHECK_STR(vks_quirk_find(rows, &caps, "ssd_step"), "never ends");
    CHECK(!vks_quirk_find(rows, &caps, "scan_sg"));
    CHECK(!vks_quirk_find(rows, &caps, "ssd"));
    caps.driver[7] = '2';
    CHECK(!vks_quirk_find(rows, &caps, "scan"));
    // A variant that the library's own rows leave out says why; nothing else is left out without being asked for.
    const vks_kernels *kernels = gpu_open(0)->target.kernels;
    const char *name, *reason;
    bool available;
    for (uint32_t i = 0; vks_kernels_variant(kernels, i, &name, &available, &reason); i++) {
        const char *quirk = vks_quirk_find(NULL, gpu_open(0)->caps, name);
        CHECK(!quirk || !available);
        CHECK(!reason || strcmp(reason, "avoided, as asked for") != 0);
    }
}

// ---- the public call
// -------------------------------------------------------------------------------------------------

static bool stop(void *user, const vkssm_check_result *result) {
    CHECK(result->is_right);
    CHECK(result->error <= 1);
    CHECK_STR(result->finding, "");
    return ++*(int *)user < 3;
}

CHECK_CASE(stopped_and_refused) {
    vkssm_device device = device_of(gpu_open(0));
    int n = 0;
    uint32_t n_wrong = 9;
    CHECK_EQ(vkssm_device_check(NULL, NULL, &n_wrong), VKSSM_ERR_ARG);
    CHECK_EQ(n_wrong, 0);
    CHECK_EQ(vkssm_device_check(&device, &(vkssm_check_params){.on_result = stop, .user = &n}, &n_wrong),
             VKSSM_ERR_CANCELLED);
    CHECK_CONTAINS(vkssm_last_error(), "check: cancelled at");
    CHECK_EQ(n, 3);
    CHECK_EQ(n_wrong, 0);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "print") == 0) {
        gpu *g = gpu_open(0);
        for (uint32_t i = 0; g && vks_check_case_at(i); i++)
            visit_case(g, i, true);
        return !gpu_close_all();
    }
    return gpu_main(argc, argv,
                    (check_case[]){CHECK_RUN(recorded_sums),
                                   CHECK_RUN(all_operators),
                                   CHECK_RUN(quirks),
                                   CHECK_RUN(stopped_and_refused),
                                   {0}});
}

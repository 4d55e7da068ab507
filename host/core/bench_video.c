// Cases of whole video models, with made-up weights of published shapes, through the public calls: what a program gets.
#include "bench_run.h"

#include <stdio.h>
#include <string.h>

#include <vkssm/tensor_model.h>

#include "core_model.h"

enum { PARALLEL, STEP }; // kind
enum { CHANNELS, LAYERS, CLIPS, FRAMES };
enum { SIDE = 64, LATENT = 16 };
static const uint32_t depths[] = {64, 128, 256};

static const vks_bench_entry models[] = {
    {"model/convs5-moving-mnist/parallel/t300/f16",
     "ConvS5 of Moving-MNIST reads a clip of 300 frames of 64 x 64",
     VKSSM_DTYPE_F16,
     {256, 8, 1, 300},
     PARALLEL},
    {"model/convs5-moving-mnist/step/b1/f16", "the same, frame by frame", VKSSM_DTYPE_F16, {256, 8, 1, 1}, STEP},
};

// ---- counting ------------------------------------------------------------------------------------------------------

typedef struct counts {
    uint64_t n_product; // of a frame
    uint64_t n_weight;
} counts;

static void add_conv(counts *c, uint64_t side, uint64_t kernel, uint64_t n_in, uint64_t n_out) {
    uint64_t n = kernel * kernel * n_in * n_out;
    c->n_weight += n;
    c->n_product += side * side * n;
}
static void add_block(counts *c, uint64_t side, uint64_t n_in, uint64_t n_out) {
    add_conv(c, side, 3, n_in, n_out);
    add_conv(c, side, 3, n_out, n_out);
    if (n_in != n_out) add_conv(c, side, 1, n_in, n_out);
}

// Two convolutions of the recurrence (U to 2 P = U parts and back) and two behind it in every layer.
static counts count(const vks_bench_entry *e) {
    counts c = {0};
    uint64_t u = e->n[CHANNELS], side = SIDE;
    uint32_t n = VKS_COUNT(depths);
    add_conv(&c, side, 3, 1, depths[0]);
    add_block(&c, side, depths[0], depths[0]);
    for (uint32_t i = 1; i < n; i++)
        add_block(&c, side /= 2, depths[i - 1], depths[i]);
    add_conv(&c, side, 1, depths[n - 1], u);
    for (uint32_t i = 0; i < 4 * e->n[LAYERS]; i++)
        add_conv(&c, side, 3, u, u);
    add_conv(&c, side, 3, u, depths[0]);
    uint64_t before = depths[0];
    for (uint32_t i = n; i-- > 0; side *= 2) {
        add_block(&c, side, before, depths[i]);
        before = depths[i];
    }
    add_conv(&c, SIDE, 1, before, 1);
    return c;
}

static void count_work(const vks_bench_entry *e, vkssm_bench_result *result) {
    counts c = count(e);
    result->flop = 2 * c.n_product * result->n_token;
    result->bytes = c.n_weight * vkssm_dtype_size(e->dtype) + result->n_token * SIDE * SIDE * 2 * sizeof(float) +
                    e->n[LAYERS] * e->n[CHANNELS] * LATENT * LATENT * 2 * sizeof(float);
}

// ---- running -------------------------------------------------------------------------------------------------------

typedef struct video_run {
    const vks_bench_entry *entry;
    vkssm_model *model;
    vkssm_stream *stream;
    vkssm_named_tensor frames;
    double largest; // of the outputs' absolute values
} video_run;

static void look(video_run *r, const vkssm_named_tensor *next) {
    const float *values = next->data;
    for (uint64_t i = 0; i < next->size / sizeof(float); i++) {
        double size = values[i] < 0 ? -(double)values[i] : (double)values[i];
        if (!(size <= r->largest)) r->largest = size; // a NaN stays
    }
}

static vkssm_status call_parallel(void *user) {
    video_run *r = user;
    vkssm_tensors *out;
    vkssm_named_tensor next;
    VKS_TRY(vkssm_model_run(r->model, NULL, &r->frames, 1, &out));
    if (vkssm_tensors_find(out, "next", &next)) look(r, &next);
    vkssm_tensors_destroy(&out);
    return VKSSM_OK;
}

static vkssm_status call_step(void *user) {
    video_run *r = user;
    const vkssm_named_tensor *out;
    VKS_TRY(vkssm_stream_step(r->stream, &r->frames, 1, &out, NULL));
    look(r, out);
    return VKSSM_OK;
}

static vkssm_status create_model(vkssm_device *device, const vks_bench_entry *e, vkssm_model **out) {
    char config[640];
    snprintf(config, sizeof config,
             "{\"model_type\": \"convs5\", \"frame\": [%d, %d, 1], \"encoder_depths\": [%u, %u, %u], "
             "\"decoder_depths\": [%u, %u, %u], \"d_model\": %u, \"ssm_size\": %u, \"n_layers\": %u, "
             "\"clip_eigs\": true}",
             SIDE, SIDE, depths[0], depths[1], depths[2], depths[0], depths[1], depths[2], e->n[CHANNELS],
             e->n[CHANNELS], e->n[LAYERS]);
    const vkssm_model_params params = {.convert_weights = true, .weight_dtype = e->dtype, .activation_dtype = e->dtype};
    return vks_model_synthetic(device, e->name, config, &params, out);
}

static vkssm_status create_frames(const vkssm_device *device, video_run *r) {
    uint64_t n_frame = (uint64_t)r->entry->n[CLIPS] * r->entry->n[FRAMES], size = n_frame * SIDE * SIDE;
    uint8_t *pixels = vks_alloc((size_t)size);
    if (!pixels) return vks_fail(vks_device_log(device->vk), VKSSM_ERR_OOM_HOST, "%s: out of memory", r->entry->name);
    for (uint64_t i = 0; i < size; i++)
        pixels[i] = (uint8_t)(i * UINT64_C(2654435761) >> 13);
    bool step = r->entry->kind == STEP;
    r->frames = (vkssm_named_tensor){.name = "frames", .dtype = VKSSM_DTYPE_U8, .data = pixels, .size = size};
    const uint64_t shape[] = {r->entry->n[CLIPS], r->entry->n[FRAMES], 1, SIDE, SIDE};
    r->frames.n_dim = step ? 4 : 5;
    for (uint32_t i = 0; i < r->frames.n_dim; i++)
        r->frames.shape[i] = shape[step && i > 0 ? i + 1 : i];
    return VKSSM_OK;
}

static vkssm_status measure(vkssm_device *device, video_run *r, const vkssm_bench_params *params,
                            vkssm_bench_result *result) {
    bool step = r->entry->kind == STEP;
    vks_bench_times times;
    VKS_TRY(create_frames(device, r));
    VKS_TRY(create_model(device, r->entry, &r->model));
    if (step) VKS_TRY(vkssm_stream_create(r->model, NULL, &r->stream));
    const vks_bench_call timed = {vks_device_log(device->vk), step ? call_step : call_parallel, r, 1};
    VKS_TRY(vks_bench_time_call(&timed, params, &times));
    vks_bench_set_times(&times, params, result);
    if (r->largest > 0 && r->largest <= 1) return VKSSM_OK; // tanh
    return vks_fail(vks_device_log(device->vk), VKSSM_ERR_INTERNAL,
                    "%s: outputs up to 1, not all of them 0, expected, %g found", r->entry->name, r->largest);
}

static vkssm_status run_video(vkssm_device *device, const vks_bench_entry *entry, const vkssm_bench_params *params,
                              vkssm_bench_result *result) {
    result->activation_dtype = entry->dtype;
    result->n_token = entry->n[CLIPS] * entry->n[FRAMES];
    count_work(entry, result);
    if (!vks_bench_can_run(device, (uint64_t)1 << 30, params, result)) return VKSSM_OK; // pieces of half of that
    video_run r = {.entry = entry};
    vkssm_status status = measure(device, &r, params, result);
    vkssm_stream_destroy(&r.stream);
    vkssm_model_destroy(&r.model);
    vks_free((void *)r.frames.data);
    return status;
}

const vks_bench_family vks_bench_video = {models, VKS_COUNT(models), NULL, NULL, NULL, run_video};

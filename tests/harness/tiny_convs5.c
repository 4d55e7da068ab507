#include "tiny_convs5.h"

#include <complex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_test.h"
#include "tests/ref/ref.h"

enum { DEPTH_0 = 32, DEPTH_1 = 64, N_ACTION = 3, N_EMBEDDING = 2, N_GROUP = 32, MAX_TENSOR = 160 };

tiny_convs5 tiny_convs5_default(void) {
    return (tiny_convs5){.height = 8,
                         .width = 6,
                         .n_channel = 1,
                         .n_model = 32,
                         .n_state = 8,
                         .n_layer = 2,
                         .n_block = 1,
                         .kernel_b = 3,
                         .kernel_c = 3,
                         .kernel_d = 3,
                         .cd = "resnet",
                         .clip_eigs = true};
}

// ---- weights: the same whenever they are asked for
// -------------------------------------------------------------------

static uint64_t seed_of(const char *name) {
    uint64_t seed = 0xcbf29ce484222325u; // FNV-1a
    for (; *name; name++)
        seed = (seed ^ (uint8_t)*name) * 0x100000001b3u;
    return seed;
}

static float *values_of(const char *name, size_t n, float low, float high) {
    uint64_t seed = seed_of(name);
    float *values = model_alloc(n, sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = check_uniform(&seed, low, high);
    return values;
}

// What a parameter is by its name's end; kernels are scaled by their inputs.
static float *parameter(const char *name, size_t n, size_t n_in) {
    const char *end = strrchr(name, '/') + 1;
    float size = 1.6f / sqrtf((float)n_in);
    if (strcmp(end, "scale") == 0) return values_of(name, n, 0.5f, 1.5f);
    if (strcmp(end, "bias") == 0) return values_of(name, n, -0.3f, 0.3f);
    if (strcmp(end, "Lambda_re") == 0) return values_of(name, n, -0.5f, 0.02f);
    if (strcmp(end, "Lambda_im") == 0) return values_of(name, n, -4, 4);
    if (strcmp(end, "log_step") == 0) return values_of(name, n, -3, -0.5f);
    if (strcmp(end, "embedding") == 0) return values_of(name, n, -1, 1);
    return values_of(name, n, -size, size);
}

// ---- the reference
// ---------------------------------------------------------------------------------------------------

// Where names come from: either they are written or used.
typedef struct walker {
    const tiny_convs5 *tiny;
    char prefix[96];
    bool writing;
    uint32_t n;
    char names[MAX_TENSOR][96];
    vkssm_named_tensor tensors[MAX_TENSOR];
} walker;

// Parameter prefix+name of this shape; kept by a walker that writes.
static float *take(walker *w, const char *name, size_t n_in, uint32_t n_dim, const uint64_t *shape) {
    char full[96];
    snprintf(full, sizeof full, "params/%.40s%.40s", w->prefix, name);
    size_t n = 1;
    for (uint32_t i = 0; i < n_dim; i++)
        n *= shape[i];
    float *values = parameter(full, n, n_in);
    if (!w->writing || w->n == MAX_TENSOR || (w->tiny->leave_out && strcmp(full, w->tiny->leave_out) == 0))
        return values;
    vkssm_named_tensor *tensor = &w->tensors[w->n];
    memcpy(w->names[w->n], full, sizeof full);
    *tensor = (vkssm_named_tensor){
        .name = w->names[w->n], .dtype = VKSSM_DTYPE_F32, .n_dim = n_dim, .size = n * sizeof *values};
    memcpy(tensor->shape, shape, n_dim * sizeof *shape);
    float *copy = model_alloc(n, sizeof *copy);
    memcpy(copy, values, n * sizeof *copy);
    tensor->data = copy;
    w->n++;
    return values;
}
#define SHAPE(...)                                                                                                     \
    sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (uint64_t[]) {                                               \
        __VA_ARGS__                                                                                                    \
    }

static void set_prefix(walker *w, const char *format, uint32_t i) {
    snprintf(w->prefix, sizeof w->prefix, format, i);
}

// Images [n, h, w, c].
typedef struct images {
    uint32_t n, h, w, c;
    float *x;
} images;

static size_t count(const images *a) {
    return (size_t)a->n * a->h * a->w * a->c;
}

static float *to_floats(double *values, double *scale, size_t n) {
    float *out = model_alloc(n, sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)values[i];
    free(values);
    free(scale);
    return out;
}

// `layer`/kernel, with a bias of this name or none.
static images convolve(walker *w, const char *layer, const char *bias, uint32_t kernel, uint32_t n_out,
                       const images *in) {
    char name[64];
    size_t n_tap = (size_t)kernel * kernel;
    snprintf(name, sizeof name, "%s/kernel", layer);
    float *values = kernel == 0 ? take(w, name, in->c, SHAPE(in->c, n_out))
                                : take(w, name, n_tap * in->c, SHAPE(kernel, kernel, in->c, n_out));
    if (kernel == 0) kernel = 1, n_tap = 1; // a dense layer
    float *b = bias ? take(w, bias, 1, SHAPE(n_out)) : NULL;
    images out = {in->n, in->h, in->w, n_out, NULL};
    float *turned = model_alloc(n_tap * in->c * n_out, sizeof *turned);
    for (size_t i = 0; i < n_tap * in->c; i++)
        for (size_t m = 0; m < n_out; m++)
            turned[m * n_tap * in->c + i] = values[i * n_out + m];
    double *y = model_alloc(count(&out), sizeof *y), *scale = model_alloc(count(&out), sizeof *scale);
    ref_conv2d(&(ref_conv2d_args){.n_image = in->n,
                                  .height = in->h,
                                  .width = in->w,
                                  .n_channel = in->c,
                                  .n_out = n_out,
                                  .kernel_height = kernel,
                                  .kernel_width = kernel,
                                  .stride = 1,
                                  .x = in->x,
                                  .w = turned,
                                  .bias = b,
                                  .y = y,
                                  .scale = scale});
    out.x = to_floats(y, scale, count(&out));
    free(values), free(b), free(turned);
    return out;
}

static images norm(walker *w, const char *layer, bool group, double (*act)(double), const images *in) {
    char name[64];
    snprintf(name, sizeof name, "%s/scale", layer);
    float *weight = take(w, name, 1, SHAPE(in->c));
    snprintf(name, sizeof name, "%s/bias", layer);
    float *bias = take(w, name, 1, SHAPE(in->c));
    images out = *in;
    double *y = model_alloc(count(in), sizeof *y), *scale = model_alloc(count(in), sizeof *scale);
    // A layer norm is a group norm of single pixels with one group.
    size_t n_pixel = group ? (size_t)in->h * in->w : 1;
    ref_group_norm(&(ref_group_norm_args){.n_image = count(in) / n_pixel / in->c,
                                          .n_pixel = n_pixel,
                                          .n_channel = in->c,
                                          .n_group = group ? N_GROUP : 1,
                                          .x = in->x,
                                          .weight = weight,
                                          .bias = bias,
                                          .eps = 1e-6,
                                          .y = y,
                                          .scale = scale});
    for (size_t i = 0; act && i < count(in); i++)
        y[i] = act(y[i]);
    out.x = to_floats(y, scale, count(in));
    free(weight), free(bias);
    return out;
}

static double elu(double x) {
    return ref_act_of(REF_ACT_ELU, x);
}

static void replace(images *old, images new) {
    free(old->x);
    *old = new;
}

static images copy(const images *a) {
    images out = *a;
    out.x = model_alloc(count(a), sizeof *out.x);
    memcpy(out.x, a->x, count(a) * sizeof *out.x);
    return out;
}

// x += factor y.
static void add(images *x, const images *y, double factor) {
    for (size_t i = 0; i < count(x); i++)
        x->x[i] = (float)(x->x[i] + factor * y->x[i]);
}

// The factor stands in the definition, after the bias.
static void residual_block(walker *w, uint32_t n_out, images *x) {
    bool other = x->c != n_out;
    images skip = other ? convolve(w, "Conv_0", NULL, 1, n_out, x) : copy(x);
    images h = norm(w, "GroupNorm_0", true, elu, x);
    replace(&h, convolve(w, other ? "Conv_1" : "Conv_0", other ? "Conv_1/bias" : "Conv_0/bias", 3, n_out, &h));
    replace(&h, norm(w, "GroupNorm_1", true, elu, &h));
    replace(&h, convolve(w, other ? "Conv_2" : "Conv_1", "AddBias_0/bias", 3, n_out, &h));
    add(&skip, &h, 0.1);
    free(h.x);
    replace(x, skip);
}

static void resample(images *x, bool nearest) {
    images out = {x->n, nearest ? 2 * x->h : x->h / 2, nearest ? 2 * x->w : x->w / 2, x->c, NULL};
    double *y = model_alloc(count(&out), sizeof *y), *scale = model_alloc(count(&out), sizeof *scale);
    ref_resample2d(&(ref_resample2d_args){.n_image = x->n,
                                          .height = x->h,
                                          .width = x->w,
                                          .n_channel = x->c,
                                          .window_height = 2,
                                          .window_width = 2,
                                          .x = x->x,
                                          .mode = nearest ? REF_NEAREST : REF_AVERAGE,
                                          .y = y,
                                          .scale = scale});
    out.x = to_floats(y, scale, count(&out));
    replace(x, out);
}

static void encode(walker *w, images *x) {
    set_prefix(w, "encoder/", 0);
    replace(x, convolve(w, "Conv_0", "Conv_0/bias", 3, DEPTH_0, x));
    for (uint32_t i = 0; i <= w->tiny->n_block; i++) {
        if (i == 1) resample(x, false);
        set_prefix(w, "encoder/ResNetBlock_%u/", i);
        residual_block(w, i ? DEPTH_1 : DEPTH_0, x);
    }
}

static void decode(walker *w, images *x) {
    set_prefix(w, "decoder/", 0);
    replace(x, convolve(w, "Conv_0", "Conv_0/bias", 3, DEPTH_0, x));
    for (uint32_t i = 0; i < 2 * w->tiny->n_block; i++) {
        if (i == w->tiny->n_block) resample(x, true);
        set_prefix(w, "decoder/ResNetBlock_%u/", i);
        residual_block(w, i < w->tiny->n_block ? DEPTH_1 : DEPTH_0, x);
    }
    set_prefix(w, "decoder/", 0);
    replace(x, norm(w, "LayerNorm_0", false, NULL, x));
    replace(x, convolve(w, "Dense_0", "Dense_0/bias", 0, w->tiny->n_channel, x));
    for (size_t i = 0; !w->tiny->no_tanh && i < count(x); i++)
        x->x[i] = (float)tanh((double)x->x[i]);
}

// The embedding beside the channels of every pixel, then a 1 x 1 convolution.
static void add_actions(walker *w, const float *actions, images *x) {
    set_prefix(w, "", 0);
    float *table = take(w, "action_embeds/embedding", 1, SHAPE(N_ACTION + 1, N_EMBEDDING));
    images wide = {x->n, x->h, x->w, x->c + N_EMBEDDING, NULL};
    wide.x = model_alloc(count(&wide), sizeof *wide.x);
    for (size_t i = 0; i < (size_t)x->n * x->h * x->w; i++) {
        int action = w->tiny->use_actions ? (int)actions[i / x->h / x->w] : 0;
        if (action < 0) action += N_ACTION + 1;
        memcpy(wide.x + i * wide.c, x->x + i * x->c, x->c * sizeof *x->x);
        memcpy(wide.x + i * wide.c + x->c, table + action * N_EMBEDDING, N_EMBEDDING * sizeof *table);
    }
    free(table);
    replace(x, convolve(w, "action_conv/Conv_0", "action_conv/Conv_0/bias", 1, w->tiny->n_model, &wide));
    free(wide.x);
}

static images squeeze(walker *w, const images *x) {
    images mean = {x->n, 1, 1, x->c, model_alloc((size_t)x->n * x->c, sizeof(float))};
    for (uint32_t n = 0; n < x->n; n++)
        for (uint32_t c = 0; c < x->c; c++) {
            double sum = 0;
            for (uint32_t i = 0; i < x->h * x->w; i++)
                sum += x->x[((size_t)n * x->h * x->w + i) * x->c + c];
            mean.x[n * x->c + c] = (float)(sum / (x->h * x->w));
        }
    replace(&mean, convolve(w, "SEBlock_0/Dense_0", "SEBlock_0/Dense_0/bias", 0, 4, &mean)); // 32 / 16 is below 4
    for (size_t i = 0; i < count(&mean); i++)
        mean.x[i] = fmaxf(mean.x[i], 0);
    replace(&mean, convolve(w, "SEBlock_0/Dense_1", "SEBlock_0/Dense_1/bias", 0, x->c, &mean));
    images out = copy(x);
    for (size_t i = 0; i < count(x); i++)
        out.x[i] *= (float)ref_sigmoid(mean.x[i / x->c / x->h / x->w * x->c + i % x->c]);
    free(mean.x);
    return out;
}

static void activate(images *x) {
    for (size_t i = 0; i < count(x); i++)
        x->x[i] = (float)ref_gelu_tanh((double)x->x[i]);
}

// What follows the recurrence's output y for input u.
static images follow(walker *w, const images *u, const images *y) {
    const tiny_convs5 *tiny = w->tiny;
    uint32_t k = tiny->kernel_d, c = y->c;
    if (strcmp(tiny->cd, "diag_resnet") == 0) return copy(y);
    images h = copy(y);
    if (strcmp(tiny->cd, "half_glu") == 0) {
        replace(&h, norm(w, "LayerNorm_0", false, ref_gelu_tanh, y));
        images gate = convolve(w, "Dense_0", "Dense_0/bias", 0, c, &h);
        for (size_t i = 0; i < count(&h); i++)
            h.x[i] *= (float)ref_sigmoid((double)gate.x[i]);
        free(gate.x);
        return h;
    }
    if (strcmp(tiny->cd, "standard") == 0) {
        images of_u = convolve(w, "Conv_0", "Conv_0/bias", k, c, u);
        add(&h, &of_u, 1);
        free(of_u.x);
        replace(&h, norm(w, "GroupNorm_0", true, ref_gelu_tanh, &h));
        if (tiny->squeeze) replace(&h, squeeze(w, &h));
        return h;
    }
    replace(&h, norm(w, "GroupNorm_0", true, ref_gelu_tanh, &h));
    replace(&h, convolve(w, "Conv_0", "Conv_0/bias", k, c, &h));
    replace(&h, norm(w, "GroupNorm_1", true, ref_gelu_tanh, &h));
    replace(&h, convolve(w, "Conv_1", "Conv_1/bias", k, c, &h));
    if (tiny->squeeze) replace(&h, squeeze(w, &h));
    add(&h, y, 1);
    activate(&h);
    return h;
}

// The recurrence of clips of n_time frames, with zero-order hold. last [clips, h, w, P, 2].
static images recur(walker *w, uint32_t n_time, const images *u, float *last) {
    const tiny_convs5 *tiny = w->tiny;
    size_t p = tiny->n_state, nb = tiny->kernel_b * tiny->kernel_b, kc = tiny->kernel_c, n_u = tiny->n_model;
    float *re = take(w, "Lambda_re", 1, SHAPE(p)), *im = take(w, "Lambda_im", 1, SHAPE(p));
    float *log_step = take(w, "log_step", 1, SHAPE(p, 1)), *b = take(w, "B", n_u * nb, SHAPE(p, n_u * nb, 2));
    float *c = take(w, "C", p * kc * kc, SHAPE(kc, kc, p, n_u, 2));
    float *a = model_alloc(2 * p, sizeof *a), *b_bar = model_alloc(2 * p * nb * n_u, sizeof *b_bar);
    float *turned = model_alloc(2 * p * kc * kc * n_u, sizeof *turned);
    for (size_t i = 0; i < p; i++) {
        double complex lambda = (tiny->clip_eigs ? fmin(re[i], -1e-4) : re[i]) + I * im[i];
        double complex decay = cexp(lambda * exp((double)log_step[i])), factor = (decay - 1) / lambda;
        a[2 * i] = (float)creal(decay), a[2 * i + 1] = (float)cimag(decay);
        for (size_t k = 0; k < n_u * nb; k++) { // channel, then row and column of the kernel
            double complex value = factor * (b[2 * (i * n_u * nb + k)] + I * b[2 * (i * n_u * nb + k) + 1]);
            b_bar[(2 * i * nb + k % nb) * n_u + k / nb] = (float)creal(value);
            b_bar[((2 * i + 1) * nb + k % nb) * n_u + k / nb] = (float)cimag(value);
        }
        for (size_t k = 0; k < kc * kc; k++)
            for (size_t m = 0; m < n_u; m++) {
                turned[((m * kc * kc + k) * p + i) * 2] = 2 * c[((k * p + i) * n_u + m) * 2];
                turned[((m * kc * kc + k) * p + i) * 2 + 1] = -2 * c[((k * p + i) * n_u + m) * 2 + 1];
            }
    }
    size_t n_last = 2 * (size_t)(u->n / n_time) * u->h * u->w * p;
    float *zeros = model_alloc(n_last, sizeof *zeros);
    double *y = model_alloc(count(u), sizeof *y), *scale = model_alloc(count(u), sizeof *scale);
    double *state = model_alloc(n_last, sizeof *state), *state_scale = model_alloc(n_last, sizeof *state_scale);
    ref_conv_s5(&(ref_conv_s5_args){.n_sequence = u->n / n_time,
                                    .n_time = n_time,
                                    .height = u->h,
                                    .width = u->w,
                                    .n_channel = n_u,
                                    .n_state = p,
                                    .kernel_b = tiny->kernel_b,
                                    .kernel_c = kc,
                                    .u = u->x,
                                    .a = a,
                                    .b = b_bar,
                                    .c = turned,
                                    .initial = zeros,
                                    .y = y,
                                    .scale = scale,
                                    .last = state,
                                    .last_scale = state_scale});
    for (size_t i = 0; i < n_last; i++)
        last[i] = (float)state[i];
    images out = *u;
    out.x = to_floats(y, scale, count(u));
    float *all[] = {re, im, log_step, b, c, a, b_bar, turned, zeros};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    free(state), free(state_scale);
    return out;
}

static void run_layer(walker *w, uint32_t index, uint32_t n_time, images *x, float *last) {
    images u = copy(x);
    char prefix[48];
    snprintf(prefix, sizeof prefix, "sequence_model/layers_%u/", index);
    set_prefix(w, "sequence_model/layers_%u/", index);
    if (w->tiny->prenorm) replace(&u, norm(w, "norm", false, NULL, x));
    set_prefix(w, "sequence_model/layers_%u/seq/", index);
    images y = recur(w, n_time, &u, last);
    set_prefix(w, "sequence_model/layers_%u/seq/C_D_conv/", index);
    replace(&y, follow(w, &u, &y));
    add(x, &y, 1);
    set_prefix(w, "sequence_model/layers_%u/", index);
    if (!w->tiny->prenorm) replace(x, norm(w, "norm", false, NULL, x));
    free(u.x), free(y.x);
}

static void walk(walker *w, const float *frames, const float *actions, uint32_t n, uint32_t n_time, float **next,
                 float **states) {
    const tiny_convs5 *t = w->tiny;
    uint32_t plane = t->height * t->width;
    images x = {n * n_time, t->height, t->width, t->n_channel, NULL};
    *next = model_alloc(count(&x), sizeof **next);
    x.x = model_alloc(count(&x), sizeof *x.x);
    for (size_t i = 0; i < count(&x); i++) // from planes
        x.x[i] = frames[i / plane / t->n_channel * plane * t->n_channel + i % t->n_channel * plane +
                        i / t->n_channel % plane];
    encode(w, &x);
    add_actions(w, actions, &x);
    size_t n_state = (size_t)n * x.h * x.w * t->n_state * 2;
    *states = model_alloc(t->n_layer * n_state, sizeof **states);
    for (uint32_t i = 0; i < t->n_layer; i++)
        run_layer(w, i, n_time, &x, *states + i * n_state);
    decode(w, &x);
    for (size_t i = 0; i < count(&x); i++) // to planes
        (*next)[i / plane / t->n_channel * plane * t->n_channel + i % t->n_channel * plane + i / t->n_channel % plane] =
            x.x[i];
    free(x.x);
}

void tiny_convs5_run(const tiny_convs5 *tiny, const float *frames, const float *actions, uint32_t n, uint32_t n_time,
                     float **next, float **states) {
    walker *w = model_alloc(1, sizeof *w);
    w->tiny = tiny;
    walk(w, frames, actions, n, n_time, next, states);
    free(w);
}

// ---- files
// -----------------------------------------------------------------------------------------------------------

static bool write_config(const tiny_convs5 *t, const char *folder) {
    FILE *file = fopen(model_path(folder, "config.json"), "wb");
    bool ok = file != NULL;
    if (ok)
        ok = fprintf(
                 file,
                 "{%s\"model_type\": \"convs5\", \"frame\": [%u, %u, %u], \"encoder_depths\": [%d, %d], "
                 "\"encoder_blocks\": %u, \"decoder_depths\": [%d, %d], \"decoder_blocks\": %u, \"d_model\": %u, "
                 "\"ssm_size\": %u, \"n_layers\": %u, \"k_B\": %u, \"k_C\": %u, \"k_D\": %u, \"C_D_config\": \"%s\", "
                 "\"squeeze_excite\": %s, \"clip_eigs\": %s, \"postnorm\": %s, \"use_actions\": %s, "
                 "\"action_dim\": %d, \"action_embedding_size\": %d, \"output\": \"%s\"}\n",
                 t->more_keys ? t->more_keys : "", t->height, t->width, t->n_channel, DEPTH_0, DEPTH_1, t->n_block,
                 DEPTH_0, DEPTH_1, t->n_block, t->n_model, 2 * t->n_state, t->n_layer, t->kernel_b, t->kernel_c,
                 t->kernel_d, t->cd, t->squeeze ? "true" : "false", t->clip_eigs ? "true" : "false",
                 t->prenorm ? "false" : "true", t->use_actions ? "true" : "false", N_ACTION, N_EMBEDDING,
                 t->no_tanh ? "none" : "tanh") > 0;
    if (file) ok &= fclose(file) == 0;
    if (!ok) perror(model_path(folder, "config.json"));
    return ok;
}

bool tiny_convs5_write(const tiny_convs5 *tiny, const char *folder) {
    walker *w = model_alloc(1, sizeof *w);
    w->tiny = tiny;
    w->writing = true;
    float *frame = model_alloc((size_t)tiny->height * tiny->width * tiny->n_channel, sizeof *frame), *next, *states;
    const float action = 0;
    walk(w, frame, &action, 1, 1, &next, &states);
    bool ok = vkssm_tensor_file_write(model_path(folder, "model.safetensors"), NULL, w->tensors, w->n) == VKSSM_OK;
    if (!ok) printf("%s\n", vkssm_last_error());
    for (uint32_t i = 0; i < w->n; i++)
        free((void *)w->tensors[i].data);
    free(frame), free(next), free(states);
    free(w);
    return ok && write_config(tiny, folder);
}

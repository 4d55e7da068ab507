// ConvS5 models of video without quantization (Smith, De Mello, Kautz, Linderman and Byeon 2023): an encoder of
// residual blocks for every frame, an action's embedding, a stack of ConvS5 layers, a decoder; the output is the next
// frame. Parameters have the paths of the original flax code.
//
// Frames go in and out as planes [c, h, w]. Fed back, an output is the next input as it is, neither clipped nor
// rounded.
#include <stdio.h>
#include <string.h>

#include "host/base/alloc.h"
#include "host/base/status.h"
#include "models/block/conv_s5_layer.h"
#include "models/block/diagonal_stack.h"
#include "models/io/config.h"

enum {
    MAX_SIDE = 1 << 12,
    MAX_CHANNEL = 1 << 12,
    MAX_DEPTH = 8,
    MAX_BLOCK = 64,
    MAX_LAYER = 1024,
    MAX_ACTION = 1 << 16
};

// Encoder or decoder: widths of the resolutions, and residual blocks in the order in which they are run.
typedef struct coder {
    uint32_t n_depth, depths[MAX_DEPTH], n_block; // n_block: of a resolution; see n_block_of
    vks_conv conv;
    vks_residual_block *blocks;
} coder;

typedef struct convs5 {
    const vkssm_log *log;
    uint32_t height, width, n_channel; // of a frame
    float low, high;                   // of its values
    coder encoder, decoder;
    vks_conv_s5_config layer;
    uint32_t n_layer, n_action; // n_action: rows of the embedding but one
    uint32_t embedding_size;
    bool use_actions, tanh;
    vks_conv_s5_layer *layers;
    vks_conv action_conv, dense;
    vks_tensor action_bias; // [n_action + 1, U]: what each action's embedding adds; one row without actions
    vks_norm norm;
} convs5;

// The encoder has one block at its first depth, the decoder a set of blocks at every depth.
static uint32_t n_block_of(const coder *c, bool decoder) {
    return decoder ? c->n_depth * c->n_block : 1 + (c->n_depth - 1) * c->n_block;
}

// ---- configuration --------------------------------------------------------------------------------------------------

static vkssm_status required(const vks_config *config, const char *key, uint32_t max, uint32_t *out) {
    VKS_TRY(vks_config_require(config, key));
    return vks_config_u32(config, key, 1, max, out);
}

static vkssm_status parse_numbers(const vks_config *config, const char *key, uint32_t max, uint32_t n, uint32_t *out) {
    float values[MAX_DEPTH];
    VKS_TRY(vks_config_f32_array(config, key, 1, (float)max, n, values));
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (uint32_t)values[i];
        if ((float)out[i] != values[i])
            return vks_fail(vks_config_log(config), VKSSM_ERR_FORMAT,
                            "%s: key \"%s\": whole numbers expected, %g found", vks_config_path(config), key,
                            (double)values[i]);
    }
    return VKSSM_OK;
}

static vkssm_status parse_coder(const vks_config *config, const char *depths, const char *blocks, coder *c) {
    const vkssm_log *log = vks_config_log(config);
    c->n_block = 1;
    VKS_TRY(vks_config_require(config, depths));
    VKS_TRY(vks_config_array_size(config, depths, &c->n_depth));
    VKS_TRY(vks_config_u32(config, blocks, 1, MAX_BLOCK, &c->n_block));
    if (c->n_depth == 0 || c->n_depth > MAX_DEPTH)
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: key \"%s\": 1 to %d numbers expected, %u found",
                        vks_config_path(config), depths, MAX_DEPTH, c->n_depth);
    VKS_TRY(parse_numbers(config, depths, MAX_CHANNEL, c->n_depth, c->depths));
    for (uint32_t i = 0; i < c->n_depth; i++)
        if (c->depths[i] % VKS_NORM_GROUPS)
            return vks_fail(log, VKSSM_ERR_UNSUPPORTED,
                            "%s: key \"%s\": multiples of the %d groups of a norm expected, %u found",
                            vks_config_path(config), depths, VKS_NORM_GROUPS, c->depths[i]);
    uint32_t n = n_block_of(c, true); // no fewer than an encoder has
    c->blocks = vks_alloc_zero(n, sizeof *c->blocks);
    if (c->blocks) return VKSSM_OK;
    return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %u blocks", vks_config_path(config), n);
}

static vkssm_status parse_frame(const vks_config *config, convs5 *m) {
    uint32_t frame[3];
    float range[2] = {-1, 1};
    VKS_TRY(vks_config_require(config, "frame"));
    VKS_TRY(parse_numbers(config, "frame", MAX_SIDE, 3, frame));
    VKS_TRY(vks_config_f32_array(config, "frame_range", -1e6f, 1e6f, 2, range));
    m->height = frame[0];
    m->width = frame[1];
    m->n_channel = frame[2];
    m->low = range[0];
    m->high = range[1];
    if (m->low < m->high) return VKSSM_OK;
    return vks_fail(m->log, VKSSM_ERR_FORMAT,
                    "%s: key \"frame_range\": a smaller and a larger number expected, %g and %g found",
                    vks_config_path(config), (double)m->low, (double)m->high);
}

static vkssm_status parse_kernel(const vks_config *config, const char *key, uint32_t *out) {
    *out = 3;
    VKS_TRY(vks_config_u32(config, key, 1, 63, out));
    if (*out % 2) return VKSSM_OK;
    return vks_fail(vks_config_log(config), VKSSM_ERR_UNSUPPORTED, "%s: key \"%s\": an odd kernel expected, %u found",
                    vks_config_path(config), key, *out);
}

static vkssm_status parse_layers(const vks_config *config, convs5 *m) {
    static const char *const cds[] = {"resnet", "standard", "half_glu", "diag_resnet"}, *const acts[] = {"gelu_tanh"};
    vks_conv_s5_config *layer = &m->layer;
    uint32_t size = 0, n_block = 1, cd = VKS_CD_RESNET, act = 0;
    bool postnorm = true, skips = false;
    layer->clip_eigs = false;
    VKS_TRY(required(config, "d_model", MAX_CHANNEL, &layer->n_channel));
    VKS_TRY(required(config, "ssm_size", MAX_CHANNEL, &size));
    VKS_TRY(required(config, "n_layers", MAX_LAYER, &m->n_layer));
    VKS_TRY(parse_kernel(config, "k_B", &layer->kernel_b));
    VKS_TRY(parse_kernel(config, "k_C", &layer->kernel_c));
    VKS_TRY(parse_kernel(config, "k_D", &layer->kernel_d));
    VKS_TRY(vks_config_choice(config, "C_D_config", cds, VKS_COUNT(cds), &cd));
    VKS_TRY(vks_config_choice(config, "activation", acts, VKS_COUNT(acts), &act));
    VKS_TRY(vks_config_bool(config, "squeeze_excite", &layer->squeeze));
    VKS_TRY(vks_config_bool(config, "clip_eigs", &layer->clip_eigs));
    VKS_TRY(vks_config_bool(config, "postnorm", &postnorm));
    VKS_TRY(vks_config_bool(config, "skip_connections", &skips));
    VKS_TRY(vks_config_u32(config, "blocks", 1, MAX_CHANNEL, &n_block));
    const char *path = vks_config_path(config);
    if (skips)
        return vks_fail(m->log, VKSSM_ERR_UNSUPPORTED, "%s: key \"skip_connections\": false expected, true found",
                        path);
    if (size % 8 || size % (2 * n_block)) // conjugate pairs in blocks, and vectors of 8 parts
        return vks_fail(m->log, VKSSM_ERR_UNSUPPORTED,
                        "%s: key \"ssm_size\": a multiple of 8 and of twice the %u blocks expected, %u found", path,
                        n_block, size);
    if ((cd == VKS_CD_RESNET || cd == VKS_CD_STANDARD) && layer->n_channel % VKS_NORM_GROUPS)
        return vks_fail(m->log, VKSSM_ERR_UNSUPPORTED,
                        "%s: key \"d_model\": a multiple of the %d groups of a norm expected, %u found", path,
                        VKS_NORM_GROUPS, layer->n_channel);
    layer->n_state = size / 2;
    layer->cd = (vks_conv_cd)cd;
    layer->prenorm = !postnorm;
    m->layers = vks_alloc_zero(m->n_layer, sizeof *m->layers);
    if (m->layers) return VKSSM_OK;
    return vks_fail(m->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %u layers", path, m->n_layer);
}

// The encoder halves a frame at every depth but the first; the decoder doubles it as often.
static vkssm_status check_sizes(const vks_config *config, convs5 *m) {
    uint32_t n_half = m->encoder.n_depth - 1, part = 1u << n_half;
    const char *path = vks_config_path(config);
    if (m->height % part || m->width % part)
        return vks_fail(m->log, VKSSM_ERR_FORMAT, "%s: key \"frame\": sides that %u divides expected, %u x %u found",
                        path, part, m->height, m->width);
    if (m->decoder.n_depth != m->encoder.n_depth)
        return vks_fail(m->log, VKSSM_ERR_FORMAT,
                        "%s: key \"decoder_depths\": %u numbers expected, as of the encoder, %u found", path,
                        m->encoder.n_depth, m->decoder.n_depth);
    m->layer.height = m->height / part;
    m->layer.width = m->width / part;
    if ((uint64_t)m->height * m->width * m->n_channel <= 1u << 24) return VKSSM_OK;
    return vks_fail(m->log, VKSSM_ERR_UNSUPPORTED,
                    "%s: key \"frame\": at most 2^24 values expected, %u x %u x %u found", path, m->height, m->width,
                    m->n_channel);
}

// Shaders count elements in 32 bits: of the widest rows, at the resolution of the frames.
static uint64_t most_frames(const convs5 *m) {
    uint64_t widest = 4ull * m->layer.n_state + m->layer.n_channel; // 16-bit states take more than their own size of scratch
    for (uint32_t i = 0; i < m->encoder.n_depth; i++)
        widest += m->encoder.depths[i] + m->decoder.depths[i];
    return UINT32_MAX / (widest * m->height * m->width);
}

static vkssm_status parse(const vks_config *config, convs5 *m, vks_model_shape *shape) {
    static const char *const outputs[] = {"tanh", "none"};
    uint32_t output = 0;
    m->log = vks_config_log(config);
    m->embedding_size = m->n_action = 1;
    VKS_TRY(parse_frame(config, m));
    VKS_TRY(parse_coder(config, "encoder_depths", "encoder_blocks", &m->encoder));
    VKS_TRY(parse_coder(config, "decoder_depths", "decoder_blocks", &m->decoder));
    VKS_TRY(parse_layers(config, m));
    VKS_TRY(vks_config_choice(config, "output", outputs, VKS_COUNT(outputs), &output));
    VKS_TRY(vks_config_u32(config, "action_dim", 1, MAX_ACTION, &m->n_action));
    VKS_TRY(vks_config_u32(config, "action_embedding_size", 1, MAX_CHANNEL, &m->embedding_size));
    VKS_TRY(vks_config_bool(config, "use_actions", &m->use_actions));
    VKS_TRY(check_sizes(config, m));
    m->tanh = output == 0;
    *shape = (vks_model_shape){
        .n_layer = m->n_layer, .n_channel = m->layer.n_channel, .bos = -1, .eos = -1, .most_steps = most_frames(m)};
    const uint32_t numbers[] = {'c', m->n_layer, m->layer.n_state, m->layer.height, m->layer.width};
    shape->fingerprint = 0xcbf29ce484222325u; // FNV-1a over the numbers
    for (size_t i = 0; i < VKS_COUNT(numbers); i++)
        shape->fingerprint = (shape->fingerprint ^ numbers[i]) * 0x100000001b3u;
    return VKSSM_OK;
}

static void destroy(void *self) {
    convs5 *m = self;
    vks_free(m->encoder.blocks);
    vks_free(m->decoder.blocks);
    vks_free(m->layers);
    vks_free(m);
}

static vkssm_status parse_config(const vks_config *config, void **self, vks_model_shape *shape) {
    convs5 *m = vks_alloc_zero(1, sizeof *m);
    if (!m) return vks_fail(vks_config_log(config), VKSSM_ERR_OOM_HOST, "%s: out of memory", vks_config_path(config));
    vkssm_status status = parse(config, m, shape);
    if (status == VKSSM_OK)
        *self = m;
    else
        destroy(m);
    return status;
}

// ---- weights and state ----------------------------------------------------------------------------------------------

// The width that block i of a coder leaves behind; the decoder goes through its depths from the last to the first.
static uint32_t width_after(const coder *c, bool decoder, uint32_t i) {
    return c->depths[decoder ? c->n_depth - 1 - i / c->n_block : (i + c->n_block - 1) / c->n_block];
}

static vkssm_status bind_coder(vks_bind *bind, const char *name, uint32_t n_in, bool decoder, coder *c) {
    vks_bind_prefix(bind, "params/%s/", name);
    VKS_TRY(vks_conv_bind(bind, "Conv_0", "Conv_0/bias", 3, n_in, c->depths[0], 1, &c->conv));
    uint32_t width = c->depths[0];
    for (uint32_t i = 0; i < n_block_of(c, decoder); i++) {
        uint32_t after = width_after(c, decoder, i);
        vks_bind_prefix(bind, "params/%s/ResNetBlock_%u/", name, i);
        VKS_TRY(vks_residual_bind(bind, width, after, &c->blocks[i]));
        width = after;
    }
    return VKSSM_OK;
}

// A 1 x 1 convolution of the latent frame beside the action's embedding, the same for all pixels: a convolution of the
// frame, and a bias for every action.
static vkssm_status bind_actions(vks_bind *bind, convs5 *m) {
    uint32_t n_in = m->encoder.depths[m->encoder.n_depth - 1], n_out = m->layer.n_channel, n_row = m->n_action + 1;
    uint32_t n_embedding = m->embedding_size, n_kept = m->use_actions ? n_row : 1;
    float *kernel = NULL, *bias = NULL, *table = NULL, *sums = NULL, *turned;
    vkssm_status status;
    vks_bind_prefix(bind, "%s", "params/");
    VKS_TRY_GOTO(
        vks_bind_values(bind, "action_conv/Conv_0/kernel", 4, (uint64_t[]){1, 1, n_in + n_embedding, n_out}, &kernel),
        done);
    VKS_TRY_GOTO(vks_bind_values(bind, "action_conv/Conv_0/bias", 1, (uint64_t[]){n_out}, &bias), done);
    VKS_TRY_GOTO(vks_bind_values(bind, "action_embeds/embedding", 2, (uint64_t[]){n_row, n_embedding}, &table), done);
    sums = vks_alloc_zero((size_t)n_kept * n_out, sizeof *sums);
    turned = vks_conv_turn(kernel, 1, n_in, n_out, 1);
    if (!sums || !turned) {
        vks_free(turned);
        status = vks_fail(m->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %u actions",
                          vks_weights_path(bind->weights), n_kept);
        goto done;
    }
    for (size_t a = 0; a < n_kept; a++)
        for (size_t u = 0; u < n_out; u++) {
            double sum = bias[u];
            for (size_t e = 0; e < n_embedding; e++)
                sum += (double)kernel[(n_in + e) * n_out + u] * table[a * n_embedding + e];
            sums[a * n_out + u] = (float)sum;
        }
    m->action_conv = (vks_conv){.kernel = 1, .n_in = n_in, .n_out = n_out};
    VKS_TRY_GOTO(vks_bind_computed_kernel(bind->binder, "action kernel", turned, (uint64_t)(n_in + n_embedding) * n_out,
                                          n_out, (uint32_t)vks_align_up(n_in, 8), &m->action_conv.w),
                 done);
    float *given = sums;
    sums = NULL; // taken over, whatever happens
    uint64_t n_parameter = n_out + (uint64_t)n_row * n_embedding;
    if (m->use_actions)
        status = vks_bind_computed_array(bind->binder, "action bias", given, n_parameter, 2,
                                         (uint32_t[]){n_kept, n_out}, &m->action_bias);
    else
        status = vks_bind_computed_array(bind->binder, "action bias", given, n_parameter, 1, &n_out, &m->action_bias);
done:
    vks_free(kernel);
    vks_free(bias);
    vks_free(table);
    vks_free(sums);
    return status;
}

static vkssm_status bind_weights(void *self, const struct vks_weights *weights, vks_binder *binder,
                                 vks_model_shape *shape) {
    convs5 *m = self;
    (void)shape;
    m->log = vks_binder_log(binder); // used when recording, too
    vks_bind bind = {.weights = weights, .binder = binder, .log = m->log};
    VKS_TRY(bind_coder(&bind, "encoder", m->n_channel, false, &m->encoder));
    VKS_TRY(bind_actions(&bind, m));
    for (uint32_t i = 0; i < m->n_layer; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "params/sequence_model/layers_%u/", i);
        VKS_TRY(vks_conv_s5_bind(&bind, &m->layer, prefix, &m->layers[i]));
    }
    VKS_TRY(bind_coder(&bind, "decoder", m->layer.n_channel, true, &m->decoder));
    vks_bind_prefix(&bind, "%s", "params/decoder/");
    VKS_TRY(vks_norm_bind(&bind, "LayerNorm_0", m->decoder.depths[0], &m->norm));
    return vks_conv_bind_dense(&bind, "Dense_0", m->decoder.depths[0], m->n_channel, &m->dense);
}

static vkssm_status state_layout(const void *self, vks_state_layout *layout) {
    const convs5 *m = self;
    for (uint32_t i = 0; i < m->n_layer; i++)
        VKS_TRY(vks_conv_s5_state(&m->layer, layout));
    return VKSSM_OK;
}

// ---- inputs and outputs ---------------------------------------------------------------------------------------------

// Inputs: frames, and actions if the model has them. Outputs: the next frame; then the state of each layer.
static bool get_io(const void *self, bool output, uint32_t index, vks_io *out) {
    const convs5 *m = self;
    if (index > (output ? m->n_layer : m->use_actions ? 1 : 0)) return false;
    bool frame = index == 0;
    *out = (vks_io){.per_step = true};
    if (frame) {
        snprintf(out->name, sizeof out->name, output ? "next" : "frames");
        out->n_dim = 3;
        out->shape[0] = m->n_channel;
        out->shape[1] = m->height;
        out->shape[2] = m->width;
        out->low = output ? 0 : m->low;
        out->high = output ? 0 : m->high;
        out->u8_divisor = output ? 0 : 255 / (m->high - m->low);
        out->u8_offset = output ? 0 : m->low;
        out->feedback = output ? 0 : 1;
    } else if (!output) {
        snprintf(out->name, sizeof out->name, "actions");
        out->low = -1;
        out->high = (float)m->n_action;
        out->u8_divisor = 1;
    } else {
        snprintf(out->name, sizeof out->name, "layer%u.state", index - 1);
        out->per_step = false;
        out->layer = true;
        out->n_dim = 3;
        out->shape[0] = m->layer.height;
        out->shape[1] = m->layer.width;
        out->shape[2] = 2 * m->layer.n_state;
    }
    return true;
}

// ---- recording ------------------------------------------------------------------------------------------------------

// Rows [N, c h w] as planes [N, c, h, w].
static vks_tensor planes(const convs5 *m, vks_tensor rows) {
    uint64_t plane = (uint64_t)m->height * m->width;
    return (vks_tensor){.address = rows.address,
                        .dtype = rows.dtype,
                        .n_dim = 4,
                        .shape = {rows.shape[0], m->n_channel, m->height, m->width},
                        .stride = {rows.stride[0], plane, m->width, 1}};
}

static uint32_t n_row_of(vks_image_size size) {
    return size.n_image * size.height * size.width;
}

// Rows of half or twice the size. `x` and the result are from the plan.
static vkssm_status record_resample(vks_plan *plan, vks_resample mode, vks_image_size *size, vks_tensor *x) {
    vks_tensor before = vks_tensor_images(*x, size->height, size->width);
    size->height = mode == VKS_AVERAGE ? size->height / 2 : size->height * 2;
    size->width = mode == VKS_AVERAGE ? size->width / 2 : size->width * 2;
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_row_of(*size), before.shape[3], x));
    return vks_op_resample2d(&plan->target, &(vks_resample2d){.x = before,
                                                              .y = vks_tensor_images(*x, size->height, size->width),
                                                              .mode = mode,
                                                              .window_height = 2,
                                                              .window_width = 2});
}

static vkssm_status record_encoder(const convs5 *m, vks_plan *plan, const vks_piece *piece, vks_tensor latent) {
    vks_image_size size = {piece->n_sequence * piece->n_time, m->height, m->width};
    vks_tensor pixels, x;
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_row_of(size), m->encoder.depths[0], &x));
    uint64_t mark = vks_plan_mark(plan);
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row_of(size), m->n_channel, &pixels));
    VKS_TRY(vks_op_resample2d(&plan->target, &(vks_resample2d){.x = planes(m, piece->inputs[0]),
                                                               .y = vks_tensor_images(pixels, m->height, m->width),
                                                               .mode = VKS_FROM_PLANES}));
    VKS_TRY(vks_conv_record(&m->encoder.conv, plan, &(vks_conv_call){.size = size, .x = pixels, .y = x}));
    vks_plan_release(plan, mark);
    for (uint32_t i = 0; i < n_block_of(&m->encoder, false); i++) {
        if (i > 0 && (i - 1) % m->encoder.n_block == 0) VKS_TRY(record_resample(plan, VKS_AVERAGE, &size, &x));
        VKS_TRY(vks_residual_record(&m->encoder.blocks[i], plan, size, x, &x));
    }
    vks_conv_call call = {.size = size, .x = x, .y = latent, .table = m->action_bias};
    if (m->use_actions) {
        const vks_tensor *actions = &piece->inputs[1]; // rows of one number
        VKS_TRY(vks_plan_floats(plan, actions->shape[0], &call.choice));
        vks_tensor column = vks_tensor_rows(call.choice.address, VKSSM_DTYPE_F32, actions->shape[0], 1, 1);
        VKS_TRY(vks_op_activation(&plan->target, &(vks_activation){.x = *actions, .y = column}));
    }
    return vks_conv_record(&m->action_conv, plan, &call);
}

static vkssm_status record_decoder(const convs5 *m, vks_plan *plan, const vks_piece *piece, vks_tensor latent) {
    if (!piece->outputs[0].address) return VKSSM_OK; // nobody wants the next frame
    vks_image_size size = {piece->n_sequence * piece->n_time, m->layer.height, m->layer.width};
    vks_tensor x, y, next = planes(m, piece->outputs[0]);
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_row_of(size), m->decoder.depths[0], &x));
    VKS_TRY(vks_conv_record(&m->decoder.conv, plan, &(vks_conv_call){.size = size, .x = latent, .y = x}));
    for (uint32_t i = 0; i < n_block_of(&m->decoder, true); i++) {
        if (i > 0 && i % m->decoder.n_block == 0) VKS_TRY(record_resample(plan, VKS_NEAREST, &size, &x));
        VKS_TRY(vks_residual_record(&m->decoder.blocks[i], plan, size, x, &x));
    }
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row_of(size), m->decoder.depths[0], &y));
    VKS_TRY(vks_op_layer_norm(
        &plan->target,
        &(vks_layer_norm){.x = x, .weight = m->norm.weight, .bias = m->norm.bias, .y = y, .eps = 1e-6f}));
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_row_of(size), m->n_channel, &x));
    VKS_TRY(vks_conv_record(
        &m->dense, plan, &(vks_conv_call){.size = size, .x = y, .y = x, .act = m->tanh ? VKS_ACT_TANH : VKS_ACT_NONE}));
    return vks_op_resample2d(
        &plan->target,
        &(vks_resample2d){.x = vks_tensor_images(x, m->height, m->width), .y = next, .mode = VKS_TO_PLANES});
}

static vkssm_status check_size(const convs5 *m, const vks_piece *piece) {
    uint64_t n_frame = (uint64_t)piece->n_sequence * piece->n_time, most = most_frames(m);
    if (n_frame <= most) return VKSSM_OK;
    return vks_fail(m->log, VKSSM_ERR_UNSUPPORTED,
                    "run: at most %llu frames at once expected for this model, %llu found", (unsigned long long)most,
                    (unsigned long long)n_frame);
}

static vkssm_status record_state(vks_plan *plan, const vks_piece *piece, uint32_t i) {
    vks_tensor out = piece->outputs[1 + i];
    if (!out.address) return VKSSM_OK;
    vks_tensor state = vks_state_get(&piece->state, i);
    vks_tensor rows = vks_tensor_rows(state.address, VKSSM_DTYPE_F32, out.shape[0], out.shape[1], state.stride[0]);
    return vks_op_activation(&plan->target, &(vks_activation){.x = rows, .y = out}); // a copy
}

static vkssm_status record_piece(const void *self, vks_plan *plan, const vks_piece *piece) {
    const convs5 *m = self;
    vks_tensor latent;
    VKS_TRY(check_size(m, piece));
    uint32_t n_row = piece->n_sequence * piece->n_time * m->layer.height * m->layer.width;
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_row, m->layer.n_channel, &latent));
    uint64_t mark = vks_plan_mark(plan);
    VKS_TRY(record_encoder(m, plan, piece, latent));
    vks_plan_release(plan, mark);
    for (uint32_t i = 0; i < m->n_layer; i++) {
        VKS_TRY(vks_conv_s5_record(&m->layer, &m->layers[i], plan, piece, i, latent));
        VKS_TRY(record_state(plan, piece, i));
    }
    return record_decoder(m, plan, piece, latent);
}

const vks_arch vks_arch_convs5 = {
    .model_type = "convs5",
    .parse_config = parse_config,
    .bind_weights = bind_weights,
    .state_layout = state_layout,
    .get_io = get_io,
    .record_piece = record_piece,
    .destroy = destroy,
};

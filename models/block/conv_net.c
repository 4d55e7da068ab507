#include "conv_net.h"

#include <stdio.h>

#include "host/base/alloc.h"
#include "host/base/status.h"

static const float residual_factor = 0.1f, norm_eps = 1e-6f;

// ---- weights --------------------------------------------------------------------------------------------------------

float *vks_conv_turn(const float *values, uint32_t kernel, uint32_t n_in, uint32_t n_out, float factor) {
    size_t n_tap = (size_t)kernel * kernel, padded = (size_t)vks_align_up(n_in, 8);
    float *turned = vks_alloc_zero(n_tap * padded * n_out, sizeof *turned);
    for (size_t tap = 0; turned && tap < n_tap; tap++)
        for (size_t c = 0; c < n_in; c++)
            for (size_t m = 0; m < n_out; m++)
                turned[(m * n_tap + tap) * padded + c] = factor * values[(tap * n_in + c) * n_out + m];
    return turned;
}

static vkssm_status bind_turned(const vks_bind *bind, const char *name, uint32_t n_dim, uint32_t kernel, float factor,
                                vks_conv *conv) {
    uint32_t n_tap = kernel * kernel, n_in = conv->n_in, n_out = conv->n_out;
    const uint64_t dense[] = {n_in, n_out}, whole[] = {kernel, kernel, n_in, n_out};
    float *values;
    VKS_TRY(vks_bind_values(bind, name, n_dim, n_dim == 2 ? dense : whole, &values));
    float *turned = vks_conv_turn(values, kernel, n_in, n_out, factor);
    vks_free(values);
    if (!turned)
        return vks_fail(bind->log, VKSSM_ERR_OOM_HOST, "%s: tensor %s%s: out of memory",
                        vks_weights_path(bind->weights), bind->prefix, name);
    return vks_bind_computed_kernel(bind->binder, "convolution kernel", turned, (uint64_t)n_tap * n_in * n_out, n_out,
                                    n_tap * (uint32_t)vks_align_up(n_in, 8), &conv->w);
}

static vkssm_status bind_bias(const vks_bind *bind, const char *name, uint32_t n_out, float factor, vks_tensor *out) {
    if (factor == 1) return vks_bind_named_vector(bind, name, n_out, out);
    float *values;
    VKS_TRY(vks_bind_values(bind, name, 1, (uint64_t[]){n_out}, &values));
    for (uint32_t i = 0; i < n_out; i++)
        values[i] *= factor;
    return vks_bind_computed_array(bind->binder, "convolution bias", values, n_out, 1, &n_out, out);
}

vkssm_status vks_conv_bind(const vks_bind *bind, const char *layer, const char *bias, uint32_t kernel, uint32_t n_in,
                           uint32_t n_out, float factor, vks_conv *conv) {
    char name[96];
    *conv = (vks_conv){.kernel = kernel, .n_in = n_in, .n_out = n_out};
    snprintf(name, sizeof name, "%s/kernel", layer);
    VKS_TRY(bind_turned(bind, name, 4, kernel, factor, conv));
    return bias ? bind_bias(bind, bias, n_out, factor, &conv->bias) : VKSSM_OK;
}

vkssm_status vks_conv_bind_dense(const vks_bind *bind, const char *layer, uint32_t n_in, uint32_t n_out,
                                 vks_conv *conv) {
    char name[96];
    *conv = (vks_conv){.kernel = 1, .n_in = n_in, .n_out = n_out};
    snprintf(name, sizeof name, "%s/kernel", layer);
    VKS_TRY(bind_turned(bind, name, 2, 1, 1, conv));
    snprintf(name, sizeof name, "%s/bias", layer);
    return bind_bias(bind, name, n_out, 1, &conv->bias);
}

vkssm_status vks_norm_bind(const vks_bind *bind, const char *layer, uint32_t n_channel, vks_norm *norm) {
    char name[96];
    snprintf(name, sizeof name, "%s/scale", layer);
    VKS_TRY(vks_bind_named_vector(bind, name, n_channel, &norm->weight));
    snprintf(name, sizeof name, "%s/bias", layer);
    return vks_bind_named_vector(bind, name, n_channel, &norm->bias);
}

vkssm_status vks_residual_bind(const vks_bind *bind, uint32_t n_in, uint32_t n_out, vks_residual_block *block) {
    bool other = n_in != n_out; // flax numbers the skip's convolution first
    VKS_TRY(vks_norm_bind(bind, "GroupNorm_0", n_in, &block->norms[0]));
    VKS_TRY(vks_norm_bind(bind, "GroupNorm_1", n_out, &block->norms[1]));
    if (other) VKS_TRY(vks_conv_bind(bind, "Conv_0", NULL, 1, n_in, n_out, 1, &block->skip));
    VKS_TRY(vks_conv_bind(bind, other ? "Conv_1" : "Conv_0", other ? "Conv_1/bias" : "Conv_0/bias", 3, n_in, n_out, 1,
                          &block->convs[0]));
    return vks_conv_bind(bind, other ? "Conv_2" : "Conv_1", "AddBias_0/bias", 3, n_out, n_out, residual_factor,
                         &block->convs[1]);
}

vkssm_status vks_squeeze_bind(const vks_bind *bind, const char *name, uint32_t n_channel, vks_squeeze *squeeze) {
    char layer[64];
    uint32_t n_inner = n_channel / 16 > 4 ? n_channel / 16 : 4;
    snprintf(layer, sizeof layer, "%s/Dense_0", name);
    VKS_TRY(vks_conv_bind_dense(bind, layer, n_channel, n_inner, &squeeze->down));
    snprintf(layer, sizeof layer, "%s/Dense_1", name);
    return vks_conv_bind_dense(bind, layer, n_inner, n_channel, &squeeze->up);
}

// ---- recording ------------------------------------------------------------------------------------------------------

vkssm_status vks_conv_record(const vks_conv *conv, vks_plan *plan, const vks_conv_call *call) {
    uint32_t height = call->size.height, width = call->size.width;
    uint64_t mark = vks_plan_mark(plan);
    vks_tensor x = call->x, none = {0};
    if (x.dtype != plan->activation_dtype) {
        VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, x.shape[0], x.shape[1], &x));
        VKS_TRY(vks_op_activation(&plan->target, &(vks_activation){.x = call->x, .y = x}));
    }
    VKS_TRY(
        vks_op_conv2d(&plan->target,
                      &(vks_conv2d){.x = vks_tensor_images(x, height, width),
                                    .w = conv->w,
                                    .bias = call->table.address ? call->table : conv->bias,
                                    .choice = call->choice,
                                    .added = call->added.address ? vks_tensor_images(call->added, height, width) : none,
                                    .y = vks_tensor_images(call->y, height, width),
                                    .kernel_height = conv->kernel,
                                    .kernel_width = conv->kernel,
                                    .stride = 1,
                                    .act = call->act,
                                    .accumulate = call->accumulate}));
    vks_plan_release(plan, mark);
    return VKSSM_OK;
}

// Rows of pixels as [N, S, C].
static vks_tensor by_image(vks_tensor rows, vks_image_size size) {
    uint32_t n_pixel = size.height * size.width;
    uint64_t stride = rows.stride[0];
    return (vks_tensor){.address = rows.address,
                        .dtype = rows.dtype,
                        .n_dim = 3,
                        .shape = {size.n_image, n_pixel, rows.shape[1]},
                        .stride = {n_pixel * stride, stride, 1}};
}

vkssm_status vks_norm_record(const vks_norm *norm, vks_plan *plan, vks_image_size size, vks_tensor x, vks_act act,
                             vks_tensor y) {
    uint64_t mark = vks_plan_mark(plan);
    vks_group_norm op = {.x = by_image(x, size),
                         .weight = norm->weight,
                         .bias = norm->bias,
                         .y = by_image(y, size),
                         .n_group = VKS_NORM_GROUPS,
                         .eps = norm_eps,
                         .act = act};
    uint64_t n = vks_group_norm_scratch_size(plan->target.kernels, size.n_image, size.height * size.width, x.shape[1],
                                             VKS_NORM_GROUPS);
    VKS_TRY(vks_plan_floats(plan, n, &op.scratch));
    VKS_TRY(vks_op_group_norm(&plan->target, &op));
    vks_plan_release(plan, mark);
    return VKSSM_OK;
}

vkssm_status vks_residual_record(const vks_residual_block *block, vks_plan *plan, vks_image_size size, vks_tensor x,
                                 vks_tensor *y) {
    uint32_t n_row = x.shape[0], n_in = block->convs[0].n_in, n_out = block->convs[0].n_out;
    vks_tensor normed, inner;
    *y = x;
    if (block->skip.kernel) {
        VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_row, n_out, y));
        VKS_TRY(vks_conv_record(&block->skip, plan, &(vks_conv_call){.size = size, .x = x, .y = *y}));
    }
    uint64_t mark = vks_plan_mark(plan);
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, n_in, &normed));
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_row, n_out, &inner));
    VKS_TRY(vks_norm_record(&block->norms[0], plan, size, x, VKS_ACT_ELU, normed));
    VKS_TRY(vks_conv_record(&block->convs[0], plan, &(vks_conv_call){.size = size, .x = normed, .y = inner}));
    VKS_TRY(vks_norm_record(&block->norms[1], plan, size, inner, VKS_ACT_ELU, inner));
    VKS_TRY(vks_conv_record(&block->convs[1], plan,
                            &(vks_conv_call){.size = size, .x = inner, .y = *y, .accumulate = true}));
    vks_plan_release(plan, mark);
    return VKSSM_OK;
}

vkssm_status vks_squeeze_record(const vks_squeeze *squeeze, vks_plan *plan, vks_image_size size, vks_tensor x,
                                vks_tensor y) {
    uint32_t n_image = size.n_image, n_channel = x.shape[1];
    uint64_t mark = vks_plan_mark(plan);
    vks_tensor mean, inner, gate;
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_image, n_channel, &mean));
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, n_image, squeeze->down.n_out, &inner));
    VKS_TRY(vks_plan_rows(plan, x.dtype, n_image, n_channel, &gate));
    VKS_TRY(vks_op_resample2d(&plan->target, &(vks_resample2d){.x = vks_tensor_images(x, size.height, size.width),
                                                               .y = vks_tensor_images(mean, 1, 1),
                                                               .mode = VKS_AVERAGE,
                                                               .window_height = size.height,
                                                               .window_width = size.width}));
    vks_image_size one = {n_image, 1, 1};
    VKS_TRY(vks_conv_record(&squeeze->down, plan,
                            &(vks_conv_call){.size = one, .x = mean, .y = inner, .act = VKS_ACT_RELU}));
    VKS_TRY(vks_conv_record(&squeeze->up, plan, &(vks_conv_call){.size = one, .x = inner, .y = gate}));
    VKS_TRY(vks_op_activation(&plan->target, &(vks_activation){.x = x, .gate = gate, .y = y}));
    vks_plan_release(plan, mark);
    return VKSSM_OK;
}

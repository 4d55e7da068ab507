// Parts of convolutional networks over images, with parameter names as flax gives them: convolutions, group norms,
// residual blocks, squeeze-and-excite. Images are rows, one a pixel, channels last; which image a row belongs to is
// known by its place.
#ifndef VKS_CONV_NET_H
#define VKS_CONV_NET_H

#include "bind.h"

typedef struct vks_conv {
    vks_tensor w, bias;
    uint32_t kernel, n_in, n_out;
} vks_conv;

typedef struct vks_norm {
    vks_tensor weight, bias;
} vks_norm;

// `layer`/kernel [kernel, kernel, n_in, n_out], times `factor`. Its bias is `bias` below the prefix, likewise; NULL:
// none.
vkssm_status vks_conv_bind(const vks_bind *bind, const char *layer, const char *bias, uint32_t kernel, uint32_t n_in,
                           uint32_t n_out, float factor, vks_conv *conv);
// A dense layer [n_in, n_out] as a 1 x 1 convolution, with its bias.
vkssm_status vks_conv_bind_dense(const vks_bind *bind, const char *layer, uint32_t n_in, uint32_t n_out,
                                 vks_conv *conv);
// The kernel as vks_op_conv2d wants it: values [kernel^2, n_in, n_out] to [n_out, kernel^2 n_in'], from vks_alloc or
// NULL.
float *vks_conv_turn(const float *values, uint32_t kernel, uint32_t n_in, uint32_t n_out, float factor);
// `layer`/scale and `layer`/bias.
vkssm_status vks_norm_bind(const vks_bind *bind, const char *layer, uint32_t n_channel, vks_norm *norm);

typedef struct vks_image_size {
    uint32_t n_image, height, width;
} vks_image_size;

// y = act(conv(x) + added) (+ y); x of whatever type: rows of another type than the plan's activations are converted
// first.
typedef struct vks_conv_call {
    vks_image_size size;
    vks_tensor x, added, y;
    vks_tensor table, choice; // in place of the bias; see vks_conv2d
    vks_act act;
    bool accumulate;
} vks_conv_call;
vkssm_status vks_conv_record(const vks_conv *conv, vks_plan *plan, const vks_conv_call *call);
// y = act(group norm of x), in VKS_NORM_GROUPS groups.
enum { VKS_NORM_GROUPS = 32 };
vkssm_status vks_norm_record(const vks_norm *norm, vks_plan *plan, vks_image_size size, vks_tensor x, vks_act act,
                             vks_tensor y);

// x + 0.1 conv(elu(norm(conv(elu(norm(x)))))), x through a 1 x 1 convolution if its channels are others.
typedef struct vks_residual_block {
    vks_norm norms[2];
    vks_conv convs[2], skip; // skip.kernel 0: none
} vks_residual_block;
vkssm_status vks_residual_bind(const vks_bind *bind, uint32_t n_in, uint32_t n_out, vks_residual_block *block);
// x [n, n_in] F32 becomes *y: x itself, which is changed, or other rows, which are taken from the plan.
vkssm_status vks_residual_record(const vks_residual_block *block, vks_plan *plan, vks_image_size size, vks_tensor x,
                                 vks_tensor *y);

// x sigmoid(W2 relu(W1 mean(x))), the mean over an image's pixels (Hu et al. 2018). W1 gives max(n_channel / 16, 4)
// channels.
typedef struct vks_squeeze {
    vks_conv down, up;
} vks_squeeze;
vkssm_status vks_squeeze_bind(const vks_bind *bind, const char *name, uint32_t n_channel, vks_squeeze *squeeze);
vkssm_status vks_squeeze_record(const vks_squeeze *squeeze, vks_plan *plan, vks_image_size size, vks_tensor x,
                                vks_tensor y);

#endif

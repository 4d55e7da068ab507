// Finding a model's tensors by name and binding them, with messages that name file, tensor, expectation and finding.
#ifndef VKS_BIND_H
#define VKS_BIND_H

#include "host/core/arch.h"
#include "models/io/weights.h"

// Where tensors come from and go to while an architecture binds. `prefix` is put in front of every name. Without
// weights (NULL) every tensor that is looked for is made up, and vks_bind_has finds none.
typedef struct vks_bind {
    const struct vks_weights *weights;
    vks_binder *binder;
    const vkssm_log *log;
    char prefix[96];
} vks_bind;

void vks_bind_prefix(vks_bind *bind, const char *format, ...);

// The tensor prefix+name of exactly this shape.
vkssm_status vks_bind_find(const vks_bind *bind, const char *name, uint32_t n_dim, const uint64_t *shape,
                           vkssm_named_tensor *out);
bool vks_bind_has(const vks_bind *bind, const char *name);

// The part that holds A: prefix+log_name, as "A_log", of which -exp is taken; or, without that, prefix+"A" as it is
// (GGUF files).
vkssm_status vks_bind_find_a(const vks_bind *bind, const char *log_name, uint32_t n_dim, const uint64_t *shape,
                             vks_bind_part *out);

// Bind prefix+name as a matrix [n_row, n_column].
vkssm_status vks_bind_named_matrix(const vks_bind *bind, const char *name, uint32_t n_row, uint32_t n_column,
                                   vks_tensor *out);
// Bind prefix+name as a float32 vector [n].
vkssm_status vks_bind_named_vector(const vks_bind *bind, const char *name, uint32_t n, vks_tensor *out);
// Bind prefix+name, a depthwise convolution [n_channel, 1, n_tap], as [n_tap, n_channel].
vkssm_status vks_bind_named_conv(const vks_bind *bind, const char *name, uint32_t n_channel, uint32_t n_tap,
                                 vks_tensor *out);

// The values of prefix+name, of exactly this shape, as float32: *values from vks_alloc, for the caller to free.
vkssm_status vks_bind_values(const vks_bind *bind, const char *name, uint32_t n_dim, const uint64_t *shape,
                             float **values);
// Bind a dense layer of flax: `layer`/kernel [n_in, n_out] as a matrix [n_out, n_in], and `layer`/bias [n_out].
vkssm_status vks_bind_flax_dense(const vks_bind *bind, const char *layer, uint32_t n_in, uint32_t n_out,
                                 vks_tensor *matrix, vks_tensor *bias);

#endif

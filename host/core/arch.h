// The architecture interface: what a model family implements (models/arch/<family>.c), and what it may call to do so.
// An architecture never sees Vulkan: it binds weights, lays out its state, and calls operators on tensors.
#ifndef VKS_ARCH_H
#define VKS_ARCH_H

#include <vkssm/tensor_file.h>

#include "host/op/ops.h"

struct vks_weights; // models/io/weights.h
struct vks_config;  // models/io/config.h

// ---- weights --------------------------------------------------------------------------------------------------------

// Collects what a model needs on the device. Binding only takes note: after bind_weights returned, memory is checked
// against the device's budget, taken, and filled, and the tensors asked for become valid.
typedef struct vks_binder vks_binder;
// The device's log, which a model may use as long as it lives; that of a vks_config ends with it.
const vkssm_log *vks_binder_log(const vks_binder *binder);

typedef enum vks_transform {
    VKS_TRANSFORM_NONE,
    VKS_TRANSFORM_NEGATIVE_EXP, // -exp(x): A from A_log
    VKS_TRANSFORM_TRANSPOSE,    // [C, 1, K] or [C, K] to [K, C]: convolution weights
} vks_transform;

// A matrix for vks_op_matmul and vks_op_embedding: [n_row, n_column] in the file's type (or the type that the caller of
// vkssm_model_load asked for), rows padded with zeros to a multiple of 8.
vkssm_status vks_bind_matrix(vks_binder *binder, const vkssm_named_tensor *source, uint32_t n_row, uint32_t n_column,
                             vks_tensor *out);
// The same for what other operators read too, which take no block types: float16 where those are asked for or found.
vkssm_status vks_bind_float_matrix(vks_binder *binder, const vkssm_named_tensor *source, uint32_t n_row,
                                   uint32_t n_column, vks_tensor *out);
// A float32 array [shape], made of `n_part` sources one after the other, each through its transform.
typedef struct vks_bind_part {
    vkssm_named_tensor source;
    vks_transform transform;
} vks_bind_part;
vkssm_status vks_bind_array(vks_binder *binder, const vks_bind_part *parts, uint32_t n_part, uint32_t n_dim,
                            const uint32_t *shape, vks_tensor *out);
// The same for values that the architecture computed itself: dense, from vks_alloc, taken over whatever happens.
// name: a literal, for messages and memory listings. n_parameter: how many of the file's parameters they stand for.
vkssm_status vks_bind_computed_matrix(vks_binder *binder, const char *name, float *values, uint64_t n_parameter,
                                      uint32_t n_row, uint32_t n_column, vks_tensor *out);
// The same for a convolution: float16 where block types are asked for.
vkssm_status vks_bind_computed_kernel(vks_binder *binder, const char *name, float *values, uint64_t n_parameter,
                                      uint32_t n_row, uint32_t n_column, vks_tensor *out);
vkssm_status vks_bind_computed_array(vks_binder *binder, const char *name, float *values, uint64_t n_parameter,
                                     uint32_t n_dim, const uint32_t *shape, vks_tensor *out);

// Models without files, for measurements: a tensor whose data is NULL is made up. Its name then says what it is to look
// like: "A_log", "dt_bias", "D" and "norm" have usual values of these, anything else is uniform in +-1/sqrt(columns).
// The i-th of its values; the same each time.
float vks_synthetic_value(const vkssm_named_tensor *source, uint64_t i);

// ---- state ----------------------------------------------------------------------------------------------------------

// The recurrent state of one slot: float32 arrays, numbered in the order of vks_state_add.
typedef struct vks_state_layout vks_state_layout;
// Add an array; at most 3 dimensions.
vkssm_status vks_state_add(vks_state_layout *layout, uint32_t n_dim, const uint32_t *shape);

// The state of all slots, or of one, as operators want it.
typedef struct vks_state_view {
    const vks_state_layout *layout;
    uint64_t address; // of the first slot seen
    uint32_t n_slot;  // slots seen
    bool by_array;    // an array of all slots, without gaps, then the next array; else a slot with all arrays, then the next
    const struct vks_state_part *parts; // or where the arrays lie in several buffers of all slots (`address` is not used):
    uint32_t n_part, first_slot;        // the first slot seen
} vks_state_view;
// Array `index`: [n_slot, shape...].
vks_tensor vks_state_get(const vks_state_view *view, uint32_t index);

// ---- recording ------------------------------------------------------------------------------------------------------

// Where an architecture records: the target of the operators, and scratch memory. Scratch is a stack: what was taken after
// a mark is given back at the mark, and may then be taken again; the recorder orders the uses.
typedef struct vks_plan {
    vks_op_target target;
    vkssm_dtype activation_dtype;
    uint64_t base, size; // scratch; while measuring, base is a made-up address and size is unlimited
    uint64_t used, peak;
} vks_plan;

// [n_row, n_column] of scratch: rows padded to a multiple of 8 elements, start aligned to 256 bytes. Errors:
// ERR_OOM_DEVICE.
vkssm_status vks_plan_rows(vks_plan *plan, vkssm_dtype dtype, uint32_t n_row, uint32_t n_column, vks_tensor *out);
vkssm_status vks_plan_floats(vks_plan *plan, uint64_t n, vks_tensor *out); // [n]; n 0: no tensor
// A product that takes what scratch it can use, and gives it back.
vkssm_status vks_plan_matmul(vks_plan *plan, const vks_matmul *op);
static inline uint64_t vks_plan_mark(const vks_plan *plan) {
    return plan->used;
}
static inline void vks_plan_release(vks_plan *plan, uint64_t mark) {
    plan->used = mark;
}

// ---- the verbs ------------------------------------------------------------------------------------------------------

typedef struct vks_model_shape {
    uint32_t n_layer, n_channel, n_vocab;
    int32_t bos, eos;    // or -1
    uint64_t fingerprint; // of every number that shapes the state; tells a foreign state image
    bool needs_whole;     // of tensor models: a step sees later ones, so that sequences cannot be cut along time
    uint64_t most_steps;  // of tensor models: time steps of all sequences that a piece can have; 0: any
} vks_model_shape;

// T tokens of one slot, in the parallel form; or, with offsets, of several, packed.
typedef struct vks_prefill {
    vks_tensor tokens;      // [T] I32
    vks_state_view state;   // one slot; with offsets all slots
    vks_tensor slots;       // with offsets: [n] I32, the sequences' slots
    vks_tensor offsets;     // [n+1] I32: sequence s is tokens offsets[s] ... offsets[s+1]-1; or none
    vks_tensor logits;      // [n, V] F32: of tokens first_logit ... first_logit+n-1, with offsets of tokens `last`; or none
    vks_tensor last;        // with offsets and logits: [n] I32
    uint32_t first_logit;
} vks_prefill;

// One token of each of B slots, in the recurrent form.
typedef struct vks_step {
    vks_tensor tokens;    // [slots] I32, by slot, of any stride
    vks_tensor slots;     // [B] I32
    vks_state_view state; // all slots
    vks_tensor logits;    // [B, V] F32
    uint32_t most_rows;   // at least B, or 0: B. Kernels are chosen as for so many sequences, so that the bits of one do
                          // not depend on how many others there are
} vks_step;

// ---- models that map tensors to tensors -----------------------------------------------------------------------------

// One input or output: what it holds for one time step of one sequence, or (outputs only) for a whole sequence.
typedef struct vks_io {
    char name[32];
    uint32_t n_dim; // 0: one number
    uint32_t shape[3];
    bool per_step;   // [n, T, shape...]; else [n, shape...]. Inputs are always per step
    bool layer;      // an output that is only given when layers are asked for
    float u8_divisor, u8_offset; // inputs: what a U8 value is divided by, and what is added then; 0: U8 is refused
    float low, high;   // inputs: what values must not leave; both 0: any value will do
    uint32_t feedback; // inputs: 1 + the output, per step and of the same shape, that the next step reads here when the model
                       // goes on by itself; 0: none. One input at most
} vks_io;

// T time steps of B sequences. Sequence b has slot b.
typedef struct vks_piece {
    uint32_t n_sequence, n_time;
    bool last;                 // the sequences end here: outputs that are not per step are wanted
    const vks_tensor *inputs;  // by index: [B T, K] F32, sequence-major, row stride a multiple of 8
    const vks_tensor *outputs; // by index: [B T, K] or [B, K] F32; none: not wanted
    vks_state_view state;
} vks_piece;

typedef struct vks_arch {
    const char *model_type; // as in config.json
    bool packs_prompts;     // record_prefill takes offsets
    // Whether a config.json without model_type is of this family (original layouts).
    bool (*recognises)(const struct vks_config *config);
    // *self: the architecture's own object, to be released by destroy.
    vkssm_status (*parse_config)(const struct vks_config *config, void **self, vks_model_shape *shape);
    // May correct shape->n_vocab to the rows that the file holds.
    vkssm_status (*bind_weights)(void *self, const struct vks_weights *weights, vks_binder *binder, vks_model_shape *shape);
    vkssm_status (*state_layout)(const void *self, vks_state_layout *layout);
    vkssm_status (*record_prefill)(const void *self, vks_plan *plan, const vks_prefill *prefill);
    vkssm_status (*record_step)(const void *self, vks_plan *plan, const vks_step *step);
    // Tensor models have these two in place of record_prefill and record_step, which are NULL; language models the reverse.
    // The index-th input or output; false past the last one.
    bool (*get_io)(const void *self, bool output, uint32_t index, vks_io *out);
    vkssm_status (*record_piece)(const void *self, vks_plan *plan, const vks_piece *piece);
    void (*destroy)(void *self);
} vks_arch;

#endif

// vkssm/tensor_model.h: run a model that maps tensors to tensors (S5, LRU, ConvS5): classifiers and filters of sequences,
// video prediction.
//
// Typical order: vkssm_model_load, then vkssm_model_run with whole sequences; or vkssm_stream_create and
// vkssm_stream_step with one sample at a time, which gives the same outputs. Language models run in a session instead
// (vkssm/session.h).
#ifndef VKSSM_TENSOR_MODEL_H
#define VKSSM_TENSOR_MODEL_H

#include <vkssm/model.h>
#include <vkssm/tensor_file.h>

#ifdef __cplusplus
extern "C" {
#endif

// What a model takes and gives. Letters: n sequences, T time steps.
typedef struct vkssm_tensor_info {
    char name[32];
    uint32_t n_dim;    // dimensions of one time step, or of one sequence, after [n, T] or [n]
    uint64_t shape[3]; // n_dim used
    bool per_step;     // [n, T, shape...]; else [n, shape...]. Inputs are always per step
    bool layer;        // an output that is only given when layers are asked for
    bool takes_u8;     // an input may be U8; the model's config.json says what its values mean
    bool fed_back;     // an input that the model fills by itself in a rollout
} vkssm_tensor_info;

// The index-th input, and the index-th output. Errors: ERR_ARG past the last one, ERR_UNSUPPORTED for a language model.
VKSSM_API vkssm_status vkssm_model_get_input(const vkssm_model *model, uint32_t index, vkssm_tensor_info *out);
VKSSM_API vkssm_status vkssm_model_get_output(const vkssm_model *model, uint32_t index, vkssm_tensor_info *out);

// Named tensors in host memory that a call has made.
typedef struct vkssm_tensors vkssm_tensors;
VKSSM_API uint32_t vkssm_tensors_n_tensor(const vkssm_tensors *tensors);
// The index-th tensor (index < n_tensor); its data live as long as `tensors`.
VKSSM_API void vkssm_tensors_get(const vkssm_tensors *tensors, uint32_t index, vkssm_named_tensor *out);
// Find by name; false if there is none.
VKSSM_API bool vkssm_tensors_find(const vkssm_tensors *tensors, const char *name, vkssm_named_tensor *out);
VKSSM_API void vkssm_tensors_destroy(vkssm_tensors **tensors);

typedef struct vkssm_run_params {
    vkssm_progress progress; // time steps of all sequences done, of n T
    bool layers;             // give the layers' outputs too
    uint32_t piece_size; // time steps of all sequences that one submission computes at most; 0: chosen for the device.
                         // A model that sees later steps takes at least one whole sequence at once
} vkssm_run_params;

// Run `n_input` tensors through the model by the parallel form, every sequence from an empty state, in bounded pieces.
// inputs: found by name; those that the model does not know are ignored. Each [n, T, shape...] with the same n and T of
// at
//         least 1, F32 or (vkssm_tensor_info.takes_u8) U8; dimensions of 1 at the end may be left out.
// *out:   the outputs, F32; release with vkssm_tensors_destroy. NULL after an error.
// Errors: ERR_ARG (an input that is missing, of another shape or type), ERR_UNSUPPORTED (a language model; a sequence
// too
//         long to be computed at once by a model that sees later steps), ERR_OOM_*, ERR_CANCELLED, ERR_DEVICE_LOST.
// Thread-safety: several threads may run one model. Cost: takes and releases its own device memory; a submission and
// wait per piece.
VKSSM_API vkssm_status vkssm_model_run(vkssm_model *model, const vkssm_run_params *params,
                                       const vkssm_named_tensor *inputs, uint32_t n_input, vkssm_tensors **out);

// Closed loop: read the inputs as vkssm_model_run does, then go on by n_predict - 1 steps more, each of which reads the output
// of the step before it (vkssm_tensor_info.fed_back says where). Outputs become inputs on the device, in the recurrent form.
// inputs: as for vkssm_model_run; those that are not fed back have n_predict - 1 steps more than those that are.
// *out:   the outputs of vkssm_model_run, and "rollout" [n, n_predict, shape...]: the output of the last step given and of
//         those that follow, as they were fed back. Layers' outputs are those of the steps given.
// n_predict: at least 1. params: as for vkssm_model_run; progress counts the further steps too.
// Errors: as vkssm_model_run; ERR_UNSUPPORTED for a model whose outputs are no inputs.
// Thread-safety: as vkssm_model_run. Cost: as that, and a submission and wait for every few steps.
VKSSM_API vkssm_status vkssm_model_rollout(vkssm_model *model, const vkssm_run_params *params, uint32_t n_predict,
                                           const vkssm_named_tensor *inputs, uint32_t n_input, vkssm_tensors **out);

// A stream: slots that each read a sequence, one sample at a time, by the recurrent form. Its state is that of the
// parallel form. Thread-safety: a stream belongs to one thread at a time; several streams may run at once on one model.
typedef struct vkssm_stream vkssm_stream;

typedef struct vkssm_stream_params {
    uint32_t n_slot; // sequences read at once; 0: 1
    bool layers;     // give the layers' outputs too
} vkssm_stream_params;

// Create a stream with all slots reset. All its memory is taken here.
// Errors: ERR_UNSUPPORTED (a language model; a model that sees later steps), ERR_ARG, ERR_OOM_*, ERR_DEVICE_LOST.
VKSSM_API vkssm_status vkssm_stream_create(vkssm_model *model, const vkssm_stream_params *params, vkssm_stream **out);
VKSSM_API void vkssm_stream_destroy(vkssm_stream **stream);

// Read one sample into every slot.
// inputs:  as for vkssm_model_run, without T: [n_slot, shape...].
// outputs: [*n_output] tensors [n_slot, shape...], F32, valid until the next call with this stream. Outputs that are
// not
//          per step are those of the sequence so far.
// Errors: ERR_ARG (nothing has changed then), ERR_DEVICE_LOST.   Cost: one submission and wait, no recording, no
// allocation.
VKSSM_API vkssm_status vkssm_stream_step(vkssm_stream *stream, const vkssm_named_tensor *inputs, uint32_t n_input,
                                         const vkssm_named_tensor **outputs, uint32_t *n_output);

// Back to the state before the first sample. Errors: ERR_ARG (no such slot), ERR_DEVICE_LOST.
VKSSM_API vkssm_status vkssm_stream_reset(vkssm_stream *stream, uint32_t slot);

#ifdef __cplusplus
}
#endif
#endif

// Inside host/core: running models that map tensors to tensors.
//
// A runner holds the memory of pieces of a given size and one recorder. vkssm_model_run records a piece for each shape
// that it needs; a stream records its step once and replays it.
#ifndef VKS_CORE_TENSOR_H
#define VKS_CORE_TENSOR_H

#include <vkssm/tensor_model.h>

#include "core_model.h"
#include "vk/vks.h"

typedef struct vks_port { // an input or output of the model, and its place in the runner's buffers
    vks_io io;
    uint32_t n_value; // product of io.shape
    bool wanted;
    uint64_t offset, stride; // bytes from the buffer's begin, floats between rows
} vks_port;

typedef struct vks_runner {
    vkssm_model *model;
    uint32_t n_sequence, n_time; // of the largest piece
    uint32_t n_input, n_output;
    vks_port *inputs, *outputs;
    vks_tensor *tensors; // scratch for recording: [n_input + n_output]
    uint64_t input_size, output_size, scratch_size, state_size, total_size;
    vks_arena *device_arena, *upload_arena, *readback_arena;
    vks_buffer input, output, scratch, state; // on the device
    vks_buffer upload, readback;              // host-visible images of input and output
    vks_recorder *recorder;
} vks_runner;

// ERR_UNSUPPORTED unless the model maps tensors to tensors. `what` opens the message.
vkssm_status vks_check_tensor_model(const vkssm_model *model, const char *what);

// Ports and sizes for pieces of this size; takes no device memory. Call finish in any case. To measure another size,
// finish and measure again.
vkssm_status vks_runner_measure(vkssm_model *model, uint32_t n_sequence, uint32_t n_time, bool layers, vks_runner *out);
// Take the memory. Errors: ERR_OOM_DEVICE (amount needed and found).
vkssm_status vks_runner_take(vks_runner *runner);
void vks_runner_finish(vks_runner *runner);

// Record a piece of at most the measured size: copy the inputs in, compute, copy the outputs out.
// first: its sequences begin here, with empty states.
vkssm_status vks_runner_record(vks_runner *runner, uint32_t n_sequence, uint32_t n_time, bool first, bool last,
                               bool reusable);
// Submit what is recorded, and wait.
vkssm_status vks_runner_submit(vks_runner *runner);
// Record the computation alone, from the runner's input to its output.
void vks_runner_compute(vks_runner *runner, vks_recorder *recorder, uint32_t n_sequence, uint32_t n_time, bool last);
// Zero the states of slots first ... first+n-1 of the measured n_sequence. What was recorded is lost.
vkssm_status vks_runner_reset(vks_runner *runner, uint32_t first, uint32_t n);

// ---- tensors from outside (tensor_inputs.c) ----

// Find and check the inputs among the caller's tensors: found[i] for port i. by_time: [n, T, shape...]; else [n,
// shape...]. *n and *n_time get what the tensors have; both are checked to be at least 1 and the same for all, but that
// inputs that are not fed back have n_more steps more.
vkssm_status vks_match_inputs(const vks_runner *runner, const char *what, const vkssm_named_tensor *inputs,
                              uint32_t n_input, bool by_time, uint64_t n_more, vkssm_named_tensor *found, uint64_t *n,
                              uint64_t *n_time);
// Convert rows first ... first+n_row-1 (a row is a time step of a sequence) into `out`, as the port has them.
void vks_fill_input(const vks_port *port, const vkssm_named_tensor *tensor, uint64_t first, uint64_t n_row, void *out);

// ---- closed loop (tensor_rollout.c) ----

// Steps whose inputs are outputs of the step before.
typedef struct vks_rollout {
    vks_runner *runner;
    uint32_t n_step;        // of a submission, at most
    uint32_t input, output; // the ports that are joined
    vks_arena *upload_arena, *readback_arena;
    vks_buffer upload, readback; // inputs that are not fed back, and outputs, of the steps of a submission
    vks_recorder *gather, *steps;
    uint32_t n_recorded, n_recorded_sequence; // what `steps` holds
} vks_rollout;

// After the runner has taken its memory. ERR_UNSUPPORTED unless the model has an input that is fed back. Call finish in
// any case.
vkssm_status vks_rollout_create(vks_runner *runner, uint32_t n_predict, vks_rollout *out);
void vks_rollout_finish(vks_rollout *rollout);

// Go on after the last piece that the runner has run, of n_sequence sequences and n_time steps. The first of the
// n_predict outputs is that of the piece's last step.
typedef struct vks_rollout_call {
    uint32_t n_sequence, n_time, n_predict;
    const vkssm_named_tensor *inputs;       // by port; those that are not fed back are read on
    uint64_t first_sequence, first_step;    // from this step of this sequence and its neighbours
    float *out;                             // [n_sequence, n_predict, shape...]
    bool (*on_steps)(void *user, uint32_t); // as many steps more are done; false: stop
    void *user;
} vks_rollout_call;
vkssm_status vks_rollout_run(vks_rollout *rollout, const vks_rollout_call *call);

#endif

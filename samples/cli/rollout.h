// vkssm run --condition, --predict: files with time first, and models that go on by themselves.
#ifndef CLI_ROLLOUT_H
#define CLI_ROLLOUT_H

#include "common.h"

// Sequences [T, n, ...] of a file as the library wants them, [n, T, ...], and its outputs turned back.
typedef struct cli_rollout {
    uint32_t condition, predict;          // 0: all steps; none
    vkssm_named_tensor *inputs, *outputs; // whose data belong to this
    uint32_t n_input, n_output;
    vkssm_tensors *results;
} cli_rollout;

// Run `tensors` of the file `path`. CLI_OK and the outputs, or CLI_FAILED after saying why; call cli_rollout_close in
// either case.
int cli_rollout_run(cli_run *run, const vkssm_run_params *params, const char *path, const vkssm_named_tensor *tensors,
                    uint32_t n_tensor, cli_rollout *rollout);
void cli_rollout_close(cli_rollout *rollout);

#endif

// One token of each sequence through a Mamba-2 block in three dispatches, where the device's kernels allow it; in two, where
// there is one sequence.
#ifndef VKS_MAMBA2_STEP_H
#define VKS_MAMBA2_STEP_H

#include "mamba2_mixer.h"

// Whether vks_mamba2_record_step serves this device, for so many rows at most.
bool vks_mamba2_step_fits(const vks_mamba2_config *config, const vks_kernels *kernels, uint32_t most_rows);

// Ahead of the layers of a step, whose mixers are all of the first one's shape: what they need besides, in call->words and
// call->left.
vkssm_status vks_mamba2_begin_step(const vks_mamba2_config *config, const vks_mamba2_mixer *first, vks_plan *plan,
                                   uint32_t n_layer, vks_mamba2_call *call);

// residual += mixer(rms_norm(residual)), as vks_mamba2_record after a norm. call->x is not used: the norm of the
// residual stream by `norm` [D] and `norm_eps` is part of it. `layer`: of those that vks_mamba2_begin_step was told of.
vkssm_status vks_mamba2_record_step(const vks_mamba2_config *config, const vks_mamba2_mixer *mixer, vks_plan *plan,
                                    const vks_mamba2_call *call, uint32_t layer, vks_tensor norm, float norm_eps);

#endif

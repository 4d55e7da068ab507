// One token of each sequence through a Mamba-2 block in three dispatches, where the device's kernels allow it.
#ifndef VKS_MAMBA2_STEP_H
#define VKS_MAMBA2_STEP_H

#include "mamba2_mixer.h"

// Whether vks_mamba2_record_step serves this device, for so many rows at most.
bool vks_mamba2_step_fits(const vks_mamba2_config *config, const vks_kernels *kernels, uint32_t most_rows);

// residual += mixer(rms_norm(residual)), as vks_mamba2_record after a norm. call->x is not used: the norm of the
// residual stream by `norm` [D] and `norm_eps` is part of it.
vkssm_status vks_mamba2_record_step(const vks_mamba2_config *config, const vks_mamba2_mixer *mixer, vks_plan *plan,
                                    const vks_mamba2_call *call, vks_tensor norm, float norm_eps);

#endif

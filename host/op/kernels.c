// Compiled kernels by (shader, specialization constants), made on first use.
#include "kernel.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <vkssm/device.h>

#include "host/base/mutex.h"
#include "shaders/params/types.h"

_Static_assert(VKS_TYPE_F32 == (int)VKSSM_DTYPE_F32 && VKS_TYPE_F16 == (int)VKSSM_DTYPE_F16 &&
                   VKS_TYPE_BF16 == (int)VKSSM_DTYPE_BF16 && VKS_TYPE_I32 == (int)VKSSM_DTYPE_I32 &&
                   VKS_TYPE_Q8_0 == (int)VKSSM_DTYPE_Q8_0 && VKS_TYPE_Q4_0 == (int)VKSSM_DTYPE_Q4_0 &&
                   VKS_TYPE_Q4_K == (int)VKSSM_DTYPE_Q4_K && VKS_TYPE_Q6_K == (int)VKSSM_DTYPE_Q6_K,
               "shaders know storage types by these numbers");

#define MAX_CONSTANT 20
#define VENDOR_INTEL 0x8086 // of PCI

typedef struct entry {
    uint32_t shader, n_constant;
    uint32_t constants[MAX_CONSTANT];
    vks_pipeline *pipeline;
} entry;

struct vks_kernels {
    vks_device *device;
    vks_mutex mutex; // guards the entries
    entry *entries;
    size_t n_entry, capacity;
    const char *forced;
    const vks_kernel_trace *trace;
    vks_kernel_traits traits;
    const char *avoided[VKS_SHADER_COUNT]; // why a variant is not chosen, or NULL
};

vkssm_status vks_kernels_create(vks_device *device, vks_kernels **out) {
    vks_kernels *kernels = vks_alloc_zero(1, sizeof *kernels);
    *out = kernels;
    if (!kernels) return vks_fail(vks_device_log(device), VKSSM_ERR_OOM_HOST, "kernels: out of memory");
    const vks_caps *caps = vks_device_caps(device);
    kernels->device = device;
    kernels->traits = (vks_kernel_traits){
        .cpu = caps->type == VKS_DEVICE_CPU,
        .fixed_subgroup = caps->exact_subgroups,
        .subgroup_size = caps->subgroup_size,
        .max_workgroup_invocations = caps->max_workgroup_invocations,
        .max_shared_size = caps->max_shared_size,
        .few_registers = caps->vendor_id == VENDOR_INTEL,
        .int8_matrix_depth = caps->int8_matrix_depth,
    };
    for (uint32_t i = 0; i < VKS_SHADER_COUNT; i++)
        kernels->avoided[i] = vks_quirk_find(NULL, caps, vks_shaders[i].name);
    vks_mutex_init(&kernels->mutex);
    return VKSSM_OK;
}

void vks_kernels_destroy(vks_kernels **kernels) {
    if (!*kernels) return;
    for (size_t i = 0; i < (*kernels)->n_entry; i++)
        vks_pipeline_destroy((*kernels)->device, &(*kernels)->entries[i].pipeline);
    vks_free((*kernels)->entries);
    vks_mutex_finish(&(*kernels)->mutex);
    vks_free(*kernels);
    *kernels = NULL;
}

vks_device *vks_kernels_device(const vks_kernels *kernels) {
    return kernels->device;
}

const vkssm_log *vks_kernels_log(const vks_kernels *kernels) {
    return vks_device_log(kernels->device);
}

void vks_kernels_force(vks_kernels *kernels, const char *variant) {
    kernels->forced = variant;
}

vkssm_status vks_kernels_avoid(vks_kernels *kernels, const char *variants) {
    bool avoided[VKS_SHADER_COUNT] = {0}; // nothing is, unless all names are known
    for (const char *at = variants;; at++) {
        size_t size = strcspn(at, ",");
        bool found = false;
        for (uint32_t i = 0; i < VKS_SHADER_COUNT; i++)
            if (size && vks_variant_matches(at, size, vks_shaders[i].name)) avoided[i] = found = true;
        if (!found)
            return vks_fail(vks_kernels_log(kernels), VKSSM_ERR_ARG,
                            "device: names of kernel variants to avoid expected, \"%.*s\" found",
                            (int)(size < 100 ? size : 100), at);
        at += size;
        if (!*at) break;
    }
    for (uint32_t i = 0; i < VKS_SHADER_COUNT; i++)
        if (avoided[i]) kernels->avoided[i] = "avoided, as asked for";
    return VKSSM_OK;
}

void vks_kernels_trace(vks_kernels *kernels, const vks_kernel_trace *trace) {
    kernels->trace = trace;
}

bool vks_kernels_compiled(vks_kernels *kernels, uint32_t index, const char **name, const vks_pipeline **pipeline) {
    vks_mutex_lock(&kernels->mutex);
    bool found = index < kernels->n_entry;
    if (found) {
        *name = vks_shaders[kernels->entries[index].shader].name;
        *pipeline = kernels->entries[index].pipeline;
    }
    vks_mutex_unlock(&kernels->mutex);
    return found;
}

vks_kernel_traits vks_kernel_traits_of(const vks_kernels *kernels) {
    return kernels->traits;
}

// Why the device cannot run the shader, or NULL.
static const char *missing(const vks_kernels *kernels, uint32_t shader) {
    if (!vks_shaders[shader].code) return vks_shaders[shader].missing;
    uint32_t lacking = vks_shaders[shader].features & ~vks_device_caps(kernels->device)->features;
    if (!lacking) return NULL;
    return vkssm_feature_name((vkssm_feature)(lacking & (~lacking + 1))); // the lowest bit
}

// Why it is not chosen.
static const char *against(const vks_kernels *kernels, uint32_t shader) {
    const char *reason = missing(kernels, shader);
    return reason ? reason : kernels->avoided[shader];
}

bool vks_kernels_variant(const vks_kernels *kernels, uint32_t index, const char **name, bool *available,
                         const char **reason) {
    if (index >= VKS_SHADER_COUNT) return false;
    *name = vks_shaders[index].name;
    *reason = against(kernels, index);
    *available = !*reason;
    return true;
}

uint32_t vks_kernel_choose(const vks_kernels *kernels, const uint32_t *candidates, uint32_t n_candidate) {
    if (kernels->forced)
        for (uint32_t i = 0; i < n_candidate; i++)
            if (strcmp(vks_shaders[candidates[i]].name, kernels->forced) == 0 && !missing(kernels, candidates[i]))
                return candidates[i];
    for (uint32_t i = 0; i < n_candidate; i++)
        if (!against(kernels, candidates[i])) return candidates[i];
    // All are avoided: the plainest one. Those that only a test gets to stand behind it, and need something.
    for (uint32_t i = n_candidate; i-- > 0;)
        if (!missing(kernels, candidates[i]) && !vks_shaders[candidates[i]].features) return candidates[i];
    for (uint32_t i = n_candidate; i-- > 0;)
        if (!missing(kernels, candidates[i])) return candidates[i];
    return candidates[n_candidate - 1];
}

bool vks_kernel_is_forced(const vks_kernels *kernels, uint32_t shader) {
    return kernels->forced && strcmp(vks_shaders[shader].name, kernels->forced) == 0;
}

static vks_pipeline *find(const vks_kernels *kernels, const vks_kernel_call *call) {
    for (size_t i = 0; i < kernels->n_entry; i++) {
        const entry *e = &kernels->entries[i];
        if (e->shader == call->shader && e->n_constant == call->n_constant &&
            memcmp(e->constants, call->constants, call->n_constant * sizeof *e->constants) == 0)
            return e->pipeline;
    }
    return NULL;
}

static vkssm_status compile(vks_kernels *kernels, const vks_kernel_call *call, vks_pipeline **out) {
    const vks_shader *shader = &vks_shaders[call->shader];
    size_t n = kernels->n_entry;
    if (!vks_grow((void **)&kernels->entries, &kernels->capacity, n + 1, sizeof *kernels->entries))
        return vks_fail(vks_kernels_log(kernels), VKSSM_ERR_OOM_HOST, "kernel %s: out of memory", shader->name);
    vks_pipeline_params params = {
        .name = shader->name,
        .code = shader->code,
        .code_size = shader->code_size,
        .constants = call->constants,
        .n_constant = call->n_constant,
        .push_size = call->push_size,
        .full_subgroups = call->full_subgroups,
    };
    entry *e = &kernels->entries[n];
    memset(e, 0, sizeof *e);
    e->shader = call->shader;
    e->n_constant = call->n_constant;
    memcpy(e->constants, call->constants, call->n_constant * sizeof *e->constants);
    VKS_TRY(vks_pipeline_create(kernels->device, &params, &e->pipeline));
    kernels->n_entry++;
    *out = e->pipeline;
    return VKSSM_OK;
}

vkssm_status vks_kernel_dispatch(const vks_op_target *target, const vks_kernel_call *call) {
    vks_kernels *kernels = target->kernels;
    if (call->n_constant > MAX_CONSTANT)
        return vks_op_fail(target, VKSSM_ERR_INTERNAL, "kernel %s: %u constants, at most %u",
                           vks_shaders[call->shader].name, call->n_constant, MAX_CONSTANT);
    vks_mutex_lock(&kernels->mutex);
    vks_pipeline *pipeline = find(kernels, call);
    vkssm_status status = pipeline ? VKSSM_OK : compile(kernels, call, &pipeline);
    vks_mutex_unlock(&kernels->mutex);
    if (status != VKSSM_OK || !target->recorder) return status;
    if (kernels->trace) kernels->trace->on_dispatch(kernels->trace->user, vks_shaders[call->shader].name);
    vks_record_dispatch(target->recorder, &(vks_dispatch){
                                              .pipeline = pipeline,
                                              .push = call->push,
                                              .n_group = {call->n_group[0], call->n_group[1], call->n_group[2]},
                                              .accesses = call->accesses,
                                              .n_access = call->n_access,
                                          });
    return VKSSM_OK;
}

void vks_op_begin(const vks_op_target *target, const char *name) {
    if (target->recorder && !target->kernels->trace) vks_record_scope_begin(target->recorder, name);
}

void vks_op_end(const vks_op_target *target) {
    if (target->recorder && !target->kernels->trace) vks_record_scope_end(target->recorder);
}

// Scans with an operator of the user's: creation, and the scan of host arrays.
#include "core_scan_custom.h"

#include <string.h>

#include "host/base/alloc.h"
#include "shaders/params/scan_custom.h"

enum { STEPS = 4, MAX_SEGMENT = 64, MAX_GROUP = 65535 }; // STEPS as in shaders/include/scan_custom.glsl
// Mesa's CPU driver leaves all loops of an invocation after 65,535 rounds in all: 12 to 20 of them are a tile.
enum { CPU_MAX_TILE = 1024 };

void vkssm_scan_custom_destroy(vkssm_scan_custom **pointer) {
    if (!pointer || !*pointer) return;
    vkssm_scan_custom *scan = *pointer;
    *pointer = NULL;
    for (size_t i = 0; i < scan->n_pipeline; i++)
        vks_pipeline_destroy(scan->device->vk, &scan->pipelines[i].pipeline);
    vks_free(scan->pipelines);
    vks_free(scan->code);
    vks_free(scan->name);
    atomic_fetch_sub(&scan->device->n_model, 1);
    vks_free(scan);
}

static vkssm_status create(vkssm_scan_custom *scan, const vkssm_scan_custom_params *params) {
    const vkssm_log *log = vks_device_log(scan->device->vk);
    scan->name = vks_strdup(params->name ? params->name : "scan operator");
    if (!scan->name) return vks_fail(log, VKSSM_ERR_OOM_HOST, "scan operator: out of memory");
    VKS_TRY(vks_scan_custom_compile(scan, params->source));
    VKS_TRY(vks_scan_custom_reflect(scan));
    if (scan->element.size != params->element_size)
        return vks_fail(log, VKSSM_ERR_ARG, "%s: a struct element of %zu bytes expected, %u found in std430 layout",
                        scan->name, params->element_size, scan->element.size);
    return params->check ? vks_scan_custom_check(scan, params) : VKSSM_OK;
}

vkssm_status vkssm_scan_create_custom(vkssm_device *device, const vkssm_scan_custom_params *params,
                                      vkssm_scan_custom **out) {
    if (out) *out = NULL;
    if (!device || !params || !params->source || !out)
        return vks_fail(device ? vks_device_log(device->vk) : NULL, VKSSM_ERR_ARG,
                        "scan operator: a device, GLSL source and a place for the handle expected, NULL found");
    if (params->element_size == 0 || params->element_size > VKSSM_SCAN_MAX_ELEMENT_SIZE || params->element_size % 4)
        return vks_fail(vks_device_log(device->vk), VKSSM_ERR_ARG,
                        "scan operator: an element of 4 to %d bytes in 32-bit words expected, %zu bytes found",
                        VKSSM_SCAN_MAX_ELEMENT_SIZE, params->element_size);
    vkssm_scan_custom *scan = vks_alloc_zero(1, sizeof *scan);
    if (!scan) return vks_fail(vks_device_log(device->vk), VKSSM_ERR_OOM_HOST, "scan operator: out of memory");
    scan->device = device;
    atomic_fetch_add(&device->n_model, 1);
    vkssm_status status = create(scan, params);
    if (status == VKSSM_OK)
        *out = scan;
    else
        vkssm_scan_custom_destroy(&scan);
    return status;
}

vkssm_status vks_scan_custom_pipeline(vkssm_scan_custom *scan, uint32_t wg_size, uint32_t side, uint32_t flags,
                                      const vks_pipeline **out) {
    const uint32_t constants[3] = {wg_size, side, flags};
    for (size_t i = 0; i < scan->n_pipeline; i++)
        if (memcmp(scan->pipelines[i].constants, constants, sizeof constants) == 0) {
            *out = scan->pipelines[i].pipeline;
            return VKSSM_OK;
        }
    if (!vks_grow((void **)&scan->pipelines, &scan->capacity, scan->n_pipeline + 1, sizeof *scan->pipelines))
        return vks_fail(vks_device_log(scan->device->vk), VKSSM_ERR_OOM_HOST, "%s: out of memory", scan->name);
    vks_scan_pipeline *new_one = &scan->pipelines[scan->n_pipeline];
    memcpy(new_one->constants, constants, sizeof constants);
    vks_pipeline_params params = {
        .name = scan->name,
        .code = scan->code,
        .code_size = scan->code_size,
        .constants = constants,
        .n_constant = 3,
        .push_size = sizeof(struct vks_scan_custom_params),
    };
    VKS_TRY(vks_pipeline_create(scan->device->vk, &params, &new_one->pipeline));
    scan->n_pipeline++;
    *out = new_one->pipeline;
    return VKSSM_OK;
}

// ---- a run ---------------------------------------------------------------------------------------------------------

typedef struct run {
    vkssm_scan_custom *scan;
    const vkssm_scan_custom_run_params *params;
    uint32_t n_batch, n_lane, n_side, n_segment, segment_size, flags;
    vks_scan_array steps, initial, last, totals;
} run;

static uint32_t power_of_two_from(uint32_t n, uint32_t most) {
    uint32_t power = 1;
    while (power < n && power < most)
        power *= 2;
    return power;
}

// On a CPU one lane a channel. Else 64 lanes, those of a channel following each other in time, and time split into
// segments where that leaves few workgroups.
static void plan(run *r) {
    const vkssm_scan_custom_run_params *p = r->params;
    bool cpu = vks_device_caps(r->scan->device->vk)->type == VKS_DEVICE_CPU;
    r->n_side = p->time_contiguous ? 1 : power_of_two_from(p->n_channel, 16);
    r->n_lane = 64 / r->n_side;
    if (p->n_time <= STEPS) r->n_lane = 1;
    if (cpu && p->n_channel * (uint64_t)r->n_batch >= 8) r->n_lane = 1;
    if (r->n_lane == 1) r->n_side = 16;
    uint32_t tile = r->n_lane * STEPS, n_tile = vks_div_up(p->n_time, tile);
    uint64_t n_group = (uint64_t)vks_div_up(p->n_channel, r->n_side) * r->n_batch;
    r->n_segment = 1;
    r->segment_size = n_tile * tile;
    bool few = r->n_lane > 1 && n_group < 512 && n_tile >= 16, endless = cpu && n_tile > CPU_MAX_TILE;
    if (!few && !endless) return;
    uint32_t per_segment = vks_div_up(n_tile, MAX_SEGMENT);
    if (per_segment < 4) per_segment = 4;
    if (cpu && per_segment > CPU_MAX_TILE) per_segment = CPU_MAX_TILE;
    r->segment_size = per_segment * tile;
    r->n_segment = vks_div_up(n_tile, per_segment);
}

static vkssm_status dispatch(run *r, vks_recorder *recorder, bool reduce) {
    const vkssm_scan_custom_run_params *p = r->params;
    uint32_t flags = r->flags | (reduce ? VKS_SCAN_CUSTOM_REDUCE : r->n_segment > 1 ? VKS_SCAN_CUSTOM_SEGMENTS : 0);
    const vks_pipeline *pipeline;
    VKS_TRY(vks_scan_custom_pipeline(r->scan, r->n_lane * r->n_side, r->n_side, flags, &pipeline));
    uint64_t n_group = (uint64_t)vks_div_up(p->n_channel, r->n_side) * (r->n_segment - reduce) * r->n_batch;
    if (n_group > (uint64_t)MAX_GROUP * MAX_GROUP)
        return vks_fail(vks_device_log(r->scan->device->vk), VKSSM_ERR_UNSUPPORTED,
                        "%s: at most %llu workgroups expected, %llu needed", r->scan->name,
                        (unsigned long long)MAX_GROUP * MAX_GROUP, (unsigned long long)n_group);
    uint32_t n_row = vks_div_up((uint32_t)n_group, MAX_GROUP);
    struct vks_scan_custom_params push = {
        .x = r->steps.address,
        .y = r->steps.address,
        .initial = p->initial ? r->initial.address : 0,
        .last = p->last ? r->last.address : 0,
        .totals = r->totals.address,
        .n_batch = r->n_batch,
        .n_time = p->n_time,
        .n_channel = p->n_channel,
        .n_segment = r->n_segment,
        .segment_size = r->segment_size,
        .n_group = (uint32_t)n_group,
    };
    vks_access accesses[] = {{push.x, r->steps.n_row * r->steps.row_size, !reduce},
                             {push.totals, push.totals ? r->totals.row_size : 0, reduce},
                             {push.initial, push.initial ? r->initial.row_size : 0, false},
                             {push.last, push.last ? r->last.row_size : 0, true}};
    vks_record_dispatch(recorder, &(vks_dispatch){.pipeline = pipeline,
                                                  .push = &push,
                                                  .n_group = {vks_div_up((uint32_t)n_group, n_row), n_row, 1},
                                                  .accesses = accesses,
                                                  .n_access = VKS_COUNT(accesses)});
    return VKSSM_OK;
}

static vkssm_status record(void *user, vks_recorder *recorder) {
    run *r = user;
    if (r->n_segment > 1) VKS_TRY(dispatch(r, recorder, true));
    return dispatch(r, recorder, false);
}

static vkssm_status check(const run *r, uint64_t *size) {
    const vkssm_scan_custom_run_params *p = r->params;
    const vkssm_log *log = vks_device_log(r->scan->device->vk);
    const char *name = r->scan->name;
    if (p->n_time == 0 || p->n_channel == 0)
        return vks_fail(log, VKSSM_ERR_ARG, "%s: at least one step and one channel expected, %u and %u found", name,
                        p->n_time, p->n_channel);
    if (!p->x || !p->y) return vks_fail(log, VKSSM_ERR_ARG, "%s: arrays x and y expected, NULL found", name);
    uint64_t n;
    bool fits = vks_mul_u64(p->n_time, p->n_channel, &n) && vks_mul_u64(n, r->n_batch, &n);
    // Indices have 32 bits, with a sign.
    if (!fits || n > INT32_MAX || n * r->scan->element.size > INT64_MAX)
        return vks_fail(log, VKSSM_ERR_ARG, "%s: at most %d elements expected, %u x %u x %u found", name, INT32_MAX,
                        r->n_batch, p->n_time, p->n_channel);
    *size = n * r->scan->element.size;
    if (p->x_size != *size || p->y_size != *size)
        return vks_fail(log, VKSSM_ERR_ARG, "%s: %s: a size of %llu expected, %llu found", name,
                        p->x_size != *size ? "x" : "y", (unsigned long long)*size,
                        (unsigned long long)(p->x_size != *size ? p->x_size : p->y_size));
    return VKSSM_OK;
}

vkssm_status vkssm_scan_custom_run(vkssm_scan_custom *scan, const vkssm_scan_custom_run_params *params) {
    if (!scan || !params)
        return vks_fail(NULL, VKSSM_ERR_ARG, "scan operator: an operator and parameters expected, NULL found");
    run r = {.scan = scan, .params = params, .n_batch = params->n_batch ? params->n_batch : 1};
    uint64_t size = 0;
    VKS_TRY(check(&r, &size));
    plan(&r);
    r.flags = (params->reverse ? VKS_SCAN_CUSTOM_REVERSE : 0) |
              (params->time_contiguous ? VKS_SCAN_CUSTOM_TIME_CONTIGUOUS : 0);
    uint64_t row = (uint64_t)r.n_batch * params->n_channel * scan->element.size;
    r.steps = (vks_scan_array){"x and y", params->x, params->y, 1, size, size, 0, false};
    r.initial = (vks_scan_array){"initial", params->initial, NULL, 1, row, row, 0, false};
    r.last = (vks_scan_array){"last", NULL, params->last, 1, row, row, 0, false};
    bool segments = r.n_segment > 1;
    r.totals = (vks_scan_array){"totals", NULL,    NULL, 1, segments * r.n_segment * row, segments * r.n_segment * row,
                                0,        segments};
    vks_scan_array *arrays[] = {&r.steps, &r.initial, &r.last, &r.totals};
    return vks_scan_job_run(scan->device->vk, arrays, VKS_COUNT(arrays), record, &r);
}

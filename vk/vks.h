// The one header of vk/ for other folders: device, memory, pipelines, recording, submission, timing.
// vk/ knows buffers and dispatches; it knows no tensor and no model.
//
// Threads: a vks_device may be shared (creation of arenas, pipelines and recorders, submission and waiting are locked
// inside); an arena or a recorder belongs to one thread at a time.
#ifndef VKS_H
#define VKS_H

#include "host/base/status.h"

// ---- device --------------------------------------------------------------------------------------------------------

typedef struct vks_device vks_device;

// Optional capabilities; bit positions are those of vkssm_feature (host/core asserts it).
enum {
    VKS_FEATURE_SUBGROUP_ARITHMETIC = 1 << 0,
    VKS_FEATURE_SUBGROUP_SHUFFLE = 1 << 1,
    VKS_FEATURE_SHADER_F16 = 1 << 2,
    VKS_FEATURE_STORAGE_16 = 1 << 3,
    VKS_FEATURE_SHADER_INT8 = 1 << 4,
    VKS_FEATURE_STORAGE_8 = 1 << 5,
    VKS_FEATURE_SHADER_INT64 = 1 << 6,
    VKS_FEATURE_INTEGER_DOT = 1 << 7,
    VKS_FEATURE_BFLOAT16 = 1 << 8,
    VKS_FEATURE_COOPERATIVE_MATRIX = 1 << 9,
    VKS_FEATURE_COOPERATIVE_MATRIX_2 = 1 << 10,
    VKS_FEATURE_PIPELINE_STATISTICS = 1 << 11,
    VKS_FEATURE_MEMORY_BUDGET = 1 << 12,
    VKS_FEATURE_TIMESTAMPS = 1 << 13,
    VKS_FEATURE_BFLOAT16_MATRIX = 1 << 14,
    VKS_FEATURE_INT8_MATRIX = 1 << 15,
};

typedef enum vks_device_type {
    VKS_DEVICE_OTHER,
    VKS_DEVICE_INTEGRATED,
    VKS_DEVICE_DISCRETE,
    VKS_DEVICE_VIRTUAL,
    VKS_DEVICE_CPU,
} vks_device_type;

// A device of the host application (see vkssm_host in vkssm/vulkan.h); handles as void *.
typedef struct vks_adopt {
    void *instance, *physical_device, *device, *queue;
    uint32_t queue_family;
    uint32_t api_version;         // of the instance
    const void *enabled_features; // VkPhysicalDeviceFeatures2 with its chain; read at creation
    const char *const *extensions;
    uint32_t n_extension;
    const void *allocator; // VkAllocationCallbacks, copied; or NULL
    void (*lock_queue)(void *user);
    void (*unlock_queue)(void *user);
    void *lock_user;
} vks_adopt;

typedef struct vks_device_params {
    vkssm_log log;                // copied
    const char *select;           // NULL, an index, or a part of the name in any case
    uint32_t mask_features;       // VKS_FEATURE bits to treat as absent
    uint32_t subgroup_size;       // 0 or the size to require where the device can (else ERR_UNSUPPORTED)
    bool validation;              // core and synchronization validation; ERR_UNSUPPORTED if the layer is missing
    const char *cache_path;       // pipeline cache file, or NULL
    void *get_instance_proc_addr; // or NULL: the system's loader; required with `adopt`
    const vks_adopt *adopt;       // or NULL
} vks_device_params;

typedef struct vks_caps {
    char name[256];
    char driver[512];
    vks_device_type type;
    uint32_t vendor_id, device_id, api_version;
    uint32_t features;        // after masking
    uint32_t features_masked; // had by the device, masked by the caller
    uint32_t subgroup_size, subgroup_size_min, subgroup_size_max;
    uint32_t int8_matrix_depth; // k of int8 products of cooperative matrices: 32 or 16; 0 without INT8_MATRIX
    bool exact_subgroups; // subgroups of a pipeline with full_subgroups have subgroup_size invocations, no other number
    uint32_t max_workgroup_invocations, max_workgroup_size[3], max_workgroup_count[3];
    uint32_t max_shared_size, max_push_size;
    uint64_t memory_size; // largest device-local heap
    uint64_t max_allocation_size;
    float timestamp_period; // ns per tick; 0 without timestamps
    bool usable;
    char unusable_reason[128];
} vks_caps;

vkssm_status vks_device_create(const vks_device_params *params, vks_device **out);
void vks_device_destroy(vks_device **device);
const vks_caps *vks_device_caps(const vks_device *device);
const vkssm_log *vks_device_log(const vks_device *device);
uint64_t
vks_device_memory_budget(const vks_device *device); // bytes of the device-local heap still free to this process
uint32_t vks_device_n_validation_message(const vks_device *device);
bool vks_device_is_lost(const vks_device *device); // latched: every later call that needs the GPU fails at once
// All physical devices in loader order; *caps allocated (vks_free).
vkssm_status vks_device_list(const vks_device_params *params, vks_caps **caps, uint32_t *n_caps);

// For tests: let the n-th allocation of device memory from now, and all later ones, fail (UINT64_MAX: none); lose the
// device.
void vks_device_fail_memory_after(vks_device *device, uint64_t n);
void vks_device_lose(vks_device *device);
// For tests: the largest allocation from now on.
void vks_device_limit_allocation(vks_device *device, uint64_t size);
// The host application found the device lost.
void vks_device_report_lost(vks_device *device);

// What a host application is to enable on a physical device, for everything that the library can use there.
typedef struct vks_wanted {
    void *features; // VkPhysicalDeviceFeatures2 with its chain
    const char *const *extensions;
    uint32_t n_extension, queue_family;
} vks_wanted;
// params: log, mask_features, get_instance_proc_addr (required). ERR_UNSUPPORTED for a device below the floor: what it
// lacks. *out lives in one block (vks_free).
vkssm_status vks_wanted_create(const vks_device_params *params, void *instance, void *physical_device,
                               vks_wanted **out);

// ---- memory --------------------------------------------------------------------------------------------------------

// Roles choose the memory type. Every buffer can be stored to and loaded from by shaders (by address) and copied.
typedef enum vks_role {
    VKS_ROLE_WEIGHTS,  // device-local
    VKS_ROLE_STATE,    // device-local
    VKS_ROLE_SCRATCH,  // device-local
    VKS_ROLE_UPLOAD,   // host-visible, coherent, mapped
    VKS_ROLE_READBACK, // host-visible, coherent, cached if possible, mapped
} vks_role;

typedef struct vks_arena vks_arena;

// A range of device memory, sub-allocated from an arena and living as long as it.
typedef struct vks_buffer {
    uint64_t address; // device address, unique among live buffers; aligned to 256
    uint64_t size;    // bytes
    void *mapped;     // host address for the host-visible roles, else NULL
    void *handle;     // VkBuffer, and
    uint64_t offset;  // its byte where this range starts (for copies)
} vks_buffer;

// An arena takes memory from the device in blocks of at least `block_size` bytes (0: 64 MiB), each at most the device's
// largest allocation; a larger request than that fails. Nothing is taken before the first vks_arena_alloc.
vkssm_status vks_arena_create(vks_device *device, vks_role role, uint64_t block_size, const char *name,
                              vks_arena **out);
void vks_arena_destroy(vks_arena **arena); // the GPU must have finished with its buffers
// Errors: ERR_OOM_DEVICE (amount needed and found), ERR_DEVICE_LOST.
vkssm_status vks_arena_alloc(vks_arena *arena, uint64_t size, const char *name, vks_buffer *out);
uint64_t vks_arena_size(const vks_arena *arena);        // bytes taken from the device
void vks_arena_fill_host(vks_buffer *buffer, int byte); // memset of a mapped buffer

// Copy host data to device-local buffers through a ring of staging memory.
typedef struct vks_upload vks_upload;
vkssm_status vks_upload_begin(vks_device *device, uint64_t total_size, const vkssm_progress *progress,
                              vks_upload **out);
// Next: a pointer to `size` bytes (size at most vks_upload_max_size) of staging memory to fill for dst[dst_offset...].
vkssm_status vks_upload_map(vks_upload *upload, const vks_buffer *dst, uint64_t dst_offset, uint64_t size, void **out);
uint64_t vks_upload_max_size(const vks_upload *upload);
vkssm_status vks_upload_bytes(vks_upload *upload, const vks_buffer *dst, uint64_t dst_offset, const void *data,
                              uint64_t size);     // any size
vkssm_status vks_upload_end(vks_upload **upload); // waits until everything has arrived; frees in any case
void vks_upload_abort(vks_upload **upload);       // waits, frees; NULL fine

// ---- pipelines -----------------------------------------------------------------------------------------------------

typedef struct vks_pipeline vks_pipeline;

typedef struct vks_pipeline_params {
    const char *name; // debug name; copied
    const uint32_t *code;
    size_t code_size;          // bytes
    const uint32_t *constants; // values of specialization constants 0 ... n_constant-1 (floats by their bits)
    uint32_t n_constant;
    uint32_t push_size;  // bytes of push constants
    bool full_subgroups; // local_size_x is a multiple of the subgroup size and every subgroup must be full
} vks_pipeline_params;

vkssm_status vks_pipeline_create(vks_device *device, const vks_pipeline_params *params, vks_pipeline **out);
void vks_pipeline_destroy(vks_device *device, vks_pipeline **pipeline);

// Statistics that the driver tells of a compiled pipeline, as "name=value" pairs separated by spaces, e.g. for register
// budgets. ERR_UNSUPPORTED without PIPELINE_STATISTICS. The device keeps them only if created with statistics wanted:
// they are on whenever the feature is not masked.
vkssm_status vks_pipeline_statistics(vks_device *device, const vks_pipeline *pipeline, char *text, size_t text_size);

// ---- recording -----------------------------------------------------------------------------------------------------

typedef struct vks_recorder vks_recorder;

typedef struct vks_access {
    uint64_t address, size; // the bytes touched, as device addresses
    bool write;             // false: read only. Read-modify-write counts as write
} vks_access;

typedef struct vks_dispatch {
    const vks_pipeline *pipeline;
    const void *push; // push constants, the pipeline's push_size bytes
    uint32_t n_group[3];
    const vks_access *accesses; // everything that other dispatches of this recorder, or the host, may write or read too
    uint32_t n_access;
} vks_dispatch;

// A recorder owns a command pool and one command buffer that can be recorded again and submitted again.
vkssm_status vks_recorder_create(vks_device *device, const char *name, vks_recorder **out);
// A recorder for command buffers of the host application. vks_recorder_aim names the one (VkCommandBuffer as void *, in
// the recording state) that the next begin and end record into; they neither begin nor end it. Begin orders only after
// compute and transfer commands, end records no barrier: vks_external_sync says what the host has to order. It cannot be
// submitted by vks_submit. Nothing of the device is created by any of it.
vkssm_status vks_recorder_adopt(vks_device *device, vks_recorder **out);
vkssm_status vks_recorder_aim(vks_recorder *recorder, void *command_buffer);
// Stages and accesses of everything that may be recorded (VkPipelineStageFlags2, VkAccessFlags2).
void vks_external_sync(uint64_t *stages, uint64_t *reads, uint64_t *writes);
void vks_recorder_destroy(vks_recorder **recorder); // waits for its last submission

// Begin records a barrier that makes all earlier writes on the queue (compute, transfer, host) visible to compute and
// transfer; end makes all writes visible to the host (reads) and to what follows. `reusable`: may be submitted again
// while an earlier submission is still under way.
vkssm_status vks_recorder_begin(vks_recorder *recorder, bool reusable);
vkssm_status vks_recorder_end(vks_recorder *recorder);

// Record one dispatch, preceded by a barrier if one of its accesses conflicts with an access since the last barrier
// (read after write, write after write: memory barrier; write after read: execution barrier only), with the narrowest
// stages and access masks. Errors are latched: recording goes on without effect and vks_recorder_end returns the first
// one (also: workgroup counts above the device's limits, ERR_UNSUPPORTED).
void vks_record_dispatch(vks_recorder *recorder, const vks_dispatch *dispatch);
void vks_record_copy(vks_recorder *recorder, const vks_buffer *dst, uint64_t dst_offset, const vks_buffer *src,
                     uint64_t src_offset, uint64_t size);
void vks_record_fill(vks_recorder *recorder, const vks_buffer *dst, uint64_t dst_offset, uint64_t size, uint32_t word);
// A barrier that orders every command before it against every one behind it, whether or not their accesses conflict: for
// measurements, where runs that share no memory must not overlap.
void vks_record_barrier(vks_recorder *recorder);
// `size` bytes of host memory, a multiple of 4, become part of the commands and are written when they run.
void vks_record_update(vks_recorder *recorder, const vks_buffer *dst, uint64_t dst_offset, const void *data,
                       uint64_t size);
// Latch an error from outside (for operators whose parameters are wrong). OK is ignored; the first error stays.
void vks_record_fail(vks_recorder *recorder, vkssm_status status);

// What was recorded since begin, for tests and listings; without the barriers of begin and end. Fills count as copies.
typedef struct vks_record_stats {
    uint32_t n_dispatch, n_copy;
    uint32_t n_memory_barrier, n_execution_barrier;
} vks_record_stats;
vks_record_stats vks_recorder_stats(const vks_recorder *recorder);

// Named scopes: debug labels, and GPU time if `timestamps` was enabled on the recorder (before begin; ignored without
// the feature). Scopes may not nest. Names must outlive the recorder (string literals).
void vks_recorder_enable_timestamps(vks_recorder *recorder, uint32_t max_scope);
void vks_record_scope_begin(vks_recorder *recorder, const char *name);
void vks_record_scope_end(vks_recorder *recorder);
// After the last submission has finished: the i-th recorded scope, in order of recording; false past the last one.
bool vks_recorder_scope(vks_recorder *recorder, uint32_t index, const char **name, uint64_t *time_ns);

// A part of a recording. Operators (scopes) are counted from 0; positions 2 k + 1 are operator k, positions 2 k what is
// recorded before it and outside of operators. Set before begin: positions below `first` are left out; so is everything
// from the operator on whose cost would exceed `budget` (0: no limit), but at least one operator is recorded. The cost of
// operator k is scale cost_ns[k], 0 beyond n_cost.
typedef struct vks_window {
    uint32_t first;
    const uint64_t *cost_ns;
    uint32_t n_cost;
    double scale;
    uint64_t budget_ns;
} vks_window;
void vks_recorder_window(vks_recorder *recorder, const vks_window *window); // NULL: everything
// After end: the position to go on from, or UINT32_MAX if nothing was left out; and the cost of what was recorded.
uint32_t vks_recorder_next(const vks_recorder *recorder, uint64_t *spent_ns);
uint32_t vks_recorder_n_scope(const vks_recorder *recorder); // operators seen since begin, recorded or left out

// ---- buffers and images of the host application ----------------------------------------------------------------------

// A range of a VkBuffer that was created with SHADER_DEVICE_ADDRESS.
vks_buffer vks_external_buffer(vks_device *device, void *handle, uint64_t offset, uint64_t size);

// A region of a VkImage; `region` is a VkBufferImageCopy without its buffer offset.
typedef struct vks_external_image {
    void *handle;
    uint32_t layout; // VkImageLayout
    const void *region;
    bool write; // buffer to image; else image to buffer
} vks_external_image;
// Copy between a buffer from `offset` on and an image. The host orders accesses to the image.
void vks_record_image_copy(vks_recorder *recorder, const vks_buffer *buffer, uint64_t offset, uint64_t size,
                           const vks_external_image *image);

// ---- submission ----------------------------------------------------------------------------------------------------

// Submit the command buffers of `recorders` in order, in one submission. The device counts submissions on one timeline
// semaphore; *value is the count that tells that this one has finished. Locks the queue.
vkssm_status vks_submit(vks_device *device, vks_recorder *const *recorders, uint32_t n_recorder, uint64_t *value);
// Wait until submission `value` has finished. Errors: ERR_DEVICE_LOST (also after a minute without progress, half
// an hour on a CPU).
vkssm_status vks_wait(vks_device *device, uint64_t value);
bool vks_is_done(vks_device *device, uint64_t value); // true of a lost device, so that nobody polls for ever

#endif

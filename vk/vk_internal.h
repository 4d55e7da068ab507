// Private to vk/: the objects behind vks.h and what its files share.
#ifndef VKS_VK_INTERNAL_H
#define VKS_VK_INTERNAL_H

#include <stdatomic.h>

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

#include "host/base/alloc.h"
#include "host/base/mutex.h"
#include "vk_functions.h"
#include "vks.h"

// vks_buffer and vks_adopt carry Vulkan handles as void *.
_Static_assert(sizeof(VkBuffer) == sizeof(void *), "a 64-bit target is needed");

enum { VKS_ALIGNMENT = 256, VKS_N_ROLE = VKS_ROLE_READBACK + 1, VKS_NO_MEMORY_TYPE = VK_MAX_MEMORY_TYPES };

// ---- entry points (vk_loader.c) ------------------------------------------------------------------------------------

#define VKS_FUNCTION_MEMBER(name) PFN_vk##name name;

typedef struct vks_loader {
    void *library; // NULL if the caller gave the entry point
    PFN_vkGetInstanceProcAddr get_instance_proc_addr;
    VKS_GLOBAL_FUNCTIONS(VKS_FUNCTION_MEMBER)
} vks_loader;

typedef struct vks_instance_functions {
    VKS_INSTANCE_FUNCTIONS(VKS_FUNCTION_MEMBER)
    VKS_DEBUG_FUNCTIONS(VKS_FUNCTION_MEMBER)
} vks_instance_functions;

typedef struct vks_device_functions {
    VKS_DEVICE_FUNCTIONS(VKS_FUNCTION_MEMBER)
    VKS_DEVICE_OPTIONAL_FUNCTIONS(VKS_FUNCTION_MEMBER)
} vks_device_functions;

#undef VKS_FUNCTION_MEMBER

// `get_instance_proc_addr`: the caller's, or NULL for the system's loader.
vkssm_status vks_loader_open(void *get_instance_proc_addr, const vkssm_log *log, vks_loader *out);
void vks_loader_close(vks_loader *loader);
vkssm_status vks_load_instance_functions(const vks_loader *loader, VkInstance instance, const vkssm_log *log,
                                         vks_instance_functions *out);
vkssm_status vks_load_device_functions(const vks_instance_functions *instance, VkDevice device, const vkssm_log *log,
                                       vks_device_functions *out);

// ---- instance (vk_instance.c) --------------------------------------------------------------------------------------

// Stays at one address from open to close: the messenger points to it.
typedef struct vks_instance {
    vks_loader loader;
    VkInstance handle; // VK_NULL_HANDLE after a successful open: the loader knows no driver
    bool adopted;
    vks_instance_functions fn;
    VkDebugUtilsMessengerEXT messenger;
    const vkssm_log *log;
    atomic_uint n_validation_message;
} vks_instance;

// `adopted`: the host's VkInstance to use, or NULL to create one. On failure nothing is left to close.
vkssm_status vks_instance_open(const vks_device_params *params, void *adopted, const vkssm_log *log, vks_instance *out);
void vks_instance_close(vks_instance *instance);
vkssm_status vks_instance_devices(const vks_instance *instance, VkPhysicalDevice **devices, uint32_t *n_device);

// ---- capabilities (vk_caps.c) --------------------------------------------------------------------------------------

// A physical device as found, nothing masked.
typedef struct vks_probe {
    vks_caps caps;
    uint32_t queue_family, timestamp_bits;
    uint32_t driver_version, max_workgroup_subgroups;
    uint8_t cache_uuid[VK_UUID_SIZE];
    bool can_require_subgroup_size; // of compute shaders
    bool has_compute_matrix;        // cooperative matrices in compute shaders
    bool has_portability_subset;    // must then be enabled
    uint32_t declined;              // bits not asked for, whose extension the device has
} vks_probe;

// `queue_family`: the one to use, or UINT32_MAX to choose. `declined`: VKS_FEATURE bits that nobody will use: what the
// device says of them is not asked for where it takes structs of an extension. A device below the floor is no failure:
// see caps.usable.
vkssm_status vks_probe_device(const vks_instance *instance, VkPhysicalDevice physical, uint32_t queue_family,
                              uint32_t declined, vks_probe *out);
// Leave in `caps` the features that are in `allowed`, and those of them that make sense without the others.
void vks_caps_restrict(vks_caps *caps, uint32_t allowed, uint32_t masked);

// Feature structs to query or to enable, linked to one chain.
typedef struct vks_feature_chain {
    VkPhysicalDeviceFeatures2 core; // the head
    VkPhysicalDeviceVulkan11Features v11;
    VkPhysicalDeviceVulkan12Features v12;
    VkPhysicalDeviceVulkan13Features v13;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR statistics;
#ifdef VK_KHR_shader_bfloat16
    VkPhysicalDeviceShaderBfloat16FeaturesKHR bfloat16;
#endif
#ifdef VK_KHR_cooperative_matrix
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix;
#endif
#ifdef VK_NV_cooperative_matrix2
    VkPhysicalDeviceCooperativeMatrix2FeaturesNV matrix_2;
#endif
} vks_feature_chain;

// VKS_FEATURE bits that the chain turns on, and what it lacks of the floor (NULL: nothing).
uint32_t vks_features_of_chain(const vks_feature_chain *chain);
const char *vks_floor_missing(const vks_feature_chain *chain);
// Bits that need no enabling: properties of the device and of the queue.
enum {
    VKS_FEATURES_OF_PROPERTIES = VKS_FEATURE_SUBGROUP_ARITHMETIC | VKS_FEATURE_SUBGROUP_SHUFFLE | VKS_FEATURE_TIMESTAMPS
};
// What the host application's chain of features turned on, whatever structs it is made of (vk_adopt.c).
void vks_collect_features(const void *enabled_features, vks_feature_chain *out);
// Fill the device from device->adopt (vk_adopt.c).
vkssm_status vks_adopt_check(const vks_device_params *params);
vkssm_status vks_adopt_host(vks_device *device, const vks_device_params *params);

// The chain and the extensions that turn on the floor and exactly probe->caps.features. Returns the number of names.
enum { VKS_MAX_EXTENSION = 8 };
uint32_t vks_features_to_enable(const vks_probe *probe, vks_feature_chain *chain, const char *names[VKS_MAX_EXTENSION]);

// ---- device (vk_device.c) ------------------------------------------------------------------------------------------

struct vks_device {
    vkssm_log log;
    vks_instance instance;
    VkPhysicalDevice physical;
    VkDevice handle;
    vks_device_functions fn;
    vks_probe probe; // with the features in use
    bool is_adopted;
    vks_adopt adopt;
    VkAllocationCallbacks allocator_copy;
    const VkAllocationCallbacks *allocator; // of every object made on the device: the host application's, or NULL
    uint32_t required_subgroup_size;        // of every pipeline; 0: none
    atomic_bool is_lost;
    atomic_bool is_hung; // lost, and not even settled: nothing is waited for any more

    VkPhysicalDeviceMemoryProperties memory;
    uint32_t memory_type[VKS_N_ROLE];
    uint32_t memory_slack; // bytes that aligning the first range of a block may take: 0 or VKS_ALIGNMENT
    atomic_uint_fast64_t memory_taken[VK_MAX_MEMORY_HEAPS]; // bytes allocated by this device
    atomic_uint_fast64_t n_memory_until_failure;

    vks_mutex pipeline_mutex;
    VkPipelineCache pipeline_cache;
    char *cache_path;
    uint64_t cache_size, cache_checksum; // of the payload that was loaded

    vks_mutex queue_mutex; // guards the queue and the two members below it
    VkQueue queue;
    VkCommandBufferSubmitInfo *submit_infos;
    size_t submit_capacity;
    VkSemaphore timeline; // VK_NULL_HANDLE: the device can compile only
    atomic_uint_fast64_t n_submitted;
};

// Turn a failed VkResult into a status and a message "what: VK_ERROR_...", latching a lost device.
vkssm_status vks_check(vks_device *device, VkResult result, const char *what);
const char *vks_result_name(VkResult result);
// ERR_DEVICE_LOST if the device is lost.
vkssm_status vks_check_not_lost(const vks_device *device);
// Latch the loss; the first time it is logged.
vkssm_status vks_latch_lost(vks_device *device, const char *what);
void vks_set_name(const vks_device *device, VkObjectType type, uint64_t handle, const char *name);
#define VKS_SET_NAME(device, type, handle, name)                                                                       \
    vks_set_name(device, VK_OBJECT_TYPE_##type, (uint64_t)(uintptr_t)(handle), name)

// ---- the rest ------------------------------------------------------------------------------------------------------

void vks_memory_start(vks_device *device); // choose the memory type of every role

void vks_cache_start(vks_device *device);  // no failure: at worst the pipelines are compiled again
void vks_cache_finish(vks_device *device); // write the file if something changed

struct vks_pipeline {
    VkPipeline handle;
    VkPipelineLayout layout;
    uint32_t push_size;
    char *name;
};

vkssm_status vks_submit_start(vks_device *device);
void vks_submit_finish(vks_device *device);
// Wait before destroying what submission `value` uses: bounded, and silent about a lost device.
void vks_drain(vks_device *device, uint64_t value);

// Timed scopes of a recorder (vk_profile.c).
typedef struct vks_profile {
    VkQueryPool pool;
    uint32_t max_scope, pool_scope; // wanted, and what `pool` holds
    const char **names;             // of the n_scope timed scopes
    uint32_t n_scope;
    bool is_open, is_timed, is_labelled; // a scope is open; it is timed; it is recorded
} vks_profile;

typedef enum vks_recorder_state {
    VKS_RECORDER_INITIAL,
    VKS_RECORDER_RECORDING,
    VKS_RECORDER_READY,
} vks_recorder_state;

// Which part of a recording is recorded (vk_external.c).
typedef struct vks_window_state {
    vks_window wanted;
    uint32_t position, next;
    uint64_t spent_ns;
    bool any, stopped, skipping;
} vks_window_state;
void vks_window_begin(vks_recorder *recorder);
void vks_window_enter(vks_recorder *recorder); // at the begin and at the end of a scope

// Bytes touched since begin by commands of one stage, and the stages for which a barrier already orders that.
typedef struct vks_pending {
    uint64_t begin, end;
    bool write;
    uint8_t stage, ordered; // stage bits of vk_recorder.c
} vks_pending;

struct vks_recorder {
    vks_device *device;
    VkCommandPool pool; // VK_NULL_HANDLE: adopted
    VkCommandBuffer commands;
    vks_recorder_state state;
    bool is_adopted, is_reusable;
    vkssm_status status; // first error since begin
    const vks_pipeline *bound;
    vks_pending *pending;
    size_t n_pending, pending_capacity;
    vks_record_stats stats;
    vks_profile profile;
    vks_window_state window;
    uint64_t last_value; // of its last submission since begin, or 0; written under the queue's mutex
};

// Copies and fills are one stage: no driver tells them apart, and older validation layers take a fill for a copy.
enum { VKS_STAGE_COMPUTE = 1, VKS_STAGE_TRANSFER = 2, VKS_STAGE_ALL = 3 };
// Whether commands are recorded now; without begin an error is latched.
bool vks_recorder_is_active(vks_recorder *recorder);
// Before a command of one stage: the barrier that its accesses need. False: an error is latched, record nothing.
bool vks_recorder_order(vks_recorder *recorder, uint8_t stage, const vks_access *accesses, uint32_t n_access);

vkssm_status vks_profile_begin(vks_recorder *recorder); // at recorder begin
void vks_profile_finish(vks_recorder *recorder);        // at recorder destruction

#endif

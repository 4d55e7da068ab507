// vkssm/device.h: a Vulkan device to compute on.
//
// An application that has a Vulkan device already lets vkssm use it by vkssm_device_adopt (vkssm/vulkan.h).
// Typical order: vkssm_device_create, then everything else, vkssm_device_destroy last.
#ifndef VKSSM_DEVICE_H
#define VKSSM_DEVICE_H

#include <vkssm/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vkssm_device vkssm_device;

// X(NAME, bit, name, what it is for). Optional capabilities: found on the device, minus those that the caller masked.
#define VKSSM_FEATURE_MAP(X)                                                                                                \
    X(SUBGROUP_ARITHMETIC, 0, "subgroup_arithmetic", "reductions within a subgroup")                                        \
    X(SUBGROUP_SHUFFLE, 1, "subgroup_shuffle", "exchange of values within a subgroup")                                      \
    X(SHADER_F16, 2, "shader_f16", "16-bit float arithmetic")                                                               \
    X(STORAGE_16, 3, "storage_16", "16-bit loads and stores")                                                               \
    X(SHADER_INT8, 4, "shader_int8", "8-bit integer arithmetic")                                                            \
    X(STORAGE_8, 5, "storage_8", "8-bit loads and stores")                                                                  \
    X(SHADER_INT64, 6, "shader_int64", "64-bit integer arithmetic")                                                         \
    X(INTEGER_DOT, 7, "integer_dot", "packed 8-bit integer dot products")                                                   \
    X(BFLOAT16, 8, "bfloat16", "VK_KHR_shader_bfloat16")                                                                    \
    X(COOPERATIVE_MATRIX, 9, "cooperative_matrix", "VK_KHR_cooperative_matrix, 16x16x16, f16 summed in f32")                                             \
    X(COOPERATIVE_MATRIX_2, 10, "cooperative_matrix_2", "VK_NV_cooperative_matrix2")                                        \
    X(PIPELINE_STATISTICS, 11, "pipeline_statistics", "VK_KHR_pipeline_executable_properties")                              \
    X(MEMORY_BUDGET, 12, "memory_budget", "VK_EXT_memory_budget")                                                           \
    X(TIMESTAMPS, 13, "timestamps", "GPU timestamps on the queue used")                                                     \
    X(BFLOAT16_MATRIX, 14, "bfloat16_matrix", "cooperative matrices 16x16x16 of bf16 summed in f32")                             \
    X(INT8_MATRIX, 15, "int8_matrix", "cooperative matrices 16x16x32 or 16x16x16 of s8 summed in s32")

typedef enum vkssm_feature {
#define VKSSM_FEATURE_ENUM(NAME, bit, name, use) VKSSM_FEATURE_##NAME = 1 << bit,
    VKSSM_FEATURE_MAP(VKSSM_FEATURE_ENUM)
#undef VKSSM_FEATURE_ENUM
    VKSSM_FEATURE_SUBGROUPS = VKSSM_FEATURE_SUBGROUP_ARITHMETIC | VKSSM_FEATURE_SUBGROUP_SHUFFLE,
} vkssm_feature;

typedef enum vkssm_device_type {
    VKSSM_DEVICE_OTHER,
    VKSSM_DEVICE_INTEGRATED,
    VKSSM_DEVICE_DISCRETE,
    VKSSM_DEVICE_VIRTUAL,
    VKSSM_DEVICE_CPU,
} vkssm_device_type;

typedef struct vkssm_device_params {
    vkssm_log log;
    const char *select;       // NULL: first discrete GPU, then integrated, then virtual, then CPU; else an index ("0") in
                              // the order of vkssm_device_list, or a part of the name, in any case ("nvidia")
    uint32_t mask_features;   // vkssm_feature bits to treat as absent (tests, comparisons, work-arounds)
    uint32_t subgroup_size;   // 0: the device's choice; else required of every pipeline where the device can
    bool validation;          // VK_LAYER_KHRONOS_validation with synchronization validation; its messages are logged as
                              // errors and counted (vkssm_device_info.n_validation_message)
    const char *cache_path;   // file of compiled pipelines, read at creation and written at destruction; NULL: none.
                              // A corrupt file, or one of another device or driver, is ignored and replaced
    void *get_instance_proc_addr; // PFN_vkGetInstanceProcAddr to use in place of the system's loader; NULL: the loader
} vkssm_device_params;

// What vkssm knows of a device. Strings live as long as the device (in a list: as long as the list).
typedef struct vkssm_device_info {
    char name[256];
    char driver[512];              // driver name and version as the driver tells them
    vkssm_device_type type;
    uint32_t vendor_id, device_id; // PCI
    uint32_t api_version;          // VK_MAKE_API_VERSION coding
    uint32_t features;             // vkssm_feature bits in use
    uint32_t features_masked;      // bits that the device has and the caller masked, or did not enable
    uint32_t subgroup_size;        // default; and the range that can be asked for
    uint32_t subgroup_size_min, subgroup_size_max;
    uint32_t max_workgroup_invocations;
    uint32_t max_shared_size;      // bytes of shared memory of a workgroup
    uint64_t memory_size;          // bytes of the largest device-local heap
    uint64_t memory_budget;        // bytes that this process may use of it now (memory_size without MEMORY_BUDGET)
    uint64_t max_allocation_size;  // largest single allocation in bytes
    uint32_t n_validation_message; // validation messages since creation
    bool usable;                   // false: below the floor (vkssm/vulkan.h; workgroups of 256, 32 KiB of shared memory)
    char unusable_reason[128];     // "" or the first thing that is missing
} vkssm_device_info;

// Create a device (NULL params: all defaults).
// Errors: ERR_UNSUPPORTED (no loader, no usable device, nothing matches `select`), ERR_ARG, ERR_OOM_*.
// Thread-safety: a device may be shared between threads. Cost: tens to hundreds of milliseconds.
#define vkssm_device_create VKSSM_VERSIONED(vkssm_device_create)
VKSSM_API vkssm_status vkssm_device_create(const vkssm_device_params *params, vkssm_device **out);

// Release the device. Models and sessions made on it must be gone (this is checked and reported, and the device then stays).
VKSSM_API void vkssm_device_destroy(vkssm_device **device);

VKSSM_API void vkssm_device_get_info(const vkssm_device *device, vkssm_device_info *out);

// List the devices of this machine, usable or not, in the loader's order. Writes at most *n_info entries to `infos` and
// sets *n_info to the number of devices; `infos` NULL only counts. Only params->log, get_instance_proc_addr are used.
VKSSM_API vkssm_status vkssm_device_list(const vkssm_device_params *params, vkssm_device_info *infos, uint32_t *n_info);

// "subgroup_shuffle" for VKSSM_FEATURE_SUBGROUP_SHUFFLE; NULL for a bit that is not known.
VKSSM_API const char *vkssm_feature_name(vkssm_feature feature);

// One kernel variant of the library as seen from a device, for listings.
typedef struct vkssm_variant_info {
    const char *name;   // "gemv_sg"
    bool available;     // built in, possible on this device, and not avoided
    const char *reason; // why not, or NULL; lives as long as the library
} vkssm_variant_info;

// Number of kernel variants, and the i-th one (i < count).
VKSSM_API uint32_t vkssm_device_n_variant(const vkssm_device *device);
VKSSM_API void vkssm_device_get_variant(const vkssm_device *device, uint32_t index, vkssm_variant_info *out);

// Let the library choose others than these kernel variants: their names with commas between, such as "ssd_chain_coop";
// "ssd_*" stands for all that begin so. For work-arounds and comparisons; vkssm info --check tells which variants compute
// wrongly. A variant that is the last resort of its operator is used all the same where nothing else is left. What the
// library itself avoids on a device (host/op/quirks.c) and what is avoided by this are told by vkssm_device_get_variant.
// Errors: ERR_ARG (a name that no variant has: which). Call it before models are loaded. Thread-safety: while nothing
// else is done with the device.
VKSSM_API vkssm_status vkssm_device_avoid(vkssm_device *device, const char *variants);

#ifdef __cplusplus
}
#endif
#endif

// vkssm/vulkan.h: inside an application that has Vulkan already: its device, its command buffers, its buffers and
// images.
//
// Experimental: this header may change in any version (see vkssm/base.h). It is the only one that needs the Vulkan
// headers, and vkssm/vkssm.h does not include it.
//
// Typical order: vkssm_wanted_create says what to enable; vkssm_device_adopt takes over nothing and uses the
// application's device; models and sessions are made as always; vkssm_session_prepare_*, vkssm_recording_create and
// vkssm_scan_prepare_record do everything that takes memory or compiles; after that, the vkssm_*_record* calls only
// record. They submit nothing, wait for nothing, and create no Vulkan object.
//
// Who orders what. Recorded commands are compute shaders, copies and fills (vkssm_record_get_sync tells their stages
// and accesses). A recording begins with a barrier behind earlier compute and transfer commands of its queue, so that
// recordings follow each other by themselves. Everything else is the application's: what other stages or other queues
// did with a buffer or image comes before the recording by a barrier or semaphore to these stages and accesses, and
// what they do with it later comes behind one from them. Command buffers are of a pool of
// vkssm_host.queue_family, and recordings of one session or model are executed on one queue. No queue family ownership is transferred: buffers and images
// that are used on several families are shared (VK_SHARING_MODE_CONCURRENT) or transferred by the application.
#ifndef VKSSM_VULKAN_H
#define VKSSM_VULKAN_H

#include <vkssm/scan.h>
#include <vkssm/session.h>
#include <vkssm/tensor_model.h>
#include <vulkan/vulkan_core.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---- the application's device ---------------------------------------------------------------------------------------

// What to enable on a physical device so that vkssm can use all of it. The application may add its own features and
// extensions before it creates its device, or enable less: then some kernel variants are left out.
typedef struct vkssm_wanted vkssm_wanted;
typedef struct vkssm_wanted_info {
    VkPhysicalDeviceFeatures2 *features; // a chain for VkDeviceCreateInfo.pNext; may be changed and added to
    const char *const *extensions;       // [n_extension] names of device extensions
    uint32_t n_extension;
    uint32_t queue_family; // one with compute, and graphics if there is such a one
} vkssm_wanted_info;

// params: log and mask_features count; NULL: defaults. Masked features are neither wanted nor asked for: structs of
// extensions that validation layers of the application's age do not know are then passed nowhere.
// Errors: ERR_UNSUPPORTED (the device lacks Vulkan 1.3, or a feature or limit of the floor: which), ERR_ARG, ERR_OOM_HOST.
// Ownership: what info points to lives until vkssm_wanted_destroy.
VKSSM_API vkssm_status vkssm_wanted_create(const vkssm_device_params *params,
                                           PFN_vkGetInstanceProcAddr get_instance_proc_addr, VkInstance instance,
                                           VkPhysicalDevice physical_device, vkssm_wanted **out);
VKSSM_API void vkssm_wanted_get(const vkssm_wanted *wanted, vkssm_wanted_info *info);
VKSSM_API void vkssm_wanted_destroy(vkssm_wanted **wanted);

// The application's Vulkan objects. They must outlive the vkssm_device, which never destroys, resets or waits idle for
// any of them. What the pointers point to is read during the call only.
typedef struct vkssm_host {
    VkInstance instance;
    VkPhysicalDevice physical_device;
    VkDevice device;
    VkQueue queue;         // for what is not recorded: loading, vkssm_session_prefill, preparing. No other one is used
    uint32_t queue_family; // its family, with compute
    uint32_t api_version;  // VkApplicationInfo.apiVersion of the instance, VK_API_VERSION_1_3 at least
    PFN_vkGetInstanceProcAddr get_instance_proc_addr;
    const VkAllocationCallbacks *allocator; // for every object that vkssm creates; copied. NULL: the driver's
    const VkPhysicalDeviceFeatures2 *enabled_features; // the chain that `device` was created with. It must have
                                                       // bufferDeviceAddress, synchronization2, timelineSemaphore,
                                                       // maintenance4, subgroupSizeControl, computeFullSubgroups,
                                                       // vulkanMemoryModel and vulkanMemoryModelDeviceScope; vkssm uses
                                                       // nothing that is not in it
    const char *const *enabled_extensions;             // [n_enabled_extension] that `device` was created with
    uint32_t n_enabled_extension;
    void (*lock_queue)(void *user); // called around every submission of vkssm to `queue`; NULL: nobody else uses it
    void (*unlock_queue)(void *user);
    void *lock_user;
} vkssm_host;

// Use the application's device. Any number of vkssm devices may be made on one VkDevice, also with different queues.
// params: log, mask_features, subgroup_size and cache_path count; NULL: defaults. The log hears (as information) which
// features are not enabled and how many kernel variants that leaves out; vkssm_device_get_variant tells which.
// Errors: ERR_ARG (a handle that is NULL), ERR_UNSUPPORTED (no Vulkan 1.3, a feature of the floor that is not enabled,
// a queue family without compute: which), ERR_OOM_*. Nothing of the application's is touched by a failure.
#define vkssm_device_adopt VKSSM_VERSIONED(vkssm_device_adopt)
VKSSM_API vkssm_status vkssm_device_adopt(const vkssm_device_params *params, const vkssm_host *host,
                                          vkssm_device **out);

// Tell that the application found its device lost: from then on every call on it fails with ERR_DEVICE_LOST, and
// everything can be destroyed.
VKSSM_API void vkssm_device_report_lost(vkssm_device *device);

// ---- recording ------------------------------------------------------------------------------------------------------

// Stages, and accesses at them, of all that the library records.
typedef struct vkssm_sync {
    VkPipelineStageFlags2 stages;
    VkAccessFlags2 reads, writes;
} vkssm_sync;
VKSSM_API void vkssm_record_get_sync(vkssm_sync *sync);

// A range of a buffer of the application's. vkssm cannot ask Vulkan how it was created: the application says so, and it
// is checked. Zeroed: there is none. Every use needs VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT, and memory allocated
// with VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT.
typedef struct vkssm_buffer {
    VkBuffer buffer;
    VkBufferUsageFlags usage; // as created
    VkDeviceSize buffer_size; // bytes, as created
    VkDeviceSize offset;      // first byte used, a multiple of 16
    VkDeviceSize size;        // bytes that may be used; 0: to the end
} vkssm_buffer;

// A region of an image of the application's, with texels of 32-bit floats (such as R32_SFLOAT or R32G32B32A32_SFLOAT).
// The image needs TRANSFER_DST usage to be written and TRANSFER_SRC to be read.
typedef struct vkssm_image {
    VkImage image;
    VkImageLayout layout; // at the copy: GENERAL, or TRANSFER_DST_OPTIMAL or TRANSFER_SRC_OPTIMAL. It is left as it is
    VkImageSubresourceLayers subresource;
    VkOffset3D offset;
    VkExtent3D extent;
    uint32_t n_channel; // floats of a texel, 1 to 4. With 3, rows of which not every one can be copied: Vulkan wants
                        // offsets of 12 bytes, and the call tells (ERR_ARG) where a row does not lie on one
} vkssm_image;

// Work in parts. `budget_us` of the record calls is the GPU time that one call may record, as estimated when the work
// was prepared; 0: all of it. A call records at least one operator (a product, a scan, ...), which is the smallest
// part. Zeroed to begin; a call that could not record everything leaves it where the next call goes on, which must have
// the same parameters. Between them the session or recording computes nothing else (ERR_STATE), and the buffers and
// images stay as they are.
typedef struct vkssm_cursor {
    uint32_t position; // within a step or piece
    bool complete;     // set when everything is recorded
    uint64_t n_done;   // tokens of a prefill whose pieces are recorded
} vkssm_cursor;

// ---- language models ------------------------------------------------------------------------------------------------

// Compile and measure what recording needs: steps of `n_slot` slots, with sampling or without; prefill in pieces of
// `piece_size` tokens (0: the session's) and of the powers of two below it, which rests are made of. Each may be called
// for several sizes. *estimate_us: GPU time of the step or piece (NULL: not wanted).
// Errors: ERR_ARG, ERR_OOM_*, ERR_DEVICE_LOST. Cost: runs on the queue and waits, for a copy of the states; compiles
// kernels. Slots are as before afterwards.
VKSSM_API vkssm_status vkssm_session_prepare_step(vkssm_session *session, uint32_t n_slot, bool sample,
                                                  double *estimate_us);
VKSSM_API vkssm_status vkssm_session_prepare_prefill(vkssm_session *session, uint32_t piece_size, double *estimate_us);

typedef struct vkssm_record_step {
    uint32_t n_slot;       // B: different slots to advance by one token each
    const uint32_t *slots; // [B]; read during the call
    const int32_t *tokens; // [B], which become part of the commands; or NULL: those of token_buffer, or without it the
                           // ones that the last recorded step of each slot sampled
    vkssm_buffer token_buffer; // [n_slot of the session] I32, by slot; read; or none. Ids outside of the vocabulary
                               // count as a token of zeros
    vkssm_buffer logits;            // [B, V] F32, written; or none
    const vkssm_sampling *sampling; // [B], or NULL: nothing is sampled
    vkssm_buffer sampled; // [n_slot of the session] I32, by slot: the slots' next tokens, written; or none. May be
                          // token_buffer
    uint32_t budget_us;
} vkssm_record_step;

// Record a step of some slots. Positions advance when it is recorded whole; vkssm_session_generate needs a prefill or
// step of the session's own after it, as the logits are the application's.
// Errors: ERR_ARG (slots, tokens, buffers: what is wrong), ERR_STATE (not prepared; other work begun and not complete),
// ERR_DEVICE_LOST. Recorded nothing then, unless an operator failed, and the commands must not be submitted.
// Thread-safety: as every call on a session. The session must outlive the execution.
// Vulkan tells nobody whether a command buffer is recording: the application sees to it (its validation layers tell).
VKSSM_API vkssm_status vkssm_session_record_step(vkssm_session *session, VkCommandBuffer commands,
                                                 const vkssm_record_step *params, vkssm_cursor *cursor);

typedef struct vkssm_record_prefill {
    uint32_t slot;
    uint32_t n_token;          // T
    const int32_t *tokens;     // [T], which become part of the commands; or NULL: those of token_buffer
    vkssm_buffer token_buffer; // [T] I32, read; or none
    vkssm_buffer logits;       // [V] F32 of the last token, written; or none
    uint32_t budget_us;
} vkssm_record_prefill;

// Record the reading of T tokens into a slot, as vkssm_session_prefill does it. Errors, threads: as for a step.
VKSSM_API vkssm_status vkssm_session_record_prefill(vkssm_session *session, VkCommandBuffer commands,
                                                    const vkssm_record_prefill *params, vkssm_cursor *cursor);

// Forget work that was begun and is not complete. Its slots must be reset, or loaded, before they are used again.
VKSSM_API void vkssm_session_cancel_record(vkssm_session *session);

// ---- models that map tensors to tensors -----------------------------------------------------------------------------

// n sequences of a model, T time steps at a time, with memory of their own: states go on from recording to recording.
typedef struct vkssm_recording vkssm_recording;

typedef struct vkssm_recording_params {
    uint32_t n_sequence, n_time; // n, T; 0: 1
    bool layers;                 // the layers' outputs can be had too
} vkssm_recording_params;

// Everything that takes memory or compiles. *estimate_us: GPU time of one recording (NULL: not wanted).
// Errors: ERR_UNSUPPORTED (a language model), ERR_ARG, ERR_OOM_*, ERR_DEVICE_LOST. Cost: runs on the queue and waits.
VKSSM_API vkssm_status vkssm_recording_create(vkssm_model *model, const vkssm_recording_params *params,
                                              double *estimate_us, vkssm_recording **out);
// What was recorded must have been executed.
VKSSM_API void vkssm_recording_destroy(vkssm_recording **recording);

// How an input or output lies in a buffer: `n_row` rows of `n_value` F32, row_stride floats apart. The rows of inputs
// start on multiples of 8 floats, and what lies between them is zero. size: bytes that it takes.
typedef struct vkssm_port {
    char name[32];
    uint64_t n_row, n_value, row_stride, size;
} vkssm_port;
// Errors: ERR_ARG past the last one. Outputs that are not wanted (layers) are left out of the count.
VKSSM_API vkssm_status vkssm_recording_get_port(const vkssm_recording *recording, bool output, uint32_t index,
                                                vkssm_port *out);

// An input or output of one recording: a buffer, used without a copy, or an image, which one row is copied from or to.
// The row then holds extent.height rows of texels of extent.width x n_channel floats.
typedef struct vkssm_bound_port {
    const char *name;
    vkssm_buffer buffer;
    const vkssm_image *image; // in place of a buffer, or NULL
    uint32_t image_row; // which row; that of time step t of sequence s is s T + t. Other input rows stay as they were
} vkssm_bound_port;

typedef struct vkssm_record_model {
    const vkssm_bound_port *inputs;  // [n_input]: each input of the model once
    const vkssm_bound_port *outputs; // [n_output]: those that are wanted. An output may be bound to several images
                                     // (rows of their own), or to one buffer
    uint32_t n_input, n_output;
    bool begin; // the sequences begin here, with empty states. The first recording does so in any case
    uint32_t budget_us;
} vkssm_record_model;

// Record n sequences of T steps. Errors: ERR_ARG (a port that is missing, unknown or bound twice; a buffer without the
// usage needed, too small, not aligned; an image whose region does not hold a row), ERR_STATE, ERR_DEVICE_LOST.
// Thread-safety: a recording belongs to one thread at a time.
VKSSM_API vkssm_status vkssm_model_record(vkssm_recording *recording, VkCommandBuffer commands,
                                          const vkssm_record_model *params, vkssm_cursor *cursor);

// ---- scans ----------------------------------------------------------------------------------------------------------

typedef struct vkssm_record_scan {
    vkssm_scan_params shape;                     // its pointers and sizes are not used
    vkssm_buffer a, b, h;                        // as in vkssm_scan_params; h may be the range of b
    vkssm_buffer initial, last, resets, offsets; // or none
    vkssm_buffer scratch;                        // at least the size that vkssm_scan_prepare_record tells
} vkssm_record_scan;

// Check the parameters, compile the kernels, and tell the bytes of scratch that the recording needs (0: none, and
// params->scratch is not used). params->scratch is not looked at here.
VKSSM_API vkssm_status vkssm_scan_prepare_record(vkssm_device *device, const vkssm_record_scan *params,
                                                 uint64_t *scratch_size);
// Record h[t] = a[t] h[t-1] + b[t] (vkssm_scan_run). 16-bit rows must have an even number of elements; offsets are not
// checked, and the kernels keep within the arrays whatever they are.
// Errors: ERR_ARG, ERR_OOM_HOST, ERR_DEVICE_LOST. Thread-safety: any number of calls at once. Cost: a few hundred bytes
// of host memory, given back before it returns.
VKSSM_API vkssm_status vkssm_scan_record(vkssm_device *device, VkCommandBuffer commands,
                                         const vkssm_record_scan *params);

#ifdef __cplusplus
}
#endif
#endif

// vkssm/base.h: status codes, messages, data types. Every other public header includes it.
//
// Conventions of all headers
//   * A zero-initialised parameter struct asks for the defaults; NULL in its place means the same.
//   * Every call that can fail returns vkssm_status. Its message says object, expectation and finding; it goes to the log
//     callback of the object concerned and stays readable, for the calling thread, through vkssm_last_error().
//   * vkssm_x_destroy(vkssm_x **) accepts a pointer to NULL and sets the handle to NULL.
//   * Shapes are written with the last dimension fastest: [T, D] holds D neighbours for each of T.
//     Letters: B batch, T time, D channels, H heads, P head width, N state, K convolution width, L layers, V vocabulary.
//   * Counts are n_x, sizes in bytes x_size, times in nanoseconds x_ns.
//   * The library never exits, never prints, never reads the environment and never trusts a file.
#ifndef VKSSM_BASE_H
#define VKSSM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(VKSSM_STATIC)
#define VKSSM_API
#elif defined(_WIN32) && defined(VKSSM_BUILD)
#define VKSSM_API __declspec(dllexport)
#elif defined(_WIN32)
#define VKSSM_API __declspec(dllimport)
#elif defined(__GNUC__)
#define VKSSM_API __attribute__((visibility("default")))
#else
#define VKSSM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

// One number, raised whenever a program compiled against an older header could notice. It is the SOVERSION too. The call
// that every program begins with has it in its symbol: a program and a library of different numbers do not link, and a
// program does not start with a shared library of another number.
//   1  models, sessions, tensor models, scans, devices
//   2  vkssm_device_adopt (vkssm/vulkan.h) in place of vkssm_device_params.adopt
#define VKSSM_API_VERSION 3
#define VKSSM_PATCH_VERSION 0 // counts releases of one VKSSM_API_VERSION; the version is 0.API.PATCH
#define VKSSM_VERSIONED_NAME(name, version) name##_api##version
#define VKSSM_VERSIONED_AS(name, version) VKSSM_VERSIONED_NAME(name, version)
#define VKSSM_VERSIONED(name) VKSSM_VERSIONED_AS(name, VKSSM_API_VERSION)

// Stable: base.h, device.h, tensor_file.h, tokenizer.h, model.h, session.h, tensor_model.h, and vkssm_scan_run. What they
// declare is only changed together with VKSSM_API_VERSION; status codes and feature bits keep their numbers for ever.
// Experimental: vulkan.h, bench.h, device_check.h, selective_scan.h, conv_s5.h, quantize.h, and the scans of one's own in
// scan.h. These may change in every version.
// Parameter structs may get members at their end with a new VKSSM_API_VERSION; zero keeps the old behaviour.

// X(name, value, text). Values are stable: a code keeps its number for ever.
#define VKSSM_STATUS_MAP(X)                                                                                                 \
    X(OK, 0, "success")                                                                                                     \
    X(ERR_ARG, 1, "invalid argument")                                                                                       \
    X(ERR_OOM_HOST, 2, "out of host memory")                                                                                \
    X(ERR_OOM_DEVICE, 3, "out of device memory")                                                                            \
    X(ERR_UNSUPPORTED, 4, "not supported")                                                                                  \
    X(ERR_FORMAT, 5, "malformed data")                                                                                      \
    X(ERR_IO, 6, "input/output error")                                                                                      \
    X(ERR_STATE, 7, "call out of order")                                                                                    \
    X(ERR_DEVICE_LOST, 8, "device lost")                                                                                    \
    X(ERR_CANCELLED, 9, "cancelled by callback")                                                                            \
    X(ERR_INTERNAL, 10, "internal error")

typedef enum vkssm_status {
#define VKSSM_STATUS_ENUM(name, value, text) VKSSM_##name = value,
    VKSSM_STATUS_MAP(VKSSM_STATUS_ENUM)
#undef VKSSM_STATUS_ENUM
} vkssm_status;

// The text of a status code, such as "malformed data"; never NULL. Static storage.
VKSSM_API const char *vkssm_status_text(vkssm_status status);

// The message of the last failed call of this thread ("" if none). Valid until this thread's next vkssm call.
VKSSM_API const char *vkssm_last_error(void);

// VKSSM_API_VERSION of the library that is running, and its whole version, such as "0.2.0". Static storage.
VKSSM_API uint32_t vkssm_api_version(void);
VKSSM_API const char *vkssm_version(void);

typedef enum vkssm_log_level {
    VKSSM_LOG_ERROR,
    VKSSM_LOG_WARNING,
    VKSSM_LOG_INFO,
    VKSSM_LOG_DEBUG,
} vkssm_log_level;

// Where messages go. `message` is one line without a newline, valid during the call. The callback may be called from any
// thread that calls the library, and must not call the library.
typedef struct vkssm_log {
    void (*callback)(void *user, vkssm_log_level level, const char *message); // NULL: messages are dropped
    void *user;
    vkssm_log_level max_level; // 0 (VKSSM_LOG_ERROR): errors only
} vkssm_log;

// Progress of a long call: `done` of `total` bytes or tokens. Return false to cancel (the call fails with
// VKSSM_ERR_CANCELLED and leaves nothing behind).
typedef struct vkssm_progress {
    bool (*callback)(void *user, uint64_t done, uint64_t total); // NULL: no progress
    void *user;
} vkssm_progress;

typedef enum vkssm_dtype {
    VKSSM_DTYPE_F32,
    VKSSM_DTYPE_F16,
    VKSSM_DTYPE_BF16,
    VKSSM_DTYPE_F64,
    VKSSM_DTYPE_I8,
    VKSSM_DTYPE_U8,
    VKSSM_DTYPE_I16,
    VKSSM_DTYPE_I32,
    VKSSM_DTYPE_I64,
    VKSSM_DTYPE_BOOL,
    // Block types of matrices, as GGUF files have them: 32 (the first two) or 256 neighbours of a row share what scales
    // them. 8.5, 4.5, 4.5 and 6.5625 bits a value.
    VKSSM_DTYPE_Q8_0,
    VKSSM_DTYPE_Q4_0,
    VKSSM_DTYPE_Q4_K,
    VKSSM_DTYPE_Q6_K,
    VKSSM_DTYPE_COUNT,
} vkssm_dtype;

// Name as safetensors spells it ("F32"; block types as GGUF does), and bytes of one element (0 for an unknown type, and for
// block types, whose elements have no bytes of their own).
VKSSM_API const char *vkssm_dtype_name(vkssm_dtype dtype);
VKSSM_API size_t vkssm_dtype_size(vkssm_dtype dtype);

#ifdef __cplusplus
}
#endif
#endif

// Push constant blocks are written once and compiled as C and as GLSL. Only vks_address, vks_uint and vks_float members;
// addresses first, so that both languages lay them out alike; at most 128 bytes (the floor of Vulkan).
#ifndef VKS_PARAMS_TYPES_H
#define VKS_PARAMS_TYPES_H

#ifdef GL_core_profile
#define vks_address uvec2
#define vks_uint uint
#define vks_float float
#define VKS_PARAMS(name) layout(push_constant, std430) uniform name
#define VKS_PARAMS_END(name) params;
#else
#include <assert.h>
#include <stdint.h>
typedef uint64_t vks_address;
typedef uint32_t vks_uint;
typedef float vks_float;
#define VKS_PARAMS(name) struct name
#define VKS_PARAMS_END(name)                                                                                                \
    ;                                                                                                                       \
    static_assert(sizeof(struct name) <= 128, "push constants above Vulkan's floor");
#endif

// Storage types as specialization constants give them; equal to vkssm_dtype (host/op asserts it).
#define VKS_TYPE_F32 0
#define VKS_TYPE_F16 1
#define VKS_TYPE_BF16 2
#define VKS_TYPE_I32 7
#define VKS_TYPE_Q8_0 10
#define VKS_TYPE_Q4_0 11
#define VKS_TYPE_Q4_K 12
#define VKS_TYPE_Q6_K 13

#endif

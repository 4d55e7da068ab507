// What the library calls: entry points that are handed to it count allocations, submissions and waits.
#ifndef ENGINE_AUDIT_H
#define ENGINE_AUDIT_H

#include <vkssm/vulkan.h>

PFN_vkVoidFunction VKAPI_CALL engine_audit_get(VkInstance instance, const char *name);
// Calls so far: allocations and created pipelines and buffers; submissions; waits.
typedef struct engine_audit {
    uint32_t n_allocation, n_submit, n_wait;
} engine_audit;
engine_audit engine_audit_now(void);

#endif

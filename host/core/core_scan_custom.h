// Inside host/core: what the files of user-defined scans share.
#ifndef VKS_SCAN_CUSTOM_H
#define VKS_SCAN_CUSTOM_H

#include <vkssm/scan.h>

#include "scan_job.h"

enum { VKS_SCAN_MAX_WORD = VKSSM_SCAN_MAX_ELEMENT_SIZE / 4 };

typedef enum vks_word_kind { VKS_WORD_GAP, VKS_WORD_FLOAT, VKS_WORD_INT, VKS_WORD_UINT } vks_word_kind;

// What the words of an element are.
typedef struct vks_scan_element {
    uint32_t size; // bytes
    uint8_t kinds[VKS_SCAN_MAX_WORD];
} vks_scan_element;

typedef struct vks_scan_pipeline {
    uint32_t constants[3];
    vks_pipeline *pipeline;
} vks_scan_pipeline;

struct vkssm_scan_custom {
    vkssm_device *device;
    char *name;
    uint32_t *code;
    size_t code_size; // bytes
    vks_scan_element element;
    vks_scan_pipeline *pipelines;
    size_t n_pipeline, capacity;
};

// Compile the source behind scan->name to scan->code. ERR_UNSUPPORTED without a compiler.
vkssm_status vks_scan_custom_compile(vkssm_scan_custom *scan, const char *source);
// Find the element in the code, and refuse capabilities that not every device has.
vkssm_status vks_scan_custom_reflect(vkssm_scan_custom *scan);
vkssm_status vks_scan_custom_pipeline(vkssm_scan_custom *scan, uint32_t wg_size, uint32_t side, uint32_t flags,
                                      const vks_pipeline **out);
vkssm_status vks_scan_custom_check(vkssm_scan_custom *scan, const vkssm_scan_custom_params *params);

#endif

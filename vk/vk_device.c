// The device: listed, chosen, created or adopted; its loss, its messages.
#include "vk_internal.h"

#include <stdio.h>
#include <string.h>

// ---- results -------------------------------------------------------------------------------------------------------

const char *vks_result_name(VkResult result) {
    switch (result) {
#define NAME(code)                                                                                                     \
    case code:                                                                                                         \
        return #code;
        NAME(VK_SUCCESS)
        NAME(VK_NOT_READY)
        NAME(VK_TIMEOUT)
        NAME(VK_INCOMPLETE)
        NAME(VK_ERROR_OUT_OF_HOST_MEMORY)
        NAME(VK_ERROR_OUT_OF_DEVICE_MEMORY)
        NAME(VK_ERROR_INITIALIZATION_FAILED)
        NAME(VK_ERROR_DEVICE_LOST)
        NAME(VK_ERROR_MEMORY_MAP_FAILED)
        NAME(VK_ERROR_LAYER_NOT_PRESENT)
        NAME(VK_ERROR_EXTENSION_NOT_PRESENT)
        NAME(VK_ERROR_FEATURE_NOT_PRESENT)
        NAME(VK_ERROR_INCOMPATIBLE_DRIVER)
        NAME(VK_ERROR_TOO_MANY_OBJECTS)
        NAME(VK_ERROR_FRAGMENTATION)
        NAME(VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS)
#undef NAME
    default:
        return "a VkResult that vkssm does not know";
    }
}

vkssm_status vks_check(vks_device *device, VkResult result, const char *what) {
    if (result >= 0) return VKSSM_OK;
    if (result == VK_ERROR_DEVICE_LOST) return vks_latch_lost(device, what);
    vkssm_status status = result == VK_ERROR_OUT_OF_HOST_MEMORY     ? VKSSM_ERR_OOM_HOST
                          : result == VK_ERROR_OUT_OF_DEVICE_MEMORY ? VKSSM_ERR_OOM_DEVICE
                                                                    : VKSSM_ERR_INTERNAL;
    return vks_fail(&device->log, status, "%s failed: %s (%d)", what, vks_result_name(result), (int)result);
}

vkssm_status vks_latch_lost(vks_device *device, const char *what) {
    bool first = !atomic_exchange(&device->is_lost, true);
    return vks_fail(first ? &device->log : NULL, VKSSM_ERR_DEVICE_LOST, "device %s: lost (%s)", device->probe.caps.name,
                    what);
}

vkssm_status vks_check_not_lost(const vks_device *device) {
    if (!vks_device_is_lost(device)) return VKSSM_OK;
    return vks_fail(NULL, VKSSM_ERR_DEVICE_LOST, "device %s: lost earlier", device->probe.caps.name);
}

bool vks_device_is_lost(const vks_device *device) {
    return atomic_load(&device->is_lost);
}

void vks_device_lose(vks_device *device) {
    vks_latch_lost(device, "by vks_device_lose");
}

void vks_device_report_lost(vks_device *device) {
    vks_latch_lost(device, "as the host application says");
}

void vks_set_name(const vks_device *device, VkObjectType type, uint64_t handle, const char *name) {
    if (!device->instance.fn.SetDebugUtilsObjectNameEXT || !handle || !name) return;
    const VkDebugUtilsObjectNameInfoEXT info = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT,
        .objectType = type,
        .objectHandle = handle,
        .pObjectName = name,
    };
    device->instance.fn.SetDebugUtilsObjectNameEXT(device->handle, &info); // a name is worth no failure
}

// ---- choice --------------------------------------------------------------------------------------------------------

static bool contains_in_any_case(const char *text, const char *part) {
    for (; *text; text++) {
        size_t i = 0;
        for (; part[i] && text[i]; i++) {
            char a = text[i], b = part[i];
            if (a >= 'A' && a <= 'Z') a = (char)(a - 'A' + 'a');
            if (b >= 'A' && b <= 'Z') b = (char)(b - 'A' + 'a');
            if (a != b) break;
        }
        if (!part[i]) return true;
    }
    return false;
}

// The number that the whole text spells, or UINT32_MAX.
static uint32_t parse_index(const char *text) {
    uint64_t value = 0;
    if (!*text) return UINT32_MAX;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return UINT32_MAX;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value >= UINT32_MAX) return UINT32_MAX;
    }
    return (uint32_t)value;
}

static uint32_t choose_default(const vks_probe *probes, uint32_t n_probe) {
    static const vks_device_type order[] = {VKS_DEVICE_DISCRETE, VKS_DEVICE_INTEGRATED, VKS_DEVICE_VIRTUAL,
                                            VKS_DEVICE_CPU, VKS_DEVICE_OTHER};
    for (size_t rank = 0; rank < VKS_COUNT(order); rank++)
        for (uint32_t i = 0; i < n_probe; i++)
            if (probes[i].caps.usable && probes[i].caps.type == order[rank]) return i;
    return UINT32_MAX;
}

static uint32_t choose_selected(const vks_probe *probes, uint32_t n_probe, const char *select) {
    uint32_t index = parse_index(select), first = UINT32_MAX;
    if (index < n_probe) return index;
    for (uint32_t i = 0; i < n_probe; i++) {
        if (!contains_in_any_case(probes[i].caps.name, select)) continue;
        if (probes[i].caps.usable) return i;
        if (first == UINT32_MAX) first = i; // to say why it cannot be used
    }
    return first;
}

static vkssm_status fail_no_choice(const vkssm_log *log, const vks_probe *probes, uint32_t n_probe,
                                   const char *select) {
    char found[512] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < n_probe && used < sizeof found; i++) {
        const vks_caps *caps = &probes[i].caps;
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%u \"%s\"%s%s", i ? ", " : "", i, caps->name,
                                 caps->usable ? "" : " without ", caps->unusable_reason);
    }
    if (n_probe == 0) return vks_fail(log, VKSSM_ERR_UNSUPPORTED, "device: no Vulkan driver offers one on this system");
    if (select)
        return vks_fail(log, VKSSM_ERR_UNSUPPORTED, "device: \"%s\" is no index and no part of a name of: %s", select,
                        found);
    return vks_fail(log, VKSSM_ERR_UNSUPPORTED, "device: none can be used of: %s", found);
}

static vkssm_status choose(vks_device *device, const char *select, VkPhysicalDevice *devices, uint32_t n_device) {
    const vkssm_log *log = &device->log;
    vks_probe *probes = vks_alloc_zero(n_device, sizeof *probes);
    if (!probes) return vks_fail(log, VKSSM_ERR_OOM_HOST, "device: out of memory for %u devices", n_device);
    vkssm_status status = VKSSM_OK;
    for (uint32_t i = 0; i < n_device; i++)
        VKS_TRY_GOTO(vks_probe_device(&device->instance, devices[i], UINT32_MAX, 0, &probes[i]), done);
    if (select && !*select) select = NULL;
    uint32_t chosen = select ? choose_selected(probes, n_device, select) : choose_default(probes, n_device);
    if (chosen == UINT32_MAX) {
        status = fail_no_choice(log, probes, n_device, select);
    } else if (!probes[chosen].caps.usable) {
        status = vks_fail(log, VKSSM_ERR_UNSUPPORTED, "device %u \"%s\": it lacks %s", chosen, probes[chosen].caps.name,
                          probes[chosen].caps.unusable_reason);
    } else {
        device->physical = devices[chosen];
        device->probe = probes[chosen];
    }
done:
    vks_free(probes);
    return status;
}

vkssm_status vks_device_list(const vks_device_params *params, vks_caps **caps, uint32_t *n_caps) {
    static const vks_device_params defaults;
    const vks_device_params quiet = {.log = (params ? params : &defaults)->log,
                                     .get_instance_proc_addr = (params ? params : &defaults)->get_instance_proc_addr};
    const vkssm_log *log = &quiet.log;
    *caps = NULL;
    *n_caps = 0;
    vks_instance instance;
    VKS_TRY(vks_instance_open(&quiet, NULL, log, &instance));
    VkPhysicalDevice *devices = NULL;
    uint32_t n = 0;
    vks_caps *list = NULL;
    vkssm_status status;
    VKS_TRY_GOTO(vks_instance_devices(&instance, &devices, &n), done);
    list = vks_alloc_zero(n, sizeof *list);
    if (!list) {
        status = vks_fail(log, VKSSM_ERR_OOM_HOST, "device list: out of memory for %u devices", n);
        goto done;
    }
    for (uint32_t i = 0; i < n; i++) {
        vks_probe probe;
        VKS_TRY_GOTO(vks_probe_device(&instance, devices[i], UINT32_MAX, 0, &probe), done);
        vks_caps_restrict(&probe.caps, UINT32_MAX, 0);
        list[i] = probe.caps;
    }
    *caps = list;
    *n_caps = n;
    list = NULL;
done:
    vks_free(list);
    vks_free(devices);
    vks_instance_close(&instance);
    return status;
}

// ---- creation ------------------------------------------------------------------------------------------------------

static vkssm_status create_handle(vks_device *device) {
    vks_feature_chain chain;
    const char *extensions[VKS_MAX_EXTENSION];
    uint32_t n_extension = vks_features_to_enable(&device->probe, &chain, extensions);
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = device->probe.queue_family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &chain.core,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = n_extension,
        .ppEnabledExtensionNames = extensions,
    };
    VKS_TRY(vks_check(device, device->instance.fn.CreateDevice(device->physical, &info, NULL, &device->handle),
                      "vkCreateDevice"));
    PFN_vkDestroyDevice destroy =
        (PFN_vkDestroyDevice)device->instance.fn.GetDeviceProcAddr(device->handle, "vkDestroyDevice");
    vkssm_status status = vks_load_device_functions(&device->instance.fn, device->handle, &device->log, &device->fn);
    if (status != VKSSM_OK) { // an incomplete table must not be used, by the clean-up neither
        if (destroy) destroy(device->handle, NULL);
        device->handle = VK_NULL_HANDLE;
        return status;
    }
    device->fn.GetDeviceQueue(device->handle, device->probe.queue_family, 0, &device->queue);
    return VKSSM_OK;
}

static vkssm_status create_own(vks_device *device, const vks_device_params *params) {
    VkPhysicalDevice *devices;
    uint32_t n_device;
    VKS_TRY(vks_instance_devices(&device->instance, &devices, &n_device));
    vkssm_status status = choose(device, params->select, devices, n_device);
    vks_free(devices);
    VKS_TRY(status);
    vks_caps_restrict(&device->probe.caps, UINT32_MAX, params->mask_features);
    return create_handle(device);
}

// The size asked for is required of pipelines where the device has a choice, and refused where it has none.
static vkssm_status set_subgroup_size(vks_device *device, uint32_t size) {
    vks_caps *caps = &device->probe.caps;
    if (size == 0) return VKSSM_OK;
    bool fixed = caps->subgroup_size_min == caps->subgroup_size_max;
    bool possible = size >= caps->subgroup_size_min && size <= caps->subgroup_size_max && (size & (size - 1)) == 0;
    if (!possible || (!fixed && !device->probe.can_require_subgroup_size))
        return vks_fail(&device->log, VKSSM_ERR_UNSUPPORTED,
                        "device %s: subgroup size %u is wanted, it offers %u to %u%s", caps->name, size,
                        caps->subgroup_size_min, caps->subgroup_size_max,
                        device->probe.can_require_subgroup_size || fixed ? "" : " at its own choice");
    caps->subgroup_size = size;
    if (fixed) return VKSSM_OK;
    device->required_subgroup_size = size;
    uint64_t limit = (uint64_t)size * device->probe.max_workgroup_subgroups;
    if (caps->max_workgroup_invocations > limit) caps->max_workgroup_invocations = (uint32_t)limit;
    return VKSSM_OK;
}

static vkssm_status start(vks_device *device, const vks_device_params *params) {
    VKS_TRY(vks_instance_open(params, params->adopt ? params->adopt->instance : NULL, &device->log, &device->instance));
    VKS_TRY(params->adopt ? vks_adopt_host(device, params) : create_own(device, params));
    VKS_TRY(set_subgroup_size(device, params->subgroup_size));
    if (params->cache_path && !(device->cache_path = vks_strdup(params->cache_path)))
        return vks_fail(&device->log, VKSSM_ERR_OOM_HOST, "device: out of memory for the path of the pipeline cache");
    vks_memory_start(device);
    VKS_TRY(vks_submit_start(device));
    vks_cache_start(device);
    return VKSSM_OK;
}

vkssm_status vks_device_create(const vks_device_params *params, vks_device **out) {
    static const vks_device_params defaults;
    if (!params) params = &defaults;
    *out = NULL;
    if (params->adopt) VKS_TRY(vks_adopt_check(params));
    vks_device *device = vks_alloc_zero(1, sizeof *device);
    if (!device) return vks_fail(&params->log, VKSSM_ERR_OOM_HOST, "device: out of memory");
    device->log = params->log;
    atomic_store(&device->n_memory_until_failure, UINT64_MAX);
    vks_mutex_init(&device->queue_mutex);
    vks_mutex_init(&device->pipeline_mutex);
    vkssm_status status = start(device, params);
    if (status != VKSSM_OK) {
        vks_device_destroy(&device);
        return status;
    }
    const vks_caps *caps = &device->probe.caps;
    vks_log(&device->log, VKSSM_LOG_INFO, "device: %s (%s), subgroup size %u, %llu MiB", caps->name, caps->driver,
            caps->subgroup_size, (unsigned long long)(caps->memory_size >> 20));
    *out = device;
    return VKSSM_OK;
}

// Also takes apart what a failed creation left.
void vks_device_destroy(vks_device **device_pointer) {
    vks_device *device = *device_pointer;
    *device_pointer = NULL;
    if (!device) return;
    if (device->handle) {
        vks_submit_finish(device);
        vks_cache_finish(device);
        if (!device->is_adopted) device->fn.DestroyDevice(device->handle, NULL);
    }
    vks_instance_close(&device->instance);
    vks_mutex_finish(&device->queue_mutex);
    vks_mutex_finish(&device->pipeline_mutex);
    vks_free(device->cache_path);
    vks_free(device);
}

const vks_caps *vks_device_caps(const vks_device *device) {
    return &device->probe.caps;
}

const vkssm_log *vks_device_log(const vks_device *device) {
    return &device->log;
}

uint32_t vks_device_n_validation_message(const vks_device *device) {
    return atomic_load(&device->instance.n_validation_message);
}

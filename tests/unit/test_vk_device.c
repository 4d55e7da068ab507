// vk/: listing, choosing, creating, masking and adopting devices; validation; the pipeline cache.
#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L // mkdtemp, lstat
#endif
#include "vk_test.h"

#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- list and choice -----------------------------------------------------------------------------------------------

CHECK_CASE(list) {
    vks_caps *caps;
    uint32_t n;
    CHECK_EQ(vks_device_list(NULL, &caps, &n), VKSSM_OK);
    CHECK(n >= 1);
    bool any_usable = false;
    for (uint32_t i = 0; i < n; i++) {
        CHECK(caps[i].name[0] != 0);
        CHECK_EQ(caps[i].usable, caps[i].unusable_reason[0] == 0);
        any_usable |= caps[i].usable;
        if (!caps[i].usable) continue;
        CHECK(caps[i].api_version >= VK_API_VERSION_1_3);
        CHECK(caps[i].subgroup_size >= caps[i].subgroup_size_min);
        CHECK(caps[i].subgroup_size <= caps[i].subgroup_size_max);
        CHECK(caps[i].max_push_size >= 128);
        CHECK(caps[i].max_workgroup_invocations >= 256 && caps[i].max_shared_size >= 32768);
        CHECK(caps[i].memory_size > 0 && caps[i].max_allocation_size > 0);
        CHECK_EQ(caps[i].features_masked, 0);
        CHECK_EQ(caps[i].timestamp_period > 0, (caps[i].features & VKS_FEATURE_TIMESTAMPS) != 0);
    }
    CHECK(any_usable);
    vks_free(caps);
    CHECK_EQ(vks_alloc_n_live(), 0);
}

static vkssm_status select_device(const char *select) {
    memset(&heard, 0, sizeof heard);
    uint64_t live = vks_alloc_n_live();
    vks_device_params params = test_params();
    params.validation = false;
    params.select = select;
    vks_device *device;
    vkssm_status status = vks_device_create(&params, &device);
    CHECK_EQ(device != NULL, status == VKSSM_OK);
    vks_device_destroy(&device);
    CHECK_EQ(vks_alloc_n_live(), live);
    return status;
}

CHECK_CASE(select) {
    vks_caps *caps;
    uint32_t n, usable = 0;
    CHECK_EQ(vks_device_list(NULL, &caps, &n), VKSSM_OK);
    while (usable < n && !caps[usable].usable)
        usable++;
    if (usable < n) {
        char index[16], part[256];
        snprintf(index, sizeof index, "%u", usable);
        CHECK_EQ(select_device(index), VKSSM_OK);
        CHECK_CONTAINS(heard.last_info, caps[usable].name);
        snprintf(part, sizeof part, "%.6s", caps[usable].name + 1); // from within the name, in the other case
        for (char *c = part; *c; c++)
            if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z')) *c = (char)(*c ^ 0x20);
        CHECK_EQ(select_device(part), VKSSM_OK);
        CHECK_EQ(select_device(""), VKSSM_OK);
        CHECK_EQ(select_device(NULL), VKSSM_OK);
        const char *const wrong[] = {"no such device", "1000", "99999999999999999999", "-1", "0x0"};
        for (size_t i = 0; i < VKS_COUNT(wrong); i++) {
            CHECK_EQ(select_device(wrong[i]), VKSSM_ERR_UNSUPPORTED);
            CHECK_CONTAINS(vkssm_last_error(), wrong[i]);
            CHECK_CONTAINS(vkssm_last_error(), caps[usable].name); // what there is
            CHECK_EQ(heard.n_error, 1);
        }
    }
    vks_free(caps);
}

// ---- features ------------------------------------------------------------------------------------------------------

CHECK_CASE(mask) {
    vks_device_params params = test_params();
    vks_device *device = open_device_with(params);
    if (!device) return;
    uint32_t all = vks_device_caps(device)->features;
    CHECK_EQ(vks_device_caps(device)->features_masked, 0);
    close_device(&device);
    for (int bit = 0; bit <= 15; bit++) {
        params.mask_features = 1u << bit;
        device = open_device_with(params);
        if (!device) return;
        const vks_caps *caps = vks_device_caps(device);
        CHECK(!(caps->features & 1u << bit));
        CHECK_EQ(caps->features_masked, all & 1u << bit);
        uint32_t dependent = 1u << bit == VKS_FEATURE_BFLOAT16 ? VKS_FEATURE_BFLOAT16_MATRIX : 0;
        if (1u << bit == VKS_FEATURE_COOPERATIVE_MATRIX)
            dependent = VKS_FEATURE_COOPERATIVE_MATRIX_2 | VKS_FEATURE_BFLOAT16_MATRIX | VKS_FEATURE_INT8_MATRIX;
        if (1u << bit == VKS_FEATURE_SHADER_INT8) dependent = VKS_FEATURE_INT8_MATRIX;
        CHECK_EQ(caps->features, all & ~(1u << bit) & ~dependent);
        CHECK_EQ(caps->int8_matrix_depth != 0, (caps->features & VKS_FEATURE_INT8_MATRIX) != 0);
        close_device(&device);
    }
    params.mask_features = UINT32_MAX; // the floor is enough to compute
    device = open_device_with(params);
    if (!device) return;
    CHECK_EQ(vks_device_caps(device)->features, 0);
    CHECK_EQ(vks_device_caps(device)->features_masked, all);
    CHECK(vks_device_caps(device)->timestamp_period == 0);
    vks_pipeline *pipeline = words_pipeline(device, 1);
    char text[100];
    if (pipeline) CHECK_EQ(vks_pipeline_statistics(device, pipeline, text, sizeof text), VKSSM_ERR_UNSUPPORTED);
    vks_pipeline_destroy(device, &pipeline);
    close_device(&device);
}

CHECK_CASE(subgroup_size) {
    vks_device_params params = test_params();
    vks_device *device = open_device_with(params);
    if (!device) return;
    vks_caps caps = *vks_device_caps(device);
    close_device(&device);
    params.subgroup_size = caps.subgroup_size;
    device = open_device_with(params);
    if (device) CHECK_EQ(vks_device_caps(device)->subgroup_size, caps.subgroup_size);
    vks_pipeline *pipeline = device ? words_pipeline(device, 1) : NULL;
    if (device) vks_pipeline_destroy(device, &pipeline);
    close_device(&device);
    const uint32_t wrong[] = {3, caps.subgroup_size_max * 2, 1u << 31, UINT32_MAX};
    params.validation = false;
    for (size_t i = 0; i < VKS_COUNT(wrong); i++) {
        params.subgroup_size = wrong[i];
        CHECK_EQ(vks_device_create(&params, &device), VKSSM_ERR_UNSUPPORTED);
        CHECK_CONTAINS(vkssm_last_error(), "subgroup size");
        CHECK_EQ(vks_alloc_n_live(), 0);
    }
}

// ---- validation ----------------------------------------------------------------------------------------------------

CHECK_CASE(validation_hears_and_counts) {
    vks_device *device = open_device();
    if (!device) return;
    if (!device->instance.messenger) {
        close_device(&device);
        CHECK_SKIP("the validation layer is not installed");
    }
    printf("  (two messages of the validation layer are wanted here)\n");
    CHECK_EQ(vks_device_n_validation_message(device), 0);
    const VkSemaphoreCreateInfo wrong = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .flags = 0x80};
    VkSemaphore semaphore = VK_NULL_HANDLE;
    if (device->fn.CreateSemaphore(device->handle, &wrong, NULL, &semaphore) == VK_SUCCESS)
        device->fn.DestroySemaphore(device->handle, semaphore, NULL);
    uint32_t n = vks_device_n_validation_message(device);
    CHECK(n >= 1);

    vks_arena *arena; // synchronization validation: a fill after a fill, with nothing between them
    vks_buffer buffer;
    vks_recorder *recorder;
    CHECK_EQ(vks_arena_create(device, VKS_ROLE_STATE, 4096, "a", &arena), VKSSM_OK);
    CHECK_EQ(vks_arena_alloc(arena, 64, "b", &buffer), VKSSM_OK);
    CHECK_EQ(vks_recorder_create(device, "r", &recorder), VKSSM_OK);
    CHECK_EQ(vks_recorder_begin(recorder, false), VKSSM_OK);
    vks_record_fill(recorder, &buffer, 0, 64, 1);
    device->fn.CmdFillBuffer(recorder->commands, buffer.handle, buffer.offset, 64, 2);
    CHECK_EQ(vks_recorder_end(recorder), VKSSM_OK);
    CHECK(vks_device_n_validation_message(device) > n);
    CHECK_EQ(heard.n_validation, vks_device_n_validation_message(device));
    CHECK_CONTAINS(heard.last_error, "SYNC-HAZARD");
    vks_recorder_destroy(&recorder);
    vks_arena_destroy(&arena);
    vks_device_destroy(&device);
    CHECK_EQ(vks_alloc_n_live(), 0);
}

// ---- entry points of the host --------------------------------------------------------------------------------------

static PFN_vkVoidFunction VKAPI_CALL nothing(VkInstance instance, const char *name) {
    (void)instance, (void)name;
    return NULL;
}

static void *to_pointer(PFN_vkVoidFunction function) {
    void *pointer;
    memcpy(&pointer, &function, sizeof pointer);
    return pointer;
}

CHECK_CASE(own_entry_point) {
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) CHECK_SKIP("no libvulkan.so.1 to take the entry point from");
    vks_device_params params = test_params();
    params.get_instance_proc_addr = dlsym(library, "vkGetInstanceProcAddr");
    vks_device *device = open_device_with(params);
    if (device) CHECK(device->instance.loader.library == NULL);
    close_device(&device);
    params.get_instance_proc_addr = to_pointer((PFN_vkVoidFunction)nothing);
    CHECK_EQ(vks_device_create(&params, &device), VKSSM_ERR_UNSUPPORTED);
    CHECK(device == NULL);
    vks_caps *caps;
    uint32_t n;
    CHECK_EQ(vks_device_list(&params, &caps, &n), VKSSM_ERR_UNSUPPORTED);
    CHECK_CONTAINS(vkssm_last_error(), "Vulkan loader");
    dlclose(library);
    CHECK_EQ(vks_alloc_n_live(), 0);
}

// ---- adoption ------------------------------------------------------------------------------------------------------

// A host application: its own instance (with validation), device and queue. Its device is made with the features
// `enabled`.
typedef struct host {
    vkssm_log log;
    vks_instance instance;
    vks_probe probe;
    vks_feature_chain chain;
    const char *names[VKS_MAX_EXTENSION];
    vks_device_params params;
    vks_adopt adopt;
    int n_lock, n_unlock;
} host;

static void lock(void *user) {
    ((host *)user)->n_lock++;
}

static void unlock(void *user) {
    ((host *)user)->n_unlock++;
}

static bool make_host(host *h, uint32_t enabled) {
    memset(h, 0, sizeof *h);
    memset(&heard, 0, sizeof heard);
    h->log = (vkssm_log){.callback = hear};
    h->params = test_params();
    if (vks_instance_open(&h->params, NULL, &h->log, &h->instance) != VKSSM_OK) {
        h->params.validation = false;
        CHECK_EQ(vks_instance_open(&h->params, NULL, &h->log, &h->instance), VKSSM_OK);
    }
    VkPhysicalDevice *devices;
    uint32_t n;
    CHECK_EQ(vks_instance_devices(&h->instance, &devices, &n), VKSSM_OK);
    VkPhysicalDevice physical = VK_NULL_HANDLE;
    for (uint32_t i = 0; i < n && !physical; i++) {
        CHECK_EQ(vks_probe_device(&h->instance, devices[i], UINT32_MAX, 0, &h->probe), VKSSM_OK);
        if (h->probe.caps.usable) physical = devices[i];
    }
    vks_free(devices);
    CHECK(physical != VK_NULL_HANDLE);
    h->probe.caps.features &= enabled;
    uint32_t n_name = vks_features_to_enable(&h->probe, &h->chain, h->names);
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = h->probe.queue_family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = &h->chain.core,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = n_name,
                                     .ppEnabledExtensionNames = h->names};
    VkDevice device = VK_NULL_HANDLE;
    CHECK_EQ(h->instance.fn.CreateDevice(physical, &info, NULL, &device), VK_SUCCESS);
    if (!device) return false;
    VkQueue handle = VK_NULL_HANDLE;
    PFN_vkGetDeviceQueue get_queue = (PFN_vkGetDeviceQueue)h->instance.fn.GetDeviceProcAddr(device, "vkGetDeviceQueue");
    get_queue(device, h->probe.queue_family, 0, &handle);
    h->adopt = (vks_adopt){.instance = h->instance.handle,
                           .physical_device = physical,
                           .device = device,
                           .queue = handle,
                           .queue_family = h->probe.queue_family,
                           .api_version = VK_API_VERSION_1_3,
                           .enabled_features = &h->chain.core,
                           .extensions = h->names,
                           .n_extension = n_name,
                           .lock_queue = lock,
                           .unlock_queue = unlock,
                           .lock_user = h};
    h->params.adopt = &h->adopt;
    h->params.get_instance_proc_addr = to_pointer((PFN_vkVoidFunction)h->instance.loader.get_instance_proc_addr);
    return handle != VK_NULL_HANDLE;
}

static void end_host(host *h) {
    PFN_vkDestroyDevice destroy =
        (PFN_vkDestroyDevice)h->instance.fn.GetDeviceProcAddr(h->adopt.device, "vkDestroyDevice");
    destroy(h->adopt.device, NULL); // the validation layer tells what was not destroyed before it
    vks_instance_close(&h->instance);
    CHECK_EQ(heard.n_validation, 0);
    CHECK_EQ(vks_alloc_n_live(), 0);
}

static void compute_on(vks_device *device) {
    vks_pipeline *pipeline = words_pipeline(device, 2);
    vks_arena *arena;
    vks_buffer buffer;
    vks_recorder *recorder;
    CHECK_EQ(vks_arena_create(device, VKS_ROLE_READBACK, 4096, "a", &arena), VKSSM_OK);
    CHECK_EQ(vks_arena_alloc(arena, 400, "b", &buffer), VKSSM_OK);
    CHECK_EQ(vks_recorder_create(device, "r", &recorder), VKSSM_OK);
    vks_arena_fill_host(&buffer, 1);
    CHECK_EQ(vks_recorder_begin(recorder, false), VKSSM_OK);
    record_words(recorder, pipeline, &buffer, &buffer, 100, 3);
    CHECK_EQ(vks_recorder_end(recorder), VKSSM_OK);
    CHECK_EQ(submit_and_wait(device, recorder), VKSSM_OK);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(((uint32_t *)buffer.mapped)[i], 2 * 0x01010101 + 3);
    vks_recorder_destroy(&recorder);
    vks_arena_destroy(&arena);
    vks_pipeline_destroy(device, &pipeline);
}

CHECK_CASE(adopt) {
    // Properties of the device need no enabling.
    const uint32_t enabled[] = {UINT32_MAX, VKS_FEATURES_OF_PROPERTIES,
                                VKS_FEATURE_SHADER_F16 | VKS_FEATURES_OF_PROPERTIES};
    for (size_t i = 0; i < VKS_COUNT(enabled); i++) {
        host h;
        if (!make_host(&h, enabled[i])) return;
        vks_device *device;
        CHECK_EQ(vks_device_create(&h.params, &device), VKSSM_OK);
        if (device) {
            CHECK_EQ(vks_device_caps(device)->features, h.probe.caps.features); // and none besides
            compute_on(device);
            CHECK_EQ(h.n_lock, 1);
            CHECK_EQ(h.n_unlock, 1);
        }
        vks_device_destroy(&device);
        h.params.mask_features = VKS_FEATURE_SHADER_F16;
        CHECK_EQ(vks_device_create(&h.params, &device), VKSSM_OK);
        if (device) CHECK_EQ(vks_device_caps(device)->features, h.probe.caps.features & ~VKS_FEATURE_SHADER_F16);
        vks_device_destroy(&device);
        end_host(&h);
    }
}

CHECK_CASE(adopt_errors) {
    host h;
    if (!make_host(&h, UINT32_MAX)) return;
    vks_adopt good = h.adopt;
    vks_device_params params = h.params;
    vks_device *device;
    static const char *const names[] = {"instance", "physical_device", "device",
                                        "queue",    "lock_queue",      "enabled_features",
                                        "get_instance_proc_addr"};
    for (int i = 0; i < 7; i++) {
        h.adopt = good;
        if (i == 0) h.adopt.instance = NULL;
        if (i == 1) h.adopt.physical_device = NULL;
        if (i == 2) h.adopt.device = NULL;
        if (i == 3) h.adopt.queue = NULL;
        if (i == 4) h.adopt.unlock_queue = NULL;
        if (i == 5) h.adopt.enabled_features = NULL;
        if (i == 6) params.get_instance_proc_addr = NULL;
        CHECK_EQ(vks_device_create(&params, &device), VKSSM_ERR_ARG);
        CHECK_CONTAINS(vkssm_last_error(), names[i]);
        CHECK(device == NULL);
    }
    h.adopt = good;
    h.adopt.queue_family = 1000;
    CHECK_EQ(vks_device_create(&h.params, &device), VKSSM_ERR_UNSUPPORTED);
    CHECK_CONTAINS(vkssm_last_error(), "queue family 1000");
    h.adopt = good;
    h.adopt.api_version = VK_API_VERSION_1_2;
    CHECK_EQ(vks_device_create(&h.params, &device), VKSSM_ERR_UNSUPPORTED);
    CHECK_CONTAINS(vkssm_last_error(), "Vulkan 1.3");
    h.adopt = good;
    VkBool32 *const floor[] = {&h.chain.v12.bufferDeviceAddress,  &h.chain.v13.synchronization2,
                               &h.chain.v12.timelineSemaphore,    &h.chain.v13.maintenance4,
                               &h.chain.v13.subgroupSizeControl,  &h.chain.v13.computeFullSubgroups,
                               &h.chain.v12.vulkanMemoryModel,    &h.chain.v12.vulkanMemoryModelDeviceScope};
    static const char *const floor_names[] = {"bufferDeviceAddress",          "synchronization2",
                                              "timelineSemaphore",            "maintenance4",
                                              "subgroupSizeControl",          "computeFullSubgroups",
                                              "vulkanMemoryModel",            "vulkanMemoryModelDeviceScope"};
    for (size_t i = 0; i < VKS_COUNT(floor); i++) { // what the host did not enable, it is told by name
        *floor[i] = VK_FALSE;
        CHECK_EQ(vks_device_create(&h.params, &device), VKSSM_ERR_UNSUPPORTED);
        CHECK_CONTAINS(vkssm_last_error(), floor_names[i]);
        CHECK(device == NULL);
        *floor[i] = VK_TRUE;
    }
    end_host(&h);
}

// Features in structs of their own, as hosts for Vulkan 1.0 with extensions have them, count like those of the versions.
CHECK_CASE(features_in_single_structs) {
    VkPhysicalDeviceSynchronization2Features s2 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SYNCHRONIZATION_2_FEATURES, .synchronization2 = VK_TRUE};
    VkPhysicalDeviceMaintenance4Features m4 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_FEATURES, .pNext = &s2, .maintenance4 = VK_TRUE};
    VkPhysicalDeviceSubgroupSizeControlFeatures size = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .pNext = &m4,
        .subgroupSizeControl = VK_TRUE,
        .computeFullSubgroups = VK_TRUE};
    VkPhysicalDeviceVulkanMemoryModelFeatures model = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES,
        .pNext = &size,
        .vulkanMemoryModel = VK_TRUE,
        .vulkanMemoryModelDeviceScope = VK_TRUE};
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES,
        .pNext = &model,
        .timelineSemaphore = VK_TRUE};
    VkPhysicalDeviceShaderFloat16Int8Features f16 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES,
        .pNext = &timeline,
        .shaderFloat16 = VK_TRUE};
    VkPhysicalDevice8BitStorageFeatures s8 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES,
                                              .pNext = &f16,
                                              .storageBuffer8BitAccess = VK_TRUE};
    VkPhysicalDevice16BitStorageFeatures s16 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
                                                .pNext = &s8,
                                                .storageBuffer16BitAccess = VK_TRUE};
    VkPhysicalDeviceBufferDeviceAddressFeatures address = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES,
        .pNext = &s16,
        .bufferDeviceAddress = VK_TRUE};
    VkPhysicalDeviceFeatures2 head = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &address, .features = {.shaderInt64 = VK_TRUE}};
    vks_feature_chain chain;
    vks_collect_features(&head, &chain);
    CHECK(vks_floor_missing(&chain) == NULL);
    CHECK_EQ(vks_features_of_chain(&chain), VKS_FEATURE_SHADER_F16 | VKS_FEATURE_STORAGE_8 | VKS_FEATURE_STORAGE_16 |
                                                VKS_FEATURE_SHADER_INT64);
    address.bufferDeviceAddress = VK_FALSE;
    vks_collect_features(&head, &chain);
    CHECK_STR(vks_floor_missing(&chain), "bufferDeviceAddress");
}

// ---- failures ------------------------------------------------------------------------------------------------------

CHECK_CASE(out_of_host_memory) {
    vks_device_params params = test_params();
    params.validation = false;
    params.cache_path = "vk_test_never_written";
    vkssm_status status = VKSSM_ERR_OOM_HOST;
    uint64_t n = 0;
    for (; n < 100 && status == VKSSM_ERR_OOM_HOST; n++) {
        vks_device *device;
        vks_alloc_fail_after(n);
        status = vks_device_create(&params, &device);
        vks_alloc_fail_after(UINT64_MAX);
        CHECK_EQ(device != NULL, status == VKSSM_OK);
        if (device) vks_device_lose(device); // so that no cache file is left behind
        vks_device_destroy(&device);
        CHECK_EQ(vks_alloc_n_live(), 0);
    }
    CHECK_EQ(status, VKSSM_OK);
    CHECK(n > 4);
    status = VKSSM_ERR_OOM_HOST;
    for (n = 0; n < 100 && status == VKSSM_ERR_OOM_HOST; n++) {
        vks_caps *caps;
        uint32_t n_caps;
        vks_alloc_fail_after(n);
        status = vks_device_list(NULL, &caps, &n_caps);
        vks_alloc_fail_after(UINT64_MAX);
        vks_free(caps);
        CHECK_EQ(vks_alloc_n_live(), 0);
    }
    CHECK_EQ(status, VKSSM_OK);
    CHECK(n > 2);
}

// ---- pipeline cache ------------------------------------------------------------------------------------------------

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    *size = 0;
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*size + 1);
    CHECK_EQ(fread(data, 1, *size, file), *size);
    fclose(file);
    return data;
}

static void write_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    if (!file) return;
    CHECK_EQ(fwrite(data, 1, size, file), size);
    fclose(file);
}

// A file that is replaced gets another inode: its old one is still held open.
static ino_t inode_of(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0 ? info.st_ino : 0;
}

// Read the cache file again; true if it was accepted.
static bool reload(vks_device *device) {
    device->fn.DestroyPipelineCache(device->handle, device->pipeline_cache, NULL);
    device->pipeline_cache = VK_NULL_HANDLE;
    device->cache_size = device->cache_checksum = 0;
    heard.last_cache[0] = 0;
    vks_cache_start(device);
    CHECK(device->pipeline_cache != VK_NULL_HANDLE); // whatever the file is
    return device->cache_checksum != 0;
}

static bool open_with_cache(vks_device_params *params, vks_device **device) {
    *device = open_device_with(*params);
    if (!*device) return false;
    vks_pipeline *pipeline = words_pipeline(*device, 1);
    vks_pipeline_destroy(*device, &pipeline);
    return true;
}

CHECK_CASE(pipeline_cache) {
    char folder[] = "/tmp/vkssm_test_XXXXXX", path[64], other[64];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/cache", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    vks_device_params params = test_params();
    params.cache_path = path;
    vks_device *device;
    if (!open_with_cache(&params, &device)) return;
    CHECK_EQ(device->cache_checksum, 0);
    close_device(&device);
    size_t size, new_size;
    uint8_t *file = read_file(path, &size), *changed = malloc(size + 100);
    CHECK(size > 56);
    CHECK(memcmp(file, "VKSSMPLC", 8) == 0);

    if (!open_with_cache(&params, &device)) return; // accepted, and not written again
    CHECK(device->cache_checksum != 0);
    CHECK_EQ(device->cache_size, size - 56);
    FILE *held = fopen(path, "rb");
    ino_t inode = inode_of(path);
    size_t blob_size = 0; // a driver may add to its blob even so
    device->fn.GetPipelineCacheData(device->handle, device->pipeline_cache, &blob_size, NULL);
    close_device(&device);
    CHECK_EQ(inode_of(path) == inode, blob_size == size - 56);
    uint8_t *again = read_file(path, &new_size);
    CHECK_EQ(new_size, blob_size + 56);
    free(again);
    write_file(path, file, size);
    inode = inode_of(path);

    if (!open_with_cache(&params, &device)) return;
    for (size_t n = 0; n < size; n += n < 100 ? 1 : 1 + size / 100) { // truncated
        write_file(path, file, n);
        CHECK(!reload(device));
        CHECK_CONTAINS(heard.last_cache, "pipeline cache ignored");
    }
    for (size_t i = 0; i < size; i += i < 100 ? 1 : 1 + size / 100) { // damaged
        memcpy(changed, file, size);
        changed[i] ^= 0x40;
        write_file(path, changed, size);
        CHECK(!reload(device));
        CHECK_CONTAINS(heard.last_cache, i < 8    ? "it is no pipeline cache"
                                         : i < 12 ? "another version"
                                         : i < 40 ? "another device or driver"
                                         : i < 48 ? "not as long as its header says"
                                                  : "checksum");
    }
    memcpy(changed, file, size); // longer
    memset(changed + size, 7, 100);
    write_file(path, changed, size + 100);
    CHECK(!reload(device));
    write_file(path, file, size); // and whole again
    CHECK(reload(device));
    CHECK_STR(heard.last_cache, "");
    write_file(path, "foreign", 7);
    CHECK(!reload(device));
    inode = inode_of(path);
    close_device(&device); // replaces what it ignored, by a cache that may be empty
    CHECK(inode_of(path) != inode);
    heard.last_cache[0] = 0;
    if (!open_with_cache(&params, &device)) return;
    CHECK_STR(heard.last_cache, "");
    CHECK(device->cache_checksum != 0);
    close_device(&device);
    if (held) fclose(held);

    params.cache_path = folder; // a folder cannot be read nor replaced: a device all the same
    if (!open_with_cache(&params, &device)) return;
    heard.last_error[0] = 0;
    CHECK_CONTAINS(heard.last_cache, "cannot be read");
    close_device(&device);
    CHECK_STR(heard.last_error, "");
    params.cache_path = other; // nothing is written by a lost device
    if (!open_with_cache(&params, &device)) return;
    vks_device_lose(device);
    close_device(&device);
    CHECK_EQ(inode_of(other), 0);
    free(file);
    free(changed);
    unlink(path);
    CHECK_EQ(rmdir(folder), 0); // no temporary file is left
}

// ---- memory budget -------------------------------------------------------------------------------------------------

CHECK_CASE(queries) {
    vks_device *device = open_device();
    if (!device) return;
    CHECK(vks_device_log(device)->callback == hear);
    CHECK(vks_device_memory_budget(device) <= vks_device_caps(device)->memory_size);
    CHECK(!vks_device_is_lost(device));
    CHECK_EQ(vks_device_n_validation_message(device), 0);
    close_device(&device);
    vks_device_destroy(&device); // null is fine
}

int main(int argc, char **argv) {
    return vk_test_main(argc, argv,
                        (check_case[]){CHECK_RUN(list),
                                       CHECK_RUN(select),
                                       CHECK_RUN(mask),
                                       CHECK_RUN(subgroup_size),
                                       CHECK_RUN(validation_hears_and_counts),
                                       CHECK_RUN(own_entry_point),
                                       CHECK_RUN(adopt),
                                       CHECK_RUN(adopt_errors),
                                       CHECK_RUN(features_in_single_structs),
                                       CHECK_RUN(out_of_host_memory),
                                       CHECK_RUN(pipeline_cache),
                                       CHECK_RUN(queries),
                                       {0}});
}

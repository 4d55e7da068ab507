// Entry points: the system's Vulkan loader, or the caller's vkGetInstanceProcAddr, and the tables filled from it.
#include "vk_internal.h"

#include <string.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#elif defined(__APPLE__)
#include <dlfcn.h>
static const char *const library_names[] = {"libvulkan.1.dylib", "libvulkan.dylib", "libMoltenVK.dylib"};
#else
#include <dlfcn.h>
static const char *const library_names[] = {"libvulkan.so.1", "libvulkan.so"};
#endif

// C has no cast between object and function pointers.
static PFN_vkGetInstanceProcAddr to_function(void *address) {
    PFN_vkGetInstanceProcAddr function;
    _Static_assert(sizeof function == sizeof address, "pointers to functions and objects differ");
    memcpy(&function, &address, sizeof function);
    return function;
}

#if defined(_WIN32)
static void open_library(vks_loader *loader) {
    HMODULE library = LoadLibraryA("vulkan-1.dll");
    if (!library) return;
    FARPROC address = GetProcAddress(library, "vkGetInstanceProcAddr");
    memcpy(&loader->get_instance_proc_addr, &address, sizeof address);
    loader->library = library;
}

static void close_library(void *library) {
    FreeLibrary((HMODULE)library);
}
#else
static void open_library(vks_loader *loader) {
    for (size_t i = 0; i < VKS_COUNT(library_names) && !loader->library; i++)
        loader->library = dlopen(library_names[i], RTLD_NOW | RTLD_LOCAL);
    if (loader->library) loader->get_instance_proc_addr = to_function(dlsym(loader->library, "vkGetInstanceProcAddr"));
}

static void close_library(void *library) {
    dlclose(library);
}
#endif

vkssm_status vks_loader_open(void *get_instance_proc_addr, const vkssm_log *log, vks_loader *out) {
    memset(out, 0, sizeof *out);
    if (get_instance_proc_addr)
        out->get_instance_proc_addr = to_function(get_instance_proc_addr);
    else
        open_library(out);
    if (!out->get_instance_proc_addr) {
        bool found = out->library != NULL;
        vks_loader_close(out);
        return vks_fail(log, VKSSM_ERR_UNSUPPORTED, "Vulkan loader: %s",
                        found ? "it has no vkGetInstanceProcAddr" : "none is installed on this system");
    }
    const char *missing = NULL;
#define LOAD(name)                                                                                                     \
    out->name = (PFN_vk##name)out->get_instance_proc_addr(NULL, "vk" #name);                                           \
    if (!out->name && !missing) missing = "vk" #name;
    VKS_GLOBAL_FUNCTIONS(LOAD)
#undef LOAD
    if (!missing) return VKSSM_OK;
    vks_loader_close(out);
    return vks_fail(log, VKSSM_ERR_UNSUPPORTED, "Vulkan loader: it has no %s; Vulkan 1.3 is needed", missing);
}

void vks_loader_close(vks_loader *loader) {
    if (loader->library) close_library(loader->library);
    memset(loader, 0, sizeof *loader);
}

vkssm_status vks_load_instance_functions(const vks_loader *loader, VkInstance instance, const vkssm_log *log,
                                         vks_instance_functions *out) {
    const char *missing = NULL;
#define LOAD_OPTIONAL(name) out->name = (PFN_vk##name)loader->get_instance_proc_addr(instance, "vk" #name);
#define LOAD(name)                                                                                                     \
    LOAD_OPTIONAL(name)                                                                                                \
    if (!out->name && !missing) missing = "vk" #name;
    VKS_INSTANCE_FUNCTIONS(LOAD)
    VKS_DEBUG_FUNCTIONS(LOAD_OPTIONAL)
#undef LOAD
#undef LOAD_OPTIONAL
    if (!missing) return VKSSM_OK;
    return vks_fail(log, VKSSM_ERR_UNSUPPORTED, "Vulkan instance: it has no %s; Vulkan 1.3 is needed", missing);
}

vkssm_status vks_load_device_functions(const vks_instance_functions *instance, VkDevice device, const vkssm_log *log,
                                       vks_device_functions *out) {
    const char *missing = NULL;
#define LOAD_OPTIONAL(name) out->name = (PFN_vk##name)instance->GetDeviceProcAddr(device, "vk" #name);
#define LOAD(name)                                                                                                     \
    LOAD_OPTIONAL(name)                                                                                                \
    if (!out->name && !missing) missing = "vk" #name;
    VKS_DEVICE_FUNCTIONS(LOAD)
    VKS_DEVICE_OPTIONAL_FUNCTIONS(LOAD_OPTIONAL)
#undef LOAD
#undef LOAD_OPTIONAL
    if (!missing) return VKSSM_OK;
    return vks_fail(log, VKSSM_ERR_UNSUPPORTED, "Vulkan device: it has no %s; Vulkan 1.3 is needed", missing);
}

// The Vulkan instance: created, with the validation layer if wanted, or the host application's.
#include "vk_internal.h"

#include <string.h>

static const char validation_layer[] = "VK_LAYER_KHRONOS_validation";

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user) {
    (void)severity, (void)types; // the messenger asks for nothing but what counts
    vks_instance *instance = user;
    atomic_fetch_add(&instance->n_validation_message, 1);
    vks_log(instance->log, VKSSM_LOG_ERROR, "validation: %s", data->pMessage ? data->pMessage : "(no text)");
    return VK_FALSE;
}

static bool has_extension(const VkExtensionProperties *extensions, uint32_t n_extension, const char *name) {
    for (uint32_t i = 0; i < n_extension; i++)
        if (strcmp(extensions[i].extensionName, name) == 0) return true;
    return false;
}

// Extensions of the instance (layer NULL) or of a layer; an empty list if they cannot be asked for.
static vkssm_status list_extensions(const vks_instance *instance, const char *layer, VkExtensionProperties **out,
                                    uint32_t *n_out) {
    uint32_t n = 0;
    *n_out = 0;
    if (instance->loader.EnumerateInstanceExtensionProperties(layer, &n, NULL) != VK_SUCCESS) n = 0;
    *out = vks_alloc_zero(n, sizeof **out);
    if (!*out)
        return vks_fail(instance->log, VKSSM_ERR_OOM_HOST, "Vulkan instance: out of memory for %u extensions", n);
    // VK_INCOMPLETE (the list grew meanwhile) still gives n of them.
    if (n && instance->loader.EnumerateInstanceExtensionProperties(layer, &n, *out) < 0) n = 0;
    *n_out = n;
    return VKSSM_OK;
}

static vkssm_status find_validation(const vks_instance *instance) {
    uint32_t n = 0;
    bool found = false;
    if (instance->loader.EnumerateInstanceLayerProperties(&n, NULL) != VK_SUCCESS) n = 0;
    VkLayerProperties *layers = vks_alloc_zero(n, sizeof *layers);
    if (!layers) return vks_fail(instance->log, VKSSM_ERR_OOM_HOST, "Vulkan instance: out of memory for %u layers", n);
    if (n && instance->loader.EnumerateInstanceLayerProperties(&n, layers) < 0) n = 0;
    for (uint32_t i = 0; i < n; i++)
        found |= strcmp(layers[i].layerName, validation_layer) == 0;
    vks_free(layers);
    if (found) return VKSSM_OK;
    return vks_fail(instance->log, VKSSM_ERR_UNSUPPORTED, "validation is wanted, but layer %s is not installed",
                    validation_layer);
}

static vkssm_status check_version(const vks_instance *instance) {
    uint32_t version = VK_API_VERSION_1_0;
    instance->loader.EnumerateInstanceVersion(&version);
    if (version >= VK_API_VERSION_1_3) return VKSSM_OK;
    return vks_fail(instance->log, VKSSM_ERR_UNSUPPORTED, "Vulkan loader: version 1.3 is needed, it is %u.%u",
                    VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));
}

// What decides how the instance is created.
typedef struct instance_options {
    bool debug_utils, validation, portability;
} instance_options;

static vkssm_status create_handle(vks_instance *instance, const instance_options *options) {
    VkDebugUtilsMessengerCreateInfoEXT messenger_info = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = instance,
    };
    const VkValidationFeatureEnableEXT enables[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    VkValidationFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .pNext = &messenger_info, // hears what happens in vkCreateInstance and vkDestroyInstance
        .enabledValidationFeatureCount = VKS_COUNT(enables),
        .pEnabledValidationFeatures = enables,
    };
    const VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pEngineName = "vkssm",
        .engineVersion = VKSSM_API_VERSION,
        .apiVersion = VK_API_VERSION_1_3,
    };
    const char *extensions[3], *layers[] = {validation_layer};
    uint32_t n_extension = 0;
    if (options->debug_utils) extensions[n_extension++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    if (options->validation) extensions[n_extension++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
    if (options->portability) extensions[n_extension++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = options->validation ? &features : NULL,
        .flags = options->portability ? VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR : 0,
        .pApplicationInfo = &application,
        .enabledLayerCount = options->validation,
        .ppEnabledLayerNames = layers,
        .enabledExtensionCount = n_extension,
        .ppEnabledExtensionNames = extensions,
    };
    VkResult result = instance->loader.CreateInstance(&info, NULL, &instance->handle);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER) return VKSSM_OK; // no driver: no device, which is no failure of a list
    if (result != VK_SUCCESS)
        return vks_fail(instance->log,
                        result == VK_ERROR_OUT_OF_HOST_MEMORY ? VKSSM_ERR_OOM_HOST : VKSSM_ERR_UNSUPPORTED,
                        "Vulkan instance: vkCreateInstance failed: %s", vks_result_name(result));
    VKS_TRY(vks_load_instance_functions(&instance->loader, instance->handle, instance->log, &instance->fn));
    if (!options->validation) return VKSSM_OK;
    result = VK_ERROR_EXTENSION_NOT_PRESENT;
    if (instance->fn.CreateDebugUtilsMessengerEXT)
        result =
            instance->fn.CreateDebugUtilsMessengerEXT(instance->handle, &messenger_info, NULL, &instance->messenger);
    if (result == VK_SUCCESS) return VKSSM_OK;
    return vks_fail(instance->log, VKSSM_ERR_UNSUPPORTED, "validation: vkCreateDebugUtilsMessengerEXT failed: %s",
                    vks_result_name(result));
}

static vkssm_status create_instance(vks_instance *instance, bool validation) {
    VKS_TRY(check_version(instance));
    if (validation) VKS_TRY(find_validation(instance));
    VkExtensionProperties *extensions;
    uint32_t n_extension;
    VKS_TRY(list_extensions(instance, NULL, &extensions, &n_extension));
    instance_options options = {
        .debug_utils = has_extension(extensions, n_extension, VK_EXT_DEBUG_UTILS_EXTENSION_NAME),
        .validation = validation,
        .portability = has_extension(extensions, n_extension, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME),
    };
    vks_free(extensions);
    if (validation) { // the layer must bring both extensions that it is driven by
        VKS_TRY(list_extensions(instance, validation_layer, &extensions, &n_extension));
        bool found = has_extension(extensions, n_extension, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME);
        options.debug_utils |= has_extension(extensions, n_extension, VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
        vks_free(extensions);
        if (!found || !options.debug_utils)
            return vks_fail(instance->log, VKSSM_ERR_UNSUPPORTED,
                            "validation: layer %s lacks VK_EXT_validation_features or VK_EXT_debug_utils",
                            validation_layer);
    }
    return create_handle(instance, &options);
}

vkssm_status vks_instance_open(const vks_device_params *params, void *adopted, const vkssm_log *log,
                               vks_instance *out) {
    memset(out, 0, sizeof *out);
    out->log = log;
    out->adopted = adopted != NULL;
    VKS_TRY(vks_loader_open(params->get_instance_proc_addr, log, &out->loader));
    vkssm_status status;
    if (adopted) {
        out->handle = adopted;
        status = vks_load_instance_functions(&out->loader, out->handle, log, &out->fn);
    } else {
        status = create_instance(out, params->validation);
    }
    if (status != VKSSM_OK) vks_instance_close(out);
    return status;
}

void vks_instance_close(vks_instance *instance) {
    if (instance->messenger) instance->fn.DestroyDebugUtilsMessengerEXT(instance->handle, instance->messenger, NULL);
    if (instance->handle && !instance->adopted && instance->fn.DestroyInstance)
        instance->fn.DestroyInstance(instance->handle, NULL);
    vks_loader_close(&instance->loader);
    instance->handle = VK_NULL_HANDLE;
    instance->messenger = VK_NULL_HANDLE;
}

vkssm_status vks_instance_devices(const vks_instance *instance, VkPhysicalDevice **devices, uint32_t *n_device) {
    uint32_t n = 0;
    VkResult result = VK_SUCCESS;
    *devices = NULL;
    *n_device = 0;
    if (instance->handle) result = instance->fn.EnumeratePhysicalDevices(instance->handle, &n, NULL);
    VkPhysicalDevice *found = result < 0 ? NULL : vks_alloc_zero(n, sizeof *found);
    if (found && n) result = instance->fn.EnumeratePhysicalDevices(instance->handle, &n, found);
    if (result < 0) {
        vks_free(found);
        return vks_fail(instance->log, VKSSM_ERR_UNSUPPORTED, "Vulkan: vkEnumeratePhysicalDevices failed: %s",
                        vks_result_name(result));
    }
    if (!found) return vks_fail(instance->log, VKSSM_ERR_OOM_HOST, "Vulkan: out of memory for %u devices", n);
    *devices = found;
    *n_device = n;
    return VKSSM_OK;
}

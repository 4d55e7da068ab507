// A user's GLSL to SPIR-V, by libshaderc.
#include "core_scan_custom.h"

#include <stdio.h>
#include <string.h>

#include "host/base/alloc.h"
#include "vks_shaders.h"

#if defined(VKSSM_HAVE_SHADERC)
#include <shaderc/shaderc.h>

// Line numbers count from the user's first line, and again from the library's own, under another name.
static const char before[] = "#version 460\n"
                             "#extension GL_GOOGLE_cpp_style_line_directive : require\n"
                             "#extension GL_EXT_buffer_reference : require\n"
                             "#extension GL_EXT_buffer_reference_uvec2 : require\n"
                             "#line 1 \"operator\"\n";
static const char between[] = "\n#line 1 \"vkssm\"\n";

static char *join_source(const char *source) {
    size_t size = sizeof before + strlen(source) + sizeof between + strlen(vks_scan_custom_text);
    char *text = vks_alloc(size);
    if (text) snprintf(text, size, "%s%s%s%s", before, source, between, vks_scan_custom_text);
    return text;
}

// The compiler's lines as one.
static vkssm_status report(const vkssm_scan_custom *scan, const char *message) {
    char text[900];
    size_t n = 0;
    for (const char *c = message; *c && n + 3 < sizeof text; c++) {
        if (*c != '\n')
            text[n++] = *c;
        else if (c[1]) {
            text[n++] = ';';
            text[n++] = ' ';
        }
    }
    text[n] = 0;
    return vks_fail(vks_device_log(scan->device->vk), VKSSM_ERR_ARG, "%s: %s", scan->name, text);
}

static vkssm_status take_code(vkssm_scan_custom *scan, shaderc_compilation_result_t result) {
    if (!result || shaderc_result_get_compilation_status(result) != shaderc_compilation_status_success)
        return report(scan, result ? shaderc_result_get_error_message(result) : "the compiler gives no result");
    scan->code_size = shaderc_result_get_length(result);
    scan->code = vks_alloc(scan->code_size);
    if (!scan->code)
        return vks_fail(vks_device_log(scan->device->vk), VKSSM_ERR_OOM_HOST, "%s: out of memory", scan->name);
    memcpy(scan->code, shaderc_result_get_bytes(result), scan->code_size);
    return VKSSM_OK;
}

vkssm_status vks_scan_custom_compile(vkssm_scan_custom *scan, const char *source) {
    char *text = join_source(source);
    shaderc_compiler_t compiler = text ? shaderc_compiler_initialize() : NULL;
    shaderc_compile_options_t options = compiler ? shaderc_compile_options_initialize() : NULL;
    vkssm_status status = VKSSM_ERR_OOM_HOST;
    if (!options) {
        vks_fail(vks_device_log(scan->device->vk), status, "%s: out of memory for the compiler", scan->name);
        goto done;
    }
    shaderc_compile_options_set_target_env(options, shaderc_target_env_vulkan, shaderc_env_version_vulkan_1_3);
    shaderc_compile_options_set_optimization_level(options, shaderc_optimization_level_performance);
    shaderc_compilation_result_t result = shaderc_compile_into_spv(
        compiler, text, strlen(text), shaderc_glsl_compute_shader, "operator", "main", options);
    status = take_code(scan, result);
    if (result) shaderc_result_release(result);
done:
    if (options) shaderc_compile_options_release(options);
    if (compiler) shaderc_compiler_release(compiler);
    vks_free(text);
    return status;
}

#else

vkssm_status vks_scan_custom_compile(vkssm_scan_custom *scan, const char *source) {
    (void)source;
    return vks_fail(vks_device_log(scan->device->vk), VKSSM_ERR_UNSUPPORTED,
                    "%s: operators of one's own need libshaderc, and this library was built without it", scan->name);
}

#endif

# shaders/variants.txt -> SPIR-V as numbers in the build tree -> vks_shaders.h and vks_shaders.c: one table of all
# variants, linked into the library through the object library vkssm_shaders. No program runs in between.

set(vkssm_shader_dir "${CMAKE_BINARY_DIR}/shaders")
set(shader_source_dir "${CMAKE_CURRENT_LIST_DIR}")
file(MAKE_DIRECTORY "${vkssm_shader_dir}/variant")

find_program(GLSLC glslc HINTS "${toolchain}" DOC "GLSL compiler of shaderc")
if(NOT GLSLC)
    message(FATAL_ERROR "glslc, the GLSL compiler of shaderc, was not found: install the package glslc (Debian, Ubuntu) or "
                        "shaderc, or name it with -DGLSLC=PATH")
endif()
execute_process(COMMAND "${GLSLC}" --version OUTPUT_VARIABLE glslc_version RESULT_VARIABLE glslc_status ERROR_QUIET)
if(NOT glslc_status EQUAL 0)
    message(FATAL_ERROR "${GLSLC} --version fails (${glslc_status}): it is no working glslc")
endif()
string(REGEX REPLACE "\n.*" "" glslc_version "${glslc_version}")

# Answers about extensions are remembered for one compiler; another one is asked anew.
if(NOT "${GLSLC} ${glslc_version}" STREQUAL "${VKSSM_GLSLC_ASKED}")
    message(STATUS "Shader compiler: ${GLSLC} (${glslc_version})")
    get_cmake_property(cached CACHE_VARIABLES)
    foreach(variable IN LISTS cached)
        if(variable MATCHES "^VKSSM_GLSLC_HAS_")
            unset(${variable} CACHE)
        endif()
    endforeach()
    set(VKSSM_GLSLC_ASKED "${GLSLC} ${glslc_version}" CACHE INTERNAL "The compiler that VKSSM_GLSLC_HAS_* are about")
endif()

set(glslc_flags -O --target-env=vulkan1.3 -Werror -I "${shader_source_dir}/include" -I "${shader_source_dir}" -mfmt=num)

function(vkssm_glslc_has extension)
    if(DEFINED VKSSM_GLSLC_HAS_${extension})
        return()
    endif()
    set(probe "${vkssm_shader_dir}/probe.comp")
    file(WRITE "${probe}" "#version 460\n#extension ${extension} : require\nvoid main() {}\n")
    execute_process(COMMAND "${GLSLC}" --target-env=vulkan1.3 -o "${probe}.spv" "${probe}" RESULT_VARIABLE status
                    OUTPUT_QUIET ERROR_QUIET)
    set(has OFF)
    if(status EQUAL 0)
        set(has ON)
    endif()
    set(VKSSM_GLSLC_HAS_${extension} ${has} CACHE INTERNAL "Does the shader compiler know ${extension}?")
endfunction()

# vkssm_compile_shader(SOURCE OUTPUT [glslc flag]...): one shader to a list of numbers, again whenever a file that it
# includes changes.
function(vkssm_compile_shader source output)
    file(RELATIVE_PATH label "${PROJECT_SOURCE_DIR}" "${source}")
    get_filename_component(name "${output}" NAME)
    add_custom_command(
        OUTPUT "${output}"
        COMMAND "${GLSLC}" ${glslc_flags} ${ARGN} -MD -MF "${output}.d" -o "${output}" "${source}"
        DEPENDS "${source}" "${GLSLC}"
        DEPFILE "${output}.d"
        COMMENT "Compiling ${label} to ${name}"
        VERBATIM)
endfunction()

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${shader_source_dir}/variants.txt")
file(STRINGS "${shader_source_dir}/variants.txt" lines)
set(shader_outputs "")
set(shader_names "")
set(shader_enum "")
set(shader_code "")
set(shader_table "")
foreach(line IN LISTS lines)
    string(REGEX REPLACE "#.*" "" line "${line}")
    string(REGEX MATCHALL "[^ \t\r]+" words "${line}")
    list(LENGTH words n_words)
    if(n_words EQUAL 0)
        continue()
    elseif(n_words EQUAL 1)
        message(FATAL_ERROR "variants.txt: \"${line}\" names no source")
    endif()
    list(POP_FRONT words name source)
    if(NOT name MATCHES "^[a-z][a-z0-9_]*$")
        message(FATAL_ERROR "variants.txt: \"${name}\" is no name of lower-case letters, digits and underscores")
    elseif(name IN_LIST shader_names)
        message(FATAL_ERROR "variants.txt: ${name} is listed twice")
    elseif(NOT EXISTS "${shader_source_dir}/op/${source}.comp")
        message(FATAL_ERROR "variants.txt: ${name}: shaders/op/${source}.comp does not exist")
    endif()
    list(APPEND shader_names ${name})

    set(features "")
    set(defines "")
    set(missing "")
    foreach(word IN LISTS words)
        if(word MATCHES "^feature:([A-Z0-9_]+)$")
            list(APPEND features VKSSM_FEATURE_${CMAKE_MATCH_1})
        elseif(word MATCHES "^needs:(GL_[A-Za-z0-9_]+)$")
            set(extension ${CMAKE_MATCH_1})
            vkssm_glslc_has(${extension})
            if(NOT VKSSM_GLSLC_HAS_${extension} AND NOT missing)
                set(missing ${extension})
            endif()
        elseif(word MATCHES "^[A-Z_][A-Za-z0-9_]*(=[A-Za-z0-9_.+-]+)?$")
            list(APPEND defines "-D${word}")
        else()
            message(FATAL_ERROR "variants.txt: ${name}: \"${word}\" is no feature:NAME, needs:GL_EXTENSION or "
                                "DEFINE[=VALUE]")
        endif()
    endforeach()
    list(JOIN features " | " features)
    if(NOT features)
        set(features 0)
    endif()

    string(APPEND shader_enum "    VKS_SHADER_${name},\n")
    if(missing)
        list(APPEND left_out_${missing} ${name})
        list(APPEND shader_missing ${missing})
        string(APPEND shader_table "    {\"${name}\", NULL, 0, ${features},\n"
               "     \"built without ${missing}: the shader compiler does not know it\"},\n")
    else()
        set(output "${vkssm_shader_dir}/variant/${name}.inc")
        vkssm_compile_shader("${shader_source_dir}/op/${source}.comp" "${output}" ${defines})
        list(APPEND shader_outputs "${output}")
        string(APPEND shader_code "static const uint32_t code_${name}[] = {\n#include \"variant/${name}.inc\"\n};\n")
        string(APPEND shader_table "    {\"${name}\", code_${name}, sizeof code_${name}, ${features}, NULL},\n")
    endif()
endforeach()

if(shader_missing)
    list(REMOVE_DUPLICATES shader_missing)
    foreach(extension IN LISTS shader_missing)
        list(JOIN left_out_${extension} " " names)
        message(STATUS "Left out, as ${GLSLC} does not know ${extension}: ${names}")
    endforeach()
endif()

# The text that user-defined scans are compiled with at run time, as numbers: with its params header, and as one file.
set(custom_text "")
foreach(part params/types.h params/scan_custom.h include/scan_custom.glsl)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${shader_source_dir}/${part}")
    file(READ "${shader_source_dir}/${part}" part_text)
    string(REGEX REPLACE "#include[^\n]*\n" "\n" part_text "${part_text}")
    string(APPEND custom_text "${part_text}")
endforeach()
string(HEX "${custom_text}" custom_text)
string(REGEX REPLACE "(..)" "0x\\1," custom_text "${custom_text}")

# file(CONFIGURE) leaves an unchanged file alone, so that configuring again compiles nothing.
set(vkssm_generated "Generated from shaders/variants.txt by shaders/shaders.cmake.")
file(CONFIGURE OUTPUT "${vkssm_shader_dir}/vks_shaders.h" @ONLY CONTENT [[
// All shader variants of the library. @vkssm_generated@
#ifndef VKS_SHADERS_H
#define VKS_SHADERS_H

#include <stddef.h>
#include <stdint.h>

typedef struct vks_shader {
    const char *name;
    const uint32_t *code; // SPIR-V; NULL if left out of this build
    size_t code_size;     // bytes
    uint32_t features;    // bits of vkssm_feature that a device needs
    const char *missing;  // why it was left out; NULL if it was not
} vks_shader;

enum {
@shader_enum@    VKS_SHADER_COUNT
};

extern const vks_shader vks_shaders[]; // VKS_SHADER_COUNT of them, then one whose name is NULL

extern const char vks_scan_custom_text[]; // GLSL behind a user's operator (shaders/include/scan_custom.glsl)

#endif
]])
file(CONFIGURE OUTPUT "${vkssm_shader_dir}/vks_shaders.c" @ONLY CONTENT [[
// @vkssm_generated@
#include "vks_shaders.h"

#include <vkssm/device.h>

@shader_code@
const vks_shader vks_shaders[] = {
@shader_table@    {NULL, NULL, 0, 0, NULL},
};

const char vks_scan_custom_text[] = {@custom_text@0};
]])

add_library(vkssm_shaders OBJECT "${vkssm_shader_dir}/vks_shaders.c" ${shader_outputs})
set_source_files_properties("${vkssm_shader_dir}/vks_shaders.c" PROPERTIES OBJECT_DEPENDS "${shader_outputs}")
target_include_directories(vkssm_shaders PRIVATE "${vkssm_shader_dir}" "${PROJECT_SOURCE_DIR}/host/include")
target_compile_definitions(vkssm_shaders PRIVATE VKSSM_STATIC)

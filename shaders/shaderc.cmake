# The shader compiler as a library, for user-defined scans. Optional: VKSSM_SHADERC is what to link, or empty.
#
# The shared library of Debian 12 lacks functions of glslang, so each way is tried by linking a program.

include(CheckCSourceCompiles)
option(VKSSM_CUSTOM_SCANS "Compile operators of user-defined scans at run time, by libshaderc" ON)
set(VKSSM_SHADERC "")

function(vkssm_try_shaderc result)
    set(CMAKE_REQUIRED_LIBRARIES ${ARGN})
    set(CMAKE_REQUIRED_QUIET ON)
    check_c_source_compiles("#include <shaderc/shaderc.h>
int main(void) {
    shaderc_compiler_t compiler = shaderc_compiler_initialize();
    return shaderc_compile_into_spv(compiler, \"\", 0, shaderc_glsl_compute_shader, \"\", \"main\", 0) != 0;
}" ${result})
endfunction()

if(VKSSM_CUSTOM_SCANS)
    set(shaderc_static shaderc_combined glslang MachineIndependent GenericCodeGen OSDependent OGLCompiler HLSL SPIRV glslang
                       MachineIndependent SPIRV-Tools-opt SPIRV-Tools stdc++ m)
    vkssm_try_shaderc(VKSSM_HAS_SHADERC_SHARED shaderc)
    if(VKSSM_HAS_SHADERC_SHARED)
        set(VKSSM_SHADERC shaderc)
    else()
        vkssm_try_shaderc(VKSSM_HAS_SHADERC_STATIC ${shaderc_static})
        if(VKSSM_HAS_SHADERC_STATIC)
            set(VKSSM_SHADERC ${shaderc_static})
        endif()
    endif()
    if(NOT VKSSM_SHADERC)
        message(STATUS "No user-defined scans: libshaderc (package libshaderc-dev) was not found")
    endif()
endif()

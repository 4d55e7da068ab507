# Ways to take the library in, each built and run: installed, moved elsewhere, and then the shared and the static library
# by find_package and by pkg-config, the command with the model that is installed with it, the Python module, and the
# Debian package; or as a part of another project's build (WAY is subdirectory).

function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(NOT status EQUAL 0)
        list(JOIN ARGN " " command)
        message(FATAL_ERROR "${command}: ${status}\n${output}")
    endif()
    set(output "${output}" PARENT_SCOPE)
endfunction()

# A consumer on a device, if there is one here.
set(argument "")
if(HAS_DEVICE)
    set(argument scan)
endif()
function(run_consumer program)
    run(${program} ${argument})
    set(wanted "vkssm ${VERSION}: invalid argument\n")
    if(HAS_DEVICE)
        string(APPEND wanted "1 2.5 4.25 6.125\n")
    endif()
    if(NOT output STREQUAL wanted)
        message(FATAL_ERROR "${program} printed \"${output}\"")
    endif()
endfunction()

set(configure ${CMAKE_COMMAND} -G ${GENERATOR} -D CMAKE_C_COMPILER=${COMPILER} -D CMAKE_BUILD_TYPE=Release)
file(REMOVE_RECURSE "${SCRATCH}")

if(WAY STREQUAL "subdirectory")
    run(${configure} -C "${SETUP}" -S "${SOURCE}/subdirectory" -B "${SCRATCH}/build" -D VKSSM_SOURCE=${ROOT}
        "-D CMAKE_C_FLAGS_RELEASE=-O0" -D VKSSM_SHARED=OFF)
    run(${CMAKE_COMMAND} --build "${SCRATCH}/build" --target consumer)
    run_consumer("${SCRATCH}/build/consumer")
    return()
endif()

run(${CMAKE_COMMAND} --install "${BUILD}" --prefix "${SCRATCH}/first")
file(MAKE_DIRECTORY "${SCRATCH}/moved")
file(RENAME "${SCRATCH}/first" "${SCRATCH}/moved/prefix") # nothing that is installed may know where it was
set(prefix "${SCRATCH}/moved/prefix")

run(${configure} -S "${SOURCE}/consumer" -B "${SCRATCH}/build" -D CMAKE_PREFIX_PATH=${prefix} -D VKSSM_VERSION=${VERSION})
run(${CMAKE_COMMAND} --build "${SCRATCH}/build")
run_consumer("${SCRATCH}/build/consumer")
run_consumer("${SCRATCH}/build/consumer_static")

file(GLOB_RECURSE pc_file "${prefix}/*/vkssm.pc")
get_filename_component(pc_folder "${pc_file}" DIRECTORY)
get_filename_component(library_folder "${pc_folder}" DIRECTORY)
set(ENV{PKG_CONFIG_PATH} "${pc_folder}")
foreach(kind shared static)
    set(option "")
    if(kind STREQUAL "static")
        set(option --static)
    endif()
    run(pkg-config ${option} --cflags --libs "vkssm = ${VERSION}")
    separate_arguments(flags UNIX_COMMAND "${output}")
    if(kind STREQUAL "static") # the linker would take the shared library, which lies beside
        list(TRANSFORM flags REPLACE "^-lvkssm$" "-l:libvkssm.a")
    endif()
    run(${COMPILER} -std=c11 -o "${SCRATCH}/by_pkg_config_${kind}" "${SOURCE}/consumer/consumer.c" ${flags}
        "-Wl,-rpath,${library_folder}")
    run_consumer("${SCRATCH}/by_pkg_config_${kind}")
endforeach()

if(HAS_DEVICE)
    file(MAKE_DIRECTORY "${SCRATCH}/elsewhere")
    execute_process(COMMAND "${prefix}/bin/vkssm" generate --model stories-mamba2 --prompt Once --tokens 4
                    WORKING_DIRECTORY "${SCRATCH}/elsewhere" RESULT_VARIABLE status ERROR_VARIABLE text OUTPUT_VARIABLE text)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "the command does not find the installed model: ${text}")
    endif()
    if(PYTHON)
        unset(ENV{VKSSM_LIBRARY})
        run(${PYTHON} -B "${SOURCE}/check_python.py" "${prefix}/share/vkssm/python" "${ZOO}")
        message(STATUS "${output}")
    endif()
endif()

if(CPACK AND DPKG_DEB)
    run(${CPACK} --config "${BUILD}/CPackConfig.cmake" -G DEB -B "${SCRATCH}/deb")
    file(GLOB package "${SCRATCH}/deb/*.deb")
    run(${DPKG_DEB} --contents "${package}")
    foreach(file usr/bin/vkssm usr/share/man/man1/vkssm.1 usr/share/vkssm/models/stories-mamba2/model.safetensors
                 usr/include/vkssm/vulkan.h "libvkssm.so.${API}")
        string(FIND "${output}" "${file}" at)
        if(at EQUAL -1)
            message(FATAL_ERROR "${package} has no ${file}:\n${output}")
        endif()
    endforeach()
    run(${DPKG_DEB} --info "${package}")
    if(NOT output MATCHES "Version: ${VERSION}" OR NOT output MATCHES "libjansson4")
        message(FATAL_ERROR "the control file of ${package}:\n${output}")
    endif()
endif()

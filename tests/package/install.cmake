# Install the finished build into an empty folder, build the consumer against what was installed, run it.

function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(NOT status EQUAL 0)
        list(JOIN ARGN " " command)
        message(FATAL_ERROR "${command}: ${status}\n${output}")
    endif()
    set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE "${SCRATCH}")
run(${CMAKE_COMMAND} --install "${BUILD}" --prefix "${SCRATCH}/prefix")
run(${CMAKE_COMMAND} -S "${SOURCE}" -B "${SCRATCH}/build" -G "${GENERATOR}" -D CMAKE_C_COMPILER=${COMPILER}
    -D CMAKE_PREFIX_PATH=${SCRATCH}/prefix)
run(${CMAKE_COMMAND} --build "${SCRATCH}/build")
foreach(program consumer consumer_static)
    run("${SCRATCH}/build/${program}")
    if(NOT output STREQUAL "vkssm ${VERSION}: invalid argument\n")
        message(FATAL_ERROR "${program} printed \"${output}\"")
    endif()
endforeach()

#!/bin/sh
# The whole suite, as continuous integration runs it: set up, build with warnings as errors, test, and again with the
# address and undefined-behaviour sanitizers. Stops at the first step that fails; ctest's summary is its last word.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build
sanitize=$root/build-sanitize
n_job=$(getconf _NPROCESSORS_ONLN)

sh "$root/samples/setup.sh" --tests "$build"

cmake -C "$build/setup.cmake" -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DVKSSM_WERROR=ON \
    -DVKSSM_TESTS=ON -DVKSSM_SAMPLES=ON
cmake --build "$build"
ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$n_job"

# Asserts are on here, and off above.
cmake -C "$build/setup.cmake" -S "$root" -B "$sanitize" -G Ninja -DCMAKE_BUILD_TYPE=Debug \
    "-DCMAKE_C_FLAGS_DEBUG=-O1 -g" -DVKSSM_SANITIZE=address,undefined -DVKSSM_WERROR=ON -DVKSSM_SHARED=OFF \
    -DVKSSM_TESTS=ON -DVKSSM_SAMPLES=ON
cmake --build "$sanitize"
ctest --test-dir "$sanitize" --output-on-failure --no-tests=error -j "$n_job"

#!/bin/sh
# From a fresh checkout to a story: install what is missing, build into build/, run the small model on the best device.
#
#   sh samples/quickstart.sh [PROMPT]
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build
log=$build/quickstart.log
prompt=${1:-Once upon a time}

fail() {
    echo "quickstart: $*" >&2
    exit 1
}

sh "$root/samples/setup.sh" "$build"

cmake -C "$build/setup.cmake" -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release >"$log" 2>&1 ||
    fail "cmake failed; see $log"
echo "quickstart: building"
cmake --build "$build" --target vkssm_cli >>"$log" 2>&1 || fail "the build failed; see $log"

# A machine may have a driver and nothing that it drives.
if ! info=$("$build/vkssm" info 2>>"$log"); then
    sh "$root/samples/setup.sh" --lavapipe "$build"
    info=$("$build/vkssm" info 2>>"$log") || fail "no usable Vulkan device, not even lavapipe; see $log"
fi
# selected FIELD: what vkssm info says of the device that it chose.
selected() {
    echo "$info" | sed -n "/^selected device/,\$ s/^  $1  *//p" | head -n 1
}
if [ "$(selected type)" = cpu ]; then
    echo "no GPU found: telling the story on lavapipe, a CPU implementation"
else
    echo "telling the story on $(selected name)"
fi
echo
exec "$build/vkssm" generate --model "$root/models/zoo/stories-mamba2" --prompt "$prompt"

#!/bin/sh
# Build Mesa's stub of an Intel GPU: a library to preload, which answers what Intel's Vulkan driver asks of the kernel, so
# that the driver compiles for GPUs that are not there.
#
#   sh intel_stub.sh ARCHIVE FOLDER
#
# ARCHIVE is Mesa's source (mesa_*.orig.tar.*), FOLDER is where libintel_noop_drm_shim.so goes. Mesa's own build of it wants
# the whole tree configured; the stub is a dozen files, which are compiled here directly: Mesa 22.3 to 25.0. Needs libdrm's
# headers and, of Python, mako (newer Mesa generates its table of GPUs).
set -eu

archive=$(realpath "$1")
mkdir -p "$2"
out=$(cd "$2" && pwd)
work=$out/source
python=/usr/bin/python3
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT

# The folders that the files below include from; the whole tree would be 300 MB.
$python - "$archive" "$work" <<'END'
import os, shutil, sys, tarfile
wanted = ("include/", "src/c11/", "src/drm-shim/", "src/util/", "src/compiler/", "src/intel/common/", "src/intel/dev/",
          "src/intel/tools/")
with tarfile.open(sys.argv[1]) as archive:
    for member in archive:
        folder, _, path = member.name.partition("/")
        if member.isfile() and path.startswith(wanted) and ".." not in path:
            target = os.path.join(sys.argv[2], path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with archive.extractfile(member) as source, open(target, "wb") as copy:
                shutil.copyfileobj(source, copy)
END
cd "$work"
mkdir -p o/intel/dev

# Those of the named files that this version of Mesa has.
present() {
    for file in "$@"; do
        if [ -e "$file" ]; then echo "$file"; fi
    done
}
dev=src/intel/dev generated=o/intel/dev
if [ -e $dev/intel_device_info_gen_h.py ]; then
    $python $dev/intel_device_info_gen_h.py $generated/intel_device_info_gen.h
fi
if [ -e $dev/gen_wa_helpers.py ]; then
    $python $dev/gen_wa_helpers.py $dev/mesa_defs.json $generated/intel_wa.h $generated/intel_wa.c
fi

includes="-Iinclude -Isrc -Isrc/intel -Isrc/util -Io -Io/intel -I$generated $(pkg-config --cflags libdrm)"
# What Mesa's build finds out about the system, as it is on Linux with glibc and gcc or clang.
defines="-D_GNU_SOURCE -DNDEBUG -DHAVE_PTHREAD -DHAVE_STRUCT_TIMESPEC -DHAVE_TIMESPEC_GET -DHAVE_SECURE_GETENV
    -DHAVE_LINUX_FUTEX_H -DHAVE_MEMFD_CREATE -DHAVE_ENDIAN_H -DUTIL_ARCH_LITTLE_ENDIAN=1 -DUTIL_ARCH_BIG_ENDIAN=0
    -DHAVE_FUNC_ATTRIBUTE_PACKED -DHAVE___BUILTIN_EXPECT -DHAVE___BUILTIN_POPCOUNT -DHAVE___BUILTIN_CLZ
    -DHAVE___BUILTIN_FFS -D__STDC_CONSTANT_MACROS"
objects=
for file in $(present src/intel/tools/intel_noop_drm_shim.c src/drm-shim/drm_shim.c src/drm-shim/device.c \
    $dev/intel_device_info.c $dev/i915/intel_device_info.c $generated/intel_wa.c \
    src/util/hash_table.c src/util/set.c src/util/ralloc.c src/util/anon_file.c src/util/u_debug.c src/util/vma.c \
    src/util/futex.c src/util/os_misc.c src/util/log.c); do
    object=o/$(echo "$file" | tr / _).o
    # Word splitting wanted.
    cc -std=gnu11 -O1 -w -fPIC -ffunction-sections -fdata-sections -fvisibility=hidden $includes $defines -c "$file" -o "$object"
    objects="$objects $object"
done
# What the stub never calls stays undefined: hence symbols that are bound when they are first called.
cc -shared -o "$out/libintel_noop_drm_shim.so" $objects -Wl,--gc-sections -Wl,-z,lazy $(pkg-config --libs libdrm) -ldl -lpthread

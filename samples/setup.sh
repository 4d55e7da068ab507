#!/bin/sh
# Install what building vkssm needs and this machine lacks: packages of Debian 12 and 13 and Ubuntu 24.04.
#
#   sh samples/setup.sh [--tests] [--lavapipe] [BUILD-FOLDER]
#
#   --tests     also what the tests need: validation layers, lavapipe, SwiftShader, Python with NumPy, Doxygen, and a stub
#               of an Intel GPU, built from Mesa's source; and what samples/engine needs: cglm, libpng, GLFW
#   --lavapipe  also lavapipe, Mesa's Vulkan device on the CPU
#
# Says nothing when there is nothing to do. A newer shader compiler and newer Vulkan headers, where the system's are too
# old for cooperative matrices, go to BUILD-FOLDER/toolchain (default: build), without touching the system. What CMake
# has to know about them is in BUILD-FOLDER/setup.cmake: cmake -C build/setup.cmake -B build.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build
tests=no lavapipe=no
for argument in "$@"; do
    case $argument in
    --tests) tests=yes ;;
    --lavapipe) lavapipe=yes ;;
    -*) echo "setup.sh: unknown option $argument" >&2 && exit 2 ;;
    *) build=$argument ;;
    esac
done
mkdir -p "$build"
build=$(cd "$build" && pwd)
toolchain=$build/toolchain
log=$build/setup.log
: >"$log"

say() {
    echo "setup: $*"
}
fail() {
    echo "setup: $*" >&2
    exit 1
}

ID=unknown VERSION_CODENAME=
if [ -r /etc/os-release ]; then . /etc/os-release; fi

# ---- packages of the system ---------------------------------------------------------------------------------------

missing=
# need PACKAGE COMMAND...: PACKAGE is missing if the command fails.
need() {
    package=$1
    shift
    if ! "$@" >/dev/null 2>&1; then missing="$missing $package"; fi
}
# Layers and drivers are found by files that tell of them.
has_manifest() {
    for manifest in /usr/share/vulkan/$1 /usr/local/share/vulkan/$1 /etc/vulkan/$1; do
        if [ -e "$manifest" ]; then return 0; fi
    done
    return 1
}
has_header() {
    echo "#include <$1>" | cc -x c -fsyntax-only -
}
# Of the system's interpreter, which may be another than the first on the path.
has_numpy() {
    python3 -c 'import numpy' || /usr/bin/python3 -c 'import numpy'
}
# What generates Mesa's tables; of the system's interpreter.
has_mako() {
    /usr/bin/python3 -c 'import mako'
}
compiles_c() {
    echo '#include <stdio.h>' | cc -x c -fsyntax-only -
}
compiles_cpp() {
    echo '#include <string>' | c++ -x c++ -fsyntax-only -
}

list_missing() {
    missing=
    need gcc command -v cc
    need libc6-dev compiles_c
    need cmake command -v cmake
    need ninja-build command -v ninja
    need pkg-config command -v pkg-config
    need libvulkan-dev pkg-config --exists vulkan
    need glslc command -v glslc
    need libjansson-dev pkg-config --exists jansson
    need libpcre2-dev pkg-config --exists libpcre2-8
    need libutf8proc-dev pkg-config --exists libutf8proc
    need libpng-dev pkg-config --exists libpng
    need libshaderc-dev has_header shaderc/shaderc.h
    need spirv-tools command -v spirv-val
    if [ $tests = yes ]; then
        need g++ compiles_cpp
        need python3 command -v python3
        need python3-numpy has_numpy
        need libcglm-dev has_header cglm/cglm.h
        need libglfw3-dev pkg-config --exists glfw3
        need doxygen command -v doxygen
        need vulkan-validationlayers has_manifest 'explicit_layer.d/VkLayer_khronos_validation*.json'
    fi
    if [ $tests = yes ] || [ $lavapipe = yes ]; then
        need mesa-vulkan-drivers has_manifest 'icd.d/lvp_icd*.json'
    else
        need mesa-vulkan-drivers has_manifest 'icd.d/*.json'
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}
update_lists() {
    if [ -z "${updated:-}" ]; then
        as_root apt-get update >>"$log" 2>&1 || return 1
        updated=yes
    fi
}

list_missing
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null 2>&1 ||
        fail "missing:$missing (package names of Debian and Ubuntu); install them by hand, as there is no apt-get here"
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
        fail "missing:$missing; install them as root, as there is no sudo here"
    fi
    say "installing$missing"
    update_lists || fail "apt-get update failed; see $log"
    # Word splitting wanted: one package a word.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >>"$log" 2>&1 ||
        fail "apt-get install$missing failed; see $log"
    list_missing
    if [ -n "$missing" ]; then fail "installed, and yet missing:$missing; see $log"; fi
fi

# ---- a shader compiler that knows the newer extensions ------------------------------------------------------------

wanted_extensions="GL_KHR_cooperative_matrix GL_EXT_bfloat16 GL_NV_cooperative_matrix2"

# unknown_extensions GLSLC: those of the wanted ones that the compiler refuses.
unknown_extensions() {
    for extension in $wanted_extensions; do
        printf '#version 460\n#extension %s : require\nvoid main() {}\n' $extension >"$build/setup.comp"
        "$1" --target-env=vulkan1.3 -o "$build/setup.spv" "$build/setup.comp" >/dev/null 2>&1 || printf ' %s' $extension
    done
    rm -f "$build/setup.comp" "$build/setup.spv"
}

# The address of the distribution's own archive, as this machine's apt knows it.
archive_uris() {
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>>"$log" |
        while read -r release component uri; do
            if [ "$component" = main ]; then
                case $release in "$VERSION_CODENAME" | stable | testing | unstable | sid) echo "$uri" ;; esac
            fi
        done | sort -u
}

# write_private_apt URI SUITE [deb-src]: apt with its own lists and its own idea of an empty system, so that it fetches
# whatever the packages depend on. A mirror frozen at some date serves as well: signatures are checked, an expired date is not minded.
write_private_apt() {
    mkdir -p "$fetch/state/lists/partial" "$fetch/cache/archives/partial"
    : >"$fetch/status"
    cat >"$fetch/apt.conf" <<END
#clear APT::Update;
#clear DPkg;
Dir::State "$fetch/state";
Dir::State::status "$fetch/status";
Dir::Cache "$fetch/cache";
Dir::Etc::sourcelist "$fetch/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root";
APT::Default-Release "";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
END
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    signed=
    if [ -e $keyring ]; then signed="[signed-by=$keyring] "; fi
    echo "${3:-deb} $signed$1 $2 main" >"$fetch/sources.list"
}

# wrap PROGRAM: a script that runs the unpacked program with the libraries and the dynamic loader unpacked beside it.
wrap() {
    loader=$(cd "$new" && ls -d system/usr/lib/*/ld-linux* system/lib/*/ld-linux* 2>/dev/null | head -n 1)
    cat >"$new/$1" <<END
#!/bin/sh
here=\$(dirname "\$0")
exec "\$here/$loader" --library-path "\$here/$(dirname "$loader")" "\$here/system/usr/bin/$1" "\$@"
END
    chmod +x "$new/$1"
}

# fetch_toolchain URI SUITE: unpack the suite's compiler, validator and headers, if the compiler knows what is wanted.
fetch_toolchain() {
    rm -rf "$fetch" "$new"
    write_private_apt "$1" "$2"
    apt_get="apt-get -c $fetch/apt.conf"
    $apt_get update >>"$log" 2>&1 || return 1
    $apt_get install -y --download-only --no-install-recommends glslc spirv-tools >>"$log" 2>&1 || return 1
    (cd "$fetch/cache/archives" && $apt_get download libvulkan-dev) >>"$log" 2>&1 || return 1
    mkdir -p "$new/system"
    for package in "$fetch"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$new/system" >>"$log" 2>&1 || return 1
    done
    wrap glslc
    wrap spirv-val
    "$new/spirv-val" --version >>"$log" 2>&1 || return 1
    [ -z "$(unknown_extensions "$new/glslc")" ] || return 1
    mkdir "$new/include"
    mv "$new/system/usr/include/vulkan" "$new/system/usr/include/vk_video" "$new/include/" || return 1
    # The rest of the packages is of no use here.
    rm -rf "$new/system/usr/share" "$new/system/usr/include" "$new/system/etc" "$new/system/var"
}

newer_toolchain() {
    fetch=$build/toolchain.fetch
    new=$build/toolchain.new
    for uri in $(archive_uris); do
        # The oldest suite that knows all of them: Debian 13 has no GL_EXT_bfloat16.
        for suite in testing unstable; do
            if fetch_toolchain "$uri" $suite; then
                mkdir -p "$toolchain"
                rm -rf "$toolchain/system" "$toolchain/include"
                mv "$new"/* "$toolchain/"
                rm -rf "$fetch" "$new"
                say "unpacked $("$toolchain/glslc" --version | head -n 1) of Debian $suite in $toolchain"
                return 0
            fi
        done
    done
    rm -rf "$fetch" "$new"
    return 1
}

glslc=glslc
if [ -x "$toolchain/glslc" ]; then glslc=$toolchain/glslc; fi
unknown=$(unknown_extensions "$glslc")
if [ -n "$unknown" ]; then
    if [ "$ID" != debian ] || ! newer_toolchain; then
        say "the build goes on without the shader variants that need$unknown, as no newer glslc can be had"
    fi
fi

if [ -x "$toolchain/glslc" ]; then
    cat >"$build/setup.cmake" <<END
set(GLSLC "$toolchain/glslc" CACHE FILEPATH "GLSL compiler of shaderc" FORCE)
set(SPIRV_VAL "$toolchain/spirv-val" CACHE FILEPATH "SPIR-V validator" FORCE)
set(VKSSM_VULKAN_INCLUDE "$toolchain/include" CACHE PATH "Folder of Vulkan headers to use before the system's" FORCE)
END
else
    cat >"$build/setup.cmake" <<END
unset(GLSLC CACHE)
unset(SPIRV_VAL CACHE)
set(VKSSM_VULKAN_INCLUDE "" CACHE PATH "Folder of Vulkan headers to use before the system's" FORCE)
END
fi

# ---- SwiftShader, for tests ---------------------------------------------------------------------------------------

# Two files of Debian's browser packages are enough; the browser is not installed for them. Debian 13 has them in
# chromium-common, Debian 12 in chromium.
fetch_swiftshader() {
    scratch=$build/swiftshader.new
    for package in chromium-common chromium; do
        rm -rf "$scratch"
        mkdir -p "$scratch"
        (cd "$scratch" && apt-get -o APT::Sandbox::User=root download $package) >>"$log" 2>&1 || return 1
        dpkg-deb --fsys-tarfile "$scratch"/chromium*.deb >"$scratch/files.tar" 2>>"$log" || return 1
        if tar -x -C "$scratch" -f "$scratch/files.tar" ./usr/lib/chromium/libvk_swiftshader.so \
            ./usr/lib/chromium/vk_swiftshader_icd.json >>"$log" 2>&1; then
            mkdir -p "$toolchain/swiftshader"
            mv "$scratch"/usr/lib/chromium/* "$toolchain/swiftshader/"
            rm -rf "$scratch"
            return 0
        fi
    done
    return 1
}

if [ $tests = yes ] && [ ! -e /usr/lib/chromium/vk_swiftshader_icd.json ] &&
    [ ! -e "$toolchain/swiftshader/vk_swiftshader_icd.json" ]; then
    if [ "$ID" != debian ]; then
        say "no tests on SwiftShader: only Debian's chromium package carries it"
    else
        if update_lists && fetch_swiftshader; then
            say "unpacked SwiftShader of Debian's chromium package in $toolchain/swiftshader"
        else
            rm -rf "$build/swiftshader.new"
            say "no tests on SwiftShader: Debian's chromium package cannot be had; see $log"
        fi
    fi
fi

# ---- a stub of an Intel GPU, for tests ----------------------------------------------------------------------------

# What building it needs and nothing else does: no other test waits for it.
has_intel_packages() {
    missing=
    need libdrm-dev pkg-config --exists libdrm
    need python3-mako has_mako
    if [ -z "$missing" ]; then return 0; fi
    say "installing$missing"
    update_lists &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >>"$log" 2>&1
}

# From the source of the Mesa that is installed: 30 to 50 MB to fetch, seconds to build.
build_intel_stub() {
    fetch=$build/intel.fetch
    for uri in $(archive_uris); do
        rm -rf "$fetch"
        write_private_apt "$uri" "$VERSION_CODENAME" deb-src
        if apt-get -c "$fetch/apt.conf" update >>"$log" 2>&1 &&
            (cd "$fetch" && apt-get -c apt.conf source --download-only "mesa=$mesa") >>"$log" 2>&1 &&
            sh "$root/tests/vendor/intel_stub.sh" "$(ls "$fetch"/mesa_*.orig.tar.?z)" "$toolchain/intel" >>"$log" 2>&1; then
            echo "$mesa" >"$toolchain/intel/version"
            rm -rf "$fetch"
            return 0
        fi
    done
    rm -rf "$fetch"
    return 1
}

if [ $tests = yes ]; then
    # One line an architecture.
    mesa=$(dpkg-query -W -f '${source:Version}\n' mesa-vulkan-drivers 2>>"$log" | head -n 1)
    mesa=${mesa:-none}
    if [ "$mesa" != "$(cat "$toolchain/intel/version" 2>/dev/null)" ]; then
        rm -rf "$toolchain/intel"
        if [ "$ID" != debian ]; then
            say "nothing is compiled for Intel in tests: the stub is built from Debian's package of Mesa's source"
        elif [ "$mesa" = none ]; then
            say "nothing is compiled for Intel in tests: package mesa-vulkan-drivers is not installed"
        elif has_intel_packages && build_intel_stub; then
            say "built a stub of an Intel GPU from the source of mesa $mesa in $toolchain/intel"
        else
            say "nothing is compiled for Intel in tests: the source of mesa $mesa, or what building its stub needs," \
                "cannot be had, or it cannot be built; see $log"
        fi
    fi
fi

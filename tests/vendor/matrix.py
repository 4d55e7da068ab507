#!/usr/bin/env python3
"""Tests of operators and of vk/, run again on one device that has less, or under more validation.

    python3 matrix.py FOLDER-OF-PROGRAMS masks|limits|best_practices [LAYER-FOLDER]

masks: each optional capability away, one at a time, then all of them; limits: a device at the library's floor, and one below
it that must be refused; best_practices: with what the validation layer thinks of how Vulkan is used. Exit status 0, 1, or 77
if the validation layer is not there.
"""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# One case of each operator, as the selector would have it, small shapes.
QUICK = [
    ("test_activation", "selected"),
    ("test_conv1d", "selected"),
    ("test_conv_s5", "selected"),
    ("test_embedding", "selected"),
    ("test_group_norm", "selected"),
    ("test_layer_norm", "selected"),
    ("test_log_softmax", "selected"),
    ("test_pool_mean", "selected"),
    ("test_rms_norm", "selected"),
    ("test_sample", "selected"),
    ("test_ssd", "step"),
    ("test_scan", "chosen"),
]
# Shapes of some size: where the choice of kernels changes.
LARGER = [("test_matmul", "selected"), ("test_resample2d", "selected"), ("test_selective_scan", "step")]
FEW = [("test_activation", "selected"), ("test_rms_norm", "selected"), ("test_sample", "selected"), ("test_ssd", "step")]
# Bits of VKSSM_FEATURE_MAP, and whether a variant of a kernel asks for it.
FEATURES = [
    ("subgroup_arithmetic", 0, True),
    ("subgroup_shuffle", 1, True),
    ("shader_f16", 2, False),
    ("storage_16", 3, False),
    ("shader_int8", 4, False),
    ("storage_8", 5, False),
    ("shader_int64", 6, True),
    ("integer_dot", 7, False),
    ("pipeline_statistics", 11, False),
    ("memory_budget", 12, False),
    ("timestamps", 13, False),
]
LAYERS = "VK_LAYER_KHRONOS_validation:VK_LAYER_VKSSM_limits"
LAYER_FOLDERS = ("/usr/share/vulkan/explicit_layer.d", "/usr/local/share/vulkan/explicit_layer.d",
                 "/etc/vulkan/explicit_layer.d")


def run(folder, what, programs, environment):
    """Whether all pass, printing how many checks there were and what failed."""
    n_check = 0
    good = True
    for program, case in programs:
        done = subprocess.run([os.path.join(folder, program), case], env=dict(os.environ, **environment),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        found = re.search(r"(\d+) checks", done.stdout)
        n_check += int(found.group(1)) if found else 0
        if done.returncode or not found or "without validation" in done.stdout:
            good = False
            print("FAIL %s: %s %s, exit status %d\n%s" % (what, program, case, done.returncode, done.stdout[-2000:]))
    print("%s: %d programs, %d checks" % (what, len(programs), n_check), flush=True)
    return good


def masks(folder):
    good = True
    for name, bit, chosen_by in FEATURES:
        good &= run(folder, "without " + name, QUICK + LARGER[:1] if chosen_by else FEW,
                    {"VKSSM_TEST_MASK": str(1 << bit)})
    return run(folder, "without all of them", QUICK + LARGER, {"VKSSM_TEST_MASK": str(0xFFFFFFFF)}) and good


def limits(folder, layer_folder):
    environment = {"VK_LAYER_PATH": ":".join((layer_folder,) + LAYER_FOLDERS), "VK_INSTANCE_LAYERS": LAYERS}
    good = run(folder, "256 invocations, 32 KiB of shared memory, 128 bytes of push constants", QUICK + LARGER,
               dict(environment, VKSSM_LIMITS="256,32768,128"))
    for lowered, word in (("128,32768,128", "256 invocations in a workgroup (it has 128)"),
                          ("256,16384,128", "32768 bytes of shared memory (it has 16384)"),
                          ("128,16384,128", "256 invocations in a workgroup (it has 128)")):
        done = subprocess.run([os.path.join(folder, "test_activation"), "selected"], stdout=subprocess.PIPE, text=True,
                              env=dict(os.environ, VKSSM_LIMITS=lowered, **environment))
        refused = done.returncode != 0 and done.stdout.count("\n") == 1 and word in done.stdout
        print("%s %s: %s" % ("refused" if refused else "FAIL", lowered, done.stdout.strip().replace("\n", " | ")))
        good &= refused
    return good


def excused():
    """Names of messages: what stands before the first blank of each line of excused.txt."""
    with open(os.path.join(HERE, "excused.txt"), encoding="utf-8") as file:
        return [line.split()[0] for line in file if line.strip() and not line.startswith("#")]


def best_practices(folder):
    with tempfile.TemporaryDirectory() as scratch:
        log = os.path.join(scratch, "messages.txt")
        with open(os.path.join(scratch, "vk_layer_settings.txt"), "w", encoding="utf-8") as file:
            file.write("khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG\n"
                       "khronos_validation.report_flags = error,warn,perf\n"
                       "khronos_validation.log_filename = %s\n"
                       "khronos_validation.enables = VK_VALIDATION_FEATURE_ENABLE_BEST_PRACTICES_EXT\n"
                       "khronos_validation.message_id_filter = %s\n" % (log, ",".join(excused())))
        environment = {"VK_LAYER_SETTINGS_PATH": scratch,
                       "VK_LAYER_ENABLES": "VK_VALIDATION_FEATURE_ENABLE_BEST_PRACTICES_EXT",
                       "VK_LAYER_MESSAGE_ID_FILTER": ",".join(excused())}
        good = run(folder, "best practices", QUICK + LARGER + [("test_vk_recorder", ""), ("test_vk_memory", "")],
                   environment)
        messages = open(log, encoding="utf-8", errors="replace").read() if os.path.exists(log) else ""
    left = [name for name in re.findall(r"\[ ([A-Za-z0-9_-]+) \]", messages) if name not in excused()]
    for name in sorted(set(left)):
        print("FAIL best practices: %s, %d times: mend it, or give its reason in excused.txt" % (name, left.count(name)))
    if left:
        print(messages[:4000])
    return good and not left


def main():
    folder, what = sys.argv[1:3]
    if not any(name.startswith("VkLayer_khronos_validation") for place in LAYER_FOLDERS if os.path.isdir(place)
               for name in os.listdir(place)):
        print("skip: the validation layer (package vulkan-validationlayers) is not there")
        return 77
    if what == "masks":
        good = masks(folder)
    elif what == "limits":
        good = limits(folder, sys.argv[3])
    else:
        good = best_practices(folder)
    return 0 if good else 1


sys.exit(main())

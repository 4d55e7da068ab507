"""Every compiled shader variant is valid SPIR-V for Vulkan 1.3.

check_spirv.py SPIRV-VAL FOLDER NAME...: FOLDER holds NAME.inc, the words as numbers; a variant that was left out of the
build has no such file.
"""

import os
import re
import struct
import subprocess
import sys
import tempfile

import lint

NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")


def check(validator, folder, names):
    problems, n_checked = [], 0
    with tempfile.TemporaryDirectory() as scratch:
        binary = os.path.join(scratch, "shader.spv")
        for name in names:
            path = os.path.join(folder, name + ".inc")
            if not os.path.exists(path):
                continue
            with open(path, encoding="ascii") as file:
                words = [int(word, 0) for word in NUMBER.findall(file.read())]
            with open(binary, "wb") as file:
                file.write(struct.pack(f"<{len(words)}I", *words))
            n_checked += 1
            result = subprocess.run(
                [validator, "--target-env", "vulkan1.3", "--scalar-block-layout", binary],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if result.returncode != 0:
                problems.append(f"{name}: {result.stdout.strip()}")
    return problems, n_checked


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print("no variant is listed")
        sys.exit(77)
    lint.finish(*check(sys.argv[1], sys.argv[2], sys.argv[3:]), "variants")

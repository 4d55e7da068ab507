"""Who may include whom: the direct #includes of every C file against the table below."""

import os
import re
import sys

import lint

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)

PUBLIC = r"vkssm/\w+\.h"
BASE = r"host/base/\w+\.h"
OP = r"host/op/\w+\.h"
VKS = r"vk/vks\.h"
PARAMS = r"shaders/params/\w+\.h"
SHADERS = r"vks_shaders\.h"
ARCH = r"(?:host|host/core|models)/arch\.h"
VULKAN = r"vulkan/\w+\.h|vk_video/\w+\.h"
GRAPHICS = r"cglm/\w+\.h|png\.h|GLFW/glfw3\.h"
PARSERS = r"jansson\.h|pcre2\.h|utf8proc\.h"
C_LIBRARY = r"(?!vkssm/|vulkan/|vk_video/|jansson\.h|pcre2\.h|utf8proc\.h).*"

# The first folder that a path begins with decides. Every file may include its own folder's headers and the C library;
# host/base is the leaf under all the library's code.
TABLE = [
    ("host/base/", [PUBLIC]),
    ("host/include/vkssm/vulkan.h", [PUBLIC, VULKAN]),
    ("host/include/", [PUBLIC]),
    ("vk/", [BASE, VULKAN]),
    ("host/op/", [BASE, VKS, PARAMS, SHADERS, PUBLIC]),
    ("host/core/", [BASE, VKS, PARAMS, SHADERS, PUBLIC, OP, ARCH]),
    ("models/arch/", [BASE, ARCH, OP, r"models/block/\w+\.h", r"models/io/(weights|config)\.h", PUBLIC]),
    ("models/block/", [BASE, ARCH, OP, r"models/io/(weights|config)\.h", PUBLIC]),
    ("models/io/", [BASE, PUBLIC, PARSERS]),
    ("models/tokenizer/", [BASE, PUBLIC, PARSERS]),
    ("models/", [BASE, ARCH, OP, PUBLIC, r"host/core/\w+\.h", r"models/\w+/\w+\.h", r"models/\w+\.h"]),
    ("shaders/params/", [PARAMS]),
    ("samples/", [PUBLIC, VULKAN, GRAPHICS, r"jansson\.h", r"\w+\.(vert|frag)\.inc"]),  # compiled shaders
    ("tests/package/", [PUBLIC]),
    ("tests/", [r".*"]),
]


def rules_of(path):
    for folder, rules in TABLE:
        if path.startswith(folder):
            return rules
    return None


def check(root):
    problems, n_checked = [], 0
    for path in lint.walk(root):
        if not path.endswith((".c", ".h")):
            continue
        rules = rules_of(path)
        if rules is None:
            problems.append(f"{path}: no rule says what this folder may include")
            continue
        n_checked += 1
        text = lint.read(root, path)
        for match in INCLUDE.finditer(text):
            quote, included = match.groups()
            # "x.h" beside the file, and the same spelt from the root of the tree.
            folder = os.path.dirname(path)
            own = quote == '"' and (
                os.path.dirname(included) == folder
                or ("/" not in included and os.path.exists(os.path.join(root, folder, included)))
            )
            allowed = list(rules) + ([C_LIBRARY] if quote == "<" else [])
            if not own and not any(re.fullmatch(rule, included) for rule in allowed):
                line = text.count("\n", 0, match.start()) + 1
                problems.append(f"{path}:{line}: may not include {included}")
    return problems, n_checked


if __name__ == "__main__":
    lint.finish(*check(sys.argv[1]), "C files")

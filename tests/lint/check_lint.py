"""The checks themselves: a small tree that passes, and one mistake at a time that each must find."""

import os
import sys
import tempfile

import check_layers
import check_shaders
import check_spirv
import check_symbols
import check_text
import lint

HEADER = (
    "// scale: y = a x\n// Push      x, y, a\n// Mapping   one invocation an element\n// Constants 0 WG_SIZE\n"
    "// Needs     nothing    Twin tests/ref/ref_scale.c\n#version 460\n"
)
TREE = {
    "host/base/status.h": "#include <stdint.h>\n#include <vkssm/base.h>\n",
    "host/include/vkssm/base.h": "VKSSM_API int vkssm_one(void);\nVKSSM_API const char *\nvkssm_two(int x);\n",
    "vk/vks.h": '#include "host/base/status.h"\n',
    "vk/vk_device.c": '#include "vks.h"\n#include <vulkan/vulkan.h>\n',
    "host/op/op_list.h": "#define OPS(X) \\\n    X(scale, 1)\n",
    "host/op/op_scale.c": '#include "op_list.h"\n#include "shaders/params/scale.h"\n#include "vk/vks.h"\n'
    '#include "vks_shaders.h"\n',
    "models/arch/mamba.c": '#include "models/io/weights.h"\n#include <vkssm/base.h>\n',
    "samples/cli/main.c": "#include <vkssm/base.h>\n",
    "shaders/params/scale.h": "",
    "shaders/op/scale.comp": HEADER,
    "shaders/variants.txt": "# comment\nscale_f32 scale\n",
    "tests/ref/ref_scale.c": '#include "anything.h"\n',
    "tests/op/test_scale.c": "",
}


def problems_of(check, changes):
    tree = {path: text for path, text in {**TREE, **changes}.items() if text is not None}
    with tempfile.TemporaryDirectory() as root:
        for path, text in tree.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        return check(root)[0]


# (check, changed files, part of the one problem expected)
MISTAKES = [
    (check_layers, {"host/base/file.c": '#include "vk/vks.h"\n'}, "file.c:1: may not include vk/vks.h"),
    (check_layers, {"host/base/file.c": "#include <jansson.h>\n"}, "may not include jansson.h"),
    (check_layers, {"vk/vk_device.c": '#include "host/op/op_list.h"\n'}, "may not include host/op/op_list.h"),
    (check_layers, {"host/op/op_scale.c": "\n#include <vulkan/vulkan.h>\n"}, "op_scale.c:2: may not include"),
    (check_layers, {"host/op/op_scale.c": '#include "vk/vks_internal.h"\n'}, "may not include vk/vks_internal.h"),
    (check_layers, {"models/arch/mamba.c": '#include "vk/vks.h"\n'}, "may not include vk/vks.h"),
    (check_layers, {"models/io/json.c": '# include "host/core/plan.h"\n'}, "may not include host/core/plan.h"),
    (check_layers, {"samples/cli/main.c": '#include "host/base/status.h"\n'}, "may not include host/base/status.h"),
    (check_layers, {"tools/x.c": ""}, "no rule"),
    (check_shaders, {"shaders/op/scale.comp": HEADER.replace("// Mapping", "// Other")}, '"Mapping"'),
    (check_shaders, {"shaders/op/scale.comp": HEADER.replace("// Push", "// Other")}, '"Push" or "Bindings"'),
    (check_shaders, {"shaders/op/scale.comp": HEADER.replace("// scale: y", "// y")}, '"// scale: "'),
    (check_shaders, {"shaders/op/scale.comp": HEADER.replace("ref_scale", "ref_none")}, "ref_none.c does not exist"),
    (check_shaders, {"shaders/variants.txt": "scale_f32 scale\nx y\n"}, "txt:2: x: shaders/op/y.comp does not"),
    (check_shaders, {"shaders/op/new.comp": HEADER.replace("scale:", "new:")}, "no variant"),
    (check_shaders, {"tests/op/test_scale.c": None}, "scale has no tests/op/test_scale.c"),
    (check_text, {"vk/a.c": 'open("/ho' + 'me/user/x");\n'}, "a.c:1: a path of some machine"),
    (check_text, {"vk/a.c": "\n// TO" + "DO: later\n"}, "a.c:2: unfinished business"),
    (check_text, {"README.md": "from deb.debian" + ".org\n"}, "host of a package registry"),
    (check_text, {"vk/a.c": "\n" * 1001}, "1001 lines, more than 1000"),
    (check_text, {"shaders/op/a.comp": "\n" * 301}, "301 lines, more than 300"),
    (check_text, {"vk/a.c": "", "host/op/a.c": ""}, "the name is taken by host/op/a.c"),
]


def check_parsers():
    """The two checks of build outputs, on outputs made up here."""
    problems = []
    with tempfile.TemporaryDirectory() as root:
        for path, text in (
            ("one.h", "#define VKSSM_API\nVKSSM_API int vkssm_one(void);\nVKSSM_API const char *\nvkssm_two(int x);\n"),
            ("x.inc", "0x07230203,0x00010600\n"),
            ("nm", '#!/bin/sh\necho "0001 T vkssm_one"\necho "0002 T vkssm_extra"\n'),
            ("accept", "#!/bin/sh\nexit 0\n"),
            ("refuse", "#!/bin/sh\necho bad; exit 1\n"),
        ):
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(os.path.join(root, path), 0o755)
        found = check_symbols.check(os.path.join(root, "nm"), "library", root)[0]
        if [line.split(":")[0] for line in found] != ["vkssm_two", "vkssm_extra"]:
            problems.append(f"check_symbols found {found}")
        for tool, n_expected in (("accept", 0), ("refuse", 1)):
            found = check_spirv.check(os.path.join(root, tool), root, ["x", "left_out"])[0]
            if len(found) != n_expected:
                problems.append(f"check_spirv with a validator that does {tool} found {found}")
    return problems


def check():
    problems = check_parsers()
    for module in (check_layers, check_shaders, check_text):
        found = problems_of(module.check, {})
        if found:
            problems.append(f"{module.__name__}: expected a clean tree, found {found}")
    for module, changes, expected in MISTAKES:
        found = problems_of(module.check, changes)
        if len(found) != 1 or expected not in found[0]:
            what = f"{module.__name__}: {sorted(changes)}"
            problems.append(f"{what}: expected one problem with {expected!r}, found {found}")
    return problems, len(MISTAKES)


if __name__ == "__main__":
    lint.finish(*check(), "mistakes")

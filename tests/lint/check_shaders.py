"""Shader headers, the variant list against the shaders, and the twin and test of every operator."""

import os
import re
import sys

import lint

SECTIONS = ("Push|Bindings", "Mapping", "Constants", "Needs", "Twin")


def header_of(text):
    """The comment lines that a shader opens with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("//"):
            break
        lines.append(line[2:].strip())
    return lines


def check_header(path, text):
    problems = []
    header = header_of(text)
    name = os.path.basename(path)[: -len(".comp")]
    if not header or not re.match(rf"{name}: \S", header[0]):
        problems.append(f'{path}:1: expected "// {name}: " and what it computes')
    for section in SECTIONS:
        # Twin may stand at the end of another section's line.
        where = r"\b" if section == "Twin" else r"^"
        if not any(re.search(where + rf"(?:{section})\b", line) for line in header):
            names = '" or "'.join(section.split("|"))
            problems.append(f'{path}:1: the opening comment has no line "{names}"')
    return problems


def read_variants(root):
    """(line number, name, source) of shaders/variants.txt."""
    variants = []
    for number, line in enumerate(lint.read(root, "shaders/variants.txt").splitlines(), 1):
        words = line.split("#")[0].split()
        if words:
            variants.append((number, words[0], words[1] if len(words) > 1 else ""))
    return variants


def check_ops(root):
    """Every operator of host/op/op_list.h has its double-precision twin and its test."""
    if not os.path.exists(os.path.join(root, "host/op/op_list.h")):
        return ["host/op/op_list.h does not exist"]
    problems = []
    text = re.sub(r"//.*", "", lint.read(root, "host/op/op_list.h"))
    names = re.findall(r"\bX\(\s*([a-z]\w*)\s*[,)]", text)
    if not names:
        problems.append("host/op/op_list.h: no X(name, ...) found")
    for name in names:
        for path in (f"tests/ref/ref_{name}.c", f"tests/op/test_{name}.c"):
            if not os.path.exists(os.path.join(root, path)):
                problems.append(f"host/op/op_list.h: {name} has no {path}")
    return problems


def check(root):
    problems, n_checked, used = [], 0, set()
    for number, name, source in read_variants(root):
        used.add(source)
        if not os.path.exists(os.path.join(root, "shaders/op", source + ".comp")):
            problems.append(f"shaders/variants.txt:{number}: {name}: shaders/op/{source}.comp does not exist")
    for path in lint.walk(root):
        if not path.startswith("shaders/op/") or not path.endswith(".comp"):
            continue
        n_checked += 1
        text = lint.read(root, path)
        problems += check_header(path, text)
        if os.path.basename(path)[: -len(".comp")] not in used:
            problems.append(f"{path}: no variant in shaders/variants.txt")
        twin = re.search(r"Twin\W+(tests/ref/\w+\.c)", "\n".join(header_of(text)))
        if twin and not os.path.exists(os.path.join(root, twin.group(1))):
            problems.append(f"{path}: its twin {twin.group(1)} does not exist")
    return problems + check_ops(root), n_checked


if __name__ == "__main__":
    lint.finish(*check(sys.argv[1]), "shaders")
